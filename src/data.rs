//! Data channels of calls (RFC 8831): messages beside the sound, over the same path and under the same
//! keys. The handles are here; SCTP runs in the task of the call's stream.

mod ready;
#[path = "data_spec.rs"]
mod spec;

use crate::call::Call;
use crate::command::Command;
use crate::{Error, data};
use bytes::Bytes;
pub(crate) use ready::{Credit, Ready};
pub use spec::DescribedChannel;
pub(crate) use spec::{ChannelSpec, options_of};
use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering, fence};
use std::time::Duration;
use tiny_net::data::{ChannelId, ChannelOptions};
pub use tiny_net::data::{Config, Message, Reliability};
use tokio::sync::{Mutex, Notify, Semaphore, TryAcquireError, mpsc, watch};

/// A data channel being prepared; from [`Call::data_channel`]. Await it to have it open.
#[derive(Debug)]
#[must_use = "a channel is opened when its builder is awaited"]
pub struct DataChannelBuilder {
    call: Call,
    spec: ChannelSpec,
}

impl DataChannelBuilder {
    pub(crate) fn new(call: Call, label: String) -> Self {
        Self { call, spec: ChannelSpec::new(label) }
    }

    /// Whether messages arrive in the order in which they were sent. Default true.
    pub fn ordered(mut self, on: bool) -> Self {
        self.spec.options.ordered = on;
        self
    }

    /// A message that is lost is sent again so many times at most, and then given up.
    pub fn max_retransmits(mut self, count: u32) -> Self {
        self.spec.retransmits = Some(count);
        self
    }

    /// A message is given up when it has not arrived after so long, in whole milliseconds.
    pub fn max_lifetime(mut self, time: Duration) -> Self {
        self.spec.lifetime = Some(time);
        self
    }

    /// Nothing is said on the wire: the peer opens its end with the same number, 0 to 65,534.
    pub fn negotiated(mut self, id: u16) -> Self {
        self.spec.options.negotiated = Some(id);
        self
    }

    /// The session description sets it up (`a=dcmap`, RFC 8864), by an offer of its own: for peers that
    /// know a channel by that, as those of BFCP or MSRP do. It is open when the peer has taken it. When it
    /// is closed, by whoever, the next description does without it:
    /// [`CallEvent::NegotiationNeeded`](crate::CallEvent::NegotiationNeeded). For channels of the first
    /// offer see [`CallBuilder::data_channel`](crate::CallBuilder::data_channel).
    pub fn in_description(mut self) -> Self {
        self.spec.described = true;
        self
    }

    /// What the description says of it beside (`a=dcsa`), as in `accept-types:text/plain`; with
    /// [`in_description`](Self::in_description), which this brings with it.
    pub fn attribute(mut self, attribute: impl Into<String>) -> Self {
        self.spec.attributes.push(attribute.into());
        self.in_description()
    }

    /// What is spoken in it, a registered WebSocket subprotocol (RFC 8832 §8.3). Default: nothing in
    /// particular.
    pub fn protocol(mut self, protocol: impl Into<String>) -> Self {
        self.spec.options.protocol = protocol.into();
        self
    }

    /// Its weight beside other channels, told to the peer: 128, 256, 512 and 1024 are low, normal, high
    /// and extra high (RFC 8831 §6.4). Default 256.
    pub fn priority(mut self, priority: u16) -> Self {
        self.spec.options.priority = priority;
        self
    }

    async fn open(self) -> Result<DataChannel, Error> {
        let spec = Box::new(self.spec.checked()?);
        self.call.ask(|call, reply| Command::DataChannel { call, spec, reply }).await
    }
}

impl IntoFuture for DataChannelBuilder {
    type Output = Result<DataChannel, Error>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.open())
    }
}

/// Where a data channel stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum DataChannelState {
    /// Messages can be sent.
    Open,
    /// We have closed it; what waited is still being sent.
    Closing,
    /// Nothing can be sent any more. What has come can still be read.
    Closed,
}

/// What the handles of a channel and the stream's task share.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) id: ChannelId,
    options: ChannelOptions,
    attributes: Vec<String>,
    incoming: bool,
    capacity: usize,
    room: Semaphore,
    buffered: AtomicUsize,
    state: watch::Sender<DataChannelState>,
    max_message: Arc<AtomicU64>,
    left: AtomicBool,
    /// The task has messages for a reader that was slow.
    pub(crate) stalled: AtomicBool,
    wake: Arc<Notify>,
}

impl Link {
    /// Whether no handle wants it open any more.
    pub(crate) fn is_left(&self) -> bool {
        self.left.load(Ordering::Acquire)
    }

    /// So many bytes do not wait any more.
    pub(crate) fn sent(&self, bytes: usize) {
        let less = |had: usize| Some(had.saturating_sub(bytes));
        let _ = self.buffered.fetch_update(Ordering::AcqRel, Ordering::Acquire, less);
        // A message longer than all of the room has taken no more than that.
        let taken = self.capacity.saturating_sub(self.room.available_permits());
        self.room.add_permits(bytes.min(taken));
    }

