//! Runs the engine's core on tokio: sockets, timers, names, the command queue.

use super::core::{Core, Input, Request};
use crate::agent::Shared;
use crate::command::Command;
use crate::config::{ANY, Config};
use crate::media::MediaNotice;
use crate::media::worker::Workers;
use crate::trace::{TraceKind, TracePacket};
use crate::{Error, Event, Tcp, Udp};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant, SystemTime};
use tiny_media::Registry;
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
    let mut core =
        Core::new(config.clone(), parts.registry, parts.rng, plane, parts.events, parts.shared);
    addresses.iter().for_each(|(transport, address)| core.bind(*transport, *address));
    let _ = ready.send(Ok(addresses.clone()));
    let jobs = JoinSet::new();
    let driver = Driver { core, net, inbox: parts.inbox, notices, jobs, addresses, config, trace };
    driver.run().await;
}

/// Binds what the configuration asks for. Without a wish: UDP and TCP on one free port.
fn bind(net: &mut SipTransports, config: &Config) -> Result<Addresses, Error> {
    let default = [Udp::at(ANY), Tcp::at(ANY)];
    let wishes = if config.listen.is_empty() { &default[..] } else { &config.listen[..] };
    let mut bound: Addresses = Vec::new();
    for wish in wishes {
        let mut address = wish.address;
        // TCP beside UDP takes the port that UDP was given.
        let sibling = bound.iter().find(|(_, b)| b.ip() == address.ip());
        if let (0, Some((_, sibling))) = (address.port(), sibling) {
            address.set_port(sibling.port());
        }
        let local = net.bind(wish.transport, address).map_err(|e| Error::config("listen", e))?;
        bound.push((wish.transport, local));
    }
    Ok(bound)
}

struct Driver {
    core: Core<Workers>,
    net: SipTransports,
    inbox: mpsc::UnboundedReceiver<Command>,
    notices: mpsc::UnboundedReceiver<MediaNotice>,
    jobs: JoinSet<Job>,
    addresses: Addresses,
    config: Config,
    trace: Option<Arc<dyn crate::Trace>>,
}

/// What a look-up found.
enum Job {
    Resolved { query: QueryKey, targets: Vec<Target> },
    Located { job: u64, address: Result<IpAddr, Error> },
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
                event = self.net.recv() => self.net_event(event),
                command = self.inbox.recv() => {
                    // The last handle is gone without a word: end as if it had said so.
                    let command = command.unwrap_or_else(|| {
                        Command::Shutdown { reply: oneshot::channel().0 }
                    });
                    self.core.handle(Instant::now(), Input::Command(command));
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
                    self.core.handle(Instant::now(), Input::Timeout);
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
                Output::Transmit(transmit) => {
                    self.traced(true, transmit.flow, &transmit.data);
                    self.net.send(transmit.flow, transmit.data);
                }
                Output::Event(Request::Done) => return None,
                Output::Event(Request::Resolve { query, host, port, transport, secure }) => {
                    self.resolve(query, host, port, transport, secure);
                }
                Output::Event(Request::Close { flow }) => self.net.close(flow),
                Output::Event(Request::Locate { job, host }) => self.locate(job, host),
                Output::Timeout(deadline) => return Some(deadline),
            }
        }
    }

    fn net_event(&mut self, event: NetEvent) {
        let now = Instant::now();
        let input = match event {
            NetEvent::Datagram { flow, data } => {
                self.traced(false, flow, &data);
                tiny_sip::Input::Datagram { flow, data }
            }
            NetEvent::Stream { flow, data } => {
                self.traced(false, flow, &data);
                tiny_sip::Input::Stream { flow, data }
            }
            NetEvent::Closed { flow, .. } => tiny_sip::Input::StreamClosed { flow },
            NetEvent::SendFailed { flow, error } => tiny_sip::Input::SendFailed { flow, error },
            _ => return,
        };
        self.core.handle(now, Input::Sip(input));
    }

    fn job_done(&mut self, job: Job) {
        let now = Instant::now();
        match job {
            Job::Resolved { query, targets } => self.core.resolved(now, query, targets),
            Job::Located { job, address } => {
                self.core.handle(now, Input::Located { job, address });
            }
        }
    }

    fn resolve(
        &mut self,
        query: QueryKey,
        host: String,
        port: Option<u16>,
        transport: Option<Transport>,
        secure: bool,
    ) {
        let transport = match (transport, secure) {
            (None, false) => self.preferred_transport(),
            (Some(t @ (Transport::Udp | Transport::Tcp)), false) => t,
            (other, _) => {
                let wanted = other.unwrap_or(Transport::Tls);
                tracing::warn!("{host}: {wanted} is not in this build");
                self.jobs.spawn(async move { Job::Resolved { query, targets: Vec::new() } });
                return;
            }
        };
        let port = port.unwrap_or_else(|| transport.default_port());
        let (config, addresses) = (self.config.net.clone(), self.addresses.clone());
        self.jobs.spawn(async move {
            let found = tiny_net::resolve::resolve(&host, port, &config).await;
            if let Err(e) = &found {
                tracing::debug!("{e}");
            }
            let targets = found.unwrap_or_default().into_iter().filter_map(|addr| {
                let local = local_towards(&addresses, transport, addr)?;
                Some(Target { transport, addr, local })
            });
            Job::Resolved { query, targets: targets.collect() }
        });
    }

    fn locate(&mut self, job: u64, host: String) {
        let config = self.config.net.clone();
        self.jobs.spawn(async move {
            let found = tiny_net::resolve::resolve(&host, 5060, &config).await;
            let address = match found.as_deref() {
                Ok([first, ..]) => Ok(first.ip()),
                Ok([]) => Err(Error::Network(format!("{host} has no address"))),
                Err(e) => Err(Error::Network(e.to_string())),
            };
            Job::Located { job, address }
        });
    }

    // RFC 3263 §4.1: UDP where nothing is said, as long as we listen there.
    fn preferred_transport(&self) -> Transport {
        let has = |t| self.addresses.iter().any(|(have, _)| *have == t);
        if has(Transport::Udp) || !has(Transport::Tcp) { Transport::Udp } else { Transport::Tcp }
    }

    fn traced(&self, outgoing: bool, flow: Flow, data: &[u8]) {
        if let Some(trace) = &self.trace {
            let (at, kind) = (SystemTime::now(), TraceKind::Sip);
            trace.packet(TracePacket { at, outgoing, kind, flow, data });
        }
    }
}

/// Our address for a target: the bound one, with an unspecified IP replaced by the one that faces it.
fn local_towards(
    addresses: &[(Transport, SocketAddr)],
    transport: Transport,
    remote: SocketAddr,
) -> Option<SocketAddr> {
    let same_family = |a: &SocketAddr| a.is_ipv4() == remote.is_ipv4();
    let bound = addresses.iter().find(|(t, a)| *t == transport && same_family(a)).map(|(_, a)| *a);
    let bound = match (bound, transport) {
        (Some(bound), _) => bound,
        // Connections can be opened without a listener; the peer answers on the same one.
        (None, Transport::Tcp) => {
            let any: IpAddr = if remote.is_ipv4() { [0; 4].into() } else { [0; 16].into() };
            SocketAddr::new(any, 0)
        }
        (None, _) => return None,
    };
    let ip = if bound.ip().is_unspecified() {
        tiny_net::local_address_for(remote).ok()?
    } else {
        bound.ip()
    };
    Some(SocketAddr::new(ip, bound.port()))
}
