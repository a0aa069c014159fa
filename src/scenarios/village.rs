//! Telephones, proxies and redirect servers of one simulated world, and the ladder of what they say.

use crate::account::AccountBuilder;
use crate::agent::Shared;
use crate::audio::{AudioSpec, OpenAudio};
use crate::command::{Command, Commands};
use crate::engine::core::{Core, Input, NetworkChange, Request};
use crate::media::made_up::{MadeUp, notice};
use crate::media::notes::{Notes, Plane, Quiet};
#[cfg(feature = "dtls")]
use crate::media::{DataSetup, DataWord};
use crate::media::{IceNotice, MediaNotice, MediaReport, Security};
use crate::testkit::{Server, ServerConfig};
use crate::{
    Account, Audio, Call, CallBuilder, CallEnd, CallEvent, CallState, Config, Error, Event,
    IncomingCall, NetworkReport, SipMessage,
};
use bytes::Bytes;
use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};
use tiny_media::StreamConfig;
use tiny_net::NetEvent;
use tiny_net::sim::{self, Link, NatId, Node, NodeId, Transmit, World};
use tiny_sak::{Output, Rng, Transport};
use tiny_sip::{Limits, Message, Network, Target};
use tokio::sync::mpsc;

pub(super) fn quiet() -> OpenAudio {
    let again = AudioSpec::of(&Audio::silent());
    OpenAudio { source: Box::new(Quiet), sink: Box::new(Quiet), recorder: None, again }
}

type Names = Rc<RefCell<HashMap<String, Vec<SocketAddr>>>>;
type Ladder = Rc<RefCell<Vec<(SocketAddr, SocketAddr, String, Message)>>>;
type Wire = Rc<RefCell<Vec<String>>>;

struct Agent {
    core: Core<Plane>,
    at: SocketAddr,
    media_ips: Arc<Mutex<Vec<IpAddr>>>,
    inbox: mpsc::UnboundedReceiver<Command>,
    notes: Arc<Mutex<Notes>>,
    names: Names,
    out: VecDeque<Transmit>,
}

impl Agent {
    fn find(&self, host: &str, port: Option<u16>) -> Vec<SocketAddr> {
        let literal = host.trim_matches(['[', ']']).parse().ok();
        let mut found = match literal {
            Some(ip) => vec![SocketAddr::new(ip, port.unwrap_or(5060))],
            None => self.names.borrow().get(host).cloned().unwrap_or_default(),
        };
        found.retain(|addr| addr.is_ipv4() == self.at.is_ipv4());
        found
    }

    fn ask(&mut self, now: Instant, request: Request) {
        match request {
            Request::Resolve { query, host, port, transport, .. } => {
                let transport = transport.unwrap_or(Transport::Udp);
                let targets = self.find(&host, port).into_iter();
                let local = self.at;
                let targets = targets.map(|addr| Target { transport, addr, local }).collect();
                self.core.resolved(now, query, targets);
            }
            Request::Locate { job, uri, .. } => {
                let host = tiny_sip::Uri::parse(&uri).expect("a URI").host();
                let found = self.find(host, None).first().map(|a| a.ip());
                let address = found.ok_or_else(|| Error::Network(format!("no {host}")));
                self.core.handle(now, Input::Located { job, address });
            }
            Request::Open { job, audio } => {
                let audio = audio.open(self.core.registry());
                self.core.handle(now, Input::Opened { job, audio });
            }
            Request::Close { flow } => self.out.push_back(Transmit::Close { flow }),
            Request::Alias { .. } | Request::SetTls { .. } | Request::Done => {}
        }
    }
}

enum Who {
    Agent(Box<Agent>),
    Server(Box<Server>),
}

/// An agent or a server, and the ladder that all it sends is written to.
pub(super) struct House {
    who: Who,
    ladder: Ladder,
    wire: Wire,
    /// Changes what goes out, as a gateway does.
    edit: Option<fn(Bytes) -> Bytes>,
}

impl Node for House {
    type Event = ();

