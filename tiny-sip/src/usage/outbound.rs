//! Flows to registrars and edge proxies (RFC 5626): which there are, whether they live (CRLF and
//! STUN keep-alives, §4.4), when a lost one is formed anew (§4.5), and which one a request takes
//! (§4.3). The REGISTER requests themselves are `register`'s.

use super::register::Binding;
use crate::dialog;
use crate::endpoint::{AccountKey, Due, Endpoint, Event, Leg, Request, Target};
use crate::header::HeaderName;
use crate::message::Message;
use crate::stun;
use bytes::Bytes;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tiny_sak::{Flow, TimerKey, id};

/// "If a pong is not received within 10 seconds after sending a ping … the client MUST treat the
/// flow as failed" (§4.4.1).
const PONG: Duration = Duration::from_secs(10);
/// STUN's first retransmission, how many requests are sent, and how long the last one is waited for
/// (RFC 8489 §6.2.1: RTO, Rc, Rm).
const STUN_RTO: Duration = Duration::from_millis(500);
const STUN_REQUESTS: u32 = 7;
const STUN_LAST: u32 = 16;

/// One way to the registrar, and the binding that was made over it.
#[derive(Debug)]
pub(crate) struct RegFlow {
    /// The edge proxy; empty for the account's own route.
    proxy: Box<str>,
    /// Route of what goes over this flow: the edge proxy, then Service-Route.
    pub(crate) routes: Box<str>,
    // "all registrations … SHOULD use the same Call-ID", with growing CSeq (RFC 3261 §10.2); "each
    // of these REGISTER requests will use a unique Call-ID" (RFC 5626 §4.2.1).
    pub(crate) call_id: Box<str>,
    pub(crate) cseq: u32,
    pub(crate) running: bool,
    /// Tried since the registration was asked for.
    pub(crate) tried: bool,
    pub(crate) brief: u8,
    pub(crate) failures: u32,
    /// Contacts rewritten since the last refresh that was due.
    pub(crate) rewrites: u8,
    pub(crate) leg: Leg,
    /// While it is registered.
    pub(crate) flow: Option<Flow>,
    /// The Contact URI that is bound.
    pub(crate) contact: Box<str>,
    /// The registrar and the edge proxy work by RFC 5626.
    pub(crate) outbound: bool,
    pub(crate) refresh: Option<TimerKey>,
    alive: Option<TimerKey>,
    /// Seconds of Flow-Timer.
    flow_timer: Option<u32>,
    probe: Probe,
    /// A keep-alive was answered: silence means something from now on.
    proven: bool,
    /// Our address, as STUN told it.
    mapped: Option<SocketAddr>,
    /// The peer does not know STUN.
    deaf: bool,
}

/// A keep-alive that waits for its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Probe {
    None,
    Pong,
    Stun { id: stun::TransactionId, sent: u32 },
}

impl RegFlow {
    /// Call-ID and CSeq for a REGISTER beside those of this flow, which may be sent so many times.
    pub(crate) fn numbers(&mut self, attempts: u32) -> (Box<str>, u32) {
        let cseq = self.cseq + 1;
        self.cseq += attempts;
        (self.call_id.clone(), cseq)
    }

    pub(crate) fn new(proxy: &str, call_id: &str) -> Self {
        // An edge proxy is a loose router, whether its URI says so or not.
        let lr = match crate::uri::Uri::parse(proxy) {
            Ok(uri) if !uri.is_loose_router() => ";lr",
            _ => "",
        };
        let routes = if proxy.is_empty() { String::new() } else { format!("<{proxy}{lr}>") };
        Self {
            proxy: routes.as_str().into(),
            routes: routes.into(),
            call_id: call_id.into(),
            cseq: 0,
            running: false,
            tried: false,
            brief: 0,
            failures: 0,
            rewrites: 0,
            leg: Leg::None,
            flow: None,
            contact: "".into(),
            outbound: false,
            refresh: None,
            alive: None,
            flow_timer: None,
            probe: Probe::None,
            proven: false,
            mapped: None,
            deaf: false,
        }
    }

    /// The Route of a REGISTER: the edge proxy alone (RFC 3608 §5: no service route).
    pub(crate) fn proxy(&self) -> &str {
        &self.proxy
    }

    /// It is registered, and silence on it would be noticed.
    fn is_live(&self) -> bool {
        self.outbound && self.flow.is_some()
    }

    pub(crate) fn is_over(&self, flow: &Flow) -> bool {
        self.flow.is_some_and(|own| same_way(&own, flow))
    }

