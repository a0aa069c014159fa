//! Challenges beyond one password and one realm: the choice among algorithms (RFC 8760), auth-int,
//! Authentication-Info (RFC 7616 §3.5), credentials asked of the owner, AKA (RFC 3310) and tokens
//! (RFC 8898).

mod endpoint_net;

use endpoint_net::{Net, answer, has, header};
use std::time::Duration;
use tiny_sak::Secret;
use tiny_sip::aka::{AkaOutcome, AkaResult, Usim};
use tiny_sip::digest::{Algorithm, Ha1, Inputs, Qop, QopPolicy, response};
use tiny_sip::{
    Account, AuthPolicy, AuthScheme, Body, Cause, ChallengeOrder, Config, Credentials,
    CredentialsReply, Event, Method, QueryKey, Registration,
};

const US: &str = "10.0.0.1:5060";
const PEER: &str = "10.0.0.9:5060";

fn policy(change: impl FnOnce(&mut AuthPolicy)) -> AuthPolicy {
    let mut policy = AuthPolicy::default();
    change(&mut policy);
    policy
}

fn net_with(account: Account) -> Net {
    let mut net = Net::new(1);
    let aor = "sip:alice@example.com".into();
    net.add_account(US, Account { aor, ..account }, Config::default());
    net
}

fn net(auth: AuthPolicy) -> Net {
    let (username, password) = ("alice".into(), Secret::from("secret"));
    let credentials = vec![Credentials { realm: None, username, password }];
    net_with(Account { credentials, auth, ..Account::default() })
}

/// An account that knows nothing and asks.
fn asking() -> Net {
    net_with(Account { auth: policy(|p| p.ask = true), ..Account::default() })
}

fn register(net: &mut Net) -> String {
    let (now, account) = (net.now, net.peers[0].account);
    let registrar = "sip:10.0.0.9".into();
    let registration = Registration { registrar, expires: 600, headers: vec![] };
    net.endpoint(0).register(now, account, registration).unwrap();
    net.caught()
}

fn message(net: &mut Net, text: &'static str) -> String {
    let (now, account) = (net.now, net.peers[0].account);
    let body = Some(Body::new("text/plain", text.as_bytes()));
    let to = "sip:bob@10.0.0.9";
    net.endpoint(0).request(now, account, Method::Message, to, vec![], body).unwrap();
    net.caught()
}

fn reply(net: &mut Net, request: &str, status: &str, extra: &str) {
    net.inject(PEER, US, &answer(request, status, "reg", extra));
}

fn www(rest: &str) -> String {
    format!("WWW-Authenticate: {rest}\r\n")
}

fn param<'a>(value: &'a str, name: &str) -> &'a str {
    let at = value.find(&format!(" {name}=")).unwrap_or_else(|| panic!("no {name} in {value}"));
    let rest = &value[at + name.len() + 2..];
    rest.split(',').next().unwrap().trim_matches('"')
}

/// What the credentials should say, from their own parameters.
fn right(value: &str, method: &str, password: &str, body: &[u8]) -> String {
    let algorithm = Algorithm::parse(param(value, "algorithm")).unwrap();
    let user = value.split("username=\"").nth(1).unwrap().split('"').next().unwrap();
    let ha1 = Ha1::new(algorithm, user, param(value, "realm"), &Secret::from(password));
    let inputs = Inputs {
        method,
        uri: param(value, "uri"),
        nonce: param(value, "nonce"),
        cnonce: param(value, "cnonce"),
        nc: u32::from_str_radix(param(value, "nc"), 16).unwrap(),
        qop: Qop::parse(param(value, "qop")),
        body,
    };
    response(algorithm, &ha1, &inputs)
}

const THREE: &str = "WWW-Authenticate: Digest realm=\"r\", nonce=\"a\", qop=\"auth\", algorithm=MD5\r\n\
    WWW-Authenticate: Digest realm=\"r\", nonce=\"b\", qop=\"auth\", algorithm=SHA-999\r\n\
    WWW-Authenticate: Digest realm=\"r\", nonce=\"c\", qop=\"auth\", algorithm=SHA-256\r\n";

