//! One packet under one master key: encrypt, tag, verify, decrypt, where each field goes
//! (RFC 3711 §3.1, §3.4, §4; RFC 7714 §8, §9). It knows no stream: indices come in as arguments.

use super::cipher::{AesCm, AesF8};
use super::gcm::{self, Gcm};
use super::kdf::{Label, derive};
use super::mac::HmacSha1;
use super::{MasterKey, Policy, Profile, SrtpError};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// Octets of an RTCP packet that stay clear: the first header and the SSRC (RFC 3711 §3.4).
pub(super) const RTCP_CLEAR: usize = 8;
/// The E flag and the index behind an RTCP packet.
pub(super) const RTCP_WORD: usize = 4;
const ENCRYPTED: u32 = 1 << 31;

/// What SRTP reads of an RTP header.
#[derive(Clone, Copy)]
pub(super) struct RtpHead {
    pub(super) len: usize,
    pub(super) ssrc: u32,
    pub(super) sequence: u16,
}

impl RtpHead {
    /// Fixed header, CSRC list and header extension; the padding count at the end may be encrypted.
    #[inline]
    pub(super) fn read(packet: &[u8]) -> Result<Self, SrtpError> {
        let head = packet.first_chunk::<12>().ok_or(SrtpError::Malformed)?;
        if head[0] >> 6 != 2 {
            return Err(SrtpError::Malformed);
        }
        let mut len = 12 + usize::from(head[0] & 0x0f) * 4;
        if head[0] & 0x10 != 0 {
            let word = packet.get(len..len + 4).ok_or(SrtpError::Malformed)?;
            len += 4 + usize::from(u16::from_be_bytes([word[2], word[3]])) * 4;
        }
        if len > packet.len() {
            return Err(SrtpError::Malformed);
        }
        Ok(Self {
            len,
            ssrc: u32::from_be_bytes([head[8], head[9], head[10], head[11]]),
            sequence: u16::from_be_bytes([head[2], head[3]]),
        })
    }
}

/// The SSRC of the first packet of a compound.
#[inline]
pub(super) fn rtcp_ssrc(packet: &[u8]) -> Result<u32, SrtpError> {
    match packet.first_chunk::<RTCP_CLEAR>() {
        Some([first, _, _, _, a, b, c, d]) if first >> 6 == 2 => {
            Ok(u32::from_be_bytes([*a, *b, *c, *d]))
        }
        _ => Err(SrtpError::Malformed),
    }
}

/// The end of an SRTCP packet.
#[derive(Clone, Copy)]
pub(super) struct RtcpTail {
    pub(super) body: usize,
    pub(super) encrypted: bool,
    pub(super) index: u32,
}

/// The session keys of one master key.
pub(super) struct SessionKeys {
    pub(super) rtp: Stream,
    pub(super) rtcp: Stream,
}

impl SessionKeys {
    pub(super) fn derive(master: &MasterKey, policy: &Policy) -> Option<Self> {
        let prf = AesCm::new(master.key())?;
        let stream = |labels: [Label; 3], encrypt: bool, tag: usize| {
            let [cipher_label, auth_label, salt_label] = labels;
            let mut key = Zeroizing::new([0u8; 32]);
            let key = &mut key[..policy.profile.key_len()];
            derive(&prf, master.salt(), cipher_label, key);
            let mut auth = Zeroizing::new([0u8; 20]);
            derive(&prf, master.salt(), auth_label, &mut *auth);
            let mut salt = Zeroizing::new([0u8; 14]);
            derive(&prf, master.salt(), salt_label, &mut salt[..policy.profile.salt_len()]);
            Stream::new(policy.profile, encrypt, tag, key, &auth, &salt)
        };
        let profile = policy.profile;
        Some(Self {
            rtp: stream(
                [Label::RtpCipher, Label::RtpAuth, Label::RtpSalt],
                policy.encrypt_rtp && profile.encrypts(),
                profile.rtp_tag_len(),
            )?,
            rtcp: stream(
                [Label::RtcpCipher, Label::RtcpAuth, Label::RtcpSalt],
                policy.encrypt_rtcp && profile.encrypts(),
                profile.rtcp_tag_len(),
            )?,
        })
    }
}

