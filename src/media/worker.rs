//! The media plane with sockets and threads: each worker is one thread with a single-threaded
//! runtime, each stream a task on it.

use super::hidden::Responders;
use super::ice_path::{Change, IceStart};
use super::mixing::Mixers;
use super::path::Tracer;
use super::streams::{Start, StreamTask, ToStream};
use super::{
    IceCommand, IceSetup, MediaCommand, MediaId, MediaNotice, MediaPlane, MediaPorts, MediaReport,
    MixCommand, MixerId, Security,
};
use crate::Error;
use crate::audio::OpenAudio;
use crate::config::Config;
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Instant, SystemTime};
use tiny_media::StreamConfig;
use tiny_net::ice::Network;
use tiny_net::rtp::{RtpPair, RtpPorts};
use tiny_net::{BindError, Interface};
use tiny_rtp::{NtpClock, NtpTime};
use tiny_sak::Rng;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};

/// All workers of an agent. Dropping it ends their threads.
pub(crate) struct Workers {
    workers: Vec<Worker>,
    next: usize,
    next_id: u64,
    ports: RtpPorts,
    waiting: HashMap<MediaId, RtpPair>,
    running: HashMap<MediaId, Running>,
    notices: mpsc::UnboundedSender<MediaNotice>,
    rng: Rng,
    net: Arc<tiny_net::Config>,
    responders: Responders,
    trace: Tracer,
    ntp: NtpClock,
    pub(super) mixers: Mixers,
}

/// A stream with a task, or one with an agent that waits to be started.
struct Running {
    queue: mpsc::UnboundedSender<ToStream>,
    started: bool,
    ice: Option<Booked>,
}

/// What the agent of a stream has sockets for.
struct Booked {
    addresses: Vec<IpAddr>,
    all_networks: bool,
    most: usize,
    most_early: usize,
}

struct Worker {
    runtime: Handle,
    _stop: oneshot::Sender<()>,
}

impl Workers {
    pub(crate) fn start(
        config: &Config,
        mut rng: Rng,
        notices: mpsc::UnboundedSender<MediaNotice>,
    ) -> Result<Self, Error> {
        let cannot = |e: std::io::Error| Error::Limit(format!("cannot start a media worker: {e}"));
        let mut workers = Vec::new();
        for n in 0..config.media_workers.max(1) {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .map_err(cannot)?;
            let handle = runtime.handle().clone();
            let (stop, stopped) = oneshot::channel::<()>();
            std::thread::Builder::new()
                .name(format!("tiny-ua-media-{n}"))
                .spawn(move || {
                    let _ = runtime.block_on(stopped);
                })
                .map_err(cannot)?;
            workers.push(Worker { runtime: handle, _stop: stop });
        }
        Ok(Self {
            workers,
            next: 0,
            next_id: 0,
            ports: RtpPorts::new(config.rtp_ports.clone(), &mut rng),
            waiting: HashMap::new(),
            running: HashMap::new(),
            notices,
            rng,
            net: Arc::new(config.net.clone()),
            responders: Responders::default(),
            trace: Tracer(config.trace.clone()),
            ntp: wall_clock(),
            mixers: Mixers::default(),
        })
    }

    fn pair_at(&mut self, address: IpAddr) -> Result<RtpPair, Error> {
        self.ports.bind(address, &self.net).map_err(|e| match e {
            BindError::NoFreePair { .. } => Error::Limit(format!("rtp_ports: {e}")),
            e => Error::config("rtp ports", e),
        })
    }

    fn report(&self, id: MediaId, report: MediaReport) {
        let _ = self.notices.send(MediaNotice { id, report });
    }

    /// The queue of a stream that runs.
    pub(super) fn stream(&self, id: MediaId) -> Option<&mpsc::UnboundedSender<ToStream>> {
        self.running.get(&id).filter(|r| r.started).map(|r| &r.queue)
    }

    fn new_id(&mut self) -> MediaId {
        self.next_id += 1;
        MediaId(self.next_id)
    }

    fn new_task(&mut self, id: MediaId, ice: Option<Booked>) -> StreamTask {
        let (queue, inbox) = mpsc::unbounded_channel();
        let most_early = ice.as_ref().map_or(0, |booked| booked.most_early);
        self.running.insert(id, Running { queue, started: ice.is_none(), ice });
        let notices = self.notices.clone();
        StreamTask { id, inbox, notices, ntp: self.ntp, early: Vec::new(), most_early }
    }

    /// Pairs of ports at the addresses of other networks; one that cannot be had is left out.
    fn pairs_beside(&mut self, taken: &[IpAddr], most: usize) -> Vec<(RtpPair, Network)> {
        let loopback = taken.iter().any(IpAddr::is_loopback);
        let mut others = tiny_net::interfaces();
        others.retain(|i| !taken.contains(&i.ip) && (loopback || !i.ip.is_loopback()));
        others.truncate(most.saturating_sub(taken.len()));
        let pair = |i: Interface| Some((self.pair_at(i.ip).ok()?, i.network));
        others.into_iter().filter_map(pair).collect()
    }

