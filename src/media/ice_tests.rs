//! Two media planes on one machine that find each other by ICE: gathering, checks, keys and sound on
//! real sockets. What signalling would carry is carried by hand.

use super::ice::{IceServer, IceServerKind};
use super::worker::Workers;
use super::*;
use crate::Config;
use std::sync::Arc;
use std::time::Duration;
use tiny_media::{AudioFormat, Fmtp, Sink, Source, StreamCodec};
use tiny_net::ice::{
    Candidate, CandidateAddress, CandidateKind, CandidateTransport, IceReport, PairReport, Policy,
    TcpCandidates,
};
use tiny_sak::{Rng, Transport};
use tokio::sync::{mpsc, oneshot};

const PATIENCE: Duration = Duration::from_secs(20);
const FORMAT: AudioFormat = AudioFormat::new(8000, 1);

struct Tone(u32);
impl Source for Tone {
    fn format(&self) -> AudioFormat {
        FORMAT
    }
    fn read(&mut self, out: &mut [i16]) -> usize {
        for sample in out.iter_mut() {
            self.0 += 1;
            *sample = if (self.0 / 10).is_multiple_of(2) { 8000 } else { -8000 };
        }
        out.len()
    }
}

/// Counts the samples that are loud.
struct Ear(mpsc::UnboundedSender<usize>);
impl Sink for Ear {
    fn format(&self) -> AudioFormat {
        FORMAT
    }
    fn write(&mut self, samples: &[i16]) {
        let _ = self.0.send(samples.iter().filter(|s| s.unsigned_abs() > 2000).count());
    }
}

struct End {
    plane: Workers,
    notices: mpsc::UnboundedReceiver<MediaNotice>,
    ports: MediaPorts,
    // To the ear, and from it.
    heard: (mpsc::UnboundedSender<usize>, mpsc::UnboundedReceiver<usize>),
    selected: Vec<PairReport>,
    secured: bool,
}

fn setup(components: u16, controlling: bool) -> IceSetup {
    let config = tiny_net::ice::Config { components, ..Default::default() };
    IceSetup { config, servers: Vec::new(), controlling, all_networks: false }
}

impl End {
    fn open(seed: u64, setup: IceSetup) -> Self {
        Self::open_with(seed, setup, tiny_net::Config::default())
    }

    fn open_with(seed: u64, setup: IceSetup, net: tiny_net::Config) -> Self {
        let (told, notices) = mpsc::unbounded_channel();
        let config = Config { media_workers: 1, net, ..Config::default() };
        let mut plane = Workers::start(&config, Rng::from_seed(seed), told).unwrap();
        let ports = plane.open_ice("127.0.0.1".parse().unwrap(), setup).unwrap();
        let (heard, selected) = (mpsc::unbounded_channel(), Vec::new());
        Self { plane, notices, ports, heard, selected, secured: false }
    }

    /// Waits for something that media tells; everything else is taken note of.
    async fn until<T>(&mut self, mut wanted: impl FnMut(&Self, &MediaReport) -> Option<T>) -> T {
        let wait = async {
            loop {
                let report = self.notices.recv().await.expect("a plane that lives").report;
                match &report {
                    MediaReport::Ice(IceNotice::Selected { pair, .. }) => {
                        self.selected.push((**pair).clone());
                    }
                    MediaReport::Ice(IceNotice::Failed(why, _)) => panic!("{why}"),
                    MediaReport::Secured(_) => self.secured = true,
                    MediaReport::NoKeys(why) => panic!("{why}"),
                    _ => {}
                }
                if let Some(found) = wanted(self, &report) {
                    return found;
                }
            }
        };
        tokio::time::timeout(PATIENCE, wait).await.expect("in time")
    }

    async fn gathered(&mut self) -> LocalIce {
        self.until(|_, report| match report {
            MediaReport::Ice(IceNotice::Gathered(local)) => Some((**local).clone()),
            _ => None,
        })
        .await
    }

    fn ice(&mut self, command: IceCommand) {
        self.plane.tell(self.ports.id, MediaCommand::Ice(command));
    }

    fn start(&mut self, mux: bool, security: Security) {
        let registry = tiny_dav::builtin_registry();
        let codec = registry.codec("PCMU", 8000).unwrap().clone();
        let codec = StreamCodec::new(codec, 0, Fmtp(String::new()));
        let mut config = StreamConfig::new(codec, 0, "me");
        config.rtcp_mux = mux;
        let (source, sink) = (Box::new(Tone(0)), Box::new(Ear(self.heard.0.clone())));
        let audio = OpenAudio { source, sink, recorder: None, again: None };
        self.plane.start(self.ports.id, config, security, audio);
    }

