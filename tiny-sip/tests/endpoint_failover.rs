//! RFC 3263 §4.3 and RFC 5922 as the endpoint sees them: which server is tried, which comes next,
//! which is spared, and who it must prove to be.

use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tiny_sak::{Flow, Output, Rng, Transport};
use tiny_sip::{
    Account, AccountKey, Config, Endpoint, Event, Input, Message, Method, QueryKey, Registration,
    Target, Transmit,
};

struct Phone {
    endpoint: Endpoint,
    account: AccountKey,
    now: Instant,
    sent: Vec<Transmit>,
    events: Vec<Event>,
}

fn addr(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn target(transport: Transport, remote: &str) -> Target {
    Target { transport, addr: addr(remote), local: addr("10.0.0.1:5060") }
}

impl Phone {
    fn new(account: Account) -> Self {
        let mut endpoint = Endpoint::new(Config::default(), Rng::from_seed(7));
        let account = endpoint.add_account(account).unwrap();
        let (sent, events) = (Vec::new(), Vec::new());
        Self { endpoint, account, now: Instant::now(), sent, events }
    }

    fn alice() -> Self {
        Self::new(Account { aor: "sip:alice@example.com".into(), ..Account::default() })
    }

    fn drain(&mut self) -> Option<Instant> {
        loop {
            match self.endpoint.poll(self.now) {
                Output::Transmit(transmit) => self.sent.push(transmit),
                Output::Event(event) => self.events.push(event),
                Output::Timeout(deadline) => return deadline,
            }
        }
    }

    fn handle(&mut self, input: Input) {
        self.endpoint.handle(self.now, input);
        self.drain();
    }

    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(at) = self.drain().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.endpoint.handle(self.now, Input::Timeout);
        }
        self.now = end;
        self.drain();
    }

    fn options(&mut self, to: &str) {
        let (now, account) = (self.now, self.account);
        self.endpoint.request(now, account, Method::Options, to, vec![], None).unwrap();
        self.drain();
    }

    fn register(&mut self, registrar: &str) {
        let registration =
            Registration { registrar: registrar.into(), expires: 3600, ..Default::default() };
        self.endpoint.register(self.now, self.account, registration).unwrap();
        self.drain();
    }

    fn query(&mut self) -> (QueryKey, Option<String>) {
        let found = self.events.iter().position(|e| matches!(e, Event::Resolve { .. }));
        let Event::Resolve { query, name, .. } = self.events.remove(found.expect("a question"))
        else {
            unreachable!()
        };
        (query, name.map(|name| name.to_string()))
    }

    fn resolve(&mut self, targets: &[Target]) {
        let (query, _) = self.query();
        self.handle(Input::Resolved { query, targets: targets.to_vec() });
    }

    fn last(&self) -> (Flow, String) {
        let last = self.sent.last().expect("something sent");
        (last.flow, String::from_utf8(last.data.to_vec()).unwrap())
    }

    /// Answers the latest request.
    fn answer(&mut self, status: &str, extra: &str) {
        let (flow, text) = self.last();
        let message = Message::parse(text.into(), &tiny_sip::Limits::default()).unwrap();
        let value = |name| message.header(name).unwrap().to_owned();
        use tiny_sip::HeaderName as H;
        let text = format!(
            "SIP/2.0 {status}\r\nVia: {}\r\nFrom: {}\r\nTo: {};tag=x\r\nCall-ID: {}\r\nCSeq: {}\r\n\
             {extra}Content-Length: 0\r\n\r\n",
            value(H::Via),
            value(H::From),
            value(H::To),
            value(H::CallId),
            value(H::CSeq)
        );
        self.handle(Input::Datagram { flow, data: text.into() });
    }
}

fn via(text: &str) -> String {
    text.lines().find_map(|line| line.strip_prefix("Via: ")).unwrap().to_owned()
}

fn contact(text: &str) -> String {
    text.lines().find_map(|line| line.strip_prefix("Contact: ")).unwrap().to_owned()
}

const UDP: Transport = Transport::Udp;

