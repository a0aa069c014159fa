//! What a data channel is to be like, and how a session description says that (RFC 8864 §5.1).

use super::Reliability;
use crate::Error;
use std::time::Duration;
use tiny_net::data::ChannelOptions;
use tiny_sdp::Text;

/// Normal, of RFC 8831 §6.4; what is not said.
const PRIORITY: u16 = 256;

/// A channel that an application wishes.
#[derive(Debug, Clone)]
pub(crate) struct ChannelSpec {
    pub(crate) options: ChannelOptions,
    pub(super) retransmits: Option<u32>,
    pub(super) lifetime: Option<Duration>,
    /// Descriptions set it up.
    pub(crate) described: bool,
    pub(super) attributes: Vec<String>,
}

impl ChannelSpec {
    pub(super) fn new(label: String) -> Self {
        Self {
            options: ChannelOptions::new(label),
            retransmits: None,
            lifetime: None,
            described: false,
            attributes: Vec::new(),
        }
    }

    /// As it can be; the sentence why not.
    pub(crate) fn checked(mut self) -> Result<Self, Error> {
        let refused = |what: &str| Err(Error::config("data channel", what));
        self.options.reliability = match (self.retransmits, self.lifetime) {
            (Some(_), Some(_)) => {
                return refused("has both a number of retransmissions and a lifetime");
            }
            (Some(count), None) => Reliability::Retransmits(count),
            (None, Some(time)) => Reliability::Lifetime(time),
            (None, None) => Reliability::Full,
        };
        if self.described && self.options.negotiated.is_some() {
            return refused("is negotiated by number and by description");
        }
        let cannot = |text: &String| text.trim().is_empty() || text.contains(char::is_control);
        if self.attributes.iter().any(cannot) {
            return refused("has an attribute that is empty or more than a line");
        }
        Ok(self)
    }

    /// Its longest name, in bytes.
    pub(crate) fn longest(&self) -> usize {
        self.options.label.len().max(self.options.protocol.len())
    }

    /// As a description says it.
    pub(crate) fn describe(&self, stream: u16) -> tiny_sdp::DataChannel {
        let options = &self.options;
        let (max_retr, max_time) = match options.reliability {
            Reliability::Full => (None, None),
            Reliability::Retransmits(count) => (Some(count), None),
            Reliability::Lifetime(time) => {
                (None, Some(u32::try_from(time.as_millis()).unwrap_or(u32::MAX)))
            }
        };
        tiny_sdp::DataChannel {
            stream,
            label: Text::from(options.label.clone()),
            subprotocol: Text::from(options.protocol.clone()),
            unordered: !options.ordered,
            max_retr,
            max_time,
            priority: (options.priority != PRIORITY).then_some(options.priority),
            attributes: self.attributes.iter().map(|a| Text::from(a.clone())).collect(),
        }
    }
}

/// What a description says, as SCTP has it.
pub(crate) fn options_of(channel: &tiny_sdp::DataChannel) -> ChannelOptions {
    let mut options = ChannelOptions::new(channel.label.to_string());
    options.protocol = channel.subprotocol.to_string();
    options.ordered = !channel.unordered;
    options.reliability = match (channel.max_retr, channel.max_time) {
        (Some(count), _) => Reliability::Retransmits(count),
        (None, Some(ms)) => Reliability::Lifetime(Duration::from_millis(ms.into())),
        (None, None) => Reliability::Full,
    };
    options.priority = channel.priority.unwrap_or(PRIORITY);
    options.negotiated = Some(channel.stream);
    options
}

/// A data channel that the first offer of a call sets up (`a=dcmap`, RFC 8864):
/// [`CallBuilder::data_channel`](crate::CallBuilder::data_channel).
#[derive(Debug, Clone)]
pub struct DescribedChannel(pub(crate) ChannelSpec);

impl DescribedChannel {
    /// A reliable channel in order, with this label.
    pub fn new(label: impl Into<String>) -> Self {
        let mut spec = ChannelSpec::new(label.into());
        spec.described = true;
        Self(spec)
    }

    /// As [`DataChannelBuilder::ordered`](crate::DataChannelBuilder::ordered).
    #[must_use]
    pub fn ordered(mut self, on: bool) -> Self {
        self.0.options.ordered = on;
        self
    }

    /// As [`DataChannelBuilder::max_retransmits`](crate::DataChannelBuilder::max_retransmits).
    #[must_use]
    pub fn max_retransmits(mut self, count: u32) -> Self {
        self.0.retransmits = Some(count);
        self
    }

    /// As [`DataChannelBuilder::max_lifetime`](crate::DataChannelBuilder::max_lifetime).
    #[must_use]
    pub fn max_lifetime(mut self, time: Duration) -> Self {
        self.0.lifetime = Some(time);
        self
    }

    /// As [`DataChannelBuilder::protocol`](crate::DataChannelBuilder::protocol).
    #[must_use]
    pub fn protocol(mut self, protocol: impl Into<String>) -> Self {
        self.0.options.protocol = protocol.into();
        self
    }

    /// As [`DataChannelBuilder::priority`](crate::DataChannelBuilder::priority).
    #[must_use]
    pub fn priority(mut self, priority: u16) -> Self {
        self.0.options.priority = priority;
        self
    }

    /// As [`DataChannelBuilder::attribute`](crate::DataChannelBuilder::attribute).
    #[must_use]
    pub fn attribute(mut self, attribute: impl Into<String>) -> Self {
        self.0.attributes.push(attribute.into());
        self
    }
}
