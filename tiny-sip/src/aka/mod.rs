//! AKA in digest (RFC 3310, RFC 4169): the USIM's side of a challenge. A software [`Usim`] with
//! Milenage (TS 35.206) and the sequence numbers of TS 33.102 annex C.2, or the results of a card
//! that the application asks. Keys and results are overwritten on drop and never shown.

mod milenage;
#[cfg(test)]
mod tests;

use crate::base64::{Alphabet, decode, encode};
use crate::digest::Algorithm;
use md5::{Digest as _, Md5};
use milenage::Milenage;
use std::fmt;
use tiny_sak::Secret;
use zeroize::Zeroizing;

/// RAND and AUTN out of a challenge's nonce (RFC 3310 §3.2); what follows them is the server's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AkaChallenge {
    /// The random challenge.
    pub rand: [u8; 16],
    /// SQN ⊕ AK, AMF and MAC.
    pub autn: [u8; 16],
}

impl AkaChallenge {
    /// Reads a nonce; `None` when it is not base64 or too short.
    pub fn from_nonce(nonce: &str) -> Option<Self> {
        let bytes = decode(Alphabet::Standard, nonce)?;
        Some(Self {
            rand: bytes.get(..16)?.try_into().ok()?,
            autn: bytes.get(16..32)?.try_into().ok()?,
        })
    }
}

/// What a USIM gives for a challenge that it takes.
#[derive(Clone)]
pub struct AkaResult {
    res: Zeroizing<Vec<u8>>,
    ck: Zeroizing<[u8; 16]>,
    ik: Zeroizing<[u8; 16]>,
}

impl AkaResult {
    /// From the response and the two keys.
    pub fn new(res: &[u8], ck: [u8; 16], ik: [u8; 16]) -> Self {
        let (ck, ik) = (Zeroizing::new(ck), Zeroizing::new(ik));
        Self { res: Zeroizing::new(res.to_vec()), ck, ik }
    }

    /// The response.
    pub fn res(&self) -> &[u8] {
        &self.res
    }

    /// The cipher key (IPsec of an IMS would take it).
    pub fn ck(&self) -> &[u8; 16] {
        &self.ck
    }

    /// The integrity key.
    pub fn ik(&self) -> &[u8; 16] {
        &self.ik
    }

    /// The password of the digest: RES itself (RFC 3310 §3.3), or for AKAv2 the base64 of
    /// HMAC(RES || IK || CK, "http-digest-akav2-password") (RFC 4169 §3).
    pub(crate) fn password(&self, algorithm: Algorithm) -> Zeroizing<Vec<u8>> {
        if algorithm != Algorithm::AkaV2Md5 {
            return self.res.clone();
        }
        let key = Zeroizing::new([self.res.as_slice(), &*self.ik, &*self.ck].concat());
        let mac = Zeroizing::new(hmac_md5(&key, b"http-digest-akav2-password"));
        Zeroizing::new(encode(Alphabet::Standard, &*mac).into_bytes())
    }
}

impl fmt::Debug for AkaResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AkaResult(***)")
    }
}

/// RFC 2104 with MD5 (block 64).
fn hmac_md5(key: &[u8], text: &[u8]) -> [u8; 16] {
    let mut block = Zeroizing::new([0u8; 64]);
    if key.len() > 64 {
        block[..16].copy_from_slice(&Md5::digest(key));
    } else {
        block[..key.len()].copy_from_slice(key);
    }
    let padded = |with: u8| Zeroizing::new(block.map(|b| b ^ with));
    let inner = Md5::new().chain_update(*padded(0x36)).chain_update(text).finalize();
    Md5::new().chain_update(*padded(0x5c)).chain_update(inner).finalize().into()
}

/// What became of a challenge at the USIM.
#[derive(Debug, Clone)]
pub enum AkaOutcome {
    /// The network has proved itself and the number is fresh.
    Done(AkaResult),
    /// The number is not fresh: the home network is to synchronise (RFC 3310 §3.4).
    Resync {
        /// SQN_MS ⊕ AK* and MAC-S.
        auts: [u8; 14],
    },
    /// The network does not know the key: there is no answer to it.
    NotTheNetwork,
}

