//! Transfers (RFC 5589): asking the peer of a call to call somebody else, and being asked.

use crate::agent::Shared;
use crate::command::{AnswerTransfer, Command, Headers, TransferCall, TransferTo};
use crate::{Audio, Call, CallId, Error};
use std::sync::Arc;
use tiny_sip::CallKey;
use tokio::sync::watch;

/// Where a transfer stands.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum TransferState {
    /// The peer is asked.
    Asked,
    /// The peer will do it.
    Accepted,
    /// What the peer has got so far from whom it calls.
    Trying {
        /// 1xx.
        status: u16,
        /// Reason phrase.
        reason: String,
    },
    /// It is over.
    Ended(TransferOutcome),
}

/// How a transfer went.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum TransferOutcome {
    /// The peer talks with the target. The call that was transferred is hung up.
    Completed,
    /// The peer did not get through; the call goes on.
    Failed {
        /// What the target answered.
        status: u16,
        /// Reason phrase.
        reason: String,
    },
    /// The peer does not do it; the call goes on.
    Refused {
        /// What the peer answered.
        status: u16,
        /// Reason phrase.
        reason: String,
    },
    /// The peer will not tell. The call is hung up where we asked for no news
    /// ([`TransferBuilder::unreported`]), else it goes on.
    Unreported,
    /// The peer says nothing any more; the call goes on.
    Silent {
        /// One sentence.
        reason: String,
    },
}

/// A transfer under way. Dropping it changes nothing.
#[derive(Debug, Clone)]
pub struct Transfer {
    pub(crate) state: watch::Receiver<TransferState>,
}

impl Transfer {
    /// Where it stands now.
    pub fn state(&self) -> TransferState {
        self.state.borrow().clone()
    }

    /// Waits for the next state; `None` after [`TransferState::Ended`].
    pub async fn next_state(&mut self) -> Option<TransferState> {
        if matches!(*self.state.borrow(), TransferState::Ended(_))
            && !self.state.has_changed().ok()?
        {
            return None;
        }
        self.state.changed().await.ok()?;
        Some(self.state.borrow_and_update().clone())
    }

    /// Waits for its end.
    pub async fn outcome(&self) -> TransferOutcome {
        let mut state = self.state.clone();
        let end = state.wait_for(|s| matches!(s, TransferState::Ended(_))).await;
        match end.as_deref() {
            Ok(TransferState::Ended(outcome)) => outcome.clone(),
            _ => TransferOutcome::Silent { reason: "the agent has ended".into() },
        }
    }
}

/// A transfer being prepared: await it to ask the peer.
#[derive(Debug)]
#[must_use = "a transfer is asked for when its builder is awaited"]
pub struct TransferBuilder {
    shared: Arc<Shared>,
    request: TransferCall,
    check: Result<(), Error>,
}

impl TransferBuilder {
    fn new(call: &Call, to: TransferTo, check: Result<(), Error>) -> Self {
        let (shared, call) = (call.inner.shared.clone(), call.inner.key);
        let request = TransferCall { call, to, headers: Headers::new(), quiet: false };
        Self { shared, request, check }
    }

    /// A header field on the REFER; Referred-By is written unless it is given here (RFC 3892).
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.request.headers.push((name.into(), value.into()));
        self
    }

    /// Asks for no news of how it goes (RFC 4488): the call is hung up as soon as the peer agrees.
    pub fn unreported(mut self) -> Self {
        self.request.quiet = true;
        self
    }

    async fn ask(self) -> Result<Transfer, Error> {
        self.check?;
        let request = Box::new(self.request);
        self.shared.commands.ask(|reply| Command::Transfer { request, reply }).await
    }
}

impl std::future::IntoFuture for TransferBuilder {
    type Output = Result<Transfer, Error>;
    type IntoFuture = std::pin::Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.ask())
    }
}

impl Call {
    /// Asks the peer to call somebody else in place of us (blind transfer). Await it to send the
    /// REFER; what comes back tells how it goes. The call is hung up when the peer has got through,
    /// and goes on when it has not. Hold the call first if the peer should hear nothing meanwhile.
    ///
    /// # Errors
    /// [`Error::Config`] for a URI that cannot be called, [`Error::State`] when the call is not up or
    /// a transfer of it is under way.
    pub fn transfer_to(&self, uri: impl Into<String>) -> TransferBuilder {
        let uri = uri.into();
        let check = crate::account::check_uri("transfer target", &uri);
        TransferBuilder::new(self, TransferTo::Uri(uri), check)
    }

