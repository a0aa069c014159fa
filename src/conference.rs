//! Conferences that this agent hosts (RFC 4579): calls whose sound is mixed, so that everybody hears
//! all others.

use crate::agent::{Shared, off_thread};
use crate::audio::OpenAudio;
use crate::command::{Command, Reply};
use crate::{Audio, Call, CallId, Error, UserAgent};
use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::sync::Arc;
use tiny_sip::CallKey;

/// Names a conference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConferenceId(pub(crate) u64);

impl std::fmt::Display for ConferenceId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// What handles of conferences say to the engine.
#[derive(Debug)]
pub(crate) enum ConferenceCommand {
    Open { spec: Box<ConferenceSpec>, reply: Reply<Conference> },
    Add { conference: ConferenceId, call: CallKey, reply: Reply<()> },
    Remove { conference: ConferenceId, call: CallKey, reply: Reply<()> },
    Mute { conference: ConferenceId, call: Option<CallKey>, on: bool },
    Gain { conference: ConferenceId, call: Option<CallKey>, db: f32 },
    Members { conference: ConferenceId, reply: Reply<Vec<Member>> },
    Close { conference: ConferenceId, hangup: bool },
}

/// What a conference is made of.
#[derive(Debug)]
pub(crate) struct ConferenceSpec {
    pub(crate) host: HostSound,
    pub(crate) rate: u32,
    pub(crate) subject: Option<String>,
    pub(crate) dial_in: bool,
}

/// What the host of a conference says and hears.
#[derive(Debug)]
pub(crate) enum HostSound {
    /// The sound of one of its calls: microphone and loudspeaker of who sits here.
    OfCalls,
    Own(OpenAudio),
    Nobody,
}

/// A conference being prepared; await it to open it. From [`UserAgent::conference`].
#[derive(Debug)]
#[must_use = "a conference is opened when its builder is awaited"]
pub struct ConferenceBuilder {
    shared: Arc<Shared>,
    audio: Option<Audio>,
    spec: ConferenceSpec,
}

impl ConferenceBuilder {
    /// What the host says and hears. Without it, the sound of the first call that is added: a
    /// telephone that adds its calls goes on with its microphone and loudspeaker.
    pub fn audio(mut self, audio: Audio) -> Self {
        self.audio = Some(audio);
        self
    }

    /// Nobody sits here: the calls hear each other only.
    pub fn without_host(mut self) -> Self {
        (self.audio, self.spec.host) = (None, HostSound::Nobody);
        self
    }

    /// The rate at which sound is mixed, in Hz; default 48,000. A bridge of narrowband calls saves
    /// work with 8,000 or 16,000.
    pub fn rate(mut self, hz: u32) -> Self {
        self.spec.rate = hz;
        self
    }

    /// What it is about, for those who subscribe to it (RFC 4575 §5.3).
    pub fn subject(mut self, text: impl Into<String>) -> Self {
        self.spec.subject = Some(text.into());
        self
    }

    /// Whether whoever calls its URI is let in by itself ([`Conference::name`]), with
    /// [`Event::CallJoins`](crate::Event::CallJoins). Default: such a call rings like any other.
    pub fn open_to_callers(mut self, on: bool) -> Self {
        self.spec.dial_in = on;
        self
    }
}

impl IntoFuture for ConferenceBuilder {
    type Output = Result<Conference, Error>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let Self { shared, audio, mut spec } = self;
            crate::media::check_rate(spec.rate)?;
            if let Some(audio) = audio {
                let registry = shared.registry.clone();
                spec.host = HostSound::Own(off_thread(move || audio.open(&registry)).await??);
            }
            let spec = Box::new(spec);
            let open = |reply| Command::Conference(ConferenceCommand::Open { spec, reply });
            shared.commands.ask(open).await
        })
    }
}

/// Who takes part in a conference.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Member {
    /// Its call; `None` is the host.
    pub call: Option<CallId>,
    /// Its URI; empty for the host.
    pub uri: String,
    /// Whether the call is up, and its sound mixed.
    pub connected: bool,
    /// Whether the others hear nothing of it.
    pub muted: bool,
    /// How loud it is, in dBFS RMS over 300 ms; `None` while it is not connected.
    pub level_db: Option<f64>,
}

#[derive(Debug)]
pub(crate) struct ConferenceInner {
    pub(crate) shared: Arc<Shared>,
    pub(crate) id: ConferenceId,
    pub(crate) name: String,
}

impl Drop for ConferenceInner {
    fn drop(&mut self) {
        let close = ConferenceCommand::Close { conference: self.id, hangup: false };
        self.shared.commands.tell(Command::Conference(close));
    }
}

