//! What the descriptions in force say of one stream, and whether the peer has yet to hear of something
//! (W3C WebRTC §4.7.3): the one place where that is decided, for [`Transceivers`](crate::Transceivers)
//! and for who keeps its streams in another way. Wishes for nothing, and changes nothing.

use crate::attribute::Msid;
use crate::{Description, Direction, NegotiatedMedia, Text};

/// One stream, as the last exchange left it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgreedLine {
    /// Its `a=mid`.
    pub mid: Option<Text>,
    /// Whether its line has port 0.
    pub rejected: bool,
    /// Whether the description of ours in force is the offer.
    pub offered: bool,
    /// As our description wrote it.
    pub local: Direction,
    /// As the peer's wrote it.
    pub remote: Direction,
    /// The media streams that our description named.
    pub msids: Vec<Msid>,
}

impl AgreedLine {
    /// The peer has answered our offer, which said this direction and these media streams.
    pub fn of_offer(
        media: &NegotiatedMedia,
        answer: &Description,
        local: Direction,
        msids: Vec<Msid>,
    ) -> Self {
        Self::new(media, answer, true, local, msids)
    }

    /// We have answered the peer's offer, and named these media streams.
    pub fn of_answer(media: &NegotiatedMedia, offer: &Description, msids: Vec<Msid>) -> Self {
        Self::new(media, offer, false, media.direction, msids)
    }

    fn new(
        media: &NegotiatedMedia,
        peer: &Description,
        offered: bool,
        local: Direction,
        msids: Vec<Msid>,
    ) -> Self {
        let remote = peer.media(media.index).map_or(Direction::Inactive, |m| m.direction());
        let (mid, rejected) = (media.mid.clone(), media.rejected);
        Self { mid, rejected, offered, local, remote, msids }
    }

    /// What both sides do now; `None` for a line that is rejected.
    pub fn current(&self) -> Option<Direction> {
        (!self.rejected).then(|| self.local.intersect(self.remote.reversed()))
    }

    /// Whether the peer is to hear of this wish: steps 5.3 to 5.5 of "check if negotiation is needed",
    /// for a stream that is not stopped.
    pub fn must_tell(&self, wished: Direction, msids: &[Msid]) -> bool {
        // The peer must know the streams that what we send belongs to.
        let streams = wished.sends() && self.msids != msids;
        let direction = if self.offered {
            self.local != wished && self.remote.reversed() != wished
        } else {
            self.local != wished.intersect(self.remote.reversed())
        };
        streams || direction
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Direction::*;

    fn line(offered: bool, local: Direction, remote: Direction) -> AgreedLine {
        let (mid, rejected, msids) = (None, false, Vec::new());
        AgreedLine { mid, rejected, offered, local, remote, msids }
    }

    #[test]
    fn a_wish_that_was_said_or_that_the_peer_has_granted_is_not_told_again() {
        let offered = line(true, SendRecv, RecvOnly);
        assert_eq!(offered.current(), Some(SendOnly));
        let needs: Vec<bool> = [SendRecv, SendOnly, RecvOnly, Inactive]
            .map(|wished| offered.must_tell(wished, &[]))
            .to_vec();
        assert_eq!(needs, [false, false, true, true]);
    }

    #[test]
    fn an_answer_says_what_the_offer_allows_and_more_is_not_asked_for() {
        let answered = line(false, RecvOnly, SendOnly);
        let needs: Vec<bool> = [SendRecv, SendOnly, RecvOnly, Inactive]
            .map(|wished| answered.must_tell(wished, &[]))
            .to_vec();
        assert_eq!(needs, [false, true, false, true]);
    }
}
