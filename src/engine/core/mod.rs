//! The engine without I/O: accounts and calls over [`tiny_sip::Endpoint`] and
//! [`tiny_sdp::Negotiator`], with media told through [`MediaPlane`].
//!
//! `handle(now, input)`, then `poll(now)` until `Timeout`, as everywhere. Never reads a clock, never
//! touches a socket, never waits.

mod accounts;
mod answering;
mod branches;
mod calls;
mod conference;
#[cfg(feature = "dtls")]
mod data;
#[cfg(not(feature = "dtls"))]
#[path = "data_off.rs"]
mod data;
mod described;
#[cfg(feature = "dtls")]
mod dtls;
#[cfg(not(feature = "dtls"))]
#[path = "dtls_off.rs"]
mod dtls;
mod entry;
mod events;
mod ice;
mod identity;
mod incoming;
mod lamps;
mod lines;
mod messages;
mod negotiation;
mod policy;
mod preconditions;
mod redirect;
mod referral;
mod refresh;
mod regain;
mod requests;
mod roaming;
mod roster;
mod session;
mod teardown;
#[cfg(test)]
mod tests;
mod transceivers;
mod transfer;
mod trickle;
mod wake;
mod warnings;

use crate::agent::Shared;
use crate::command::{Command, PlaceCall, Registered, Reply, Sender};
use crate::config::Config;
use crate::media::{MediaId, MediaNotice, MediaPlane, MediaReport};
use crate::transfer::TransferState;
use crate::{AccountId, Error, Event, SipMessage};
use accounts::{AccountEntry, Refusal, dialable};
use entry::{CallEntry, HoldChange};
pub(crate) use roaming::NetworkChange;
use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Weak};
use std::time::Instant;
use tiny_media::Registry;
use tiny_sak::{Flow, Output, Rng, TimerQueue, Transport};
use tiny_sip::{AccountKey, CallKey, Endpoint, QueryKey, RequestKey, Target, Transmit};
use tokio::sync::{mpsc, oneshot};

/// What comes in.
#[derive(Debug)]
pub(crate) enum Input {
    Command(Command),
    Sip(tiny_sip::Input),
    /// The answer to [`Request::Locate`]: an address of the host.
    Located {
        job: u64,
        address: Result<IpAddr, Error>,
    },
    /// The answer to [`Request::Open`].
    Opened {
        job: u64,
        audio: Result<crate::audio::OpenAudio, Error>,
    },
    Media(MediaNotice),
    /// Our addresses are others now.
    Network(NetworkChange),
    Timeout,
}

/// What the driver is asked for, besides sending.
#[derive(Debug)]
pub(crate) enum Request {
    /// Find the targets of a request for the endpoint.
    Resolve {
        query: QueryKey,
        host: String,
        port: Option<u16>,
        transport: Option<Transport>,
        secure: bool,
        name: Option<Arc<str>>,
    },
    /// Use a connection of the peer's for requests to this address too.
    Alias { flow: Flow, sent_by: SocketAddr },
    /// Put other certificates in force.
    SetTls { tls: Box<tiny_net::tls::TlsConfig>, reply: Reply<()> },
    /// Find an address of a host, to learn which of our own faces it.
    Locate { job: u64, uri: String, transport: Option<Transport> },
    /// Open sources and sinks, which may take a while.
    Open { job: u64, audio: Box<crate::Audio> },
    /// Close a connection, once what was sent over it is written.
    Close { flow: Flow },
    /// Everything has ended.
    Done,
}

pub(crate) struct Core<P> {
    config: Config,
    registry: Registry,
    rng: Rng,
    endpoint: Endpoint,
    sdp: Arc<tiny_sdp::Config>,
    plane: P,
    accounts: HashMap<AccountKey, AccountEntry>,
    calls: HashMap<CallKey, CallEntry>,
    media: HashMap<MediaId, CallKey>,
    requests: HashMap<RequestKey, Reply<SipMessage>>,
    /// Requests that the application has still to answer.
    waiting_requests: usize,
    /// Calls of ours that wait for their candidates.
    gathering: HashMap<MediaId, ice::Gathering>,
    placing: HashMap<u64, (PlaceCall, transfer::Placed)>,
    moves: transfer::Moves,
    /// Calls that ring and will go elsewhere.
    patience: TimerQueue<CallKey>,
    next_job: u64,
    /// Our certificate, once a call needed it.
    certified: Option<dtls::Certified>,
    /// The warning about keys in plain signalling was given.
    keys_noted: bool,
    noted: events::Events,
    asks: VecDeque<Request>,
    events: mpsc::Sender<Event>,
    shared: Weak<Shared>,
    shutdown: Option<Shutdown>,
    verifications: identity::Verifications,
    wakes: wake::Wakes,
    conferences: conference::Conferences,
    typing: messages::Typing,
    offline: Option<roaming::Offline>,
}

