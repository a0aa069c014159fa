//! Rich presence (RFC 4480): what a person, device or service does, as part of a presence document.
//! Words of the RFC's lists stay words: new ones come with every registry update.

use super::xml::{self, Printer, or_empty};
use super::{BodyError, pidf::Note};
use roxmltree::Node;

/// The namespace.
pub const NAMESPACE: &str = "urn:ietf:params:xml:ns:pidf:rpid";
const LOCATION: &str = "urn:ietf:params:xml:ns:location-type";

/// A word of a list: `away`, `in-transit`, `happy`; with text when it is `other`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Word {
    /// The element's name.
    pub name: String,
    /// Its text, usually empty.
    pub text: String,
}

impl Word {
    /// A word of the lists; what cannot be one goes out as `other` with the word as its text.
    pub fn new(name: &str) -> Self {
        Self { name: name.to_owned(), text: String::new() }
    }
}

/// Words that hold for a time (§3.2 activities, §3.3 mood, §3.5 place-type).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Words {
    /// From when they hold (`xs:dateTime`).
    pub from: Option<String>,
    /// Until when.
    pub until: Option<String>,
    /// The words.
    pub words: Vec<Word>,
    /// Notes for people.
    pub notes: Vec<Note>,
}

impl Words {
    /// One word, without times and notes.
    pub fn of(word: &str) -> Self {
        Self { words: vec![Word::new(word)], ..Self::default() }
    }

    /// Whether the word is among them.
    pub fn has(&self, word: &str) -> bool {
        self.words.iter().any(|its| its.name == word)
    }
}

/// Whether a place is fit for a kind of communication (§3.4), a word each: `noisy`, `ok`, `dark` …
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PlaceIs {
    /// For sound.
    pub audio: Option<String>,
    /// For pictures.
    pub video: Option<String>,
    /// For text.
    pub text: Option<String>,
}

/// When a device was last used (§3.13).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct UserInput {
    /// Whether it is idle.
    pub idle: bool,
    /// Seconds without input that make it idle.
    pub idle_threshold: Option<u32>,
    /// The last input (`xs:dateTime`).
    pub last_input: Option<String>,
}

/// The rich part of a person, device or tuple. Of elements that may come several times with
/// different times the first counts.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Rpid {
    /// What the person does.
    pub activities: Option<Words>,
    /// How the person feels.
    pub mood: Option<Words>,
    /// What the place allows.
    pub place_is: Option<PlaceIs>,
    /// The kind of place, words of RFC 4589.
    pub place_type: Option<Words>,
    /// What others can overhear: `audio`, `video`, `text`, `unknown`.
    pub privacy: Option<Words>,
    /// Who answers there: `self`, `assistant`, `family` …
    pub relationship: Option<Words>,
    /// How the message gets there: `electronic`, `postal`, `courier`, `freight`, `in-person`.
    pub service_class: Option<Words>,
    /// The state of life: `work`, `home`, or any text.
    pub sphere: Option<String>,
    /// A label for filters.
    pub class: Option<String>,
    /// The URI of a picture.
    pub status_icon: Option<String>,
    /// Minutes east of Greenwich.
    pub time_offset: Option<i32>,
    /// When it was last used.
    pub user_input: Option<UserInput>,
}

impl Rpid {
    pub(super) fn read(node: Node<'_, '_>) -> Result<Self, BodyError> {
        let words = |name| xml::child(node, NAMESPACE, name).map(read_words);
        let mut rpid = Self {
            activities: words("activities"),
            mood: words("mood"),
            place_type: words("place-type"),
            privacy: words("privacy"),
            relationship: words("relationship"),
            service_class: words("service-class"),
            class: xml::child_text(node, NAMESPACE, "class"),
            status_icon: xml::child_text(node, NAMESPACE, "status-icon"),
            ..Self::default()
        };
        if let Some(sphere) = xml::child(node, NAMESPACE, "sphere") {
            rpid.sphere = Some(first_word(sphere).unwrap_or_else(|| xml::text(sphere)));
        }
        if let Some(place) = xml::child(node, NAMESPACE, "place-is") {
            let word = |name| xml::child(place, NAMESPACE, name).and_then(first_word);
            rpid.place_is =
                Some(PlaceIs { audio: word("audio"), video: word("video"), text: word("text") });
        }
        if let Some(offset) = xml::child_text(node, NAMESPACE, "time-offset") {
            rpid.time_offset = Some(xml::number(&offset, "time-offset")?);
        }
        if let Some(input) = xml::child(node, NAMESPACE, "user-input") {
            let idle_threshold = xml::attribute(input, "idle-threshold")
                .map(|text| xml::number(&text, "idle-threshold"))
                .transpose()?;
            rpid.user_input = Some(UserInput {
                idle: match xml::text(input).as_str() {
                    "idle" => true,
                    "active" => false,
                    _ => return Err(BodyError::Invalid("user-input")),
                },
                idle_threshold,
                last_input: xml::attribute(input, "last-input"),
            });
        }
        Ok(rpid)
    }

