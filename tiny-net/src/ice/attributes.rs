//! The other ICE attributes of a session description (RFC 8839 §5): read and written, nothing decided.

use super::candidate::{Candidate, CandidateError, is_ice_text};
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use tiny_sak::Secret;

/// Options of `a=ice-options` (RFC 8839 §5.6) that mean something here; others are kept out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct IceOptions {
    /// `ice2`: RFC 8445, not RFC 5245 (RFC 8445 §10).
    pub ice2: bool,
    /// `trickle` (RFC 8838 §3).
    pub trickle: bool,
    /// `renomination`: the pair nominated last counts, with NOMINATION in the checks.
    pub renomination: bool,
    /// An option that is not known here was there.
    pub unknown: bool,
}

impl fmt::Display for IceOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all =
            [(self.ice2, "ice2"), (self.trickle, "trickle"), (self.renomination, "renomination")];
        let words: Vec<&str> = all.iter().filter(|o| o.0).map(|o| o.1).collect();
        f.write_str(&words.join(" "))
    }
}

/// One ICE attribute.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum IceAttribute {
    /// `candidate` (§5.1).
    Candidate(Candidate),
    /// `remote-candidates`: component and address of each selected one (§5.2).
    RemoteCandidates(Vec<(u16, SocketAddr)>),
    /// `ice-lite` (§5.3).
    Lite,
    /// `ice-mismatch` (§5.3).
    Mismatch,
    /// `ice-ufrag` (§5.4).
    Ufrag(String),
    /// `ice-pwd` (§5.4).
    Password(Secret),
    /// `ice-pacing` (§5.5).
    Pacing(Duration),
    /// `ice-options` (§5.6).
    Options(IceOptions),
    /// `end-of-candidates` (RFC 8840 §4.1).
    EndOfCandidates,
}

/// Why an ICE attribute cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IceAttributeError {
    /// The candidate is malformed or of no use here: it is left out, the others stand.
    #[error(transparent)]
    Candidate(#[from] CandidateError),
    /// The value of this attribute is malformed.
    #[error("the value of {0} is malformed")]
    Value(&'static str),
}

impl IceAttribute {
    /// Reads an attribute by its name and value; `None` where it is none of ICE's.
    ///
    /// # Errors
    /// [`IceAttributeError`] where it is one and malformed.
    pub fn parse(name: &str, value: Option<&str>) -> Result<Option<Self>, IceAttributeError> {
        let text = value.unwrap_or_default().trim();
        let bad = |name| Err(IceAttributeError::Value(name));
        Ok(Some(match name {
            "candidate" => Self::Candidate(text.parse()?),
            "ice-lite" => Self::Lite,
            "ice-mismatch" => Self::Mismatch,
            "end-of-candidates" => Self::EndOfCandidates,
            "ice-ufrag" if is_ice_text(text, 4..=256) => Self::Ufrag(text.to_owned()),
            "ice-ufrag" => return bad("ice-ufrag"),
            "ice-pwd" if is_ice_text(text, 22..=256) => Self::Password(text.into()),
            "ice-pwd" => return bad("ice-pwd"),
            "ice-pacing" => match text.parse::<u64>() {
                Ok(ms) if text.len() <= 10 => Self::Pacing(Duration::from_millis(ms)),
                _ => return bad("ice-pacing"),
            },
            "ice-options" => {
                let mut options = IceOptions::default();
                for word in text.split(' ').filter(|word| !word.is_empty()) {
                    match word {
                        "ice2" => options.ice2 = true,
                        "trickle" => options.trickle = true,
                        "renomination" => options.renomination = true,
                        _ => options.unknown = true,
                    }
                }
                Self::Options(options)
            }
            "remote-candidates" => match remote_candidates(text) {
                Some(all) => Self::RemoteCandidates(all),
                None => return bad("remote-candidates"),
            },
            _ => return Ok(None),
        }))
    }

    /// The name of the attribute.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Candidate(_) => "candidate",
            Self::RemoteCandidates(_) => "remote-candidates",
            Self::Lite => "ice-lite",
            Self::Mismatch => "ice-mismatch",
            Self::Ufrag(_) => "ice-ufrag",
            Self::Password(_) => "ice-pwd",
            Self::Pacing(_) => "ice-pacing",
            Self::Options(_) => "ice-options",
            Self::EndOfCandidates => "end-of-candidates",
        }
    }

    /// The value as it is written; `None` for a flag.
    pub fn value(&self) -> Option<String> {
        match self {
            Self::Candidate(candidate) => Some(candidate.to_string()),
            Self::RemoteCandidates(all) => {
                let each = all.iter().map(|(c, addr)| format!("{c} {} {}", addr.ip(), addr.port()));
                Some(each.collect::<Vec<_>>().join(" "))
            }
            Self::Ufrag(ufrag) => Some(ufrag.clone()),
            Self::Password(password) => Some(password.expose().to_owned()),
            Self::Pacing(pace) => Some(pace.as_millis().to_string()),
            Self::Options(options) => Some(options.to_string()),
            Self::Lite | Self::Mismatch | Self::EndOfCandidates => None,
        }
    }
}

fn remote_candidates(text: &str) -> Option<Vec<(u16, SocketAddr)>> {
    let words: Vec<&str> = text.split(' ').filter(|word| !word.is_empty()).collect();
    let (each, []) = words.as_chunks::<3>() else { return None };
    if each.is_empty() || each.len() > 256 {
        return None;
    }
    let read = |[component, ip, port]: &[&str; 3]| {
        let component = component.parse().ok().filter(|c| (1..=256).contains(c))?;
        Some((component, SocketAddr::new(ip.parse::<IpAddr>().ok()?, port.parse().ok()?)))
    };
    each.iter().map(read).collect()
}

/// Whether the default destination of a media line is among its candidates; if not, somebody between
/// changed it, and the answer is `a=ice-mismatch` without ICE (RFC 8839 §4.2.5). The addresses `0.0.0.0`
/// and `::` with port 9 of a trickled offer are none (RFC 8840 §4.1.2).
pub fn is_mismatch(default: SocketAddr, candidates: &[Candidate]) -> bool {
    if default.ip().is_unspecified() && default.port() == 9 {
        return false;
    }
    // A hidden address cannot be compared.
    let hidden = candidates.iter().any(|c| c.address.ip().is_none());
    !hidden && !candidates.iter().any(|c| c.address.ip() == Some(default))
}
