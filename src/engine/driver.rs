//! Runs the engine's core on tokio: sockets, timers, names, the command queue.

mod network;

use super::core::{Core, Input, Request};
use super::reach::{Outcome, Race, bound_for, words};
use crate::agent::Shared;
use crate::command::Command;
use crate::config::{ANY, Config};
use crate::media::MediaNotice;
use crate::media::worker::Workers;
use crate::trace::{TraceKind, TracePacket};
use crate::{Error, Event, Tcp, Udp};
use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant, SystemTime};
use tiny_media::Registry;
use tiny_net::resolve::{Dns, Query, Resolver, Target as Found};
use tiny_net::tls::Roots;
use tiny_net::{NetEvent, SipTransports};
use tiny_sak::{Flow, Output, Rng, Transport};
use tiny_sip::{QueryKey, Target};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

/// What the engine is made of.
pub(crate) struct Parts {
    pub(crate) config: Config,
    pub(crate) rng: Rng,
    pub(crate) inbox: mpsc::UnboundedReceiver<Command>,
    pub(crate) events: mpsc::Sender<Event>,
    pub(crate) shared: Weak<Shared>,
    pub(crate) registry: Registry,
}

type Addresses = Vec<(Transport, SocketAddr)>;

/// Binds the sockets and starts the engine, on the current runtime or on one of its own.
pub(crate) async fn start(parts: Parts) -> Result<Addresses, Error> {
    let (ready, started) = oneshot::channel();
    match tokio::runtime::Handle::try_current() {
        Ok(runtime) => {
            runtime.spawn(run(parts, ready));
        }
        Err(_) => {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .map_err(|e| Error::Limit(format!("cannot start a runtime: {e}")))?;
            std::thread::Builder::new()
                .name("tiny-ua".into())
                .spawn(move || runtime.block_on(run(parts, ready)))
                .map_err(|e| Error::Limit(format!("cannot start a thread: {e}")))?;
        }
    }
    started.await.map_err(|_| Error::Ended("the agent"))?
}

async fn run(mut parts: Parts, ready: oneshot::Sender<Result<Addresses, Error>>) {
    let mut net = SipTransports::new(parts.config.net.clone());
    let tls = &parts.config.net.tls;
    // What was given is looked at now; the platform's roots when they are needed first.
    let given = tls.client.is_some() || tls.server.is_some() || matches!(tls.roots, Roots::Only(_));
    if let Err(e) = if given { net.set_tls(tls) } else { Ok(()) } {
        let _ = ready.send(Err(Error::config("tls", e)));
        return;
    }
    let addresses = match bind(&mut net, &parts.config) {
        Ok(addresses) => addresses,
        Err(e) => {
            let _ = ready.send(Err(e));
            return;
        }
    };
    let (notices_in, notices) = mpsc::unbounded_channel();
    let plane = match Workers::start(&parts.config, parts.rng.fork(), notices_in) {
        Ok(plane) => plane,
        Err(e) => {
            let _ = ready.send(Err(e));
            return;
        }
    };
    let trace = parts.config.trace.clone();
    let config = parts.config;
    let (net_config, dns) = (config.net.clone(), config.dns.clone());
    let resolver = new_resolver(&net_config, dns.as_ref());
    let mut core = Core::new(config, parts.registry, parts.rng, plane, parts.events, parts.shared);
    addresses.iter().for_each(|(transport, address)| core.bind(*transport, *address));
    let _ = ready.send(Ok(addresses.clone()));
    let jobs = JoinSet::new();
    let registry = core.registry().clone();
    let (inbox, races) = (parts.inbox, Vec::new());
    let (homeless, offline) = (Vec::new(), false);
    let driver = Driver {
        core,
        net,
        inbox,
        notices,
        jobs,
        registry,
        addresses,
        homeless,
        resolver,
        net_config,
        dns,
        races,
        trace,
        offline,
    };
    driver.run().await;
}

fn new_resolver(config: &tiny_net::Config, dns: Option<&Arc<dyn Dns>>) -> Resolver {
    match dns {
        Some(dns) => Resolver::with_dns(config, Arc::clone(dns), None),
        None => Resolver::new(config),
    }
}

