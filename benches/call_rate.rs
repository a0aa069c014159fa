//! Complete calls a CPU-second, and resident bytes a call.
//!
//! Both ends live in this process and talk over real UDP sockets on loopback: INVITE with an offer,
//! 200 with the answer, ACK, BYE, 200. First 500 calls are kept in flight and the processor time of
//! the whole process (user and system) is divided by the calls completed; then 20,000 calls are set
//! up, held, and the growth of the resident set is divided by their number.
//!
//! Then the calls again with digest authentication: every INVITE and BYE carries credentials that the
//! callee checks (SHA-256, qop auth), all but the first unasked with the count of one nonce.
//!
//! `cargo bench --bench call_rate`; its last lines are `calls_per_cpu_second N`,
//! `authenticated_calls_per_cpu_second N` and `bytes_per_call N`.
#![allow(missing_docs, clippy::print_stdout)]

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tiny_net::{NetEvent, SipTransports};
use tiny_sak::{Output, Rng, Secret, Transport};
use tiny_sdp::{LocalCodec, LocalMedia, LocalSession, Negotiator};
use tiny_sip::digest::{Algorithm, Ha1, Qop, Verdict, challenge, verify};
use tiny_sip::{
    Account, AccountKey, Body, CallKey, Config, Credentials, Endpoint, Event, HeaderName, Input,
    Message, Outgoing,
};

const IN_FLIGHT: usize = 500;
const WARM_UP: usize = 5_000;
const COUNTED: usize = 40_000;
const HELD: usize = 20_000;
const REALM: &str = "bench";
const PASSWORD: &str = "secret";
const ALGORITHM: Algorithm = Algorithm::Sha256;

/// One end: an endpoint, its sockets, and what the agent keeps for each call.
struct End {
    endpoint: Endpoint,
    net: SipTransports,
    account: AccountKey,
    negotiators: HashMap<CallKey, Negotiator>,
    local: LocalSession,
    rng: Rng,
    sdp: Arc<tiny_sdp::Config>,
    peer: String,
    up: usize,
    ended: usize,
    failed: usize,
    hang_up_at_once: bool,
    /// The password that callers must know.
    lock: Option<Ha1>,
    challenged: usize,
}

impl End {
    fn new(user: &str, seed: u64) -> Self {
        let mut net = SipTransports::new(tiny_net::Config::default());
        let at = net.bind(Transport::Udp, "127.0.0.1:0".parse().unwrap()).expect("a free port");
        let mut rng = Rng::from_seed(seed);
        let mut endpoint = Endpoint::new(Config::default(), rng.fork());
        endpoint.bind(Transport::Udp, at);
        let (username, password) = (user.to_owned(), Secret::from(PASSWORD));
        let credentials = vec![Credentials { realm: None, username, password }];
        let account =
            Account { aor: format!("sip:{user}@{at}"), credentials, ..Account::default() };
        let account = endpoint.add_account(account).expect("an account");
        let codecs =
            vec![LocalCodec::opus(), LocalCodec::g722(), LocalCodec::pcmu(), LocalCodec::pcma()];
        let media = LocalMedia::audio(20_000, codecs).with_telephone_events();
        let local = LocalSession::new(at.ip(), vec![media]);
        Self {
            endpoint,
            net,
            account,
            negotiators: HashMap::new(),
            local,
            rng,
            sdp: Arc::default(),
            peer: aor_of(user, at),
            up: 0,
            ended: 0,
            failed: 0,
            hang_up_at_once: true,
            lock: None,
            challenged: 0,
        }
    }

    fn call(&mut self, now: Instant, to: &str) {
        let mut negotiator = Negotiator::new(self.sdp.clone(), self.rng.u64() >> 2, 1);
        let offer = negotiator.offer(&self.local).expect("an offer");
        let outgoing =
            Outgoing { to: to.to_owned(), body: Some(Body::sdp(offer)), ..Outgoing::default() };
        let call = self.endpoint.invite(now, self.account, outgoing).expect("a call");
        self.negotiators.insert(call, negotiator);
    }