    async fn report(&mut self) -> IceReport {
        let (reply, answer) = oneshot::channel();
        self.ice(IceCommand::Report(reply));
        answer.await.unwrap().unwrap()
    }

    /// So many loud samples from now on.
    async fn hears(&mut self, mut samples: usize) {
        while self.heard.1.try_recv().is_ok() {}
        while samples > 0 {
            let loud = tokio::time::timeout(PATIENCE, self.heard.1.recv()).await;
            samples = samples.saturating_sub(loud.expect("something is heard").unwrap());
        }
    }

    async fn closed(&mut self) -> Option<CallStats> {
        self.plane.close(self.ports.id);
        self.until(|_, report| match report {
            MediaReport::Closed(stats) => Some(stats.as_deref().copied()),
            _ => None,
        })
        .await
    }
}

fn peer(local: &LocalIce) -> IceCommand {
    IceCommand::Peer(Box::new(IcePeer {
        ufrag: local.ufrag.clone(),
        password: local.password.clone(),
        lite: local.lite,
        options: local.options,
        pace: None,
        candidates: local.candidates.clone(),
        done: local.done,
        chosen: Vec::new(),
    }))
}

fn sdes() -> [Security; 2] {
    use tiny_rtp::srtp::sdes;
    let config = sdes::Config::default();
    let offered = sdes::offer(&config, &mut Rng::from_seed(1));
    let lines: Vec<String> = offered.iter().map(ToString::to_string).collect();
    let lines = lines.iter().map(String::as_str);
    let theirs = sdes::answer(lines, &config, &mut Rng::from_seed(2)).unwrap();
    let answer = theirs.local.to_string();
    let ours = sdes::accept(&offered, [answer.as_str()], &config).unwrap();
    [ours, theirs].map(|agreement| Security::Sdes(Box::new(SdesKeys { agreement, moved: false })))
}

#[cfg(feature = "dtls")]
fn dtls(mux: bool) -> [Security; 2] {
    use tiny_net::dtls::{Identity, Role};
    let identities = [(); 2].map(|()| Identity::generate().unwrap());
    [0, 1].map(|end| {
        let agreement = DtlsAgreement {
            role: [Role::Passive, Role::Active][end],
            fingerprints: vec![identities[1 - end].fingerprint()],
            remote_tls_id: None,
            number: 1,
        };
        let (identity, config) = (identities[end].clone(), Arc::default());
        Security::Dtls(Box::new(DtlsKeys { identity, config, agreement, mux }))
    })
}

async fn exchange(ends: &mut [End; 2]) {
    let locals = [ends[0].gathered().await, ends[1].gathered().await];
    for (end, local) in ends.iter_mut().zip([&locals[1], &locals[0]]) {
        end.ice(peer(local));
    }
}

/// From gathering to sound in both directions.
async fn talk(mut ends: [End; 2], mux: bool, security: [Security; 2]) -> [End; 2] {
    exchange(&mut ends).await;
    for (end, security) in ends.iter_mut().zip(security) {
        end.start(mux, security);
    }
    for end in &mut ends {
        end.hears(4000).await;
    }
    ends
}

/// What is said about the other branch of the same offer.
async fn join(end: &mut End, offer: &LocalIce, security: Security) -> LocalIce {
    let local = end.gathered().await;
    end.ice(peer(offer));
    end.start(true, security);
    local
}

fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(test);
}

#[test]
fn two_planes_find_each_other_and_talk_under_keys_of_the_description() {
    run(async {
        for components in [1, 2] {
            let ends =
                [End::open(1, setup(components, true)), End::open(2, setup(components, false))];
            let mut ends = talk(ends, components == 1, sdes()).await;
            let reports = [ends[0].report().await, ends[1].report().await];
            for (at, end) in ends.iter_mut().enumerate() {
                let used: Vec<_> = reports[at].pairs.iter().filter(|p| p.selected).collect();
                assert_eq!(used.len(), usize::from(components), "{:?}", reports[at]);
                for pair in used {
                    assert_eq!(pair.local_kind, CandidateKind::Host);
                    let other = reports[1 - at].pairs.iter();
                    let mut other = other.filter(|p| p.selected && p.component == pair.component);
                    assert_eq!(
                        other.next().map(|p| (p.local, p.remote)),
                        Some((pair.remote, pair.local))
                    );
                }
                let stats = end.closed().await.expect("a stream that ran");
                assert!(!end.selected.is_empty());
                assert!(stats.rx_packets >= 20);
            }
        }
    });
}

