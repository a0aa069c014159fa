//! Messages that wait in a mailbox (RFC 3842, `application/simple-message-summary`).

use super::{BodyError, Limits, text};
use crate::header::chars;
use std::fmt::Write as _;

/// The media type.
pub const CONTENT_TYPE: &str = "application/simple-message-summary";

/// The kind of a message (RFC 3458 §6.2).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum MessageClass {
    /// `Voice-Message`.
    Voice,
    /// `Video-Message`.
    Video,
    /// `Fax-Message`.
    Fax,
    /// `Pager-Message`.
    Pager,
    /// `Multimedia-Message`.
    Multimedia,
    /// `Text-Message`.
    Text,
    /// `None`.
    None,
    /// Another word.
    Other(String),
}

impl MessageClass {
    /// The word on the wire.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Voice => "Voice-Message",
            Self::Video => "Video-Message",
            Self::Fax => "Fax-Message",
            Self::Pager => "Pager-Message",
            Self::Multimedia => "Multimedia-Message",
            Self::Text => "Text-Message",
            Self::None => "None",
            Self::Other(word) => word,
        }
    }

    fn parse(word: &str) -> Self {
        let known = [
            Self::Voice,
            Self::Video,
            Self::Fax,
            Self::Pager,
            Self::Multimedia,
            Self::Text,
            Self::None,
        ];
        known
            .into_iter()
            .find(|class| class.as_str().eq_ignore_ascii_case(word))
            .unwrap_or_else(|| Self::Other(word.to_owned()))
    }
}

/// How many there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Counts {
    /// Not heard yet.
    pub new: u32,
    /// Heard and kept.
    pub old: u32,
    /// Urgent ones among them, new and old, when told.
    pub urgent: Option<(u32, u32)>,
}

/// The state of a mailbox.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MessageSummary {
    /// Whether anything waits.
    pub waiting: bool,
    /// The mailbox, a URI.
    pub account: Option<String>,
    /// Counts by kind, in the order of the body.
    pub counts: Vec<(MessageClass, Counts)>,
    /// Header fields of single messages, in order; `None` between two messages.
    pub details: Vec<Option<(String, String)>>,
}

impl MessageSummary {
    /// Reads a summary.
    ///
    /// # Errors
    /// Too large, no `Messages-Waiting`, or a line that is none.
    pub fn parse(body: &[u8], limits: &Limits) -> Result<Self, BodyError> {
        let body = text(body, limits)?;
        if body.lines().any(|line| line.contains(|c: char| c.is_control() && c != '\t')) {
            return Err(BodyError::Invalid("line"));
        }
        let mut lines = body.lines().map(str::trim);
        let first = lines.find(|line| !line.is_empty());
        let (name, value) = first.and_then(field).ok_or(BodyError::Missing("Messages-Waiting"))?;
        if !name.eq_ignore_ascii_case("Messages-Waiting") {
            return Err(BodyError::Missing("Messages-Waiting"));
        }
        let waiting = match value {
            value if value.eq_ignore_ascii_case("yes") => true,
            value if value.eq_ignore_ascii_case("no") => false,
            _ => return Err(BodyError::Invalid("Messages-Waiting")),
        };
        let mut summary = Self { waiting, ..Self::default() };
        let mut in_details = false;
        for line in lines {
            if summary.counts.len() + summary.details.len() >= limits.max_rows {
                return Err(BodyError::Limit("max_rows"));
            }
            if line.is_empty() {
                in_details = true;
                if matches!(summary.details.last(), Some(Some(_))) {
                    summary.details.push(None);
                }
                continue;
            }
            let (name, value) = field(line).ok_or(BodyError::Invalid("line"))?;
            if in_details {
                summary.details.push(Some((name.to_owned(), value.to_owned())));
            } else if name.eq_ignore_ascii_case("Message-Account") {
                // Angle brackets are forbidden (§3.5) and sent all the same.
                let uri = value.trim_start_matches('<').trim_end_matches('>').trim();
                summary.account = (!uri.is_empty()).then(|| uri.to_owned());
            } else {
                summary.counts.push((MessageClass::parse(name), counts(value)?));
            }
        }
        if summary.details.last() == Some(&None) {
            summary.details.pop();
        }
        Ok(summary)
    }

    /// The counts of one kind; `None` when the body does not tell.
    pub fn count(&self, class: &MessageClass) -> Option<Counts> {
        self.counts.iter().find(|(its, _)| its == class).map(|(_, counts)| *counts)
    }

    /// The counts of voice messages.
    pub fn voice(&self) -> Option<Counts> {
        self.count(&MessageClass::Voice)
    }

