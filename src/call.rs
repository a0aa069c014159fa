//! Calls: handles that any thread may hold.

use crate::account::{RequestBuilder, check_uri};
use crate::agent::{Shared, off_thread};
use crate::command::{Command, Headers, PlaceCall, Sender};
use crate::event::{CallEnd, CallEvent, CodecInfo, DtmfMode};
use crate::headers::{check_headers, check_phrase};
use crate::identity::CallerIdentity;
use crate::{
    Account, AccountId, Audio, CallStats, Direction, Error, Ice, Method, SipMessage, Srtp,
};
use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tiny_sip::{CallKey, Related};
use tokio::sync::{Mutex, mpsc, watch};

/// Names a call in logs and traces.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CallId(pub(crate) CallKey);

impl std::fmt::Display for CallId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:x}", slotmap::Key::data(&self.0).as_ffi())
    }
}

/// Where a call stands.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum CallState {
    /// Nobody has answered yet. True once the other side rings.
    Dialing {
        /// A 180 was received.
        ringing: bool,
    },
    /// The call is up.
    Established {
        /// Its codec; `None` while no sound was negotiated.
        codec: Option<CodecInfo>,
        /// We hold the peer.
        held: bool,
        /// The peer holds us.
        held_by_peer: bool,
    },
    /// The call is over.
    Ended(CallEnd),
}

/// A call being prepared: await it to place it.
#[derive(Debug)]
#[must_use = "a call is placed when its builder is awaited"]
pub struct CallBuilder {
    account: Account,
    pub(crate) to: String,
    pub(crate) headers: Headers,
    audio: Option<Audio>,
    srtp: Option<Srtp>,
    ice: Option<Ice>,
    webrtc: Option<bool>,
    data: Option<bool>,
    #[cfg(feature = "dtls")]
    channels: Vec<crate::DescribedChannel>,
    direction: Direction,
    pub(crate) rules: Vec<crate::HeaderRule>,
    check: Result<(), Error>,
    conference: Option<crate::Conference>,
    late_offer: bool,
    preconditions: Option<crate::Preconditions>,
}

impl CallBuilder {
    pub(crate) fn new(account: Account, to: String) -> Self {
        let (target, check) = match crate::target::of("call target", &to, &Method::Invite) {
            Ok(target) => (target, Ok(())),
            Err(e) => (Default::default(), Err(e)),
        };
        let (to, headers) = (target.uri, target.headers);
        Self {
            account,
            to,
            headers,
            audio: None,
            srtp: None,
            ice: None,
            webrtc: None,
            data: None,
            #[cfg(feature = "dtls")]
            channels: Vec::new(),
            direction: Direction::SendRecv,
            rules: Vec::new(),
            late_offer: false,
            preconditions: None,
            check,
            conference: None,
        }
    }

    /// Takes the place of another telephone in a call that the callee is in (Replaces, RFC 3891):
    /// picks up what rings elsewhere, or fetches a parked call. The dialog is named by its Call-ID,
    /// the tag of the callee and the tag of whom it talks with now: in a notification of the package
    /// `dialog` from the latter, these are `call_id`, `remote_tag` and `local_tag`.
    pub fn replaces(mut self, call_id: &str, callee_tag: &str, other_tag: &str) -> Self {
        let value = format!("{call_id};to-tag={callee_tag};from-tag={other_tag}");
        self.headers.extend(in_place_of(value));
        self
    }

    /// Takes part in a call that the callee is in (Join, RFC 3911), which makes it a conference. The
    /// dialog is named by its Call-ID, the tag of the callee and the tag of whom it talks with: in a
    /// notification of the package `dialog` from the callee, these are `call_id`, `local_tag` and
    /// `remote_tag`. Who cannot do that refuses.
    pub fn joins(mut self, call_id: &str, callee_tag: &str, other_tag: &str) -> Self {
        let value = format!("{call_id};to-tag={callee_tag};from-tag={other_tag}");
        self.headers.push(("Join".into(), value));
        self.headers.push(("Require".into(), "join".into()));
        self
    }

