//! Delivery and display reports (RFC 5438): the request in a CPIM message, and the report
//! (`message/imdn+xml`). Whether a person lets others know what was read is the application's
//! choice: nothing is sent by itself.

use super::cpim::Cpim;
use super::xml::{self, Printer};
use super::{BodyError, Limits};
use roxmltree::Node;

/// The media type of a report.
pub const CONTENT_TYPE: &str = "message/imdn+xml";
/// The namespace of the report.
pub const NAMESPACE: &str = "urn:ietf:params:xml:ns:imdn";
/// The namespace of the CPIM header fields (§6).
pub const CPIM_NAMESPACE: &str = "urn:ietf:params:imdn";

/// What a report is about (§5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Whether the message has reached the other side.
    Delivery,
    /// Whether it has been shown.
    Display,
    /// What a server in between has done with it.
    Processing,
}

/// What a report says (§7.2.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Status {
    /// It has been delivered.
    Delivered,
    /// It could not be.
    Failed,
    /// It has been shown.
    Displayed,
    /// A server has passed it on.
    Processed,
    /// A server keeps it for later.
    Stored,
    /// The recipient does not let it be known.
    Forbidden,
    /// Something went wrong.
    Error,
}

const STATUSES: [(Status, &str); 7] = [
    (Status::Delivered, "delivered"),
    (Status::Failed, "failed"),
    (Status::Displayed, "displayed"),
    (Status::Processed, "processed"),
    (Status::Stored, "stored"),
    (Status::Forbidden, "forbidden"),
    (Status::Error, "error"),
];

const KINDS: [(Kind, &str); 3] = [
    (Kind::Delivery, "delivery-notification"),
    (Kind::Display, "display-notification"),
    (Kind::Processing, "processing-notification"),
];

/// A report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The identifier of the message that it is about.
    pub message_id: String,
    /// When that was sent, as its DateTime had it.
    pub datetime: String,
    /// Who got it.
    pub recipient: Option<String>,
    /// To whom it was first sent.
    pub original_recipient: Option<String>,
    /// Its subject.
    pub subject: Option<String>,
    /// About what.
    pub kind: Kind,
    /// The finding.
    pub status: Status,
}

impl Report {
    /// Reads a report.
    ///
    /// # Errors
    /// [`BodyError`]: beyond the limits, not XML, or without what the schema demands.
    pub fn parse(body: &[u8], limits: &Limits) -> Result<Self, BodyError> {
        let document = xml::read(body, (NAMESPACE, "imdn"), limits)?;
        let root = document.root_element();
        let text = |name| xml::child_text(root, NAMESPACE, name);
        let (kind, node) = KINDS
            .iter()
            .find_map(|(kind, name)| Some((*kind, xml::child(root, NAMESPACE, name)?)))
            .ok_or(BodyError::Missing("notification"))?;
        Ok(Self {
            message_id: text("message-id").ok_or(BodyError::Missing("message-id"))?,
            datetime: text("datetime").ok_or(BodyError::Missing("datetime"))?,
            recipient: text("recipient-uri"),
            original_recipient: text("original-recipient-uri"),
            subject: text("subject"),
            kind,
            status: status(node)?,
        })
    }

    /// The document as it goes out.
    pub fn to_body(&self) -> String {
        let mut out = Printer::new();
        out.open("imdn", &[("xmlns", NAMESPACE)]);
        out.leaf("message-id", &[], &self.message_id);
        out.leaf("datetime", &[], &self.datetime);
        out.optional("recipient-uri", self.recipient.as_deref());
        out.optional("original-recipient-uri", self.original_recipient.as_deref());
        out.optional("subject", self.subject.as_deref());
        let kind = KINDS.iter().find(|(kind, _)| *kind == self.kind).map_or("", |(_, name)| name);
        let status = STATUSES.iter().find(|(its, _)| *its == self.status).map_or("", |(_, n)| n);
        out.open(kind, &[]);
        out.open("status", &[]);
        out.empty(status, &[]);
        out.close("status");
        out.close(kind);
        out.close("imdn");
        out.finish()
    }
}

fn status(node: Node<'_, '_>) -> Result<Status, BodyError> {
    let status = xml::child(node, NAMESPACE, "status").ok_or(BodyError::Missing("status"))?;
    STATUSES
        .iter()
        .find(|(_, name)| xml::child(status, NAMESPACE, name).is_some())
        .map(|(status, _)| *status)
        .ok_or(BodyError::Invalid("status"))
}