#[cfg(feature = "dtls")]
#[test]
fn two_planes_find_each_other_and_shake_hands_over_the_path() {
    run(async {
        for components in [1, 2] {
            let ends =
                [End::open(3, setup(components, true)), End::open(4, setup(components, false))];
            let ends = talk(ends, components == 1, dtls(components == 1)).await;
            for mut end in ends {
                let _ = end.closed().await.expect("a stream that ran");
                assert!(end.secured);
            }
        }
    });
}

#[test]
fn a_lite_agent_only_answers_and_is_heard() {
    run(async {
        let mut lite = setup(1, false);
        lite.config.lite = true;
        let mut ends = talk([End::open(5, setup(1, true)), End::open(6, lite)], true, sdes()).await;
        let report = ends[1].report().await;
        assert!(!report.controlling && report.pairs.iter().any(|p| p.selected));
    });
}

#[test]
fn a_restart_in_the_midst_of_sound_brings_new_credentials_and_the_sound_goes_on() {
    run(async {
        let mut ends =
            talk([End::open(7, setup(1, true)), End::open(8, setup(1, false))], true, sdes()).await;
        let before = ends[0].selected.len();
        for end in &mut ends {
            end.ice(IceCommand::Restart);
        }
        let locals = [ends[0].gathered().await, ends[1].gathered().await];
        assert!(locals[0].done && !locals[0].candidates.is_empty());
        for (end, local) in ends.iter_mut().zip([&locals[1], &locals[0]]) {
            end.ice(peer(local));
        }
        ends[0].until(|end, _| (end.selected.len() > before).then_some(())).await;
        for end in &mut ends {
            end.hears(4000).await;
        }
    });
}

#[test]
fn nothing_is_sent_to_the_address_of_the_description_but_to_a_peer_without_ice() {
    run(async {
        let mut end = End::open(9, setup(1, true));
        end.gathered().await;
        let socket = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let registry = tiny_dav::builtin_registry();
        let codec =
            StreamCodec::new(registry.codec("PCMU", 8000).unwrap().clone(), 0, Fmtp(String::new()));
        let mut config = StreamConfig::new(codec, 0, "me");
        config.remote_rtp = Some(socket.local_addr().unwrap());
        config.rtcp_mux = true;
        let (source, sink) = (Box::new(Tone(0)), Box::new(Ear(end.heard.0.clone())));
        let audio = OpenAudio { source, sink, recorder: None, again: None };
        end.plane.start(end.ports.id, config, Security::Plain, audio);
        // Packets are made, and lost for want of a path.
        while end.report().await.counters.unsent < 10 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let mut data = [0; 2048];
        assert!(socket.try_recv_from(&mut data).is_err());
        end.ice(IceCommand::NoPeer);
        let (_, from) =
            tokio::time::timeout(PATIENCE, socket.recv_from(&mut data)).await.unwrap().unwrap();
        assert_eq!(from, end.ports.rtp);
    });
}

#[test]
fn another_branch_of_a_fork_takes_the_place_of_the_first_with_our_credentials_as_they_were() {
    run(async {
        let [ours, theirs] = sdes();
        let mut offerer = End::open(10, setup(1, true));
        let offer = offerer.gathered().await;
        let mut first = End::open(11, setup(1, false));
        let local = join(&mut first, &offer, theirs.clone()).await;
        offerer.ice(peer(&local));
        offerer.start(true, ours);
        offerer.hears(2000).await;
        let mut second = End::open(12, setup(1, false));
        let local = join(&mut second, &offer, theirs).await;
        offerer.ice(peer(&local));
        second.hears(2000).await;
        let report = offerer.report().await;
        let used = report.pairs.iter().find(|p| p.selected).unwrap();
        assert_eq!(used.remote, second.ports.rtp);
        assert_eq!(report.local[0].ufrag.as_ref(), Some(&offer.ufrag));
    });
}

