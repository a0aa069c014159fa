//! The participants of a conference (RFC 4575, `application/conference-info+xml`). [`Conference`]
//! keeps the state that partial notifications build up (§4.6). Sidebars are skipped.

use super::xml::{self, Printer};
use super::{BodyError, Limits, Merged};
use roxmltree::Node;

/// The media type.
pub const CONTENT_TYPE: &str = "application/conference-info+xml";
/// The namespace.
pub const NAMESPACE: &str = "urn:ietf:params:xml:ns:conference-info";

/// What an element tells (§4.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Change {
    /// Everything about the thing.
    #[default]
    Full,
    /// What has changed.
    Partial,
    /// That it is gone.
    Deleted,
}

impl Change {
    fn as_str(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Partial => "partial",
            Self::Deleted => "deleted",
        }
    }

    fn read(node: Node<'_, '_>) -> Result<Self, BodyError> {
        match node.attribute("state") {
            None | Some("full") => Ok(Self::Full),
            Some("partial") => Ok(Self::Partial),
            Some("deleted") => Ok(Self::Deleted),
            Some(_) => Err(BodyError::Invalid("state")),
        }
    }
}

/// An address with what it is for (§5.3.1).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Place {
    /// The URI.
    pub uri: String,
    /// A name.
    pub display_text: Option<String>,
    /// `participation`, `streaming`, `web-page`, `recording`, …
    pub purpose: Option<String>,
}

/// What the conference is (§5.3).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Description {
    /// A name.
    pub display_text: Option<String>,
    /// The subject.
    pub subject: Option<String>,
    /// More text.
    pub free_text: Option<String>,
    /// Words.
    pub keywords: Option<String>,
    /// Where to join.
    pub conf_uris: Vec<Place>,
    /// Pages and recordings.
    pub service_uris: Vec<Place>,
    /// How many may join.
    pub maximum_user_count: Option<u32>,
}

/// How the conference is (§5.5).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ConferenceState {
    /// How many have joined.
    pub user_count: Option<u32>,
    /// Whether it is running.
    pub active: Option<bool>,
    /// Whether nobody can join.
    pub locked: Option<bool>,
}

/// A stream of an endpoint (§5.8).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Media {
    /// Names the stream.
    pub id: String,
    /// Full, partial or deleted.
    pub change: Change,
    /// A name.
    pub display_text: Option<String>,
    /// `audio`, `video`, …
    pub kind: Option<String>,
    /// The label of the media line (RFC 4574).
    pub label: Option<String>,
    /// The SSRC.
    pub src_id: Option<String>,
    /// `sendrecv`, `sendonly`, `recvonly`, `inactive`.
    pub status: Option<String>,
}

/// A device or session of a user (§5.7).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Endpoint {
    /// Names the endpoint, mostly its Contact.
    pub entity: String,
    /// Full, partial or deleted.
    pub change: Change,
    /// A name.
    pub display_text: Option<String>,
    /// `pending`, `dialing-out`, `dialing-in`, `alerting`, `on-hold`, `connected`,
    /// `muted-via-focus`, `disconnecting`, `disconnected`.
    pub status: Option<String>,
    /// `dialed-in`, `dialed-out`, `focus-owner`.
    pub joining_method: Option<String>,
    /// `departed`, `booted`, `failed`, `busy`.
    pub disconnection_method: Option<String>,
    /// Its streams.
    pub media: Vec<Media>,
}

/// A participant (§5.6).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct User {
    /// Names the user, a URI.
    pub entity: String,
    /// Full, partial or deleted.
    pub change: Change,
    /// A name.
    pub display_text: Option<String>,
    /// Roles.
    pub roles: Vec<String>,
    /// Language tags, separated by blanks.
    pub languages: Option<String>,
    /// Where they are.
    pub endpoints: Vec<Endpoint>,
}

/// A notification.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ConferenceInfo {
    /// The conference URI.
    pub entity: String,
    /// Full, partial, or the conference is over.
    pub change: Change,
    /// Grows by one with each notification of a subscription.
    pub version: u32,
    /// What it is.
    pub description: Option<Description>,
    /// Whether the description replaces the one known.
    pub description_change: Change,
    /// How it is.
    pub state: Option<ConferenceState>,
    /// Whether the state replaces the one known.
    pub state_change: Change,
    /// Who takes part.
    pub users: Vec<User>,
    /// Whether `users` are all of them. A document without `<users>` is as a partial one.
    pub users_change: Change,
}

