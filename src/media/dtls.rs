//! The DTLS handshakes of one stream (RFC 5764 §5.1): one association for its port, and a second one
//! for the port of RTCP where that is another. No socket, no clock; until the handshake is done the
//! stream's [`Shield`](super::Shield) lets nothing out or in.

use super::Component;
use crate::CallStats;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;
use tiny_net::dtls::{Config, Endpoint, Error, Event, Fingerprint, Identity, Role, Session};
use tiny_rtp::srtp::{KeyError, MasterKey, Policy, Profile, Protector, Unprotector};
use tiny_sak::{Output, Rng};

/// What offer and answer said. Another value asks for another association (RFC 8842 §3.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DtlsAgreement {
    pub(crate) role: Role,
    /// At least one.
    pub(crate) fingerprints: Vec<Fingerprint>,
    pub(crate) remote_tls_id: Option<String>,
    /// How many associations the call has had.
    pub(crate) number: u32,
}

/// All that a handshake needs.
#[derive(Debug, Clone)]
pub(crate) struct DtlsKeys {
    pub(crate) identity: Identity,
    pub(crate) config: Arc<Config>,
    pub(crate) agreement: DtlsAgreement,
    /// RTCP has no port of its own.
    pub(crate) mux: bool,
}

/// The peer has proved who it is: what users are told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Secured {
    /// `dtls:` and the suite.
    pub(crate) srtp: String,
    pub(crate) cipher: String,
    pub(crate) fingerprint: String,
}

/// Both directions under the keys of one association.
pub(crate) struct Keyed {
    pub(crate) send: Protector,
    pub(crate) receive: Unprotector,
    pub(crate) secured: Secured,
}

/// What handshakes bring.
pub(crate) enum DtlsEvent {
    /// Keys for the packets of this port.
    Keys(Component, Box<Keyed>),
    /// Application data on the port of RTP: one record.
    Data(Vec<u8>),
    /// The peer has ended the association of RTP in order.
    Closed,
    Failed(String),
}

/// The associations of one stream.
pub(crate) struct Handshakes {
    agreement: DtlsAgreement,
    // Of RTP, and of RTCP where it has its own.
    associations: [Option<Endpoint>; 2],
}

fn index(component: Component) -> usize {
    usize::from(component == Component::Rtcp)
}

fn said(error: impl std::fmt::Display) -> String {
    format!("DTLS: {error}")
}

impl Handshakes {
    /// Associations with the peer at these addresses, of RTP and of RTCP.
    pub(crate) fn new(
        now: Instant,
        keys: &DtlsKeys,
        peers: [Option<SocketAddr>; 2],
        rng: &mut Rng,
    ) -> Result<Self, String> {
        let mut start = |peer| {
            let DtlsKeys { identity, config, agreement, .. } = keys.clone();
            let DtlsAgreement { role, fingerprints, .. } = agreement;
            let rng = rng.fork();
            Endpoint::new(now, role, identity, fingerprints, peer, config, rng).map_err(said)
        };
        let rtp = Some(start(peers[0])?);
        let rtcp = if keys.mux { None } else { Some(start(peers[1])?) };
        Ok(Self { agreement: keys.agreement.clone(), associations: [rtp, rtcp] })
    }

    /// Whether these associations are the ones that were agreed on.
    pub(crate) fn are_of(&self, keys: &DtlsKeys) -> bool {
        self.agreement == keys.agreement && keys.mux == self.associations[1].is_none()
    }

    /// Whether the peer begins at this port.
    pub(crate) fn waits(&self, component: Component) -> bool {
        let association = self.associations[index(component)].as_ref();
        association.is_some_and(|a| a.role() == Role::Passive && !a.is_connected())
    }

    /// Signalling says where the peer is now.
    pub(crate) fn set_peers(&mut self, now: Instant, peers: [Option<SocketAddr>; 2]) {
        for (association, peer) in self.associations.iter_mut().zip(peers) {
            if let (Some(association), Some(peer)) = (association, peer) {
                association.set_peer(now, peer);
            }
        }
    }

