//! Every vector of RFC 3711 B, RFC 6188 §7, RFC 7714 §16 and §17, and RFC 2202 §3, read from the text.

use crate::srtp::cipher::{AesCm, AesF8};
use crate::srtp::kdf::{Label, derive};
use crate::srtp::mac::HmacSha1;
use crate::srtp::transform::{RtpHead, Stream, rtcp_ssrc};
use crate::srtp::{Profile, SrtpError};

macro_rules! text {
    ($name:literal) => {
        include_str!(concat!("../../../../tests/vectors/srtp/", $name))
    };
}

const RFC3711: &str = text!("rfc3711-appendix-B.txt");
const RFC6188: &str = text!("rfc6188-section7-aes192-256-cm-and-prf.txt");
const RTP_GCM: &str = text!("rfc7714-section16-srtp-gcm.txt");
const RTCP_GCM: &str = text!("rfc7714-section17-srtcp-gcm.txt");
const RFC2202: &str = text!("rfc2202-hmac-sha1.txt");

fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    digits
        .chunks(2)
        .map(|d| u8::from_str_radix(std::str::from_utf8(d).unwrap(), 16).unwrap())
        .collect()
}

/// What stands between a heading and the next one.
fn section<'a>(text: &'a str, from: &str, to: &str) -> &'a str {
    let start = text.find(&format!("\n{from}")).unwrap_or_else(|| panic!("{from}"));
    let rest = &text[start + 1..];
    rest.find(&format!("\n{to}")).map_or(rest, |end| &rest[..end])
}

/// The octets behind a marker: on its line, and on the lines after it that have nothing else.
fn octets(text: &str, marker: &str) -> Vec<u8> {
    let start = text.find(marker).unwrap_or_else(|| panic!("{marker}")) + marker.len();
    let mut found = Vec::new();
    for line in text[start..].lines() {
        let line = line.split('(').next().unwrap().trim();
        if line.is_empty() && found.is_empty() {
            continue;
        }
        if line.is_empty() || !line.chars().all(|c| c.is_ascii_hexdigit() || c == ' ') {
            break;
        }
        found.extend(unhex(line));
    }
    found
}

/// Input and output of the lines that have two columns.
fn columns(text: &str, heading: &str) -> Vec<(Vec<u8>, Vec<u8>)> {
    let start = text.find(heading).unwrap_or_else(|| panic!("{heading}")) + heading.len();
    let rows = text[start..].lines().skip(1).skip_while(|l| l.trim().is_empty());
    rows.take_while(|l| !l.trim().is_empty())
        .filter(|l| !l.contains("..."))
        .map(|l| {
            let (a, b) = l.trim().split_once(' ').unwrap();
            (unhex(a), unhex(b))
        })
        .collect()
}

fn keystream(text: &str) {
    let cipher = AesCm::new(&octets(text, "Session Key:")).unwrap();
    let offset: [u8; 16] = octets(text, "Offset:").try_into().unwrap();
    let mut stream = vec![0u8; 1_044_512];
    cipher.apply(&offset, &mut stream);
    let rows = columns(text, "Counter                            Keystream");
    assert_eq!(rows.len(), 6);
    for (counter, expected) in rows {
        let at = (u128::from_be_bytes(counter.try_into().unwrap()) - u128::from_be_bytes(offset))
            as usize
            * 16;
        assert_eq!(stream[at..at + 16], expected);
    }
}

fn derivation(text: &str, cipher_key: &[u8], auth_key: &[u8]) {
    let key = octets(text, "master key: ");
    let salt = octets(text, "master salt: ");
    assert_eq!(salt.len(), 14);
    let prf = AesCm::new(&key).unwrap();
    let of = |label, len| {
        let mut out = vec![0u8; len];
        derive(&prf, &salt, label, &mut out);
        out
    };
    assert_eq!(of(Label::RtpCipher, cipher_key.len()), cipher_key);
    assert_eq!(of(Label::RtpSalt, 14), octets(text, "cipher salt: "));
    assert_eq!(of(Label::RtpAuth, auth_key.len()), auth_key);
}

