//! The TURN client and the ICE agent against a relay that is not ours: coturn, over UDP, TCP and TLS.
#![cfg(feature = "tls")]

use bytes::Bytes;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tiny_net::ice::{
    self, Agent, CandidateKind, CandidateTransport, HostAddress, Network, Peer, Policy, State,
};
use tiny_net::stun::{Builder, Class, Input, Transmit, method};
use tiny_net::tls::{Material, Roots};
use tiny_net::turn::{self, Client, Event, Failure, Family, Server};
use tiny_net::{Config, NetEvent, SipTransports};
use tiny_sak::{Output, Rng, Transport};

const MISSING: &str = "skipped: coturn (turnserver) or openssl is not installed";

/// A running coturn, with a folder of its own that goes with it.
struct Coturn {
    child: Child,
    dir: PathBuf,
    plain: SocketAddr,
    tls: SocketAddr,
}

impl Drop for Coturn {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

fn free_port() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

fn coturn(test: &str) -> Option<Coturn> {
    let dir = std::env::temp_dir().join(format!("tiny-net-coturn-{test}-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let request = "req -x509 -newkey rsa:2048 -nodes -keyout key.pem -out cert.pem -days 2 -subj /CN=lab \
        -addext subjectAltName=DNS:turn.example -addext basicConstraints=CA:FALSE";
    let quiet = |mut command: Command| {
        command.current_dir(&dir).stdout(Stdio::null()).stderr(Stdio::null());
        command
    };
    let mut openssl = quiet(Command::new("openssl"));
    if !openssl.args(request.split_whitespace()).status().ok()?.success() {
        return None;
    }
    let (plain, tls) = (free_port(), free_port());
    let arguments = format!(
        "-n --listening-ip 127.0.0.1 --relay-ip 127.0.0.1 --listening-port {} --tls-listening-port {} \
         --lt-cred-mech --user lab:labsecret --realm lab.example --fingerprint --cert cert.pem \
         --pkey key.pem --no-cli --allow-loopback-peers --no-dtls --log-file stdout --simple-log \
         --pidfile turn.pid --userdb turn.sqlite",
        plain.port(),
        tls.port()
    );
    let mut turnserver = quiet(Command::new("turnserver"));
    let child = turnserver.args(arguments.split_whitespace()).spawn().ok()?;
    let coturn = Coturn { child, dir, plain, tls };
    for addr in [plain, tls] {
        let up = (0..250).any(|_| {
            let up = std::net::TcpStream::connect(addr).is_ok();
            if !up {
                std::thread::sleep(Duration::from_millis(20));
            }
            up
        });
        assert!(up, "coturn listens at {addr}");
    }
    // Its UDP comes later than its TCP.
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    let ask = Builder::new(Class::Request, method::BINDING, [7; 12]).fingerprint().finish();
    let up = (0..100).any(|_| {
        let _ = socket.send_to(&ask, plain);
        let answered = socket.recv(&mut [0; 200]).is_ok();
        if !answered {
            std::thread::sleep(Duration::from_millis(20));
        }
        answered
    });
    assert!(up, "coturn answers at {plain}");
    Some(coturn)
}

impl Coturn {
    fn network(&self) -> SipTransports {
        let mut config = Config::default();
        config.tls.roots = Roots::Only(vec![Material::file(self.dir.join("cert.pem"))]);
        let mut net = SipTransports::new(config);
        net.expect_name(Transport::Tls, self.tls, "turn.example");
        net
    }

    fn server(&self, transport: Transport, password: &str) -> Server {
        let addr = if transport == Transport::Tls { self.tls } else { self.plain };
        Server { transport, addr, username: "lab".into(), password: password.into() }
    }
}

fn carry(net: &mut SipTransports, transmit: Transmit) {
    match transmit {
        Transmit::Send { flow, data } => net.send(flow, data),
        Transmit::Close { flow } => net.close(flow),
        _ => unreachable!("there are two kinds"),
    }
}

async fn wait(net: &mut SipTransports, until: Option<Instant>) -> Option<NetEvent> {
    net.flush();
    let patience =
        until.map_or(Duration::from_secs(1), |at| at.saturating_duration_since(Instant::now()));
    tokio::time::timeout(patience.min(Duration::from_secs(1)), net.recv()).await.ok()
}

/// Runs a client and a peer that sends everything back, until the client tells something.
async fn next(net: &mut SipTransports, client: &mut Client, peer: SocketAddr) -> Event {
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(10) {
        let deadline = loop {
            match client.poll(Instant::now()) {
                Output::Transmit(transmit) => carry(net, transmit),
                Output::Event(event) => return event,
                Output::Timeout(at) => break at,
            }
        };
        let input = match wait(net, deadline).await {
            Some(NetEvent::Datagram { flow, data }) if flow.local == peer => {
                net.send(flow, data);
                continue;
            }
            Some(event) => Input::Net(event),
            None => Input::Timeout,
        };
        client.handle(Instant::now(), &input);
    }
    panic!("the client told nothing in 10 s");
}

#[tokio::test]
async fn coturn_relays_over_udp_tcp_and_tls() {
    let Some(coturn) = coturn("client") else { return eprintln!("{MISSING}") };
    for transport in [Transport::Udp, Transport::Tcp, Transport::Tls] {
        let mut net = coturn.network();
        let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
        let peer = net.bind(Transport::Udp, any).unwrap();
        let local =
            if transport == Transport::Udp { net.bind(transport, any).unwrap() } else { any };
        let servers = vec![coturn.server(transport, "labsecret")];
        let rng = Rng::from_os().unwrap();
        let mut client = Client::new(turn::Config::default(), Family::V4, local, servers, rng);
        client.allocate(Instant::now());
        let event = next(&mut net, &mut client, peer).await;
        let Event::Allocated { relayed, .. } = event else { panic!("{transport}: {event:?}") };
        assert_eq!(relayed.ip(), any.ip());
        for text in ["by indication", "by channel, padded to four"] {
            client.send(Instant::now(), peer, text.as_bytes()).unwrap();
            let expected = Event::Data { peer, data: Bytes::from_static(text.as_bytes()) };
            assert_eq!(next(&mut net, &mut client, peer).await, expected, "{transport}");
            client.bind(Instant::now(), peer).unwrap();
            // The answer to the binding brings no event: it is waited for.
            let begun = Instant::now();
            while client.channel(Instant::now(), peer).is_none() {
                assert!(begun.elapsed() < Duration::from_secs(5), "{transport}: a channel");
                while let Output::Transmit(transmit) = client.poll(Instant::now()) {
                    carry(&mut net, transmit);
                }
                let later = Some(Instant::now() + Duration::from_millis(100));
                let event = wait(&mut net, later).await;
                client.handle(Instant::now(), &event.map_or(Input::Timeout, Input::Net));
            }
        }
        let rng = Rng::from_os().unwrap();
        let wrong = vec![coturn.server(transport, "guess")];
        let local =
            if transport == Transport::Udp { net.bind(transport, any).unwrap() } else { any };
        client.close(Instant::now());
        while let Output::Transmit(transmit) = client.poll(Instant::now()) {
            carry(&mut net, transmit);
        }
        let mut net = coturn.network();
        let local =
            if transport == Transport::Udp { net.bind(transport, any).unwrap() } else { local };
        let mut client = Client::new(turn::Config::default(), Family::V4, local, wrong, rng);
        client.allocate(Instant::now());
        let event = next(&mut net, &mut client, peer).await;
        assert_eq!(event, Event::Failed(Failure::Credentials), "{transport}");
    }
}

#[tokio::test]
async fn two_agents_that_tell_no_address_of_their_own_meet_at_coturn() {
    let Some(coturn) = coturn("agents") else { return eprintln!("{MISSING}") };
    let mut net = coturn.network();
    let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
    let mut agents = Vec::new();
    for controlling in [true, false] {
        let config = ice::Config {
            policy: Policy::RelayOnly,
            turn_servers: vec![coturn.server(Transport::Udp, "labsecret")],
            ..ice::Config::default()
        };
        let mut agent = Agent::new(config, controlling, Rng::from_os().unwrap());
        let addr = net.bind(Transport::Udp, any).unwrap();
        let (transport, network) = (CandidateTransport::Udp, Network::default());
        let now = Instant::now();
        assert!(
            agent
                .add_local(now, HostAddress { component: 1, addr, transport, network, name: None })
        );
        agent.gather(now);
        agents.push((agent, addr, Vec::new()));
    }
    for side in 0..2 {
        let (agent, ..) = &agents[side];
        let (ufrag, password) = agent.credentials();
        let (ufrag, password) = (ufrag.to_owned(), password.clone());
        let peer = Peer { ufrag, password, lite: false, options: agent.options(), pace: None };
        agents[1 - side].0.set_peer(Instant::now(), peer);
    }
    let begun = Instant::now();
    let mut said = false;
    while agents.iter().any(|(_, _, heard)| heard.is_empty()) {
        assert!(begun.elapsed() < Duration::from_secs(15), "both hear each other");
        let mut deadline: Option<Instant> = None;
        for side in 0..2 {
            loop {
                match agents[side].0.poll(Instant::now()) {
                    Output::Transmit(transmit) => carry(&mut net, transmit),
                    Output::Event(ice::Event::Candidate(candidate)) => {
                        assert_eq!(candidate.kind, CandidateKind::Relayed);
                        agents[1 - side].0.add_remote(Instant::now(), candidate).unwrap();
                    }
                    Output::Event(ice::Event::Data { data, .. }) => agents[side].2.push(data),
                    Output::Event(_) => {}
                    Output::Timeout(at) => {
                        deadline = [deadline, at].into_iter().flatten().min();
                        break;
                    }
                }
            }
        }
        if !said && agents.iter().all(|(agent, ..)| agent.state() == State::Completed) {
            said = true;
            for (agent, ..) in &mut agents {
                agent.send(Instant::now(), 1, b"\x80 voice").unwrap();
            }
            continue;
        }
        let event = wait(&mut net, deadline).await;
        let local = event.as_ref().map(|e| e.flow().local);
        let input = event.map_or(Input::Timeout, Input::Net);
        for (agent, addr, _) in &mut agents {
            if local.is_none_or(|local| local == *addr) {
                agent.handle(Instant::now(), input.clone());
            }
        }
    }
    for (agent, ..) in &agents {
        let pair = agent.selected(1).unwrap();
        assert_eq!(
            (pair.local_kind, pair.remote_kind),
            (CandidateKind::Relayed, CandidateKind::Relayed)
        );
    }
}
