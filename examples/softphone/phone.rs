//! One telephone: the user agent, its account, and what becomes of its events.

use crate::cli::Command;
use crate::commands;
use crate::events::{Event, Reporter, unpin};
use crate::recorder::{Ladder, Recorder};
use crate::settings::{Problem, Settings};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tiny_ua::{Account, Audio, Call, Error, IncomingCall, Tls, Trace, Transport, UserAgent};
use tokio::sync::{mpsc, watch};

/// Why a command did not do what it was asked for.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Exit status 2: an option or setting is wrong.
    Usage(Problem),
    /// Exit status 1, with the last word still to be said.
    Failed(String),
    /// Exit status 1; an event has said why.
    Said,
}

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        Self::Usage(problem)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match error {
            Error::Config { field, reason } => Self::Usage(match option_of(&field) {
                Some(option) => Problem::new(option, reason),
                None => Problem::new(&field, reason),
            }),
            other => Self::Failed(other.to_string()),
        }
    }
}

/// The option behind a setting of the agent.
fn option_of(field: &str) -> Option<&'static str> {
    Some(match field {
        "listen" => "--listen",
        "codecs" => "--codecs",
        "account" => "--aor",
        "header" => "--header",
        "registrar" => "--registrar",
        "outbound proxy" => "--outbound-proxy",
        "media_address" | "media address" => "--media-address",
        "rtp_ports" | "rtp ports" => "--rtp-ports",
        "ptime_ms" | "ptime" => "--ptime",
        _ => return None,
    })
}

/// Becomes true once the user wants to stop.
#[derive(Debug, Clone)]
pub(crate) struct Stop(watch::Receiver<bool>);

impl Stop {
    /// Listens to Ctrl-C and SIGTERM. The second one ends the process at once.
    pub(crate) fn on_signals() -> Result<Self, Failure> {
        let (tell, told) = watch::channel(false);
        #[cfg(unix)]
        let mut terminate = {
            use tokio::signal::unix::{SignalKind, signal};
            signal(SignalKind::terminate()).map_err(|e| Failure::Failed(e.to_string()))?
        };
        tokio::spawn(async move {
            loop {
                #[cfg(unix)]
                tokio::select! {
                    _ = tokio::signal::ctrl_c() => {}
                    _ = terminate.recv() => {}
                }
                #[cfg(not(unix))]
                let _ = tokio::signal::ctrl_c().await;
                if *tell.borrow() {
                    unpin();
                    std::process::exit(130);
                }
                let _ = tell.send(true);
            }
        });
        Ok(Self(told))
    }

    pub(crate) fn is_set(&self) -> bool {
        *self.0.borrow()
    }

    /// Returns once it is time to stop.
    pub(crate) async fn wait(&mut self) {
        if self.0.wait_for(|stop| *stop).await.is_err() {
            std::future::pending().await
        }
    }
}

/// How the last registration went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Registration {
    Unknown,
    Registered,
    /// The agent tries again by itself.
    Retrying,
    /// It does not.
    Failed,
}

/// A telephone that is ready.
pub(crate) struct Phone {
    pub(crate) ua: UserAgent,
    pub(crate) account: Account,
    pub(crate) settings: Settings,
    pub(crate) reporter: Reporter,
    pub(crate) stop: Stop,
    pub(crate) registration: watch::Receiver<Registration>,
    calls: AtomicU64,
}

/// A telephone and what belongs to one owner of it.
pub(crate) struct Desk {
    pub(crate) phone: Arc<Phone>,
    pub(crate) incoming: mpsc::Receiver<IncomingCall>,
    /// Calls that go on in the place of others.
    pub(crate) continued: mpsc::Receiver<Call>,
    pub(crate) recorder: Option<Recorder>,
}

