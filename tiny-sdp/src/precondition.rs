//! Preconditions in session descriptions (RFC 3312 §4, §5; RFC 4032 §4.1): the attributes `curr`, `des`
//! and `conf`, and the status table of one stream that offers and answers keep alike on both sides. It
//! never reserves anything and never decides whether somebody is alerted.

use crate::{AttributeList, Description, LocalAttribute};
use std::fmt;

/// How much a precondition matters, in rising order (§5.2); the last two say why an offer is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Strength {
    /// No reservation is needed.
    #[default]
    None,
    /// Wanted; the call goes on without.
    Optional,
    /// The call does not go on without.
    Mandatory,
    /// It could not be met (§8).
    Failure,
    /// Its type is not known (§9).
    Unknown,
}

/// What part of the path a status is about, as seen from who writes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StatusType {
    /// All of it.
    EndToEnd,
    /// The access network of this side.
    Local,
    /// That of the other side.
    Remote,
}

/// In which directions, as seen from who writes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Ways {
    /// From this side.
    pub send: bool,
    /// To this side.
    pub recv: bool,
}

/// `a=curr:qos local sendrecv`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CurrentStatus<'a> {
    /// The precondition type, `qos` in most cases.
    pub kind: &'a str,
    /// The part of the path.
    pub status: StatusType,
    /// Where resources are there.
    pub ways: Ways,
}

/// `a=des:qos mandatory local sendrecv`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DesiredStatus<'a> {
    /// The precondition type.
    pub kind: &'a str,
    /// How much it matters.
    pub strength: Strength,
    /// The part of the path.
    pub status: StatusType,
    /// Where resources are wanted.
    pub ways: Ways,
}

/// `a=conf:qos remote sendrecv`: tell when there are resources.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConfirmStatus<'a> {
    /// The precondition type.
    pub kind: &'a str,
    /// The part of the path.
    pub status: StatusType,
    /// In which directions.
    pub ways: Ways,
}

impl Strength {
    /// The tag.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Optional => "optional",
            Self::Mandatory => "mandatory",
            Self::Failure => "failure",
            Self::Unknown => "unknown",
        }
    }

    fn parse(tag: &str) -> Option<Self> {
        let all = [Self::None, Self::Optional, Self::Mandatory, Self::Failure, Self::Unknown];
        all.into_iter().find(|s| s.as_str().eq_ignore_ascii_case(tag))
    }
}

impl StatusType {
    /// The tag.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::EndToEnd => "e2e",
            Self::Local => "local",
            Self::Remote => "remote",
        }
    }

    fn parse(tag: &str) -> Option<Self> {
        let all = [Self::EndToEnd, Self::Local, Self::Remote];
        all.into_iter().find(|s| s.as_str().eq_ignore_ascii_case(tag))
    }

    /// As the other side sees it (Table 4).
    fn inverted(self) -> Self {
        match self {
            Self::EndToEnd => Self::EndToEnd,
            Self::Local => Self::Remote,
            Self::Remote => Self::Local,
        }
    }
}

impl Ways {
    /// Both directions.
    pub const BOTH: Self = Self { send: true, recv: true };

    /// The tag.
    pub fn as_str(self) -> &'static str {
        match (self.send, self.recv) {
            (true, true) => "sendrecv",
            (true, false) => "send",
            (false, true) => "recv",
            (false, false) => "none",
        }
    }

    fn parse(tag: &str) -> Option<Self> {
        let all = [(true, true), (true, false), (false, true), (false, false)];
        let mut all = all.into_iter().map(|(send, recv)| Self { send, recv });
        all.find(|w| w.as_str().eq_ignore_ascii_case(tag))
    }

    fn inverted(self) -> Self {
        Self { send: self.recv, recv: self.send }
    }
}

fn words<const N: usize>(value: &str) -> Option<[&str; N]> {
    let mut words = value.split_ascii_whitespace();
    let mut all = [""; N];
    for word in &mut all {
        *word = words.next()?;
    }
    words.next().is_none().then_some(all)
}

