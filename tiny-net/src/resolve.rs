//! From a host name to targets, and from a target to our own address.
//!
//! A [`Resolver`] runs the machine of [`locate`](crate::locate) (all of RFC 3263) over a [`Dns`]:
//! the system's name servers, others, or a simulation. It remembers answers for as long as their
//! TTL says.

mod dns;
#[cfg(test)]
mod tests;

pub use crate::locate::Query;
pub use dns::{Dns, SystemDns};

use crate::locate::{Answer, Located, Locator, Outcome, SearchId};
use crate::{Config, ResolveError};
use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tiny_sak::{Output, Rng, Transport};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

/// One way to reach a next hop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Target {
    /// The transport.
    pub transport: Transport,
    /// Where to send.
    pub addr: SocketAddr,
    /// Our address as this target sees it; unspecified where the system has no route.
    pub local: IpAddr,
}

/// Finds next hops, and remembers what it was told. Clones share what is known.
///
/// ```
/// # async fn demo() -> Result<(), tiny_net::ResolveError> {
/// use tiny_net::{Config, resolve::{Query, Resolver}};
///
/// let resolver = Resolver::new(&Config::default());
/// for target in resolver.targets(Query::new("example.com")).await? {
///     println!("{} {}", target.transport, target.addr); // try these in order
/// }
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Resolver(Arc<Shared>);

struct Shared {
    config: Config,
    dns: Arc<dyn Dns>,
    // Forked for each task.
    rng: Mutex<Option<Rng>>,
    task: Mutex<Option<mpsc::UnboundedSender<Command>>>,
}

enum Command {
    Locate(Query, oneshot::Sender<Result<Vec<Target>, ResolveError>>),
    Forget,
}

impl Resolver {
    /// Asks the system's name servers.
    pub fn new(config: &Config) -> Self {
        Self::with_dns(config, Arc::new(SystemDns::new(config)), None)
    }

    /// Asks something else. Without an [`Rng`] the choice among servers of equal priority is
    /// seeded by the system.
    pub fn with_dns(config: &Config, dns: Arc<dyn Dns>, rng: Option<Rng>) -> Self {
        let (rng, task) = (Mutex::new(rng), Mutex::new(None));
        Self(Arc::new(Shared { config: config.clone(), dns, rng, task }))
    }

    /// The ways to reach a next hop in the order to be tried (RFC 3263 §4.3), never empty. Those
    /// that the system has no route to come last.
    ///
    /// # Errors
    /// [`ResolveError`] names the host.
    ///
    /// # Panics
    /// Outside a tokio runtime with time enabled.
    pub async fn targets(&self, query: Query) -> Result<Vec<Target>, ResolveError> {
        let host = query.host.clone();
        let (reply, answer) = oneshot::channel();
        self.tell(Command::Locate(query, reply));
        // The task ends early only with its runtime.
        answer.await.unwrap_or(Err(ResolveError::ServerFailure { host }))
    }

    /// Forgets every answer and reads the system's settings again: for a change of network.
    pub fn forget(&self) {
        self.0.dns.reload();
        let task = self.0.task.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(task) = &*task {
            let _ = task.send(Command::Forget);
        }
    }

    fn tell(&self, command: Command) {
        let mut task = self.0.task.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(sender) = task.as_ref().filter(|sender| !sender.is_closed()) {
            let _ = sender.send(command);
            return;
        }
        let (sender, commands) = mpsc::unbounded_channel();
        let rng = match &mut *self.0.rng.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(rng) => rng.fork(),
            // Only a choice among equals depends on it.
            None => Rng::from_os().unwrap_or_else(|_| Rng::from_seed(0)),
        };
        let driver = Driver {
            locator: Locator::new(&self.0.config, rng),
            dns: Arc::clone(&self.0.dns),
            callers: HashMap::new(),
            look_ups: JoinSet::new(),
        };
        tokio::spawn(driver.run(commands));
        let _ = sender.send(command);
        *task = Some(sender);
    }
}

impl std::fmt::Debug for Resolver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Resolver").finish_non_exhaustive()
    }
}

/// Runs the machine; ends with the last [`Resolver`].
struct Driver {
    locator: Locator,
    dns: Arc<dyn Dns>,
    callers: HashMap<SearchId, oneshot::Sender<Result<Vec<Target>, ResolveError>>>,
    look_ups: JoinSet<Answer>,
}

