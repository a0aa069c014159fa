//! Offer and answer of `a=crypto` lines (RFC 4568 §5.1, §7.1). Pure functions: what a re-offer does to
//! counters is told by [`Agreement::continues`], and applied with `rekey`.

use super::attribute::{CryptoAttribute, CryptoError, SessionParameters};
use crate::srtp::{KeyError, MasterKey, Policy, Profile, Protector, Unprotector};
use tiny_sak::Rng;

/// What is offered and what is taken.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Config {
    /// The suites, most preferred first, which §5.1.1 wants to be the strongest. Default:
    /// AES-256-GCM, AES-128-GCM, AES-256, AES-128 with 80 and with 32 bits of tag.
    pub profiles: Vec<Profile>,
    /// Take lines that switch encryption off (`UNENCRYPTED_SRTP`, `UNENCRYPTED_SRTCP`) and offer none.
    /// Default: no, for that is a downgrade.
    pub allow_unencrypted: bool,
    /// Octets of key identifier in the keys made here; 0 for none. Default 0.
    pub mki_len: usize,
    /// How many lines of a peer are looked at. Default 32.
    pub max_lines: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            profiles: vec![
                Profile::AeadAes256Gcm,
                Profile::AeadAes128Gcm,
                Profile::AesCm256HmacSha1_80,
                Profile::AesCm128HmacSha1_80,
                Profile::AesCm128HmacSha1_32,
            ],
            allow_unencrypted: false,
            mki_len: 0,
            max_lines: 32,
        }
    }
}

/// Why no encryption was agreed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// There is no `a=crypto` line (§5.3).
    #[error("the peer sent no crypto line")]
    NoLine,
    /// More lines than are looked at.
    #[error("the peer sent more than {0} crypto lines")]
    TooManyLines(usize),
    /// No line of an offer can be taken; why, line by line.
    #[error("no crypto line of the offer can be taken: {}", list(.0))]
    NoneUsable(Vec<CryptoError>),
    /// Two lines of an offer have the same tag (§5.1.1).
    #[error("two crypto lines have the tag {0}")]
    TagTwice(u32),
    /// An answer with more than one line (§5.1.2).
    #[error("the answer has {0} crypto lines instead of one")]
    SeveralAnswers(usize),
    /// The line of an answer is invalid.
    #[error("the crypto line of the answer cannot be taken: {0}")]
    Answer(CryptoError),
    /// The tag of an answer was not offered (§5.1.3).
    #[error("the tag {0} of the answer was not offered")]
    UnknownTag(u32),
    /// The suite of an answer is not the one offered under its tag.
    #[error("the answer has another crypto suite than the offer under its tag")]
    OtherSuite,
    /// Negotiated session parameters differ from the offered ones (§5.1.2).
    #[error("the session parameters of the answer are not those that were offered")]
    OtherParameters,
    /// The peer sent one of our own keys back (§7.1.2).
    #[error("the peer uses one of our keys")]
    KeyReflected,
}

fn list(errors: &[CryptoError]) -> String {
    errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

/// One line for each side, of the same suite.
#[derive(Debug, Clone)]
pub struct Agreement {
    /// Ours: the keys of what we send.
    pub local: CryptoAttribute,
    /// The peer's: the keys of what we receive.
    pub remote: CryptoAttribute,
}

impl Agreement {
    /// What was agreed on.
    pub fn profile(&self) -> Profile {
        self.local.profile
    }

    /// The policy of what we send.
    pub fn send_policy(&self) -> Policy {
        self.local.policy()
    }

    /// The policy of what we receive.
    pub fn receive_policy(&self) -> Policy {
        self.remote.policy()
    }

    /// The context of what we send.
    ///
    /// # Errors
    /// [`KeyError`], which valid lines do not bring about.
    pub fn protector(&self) -> Result<Protector, KeyError> {
        Protector::new(self.local.policy(), self.local.keys.clone())
    }

    /// The context of what we receive.
    ///
    /// # Errors
    /// [`KeyError`], which valid lines do not bring about.
    pub fn unprotector(&self) -> Result<Unprotector, KeyError> {
        Unprotector::new(self.remote.policy(), self.remote.keys.clone())
    }

    /// Which directions still have the keys of an earlier agreement: sending, receiving. Where this is
    /// false, a re-key is due.
    pub fn continues(&self, earlier: &Self) -> (bool, bool) {
        (same(&self.local, &earlier.local), same(&self.remote, &earlier.remote))
    }
}

fn same(a: &CryptoAttribute, b: &CryptoAttribute) -> bool {
    a.profile == b.profile
        && a.parameters == b.parameters
        && a.keys.len() == b.keys.len()
        && a.keys.iter().zip(&b.keys).all(|(a, b)| a.same_as(b) && a.mki() == b.mki())
}

/// The lines of an offer, with fresh keys, tags from 1 on.
pub fn offer(config: &Config, rng: &mut Rng) -> Vec<CryptoAttribute> {
    let known = config.profiles.iter().filter(|p| p.suite_name().is_some());
    known
        .zip(1u32..)
        .map(|(profile, tag)| CryptoAttribute {
            tag,
            profile: *profile,
            keys: vec![make_key(*profile, config, rng)],
            parameters: SessionParameters::default(),
        })
        .collect()
}

/// Takes the first line of an offer that can be taken (§5.1.2: the offerer's order counts) and makes
/// the line of the answer. The values are what stands behind `a=crypto:`.
///
/// # Errors
/// [`Refusal`]; the stream must then be refused.
pub fn answer<'a>(
    lines: impl IntoIterator<Item = &'a str>,
    config: &Config,
    rng: &mut Rng,
) -> Result<Agreement, Refusal> {
    let lines = bounded(lines, config)?;
    let (mut errors, mut usable) = (Vec::new(), Vec::<CryptoAttribute>::new());
    for line in lines {
        match line.parse::<CryptoAttribute>().and_then(|l| permitted(l, config)) {
            Ok(line) => match usable.iter().find(|l| l.tag == line.tag) {
                Some(twin) => return Err(Refusal::TagTwice(twin.tag)),
                None => usable.push(line),
            },
            Err(e) => errors.push(e),
        }
    }
    let Some(remote) = usable.into_iter().next() else { return Err(Refusal::NoneUsable(errors)) };
    let local = CryptoAttribute {
        tag: remote.tag,
        profile: remote.profile,
        keys: vec![make_key(remote.profile, config, rng)],
        // §6.3: what is negotiated is repeated, a window hint is not.
        parameters: SessionParameters { window: None, ..remote.parameters },
    };
    if reflected(&local, &remote) {
        Err(Refusal::KeyReflected)
    } else {
        Ok(Agreement { local, remote })
    }
}

