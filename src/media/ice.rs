//! ICE of a stream (RFC 8445), as signalling sees it: what is gathered with, what is told to the peer
//! and by the peer, and how it goes. The agent itself runs beside the stream's sockets.

use crate::command::Reply;
pub(crate) use crate::ice::{IceServer, IceServerKind};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use tiny_net::ice::{
    Candidate, Config, IceFailure, IceOptions, IceReport, PairReport, SwitchReason,
};
use tiny_sak::Secret;

/// What an agent gathers with.
#[derive(Debug, Clone)]
pub(crate) struct IceSetup {
    /// Limits, times, components, lite or full; its servers are filled in from `servers`.
    pub(crate) config: Config,
    /// Servers by name; media asks for their addresses.
    pub(crate) servers: Vec<IceServer>,
    /// Who sent the offer controls.
    pub(crate) controlling: bool,
    /// Whether the addresses of all networks are used, or that one alone.
    pub(crate) all_networks: bool,
}

/// Our side, as a description tells it.
#[derive(Debug, Clone)]
pub(crate) struct LocalIce {
    pub(crate) ufrag: String,
    pub(crate) password: Secret,
    pub(crate) options: IceOptions,
    pub(crate) lite: bool,
    pub(crate) candidates: Vec<Candidate>,
    /// No more will come.
    pub(crate) done: bool,
    /// For the `c=` and `m=` line, and for `a=rtcp`: what peers without ICE send to.
    pub(crate) default_rtp: SocketAddr,
    pub(crate) default_rtcp: Option<SocketAddr>,
    /// Our own addresses stand nowhere in a description.
    pub(crate) hidden: bool,
    /// What was nominated by us, for `a=remote-candidates`; empty before.
    pub(crate) remote_candidates: Vec<(u16, SocketAddr)>,
}

impl LocalIce {
    /// Without what was gathered elsewhere.
    pub(crate) fn nowhere(mut self) -> Self {
        for default in std::iter::once(&mut self.default_rtp).chain(self.default_rtcp.as_mut()) {
            let any: IpAddr = if default.is_ipv4() { [0; 4].into() } else { [0; 16].into() };
            *default = SocketAddr::new(any, 9);
        }
        self.candidates.clear();
        self
    }
}

/// The peer's side.
#[derive(Debug, Clone)]
pub(crate) struct IcePeer {
    pub(crate) ufrag: String,
    pub(crate) password: Secret,
    pub(crate) lite: bool,
    pub(crate) options: IceOptions,
    pub(crate) pace: Option<Duration>,
    pub(crate) candidates: Vec<Candidate>,
    /// No more will come.
    pub(crate) done: bool,
    /// What it has chosen, by an offer of who controls: component, our address, its own.
    pub(crate) chosen: Vec<(u16, SocketAddr, SocketAddr)>,
}

/// What signalling tells the agent of a stream.
#[derive(Debug)]
pub(crate) enum IceCommand {
    /// The peer's description. With credentials other than before, without a restart of ours, it is
    /// another branch of a fork: our own credentials and candidates stay.
    Peer(Box<IcePeer>),
    /// The peer has no ICE: its address of the description is sent to as without ICE, or through a
    /// relay where none of ours may be shown.
    NoPeer,
    /// Candidates that came later (RFC 8838).
    #[cfg_attr(not(test), allow(dead_code, reason = "candidates of peers come in descriptions"))]
    Add(Vec<Candidate>),
    /// The peer has no more.
    #[cfg_attr(not(test), allow(dead_code, reason = "candidates of peers come in descriptions"))]
    End,
    /// New credentials: [`IceNotice::Gathered`] follows with them.
    Restart,
    /// Our addresses are others now: those that are gone leave, new ones come.
    Network(Vec<IpAddr>),
    /// All there is to know.
    Report(Reply<IceReport>),
}

/// What the agent of a stream tells signalling.
#[derive(Debug)]
pub(crate) enum IceNotice {
    /// Gathering is done, or its patience is over: a description can be written. After a restart it
    /// comes again.
    Gathered(Box<LocalIce>),
    /// A candidate that came later than that; to be trickled, or left out.
    Candidate(Box<Candidate>),
    /// That was the last one; only where it was not said with [`LocalIce::done`].
    Done,
    /// Media goes this way now.
    Selected { pair: Box<PairReport>, reason: SwitchReason },
    /// Nothing works, or nothing works any more: all there was. Nothing is sent from now on.
    Failed(IceFailure, Box<IceReport>),
}