impl Desk {
    /// Opens sockets, adds the account, and registers when there is a registrar. `towards` is the
    /// peer's URI where there is one; `tap` sees the packets in place of a recorder of its own.
    pub(crate) async fn open(
        settings: Settings,
        reporter: Reporter,
        stop: Stop,
        command: Option<&Command>,
        towards: Option<&str>,
        tap: Option<Arc<dyn Trace>>,
    ) -> Result<Self, Failure> {
        let recorder = if settings.trace.is_some() || settings.report.is_some() {
            let name = settings.display.clone().or_else(|| settings.aor.clone());
            let columns = vec![name.unwrap_or_else(|| "softphone".into())];
            Some(Recorder::start(settings.trace.as_deref(), columns, reporter.started())?)
        } else {
            None
        };
        let mut builder = UserAgent::builder()
            .listen(settings.listen)
            .srtp(settings.srtp)
            .ice(settings.ice)
            .webrtc(settings.webrtc)
            .tls(settings.tls.clone());
        for server in &settings.ice_servers {
            builder = builder.ice_server(server.clone());
        }
        if let Some(server) = settings.dns_server {
            builder = builder.name_servers(&[server]);
        }
        if settings.tls.server.is_some() {
            let mut at = settings.listen;
            // 5061 beside 5060 (RFC 3261 §19.1.2).
            at.set_port(if at.port() == 0 { 0 } else { at.port().saturating_add(1) });
            builder = builder.transport(Tls::at(at));
        }
        if let Some(address) = settings.media_address {
            UdpSocket::bind((address, 0)).map_err(|e| {
                Problem::new("--media-address", format!("{address}: {e}; is it of this machine?"))
            })?;
            builder = builder.media_address(address);
        }
        if let Some(ports) = settings.rtp_ports.clone() {
            builder = builder.rtp_ports(ports);
        }
        if !settings.codecs.is_empty() {
            builder = builder.codecs(settings.codecs.clone());
        }
        if let Some(ms) = settings.ptime {
            builder = builder.ptime_ms(ms);
        }
        if let Some(tap) = tap.or_else(|| recorder.as_ref().map(|r| r.tap(0))) {
            builder = builder.trace(tap);
        }
        let ua = builder.build().await.map_err(|e| listen_error(e, settings.listen))?;
        let address = listening(&ua).unwrap_or(settings.listen);
        let hop = settings.outbound_proxies.first().map(String::as_str);
        let next_hop = hop.or(settings.registrar.as_deref()).or(towards);
        let account = add_account(&ua, &settings, command, address, next_hop).await?;
        let tls = ua.addresses().iter().find(|(t, _)| *t == Transport::Tls);
        let tls = tls.map(|(_, address)| address.to_string());
        reporter.event(&Event::Listening { sip: address.to_string(), tls });
        let (incoming_in, incoming) = mpsc::channel(1024);
        let (continued_in, continued) = mpsc::channel(1024);
        let (registration_in, registration) = watch::channel(Registration::Unknown);
        let aor = account.aor().to_owned();
        tokio::spawn(pump(
            ua.clone(),
            aor,
            reporter.clone(),
            incoming_in,
            continued_in,
            registration_in,
        ));
        let calls = AtomicU64::new(0);
        let phone = Phone { ua, account, settings, reporter, stop, registration, calls };
        let desk = Self { phone: Arc::new(phone), incoming, continued, recorder };
        if desk.phone.settings.registrar.is_some()
            && let Err(e) = desk.phone.register().await
        {
            // What went over the wire is most wanted when it failed.
            commands::finish(desk, None, "Registration").await?;
            return Err(e);
        }
        Ok(desk)
    }

    /// Hangs up, unregisters, and gives what was recorded.
    pub(crate) async fn close(self) -> Option<Ladder> {
        self.phone.ua.shutdown().await;
        self.recorder.map(Recorder::finish)
    }
}

impl Phone {
    /// A number for one more call.
    pub(crate) fn number(&self) -> u64 {
        self.calls.fetch_add(1, Ordering::Relaxed) + 1
    }

    async fn register(&self) -> Result<(), Failure> {
        let mut outcome = self.registration.clone();
        let mut stop = self.stop.clone();
        let result = tokio::select! {
            result = self.account.register() => result,
            () = stop.wait() => return Err(Failure::Said),
        };
        // The event tells it to the user; it comes at about the same time.
        let said = outcome.wait_for(|r| *r != Registration::Unknown);
        let said = tokio::time::timeout(Duration::from_secs(1), said).await.is_ok();
        match result {
            Ok(_) => Ok(()),
            Err(_) if said => Err(Failure::Said),
            Err(e) => Err(e.into()),
        }
    }

