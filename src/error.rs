//! Errors that name the culprit.

use crate::SipMessage;
use std::fmt;

/// Why something did not work, and whose doing it was.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A setting or argument is wrong; nothing was sent.
    #[error("{field}: {reason}")]
    Config {
        /// The setting, by the name the caller knows it.
        field: String,
        /// What is wrong and what would be right.
        reason: String,
    },
    /// The peer (or a proxy on its behalf) refused.
    #[error("refused by the peer: {status} {reason}")]
    Peer {
        /// The SIP status code.
        status: u16,
        /// Its reason phrase.
        reason: String,
        /// The response, with all of its header fields, where there is one to show.
        response: Option<Box<SipMessage>>,
    },
    /// Nobody could be reached, or the path broke.
    #[error("network: {0}")]
    Network(String),
    /// Nobody answered in time.
    #[error("timeout: {0}")]
    Timeout(String),
    /// A device, file or codec refused.
    #[error("{0}")]
    Media(String),
    /// The call, account or agent is in a state in which this cannot be done.
    #[error("{0}")]
    State(String),
    /// The call or agent has ended; the handle is stale.
    #[error("{0} has ended")]
    Ended(&'static str),
    /// A configured limit was reached.
    #[error("limit reached: {0}")]
    Limit(String),
}

impl Error {
    pub(crate) fn config(field: impl Into<String>, reason: impl fmt::Display) -> Self {
        Self::Config { field: field.into(), reason: reason.to_string() }
    }

    pub(crate) fn state(what: impl Into<String>) -> Self {
        Self::State(what.into())
    }

    /// A refusal as it came.
    pub(crate) fn refused(response: SipMessage) -> Self {
        let status = response.status().map_or(0, |status| status.code());
        let reason = response.reason().to_owned();
        Self::Peer { status, reason, response: Some(Box::new(response)) }
    }

    /// The response of a peer that refused.
    pub fn response(&self) -> Option<&SipMessage> {
        match self {
            Self::Peer { response, .. } => response.as_deref(),
            _ => None,
        }
    }

    /// The SIP status, when the peer gave one.
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Peer { status, .. } => Some(*status),
            _ => None,
        }
    }
}

impl From<tiny_media::MediaError> for Error {
    fn from(e: tiny_media::MediaError) -> Self {
        Self::Media(e.to_string())
    }
}
