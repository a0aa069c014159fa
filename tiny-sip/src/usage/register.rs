//! Keeping a binding at a registrar (RFC 3261 §10.2): refresh, 423, credentials, back-off, removal,
//! and keep-alives on the flow that calls will come in on (RFC 5626 §3.5).

use crate::endpoint::{
    AccountKey, Cause, ClientKey, Contact, Due, Endpoint, Error, Event, Headers, Leg, Owner,
    Registration, check,
};
use crate::message::Message;
use crate::method::Method;
use crate::uri::Uri;
use bytes::Bytes;
use std::time::{Duration, Instant};
use tiny_sak::{Flow, TimerKey, id};

/// A binding that is kept, or being removed.
#[derive(Debug)]
pub(crate) struct Binding {
    registrar: String,
    headers: Headers,
    expires: u32,
    wanted: bool,
    // "all registrations … SHOULD use the same Call-ID", with growing CSeq (§10.2).
    call_id: Box<str>,
    cseq: u32,
    running: bool,
    brief: u8,
    failures: u32,
    pub(crate) leg: Leg,
    flow: Option<Flow>,
    refresh: Option<TimerKey>,
    alive: Option<TimerKey>,
}

impl Endpoint {
    /// Binds the account's Contact at a registrar, and keeps refreshing it until `unregister`.
    /// `Registered` and `RegistrationFailed` tell what becomes of it.
    ///
    /// # Errors
    /// A stale account, a URI or header field that cannot be used, or a limit.
    pub fn register(
        &mut self,
        now: Instant,
        account: AccountKey,
        registration: Registration,
    ) -> Result<(), Error> {
        check(&registration.headers, None)?;
        self.room()?;
        if !crate::dialog::is_routable(&registration.registrar) {
            let why = "a registrar is a sip: or sips: URI";
            return Err(Error::Uri { uri: registration.registrar, why });
        }
        let call_id = id::call_id(&mut self.rng);
        let state = self.accounts.get_mut(account).ok_or(Error::Stale("account"))?;
        let Registration { registrar, expires, headers } = registration;
        match &mut state.binding {
            Some(binding) => {
                binding.registrar = registrar;
                binding.headers = headers;
                binding.expires = expires;
                binding.wanted = true;
                binding.failures = 0;
                binding.brief = 0;
            }
            None => {
                state.binding = Some(Box::new(Binding {
                    registrar,
                    headers,
                    expires,
                    wanted: true,
                    call_id: call_id.as_str().into(),
                    cseq: 0,
                    running: false,
                    brief: 0,
                    failures: 0,
                    leg: Leg::None,
                    flow: None,
                    refresh: None,
                    alive: None,
                }));
            }
        }
        self.send_register(now, account)
    }

    /// Removes the binding and stops refreshing it.
    ///
    /// # Errors
    /// A stale account, or one that is not registered.
    pub fn unregister(&mut self, now: Instant, account: AccountKey) -> Result<(), Error> {
        let state = self.accounts.get_mut(account).ok_or(Error::Stale("account"))?;
        let binding =
            state.binding.as_mut().ok_or(Error::State("the account is not registered"))?;
        binding.wanted = false;
        binding.brief = 0;
        self.send_register(now, account)
    }

    fn send_register(&mut self, now: Instant, account: AccountKey) -> Result<(), Error> {
        self.stop_binding_timers(account);
        let Some(binding) = self.accounts.get_mut(account).and_then(|s| s.binding.as_mut()) else {
            return Ok(());
        };
        if binding.running {
            // "MUST NOT send a new registration … until they have received a final response …
            // for the previous one" (§10.2): what is wanted is looked at again then.
            return Ok(());
        }
        binding.running = true;
        binding.leg = Leg::None;
        let registrar = binding.registrar.clone();
        let owner = Owner::Register(account);
        let mut request = self.out_of_dialog(account, owner, Method::Register, &registrar)?;
        let Some(state) = self.accounts.get_mut(account) else { return Ok(()) };
        // §10.2: To is the address of record; the Request-URI has no user part.
        let aor = state.account.aor.clone();
        let Some(binding) = &mut state.binding else { return Ok(()) };
        binding.cseq += 1;
        request.cseq = binding.cseq;
        request.call_id = binding.call_id.clone();
        request.to = format!("<{aor}>").into();
        request.headers = binding.headers.clone();
        let expires = if binding.wanted { binding.expires } else { 0 };
        request.contact = Contact::Binding(expires);
        request.headers.push(("Expires".to_owned(), expires.to_string()));
        self.start(now, request);
        Ok(())
    }

