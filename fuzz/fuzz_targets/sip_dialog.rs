//! A peer that speaks well enough to get far: the input is a program of responses to what the endpoint
//! sent, requests inside and outside its dialogs, commands of the owner and time. Most messages are
//! valid, some have an octet changed. Afterwards, nothing may be left over.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use std::time::{Duration, Instant};
use tiny_sak::{Flow, Output, Rng, Transport};
use tiny_sip::{
    Account, Body, CallKey, Config, Credentials, Endpoint, Event, HeaderName, Input, Limits,
    Message, Method, Outgoing, QueryKey, Registration, ServerKey, Target,
};

const STATUS: [u16; 24] = [
    100, 180, 183, 199, 200, 200, 202, 299, 301, 302, 400, 401, 404, 407, 408, 422, 423, 481, 486,
    487, 491, 500, 503, 603,
];
const EXTRA: [&str; 16] = [
    "",
    "Record-Route: <sip:10.0.0.7;lr>, <sip:10.0.0.8>\r\n",
    "WWW-Authenticate: Digest realm=\"r\", nonce=\"n\", qop=\"auth,auth-int\"\r\n",
    "WWW-Authenticate: Digest realm=\"r\", nonce=\"m\", stale=true, algorithm=SHA-256\r\n",
    "Proxy-Authenticate: Digest realm=\"q\", nonce=\"n\"\r\n",
    "Retry-After: 3 (later);duration=9\r\n",
    "Min-Expires: 4000000000\r\n",
    "Expires: 0\r\n",
    "Require: 100rel, x\r\n",
    "RSeq: 1\r\nRequire: 100rel\r\n",
    "Contact: <sip:p@10.0.0.9;transport=tcp>;expires=7\r\n",
    "Contact: <sip:p@name.example>, <tel:+1>\r\n",
    "Route: <sip:10.0.0.1;lr>\r\n",
    "Replaces: c1;to-tag=a;from-tag=b\r\nRefer-To: <sip:x@y>\r\n",
    "Max-Forwards: 0\r\n",
    "Content-Type: application/sdp\r\n",
];
const METHODS: [&str; 12] = [
    "INVITE", "INVITE", "ACK", "BYE", "CANCEL", "OPTIONS", "MESSAGE", "INFO", "UPDATE", "PRACK",
    "REGISTER", "X",
];

struct Program<'a>(&'a [u8]);

impl Program<'_> {
    fn octet(&mut self) -> u8 {
        let (first, rest) = self.0.split_first().unwrap_or((&0, &[]));
        self.0 = rest;
        *first
    }
    fn of<'t, T: ?Sized>(&mut self, table: &[&'t T]) -> &'t T {
        table[usize::from(self.octet()) % table.len()]
    }
}

struct Peer {
    endpoint: Endpoint,
    now: Instant,
    sent: Vec<Message>,
    calls: Vec<CallKey>,
    requests: Vec<ServerKey>,
    queries: Vec<QueryKey>,
}

impl Peer {
    fn drain(&mut self) -> Option<Instant> {
        for _ in 0..100_000 {
            match self.endpoint.poll(self.now) {
                Output::Transmit(t) => {
                    let keep_alive = t.data.iter().all(|b| b"\r\n".contains(b));
                    if !keep_alive {
                        let limits =
                            Limits { max_message: 1 << 24, max_head: 1 << 24, ..Limits::default() };
                        let sent = Message::parse(t.data, &limits).expect("what we send parses");
                        // A response may have to repeat what was wrong in the request.
                        if sent.is_request() {
                            sent.validate().expect("and is valid");
                        }
                        self.sent.push(sent);
                    }
                }
                Output::Event(Event::Incoming { call, .. }) => self.calls.push(call),
                Output::Event(Event::Request { key, .. }) => self.requests.push(key),
                Output::Event(Event::Resolve { query, .. }) => self.queries.push(query),
                Output::Event(_) => {}
                Output::Timeout(next) => return next,
            }
        }
        panic!("polling does not end");
    }

