//! A build without DTLS: the same names, of which no value can exist.

use crate::Error;
use crate::config::Config;
use crate::media::{DtlsAgreement, DtlsKeys};
use tiny_sak::Rng;
use tiny_sdp::{LocalDtls, NegotiatedMedia};

#[derive(Clone)]
pub(super) enum Certified {}

impl Certified {
    pub(super) fn new(config: &Config) -> Result<Self, Error> {
        Self::fresh(config)
    }

    pub(super) fn fresh(_: &Config) -> Result<Self, Error> {
        Err(Error::config("srtp", "DTLS-SRTP is not in this build: it has no feature `dtls`"))
    }
}

#[derive(Clone)]
pub(super) enum DtlsSide {}

impl DtlsSide {
    pub(super) fn new(certified: Certified) -> Self {
        match certified {}
    }

    pub(super) fn local(&mut self, _: &mut Rng) -> LocalDtls {
        match *self {}
    }

    pub(super) fn renew(&mut self, _: &DtlsAgreement) -> Result<(), Error> {
        match *self {}
    }

    pub(super) fn agree(
        &self,
        _: &NegotiatedMedia,
        _: Option<&DtlsAgreement>,
    ) -> Result<DtlsAgreement, String> {
        match *self {}
    }

    pub(super) fn keys(&self, _: &DtlsAgreement, _: bool) -> DtlsKeys {
        match *self {}
    }
}
