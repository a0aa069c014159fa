//! Presence documents (RFC 3863, `application/pidf+xml`) with the data model's persons and devices
//! (RFC 4479). Times stay text (`xs:dateTime`): nothing here needs to compare them.

use super::rpid::{self, Rpid, Words};
use super::xml::{self, Printer, or_empty};
use super::{BodyError, Limits};
use roxmltree::Node;

/// The media type.
pub const CONTENT_TYPE: &str = "application/pidf+xml";
/// The namespace.
pub const NAMESPACE: &str = "urn:ietf:params:xml:ns:pidf";
const MODEL: &str = "urn:ietf:params:xml:ns:pidf:data-model";

/// Text for people.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Note {
    /// The text.
    pub text: String,
    /// Its language, a tag such as `en`.
    pub lang: Option<String>,
}

impl Note {
    /// A note in no particular language.
    pub fn new(text: &str) -> Self {
        Self { text: text.to_owned(), lang: None }
    }

    pub(super) fn read(node: Node<'_, '_>) -> Self {
        Self { text: xml::text(node), lang: xml::lang(node) }
    }

    pub(super) fn print(&self, out: &mut Printer, name: &str) {
        out.leaf(name, &[("xml:lang", or_empty(&self.lang))], &self.text);
    }
}

/// Whether a service takes communication (RFC 3863 §4.1.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Basic {
    /// It does.
    Open,
    /// It does not.
    Closed,
}

/// Where a service is reached.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Contact {
    /// A URI.
    pub uri: String,
    /// 0 to 1 as written: the higher, the better.
    pub priority: Option<String>,
}

/// A service (RFC 3863 §4.1.2).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tuple {
    /// Unique in the document.
    pub id: String,
    /// Whether it takes communication.
    pub basic: Option<Basic>,
    /// Where.
    pub contact: Option<Contact>,
    /// The device it runs on.
    pub device_id: Option<String>,
    /// The rich part.
    pub rpid: Rpid,
    /// Notes.
    pub notes: Vec<Note>,
    /// When that was true.
    pub timestamp: Option<String>,
}

/// A person (RFC 4479 §3.2).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Person {
    /// Unique in the document.
    pub id: String,
    /// The rich part.
    pub rpid: Rpid,
    /// Notes.
    pub notes: Vec<Note>,
    /// When that was true.
    pub timestamp: Option<String>,
}

/// A device (RFC 4479 §3.4).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Device {
    /// Unique in the document.
    pub id: String,
    /// A URN.
    pub device_id: Option<String>,
    /// The rich part.
    pub rpid: Rpid,
    /// Notes.
    pub notes: Vec<Note>,
    /// When that was true.
    pub timestamp: Option<String>,
}

/// A presence document.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Presence {
    /// Whose presence it is, a `pres:` or `sip:` URI.
    pub entity: String,
    /// Services.
    pub tuples: Vec<Tuple>,
    /// Persons; usually one.
    pub persons: Vec<Person>,
    /// Devices.
    pub devices: Vec<Device>,
    /// Notes on the whole.
    pub notes: Vec<Note>,
}

impl Presence {
    /// One service, open or closed, that is reached at the entity itself.
    ///
    /// ```
    /// use tiny_sip::body::{Limits, pidf::Presence, rpid::Words};
    /// let mut presence = Presence::new("sip:alice@example.com", true);
    /// presence.set_activity(Words::of("on-the-phone"), "In a call");
    /// let text = presence.to_body();
    /// let again = Presence::parse(text.as_bytes(), &Limits::default()).unwrap();
    /// assert!(again.is_open() && again.activities().unwrap().has("on-the-phone"));
    /// assert_eq!(again.note(), Some("In a call"));
    /// ```
    pub fn new(entity: &str, open: bool) -> Self {
        let tuple = Tuple {
            id: "t1".to_owned(),
            basic: Some(if open { Basic::Open } else { Basic::Closed }),
            contact: Some(Contact { uri: entity.to_owned(), priority: None }),
            ..Tuple::default()
        };
        Self { entity: entity.to_owned(), tuples: vec![tuple], ..Self::default() }
    }

    /// Says what the person does, with a note unless it is empty.
    pub fn set_activity(&mut self, activities: Words, note: &str) {
        let notes = if note.is_empty() { Vec::new() } else { vec![Note::new(note)] };
        let rpid = Rpid { activities: Some(activities), ..Rpid::default() };
        self.persons = vec![Person { id: "p1".to_owned(), rpid, notes, timestamp: None }];
    }

    /// Whether any service takes communication.
    pub fn is_open(&self) -> bool {
        self.tuples.iter().any(|tuple| tuple.basic == Some(Basic::Open))
    }

    /// What the person does, wherever the document says so.
    pub fn activities(&self) -> Option<&Words> {
        let persons = self.persons.iter().map(|person| &person.rpid);
        let tuples = self.tuples.iter().map(|tuple| &tuple.rpid);
        persons.chain(tuples).find_map(|rpid| rpid.activities.as_ref())
    }