#[test]
fn of_several_challenges_of_a_realm_the_topmost_known_one_is_answered() {
    let mut net = net(AuthPolicy::default());
    let first = register(&mut net);
    reply(&mut net, &first, "401 Unauthorized", THREE);
    let second = net.caught();
    let value = header(&second, "Authorization");
    assert_eq!((param(value, "nonce"), param(value, "algorithm")), ("a", "MD5"));
    assert_eq!(second.matches("\r\nAuthorization:").count(), 1);
}

#[test]
fn a_policy_takes_the_strongest_or_refuses_the_weak() {
    for (order, algorithms) in [
        (ChallengeOrder::Strongest, None),
        (ChallengeOrder::Topmost, Some(vec![Algorithm::Sha256, Algorithm::Sha512_256])),
    ] {
        let mut net = net(policy(|p| (p.order, p.algorithms) = (order, algorithms)));
        let first = register(&mut net);
        reply(&mut net, &first, "401 Unauthorized", THREE);
        let second = net.caught();
        let value = header(&second, "Authorization");
        assert_eq!((param(value, "nonce"), param(value, "algorithm")), ("c", "SHA-256"));
        assert_eq!(param(value, "response"), right(value, "REGISTER", "secret", b""));
    }
}

#[test]
fn nothing_is_sent_to_a_server_that_offers_only_what_the_policy_forbids() {
    let mut net = net(policy(|p| p.algorithms = Some(vec![Algorithm::Sha256])));
    let first = register(&mut net);
    let md5 = www("Digest realm=\"r\", nonce=\"a\", qop=\"auth\", algorithm=MD5");
    reply(&mut net, &first, "401 Unauthorized", &md5);
    let event = net.event(0);
    assert!(
        matches!(
            event,
            Event::RegistrationFailed { status: Some(401), cause: Cause::Unauthorized, .. }
        ),
        "{event:?}"
    );
    assert!(net.inbox.is_empty());
}

#[test]
fn auth_int_covers_the_body_where_the_policy_wants_it() {
    let both = "Digest realm=\"r\", nonce=\"a\", qop=\"auth,auth-int\", algorithm=SHA-256";
    for (qop, chosen) in [
        (QopPolicy::PreferAuth, "auth"),
        (QopPolicy::PreferAuthInt, "auth-int"),
        (QopPolicy::RequireAuthInt, "auth-int"),
    ] {
        let mut net = net(policy(|p| p.qop = qop));
        let first = message(&mut net, "hello");
        reply(&mut net, &first, "401 Unauthorized", &www(both));
        let second = net.caught();
        let value = header(&second, "Authorization");
        assert_eq!(param(value, "qop"), chosen);
        assert_eq!(param(value, "response"), right(value, "MESSAGE", "secret", b"hello"));
    }
    // What cannot protect the body is not answered where it must be protected.
    let mut net = net(policy(|p| p.qop = QopPolicy::RequireAuthInt));
    let first = message(&mut net, "hello");
    let auth = www("Digest realm=\"r\", nonce=\"a\", qop=\"auth\", algorithm=SHA-256");
    reply(&mut net, &first, "401 Unauthorized", &auth);
    assert!(matches!(net.event(0), Event::Response { .. }));
    assert!(net.inbox.is_empty());
}

