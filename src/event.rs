//! What happens, as the application sees it.

use crate::transfer::TransferRequest;
use crate::{
    AccountId, Call, CallId, CertificateRequest, CredentialsRequest, IncomingCall, IncomingMessage,
    IncomingRequest, IncomingSubscription, MessageReport, SipMessage,
};
use std::time::Duration;
use tiny_media::StreamStats;

/// Something that happened to the agent; read with
/// [`UserAgent::next_event`](crate::UserAgent::next_event).
#[derive(Debug)]
#[non_exhaustive]
pub enum Event {
    /// Somebody calls. Dropping it unanswered declines with 480.
    IncomingCall(IncomingCall),
    /// A call goes on as another one: a peer has transferred us, or has sent somebody in its place.
    /// The new call is placed or answered by the agent, with the sound of the old one; dropping it
    /// hangs up.
    CallContinues {
        /// The call that it comes from, which may have ended already.
        old: CallId,
        /// The new call.
        call: Call,
    },
    /// Somebody takes part in a call of ours ([`JoinPolicy::Mix`](crate::JoinPolicy::Mix)), or has
    /// called a conference that is [open to callers](crate::ConferenceBuilder::open_to_callers). It is
    /// answered by the agent; dropping `call` hangs up, dropping `conference` ends the mixing.
    CallJoins {
        /// The conference that the call is mixed into.
        conference: crate::Conference,
        /// The call that it names; `None` when it has called the conference.
        joined: Option<CallId>,
        /// The new call.
        call: Call,
    },
    /// A NOTIFY that nobody has subscribed to, of a package that is taken all the same
    /// ([`unsolicited_packages`](tiny_sip::Config::unsolicited_packages)): messages waiting, from a PBX.
    /// It was answered with 200. Who sent it is not proven.
    Notified {
        /// Whom it is for.
        account: Option<AccountId>,
        /// What it tells.
        notification: crate::Notification,
    },
    /// Somebody asks us, outside of any call, to call somebody
    /// ([`ReferralPolicy::Ask`](crate::ReferralPolicy::Ask)). Without a word it runs out after
    /// [`refer_silence`](tiny_sip::Config::refer_silence).
    ReferRequested(TransferRequest),
    /// A policy of the account has kept a call from ringing, or has let it ring long enough.
    CallRefused {
        /// The account.
        account: AccountId,
        /// The INVITE.
        request: SipMessage,
        /// What it was answered with.
        status: u16,
        /// Where it was sent, of a 302.
        forwarded_to: Option<String>,
    },
    /// Somebody calls who wants network resources reserved before anybody is alerted (RFC 3312), and
    /// the account's policy is to ask: say [`Call::preconditions_met`](crate::Call::preconditions_met) or
    /// [`preconditions_failed`](crate::Call::preconditions_failed). [`Event::IncomingCall`] follows when
    /// the caller's are there, too.
    ResourcesWanted {
        /// The call. Dropping it declines.
        call: Call,
    },
    /// Somebody sent a MESSAGE. Dropping it accepts with 200.
    Message(IncomingMessage),
    /// What became of a message of ours (IMDN, RFC 5438): delivered, displayed, failed. The report
    /// is accepted with 200.
    MessageReported(MessageReport),
    /// Somebody types a message to us, or does not any more (RFC 3994).
    Composing {
        /// The account that the message will be for.
        account: Option<AccountId>,
        /// The call that it will come in.
        call: Option<CallId>,
        /// Who: a URI.
        from: String,
        /// Typing.
        active: bool,
    },
    /// A request that the agent would answer by itself, with
    /// [`ask_requests`](tiny_sip::Config::ask_requests): OPTIONS, a method that it does not know, an
    /// INFO whose body it cannot read, a REFER or NOTIFY that belongs to nothing. In or out of a call.
    /// Dropping it lets the agent answer by itself.
    Request(IncomingRequest),
    /// A message that came, with [`show_received`](tiny_sip::Config::show_received), and belongs to
    /// no call, or to one that is over: the response to our BYE, say. See
    /// [`CallEvent::Received`].
    Received {
        /// The call that it belonged to.
        call: Option<CallId>,
        /// The account that it is for.
        account: Option<AccountId>,
        /// The request or response.
        message: SipMessage,
    },
    /// A server asks an account for credentials that the application keeps
    /// ([`AccountBuilder::ask_credentials`](crate::AccountBuilder::ask_credentials)).
    CredentialsWanted(CredentialsRequest),
    /// The certificate of a caller is to be fetched, before its call rings
    /// ([`Config::identity`](crate::Config::identity)).
    CertificateWanted(CertificateRequest),
    /// A server that showed with its answer that it does not know the password (RFC 7616 §3.5). It
    /// is shown nothing more before it asks again.
    ServerUnproven {
        /// The account.
        account: AccountId,
        /// The realm.
        realm: String,
    },
    /// Somebody subscribes to our state. Dropping it undecided refuses with 403.
    Subscription(IncomingSubscription),
    /// An account is registered, or its registration was refreshed.
    Registered {
        /// The account.
        account: AccountId,
        /// What the registrar granted, in seconds.
        expires: u32,
        /// The contact URI that is registered.
        contact: String,
        /// The registrar's 200.
        response: SipMessage,
    },
    /// An account is not registered: refused, or the registrar is silent.
    RegistrationFailed {
        /// The account.
        account: AccountId,
        /// The registrar's status; `None` when there was no answer.
        status: Option<u16>,
        /// Why.
        reason: String,
        /// When it is tried again; `None` when it is not (a wrong password).
        retry_in: Option<Duration>,
        /// The registrar's refusal.
        response: Option<SipMessage>,
    },
    /// One way to the registrar is gone (its connection ended, a keep-alive was not answered) or
    /// cannot be had; it is being tried again. Where the account has several flows, the others go on.
    FlowFailed {
        /// The account.
        account: AccountId,
        /// Which of its flows; 1 where there is only one.
        reg_id: u32,
        /// Why.
        reason: String,
        /// Whether calls still come in over another flow.
        reachable: bool,
    },
    /// An account has unregistered.
    Unregistered {
        /// The account.
        account: AccountId,
    },
}

