//! Candidates that come one by one: `application/trickle-ice-sdpfrag` (RFC 8840 §4.4, §9), as the body
//! of an INFO with `Info-Package: trickle-ice`. Parsed and printed; sends nothing.

use crate::attribute::Candidate;
use crate::{IceCredentials, Limits, MediaKind, ParseError, Protocol, Text};
use std::fmt;

/// Candidates of one ICE generation, by `m=` line.
///
/// ```
/// use tiny_sdp::{Fragment, Limits};
/// let text = "a=ice-ufrag:8hhY\r\na=ice-pwd:asd88fgpdd777uzjYhagZg\r\n\
///             m=audio 9 RTP/AVP 0\r\na=mid:1\r\n\
///             a=candidate:1 1 UDP 2130706431 192.0.2.1 5010 typ host\r\na=end-of-candidates\r\n";
/// let fragment = Fragment::parse(text.as_bytes(), &Limits::default())?;
/// assert_eq!(&*fragment.media[0].mid, "1");
/// assert!(fragment.media[0].end_of_candidates);
/// assert_eq!(fragment.to_string(), text);
/// # Ok::<(), tiny_sdp::ParseError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Fragment {
    /// Which generation the candidates belong to, unless a line says another (§4.4): those of an
    /// old one are not for use.
    pub credentials: Option<IceCredentials>,
    /// `a=ice-options`.
    pub ice_options: Text,
    /// `a=group:BUNDLE`: candidates are trickled for its first line only.
    pub bundle: Vec<Text>,
    /// No line has more candidates.
    pub end_of_candidates: bool,
    /// The lines that something is said of.
    pub media: Vec<FragmentMedia>,
}

/// One `m=` line of a [`Fragment`]. Its kind, port and formats mean nothing (§9.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FragmentMedia {
    /// Which line: its `a=mid`.
    pub mid: Text,
    /// Audio, video, …
    pub kind: MediaKind,
    /// As in the description.
    pub protocol: Protocol,
    /// As in the description; the first is enough.
    pub format: Text,
    /// The generation, when it is not the fragment's.
    pub credentials: Option<IceCredentials>,
    /// New candidates.
    pub candidates: Vec<Candidate>,
    /// This line has no more.
    pub end_of_candidates: bool,
}

impl FragmentMedia {
    /// A line of RTP sound with nothing to say yet.
    pub fn new(mid: impl Into<Text>) -> Self {
        Self {
            mid: mid.into(),
            kind: MediaKind::Audio,
            protocol: Protocol::RtpAvp,
            format: Text::fixed("0"),
            credentials: None,
            candidates: Vec::new(),
            end_of_candidates: false,
        }
    }
}

impl Fragment {
    /// Reads a fragment. Attributes that are not known are passed over, and so is a candidate that
    /// cannot be read (RFC 8839 §5.1).
    ///
    /// # Errors
    /// [`ParseError`]: a limit, a line of another type than `a=` and `m=`, a malformed `m=` line, one
    /// without `a=mid`, or a name without its password.
    pub fn parse(data: &[u8], limits: &Limits) -> Result<Self, ParseError> {
        let over = |limit, allowed| Err(ParseError::Limit { limit, allowed });
        if data.len() > limits.max_bytes {
            return over("max_bytes", limits.max_bytes);
        }
        let text = String::from_utf8_lossy(data);
        let mut reader = Reader::default();
        let mut count = 0;
        for (n, line) in text.split('\n').enumerate() {
            let line = line.trim_end_matches('\r');
            if line.is_empty() {
                continue;
            }
            count += 1;
            if count > limits.max_lines {
                return over("max_lines", limits.max_lines);
            }
            if line.len() > limits.max_line {
                return over("max_line", limits.max_line);
            }
            if line.contains(char::is_control) {
                return Err(ParseError::Malformed {
                    what: format!("line {} of a fragment", n + 1),
                });
            }
            match line.as_bytes() {
                [b'a', b'=', ..] => reader.attribute(&line[2..])?,
                [b'm', b'=', ..] => {
                    reader.end_media()?;
                    if reader.fragment.media.len() >= limits.max_media {
                        return over("max_media", limits.max_media);
                    }
                    reader.media = Some(m_line(&line[2..])?);
                }
                [letter, ..] => {
                    return Err(ParseError::UnknownType { line: n + 1, letter: *letter });
                }
                [] => {}
            }
            if reader.candidates > limits.max_candidates {
                return over("max_candidates", limits.max_candidates);
            }
        }
        reader.end_media()?;
        reader.fragment.credentials = reader.credentials.take()?;
        Ok(reader.fragment)
    }

