//! What goes into an endpoint and what comes out of it: inputs, events, keys, accounts, errors.

use super::HeaderRule;
use super::auth::{AuthPolicy, CredentialsRequest};
use super::secagree::SecurityMechanism;
use super::{
    PublicationEvent, PublicationKey, SubscriptionEvent, SubscriptionKey, WatcherEvent, WatcherKey,
};
use crate::aka::Usim;
use crate::message::Message;
use crate::method::Method;
use crate::usage::refer::ReferOutcome;
use crate::usage::replaces::Related;
use bytes::Bytes;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tiny_sak::{Flow, Secret, Transport};

slotmap::new_key_type! {
    /// Names an account.
    pub struct AccountKey;
    /// Names a call. Once `Event::Ended` was given, the key is stale.
    pub struct CallKey;
    /// Names a request of ours that is not a call's INVITE, re-INVITE or BYE.
    pub struct RequestKey;
    /// Names a received request that waits for [`respond`](super::Endpoint::respond).
    pub struct ServerKey;
    /// Names a question of [`Event::Resolve`] or [`Event::CredentialsWanted`].
    pub struct QueryKey;
}

/// Extra header fields, by name and value, in the order in which they are to be sent.
pub type Headers = Vec<(String, String)>;

/// A message body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Body {
    /// Value of Content-Type, for instance `application/sdp`.
    pub content_type: String,
    /// The bytes.
    pub data: Bytes,
}

impl Body {
    /// A body of this type.
    pub fn new(content_type: impl Into<String>, data: impl Into<Bytes>) -> Self {
        Self { content_type: content_type.into(), data: data.into() }
    }

    /// A session description.
    pub fn sdp(data: impl Into<Bytes>) -> Self {
        Self::new("application/sdp", data)
    }
}

/// A user name and password, for one realm or for any.
#[derive(Debug, Clone)]
pub struct Credentials {
    /// The realm they are for; `None` for every realm that has none of its own.
    pub realm: Option<String>,
    /// The user name.
    pub username: String,
    /// The password.
    pub password: Secret,
}

/// Who we are.
#[derive(Debug, Clone, Default)]
pub struct Account {
    /// The address of record, for instance `sip:alice@example.com`: From of every request.
    pub aor: String,
    /// Display name.
    pub display: Option<String>,
    /// What to answer challenges with.
    pub credentials: Vec<Credentials>,
    /// How challenges are answered.
    pub auth: AuthPolicy,
    /// Mechanisms to agree on with the next hop (RFC 3329), most preferred first. Default: none, and
    /// no agreement is asked for.
    pub security: Vec<SecurityMechanism>,
    /// Answers AKA challenges (RFC 3310); without one they go to the owner, if it is to be asked.
    pub usim: Option<Usim>,
    /// Outbound proxies as URIs (`sip:proxy.example.com;lr`): the pre-loaded route of requests
    /// outside dialogs (RFC 3261 §8.1.2).
    pub route: Vec<String>,
    /// Transport to use where the URI does not say one.
    pub transport: Option<Transport>,
    /// Header fields added to every request outside dialogs.
    pub headers: Headers,
    /// Header fields on messages of this account, in and out of dialogs.
    pub header_rules: Vec<HeaderRule>,
    /// User part of the Contact; the one of the address of record by default.
    pub contact_user: Option<String>,
    /// Parameters of the Contact header field (after the angle brackets), for instance
    /// `("+sip.instance", "\"<urn:uuid:…>\"")`; an empty value gives a flag.
    pub contact_params: Vec<(String, String)>,
    /// Names this device, whatever its address: a URN, for instance
    /// `urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6`, that stays the same for ever (RFC 5626
    /// §4.1). Sent as `+sip.instance` with every registration.
    pub instance: Option<String>,
    /// Asks for RFC 5626: calls come in over the flow that registered, and its end is noticed. Needs
    /// an `instance`.
    pub outbound: bool,
    /// Edge proxies, up to [`Config::max_flows`](super::Config::max_flows): one flow is kept through each (RFC 5626 §4.2.1), which implies
    /// `outbound`. They stand in place of `route`.
    pub flows: Vec<String>,
    /// Asks for a GRUU (RFC 5627) and uses it as Contact of dialogs. Needs an `instance`.
    pub gruu: bool,
    /// How a push service wakes this device (RFC 8599).
    pub push: Option<Push>,
    /// Further contacts that go along with every REGISTER: values of Contact without `expires`, for
    /// instance `<sip:alice@192.0.2.7>;q=0.5`.
    pub also: Vec<String>,
}

