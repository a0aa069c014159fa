//! Messages (RFC 3428): sent and received, in and out of calls; in an envelope (CPIM, RFC 3862), with
//! reports of their delivery and display (IMDN, RFC 5438) and "is typing" (RFC 3994). What is reported
//! to the sender of a message is the application's choice: nothing of it goes out by itself.

use crate::account::{Account, RequestBuilder};
use crate::agent::Shared;
use crate::body::cpim::Cpim;
use crate::body::imdn::{self, Kind, Report, Status};
use crate::command::{Command, Content, Headers, SendRequest, Sender};
use crate::headers::{check_final, check_headers};
use crate::{AccountId, Call, CallId, Error, Method, SipMessage};
use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tiny_sak::Rng;
use tiny_sip::ServerKey;

/// A message being prepared; await it to send it and to get the 2xx. From [`Account::message`] or
/// [`Call::message`].
///
/// ```no_run
/// # async fn demo(alice: tiny_ua::Account) -> Result<(), tiny_ua::Error> {
/// use tiny_ua::body::imdn::Request;
/// let ask = Request { positive_delivery: true, display: true, ..Request::default() };
/// let message = alice.message("sip:bob@example.com", "Tea at five?").imdn(ask);
/// let id = message.message_id().unwrap().to_owned(); // what reports will name
/// message.await?;
/// # Ok(()) }
/// ```
#[derive(Debug)]
#[must_use = "a message is sent when its builder is awaited"]
pub struct MessageBuilder {
    request: RequestBuilder,
    to: String,
    content: Content,
    envelope: Option<Cpim>,
    report: Option<imdn::Request>,
}

impl MessageBuilder {
    fn new(request: RequestBuilder, to: String, text: &str) -> Self {
        let content_type = "text/plain;charset=UTF-8".to_owned();
        let content = Content { content_type, data: text.into() };
        Self { request, to, content, envelope: None, report: None }
    }

    /// A header field on the MESSAGE.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.request = self.request.header(name, value);
        self
    }

    /// Content of another kind in place of the text.
    pub fn content(mut self, content_type: impl Into<String>, data: impl Into<Vec<u8>>) -> Self {
        self.content = Content { content_type: content_type.into(), data: data.into() };
        self
    }

    /// Puts it into an envelope with From, To and DateTime (CPIM, RFC 3862). From is the account's
    /// address of record.
    pub fn cpim(self) -> Self {
        self.cpim_with(|_| ())
    }

    /// The same, with further header fields in the envelope; a From or To of its own goes in place of
    /// ours.
    pub fn cpim_with(mut self, change: impl FnOnce(&mut Cpim)) -> Self {
        change(self.envelope.get_or_insert_default());
        self
    }

    /// Asks for reports (IMDN, RFC 5438), which come as
    /// [`Event::MessageReported`](crate::Event::MessageReported); implies [`cpim`](Self::cpim). An
    /// empty `message_id` is drawn: see [`message_id`](Self::message_id).
    pub fn imdn(mut self, mut ask: imdn::Request) -> Self {
        if ask.message_id.is_empty() {
            ask.message_id = new_id();
        }
        self.report = Some(ask);
        self.cpim()
    }

    /// The identifier that reports on this message will name, where they are asked for.
    pub fn message_id(&self) -> Option<&str> {
        self.report.as_ref().map(|ask| ask.message_id.as_str())
    }

    async fn send(self) -> Result<SipMessage, Error> {
        let Self { mut request, to, content, envelope, report } = self;
        match envelope {
            None => request = request.body(content.content_type, content.data),
            Some(mut envelope) => {
                envelope.add_content("Content-type", &content.content_type);
                envelope.body = content.data;
                if envelope.to().is_none() {
                    envelope.add("To", &format!("<{to}>"));
                }
                // RFC 5438 §7.1.1.2
                if envelope.date_time().is_none() {
                    envelope.add("DateTime", &date_time(SystemTime::now()));
                }
                if let Some(ask) = report {
                    ask.add_to(&mut envelope);
                }
                request = request.envelope(envelope);
            }
        }
        request.send().await
    }
}

impl IntoFuture for MessageBuilder {
    type Output = Result<SipMessage, Error>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.send())
    }
}

impl Account {
    /// Prepares a text message (RFC 3428); await it to send it and to get the 2xx. One that is too
    /// large for a datagram goes over a stream.
    ///
    /// # Errors
    /// [`Error::Peer`] for any final response but 2xx.
    pub fn message(&self, to: &str, text: &str) -> MessageBuilder {
        let bare = to.split('?').next().unwrap_or(to).to_owned();
        MessageBuilder::new(self.request(Method::Message, to), bare, text)
    }