#[test]
fn the_f8_packet_of_rfc_3711_b_1() {
    let text = section(RFC3711, "B.1.", "B.2.");
    let header = octets(text, "RTP packet header   :");
    let mut payload = octets(text, "RTP packet payload  :");
    let mut iv = [0u8; 16];
    iv[1..12].copy_from_slice(&header[1..]);
    iv[12..].copy_from_slice(&octets(text, "ROC                 :"));
    assert_eq!(iv[..], octets(text, "IV                  :"));
    let key = octets(text, "\n   key                 :");
    let salt = octets(text, "salt key            :");
    AesF8::new(&key, &salt).unwrap().apply(&iv, &mut payload);
    let expected: Vec<u8> = text
        .lines()
        .filter_map(|l| l.trim().strip_prefix("ciphertext          :"))
        .flat_map(unhex)
        .collect();
    assert_eq!(payload, expected);
}

#[test]
fn the_counter_mode_keystreams_of_rfc_3711_b_2_and_rfc_6188_7_1_and_7_3() {
    keystream(section(RFC3711, "B.2.", "B.3."));
    keystream(section(RFC6188, "7.1.", "7.2."));
    keystream(section(RFC6188, "7.3.", "7.4."));
}

#[test]
fn the_key_derivations_of_rfc_3711_b_3_and_rfc_6188_7_2_and_7_4() {
    let text = section(RFC3711, "B.3.", "C.");
    // The left column is the key, the right one the block it came from.
    let auth: Vec<u8> = columns(text, "auth key                           AES input blocks")
        .into_iter()
        .flat_map(|r| r.0)
        .collect();
    assert_eq!(auth.len(), 94);
    derivation(text, &octets(text, "cipher key:    "), &auth);

    let text = section(RFC6188, "7.2.", "7.3.");
    derivation(text, &octets(text, "cipher key:    "), &octets(text, "auth key: "));
    let text = section(RFC6188, "7.4.", "7.5.");
    derivation(text, &octets(text, "cipher key:    "), &octets(text, "auth key: "));
}

#[test]
fn the_codes_of_rfc_2202_3() {
    let mut seen = Vec::new();
    for case in RFC2202.split("test_case =").skip(1) {
        let number: u32 = case.split_whitespace().next().unwrap().parse().unwrap();
        let field = |name: &str| {
            let start = case.find(&format!("\n{name}"))? + 1;
            let value = case[start..].split_once('=')?.1;
            let value = value.split_once("_len").map_or(value, |v| v.0);
            Some(value.trim())
        };
        let (Some(key), Some(data), Some(digest)) = (field("key"), field("data"), field("digest"))
        else {
            continue;
        };
        let value = |text: &str, len: usize| -> Vec<u8> {
            if let Some(quoted) = text.strip_prefix('"') {
                // A long text is broken over two lines.
                let text = quoted.split('"').next().unwrap();
                return text.split_whitespace().collect::<Vec<_>>().join(" ").into_bytes();
            }
            let hex = text.strip_prefix("0x").unwrap().split_whitespace().next().unwrap();
            let octets = unhex(hex);
            if text.contains("repeated") { octets.repeat(len) } else { octets }
        };
        let len = |name| field(name).unwrap().split_whitespace().next().unwrap().parse().unwrap();
        let (key_len, data_len): (usize, usize) = (len("key_len"), len("data_len"));
        let (key, data) = (value(key, key_len), value(data, data_len));
        assert_eq!((key.len(), data.len()), (key_len, data_len), "case {number}");
        let expected = unhex(digest.strip_prefix("0x").unwrap().split_whitespace().next().unwrap());
        assert_eq!(HmacSha1::new(&key).tag(&data, &[])[..], expected, "case {number}");
        // The suffix is hashed as if it were part of the data.
        let (front, back) = data.split_at(data.len() - 4);
        assert_eq!(HmacSha1::new(&key).tag(front, back)[..], expected, "case {number}");
        seen.push(number);
    }
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen, [1, 2, 3, 4, 5, 6, 7]);
}

fn gcm(text: &str, encrypt: bool) -> Stream {
    let mut key = octets(text, "Key: ");
    key.truncate(32);
    let profile = if key.len() == 16 { Profile::AeadAes128Gcm } else { Profile::AeadAes256Gcm };
    let mut salt = [0u8; 14];
    let printed = text.find("salt: ").unwrap() + 6;
    salt[..12].copy_from_slice(&unhex(text[printed..].lines().next().unwrap()));
    Stream::new(profile, encrypt, 16, &key, &[0; 20], &salt).unwrap()
}

