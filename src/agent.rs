//! The user agent: builder and handle.

use crate::account::{AccountBuilder, check_instance, check_uri};
use crate::command::{Command, Commands};
use crate::config::{Config, Listen};
use crate::engine::driver;
use crate::network::{NetworkNews, NetworkReport};
use crate::{Error, Event, Ice, IceServer, NatReport, Srtp, Trace};
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::sync::Arc;
use tiny_media::Registry;
use tiny_net::tls::TlsConfig;
use tiny_sak::{Rng, Transport};
use tokio::sync::{Mutex, mpsc, oneshot};

/// What every handle holds.
pub(crate) struct Shared {
    pub(crate) commands: Commands,
    pub(crate) registry: Registry,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("UserAgent")
    }
}

/// Builds a [`UserAgent`].
#[derive(Debug)]
#[must_use]
pub struct UserAgentBuilder {
    config: Config,
    registry: Option<Registry>,
}

impl UserAgentBuilder {
    /// Adds an address to listen at; see [`Udp`](crate::Udp), [`Tcp`](crate::Tcp),
    /// [`Tls`](crate::Tls), [`Ws`](crate::Ws) and [`Wss`](crate::Wss). Connections to others need
    /// none.
    pub fn transport(mut self, listen: Listen) -> Self {
        self.config.listen.push(listen);
        self
    }

    /// Listens at this address by UDP and TCP.
    pub fn listen(self, address: SocketAddr) -> Self {
        self.transport(crate::Udp::at(address)).transport(crate::Tcp::at(address))
    }

    /// Certificates, keys and whom to trust under TLS; the default verifies servers against the
    /// platform's roots and has no certificate of its own.
    pub fn tls(mut self, tls: TlsConfig) -> Self {
        self.config.net.tls = tls;
        self
    }

    /// Asks these name servers in place of the system's.
    #[cfg(feature = "dns")]
    pub fn name_servers(mut self, servers: &[SocketAddr]) -> Self {
        let dns = tiny_net::resolve::SystemDns::servers(&self.config.net, servers);
        self.config.dns = Some(Arc::new(dns));
        self
    }

    /// Binds media to this address.
    pub fn media_address(mut self, address: IpAddr) -> Self {
        self.config.media_address = Some(address);
        self
    }

    /// Takes RTP ports from this range.
    pub fn rtp_ports(mut self, ports: RangeInclusive<u16>) -> Self {
        self.config.rtp_ports = ports;
        self
    }

    /// The codecs to offer and accept, most preferred first.
    pub fn codecs<S: Into<String>>(mut self, names: impl IntoIterator<Item = S>) -> Self {
        self.config.codecs = Some(names.into_iter().map(Into::into).collect());
        self
    }

    /// Milliseconds of sound in a packet.
    pub fn ptime_ms(mut self, ms: u32) -> Self {
        self.config.ptime_ms = Some(ms);
        self
    }

    /// How calls treat encryption where account and call do not say.
    pub fn srtp(mut self, srtp: Srtp) -> Self {
        self.config.srtp = srtp;
        self
    }

    /// Whether calls use ICE where account and call do not say.
    pub fn ice(mut self, ice: Ice) -> Self {
        self.config.ice = ice;
        self
    }

    /// Adds a STUN server or a relay for ICE.
    pub fn ice_server(mut self, server: IceServer) -> Self {
        self.config.ice_servers.push(server);
        self
    }

    /// Whether calls are as browsers make them, where account and call do not say; see
    /// [`Config::webrtc`].
    pub fn webrtc(mut self, on: bool) -> Self {
        self.config.webrtc = on;
        self
    }

    /// Copies every packet to `trace`.
    pub fn trace(mut self, trace: Arc<dyn Trace>) -> Self {
        self.config.trace = Some(trace);
        self
    }

    /// Codecs and device back ends in place of the built-in ones.
    pub fn registry(mut self, registry: Registry) -> Self {
        self.registry = Some(registry);
        self
    }

    /// Every other setting.
    pub fn configure(mut self, change: impl FnOnce(&mut Config)) -> Self {
        change(&mut self.config);
        self
    }

