//! One `m=` line over the life of a session: which of our streams it carries and what each payload
//! type stands for. A number once bound to a codec keeps it (RFC 3264 §8.3.2).

use crate::codec::{dynamic_range, static_codec};
use crate::dtls::DtlsState;
use crate::ice::IceState;
use crate::{LocalCodec, MediaKind, Protocol, Text, fmtp};

/// A set of payload types.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct PayloadTypes([u64; 2]);

impl PayloadTypes {
    pub(super) fn insert(&mut self, pt: u8) {
        self.0[usize::from(pt >> 6 & 1)] |= 1 << (pt & 63);
    }

    pub(super) fn contains(&self, pt: u8) -> bool {
        self.0[usize::from(pt >> 6 & 1)] >> (pt & 63) & 1 == 1
    }

    pub(super) fn union(self, other: Self) -> Self {
        Self([self.0[0] | other.0[0], self.0[1] | other.0[1]])
    }
}

/// What one of our payload types stands for, for the rest of the session.
#[derive(Debug, Clone)]
pub(super) struct Binding {
    name: Text,
    clock_rate: u32,
    variant: u16,
    pub(super) pt: u8,
    channels: u8,
}

impl Binding {
    fn is(&self, codec: &LocalCodec, variant: u16) -> bool {
        self.clock_rate == codec.clock_rate
            && self.channels == codec.channels
            && self.variant == variant
            && self.name.eq_ignore_ascii_case(&codec.name)
    }
}

/// The transport of one `m=` line, kept over offers and answers.
#[derive(Debug, Clone, Default)]
pub(super) struct Transport {
    pub(super) dtls: Option<DtlsState>,
    pub(super) ice: Option<IceState>,
}

/// One `m=` line.
#[derive(Debug, Clone)]
pub(super) struct Slot {
    pub(super) kind: MediaKind,
    pub(super) protocol: Protocol,
    /// A format to name when the line is written with port 0 and no stream of ours is in it.
    pub(super) format: Text,
    /// The peer's name for it, kept over later offers (RFC 5888 §4).
    pub(super) mid: Option<Text>,
    /// Index into `LocalSession::media`.
    pub(super) local: Option<u16>,
    pub(super) active: bool,
    /// What only calls with DTLS or ICE remember.
    pub(super) transport: Option<Box<Transport>>,
    /// The line whose transport carries it; itself for the first of a bundle.
    pub(super) bundle: Option<u16>,
    /// Numbers of header extensions with a meaning here.
    pub(super) extmap: Vec<(u8, Text)>,
    bindings: Vec<Binding>,
    /// Dynamic payload types that the peer has used here: not to be given a new meaning by us.
    peer: PayloadTypes,
}

impl Slot {
    pub(super) fn new(kind: MediaKind, protocol: Protocol) -> Self {
        let format = if protocol.is_rtp() { "0" } else { "*" };
        Self {
            kind,
            protocol,
            format: Text::fixed(format),
            mid: None,
            local: None,
            active: false,
            transport: None,
            bundle: None,
            extmap: Vec::new(),
            bindings: Vec::new(),
            peer: PayloadTypes::default(),
        }
    }

