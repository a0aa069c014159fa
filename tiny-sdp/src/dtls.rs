//! DTLS in offer and answer (RFC 8842, RFC 8122, RFC 4145): certificate fingerprints, who connects,
//! and whether a new association is due. Reads and decides; never sees a certificate or a packet.

use crate::attribute::{Fingerprint, Setup};
use crate::description::{AttributeList as _, Description};
use crate::{Error, Rejection, Text};
use std::fmt;

/// Our side of a DTLS association, in [`LocalMedia::dtls`](crate::LocalMedia::dtls).
///
/// Give the same value for each offer and answer of a call: the negotiator keeps role and `tls-id`
/// over them, and renews the `tls-id` when the peer asks for a new association.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalDtls {
    /// What an offer says, and which role is taken when the peer leaves the choice. Default
    /// [`Setup::ActPass`], which answers `active` (RFC 8842 §5.3).
    pub setup: Setup,
    /// The fingerprints of our certificate, at least one (RFC 8122 §5).
    pub fingerprints: Vec<Fingerprint>,
    /// Names the association: 20 to 255 letters, digits and `+/-_`, with 120 random bits (RFC 8842
    /// §4). `None` writes no `a=tls-id`. A new value asks for a new association.
    pub tls_id: Option<Text>,
}

impl LocalDtls {
    /// Either role, no `tls-id`.
    pub fn new(fingerprints: Vec<Fingerprint>) -> Self {
        Self { setup: Setup::ActPass, fingerprints, tls_id: None }
    }

    /// Sets [`tls_id`](Self::tls_id).
    #[must_use]
    pub fn tls_id(mut self, tls_id: impl Into<Text>) -> Self {
        self.tls_id = Some(tls_id.into());
        self
    }
}

/// Who sends the ClientHello.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DtlsRole {
    /// We do: `a=setup:active`.
    Client,
    /// The peer does: `a=setup:passive`.
    Server,
}

impl DtlsRole {
    /// As written in an answer.
    pub fn setup(self) -> Setup {
        match self {
            Self::Client => Setup::Active,
            Self::Server => Setup::Passive,
        }
    }

    /// The peer's role.
    #[must_use]
    pub fn reversed(self) -> Self {
        match self {
            Self::Client => Self::Server,
            Self::Server => Self::Client,
        }
    }
}

impl fmt::Display for DtlsRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Client => "client",
            Self::Server => "server",
        })
    }
}

/// The DTLS association that both sides agreed on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NegotiatedDtls {
    /// Our role.
    pub role: DtlsRole,
    /// The peer's certificate must have one of these (RFC 8122 §5); never empty.
    pub remote_fingerprints: Vec<Fingerprint>,
    /// The peer's name for the association.
    pub remote_tls_id: Option<Text>,
    /// Our `a=tls-id` as written.
    pub local_tls_id: Option<Text>,
    /// Whether a handshake is due now; else the association there is goes on (RFC 8842 §3.1).
    pub new_association: bool,
}

/// What a peer's section says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct RemoteDtls {
    pub(crate) setup: Option<Setup>,
    pub(crate) fingerprints: Vec<Fingerprint>,
    pub(crate) tls_id: Option<Text>,
}

impl RemoteDtls {
    /// `Err`: a setup that nobody knows.
    pub(crate) fn read(description: &Description, index: usize) -> Result<Self, Rejection> {
        let Some(media) = description.media(index) else { return Ok(Self::default()) };
        Ok(Self {
            setup: media.setup().transpose().map_err(|_| Rejection::Dtls)?,
            // RFC 8122 §5: of several the ones that are understood count.
            fingerprints: media
                .fingerprints()
                .into_iter()
                .filter_map(Result::ok)
                .filter(|f| !f.fingerprint.is_empty())
                .collect(),
            tls_id: media.value("tls-id").map(str::trim).filter(|v| !v.is_empty()).map(Text::copy),
        })
    }

    /// Whether an offer with this can be answered.
    pub(crate) fn is_usable(&self) -> bool {
        !self.fingerprints.is_empty() && self.setup != Some(Setup::HoldConn)
    }

    pub(crate) fn into_negotiated(
        self,
        role: DtlsRole,
        new_association: bool,
        local_tls_id: Option<Text>,
    ) -> Box<NegotiatedDtls> {
        Box::new(NegotiatedDtls {
            role,
            remote_fingerprints: self.fingerprints,
            remote_tls_id: self.tls_id,
            local_tls_id,
            new_association,
        })
    }
}

/// What a session remembers of its association.
#[derive(Debug, Clone)]
pub(crate) struct DtlsState {
    role: DtlsRole,
    remote: RemoteDtls,
    local: LocalDtls,
    /// How often the peer had the association renewed under one `tls_id` of the application.
    generation: u32,
    /// Where the peer is: its ufrag with ICE, else its address.
    path: Option<Text>,
}