    /// It is over.
    pub(crate) fn close(&self) {
        self.state.send_replace(DataChannelState::Closed);
        self.room.close();
    }
}

/// A message for the task.
#[derive(Debug)]
pub(crate) struct ToChannel {
    pub(crate) id: ChannelId,
    pub(crate) message: Message,
}

#[derive(Debug)]
struct Inner {
    link: Arc<Link>,
    task: mpsc::Sender<ToChannel>,
    messages: Mutex<mpsc::Receiver<Ready>>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.leave();
    }
}

impl Inner {
    fn leave(&self) {
        self.link.left.store(true, Ordering::Release);
        self.link.wake.notify_one();
    }
}

/// A data channel of a call: messages of text or bytes, whole, both ways. Cheap to clone; when the last
/// handle is dropped, it closes.
///
/// The call must be encrypted by DTLS ([`Srtp::Dtls`](crate::Srtp::Dtls)), for both sides share the
/// association. [`CallBuilder::data`](crate::CallBuilder::data) puts data channels into the first offer;
/// else the first one that is opened has the peer asked by re-INVITE.
/// [`DescribedChannel`] is for channels that peers want to see in the description itself (RFC 8864).
///
/// ```no_run
/// use tiny_ua::{Audio, CallEvent, DataMessage, UserAgent};
/// # async fn run() -> Result<(), tiny_ua::Error> {
/// let ua = UserAgent::builder().build().await?;
/// let alice = ua.account("sip:alice@example.com").build().await?;
/// let call = alice.call("sip:bob@example.com").audio(Audio::silent()).data(true).await?;
/// call.answered().await?;
///
/// let chat = call.data_channel("chat").await?;
/// chat.send_text("hello").await?;
/// while let Some(message) = chat.recv().await {
///     match message {
///         DataMessage::Text(text) => println!("{text}"),
///         DataMessage::Binary(data) => println!("{} bytes", data.len()),
///     }
/// }
///
/// // Channels that the peer opens:
/// while let Some(event) = call.next_event().await {
///     if let CallEvent::DataChannel(channel) = event {
///         println!("{}", channel.label());
///     }
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct DataChannel {
    inner: Arc<Inner>,
}

/// What descriptions say of a channel that they have set up.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) attributes: Vec<String>,
    pub(crate) incoming: bool,
}

/// What the task keeps of the channels that it makes.
#[derive(Debug)]
pub(crate) struct Maker {
    pub(crate) task: mpsc::Sender<ToChannel>,
    pub(crate) wake: Arc<Notify>,
    pub(crate) max_message: Arc<AtomicU64>,
    /// Bytes of one channel that may wait.
    pub(crate) capacity: usize,
}

impl Maker {
    /// A channel that is open: the application's handle, and what the task needs of it.
    pub(crate) fn make(
        &self,
        id: ChannelId,
        channel: &tiny_net::data::Channel,
        described: Option<Told>,
        depth: usize,
    ) -> (DataChannel, Arc<Link>, mpsc::Sender<Ready>) {
        let capacity = self.capacity.clamp(1, u32::MAX as usize).min(Semaphore::MAX_PERMITS);
        let Told { attributes, incoming } = described
            .unwrap_or_else(|| Told { attributes: Vec::new(), incoming: channel.is_incoming() });
        let link = Arc::new(Link {
            id,
            options: channel.options().clone(),
            attributes,
            incoming,
            capacity,
            room: Semaphore::new(capacity),
            buffered: AtomicUsize::new(0),
            state: watch::Sender::new(DataChannelState::Open),
            max_message: self.max_message.clone(),
            left: AtomicBool::new(false),
            stalled: AtomicBool::new(false),
            wake: self.wake.clone(),
        });
        let (messages, inbox) = mpsc::channel(depth);
        let (task, messages_in) = (self.task.clone(), Mutex::new(inbox));
        let inner = Inner { link: link.clone(), task, messages: messages_in };
        (DataChannel { inner: Arc::new(inner) }, link, messages)
    }
}

const ENDED: Error = Error::Ended("the data channel");

impl DataChannel {
    /// Its name.
    pub fn label(&self) -> &str {
        &self.inner.link.options.label
    }

    /// What is spoken in it; empty for nothing in particular.
    pub fn protocol(&self) -> &str {
        &self.inner.link.options.protocol
    }

    /// Its number, which both sides know it by: the SCTP stream.
    pub fn id(&self) -> u16 {
        self.inner.link.id.stream()
    }

    /// Whether messages arrive in order.
    pub fn is_ordered(&self) -> bool {
        self.inner.link.options.ordered
    }

    /// How long a message is tried.
    pub fn reliability(&self) -> Reliability {
        self.inner.link.options.reliability
    }

