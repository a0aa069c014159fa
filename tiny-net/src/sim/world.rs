//! Nodes on a simulated network under one virtual clock.

use super::network::{HostId, Network};
use crate::NetEvent;
use bytes::Bytes;
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::net::IpAddr;
use std::time::{Duration, Instant};
use tiny_sak::{Flow, Output};

/// What a node is told.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Input {
    /// The network has something.
    Net(NetEvent),
    /// The deadline of the last `Output::Timeout` is due.
    Timeout,
}

/// What a node wants done.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Transmit {
    /// Send on a flow; a connection is opened if there is none.
    Send {
        /// The path.
        flow: Flow,
        /// The bytes.
        data: Bytes,
    },
    /// End a connection.
    Close {
        /// The connection.
        flow: Flow,
    },
}

/// Anything that lives on a host: a SIP endpoint, an RTP stream, a whole agent. The contract is
/// that of [`Output`].
pub trait Node {
    /// What the scenario gets to see.
    type Event;
    /// Something happened.
    fn handle(&mut self, now: Instant, input: Input);
    /// What the node wants next; [`Output::Timeout`] when nothing more at this time.
    fn poll(&mut self, now: Instant) -> Output<Transmit, Self::Event>;
}

impl<E> Node for Box<dyn Node<Event = E> + '_> {
    type Event = E;

    fn handle(&mut self, now: Instant, input: Input) {
        (**self).handle(now, input);
    }

    fn poll(&mut self, now: Instant) -> Output<Transmit, E> {
        (**self).poll(now)
    }
}

/// Names a node of a [`World`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(usize);

struct Inhabitant<N> {
    host: HostId,
    node: N,
    deadline: Option<Instant>,
}

// More rounds than this without time moving on means that nodes chase each other.
const MOST_STEPS_AT_ONCE: u32 = 1_000_000;

/// A network, its nodes and the time.
///
/// ```
/// use std::time::{Duration, Instant};
/// use tiny_net::{NetEvent, sim::{Input, Link, Node, Transmit, World}};
/// use tiny_sak::{Flow, Output, Transport};
///
/// /// Sends one datagram and tells when it heard one.
/// struct Caller { out: Option<Flow>, heard: bool }
///
/// impl Node for Caller {
///     type Event = ();
///     fn handle(&mut self, _now: Instant, input: Input) {
///         self.heard |= matches!(input, Input::Net(NetEvent::Datagram { .. }));
///     }
///     fn poll(&mut self, _now: Instant) -> Output<Transmit, ()> {
///         if let Some(flow) = self.out.take() {
///             return Output::Transmit(Transmit::Send { flow, data: "hello".into() });
///         }
///         if std::mem::take(&mut self.heard) { Output::Event(()) } else { Output::Timeout(None) }
///     }
/// }
///
/// let mut world = World::new(Instant::now(), 1);
/// world.network.set_default_path(Link::new().latency(Duration::from_millis(30)));
/// let flow = Flow {
///     transport: Transport::Udp,
///     local: "192.0.2.1:5060".parse().unwrap(),
///     remote: "192.0.2.2:5060".parse().unwrap(),
/// };
/// world.add("192.0.2.1".parse().unwrap(), Caller { out: Some(flow), heard: false });
/// let bob = world.add("192.0.2.2".parse().unwrap(), Caller { out: None, heard: false });
/// let end = world.now() + Duration::from_secs(1);
/// assert_eq!(world.next_event(end), Some((bob, ())));
/// assert_eq!(world.elapsed(), Duration::from_millis(30));
/// ```
pub struct World<N: Node> {
    /// The network, to be shaped and broken at will.
    pub network: Network,
    inhabitants: Vec<Inhabitant<N>>,
    // Nodes of one host share its traffic.
    by_host: HashMap<HostId, Vec<usize>>,
    deadlines: BTreeSet<(Instant, usize)>,
    events: VecDeque<(NodeId, N::Event)>,
    // Added but not yet polled.
    fresh: Vec<usize>,
    start: Instant,
    now: Instant,
}

impl<N: Node> World<N> {
    /// An empty world. `start` is only a base: nothing depends on when it is.
    pub fn new(start: Instant, seed: u64) -> Self {
        Self {
            network: Network::new(seed),
            inhabitants: Vec::new(),
            by_host: HashMap::new(),
            deadlines: BTreeSet::new(),
            events: VecDeque::new(),
            fresh: Vec::new(),
            start,
            now: start,
        }
    }

    /// Puts a node on a new host with a public address.
    pub fn add(&mut self, ip: IpAddr, node: N) -> NodeId {
        let host = self.network.add_host(ip);
        self.add_on(host, node)
    }

