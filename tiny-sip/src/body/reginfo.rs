//! Registrations of an address of record (RFC 3680, `application/reginfo+xml`). [`Registrations`]
//! keeps the table that partial notifications build up (§5.2).

use super::xml::{self, Printer, or_empty};
use super::{BodyError, Extent, Limits, Merged, follows};
use roxmltree::Node;

/// The media type.
pub const CONTENT_TYPE: &str = "application/reginfo+xml";
/// The namespace.
pub const NAMESPACE: &str = "urn:ietf:params:xml:ns:reginfo";

/// The state of an address of record or of a contact (§5.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum State {
    /// No contact ever (an address of record only).
    #[default]
    Init,
    /// There is one.
    Active,
    /// There is none any more.
    Terminated,
}

impl State {
    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Init => "init",
            Self::Active => "active",
            Self::Terminated => "terminated",
        }
    }

    fn parse(text: &str) -> Result<Self, BodyError> {
        [Self::Init, Self::Active, Self::Terminated]
            .into_iter()
            .find(|state| state.as_str() == text)
            .ok_or(BodyError::Invalid("state"))
    }
}

/// A binding.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Contact {
    /// Names the row.
    pub id: String,
    /// The state, `Active` or `Terminated`.
    pub state: State,
    /// What led there: `registered`, `created`, `refreshed`, `shortened`, `expired`, `deactivated`,
    /// `probation`, `unregistered`, `rejected`. After `deactivated` one registers again at once,
    /// after `rejected` not at all.
    pub event: String,
    /// The address.
    pub uri: String,
    /// Its display name.
    pub display_name: Option<String>,
    /// Seconds until it ends.
    pub expires: Option<u64>,
    /// Seconds after which to register again, with `probation`.
    pub retry_after: Option<u64>,
    /// Seconds since it was registered.
    pub duration: Option<u64>,
    /// Its weight as written.
    pub q: Option<String>,
    /// Call-ID of the last REGISTER.
    pub call_id: Option<String>,
    /// CSeq of the last REGISTER.
    pub cseq: Option<u64>,
    /// Contact parameters unknown to RFC 3261, such as `+sip.instance`.
    pub params: Vec<(String, String)>,
}

/// An address of record.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Registration {
    /// The address.
    pub aor: String,
    /// Names the table.
    pub id: String,
    /// The state.
    pub state: State,
    /// The bindings.
    pub contacts: Vec<Contact>,
}

/// A notification.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RegInfo {
    /// Grows by one with each notification of a subscription.
    pub version: u32,
    /// Whether it tells everything.
    pub extent: Extent,
    /// The addresses of record.
    pub registrations: Vec<Registration>,
}

impl RegInfo {
    /// Reads a notification.
    ///
    /// # Errors
    /// [`BodyError`]: beyond the limits, not XML, or without what the schema demands.
    pub fn parse(body: &[u8], limits: &Limits) -> Result<Self, BodyError> {
        let document = xml::read(body, (NAMESPACE, "reginfo"), limits)?;
        let root = document.root_element();
        let all = xml::children(root, NAMESPACE, "registration").map(|node| {
            let contacts = xml::children(node, NAMESPACE, "contact").map(contact);
            Ok(Registration {
                aor: xml::required(node, "aor")?,
                id: xml::required(node, "id")?,
                state: State::parse(&xml::required(node, "state")?)?,
                contacts: xml::rows(contacts, limits)?,
            })
        });
        let registrations = xml::rows(all, limits)?;
        bounded(&registrations, limits)?;
        Ok(Self {
            version: xml::number(&xml::required(root, "version")?, "version")?,
            extent: Extent::parse(&xml::required(root, "state")?)?,
            registrations,
        })
    }

    /// The document as it goes out.
    pub fn to_body(&self) -> String {
        let mut out = Printer::new();
        let version = self.version.to_string();
        let attributes =
            [("xmlns", NAMESPACE), ("version", &version), ("state", self.extent.as_str())];
        out.open("reginfo", &attributes);
        for its in &self.registrations {
            let attributes =
                [("aor", its.aor.as_str()), ("id", &its.id), ("state", its.state.as_str())];
            out.open("registration", &attributes);
            for contact in &its.contacts {
                print(&mut out, contact);
            }
            out.close("registration");
        }
        out.close("reginfo");
        out.finish()
    }
}

