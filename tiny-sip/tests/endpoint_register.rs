//! Registrations (RFC 3261 §10.2) and digest authentication (§22) against a registrar by hand.

mod endpoint_net;

use endpoint_net::{Net, addr, answer, has, header, sdp};
use std::time::Duration;
use tiny_sak::{Flow, Secret, Transport};
use tiny_sip::digest::{Answer, Session};
use tiny_sip::{
    Account, Cause, Challenge, Config, Credentials, EndedBy, Error, Event, Input, Method, Outgoing,
    Registration,
};

const US: &str = "10.0.0.1:5060";
const PEER: &str = "10.0.0.9:5060";

fn net(passwords: &[(Option<&str>, &str)]) -> Net {
    let mut net = Net::new(1);
    let credentials = passwords
        .iter()
        .map(|(realm, password)| Credentials {
            realm: realm.map(str::to_owned),
            username: "alice".into(),
            password: Secret::from(*password),
        })
        .collect();
    let account =
        Account { aor: "sip:alice@example.com".into(), credentials, ..Account::default() };
    net.add_account(US, account, Config::default());
    net
}

fn register(net: &mut Net, expires: u32) -> String {
    let (now, account) = (net.now, net.peers[0].account);
    let registration = Registration { registrar: "sip:10.0.0.9".into(), expires, headers: vec![] };
    net.endpoint(0).register(now, account, registration).unwrap();
    net.caught()
}

fn reply(net: &mut Net, request: &str, status: &str, extra: &str) {
    net.inject(PEER, US, &answer(request, status, "reg", extra));
}

fn contact(request: &str) -> String {
    format!("Contact: {}\r\n", header(request, "Contact"))
}

const ASK: &str =
    "WWW-Authenticate: Digest realm=\"r\", nonce=\"n1\", qop=\"auth\", algorithm=MD5\r\n";

/// What the right password would have given.
fn expected(request: &str, field: &str, challenge: &str, password: &str, count: u32) -> String {
    let value = challenge.split_once(": ").unwrap().1.trim_end();
    let mut session = Session::new(&Challenge::parse(value).unwrap()).unwrap();
    let given = header(request, field);
    let cnonce = given.split("cnonce=\"").nth(1).unwrap().split('"').next().unwrap();
    let mut line = request.split(' ');
    let (method, uri) = (line.next().unwrap(), line.next().unwrap());
    let mut value = String::new();
    for _ in 0..count {
        value = session.authorize(&Answer {
            username: "alice",
            password: &Secret::from(password),
            method,
            uri,
            body: &[],
            cnonce,
        });
    }
    value
}

#[test]
fn a_binding_is_refreshed_before_it_expires_with_the_same_call_id_and_growing_cseq() {
    let mut net = net(&[]);
    let first = register(&mut net, 600);
    assert!(first.starts_with("REGISTER sip:10.0.0.9 SIP/2.0\r\n"));
    assert_eq!(header(&first, "To"), "<sip:alice@example.com>");
    assert_eq!(header(&first, "Contact"), "<sip:alice@10.0.0.1:5060>;expires=600");
    assert_eq!((header(&first, "Expires"), header(&first, "CSeq")), ("600", "1 REGISTER"));
    // The registrar lists another phone, too, and shortens ours.
    let listed = "Contact: <sip:alice@10.0.0.77>;expires=3000, \
                  <sip:alice@10.0.0.1:5060>;expires=100\r\nExpires: 50\r\n";
    reply(&mut net, &first, "200 OK", listed);
    let Event::Registered { expires: 100, contact, .. } = net.event(0) else { panic!() };
    assert_eq!(contact, "sip:alice@10.0.0.1:5060");
    net.inbox.clear();
    let registered = net.now;
    let second = loop {
        let text = net.caught();
        if text.starts_with("REGISTER") {
            break text;
        }
    };
    let pause = (net.now - registered).as_secs();
    assert!((80..100).contains(&pause), "{pause}");
    assert_eq!(header(&second, "Call-ID"), header(&first, "Call-ID"));
    assert_eq!(header(&second, "CSeq"), "2 REGISTER");
    assert_ne!(header(&second, "Via"), header(&first, "Via"));
}

