//! The data channels of one stream (RFC 8831): SCTP in the records of its DTLS association, with whose
//! end it ends, and the handles of the application at the other side.

use super::{DataAgreement, DataWord, Handshakes};
use crate::command::Reply;
use crate::data::{self, ChannelSpec, Credit, DataChannel, Link, Maker, Ready, ToChannel, Told};
use crate::{CallStats, DataStats, Error, data::error};
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering, fence};
use std::time::Instant;
use tiny_net::data::{ChannelId, Channels, Config, Event, Peer};
use tiny_sak::{Output, Rng};
use tokio::sync::{Notify, Semaphore, mpsc};

/// What signalling asks for.
#[derive(Debug)]
pub(crate) enum DataCommand {
    /// What the descriptions agree on; `None`: nothing any more.
    Agreed(Option<Box<DataSetup>>),
    /// Opens a channel, as soon as there is an association.
    Open(Box<ChannelSpec>, Reply<DataChannel>),
}

#[derive(Debug, Clone)]
pub(crate) struct DataSetup {
    pub(crate) agreement: DataAgreement,
    /// The streams of channels that the peer has not taken.
    pub(crate) declined: Vec<u16>,
    pub(crate) config: Config,
    /// Bytes of one channel that may wait.
    pub(crate) buffer: usize,
    /// Messages of all channels on their way to the task.
    pub(crate) queue: usize,
    /// Messages of one channel that stand ready for its reader.
    pub(crate) ready: usize,
}

/// What has woken the task.
#[derive(Debug)]
pub(super) enum Woken {
    Told(ToChannel),
    /// Somebody has read, or closed.
    Look,
}

/// What came of a turn.
pub(super) enum Pumped {
    /// There are records to send.
    More,
    /// Nothing before then.
    Idle(Option<Instant>),
}

struct Live {
    link: Arc<Link>,
    messages: mpsc::Sender<Ready>,
    closing: bool,
}

pub(super) struct Sctp {
    setup: Option<Box<DataSetup>>,
    channels: Option<Channels>,
    over: bool,
    /// Before there is an association.
    waiting: Vec<(Box<ChannelSpec>, Reply<DataChannel>)>,
    /// Channels that descriptions are agreeing on, by stream.
    describing: HashMap<u16, Reply<DataChannel>>,
    /// Those that they have agreed on; `None` for one that is closed, of which they do not know.
    described: HashMap<u16, Option<ChannelId>>,
    opening: HashMap<ChannelId, Reply<DataChannel>>,
    live: HashMap<ChannelId, Live>,
    /// The core has no room for this one; the others stay in the queue.
    held: Option<ToChannel>,
    inbox: mpsc::Receiver<ToChannel>,
    maker: Maker,
    credit: Arc<Credit>,
    news: VecDeque<DataChannel>,
    words: VecDeque<DataWord>,
    rng: Rng,
}

impl Sctp {
    pub(super) fn new(rng: Rng) -> Self {
        // Nobody has the other end before there is a setup.
        let (task, inbox) = mpsc::channel(1);
        let (wake, max_message) = (Arc::new(Notify::new()), Arc::new(AtomicU64::new(0)));
        let credit = Credit::new(0, wake.clone());
        Self {
            setup: None,
            channels: None,
            over: false,
            waiting: Vec::new(),
            describing: HashMap::new(),
            described: HashMap::new(),
            opening: HashMap::new(),
            live: HashMap::new(),
            held: None,
            inbox,
            maker: Maker { task, wake, max_message, capacity: 1 },
            credit,
            news: VecDeque::new(),
            words: VecDeque::new(),
            rng,
        }
    }

    /// Waits for something to do.
    pub(super) async fn woken(&mut self) -> Woken {
        let wake = self.maker.wake.clone();
        tokio::select! {
            Some(told) = self.inbox.recv(), if self.held.is_none() => Woken::Told(told),
            () = wake.notified() => Woken::Look,
        }
    }

    pub(super) fn act(&mut self, now: Instant, woken: Woken) {
        match woken {
            Woken::Told(told) => self.send(now, told),
            Woken::Look => {
                self.release();
                let all: Vec<ChannelId> = self.live.keys().copied().collect();
                all.into_iter().for_each(|id| self.deliver(now, id));
            }
        }
        self.drain_inbox(now);
    }

