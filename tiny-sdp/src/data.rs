//! Data channels in offer and answer: `UDP/DTLS/SCTP webrtc-datachannel` (RFC 8841) and channels
//! that are set up by the description itself (RFC 8864). Knows no SCTP.

use crate::description::{AttributeList as _, MediaDescription};
use crate::{Error, ParseError, Text};
use std::fmt;

/// RFC 8841 §6.1: what a peer takes that says nothing.
const DEFAULT_MESSAGE_SIZE: u64 = 65_536;

/// Our side of the SCTP association, in [`LocalMedia::data`](crate::LocalMedia::data).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalData {
    /// Our SCTP port, usually 5000.
    pub sctp_port: u16,
    /// The largest message that we take in bytes, 0 for any; `None` writes nothing: 64 KiB.
    pub max_message_size: Option<u64>,
    /// Channels to set up without DCEP. Of an offer those are accepted that we have too, by
    /// subprotocol and label; their stream is the offer's.
    pub channels: Vec<DataChannel>,
    /// The streams whose channels an answer accepts, whether we have them or not; `None` goes by
    /// [`channels`](Self::channels).
    pub accept: Option<Vec<u16>>,
}

impl Default for LocalData {
    fn default() -> Self {
        Self { sctp_port: 5000, max_message_size: None, channels: Vec::new(), accept: None }
    }
}

/// What both sides agreed on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NegotiatedData {
    /// The peer's SCTP port.
    pub remote_sctp_port: u16,
    /// The largest message that the peer takes in bytes; 0: any.
    pub remote_max_message_size: u64,
    /// The channels that are there without DCEP.
    pub channels: Vec<DataChannel>,
}

/// One channel: a `a=dcmap` line and the `a=dcsa` lines of its stream (RFC 8864 §5).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DataChannel {
    /// SCTP stream, at most 65534.
    pub stream: u16,
    /// Name for the application.
    pub label: Text,
    /// What is spoken in it.
    pub subprotocol: Text,
    /// Whether messages may overtake each other.
    pub unordered: bool,
    /// How often a message is sent again at most. Not with [`max_time`](Self::max_time).
    pub max_retr: Option<u32>,
    /// For how many milliseconds a message is sent at most.
    pub max_time: Option<u32>,
    /// Weight beside other channels; 256 is normal.
    pub priority: Option<u16>,
    /// `a=dcsa` lines: attributes that hold within the channel, as `name:value`.
    pub attributes: Vec<Text>,
}

impl DataChannel {
    /// The value of a `a=dcmap` line.
    ///
    /// # Errors
    /// [`ParseError::Attribute`].
    pub fn parse(value: &str) -> Result<Self, ParseError> {
        let bad = |what: &str| {
            Err(ParseError::Attribute { name: "dcmap", what: format!("{what} in \"{value}\"") })
        };
        let value = value.trim();
        let (stream, mut rest) = value.split_once(' ').unwrap_or((value, ""));
        let mut channel = Self::default();
        match stream.parse::<u16>() {
            Ok(stream) if stream != u16::MAX => channel.stream = stream,
            _ => return bad("no stream"),
        }
        while !rest.trim().is_empty() {
            let Some((name, after)) = rest.split_once('=') else { return bad("no value") };
            let word;
            if let Some(quoted) = after.strip_prefix('"') {
                let Some((text, after)) = quoted.split_once('"') else { return bad("open quote") };
                word = text;
                rest = after.strip_prefix(';').unwrap_or(after);
            } else {
                (word, rest) = after.split_once(';').unwrap_or((after, ""));
            }
            let word = word.trim();
            match name.trim() {
                "label" => channel.label = decode(word),
                "subprotocol" => channel.subprotocol = decode(word),
                "ordered" => match word {
                    "true" => channel.unordered = false,
                    "false" => channel.unordered = true,
                    _ => return bad("ordered"),
                },
                "max-retr" => match word.parse() {
                    Ok(n) => channel.max_retr = Some(n),
                    Err(_) => return bad("max-retr"),
                },
                "max-time" => match word.parse() {
                    Ok(n) => channel.max_time = Some(n),
                    Err(_) => return bad("max-time"),
                },
                "priority" => match word.parse() {
                    Ok(n) => channel.priority = Some(n),
                    Err(_) => return bad("priority"),
                },
                // §5.1.1: what is not known is ignored.
                _ => {}
            }
        }
        // §5.1.5
        if channel.max_retr.is_some() && channel.max_time.is_some() {
            return bad("both max-retr and max-time");
        }
        Ok(channel)
    }

    fn is_like(&self, other: &Self) -> bool {
        self.subprotocol == other.subprotocol && self.label == other.label
    }
}

impl fmt::Display for DataChannel {
    /// The value of its `a=dcmap` line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.stream)?;
        let mut separator = ' ';
        let mut next = |f: &mut fmt::Formatter<'_>| {
            let s = std::mem::replace(&mut separator, ';');
            write!(f, "{s}")
        };
        for (name, text) in [("subprotocol", &self.subprotocol), ("label", &self.label)] {
            if !text.is_empty() {
                next(f)?;
                write!(f, "{name}=\"{}\"", Quoted(text))?;
            }
        }
        if self.unordered {
            next(f)?;
            f.write_str("ordered=false")?;
        }
        let priority = self.priority.map(u32::from);
        for (name, number) in
            [("max-retr", self.max_retr), ("max-time", self.max_time), ("priority", priority)]
        {
            if let Some(number) = number {
                next(f)?;
                write!(f, "{name}={number}")?;
            }
        }
        Ok(())
    }
}

