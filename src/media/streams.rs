//! One stream of a media worker: a task that waits for its sockets, its deadline or a command, and
//! moves packets between them, the stream and what protects it.

use super::channels::{Pumped, Sctp, Woken};
use super::ice_path::{Change, IceStart};
use super::mixing::Sound;
use super::path::{Path, Ready, Received, Told, Tracer, anchor};
use super::pinhole::{self, Pinhole};
use super::{
    DtlsEvent, Handshakes, MediaCommand, MediaId, MediaNotice, MediaReport, Security, Shield,
};
use crate::audio::OpenAudio;
use crate::{CallStats, Error};
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tiny_media::{
    AudioStream, Component, DtmfVia, Input as StreamInput, MediaError, StreamConfig, StreamEvent,
};
use tiny_net::rtp::RtpPair;
use tiny_rtp::{NtpClock, PacketKind};
use tiny_sak::{Output, Rng};
use tokio::sync::mpsc;

/// The longest RTP or RTCP packet that is read; longer ones are cut and then fail to parse.
const MAX_PACKET: usize = 2048;
/// Packets read from one socket before the stream's own work gets its turn.
const MAX_BURST: usize = 64;
/// How long a key is pressed, and the pause after it, in ms: well above the 40 ms and 40 ms that
/// every receiver must recognise (ITU-T Q.24).
const DTMF_MS: u32 = 160;
const DTMF_GAP_MS: u32 = 80;

pub(super) enum ToStream {
    /// The ports have been waiting, with an agent beside them.
    Start(Box<Start>),
    Command(MediaCommand),
    /// Other sound in place of its own, which it keeps.
    Connect(Sound),
    /// Its own sound again; what it has lent is brought back.
    Disconnect(Option<Sound>),
    /// Its own sound goes to somebody else.
    Lend(Box<dyn FnOnce(Sound) + Send>),
    /// Send and listen here from now on.
    Rebind(RtpPair),
    /// Some of our addresses are gone, and there are new ones.
    Change(Box<Change>),
    Close,
}

/// What a stream begins with.
pub(super) struct Start {
    pub(super) config: StreamConfig,
    pub(super) security: Security,
    pub(super) audio: OpenAudio,
    pub(super) rng: Rng,
}

/// Gives a stream other sound, and returns what it had.
fn exchange(stream: &mut AudioStream, new: Option<Sound>) -> Option<Sound> {
    let now = Instant::now();
    let (source, sink) = new.map_or((None, None), |new| (Some(new.source), Some(new.sink)));
    // Formats were checked where the sound was opened.
    let source = stream.set_source(now, source).ok().flatten();
    let sink = stream.set_sink(now, sink).ok().flatten();
    source.zip(sink).map(|(source, sink)| Sound { source, sink })
}

fn no_sockets(e: std::io::Error) -> MediaError {
    MediaError::Device { id: "media sockets".into(), reason: e.to_string() }
}

/// A stream, and what protects its packets.
pub(super) struct Carried {
    stream: AudioStream,
    shield: Shield,
    /// Its own sound, while it is connected to other.
    own: Option<Sound>,
    dtls: Option<Handshakes>,
    /// Data channels, once they were talked of.
    sctp: Option<Box<Sctp>>,
    rng: Rng,
}

impl Carried {
    fn new(start: Start, path: &mut Path) -> Result<Self, MediaError> {
        let Start { mut config, security, audio, mut rng } = start;
        let (now, seeds) = (Instant::now(), rng.fork());
        path.set_remotes(now, &mut config);
        let peers = path.peers(&config);
        let mut stream = AudioStream::new(now, config, rng)?;
        stream.set_source(now, Some(audio.source))?;
        stream.set_sink(now, Some(audio.sink))?;
        stream.set_recorder(now, audio.recorder)?;
        let broken = |reason| MediaError::Device { id: "srtp".into(), reason };
        let mut shield = Shield::new(security.clone()).map_err(|e| broken(e.to_string()))?;
        shield.expect(stream.config());
        let mut carried = Self { stream, shield, own: None, dtls: None, sctp: None, rng: seeds };
        carried.follow(&security, peers).map_err(broken)?;
        carried.open_pinholes(path);
        Ok(carried)
    }

