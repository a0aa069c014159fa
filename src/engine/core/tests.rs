//! Two agents' cores joined by a perfect wire in virtual time, with a media plane that only takes
//! notes: what signalling does, seen from the handles.

use super::*;
use crate::account::AccountSpec;
use crate::audio::OpenAudio;
use crate::event::{CallEnd, CallEvent};
use crate::media::notes::{Notes, Plane, Quiet};
use crate::{Call, CallState, IncomingCall, Party};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tiny_media::{Direction, StreamConfig};

mod floods;
mod identity;
mod lines;
mod registration;
mod srtp;

fn quiet() -> OpenAudio {
    OpenAudio { source: Box::new(Quiet), sink: Box::new(Quiet), recorder: None, again: None }
}

struct Agent {
    core: Core<Plane>,
    address: SocketAddr,
    notes: Arc<Mutex<Notes>>,
    events: mpsc::Receiver<Event>,
    _shared: Arc<Shared>,
    inbox: mpsc::UnboundedReceiver<Command>,
    account: AccountKey,
    done: bool,
}

struct Pair {
    now: Instant,
    alice: Agent,
    bob: Agent,
}

fn agent(n: u8, config: Config) -> Agent {
    let address: SocketAddr = format!("192.0.2.{n}:5060").parse().unwrap();
    let notes = Arc::new(Mutex::new(Notes::default()));
    let ips = Arc::new(Mutex::new(vec![address.ip()]));
    let plane = Plane { ips, notes: notes.clone() };
    let registry = tiny_dav::builtin_registry();
    let (commands, inbox) = mpsc::unbounded_channel();
    let commands = crate::command::Commands(commands);
    let shared = Arc::new(Shared { commands, registry: registry.clone() });
    let (events_in, events) = mpsc::channel(config.max_pending_events);
    let rng = Rng::from_seed(u64::from(n));
    let mut core = Core::new(config, registry, rng, plane, events_in, Arc::downgrade(&shared));
    core.bind(Transport::Udp, address);
    let (reply, mut key) = oneshot::channel();
    let spec = AccountSpec::new(format!("sip:user{n}@{address}"));
    let add = Command::AddAccount { spec: Box::new(spec), reply };
    core.handle(Instant::now(), Input::Command(add));
    let account = key.try_recv().unwrap().unwrap();
    Agent { core, address, notes, events, _shared: shared, inbox, account, done: false }
}

impl Agent {
    /// Passes on what handles said and what the core wants; returns what goes over the wire.
    fn turn(&mut self, now: Instant) -> Vec<Transmit> {
        let mut out = Vec::new();
        while let Ok(command) = self.inbox.try_recv() {
            self.core.handle(now, Input::Command(command));
        }
        loop {
            match self.core.poll(now) {
                Output::Transmit(t) => out.push(t),
                Output::Event(Request::Done) => self.done = true,
                Output::Event(other) => panic!("{other:?} with addresses only"),
                Output::Timeout(_) => {
                    let closed = std::mem::take(&mut self.notes.lock().unwrap().closed);
                    if closed.is_empty() {
                        return out;
                    }
                    for id in closed {
                        let report = MediaReport::Closed(Some(Box::default()));
                        self.core.handle(now, Input::Media(MediaNotice { id, report }));
                    }
                }
            }
        }
    }

    fn config(&self) -> Option<StreamConfig> {
        self.notes.lock().unwrap().running.values().next().cloned()
    }

    fn command<T>(&mut self, now: Instant, make: impl FnOnce(Reply<T>) -> Command) -> Answer<T> {
        let (reply, answer) = oneshot::channel();
        self.core.handle(now, Input::Command(make(reply)));
        Answer(answer)
    }
}

struct Answer<T>(oneshot::Receiver<Result<T, Error>>);

impl<T> Answer<T> {
    fn now(&mut self) -> Result<T, Error> {
        self.0.try_recv().expect("an answer by now")
    }
}

