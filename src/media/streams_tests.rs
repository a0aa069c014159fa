//! A stream on real sockets that is moved to another address in the midst of its packets.

use super::*;
use crate::media::SdesKeys;
use crate::media::notes::Quiet;
use crate::media::worker::wall_clock;
use std::net::UdpSocket;
use std::sync::Arc;
use tiny_media::{Fmtp, StreamCodec};
use tiny_net::rtp::RtpPorts;
use tiny_rtp::srtp::sdes;

const SSRC: u32 = 0x1234_5678;

fn shields() -> (Shield, Shield) {
    let (mut a, mut b) = (Rng::from_seed(1), Rng::from_seed(2));
    let config = sdes::Config::default();
    let offered = sdes::offer(&config, &mut a);
    let lines: Vec<String> = offered.iter().map(ToString::to_string).collect();
    let theirs = sdes::answer(lines.iter().map(String::as_str), &config, &mut b).unwrap();
    let answer = theirs.local.to_string();
    let ours = sdes::accept(&offered, [answer.as_str()], &config).unwrap();
    let shield = |agreement| {
        Shield::new(Security::Sdes(Box::new(SdesKeys { agreement, moved: false }))).unwrap()
    };
    (shield(ours), shield(theirs))
}

fn task(
    inbox: mpsc::UnboundedReceiver<ToStream>,
    notices: mpsc::UnboundedSender<MediaNotice>,
) -> StreamTask {
    let (early, most_early) = (Vec::new(), 8);
    StreamTask { id: MediaId(1), inbox, notices, ntp: wall_clock(), early, most_early }
}

/// A packet that came: its sequence number and time stamp, and where from.
fn receive(peer: &UdpSocket, shield: &mut Shield) -> (u16, u32, SocketAddr) {
    loop {
        let mut data = [0; 2048];
        let (length, from) = peer.recv_from(&mut data).expect("a packet");
        let length =
            shield.open(Component::Rtp, &mut data[..length]).expect("a packet under our key");
        // Reports share the port.
        if length < 12 || (200..=204).contains(&data[1]) {
            continue;
        }
        let word = |at: usize| u32::from_be_bytes(data[at..at + 4].try_into().unwrap());
        assert_eq!(word(8), SSRC);
        return (word(0) as u16, word(4), from);
    }
}

// Only Linux has all of 127.0.0.0/8.
#[cfg(target_os = "linux")]
#[test]
fn a_stream_that_moves_keeps_ssrc_numbers_keys_and_rollover_counter() {
    let (mut ours, mut theirs) = shields();
    // The sequence numbers have gone round once: a context begun anew could not know.
    for sequence in (0..=u16::MAX).chain(0..100) {
        let [high, low] = sequence.to_be_bytes();
        let mut packet = vec![0x80, 0, high, low, 0, 0, 0, 0];
        packet.extend(SSRC.to_be_bytes());
        packet.extend([0xd5; 20]);
        assert!(ours.seal(Component::Rtp, &mut packet));
        assert!(theirs.open(Component::Rtp, &mut packet).is_some());
    }
    let peer = UdpSocket::bind("127.0.0.1:0").unwrap();
    peer.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let registry = tiny_dav::builtin_registry();
    let codec = registry.codec("PCMU", 8000).unwrap().clone();
    let mut config = StreamConfig::new(StreamCodec::new(codec, 0, Fmtp(String::new())), SSRC, "me");
    config.remote_rtp = Some(peer.local_addr().unwrap());
    config.rtcp_mux = true;
    let mut ports = RtpPorts::new(20_000..=40_000, &mut Rng::from_os().unwrap());
    let mut pair =
        |ip: &str| ports.bind(ip.parse().unwrap(), &tiny_net::Config::default()).unwrap();
    let (old, new) = (pair("127.0.0.1"), pair("127.0.0.2"));
    let (moved_to, mut new) = (new.local_addr(), Some(new));
    let (commands, inbox) = mpsc::unbounded_channel();
    let (notices, _told) = mpsc::unbounded_channel();
    let carrier = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let now = Instant::now();
            let mut stream = AudioStream::new(now, config, Rng::from_seed(3)).unwrap();
            stream.set_source(now, Some(Box::new(Quiet))).unwrap();
            stream.set_sink(now, Some(Box::new(Quiet))).unwrap();
            let mut path = Path::plain(old, Tracer(None)).unwrap();
            let (dtls, rng) = (None, Rng::from_seed(4));
            let carried =
                Box::new(Carried { stream, shield: ours, own: None, dtls, sctp: None, rng });
            let mut task = task(inbox, notices);
            task.carry(&mut path, &mut Some(carried)).await.unwrap()
        })
    });
    let (mut number, mut stamp, mut from) = receive(&peer, &mut theirs);
    assert!((100..0x8000).contains(&number), "{number} is not behind the last one");
    let mut moved = 0;
    for n in 1..20 {
        if n == 5 {
            let _ = commands.send(ToStream::Rebind(new.take().unwrap()));
        }
        let next = receive(&peer, &mut theirs);
        assert_eq!((next.0, next.1), (number.wrapping_add(1), stamp.wrapping_add(160)));
        (number, stamp, from) = next;
        moved += u32::from(from == moved_to);
    }
    assert_eq!(from, moved_to);
    assert!(moved > 5);
    let _ = commands.send(ToStream::Close);
    assert!(carrier.join().unwrap().tx_packets >= 20);
}