struct Shutdown {
    replies: Vec<oneshot::Sender<()>>,
    deadline: Instant,
    done: bool,
}

impl<P: MediaPlane> Core<P> {
    pub(crate) fn new(
        config: Config,
        registry: Registry,
        mut rng: Rng,
        plane: P,
        events: mpsc::Sender<Event>,
        shared: Weak<Shared>,
    ) -> Self {
        let mut sip = config.sip.clone();
        sip.owner_extensions.push("precondition".to_owned());
        let endpoint = Endpoint::new(sip, rng.fork());
        Self {
            sdp: Arc::new(config.sdp.clone()),
            config,
            registry,
            rng,
            endpoint,
            plane,
            accounts: HashMap::new(),
            calls: HashMap::new(),
            media: HashMap::new(),
            requests: HashMap::new(),
            waiting_requests: 0,
            gathering: HashMap::new(),
            placing: HashMap::new(),
            moves: transfer::Moves::default(),
            patience: TimerQueue::new(),
            next_job: 0,
            certified: None,
            keys_noted: false,
            noted: events::Events::default(),
            asks: VecDeque::new(),
            events,
            shared,
            shutdown: None,
            verifications: identity::Verifications::default(),
            wakes: wake::Wakes::default(),
            conferences: conference::Conferences::default(),
            typing: messages::Typing::default(),
            offline: None,
        }
    }

    /// What is plugged in.
    pub(crate) fn registry(&self) -> &Registry {
        &self.registry
    }

    /// A listening address exists.
    pub(crate) fn bind(&mut self, transport: Transport, local: SocketAddr) {
        self.endpoint.bind(transport, local);
    }

    pub(crate) fn handle(&mut self, now: Instant, input: Input) {
        self.patience_over(now);
        self.typing_over(now);
        self.offline_too_long(now);
        match input {
            Input::Command(command) => self.command(now, command),
            Input::Sip(input) => self.endpoint.handle(now, input),
            Input::Located { job, address } => self.located(now, job, address),
            Input::Opened { job, audio } => self.opened(now, job, audio),
            Input::Media(notice) => self.media_notice(now, notice),
            Input::Network(change) => self.network_changed(now, change),
            Input::Timeout => {
                self.wakes.expire(now);
                self.endpoint.handle(now, tiny_sip::Input::Timeout);
            }
        }
    }

    pub(crate) fn poll(&mut self, now: Instant) -> Output<Transmit, Request> {
        loop {
            if let Some(ask) = self.asks.pop_front() {
                return Output::Event(ask);
            }
            match self.endpoint.poll(now) {
                Output::Transmit(transmit) => return Output::Transmit(transmit),
                Output::Event(event) => self.sip_event(now, event),
                Output::Timeout(deadline) => {
                    if self.expire_verifications(now)
                        || self.light_lamps(now)
                        || self.tell_conferences(now)
                        || self.check_shutdown(now)
                    {
                        continue;
                    }
                    let patience = self.patience.next_deadline();
                    let stop = self.shutdown.as_ref().filter(|s| !s.done).map(|s| s.deadline);
                    let verified = self.verifications.deadline();
                    let told = self.conferences.deadline();
                    let stop = stop.into_iter().chain(self.offline_until()).min();
                    let others = patience.into_iter().chain(verified).chain(self.wakes.deadline());
                    let others = others.chain(told).chain(self.typing.deadline());
                    return Output::Timeout(deadline.into_iter().chain(stop).chain(others).min());
                }
            }
        }
    }

