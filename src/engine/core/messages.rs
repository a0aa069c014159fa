//! Messages that come in: reports on ours, "is typing", and what is for the application; and the
//! machines of RFC 3994 on both sides.

use super::{Core, session};
use crate::body::Limits;
use crate::body::composing::{self, Composer, IsComposing, Observer};
use crate::body::cpim::{self, Cpim};
use crate::body::imdn::{self, Report};
use crate::command::{Content, Sender};
use crate::media::MediaPlane;
use crate::message::{IncomingMessage, MessageReport};
use crate::{AccountId, CallId, Event, Method, SipMessage};
use std::collections::HashMap;
use std::time::Instant;
use tiny_sip::{AccountKey, CallKey, ServerKey};

/// With whom messages are exchanged.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Peer {
    Call(CallKey),
    Uri(Option<AccountKey>, String),
}

/// Who is typing.
#[derive(Default)]
pub(super) struct Typing {
    writers: HashMap<Peer, Composer>,
    readers: HashMap<Peer, (Observer, String)>,
}

impl Typing {
    pub(super) fn deadline(&self) -> Option<Instant> {
        let writers = self.writers.values().filter_map(Composer::next_timeout);
        let readers = self.readers.values().filter_map(|(reader, _)| reader.next_timeout());
        writers.chain(readers).min()
    }
}

impl<P: MediaPlane> Core<P> {
    /// A MESSAGE, or the status that refuses it.
    pub(super) fn message(
        &mut self,
        now: Instant,
        key: ServerKey,
        call: Option<CallKey>,
        request: SipMessage,
    ) -> Result<(), u16> {
        let shared = self.shared.upgrade().filter(|_| self.shutdown.is_none()).ok_or(480u16)?;
        let from = request.from().map(|f| f.uri.as_str().to_owned()).unwrap_or_default();
        let account = match call {
            Some(call) => self.endpoint.account_of(call),
            None => self.endpoint.account_for(&request),
        };
        let limits = Limits::default();
        let envelope = match has_type(&request, cpim::CONTENT_TYPE) {
            true => Some(Cpim::parse(request.body(), &limits).map_err(|_| 400u16)?),
            false => None,
        };
        let (kind, content) = match &envelope {
            Some(envelope) => (envelope.content_type().to_owned(), envelope.body.as_slice()),
            None => {
                let kind = request.header(tiny_sip::HeaderName::ContentType).unwrap_or_default();
                (kind.to_owned(), request.body())
            }
        };
        let peer = match call {
            Some(call) => Peer::Call(call),
            None => Peer::Uri(account, from.clone()),
        };
        let (account_id, call_id) = (account.map(AccountId), call.map(CallId));
        if is(&kind, imdn::CONTENT_TYPE) {
            let report = Report::parse(content, &limits).map_err(|_| 400u16)?;
            let place = self.events.try_reserve().map_err(|_| 503u16)?;
            let (account, call) = (account_id, call_id);
            let report = MessageReport { account, call, from, report, request };
            place.send(Event::MessageReported(report));
            return Err(200);
        }
        if is(&kind, composing::CONTENT_TYPE) {
            let status = IsComposing::parse(content, &limits).map_err(|_| 400u16)?;
            self.typing_status(now, peer, from, &status);
            return Err(200);
        }
        // Content ends the typing that announced it (RFC 3994 §3.3).
        if let Some((mut reader, from)) = self.typing.readers.remove(&peer)
            && reader.content()
        {
            self.tell_typing(&peer, from, false);
        }
        let place = self.events.try_reserve().map_err(|_| 503u16)?;
        let (answered, reported) = (false, [false; 2]);
        place.send(Event::Message(IncomingMessage {
            shared,
            key,
            account: account_id,
            call: call_id,
            from,
            request,
            envelope,
            answered,
            reported,
        }));
        Ok(())
    }

    /// The envelope with From, as a body. Who withholds the name on the message does so in it.
    pub(super) fn sealed(&self, from: &Sender, withheld: bool, mut envelope: Cpim) -> Content {
        if envelope.from().is_none() {
            let own = match from {
                Sender::Call(call) => self.endpoint.describe(*call).map(|d| (None, d.local)),
                Sender::Account { account, .. } => self
                    .accounts
                    .get(account)
                    .map(|entry| (entry.spec.display.clone(), entry.spec.aor.clone())),
            };
            let own = match own.filter(|_| !withheld) {
                Some((Some(name), aor)) => format!("{} <{aor}>", tiny_sip::header::quote(&name)),
                Some((None, aor)) => format!("<{aor}>"),
                None => "<sip:anonymous@anonymous.invalid>".to_owned(),
            };
            envelope.add("From", &own);
        }
        let content_type = cpim::CONTENT_TYPE.to_owned();
        Content { content_type, data: envelope.to_body() }
    }