#[test]
fn a_server_that_is_silent_for_32_seconds_gives_way_to_the_next_with_a_new_branch() {
    let mut phone = Phone::alice();
    phone.options("sip:example.com");
    phone.resolve(&[target(UDP, "192.0.2.1:5060"), target(UDP, "192.0.2.2:5060")]);
    let (first, text) = phone.last();
    assert_eq!(first.remote, addr("192.0.2.1:5060"));
    phone.pass(Duration::from_secs(31));
    assert!(phone.sent.iter().all(|t| t.flow == first), "only repeated");
    phone.pass(Duration::from_secs(2));
    let (second, again) = phone.last();
    assert_eq!(second.remote, addr("192.0.2.2:5060"));
    assert_ne!(via(&text), via(&again), "a transaction of its own (RFC 3263 section 4.3)");
    phone.answer("200 OK", "");
    assert!(matches!(phone.events.last(), Some(Event::Response { .. })));
}

#[test]
fn a_connection_that_fails_says_why_when_nothing_is_left() {
    let mut phone = Phone::alice();
    phone.options("sip:example.com;transport=tls");
    let all = [target(Transport::Tls, "192.0.2.1:5061"), target(Transport::Tls, "192.0.2.2:5061")];
    phone.resolve(&all);
    for _ in 0..2 {
        let (flow, _) = phone.last();
        let reason = "TLS: invalid peer certificate: UnknownIssuer".to_owned();
        phone.handle(Input::Unreachable { flow, reason });
    }
    let Some(Event::RequestFailed { reason, .. }) = phone.events.last() else { panic!() };
    assert_eq!(reason, "192.0.2.2:5061: TLS: invalid peer certificate: UnknownIssuer");
    // And where nothing was found to begin with.
    phone.options("sip:example.com;transport=tls");
    let (query, _) = phone.query();
    phone.handle(Input::Unresolved { query, reason: "no such domain".into() });
    let Some(Event::RequestFailed { reason, .. }) = phone.events.last() else { panic!() };
    assert_eq!(reason, "no such domain");
}

#[test]
fn a_server_that_asks_for_a_pause_is_left_alone_for_that_long() {
    let all = [target(UDP, "192.0.2.1:5060"), target(UDP, "192.0.2.2:5060")];
    let mut phone = Phone::alice();
    phone.options("sip:example.com");
    phone.resolve(&all);
    phone.answer("503 Service Unavailable", "Retry-After: 60\r\n");
    assert_eq!(phone.last().0.remote, addr("192.0.2.2:5060"), "the next at once");
    phone.answer("200 OK", "");
    phone.pass(Duration::from_secs(58));
    phone.options("sip:example.com");
    phone.resolve(&all);
    assert_eq!(phone.last().0.remote, addr("192.0.2.2:5060"), "the first rests");
    phone.answer("200 OK", "");
    phone.options("sip:example.com");
    phone.resolve(&all[..1]);
    let Some(Event::RequestFailed { reason, .. }) = phone.events.last() else { panic!() };
    assert_eq!(reason, "192.0.2.1:5060 is busy and asked to be left alone for 2 s");
    phone.pass(Duration::from_secs(3));
    phone.options("sip:example.com");
    phone.resolve(&all);
    assert_eq!(phone.last().0.remote, addr("192.0.2.1:5060"), "rested");
    // A 503 without Retry-After is this request's alone.
    phone.answer("503 Service Unavailable", "");
    phone.answer("200 OK", "");
    phone.options("sip:example.com");
    phone.resolve(&all);
    assert_eq!(phone.last().0.remote, addr("192.0.2.1:5060"));
}

#[test]
fn requests_stay_with_the_server_that_registered_us() {
    let all = [target(UDP, "192.0.2.1:5060"), target(UDP, "192.0.2.2:5060")];
    let mut phone = Phone::alice();
    phone.register("sip:example.com");
    phone.resolve(&all);
    phone.answer("503 Service Unavailable", "");
    phone.answer("200 OK", "Contact: <sip:alice@10.0.0.1:5060>;expires=3600\r\n");
    assert!(phone.events.iter().any(|e| matches!(e, Event::Registered { .. })));
    phone.options("sip:bob@example.com");
    phone.resolve(&all);
    assert_eq!(phone.last().0.remote, addr("192.0.2.2:5060"));
}