    pub(crate) fn timers(&mut self) -> impl Iterator<Item = TimerKey> + use<> {
        [self.refresh.take(), self.alive.take()].into_iter().flatten()
    }

    /// What a 200 says about the flow (RFC 5626 §4.2.1, §4.4; RFC 3608 §5.1).
    pub(crate) fn accepted(&mut self, flow: Flow, message: &Message, own_routes: &str) {
        if self.flow != Some(flow) {
            (self.proven, self.mapped, self.deaf) = (false, None, false);
        }
        self.flow = Some(flow);
        self.outbound =
            message.list(HeaderName::Require).any(|tag| tag.eq_ignore_ascii_case("outbound"));
        self.flow_timer = message
            .header(HeaderName::FlowTimer)
            .and_then(|value| value.trim().parse().ok())
            .filter(|seconds| *seconds > 0);
        let first = if self.proxy.is_empty() { own_routes } else { &self.proxy };
        self.routes = with_service_route(first, message).into();
    }

    /// Until the next keep-alive: different each time, so that they spread (§4.4.1, §4.4.2).
    fn pause(&self, interval: Option<Duration>, chance: f64) -> Option<Duration> {
        let given = self.flow_timer.map(|seconds| Duration::from_secs(seconds.into()));
        given.or(interval).map(|longest| longest.mul_f64(0.8 + 0.2 * chance))
    }
}

/// The same two ends. (A connection's port at our end is not known before it is open.)
fn same_way(a: &Flow, b: &Flow) -> bool {
    a.transport == b.transport
        && a.remote == b.remote
        && (a.transport.is_reliable() || a.local == b.local)
}

/// The preloaded route: the outbound proxy, then Service-Route, unless that begins with the proxy
/// (RFC 3608 §6.1).
fn with_service_route(first: &str, message: &Message) -> String {
    let mut routes = first.to_owned();
    let hop = |route: &crate::header::NameAddr<'_>| {
        let uri = &route.uri;
        (uri.host().to_ascii_lowercase(), uri.port(), uri.transport())
    };
    let outbound = dialog::first_route(first).map(|route| hop(&route));
    for (i, route) in message.addresses(HeaderName::ServiceRoute).flatten().enumerate() {
        if !route.uri.is_sip() || (i == 0 && outbound.as_ref() == Some(&hop(&route))) {
            continue;
        }
        dialog::push_route(&mut routes, &route);
    }
    routes
}

impl Binding {
    /// Whether requests over this flow come back over it: it is registered with `outbound`.
    pub(crate) fn has_outbound_flow(&self, flow: &Flow) -> bool {
        self.flows.iter().any(|own| own.outbound && own.is_over(flow))
    }

    /// The route of requests outside dialogs, and the flow that they must take, if any.
    pub(crate) fn way_out(&self) -> Option<(&str, Option<Target>)> {
        let live = self.flows.iter().find(|flow| flow.is_live());
        let any = live.or_else(|| self.flows.iter().find(|flow| flow.flow.is_some()))?;
        let target = any.flow.filter(|_| any.is_live()).map(|flow| Target::of(&flow));
        Some((&any.routes, target))
    }
}

impl Endpoint {
    /// Requests inside a dialog take the flow that it was made over, if that is registered (§4.3):
    /// the edge proxy at its other end is on the route set.
    pub(crate) fn keep_flow(
        &mut self,
        dialog: dialog::DialogKey,
        account: Option<AccountKey>,
        flow: Flow,
    ) {
        let state = account.and_then(|key| self.accounts.get(key));
        let Some(binding) = state.and_then(|state| state.binding.as_deref()) else { return };
        if binding.has_outbound_flow(&flow)
            && let Some(dialog) = self.dialogs.get_mut(dialog)
            && !dialog.parts().routes.is_empty()
        {
            dialog.hop = Some(Target::of(&flow));
        }
    }

    /// Another live flow for a request outside dialogs whose flow failed; its Route is that flow's.
    pub(crate) fn next_flow(&self, request: &mut Request) -> bool {
        if request.dialog.is_some() || request.method == crate::method::Method::Register {
            return false;
        }
        let state = request.account.and_then(|key| self.accounts.get(key));
        let Some(binding) = state.and_then(|state| state.binding.as_deref()) else { return false };
        // It went over one of the flows, and not by a way of its own.
        if !binding.flows.iter().any(|own| own.outbound && own.routes == request.routes) {
            return false;
        }
        let next = binding.flows.iter().find(|own| {
            own.is_live()
                && own.flow.is_some_and(|flow| !request.targets.contains(&Target::of(&flow)))
        });
        let Some((own, flow)) = next.and_then(|own| Some((own, own.flow?))) else { return false };
        request.routes = own.routes.clone();
        request.targets.push(Target::of(&flow));
        true
    }

