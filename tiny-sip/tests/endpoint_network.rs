//! Another network: what goes on, what is asked again and what is told to whom, octet by octet, with
//! peers by hand (docs/adr/0006).

mod endpoint_net;

use endpoint_net::{Net, SDP, addr, answer, header, sdp};
use tiny_sak::Transport;
use tiny_sip::{Account, Body, Config, Event, Method, PublicationEvent, Publish, Registration};

const US: &str = "10.0.0.1:5060";
const NEW: &str = "172.16.0.7:5060";
const PEER: &str = "10.0.0.9:5060";

fn net(account: Account) -> Net {
    let mut net = Net::new(1);
    let account = Account { aor: "sip:alice@10.0.0.9".into(), ..account };
    net.add_account(US, account, Config::default());
    net.endpoint(0).bind(Transport::Tcp, addr(US));
    net
}

/// The next message to the peer, and where it came from.
fn caught(net: &mut Net) -> (String, String) {
    for _ in 0..1000 {
        if let Some((from, _, text)) = net.inbox.pop_front() {
            if !text.trim().is_empty() {
                return (from.to_string(), text);
            }
            continue;
        }
        assert!(net.step(None), "nothing is on its way");
    }
    panic!("nothing came");
}

fn cseq(text: &str) -> u32 {
    header(text, "CSeq").split(' ').next().unwrap().parse().unwrap()
}

/// A call to the peer, which has sent its 200 and had its ACK: the INVITE and the tagged To.
fn call(net: &mut Net) -> (tiny_sip::CallKey, String) {
    let call = net.invite(0, "sip:bob@10.0.0.9");
    let invite = net.caught();
    net.inject(PEER, US, &ok(&invite, "10.0.0.9"));
    assert!(matches!(net.event(0), Event::Answered { .. }));
    assert!(net.caught().starts_with("ACK sip:bob@10.0.0.9 SIP/2.0\r\n"));
    (call, invite)
}

fn ok(invite: &str, at: &str) -> String {
    let extra = format!("Contact: <sip:bob@{at}>\r\nContent-Type: application/sdp\r\n");
    let head = answer(invite, "200 OK", "bob", &extra);
    let length = format!("Content-Length: {}", SDP.len());
    format!("{}{SDP}", head.replace("Content-Length: 0", &length))
}

#[test]
fn a_datagram_request_goes_on_from_the_new_socket_as_it_was() {
    let mut net = net(Account::default());
    let (now, account) = (net.now, net.peers[0].account);
    let body = Some(Body::new("text/plain", "once"));
    let to = "sip:bob@10.0.0.9";
    net.endpoint(0).request(now, account, Method::Message, to, vec![], body).unwrap();
    let (from, first) = caught(&mut net);
    assert_eq!(from, US);
    net.relocate(0, NEW);
    let (from, again) = caught(&mut net);
    // The server knows it by branch and sent-by: whoever had it already does nothing twice.
    assert_eq!((from.as_str(), &again), (NEW, &first));
    net.inject(PEER, NEW, &answer(&again, "200 OK", "bob", ""));
    assert!(matches!(net.event(0), Event::Response { .. }));
    net.settle();
    net.assert_empty();
}

#[test]
fn a_request_on_a_connection_that_is_gone_is_sent_again_on_another() {
    let mut net = net(Account { transport: Some(Transport::Tcp), ..Account::default() });
    let (now, account) = (net.now, net.peers[0].account);
    let to = "sip:bob@10.0.0.9";
    net.endpoint(0).request(now, account, Method::Options, to, vec![], None).unwrap();
    let (_, first) = caught(&mut net);
    net.relocate(0, NEW);
    let (from, again) = caught(&mut net);
    assert_eq!(from, NEW);
    assert!(header(&again, "Via").starts_with("SIP/2.0/TCP 172.16.0.7:5060;"));
    assert_ne!(header(&again, "Via"), header(&first, "Via"));
    assert_eq!(header(&again, "CSeq"), header(&first, "CSeq"));
    net.inject_stream(PEER, NEW, &answer(&again, "200 OK", "bob", ""));
    assert!(matches!(net.event(0), Event::Response { .. }));
}

#[test]
fn a_publication_is_refreshed_at_once() {
    let mut net = net(Account::default());
    let (now, account) = (net.now, net.peers[0].account);
    let body = Body::new("application/pidf+xml", "open".to_owned());
    let event = "presence".into();
    let spec = Publish { to: None, event, body, expires: 600, headers: vec![] };
    net.endpoint(0).publish(now, account, spec).unwrap();
    let first = net.caught();
    net.inject(PEER, US, &answer(&first, "200 OK", "esc", "SIP-ETag: one\r\nExpires: 600\r\n"));
    let Event::Publication { event: PublicationEvent::Published { .. }, .. } = net.event(0) else {
        panic!("not published");
    };
    net.relocate(0, NEW);
    let (from, refresh) = caught(&mut net);
    assert_eq!(from, NEW);
    assert_eq!(header(&refresh, "SIP-If-Match"), "one");
    assert!(refresh.ends_with("\r\n\r\n"), "a refresh has no body");
    // Moved again before the answer: nobody knows which of the two tags is the right one.
    net.relocate(0, "172.16.0.8:5060");
    let (_, again) = caught(&mut net);
    assert!(again.starts_with("PUBLISH ") && again.ends_with("open"), "{again}");
}

