//! Preconditions (RFC 3312, RFC 4032): a call that nobody is alerted of before there are network
//! resources for it. What reserves them is the application's affair; here is what it says and is told.

use tiny_sdp::{QosTable, Strength};

/// What a call of ours demands of the network before the callee is alerted: for
/// [`CallBuilder::preconditions`](crate::CallBuilder::preconditions).
///
/// ```
/// use tiny_ua::{PreconditionStrength as S, Preconditions};
/// // As mobile networks do: both sides reserve in their access networks.
/// let demands = Preconditions::segmented(S::Mandatory, S::Mandatory);
/// // Ours are there already.
/// let demands = demands.reserved();
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Preconditions {
    pub(crate) table: QosTable,
    pub(crate) reserved: bool,
}

impl Preconditions {
    /// Resources in our access network and in the callee's, each this strongly wanted.
    pub fn segmented(local: Strength, remote: Strength) -> Self {
        Self { table: QosTable::segmented(local, remote), reserved: false }
    }

    /// Resources along the whole path, in both directions.
    pub fn end_to_end(strength: Strength) -> Self {
        Self { table: QosTable::end_to_end(strength), reserved: false }
    }

    /// Our own resources are there when the call is placed. Else
    /// [`CallEvent::ResourcesWanted`](crate::CallEvent::ResourcesWanted) asks for them, and
    /// [`Call::preconditions_met`](crate::Call::preconditions_met) says that they are.
    pub fn reserved(mut self) -> Self {
        self.reserved = true;
        self.table.reserved(true);
        self
    }
}

/// What an account does with calls that come in with preconditions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum PreconditionPolicy {
    /// They are not understood: a call that requires them gets 420.
    #[default]
    Refuse,
    /// Our resources are always there; the call rings as soon as the caller's are, too.
    Reserved,
    /// [`Event::ResourcesWanted`](crate::Event::ResourcesWanted) asks for our resources; the call
    /// rings when both sides' are there.
    Ask,
}
