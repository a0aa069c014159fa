//! Bodies that events and messages carry: each a struct of owned text with `parse` and `to_body`.
//! XML from outside is read within [`Limits`], without document types and without entities beyond
//! the five of XML 1.0; nothing is ever fetched. What a document means is decided elsewhere.
//!
//! Elements of a foreign namespace are skipped, as every one of these formats demands. Elements
//! without a namespace are taken for the format's own: several telephones send such.

pub mod composing;
pub mod conference_info;
pub mod cpim;
pub mod dialog_info;
pub mod imdn;
pub mod message_summary;
pub mod pidf;
pub mod reginfo;
pub mod resource_lists;
pub mod rlmi;
pub mod rpid;
pub mod sipfrag;
pub mod watcherinfo;
mod xml;

/// Limits on bodies, all of them applied to what comes from the network. What exceeds one makes
/// the whole body a [`BodyError::Limit`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Octets of one body. Default 65,535, which is also the default of a whole message.
    pub max_bytes: usize,
    /// Elements inside one another. Default 16; the formats here need eight.
    pub max_depth: usize,
    /// Nodes of a document: elements, pieces of text, comments. Default 8,192.
    pub max_nodes: usize,
    /// Attributes of one element, namespace declarations among them. Default 32.
    pub max_attributes: usize,
    /// Rows (dialogs, users, watchers, contacts, resources, lines) of one body, and of a table that
    /// partial notifications build up. Default 1,024.
    pub max_rows: usize,
    /// Parts of a multipart/related body. Default 256: a part for each resource of a list.
    pub max_parts: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_bytes: 65_535,
            max_depth: 16,
            max_nodes: 8_192,
            max_attributes: 32,
            max_rows: 1_024,
            max_parts: 256,
        }
    }
}

/// Why a body from the network cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum BodyError {
    /// It exceeds the field of [`Limits`] that is named.
    #[error("the body exceeds {0}")]
    Limit(&'static str),
    /// It is not UTF-8.
    #[error("the body is not UTF-8")]
    NotUtf8,
    /// It has a document type declaration, which could define entities.
    #[error("the body has a document type declaration")]
    DocumentType,
    /// It is not well-formed XML with namespaces.
    #[error("the body is not well-formed XML")]
    NotWellFormed,
    /// The document is of another kind.
    #[error("the body is no <{0}>")]
    Root(&'static str),
    /// An element, attribute or line that must be there is not.
    #[error("the body has no {0}")]
    Missing(&'static str),
    /// A value that the format does not know.
    #[error("the body has a bad {0}")]
    Invalid(&'static str),
}

/// What became of a notification that was merged into a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Merged {
    /// The table is up to date.
    Applied,
    /// Notifications before this one were lost: ask for the full state by a SUBSCRIBE.
    Gap,
    /// It was older than what is known, or a repetition, and changed nothing.
    Stale,
}

/// Whether a document replaces what is known or adds to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Extent {
    /// Everything there is.
    #[default]
    Full,
    /// What has changed.
    Partial,
}

impl Extent {
    fn as_str(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Partial => "partial",
        }
    }

    fn parse(text: &str) -> Result<Self, BodyError> {
        match text {
            "full" => Ok(Self::Full),
            "partial" => Ok(Self::Partial),
            _ => Err(BodyError::Invalid("state")),
        }
    }
}

/// The rule that dialog, watcher and registration information share (RFC 4235 §4.3, RFC 3858 §4,
/// RFC 3680 §5.2): what a document of version `new` does to a table of version `known`. The full
/// state under the same version is taken: some servers never count.
fn follows(known: Option<u32>, new: u32, extent: Extent) -> Merged {
    match (known, extent) {
        (Some(known), _) if new < known => Merged::Stale,
        (_, Extent::Full) => Merged::Applied,
        (Some(known), _) if new == known => Merged::Stale,
        (Some(known), Extent::Partial) if new - known == 1 => Merged::Applied,
        (_, Extent::Partial) => Merged::Gap,
    }
}

/// Text of at most `max_bytes`, as UTF-8.
fn text<'a>(body: &'a [u8], limits: &Limits) -> Result<&'a str, BodyError> {
    if body.len() > limits.max_bytes {
        return Err(BodyError::Limit("max_bytes"));
    }
    std::str::from_utf8(body).map_err(|_| BodyError::NotUtf8)
}

#[cfg(test)]
mod tests;
