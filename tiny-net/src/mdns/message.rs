//! Questions and answers of multicast DNS as octets (RFC 1035 §4, RFC 6762 §18). No socket, no clock;
//! whatever arrives is read within bounds or refused by name.

use super::MdnsConfig;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use tiny_sak::Rng;

const HEADER: usize = 12;
const A: u16 = 1;
const AAAA: u16 = 28;
const ANY: u16 = 255;
const NSEC: u16 = 47;
const IN: u16 = 1;
/// The top bit of a class: "cache flush" of an answer, "unicast, please" of a question.
const TOP: u16 = 0x8000;
/// How long a plain asker may keep our answer, at most (RFC 6762 §6.7), and others (§10).
const TTL_PLAIN: u32 = 10;
const TTL: u32 = 120;

/// Why a name or a message is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MdnsError {
    /// Not one UUID and `.local`.
    #[error("only names of one UUID label under .local stand for hidden addresses")]
    Name,
    /// Cut off, or a name in it leads nowhere.
    #[error("a malformed DNS message")]
    Malformed,
    /// A question where an answer was due, or an answer where a question was.
    #[error("a DNS message of the other direction")]
    Direction,
    /// The answer says that it failed, or is no standard one.
    #[error("a DNS answer with code {0}")]
    Code(u8),
    /// More records than any answer to such a question has.
    #[error("a DNS message of {0} records (max_records, max_questions)")]
    TooMany(usize),
    /// No room for another name.
    #[error("{0} names are registered, which is the limit (max_names)")]
    Full(usize),
}

/// The name that hides an address: a random UUID under `.local`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HiddenName(String);

impl HiddenName {
    /// Reads a name as a candidate has it. Anything else than one UUID label is refused: it is no
    /// business of a peer to have other names looked up on our link.
    ///
    /// # Errors
    /// [`MdnsError::Name`].
    pub fn parse(name: &str) -> Result<Self, MdnsError> {
        let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
        let uuid = name.strip_suffix(".local").ok_or(MdnsError::Name)?;
        let groups = uuid.split('-').map(|group| {
            let hex = group.bytes().all(|b| b.is_ascii_hexdigit());
            hex.then_some(group.len())
        });
        match groups.eq([8, 4, 4, 4, 12].map(Some)) {
            true => Ok(Self(name)),
            false => Err(MdnsError::Name),
        }
    }

    /// A new one (RFC 4122 §4.4).
    pub fn random(rng: &mut Rng) -> Self {
        let mut b = [0u8; 16];
        rng.fill(&mut b);
        b[6] = b[6] & 0x0f | 0x40;
        b[8] = b[8] & 0x3f | 0x80;
        let hex: String = b.iter().map(|b| format!("{b:02x}")).collect();
        let (a, b, c, d, e) = (&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]);
        Self(format!("{a}-{b}-{c}-{d}-{e}.local"))
    }

    /// The text, in lower case.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn write(&self, out: &mut Vec<u8>) {
        for label in self.0.split('.') {
            // 36 octets and "local".
            out.push(label.len() as u8);
            out.extend_from_slice(label.as_bytes());
        }
        out.push(0);
    }
}

impl fmt::Display for HiddenName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for HiddenName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Which addresses are asked for. Each goes in a message of its own: some responders read one
/// question only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Question {
    /// IPv4.
    A,
    /// IPv6.
    Aaaa,
}

/// A question for the address behind a name.
pub fn query(id: u16, name: &HiddenName, question: Question) -> Vec<u8> {
    let mut out = Vec::with_capacity(64);
    header(&mut out, id, 0, 1, 0);
    name.write(&mut out);
    let kind = if question == Question::A { A } else { AAAA };
    out.extend(kind.to_be_bytes());
    out.extend(IN.to_be_bytes());
    out
}

/// What a message says of a name.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Answers {
    /// The number of the question; 0 where all are told.
    pub id: u16,
    /// At most [`MdnsConfig::max_addresses`], each one that media can be sent to.
    pub addresses: Vec<IpAddr>,
}