    /// Adds whom is called to a conference of ours as soon as they answer; Contact says so from the
    /// start (RFC 4579 §5.2). Its own [`audio`](Self::audio) is silence then, unless it is given.
    pub fn conference(mut self, conference: &crate::Conference) -> Self {
        self.conference = Some(conference.clone());
        self
    }

    /// Its sound; the default devices when not called.
    pub fn audio(mut self, audio: Audio) -> Self {
        self.audio = Some(audio);
        self
    }

    /// How this call treats encryption; what the account says when not called.
    pub fn srtp(mut self, srtp: Srtp) -> Self {
        self.srtp = Some(srtp);
        self
    }

    /// Whether this call uses ICE; what the account says when not called.
    pub fn ice(mut self, ice: Ice) -> Self {
        self.ice = Some(ice);
        self
    }

    /// Whether the offer of this call has data channels ([`Call::data_channel`]); what
    /// [`Config::offer_data`](crate::Config::offer_data) says when not called. They bring DTLS with
    /// them, whatever [`srtp`](Self::srtp) says. Without, they can still be added within the call.
    pub fn data(mut self, on: bool) -> Self {
        self.data = Some(on);
        self
    }

    /// Adds a data channel that the offer of this call sets up (RFC 8864), with what
    /// [`data`](Self::data) brings. It comes as [`CallEvent::DataChannel`] when the callee has taken it, and
    /// not at all when it has not.
    #[cfg(feature = "dtls")]
    pub fn data_channel(mut self, channel: crate::DescribedChannel) -> Self {
        self.channels.push(channel);
        self.data = Some(true);
        self
    }

    /// Which way its sound is to go from the start; both ways when not called. Later there is
    /// [`Call::set_direction`].
    pub fn direction(mut self, direction: Direction) -> Self {
        self.direction = direction;
        self
    }

    /// Whether this call is as browsers make them ([`Config::webrtc`](crate::Config::webrtc)); what the
    /// account says when not called.
    pub fn webrtc(mut self, on: bool) -> Self {
        self.webrtc = Some(on);
        self
    }

    /// Sends the INVITE without an offer: the callee makes one, in its answer or in a reliable
    /// provisional response, and we answer it in the ACK or PRACK (RFC 3261 §13.2.1, RFC 3262 §5). For
    /// gateways that want it so; some telephones refuse it.
    pub fn late_offer(mut self) -> Self {
        self.late_offer = true;
        self
    }

    /// A header field on the INVITE. For the other messages of the call see
    /// [`header_rule`](Self::header_rule).
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// The callee is not alerted before there are network resources for the call (RFC 3312).
    pub fn preconditions(mut self, preconditions: crate::Preconditions) -> Self {
        self.preconditions = Some(preconditions);
        self
    }

    /// What the engine is told, once the sound is open.
    pub(crate) fn command(self, audio: crate::audio::OpenAudio) -> PlaceCall {
        let (account, to, headers) = (self.account.key(), self.to, self.headers);
        let (srtp, rules, late_offer) = (self.srtp, self.rules, self.late_offer);
        let (ice, webrtc, data, direction) = (self.ice, self.webrtc, self.data, self.direction);
        let conference = self.conference.as_ref().map(crate::Conference::id);
        let (session, preconditions) = (None, self.preconditions);
        #[cfg(feature = "dtls")]
        let channels = self.channels.into_iter().map(|channel| channel.0).collect();
        PlaceCall {
            account,
            to,
            headers,
            audio,
            srtp,
            ice,
            webrtc,
            data,
            #[cfg(feature = "dtls")]
            channels,
            terms: None,
            rules,
            direction,
            late_offer,
            conference,
            session,
            preconditions,
        }
    }

    #[cfg(feature = "dtls")]
    fn check_channels(&mut self) -> Result<(), Error> {
        if self.late_offer && !self.channels.is_empty() {
            let what =
                "the first offer is the callee's (late_offer): it sets up no channels of ours";
            return Err(Error::config("data channel", what));
        }
        for channel in &mut self.channels {
            channel.0 = channel.0.clone().checked()?;
        }
        Ok(())
    }

