//! The Session API as an application uses it: agents on real sockets of the loopback, the testkit's
//! registrar and proxy between them.

mod common;

use common::{LOOPBACK, account, address, connect, hears, incoming, on_loopback, soon, uri};
use std::time::Duration;
use tiny_net::stun;
use tiny_ua::testkit::{Registrar, ServerEvent};
use tiny_ua::{
    Account, Audio, Call, CallEvent, CallState, Config, Error, Event, HeaderName, Method, Party,
    SipMessage, UserAgent,
};
use tokio::time::{sleep, timeout};

const DOMAIN: &str = "session.test";
const PASSWORD: &str = "open sesame";

async fn registrar(users: &[&str]) -> Registrar {
    let add = |builder: tiny_ua::testkit::ServerConfig, name: &&str| builder.user(name, PASSWORD);
    users.iter().fold(Registrar::builder(DOMAIN), add).start().await.unwrap()
}

async fn agent() -> UserAgent {
    agent_with(|_| {}).await
}

async fn agent_with(change: impl FnOnce(&mut Config)) -> UserAgent {
    let builder = on_loopback().codecs(["pcmu"]);
    builder.configure(change).build().await.unwrap()
}

async fn register(ua: &UserAgent, at: &Registrar, name: &str) -> Account {
    let proxy = format!("sip:{};lr", at.address());
    let account = ua.account(format!("sip:{name}@{DOMAIN}")).outbound_proxy(proxy);
    let account = account.registrar(format!("sip:{}", at.address())).password(PASSWORD);
    account.register().await.unwrap()
}

/// An account that needs no registrar, and the URI to call it by.
async fn direct(ua: &UserAgent, name: &str) -> (Account, String) {
    (account(ua, name).await, uri(name, ua))
}

async fn event_of(call: &Call, wanted: impl Fn(&CallEvent) -> bool) -> CallEvent {
    loop {
        let event = soon(call.next_event()).await.expect("an event of the call");
        if wanted(&event) {
            return event;
        }
    }
}

fn custom(message: &SipMessage, name: &str) -> Option<String> {
    message.headers(HeaderName::parse(name)).next().map(str::to_owned)
}

fn headers(name: &str, value: &str) -> Vec<(String, String)> {
    vec![(name.into(), value.into())]
}

#[tokio::test]
async fn several_accounts_and_calls_live_in_one_agent() {
    let at = registrar(&["alice", "bob", "carol", "dave"]).await;
    let (left, right) = (agent().await, agent().await);
    let (alice, carol) = (register(&left, &at, "alice").await, register(&left, &at, "carol").await);
    let (bob, dave) = (register(&right, &at, "bob").await, register(&right, &at, "dave").await);
    let mut placed = Vec::new();
    for (from, to) in [(&alice, "bob"), (&alice, "dave"), (&carol, "bob"), (&carol, "dave")] {
        let call = from.call(format!("sip:{to}@{DOMAIN}")).audio(Audio::silent());
        placed.push(call.header("X-From", from.aor()).await.unwrap());
    }
    let mut taken = Vec::new();
    for _ in 0..4 {
        let call = incoming(&right).await;
        let called = call.request().to().unwrap().uri.user().unwrap().to_owned();
        let account = if called == "bob" { &bob } else { &dave };
        assert_eq!(call.account(), Some(account.id()), "the call for {called}");
        assert_eq!(custom(call.request(), "X-From").as_deref(), Some(call.from()));
        taken.push(call.answer(Audio::silent()).await.unwrap());
    }
    for call in placed.iter().chain(&taken) {
        soon(call.answered()).await.unwrap();
        hears(call, 10).await;
    }
    // And one within an agent, between two of its accounts.
    let own = alice.call(carol.aor()).audio(Audio::silent()).await.unwrap();
    let other = incoming(&left).await;
    assert_eq!(other.account(), Some(carol.id()));
    let other = other.answer(Audio::silent()).await.unwrap();
    hears(&own, 10).await;
    // The end of one is not the end of another.
    let end = soon(placed[0].hangup()).await;
    assert_eq!((end.by, end.status), (Party::Local, None));
    assert!(end.stats.is_some_and(|s| s.rx_packets > 10));
    for call in placed[1..].iter().chain([&own, &other]) {
        assert!(matches!(call.state(), CallState::Established { .. }), "{:?}", call.state());
    }
    soon(left.shutdown()).await;
    for call in &taken {
        assert_eq!(soon(call.ended()).await.by, Party::Remote);
    }
}

