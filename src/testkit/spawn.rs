//! The server on real sockets, in a task of its own.

use super::config::ServerConfig;
use super::server::{Server, ServerEvent};
use std::net::SocketAddr;
use tiny_net::sim::Transmit;
use tiny_net::{BindError, Config, SipTransports};
use tiny_sak::{Output, Rng, Transport};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};

/// A running server; it ends when this is dropped.
#[derive(Debug)]
pub struct Registrar {
    /// Where it listens, over UDP and TCP.
    pub addr: SocketAddr,
    task: JoinHandle<()>,
    events: mpsc::Receiver<ServerEvent>,
}

// Events that nobody reads are dropped beyond this.
const EVENTS: usize = 256;
// Pairs of free ports tried when any port will do.
const ATTEMPTS: usize = 32;

impl Registrar {
    /// The settings of a server for one domain, to be added to and started.
    pub fn builder(domain: &str) -> ServerConfig {
        ServerConfig::new(domain)
    }

    /// Where it listens, over UDP and TCP.
    pub fn address(&self) -> SocketAddr {
        self.addr
    }

    /// The next registration or its end; `None` when the server has ended. Events beyond 256 that
    /// wait are lost.
    pub async fn next_event(&mut self) -> Option<ServerEvent> {
        self.events.recv().await
    }
}

impl Drop for Registrar {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Starts a server on [`ServerConfig::bind`], UDP and TCP on the same port.
///
/// # Errors
/// [`BindError`] names the address and port that could not be had.
///
/// # Panics
/// Outside a tokio runtime.
pub fn spawn(config: ServerConfig) -> Result<Registrar, BindError> {
    let (net, addr) = listen(config.bind)?;
    let rng = Rng::from_os().map_err(|source| BindError::Io {
        transport: Transport::Udp,
        addr,
        source,
    })?;
    let mut server = Server::new(config, rng);
    server.bind(Transport::Udp, addr);
    server.bind(Transport::Tcp, addr);
    let (sender, events) = mpsc::channel(EVENTS);
    let task = tokio::spawn(run(server, net, sender));
    Ok(Registrar { addr, task, events })
}

fn listen(bind: SocketAddr) -> Result<(SipTransports, SocketAddr), BindError> {
    let mut attempt = 0;
    loop {
        attempt += 1;
        let mut net = SipTransports::new(Config::default());
        let addr = net.bind(Transport::Udp, bind)?;
        match net.bind(Transport::Tcp, addr) {
            Ok(_) => return Ok((net, addr)),
            // Free for UDP, taken for TCP: another one, if any will do.
            Err(BindError::PortInUse { .. }) if bind.port() == 0 && attempt < ATTEMPTS => {}
            Err(e) => return Err(e),
        }
    }
}

async fn run(mut server: Server, mut net: SipTransports, events: mpsc::Sender<ServerEvent>) {
    loop {
        let deadline = loop {
            match server.poll(std::time::Instant::now()) {
                Output::Transmit(Transmit::Send { flow, data }) => net.send(flow, data),
                Output::Transmit(Transmit::Close { flow }) => net.close(flow),
                Output::Transmit(_) => {}
                Output::Event(event) => {
                    let _ = events.try_send(event);
                }
                Output::Timeout(deadline) => break deadline,
            }
        };
        let timeout = async {
            match deadline {
                Some(at) => sleep_until(Instant::from_std(at)).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            event = net.recv() => server.handle(std::time::Instant::now(), event),
            () = timeout => server.handle_timeout(std::time::Instant::now()),
        }
    }
}