    async fn place(self) -> Result<Call, Error> {
        let mut builder = self;
        std::mem::replace(&mut builder.check, Ok(()))?;
        check_uri("call target", &builder.to)?;
        crate::ice::check_webrtc(builder.webrtc)?;
        crate::ice::check_data(builder.data)?;
        #[cfg(feature = "dtls")]
        builder.check_channels()?;
        // The account must not go before its call is placed.
        let account = builder.account.clone();
        let shared = account.shared().clone();
        let usual = || match builder.conference {
            Some(_) => Audio::silent(),
            None => Audio::default(),
        };
        let audio = builder.audio.take().unwrap_or_else(usual);
        let audio = open(&shared, audio).await?;
        let call = Box::new(builder.command(audio));
        shared.commands.ask(|reply| Command::Call { call, reply }).await
    }
}

impl IntoFuture for CallBuilder {
    type Output = Result<Call, Error>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.place())
    }
}

/// The header fields of a call that replaces another.
fn in_place_of(replaces: String) -> Headers {
    vec![("Replaces".into(), replaces), ("Require".into(), "replaces".into())]
}

async fn open(shared: &Arc<Shared>, audio: Audio) -> Result<crate::audio::OpenAudio, Error> {
    let registry = shared.registry.clone();
    off_thread(move || audio.open(&registry)).await?
}

#[derive(Debug)]
pub(crate) struct CallInner {
    pub(crate) shared: Arc<Shared>,
    pub(crate) key: CallKey,
    pub(crate) remote: String,
    pub(crate) state: watch::Receiver<CallState>,
    pub(crate) events: Mutex<mpsc::Receiver<CallEvent>>,
}

impl Drop for CallInner {
    fn drop(&mut self) {
        self.shared.commands.tell(Command::Hangup { call: self.key, headers: Vec::new() });
    }
}

/// A call. Cheap to clone and to send between threads; dropping the last handle hangs up.
#[derive(Debug, Clone)]
pub struct Call {
    pub(crate) inner: Arc<CallInner>,
}

impl Call {
    /// Its name.
    pub fn id(&self) -> CallId {
        CallId(self.inner.key)
    }

    /// The peer's URI.
    pub fn remote_uri(&self) -> &str {
        &self.inner.remote
    }

    /// Where it stands now.
    pub fn state(&self) -> CallState {
        self.inner.state.borrow().clone()
    }

    /// The name of the session (RFC 7989) as it stands in our messages: our half, which stays the same
    /// when the call is redirected, transferred or replaced, and the peer's, nil while it is not known.
    /// `None` with [`session_id`](tiny_sip::Config::session_id) off.
    ///
    /// # Errors
    /// [`Error::Ended`] when the call is over.
    pub async fn session_id(&self) -> Result<Option<crate::header::SessionId>, Error> {
        self.ask(|call, reply| Command::SessionId { call, reply }).await
    }

    /// Waits until the call is up.
    ///
    /// # Errors
    /// [`Error::Peer`] with the status of a refusal; [`Error::Timeout`], [`Error::Network`] or
    /// [`Error::Ended`] when it ended in another way.
    pub async fn answered(&self) -> Result<(), Error> {
        let mut state = self.inner.state.clone();
        let now = state
            .wait_for(|s| !matches!(s, CallState::Dialing { .. }))
            .await
            .map_err(|_| Error::Ended("the agent"))?;
        match &*now {
            CallState::Ended(end) => Err(end.error()),
            _ => Ok(()),
        }
    }

    /// Waits until the call is over, by whoever's doing.
    pub async fn ended(&self) -> CallEnd {
        let mut state = self.inner.state.clone();
        let end = state.wait_for(|s| matches!(s, CallState::Ended(_))).await;
        match end.as_deref() {
            Ok(CallState::Ended(end)) => end.clone(),
            _ => CallEnd::agent_gone(),
        }
    }

