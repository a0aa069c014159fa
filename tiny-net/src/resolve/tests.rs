use super::*;
use std::future::Future;
use std::time::Duration;

fn query(host: &str) -> Query {
    Query::new(host)
}

#[tokio::test]
async fn literals_need_no_look_up_and_ports_default_by_transport() {
    let config = Config::default();
    let all = targets(&query("127.0.0.1"), &config).await.unwrap();
    assert_eq!(all.len(), 1);
    assert_eq!(all[0].addr, "127.0.0.1:5060".parse().unwrap());
    assert_eq!(all[0].transport, Transport::Udp);
    assert_eq!(all[0].local, IpAddr::V4(Ipv4Addr::LOCALHOST));
    let secure = Query { secure: true, supported: vec![Transport::Tls], ..query("[::1]") };
    let all = targets(&secure, &config).await.unwrap();
    assert_eq!((all[0].transport, all[0].addr), (Transport::Tls, "[::1]:5061".parse().unwrap()));
    let tcp = Query { port: Some(7), transport: Some(Transport::Tcp), ..query("10.1.2.3") };
    let all = targets(&tcp, &config).await.unwrap();
    assert_eq!((all[0].transport, all[0].addr), (Transport::Tcp, "10.1.2.3:7".parse().unwrap()));
}

#[tokio::test]
async fn localhost_is_found_through_the_system() {
    let all = resolve("localhost", 5060, &Config::default()).await.unwrap();
    assert!(all.iter().all(|a| a.ip().is_loopback() && a.port() == 5060), "{all:?}");
}

#[tokio::test]
async fn an_unknown_name_is_named_in_the_error() {
    let config = Config { resolve_timeout: Duration::from_secs(2), ..Config::default() };
    let error = resolve("no-such-host.invalid", 5060, &config).await.unwrap_err();
    assert!(error.to_string().contains("no-such-host.invalid"), "{error}");
    let error = resolve("", 5060, &config).await.unwrap_err();
    assert!(matches!(error, ResolveError::NotFound { .. }));
}

/// A DNS of three records.
struct Small;

impl Dns for Small {
    fn look_up<'a>(
        &'a self,
        question: &'a crate::locate::Question,
    ) -> std::pin::Pin<Box<dyn Future<Output = Outcome> + Send + 'a>> {
        use crate::locate::{Record, RecordKind};
        let record = match (question.name.as_str(), question.kind) {
            ("_sip._tcp.pbx.example", RecordKind::Srv) => {
                Record::Srv { priority: 0, weight: 0, port: 5099, target: "h.pbx.example.".into() }
            }
            ("h.pbx.example", RecordKind::A) => Record::Address(Ipv4Addr::LOCALHOST.into()),
            ("h.pbx.example", RecordKind::Aaaa) => Record::Address(Ipv6Addr::LOCALHOST.into()),
            _ => return Box::pin(async { Outcome::Absent { ttl: None } }),
        };
        let ttl = Duration::from_secs(60);
        Box::pin(async move { Outcome::Found { records: vec![record], ttl } })
    }
}

#[tokio::test]
async fn many_callers_share_one_resolver() {
    let config = Config { prefer_ipv6: false, ..Config::default() };
    let resolver = Resolver::with_dns(&config, std::sync::Arc::new(Small), None);
    let mut callers = JoinSet::new();
    for _ in 0..20 {
        let resolver = resolver.clone();
        callers.spawn(async move { resolver.targets(query("pbx.example")).await });
    }
    while let Some(found) = callers.join_next().await {
        let found = found.unwrap().unwrap();
        assert_eq!(
            (found[0].transport, found[0].addr),
            (Transport::Tcp, "127.0.0.1:5099".parse().unwrap())
        );
        assert_eq!(found[0].local, IpAddr::V4(Ipv4Addr::LOCALHOST));
    }
    resolver.forget();
    let error = resolver.targets(query("other.example")).await.unwrap_err();
    assert!(matches!(error, ResolveError::NotFound { .. }), "{error}");
}