/// Binds what the configuration asks for. Without a wish: UDP and TCP on one free port, and on the
/// same one of IPv6 where the system has it.
fn bind(net: &mut SipTransports, config: &Config) -> Result<Addresses, Error> {
    let default = [Udp::at(ANY), Tcp::at(ANY)];
    let wishes = if config.listen.is_empty() { &default[..] } else { &config.listen[..] };
    let mut bound: Addresses = Vec::new();
    let defaults = config.listen.is_empty();
    for wish in wishes {
        let mut address = wish.address;
        // TCP beside UDP takes the port that UDP was given.
        let beside = |(t, b): &&(Transport, SocketAddr)| {
            wish.transport == Transport::Tcp && *t == Transport::Udp && b.ip() == address.ip()
        };
        let sibling = bound.iter().find(beside);
        let follows = match (address.port(), sibling) {
            (0, Some((_, sibling))) => {
                address.set_port(sibling.port());
                true
            }
            _ => false,
        };
        let local = match net.bind(wish.transport, address) {
            // That one is taken over TCP: any free port was asked for, so another will do.
            Err(_) if follows => net.bind(wish.transport, wish.address),
            other => other,
        };
        bound.push((wish.transport, local.map_err(|e| Error::config("listen", e))?));
    }
    if let (true, [(_, first), ..]) = (defaults, &bound[..]) {
        let everywhere = SocketAddr::new(IpAddr::from([0; 16]), first.port());
        for transport in [Transport::Udp, Transport::Tcp] {
            match net.bind(transport, everywhere) {
                Ok(local) => bound.push((transport, local)),
                Err(e) => tracing::debug!("{e}"),
            }
        }
    }
    Ok(bound)
}

struct Driver {
    core: Core<Workers>,
    net: SipTransports,
    inbox: mpsc::UnboundedReceiver<Command>,
    notices: mpsc::UnboundedReceiver<MediaNotice>,
    jobs: JoinSet<Job>,
    registry: Registry,
    addresses: Addresses,
    /// What was listened on and has no address on this network.
    homeless: Addresses,
    resolver: Resolver,
    net_config: tiny_net::Config,
    dns: Option<Arc<dyn Dns>>,
    /// There is no network: what is sent is lost.
    offline: bool,
    races: Vec<Race>,
    trace: Option<Arc<dyn crate::Trace>>,
}

/// What a look-up found.
enum Job {
    Resolved { query: QueryKey, name: Option<Arc<str>>, found: Result<Vec<Found>, String> },
    Located { job: u64, address: Result<IpAddr, Error> },
    Opened { job: u64, audio: Result<crate::audio::OpenAudio, Error> },
}

impl Driver {
    async fn run(mut self) {
        let far = Duration::from_secs(3600);
        let sleep = tokio::time::sleep(far);
        tokio::pin!(sleep);
        let mut armed = None;
        while let Some(deadline) = self.drain() {
            if deadline != armed {
                armed = deadline;
                let at = deadline.unwrap_or_else(|| Instant::now() + far);
                sleep.as_mut().reset(at.into());
            }
            tokio::select! {
                event = self.net.recv() => {
                    // What media has found goes before what the peer says of it.
                    while let Ok(notice) = self.notices.try_recv() {
                        self.core.handle(Instant::now(), Input::Media(notice));
                    }
                    self.net_event(event);
                }
                command = self.inbox.recv() => {
                    // The last handle is gone without a word: end as if it had said so.
                    let command = command.unwrap_or_else(|| {
                        Command::Shutdown { reply: oneshot::channel().0 }
                    });
                    match command {
                        Command::Network { news, reply } => self.network_changed(news, reply),
                        command => self.core.handle(Instant::now(), Input::Command(command)),
                    }
                }
                Some(notice) = self.notices.recv() => {
                    self.core.handle(Instant::now(), Input::Media(notice));
                }
                Some(job) = self.jobs.join_next(), if !self.jobs.is_empty() => {
                    if let Ok(job) = job {
                        self.job_done(job);
                    }
                }
                () = &mut sleep => {
                    armed = None;
                    let now = Instant::now();
                    self.run_races(now, |race| race.tick(now));
                    self.core.handle(now, Input::Timeout);
                }
            }
        }
        self.net.flush();
    }

    /// Carries out everything the core wants; `None` when it has ended.
    fn drain(&mut self) -> Option<Option<Instant>> {
        let now = Instant::now();
        let unix = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        self.core.set_clock(now, unix.map_or(0, |d| d.as_secs() as i64));
        loop {
            match self.core.poll(now) {
                Output::Transmit(_) if self.offline => {}
                Output::Transmit(transmit) => {
                    self.traced(true, transmit.flow, &transmit.data);
                    match &transmit.name {
                        Some(name) => self.net.send_to(transmit.flow, name, transmit.data),
                        None => self.net.send(transmit.flow, transmit.data),
                    }
                }
                Output::Event(Request::Done) => return None,
                Output::Event(Request::Resolve { query, host, port, transport, secure, name }) => {
                    let hop = self.query(host, port, transport, secure);
                    self.resolve(query, hop, name);
                }
                Output::Event(Request::Alias { flow, sent_by }) => {
                    let granted = self.net.alias(flow, sent_by);
                    tracing::debug!(%flow, %sent_by, granted, "offered as an alias");
                }
                Output::Event(Request::SetTls { tls, reply }) => {
                    let set = self.net.set_tls(&tls).map_err(|e| Error::config("tls", e));
                    let _ = reply.send(set);
                }
                Output::Event(Request::Close { flow }) => self.net.close(flow),
                Output::Event(Request::Open { job, audio }) => self.open_audio(job, *audio),
                Output::Event(Request::Locate { job, uri, transport }) => {
                    self.locate(job, &uri, transport);
                }
                Output::Timeout(deadline) => {
                    let races = self.races.iter().filter_map(Race::deadline);
                    return Some(deadline.into_iter().chain(races).min());
                }
            }
        }
    }