    fn command(&mut self, now: Instant, command: Command) {
        match command {
            Command::AddAccount { spec, reply } => self.add_account(*spec, reply),
            Command::RemoveAccount { account } => self.remove_account(now, account),
            Command::Register { account, reply } => self.register(now, account, reply),
            Command::Unregister { account, reply } => self.unregister(now, account, reply),
            Command::Registration { account, reply } => {
                let info = self.endpoint.registration(account);
                let _ =
                    reply.send(info.ok_or_else(|| Error::state("the account is not registered")));
            }
            Command::Contacts { account, contact, reply } => {
                self.contacts(now, account, contact.as_deref(), reply);
            }
            Command::ForgetRegistration { account } => self.endpoint.forget_registration(account),
            Command::Wake { account, patience, reply } => self.wake(now, account, patience, reply),
            Command::Call { call, reply } => {
                self.locate(now, *call, transfer::Placed::Handle(reply));
            }
            Command::Transfer { request, reply } => self.transfer(now, *request, reply),
            Command::Refer { request, reply } => {
                let _ = reply.send(self.refer_outside(now, *request));
            }
            Command::AnswerTransfer { call, answer, reply } => {
                self.answer_transfer(now, call, answer, reply);
            }
            Command::ReplacesUri { call, reply } => {
                let uri = self.endpoint.replaces_uri(call);
                let _ = reply.send(uri.ok_or_else(|| Error::state("the call is not up")));
            }
            Command::FollowRedirect { call, uri, reply } => {
                let _ = reply.send(self.follow_redirect(now, call, &uri));
            }
            Command::SetPolicy { account, policy } => {
                if let Some(entry) = self.accounts.get_mut(&account) {
                    entry.spec.policy = *policy;
                }
            }
            Command::Ring { call, status, headers, reply } => {
                let _ = reply.send(self.ring(now, call, status, headers));
            }
            Command::RingWithMedia { call, status, headers, audio, reply } => {
                self.ring_call(now, call, (status, headers), audio, reply);
            }
            Command::Answer { call, headers, audio, reply } => {
                let who = ice::Answerer::Application(reply);
                self.answer_call(now, call, headers, Some(audio), who);
            }
            Command::Preconditions { call, met, reply } => {
                let _ = reply.send(self.preconditions(now, call, met));
            }
            Command::AnswerEarly { call, headers, reply } => {
                let who = ice::Answerer::Application(reply);
                self.answer_call(now, call, headers, None, who);
            }
            Command::Reject { call, status, reason, headers } => {
                let result = self.endpoint.reject(now, call, status, reason.as_deref(), headers);
                self.tolerate("reject", result);
            }
            Command::Hangup { call, headers } => self.hangup(now, call, headers),
            Command::Hold { call, on, headers, reply } => {
                let change = HoldChange { on: Some(on), headers, reply: Some(reply), to: None };
                self.hold(now, call, change);
            }
            Command::Transceivers { call, reply } => drop(reply.send(self.transceivers(call))),
            Command::SetDirection { call, direction, reply } => {
                let _ = reply.send(self.set_direction(call, direction));
            }
            Command::NegotiationNeeded { call, reply } => {
                let _ = reply.send(self.negotiation_needed(call));
            }
            Command::Renegotiate { call, reply } => self.renegotiate(now, call, reply),
            Command::RestartIce { call, reply } => drop(reply.send(self.wish_restart(call))),
            Command::RenewKeys { call, reply } => self.renew_keys(now, call, reply),
            Command::Mute { call, on } => self.mute(call, on),
            Command::Dtmf { call, digits, mode, reply } => {
                self.dtmf(now, call, digits, mode, reply);
            }
            Command::Stats { call, reply } => self.stats(call, reply),
            #[cfg(feature = "dtls")]
            Command::DataChannel { call, spec, reply } => {
                self.open_channel(now, call, spec, reply);
            }
            Command::Ice { call, reply } => self.ice_report(call, reply),
            Command::Request { request, reply } => self.request(now, *request, reply),
            Command::Respond { key, status, headers } => {
                let result = self.endpoint.respond(now, key, status, None, headers, None);
                self.tolerate("respond", result);
            }
            Command::SessionId { call, reply } => {
                let known = self.calls.get(&call).is_some_and(|entry| entry.end.is_none());
                let id = known.then(|| self.endpoint.session_id(call));
                let _ = reply.send(id.ok_or(Error::Ended("the call")));
            }
            Command::Composing { from } => self.composing(now, from),
            Command::RespondRequest { key, answer } => self.answer_request(now, key, answer),
            Command::CallRules { call, rules, reply } => {
                let set = self.endpoint.set_header_rules(call, rules);
                let _ = reply.send(set.map_err(sip_error));
            }
            Command::AccountRules { account, rules, reply } => {
                let set = self.endpoint.set_account_header_rules(account, rules);
                let _ = reply.send(set.map_err(sip_error));
            }
            Command::Certificate { call, data } => self.certificate(now, call, data),
            Command::Credentials { query, reply } => {
                let result = self.endpoint.give_credentials(now, query, reply);
                self.tolerate("credentials", result);
            }
            Command::SetTls { tls, reply } => self.asks.push_back(Request::SetTls { tls, reply }),
            Command::Events(command) => self.event_command(now, command),
            Command::Conference(command) => self.conference_command(now, command),
            // The driver knows our addresses, and has told them.
            Command::Network { .. } => {}
            Command::Shutdown { reply } => self.begin_shutdown(now, reply),
        }
    }

