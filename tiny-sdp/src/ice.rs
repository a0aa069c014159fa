//! ICE in offer and answer (RFC 8839): what each side says, whether the peer's default address fits
//! its candidates (§4.2.5), and whether it restarts (§4.4.1.1.1). Checks no path, gathers nothing.

use crate::attribute::{Candidate, CandidateAddress, RemoteCandidate, RemoteCandidates};
use crate::description::{AttributeList as _, Description};
use crate::remote::RemoteMedia;
use crate::{Error, Host, Text};
use std::fmt;

/// The name and password of one ICE session of one side (RFC 8839 §5.4). `Debug` hides the password.
#[derive(Clone, PartialEq, Eq)]
pub struct IceCredentials {
    /// 4 to 256 letters, digits, `+` and `/`.
    pub ufrag: Text,
    /// 22 to 256 letters, digits, `+` and `/`.
    pub pwd: Text,
}

impl IceCredentials {
    /// A name and its password.
    pub fn new(ufrag: impl Into<Text>, pwd: impl Into<Text>) -> Self {
        Self { ufrag: ufrag.into(), pwd: pwd.into() }
    }

    /// Whether the grammar allows them.
    pub(crate) fn are_valid(&self) -> bool {
        let fits = |s: &str, least| {
            (least..=256).contains(&s.len())
                && s.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'+' || b == b'/')
        };
        fits(&self.ufrag, 4) && fits(&self.pwd, 22)
    }

    /// §4.4.1.1.1: both change in a restart.
    pub(crate) fn both_differ(&self, other: &Self) -> bool {
        self.ufrag != other.ufrag && self.pwd != other.pwd
    }
}

impl fmt::Debug for IceCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IceCredentials").field("ufrag", &self.ufrag).field("pwd", &"***").finish()
    }
}

/// Our side of ICE, in [`LocalMedia::ice`](crate::LocalMedia::ice).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalIce {
    /// New ones restart ICE.
    pub credentials: IceCredentials,
    /// Candidates known so far. The default one is what
    /// [`LocalMedia::port`](crate::LocalMedia::port) and its address say; with none yet, port 9 and
    /// address `0.0.0.0`.
    pub candidates: Vec<Candidate>,
    /// Whether there will be no more (RFC 8838 §8.2).
    pub end_of_candidates: bool,
    /// What a controlling agent chose, in an offer after ICE concluded (§4.4.1.2.2).
    pub remote_candidates: Vec<RemoteCandidate>,
}

impl LocalIce {
    /// No candidate yet.
    pub fn new(credentials: IceCredentials) -> Self {
        Self {
            credentials,
            candidates: Vec::new(),
            end_of_candidates: false,
            remote_candidates: Vec::new(),
        }
    }
}

/// ICE as both sides want it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NegotiatedIce {
    /// The peer's name and password.
    pub remote: IceCredentials,
    /// The peer's candidates in this description; those that cannot be read are left out.
    pub candidates: Vec<Candidate>,
    /// Whether the peer has no more.
    pub end_of_candidates: bool,
    /// Whether the peer is lite (§5.3).
    pub remote_lite: bool,
    /// Whether the peer knows trickle ICE (RFC 8840 §5).
    pub remote_trickle: bool,
    /// `a=ice-options` of the peer, as written; empty when it says nothing.
    pub remote_options: Text,
    /// Milliseconds between the peer's connectivity checks, if it says so: the slower of both counts
    /// (§5.5).
    pub remote_pacing: Option<u32>,
    /// What the peer chose, by a controlling peer's later offer.
    pub remote_candidates: Vec<RemoteCandidate>,
    /// Whether this exchange restarted ICE. False for the first one.
    pub restarted: bool,
}

/// Why there is no ICE although we wanted it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum IceRefusal {
    /// The peer wrote no usable `a=ice-ufrag` and `a=ice-pwd`.
    NotSupported,
    /// The peer's default address is none of its candidates: something between us changed it
    /// (§4.2.5). As answerer we said `a=ice-mismatch`.
    Mismatch,
    /// The peer saw that in our offer and said `a=ice-mismatch`.
    MismatchByPeer,
}

