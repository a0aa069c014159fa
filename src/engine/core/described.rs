//! Data channels that descriptions set up, without a word in the association (RFC 8864): which of them our
//! next offer or answer has, and what an exchange leaves of them. Opens no channel, and numbers none but
//! those of a first offer.
#![cfg_attr(not(feature = "dtls"), allow(dead_code))]

use tiny_sdp::attribute::Setup;
use tiny_sdp::{AttributeList as _, DataChannel, Description, LocalData, NegotiatedData, Text};

/// Odd streams that there are: 65535 is none (RFC 8831 §6.2).
pub(super) const MOST_ODD: usize = 32_767;

/// What is known of them. Each fork of an INVITE has its own.
#[derive(Clone, Default)]
pub(super) struct Described {
    all: Vec<Entry>,
    /// What the peer has not taken, since somebody asked.
    declined: Vec<u16>,
    /// Channels at a time, and the longest label and subprotocol.
    most: usize,
    longest: usize,
}

#[derive(Clone)]
struct Entry {
    /// As our descriptions have it.
    channel: DataChannel,
    /// What the peer's say of it (`a=dcsa`).
    theirs: Vec<Text>,
    ours: bool,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// It is for our next offer.
    Wanted,
    /// Our offer that waits has it.
    Offered,
    InForce,
    /// It is closed, and the peer's description does not know.
    Closed,
}

impl Described {
    pub(super) fn limit(&mut self, most: usize, longest: usize) {
        (self.most, self.longest) = (most, longest);
    }

    /// The next offer sets it up.
    pub(super) fn want(&mut self, channel: DataChannel) {
        let state = State::Wanted;
        self.all.push(Entry { channel, theirs: Vec::new(), ours: true, state });
    }

    /// The first offer sets it up. §6.1: the server of DTLS has the odd streams, which who offers is, as
    /// answers are active (RFC 8842 §5.3).
    pub(super) fn want_first(&mut self, mut channel: DataChannel) {
        channel.stream = u16::try_from(1 + 2 * self.all.len()).unwrap_or(u16::MAX);
        self.want(channel);
    }

    /// It is closed (§6.6.1): later descriptions do without.
    pub(super) fn gone(&mut self, stream: u16) {
        let known = |e: &&mut Entry| e.channel.stream == stream && e.state == State::InForce;
        if let Some(entry) = self.all.iter_mut().find(known) {
            entry.state = State::Closed;
        }
    }

    /// Whether the peer has yet to hear of something.
    pub(super) fn has_news(&self) -> bool {
        self.all.iter().any(|e| matches!(e.state, State::Wanted | State::Closed))
    }

    /// The streams that the peer has not taken, since the last look.
    pub(super) fn take_declined(&mut self) -> Vec<u16> {
        std::mem::take(&mut self.declined)
    }

    /// The peer has refused the whole offer.
    pub(super) fn give_up(&mut self) {
        let (wanted, rest) =
            std::mem::take(&mut self.all).into_iter().partition(|e| e.state == State::Wanted);
        self.all = rest;
        let wanted: Vec<Entry> = wanted;
        self.declined.extend(wanted.iter().map(|e| e.channel.stream));
    }

    /// The call begins anew.
    pub(super) fn like(&mut self, before: &Self) {
        *self = before.clone();
        self.rollback();
        self.all.retain(|e| e.state == State::Wanted);
    }

    /// Our offer is none any more.
    pub(super) fn rollback(&mut self) {
        let offered = self.all.iter_mut().filter(|e| e.state == State::Offered);
        offered.for_each(|e| e.state = State::Wanted);
    }

    /// §6.3, §6.6: what an offer of ours has.
    pub(super) fn offer(&mut self, data: &mut LocalData) {
        self.all.iter_mut().filter(|e| e.state == State::Wanted).for_each(|e| {
            e.state = State::Offered;
        });
        let open = self.all.iter().filter(|e| e.state != State::Closed);
        data.channels = open.map(|e| e.channel.clone()).collect();
    }

    /// §6.4: what an answer of ours takes of an offer: all that there is room for, and nothing that we
    /// have closed.
    pub(super) fn answer(&self, data: &mut LocalData, offer: &Description) {
        let ours = self.all.iter().filter(|e| e.state == State::InForce);
        data.channels = ours.map(|e| e.channel.clone()).collect();
        let taken = |c: &DataChannel| {
            let known = self.all.iter().find(|e| e.channel.stream == c.stream);
            let short = c.label.len().max(c.subprotocol.len()) <= self.longest;
            known.map_or(short, |e| e.state == State::InForce)
        };
        let mut streams: Vec<u16> = channels_of(offer).filter(taken).map(|c| c.stream).collect();
        // Those that there are come first.
        streams.sort_by_key(|s| !data.channels.iter().any(|c| c.stream == *s));
        streams.truncate(self.most);
        data.accept = Some(streams);
    }

    /// What an exchange leaves of them; `offered`: the offer was ours.
    pub(super) fn settle(&mut self, agreed: &NegotiatedData, offered: bool) {
        let said = |stream: u16| agreed.channels.iter().find(|c| c.stream == stream);
        for entry in &mut self.all {
            match (entry.state, said(entry.channel.stream)) {
                (State::Offered | State::InForce, Some(channel)) => {
                    entry.theirs.clone_from(&channel.attributes);
                    entry.state = State::InForce;
                }
                (State::Offered, None) => {
                    self.declined.push(entry.channel.stream);
                    entry.state = State::Closed;
                }
                (State::InForce, None) => entry.state = State::Closed,
                (State::Wanted | State::Closed, _) => {}
            }
        }
        // Both know now.
        self.all.retain(|e| e.state != State::Closed);
        for channel in agreed.channels.iter().filter(|_| !offered) {
            if !self.all.iter().any(|e| e.channel.stream == channel.stream) {
                let theirs = channel.attributes.clone();
                let channel = DataChannel { attributes: Vec::new(), ..channel.clone() };
                let state = State::InForce;
                self.all.push(Entry { channel, theirs, ours: false, state });
            }
        }
    }

    /// There are no data channels any more.
    pub(super) fn clear(&mut self) {
        self.all.clear();
    }

    /// Those in force, with what the peer says of them; and the streams of those that we have set up.
    pub(super) fn in_force(&self) -> (Vec<DataChannel>, Vec<u16>) {
        let all = || self.all.iter().filter(|e| e.state == State::InForce);
        let theirs = |e: &Entry| DataChannel { attributes: e.theirs.clone(), ..e.channel.clone() };
        let ours = all().filter(|e| e.ours).map(|e| e.channel.stream);
        (all().map(theirs).collect(), ours.collect())
    }
}

fn channels_of(offer: &Description) -> impl Iterator<Item = DataChannel> {
    let lines =
        offer.all_media().flat_map(|m| m.values("dcmap").map(str::to_owned).collect::<Vec<_>>());
    lines.filter_map(|line| DataChannel::parse(&line).ok())
}

/// §6.1: an offer that leaves the choice, and sets up channels in even streams, comes from who means to be
/// the client of DTLS.
pub(super) fn wants_us_passive(offer: &Description) -> bool {
    let either = offer.all_media().any(|m| matches!(m.setup(), Some(Ok(Setup::ActPass))));
    let mut streams = channels_of(offer).map(|c| c.stream).peekable();
    either && streams.peek().is_some() && streams.all(|stream| stream % 2 == 0)
}