#[test]
fn server_and_proxy_that_ask_at_once_are_both_answered_and_remembered() {
    let mut net = net(AuthPolicy::default());
    let first = message(&mut net, "1");
    let both = "WWW-Authenticate: Digest realm=\"s\", nonce=\"a\", qop=\"auth\", algorithm=MD5\r\n\
        Proxy-Authenticate: Digest realm=\"p1\", nonce=\"b\", qop=\"auth\", algorithm=MD5\r\n\
        Proxy-Authenticate: Digest realm=\"p2\", nonce=\"c\", qop=\"auth\", algorithm=SHA-256\r\n";
    reply(&mut net, &first, "407 Proxy Authentication Required", both);
    let second = net.caught();
    assert_eq!(header(&second, "CSeq"), "2 MESSAGE");
    assert_eq!(param(header(&second, "Authorization"), "realm"), "s");
    assert_eq!(second.matches("\r\nProxy-Authorization: Digest").count(), 2);
    reply(&mut net, &second, "200 OK", "");
    // The next request shows all three unasked, with the next count.
    let third = message(&mut net, "2");
    assert_eq!(third.matches("nc=00000002").count(), 3);
}

/// The Authentication-Info of a server that knows the password.
fn info(request: &str, password: &str, extra: &str) -> String {
    let value = header(request, "Authorization");
    let proof = right(value, "", password, b"");
    let (cnonce, nc) = (param(value, "cnonce"), param(value, "nc"));
    format!(
        "Authentication-Info: rspauth=\"{proof}\", qop=auth, cnonce=\"{cnonce}\", nc={nc}{extra}\r\n"
    )
}

const SHA: &str = "Digest realm=\"r\", nonce=\"a\", qop=\"auth\", algorithm=SHA-256";

#[test]
fn nextnonce_is_used_for_the_next_request_and_starts_a_new_count() {
    let mut net = net(AuthPolicy::default());
    let first = message(&mut net, "1");
    reply(&mut net, &first, "401 Unauthorized", &www(SHA));
    let second = net.caught();
    let info = info(&second, "secret", ", nextnonce=\"fresh\"");
    reply(&mut net, &second, "200 OK", &info);
    let third = message(&mut net, "2");
    let value = header(&third, "Authorization");
    assert_eq!((param(value, "nonce"), param(value, "nc")), ("fresh", "00000001"));
}

#[test]
fn a_server_that_does_not_know_the_password_is_told_of_and_shown_nothing_more() {
    let mut net = net(AuthPolicy::default());
    let first = message(&mut net, "1");
    reply(&mut net, &first, "401 Unauthorized", &www(SHA));
    let second = net.caught();
    let info = info(&second, "guess", ", nextnonce=\"fresh\"");
    reply(&mut net, &second, "200 OK", &info);
    let Event::ServerUnproven { realm, .. } = net.event(0) else { panic!("not told") };
    assert_eq!(realm, "r");
    assert!(matches!(net.event(0), Event::Response { .. }));
    assert_eq!(net.endpoint(0).stats().rejected_rspauth, 1);
    assert!(!has(&message(&mut net, "2"), "Authorization"));
}

fn wanted(net: &mut Net) -> (QueryKey, Box<tiny_sip::CredentialsRequest>) {
    match net.event(0) {
        Event::CredentialsWanted { query, wanted, .. } => (query, wanted),
        other => panic!("{other:?}"),
    }
}

fn give(net: &mut Net, query: QueryKey, reply: CredentialsReply) {
    let now = net.now;
    net.endpoint(0).give_credentials(now, query, reply).unwrap();
}

fn password(text: &str) -> CredentialsReply {
    CredentialsReply::Password { username: "alice".into(), password: Secret::from(text) }
}

#[test]
fn the_owner_is_asked_and_the_request_goes_on_with_the_answer() {
    let mut net = asking();
    let first = register(&mut net);
    reply(&mut net, &first, "401 Unauthorized", &www(SHA));
    let (query, wanted) = wanted(&mut net);
    assert_eq!((wanted.realm.as_str(), wanted.proxy, wanted.refused), ("r", false, false));
    assert_eq!(wanted.scheme, AuthScheme::Digest { algorithm: Algorithm::Sha256 });
    assert_eq!(wanted.method, Method::Register);
    net.run(5000);
    assert!(net.inbox.is_empty(), "nothing goes out before the answer");
    give(&mut net, query, password("secret"));
    let second = net.caught();
    let value = header(&second, "Authorization");
    assert_eq!(param(value, "response"), right(value, "REGISTER", "secret", b""));
    // A second answer to the same question is late.
    let now = net.now;
    assert!(net.endpoint(0).give_credentials(now, query, password("x")).is_err());
}