/// Reads the addresses of a name out of an answer. Records of other names, kinds and classes mean
/// nothing, and neither do addresses that nobody can send to: unspecified, multicast, broadcast, of a
/// link that is not named.
///
/// # Errors
/// [`MdnsError`] says why the message is no answer.
pub fn read_answer(
    data: &[u8],
    name: &HiddenName,
    config: &MdnsConfig,
) -> Result<Answers, MdnsError> {
    let (head, counts) = read_header(data, config)?;
    if !head.response {
        return Err(MdnsError::Direction);
    }
    if head.opcode != 0 || head.rcode != 0 {
        return Err(MdnsError::Code(head.rcode));
    }
    let mut reader = Reader { data, at: HEADER };
    for _ in 0..counts.questions {
        reader.name(None)?;
        reader.skip(4)?;
    }
    let mut answers = Answers { id: head.id, addresses: Vec::new() };
    for _ in 0..counts.records {
        let ours = reader.name(Some(name))?;
        let (kind, class) = (reader.u16()?, reader.u16()? & !TOP);
        let ttl = u32::from(reader.u16()?) << 16 | u32::from(reader.u16()?);
        let length = usize::from(reader.u16()?);
        let body = reader.take(length)?;
        // §10.1: a TTL of zero says goodbye.
        if !ours || class != IN || ttl == 0 {
            continue;
        }
        let address = match kind {
            A => <[u8; 4]>::try_from(body).ok().map(|b| IpAddr::V4(Ipv4Addr::from(b))),
            AAAA => <[u8; 16]>::try_from(body).ok().map(|b| IpAddr::V6(Ipv6Addr::from(b))),
            _ => continue,
        };
        let address = address.ok_or(MdnsError::Malformed)?;
        if can_be_sent_to(address)
            && answers.addresses.len() < config.max_addresses
            && !answers.addresses.contains(&address)
        {
            answers.addresses.push(address);
        }
    }
    Ok(answers)
}

fn can_be_sent_to(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => {
            !(ip.is_unspecified() || ip.is_multicast() || ip.is_broadcast() || ip.octets()[0] == 0)
        }
        IpAddr::V6(ip) => {
            let mapped = ip.to_ipv4_mapped().is_some();
            !(ip.is_unspecified() || ip.is_multicast() || ip.is_unicast_link_local() || mapped)
        }
    }
}

/// An answer of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// The octets.
    pub data: Vec<u8>,
    /// To the asker alone; else to everybody.
    pub unicast: bool,
}

/// The names that stand for addresses of ours.
#[derive(Debug, Clone)]
pub struct Registry {
    names: Vec<(HiddenName, IpAddr)>,
    config: MdnsConfig,
}

impl Registry {
    /// An empty one.
    pub fn new(config: MdnsConfig) -> Self {
        Self { names: Vec::new(), config }
    }

    /// The name of an address: a new one, or the one that it has.
    ///
    /// # Errors
    /// [`MdnsError::Full`].
    pub fn register(&mut self, ip: IpAddr, rng: &mut Rng) -> Result<HiddenName, MdnsError> {
        if let Some((name, _)) = self.names.iter().find(|(_, known)| *known == ip) {
            return Ok(name.clone());
        }
        let name = HiddenName::random(rng);
        self.answer_for(&name, ip).map(|()| name)
    }

    /// A name that was made elsewhere stands for an address from now on.
    ///
    /// # Errors
    /// [`MdnsError::Full`].
    pub fn answer_for(&mut self, name: &HiddenName, ip: IpAddr) -> Result<(), MdnsError> {
        self.forget(name);
        if self.names.len() >= self.config.max_names {
            return Err(MdnsError::Full(self.config.max_names));
        }
        self.names.push((name.clone(), ip));
        Ok(())
    }

    /// Forgets a name; unknown ones are no error.
    pub fn forget(&mut self, name: &HiddenName) {
        self.names.retain(|(known, _)| known != name);
    }

    /// The answer to a question that came from a port: `None` where it is not about us. An asker who
    /// does not speak from port 5353 gets a plain answer to itself (RFC 6762 §6.7).
    ///
    /// # Errors
    /// [`MdnsError`] says why the message is no question.
    pub fn answer(&self, data: &[u8], from_port: u16) -> Result<Option<Reply>, MdnsError> {
        let (head, counts) = read_header(data, &self.config)?;
        if head.response {
            return Err(MdnsError::Direction);
        }
        if head.opcode != 0 {
            return Err(MdnsError::Code(head.rcode));
        }
        let plain = from_port != super::PORT;
        let mut reader = Reader { data, at: HEADER };
        let mut all_unicast = true;
        let mut found: Option<(&HiddenName, IpAddr, u16)> = None;
        for _ in 0..counts.questions {
            let start = reader.at;
            for (name, ip) in &self.names {
                let mut look = Reader { data, at: start };
                if look.name(Some(name))? {
                    let (kind, class) = (look.u16()?, look.u16()?);
                    if class & !TOP == IN && [A, AAAA, ANY].contains(&kind) {
                        all_unicast &= class & TOP != 0;
                        // With two questions for one name, the one that has an address is answered.
                        if found.is_none_or(|(.., kind)| !matches(*ip, kind)) {
                            found = Some((name, *ip, kind));
                        }
                    }
                    break;
                }
            }
            reader.name(None)?;
            reader.skip(4)?;
        }
        Ok(found.map(|(name, ip, kind)| Reply {
            data: reply(head.id, name, ip, kind, plain),
            unicast: plain || all_unicast,
        }))
    }
}

fn matches(ip: IpAddr, kind: u16) -> bool {
    kind == ANY || (kind == A) == ip.is_ipv4()
}

