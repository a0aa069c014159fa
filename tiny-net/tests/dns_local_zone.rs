//! RFC 3263 against a real name server (dnsmasq) that answers from a zone of our own on loopback.
#![cfg(feature = "dns")]

use std::net::{SocketAddr, UdpSocket};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;
use tiny_net::resolve::{Query, Resolver, SystemDns};
use tiny_net::{Config, ResolveError};
use tiny_sak::{Rng, Transport};

struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

const ZONE: &[&str] = &[
    "--naptr-record=example.test,50,50,s,SIPS+D2T,,_sips._tcp.example.test",
    "--naptr-record=example.test,90,50,s,SIP+D2T,,_sip._tcp.example.test",
    "--naptr-record=example.test,100,50,s,SIP+D2U,,_sip._udp.example.test",
    "--srv-host=_sips._tcp.example.test,one.example.test,5061,0,0",
    "--srv-host=_sip._tcp.example.test,two.example.test,5080,20,0",
    "--srv-host=_sip._tcp.example.test,one.example.test,5070,10,0",
    "--srv-host=_sip._udp.example.test,one.example.test,5060,0,0",
    "--srv-host=_sip._tcp.srv-only.test,two.example.test,5090,0,0",
    "--host-record=one.example.test,127.0.0.1,::1",
    "--host-record=two.example.test,127.0.0.2",
    "--host-record=plain.test,127.0.0.3",
    "--cname=alias.test,plain.test",
];

fn start() -> Option<(Server, SocketAddr)> {
    let free = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let port = format!("--port={}", free.port());
    let fixed = ["--keep-in-foreground", "--conf-file=/dev/null", "--no-resolv", "--no-hosts"];
    let bound =
        ["--listen-address=127.0.0.1", "--bind-interfaces", "--local=/test/", "--local-ttl=7"];
    let found = ["dnsmasq", "/usr/sbin/dnsmasq"].iter().find_map(|program| {
        let mut command = Command::new(program);
        command.args(fixed).args(bound).arg(&port).args(ZONE).args([
            "--pid-file=",
            "--user=",
            "--group=",
        ]);
        command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().ok()
    })?;
    let server = Server(found);
    // Up as soon as it answers anything at all.
    let probe = UdpSocket::bind("127.0.0.1:0").unwrap();
    probe.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    let question = b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x05plain\x04test\0\0\x01\0\x01";
    for _ in 0..100 {
        let _ = probe.send_to(question, free);
        if probe.recv(&mut [0; 512]).is_ok() {
            return Some((server, free));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    panic!("dnsmasq does not answer");
}

#[tokio::test]
async fn a_real_name_server_leads_to_servers_in_order() {
    let Some((_server, addr)) = start() else {
        eprintln!("skipped: dnsmasq is not installed (Debian: dnsmasq-base)");
        return;
    };
    let mut config = Config::default();
    config.prefer_ipv6 = false;
    let dns = Arc::new(SystemDns::servers(&config, &[addr]));
    let resolver = Resolver::with_dns(&config, dns, Some(Rng::from_seed(1)));
    let with = |host: &str| Query {
        supported: vec![Transport::Udp, Transport::Tcp, Transport::Tls],
        ..Query::new(host)
    };
    let ways = async |query: Query| {
        let found = resolver.targets(query).await.unwrap();
        found.iter().map(|t| format!("{} {}", t.transport, t.addr)).collect::<Vec<_>>()
    };

    let all = ways(with("example.test")).await;
    let v4: Vec<_> = all.iter().filter(|way| !way.contains('[')).collect();
    assert_eq!(
        v4,
        ["TLS 127.0.0.1:5061", "TCP 127.0.0.1:5070", "TCP 127.0.0.2:5080", "UDP 127.0.0.1:5060"]
    );
    assert!(all.iter().any(|way| way == "TLS [::1]:5061"), "{all:?}");
    assert_eq!(ways(with("srv-only.test")).await, ["TCP 127.0.0.2:5090"]);
    assert_eq!(ways(with("plain.test")).await, ["UDP 127.0.0.3:5060"]);
    assert_eq!(ways(with("alias.test")).await, ["UDP 127.0.0.3:5060"]);
    let secure = Query { secure: true, ..with("plain.test") };
    assert_eq!(ways(secure).await, ["TLS 127.0.0.3:5061"]);
    let port = Query { port: Some(9), ..with("two.example.test") };
    assert_eq!(ways(port).await, ["UDP 127.0.0.2:9"]);
    let error = resolver.targets(with("absent.test")).await.unwrap_err();
    assert!(matches!(error, ResolveError::NotFound { .. }), "{error}");
}

#[tokio::test]
async fn a_dead_name_server_is_given_up_in_time() {
    let dead = UdpSocket::bind("127.0.0.1:0").unwrap();
    let mut config = Config::default();
    config.resolve_timeout = Duration::from_millis(300);
    let dns = Arc::new(SystemDns::servers(&config, &[dead.local_addr().unwrap()]));
    let resolver = Resolver::with_dns(&config, dns, None);
    let before = std::time::Instant::now();
    let error = resolver.targets(Query::new("example.test")).await.unwrap_err();
    assert!(before.elapsed() < Duration::from_secs(3));
    let kind = matches!(error, ResolveError::Timeout { .. } | ResolveError::ServerFailure { .. });
    assert!(kind, "{error}");
}
