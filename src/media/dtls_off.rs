//! A build without DTLS: the same names, of which no value can exist.

use super::Component;
use std::net::SocketAddr;
use std::time::Instant;
use tiny_rtp::srtp::{Protector, Unprotector};
use tiny_sak::{Output, Rng};

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum DtlsAgreement {}

#[derive(Debug, Clone)]
pub(crate) struct DtlsKeys {
    pub(crate) agreement: DtlsAgreement,
    pub(crate) mux: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Secured {
    pub(crate) srtp: String,
    pub(crate) cipher: String,
    pub(crate) fingerprint: String,
}

pub(crate) struct Keyed {
    pub(crate) send: Protector,
    pub(crate) receive: Unprotector,
    pub(crate) secured: Secured,
}

#[allow(dead_code)]
pub(crate) enum DtlsEvent {
    Keys(Component, Box<Keyed>),
    Data(Vec<u8>),
    Closed,
    Failed(String),
}

pub(crate) enum Handshakes {}

impl Handshakes {
    pub(crate) fn new(
        _: Instant,
        keys: &DtlsKeys,
        _: [Option<SocketAddr>; 2],
        _: &mut Rng,
    ) -> Result<Self, String> {
        match keys.agreement {}
    }

    pub(crate) fn are_of(&self, _: &DtlsKeys) -> bool {
        match *self {}
    }

    pub(crate) fn waits(&self, _: Component) -> bool {
        match *self {}
    }

    pub(crate) fn set_peers(&mut self, _: Instant, _: [Option<SocketAddr>; 2]) {
        match *self {}
    }

    pub(crate) fn handle(&mut self, _: Instant, _: Component, _: SocketAddr, _: &[u8]) {
        match *self {}
    }

    pub(crate) fn handle_timeout(&mut self, _: Instant) {
        match *self {}
    }

    pub(crate) fn count(&self, _: &mut crate::CallStats) {
        match *self {}
    }

    pub(crate) fn close(&mut self) {
        match *self {}
    }

    pub(crate) fn poll(
        &mut self,
        _: Instant,
    ) -> Output<(Component, SocketAddr, Vec<u8>), DtlsEvent> {
        match *self {}
    }
}