#[test]
fn unregistering_removes_the_binding_and_every_timer() {
    let mut net = net(&[]);
    let request = register(&mut net, 600);
    reply(&mut net, &request, "200 OK", &contact(&request));
    assert!(matches!(net.event(0), Event::Registered { expires: 600, .. }));
    let (now, account) = (net.now, net.peers[0].account);
    net.endpoint(0).unregister(now, account).unwrap();
    let request = net.caught();
    assert_eq!(header(&request, "Contact"), "<sip:alice@10.0.0.1:5060>;expires=0");
    reply(&mut net, &request, "200 OK", "");
    assert!(matches!(net.event(0), Event::Unregistered { .. }));
    net.settle();
    net.assert_empty();
    let now = net.now;
    assert!(matches!(net.endpoint(0).unregister(now, account), Err(Error::State(_))));
}

#[test]
fn too_brief_a_lifetime_is_raised_to_min_expires() {
    let mut net = net(&[]);
    let request = register(&mut net, 60);
    reply(&mut net, &request, "423 Interval Too Brief", "Min-Expires: 1800\r\n");
    let request = net.caught();
    assert_eq!((header(&request, "Expires"), header(&request, "CSeq")), ("1800", "2 REGISTER"));
    // A registrar that is never content is not asked for ever.
    reply(&mut net, &request, "423 Interval Too Brief", "Min-Expires: 1900\r\n");
    let request = net.caught();
    reply(&mut net, &request, "423 Interval Too Brief", "Min-Expires: 2000\r\n");
    assert!(matches!(net.event(0), Event::RegistrationFailed { status: Some(423), .. }));
}

#[test]
fn a_challenge_is_answered_and_the_nonce_used_again_with_a_growing_count() {
    let mut net = net(&[(None, "secret")]);
    let request = register(&mut net, 600);
    assert!(!has(&request, "Authorization"));
    reply(&mut net, &request, "401 Unauthorized", ASK);
    let request = net.caught();
    assert_eq!(header(&request, "CSeq"), "2 REGISTER");
    assert_eq!(
        header(&request, "Authorization"),
        expected(&request, "Authorization", ASK, "secret", 1)
    );
    reply(&mut net, &request, "200 OK", &contact(&request));
    assert!(matches!(net.event(0), Event::Registered { .. }));
    // Unregistering towards the same hop needs no new challenge.
    let (now, account) = (net.now, net.peers[0].account);
    net.endpoint(0).unregister(now, account).unwrap();
    let request = net.caught();
    let given = header(&request, "Authorization");
    assert!(given.contains("nc=00000002") && given.contains("nonce=\"n1\""), "{given}");
    assert_eq!(given, expected(&request, "Authorization", ASK, "secret", 2));
    // The nonce has become stale: one more round with the new one.
    let stale = ASK.replace("n1", "n2").replace("qop", "stale=true, qop");
    reply(&mut net, &request, "401 Unauthorized", &stale);
    let request = net.caught();
    let given = header(&request, "Authorization");
    assert!(given.contains("nonce=\"n2\"") && given.contains("nc=00000001"), "{given}");
    reply(&mut net, &request, "200 OK", "");
    assert!(matches!(net.event(0), Event::Unregistered { .. }));
}

#[test]
fn a_wrong_password_is_reported_and_not_tried_for_ever() {
    let mut net = net(&[(None, "wrong")]);
    let request = register(&mut net, 600);
    reply(&mut net, &request, "401 Unauthorized", ASK);
    let request = net.caught();
    reply(&mut net, &request, "401 Unauthorized", &ASK.replace("n1", "n2"));
    let Event::RegistrationFailed {
        status: Some(401),
        cause: Cause::Unauthorized,
        retry_in: None,
        ..
    } = net.event(0)
    else {
        panic!()
    };
    net.settle();
    net.assert_empty();
    assert_eq!(net.count("REGISTER"), 2);
    // A registrar that says 403 to it is believed, too.
    let request = register(&mut net, 600);
    reply(&mut net, &request, "401 Unauthorized", &ASK.replace("n1", "n3"));
    let request = net.caught();
    reply(&mut net, &request, "403 Forbidden", "");
    let Event::RegistrationFailed { status: Some(403), retry_in: None, .. } = net.event(0) else {
        panic!()
    };
    // One that always says "stale" is not believed for ever.
    let mut request = register(&mut net, 600);
    for n in 0..10 {
        let stale = ASK.replace("n1", &format!("m{n}")).replace("qop", "stale=true, qop");
        reply(&mut net, &request, "401 Unauthorized", &stale);
        net.drain();
        if !net.peers[0].events.is_empty() {
            break;
        }
        request = net.caught();
    }
    assert!(matches!(net.event(0), Event::RegistrationFailed { cause: Cause::Unauthorized, .. }));
}