    fn net_event(&mut self, event: NetEvent) {
        let now = Instant::now();
        if self.offline {
            return;
        }
        let input = match event {
            NetEvent::Datagram { flow, data } => {
                self.traced(false, flow, &data);
                tiny_sip::Input::Datagram { flow, data }
            }
            NetEvent::Stream { flow, data } => {
                self.traced(false, flow, &data);
                tiny_sip::Input::Stream { flow, data }
            }
            NetEvent::Opened { flow } => return self.run_races(now, |race| race.opened(flow)),
            NetEvent::Closed { flow, error: None } => tiny_sip::Input::StreamClosed { flow },
            NetEvent::Closed { flow, error: Some(error) } => {
                let reason = format!("the connection broke: {error}");
                tiny_sip::Input::Unreachable { flow, reason }
            }
            NetEvent::SendFailed { flow, error } => {
                let reliable = flow.transport.is_reliable() && error != ErrorKind::QuotaExceeded;
                let told = self.net.failure(flow).filter(|_| reliable);
                let reason = told.map_or_else(|| words(error), str::to_owned);
                self.run_races(now, |race| race.failed(flow, &reason));
                tiny_sip::Input::Unreachable { flow, reason }
            }
            _ => return,
        };
        self.core.handle(now, Input::Sip(input));
    }

    fn job_done(&mut self, job: Job) {
        let now = Instant::now();
        match job {
            Job::Resolved { query, name, found } => self.resolved(now, query, name, found),
            Job::Opened { job, audio } => self.core.handle(now, Input::Opened { job, audio }),
            Job::Located { job, address } => {
                self.core.handle(now, Input::Located { job, address });
            }
        }
    }

    fn resolve(&mut self, query: QueryKey, hop: Query, name: Option<Arc<str>>) {
        let resolver = self.resolver.clone();
        self.jobs.spawn(async move {
            let found = resolver.targets(hop).await;
            Job::Resolved { query, name, found: found.map_err(|e| e.to_string()) }
        });
    }

    fn resolved(
        &mut self,
        now: Instant,
        query: QueryKey,
        name: Option<Arc<str>>,
        found: Result<Vec<Found>, String>,
    ) {
        let found = match found {
            Ok(found) => found,
            Err(reason) => return self.unresolved(now, query, reason),
        };
        let mut targets: Vec<Target> = Vec::with_capacity(found.len());
        for found in &found {
            targets.extend(self.with_local(found));
        }
        if targets.is_empty() {
            let all: Vec<String> = found.iter().map(|f| f.addr.to_string()).collect();
            let reason = format!("no address of ours reaches {}", all.join(", "));
            return self.unresolved(now, query, reason);
        }
        match Race::new(now, query, name, targets) {
            Ok(race) => self.start_race(now, race),
            Err(targets) => self.core.resolved(now, query, targets),
        }
    }

    fn unresolved(&mut self, now: Instant, query: QueryKey, reason: String) {
        self.core.handle(now, Input::Sip(tiny_sip::Input::Unresolved { query, reason }));
    }

    fn start_race(&mut self, now: Instant, mut race: Race) {
        let Some(first) = race.first() else { return };
        if self.net.connect(flow_to(first), race.name.as_deref()) {
            let outcome = race.opened(flow_to(first));
            return self.race_step(now, &mut race, outcome);
        }
        self.races.push(race);
    }

    /// Tells the races what happened.
    fn run_races(&mut self, now: Instant, mut what: impl FnMut(&mut Race) -> Outcome) {
        for mut race in std::mem::take(&mut self.races) {
            match what(&mut race) {
                Outcome::Goes => self.races.push(race),
                Outcome::Start(target) => {
                    if self.net.connect(flow_to(target), race.name.as_deref()) {
                        let outcome = race.opened(flow_to(target));
                        self.race_step(now, &mut race, outcome);
                    } else {
                        self.races.push(race);
                    }
                }
                over => self.race_step(now, &mut race, over),
            }
        }
    }

