//! What kind of NAT is in the way (RFC 5780 §4.3, §4.4): where the server has a second address its
//! mapping and its filtering are found out; else two servers are compared, which tells of the mapping
//! alone. The answer is a report for people and logs, never a ground for leaving a path untried
//! (RFC 5780 §1).

use super::{Builder, Class, Input, Message, Step, Timing, Transaction, Transmit, attr, method};
use crate::NetEvent;
use bytes::Bytes;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tiny_sak::{Flow, Output, Rng, Transport};

/// What a mapping or a filter depends on (RFC 4787 §4.1, §5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Behaviour {
    /// On nothing but our socket.
    EndpointIndependent,
    /// On the address of the other side.
    AddressDependent,
    /// On the address and the port of the other side.
    AddressAndPortDependent,
    /// On the other side; whether on its port too could not be found out.
    Dependent,
    /// Not found out.
    Unknown,
}

/// What was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NatReport {
    /// The socket that was looked at.
    pub local: SocketAddr,
    /// Its address as the first server that answered sees it; `None` where none answered: UDP is
    /// blocked, or the servers are down.
    pub mapped: Option<SocketAddr>,
    /// Whether an address translator is in the way.
    pub translated: bool,
    /// How outer addresses are chosen.
    pub mapping: Behaviour,
    /// Who may send in.
    pub filtering: Behaviour,
}

/// Limits of a [`Discovery`].
#[derive(Debug, Clone, Copy)]
pub struct DiscoveryConfig {
    /// When requests are repeated and given up. Silence is an answer here, so that it is shorter
    /// than RFC 8489's: 500 ms, three times, 2 s after the last.
    pub timing: Timing,
    /// How many servers are asked at most: 4; the rest is not.
    pub max_servers: usize,
}

impl Default for DiscoveryConfig {
    fn default() -> Self {
        let timing =
            Timing { rto: Duration::from_millis(500), sends: 3, patience: 4, ..Timing::default() };
        Self { timing, max_servers: 4 }
    }
}

const CHANGE_PORT: u32 = 2;
const CHANGE_BOTH: u32 = 6;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Test {
    // To each server in turn, until one answers.
    First(usize),
    // Does an answer from the other address and port come in?
    FilterBoth,
    // Does one from the other port?
    FilterPort,
    // Where do we come from at the other address, and at the other address and port?
    MapAddress,
    MapPort,
    // The mapping at another server altogether.
    Compare(usize),
}

/// Looks at what a UDP socket goes through. The contract is that of [`Output`]; the report is its
/// one event.
#[derive(Debug)]
pub struct Discovery {
    config: DiscoveryConfig,
    servers: Vec<SocketAddr>,
    rng: Rng,
    report: NatReport,
    primary: Option<SocketAddr>,
    other: Option<SocketAddr>,
    at_other: Option<SocketAddr>,
    running: Option<Running>,
    out: VecDeque<Output<Transmit, NatReport>>,
}

#[derive(Debug)]
struct Running {
    test: Test,
    to: SocketAddr,
    id: [u8; 12],
    request: Bytes,
    transaction: Transaction,
}

impl Discovery {
    /// Begins to look at `local` with the help of servers.
    pub fn new(
        now: Instant,
        config: DiscoveryConfig,
        local: SocketAddr,
        mut servers: Vec<SocketAddr>,
        rng: Rng,
    ) -> Self {
        servers.retain(|s| s.is_ipv4() == local.is_ipv4());
        servers.truncate(config.max_servers);
        let report = NatReport {
            local,
            mapped: None,
            translated: false,
            mapping: Behaviour::Unknown,
            filtering: Behaviour::Unknown,
        };
        let (primary, other, at_other, running) = (None, None, None, None);
        let out = VecDeque::new();
        let mut new = Self { config, servers, rng, report, primary, other, at_other, running, out };
        new.begin(now, Test::First(0));
        new
    }

    /// Something happened.
    pub fn handle(&mut self, now: Instant, input: Input) {
        if let Input::Net(NetEvent::Datagram { flow, data }) = &input
            && flow.local == self.report.local
            && let Ok(message) = Message::parse(data)
        {
            self.answer(now, flow.remote, &message);
        }
        self.tick(now);
    }

    /// What it wants next.
    pub fn poll(&mut self, _now: Instant) -> Output<Transmit, NatReport> {
        let deadline = self.running.as_ref().map(|r| r.transaction.deadline());
        self.out.pop_front().unwrap_or(Output::Timeout(deadline))
    }

    fn tick(&mut self, now: Instant) {
        while let Some(running) = &mut self.running {
            match running.transaction.due(now) {
                None => return,
                Some(Step::Send) => {
                    let local = self.report.local;
                    let flow = Flow { transport: Transport::Udp, local, remote: running.to };
                    let data = running.request.clone();
                    self.out.push_back(Output::Transmit(Transmit::Send { flow, data }));
                }
                Some(Step::GiveUp) => {
                    let test = running.test;
                    self.conclude(now, test, None);
                }
            }
        }
    }