    /// What the peer's description says of it (`a=dcsa`, RFC 8864 §5.2), as `name:value`; for one that was
    /// set up [in descriptions](DataChannelBuilder::in_description).
    pub fn attributes(&self) -> &[String] {
        &self.inner.link.attributes
    }

    /// Whether the peer has opened it, or has set it up.
    pub fn is_incoming(&self) -> bool {
        self.inner.link.incoming
    }

    /// Where it stands.
    pub fn state(&self) -> DataChannelState {
        let state = *self.inner.link.state.borrow();
        match state {
            DataChannelState::Open if self.inner.link.is_left() => DataChannelState::Closing,
            state => state,
        }
    }

    /// Bytes of messages that have been taken and are not on their way yet.
    pub fn buffered_amount(&self) -> usize {
        self.inner.link.buffered.load(Ordering::Acquire)
    }

    /// Sends text; see [`send`](Self::send).
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub async fn send_text(&self, text: impl Into<String>) -> Result<(), Error> {
        self.send(Message::Text(text.into())).await
    }

    /// Sends bytes; see [`send`](Self::send).
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub async fn send_binary(&self, data: impl Into<Bytes>) -> Result<(), Error> {
        self.send(Message::Binary(data.into())).await
    }

    /// Sends a message. It waits while more than [`Config::data_buffer`](crate::Config::data_buffer)
    /// would wait to be sent; when it returns, the message is taken, not delivered.
    ///
    /// # Errors
    /// [`Error::Ended`] when the channel is closed, [`Error::Limit`] for a message that is larger than
    /// what the peer takes.
    pub async fn send(&self, message: Message) -> Result<(), Error> {
        let permits = self.check(&message)?;
        let link = &self.inner.link;
        link.room.acquire_many(permits).await.map_err(|_| ENDED)?.forget();
        link.buffered.fetch_add(message.len(), Ordering::AcqRel);
        let sent = self.inner.task.send(ToChannel { id: link.id, message }).await;
        sent.map_err(|_| ENDED)
    }

    /// The same without waiting.
    ///
    /// # Errors
    /// As [`send`](Self::send); [`Error::Limit`] when too much waits already.
    pub fn try_send(&self, message: Message) -> Result<(), Error> {
        let permits = self.check(&message)?;
        let link = &self.inner.link;
        let full = || {
            let waits = self.buffered_amount();
            Error::Limit(format!("{waits} bytes wait to be sent on the data channel"))
        };
        let place = self.inner.task.try_reserve().map_err(|e| match e {
            mpsc::error::TrySendError::Full(()) => full(),
            mpsc::error::TrySendError::Closed(()) => ENDED,
        })?;
        match link.room.try_acquire_many(permits) {
            Ok(room) => room.forget(),
            Err(TryAcquireError::NoPermits) => return Err(full()),
            Err(TryAcquireError::Closed) => return Err(ENDED),
        }
        link.buffered.fetch_add(message.len(), Ordering::AcqRel);
        place.send(ToChannel { id: link.id, message });
        Ok(())
    }

    /// What room a message takes, if it can be sent.
    fn check(&self, message: &Message) -> Result<u32, Error> {
        let link = &self.inner.link;
        if self.state() != DataChannelState::Open {
            return Err(ENDED);
        }
        let (size, max) = (message.len(), link.max_message.load(Ordering::Acquire));
        if max != 0 && size as u64 > max {
            return Err(Error::Limit(format!("a message of {size} bytes; the peer takes {max}")));
        }
        Ok(size.min(link.capacity) as u32)
    }

    /// The next message; `None` when the channel is closed and all has been read. Messages that nobody
    /// reads hold the peer back.
    pub async fn recv(&self) -> Option<Message> {
        let message = self.inner.messages.lock().await.recv().await;
        fence(Ordering::SeqCst);
        if self.inner.link.stalled.swap(false, Ordering::AcqRel) {
            self.inner.link.wake.notify_one();
        }
        message.map(Ready::into_message)
    }

    /// Closes it: what waits is sent first, and what comes is not read any more.
    pub fn close(&self) {
        self.inner.leave();
    }

    /// Waits until it is closed, by whoever's doing.
    pub async fn closed(&self) {
        let mut state = self.inner.link.state.subscribe();
        let _ = state.wait_for(|state| *state == DataChannelState::Closed).await;
    }
}

/// What a refusal of the core means to an application.
pub(crate) fn error(e: data::CoreError) -> Error {
    use data::CoreError as E;
    match e {
        E::Config(_) | E::Stream(_) => Error::config("data channel", e),
        E::Closed | E::Over => ENDED,
        E::Limit(_) | E::Full { .. } | E::TooBig { .. } => Error::Limit(e.to_string()),
        E::Timeout => Error::Timeout(e.to_string()),
        e => Error::Network(e.to_string()),
    }
}

pub(crate) use tiny_net::data::Error as CoreError;