    /// Room for what these codecs need and no more: slots live as long as calls.
    pub(super) fn reserve<'a>(&mut self, codecs: impl Iterator<Item = &'a LocalCodec>) {
        if self.bindings.is_empty() {
            let fixed =
                |c: &LocalCodec| c.payload_type.is_some_and(|pt| means(pt, c) == Some(true));
            self.bindings.reserve_exact(codecs.filter(|codec| !fixed(codec)).count());
        }
    }

    /// Forgets the old stream: the line is used for a new one (§8.1).
    pub(super) fn reuse(&mut self, kind: MediaKind, protocol: Protocol) {
        *self = Self::new(kind, protocol);
    }

    /// What it keeps beside itself.
    #[cfg(test)]
    pub(super) fn heap_bytes(&self) -> usize {
        self.bindings.capacity() * std::mem::size_of::<Binding>()
    }

    pub(super) fn transport(&mut self) -> &mut Transport {
        self.transport.get_or_insert_default()
    }

    pub(super) fn note_peer(&mut self, pt: u8) {
        if static_codec(pt).is_none() {
            self.peer.insert(pt);
        }
    }

    /// All numbers with a meaning here.
    pub(super) fn taken(&self) -> PayloadTypes {
        let mut taken = self.peer;
        for b in &self.bindings {
            taken.insert(b.pt);
        }
        taken
    }

    /// The payload type under which we receive a codec: `mirrored` is the peer's number for it in
    /// the offer at hand, `used` what this description has already, `elsewhere` what other lines
    /// have. `None` when no number is left.
    pub(super) fn choose(
        &mut self,
        codec: &LocalCodec,
        mirrored: Option<u8>,
        used: &mut PayloadTypes,
        elsewhere: PayloadTypes,
    ) -> Option<u8> {
        let variant = fmtp::variant(&codec.name, &codec.fmtp);
        let fixed = codec.payload_type.filter(|pt| means(*pt, codec) == Some(true));
        let pt = if let Some(pt) = fixed.filter(|pt| !used.contains(*pt)) {
            pt
        } else {
            let bound = |pt: u8| self.bindings.iter().find(|b| b.pt == pt);
            let free = |pt: &u8| {
                !used.contains(*pt) && bound(*pt).is_none() && means(*pt, codec) != Some(false)
            };
            // Same number for the same codec on both sides if it can be; a number of ours that the
            // peer sends already before that; then what we like best.
            mirrored
                .filter(|pt| {
                    !used.contains(*pt) && bound(*pt).is_some_and(|b| b.is(codec, variant))
                })
                .or_else(|| {
                    self.bindings
                        .iter()
                        .find(|b| b.is(codec, variant) && !used.contains(b.pt))
                        .map(|b| b.pt)
                })
                .or_else(|| mirrored.filter(free))
                .or_else(|| {
                    codec
                        .payload_type
                        .filter(|pt| *pt < 128)
                        .filter(free)
                        .filter(|pt| !self.peer.contains(*pt))
                })
                .or_else(|| {
                    let avoid = self.peer.union(elsewhere);
                    dynamic_range().find(|pt| free(pt) && !avoid.contains(*pt))
                })
                .or_else(|| dynamic_range().find(free))?
        };
        used.insert(pt);
        if means(pt, codec).is_none() && !self.bindings.iter().any(|b| b.pt == pt) {
            self.bindings.push(Binding {
                name: codec.name.clone(),
                clock_rate: codec.clock_rate,
                variant,
                pt,
                channels: codec.channels,
            });
        }
        Some(pt)
    }
}

/// Whether a static payload type is this codec's; `None` for one without a fixed meaning.
fn means(pt: u8, codec: &LocalCodec) -> Option<bool> {
    static_codec(pt).map(|(name, rate, channels)| {
        name.eq_ignore_ascii_case(&codec.name)
            && rate == codec.clock_rate
            && channels == codec.channels
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slot() -> Slot {
        Slot::new(MediaKind::Audio, Protocol::RtpAvp)
    }

    fn choose(slot: &mut Slot, codec: &LocalCodec, mirrored: Option<u8>) -> u8 {
        slot.choose(codec, mirrored, &mut PayloadTypes::default(), PayloadTypes::default()).unwrap()
    }

    #[test]
    fn a_number_never_changes_its_codec() {
        let mut s = slot();
        let opus = LocalCodec::opus();
        let event = LocalCodec::telephone_event(8000);
        assert_eq!(choose(&mut s, &opus, Some(101)), 101);
        // The peer now uses 101 for events: we must not, it is Opus for good.
        assert_ne!(choose(&mut s, &event, Some(101)), 101);
        assert_eq!(choose(&mut s, &opus, Some(96)), 101);
    }

    #[test]
    fn static_codecs_need_no_binding_and_redefined_static_numbers_are_not_mirrored() {
        let mut s = slot();
        assert_eq!(choose(&mut s, &LocalCodec::pcmu(), None), 0);
        assert!(s.bindings.is_empty());
        assert_eq!(choose(&mut s, &LocalCodec::opus(), Some(0)), 111);
        // A peer may say PCMU under a dynamic number; we keep 0.
        assert_eq!(choose(&mut s, &LocalCodec::pcmu(), Some(97)), 0);
    }

    #[test]
    fn numbers_run_out_without_a_panic() {
        let mut s = slot();
        let mut used = PayloadTypes::default();
        let mut got = 0;
        for i in 0..200 {
            let codec = LocalCodec::new(format!("x{i}"), 8000);
            if s.choose(&codec, None, &mut used, PayloadTypes::default()).is_some() {
                got += 1;
            }
        }
        assert_eq!(got, 32 + 29);
    }

    #[test]
    fn two_configurations_of_h264_have_two_numbers() {
        let mut s = slot();
        let h264 = |mode| {
            LocalCodec::new("H264", 90000)
                .fmtp(format!("profile-level-id=42e01f;packetization-mode={mode}"))
        };
        let (a, b) = (choose(&mut s, &h264(0), None), choose(&mut s, &h264(1), None));
        assert_ne!(a, b);
        assert_eq!(choose(&mut s, &h264(0), None), a);
    }
}
