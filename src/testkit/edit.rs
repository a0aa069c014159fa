//! Messages made out of messages: what a proxy changes in passing (RFC 3261 §16.6, §16.7), and
//! answers of its own (§8.2.6).

use bytes::Bytes;
use std::net::SocketAddr;
use tiny_sak::{Flow, Transport};
use tiny_sip::{HeaderName, Message, Method, StatusCode, Uri, Via, Writer, unescape};

/// The top Via with what RFC 3261 §18.2.1 and RFC 3581 §4 add to it.
pub(super) fn stamped(via: &Via<'_>, remote: SocketAddr) -> String {
    let port = via.port.map_or(String::new(), |p| format!(":{p}"));
    let mut text = format!("SIP/2.0/{} {}{port}", via.transport, via.host);
    let asks_for_port = via.rport().is_some();
    for p in via.params.iter() {
        if !p.name.eq_ignore_ascii_case("rport") && !p.name.eq_ignore_ascii_case("received") {
            text.push(';');
            text.push_str(p.name);
            match p.value {
                Some(value) if p.quoted => text.push_str(&format!("=\"{value}\"")),
                Some(value) => text.push_str(&format!("={value}")),
                None => {}
            }
        }
    }
    if asks_for_port || via.ip() != Some(remote.ip()) {
        text.push_str(&format!(";received={}", remote.ip()));
    }
    if asks_for_port {
        text.push_str(&format!(";rport={}", remote.port()));
    }
    text
}

/// Where the responses to a request go (RFC 3261 §18.2.2, RFC 3581 §4).
pub(super) fn reply_flow(request: &Message, flow: Flow) -> Flow {
    let Ok(via) = request.top_via() else { return flow };
    if flow.transport != Transport::Udp || via.rport().is_some() {
        return flow;
    }
    let port = via.port.unwrap_or(Transport::Udp.default_port());
    Flow { remote: SocketAddr::new(flow.remote.ip(), port), ..flow }
}

/// A response of the server's own.
pub(super) fn response(
    request: &Message,
    remote: SocketAddr,
    status: StatusCode,
    reason: &str,
    to_tag: &str,
    headers: &[(HeaderName, String)],
) -> Option<Bytes> {
    let mut writer = Writer::response(status, reason);
    let mut first = true;
    for line in request.headers(HeaderName::Via) {
        writer = match (first, Via::parse(first_element(line))) {
            (true, Ok(via)) => {
                let rest = &line[first_element(line).len()..];
                writer.header(HeaderName::Via, format_args!("{}{rest}", stamped(&via, remote)))
            }
            _ => writer.header(HeaderName::Via, line),
        };
        first = false;
    }
    writer = writer.copy(request, HeaderName::From);
    let to = request.header(HeaderName::To).unwrap_or_default();
    let tagged = request.to().is_ok_and(|to| to.tag().is_some());
    // RFC 3261 §8.2.6.2: a tag on all but 100.
    writer = if tagged || status == StatusCode::TRYING {
        writer.header(HeaderName::To, to)
    } else {
        writer.header(HeaderName::To, format_args!("{to};tag={to_tag}"))
    };
    writer = writer.copy(request, HeaderName::CallId).copy(request, HeaderName::CSeq);
    for (name, value) in headers {
        writer = writer.header(*name, value.as_str());
    }
    writer.finish().ok()
}

/// What changes in a request on its way.
pub(super) struct Forward<'a> {
    pub(super) uri: &'a str,
    pub(super) out: Flow,
    pub(super) branch: &'a str,
    pub(super) came_from: SocketAddr,
    pub(super) record_routes: &'a [String],
    pub(super) routes: &'a [String],
    /// What an edge proxy puts on top of the Path.
    pub(super) path: Option<&'a str>,
    /// The realm whose credentials end here (RFC 3261 §22.3).
    pub(super) realm: &'a str,
}

