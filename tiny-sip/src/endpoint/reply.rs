//! Responses: composition (RFC 3261 §8.2.6) and the way back (§18.2.2, RFC 3581).

use super::{Endpoint, Headers, ServerTx};
use crate::header::{HeaderName, NameAddr, Vias, split_commas};
use crate::message::Message;
use crate::status::StatusCode;
use crate::writer::{Value, Writer};
use crate::{Method, header::Via};
use bytes::Bytes;
use std::net::SocketAddr;
use tiny_sak::Flow;

/// The top Via as it goes back: with `received` and `rport` (RFC 3261 §18.2.1, RFC 3581 §4).
struct ViaEcho<'a> {
    via: Via<'a>,
    source: SocketAddr,
}

impl Value for ViaEcho<'_> {
    fn write(&self, out: &mut String) {
        let via = &self.via;
        let rport = via.rport().is_some();
        let received = rport || via.ip() != Some(self.source.ip());
        if !received {
            return via.as_str().write(out);
        }
        out.push_str("SIP/2.0/");
        out.push_str(via.transport);
        out.push(' ');
        out.push_str(via.host);
        if let Some(port) = via.port {
            out.push(':');
            port.write(out);
        }
        for param in via.params.iter() {
            if param.name.eq_ignore_ascii_case("received")
                || param.name.eq_ignore_ascii_case("rport")
            {
                continue;
            }
            out.push(';');
            out.push_str(param.name);
            if let Some(value) = param.value {
                let quote = if param.quoted { "\"" } else { "" };
                out.push('=');
                out.push_str(quote);
                out.push_str(value);
                out.push_str(quote);
            }
        }
        out.push_str(";received=");
        self.source.ip().write(out);
        if rport {
            out.push_str(";rport=");
            self.source.port().write(out);
        }
    }
}

impl Endpoint {
    /// The common part of a response: Via, From, To with our tag, Call-ID, CSeq. It works on what
    /// could be read of a malformed request, too.
    pub(crate) fn response(
        &self,
        request: &Message,
        source: SocketAddr,
        status: StatusCode,
        reason: &str,
        tag: &str,
    ) -> Writer {
        let mut w = Writer::response(status, reason);
        for (i, line) in request.headers(HeaderName::Via).enumerate() {
            let first = if i == 0 { Vias::new(line).next().and_then(Result::ok) } else { None };
            w = match first {
                None => w.header(HeaderName::Via, line),
                Some(via) => {
                    let rest = rest_of_list(line);
                    w = w.header(HeaderName::Via, ViaEcho { via, source });
                    if rest.is_empty() { w } else { w.header(HeaderName::Via, rest) }
                }
            };
        }
        w = w.copy(request, HeaderName::From);
        if let Some(to) = request.header(HeaderName::To) {
            // 100 needs no tag; a tag that is there stays (§8.2.6.2).
            let tagged = NameAddr::parse(to).is_ok_and(|to| to.tag().is_some());
            w = if tagged || status.code() == 100 || tag.is_empty() {
                w.header(HeaderName::To, to)
            } else {
                w.header(HeaderName::To, [to, ";tag=", tag])
            };
        }
        w = w.copy(request, HeaderName::CallId).copy(request, HeaderName::CSeq);
        if status.code() == 100 {
            // §8.2.6.1
            w = w.copy(request, HeaderName::Timestamp);
        }
        w
    }

    /// Answers without a transaction (§8.2.7): each repetition gets the same answer, tag included.
    pub(crate) fn answer_statelessly(
        &mut self,
        flow: Flow,
        request: &Message,
        status: u16,
        reason: &str,
        headers: &[(HeaderName, &str)],
    ) {
        if request.method() == Some(&Method::Ack) {
            return;
        }
        let Some(status) = StatusCode::new(status) else { return };
        let id = request.header(HeaderName::CallId).unwrap_or_default();
        let (a, _) =
            self.prints.of(&["t", id, request.header(HeaderName::From).unwrap_or("")]).bits();
        let mut w = self.response(request, flow.remote, status, reason, &format!("{a:016x}"));
        for (name, value) in headers {
            w = w.header(*name, *value);
        }
        // What a header field of the request cannot carry back unharmed gets no answer.
        if let Ok(bytes) = self.finish(w, request, None, &Headers::new(), None) {
            let back = self.way_back(request, flow);
            self.transmit(back, bytes);
        }
    }

    /// Where the response to a request goes (§18.2.2, RFC 3581 §4).
    pub(crate) fn way_back(&self, request: &Message, flow: Flow) -> Flow {
        let Ok(via) = request.top_via() else { return flow };
        if flow.transport.is_reliable() {
            return flow;
        }
        let port = via.port.unwrap_or(flow.transport.default_port());
        if let Some(maddr) = via.maddr().and_then(crate::uri::host_ip)
            && maddr.is_ipv4() == flow.remote.is_ipv4()
        {
            return Flow { remote: (maddr, port).into(), ..flow };
        }
        // The source address is what `received` holds, or equals sent-by.
        let port = if via.rport().is_some() { flow.remote.port() } else { port };
        Flow { remote: (flow.remote.ip(), port).into(), ..flow }
    }

    /// Where a response goes once the connection of its request is gone: a new connection to the
    /// sent-by port (§18.2.2).
    pub(crate) fn way_back_without_connection(&self, request: &Message, flow: Flow) -> Flow {
        let Ok(via) = request.top_via() else { return flow };
        let port = via.port.unwrap_or(flow.transport.default_port());
        let local = self.listening(flow.transport, flow.local).unwrap_or(flow.local);
        Flow { local, remote: (flow.remote.ip(), port).into(), ..flow }
    }

    /// Server, the owner's header fields and the body of a response, then its bytes.
    /// `server` is the transaction of the request, if there is one.
    pub(crate) fn finish(
        &self,
        mut w: Writer,
        request: &Message,
        server: Option<&ServerTx>,
        headers: &Headers,
        body: Option<&super::Body>,
    ) -> Result<Bytes, super::Error> {
        let ruled = self.rule_response(request, server, headers);
        let session = self.response_session(request, server);
        let server = |(name, _): &(String, String)| HeaderName::parse(name) == HeaderName::Server;
        if let Some(agent) = &self.config.user_agent
            && !headers.iter().chain(&ruled).any(server)
        {
            w = w.header(HeaderName::Server, agent);
        }
        let own = |(name, _): &(String, String)| HeaderName::parse(name) == HeaderName::SessionId;
        if let Some(session) = session.filter(|_| !headers.iter().any(own)) {
            w = w.header(HeaderName::SessionId, session);
        }
        for (name, value) in headers.iter().chain(&ruled) {
            w = w.header_named(name, value);
        }
        if let Some(body) = body {
            w = w.body(&body.content_type, body.data.clone());
        }
        w.finish()
            .map_err(|error| super::Error::Header { name: String::new(), why: error.to_string() })
    }
}

/// What follows the first element of a comma list.
fn rest_of_list(line: &str) -> &str {
    let Some(first) = split_commas(line).next() else { return "" };
    let at = (first.as_ptr() as usize).saturating_sub(line.as_ptr() as usize) + first.len();
    line.get(at..).unwrap_or_default().trim_start_matches([' ', '\t', ','])
}
