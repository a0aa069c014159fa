//! Session keys from a master key (RFC 3711 §4.3, RFC 6188 §3, RFC 7714 §11), at a key derivation
//! rate of zero: once for each master key.

use super::cipher::AesCm;

/// Which key is derived (RFC 3711 §4.3.1, §4.3.2).
#[derive(Clone, Copy)]
pub(super) enum Label {
    RtpCipher = 0,
    RtpAuth = 1,
    RtpSalt = 2,
    RtcpCipher = 3,
    RtcpAuth = 4,
    RtcpSalt = 5,
    /// Not of an RFC: recognizes a master key without keeping it.
    Fingerprint = 0xff,
}

/// Fills `out` with the pseudo-random function of the master key, at the label.
pub(super) fn derive(master: &AesCm, salt: &[u8], label: Label, out: &mut [u8]) {
    // §4.3.3: the input block is (label || index DIV rate) XOR salt, times 2^16. A salt of 96 bits
    // (RFC 7714) begins at the same octet and is filled up with zeros, as everyone does it.
    let mut iv = [0u8; 16];
    let len = salt.len().min(14);
    iv[..len].copy_from_slice(&salt[..len]);
    iv[7] ^= label as u8;
    out.fill(0);
    master.apply(&iv, out);
}
