//! libsrtp2 reads what we protect, and we read what it protects: every profile that both have, over a
//! rollover, RTP and RTCP, with and without key identifiers, with loss and reordering.
//!
//! Needs Debian's `libsrtp2-dev` and gcc; without them the tests say so and pass.

use std::io::{BufReader, BufWriter, Read, Write};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use tiny_rtp::srtp::{MasterKey, Policy, Profile, Protector, Unprotector};
use tiny_sak::Rng;

/// The peer, built once; `None` when it cannot be.
fn peer() -> Option<&'static PathBuf> {
    static PEER: OnceLock<Option<PathBuf>> = OnceLock::new();
    PEER.get_or_init(|| {
        if !std::path::Path::new("/usr/include/srtp2/srtp.h").exists() {
            eprintln!("skipped: libsrtp2-dev is not installed (scripts/setup.sh interop)");
            return None;
        }
        let directory = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
        let (out, peer) =
            (directory.join(format!("peer-{}", std::process::id())), directory.join("srtp-peer"));
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/srtp_libsrtp/peer.c");
        let built = Command::new("gcc")
            .args(["-O2", "-Wall", "-Werror", "-o"])
            .arg(&out)
            .args([source, "-lsrtp2"])
            .status();
        match built {
            Ok(status) => assert!(status.success(), "the peer does not compile"),
            Err(e) => {
                eprintln!("skipped: gcc does not run: {e}");
                return None;
            }
        }
        // Tests may run in processes of their own: each sees a whole program.
        std::fs::rename(&out, &peer).unwrap();
        Some(peer)
    })
    .as_ref()
}

/// RTP or RTCP, and its octets.
type Packet = (bool, Vec<u8>);

/// Sends all packets through the peer; each reply has the status and the packet.
fn through_peer(
    profile: Profile,
    mode: &str,
    key: &MasterKey,
    packets: Vec<Packet>,
) -> Vec<(u8, Vec<u8>)> {
    let hex = |octets: &[u8]| octets.iter().map(|o| format!("{o:02x}")).collect::<String>();
    let mut command = Command::new(peer().unwrap());
    command.args([&format!("{profile:?}"), mode, &hex(key.expose())]);
    if !key.mki().is_empty() {
        command.arg(hex(key.mki()));
    }
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut input = BufWriter::new(child.stdin.take().unwrap());
    let count = packets.len();
    let writer = std::thread::spawn(move || {
        for (control, packet) in packets {
            input.write_all(if control { b"C" } else { b"R" }).unwrap();
            input.write_all(&(packet.len() as u16).to_be_bytes()).unwrap();
            input.write_all(&packet).unwrap();
        }
    });
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let mut replies = Vec::with_capacity(count);
    for at in 0..count {
        let mut head = [0u8; 3];
        output.read_exact(&mut head).unwrap_or_else(|e| panic!("{profile:?} reply {at}: {e}"));
        let mut packet = vec![0; usize::from(u16::from_be_bytes([head[1], head[2]]))];
        output.read_exact(&mut packet).unwrap();
        replies.push((head[0], packet));
    }
    writer.join().unwrap();
    assert!(child.wait().unwrap().success());
    replies
}

/// More than 65,536 packets of three sources and sizes, with CSRCs, extensions and padding, beginning
/// before a wrap; control packets in between.
fn traffic() -> Vec<Packet> {
    let mut packets = Vec::new();
    for index in 0..70_000u32 {
        let sequence = (60_000 + index) as u16;
        let first = if index % 5 == 0 { 0x91 } else { 0x80 };
        let mut packet = vec![first, 96];
        packet.extend_from_slice(&sequence.to_be_bytes());
        packet.extend_from_slice(&(index * 160).to_be_bytes());
        packet.extend_from_slice(&0x0102_0304u32.to_be_bytes());
        if index % 5 == 0 {
            packet.extend_from_slice(&[0, 0, 0, 9, 0xbe, 0xde, 0, 1, 0x10, 0x20, 0, 0]);
        }
        packet.extend((0..index % 200).map(|i| (i ^ index) as u8));
        packets.push((false, packet));
        if index % 100 == 0 {
            let mut control = vec![0x80, 201, 0, 1, 1, 2, 3, 4, 0x81, 202, 0, 3, 1, 2, 3, 4];
            control.extend_from_slice(&[1, 5, b'a', b'l', b'i', b'c', b'e', 0]);
            packets.push((true, control));
        }
    }
    packets
}

/// Minor version of the 2.x at hand.
fn version() -> u32 {
    let out = Command::new(peer().unwrap()).arg("version").output().unwrap();
    let text = String::from_utf8(out.stdout).unwrap();
    let minor = text.split_once("2 2.").and_then(|(_, v)| v.split('.').next()?.parse().ok());
    minor.unwrap_or_else(|| panic!("{text}"))
}

