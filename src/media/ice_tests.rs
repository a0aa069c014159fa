//! Two media planes on one machine that find each other by ICE: gathering, checks, keys and sound on
//! real sockets. What signalling would carry is carried by hand.

use super::worker::Workers;
use super::*;
use crate::Config;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;
use tiny_media::{AudioFormat, Fmtp, Sink, Source, StreamCodec};
use tiny_net::ice::{CandidateKind, IceReport, PairReport};
use tiny_sak::Rng;
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
struct Ear(Arc<AtomicU64>);
impl Sink for Ear {
    fn format(&self) -> AudioFormat {
        FORMAT
    }
    fn write(&mut self, samples: &[i16]) {
        let loud = samples.iter().filter(|s| s.unsigned_abs() > 2000).count();
        self.0.fetch_add(loud as u64, Relaxed);
    }
}

struct End {
    plane: Workers,
    notices: mpsc::UnboundedReceiver<MediaNotice>,
    ports: MediaPorts,
    heard: Arc<AtomicU64>,
    selected: Vec<PairReport>,
    secured: bool,
}

fn setup(components: u16, controlling: bool) -> IceSetup {
    let config = tiny_net::ice::Config { components, ..Default::default() };
    IceSetup { config, servers: Vec::new(), controlling, all_networks: false }
}

impl End {
    fn open(seed: u64, setup: IceSetup) -> Self {
        let (told, notices) = mpsc::unbounded_channel();
        let config = Config { media_workers: 1, ..Config::default() };
        let mut plane = Workers::start(&config, Rng::from_seed(seed), told).unwrap();
        let ports = plane.open_ice("127.0.0.1".parse().unwrap(), setup).unwrap();
        let (heard, selected) = (Arc::default(), Vec::new());
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
                    MediaReport::Ice(IceNotice::Failed(why)) => panic!("{why}"),
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
        let (source, sink) = (Box::new(Tone(0)), Box::new(Ear(Arc::clone(&self.heard))));
        let audio = OpenAudio { source, sink, recorder: None, again: None };
        self.plane.start(self.ports.id, config, security, audio);
    }

    async fn report(&mut self) -> IceReport {
        let (reply, answer) = oneshot::channel();
        self.ice(IceCommand::Report(reply));
        answer.await.unwrap().unwrap()
    }

    async fn hears(&mut self, samples: u64) {
        let (from, until) = (self.heard.load(Relaxed), std::time::Instant::now() + PATIENCE);
        while self.heard.load(Relaxed) < from + samples {
            assert!(std::time::Instant::now() < until, "nothing is heard");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    async fn closed(&mut self) -> Option<CallStats> {
        self.plane.close(self.ports.id);
        self.until(|_, report| match report {
            MediaReport::Closed(stats) => Some(*stats),
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
        let (source, sink) = (Box::new(Tone(0)), Box::new(Ear(Arc::default())));
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