#[test]
fn sound_goes_over_tcp_where_nothing_else_is_told() {
    run(async {
        let mut ends = [true, false].map(|controlling| {
            let mut setup = setup(1, controlling);
            setup.config.tcp = TcpCandidates::ActiveAndPassive;
            End::open(13 + u64::from(controlling), setup)
        });
        let mut locals = [ends[0].gathered().await, ends[1].gathered().await];
        for local in &mut locals {
            assert_eq!(local.candidates.len(), 3);
            local.candidates.retain(|c| c.transport != CandidateTransport::Udp);
        }
        for ((end, local), security) in ends.iter_mut().zip([&locals[1], &locals[0]]).zip(sdes()) {
            end.ice(peer(local));
            end.start(true, security);
        }
        for end in &mut ends {
            end.hears(4000).await;
        }
    });
}

#[test]
fn a_name_that_hides_no_address_is_not_looked_up_for_a_peer() {
    run(async {
        let mut ends = [End::open(22, setup(1, true)), End::open(23, setup(1, false))];
        let mut local = ends[1].gathered().await;
        for candidate in &mut local.candidates {
            let port = candidate.address.port();
            candidate.address = CandidateAddress::Name("intranet.example".into(), port);
        }
        ends[0].ice(peer(&local));
        let report = ends[0].report().await;
        assert_eq!(report.counters.candidates_refused, 1);
        assert!(report.pairs.is_empty());
    });
}

#[test]
fn every_network_of_the_machine_has_candidates_with_a_pair_of_ports_each() {
    run(async {
        let mut setup = setup(2, true);
        setup.all_networks = true;
        let mut end = End::open(24, setup);
        let local = end.gathered().await;
        for interface in tiny_net::interfaces() {
            let of = |c: &&Candidate| c.address.ip().is_some_and(|a| a.ip() == interface.ip);
            assert_eq!(local.candidates.iter().filter(of).count(), 2, "{interface:?}");
        }
        assert_eq!(local.default_rtp, end.ports.rtp);
    });
}

#[test]
fn candidates_that_come_later_find_the_path_too() {
    run(async {
        let mut ends = [End::open(25, setup(1, true)), End::open(26, setup(1, false))];
        let locals = [ends[0].gathered().await, ends[1].gathered().await];
        for ((end, local), security) in ends.iter_mut().zip([&locals[1], &locals[0]]).zip(sdes()) {
            let (candidates, done) = (Vec::new(), false);
            end.ice(peer(&LocalIce { candidates, done, ..local.clone() }));
            end.start(true, security);
        }
        for (end, local) in ends.iter_mut().zip([&locals[1], &locals[0]]) {
            end.ice(IceCommand::Add(local.candidates.clone()));
            end.ice(IceCommand::End);
        }
        for end in &mut ends {
            end.hears(2000).await;
        }
    });
}

/// Answers each question with another outer address; a silent one only listens.
async fn stun_server(silent: bool) -> IceServer {
    use tiny_net::stun::{Builder, Class, Message, attr, method};
    let socket = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let port = socket.local_addr().unwrap().port();
    tokio::spawn(async move {
        let mut data = [0; 512];
        while let Ok((length, from)) = socket.recv_from(&mut data).await {
            let Ok(message) = Message::parse(&data[..length]) else { continue };
            let outer = SocketAddr::new("203.0.113.7".parse().unwrap(), from.port());
            let answer = Builder::new(Class::Success, method::BINDING, message.id())
                .xor_address(attr::XOR_MAPPED_ADDRESS, outer)
                .fingerprint()
                .finish();
            if !silent {
                let _ = socket.send_to(&answer, from).await;
            }
        }
    });
    IceServer { kind: IceServerKind::Stun, host: "localhost".into(), port }
}

#[test]
fn a_server_by_name_tells_the_outer_address_which_is_the_default() {
    run(async {
        let mut setup = setup(2, true);
        setup.servers = vec![stun_server(false).await];
        let mut end = End::open(15, setup);
        let local = end.gathered().await;
        assert!(local.done);
        assert_eq!(local.candidates.len(), 4, "{:?}", local.candidates);
        let outer =
            |inner: SocketAddr| SocketAddr::new("203.0.113.7".parse().unwrap(), inner.port());
        assert_eq!(local.default_rtp, outer(end.ports.rtp));
        assert_eq!(local.default_rtcp, Some(outer(end.ports.rtcp)));
    });
}