    fn answer(&mut self, now: Instant, from: SocketAddr, message: &Message<'_>) {
        let Some(running) = self.running.as_ref().filter(|r| r.id == message.id()) else { return };
        let (test, to) = (running.test, running.to);
        // An answer has to come from where it was asked for.
        let expected = match test {
            Test::FilterBoth | Test::FilterPort => from != to,
            _ => from == to,
        };
        if message.method() != method::BINDING || !expected {
            return;
        }
        match message.class() {
            Class::Success => {
                if matches!(test, Test::First(_)) {
                    self.primary = Some(to);
                    self.other = message.address(attr::OTHER_ADDRESS).filter(|other| {
                        other.ip() != to.ip()
                            && other.port() != to.port()
                            && other.is_ipv4() == to.is_ipv4()
                    });
                }
                self.conclude(now, test, message.mapped());
            }
            Class::Error => self.conclude(now, test, None),
            _ => {}
        }
    }

    // A test is over: with the address seen, or with silence.
    fn conclude(&mut self, now: Instant, test: Test, seen: Option<SocketAddr>) {
        self.running = None;
        let independent = seen.is_some() && seen == self.report.mapped;
        match test {
            Test::First(n) => match seen {
                None => self.begin(now, Test::First(n + 1)),
                Some(_) => {
                    self.report.mapped = seen;
                    self.report.translated = seen != Some(self.report.local);
                    let next =
                        if self.other.is_some() { Test::FilterBoth } else { Test::Compare(n + 1) };
                    self.begin(now, next);
                }
            },
            // Filtering first: asking at the other address would open the filter for it.
            Test::FilterBoth => {
                if seen.is_some() {
                    self.report.filtering = Behaviour::EndpointIndependent;
                    self.begin(now, Test::MapAddress);
                } else {
                    self.begin(now, Test::FilterPort);
                }
            }
            Test::FilterPort => {
                self.report.filtering = if seen.is_some() {
                    Behaviour::AddressDependent
                } else {
                    Behaviour::AddressAndPortDependent
                };
                self.begin(now, Test::MapAddress);
            }
            Test::MapAddress => {
                self.at_other = seen;
                match seen {
                    Some(_) if independent => {
                        self.report.mapping = Behaviour::EndpointIndependent;
                        self.finish();
                    }
                    Some(_) => self.begin(now, Test::MapPort),
                    None => self.finish(),
                }
            }
            Test::MapPort => {
                self.report.mapping = match seen {
                    None => Behaviour::Dependent,
                    Some(_) if seen == self.at_other => Behaviour::AddressDependent,
                    Some(_) => Behaviour::AddressAndPortDependent,
                };
                self.finish();
            }
            Test::Compare(n) => match seen {
                None => self.begin(now, Test::Compare(n + 1)),
                Some(_) => {
                    self.report.mapping = if independent {
                        Behaviour::EndpointIndependent
                    } else {
                        Behaviour::Dependent
                    };
                    self.finish();
                }
            },
        }
    }

    fn begin(&mut self, now: Instant, test: Test) {
        let primary = self.primary;
        let (to, change) = match test {
            Test::First(n) => (self.servers.get(n).copied(), 0),
            Test::Compare(n) => {
                // Another host: another port of the same one says less.
                let rest = self.servers.iter().enumerate().skip(n);
                let other = rest
                    .map(|(n, s)| (n, *s))
                    .find(|(_, s)| Some(s.ip()) != primary.map(|p| p.ip()));
                return match other {
                    Some((n, to)) => self.run(now, Test::Compare(n), to, 0),
                    None => self.finish(),
                };
            }
            Test::FilterBoth => (primary, CHANGE_BOTH),
            Test::FilterPort => (primary, CHANGE_PORT),
            Test::MapAddress => {
                let both = self.other.zip(primary);
                (both.map(|(other, primary)| SocketAddr::new(other.ip(), primary.port())), 0)
            }
            Test::MapPort => (self.other, 0),
        };
        match to {
            Some(to) => self.run(now, test, to, change),
            None => self.finish(),
        }
    }

    fn run(&mut self, now: Instant, test: Test, to: SocketAddr, change: u32) {
        let mut id = [0; 12];
        self.rng.fill(&mut id);
        let mut request = Builder::new(Class::Request, method::BINDING, id);
        if change != 0 {
            request = request.u32(attr::CHANGE_REQUEST, change);
        }
        let request = request.fingerprint().finish();
        let transaction = Transaction::new(now, self.config.timing, false);
        self.running = Some(Running { test, to, id, request, transaction });
        self.tick(now);
    }

    fn finish(&mut self) {
        self.running = None;
        self.out.push_back(Output::Event(self.report));
    }
}