    /// The next event; `None` after [`CallEvent::Ended`].
    pub async fn next_event(&self) -> Option<CallEvent> {
        self.inner.events.lock().await.recv().await
    }

    /// Hangs up: cancels, declines or ends, whatever the state asks for. Returns when it is over.
    pub async fn hangup(&self) -> CallEnd {
        self.commands().tell(Command::Hangup { call: self.inner.key, headers: Vec::new() });
        self.ended().await
    }

    /// Hangs up with header fields of one's own on the CANCEL or BYE, e.g. `Reason`.
    ///
    /// # Errors
    /// [`Error::Config`] for a header field that cannot be sent; the call goes on.
    pub async fn hangup_with(&self, headers: Vec<(String, String)>) -> Result<CallEnd, Error> {
        check_headers(&headers)?;
        self.commands().tell(Command::Hangup { call: self.inner.key, headers });
        Ok(self.ended().await)
    }

    /// Has media go on under other keys, by re-INVITE: a new key of ours in the crypto line (RFC 4568
    /// §7.1.4), or another handshake of DTLS (RFC 8842 §3.1), whose end
    /// [`CallEvent::Secured`](crate::CallEvent::Secured) tells. Until then the keys serve that there are.
    /// Data channels end with the handshake that carried them.
    ///
    /// # Errors
    /// [`Error::State`] when the call is not up, not encrypted, or the peer knows no second handshake, as
    /// browsers do not; [`Error::Peer`] when it refuses; [`Error::Ended`] when the call is over before.
    pub async fn renew_keys(&self) -> Result<(), Error> {
        self.ask(|call, reply| Command::RenewKeys { call, reply }).await
    }

    /// Puts the peer on hold: it hears nothing, and its sound is not played (RFC 3264 §8.4). By
    /// re-INVITE, or as [`Policy::changes`](crate::Policy::changes) says. Before the call is answered it
    /// goes by UPDATE (RFC 3311 §5.1) or with a PRACK (RFC 3262 §5) once the descriptions of both sides
    /// are settled, where the peer allows that; else as soon as the call is up, for which this waits.
    ///
    /// # Errors
    /// [`Error::Peer`] when the peer refuses; [`Error::Ended`] when the call is over before.
    pub async fn hold(&self) -> Result<(), Error> {
        self.hold_with(Vec::new()).await
    }

    /// Puts the peer on hold with header fields of one's own on the re-INVITE.
    ///
    /// # Errors
    /// As [`hold`](Self::hold).
    pub async fn hold_with(&self, headers: Vec<(String, String)>) -> Result<(), Error> {
        self.ask(|call, reply| Command::Hold { call, on: true, headers, reply }).await
    }

    /// Ends a hold.
    ///
    /// # Errors
    /// As [`hold`](Self::hold).
    pub async fn resume(&self) -> Result<(), Error> {
        self.resume_with(Vec::new()).await
    }

    /// Ends a hold with header fields of one's own on the re-INVITE.
    ///
    /// # Errors
    /// As [`hold`](Self::hold).
    pub async fn resume_with(&self, headers: Vec<(String, String)>) -> Result<(), Error> {
        self.ask(|call, reply| Command::Hold { call, on: false, headers, reply }).await
    }

    /// Sends silence in place of the input, or stops doing so.
    pub fn mute(&self, on: bool) {
        self.commands().tell(Command::Mute { call: self.inner.key, on });
    }

    /// Presses keys: `0`–`9`, `*`, `#`, `A`–`D`. Returns when they are queued.
    ///
    /// # Errors
    /// [`Error::Config`] for other characters, [`Error::State`] when the call is not up or has not
    /// negotiated telephone-event.
    pub async fn dtmf(&self, digits: &str) -> Result<(), Error> {
        self.dtmf_by(digits, DtmfMode::Rfc4733).await
    }