    fn drain(&mut self, now: Instant) -> Option<Instant> {
        loop {
            match self.endpoint.poll(now) {
                Output::Transmit(t) => self.net.send(t.flow, t.data),
                Output::Event(event) => self.event(now, event),
                Output::Timeout(deadline) => {
                    self.net.flush();
                    return deadline;
                }
            }
        }
    }

    fn event(&mut self, now: Instant, event: Event) {
        match event {
            Event::Incoming { call, request, .. } => {
                if !self.admits(&request) {
                    self.challenged += 1;
                    let ask = challenge(ALGORITHM, REALM, "n0", &[Qop::Auth], None, false);
                    let headers = vec![("WWW-Authenticate".to_owned(), ask)];
                    self.endpoint.reject(now, call, 401, None, headers).expect("challenged");
                    return;
                }
                let mut negotiator = Negotiator::new(self.sdp.clone(), self.rng.u64() >> 2, 1);
                let answer = negotiator.answer(request.body(), &self.local).expect("an answer");
                assert!(answer.session.audio().is_some());
                self.endpoint
                    .accept(now, call, Vec::new(), Some(Body::sdp(answer.sdp)))
                    .expect("accepted");
                self.negotiators.insert(call, negotiator);
            }
            Event::Answered { call, response, .. } => {
                let negotiator = self.negotiators.get_mut(&call).expect("our call");
                let session = negotiator.accept_answer(response.body()).expect("an answer");
                assert!(session.audio().is_some());
                self.up += 1;
                if self.hang_up_at_once {
                    self.endpoint.hangup(now, call, Vec::new()).expect("hung up");
                }
            }
            // A challenge of ours is no call.
            Event::Ended { status: Some(401), .. } if self.lock.is_some() => {}
            Event::Ended { call, status, .. } => {
                self.negotiators.remove(&call);
                self.ended += 1;
                self.failed += usize::from(status.is_some_and(|s| s >= 300));
            }
            _ => {}
        }
    }

    /// Whether a request has the right credentials, or needs none.
    fn admits(&self, request: &Message) -> bool {
        let Some(ha1) = &self.lock else { return true };
        request
            .credentials(HeaderName::Authorization)
            .flatten()
            .any(|given| verify(&given, ALGORITHM, ha1, "INVITE", request.body()) == Verdict::Right)
    }

    fn input(&mut self, now: Instant, event: NetEvent) {
        match event {
            NetEvent::Datagram { flow, data } => {
                self.endpoint.handle(now, Input::Datagram { flow, data });
            }
            NetEvent::SendFailed { error, .. } => panic!("{error}"),
            _ => {}
        }
    }
}

fn aor_of(user: &str, at: std::net::SocketAddr) -> String {
    format!("sip:{user}@{at}")
}

/// Runs both ends until `done` says so; `more` may start calls.
async fn run(
    a: &mut End,
    b: &mut End,
    mut more: impl FnMut(&mut End, Instant),
    done: impl Fn(&End, &End) -> bool,
) {
    let sleep = tokio::time::sleep(Duration::from_secs(1));
    tokio::pin!(sleep);
    loop {
        let now = Instant::now();
        more(a, now);
        let next = [a.drain(now), b.drain(now)].into_iter().flatten().min();
        if done(a, b) {
            return;
        }
        sleep.as_mut().reset(next.unwrap_or(now + Duration::from_secs(1)).into());
        tokio::select! {
            event = a.net.recv() => a.input(Instant::now(), event),
            event = b.net.recv() => b.input(Instant::now(), event),
            () = &mut sleep => {
                let now = Instant::now();
                a.endpoint.handle(now, Input::Timeout);
                b.endpoint.handle(now, Input::Timeout);
            }
        }
    }
}