#[tokio::test]
async fn header_fields_of_ones_own_are_read_at_the_other_end() {
    let at = registrar(&["alice", "bob"]).await;
    let (left, right) = (agent().await, agent().await);
    let (alice, bob) = (register(&left, &at, "alice").await, register(&right, &at, "bob").await);
    // A 200 to REGISTER is readable as a whole.
    let granted = alice.register().await.unwrap();
    assert_eq!(granted.response.status().map(|s| s.code()), Some(200));
    assert!(granted.response.headers(HeaderName::Contact).next().is_some());

    let call = alice.call(bob.aor()).audio(Audio::silent()).header("X-Invite", "a, \"b\"; c");
    let call = call.await.unwrap();
    let ringing = incoming(&right).await;
    assert_eq!(custom(ringing.request(), "X-Invite").as_deref(), Some("a, \"b\"; c"));
    ringing.ring_with(180, headers("X-Ring", "ding")).await.unwrap();
    let progress = event_of(&call, |e| matches!(e, CallEvent::Progress { .. })).await;
    let CallEvent::Progress { response } = progress else { unreachable!() };
    assert_eq!(custom(&response, "x-ring").as_deref(), Some("ding"));
    let taken = ringing.answer_with(Audio::silent(), headers("X-Answer", "yes")).await.unwrap();
    let answered = event_of(&call, |e| matches!(e, CallEvent::Answered { .. })).await;
    let CallEvent::Answered { response: Some(response), .. } = answered else { unreachable!() };
    assert_eq!(custom(&response, "X-Answer").as_deref(), Some("yes"));

    // Within the call: a re-INVITE and an INFO.
    call.hold_with(headers("X-Hold", "coffee")).await.unwrap();
    let request = event_of(&taken, |e| matches!(e, CallEvent::Request { .. })).await;
    let CallEvent::Request { request } = request else { unreachable!() };
    assert_eq!(custom(&request, "X-Hold").as_deref(), Some("coffee"));
    call.resume_with(headers("X-Hold", "back")).await.unwrap();
    let info = call.request(Method::Info).header("X-Info", "knock").send();
    assert_eq!(soon(info).await.unwrap().status().map(|s| s.code()), Some(200));
    let info = |e: &CallEvent| matches!(e, CallEvent::Request { request } if request.method() == Some(&Method::Info));
    let CallEvent::Request { request } = event_of(&taken, info).await else { unreachable!() };
    assert_eq!(custom(&request, "X-Info").as_deref(), Some("knock"));

    let end = soon(call.hangup_with(headers("Reason", "Q.850;cause=16"))).await.unwrap();
    assert_eq!(end.by, Party::Local);
    let end = soon(taken.ended()).await;
    let bye = end.message.expect("the BYE");
    assert_eq!(custom(&bye, "Reason").as_deref(), Some("Q.850;cause=16"));

    // A refusal, a MESSAGE, and its response.
    let call = alice.call(bob.aor()).audio(Audio::silent()).await.unwrap();
    let rejected = incoming(&right).await;
    rejected.reject_with(486, Some("At Lunch".into()), headers("X-Back", "13:00")).unwrap();
    let end = soon(call.ended()).await;
    assert_eq!((end.status, end.reason.as_str()), (Some(486), "At Lunch"));
    assert_eq!(custom(&end.message.unwrap(), "X-Back").as_deref(), Some("13:00"));
    let request = alice.request(Method::Message, bob.aor()).header("X-Note", "n");
    let sent = tokio::spawn(request.body("text/plain", "lunch?").send());
    let message = loop {
        if let Event::Message(message) = soon(right.next_event()).await.unwrap() {
            break message;
        }
    };
    assert_eq!(
        (custom(message.request(), "X-Note").as_deref(), &*message.text()),
        (Some("n"), "lunch?")
    );
    message.respond(202, headers("X-Reply", "later")).unwrap();
    let response = soon(sent).await.unwrap().unwrap();
    assert_eq!(response.status().map(|s| s.code()), Some(202));
    assert_eq!(custom(&response, "X-Reply").as_deref(), Some("later"));
    // What there is one of goes in place of the agent's own.
    let call = alice.call(bob.aor()).audio(Audio::silent()).header("User-Agent", "mine/1");
    let call = call.await.unwrap();
    let ringing = incoming(&right).await;
    let agents: Vec<_> = ringing.request().headers(HeaderName::UserAgent).collect();
    assert_eq!(agents, ["mine/1"]);
    drop((ringing, call));
    // What would break a message is refused, and so is what the agent writes itself.
    for (name, value) in [("X-A", "b\r\nX-C: d"), ("X A", "b"), ("Via", "SIP/2.0/UDP x")] {
        let refused = alice.call(bob.aor()).audio(Audio::silent()).header(name, value).await;
        assert!(matches!(refused, Err(Error::Config { .. })), "{name}: {refused:?}");
    }
}

