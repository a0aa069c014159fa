//! Trickle ICE over INFO (RFC 8840): candidates that come when the descriptions are exchanged already,
//! ours to the peer and the peer's to us. We trickle half: descriptions wait for candidates, and only
//! what is later than their patience comes this way. Never sent to a peer that has not asked for it.

use super::ice::IceSide;
use super::lines::candidate_of;
use super::{Core, session};
use crate::SipMessage;
use crate::command::Headers;
use crate::ice::Ice;
use crate::media::{IceCommand, MediaCommand, MediaPlane};
use std::time::Instant;
use tiny_net::ice::Candidate;
use tiny_sdp::{Fragment, FragmentMedia, IceCredentials, MediaKind, Text};
use tiny_sip::{Body, CallKey, HeaderName as H, Method};

const PACKAGE: &str = "trickle-ice";
const FRAGMENT: (&str, &str) = ("application", "trickle-ice-sdpfrag");

/// What passed by INFO, of one generation.
#[derive(Default)]
pub(super) struct Trickle {
    /// The peer takes it.
    peer_takes: bool,
    /// Ours, since the description that the peer has; each INFO has all of them (§4.4).
    late: Vec<Candidate>,
    /// There will be no more.
    done: bool,
    /// How many of them were sent, and whether the end was.
    sent: (usize, bool),
    /// The last INFO of a generation that was not known yet: it has all of the ones before it.
    early: Option<Box<SipMessage>>,
}

impl Trickle {
    /// New credentials: what came before is of no use.
    pub(super) fn renew(&mut self) {
        *self = Self { peer_takes: self.peer_takes, ..Self::default() };
    }

    /// One that the peer's description of us has not.
    pub(super) fn add(&mut self, candidate: Candidate) {
        self.late.push(candidate);
    }

    /// That was the last one.
    pub(super) fn end(&mut self) {
        self.done = true;
    }

    /// What came before the peer's description.
    pub(super) fn take_early(&mut self) -> Option<Box<SipMessage>> {
        self.early.take()
    }
}

/// Whether a peer takes what trickles (RFC 8840 §5, RFC 6086 §5.2.2).
fn takes(message: &SipMessage) -> bool {
    let has = |name| message.list(name).any(|tag| tag.trim().eq_ignore_ascii_case(PACKAGE));
    has(H::Supported) && has(H::RecvInfo)
}

/// The package that an INFO is of.
pub(super) fn package(request: &SipMessage) -> Option<&str> {
    let value = request.header(H::InfoPackage)?;
    Some(value.split(';').next().unwrap_or_default().trim())
}

/// Whether it is ours.
pub(super) fn is_it(package: &str) -> bool {
    package.eq_ignore_ascii_case(PACKAGE)
}

/// What we take, with a 469 (RFC 6086 §4.2.2).
pub(super) fn taken() -> (String, String) {
    (H::RecvInfo.as_str().to_owned(), PACKAGE.to_owned())
}

impl<P: MediaPlane> Core<P> {
    /// Says with an INVITE or a response to one that we take candidates by INFO.
    pub(super) fn announce_trickle(&self, ice: Ice, headers: &mut Headers) {
        if ice == Ice::Full {
            headers.push((H::Supported.as_str().to_owned(), PACKAGE.to_owned()));
            headers.push(taken());
        }
    }

    /// The same, with the description of a call that came in.
    pub(super) fn announce_in_response(&self, key: CallKey, headers: &mut Headers) {
        let entry = self.calls.get(&key).filter(|entry| entry.ice.is_some());
        if let Some(entry) = entry {
            self.announce_trickle(entry.terms.ice, headers);
        }
    }

    /// What a message of the peer's says of that.
    pub(super) fn learn_trickle(&mut self, key: CallKey, message: &SipMessage) {
        let ice = self.calls.get_mut(&key).and_then(|entry| entry.ice.as_deref_mut());
        if let Some(ice) = ice {
            ice.trickle.peer_takes |= takes(message);
        }
    }

