//! How each library parses a message and types the six header fields.

use super::Found;
use bytes::Bytes;
use std::hint::black_box;

type Parse = fn(&Bytes);
type Find = fn(&Bytes) -> Found;

/// Name, the parse that is timed, and the same parse with its results told. Ours first.
pub(super) const ALL: &[(&str, Parse, Find)] = &[
    ("tiny-sip", ours::parse, ours::found),
    ("sip-core 0.3", sip_core_03::parse, sip_core_03::found),
    ("rsipstack 0.7", stack::parse, stack::found),
    ("ezk-sip-types", ezk::parse, ezk::found),
    ("rsip 0.4", rsip_04::parse, rsip_04::found),
];

mod ours {
    use super::*;
    use tiny_sip::{Limits, Message};

    pub(super) fn parse(input: &Bytes) {
        let message = Message::parse(input.clone(), &Limits::default()).unwrap();
        black_box(message.top_via().unwrap());
        black_box(message.from().unwrap());
        black_box(message.to().unwrap());
        black_box(message.call_id().unwrap());
        black_box(message.cseq().unwrap());
        black_box(message.contact().unwrap());
        black_box(&message);
    }

    pub(super) fn found(input: &Bytes) -> Found {
        let message = Message::parse(input.clone(), &Limits::default()).unwrap();
        Found {
            branch: message.top_via().unwrap().branch().unwrap().into(),
            from_tag: message.from().unwrap().tag().unwrap().into(),
            to_host: message.to().unwrap().uri.host().into(),
            call_id: message.call_id().unwrap().into(),
            cseq: message.cseq().unwrap().number,
            contact_user: message.contact().unwrap().uri.user().unwrap().into(),
        }
    }
}

/// It has no typed Via and no URI: what it offers is the URI as text and the tag.
mod sip_core_03 {
    use super::*;
    use sip_core::header::{extract_tag, extract_uri};
    use sip_core::{HeaderName, SipMessage};

    fn read(input: &Bytes) -> (SipMessage, Vec<String>) {
        let message = SipMessage::parse(std::str::from_utf8(input).unwrap()).unwrap();
        let value = |name| message.headers().get(&name).unwrap().as_str();
        let via = value(HeaderName::Via);
        let (from, to) = (value(HeaderName::From), value(HeaderName::To));
        let typed = vec![
            via.to_string(),
            extract_uri(from).unwrap(),
            extract_tag(from).unwrap(),
            extract_uri(to).unwrap(),
            extract_tag(to).unwrap_or_default(),
            extract_uri(value(HeaderName::Contact)).unwrap(),
            message.call_id().unwrap(),
        ];
        (message, typed)
    }

    pub(super) fn parse(input: &Bytes) {
        let message = SipMessage::parse(std::str::from_utf8(input).unwrap()).unwrap();
        let value = |name| message.headers().get(&name).unwrap().as_str();
        black_box(value(HeaderName::Via));
        let from = value(HeaderName::From);
        black_box((extract_uri(from).unwrap(), extract_tag(from).unwrap()));
        let to = value(HeaderName::To);
        black_box((extract_uri(to).unwrap(), extract_tag(to)));
        black_box(message.call_id().unwrap());
        black_box(message.cseq().unwrap());
        black_box(extract_uri(value(HeaderName::Contact)).unwrap());
        black_box(&message);
    }

    pub(super) fn found(input: &Bytes) -> Found {
        let (message, typed) = read(input);
        let part = |text: &str, from: &str, to: &str| -> String {
            text.split(from).nth(1).unwrap().split(to).next().unwrap().into()
        };
        Found {
            branch: part(&typed[0], "branch=", ";"),
            from_tag: typed[2].clone(),
            to_host: part(&typed[3], "@", ";"),
            call_id: typed[6].clone(),
            cseq: message.cseq().unwrap().0,
            contact_user: part(&typed[5], "sip:", "@"),
        }
    }
}

mod stack {
    use super::*;
    use rsipstack::sip::headers::untyped::ToTypedHeader;
    use rsipstack::sip::message::HeadersExt;
    use rsipstack::sip::{Param, Request, SipMessage};

    fn request(input: &Bytes) -> Request {
        match SipMessage::try_from(&input[..]).unwrap() {
            SipMessage::Request(request) => request,
            SipMessage::Response(_) => unreachable!(),
        }
    }

    pub(super) fn parse(input: &Bytes) {
        let request = request(input);
        black_box(request.via_header().unwrap().typed().unwrap());
        black_box(request.from_header().unwrap().typed().unwrap());
        black_box(request.to_header().unwrap().typed().unwrap());
        black_box(request.call_id_header().unwrap().value());
        black_box(request.cseq_header().unwrap().typed().unwrap());
        black_box(request.contact_header().unwrap().typed().unwrap());
        black_box(&request);
    }