    /// The generation that a line's candidates belong to.
    pub fn generation<'a>(&'a self, media: &'a FragmentMedia) -> Option<&'a IceCredentials> {
        media.credentials.as_ref().or(self.credentials.as_ref())
    }
}

/// Name and password as they come.
#[derive(Debug, Default)]
struct Half {
    ufrag: Option<Text>,
    pwd: Option<Text>,
}

impl Half {
    fn take(&mut self) -> Result<Option<IceCredentials>, ParseError> {
        let bad = |name, what: &str| Err(ParseError::Attribute { name, what: what.to_owned() });
        match (self.ufrag.take(), self.pwd.take()) {
            (None, None) => Ok(None),
            (Some(ufrag), Some(pwd)) => {
                let credentials = IceCredentials { ufrag, pwd };
                if credentials.are_valid() {
                    return Ok(Some(credentials));
                }
                bad("ice-ufrag", "wrong length or character in it or its ice-pwd")
            }
            (Some(_), None) => bad("ice-ufrag", "no ice-pwd beside it"),
            (None, Some(_)) => bad("ice-pwd", "no ice-ufrag beside it"),
        }
    }
}

#[derive(Debug, Default)]
struct Reader {
    fragment: Fragment,
    /// Of the fragment.
    credentials: Half,
    media: Option<FragmentMedia>,
    /// Of the line at hand.
    own: Half,
    candidates: usize,
}

impl Reader {
    fn attribute(&mut self, line: &str) -> Result<(), ParseError> {
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.trim();
        let half = if self.media.is_some() { &mut self.own } else { &mut self.credentials };
        match (name, &mut self.media) {
            ("ice-ufrag", _) => half.ufrag = Some(Text::copy(value)),
            ("ice-pwd", _) => half.pwd = Some(Text::copy(value)),
            ("ice-options", None) => self.fragment.ice_options = Text::copy(value),
            ("end-of-candidates", None) => self.fragment.end_of_candidates = true,
            ("end-of-candidates", Some(media)) => media.end_of_candidates = true,
            ("group", None) => {
                let mut words = value.split_ascii_whitespace();
                if words.next().is_some_and(|w| w.eq_ignore_ascii_case("BUNDLE")) {
                    self.fragment.bundle = words.map(Text::copy).collect();
                }
            }
            ("mid", Some(media)) => media.mid = Text::copy(value),
            ("candidate", Some(media)) => {
                self.candidates += 1;
                media.candidates.extend(value.parse::<Candidate>().ok());
            }
            // §9.2: candidates stand below the line that they are for.
            ("candidate", None) => {
                let what = "it stands before any m= line".to_owned();
                return Err(ParseError::Attribute { name: "candidate", what });
            }
            _ => {}
        }
        Ok(())
    }

    fn end_media(&mut self) -> Result<(), ParseError> {
        let Some(mut media) = self.media.take() else { return Ok(()) };
        if media.mid.is_empty() || media.mid.contains(char::is_whitespace) {
            let what = "an m= line of a fragment has none".to_owned();
            return Err(ParseError::Attribute { name: "mid", what });
        }
        media.credentials = self.own.take()?;
        self.fragment.media.push(media);
        Ok(())
    }
}

