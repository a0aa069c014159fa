//! What handles say to the engine. Private: the handles are the interface.

use crate::account::AccountSpec;
use crate::audio::OpenAudio;
use crate::conference::{ConferenceCommand, ConferenceId};
use crate::events::EventCommand;
use crate::network::{NetworkNews, NetworkReport};
use crate::{Call, CallStats, DtmfMode, Error, IncomingCall, SipMessage, Srtp, Transfer};
use std::time::Duration;
use tiny_sip::header::SessionId;
use tiny_sip::{
    AccountKey, CallKey, CredentialsReply, HeaderRule, Method, QueryKey, RegistrationInfo,
    ServerKey,
};
use tokio::sync::oneshot;

pub(crate) type Reply<T> = oneshot::Sender<Result<T, Error>>;
pub(crate) type Headers = Vec<(String, String)>;

/// A content type and the bytes.
#[derive(Debug, Clone)]
pub(crate) struct Content {
    pub(crate) content_type: String,
    pub(crate) data: Vec<u8>,
}

#[derive(Debug)]
pub(crate) enum Command {
    AddAccount {
        spec: Box<AccountSpec>,
        reply: Reply<AccountKey>,
    },
    RemoveAccount {
        account: AccountKey,
    },
    Register {
        account: AccountKey,
        reply: Reply<Registered>,
    },
    Unregister {
        account: AccountKey,
        reply: Reply<()>,
    },
    Registration {
        account: AccountKey,
        reply: Reply<RegistrationInfo>,
    },
    Wake {
        account: AccountKey,
        patience: Duration,
        reply: Reply<IncomingCall>,
    },
    Call {
        call: Box<PlaceCall>,
        reply: Reply<Call>,
    },
    Ring {
        call: CallKey,
        status: u16,
        headers: Headers,
        reply: Reply<()>,
    },
    RingWithMedia {
        call: CallKey,
        status: u16,
        headers: Headers,
        audio: Box<OpenAudio>,
        reply: Reply<()>,
    },
    Preconditions {
        call: CallKey,
        met: bool,
        reply: Reply<()>,
    },
    AnswerEarly {
        call: CallKey,
        headers: Headers,
        reply: Reply<()>,
    },
    Answer {
        call: CallKey,
        headers: Headers,
        audio: OpenAudio,
        reply: Reply<()>,
    },
    Reject {
        call: CallKey,
        status: u16,
        reason: Option<String>,
        headers: Headers,
    },
    Hangup {
        call: CallKey,
        headers: Headers,
    },
    Hold {
        call: CallKey,
        on: bool,
        headers: Headers,
        reply: Reply<()>,
    },
    RenewKeys {
        call: CallKey,
        reply: Reply<()>,
    },
    Transceivers {
        call: CallKey,
        reply: Reply<Vec<crate::Transceiver>>,
    },
    SetDirection {
        call: CallKey,
        direction: crate::Direction,
        reply: Reply<()>,
    },
    NegotiationNeeded {
        call: CallKey,
        reply: Reply<bool>,
    },
    Renegotiate {
        call: CallKey,
        reply: Reply<()>,
    },
    RestartIce {
        call: CallKey,
        reply: Reply<()>,
    },
    Mute {
        call: CallKey,
        on: bool,
    },
    Dtmf {
        call: CallKey,
        digits: String,
        mode: DtmfMode,
        reply: Reply<()>,
    },
    Stats {
        call: CallKey,
        reply: Reply<CallStats>,
    },
    #[cfg(feature = "dtls")]
    DataChannel {
        call: CallKey,
        spec: Box<crate::data::ChannelSpec>,
        reply: Reply<crate::DataChannel>,
    },
    Ice {
        call: CallKey,
        reply: Reply<crate::ice::IceReport>,
    },
    Request {
        request: Box<SendRequest>,
        reply: Reply<SipMessage>,
    },
    Transfer {
        request: Box<TransferCall>,
        reply: Reply<Transfer>,
    },
    AnswerTransfer {
        call: CallKey,
        answer: AnswerTransfer,
        reply: Reply<()>,
    },
    ReplacesUri {
        call: CallKey,
        reply: Reply<String>,
    },
    FollowRedirect {
        call: CallKey,
        uri: String,
        reply: Reply<()>,
    },
    SetPolicy {
        account: AccountKey,
        policy: Box<crate::Policy>,
    },
    Respond {
        key: ServerKey,
        status: u16,
        headers: Headers,
    },
    SessionId {
        call: CallKey,
        reply: Reply<Option<SessionId>>,
    },
    Composing {
        from: Sender,
    },
    RespondRequest {
        key: ServerKey,
        answer: AnswerRequest,
    },
    CallRules {
        call: CallKey,
        rules: Vec<HeaderRule>,
        reply: Reply<()>,
    },
    AccountRules {
        account: AccountKey,
        rules: Vec<HeaderRule>,
        reply: Reply<()>,
    },
    Certificate {
        call: CallKey,
        data: Option<Vec<u8>>,
    },
    Credentials {
        query: QueryKey,
        reply: CredentialsReply,
    },
    SetTls {
        tls: Box<tiny_net::tls::TlsConfig>,
        reply: Reply<()>,
    },
    Events(EventCommand),
    Conference(ConferenceCommand),
    Contacts {
        account: AccountKey,
        contact: Option<String>,
        reply: Reply<SipMessage>,
    },
    ForgetRegistration {
        account: AccountKey,
    },
    Refer {
        request: Box<ReferOutside>,
        reply: Reply<Transfer>,
    },
    Network {
        news: NetworkNews,
        reply: Reply<NetworkReport>,
    },
    Shutdown {
        reply: oneshot::Sender<()>,
    },
}

