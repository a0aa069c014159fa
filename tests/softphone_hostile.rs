//! Hostile input against `softphone answer` while a call is up: every RFC 4475 message by UDP and
//! by TCP, the complete messages of RFC 3665, mutations, and noise. The process lives, the call
//! goes on, and what can be answered is answered as a UAS should (`tests/vectors/sip-torture/rfc4475-expectations.tsv`).

#[allow(dead_code)]
#[path = "interop/peers.rs"]
mod peers;

use peers::Softphone;
use std::collections::BTreeSet;
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpStream, UdpSocket};
use std::path::PathBuf;
use std::time::{Duration, Instant};

const NOTHING: u16 = 0;

/// What a UAS that is no registrar may say by UDP; empty: nothing. Where the RFC leaves a choice (be strict or liberal), each choice is listed.
const EXPECTED: &[(&str, &[u16])] = &[
    // 3.1.1: valid. Well-formed requests are processed as if they were pretty.
    ("wsinv", &[481]), // Its To has a tag, and there is no such dialog (RFC 3261 §12.2.2).
    ("intmeth", &[501]),
    ("esc01", &[200]),
    ("escnull", &[405]), // A registrar accepts; we are none.
    ("esc02", &[501]),
    ("lwsdisp", &[200]),
    ("longreq", &[200]),
    ("dblreq", &[405]),
    ("semiuri", &[200]),
    ("transports", &[200]),
    ("mpart01", &[200]),
    ("unreason", &[]),
    ("noreason", &[]),
    // 3.1.2: invalid.
    ("badinv01", &[400]),
    ("clerr", &[400]),
    ("ncl", &[400]),
    ("scalar02", &[400]),
    ("scalarlg", &[]),
    ("quotbal", &[400]),
    ("ltgtruri", &[400]),
    ("lwsruri", &[400]),
    ("lwsstart", &[400]),
    ("trws", &[400, 200]),
    ("escruri", &[400, 200]),
    ("baddate", &[400, 200]),
    ("regbadct", &[400, 405]),
    ("badaspec", &[400]),
    ("baddn", &[400, 200]),
    ("badvers", &[505]),
    ("mismatch01", &[400]),
    ("mismatch02", &[501, 400]),
    ("bigcode", &[]),
    // 3.2 to 3.4: transaction, application and backward compatibility.
    ("badbranch", &[400, 200]),
    ("insuf", &[400, NOTHING]), // There is no From, To or Call-ID to copy.
    ("unkscm", &[416]),
    ("novelsc", &[416]),
    ("unksm2", &[400, 405]),
    ("bext01", &[420]),
    ("invut", &[415]),
    ("regaut01", &[405]),
    ("multi01", &[400]),
    ("mcl01", &[400]),
    ("bcast", &[]),
    ("zeromf", &[200]),
    ("cparam01", &[405]),
    ("cparam02", &[405]),
    ("regescrt", &[405]),
    ("sdp01", &[406, 400]),
    ("inv2543", &[200]),
    ("test", &[]), // A start line that is neither request nor response.
];

/// What a status must say besides (RFC 3261 §21.4): a header field, and what it lists.
const CARRIES: &[(u16, &str, &[&str])] = &[
    (405, "Allow", &["INVITE", "ACK", "BYE", "CANCEL", "OPTIONS"]),
    (501, "Allow", &["INVITE"]),
    (415, "Accept", &["application/sdp"]),
    (420, "Unsupported", &["nothingSupportsThis", "nothingSupportsThisEither"]),
    (406, "Warning", &["399"]),
];

/// The attacker's address: its own, so that the ports that the Vias name are free.
const ATTACKER: Ipv4Addr = Ipv4Addr::new(127, 44, 75, 1);

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/sip-torture")
}

