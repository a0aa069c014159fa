//! What stands between a stream and its sockets: packets are encrypted and decrypted in their place
//! (RFC 3711), under the keys that signalling agreed on. A stream that has keys never sends or takes a
//! packet without them. No socket, no clock, no allocation per packet.

use super::{DtlsKeys, Keyed};
use crate::CallStats;
use tiny_media::StreamConfig;
use tiny_rtp::rtcp::{Compound, Size};
use tiny_rtp::srtp::sdes::Agreement;
use tiny_rtp::srtp::{Continuity, KeyError, MasterKey, Policy, Protector, SrtpError, Unprotector};
use tiny_rtp::{Component, PacketKind, RtpPacket};

/// What signalling agreed on for the packets of one stream.
#[derive(Debug, Clone, Default)]
pub(crate) enum Security {
    /// Nothing is encrypted.
    #[default]
    Plain,
    /// Keys from the session descriptions (RFC 4568).
    Sdes(Box<SdesKeys>),
    /// Keys from a handshake that media does itself (RFC 5764).
    Dtls(Box<DtlsKeys>),
}

/// The keys of both directions.
#[derive(Debug, Clone)]
pub(crate) struct SdesKeys {
    pub(crate) agreement: Agreement,
    /// The peer's address changed: new keys come with rollover counters of zero (RFC 4568 §7.1.4).
    pub(crate) moved: bool,
}

impl Security {
    /// What users are told: nothing, or how and with which suite.
    pub(crate) fn name(&self) -> Option<String> {
        match self {
            Self::Plain => None,
            Self::Sdes(keys) => {
                let suite = keys.agreement.profile().suite_name().unwrap_or("none");
                Some(format!("sdes:{suite}"))
            }
            // The handshake will tell which suite.
            Self::Dtls(_) => Some("dtls".to_owned()),
        }
    }
}

/// The packet path of one stream.
pub(crate) struct Shield {
    mode: Mode,
    rekey_told: bool,
    rekey_due: bool,
    refused: Refused,
    clear: Vec<Clear>,
}

/// What was not let through, in a stream that has or awaits keys.
#[derive(Default)]
struct Refused {
    auth_failed: u64,
    plain: u64,
    replayed: u64,
    too_old: u64,
    early: u64,
    not_rtp: u64,
    other: u64,
    unsent: u64,
}

/// How long payloads of a type are in the clear: so many units of so many octets, at most.
struct Clear {
    payload_type: u8,
    unit: usize,
    most: usize,
}

enum Mode {
    Open,
    Sdes(Box<Contexts>),
    Dtls(Box<Ports>),
}

/// What DTLS has brought so far: nothing passes a port without keys.
#[derive(Default)]
struct Ports {
    // Of RTP, and of RTCP where it has its own.
    keyed: [Option<Box<Keyed>>; 2],
    mux: bool,
}

impl Ports {
    fn waiting(keys: &DtlsKeys) -> Box<Self> {
        Box::new(Self { mux: keys.mux, ..Self::default() })
    }

    fn at(&mut self, component: Component) -> Option<&mut Keyed> {
        let own = component == Component::Rtcp && !self.mux;
        self.keyed[usize::from(own)].as_deref_mut()
    }
}

struct Contexts {
    agreement: Agreement,
    send: Protector,
    receive: Unprotector,
}

impl Shield {
    pub(crate) fn new(security: Security) -> Result<Self, KeyError> {
        let mode = match security {
            Security::Plain => Mode::Open,
            Security::Sdes(keys) => Mode::Sdes(Box::new(Contexts::new(keys.agreement)?)),
            Security::Dtls(keys) => Mode::Dtls(Ports::waiting(&keys)),
        };
        Ok(Self {
            mode,
            rekey_told: false,
            rekey_due: false,
            refused: Refused::default(),
            clear: Vec::new(),
        })
    }