/// The session keys of RTP, or those of RTCP.
pub(super) struct Stream {
    salt: Zeroizing<[u8; 14]>,
    transform: Transform,
}

enum Transform {
    /// Cipher, then HMAC. Without a cipher, only HMAC.
    Hmac {
        cipher: Option<Cipher>,
        mac: HmacSha1,
        tag: usize,
    },
    Gcm {
        gcm: Gcm,
        encrypt: bool,
    },
}

enum Cipher {
    Cm(AesCm),
    F8(Box<AesF8>),
}

impl Stream {
    /// Keys as they are, without derivation.
    pub(super) fn new(
        profile: Profile,
        encrypt: bool,
        tag: usize,
        key: &[u8],
        auth: &[u8; 20],
        salt: &[u8; 14],
    ) -> Option<Self> {
        let transform = if profile.is_aead() {
            Transform::Gcm { gcm: Gcm::new(key)?, encrypt }
        } else {
            let cipher = match profile {
                _ if !encrypt => None,
                Profile::AesF8128HmacSha1_80 => Some(Cipher::F8(AesF8::new(key, salt)?.into())),
                _ => Some(Cipher::Cm(AesCm::new(key)?)),
            };
            Transform::Hmac { cipher, mac: HmacSha1::new(auth), tag }
        };
        Some(Self { salt: Zeroizing::new(*salt), transform })
    }

    /// RFC 3711 §4.1.1: salt, SSRC and 48-bit index, and 16 bits for the block counter.
    #[inline]
    fn cm_iv(&self, ssrc: u32, index: u64) -> [u8; 16] {
        let mut iv = [0u8; 16];
        iv[..14].copy_from_slice(&*self.salt);
        let mixed = u128::from_be_bytes(iv) ^ u128::from(ssrc) << 64 ^ u128::from(index) << 16;
        mixed.to_be_bytes()
    }

    /// RFC 7714 §8.1, §9.1: the same without the block counter, in 96 bits.
    #[inline]
    fn gcm_iv(&self, ssrc: u32, index: u64) -> [u8; 12] {
        let mut iv = [0u8; 12];
        iv.copy_from_slice(&self.salt[..12]);
        for (at, octet) in iv[2..6].iter_mut().zip(ssrc.to_be_bytes()) {
            *at ^= octet;
        }
        for (at, octet) in iv[6..].iter_mut().zip(&index.to_be_bytes()[2..]) {
            *at ^= octet;
        }
        iv
    }

    /// Encrypts or decrypts what follows the header.
    #[inline]
    fn apply_rtp(&self, cipher: &Cipher, packet: &mut [u8], head: RtpHead, index: u64) {
        let (header, rest) = packet.split_at_mut(head.len);
        match cipher {
            Cipher::Cm(key) => key.apply(&self.cm_iv(head.ssrc, index), rest),
            Cipher::F8(key) => {
                // §4.1.2.2: zero, the header from the marker to the SSRC, the rollover counter.
                let mut iv = [0u8; 16];
                iv[1..12].copy_from_slice(&header[1..12]);
                iv[12..].copy_from_slice(&((index >> 16) as u32).to_be_bytes());
                key.apply(&iv, rest);
            }
        }
    }

    #[inline]
    fn apply_rtcp(&self, cipher: &Cipher, packet: &mut [u8], ssrc: u32, index: u32) {
        let (header, rest) = packet.split_at_mut(RTCP_CLEAR);
        match cipher {
            Cipher::Cm(key) => key.apply(&self.cm_iv(ssrc, index.into()), rest),
            Cipher::F8(key) => {
                // §4.1.2.3: zeros, the E flag with the index, the first header.
                let mut iv = [0u8; 16];
                iv[4..8].copy_from_slice(&(index | ENCRYPTED).to_be_bytes());
                iv[8..].copy_from_slice(header);
                key.apply(&iv, rest);
            }
        }
    }

    /// Octets of tag.
    fn tag_len(&self) -> usize {
        match self.transform {
            Transform::Hmac { tag, .. } => tag,
            Transform::Gcm { .. } => gcm::TAG,
        }
    }