    fn handle(&mut self, now: Instant, input: sim::Input) {
        use tiny_sip::Input as S;
        let agent = match &mut self.who {
            Who::Server(server) => return Node::handle(&mut **server, now, input),
            Who::Agent(agent) => agent,
        };
        let sip = match input {
            sim::Input::Net(NetEvent::Datagram { flow, data }) => S::Datagram { flow, data },
            sim::Input::Net(NetEvent::Stream { flow, data }) => S::Stream { flow, data },
            sim::Input::Net(NetEvent::Closed { flow, .. }) => S::StreamClosed { flow },
            sim::Input::Net(NetEvent::SendFailed { flow, error }) => S::SendFailed { flow, error },
            sim::Input::Timeout => return agent.core.handle(now, Input::Timeout),
            _ => return,
        };
        agent.core.handle(now, Input::Sip(sip));
    }

    fn poll(&mut self, now: Instant) -> Output<Transmit, ()> {
        let sent = match &mut self.who {
            Who::Server(server) => match Node::poll(&mut **server, now) {
                Output::Transmit(t) => t,
                Output::Event(_) => return self.poll(now),
                Output::Timeout(at) => return Output::Timeout(at),
            },
            Who::Agent(agent) => loop {
                while let Ok(command) = agent.inbox.try_recv() {
                    agent.core.handle(now, Input::Command(command));
                }
                if let Some(t) = agent.out.pop_front() {
                    break t;
                }
                match agent.core.poll(now) {
                    Output::Transmit(t) => break Transmit::Send { flow: t.flow, data: t.data },
                    Output::Event(request) => agent.ask(now, request),
                    Output::Timeout(at) => {
                        let mut notes = agent.notes.lock().unwrap();
                        let (told, next) = notes.agents.poll(now);
                        let closed = std::mem::take(&mut notes.closed);
                        drop(notes);
                        if closed.is_empty() && told.is_empty() {
                            return Output::Timeout(at.into_iter().chain(next).min());
                        }
                        for notice in told {
                            agent.core.handle(now, Input::Media(notice));
                        }
                        for id in closed {
                            let report = MediaReport::Closed(Some(Box::default()));
                            agent.core.handle(now, Input::Media(MediaNotice { id, report }));
                        }
                    }
                }
            },
        };
        let Transmit::Send { flow, data } = sent else { return Output::Transmit(sent) };
        let data = self.edit.map_or_else(|| data.clone(), |edit| edit(data.clone()));
        if let Ok(message) = Message::parse(data.clone(), &Limits::default()) {
            let what = match (message.method(), message.status()) {
                (Some(method), _) => method.as_str().to_owned(),
                (_, status) => {
                    let cseq = message.cseq().map_or_else(|_| String::new(), |c| c.to_string());
                    let of = cseq.split(' ').next_back().unwrap_or_default().to_owned();
                    format!("{} {of}", status.map_or(0, |s| s.code()))
                }
            };
            self.wire.borrow_mut().push(String::from_utf8_lossy(&data).into_owned());
            self.ladder.borrow_mut().push((flow.local, flow.remote, what, message));
        }
        Output::Transmit(Transmit::Send { flow, data })
    }
}

/// A telephone in the hand of a test.
pub(super) struct Phone {
    pub(super) node: NodeId,
    pub(super) at: SocketAddr,
    pub(super) account: Account,
    pub(super) shared: Arc<Shared>,
    events: mpsc::Receiver<Event>,
    notes: Arc<Mutex<Notes>>,
}

impl Phone {
    /// The next event, if there is one.
    pub(super) fn event(&mut self) -> Option<Event> {
        self.events.try_recv().ok()
    }

    /// The next event that tells of a call.
    pub(super) fn incoming(&mut self) -> IncomingCall {
        while let Ok(event) = self.events.try_recv() {
            if let Event::IncomingCall(incoming) = event {
                return incoming;
            }
        }
        panic!("nobody calls {}", self.at);
    }

    /// All events so far.
    pub(super) fn told(&mut self) -> Vec<Event> {
        std::iter::from_fn(|| self.events.try_recv().ok()).collect()
    }

