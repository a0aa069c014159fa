//! Dialogs of a user or device (RFC 4235, `application/dialog-info+xml`): what lamp fields show and
//! pickup needs. [`Dialogs`] keeps the table that partial notifications build up (§4.3).

use super::xml::{self, Printer, or_empty};
use super::{BodyError, Extent, Limits, Merged, follows};
use roxmltree::Node;

/// The media type.
pub const CONTENT_TYPE: &str = "application/dialog-info+xml";
/// The namespace.
pub const NAMESPACE: &str = "urn:ietf:params:xml:ns:dialog-info";

/// The state of a dialog (§3.7.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum State {
    /// The INVITE is out, nothing came back.
    #[default]
    Trying,
    /// A provisional response without a tag came.
    Proceeding,
    /// It rings: a provisional response with a tag.
    Early,
    /// The call is up.
    Confirmed,
    /// It is over.
    Terminated,
}

impl State {
    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Trying => "trying",
            Self::Proceeding => "proceeding",
            Self::Early => "early",
            Self::Confirmed => "confirmed",
            Self::Terminated => "terminated",
        }
    }

    fn parse(text: &str) -> Result<Self, BodyError> {
        [Self::Trying, Self::Proceeding, Self::Early, Self::Confirmed, Self::Terminated]
            .into_iter()
            .find(|state| state.as_str().eq_ignore_ascii_case(text))
            .ok_or(BodyError::Invalid("state"))
    }
}

/// Who began the dialog, seen from the entity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Direction {
    /// The entity called.
    Initiator,
    /// The entity was called.
    Recipient,
}

/// A URI with a display name.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Identity {
    /// The URI.
    pub uri: String,
    /// The display name.
    pub display: Option<String>,
}

/// The remote target of one side with its Contact parameters.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Target {
    /// The URI.
    pub uri: String,
    /// Names and values.
    pub params: Vec<(String, String)>,
}

/// One side of a dialog (§4.1.6). What a notification leaves out is as it was before.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Participant {
    /// Who.
    pub identities: Vec<Identity>,
    /// Where.
    pub target: Option<Target>,
    /// Type and text of the session description.
    pub session: Option<(String, String)>,
    /// The sequence number.
    pub cseq: Option<u32>,
}

/// The three values that name a dialog.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct DialogId {
    /// Call-ID.
    pub call_id: String,
    /// The tag of the entity.
    pub local_tag: String,
    /// The tag of the other side.
    pub remote_tag: String,
}

/// One dialog.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Dialog {
    /// The row's name; not the Call-ID.
    pub id: String,
    /// Call-ID: with the tags it makes a Replaces for pickup.
    pub call_id: Option<String>,
    /// The tag of the entity.
    pub local_tag: Option<String>,
    /// The tag of the other side.
    pub remote_tag: Option<String>,
    /// Who called.
    pub direction: Option<Direction>,
    /// The state.
    pub state: State,
    /// What led there: `cancelled`, `rejected`, `replaced`, `local-bye`, `remote-bye`, `error`,
    /// `timeout`.
    pub event: Option<String>,
    /// The status that led there.
    pub code: Option<u16>,
    /// Seconds since it began.
    pub duration: Option<u64>,
    /// The dialog it took the place of.
    pub replaces: Option<DialogId>,
    /// Who sent the REFER it came from.
    pub referred_by: Option<Identity>,
    /// The route set.
    pub route_set: Vec<String>,
    /// The entity's side.
    pub local: Participant,
    /// The other side.
    pub remote: Participant,
}

/// A notification.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DialogInfo {
    /// Grows by one with each notification of a subscription.
    pub version: u32,
    /// Whether it tells everything.
    pub extent: Extent,
    /// Whose dialogs; `""` when the document does not tell, as the RFC's own example.
    pub entity: String,
    /// The dialogs.
    pub dialogs: Vec<Dialog>,
}

impl DialogInfo {
    /// Reads a notification.
    ///
    /// # Errors
    /// [`BodyError`]: beyond the limits, not XML, or without what the schema demands.
    pub fn parse(body: &[u8], limits: &Limits) -> Result<Self, BodyError> {
        let document = xml::read(body, (NAMESPACE, "dialog-info"), limits)?;
        let root = document.root_element();
        Ok(Self {
            version: xml::number(&xml::required(root, "version")?, "version")?,
            extent: Extent::parse(&xml::required(root, "state")?)?,
            entity: xml::attribute(root, "entity").unwrap_or_default(),
            dialogs: xml::rows(xml::children(root, NAMESPACE, "dialog").map(dialog), limits)?,
        })
    }