impl Pair {
    fn new() -> Self {
        Self::with(Config::default(), Config::default())
    }

    fn with(a: Config, b: Config) -> Self {
        Self { now: Instant::now(), alice: agent(1, a), bob: agent(2, b) }
    }

    /// Carries messages until nothing moves.
    fn settle(&mut self) {
        loop {
            let (a, b) = (self.alice.turn(self.now), self.bob.turn(self.now));
            if a.is_empty() && b.is_empty() {
                return;
            }
            self.now += Duration::from_millis(1);
            for (transmits, to) in [(a, &mut self.bob), (b, &mut self.alice)] {
                for t in transmits {
                    assert_eq!(t.flow.remote, to.address);
                    let flow =
                        tiny_sak::Flow { local: t.flow.remote, remote: t.flow.local, ..t.flow };
                    let input = tiny_sip::Input::Datagram { flow, data: t.data };
                    to.core.handle(self.now, Input::Sip(input));
                }
            }
        }
    }

    fn pass(&mut self, span: Duration) {
        let end = self.now + span;
        while self.now < end {
            self.now += Duration::from_millis(100);
            self.alice.core.handle(self.now, Input::Timeout);
            self.bob.core.handle(self.now, Input::Timeout);
            self.settle();
        }
    }

    fn ring(&mut self) -> (Call, IncomingCall) {
        let to = format!("sip:bob@{}", self.bob.address);
        let account = self.alice.account;
        let headers = vec![("X-Ticket".to_owned(), "42".to_owned())];
        let call = Box::new(PlaceCall::new(account, to, headers, quiet()));
        let mut placed = self.alice.command(self.now, |reply| Command::Call { call, reply });
        let call = placed.now().unwrap();
        self.settle();
        match self.bob.events.try_recv() {
            Ok(Event::IncomingCall(incoming)) => (call, incoming),
            other => panic!("{other:?}"),
        }
    }

    fn answer(&mut self, incoming: &IncomingCall) {
        let call = incoming.call.inner.key;
        let (headers, audio) = (Vec::new(), quiet());
        let mut answered =
            self.bob.command(self.now, |reply| Command::Answer { call, headers, audio, reply });
        answered.now().unwrap();
        self.settle();
    }

    fn up() -> (Self, Call, Call) {
        let mut pair = Self::new();
        let (call, incoming) = pair.ring();
        pair.answer(&incoming);
        (pair, call, incoming.call.clone())
    }
}

fn events(call: &Call) -> Vec<CallEvent> {
    let mut all = call.inner.events.try_lock().unwrap();
    std::iter::from_fn(|| all.try_recv().ok()).collect()
}

fn end_of(call: &Call) -> CallEnd {
    match call.state() {
        CallState::Ended(end) => end,
        other => panic!("not ended: {other:?}"),
    }
}

#[test]
fn a_call_is_placed_answered_and_hung_up_and_media_follows() {
    let mut pair = Pair::new();
    let (call, incoming) = pair.ring();
    assert_eq!(incoming.request().header_named("x-ticket"), Some("42"), "own header is readable");
    assert!(incoming.from().starts_with("sip:user1@"));
    assert!(matches!(call.state(), CallState::Dialing { .. }));
    pair.answer(&incoming);
    let CallState::Established { codec: Some(codec), .. } = call.state() else {
        panic!("{:?}", call.state());
    };
    assert_eq!((codec.name.as_str(), codec.sample_rate), ("opus", 48_000));
    let (a, b) = (pair.alice.config().unwrap(), pair.bob.config().unwrap());
    assert_eq!(a.direction, Direction::SendRecv);
    assert_eq!(a.remote_rtp.unwrap().ip(), pair.bob.address.ip());
    assert_eq!(b.remote_rtp.unwrap().ip(), pair.alice.address.ip());
    assert_eq!(a.send.unwrap().payload_type, b.receive[0].payload_type);
    assert!(a.rtcp_mux && b.rtcp_mux);
    assert_ne!(a.ssrc, b.ssrc);

    call.inner.shared.commands.tell(Command::Hangup { call: call.inner.key, headers: vec![] });
    pair.settle();
    assert_eq!(end_of(&call).by, Party::Local);
    assert_eq!(end_of(&incoming.call).by, Party::Remote);
    assert!(end_of(&call).stats.is_some());
    assert!(matches!(events(&call).last(), Some(CallEvent::Ended(_))));
    assert!(pair.alice.core.calls.is_empty() && pair.bob.core.calls.is_empty());
    assert!(pair.alice.config().is_none() && pair.bob.config().is_none(), "ports are free again");
}