    fn typing_status(&mut self, now: Instant, peer: Peer, from: String, status: &IsComposing) {
        let known = self.typing.readers.contains_key(&peer);
        if !known && (!status.active || self.typing.readers.len() >= self.config.max_composing) {
            return;
        }
        let (reader, _) = self.typing.readers.entry(peer.clone()).or_default();
        let changed = reader.received(now, status);
        let active = reader.is_active();
        if !active {
            self.typing.readers.remove(&peer);
        } else if let Some((_, name)) = self.typing.readers.get_mut(&peer) {
            name.clone_from(&from);
        }
        if changed {
            self.tell_typing(&peer, from, active);
        }
    }

    fn tell_typing(&self, peer: &Peer, from: String, active: bool) {
        let (account, call) = match peer {
            Peer::Call(call) => (self.endpoint.account_of(*call), Some(CallId(*call))),
            Peer::Uri(account, _) => (*account, None),
        };
        let account = account.map(AccountId);
        self.tell(Event::Composing { account, call, from, active });
    }

    /// A key was pressed here.
    pub(super) fn composing(&mut self, now: Instant, from: Sender) {
        let peer = peer_of(&from);
        if !self.typing.writers.contains_key(&peer) {
            if self.typing.writers.len() >= self.config.max_composing {
                tracing::debug!(
                    "typing is not told: max_composing = {}",
                    self.config.max_composing
                );
                return;
            }
            self.typing.writers.insert(peer.clone(), Composer::new(self.config.composing));
        }
        let status = self.typing.writers.get_mut(&peer).and_then(|writer| writer.typed(now));
        if let Some(status) = status {
            self.send_typing(now, &peer, &status);
        }
    }

    /// A message went out, which says that writing has ended.
    pub(super) fn typing_sent(&mut self, from: &Sender) {
        if !self.typing.writers.is_empty() {
            self.typing.writers.remove(&peer_of(from));
        }
    }

    /// Whoever has stopped typing, here or there.
    pub(super) fn typing_over(&mut self, now: Instant) {
        if self.typing.deadline().is_none_or(|deadline| deadline > now) {
            return;
        }
        let mut sends = Vec::new();
        self.typing.writers.retain(|peer, writer| {
            sends.extend(writer.poll(now).map(|status| (peer.clone(), status)));
            writer.next_timeout().is_some()
        });
        let mut idle = Vec::new();
        self.typing.readers.retain(|peer, (reader, from)| {
            if reader.poll(now) {
                idle.push((peer.clone(), from.clone()));
            }
            reader.is_active()
        });
        for (peer, status) in sends {
            self.send_typing(now, &peer, &status);
        }
        for (peer, from) in idle {
            self.tell_typing(&peer, from, false);
        }
    }

    /// Its response changes nothing: nobody waits for it.
    fn send_typing(&mut self, now: Instant, peer: &Peer, status: &IsComposing) {
        let content_type = composing::CONTENT_TYPE.to_owned();
        let data = status.to_body().into_bytes();
        let body = Some(session::body(Content { content_type, data }));
        let (headers, message) = (Vec::new(), Method::Message);
        let sent = match peer {
            Peer::Call(call) => self.endpoint.request_in_call(now, *call, message, headers, body),
            Peer::Uri(Some(account), to) => {
                self.endpoint.request(now, *account, message, to, headers, body)
            }
            Peer::Uri(None, _) => return,
        };
        if let Err(e) = sent {
            tracing::debug!("typing is not told: {e}");
            self.typing.writers.remove(peer);
        }
    }
}

fn peer_of(from: &Sender) -> Peer {
    match from {
        Sender::Call(call) => Peer::Call(*call),
        Sender::Account { account, to } => Peer::Uri(Some(*account), to.clone()),
    }
}

fn has_type(request: &SipMessage, wanted: &str) -> bool {
    request.header(tiny_sip::HeaderName::ContentType).is_some_and(|kind| is(kind, wanted))
}

/// Whether a content type, without its parameters, is this one.
fn is(kind: &str, wanted: &str) -> bool {
    kind.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case(wanted)
}