    /// Takes over the outcome of a new negotiation. Directions whose keys stay go on undisturbed.
    /// What is encrypted stays so: [`Security::Plain`] changes nothing then.
    pub(crate) fn apply(&mut self, security: Security) -> Result<(), KeyError> {
        match (&mut self.mode, security) {
            (_, Security::Plain) => {}
            (Mode::Sdes(contexts), Security::Sdes(keys)) => {
                contexts.change(*keys)?;
                self.rekey_told = false;
            }
            (mode @ (Mode::Open | Mode::Dtls(_)), Security::Sdes(keys)) => {
                *mode = Mode::Sdes(Box::new(Contexts::new(keys.agreement)?));
            }
            // The keys there are serve until the handshake brings others.
            (Mode::Dtls(ports), Security::Dtls(keys)) => ports.mux = keys.mux,
            (mode, Security::Dtls(keys)) => *mode = Mode::Dtls(Ports::waiting(&keys)),
        }
        Ok(())
    }

    /// Makes a packet ready to be sent. False: it must not be sent.
    #[inline]
    #[must_use]
    pub(crate) fn seal(&mut self, component: Component, packet: &mut Vec<u8>) -> bool {
        let send = match &mut self.mode {
            Mode::Open => return true,
            Mode::Sdes(contexts) => &mut contexts.send,
            Mode::Dtls(ports) => match ports.at(component) {
                Some(keyed) => &mut keyed.send,
                None => {
                    self.refused.unsent += 1;
                    return false;
                }
            },
        };
        // With rtcp-mux, RTCP leaves by the port of RTP.
        let rtcp = component == Component::Rtcp || PacketKind::of(packet) == PacketKind::Rtcp;
        let done = if rtcp { send.protect_rtcp(packet) } else { send.protect_rtp(packet) };
        if !self.rekey_told && send.needs_rekey() {
            (self.rekey_told, self.rekey_due) = (true, true);
        }
        self.refused.unsent += u64::from(done.is_err());
        done.is_ok()
    }

    /// Opens a packet that was received, in its place, and gives its length. `None`: drop it.
    #[inline]
    pub(crate) fn open(&mut self, component: Component, packet: &mut [u8]) -> Option<usize> {
        let receive = match &mut self.mode {
            Mode::Open => return Some(packet.len()),
            Mode::Sdes(contexts) => &mut contexts.receive,
            Mode::Dtls(ports) => match ports.at(component) {
                Some(keyed) => &mut keyed.receive,
                None => {
                    self.refused.early += 1;
                    return None;
                }
            },
        };
        let done = match PacketKind::of(packet) {
            PacketKind::Rtp => receive.unprotect_rtp(packet).map_err(|e| {
                // Header and length are what they were.
                (e, is_clear_rtp(&self.clear, packet))
            }),
            PacketKind::Rtcp => {
                let clear = Compound::parse(packet, Size::Reduced).is_ok();
                receive.unprotect_rtcp(packet).map_err(|e| (e, clear))
            }
            _ => {
                self.refused.not_rtp += 1;
                return None;
            }
        };
        done.map_err(|(error, clear)| self.refused.note(error, clear)).ok()
    }

    /// What packets of this stream look like in the clear.
    pub(crate) fn expect(&mut self, config: &StreamConfig) {
        let sound = config.receive.iter().filter_map(|codec| {
            let d = codec.codec.description();
            let unit = match d.name.to_ascii_uppercase().as_str() {
                // 64 kbit/s, in 10 ms.
                "PCMU" | "PCMA" | "G722" => 80,
                "L16" => d.format.rate as usize * usize::from(d.format.channels) * 2 / 100,
                _ => return None,
            };
            Some(Clear { payload_type: codec.payload_type, unit: unit.max(1), most: usize::MAX })
        });
        let events = config.event_receive.iter();
        let events = events.map(|e| Clear { payload_type: e.payload_type, unit: 4, most: 1 });
        self.clear = sound.chain(events).collect();
    }