fn message(name: &str) -> Vec<u8> {
    let path = folder().join("rfc4475").join(name).with_extension("dat");
    std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// The same for the call flows, which use the same ports.
const ATTACKER_OF_FLOWS: Ipv4Addr = Ipv4Addr::new(127, 36, 65, 1);

/// A phone that answers, a call to it, and the address to attack.
struct Scene {
    bob: Softphone,
    alice: Softphone,
    target: SocketAddr,
}

impl Scene {
    fn new() -> Self {
        let quiet = ["--listen", "127.0.0.1:0", "--output", "null", "--codecs", "pcmu"];
        let long = ["--for", "120", "--input", "tone:500"];
        let mut bob = Softphone::start("bob", &[&quiet[..], &long, &["answer"]].concat());
        let at = bob.expect("listening")["sip"].as_str().unwrap().to_owned();
        let uri = format!("sip:bob@{at}");
        let long = ["--for", "100", "--input", "tone:700", "call", &uri];
        let mut alice = Softphone::start("alice", &[&quiet[..], &long].concat());
        alice.expect("answered");
        Self { bob, alice, target: at.parse().unwrap() }
    }

    /// The call is still up, its sound still comes, and hanging up works on both sides.
    fn still_fine(mut self) {
        assert!(self.bob.process.0.try_wait().unwrap().is_none(), "bob has died");
        assert_eq!(ask_options(self.target), Some(200));
        // Figures that were told before now do not count.
        let now = self.alice.expect("media");
        let later = loop {
            let media = self.alice.expect("media");
            if media["t"].as_f64() >= now["t"].as_f64().map(|t| t + 1.5) {
                break media;
            }
        };
        let received = |v: &serde_json::Value| v["rx_packets"].as_u64().unwrap();
        assert!(received(&later) > received(&now) + 25, "no sound any more: {now} {later}");
        assert!(self.alice.events("ended").is_empty(), "the call was ended");
        self.alice.interrupt();
        let ended = self.alice.expect("ended");
        assert_eq!(ended["by"], "local");
        assert_eq!(self.alice.finish(), 130);
        self.bob.interrupt();
        assert_eq!(self.bob.finish(), 130);
        let first = self.bob.seen.iter().find(|v| v["event"] == "ended" && v["call"] == 1);
        assert_eq!(first.map(|v| &v["by"]), Some(&"remote".into()), "{first:?}");
    }
}

fn ask_options(target: SocketAddr) -> Option<u16> {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = socket.local_addr().unwrap().port();
    let request = format!(
        "OPTIONS sip:bob@{target} SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:{port};branch=z9hG4bKo{port}\r\n\
         Max-Forwards: 70\r\nFrom: <sip:x@127.0.0.1>;tag=1\r\nTo: <sip:bob@{target}>\r\n\
         Call-ID: o{port}\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"
    );
    socket.send_to(request.as_bytes(), target).unwrap();
    final_of(&socket, &format!("o{port}"), Duration::from_secs(5))
}

/// The status of a response, from its first bytes.
fn status_of(data: &[u8]) -> Option<u16> {
    let line = std::str::from_utf8(data.split(|b| *b == b'\r').next()?).ok()?;
    line.strip_prefix("SIP/2.0 ")?.get(..3)?.parse().ok()
}

/// The status of the first final response with that Call-ID.
fn final_of(socket: &UdpSocket, call: &str, most: Duration) -> Option<u16> {
    answer_of(socket, call, most).map(|(status, _)| status)
}

/// The first final response with that Call-ID at a socket; others are to earlier messages.
fn answer_of(socket: &UdpSocket, call: &str, most: Duration) -> Option<(u16, Vec<u8>)> {
    let (end, mut data) = (Instant::now() + most, [0; 65_536]);
    loop {
        let left = end.saturating_duration_since(Instant::now());
        socket.set_read_timeout(Some(left.max(Duration::from_millis(1)))).unwrap();
        match socket.recv(&mut data) {
            Ok(n) => match status_of(&data[..n]) {
                Some(100..200) => {}
                _ if header(&data[..n], &["call-id", "i"]).is_some_and(|c| c != call) => {}
                Some(status) => return Some((status, data[..n].to_vec())),
                None => panic!("not a response: {:?}", String::from_utf8_lossy(&data[..n])),
            },
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                return None;
            }
            Err(e) => panic!("{e}"),
        }
    }
}