#[test]
fn hold_silences_both_ways_and_resume_brings_sound_back() {
    let (mut pair, call, other) = Pair::up();
    let key = call.inner.key;
    let mut held = pair.alice.command(pair.now, |reply| Command::Hold {
        call: key,
        on: true,
        headers: Vec::new(),
        reply,
    });
    pair.settle();
    held.now().unwrap();
    assert_eq!(pair.alice.config().unwrap().direction, Direction::Inactive, "we hold: silence");
    assert_eq!(pair.bob.config().unwrap().direction, Direction::RecvOnly);
    let seen = events(&other);
    assert!(seen.iter().any(|e| matches!(e, CallEvent::Held { by: Party::Remote })), "{seen:?}");

    let mut resumed = pair.alice.command(pair.now, |reply| Command::Hold {
        call: key,
        on: false,
        headers: Vec::new(),
        reply,
    });
    pair.settle();
    resumed.now().unwrap();
    assert_eq!(pair.alice.config().unwrap().direction, Direction::SendRecv);
    assert_eq!(pair.bob.config().unwrap().direction, Direction::SendRecv);
    let seen = events(&other);
    assert!(seen.iter().any(|e| matches!(e, CallEvent::Resumed { by: Party::Remote })), "{seen:?}");
}

#[test]
fn both_sides_hold_at_once_and_agree_in_the_end() {
    let (mut pair, call, other) = Pair::up();
    let (a, b) = (call.inner.key, other.inner.key);
    let mut one = pair.alice.command(pair.now, |reply| Command::Hold {
        call: a,
        on: true,
        headers: Vec::new(),
        reply,
    });
    let mut two = pair.bob.command(pair.now, |reply| Command::Hold {
        call: b,
        on: true,
        headers: Vec::new(),
        reply,
    });
    // The re-INVITEs cross: both get 491 and are repeated at different times (RFC 3261 §14.1).
    pair.settle();
    pair.pass(Duration::from_secs(8));
    one.now().unwrap();
    two.now().unwrap();
    for call in [&call, &other] {
        let state = call.state();
        assert!(
            matches!(state, CallState::Established { held: true, held_by_peer: true, .. }),
            "{state:?}"
        );
    }
    for agent in [&pair.alice, &pair.bob] {
        assert_eq!(agent.config().unwrap().direction, Direction::Inactive);
    }
}

#[test]
fn a_call_without_a_codec_in_common_gets_488() {
    let only = |name: &str| {
        let mut registry = Registry::new();
        let all = tiny_dav::builtin_registry();
        let wanted = all.codecs().iter().filter(|c| c.description().name == name);
        wanted.for_each(|c| registry.add_codec(c.clone()));
        registry
    };
    let mut pair = Pair::new();
    pair.alice.core.registry = only("opus");
    pair.bob.core.registry = only("PCMA");
    let to = format!("sip:bob@{}", pair.bob.address);
    let account = pair.alice.account;
    let call = Box::new(PlaceCall::new(account, to, vec![], quiet()));
    let mut placed = pair.alice.command(pair.now, |reply| Command::Call { call, reply });
    let call = placed.now().unwrap();
    pair.settle();
    assert_eq!(end_of(&call).status, Some(488));
    assert_eq!(end_of(&call).by, Party::Remote);
    assert!(pair.bob.events.try_recv().is_err(), "nobody was bothered");
}