/// Checks the line of an answer against what was offered (§5.1.3, §7.1.3).
///
/// # Errors
/// [`Refusal`]; the negotiation has then failed, and nothing may be sent.
pub fn accept<'a>(
    offered: &[CryptoAttribute],
    lines: impl IntoIterator<Item = &'a str>,
    config: &Config,
) -> Result<Agreement, Refusal> {
    let lines = bounded(lines, config)?;
    let [line] = lines[..] else { return Err(Refusal::SeveralAnswers(lines.len())) };
    let remote: CryptoAttribute = line.parse().map_err(Refusal::Answer)?;
    let local = offered.iter().find(|o| o.tag == remote.tag);
    let local = local.ok_or(Refusal::UnknownTag(remote.tag))?;
    if local.profile != remote.profile {
        return Err(Refusal::OtherSuite);
    }
    let negotiated = |p: SessionParameters| (p.unencrypted_rtp, p.unencrypted_rtcp);
    if negotiated(local.parameters) != negotiated(remote.parameters) {
        return Err(Refusal::OtherParameters);
    }
    if offered.iter().any(|ours| reflected(ours, &remote)) {
        return Err(Refusal::KeyReflected);
    }
    Ok(Agreement { local: local.clone(), remote })
}

fn bounded<'a>(
    lines: impl IntoIterator<Item = &'a str>,
    config: &Config,
) -> Result<Vec<&'a str>, Refusal> {
    let lines: Vec<&str> = lines.into_iter().take(config.max_lines.saturating_add(1)).collect();
    match lines.len() {
        0 => Err(Refusal::NoLine),
        n if n > config.max_lines => Err(Refusal::TooManyLines(config.max_lines)),
        _ => Ok(lines),
    }
}

fn permitted(line: CryptoAttribute, config: &Config) -> Result<CryptoAttribute, CryptoError> {
    if !config.profiles.contains(&line.profile) {
        return Err(CryptoError::Suite(line.profile.suite_name().unwrap_or_default().into()));
    }
    let open = [
        ("UNENCRYPTED_SRTP", line.parameters.unencrypted_rtp),
        ("UNENCRYPTED_SRTCP", line.parameters.unencrypted_rtcp),
    ];
    match open.into_iter().find(|(_, set)| *set) {
        Some((name, _)) if !config.allow_unencrypted => Err(CryptoError::Parameter(name.into())),
        _ => Ok(line),
    }
}

fn reflected(ours: &CryptoAttribute, theirs: &CryptoAttribute) -> bool {
    theirs.keys.iter().any(|t| ours.keys.iter().any(|o| o.same_as(t)))
}

fn make_key(profile: Profile, config: &Config, rng: &mut Rng) -> MasterKey {
    let key = MasterKey::generate(profile, rng);
    if config.mki_len == 0 {
        return key;
    }
    // The identifier 1, in as many octets as asked for.
    let mut mki = vec![0u8; config.mki_len.min(128)];
    if let Some(last) = mki.last_mut() {
        *last = 1;
    }
    key.clone().with_mki(&mki).unwrap_or(key)
}
