//! Wireshark is the judge of our captures: SIP over UDP and over TCP in pieces, and RTP found through SDP.

use std::net::SocketAddr;
use std::process::Command;
use std::time::{Duration, SystemTime};
use tiny_net::pcapng::{Direction, Writer};

const SDP: &str = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n\
                   m=audio 40000 RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\n";

fn invite(transport: &str) -> String {
    format!(
        "INVITE sip:bob@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/{transport} 127.0.0.1:5070;branch=z9hG4bKx\r\n\
         From: <sip:alice@127.0.0.1>;tag=1\r\nTo: <sip:bob@127.0.0.1>\r\nCall-ID: c-{transport}\r\n\
         CSeq: 1 INVITE\r\nMax-Forwards: 70\r\nContact: <sip:alice@127.0.0.1:5070>\r\n\
         Content-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{SDP}",
        SDP.len()
    )
}

fn tshark(file: &std::path::Path, arguments: &[&str]) -> Option<String> {
    let output = Command::new("tshark").arg("-r").arg(file).args(arguments).output().ok()?;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[test]
fn wireshark_reads_sip_over_udp_and_tcp_and_finds_the_rtp() {
    let folder = std::env::temp_dir().join(format!("tiny-net-pcapng-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join("call.pcapng");
    let start = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    let a: SocketAddr = "127.0.0.1:5070".parse().unwrap();
    let b: SocketAddr = "127.0.0.1:5060".parse().unwrap();
    let mut capture = Writer::new(std::fs::File::create(&path).unwrap(), "tiny-net test").unwrap();
    capture.udp(start, Direction::Outbound, a, b, invite("UDP").as_bytes()).unwrap();
    let text = invite("TCP");
    let (one, two) = text.as_bytes().split_at(100);
    capture.tcp(start, Direction::Outbound, a, b, one).unwrap();
    capture.tcp(start, Direction::Outbound, a, b, two).unwrap();
    let media: SocketAddr = "127.0.0.1:40000".parse().unwrap();
    for n in 0..10_u16 {
        let mut packet = vec![0x80, 0];
        packet.extend_from_slice(&n.to_be_bytes());
        packet.extend_from_slice(&(u32::from(n) * 160).to_be_bytes());
        packet.extend_from_slice(&0x1234_5678_u32.to_be_bytes());
        packet.extend_from_slice(&[0xFF; 160]);
        let at = start + Duration::from_millis(20 * u64::from(n));
        capture.udp(at, Direction::Inbound, b, media, &packet).unwrap();
    }
    drop(capture);

    let Some(sip) =
        tshark(&path, &["-Y", "sip.Method == INVITE", "-T", "fields", "-e", "sip.Call-ID"])
    else {
        eprintln!("skipped: tshark not installed");
        return;
    };
    assert_eq!(sip.lines().collect::<Vec<_>>(), ["c-UDP", "c-TCP"]);
    let rtp =
        tshark(&path, &["-Y", "rtp", "-T", "fields", "-e", "rtp.ssrc", "-e", "frame.time_epoch"]);
    let rtp = rtp.unwrap_or_default();
    assert_eq!(rtp.lines().count(), 10, "{rtp}");
    assert!(rtp.lines().all(|l| l.starts_with("0x12345678")), "{rtp}");
    assert!(rtp.contains("1700000000.180000000"), "{rtp}");
    let checks = [
        "-o",
        "ip.check_checksum:TRUE",
        "-o",
        "udp.check_checksum:TRUE",
        "-o",
        "tcp.check_checksum:TRUE",
    ];
    let bad = "_ws.malformed || ip.checksum.status == 0 || udp.checksum.status == 0 || \
               tcp.checksum.status == 0 || tcp.analysis.flags";
    let bad = tshark(&path, &[&checks[..], &["-Y", bad]].concat()).unwrap_or_default();
    assert_eq!(bad, "");
    std::fs::remove_dir_all(&folder).unwrap();
}
