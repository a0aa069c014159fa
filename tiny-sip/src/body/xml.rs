//! XML in and out: a reader with bounds in front of the parser, and a printer that escapes. There
//! is no document type, so that only the five predefined entities and character references expand;
//! nothing grows beyond the octets received.

use super::{BodyError, Limits, text as utf8};
use roxmltree::{Document, Node, ParsingOptions};
use std::fmt::Write as _;

/// Reads a document whose root is `name` of `ns`.
pub(super) fn read<'a>(
    body: &'a [u8],
    (ns, name): (&str, &'static str),
    limits: &Limits,
) -> Result<Document<'a>, BodyError> {
    let text = utf8(body, limits)?;
    let text = text.trim_start_matches(['\u{feff}', ' ', '\t', '\r', '\n']);
    survey(text, limits)?;
    let options = ParsingOptions {
        allow_dtd: false,
        nodes_limit: u32::try_from(limits.max_nodes).unwrap_or(u32::MAX),
        ..ParsingOptions::default()
    };
    let document = Document::parse_with_options(text, options).map_err(|error| match error {
        roxmltree::Error::NodesLimitReached => BodyError::Limit("max_nodes"),
        roxmltree::Error::DtdDetected => BodyError::DocumentType,
        _ => BodyError::NotWellFormed,
    })?;
    if is(document.root_element(), ns, name) { Ok(document) } else { Err(BodyError::Root(name)) }
}

/// Depth, attributes and document types, before anything is built. It need not understand what is
/// not well-formed: the parser refuses that. (The parser looks for repeated attributes by comparing
/// each with each, so that their number must be known first.)
fn survey(text: &str, limits: &Limits) -> Result<(), BodyError> {
    let bytes = text.as_bytes();
    let (mut at, mut depth) = (0, 0usize);
    let after = |from: usize, end: &str| {
        let rest = bytes.get(from..).unwrap_or_default();
        memchr::memmem::find(rest, end.as_bytes()).map(|n| from + n + end.len())
    };
    while let Some(n) = memchr::memchr(b'<', &bytes[at..]) {
        let tag = &bytes[at + n..];
        let start = at + n;
        let end = if tag.starts_with(b"<!--") {
            after(start + 4, "-->")
        } else if tag.starts_with(b"<![CDATA[") {
            after(start + 9, "]]>")
        } else if tag.starts_with(b"<!") {
            return Err(BodyError::DocumentType);
        } else if tag.starts_with(b"<?") {
            after(start + 2, "?>")
        } else if tag.starts_with(b"</") {
            depth = depth.saturating_sub(1);
            after(start + 2, ">")
        } else {
            let (len, attributes, empty) = measure(tag).ok_or(BodyError::NotWellFormed)?;
            if attributes > limits.max_attributes {
                return Err(BodyError::Limit("max_attributes"));
            }
            if depth >= limits.max_depth {
                return Err(BodyError::Limit("max_depth"));
            }
            depth += usize::from(!empty);
            Some(start + len)
        };
        at = end.ok_or(BodyError::NotWellFormed)?;
    }
    Ok(())
}

/// The length of a start tag, its attributes, and whether it is an empty element.
fn measure(tag: &[u8]) -> Option<(usize, usize, bool)> {
    let (mut at, mut attributes) = (1, 0);
    loop {
        match *tag.get(at)? {
            b'>' => return Some((at + 1, attributes, tag[at - 1] == b'/')),
            quote @ (b'"' | b'\'') => {
                at += 1 + memchr::memchr(quote, tag.get(at + 1..)?)?;
                attributes += 1;
            }
            _ => {}
        }
        at += 1;
    }
}

/// Whether a node is the element `name`, of `ns` or of no namespace.
pub(super) fn is(node: Node<'_, '_>, ns: &str, name: &str) -> bool {
    node.is_element()
        && node.tag_name().name() == name
        && node.tag_name().namespace().is_none_or(|its| its == ns)
}

/// The children of that name.
pub(super) fn children<'a, 'i>(
    node: Node<'a, 'i>,
    ns: &'static str,
    name: &'static str,
) -> impl Iterator<Item = Node<'a, 'i>> {
    node.children().filter(move |child| is(*child, ns, name))
}

/// The first child of that name.
pub(super) fn child<'a, 'i>(
    node: Node<'a, 'i>,
    ns: &'static str,
    name: &'static str,
) -> Option<Node<'a, 'i>> {
    children(node, ns, name).next()
}

/// The text of a node without the blanks around it. What XML cannot carry is dropped, so that what
/// was read can be printed.
pub(super) fn text(node: Node<'_, '_>) -> String {
    let pieces = node.children().filter(|n| n.is_text()).filter_map(|n| n.text());
    let mut all = String::new();
    for piece in pieces {
        all.extend(piece.chars().filter(|c| is_char(*c)));
    }
    let trimmed = all.trim_matches(BLANKS);
    if trimmed.len() == all.len() { all } else { trimmed.to_owned() }
}

