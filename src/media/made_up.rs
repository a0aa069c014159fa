//! Made-up ICE agents of a simulated media plane: they gather for as long as a test says, have one
//! candidate for each component, and write down what they are told.
#![cfg_attr(not(feature = "testkit"), allow(dead_code))]

use crate::ice::{IceFailure, IceReport, PairReport};
use crate::media::{
    IceCommand, IceNotice, IcePeer, IceSetup, LocalIce, MediaId, MediaNotice, MediaReport,
};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tiny_net::ice::{Candidate, IceOptions, SwitchReason};

/// One agent.
pub(crate) struct MadeUp {
    pub(crate) setup: IceSetup,
    at: SocketAddr,
    generation: u32,
    /// Whom it was told of, the last one last.
    pub(crate) peers: Vec<IcePeer>,
    /// It was told that the peer has no ICE.
    pub(crate) off: bool,
    /// Later candidates of the peer.
    pub(crate) added: Vec<Candidate>,
    /// The peer has no more.
    pub(crate) ended: bool,
    /// Our addresses, each time they changed.
    pub(crate) networks: Vec<Vec<std::net::IpAddr>>,
}

/// All agents of one telephone.
pub(crate) struct Agents {
    /// How long they gather.
    pub(crate) gathers: Duration,
    pub(crate) all: HashMap<MediaId, MadeUp>,
    /// What gathers since it was asked to, and until when it does.
    asked: Vec<MediaId>,
    due: Vec<(Instant, MediaId)>,
}

impl Default for Agents {
    fn default() -> Self {
        let gathers = Duration::from_millis(300);
        Self { gathers, all: HashMap::new(), asked: Vec::new(), due: Vec::new() }
    }
}

impl MadeUp {
    /// The name of the present generation: nobody else has it.
    pub(crate) fn ufrag(&self) -> String {
        let ip = self.at.ip().to_string().replace(['.', ':'], "");
        format!("u{ip}p{}g{}", self.at.port(), self.generation)
    }

    pub(crate) fn candidate(&self, component: u16, port: u16) -> Candidate {
        let kind = if component == 1 { 2_130_706_431 } else { 2_130_706_430 };
        let hidden = self.setup.config.hide_addresses;
        let host = match hidden {
            true => "1f4712db-ea17-4bcf-a596-105139dfd8bf.local".to_owned(),
            false => self.at.ip().to_string(),
        };
        let line = format!("1 {component} udp {kind} {host} {port} typ host");
        line.parse().expect("a candidate")
    }

    fn local(&self) -> LocalIce {
        let port = self.at.port();
        let two = self.setup.config.components == 2;
        let mut candidates = vec![self.candidate(1, port)];
        candidates.extend(two.then(|| self.candidate(2, port + 1)));
        let lite = self.setup.config.lite;
        let hidden = self.setup.config.hide_addresses;
        let local = LocalIce {
            password: format!("password0of0{}", self.ufrag()).into(),
            ufrag: self.ufrag(),
            options: IceOptions { ice2: true, trickle: !lite, ..IceOptions::default() },
            lite,
            candidates,
            done: true,
            default_rtp: self.at,
            default_rtcp: two.then(|| SocketAddr::new(self.at.ip(), port + 1)),
            hidden,
            remote_candidates: Vec::new(),
        };
        match hidden {
            true => LocalIce { candidates: local.candidates.clone(), ..local.nowhere() },
            false => local,
        }
    }
}

impl Agents {
    pub(crate) fn open(&mut self, id: MediaId, at: SocketAddr, setup: IceSetup) {
        let made_up = MadeUp {
            setup,
            at,
            generation: 0,
            peers: Vec::new(),
            off: false,
            added: Vec::new(),
            ended: false,
            networks: Vec::new(),
        };
        self.all.insert(id, made_up);
        self.asked.push(id);
    }

