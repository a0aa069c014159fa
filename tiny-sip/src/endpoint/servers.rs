//! Server transactions: the machines of [`crate::transaction`] with their responses, timers and
//! owners, and the matching of requests to them (RFC 3261 §17.2.3).

use super::fingerprint::Fingerprint;
use super::{CallKey, Due, EndedBy, Endpoint, Error, Headers, ServerKey};
use crate::dialog::{self, DialogKey};
use crate::header::HeaderName;
use crate::message::Message;
use crate::method::Method;
use crate::status::StatusCode;
use crate::transaction::{
    Action, Actions, InviteServer, InviteServerState, Server, ServerEvent, Timer, TimerSlot,
};
use bytes::Bytes;
use std::net::SocketAddr;
use std::time::Instant;
use tiny_sak::id::Token;
use tiny_sak::{Flow, TimerKey};

/// What a server transaction is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Answered by the endpoint at once.
    Core,
    /// A call's INVITE.
    Invite(CallKey),
    /// A call's re-INVITE.
    Reinvite(CallKey),
    /// An UPDATE or PRACK with an offer: waits for `accept_reinvite`.
    Update,
    /// Waits for `respond`.
    Plain,
    /// Waits for a decision about a subscription.
    Subscribe,
}

#[derive(Debug, Clone, Copy)]
enum Machine {
    Invite(InviteServer),
    Other(Server),
}

/// A server transaction.
#[derive(Debug)]
pub(crate) struct ServerTx {
    machine: Machine,
    print: Fingerprint,
    merged: Option<Fingerprint>,
    timers: [Option<TimerKey>; 2],
    pub(crate) purpose: Purpose,
    /// The way back.
    pub(crate) flow: Flow,
    /// Where the request came from.
    source: SocketAddr,
    /// Until the final response.
    pub(crate) request: Option<Message>,
    pub(super) tag: Option<Token>,
    /// The dialog that the request came in, or made.
    pub(crate) dialog: Option<DialogKey>,
    response: Bytes,
    /// The network has changed since the request came.
    pub(crate) moved: bool,
    /// No connection to where the response has to go could be opened.
    pub(crate) lost: bool,
}

impl ServerTx {
    /// The tag that our responses add to To; empty inside a dialog.
    pub(crate) fn tag(&self) -> &str {
        self.tag.as_ref().map_or("", Token::as_str)
    }

    /// The way that the request came.
    pub(crate) fn source(&self) -> Flow {
        Flow { remote: self.source, ..self.flow }
    }

    /// A provisional response with a tag went out: the caller has an early dialog (RFC 3261 §12.1).
    pub(crate) fn has_early_dialog(&self) -> bool {
        !self.response.is_empty() && !self.response.starts_with(b"SIP/2.0 100")
    }
}

impl Endpoint {
    /// What identifies the transaction of a request (§17.2.3): branch, sent-by and method, an ACK
    /// and a CANCEL being sought under the INVITE's. Without the cookie of RFC 3261 it is what RFC
    /// 2543 has: Request-URI, From tag, Call-ID, CSeq number and top Via. (The To tag is left out,
    /// since a repeated request has none where an ACK has one.)
    pub(crate) fn server_print(&self, request: &Message, method: &str) -> Option<Fingerprint> {
        let via = request.top_via().ok()?;
        if via.has_unique_branch() {
            let port = via.port.unwrap_or(0).to_be_bytes();
            let mut host = [0u8; 64];
            // sent-by is compared without case; a long host name is compared as written.
            let lower = match host.get_mut(..via.host.len()) {
                Some(copy) => {
                    copy.copy_from_slice(via.host.as_bytes());
                    copy.make_ascii_lowercase();
                    &*copy
                }
                None => via.host.as_bytes(),
            };
            let branch = via.branch().unwrap_or_default().as_bytes();
            let parts = [b"s", branch, lower, &port, method.as_bytes()];
            return Some(self.prints.of_bytes(&parts));
        }
        let (from_tag, _) = dialog::tags(request);
        let number = request.cseq().ok()?.number.to_string();
        let call_id = request.call_id().ok()?;
        let uri = request.request_uri();
        Some(self.prints.of(&["2543", uri, from_tag, call_id, &number, via.as_str(), method]))
    }

