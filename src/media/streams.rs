//! One stream of a media worker: a task that waits for its sockets, its deadline or a command, and
//! moves packets between them, the stream and what protects it.

use super::mixing::Sound;
use super::{
    DtlsEvent, Handshakes, MediaCommand, MediaId, MediaNotice, MediaReport, Security, Shield,
};
use crate::audio::OpenAudio;
use crate::trace::{TraceKind, TracePacket};
use crate::{CallStats, Error, Trace};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};
use tiny_media::{
    AudioStream, Component, DtmfVia, Input as StreamInput, MediaError, StreamConfig, StreamEvent,
};
use tiny_net::rtp::{RtpPair, RtpSocket};
use tiny_rtp::{NtpClock, PacketKind};
use tiny_sak::{Flow, Output, Rng, Transport};
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
    Command(MediaCommand),
    /// Other sound in place of its own, which it keeps.
    Connect(Sound),
    /// Its own sound again; what it has lent is brought back.
    Disconnect(Option<Sound>),
    /// Its own sound goes to somebody else.
    Lend(Box<dyn FnOnce(Sound) + Send>),
    /// Send and listen here from now on.
    Rebind(RtpPair),
    Close,
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

struct Sockets {
    rtp: RtpSocket,
    rtcp: RtpSocket,
}

impl Sockets {
    fn of(&self, component: Component) -> &RtpSocket {
        match component {
            Component::Rtp => &self.rtp,
            Component::Rtcp => &self.rtcp,
        }
    }
}

/// A stream, and what protects its packets.
struct Carried {
    stream: AudioStream,
    shield: Shield,
    /// Its own sound, while it is connected to other.
    own: Option<Sound>,
    dtls: Option<Handshakes>,
    rng: Rng,
}

impl Carried {
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
        stats
    }
}

pub(super) struct StreamTask {
    pub(super) id: MediaId,
    pub(super) inbox: mpsc::UnboundedReceiver<ToStream>,
    pub(super) notices: mpsc::UnboundedSender<MediaNotice>,
    pub(super) trace: Option<Arc<dyn Trace>>,
    pub(super) ntp: NtpClock,
}

impl StreamTask {
    fn report(&self, report: MediaReport) {
        let _ = self.notices.send(MediaNotice { id: self.id, report });
    }

    pub(super) async fn run(
        mut self,
        pair: RtpPair,
        config: StreamConfig,
        security: Security,
        audio: OpenAudio,
        mut rng: Rng,
    ) {
        let now = Instant::now();
        let (peers, seeds) = ([config.remote_rtp, config.remote_rtcp], rng.fork());
        let ready = pair.attach().map_err(no_sockets).and_then(|(rtp, rtcp)| {
            let mut stream = AudioStream::new(now, config, rng)?;
            stream.set_source(now, Some(audio.source))?;
            stream.set_sink(now, Some(audio.sink))?;
            stream.set_recorder(now, audio.recorder)?;
            let broken = |reason| MediaError::Device { id: "srtp".into(), reason };
            let shield = Shield::new(security.clone()).map_err(|e| broken(e.to_string()))?;
            let mut carried = Carried { stream, shield, own: None, dtls: None, rng: seeds };
            carried.follow(&security, peers).map_err(broken)?;
            Ok((Sockets { rtp, rtcp }, carried))
        });
        let stats = match ready {
            Ok((sockets, mut carried)) => Some(self.carry(sockets, &mut carried).await),
            Err(e) => {
                tracing::error!("no media: {e}");
                None
            }
        };
        self.report(MediaReport::Closed(stats));
    }

    async fn carry(&mut self, mut sockets: Sockets, carried: &mut Carried) -> CallStats {
        let far = Duration::from_secs(3600);
        let sleep = tokio::time::sleep(far);
        tokio::pin!(sleep);
        let mut buffer = [0u8; MAX_PACKET];
        loop {
            let deadline = self.drain(&sockets, carried);
            sleep.as_mut().reset(deadline.unwrap_or_else(|| Instant::now() + far).into());
            tokio::select! {
                _ = sockets.rtp.readable() => {
                    self.receive(&sockets, Component::Rtp, carried, &mut buffer);
                }
                _ = sockets.rtcp.readable() => {
                    self.receive(&sockets, Component::Rtcp, carried, &mut buffer);
                }
                () = &mut sleep => {
                    let now = Instant::now();
                    if let Some(dtls) = &mut carried.dtls {
                        dtls.handle_timeout(now);
                    }
                    carried.stream.handle(now, StreamInput::Timeout);
                }
                told = self.inbox.recv() => match told {
                    Some(ToStream::Command(command)) => self.obey(carried, command),
                    Some(ToStream::Rebind(pair)) => match pair.attach() {
                        Ok((rtp, rtcp)) => sockets = Sockets { rtp, rtcp },
                        Err(e) => tracing::error!("media stays where it was: {e}"),
                    },
                    Some(ToStream::Connect(sound)) => {
                        if let Some(own) = exchange(&mut carried.stream, Some(sound)) {
                            carried.own.get_or_insert(own);
                        }
                    }
                    Some(ToStream::Disconnect(lent)) => {
                        let own = lent.or(carried.own.take());
                        exchange(&mut carried.stream, own);
                    }
                    Some(ToStream::Lend(give)) => {
                        if let Some(own) = carried.own.take() {
                            give(own);
                        }
                    }
                    Some(ToStream::Close) | None => {
                        carried.stream.end(Instant::now());
                        // What the stream has to say still needs the keys.
                        self.drain(&sockets, carried);
                        if let Some(dtls) = &mut carried.dtls {
                            dtls.close();
                        }
                        self.drain(&sockets, carried);
                        return carried.stats();
                    }
                },
            }
        }
    }

