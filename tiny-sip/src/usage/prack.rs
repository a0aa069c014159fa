//! Reliable provisional responses, the caller's side (RFC 3262 §4): each in its order, acknowledged
//! in the early dialog that it belongs to, with offers and answers (§5, RFC 6337 §2).

use super::extras::Early;
use crate::dialog::{self, DialogKey};
use crate::endpoint::{Body, CallKey, ClientKey, Endpoint, Error, Event, Owner, Policy, check};
use crate::header::HeaderName as H;
use crate::message::Message;
use crate::method::Method;
use std::time::Instant;

/// How a provisional response came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Arrival {
    pub(crate) reliable: bool,
    pub(crate) needs_answer: bool,
    pub(crate) may_offer: bool,
}

impl Endpoint {
    /// Takes a provisional response; `None` when it is a repetition or out of order: "MUST NOT be
    /// acknowledged with a PRACK, and MUST NOT be processed further" (§4).
    pub(crate) fn take_provisional(
        &mut self,
        now: Instant,
        call: CallKey,
        invite: ClientKey,
        message: &Message,
    ) -> Option<Arrival> {
        let unreliable = Arrival { reliable: false, needs_answer: false, may_offer: false };
        let required = message.list(H::Require).any(|tag| tag.eq_ignore_ascii_case("100rel"));
        let rseq = message.rseq().and_then(Result::ok);
        let Some(rseq) = rseq.filter(|_| required && self.config.reliable != Policy::Off) else {
            return Some(unreliable);
        };
        let (local, remote) = dialog::tags(message);
        let print = self.dialog_print(message.call_id().unwrap_or_default(), local, remote);
        // Without a dialog (no tag, no Contact, too many forks) there is no PRACK either.
        let Some(dialog) = self.dialog_index.get(&print).copied() else { return Some(unreliable) };
        let number = message.cseq().map_or(1, |cseq| cseq.number);
        let request = self.clients.get(invite).and_then(|client| client.request.as_ref());
        let offered = request.is_some_and(|request| request.body.is_some());
        let has_body = !message.body().is_empty();
        let state = self.calls.get_mut(call)?;
        let early = &mut state.extras().early;
        let at = match early.iter().position(|early| early.dialog == dialog) {
            // Another attempt of the INVITE (credentials, 422) counts anew.
            Some(at) if early[at].invite != invite => {
                early[at] = Early::new(dialog, invite, rseq, number);
                at
            }
            Some(at) => {
                if early[at].rseq.checked_add(1) != Some(rseq) {
                    return None;
                }
                early[at].rseq = rseq;
                at
            }
            None => {
                early.push(Early::new(dialog, invite, rseq, number));
                early.len() - 1
            }
        };
        let early = &mut early[at];
        let needs_answer = has_body && !offered && !early.agreed && !early.asking;
        early.agreed |= has_body && offered;
        early.asking |= needs_answer;
        // "only when acknowledging the reliable provisional response carrying the answer to an offer
        // in the INVITE request" (RFC 6337 §3.1.1)
        let free = has_body && offered && !early.offering;
        let may_offer = !needs_answer && state.may_offer_in_prack(dialog, free);
        if !needs_answer && !may_offer {
            self.send_prack(now, call, dialog, None, false);
        }
        Some(Arrival { reliable: true, needs_answer, may_offer })
    }

    fn send_prack(
        &mut self,
        now: Instant,
        call: CallKey,
        dialog: DialogKey,
        body: Option<Body>,
        offers: bool,
    ) {
        let Some(state) = self.calls.get_mut(call) else { return };
        let account = state.account;
        let Some(early) = state.early(dialog) else { return };
        let rack = format!("{} {} INVITE", early.rseq, early.number);
        early.holding = false;
        early.offering |= offers;
        early.pending += 1;
        let owner = Owner::Prack(call, offers);
        if let Some(mut request) = self.in_dialog(dialog, owner, account, Method::Prack) {
            request.headers = vec![("RAck".to_owned(), rack)];
            request.body = body;
            self.start(now, request);
        }
    }

