//! What dialogs and transactions are used for: calls (RFC 3261 §13–15), bindings (§10), and plain
//! requests. Each usage is a small state of its own; the endpoint owns them all.

mod bindings;
pub(crate) mod call;
mod callee;
mod caller;
mod extras;
pub(crate) mod moving;
pub(crate) mod notifier;
pub(crate) mod outbound;
pub(crate) mod pager;
mod plain;
mod prack;
pub(crate) mod publish;
pub(crate) mod redirect;
pub(crate) mod refer;
pub(crate) mod referral;
mod referred;
pub(crate) mod regain;
pub(crate) mod register;
mod reinvite;
mod reliable;
pub(crate) mod replaces;
pub(crate) mod session_id;
mod session_timer;
pub(crate) mod subscriber;
mod update;

pub use call::CallDescription;
pub use refer::{ReferOutcome, Referral};
pub use replaces::Related;
