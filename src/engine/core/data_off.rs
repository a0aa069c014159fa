//! A build without DTLS has no data channels.

use super::Core;
use crate::Error;
use crate::media::MediaPlane;
use std::time::Instant;
use tiny_sdp::LocalData;
use tiny_sip::CallKey;

#[derive(Debug, Default)]
pub(super) struct Wanted;

impl Wanted {
    pub(super) fn refuse(&mut self, _: &Error) {}
}

impl<P: MediaPlane> Core<P> {
    pub(super) fn local_data(&self) -> Option<LocalData> {
        None
    }

    pub(super) fn limit_channels(&self, _: &mut super::negotiation::Negotiation) {}

    pub(super) fn channels_refused(&mut self, _: CallKey) {}

    pub(super) fn settle_channels(&mut self, _: Instant, _: CallKey) {}

    pub(super) fn tell_data(&mut self, _: CallKey) {}
}