    /// Gives the answer to the offer of a reliable provisional response, in its PRACK: after
    /// `Progress` with `needs_answer`. `fork` is the To tag of the response.
    ///
    /// # Errors
    /// A stale key, or no offer of this fork waits.
    pub fn answer_early(
        &mut self,
        now: Instant,
        call: CallKey,
        fork: &str,
        body: Body,
    ) -> Result<(), Error> {
        check(&[], Some(&body))?;
        let dialog = self.fork(call, fork)?;
        let state = self.calls.get_mut(call).ok_or(Error::Stale("call"))?;
        let early = state.early(dialog).filter(|early| early.asking);
        let early = early.ok_or(Error::State("no early offer waits for an answer"))?;
        (early.asking, early.agreed) = (false, true);
        self.send_prack(now, call, dialog, Some(body), false);
        Ok(())
    }

    /// Says that the owner has an offer for a PRACK of this call: the next one that may carry one (§5:
    /// the first exchange of its dialog is complete) waits for [`prack`](Self::prack), as `Progress`
    /// with `may_offer` tells.
    ///
    /// # Errors
    /// A stale key, or a call of ours that is answered already.
    pub fn offer_in_prack(&mut self, call: CallKey) -> Result<(), Error> {
        let state = self.calls.get_mut(call).ok_or(Error::Stale("call"))?;
        if !state.is_calling() {
            return Err(Error::State("the call is not waiting for its answer"));
        }
        state.extras().offers = true;
        Ok(())
    }

    /// Sends the PRACK that waits after `Progress` with `may_offer`, with an offer (`PrackAnswered`
    /// follows) or without. `fork` is the To tag of the response.
    ///
    /// # Errors
    /// A stale key, or no PRACK of this fork waits.
    pub fn prack(
        &mut self,
        now: Instant,
        call: CallKey,
        fork: &str,
        offer: Option<Body>,
    ) -> Result<(), Error> {
        check(&[], offer.as_ref())?;
        let dialog = self.fork(call, fork)?;
        let state = self.calls.get_mut(call).ok_or(Error::Stale("call"))?;
        if !state.early(dialog).is_some_and(|early| early.holding) {
            return Err(Error::State("no PRACK waits"));
        }
        state.extras().offers = false;
        let offers = offer.is_some();
        self.send_prack(now, call, dialog, offer, offers);
        Ok(())
    }

    /// The early dialog with this remote tag.
    pub(crate) fn fork(&self, call: CallKey, tag: &str) -> Result<DialogKey, Error> {
        let state = self.calls.get(call).ok_or(Error::Stale("call"))?;
        let named = |key: &&DialogKey| {
            self.dialogs.get(**key).is_some_and(|dialog| {
                let to = crate::header::NameAddr::parse(dialog.parts().remote);
                to.is_ok_and(|to| to.tag() == Some(tag))
            })
        };
        state.forks.iter().find(named).copied().ok_or(Error::State("no such early dialog"))
    }

    /// A final response to a PRACK, or none.
    pub(crate) fn prack_answered(
        &mut self,
        now: Instant,
        call: CallKey,
        dialog: Option<DialogKey>,
        offers: bool,
        message: Option<&Message>,
    ) {
        let Some(state) = self.calls.get_mut(call) else { return };
        if let Some(early) = dialog.and_then(|dialog| state.early(dialog)) {
            early.pending = early.pending.saturating_sub(1);
            early.offering &= !offers;
        }
        if offers {
            self.event(Event::PrackAnswered { call, response: message.cloned() });
            // "UAC may send again a PRACK request without an offer" (RFC 6337 §2.3)
            let refused = message.and_then(Message::status).is_some_and(|s| s.code() == 488);
            if let Some(dialog) = dialog.filter(|_| refused) {
                self.send_prack(now, call, dialog, None, false);
            }
        }
        self.next_reinvite(now, call);
    }
}

impl super::call::Call {
    /// Whether the PRACK that is due waits for an offer of the owner's; then it does. `free`: nothing
    /// in this dialog waits for an answer.
    fn may_offer_in_prack(&mut self, dialog: DialogKey, free: bool) -> bool {
        let busy = self.modification.as_ref().is_some_and(|m| m.is_negotiating());
        let wanted = self.extras.as_ref().is_some_and(|extras| extras.offers);
        let may = wanted && free && !busy;
        if let Some(early) = self.early(dialog).filter(|_| may) {
            early.holding = true;
        }
        may
    }
}
