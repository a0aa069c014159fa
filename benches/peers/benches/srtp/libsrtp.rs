//! libsrtp2 through the program that the cross-check test uses, when Debian's `libsrtp2-dev` (whose
//! ciphers are NSS's) and gcc are there. It times itself; a line asks for a round.

use super::{Entry, KEY, SALT, Suite, Times};
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// A contestant, or nothing where it cannot be built.
pub(super) fn entry(suite: Suite, payload: usize) -> Option<Entry> {
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tiny-rtp/tests/srtp_libsrtp/peer.c");
    let out = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("srtp-bench-peer");
    let mut gcc = Command::new("gcc");
    gcc.args(["-O2", "-o"]).arg(&out).args([source, "-lsrtp2"]).stderr(Stdio::null());
    if !gcc.status().is_ok_and(|s| s.success()) {
        return None;
    }
    let hex = |octets: &[u8]| octets.iter().map(|o| format!("{o:02x}")).collect::<String>();
    let key = hex(&[&KEY[..], &SALT[..suite.salt_len()]].concat());
    let profile = match suite {
        Suite::Cm => "AesCm128HmacSha1_80",
        Suite::Gcm => "AeadAes128Gcm",
    };
    let mut child = Command::new(out)
        .args([profile, "bench", &key, &payload.to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .ok()?;
    let mut input = child.stdin.take()?;
    let mut output = BufReader::new(child.stdout.take()?);
    let run = move |_| -> Times {
        input.write_all(b"go\n").expect("libsrtp2 listens");
        let mut line = String::new();
        output.read_line(&mut line).expect("libsrtp2 answers");
        let mut times = line.split_whitespace().map(|t| t.parse().expect("a number"));
        [times.next().expect("protect"), times.next().expect("unprotect")]
    };
    Some(Entry { name: "libsrtp2", run: Box::new(run), best: [f64::MAX; 2] })
}