impl<'a> CurrentStatus<'a> {
    /// Reads the value of `a=curr`.
    pub fn parse(value: &'a str) -> Option<Self> {
        let [kind, status, ways] = words(value)?;
        Some(Self { kind, status: StatusType::parse(status)?, ways: Ways::parse(ways)? })
    }
}

impl<'a> DesiredStatus<'a> {
    /// Reads the value of `a=des`.
    pub fn parse(value: &'a str) -> Option<Self> {
        let [kind, strength, status, ways] = words(value)?;
        let (strength, status) = (Strength::parse(strength)?, StatusType::parse(status)?);
        Some(Self { kind, strength, status, ways: Ways::parse(ways)? })
    }
}

impl<'a> ConfirmStatus<'a> {
    /// Reads the value of `a=conf`.
    pub fn parse(value: &'a str) -> Option<Self> {
        let CurrentStatus { kind, status, ways } = CurrentStatus::parse(value)?;
        Some(Self { kind, status, ways })
    }
}

impl fmt::Display for CurrentStatus<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.kind, self.status.as_str(), self.ways.as_str())
    }
}

impl fmt::Display for DesiredStatus<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (strength, status) = (self.strength.as_str(), self.status.as_str());
        write!(f, "{} {strength} {status} {}", self.kind, self.ways.as_str())
    }
}

impl fmt::Display for ConfirmStatus<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.kind, self.status.as_str(), self.ways.as_str())
    }
}

/// One direction of one part of the path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Row {
    current: bool,
    desired: Strength,
    /// The peer wants to be told when resources are there (§7).
    flagged: bool,
}

/// Both directions of one part: sending, receiving.
type Rows = [Row; 2];

/// The local status table of one stream for the type `qos` (§5.1, Tables 1 and 2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct QosTable {
    end_to_end: Option<Rows>,
    /// Ours and the peer's access network.
    segments: Option<[Rows; 2]>,
    /// What was last told to a peer that wants to know.
    told: bool,
}

/// A mandatory precondition of a type that is not known here (§9).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownKind {
    /// Its type.
    pub kind: String,
}

const QOS: &str = "qos";

fn rows(desired: Strength) -> Rows {
    [Row { desired, ..Row::default() }; 2]
}

impl QosTable {
    /// Resources along the whole path, in both directions.
    pub fn end_to_end(desired: Strength) -> Self {
        Self { end_to_end: Some(rows(desired)), ..Self::default() }
    }

    /// Resources in each access network, in both directions.
    pub fn segmented(local: Strength, remote: Strength) -> Self {
        Self { segments: Some([rows(local), rows(remote)]), ..Self::default() }
    }

    /// Whether there is any row.
    pub fn is_empty(&self) -> bool {
        self.end_to_end.is_none() && self.segments.is_none()
    }

    /// Resources are there as far as this side can know: in our access network, and in our sending
    /// direction of the whole path (§13.1).
    pub fn reserved(&mut self, yes: bool) {
        if let Some([local, _]) = &mut self.segments {
            local.iter_mut().for_each(|row| row.current = yes);
        }
        if let Some([send, _]) = &mut self.end_to_end {
            send.current = yes;
        }
    }

    fn all(&self) -> impl Iterator<Item = &Row> {
        self.end_to_end.iter().chain(self.segments.iter().flatten()).flatten()
    }

    /// Whether any precondition is mandatory: then the offer goes with `Require: precondition` (§11).
    pub fn is_mandatory(&self) -> bool {
        self.all().any(|row| row.desired == Strength::Mandatory)
    }

    /// "A user agent server knows that all the preconditions are met … when its local status table has
    /// a value of 'yes' in all the rows whose strength-tag is 'mandatory'" (§6).
    pub fn is_met(&self) -> bool {
        self.all().all(|row| row.current || row.desired != Strength::Mandatory)
    }