    /// Puts a node on a host of the [`network`](Self::network), behind a NAT for example. Several
    /// nodes of one host each see all its events. A node is first polled when time begins to run, so
    /// that those added after it are already there.
    pub fn add_on(&mut self, host: HostId, node: N) -> NodeId {
        let id = self.inhabitants.len();
        self.inhabitants.push(Inhabitant { host, node, deadline: None });
        self.by_host.entry(host).or_default().push(id);
        self.fresh.push(id);
        NodeId(id)
    }

    /// The host that a node is on.
    pub fn host(&self, id: NodeId) -> HostId {
        self.inhabitants[id.0].host
    }

    /// The virtual time.
    pub fn now(&self) -> Instant {
        self.now
    }

    /// The virtual time since the start.
    pub fn elapsed(&self) -> Duration {
        self.now - self.start
    }

    /// All nodes, in the order in which they were added.
    pub fn nodes(&self) -> impl Iterator<Item = NodeId> + use<N> {
        (0..self.inhabitants.len()).map(NodeId)
    }

    /// A look at a node.
    pub fn node(&self, id: NodeId) -> &N {
        &self.inhabitants[id.0].node
    }

    /// Commands a node; what it wants to send is sent.
    pub fn act<R>(&mut self, id: NodeId, command: impl FnOnce(&mut N, Instant) -> R) -> R {
        let outcome = command(&mut self.inhabitants[id.0].node, self.now);
        self.drain(id.0);
        outcome
    }

    /// Runs until a node has something to tell, but not past `until`. `None` says that `until` was
    /// reached; the clock then stands there.
    ///
    /// # Panics
    /// When nodes keep each other busy without time moving on.
    pub fn next_event(&mut self, until: Instant) -> Option<(NodeId, N::Event)> {
        for id in std::mem::take(&mut self.fresh) {
            self.drain(id);
        }
        let mut steps = 0;
        loop {
            if let Some(event) = self.events.pop_front() {
                return Some(event);
            }
            match self.network.poll(self.now) {
                Output::Event(delivery) => {
                    for id in self.by_host.get(&delivery.host).cloned().unwrap_or_default() {
                        let input = Input::Net(delivery.event.clone());
                        self.inhabitants[id].node.handle(self.now, input);
                        self.drain(id);
                    }
                }
                Output::Transmit(never) => match never {},
                Output::Timeout(network) => {
                    let node = self.deadlines.first().copied();
                    let next = [network, node.map(|n| n.0)].into_iter().flatten().min();
                    match next {
                        Some(at) if at <= until => {
                            if at > self.now {
                                self.now = at;
                                steps = 0;
                            }
                        }
                        _ => {
                            self.now = self.now.max(until);
                            return None;
                        }
                    }
                    if let Some((_, id)) = node.filter(|n| n.0 <= self.now) {
                        self.inhabitants[id].node.handle(self.now, Input::Timeout);
                        self.drain(id);
                    }
                }
            }
            steps += 1;
            assert!(
                steps < MOST_STEPS_AT_ONCE,
                "nodes keep each other busy at {:?} after the start",
                self.now - self.start
            );
        }
    }

    /// Runs for a while and returns all that the nodes told, with the time since the start.
    ///
    /// # Panics
    /// Like [`next_event`](Self::next_event).
    pub fn run_for(&mut self, duration: Duration) -> Vec<(Duration, NodeId, N::Event)> {
        let until = self.now + duration;
        let mut all = Vec::new();
        while let Some((id, event)) = self.next_event(until) {
            all.push((self.elapsed(), id, event));
        }
        all
    }

    /// True when nothing is under way and no node waits for a time.
    pub fn is_quiet(&self) -> bool {
        self.fresh.is_empty()
            && self.deadlines.is_empty()
            && self.events.is_empty()
            && self.network.next_deadline().is_none()
    }

    fn drain(&mut self, id: usize) {
        let inhabitant = &mut self.inhabitants[id];
        let deadline = loop {
            match inhabitant.node.poll(self.now) {
                Output::Transmit(Transmit::Send { flow, data }) => {
                    self.network.send(self.now, inhabitant.host, flow, data);
                }
                Output::Transmit(Transmit::Close { flow }) => {
                    self.network.close(self.now, inhabitant.host, flow);
                }
                Output::Event(event) => self.events.push_back((NodeId(id), event)),
                Output::Timeout(deadline) => break deadline,
            }
        };
        if inhabitant.deadline != deadline {
            if let Some(old) = inhabitant.deadline {
                self.deadlines.remove(&(old, id));
            }
            if let Some(new) = deadline {
                self.deadlines.insert((new, id));
            }
            inhabitant.deadline = deadline;
        }
    }
}

impl<N: Node> std::fmt::Debug for World<N> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("World")
            .field("nodes", &self.inhabitants.len())
            .field("elapsed", &(self.now - self.start))
            .finish_non_exhaustive()
    }
}