    /// The first note: of the document, else of a person, else of a service.
    pub fn note(&self) -> Option<&str> {
        let persons = self.persons.iter().flat_map(|person| &person.notes);
        let tuples = self.tuples.iter().flat_map(|tuple| &tuple.notes);
        self.notes.iter().chain(persons).chain(tuples).next().map(|note| note.text.as_str())
    }

    /// Reads a document. Unknown elements are skipped; one that must be understood does not stop
    /// the rest from being used (RFC 3863 §4.2.3 lets the processor ignore its parent; it is kept).
    ///
    /// # Errors
    /// [`BodyError`]: beyond the limits, not XML, or without what the schema demands.
    pub fn parse(body: &[u8], limits: &Limits) -> Result<Self, BodyError> {
        let document = xml::read(body, (NAMESPACE, "presence"), limits)?;
        let root = document.root_element();
        let tuples = xml::children(root, NAMESPACE, "tuple").map(tuple);
        let persons = xml::children(root, MODEL, "person").map(|node| {
            Ok(Person {
                id: xml::attribute(node, "id").unwrap_or_default(),
                rpid: Rpid::read(node)?,
                notes: notes(node, MODEL),
                timestamp: xml::child_text(node, MODEL, "timestamp"),
            })
        });
        let devices = xml::children(root, MODEL, "device").map(|node| {
            Ok(Device {
                id: xml::attribute(node, "id").unwrap_or_default(),
                device_id: xml::child_text(node, MODEL, "deviceID"),
                rpid: Rpid::read(node)?,
                notes: notes(node, MODEL),
                timestamp: xml::child_text(node, MODEL, "timestamp"),
            })
        });
        Ok(Self {
            entity: xml::required(root, "entity")?,
            tuples: xml::rows(tuples, limits)?,
            persons: xml::rows(persons, limits)?,
            devices: xml::rows(devices, limits)?,
            notes: notes(root, NAMESPACE),
        })
    }

    /// The document as it goes out.
    pub fn to_body(&self) -> String {
        let mut out = Printer::new();
        let mut attributes = vec![("xmlns", NAMESPACE), ("xmlns:dm", MODEL)];
        attributes.extend(rpid::DECLARATIONS);
        attributes.push(("entity", &self.entity));
        out.open("presence", &attributes);
        for tuple in &self.tuples {
            print_tuple(&mut out, tuple);
        }
        for note in &self.notes {
            note.print(&mut out, "note");
        }
        for device in &self.devices {
            out.open("dm:device", &[("id", &device.id)]);
            device.rpid.print(&mut out);
            out.optional("dm:deviceID", device.device_id.as_deref());
            print_end(&mut out, "dm:", &device.notes, &device.timestamp);
            out.close("dm:device");
        }
        for person in &self.persons {
            out.open("dm:person", &[("id", &person.id)]);
            person.rpid.print(&mut out);
            print_end(&mut out, "dm:", &person.notes, &person.timestamp);
            out.close("dm:person");
        }
        out.close("presence");
        out.finish()
    }
}

fn notes(node: Node<'_, '_>, ns: &'static str) -> Vec<Note> {
    xml::children(node, ns, "note").map(Note::read).collect()
}

fn tuple(node: Node<'_, '_>) -> Result<Tuple, BodyError> {
    let status = xml::child(node, NAMESPACE, "status").ok_or(BodyError::Missing("status"))?;
    let basic = match xml::child_text(status, NAMESPACE, "basic").as_deref() {
        None => None,
        Some("open") => Some(Basic::Open),
        Some("closed") => Some(Basic::Closed),
        Some(_) => return Err(BodyError::Invalid("basic")),
    };
    let contact = xml::child(node, NAMESPACE, "contact").map(|contact| Contact {
        uri: xml::text(contact),
        priority: xml::attribute(contact, "priority"),
    });
    Ok(Tuple {
        id: xml::attribute(node, "id").unwrap_or_default(),
        basic,
        contact,
        device_id: xml::child_text(node, MODEL, "deviceID"),
        rpid: Rpid::read(node)?,
        notes: notes(node, NAMESPACE),
        timestamp: xml::child_text(node, NAMESPACE, "timestamp"),
    })
}

fn print_tuple(out: &mut Printer, tuple: &Tuple) {
    out.open("tuple", &[("id", &tuple.id)]);
    out.open("status", &[]);
    match tuple.basic {
        Some(Basic::Open) => out.leaf("basic", &[], "open"),
        Some(Basic::Closed) => out.leaf("basic", &[], "closed"),
        None => {}
    }
    out.close("status");
    tuple.rpid.print(out);
    out.optional("dm:deviceID", tuple.device_id.as_deref());
    if let Some(contact) = &tuple.contact {
        out.leaf("contact", &[("priority", or_empty(&contact.priority))], &contact.uri);
    }
    print_end(out, "", &tuple.notes, &tuple.timestamp);
    out.close("tuple");
}

fn print_end(out: &mut Printer, prefix: &str, notes: &[Note], timestamp: &Option<String>) {
    for note in notes {
        note.print(out, &format!("{prefix}note"));
    }
    out.optional(&format!("{prefix}timestamp"), timestamp.as_deref());
}
