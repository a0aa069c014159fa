//! Session-ID (RFC 7989): a UUID of ours for each call, kept whatever becomes of it, and the peer's for
//! each dialog, as the peer last said. It names sessions in logs; nothing is decided by it.

use super::replaces::Related;
use crate::dialog;
use crate::endpoint::{CallKey, Endpoint, Headers, Owner, Request, ServerTx};
use crate::header::{HeaderName as H, SessionId};
use crate::message::Message;
use crate::method::Method;

/// Octets of a UUID; all zero for the nil one. (A number would be aligned to 16 octets.)
pub(crate) type Uuid = [u8; 16];

impl Endpoint {
    /// The name of a call's session: our half, and the peer's, nil where it is not known. `None`
    /// where [`Config::session_id`](crate::Config::session_id) is off.
    pub fn session_id(&self, call: CallKey) -> Option<SessionId> {
        let state = self.calls.get(call)?;
        let local = named(state.session)?;
        let dialog = state.dialog.or(state.forks.first().copied());
        let peer = dialog.and_then(|key| self.dialogs.get(key)).map_or([0; 16], |d| d.peer_session);
        Some(SessionId { local, remote: u128::from_be_bytes(peer) })
    }

    /// The half of a new call: what it continues keeps its own (§6), and so does what the owner names.
    pub(crate) fn begin_session(
        &mut self,
        call: CallKey,
        kept: Option<u128>,
        headers: &Headers,
    ) -> Option<SessionId> {
        let named = |(name, value): &(String, String)| {
            (H::parse(name) == H::SessionId).then(|| SessionId::parse(value).ok()).flatten()
        };
        let local = match headers.iter().find_map(named).map(|own| own.local).or(kept) {
            Some(local) => local,
            None if self.config.session_id => {
                // RFC 9562 §5.4
                let bits = u128::from(self.rng.u64()) << 64 | u128::from(self.rng.u64());
                bits & !(0xf000 << 64) & !(3 << 62) | 0x4000 << 64 | 1 << 63
            }
            None => return None,
        };
        self.calls.get_mut(call)?.session = local.to_be_bytes();
        Some(SessionId { local, remote: 0 })
    }

    /// The same of a call that comes in.
    pub(crate) fn answer_session(&mut self, call: CallKey, related: Option<Related>) {
        // §6: "a SIP dialog is replaced via an INVITE with Replaces"
        let old = match related {
            Some(Related::Replaces(old)) => self.calls.get(old).and_then(|old| named(old.session)),
            _ => None,
        };
        self.begin_session(call, old, &Headers::new());
    }

    /// What a request of ours says: "The UUID of the peer device, if known, MUST appear as the 'remote'
    /// parameter" (§6). It is set once: a retried or redirected request, and the CANCEL of an INVITE, say
    /// what was said first.
    pub(crate) fn name_session(&self, request: &mut Request) {
        if request.session.is_some() || !self.config.session_id {
            return;
        }
        let call = self.call_of(request.owner).and_then(|call| self.calls.get(call));
        let Some(local) = call.and_then(|call| named(call.session)) else { return };
        let dialog = request.dialog.and_then(|key| self.dialogs.get(key));
        let remote = dialog.map_or(0, |dialog| u128::from_be_bytes(dialog.peer_session));
        request.session = Some(SessionId { local, remote });
    }

    /// The ACK of a refusal: the peer's half is that of the response.
    pub(crate) fn refusal_session(
        &self,
        invite: &Request,
        response: &Message,
    ) -> Option<SessionId> {
        let own = invite.session?;
        let peer = response.session_id().and_then(Result::ok).map(|peer| peer.local);
        Some(SessionId { remote: peer.unwrap_or(own.remote), ..own })
    }

    /// What a response of ours says: "all responses to that request MUST contain the new UUID value as
    /// the 'remote' parameter" (§8).
    pub(crate) fn response_session(
        &self,
        request: &Message,
        server: Option<&ServerTx>,
    ) -> Option<SessionId> {
        if !self.config.session_id {
            return None;
        }
        let dialog = self.dialogs.get(self.dialog_of(request, server)?)?;
        let local = named(self.calls.get(dialog.usage.call()?)?.session)?;
        let theirs = request.session_id().and_then(Result::ok).map(|id| id.local);
        let known = u128::from_be_bytes(dialog.peer_session);
        Some(SessionId { local, remote: theirs.filter(|id| *id != 0).unwrap_or(known) })
    }

    /// A request of the peer's was accepted, or is an ACK of a 2xx: its half holds from now on (§8). "If an
    /// endpoint receives a message that does not contain a Session-ID header field, that message must
    /// have no effect" (§6).
    pub(crate) fn learn_session(&mut self, request: &Message, dialog: Option<dialog::DialogKey>) {
        if self.config.session_id
            && let Some(dialog) = dialog.and_then(|key| self.dialogs.get_mut(key))
            && let Some(peer) = peer_of(request)
        {
            dialog.peer_session = peer;
        }
    }

    /// A response came that is no refusal: each branch of a fork has its own half (§6).
    pub(crate) fn learn_response_session(&mut self, owner: Owner, status: u16, response: &Message) {
        let needless = match owner {
            // The dialog is made of the 2xx.
            Owner::Invite(_) => status >= 200,
            Owner::Cancel(_) | Owner::Bye(_) => true,
            _ => false,
        };
        if !self.config.session_id || needless {
            return;
        }
        let Some(peer) = peer_of(response) else { return };
        let (local, remote) = dialog::tags(response);
        let print = self.dialog_print(response.call_id().unwrap_or_default(), local, remote);
        let dialog = self.dialog_index.get(&print).copied();
        if let Some(dialog) = dialog.and_then(|key| self.dialogs.get_mut(key)) {
            dialog.peer_session = peer;
        }
    }

    /// The dialog of a peer's request: the one that was found when it came, else by its name with the
    /// tag that our responses add to To.
    pub(crate) fn dialog_of(
        &self,
        request: &Message,
        server: Option<&ServerTx>,
    ) -> Option<dialog::DialogKey> {
        let found = server.and_then(|server| server.dialog);
        if found.is_some_and(|key| self.dialogs.contains_key(key)) {
            return found;
        }
        let (from_tag, to_tag) = dialog::tags(request);
        let tag = if to_tag.is_empty() { server.map_or("", ServerTx::tag) } else { to_tag };
        if tag.is_empty() {
            return None;
        }
        let print = self.dialog_print(request.call_id().ok()?, tag, from_tag);
        self.dialog_index.get(&print).copied()
    }
}

/// The sender's half of a message, unless it is nil or no UUID.
pub(crate) fn peer_of(message: &Message) -> Option<Uuid> {
    // "A CANCEL … MUST be identical to the … original INVITE": it tells nothing new.
    if message.method() == Some(&Method::Cancel) {
        return None;
    }
    let peer = message.session_id()?.ok()?.local;
    (peer != 0).then(|| peer.to_be_bytes())
}

fn named(uuid: Uuid) -> Option<u128> {
    Some(u128::from_be_bytes(uuid)).filter(|uuid| *uuid != 0)
}