/// User and system time of this process in seconds.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("/proc");
    let rest = stat.rsplit_once(')').expect("a process name").1;
    let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
    let ticks = |i: usize| fields[i].parse::<f64>().expect("ticks");
    // utime and stime are fields 14 and 15, counted in 1/100 s.
    (ticks(11) + ticks(12)) / 100.0
}

fn resident_bytes() -> f64 {
    let statm = std::fs::read_to_string("/proc/self/statm").expect("/proc");
    let pages: f64 = statm.split_ascii_whitespace().nth(1).and_then(|p| p.parse().ok()).unwrap();
    pages * 4096.0
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    // Memory first: the growth must not fit into what the other half has freed.
    let bytes = held_calls().await;
    let (rate, failed) = call_rate(false).await;
    let (locked, refused) = call_rate(true).await;
    let failed = failed + refused;
    println!("failed calls {failed}");
    println!("calls_per_cpu_second {rate:.0}");
    println!("authenticated_calls_per_cpu_second {locked:.0}");
    println!("bytes_per_call {bytes:.0}");
    std::process::exit(i32::from(failed > 0));
}

async fn call_rate(locked: bool) -> (f64, usize) {
    let (mut a, mut b) = (End::new("alice", 1), End::new("bob", 2));
    if locked {
        println!("with authentication:");
        b.lock = Some(Ha1::new(ALGORITHM, "alice", REALM, &Secret::from(PASSWORD)));
    }
    let to = b.peer.clone();
    let (mut started, mut total_cpu, mut total_calls) = (0, 0.0, 0);
    let mut goal = WARM_UP;
    for round in 0..4 {
        let (cpu, wall, from) = (cpu_seconds(), Instant::now(), a.ended);
        let fill = |a: &mut End, now: Instant| {
            while started < goal && started - a.ended < IN_FLIGHT {
                a.call(now, &to);
                started += 1;
            }
        };
        run(&mut a, &mut b, fill, |a, _| a.ended >= goal).await;
        let (cpu, calls) = (cpu_seconds() - cpu, a.ended - from);
        if round > 0 {
            let rate = calls as f64 / cpu;
            let per_second = calls as f64 / wall.elapsed().as_secs_f64();
            println!(
                "round {round}: {calls} calls, {cpu:.2} s CPU, {rate:.0} a CPU-second, {per_second:.0} a second"
            );
            total_cpu += cpu;
            total_calls += calls;
        }
        goal += COUNTED / 3;
    }
    let left = (a.endpoint.stats(), b.endpoint.stats());
    if locked {
        println!("challenges {}", b.challenged);
    }
    println!("calls left over: {} and {}", left.0.calls, left.1.calls);
    (total_calls as f64 / total_cpu, a.failed + b.failed)
}

async fn held_calls() -> f64 {
    let (mut a, mut b) = (End::new("carol", 3), End::new("dave", 4));
    a.hang_up_at_once = false;
    let to = b.peer.clone();
    let mut started = 0;
    let before = resident_bytes();
    let fill = |a: &mut End, now: Instant| {
        while started < HELD && started - a.up < IN_FLIGHT {
            a.call(now, &to);
            started += 1;
        }
    };
    run(&mut a, &mut b, fill, |a, _| a.up >= HELD).await;
    let at_once = (resident_bytes() - before) / HELD as f64;
    // The INVITE transactions linger for 64*T1 = 32 s (RFC 6026) before only the calls are left.
    let end = Instant::now() + Duration::from_secs(36);
    run(&mut a, &mut b, |_, _| (), |_, _| Instant::now() > end).await;
    let settled = (resident_bytes() - before) / HELD as f64;
    println!("established {} and {}", a.endpoint.stats().calls, b.endpoint.stats().calls);
    println!(
        "resident bytes a call: {at_once:.0} at once, {settled:.0} when transactions have ended"
    );
    at_once.max(settled)
}