#[tokio::test]
async fn refusals_name_the_culprit() {
    let at = registrar(&["alice"]).await;
    let ua = agent().await;
    let alice = register(&ua, &at, "alice").await;
    let unknown = alice.call(format!("sip:nobody@{DOMAIN}")).audio(Audio::silent()).await.unwrap();
    assert_eq!(soon(unknown.answered()).await.unwrap_err().status(), Some(404));
    let wrong = ua.account(format!("sip:alice@{DOMAIN}")).password("wrong");
    let wrong = wrong.registrar(format!("sip:{}", at.address())).register().await;
    assert!(matches!(wrong.unwrap_err().status(), Some(401 | 403)));
    let refused = alice.call("bob").audio(Audio::silent()).await.unwrap_err();
    assert!(refused.to_string().contains("'bob' is not a URI"), "{refused}");
    let refused = alice.call("sip:bob@127.0.0.1").audio(Audio::new("nosuch", "null")).await;
    assert!(matches!(refused, Err(Error::Media(_))), "{refused:?}");
    // A port where nobody listens: said at once, by way of ICMP.
    let (direct, _) = direct(&ua, "x").await;
    let closed = direct.call("sip:bob@127.0.0.1:9").audio(Audio::silent()).await.unwrap();
    let error = soon(closed.answered()).await.unwrap_err();
    assert!(matches!(error.status(), Some(503) | None), "{error}");
    let unresolved = direct.message("sip:bob@no-such-host.invalid", "hi").await.unwrap_err();
    assert!(unresolved.to_string().contains("no-such-host.invalid"), "{unresolved}");
    let unreachable = direct.message("sip:bob@[::1]", "hi").await.unwrap_err();
    assert_eq!(unreachable.to_string(), "network: no address of ours reaches [::1]:5060");
    // The port in use is named.
    let taken = address(&ua);
    let error = UserAgent::builder().listen(taken).build().await.unwrap_err();
    assert!(error.to_string().contains(&taken.port().to_string()), "{error}");
}

#[tokio::test]
async fn a_number_goes_to_the_domain_or_the_proxy() {
    let at = registrar(&["alice"]).await;
    let (left, right) = (agent().await, agent().await);
    let (_phone, phone_uri) = direct(&right, "phone").await;
    // As a user of the domain (RFC 3261 §19.1.6); without one, as it is, by way of the proxy.
    let domain = at.address().to_string();
    let alice = left.account(format!("sip:alice@{domain}")).registrar(format!("sip:{domain}"));
    let alice = alice.build().await.unwrap();
    let call = alice.call("tel:+15551234").audio(Audio::silent()).await.unwrap();
    // The testkit's proxy serves one domain only, but what it says shows what it was asked.
    let refusal = soon(call.ended()).await.message.expect("a response");
    assert_eq!(refusal.to().unwrap().uri.as_str(), format!("sip:+15551234@{domain};user=phone"));
    let proxy = left.account("sip:alice@example.com").outbound_proxy(format!("{phone_uri};lr"));
    let call = proxy.build().await.unwrap().call("tel:+15551234").audio(Audio::silent());
    let call = call.await.unwrap();
    let asked = incoming(&right).await;
    assert_eq!(asked.request().request_uri(), "tel:+15551234");
    drop((asked, call));
    let (nobody, _) = direct(&left, "x").await;
    let refused = nobody.call("tel:+15551234").audio(Audio::silent()).await.unwrap_err();
    assert!(refused.to_string().contains("needs a registrar or an outbound proxy"), "{refused}");
    let refused = nobody.message("tel:+15551234", "hi").await.unwrap_err();
    assert!(refused.to_string().contains("needs a registrar or an outbound proxy"), "{refused}");
}