    /// A key was pressed in a message to this peer (RFC 3994): to be called with every one. The peer is
    /// told once, again while it goes on, and when nothing was pressed for 15 s
    /// ([`Config::composing`](crate::Config::composing)); sending the message ends it.
    pub fn composing(&self, to: &str) {
        let from = Sender::Account { account: self.key(), to: to.to_owned() };
        self.shared().commands.tell(Command::Composing { from });
    }
}

impl Call {
    /// Prepares a text message within the call; otherwise as [`Account::message`].
    ///
    /// # Errors
    /// As [`Account::message`]; [`Error::State`] while the call has no dialog.
    pub fn message(&self, text: &str) -> MessageBuilder {
        MessageBuilder::new(self.request(Method::Message), self.remote_uri().to_owned(), text)
    }

    /// A key was pressed in a message within this call; as [`Account::composing`].
    pub fn composing(&self) {
        let from = Sender::Call(self.inner.key);
        self.inner.shared.commands.tell(Command::Composing { from });
    }
}

/// Somebody sent a MESSAGE. Dropped without a word it is accepted with 200.
#[derive(Debug)]
pub struct IncomingMessage {
    pub(crate) shared: Arc<Shared>,
    pub(crate) key: ServerKey,
    pub(crate) account: Option<AccountId>,
    pub(crate) call: Option<CallId>,
    pub(crate) from: String,
    pub(crate) request: SipMessage,
    pub(crate) envelope: Option<Cpim>,
    pub(crate) answered: bool,
    pub(crate) reported: [bool; 2],
}

impl IncomingMessage {
    /// The sender's URI.
    pub fn from(&self) -> &str {
        &self.from
    }

    /// The account that it is for, when it is one of ours.
    pub fn account(&self) -> Option<AccountId> {
        self.account
    }

    /// The call that it came in.
    pub fn call(&self) -> Option<CallId> {
        self.call
    }

    /// The content as text, out of its envelope, with what is not UTF-8 replaced.
    pub fn text(&self) -> std::borrow::Cow<'_, str> {
        String::from_utf8_lossy(self.content())
    }

    /// The content, out of its envelope.
    pub fn content(&self) -> &[u8] {
        self.envelope.as_ref().map_or(self.request.body(), |envelope| &envelope.body)
    }

    /// The type of the content, `text/plain` where none is said.
    pub fn content_type(&self) -> &str {
        match &self.envelope {
            Some(envelope) => envelope.content_type(),
            None => self.request.header(crate::HeaderName::ContentType).unwrap_or("text/plain"),
        }
    }

    /// The envelope (RFC 3862) that it came in: who wrote, by their own word, to whom and when.
    pub fn cpim(&self) -> Option<&Cpim> {
        self.envelope.as_ref()
    }

    /// What its sender wants to be told (RFC 5438).
    pub fn imdn(&self) -> Option<imdn::Request> {
        imdn::Request::of(self.envelope.as_ref()?)
    }

    /// The whole request.
    pub fn request(&self) -> &SipMessage {
        &self.request
    }

    /// Accepts it with 200, and keeps the handle for reports. They may come at any time later.
    pub fn accept(&mut self) {
        if !std::mem::replace(&mut self.answered, true) {
            let respond = Command::Respond { key: self.key, status: 200, headers: Vec::new() };
            self.shared.commands.tell(respond);
        }
    }

    /// Answers with a final status and header fields of one's own.
    ///
    /// # Errors
    /// [`Error::Config`] for a status outside 200–699 or a header field that cannot be sent (the
    /// sender gets 200); [`Error::State`] when it is accepted already.
    pub fn respond(mut self, status: u16, headers: Vec<(String, String)>) -> Result<(), Error> {
        check_final(status)?;
        check_headers(&headers)?;
        if self.answered {
            return Err(Error::state("the message is answered already"));
        }
        self.answered = true;
        self.shared.commands.tell(Command::Respond { key: self.key, status, headers });
        Ok(())
    }

    /// Accepts it and tells the sender that it has reached its user (RFC 5438 §12.1.3.1), if the
    /// sender wants to know and was not told before; whether it was told.
    ///
    /// # Errors
    /// Why the report could not be delivered.
    pub async fn delivered(&mut self) -> Result<bool, Error> {
        self.report(Kind::Delivery, Status::Delivered).await
    }

    /// Accepts it and tells the sender that it could not be delivered after all, as
    /// [`delivered`](Self::delivered) does: of the two at most one is told.
    ///
    /// # Errors
    /// As [`delivered`](Self::delivered).
    pub async fn failed(&mut self) -> Result<bool, Error> {
        self.report(Kind::Delivery, Status::Failed).await
    }

    /// Accepts it and tells the sender that it was shown to its user, if the sender wants to know and
    /// was not told before; whether it was told.
    ///
    /// # Errors
    /// As [`delivered`](Self::delivered).
    pub async fn displayed(&mut self) -> Result<bool, Error> {
        self.report(Kind::Display, Status::Displayed).await
    }

    async fn report(&mut self, kind: Kind, status: Status) -> Result<bool, Error> {
        self.accept();
        let told = &mut self.reported[usize::from(kind == Kind::Display)];
        let ask = self.envelope.as_ref().and_then(|e| Some((imdn::Request::of(e)?, e)));
        let answer = ask.and_then(|(ask, envelope)| {
            let report = ask.answer(envelope, kind, status, &new_id())?;
            Some((report, ask.record_route.into_iter().next()))
        });
        // "As there is no return address" (§12.1.1).
        let anonymous = self.from.to_ascii_lowercase().contains("anonymous.invalid");
        let Some((report, route)) = answer.filter(|_| !*told && !anonymous) else {
            return Ok(false);
        };
        // "MUST NOT construct more than one IMDN per disposition type" (§7.2.1).
        *told = true;
        let from = match (self.call, self.account) {
            (Some(call), _) => Sender::Call(call.0),
            (None, Some(account)) => {
                let uri = route.as_deref().map_or(self.from.as_str(), inside);
                Sender::Account { account: account.0, to: uri.to_owned() }
            }
            (None, None) => return Err(Error::state("the message is for no account of ours")),
        };
        let content_type = crate::body::cpim::CONTENT_TYPE.to_owned();
        let body = Some(Content { content_type, data: report.to_body() });
        let (method, headers, envelope) = (Method::Message, Headers::new(), None);
        let request = Box::new(SendRequest { from, method, headers, body, envelope });
        self.shared.commands.ask(|reply| Command::Request { request, reply }).await?;
        Ok(true)
    }
}

