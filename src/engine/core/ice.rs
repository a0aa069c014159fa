//! ICE of calls (RFC 8445, RFC 8839): who wants it, what the agent of a stream is told, and what it
//! tells. The agent itself belongs to media.

use super::Core;
use crate::Error;
use crate::command::{PlaceCall, Reply};
use crate::event::CallEvent;
use crate::ice::{IceReport, Terms};
use crate::media::{IceNotice, MediaId, MediaPlane};
use std::time::Instant;
use tiny_sip::{AccountKey, CallKey};

impl<P: MediaPlane> Core<P> {
    /// How the media of an account's calls travels.
    pub(super) fn terms(&self, account: Option<AccountKey>) -> Terms {
        let spec = account.and_then(|key| self.accounts.get(&key)).map(|a| &a.spec);
        let (srtp, ice) = (spec.and_then(|s| s.srtp), spec.and_then(|s| s.ice));
        let webrtc = spec.and_then(|s| s.webrtc).unwrap_or(self.config.webrtc);
        Terms::new(srtp.unwrap_or(self.config.srtp), ice.unwrap_or(self.config.ice), webrtc)
    }

    /// How the media of a call of ours travels.
    pub(super) fn terms_of(&self, call: &PlaceCall) -> Terms {
        if let Some(terms) = call.terms {
            return terms;
        }
        let spec = self.accounts.get(&call.account).map(|a| &a.spec);
        let srtp = call.srtp.or(spec.and_then(|s| s.srtp)).unwrap_or(self.config.srtp);
        let ice = call.ice.or(spec.and_then(|s| s.ice)).unwrap_or(self.config.ice);
        let webrtc = call.webrtc.or(spec.and_then(|s| s.webrtc)).unwrap_or(self.config.webrtc);
        Terms::new(srtp, ice, webrtc)
    }

    /// [`Call::ice`](crate::Call::ice).
    pub(super) fn ice_report(&mut self, key: CallKey, reply: Reply<IceReport>) {
        let what = match self.calls.contains_key(&key) {
            true => Error::state("the call does without ICE"),
            false => Error::Ended("the call"),
        };
        let _ = reply.send(Err(what));
    }

    pub(super) fn ice_notice(&mut self, _now: Instant, id: MediaId, notice: IceNotice) {
        let Some(entry) = self.media.get(&id).and_then(|key| self.calls.get_mut(key)) else {
            return;
        };
        match notice {
            IceNotice::Selected { pair, reason } => {
                entry.tell(CallEvent::IcePath { pair, reason });
            }
            other => tracing::debug!("{other:?}"),
        }
    }
}