    /// Presses keys in a certain way.
    ///
    /// # Errors
    /// As [`dtmf`](Self::dtmf).
    pub async fn dtmf_by(&self, digits: &str, mode: DtmfMode) -> Result<(), Error> {
        let digits = digits.to_ascii_uppercase();
        if let Some(bad) = digits.chars().find(|c| !"0123456789*#ABCD".contains(*c)) {
            let reason = format!("'{bad}' is not a key; there are 0-9, *, # and A-D");
            return Err(Error::config("digits", reason));
        }
        self.ask(|call, reply| Command::Dtmf { call, digits, mode, reply }).await
    }

    /// Prepares a data channel with this label: await it to have it open. Where the call has none yet,
    /// the peer is asked by re-INVITE. See [`DataChannel`](crate::DataChannel); those that the peer opens
    /// come as [`CallEvent::DataChannel`].
    ///
    /// # Errors
    /// Awaiting it: [`Error::State`] when the call is not encrypted by DTLS, or the peer takes no data
    /// channels; [`Error::Config`] and [`Error::Limit`] for what cannot be; [`Error::Ended`] when the call
    /// is over before.
    #[cfg(feature = "dtls")]
    pub fn data_channel(&self, label: impl Into<String>) -> crate::DataChannelBuilder {
        crate::DataChannelBuilder::new(self.clone(), label.into())
    }

    /// The figures of its media so far.
    ///
    /// # Errors
    /// [`Error::State`] when there is no media yet; [`Error::Ended`] when the call is over (its last
    /// figures are in [`CallEnd::stats`]).
    pub async fn stats(&self) -> Result<CallStats, Error> {
        self.ask(|call, reply| Command::Stats { call, reply }).await
    }

    /// How ICE stands: candidates of both sides, pairs with their round trips, which one carries the
    /// media, and why others do not.
    ///
    /// # Errors
    /// [`Error::State`] when the call does without ICE; [`Error::Ended`] when it is over.
    pub async fn ice(&self) -> Result<crate::ice::IceReport, Error> {
        self.ask(|call, reply| Command::Ice { call, reply }).await
    }

    /// The resources that [`CallEvent::ResourcesWanted`] or
    /// [`Event::ResourcesWanted`](crate::Event::ResourcesWanted) asked for are there; the peer is told
    /// (RFC 3312 §7), and the call rings when nothing else is missing.
    ///
    /// # Errors
    /// [`Error::State`] for a call without preconditions; [`Error::Ended`] when it is over.
    pub async fn preconditions_met(&self) -> Result<(), Error> {
        self.ask(|call, reply| Command::Preconditions { call, met: true, reply }).await
    }

    /// They cannot be had: the caller gets 580 (RFC 3312 §8), or the call of ours is given up.
    ///
    /// # Errors
    /// As [`preconditions_met`](Self::preconditions_met).
    pub async fn preconditions_failed(&self) -> Result<(), Error> {
        self.ask(|call, reply| Command::Preconditions { call, met: false, reply }).await
    }

    /// Prepares a request of any method within the call, e.g. INFO.
    pub fn request(&self, method: Method) -> RequestBuilder {
        let from = Sender::Call(self.inner.key);
        RequestBuilder::new(self.inner.shared.clone(), from, method, Ok(()))
    }

    pub(crate) async fn ask<T>(
        &self,
        make: impl FnOnce(CallKey, crate::command::Reply<T>) -> Command,
    ) -> Result<T, Error> {
        let key = self.inner.key;
        self.commands().ask(|reply| make(key, reply)).await
    }

    fn commands(&self) -> &crate::command::Commands {
        &self.inner.shared.commands
    }
}

/// Somebody calls.
///
/// Answer it, reject it, or let it ring; dropped unanswered it declines with 480.
#[derive(Debug)]
pub struct IncomingCall {
    pub(crate) call: Call,
    pub(crate) account: Option<AccountId>,
    pub(crate) request: SipMessage,
    pub(crate) identity: CallerIdentity,
    pub(crate) about: About,
}

/// What else is known of a call that comes in.
#[derive(Debug)]
pub(crate) struct About {
    pub(crate) related: Option<Related>,
    pub(crate) wanted: Option<Duration>,
}