/// Says when something has been read from the socket.
struct Arrived(std::sync::mpsc::Sender<()>);
impl crate::Trace for Arrived {
    fn packet(&self, packet: crate::TracePacket<'_>) {
        if !packet.outgoing {
            let _ = self.0.send(());
        }
    }
}

// Over ICE the peer may have a path before its answer has come through a chain of proxies.
#[cfg(feature = "dtls")]
#[test]
fn a_handshake_that_begins_before_its_stream_is_not_lost() {
    use crate::media::{DtlsAgreement, DtlsKeys};
    use tiny_net::dtls::{Association, Identity, Role};

    let peer = UdpSocket::bind("127.0.0.1:0").unwrap();
    peer.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let (own, theirs) = (Identity::generate().unwrap(), Identity::generate().unwrap());
    let mut ports = RtpPorts::new(20_000..=40_000, &mut Rng::from_os().unwrap());
    let pair = ports.bind("127.0.0.1".parse().unwrap(), &tiny_net::Config::default()).unwrap();
    let at = pair.local_addr();
    let knows = vec![own.fingerprint()];
    let (config, rng) = (Arc::default(), Rng::from_seed(8));
    let now = Instant::now();
    let mut caller =
        Association::new(now, Role::Active, theirs.clone(), knows, Some(at), config, rng);
    let Output::Transmit(hello) = caller.as_mut().unwrap().poll(now) else { panic!("a hello") };

    let registry = tiny_dav::builtin_registry();
    let codec = registry.codec("PCMU", 8000).unwrap().clone();
    let mut config = StreamConfig::new(StreamCodec::new(codec, 0, Fmtp(String::new())), SSRC, "me");
    config.remote_rtp = Some(peer.local_addr().unwrap());
    config.rtcp_mux = true;
    let agreement = DtlsAgreement {
        role: Role::Passive,
        fingerprints: vec![theirs.fingerprint()],
        remote_tls_id: None,
        number: 1,
    };
    let keys = DtlsKeys { identity: own, config: Arc::default(), agreement, mux: true };
    let (source, sink) = (Box::new(Quiet), Box::new(Quiet));
    let audio = OpenAudio { source, sink, recorder: None, again: None };
    let security = Security::Dtls(Box::new(keys));
    let start = Start { config, security, audio, rng: Rng::from_seed(5) };

    let (commands, inbox) = mpsc::unbounded_channel();
    let (notices, _told) = mpsc::unbounded_channel();
    let (arrived, arrivals) = std::sync::mpsc::channel();
    let carrier = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut path = Path::plain(pair, Tracer(Some(Arc::new(Arrived(arrived))))).unwrap();
            let mut task = task(inbox, notices);
            task.carry(&mut path, &mut None).await
        })
    });
    peer.send_to(&hello.data, at).unwrap();
    arrivals.recv_timeout(Duration::from_secs(20)).expect("it was read");
    let _ = commands.send(ToStream::Start(Box::new(start)));
    // The caller repeats nothing, and is answered all the same.
    let mut data = [0; 2048];
    loop {
        let (length, _) = peer.recv_from(&mut data).expect("an answer");
        if length > 13 && data[0] == 22 {
            break;
        }
    }
    let _ = commands.send(ToStream::Close);
    assert!(carrier.join().unwrap().is_some());
}
