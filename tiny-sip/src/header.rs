//! Header fields (RFC 3261 §20): their names, and a typed view of each, borrowed from the message.
//! Every view has `parse(&str)`; none allocates, none follows what it parses.

mod address;
mod auth;
pub(crate) mod chars;
mod cursor;
mod date;
mod error;
mod list;
mod media;
mod name;
mod params;
mod plain;
mod replaces;
mod sipfrag;
mod via;

pub use address::{NameAddr, NameAddrs};
pub use auth::{AuthParams, Challenge, Credentials};
pub(crate) use cursor::Cursor;
pub use date::Date;
pub use error::{Flaw, HeaderError};
pub use list::{List, split_commas};
pub use media::{Item, MediaType};
pub use name::HeaderName;
pub use params::{Param, Params, quote, unquote};
pub(crate) use plain::number;
pub use plain::{CSeq, InfoUri, RetryAfter, Timestamp, Warning, parse_seconds};
pub use replaces::Replaces;
pub use sipfrag::SipFrag;
pub use via::{Via, Vias};