impl ConferenceInfo {
    /// Reads a notification. [`Limits::max_rows`] bounds users, endpoints and streams, each by
    /// itself and within its parent.
    ///
    /// # Errors
    /// [`BodyError`]: beyond the limits, not XML, or without what the schema demands.
    pub fn parse(body: &[u8], limits: &Limits) -> Result<Self, BodyError> {
        let document = xml::read(body, (NAMESPACE, "conference-info"), limits)?;
        let root = document.root_element();
        let change = Change::read(root)?;
        // The schema lets a full document go without: it is then the first.
        let version = match xml::attribute(root, "version") {
            Some(version) => xml::number(&version, "version")?,
            None if change == Change::Full => 0,
            None => return Err(BodyError::Missing("version")),
        };
        let mut info = Self {
            entity: xml::required(root, "entity")?,
            change,
            version,
            users_change: Change::Partial,
            ..Self::default()
        };
        if let Some(node) = xml::child(root, NAMESPACE, "conference-description") {
            (info.description_change, info.description) =
                (Change::read(node)?, Some(description(node, limits)?));
        }
        if let Some(node) = xml::child(root, NAMESPACE, "conference-state") {
            (info.state_change, info.state) = (Change::read(node)?, Some(state(node)?));
        }
        if let Some(node) = xml::child(root, NAMESPACE, "users") {
            info.users_change = Change::read(node)?;
            let users = xml::children(node, NAMESPACE, "user").map(|node| user(node, limits));
            info.users = xml::rows(users, limits)?;
        }
        Ok(info)
    }

    /// The document as it goes out.
    pub fn to_body(&self) -> String {
        let mut out = Printer::new();
        let version = self.version.to_string();
        let attributes = [
            ("xmlns", NAMESPACE),
            ("entity", &self.entity),
            ("state", self.change.as_str()),
            ("version", &version),
        ];
        out.open("conference-info", &attributes);
        if let Some(its) = &self.description {
            out.open("conference-description", &[("state", self.description_change.as_str())]);
            out.optional("display-text", its.display_text.as_deref());
            out.optional("subject", its.subject.as_deref());
            out.optional("free-text", its.free_text.as_deref());
            out.optional("keywords", its.keywords.as_deref());
            print_places(&mut out, "conf-uris", &its.conf_uris);
            print_places(&mut out, "service-uris", &its.service_uris);
            let count = its.maximum_user_count.map(|n| n.to_string());
            out.optional("maximum-user-count", count.as_deref());
            out.close("conference-description");
        }
        if let Some(its) = &self.state {
            out.open("conference-state", &[("state", self.state_change.as_str())]);
            out.optional("user-count", its.user_count.map(|n| n.to_string()).as_deref());
            out.optional("active", its.active.map(|b| b.to_string()).as_deref());
            out.optional("locked", its.locked.map(|b| b.to_string()).as_deref());
            out.close("conference-state");
        }
        if !self.users.is_empty() || self.users_change != Change::Partial {
            out.open("users", &[("state", self.users_change.as_str())]);
            for user in &self.users {
                print_user(&mut out, user);
            }
            out.close("users");
        }
        out.close("conference-info");
        out.finish()
    }
}

/// The state of a conference as a subscription knows it.
#[derive(Debug, Clone, Default)]
pub struct Conference {
    version: Option<u32>,
    ended: bool,
    /// What it is.
    pub description: Description,
    /// How it is.
    pub state: ConferenceState,
    /// Who takes part.
    pub users: Vec<User>,
}

impl Conference {
    /// Merges a notification. After a [`Merged::Gap`] nothing has changed (§4.6).
    ///
    /// # Errors
    /// More users, endpoints or streams than [`Limits::max_rows`]; the state is as it was.
    pub fn merge(&mut self, info: &ConferenceInfo, limits: &Limits) -> Result<Merged, BodyError> {
        let full = info.change != Change::Partial;
        match self.version {
            Some(known) if info.version <= known => return Ok(Merged::Stale),
            Some(known) if !full && info.version - known > 1 => return Ok(Merged::Gap),
            None if !full => return Ok(Merged::Gap),
            _ => {}
        }
        let mut new = if full { Self::default() } else { self.clone() };
        new.version = Some(info.version);
        new.ended = info.change == Change::Deleted;
        if !new.ended {
            new.apply(info);
        }
        let endpoints = || new.users.iter().flat_map(|user| &user.endpoints);
        let streams = endpoints().map(|endpoint| endpoint.media.len()).sum::<usize>();
        if new.users.len().max(endpoints().count()).max(streams) > limits.max_rows {
            return Err(BodyError::Limit("max_rows"));
        }
        *self = new;
        Ok(Merged::Applied)
    }

    /// Whether the conference has ceased to exist: time to unsubscribe.
    pub fn has_ended(&self) -> bool {
        self.ended
    }