    /// The flow of the latest registration.
    pub(crate) fn registered_over(&self, account: AccountKey) -> Option<Flow> {
        self.accounts.get(account)?.binding.as_ref()?.flow
    }

    fn stop_binding_timers(&mut self, account: AccountKey) {
        let Some(binding) = self.accounts.get_mut(account).and_then(|s| s.binding.as_mut()) else {
            return;
        };
        for timer in [binding.refresh.take(), binding.alive.take()].into_iter().flatten() {
            self.timers.cancel(timer);
        }
    }

    /// The end of a REGISTER transaction: numbers go on from the last attempt's.
    fn register_over(&mut self, account: AccountKey, cseq: Option<u32>) -> Option<&mut Binding> {
        let binding = self.accounts.get_mut(account)?.binding.as_deref_mut()?;
        binding.running = false;
        binding.leg = Leg::None;
        binding.cseq = binding.cseq.max(cseq.unwrap_or(0));
        Some(binding)
    }

    /// A 2xx (§10.2.4).
    pub(crate) fn register_accepted(
        &mut self,
        now: Instant,
        account: AccountKey,
        key: ClientKey,
        message: &Message,
    ) {
        let flow = self.clients.get(key).map(|client| client.flow);
        let asked = self
            .clients
            .get(key)
            .and_then(|client| client.request.as_ref())
            .map(|request| request.contact);
        let cseq = message.cseq().ok().map(|cseq| cseq.number);
        let Some(binding) = self.register_over(account, cseq) else { return };
        binding.failures = 0;
        binding.brief = 0;
        let wanted = binding.wanted;
        if asked == Some(Contact::Binding(0)) {
            if wanted {
                // Registered again while the binding was being removed.
                let _ = self.send_register(now, account);
                return;
            }
            if let Some(state) = self.accounts.get_mut(account) {
                state.binding = None;
            }
            return self.event(Event::Unregistered { account });
        }
        if !wanted {
            let _ = self.send_register(now, account);
            return;
        }
        binding.flow = flow;
        let default = message.expires().and_then(Result::ok).unwrap_or(binding.expires);
        let Some(flow) = flow else { return };
        let state = self.accounts.get(account);
        let contact = self.contact_uri(state, None, flow.transport, flow.local).to_string();
        let expires = granted(message, &contact).unwrap_or(default);
        // Well before the end: 5 s at least, a tenth at most of a long one.
        let lifetime = Duration::from_secs(expires.max(1).into());
        let margin = (lifetime / 10).max(Duration::from_secs(5)).min(lifetime / 2);
        let refresh = self.timers.insert(now + lifetime - margin, Due::Refresh(account));
        if let Some(binding) = self.accounts.get_mut(account).and_then(|s| s.binding.as_mut()) {
            binding.refresh = Some(refresh);
        }
        self.set_keep_alive(now, account);
        let response = message.clone();
        self.event(Event::Registered { account, expires, contact, response });
    }

    /// A 3xx–6xx that credentials could not help.
    pub(crate) fn register_refused(
        &mut self,
        now: Instant,
        account: AccountKey,
        status: u16,
        message: &Message,
        cause: Cause,
    ) {
        let cseq = message.cseq().ok().map(|cseq| cseq.number);
        let Some(binding) = self.register_over(account, cseq) else { return };
        if status == 423
            && let Some(Ok(min)) = message.min_expires()
            && binding.wanted
            && binding.brief < 2
            && min > binding.expires
        {
            // §10.2.8
            binding.brief += 1;
            binding.expires = min;
            let _ = self.send_register(now, account);
            return;
        }
        // What will not change by itself is not tried again: wrong credentials, or a request that
        // this registrar does not take.
        let lasting = cause == Cause::Unauthorized
            || matches!(status, 300..=407 | 409..=429 | 600..=699)
            || matches!(status, 482..=485 | 488 | 493 | 501 | 505 | 513);
        let after = message.retry_after().and_then(Result::ok);
        let after = after.map(|after| Duration::from_secs(after.seconds.into()));
        let reason = message.reason().to_owned();
        self.registration_failed(now, account, Some(status), reason, cause, !lasting, after);
    }

    /// No final response.
    pub(crate) fn register_failed(
        &mut self,
        now: Instant,
        account: AccountKey,
        cause: Cause,
        reason: &str,
    ) {
        if self.register_over(account, None).is_none() {
            return;
        }
        self.registration_failed(now, account, None, reason.to_owned(), cause, true, None);
    }