#[test]
fn each_flow_registers_anew_under_its_reg_id_and_takes_nothing_back() {
    let flows = ["10.0.0.8", "10.0.0.9"].map(|host| format!("sip:{host};transport=udp"));
    let instance = Some("urn:uuid:00000000-0000-1000-8000-AABBCCDDEEFF".to_owned());
    let mut net = net(Account { instance, flows: flows.to_vec(), ..Account::default() });
    let (now, account) = (net.now, net.peers[0].account);
    let registrar = "sip:10.0.0.9".to_owned();
    let registration = Registration { registrar, expires: 600, headers: vec![] };
    net.endpoint(0).register(now, account, registration).unwrap();
    for proxy in ["10.0.0.8:5060", PEER] {
        let (_, request) = caught(&mut net);
        let extra = format!("Contact: {}\r\nRequire: outbound\r\n", header(&request, "Contact"));
        net.inject(proxy, US, &answer(&request, "200 OK", "reg", &extra));
        assert!(matches!(net.event(0), Event::Registered { outbound: true, .. }));
    }
    net.relocate(0, NEW);
    for reg_id in [1, 2] {
        let (from, request) = caught(&mut net);
        let contact = header(&request, "Contact");
        assert_eq!(from, NEW);
        assert!(request.starts_with("REGISTER "));
        assert!(contact.contains("172.16.0.7:5060") && !contact.contains("10.0.0.1"), "{contact}");
        assert!(contact.contains(&format!(";reg-id={reg_id};")), "{contact}");
        assert!(!contact.contains("expires=0"), "{contact}");
    }
}

#[test]
fn a_re_invite_whose_answer_is_lost_is_acknowledged_unheard_and_made_anew_by_its_owner() {
    let mut net = net(Account::default());
    let (call, _) = call(&mut net);
    let now = net.now;
    net.endpoint(0).reinvite(now, call, vec![], sdp()).unwrap();
    let lost = net.caught();
    net.relocate(0, NEW);
    let Event::ReinviteRejected { status: 491, .. } = net.event(0) else { panic!("not told") };
    let now = net.now;
    net.endpoint(0).reinvite(now, call, vec![], sdp()).unwrap();
    // First the ACK of the call itself, which may have been lost as well.
    let mut steps = Vec::new();
    while steps.len() < 3 {
        let (from, text) = caught(&mut net);
        assert_eq!(from, NEW);
        steps.push(text);
    }
    let first = |text: &str| text.split(' ').next().unwrap().to_owned();
    let told: Vec<_> = steps.iter().map(|text| (first(text), cseq(text))).collect();
    let lost = cseq(&lost);
    let ack = |number| ("ACK".to_owned(), number);
    assert_eq!(told, [ack(1), ack(lost), ("INVITE".to_owned(), lost + 1)]);
    assert!(header(&steps[2], "Contact").contains("172.16.0.7:5060"));
}

#[test]
fn a_2xx_that_comes_again_from_elsewhere_is_acknowledged_there() {
    let mut net = net(Account::default());
    let (call, invite) = call(&mut net);
    net.inject(PEER, US, &ok(&invite, "10.0.0.9"));
    assert!(net.caught().starts_with("ACK sip:bob@10.0.0.9 "));
    net.inject("10.0.0.5:5060", US, &ok(&invite, "10.0.0.5"));
    assert!(net.caught().starts_with("ACK sip:bob@10.0.0.5 "));
    // What follows goes there, too.
    let now = net.now;
    net.endpoint(0).hangup(now, call, vec![]).unwrap();
    assert!(net.caught().starts_with("BYE sip:bob@10.0.0.5 "));
}

#[test]
fn without_a_network_calls_keep_their_changes_and_dialed_ones_wait() {
    let mut net = net(Account::default());
    let (up, _) = call(&mut net);
    let dialed = net.invite(0, "sip:bob@10.0.0.9");
    let old = net.caught();
    let now = net.now;
    net.endpoint(0).network_lost(now);
    assert!(net.endpoint(0).awaits_restart(dialed) && net.endpoint(0).offers_at_restart(dialed));
    assert!(net.endpoint(0).restart(now, dialed, sdp()).is_err(), "there is no network");
    net.endpoint(0).reinvite(now, up, vec![], sdp()).unwrap();
    net.run(40_000);
    assert!(net.inbox.is_empty(), "{:?}", net.inbox);
    net.relocate(0, NEW);
    let now = net.now;
    net.endpoint(0).restart(now, dialed, sdp()).unwrap();
    let (_, cancel) = caught(&mut net);
    assert!(cancel.starts_with("CANCEL "), "{cancel}");
    assert_eq!(header(&cancel, "Via"), header(&old, "Via"));
    // Nobody answers the CANCEL: the new INVITE does not wait for ever.
    let anew = loop {
        let (_, text) = caught(&mut net);
        if text.starts_with("INVITE ") {
            break text;
        }
    };
    assert_ne!(header(&anew, "Call-ID"), header(&old, "Call-ID"));
}