    /// Tells the peer of candidates that it does not know, once the call is up.
    pub(super) fn trickle(&mut self, now: Instant, key: CallKey) {
        let Some(entry) = self.calls.get_mut(&key).filter(|entry| entry.established()) else {
            return;
        };
        let audio = entry.session.as_ref().and_then(session::audio_of);
        let named = audio.and_then(|audio| Some((audio.mid.clone()?, audio.protocol.clone())));
        let (Some(ice), Some((mid, protocol))) = (entry.ice.as_deref_mut(), named) else { return };
        let Trickle { peer_takes, late, done, sent, .. } = &ice.trickle;
        let now_sent = (late.len(), *done);
        if !peer_takes || now_sent == *sent || !ice.peer_trickles() {
            return;
        }
        let Some(local) = ice.local() else { return };
        let credentials =
            IceCredentials::new(Text::copy(&local.ufrag), Text::copy(local.password.expose()));
        let mut media = FragmentMedia::new(mid);
        media.protocol = protocol;
        media.candidates = late.iter().filter_map(|c| c.to_string().parse().ok()).collect();
        media.end_of_candidates = *done;
        let fragment =
            Fragment { credentials: Some(credentials), media: vec![media], ..Fragment::default() };
        let headers = vec![
            (H::InfoPackage.as_str().to_owned(), PACKAGE.to_owned()),
            (H::ContentDisposition.as_str().to_owned(), "Info-Package".to_owned()),
        ];
        let body = Body::new(format!("{}/{}", FRAGMENT.0, FRAGMENT.1), fragment.to_string());
        ice.trickle.sent = now_sent;
        let sent = self.endpoint.request_in_call(now, key, Method::Info, headers, Some(body));
        self.tolerate("trickle", sent.map(drop));
    }

    /// An INFO with candidates of the peer; the status of its answer.
    pub(super) fn trickled(&mut self, key: CallKey, request: &SipMessage) -> u16 {
        let kind = request.content_type().and_then(Result::ok);
        if !kind.is_some_and(|kind| kind.is(FRAGMENT.0, FRAGMENT.1)) {
            return 415;
        }
        let Ok(fragment) = Fragment::parse(request.body(), &self.sdp.limits) else { return 400 };
        let Some(entry) = self.calls.get_mut(&key) else { return 481 };
        let audio = entry.session.as_ref().and_then(session::audio_of);
        let mid = audio.and_then(|audio| audio.mid.clone());
        let ours = |media: &&FragmentMedia| match &mid {
            Some(mid) => media.mid == *mid,
            None => media.kind == MediaKind::Audio,
        };
        let Some(ice) = entry.live_ice() else { return 200 };
        let id = ice.ports.id;
        let (mut all, mut end) = (Vec::new(), fragment.end_of_candidates);
        for media in fragment.media.iter().filter(ours) {
            let Some(generation) = fragment.generation(media) else { continue };
            // Those of an old generation are of no use, those of one to come wait for it (§4.4).
            if !ice.is_peer(&generation.ufrag) {
                ice.trickle.early = Some(Box::new(request.clone()));
                return 200;
            }
            end |= media.end_of_candidates;
            all.extend(media.candidates.iter().filter_map(candidate_of));
        }
        if !all.is_empty() {
            self.plane.tell(id, MediaCommand::Ice(IceCommand::Add(all)));
        }
        if end {
            self.plane.tell(id, MediaCommand::Ice(IceCommand::End));
        }
        200
    }
}

impl IceSide {
    /// A candidate that came later than the descriptions could wait for, of the generation that is
    /// named.
    pub(super) fn late(&mut self, candidate: Candidate, described: bool) {
        let of = |ufrag: &str| candidate.ufrag.as_deref().is_none_or(|its| its == ufrag);
        let (next, local) = self.sides();
        match (next, local) {
            (Some(next), _) if of(&next.ufrag) => next.candidates.push(candidate),
            (_, Some(local)) if of(&local.ufrag) => {
                local.candidates.push(candidate.clone());
                if described {
                    self.trickle.add(candidate);
                }
            }
            // It comes with what is being gathered.
            _ => {}
        }
    }
}
