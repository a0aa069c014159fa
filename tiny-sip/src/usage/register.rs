//! Keeping bindings at a registrar (RFC 3261 §10.2): refresh, 423, 439, credentials, back-off,
//! removal, and what the registrar gives with them: GRUUs (RFC 5627), Service-Route (RFC 3608),
//! P-Associated-URI (RFC 7315). The flows beneath are `outbound`'s.

use super::outbound::RegFlow;
use crate::endpoint::{
    AccountKey, Cause, ClientKey, Contact, Due, Endpoint, Error, Event, FlowInfo, Headers, Leg,
    Owner, Registration, RegistrationInfo, Target, check,
};
use crate::header::{HeaderName, NameAddr};
use crate::message::Message;
use crate::method::Method;
use crate::uri::Uri;
use crate::writer::text;
use std::time::{Duration, Instant};
use tiny_sak::Flow;

/// "First Hop Lacks Outbound Support" (RFC 5626 §11.6).
const FIRST_HOP_LACKS_OUTBOUND: u16 = 439;
/// How often a Contact is rewritten between two refreshes that were due.
const MAX_REWRITES: u8 = 2;
/// Associated URIs kept; more are in the response that the owner is given.
const MAX_ASSOCIATED: usize = 32;

/// A registration that is kept, or being removed: one binding, or one for each flow of RFC 5626.
#[derive(Debug)]
pub(crate) struct Binding {
    registrar: String,
    headers: Headers,
    expires: u32,
    pub(crate) wanted: bool,
    /// At least one.
    pub(crate) flows: Vec<RegFlow>,
    /// The first hop takes no outbound registrations (439): one plain binding.
    pub(crate) plain: bool,
    granted: Granted,
}

/// What the registrar gave us beside the time.
#[derive(Debug, Default)]
struct Granted {
    gruu: Option<Box<str>>,
    temporary: Option<Box<str>>,
    associated: Vec<String>,
}

