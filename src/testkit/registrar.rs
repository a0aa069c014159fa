//! REGISTER (RFC 3261 §10.3), with Path (RFC 3327), Service-Route (RFC 3608), flows (RFC 5626 §6) and
//! GRUUs (RFC 5627 §5).

use super::auth::Identity;
use super::edge;
use super::edit::user_of;
use super::location::{Binding, end};
use super::server::{Server, ServerEvent};
use std::time::Instant;
use tiny_sak::{Flow, id};
use tiny_sip::{HeaderName, Message, NameAddr};

impl Server {
    pub(super) fn register(&mut self, now: Instant, id: u64) {
        let Some(t) = self.transactions.get(&id) else { return };
        let (request, flow) = (t.request.clone(), t.flow);
        let header = HeaderName::Authorization;
        let who = self.nonces.identify(now, &self.config, &request, header);
        let user = match who {
            Identity::Proven(user) => user,
            Identity::Unproven { stale } => return self.challenge(now, id, 401, stale),
            Identity::Unknown => return self.respond(now, id, 403, "Unknown user", &[]),
            Identity::Malformed => return self.respond(now, id, 400, "Bad credentials", &[]),
        };
        // §10.3 step 4: everyone for himself only.
        let aor = request.to().ok().and_then(|to| user_of(&to.uri));
        if aor.as_deref() != Some(user.as_str()) {
            return self.respond(now, id, 403, "Not your address of record", &[]);
        }
        match self.update(now, &user, &request, flow) {
            Ok(()) => {
                let headers = self.granted(now, &user, &request);
                self.respond(now, id, 200, "", &headers);
            }
            Err(Refusal { status, reason, headers }) => {
                self.respond(now, id, status, reason, &headers);
            }
        }
    }

    /// What the 200 says.
    fn granted(&self, now: Instant, user: &str, request: &Message) -> Vec<(HeaderName, String)> {
        let gruu = self.config.gruu && edge::lists(request, HeaderName::Supported, "gruu");
        let line = |b: &&Binding| {
            let q = b.q.as_ref().map(|q| format!(";q={q}")).unwrap_or_default();
            let mut value = format!("<{}>{q};expires={}", b.contact, b.seconds_left(now));
            if let Some(instance) = &b.instance {
                value += &format!(";+sip.instance=\"{instance}\"");
                let domain = &self.config.domain;
                if gruu {
                    value += &format!(";pub-gruu=\"{}\"", self.public_gruu(user, instance));
                }
                if let Some(token) = b.temporary.as_ref().filter(|_| gruu) {
                    value += &format!(";temp-gruu=\"sip:{token}@{domain};gr\"");
                }
            }
            if let Some(reg_id) = b.reg_id {
                value += &format!(";reg-id={reg_id}");
            }
            (HeaderName::Contact, value)
        };
        let mut headers: Vec<_> = self.location.of(now, user).iter().map(line).collect();
        // RFC 3327 §5.3, RFC 3608 §6.3.
        headers.extend(edge::paths(request).into_iter().map(|path| (HeaderName::Path, path)));
        let routes = self.config.service_route.iter();
        headers.extend(routes.map(|uri| (HeaderName::ServiceRoute, format!("<{uri}>"))));
        if self.keeps_flows(request) && request.contacts().flatten().any(|c| flow_of(&c).is_some())
        {
            headers.push((HeaderName::Require, "outbound".to_owned()));
            let timer = self.config.flow_timer;
            headers.extend(timer.map(|seconds| (HeaderName::FlowTimer, seconds.to_string())));
        }
        headers
    }

    /// The address of record and the device (RFC 5627 §5.1).
    fn public_gruu(&self, user: &str, instance: &str) -> String {
        let device = instance.trim_matches(['<', '>']);
        format!("sip:{user}@{};gr={device}", self.config.domain)
    }

    /// RFC 5626 §6: both sides know it, and so does the first node in between.
    fn keeps_flows(&self, request: &Message) -> bool {
        self.config.outbound
            && edge::lists(request, HeaderName::Supported, "outbound")
            && edge::first_hop_keeps_flows(request, &edge::paths(request))
    }

