//! The media plane with sockets and threads: each worker is one thread with a single-threaded
//! runtime, each stream a task on it.

use super::mixing::Mixers;
use super::streams::{StreamTask, ToStream};
use super::{
    MediaCommand, MediaId, MediaNotice, MediaPlane, MediaPorts, MediaReport, MixCommand, MixerId,
    Security,
};
use crate::audio::OpenAudio;
use crate::config::Config;
use crate::{Error, Trace};
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Instant, SystemTime};
use tiny_media::StreamConfig;
use tiny_net::BindError;
use tiny_net::rtp::{RtpPair, RtpPorts};
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
    running: HashMap<MediaId, mpsc::UnboundedSender<ToStream>>,
    notices: mpsc::UnboundedSender<MediaNotice>,
    rng: Rng,
    net: tiny_net::Config,
    trace: Option<Arc<dyn Trace>>,
    ntp: NtpClock,
    pub(super) mixers: Mixers,
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
            net: config.net.clone(),
            trace: config.trace.clone(),
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
        self.running.get(&id)
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
        self.next_id += 1;
        let id = MediaId(self.next_id);
        let ports = ports_of(id, &pair);
        self.waiting.insert(id, pair);
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
            let _ = stream.send(ToStream::Rebind(pair));
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
        let Some(pair) = self.waiting.remove(&id) else { return };
        let (commands, inbox) = mpsc::unbounded_channel();
        self.running.insert(id, commands);
        let task = StreamTask {
            id,
            inbox,
            notices: self.notices.clone(),
            trace: self.trace.clone(),
            ntp: self.ntp,
        };
        let rng = self.rng.fork();
        self.next_worker().spawn(task.run(pair, config, security, audio, rng));
    }

    fn tell(&mut self, id: MediaId, command: MediaCommand) {
        if let Some(stream) = self.running.get(&id) {
            let _ = stream.send(ToStream::Command(command));
        }
    }

    fn mix(&mut self, mixer: MixerId, command: MixCommand) {
        self.obey_mix(mixer, command);
    }

    fn close(&mut self, id: MediaId) {
        if self.waiting.remove(&id).is_some() {
            self.report(id, MediaReport::Closed(None));
        } else if let Some(stream) = self.running.remove(&id)
            && stream.send(ToStream::Close).is_err()
        {
            self.report(id, MediaReport::Closed(None));
        }
    }
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