/// The first header field of one of these names.
fn header(message: &[u8], names: &[&str]) -> Option<String> {
    let text = String::from_utf8_lossy(message).replace("\r\n ", " ").replace("\r\n\t", " ");
    text.lines().skip(1).take_while(|line| !line.is_empty()).find_map(|line| {
        let (name, value) = line.split_once(':')?;
        let wanted = names.contains(&name.trim().to_ascii_lowercase().as_str());
        wanted.then(|| value.trim().to_owned())
    })
}

/// The message with something added to the branches of this RFC.
fn with_branch(message: Vec<u8>, extra: usize) -> Vec<u8> {
    let cookie = b"branch=z9hG4bK";
    let mut out = Vec::with_capacity(message.len() + 8);
    for (i, byte) in message.iter().enumerate() {
        out.push(*byte);
        if message[..=i].ends_with(cookie) {
            out.extend_from_slice(format!("{extra}x").as_bytes());
        }
    }
    out
}

/// The message with something added to its Call-ID.
fn with_call_id(message: Vec<u8>, extra: usize) -> Vec<u8> {
    let text = String::from_utf8(message).unwrap();
    text.replacen("Call-ID: ", &format!("Call-ID: {extra}x"), 1).into_bytes()
}

/// The port that responses by UDP go to: that of the top Via (RFC 3261 §18.2.2).
fn via_port(message: &[u8]) -> u16 {
    let via = header(message, &["via", "v"]);
    let sent_by = via.and_then(|v| Some(v.split([';', ',']).next()?.to_owned()));
    sent_by.and_then(|s| s.rsplit_once(':')?.1.trim().parse().ok()).unwrap_or(5060)
}

/// A connection to the phone.
fn connect(target: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(target).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
    stream.set_write_timeout(Some(Duration::from_secs(2))).unwrap();
    stream
}

/// Reads until the peer closes, or for so long.
fn read_for(stream: &mut TcpStream, most: Duration) -> Vec<u8> {
    let (end, mut all, mut data) = (Instant::now() + most, Vec::new(), [0; 4096]);
    while Instant::now() < end {
        stream.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        match stream.read(&mut data) {
            Ok(n @ 1..) => all.extend_from_slice(&data[..n]),
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            _ => break,
        }
    }
    all
}

/// A small generator with a seed, so that a failure can be had again.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() % n.max(1) as u64) as usize
    }

    fn bytes(&mut self, most: usize) -> Vec<u8> {
        let n = self.below(most);
        (0..n).map(|_| self.next() as u8).collect()
    }

    /// A message with some of it flipped, cut, repeated, or swapped for that of another.
    fn mutate(&mut self, mut message: Vec<u8>, other: &[u8]) -> Vec<u8> {
        for _ in 0..=self.below(4) {
            let at = self.below(message.len());
            match self.below(5) {
                0 if !message.is_empty() => message[at] = self.next() as u8,
                1 => message.truncate(at),
                2 => message.splice(at..at, other.iter().take(200).copied()).for_each(drop),
                3 => {
                    let end = message.len().min(at + 16);
                    message.drain(at..end);
                }
                _ => message.extend_from_slice(&other[self.below(other.len())..]),
            }
        }
        message
    }
}

#[test]
fn every_vector_has_an_expectation() {
    let tsv = std::fs::read_to_string(folder().join("rfc4475-expectations.tsv")).unwrap();
    let listed: BTreeSet<_> = tsv.lines().skip(1).filter_map(|l| l.split('\t').next()).collect();
    let expected: BTreeSet<_> = EXPECTED.iter().map(|(name, _)| *name).collect();
    assert_eq!(listed, expected);
}

