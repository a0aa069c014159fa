//! Transports and the way to the server, as an application uses them: agents on real sockets of the
//! loopback, with names that the test answers for.

mod common;

use common::{LOOPBACK, connect, on_loopback, soon};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tiny_ua::dns::{Dns, Outcome, Question, Record, RecordKind};
use tiny_ua::tls::{Identity, Material, Roots, TlsConfig};
use tiny_ua::{
    Audio, Call, CallEvent, Config, Error, Listen, Tcp, Tls, Transport, Udp, UserAgent, Ws, Wss,
};
/// An authority.
struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key).unwrap().pem();
        Self { pem, issuer: Issuer::new(params, key) }
    }

    fn issue(&self, name: &str) -> Identity {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Identity {
            chain: Material::pem(certificate.pem()),
            key: Material::pem(key.serialize_pem()),
        }
    }

    fn trusted(&self) -> TlsConfig {
        let mut tls = TlsConfig::default();
        tls.roots = Roots::Only(vec![Material::pem(self.pem.clone())]);
        tls
    }
}

/// Every domain under `test` is at 127.0.0.1; its SIP servers are at these ports, in order.
struct Names(Vec<(Transport, u16)>);

impl Dns for Names {
    fn look_up<'a>(
        &'a self,
        question: &'a Question,
    ) -> Pin<Box<dyn Future<Output = Outcome> + Send + 'a>> {
        let wanted = match question.kind {
            RecordKind::Srv if question.name.starts_with("_sips._tcp.") => Some(Transport::Tls),
            RecordKind::Srv if question.name.starts_with("_sip._udp.") => Some(Transport::Udp),
            _ => None,
        };
        let ttl = Duration::from_secs(60);
        let servers = self.0.iter().filter(|(transport, _)| Some(*transport) == wanted);
        let mut records: Vec<Record> = servers
            .enumerate()
            .map(|(priority, (_, port))| Record::Srv {
                priority: priority as u16,
                weight: 0,
                port: *port,
                target: "host.test".into(),
            })
            .collect();
        if question.kind == RecordKind::A {
            records.push(Record::Address(IpAddr::from([127, 0, 0, 1])));
        }
        let outcome = match records.is_empty() {
            true => Outcome::Absent { ttl: None },
            false => Outcome::Found { records, ttl },
        };
        Box::pin(async move { outcome })
    }
}

async fn agent(listen: Option<Listen>, change: impl FnOnce(&mut Config)) -> UserAgent {
    let mut builder = on_loopback().codecs(["pcmu"]);
    if let Some(listen) = listen {
        builder = builder.transport(listen);
    }
    builder.configure(change).build().await.unwrap()
}

fn port_of(ua: &UserAgent, transport: Transport) -> u16 {
    let found = ua.addresses().iter().find(|(t, _)| *t == transport);
    found.expect("it listens").1.port()
}

async fn ended(call: &Call) -> String {
    loop {
        if let CallEvent::Ended(end) = soon(call.next_event()).await.expect("an event of the call")
        {
            return end.reason;
        }
    }
}

/// Both talk, then the called one hangs up.
async fn talks(from: &UserAgent, aor: &str, to: &UserAgent, uri: &str) {
    let account = from.account(aor).build().await.unwrap();
    let (call, taken) =
        connect(account.call(uri).audio(Audio::silent()), to, Audio::silent()).await;
    taken.hangup().await;
    ended(&call).await;
}

async fn refused(from: &UserAgent, uri: &str) -> String {
    let account = from.account("sip:alice@alice.test").build().await.unwrap();
    let call = account.call(uri).audio(Audio::silent()).await.unwrap();
    ended(&call).await
}

#[tokio::test]
async fn a_server_proves_the_domain_that_was_called_and_not_where_it_was_found() {
    let authority = Authority::new();
    let bob = agent(Some(Tls::at(LOOPBACK.parse().unwrap())), |config| {
        config.net.tls.server = Some(authority.issue("bob.test"));
    })
    .await;
    let names = Arc::new(Names(vec![(Transport::Tls, port_of(&bob, Transport::Tls))]));
    let alice = agent(None, |config| {
        config.net.tls = authority.trusted();
        config.dns = Some(names.clone());
    })
    .await;
    // SRV leads to `host.test`, which the certificate does not name.
    talks(&alice, "sip:alice@alice.test", &bob, "sips:bob@bob.test").await;
    talks(&alice, "sip:alice@alice.test", &bob, "sip:bob@bob.test;transport=tls").await;
    let reason = refused(&alice, "sips:bob@mallory.test").await;
    assert!(reason.contains("mallory.test") && reason.contains("bob.test"), "{reason}");
    // Nobody vouches for it as far as the platform knows.
    let stranger = agent(None, |config| config.dns = Some(names)).await;
    let reason = refused(&stranger, "sips:bob@bob.test").await;
    assert!(reason.contains("certificate"), "{reason}");
}

