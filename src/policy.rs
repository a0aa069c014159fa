//! What an account does by itself with calls, transfers and redirections.

use crate::precondition::PreconditionPolicy;
use std::time::Duration;

/// The policies of an account: [`AccountBuilder::policy`](crate::AccountBuilder::policy),
/// [`Account::set_policy`](crate::Account::set_policy). The default is that of a plain telephone:
/// transfers and redirections are followed, nothing is forwarded, a second call rings.
///
/// ```
/// use std::time::Duration;
/// let mut policy = tiny_ua::Policy::default();
/// policy.forward_no_answer = Some((Duration::from_secs(20), "sip:mailbox@example.com".into()));
/// policy.call_waiting = false;
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Policy {
    /// A peer sends us to somebody else (REFER). Default: accept.
    pub transfers: TransferPolicy,
    /// Somebody outside of any call of ours asks us to call somebody (REFER; click to dial, a park or
    /// music server). Default: refuse.
    pub referrals: ReferralPolicy,
    /// Our call is redirected (3xx). Default: follow, five times at most.
    pub redirects: RedirectPolicy,
    /// Somebody wants to take part in a call of ours (INVITE with Join, RFC 3911). Default: refuse
    /// with 488.
    pub joins: JoinPolicy,
    /// Which early media of a call that we place is heard (RFC 3960). Default: that of the latest branch
    /// to send a description.
    pub early_media: EarlyMediaPolicy,
    /// How a change of an established call goes out (hold, resume, new keys). Default: re-INVITE, as
    /// RFC 3311 §5.1 recommends.
    pub changes: ChangePolicy,
    /// Calls that come in without an offer. Default: accept, with our offer in the answer.
    pub late_offers: LateOfferPolicy,
    /// Calls that come in with preconditions (RFC 3312). Default: refuse with 420.
    pub preconditions: PreconditionPolicy,
    /// Every call goes there (302).
    pub forward_always: Option<String>,
    /// A call goes there while another one is up (302).
    pub forward_busy: Option<String>,
    /// A call that nobody answers within this time goes there (302).
    pub forward_no_answer: Option<(Duration, String)>,
    /// Calls are refused without ringing.
    pub do_not_disturb: Option<DoNotDisturb>,
    /// Whether a call rings while another one of the account is up; else it gets 486. Default: true.
    pub call_waiting: bool,
    /// Whether [`IncomingCall::wants_answer_after`](crate::IncomingCall::wants_answer_after) heeds
    /// the caller's wish to be answered by itself (Answer-Mode of RFC 5373, Alert-Info, Call-Info).
    /// Default: false; a call that demands it is refused with 403 then.
    pub auto_answer: bool,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            transfers: TransferPolicy::Accept,
            referrals: ReferralPolicy::Refuse,
            redirects: RedirectPolicy::Follow(5),
            joins: JoinPolicy::Refuse,
            early_media: EarlyMediaPolicy::Latest,
            changes: ChangePolicy::Reinvite,
            late_offers: LateOfferPolicy::Accept,
            preconditions: PreconditionPolicy::Refuse,
            forward_always: None,
            forward_busy: None,
            forward_no_answer: None,
            do_not_disturb: None,
            call_waiting: true,
            auto_answer: false,
        }
    }
}

/// What to do when a peer sends us to somebody else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum TransferPolicy {
    /// Call there, with the sound of the call that is transferred. A call whose sound is of the
    /// application's own make cannot be opened again: then [`Self::Ask`].
    Accept,
    /// [`CallEvent::TransferRequested`](crate::CallEvent::TransferRequested) asks.
    Ask,
    /// Refuse with 603.
    Refuse,
}

/// What to do with a REFER outside of calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReferralPolicy {
    /// Refuse with 403.
    Refuse,
    /// [`Event::ReferRequested`](crate::Event::ReferRequested) asks. Whoever can reach the agent can
    /// ask: the application looks at who it is
    /// ([`TransferRequest::request`](crate::TransferRequest::request)).
    Ask,
}

/// What to do when a call of ours is redirected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum RedirectPolicy {
    /// Call the Contacts in the order of their `q`, so many at most; none of them twice.
    Follow(u8),
    /// [`CallEvent::Redirected`](crate::CallEvent::Redirected) asks, also for a 380 (another service)
    /// and a 485 (an ambiguous address): see [`Alternatives::of`](crate::Alternatives::of).
    Ask,
    /// End the call with the 3xx.
    Report,
}

/// What to do with an INVITE that would join a call of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum JoinPolicy {
    /// Refuse with 488.
    Refuse,
    /// It rings; [`IncomingCall::joins`](crate::IncomingCall::joins) names the call. Whoever answers
    /// adds both to a [`Conference`](crate::Conference), or mixes by other means.
    Ask,
    /// It is answered by itself, and mixed into the call that it names:
    /// [`Event::CallJoins`](crate::Event::CallJoins). Whoever knows Call-ID and both tags of that call
    /// is let in (RFC 3911 §4 wants them authorised): for agents behind a server that authenticates.
    Mix,
}

/// Which early media is heard before the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum EarlyMediaPolicy {
    /// That of the branch that was the latest to send a description.
    #[default]
    Latest,
    /// That of the first; others are heard when they answer.
    First,
    /// None: the application plays a ringing tone of its own, and nothing is sent before the answer.
    Ignore,
    /// That of the latest branch that the network lets send it: the P-Early-Media (RFC 5009) of its
    /// responses says so, which our INVITE announces to know. (What that header field forbids before
    /// anything is heard is not heard with any policy.)
    Authorized,
}

/// How a change of an established call goes out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum ChangePolicy {
    /// By re-INVITE.
    #[default]
    Reinvite,
    /// By UPDATE where the peer allows it: one message less, for peers that answer without asking
    /// anybody.
    Update,
}

/// What to do with an INVITE that has no offer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum LateOfferPolicy {
    /// Our offer goes into the 200, or into a reliable provisional response.
    #[default]
    Accept,
    /// Refuse with 488 and a Warning.
    Refuse,
}

/// How calls are refused while nobody wants to be disturbed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DoNotDisturb {
    /// 486 lets other telephones of the user ring, 603 does not.
    pub status: u16,
    /// Retry-After: how long it lasts.
    pub retry_after: Option<Duration>,
}

impl Default for DoNotDisturb {
    fn default() -> Self {
        Self { status: 486, retry_after: None }
    }
}
