//! The sockets of multicast DNS: one that asks from a port of its own, one a family that hears what is
//! told to everybody, and the side that answers for names of ours.

use super::MdnsConfig;
use super::message::{HiddenName, MdnsError, Question, Registry, query, read_answer};
use socket2::{Domain, Protocol, Socket, Type};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use tiny_sak::Rng;
use tokio::net::UdpSocket;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// Looks up the address behind a hidden name on the links of these addresses of ours, both kinds at
/// once; the first answer is taken. `None` where nobody answers in time.
///
/// # Panics
/// Outside a tokio runtime with time and I/O enabled.
pub async fn lookup(
    name: &HiddenName,
    ours: &[IpAddr],
    config: &MdnsConfig,
    rng: &mut Rng,
) -> Option<IpAddr> {
    let deadline = Instant::now() + config.timeout;
    let id = rng.u32() as u16;
    let mut asked = JoinSet::new();
    for &local in ours.iter().take(config.max_interfaces) {
        match asker(local, config) {
            Ok(socket) => {
                let (name, config) = (name.clone(), config.clone());
                asked.spawn(async move { ask(socket, local, &name, id, &config).await });
            }
            Err(e) => tracing::debug!(%local, error = %e, "no multicast DNS from here"),
        }
    }
    for (group, locals) in config.groups(ours).filter(|(group, _)| group.ip().is_multicast()) {
        match listener(group, &locals) {
            Ok(socket) => {
                let (name, config) = (name.clone(), config.clone());
                asked.spawn(async move { hear(&socket, group.port(), &name, &config).await });
            }
            Err(e) => tracing::debug!(%group, error = %e, "answers to everybody are not heard"),
        }
    }
    let first = async {
        while let Some(found) = asked.join_next().await {
            if let Ok(Some(ip)) = found {
                return Some(ip);
            }
        }
        None
    };
    tokio::time::timeout_at(deadline, first).await.ok().flatten()
}

/// Asks from one address, again and again, and takes the answers to itself.
async fn ask(
    socket: UdpSocket,
    local: IpAddr,
    name: &HiddenName,
    id: u16,
    config: &MdnsConfig,
) -> Option<IpAddr> {
    let group = config.group_for(local);
    let mut buffer = vec![0u8; config.max_message];
    let mut repeat = tokio::time::interval(config.repeat.max(std::time::Duration::from_millis(20)));
    loop {
        tokio::select! {
            _ = repeat.tick() => {
                for question in [Question::A, Question::Aaaa] {
                    let _ = socket.send_to(&query(id, name, question), group).await;
                }
            }
            received = socket.recv_from(&mut buffer) => {
                let Ok((length, from)) = received else { continue };
                // Who does not answer from the port of multicast DNS is a stranger.
                if from.port() != group.port() {
                    continue;
                }
                match read_answer(&buffer[..length], name, config) {
                    Ok(answers) if answers.id == id => {
                        if let Some(ip) = pick(&answers.addresses, from) {
                            return Some(ip);
                        }
                    }
                    Ok(_) => {}
                    Err(e) => tracing::debug!(%from, error = %e, "no answer of multicast DNS"),
                }
            }
        }
    }
}

/// Waits for an answer that is told to everybody.
async fn hear(
    socket: &UdpSocket,
    port: u16,
    name: &HiddenName,
    config: &MdnsConfig,
) -> Option<IpAddr> {
    let mut buffer = vec![0u8; config.max_message];
    loop {
        let Ok((length, from)) = socket.recv_from(&mut buffer).await else { continue };
        // RFC 6762 §6: answers come from the port of multicast DNS, others are to be ignored.
        if from.port() == port
            && let Ok(answers) = read_answer(&buffer[..length], name, config)
            && let Some(ip) = pick(&answers.addresses, from)
        {
            return Some(ip);
        }
    }
}

/// The first address; one of this very machine only from itself.
fn pick(addresses: &[IpAddr], from: SocketAddr) -> Option<IpAddr> {
    addresses.iter().copied().find(|ip| !ip.is_loopback() || from.ip().is_loopback())
}

fn asker(local: IpAddr, config: &MdnsConfig) -> io::Result<UdpSocket> {
    let socket = socket_at(SocketAddr::new(local, 0), false)?;
    if config.group_for(local).ip().is_multicast() {
        speak_to_the_link(&socket, local)?;
    }
    UdpSocket::from_std(socket.into())
}

