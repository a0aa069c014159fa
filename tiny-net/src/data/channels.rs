//! The channels of one association (RFC 8831 §6): how they open (RFC 8832 §6) and close (RFC 8831
//! §6.7), and what their messages look like on the wire (§6.6).

use super::association::{Association, Told};
use super::dcep::{self, Dcep, Open};
use super::inbound::Whole;
use super::options::{ChannelOptions, Message, Reliability};
use super::outbound::{Limits, Outgoing};
use super::{Config, Counts, Error, Flight, Peer};
use bytes::Bytes;
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tiny_sak::{Output, Rng};

// RFC 8831 §8.
const TEXT: u32 = 51;
const BINARY: u32 = 53;
const EMPTY_TEXT: u32 = 56;
const EMPTY_BINARY: u32 = 57;

/// Names a channel. Of one that has closed, it names nothing any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ChannelId {
    stream: u16,
    number: u64,
}

impl ChannelId {
    /// Its SCTP stream, which both sides know it by.
    pub fn stream(self) -> u16 {
        self.stream
    }
}

/// What the channels tell their owner.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// The peer is there.
    Connected,
    /// A channel of ours is open: the peer has it, too.
    Opened(ChannelId),
    /// The peer has opened a channel.
    Incoming(ChannelId),
    /// There is something to [`read`](Channels::read), where there was nothing.
    Readable(ChannelId),
    /// Bytes of its messages are on their way, and do not wait any more.
    Sent {
        /// Which channel.
        channel: ChannelId,
        /// How many.
        bytes: usize,
    },
    /// No more than [`Config::low_water`] waits, where more did.
    BufferedLow(ChannelId),
    /// It is closed, and read to the end.
    Closed {
        /// Which channel.
        channel: ChannelId,
        /// Why, unless one side wanted it.
        error: Option<Error>,
    },
    /// The association is over, with all of its channels.
    Ended(Error),
}

/// What is known of a channel.
#[derive(Debug)]
pub struct Channel {
    options: ChannelOptions,
    incoming: bool,
    state: State,
    // RFC 8832 §6: before the peer has shown that it knows the channel, everything goes in order.
    known: bool,
    inbox: VecDeque<(Message, usize)>,
    buffered: usize,
    /// Bytes on their way that are not the application's.
    own: usize,
    error: Option<Error>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Opening,
    Open,
    /// Which sides have been reset.
    Closing {
        ours: bool,
        theirs: bool,
        deaf: bool,
    },
    /// Nothing is left but to read.
    Closed,
}

impl Channel {
    /// What it is like.
    pub fn options(&self) -> &ChannelOptions {
        &self.options
    }

    /// Whether the peer has opened it.
    pub fn is_incoming(&self) -> bool {
        self.incoming
    }

    /// Whether messages can be sent.
    pub fn is_open(&self) -> bool {
        self.state == State::Open
    }

    /// Bytes of messages that wait to be sent.
    pub fn buffered_amount(&self) -> usize {
        self.buffered
    }
}

/// The data channels between two peers.
///
/// Drive it by the contract of [`tiny_sak::Output`]. A transmit is an SCTP packet, the application
/// data of one DTLS record; what comes in such records goes to [`handle`](Self::handle).
#[derive(Debug)]
pub struct Channels {
    config: Arc<Config>,
    association: Association,
    max_message: u64,
    /// We were the client of DTLS: our streams are even.
    active: bool,
    channels: HashMap<ChannelId, Channel>,
    streams: HashMap<u16, ChannelId>,
    /// Streams of ours that something else is agreeing on.
    reserved: BTreeSet<u16>,
    number: u64,
    events: VecDeque<Event>,
    sent: Vec<(ChannelId, usize)>,
}