    /// Forgets everything: for a new subscription, whose versions begin anew.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    fn apply(&mut self, info: &ConferenceInfo) {
        match (info.description_change, &info.description) {
            (_, None) => {}
            (Change::Deleted, _) => self.description = Description::default(),
            (Change::Full, Some(new)) => self.description = new.clone(),
            (Change::Partial, Some(new)) => {
                let old = &mut self.description;
                update(&mut old.display_text, &new.display_text);
                update(&mut old.subject, &new.subject);
                update(&mut old.free_text, &new.free_text);
                update(&mut old.keywords, &new.keywords);
                update(&mut old.maximum_user_count, &new.maximum_user_count);
                for (old, new) in [
                    (&mut old.conf_uris, &new.conf_uris),
                    (&mut old.service_uris, &new.service_uris),
                ] {
                    if !new.is_empty() {
                        old.clone_from(new);
                    }
                }
            }
        }
        match (info.state_change, &info.state) {
            (_, None) => {}
            (Change::Deleted, _) => self.state = ConferenceState::default(),
            (Change::Full, Some(new)) => self.state = new.clone(),
            (Change::Partial, Some(new)) => {
                update(&mut self.state.user_count, &new.user_count);
                update(&mut self.state.active, &new.active);
                update(&mut self.state.locked, &new.locked);
            }
        }
        if info.users_change != Change::Partial {
            self.users.clear();
        }
        if info.users_change != Change::Deleted {
            merge_rows(&mut self.users, &info.users);
        }
    }
}

/// A row with a key, a way to be told, and a way to be changed.
trait Row: Clone {
    fn key(&self) -> &str;
    fn change(&self) -> Change;
    fn settle(&mut self);
    fn update(&mut self, new: &Self);
}

fn merge_rows<T: Row>(rows: &mut Vec<T>, changes: &[T]) {
    for new in changes {
        let at = rows.iter().position(|row| row.key() == new.key());
        match (new.change(), at) {
            (Change::Deleted, Some(at)) => {
                rows.remove(at);
            }
            (Change::Deleted, None) => {}
            (Change::Partial, Some(at)) => rows[at].update(new),
            (Change::Full, Some(at)) => {
                rows[at] = new.clone();
                rows[at].settle();
            }
            (_, None) => {
                let mut new = new.clone();
                new.settle();
                rows.push(new);
            }
        }
    }
}

fn settle<T: Row>(rows: &mut Vec<T>) {
    rows.retain(|row| row.change() != Change::Deleted);
    rows.iter_mut().for_each(T::settle);
}

fn update<T: Clone>(old: &mut Option<T>, new: &Option<T>) {
    if new.is_some() {
        old.clone_from(new);
    }
}

impl Row for User {
    fn key(&self) -> &str {
        &self.entity
    }
    fn change(&self) -> Change {
        self.change
    }
    fn settle(&mut self) {
        self.change = Change::Full;
        settle(&mut self.endpoints);
    }
    fn update(&mut self, new: &Self) {
        update(&mut self.display_text, &new.display_text);
        update(&mut self.languages, &new.languages);
        if !new.roles.is_empty() {
            self.roles.clone_from(&new.roles);
        }
        merge_rows(&mut self.endpoints, &new.endpoints);
    }
}

impl Row for Endpoint {
    fn key(&self) -> &str {
        &self.entity
    }
    fn change(&self) -> Change {
        self.change
    }
    fn settle(&mut self) {
        self.change = Change::Full;
        settle(&mut self.media);
    }
    fn update(&mut self, new: &Self) {
        update(&mut self.display_text, &new.display_text);
        update(&mut self.status, &new.status);
        update(&mut self.joining_method, &new.joining_method);
        update(&mut self.disconnection_method, &new.disconnection_method);
        merge_rows(&mut self.media, &new.media);
    }
}

impl Row for Media {
    fn key(&self) -> &str {
        &self.id
    }
    fn change(&self) -> Change {
        self.change
    }
    fn settle(&mut self) {
        self.change = Change::Full;
    }
    fn update(&mut self, new: &Self) {
        update(&mut self.display_text, &new.display_text);
        update(&mut self.kind, &new.kind);
        update(&mut self.label, &new.label);
        update(&mut self.src_id, &new.src_id);
        update(&mut self.status, &new.status);
    }
}

fn places(
    node: Node<'_, '_>,
    name: &'static str,
    limits: &Limits,
) -> Result<Vec<Place>, BodyError> {
    let Some(list) = xml::child(node, NAMESPACE, name) else { return Ok(Vec::new()) };
    let entries = xml::children(list, NAMESPACE, "entry").map(|entry| {
        Ok(Place {
            uri: xml::child_text(entry, NAMESPACE, "uri").ok_or(BodyError::Missing("uri"))?,
            display_text: xml::child_text(entry, NAMESPACE, "display-text"),
            purpose: xml::child_text(entry, NAMESPACE, "purpose"),
        })
    });
    xml::rows(entries, limits)
}