    fn race_step(&mut self, now: Instant, race: &mut Race, outcome: Outcome) {
        match outcome {
            Outcome::Over(targets) => self.core.resolved(now, race.query, targets),
            Outcome::Lost => {
                let reason = race.trouble.take().unwrap_or_else(|| "no connection".into());
                self.unresolved(now, race.query, reason);
            }
            Outcome::Start(_) | Outcome::Goes => {}
        }
    }

    /// A target with the address of ours that it sees; `None` where none reaches it.
    fn with_local(&mut self, found: &Found) -> Option<Target> {
        let Found { transport, addr, local: route, .. } = *found;
        let bound = match bound_for(&self.addresses, transport, addr) {
            None if transport == Transport::Udp => Some(self.other_family(addr)?),
            bound => bound,
        };
        let local = match bound {
            Some(bound) if !bound.ip().is_unspecified() => bound,
            _ if route.is_unspecified() => return None,
            Some(bound) => SocketAddr::new(route, bound.port()),
            // Connections can be opened without a listener; the peer answers on the same one. Whoever
            // listens at one address only wants to be seen there.
            None => {
                let own =
                    |a: &SocketAddr| a.is_ipv4() == addr.is_ipv4() && !a.ip().is_unspecified();
                let own = self.addresses.iter().map(|(_, a)| *a).find(own);
                self.net.client_address(transport, own.map_or(route, |own| own.ip()))
            }
        };
        Some(Target { transport, addr, local })
    }

    /// A datagram socket of the family that we do not listen on: only for who listens everywhere.
    fn other_family(&mut self, remote: SocketAddr) -> Option<SocketAddr> {
        let everywhere = |(t, a): &&(Transport, SocketAddr)| {
            *t == Transport::Udp && a.ip().is_unspecified() && a.is_ipv4() != remote.is_ipv4()
        };
        let port = self.addresses.iter().find(everywhere)?.1.port();
        let any: IpAddr = if remote.is_ipv4() { [0; 4].into() } else { [0; 16].into() };
        let bound = [port, 0].into_iter().find_map(|port| {
            let wanted = SocketAddr::new(any, port);
            self.net.bind(Transport::Udp, wanted).inspect_err(|e| tracing::debug!("{e}")).ok()
        })?;
        self.addresses.push((Transport::Udp, bound));
        self.core.bind(Transport::Udp, bound);
        Some(bound)
    }

    /// What a look-up needs to know beside the URI.
    fn query(
        &self,
        host: String,
        port: Option<u16>,
        transport: Option<Transport>,
        secure: bool,
    ) -> Query {
        // RFC 3263 §4.1: UDP where nothing is said, as long as we listen there.
        let udp = self.addresses.iter().any(|(have, _)| *have == Transport::Udp);
        let usable = |t: &&Transport| udp || **t != Transport::Udp;
        let supported = SipTransports::supported().iter().filter(usable).copied().collect();
        Query { port, transport, secure, supported, ..Query::new(host) }
    }

    fn locate(&mut self, job: u64, uri: &str, transport: Option<Transport>) {
        let Ok(uri) = tiny_sip::Uri::parse(uri) else { return };
        let host = uri.maddr().unwrap_or(uri.host()).trim_matches(['[', ']']).to_owned();
        let transport = uri.transport().or(transport);
        let hop = self.query(host, uri.port(), transport, uri.is_sips());
        let resolver = self.resolver.clone();
        self.jobs.spawn(async move {
            let address = match resolver.targets(hop).await.as_deref() {
                Ok([first, ..]) => Ok(first.addr.ip()),
                Ok([]) => Err(Error::Network("no address was found".into())),
                Err(e) => Err(Error::Network(e.to_string())),
            };
            Job::Located { job, address }
        });
    }

    /// Sound cards are slow: on a thread of its own.
    fn open_audio(&mut self, job: u64, audio: crate::Audio) {
        let registry = self.registry.clone();
        self.jobs.spawn(async move {
            let opened = crate::agent::off_thread(move || audio.open(&registry)).await;
            Job::Opened { job, audio: opened.and_then(|audio| audio) }
        });
    }

    fn traced(&self, outgoing: bool, flow: Flow, data: &[u8]) {
        if let Some(trace) = &self.trace {
            let (at, kind) = (SystemTime::now(), TraceKind::Sip);
            trace.packet(TracePacket { at, outgoing, kind, flow, data });
        }
    }
}

fn flow_to(target: Target) -> Flow {
    Flow { transport: target.transport, local: target.local, remote: target.addr }
}
