//! Sessions that a re-INVITE must keep alive (RFC 4028 §7.4): the refresh waits in the same queue as
//! hold and resume, with the description as it is.

use super::Core;
use super::entry::HoldChange;
use crate::media::MediaPlane;
use std::time::Instant;
use tiny_sip::CallKey;

impl<P: MediaPlane> Core<P> {
    /// The peer does not take UPDATE. A change that is under way refreshes the session as well.
    pub(super) fn refresh_due(&mut self, now: Instant, key: CallKey) {
        let Some(entry) = self.calls.get_mut(&key).filter(|e| e.established()) else { return };
        if entry.changing.is_some() || !entry.changes.is_empty() {
            return;
        }
        entry.changes.push_back(HoldChange::again(None));
        self.next_change(now, key);
    }
}