/// The request as it goes on (RFC 3261 §16.6).
pub(super) fn forwarded(request: &Message, change: &Forward<'_>) -> Option<Bytes> {
    let method = request.method()?;
    let mut writer = Writer::request(method, change.uri).via(
        change.out.transport,
        change.out.local,
        change.branch,
    );
    for route in change.record_routes {
        writer = writer.header(HeaderName::RecordRoute, route.as_str());
    }
    for route in change.routes {
        writer = writer.header(HeaderName::Route, route.as_str());
    }
    if let Some(path) = change.path {
        writer = writer.header(HeaderName::Path, path);
    }
    let hops = request.max_forwards().and_then(Result::ok).map_or(70, |n| n.saturating_sub(1));
    writer = writer.header(HeaderName::MaxForwards, hops);
    let mut first_via = true;
    for (name, value) in request.all_headers() {
        writer = match HeaderName::parse(name) {
            HeaderName::Route | HeaderName::MaxForwards | HeaderName::ContentLength => writer,
            HeaderName::ProxyAuthorization if is_for(value, change.realm) => writer,
            HeaderName::Via if std::mem::take(&mut first_via) => {
                let top = first_element(value);
                let rest = &value[top.len()..];
                let Ok(via) = Via::parse(top) else { return None };
                let via = stamped(&via, change.came_from);
                writer.header(HeaderName::Via, format_args!("{via}{rest}"))
            }
            _ => writer.header_named(name, value),
        };
    }
    writer.body("", request.body_bytes()).finish().ok()
}

/// A response as it goes back: without the top Via (RFC 3261 §16.7 step 3).
pub(super) fn returned(response: &Message, extra: &[(HeaderName, String)]) -> Option<Bytes> {
    let mut writer = Writer::response(response.status()?, response.reason());
    let mut first_via = true;
    for (name, value) in response.all_headers() {
        let name_is = HeaderName::parse(name);
        if name_is == HeaderName::Via && std::mem::take(&mut first_via) {
            let rest = value[first_element(value).len()..].trim_start_matches([' ', '\t', ',']);
            if !rest.is_empty() {
                writer = writer.header(HeaderName::Via, rest);
            }
        } else {
            writer = writer.header_named(name, value);
        }
    }
    for (name, value) in extra {
        writer = writer.header(*name, value.as_str());
    }
    writer.body("", response.body_bytes()).finish().ok()
}

/// ACK of a response above 299, or CANCEL, for a request that was sent: the same Request-URI, Via,
/// Route, From, Call-ID and CSeq number (RFC 3261 §9.1, §17.1.1.3).
pub(super) fn companion(sent: &Message, method: &Method, to: Option<&str>) -> Option<Bytes> {
    let via = sent.header(HeaderName::Via)?;
    let number = sent.cseq().ok()?.number;
    Writer::request(method, sent.request_uri())
        .header(HeaderName::Via, via)
        .copy(sent, HeaderName::Route)
        .header(HeaderName::MaxForwards, 70u8)
        .copy(sent, HeaderName::From)
        .header(HeaderName::To, to.or(sent.header(HeaderName::To))?)
        .copy(sent, HeaderName::CallId)
        .cseq(number, method)
        .finish()
        .ok()
}

/// The user part of a URI with its escapes resolved.
pub(super) fn user_of(uri: &Uri<'_>) -> Option<String> {
    uri.user().map(|user| String::from_utf8_lossy(&unescape(user)).into_owned())
}

fn is_for(credentials: &str, realm: &str) -> bool {
    tiny_sip::digest::Credentials::parse(credentials).is_ok_and(|c| c.realm() == Some(realm))
}

/// The first element of a comma list; commas in quotes do not count.
fn first_element(value: &str) -> &str {
    let mut quoted = false;
    let mut escaped = false;
    for (i, b) in value.bytes().enumerate() {
        match b {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b',' if !quoted => return &value[..i],
            _ => {}
        }
    }
    value
}