    /// A flow has just been registered: keep it alive.
    pub(crate) fn set_keep_alive(&mut self, now: Instant, account: AccountKey, index: usize) {
        let (udp, stream) = (self.config.keepalive_udp, self.config.keepalive_stream);
        let chance = self.rng.unit();
        let Some(own) = self.reg_flow(account, index) else { return };
        let Some(flow) = own.flow else { return };
        let interval = if flow.transport.is_reliable() { stream } else { udp };
        let Some(pause) = own.pause(interval, chance) else { return };
        own.probe = Probe::None;
        self.set_alive_timer(now, account, index, pause);
    }

    fn set_alive_timer(
        &mut self,
        now: Instant,
        account: AccountKey,
        index: usize,
        pause: Duration,
    ) {
        let timer = self.timers.insert(now + pause, Due::KeepAlive(account, index as u8));
        match self.reg_flow(account, index) {
            Some(own) => {
                if let Some(old) = own.alive.replace(timer) {
                    self.timers.cancel(old);
                }
            }
            None => {
                self.timers.cancel(timer);
            }
        }
    }

    pub(crate) fn reg_flow(&mut self, account: AccountKey, index: usize) -> Option<&mut RegFlow> {
        self.accounts.get_mut(account)?.binding.as_mut()?.flows.get_mut(index)
    }

    /// It is time for a keep-alive, or for its answer.
    pub(crate) fn keep_alive(&mut self, now: Instant, account: AccountKey, index: u8) {
        let index = usize::from(index);
        let mut random = [0; 12];
        self.rng.fill(&mut random);
        let Some(own) = self.reg_flow(account, index) else { return };
        own.alive = None;
        let Some(flow) = own.flow else { return };
        match own.probe {
            Probe::Pong => self.flow_dead(now, account, index, flow),
            Probe::None if flow.transport.is_reliable() => {
                let expects = flow.transport.is_stream() && (own.outbound || own.proven);
                own.probe = if expects { Probe::Pong } else { Probe::None };
                if flow.transport.is_stream() {
                    self.expect_pong(flow);
                }
                self.transmit(flow, Bytes::from_static(b"\r\n\r\n"));
                if expects {
                    self.set_alive_timer(now, account, index, PONG);
                } else {
                    self.set_keep_alive(now, account, index);
                }
            }
            Probe::None if own.outbound && !own.deaf => {
                own.probe = Probe::Stun { id: random, sent: 1 };
                self.transmit(flow, stun::Binding::Request(random).to_bytes());
                self.set_alive_timer(now, account, index, STUN_RTO);
            }
            // Over UDP a registrar ignores it, and the NAT does not.
            Probe::None => {
                self.transmit(flow, Bytes::from_static(b"\r\n\r\n"));
                self.set_keep_alive(now, account, index);
            }
            Probe::Stun { id, sent } if sent < STUN_REQUESTS => {
                let sent = sent + 1;
                own.probe = Probe::Stun { id, sent };
                self.transmit(flow, stun::Binding::Request(id).to_bytes());
                let wait = match sent {
                    STUN_REQUESTS => STUN_RTO * STUN_LAST,
                    _ => STUN_RTO * (1 << (sent - 1)),
                };
                self.set_alive_timer(now, account, index, wait);
            }
            Probe::Stun { .. } if own.proven => self.flow_dead(now, account, index, flow),
            Probe::Stun { .. } => {
                // It never answered: a server that takes outbound registrations and no STUN. That
                // the flow is dead shows when it is refreshed.
                own.deaf = true;
                self.set_keep_alive(now, account, index);
            }
        }
    }

    /// The answer to a ping over a stream.
    pub(crate) fn on_pong(&mut self, now: Instant, flow: Flow) {
        for (account, index) in self.flows_over(flow) {
            let Some(own) = self.reg_flow(account, index) else { continue };
            own.proven = true;
            own.failures = 0;
            if own.probe == Probe::Pong {
                self.set_keep_alive(now, account, index);
            }
        }
    }