/// `<media> <port> <proto> <fmt>`
fn m_line(line: &str) -> Result<FragmentMedia, ParseError> {
    let mut words = line.split_ascii_whitespace();
    let (Some(kind), Some(_), Some(protocol), Some(format)) =
        (words.next(), words.next(), words.next(), words.next())
    else {
        return Err(ParseError::Malformed { what: format!("m= line \"{line}\"") });
    };
    Ok(FragmentMedia {
        mid: Text::EMPTY,
        kind: MediaKind::parse(kind),
        protocol: Protocol::parse(protocol),
        format: Text::copy(format),
        ..FragmentMedia::new("")
    })
}

impl fmt::Display for Fragment {
    /// Prints with CRLF line ends. Control characters of the application's texts become spaces.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        credentials(f, self.credentials.as_ref())?;
        if !self.ice_options.is_empty() {
            write!(f, "a=ice-options:{}\r\n", Clean(&self.ice_options))?;
        }
        if !self.bundle.is_empty() {
            f.write_str("a=group:BUNDLE")?;
            for mid in &self.bundle {
                write!(f, " {}", Clean(mid))?;
            }
            f.write_str("\r\n")?;
        }
        if self.end_of_candidates {
            f.write_str("a=end-of-candidates\r\n")?;
        }
        for m in &self.media {
            let (kind, protocol) = (Clean(m.kind.as_str()), Clean(m.protocol.as_str()));
            write!(f, "m={kind} 9 {protocol} {}\r\n", Clean(&m.format))?;
            write!(f, "a=mid:{}\r\n", Clean(&m.mid))?;
            credentials(f, m.credentials.as_ref())?;
            for candidate in &m.candidates {
                write!(f, "a=candidate:{}\r\n", Clean(&candidate.to_string()))?;
            }
            if m.end_of_candidates {
                f.write_str("a=end-of-candidates\r\n")?;
            }
        }
        Ok(())
    }
}

fn credentials(f: &mut fmt::Formatter<'_>, ice: Option<&IceCredentials>) -> fmt::Result {
    let Some(ice) = ice else { return Ok(()) };
    write!(f, "a=ice-ufrag:{}\r\na=ice-pwd:{}\r\n", Clean(&ice.ufrag), Clean(&ice.pwd))
}

/// Text that cannot end its line.
struct Clean<'a>(&'a str);

impl fmt::Display for Clean<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|c| write!(f, "{}", if c.is_control() { ' ' } else { c }))
    }
}