    /// RFC 5763 §6.7.1: who waits for a handshake without ICE opens the way for it.
    fn open_pinholes(&mut self, path: &mut Path) {
        let Some(dtls) = self.dtls.as_ref().filter(|_| !path.has_ice()) else { return };
        let peers = path.peers(self.stream.config());
        for (component, peer) in [Component::Rtp, Component::Rtcp].into_iter().zip(peers) {
            if let Some(peer) = peer.filter(|_| dtls.waits(component)) {
                let check = pinhole::check(&mut self.rng);
                path.send_handshake(Instant::now(), component, peer, check);
            }
        }
    }

    /// Handshakes begin with the path of their component.
    fn peers_known(&mut self, path: &mut Path) {
        if let Some(dtls) = &mut self.dtls {
            dtls.set_peers(Instant::now(), path.peers(self.stream.config()));
        }
    }

    /// The peer has no ICE: what signalling said of its addresses counts.
    fn without_ice(&mut self, path: &mut Path) {
        let mut config = self.stream.config().clone();
        [config.remote_rtp, config.remote_rtcp] = path.signalled();
        if let Err(e) = self.stream.reconfigure(Instant::now(), config) {
            tracing::error!("media: {e}");
        }
        self.peers_known(path);
        self.open_pinholes(path);
    }

    /// What runs handshakes for the security that was agreed on.
    fn follow(
        &mut self,
        security: &Security,
        peers: [Option<SocketAddr>; 2],
    ) -> Result<(), String> {
        let now = Instant::now();
        let Security::Dtls(keys) = security else {
            self.dtls = None;
            return Ok(());
        };
        match &mut self.dtls {
            Some(dtls) if dtls.are_of(keys) => dtls.set_peers(now, peers),
            dtls => *dtls = Some(Handshakes::new(now, keys, peers, &mut self.rng)?),
        }
        Ok(())
    }

    fn stats(&self) -> CallStats {
        let mut stats = self.stream.stats(Instant::now());
        self.shield.count(&mut stats);
        if let Some(dtls) = &self.dtls {
            dtls.count(&mut stats);
        }
        if let Some(sctp) = &self.sctp {
            sctp.count(&mut stats);
        }
        stats
    }
}

/// Waits for what handles of data channels want.
async fn woken(carried: &mut Option<Box<Carried>>) -> Woken {
    match carried.as_mut().and_then(|carried| carried.sctp.as_mut()) {
        Some(sctp) => sctp.woken().await,
        None => std::future::pending().await,
    }
}

pub(super) struct StreamTask {
    pub(super) id: MediaId,
    pub(super) inbox: mpsc::UnboundedReceiver<ToStream>,
    pub(super) notices: mpsc::UnboundedSender<MediaNotice>,
    pub(super) ntp: NtpClock,
    /// Of the peer's handshake, from before the stream began.
    pub(super) early: Vec<(Component, SocketAddr, Vec<u8>)>,
    /// How many of those are kept.
    pub(super) most_early: usize,
}

impl StreamTask {
    fn report(&self, report: MediaReport) {
        let _ = self.notices.send(MediaNotice { id: self.id, report });
    }

    /// A stream that starts at once.
    pub(super) async fn run(self, pair: RtpPair, start: Start, tracer: Tracer) {
        let path = Path::plain(pair, tracer).map_err(no_sockets);
        let ready = path.and_then(|mut path| {
            let carried = Carried::new(start, &mut path)?;
            Ok((path, Some(Box::new(carried))))
        });
        self.live(ready).await;
    }

    /// Ports with an agent beside them, that wait for their stream.
    pub(super) async fn run_ice(self, start: IceStart, tracer: Tracer) {
        let path = Path::with_ice(Instant::now(), start, tracer).map_err(no_sockets);
        self.live(path.map(|path| (path, None))).await;
    }

    async fn live(mut self, ready: Result<(Path, Option<Box<Carried>>), MediaError>) {
        match ready {
            Ok((mut path, mut carried)) => {
                let stats = self.carry(&mut path, &mut carried).await;
                drop(carried);
                self.report(MediaReport::Closed(stats.map(Box::new)));
                self.part(&mut path).await;
            }
            Err(e) => {
                tracing::error!("no media: {e}");
                self.report(MediaReport::Closed(None));
            }
        }
    }

