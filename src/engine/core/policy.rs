//! What the policies of an account do to a call before it rings: forwarding (302 with Diversion, RFC
//! 5806, and History-Info, RFC 7044), do-not-disturb, call waiting, and the caller's wish to be
//! answered by itself (RFC 5373, Alert-Info, Call-Info).

use super::Core;
use crate::command::Headers;
use crate::media::MediaPlane;
use crate::policy::Policy;
use crate::{AccountId, Event, SipMessage};
use std::time::{Duration, Instant};
use tiny_sip::{AccountKey, CallKey, HeaderName as H, escape_header};

/// A call that is not let through.
pub(super) struct Refusal {
    pub(super) status: u16,
    pub(super) headers: Headers,
    pub(super) forwarded_to: Option<String>,
}

/// Why a call goes elsewhere: what Diversion and History-Info say.
#[derive(Clone, Copy)]
enum Why {
    Always,
    Busy,
    NoAnswer,
}

impl<P: MediaPlane> Core<P> {
    pub(super) fn policy_of(&self, account: AccountKey) -> Option<&Policy> {
        self.accounts.get(&account).map(|entry| &entry.spec.policy)
    }

    /// Whether the account's policies keep a call from ringing.
    pub(super) fn refusal(
        &self,
        account: AccountKey,
        key: CallKey,
        request: &SipMessage,
    ) -> Option<Refusal> {
        let policy = self.policy_of(account)?;
        if let Some(to) = &policy.forward_always {
            return Some(forward(request, to, Why::Always));
        }
        if let Some(dnd) = policy.do_not_disturb {
            let status = if (400..700).contains(&dnd.status) { dnd.status } else { 486 };
            let text = "SIP;cause=486;text=\"Do Not Disturb\"";
            let mut headers = vec![(H::Reason.as_str().to_owned(), text.to_owned())];
            if let Some(after) = dnd.retry_after {
                headers.push((H::RetryAfter.as_str().to_owned(), after.as_secs().to_string()));
            }
            return Some(Refusal { status, headers, forwarded_to: None });
        }
        let same = |other: &CallKey| self.endpoint.account_of(*other) == Some(account);
        let busy = self.calls.iter().any(|(k, e)| *k != key && e.end.is_none() && same(k));
        if busy && let Some(to) = &policy.forward_busy {
            return Some(forward(request, to, Why::Busy));
        }
        if busy && !policy.call_waiting {
            return Some(Refusal { status: 486, headers: Headers::new(), forwarded_to: None });
        }
        // RFC 5373 §4.4: who demands an automatic answer and cannot have it is refused.
        if !policy.auto_answer && answer_mode(request).is_some_and(|(_, must)| must) {
            return Some(Refusal { status: 403, headers: Headers::new(), forwarded_to: None });
        }
        None
    }

    /// Refuses a call, and tells the application of it.
    pub(super) fn refuse(
        &mut self,
        now: Instant,
        account: AccountKey,
        key: CallKey,
        request: SipMessage,
        refusal: Refusal,
    ) {
        let Refusal { status, headers, forwarded_to } = refusal;
        let result = self.endpoint.reject(now, key, status, None, headers);
        self.tolerate("refuse", result);
        let account = AccountId(account);
        self.tell(Event::CallRefused { account, request, status, forwarded_to });
    }

    /// A call rings: how long before it goes elsewhere.
    pub(super) fn begin_patience(
        &mut self,
        now: Instant,
        account: AccountKey,
        key: CallKey,
        request: &SipMessage,
    ) {
        let Some((after, to)) = self.policy_of(account).and_then(|p| p.forward_no_answer.clone())
        else {
            return;
        };
        let refusal = forward(request, &to, Why::NoAnswer);
        if let Some(entry) = self.calls.get_mut(&key) {
            entry.forward = Some(Box::new((account, request.clone(), refusal)));
            self.patience.insert(now + after, key);
        }
    }