#[test]
fn a_silent_server_is_waited_for_as_long_as_patience_lasts() {
    run(async {
        let mut setup = setup(1, true);
        setup.servers = vec![stun_server(true).await];
        setup.config.gather_patience = Duration::from_millis(200);
        let mut end = End::open(16, setup);
        let local = end.gathered().await;
        assert!(!local.done);
        assert_eq!((local.candidates.len(), local.default_rtp), (1, end.ports.rtp));
    });
}

#[test]
fn who_shows_only_relays_and_has_none_sends_nothing_to_a_peer_without_ice() {
    run(async {
        let mut setup = setup(1, true);
        setup.config.policy = Policy::RelayOnly;
        let mut end = End::open(17, setup);
        let local = end.gathered().await;
        assert!(local.candidates.is_empty() && local.default_rtp.ip().is_unspecified());
        end.ice(IceCommand::NoPeer);
        loop {
            let report = end.notices.recv().await.unwrap().report;
            if matches!(report, MediaReport::Ice(IceNotice::Failed(..))) {
                break;
            }
        }
    });
}

// Only Linux has all of 127.0.0.0/8.
#[cfg(target_os = "linux")]
#[test]
fn a_stream_whose_address_goes_away_is_heard_from_the_new_one() {
    run(async {
        let ends = [End::open(18, setup(1, true)), End::open(19, setup(1, false))];
        let mut ends = talk(ends, true, sdes()).await;
        let (old, id) = (ends[0].ports.rtp, ends[0].ports.id);
        let new: IpAddr = "127.0.0.2".parse().unwrap();
        let ports = ends[0].plane.rebind(id, new).unwrap();
        ends[0].ice(IceCommand::Network(vec![new]));
        let moved = |end: &End| end.selected.last().is_some_and(|p| p.remote == ports.rtp);
        ends[1].until(|end, _| moved(end).then_some(())).await;
        for end in &mut ends {
            end.hears(4000).await;
        }
        let report = ends[0].report().await;
        let used = report.pairs.iter().find(|p| p.selected).unwrap();
        assert_eq!(used.local, ports.rtp);
        assert!(report.local.iter().all(|c| c.address.ip() != Some(old)));
    });
}

/// A running coturn, with a folder of its own that goes with it.
#[cfg(feature = "tls")]
struct Coturn {
    child: std::process::Child,
    dir: std::path::PathBuf,
    ports: [u16; 2],
}