/// Push parameters of a registration (RFC 8599 §4.1.1, §14): told to the registrar, which asks the
/// push service to wake us before it sends a request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Push {
    /// `pn-provider`: `apns`, `fcm`, `webpush` …
    pub provider: String,
    /// `pn-prid`: the device's identifier or token at the provider.
    pub prid: String,
    /// `pn-param`: what the provider needs besides, for instance `ABCD1234.com.example.app.voip`.
    pub param: Option<String>,
    /// `pn-purr`: the value that the proxy gave for wake-ups inside dialogs.
    pub purr: Option<String>,
}

/// What a registrar gave an account.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RegistrationInfo {
    /// The route of requests outside dialogs: the outbound proxy and Service-Route (RFC 3608).
    pub route: Vec<String>,
    /// The public GRUU (RFC 5627), if one was asked for and given.
    pub public_gruu: Option<String>,
    /// The temporary GRUU.
    pub temporary_gruu: Option<String>,
    /// P-Associated-URI (RFC 7315 §4.1): the identities that are registered with this one.
    pub associated: Vec<String>,
    /// The flows, registered or not.
    pub flows: Vec<FlowInfo>,
}

/// One flow of a registration.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct FlowInfo {
    /// Its number.
    pub reg_id: u32,
    /// The way, while it is registered.
    pub flow: Option<Flow>,
    /// The registrar keeps to RFC 5626 with it.
    pub outbound: bool,
    /// The Contact URI that is bound.
    pub contact: String,
}

/// A binding to keep (RFC 3261 §10).
#[derive(Debug, Clone, Default)]
pub struct Registration {
    /// The registrar's URI: `sip:example.com`.
    pub registrar: String,
    /// Lifetime to ask for, in seconds.
    pub expires: u32,
    /// Extra header fields.
    pub headers: Headers,
}

/// A call to make.
#[derive(Debug, Clone, Default)]
pub struct Outgoing {
    /// Who to call: a URI.
    pub to: String,
    /// Extra header fields.
    pub headers: Headers,
    /// The offer; `None` asks the callee for one (late offer).
    pub body: Option<Body>,
    /// A 3xx is told by [`Event::Redirected`] and waits for a word; else it ends the call.
    pub redirects: bool,
    /// Header fields on messages of this call: see
    /// [`set_header_rules`](super::Endpoint::set_header_rules).
    pub rules: Vec<HeaderRule>,
    /// Our half of Session-ID, of a call that continues another (RFC 7989 §6); `None` draws one.
    pub session: Option<u128>,
}

/// Where a request can be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Target {
    /// The transport.
    pub transport: Transport,
    /// The next hop.
    pub addr: SocketAddr,
    /// Our own address as this target sees it: goes into Via and Contact.
    pub local: SocketAddr,
}

/// Bytes to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transmit {
    /// Which way. For a stream the driver opens a connection to `flow.remote` if there is none.
    pub flow: Flow,
    /// The SIP domain that a TLS server must prove to be (RFC 5922 §7.3), and the host that a
    /// WebSocket server is asked for. `None` where the connection that there is will do.
    pub name: Option<Arc<str>>,
    /// One datagram, or a piece of the stream.
    pub data: Bytes,
}

/// Something that happened outside.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Input {
    /// One datagram (or one WebSocket message).
    Datagram {
        /// Where it came from.
        flow: Flow,
        /// Its bytes.
        data: Bytes,
    },
    /// Some bytes of a stream.
    Stream {
        /// The connection.
        flow: Flow,
        /// The bytes, cut anywhere.
        data: Bytes,
    },
    /// A connection closed or failed: its transactions fail at once.
    StreamClosed {
        /// The connection.
        flow: Flow,
    },
    /// Something could not be sent: ICMP unreachable, connection refused, time-out.
    SendFailed {
        /// The flow of the [`Transmit`].
        flow: Flow,
        /// What the system said.
        error: std::io::ErrorKind,
    },
    /// The same in the driver's words: why a connection could not be opened, say.
    Unreachable {
        /// The flow of the [`Transmit`].
        flow: Flow,
        /// One sentence for people.
        reason: String,
    },
    /// The answer to [`Event::Resolve`], in order of preference; empty when nothing was found.
    Resolved {
        /// The question.
        query: QueryKey,
        /// The answer.
        targets: Vec<Target>,
    },
    /// The other answer to [`Event::Resolve`]: there are no targets, and this is why.
    Unresolved {
        /// The question.
        query: QueryKey,
        /// One sentence for people.
        reason: String,
    },
    /// The deadline that `poll` gave has come.
    Timeout,
}