    /// Reads all that has arrived at a socket.
    fn receive(
        &self,
        sockets: &Sockets,
        component: Component,
        carried: &mut Carried,
        buffer: &mut [u8],
    ) {
        let now = Instant::now();
        let socket = sockets.of(component);
        for _ in 0..MAX_BURST {
            match socket.try_recv_from(buffer) {
                Ok((length, from)) => {
                    let data = &mut buffer[..length];
                    self.traced(false, component, socket.local_addr(), from, data);
                    if let Some(dtls) = &mut carried.dtls
                        && PacketKind::of(data) == PacketKind::Dtls
                    {
                        dtls.handle(now, component, from, data);
                        self.shake_hands(sockets, carried);
                        continue;
                    }
                    if let Some(length) = carried.shield.open(component, data) {
                        let data = &data[..length];
                        carried.stream.handle(now, StreamInput::Packet { component, from, data });
                    }
                }
                Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => return,
                // An ICMP error about a packet sent earlier: the next read may well succeed.
                Err(_) => {}
            }
        }
    }

    /// Sends and reports all that the stream has; returns its next deadline.
    fn drain(&self, sockets: &Sockets, carried: &mut Carried) -> Option<Instant> {
        let handshake = self.shake_hands(sockets, carried);
        let now = Instant::now();
        let Carried { stream, shield, .. } = carried;
        loop {
            match stream.poll(now) {
                Output::Transmit(mut packet) => {
                    if !shield.seal(packet.component, &mut packet.data) {
                        stream.recycle(packet.data);
                        continue;
                    }
                    let socket = sockets.of(packet.component);
                    let local = socket.local_addr();
                    self.traced(true, packet.component, local, packet.to, &packet.data);
                    // A full buffer loses the packet: media does not wait.
                    let _ = socket.try_send_to(&packet.data, packet.to);
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
    fn shake_hands(&self, sockets: &Sockets, carried: &mut Carried) -> Option<Instant> {
        let Carried { dtls, shield, .. } = carried;
        let dtls = dtls.as_mut()?;
        loop {
            match dtls.poll(Instant::now()) {
                Output::Transmit((component, to, data)) => {
                    let socket = sockets.of(component);
                    self.traced(true, component, socket.local_addr(), to, &data);
                    let _ = socket.try_send_to(&data, to);
                }
                Output::Event(DtlsEvent::Keys(component, keyed)) => {
                    if component == Component::Rtp {
                        self.report(MediaReport::Secured(keyed.secured.clone()));
                    }
                    shield.install(component, keyed);
                }
                Output::Event(DtlsEvent::Failed(why)) => self.report(MediaReport::NoKeys(why)),
                Output::Timeout(deadline) => return deadline,
            }
        }
    }

    fn obey(&self, carried: &mut Carried, command: MediaCommand) {
        let now = Instant::now();
        match command {
            MediaCommand::Reconfigure(mut config, security) => {
                config.ntp = Some(self.ntp);
                let followed = carried.follow(&security, [config.remote_rtp, config.remote_rtcp]);
                let applied = carried.shield.apply(security).map_err(|e| e.to_string());
                if let Err(e) = followed.and(applied) {
                    self.report(MediaReport::NoKeys(e));
                    return;
                }
                if let Err(e) = carried.stream.reconfigure(now, *config) {
                    tracing::error!("media: {e}");
                }
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
            MediaCommand::Ice(command) => tracing::debug!("{command:?}"),
            MediaCommand::Stats(reply) => {
                let _ = reply.send(Ok(carried.stats()));
            }
        }
    }

    fn traced(
        &self,
        outgoing: bool,
        component: Component,
        local: SocketAddr,
        remote: SocketAddr,
        data: &[u8],
    ) {
        if let Some(trace) = &self.trace {
            let kind = if component == Component::Rtcp { TraceKind::Rtcp } else { TraceKind::Rtp };
            let flow = Flow { transport: Transport::Udp, local, remote };
            trace.packet(TracePacket { at: SystemTime::now(), outgoing, kind, flow, data });
        }
    }
}

#[cfg(test)]
#[path = "streams_tests.rs"]
mod tests;
