//! Finding the servers of a SIP domain (RFC 3263) as a machine in virtual time.
//!
//! NAPTR, then SRV (RFC 2782), then A and AAAA; numeric targets, explicit ports and transports,
//! `sips` and `maddr`; both address families interleaved (RFC 8305 §4); answers cached for as long
//! as their TTL says, absent names too (RFC 2308). It hands out [`Question`]s and is told
//! [`Answer`]s: it reads no clock, asks no server and draws from the [`Rng`] it was given.
//!
//! ```
//! use std::time::{Duration, Instant};
//! use tiny_net::locate::{Answer, Locator, Outcome, Query, Record, RecordKind};
//! use tiny_sak::{Output, Rng, Transport};
//!
//! let now = Instant::now();
//! let mut locator = Locator::new(&tiny_net::Config::default(), Rng::from_seed(1));
//! locator.locate(now, Query { port: Some(5070), ..Query::new("pbx.example.com") });
//! let mut hops = Vec::new();
//! loop {
//!     match locator.poll(now) {
//!         Output::Transmit(question) => {
//!             // An explicit port means addresses only (§4.2).
//!             let outcome = match question.kind {
//!                 RecordKind::A => Outcome::Found {
//!                     records: vec![Record::Address("192.0.2.7".parse().unwrap())],
//!                     ttl: Duration::from_secs(60),
//!                 },
//!                 _ => Outcome::Absent { ttl: None },
//!             };
//!             locator.handle(now, Some(Answer { question, outcome }));
//!         }
//!         Output::Event(located) => hops = located.result.unwrap(),
//!         Output::Timeout(_) => break,
//!     }
//! }
//! assert_eq!(hops[0].transport, Transport::Udp);
//! assert_eq!(hops[0].addr, "192.0.2.7:5070".parse().unwrap());
//! ```

mod cache;
mod order;
mod search;
#[cfg(test)]
mod tests;

use crate::{Config, ResolveError};
use cache::Cache;
use search::{Search, Step};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};
use tiny_sak::{Output, Rng, Transport};

/// A next hop as a URI or Via names it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Query {
    /// A name or an IP literal, with or without brackets. Also what a TLS certificate must be good
    /// for (RFC 5922 §7.3), whatever the look-ups lead to.
    pub host: String,
    /// The `maddr` parameter: looked up instead of the host (RFC 3263 §4).
    pub maddr: Option<String>,
    /// The port, when the URI has one.
    pub port: Option<u16>,
    /// The transport, when the URI has one.
    pub transport: Option<Transport>,
    /// True for a `sips` URI: only TLS and secure WebSocket will do.
    pub secure: bool,
    /// The transports that we can use, most preferred first; empty for what this build has
    /// drivers for. A domain's own preference (NAPTR) goes before ours.
    pub supported: Vec<Transport>,
}

impl Query {
    /// A `sip` URI's host without port or parameters.
    pub fn new(host: impl Into<String>) -> Self {
        Self { host: host.into(), ..Self::default() }
    }
}

/// A kind of DNS record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum RecordKind {
    /// Which services a domain offers (RFC 3403).
    Naptr,
    /// Which hosts offer a service (RFC 2782).
    Srv,
    /// IPv4 addresses.
    A,
    /// IPv6 addresses.
    Aaaa,
}

/// Something to ask the DNS.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Question {
    /// A fully qualified name in lower case, without the final dot.
    pub name: String,
    /// The kind of record.
    pub kind: RecordKind,
}

/// What the DNS said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// What was asked.
    pub question: Question,
    /// What came back.
    pub outcome: Outcome,
}

/// The three ways in which a look-up ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// There are records.
    Found {
        /// Those of the kind asked for, aliases followed.
        records: Vec<Record>,
        /// The shortest of their lives.
        ttl: Duration,
    },
    /// The name, or this kind of record, does not exist.
    Absent {
        /// How long that holds (RFC 2308 §5), where the server said.
        ttl: Option<Duration>,
    },
    /// No server could say.
    Failed,
}

/// The content of one DNS record.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Record {
    /// A service of a domain.
    Naptr {
        /// Lower is first.
        order: u16,
        /// Among those of one order, lower is first.
        preference: u16,
        /// `s` where the replacement names SRV records; nothing else is used.
        flags: String,
        /// `SIP+D2U`, `SIPS+D2T`…
        service: String,
        /// Must be empty (RFC 3263 §4.1).
        regexp: String,
        /// The name of the SRV records.
        replacement: String,
    },
    /// A host of a service.
    Srv {
        /// Lower is first.
        priority: u16,
        /// Among those of one priority, the share of the calls.
        weight: u16,
        /// Its port.
        port: u16,
        /// Its name, or `.` where the service is decidedly not offered.
        target: String,
    },
    /// An address.
    Address(IpAddr),
}

/// One way to reach a next hop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Hop {
    /// The transport.
    pub transport: Transport,
    /// Where to send.
    pub addr: SocketAddr,
}

/// Names a search of a [`Locator`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SearchId(u64);

/// The end of a search.
#[derive(Debug)]
pub struct Located {
    /// Which search.
    pub id: SearchId,
    /// The ways to the next hop in the order to be tried (RFC 3263 §4.3), never empty.
    pub result: Result<Vec<Hop>, ResolveError>,
}

