//! WebSocket connections (RFC 6455) with the sub-protocol `sip` (RFC 7118): one SIP message a
//! WebSocket message, text where it is UTF-8. Silence is broken by a ping, then by hanging up.

use super::task::{Activity, Failure, LINGER, Up, What};
use crate::Config;
use bytes::Bytes;
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use tiny_sak::Flow;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::http::{HeaderValue, StatusCode, header};
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, WebSocketConfig, frame::Utf8Bytes};
use tokio_tungstenite::tungstenite::{Error, Message, client::IntoClientRequest};

pub(super) type Socket<S> = WebSocketStream<S>;

const SIP: HeaderValue = HeaderValue::from_static("sip");

/// The handshake of RFC 7118 §4.1: as a server where nobody is named.
pub(super) async fn open<S: AsyncRead + AsyncWrite + Unpin>(
    flow: Flow,
    name: &str,
    stream: S,
    config: &Config,
) -> Result<Socket<S>, Failure> {
    let mut limits = WebSocketConfig::default();
    limits.read_buffer_size = config.stream_read_size.max(1);
    limits.write_buffer_size = 0;
    limits.max_message_size = Some(config.ws_max_message);
    limits.max_frame_size = Some(config.ws_max_message);
    let limits = Some(limits);
    if name.is_empty() {
        return tokio_tungstenite::accept_hdr_async_with_config(stream, offered_sip, limits)
            .await
            .map_err(failure);
    }
    let host = if name.contains(':') { format!("[{name}]") } else { name.to_owned() };
    let (port, default) = (flow.remote.port(), flow.transport.default_port());
    let host = if port == default { host } else { format!("{host}:{port}") };
    let scheme = if flow.transport.is_secure() { "wss" } else { "ws" };
    let path = config.ws_path.strip_prefix('/').unwrap_or(&config.ws_path);
    let mut request = format!("{scheme}://{host}/{path}").into_client_request().map_err(failure)?;
    request.headers_mut().insert(header::SEC_WEBSOCKET_PROTOCOL, SIP);
    let connecting = tokio_tungstenite::client_async_with_config(request, stream, limits);
    let (socket, _) = connecting.await.map_err(failure)?;
    Ok(socket)
}

/// "The client MUST include the value "sip" in the Sec-WebSocket-Protocol header" (§4.1).
#[allow(clippy::result_large_err, reason = "the callback's type is tungstenite's")]
fn offered_sip(request: &Request, mut response: Response) -> Result<Response, ErrorResponse> {
    let offers = request.headers().get_all(header::SEC_WEBSOCKET_PROTOCOL);
    let offered = offers.iter().filter_map(|value| value.to_str().ok());
    if offered.flat_map(|value| value.split(',')).any(|p| p.trim().eq_ignore_ascii_case("sip")) {
        response.headers_mut().insert(header::SEC_WEBSOCKET_PROTOCOL, SIP);
        return Ok(response);
    }
    let mut refusal = ErrorResponse::new(Some("the WebSocket sub-protocol must be sip".to_owned()));
    *refusal.status_mut() = StatusCode::BAD_REQUEST;
    Err(refusal)
}

fn failure(error: Error) -> Failure {
    let kind = match &error {
        Error::Io(e) => e.kind(),
        Error::Http(_) => io::ErrorKind::ConnectionRefused,
        _ => io::ErrorKind::InvalidData,
    };
    Failure(kind, format!("WebSocket: {error}"))
}

fn kind_of(error: &Error) -> Option<io::ErrorKind> {
    match error {
        Error::ConnectionClosed | Error::AlreadyClosed => None,
        Error::Io(e) => Some(e.kind()),
        Error::Protocol(_) => Some(io::ErrorKind::ConnectionReset),
        _ => Some(io::ErrorKind::InvalidData),
    }
}