impl IncomingCall {
    /// What the call's Identity header field (RFC 8224) shows about the caller.
    pub fn caller_identity(&self) -> &CallerIdentity {
        &self.identity
    }

    /// The call, e.g. to wait for its end while it rings.
    pub fn call(&self) -> &Call {
        &self.call
    }

    /// The account that is called, when it is one of ours.
    pub fn account(&self) -> Option<AccountId> {
        self.account
    }

    /// The INVITE, with all of its header fields.
    pub fn request(&self) -> &SipMessage {
        &self.request
    }

    /// The caller's URI.
    pub fn from(&self) -> &str {
        self.call.remote_uri()
    }

    /// The call of ours in whose place this one stands (Replaces, RFC 3891): that one ends when this
    /// one is answered. Only of a call whose sound the agent cannot open again; others come as
    /// [`Event::CallContinues`](crate::Event::CallContinues).
    pub fn replaces(&self) -> Option<CallId> {
        match self.about.related {
            Some(Related::Replaces(call)) => Some(CallId(call)),
            _ => None,
        }
    }

    /// The call of ours that the caller wants to take part in (Join, RFC 3911), where
    /// [`JoinPolicy::Ask`](crate::JoinPolicy::Ask) lets it through.
    pub fn joins(&self) -> Option<CallId> {
        match self.about.related {
            Some(Related::Joins(call)) => Some(CallId(call)),
            _ => None,
        }
    }

    /// After how long the caller wants to be answered by itself (Answer-Mode of RFC 5373, Call-Info
    /// `answer-after`, Alert-Info), where [`Policy::auto_answer`](crate::Policy::auto_answer) allows.
    pub fn wants_answer_after(&self) -> Option<Duration> {
        self.about.wanted
    }

    /// Sends the caller elsewhere (302): to these URIs, best first.
    ///
    /// # Errors
    /// [`Error::Config`] for a URI that cannot be called; the call still rings.
    pub fn redirect(&self, to: &[&str]) -> Result<(), Error> {
        if to.is_empty() {
            return Err(Error::config("redirect", "there is no target"));
        }
        let mut headers = Vec::new();
        for (n, uri) in to.iter().enumerate() {
            check_uri("redirect", uri)?;
            let q = match to.len() {
                1 => String::new(),
                _ => format!(";q={:.2}", 1.0 - n.min(99) as f32 / 100.0),
            };
            headers.push(("Contact".to_owned(), format!("<{uri}>{q}")));
        }
        let (call, status) = (self.call.inner.key, 302);
        self.call.commands().tell(Command::Reject { call, status, reason: None, headers });
        Ok(())
    }

    /// Tells the caller that it rings (180).
    ///
    /// # Errors
    /// [`Error::Ended`] when the caller has given up.
    pub async fn ring(&self) -> Result<(), Error> {
        self.ring_with(180, Vec::new()).await
    }

    /// Sends a provisional response with header fields of one's own.
    ///
    /// # Errors
    /// [`Error::Config`] for a status outside 101–199, [`Error::Ended`] when the caller has given up.
    pub async fn ring_with(
        &self,
        status: u16,
        headers: Vec<(String, String)>,
    ) -> Result<(), Error> {
        check_provisional(status)?;
        self.call.ask(|call, reply| Command::Ring { call, status, headers, reply }).await
    }

    /// Rings with sound before anybody has picked up (early media): an announcement or a ringing tone
    /// of one's own, and the caller is heard. The description goes reliably (RFC 3262) where the caller
    /// takes that. It may be called again with other sound; [`answer_early`](Self::answer_early) goes on
    /// with it, and [`answer`](Self::answer) changes to another in the same stream.
    ///
    /// # Errors
    /// As [`answer`](Self::answer); [`Error::State`] when the INVITE had no offer and the caller does
    /// not take reliable provisional responses.
    pub async fn ring_with_media(&self, audio: Audio) -> Result<(), Error> {
        self.progress(180, audio, Vec::new()).await
    }

