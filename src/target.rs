//! Requests from a URI (RFC 3261 §19.1.5): `sip:bob@example.com?Subject=Tea&X-Order=7`. What stands
//! behind the `?` may come from a web page: it never says who we are, where we are, what we can do or
//! which way a request goes.

use crate::command::{Content, Headers};
use crate::{Error, HeaderName as H, Method};
use tiny_sip::header::{MediaType, Replaces, split_commas};
use tiny_sip::{Uri, unescape};

/// More components than this are no link but an attack.
const MOST: usize = 32;

/// Extensions that a URI may require of a callee: those that this agent has.
const EXTENSIONS: [&str; 3] = ["replaces", "100rel", "timer"];

/// Header fields that are left out: the dangerous ones of §19.1.5 with Route, those that falsely
/// advertise location or capabilities or identity, those that describe what cannot be checked, and
/// those that a request has anyway.
const IGNORED: [H; 52] = [
    H::From,
    H::To,
    H::CallId,
    H::CSeq,
    H::Via,
    H::RecordRoute,
    H::Route,
    H::MaxForwards,
    H::MaxBreadth,
    H::Path,
    H::ServiceRoute,
    H::Accept,
    H::AcceptEncoding,
    H::AcceptLanguage,
    H::Allow,
    H::AllowEvents,
    H::Contact,
    H::Organization,
    H::Supported,
    H::UserAgent,
    H::Server,
    H::ContentDisposition,
    H::ContentEncoding,
    H::ContentLanguage,
    H::ContentLength,
    H::ContentId,
    H::ContentTransferEncoding,
    H::Date,
    H::MimeVersion,
    H::Timestamp,
    H::Authorization,
    H::ProxyAuthorization,
    H::SecurityClient,
    H::SecurityServer,
    H::SecurityVerify,
    H::Identity,
    H::IdentityInfo,
    H::PAssertedIdentity,
    H::PPreferredIdentity,
    H::PAccessNetworkInfo,
    H::PAssociatedUri,
    H::PCalledPartyId,
    H::Privacy,
    H::Geolocation,
    H::Diversion,
    H::HistoryInfo,
    H::ReferredBy,
    H::SessionId,
    H::SessionExpires,
    H::MinSe,
    H::RAck,
    H::Event,
];

/// What a URI asks for.
#[derive(Debug, Default)]
pub(crate) struct Target {
    /// The URI as it goes into the request.
    pub(crate) uri: String,
    pub(crate) headers: Headers,
    pub(crate) body: Option<Content>,
}

/// Reads a URI that a request of this method is to be formed from.
///
/// # Errors
/// [`Error::Config`] where the request would not be a valid one, or needs what this agent lacks: "An
/// implementation MUST NOT proceed with transmitting the request" (§19.1.5).
pub(crate) fn of(field: &str, text: &str, method: &Method) -> Result<Target, Error> {
    let wrong = |what: String| Err(Error::config(field, what));
    let Ok(uri) = Uri::parse(text) else {
        // The caller's own check says what a URI is.
        return Ok(Target { uri: text.to_owned(), ..Target::default() });
    };
    // "its value MUST be used as the method of the request"
    if let Some(other) = uri.param("method").filter(|m| !m.eq_ignore_ascii_case(method.as_str())) {
        return wrong(format!("'{text}' is for {other}, not for {method}"));
    }
    let mut target = Target { uri: without_method(uri.without_headers()), ..Target::default() };
    let (mut kind, mut body) = (None, None);
    for (n, (name, value)) in uri.headers().enumerate() {
        if n == MOST {
            return wrong(format!("'{text}' has more than {MOST} header fields"));
        }
        let (Some(name), Some(value)) = (plain(name), plain(value)) else {
            return wrong(format!("the header field '{name}' of '{text}' is no line of text"));
        };
        if name.eq_ignore_ascii_case("body") {
            body = Some(value);
            continue;
        }
        let header = (name, value);
        match H::parse(&header.0) {
            H::ContentType if MediaType::parse(&header.1).is_ok() => kind = Some(header.1),
            H::ContentType => return wrong(format!("'{}' is no content type", header.1)),
            H::Replaces if Replaces::parse(&header.1).is_err() => {
                return wrong(format!("the Replaces '{}' does not name a dialog", header.1));
            }
            H::Replaces if *method != Method::Invite => {
                return wrong(format!("Replaces belongs to calls, not to {method}"));
            }
            H::Replaces if target.headers.iter().any(|(name, _)| H::parse(name) == H::Replaces) => {
                return wrong(
                    "a call can replace one other, and there are two Replaces".to_owned(),
                );
            }
            H::Require => {
                let known = |tag: &&str| EXTENSIONS.iter().any(|own| own.eq_ignore_ascii_case(tag));
                if let Some(other) = split_commas(&header.1).find(|tag| !known(tag)) {
                    return wrong(format!("it requires '{other}', which is not in this build"));
                }
                target.headers.push(header);
            }
            name @ (H::ProxyRequire | H::Join) => {
                return wrong(format!("{} in a URI is not in this build", name.as_str()));
            }
            known if IGNORED.contains(&known) => {}
            _ => {
                tiny_sip::check_headers(std::slice::from_ref(&header))
                    .map_err(|e| Error::config(field, e))?;
                target.headers.push(header);
            }
        }
    }
    // Whoever does not know the dialog must not ring in its place (RFC 3891 §5).
    let requires = |(name, value): &(String, String)| {
        H::parse(name) == H::Require
            && split_commas(value).any(|t| t.eq_ignore_ascii_case("replaces"))
    };
    let replaces = target.headers.iter().any(|(name, _)| H::parse(name) == H::Replaces);
    if replaces && !target.headers.iter().any(requires) {
        target.headers.push(("Require".into(), "replaces".into()));
    }
    target.body = body.map(|text| Content {
        content_type: kind.unwrap_or_else(|| "text/plain;charset=UTF-8".to_owned()),
        data: text.into_bytes(),
    });
    Ok(target)
}