    /// With `show_received`: the messages so far of these calls, and of those that are over.
    pub(super) fn received(&mut self, calls: &[&Call]) -> Vec<SipMessage> {
        let mut all = Vec::new();
        for call in calls {
            let mut events = call.inner.events.try_lock().unwrap();
            while let Ok(event) = events.try_recv() {
                if let CallEvent::Received { message } = event {
                    all.push(message);
                }
            }
        }
        all.extend(self.told().into_iter().filter_map(|event| match event {
            Event::Received { message, .. } => Some(message),
            _ => None,
        }));
        all
    }

    /// The call that goes on in the place of another.
    pub(super) fn continued(&mut self) -> (crate::CallId, Call) {
        while let Ok(event) = self.events.try_recv() {
            if let Event::CallContinues { old, call } = event {
                return (old, call);
            }
        }
        panic!("no call goes on at {}", self.at);
    }

    /// The keys of each stream that runs.
    pub(super) fn keys(&self) -> Vec<Security> {
        let notes = self.notes.lock().unwrap();
        notes.running.keys().filter_map(|id| notes.keys_of(*id).cloned()).collect()
    }

    /// What was said last of the data channels of its only stream.
    #[cfg(feature = "dtls")]
    pub(super) fn channels(&self) -> DataSetup {
        let notes = self.notes.lock().unwrap();
        let id = notes.running.keys().next().expect("a stream");
        notes.channels.get(id).expect("data channels").clone()
    }

    /// What there is to see of its only ICE agent.
    pub(super) fn agent<T>(&self, look: impl FnOnce(&MadeUp) -> T) -> T {
        look(self.notes.lock().unwrap().agents.only().1)
    }

    /// How many ICE agents it has.
    pub(super) fn agents(&self) -> usize {
        self.notes.lock().unwrap().agents.all.len()
    }

    /// How long its agents gather.
    pub(super) fn gathers(&self, ms: u64) {
        self.notes.lock().unwrap().agents.gathers = Duration::from_millis(ms);
    }

    /// Where each stream that runs listens.
    pub(super) fn listens(&self) -> Vec<SocketAddr> {
        let notes = self.notes.lock().unwrap();
        notes.running.keys().filter_map(|id| notes.bound.get(id).copied()).collect()
    }

    /// Where the peer's media is expected, of each stream that runs.
    pub(super) fn media(&self) -> Vec<StreamConfig> {
        self.notes.lock().unwrap().running.values().cloned().collect()
    }
}

/// `BYE`, or `200 BYE`.
pub(super) fn label(message: &SipMessage) -> String {
    let method = message.cseq().unwrap().method.to_owned();
    match message.status() {
        Some(status) => format!("{} {method}", status.code()),
        None => method,
    }
}

/// A world with a ladder.
pub(super) struct Village {
    pub(super) world: World<House>,
    names: Names,
    ladder: Ladder,
    wire: Wire,
    known: HashMap<IpAddr, &'static str>,
    seed: u64,
}

impl Village {
    pub(super) fn new(seed: u64) -> Self {
        let mut world = World::new(Instant::now(), seed);
        world.network.set_default_path(Link::new().latency(Duration::from_millis(5)));
        let (names, ladder, wire) = (Names::default(), Ladder::default(), Wire::default());
        Self { world, names, ladder, wire, known: HashMap::new(), seed }
    }

    fn settle_in(&mut self, name: &'static str, at: SocketAddr, who: Who) -> NodeId {
        self.known.insert(at.ip(), name);
        let (ladder, wire) = (self.ladder.clone(), self.wire.clone());
        let house = House { who, ladder, wire, edit: None };
        let node = self.world.add(at.ip(), house);
        let host = self.world.host(node);
        self.world.network.listen(host, Transport::Tcp, at.port());
        node
    }

    /// What a name resolves to, in order of preference.
    pub(super) fn name(&mut self, host: &str, at: &[&str]) {
        let at = at.iter().map(|a| SocketAddr::new(a.parse().unwrap(), 5060)).collect();
        self.names.borrow_mut().insert(host.to_owned(), at);
    }

