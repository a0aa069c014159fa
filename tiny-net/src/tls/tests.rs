//! Real handshakes on loopback, with authorities made up for the purpose.

use super::*;
use crate::{BindError, Config, NetEvent, SipTransports};
use bytes::Bytes;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, SanType};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::Duration;
use tiny_sak::{Flow, Transport};

/// An authority and what it signs.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("Authority {}", NEXT.fetch_add(1, Relaxed));
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    pub(crate) fn roots(&self) -> Roots {
        Roots::Only(vec![Material::pem(self.pem.clone())])
    }

    pub(crate) fn identity(&self, names: &[&str]) -> Identity {
        self.sign(names, |_| {})
    }

    fn sign(&self, names: &[&str], change: impl FnOnce(&mut CertificateParams)) -> Identity {
        let (uris, names): (Vec<&str>, _) = names.iter().partition(|n| n.contains(':'));
        let names: Vec<String> = names.into_iter().map(String::from).collect();
        let mut params = CertificateParams::new(names).unwrap();
        let uris = uris.into_iter().map(|uri| SanType::URI(uri.try_into().unwrap()));
        params.subject_alt_names.extend(uris);
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let chain = params.signed_by(&key, &self.issuer).unwrap();
        Identity { chain: Material::pem(chain.pem()), key: Material::pem(key.serialize_pem()) }
    }
}

fn trusting(roots: Roots) -> TlsConfig {
    TlsConfig { roots, ..TlsConfig::default() }
}

fn showing(server: Identity) -> TlsConfig {
    TlsConfig { server: Some(server), ..TlsConfig::default() }
}

fn net(tls: TlsConfig) -> SipTransports {
    SipTransports::new(Config { tls, ..Config::default() })
}

fn listening(tls: TlsConfig) -> (SipTransports, SocketAddr) {
    let mut net = net(tls);
    let local = net.bind(Transport::Tls, "127.0.0.1:0".parse().unwrap()).unwrap();
    (net, local)
}

fn to(remote: SocketAddr) -> Flow {
    Flow { transport: Transport::Tls, local: "127.0.0.1:0".parse().unwrap(), remote }
}

async fn next(net: &mut SipTransports) -> NetEvent {
    tokio::time::timeout(Duration::from_secs(5), net.recv()).await.expect("an event within 5 s")
}

/// The next event of `first`, while `second` does its part.
async fn meanwhile(first: &mut SipTransports, second: &mut SipTransports) -> NetEvent {
    tokio::select! {
        event = next(first) => event,
        () = async { loop { second.recv().await; } } => unreachable!(),
    }
}