    /// Creates the transaction of a new request.
    pub(crate) fn new_server(
        &mut self,
        now: Instant,
        print: Fingerprint,
        merged: Option<Fingerprint>,
        flow: Flow,
        request: &Message,
        tag: Option<Token>,
    ) -> ServerKey {
        let reliable = flow.transport.is_reliable();
        let timers = self.config.timers;
        let invite = request.method() == Some(&Method::Invite);
        let (machine, actions) = if invite {
            let (machine, actions) = InviteServer::new(reliable, &timers);
            (Machine::Invite(machine), actions)
        } else {
            (Machine::Other(Server::new(reliable)), Actions::new())
        };
        let key = self.servers.insert(ServerTx {
            machine,
            print,
            merged,
            timers: [None; 2],
            purpose: Purpose::Core,
            flow: self.way_back(request, flow),
            source: flow.remote,
            request: Some(request.clone()),
            tag,
            dialog: None,
            response: Bytes::new(),
            moved: false,
            lost: false,
        });
        self.server_index.insert(print, key);
        if let Some(merged) = merged {
            self.merged_index.insert(merged, key);
        }
        self.run_server(now, key, actions);
        key
    }

    /// The dialog of a request is known.
    pub(crate) fn note_dialog(&mut self, key: ServerKey, dialog: Option<DialogKey>) {
        if let Some(server) = self.servers.get_mut(key) {
            server.dialog = dialog;
        }
    }

    /// Whether no more calls of this source, or of all, may wait to be answered.
    pub(crate) fn rings_too_often(&self, source: Flow) -> bool {
        let here = self.ringing.get(&source.remote.ip()).copied().unwrap_or_default();
        self.ringing_total >= self.config.max_ringing || here >= self.config.max_ringing_per_source
    }

    /// The INVITE is a call's, which is to be answered in time.
    pub(crate) fn begin_ringing(&mut self, now: Instant, key: ServerKey, call: CallKey) {
        let Some(server) = self.servers.get_mut(key) else { return };
        server.purpose = Purpose::Invite(call);
        *self.ringing.entry(server.source.ip()).or_default() += 1;
        self.ringing_total += 1;
        if let Some(patience) = self.config.answer_timeout {
            self.guard_until(now + patience, key);
        }
    }

    fn ringing_over(&mut self, purpose: Purpose, source: SocketAddr) {
        let ip = source.ip();
        if let (Purpose::Invite(_), Some(count)) = (purpose, self.ringing.get_mut(&ip)) {
            *count -= 1;
            if *count == 0 {
                self.ringing.remove(&ip);
            }
            self.ringing_total -= 1;
        }
    }

    /// Somebody else's matter now: the INVITE waits no more for a user's answer.
    pub(crate) fn rings_no_more(&mut self, key: ServerKey) {
        let Some(server) = self.servers.get_mut(key) else { return };
        let purpose = std::mem::replace(&mut server.purpose, Purpose::Core);
        let source = server.source;
        self.ringing_over(purpose, source);
    }

    /// Nobody has answered a request.
    pub(crate) fn abandon(&mut self, now: Instant, key: ServerKey) {
        match self.servers.get(key).map(|server| server.purpose) {
            Some(Purpose::Invite(call)) => {
                self.respond_core(now, key, 480, &[]);
                let reason = "nobody has answered";
                self.end_call(now, call, EndedBy::Local, Some(480), reason, None);
            }
            _ => self.remove_server(key),
        }
    }

    /// Lets an unanswered request be forgotten when its sender has given up (Timer F there).
    pub(crate) fn guard_server(&mut self, now: Instant, key: ServerKey) {
        self.guard_until(now + self.config.timers.patience(), key);
    }