/// What a registrar granted.
#[derive(Debug, Clone)]
pub struct Registered {
    /// For how long, in seconds; it is refreshed before that.
    pub expires: u32,
    /// The contact URI that is registered.
    pub contact: String,
    /// Which of the account's flows it is; 1 where there is only one.
    pub reg_id: u32,
    /// The registrar keeps to RFC 5626: calls come in over the flow that registered.
    pub outbound: bool,
    /// The registrar's 200, with all of its header fields.
    pub response: SipMessage,
}

#[derive(Debug)]
pub(crate) struct PlaceCall {
    pub(crate) account: AccountKey,
    pub(crate) to: String,
    pub(crate) headers: Headers,
    pub(crate) audio: OpenAudio,
    pub(crate) srtp: Option<Srtp>,
    pub(crate) ice: Option<crate::Ice>,
    pub(crate) webrtc: Option<bool>,
    /// Whether the first offer has data channels.
    pub(crate) data: Option<bool>,
    /// Channels that its first offer sets up.
    #[cfg(feature = "dtls")]
    pub(crate) channels: Vec<crate::data::ChannelSpec>,
    /// How the media of the call travels that it comes from: said by nobody, but kept.
    pub(crate) terms: Option<crate::ice::Terms>,
    pub(crate) rules: Vec<HeaderRule>,
    /// The conference that it is placed for.
    pub(crate) conference: Option<ConferenceId>,
    /// Which way its sound is to go.
    pub(crate) direction: crate::Direction,
    /// The INVITE has no offer.
    pub(crate) late_offer: bool,
    /// Our half of Session-ID, of a call that continues another.
    pub(crate) session: Option<u128>,
    pub(crate) preconditions: Option<crate::Preconditions>,
}

impl PlaceCall {
    /// A call that says nothing special.
    pub(crate) fn new(account: AccountKey, to: String, headers: Headers, audio: OpenAudio) -> Self {
        Self {
            account,
            to,
            headers,
            audio,
            srtp: None,
            ice: None,
            webrtc: None,
            data: None,
            #[cfg(feature = "dtls")]
            channels: Vec::new(),
            terms: None,
            rules: Vec::new(),
            direction: crate::Direction::SendRecv,
            late_offer: false,
            conference: None,
            session: None,
            preconditions: None,
        }
    }
}

/// What becomes of a request that was handed to the application.
#[derive(Debug)]
pub(crate) enum AnswerRequest {
    /// The agent answers as if it had not been; with this status, or as its method has it.
    Default(Option<u16>),
    Given {
        status: u16,
        headers: Headers,
        body: Option<Content>,
    },
}

#[derive(Debug)]
pub(crate) struct SendRequest {
    pub(crate) from: Sender,
    pub(crate) method: Method,
    pub(crate) headers: Headers,
    pub(crate) body: Option<Content>,
    /// The body's envelope, which takes From from the account (RFC 3862).
    pub(crate) envelope: Option<crate::body::cpim::Cpim>,
}

/// A transfer to ask for.
#[derive(Debug)]
pub(crate) struct TransferCall {
    pub(crate) call: CallKey,
    pub(crate) to: TransferTo,
    pub(crate) headers: Headers,
    pub(crate) quiet: bool,
}

/// A REFER outside of calls.
#[derive(Debug)]
pub(crate) struct ReferOutside {
    pub(crate) account: AccountKey,
    pub(crate) to: String,
    pub(crate) refer_to: String,
    pub(crate) headers: Headers,
    pub(crate) quiet: bool,
}

/// Where a call is transferred.
#[derive(Debug)]
pub(crate) enum TransferTo {
    Uri(String),
    /// To the peer of another call.
    Call(CallKey),
}

/// What becomes of a transfer that a peer asks for.
#[derive(Debug)]
pub(crate) enum AnswerTransfer {
    Accept(OpenAudio),
    Refuse(u16),
}

/// On whose behalf a request goes out.
#[derive(Debug)]
pub(crate) enum Sender {
    Account { account: AccountKey, to: String },
    Call(CallKey),
}

/// The sending half of the engine's command queue, with errors in place of panics.
#[derive(Debug, Clone)]
pub(crate) struct Commands(pub(crate) tokio::sync::mpsc::UnboundedSender<Command>);

impl Commands {
    /// Says something that needs no answer. Nothing happens when the agent has ended.
    pub(crate) fn tell(&self, command: Command) {
        let _ = self.0.send(command);
    }

    /// Asks and waits.
    pub(crate) async fn ask<T>(&self, make: impl FnOnce(Reply<T>) -> Command) -> Result<T, Error> {
        let (reply, answer) = oneshot::channel();
        self.0.send(make(reply)).map_err(|_| Error::Ended("the agent"))?;
        answer.await.map_err(|_| Error::Ended("the agent"))?
    }
}
