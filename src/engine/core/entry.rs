//! What the engine knows of one call.

use super::branches::Branches;
use super::data::Wanted;
use super::ice::IceSide;
use super::negotiation::Negotiation;
use super::policy::Refusal;
use super::redirect::Redirects;
use crate::agent::Shared;
use crate::audio::{AudioSpec, OpenAudio};
use crate::call::CallInner;
use crate::command::Reply;
use crate::event::{CallEnd, CallEvent, CodecInfo};
use crate::ice::Terms;
use crate::media::MediaPorts;
use crate::{Call, CallState};
use bytes::Bytes;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;
use tiny_sdp::{Direction, NegotiatedSession};
use tiny_sip::{AccountKey, CallKey};
use tokio::sync::{Mutex, mpsc, watch};

/// A change of hold, or none of it, that waits for its re-INVITE. The offer says what is wished when it
/// goes out.
#[derive(Debug)]
pub(super) struct HoldChange {
    /// Holds or resumes; `None` leaves it as it is, and is made all the same.
    pub(super) on: Option<bool>,
    pub(super) headers: crate::command::Headers,
    pub(super) reply: Option<Reply<()>>,
    /// The early dialog that it is for; `None` for the one that there is.
    pub(super) to: Option<String>,
}

impl HoldChange {
    /// The description as it is, once more.
    pub(super) fn again(to: Option<String>) -> Self {
        Self { on: None, headers: Vec::new(), reply: None, to }
    }

    /// Says how it went to whoever waits.
    pub(super) fn done(self, result: Result<(), crate::Error>) {
        if let Some(reply) = self.reply {
            let _ = reply.send(result);
        }
    }
}

pub(super) struct CallEntry {
    state: watch::Sender<CallState>,
    events: mpsc::Sender<CallEvent>,
    /// How its media travels.
    pub(super) terms: Terms,
    pub(super) negotiator: Negotiation,
    /// Data channels that wait.
    pub(super) wanted: Wanted,
    /// Media knows of data channels.
    #[cfg_attr(not(feature = "dtls"), allow(dead_code))]
    pub(super) has_data: bool,
    /// The negotiator as our offer left it: every branch's answer starts from here.
    pub(super) offered: Option<Negotiation>,
    /// Early dialogs with descriptions, of a call that we place.
    pub(super) branches: Branches,
    pub(super) session: Option<NegotiatedSession>,
    pub(super) ports: Option<MediaPorts>,
    pub(super) ice: Option<Box<IceSide>>,
    /// Our synchronization source and canonical name, for the life of the call.
    pub(super) ssrc: u32,
    pub(super) cname: String,
    /// Open sources and sinks that wait for the stream to start.
    pub(super) audio: Option<OpenAudio>,
    pub(super) started: bool,
    /// How to open the same sound once more.
    pub(super) again: Option<AudioSpec>,
    /// Whom we called.
    pub(super) placed_to: Option<String>,
    pub(super) redirects: Option<Box<Redirects>>,
    /// Where the call goes when nobody answers.
    pub(super) forward: Option<Box<(AccountKey, crate::SipMessage, Refusal)>>,
    /// Our address on the path that the call came by.
    pub(super) local: Option<std::net::IpAddr>,
    /// The peer's offer that waits for our answer.
    pub(super) offer: Option<Bytes>,
    /// Our 200 carried an offer; its answer comes with the ACK.
    pub(super) answer_in_ack: bool,
    /// Our reliable provisional response carried an offer; its answer comes with the PRACK.
    pub(super) answer_in_prack: bool,
    /// The description that we gave before the answer: the answer repeats it.
    pub(super) early: Option<tiny_sip::Body>,
    /// We have answered.
    pub(super) accepted: bool,
    /// Nobody is told of it before its preconditions are met.
    pub(super) suspended: Option<Box<crate::IncomingCall>>,
    /// The application was asked for resources.
    pub(super) resources_asked: bool,
    /// What the application wishes, beside a hold.
    pub(super) wished: Direction,
    pub(super) held: bool,
    pub(super) held_by_peer: bool,
    pub(super) codec: Option<CodecInfo>,
    pub(super) changes: VecDeque<HoldChange>,
    pub(super) changing: Option<HoldChange>,
    /// The early dialog that it runs in.
    pub(super) changing_in: Option<String>,
    pub(super) answered_at: Option<Instant>,
    /// Why we end it, when that is not what the user wanted.
    pub(super) failure: Option<String>,
    /// The call is over and waits for its media to hand in the last figures.
    pub(super) end: Option<CallEnd>,
}

