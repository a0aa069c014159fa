//! REGISTER (RFC 3261 §10.3).

use super::auth::Identity;
use super::edit::user_of;
use super::location::{Binding, end};
use super::server::{Server, ServerEvent};
use std::time::Instant;
use tiny_sak::Flow;
use tiny_sip::{HeaderName, Message, Uri};

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
                let contacts = self.contacts(now, &user);
                self.respond(now, id, 200, "", &contacts);
            }
            Err(Refusal { status, reason, headers }) => {
                self.respond(now, id, status, reason, &headers);
            }
        }
    }

    fn contacts(&self, now: Instant, user: &str) -> Vec<(HeaderName, String)> {
        let line = |b: &&Binding| {
            let q = b.q.as_ref().map(|q| format!(";q={q}")).unwrap_or_default();
            let value = format!("<{}>{q};expires={}", b.contact, b.seconds_left(now));
            (HeaderName::Contact, value)
        };
        self.location.of(now, user).iter().map(line).collect()
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
        if request.is_contact_star() {
            if header != Some(0) || request.contacts().next().is_some() {
                return Err(bad("Contact * needs Expires: 0 and no other Contact"));
            }
            let all: Vec<String> =
                self.location.of(now, user).iter().map(|b| b.contact.clone()).collect();
            if self.location.of(now, user).iter().any(|b| stale(b)) {
                return Err(Refusal::new(500, "CSeq out of order"));
            }
            all.into_iter().for_each(|contact| self.remove(user, contact));
            return Ok(());
        }
        let mut changes: Vec<(String, Option<String>, u32)> = Vec::new();
        for contact in request.contacts() {
            let contact = contact.map_err(|_| bad("Bad Contact"))?;
            let own = contact.param("expires").map(|e| e.parse::<u32>().unwrap_or(u32::MAX));
            let asked = own.or(header).unwrap_or(self.config.default_expires);
            if asked > 0 && asked < self.config.min_expires {
                let headers = vec![(HeaderName::MinExpires, self.config.min_expires.to_string())];
                return Err(Refusal { headers, ..Refusal::new(423, "") });
            }
            let uri = contact.uri.without_headers().to_owned();
            if self.location.find(user, &uri).is_some_and(stale) {
                return Err(Refusal::new(500, "CSeq out of order"));
            }
            let q = contact.param("q").filter(|q| q.parse::<f32>().is_ok()).map(str::to_owned);
            changes.push((uri, q, asked.min(self.config.max_expires)));
        }
        let kept = self.location.of(now, user);
        let kept = kept.iter().filter(|b| !changes.iter().any(|(c, ..)| same(c, &b.contact)));
        let added = changes.iter().filter(|(_, _, seconds)| *seconds > 0).count();
        if kept.count() + added > self.config.max_contacts {
            return Err(Refusal::new(403, "Too many contacts"));
        }
        for (contact, q, seconds) in changes {
            if seconds == 0 {
                self.remove(user, contact);
                continue;
            }
            let (user, expires) = (user.to_owned(), end(now, seconds));
            self.events.push_back(ServerEvent::Registered {
                user: user.clone(),
                contact: contact.clone(),
                expires: seconds,
            });
            let call_id = call_id.to_owned();
            let binding = Binding { contact, q, call_id, cseq, expires, flow };
            self.location.insert(now, &user, binding);
        }
        Ok(())
    }

    fn remove(&mut self, user: &str, contact: String) {
        self.location.remove(user, &contact);
        self.events.push_back(ServerEvent::Unregistered { user: user.to_owned(), contact });
    }
}

fn same(a: &str, b: &str) -> bool {
    match (Uri::parse(a), Uri::parse(b)) {
        (Ok(a), Ok(b)) => a.is_equivalent(&b),
        _ => a == b,
    }
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