#[test]
fn a_server_must_be_the_domain_of_the_uri_or_of_the_account_that_it_serves() {
    let route = |uri: &str| Account {
        aor: "sip:alice@example.com".into(),
        route: vec![uri.into()],
        ..Account::default()
    };
    let tls = target(Transport::Tls, "192.0.2.1:5061");
    for (account, to, expected) in [
        (route("sip:proxy.example.net;transport=tls;lr"), "sip:bob@x.org", "proxy.example.net"),
        // An outbound proxy by address speaks for our domain.
        (route("sip:192.0.2.1:5061;transport=tls;lr"), "sip:bob@x.org", "example.com"),
        (Phone::alice_account(), "sips:bob@x.org", "x.org"),
        // Whom we call by address must be that address.
        (Phone::alice_account(), "sips:bob@192.0.2.1", "192.0.2.1"),
        (Phone::alice_account(), "sips:bob@x.org;maddr=192.0.2.1", "x.org"),
    ] {
        let mut phone = Phone::new(account);
        phone.options(to);
        let (query, name) = phone.query();
        assert_eq!(name.as_deref(), Some(expected), "{to}");
        phone.handle(Input::Resolved { query, targets: vec![tls] });
        assert_eq!(phone.sent[0].name.as_deref(), Some(expected), "{to}");
    }
    // A registrar by address: the account's domain too.
    let mut phone = Phone::alice();
    phone.register("sip:192.0.2.1;transport=tls");
    assert_eq!(phone.query().1.as_deref(), Some("example.com"));
    // Datagrams prove nothing.
    let mut phone = Phone::alice();
    phone.options("sip:bob@x.org");
    phone.resolve(&[target(UDP, "192.0.2.1:5060")]);
    assert_eq!(phone.sent[0].name, None);
}

#[test]
fn a_websocket_client_has_no_address_in_via_and_contact() {
    let mut phone = Phone::alice();
    phone.register("sip:example.com;transport=ws");
    phone.resolve(&[target(Transport::Ws, "192.0.2.1:80")]);
    let (flow, text) = phone.last();
    assert_eq!(flow.transport, Transport::Ws);
    let host = via(&text)["SIP/2.0/WS ".len()..].split(';').next().unwrap().to_owned();
    assert!(host.ends_with(".invalid"), "{text}");
    assert!(contact(&text).starts_with(&format!("<sip:alice@{host};transport=ws>")), "{text}");
    // RFC 7118 section 5.2: one name for both kinds, so that the account's wish decides.
    let mut phone =
        Phone::new(Account { transport: Some(Transport::Wss), ..Phone::alice_account() });
    phone.register("sip:example.com;transport=ws");
    let wanted = phone.events.iter().find_map(|e| match e {
        Event::Resolve { transport, .. } => *transport,
        _ => None,
    });
    assert_eq!(wanted, Some(Transport::Wss));
}

#[test]
fn a_connection_is_offered_and_taken_for_both_directions_under_tls() {
    let mut phone = Phone::alice();
    phone.endpoint.bind(Transport::Tls, addr("10.0.0.1:5061"));
    phone.options("sip:example.com;transport=tls");
    let local = addr("10.0.0.1:5061");
    let (query, _) = phone.query();
    let tls = Target { local, ..target(Transport::Tls, "192.0.2.1:5061") };
    phone.handle(Input::Resolved { query, targets: vec![tls] });
    assert!(via(&phone.last().1).starts_with("SIP/2.0/TLS 10.0.0.1:5061;alias;branch="));
    // The other way round.
    let flow = Flow { transport: Transport::Tls, local, remote: addr("192.0.2.9:40000") };
    let request = |alias: &str| {
        format!(
            "OPTIONS sip:alice@10.0.0.1 SIP/2.0\r\nVia: SIP/2.0/TLS b.example.org{alias};branch=z9hG4bK{}\r\n\
             From: <sip:b@x>;tag=1\r\nTo: <sip:a@x>\r\nCall-ID: 1{alias}\r\nCSeq: 1 OPTIONS\r\n\
             Max-Forwards: 70\r\nContent-Length: 0\r\n\r\n",
            alias.len()
        )
    };
    phone.handle(Input::Stream { flow, data: request("").into() });
    assert!(!phone.events.iter().any(|e| matches!(e, Event::Alias { .. })));
    phone.handle(Input::Stream { flow, data: request(";alias").into() });
    let offered = phone.events.iter().find_map(|e| match e {
        Event::Alias { flow, sent_by } => Some((*flow, *sent_by)),
        _ => None,
    });
    assert_eq!(offered, Some((flow, addr("192.0.2.9:5061"))));
}

impl Phone {
    fn alice_account() -> Account {
        Account { aor: "sip:alice@example.com".into(), ..Account::default() }
    }
}