    pub(super) fn obey(&mut self, now: Instant, command: DataCommand) {
        match command {
            DataCommand::Agreed(Some(setup)) => {
                let max = setup.agreement.remote_max_message_size;
                self.maker.max_message.store(max, Ordering::Release);
                self.maker.capacity = setup.buffer;
                if self.setup.is_none() && self.live.is_empty() {
                    (self.maker.task, self.inbox) = mpsc::channel(places(setup.queue));
                }
                if let Some(channels) = &mut self.channels {
                    channels.set_max_message(max);
                }
                self.setup = Some(setup);
                self.follow(now);
            }
            DataCommand::Agreed(None) => {
                if let Some(channels) = self.channels.as_mut().filter(|_| self.setup.is_some()) {
                    channels.abort("taken out of the session description");
                    self.end();
                }
                self.setup = None;
            }
            DataCommand::Open(spec, reply) => match self.channels.is_some() && !self.over {
                true => self.open(now, *spec, reply),
                false if self.over => {
                    let _ = reply.send(Err(error(data::CoreError::Over)));
                }
                false => self.waiting.push((spec, reply)),
            },
        }
    }

    /// A handshake is done. Another than before has another association on it (RFC 8841 §9.1).
    pub(super) fn connected(&mut self) {
        if self.channels.is_some() {
            self.end();
            (self.channels, self.over) = (None, false);
            self.described.clear();
        }
    }

    /// The peer has ended DTLS.
    pub(super) fn disconnected(&mut self) {
        self.end();
    }

    /// The data of one record.
    pub(super) fn handle(&mut self, now: Instant, packet: &[u8]) {
        self.release();
        if let Some(channels) = &mut self.channels {
            channels.handle(now, packet);
        }
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) {
        if let Some(channels) = &mut self.channels {
            channels.handle_timeout(now);
        }
    }

    /// Fills in the figures of the association that there is, or was last.
    pub(super) fn count(&self, stats: &mut CallStats) {
        let Some(channels) = &self.channels else { return };
        let (counts, flight) = (channels.counts(), channels.flight());
        stats.data = Some(DataStats {
            channels: channels.len(),
            messages_sent: counts.messages_sent,
            messages_received: counts.messages_received,
            bytes_sent: counts.bytes_sent,
            bytes_received: counts.bytes_received,
            packets_sent: counts.packets_sent,
            packets_received: counts.packets_received,
            retransmitted: counts.retransmitted,
            timeouts: counts.timeouts,
            abandoned: counts.abandoned,
            duplicates: counts.duplicates,
            discarded: counts.discarded,
            over_limit: counts.over_limit,
            buffered: flight.waiting,
            in_flight: flight.flying,
            congestion_window: flight.congestion_window,
            peer_window: flight.window,
            rtt_ms: channels.round_trip().map(|rtt| rtt.as_secs_f64() * 1000.0),
        });
    }

    /// What descriptions are to say.
    pub(super) fn take_word(&mut self) -> Option<DataWord> {
        self.words.pop_front()
    }

    /// A channel that the peer has opened, or that descriptions have set up.
    pub(super) fn take_news(&mut self) -> Option<DataChannel> {
        self.news.pop_front()
    }

    /// Puts what there is to send into records.
    pub(super) fn pump(&mut self, now: Instant, dtls: &mut Handshakes) -> Pumped {
        if self.channels.is_none() {
            self.begin(now, dtls);
        }
        let mut more = false;
        loop {
            let Some(channels) = &mut self.channels else { return Pumped::Idle(None) };
            match channels.poll(now) {
                Output::Transmit(packet) => {
                    more = true;
                    if let Err(e) = dtls.send(&packet) {
                        tracing::debug!("data channels: {e}");
                    }
                }
                Output::Event(event) => self.event(now, event),
                Output::Timeout(_) if self.sends_held(now) => {}
                Output::Timeout(_) if more => return Pumped::More,
                Output::Timeout(at) => return Pumped::Idle(at),
            }
        }
    }

    fn begin(&mut self, now: Instant, dtls: &Handshakes) {
        // RFC 8832 §6: the DTLS role says which streams are ours.
        let (Some(setup), Some(active)) = (&self.setup, dtls.is_client()) else { return };
        self.credit = Credit::new(setup.config.receive_buffer, self.maker.wake.clone());
        let mut config = setup.config.clone();
        config.port = setup.agreement.local_port;
        config.mtu = config.mtu.min(dtls.max_data());
        let peer = Peer {
            port: setup.agreement.remote_port,
            max_message_size: setup.agreement.remote_max_message_size,
        };
        match Channels::new(now, active, peer, Arc::new(config), self.rng.fork()) {
            Ok(channels) => self.channels = Some(channels),
            Err(e) => {
                tracing::error!("{e}");
                self.setup = None;
                for (_, reply) in self.waiting.drain(..) {
                    let _ = reply.send(Err(error(e.clone())));
                }
                return;
            }
        }
        self.follow(now);
        for (spec, reply) in std::mem::take(&mut self.waiting) {
            self.open(now, *spec, reply);
        }
    }

