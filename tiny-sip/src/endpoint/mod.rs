//! The endpoint: transport-layer rules (RFC 3261 §18), transactions, dialogs and usages behind one
//! sans-IO door. `handle` takes what happened, `poll` gives what to send and what to know.
//!
//! It opens no socket, reads no clock, resolves no name and knows no media.

mod accounts;
mod api;
mod auth;
mod clients;
mod commands;
mod config;
mod contact;
mod elsewhere;
mod events;
mod failover;
mod fingerprint;
mod focus;
mod naming;
mod network;
mod outgoing;
mod receive;
mod reply;
mod rules;
mod secagree;
mod servers;
mod streams;

pub use api::{
    Account, AccountKey, Body, CallKey, Cause, Credentials, EndedBy, Error, Event, FlowInfo,
    Headers, Input, Outgoing, Push, QueryKey, Registration, RegistrationInfo, RequestKey,
    ServerKey, Stats, Target, Transmit,
};
pub use auth::{AuthPolicy, AuthScheme, ChallengeOrder, CredentialsReply, CredentialsRequest};
pub use config::{Config, Policy};
pub use events::{
    PublicationEvent, PublicationKey, Publish, Subscribe, SubscriptionEvent, SubscriptionKey,
    SubscriptionState, Termination, WatcherEvent, WatcherKey,
};

pub use network::Network;
pub use rules::{HeaderRule, check_headers};
pub use secagree::SecurityMechanism;

pub(crate) use accounts::AccountState;
pub(crate) use clients::{ClientKey, ClientTx, Owner};
pub(crate) use events::{event_id, same_event};
pub(crate) use fingerprint::{Fingerprint, Fingerprinter};
pub(crate) use focus::PACKAGE as CONFERENCE;
pub(crate) use network::with_contact_at;
pub(crate) use outgoing::{Contact, Leg, Request, bad_uri, check};
pub(crate) use servers::{Purpose, ServerTx};

