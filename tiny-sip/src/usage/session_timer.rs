//! Session timers (RFC 4028), as either refresher: asked for, granted, refreshed at half time, and
//! the end of a session that nobody refreshes. Never two refreshes at once: they wait in the queue
//! of changes like everything else.

use super::call::Phase;
use super::reinvite::{Change, How};
use crate::endpoint::{
    CallKey, Due, EndedBy, Endpoint, Event, Headers, Policy, Request, ServerKey,
};
use crate::header::{HeaderName as H, Refresher, SessionExpires};
use crate::message::Message;
use std::time::{Duration, Instant};
use tiny_sak::TimerKey;

/// The timer of an established session.
#[derive(Debug)]
pub(crate) struct SessionTimer {
    /// In seconds.
    interval: u32,
    /// We refresh.
    refresher: bool,
    /// When the call is given up: somewhat before the session expires (§10).
    end: Instant,
    pub(crate) timer: Option<TimerKey>,
}

const TAG: &str = "timer";

fn supports(message: &Message, name: H) -> bool {
    message.list(name).any(|tag| tag.eq_ignore_ascii_case(TAG))
}

fn remove(headers: &mut Headers, names: &[H]) {
    headers.retain(|(name, _)| !names.contains(&H::parse(name)));
}

fn has(headers: &Headers, wanted: H) -> bool {
    headers.iter().any(|(name, _)| H::parse(name) == wanted)
}

impl Endpoint {
    fn shortest(&self) -> u32 {
        self.config.min_se.max(90)
    }

    /// What a new INVITE of ours asks for (§7.1) and requires.
    pub(crate) fn ask_extensions(&self, headers: &mut Headers) {
        let mut add = |name: H, value: String| headers.push((name.as_str().to_owned(), value));
        if self.config.reliable == Policy::Required {
            add(H::Require, "100rel".to_owned());
        }
        let session = self.config.session_timer;
        if session == Policy::Required {
            add(H::Require, TAG.to_owned());
        }
        let shortest = self.shortest();
        if matches!(session, Policy::Wanted | Policy::Required) && !has(headers, H::SessionExpires)
        {
            let seconds = self.config.session_expires.max(shortest);
            headers.push((H::SessionExpires.as_str().to_owned(), seconds.to_string()));
            if shortest > 90 {
                headers.push((H::MinSe.as_str().to_owned(), shortest.to_string()));
            }
        }
    }

    /// What a re-INVITE or UPDATE of ours says of the session (§7.4): the interval as it is, and who
    /// refreshes it, seen from this request.
    pub(crate) fn ask_session(&self, call: CallKey, headers: &mut Headers) {
        let Some(extras) = self.calls.get(call).and_then(|state| state.extras.as_ref()) else {
            return;
        };
        let Some(session) = &extras.session else { return };
        if has(headers, H::SessionExpires) {
            return;
        }
        let who = if session.refresher { "uac" } else { "uas" };
        let value = format!("{};refresher={who}", session.interval);
        headers.push((H::SessionExpires.as_str().to_owned(), value));
        let shortest = self.shortest().max(extras.min_se);
        if shortest > 90 {
            headers.push((H::MinSe.as_str().to_owned(), shortest.to_string()));
        }
    }

    /// A request that waits for another turn says anew what holds then.
    pub(crate) fn forget_session(headers: &mut Headers) {
        remove(headers, &[H::SessionExpires, H::MinSe]);
    }

    /// §9: "If an incoming request contains a Session-Expires … smaller than the minimum" and its
    /// sender knows session timers, it gets 422 with Min-SE.
    pub(crate) fn accept_interval(
        &mut self,
        now: Instant,
        key: ServerKey,
        request: &Message,
    ) -> bool {
        if self.config.session_timer == Policy::Off {
            return true;
        }
        let shortest = self.shortest();
        match request.session_expires() {
            Some(Err(_)) => self.respond_core(now, key, 400, &[]),
            Some(Ok(asked)) if asked.seconds < shortest && supports(request, H::Supported) => {
                self.respond_core(now, key, 422, &[(H::MinSe, &shortest.to_string())]);
            }
            _ => return true,
        }
        false
    }

    /// What our 2xx grants (§9), and the timer that follows from it.
    pub(crate) fn grant_session(
        &mut self,
        now: Instant,
        call: CallKey,
        request: &Message,
    ) -> Headers {
        let policy = self.config.session_timer;
        let Some(state) = self.calls.get(call).filter(|_| policy != Policy::Off) else {
            return Headers::new();
        };
        if matches!(state.phase, Phase::Calling { .. } | Phase::Ringing(_))
            && request.method() != Some(&crate::Method::Invite)
        {
            // The session is not up: an early UPDATE starts no timer.
            return Headers::new();
        }
        let running = state.extras.as_ref().and_then(|extras| extras.session.as_ref());
        let running = running.map(|session| (session.interval, session.refresher));
        let peer_knows = supports(request, H::Supported) || supports(request, H::Require);
        let asked = request.session_expires().and_then(Result::ok);
        let least = request.min_se().and_then(Result::ok).unwrap_or(0).max(self.shortest());
        let ours = self.config.session_expires.max(least);
        let wanted = matches!(policy, Policy::Wanted | Policy::Required);
        let interval = match (asked, running) {
            // "The UAS MAY reduce the value … but MUST NOT set it lower than" Min-SE.
            (Some(asked), _) => asked.seconds.min(ours).max(90),
            (None, Some((interval, _))) => interval.max(least),
            (None, None) if wanted => ours,
            (None, None) => return Headers::new(),
        };
        // Table 2: a caller without the extension cannot refresh; else its word counts, or things
        // stay as they are.
        let refresher = match (peer_knows, asked.and_then(|asked| asked.refresher), running) {
            (false, ..) => Refresher::Uas,
            (true, Some(named), _) => named,
            (true, None, Some((_, true))) => Refresher::Uas,
            (true, None, _) => Refresher::Uac,
        };
        self.run_session(now, call, interval, refresher == Refresher::Uas, least);
        let mut headers = Headers::new();
        let who = match refresher {
            Refresher::Uac => {
                headers.push((H::Require.as_str().to_owned(), TAG.to_owned()));
                "uac"
            }
            Refresher::Uas => "uas",
        };
        let value = format!("{interval};refresher={who}");
        headers.push((H::SessionExpires.as_str().to_owned(), value));
        headers
    }

