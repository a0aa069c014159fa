//! Early dialogs of a call that we place (RFC 3261 §12.1, §13.2.2.4): every branch of a fork has its own
//! offer/answer state and keys, all beginning at the one offer; which of them is heard before the
//! answer (RFC 3960 §2, §3) is the account's policy. There is one stream: it goes from branch to branch.

use super::negotiation::Negotiation;
use super::{Core, session, sip_error};
use crate::event::CallEvent;
use crate::media::MediaPlane;
use crate::policy::EarlyMediaPolicy;
use crate::{Error, SipMessage};
use bytes::Bytes;
use std::time::Instant;
use tiny_sdp::NegotiatedSession;
use tiny_sip::{CallKey, HeaderName, Method};

/// One early dialog.
pub(super) struct Branch {
    /// The peer's tag.
    tag: String,
    pub(super) negotiator: Negotiation,
    pub(super) session: Option<NegotiatedSession>,
    /// Its first exchange is complete: the answer came reliably, or ours went out in a PRACK. A later
    /// description in a response is then a repetition (RFC 3261 §13.2.1).
    firm: bool,
    /// It knows that it is held.
    pub(super) held: bool,
}

/// The early dialogs of a call.
#[derive(Default)]
pub(super) struct Branches {
    all: Vec<Branch>,
    /// The one whose media runs.
    heard: Option<String>,
    /// Which may send media before the answer, as the network said last (RFC 5009 §8).
    authorized: Vec<(String, bool)>,
}

/// A provisional response and how it came.
pub(super) struct Progress {
    pub(super) response: SipMessage,
    pub(super) reliable: bool,
    pub(super) needs_answer: bool,
    pub(super) may_offer: bool,
}

impl Branches {
    pub(super) fn get(&self, tag: &str) -> Option<&Branch> {
        self.all.iter().find(|b| b.tag == tag)
    }

    pub(super) fn get_mut(&mut self, tag: &str) -> Option<&mut Branch> {
        self.all.iter_mut().find(|b| b.tag == tag)
    }

    /// What the network says of a branch's media.
    fn authorize(&mut self, tag: &str, response: &SipMessage, most: usize) {
        let Some(may) = backward_media(response) else { return };
        let room = self.authorized.len() < most;
        match self.authorized.iter_mut().find(|(known, _)| known == tag) {
            Some(known) => known.1 = may,
            None if room => self.authorized.push((tag.to_owned(), may)),
            None => {}
        }
    }

    fn is_authorized(&self, tag: &str) -> Option<bool> {
        self.authorized.iter().find(|(known, _)| known == tag).map(|(_, may)| *may)
    }

    /// Takes the one that has won; the others are gone.
    pub(super) fn win(&mut self, tag: &str) -> Option<Branch> {
        let mut all = std::mem::take(self).all;
        let at = all.iter().position(|b| b.tag == tag)?;
        Some(all.swap_remove(at))
    }

    /// Does something to each; their tags.
    pub(super) fn each(&mut self, what: impl Fn(&mut Branch)) -> Vec<String> {
        self.all.iter_mut().for_each(&what);
        self.all.iter().map(|b| b.tag.clone()).collect()
    }

    /// The branch that a change before the answer goes to: the one that is heard, else the first whose
    /// description is settled.
    pub(super) fn changeable(&self) -> Option<&str> {
        let heard = self.heard.as_ref().filter(|tag| self.get(tag).is_some_and(|b| b.firm));
        let first = || self.all.iter().find(|b| b.firm).map(|b| b.tag.as_str());
        heard.map(String::as_str).or_else(first)
    }
}

/// Whether the callee may be heard before it answers (RFC 5009 §8): the first direction is that of the
/// first line with media, ours. `None` without one: "SHALL NOT be interpreted as an early media
/// authorization request".
fn backward_media(response: &SipMessage) -> Option<bool> {
    let mut words = response.list(HeaderName::PEarlyMedia);
    words.find_map(|word| match word.trim().to_ascii_lowercase().as_str() {
        "sendrecv" | "sendonly" => Some(true),
        "recvonly" | "inactive" => Some(false),
        _ => None,
    })
}

/// The tag by which a peer names its dialog: of To in its responses.
pub(super) fn to_tag(message: &SipMessage) -> String {
    message.to().ok().and_then(|to| to.tag().map(str::to_owned)).unwrap_or_default()
}