    /// The document as it goes out.
    pub fn to_body(&self) -> String {
        let mut out = Printer::new();
        let version = self.version.to_string();
        let attributes = [
            ("xmlns", NAMESPACE),
            ("version", &version),
            ("state", self.extent.as_str()),
            ("entity", &self.entity),
        ];
        out.open("dialog-info", &attributes);
        for dialog in &self.dialogs {
            print(&mut out, dialog);
        }
        out.close("dialog-info");
        out.finish()
    }
}

/// The dialogs that a subscription knows of.
#[derive(Debug, Clone, Default)]
pub struct Dialogs {
    version: Option<u32>,
    rows: Vec<Dialog>,
}

impl Dialogs {
    /// Merges a notification. Terminated dialogs leave the table, so that the caller looks at the
    /// notification itself for how they ended.
    ///
    /// # Errors
    /// More dialogs than [`Limits::max_rows`]; the table is as it was.
    pub fn merge(&mut self, info: &DialogInfo, limits: &Limits) -> Result<Merged, BodyError> {
        let merged = follows(self.version, info.version, info.extent);
        if merged == Merged::Stale {
            return Ok(merged);
        }
        let full = info.extent == Extent::Full;
        let mut rows = if full { Vec::new() } else { self.rows.clone() };
        for dialog in &info.dialogs {
            let known = if full { &self.rows } else { &rows };
            let old = known.iter().find(|row| row.id == dialog.id).cloned();
            let at = rows.iter().position(|row| row.id == dialog.id);
            if dialog.state == State::Terminated {
                if let Some(at) = at {
                    rows.remove(at);
                }
                continue;
            }
            let new = inherit(dialog.clone(), old);
            match at {
                Some(at) => rows[at] = new,
                None if rows.len() >= limits.max_rows => {
                    return Err(BodyError::Limit("max_rows"));
                }
                None => rows.push(new),
            }
        }
        (self.version, self.rows) = (Some(info.version), rows);
        Ok(merged)
    }

    /// The dialogs that are not over.
    pub fn iter(&self) -> impl Iterator<Item = &Dialog> {
        self.rows.iter()
    }

    /// The state that a lamp shows: the furthest of all dialogs, `None` when there is none.
    pub fn state(&self) -> Option<State> {
        self.rows.iter().map(|row| row.state).max_by_key(|state| *state as u8)
    }

    /// Forgets everything: for a new subscription, whose versions begin anew.
    pub fn clear(&mut self) {
        *self = Self::default();
    }
}

/// What a later notification does not repeat (§4.1.6.1–4.1.6.3).
fn inherit(mut new: Dialog, old: Option<Dialog>) -> Dialog {
    let Some(old) = old else { return new };
    new.call_id = new.call_id.or(old.call_id);
    new.local_tag = new.local_tag.or(old.local_tag);
    new.remote_tag = new.remote_tag.or(old.remote_tag);
    new.direction = new.direction.or(old.direction);
    for (new, old) in [(&mut new.local, old.local), (&mut new.remote, old.remote)] {
        if new.identities.is_empty() {
            new.identities = old.identities;
        }
        new.target = new.target.take().or(old.target);
        new.session = new.session.take().or(old.session);
    }
    new
}

fn dialog(node: Node<'_, '_>) -> Result<Dialog, BodyError> {
    let state = xml::child(node, NAMESPACE, "state").ok_or(BodyError::Missing("state"))?;
    let code = xml::attribute(state, "code").map(|code| xml::number(&code, "code")).transpose()?;
    let duration = xml::child_text(node, NAMESPACE, "duration")
        .map(|text| xml::number(&text, "duration"))
        .transpose()?;
    let direction = match xml::attribute(node, "direction").as_deref() {
        None => None,
        Some("initiator") => Some(Direction::Initiator),
        Some("recipient") => Some(Direction::Recipient),
        Some(_) => return Err(BodyError::Invalid("direction")),
    };
    let replaces = xml::child(node, NAMESPACE, "replaces").map(|node| {
        let value = |name| xml::attribute(node, name).unwrap_or_default();
        DialogId {
            call_id: value("call-id"),
            local_tag: value("local-tag"),
            remote_tag: value("remote-tag"),
        }
    });
    let route_set = xml::child(node, NAMESPACE, "route-set")
        .map(|set| xml::children(set, NAMESPACE, "hop").map(xml::text).collect())
        .unwrap_or_default();
    let participant = |name| {
        xml::child(node, NAMESPACE, name)
            .map(participant)
            .transpose()
            .map(Option::unwrap_or_default)
    };
    Ok(Dialog {
        id: xml::required(node, "id")?,
        call_id: xml::attribute(node, "call-id"),
        local_tag: xml::attribute(node, "local-tag"),
        remote_tag: xml::attribute(node, "remote-tag"),
        direction,
        state: State::parse(&xml::text(state))?,
        event: xml::attribute(state, "event"),
        code,
        duration,
        replaces,
        referred_by: xml::child(node, NAMESPACE, "referred-by").map(identity),
        route_set,
        local: participant("local")?,
        remote: participant("remote")?,
    })
}