    /// The same with another provisional status (183: no telephone rings, a network speaks) and header
    /// fields of one's own.
    ///
    /// # Errors
    /// As [`ring_with_media`](Self::ring_with_media); [`Error::Config`] for a status outside 101–199.
    pub async fn progress(
        &self,
        status: u16,
        audio: Audio,
        headers: Vec<(String, String)>,
    ) -> Result<(), Error> {
        check_provisional(status)?;
        check_headers(&headers)?;
        let audio = Box::new(open(&self.call.inner.shared, audio).await?);
        let make = |call, reply| Command::RingWithMedia { call, status, headers, audio, reply };
        self.call.ask(make).await
    }

    /// Answers with the sound of [`ring_with_media`](Self::ring_with_media), which goes on.
    ///
    /// # Errors
    /// [`Error::State`] when there is none; [`Error::Ended`] when the caller has given up.
    pub async fn answer_early(&self) -> Result<Call, Error> {
        let headers = Vec::new();
        self.call.ask(|call, reply| Command::AnswerEarly { call, headers, reply }).await?;
        Ok(self.call.clone())
    }

    /// Answers.
    ///
    /// # Errors
    /// [`Error::Media`] when the sound cannot be opened (the call still rings);
    /// [`Error::Limit`] when all of [`Config::rtp_ports`](crate::Config::rtp_ports) are in use (the
    /// caller has got 503 with Retry-After);
    /// [`Error::Ended`] when the caller has given up.
    pub async fn answer(&self, audio: Audio) -> Result<Call, Error> {
        self.answer_with(audio, Vec::new()).await
    }

    /// Answers with header fields of one's own on the 200.
    ///
    /// # Errors
    /// As [`answer`](Self::answer).
    pub async fn answer_with(
        &self,
        audio: Audio,
        headers: Vec<(String, String)>,
    ) -> Result<Call, Error> {
        let audio = open(&self.call.inner.shared, audio).await?;
        self.call.ask(|call, reply| Command::Answer { call, headers, audio, reply }).await?;
        Ok(self.call.clone())
    }

    /// Declines with a status of 300 to 699, e.g. 486 Busy Here.
    pub fn reject(self, status: u16) {
        // Nothing in it can be wrong.
        let _ = self.reject_with(status, None, Vec::new());
    }

    /// Declines with a reason phrase and header fields of one's own.
    ///
    /// # Errors
    /// [`Error::Config`] for a header field or reason phrase that cannot be sent; the caller gets a
    /// plain 480.
    pub fn reject_with(
        self,
        status: u16,
        reason: Option<String>,
        headers: Vec<(String, String)>,
    ) -> Result<(), Error> {
        check_headers(&headers)?;
        if let Some(reason) = &reason {
            check_phrase(reason)?;
        }
        let status = if (300..700).contains(&status) { status } else { 480 };
        let call = self.call.inner.key;
        self.call.commands().tell(Command::Reject { call, status, reason, headers });
        Ok(())
    }
}

fn check_provisional(status: u16) -> Result<(), Error> {
    match (101..200).contains(&status) {
        true => Ok(()),
        false => Err(Error::config("status", format!("{status} is not provisional (101-199)"))),
    }
}

impl CallEnd {
    pub(crate) fn agent_gone() -> Self {
        Self {
            by: crate::Party::Local,
            status: None,
            reason: "the agent has ended".into(),
            duration: std::time::Duration::ZERO,
            stats: None,
            message: None,
            failed: false,
            ice: None,
        }
    }

    /// The end as an error: why a call was not answered.
    pub(crate) fn error(&self) -> Error {
        match (self.status, self.by) {
            _ if self.failed => Error::State(self.reason.clone()),
            (Some(408), crate::Party::Network) => Error::Timeout(self.reason.clone()),
            (Some(status), _) if status >= 300 => self.refusal(status),
            (_, crate::Party::Network) => Error::Network(self.reason.clone()),
            _ => Error::Ended("the call"),
        }
    }
}