    /// A STUN message on a SIP socket: the answer to a keep-alive, or nothing of ours.
    pub(crate) fn on_stun(&mut self, now: Instant, flow: Flow, data: &[u8]) {
        let (asked, mapped) = match stun::Binding::parse(data) {
            Some(stun::Binding::Success(id, mapped)) => (id, Some(mapped)),
            Some(stun::Binding::Error(id)) => (id, None),
            _ => {
                self.counters.dropped_garbage += 1;
                return;
            }
        };
        let waits = self.flows_over(flow).into_iter().find(|(account, index)| {
            self.accounts
                .get(*account)
                .and_then(|state| state.binding.as_ref()?.flows.get(*index))
                .is_some_and(|own| matches!(own.probe, Probe::Stun { id, .. } if id == asked))
        });
        let Some((account, index)) = waits else {
            self.counters.dropped_garbage += 1;
            return;
        };
        let Some(own) = self.reg_flow(account, index) else { return };
        let before = own.mapped;
        match mapped {
            // "If the XOR-MAPPED-ADDRESS … changes, the UA MUST treat this event as a failure"
            Some(mapped) if before.is_none_or(|before| before == mapped) => {
                own.mapped = Some(mapped);
                own.proven = true;
                own.failures = 0;
                self.set_keep_alive(now, account, index);
            }
            _ => self.flow_dead(now, account, index, flow),
        }
    }

    fn flows_over(&self, flow: Flow) -> Vec<(AccountKey, usize)> {
        let mut found = Vec::new();
        for (key, state) in &self.accounts {
            let Some(binding) = &state.binding else { continue };
            let over = |own: &RegFlow| {
                own.flow.is_some_and(|f| f.transport == flow.transport && f.remote == flow.remote)
            };
            let hit = binding.flows.iter().enumerate().filter(|(_, own)| over(own));
            found.extend(hit.map(|(index, _)| (key, index)));
        }
        found
    }

    /// A keep-alive was not answered. A connection that no one answers on is of no use to anybody.
    fn flow_dead(&mut self, now: Instant, account: AccountKey, index: usize, flow: Flow) {
        if flow.transport.is_reliable() {
            self.event(Event::StreamBroken { flow });
            self.on_closed(now, flow, Some("a keep-alive was not answered"));
        } else {
            self.flow_down(now, account, index, flow);
        }
    }

    /// A flow that calls would come in on is gone: register anew.
    pub(crate) fn flow_lost(&mut self, now: Instant, flow: Flow) {
        for (account, index) in self.flows_over(flow) {
            self.flow_down(now, account, index, flow);
        }
    }

    fn flow_down(&mut self, now: Instant, account: AccountKey, index: usize, flow: Flow) {
        // A short pause of chance, so that a restarted server is not met by everybody at once.
        let mut pause = self.config.register_retry.mul_f64(self.rng.unit());
        let Some(own) = self.reg_flow(account, index) else { return };
        let timers: Vec<_> = own.timers().collect();
        let unproven = own.outbound && !own.proven;
        own.flow = None;
        own.probe = Probe::None;
        own.failures += u32::from(unproven);
        let (failures, running) = (own.failures, own.running);
        timers.into_iter().for_each(|timer| {
            self.timers.cancel(timer);
        });
        let Some(binding) = self.accounts.get(account).and_then(|s| s.binding.as_deref()) else {
            return;
        };
        if !binding.wanted || running {
            return;
        }
        // "a flow is considered successful if outbound registration succeeded, and … at least one
        // subsequent keep-alive response was received" (§4.5): any other has failed to form.
        if unproven && failures > 1 {
            pause = self.recovery_pause(account, failures);
        }
        let timer = self.timers.insert(now + pause, Due::Refresh(account, index as u8));
        if let Some(own) = self.reg_flow(account, index) {
            own.refresh = Some(timer);
        }
        self.event(Event::FlowFailed { account, flow, reg_id: index as u32 + 1 });
    }

    /// How long to wait before a flow is tried again after so many failures (§4.5).
    pub(crate) fn recovery_pause(&mut self, account: AccountKey, failures: u32) -> Duration {
        let config = &self.config;
        let (all, some, max) =
            (config.flow_retry_all, config.flow_retry_some, config.flow_retry_max);
        let lives = self
            .accounts
            .get(account)
            .and_then(|state| state.binding.as_ref())
            .is_some_and(|binding| binding.flows.iter().any(|own| own.flow.is_some()));
        let base = if lives { some } else { all };
        let bound = base.saturating_mul(1 << failures.min(16)).min(max);
        bound.mul_f64(0.5 + self.rng.unit() / 2.0)
    }

    pub(crate) fn new_reg_flows(&mut self, proxies: &[String]) -> Vec<RegFlow> {
        let mut flows: Vec<_> = proxies
            .iter()
            .map(|proxy| RegFlow::new(proxy, id::call_id(&mut self.rng).as_str()))
            .collect();
        if flows.is_empty() {
            flows.push(RegFlow::new("", id::call_id(&mut self.rng).as_str()));
        }
        flows
    }
}