    fn request(
        &mut self,
        now: Instant,
        request: crate::command::SendRequest,
        reply: Reply<SipMessage>,
    ) {
        if request.method == crate::Method::Message {
            self.typing_sent(&request.from);
        }
        let (method, mut headers) = (request.method, request.headers);
        if let Sender::Account { account, .. } = &request.from
            && let Some(entry) = self.accounts.get(account)
        {
            entry.spec.caller.add_to(&mut headers);
        }
        let withheld = crate::caller::is_withheld(&headers);
        let content = match request.envelope {
            Some(envelope) => Some(self.sealed(&request.from, withheld, envelope)),
            None => request.body,
        };
        let body = content.map(session::body);
        let sent = match request.from {
            Sender::Account { account, to } => {
                let to = match self.accounts.get(&account).map(|entry| dialable(entry, to)) {
                    Some(Ok(to)) => to,
                    refused => {
                        let stale = Error::Ended("the account");
                        let _ = reply.send(Err(refused.and_then(Result::err).unwrap_or(stale)));
                        return;
                    }
                };
                self.endpoint.request(now, account, method, &to, headers, body)
            }
            Sender::Call(call) => self.endpoint.request_in_call(now, call, method, headers, body),
        };
        match sent {
            Ok(key) => {
                self.requests.insert(key, reply);
            }
            Err(e) => {
                let _ = reply.send(Err(sip_error(e)));
            }
        }
    }

    fn sip_event(&mut self, now: Instant, event: tiny_sip::Event) {
        use tiny_sip::Event as E;
        match event {
            E::Resolve { query, host, port, transport, secure, name } => {
                let ask = Request::Resolve { query, host, port, transport, secure, name };
                self.asks.push_back(ask);
            }
            E::Alias { flow, sent_by } => self.asks.push_back(Request::Alias { flow, sent_by }),
            E::Registered { account, expires, contact, reg_id, outbound, response } => {
                let granted = Registered { expires, contact, reg_id, outbound, response };
                self.registered(account, granted);
            }
            E::CredentialsWanted { query, account, wanted } => {
                self.credentials_wanted(account, query, wanted);
            }
            E::ServerUnproven { account, realm } => {
                self.tell(Event::ServerUnproven { account: AccountId(account), realm });
            }
            E::Unregistered { account } => self.unregistered(account),
            E::RegistrationFailed { account, status, reason, cause, retry_in, response } => {
                let refusal = Refusal { status, reason, cause, retry_in, response };
                self.registration_failed(account, refusal);
            }
            E::FlowFailed { account, reg_id, .. } => {
                self.flow_failed(account, reg_id, "the flow has failed".to_owned());
            }
            E::FlowUnavailable { account, reg_id, reason, .. } => {
                self.flow_failed(account, reg_id, reason);
            }
            E::Incoming { call, request, flow, .. } => self.incoming(now, call, request, flow),
            E::Progress { call, response, reliable, needs_answer, may_offer } => {
                self.errand_response(now, call, &response);
                let progress = branches::Progress { response, reliable, needs_answer, may_offer };
                self.progress(now, call, progress);
            }
            E::PrackAnswered { call, response } => self.prack_answered(now, call, response),
            E::ProvisionalConfirmed { call, prack } => self.provisional_confirmed(now, call, prack),
            E::Redirected { call, response } => self.redirected(now, call, response),
            E::Referred { call, to, request } => self.referred(now, call, &to, &request),
            E::ReferralAbandoned { call } => self.moves.abandoned(call),
            E::ReferAccepted { call } => self.transfer_goes_on(call, TransferState::Accepted),
            E::ReferProgress { call, status, reason } => {
                self.transfer_goes_on(call, TransferState::Trying { status, reason });
            }
            E::ReferEnded { call, outcome } => self.transfer_over(now, call, outcome),
            E::Answered { call, response, needs_answer } => {
                self.answered(now, call, response, needs_answer);
            }
            E::AnswerLost { call } => self.answer_lost(now, call),
            E::Confirmed { call, ack } => self.confirmed(now, call, ack),
            E::Reinvite { call, request } => self.reinvited(now, call, request),
            E::RefreshDue { call } => self.refresh_due(now, call),
            E::ReinviteConfirmed { call, ack } => self.confirmed(now, call, ack),
            E::ReinviteAccepted { call, response, .. } => {
                self.reinvite_accepted(now, call, response);
            }
            E::ReinviteRejected { call, status, reason, response } => {
                self.reinvite_rejected(now, call, status, reason, response);
            }
            E::Ended { call, by, status, reason, message } => {
                self.verifications.forget(call);
                self.ended(now, call, by, status, reason, message);
            }
            E::Subscription { subscription, event } => {
                self.subscription_event(now, subscription, event);
            }
            E::Watcher { watcher, event } => self.watcher_event(now, watcher, event),
            E::Publication { publication, event } => {
                self.publication_event(now, publication, event);
            }
            E::StreamBroken { flow } => self.asks.push_back(Request::Close { flow }),
            E::Request { key, call, request, .. } => self.requested(now, key, call, request),
            E::Response { key, response } => self.responded(key, response),
            E::Received { call, account, message } => self.received(call, account, message),
            E::RequestFailed { key, reason, cause } => {
                if let Some(reply) = self.requests.remove(&key) {
                    let _ = reply.send(Err(cause_error(cause, reason)));
                }
            }
            _ => {}
        }
    }