#[test]
fn a_refused_password_is_asked_for_again_until_the_attempts_are_used_up() {
    let mut net = asking();
    let mut request = register(&mut net);
    for attempt in 0..3 {
        reply(&mut net, &request, "401 Unauthorized", &www(SHA));
        let (query, wanted) = wanted(&mut net);
        assert_eq!(wanted.refused, attempt > 0);
        give(&mut net, query, password("wrong"));
        request = net.caught();
    }
    reply(&mut net, &request, "401 Unauthorized", &www(SHA));
    let event = net.event(0);
    assert!(matches!(event, Event::RegistrationFailed { cause: Cause::Unauthorized, .. }));
}

#[test]
fn an_owner_who_refuses_or_is_silent_ends_the_request_with_the_challenge() {
    for refuses in [true, false] {
        let mut net = asking();
        let first = message(&mut net, "1");
        reply(&mut net, &first, "401 Unauthorized", &www(SHA));
        let (query, _) = wanted(&mut net);
        if refuses {
            give(&mut net, query, CredentialsReply::Refuse);
        } else {
            net.run(31_000);
            net.no_event(0);
            net.run(2_000);
        }
        let Event::Response { response, .. } = net.event(0) else { panic!("no response") };
        assert_eq!(response.status().unwrap().code(), 401);
        net.settle();
        net.assert_empty();
    }
}

#[test]
fn a_caller_who_hangs_up_while_the_owner_thinks_leaves_nothing_behind() {
    let mut net = asking();
    let call = net.invite(0, "sip:bob@10.0.0.9");
    let invite = net.caught();
    reply(&mut net, &invite, "401 Unauthorized", &www(SHA));
    assert!(net.caught().starts_with("ACK "));
    let (query, _) = wanted(&mut net);
    let now = net.now;
    net.endpoint(0).hangup(now, call, vec![]).unwrap();
    assert!(matches!(net.event(0), Event::Ended { .. }));
    assert!(net.endpoint(0).give_credentials(now, query, password("late")).is_err());
    net.settle();
    net.assert_empty();
}

#[test]
fn several_realms_are_asked_for_one_after_the_other() {
    let mut net = asking();
    let first = message(&mut net, "1");
    let both = "WWW-Authenticate: Digest realm=\"s\", nonce=\"a\", qop=\"auth\", algorithm=MD5\r\n\
        Proxy-Authenticate: Digest realm=\"p\", nonce=\"b\", qop=\"auth\", algorithm=MD5\r\n";
    reply(&mut net, &first, "401 Unauthorized", both);
    for (realm, proxy) in [("s", false), ("p", true)] {
        let (query, wanted) = wanted(&mut net);
        assert_eq!((wanted.realm.as_str(), wanted.proxy), (realm, proxy));
        give(&mut net, query, password(realm));
    }
    let second = net.caught();
    for (name, password) in [("Authorization", "s"), ("Proxy-Authorization", "p")] {
        let value = header(&second, name);
        assert_eq!(param(value, "response"), right(value, "MESSAGE", password, b"1"));
    }
}

// Test set 1 of TS 35.208, with the sequence number in it.
const K: &str = "465b5ce8b199b49faa5f0a2ee238a6bc";
const OPC: &str = "cd63cb71954a9f4e48a5994e37a02baf";

fn usim() -> Usim {
    Usim::with_opc(&Secret::from(K), &Secret::from(OPC)).unwrap()
}

fn aka_nonce() -> String {
    // SQN ⊕ AK = ff9bb4d0b607 ⊕ aa689c648370, AMF b9b9, MAC 4a9ffac354dfafb3.
    let hex = "23553cbe9637a89d218ae64dae47bf3555f328b43577b9b94a9ffac354dfafb3";
    let bytes: Vec<u8> =
        (0..32).map(|i| u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).unwrap()).collect();
    base64(&bytes)
}

fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let n = chunk.iter().fold(0u32, |n, b| n << 8 | u32::from(*b)) << (8 * (3 - chunk.len()));
        for i in 0..4 {
            let six = LETTERS[(n >> (18 - 6 * i) & 63) as usize];
            text.push(if i <= chunk.len() { char::from(six) } else { '=' });
        }
    }
    text
}

fn aka(version: u8, nonce: &str) -> String {
    www(&format!(
        "Digest realm=\"ims\", nonce=\"{nonce}\", qop=\"auth\", algorithm=AKAv{version}-MD5"
    ))
}

#[test]
fn an_aka_challenge_is_answered_by_the_usim_and_a_replay_by_auts() {
    for version in [1, 2] {
        let mut net = net_with(Account { usim: Some(usim()), ..Account::default() });
        let first = register(&mut net);
        reply(&mut net, &first, "401 Unauthorized", &aka(version, &aka_nonce()));
        let second = net.caught();
        let value = header(&second, "Authorization").to_owned();
        assert!(value.contains("username=\"alice@example.com\""), "{value}");
        assert!(!value.contains("auts="));
        let algorithm = Algorithm::parse(param(&value, "algorithm")).unwrap();
        assert!(algorithm.is_aka());
        // The same challenge again for another request is a replay: AUTS, with an empty password.
        reply(&mut net, &second, "200 OK", "Contact: <sip:alice@10.0.0.1:5060>;expires=600\r\n");
        assert!(matches!(net.event(0), Event::Registered { .. }));
        let third = message(&mut net, "1");
        reply(&mut net, &third, "401 Unauthorized", &aka(version, &aka_nonce()));
        let fourth = net.caught();
        let value = header(&fourth, "Authorization");
        assert_eq!(param(value, "auts").len(), 20);
        assert_eq!(param(value, "response"), right(value, "MESSAGE", "", b"1"));
        let sqn = net.peers[0].account;
        assert_eq!(net.endpoint(0).usim_sqn(sqn).unwrap(), Some(0xff9b_b4d0_b607));
    }
}

#[test]
fn a_usim_that_the_application_asks_gives_the_result_or_auts() {
    let mut net = asking();
    let first = register(&mut net);
    reply(&mut net, &first, "401 Unauthorized", &aka(1, &aka_nonce()));
    let (query, request) = wanted(&mut net);
    let AuthScheme::Aka { algorithm: Algorithm::AkaV1Md5, challenge } = request.scheme else {
        panic!("{request:?}")
    };
    let AkaOutcome::Done(result) = usim().answer(&challenge) else { panic!("refused") };
    // First the card says that it is out of step …
    let outcome = AkaOutcome::Resync { auts: [7; 14] };
    give(&mut net, query, CredentialsReply::Aka { username: "imsi@ims".into(), outcome });
    let second = net.caught();
    assert_eq!(param(header(&second, "Authorization"), "auts"), base64(&[7; 14]));
    // … which makes the next challenge the first of its kind, not a refusal.
    reply(&mut net, &second, "401 Unauthorized", &aka(1, &aka_nonce()));
    let (query, request) = wanted(&mut net);
    assert!(!request.refused);
    let outcome = AkaOutcome::Done(AkaResult::new(result.res(), *result.ck(), *result.ik()));
    give(&mut net, query, CredentialsReply::Aka { username: "imsi@ims".into(), outcome });
    let third = net.caught();
    let value = header(&third, "Authorization");
    assert!(!value.contains("auts="));
    assert!(value.starts_with("Digest username=\"imsi@ims\""));
}