    /// Our addresses are others now. Gives the new pair, where a stream is named by another one.
    fn change(&mut self, id: MediaId, now_ours: &[IpAddr], main: Option<RtpPair>) {
        let Some(booked) = self.running.get(&id).and_then(|r| r.ice.as_ref()) else { return };
        let (all, most) = (booked.all_networks, booked.most);
        let (mut kept, gone): (Vec<IpAddr>, Vec<IpAddr>) =
            booked.addresses.iter().partition(|ip| now_ours.contains(ip));
        let main = main.map(|pair| {
            let ip = pair.local_addr().ip();
            kept.push(ip);
            (pair, network_of(ip))
        });
        let mut new = Vec::new();
        for ip in now_ours.iter().take(if all { most } else { 1 - kept.len().min(1) }) {
            if !kept.contains(ip)
                && let Ok(pair) = self.pair_at(*ip)
            {
                kept.push(*ip);
                new.push((pair, network_of(*ip)));
            }
        }
        if let Some(running) = self.running.get_mut(&id) {
            if let Some(booked) = &mut running.ice {
                booked.addresses = kept;
            }
            let _ = running.queue.send(ToStream::Change(Box::new(Change { main, gone, new })));
        }
    }

    /// The worker whose turn it is.
    pub(super) fn next_worker(&mut self) -> &Handle {
        self.next = (self.next + 1) % self.workers.len();
        &self.workers[self.next].runtime
    }
}

impl MediaPlane for Workers {
    fn local_address_for(&mut self, remote: IpAddr) -> Option<IpAddr> {
        tiny_net::local_address_for(SocketAddr::new(remote, 9)).ok()
    }

    fn open(&mut self, address: IpAddr) -> Result<MediaPorts, Error> {
        let pair = self.pair_at(address)?;
        let id = self.new_id();
        let ports = ports_of(id, &pair);
        self.waiting.insert(id, pair);
        Ok(ports)
    }

    fn open_ice(&mut self, address: IpAddr, setup: IceSetup) -> Result<MediaPorts, Error> {
        let pair = self.pair_at(address)?;
        let id = self.new_id();
        let ports = ports_of(id, &pair);
        let all_networks = setup.all_networks;
        let most = setup.config.max_local / usize::from(setup.config.components.clamp(1, 2));
        let most_early = setup.config.max_waiting_packets;
        let more = if all_networks { self.pairs_beside(&[address], most) } else { Vec::new() };
        let others = more.iter().map(|(pair, _)| pair.local_addr().ip());
        let addresses = std::iter::once(address).chain(others).collect();
        let task = self.new_task(id, Some(Booked { addresses, all_networks, most, most_early }));
        let main = (pair, network_of(address));
        let (net, rng) = (Arc::clone(&self.net), self.rng.fork());
        let responders = self.responders.clone();
        let start = IceStart { setup, main, more, net, responders, rng };
        let tracer = self.trace.clone();
        self.next_worker().spawn(task.run_ice(start, tracer));
        Ok(ports)
    }

    fn has_address(&mut self, ip: IpAddr) -> bool {
        tiny_net::is_own_address(ip)
    }

    fn rebind(&mut self, id: MediaId, address: IpAddr) -> Result<MediaPorts, Error> {
        let pair = self.pair_at(address)?;
        let ports = ports_of(id, &pair);
        if let Some(waiting) = self.waiting.get_mut(&id) {
            *waiting = pair;
        } else if let Some(stream) = self.running.get(&id) {
            match &stream.ice {
                None => drop(stream.queue.send(ToStream::Rebind(pair))),
                Some(booked) => {
                    let own = |ip: &&IpAddr| tiny_net::is_own_address(**ip);
                    let ours: Vec<IpAddr> = booked.addresses.iter().filter(own).copied().collect();
                    self.change(id, &ours, Some(pair));
                }
            }
        }
        Ok(ports)
    }

    fn start(
        &mut self,
        id: MediaId,
        mut config: StreamConfig,
        security: Security,
        audio: OpenAudio,
    ) {
        config.ntp = Some(self.ntp);
        let start = Start { config, security, audio, rng: self.rng.fork() };
        if let Some(pair) = self.waiting.remove(&id) {
            let (task, tracer) = (self.new_task(id, None), self.trace.clone());
            self.next_worker().spawn(task.run(pair, start, tracer));
        } else if let Some(waiting) = self.running.get_mut(&id).filter(|r| !r.started) {
            waiting.started = true;
            let _ = waiting.queue.send(ToStream::Start(Box::new(start)));
        }
    }

    fn tell(&mut self, id: MediaId, command: MediaCommand) {
        if let MediaCommand::Ice(IceCommand::Network(ours)) = command {
            return self.change(id, &ours, None);
        }
        if let Some(stream) = self.running.get(&id) {
            let _ = stream.queue.send(ToStream::Command(command));
        }
    }

    fn mix(&mut self, mixer: MixerId, command: MixCommand) {
        self.obey_mix(mixer, command);
    }

    fn close(&mut self, id: MediaId) {
        if self.waiting.remove(&id).is_some() {
            self.report(id, MediaReport::Closed(None));
        } else if let Some(stream) = self.running.remove(&id)
            && stream.queue.send(ToStream::Close).is_err()
        {
            self.report(id, MediaReport::Closed(None));
        }
    }
}

/// What is known of the network of an address.
fn network_of(ip: IpAddr) -> Network {
    let mut all = tiny_net::interfaces().into_iter();
    all.find(|i| i.ip == ip).map_or_else(Network::default, |i| i.network)
}

fn ports_of(id: MediaId, pair: &RtpPair) -> MediaPorts {
    let rtp = pair.local_addr();
    MediaPorts { id, rtp, rtcp: SocketAddr::new(rtp.ip(), rtp.port() + 1) }
}

/// Ties the monotonic clock to the wall clock, once for all streams of the agent.
pub(super) fn wall_clock() -> NtpClock {
    let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    NtpClock::new(Instant::now(), NtpTime::from_unix(since_epoch))
}