    fn response(&mut self, program: &mut Program<'_>) -> Option<String> {
        let back = usize::from(program.octet() & 7);
        let request = self.sent.iter().rev().filter(|m| m.is_request()).nth(back)?;
        let status = STATUS[usize::from(program.octet()) % STATUS.len()];
        let tag = program.octet() & 3;
        let mut text = format!("SIP/2.0 {status} X\r\n");
        for (name, value) in request.all_headers() {
            match HeaderName::parse(name) {
                HeaderName::To if !value.contains("tag=") && tag > 0 => {
                    text += &format!("To: {value};tag=t{tag}\r\n");
                }
                HeaderName::Via
                | HeaderName::From
                | HeaderName::To
                | HeaderName::CallId
                | HeaderName::CSeq
                | HeaderName::RecordRoute => text += &format!("{name}: {value}\r\n"),
                _ => {}
            }
        }
        Some(text)
    }

    fn request(&mut self, program: &mut Program<'_>) -> Option<String> {
        let method = program.of(&METHODS);
        let how = program.octet();
        let cseq = 1 + u32::from(how & 7);
        let branch = program.octet() & 15;
        let (from, to, call_id) = if how & 8 == 0 {
            // Inside a dialog, as either side of what was sent last.
            let back = usize::from(program.octet() & 3);
            let sent = self
                .sent
                .iter()
                .rev()
                .filter(|m| m.header(HeaderName::To).is_some_and(|to| to.contains("tag=")))
                .nth(back)?;
            let value = |name| sent.header(name).map(str::to_owned);
            let (a, b) = (value(HeaderName::From)?, value(HeaderName::To)?);
            let (from, to) = if sent.is_request() { (b, a) } else { (a, b) };
            (from, to, value(HeaderName::CallId)?)
        } else {
            let from = format!("<sip:p@x>;tag=f{}", how >> 4 & 3);
            (from, "<sip:a@example.com>".to_owned(), format!("c{}", how >> 6))
        };
        Some(format!(
            "{method} sip:a@10.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP 10.0.0.9;rport;branch=z9hG4bK{branch}\r\n\
             From: {from}\r\nTo: {to}\r\nCall-ID: {call_id}\r\nCSeq: {cseq} {method}\r\n"
        ))
    }

    fn receive(&mut self, program: &mut Program<'_>, flow: Flow, mut text: String) {
        text += program.of(&EXTRA);
        let another = program.of(&EXTRA);
        text += program.of(&["Contact: <sip:p@10.0.0.9>\r\n", "", another]);
        let body = program.of(&["", "", "v=0\r\n", "--b\r\n\r\n--b--"]);
        text += &format!("Content-Length: {}\r\n\r\n{body}", body.len());
        let mut bytes = text.into_bytes();
        let change = program.octet();
        if change & 0xC0 == 0xC0 {
            let at = usize::from(change & 0x3F) << 8 | usize::from(program.octet());
            let at = at % bytes.len();
            bytes[at] = program.octet();
        }
        let data = Bytes::from(bytes);
        let input = match flow.transport {
            Transport::Udp => Input::Datagram { flow, data },
            _ => Input::Stream { flow, data },
        };
        self.endpoint.handle(self.now, input);
    }
}

