//! The tables of RFC 3312 and its examples.

use super::*;
use crate::Limits;

fn stream(lines: &str) -> Description {
    let text = format!(
        "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n\
         m=audio 20000 RTP/AVP 0\r\n{lines}"
    );
    Description::parse(text.as_bytes(), &Limits::default()).unwrap()
}

fn printed(table: &QosTable, confirm: bool) -> String {
    let lines = table.attributes(confirm).into_iter();
    lines.map(|a| format!("a={}:{}\r\n", a.name.as_str(), a.value.unwrap().as_str())).collect()
}

/// One description of one side, learnt by the other.
fn tell(from: &QosTable, to: &mut QosTable, confirm: bool, reserved: bool) -> String {
    let said = printed(from, confirm);
    let description = stream(&said);
    assert_eq!(to.learn(&description.media(0).unwrap(), reserved), Ok(true));
    said
}

#[test]
fn s13_1_end_to_end_as_in_the_example() {
    let (mut a, mut b) = (QosTable::end_to_end(Strength::Mandatory), QosTable::default());
    let sdp1 = tell(&a, &mut b, false, false);
    assert_eq!(sdp1, "a=curr:qos e2e none\r\na=des:qos mandatory e2e sendrecv\r\n");
    let sdp2 = tell(&b, &mut a, true, false);
    assert_eq!(
        sdp2,
        "a=curr:qos e2e none\r\na=des:qos mandatory e2e sendrecv\r\na=conf:qos e2e recv\r\n"
    );
    assert!(!a.take_confirm_due(), "nothing is reserved yet");
    b.reserved(true);
    a.reserved(true);
    assert!(a.take_confirm_due() && !a.take_confirm_due(), "told once");
    assert!(!b.is_met());
    let sdp3 = tell(&a, &mut b, false, true);
    assert_eq!(sdp3, "a=curr:qos e2e send\r\na=des:qos mandatory e2e sendrecv\r\n");
    assert!(b.is_met());
    let sdp4 = tell(&b, &mut a, true, true);
    assert_eq!(sdp4, "a=curr:qos e2e sendrecv\r\na=des:qos mandatory e2e sendrecv\r\n");
    assert!(a.is_met());
}

#[test]
fn s13_2_segmented_with_tags_turned_round() {
    let mut a = QosTable::segmented(Strength::Mandatory, Strength::Mandatory);
    a.reserved(true);
    let mut b = QosTable::default();
    let sdp1 = tell(&a, &mut b, false, true);
    assert_eq!(
        sdp1,
        "a=curr:qos local sendrecv\r\na=curr:qos remote none\r\n\
         a=des:qos mandatory local sendrecv\r\na=des:qos mandatory remote sendrecv\r\n"
    );
    assert!(b.is_met(), "all the preconditions are met");
    let sdp2 = tell(&b, &mut a, true, true);
    assert!(sdp2.starts_with("a=curr:qos local sendrecv\r\na=curr:qos remote sendrecv\r\n"));
    assert!(a.is_met() && !sdp2.contains("conf"));
}

#[test]
fn strengths_rise_and_never_fall() {
    let mut ours = QosTable::segmented(Strength::Mandatory, Strength::None);
    let peer = stream("a=des:qos none remote sendrecv\r\na=des:qos optional local send\r\n");
    assert_eq!(ours.learn(&peer.media(0).unwrap(), false), Ok(true));
    assert!(ours.is_mandatory() && !ours.is_met());
    assert!(printed(&ours, false).ends_with(
        "a=des:qos mandatory local sendrecv\r\na=des:qos none remote send\r\n\
         a=des:qos optional remote recv\r\n"
    ));
    // Optional ones keep nobody waiting.
    assert!(QosTable::end_to_end(Strength::Optional).is_met());
}

#[test]
fn an_unknown_type_is_refused_unless_it_needs_nothing_of_us() {
    let mut table = QosTable::default();
    let learn =
        |table: &mut QosTable, lines: &str| table.learn(&stream(lines).media(0).unwrap(), false);
    let unknown = Err(UnknownKind { kind: "foo".into() });
    assert_eq!(learn(&mut table, "a=des:foo mandatory e2e send\r\n"), unknown);
    assert_eq!(learn(&mut table, "a=des:foo mandatory remote send\r\n"), unknown);
    assert_eq!(learn(&mut table, "a=des:foo mandatory local send\r\n"), Ok(false));
    assert_eq!(learn(&mut table, "a=des:foo optional e2e send\r\n"), Ok(false));
    assert!(table.is_empty());
}

#[test]
fn lines_that_make_no_sense_are_left_out() {
    for value in ["", "qos", "qos mandatory", "qos much e2e send", "qos none e2e up", "q n e s x"] {
        assert_eq!(DesiredStatus::parse(value), None);
        assert_eq!(CurrentStatus::parse(value), None);
    }
    let des = DesiredStatus::parse("qos  Mandatory E2E sendRecv").unwrap();
    assert_eq!(des.to_string(), "qos mandatory e2e sendrecv");
    let conf = ConfirmStatus::parse("qos remote recv").unwrap();
    assert_eq!(conf.to_string(), "qos remote recv");
}

#[test]
fn a_refusal_has_the_lines_of_the_offer_and_says_what_failed() {
    let mut table = QosTable::segmented(Strength::Mandatory, Strength::Mandatory);
    let offer = stream("m=video 30000 RTP/AVP 31\r\n");
    table.reserved(false);
    let text = refusal(&offer, 0, &table.failures());
    assert!(text.ends_with(
        "m=audio 0 RTP/AVP 0\r\na=des:qos failure local sendrecv\r\n\
         a=des:qos failure remote sendrecv\r\nm=video 0 RTP/AVP 31\r\n"
    ));
    Description::parse(text.as_bytes(), &Limits::default()).unwrap();
}