#[tokio::test]
async fn limits_are_settings_of_the_moment() {
    let (left, right) = (agent().await, agent_with(|c| c.max_calls = 1).await);
    let ((alice, alice_uri), (bob, bob_uri)) =
        (direct(&left, "a").await, direct(&right, "b").await);
    let first = alice.call(&bob_uri).audio(Audio::silent()).await.unwrap();
    let taken = incoming(&right).await;
    let second = alice.call(&bob_uri).audio(Audio::silent()).await.unwrap();
    assert_eq!(soon(second.answered()).await.unwrap_err().status(), Some(486));
    let out = bob.call(&alice_uri).audio(Audio::silent()).await;
    assert!(matches!(out, Err(Error::Limit(_))), "{out:?}");
    let taken = taken.answer(Audio::silent()).await.unwrap();
    soon(first.answered()).await.unwrap();
    // There is room again when the first is over.
    soon(taken.hangup()).await;
    soon(first.ended()).await;
    let third = alice.call(&bob_uri).audio(Audio::silent());
    let (third, third_taken) = connect(third, &right, Audio::silent()).await;
    drop(third_taken);
    assert_eq!(soon(third.ended()).await.by, Party::Remote);
    // Events that nobody reads are bounded: the rest is refused, and the agent goes on.
    let deaf = agent_with(|c| c.max_pending_events = 2).await;
    let (_deaf, deaf_uri) = direct(&deaf, "deaf").await;
    let mut statuses = Vec::new();
    let mut waiting = Vec::new();
    for _ in 0..4 {
        let call = alice.call(&deaf_uri).audio(Audio::silent()).await.unwrap();
        match timeout(Duration::from_millis(300), call.answered()).await {
            Ok(refused) => statuses.push(refused.unwrap_err().status()),
            Err(_) => waiting.push(call),
        }
    }
    assert_eq!((waiting.len(), statuses), (2, vec![Some(503), Some(503)]));
    // Whom a 503 asked for a pause keeps it (RFC 3261 §21.5.4); others are answered as ever.
    let spared = alice.options(&deaf_uri).await;
    assert!(matches!(spared, Err(Error::Network(_))), "{spared:?}");
    assert!(bob.options(&deaf_uri).await.is_ok());
}