    /// The summary as it goes out. Names that are no tokens are left out, and control characters
    /// are dropped.
    pub fn to_body(&self) -> String {
        let mut out = String::new();
        let waiting = if self.waiting { "yes" } else { "no" };
        let _ = write!(out, "Messages-Waiting: {waiting}\r\n");
        if let Some(account) = &self.account {
            put(&mut out, "Message-Account", account);
        }
        for (class, counts) in &self.counts {
            let mut value = format!("{}/{}", counts.new, counts.old);
            if let Some((new, old)) = counts.urgent {
                let _ = write!(value, " ({new}/{old})");
            }
            put(&mut out, class.as_str(), &value);
        }
        if !self.details.is_empty() {
            out.push_str("\r\n");
        }
        for detail in &self.details {
            match detail {
                Some((name, value)) => put(&mut out, name, value),
                None => out.push_str("\r\n"),
            }
        }
        out
    }
}

fn put(out: &mut String, name: &str, value: &str) {
    if is_token(name) {
        let _ = write!(out, "{name}: ");
        out.extend(value.chars().filter(|c| !c.is_control()));
        out.push_str("\r\n");
    }
}

fn is_token(name: &str) -> bool {
    !name.is_empty() && chars::all(name.as_bytes(), chars::TOKEN)
}

fn field(line: &str) -> Option<(&str, &str)> {
    let (name, value) = line.split_once(':')?;
    let name = name.trim();
    is_token(name).then_some((name, value.trim()))
}

/// `4/8 (1/2)`.
fn counts(text: &str) -> Result<Counts, BodyError> {
    let pair = |text: &str| -> Option<(u32, u32)> {
        let (new, old) = text.split_once('/')?;
        Some((digits(new)?, digits(old)?))
    };
    let read = || {
        let (all, urgent) = match text.split_once('(') {
            Some((all, urgent)) => (all, Some(pair(urgent.trim_end().strip_suffix(')')?)?)),
            None => (text, None),
        };
        let (new, old) = pair(all)?;
        Some(Counts { new, old, urgent })
    };
    read().ok_or(BodyError::Invalid("message count"))
}

fn digits(text: &str) -> Option<u32> {
    crate::header::number(text.trim()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<MessageSummary, BodyError> {
        MessageSummary::parse(text.as_bytes(), &Limits::default())
    }

    // RFC 3842 §3.5 and §4.
    #[test]
    fn the_summaries_of_the_rfc_are_read_and_printed() {
        let text = "Messages-Waiting: yes\r\nMessage-Account: sip:alice@vmail.example.com\r\n\
                    Voice-Message: 4/8 (1/2)\r\n";
        let summary = parse(text).unwrap();
        assert!(summary.waiting);
        assert_eq!(summary.voice(), Some(Counts { new: 4, old: 8, urgent: Some((1, 2)) }));
        assert_eq!(summary.account.as_deref(), Some("sip:alice@vmail.example.com"));
        assert_eq!(summary.to_body(), text);

        let text = "Messages-Waiting: yes\r\nMessage-Account: sip:alice@example.com\r\n\
            Voice-Message: 2/8 (0/2)\r\n\r\nTo: <alice@atlanta.example.com>\r\n\
            Subject: carpool tomorrow?\r\n\r\nTo: <alice@example.com>\r\nPriority: urgent\r\n";
        let summary = parse(text).unwrap();
        assert_eq!(summary.details.len(), 5);
        assert_eq!(summary.to_body(), text);
    }

    #[test]
    fn case_blanks_and_brackets_are_forgiven_and_nonsense_is_not() {
        let summary = parse(
            "\nMESSAGES-WAITING : No\nmessage-account: <sip:a@b>\nVOICE-message: 0 / 0(0/0)\nx-y: 1/2",
        )
        .unwrap();
        assert!(!summary.waiting);
        assert_eq!(summary.account.as_deref(), Some("sip:a@b"));
        assert_eq!(summary.count(&MessageClass::Other("x-y".into())).unwrap().old, 2);
        for bad in [
            "",
            "Voice-Message: 1/2",
            "Messages-Waiting: maybe",
            "Messages-Waiting: yes\r\nVoice-Message: 1",
            "Messages-Waiting: yes\r\nVoice-Message: 4294967296/0",
            "Messages-Waiting: yes\r\nVoice-Message: 1/2 (1/2",
            "Messages-Waiting: yes\r\nno colon",
            "Messages-Waiting: yes\r\n\r\nSubject: \0 x",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
        let many = format!("Messages-Waiting: yes\r\n{}", "a: 1/1\r\n".repeat(2000));
        assert_eq!(parse(&many), Err(BodyError::Limit("max_rows")));
    }
}
