//! What few calls need: state of reliable provisional responses, session timers and expiry, boxed
//! beside the call so that a plain call does not pay for it.

use super::call::Call;
use super::reliable::Sending;
use super::session_timer::SessionTimer;
use crate::dialog::DialogKey;
use crate::endpoint::{CallKey, ClientKey, Endpoint, HeaderRule};
use tiny_sak::TimerKey;

/// The rare state of a call.
#[derive(Debug, Default)]
pub(crate) struct Extras {
    /// Reliable responses of ours, while the call rings.
    pub(crate) sending: Option<Box<Sending>>,
    /// Early dialogs with reliable responses of the peer's.
    pub(crate) early: Vec<Early>,
    /// The owner has an offer for a PRACK of ours.
    pub(crate) offers: bool,
    pub(crate) session: Option<SessionTimer>,
    /// Largest Min-SE seen, in seconds.
    pub(crate) min_se: u32,
    /// What the owner wants on messages of this call.
    pub(crate) rules: Box<[HeaderRule]>,
    /// The Expires of the caller.
    pub(crate) expiry: Option<TimerKey>,
}

/// An early dialog of a caller with reliable responses.
#[derive(Debug)]
pub(crate) struct Early {
    pub(crate) dialog: DialogKey,
    pub(crate) invite: ClientKey,
    /// RSeq of the latest response in order (RFC 3262 §4).
    pub(crate) rseq: u32,
    /// CSeq of the INVITE.
    pub(crate) number: u32,
    /// The first offer has its answer.
    pub(crate) agreed: bool,
    /// An offer came that waits for `answer_early`.
    pub(crate) asking: bool,
    /// The PRACK of the latest response waits for `prack`.
    pub(crate) holding: bool,
    /// Our offer is out in a PRACK.
    pub(crate) offering: bool,
    /// PRACKs without their response.
    pub(crate) pending: u8,
}

impl Early {
    pub(crate) fn new(dialog: DialogKey, invite: ClientKey, rseq: u32, number: u32) -> Self {
        let (agreed, asking, holding, offering) = (false, false, false, false);
        Self { dialog, invite, rseq, number, agreed, asking, holding, offering, pending: 0 }
    }
}

impl Call {
    pub(crate) fn extras(&mut self) -> &mut Extras {
        self.extras.get_or_insert_default()
    }

    /// Whether an offer of ours waits in a PRACK for its answer.
    pub(crate) fn offers_in_prack(&self, dialog: DialogKey) -> bool {
        let early = self.extras.iter().flat_map(|extras| &extras.early);
        early.filter(|early| early.dialog == dialog).any(|early| early.offering)
    }

    /// Whether a PRACK of an early dialog is under way: no UPDATE with an offer before its 2xx (RFC
    /// 6337 §4.1).
    pub(crate) fn is_pracking(&self, dialog: DialogKey) -> bool {
        let Some(extras) = &self.extras else { return false };
        let early = extras.early.iter().filter(|early| early.dialog == dialog);
        let ours = extras.sending.as_ref().is_some_and(|sending| sending.waits_with_body());
        ours || early.into_iter().any(|early| early.pending > 0 || early.holding)
    }

    /// What is known of an early dialog.
    pub(crate) fn early(&mut self, dialog: DialogKey) -> Option<&mut Early> {
        self.extras.as_mut()?.early.iter_mut().find(|early| early.dialog == dialog)
    }
}

impl Endpoint {
    /// The call ends: its rare timers go.
    pub(crate) fn drop_extras(&mut self, extras: Extras) {
        let repeat = extras.sending.and_then(|sending| sending.timer);
        let session = extras.session.and_then(|session| session.timer);
        for timer in [repeat, session, extras.expiry].into_iter().flatten() {
            self.timers.cancel(timer);
        }
    }

    /// The early state goes with the 2xx.
    pub(crate) fn early_over(&mut self, call: CallKey) {
        let Some(extras) = self.calls.get_mut(call).and_then(|state| state.extras.as_mut()) else {
            return;
        };
        extras.early = Vec::new();
        extras.offers = false;
        if let Some(expiry) = extras.expiry.take() {
            self.timers.cancel(expiry);
        }
    }
}