/// Who ended a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum EndedBy {
    /// We did.
    Local,
    /// The peer did, or refused.
    Remote,
    /// Nobody answered, or the network failed.
    Network,
}

/// Why a request of ours has no final response to show, or not the one wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Cause {
    /// No response in 64*T1.
    Timeout,
    /// No target, or it could not be reached.
    Network,
    /// The peer refused.
    Peer,
    /// Credentials are missing or wrong.
    Unauthorized,
}

/// Something that the owner should know or decide.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Event {
    /// Where is this host? Answer with [`Input::Resolved`] (RFC 3263).
    Resolve {
        /// To be given back.
        query: QueryKey,
        /// Host name or IP literal (IPv6 without brackets).
        host: String,
        /// Port, where the URI has one.
        port: Option<u16>,
        /// Transport, where the URI or the account says one.
        transport: Option<Transport>,
        /// A `sips:` URI: TLS is a must.
        secure: bool,
        /// The SIP domain that a TLS server must prove to be (RFC 5922 §7.3), whatever is found.
        name: Option<Arc<str>>,
    },
    /// The registrar holds our binding (after each refresh, too).
    Registered {
        /// Whose.
        account: AccountKey,
        /// Lifetime granted, in seconds.
        expires: u32,
        /// Our Contact URI.
        contact: String,
        /// Which of the account's flows (1 where there is one).
        reg_id: u32,
        /// The registrar keeps to RFC 5626.
        outbound: bool,
        /// The 200.
        response: Message,
    },
    /// A server asks for what the account does not have (with
    /// [`AuthPolicy::ask`](super::AuthPolicy::ask)). Answer with
    /// [`give_credentials`](super::Endpoint::give_credentials); the request waits
    /// `Config::credentials_timeout`.
    CredentialsWanted {
        /// To be given back.
        query: QueryKey,
        /// Whose.
        account: AccountKey,
        /// What is asked for.
        wanted: Box<CredentialsRequest>,
    },
    /// The proof that a server gave with its 2xx (`rspauth`, RFC 7616 §3.5) is wrong: it does not
    /// know the password. Its next challenge is answered anew.
    ServerUnproven {
        /// Whose.
        account: AccountKey,
        /// The realm.
        realm: String,
    },
    /// The binding is removed.
    Unregistered {
        /// Whose.
        account: AccountKey,
    },
    /// Registering, refreshing or unregistering failed.
    RegistrationFailed {
        /// Whose.
        account: AccountKey,
        /// The status of the refusal.
        status: Option<u16>,
        /// One sentence.
        reason: String,
        /// What kind of failure.
        cause: Cause,
        /// When it will be tried again; `None`: not without a new `register`.
        retry_in: Option<Duration>,
        /// The refusal.
        response: Option<Message>,
    },
    /// One of several flows could not be registered; the others are up or being tried.
    FlowUnavailable {
        /// Whose.
        account: AccountKey,
        /// Which.
        reg_id: u32,
        /// The status of the refusal.
        status: Option<u16>,
        /// One sentence.
        reason: String,
        /// What kind of failure.
        cause: Cause,
        /// When it will be tried again; `None`: not without a new `register`.
        retry_in: Option<Duration>,
    },
    /// Somebody calls. Answer with `provisional`, `accept` or `reject`.
    Incoming {
        /// The new call.
        call: CallKey,
        /// The INVITE.
        request: Message,
        /// Where it came in.
        flow: Flow,
        /// The call of ours that it is about (Replaces, Join).
        related: Option<Related>,
    },
    /// A provisional response other than 100, of any branch of a fork (its To tag tells which).
    Progress {
        /// The call.
        call: CallKey,
        /// The response.
        response: Message,
        /// It came reliably (RFC 3262), so that a body is the offer or the answer itself.
        reliable: bool,
        /// Our INVITE had no offer and this reliable response has one: `answer_early` must give the
        /// answer.
        needs_answer: bool,
        /// Its PRACK waits for the offer that was announced by `offer_in_prack`: `prack` sends it.
        may_offer: bool,
    },
    /// Our PRACK with an offer was answered or refused: the body of a 2xx is the answer.
    PrackAnswered {
        /// The call.
        call: CallKey,
        /// The final response; `None` when none came.
        response: Option<Message>,
    },
    /// The PRACK of a reliable provisional response of ours came.
    ProvisionalConfirmed {
        /// The call.
        call: CallKey,
        /// The PRACK, when it has the answer to the offer of that response.
        prack: Option<Message>,
    },
    /// The session must be refreshed by a re-INVITE with the current description (RFC 4028 §7.4; the
    /// peer does not take UPDATE): `reinvite` does it. Without it the call ends at its expiry.
    RefreshDue {
        /// The call.
        call: CallKey,
    },
    /// The callee answered. The ACK is sent unless `needs_answer`.
    Answered {
        /// The call.
        call: CallKey,
        /// The 2xx.
        response: Message,
        /// The 2xx carries an offer: `acknowledge` must give the answer.
        needs_answer: bool,
    },
    /// Our 2xx to the caller, or its ACK to us, does not arrive, and the caller knows Replaces:
    /// [`regain`](super::Endpoint::regain) calls it. Without that the 2xx is repeated as ever.
    AnswerLost {
        /// The call.
        call: CallKey,
    },
    /// The ACK to our 2xx came: the call is established.
    Confirmed {
        /// The call.
        call: CallKey,
        /// The ACK, when it has a body (the answer to our offer).
        ack: Option<Message>,
    },
    /// The peer wants to change the session: a re-INVITE, or the offer in an UPDATE (RFC 3311) or
    /// PRACK (RFC 3262 §5). Answer with `accept_reinvite` or `reject_reinvite`.
    Reinvite {
        /// The call.
        call: CallKey,
        /// The request; in an early dialog its From tag tells which fork.
        request: Message,
    },
    /// The ACK to our 2xx to a re-INVITE came.
    ReinviteConfirmed {
        /// The call.
        call: CallKey,
        /// The ACK, when it has a body (the answer to our offer).
        ack: Option<Message>,
    },
    /// The peer took our re-INVITE.
    ReinviteAccepted {
        /// The call.
        call: CallKey,
        /// The 2xx.
        response: Message,
        /// Our re-INVITE had no body, so that the 2xx carries an offer: `acknowledge` must give
        /// the answer.
        needs_answer: bool,
    },
    /// The peer refused our re-INVITE; the session stays as it was.
    ReinviteRejected {
        /// The call.
        call: CallKey,
        /// Status of the refusal (408 and 503 stand for "no response" and "network").
        status: u16,
        /// Reason phrase.
        reason: String,
        /// The refusal, if there was one.
        response: Option<Message>,
    },
    /// The peer withdrew its re-INVITE (CANCEL): it was answered 487 and the session stays as it was.
    ReinviteCancelled {
        /// The call.
        call: CallKey,
    },
    /// The call is over; its key is stale now.
    Ended {
        /// The call.
        call: CallKey,
        /// Who ended it.
        by: EndedBy,
        /// Status that ended it, if one did.
        status: Option<u16>,
        /// Reason phrase or one sentence.
        reason: String,
        /// The response (a 3xx has Contacts), BYE or CANCEL that ended it.
        message: Option<Message>,
    },
    /// Our INVITE is redirected (3xx), or refused where a 3xx has sent it, and
    /// [`Outgoing::redirects`] asked for this. Go on with
    /// [`retarget`](super::Endpoint::retarget), or end with
    /// [`end_redirected`](super::Endpoint::end_redirected).
    Redirected {
        /// The call.
        call: CallKey,
        /// The 3xx with its Contacts.
        response: Message,
    },
    /// The peer will do what our REFER asks for.
    ReferAccepted {
        /// The call, which may have ended already.
        call: CallKey,
    },
    /// What the peer has got so far where our REFER sent it: a 1xx.
    ReferProgress {
        /// The call, which may have ended already.
        call: CallKey,
        /// The status.
        status: u16,
        /// Reason phrase.
        reason: String,
    },
    /// What became of our REFER.
    ReferEnded {
        /// The call, which may have ended already.
        call: CallKey,
        /// The outcome.
        outcome: ReferOutcome,
    },
    /// A REFER outside of calls that we took or were asked about is of no interest any more: nobody
    /// has answered it in time, or its subscription has ended.
    ReferralAbandoned {
        /// What [`Referred`](Self::Referred) named it by.
        call: CallKey,
    },
    /// The peer asks us to call somebody (REFER). Answer with `accept_referral` or
    /// `refuse_referral`, then tell with `notify_referral` how it goes.
    Referred {
        /// The call; of a REFER outside of calls, a key that names the referral and no call.
        call: CallKey,
        /// The URI of Refer-To, with its header part.
        to: String,
        /// The REFER.
        request: Message,
    },
    /// A request of another kind: answer with [`respond`](super::Endpoint::respond).
    Request {
        /// To answer with.
        key: ServerKey,
        /// The call it belongs to, if it came inside one.
        call: Option<CallKey>,
        /// The request.
        request: Message,
        /// Where it came in.
        flow: Flow,
    },
    /// A request or a response that came, with
    /// [`Config::show_received`](super::Config::show_received); what it causes follows.
    Received {
        /// The call it belongs to, which may be over.
        call: Option<CallKey>,
        /// The account it belongs to.
        account: Option<AccountKey>,
        /// The message.
        message: Message,
    },
    /// The final response to a request of ours, whatever its status; the key is stale now.
    Response {
        /// The request.
        key: RequestKey,
        /// The response.
        response: Message,
    },
    /// A request of ours has no final response; the key is stale now.
    RequestFailed {
        /// The request.
        key: RequestKey,
        /// One sentence.
        reason: String,
        /// What kind of failure.
        cause: Cause,
    },
    /// About a subscription of ours.
    Subscription {
        /// Which.
        subscription: SubscriptionKey,
        /// What.
        event: SubscriptionEvent,
    },
    /// About a peer's subscription to our state.
    Watcher {
        /// Which.
        watcher: WatcherKey,
        /// What.
        event: WatcherEvent,
    },
    /// About state that we publish.
    Publication {
        /// Which.
        publication: PublicationKey,
        /// What.
        event: PublicationEvent,
    },
    /// What comes over this connection cannot be cut into messages any more (RFC 3261 §18.3), or a
    /// message took longer than [`Config::stream_patience`](super::Config::stream_patience): close it
    /// as soon as what was handed out for it is written.
    StreamBroken {
        /// The connection.
        flow: Flow,
    },
    /// A peer that connected to us offers its connection for requests to this address too
    /// (RFC 5923 §8.1): the driver grants it where the peer has proved who it is.
    Alias {
        /// The connection.
        flow: Flow,
        /// The address in the peer's Via.
        sent_by: SocketAddr,
    },
    /// A flow over which an account is registered closed or failed; it is being registered anew.
    FlowFailed {
        /// Whose.
        account: AccountKey,
        /// The flow.
        flow: Flow,
        /// Which of the account's flows.
        reg_id: u32,
    },
}