#[tokio::test]
async fn dropped_handles_hang_up_decline_and_unregister() {
    let mut at = registrar(&["alice", "bob"]).await;
    let (left, right) = (agent().await, agent().await);
    let (alice, bob) = (register(&left, &at, "alice").await, register(&right, &at, "bob").await);
    for _ in 0..2 {
        assert!(matches!(soon(at.next_event()).await, Some(ServerEvent::Registered { .. })));
    }
    // An unanswered call that nobody keeps is declined.
    let call = alice.call(bob.aor()).audio(Audio::silent()).await.unwrap();
    drop(incoming(&right).await);
    assert_eq!(soon(call.ended()).await.status, Some(480));
    // A future that is dropped takes nothing with it.
    let call = alice.call(bob.aor()).audio(Audio::silent()).await.unwrap();
    let ringing = incoming(&right).await;
    assert!(timeout(Duration::from_millis(50), call.answered()).await.is_err());
    assert!(timeout(Duration::from_millis(50), call.next_event()).await.is_err());
    assert!(matches!(call.state(), CallState::Dialing { .. }));
    // A dialling call that is dropped is cancelled.
    let other = ringing.call().clone();
    drop(call);
    assert_eq!(soon(other.ended()).await.by, Party::Remote);
    assert!(matches!(ringing.answer(Audio::silent()).await, Err(Error::Ended(_))));
    // The last handle of a call that is up says BYE; the one before it does not.
    let call = alice.call(bob.aor()).audio(Audio::silent());
    let (call, taken) = connect(call, &right, Audio::silent()).await;
    drop(call.clone());
    hears(&taken, 10).await;
    drop(call);
    assert_eq!(soon(taken.ended()).await.by, Party::Remote);
    // A stale handle is an error, not a crash.
    assert!(matches!(taken.hold().await, Err(Error::Ended(_) | Error::State(_))));
    assert!(matches!(taken.stats().await, Err(Error::Ended(_))));
    assert_eq!(soon(taken.hangup()).await.by, Party::Remote);
    // The last handle of an account unregisters it.
    drop(bob);
    let gone = soon(at.next_event()).await;
    assert!(
        matches!(&gone, Some(ServerEvent::Unregistered { user, .. }) if user == "bob"),
        "{gone:?}"
    );
    // The last handle of an agent ends it: it unregisters, and what is left of it says so.
    drop(left);
    let gone = soon(at.next_event()).await;
    assert!(
        matches!(&gone, Some(ServerEvent::Unregistered { user, .. }) if user == "alice"),
        "{gone:?}"
    );
    let refused = soon(alice.register()).await;
    assert!(matches!(refused, Err(Error::Ended(_))), "{refused:?}");
}

#[tokio::test]
async fn raw_pcm_goes_in_at_one_rate_and_comes_out_at_another() {
    let (left, right) = (agent().await, agent().await);
    let ((alice, _), (_bob, uri)) = (direct(&left, "a").await, direct(&right, "b").await);
    let (audio, mut mouth, _ear) = Audio::pcm(16_000, 1);
    let (heard, _mouth, mut ear) = Audio::pcm(24_000, 2);
    let (_call, taken) = connect(alice.call(&uri).audio(audio), &right, heard).await;
    let mut heard = Vec::new();
    let mut n = 0.0f64;
    let mut block = vec![0; 24_000];
    let talk = async {
        while heard.len() < 2 * 24_000 {
            let sine = |n: f64| (n * 500.0 * std::f64::consts::TAU / 16_000.0).sin();
            let said: Vec<i16> =
                (0..16_000).map(|i| (8000.0 * sine(n + f64::from(i))) as i16).collect();
            // As far ahead as there is room: the tone has no holes, however late we come again.
            n += mouth.offer(&said) as f64;
            sleep(Duration::from_millis(20)).await;
            let n = ear.read(&mut block);
            heard.extend_from_slice(&block[..n]);
        }
    };
    soon(talk).await;
    let left: Vec<i16> = heard.chunks_exact(2).map(|f| f[0]).skip(12_000).collect();
    let tone = tiny_media::tone::strongest_tone(&left, 24_000).expect("a tone");
    assert!((495.0..505.0).contains(&tone.frequency) && tone.purity > 0.8, "{tone:?}");
    soon(taken.hangup()).await;
}

/// The tone that an ear hears next, in Hz.
async fn tone(ear: &mut tiny_media::PcmReader) -> f64 {
    let mut block = vec![0; 8000];
    let mut heard = Vec::new();
    let listen = async {
        loop {
            sleep(Duration::from_millis(20)).await;
            let n = ear.read(&mut block);
            heard.extend_from_slice(&block[..n]);
            let found = tiny_media::tone::strongest_tone(&heard, 8000);
            match found.filter(|tone| heard.len() >= 2400 && tone.purity > 0.9) {
                Some(tone) => return tone.frequency,
                None if heard.len() > 4000 => heard.clear(),
                None => {}
            }
        }
    };
    soon(listen).await
}