    fn guard_until(&mut self, at: Instant, key: ServerKey) {
        let timer = self.timers.insert(at, Due::Abandon(key));
        if let Some(server) = self.servers.get_mut(key)
            && let Some(old) = server.timers[TimerSlot::State as usize].replace(timer)
        {
            self.timers.cancel(old);
        }
    }

    /// One step of a machine.
    pub(crate) fn server_event(&mut self, now: Instant, key: ServerKey, event: ServerEvent) {
        let Some(server) = self.servers.get_mut(key) else { return };
        if let ServerEvent::Timer(timer) = event {
            server.timers[timer.slot() as usize] = None;
        }
        let timers = &self.config.timers;
        let actions = match &mut server.machine {
            Machine::Invite(machine) => machine.handle(event, timers),
            Machine::Other(machine) => machine.handle(event, timers),
        };
        if matches!(event, ServerEvent::Timer(Timer::G) | ServerEvent::Request) {
            self.counters.retransmitted += u64::from(actions.contains(&Action::Send));
        }
        self.run_server(now, key, actions);
    }

    fn run_server(&mut self, now: Instant, key: ServerKey, actions: Actions) {
        for action in actions {
            let Some(server) = self.servers.get_mut(key) else { break };
            match action {
                Action::Send => {
                    let (flow, bytes) = (server.flow, server.response.clone());
                    if !bytes.is_empty() {
                        self.transmit(flow, bytes);
                    }
                }
                Action::SendTrying => {
                    let flow = server.flow;
                    let Some(server) = self.servers.get(key) else { break };
                    let Some(request) = &server.request else { continue };
                    let w = self.response(request, server.source, StatusCode::TRYING, "", "");
                    let bytes = self.finish(w, request, Some(server), &Headers::new(), None);
                    if let Ok(bytes) = bytes {
                        if let Some(server) = self.servers.get_mut(key) {
                            server.response = bytes.clone();
                        }
                        self.transmit(flow, bytes);
                    }
                }
                Action::Set(timer, after) => {
                    let set = self.timers.insert(now + after, Due::Server(key, timer));
                    let slot = &mut server.timers[timer.slot() as usize];
                    if let Some(old) = slot.replace(set) {
                        self.timers.cancel(old);
                    }
                }
                Action::Stop(slot) => {
                    if let Some(timer) = server.timers[slot as usize].take() {
                        self.timers.cancel(timer);
                    }
                }
                Action::Terminate => self.remove_server(key),
                // An ACK in Accepted is dealt with by the dialog; that a refusal was not
                // acknowledged or could not be sent changes nothing for its owner.
                Action::Deliver | Action::Timeout | Action::Failed | Action::SendAck => {}
            }
        }
    }

    /// Gives a response to a transaction. The request is let go with the final one.
    pub(crate) fn respond_bytes(
        &mut self,
        now: Instant,
        key: ServerKey,
        status: StatusCode,
        bytes: Bytes,
    ) {
        let Some(server) = self.servers.get_mut(key) else { return };
        server.response = bytes;
        let success = status.is_success();
        if status.is_final() {
            let request = server.request.take();
            let purpose = std::mem::replace(&mut server.purpose, Purpose::Core);
            let source = server.source;
            // The dialog of a new call was made of its INVITE; that of a BYE is over.
            let learns = status.code() < 400 && !matches!(purpose, Purpose::Invite(_));
            if let Some(request) = request.filter(|_| learns)
                && request.method() != Some(&Method::Bye)
            {
                let dialog = self.dialog_of(&request, self.servers.get(key));
                self.learn_session(&request, dialog);
            }
            self.ringing_over(purpose, source);
        }
        self.server_event(now, key, ServerEvent::of_status(status.code()));
        if success
            && let Some(server) = self.servers.get_mut(key)
            && matches!(server.machine, Machine::Invite(_))
        {
            // Accepted: the user repeats the 2xx itself. The tag is for a CANCEL that comes late.
            server.response = Bytes::new();
        }
    }