#[test]
fn without_credentials_a_challenge_is_a_failure() {
    let mut net = net(&[(Some("other"), "secret")]);
    let request = register(&mut net, 600);
    reply(&mut net, &request, "401 Unauthorized", ASK);
    let Event::RegistrationFailed { status: Some(401), cause: Cause::Unauthorized, .. } =
        net.event(0)
    else {
        panic!()
    };
}

#[test]
fn several_realms_are_answered_each_with_its_own_password() {
    let mut net = net(&[(Some("proxy"), "p"), (Some("r"), "q"), (None, "wrong")]);
    let call = net.invite(0, "sip:bob@10.0.0.9");
    let invite = net.caught();
    let proxy = "Proxy-Authenticate: Digest realm=\"proxy\", nonce=\"x\", algorithm=SHA-256, qop=\"auth\"\r\n";
    let unknown = "Proxy-Authenticate: Digest realm=\"proxy\", nonce=\"y\", algorithm=SHA3\r\n";
    let both = format!("{unknown}{proxy}{}", proxy.replace("SHA-256", "MD5"));
    reply(&mut net, &invite, "407 Proxy Authentication Required", &both);
    assert!(net.caught().starts_with("ACK "));
    let invite = net.caught();
    let proof = header(&invite, "Proxy-Authorization");
    assert!(proof.contains("algorithm=SHA-256") && proof.contains("nonce=\"x\""), "{proof}");
    assert_eq!(header(&invite, "CSeq"), "2 INVITE");
    reply(&mut net, &invite, "401 Unauthorized", ASK);
    assert!(net.caught().starts_with("ACK "));
    let invite = net.caught();
    assert_eq!(header(&invite, "CSeq"), "3 INVITE");
    assert!(has(&invite, "Proxy-Authorization") && has(&invite, "Authorization"));
    reply(&mut net, &invite, "200 OK", "Contact: <sip:bob@10.0.0.9>\r\n");
    assert!(matches!(net.event(0), Event::Answered { .. }));
    let ack = net.caught();
    // §22.1: the ACK has the credentials of its INVITE.
    assert_eq!(header(&ack, "Authorization"), header(&invite, "Authorization"));
    assert_eq!(header(&ack, "CSeq"), "3 ACK");
    // In-dialog requests authenticate at once.
    let now = net.now;
    net.endpoint(0).reinvite(now, call, vec![], sdp()).unwrap();
    let again = net.caught();
    assert_eq!(header(&again, "CSeq"), "4 INVITE");
    assert!(header(&again, "Authorization").contains("nc=00000002"));
    reply(&mut net, &again, "200 OK", "Contact: <sip:bob@10.0.0.9>\r\n");
    assert!(net.caught().starts_with("ACK "));
    let now = net.now;
    net.endpoint(0).hangup(now, call, vec![]).unwrap();
    let bye = net.caught();
    assert!(header(&bye, "Proxy-Authorization").contains("nc=00000004"), "{bye}");
    // A challenged BYE is sent again though its call is over.
    let stale = ASK.replace("n1", "n9").replace("qop", "stale=true, qop");
    reply(&mut net, &bye, "401 Unauthorized", &stale);
    let bye = net.caught();
    assert_eq!(header(&bye, "CSeq"), "6 BYE");
    assert!(header(&bye, "Authorization").contains("nonce=\"n9\""));
    reply(&mut net, &bye, "200 OK", "");
    net.settle();
    net.assert_empty();
}

#[test]
fn credentials_are_not_shown_unasked_to_another_hop() {
    let mut net = net(&[(None, "secret")]);
    let request = register(&mut net, 600);
    reply(&mut net, &request, "401 Unauthorized", ASK);
    let request = net.caught();
    reply(&mut net, &request, "200 OK", &contact(&request));
    let (now, account) = (net.now, net.peers[0].account);
    for (to, shown) in [("sip:x@10.0.0.8", false), ("sip:x@10.0.0.9", true)] {
        net.endpoint(0).request(now, account, Method::Options, to, vec![], None).unwrap();
        net.drain();
        assert_eq!(has(&net.sent("OPTIONS"), "Authorization"), shown);
    }
}

