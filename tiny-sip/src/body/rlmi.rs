//! Notifications about lists of resources (RFC 4662): the list's own state (`application/rlmi+xml`)
//! and the multipart/related body that holds it together with the state of each resource.
//! A resource that is a list again has a part that is cut by a further call: depth is the caller's.

use super::pidf::Note;
use super::xml::{self, Printer, or_empty};
use super::{BodyError, Extent, Limits, Merged, follows};
use crate::header::MediaType;
use crate::multipart;
use bytes::Bytes;
use roxmltree::Node;

/// The media type of the root part.
pub const CONTENT_TYPE: &str = "application/rlmi+xml";
/// The namespace.
pub const NAMESPACE: &str = "urn:ietf:params:xml:ns:rlmi";

/// The state of the virtual subscription to a resource (§5.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// Its state is known.
    Active,
    /// It waits for a decision.
    Pending,
    /// There is none any more.
    Terminated,
}

impl State {
    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Pending => "pending",
            Self::Terminated => "terminated",
        }
    }
}

/// One instance of a resource: several come from forking.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instance {
    /// Names it for the time of the subscription.
    pub id: String,
    /// The state.
    pub state: State,
    /// Why it was terminated.
    pub reason: Option<String>,
    /// The Content-ID of the part with its state, without `<` and `>`.
    pub cid: Option<String>,
}

/// A resource.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Resource {
    /// Its URI.
    pub uri: String,
    /// Its names.
    pub names: Vec<Note>,
    /// Its instances.
    pub instances: Vec<Instance>,
}

/// The state of a list.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ResourceList {
    /// The list's URI.
    pub uri: String,
    /// Grows by one with each notification of a subscription.
    pub version: u32,
    /// Whether every resource is in it.
    pub extent: Extent,
    /// The Content-ID of a part on the list as a whole.
    pub cid: Option<String>,
    /// Its names.
    pub names: Vec<Note>,
    /// The resources.
    pub resources: Vec<Resource>,
}

impl ResourceList {
    /// Reads the root part.
    ///
    /// # Errors
    /// [`BodyError`]: beyond the limits, not XML, or without what the schema demands.
    pub fn parse(body: &[u8], limits: &Limits) -> Result<Self, BodyError> {
        let document = xml::read(body, (NAMESPACE, "list"), limits)?;
        let root = document.root_element();
        let full = xml::boolean(&xml::required(root, "fullState")?, "fullState")?;
        let resources = xml::children(root, NAMESPACE, "resource").map(|node| {
            let instances = xml::children(node, NAMESPACE, "instance").map(instance);
            Ok(Resource {
                uri: xml::required(node, "uri")?,
                names: names(node),
                instances: xml::rows(instances, limits)?,
            })
        });
        Ok(Self {
            uri: xml::required(root, "uri")?,
            version: xml::number(&xml::required(root, "version")?, "version")?,
            extent: if full { Extent::Full } else { Extent::Partial },
            cid: xml::attribute(root, "cid"),
            names: names(root),
            resources: xml::rows(resources, limits)?,
        })
    }

    /// The root part as it goes out.
    pub fn to_body(&self) -> String {
        let mut out = Printer::new();
        let version = self.version.to_string();
        let attributes = [
            ("xmlns", NAMESPACE),
            ("uri", &self.uri),
            ("version", &version),
            ("fullState", if self.extent == Extent::Full { "true" } else { "false" }),
            ("cid", or_empty(&self.cid)),
        ];
        out.open("list", &attributes);
        self.names.iter().for_each(|name| name.print(&mut out, "name"));
        for resource in &self.resources {
            out.open("resource", &[("uri", &resource.uri)]);
            resource.names.iter().for_each(|name| name.print(&mut out, "name"));
            for its in &resource.instances {
                let attributes = [
                    ("id", its.id.as_str()),
                    ("state", its.state.as_str()),
                    ("reason", or_empty(&its.reason)),
                    ("cid", or_empty(&its.cid)),
                ];
                out.empty("instance", &attributes);
            }
            out.close("resource");
        }
        out.close("list");
        out.finish()
    }
}

fn names(node: Node<'_, '_>) -> Vec<Note> {
    xml::children(node, NAMESPACE, "name").map(Note::read).collect()
}

fn instance(node: Node<'_, '_>) -> Result<Instance, BodyError> {
    Ok(Instance {
        id: xml::required(node, "id")?,
        state: match xml::required(node, "state")?.as_str() {
            "active" => State::Active,
            "pending" => State::Pending,
            "terminated" => State::Terminated,
            _ => return Err(BodyError::Invalid("state")),
        },
        reason: xml::attribute(node, "reason"),
        cid: xml::attribute(node, "cid"),
    })
}

/// A part of the body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Its Content-ID without `<` and `>`.
    pub id: String,
    /// Its Content-Type.
    pub content_type: String,
    /// Its content, sharing the message's buffer.
    pub body: Bytes,
}