    pub(super) fn found(input: &Bytes) -> Found {
        let request = request(input);
        let via = request.via_header().unwrap().typed().unwrap();
        let branch = via.params.iter().find_map(|p| match p {
            Param::Branch(branch) => Some(branch.value().to_string()),
            _ => None,
        });
        let from = request.from_header().unwrap().typed().unwrap();
        let to = request.to_header().unwrap().typed().unwrap();
        let contact = request.contact_header().unwrap().typed().unwrap();
        Found {
            branch: branch.unwrap(),
            from_tag: from.tag().unwrap().value().into(),
            to_host: to.uri.host().to_string(),
            call_id: request.call_id_header().unwrap().value().into(),
            cseq: request.cseq_header().unwrap().typed().unwrap().seq,
            contact_user: contact.uri.user().unwrap().into(),
        }
    }
}

/// It has no message type: what its endpoint does with its pull parser is done here.
mod ezk {
    use super::*;
    use ezk_sip_types::header::typed::{CSeq, CallID, Contact, FromTo, Via};
    use ezk_sip_types::msg::{Line, MessageLine, PullParser};
    use ezk_sip_types::parse::Parse as _;
    use ezk_sip_types::print::AppendCtx as _;
    use ezk_sip_types::{Headers, Name};

    fn message(input: &Bytes) -> (MessageLine, Headers, Bytes) {
        let mut parser = PullParser::new(input, 0);
        let line = std::str::from_utf8(parser.next().unwrap().unwrap()).unwrap();
        let (_, start) = MessageLine::parse(input)(line).unwrap();
        let mut headers = Headers::new();
        for line in &mut parser {
            let line = std::str::from_utf8(line.unwrap()).unwrap();
            let (_, line) = Line::parse(input, line).unwrap();
            headers.insert(line.name, line.value);
        }
        let body = input.slice(parser.head_end()..);
        (start, headers, body)
    }

    pub(super) fn parse(input: &Bytes) {
        let message = message(input);
        let headers = &message.1;
        black_box(headers.get_named::<Vec<Via>>().unwrap());
        black_box(headers.get::<FromTo>(Name::FROM).unwrap());
        black_box(headers.get::<FromTo>(Name::TO).unwrap());
        black_box(headers.get_named::<CallID>().unwrap());
        black_box(headers.get_named::<CSeq>().unwrap());
        black_box(headers.get_named::<Vec<Contact>>().unwrap());
        black_box(&message);
    }

    pub(super) fn found(input: &Bytes) -> Found {
        let (_, headers, body) = message(input);
        assert_eq!(body.len(), 199);
        let via = headers.get_named::<Vec<Via>>().unwrap();
        let to = headers.get::<FromTo>(Name::TO).unwrap();
        let contact = headers.get_named::<Vec<Contact>>().unwrap();
        let uri = contact[0].uri.uri.default_print_ctx().to_string();
        let user = uri.split(['@', ':']).nth(1).unwrap();
        Found {
            branch: via[0].params.get_val("branch").unwrap().to_string(),
            from_tag: headers.get::<FromTo>(Name::FROM).unwrap().tag.unwrap().to_string(),
            to_host: to.uri.uri.host_port.host.to_string(),
            call_id: headers.get_named::<CallID>().unwrap().0.to_string(),
            cseq: headers.get_named::<CSeq>().unwrap().cseq,
            contact_user: user.to_string(),
        }
    }
}

mod rsip_04 {
    use super::*;
    use rsip::prelude::{HeadersExt, ToTypedHeader, UntypedHeader};
    use rsip::{Request, SipMessage};

    fn request(input: &Bytes) -> Request {
        match SipMessage::try_from(&input[..]).unwrap() {
            SipMessage::Request(request) => request,
            SipMessage::Response(_) => unreachable!(),
        }
    }

    pub(super) fn parse(input: &Bytes) {
        let request = request(input);
        black_box(request.via_header().unwrap().typed().unwrap());
        black_box(request.from_header().unwrap().typed().unwrap());
        black_box(request.to_header().unwrap().typed().unwrap());
        black_box(request.call_id_header().unwrap().value());
        black_box(request.cseq_header().unwrap().typed().unwrap());
        black_box(request.contact_header().unwrap().typed().unwrap());
        black_box(&request);
    }

    pub(super) fn found(input: &Bytes) -> Found {
        let request = request(input);
        let from = request.from_header().unwrap().typed().unwrap();
        let to = request.to_header().unwrap().typed().unwrap();
        let contact = request.contact_header().unwrap().typed().unwrap();
        let via = request.via_header().unwrap().typed().unwrap();
        Found {
            branch: via.branch().unwrap().value().into(),
            from_tag: from.tag().unwrap().value().into(),
            to_host: to.uri.host().to_string(),
            call_id: request.call_id_header().unwrap().value().into(),
            cseq: request.cseq_header().unwrap().typed().unwrap().seq,
            contact_user: contact.uri.user().unwrap().into(),
        }
    }
}