    /// Connects the peer of this call with the peer of another one (attended transfer): it calls
    /// there with a Replaces that names the other call. When that one is not answered yet, it is
    /// cancelled and the peer of this call is sent there alone (RFC 5589 §7.6).
    ///
    /// # Errors
    /// As [`transfer_to`](Self::transfer_to).
    pub fn transfer_to_call(&self, other: &Call) -> TransferBuilder {
        let same = self.inner.key == other.inner.key;
        let check = match same {
            true => Err(Error::config("transfer target", "it is this very call")),
            false => Ok(()),
        };
        TransferBuilder::new(self, TransferTo::Call(other.inner.key), check)
    }

    /// The URI by which somebody else can take our place in this call, with a Replaces that names it
    /// (RFC 3891): for a link in a message (RFC 5359 §2.6). [`Account::call`](crate::Account::call)
    /// takes such a URI.
    ///
    /// # Errors
    /// [`Error::State`] when the call is not up.
    pub async fn replaces_uri(&self) -> Result<String, Error> {
        let call = self.inner.key;
        self.inner.shared.commands.ask(|reply| Command::ReplacesUri { call, reply }).await
    }

    /// Goes on with a redirected call at this URI, after
    /// [`CallEvent::Redirected`](crate::CallEvent::Redirected).
    ///
    /// # Errors
    /// [`Error::Config`] for a URI that cannot be called, [`Error::State`] when the call does not
    /// wait for this.
    pub async fn follow_redirect(&self, uri: &str) -> Result<(), Error> {
        let (call, uri) = (self.inner.key, uri.to_owned());
        let commands = &self.inner.shared.commands;
        commands.ask(|reply| Command::FollowRedirect { call, uri, reply }).await
    }

    /// Hangs up and says why on the CANCEL or BYE (RFC 3326).
    ///
    /// # Errors
    /// [`Error::Config`] for a reason that cannot be sent; the call goes on.
    pub async fn hangup_because(&self, reason: &crate::Reason) -> Result<crate::CallEnd, Error> {
        self.hangup_with(vec![reason.header()]).await
    }
}

/// Somebody asks us to call somebody else. Accept or refuse it; without a word it runs out after
/// [`Config::refer_silence`](tiny_sip::Config::refer_silence).
#[derive(Debug, Clone)]
pub struct TransferRequest {
    pub(crate) shared: Arc<Shared>,
    pub(crate) call: CallKey,
    pub(crate) to: String,
    pub(crate) referred_by: Option<String>,
    pub(crate) request: crate::SipMessage,
    pub(crate) replaces: bool,
}

impl TransferRequest {
    /// The call that would be transferred; of
    /// [`Event::ReferRequested`](crate::Event::ReferRequested) a name for the request, which
    /// [`Event::CallContinues`](crate::Event::CallContinues) has as `old`.
    pub fn call(&self) -> CallId {
        CallId(self.call)
    }

    /// Whom to call: a URI.
    pub fn to(&self) -> &str {
        &self.to
    }

    /// The REFER, with all of its header fields.
    pub fn request(&self) -> &crate::SipMessage {
        &self.request
    }

    /// Who says so, by its own word (Referred-By, RFC 3892; its signature is not checked).
    pub fn referred_by(&self) -> Option<&str> {
        self.referred_by.as_deref()
    }

    /// The target talks with the peer already and waits for us (attended transfer).
    pub fn is_attended(&self) -> bool {
        self.replaces
    }

    /// Calls there. [`Event::CallContinues`](crate::Event::CallContinues) brings the new call.
    ///
    /// # Errors
    /// [`Error::Media`] when the sound cannot be opened, [`Error::Ended`] when it is too late.
    pub async fn accept(&self, audio: Audio) -> Result<(), Error> {
        let registry = self.shared.registry.clone();
        let audio = crate::agent::off_thread(move || audio.open(&registry)).await??;
        self.answer(AnswerTransfer::Accept(audio)).await
    }

    /// Does not call there; the call goes on.
    ///
    /// # Errors
    /// [`Error::Config`] for a status outside 300–699, [`Error::Ended`] when it is too late.
    pub async fn refuse(&self, status: u16) -> Result<(), Error> {
        self.answer(AnswerTransfer::Refuse(status)).await
    }

    async fn answer(&self, answer: AnswerTransfer) -> Result<(), Error> {
        let call = self.call;
        self.shared.commands.ask(|reply| Command::AnswerTransfer { call, answer, reply }).await
    }
}
