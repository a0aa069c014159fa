//! A voice agent without the voice: it answers every call, takes 20 ms blocks of raw 16 kHz PCM,
//! and says everything again a second later. Put speech recognition and synthesis in its place.
//!
//! `cargo run --example echo_agent [127.0.0.1:5060]`, then call `sip:echo@127.0.0.1`.

use std::collections::VecDeque;
use std::time::Duration;
use tiny_ua::{Audio, Event, IncomingCall, UserAgent};

const RATE: u32 = 16_000;
const BLOCK: usize = RATE as usize / 50;
const DELAY: usize = RATE as usize;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let listen = std::env::args().nth(1).unwrap_or_else(|| "0.0.0.0:5060".into());
    let ua = UserAgent::builder().listen(listen.parse()?).build().await?;
    eprintln!("waiting for calls at {listen}; Ctrl-C ends");
    loop {
        tokio::select! {
            event = ua.next_event() => match event {
                Some(Event::IncomingCall(call)) => drop(tokio::spawn(converse(call))),
                Some(_) => {}
                None => return Ok(()),
            },
            _ = tokio::signal::ctrl_c() => {
                ua.shutdown().await;
                return Ok(());
            }
        }
    }
}

async fn converse(incoming: IncomingCall) {
    let from = incoming.from().to_owned();
    // `mouth` is what the caller will hear, `ear` is what the caller says.
    let (audio, mut mouth, mut ear) = Audio::pcm(RATE, 1);
    let call = match incoming.answer(audio).await {
        Ok(call) => call,
        Err(e) => return eprintln!("{from}: {e}"),
    };
    eprintln!("{from}: answered");
    let mut memory: VecDeque<i16> = vec![0; DELAY].into();
    let mut block = [0_i16; BLOCK];
    let mut clock = tokio::time::interval(Duration::from_millis(20));
    loop {
        tokio::select! {
            _ = clock.tick() => {
                let heard = ear.read(&mut block);
                memory.extend(&block[..heard]);
                let said: Vec<i16> = memory.drain(..heard).collect();
                mouth.write(&said);
            }
            end = call.ended() => {
                return eprintln!("{from}: ended by the {} side, {:.1?}", end.by.as_str(), end.duration);
            }
        }
    }
}
