//! The checks of a user agent server (RFC 3261 §8.2), matching (§17.2.3) and the way back (§18.2,
//! RFC 3581), with requests written by hand.

mod endpoint_net;

use endpoint_net::{Net, has, header, sdp};
use tiny_sak::Transport;
use tiny_sip::{Config, Event, Input, Method};

const PEER: &str = "10.0.0.9:5060";
const US: &str = "10.0.0.1:5060";

fn net() -> Net {
    with(Config::default())
}

fn with(config: Config) -> Net {
    let mut net = Net::new(1);
    net.add(US, "bob", config);
    net
}

fn request(method: &str, extra: &str, body: &str) -> String {
    format!(
        "{method} sip:bob@10.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP 10.0.0.9:5060;branch=z9hG4bKone\r\n\
         Max-Forwards: 70\r\nFrom: <sip:a@x>;tag=1\r\nTo: <sip:bob@x>\r\nCall-ID: c1\r\n\
         CSeq: 7 {method}\r\n{extra}Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// Sends it and gives the one answer.
fn ask(net: &mut Net, text: &str) -> String {
    net.inject(PEER, US, text);
    net.caught()
}

fn status(text: &str) -> &str {
    text.lines().next().unwrap().trim_start_matches("SIP/2.0 ")
}

const CONTACT: &str = "Contact: <sip:a@10.0.0.9>\r\n";

#[test]
fn options_is_answered_with_what_we_can_do() {
    let ok = ask(&mut net(), &request("OPTIONS", "", ""));
    assert_eq!(status(&ok), "200 OK");
    assert_eq!(
        header(&ok, "Allow"),
        "INVITE, ACK, BYE, CANCEL, OPTIONS, MESSAGE, INFO, REFER, SUBSCRIBE, NOTIFY, PRACK, UPDATE"
    );
    assert!(header(&ok, "Accept").starts_with("application/sdp"));
    assert!(header(&ok, "To").starts_with("<sip:bob@x>;tag="));
    assert_eq!(header(&ok, "CSeq"), "7 OPTIONS");
    assert_eq!(header(&ok, "Via"), "SIP/2.0/UDP 10.0.0.9:5060;branch=z9hG4bKone");
}

#[test]
fn methods_that_are_not_allowed_get_405_and_unknown_ones_501() {
    let answer = ask(&mut net(), &request("PUBLISH", "", ""));
    assert_eq!(status(&answer), "405 Method Not Allowed");
    assert!(header(&answer, "Allow").contains("INVITE"));
    let answer = ask(&mut net(), &request("FROBNICATE", "", ""));
    assert_eq!(status(&answer), "501 Not Implemented");
}

#[test]
fn other_uri_schemes_get_416() {
    let text = request("MESSAGE", "", "").replace("sip:bob@10.0.0.1 SIP", "http://x/y SIP");
    assert_eq!(status(&ask(&mut net(), &text)), "416 Unsupported URI Scheme");
}

#[test]
fn required_extensions_get_420_with_unsupported() {
    let answer = ask(&mut net(), &request("INVITE", "Require: bar, foo\r\n", ""));
    assert_eq!(status(&answer), "420 Bad Extension");
    assert_eq!(header(&answer, "Unsupported"), "bar, foo");
    let mut config = Config::default();
    config.supported = vec!["foo".into()];
    let mut net = with(config);
    net.inject(PEER, US, &request("INVITE", &format!("Require: FOO\r\n{CONTACT}"), ""));
    assert!(matches!(net.event(0), Event::Incoming { .. }));
}

#[test]
fn bodies_and_encodings_that_cannot_be_read_get_415() {
    let text = request("INVITE", &format!("{CONTACT}Content-Type: text/html\r\n"), "<p>");
    let answer = ask(&mut net(), &text);
    assert_eq!(status(&answer), "415 Unsupported Media Type");
    assert!(header(&answer, "Accept").starts_with("application/sdp"));
    let text = request("MESSAGE", "Content-Type: text/plain\r\nContent-Encoding: gzip\r\n", "x");
    let answer = ask(&mut net(), &text);
    assert_eq!(status(&answer), "415 Unsupported Media Type");
    assert_eq!(header(&answer, "Accept-Encoding"), "identity");
}

#[test]
fn a_caller_that_takes_no_session_description_gets_406() {
    let text = request("INVITE", &format!("{CONTACT}Accept: text/plain\r\n"), "");
    let answer = ask(&mut net(), &text);
    assert_eq!(status(&answer), "406 Not Acceptable");
    let said = header(&answer, "Warning");
    assert_eq!(said, "399 tiny-ua \"Accept lists no application/sdp\"");
    let mut net = net();
    net.inject(PEER, US, &request("INVITE", &format!("{CONTACT}Accept: application/*\r\n"), ""));
    assert!(matches!(net.event(0), Event::Incoming { .. }));
}

#[test]
fn merged_requests_get_482() {
    let mut net = net();
    net.inject(PEER, US, &request("INVITE", CONTACT, ""));
    let Event::Incoming { .. } = net.event(0) else { panic!() };
    let other = request("INVITE", CONTACT, "").replace("z9hG4bKone", "z9hG4bKtwo");
    let answer = ask(&mut net, &other);
    assert_eq!(status(&answer), "482 Loop Detected");
    assert!(header(&answer, "Via").contains("z9hG4bKtwo"));
    net.no_event(0);
    assert_eq!(net.endpoint(0).stats().rejected_merged, 1);
}

#[test]
fn malformed_requests_get_400_and_other_versions_505_but_acks_and_garbage_nothing() {
    let mut net = net();
    for (from, to, expected) in [
        ("CSeq: 7 MESSAGE", "CSeq: 7 INVITE", "400 Bad Request - "),
        ("CSeq: 7", "CSeq: 99999999999", "400 Bad Request - "),
        ("From: <sip:a@x>", "From: <sip:a@x", "400 Bad Request - "),
        ("Max-Forwards: 70", "Max-Forwards: many", "400 Bad Request - "),
        ("SIP/2.0\r\nVia", "SIP/7.0\r\nVia", "505 Version Not Supported"),
    ] {
        let text = request("MESSAGE", "", "").replace(from, to);
        let answer = ask(&mut net, &text);
        assert!(status(&answer).starts_with(expected), "{to}: {answer}");
        assert_eq!(header(&answer, "Call-ID"), "c1");
        // The same answer for the same request, tag included: there is no transaction.
        assert_eq!(ask(&mut net, &text), answer);
    }
    let answered = net.endpoint(0).stats().rejected_malformed;
    assert_eq!(answered, 10);
    let sent = net.endpoint(0).stats().sent;
    for text in [
        "hello".to_owned(),
        "\r\n\r\n".to_owned(),
        "INVITE sip:bob@10.0.0.1 SIP/2.0\r\n\r\n".to_owned(),
        request("ACK", "", "").replace("CSeq: 7", "CSeq: x"),
        "SIP/2.0 200 OK\r\n\r\n".to_owned(),
        request("MESSAGE", "", "").replace("Call-ID: c1\r\n", ""),
    ] {
        net.inject(PEER, US, &text);
    }
    let stats = net.endpoint(0).stats();
    assert_eq!(stats.sent, sent);
    assert!(stats.dropped_garbage >= 4, "{stats:?}");
    net.no_event(0);
    net.assert_empty();
}

#[test]
fn a_via_of_another_version_gets_505_where_it_came_from() {
    // RFC 4475 §3.1.2.16.
    let text = request("OPTIONS", "", "").replace("SIP/2.0", "SIP/7.0");
    assert_eq!(status(&ask(&mut net(), &text)), "505 Version Not Supported");
}

#[test]
fn an_invite_of_rfc_2543_without_contact_is_taken_to_be_at_its_from() {
    // RFC 4475 §3.4.1; a branch of RFC 3261 makes the Contact mandatory.
    let mut net = net();
    let text = request("INVITE", "", "").replace("z9hG4bK", "old");
    net.inject(PEER, US, &text);
    assert!(matches!(net.event(0), Event::Incoming { .. }));
}

#[test]
fn an_invite_without_contact_gets_400_and_a_bye_without_dialog_481() {
    assert_eq!(status(&ask(&mut net(), &request("INVITE", "", ""))), "400 Bad Request");
    assert_eq!(
        status(&ask(&mut net(), &request("CANCEL", "", ""))),
        "481 Call/Transaction Does Not Exist"
    );
    let mut net = net();
    let text = request("BYE", "", "").replace("<sip:bob@x>", "<sip:bob@x>;tag=9");
    assert_eq!(status(&ask(&mut net, &text)), "481 Call/Transaction Does Not Exist");
    net.settle();
    net.assert_empty();
}

#[test]
fn limits_answer_503_with_retry_after() {
    let mut config = Config::default();
    config.max_calls = 1;
    config.max_transactions = 3;
    let mut net = with(config);
    net.inject(PEER, US, &request("INVITE", CONTACT, ""));
    assert!(matches!(net.event(0), Event::Incoming { .. }));
    let another = |n: &str| request("INVITE", CONTACT, "").replace("one", n).replace("c1", n);
    for n in ["two", "three", "four"] {
        let answer = ask(&mut net, &another(n));
        assert_eq!(status(&answer), "503 Service Unavailable");
        assert_eq!(header(&answer, "Retry-After"), "10");
    }
    assert_eq!(net.endpoint(0).stats().rejected_limit, 3);
    assert_eq!(net.endpoint(0).stats().server_transactions, 1, "refused without state");
}

#[test]
fn a_message_is_told_once_and_its_answer_repeated() {
    let mut net = net();
    let text = request("MESSAGE", "Content-Type: text/plain\r\n", "hi");
    net.inject(PEER, US, &text);
    net.inject(PEER, US, &text);
    let Event::Request { key, call: None, request, flow } = net.event(0) else { panic!() };
    assert_eq!((request.body(), flow.remote.to_string().as_str()), (b"hi".as_slice(), PEER));
    let now = net.now;
    let headers = vec![("X-Seen".into(), "yes".into())];
    net.endpoint(0).respond(now, key, 202, None, headers, None).unwrap();
    let answer = net.caught();
    assert_eq!((status(&answer), header(&answer, "X-Seen")), ("202 Accepted", "yes"));
    assert_eq!(ask(&mut net, &text), answer);
    net.no_event(0);
    net.settle();
    net.assert_empty();
}

#[test]
fn a_request_that_nobody_answers_is_forgotten_with_its_senders_patience() {
    let mut net = net();
    net.inject(PEER, US, &request("MESSAGE", "", ""));
    let Event::Request { key, .. } = net.event(0) else { panic!() };
    net.settle();
    assert_eq!(net.elapsed(), 32_000);
    net.assert_empty();
    let now = net.now;
    assert!(net.endpoint(0).respond(now, key, 200, None, vec![], None).is_err());
}

#[test]
fn responses_go_where_via_received_rport_and_maddr_say() {
    for (via, from, to, echoed) in [
        ("10.0.0.9:5060", "10.0.0.9:5060", "10.0.0.9:5060", ""),
        ("10.0.0.9", "10.0.0.9:4444", "10.0.0.9:5060", ""),
        ("10.0.0.9:7000", "10.0.0.9:4444", "10.0.0.9:7000", ""),
        ("host.example:7000", "10.0.0.9:4444", "10.0.0.9:7000", ";received=10.0.0.9"),
        ("192.168.1.1:7000", "10.0.0.9:4444", "10.0.0.9:7000", ";received=10.0.0.9"),
    ] {
        let mut net = net();
        let text = request("OPTIONS", "", "").replace("UDP 10.0.0.9:5060", &format!("UDP {via}"));
        net.inject(from, US, &text);
        let answer = net.caught();
        assert_eq!(net.log.last().unwrap().1.to_string(), to);
        assert_eq!(header(&answer, "Via"), format!("SIP/2.0/UDP {via};branch=z9hG4bKone{echoed}"));
        // RFC 3581: back to the port that it came from.
        let mut net = self::net();
        net.inject(from, US, &text.replace("bKone", "bKone;rport;x=\"y z\""));
        let answer = net.caught();
        assert_eq!(net.log.last().unwrap().1.to_string(), from);
        let port = from.split(':').next_back().unwrap();
        assert_eq!(
            header(&answer, "Via"),
            format!("SIP/2.0/UDP {via};branch=z9hG4bKone;x=\"y z\";received=10.0.0.9;rport={port}")
        );
    }
    let mut net = net();
    let text = request("OPTIONS", "", "").replace("bKone", "bKone;maddr=10.0.0.77");
    net.inject(PEER, US, &text);
    net.drain();
    assert_eq!(net.log.last().unwrap().1.to_string(), "10.0.0.77:5060");
}

#[test]
fn several_vias_and_record_routes_come_back_in_order() {
    let mut net = net();
    let more = "Via: SIP/2.0/TCP 10.0.0.7;branch=z9hG4bKc\r\nRecord-Route: <sip:r1;lr>\r\n\
                Record-Route: <sip:r2;lr>\r\n";
    let text = request("INVITE", &format!("{more}{CONTACT}"), "")
        .replace("branch=z9hG4bKone", "branch=z9hG4bKone, SIP/2.0/UDP 10.0.0.8;branch=z9hG4bKb");
    net.inject(PEER, US, &text);
    let Event::Incoming { call, .. } = net.event(0) else { panic!() };
    let now = net.now;
    net.endpoint(0).accept(now, call, vec![], sdp()).unwrap();
    let ok = net.caught();
    let lines = |name: &str| -> Vec<String> {
        ok.lines()
            .filter_map(|l| Some(l.strip_prefix(name)?.trim_start_matches(": ").to_owned()))
            .collect()
    };
    assert_eq!(
        lines("Via"),
        [
            "SIP/2.0/UDP 10.0.0.9:5060;branch=z9hG4bKone",
            "SIP/2.0/UDP 10.0.0.8;branch=z9hG4bKb",
            "SIP/2.0/TCP 10.0.0.7;branch=z9hG4bKc"
        ]
    );
    assert_eq!(lines("Record-Route"), ["<sip:r1;lr>", "<sip:r2;lr>"]);
}

#[test]
fn requests_of_rfc_2543_are_matched_without_a_branch() {
    let mut net = net();
    let invite = request("INVITE", CONTACT, "").replace(";branch=z9hG4bKone", "");
    net.inject(PEER, US, &invite);
    net.inject(PEER, US, &invite);
    let Event::Incoming { call, .. } = net.event(0) else { panic!() };
    net.no_event(0);
    let now = net.now;
    net.endpoint(0).reject(now, call, 486, None, vec![]).unwrap();
    let busy = net.caught();
    let ack = invite
        .replace("INVITE", "ACK")
        .replace("To: <sip:bob@x>", &format!("To: {}", header(&busy, "To")));
    net.inject(PEER, US, &ack);
    assert!(matches!(net.event(0), Event::Ended { .. }));
    let sent = net.endpoint(0).stats().sent;
    net.run(10_000);
    assert_eq!(net.endpoint(0).stats().sent, sent, "the ACK stopped the repetitions");
    net.settle();
    net.assert_empty();
}

#[test]
fn cancel_of_an_rfc_2543_or_answered_invite() {
    let mut net = net();
    let invite = request("INVITE", CONTACT, "").replace(";branch=z9hG4bKone", "");
    net.inject(PEER, US, &invite);
    assert!(matches!(net.event(0), Event::Incoming { .. }));
    net.inject(PEER, US, &invite.replace("INVITE", "CANCEL"));
    assert_eq!(status(&net.caught()), "200 OK");
    assert_eq!(status(&net.caught()), "487 Request Terminated");
    assert!(matches!(net.event(0), Event::Ended { status: Some(487), .. }));
    // Too late: the CANCEL is answered and changes nothing.
    let mut net = self::net();
    net.inject(PEER, US, &request("INVITE", CONTACT, ""));
    let Event::Incoming { call, .. } = net.event(0) else { panic!() };
    let now = net.now;
    net.endpoint(0).accept(now, call, vec![], sdp()).unwrap();
    let ok = net.caught();
    let cancel = ask(&mut net, &request("CANCEL", "", ""));
    assert_eq!((status(&cancel), header(&cancel, "CSeq")), ("200 OK", "7 CANCEL"));
    assert!(has(&ok, "Contact") && header(&ok, "Contact") == "<sip:bob@10.0.0.1:5060>");
    net.no_event(0);
}

#[test]
fn requests_can_be_answered_by_the_owner_with_any_method_it_allows() {
    let mut config = Config::default();
    config.allow = vec![Method::Register, Method::Options];
    config.answer_options = false;
    let mut net = with(config);
    for method in ["REGISTER", "OPTIONS"] {
        net.inject(PEER, US, &request(method, "", "").replace("bKone", method));
        let Event::Request { key, .. } = net.event(0) else { panic!() };
        let now = net.now;
        net.endpoint(0).respond(now, key, 404, Some("Not Here"), vec![], None).unwrap();
        assert_eq!(status(&net.caught()), "404 Not Here");
    }
    assert_eq!(status(&ask(&mut net, &request("INVITE", CONTACT, ""))), "405 Method Not Allowed");
}

#[test]
fn nothing_that_a_stranger_sends_for_a_closed_stream_matters() {
    let mut net = net();
    let flow = tiny_sak::Flow {
        transport: Transport::Tcp,
        local: endpoint_net::addr(US),
        remote: endpoint_net::addr(PEER),
    };
    let now = net.now;
    net.endpoint(0).handle(now, Input::StreamClosed { flow });
    net.endpoint(0).handle(now, Input::SendFailed { flow, error: std::io::ErrorKind::TimedOut });
    net.assert_empty();
}