fn shared() -> impl Iterator<Item = Profile> {
    // Before 2.8 it derived the keys of AES-192 with AES-256.
    let aes_192 = version() >= 8;
    if !aes_192 {
        eprintln!("this libsrtp2 derives AES-192 keys in its own way: without these profiles");
    }
    let known = move |p: &Profile| match p {
        // What libsrtp2 has not.
        Profile::AesF8128HmacSha1_80 => false,
        Profile::AesCm192HmacSha1_80 | Profile::AesCm192HmacSha1_32 => aes_192,
        _ => true,
    };
    Profile::ALL.into_iter().filter(known)
}

/// Before 2.7 it looked for the identifier of RTCP behind the tag length of RTP.
fn finds_rtcp_mki(profile: Profile) -> bool {
    profile.rtp_tag_len() == profile.rtcp_tag_len() || version() >= 7
}

fn keys(profile: Profile) -> [MasterKey; 2] {
    let mut rng = Rng::from_seed(profile.key_len() as u64);
    let plain = MasterKey::generate(profile, &mut rng);
    let named = MasterKey::generate(profile, &mut rng).with_mki(&[0, 0, 7, 1]).unwrap();
    [plain, named]
}

#[test]
fn libsrtp_reads_what_we_protect_over_a_rollover() {
    if peer().is_none() {
        return;
    }
    for profile in shared() {
        for key in keys(profile) {
            let control_too = key.mki().is_empty() || finds_rtcp_mki(profile);
            let mut sender = Protector::new(Policy::new(profile), vec![key.clone()]).unwrap();
            let clear = traffic();
            let mut sealed: Vec<(usize, Packet)> = Vec::new();
            for (at, (control, packet)) in clear.iter().enumerate() {
                let mut packet = packet.clone();
                let done = match control {
                    true => sender.protect_rtcp(&mut packet),
                    false => sender.protect_rtp(&mut packet),
                };
                done.unwrap();
                // One in ten is lost.
                if at % 10 != 3 && (control_too || !control) {
                    sealed.push((at, (*control, packet)));
                }
            }
            // Some overtake others.
            for at in (7..sealed.len()).step_by(23) {
                sealed.swap(at, at - 7);
            }
            let order: Vec<usize> = sealed.iter().map(|(at, _)| *at).collect();
            let packets = sealed.into_iter().map(|(_, p)| p).collect();
            let replies = through_peer(profile, "unprotect", &key, packets);
            for (at, (status, packet)) in order.into_iter().zip(replies) {
                assert_eq!(status, 0, "{profile:?} packet {at}");
                assert_eq!(packet, clear[at].1, "{profile:?} packet {at}");
            }
        }
    }
}

#[test]
fn we_read_what_libsrtp_protects_over_a_rollover() {
    if peer().is_none() {
        return;
    }
    for profile in shared() {
        for key in keys(profile) {
            let clear = traffic();
            let mut sealed: Vec<(usize, (u8, Vec<u8>))> =
                through_peer(profile, "protect", &key, clear.clone())
                    .into_iter()
                    .enumerate()
                    .collect();
            sealed.retain(|(at, _)| at % 10 != 3);
            for at in (7..sealed.len()).step_by(23) {
                sealed.swap(at, at - 7);
            }
            let mut receiver = Unprotector::new(Policy::new(profile), vec![key.clone()]).unwrap();
            for (at, (status, mut packet)) in sealed {
                assert_eq!(status, 0, "{profile:?} packet {at}");
                let done = match clear[at].0 {
                    true => receiver.unprotect_rtcp(&mut packet),
                    false => receiver.unprotect_rtp(&mut packet),
                };
                let len = done.unwrap_or_else(|e| panic!("{profile:?} packet {at}: {e}"));
                assert_eq!(packet[..len], clear[at].1, "{profile:?} packet {at}");
            }
        }
    }
}

#[test]
fn what_was_forged_fails_at_libsrtp_as_it_does_here() {
    if peer().is_none() {
        return;
    }
    for profile in shared() {
        let [key, _] = keys(profile);
        let mut sender = Protector::new(Policy::new(profile), vec![key.clone()]).unwrap();
        let mut receiver = Unprotector::new(Policy::new(profile), vec![key.clone()]).unwrap();
        let mut packets = Vec::new();
        for (control, mut packet) in traffic().into_iter().take(60) {
            match control {
                true => sender.protect_rtcp(&mut packet).unwrap(),
                false => sender.protect_rtp(&mut packet).unwrap(),
            }
            let last = packet.len() - 1;
            packet[if control { 9 } else { last }] ^= 1;
            let mut ours = packet.clone();
            assert!(match control {
                true => receiver.unprotect_rtcp(&mut ours).is_err(),
                false => receiver.unprotect_rtp(&mut ours).is_err(),
            });
            packets.push((control, packet));
        }
        for (status, _) in through_peer(profile, "unprotect", &key, packets) {
            assert_ne!(status, 0, "{profile:?}");
        }
    }
}
