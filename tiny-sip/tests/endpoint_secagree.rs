//! Security agreement with the next hop (RFC 3329), at a proxy by hand.

mod endpoint_net;

use endpoint_net::{Net, answer, has, header};
use tiny_sak::{Secret, Transport};
use tiny_sip::digest::{Algorithm, Ha1, Inputs, Qop, response};
use tiny_sip::{Account, Config, Credentials, Event, Registration, SecurityMechanism};

const US: &str = "10.0.0.1:5060";
const PEER: &str = "10.0.0.9:5060";
const DIGEST: &str =
    "WWW-Authenticate: Digest realm=\"r\", nonce=\"n\", qop=\"auth\", algorithm=MD5\r\n";

fn net(security: &[SecurityMechanism]) -> Net {
    let mut net = Net::new(1);
    let (username, password) = ("alice".into(), Secret::from("secret"));
    let credentials = vec![Credentials { realm: None, username, password }];
    let aor = "sip:alice@example.com".into();
    let security = security.to_vec();
    net.add_account(
        US,
        Account { aor, credentials, security, ..Account::default() },
        Config::default(),
    );
    net
}

fn register(net: &mut Net) -> String {
    let (now, account) = (net.now, net.peers[0].account);
    let registrar = "sip:10.0.0.9".into();
    let registration = Registration { registrar, expires: 600, headers: vec![] };
    net.endpoint(0).register(now, account, registration).unwrap();
    net.caught()
}

fn refuse(net: &mut Net, request: &str, server: &str, extra: &str) {
    let extra = format!("Security-Server: {server}\r\n{extra}");
    net.inject(PEER, US, &answer(request, "494 Security Agreement Required", "t", &extra));
}

const BOTH: [SecurityMechanism; 2] = [SecurityMechanism::Tls, SecurityMechanism::Digest];

#[test]
fn the_list_of_the_server_is_said_back_and_protected_by_digest() {
    let mut net = net(&BOTH);
    let first = register(&mut net);
    assert_eq!(header(&first, "Security-Client"), "tls;q=0.9, digest;q=0.8");
    assert_eq!(
        (header(&first, "Require"), header(&first, "Proxy-Require")),
        ("sec-agree", "sec-agree")
    );
    refuse(&mut net, &first, "ipsec-ike;q=0.9,  digest;d-alg=MD5;q=0.5, tls;q=0.1", DIGEST);
    let second = net.caught();
    let list = "ipsec-ike;q=0.9, digest;d-alg=MD5;q=0.5, tls;q=0.1";
    let sent = header(&second, "Authorization");
    let param = |name: &str| {
        let at = sent.find(&format!(" {name}=")).unwrap() + name.len() + 2;
        sent[at..].split(',').next().unwrap().trim_matches('"')
    };
    let ha1 = Ha1::new(Algorithm::Md5, "alice", "r", &Secret::from("secret"));
    let uri = format!("{}:{list}", param("uri"));
    let proof = response(
        Algorithm::Md5,
        &ha1,
        &Inputs {
            method: "REGISTER",
            uri: &uri,
            nonce: "n",
            cnonce: param("cnonce"),
            nc: 1,
            qop: Some(Qop::Auth),
            body: b"",
        },
    );
    assert_eq!(
        header(&second, "Security-Verify"),
        format!("ipsec-ike;q=0.9, digest;d-alg=MD5;q=0.5;d-ver=\"{proof}\", tls;q=0.1")
    );
    assert!(!has(&second, "Security-Client"));
    net.inject(PEER, US, &answer(&second, "200 OK", "t", "Contact: <sip:alice@10.0.0.1:5060>\r\n"));
    assert!(matches!(net.event(0), Event::Registered { .. }));
}

#[test]
fn tls_is_turned_on_where_it_is_preferred() {
    let mut net = net(&BOTH);
    let first = register(&mut net);
    refuse(&mut net, &first, "tls;q=0.9, digest;q=0.1", "");
    let event = net.event(0);
    assert!(
        matches!(event, Event::Resolve { transport: Some(Transport::Tls), secure: true, .. }),
        "{event:?}"
    );
}

#[test]
fn nothing_in_common_or_a_weaker_challenge_than_agreed_ends_the_request() {
    for (server, extra) in [
        ("ipsec-3gpp;q=0.9, ipsec-man", DIGEST),
        ("digest;d-alg=SHA-256", DIGEST),
        ("digest;d-qop=auth-int", DIGEST),
    ] {
        let mut net = net(&BOTH);
        let first = register(&mut net);
        refuse(&mut net, &first, server, extra);
        let event = net.event(0);
        assert!(matches!(event, Event::RegistrationFailed { status: Some(494), .. }), "{event:?}");
    }
}

#[test]
fn an_account_without_mechanisms_says_nothing_and_takes_494_for_a_refusal() {
    let mut net = net(&[]);
    let first = register(&mut net);
    assert!(!has(&first, "Security-Client") && !has(&first, "Require"));
    refuse(&mut net, &first, "digest", DIGEST);
    assert!(matches!(net.event(0), Event::RegistrationFailed { status: Some(494), .. }));
}