    // Gives relays back: their servers ask who we are.
    async fn part(&mut self, path: &mut Path) {
        let end = Instant::now() + path.farewell();
        let mut buffer = [0u8; MAX_PACKET];
        path.close(Instant::now());
        while let Some(deadline) = self.drain(path, &mut None).filter(|_| Instant::now() < end) {
            tokio::select! {
                ready = path.ready() => match ready {
                    Ready::Socket(at) => self.receive(path, at, &mut None, &mut buffer),
                    Ready::Word(word) => path.hear(Instant::now(), word),
                },
                () = tokio::time::sleep_until(deadline.min(end).into()) => {
                    path.handle_timeout(Instant::now());
                }
            }
        }
    }

    pub(super) async fn carry(
        &mut self,
        path: &mut Path,
        carried: &mut Option<Box<Carried>>,
    ) -> Option<CallStats> {
        let far = Duration::from_secs(3600);
        let sleep = tokio::time::sleep(far);
        tokio::pin!(sleep);
        let mut buffer = [0u8; MAX_PACKET];
        loop {
            let deadline = self.drain(path, carried);
            sleep.as_mut().reset(deadline.unwrap_or_else(|| Instant::now() + far).into());
            tokio::select! {
                ready = path.ready() => match ready {
                    Ready::Socket(at) => self.receive(path, at, carried, &mut buffer),
                    Ready::Word(word) => path.hear(Instant::now(), word),
                },
                () = &mut sleep => {
                    let now = Instant::now();
                    path.handle_timeout(now);
                    if let Some(carried) = carried {
                        if let Some(dtls) = &mut carried.dtls {
                            dtls.handle_timeout(now);
                        }
                        if let Some(sctp) = &mut carried.sctp {
                            sctp.handle_timeout(now);
                        }
                        carried.stream.handle(now, StreamInput::Timeout);
                    }
                }
                woken = woken(carried) => {
                    if let Some(sctp) = carried.as_mut().and_then(|c| c.sctp.as_mut()) {
                        sctp.act(Instant::now(), woken);
                    }
                }
                told = self.inbox.recv() => match told {
                    Some(ToStream::Close) | None => return self.end(path, carried),
                    Some(ToStream::Rebind(pair)) => path.rebind(pair),
                    Some(ToStream::Change(change)) => path.change(Instant::now(), *change),
                    Some(ToStream::Start(start)) => match Carried::new(*start, path) {
                        Ok(new) => {
                            let new = carried.insert(Box::new(new));
                            self.take_early(path, new);
                        }
                        Err(e) => {
                            tracing::error!("no media: {e}");
                            return None;
                        }
                    },
                    Some(ToStream::Command(MediaCommand::Ice(command))) => {
                        if path.obey(Instant::now(), command) && let Some(carried) = carried {
                            carried.without_ice(path);
                        }
                    }
                    Some(told) => if let Some(carried) = carried {
                        self.told(path, carried, told);
                    },
                },
            }
        }
    }

    fn told(&self, path: &mut Path, carried: &mut Carried, told: ToStream) {
        match told {
            ToStream::Command(command) => self.obey(path, carried, command),
            ToStream::Connect(sound) => {
                if let Some(own) = exchange(&mut carried.stream, Some(sound)) {
                    carried.own.get_or_insert(own);
                }
            }
            ToStream::Disconnect(lent) => {
                let own = lent.or(carried.own.take());
                exchange(&mut carried.stream, own);
            }
            ToStream::Lend(give) => {
                if let Some(own) = carried.own.take() {
                    give(own);
                }
            }
            ToStream::Start(_) | ToStream::Rebind(_) | ToStream::Change(_) | ToStream::Close => {}
        }
    }

    fn end(&mut self, path: &mut Path, carried: &mut Option<Box<Carried>>) -> Option<CallStats> {
        if let Some(carried) = carried {
            carried.stream.end(Instant::now());
        }
        // What the stream has to say still needs the keys.
        self.drain(path, carried);
        if let Some(carried) = carried
            && let Some(dtls) = &mut carried.dtls
        {
            if let Some(sctp) = &mut carried.sctp {
                sctp.close(Instant::now(), dtls);
            }
            dtls.close();
        }
        self.drain(path, carried);
        carried.as_ref().map(|carried| carried.stats())
    }