impl Channels {
    /// Begins an association over DTLS that is up; `active` says whether we were its client.
    ///
    /// # Errors
    /// [`Error::Config`].
    pub fn new(
        now: Instant,
        active: bool,
        peer: Peer,
        config: Arc<Config>,
        rng: Rng,
    ) -> Result<Self, Error> {
        if config.mtu < 512 || config.mtu > usize::from(u16::MAX) {
            return Err(Error::Config("mtu is not 512 to 65535"));
        }
        if config.port == 0 || peer.port == 0 {
            return Err(Error::Config("an SCTP port is 0"));
        }
        if config.receive_buffer / 2 < config.max_message_size {
            return Err(Error::Config("receive_buffer is less than twice max_message_size"));
        }
        if u32::try_from(config.receive_buffer).is_err() {
            return Err(Error::Config("receive_buffer is 4 GiB or more"));
        }
        Ok(Self {
            association: Association::new(now, peer, config.clone(), rng),
            max_message: peer.max_message_size,
            active,
            channels: HashMap::new(),
            streams: HashMap::new(),
            reserved: BTreeSet::new(),
            number: 0,
            events: VecDeque::new(),
            sent: Vec::new(),
            config,
        })
    }

    /// The largest message that the peer takes is another now; 0: any.
    pub fn set_max_message(&mut self, max: u64) {
        self.max_message = max;
    }

    /// Takes in a packet: the data of one DTLS record.
    pub fn handle(&mut self, now: Instant, packet: &[u8]) {
        self.association.handle(now, packet);
        self.follow(now);
    }