/// What one description of ours says.
#[derive(Debug, Clone)]
pub(crate) struct WrittenDtls {
    pub(crate) setup: Setup,
    pub(crate) tls_id: Option<Text>,
    generation: u32,
}

/// §4: the name under which the association is written: the application's, with a count behind it
/// when the peer asked for another association since.
fn name(local: &LocalDtls, generation: u32) -> Option<Text> {
    let base = local.tls_id.as_ref()?;
    Some(match generation {
        0 => base.clone(),
        n => Text::from(format!("{base}-{n}")),
    })
}

fn same_set(a: &[Fingerprint], b: &[Fingerprint]) -> bool {
    a.len() == b.len() && a.iter().all(|f| b.contains(f))
}

/// What an offer writes (§5.2, §5.5).
pub(crate) fn offer(local: &LocalDtls, state: Option<&DtlsState>) -> WrittenDtls {
    let generation = state.filter(|s| s.local.tls_id == local.tls_id).map_or(0, |s| s.generation);
    WrittenDtls { setup: local.setup.clone(), tls_id: name(local, generation), generation }
}

/// What the answer writes to an offer (§5.3), and what both have then.
pub(crate) fn answer(
    local: &LocalDtls,
    remote: RemoteDtls,
    path: Option<Text>,
    by_path: bool,
    state: &mut Option<DtlsState>,
) -> Result<(WrittenDtls, Box<NegotiatedDtls>), Rejection> {
    if remote.fingerprints.is_empty() {
        return Err(Rejection::Dtls);
    }
    let old = state.take();
    let kept = old.as_ref().filter(|s| !s.renewed(local, &remote, path.as_ref(), by_path));
    let role = match (&remote.setup, kept) {
        (Some(Setup::ActPass), Some(kept)) => kept.role,
        (Some(Setup::ActPass), None) if local.setup == Setup::Passive => DtlsRole::Server,
        (Some(Setup::ActPass | Setup::Passive), _) => DtlsRole::Client,
        // RFC 4145 §4: an offer that says nothing is active.
        (Some(Setup::Active) | None, _) => DtlsRole::Server,
        (Some(Setup::HoldConn), _) => return Err(Rejection::Dtls),
    };
    let kept = kept.filter(|s| s.role == role);
    let generation = match (&old, kept) {
        (_, Some(kept)) => kept.generation,
        (Some(old), None) if old.local.tls_id == local.tls_id => old.generation.saturating_add(1),
        _ => 0,
    };
    // §5.3: no tls-id in an answer to an offer without.
    let tls_id = name(local, generation).filter(|_| remote.tls_id.is_some());
    let new = kept.is_none();
    *state =
        Some(DtlsState { role, remote: remote.clone(), local: local.clone(), generation, path });
    let written = WrittenDtls { setup: role.setup(), tls_id: tls_id.clone(), generation };
    Ok((written, remote.into_negotiated(role, new, tls_id)))
}

/// What the peer's answer makes of our offer (§5.4).
pub(crate) fn accept(
    index: usize,
    local: &LocalDtls,
    written: &WrittenDtls,
    remote: RemoteDtls,
    path: Option<Text>,
    by_path: bool,
    state: &mut Option<DtlsState>,
) -> Result<Box<NegotiatedDtls>, Error> {
    let mismatch = |what| Err(Error::AnswerMismatch { index, what });
    if remote.fingerprints.is_empty() {
        return mismatch("no certificate fingerprint");
    }
    let role = match (&written.setup, &remote.setup) {
        (Setup::ActPass | Setup::Passive, Some(Setup::Active)) => DtlsRole::Server,
        // RFC 4145 §4: an answer that says nothing is passive.
        (Setup::ActPass | Setup::Active, Some(Setup::Passive) | None) => DtlsRole::Client,
        (Setup::Passive, None) => DtlsRole::Server,
        (_, Some(Setup::ActPass)) => return mismatch("a=setup:actpass is no answer"),
        _ => return mismatch("both sides want the same a=setup role"),
    };
    let old = state.take();
    let kept = old.filter(|s| {
        s.role == role
            && s.generation == written.generation
            && !s.renewed(local, &remote, path.as_ref(), by_path)
    });
    *state = Some(DtlsState {
        role,
        remote: remote.clone(),
        local: local.clone(),
        generation: written.generation,
        path,
    });
    Ok(remote.into_negotiated(role, kept.is_none(), written.tls_id.clone()))
}