/// Why a command was refused. Nothing was sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The key names nothing any more.
    #[error("this {0} is over")]
    Stale(&'static str),
    /// The command does not fit what the call or request is doing.
    #[error("{0}")]
    State(&'static str),
    /// A URI cannot be read or used.
    #[error("bad URI {uri:?}: {why}")]
    Uri {
        /// The text.
        uri: String,
        /// What is wrong.
        why: &'static str,
    },
    /// A header field, or what goes into one, cannot be sent as it is.
    #[error("bad header field {name:?}: {why}")]
    Header {
        /// Its name.
        name: String,
        /// What is wrong.
        why: String,
    },
    /// The status does not fit the command.
    #[error("status {0} cannot be used here")]
    Status(u16),
    /// The method has a command of its own, or none.
    #[error("{0} cannot be sent as a plain request")]
    Method(Method),
    /// A limit of the [`Config`](super::Config) is reached.
    #[error("limit reached: {0}")]
    Limit(&'static str),
}

/// Live figures and counters of drops.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Client transactions alive.
    pub client_transactions: usize,
    /// Server transactions alive.
    pub server_transactions: usize,
    /// Dialogs alive.
    pub dialogs: usize,
    /// Calls alive.
    pub calls: usize,
    /// Incoming calls that wait to be answered.
    pub ringing: usize,
    /// Timers pending.
    pub timers: usize,
    /// Requests that wait for a resolution, or for credentials.
    pub pending: usize,
    /// Requests of ours outside INVITE usages.
    pub requests: usize,
    /// Subscriptions of ours.
    pub subscriptions: usize,
    /// Peers' subscriptions to our state.
    pub watchers: usize,
    /// State of ours that is published.
    pub publications: usize,
    /// Streams with a receive buffer.
    pub streams: usize,
    /// Messages received whole.
    pub received: u64,
    /// Messages handed out, repetitions included.
    pub sent: u64,
    /// Repetitions of requests and responses sent by timers.
    pub retransmitted: u64,
    /// Datagrams and frames that are no SIP message and get no answer.
    pub dropped_garbage: u64,
    /// Unparsable requests that were answered.
    pub rejected_malformed: u64,
    /// Responses that match no transaction.
    pub dropped_responses: u64,
    /// ACKs that match nothing.
    pub dropped_acks: u64,
    /// Requests refused because of a limit.
    pub rejected_limit: u64,
    /// Stream bytes dropped because of a limit or a framing error.
    pub dropped_streams: u64,
    /// Requests that came with an out-of-order CSeq.
    pub rejected_cseq: u64,
    /// Proofs of servers (`rspauth`) that were wrong.
    pub rejected_rspauth: u64,
    /// Merged requests answered 482.
    pub rejected_merged: u64,
}
