//! An INVITE that is about another dialog: Replaces (RFC 3891 §3) and Join (RFC 3911 §4). Here the
//! dialog is found and the rules on its state are obeyed; whoever answers decides on the rest.
//!
//! Who may replace is a matter of the setting [`Config::replaces`](crate::Config::replaces): whoever
//! knows Call-ID and both tags of the dialog.

use super::call::Phase;
use crate::endpoint::{CallKey, Endpoint, Fingerprint, Headers};
use crate::header::{HeaderName as H, Replaces};
use crate::message::Message;
use std::time::Instant;

/// The call of ours that an INVITE is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Related {
    /// The new call takes its place: when it is accepted, that one is ended here (RFC 3891).
    Replaces(CallKey),
    /// The caller wants to take part in it (RFC 3911). Without a mixer: 488.
    Joins(CallKey),
}

impl Endpoint {
    /// The call that one that still rings is about.
    pub fn related_to(&self, call: CallKey) -> Option<Related> {
        self.related.get(&call).copied()
    }

    /// The call that an INVITE is about, or the status it is refused with.
    pub(crate) fn find_related(&self, request: &Message) -> Result<Option<Related>, u16> {
        let lines = |name| request.headers(name);
        let (replaces, joins) = (lines(H::Replaces).count(), lines(H::Join).count());
        match (replaces, joins) {
            (0, 0) => return Ok(None),
            (1, 0) | (0, 1) => {}
            // "more than one Replaces header field" or "contradictory semantics": 400
            _ => return Err(400),
        }
        let name = if replaces == 1 { H::Replaces } else { H::Join };
        let text = request.header(name).unwrap_or_default();
        let Ok(wanted) = Replaces::parse(text) else { return Err(400) };
        let call = match self.named(&wanted) {
            // "If no match is found, but the Request-URI … corresponds to a conference URI, the UAS
            // MUST ignore the Join header" (RFC 3911 §4)
            Err(_) if name == H::Join && self.conference_called(request).is_some() => {
                return Ok(None);
            }
            found => found?,
        };
        // "a dialog which has already terminated … 603": it is being ended.
        let Some(state) = self.calls.get(call).filter(|state| !state.is_hanging_up()) else {
            return Err(603);
        };
        if name == H::Join {
            return Ok(Some(Related::Joins(call)));
        }
        if !self.config.replaces {
            return Err(403);
        }
        match state.phase {
            Phase::Ringing(_) => Err(481),
            Phase::Calling { .. } => Ok(Some(Related::Replaces(call))),
            _ if wanted.early_only => Err(486),
            _ => Ok(Some(Related::Replaces(call))),
        }
    }

    /// The call whose dialog has this name. "If the Replaces header field matches more than one
    /// dialog, the UA MUST act as if no match is found."
    fn named(&self, wanted: &Replaces<'_>) -> Result<CallKey, u16> {
        let mut found = None;
        let mut over = false;
        for print in self.prints_of(wanted) {
            over |= self.ended.contains(&print);
            let Some(key) = self.dialog_index.get(&print) else { continue };
            let Some(call) = self.dialogs.get(*key).and_then(|dialog| dialog.usage.call()) else {
                continue;
            };
            if found.replace(call).is_some() {
                return Err(481);
            }
        }
        found.ok_or(if over { 603 } else { 481 })
    }

    /// "a tag of zero … matches both tags of zero and null" (§6.1)
    fn prints_of(&self, wanted: &Replaces<'_>) -> smallvec::SmallVec<[Fingerprint; 4]> {
        let both = |tag| if tag == "0" { [Some("0"), Some("")] } else { [Some(tag), None] };
        let (locals, remotes) = (both(wanted.to_tag), both(wanted.from_tag));
        let locals = locals.into_iter().flatten();
        locals
            .flat_map(|local| remotes.into_iter().flatten().map(move |remote| (local, remote)))
            .map(|(local, remote)| self.dialog_print(wanted.call_id, local, remote))
            .collect()
    }

    /// The new call is accepted: the one in whose place it stands is ended, by BYE or CANCEL (§3).
    pub(crate) fn replace(&mut self, now: Instant, call: CallKey) {
        if let Some(Related::Replaces(old)) = self.related.remove(&call) {
            // It may have ended meanwhile.
            let _ = self.hang_up_as(now, old, Headers::new(), "replaced by another call");
        }
    }

    /// A dialog has ended: its name is kept for a while.
    pub(crate) fn remember_end(&mut self, print: Fingerprint) {
        if self.ended.len() >= self.config.max_ended_dialogs {
            self.ended.pop_front();
        }
        if self.config.max_ended_dialogs > 0 {
            self.ended.push_back(print);
        }
    }
}
