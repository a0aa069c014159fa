//! A call in one screen: `cargo run --example hello_call sip:bob@192.0.2.7 [question.wav answer.wav]`
use tiny_ua::{Audio, Udp, UserAgent};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let peer = arguments.next().ok_or("whom shall I call? e.g. sip:bob@192.0.2.7")?;
    let audio = match (arguments.next(), arguments.next()) {
        (Some(input), Some(output)) => Audio::new(input, output),
        _ => Audio::default_devices(),
    };

    let ua = UserAgent::builder().transport(Udp::any()).build().await?;
    let alice = ua.account("sip:alice@example.com").build().await?;
    let call = alice.call(peer).audio(audio).await?;
    call.answered().await?;
    eprintln!("answered; I hang up in ten seconds");

    tokio::select! {
        _ = call.ended() => {}
        _ = tokio::time::sleep(std::time::Duration::from_secs(10)) => {}
    }
    let end = call.hangup().await;
    eprintln!("ended by the {} side after {:.1?}", end.by.as_str(), end.duration);
    ua.shutdown().await;
    Ok(())
}