/// Every search of one engine, with their common cache. The contract is that of [`Output`]: a
/// question handed out by `poll` is answered by `handle`, or given up after
/// [`Config::resolve_timeout`].
pub struct Locator {
    config: Config,
    rng: Rng,
    cache: Cache,
    searches: BTreeMap<SearchId, Search>,
    // Asked and not yet answered, with the time to give up.
    asked: HashMap<Question, Instant>,
    questions: VecDeque<Question>,
    located: VecDeque<Located>,
    next_id: u64,
}

impl Locator {
    /// Nothing known yet. Of the configuration, the `resolve_…` and `dns_…` limits count.
    pub fn new(config: &Config, rng: Rng) -> Self {
        Self {
            config: config.clone(),
            rng,
            cache: Cache::new(config),
            searches: BTreeMap::new(),
            asked: HashMap::new(),
            questions: VecDeque::new(),
            located: VecDeque::new(),
            next_id: 0,
        }
    }

    /// Begins a search; `poll` tells how it ends.
    pub fn locate(&mut self, now: Instant, query: Query) -> SearchId {
        let id = SearchId(self.next_id);
        self.next_id += 1;
        if self.searches.len() >= self.config.dns_max_searches {
            let result = Err(ResolveError::TooMany { host: query.host });
            self.located.push_back(Located { id, result });
            return id;
        }
        self.searches.insert(id, Search::new(query, self.rng.fork()));
        self.advance(now, id);
        id
    }

    /// Drops a search whose result nobody wants any more.
    pub fn cancel(&mut self, id: SearchId) {
        self.searches.remove(&id);
    }

    /// Forgets every answer, as after a change of network. Searches under way go on.
    pub fn forget(&mut self) {
        self.cache.clear();
    }

    /// Takes an answer, or with `None` the passing of time.
    pub fn handle(&mut self, now: Instant, answer: Option<Answer>) {
        if let Some(Answer { question, outcome }) = answer {
            // What was not asked is not believed.
            if self.asked.remove(&question).is_some() {
                self.cache.store(now, &question, &outcome);
                self.learn(now, &question, Known::from(outcome));
            }
        }
        let late = |(question, at): (&Question, &Instant)| (*at <= now).then(|| question.clone());
        let late: Vec<Question> = self.asked.iter().filter_map(late).collect();
        for question in late {
            self.asked.remove(&question);
            self.questions.retain(|q| *q != question);
            self.learn(now, &question, Known::Late);
        }
        let due =
            |(id, search): (&SearchId, &Search)| search.wake.filter(|at| *at <= now).map(|_| *id);
        let due: Vec<SearchId> = self.searches.iter().filter_map(due).collect();
        due.into_iter().for_each(|id| self.advance(now, id));
    }

    /// The next question, the end of a search, or the time to call `handle` again.
    pub fn poll(&mut self, _now: Instant) -> Output<Question, Located> {
        if let Some(question) = self.questions.pop_front() {
            return Output::Transmit(question);
        }
        if let Some(located) = self.located.pop_front() {
            return Output::Event(located);
        }
        let wakes = self.searches.values().filter_map(|s| s.wake);
        Output::Timeout(self.asked.values().copied().chain(wakes).min())
    }

    fn learn(&mut self, now: Instant, question: &Question, known: Known) {
        let waiting = |(id, s): (&SearchId, &Search)| s.waits_for(question).then_some(*id);
        let waiting: Vec<SearchId> = self.searches.iter().filter_map(waiting).collect();
        for id in waiting {
            if let Some(search) = self.searches.get_mut(&id) {
                search.learn(now, question.clone(), known.clone());
            }
            self.advance(now, id);
        }
    }

    fn advance(&mut self, now: Instant, id: SearchId) {
        loop {
            let Some(search) = self.searches.get_mut(&id) else { return };
            match search.step(now, &self.config) {
                Step::Done(result) => {
                    self.searches.remove(&id);
                    return self.located.push_back(Located { id, result });
                }
                Step::Wait => {}
            }
            let mut answered = false;
            for question in search.fresh_questions() {
                if let Some(known) = self.cache.get(now, &question) {
                    search.learn(now, question, known);
                    answered = true;
                } else if !self.asked.contains_key(&question) {
                    self.asked.insert(question.clone(), now + self.config.resolve_timeout);
                    self.questions.push_back(question);
                }
            }
            if !answered {
                return;
            }
        }
    }
}

impl std::fmt::Debug for Locator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Locator")
            .field("searches", &self.searches.len())
            .field("asked", &self.asked.keys())
            .field("cached", &self.cache.len())
            .finish_non_exhaustive()
    }
}

/// What a search knows about a question.
#[derive(Debug, Clone)]
enum Known {
    Records(std::sync::Arc<[Record]>),
    Absent,
    Failed,
    Late,
}

impl From<Outcome> for Known {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Found { records, .. } if records.is_empty() => Self::Absent,
            Outcome::Found { records, .. } => Self::Records(records.into()),
            Outcome::Absent { .. } => Self::Absent,
            Outcome::Failed => Self::Failed,
        }
    }
}