impl DtlsState {
    /// §3.1: whether anything but the roles asks for a new association.
    fn renewed(
        &self,
        local: &LocalDtls,
        remote: &RemoteDtls,
        path: Option<&Text>,
        by_path: bool,
    ) -> bool {
        // §4: a peer that knows no tls-id starts anew with a new address or ufrag. Those in the
        // field do not on a new ufrag, so that this is for the application to choose.
        let moved = by_path
            && remote.tls_id.is_none()
            && path.is_some()
            && self.path.is_some()
            && path != self.path.as_ref();
        moved
            || remote.tls_id != self.remote.tls_id
            || local.tls_id != self.local.tls_id
            || !same_set(&remote.fingerprints, &self.remote.fingerprints)
            || !same_set(&local.fingerprints, &self.local.fingerprints)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attribute::HashFunc;

    fn print(n: u8) -> Fingerprint {
        Fingerprint::with_fingerprint(HashFunc::Sha256, [n; 32])
    }

    fn ours() -> LocalDtls {
        LocalDtls::new(vec![print(1)]).tls_id("ourourourourourourour")
    }

    fn theirs(setup: Setup, tls_id: Option<&'static str>) -> RemoteDtls {
        let tls_id = tls_id.map(Text::from);
        RemoteDtls { setup: Some(setup), fingerprints: vec![print(2)], tls_id }
    }

    #[test]
    fn the_answer_to_each_setup_is_the_one_that_fits() {
        let role = |wish, offered| {
            let local = LocalDtls { setup: wish, ..ours() };
            let remote = RemoteDtls { setup: offered, ..theirs(Setup::Active, None) };
            answer(&local, remote, None, false, &mut None).map(|(w, n)| (w.setup, n.role))
        };
        let (active, passive) =
            (Ok((Setup::Active, DtlsRole::Client)), Ok((Setup::Passive, DtlsRole::Server)));
        assert_eq!(role(Setup::ActPass, Some(Setup::ActPass)), active);
        assert_eq!(role(Setup::Passive, Some(Setup::ActPass)), passive);
        assert_eq!(role(Setup::ActPass, Some(Setup::Active)), passive);
        assert_eq!(role(Setup::Active, Some(Setup::Active)), passive);
        assert_eq!(role(Setup::ActPass, Some(Setup::Passive)), active);
        assert_eq!(role(Setup::ActPass, None), passive);
        assert_eq!(role(Setup::ActPass, Some(Setup::HoldConn)), Err(Rejection::Dtls));
    }

    #[test]
    fn an_association_goes_on_until_something_of_it_changes() {
        let mut state = None;
        let mut next = |remote: RemoteDtls| {
            let (written, got) = answer(&ours(), remote, None, false, &mut state).unwrap();
            (written.setup, written.tls_id, got.new_association)
        };
        let id = Some("peerpeerpeerpeerpeer1");
        let first = Some(Text::from("ourourourourourourour"));
        let second = Some(Text::from("ourourourourourourour-1"));
        assert_eq!(next(theirs(Setup::Passive, id)), (Setup::Active, first.clone(), true));
        // The role is kept although the offer leaves the choice.
        assert_eq!(next(theirs(Setup::ActPass, id)), (Setup::Active, first.clone(), false));
        // Another role, another association, another name of ours for it.
        assert_eq!(next(theirs(Setup::Active, id)), (Setup::Passive, second.clone(), true));
        assert_eq!(next(theirs(Setup::ActPass, id)), (Setup::Passive, second, false));
        let changed = Some("peerpeerpeerpeerpeer2");
        let third = Some(Text::from("ourourourourourourour-2"));
        assert_eq!(next(theirs(Setup::ActPass, changed)), (Setup::Active, third, true));
        let mut other = theirs(Setup::ActPass, changed);
        other.fingerprints.push(print(3));
        assert!(next(other).2);
    }

    #[test]
    fn a_peer_without_tls_id_gets_none_and_may_move() {
        let mut state = None;
        let mut next = |path: &'static str, by_path| {
            let remote = theirs(Setup::ActPass, None);
            let (written, got) =
                answer(&ours(), remote, Some(path.into()), by_path, &mut state).unwrap();
            assert_eq!(written.tls_id, None);
            got.new_association
        };
        assert!(next("a", false));
        assert!(!next("b", false));
        assert!(next("c", true));
    }

    #[test]
    fn an_answer_must_choose_a_role_that_is_left() {
        let take = |offered, answered| {
            let local = LocalDtls { setup: offered, ..ours() };
            let written = offer(&local, None);
            let remote = RemoteDtls { setup: answered, ..theirs(Setup::Active, None) };
            accept(0, &local, &written, remote, None, false, &mut None).map(|n| n.role).ok()
        };
        assert_eq!(take(Setup::ActPass, Some(Setup::Active)), Some(DtlsRole::Server));
        assert_eq!(take(Setup::ActPass, Some(Setup::Passive)), Some(DtlsRole::Client));
        assert_eq!(take(Setup::ActPass, None), Some(DtlsRole::Client));
        assert_eq!(take(Setup::ActPass, Some(Setup::ActPass)), None);
        assert_eq!(take(Setup::ActPass, Some(Setup::HoldConn)), None);
        assert_eq!(take(Setup::Active, Some(Setup::Active)), None);
        assert_eq!(take(Setup::Passive, Some(Setup::Active)), Some(DtlsRole::Server));
    }
}