/// Carries messages both ways until something ends the connection.
pub(super) async fn carry<S: AsyncRead + AsyncWrite + Unpin>(
    socket: Socket<S>,
    waiting: mpsc::Receiver<Bytes>,
    queued_bytes: &AtomicUsize,
    up: &Up,
    config: &Config,
) {
    let (mut sink, mut stream) = socket.split();
    // `heard` is what the peer did; `active` what either did, pings aside.
    let (heard, active) = (Activity::new(), Activity::new());
    let mut down = Down { waiting, queued_bytes, config };
    let ended = tokio::select! {
        end = read_all(&mut stream, up, &heard, &active) => end,
        end = down.write_all(&mut sink, &heard, &active) => end,
        () = active.idle_for(config.idle_timeout) => Ok(()),
    };
    match ended {
        Ok(()) => {
            up.tell(What::Closed(None)).await;
            let _ = timeout(LINGER, sink.close()).await;
        }
        Err(kind) => {
            up.tell(What::Closed(kind)).await;
            let code = match kind {
                Some(io::ErrorKind::InvalidData) => CloseCode::Size,
                _ => CloseCode::Normal,
            };
            let farewell = Message::Close(Some(CloseFrame { code, reason: Utf8Bytes::default() }));
            let _ = timeout(LINGER, sink.send(farewell)).await;
        }
    }
    // What the peer still says is read, so that nothing just written is lost to a reset.
    let rest = async { while let Some(Ok(_)) = stream.next().await {} };
    let _ = timeout(LINGER, rest).await;
}

type Ended = Result<(), Option<io::ErrorKind>>;

async fn read_all<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut SplitStream<Socket<S>>,
    up: &Up,
    heard: &Activity,
    active: &Activity,
) -> Ended {
    while let Some(message) = stream.next().await {
        let data = match message {
            Ok(Message::Text(text)) => Bytes::from(text),
            Ok(Message::Binary(data)) => data,
            Ok(Message::Close(_)) => return Ok(()),
            Ok(_) => {
                heard.touch();
                continue;
            }
            Err(e) => return Err(kind_of(&e)),
        };
        heard.touch();
        active.touch();
        up.tell(What::Message(data)).await;
        if up.is_gone() {
            return Ok(());
        }
    }
    Ok(())
}

struct Down<'a> {
    waiting: mpsc::Receiver<Bytes>,
    queued_bytes: &'a AtomicUsize,
    config: &'a Config,
}

impl Down<'_> {
    // Ends well when the engine has let go of the queue and all of it is written.
    async fn write_all<S: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        sink: &mut SplitSink<Socket<S>, Message>,
        heard: &Activity,
        active: &Activity,
    ) -> Ended {
        let interval = self.config.ws_ping_interval;
        // The last ping, and when the peer had last been heard then.
        let mut asked: Option<(Instant, Instant)> = None;
        loop {
            let unanswered = asked.filter(|(_, before)| *before == heard.last());
            let deadline = unanswered.map_or(heard.last(), |(at, _)| at) + interval;
            let message = tokio::select! {
                data = self.waiting.recv() => match data {
                    None => return Ok(()),
                    Some(data) => {
                        self.queued_bytes.fetch_sub(data.len(), Relaxed);
                        active.touch();
                        // §4.2: what is not UTF-8 throughout is binary.
                        match Utf8Bytes::try_from(data.clone()) {
                            Ok(text) => Message::Text(text),
                            Err(_) => Message::Binary(data),
                        }
                    }
                },
                () = tokio::time::sleep_until(deadline) => {
                    if unanswered.is_some_and(|(_, before)| before == heard.last()) {
                        return Err(Some(io::ErrorKind::TimedOut));
                    }
                    if heard.last() + interval > Instant::now() {
                        continue;
                    }
                    asked = Some((Instant::now(), heard.last()));
                    Message::Ping(Bytes::new())
                }
            };
            self.write(sink, message).await?;
        }
    }

    async fn write<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        sink: &mut SplitSink<Socket<S>, Message>,
        message: Message,
    ) -> Ended {
        match timeout(self.config.write_timeout, sink.send(message)).await {
            Err(_) => Err(Some(io::ErrorKind::TimedOut)),
            Ok(sent) => sent.map_err(|e| kind_of(&e)),
        }
    }
}
