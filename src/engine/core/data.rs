//! Data channels of calls: which descriptions have them, who waits for one, and the re-INVITE that
//! asks the peer for the first (RFC 8841). SCTP itself belongs to media.

use super::Core;
use super::described::MOST_ODD;
use super::entry::HoldChange;
use super::negotiation::Negotiation;
use crate::command::Reply;
use crate::data::ChannelSpec;
use crate::event::CallEvent;
use crate::media::{DataCommand, DataSetup, DataWord, MediaCommand, MediaId, MediaPlane, Security};
use crate::{DataChannel, Error};
use std::time::Instant;
use tiny_sdp::LocalData;
use tiny_sip::CallKey;

/// Channels that wait for the descriptions to have room for them.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    channels: Vec<(Box<ChannelSpec>, Reply<DataChannel>)>,
    /// The peer is being asked.
    asked: bool,
}

impl Wanted {
    pub(super) fn refuse(&mut self, why: &Error) {
        self.asked = false;
        for (_, reply) in self.channels.drain(..) {
            let _ = reply.send(Err(why.clone()));
        }
    }
}

impl<P: MediaPlane> Core<P> {
    /// How our descriptions take data channels.
    pub(super) fn local_data(&self) -> Option<LocalData> {
        let config = &self.config.data;
        let max_message_size = Some(config.max_message_size as u64);
        Some(LocalData { sctp_port: config.port, max_message_size, ..LocalData::default() })
    }

    pub(super) fn open_channel(
        &mut self,
        now: Instant,
        key: CallKey,
        spec: Box<ChannelSpec>,
        reply: Reply<DataChannel>,
    ) {
        let Some(entry) = self.calls.get_mut(&key).filter(|e| e.end.is_none()) else {
            let _ = reply.send(Err(Error::Ended("the call")));
            return;
        };
        if entry.wanted.channels.len() >= self.config.data.max_channels {
            let what = "data channels that wait to be opened: max_channels";
            let _ = reply.send(Err(Error::Limit(what.into())));
            return;
        }
        entry.wanted.channels.push((spec, reply));
        self.settle_channels(now, key);
    }

    /// Opens the channels that wait, or has the peer asked for them; refuses them if that was in vain.
    pub(super) fn settle_channels(&mut self, now: Instant, key: CallKey) {
        let Some(entry) = self.calls.get_mut(&key) else { return };
        if entry.wanted.channels.is_empty() || !entry.established() {
            return;
        }
        let media = entry.ports.filter(|_| entry.started).map(|ports| ports.id);
        if let (Some(_), Some(id)) = (entry.negotiator.data(), media) {
            entry.wanted.asked = false;
            for (spec, reply) in entry.wanted.channels.drain(..) {
                self.plane.tell(id, MediaCommand::Data(DataCommand::Open(spec, reply)));
            }
            return;
        }
        if entry.changing.is_some() || !entry.changes.is_empty() {
            return;
        }
        if !matches!(entry.negotiator.security(), Security::Dtls(_)) {
            let what = "data channels need DTLS, which this call does not have (srtp: dtls)";
            return entry.wanted.refuse(&Error::state(what));
        }
        entry.negotiator.offer_data(!entry.wanted.asked);
        if entry.wanted.asked {
            let what = "the peer takes no data channels with the sound of this call";
            return entry.wanted.refuse(&Error::state(what));
        }
        entry.wanted.asked = true;
        entry.changes.push_back(HoldChange::again(None));
        self.next_change(now, key);
    }

    /// What the descriptions say is told to media.
    pub(super) fn tell_data(&mut self, key: CallKey) {
        let Some(entry) = self.calls.get_mut(&key) else { return };
        let Some(id) = entry.ports.filter(|_| entry.started).map(|ports| ports.id) else { return };
        let agreement = entry.negotiator.data();
        // Who never had any need not be told that there are none.
        if agreement.is_none() && !entry.has_data {
            return;
        }
        entry.has_data = agreement.is_some();
        let declined = entry.negotiator.described_mut().take_declined();
        let setup = agreement.map(|agreement| {
            Box::new(DataSetup {
                agreement,
                declined,
                config: self.config.data.clone(),
                buffer: self.config.data_buffer,
                queue: self.config.data_queue,
                ready: self.config.data_ready,
            })
        });
        self.plane.tell(id, MediaCommand::Data(DataCommand::Agreed(setup)));
    }

    /// How many channels descriptions may set up, and with how long names.
    pub(super) fn limit_channels(&self, negotiator: &mut Negotiation) {
        let config = &self.config.data;
        negotiator.described_mut().limit(config.max_channels, config.max_label);
    }

    /// Channels for the first offer of a call (RFC 8864 §6.3).
    pub(super) fn first_channels(
        &self,
        negotiator: &mut Negotiation,
        channels: Vec<ChannelSpec>,
    ) -> Result<(), Error> {
        let config = &self.config.data;
        if channels.len() > config.max_channels.min(MOST_ODD) {
            return Err(Error::Limit("data channels of the first offer: max_channels".into()));
        }
        for spec in channels {
            if spec.longest() > config.max_label {
                return Err(Error::Limit("the name of a data channel: max_label".into()));
            }
            negotiator.described_mut().want_first(spec.describe(0));
        }
        Ok(())
    }

    /// The peer has refused an offer of ours: what it would have set up is not.
    pub(super) fn channels_refused(&mut self, key: CallKey) {
        let Some(entry) = self.calls.get_mut(&key) else { return };
        entry.negotiator.described_mut().give_up();
        self.tell_data(key);
    }

    /// A channel is to be set up by description, or one that was is closed.
    pub(super) fn data_word(&mut self, now: Instant, id: MediaId, word: DataWord) {
        let Some(key) = self.media.get(&id).copied() else { return };
        let Some(entry) = self.calls.get_mut(&key).filter(|e| e.established()) else { return };
        match word {
            DataWord::Describe(channel) => {
                entry.negotiator.described_mut().want(*channel);
                entry.changes.push_back(HoldChange::again(None));
                self.next_change(now, key);
            }
            DataWord::Gone(stream) => {
                entry.negotiator.described_mut().gone(stream);
                self.check_negotiation(key);
            }
        }
    }

    /// The peer has opened a channel.
    pub(super) fn channel_opened(&mut self, id: MediaId, channel: DataChannel) {
        if let Some(entry) = self.media.get(&id).and_then(|key| self.calls.get(key)) {
            entry.tell(CallEvent::DataChannel(channel));
        }
    }
}
