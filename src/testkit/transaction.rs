//! What the server remembers of a request: the server transaction towards the caller, and one client
//! transaction for each branch (RFC 3261 §16.2, §17). Timers of one that is gone do nothing.

use super::edit;
use super::server::Server;
use bytes::Bytes;
use std::time::{Duration, Instant};
use tiny_sak::{Flow, id};
use tiny_sip::{HeaderName, Message, Method, StatusCode};

/// RFC 3261 §17.1.1.1.
pub(super) const T1: Duration = Duration::from_millis(500);
pub(super) const T2: Duration = Duration::from_secs(4);
/// Timers B, F, H and J.
pub(super) const LIFETIME: Duration = Duration::from_secs(32);

#[derive(Debug)]
pub(super) struct Transaction {
    pub(super) key: String,
    pub(super) request: Message,
    pub(super) method: Method,
    /// The path that the request came by.
    pub(super) flow: Flow,
    pub(super) reply_to: Flow,
    pub(super) to_tag: String,
    pub(super) branches: Vec<Branch>,
    // The answer to a retransmission.
    last: Option<Bytes>,
    pub(super) final_status: Option<u16>,
    pub(super) acked: bool,
}

#[derive(Debug)]
pub(super) struct Branch {
    pub(super) id: String,
    pub(super) flow: Flow,
    /// The request as it was sent.
    pub(super) sent: Message,
    pub(super) state: BranchState,
    pub(super) cancel: Cancel,
    /// When timer C ends the branch; each 1xx moves it on.
    pub(super) rings_until: Instant,
    /// Other flows of the same device (RFC 5626 §7).
    pub(super) spare: Vec<super::proxy::Target>,
}

#[derive(Debug)]
pub(super) enum BranchState {
    Trying,
    Proceeding,
    /// Answered by the callee.
    Answered(Box<Message>),
    /// Given up by the proxy, as if this status had come.
    GivenUp(u16),
}

impl Branch {
    pub(super) fn is_done(&self) -> bool {
        matches!(self.state, BranchState::Answered(_) | BranchState::GivenUp(_))
    }

