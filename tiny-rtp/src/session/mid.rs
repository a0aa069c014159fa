//! The media identification of a bundled stream (RFC 9143 §15): an element of the RTP header
//! extension (RFC 8285, RFC 7941), and an item of RTCP's source description. It is told until the
//! peer's reports show that it has been heard; a stream without one pays nothing.

use super::Session;
use crate::rtcp::SdesKind;
use crate::rtcp::SdesText;
use crate::{Extension, RtpPacket, SequenceNumber};

/// So many packets in a row carry it after the start, after a change of our SSRC, and when it changes.
const AT_FIRST: u32 = 10;
/// Afterwards one in so many, until the peer has shown that it knows.
const EVERY: u32 = 50;

/// The tag of an m-line and the number of its header extension, as offer and answer have them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MidExtension {
    /// The local identifier of `urn:ietf:params:rtp-hdrext:sdes:mid` in `a=extmap`: 1 to 14, or up to
    /// 255 with the two-byte form.
    pub id: u8,
    /// The text of `a=mid`, 1 to 255 octets; beyond 16 the two-byte form is written.
    pub mid: String,
}

impl MidExtension {
    /// Whether RFC 8285 can carry it.
    pub fn is_valid(&self) -> bool {
        self.id != 0 && (1..=255).contains(&self.mid.len())
    }

    /// What a packet says of its m-line: `None` where it says nothing. Before decryption, too:
    /// header extensions of SRTP are readable (RFC 3711 §3.1).
    #[inline]
    pub fn told<'a>(&self, packet: &RtpPacket<'a>) -> Option<&'a [u8]> {
        packet.raw_extension()?;
        packet.extension(self.id)
    }
}

/// What our packets say of their m-line.
#[derive(Debug)]
pub(super) struct Announced {
    extension: MidExtension,
    since: u32,
    // The first packet that carried it.
    first: Option<SequenceNumber>,
    known: bool,
}

impl Announced {
    /// The element for the next packet, when it shall carry one.
    #[inline]
    pub(super) fn element(&self) -> Option<Extension<'_>> {
        let due = self.since < AT_FIRST || self.since.is_multiple_of(EVERY);
        (!self.known && due)
            .then_some(Extension { id: self.extension.id, data: self.extension.mid.as_bytes() })
    }

    pub(super) fn sent(&mut self, sequence: SequenceNumber) {
        self.first.get_or_insert(sequence);
        self.since = self.since.wrapping_add(1);
    }

    /// Our SSRC is another one: nobody knows it.
    pub(super) fn again(&mut self) {
        (self.since, self.first, self.known) = (0, None, false);
    }

    /// The peer has heard up to this packet (RFC 7941 §4.2: a report shows what has arrived).
    pub(super) fn reported(&mut self, highest: SequenceNumber) {
        let first = self.first.filter(|_| self.since >= AT_FIRST);
        self.known |= first.is_some_and(|first| {
            let last = first.0.wrapping_add(AT_FIRST as u16 - 1);
            highest.0.wrapping_sub(last) as i16 >= 0
        });
    }

    pub(super) fn item(&self) -> SdesText<'_> {
        SdesText { kind: SdesKind::Mid, text: &self.extension.mid }
    }

    /// Whether a packet is of another m-line.
    #[inline]
    pub(super) fn refuses(&self, packet: &RtpPacket<'_>) -> bool {
        self.extension.told(packet).is_some_and(|told| told != self.extension.mid.as_bytes())
    }
}

impl Session {
    /// Our packets say from now on that they are of this m-line, and those that say another are not
    /// taken (RFC 9143 §9.2). What is no header extension ([`MidExtension::is_valid`]) is `None`.
    pub fn set_mid(&mut self, mid: Option<MidExtension>) {
        let mid = mid.filter(MidExtension::is_valid);
        if self.tx.mid.as_ref().map(|a| &a.extension) == mid.as_ref() {
            return;
        }
        self.tx.mid =
            mid.map(|extension| Announced { extension, since: 0, first: None, known: false });
    }
}