    /// The sound of call number `number`: from the second on, files get the number in their names.
    pub(crate) fn audio(&self, number: u64) -> Audio {
        let s = &self.settings;
        let output = if is_wav(&s.output) { numbered(&s.output, number) } else { s.output.clone() };
        let audio = Audio::new(s.input.clone(), output).looped(s.looped);
        match &s.record {
            Some(path) => audio.record(numbered(&path.to_string_lossy(), number)),
            None => audio,
        }
    }
}

pub(crate) fn is_wav(spec: &str) -> bool {
    spec.len() > 4 && spec.to_ascii_lowercase().ends_with(".wav")
}

/// `heard.wav` for the first call, `heard-2.wav` for the second.
fn numbered(path: &str, number: u64) -> String {
    if number <= 1 {
        return path.to_owned();
    }
    let slash = path.rfind(['/', '\\']).map_or(0, |at| at + 1);
    match path[slash..].rfind('.').filter(|at| *at > 0) {
        Some(dot) => {
            let (stem, extension) = path.split_at(slash + dot);
            format!("{stem}-{number}{extension}")
        }
        None => format!("{path}-{number}"),
    }
}

/// Whether an input and an output can be had, before anybody is called.
pub(crate) fn check_audio(ua: &UserAgent, settings: &Settings) -> Result<(), Problem> {
    use tiny_ua::AudioFormat;
    let format = AudioFormat::new(48_000, 1);
    let options = tiny_dav::SourceOptions::default();
    tiny_dav::open_source(ua.registry(), &settings.input, &options, format)
        .map_err(|e| Problem::new("--input", e))?;
    if is_wav(&settings.output) {
        check_writable("--output", settings.output.as_ref())?;
    } else {
        tiny_dav::open_sink(
            ua.registry(),
            &settings.output,
            &tiny_dav::SinkOptions::default(),
            format,
        )
        .map_err(|e| Problem::new("--output", e))?;
    }
    if let Some(path) = &settings.record {
        if !is_wav(&path.to_string_lossy()) {
            let what = format!("{}: expected a name that ends in .wav", path.display());
            return Err(Problem::new("--record", what));
        }
        check_writable("--record", path)?;
    }
    Ok(())
}

/// Whether a file can be written, without touching what is in it.
pub(crate) fn check_writable(option: &str, path: &std::path::Path) -> Result<(), Problem> {
    let existed = path.exists();
    std::fs::OpenOptions::new()
        .append(true)
        .create(true)
        .open(path)
        .map_err(|e| Problem::new(option, format!("{}: {e}", path.display())))?;
    if !existed {
        let _ = std::fs::remove_file(path);
    }
    Ok(())
}

fn listen_error(error: Error, wanted: SocketAddr) -> Failure {
    match &error {
        Error::Config { field, reason } if field == "listen" => {
            let busy = reason.contains("in use");
            Failure::Usage(Problem(if busy {
                let port = wanted.port();
                format!("port {port} is in use; choose another with --listen ADDR:PORT")
            } else {
                format!("--listen {wanted}: {reason}")
            }))
        }
        Error::Config { field, reason } if field == "ice server" => {
            Failure::Usage(Problem(format!("--turn: {reason}")))
        }
        Error::Config { field, reason } if field == "tls" => {
            Failure::Usage(Problem(format!("--ca, --cert, --key: {reason}")))
        }
        _ => error.into(),
    }
}

/// The UDP address, or the first one there is.
fn listening(ua: &UserAgent) -> Option<SocketAddr> {
    let all = ua.addresses();
    let udp = all.iter().find(|(t, _)| *t == Transport::Udp);
    udp.or(all.first()).map(|(_, address)| *address)
}