    /// A source has left (RFC 4568 §6.5). One that is only silent is not forgotten: after a hold its
    /// rollover counter is what it was.
    pub(crate) fn forget(&mut self, ssrc: u32) {
        match &mut self.mode {
            Mode::Open => {}
            Mode::Sdes(contexts) => contexts.receive.forget(ssrc),
            Mode::Dtls(ports) => {
                ports.keyed.iter_mut().flatten().for_each(|k| k.receive.forget(ssrc));
            }
        }
    }

    /// A handshake has brought the keys of a port.
    pub(crate) fn install(&mut self, component: Component, mut keyed: Box<Keyed>) {
        if let Mode::Dtls(ports) = &mut self.mode {
            let place = &mut ports.keyed[usize::from(component == Component::Rtcp)];
            // What the peer sent before it was done is still on its way.
            if let Some(before) = place.take() {
                keyed.receive.follow(before.receive);
            }
            *place = Some(keyed);
        }
    }

    /// True once when our key nears the end of its lifetime.
    pub(crate) fn take_rekey_due(&mut self) -> bool {
        std::mem::take(&mut self.rekey_due)
    }

    /// Fills in what was refused.
    pub(crate) fn count(&self, stats: &mut CallStats) {
        let refused = &self.refused;
        stats.srtp_auth_failed += refused.auth_failed;
        stats.srtp_plain += refused.plain;
        stats.srtp_replayed += refused.replayed;
        stats.srtp_too_old += refused.too_old;
        stats.srtp_early += refused.early;
        stats.srtp_not_rtp += refused.not_rtp;
        stats.srtp_rejected += refused.other;
        stats.srtp_unsent += refused.unsent;
    }
}

impl Refused {
    #[cold]
    fn note(&mut self, error: SrtpError, clear: bool) {
        let counter = match error {
            _ if clear => &mut self.plain,
            SrtpError::Replayed => &mut self.replayed,
            SrtpError::TooOld => &mut self.too_old,
            SrtpError::AuthFailed => &mut self.auth_failed,
            _ => &mut self.other,
        };
        *counter += 1;
    }
}

/// Whether a packet that could not be opened has just the length of one that was never encrypted.
#[cold]
fn is_clear_rtp(clear: &[Clear], packet: &[u8]) -> bool {
    let Ok(packet) = RtpPacket::parse(packet) else { return false };
    let length = packet.payload().len();
    let payload_type = packet.payload_type().value();
    packet.padding() == 0
        && length != 0
        && clear
            .iter()
            .filter(|c| c.payload_type == payload_type)
            .any(|c| length.is_multiple_of(c.unit) && length / c.unit <= c.most)
}

impl Contexts {
    fn new(agreement: Agreement) -> Result<Self, KeyError> {
        let (send, receive) = (agreement.protector()?, agreement.unprotector()?);
        Ok(Self { agreement, send, receive })
    }

    fn change(&mut self, keys: SdesKeys) -> Result<(), KeyError> {
        let SdesKeys { agreement, moved } = keys;
        let (sending, receiving) = agreement.continues(&self.agreement);
        if !sending {
            let (policy, keys) = (agreement.send_policy(), agreement.local.keys());
            rekey(policy, keys, moved, |p, k, c| self.send.rekey(p, k, c))?;
        }
        if !receiving {
            let (policy, keys) = (agreement.receive_policy(), agreement.remote.keys());
            rekey(policy, keys, moved, |p, k, c| self.receive.rekey(p, k, c))?;
        }
        self.agreement = agreement;
        Ok(())
    }
}

// A key that was in use goes on where it was, even when the address changed: never two times the
// same keystream.
fn rekey(
    policy: Policy,
    keys: &[MasterKey],
    moved: bool,
    mut with: impl FnMut(Policy, Vec<MasterKey>, Continuity) -> Result<(), KeyError>,
) -> Result<(), KeyError> {
    if moved {
        match with(policy, keys.to_vec(), Continuity::Reset) {
            Err(KeyError::KeyReused) => {}
            done => return done,
        }
    }
    with(policy, keys.to_vec(), Continuity::Keep)
}

#[cfg(test)]
#[path = "shield_tests.rs"]
mod tests;