#[test]
fn a_refused_call_with_a_wrong_password_says_so() {
    let mut net = net(&[(None, "wrong")]);
    net.invite(0, "sip:bob@10.0.0.9");
    let invite = net.caught();
    reply(&mut net, &invite, "401 Unauthorized", ASK);
    assert!(net.caught().starts_with("ACK "));
    let invite = net.caught();
    reply(&mut net, &invite, "401 Unauthorized", &ASK.replace("n1", "n2"));
    let Event::Ended { by: EndedBy::Remote, status: Some(401), .. } = net.event(0) else {
        panic!()
    };
    net.settle();
    net.assert_empty();
}

#[test]
fn failures_are_retried_with_growing_pauses_up_to_a_bound() {
    let mut net = net(&[]);
    net.loss = 1.0;
    let (now, account) = (net.now, net.peers[0].account);
    let registration =
        Registration { registrar: "sip:10.0.0.9".into(), expires: 600, headers: vec![] };
    net.endpoint(0).register(now, account, registration).unwrap();
    for n in 0..12u32 {
        let Event::RegistrationFailed {
            status: None,
            cause: Cause::Timeout,
            retry_in: Some(pause),
            ..
        } = net.event(0)
        else {
            panic!()
        };
        let middle = Duration::from_secs(5 * (1 << n)).min(Duration::from_secs(600));
        assert!(pause >= middle.mul_f64(0.75) && pause <= middle.mul_f64(1.25), "{n} {pause:?}");
    }
    net.loss = 0.0;
    let request = net.caught();
    // Retry-After is honoured.
    reply(&mut net, &request, "503 Service Unavailable", "Retry-After: 300\r\n");
    let Event::RegistrationFailed { status: Some(503), retry_in: Some(pause), .. } = net.event(0)
    else {
        panic!()
    };
    assert!(pause >= Duration::from_secs(300));
    let request = net.caught();
    reply(&mut net, &request, "200 OK", &contact(&request));
    assert!(matches!(net.event(0), Event::Registered { .. }));
    // A refused connection is told as what it is.
    let mut net = self::net(&[]);
    register(&mut net, 600);
    let flow = Flow { transport: Transport::Udp, local: addr(US), remote: addr(PEER) };
    let now = net.now;
    let error = std::io::ErrorKind::ConnectionRefused;
    net.endpoint(0).handle(now, Input::SendFailed { flow, error });
    assert!(matches!(net.event(0), Event::RegistrationFailed { cause: Cause::Network, .. }));
}

#[test]
fn what_is_wanted_during_a_running_register_is_done_after_it() {
    let mut net = net(&[]);
    let request = register(&mut net, 600);
    let (now, account) = (net.now, net.peers[0].account);
    net.endpoint(0).unregister(now, account).unwrap();
    net.run(100);
    assert_eq!(net.count("REGISTER"), 1, "one at a time (§10.2)");
    reply(&mut net, &request, "200 OK", &contact(&request));
    let request = net.caught();
    assert!(header(&request, "Contact").ends_with(";expires=0"));
    reply(&mut net, &request, "200 OK", "");
    assert!(matches!(net.event(0), Event::Unregistered { .. }));
    net.settle();
    net.assert_empty();
}

#[test]
fn an_account_can_be_removed_at_any_time() {
    let mut net = net(&[]);
    register(&mut net, 600);
    let account = net.peers[0].account;
    net.endpoint(0).remove_account(account).unwrap();
    net.assert_empty();
    let now = net.now;
    let again = net.endpoint(0).invite(
        now,
        account,
        Outgoing { to: "sip:a@b".into(), ..Outgoing::default() },
    );
    assert_eq!(again, Err(Error::Stale("account")));
    assert_eq!(net.endpoint(0).remove_account(account), Err(Error::Stale("account")));
    for aor in ["", "alice", "tel:+1", "sip:"] {
        let bad = net.endpoint(0).add_account(Account { aor: aor.into(), ..Account::default() });
        assert!(matches!(bad, Err(Error::Uri { .. })), "{aor}");
    }
}