/// §5.1.1: quote, percent and control characters are written as `%xx`.
struct Quoted<'a>(&'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            match c {
                '"' | '%' | '\0'..='\x1f' | '\x7f' => write!(f, "%{:02x}", u32::from(c))?,
                c => write!(f, "{c}")?,
            }
        }
        Ok(())
    }
}

fn decode(text: &str) -> Text {
    if !text.contains('%') {
        return Text::copy(text);
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&b, after)) = rest.split_first() {
        let hex = after.get(..2).and_then(|h| std::str::from_utf8(h).ok());
        match hex.filter(|_| b == b'%').and_then(|h| u8::from_str_radix(h, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &after[2..];
            }
            None => {
                bytes.push(b);
                rest = after;
            }
        }
    }
    Text::from(String::from_utf8_lossy(&bytes).into_owned())
}

/// What a peer's section says; `None` without an SCTP port, which there must be (RFC 8841 §5.1).
pub(crate) fn read(media: &MediaDescription<'_>) -> Option<NegotiatedData> {
    let remote_sctp_port = media.value("sctp-port")?.trim().parse().ok().filter(|p| *p != 0)?;
    let size = media.value("max-message-size").and_then(|v| v.trim().parse().ok());
    let mut channels: Vec<DataChannel> = Vec::new();
    for channel in media.values("dcmap").filter_map(|v| DataChannel::parse(v).ok()) {
        if !channels.iter().any(|c| c.stream == channel.stream) {
            channels.push(channel);
        }
    }
    for line in media.values("dcsa") {
        let Some((stream, attribute)) = line.trim().split_once(' ') else { continue };
        let Ok(stream) = stream.parse::<u16>() else { continue };
        if let Some(channel) = channels.iter_mut().find(|c| c.stream == stream) {
            channel.attributes.push(Text::copy(attribute.trim()));
        }
    }
    let remote_max_message_size = size.unwrap_or(DEFAULT_MESSAGE_SIZE);
    Some(NegotiatedData { remote_sctp_port, remote_max_message_size, channels })
}

impl LocalData {
    /// RFC 8864 §6.4: of the offered channels those that are ours too.
    pub(crate) fn accept(&self, offered: &mut NegotiatedData) {
        offered.channels.retain(|c| match &self.accept {
            Some(streams) => streams.contains(&c.stream),
            None => self.ours(c).is_some(),
        });
    }

    /// Ours for an offered one.
    fn ours(&self, offered: &DataChannel) -> Option<&DataChannel> {
        self.channels.iter().find(|ours| match &self.accept {
            Some(_) => ours.stream == offered.stream,
            None => ours.is_like(offered),
        })
    }

    /// As an answer writes the accepted ones: `a=dcsa` lines are of who writes them (§6.4).
    pub(crate) fn answered(&self, accepted: &[DataChannel]) -> Vec<DataChannel> {
        let own = |c: &DataChannel| self.ours(c).map(|o| o.attributes.clone()).unwrap_or_default();
        accepted.iter().map(|c| DataChannel { attributes: own(c), ..c.clone() }).collect()
    }

    /// Whether this can be written.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let bad = |what| Err(Error::Local { field: "data channels", what });
        if self.sctp_port == 0 {
            return bad("the SCTP port is 0");
        }
        for (i, c) in self.channels.iter().enumerate() {
            if c.stream == u16::MAX || self.channels[..i].iter().any(|o| o.stream == c.stream) {
                return bad("a stream is 65535 or used twice");
            }
            if c.max_retr.is_some() && c.max_time.is_some() {
                return bad("a channel has both max-retr and max-time");
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_examples_of_rfc8864_are_read_and_written() {
        let c = DataChannel::parse("2 subprotocol=\"bfcp\";label=\"bfcp\"").unwrap();
        assert_eq!((c.stream, &*c.subprotocol, &*c.label), (2, "bfcp", "bfcp"));
        let c = DataChannel::parse(
            "4 label=\"a \\%22;x=\";ordered=false;max-retr=3;priority=512;future=\"1;2\"",
        )
        .unwrap();
        assert_eq!(&*c.label, "a \\\";x=");
        assert_eq!(
            (c.unordered, c.max_retr, c.max_time, c.priority),
            (true, Some(3), None, Some(512))
        );
        assert_eq!(DataChannel::parse(&c.to_string()), Ok(c));
        assert_eq!(DataChannel::parse("0").unwrap().to_string(), "0");
    }

    #[test]
    fn bad_channels_are_refused_by_name() {
        for bad in [
            "",
            "65535",
            "-1",
            "x label=\"a\"",
            "1 label=\"a",
            "1 max-time",
            "1 ordered=1",
            "1 max-retr=1;max-time=2",
        ] {
            let refused = DataChannel::parse(bad);
            assert!(matches!(refused, Err(ParseError::Attribute { name: "dcmap", .. })), "{bad}");
        }
    }
}