impl<P: MediaPlane> Core<P> {
    pub(super) fn progress(&mut self, now: Instant, key: CallKey, progress: Progress) {
        let Progress { response, reliable, needs_answer, may_offer } = progress;
        let Some(entry) = self.calls.get_mut(&key) else { return };
        if response.status().is_some_and(|s| s.code() == 180) {
            entry.ringing();
        }
        entry.tell(CallEvent::Progress { response: response.clone() });
        let tag = to_tag(&response);
        let most = self.config.sip.max_forks;
        entry.branches.authorize(&tag, &response, most);
        self.learn_trickle(key, &response);
        if let Some(sdp) = session::sdp_of(&response) {
            let taken = match needs_answer {
                true => self.answer_early_offer(now, key, &tag, &sdp),
                false => self.early_answer(key, &tag, &sdp, reliable),
            };
            match taken {
                Ok(()) => {
                    self.check_branch(key, &tag);
                    self.hear(key, &tag);
                }
                // An offer in a response cannot be refused (RFC 6337 §2.2): the call is given up.
                Err(e) if needs_answer => return self.fail(now, key, &e.to_string()),
                Err(e) => tracing::info!("early answer ignored: {e}"),
            }
        }
        // It may have been allowed to speak after it had said what.
        let known = self.calls.get(&key).is_some_and(|e| e.branches.get(&tag).is_some());
        if known && session::sdp_of(&response).is_none() && backward_media(&response) == Some(true)
        {
            self.hear(key, &tag);
        }
        if may_offer {
            self.offer_by_prack(now, key, &tag);
        }
        self.next_change(now, key);
    }

    /// The offer as it went out: every branch begins with it (RFC 3261 §13.2.2.4).
    fn branch(&mut self, key: CallKey, tag: &str) -> Result<Branch, Error> {
        let most = self.config.sip.max_forks;
        let entry = self.calls.get_mut(&key).ok_or(Error::Ended("the call"))?;
        if entry.branches.all.len() >= most {
            return Err(Error::Limit("max_forks".into()));
        }
        let negotiator = match &entry.offered {
            Some(offered) => offered.clone(),
            None => {
                entry.offered = Some(entry.negotiator.clone());
                entry.negotiator.clone()
            }
        };
        Ok(Branch { tag: tag.to_owned(), negotiator, session: None, firm: false, held: false })
    }

    /// An answer to the offer of our INVITE. One that came unreliably may be another the next time:
    /// each starts from the offer.
    fn early_answer(
        &mut self,
        key: CallKey,
        tag: &str,
        answer: &Bytes,
        reliable: bool,
    ) -> Result<(), Error> {
        let entry = self.calls.get(&key).ok_or(Error::Ended("the call"))?;
        let known = entry.branches.get(tag);
        if known.is_some_and(|b| b.firm) {
            return Ok(());
        }
        let at = entry.branches.all.iter().position(|b| b.tag == tag);
        let mut branch = match at {
            Some(_) => {
                let offered = entry.offered.as_ref().unwrap_or(&entry.negotiator).clone();
                let (tag, session) = (tag.to_owned(), None);
                Branch { tag, negotiator: offered, session, firm: false, held: false }
            }
            None => self.branch(key, tag)?,
        };
        branch.session = Some(branch.negotiator.accept_answer(answer)?);
        branch.firm = reliable;
        self.keep_branch(key, at, branch);
        Ok(())
    }

    fn keep_branch(&mut self, key: CallKey, at: Option<usize>, branch: Branch) {
        let Some(entry) = self.calls.get_mut(&key) else { return };
        match at.and_then(|at| entry.branches.all.get_mut(at)) {
            Some(old) => *old = branch,
            None => entry.branches.all.push(branch),
        }
    }

    /// Our INVITE had no offer, a reliable response has one: the answer goes into its PRACK (RFC 3262
    /// §5).
    fn answer_early_offer(
        &mut self,
        now: Instant,
        key: CallKey,
        tag: &str,
        offer: &Bytes,
    ) -> Result<(), Error> {
        let mut branch = self.branch(key, tag)?;
        let entry = self.calls.get(&key).ok_or(Error::Ended("the call"))?;
        let ports = entry.ports.ok_or_else(|| Error::state("the call has no media"))?;
        let way = entry.wished;
        let (body, session) = self.answer_offer(&mut branch.negotiator, offer, &ports, way)?;
        self.endpoint.answer_early(now, key, tag, body).map_err(sip_error)?;
        (branch.session, branch.firm) = (session, true);
        self.keep_branch(key, None, branch);
        Ok(())
    }

    /// A branch has media: it is heard if the policy says so.
    pub(super) fn hear(&mut self, key: CallKey, tag: &str) {
        let account = self.endpoint.account_of(key);
        let policy = account.and_then(|account| self.policy_of(account));
        let policy = policy.map_or(EarlyMediaPolicy::default(), |policy| policy.early_media);
        let Some(entry) = self.calls.get_mut(&key) else { return };
        let heard = entry.branches.heard.as_deref();
        let other = heard.is_some_and(|heard| heard != tag);
        let active =
            |tag: &str| entry.branches.get(tag).and_then(|b| b.session.as_ref()?.audio()).is_some();
        let wanted = match policy {
            EarlyMediaPolicy::Ignore => false,
            EarlyMediaPolicy::First => !other,
            EarlyMediaPolicy::Latest => true,
            EarlyMediaPolicy::Authorized => entry.branches.is_authorized(tag) == Some(true),
        };
        let forbidden = entry.branches.is_authorized(tag) == Some(false);
        // "While session establishment is suspended, user agents SHOULD not send any data" (RFC 3312
        // §6).
        let waits = entry.branches.get(tag).is_some_and(|b| b.negotiator.waits());
        if !wanted || forbidden || !active(tag) || waits {
            return;
        }
        let first = heard.is_none() || other;
        entry.branches.heard = Some(tag.to_owned());
        self.put_in_force(key, tag);
        let Some(entry) = self.calls.get(&key) else { return };
        if first && let Some(codec) = entry.codec.clone().filter(|_| entry.started) {
            entry.tell(CallEvent::EarlyMedia { codec });
        }
    }