impl fmt::Display for IceRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotSupported => "the peer does not use ICE",
            Self::Mismatch => "the peer's default address is not among its candidates",
            Self::MismatchByPeer => "the peer found our default address changed on the way",
        })
    }
}

/// What the session remembers of ICE.
#[derive(Debug, Clone)]
pub(crate) struct IceState {
    pub(crate) local: IceCredentials,
    pub(crate) remote: IceCredentials,
}

/// Reads what a peer's section says of ICE. `Err`: ICE cannot be used, and why.
pub(crate) fn read(
    description: &Description,
    index: usize,
    remote: &RemoteMedia<'_>,
) -> Result<NegotiatedIce, IceRefusal> {
    let media = description.media(index).ok_or(IceRefusal::NotSupported)?;
    if media.has("ice-mismatch") {
        return Err(IceRefusal::MismatchByPeer);
    }
    let (Some(ufrag), Some(pwd)) = (media.ice_ufrag(), media.ice_pwd()) else {
        return Err(IceRefusal::NotSupported);
    };
    let credentials = IceCredentials { ufrag: Text::copy(ufrag), pwd: Text::copy(pwd) };
    if !credentials.are_valid() {
        return Err(IceRefusal::NotSupported);
    }
    let candidates: Vec<Candidate> = media.candidates().filter_map(Result::ok).collect();
    if !fits_default(remote, &candidates) {
        return Err(IceRefusal::Mismatch);
    }
    let session = &description.as_session().attributes;
    let lite = session.iter().any(|a| a.attribute.eq_ignore_ascii_case("ice-lite"));
    let options = media.inherited("ice-options").map(str::trim).unwrap_or_default();
    let chosen = media.typed::<RemoteCandidates>().find_map(Result::ok);
    Ok(NegotiatedIce {
        remote: credentials,
        candidates,
        end_of_candidates: media.has("end-of-candidates") || description.has("end-of-candidates"),
        remote_lite: lite || media.has("ice-lite"),
        remote_trickle: options.split_ascii_whitespace().any(|o| o == "trickle"),
        remote_options: Text::copy(options),
        remote_pacing: description.value("ice-pacing").and_then(|v| v.trim().parse().ok()),
        remote_candidates: chosen.map(|c| c.0).unwrap_or_default(),
        restarted: false,
    })
}

/// §4.2.5: the default destination of each component is one of its candidates. Nothing can be said
/// where there is no default yet (RFC 8840 §4.1), or where it is a name.
fn fits_default(remote: &RemoteMedia<'_>, candidates: &[Candidate]) -> bool {
    let listed = |component: u32, host: &Host, port: u16| {
        let Some(ip) = host.ip() else { return true };
        if ip.is_unspecified() || port == 9 {
            return true;
        }
        let mut of_component = candidates.iter().filter(|c| c.component_id == component).peekable();
        // A trickling peer may name its default before its candidates.
        of_component.peek().is_none()
            || of_component.any(|c| match &c.address {
                CandidateAddress::IpAddr(address) => *address == ip && c.port == port,
                // Names resolve to anything (mDNS).
                CandidateAddress::FQDN(_) => c.port == port,
            })
    };
    let rtp = remote.rtp().is_none_or(|a| listed(1, &a.host, a.port));
    rtp && (remote.rtcp_mux || remote.rtcp(false).is_none_or(|a| listed(2, &a.host, a.port)))
}

/// What an exchange makes of the state; tells whether it was a restart.
pub(crate) fn renew(
    state: &mut Option<IceState>,
    local: &IceCredentials,
    remote: &IceCredentials,
) -> bool {
    let restarted = state.as_ref().is_some_and(|s| s.remote.both_differ(remote));
    *state = Some(IceState { local: local.clone(), remote: remote.clone() });
    restarted
}