    pub(crate) fn handle(
        &mut self,
        now: Instant,
        component: Component,
        from: SocketAddr,
        data: &[u8],
    ) {
        if let Some(association) = &mut self.associations[index(component)] {
            association.handle(now, from, data);
        }
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        self.associations.iter_mut().flatten().for_each(|a| a.handle_timeout(now));
    }

    /// Sends application data in one record, on the port of RTP.
    pub(crate) fn send(&mut self, data: &[u8]) -> Result<(), Error> {
        match &mut self.associations[0] {
            Some(association) => association.send(data),
            None => Err(Error::Closed),
        }
    }

    /// The most that [`send`](Self::send) takes.
    pub(crate) fn max_data(&self) -> usize {
        self.associations[0].as_ref().map_or(0, Endpoint::max_data)
    }

    /// Once RTP's association is up: whether we were its client.
    pub(crate) fn is_client(&self) -> Option<bool> {
        let rtp = self.associations[0].as_ref().filter(|a| a.is_connected())?;
        Some(rtp.role() == Role::Active)
    }

    /// Fills in what was refused.
    pub(crate) fn count(&self, stats: &mut CallStats) {
        for association in self.associations.iter().flatten() {
            stats.dtls_refused += association.counts().refused;
        }
    }

    /// Tells the peer that it is over.
    pub(crate) fn close(&mut self) {
        self.associations.iter_mut().flatten().for_each(Endpoint::close);
    }

    pub(crate) fn poll(
        &mut self,
        now: Instant,
    ) -> Output<(Component, SocketAddr, Vec<u8>), DtlsEvent> {
        let mut deadline: Option<Instant> = None;
        let components = [Component::Rtp, Component::Rtcp];
        for (association, component) in self.associations.iter_mut().zip(components) {
            let Some(association) = association else { continue };
            loop {
                match association.poll(now) {
                    Output::Transmit(packet) => {
                        return Output::Transmit((component, packet.to, packet.data));
                    }
                    Output::Event(Event::Connected(session)) => {
                        return Output::Event(match keyed(&session) {
                            Ok(keyed) => DtlsEvent::Keys(component, Box::new(keyed)),
                            Err(e) => DtlsEvent::Failed(said(e)),
                        });
                    }
                    Output::Event(Event::Failed(error)) => {
                        return Output::Event(DtlsEvent::Failed(said(error)));
                    }
                    Output::Event(Event::Data(data)) if component == Component::Rtp => {
                        return Output::Event(DtlsEvent::Data(data));
                    }
                    Output::Event(Event::Closed) if component == Component::Rtp => {
                        return Output::Event(DtlsEvent::Closed);
                    }
                    // Beside RTCP there is no data, and the end of a call is signalled.
                    Output::Event(_) => {}
                    Output::Timeout(at) => {
                        deadline = deadline.into_iter().chain(at).min();
                        break;
                    }
                }
            }
        }
        Output::Timeout(deadline)
    }
}

/// The keys of both directions (RFC 5764 §4.2): the active side sends with the first half.
fn keyed(session: &Session) -> Result<Keyed, KeyError> {
    let profile = session.profile().and_then(|p| Profile::from_dtls_id(p.id()));
    let profile = profile.ok_or(KeyError::Limits)?;
    let (active, passive) = MasterKey::from_dtls(profile, session.keying())?;
    let (ours, theirs) = if session.is_active() { (active, passive) } else { (passive, active) };
    let policy = Policy::new(profile);
    Ok(Keyed {
        send: Protector::new(policy, vec![ours])?,
        receive: Unprotector::new(policy, vec![theirs])?,
        secured: Secured {
            srtp: format!("dtls:{}", profile.suite_name().unwrap_or("none")),
            cipher: session.cipher().to_owned(),
            fingerprint: session.peer().to_string(),
        },
    })
}

#[cfg(test)]
#[path = "dtls_tests.rs"]
mod tests;