fn participant(node: Node<'_, '_>) -> Result<Participant, BodyError> {
    let target = xml::child(node, NAMESPACE, "target").map(|target| Target {
        uri: xml::attribute(target, "uri").unwrap_or_default(),
        params: xml::children(target, NAMESPACE, "param")
            .filter_map(|param| {
                let value = xml::attribute(param, "pval").unwrap_or_default();
                Some((xml::attribute(param, "pname")?, value))
            })
            .collect(),
    });
    let session = xml::child(node, NAMESPACE, "session-description")
        .map(|node| (xml::attribute(node, "type").unwrap_or_default(), xml::text(node)));
    let cseq = xml::child_text(node, NAMESPACE, "cseq")
        .map(|text| xml::number(&text, "cseq"))
        .transpose()?;
    let identities = xml::children(node, NAMESPACE, "identity").map(identity).collect();
    Ok(Participant { identities, target, session, cseq })
}

/// The RFC's text calls the attribute `display`, its schema `display-name`: both are seen.
fn identity(node: Node<'_, '_>) -> Identity {
    let display = xml::attribute(node, "display").or_else(|| xml::attribute(node, "display-name"));
    Identity { uri: xml::text(node), display }
}

fn print(out: &mut Printer, dialog: &Dialog) {
    let direction = match dialog.direction {
        Some(Direction::Initiator) => "initiator",
        Some(Direction::Recipient) => "recipient",
        None => "",
    };
    let attributes = [
        ("id", dialog.id.as_str()),
        ("call-id", or_empty(&dialog.call_id)),
        ("local-tag", or_empty(&dialog.local_tag)),
        ("remote-tag", or_empty(&dialog.remote_tag)),
        ("direction", direction),
    ];
    out.open("dialog", &attributes);
    let code = dialog.code.map(|code| code.to_string()).unwrap_or_default();
    let attributes = [("event", or_empty(&dialog.event)), ("code", code.as_str())];
    out.leaf("state", &attributes, dialog.state.as_str());
    if let Some(duration) = dialog.duration {
        out.leaf("duration", &[], &duration.to_string());
    }
    if let Some(id) = &dialog.replaces {
        let attributes = [
            ("call-id", id.call_id.as_str()),
            ("local-tag", &id.local_tag),
            ("remote-tag", &id.remote_tag),
        ];
        out.empty("replaces", &attributes);
    }
    if let Some(by) = &dialog.referred_by {
        print_identity(out, "referred-by", by);
    }
    if !dialog.route_set.is_empty() {
        out.open("route-set", &[]);
        for hop in &dialog.route_set {
            out.leaf("hop", &[], hop);
        }
        out.close("route-set");
    }
    for (name, side) in [("local", &dialog.local), ("remote", &dialog.remote)] {
        if *side != Participant::default() {
            print_side(out, name, side);
        }
    }
    out.close("dialog");
}

fn print_identity(out: &mut Printer, name: &str, identity: &Identity) {
    out.leaf(name, &[("display", or_empty(&identity.display))], &identity.uri);
}

fn print_side(out: &mut Printer, name: &str, side: &Participant) {
    out.open(name, &[]);
    for its in &side.identities {
        print_identity(out, "identity", its);
    }
    if let Some(target) = &side.target {
        out.open("target", &[("uri", &target.uri)]);
        for (name, value) in &target.params {
            out.empty("param", &[("pname", name), ("pval", value)]);
        }
        out.close("target");
    }
    if let Some((kind, text)) = &side.session {
        out.leaf("session-description", &[("type", kind)], text);
    }
    if let Some(cseq) = side.cseq {
        out.leaf("cseq", &[], &cseq.to_string());
    }
    out.close(name);
}