#[test]
fn a_rejected_call_says_why_and_a_dropped_one_is_declined() {
    let mut pair = Pair::new();
    let (call, incoming) = pair.ring();
    let until = vec![("X-Until".into(), "noon".into())];
    incoming.reject_with(486, Some("In a meeting".into()), until).unwrap();
    pair.settle();
    let end = end_of(&call);
    assert_eq!((end.status, end.reason.as_str()), (Some(486), "In a meeting"));
    let header = end.message.as_ref().and_then(|m| m.header_named("X-Until"));
    assert_eq!(header, Some("noon"));

    let (call, incoming) = pair.ring();
    drop(incoming);
    pair.settle();
    assert_eq!(end_of(&call).status, Some(480));
}

#[test]
fn a_caller_who_drops_the_handle_cancels() {
    let mut pair = Pair::new();
    let (call, incoming) = pair.ring();
    let mut rung = pair.bob.command(pair.now, |reply| Command::Ring {
        call: incoming.call.inner.key,
        status: 180,
        headers: vec![],
        reply,
    });
    rung.now().unwrap();
    pair.settle();
    assert!(matches!(call.state(), CallState::Dialing { ringing: true }));
    drop(call);
    pair.settle();
    assert_eq!(end_of(&incoming.call).by, Party::Remote);
    assert!(pair.alice.core.calls.is_empty());
}

#[test]
fn keys_travel_by_info() {
    let (mut pair, call, other) = Pair::up();
    let mut sent = pair.alice.command(pair.now, |reply| Command::Dtmf {
        call: call.inner.key,
        digits: "4#".into(),
        mode: crate::DtmfMode::Info,
        reply,
    });
    sent.now().unwrap();
    pair.settle();
    let keys: Vec<char> = events(&other)
        .iter()
        .filter_map(|e| match e {
            CallEvent::Dtmf { digit, via: crate::DtmfMode::Info, .. } => Some(*digit),
            _ => None,
        })
        .collect();
    assert_eq!(keys, ['4', '#']);
}

#[test]
fn an_agent_that_shuts_down_hangs_up_first() {
    let (mut pair, call, other) = Pair::up();
    let (reply, mut done) = oneshot::channel();
    pair.alice.core.handle(pair.now, Input::Command(Command::Shutdown { reply }));
    pair.settle();
    assert_eq!(end_of(&call).by, Party::Local);
    assert_eq!(end_of(&other).by, Party::Remote, "the BYE went out before the end");
    assert!(done.try_recv().is_ok() && pair.alice.done);
    assert!(!pair.bob.done);
}

#[test]
fn one_call_more_than_the_limit_is_busy() {
    let config = Config { max_calls: 1, ..Config::default() };
    let mut pair = Pair::with(Config::default(), config);
    let (_first, _incoming) = pair.ring();
    let to = format!("sip:bob@{}", pair.bob.address);
    let account = pair.alice.account;
    let call = Box::new(PlaceCall::new(account, to, vec![], quiet()));
    let mut placed = pair.alice.command(pair.now, |reply| Command::Call { call, reply });
    let second = placed.now().unwrap();
    pair.settle();
    assert_eq!(end_of(&second).status, Some(486));
}

#[test]
fn events_nobody_reads_are_bounded_and_the_end_is_never_lost() {
    let config = Config { max_pending_call_events: 4, ..Config::default() };
    let mut pair = Pair::with(config, Config::default());
    let (call, incoming) = pair.ring();
    for _ in 0..20 {
        let mut rung = pair.bob.command(pair.now, |reply| Command::Ring {
            call: incoming.call.inner.key,
            status: 180,
            headers: vec![],
            reply,
        });
        rung.now().unwrap();
        pair.settle();
    }
    incoming.reject(486);
    pair.settle();
    let seen = events(&call);
    assert!(seen.len() <= 4);
    assert!(matches!(seen.last(), Some(CallEvent::Ended(_))));
}