    /// Composes and gives a response.
    #[allow(clippy::too_many_arguments)] // The parts of a response.
    pub(crate) fn respond_with(
        &mut self,
        now: Instant,
        key: ServerKey,
        status: u16,
        reason: &str,
        extra: &[(HeaderName, &str)],
        headers: &Headers,
        body: Option<&super::Body>,
    ) -> Result<(), Error> {
        let Some(code) = StatusCode::new(status) else { return Err(Error::Status(status)) };
        let Some(server) = self.servers.get(key) else { return Err(Error::Stale("request")) };
        let Some(request) = &server.request else { return Err(Error::Stale("request")) };
        let mut w = self.response(request, server.source, code, reason, server.tag());
        for (name, value) in extra {
            w = w.header(*name, *value);
        }
        let bytes = self.finish(w, request, Some(server), headers, body)?;
        self.respond_bytes(now, key, code, bytes);
        Ok(())
    }

    /// A response of the endpoint's own making. A request that cannot be answered, because what the
    /// response would repeat of it cannot be written, is forgotten: no timer would ever remove it.
    pub(crate) fn respond_core(
        &mut self,
        now: Instant,
        key: ServerKey,
        status: u16,
        extra: &[(HeaderName, &str)],
    ) {
        for extra in [extra, &[]] {
            match self.respond_with(now, key, status, "", extra, &Headers::new(), None) {
                Err(Error::Header { .. }) => {}
                // Given, or there is a final response already.
                _ => return,
            }
        }
        self.remove_server(key);
    }

    /// Whether an INVITE still waits for its final response.
    pub(crate) fn is_unanswered(&self, key: ServerKey) -> bool {
        self.servers.get(key).is_some_and(|server| match server.machine {
            Machine::Invite(machine) => machine.state() == InviteServerState::Proceeding,
            Machine::Other(_) => server.request.is_some(),
        })
    }

    /// Sends the latest provisional response again.
    pub(crate) fn repeat_provisional(&mut self, key: ServerKey) {
        let Some(server) = self.servers.get(key) else { return };
        let (flow, bytes) = (server.flow, server.response.clone());
        self.counters.retransmitted += 1;
        self.transmit(flow, bytes);
    }

    /// Whether an INVITE was refused and waits for its ACK.
    pub(crate) fn is_refused_invite(&self, key: ServerKey) -> bool {
        matches!(
            self.servers.get(key).map(|server| server.machine),
            Some(Machine::Invite(machine)) if machine.state() == InviteServerState::Completed
        )
    }

    /// Changes the latest provisional response for its repetitions. False where there is none but a
    /// 100.
    pub(crate) fn change_provisional(
        &mut self,
        key: ServerKey,
        change: impl FnOnce(&Bytes) -> Option<Bytes>,
    ) -> bool {
        let Some(server) = self.servers.get_mut(key) else { return false };
        if server.response.is_empty() || server.response.starts_with(b"SIP/2.0 100") {
            return false;
        }
        if let Some(changed) = change(&server.response) {
            server.response = changed;
        }
        true
    }

    /// Whether an INVITE was answered 2xx.
    pub(crate) fn is_accepted_invite(&self, key: ServerKey) -> bool {
        matches!(
            self.servers.get(key).map(|server| server.machine),
            Some(Machine::Invite(machine)) if machine.state() == InviteServerState::Accepted
        )
    }

    pub(crate) fn remove_server(&mut self, key: ServerKey) {
        let Some(server) = self.servers.remove(key) else { return };
        self.ringing_over(server.purpose, server.source);
        server.timers.into_iter().flatten().for_each(|timer| {
            self.timers.cancel(timer);
        });
        if self.server_index.get(&server.print) == Some(&key) {
            self.server_index.remove(&server.print);
        }
        if let Some(merged) = server.merged
            && self.merged_index.get(&merged) == Some(&key)
        {
            self.merged_index.remove(&merged);
        }
    }
}