#[test]
fn the_rtp_packets_of_rfc_7714_16_in_both_directions() {
    let cases = [
        (
            "16.1.1.",
            "16.1.2.",
            true,
            "Encrypting the following packet:",
            "Encrypted and tagged packet:",
        ),
        ("16.1.3.", "16.1.4.", false, "Tagging the following packet:", "Tagged packet:"),
        (
            "16.2.1.",
            "16.2.2.",
            true,
            "Encrypting the following packet:",
            "Encrypted and tagged packet:",
        ),
        ("16.2.3.", "16.2.4.", false, "Tagging the following packet:", "Tagged packet:"),
    ];
    for (from, to, encrypt, clear, sealed) in cases {
        let text = section(RTP_GCM, from, to);
        let stream = gcm(text, encrypt);
        let (clear, sealed) = (octets(text, clear), octets(text, sealed));
        assert_eq!((clear.len(), sealed.len()), (50, 66), "{from}");
        let head = RtpHead::read(&clear).unwrap();
        let mut packet = clear.clone();
        packet.resize(66, 0);
        let index = u64::from(head.sequence);
        assert_eq!(stream.seal_rtp(&mut packet, 50, head, index, &[]), Some(66));
        assert_eq!(packet, sealed, "{from}");
        assert_eq!(stream.open_rtp(&mut packet, head, index, 0), Ok(50));
        assert_eq!(packet[..50], clear, "{from}");
    }
    // The receiving halves print what they start from.
    for (from, to, encrypt, sealed) in [
        ("16.1.2.", "16.1.3.", true, "Decrypting the following packet:"),
        ("16.1.4.", "16.2.", false, "Verifying the following packet:"),
        ("16.2.2.", "16.2.3.", true, "Decrypting the following packet:"),
        ("16.2.4.", "17.", false, "Verifying the following packet:"),
    ] {
        let text = section(RTP_GCM, from, to);
        let stream = gcm(text, encrypt);
        let mut packet = octets(text, sealed);
        let head = RtpHead::read(&packet).unwrap();
        assert_eq!(stream.open_rtp(&mut packet, head, head.sequence.into(), 0), Ok(50), "{from}");
        assert_eq!(&packet[12..24], b"Gallia est o", "{from}");
    }
}

#[test]
fn the_rtcp_packets_of_rfc_7714_17_in_both_directions() {
    let clear = octets(section(RTCP_GCM, "17.1.", "17.2."), "Encrypting the following packet:");
    let cases = [
        ("17.1.", "17.2.", true, "Encrypted and tagged packet:"),
        ("17.2.", "17.3.", true, "Decrypting the following packet:"),
        ("17.3.", "17.4.", false, "Tagged packet:"),
        ("17.4.", "18.", false, "Verifying the following packet:"),
    ];
    for (from, to, encrypt, sealed) in cases {
        let text = section(RTCP_GCM, from, to);
        let stream = gcm(text, encrypt);
        let sealed = octets(text, sealed);
        let (len, total) = (clear.len(), clear.len() + 20);
        assert_eq!(sealed.len(), total, "{from}");
        let ssrc = rtcp_ssrc(&clear).unwrap();
        let mut packet = clear.clone();
        packet.resize(total, 0);
        assert_eq!(stream.seal_rtcp(&mut packet, len, ssrc, 0x5d4, &[]), Some(total));
        assert_eq!(packet, sealed, "{from}");
        let tail = stream.rtcp_tail(&packet, 0).unwrap();
        assert_eq!((tail.index, tail.encrypted), (0x5d4, encrypt));
        assert_eq!(stream.open_rtcp(&mut packet, ssrc, tail, 0), Ok(len));
        assert_eq!(packet[..len], clear, "{from}");
        let mut forged = sealed;
        forged[9] ^= 1;
        assert_eq!(stream.open_rtcp(&mut forged, ssrc, tail, 0), Err(SrtpError::AuthFailed));
    }
}
