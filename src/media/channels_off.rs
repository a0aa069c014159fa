//! A build without DTLS has no data channels: the same names, of which no value can exist.

use super::Handshakes;
use std::time::Instant;

#[derive(Debug)]
pub(crate) enum DataCommand {}

#[allow(dead_code)]
#[derive(Debug)]
pub(super) enum Woken {}

#[allow(dead_code)]
pub(super) enum Pumped {
    More,
    Idle(Option<Instant>),
}

pub(super) enum Sctp {}

#[allow(dead_code)]
impl Sctp {
    pub(super) fn new(_: tiny_sak::Rng) -> Option<Self> {
        None
    }

    pub(super) async fn woken(&mut self) -> Woken {
        match *self {}
    }

    pub(super) fn act(&mut self, _: Instant, woken: Woken) {
        match woken {}
    }

    pub(super) fn handle_timeout(&mut self, _: Instant) {
        match *self {}
    }

    pub(super) fn count(&self, _: &mut crate::CallStats) {
        match *self {}
    }

    pub(super) fn pump(&mut self, _: Instant, _: &mut Handshakes) -> Pumped {
        match *self {}
    }

    pub(super) fn close(&mut self, _: Instant, _: &mut Handshakes) {
        match *self {}
    }
}