    /// What the 2xx to our INVITE, re-INVITE or UPDATE says (§7.2): without Session-Expires the
    /// session does not expire.
    pub(crate) fn session_agreed(&mut self, now: Instant, call: CallKey, response: &Message) {
        let Some(state) = self.calls.get(call) else { return };
        if self.config.session_timer == Policy::Off || matches!(state.phase, Phase::Calling { .. })
        {
            return;
        }
        match response.session_expires() {
            Some(Ok(SessionExpires { seconds, refresher })) => {
                // Shorter than any interval may be: a refresh storm is not begun for anybody.
                let ours = refresher != Some(Refresher::Uas);
                self.run_session(now, call, seconds.max(90), ours, 0);
            }
            _ => self.stop_session(call),
        }
    }

    fn run_session(
        &mut self,
        now: Instant,
        call: CallKey,
        interval: u32,
        refresher: bool,
        min_se: u32,
    ) {
        let whole = Duration::from_secs(interval.into());
        // "RECOMMENDED that this BYE be sent … slightly before": the minimum of 32 s and a third.
        let end = now + (whole - (whole / 3).min(Duration::from_secs(32)));
        // At half time, and up to a tenth earlier, so that sessions that began together do not
        // refresh together.
        let half = whole / 2;
        let early = self.rng.below((half / 10).as_millis() as u64 + 1);
        let at = if refresher { now + half - Duration::from_millis(early) } else { end };
        self.stop_session(call);
        let timer = Some(self.timers.insert(at, Due::Session(call)));
        if let Some(state) = self.calls.get_mut(call) {
            let extras = state.extras();
            extras.min_se = extras.min_se.max(min_se);
            extras.session = Some(SessionTimer { interval, refresher, end, timer });
        }
    }

    fn stop_session(&mut self, call: CallKey) {
        let extras = self.calls.get_mut(call).and_then(|state| state.extras.as_mut());
        let session = extras.and_then(|extras| extras.session.take());
        if let Some(timer) = session.and_then(|session| session.timer) {
            self.timers.cancel(timer);
        }
    }

    /// Time to refresh, or to give up (§10).
    pub(crate) fn session_due(&mut self, now: Instant, call: CallKey) {
        let Some(state) = self.calls.get_mut(call) else { return };
        let phase = state.phase;
        let Some(session) = state.extras.as_mut().and_then(|extras| extras.session.as_mut()) else {
            return;
        };
        session.timer = None;
        let end = session.end;
        if now >= end {
            let reason = "the session has expired";
            if phase == Phase::Established {
                self.bye(now, call, Headers::new());
                return self.end_call(now, call, EndedBy::Network, Some(408), reason, None);
            }
            return;
        }
        let timer = Some(self.timers.insert(end, Due::Session(call)));
        let Some(state) = self.calls.get_mut(call) else { return };
        if let Some(session) = state.extras.as_mut().and_then(|extras| extras.session.as_mut()) {
            session.timer = timer;
        }
        self.refresh_session(now, call);
    }

    /// A refresh by UPDATE where the peer takes it; a re-INVITE needs the owner's description.
    fn refresh_session(&mut self, now: Instant, call: CallKey) {
        let update = self.allows_update(call);
        if update {
            let change = Change::new(How::Refresh, None, Headers::new(), None);
            // A full queue has changes that refresh the session all the same.
            let _ = self.queue_change(call, change);
            self.next_reinvite(now, call);
        } else {
            self.event(Event::RefreshDue { call });
        }
    }

    /// A 422 (§7.3): the request goes out again with the interval that the peer wants at least.
    pub(crate) fn lengthen_session(
        &mut self,
        mut request: Box<Request>,
        response: &Message,
    ) -> Result<Box<Request>, Box<Request>> {
        let Some(Ok(least)) = response.min_se() else { return Err(request) };
        let value = |name: H| {
            let found = request.headers.iter().find(|(n, _)| H::parse(n) == name);
            found.map(|(_, value)| value.clone())
        };
        let asked = value(H::SessionExpires).and_then(|v| SessionExpires::parse(&v).ok());
        let before = value(H::MinSe).and_then(|v| v.parse::<u32>().ok()).unwrap_or(0);
        // A peer that wants no more than what it refused would be asked for ever.
        let Some(asked) = asked.filter(|asked| least > asked.seconds && least > before) else {
            return Err(request);
        };
        let who = match asked.refresher {
            Some(Refresher::Uac) => ";refresher=uac",
            Some(Refresher::Uas) => ";refresher=uas",
            None => "",
        };
        Self::forget_session(&mut request.headers);
        let seconds = format!("{}{who}", least);
        request.headers.push((H::SessionExpires.as_str().to_owned(), seconds));
        request.headers.push((H::MinSe.as_str().to_owned(), least.to_string()));
        request.cseq = match request.dialog.and_then(|key| self.dialogs.get_mut(key)) {
            Some(dialog) => dialog.next_cseq(),
            None => request.cseq.wrapping_add(1) & 0x7fff_ffff,
        };
        Ok(request)
    }
}