    fn responded(&mut self, key: RequestKey, response: SipMessage) {
        let Some(reply) = self.requests.remove(&key) else { return };
        let status = response.status().map_or(0, |s| s.code());
        let result = match status {
            200..300 => Ok(response),
            _ => Err(Error::refused(response)),
        };
        let _ = reply.send(result);
    }

    fn media_notice(&mut self, now: Instant, notice: MediaNotice) {
        match notice.report {
            MediaReport::Event(event) => self.media_event(notice.id, event),
            MediaReport::RekeyDue => self.rekey(now, notice.id),
            MediaReport::Secured(secured) => self.media_secured(notice.id, secured),
            #[cfg(feature = "dtls")]
            MediaReport::Channel(channel) => self.channel_opened(notice.id, channel),
            #[cfg(feature = "dtls")]
            MediaReport::Data(word) => self.data_word(now, notice.id, word),
            MediaReport::Ice(ice) => self.ice_notice(now, notice.id, ice),
            MediaReport::NoKeys(why) => self.media_failed(now, notice.id, &why),
            MediaReport::Closed(stats) => self.media_closed(now, notice.id, stats),
        }
    }

    // A handle may be a moment behind the state: that is no fault, but worth a line in the log.
    fn tolerate(&self, what: &str, result: Result<(), tiny_sip::Error>) {
        if let Err(e) = result {
            tracing::debug!("{what}: {e}");
        }
    }

    /// Hosts that are spoken with.
    pub(crate) fn remotes(&self) -> Vec<IpAddr> {
        self.endpoint.remotes()
    }

    /// Live figures of the endpoint, and calls that are known here.
    #[cfg(all(test, feature = "testkit"))]
    pub(crate) fn live(&self) -> (tiny_sip::Stats, usize) {
        (self.endpoint.stats(), self.calls.len())
    }

    /// The dialog of a call.
    #[cfg(all(test, feature = "testkit"))]
    pub(crate) fn describe(&self, call: CallKey) -> Option<tiny_sip::CallDescription> {
        self.endpoint.describe(call)
    }

    /// The targets that answer a [`Request::Resolve`].
    pub(crate) fn resolved(&mut self, now: Instant, query: QueryKey, targets: Vec<Target>) {
        self.endpoint.handle(now, tiny_sip::Input::Resolved { query, targets });
    }
}

/// An endpoint's refusal in the facade's words.
fn sip_error(e: tiny_sip::Error) -> Error {
    use tiny_sip::Error as E;
    match e {
        E::Stale(what) => Error::Ended(what),
        E::Limit(what) => Error::Limit(what.to_string()),
        E::State(what) => Error::State(what.to_string()),
        E::Header { .. } => Error::config("header", e),
        other => Error::config("request", other),
    }
}

fn cause_error(cause: tiny_sip::Cause, reason: String) -> Error {
    match cause {
        tiny_sip::Cause::Timeout => Error::Timeout(reason),
        tiny_sip::Cause::Network => Error::Network(reason),
        _ => Error::State(reason),
    }
}