    fn open(&mut self, now: Instant, spec: ChannelSpec, reply: Reply<DataChannel>) {
        let Some(channels) = &mut self.channels else { return };
        if spec.described {
            return match channels.reserve() {
                Ok(stream) => {
                    self.describing.insert(stream, reply);
                    self.words.push_back(DataWord::Describe(Box::new(spec.describe(stream))));
                }
                Err(e) => drop(reply.send(Err(error(e)))),
            };
        }
        match channels.open(now, spec.options) {
            Ok(id) => {
                self.opening.insert(id, reply);
            }
            Err(e) => {
                let _ = reply.send(Err(error(e)));
            }
        }
    }

    /// Opens and closes channels as the descriptions have it (RFC 8864 §6.4 to §6.6).
    fn follow(&mut self, now: Instant) {
        let (Some(setup), Some(channels)) = (&mut self.setup, &mut self.channels) else { return };
        for stream in std::mem::take(&mut setup.declined) {
            channels.release(stream);
            if let Some(reply) = self.describing.remove(&stream) {
                let _ = reply.send(Err(Error::state("the peer does not take the data channel")));
            }
        }
        let agreed = &setup.agreement.channels;
        self.described.retain(|stream, id| {
            let stays = agreed.iter().any(|channel| channel.stream == *stream);
            if let Some(id) = id.filter(|_| !stays) {
                channels.close(now, id);
            }
            stays
        });
        for channel in agreed {
            if self.described.contains_key(&channel.stream) {
                continue;
            }
            let reply = self.describing.remove(&channel.stream);
            match channels.open(now, data::options_of(channel)) {
                Ok(id) => {
                    self.described.insert(channel.stream, Some(id));
                    self.opening.extend(reply.map(|reply| (id, reply)));
                }
                Err(e) => {
                    tracing::debug!("data channel {}: {e}", channel.stream);
                    self.described.insert(channel.stream, None);
                    self.words.push_back(DataWord::Gone(channel.stream));
                    if let Some(reply) = reply {
                        let _ = reply.send(Err(error(e)));
                    }
                }
            }
        }
    }

    /// What descriptions say of a channel, if they have set it up.
    fn told_of(&self, id: ChannelId) -> Option<Told> {
        let stream = id.stream();
        let agreement = &self.setup.as_ref()?.agreement;
        self.described.get(&stream).filter(|known| **known == Some(id))?;
        let channel = agreement.channels.iter().find(|channel| channel.stream == stream)?;
        let attributes = channel.attributes.iter().map(ToString::to_string).collect();
        Some(Told { attributes, incoming: !agreement.ours.contains(&stream) })
    }

    fn make(&mut self, id: ChannelId) -> Option<DataChannel> {
        let told = self.told_of(id);
        let channel = self.channels.as_ref()?.channel(id)?;
        let ready = self.setup.as_ref().map_or(1, |setup| places(setup.ready));
        let (handle, link, messages) = self.maker.make(id, channel, told, ready);
        self.live.insert(id, Live { link, messages, closing: false });
        Some(handle)
    }

    fn event(&mut self, now: Instant, event: Event) {
        match event {
            Event::Opened(id) => {
                let asked = self.opening.remove(&id);
                let wanted = asked.is_some() || self.told_of(id).is_some();
                match (asked, if wanted { self.make(id) } else { None }) {
                    // Nobody waits any more: the handle goes, and with it the channel.
                    (Some(reply), Some(handle)) => drop(reply.send(Ok(handle))),
                    (None, Some(handle)) => self.news.push_back(handle),
                    (_, None) => {}
                }
            }
            Event::Incoming(id) => {
                let handle = self.make(id);
                self.news.extend(handle);
            }
            Event::Readable(id) => self.deliver(now, id),
            Event::Sent { channel, bytes } => {
                if let Some(live) = self.live.get(&channel) {
                    live.link.sent(bytes);
                }
            }
            Event::Closed { channel, error: why } => {
                if let Some(reply) = self.opening.remove(&channel) {
                    let refused = Error::state("the peer has closed the data channel");
                    let _ = reply.send(Err(why.map_or(refused, error)));
                }
                if let Some(known) = self.described.get_mut(&channel.stream())
                    && known.take_if(|id| *id == channel).is_some()
                {
                    self.words.push_back(DataWord::Gone(channel.stream()));
                }
                if let Some(live) = self.live.remove(&channel) {
                    live.link.close();
                }
            }
            Event::Ended(why) => {
                tracing::debug!("data channels: {why}");
                self.over = true;
            }
            _ => {}
        }
    }

