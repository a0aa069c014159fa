//! Why an offer is refused: a status with a Warning that names what did not match (RFC 3261 §13.3.1.3,
//! §20.43, §21.4.26).

use super::incoming::{phrase, retry_later};
use crate::command::Headers;
use std::net::IpAddr;
use tiny_sdp::{Description, Error, Rejection, precondition};
use tiny_sip::{Body, HeaderName};

/// A refusal of a call or of a change of it.
#[derive(Debug)]
pub(super) struct Refused {
    pub(super) status: u16,
    pub(super) reason: Option<String>,
    pub(super) headers: Headers,
    pub(super) body: Option<Body>,
}

impl Refused {
    pub(super) fn new(status: u16) -> Self {
        Self { status, reason: None, headers: retry_later(status), body: None }
    }

    /// 488 with a Warning of our own making.
    pub(super) fn not_acceptable(agent: Option<IpAddr>, code: u16, text: &str) -> Self {
        let headers = vec![warning(agent, code, text)];
        Self { headers, ..Self::new(488) }
    }

    /// What an offer gets that cannot be answered: 400 when it makes no sense, 488 when nothing fits.
    pub(super) fn offer(agent: Option<IpAddr>, e: &Error) -> Self {
        let (status, reason) = match e {
            Error::Parse(_) => (400, Some("Bad Session Description".to_owned())),
            Error::Security(_) => (488, Some(phrase(e))),
            Error::OfferPending => (491, None),
            Error::Precondition(_) => (580, None),
            _ => (488, None),
        };
        let headers = match status {
            491 => Headers::new(),
            _ => vec![warning(agent, code(e), &e.to_string())],
        };
        Self { status, reason, headers, body: None }
    }

    /// A 580 has a description that says what is not known (RFC 3312 §9).
    pub(super) fn with_body(mut self, offer: &[u8], sdp: &tiny_sdp::Config) -> Self {
        if self.status == 580
            && let Ok(offer) = Description::parse(offer, &sdp.limits)
        {
            let unknown = precondition::unknown(&offer);
            let at = unknown.as_ref().map_or(0, |(at, _)| *at);
            let lines: Vec<String> = unknown.into_iter().map(|(_, line)| line).collect();
            self.body = Some(Body::sdp(precondition::refusal(&offer, at, &lines)));
        }
        self
    }
}

/// The warn-code of §20.43. Several streams may each have their own reason: the first one counts.
fn code(e: &Error) -> u16 {
    match e {
        Error::NothingInCommon(why) => match why.first() {
            Some(Rejection::AddressFamily) => 301,
            Some(Rejection::Protocol) => 302,
            Some(Rejection::NoLocalMedia | Rejection::NotOffered) => 304,
            Some(Rejection::NoCommonFormat) => 305,
            Some(Rejection::Multicast) => 330,
            _ => 399,
        },
        Error::Security(_) => 302,
        _ => 399,
    }
}

fn warning(agent: Option<IpAddr>, code: u16, text: &str) -> (String, String) {
    let agent = match agent {
        Some(IpAddr::V6(ip)) => format!("[{ip}]"),
        Some(ip) => ip.to_string(),
        None => "tiny-ua".to_owned(),
    };
    let text = phrase(&text).replace(['"', '\\'], "'");
    (HeaderName::Warning.as_str().to_owned(), format!("{code} {agent} \"{text}\""))
}