    /// Its sockets are elsewhere.
    pub(crate) fn rebind(&mut self, id: MediaId, at: SocketAddr) {
        if let Some(agent) = self.all.get_mut(&id) {
            agent.at = at;
        }
    }

    pub(crate) fn obey(&mut self, id: MediaId, command: IceCommand) {
        let Some(agent) = self.all.get_mut(&id) else { return };
        match command {
            IceCommand::Peer(peer) => agent.peers.push(*peer),
            IceCommand::NoPeer => agent.off = true,
            IceCommand::Add(candidates) => agent.added.extend(candidates),
            IceCommand::End => agent.ended = true,
            IceCommand::Restart => {
                agent.generation += 1;
                self.asked.push(id);
            }
            IceCommand::Network(addresses) => agent.networks.push(addresses),
            IceCommand::Report(reply) => {
                let _ = reply.send(Err(crate::Error::state("a made-up agent")));
            }
        }
    }

    /// What is due, and when to come again.
    pub(crate) fn poll(&mut self, now: Instant) -> (Vec<MediaNotice>, Option<Instant>) {
        self.due.extend(self.asked.drain(..).map(|id| (now + self.gathers, id)));
        let (ready, later) = self.due.drain(..).partition(|(at, _)| *at <= now);
        self.due = later;
        let ready: Vec<(Instant, MediaId)> = ready;
        let gathered = ready.into_iter().filter_map(|(_, id)| {
            let local = Box::new(self.all.get(&id)?.local());
            Some(notice(id, IceNotice::Gathered(local)))
        });
        (gathered.collect(), self.due.iter().map(|(at, _)| *at).min())
    }

    /// The one that there is.
    pub(crate) fn only(&self) -> (MediaId, &MadeUp) {
        let mut all = self.all.iter();
        match (all.next(), all.next()) {
            (Some((id, agent)), None) => (*id, agent),
            _ => panic!("{} agents", self.all.len()),
        }
    }
}

pub(crate) fn notice(id: MediaId, ice: IceNotice) -> MediaNotice {
    MediaNotice { id, report: MediaReport::Ice(ice) }
}

/// No path works: four were tried, if so.
pub(crate) fn failed(_: &MadeUp, failure: IceFailure) -> IceNotice {
    use crate::ice::{PairFailure, PairState};
    let why = [Some(PairFailure::Timeout), Some(PairFailure::Error(400)), None, None];
    let pairs = why.into_iter().zip(1..).map(|(failure, port)| PairReport {
        local: SocketAddr::new([192, 0, 2, 1].into(), port),
        sent: u64::from(failure.is_some()),
        remote: SocketAddr::new([192, 0, 2, 9].into(), port),
        state: if failure.is_some() { PairState::Failed } else { PairState::Waiting },
        failure,
        ..pair(SocketAddr::new([192, 0, 2, 1].into(), 1))
    });
    let tried = matches!(failure, IceFailure::NoPath(_));
    let pairs = if tried { pairs.collect() } else { Vec::new() };
    IceNotice::Failed(failure, Box::new(IceReport { pairs, ..IceReport::default() }))
}

/// A path that works.
pub(crate) fn selected(agent: &MadeUp) -> IceNotice {
    let pair = Box::new(pair(agent.at));
    IceNotice::Selected { pair, reason: SwitchReason::First }
}

fn pair(local: SocketAddr) -> PairReport {
    PairReport {
        component: 1,
        local,
        local_kind: crate::ice::CandidateKind::Host,
        mapped: None,
        remote: "192.0.2.200:4000".parse().expect("an address"),
        remote_kind: crate::ice::CandidateKind::ServerReflexive,
        network: crate::ice::Network::default(),
        priority: 1,
        state: crate::ice::PairState::Succeeded,
        nominated: true,
        selected: true,
        rtt: Some(Duration::from_millis(20)),
        sent: 1,
        answered: 1,
        failure: None,
    }
}
