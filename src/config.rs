//! Settings of a user agent: all limits are run-time settings with documented defaults.

use crate::{Ice, IceServer, IdentityConfig, Srtp, SrtpProfile, Trace};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;
use tiny_net::resolve::Dns;
use tiny_sak::Transport;

/// An address to listen at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Listen {
    pub(crate) transport: Transport,
    pub(crate) address: SocketAddr,
}

/// SIP over UDP.
#[derive(Debug, Clone, Copy)]
pub struct Udp;

/// SIP over TCP.
#[derive(Debug, Clone, Copy)]
pub struct Tcp;

/// SIP over TLS: takes connections, for which [`Config::net`]'s `tls.server` must hold a certificate
/// and its key. Making connections needs no listener.
#[derive(Debug, Clone, Copy)]
pub struct Tls;

/// SIP over WebSocket (RFC 7118), as a server.
#[derive(Debug, Clone, Copy)]
pub struct Ws;

/// SIP over secure WebSocket, as a server with a certificate as for [`Tls`].
#[derive(Debug, Clone, Copy)]
pub struct Wss;

pub(crate) const ANY: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);

macro_rules! listen {
    ($($name:ident),*) => {$(
        impl $name {
            /// Any IPv4 address and a free port.
            pub fn any() -> Listen {
                Self::at(ANY)
            }

            /// This address; port 0 picks a free one.
            pub fn at(address: SocketAddr) -> Listen {
                Listen { transport: Transport::$name, address }
            }
        }
    )*};
}

listen!(Udp, Tcp, Tls, Ws, Wss);