    pub(super) fn status(&self) -> Option<u16> {
        match &self.state {
            BranchState::Answered(m) => m.status().map(StatusCode::code),
            BranchState::GivenUp(status) => Some(*status),
            _ => None,
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Cancel {
    No,
    /// Wanted, but nothing has come back yet (RFC 3261 §9.1).
    Wanted,
    Sent(Bytes),
    Answered,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Timer {
    /// G: a final response above 299 to INVITE, again.
    Answer(u64, Duration),
    /// H, J, L: the transaction is over.
    End(u64),
    /// A, E: the request on a branch, again.
    Request(u64, usize, Duration),
    /// B, F: a branch has no answer.
    Unanswered(u64, usize),
    /// C: a branch rings for too long.
    Ringing(u64, usize),
    /// E: the CANCEL on a branch, again.
    Cancel(u64, usize, Duration),
    /// A cancelled branch has no final answer.
    Cancelled(u64, usize),
}

/// What names a server transaction (RFC 3261 §17.2.3). `method` is INVITE for its ACK and CANCEL.
pub(super) fn key(request: &Message, method: &Method) -> Option<String> {
    let via = request.top_via().ok()?;
    if let Some(branch) = via.branch().filter(|_| via.has_unique_branch()) {
        let port = via.port.unwrap_or(0);
        return Some(format!("{branch} {}:{port} {method}", via.host.to_ascii_lowercase()));
    }
    // RFC 2543: by what stays the same in a retransmission.
    let (call, cseq) = (request.call_id().ok()?, request.cseq().ok()?.number);
    let from = request.from().ok()?.tag().unwrap_or_default();
    Some(format!("2543 {call} {cseq} {from} {via} {method}"))
}

impl Server {
    /// A new server transaction, or `None` when there are too many.
    pub(super) fn open(&mut self, key: String, request: Message, flow: Flow) -> Option<u64> {
        if self.transactions.len() >= self.config.max_transactions {
            return None;
        }
        self.next_id += 1;
        self.by_key.insert(key.clone(), self.next_id);
        let transaction = Transaction {
            key,
            method: request.method()?.clone(),
            flow,
            reply_to: edit::reply_flow(&request, flow),
            to_tag: id::tag(&mut self.rng).to_string(),
            branches: Vec::new(),
            last: None,
            final_status: None,
            acked: false,
            request,
        };
        self.transactions.insert(self.next_id, transaction);
        Some(self.next_id)
    }

    /// A request that was seen before.
    pub(super) fn again(&mut self, id: u64) {
        if let Some(t) = self.transactions.get(&id)
            && let Some(last) = t.last.clone()
        {
            self.transmit(t.reply_to, last);
        }
    }

    /// Answers a request with a response of the server's own. A request that cannot be answered,
    /// because what the response would repeat of it cannot be written, is forgotten.
    pub(super) fn respond(
        &mut self,
        now: Instant,
        id: u64,
        status: u16,
        reason: &str,
        headers: &[(HeaderName, String)],
    ) {
        let Some(t) = self.transactions.get(&id) else { return };
        let code = StatusCode::new(status).unwrap_or(StatusCode::BAD_REQUEST);
        let tag = &t.to_tag;
        let compose =
            |headers| edit::response(&t.request, t.flow.remote, code, reason, tag, headers);
        match compose(headers).or_else(|| compose(&[])) {
            Some(bytes) => self.reply(now, id, code.code(), bytes),
            None => self.forget(id),
        }
    }

    fn forget(&mut self, id: u64) {
        if let Some(t) = self.transactions.remove(&id) {
            self.by_key.remove(&t.key);
            t.branches.iter().for_each(|b| {
                self.by_branch.remove(&b.id);
            });
        }
    }

    /// Sends a response to the caller, the server's own or a callee's.
    pub(super) fn reply(&mut self, now: Instant, id: u64, status: u16, bytes: Bytes) {
        let Some(t) = self.transactions.get_mut(&id) else { return };
        let success = (200..300).contains(&status);
        let invite = t.method == Method::Invite;
        match t.final_status {
            None => {}
            // RFC 3261 §16.7 step 5: every 2xx to INVITE goes on, whatever went before.
            Some(_) if invite && success => {}
            Some(_) => return,
        }
        // RFC 6026 §7.1: after a 2xx, retransmissions of INVITE are absorbed.
        t.last = (!(invite && success)).then(|| bytes.clone());
        let flow = t.reply_to;
        if status >= 200 && t.final_status.is_none() {
            t.final_status = Some(status);
            self.timers.insert(now + LIFETIME, Timer::End(id));
            if invite && !success && !flow.transport.is_reliable() {
                self.timers.insert(now + T1, Timer::Answer(id, T1));
            }
        }
        self.transmit(flow, bytes);
    }

    /// ACK of a response above 299; false when it belongs to no such response.
    pub(super) fn acknowledge(&mut self, key: &str) -> bool {
        let id = self.by_key.get(key);
        let transaction = id.and_then(|id| self.transactions.get_mut(id));
        match transaction {
            Some(t) if t.final_status.is_none_or(|s| s >= 300) => {
                t.acked = true;
                true
            }
            _ => false,
        }
    }

    pub(super) fn expire(&mut self, now: Instant, timer: Timer) {
        match timer {
            Timer::Answer(id, interval) => {
                if self.transactions.get(&id).is_some_and(|t| !t.acked) {
                    self.again(id);
                    let next = T2.min(interval * 2);
                    self.timers.insert(now + next, Timer::Answer(id, next));
                }
            }
            Timer::End(id) => self.forget(id),
            Timer::Request(id, i, interval) => self.send_again(now, id, i, interval),
            Timer::Unanswered(id, i) => self.unanswered(now, id, i),
            Timer::Ringing(id, i) => self.rings_too_long(now, id, i),
            Timer::Cancel(id, i, interval) => self.cancel_again(now, id, i, interval),
            Timer::Cancelled(id, i) => self.give_up(now, id, i, 408),
        }
    }
}