impl Binding {
    /// The public GRUU (RFC 5627 §4.4), where one was asked for and given.
    pub(crate) fn gruu(&self) -> Option<&str> {
        self.granted.gruu.as_deref()
    }
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
        let proxies = match self.accounts.get(account) {
            Some(state) if state.binding.is_none() => state.account.flows.clone(),
            _ => Vec::new(),
        };
        let flows = self.new_reg_flows(&proxies);
        let state = self.accounts.get_mut(account).ok_or(Error::Stale("account"))?;
        let Registration { registrar, expires, headers } = registration;
        let binding = state.binding.get_or_insert_with(|| {
            let (plain, granted) = (false, Granted::default());
            let (registrar, headers) = (String::new(), Headers::new());
            Box::new(Binding { registrar, headers, expires, wanted: true, flows, plain, granted })
        });
        binding.registrar = registrar;
        binding.headers = headers;
        binding.expires = expires;
        binding.wanted = true;
        for flow in &mut binding.flows {
            (flow.failures, flow.brief, flow.rewrites, flow.tried) = (0, 0, 0, false);
        }
        // All that are up, and the first.
        let up = binding.flows.iter().map(|flow| flow.flow.is_some());
        let up: Vec<bool> = up.collect();
        for index in (0..up.len()).filter(|index| *index == 0 || up.get(*index) == Some(&true)) {
            self.send_register(now, account, index)?;
        }
        Ok(())
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
        binding.flows.iter_mut().for_each(|flow| flow.brief = 0);
        let up: Vec<bool> =
            binding.flows.iter().map(|flow| flow.flow.is_some() || flow.running).collect();
        let none = !up.contains(&true);
        self.stop_binding_timers(account);
        for index in (0..up.len()).filter(|i| up.get(*i) == Some(&true) || (none && *i == 0)) {
            self.send_register(now, account, index)?;
        }
        Ok(())
    }

    /// Sends the REGISTER of one flow: a binding, a refresh or a removal, as is wanted.
    pub(crate) fn send_register(
        &mut self,
        now: Instant,
        account: AccountKey,
        index: usize,
    ) -> Result<(), Error> {
        self.stop_flow_timers(account, index);
        let Some(binding) = self.accounts.get_mut(account).and_then(|s| s.binding.as_mut()) else {
            return Ok(());
        };
        let (wanted, expires) = (binding.wanted, binding.expires);
        let Some(flow) = binding.flows.get_mut(index) else { return Ok(()) };
        if flow.running {
            // "MUST NOT send a new registration … until they have received a final response …
            // for the previous one" (§10.2): what is wanted is looked at again then.
            return Ok(());
        }
        flow.running = true;
        flow.tried = true;
        flow.leg = Leg::None;
        let registrar = binding.registrar.clone();
        let owner = Owner::Register(account, index as u8);
        let mut request = self.out_of_dialog(account, owner, Method::Register, &registrar)?;
        let Some(state) = self.accounts.get_mut(account) else { return Ok(()) };
        // §10.2: To is the address of record; the Request-URI has no user part.
        let aor = state.account.aor.clone();
        let Some(binding) = &mut state.binding else { return Ok(()) };
        request.headers = binding.headers.clone();
        let Some(flow) = binding.flows.get_mut(index) else { return Ok(()) };
        flow.cseq += 1;
        request.cseq = flow.cseq;
        request.call_id = flow.call_id.clone();
        request.to = format!("<{aor}>").into();
        if !flow.proxy().is_empty() {
            request.routes = flow.proxy().into();
        }
        // "Registrations that merely refresh an existing binding are sent over the same flow"
        // (RFC 5626 §4.2.2).
        if let Some(way) = flow.flow.filter(|_| flow.outbound) {
            request.targets.push(Target::of(&way));
        }
        let expires = if wanted { expires } else { 0 };
        request.contact = Contact::Binding { expires, flow: index as u8 };
        request.headers.push(("Expires".to_owned(), expires.to_string()));
        self.start(now, request);
        Ok(())
    }

    /// Whether an account is to stay registered.
    pub(crate) fn wants_binding(&self, account: AccountKey) -> bool {
        let binding = self.accounts.get(account).and_then(|state| state.binding.as_ref());
        binding.is_some_and(|binding| binding.wanted)
    }

    /// The network has changed: what is bound leads nowhere, and is replaced at once. (Which of ours
    /// the old binding is, the REGISTER itself says: by instance and reg-id, or with `expires=0`.)
    pub(crate) fn register_anew(&mut self, now: Instant, account: AccountKey) {
        let Some(state) = self.accounts.get_mut(account) else { return };
        state.learned = None;
        if !self.wants_binding(account) {
            return;
        }
        for index in 0..self.flow_count(account) {
            let Some(own) = self.reg_flow(account, index) else { continue };
            let wanted = own.flow.is_some() || own.refresh.is_some() || own.running || index == 0;
            let leg = std::mem::replace(&mut own.leg, Leg::None);
            (own.flow, own.running, own.tried) = (None, false, false);
            (own.failures, own.brief, own.rewrites) = (0, 0, 0);
            if let Leg::Sent(key) = leg {
                // It may have been taken before the network was gone.
                let client = self.clients.get(key);
                let number = client.and_then(|c| c.request.as_ref()).map_or(0, |r| r.cseq);
                let contact = request_contact(client);
                if let Some(own) = self.reg_flow(account, index) {
                    own.cseq = own.cseq.max(number);
                    if let Some(contact) = contact.filter(|_| own.contact.is_empty()) {
                        own.contact = contact.into();
                    }
                }
                self.remove_client(key);
            }
            self.drop_leg(leg);
            if wanted {
                let _ = self.send_register(now, account, index);
            }
        }
    }

    /// The flow of the latest registration: the first that is up.
    pub(crate) fn registered_over(&self, account: AccountKey) -> Option<Flow> {
        let binding = self.accounts.get(account)?.binding.as_ref()?;
        binding.flows.iter().find_map(|own| own.flow)
    }

    /// Whether an account is registered over this flow.
    pub(crate) fn is_registered_over(&self, account: AccountKey, flow: &Flow) -> bool {
        let binding = self.accounts.get(account).and_then(|state| state.binding.as_ref());
        binding.is_some_and(|binding| binding.flows.iter().any(|own| own.is_over(flow)))
    }

    fn stop_binding_timers(&mut self, account: AccountKey) {
        let flows = self.flow_count(account);
        (0..flows).for_each(|index| self.stop_flow_timers(account, index));
    }

    fn stop_flow_timers(&mut self, account: AccountKey, index: usize) {
        let Some(flow) = self.reg_flow(account, index) else { return };
        for timer in flow.timers() {
            self.timers.cancel(timer);
        }
    }

    fn flow_count(&self, account: AccountKey) -> usize {
        let binding = self.accounts.get(account).and_then(|state| state.binding.as_ref());
        binding.map_or(0, |binding| binding.flows.len())
    }

    /// The end of a REGISTER transaction: numbers go on from the last attempt's.
    fn register_over(
        &mut self,
        account: AccountKey,
        index: usize,
        cseq: Option<u32>,
    ) -> Option<&mut Binding> {
        let binding = self.accounts.get_mut(account)?.binding.as_deref_mut()?;
        let flow = binding.flows.get_mut(index)?;
        flow.running = false;
        flow.leg = Leg::None;
        flow.cseq = flow.cseq.max(cseq.unwrap_or(0));
        Some(binding)
    }

    /// Flows that were not tried yet are formed once it is known how the ones before them fared.
    fn next_flows(&mut self, now: Instant, account: AccountKey, all: bool) {
        let Some(binding) = self.accounts.get(account).and_then(|s| s.binding.as_ref()) else {
            return;
        };
        let new = |flow: &RegFlow| !flow.tried && !flow.running && flow.flow.is_none();
        let untried = binding.flows.iter().enumerate().filter(|(_, flow)| new(flow));
        let most = if all { usize::MAX } else { 1 };
        let untried: Vec<usize> = untried.map(|(index, _)| index).take(most).collect();
        for index in untried {
            let _ = self.send_register(now, account, index);
        }
    }

    /// A 2xx (§10.2.4).
    pub(crate) fn register_accepted(
        &mut self,
        now: Instant,
        account: AccountKey,
        index: u8,
        key: ClientKey,
        message: &Message,
    ) {
        let index = usize::from(index);
        let flow = self.clients.get(key).map(|client| client.flow);
        let request = self.clients.get(key).and_then(|client| client.request.as_ref());
        let removed =
            request.is_some_and(|r| matches!(r.contact, Contact::Binding { expires: 0, .. }));
        let cseq = message.cseq().ok().map(|cseq| cseq.number);
        let Some(binding) = self.register_over(account, index, cseq) else { return };
        let (wanted, asked) = (binding.wanted, binding.expires);
        let Some(own) = binding.flows.get_mut(index) else { return };
        (own.failures, own.brief) = (if own.outbound { own.failures } else { 0 }, 0);
        if removed {
            own.flow = None;
            own.contact = "".into();
            if wanted {
                // Registered again while the binding was being removed.
                let _ = self.send_register(now, account, index);
                return;
            }
            return self.flow_removed(account);
        }
        if !wanted {
            own.flow = flow;
            let _ = self.send_register(now, account, index);
            return;
        }
        let Some(flow) = flow else { return };
        let Some(state) = self.accounts.get(account) else { return };
        let routes = state.routes.clone();
        let contact = text(self.binding_uri(state, flow));
        let instance = state.account.instance.as_deref();
        let reg_id = state.has_reg_id().then_some(index as u32 + 1);
        let listed = listed(message, &contact, instance, reg_id);
        let default = message.expires().and_then(Result::ok).unwrap_or(asked);
        let expires =
            listed.as_ref().and_then(|l| l.param("expires")?.parse().ok()).unwrap_or(default);
        let gruu = |name: &str| {
            let value = listed.as_ref()?.param(name)?;
            let usable = crate::uri::Uri::parse(value).is_ok_and(|uri| uri.is_sip());
            usable.then(|| Box::<str>::from(value))
        };
        let asks = state.account.gruu;
        let granted = Granted {
            gruu: gruu("pub-gruu").filter(|_| asks),
            temporary: gruu("temp-gruu").filter(|_| asks),
            associated: message
                .addresses(HeaderName::PAssociatedUri)
                .flatten()
                .take(MAX_ASSOCIATED)
                .map(|address| address.uri.as_str().to_owned())
                .collect(),
        };
        let Some(binding) = self.accounts.get_mut(account).and_then(|s| s.binding.as_mut()) else {
            return;
        };
        binding.granted = granted;
        let Some(own) = binding.flows.get_mut(index) else { return };
        own.accepted(flow, message, &routes);
        // The NAT shows another address than the one that was bound (RFC 3581 §4): bind that. A NAT
        // that shows another one each time is not followed for ever.
        let bound = request_contact(self.clients.get(key));
        let Some(own) = self.reg_flow(account, index) else { return };
        let outbound = own.outbound;
        let moved = !outbound && bound.as_deref().is_some_and(|bound| bound != contact);
        own.contact = bound.unwrap_or_else(|| contact.clone()).into();
        if moved && own.rewrites < MAX_REWRITES {
            own.rewrites += 1;
            let _ = self.send_register(now, account, index);
            return;
        }
        // Well before the end: 5 s at least, a tenth at most of a long one.
        let lifetime = Duration::from_secs(expires.max(1).into());
        let margin = (lifetime / 10).max(Duration::from_secs(5)).min(lifetime / 2);
        let due = Due::Refresh(account, index as u8);
        let refresh = self.timers.insert(now + lifetime - margin, due);
        if let Some(own) = self.reg_flow(account, index) {
            own.refresh = Some(refresh);
        }
        self.set_keep_alive(now, account, index);
        let (response, reg_id) = (message.clone(), index as u32 + 1);
        self.event(Event::Registered { account, expires, contact, reg_id, outbound, response });
        self.registered_again(now, account);
        // A registrar that does not know RFC 5626 would take another flow for another telephone.
        if outbound {
            self.next_flows(now, account, true);
        }
    }

    /// A binding was removed: when it was the last one, the account is not registered any more.
    fn flow_removed(&mut self, account: AccountKey) {
        let Some(state) = self.accounts.get_mut(account) else { return };
        let busy = |flow: &RegFlow| flow.running || flow.flow.is_some();
        if state.binding.as_ref().is_some_and(|binding| binding.flows.iter().any(busy)) {
            return;
        }
        state.binding = None;
        self.event(Event::Unregistered { account });
    }

    /// A 3xx–6xx that credentials could not help.
    pub(crate) fn register_refused(
        &mut self,
        now: Instant,
        account: AccountKey,
        index: u8,
        message: &Message,
        cause: Cause,
    ) {
        let index = usize::from(index);
        let status = message.status().map_or(0, |status| status.code());
        let cseq = message.cseq().ok().map(|cseq| cseq.number);
        let Some(binding) = self.register_over(account, index, cseq) else { return };
        let wanted = binding.wanted;
        let expires = binding.expires;
        if status == 423
            && let Some(Ok(min)) = message.min_expires()
            && wanted
            && min > expires
            && let Some(own) = binding.flows.get_mut(index).filter(|own| own.brief < 2)
        {
            // §10.2.8
            own.brief += 1;
            binding.expires = min;
            let _ = self.send_register(now, account, index);
            return;
        }
        if status == FIRST_HOP_LACKS_OUTBOUND && wanted && !binding.plain {
            // "it MAY re-attempt registration without using the outbound mechanism" (RFC 5626
            // §4.2.1), unless another proxy does better.
            let others = binding.flows.iter().any(|flow| flow.flow.is_some() || !flow.tried);
            if !others {
                binding.plain = true;
                let _ = self.send_register(now, account, index);
                return;
            }
        }
        // What will not change by itself is not tried again: wrong credentials, or a request that
        // this registrar does not take.
        let lasting = cause == Cause::Unauthorized
            || matches!(status, 300..=407 | 409..=429 | 439 | 555 | 600..=699)
            || matches!(status, 482..=485 | 488 | 493 | 501 | 505 | 513);
        let after = message.retry_after().and_then(Result::ok);
        let after = after.map(|after| Duration::from_secs(after.seconds.into()));
        let reason = message.reason().to_owned();
        let (again, response) = (!lasting, Some(message.clone()));
        let failure = Failure { status: Some(status), reason, cause, again, after, response };
        self.registration_failed(now, account, index, failure);
    }

    /// No final response.
    pub(crate) fn register_failed(
        &mut self,
        now: Instant,
        account: AccountKey,
        index: u8,
        cause: Cause,
        reason: &str,
    ) {
        let index = usize::from(index);
        if self.register_over(account, index, None).is_none() {
            return;
        }
        let reason = reason.to_owned();
        let (again, after, response) = (true, None, None);
        let failure = Failure { status: None, reason, cause, again, after, response };
        self.registration_failed(now, account, index, failure);
    }

    fn registration_failed(
        &mut self,
        now: Instant,
        account: AccountKey,
        index: usize,
        failure: Failure,
    ) {
        let Failure { status, reason, cause, again, after, response } = failure;
        let (first, longest) = (self.config.register_retry, self.config.register_retry_max);
        let jitter = 0.75 + self.rng.unit() / 2.0;
        let Some(own) = self.reg_flow(account, index) else { return };
        let failures = own.failures;
        own.failures += 1;
        own.flow = None;
        let Some(state) = self.accounts.get(account) else { return };
        let outbound = state.has_reg_id();
        let Some(binding) = &state.binding else { return };
        let up = binding.flows.iter().any(|flow| flow.flow.is_some() || flow.running);
        let untried = binding.flows.iter().any(|flow| !flow.tried);
        let mut retry_in = None;
        if !binding.wanted {
            // What cannot be removed expires by itself.
            if !up {
                self.end_binding(account);
            }
        } else if again {
            let pause = if outbound {
                self.recovery_pause(account, failures + 1)
            } else {
                first.saturating_mul(1 << failures.min(16)).min(longest).mul_f64(jitter)
            };
            let pause = pause.max(after.unwrap_or_default().min(longest));
            let timer = self.timers.insert(now + pause, Due::Refresh(account, index as u8));
            if let Some(own) = self.reg_flow(account, index) {
                own.refresh = Some(timer);
            }
            retry_in = Some(pause);
        } else if !up && !untried {
            let waits = binding.flows.iter().any(|flow| flow.refresh.is_some());
            if !waits {
                self.end_binding(account);
            }
        }
        if up || untried {
            let reg_id = index as u32 + 1;
            self.event(Event::FlowUnavailable { account, reg_id, status, reason, cause, retry_in });
            self.next_flows(now, account, false);
        } else {
            self.event(Event::RegistrationFailed {
                account,
                status,
                reason,
                cause,
                retry_in,
                response,
            });
        }
    }

    fn end_binding(&mut self, account: AccountKey) {
        self.stop_binding_timers(account);
        if let Some(state) = self.accounts.get_mut(account) {
            state.binding = None;
        }
    }

    pub(crate) fn refresh_due(&mut self, now: Instant, account: AccountKey, index: u8) {
        let index = usize::from(index);
        if let Some(own) = self.reg_flow(account, index) {
            own.refresh = None;
            own.rewrites = 0;
            // A failure to write it was told when it was asked for first.
            let _ = self.send_register(now, account, index);
        }
    }

    /// Ends what an account does at its registrar, without a word to it.
    pub(crate) fn forget_binding(&mut self, account: AccountKey) {
        self.stop_binding_timers(account);
        let binding = self.accounts.get_mut(account).and_then(|state| state.binding.take());
        for flow in binding.into_iter().flat_map(|binding| binding.flows) {
            self.drop_leg(flow.leg);
            if let Leg::Sent(key) = flow.leg
                && flow.running
            {
                self.remove_client(key);
            }
        }
    }

    /// What is known about an account's registration; `None` while there is none.
    pub fn registration(&self, account: AccountKey) -> Option<RegistrationInfo> {
        let binding = self.accounts.get(account)?.binding.as_deref()?;
        let up = binding.flows.iter().find(|flow| flow.flow.is_some())?;
        let services = crate::header::split_commas(&up.routes)
            .map(str::to_owned)
            .filter(|route| !route.is_empty())
            .collect();
        let flows = binding.flows.iter().enumerate().map(|(index, flow)| FlowInfo {
            reg_id: index as u32 + 1,
            flow: flow.flow,
            outbound: flow.outbound,
            contact: flow.contact.to_string(),
        });
        Some(RegistrationInfo {
            route: services,
            public_gruu: binding.granted.gruu.as_deref().map(str::to_owned),
            temporary_gruu: binding.granted.temporary.as_deref().map(str::to_owned),
            associated: binding.granted.associated.clone(),
            flows: flows.collect(),
        })
    }
}

