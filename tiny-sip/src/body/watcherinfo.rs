//! Who watches a resource (RFC 3857, RFC 3858, `application/watcherinfo+xml`). [`Watchers`] keeps
//! the table that partial notifications build up (RFC 3858 §4). It decides on no subscription.

use super::xml::{self, Printer, or_empty};
use super::{BodyError, Extent, Limits, Merged, follows};
use roxmltree::Node;

/// The media type.
pub const CONTENT_TYPE: &str = "application/watcherinfo+xml";
/// The namespace.
pub const NAMESPACE: &str = "urn:ietf:params:xml:ns:watcherinfo";

/// The state of a watcher's subscription (RFC 3857 §4.7.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Status {
    /// It waits for a decision.
    Pending,
    /// It is authorized.
    Active,
    /// It ended before a decision was made.
    Waiting,
    /// It is over.
    Terminated,
}

impl Status {
    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Active => "active",
            Self::Waiting => "waiting",
            Self::Terminated => "terminated",
        }
    }

    fn parse(text: &str) -> Result<Self, BodyError> {
        [Self::Pending, Self::Active, Self::Waiting, Self::Terminated]
            .into_iter()
            .find(|status| status.as_str() == text)
            .ok_or(BodyError::Invalid("status"))
    }
}

/// One subscription.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Watcher {
    /// Names the subscription.
    pub id: String,
    /// Who watches.
    pub uri: String,
    /// The state.
    pub status: Status,
    /// What led there: `subscribe`, `approved`, `deactivated`, `probation`, `rejected`, `timeout`,
    /// `giveup`, `noresource`.
    pub event: String,
    /// The watcher's name.
    pub display_name: Option<String>,
    /// Seconds until it ends.
    pub expiration: Option<u64>,
    /// Seconds since it began.
    pub duration: Option<u64>,
}

/// The watchers of one resource.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct WatcherList {
    /// What is watched.
    pub resource: String,
    /// By which event package.
    pub package: String,
    /// By whom.
    pub watchers: Vec<Watcher>,
}

/// A notification.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct WatcherInfo {
    /// Grows by one with each notification of a subscription.
    pub version: u32,
    /// Whether it tells everything.
    pub extent: Extent,
    /// The lists.
    pub lists: Vec<WatcherList>,
}

impl WatcherInfo {
    /// Reads a notification. [`Limits::max_rows`] bounds the watchers of all lists together.
    ///
    /// # Errors
    /// [`BodyError`]: beyond the limits, not XML, or without what the schema demands.
    pub fn parse(body: &[u8], limits: &Limits) -> Result<Self, BodyError> {
        let document = xml::read(body, (NAMESPACE, "watcherinfo"), limits)?;
        let root = document.root_element();
        let lists = xml::children(root, NAMESPACE, "watcher-list").map(|node| {
            let watchers = xml::children(node, NAMESPACE, "watcher").map(watcher);
            Ok(WatcherList {
                resource: xml::required(node, "resource")?,
                package: xml::required(node, "package")?,
                watchers: xml::rows(watchers, limits)?,
            })
        });
        let lists = xml::rows(lists, limits)?;
        if lists.iter().map(|list| list.watchers.len()).sum::<usize>() > limits.max_rows {
            return Err(BodyError::Limit("max_rows"));
        }
        Ok(Self {
            version: xml::number(&xml::required(root, "version")?, "version")?,
            extent: Extent::parse(&xml::required(root, "state")?)?,
            lists,
        })
    }

    /// The document as it goes out.
    pub fn to_body(&self) -> String {
        let mut out = Printer::new();
        let version = self.version.to_string();
        let attributes =
            [("xmlns", NAMESPACE), ("version", &version), ("state", self.extent.as_str())];
        out.open("watcherinfo", &attributes);
        for list in &self.lists {
            out.open("watcher-list", &[("resource", &list.resource), ("package", &list.package)]);
            for watcher in &list.watchers {
                let seconds = |n: Option<u64>| n.map(|n| n.to_string()).unwrap_or_default();
                let attributes = [
                    ("id", watcher.id.as_str()),
                    ("status", watcher.status.as_str()),
                    ("event", &watcher.event),
                    ("display-name", or_empty(&watcher.display_name)),
                    ("expiration", &seconds(watcher.expiration)),
                    ("duration-subscribed", &seconds(watcher.duration)),
                ];
                out.leaf("watcher", &attributes, &watcher.uri);
            }
            out.close("watcher-list");
        }
        out.close("watcherinfo");
        out.finish()
    }
}

/// The watchers that a subscription knows of.
#[derive(Debug, Clone, Default)]
pub struct Watchers {
    version: Option<u32>,
    lists: Vec<WatcherList>,
}

impl Watchers {
    /// Merges a notification. Terminated watchers leave the table.
    ///
    /// # Errors
    /// More watchers than [`Limits::max_rows`]; the table is as it was.
    pub fn merge(&mut self, info: &WatcherInfo, limits: &Limits) -> Result<Merged, BodyError> {
        let merged = follows(self.version, info.version, info.extent);
        if merged == Merged::Stale {
            return Ok(merged);
        }
        let mut lists = if info.extent == Extent::Full { Vec::new() } else { self.lists.clone() };
        for new in &info.lists {
            let same = |l: &WatcherList| l.resource == new.resource && l.package == new.package;
            let at = lists.iter().position(same).unwrap_or_else(|| {
                let (resource, package) = (new.resource.clone(), new.package.clone());
                lists.push(WatcherList { resource, package, watchers: Vec::new() });
                lists.len() - 1
            });
            let rows = &mut lists[at].watchers;
            for watcher in &new.watchers {
                rows.retain(|row| row.id != watcher.id);
                if watcher.status != Status::Terminated {
                    rows.push(watcher.clone());
                }
            }
        }
        let rows = lists.iter().map(|list| list.watchers.len()).sum::<usize>();
        if lists.len().max(rows) > limits.max_rows {
            return Err(BodyError::Limit("max_rows"));
        }
        (self.version, self.lists) = (Some(info.version), lists);
        Ok(merged)
    }

    /// The lists.
    pub fn lists(&self) -> &[WatcherList] {
        &self.lists
    }

    /// Forgets everything: for a new subscription, whose versions begin anew.
    pub fn clear(&mut self) {
        *self = Self::default();
    }
}

fn watcher(node: Node<'_, '_>) -> Result<Watcher, BodyError> {
    let seconds = |name: &'static str| {
        xml::attribute(node, name).map(|text| xml::number(&text, name)).transpose()
    };
    Ok(Watcher {
        id: xml::required(node, "id")?,
        uri: xml::text(node),
        status: Status::parse(&xml::required(node, "status")?)?,
        event: xml::required(node, "event")?,
        display_name: xml::attribute(node, "display-name"),
        expiration: seconds("expiration")?,
        duration: seconds("duration-subscribed")?,
    })
}