impl crate::NegotiatedMedia {
    /// Whether a peer's fragment line is for this stream now: its name and its ICE generation.
    pub fn takes(&self, fragment: &Fragment, media: &FragmentMedia) -> bool {
        let named = self.mid.as_ref().is_some_and(|mid| *mid == media.mid);
        let current = self.ice.as_ref().map(|ice| &ice.remote);
        // A line without credentials is of the generation there is.
        named && current.is_some() && fragment.generation(media).is_none_or(|g| current == Some(g))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Fragment, ParseError> {
        Fragment::parse(text.as_bytes(), &Limits::default())
    }

    /// In the shape of RFC 8840 §9.
    const TWO: &str = "a=ice-ufrag:8hhY\r\na=ice-pwd:asd88fgpdd777uzjYhagZg\r\n\
        m=audio 9 RTP/AVP 0\r\na=mid:1\r\n\
        a=candidate:1 1 UDP 2130706432 2001:db8:a0b:12f0::1 5000 typ host\r\n\
        a=candidate:1 2 UDP 1658497328 192.0.2.1 5001 typ srflx raddr 10.0.1.1 rport 8999\r\n\
        m=audio 9 RTP/AVP 0\r\na=mid:2\r\na=ice-ufrag:7hhY\r\na=ice-pwd:xsd88fgpdd777uzjYhagZg\r\n\
        a=candidate:1 1 UDP 2130706432 2001:db8:a0b:12f0::1 6000 typ host\r\na=end-of-candidates\r\n";

    #[test]
    fn candidates_of_two_lines_are_read_and_written_alike() {
        let fragment = parse(TWO).unwrap();
        assert_eq!(fragment.to_string(), TWO);
        let [one, two] = &fragment.media[..] else { panic!() };
        assert_eq!((one.candidates.len(), one.end_of_candidates), (2, false));
        assert_eq!((two.candidates.len(), two.end_of_candidates), (1, true));
        assert_eq!(&*fragment.generation(one).unwrap().ufrag, "8hhY");
        assert_eq!(&*fragment.generation(two).unwrap().ufrag, "7hhY");
    }

    #[test]
    fn the_whole_may_end_and_name_its_bundle() {
        let text = "a=ice-ufrag:8hhY\r\na=ice-pwd:asd88fgpdd777uzjYhagZg\r\na=ice-options:trickle\r\n\
            a=group:BUNDLE 1 2\r\na=end-of-candidates\r\n";
        let fragment = parse(text).unwrap();
        assert!(fragment.end_of_candidates && fragment.bundle == ["1", "2"]);
        assert_eq!(fragment.to_string(), text);
    }

    #[test]
    fn each_fault_is_named() {
        let attribute = |text: &str| match parse(text) {
            Err(ParseError::Attribute { name, .. }) => name,
            other => panic!("{text}: {other:?}"),
        };
        assert_eq!(attribute("m=audio 9 RTP/AVP 0\r\na=candidate:x\r\n"), "mid");
        assert_eq!(attribute("a=candidate:1 1 UDP 1 192.0.2.1 1 typ host\r\n"), "candidate");
        assert_eq!(attribute("a=ice-ufrag:abcd\r\n"), "ice-ufrag");
        assert_eq!(attribute("a=ice-pwd:abcd\r\n"), "ice-pwd");
        assert_eq!(attribute("a=ice-ufrag:abcd\r\na=ice-pwd:short\r\n"), "ice-ufrag");
        assert!(matches!(parse("v=0\r\n"), Err(ParseError::UnknownType { line: 1, letter: b'v' })));
        assert!(matches!(parse("m=audio 9\r\n"), Err(ParseError::Malformed { .. })));
    }

    #[test]
    fn a_fragment_is_for_the_line_and_generation_that_it_names() {
        use crate::{Config, LocalCodec, LocalIce, LocalMedia, LocalSession, Negotiator};
        let mut audio = LocalMedia::audio(9, vec![LocalCodec::pcmu()]);
        let ours = IceCredentials::new("ours", "0123456789012345678901");
        audio.ice = Some(Box::new(LocalIce::new(ours)));
        let offer = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 0.0.0.0\r\nt=0 0\r\n\
            m=audio 9 RTP/AVP 0\r\na=mid:1\r\na=ice-ufrag:8hhY\r\na=ice-pwd:asd88fgpdd777uzjYhagZg\r\n";
        let session = LocalSession::new("192.0.2.2", vec![audio]);
        let mut negotiator = Negotiator::new(std::sync::Arc::new(Config::default()), 1, 1);
        let answer = negotiator.answer(offer.as_bytes(), &session).unwrap();
        let media = &answer.session.media[0];
        let fragment = parse(TWO).unwrap();
        assert!(media.takes(&fragment, &fragment.media[0]));
        assert!(!media.takes(&fragment, &fragment.media[1]));
        let old = parse(&TWO.replace("a=ice-ufrag:8hhY", "a=ice-ufrag:0ldY")).unwrap();
        assert!(!media.takes(&old, &old.media[0]));
    }

    #[test]
    fn a_flood_of_candidates_is_refused_by_its_limit() {
        let limits = Limits { max_candidates: 2, ..Limits::default() };
        assert!(
            Fragment::parse(TWO.as_bytes(), &Limits { max_candidates: 3, ..limits.clone() })
                .is_ok()
        );
        assert_eq!(
            Fragment::parse(TWO.as_bytes(), &limits),
            Err(ParseError::Limit { limit: "max_candidates", allowed: 2 })
        );
    }
}