impl CallEntry {
    /// A new call and the handle that the application gets.
    pub(super) fn new(
        shared: Arc<Shared>,
        key: CallKey,
        remote: String,
        (terms, negotiator): (Terms, Negotiation),
        max_events: usize,
    ) -> (Self, Call) {
        let source = negotiator.source().clone();
        let (state, watch) = watch::channel(CallState::Dialing { ringing: false });
        let (events, inbox) = mpsc::channel(max_events.max(2));
        let events_in = Mutex::new(inbox);
        let inner = CallInner { shared, key, remote, state: watch, events: events_in };
        let entry = Self {
            state,
            events,
            terms,
            negotiator,
            wanted: Wanted::default(),
            has_data: false,
            offered: None,
            branches: Branches::default(),
            session: None,
            ports: None,
            ice: None,
            ssrc: source.ssrc,
            cname: source.cname,
            audio: None,
            started: false,
            again: None,
            placed_to: None,
            redirects: None,
            forward: None,
            local: None,
            offer: None,
            answer_in_ack: false,
            answer_in_prack: false,
            early: None,
            accepted: false,
            suspended: None,
            resources_asked: false,
            wished: Direction::SendRecv,
            held: false,
            held_by_peer: false,
            codec: None,
            changes: VecDeque::new(),
            changing: None,
            changing_in: None,
            answered_at: None,
            failure: None,
            end: None,
        };
        (entry, Call { inner: Arc::new(inner) })
    }

    pub(super) fn state(&self) -> CallState {
        self.state.borrow().clone()
    }

    pub(super) fn established(&self) -> bool {
        self.answered_at.is_some() && self.end.is_none()
    }

    /// Tells the peer once more how it is held.
    pub(super) fn catch_up(&mut self) {
        self.changes.push_front(HoldChange::again(None));
    }

    /// What our descriptions say, with the peer on hold or not (RFC 3264 §8.4).
    pub(super) fn way(&self, held: bool) -> Direction {
        if held { self.wished.held() } else { self.wished }
    }

    /// Whether the peer and we agreed on encryption.
    pub(super) fn encrypted(&self) -> bool {
        !matches!(self.negotiator.security(), crate::media::Security::Plain)
    }

    /// Hands an event to the application. The last place of the queue is kept for the end.
    pub(super) fn tell(&self, event: CallEvent) {
        let last = matches!(event, CallEvent::Ended(_));
        if self.events.capacity() > 1 || last {
            let _ = self.events.try_send(event);
        } else {
            tracing::debug!("call event dropped, the application does not read them: {event:?}");
        }
    }

    pub(super) fn ringing(&self) {
        self.state.send_if_modified(|s| match s {
            CallState::Dialing { ringing } if !*ringing => {
                *ringing = true;
                true
            }
            _ => false,
        });
    }

    /// Publishes the state of a call that is up.
    pub(super) fn publish(&self) {
        if self.established() {
            self.state.send_replace(CallState::Established {
                codec: self.codec.clone(),
                held: self.held,
                held_by_peer: self.held_by_peer,
            });
        }
    }

    pub(super) fn publish_end(&self, end: CallEnd) {
        self.tell(CallEvent::Ended(end.clone()));
        self.state.send_replace(CallState::Ended(end));
    }
}