async fn add_account(
    ua: &UserAgent,
    settings: &Settings,
    command: Option<&Command>,
    listening: SocketAddr,
    next_hop: Option<&str>,
) -> Result<Account, Failure> {
    let aor = settings.aor.clone().unwrap_or_else(|| {
        let ip = if listening.ip().is_unspecified() {
            facing(next_hop, listening.is_ipv6())
        } else {
            listening.ip()
        };
        format!("sip:softphone@{}", SocketAddr::new(ip, listening.port()))
    });
    let mut builder = ua.account(aor);
    if let Some(name) = &settings.display {
        builder = builder.display_name(name);
    }
    if let Some(user) = &settings.auth_user {
        builder = builder.auth_user(user);
    }
    if let Some(password) = &settings.password {
        builder = builder.password(password.clone());
    }
    if let Some(uri) = &settings.registrar {
        builder = builder.registrar(uri);
    }
    if let Some(seconds) = settings.expires {
        builder = builder.expires(Duration::from_secs(u64::from(seconds)));
    }
    if let Some(transport) = settings.transport {
        builder = builder.transport(transport);
    }
    for uri in &settings.outbound_proxies {
        builder = builder.outbound_proxy(uri);
    }
    if let Some(Command::Register) = command {
        for (name, value) in &settings.headers {
            builder = builder.header(name, value);
        }
    }
    Ok(builder.build().await?)
}

/// Our address as the peer sees it, as far as the routing table tells; nothing is sent.
fn facing(peer: Option<&str>, v6: bool) -> IpAddr {
    let host = peer.and_then(|uri| tiny_ua::Uri::parse(uri).ok());
    let host = host.map(|uri| uri.host().trim_matches(['[', ']']).to_owned());
    let peer = host.and_then(|h| h.parse::<IpAddr>().ok());
    // TEST-NET and the documentation prefix stand for "anywhere": the default route decides.
    let anywhere: [&str; 2] = ["192.0.2.1", "2001:db8::1"];
    let peer = peer.or_else(|| anywhere[usize::from(v6)].parse().ok());
    let any: SocketAddr = match peer {
        Some(IpAddr::V6(_)) => SocketAddr::new(std::net::Ipv6Addr::UNSPECIFIED.into(), 0),
        _ => SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 0),
    };
    let local = peer.and_then(|peer| {
        let socket = UdpSocket::bind(any).ok()?;
        socket.connect(SocketAddr::new(peer, 5060)).ok()?;
        Some(socket.local_addr().ok()?.ip())
    });
    local.unwrap_or(if v6 {
        std::net::Ipv6Addr::LOCALHOST.into()
    } else {
        Ipv4Addr::LOCALHOST.into()
    })
}

/// Reads the agent's events: says what happened, and hands calls on.
async fn pump(
    ua: UserAgent,
    aor: String,
    reporter: Reporter,
    incoming: mpsc::Sender<IncomingCall>,
    continued: mpsc::Sender<Call>,
    registration: watch::Sender<Registration>,
) {
    while let Some(event) = ua.next_event().await {
        match event {
            tiny_ua::Event::IncomingCall(call) => {
                if let Err(mpsc::error::TrySendError::Full(call)) = incoming.try_send(call) {
                    call.reject(486);
                }
            }
            // Without room for it the call is dropped, which hangs it up.
            tiny_ua::Event::CallContinues { call, .. } => drop(continued.try_send(call)),
            tiny_ua::Event::Message(message) => {
                let (from, text) = (message.from().to_owned(), message.text().into_owned());
                reporter.event(&Event::Message { from, text });
            }
            tiny_ua::Event::Registered { expires, contact, .. } => {
                reporter.event(&Event::Registered { aor: aor.clone(), expires, contact });
                let _ = registration.send(Registration::Registered);
            }
            tiny_ua::Event::RegistrationFailed { status, reason, retry_in, .. } => {
                reporter.event(&Event::RegistrationFailed { status, reason });
                let again = retry_in.is_some();
                let now = if again { Registration::Retrying } else { Registration::Failed };
                let _ = registration.send(now);
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_later_calls_have_their_number() {
        assert_eq!(numbered("heard.wav", 1), "heard.wav");
        assert_eq!(numbered("heard.wav", 2), "heard-2.wav");
        assert_eq!(numbered("a.b/heard", 3), "a.b/heard-3");
        assert_eq!(numbered("/x/.wav", 2), "/x/.wav-2");
    }

    #[test]
    fn our_address_faces_the_peer() {
        assert_eq!(facing(Some("sip:bob@127.0.0.1:5070"), false), IpAddr::from([127, 0, 0, 1]));
    }
}
