//! The DTLS of a call, as offers and answers have it: our certificate and the name of the association
//! (RFC 8842), and what follows from the peer's (RFC 5763 §5, RFC 8122).

use crate::Error;
use crate::config::Config;
use crate::media::{DtlsAgreement, DtlsKeys};
use std::sync::Arc;
use tiny_net::dtls::{Config as Limits, Fingerprint, Identity, Role};
use tiny_sak::Rng;
use tiny_sdp::attribute::{Fingerprint as Written, HashFunc};
use tiny_sdp::{DtlsRole, LocalDtls, NegotiatedMedia};

/// What all calls of an agent have in common: the certificate is made once.
#[derive(Clone)]
pub(super) struct Certified {
    identity: Identity,
    limits: Arc<Limits>,
}

impl Certified {
    /// The identity that was configured, or a new one.
    pub(super) fn new(config: &Config) -> Result<Self, Error> {
        match config.dtls_identity.clone() {
            Some(identity) => Ok(Self { identity, limits: Arc::new(config.dtls.clone()) }),
            None => Self::fresh(config),
        }
    }

    /// A new identity, whatever was configured.
    pub(super) fn fresh(config: &Config) -> Result<Self, Error> {
        let identity = Identity::generate().map_err(|e| Error::Limit(format!("DTLS: {e}")))?;
        Ok(Self { identity, limits: Arc::new(config.dtls.clone()) })
    }
}

/// Our side of one call.
#[derive(Clone)]
pub(super) struct DtlsSide {
    certified: Certified,
    // The same in every offer and answer of the call.
    local: Option<LocalDtls>,
}

impl DtlsSide {
    pub(super) fn new(certified: Certified) -> Self {
        Self { certified, local: None }
    }

    /// What our descriptions say. The name has 128 random bits (RFC 8842 §4).
    pub(super) fn local(&mut self, rng: &mut Rng) -> LocalDtls {
        let fingerprint = self.certified.identity.fingerprint();
        let make = || {
            let name = format!("{:016x}{:016x}", rng.u64(), rng.u64());
            let digest = fingerprint.digest().iter().copied();
            LocalDtls::new(vec![Written::with_fingerprint(HashFunc::Sha256, digest)]).tls_id(name)
        };
        self.local.get_or_insert_with(make).clone()
    }

    /// The next descriptions ask for another association: under another name (RFC 8842 §3.1).
    pub(super) fn renew(&mut self, agreement: &DtlsAgreement) -> Result<(), Error> {
        if agreement.remote_tls_id.is_none() {
            let what =
                "the peer knows no other handshake within a call: it has no tls-id (RFC 8842)";
            return Err(Error::state(what));
        }
        self.local = None;
        Ok(())
    }

    /// What was agreed on; the sentence why nothing was.
    pub(super) fn agree(
        &self,
        media: &NegotiatedMedia,
        before: Option<&DtlsAgreement>,
    ) -> Result<DtlsAgreement, String> {
        let dtls = media.dtls.as_deref().ok_or("no certificate fingerprint")?;
        let (mut fingerprints, mut refused) = (Vec::new(), None);
        for written in &dtls.remote_fingerprints {
            match Fingerprint::parse(&written.to_string()) {
                Ok(fingerprint) => fingerprints.push(fingerprint),
                Err(e) => refused = Some(e),
            }
        }
        if fingerprints.is_empty() {
            let why = refused.map_or("no certificate fingerprint".into(), |e| e.to_string());
            return Err(why);
        }
        let role = match dtls.role {
            DtlsRole::Client => Role::Active,
            DtlsRole::Server => Role::Passive,
        };
        let number = before.map_or(0, |b| b.number) + u32::from(dtls.new_association);
        let remote_tls_id = dtls.remote_tls_id.as_ref().map(ToString::to_string);
        Ok(DtlsAgreement { role, fingerprints, remote_tls_id, number })
    }

    /// For media.
    pub(super) fn keys(&self, agreement: &DtlsAgreement, mux: bool) -> DtlsKeys {
        DtlsKeys {
            identity: self.certified.identity.clone(),
            config: self.certified.limits.clone(),
            agreement: agreement.clone(),
            mux,
        }
    }
}