/// A whole notification: the list and the parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Aggregate {
    /// The root part.
    pub list: ResourceList,
    /// The others, those without a Content-ID left out.
    pub parts: Vec<Part>,
}

impl Aggregate {
    /// Cuts a `multipart/related` body by its Content-Type (RFC 2387). The root is the part that
    /// `start` names, else the first.
    ///
    /// # Errors
    /// [`BodyError`]: no multipart/related, too many parts, or a root that is no list. Encodings
    /// other than 7bit, 8bit and binary are refused.
    pub fn parse(content_type: &str, body: &Bytes, limits: &Limits) -> Result<Self, BodyError> {
        const BAD: BodyError = BodyError::Invalid("multipart/related");
        let kind = MediaType::parse(content_type).map_err(|_| BAD)?;
        if !kind.is("multipart", "related") {
            return Err(BAD);
        }
        if body.len() > limits.max_bytes {
            return Err(BodyError::Limit("max_bytes"));
        }
        let bounds = crate::Limits { max_parts: limits.max_parts, ..crate::Limits::default() };
        let cut = multipart::parse(&kind, body, &bounds).map_err(|flaw| match flaw {
            crate::Flaw::TooMany => BodyError::Limit("max_parts"),
            _ => BAD,
        })?;
        for part in &cut {
            let encoding = part.header("Content-Transfer-Encoding").unwrap_or("binary");
            if !["7bit", "8bit", "binary"].iter().any(|ok| ok.eq_ignore_ascii_case(encoding)) {
                return Err(BodyError::Invalid("Content-Transfer-Encoding"));
            }
        }
        let start = kind.param("start").map(bare);
        let is_root = |part: &multipart::Part| part.header("Content-ID").map(bare) == start;
        let root = start.and_then(|_| cut.iter().position(is_root)).unwrap_or(0);
        let first = cut.get(root).ok_or(BAD)?;
        let list = ResourceList::parse(&first.body, limits)?;
        let others = cut.iter().enumerate().filter(|(at, _)| *at != root);
        let parts = others.filter_map(|(_, part)| {
            Some(Part {
                id: bare(part.header("Content-ID")?).to_owned(),
                content_type: part.header("Content-Type").unwrap_or("text/plain").to_owned(),
                body: part.body.clone(),
            })
        });
        Ok(Self { list, parts: parts.collect() })
    }

    /// The part of an instance.
    pub fn part(&self, instance: &Instance) -> Option<&Part> {
        let cid = bare(instance.cid.as_deref()?);
        self.parts.iter().find(|part| part.id == cid)
    }

    /// Content-Type and body as they go out; `boundary` must not occur in any part.
    pub fn to_body(&self, boundary: &str) -> (String, Bytes) {
        let root = "<root@list>";
        let mut out = multipart::Builder::new("related", boundary).part(
            CONTENT_TYPE,
            &[("Content-Transfer-Encoding", "binary"), ("Content-ID", root)],
            self.list.to_body().as_bytes(),
        );
        for part in &self.parts {
            let id = format!("<{}>", part.id);
            let headers = [("Content-Transfer-Encoding", "binary"), ("Content-ID", id.as_str())];
            out = out.part(&part.content_type, &headers, &part.body);
        }
        let (kind, body) = out.finish();
        (format!("{kind};type=\"{CONTENT_TYPE}\";start=\"{root}\""), body)
    }
}

fn bare(id: &str) -> &str {
    id.trim().trim_start_matches('<').trim_end_matches('>')
}

/// The resources that a subscription knows of (§5.6).
#[derive(Debug, Clone, Default)]
pub struct Resources {
    version: Option<u32>,
    rows: Vec<Resource>,
}

impl Resources {
    /// Merges the root part of a notification.
    ///
    /// # Errors
    /// More resources than [`Limits::max_rows`]; the table is as it was.
    pub fn merge(&mut self, list: &ResourceList, limits: &Limits) -> Result<Merged, BodyError> {
        let merged = follows(self.version, list.version, list.extent);
        if merged == Merged::Stale {
            return Ok(merged);
        }
        let mut rows = if list.extent == Extent::Full { Vec::new() } else { self.rows.clone() };
        for new in &list.resources {
            match rows.iter().position(|row: &Resource| row.uri == new.uri) {
                Some(at) => rows[at] = new.clone(),
                None if rows.len() >= limits.max_rows => {
                    return Err(BodyError::Limit("max_rows"));
                }
                None => rows.push(new.clone()),
            }
        }
        (self.version, self.rows) = (Some(list.version), rows);
        Ok(merged)
    }

    /// The resources.
    pub fn iter(&self) -> impl Iterator<Item = &Resource> {
        self.rows.iter()
    }

    /// Forgets everything: for a new subscription, whose versions begin anew.
    pub fn clear(&mut self) {
        *self = Self::default();
    }
}