    #[allow(clippy::too_many_arguments)] // The parts of one event.
    fn registration_failed(
        &mut self,
        now: Instant,
        account: AccountKey,
        status: Option<u16>,
        reason: String,
        cause: Cause,
        again: bool,
        after: Option<Duration>,
    ) {
        let (first, longest) = (self.config.register_retry, self.config.register_retry_max);
        let jitter = 0.75 + self.rng.unit() / 2.0;
        let Some(state) = self.accounts.get_mut(account) else { return };
        let Some(binding) = &mut state.binding else { return };
        binding.flow = None;
        let mut retry_in = None;
        if !binding.wanted {
            // What cannot be removed expires by itself.
            state.binding = None;
        } else if again {
            let pause = first.saturating_mul(1 << binding.failures.min(16)).min(longest);
            let pause = pause.mul_f64(jitter).max(after.unwrap_or_default().min(longest));
            binding.failures += 1;
            binding.refresh = Some(self.timers.insert(now + pause, Due::Refresh(account)));
            retry_in = Some(pause);
        } else {
            state.binding = None;
        }
        self.event(Event::RegistrationFailed { account, status, reason, cause, retry_in });
    }

    pub(crate) fn refresh_due(&mut self, now: Instant, account: AccountKey) {
        if let Some(binding) = self.accounts.get_mut(account).and_then(|s| s.binding.as_mut()) {
            binding.refresh = None;
            // A failure to write it was told when it was asked for first.
            let _ = self.send_register(now, account);
        }
    }

    fn set_keep_alive(&mut self, now: Instant, account: AccountKey) {
        let (udp, stream) = (self.config.keepalive_udp, self.config.keepalive_stream);
        let Some(binding) = self.accounts.get_mut(account).and_then(|s| s.binding.as_mut()) else {
            return;
        };
        let Some(flow) = binding.flow else { return };
        let interval = if flow.transport.is_reliable() { stream } else { udp };
        let Some(interval) = interval else { return };
        let timer = self.timers.insert(now + interval, Due::KeepAlive(account));
        if let Some(old) = binding.alive.replace(timer) {
            self.timers.cancel(old);
        }
    }

    /// RFC 5626 §3.5.1: a double CRLF. (Over UDP a registrar ignores it, and the NAT does not.)
    pub(crate) fn keep_alive(&mut self, now: Instant, account: AccountKey) {
        let Some(binding) = self.accounts.get_mut(account).and_then(|s| s.binding.as_mut()) else {
            return;
        };
        binding.alive = None;
        let Some(flow) = binding.flow else { return };
        self.ping(flow);
        self.set_keep_alive(now, account);
    }

    /// A flow that calls would come in on is gone: register anew, after a short pause of chance so
    /// that a restarted server is not met by everybody at once.
    pub(crate) fn flow_lost(&mut self, now: Instant, flow: Flow) {
        let hit: Vec<_> = self
            .accounts
            .iter()
            .filter(|(_, state)| {
                state.binding.as_ref().is_some_and(|binding| {
                    binding.wanted
                        && !binding.running
                        && binding.flow.is_some_and(|f| {
                            f.transport == flow.transport && f.remote == flow.remote
                        })
                })
            })
            .map(|(key, _)| key)
            .collect();
        for account in hit {
            self.stop_binding_timers(account);
            let pause = self.config.register_retry.mul_f64(self.rng.unit());
            let timer = self.timers.insert(now + pause, Due::Refresh(account));
            if let Some(binding) = self.accounts.get_mut(account).and_then(|s| s.binding.as_mut()) {
                binding.flow = None;
                binding.refresh = Some(timer);
            }
            self.event(Event::FlowFailed { account, flow });
        }
    }

    /// Ends what an account does at its registrar, without a word to it.
    pub(crate) fn forget_binding(&mut self, account: AccountKey) {
        self.stop_binding_timers(account);
        let binding = self.accounts.get_mut(account).and_then(|state| state.binding.take());
        let Some(binding) = binding else { return };
        self.drop_leg(binding.leg);
        if let Leg::Sent(key) = binding.leg
            && binding.running
        {
            self.remove_client(key);
        }
    }

    fn ping(&mut self, flow: Flow) {
        if flow.transport.is_stream() {
            self.expect_pong(flow);
        }
        self.transmit(flow, Bytes::from_static(b"\r\n\r\n"));
    }
}

/// The lifetime that a 200 gives our own Contact (§10.2.4): all bindings are listed there.
fn granted(message: &Message, contact: &str) -> Option<u32> {
    let ours = Uri::parse(contact).ok()?;
    message
        .contacts()
        .flatten()
        .find(|listed| listed.uri.is_equivalent(&ours))
        .and_then(|listed| listed.param("expires")?.parse().ok())
}