    /// The stream follows this branch.
    fn put_in_force(&mut self, key: CallKey, tag: &str) {
        let Some(entry) = self.calls.get_mut(&key) else { return };
        let Some(branch) = entry.branches.get(tag) else { return };
        let (negotiator, session) = (branch.negotiator.clone(), branch.session.clone());
        (entry.negotiator, entry.session) = (negotiator, session);
        self.run_media(key);
    }

    /// The callee of one branch has answered: its session is the call's.
    pub(super) fn branch_won(
        &mut self,
        key: CallKey,
        response: &SipMessage,
        answer: Option<&Bytes>,
    ) -> Result<(), Error> {
        let entry = self.calls.get_mut(&key).ok_or(Error::Ended("the call"))?;
        let offered = entry.offered.take();
        let branch = entry.branches.win(&to_tag(response));
        match (branch, answer) {
            (Some(branch), answer) if branch.firm || answer.is_none() => {
                (entry.negotiator, entry.session) = (branch.negotiator, branch.session);
                // What was changed before the answer was told to this branch only, if to any.
                if branch.held != entry.held {
                    entry.catch_up();
                }
                Ok(())
            }
            (_, Some(answer)) => {
                if let Some(offered) = offered {
                    entry.negotiator = offered;
                }
                entry.session = Some(entry.negotiator.accept_answer(answer)?);
                if entry.held {
                    entry.catch_up();
                }
                Ok(())
            }
            (_, None) => Err(Error::state("the answer to our call has no session description")),
        }
    }

    /// A PRACK is due and may carry an offer: for a peer that takes no UPDATE (RFC 3262 §5; it can
    /// hardly be refused, so that UPDATE is better, RFC 6337 §3.2).
    fn offer_by_prack(&mut self, now: Instant, key: CallKey, tag: &str) {
        let sent = self.try_offer_by_prack(now, key, tag);
        if !matches!(sent, Ok(true)) {
            let result = self.endpoint.prack(now, key, tag, None);
            self.tolerate("PRACK", result);
        }
    }

    fn try_offer_by_prack(&mut self, now: Instant, key: CallKey, tag: &str) -> Result<bool, Error> {
        let update = self.endpoint.allows_update(key);
        let entry = self.calls.get(&key).ok_or(Error::Ended("the call"))?;
        let Some(change) = entry
            .changes
            .front()
            .filter(|_| entry.changing.is_none() && !update && !entry.gathers())
        else {
            return Ok(false);
        };
        let ports = entry.ports.ok_or_else(|| Error::state("the call has no media"))?;
        let branch = entry.branches.get(tag).ok_or(Error::Ended("the branch"))?;
        let way = entry.way(change.on.unwrap_or(entry.held));
        let mut negotiator = branch.negotiator.clone();
        if let Some(ice) = &entry.ice {
            negotiator.set_ice(ice.to_offer());
        }
        let body = self.offer(&mut negotiator, &ports, way)?;
        self.endpoint.prack(now, key, tag, Some(body)).map_err(sip_error)?;
        let Some(entry) = self.calls.get_mut(&key) else { return Ok(true) };
        if let Some(ice) = &mut entry.ice {
            ice.offers();
        }
        if let Some(branch) = entry.branches.get_mut(tag) {
            branch.negotiator = negotiator;
        }
        entry.changing = entry.changes.pop_front();
        entry.changing_in = Some(tag.to_owned());
        Ok(true)
    }

    /// The final response to a PRACK that carried an offer.
    pub(super) fn prack_answered(
        &mut self,
        now: Instant,
        key: CallKey,
        response: Option<SipMessage>,
    ) {
        match response {
            Some(response) if response.status().is_some_and(|s| s.code() < 300) => {
                self.reinvite_accepted(now, key, response);
            }
            Some(response) => {
                let status = response.status().map_or(500, |s| s.code());
                let reason = response.reason().to_owned();
                self.reinvite_rejected(now, key, status, reason, Some(response));
            }
            None => {
                let reason = "no response to PRACK".to_owned();
                self.reinvite_rejected(now, key, 408, reason, None);
            }
        }
    }

    /// The early dialog that a request of the peer's came in: named by its From tag.
    pub(super) fn branch_of(&self, key: CallKey, request: &SipMessage) -> Option<String> {
        let entry = self.calls.get(&key).filter(|e| e.answered_at.is_none())?;
        let tag = request.from().ok()?.tag()?.to_owned();
        let early = matches!(request.method(), Some(Method::Update | Method::Prack));
        entry.branches.get(&tag).filter(|_| early)?;
        Some(tag)
    }
}
