//! Header fields (RFC 3261 §20): their names, and a typed view of each, borrowed from the message.
//! Every view has `parse(&str)`; none allocates, none follows what it parses.

mod address;
mod auth;
pub(crate) mod chars;
mod cursor;
mod date;
mod error;
mod identity;
mod list;
mod media;
mod name;
mod params;
mod plain;
mod preferences;
mod replaces;
mod retargeted;
mod session;
mod status_line;
mod via;

pub use address::{NameAddr, NameAddrs};
pub use auth::{AuthParams, Challenge, Credentials};
pub(crate) use cursor::Cursor;
pub use date::Date;
pub use error::{Flaw, HeaderError};
pub use identity::{Privacy, SessionId, UserToUser};
pub use list::{List, split_commas};
pub use media::{Item, MediaType};
pub use name::HeaderName;
pub use params::{Param, Params, quote, unquote};
pub(crate) use plain::number;
pub use plain::{CSeq, InfoUri, RetryAfter, Timestamp, Warning, parse_seconds};
pub use preferences::{AnswerMode, FeatureSet, RequestDisposition, SubscriptionState};
pub use replaces::Replaces;
pub use retargeted::{Diversion, HistoryEntry, Reason};
pub use session::{RAck, Refresher, SessionExpires};
pub use status_line::StatusLine;
pub use via::{Via, Vias};