/// A socket that is bound there, beside others if it is `shared`.
fn socket_at(address: SocketAddr, shared: bool) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    if shared {
        share(&socket)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

/// Others on this machine have the port too.
fn share(socket: &Socket) -> io::Result<()> {
    #[cfg(all(unix, not(any(target_os = "linux", target_os = "android"))))]
    socket.set_reuse_port(true)?;
    socket.set_reuse_address(true)
}

/// What it sends to a group goes out on the link of that address, with the TTL of RFC 6762 §11.
fn speak_to_the_link(socket: &Socket, local: IpAddr) -> io::Result<()> {
    match local {
        IpAddr::V4(ip) => {
            socket.set_multicast_if_v4(&ip)?;
            socket.set_multicast_ttl_v4(255)
        }
        // The system finds the link of an address that the socket is bound to.
        IpAddr::V6(_) => socket.set_multicast_hops_v6(255),
    }
}

fn listener(group: SocketAddr, locals: &[IpAddr]) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(group), Type::DGRAM, Some(Protocol::UDP))?;
    share(&socket)?;
    if group.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    // Bound to the group, it hears nothing else: what is sent to a group of the link comes from the
    // link (RFC 6762 §11). Not every system can do that.
    let any = match group {
        SocketAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        SocketAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    };
    let bound = socket.bind(&group.into());
    bound.or_else(|_| socket.bind(&SocketAddr::new(any, group.port()).into()))?;
    let mut joined = Err(io::ErrorKind::AddrNotAvailable.into());
    for local in locals {
        let one = match (group.ip(), local) {
            (IpAddr::V4(group), IpAddr::V4(local)) => socket.join_multicast_v4(&group, local),
            (IpAddr::V6(group), IpAddr::V6(_)) => socket.join_multicast_v6(&group, 0),
            _ => continue,
        };
        // Two addresses of one link are joined once.
        if one.is_ok() || joined.is_err() {
            joined = one;
        }
    }
    joined?;
    UdpSocket::from_std(socket.into())
}

/// Answers for names of ours, as long as it lives.
pub struct Responder {
    registry: Arc<Mutex<Registry>>,
    // Ends with the responder.
    _tasks: JoinSet<()>,
}

impl Responder {
    /// Listens on the links of these addresses of ours.
    ///
    /// # Errors
    /// When no link can be listened on.
    ///
    /// # Panics
    /// Outside a tokio runtime with I/O enabled.
    pub fn start(ours: &[IpAddr], config: &MdnsConfig) -> io::Result<Self> {
        let registry = Arc::new(Mutex::new(Registry::new(config.clone())));
        let mut tasks = JoinSet::new();
        let mut failure = None;
        for (group, locals) in config.groups(ours) {
            let socket = if group.ip().is_multicast() {
                listener(group, &locals)
            } else {
                let bound = std::net::UdpSocket::bind(group);
                bound
                    .and_then(|s| s.set_nonblocking(true).map(|()| s))
                    .and_then(UdpSocket::from_std)
            };
            match socket {
                Ok(socket) => {
                    let (registry, config) = (Arc::clone(&registry), config.clone());
                    tasks.spawn(
                        async move { serve(socket, group, &locals, &registry, &config).await },
                    );
                }
                Err(e) => failure = Some(e),
            }
        }
        match failure {
            Some(e) if tasks.is_empty() => Err(e),
            _ => Ok(Self { registry, _tasks: tasks }),
        }
    }

    /// The name of an address of ours, which is answered for from now on.
    ///
    /// # Errors
    /// [`MdnsError::Full`].
    pub fn register(&self, ip: IpAddr, rng: &mut Rng) -> Result<HiddenName, MdnsError> {
        self.registry.lock().unwrap_or_else(PoisonError::into_inner).register(ip, rng)
    }

    /// Answers for a name that was made elsewhere.
    ///
    /// # Errors
    /// [`MdnsError::Full`].
    pub fn answer_for(&self, name: &HiddenName, ip: IpAddr) -> Result<(), MdnsError> {
        self.registry.lock().unwrap_or_else(PoisonError::into_inner).answer_for(name, ip)
    }

    /// Answers for it no more.
    pub fn forget(&self, name: &HiddenName) {
        self.registry.lock().unwrap_or_else(PoisonError::into_inner).forget(name);
    }
}

impl std::fmt::Debug for Responder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Responder").finish_non_exhaustive()
    }
}

async fn serve(
    socket: UdpSocket,
    group: SocketAddr,
    locals: &[IpAddr],
    registry: &Mutex<Registry>,
    config: &MdnsConfig,
) {
    let mut buffer = vec![0u8; config.max_message];
    loop {
        let Ok((length, from)) = socket.recv_from(&mut buffer).await else { continue };
        let answer = registry
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .answer(&buffer[..length], from.port());
        let Ok(Some(reply)) = answer else { continue };
        if !group.ip().is_multicast() {
            let _ = socket.send_to(&reply.data, from).await;
            continue;
        }
        // A socket that is bound to the group cannot send from it.
        for &local in locals {
            let Ok(speaker) = speaker(local, group) else { continue };
            let to = if reply.unicast { from } else { config.group_for(local) };
            let sent = speaker.send_to(&reply.data, to).await;
            if reply.unicast && sent.is_ok() {
                break;
            }
        }
    }
}

/// A socket that speaks from the port of multicast DNS at one address of ours.
fn speaker(local: IpAddr, group: SocketAddr) -> io::Result<UdpSocket> {
    let socket = socket_at(SocketAddr::new(local, group.port()), true)?;
    speak_to_the_link(&socket, local)?;
    UdpSocket::from_std(socket.into())
}
