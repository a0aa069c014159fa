//! Limits, times and policy of an agent.

use crate::stun::Timing;
use crate::turn;
use std::net::SocketAddr;
use std::time::Duration;

/// Which candidates are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Policy {
    /// All.
    #[default]
    All,
    /// Relays alone: the peer learns none of our addresses.
    RelayOnly,
}

/// Which TCP candidates (RFC 6544) the owner of an agent gives it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum TcpCandidates {
    /// None.
    #[default]
    None,
    /// We connect to the peer.
    Active,
    /// We connect, and listen on a port of each address.
    ActiveAndPassive,
}

/// Limits, times and policy of an [`Agent`](super::Agent).
#[derive(Debug, Clone)]
pub struct Config {
    /// 1 with RTP and RTCP on one port, 2 without; more are taken for 2.
    pub components: u16,
    /// Whether we only answer checks (RFC 8445 §2.5): for hosts with a public address.
    pub lite: bool,
    /// Which candidates are used.
    pub policy: Policy,
    /// Whether the peer learns no address of our hosts from what we tell (draft-ietf-mmusic-mdns-ice-candidates
    /// §3.1.1): host candidates have a random name of `.local` each, made anew for each call, that only our own links can
    /// look up by multicast DNS; outer and relayed ones do not say what they come from; the default address is an
    /// outer one, or a relay, or none. Of a host with a public address no outer candidate is told, as it would say the
    /// same. What it costs: elsewhere than on our links we are found by outer addresses, relays, and our own checks;
    /// peers without ICE can send to us only where there is an outer address or a relay. Packets of ours still
    /// come from where we are, and what tells our address without ICE (SIP's Via and Contact, the descriptions of calls
    /// with `Ice::Off`) is not changed. Default false.
    pub hide_addresses: bool,
    /// TCP candidates (RFC 6544), for networks that let no datagram through. Default none: they double the pairs.
    pub tcp: TcpCandidates,
    /// STUN servers that tell our outer addresses.
    pub stun_servers: Vec<SocketAddr>,
    /// Relays: those of one transport stand in for each other, and each transport gets a relay.
    pub turn_servers: Vec<turn::Server>,
    /// Limits and times towards relays.
    pub turn: turn::Config,
    /// The wait between two checks, and between two requests while gathering: Ta, 50 ms (RFC 8445
    /// §14.2); never below 5 ms.
    pub pace: Duration,
    /// When checks are repeated and given up: in the 39.5 s of RFC 8489, but each four seconds from
    /// the fifth on, 11 times in all, as a third of lost packets leaves too few of seven. `rto` is
    /// never taken below 500 ms (§14.3).
    pub timing: Timing,
    /// The same towards STUN servers and relays: every other second at most, 16 times, so that
    /// losses of a third leave no agent without an outer address.
    pub gather_timing: Timing,
    /// How long candidates of servers are waited for before gathering is called done: 5 s. Later
    /// ones are still told.
    pub gather_patience: Duration,
    /// How long servers that say nothing are waited for once others have brought enough, a relayed
    /// candidate for each component, or an outer address where no relay is asked: 500 ms, after which
    /// a lost request has been repeated, and as long as the slowest answer took. Behind a firewall
    /// that stops UDP, a relay over TLS is there then and the others cannot be.
    pub gather_grace: Duration,
    /// How long after the first checks a lack of any path is a failure: 39.5 s (RFC 8863 §4).
    pub patience: Duration,
    /// How long after the first path that works a better one is waited for before nominating,
    /// where both ends are direct: 500 ms.
    pub nominate_direct_after: Duration,
    /// The same, where the first path goes through a relay: 2 s.
    pub nominate_relayed_after: Duration,
    /// Local addresses, relays included: 32; more are refused.
    pub max_local: usize,
    /// Candidates of the peer, those learnt from its checks included: 64; more are refused and
    /// counted.
    pub max_remote: usize,
    /// Pairs (RFC 8445 §6.1.2.5): 100; the least liked that never worked give way.
    pub max_pairs: usize,
    /// Relays asked for: 6; for addresses beyond none is.
    pub max_relays: usize,
    /// TCP connections: 16; another one takes the place of one that no pair goes over, or is closed.
    pub max_connections: usize,
    /// The longest frame over TCP: 8 KiB; a longer one ends the connection.
    pub max_frame: usize,
    /// Paths that work and are kept besides the one in use: 6; others are pruned.
    pub max_backups: usize,
    /// How often those are looked at: 10 s, so that NATs remember them.
    pub backup_interval: Duration,
    /// Consent checks: each 4 to 6 s, 5 s on average (RFC 7675 §5.1).
    pub consent_interval: Duration,
    /// After how long without an answer sending ends: 30 s (RFC 7675 §5.1).
    pub consent_expiry: Duration,
    /// After how long without a word the path in use gets a keep-alive: 15 s (RFC 8445 §11).
    pub keep_alive: Duration,
    /// After how long without a sign of life the path of a running conversation is asked: 300 ms.
    pub silence: Duration,
    /// How long such a question may stay without an answer before the path counts as dead, or
    /// three round trips if that is longer: 350 ms.
    pub dead_after: Duration,
    /// By how much a path of equal cost and kind has to be quicker to be changed to: 10 ms.
    pub rtt_gain: Duration,
    /// The least time between two changes that are no necessity: 5 s.
    pub settle: Duration,
    /// Of the pairs that do not work, so many are named by the sentence that ends a call: 4; the others
    /// are counted there, and stand in the report.
    pub max_named_pairs: usize,
    /// Packets of a handshake that wait for a path, and those of the peer's that wait for its
    /// description: 16 each; more are dropped, and repeated by whoever sent them.
    pub max_waiting_packets: usize,
    /// How long relays are waited for that are given back, after the end: 2 s.
    pub farewell: Duration,
}

impl Config {
    /// Whether what is told to the peer has no address of our hosts, by policy or by names.
    pub fn shows_no_host(&self) -> bool {
        self.hide_addresses || self.policy == Policy::RelayOnly
    }
}

impl Default for Config {
    fn default() -> Self {
        let timing = Timing { cap: Some(Duration::from_secs(4)), sends: 11, ..Timing::default() };
        let cap = Some(Duration::from_secs(2));
        let gather_timing = Timing { cap, sends: 16, ..Timing::default() };
        Self {
            components: 1,
            lite: false,
            policy: Policy::All,
            hide_addresses: false,
            tcp: TcpCandidates::None,
            stun_servers: Vec::new(),
            turn_servers: Vec::new(),
            turn: turn::Config { timing: gather_timing, ..turn::Config::default() },
            pace: Duration::from_millis(50),
            timing,
            gather_timing,
            gather_patience: Duration::from_secs(5),
            gather_grace: Duration::from_millis(500),
            patience: Duration::from_millis(39_500),
            nominate_direct_after: Duration::from_millis(500),
            nominate_relayed_after: Duration::from_secs(2),
            max_local: 32,
            max_remote: 64,
            max_pairs: 100,
            max_relays: 6,
            max_connections: 16,
            max_frame: 8 * 1024,
            max_backups: 6,
            backup_interval: Duration::from_secs(10),
            consent_interval: Duration::from_secs(5),
            consent_expiry: Duration::from_secs(30),
            keep_alive: Duration::from_secs(15),
            silence: Duration::from_millis(300),
            dead_after: Duration::from_millis(350),
            rtt_gain: Duration::from_millis(10),
            settle: Duration::from_secs(5),
            max_named_pairs: 4,
            max_waiting_packets: 16,
            farewell: Duration::from_secs(2),
        }
    }
}
