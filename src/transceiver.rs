//! The streams of a call as W3C WebRTC sees them: what we wish of each, what both sides do, and when the
//! peer has yet to hear of a wish (JSEP, RFC 8829 §4.2; W3C WebRTC §4.7.3).

use crate::command::Command;
use crate::{Call, Error};
pub use tiny_sdp::{Direction, MediaKind};

/// One stream of a call in both directions; from [`Call::transceivers`]. A copy: it does not change with
/// the call.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Transceiver {
    /// Its name in the descriptions, where they give it one (`a=mid`, RFC 5888).
    pub mid: Option<String>,
    /// Sound.
    pub kind: MediaKind,
    /// What we wish, as the next description of ours says it: of [`Call::set_direction`], without the
    /// receiving half while we hold the peer.
    pub direction: Direction,
    /// What both sides do now; `None` before the first exchange, and when stopped.
    pub current_direction: Option<Direction>,
    /// The descriptions in force have rejected it.
    pub stopped: bool,
}

/// Directions, and telling the peer of them.
///
/// [`hold`](Call::hold) and [`resume`](Call::resume) ask the peer by themselves. A direction of one's own
/// is a wish: it stands in the next description, whoever asks for it, and
/// [`CallEvent::NegotiationNeeded`](crate::CallEvent::NegotiationNeeded) says when none is on its way.
///
/// ```no_run
/// use tiny_ua::{Audio, CallEvent, Direction, UserAgent};
/// # async fn run() -> Result<(), tiny_ua::Error> {
/// let ua = UserAgent::builder().build().await?;
/// let alice = ua.account("sip:alice@example.com").build().await?;
/// let call = alice.call("sip:bob@example.com").audio(Audio::silent()).await?;
/// call.answered().await?;
///
/// // From now on we only listen.
/// call.set_direction(Direction::RecvOnly).await?;
/// while let Some(event) = call.next_event().await {
///     if let CallEvent::NegotiationNeeded = event {
///         call.renegotiate().await?;
///         let sound = &call.transceivers().await?[0];
///         println!("we wish {} and have {:?}", sound.direction, sound.current_direction);
///     }
/// }
/// # Ok(())
/// # }
/// ```
impl Call {
    /// The streams of the call: one, of sound. (A line of data channels is none.)
    ///
    /// # Errors
    /// [`Error::Ended`] when the call is over.
    pub async fn transceivers(&self) -> Result<Vec<Transceiver>, Error> {
        self.ask(|call, reply| Command::Transceivers { call, reply }).await
    }

    /// Wishes that its sound goes this way. Before an incoming call is answered, the answer says so; for
    /// one of ours see [`CallBuilder::direction`](crate::CallBuilder::direction). Of a call that is up,
    /// the peer is to be told: [`CallEvent::NegotiationNeeded`](crate::CallEvent::NegotiationNeeded)
    /// follows unless nothing is to tell, and sound goes as before until
    /// [`renegotiate`](Self::renegotiate), or the peer's next description. To a telephone `SendOnly` and
    /// `Inactive` look like a hold (RFC 3264 §8.4).
    ///
    /// # Errors
    /// [`Error::Ended`] when the call is over.
    pub async fn set_direction(&self, direction: Direction) -> Result<(), Error> {
        self.ask(|call, reply| Command::SetDirection { call, direction, reply }).await
    }

    /// Whether the peer has yet to hear of something: a direction, a restart of ICE
    /// ([`restart_ice`](Self::restart_ice)), the end of a data channel that descriptions have set up
    /// (RFC 8864 §6.6). By the rules of W3C WebRTC §4.7.3; false before the call is
    /// up and while an offer is under way or waits, as it is looked at again then. New data channels are not
    /// among it: where the peer is to be asked for them, they do that themselves
    /// (`Call::data_channel`).
    ///
    /// # Errors
    /// [`Error::Ended`] when the call is over.
    pub async fn negotiation_needed(&self) -> Result<bool, Error> {
        self.ask(|call, reply| Command::NegotiationNeeded { call, reply }).await
    }

    /// Makes an offer with what is wished now, needed or not: by re-INVITE, or as
    /// [`Policy::changes`](crate::Policy::changes) says, when its turn comes among holds and what the
    /// agent has to say by itself. Returns when the peer has answered.
    ///
    /// # Errors
    /// [`Error::Peer`] when the peer refuses; nothing has changed then, and no
    /// [`CallEvent::NegotiationNeeded`](crate::CallEvent::NegotiationNeeded) asks for it anew.
    /// [`Error::Ended`] when the call is over before.
    pub async fn renegotiate(&self) -> Result<(), Error> {
        self.ask(|call, reply| Command::Renegotiate { call, reply }).await
    }

    /// Wishes that ICE looks for its way anew, with new credentials (RFC 8445 §9, W3C `restartIce`):
    /// media goes on meanwhile. When there are candidates,
    /// [`CallEvent::NegotiationNeeded`](crate::CallEvent::NegotiationNeeded) follows, and
    /// [`renegotiate`](Self::renegotiate) tells the peer.
    ///
    /// # Errors
    /// [`Error::State`] when the call does without ICE; [`Error::Ended`] when it is over.
    pub async fn restart_ice(&self) -> Result<(), Error> {
        self.ask(|call, reply| Command::RestartIce { call, reply }).await
    }
}