/// The peer restarts ICE: an answer has new credentials of ours (§4.4.2).
pub(crate) fn check_answered_restart(
    state: Option<&IceState>,
    local: &IceCredentials,
    remote: &IceCredentials,
) -> Result<(), Error> {
    match state {
        Some(s) if s.remote.both_differ(remote) && !s.local.both_differ(local) => {
            let what = "the peer restarts ICE, which new credentials must answer";
            Err(Error::Local { field: "ice", what })
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Limits;

    fn ice(media: &str) -> Result<NegotiatedIce, IceRefusal> {
        let text = format!(
            "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n{media}\
             a=ice-ufrag:abcd\r\na=ice-pwd:0123456789012345678901\r\n"
        );
        let description = Description::parse(text.as_bytes(), &Limits::default()).unwrap();
        let remote = RemoteMedia::read(&description, 0).unwrap();
        read(&description, 0, &remote)
    }

    #[test]
    fn a_default_that_no_candidate_has_is_a_mismatch() {
        let host = "a=candidate:1 1 UDP 1 192.0.2.1 4000 typ host\r\n";
        let rtcp = "a=candidate:1 2 UDP 1 192.0.2.1 4001 typ host\r\n";
        let line = "m=audio 4000 RTP/AVP 0\r\n";
        assert!(ice(&format!("{line}{host}")).is_ok());
        assert!(ice(&format!("{line}{host}{rtcp}")).is_ok());
        let moved = "m=audio 4002 RTP/AVP 0\r\n";
        assert_eq!(ice(&format!("{moved}{host}")), Err(IceRefusal::Mismatch));
        let elsewhere = "m=audio 4000 RTP/AVP 0\r\na=rtcp:5000\r\n";
        assert_eq!(ice(&format!("{elsewhere}{host}{rtcp}")), Err(IceRefusal::Mismatch));
        assert!(ice(&format!("{elsewhere}a=rtcp-mux\r\n{host}{rtcp}")).is_ok());
        // No default yet; names.
        assert!(ice(&format!("m=audio 9 RTP/AVP 0\r\n{host}")).is_ok());
        let none = "m=audio 4002 RTP/AVP 0\r\nc=IN IP4 0.0.0.0\r\n";
        assert!(ice(&format!("{none}{host}")).is_ok());
        let name = "a=candidate:1 1 UDP 1 a1b2.local 4002 typ host\r\n";
        assert!(ice(&format!("{moved}{name}")).is_ok());
        assert!(ice(&format!("{moved}c=IN IP4 sbc.example.com\r\n{host}")).is_ok());
    }

    #[test]
    fn what_a_peer_says_is_typed() {
        let got = ice("m=audio 9 RTP/AVP 0\r\na=ice-lite\r\na=ice-options:ice2 trickle\r\n\
             a=end-of-candidates\r\na=remote-candidates:1 192.0.2.9 6000\r\n\
             a=candidate:1 1 UDP 1 192.0.2.1 4000 typ srflx raddr 10.0.0.1 rport 5\r\n\
             a=candidate:nonsense\r\n")
        .unwrap();
        assert!(got.remote_lite && got.remote_trickle && got.end_of_candidates && !got.restarted);
        assert_eq!((got.candidates.len(), got.remote_candidates[0].port), (1, 6000));
        assert!(!format!("{got:?}").contains("0123456789012345678901"));
        let by_peer = ice("m=audio 9 RTP/AVP 0\r\na=ice-mismatch\r\n");
        assert_eq!(by_peer, Err(IceRefusal::MismatchByPeer));
    }

    #[test]
    fn a_restart_changes_both_name_and_password() {
        let old = IceCredentials::new("abcd", "p1");
        assert!(old.both_differ(&IceCredentials::new("efgh", "p2")));
        assert!(!old.both_differ(&IceCredentials::new("efgh", "p1")));
        assert!(!IceCredentials::new("abc", "0123456789012345678901").are_valid());
        assert!(!IceCredentials::new("abcd", "012345678901234567890").are_valid());
        assert!(!IceCredentials::new("ab-d", "0123456789012345678901").are_valid());
    }
}