const BLANKS: [char; 4] = [' ', '\t', '\r', '\n'];

/// The text of a child.
pub(super) fn child_text(
    node: Node<'_, '_>,
    ns: &'static str,
    name: &'static str,
) -> Option<String> {
    child(node, ns, name).map(text)
}

/// An attribute without a namespace; an empty one counts as none.
pub(super) fn attribute(node: Node<'_, '_>, name: &str) -> Option<String> {
    let value = node.attribute(name)?;
    let value: String = value.chars().filter(|c| is_char(*c)).collect();
    (!value.is_empty()).then_some(value)
}

/// An attribute that must be there.
pub(super) fn required(node: Node<'_, '_>, name: &'static str) -> Result<String, BodyError> {
    attribute(node, name).ok_or(BodyError::Missing(name))
}

/// `xml:lang`.
pub(super) fn lang(node: Node<'_, '_>) -> Option<String> {
    let value = node.attribute((roxmltree::NS_XML_URI, "lang"))?;
    let value: String = value.chars().filter(|c| is_char(*c)).collect();
    (!value.is_empty()).then_some(value)
}

/// A number; blanks around it are forgiven.
pub(super) fn number<T: std::str::FromStr>(text: &str, what: &'static str) -> Result<T, BodyError> {
    text.trim_matches(BLANKS).parse().map_err(|_| BodyError::Invalid(what))
}

/// Collects rows up to the limit.
pub(super) fn rows<T>(
    all: impl Iterator<Item = Result<T, BodyError>>,
    limits: &Limits,
) -> Result<Vec<T>, BodyError> {
    let mut rows = Vec::new();
    for row in all {
        if rows.len() >= limits.max_rows {
            return Err(BodyError::Limit("max_rows"));
        }
        rows.push(row?);
    }
    Ok(rows)
}

fn is_char(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..)
}

/// Whether the text can be the name of an element in any place that takes one from outside.
pub(super) fn is_name(text: &str) -> bool {
    let mut bytes = text.bytes();
    bytes.next().is_some_and(|b| b.is_ascii_alphabetic())
        && bytes.all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

/// A document in the making. Element names are the caller's and are not looked at.
#[derive(Debug)]
pub(super) struct Printer(String);

impl Printer {
    pub(super) fn new() -> Self {
        Self("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n".to_owned())
    }

    /// A start tag. Attributes with an empty value are left out.
    pub(super) fn open(&mut self, name: &str, attributes: &[(&str, &str)]) {
        self.start(name, attributes);
        self.0.push('>');
    }

    pub(super) fn close(&mut self, name: &str) {
        // Writing to a string does not fail; here and below.
        let _ = write!(self.0, "</{name}>");
    }

    pub(super) fn empty(&mut self, name: &str, attributes: &[(&str, &str)]) {
        self.start(name, attributes);
        self.0.push_str("/>");
    }

    /// An element of text.
    pub(super) fn leaf(&mut self, name: &str, attributes: &[(&str, &str)], text: &str) {
        self.open(name, attributes);
        self.escape(text);
        self.close(name);
    }

    /// An element of text, if there is one.
    pub(super) fn optional(&mut self, name: &str, text: Option<&str>) {
        if let Some(text) = text {
            self.leaf(name, &[], text);
        }
    }

    pub(super) fn finish(mut self) -> String {
        self.0.push('\n');
        self.0
    }

    fn start(&mut self, name: &str, attributes: &[(&str, &str)]) {
        self.0.push('<');
        self.0.push_str(name);
        for (name, value) in attributes.iter().filter(|(_, value)| !value.is_empty()) {
            let _ = write!(self.0, " {name}=\"");
            self.escape(value);
            self.0.push('"');
        }
    }

    fn escape(&mut self, text: &str) {
        for c in text.chars().filter(|c| is_char(*c)) {
            match c {
                '<' => self.0.push_str("&lt;"),
                '>' => self.0.push_str("&gt;"),
                '&' => self.0.push_str("&amp;"),
                '"' => self.0.push_str("&quot;"),
                '\t' | '\n' | '\r' => {
                    let _ = write!(self.0, "&#{};", c as u32);
                }
                c => self.0.push(c),
            }
        }
    }
}

/// The text of an optional attribute: `""` leaves it out.
pub(super) fn or_empty(text: &Option<String>) -> &str {
    text.as_deref().unwrap_or_default()
}

/// `xs:boolean`.
pub(super) fn boolean(text: &str, what: &'static str) -> Result<bool, BodyError> {
    match text.trim_matches(BLANKS) {
        "true" | "1" => Ok(true),
        "false" | "0" => Ok(false),
        _ => Err(BodyError::Invalid(what)),
    }
}
