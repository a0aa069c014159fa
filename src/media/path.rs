//! Where the packets of one stream come from and go to: a pair of sockets and the addresses of the
//! description, or with ICE (RFC 8445) any of several sockets, as its agent says.

use super::ice::{IceCommand, IceNotice};
use super::ice_path::{Change, IcePath, IceStart, Sockets, Word};
use crate::Trace;
use crate::trace::{TraceKind, TracePacket};
use bytes::Bytes;
use std::convert::Infallible;
use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::Range;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant, SystemTime};
use tiny_media::{Component, StreamConfig};
use tiny_net::rtp::RtpPair;
use tiny_sak::{Flow, Output, Transport};

/// Under ICE the stream and its handshakes know the peer by these addresses, whatever path the agent
/// has chosen: nothing follows a peer by its packets then. Nobody has them (RFC 5737).
const ANCHORS: [SocketAddr; 2] = {
    let nobody = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
    [SocketAddr::new(nobody, 9), SocketAddr::new(nobody, 10)]
};

/// Shows packets to whoever listens in.
#[derive(Clone)]
pub(super) struct Tracer(pub(super) Option<Arc<dyn Trace>>);

impl Tracer {
    #[inline]
    pub(super) fn packet(
        &self,
        outgoing: bool,
        component: Component,
        local: SocketAddr,
        remote: SocketAddr,
        data: &[u8],
    ) {
        if let Some(trace) = &self.0 {
            let kind = if component == Component::Rtcp { TraceKind::Rtcp } else { TraceKind::Rtp };
            let flow = Flow { transport: Transport::Udp, local, remote };
            trace.packet(TracePacket { at: SystemTime::now(), outgoing, kind, flow, data });
        }
    }
}

/// How the stream knows the peer of a component, under ICE.
pub(super) fn anchor(component: Component) -> SocketAddr {
    ANCHORS[index(component)]
}

/// What a path waits for.
pub(super) enum Ready {
    /// Something may have arrived at this socket.
    Socket(usize),
    /// Something that the agent has asked for.
    Word(Word),
}

/// What was read from a socket.
pub(super) enum Received {
    /// A packet for the stream: where it lies in the buffer.
    Packet(Component, SocketAddr, Range<usize>),
    /// It was somebody else's.
    Taken,
    /// There is no more.
    Nothing,
}

/// What a path tells.
pub(super) enum Told {
    /// A packet that came inside of another.
    Packet(Component, Bytes),
    /// A component has a path, or another one.
    Way,
    Notice(IceNotice),
}

pub(super) struct Path {
    sockets: Sockets,
    ice: Option<Box<IcePath>>,
    // Whose turn it is, so that no socket starves another.
    turn: usize,
    tracer: Tracer,
}

fn index(component: Component) -> usize {
    usize::from(component == Component::Rtcp)
}

impl Path {
    /// A path without ICE.
    pub(super) fn plain(pair: RtpPair, tracer: Tracer) -> io::Result<Self> {
        let (rtp, rtcp) = pair.attach()?;
        Ok(Self { sockets: Sockets::new([rtp, rtcp]), ice: None, turn: 0, tracer })
    }

    /// A path whose agent begins to gather.
    pub(super) fn with_ice(now: Instant, start: IceStart, tracer: Tracer) -> io::Result<Self> {
        let (sockets, ice) = IcePath::new(now, start)?;
        Ok(Self { sockets, ice: Some(Box::new(ice)), turn: 0, tracer })
    }

    // The agent, while it decides where packets go.
    fn agent(&mut self) -> Option<(&mut Sockets, &mut IcePath, &Tracer)> {
        let ice = self.ice.as_deref_mut().filter(|ice| !ice.is_off())?;
        Some((&mut self.sockets, ice, &self.tracer))
    }

    /// Whether an agent decides where packets go.
    pub(super) fn has_ice(&mut self) -> bool {
        self.agent().is_some()
    }

    /// Waits until there is something to do. Cancelling loses nothing.
    pub(super) async fn ready(&mut self) -> Ready {
        let Self { sockets, ice, turn, .. } = self;
        poll_fn(|cx| {
            let count = sockets.count();
            for n in 0..count {
                let at = (*turn + n) % count;
                if sockets.at(at).0.poll_readable(cx).is_ready() {
                    *turn = at + 1;
                    return Poll::Ready(Ready::Socket(at));
                }
            }
            match ice {
                Some(ice) => ice.poll_word(cx).map(Ready::Word),
                None => Poll::Pending,
            }
        })
        .await
    }

