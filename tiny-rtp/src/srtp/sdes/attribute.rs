//! One `a=crypto` line (RFC 4568 §4, §6, §9): tag, suite, keys, session parameters. What is not
//! understood makes the line invalid, and the error names it.

use super::base64;
use crate::srtp::{KeyError, Lifetime, MasterKey, Policy, Profile};
use std::fmt;
use std::str::FromStr;
use zeroize::Zeroizing;

/// At most so many keys in one line: more is not re-keying but flooding.
const MAX_KEYS: usize = 16;
const MAX_LINE: usize = 8192;

/// What session parameters change (RFC 4568 §6.3).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SessionParameters {
    /// `UNENCRYPTED_SRTP`: media is only authenticated.
    pub unencrypted_rtp: bool,
    /// `UNENCRYPTED_SRTCP`: control packets are only authenticated.
    pub unencrypted_rtcp: bool,
    /// `WSH`: how large a replay window the sender of this line thinks its packets need.
    pub window: Option<u32>,
}

/// One `a=crypto` line. `Debug` does not show its keys; `Display` is what goes into the description.
#[derive(Clone)]
pub struct CryptoAttribute {
    pub(super) tag: u32,
    pub(super) profile: Profile,
    pub(super) keys: Vec<MasterKey>,
    pub(super) parameters: SessionParameters,
}