    pub(super) fn print(&self, out: &mut Printer) {
        print_words(out, "activities", &self.activities, "rpid");
        out.optional("rpid:class", self.class.as_deref());
        print_words(out, "mood", &self.mood, "rpid");
        if let Some(place) = &self.place_is {
            out.open("rpid:place-is", &[]);
            for (name, word) in
                [("audio", &place.audio), ("video", &place.video), ("text", &place.text)]
            {
                if let Some(word) = word {
                    let name = format!("rpid:{name}");
                    out.open(&name, &[]);
                    print_word(out, &Word::new(word), "rpid");
                    out.close(&name);
                }
            }
            out.close("rpid:place-is");
        }
        print_words(out, "place-type", &self.place_type, "lt");
        print_words(out, "privacy", &self.privacy, "rpid");
        print_words(out, "relationship", &self.relationship, "rpid");
        print_words(out, "service-class", &self.service_class, "rpid");
        match self.sphere.as_deref() {
            Some(word @ ("home" | "work" | "unknown")) => {
                out.open("rpid:sphere", &[]);
                out.empty(&format!("rpid:{word}"), &[]);
                out.close("rpid:sphere");
            }
            sphere => out.optional("rpid:sphere", sphere),
        }
        out.optional("rpid:status-icon", self.status_icon.as_deref());
        if let Some(offset) = self.time_offset {
            out.leaf("rpid:time-offset", &[], &offset.to_string());
        }
        if let Some(input) = &self.user_input {
            let threshold = input.idle_threshold.map(|s| s.to_string()).unwrap_or_default();
            let attributes = [
                ("idle-threshold", threshold.as_str()),
                ("last-input", or_empty(&input.last_input)),
            ];
            out.leaf("rpid:user-input", &attributes, if input.idle { "idle" } else { "active" });
        }
    }
}

fn read_words(node: Node<'_, '_>) -> Words {
    let mut words = Words {
        from: xml::attribute(node, "from"),
        until: xml::attribute(node, "until"),
        ..Words::default()
    };
    for child in node.children().filter(|child| child.is_element()) {
        if xml::is(child, NAMESPACE, "note") {
            words.notes.push(Note::read(child));
        } else {
            words.words.push(read_word(child));
        }
    }
    words
}

fn read_word(node: Node<'_, '_>) -> Word {
    let name = node.tag_name().name();
    if xml::is_name(name) {
        return Word { name: name.to_owned(), text: xml::text(node) };
    }
    Word { name: "other".to_owned(), text: name.to_owned() }
}

fn first_word(node: Node<'_, '_>) -> Option<String> {
    node.children().find(|child| child.is_element()).map(|child| {
        let word = read_word(child);
        if word.name == "other" && !word.text.is_empty() { word.text } else { word.name }
    })
}

fn print_words(out: &mut Printer, name: &str, words: &Option<Words>, prefix: &str) {
    let Some(words) = words else { return };
    let name = format!("rpid:{name}");
    out.open(&name, &[("from", or_empty(&words.from)), ("until", or_empty(&words.until))]);
    for note in &words.notes {
        note.print(out, "rpid:note");
    }
    for word in &words.words {
        print_word(out, word, prefix);
    }
    out.close(&name);
}

fn print_word(out: &mut Printer, word: &Word, prefix: &str) {
    // A note would be read as one.
    if !xml::is_name(&word.name) || word.name == "note" {
        return out.leaf("rpid:other", &[], &word.name);
    }
    // `other` is of this format's namespace wherever it stands.
    let prefix = if word.name == "other" { "rpid" } else { prefix };
    let name = format!("{prefix}:{}", word.name);
    if word.text.is_empty() { out.empty(&name, &[]) } else { out.leaf(&name, &[], &word.text) }
}

/// The declarations that the printed elements need.
pub(super) const DECLARATIONS: [(&str, &str); 2] =
    [("xmlns:rpid", NAMESPACE), ("xmlns:lt", LOCATION)];