/// Why a flow is not registered.
struct Failure {
    status: Option<u16>,
    reason: String,
    cause: Cause,
    again: bool,
    after: Option<Duration>,
    response: Option<Message>,
}

/// The URI in the Contact of a REGISTER that was sent.
fn request_contact(client: Option<&crate::endpoint::ClientTx>) -> Option<String> {
    let bytes = client.map(|client| client.bytes.clone()).filter(|bytes| !bytes.is_empty())?;
    let request = Message::parse(bytes, &crate::message::Limits::default()).ok()?;
    Some(request.contact().ok()?.uri.as_str().to_owned())
}

/// Our own binding among those that a 200 lists (§10.2.4): by instance and reg-id (RFC 5626 §6) or
/// by its URI.
fn listed<'a>(
    message: &'a Message,
    contact: &str,
    instance: Option<&str>,
    reg_id: Option<u32>,
) -> Option<NameAddr<'a>> {
    let ours = Uri::parse(contact).ok()?;
    let same_instance = |listed: &NameAddr<'_>| {
        let named = listed.param("+sip.instance").map(|value| value.trim_matches(['<', '>']));
        instance.is_some_and(|own| named.is_some_and(|named| named.eq_ignore_ascii_case(own)))
    };
    let same_reg_id = |listed: &NameAddr<'_>| {
        listed.param("reg-id").and_then(|value| value.parse::<u32>().ok()) == reg_id
    };
    let all = || message.contacts().flatten();
    all()
        .find(|listed| same_instance(listed) && same_reg_id(listed))
        .or_else(|| all().find(|listed| listed.uri.is_equivalent(&ours)))
        .or_else(|| all().find(same_instance))
}