#[tokio::test]
async fn a_callee_is_heard_while_it_rings_and_with_other_sound_when_it_answers() {
    let (left, right) = (agent().await, agent().await);
    let ((alice, _), (_bob, uri)) = (direct(&left, "a").await, direct(&right, "b").await);
    for late in [false, true] {
        let (audio, _mouth, mut ear) = Audio::pcm(8000, 1);
        let call = alice.call(&uri).audio(audio);
        let call = if late { call.late_offer() } else { call }.await.unwrap();
        let bell = incoming(&right).await;
        bell.ring_with_media(Audio::new("tone:440", "null")).await.unwrap();
        let early = event_of(&call, |e| matches!(e, CallEvent::EarlyMedia { .. })).await;
        let CallEvent::EarlyMedia { codec } = early else { unreachable!() };
        assert_eq!(codec.name.to_ascii_lowercase(), "pcmu");
        assert!((tone(&mut ear).await - 440.0).abs() < 10.0);
        assert!(matches!(call.state(), CallState::Dialing { ringing: true }));
        // Somebody picks up: the same stream, another voice.
        let taken = bell.answer(Audio::new("tone:1000", "null")).await.unwrap();
        soon(call.answered()).await.unwrap();
        let other = async { while (tone(&mut ear).await - 1000.0).abs() > 10.0 {} };
        soon(other).await;
        let stats = taken.stats().await.unwrap();
        assert!(stats.tx_packets > 10, "{stats:?}");
        soon(call.hangup()).await;
    }
}

/// Runs a future without any runtime: the thread sleeps until it is woken.
fn by_hand<F: Future>(future: F) -> F::Output {
    use std::task::{Context, Poll, Wake, Waker};
    struct Unpark(std::thread::Thread);
    impl Wake for Unpark {
        fn wake(self: std::sync::Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(std::sync::Arc::new(Unpark(std::thread::current())));
    let mut context = Context::from_waker(&waker);
    let mut future = std::pin::pin!(future);
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(output) => return output,
            Poll::Pending => std::thread::park_timeout(Duration::from_secs(20)),
        }
    }
}

#[test]
fn an_agent_lives_without_a_runtime_of_the_application() {
    assert!(tokio::runtime::Handle::try_current().is_err());
    let (left, right) = (by_hand(agent()), by_hand(agent()));
    let (alice, bob_uri) = by_hand(async {
        let (alice, _) = direct(&left, "alice").await;
        (alice, direct(&right, "bob").await)
    });
    let (_bob, bob_uri) = bob_uri;
    // Handles are at home on any thread.
    let callee = std::thread::spawn(move || {
        by_hand(async {
            let Some(Event::IncomingCall(call)) = right.next_event().await else {
                panic!("no call")
            };
            let call = call.answer(Audio::new("tone:440", "null")).await.unwrap();
            call.ended().await
        })
    });
    let end = by_hand(async {
        let call = alice.call(&bob_uri).audio(Audio::silent()).await.unwrap();
        call.answered().await.unwrap();
        call.hold().await.unwrap();
        call.resume().await.unwrap();
        while !call.stats().await.is_ok_and(|s| s.rx_packets > 5) {
            std::thread::sleep(Duration::from_millis(20));
        }
        call.hangup().await
    });
    assert_eq!(end.by, Party::Local);
    assert_eq!(callee.join().unwrap().by, Party::Remote);
    by_hand(left.shutdown());
    assert!(matches!(by_hand(alice.register()), Err(Error::Ended(_))));
}

#[tokio::test]
async fn the_nat_in_the_way_is_reported() {
    let server = tokio::net::UdpSocket::bind(LOOPBACK).await.unwrap();
    let at = server.local_addr().unwrap().to_string();
    let answering = async {
        let mut buffer = [0; 512];
        let (length, from) = server.recv_from(&mut buffer).await.unwrap();
        let id = stun::Message::parse(&buffer[..length]).unwrap().id();
        let answer = stun::Builder::new(stun::Class::Success, stun::method::BINDING, id)
            .xor_address(stun::attr::XOR_MAPPED_ADDRESS, from);
        server.send_to(&answer.finish(), from).await.unwrap();
    };
    let ua = agent().await;
    let servers = [at.as_str()];
    let (report, ()) = soon(async { tokio::join!(ua.nat_report(&servers), answering) }).await;
    let report = report.unwrap();
    assert_eq!((report.mapped, report.translated), (Some(report.local), false));
    let Err(Error::Network(why)) = soon(ua.nat_report(&["nobody.invalid"])).await else { panic!() };
    assert!(why.contains("nobody.invalid"), "{why}");
}