    /// A proxy, registrar or redirect server.
    pub(super) fn server(&mut self, name: &'static str, ip: &str, config: ServerConfig) -> NodeId {
        let at: SocketAddr = format!("{ip}:5060").parse().unwrap();
        self.seed += 1;
        let mut server = Server::new(config, Rng::from_seed(self.seed));
        server.bind(Transport::Udp, at);
        server.bind(Transport::Tcp, at);
        self.settle_in(name, at, Who::Server(Box::new(server)))
    }

    /// Takes a telephone to another network, and lets it know.
    pub(super) fn relocate(&mut self, phone: &mut Phone, ip: &str) -> NetworkReport {
        self.relocate_behind(phone, ip, None)
    }

    /// The same, behind a NAT.
    pub(super) fn relocate_behind(
        &mut self,
        phone: &mut Phone,
        ip: &str,
        nat: Option<NatId>,
    ) -> NetworkReport {
        let ip: IpAddr = ip.parse().unwrap();
        let (old, host) = (phone.at.ip(), self.world.host(phone.node));
        if let Some(name) = self.known.get(&old).copied() {
            self.known.insert(ip, name);
        }
        self.world.network.move_host(host, ip, nat);
        phone.at.set_ip(ip);
        let local = vec![(Transport::Udp, phone.at), (Transport::Tcp, phone.at)];
        let network = Network { bound: local.clone(), local, routes: Vec::new() };
        self.tell_network(phone, network, vec![old])
    }

    /// Gives a telephone one more address for media.
    pub(super) fn dual_stack(&mut self, phone: &Phone, ip: &str) {
        self.world.act(phone.node, |house, _| {
            let Who::Agent(agent) = &mut house.who else { return };
            agent.media_ips.lock().unwrap().push(ip.parse().unwrap());
        });
    }

    /// The only ICE agent of a telephone says something.
    pub(super) fn ice_says(&mut self, phone: &Phone, say: impl FnOnce(&MadeUp) -> IceNotice) {
        let said = {
            let notes = phone.notes.lock().unwrap();
            let (id, agent) = notes.agents.only();
            notice(id, say(agent))
        };
        self.world.act(phone.node, |house, now| {
            let Who::Agent(agent) = &mut house.who else { return };
            agent.core.handle(now, Input::Media(said));
        });
        self.run(1);
    }

    /// The data channels of a telephone's only stream say something.
    #[cfg(feature = "dtls")]
    pub(super) fn channels_say(&mut self, phone: &Phone, word: DataWord) {
        let id = *phone.notes.lock().unwrap().running.keys().next().expect("a stream");
        self.world.act(phone.node, |house, now| {
            let Who::Agent(agent) = &mut house.who else { return };
            let report = MediaReport::Data(word);
            agent.core.handle(now, Input::Media(MediaNotice { id, report }));
        });
    }

    /// Takes its network from a telephone.
    pub(super) fn cut_off(&mut self, phone: &Phone) -> NetworkReport {
        self.world.network.leave(self.world.host(phone.node));
        self.tell_network(phone, Network::default(), Vec::new())
    }

    fn tell_network(
        &mut self,
        phone: &Phone,
        network: Network,
        gone: Vec<IpAddr>,
    ) -> NetworkReport {
        let (reply, mut told) = tokio::sync::oneshot::channel();
        let at = phone.at;
        // What the handles said before comes first.
        self.world.act(phone.node, |_, _| ());
        self.world.act(phone.node, |house, now| {
            let Who::Agent(agent) = &mut house.who else { return };
            (agent.at, *agent.media_ips.lock().unwrap()) = (at, vec![at.ip()]);
            let change = NetworkChange { network, told: None, gone, reply };
            agent.core.handle(now, Input::Network(change));
        });
        told.try_recv().unwrap().unwrap()
    }

    /// Gives a server one more address.
    pub(super) fn also_at(&mut self, server: NodeId, name: &'static str, ip: &str) {
        let at = SocketAddr::new(ip.parse().unwrap(), 5060);
        self.known.insert(at.ip(), name);
        let host = self.world.host(server);
        self.world.network.add_address(host, at.ip());
        self.world.act(server, |house, _| {
            let Who::Server(server) = &mut house.who else { return };
            server.bind(Transport::Udp, at);
            server.bind(Transport::Tcp, at);
        });
    }