    /// The deadline that [`poll`](Self::poll) named has come.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.association.handle_timeout(now);
        self.follow(now);
    }

    /// What to send, to know, or when to come again.
    pub fn poll(&mut self, now: Instant) -> Output<Vec<u8>, Event> {
        if let Some(event) = self.events.pop_front() {
            return Output::Event(event);
        }
        if let Some(packet) = self.association.packet(now) {
            self.count_released();
            return Output::Transmit(packet);
        }
        // What was dropped unsent is released, too.
        self.count_released();
        if let Some((channel, bytes)) = self.sent.pop() {
            return Output::Event(Event::Sent { channel, bytes });
        }
        match self.events.pop_front() {
            Some(event) => Output::Event(event),
            None => Output::Timeout(self.association.deadline()),
        }
    }

    /// Opens a channel; [`Event::Opened`] follows when the peer has it. Messages may be sent before.
    ///
    /// # Errors
    /// [`Error::Stream`] for a negotiated one that is taken, [`Error::Limit`], [`Error::Over`].
    pub fn open(&mut self, _now: Instant, options: ChannelOptions) -> Result<ChannelId, Error> {
        if self.association.is_over() {
            return Err(Error::Over);
        }
        let reserved = options.negotiated.is_some_and(|stream| self.reserved.remove(&stream));
        if !reserved {
            self.has_room()?;
        }
        let longest = self.config.max_label.min(u16::MAX.into());
        if options.label.len() > longest || options.protocol.len() > longest {
            return Err(Error::Limit("max_label"));
        }
        // RFC 8831 §6.2: 65535 is no stream.
        let most = self.association.outgoing_streams();
        let stream = match options.negotiated {
            Some(stream) if stream >= most || self.streams.contains_key(&stream) => {
                return Err(Error::Stream(stream));
            }
            Some(stream) => stream,
            None => self.free_stream()?,
        };
        let state = match options.negotiated {
            Some(_) if self.association.is_up() => State::Open,
            _ => State::Opening,
        };
        let id = self.insert(stream, options, false, state);
        if state == State::Open {
            self.events.push_back(Event::Opened(id));
        } else {
            self.say_open(id);
        }
        Ok(id)
    }

    /// Keeps a stream of ours free for a channel that is agreed on elsewhere, as in session descriptions
    /// (RFC 8864): until it is [opened](Self::open) as a negotiated one, or [released](Self::release).
    ///
    /// # Errors
    /// [`Error::Limit`], [`Error::Over`].
    pub fn reserve(&mut self) -> Result<u16, Error> {
        if self.association.is_over() {
            return Err(Error::Over);
        }
        self.has_room()?;
        let stream = self.free_stream()?;
        self.reserved.insert(stream);
        Ok(stream)
    }

    /// Nothing was agreed on.
    pub fn release(&mut self, stream: u16) {
        self.reserved.remove(&stream);
    }

    fn has_room(&self) -> Result<(), Error> {
        match self.streams.len() + self.reserved.len() >= self.config.max_channels {
            true => Err(Error::Limit("max_channels")),
            false => Ok(()),
        }
    }

    /// RFC 8832 §6: the client has the even ones.
    fn free_stream(&self) -> Result<u16, Error> {
        let taken = |s: &u16| self.streams.contains_key(s) || self.reserved.contains(s);
        (u16::from(!self.active)..self.association.outgoing_streams())
            .step_by(2)
            .find(|stream| !taken(stream))
            .ok_or(Error::Limit("streams of the peer"))
    }

    fn insert(
        &mut self,
        stream: u16,
        options: ChannelOptions,
        incoming: bool,
        state: State,
    ) -> ChannelId {
        self.number += 1;
        let id = ChannelId { stream, number: self.number };
        let channel = Channel {
            known: incoming || options.negotiated.is_some(),
            options,
            incoming,
            state,
            inbox: VecDeque::new(),
            buffered: 0,
            own: 0,
            error: None,
        };
        self.channels.insert(id, channel);
        self.streams.insert(stream, id);
        id
    }

    /// The OPEN of an in-band channel; it waits with everything else until the association is up.
    fn say_open(&mut self, id: ChannelId) {
        let Some(channel) = self.channels.get(&id).filter(|c| c.options.negotiated.is_none())
        else {
            return;
        };
        let options = &channel.options;
        let open = Open {
            ordered: options.ordered,
            reliability: options.reliability,
            priority: options.priority,
            label: options.label.clone(),
            protocol: options.protocol.clone(),
        };
        self.say(id, &Dcep::Open(open));
    }

    /// RFC 8832 §5: its messages are reliable and in order.
    fn say(&mut self, id: ChannelId, dcep: &Dcep) {
        let data = Bytes::from(dcep.write());
        if let Some(channel) = self.channels.get_mut(&id) {
            channel.own += data.len();
        }
        let (ppid, limits) = (dcep::PPID, Limits::default());
        self.association.send(id.stream, Outgoing { ppid, unordered: false, data, limits });
    }

    /// Sends a message.
    ///
    /// # Errors
    /// [`Error::Closed`], [`Error::TooBig`], and [`Error::Full`] when too much waits already.
    pub fn send(&mut self, now: Instant, id: ChannelId, message: Message) -> Result<(), Error> {
        if self.association.is_over() {
            return Err(Error::Over);
        }
        let channel = self.channels.get(&id).ok_or(Error::Closed)?;
        if !matches!(channel.state, State::Opening | State::Open) {
            return Err(Error::Closed);
        }
        let (size, max) = (message.len(), self.max_message);
        if max != 0 && size as u64 > max {
            return Err(Error::TooBig { size, max });
        }
        if !self.has_room_for(size) {
            return Err(Error::Full { buffered: self.association.waiting_bytes() });
        }
        let channel = self.channels.get_mut(&id).ok_or(Error::Closed)?;
        let (ppid, data) = match message {
            // RFC 8831 §6.6: SCTP has no empty messages.
            Message::Text(text) if text.is_empty() => (EMPTY_TEXT, Bytes::from_static(&[0])),
            Message::Binary(data) if data.is_empty() => (EMPTY_BINARY, Bytes::from_static(&[0])),
            Message::Text(text) => (TEXT, Bytes::from(text)),
            Message::Binary(data) => (BINARY, data),
        };
        channel.buffered += size;
        channel.own += data.len() - size;
        let limits = match channel.options.reliability {
            Reliability::Full => Limits::default(),
            Reliability::Retransmits(n) => Limits { retransmits: Some(n), expires: None },
            Reliability::Lifetime(d) => Limits { retransmits: None, expires: now.checked_add(d) },
        };
        let unordered = !channel.options.ordered && channel.known;
        self.association.send(id.stream, Outgoing { ppid, unordered, data, limits });
        self.association.counts.messages_sent += 1;
        self.association.counts.bytes_sent += size as u64;
        Ok(())
    }

    /// Whether [`send`](Self::send) has an answer to a message of that length other than
    /// [`Error::Full`]: no more than [`Config::max_buffered`] waits with it, or nothing else does.
    pub fn has_room_for(&self, size: usize) -> bool {
        let buffered = self.association.waiting_bytes();
        buffered == 0 || buffered + size <= self.config.max_buffered || self.association.is_over()
    }

    /// The next message that has come.
    pub fn read(&mut self, now: Instant, id: ChannelId) -> Option<Message> {
        let (message, cost) = self.take(now, id)?;
        self.has_read(cost);
        Some(message)
    }

    /// The same for who hands it on: until it [has been read](Self::has_read), it counts in
    /// [`Config::receive_buffer`], with so much.
    pub fn take(&mut self, _now: Instant, id: ChannelId) -> Option<(Message, usize)> {
        let taken = self.channels.get_mut(&id)?.inbox.pop_front()?;
        self.bury(id);
        Some(taken)
    }

    /// So much of what was [taken](Self::take) has been read: the peer may send as much again.
    pub fn has_read(&mut self, cost: usize) {
        self.association.read(cost);
    }

    /// Closes a channel: what waits is sent first, what comes is not read any more.
    /// [`Event::Closed`] follows when the peer has closed it, too.
    pub fn close(&mut self, now: Instant, id: ChannelId) {
        if self.channels.get(&id).is_some_and(|c| c.state != State::Closed) {
            self.close_for(now, id, None);
        } else {
            self.drop_unread(id);
            self.bury(id);
        }
    }

    fn close_for(&mut self, now: Instant, id: ChannelId, error: Option<Error>) {
        self.drop_unread(id);
        let Some(channel) = self.channels.get_mut(&id) else { return };
        channel.error = channel.error.take().or(error);
        match &mut channel.state {
            State::Closing { deaf, .. } => *deaf = true,
            state => {
                *state = State::Closing { ours: false, theirs: false, deaf: true };
                self.association.reset(now, id.stream);
            }
        }
        self.association.deafen(id.stream);
        self.settle();
    }

    fn drop_unread(&mut self, id: ChannelId) {
        if let Some(channel) = self.channels.get_mut(&id) {
            channel.inbox.drain(..).for_each(|(_, cost)| self.association.read(cost));
        }
    }

    /// Ends it all at once; the peer is told why.
    pub fn abort(&mut self, reason: &str) {
        self.association.abort(reason);
        self.events.clear();
        self.channels.clear();
        self.streams.clear();
    }

    /// What is known of a channel.
    pub fn channel(&self, id: ChannelId) -> Option<&Channel> {
        self.channels.get(&id)
    }

    /// Whether the peer is there.
    pub fn is_connected(&self) -> bool {
        self.association.is_up()
    }

    /// The smoothed round trip, once there is one.
    pub fn round_trip(&self) -> Option<Duration> {
        self.association.round_trip()
    }

    /// What is on its way just now.
    pub fn flight(&self) -> Flight {
        self.association.flight()
    }

    /// Channels that have a stream.
    pub fn len(&self) -> usize {
        self.streams.len()
    }

    /// Whether there is no channel.
    pub fn is_empty(&self) -> bool {
        self.streams.is_empty()
    }

    /// Figures so far.
    pub fn counts(&self) -> Counts {
        self.association.counts()
    }

    /// Acts on what the association has told.
    fn follow(&mut self, now: Instant) {
        while let Some(told) = self.association.take_told() {
            match told {
                Told::Up => self.connected(now),
                Told::Message(whole) => self.message(now, whole),
                Told::PeerReset(streams) => {
                    for stream in streams {
                        self.peer_closed(now, stream);
                    }
                }
                Told::Reset(streams) => {
                    let knows = self.association.knows_resets();
                    for stream in streams {
                        self.closing(stream, |ours, theirs| {
                            *ours = true;
                            // Nobody will tell us of the other direction.
                            *theirs |= !knows;
                        });
                    }
                }
                Told::TooBig(stream) => {
                    self.association.counts.over_limit += 1;
                    match self.streams.get(&stream) {
                        Some(id) => {
                            let error = Some(Error::Limit("max_message_size"));
                            self.close_for(now, *id, error);
                        }
                        None => self.association.reset(now, stream),
                    }
                }
                Told::Ended(error) => self.ended(error),
            }
        }
        self.settle();
    }

    fn connected(&mut self, now: Instant) {
        self.events.push_back(Event::Connected);
        let most = self.association.outgoing_streams();
        let mut ids: Vec<ChannelId> = self.streams.values().copied().collect();
        ids.sort_unstable();
        for id in ids {
            let Some(channel) = self.channels.get_mut(&id) else { continue };
            if id.stream >= most {
                self.association.discard(id.stream);
                self.close_for(now, id, Some(Error::Stream(id.stream)));
            } else if channel.options.negotiated.is_some() && channel.state == State::Opening {
                channel.state = State::Open;
                self.events.push_back(Event::Opened(id));
            }
        }
    }

    fn message(&mut self, now: Instant, whole: Whole) {
        let Whole { stream, ppid, data, cost } = whole;
        if ppid == dcep::PPID {
            self.association.read(cost);
            return self.establishment(now, stream, &data);
        }
        let id = self.streams.get(&stream).copied();
        let Some((id, channel)) = id.and_then(|id| Some((id, self.channels.get_mut(&id)?))) else {
            self.association.read(cost);
            self.association.counts.unread += 1;
            return;
        };
        let text = |data: Vec<u8>| String::from_utf8(data).ok().map(Message::Text);
        let message = match ppid {
            TEXT => text(data),
            BINARY => Some(Message::Binary(data.into())),
            EMPTY_TEXT => Some(Message::Text(String::new())),
            EMPTY_BINARY => Some(Message::Binary(Bytes::new())),
            _ => {
                self.association.read(cost);
                self.association.counts.unread += 1;
                return;
            }
        };
        if matches!(channel.state, State::Closing { deaf: true, .. } | State::Closed) {
            self.association.read(cost);
            return;
        }
        let Some(message) = message else {
            self.association.read(cost);
            self.association.counts.unread += 1;
            let error = Error::Protocol("a text message that is not UTF-8");
            return self.close_for(now, id, Some(error));
        };
        self.association.counts.messages_received += 1;
        self.association.counts.bytes_received += message.len() as u64;
        channel.inbox.push_back((message, cost));
        let first = channel.inbox.len() == 1;
        self.shows_itself(id);
        if first {
            self.events.push_back(Event::Readable(id));
        }
    }

    /// The peer knows the channel.
    fn shows_itself(&mut self, id: ChannelId) {
        let Some(channel) = self.channels.get_mut(&id) else { return };
        channel.known = true;
        if channel.state == State::Opening {
            channel.state = State::Open;
            self.events.push_back(Event::Opened(id));
        }
    }

    fn establishment(&mut self, now: Instant, stream: u16, data: &[u8]) {
        let there = self.streams.get(&stream).copied();
        let open = match (Dcep::parse(data), there) {
            (Ok(Dcep::Ack), Some(id)) => return self.shows_itself(id),
            (Ok(Dcep::Ack), None) => return,
            (Ok(Dcep::Open(open)), None) => Ok(open),
            // §6: the stream is in use.
            (Ok(Dcep::Open(_)), Some(id)) => Err((id, Error::Stream(stream))),
            (Err(error), Some(id)) => Err((id, error)),
            (Err(error), None) => {
                tracing::debug!("{error}");
                self.association.counts.unread += 1;
                return self.association.reset(now, stream);
            }
        };
        let open = match open {
            Ok(open) => open,
            Err((id, error)) => return self.close_for(now, id, Some(error)),
        };
        // §6: the peer has the streams of the other parity.
        let ours = stream.is_multiple_of(2) == self.active;
        let long = open.label.len().max(open.protocol.len()) > self.config.max_label;
        if ours || long || self.streams.len() >= self.config.max_channels {
            self.association.counts.over_limit += 1;
            self.association.deafen(stream);
            return self.association.reset(now, stream);
        }
        let options = ChannelOptions {
            label: open.label,
            protocol: open.protocol,
            ordered: open.ordered,
            reliability: open.reliability,
            priority: open.priority,
            negotiated: None,
        };
        let id = self.insert(stream, options, true, State::Open);
        self.say(id, &Dcep::Ack);
        self.events.push_back(Event::Incoming(id));
    }

    /// The peer has closed a channel: so do we (RFC 8831 §6.7).
    fn peer_closed(&mut self, now: Instant, stream: u16) {
        let Some(id) = self.streams.get(&stream).copied() else { return };
        let Some(channel) = self.channels.get_mut(&id) else { return };
        if matches!(channel.state, State::Opening | State::Open) {
            channel.state = State::Closing { ours: false, theirs: true, deaf: false };
            // Nobody is there to read it.
            self.association.discard(stream);
            self.association.reset(now, stream);
        } else {
            self.closing(stream, |_, theirs| *theirs = true);
        }
    }

    fn closing(&mut self, stream: u16, side: impl FnOnce(&mut bool, &mut bool)) {
        let Some(id) = self.streams.get(&stream).copied() else { return };
        let Some(channel) = self.channels.get_mut(&id) else { return };
        if let State::Closing { ours, theirs, .. } = &mut channel.state {
            side(ours, theirs);
        }
    }

    /// Frees the streams of channels that are closed on both sides.
    fn settle(&mut self) {
        let done = |id: &ChannelId| {
            let state = self.channels.get(id).map(|c| c.state);
            matches!(state, None | Some(State::Closing { ours: true, theirs: true, .. }))
        };
        let done: Vec<ChannelId> = self.streams.values().filter(|id| done(id)).copied().collect();
        for id in done {
            self.streams.remove(&id.stream);
            if let Some(channel) = self.channels.get_mut(&id) {
                channel.state = State::Closed;
            }
            self.bury(id);
        }
    }

    /// Forgets a channel that is closed and read.
    fn bury(&mut self, id: ChannelId) {
        let over = |c: &&Channel| c.state == State::Closed && c.inbox.is_empty();
        if self.channels.get(&id).filter(over).is_some()
            && let Some(channel) = self.channels.remove(&id)
        {
            self.events.push_back(Event::Closed { channel: id, error: channel.error });
        }
    }

    fn ended(&mut self, error: Error) {
        self.streams.clear();
        let mut ids: Vec<ChannelId> = self.channels.keys().copied().collect();
        ids.sort_unstable();
        for id in ids {
            if let Some(channel) = self.channels.get_mut(&id) {
                if channel.state != State::Closed {
                    channel.error.get_or_insert_with(|| error.clone());
                }
                channel.state = State::Closed;
            }
            self.bury(id);
        }
        self.events.push_back(Event::Ended(error));
    }

    fn count_released(&mut self) {
        for (stream, bytes) in self.association.take_released() {
            let Some(id) = self.streams.get(&stream).copied() else { continue };
            let Some(channel) = self.channels.get_mut(&id) else { continue };
            let own = bytes.min(channel.own);
            channel.own -= own;
            let bytes = (bytes - own).min(channel.buffered);
            if bytes == 0 {
                continue;
            }
            let low = self.config.low_water;
            let was_high = channel.buffered > low;
            channel.buffered -= bytes;
            if was_high && channel.buffered <= low {
                self.events.push_back(Event::BufferedLow(id));
            }
            match self.sent.iter_mut().find(|(channel, _)| *channel == id) {
                Some((_, sum)) => *sum += bytes,
                None => self.sent.push((id, bytes)),
            }
        }
    }

    #[cfg(test)]
    pub(super) fn say_for_test(&mut self, id: ChannelId, dcep: &Dcep) {
        self.say(id, dcep);
    }

    /// What the peer's packets must have for a tag, and the last TSN of ours.
    #[cfg(test)]
    pub(super) fn numbers_for_test(&self) -> (u32, u32) {
        self.association.numbers()
    }

    #[cfg(test)]
    pub(super) fn count_from_for_test(&mut self, now: Instant, tsn: u32) {
        self.association.count_from(now, tsn);
    }

    #[cfg(test)]
    pub(super) fn first_tsn_for_test(&self) -> u32 {
        self.association.first_tsn()
    }

    #[cfg(test)]
    pub(super) fn held_for_test(&self) -> usize {
        self.association.held()
    }
}