use crate::dialog::{Dialog, DialogKey};
use crate::transaction::{ClientEvent, ServerEvent, Timer};
use crate::usage::call::Call;
use crate::usage::moving::Parked;
use crate::usage::notifier::Notifier;
use crate::usage::publish::Publication;
use crate::usage::refer::Referrals;
use crate::usage::regain::Regain;
use crate::usage::replaces::Related;
use crate::usage::subscriber::{SubTimer, Subscriber};
use fingerprint::Index;
use slotmap::SlotMap;
use std::collections::{HashMap, HashSet, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::time::Instant;
use tiny_sak::{Flow, Output, Rng, TimerQueue, Transport};

/// The SIP core of a user agent.
///
/// The contract is that of every core ([`tiny_sak::Output`]): call [`handle`](Self::handle) or a
/// command, then [`poll`](Self::poll) until it gives a timeout.
///
/// ```
/// use std::time::Instant;
/// use tiny_sip::{Account, Config, Endpoint, Event, Outgoing};
/// use tiny_sak::{Output, Rng, Transport};
///
/// let now = Instant::now();
/// let mut endpoint = Endpoint::new(Config::default(), Rng::from_seed(1));
/// endpoint.bind(Transport::Udp, "127.0.0.1:5060".parse().unwrap());
/// let alice = endpoint
///     .add_account(Account { aor: "sip:alice@example.com".into(), ..Account::default() })
///     .unwrap();
/// let bob = Outgoing { to: "sip:bob@127.0.0.1:5070".into(), ..Outgoing::default() };
/// endpoint.invite(now, alice, bob).unwrap();
/// let Output::Transmit(invite) = endpoint.poll(now) else { panic!() };
/// assert!(invite.data.starts_with(b"INVITE sip:bob@127.0.0.1:5070 SIP/2.0\r\n"));
/// ```
#[derive(Debug)]
pub struct Endpoint {
    pub(crate) config: Config,
    pub(crate) rng: Rng,
    pub(crate) prints: Fingerprinter,
    out: VecDeque<Out>,
    pub(crate) timers: TimerQueue<Due>,
    bound: Vec<(Transport, SocketAddr)>,
    pub(crate) clients: SlotMap<ClientKey, ClientTx>,
    client_index: Index<ClientKey>,
    pub(crate) servers: SlotMap<ServerKey, ServerTx>,
    server_index: Index<ServerKey>,
    merged_index: Index<ServerKey>,
    pub(crate) dialogs: SlotMap<DialogKey, Dialog>,
    pub(crate) dialog_index: Index<DialogKey>,
    pub(crate) calls: SlotMap<CallKey, Call>,
    pub(crate) subscriptions: SlotMap<SubscriptionKey, Subscriber>,
    /// Subscriptions by Call-ID and local tag: what a NOTIFY outside dialogs is for.
    pub(crate) subscription_index: Index<SubscriptionKey>,
    pub(crate) watchers: SlotMap<WatcherKey, Notifier>,
    pub(crate) publications: SlotMap<PublicationKey, Publication>,
    pub(crate) accounts: SlotMap<AccountKey, AccountState>,
    users: HashMap<String, AccountKey>,
    pub(crate) requests: SlotMap<RequestKey, Option<CallKey>>,
    pub(crate) pager: crate::usage::pager::Pager,
    /// Referrals, by their call, which may be over.
    pub(crate) referrals: HashMap<CallKey, Referrals>,
    /// Those of them that are outside of calls.
    pub(crate) alone: crate::usage::referral::Alone,
    /// Calls that are about others, until they are answered.
    pub(crate) related: HashMap<CallKey, Related>,
    /// Calls that wait for a word on their redirection.
    pub(crate) redirected: HashMap<CallKey, Box<crate::usage::redirect::Held>>,
    /// Calls of ours whose INVITE goes out anew after a change of network.
    pub(crate) parked: HashMap<CallKey, Box<Parked>>,
    /// Calls that came in and whose callers are called instead.
    pub(crate) regains: HashMap<CallKey, Box<Regain>>,
    /// There is no network.
    pub(crate) offline: bool,
    /// Our addresses since the latest change of network, and its time.
    network: Network,
    pub(crate) moved_at: Option<Instant>,
    /// Names of dialogs that ended a while ago.
    pub(crate) ended: VecDeque<Fingerprint>,
    focuses: focus::Focuses,
    pending: SlotMap<QueryKey, Box<Request>>,
    streams: HashMap<Flow, streams::Stream>,
    /// Streams within a message, by the timer that ends their patience.
    slow: SlotMap<streams::SlowKey, Flow>,
    /// Unanswered calls by the address they came from.
    ringing: HashMap<IpAddr, usize>,
    ringing_total: usize,
    broken_streams: HashSet<Flow>,
    /// Servers that asked for a pause.
    pub(crate) resting: Vec<failover::Resting>,
    /// Stands for our address where nobody can connect to us (RFC 7118 §5).
    pub(crate) nowhere: String,
    /// Whether there is any header rule.
    pub(crate) rules_used: bool,
    pub(crate) counters: Stats,
    // Header field values that never change.
    pub(crate) allow: String,
    accept: String,
    pub(crate) supported: String,
    pub(crate) allow_events: String,
}

#[derive(Debug)]
enum Out {
    Transmit(Transmit),
    Event(Event),
}

/// What a timer is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Due {
    Client(ClientKey, Timer),
    Server(ServerKey, Timer),
    /// A message on a stream takes too long.
    Slow(streams::SlowKey),
    /// A request nobody answered.
    Abandon(ServerKey),
    /// Repeat the provisional response of a call.
    Ringing(CallKey),
    /// Repeat the 2xx of a call, or give up.
    Answer(CallKey),
    /// A caller's patience with ringing, or with a cancelled call.
    Patience(CallKey),
    /// The CANCEL of an INVITE that goes out anew is not answered, or its registration.
    Restart(CallKey),
    /// A caller that is called with Replaces, or the registration before, lets wait.
    Regain(CallKey),
    /// A re-INVITE or UPDATE after 491.
    Glare(CallKey),
    /// Nothing was heard of a REFER of ours.
    Refer(CallKey),
    /// A REFER of the peer's waits for an answer, or its subscription ends.
    Referred(CallKey),
    /// Repeat a reliable provisional response, or give up (RFC 3262 §3).
    Reliable(CallKey),
    /// Refresh the session, or end it (RFC 4028).
    Session(CallKey),
    /// The caller's Expires has passed.
    Expired(CallKey),
    Subscription(SubscriptionKey, SubTimer),
    /// A watcher's lifetime is over, or nobody decided about it.
    WatcherOver(WatcherKey),
    /// A watcher may be notified again.
    WatcherPace(WatcherKey),
    /// Publish again.
    Publication(PublicationKey),
    /// Nobody gave credentials.
    Credentials(QueryKey),
    /// Register a flow again.
    Refresh(AccountKey, u8),
    KeepAlive(AccountKey, u8),
}

impl Endpoint {
    /// An endpoint without addresses or accounts.
    pub fn new(mut config: Config, mut rng: Rng) -> Self {
        config.header_rules.retain(|rule| rule.check().is_ok());
        let prints = Fingerprinter::new(&mut rng);
        let nowhere = format!("{}.invalid", tiny_sak::id::tag(&mut rng.fork()));
        let allow: Vec<_> = config.allow.iter().map(|method| method.as_str()).collect();
        Self {
            allow: allow.join(", "),
            accept: config.accept.join(", "),
            supported: config.option_tags(),
            allow_events: config.event_packages.join(", "),
            rules_used: !config.header_rules.is_empty(),
            config,
            rng,
            prints,
            out: VecDeque::new(),
            timers: TimerQueue::new(),
            bound: Vec::new(),
            clients: SlotMap::with_key(),
            client_index: Index::default(),
            servers: SlotMap::with_key(),
            server_index: Index::default(),
            merged_index: Index::default(),
            dialogs: SlotMap::with_key(),
            dialog_index: Index::default(),
            calls: SlotMap::with_key(),
            subscriptions: SlotMap::with_key(),
            subscription_index: Index::default(),
            watchers: SlotMap::with_key(),
            publications: SlotMap::with_key(),
            accounts: SlotMap::with_key(),
            users: HashMap::new(),
            requests: SlotMap::with_key(),
            pager: Default::default(),
            referrals: HashMap::new(),
            alone: Default::default(),
            related: HashMap::new(),
            redirected: HashMap::new(),
            parked: HashMap::new(),
            regains: HashMap::new(),
            offline: false,
            network: Network::default(),
            moved_at: None,
            ended: VecDeque::new(),
            focuses: focus::Focuses::default(),
            pending: SlotMap::with_key(),
            streams: HashMap::new(),
            slow: SlotMap::with_key(),
            ringing: HashMap::new(),
            ringing_total: 0,
            broken_streams: HashSet::new(),
            nowhere,
            resting: Vec::new(),
            counters: Stats::default(),
        }
    }

