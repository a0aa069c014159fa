//! Lists of resources as they are stored and sent (RFC 4826 §3, `application/resource-lists+xml`):
//! buddy lists, and the recipients of a list service (RFC 5363). References to other documents are
//! kept as text and never followed.

use super::xml::{self, Printer, or_empty};
use super::{BodyError, Limits};
use roxmltree::Node;

/// The media type.
pub const CONTENT_TYPE: &str = "application/resource-lists+xml";
/// The namespace.
pub const NAMESPACE: &str = "urn:ietf:params:xml:ns:resource-lists";

/// A list.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct List {
    /// Its name, unique among its siblings.
    pub name: Option<String>,
    /// Its name for people.
    pub display_name: Option<String>,
    /// What is in it.
    pub items: Vec<Item>,
}

/// Something in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    /// A resource.
    Entry {
        /// Its URI.
        uri: String,
        /// Its name for people.
        display_name: Option<String>,
    },
    /// A reference to an entry of another document.
    EntryRef {
        /// A path below the XCAP root.
        reference: String,
        /// Its name for people.
        display_name: Option<String>,
    },
    /// A reference to a list elsewhere.
    External {
        /// An HTTP URI.
        anchor: Option<String>,
        /// Its name for people.
        display_name: Option<String>,
    },
    /// A list in the list.
    List(List),
}

/// A document.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ResourceLists {
    /// The lists.
    pub lists: Vec<List>,
}

impl ResourceLists {
    /// One list of URIs without names.
    pub fn of<'a>(uris: impl IntoIterator<Item = &'a str>) -> Self {
        let entry = |uri: &str| Item::Entry { uri: uri.to_owned(), display_name: None };
        let items = uris.into_iter().map(entry).collect();
        Self { lists: vec![List { items, ..List::default() }] }
    }

    /// Reads a document. [`Limits::max_rows`] bounds each list.
    ///
    /// # Errors
    /// [`BodyError`]: beyond the limits, not XML, or without what the schema demands.
    pub fn parse(body: &[u8], limits: &Limits) -> Result<Self, BodyError> {
        let document = xml::read(body, (NAMESPACE, "resource-lists"), limits)?;
        let lists = xml::children(document.root_element(), NAMESPACE, "list");
        Ok(Self { lists: xml::rows(lists.map(|node| list(node, limits)), limits)? })
    }

    /// The URIs of every entry, in order, those of inner lists too.
    pub fn uris(&self) -> Vec<&str> {
        fn collect<'a>(list: &'a List, uris: &mut Vec<&'a str>) {
            for item in &list.items {
                match item {
                    Item::Entry { uri, .. } => uris.push(uri),
                    Item::List(inner) => collect(inner, uris),
                    Item::EntryRef { .. } | Item::External { .. } => {}
                }
            }
        }
        let mut uris = Vec::new();
        self.lists.iter().for_each(|list| collect(list, &mut uris));
        uris
    }

    /// The document as it goes out.
    pub fn to_body(&self) -> String {
        let mut out = Printer::new();
        out.open("resource-lists", &[("xmlns", NAMESPACE)]);
        self.lists.iter().for_each(|list| print(&mut out, list));
        out.close("resource-lists");
        out.finish()
    }
}

// As deep as the document, which the reader has bounded.
fn list(node: Node<'_, '_>, limits: &Limits) -> Result<List, BodyError> {
    let items = node.children().filter_map(|child| {
        let display_name = xml::child_text(child, NAMESPACE, "display-name");
        if xml::is(child, NAMESPACE, "entry") {
            Some(xml::required(child, "uri").map(|uri| Item::Entry { uri, display_name }))
        } else if xml::is(child, NAMESPACE, "entry-ref") {
            let reference = xml::required(child, "ref");
            Some(reference.map(|reference| Item::EntryRef { reference, display_name }))
        } else if xml::is(child, NAMESPACE, "external") {
            Some(Ok(Item::External { anchor: xml::attribute(child, "anchor"), display_name }))
        } else if xml::is(child, NAMESPACE, "list") {
            Some(list(child, limits).map(Item::List))
        } else {
            None
        }
    });
    Ok(List {
        name: xml::attribute(node, "name"),
        display_name: xml::child_text(node, NAMESPACE, "display-name"),
        items: xml::rows(items, limits)?,
    })
}

fn print(out: &mut Printer, list: &List) {
    out.open("list", &[("name", or_empty(&list.name))]);
    out.optional("display-name", list.display_name.as_deref());
    for item in &list.items {
        let (name, attribute, display_name) = match item {
            Item::Entry { uri, display_name } => ("entry", ("uri", uri.as_str()), display_name),
            Item::EntryRef { reference, display_name } => {
                ("entry-ref", ("ref", reference.as_str()), display_name)
            }
            Item::External { anchor, display_name } => {
                ("external", ("anchor", or_empty(anchor)), display_name)
            }
            Item::List(inner) => {
                print(out, inner);
                continue;
            }
        };
        out.open(name, &[attribute]);
        out.optional("display-name", display_name.as_deref());
        out.close(name);
    }
    out.close("list");
}