    /// Binds the sockets and starts the agent: as a task of the tokio runtime it is called in, or
    /// on a thread of its own where there is none.
    ///
    /// # Errors
    /// [`Error::Config`] names the address and port that cannot be had, or the codec that is not in
    /// this build.
    pub async fn build(mut self) -> Result<UserAgent, Error> {
        let registry = self.registry.unwrap_or_else(tiny_dav::builtin_registry);
        let registry = choose_codecs(registry, self.config.codecs.as_deref())?;
        let mut rng = Rng::from_os()
            .map_err(|e| Error::Config { field: "random numbers".into(), reason: e.to_string() })?;
        match &self.config.instance_id {
            Some(urn) => check_instance(urn)?,
            None => self.config.instance_id = Some(uuid_urn(&mut rng)),
        }
        let instance = self.config.instance_id.clone().unwrap_or_default();
        crate::headers::check_rules(&self.config.sip.header_rules)?;
        self.config.ice_servers.iter().try_for_each(IceServer::check)?;
        crate::ice::check_webrtc(Some(self.config.webrtc))?;
        crate::ice::check_data(Some(self.config.offer_data))?;
        let (commands, inbox) = mpsc::unbounded_channel();
        let (events_in, events) = mpsc::channel(self.config.max_pending_events.max(1));
        let shared = Arc::new(Shared { commands: Commands(commands), registry });
        let parts = driver::Parts {
            config: self.config,
            rng,
            inbox,
            events: events_in,
            shared: Arc::downgrade(&shared),
            registry: shared.registry.clone(),
        };
        let addresses = driver::start(parts).await?;
        let inner =
            Arc::new(AgentInner { shared, addresses, instance, events: Mutex::new(events) });
        Ok(UserAgent { inner })
    }
}

/// RFC 9562 §5.4: a random UUID.
fn uuid_urn(rng: &mut Rng) -> String {
    let (high, low) = (rng.u64(), rng.u64());
    let (high, low) = (high & !0xf000 | 0x4000, low & !(3 << 62) | 1 << 63);
    let (a, b, c) = (high >> 32, high >> 16 & 0xffff, high & 0xffff);
    format!("urn:uuid:{a:08x}-{b:04x}-{c:04x}-{:04x}-{:012x}", low >> 48, low & 0xffff_ffff_ffff)
}

// Keeps the named codecs in the named order.
fn choose_codecs(registry: Registry, names: Option<&[String]>) -> Result<Registry, Error> {
    let Some(names) = names else { return Ok(registry) };
    let mut chosen = Registry::new();
    for name in names {
        let known = registry.codecs().iter();
        let mut same = known.filter(|c| c.description().name.eq_ignore_ascii_case(name)).peekable();
        if same.peek().is_none() {
            let all: Vec<_> = registry.codecs().iter().map(|c| c.description().name).collect();
            let reason = format!("'{name}' is not in this build; there are {}", all.join(", "));
            return Err(Error::config("codecs", reason));
        }
        same.for_each(|c| chosen.add_codec(c.clone()));
    }
    registry.backends().iter().for_each(|b| chosen.add_backend(b.clone()));
    Ok(chosen)
}

#[derive(Debug)]
struct AgentInner {
    shared: Arc<Shared>,
    addresses: Vec<(Transport, SocketAddr)>,
    instance: String,
    events: Mutex<mpsc::Receiver<Event>>,
}

impl Drop for AgentInner {
    fn drop(&mut self) {
        let (reply, _) = oneshot::channel();
        self.shared.commands.tell(Command::Shutdown { reply });
    }
}

/// A user agent: accounts, calls, messages. Cheap to clone; any thread may hold it. When the last
/// handle is dropped it hangs up, unregisters and ends.
#[derive(Debug, Clone)]
pub struct UserAgent {
    inner: Arc<AgentInner>,
}

impl UserAgent {
    /// Begins with the default settings.
    pub fn builder() -> UserAgentBuilder {
        UserAgentBuilder { config: Config::default(), registry: None }
    }

    /// Where it listens, with the ports that were picked. After a change of network its
    /// [`NetworkReport`] has them.
    pub fn addresses(&self) -> &[(Transport, SocketAddr)] {
        &self.inner.addresses
    }

    /// The URN that names this device towards registrars; keep it, and give it back as
    /// [`Config::instance_id`] the next time (RFC 5626 §4.1).
    pub fn instance_id(&self) -> &str {
        &self.inner.instance
    }