    /// Whether the peer waits to be told of what is there now: "the user agent MUST send an offer"
    /// (§7). True once.
    pub fn take_confirm_due(&mut self) -> bool {
        let flagged = self.all().any(|row| row.flagged);
        let there = self.all().all(|row| row.current || !row.flagged);
        flagged && there && !std::mem::replace(&mut self.told, true)
    }

    fn part(&mut self, status: StatusType) -> &mut Rows {
        match status {
            StatusType::EndToEnd => self.end_to_end.get_or_insert_default(),
            StatusType::Local => &mut self.segments.get_or_insert_default()[0],
            StatusType::Remote => &mut self.segments.get_or_insert_default()[1],
        }
    }

    /// Takes what the peer's description of the stream says (§5.2, RFC 4032 §4.1): strengths only
    /// rise; the peer's word counts for all but what this side knows by itself (`reserved`). False: it
    /// has no preconditions of a type known here.
    ///
    /// # Errors
    /// A mandatory precondition of another type, other than in the peer's own access network, which
    /// needs nothing of us (§9).
    pub fn learn(
        &mut self,
        peer: &impl AttributeList,
        reserved: bool,
    ) -> Result<bool, UnknownKind> {
        let mut known = false;
        let mut news = *self;
        for value in peer.values("des") {
            let Some(des) = DesiredStatus::parse(value) else { continue };
            if !des.kind.eq_ignore_ascii_case(QOS) {
                if is_unknown(&des) {
                    return Err(UnknownKind { kind: des.kind.to_owned() });
                }
                continue;
            }
            known = true;
            let ways = des.ways.inverted();
            let strength = des.strength.min(Strength::Mandatory);
            let [send, recv] = news.part(des.status.inverted());
            for (row, named) in [(send, ways.send), (recv, ways.recv)] {
                if named {
                    row.desired = row.desired.max(strength);
                }
            }
        }
        if !known {
            return Ok(false);
        }
        for value in peer.values("curr") {
            let Some(curr) =
                CurrentStatus::parse(value).filter(|c| c.kind.eq_ignore_ascii_case(QOS))
            else {
                continue;
            };
            let ways = curr.ways.inverted();
            let [send, recv] = news.part(curr.status.inverted());
            (send.current, recv.current) = (ways.send, ways.recv);
        }
        for row in news.all_mut() {
            row.flagged = false;
        }
        for value in peer.values("conf") {
            let Some(conf) =
                ConfirmStatus::parse(value).filter(|c| c.kind.eq_ignore_ascii_case(QOS))
            else {
                continue;
            };
            let ways = conf.ways.inverted();
            let [send, recv] = news.part(conf.status.inverted());
            (send.flagged, recv.flagged) = (ways.send, ways.recv);
            news.told = false;
        }
        news.reserved(reserved);
        *self = news;
        Ok(true)
    }

    fn all_mut(&mut self) -> impl Iterator<Item = &mut Row> {
        self.end_to_end.iter_mut().chain(self.segments.iter_mut().flatten()).flatten()
    }