/// Why an `a=crypto` line cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CryptoError {
    /// Not of the form tag, suite, keys, parameters.
    #[error("not a crypto line: {0}")]
    Syntax(&'static str),
    /// A crypto suite that is not known here.
    #[error("the crypto suite {0} is not supported")]
    Suite(String),
    /// A way to convey keys other than `inline`.
    #[error("the key method {0} is not supported")]
    KeyMethod(String),
    /// A key, its lifetime or its identifier that breaks a rule.
    #[error("an unusable key: {0}")]
    Key(#[from] KeyError),
    /// A session parameter that is known and not supported, or not known and not optional (§6.3.7).
    #[error("the session parameter {0} is not supported")]
    Parameter(String),
    /// A session parameter that was given twice or has a bad value.
    #[error("the session parameter {0} is malformed")]
    ParameterValue(String),
}

impl CryptoAttribute {
    /// A line of one's own.
    ///
    /// # Errors
    /// [`CryptoError::Suite`] for a profile that SDP has no name for, [`CryptoError::Key`] for keys
    /// that cannot be together in a line, [`CryptoError::Syntax`] for a tag of ten digits.
    pub fn new(
        tag: u32,
        keys: Vec<MasterKey>,
        parameters: SessionParameters,
    ) -> Result<Self, CryptoError> {
        let first = keys.first().ok_or(KeyError::NoKey)?;
        let (profile, mki_len) = (first.profile(), first.mki().len());
        if profile.suite_name().is_none() {
            return Err(CryptoError::Suite(format!("{profile:?}")));
        }
        if tag > 999_999_999 {
            return Err(CryptoError::Syntax("a tag has at most nine digits"));
        }
        if keys.len() > MAX_KEYS {
            return Err(CryptoError::Syntax("too many keys"));
        }
        if keys.iter().any(|k| k.profile() != profile) {
            return Err(KeyError::OtherProfile.into());
        }
        // §6.1: several keys need identifiers, and these have one length.
        let several = keys.len() > 1;
        if several && mki_len == 0 || keys.iter().any(|k| k.mki().len() != mki_len) {
            return Err(KeyError::MkiLength.into());
        }
        for (at, key) in keys.iter().enumerate() {
            if keys[..at].iter().any(|k| k.mki() == key.mki()) {
                return Err(KeyError::MkiTwice.into());
            }
        }
        // RFC 7714 §8.2: SRTP under AEAD is always encrypted.
        if profile.is_aead() && parameters.unencrypted_rtp {
            return Err(CryptoError::Parameter("UNENCRYPTED_SRTP".into()));
        }
        Ok(Self { tag, profile, keys, parameters })
    }

    /// The number that an answer repeats.
    pub fn tag(&self) -> u32 {
        self.tag
    }

    /// The crypto suite.
    pub fn profile(&self) -> Profile {
        self.profile
    }

    /// The master keys of what the sender of this line sends.
    pub fn keys(&self) -> &[MasterKey] {
        &self.keys
    }

    /// The session parameters.
    pub fn parameters(&self) -> SessionParameters {
        self.parameters
    }

    /// What a context under this line does.
    pub fn policy(&self) -> Policy {
        let policy = Policy::new(self.profile);
        Policy {
            encrypt_rtp: !self.parameters.unencrypted_rtp,
            encrypt_rtcp: !self.parameters.unencrypted_rtcp,
            // §6.3.6: a hint; a smaller window than ours does no good.
            rtp_window: self.parameters.window.unwrap_or(0).clamp(policy.rtp_window, 32_768),
            ..policy
        }
    }
}

impl FromStr for CryptoAttribute {
    type Err = CryptoError;

    /// Reads what stands behind `a=crypto:`.
    fn from_str(value: &str) -> Result<Self, CryptoError> {
        if value.len() > MAX_LINE {
            return Err(CryptoError::Syntax("too long"));
        }
        let mut words = value.split([' ', '\t']).filter(|w| !w.is_empty());
        let tag = words.next().and_then(tag).ok_or(CryptoError::Syntax("no tag"))?;
        let suite = words.next().ok_or(CryptoError::Syntax("no crypto suite"))?;
        let keys = words.next().ok_or(CryptoError::Syntax("no key"))?;
        let profile = Profile::from_suite_name(suite)
            .ok_or_else(|| CryptoError::Suite(suite.chars().take(64).collect()))?;
        // Many write a space behind the semicolon, as RFC 4568 §7.1.5 does itself.
        let mut params: Vec<&str> = keys.split(';').filter(|k| !k.is_empty()).collect();
        let mut rest = words.peekable();
        while let Some(more) = rest.next_if(|w| w.starts_with("inline:")) {
            params.extend(more.split(';').filter(|k| !k.is_empty()));
        }
        if params.len() > MAX_KEYS {
            return Err(CryptoError::Syntax("too many keys"));
        }
        let keys = params.iter().map(|p| key(profile, p)).collect::<Result<Vec<_>, _>>()?;
        let mut parameters = SessionParameters::default();
        for word in rest {
            parameter(&mut parameters, word)?;
        }
        Self::new(tag, keys, parameters)
    }
}

fn tag(word: &str) -> Option<u32> {
    (word.len() <= 9).then(|| decimal(word)).flatten().and_then(|n| n.try_into().ok())
}

/// Digits only: no sign, no blank.
fn decimal(word: &str) -> Option<u64> {
    word.bytes().all(|b| b.is_ascii_digit()).then(|| word.parse().ok()).flatten()
}

/// Digits without leading zeros (§6.1, §6.3).
fn strict(word: &str) -> Option<u64> {
    if word.starts_with('0') { None } else { decimal(word) }
}

/// `inline:<key||salt>["|" lifetime]["|" MKI ":" length]` (§6.1).
fn key(profile: Profile, param: &str) -> Result<MasterKey, CryptoError> {
    let (method, info) = param.split_once(':').ok_or(CryptoError::Syntax("no key method"))?;
    if !method.eq_ignore_ascii_case("inline") {
        return Err(CryptoError::KeyMethod(method.chars().take(64).collect()));
    }
    let mut fields = info.split('|');
    let octets = fields.next().and_then(base64::decode);
    let octets = octets.ok_or(CryptoError::Syntax("the key is not base64"))?;
    let (expected, actual) = (profile.key_len() + profile.salt_len(), octets.len());
    if actual != expected {
        return Err(KeyError::KeyLength { expected, actual }.into());
    }
    let (k, salt) = octets.split_at(profile.key_len());
    let mut key = MasterKey::new(profile, k, salt)?;
    let mut next = fields.next();
    // Only the identifier has a colon.
    if let Some(lifetime) = next.filter(|f| !f.contains(':')) {
        key = key.with_lifetime(parse_lifetime(lifetime)?)?;
        next = fields.next();
    }
    if let Some(mki) = next {
        key = key.with_mki(&parse_mki(mki)?)?;
        next = fields.next();
    }
    if next.is_some() {
        Err(CryptoError::Syntax("too many fields behind the key"))
    } else {
        Ok(key)
    }
}

/// A number of packets, of RTP and of RTCP alike; RTCP never more than 2^31 (§6.1, §6.2.1).
fn parse_lifetime(field: &str) -> Result<Lifetime, CryptoError> {
    let packets = match field.strip_prefix("2^") {
        Some(power) => strict(power).filter(|p| *p <= 48).map(|p| 1u64 << p),
        None => strict(field),
    };
    let packets = packets.ok_or(KeyError::Lifetime)?;
    Ok(Lifetime { rtp: packets, rtcp: packets.min(Lifetime::MAX.rtcp) })
}

/// `value:length`, a decimal number written big-endian into so many octets.
fn parse_mki(field: &str) -> Result<Vec<u8>, CryptoError> {
    let bad = CryptoError::Key(KeyError::MkiSize);
    let (value, length) = field.split_once(':').ok_or(CryptoError::Syntax("no MKI length"))?;
    let length = strict(length).filter(|l| (1..=128).contains(l)).ok_or(bad.clone())?;
    if value.is_empty() || value.len() > 310 || value.starts_with('0') {
        return Err(bad);
    }
    let mut octets = vec![0u8; length as usize];
    for digit in value.bytes() {
        let mut carry = match digit {
            b'0'..=b'9' => u32::from(digit - b'0'),
            _ => return Err(bad),
        };
        for octet in octets.iter_mut().rev() {
            let product = u32::from(*octet) * 10 + carry;
            *octet = product as u8;
            carry = product >> 8;
        }
        if carry != 0 {
            return Err(bad);
        }
    }
    Ok(octets)
}

/// The number that [`parse_mki`] reads.
fn write_mki(mki: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let mut rest = mki.to_vec();
    let mut digits = Vec::new();
    while rest.iter().any(|o| *o != 0) {
        let mut remainder = 0u32;
        for octet in &mut rest {
            let value = remainder << 8 | u32::from(*octet);
            *octet = (value / 10) as u8;
            remainder = value % 10;
        }
        digits.push(char::from(b'0' + remainder as u8));
    }
    let number: String = digits.iter().rev().collect();
    write!(f, "|{}:{}", if number.is_empty() { "0" } else { &number }, mki.len())
}

fn parameter(parameters: &mut SessionParameters, word: &str) -> Result<(), CryptoError> {
    let shown = || word.chars().take(64).collect::<String>();
    let (name, value) = match word.split_once('=') {
        Some((name, value)) => (name, Some(value)),
        None => (word, None),
    };
    let flag = |set: &mut bool| {
        if value.is_some() || std::mem::replace(set, true) {
            return Err(CryptoError::ParameterValue(shown()));
        }
        Ok(())
    };
    match name.to_ascii_uppercase().as_str() {
        "UNENCRYPTED_SRTP" => flag(&mut parameters.unencrypted_rtp),
        "UNENCRYPTED_SRTCP" => flag(&mut parameters.unencrypted_rtcp),
        "WSH" => {
            let window = value.and_then(strict).filter(|w| *w >= 64);
            match (window.map(u32::try_from), parameters.window) {
                (Some(Ok(window)), None) => parameters.window = Some(window),
                _ => return Err(CryptoError::ParameterValue(shown())),
            }
            Ok(())
        }
        // What is so anyway.
        "KDR" if value == Some("0") => Ok(()),
        "FEC_ORDER" if value == Some("FEC_SRTP") => Ok(()),
        // §6.3.7: with a dash in front it may be ignored.
        _ if name.starts_with('-') => Ok(()),
        _ => Err(CryptoError::Parameter(shown())),
    }
}

impl fmt::Display for CryptoAttribute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} ", self.tag, self.profile.suite_name().unwrap_or_default())?;
        for (at, key) in self.keys.iter().enumerate() {
            let text: Zeroizing<String> = base64::encode(key.expose());
            write!(f, "{}inline:{}", if at == 0 { "" } else { ";" }, *text)?;
            let Lifetime { rtp, rtcp } = key.lifetime();
            let packets = if rtcp == Lifetime::MAX.rtcp { rtp } else { rtp.min(rtcp) };
            if key.lifetime() == Lifetime::MAX {
            } else if packets.is_power_of_two() && packets > 1 {
                write!(f, "|2^{}", packets.trailing_zeros())?;
            } else {
                write!(f, "|{packets}")?;
            }
            if !key.mki().is_empty() {
                write_mki(key.mki(), f)?;
            }
        }
        if self.parameters.unencrypted_rtp {
            f.write_str(" UNENCRYPTED_SRTP")?;
        }
        if self.parameters.unencrypted_rtcp {
            f.write_str(" UNENCRYPTED_SRTCP")?;
        }
        match self.parameters.window {
            Some(window) => write!(f, " WSH={window}"),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for CryptoAttribute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CryptoAttribute")
            .field("tag", &self.tag)
            .field("profile", &self.profile)
            .field("keys", &self.keys)
            .field("parameters", &self.parameters)
            .finish()
    }
}