#[cfg(feature = "tls")]
impl Drop for Coturn {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

#[cfg(feature = "tls")]
fn coturn(name: &str) -> Option<Coturn> {
    let dir = format!("tiny-ua-coturn-{name}-{}", std::process::id());
    let dir = std::env::temp_dir().join(dir);
    std::fs::create_dir_all(&dir).unwrap();
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    std::fs::write(dir.join("cert.pem"), made.cert.pem()).unwrap();
    std::fs::write(dir.join("key.pem"), made.signing_key.serialize_pem()).unwrap();
    let free = || std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let ports = [free(), free()];
    let arguments = format!(
        "-n --listening-ip 127.0.0.1 --relay-ip 127.0.0.1 --listening-port {} --tls-listening-port {} \
         --lt-cred-mech --user lab:labsecret --realm lab.example --fingerprint --cert cert.pem \
         --pkey key.pem --no-cli --allow-loopback-peers --no-dtls --log-file stdout --simple-log \
         --pidfile turn.pid --userdb turn.sqlite",
        ports[0], ports[1]
    );
    let mut command = std::process::Command::new("turnserver");
    command.args(arguments.split_whitespace()).current_dir(&dir);
    command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
    let child = command.spawn().ok()?;
    let coturn = Coturn { child, dir, ports };
    for port in ports {
        let up = (0..500).any(|_| {
            let up = std::net::TcpStream::connect(("127.0.0.1", port)).is_ok();
            if !up {
                std::thread::sleep(Duration::from_millis(20));
            }
            up
        });
        assert!(up, "coturn listens at {port}");
    }
    Some(coturn)
}

#[cfg(feature = "tls")]
#[test]
fn relays_over_udp_tcp_and_tls_carry_the_sound_of_those_who_show_no_address() {
    let Some(coturn) = coturn("sound") else {
        return eprintln!("skipped: coturn is not installed");
    };
    run(async {
        for transport in [Transport::Udp, Transport::Tcp, Transport::Tls] {
            // Two components, so that two relays at one server are two connections.
            let components = if transport == Transport::Tls { 1 } else { 2 };
            let ends = [true, false].map(|controlling| {
                let mut setup = setup(components, controlling);
                setup.config.policy = Policy::RelayOnly;
                let kind = IceServerKind::Turn {
                    transport,
                    username: "lab".into(),
                    password: "labsecret".into(),
                };
                let port = coturn.ports[usize::from(transport == Transport::Tls)];
                setup.servers = vec![IceServer { kind, host: "localhost".into(), port }];
                let mut net = tiny_net::Config::default();
                let root = tiny_net::tls::Material::file(coturn.dir.join("cert.pem"));
                net.tls.roots = tiny_net::tls::Roots::Only(vec![root]);
                End::open_with(20 + u64::from(controlling), setup, net)
            });
            let mut ends = talk(ends, components == 1, sdes()).await;
            let report = ends[0].report().await;
            let used: Vec<_> = report.pairs.iter().filter(|p| p.selected).collect();
            assert_eq!(used.len(), usize::from(components), "{transport}");
            let relayed = CandidateKind::Relayed;
            let both = |p: &&PairReport| (p.local_kind, p.remote_kind) == (relayed, relayed);
            assert!(used.iter().all(both), "{transport} {report:?}");
        }
    });
}

/// From a stream without ICE to an address, and back.
#[cfg(feature = "tls")]
fn start_plain(end: &mut End, remote: std::net::SocketAddr, security: Security) {
    let registry = tiny_dav::builtin_registry();
    let codec = registry.codec("PCMU", 8000).unwrap().clone();
    let mut config = StreamConfig::new(StreamCodec::new(codec, 0, Fmtp(String::new())), 0, "me");
    config.rtcp_mux = true;
    (config.remote_rtp, config.remote_rtcp) = (Some(remote), Some(remote));
    let (source, sink) = (Box::new(Tone(0)), Box::new(Ear(end.heard.0.clone())));
    let audio = OpenAudio { source, sink, recorder: None, again: None };
    end.plane.start(end.ports.id, config, security, audio);
}

#[cfg(feature = "tls")]
#[test]
fn a_peer_without_ice_is_spoken_with_through_the_relay_by_who_shows_nothing_else() {
    // A relay is all that there is to show by policy, or where host addresses are hidden.
    let Some(coturn) = coturn("plain") else {
        return eprintln!("skipped: coturn is not installed");
    };
    // The peer is where it says, or speaks from another port than that, as behind a NAT.
    let relay = Policy::RelayOnly;
    let cases = [(relay, false), (relay, true), (Policy::All, false)];
    for (at, (policy, elsewhere)) in cases.into_iter().enumerate() {
        run(async {
            let mut setup = setup(1, true);
            setup.config.policy = policy;
            setup.config.hide_addresses = policy == Policy::All;
            let (username, password) = ("lab".into(), "labsecret".into());
            let kind = IceServerKind::Turn { transport: Transport::Udp, username, password };
            let (host, port) = ("127.0.0.1".into(), coturn.ports[0]);
            setup.servers = vec![IceServer { kind, host, port }];
            let mut hidden = End::open(40 + at as u64, setup);
            let mut plain = End::open(50 + at as u64, self::setup(1, false));
            plain.plane.close(plain.ports.id);
            plain.ports = plain.plane.open("127.0.0.1".parse().unwrap()).unwrap();
            let local = hidden.gathered().await;
            // A hidden host is told by its name, which is no address.
            let addresses: Vec<_> = local.candidates.iter().map(|c| c.address.ip()).collect();
            assert_eq!(addresses.len(), if policy == relay { 1 } else { 2 }, "{addresses:?}");
            let told: Vec<_> = addresses.into_iter().flatten().collect();
            assert_eq!(told, [local.default_rtp]);
            let mut said = plain.ports.rtp;
            if elsewhere {
                said.set_port(9);
            }
            let [ours, theirs] = sdes();
            hidden.ice(IceCommand::NoPeer);
            start_plain(&mut hidden, said, ours);
            start_plain(&mut plain, local.default_rtp, theirs);
            for end in [&mut hidden, &mut plain] {
                end.hears(4000).await;
            }
            let report = hidden.report().await;
            assert_eq!(report.pairs.len(), 1, "{report:?}");
            let (pair, relayed) = (&report.pairs[0], CandidateKind::Relayed);
            assert_eq!((pair.local_kind, pair.remote), (relayed, plain.ports.rtp), "{report:?}");
            // No check went out.
            assert_eq!((pair.sent, pair.selected), (0, true));
        });
    }
}