impl Drop for IncomingMessage {
    fn drop(&mut self) {
        self.accept();
    }
}

/// What became of a message of ours, from [`Event::MessageReported`](crate::Event::MessageReported).
#[derive(Debug, Clone)]
pub struct MessageReport {
    /// The account that the message was sent by.
    pub account: Option<AccountId>,
    /// The call that the report came in.
    pub call: Option<CallId>,
    /// Who says so: a URI.
    pub from: String,
    /// Which message ([`MessageBuilder::message_id`]), and what became of it.
    pub report: Report,
    /// The MESSAGE that brought the report.
    pub request: SipMessage,
}

impl MessageReport {
    /// The message has reached its recipient.
    pub fn is_delivered(&self) -> bool {
        (self.report.kind, self.report.status) == (Kind::Delivery, Status::Delivered)
    }

    /// The message was shown to its recipient.
    pub fn is_displayed(&self) -> bool {
        (self.report.kind, self.report.status) == (Kind::Display, Status::Displayed)
    }
}

fn inside(address: &str) -> &str {
    let inner = address.split_once('<').map_or(address, |(_, rest)| rest);
    inner.split('>').next().unwrap_or(inner).trim()
}

/// Unique "to the device that sends it" (RFC 5438 §6.3).
fn new_id() -> String {
    let mut rng = Rng::from_os().unwrap_or_else(|_| {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        Rng::from_seed(since.map_or(0, |since| since.as_nanos() as u64))
    });
    format!("{:016x}{:016x}", rng.u64(), rng.u64())
}

/// A moment in UTC (RFC 3339); the calendar is Howard Hinnant's `civil_from_days`.
fn date_time(moment: SystemTime) -> String {
    let since = moment.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs();
    let (days, second) = (since / 86_400 + 719_468, since % 86_400);
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_written_as_rfc_3339_has_it() {
        let at = |seconds| date_time(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds));
        assert_eq!(at(0), "1970-01-01T00:00:00Z");
        assert_eq!(at(951_782_399), "2000-02-28T23:59:59Z");
        assert_eq!(at(951_782_400), "2000-02-29T00:00:00Z");
        assert_eq!(at(1_144_153_009), "2006-04-04T12:16:49Z");
    }
}