    /// The names of the codecs, most preferred first.
    pub fn codecs(&self) -> Vec<&'static str> {
        self.registry().codecs().iter().map(|c| c.description().name).collect()
    }

    /// What is plugged in: codecs and device back ends.
    pub fn registry(&self) -> &Registry {
        &self.inner.shared.registry
    }

    /// Describes an account: an address of record such as `sip:alice@example.com`.
    pub fn account(&self, aor: impl Into<String>) -> AccountBuilder {
        AccountBuilder::new(self.inner.shared.clone(), aor.into())
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.inner.shared
    }

    /// Whether a text would do as a call target.
    ///
    /// # Errors
    /// [`Error::Config`] says what is wrong with it.
    pub fn check_uri(text: &str) -> Result<(), Error> {
        check_uri("URI", text)
    }

    /// The next event; `None` when the agent has ended.
    pub async fn next_event(&self) -> Option<Event> {
        self.inner.events.lock().await.recv().await
    }

    /// Puts other certificates, keys and authorities in force, or the same files read again: for a
    /// certificate that was renewed. Connections that stand go on; new ones use the new settings.
    ///
    /// # Errors
    /// [`Error::Config`] says what is wrong with them; the old settings stay in force.
    pub async fn set_tls(&self, tls: TlsConfig) -> Result<(), Error> {
        let tls = Box::new(tls);
        self.inner.shared.commands.ask(|reply| Command::SetTls { tls, reply }).await
    }

    /// Tells that the machine is on another network: Wi-Fi for cellular, another address, another NAT.
    /// Sockets are bound anew, registrations, subscriptions and publications refreshed; calls that
    /// are up offer their peers the new address and go on with the same SSRC and keys; calls that
    /// nobody has answered yet are placed anew; calls that ring here go on ringing.
    ///
    /// An address that the agent was told to listen at stays while the machine has it, else it is
    /// replaced by the one that leads to the Internet. Without any, calls wait as after
    /// [`network_lost`](Self::network_lost).
    ///
    /// # Errors
    /// [`Error::Ended`] when the agent has ended.
    pub async fn network_changed(&self) -> Result<NetworkReport, Error> {
        self.tell_network(NetworkNews::Changed).await
    }

    /// The same, where the application knows the new address.
    ///
    /// # Errors
    /// [`Error::Ended`] when the agent has ended.
    pub async fn network_moved_to(&self, address: IpAddr) -> Result<NetworkReport, Error> {
        self.tell_network(NetworkNews::MovedTo(address)).await
    }

    /// Tells that there is no network. Nothing is sent until
    /// [`network_changed`](Self::network_changed) tells of the next one; calls wait for it, but not
    /// longer than [`Config::network_patience`].
    ///
    /// # Errors
    /// [`Error::Ended`] when the agent has ended.
    pub async fn network_lost(&self) -> Result<NetworkReport, Error> {
        self.tell_network(NetworkNews::Lost).await
    }

    async fn tell_network(&self, news: NetworkNews) -> Result<NetworkReport, Error> {
        self.inner.shared.commands.ask(|reply| Command::Network { news, reply }).await
    }

    /// What kind of NAT is in the way of media, by asking STUN servers (`host` or `host:port`) from a
    /// port of its own (RFC 5780). With one server that has a second address, or two servers, it tells
    /// how the NAT chooses outer addresses. A report for people: calls do not depend on it.
    ///
    /// # Errors
    /// [`Error::Network`] where no server has an address.
    pub async fn nat_report(&self, servers: &[&str]) -> Result<NatReport, Error> {
        let servers: Vec<String> = servers.iter().map(|s| (*s).to_owned()).collect();
        off_thread(move || crate::network::nat_report(&servers)).await?
    }

    /// Hangs up all calls, unregisters all accounts, and ends; bounded by
    /// [`Config::shutdown_timeout`].
    pub async fn shutdown(&self) {
        let (reply, done) = oneshot::channel();
        self.inner.shared.commands.tell(Command::Shutdown { reply });
        let _ = done.await;
    }
}

/// Runs what may block (opening a sound card) on a thread of its own.
pub(crate) async fn off_thread<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Error> {
    let (reply, answer) = oneshot::channel();
    std::thread::Builder::new()
        .name("tiny-ua-open".into())
        .spawn(move || {
            let _ = reply.send(work());
        })
        .map_err(|e| Error::Limit(format!("cannot start a thread: {e}")))?;
    answer.await.map_err(|_| Error::Media("opening the sound failed".into()))
}