fn reply(id: u16, name: &HiddenName, ip: IpAddr, kind: u16, plain: bool) -> Vec<u8> {
    let mut out = Vec::with_capacity(128);
    // §18.1: no number where it is told to all; §6.7: the question again where it is not.
    header(&mut out, if plain { id } else { 0 }, 0x8400, u16::from(plain), 1);
    if plain {
        name.write(&mut out);
        out.extend(kind.to_be_bytes());
        out.extend(IN.to_be_bytes());
    }
    name.write(&mut out);
    let (ttl, class) = if plain { (TTL_PLAIN, IN) } else { (TTL, IN | TOP) };
    let has = if ip.is_ipv4() { A } else { AAAA };
    let record = if matches(ip, kind) { has } else { NSEC };
    out.extend(record.to_be_bytes());
    out.extend(class.to_be_bytes());
    out.extend(ttl.to_be_bytes());
    let mut body = Vec::with_capacity(64);
    if record == NSEC {
        // §6.1: there is no such address, and here is what there is.
        name.write(&mut body);
        let mut bits = [0u8; 4];
        bits[usize::from(has / 8)] = 0x80 >> (has % 8);
        let length = usize::from(has / 8) + 1;
        body.extend([0, length as u8]);
        body.extend_from_slice(&bits[..length]);
    } else {
        match ip {
            IpAddr::V4(ip) => body.extend(ip.octets()),
            IpAddr::V6(ip) => body.extend(ip.octets()),
        }
    }
    out.extend((body.len() as u16).to_be_bytes());
    out.extend(body);
    out
}

fn header(out: &mut Vec<u8>, id: u16, flags: u16, questions: u16, answers: u16) {
    for word in [id, flags, questions, answers, 0, 0] {
        out.extend(word.to_be_bytes());
    }
}

struct Head {
    id: u16,
    response: bool,
    opcode: u8,
    rcode: u8,
}

struct Counts {
    questions: usize,
    records: usize,
}

fn read_header(data: &[u8], config: &MdnsConfig) -> Result<(Head, Counts), MdnsError> {
    let h: &[u8; HEADER] = data.first_chunk().ok_or(MdnsError::Malformed)?;
    let word = |at: usize| u16::from_be_bytes([h[at], h[at + 1]]);
    let questions = usize::from(word(4));
    let records = [6, 8, 10].map(|at| usize::from(word(at))).iter().sum();
    if questions > config.max_questions || records > config.max_records {
        return Err(MdnsError::TooMany(questions + records));
    }
    let (response, opcode, rcode) = (h[2] & 0x80 != 0, h[2] >> 3 & 0x0f, h[3] & 0x0f);
    Ok((Head { id: word(0), response, opcode, rcode }, Counts { questions, records }))
}

struct Reader<'a> {
    data: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], MdnsError> {
        let rest = self.data.get(self.at..).ok_or(MdnsError::Malformed)?;
        let taken = rest.get(..length).ok_or(MdnsError::Malformed)?;
        self.at += length;
        Ok(taken)
    }

    fn skip(&mut self, length: usize) -> Result<(), MdnsError> {
        self.take(length).map(|_| ())
    }

    fn u16(&mut self) -> Result<u16, MdnsError> {
        let b = self.take(2)?;
        Ok(u16::from_be_bytes([b[0], b[1]]))
    }

    /// Reads a name and says whether it is the one that is wanted. Pointers lead backwards only
    /// (RFC 1035 §4.1.4), so that every name ends; it is at most 255 octets long.
    fn name(&mut self, wanted: Option<&HiddenName>) -> Result<bool, MdnsError> {
        let mut labels = wanted.map(|w| w.as_str().split('.'));
        let mut same = wanted.is_some();
        let (mut at, mut before, mut length, mut jumped) = (self.at, self.at, 0, false);
        loop {
            let head = usize::from(*self.data.get(at).ok_or(MdnsError::Malformed)?);
            match head >> 6 {
                0 => {
                    let label = self.data.get(at + 1..at + 1 + head);
                    let label = label.ok_or(MdnsError::Malformed)?;
                    at += 1 + head;
                    if !jumped {
                        self.at = at;
                    }
                    if head == 0 {
                        let over = labels.is_none_or(|mut l| l.next().is_none());
                        return Ok(same && over);
                    }
                    length += 1 + head;
                    if length > 255 {
                        return Err(MdnsError::Malformed);
                    }
                    let next = labels.as_mut().and_then(Iterator::next);
                    same &= next.is_some_and(|n| n.as_bytes().eq_ignore_ascii_case(label));
                }
                3 => {
                    let low = usize::from(*self.data.get(at + 1).ok_or(MdnsError::Malformed)?);
                    let to = (head & 0x3f) << 8 | low;
                    if to >= before {
                        return Err(MdnsError::Malformed);
                    }
                    if !jumped {
                        (self.at, jumped) = (at + 2, true);
                    }
                    (at, before) = (to, to);
                }
                _ => return Err(MdnsError::Malformed),
            }
        }
    }
}
