//! An embeddable SIP/RTP user agent: link one crate and have a telephone.
//!
//! ```no_run
//! # async fn demo() -> Result<(), tiny_ua::Error> {
//! use tiny_ua::{Audio, Udp, UserAgent};
//!
//! let ua = UserAgent::builder().transport(Udp::any()).build().await?;
//! let alice = ua.account("sip:alice@example.com").password("…").register().await?;
//! let call = alice.call("sip:bob@example.com").audio(Audio::default_devices()).await?;
//! call.answered().await?;
//! call.dtmf("42#").await?;
//! call.hold().await?;
//! call.resume().await?;
//! call.hangup().await;
//! # Ok(()) }
//! ```
//!
//! - [`UserAgent`]: one engine task that owns all signalling; [`Event`] tells what happens.
//! - [`Account`]: who we are; registers, calls, sends messages.
//! - [`Call`]: a handle that any thread may hold; [`CallEvent`] tells what happens to it.
//! - [`Audio`]: where sound comes from and goes to: devices, files, tones, raw PCM.
//! - [`Config`]: every limit, timer and preference, at run time.
//!
//! Errors name the culprit: see [`Error`].

// The program of the README compiles.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

// So does that of the page on NATs.
#[cfg(doctest)]
#[doc = include_str!("../docs/nat.md")]
struct Nat;

mod account;
mod agent;
mod audio;
mod bindings;
mod call;
mod caller;
mod command;
mod conference;
mod config;
mod credentials;
#[cfg(feature = "dtls")]
pub mod data;
mod engine;
mod error;
mod event;
mod events;
mod headers;
pub mod ice;
mod identity;
mod media;
mod message;
mod network;
mod policy;
mod precondition;
mod reason;
mod refer;
mod refusal;
mod request;
#[cfg(all(test, feature = "testkit"))]
mod scenarios;
mod srtp;
mod target;
#[cfg(feature = "testkit")]
pub mod testkit;
mod trace;
mod transceiver;
mod transfer;

/// Answering questions about names oneself: see [`Config::dns`].
pub mod dns {
    pub use tiny_net::locate::{Outcome, Question, Record, RecordKind};
    pub use tiny_net::resolve::{Dns, SystemDns};
}

pub use account::{Account, AccountBuilder, AccountId, RequestBuilder};
pub use agent::{UserAgent, UserAgentBuilder};
pub use audio::Audio;
pub use bindings::Binding;
pub use call::{Call, CallBuilder, CallId, CallState, IncomingCall};
pub use caller::{Diverted, Named};
pub use command::Registered;
pub use conference::{Conference, ConferenceBuilder, ConferenceId, Member};
pub use config::{Config, Listen, Tcp, Tls, Udp, Ws, Wss};
pub use credentials::CredentialsRequest;
#[cfg(feature = "dtls")]
pub use data::{
    DataChannel, DataChannelBuilder, DataChannelState, DescribedChannel, Message as DataMessage,
};
pub use error::Error;
pub use event::{CallEnd, CallEvent, CodecInfo, DtmfMode, Event, Party};
pub use events::{
    Document, IncomingSubscription, Notification, Publication, PublicationUpdate, SubscribeBuilder,
    Subscription, SubscriptionUpdate, Watcher,
};
pub use ice::{Ice, IceServer};
pub use identity::{CallerIdentity, CertificateRequest, IdentityConfig, IdentityRule};
pub use message::{IncomingMessage, MessageBuilder, MessageReport};
pub use network::NetworkReport;
pub use policy::{
    ChangePolicy, DoNotDisturb, EarlyMediaPolicy, JoinPolicy, LateOfferPolicy, Policy,
    RedirectPolicy, ReferralPolicy, TransferPolicy,
};
pub use precondition::{PreconditionPolicy, Preconditions};
pub use reason::Reason;
pub use refer::ReferBuilder;
pub use refusal::{Alternative, Alternatives, Warning};
pub use request::IncomingRequest;
pub use srtp::Srtp;
pub use tiny_media::StreamStats as CallStats;
pub use tiny_media::{AudioFormat, DataStats, DeviceInfo, DeviceKind, Registry, Sink, Source};
#[cfg(feature = "dtls")]
pub use tiny_net::dtls;
pub use tiny_net::stun::{Behaviour as NatBehaviour, NatReport};
pub use tiny_net::tls;
pub use tiny_rtp::srtp::Profile as SrtpProfile;
pub use tiny_sak::{Flow, Secret, Transport};
pub use tiny_sdp::Strength as PreconditionStrength;
pub use tiny_sip::Policy as ExtensionPolicy;
pub use tiny_sip::aka::{AkaChallenge, AkaOutcome, AkaResult, Usim};
pub use tiny_sip::body;
pub use tiny_sip::digest::{Algorithm as DigestAlgorithm, QopPolicy};
pub use tiny_sip::header;
pub use tiny_sip::identity::{
    Attestation, Authority, IdentityError, Party as IdentityParty, Signer, TrustAnchors,
    VerifiedCaller,
};
pub use tiny_sip::{AuthPolicy, AuthScheme, ChallengeOrder, SecurityMechanism};
pub use tiny_sip::{FlowInfo, Push, RegistrationInfo};
pub use tiny_sip::{HeaderName, HeaderRule, Message as SipMessage, Method, Uri};
pub use tiny_sip::{SubscriptionState, Termination};
pub use trace::{Trace, TraceKind, TracePacket};
pub use transceiver::{Direction, MediaKind, Transceiver};
pub use transfer::{Transfer, TransferBuilder, TransferOutcome, TransferRequest, TransferState};