    /// Steps 6 to 8 of §10.3: all changes or none.
    fn update(
        &mut self,
        now: Instant,
        user: &str,
        request: &Message,
        flow: Flow,
    ) -> Result<(), Refusal> {
        let bad = |reason| Refusal::new(400, reason);
        let call_id = request.call_id().map_err(|_| bad("Bad Call-ID"))?;
        let cseq = request.cseq().map_err(|_| bad("Bad CSeq"))?.number;
        let header = request.expires().and_then(Result::ok);
        let stale = |b: &Binding| b.call_id == call_id && b.cseq >= cseq;
        let path = edge::paths(request);
        let supports = |tag| edge::lists(request, HeaderName::Supported, tag);
        // RFC 3327 §5.3: somebody in between has put it there.
        if !path.is_empty() && !supports("path") {
            let headers = vec![(HeaderName::Unsupported, "path".to_owned())];
            return Err(Refusal { headers, ..Refusal::new(420, "") });
        }
        if request.is_contact_star() {
            if header != Some(0) || request.contacts().next().is_some() {
                return Err(bad("Contact * needs Expires: 0 and no other Contact"));
            }
            let all: Vec<Binding> = self.location.of(now, user).into_iter().cloned().collect();
            if all.iter().any(stale) {
                return Err(Refusal::new(500, "CSeq out of order"));
            }
            all.iter().for_each(|binding| self.remove(user, binding));
            return Ok(());
        }
        let keeps_flows = self.keeps_flows(request);
        let mut changes: Vec<(Binding, u32)> = Vec::new();
        for contact in request.contacts() {
            let contact = contact.map_err(|_| bad("Bad Contact"))?;
            let own = contact.param("expires").map(|e| e.parse::<u32>().unwrap_or(u32::MAX));
            let asked = own.or(header).unwrap_or(self.config.default_expires);
            if asked > 0 && asked < self.config.min_expires {
                let headers = vec![(HeaderName::MinExpires, self.config.min_expires.to_string())];
                return Err(Refusal { headers, ..Refusal::new(423, "") });
            }
            let flow_asked = flow_of(&contact);
            if flow_asked.is_some() && self.config.outbound && supports("outbound") && !keeps_flows
            {
                return Err(Refusal::new(439, "First Hop Lacks Outbound Support"));
            }
            let seconds = asked.min(self.config.max_expires);
            let binding = Binding {
                contact: contact.uri.without_headers().to_owned(),
                q: contact.param("q").filter(|q| q.parse::<f32>().is_ok()).map(str::to_owned),
                call_id: call_id.to_owned(),
                cseq,
                expires: end(now, seconds),
                flow,
                instance: contact.param("+sip.instance").map(str::to_owned),
                reg_id: flow_asked.filter(|_| keeps_flows),
                path: path.clone(),
                temporary: None,
            };
            if self.location.find(user, &binding).is_some_and(stale) {
                return Err(Refusal::new(500, "CSeq out of order"));
            }
            changes.push((binding, seconds));
        }
        // RFC 5626 §6: one flow at a time.
        let added = changes.iter().filter(|(_, seconds)| *seconds > 0).count();
        if added > 1 && changes.iter().any(|(new, _)| new.reg_id.is_some()) {
            return Err(bad("One Contact with a reg-id at a time"));
        }
        let kept = self.location.of(now, user);
        let kept = kept.iter().filter(|b| !changes.iter().any(|(new, _)| b.is_of(new)));
        if kept.count() + added > self.config.max_contacts {
            return Err(Refusal::new(403, "Too many contacts"));
        }
        let gruu = self.config.gruu && supports("gruu");
        for (mut binding, seconds) in changes {
            if seconds == 0 {
                self.remove(user, &binding);
                continue;
            }
            if binding.instance.is_some() && gruu {
                // One for each Call-ID: another one makes the old ones void (RFC 5627 §5.1).
                let old = self.location.find(user, &binding).filter(|b| b.call_id == call_id);
                let old = old.and_then(|b| b.temporary.clone());
                let new = || id::tag(&mut self.rng).to_string();
                binding.temporary = Some(old.unwrap_or_else(new));
            }
            self.events.push_back(ServerEvent::Registered {
                user: user.to_owned(),
                contact: binding.contact.clone(),
                expires: seconds,
            });
            self.location.insert(now, user, binding);
        }
        Ok(())
    }

    fn remove(&mut self, user: &str, binding: &Binding) {
        self.location.remove(user, binding);
        let (user, contact) = (user.to_owned(), binding.contact.clone());
        self.events.push_back(ServerEvent::Unregistered { user, contact });
    }
}

/// The `reg-id` of a Contact that names its device; without a device it means nothing (RFC 5626 §6).
fn flow_of(contact: &NameAddr<'_>) -> Option<u32> {
    contact.param("+sip.instance")?;
    contact.param("reg-id")?.parse().ok().filter(|n| *n > 0)
}

struct Refusal {
    status: u16,
    reason: &'static str,
    headers: Vec<(HeaderName, String)>,
}

impl Refusal {
    fn new(status: u16, reason: &'static str) -> Self {
        Self { status, reason, headers: Vec::new() }
    }
}
