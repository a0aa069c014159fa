//! Session descriptions for tiny-ua: RFC 8866 parse and print, RFC 3264 offer/answer.
//!
//! - [`Description`] reads and prints a whole description with typed attributes.
//! - [`Negotiator`] makes offers and answers for one call from what a [`LocalSession`] has, and says
//!   what was agreed in a [`NegotiatedSession`].
//! - [`fmtp`] knows the parameters of Opus, H.264 and telephone-event.
//!
//! Pure functions over values: no socket, no clock, no randomness but what is handed in. See
//! [`Negotiator`] for an example.

mod address;
mod agreed;
mod bundle;
mod codec;
mod config;
mod data;
mod description;
mod direction;
mod dtls;
mod error;
pub mod fmtp;
mod ice;
mod local;
mod negotiated;
mod negotiator;
pub mod precondition;
mod remote;
mod rtp;
mod scan;
mod text;
mod transceivers;
mod trickle;

pub use address::{Host, RemoteAddress};
pub use agreed::AgreedLine;
pub use bundle::BundlePolicy;
pub use config::{AnswerOrder, Config, Limits};
pub use data::{DataChannel, LocalData, NegotiatedData};
pub use description::{
    Attribute, AttributeList, Bandwidth, Connection, Description, Key, MediaDescription, Origin,
    Repeat, Time, TimeZone, attribute,
};
pub use direction::Direction;
pub use dtls::{DtlsRole, LocalDtls, NegotiatedDtls};
pub use error::{Error, ParseError, Rejection};
pub use ice::{IceCredentials, IceRefusal, LocalIce, NegotiatedIce};
pub use local::{LocalAttribute, LocalCodec, LocalMedia, LocalSession, MediaKind, Protocol};
pub use negotiated::{Answer, NegotiatedCodec, NegotiatedMedia, NegotiatedSession, ReceiveFormat};
pub use negotiator::Negotiator;
pub use precondition::{QosTable, Strength};
pub use rtp::{LocalExtension, LocalRtp, MID_EXTENSION, NegotiatedExtension, NegotiatedRtp};
pub use text::Text;
pub use transceivers::{Transceiver, TransceiverId, Transceivers};
pub use trickle::{Fragment, FragmentMedia};