/// Something that happened to a call; read with [`Call::next_event`](crate::Call::next_event).
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum CallEvent {
    /// The peer's telephone rings (180), or a proxy says how it goes (181, 182, 183).
    Progress {
        /// The response.
        response: SipMessage,
    },
    /// Sound flows before the answer: the callee's announcement or ringing tone is heard (of a call
    /// that we place; once more when another branch of a fork is heard in its place), or the caller
    /// hears ours ([`IncomingCall::ring_with_media`](crate::IncomingCall::ring_with_media)).
    EarlyMedia {
        /// Its codec.
        codec: CodecInfo,
    },
    /// The callee has described itself, and our network resources are still to be reserved (RFC 3312):
    /// say [`Call::preconditions_met`](crate::Call::preconditions_met) when they are.
    ResourcesWanted,
    /// The call is up.
    Answered {
        /// The codec of the call's sound.
        codec: Option<CodecInfo>,
        /// The 200 response (of a call that we placed).
        response: Option<SipMessage>,
    },
    /// The handshake of DTLS is done: the peer holds the certificate that its session description
    /// announced, and from now on sound passes (RFC 5763). Another follows when the peer changes.
    Secured {
        /// `dtls:` and the SRTP suite, as [`CodecInfo::srtp`] says it from now on.
        srtp: String,
        /// The cipher suite of the handshake, by its registered name.
        cipher: String,
        /// The fingerprint that the certificate matched: `sha-256 AB:CD:…`. Two users who compare
        /// theirs by voice need not trust the signalling.
        fingerprint: String,
    },
    /// The peer has opened a data channel (RFC 8831), or descriptions have set one up (RFC 8864): of the
    /// peer's, or of our [first offer](crate::CallBuilder::data_channel). Dropping it closes it.
    #[cfg(feature = "dtls")]
    DataChannel(crate::DataChannel),
    /// ICE has found a way, or media goes another one from now on (RFC 8445).
    IcePath {
        /// The way: our address, the peer's, what kind they are, the round trip.
        pair: Box<crate::ice::PairReport>,
        /// Why this one.
        reason: crate::ice::SwitchReason,
    },
    /// ICE was offered, or was wanted, and the two sides did not agree on it: media goes to the address
    /// of the peer's session description.
    WithoutIce {
        /// Why: the peer does not use ICE, or something between us has changed the addresses.
        reason: String,
    },
    /// The peer has yet to hear of something, and nothing is under way that would tell it
    /// ([`Call::set_direction`](crate::Call::set_direction)): say
    /// [`Call::renegotiate`](crate::Call::renegotiate). Told once, and once more if it is still so after
    /// the next exchange (W3C WebRTC §4.7.3).
    NegotiationNeeded,
    /// The peer put the call on hold, or we did.
    Held {
        /// Who did.
        by: Party,
    },
    /// The call goes on.
    Resumed {
        /// Who resumed it.
        by: Party,
    },
    /// The peer asks us to call somebody else, and the account's policy is to ask.
    TransferRequested(TransferRequest),
    /// The call was transferred: the peer has got through to somebody else (by us), or we have (by
    /// the peer; [`Event::CallContinues`] has brought the new call).
    Transferred {
        /// Who asked for it.
        by: Party,
    },
    /// A transfer has failed; the call goes on.
    TransferFailed {
        /// Who asked for it.
        by: Party,
        /// The status that ended it, if one did.
        status: Option<u16>,
        /// Reason phrase or one sentence.
        reason: String,
    },
    /// The call is redirected, and the account's policy is to ask: go on with
    /// [`Call::follow_redirect`](crate::Call::follow_redirect), or hang up.
    Redirected {
        /// The 3xx, or a 485.
        response: SipMessage,
        /// Where it could go, best first.
        targets: Vec<String>,
    },
    /// The peer sent a request within the call: an INFO, or the INVITE that changes its media. It is
    /// answered by the agent; here its header fields and body are to be read.
    Request {
        /// The request.
        request: SipMessage,
    },
    /// A message of this call came, with [`show_received`](tiny_sip::Config::show_received): each
    /// request (ACK, BYE, CANCEL, PRACK, UPDATE, NOTIFY …) before it takes effect, and each response,
    /// provisional ones and challenges too. A 2xx of an INVITE that is repeated comes again. The
    /// INVITE itself is [`IncomingCall::request`].
    Received {
        /// The request or response.
        message: SipMessage,
    },
    /// A key was pressed at the other end.
    Dtmf {
        /// `0`–`9`, `*`, `#`, `A`–`D`.
        digit: char,
        /// How long.
        duration: Duration,
        /// How it came.
        via: DtmfMode,
    },
    /// The input has come to its end (a file that is not repeated).
    InputEnded,
    /// No media has come for a while.
    MediaTimeout,
    /// The call is over; the last event.
    Ended(CallEnd),
}