fuzz_target!(|data: &[u8]| {
    let local = ([10, 0, 0, 1], 5060).into();
    let remote = ([10, 0, 0, 9], 5060).into();
    let mut endpoint = Endpoint::new(Config::default(), Rng::from_seed(1));
    endpoint.bind(Transport::Udp, local);
    endpoint.bind(Transport::Tcp, local);
    let credentials = Credentials { realm: None, username: "a".into(), password: "secret".into() };
    let account = endpoint
        .add_account(Account {
            aor: "sip:a@example.com".into(),
            credentials: vec![credentials],
            ..Account::default()
        })
        .expect("a valid account");
    let mut peer = Peer {
        endpoint,
        now: Instant::now(),
        sent: Vec::new(),
        calls: Vec::new(),
        requests: Vec::new(),
        queries: Vec::new(),
    };
    let sdp = |on: bool| on.then(|| Body::sdp("v=0\r\n"));
    let mut program = Program(data);
    while !program.0.is_empty() {
        let what = program.octet();
        let transport = if what & 0x80 == 0 { Transport::Udp } else { Transport::Tcp };
        let flow = Flow { transport, local, remote };
        let on = what & 0x40 != 0;
        let now = peer.now;
        let status = STATUS[usize::from(what >> 2) % STATUS.len()];
        let pick = usize::from(what >> 5 & 3);
        let call = peer.calls.get(peer.calls.len().wrapping_sub(1 + pick)).copied();
        match what & 0x1F {
            0..=5 => {
                if let Some(text) = peer.response(&mut program) {
                    peer.receive(&mut program, flow, text);
                }
            }
            6..=11 => {
                if let Some(text) = peer.request(&mut program) {
                    peer.receive(&mut program, flow, text);
                }
            }
            12 => {
                let to = program.of(&["sip:p@10.0.0.9", "sip:p@host.example", "sips:p@10.0.0.9"]);
                let outgoing = Outgoing { to: to.into(), body: sdp(on), ..Outgoing::default() };
                peer.calls.extend(peer.endpoint.invite(now, account, outgoing));
            }
            13 => {
                let registrar = "sip:10.0.0.9".to_owned();
                let registration = Registration { registrar, expires: 60, headers: vec![] };
                let _ = peer.endpoint.register(now, account, registration);
            }
            14 => drop(peer.endpoint.unregister(now, account)),
            15 => {
                if let Some(query) = peer.queries.pop() {
                    let target = |transport| Target { transport, addr: remote, local };
                    let targets = [target(transport), target(Transport::Tcp)];
                    let targets = targets[..pick.min(2)].to_vec();
                    peer.endpoint.handle(now, Input::Resolved { query, targets });
                }
            }
            16 => {
                if let Some(key) = peer.requests.pop() {
                    let _ = peer.endpoint.respond(now, key, status, None, vec![], sdp(on));
                }
            }
            17 => peer.endpoint.handle(now, Input::StreamClosed { flow }),
            18 => {
                let error = std::io::ErrorKind::ConnectionRefused;
                peer.endpoint.handle(now, Input::SendFailed { flow, error });
            }
            19 => {
                let to = "sip:p@10.0.0.9";
                let _ = peer.endpoint.request(now, account, Method::Message, to, vec![], sdp(on));
            }
            20..=22 => {
                let step = [1, 100, 500, 2000, 5000, 32_000, 64_000, 200_000];
                peer.now += Duration::from_millis(step[usize::from(what >> 5)]);
                peer.endpoint.handle(peer.now, Input::Timeout);
            }
            command => {
                let Some(call) = call else { continue };
                let endpoint = &mut peer.endpoint;
                let _ = match command {
                    23 => endpoint.provisional(now, call, 180, None, vec![], sdp(on)),
                    24 => endpoint.accept(now, call, vec![], sdp(on)),
                    25 => endpoint.reject(now, call, status, None, vec![]),
                    26 => endpoint.hangup(now, call, vec![]),
                    27 => endpoint.reinvite(now, call, vec![], sdp(on)),
                    28 => endpoint.accept_reinvite(now, call, vec![], sdp(on)),
                    29 => endpoint.reject_reinvite(now, call, status, None, vec![]),
                    30 => endpoint.acknowledge(now, call, sdp(on)),
                    _ => {
                        endpoint.request_in_call(now, call, Method::Info, vec![], sdp(on)).map(drop)
                    }
                };
            }
        }
        let _ = peer.drain();
    }
    // The owner hangs up, answers what is open, and waits.
    let _ = peer.endpoint.remove_account(account);
    for _ in 0..5_000 {
        let now = peer.now;
        for query in std::mem::take(&mut peer.queries) {
            peer.endpoint.handle(now, Input::Resolved { query, targets: Vec::new() });
        }
        for call in peer.calls.clone() {
            let _ = peer.endpoint.hangup(now, call, Vec::new());
        }
        for key in std::mem::take(&mut peer.requests) {
            let _ = peer.endpoint.respond(now, key, 500, None, Vec::new(), None);
        }
        match peer.drain() {
            Some(next) => peer.now = now.max(next),
            None if peer.queries.is_empty() => break,
            None => {}
        }
        peer.endpoint.handle(peer.now, Input::Timeout);
    }
    let flow = Flow { transport: Transport::Tcp, local, remote };
    peer.endpoint.handle(peer.now, Input::StreamClosed { flow });
    let s = peer.endpoint.stats();
    assert_eq!((s.calls, s.dialogs, s.client_transactions, s.server_transactions), (0, 0, 0, 0));
    assert_eq!((s.timers, s.pending, s.requests, s.streams), (0, 0, 0, 0));
});