/// A conference of ours: everybody hears all others. Cheap to clone.
///
/// Dropping the last handle closes it, and its calls go on one by one, each with its own sound, so that
/// nobody is cut off; [`end`](Self::end) hangs them up. A call that ends leaves by itself. As long as
/// the conference has one call left, that one talks with the host as before.
///
/// ```no_run
/// # async fn demo(ua: tiny_ua::UserAgent, alice: tiny_ua::Account) -> Result<(), tiny_ua::Error> {
/// let bob = alice.call("sip:bob@example.com").await?;
/// bob.answered().await?;
/// let conference = ua.conference().await?;
/// conference.add(&bob).await?;
/// let carol = alice.call("sip:carol@example.com").conference(&conference).await?;
/// carol.answered().await?; // The three of them talk.
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
pub struct Conference {
    pub(crate) inner: Arc<ConferenceInner>,
}

impl Conference {
    /// Its name for this agent.
    pub fn id(&self) -> ConferenceId {
        self.inner.id
    }

    /// The user part of its URI; the rest is where this agent is reached, as Contact shows it.
    pub fn name(&self) -> &str {
        &self.inner.name
    }

    /// Adds a call. One that is up is told with a re-INVITE whose Contact has `isfocus` (RFC 4579
    /// §5.2), which ends a hold of ours, too; one that is not answered yet comes in as soon as it is.
    /// Done when the call is taken, not when the peer has agreed to the re-INVITE.
    ///
    /// # Errors
    /// [`Error::Ended`] for a call or conference that is over, [`Error::State`] for a call that takes
    /// part in another, [`Error::Limit`] at
    /// [`Config::max_conference_members`](crate::Config::max_conference_members).
    pub async fn add(&self, call: &Call) -> Result<(), Error> {
        let (conference, call) = (self.inner.id, call.inner.key);
        self.ask(|reply| ConferenceCommand::Add { conference, call, reply }).await
    }

    /// Lets a call go on alone with the host, with its own sound. When that is what the host's was
    /// taken from, another call's takes its place.
    ///
    /// # Errors
    /// [`Error::State`] for a call that does not take part.
    pub async fn remove(&self, call: &Call) -> Result<(), Error> {
        let (conference, call) = (self.inner.id, call.inner.key);
        self.ask(|reply| ConferenceCommand::Remove { conference, call, reply }).await
    }

    /// Whether the others hear nothing of a call, which still hears them. ([`Call::mute`] is the other
    /// way: the call hears nothing.)
    pub fn mute(&self, call: &Call, on: bool) {
        let (conference, call) = (self.inner.id, Some(call.inner.key));
        self.tell(ConferenceCommand::Mute { conference, call, on });
    }

    /// Whether the others hear nothing of the host.
    pub fn mute_host(&self, on: bool) {
        let conference = self.inner.id;
        self.tell(ConferenceCommand::Mute { conference, call: None, on });
    }

    /// How much louder (or softer, below zero) the others hear a call, in dB; within ±40.
    pub fn set_gain(&self, call: &Call, db: f32) {
        let (conference, call) = (self.inner.id, Some(call.inner.key));
        self.tell(ConferenceCommand::Gain { conference, call, db });
    }

    /// How much louder the others hear the host, in dB; within ±40.
    pub fn set_host_gain(&self, db: f32) {
        let conference = self.inner.id;
        self.tell(ConferenceCommand::Gain { conference, call: None, db });
    }

    /// Who takes part now, in the order of joining, and how loud everybody is; first the host, if
    /// there is one.
    ///
    /// # Errors
    /// [`Error::Ended`] when the conference is over.
    pub async fn members(&self) -> Result<Vec<Member>, Error> {
        let conference = self.inner.id;
        self.ask(|reply| ConferenceCommand::Members { conference, reply }).await
    }

    /// The calls that take part.
    ///
    /// # Errors
    /// As [`members`](Self::members).
    pub async fn calls(&self) -> Result<Vec<CallId>, Error> {
        Ok(self.members().await?.into_iter().filter_map(|member| member.call).collect())
    }

    /// Hangs up all calls and closes.
    pub fn end(&self) {
        let conference = self.inner.id;
        self.tell(ConferenceCommand::Close { conference, hangup: true });
    }

    fn tell(&self, command: ConferenceCommand) {
        self.inner.shared.commands.tell(Command::Conference(command));
    }

    async fn ask<T>(&self, make: impl FnOnce(Reply<T>) -> ConferenceCommand) -> Result<T, Error> {
        self.inner.shared.commands.ask(|reply| Command::Conference(make(reply))).await
    }
}

impl UserAgent {
    /// Prepares a conference that this agent hosts; await it to open it.
    pub fn conference(&self) -> ConferenceBuilder {
        ConferenceBuilder::new(self.shared().clone())
    }
}

impl ConferenceBuilder {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        let (host, rate) = (HostSound::OfCalls, 48_000);
        let spec = ConferenceSpec { host, rate, subject: None, dial_in: false };
        Self { shared, audio: None, spec }
    }
}