/// One of the two ends of a call, or what lies between.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Party {
    /// This side.
    Local,
    /// The other side.
    Remote,
    /// Neither: the path broke or nobody answered.
    Network,
}

impl Party {
    /// `local`, `remote` or `network`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Remote => "remote",
            Self::Network => "network",
        }
    }
}

/// How a digit travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum DtmfMode {
    /// As telephone-event packets (RFC 4733).
    #[default]
    Rfc4733,
    /// As an INFO request with `application/dtmf-relay`.
    Info,
    /// As tones in the sound itself.
    Inband,
}

impl DtmfMode {
    /// `rfc4733`, `info` or `inband`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rfc4733 => "rfc4733",
            Self::Info => "info",
            Self::Inband => "inband",
        }
    }
}

impl From<tiny_media::DtmfVia> for DtmfMode {
    fn from(via: tiny_media::DtmfVia) -> Self {
        match via {
            tiny_media::DtmfVia::Rfc4733 => Self::Rfc4733,
            tiny_media::DtmfVia::Inband => Self::Inband,
        }
    }
}

/// The codec in use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CodecInfo {
    /// Its SDP name, as we spell it.
    pub name: String,
    /// PCM frames a second, in Hz.
    pub sample_rate: u32,
    /// PCM channels.
    pub channels: u16,
    /// The address that the peer wants its media at, as `address:port`.
    pub remote: String,
    /// How its packets are encrypted and with which suite, e.g. `sdes:AES_CM_128_HMAC_SHA1_80`; `None`
    /// when they are not.
    pub srtp: Option<String>,
    /// Whether ICE finds the way: both sides have it. Then [`CallEvent::IcePath`] says where media
    /// goes, and `remote` only where it would go without.
    pub ice: bool,
}

/// How a call ended.
#[derive(Debug, Clone)]
pub struct CallEnd {
    /// Who ended it.
    pub by: Party,
    /// The SIP status, of a call that was refused.
    pub status: Option<u16>,
    /// Why.
    pub reason: String,
    /// How long the call was up; zero when it was never answered.
    pub duration: Duration,
    /// The figures of its media, if there was any.
    pub stats: Option<Box<StreamStats>>,
    /// The message that ended it, if one did.
    pub message: Option<SipMessage>,
    /// This side ended it because it could not be carried on: `reason` says why.
    pub failed: bool,
    /// What [`Call::ice`](crate::Call::ice) would tell, of a call that ended as ICE found no way for its
    /// media: all candidates and pairs, and why each failed. `reason` names the best of them
    /// ([`max_named_pairs`](crate::ice::Config::max_named_pairs)).
    pub ice: Option<Box<crate::ice::IceReport>>,
}