    /// Lets a server change what it sends.
    pub(super) fn edit(&mut self, server: NodeId, edit: fn(Bytes) -> Bytes) {
        self.world.act(server, |house, _| house.edit = Some(edit));
    }

    /// Lets a telephone refuse what it would accept: its 200 to an INVITE becomes a 488.
    pub(super) fn refuse_offers(&mut self, phone: NodeId) {
        self.edit(phone, |data| {
            let text = String::from_utf8_lossy(&data);
            match text.starts_with("SIP/2.0 200") && text.contains(" INVITE\r\n") {
                true => text.replacen("SIP/2.0 200 OK", "SIP/2.0 488 No", 1).into_bytes().into(),
                false => data,
            }
        });
    }

    /// A telephone with one account.
    pub(super) fn phone(
        &mut self,
        name: &'static str,
        ip: &str,
        aor: &str,
        config: Config,
        describe: impl FnOnce(AccountBuilder) -> AccountBuilder,
    ) -> Phone {
        let at: SocketAddr = format!("{ip}:5060").parse().unwrap();
        let notes = Arc::new(Mutex::new(Notes::default()));
        let media_ips = Arc::new(Mutex::new(vec![at.ip()]));
        let plane = Plane { ips: media_ips.clone(), notes: notes.clone() };
        let registry = tiny_dav::builtin_registry();
        let (commands, inbox) = mpsc::unbounded_channel();
        let shared = Arc::new(Shared { commands: Commands(commands), registry: registry.clone() });
        let (events_in, events) = mpsc::channel(config.max_pending_events);
        self.seed += 1;
        let rng = Rng::from_seed(self.seed);
        let mut core = Core::new(config, registry, rng, plane, events_in, Arc::downgrade(&shared));
        core.bind(Transport::Udp, at);
        core.bind(Transport::Tcp, at);
        let (names, out) = (self.names.clone(), VecDeque::new());
        let agent = Agent { core, at, media_ips, inbox, notes: notes.clone(), names, out };
        let node = self.settle_in(name, at, Who::Agent(Box::new(agent)));
        let builder = describe(AccountBuilder::new(shared.clone(), aor.to_owned()));
        let account = self.drive(builder.build()).unwrap();
        Phone { node, at, account, shared, events, notes }
    }

    /// Lets virtual time run until a future of a handle is ready.
    pub(super) fn drive<T>(&mut self, future: impl Future<Output = T>) -> T {
        let mut future = pin!(future);
        let mut context = Context::from_waker(Waker::noop());
        let limit = self.world.now() + Duration::from_secs(300);
        loop {
            if let Poll::Ready(value) = future.as_mut().poll(&mut context) {
                return value;
            }
            assert!(self.world.now() < limit, "no answer in 300 s of virtual time");
            self.wake();
            self.run(1);
        }
    }

    /// Lets agents read what their handles said.
    fn wake(&mut self) {
        for node in self.nodes() {
            self.world.act(node, |_, _| ());
        }
    }

    fn nodes(&self) -> Vec<NodeId> {
        self.world.nodes().collect()
    }

    /// Runs for so many milliseconds.
    pub(super) fn run(&mut self, ms: u64) {
        self.wake();
        self.world.run_for(Duration::from_millis(ms));
    }

    /// What passed since the last look: `INVITE alice>proxy`, `180 INVITE bob>proxy`, …
    pub(super) fn ladder(&mut self) -> Vec<String> {
        let name = |at: &SocketAddr| {
            let known = self.known.get(&at.ip()).map(|n| (*n).to_owned());
            known.unwrap_or_else(|| at.to_string())
        };
        let steps = std::mem::take(&mut *self.ladder.borrow_mut());
        steps.iter().map(|(a, b, what, _)| format!("{what} {}>{}", name(a), name(b))).collect()
    }

    /// The messages since the last look at the ladder that are such a step: `INVITE`, `200 BYE`…
    pub(super) fn said(&self, step: &str) -> Vec<Message> {
        let steps = self.ladder.borrow();
        steps
            .iter()
            .filter(|(.., what, _)| what == step)
            .map(|(.., message)| message.clone())
            .collect()
    }