impl Driver {
    async fn run(mut self, mut commands: mpsc::UnboundedReceiver<Command>) {
        let far = Duration::from_secs(3600);
        loop {
            let deadline = self.drain().unwrap_or_else(|| Instant::now() + far);
            tokio::select! {
                command = commands.recv() => match command {
                    None => return,
                    Some(Command::Forget) => self.locator.forget(),
                    Some(Command::Locate(query, reply)) => {
                        let id = self.locator.locate(Instant::now(), query);
                        self.callers.insert(id, reply);
                    }
                },
                Some(answer) = self.look_ups.join_next(), if !self.look_ups.is_empty() => {
                    // A look-up that panicked times out.
                    self.locator.handle(Instant::now(), answer.ok());
                }
                () = tokio::time::sleep_until(deadline.into()) => {
                    self.locator.handle(Instant::now(), None);
                }
            }
        }
    }

    fn drain(&mut self) -> Option<Instant> {
        loop {
            match self.locator.poll(Instant::now()) {
                Output::Transmit(question) => {
                    let dns = Arc::clone(&self.dns);
                    self.look_ups.spawn(async move {
                        let outcome: Outcome = dns.look_up(&question).await;
                        Answer { question, outcome }
                    });
                }
                Output::Event(Located { id, result }) => {
                    if let Some(caller) = self.callers.remove(&id) {
                        let _ = caller.send(result.map(with_routes));
                    }
                }
                Output::Timeout(deadline) => {
                    self.callers.retain(|id, caller| {
                        let gone = caller.is_closed();
                        if gone {
                            self.locator.cancel(*id);
                        }
                        !gone
                    });
                    return deadline;
                }
            }
        }
    }
}

fn with_routes(hops: Vec<crate::locate::Hop>) -> Vec<Target> {
    let target = |hop: crate::locate::Hop| {
        let nowhere = match hop.addr {
            SocketAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            SocketAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        };
        let local = local_address_for(hop.addr).unwrap_or(nowhere);
        Target { transport: hop.transport, addr: hop.addr, local }
    };
    let mut targets: Vec<Target> = hops.into_iter().map(target).collect();
    // RFC 8305's order within what can be reached at all.
    targets.sort_by_key(|t| t.local.is_unspecified());
    targets
}

/// One search by a [`Resolver`] of its own, which forgets everything afterwards.
///
/// # Errors
/// [`ResolveError`] names the host.
pub async fn targets(query: &Query, config: &Config) -> Result<Vec<Target>, ResolveError> {
    Resolver::new(config).targets(query.clone()).await
}

/// The addresses of a host, in the system's order of preference, never empty.
///
/// # Errors
/// [`ResolveError`] names the host.
pub async fn resolve(
    host: &str,
    port: u16,
    config: &Config,
) -> Result<Vec<SocketAddr>, ResolveError> {
    let bare = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
    if let Ok(ip) = bare.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(ip, port)]);
    }
    let name = || host.to_owned();
    // A final dot says "fully qualified"; the system's resolver knows it too.
    if bare.is_empty() || bare.len() > 254 {
        return Err(ResolveError::NotFound { host: name() });
    }
    let look_up = tokio::net::lookup_host((bare, port));
    let found = match tokio::time::timeout(config.resolve_timeout, look_up).await {
        Err(_) => return Err(ResolveError::Timeout { host: name() }),
        // getaddrinfo's "no such name" has no kind of its own.
        Ok(Err(e)) if e.raw_os_error().is_none() => {
            tracing::debug!(host, error = %e, "name not resolved");
            return Err(ResolveError::NotFound { host: name() });
        }
        Ok(Err(source)) => return Err(ResolveError::Io { host: name(), source }),
        Ok(Ok(found)) => found,
    };
    let mut addresses: Vec<SocketAddr> = Vec::new();
    for addr in found {
        if addresses.len() < config.max_resolved.max(1) && !addresses.contains(&addr) {
            addresses.push(addr);
        }
    }
    if addresses.is_empty() { Err(ResolveError::NotFound { host: name() }) } else { Ok(addresses) }
}

/// Whether this machine has an address: one that a socket can be bound to.
pub fn is_own_address(ip: IpAddr) -> bool {
    std::net::UdpSocket::bind((ip, 0)).is_ok()
}

/// The address that this machine would send from to reach `remote`. Nothing is sent.
///
/// # Errors
/// When the system has no route.
pub fn local_address_for(remote: SocketAddr) -> io::Result<IpAddr> {
    let any: IpAddr = match remote {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = std::net::UdpSocket::bind((any, 0))?;
    socket.connect(remote)?;
    Ok(socket.local_addr()?.ip())
}