/// The settings of a [`UserAgent`](crate::UserAgent); [`Default`] is right for a telephone.
#[derive(Clone)]
pub struct Config {
    /// Where to listen. When empty: UDP and TCP on any address, one free port for both where
    /// there is one.
    pub listen: Vec<Listen>,
    /// Where media binds; `None` takes the address that faces the peer.
    pub media_address: Option<IpAddr>,
    /// The ports that RTP and RTCP may take, in pairs. Default 16384–32767.
    pub rtp_ports: RangeInclusive<u16>,
    /// Codec names in order of preference; `None` takes all that are built in. Names as in
    /// [`UserAgent::codecs`](crate::UserAgent::codecs), compared without case.
    pub codecs: Option<Vec<String>>,
    /// Milliseconds of sound in a packet; `None` takes what the codec prefers (20 ms).
    pub ptime_ms: Option<u32>,
    /// Offer and accept RTP and RTCP on one port (RFC 5761). Default true.
    pub rtcp_mux: bool,
    /// Names this device towards registrars: a URN that stays the same for ever, for instance
    /// `urn:uuid:…` kept in the application's settings (RFC 5626 §4.1). `None` draws one that lasts
    /// as long as the agent; [`UserAgent::instance_id`](crate::UserAgent::instance_id) tells it.
    pub instance_id: Option<String>,
    /// Calls at the same time; one more is answered with 486. Default 4,096.
    pub max_calls: usize,
    /// Events the application has not read. One more call or message is refused with 503. Default
    /// 1,024.
    pub max_pending_events: usize,
    /// Contacts that are kept of all 3xx of one call, those it has been to among them; more are left
    /// out. Default 32.
    pub max_redirect_targets: usize,
    /// When a writer of messages counts as idle and how often "is typing" is repeated (RFC 3994
    /// §3.2). Default 15 s and 90 s.
    pub composing: crate::body::composing::Timing,
    /// Peers that type to us, and peers that we type to, at a time. Beyond: others' typing is not
    /// told to the application, and ours not to them. Default 256.
    pub max_composing: usize,
    /// Requests that wait for the application's answer
    /// ([`Event::Request`](crate::Event::Request)). One more is answered by the agent itself.
    /// Default 64.
    pub max_waiting_requests: usize,
    /// Events of one call that the application has not read; beyond that, new ones but the last are
    /// dropped and counted in the log. Default 256.
    pub max_pending_call_events: usize,
    /// Who may watch the calls of this agent (RFC 4235) without the application being asked:
    /// addresses of record, compared with From, or `*` for everybody. It takes effect when
    /// `sip.event_packages` holds `dialog`; other watchers come as
    /// [`Event::Subscription`](crate::Event::Subscription). Default: nobody.
    pub dialog_watchers: Vec<String>,
    /// Who may watch conferences of this agent (RFC 4575) beside those who take part: addresses of
    /// record, compared with From, or `*` for everybody. Others come as
    /// [`Event::Subscription`](crate::Event::Subscription). Default: nobody.
    pub conference_watchers: Vec<String>,
    /// The shortest time between two notifications of a conference to one watcher; changes in between
    /// are told together. Default: 5 s (RFC 4575 §3.9).
    pub conference_notify_interval: Duration,
    /// Conferences at the same time; one more is refused with [`Error::Limit`](crate::Error::Limit),
    /// a Join with 488. Default: 64.
    pub max_conferences: usize,
    /// Calls in one conference; one more is refused in the same way. Default: 64.
    pub max_conference_members: usize,
    /// A call whose peer sends no media for this long gets
    /// [`CallEvent::MediaTimeout`](crate::CallEvent::MediaTimeout). Default 30 s.
    pub media_timeout: Duration,
    /// Threads that carry media. Default 1: one thread carries thousands of streams.
    pub media_workers: usize,
    /// How long [`UserAgent::shutdown`](crate::UserAgent::shutdown) waits for BYEs and
    /// unregistrations. Default 4 s.
    pub shutdown_timeout: Duration,
    /// How long calls wait without a network
    /// ([`UserAgent::network_lost`](crate::UserAgent::network_lost)) before they are ended with that
    /// for a reason. Default 30 s: beyond 32 s peers have given up what they asked meanwhile.
    pub network_patience: Duration,
    /// Whether and how callers are verified (RFC 8224, STIR/SHAKEN). Default: not.
    pub identity: Option<IdentityConfig>,
    /// Limits, timers and identity of the SIP core.
    pub sip: tiny_sip::Config,
    /// Limits and choices of offer and answer.
    pub sdp: tiny_sdp::Config,
    /// Limits of the socket drivers, and the certificates of TLS.
    pub net: tiny_net::Config,
    /// Who answers questions about names; `None` asks the system's name servers.
    pub dns: Option<Arc<dyn Dns>>,
    /// The jitter buffer.
    pub jitter: tiny_media::JitterConfig,
    /// How calls treat encryption, where account and call do not say. Default
    /// [`Srtp::Optional`].
    pub srtp: Srtp,
    /// The crypto suites of our offers, most preferred first; each costs some 90 octets in the INVITE.
    /// Offers of peers are taken in their order, with any suite that encrypts. Default:
    /// AES_CM_128_HMAC_SHA1_80, AEAD_AES_128_GCM. The one that everybody has (RFC 4568 §6.2) comes first,
    /// as there are peers that answer the first line with it, whatever stands there.
    pub srtp_suites: Vec<SrtpProfile>,
    /// Whether calls use ICE (RFC 8445), where account and call do not say. Default [`Ice::Off`].
    pub ice: Ice,
    /// The STUN servers and relays of ICE, asked at the same time. Default: none, which finds ways
    /// within one network and to peers with public addresses.
    pub ice_servers: Vec<IceServer>,
    /// Limits and times of ICE, whether relays alone may be used
    /// ([`Policy::RelayOnly`](crate::ice::Policy::RelayOnly)), and whether names stand for our addresses
    /// ([`hide_addresses`](crate::ice::Config::hide_addresses)). Its `stun_servers` and `turn_servers` are
    /// asked beside [`ice_servers`](Self::ice_servers); `lite` and `components` are set by the call.
    pub ice_limits: crate::ice::Config,
    /// Whether calls are as browsers make them (RFC 8827, RFC 8834), where account and call do not
    /// say: ICE ([`Ice::Full`] unless [`Ice::Lite`] is set), [`Srtp::Dtls`], BUNDLE, RTP and RTCP on one
    /// port, the profile `SAVPF` (without feedback for sound). Default false.
    pub webrtc: bool,
    /// Whether our offers have data channels, where account and call do not say; see
    /// [`Call::data_channel`](crate::Call::data_channel). They bring DTLS with them. What a peer offers
    /// over DTLS is taken in any case. Default false.
    pub offer_data: bool,
    /// Limits and timers of data channels.
    #[cfg(feature = "dtls")]
    pub data: crate::data::Config,
    /// Bytes of one data channel that may wait to be sent: beyond,
    /// [`send`](crate::DataChannel::send) waits and [`try_send`](crate::DataChannel::try_send) refuses.
    /// Default 1 MiB.
    pub data_buffer: usize,
    /// Messages of all data channels of a call on their way from the handles to where they are sent:
    /// beyond, [`send`](crate::DataChannel::send) waits and [`try_send`](crate::DataChannel::try_send)
    /// refuses. Default 64.
    pub data_queue: usize,
    /// Messages that stand ready for the reader of a data channel; later ones wait in the receive buffer,
    /// in which all of them count until they are read. Default 8.
    pub data_ready: usize,
    /// The certificate of DTLS-SRTP, for agents that want the same one again; see
    /// [`Identity`](crate::dtls::Identity). `None` makes one for as long as the agent lives.
    #[cfg(feature = "dtls")]
    pub dtls_identity: Option<crate::dtls::Identity>,
    /// The SRTP profiles, timers and limits of DTLS.
    #[cfg(feature = "dtls")]
    pub dtls: crate::dtls::Config,
    /// Receives a copy of every packet.
    pub trace: Option<Arc<dyn Trace>>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: Vec::new(),
            media_address: None,
            rtp_ports: 16384..=32767,
            codecs: None,
            ptime_ms: None,
            rtcp_mux: true,
            instance_id: None,
            max_calls: 4096,
            max_pending_events: 1024,
            max_redirect_targets: 32,
            composing: Default::default(),
            max_composing: 256,
            max_waiting_requests: 64,
            max_pending_call_events: 256,
            dialog_watchers: Vec::new(),
            conference_watchers: Vec::new(),
            conference_notify_interval: Duration::from_secs(5),
            max_conferences: 64,
            max_conference_members: 64,
            media_timeout: Duration::from_secs(30),
            media_workers: 1,
            shutdown_timeout: Duration::from_secs(4),
            network_patience: Duration::from_secs(30),
            identity: None,
            sip: tiny_sip::Config::default(),
            sdp: tiny_sdp::Config::default(),
            net: tiny_net::Config::default(),
            dns: None,
            jitter: tiny_media::JitterConfig::default(),
            srtp: Srtp::default(),
            srtp_suites: vec![SrtpProfile::AesCm128HmacSha1_80, SrtpProfile::AeadAes128Gcm],
            ice: Ice::default(),
            ice_servers: Vec::new(),
            ice_limits: crate::ice::Config::default(),
            webrtc: false,
            offer_data: false,
            #[cfg(feature = "dtls")]
            data: crate::data::Config::default(),
            data_buffer: 1 << 20,
            data_queue: 64,
            data_ready: 8,
            #[cfg(feature = "dtls")]
            dtls_identity: None,
            #[cfg(feature = "dtls")]
            dtls: crate::dtls::Config::default(),
            trace: None,
        }
    }
}

impl std::fmt::Debug for Config {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Config")
            .field("listen", &self.listen)
            .field("media_address", &self.media_address)
            .field("rtp_ports", &self.rtp_ports)
            .field("codecs", &self.codecs)
            .finish_non_exhaustive()
    }
}