    /// Reads all that has arrived at a socket.
    fn receive(
        &mut self,
        path: &mut Path,
        at: usize,
        carried: &mut Option<Box<Carried>>,
        buffer: &mut [u8],
    ) {
        let now = Instant::now();
        for _ in 0..MAX_BURST {
            match path.receive(now, at, buffer) {
                Received::Packet(component, from, place) => {
                    let data = &mut buffer[place];
                    match carried {
                        Some(carried) => self.take(now, path, carried, component, from, data),
                        None => self.keep_early(component, from, data),
                    }
                }
                Received::Taken => {}
                Received::Nothing => return,
            }
        }
    }

    /// The peer may have a path, and begin its handshake, before signalling has told us of it.
    fn keep_early(&mut self, component: Component, from: SocketAddr, data: &[u8]) {
        if PacketKind::of(data) == PacketKind::Dtls && self.early.len() < self.most_early {
            self.early.push((component, from, data.to_vec()));
        }
    }

    fn take_early(&mut self, path: &mut Path, carried: &mut Carried) {
        for (component, from, mut data) in std::mem::take(&mut self.early) {
            self.take(Instant::now(), path, carried, component, from, &mut data);
        }
    }

    /// A packet of the peer, as it came.
    #[inline]
    fn take(
        &self,
        now: Instant,
        path: &mut Path,
        carried: &mut Carried,
        component: Component,
        from: SocketAddr,
        data: &mut [u8],
    ) {
        if let Some(dtls) = &mut carried.dtls
            && PacketKind::of(data) == PacketKind::Dtls
        {
            dtls.handle(now, component, from, data);
            self.shake_hands(path, carried);
            return;
        }
        if carried.dtls.is_some() && PacketKind::of(data) == PacketKind::Stun && !path.has_ice() {
            match pinhole::read(data, from) {
                Pinhole::Asked(answer) => {
                    return path.send_handshake(now, component, from, answer);
                }
                Pinhole::Answered => return,
                Pinhole::Stranger => {}
            }
        }
        if let Some(length) = carried.shield.open(component, data) {
            let data = &data[..length];
            carried.stream.handle(now, StreamInput::Packet { component, from, data });
        }
    }

    /// Sends and reports all that the path and the stream have; returns the next deadline.
    fn drain(&mut self, path: &mut Path, carried: &mut Option<Box<Carried>>) -> Option<Instant> {
        let mut stream = carried.as_mut().and_then(|carried| self.drain_stream(path, carried));
        loop {
            match path.poll(Instant::now()) {
                Output::Transmit(never) => match never {},
                Output::Event(Told::Notice(notice)) => self.report(MediaReport::Ice(notice)),
                Output::Event(told) => {
                    let Some(carried) = carried else {
                        if let Told::Packet(component, data) = told {
                            self.keep_early(component, anchor(component), &data);
                        }
                        continue;
                    };
                    match told {
                        Told::Packet(component, data) => {
                            let (now, mut data) = (Instant::now(), Vec::from(data));
                            self.take(now, path, carried, component, anchor(component), &mut data);
                        }
                        _ => carried.peers_known(path),
                    }
                    // What follows from it goes out at once.
                    stream = self.drain_stream(path, carried);
                }
                Output::Timeout(deadline) => return deadline.into_iter().chain(stream).min(),
            }
        }
    }

    fn drain_stream(&self, path: &mut Path, carried: &mut Carried) -> Option<Instant> {
        let handshake = self.shake_hands(path, carried);
        let now = Instant::now();
        let Carried { stream, shield, .. } = carried;
        loop {
            match stream.poll(now) {
                Output::Transmit(mut packet) => {
                    if shield.seal(packet.component, &mut packet.data) {
                        path.send(now, packet.component, packet.to, &packet.data);
                    }
                    stream.recycle(packet.data);
                }
                Output::Event(event) => {
                    if let StreamEvent::RemoteBye { ssrc } = event {
                        shield.forget(ssrc);
                    }
                    self.report(MediaReport::Event(event));
                }
                Output::Timeout(deadline) => {
                    if shield.take_rekey_due() {
                        self.report(MediaReport::RekeyDue);
                    }
                    return deadline.into_iter().chain(handshake).min();
                }
            }
        }
    }