#[test]
fn torture_by_udp_is_answered_as_rfc_4475_says_while_a_call_goes_on() {
    let scene = Scene::new();
    let mut wrong = Vec::new();
    for (i, (name, allowed)) in EXPECTED.iter().enumerate() {
        // Some of the vectors share a branch and a sent-by: as they are, the second of two would be
        // a retransmission of the first (RFC 3261 §17.2.3).
        let message = with_branch(message(name), i);
        let at = SocketAddr::from((ATTACKER, via_port(&message)));
        let socket = UdpSocket::bind(at).unwrap_or_else(|e| panic!("{name}: {at}: {e}"));
        socket.send_to(&message, scene.target).unwrap();
        let silent = allowed.is_empty() || allowed.contains(&NOTHING);
        let patience = if silent { 200 } else { 3000 };
        let call = header(&message, &["call-id", "i"]).unwrap_or_default();
        let answer = answer_of(&socket, &call, Duration::from_millis(patience));
        let status = answer.as_ref().map(|(status, _)| *status);
        let fine = status.map_or(silent, |s| allowed.contains(&s));
        if !fine {
            wrong.push(format!("{name}: {status:?} instead of {allowed:?}"));
        }
        let Some((status, answer)) = answer else { continue };
        for (_, field, listed) in CARRIES.iter().filter(|(of, ..)| *of == status) {
            let value = header(&answer, &[field.to_ascii_lowercase().as_str()]).unwrap_or_default();
            if !listed.iter().all(|wanted| value.contains(wanted)) {
                wrong.push(format!("{name}: {status} with {field}: {value:?}, not {listed:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    scene.still_fine();
}

#[test]
fn torture_by_tcp_is_answered_or_closed_while_a_call_goes_on() {
    let scene = Scene::new();
    let mut wrong = Vec::new();
    for (name, allowed) in EXPECTED {
        let mut stream = connect(scene.target);
        stream.write_all(&message(name)).unwrap();
        let _ = stream.shutdown(Shutdown::Write);
        let said = read_for(&mut stream, Duration::from_millis(300));
        let responses = said.split(|b| *b == b'\n').filter_map(status_of);
        let status = responses.into_iter().find(|s| *s >= 200);
        // A stream that ends within a message, or cannot be framed, may just be closed
        // (RFC 3261 §18.3, RFC 4475 §3.1.2.2).
        let fine = status.is_none_or(|s| allowed.contains(&s) || s == 400);
        if !fine {
            wrong.push(format!("{name}: {status:?} instead of {allowed:?}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    scene.still_fine();
}

/// The complete messages of RFC 3665 (Content-Length as the body is long), by name.
fn call_flow_messages() -> Vec<(String, Vec<u8>)> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/callflows/rfc3665");
    let index = std::fs::read_to_string(folder.join("index.jsonl")).unwrap();
    let lines = index.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let complete = lines.filter(|line| line["cl_ok"] == true);
    let named = complete.map(|line| {
        let file = line["file"].as_str().unwrap();
        let name = file.rsplit('/').next().unwrap().to_owned();
        let raw = std::fs::read(folder.join(&name)).unwrap();
        (name, raw)
    });
    named.collect()
}

#[test]
fn the_call_flows_of_rfc_3665_by_udp_are_answered_while_a_call_goes_on() {
    let scene = Scene::new();
    let messages = call_flow_messages();
    assert_eq!(messages.len(), 175);
    let (mut wrong, mut answered) = (Vec::new(), 0);
    for (i, (name, raw)) in messages.into_iter().enumerate() {
        let ack = raw.starts_with(b"ACK");
        let response = raw.starts_with(b"SIP/2.0");
        // A flow occurs with the same branches and names on several hops: as they are, most would be
        // merged requests (RFC 3261 §8.2.2.2).
        let message = with_call_id(with_branch(raw, i), i);
        let port = via_port(&message);
        // sent-by names hosts of the example; what comes back goes to their port here (RFC 3261
        // §18.2.2), or to where it came from when `rport` asks for it.
        let socket = UdpSocket::bind(SocketAddr::from((ATTACKER_OF_FLOWS, port)))
            .unwrap_or_else(|e| panic!("{name}: {port}: {e}"));
        socket.send_to(&message, scene.target).unwrap();
        // Nothing is said to these; what comes is about an earlier request of the same call.
        if ack || response {
            continue;
        }
        let call = header(&message, &["call-id", "i"]).unwrap_or_default();
        let within = header(&message, &["to", "t"]).is_some_and(|to| to.contains("tag="));
        // What a UAS says that takes every call, is no registrar and knows none of these dialogs.
        let expected = match message.split(|b| *b == b' ').next() {
            Some(b"INVITE") if !within => 200,
            Some(b"REGISTER") => 405,
            _ => 481,
        };
        let status = final_of(&socket, &call, Duration::from_secs(3));
        if status != Some(expected) {
            wrong.push(format!("{name}: {status:?} instead of {expected}"));
        }
        answered += 1;
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert_eq!(answered, 56);
    scene.still_fine();
}

#[test]
fn noise_and_mutations_leave_the_phone_and_its_call_alone() {
    let scene = Scene::new();
    let mut dice = Dice(0x5eed_4475);
    let messages: Vec<_> = EXPECTED.iter().map(|(name, _)| message(name)).collect();
    let socket = UdpSocket::bind((ATTACKER, 0)).unwrap();
    // Held open to the end: a connection that says nothing, and one that stops within a line.
    let _silent = connect(scene.target);
    let mut unfinished = connect(scene.target);
    unfinished.write_all(b"INVITE sip:bob@127.0.0.1 SIP/2.0\r\nVia: SI").unwrap();
    for round in 0..600 {
        let (one, other) = (dice.below(messages.len()), dice.below(messages.len()));
        let data = match round % 3 {
            0 => dice.bytes(1500),
            _ => dice.mutate(messages[one].clone(), &messages[other]),
        };
        socket.send_to(&data[..data.len().min(60_000)], scene.target).unwrap();
        if round % 8 == 0 {
            let mut stream = connect(scene.target);
            let _ = stream.write_all(&data);
            if round % 16 == 0 {
                read_for(&mut stream, Duration::from_millis(5));
            }
        }
        if round % 50 == 0 {
            std::thread::sleep(Duration::from_millis(20));
        }
    }
    // Datagrams at the edges of what there can be.
    for data in [&b""[..], b"\r\n\r\n", b"\0", b"SIP/2.0", b"INVITE", &[b'a'; 65_507], &[0; 65_507]]
    {
        socket.send_to(data, scene.target).unwrap();
    }
    // A header without an end is cut off.
    let mut endless = connect(scene.target);
    let _ = endless.write_all(b"OPTIONS sip:bob@127.0.0.1 SIP/2.0\r\nX-Long: ");
    let end = Instant::now() + Duration::from_secs(20);
    while endless.write(&[b'x'; 4096]).is_ok() {
        assert!(Instant::now() < end, "a header without end is still taken");
        std::thread::sleep(Duration::from_millis(1));
    }
    // A length that nobody could keep is refused too.
    let mut huge = connect(scene.target);
    huge.write_all(
        b"OPTIONS sip:bob@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/TCP 127.0.0.1;branch=z9hG4bKh\r\n\
          From: <sip:a@b>;tag=1\r\nTo: <sip:b@b>\r\nCall-ID: h\r\nCSeq: 1 OPTIONS\r\n\
          Content-Length: 4000000000\r\n\r\n",
    )
    .unwrap();
    let said = read_for(&mut huge, Duration::from_secs(2));
    assert!(
        matches!(status_of(&said), None | Some(400 | 413 | 513)),
        "{}",
        String::from_utf8_lossy(&said)
    );
    scene.still_fine();
}