/// Sends to a domain at an address; `Ok` when connected, else the reason.
async fn attempt(client: TlsConfig, server: TlsConfig, name: &str) -> Result<(), String> {
    let (mut bob, at_bob) = listening(server);
    let mut alice = net(client);
    alice.send_to(to(at_bob), name, Bytes::from_static(b"OPTIONS"));
    match meanwhile(&mut alice, &mut bob).await {
        NetEvent::Opened { .. } => Ok(()),
        NetEvent::SendFailed { error, .. } => {
            Err(format!("{error:?}: {}", alice.failure(to(at_bob)).unwrap_or_default()))
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn messages_cross_a_verified_connection_both_ways() {
    let ca = Authority::new();
    let (mut bob, at_bob) = listening(showing(ca.identity(&["example.com"])));
    let mut alice = net(trusting(ca.roots()));
    let out = to(at_bob);
    alice.expect_name(Transport::Tls, at_bob, "example.com");
    alice.send(out, Bytes::from_static(b"INVITE"));
    // Bob must be polled for the connection to be accepted; his task then does the rest.
    let NetEvent::Opened { flow: seen } = next(&mut bob).await else { panic!() };
    assert_eq!(next(&mut alice).await, NetEvent::Opened { flow: out });
    let NetEvent::Stream { flow: back, data } = next(&mut bob).await else { panic!() };
    assert_eq!(back, seen);
    assert_eq!((back.transport, back.local, &data[..]), (Transport::Tls, at_bob, &b"INVITE"[..]));
    bob.send(back, Bytes::from_static(b"200 OK"));
    let NetEvent::Stream { flow, data } = meanwhile(&mut alice, &mut bob).await else { panic!() };
    assert_eq!((flow, &data[..]), (out, &b"200 OK"[..]));
    // Long messages, in both directions at once.
    alice.send(out, vec![b'a'; 300_000].into());
    bob.send(back, vec![b'b'; 300_000].into());
    let (mut at_alice, mut from_alice) = (0, 0);
    while at_alice < 300_000 || from_alice < 300_000 {
        let (net, count) = tokio::select! {
            event = alice.recv() => (event, &mut at_alice),
            event = bob.recv() => (event, &mut from_alice),
        };
        let NetEvent::Stream { data, .. } = net else { panic!("{net:?}") };
        *count += data.len();
    }
    alice.close(out);
    assert_eq!(next(&mut bob).await, NetEvent::Closed { flow: back, error: None });
    assert_eq!((bob.stats().accepted, alice.stats().connected), (1, 1));
}

#[tokio::test]
async fn a_certificate_of_another_domain_is_refused_by_name() {
    let ca = Authority::new();
    let server = || showing(ca.identity(&["proxy.example.net"]));
    let error = attempt(trusting(ca.roots()), server(), "example.com").await.unwrap_err();
    assert!(error.starts_with("PermissionDenied: TLS: "), "{error}");
    assert!(error.contains("example.com") && error.contains("proxy.example.net"), "{error}");
    // Nor is the address of the next hop a substitute for the domain, or the other way round.
    let (mut bob, at_bob) = listening(server());
    let mut alice = net(trusting(ca.roots()));
    alice.send(to(at_bob), Bytes::from_static(b"x"));
    let event = meanwhile(&mut alice, &mut bob).await;
    assert!(matches!(event, NetEvent::SendFailed { .. }), "{event:?}");
    attempt(trusting(ca.roots()), showing(ca.identity(&["127.0.0.1"])), "127.0.0.1").await.unwrap();
}

#[tokio::test]
async fn expired_and_unknown_certificates_are_refused_by_name() {
    let ca = Authority::new();
    let old = ca.sign(&["example.com"], |p| p.not_after = rcgen::date_time_ymd(2020, 1, 1));
    let error = attempt(trusting(ca.roots()), showing(old), "example.com").await.unwrap_err();
    assert!(error.contains("expired"), "{error}");
    let stranger = Authority::new().identity(&["example.com"]);
    let server = showing(stranger.clone());
    let error = attempt(trusting(ca.roots()), server.clone(), "example.com").await.unwrap_err();
    assert!(error.contains("UnknownIssuer"), "{error}");
    // A laboratory may shut its eyes.
    let insecure = TlsConfig { insecure: true, ..trusting(ca.roots()) };
    attempt(insecure, server, "example.com").await.unwrap();
}

#[tokio::test]
async fn the_platform_does_not_know_our_own_authority() {
    let ca = Authority::new();
    let server = showing(ca.identity(&["example.com"]));
    // "the platform's roots cannot be used" where the machine has none at all.
    let error = attempt(TlsConfig::default(), server, "example.com").await.unwrap_err();
    assert!(error.contains("UnknownIssuer") || error.contains("platform's roots"), "{error}");
}

#[tokio::test]
async fn sip_uris_in_a_certificate_go_before_its_dns_names() {
    let ca = Authority::new();
    let with = async |names: &[&str], wanted: &str| {
        attempt(trusting(ca.roots()), showing(ca.identity(names)), wanted).await.is_ok()
    };
    // RFC 5922 §7.1.
    assert!(with(&["sip:example.com", "proxy.example.net"], "example.com").await);
    assert!(!with(&["sip:example.com", "proxy.example.net"], "proxy.example.net").await);
    assert!(!with(&["sip:bob@example.com"], "example.com").await, "a user is no domain");
    assert!(!with(&["sips:example.com"], "example.com").await, "only the scheme sip");
    assert!(with(&["SIP:Example.COM", "other.example"], "example.com").await, "case is nothing");
    // §7.2: whole names.
    assert!(!with(&["example.com"], "foo.example.com").await);
    assert!(!with(&["*.example.com"], "foo.example.com").await);
    let wildcards = TlsConfig { wildcards: true, ..trusting(ca.roots()) };
    let server = || showing(ca.identity(&["*.example.com"]));
    attempt(wildcards.clone(), server(), "foo.example.com").await.unwrap();
    attempt(wildcards.clone(), server(), "a.b.example.com").await.unwrap_err();
    attempt(wildcards, server(), "example.com").await.unwrap_err();
}

#[tokio::test]
async fn a_server_may_demand_a_certificate() {
    let ca = Authority::new();
    let auth = ClientAuth::Required(ca.roots());
    let (mut bob, at_bob) =
        listening(TlsConfig { client_auth: auth, ..showing(ca.identity(&["example.com"])) });
    let mut anonymous = net(trusting(ca.roots()));
    anonymous.send_to(to(at_bob), "example.com", Bytes::from_static(b"x"));
    // TLS 1.3 lets a client believe it is connected before it is turned away.
    let ended = loop {
        match meanwhile(&mut anonymous, &mut bob).await {
            NetEvent::Opened { .. } => {}
            other => break other,
        }
    };
    assert!(
        matches!(ended, NetEvent::Closed { error: Some(_), .. } | NetEvent::SendFailed { .. }),
        "{ended:?}"
    );
    let client = Some(ca.identity(&["alice.example"]));
    let mut alice = net(TlsConfig { client, ..trusting(ca.roots()) });
    alice.send_to(to(at_bob), "example.com", Bytes::from_static(b"x"));
    let NetEvent::Opened { flow } = meanwhile(&mut bob, &mut alice).await else { panic!() };
    assert_eq!((bob.stats().accepted, bob.stats().failed_handshakes), (1, 1));
    // RFC 5923: requests to alice's domain may go back on her connection, and no other domain's.
    let sent_by: SocketAddr = "127.0.0.1:1".parse().unwrap();
    assert!(bob.alias(flow, sent_by));
    bob.send_to(Flow { remote: sent_by, ..flow }, "alice.example", Bytes::from_static(b"BYE"));
    loop {
        match meanwhile(&mut alice, &mut bob).await {
            NetEvent::Stream { data, .. } => break assert_eq!(&data[..], b"BYE"),
            NetEvent::Opened { .. } => {}
            other => panic!("{other:?}"),
        }
    }
    bob.send_to(Flow { remote: sent_by, ..flow }, "mallory.example", Bytes::from_static(b"BYE"));
    let failed = loop {
        match meanwhile(&mut bob, &mut alice).await {
            NetEvent::Stream { .. } => {}
            other => break other,
        }
    };
    assert!(matches!(failed, NetEvent::SendFailed { .. }), "port 1 is dead: {failed:?}");
}

#[tokio::test]
async fn a_client_without_a_certificate_gets_no_alias() {
    let ca = Authority::new();
    let (mut bob, at_bob) = listening(showing(ca.identity(&["example.com"])));
    let mut alice = net(trusting(ca.roots()));
    alice.send_to(to(at_bob), "example.com", Bytes::from_static(b"x"));
    let NetEvent::Opened { flow } = meanwhile(&mut bob, &mut alice).await else { panic!() };
    assert!(!bob.alias(flow, "127.0.0.1:1".parse().unwrap()));
}

#[tokio::test]
async fn one_address_serves_several_domains_on_connections_of_their_own() {
    let ca = Authority::new();
    let both = ca.identity(&["a.example", "b.example", "c.example"]);
    let (mut bob, at_bob) = listening(showing(both));
    let mut alice = net(trusting(ca.roots()));
    alice.send_to(to(at_bob), "a.example", Bytes::from_static(b"1"));
    let NetEvent::Opened { flow: a } = meanwhile(&mut alice, &mut bob).await else { panic!() };
    // The certificate is good for b.example too: no second connection.
    alice.send_to(to(at_bob), "b.example", Bytes::from_static(b"2"));
    assert_eq!(alice.stats().connections, 1);
    // Nobody proved d.example: a new attempt, which fails, and harms nobody.
    alice.send_to(to(at_bob), "d.example", Bytes::from_static(b"3"));
    assert_eq!(alice.stats().connections, 2);
    let event = meanwhile(&mut alice, &mut bob).await;
    assert!(
        matches!(event, NetEvent::SendFailed { flow, .. } if flow.local != a.local),
        "{event:?}"
    );
    assert_eq!(alice.stats().connections, 1);
    // A server with one certificate a domain gets one connection a domain.
    bob.set_tls(&showing(ca.identity(&["d.example"]))).unwrap();
    alice.send_to(to(at_bob), "d.example", Bytes::from_static(b"4"));
    let NetEvent::Opened { flow: d } = meanwhile(&mut alice, &mut bob).await else { panic!() };
    assert_ne!(a.local, d.local);
    alice.send_to(to(at_bob), "a.example", Bytes::from_static(b"5"));
    alice.send(d, Bytes::from_static(b"6"));
    assert_eq!(alice.stats().connections, 2);
}

#[tokio::test]
async fn certificates_are_renewed_without_a_restart() {
    let (old, new) = (Authority::new(), Authority::new());
    let dir = std::env::temp_dir().join(format!("tiny-net-tls-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let write = |identity: &Identity| {
        for (name, material) in [("chain.pem", &identity.chain), ("key.pem", &identity.key)] {
            let Material::Pem(pem) = material else { panic!() };
            std::fs::write(dir.join(name), pem.expose()).unwrap();
        }
    };
    write(&old.identity(&["example.com"]));
    let files = showing(Identity {
        chain: Material::file(dir.join("chain.pem")),
        key: Material::file(dir.join("key.pem")),
    });
    let (mut bob, at_bob) = listening(files.clone());
    let mut alice = net(trusting(old.roots()));
    alice.send_to(to(at_bob), "example.com", Bytes::from_static(b"x"));
    let event = meanwhile(&mut alice, &mut bob).await;
    assert!(matches!(event, NetEvent::Opened { .. }), "{event:?}");
    write(&new.identity(&["example.com"]));
    bob.set_tls(&files).unwrap();
    let mut carol = net(trusting(new.roots()));
    carol.send_to(to(at_bob), "example.com", Bytes::from_static(b"x"));
    let event = meanwhile(&mut carol, &mut bob).await;
    assert!(matches!(event, NetEvent::Opened { .. }), "{event:?}");
    // Broken files change nothing.
    std::fs::write(dir.join("chain.pem"), "nothing").unwrap();
    let error = bob.set_tls(&files).unwrap_err();
    assert!(matches!(error, TlsError::Unusable { .. } | TlsError::Missing { .. }), "{error}");
    std::fs::remove_dir_all(&dir).unwrap();
    let error = bob.set_tls(&files).unwrap_err();
    assert!(error.to_string().contains("chain.pem"), "{error}");
    let mut dave = net(trusting(new.roots()));
    dave.send_to(to(at_bob), "example.com", Bytes::from_static(b"x"));
    let event = meanwhile(&mut dave, &mut bob).await;
    assert!(matches!(event, NetEvent::Opened { .. }), "{event:?}");
    // Alice's connection has lived through all of it.
    assert_eq!(alice.stats().connections, 1);
}

#[tokio::test]
async fn a_second_handshake_resumes_the_first() {
    use tokio_rustls::rustls::HandshakeKind;
    let ca = Authority::new();
    let run = async |sessions: usize| {
        let server = TlsConfig { sessions, ..showing(ca.identity(&["example.com"])) };
        let server = engine::Engine::new(&server).unwrap();
        let client = engine::Engine::new(&TlsConfig { sessions, ..trusting(ca.roots()) }).unwrap();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let mut kinds = Vec::new();
        for _ in 0..2 {
            let stream = tokio::net::TcpStream::connect(addr).await.unwrap();
            let (accepted, _) = listener.accept().await.unwrap();
            let (ours, theirs) =
                tokio::join!(client.connect("example.com", false, stream), server.accept(accepted));
            let ((mut ours, _), (mut theirs, _)) = (ours.unwrap(), theirs.unwrap());
            // The ticket comes with the first bytes.
            use tokio::io::{AsyncReadExt, AsyncWriteExt};
            theirs.write_all(b"x").await.unwrap();
            ours.read_u8().await.unwrap();
            kinds.push(ours.get_ref().1.handshake_kind().unwrap());
        }
        kinds
    };
    assert_eq!(run(256).await, [HandshakeKind::Full, HandshakeKind::Resumed]);
    assert_eq!(run(0).await, [HandshakeKind::Full, HandshakeKind::Full]);
}

#[tokio::test]
async fn a_handshake_that_dawdles_is_given_up_on_both_sides() {
    let ca = Authority::new();
    let hasty =
        |tls| Config { tls, handshake_timeout: Duration::from_millis(100), ..Config::default() };
    let mut bob = SipTransports::new(hasty(showing(ca.identity(&["example.com"]))));
    let at_bob = bob.bind(Transport::Tls, "127.0.0.1:0".parse().unwrap()).unwrap();
    let _mute = std::net::TcpStream::connect(at_bob).unwrap();
    assert!(tokio::time::timeout(Duration::from_millis(400), bob.recv()).await.is_err());
    assert_eq!((bob.stats().connections, bob.stats().failed_handshakes), (0, 1));
    let mute = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let out = to(mute.local_addr().unwrap());
    let mut alice = SipTransports::new(hasty(trusting(ca.roots())));
    alice.send_to(out, "example.com", Bytes::from_static(b"x"));
    let error = std::io::ErrorKind::TimedOut;
    assert_eq!(next(&mut alice).await, NetEvent::SendFailed { flow: out, error });
    assert_eq!(alice.failure(out), Some("the handshake took too long"));
}

#[tokio::test]
async fn what_does_not_speak_tls_is_named() {
    let ca = Authority::new();
    let plain = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let out = to(plain.local_addr().unwrap());
    let mut alice = net(trusting(ca.roots()));
    alice.send_to(out, "example.com", Bytes::from_static(b"x"));
    let answer = tokio::task::spawn_blocking(move || {
        use std::io::Write;
        plain.accept().unwrap().0.write_all(b"SIP/2.0 400 Bad Request\r\n\r\n").unwrap();
    });
    let event = next(&mut alice).await;
    answer.await.unwrap();
    assert!(matches!(event, NetEvent::SendFailed { .. }), "{event:?}");
    assert!(
        alice.failure(out).is_some_and(|why| why.starts_with("TLS: ")),
        "{:?}",
        alice.failure(out)
    );
}

#[tokio::test]
async fn useless_settings_are_refused_with_their_name() {
    let ca = Authority::new();
    let good = ca.identity(&["example.com"]);
    let bind = |tls| {
        let error = net(tls).bind(Transport::Tls, "127.0.0.1:0".parse().unwrap()).unwrap_err();
        assert!(matches!(error, BindError::Tls { .. }));
        error.to_string()
    };
    let other = ca.identity(&["example.com"]).key;
    let text = bind(showing(Identity { key: other, ..good.clone() }));
    assert!(text.contains("the server certificate cannot be used"), "{text}");
    let text = bind(showing(Identity { chain: Material::pem(""), ..good.clone() }));
    assert!(text.contains("the server certificate holds no certificate"), "{text}");
    let platform = ClientAuth::Required(Roots::Platform);
    let text = bind(TlsConfig { client_auth: platform, ..trusting(ca.roots()) });
    assert!(text.contains("needs a server certificate"), "{text}");
    let platform = ClientAuth::Required(Roots::Platform);
    let text =
        bind(TlsConfig { client_auth: platform, server: Some(good), ..trusting(ca.roots()) });
    assert!(text.contains("authorities of their own"), "{text}");
    // Nothing of a key is printed.
    let debug = format!("{:?}", showing(ca.identity(&["example.com"])));
    assert!(!debug.contains("PRIVATE") && debug.contains("***"), "{debug}");
}

#[tokio::test]
async fn the_hello_names_the_domain_and_never_an_address() {
    use tokio::io::AsyncReadExt;
    let ca = Authority::new();
    let raw = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let out = to(raw.local_addr().unwrap());
    for (name, named) in [("Voice.Example.COM.", true), ("127.0.0.1", false)] {
        let mut alice = net(trusting(ca.roots()));
        alice.send_to(out, name, Bytes::from_static(b"x"));
        let (mut peer, _) = raw.accept().await.unwrap();
        let mut hello = vec![0; 4096];
        let length = peer.read(&mut hello).await.unwrap();
        let has =
            |text: &[u8]| hello[..length].windows(text.len()).any(|w| w.eq_ignore_ascii_case(text));
        assert_eq!(has(b"voice.example.com"), named);
        assert!(!has(b"example.com.") && !has(b"127.0.0.1"));
    }
}

#[tokio::test]
async fn an_alias_ends_with_its_connection() {
    let ca = Authority::new();
    let auth = ClientAuth::Optional(ca.roots());
    let (mut bob, at_bob) =
        listening(TlsConfig { client_auth: auth, ..showing(ca.identity(&["example.com"])) });
    let client = Some(ca.identity(&["alice.example"]));
    let mut alice = net(TlsConfig { client, ..trusting(ca.roots()) });
    alice.send_to(to(at_bob), "example.com", Bytes::from_static(b"x"));
    let NetEvent::Opened { flow } = meanwhile(&mut bob, &mut alice).await else { panic!() };
    let sent_by: SocketAddr = "127.0.0.1:1".parse().unwrap();
    assert!(bob.alias(flow, sent_by) && bob.alias(flow, sent_by));
    assert!(!bob.alias(flow, "127.0.0.1:2".parse().unwrap()), "one alias a connection");
    drop(alice);
    while !matches!(next(&mut bob).await, NetEvent::Closed { .. }) {}
    assert_eq!(bob.stats().connections, 0);
    let aliased = Flow { remote: sent_by, ..flow };
    bob.send_to(aliased, "alice.example", Bytes::from_static(b"BYE"));
    // A connection of its own, to a port where nobody listens.
    let error = std::io::ErrorKind::ConnectionRefused;
    assert_eq!(next(&mut bob).await, NetEvent::SendFailed { flow: aliased, error });
}