#[tokio::test]
async fn certificates_change_without_a_restart() {
    let (old, new) = (Authority::new(), Authority::new());
    let bob = agent(Some(Tls::at(LOOPBACK.parse().unwrap())), |config| {
        config.net.tls.server = Some(old.issue("bob.test"));
    })
    .await;
    let names = Arc::new(Names(vec![(Transport::Tls, port_of(&bob, Transport::Tls))]));
    let alice = agent(None, |config| {
        config.net.tls = new.trusted();
        config.dns = Some(names);
    })
    .await;
    let reason = refused(&alice, "sips:bob@bob.test").await;
    assert!(reason.contains("invalid peer certificate"), "{reason}");
    let mut tls = TlsConfig::default();
    tls.server = Some(new.issue("bob.test"));
    bob.set_tls(tls).await.unwrap();
    talks(&alice, "sip:alice@alice.test", &bob, "sips:bob@bob.test").await;
    // Settings that are of no use change nothing.
    let error = bob.set_tls(TlsConfig::default()).await.unwrap_err();
    assert!(matches!(&error, Error::Config { field, .. } if field == "tls"), "{error}");
    talks(&alice, "sip:alice@alice.test", &bob, "sips:bob@bob.test").await;
}

#[tokio::test]
async fn both_kinds_of_websocket_carry_calls_both_ways() {
    let authority = Authority::new();
    let identity = authority.issue("bob.test");
    for (listen, transport, scheme) in [
        (Ws::at(LOOPBACK.parse().unwrap()), Transport::Ws, "sip"),
        (Wss::at(LOOPBACK.parse().unwrap()), Transport::Wss, "sips"),
    ] {
        let server = Some(identity.clone());
        let bob = agent(Some(listen), |config| config.net.tls.server = server).await;
        let alice = agent(None, |config| {
            config.net.tls = authority.trusted();
            config.dns = Some(Arc::new(Names(Vec::new())));
        })
        .await;
        let port = port_of(&bob, transport);
        let uri = format!("{scheme}:bob@bob.test:{port};transport=ws");
        // The BYE of the called one goes to a host in `.invalid`: over the caller's connection.
        talks(&alice, "sip:alice@alice.test", &bob, &uri).await;
    }
}

#[tokio::test]
async fn a_dead_first_server_gives_way_to_the_second() {
    let bob = agent(None, |_| {}).await;
    let dead = std::net::UdpSocket::bind(LOOPBACK).unwrap().local_addr().unwrap().port();
    let servers = vec![(Transport::Udp, dead), (Transport::Udp, port_of(&bob, Transport::Udp))];
    let alice = agent(None, |config| config.dns = Some(Arc::new(Names(servers)))).await;
    talks(&alice, "sip:alice@alice.test", &bob, "sip:bob@bob.test").await;
}

#[tokio::test]
async fn who_listens_on_one_family_calls_the_other_too() {
    let v6: SocketAddr = "[::1]:0".parse().unwrap();
    if std::net::UdpSocket::bind(v6).is_err() {
        eprintln!("skipped: this machine has no IPv6 on its loopback");
        return;
    }
    let on = |listen: Listen| UserAgent::builder().transport(listen).codecs(["pcmu"]).build();
    for (from, to) in [
        (Udp::any(), Udp::at(v6)),
        (Udp::at("[::]:0".parse().unwrap()), Udp::at(LOOPBACK.parse().unwrap())),
    ] {
        let (alice, bob) = (on(from).await.unwrap(), on(to).await.unwrap());
        let uri = format!("sip:bob@{}", bob.addresses()[0].1);
        talks(&alice, "sip:alice@alice.test", &bob, &uri).await;
    }
}

#[tokio::test]
async fn a_tcp_port_beside_udp_that_is_taken_gives_way_to_another_free_one() {
    let held = std::net::TcpListener::bind("127.0.0.9:0").unwrap();
    let at = held.local_addr().unwrap();
    let ua = UserAgent::builder().transport(Udp::at(at));
    let ua = ua.transport(Tcp::at("127.0.0.9:0".parse().unwrap())).build().await.unwrap();
    assert_eq!(port_of(&ua, Transport::Udp), at.port());
    assert_ne!(port_of(&ua, Transport::Tcp), at.port());
}