    /// The messages so far that begin like this and name this method in CSeq.
    pub(super) fn wire(&self, start: &str, method: &str) -> Vec<String> {
        let cseq = format!(" {method}\r\n");
        let wire = self.wire.borrow();
        let of = |text: &&String| {
            let line = text.lines().find(|l| l.starts_with("CSeq:")).unwrap_or_default();
            text.starts_with(start) && format!("{line}\r\n").ends_with(&cseq)
        };
        wire.iter().filter(of).cloned().collect()
    }

    /// The last of them.
    pub(super) fn last(&self, start: &str, method: &str) -> String {
        self.wire(start, method).pop().unwrap_or_else(|| panic!("no {start} of {method}"))
    }

    /// Places a call as its builder says, with silence for sound.
    pub(super) fn place(&mut self, phone: &Phone, builder: CallBuilder) -> Call {
        self.try_place(phone, builder).unwrap()
    }

    /// The same where it may be refused at home.
    pub(super) fn try_place(&mut self, phone: &Phone, builder: CallBuilder) -> Result<Call, Error> {
        let call = Box::new(builder.command(quiet()));
        self.drive(phone.shared.commands.ask(|reply| Command::Call { call, reply }))
    }

    /// Rings with sound.
    pub(super) fn ring_with_media(
        &mut self,
        phone: &Phone,
        incoming: &IncomingCall,
        status: u16,
    ) -> Result<(), Error> {
        let (call, headers, audio) = (incoming.call.inner.key, Vec::new(), Box::new(quiet()));
        let make = |reply| Command::RingWithMedia { call, status, headers, audio, reply };
        self.drive(phone.shared.commands.ask(make))
    }

    /// Places a call; what it sends is on its way.
    pub(super) fn call(&mut self, phone: &Phone, to: &str) -> Call {
        self.call_with(phone, to, Vec::new())
    }

    /// Places a call with header fields of its own.
    pub(super) fn call_with(
        &mut self,
        phone: &Phone,
        to: &str,
        headers: Vec<(String, String)>,
    ) -> Call {
        let mut builder = phone.account.call(to);
        builder.headers.extend(headers);
        self.place(phone, builder)
    }

    /// Answers a call.
    pub(super) fn answer(&mut self, phone: &Phone, incoming: &IncomingCall) -> Call {
        let call = incoming.call.inner.key;
        let (headers, audio) = (Vec::new(), quiet());
        let make = |reply| Command::Answer { call, headers, audio, reply };
        self.drive(phone.shared.commands.ask(make)).unwrap();
        incoming.call.clone()
    }

    /// A call from one to the other, up.
    pub(super) fn connect(&mut self, from: &Phone, to: &mut Phone, uri: &str) -> (Call, Call) {
        let call = self.call(from, uri);
        self.run(200);
        let incoming = to.incoming();
        let answered = self.answer(to, &incoming);
        self.drive(call.answered()).unwrap();
        self.run(500);
        (call, answered)
    }

    /// How a phone's own end names the dialog of a call.
    pub(super) fn describe(&self, phone: &Phone, call: &Call) -> tiny_sip::CallDescription {
        match &self.world.node(phone.node).who {
            Who::Agent(agent) => agent.core.describe(call.inner.key).expect("a dialog"),
            Who::Server(_) => panic!("a server has no calls"),
        }
    }

    /// Nothing of any agent is left over.
    pub(super) fn assert_idle(&self) {
        for node in self.world.nodes() {
            if let Who::Agent(agent) = &self.world.node(node).who {
                let (stats, calls) = agent.core.live();
                let left = [stats.calls, stats.dialogs, stats.requests, stats.pending, calls];
                assert_eq!(left, [0; 5], "left at {}: {stats:?}", agent.at);
            }
        }
    }
}

pub(super) fn end_of(call: &Call) -> CallEnd {
    match call.state() {
        CallState::Ended(end) => end,
        other => panic!("not ended: {other:?}"),
    }
}