    /// The lines of the stream (§5.1.1). `confirm`: the peer is asked to tell of what only it knows and
    /// we wait for ("a UAS that is not capable of unilaterally meeting all of the mandatory
    /// preconditions MUST include a confirm-status attribute", §6).
    pub fn attributes(&self, confirm: bool) -> Vec<LocalAttribute> {
        let mut parts: Vec<(StatusType, &Rows)> = Vec::with_capacity(3);
        if let Some([local, remote]) = &self.segments {
            parts.extend([(StatusType::Local, local), (StatusType::Remote, remote)]);
        }
        if let Some(rows) = &self.end_to_end {
            parts.push((StatusType::EndToEnd, rows));
        }
        let mut lines = Vec::with_capacity(6);
        let ways =
            |[send, recv]: &Rows, of: fn(&Row) -> bool| Ways { send: of(send), recv: of(recv) };
        for (status, rows) in &parts {
            let curr =
                CurrentStatus { kind: QOS, status: *status, ways: ways(rows, |r| r.current) };
            lines.push(LocalAttribute::new("curr", curr.to_string()));
        }
        for (status, [send, recv]) in &parts {
            let des = |strength, ways| {
                let des = DesiredStatus { kind: QOS, strength, status: *status, ways };
                LocalAttribute::new("des", des.to_string())
            };
            if send.desired == recv.desired {
                lines.push(des(send.desired, Ways::BOTH));
            } else {
                lines.push(des(send.desired, Ways { send: true, recv: false }));
                lines.push(des(recv.desired, Ways { send: false, recv: true }));
            }
        }
        for (status, rows) in parts.iter().filter(|_| confirm) {
            let mut ways = ways(rows, |r| r.desired == Strength::Mandatory && !r.current);
            match status {
                StatusType::Local => ways = Ways::default(),
                StatusType::EndToEnd => ways.send = false,
                StatusType::Remote => {}
            }
            if ways != Ways::default() {
                let conf = ConfirmStatus { kind: QOS, status: *status, ways };
                lines.push(LocalAttribute::new("conf", conf.to_string()));
            }
        }
        lines
    }

    /// The rows that are mandatory and not met, as lines that say so in a 580 (§8).
    pub fn failures(&self) -> Vec<String> {
        let parts = [
            (StatusType::EndToEnd, self.end_to_end.as_ref()),
            (StatusType::Local, self.segments.as_ref().map(|s| &s[0])),
            (StatusType::Remote, self.segments.as_ref().map(|s| &s[1])),
        ];
        let line = |(status, rows): (StatusType, Option<&Rows>)| {
            let [send, recv] = rows?;
            let open = |row: &Row| row.desired == Strength::Mandatory && !row.current;
            let ways = Ways { send: open(send), recv: open(recv) };
            let strength = Strength::Failure;
            let des = DesiredStatus { kind: QOS, strength, status, ways };
            (ways != Ways::default()).then(|| des.to_string())
        };
        parts.into_iter().filter_map(line).collect()
    }
}

/// The first mandatory precondition of a type that is not known: its stream, and the value of `a=des`
/// that says so (§9), as seen from this side.
pub fn unknown(offer: &Description) -> Option<(usize, String)> {
    offer.all_media().enumerate().find_map(|(index, media)| {
        let of = |value| DesiredStatus::parse(value).filter(is_unknown);
        let des = media.values("des").find_map(of)?;
        let (status, ways) = (des.status.inverted(), des.ways.inverted());
        let des = DesiredStatus { strength: Strength::Unknown, status, ways, ..des };
        Some((index, des.to_string()))
    })
}

/// Mandatory, of another type, and more than the peer's own affair.
fn is_unknown(des: &DesiredStatus<'_>) -> bool {
    let known = des.kind.eq_ignore_ascii_case(QOS);
    !known && des.strength == Strength::Mandatory && des.status != StatusType::Local
}

/// The description in a 580 (§8): the lines of the offer, each with port 0, and in one of them the
/// preconditions that could not be met (values of `a=des`). It is neither an offer nor an answer.
pub fn refusal(offer: &Description, stream: usize, failures: &[String]) -> String {
    use fmt::Write as _;
    let mut out =
        String::from("v=0\r\no=- 0 0 IN IP4 0.0.0.0\r\ns=-\r\nc=IN IP4 0.0.0.0\r\nt=0 0\r\n");
    for (index, media) in offer.all_media().enumerate() {
        let format = media.formats().next().unwrap_or("0");
        let (kind, protocol) = (media.kind(), media.protocol());
        let _ = write!(out, "m={} 0 {} {format}\r\n", kind.as_str(), protocol.as_str());
        for failure in failures.iter().filter(|_| index == stream) {
            let _ = write!(out, "a=des:{failure}\r\n");
        }
    }
    out
}

#[cfg(test)]
#[path = "precondition_tests.rs"]
mod tests;