    /// Calls that have rung long enough go elsewhere.
    pub(super) fn patience_over(&mut self, now: Instant) {
        while let Some(key) = self.patience.pop_due(now) {
            let Some(entry) = self.calls.get_mut(&key) else { continue };
            let waits = !entry.accepted && entry.end.is_none();
            let Some(forward) = entry.forward.take().filter(|_| waits) else { continue };
            let (account, request, refusal) = *forward;
            self.refuse(now, account, key, request, refusal);
        }
    }

    /// How soon the caller wants the call to be answered by itself, where that is allowed.
    pub(super) fn wanted_answer(
        &self,
        account: Option<AccountKey>,
        request: &SipMessage,
    ) -> Option<Duration> {
        let policy = self.policy_of(account?)?;
        policy.auto_answer.then(|| auto_answer(request)).flatten()
    }
}

/// 302 to another place.
fn forward(request: &SipMessage, to: &str, why: Why) -> Refusal {
    let (diversion, cause) = match why {
        Why::Always => ("unconditional", 302),
        Why::Busy => ("user-busy", 486),
        Why::NoAnswer => ("no-answer", 408),
    };
    let called = request.request_uri();
    let mut headers = vec![
        (H::Contact.as_str().to_owned(), format!("<{to}>")),
        (H::Diversion.as_str().to_owned(), format!("<{called}>;reason={diversion};counter=1")),
    ];
    // RFC 7044 §9.4: to whoever understands it, what was there and what we add.
    let known = request.list(H::Supported).any(|tag| tag.eq_ignore_ascii_case("histinfo"));
    let mut history: Vec<String> =
        request.list(H::HistoryInfo).take(30).map(str::to_owned).collect();
    if known || !history.is_empty() {
        let reason = format!("SIP;cause={cause}");
        let last = history.last().and_then(|entry| {
            let params = super::transfer::params_of(entry)?;
            params.split(';').find_map(|p| p.trim().strip_prefix("index=")).map(str::to_owned)
        });
        let index = last.map_or_else(|| "1".to_owned(), |last| format!("{last}.1"));
        let separator = if called.contains('?') { '&' } else { '?' };
        let escaped = escape_header(&reason);
        history.push(format!("<{called}{separator}Reason={escaped}>;index={index}"));
        history.push(format!("<{to};cause={cause}>;index={index}.1;mp={index}"));
        headers.push((H::HistoryInfo.as_str().to_owned(), history.join(", ")));
    }
    Refusal { status: 302, headers, forwarded_to: Some(to.to_owned()) }
}

/// What Answer-Mode and Priv-Answer-Mode say: automatic, and whether it is demanded (RFC 5373 §2).
fn answer_mode(request: &SipMessage) -> Option<(bool, bool)> {
    let item =
        request.header_named("Priv-Answer-Mode").or_else(|| request.header(H::AnswerMode))?;
    let item = tiny_sip::header::Item::parse(item).ok()?;
    let auto = item.value.eq_ignore_ascii_case("Auto");
    Some((auto, auto && item.params.has("require")))
}

/// After how long the caller wants an answer.
fn auto_answer(request: &SipMessage) -> Option<Duration> {
    if let Some((auto, _)) = answer_mode(request) {
        return auto.then_some(Duration::ZERO);
    }
    let seconds = |text: &str| {
        let seconds = tiny_sip::header::parse_seconds(text).ok()?;
        Some(Duration::from_secs(u64::from(seconds.min(60))))
    };
    let call_info = request.info_uris(H::CallInfo).flatten();
    if let Some(after) = call_info.filter_map(|i| i.params.get("answer-after")).find_map(seconds) {
        return Some(after);
    }
    let alert = request.info_uris(H::AlertInfo).flatten().find(|i| {
        let word = |text: &str| {
            let text = text.to_ascii_lowercase();
            ["auto answer", "auto-answer", "autoanswer", "alert-autoanswer"]
                .contains(&text.as_str())
        };
        i.params.get("info").is_some_and(word)
    })?;
    Some(alert.params.get("delay").and_then(seconds).unwrap_or(Duration::ZERO))
}