    /// Where the key identifier of a received packet is: before the tag, or at the end where the tag
    /// belongs to the cipher text (RFC 7714 §8.2).
    pub(super) fn mki<'a>(&self, packet: &'a [u8], mki_len: usize) -> Option<&'a [u8]> {
        let end = match self.transform {
            Transform::Hmac { tag, .. } => packet.len().checked_sub(tag)?,
            Transform::Gcm { .. } => packet.len(),
        };
        packet.get(end.checked_sub(mki_len)?..end)
    }

    /// Protects the first `len` octets; the buffer has room for tag and identifier. Gives the length.
    #[inline]
    pub(super) fn seal_rtp(
        &self,
        buffer: &mut [u8],
        len: usize,
        head: RtpHead,
        index: u64,
        mki: &[u8],
    ) -> Option<usize> {
        match &self.transform {
            Transform::Hmac { cipher, mac, tag } => {
                if let Some(cipher) = cipher {
                    self.apply_rtp(cipher, &mut buffer[..len], head, index);
                }
                let roc = ((index >> 16) as u32).to_be_bytes();
                let code = mac.tag(&buffer[..len], &roc);
                let end = put(buffer, len, mki);
                Some(put(buffer, end, &code[..*tag]))
            }
            Transform::Gcm { gcm, encrypt } => {
                let clear = if *encrypt { head.len } else { len };
                let (aad, rest) = buffer[..len].split_at_mut(clear);
                let code = gcm.seal(self.gcm_iv(head.ssrc, index), aad, rest)?;
                let end = put(buffer, len, &code);
                Some(put(buffer, end, mki))
            }
        }
    }

    /// Verifies and decrypts; gives the length of what is left.
    #[inline]
    pub(super) fn open_rtp(
        &self,
        packet: &mut [u8],
        head: RtpHead,
        index: u64,
        mki_len: usize,
    ) -> Result<usize, SrtpError> {
        let body = packet.len().checked_sub(self.tag_len() + mki_len);
        let body = body.filter(|b| *b >= head.len).ok_or(SrtpError::Malformed)?;
        match &self.transform {
            Transform::Hmac { cipher, mac, tag } => {
                let roc = ((index >> 16) as u32).to_be_bytes();
                let code = mac.tag(&packet[..body], &roc);
                verify(&code[..*tag], &packet[body + mki_len..])?;
                if let Some(cipher) = cipher {
                    self.apply_rtp(cipher, &mut packet[..body], head, index);
                }
            }
            Transform::Gcm { gcm, encrypt } => {
                let clear = if *encrypt { head.len } else { body };
                let (aad, rest) = packet[..body + gcm::TAG].split_at_mut(clear);
                if !gcm.open(self.gcm_iv(head.ssrc, index), aad, rest) {
                    return Err(SrtpError::AuthFailed);
                }
            }
        }
        Ok(body)
    }

    /// Protects the RTCP packet in the first `len` octets.
    #[inline]
    pub(super) fn seal_rtcp(
        &self,
        buffer: &mut [u8],
        len: usize,
        ssrc: u32,
        index: u32,
        mki: &[u8],
    ) -> Option<usize> {
        let word = if self.encrypts() { index | ENCRYPTED } else { index }.to_be_bytes();
        match &self.transform {
            Transform::Hmac { cipher, mac, tag } => {
                if let Some(cipher) = cipher {
                    self.apply_rtcp(cipher, &mut buffer[..len], ssrc, index);
                }
                let end = put(buffer, len, &word);
                let code = mac.tag(&buffer[..end], &[]);
                let end = put(buffer, end, mki);
                Some(put(buffer, end, &code[..*tag]))
            }
            Transform::Gcm { gcm, encrypt } => {
                let iv = self.gcm_iv(ssrc, index.into());
                let code = if *encrypt {
                    let (clear, rest) = buffer[..len].split_at_mut(RTCP_CLEAR);
                    gcm.seal(iv, &rtcp_aad(clear, word), rest)?
                } else {
                    let end = put(buffer, len, &word);
                    gcm.seal(iv, &buffer[..end], &mut [])?
                };
                let end = put(buffer, len, &code);
                let end = put(buffer, end, &word);
                Some(put(buffer, end, mki))
            }
        }
    }

    /// Reads what stands behind an RTCP packet.
    #[inline]
    pub(super) fn rtcp_tail(&self, packet: &[u8], mki_len: usize) -> Result<RtcpTail, SrtpError> {
        let word_and_tag = self.tag_len() + RTCP_WORD;
        let body = packet.len().checked_sub(word_and_tag + mki_len);
        let body = body.filter(|b| *b >= RTCP_CLEAR).ok_or(SrtpError::Malformed)?;
        let at = match self.transform {
            Transform::Hmac { .. } => body,
            Transform::Gcm { .. } => body + gcm::TAG,
        };
        let word = packet[at..].first_chunk::<RTCP_WORD>().ok_or(SrtpError::Malformed)?;
        let word = u32::from_be_bytes(*word);
        let tail = RtcpTail { body, encrypted: word & ENCRYPTED != 0, index: word & !ENCRYPTED };
        // RFC 4568 §6.3.2: the flag is set on all packets, or on none.
        match (self.encrypts(), tail.encrypted) {
            (true, false) => Err(SrtpError::NotEncrypted),
            (false, true) => Err(SrtpError::Encrypted),
            _ => Ok(tail),
        }
    }

    /// Verifies and decrypts an RTCP packet whose tail was read.
    #[inline]
    pub(super) fn open_rtcp(
        &self,
        packet: &mut [u8],
        ssrc: u32,
        tail: RtcpTail,
        mki_len: usize,
    ) -> Result<usize, SrtpError> {
        let body = tail.body;
        match &self.transform {
            Transform::Hmac { cipher, mac, tag } => {
                let end = body + RTCP_WORD;
                let code = mac.tag(&packet[..end], &[]);
                verify(&code[..*tag], &packet[end + mki_len..])?;
                if let Some(cipher) = cipher {
                    self.apply_rtcp(cipher, &mut packet[..body], ssrc, tail.index);
                }
            }
            Transform::Gcm { gcm, encrypt } => {
                let iv = self.gcm_iv(ssrc, tail.index.into());
                let end = body + gcm::TAG;
                let word = if *encrypt { tail.index | ENCRYPTED } else { tail.index };
                let authentic = if *encrypt {
                    let (clear, rest) = packet[..end].split_at_mut(RTCP_CLEAR);
                    gcm.open(iv, &rtcp_aad(clear, word.to_be_bytes()), rest)
                } else {
                    // The word is authenticated as if it followed the packet (§9.3).
                    let mut code = [0u8; gcm::TAG];
                    code.copy_from_slice(&packet[body..end]);
                    let aad_end = put(packet, body, &word.to_be_bytes());
                    gcm.open(iv, &packet[..aad_end], &mut code)
                };
                if !authentic {
                    return Err(SrtpError::AuthFailed);
                }
            }
        }
        Ok(body)
    }

    #[inline]
    fn encrypts(&self) -> bool {
        match &self.transform {
            Transform::Hmac { cipher, .. } => cipher.is_some(),
            Transform::Gcm { encrypt, .. } => *encrypt,
        }
    }
}

#[inline]
fn rtcp_aad(clear: &[u8], word: [u8; RTCP_WORD]) -> [u8; RTCP_CLEAR + RTCP_WORD] {
    let mut aad = [0u8; RTCP_CLEAR + RTCP_WORD];
    aad[..RTCP_CLEAR].copy_from_slice(clear);
    aad[RTCP_CLEAR..].copy_from_slice(&word);
    aad
}

#[inline]
fn put(buffer: &mut [u8], at: usize, octets: &[u8]) -> usize {
    let end = at + octets.len();
    buffer[at..end].copy_from_slice(octets);
    end
}

#[inline]
fn verify(ours: &[u8], theirs: &[u8]) -> Result<(), SrtpError> {
    if bool::from(ours.ct_eq(theirs)) { Ok(()) } else { Err(SrtpError::AuthFailed) }
}
