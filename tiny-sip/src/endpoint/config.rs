//! The endpoint's settings: every timer, limit and default in one place, each with its answer when
//! it is exceeded.

use super::HeaderRule;
use crate::message::Limits;
use crate::method::Method;
use crate::transaction::Timers;
use std::time::Duration;

/// How far an extension of INVITE goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Policy {
    /// Neither offered nor taken: a request that requires it gets 420.
    Off,
    /// Announced in Supported, used where the peer asks for it.
    #[default]
    Supported,
    /// Asked for in every call of ours, without insisting.
    Wanted,
    /// Insisted on: Require in our INVITE, 421 for a caller who does not support it.
    Required,
}

/// Settings of an [`Endpoint`](super::Endpoint). `Config::default()` is what the RFCs recommend.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Config {
    /// Value of User-Agent in requests and Server in responses; `None` sends neither.
    /// Default: `tiny-ua/<version>`.
    pub user_agent: Option<String>,
    /// Transaction timers (RFC 3261 Table 4).
    pub timers: Timers,
    /// Limits of one message. A request beyond them gets 400 or 413-like treatment as the parser
    /// says; a stream that exceeds them is given up.
    pub limits: Limits,
    /// Methods announced in Allow. A known method that is not here gets 405. Default: INVITE, ACK,
    /// BYE, CANCEL, OPTIONS, MESSAGE, INFO, REFER, SUBSCRIBE, NOTIFY, PRACK, UPDATE.
    pub allow: Vec<Method>,
    /// Body types taken in an INVITE, announced in Accept; others get 415. Empty takes all.
    /// Default: application/sdp, multipart/mixed, multipart/alternative.
    pub accept: Vec<String>,
    /// Option tags announced in Supported and taken in Require, beside those of
    /// [`reliable`](Self::reliable) and [`session_timer`](Self::session_timer); others get 420.
    /// Default: replaces, norefersub, join.
    pub supported: Vec<String>,
    /// Option tags taken in Require as well but not announced: the owner looks for them in what it is
    /// given and answers 420 itself where they do not suit. Default: none.
    pub owner_extensions: Vec<String>,
    /// Reliable provisional responses (RFC 3262, `100rel`). With `Supported` a response of ours is
    /// reliable when the caller requires it, or supports it and the response has a body; with
    /// `Wanted` whenever the caller supports it. Default: `Supported`.
    pub reliable: Policy,
    /// Session timers (RFC 4028, `timer`). With `Supported` a call has one when the peer or a proxy
    /// asks for it; with `Wanted` our INVITEs ask for one and our answers grant one. Default:
    /// `Supported`.
    pub session_timer: Policy,
    /// Session interval to ask for, in seconds; a longer one that is asked of us is shortened to it.
    /// Default: 1800 (RFC 4028 §4).
    pub session_expires: u32,
    /// Shortest session interval taken, in seconds; a shorter one gets 422. At least 90, which is
    /// the default (RFC 4028 §4).
    pub min_se: u32,
    /// Whether OPTIONS is answered here with 200, Allow, Accept and Supported (RFC 3261 §11.2)
    /// without asking the owner. Default: true.
    pub answer_options: bool,
    /// Whether requests that are answered here by themselves are handed to the owner first, as
    /// [`Event::Request`](super::Event::Request): OPTIONS, methods that are not in
    /// [`allow`](Self::allow), a NOTIFY that no subscription waits for.
    /// [`respond_by_default`](super::Endpoint::respond_by_default) answers them as if they had not
    /// been. Default: false.
    pub ask_requests: bool,
    /// Whether every message that comes is shown by [`Event::Received`](super::Event::Received).
    /// Default: false.
    pub show_received: bool,
    /// Whether calls are named by Session-ID (RFC 7989), end to end. It costs some 80 octets in each
    /// of their messages. Default: true.
    pub session_id: bool,
    /// Header fields on all messages that are sent, where account and call say nothing else.
    /// One that cannot be used ([`HeaderRule::check`]) is left out. Default: none.
    pub header_rules: Vec<HeaderRule>,
    /// Header rules of one call or account. Beyond: [`Error::Limit`](super::Error::Limit).
    /// Default: 32.
    pub max_header_rules: usize,

    /// Client and server transactions together, lingering ones included. Beyond: a new request gets
    /// a stateless 503 with Retry-After, an own one [`Error::Limit`](super::Error::Limit).
    /// Default: 200,000.
    pub max_transactions: usize,
    /// Messages of ours that wait for the one before them to the same URI, or in the same call, to be
    /// answered (RFC 3428 §8). Beyond: [`Error::Limit`](super::Error::Limit). Default: 64.
    pub max_waiting_messages: usize,
    /// Calls in any state. Beyond: an INVITE gets 503 with Retry-After, an own call
    /// [`Error::Limit`](super::Error::Limit). Default: 50,000.
    pub max_calls: usize,
    /// Early dialogs of one call (branches of a fork, §13.2.2.1). Further branches are reported
    /// but cannot be addressed before they answer. Default: 16.
    pub max_forks: usize,
    /// Requests that wait for [`Input::Resolved`](super::Input::Resolved). Beyond: the request
    /// fails as if the name did not exist. Default: 10,000.
    pub max_pending: usize,
    /// Stream connections with a receive buffer. Beyond: bytes of a new one are dropped and
    /// counted. Default: 10,000.
    pub max_streams: usize,
    /// How long one message may take to arrive on a stream, from its first octet to its last. Beyond:
    /// [`Event::StreamBroken`](super::Event::StreamBroken), and what went over the stream fails.
    /// Default: 32 s (64*T1).
    pub stream_patience: Duration,
    /// Incoming calls that wait to be answered. Beyond: 503 with Retry-After; calls of ours and
    /// established ones go on. Default: 3,000.
    pub max_ringing: usize,
    /// The same for those that come from one IP address, so that one peer cannot take all places.
    /// Default: 1,500: room for a proxy that brings the calls of many.
    pub max_ringing_per_source: usize,
    /// How long an incoming call may wait for the owner's answer; then it gets 480 (RFC 3261
    /// §13.3.1.1 leaves it to the UAS how long it rings). `None`: until the caller gives up, which one
    /// with a forged address never does. Default: 10 min.
    pub answer_timeout: Option<Duration>,
    /// re-INVITEs of one call that wait for a running one. Beyond:
    /// [`Error::Limit`](super::Error::Limit). Default: 4.
    pub max_queued_reinvites: usize,
    /// How often one change of a session is tried again after 491 or 500 with Retry-After; then it
    /// is refused with that status. Default: 8.
    pub max_modification_retries: u8,
    /// Provisional responses of one call that wait for the PRACK of the one before (RFC 3262 §3).
    /// Beyond: [`Error::Limit`](super::Error::Limit). Default: 4.
    pub max_queued_provisionals: usize,
    /// Event packages whose subscriptions are taken, announced in Allow-Events (RFC 6665 §4.4.4). A
    /// SUBSCRIBE for another gets 489. Default: none.
    pub event_packages: Vec<String>,
    /// Event packages whose NOTIFYs are handed to the owner ([`Event::Request`](super::Event::Request)) though
    /// nobody has subscribed, as some PBXs send `message-summary`. RFC 6665 §4.1.3 wants 481 for them, which
    /// is what others get; whoever reaches us can send one. Default: none.
    pub unsolicited_packages: Vec<String>,
    /// Subscriptions of ours, forks included. Beyond: [`Error::Limit`](super::Error::Limit), and a
    /// further fork's NOTIFY gets 481. Default: 10,000.
    pub max_subscriptions: usize,
    /// Peers' subscriptions to our state. Beyond: a SUBSCRIBE gets 503 with Retry-After.
    /// Default: 10,000.
    pub max_watchers: usize,
    /// Publications. Beyond: [`Error::Limit`](super::Error::Limit). Default: 1,000.
    pub max_publications: usize,
    /// Shortest lifetime of a peer's subscription (other than a fetch), in seconds. Less, and less
    /// than an hour, gets 423 with Min-Expires (RFC 6665 §4.2.1.1). Default: 60.
    pub min_subscription: u32,
    /// Longest lifetime granted to a peer's subscription, in seconds; more is shortened to it.
    /// Default: 3600.
    pub max_subscription: u32,
    /// NOTIFYs taken of one subscription within `notify_window`. Beyond: 503 with Retry-After, and
    /// the state is asked for again once the window is over. A NOTIFY that ends the subscription is
    /// always taken. Default: 100.
    pub max_notify: u32,
    /// See `max_notify`. Default: 10 s.
    pub notify_window: Duration,
    /// Shortest time between two NOTIFYs to one watcher that no SUBSCRIBE asked for; changes in
    /// between are told at its end, the latest only. Default: 1 s (RFC 4235 §3.10).
    pub notify_interval: Duration,
    /// First pause before a lost subscription or publication is made anew; doubled each time, with
    /// jitter of ±25 %, up to `register_retry_max`. Default: 5 s.
    pub event_retry: Duration,

    /// How often one request is repeated with new credentials. Default: 3 (two realms and a stale
    /// nonce).
    pub max_auth_attempts: u8,
    /// Contacts of 3xx responses that one request other than INVITE is sent to (RFC 3261 §8.1.3.4); beyond,
    /// and with 0, the latest response is its answer. Those of a call are its owner's. Default: 5.
    pub max_request_redirects: u8,
    /// Realms of one response that are answered, further ones being left out, and realms whose
    /// nonces an account keeps, the oldest making room. Default: 8; nobody has more proxies than that
    /// on a path.
    pub max_challenges: usize,
    /// Flows of one account (RFC 5626 §4.2.1: "SHOULD support sets with up to four URIs"). Beyond:
    /// [`Error::Limit`](super::Error::Limit). Default: 4.
    pub max_flows: u8,
    /// How long a request waits for the answer to
    /// [`Event::CredentialsWanted`](super::Event::CredentialsWanted); then it fails with the 401 or
    /// 407 that asked. Default: 32 s (64*T1, as long as for a response).
    pub credentials_timeout: Duration,

    /// How long a caller lets a call ring after the first provisional response other than 100; then
    /// it is cancelled. `None`: for ever. Default: 3 min, like a proxy's Timer C (§16.6).
    pub ring_timeout: Option<Duration>,
    /// How long a transfer may go on without a NOTIFY, and the lifetime of the subscription that we
    /// grant for one (RFC 3515 §2.4.4). Default: 5 min.
    pub refer_silence: Duration,
    /// Referrals outside of calls at a time, in both directions together. One more that comes in gets
    /// 503 with Retry-After. Default: 256.
    pub max_referrals: usize,
    /// Whether an INVITE may replace a call of ours when it names its dialog (RFC 3891); else it gets
    /// 403. Default: true.
    pub replaces: bool,
    /// Names of ended dialogs that are kept, so that an INVITE that would replace one is told 603
    /// (RFC 3891 §3). The oldest goes first. Default: 256.
    pub max_ended_dialogs: usize,
    /// Path MTU of datagrams. A request within 200 bytes of it, or over 1300 bytes when `None`,
    /// goes over TCP if a TCP address is bound (§18.1.1). Default: `None`.
    pub path_mtu: Option<usize>,
    /// Whether oversized datagram requests may switch to TCP at all. Default: true.
    pub switch_to_tcp: bool,
    /// Interval of CRLF keep-alives to the registrar over UDP, `None` for none. Default: 29 s, under
    /// the 30 s after which many NATs forget a UDP mapping.
    pub keepalive_udp: Option<Duration>,
    /// The same over TCP and TLS (RFC 5626 §4.4.1 recommends 95 to 120 s). Default: 100 s.
    pub keepalive_stream: Option<Duration>,
    /// The longest that a server is spared which answered 503 with Retry-After (RFC 3261 §21.5.4);
    /// a longer wish is cut to this. Default: 10 min.
    pub server_pause_max: Duration,
    /// Whether the Contact shows the address that a registrar sees (`received` and `rport`, RFC 3581)
    /// instead of the one that is bound, when a NAT stands between. Default: true.
    pub rewrite_contact: bool,
    /// Base time after which a flow is formed anew when all flows have failed (RFC 5626 §4.5).
    /// Default: 30 s.
    pub flow_retry_all: Duration,
    /// The same while another flow lives. Default: 90 s.
    pub flow_retry_some: Duration,
    /// Longest such time. Default: 30 min.
    pub flow_retry_max: Duration,
    /// First pause after a failed registration; doubled each time, with jitter of ±25 %.
    /// Default: 5 s.
    pub register_retry: Duration,
    /// Longest such pause. Default: 10 min.
    pub register_retry_max: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            user_agent: Some(concat!("tiny-ua/", env!("CARGO_PKG_VERSION")).to_owned()),
            timers: Timers::default(),
            limits: Limits::default(),
            allow: vec![
                Method::Invite,
                Method::Ack,
                Method::Bye,
                Method::Cancel,
                Method::Options,
                Method::Message,
                Method::Info,
                Method::Refer,
                Method::Subscribe,
                Method::Notify,
                Method::Prack,
                Method::Update,
            ],
            accept: ["application/sdp", "multipart/mixed", "multipart/alternative"]
                .map(str::to_owned)
                .to_vec(),
            supported: ["replaces", "norefersub", "join"].map(str::to_owned).to_vec(),
            owner_extensions: Vec::new(),
            reliable: Policy::Supported,
            session_timer: Policy::Supported,
            session_expires: 1800,
            min_se: 90,
            answer_options: true,
            ask_requests: false,
            show_received: false,
            session_id: true,
            header_rules: Vec::new(),
            max_header_rules: 32,
            max_transactions: 200_000,
            max_waiting_messages: 64,
            max_calls: 50_000,
            max_forks: 16,
            max_pending: 10_000,
            max_streams: 10_000,
            stream_patience: Duration::from_secs(32),
            max_ringing: 3_000,
            max_ringing_per_source: 1_500,
            answer_timeout: Some(Duration::from_secs(600)),
            max_queued_reinvites: 4,
            event_packages: Vec::new(),
            unsolicited_packages: Vec::new(),
            max_subscriptions: 10_000,
            max_watchers: 10_000,
            max_publications: 1_000,
            min_subscription: 60,
            max_subscription: 3600,
            max_notify: 100,
            notify_window: Duration::from_secs(10),
            notify_interval: Duration::from_secs(1),
            event_retry: Duration::from_secs(5),
            max_modification_retries: 8,
            max_queued_provisionals: 4,
            max_auth_attempts: 3,
            max_request_redirects: 5,
            max_challenges: 8,
            max_flows: 4,
            credentials_timeout: Duration::from_secs(32),
            ring_timeout: Some(Duration::from_secs(180)),
            refer_silence: Duration::from_secs(300),
            max_referrals: 256,
            replaces: true,
            max_ended_dialogs: 256,
            path_mtu: None,
            switch_to_tcp: true,
            keepalive_udp: Some(Duration::from_secs(29)),
            keepalive_stream: Some(Duration::from_secs(100)),
            server_pause_max: Duration::from_secs(600),
            rewrite_contact: true,
            flow_retry_all: Duration::from_secs(30),
            flow_retry_some: Duration::from_secs(90),
            flow_retry_max: Duration::from_secs(1800),
            register_retry: Duration::from_secs(5),
            register_retry_max: Duration::from_secs(600),
        }
    }
}

impl Config {
    /// Every option tag of ours, as Supported lists them.
    pub(crate) fn option_tags(&self) -> String {
        let own = [(self.reliable, "100rel"), (self.session_timer, "timer")];
        let own = own.iter().filter(|(policy, _)| *policy != Policy::Off).map(|(_, tag)| *tag);
        let tags: Vec<&str> = self.supported.iter().map(String::as_str).chain(own).collect();
        tags.join(", ")
    }

    /// The largest request that still goes out as a datagram (§18.1.1).
    pub(crate) fn max_datagram_request(&self) -> usize {
        self.path_mtu.map_or(1300, |mtu| mtu.saturating_sub(200))
    }
}