    /// Sends what the handshakes have, and takes up the keys that they bring; returns their deadline.
    fn shake_hands(&self, path: &mut Path, carried: &mut Carried) -> Option<Instant> {
        let Carried { dtls, shield, sctp, .. } = carried;
        let dtls = dtls.as_mut()?;
        loop {
            let now = Instant::now();
            match dtls.poll(now) {
                Output::Transmit((component, to, data)) => {
                    path.send_handshake(now, component, to, data);
                }
                Output::Event(DtlsEvent::Keys(component, keyed)) => {
                    if component == Component::Rtp {
                        self.report(MediaReport::Secured(keyed.secured.clone()));
                    }
                    shield.install(component, keyed);
                    #[cfg(feature = "dtls")]
                    if let Some(sctp) = sctp.as_mut().filter(|_| component == Component::Rtp) {
                        sctp.connected();
                    }
                }
                Output::Event(DtlsEvent::Failed(why)) => self.report(MediaReport::NoKeys(why)),
                #[cfg(feature = "dtls")]
                Output::Event(DtlsEvent::Data(data)) => {
                    if let Some(sctp) = sctp {
                        sctp.handle(now, &data);
                    }
                }
                #[cfg(feature = "dtls")]
                Output::Event(DtlsEvent::Closed) => {
                    if let Some(sctp) = sctp {
                        sctp.disconnected();
                    }
                }
                #[cfg(not(feature = "dtls"))]
                Output::Event(_) => {}
                Output::Timeout(deadline) => match sctp.as_mut().map(|s| s.pump(now, dtls)) {
                    Some(Pumped::More) => {}
                    Some(Pumped::Idle(at)) => {
                        self.tell_channels(sctp);
                        return deadline.into_iter().chain(at).min();
                    }
                    None => return deadline,
                },
            }
        }
    }

    /// Tells of the data channels that the peer has opened.
    #[cfg(feature = "dtls")]
    fn tell_channels(&self, sctp: &mut Option<Box<Sctp>>) {
        while let Some(channel) = sctp.as_mut().and_then(|sctp| sctp.take_news()) {
            self.report(MediaReport::Channel(channel));
        }
        while let Some(word) = sctp.as_mut().and_then(|sctp| sctp.take_word()) {
            self.report(MediaReport::Data(word));
        }
    }

    #[cfg(not(feature = "dtls"))]
    fn tell_channels(&self, _: &mut Option<Box<Sctp>>) {}

    fn obey(&self, path: &mut Path, carried: &mut Carried, command: MediaCommand) {
        let now = Instant::now();
        match command {
            MediaCommand::Reconfigure(mut config, security) => {
                config.ntp = Some(self.ntp);
                path.set_remotes(now, &mut config);
                let followed = carried.follow(&security, path.peers(&config));
                let applied = carried.shield.apply(security).map_err(|e| e.to_string());
                if let Err(e) = followed.and(applied) {
                    self.report(MediaReport::NoKeys(e));
                    return;
                }
                if let Err(e) = carried.stream.reconfigure(now, *config) {
                    tracing::error!("media: {e}");
                }
                carried.shield.expect(carried.stream.config());
            }
            MediaCommand::Audio(audio) => {
                let OpenAudio { source, sink, recorder, .. } = *audio;
                let stream = &mut carried.stream;
                let changed = stream
                    .set_source(now, Some(source))
                    .and_then(|_| stream.set_sink(now, Some(sink)))
                    .and_then(|_| stream.set_recorder(now, recorder));
                if let Err(e) = changed {
                    tracing::error!("media: {e}");
                }
            }
            MediaCommand::Mute(on) => carried.stream.set_muted(on),
            MediaCommand::Dtmf { digits, inband, reply } => {
                let via = if inband { DtmfVia::Inband } else { DtmfVia::Rfc4733 };
                let sent = carried.stream.send_dtmf(now, &digits, via, DTMF_MS, DTMF_GAP_MS);
                let _ = reply.send(sent.map_err(Error::from));
            }
            // Done before, with or without a stream.
            MediaCommand::Ice(_) => {}
            #[cfg(feature = "dtls")]
            MediaCommand::Data(command) => {
                let Carried { sctp, rng, .. } = carried;
                sctp.get_or_insert_with(|| Box::new(Sctp::new(rng.fork()))).obey(now, command);
            }
            #[cfg(not(feature = "dtls"))]
            MediaCommand::Data(command) => match command {},
            MediaCommand::Stats(reply) => {
                let _ = reply.send(Ok(carried.stats()));
            }
        }
    }
}

#[cfg(test)]
#[path = "streams_tests.rs"]
mod tests;