/// Why a [`Usim`] cannot be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0} is not 32 hexadecimal digits")]
pub struct UsimError(&'static str);

// TS 33.102 annex C: IND has 5 bits.
const INDICES: usize = 32;

/// A USIM in software: key, operator code and the sequence numbers seen. It lives as long as its
/// account; [`sqn`](Self::sqn) and [`start_at`](Self::start_at) carry it over a restart (without,
/// the first challenge may be a replay that is not noticed).
#[derive(Clone)]
pub struct Usim {
    functions: Milenage,
    // The highest SEQ taken under each IND.
    seen: [u64; INDICES],
}

impl Usim {
    /// From K and OPc in hexadecimal.
    ///
    /// # Errors
    /// Text that is not 32 digits.
    pub fn with_opc(k: &Secret, opc: &Secret) -> Result<Self, UsimError> {
        let (k, opc) = (key("K", k)?, key("OPc", opc)?);
        Ok(Self { functions: Milenage::with_opc(&k, &opc), seen: [0; INDICES] })
    }

    /// From K and the operator's OP in hexadecimal.
    ///
    /// # Errors
    /// Text that is not 32 digits.
    pub fn with_op(k: &Secret, op: &Secret) -> Result<Self, UsimError> {
        let (k, op) = (key("K", k)?, key("OP", op)?);
        Ok(Self { functions: Milenage::with_op(&k, &op), seen: [0; INDICES] })
    }

    /// Takes nothing up to this number (48 bits) as fresh.
    pub fn start_at(mut self, sqn: u64) -> Self {
        self.seen = [sqn >> 5; INDICES];
        self
    }

    /// The highest number taken: SQN_MS, to be kept over a restart.
    pub fn sqn(&self) -> u64 {
        let highest = (0..INDICES).max_by_key(|i| self.seen[*i]).unwrap_or(0);
        (self.seen[highest] << 5 | highest as u64) & 0xffff_ffff_ffff
    }

    /// Answers a challenge (TS 33.102 §6.3.3, §6.3.5).
    pub fn answer(&mut self, challenge: &AkaChallenge) -> AkaOutcome {
        let out = self.functions.f2345(&challenge.rand);
        let (mut sqn, mut amf, mut mac) = ([0; 6], [0; 2], [0; 8]);
        sqn.copy_from_slice(&challenge.autn[..6]);
        sqn.iter_mut().zip(out.ak).for_each(|(s, a)| *s ^= a);
        amf.copy_from_slice(&challenge.autn[6..8]);
        mac.copy_from_slice(&challenge.autn[8..]);
        let (expected, _) = self.functions.f1(&challenge.rand, &sqn, &amf);
        let differences = expected.iter().zip(mac).fold(0, |d, (a, b)| d | (a ^ b));
        if differences != 0 {
            return AkaOutcome::NotTheNetwork;
        }
        let number = sqn.iter().fold(0u64, |n, b| n << 8 | u64::from(*b));
        let (seq, index) = (number >> 5, (number & 31) as usize);
        // C.2.2: fresh is what is above the highest of its index.
        if seq <= self.seen[index] {
            let ours = self.sqn().to_be_bytes();
            let mut ms = [0; 6];
            ms.copy_from_slice(&ours[2..]);
            // "AMF … shall be set to all zeros" (§6.3.3).
            let (_, mac_s) = self.functions.f1(&challenge.rand, &ms, &[0; 2]);
            let ak = self.functions.f5_star(&challenge.rand);
            let mut auts = [0; 14];
            auts[..6].copy_from_slice(&ms);
            auts.iter_mut().zip(ak).for_each(|(s, a)| *s ^= a);
            auts[6..].copy_from_slice(&mac_s);
            return AkaOutcome::Resync { auts };
        }
        self.seen[index] = seq;
        AkaOutcome::Done(AkaResult::new(&out.res, *out.ck, *out.ik))
    }
}

impl fmt::Debug for Usim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Usim(***)")
    }
}

fn key(name: &'static str, text: &Secret) -> Result<Zeroizing<[u8; 16]>, UsimError> {
    let text = text.expose().as_bytes();
    if text.len() != 32 {
        return Err(UsimError(name));
    }
    let mut out = Zeroizing::new([0; 16]);
    for (byte, pair) in out.iter_mut().zip(text.chunks(2)) {
        let digit = |b: u8| char::from(b).to_digit(16).ok_or(UsimError(name));
        *byte = (digit(pair[0])? << 4 | digit(pair[1])?) as u8;
    }
    Ok(out)
}
