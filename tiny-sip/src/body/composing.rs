//! "… is typing" (RFC 3994, `application/im-iscomposing+xml`): the document, the writer's machine
//! (Figure 1) and the reader's (Figure 2). Time comes in as an argument; nothing is sent from here.

use super::xml::{self, Printer};
use super::{BodyError, Limits};
use std::time::{Duration, Instant};

/// The media type.
pub const CONTENT_TYPE: &str = "application/im-iscomposing+xml";
/// The namespace.
pub const NAMESPACE: &str = "urn:ietf:params:xml:ns:im-iscomposing";
/// How long an "active" holds that gives no refresh interval (§3.3).
pub const DEFAULT_REFRESH: Duration = Duration::from_secs(120);

/// A status message.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct IsComposing {
    /// Whether the other side is composing. Unknown states count as idle (§3.5).
    pub active: bool,
    /// The last activity (`xs:dateTime`).
    pub last_active: Option<String>,
    /// What is being composed: `text`, `text/plain`, `audio` …
    pub content_type: Option<String>,
    /// Seconds for which "active" holds.
    pub refresh: Option<u32>,
}

impl IsComposing {
    /// Reads a status message.
    ///
    /// # Errors
    /// [`BodyError`]: beyond the limits, not XML, or without a state.
    pub fn parse(body: &[u8], limits: &Limits) -> Result<Self, BodyError> {
        let document = xml::read(body, (NAMESPACE, "isComposing"), limits)?;
        let root = document.root_element();
        let text = |name| xml::child_text(root, NAMESPACE, name);
        Ok(Self {
            active: text("state").ok_or(BodyError::Missing("state"))? == "active",
            last_active: text("lastactive"),
            content_type: text("contenttype"),
            refresh: text("refresh").map(|n| xml::number(&n, "refresh")).transpose()?,
        })
    }

    /// The document as it goes out.
    pub fn to_body(&self) -> String {
        let mut out = Printer::new();
        out.open("isComposing", &[("xmlns", NAMESPACE)]);
        out.leaf("state", &[], if self.active { "active" } else { "idle" });
        out.optional("lastactive", self.last_active.as_deref());
        out.optional("contenttype", self.content_type.as_deref());
        out.optional("refresh", self.refresh.map(|n| n.to_string()).as_deref());
        out.close("isComposing");
        out.finish()
    }
}

/// The intervals of a [`Composer`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// Without a key press for so long the writer is idle. Default 15 s (§3.2).
    pub idle: Duration,
    /// "active" is repeated so often while writing goes on. At least 60 s (§3.2), whatever is set.
    /// Default 90 s, as in the RFC's example.
    pub refresh: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self { idle: Duration::from_secs(15), refresh: Duration::from_secs(90) }
    }
}

const LEAST_REFRESH: Duration = Duration::from_secs(60);
/// A reader that has counted to the interval to the second would fall idle just before the next
/// "active" is there.
const ON_ITS_WAY: Duration = Duration::from_secs(15);

/// The side that writes.
#[derive(Debug, Clone)]
pub struct Composer {
    timing: Timing,
    // When the last key was pressed and when "active" was sent; `None` while idle.
    active: Option<(Instant, Instant)>,
}

impl Composer {
    /// An idle writer.
    pub fn new(timing: Timing) -> Self {
        let refresh = timing.refresh.max(LEAST_REFRESH);
        Self { timing: Timing { refresh, ..timing }, active: None }
    }

    /// A key was pressed. What comes back is to be sent.
    pub fn typed(&mut self, now: Instant) -> Option<IsComposing> {
        if let Some((last, _)) = &mut self.active {
            *last = now;
            return None;
        }
        self.active = Some((now, now));
        Some(self.status(true))
    }

    /// The message was sent, which says that writing has ended.
    pub fn sent(&mut self) {
        self.active = None;
    }

    /// To be called at [`Composer::next_timeout`]. What comes back is to be sent.
    pub fn poll(&mut self, now: Instant) -> Option<IsComposing> {
        let (last, told) = self.active?;
        if now >= last + self.timing.idle {
            self.active = None;
            return Some(self.status(false));
        }
        if now >= told + self.timing.refresh {
            self.active = Some((last, now));
            return Some(self.status(true));
        }
        None
    }

    /// When to call [`Composer::poll`]; `None` while idle.
    pub fn next_timeout(&self) -> Option<Instant> {
        let (last, told) = self.active?;
        Some((last + self.timing.idle).min(told + self.timing.refresh))
    }

    fn status(&self, active: bool) -> IsComposing {
        let announced = self.timing.refresh + ON_ITS_WAY;
        let seconds = u32::try_from(announced.as_secs()).unwrap_or(u32::MAX);
        IsComposing {
            active,
            content_type: Some("text/plain".to_owned()),
            refresh: active.then_some(seconds),
            ..IsComposing::default()
        }
    }
}

/// The side that waits for a message. Each call tells whether the state has changed.
#[derive(Debug, Clone, Copy, Default)]
pub struct Observer {
    until: Option<Instant>,
}

impl Observer {
    /// A status message came. An interval beyond a day counts as a day.
    pub fn received(&mut self, now: Instant, status: &IsComposing) -> bool {
        const DAY: Duration = Duration::from_secs(86_400);
        let hold = status.refresh.map_or(DEFAULT_REFRESH, |s| Duration::from_secs(s.into()));
        let before = self.until.is_some();
        self.until = status.active.then(|| now + hold.min(DAY));
        before != self.until.is_some()
    }

    /// A message of content came.
    pub fn content(&mut self) -> bool {
        self.until.take().is_some()
    }

    /// To be called at [`Observer::next_timeout`].
    pub fn poll(&mut self, now: Instant) -> bool {
        if self.until.is_some_and(|until| now >= until) {
            self.until = None;
            return true;
        }
        false
    }

    /// Whether the other side is composing.
    pub fn is_active(&self) -> bool {
        self.until.is_some()
    }

    /// When to call [`Observer::poll`].
    pub fn next_timeout(&self) -> Option<Instant> {
        self.until
    }
}