    /// The settings.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Tells of an address that is being listened on. With a specified IP address, a next hop that
    /// is an IP literal of the same family needs no [`Event::Resolve`].
    pub fn bind(&mut self, transport: Transport, local: SocketAddr) {
        if !self.bound.contains(&(transport, local)) {
            self.bound.push((transport, local));
        }
    }

    /// Tells that an address is not listened on any more.
    pub fn unbind(&mut self, transport: Transport, local: SocketAddr) {
        self.bound.retain(|bound| *bound != (transport, local));
    }

    /// Something happened outside. Timers that are due fire first.
    pub fn handle(&mut self, now: Instant, input: Input) {
        while let Some(due) = self.timers.pop_due(now) {
            self.due(now, due);
        }
        match input {
            Input::Datagram { flow, data } => self.on_datagram(now, flow, data),
            Input::Stream { flow, data } => self.on_stream(now, flow, data),
            Input::StreamClosed { flow } => self.on_closed(now, flow, None),
            Input::SendFailed { flow, .. } => self.on_send_failed(now, flow, None),
            Input::Unreachable { flow, reason } => self.on_send_failed(now, flow, Some(&reason)),
            Input::Resolved { query, targets } => self.resolved(now, query, targets),
            Input::Unresolved { query, reason } => self.unresolved(now, query, &reason),
            Input::Timeout => {}
        }
    }

    /// What to send, what to know, or when to come back.
    pub fn poll(&mut self, _now: Instant) -> Output<Transmit, Event> {
        match self.out.pop_front() {
            Some(Out::Transmit(transmit)) => Output::Transmit(transmit),
            Some(Out::Event(event)) => Output::Event(event),
            None => Output::Timeout(self.timers.next_deadline()),
        }
    }

    fn due(&mut self, now: Instant, due: Due) {
        match due {
            Due::Client(key, timer) => {
                self.client_event(now, key, ClientEvent::Timer(timer), None);
            }
            Due::Server(key, timer) => self.server_event(now, key, ServerEvent::Timer(timer)),
            Due::Abandon(key) => self.abandon(now, key),
            Due::Slow(key) => self.stream_too_slow(now, key),
            Due::Ringing(call) => self.repeat_ringing(now, call),
            Due::Answer(call) => self.repeat_answer(now, call),
            Due::Patience(call) => self.patience_over(now, call),
            Due::Restart(call) => self.begin_anew(now, call),
            Due::Regain(call) => self.regain_due(now, call),
            Due::Glare(call) => self.glare_over(now, call),
            Due::Refer(call) => self.refer_timer(now, call),
            Due::Referred(call) => self.referred_timer(now, call),
            Due::Reliable(call) => self.repeat_reliable(now, call),
            Due::Session(call) => self.session_due(now, call),
            Due::Expired(call) => self.invite_expired(now, call),
            Due::Subscription(key, timer) => self.subscription_due(now, key, timer),
            Due::WatcherOver(key) => self.watcher_over(now, key),
            Due::WatcherPace(key) => self.watcher_pace(now, key),
            Due::Publication(key) => self.publication_due(now, key),
            Due::Credentials(query) => self.credentials_timeout(now, query),
            Due::Refresh(account, flow) => self.refresh_due(now, account, flow),
            Due::KeepAlive(account, flow) => self.keep_alive(now, account, flow),
        }
    }

    /// Live figures and drop counters.
    pub fn stats(&self) -> Stats {
        Stats {
            client_transactions: self.clients.len(),
            server_transactions: self.servers.len(),
            dialogs: self.dialogs.len(),
            calls: self.calls.len(),
            ringing: self.ringing_total,
            timers: self.timers.len(),
            pending: self.pending.len(),
            requests: self.requests.len(),
            subscriptions: self.subscriptions.len(),
            watchers: self.watchers.len(),
            publications: self.publications.len(),
            streams: self.streams.len(),
            ..self.counters
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::mem::size_of;

    #[test]
    fn an_established_call_is_small() {
        // Beside these: one block of strings and one entry of a table.
        assert!(size_of::<Call>() + size_of::<Dialog>() <= 400);
        // These linger for 32 s after a call was set up.
        assert!(size_of::<ClientTx>() <= 400 && size_of::<ServerTx>() <= 400);
    }
}