    fn send(&mut self, now: Instant, told: ToChannel) {
        let Some(channels) = &mut self.channels else { return };
        let length = told.message.len();
        if !channels.has_room_for(length) {
            self.held = Some(told);
            return;
        }
        let id = told.id;
        if let Err(e) = channels.send(now, id, told.message) {
            tracing::debug!("data channel {}: {e}", id.stream());
            if let Some(live) = self.live.get(&id) {
                live.link.sent(length);
            }
        }
    }

    /// Sends the message that waits for room, and what stands behind it, where there is room now.
    fn sends_held(&mut self, now: Instant) -> bool {
        let Some(channels) = &self.channels else { return false };
        let Some(held) = self.held.take_if(|held| channels.has_room_for(held.message.len())) else {
            return false;
        };
        self.send(now, held);
        self.drain_inbox(now);
        true
    }

    /// Lets the peer send as much more as has been read.
    fn release(&mut self) {
        if let Some(channels) = &mut self.channels {
            channels.has_read(self.credit.take());
        }
    }

    /// What handles have sent; and where nothing more of theirs waits, what they have closed.
    fn drain_inbox(&mut self, now: Instant) {
        for _ in 0..self.inbox.max_capacity() {
            if self.held.is_some() {
                return;
            }
            match self.inbox.try_recv() {
                Ok(told) => self.send(now, told),
                Err(_) => break,
            }
        }
        if self.held.is_some() || !self.inbox.is_empty() {
            return;
        }
        let Some(channels) = &mut self.channels else { return };
        for (id, live) in self.live.iter_mut().filter(|(_, live)| live.link.is_left()) {
            if !std::mem::replace(&mut live.closing, true) {
                channels.close(now, *id);
            }
        }
    }

    /// Gives messages to a reader that has room for them.
    fn deliver(&mut self, now: Instant, id: ChannelId) {
        let Some(channels) = &mut self.channels else { return };
        let Some(live) = self.live.get(&id) else { return };
        loop {
            let place = match live.messages.try_reserve() {
                Ok(place) => place,
                Err(mpsc::error::TrySendError::Closed(())) => return,
                Err(mpsc::error::TrySendError::Full(())) => {
                    live.link.stalled.store(true, Ordering::Release);
                    // That is seen by who reads from now on, or what was read by then is seen here.
                    fence(Ordering::SeqCst);
                    // It may have read all meanwhile, and wait for the next.
                    match live.messages.try_reserve() {
                        Ok(place) => place,
                        Err(_) => return,
                    }
                }
            };
            match channels.take(now, id) {
                Some((message, cost)) => {
                    place.send(Ready::new(message, cost, self.credit.clone()));
                }
                None => return,
            }
        }
    }

    /// Ends it before DTLS does.
    pub(super) fn close(&mut self, now: Instant, dtls: &mut Handshakes) {
        if let Some(channels) = &mut self.channels {
            channels.abort("the call is over");
            self.pump(now, dtls);
        }
        self.end();
    }

    /// Nobody can send any more.
    fn end(&mut self) {
        self.over = true;
        self.held = None;
        self.live.drain().for_each(|(_, live)| live.link.close());
        let waiting = self.waiting.drain(..).map(|(_, reply)| reply);
        let waiting = waiting.chain(self.describing.drain().map(|(_, reply)| reply));
        for reply in self.opening.drain().map(|(_, reply)| reply).chain(waiting) {
            let _ = reply.send(Err(error(data::CoreError::Over)));
        }
    }
}

/// What a queue may be long, whatever the application has asked for.
fn places(wished: usize) -> usize {
    wished.clamp(1, Semaphore::MAX_PERMITS)
}

impl Drop for Sctp {
    fn drop(&mut self) {
        self.end();
    }
}

#[cfg(test)]
#[path = "channels_tests.rs"]
mod tests;
