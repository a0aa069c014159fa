//! Registrations as the handles see them: flows, GRUUs, associated identities, and waking up.

use super::*;
use crate::{IncomingCall, RegistrationInfo};

const REGISTRAR: &str = "192.0.2.9:5060";
const URN: &str = "urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6";

/// An agent with an account of this kind, and what the account's first REGISTER looks like.
fn agent_with(change: impl FnOnce(&mut AccountSpec)) -> (Agent, AccountKey, Instant) {
    let now = Instant::now();
    let config = Config { instance_id: Some(URN.into()), ..Config::default() };
    let mut agent = agent(1, config);
    let mut spec = AccountSpec::new("sip:alice@example.com".into());
    spec.registrar = Some(format!("sip:{REGISTRAR}"));
    change(&mut spec);
    let spec = Box::new(spec);
    let mut added = agent.command(now, |reply| Command::AddAccount { spec, reply });
    let account = added.now().unwrap();
    (agent, account, now)
}

fn text(sent: &[Transmit]) -> String {
    String::from_utf8(sent.first().expect("something is sent").data.to_vec()).unwrap()
}

fn field<'a>(text: &'a str, name: &str) -> &'a str {
    let line = text.lines().find(|line| line.starts_with(&format!("{name}: ")));
    line.unwrap_or_else(|| panic!("no {name} in {text}")).split_once(": ").unwrap().1
}

fn receive(agent: &mut Agent, now: Instant, from: &str, data: String) {
    let flow =
        Flow { transport: Transport::Udp, local: agent.address, remote: from.parse().unwrap() };
    let input = tiny_sip::Input::Datagram { flow, data: data.into() };
    agent.core.handle(now, Input::Sip(input));
}

fn accept(agent: &mut Agent, now: Instant, from: &str, request: &str, extra: &str) {
    let [via, sender, to, id, cseq, contact] =
        ["Via", "From", "To", "Call-ID", "CSeq", "Contact"].map(|name| field(request, name));
    let ok = format!(
        "SIP/2.0 200 OK\r\nVia: {via}\r\nFrom: {sender}\r\nTo: {to};tag=r\r\nCall-ID: {id}\r\n\
         CSeq: {cseq}\r\nContact: {contact}{extra}\r\nContent-Length: 0\r\n\r\n"
    );
    receive(agent, now, from, ok);
}

fn invite(agent: &mut Agent, now: Instant) {
    let to = agent.address;
    let invite = format!(
        "INVITE sip:alice@{to} SIP/2.0\r\nVia: SIP/2.0/UDP {REGISTRAR};branch=z9hG4bKpush\r\n\
         From: <sip:bob@example.com>;tag=1\r\nTo: <sip:alice@example.com>\r\nCall-ID: push\r\n\
         CSeq: 1 INVITE\r\nContact: <sip:bob@{REGISTRAR}>\r\nMax-Forwards: 70\r\n\
         Content-Length: 0\r\n\r\n"
    );
    receive(agent, now, REGISTRAR, invite);
}

#[test]
fn a_push_wakes_the_account_which_registers_and_gets_its_call() {
    let push = crate::Push {
        provider: "fcm".into(),
        prid: "token".into(),
        param: Some("project".into()),
        purr: None,
    };
    let (mut agent, account, now) = agent_with(|spec| spec.push = Some(push));
    let patience = Duration::from_secs(20);
    let wake = |reply| Command::Wake { account, patience, reply };
    let mut woken: Answer<IncomingCall> = agent.command(now, wake);
    let register = text(&agent.turn(now));
    assert!(register.starts_with("REGISTER sip:192.0.2.9:5060 SIP/2.0"), "{register}");
    let uri = "<sip:alice@192.0.2.1:5060;pn-provider=fcm;pn-prid=token;pn-param=project>";
    let expected = format!("{uri};+sip.instance=\"<{URN}>\";expires=600");
    assert_eq!(field(&register, "Contact"), expected);
    accept(&mut agent, now, REGISTRAR, &register, "");
    agent.turn(now);
    assert!(matches!(agent.events.try_recv(), Ok(Event::Registered { .. })));
    invite(&mut agent, now);
    agent.turn(now);
    let incoming = woken.now().expect("the call that the push announced");
    assert!(incoming.from().starts_with("sip:bob@"));
    assert!(agent.events.try_recv().is_err(), "nobody else is bothered with it");
}

#[test]
fn a_push_whose_caller_has_hung_up_ends_in_a_time_out_and_later_calls_are_events() {
    let (mut agent, account, now) = agent_with(|_| {});
    let patience = Duration::from_secs(20);
    let wake = |reply| Command::Wake { account, patience, reply };
    let mut woken: Answer<IncomingCall> = agent.command(now, wake);
    let register = text(&agent.turn(now));
    accept(&mut agent, now, REGISTRAR, &register, "");
    agent.turn(now);
    let Output::Timeout(Some(deadline)) = agent.core.poll(now) else { panic!("no deadline") };
    assert!(deadline <= now + patience);
    let later = now + patience;
    agent.core.handle(later, Input::Timeout);
    agent.turn(later);
    assert!(matches!(woken.now(), Err(Error::Timeout(_))));
    let _ = agent.events.try_recv();
    invite(&mut agent, later);
    agent.turn(later);
    assert!(matches!(agent.events.try_recv(), Ok(Event::IncomingCall(_))));
}

#[test]
fn what_the_registrar_gave_is_shown() {
    let (mut agent, account, now) = agent_with(|spec| {
        spec.gruu = true;
        spec.flows = vec!["sip:192.0.2.8".into(), "sip:192.0.2.9".into()];
    });
    let mut asked: Answer<RegistrationInfo> =
        agent.command(now, |reply| Command::Registration { account, reply });
    assert!(matches!(asked.now(), Err(Error::State(_))), "not registered yet");
    let mut registered = agent.command(now, |reply| Command::Register { account, reply });
    let one = text(&agent.turn(now));
    let granted = ";pub-gruu=\"sip:alice@example.com;gr=x\"\r\nRequire: outbound\r\n\
                   Service-Route: <sip:core.example.com;lr>\r\n\
                   P-Associated-URI: <sip:alice@example.com>, <tel:+15550100>";
    accept(&mut agent, now, "192.0.2.8:5060", &one, granted);
    let two = text(&agent.turn(now));
    assert!(registered.now().unwrap().outbound);
    assert_eq!(field(&two, "Route"), "<sip:192.0.2.9;lr>");
    let mut asked: Answer<RegistrationInfo> =
        agent.command(now, |reply| Command::Registration { account, reply });
    let info = asked.now().unwrap();
    assert_eq!(info.public_gruu.as_deref(), Some("sip:alice@example.com;gr=x"));
    assert_eq!(info.associated, ["sip:alice@example.com", "tel:+15550100"]);
    assert_eq!(info.route, ["<sip:192.0.2.8;lr>", "<sip:core.example.com;lr>"]);
    let up: Vec<bool> = info.flows.iter().map(|flow| flow.flow.is_some()).collect();
    assert_eq!(up, [true, false]);
}