#[test]
fn a_network_that_does_not_know_the_key_is_not_answered() {
    let wrong = Usim::with_opc(&Secret::from(OPC), &Secret::from(K)).unwrap();
    let mut net = net_with(Account { usim: Some(wrong), ..Account::default() });
    let first = register(&mut net);
    reply(&mut net, &first, "401 Unauthorized", &aka(1, &aka_nonce()));
    assert!(matches!(net.event(0), Event::RegistrationFailed { status: Some(401), .. }));
    assert!(net.inbox.is_empty());
}

const BEARER: &str = "Bearer realm=\"r\", authz_server=\"https://as.example.com\", scope=\"sip\"";

#[test]
fn a_token_is_asked_for_with_its_server_and_sent_and_asked_for_anew_when_it_expires() {
    let auth = policy(|p| (p.ask, p.bearer_in_the_clear) = (true, true));
    let mut net = net_with(Account { auth, ..Account::default() });
    let first = message(&mut net, "1");
    reply(&mut net, &first, "401 Unauthorized", &www(BEARER));
    let (query, request) = wanted(&mut net);
    let AuthScheme::Bearer { authz_server, scope, error: None } = request.scheme else { panic!() };
    assert_eq!(authz_server.as_deref(), Some("https://as.example.com"));
    assert_eq!(scope.as_deref(), Some("sip"));
    give(&mut net, query, CredentialsReply::Bearer(Secret::from("abc.def-1==")));
    let second = net.caught();
    assert_eq!(header(&second, "Authorization"), "Bearer abc.def-1==");
    reply(&mut net, &second, "200 OK", "");
    assert!(matches!(net.event(0), Event::Response { .. }));
    // The next request shows it unasked; refused, the owner hears why.
    let third = message(&mut net, "2");
    assert_eq!(header(&third, "Authorization"), "Bearer abc.def-1==");
    reply(
        &mut net,
        &third,
        "401 Unauthorized",
        &www(&format!("{BEARER}, error=\"invalid_token\"")),
    );
    let (query, request) = wanted(&mut net);
    let AuthScheme::Bearer { error, .. } = &request.scheme else { panic!() };
    assert_eq!(error.as_deref(), Some("invalid_token"));
    // A token that would break the header field is none.
    give(&mut net, query, CredentialsReply::Bearer(Secret::from("a\r\nX: y")));
    assert!(matches!(net.event(0), Event::Response { .. }));
    assert!(net.inbox.is_empty());
}

#[test]
fn no_token_goes_over_a_flow_without_tls() {
    let mut net = asking();
    let first = message(&mut net, "1");
    reply(&mut net, &first, "401 Unauthorized", &www(BEARER));
    assert!(matches!(net.event(0), Event::Response { .. }));
    assert!(net.inbox.is_empty());
    // A digest beside it is answered.
    let second = message(&mut net, "2");
    reply(&mut net, &second, "401 Unauthorized", &format!("{}{}", www(BEARER), www(SHA)));
    let (_, request) = wanted(&mut net);
    assert_eq!(request.scheme, AuthScheme::Digest { algorithm: Algorithm::Sha256 });
    net.run(Duration::from_secs(40).as_millis() as u64);
}

#[test]
fn no_more_challenges_of_a_response_are_answered_than_the_limit_says() {
    let challenge =
        |n| format!("Proxy-Authenticate: Digest realm=\"{n}\", nonce=\"a\", algorithm=MD5\r\n");
    let challenges: String = (0..9).map(challenge).collect();
    for (limit, answered) in [(8, 8), (2, 2)] {
        let mut net = Net::new(1);
        let (username, password) = ("alice".into(), Secret::from("secret"));
        let credentials = vec![Credentials { realm: None, username, password }];
        let aor = "sip:alice@example.com".into();
        let mut config = Config::default();
        config.max_challenges = limit;
        net.add_account(US, Account { aor, credentials, ..Account::default() }, config);
        let first = message(&mut net, "1");
        reply(&mut net, &first, "407 Proxy Authentication Required", &challenges);
        let second = net.caught();
        assert_eq!(second.matches("Proxy-Authorization: ").count(), answered);
    }
}
