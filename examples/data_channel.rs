//! Sends a file beside a call, and takes files in: a data channel each, its label the file's name.
//!
//! `cargo run --example data_channel -- answer`, then
//! `cargo run --example data_channel -- send sip:bob@127.0.0.1:5070 Cargo.toml`.
//!
//! With `--echo` every message that comes goes back, and with `--bytes N` so many made-up ones go out on
//! each channel that the peer opens; with `--account` the agent registers, with `--webrtc` it talks to
//! browsers. What happens is told as lines of JSON.

use clap::{Args, Parser, Subcommand};
use serde_json::json;
use std::error::Error;
use std::net::SocketAddr;
use std::path::PathBuf;
use tiny_ua::tls::{Material, Roots};
use tiny_ua::{
    Account, Audio, Call, CallEvent, DataChannel, DataMessage, Event, Transport, UserAgent,
};

/// What a peer takes at once, whoever it is (RFC 8841 §6.1).
const PIECE: usize = 64 * 1024;

#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    options: Options,
    #[command(subcommand)]
    command: Command,
}

#[derive(Args, Clone)]
struct Options {
    /// Where to listen for SIP.
    #[arg(long, global = true, default_value = "0.0.0.0:5070")]
    listen: SocketAddr,
    /// Register as this, e.g. sip:alice@example.com.
    #[arg(long, global = true)]
    account: Option<String>,
    #[arg(long, global = true, env = "DATA_CHANNEL_PASSWORD", hide_env_values = true)]
    password: Option<String>,
    /// Send everything by way of this proxy.
    #[arg(long, global = true)]
    proxy: Option<String>,
    /// The certificates that TLS trusts, in place of the platform's.
    #[arg(long, global = true)]
    tls_ca: Option<PathBuf>,
    /// Make calls as browsers do.
    #[arg(long, global = true)]
    webrtc: bool,
    /// Send every message back.
    #[arg(long, global = true)]
    echo: bool,
    /// Send so many bytes on each channel that the peer opens.
    #[arg(long, global = true)]
    bytes: Option<usize>,
}

#[derive(Subcommand, Clone)]
enum Command {
    /// Answers all calls.
    Answer,
    /// Calls, and sends a file if one is named.
    Send { to: String, file: Option<PathBuf> },
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let Cli { options, command } = Cli::parse();
    let mut builder = UserAgent::builder().listen(options.listen).webrtc(options.webrtc);
    if let Some(path) = &options.tls_ca {
        let roots = Roots::Only(vec![Material::file(path)]);
        builder = builder.configure(|config| config.net.tls.roots = roots);
    }
    let ua = builder.build().await?;
    let account = account(&ua, &options).await?;
    if let Command::Send { to, file } = command {
        let call = account.call(to).audio(Audio::silent()).data(true).await?;
        call.answered().await?;
        say(json!({"event": "answered"}));
        if let Some(path) = file {
            let name = path.file_name().ok_or("no file")?.to_string_lossy().into_owned();
            let channel = call.data_channel(name).await?;
            let data = std::fs::read(&path)?;
            send(&channel, &data).await?;
            // All of it has arrived when the peer has closed, too.
            channel.close();
            channel.closed().await;
            call.hangup().await;
        } else {
            converse(call, options).await;
        }
        ua.shutdown().await;
        return Ok(());
    }
    say(json!({"event": "waiting", "address": ua.addresses()[0].1.to_string()}));
    while let Some(event) = ua.next_event().await {
        if let Event::IncomingCall(incoming) = event {
            let options = options.clone();
            tokio::spawn(async move {
                match incoming.answer(Audio::silent()).await {
                    Ok(call) => converse(call, options).await,
                    Err(e) => say(json!({"event": "failed", "reason": e.to_string()})),
                }
            });
        }
    }
    Ok(())
}

async fn account(ua: &UserAgent, options: &Options) -> Result<Account, tiny_ua::Error> {
    let Some(aor) = &options.account else {
        return ua.account(format!("sip:anonymous@{}", ua.addresses()[0].1)).build().await;
    };
    let mut builder = ua.account(aor.clone());
    if let Some(password) = &options.password {
        builder = builder.password(password.clone());
    }
    if let Some(proxy) = &options.proxy {
        builder = builder.outbound_proxy(proxy.clone());
        if proxy.starts_with("sips:") || proxy.contains("transport=tls") {
            builder = builder.transport(Transport::Tls);
        }
    }
    builder.register().await
}

/// Takes in what the peer opens, until the call ends.
async fn converse(call: Call, options: Options) {
    while let Some(event) = call.next_event().await {
        match event {
            CallEvent::DataChannel(channel) => {
                let options = options.clone();
                tokio::spawn(async move {
                    if let Err(e) = serve(channel, options).await {
                        say(json!({"event": "failed", "reason": e.to_string()}));
                    }
                });
            }
            CallEvent::Ended(end) => say(json!({"event": "ended", "reason": end.reason})),
            _ => {}
        }
    }
}

async fn serve(channel: DataChannel, options: Options) -> Result<(), tiny_ua::Error> {
    say(json!({"event": "open", "label": channel.label(), "id": channel.id()}));
    let sender = match options.bytes {
        Some(bytes) => {
            let (channel, data) = (channel.clone(), made_up(bytes));
            Some(tokio::spawn(async move { send(&channel, &data).await }))
        }
        None => None,
    };
    let (mut bytes, mut sum) = (0, SEED);
    while let Some(message) = channel.recv().await {
        let data: &[u8] = match &message {
            DataMessage::Text(text) => text.as_bytes(),
            DataMessage::Binary(data) => data,
        };
        (bytes, sum) = (bytes + data.len(), checksum(sum, data));
        if options.echo {
            channel.send(message).await?;
        }
        say(json!({"event": "received", "label": channel.label(), "bytes": bytes,
            "checksum": format!("{sum:08x}")}));
    }
    if let Some(sender) = sender {
        sender.abort();
    }
    say(json!({"event": "closed", "label": channel.label(), "bytes": bytes}));
    Ok(())
}

async fn send(channel: &DataChannel, data: &[u8]) -> Result<(), tiny_ua::Error> {
    for piece in data.chunks(PIECE) {
        channel.send_binary(piece.to_vec()).await?;
    }
    let sum = format!("{:08x}", checksum(SEED, data));
    say(json!({"event": "sent", "label": channel.label(), "bytes": data.len(), "checksum": sum}));
    Ok(())
}

fn made_up(bytes: usize) -> Vec<u8> {
    (0..bytes as u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect()
}

const SEED: u32 = 0x811c_9dc5;

/// FNV-1a in 32 bits, which is three lines in any language.
fn checksum(sum: u32, data: &[u8]) -> u32 {
    data.iter().fold(sum, |sum, byte| (sum ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}

#[allow(clippy::print_stdout)]
fn say(line: serde_json::Value) {
    println!("{line}");
}