    /// Takes one packet from a socket.
    #[inline]
    pub(super) fn receive(&mut self, now: Instant, at: usize, buffer: &mut [u8]) -> Received {
        if at >= self.sockets.count() {
            return Received::Nothing;
        }
        let (socket, component) = self.sockets.at(at);
        let (length, from) = match socket.try_recv_from(buffer) {
            Ok(read) => read,
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Received::Nothing,
            // An ICMP error about a packet sent earlier: the next read may well succeed.
            Err(_) => return Received::Taken,
        };
        let local = socket.local_addr();
        self.tracer.packet(false, component, local, from, &buffer[..length]);
        match &mut self.ice {
            None => Received::Packet(component, from, 0..length),
            Some(ice) => match ice.received(now, local, from, &buffer[..length]) {
                Some((1, content)) => Received::Packet(Component::Rtp, ANCHORS[0], content),
                Some((_, content)) => Received::Packet(Component::Rtcp, ANCHORS[1], content),
                None if ice.is_off() && at < 2 => Received::Packet(component, from, 0..length),
                None => Received::Taken,
            },
        }
    }

    /// Sends a packet of the stream. One without a path is lost, and one for a full buffer too: media
    /// does not wait.
    #[inline]
    pub(super) fn send(&mut self, now: Instant, component: Component, to: SocketAddr, data: &[u8]) {
        match self.agent() {
            None => self.send_plain(component, to, data),
            Some((sockets, ice, tracer)) => drop(ice.send(now, sockets, tracer, component, data)),
        }
    }

    /// Sends a packet of a handshake, which waits for a path where there is none.
    pub(super) fn send_handshake(
        &mut self,
        now: Instant,
        component: Component,
        to: SocketAddr,
        data: Vec<u8>,
    ) {
        match self.agent() {
            None => self.send_plain(component, to, &data),
            Some((sockets, ice, tracer)) => ice.send_or_keep(now, sockets, tracer, component, data),
        }
    }

    #[inline]
    fn send_plain(&self, component: Component, to: SocketAddr, data: &[u8]) {
        let socket = &self.sockets.main[index(component)];
        self.tracer.packet(true, component, socket.local_addr(), to, data);
        let _ = socket.try_send_to(data, to);
    }

    /// The addresses that a stream and its handshakes are to know the peer by.
    pub(super) fn set_remotes(&mut self, now: Instant, config: &mut StreamConfig) {
        if let Some((_, ice, _)) = self.agent() {
            ice.set_signalled(now, [config.remote_rtp, config.remote_rtcp]);
            (config.remote_rtp, config.remote_rtcp) = (Some(ANCHORS[0]), Some(ANCHORS[1]));
        }
    }

    /// Where handshakes find the peer; under ICE nowhere before there is a path.
    pub(super) fn peers(&mut self, config: &StreamConfig) -> [Option<SocketAddr>; 2] {
        match self.agent() {
            None => [config.remote_rtp, config.remote_rtcp],
            Some((_, ice, _)) => [0, 1].map(|c| ice.has_way(c).then_some(ANCHORS[c])),
        }
    }

    /// Does what signalling says to the agent. True where the peer has no ICE: the addresses are those
    /// of the description then.
    pub(super) fn obey(&mut self, now: Instant, command: IceCommand) -> bool {
        let Some(ice) = &mut self.ice else {
            tracing::debug!("no ICE here: {command:?}");
            return false;
        };
        ice.obey(now, command)
    }

    /// What signalling had said of the peer's addresses, once there is no ICE.
    pub(super) fn signalled(&self) -> [Option<SocketAddr>; 2] {
        self.ice.as_ref().map_or([None; 2], |ice| ice.signalled)
    }

    pub(super) fn hear(&mut self, now: Instant, word: Word) {
        if let Some(ice) = &mut self.ice {
            ice.hear(now, word);
        }
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) {
        if let Some(ice) = &mut self.ice {
            ice.handle_timeout(now);
        }
    }

    /// Sends what the agent has, and tells what happened or when to come again.
    #[inline]
    pub(super) fn poll(&mut self, now: Instant) -> Output<Infallible, Told> {
        match &mut self.ice {
            None => Output::Timeout(None),
            Some(ice) => ice.poll(now, &self.sockets, &self.tracer),
        }
    }

    /// Goes on from another pair of ports.
    pub(super) fn rebind(&mut self, pair: RtpPair) {
        match pair.attach() {
            Ok((rtp, rtcp)) => self.sockets.main = [rtp, rtcp],
            Err(e) => tracing::error!("media stays where it was: {e}"),
        }
    }

    /// Some of our addresses are gone, and there are new ones.
    pub(super) fn change(&mut self, now: Instant, change: Change) {
        match &mut self.ice {
            Some(ice) => ice.change(now, &mut self.sockets, change),
            None => change.main.into_iter().for_each(|(pair, _)| self.rebind(pair)),
        }
    }

    /// How long relays are waited for that are given back, after the end.
    pub(super) fn farewell(&self) -> Duration {
        self.ice.as_ref().map_or(Duration::ZERO, |ice| ice.farewell())
    }

    /// Ends ICE; [`poll`](Self::poll) tells until when relays are still spoken to.
    pub(super) fn close(&mut self, now: Instant) {
        if let Some(ice) = &mut self.ice {
            ice.close(now);
        }
    }
}