/// The registrations that a subscription knows of.
#[derive(Debug, Clone, Default)]
pub struct Registrations {
    version: Option<u32>,
    rows: Vec<Registration>,
}

impl Registrations {
    /// Merges a notification. Terminated contacts leave the table.
    ///
    /// # Errors
    /// More rows than [`Limits::max_rows`]; the table is as it was.
    pub fn merge(&mut self, info: &RegInfo, limits: &Limits) -> Result<Merged, BodyError> {
        let merged = follows(self.version, info.version, info.extent);
        if merged == Merged::Stale {
            return Ok(merged);
        }
        let mut rows = if info.extent == Extent::Full { Vec::new() } else { self.rows.clone() };
        for new in &info.registrations {
            let at = rows.iter().position(|row| row.id == new.id).unwrap_or_else(|| {
                rows.push(Registration { id: new.id.clone(), ..Registration::default() });
                rows.len() - 1
            });
            let row = &mut rows[at];
            (row.aor, row.state) = (new.aor.clone(), new.state);
            for contact in &new.contacts {
                row.contacts.retain(|its| its.id != contact.id);
                if contact.state != State::Terminated {
                    row.contacts.push(contact.clone());
                }
            }
        }
        bounded(&rows, limits)?;
        (self.version, self.rows) = (Some(info.version), rows);
        Ok(merged)
    }

    /// The addresses of record.
    pub fn iter(&self) -> impl Iterator<Item = &Registration> {
        self.rows.iter()
    }

    /// Forgets everything: for a new subscription, whose versions begin anew.
    pub fn clear(&mut self) {
        *self = Self::default();
    }
}

/// Addresses of record and contacts, each at most so many over the whole.
fn bounded(rows: &[Registration], limits: &Limits) -> Result<(), BodyError> {
    let contacts: usize = rows.iter().map(|row| row.contacts.len()).sum();
    if rows.len() > limits.max_rows || contacts > limits.max_rows {
        return Err(BodyError::Limit("max_rows"));
    }
    Ok(())
}

fn contact(node: Node<'_, '_>) -> Result<Contact, BodyError> {
    let number = |name: &'static str| {
        xml::attribute(node, name).map(|text| xml::number(&text, name)).transpose()
    };
    let params = xml::children(node, NAMESPACE, "unknown-param")
        .filter_map(|param| Some((xml::attribute(param, "name")?, xml::text(param))))
        .collect();
    Ok(Contact {
        id: xml::required(node, "id")?,
        state: State::parse(&xml::required(node, "state")?)?,
        event: xml::required(node, "event")?,
        uri: xml::child_text(node, NAMESPACE, "uri").ok_or(BodyError::Missing("uri"))?,
        display_name: xml::child_text(node, NAMESPACE, "display-name"),
        expires: number("expires")?,
        retry_after: number("retry-after")?,
        duration: number("duration-registered")?,
        q: xml::attribute(node, "q"),
        call_id: xml::attribute(node, "callid"),
        cseq: number("cseq")?,
        params,
    })
}

fn print(out: &mut Printer, contact: &Contact) {
    let number = |n: Option<u64>| n.map(|n| n.to_string()).unwrap_or_default();
    let attributes = [
        ("id", contact.id.as_str()),
        ("state", contact.state.as_str()),
        ("event", &contact.event),
        ("expires", &number(contact.expires)),
        ("retry-after", &number(contact.retry_after)),
        ("duration-registered", &number(contact.duration)),
        ("q", or_empty(&contact.q)),
        ("callid", or_empty(&contact.call_id)),
        ("cseq", &number(contact.cseq)),
    ];
    out.open("contact", &attributes);
    out.leaf("uri", &[], &contact.uri);
    out.optional("display-name", contact.display_name.as_deref());
    for (name, value) in &contact.params {
        out.leaf("unknown-param", &[("name", name)], value);
    }
    out.close("contact");
}