/// What the sender of a message wants to be told (§6.2).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Request {
    /// The message's identifier.
    pub message_id: String,
    /// Tell when it has been delivered.
    pub positive_delivery: bool,
    /// Tell when it could not be.
    pub negative_delivery: bool,
    /// Tell when it has been shown.
    pub display: bool,
    /// Servers in between tell what they do (§7.1.1.3); not for us.
    pub processing: bool,
    /// Where reports go first, the topmost first (§6.4); empty: to the sender.
    pub record_route: Vec<String>,
}

impl Request {
    /// Looks for a request. A report asks for none, whatever it says (§7.2.1).
    pub fn of(message: &Cpim) -> Option<Self> {
        if message.content_type().trim().to_ascii_lowercase().starts_with(CONTENT_TYPE) {
            return None;
        }
        let mut request = Self::default();
        for (name, value) in message.of_namespace(CPIM_NAMESPACE) {
            match name {
                "Message-ID" => request.message_id = value,
                "Disposition-Notification" => {
                    for word in value.split(',').map(str::trim) {
                        match word.split(';').next().unwrap_or_default() {
                            "positive-delivery" => request.positive_delivery = true,
                            "negative-delivery" => request.negative_delivery = true,
                            "display" => request.display = true,
                            "processing" => request.processing = true,
                            _ => {}
                        }
                    }
                }
                "IMDN-Record-Route" => request.record_route.push(value),
                _ => {}
            }
        }
        (!request.message_id.is_empty()).then_some(request)
    }

    /// Adds the request to a message that has no header fields of this namespace yet. DateTime,
    /// which a report has to repeat, is the caller's (§7.1.1.2).
    pub fn add_to(&self, message: &mut Cpim) {
        message.add("NS", &format!("imdn <{CPIM_NAMESPACE}>"));
        message.add("imdn.Message-ID", &self.message_id);
        let words = [
            (self.positive_delivery, "positive-delivery"),
            (self.negative_delivery, "negative-delivery"),
            (self.processing, "processing"),
            (self.display, "display"),
        ];
        let words: Vec<_> = words.iter().filter(|(on, _)| *on).map(|(_, word)| *word).collect();
        if !words.is_empty() {
            message.add("imdn.Disposition-Notification", &words.join(", "));
        }
    }

    /// Whether such a report is wanted.
    pub fn wants(&self, kind: Kind, status: Status) -> bool {
        match (kind, status) {
            (Kind::Delivery, Status::Delivered) => self.positive_delivery,
            (Kind::Delivery, _) => self.negative_delivery,
            (Kind::Display, _) => self.display,
            (Kind::Processing, _) => false,
        }
    }

    /// The report on `message` under an identifier of its own, or `None` if it is not wanted. It
    /// goes to the first of [`Request::record_route`], else to whom `message` came from.
    pub fn answer(&self, message: &Cpim, kind: Kind, status: Status, own_id: &str) -> Option<Cpim> {
        if !self.wants(kind, status) {
            return None;
        }
        let (from, to) = (message.from()?, message.to()?);
        let uri = |text: &str| {
            let inside = text.rsplit_once('<').map_or(text, |(_, uri)| uri);
            inside.trim_end_matches('>').to_owned()
        };
        let original =
            message.of_namespace(CPIM_NAMESPACE).find(|(name, _)| *name == "Original-To");
        let report = Report {
            message_id: self.message_id.clone(),
            datetime: message.date_time().unwrap_or_default(),
            recipient: Some(uri(&to)),
            original_recipient: Some(original.map_or_else(|| uri(&to), |(_, value)| uri(&value))),
            subject: message.header("Subject"),
            kind,
            status,
        };
        let mut answer = Cpim::new(&to, &from, CONTENT_TYPE, report.to_body().as_bytes());
        answer.add("NS", &format!("imdn <{CPIM_NAMESPACE}>"));
        answer.add("imdn.Message-ID", own_id);
        for hop in &self.record_route {
            answer.add("imdn.IMDN-Route", hop);
        }
        answer.add_content("Content-Disposition", "notification");
        Some(answer)
    }
}