fn description(node: Node<'_, '_>, limits: &Limits) -> Result<Description, BodyError> {
    let text = |name| xml::child_text(node, NAMESPACE, name);
    Ok(Description {
        display_text: text("display-text"),
        subject: text("subject"),
        free_text: text("free-text"),
        keywords: text("keywords"),
        conf_uris: places(node, "conf-uris", limits)?,
        service_uris: places(node, "service-uris", limits)?,
        maximum_user_count: text("maximum-user-count")
            .map(|n| xml::number(&n, "maximum-user-count"))
            .transpose()?,
    })
}

fn state(node: Node<'_, '_>) -> Result<ConferenceState, BodyError> {
    let text = |name| xml::child_text(node, NAMESPACE, name);
    Ok(ConferenceState {
        user_count: text("user-count").map(|n| xml::number(&n, "user-count")).transpose()?,
        active: text("active").map(|b| xml::boolean(&b, "active")).transpose()?,
        locked: text("locked").map(|b| xml::boolean(&b, "locked")).transpose()?,
    })
}

fn user(node: Node<'_, '_>, limits: &Limits) -> Result<User, BodyError> {
    let roles = xml::child(node, NAMESPACE, "roles")
        .map(|roles| xml::children(roles, NAMESPACE, "entry").map(xml::text).collect())
        .unwrap_or_default();
    let endpoints = xml::children(node, NAMESPACE, "endpoint").map(|node| endpoint(node, limits));
    Ok(User {
        entity: xml::required(node, "entity")?,
        change: Change::read(node)?,
        display_text: xml::child_text(node, NAMESPACE, "display-text"),
        roles,
        languages: xml::child_text(node, NAMESPACE, "languages"),
        endpoints: xml::rows(endpoints, limits)?,
    })
}

fn endpoint(node: Node<'_, '_>, limits: &Limits) -> Result<Endpoint, BodyError> {
    let text = |name| xml::child_text(node, NAMESPACE, name);
    let media = xml::children(node, NAMESPACE, "media").map(|node| {
        let text = |name| xml::child_text(node, NAMESPACE, name);
        Ok(Media {
            id: xml::required(node, "id")?,
            change: Change::read(node)?,
            display_text: text("display-text"),
            kind: text("type"),
            label: text("label"),
            src_id: text("src-id"),
            status: text("status"),
        })
    });
    Ok(Endpoint {
        entity: xml::attribute(node, "entity").unwrap_or_default(),
        change: Change::read(node)?,
        display_text: text("display-text"),
        status: text("status"),
        joining_method: text("joining-method"),
        disconnection_method: text("disconnection-method"),
        media: xml::rows(media, limits)?,
    })
}

fn print_places(out: &mut Printer, name: &str, places: &[Place]) {
    if places.is_empty() {
        return;
    }
    out.open(name, &[]);
    for place in places {
        out.open("entry", &[]);
        out.leaf("uri", &[], &place.uri);
        out.optional("display-text", place.display_text.as_deref());
        out.optional("purpose", place.purpose.as_deref());
        out.close("entry");
    }
    out.close(name);
}

fn print_user(out: &mut Printer, user: &User) {
    out.open("user", &[("entity", &user.entity), ("state", user.change.as_str())]);
    out.optional("display-text", user.display_text.as_deref());
    if !user.roles.is_empty() {
        out.open("roles", &[]);
        user.roles.iter().for_each(|role| out.leaf("entry", &[], role));
        out.close("roles");
    }
    out.optional("languages", user.languages.as_deref());
    for endpoint in &user.endpoints {
        let attributes =
            [("entity", endpoint.entity.as_str()), ("state", endpoint.change.as_str())];
        out.open("endpoint", &attributes);
        out.optional("display-text", endpoint.display_text.as_deref());
        out.optional("status", endpoint.status.as_deref());
        out.optional("joining-method", endpoint.joining_method.as_deref());
        out.optional("disconnection-method", endpoint.disconnection_method.as_deref());
        for media in &endpoint.media {
            out.open("media", &[("id", media.id.as_str()), ("state", media.change.as_str())]);
            out.optional("display-text", media.display_text.as_deref());
            out.optional("type", media.kind.as_deref());
            out.optional("label", media.label.as_deref());
            out.optional("src-id", media.src_id.as_deref());
            out.optional("status", media.status.as_deref());
            out.close("media");
        }
        out.close("endpoint");
    }
    out.close("user");
}