/// A component without its escapes; none with control characters but those of a body's lines.
fn plain(text: &str) -> Option<String> {
    let text = String::from_utf8(unescape(text).into_owned()).ok()?;
    (!text.contains('\0')).then_some(text)
}

/// A method has no place in a Request-URI (RFC 3261 §19.1.1, Table 1).
pub(crate) fn without_method(uri: &str) -> String {
    let mut parts = uri.split(';');
    let mut kept = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        if !part.to_ascii_lowercase().starts_with("method=") {
            kept.push(';');
            kept.push_str(part);
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(text: &str) -> Headers {
        of("call target", text, &Method::Invite).unwrap().headers
    }

    fn refused(text: &str) -> String {
        of("call target", text, &Method::Invite).unwrap_err().to_string()
    }

    fn pair(name: &str, value: &str) -> (String, String) {
        (name.to_owned(), value.to_owned())
    }

    #[test]
    fn safe_header_fields_are_honoured_and_dangerous_ones_left_out() {
        let text = "sip:bob@h;transport=tcp;method=INVITE;user=phone?Subject=Tea%20at%205&x-a=1&\
                    From=eve&i=x&Route=%3Csip:evil%3E&s=2&Contact=x&P-Asserted-Identity=x&Privacy=none";
        let target = of("call target", text, &Method::Invite).unwrap();
        assert_eq!(target.uri, "sip:bob@h;transport=tcp;user=phone");
        let own = [pair("Subject", "Tea at 5"), pair("x-a", "1"), pair("s", "2")];
        assert_eq!(target.headers, own);
        assert!(target.body.is_none());
    }

    #[test]
    fn what_would_make_a_bad_request_is_refused_with_a_sentence() {
        for (text, what) in [
            ("sip:bob@h?Replaces=x", "Replaces 'x'"),
            (
                "sip:bob@h?Replaces=a%3Bto-tag%3D1%3Bfrom-tag%3D2&Replaces=b%3Bto-tag%3D1%3Bfrom-tag%3D2",
                "two",
            ),
            ("sip:bob@h?Subject=a%0D%0AVia:%20x", "Subject"),
            ("sip:bob@h?Subject=%FF", "Subject"),
            ("sip:bob@h?Require=100rel,precondition", "precondition"),
            ("sip:bob@h?Proxy-Require=x", "Proxy-Require"),
            ("sip:bob@h?Join=a%3Bto-tag%3D1%3Bfrom-tag%3D2", "Join"),
            ("sip:bob@h;method=MESSAGE", "MESSAGE"),
            ("sip:bob@h?Content-Type=%22", "content type"),
        ] {
            let reason = refused(text);
            assert!(reason.starts_with("call target: ") && reason.contains(what), "{reason}");
        }
        let many: Vec<_> = (0..33).map(|n| format!("X-{n}=1")).collect();
        assert!(refused(&format!("sip:bob@h?{}", many.join("&"))).contains("32"));
    }

    #[test]
    fn a_replaces_asks_for_its_extension() {
        let text = "sip:bob@h?Replaces=a%40b%3Bto-tag%3D1%3Bfrom-tag%3D2";
        let own = [pair("Replaces", "a@b;to-tag=1;from-tag=2"), pair("Require", "replaces")];
        assert_eq!(headers(text), own);
        assert_eq!(headers(&format!("{text}&Require=replaces")).len(), 2);
    }

    #[test]
    fn a_body_has_the_type_that_is_said() {
        let message = |text| of("request URI", text, &Method::Message).unwrap().body.unwrap();
        let body = message("sip:bob@h?body=a%0D%0Ab");
        assert_eq!(
            (&*body.content_type, &*body.data),
            ("text/plain;charset=UTF-8", &b"a\r\nb"[..])
        );
        assert_eq!(message("sip:bob@h?Content-Type=text/html&BODY=x").content_type, "text/html");
    }

    #[test]
    fn whatever_stands_in_a_uri_nothing_unsendable_comes_of_it() {
        let mut rng = tiny_sak::Rng::from_seed(7);
        let words = [
            "sip:",
            "a",
            "@",
            "h",
            ";",
            "method=",
            "=",
            "?",
            "&",
            "%0D%0A",
            "%",
            "Replaces",
            "Require",
            "body",
            "%FF",
            ":",
            "x",
            "1",
            "Content-Type",
            "%3B",
            "to-tag%3D1",
            "%00",
        ];
        for _ in 0..20_000 {
            let word = |_| words[rng.below(words.len() as u64) as usize];
            let text: String = std::iter::once("sip:a@h?").chain((0..8).map(word)).collect();
            if let Ok(target) = of("x", &text, &Method::Invite) {
                assert!(tiny_sip::check_headers(&target.headers).is_ok(), "{text}");
            }
        }
    }
}
