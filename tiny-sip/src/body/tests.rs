//! The documents of the RFCs, and hostile ones.

mod events;
mod messages;

use super::dialog_info::{Dialog, DialogInfo, Dialogs, Direction, State};
use super::pidf::{Basic, Presence};
use super::*;

const LIMITS: Limits = Limits {
    max_bytes: 65_535,
    max_depth: 16,
    max_nodes: 8_192,
    max_attributes: 32,
    max_rows: 1_024,
    max_parts: 256,
};

fn presence(text: &str) -> Presence {
    let presence = Presence::parse(text.as_bytes(), &LIMITS).unwrap();
    let printed = presence.to_body();
    assert_eq!(Presence::parse(printed.as_bytes(), &LIMITS).unwrap(), presence, "{printed}");
    presence
}

// RFC 3863 §3.3.1 and §4.2.1.
#[test]
fn presence_with_prefixes_default_namespaces_and_foreign_elements() {
    let plain = presence(
        r#"<?xml version="1.0" encoding="UTF-8"?>
        <impp:presence xmlns:impp="urn:ietf:params:xml:ns:pidf" entity="pres:someone@example.com">
          <impp:tuple id="sg89ae">
            <impp:status><impp:basic>open</impp:basic></impp:status>
            <impp:contact priority="0.8">tel:+09012345678</impp:contact>
          </impp:tuple>
        </impp:presence>"#,
    );
    assert_eq!(plain.entity, "pres:someone@example.com");
    assert_eq!(plain.tuples[0].basic, Some(Basic::Open));
    let contact = plain.tuples[0].contact.as_ref().unwrap();
    assert_eq!(
        (contact.uri.as_str(), contact.priority.as_deref()),
        ("tel:+09012345678", Some("0.8"))
    );

    let rich = presence(
        r#"<presence xmlns="urn:ietf:params:xml:ns:pidf"
             xmlns:im="urn:ietf:params:xml:ns:pidf:im"
             xmlns:myex="http://id.example.com/presence/" entity="pres:someone@example.com">
          <tuple id="bs35r9"><status><basic>open</basic><im:im>busy</im:im>
            <myex:location>home</myex:location></status>
            <contact priority="0.8">im:someone@mobilecarrier.net</contact>
            <note xml:lang="en">Don't Disturb Please!</note>
            <note xml:lang="fr">Ne derangez pas, s'il vous plait</note>
            <timestamp>2001-10-27T16:49:29Z</timestamp></tuple>
          <tuple id="eg92n8"><status><basic>closed</basic></status></tuple>
          <note>I'll be in Tokyo next week</note>
        </presence>"#,
    );
    assert_eq!(rich.tuples.len(), 2);
    assert_eq!(rich.tuples[0].notes[1].lang.as_deref(), Some("fr"));
    assert_eq!(rich.note(), Some("I'll be in Tokyo next week"));
    assert!(rich.is_open());
}

// RFC 4480 §4.
#[test]
fn rich_presence_of_the_rfc() {
    let rich = presence(
        r#"<?xml version="1.0" encoding="UTF-8"?>
      <presence xmlns="urn:ietf:params:xml:ns:pidf" xmlns:dm="urn:ietf:params:xml:ns:pidf:data-model"
        xmlns:lt="urn:ietf:params:xml:ns:location-type" xmlns:rpid="urn:ietf:params:xml:ns:pidf:rpid"
        entity="pres:someone@example.com">
     <tuple id="bs35r9"><status><basic>open</basic></status>
       <dm:deviceID>urn:device:0003ba4811e3</dm:deviceID>
       <rpid:relationship><rpid:self/></rpid:relationship>
       <rpid:service-class><rpid:electronic/></rpid:service-class>
       <contact priority="0.8">im:someone@mobile.example.net</contact>
       <timestamp>2005-10-27T16:49:29Z</timestamp></tuple>
     <note>I'll be in Tokyo next week</note>
     <dm:device id="pc147">
       <rpid:user-input idle-threshold="600"
         last-input="2004-10-21T13:20:00-05:00">idle</rpid:user-input>
       <dm:deviceID>urn:device:0003ba4811e3</dm:deviceID><dm:note>PC</dm:note></dm:device>
     <dm:person id="p1">
       <rpid:activities from="2005-05-30T12:00:00+05:00" until="2005-05-30T17:00:00+05:00">
          <rpid:note>Far away</rpid:note><rpid:away/></rpid:activities>
       <rpid:class>calendar</rpid:class>
       <rpid:mood><rpid:angry/><rpid:other>brooding</rpid:other></rpid:mood>
       <rpid:place-is><rpid:audio><rpid:noisy/></rpid:audio></rpid:place-is>
       <rpid:place-type><lt:residence/></rpid:place-type>
       <rpid:privacy><rpid:unknown/></rpid:privacy>
       <rpid:sphere>bowling league</rpid:sphere>
       <rpid:status-icon>http://example.com/play.gif</rpid:status-icon>
       <rpid:time-offset>-240</rpid:time-offset>
       <dm:note>Scoring 120</dm:note><dm:timestamp>2005-05-30T16:09:44+05:00</dm:timestamp>
     </dm:person></presence>"#,
    );
    let person = &rich.persons[0];
    let activities = rich.activities().unwrap();
    assert!(activities.has("away") && activities.notes[0].text == "Far away");
    assert_eq!(activities.until.as_deref(), Some("2005-05-30T17:00:00+05:00"));
    let mood = person.rpid.mood.as_ref().unwrap();
    assert_eq!((mood.words[0].name.as_str(), mood.words[1].text.as_str()), ("angry", "brooding"));
    assert_eq!(person.rpid.place_is.as_ref().unwrap().audio.as_deref(), Some("noisy"));
    assert!(person.rpid.place_type.as_ref().unwrap().has("residence"));
    assert_eq!(person.rpid.sphere.as_deref(), Some("bowling league"));
    assert_eq!(person.rpid.time_offset, Some(-240));
    let input = rich.devices[0].rpid.user_input.as_ref().unwrap();
    assert_eq!((input.idle, input.idle_threshold), (true, Some(600)));
    assert!(rich.tuples[0].rpid.relationship.as_ref().unwrap().has("self"));
}

#[test]
fn text_of_any_kind_comes_back_and_cannot_break_out() {
    let mut odd = Presence::new("sip:<&\">'@b", true);
    odd.set_activity(super::rpid::Words::of("no name!"), "a<b>&amp;\u{1}]]>\n\"ü");
    let text = odd.to_body();
    let again = Presence::parse(text.as_bytes(), &LIMITS).unwrap();
    assert_eq!(again.entity, odd.entity);
    assert_eq!(again.note(), Some("a<b>&amp;]]>\n\"ü"));
    let word = &again.activities().unwrap().words[0];
    assert_eq!((word.name.as_str(), word.text.as_str()), ("other", "no name!"));
}

fn info(text: &str) -> DialogInfo {
    let info = DialogInfo::parse(text.as_bytes(), &LIMITS).unwrap();
    let printed = info.to_body();
    assert_eq!(DialogInfo::parse(printed.as_bytes(), &LIMITS).unwrap(), info, "{printed}");
    info
}

// RFC 4235 §4.2 and §4.1.
#[test]
fn dialogs_of_the_rfc() {
    let sample = info(
        r#"<?xml version="1.0" encoding="UTF-8"?>
   <dialog-info xmlns="urn:ietf:params:xml:ns:dialog-info"
    xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"
     xsi:schemaLocation="urn:ietf:params:xml:ns:dialog-info" version="1" state="full">
     <dialog id="123456"><state>confirmed</state><duration>274</duration>
        <local><identity display="Alice">sip:alice@example.com</identity>
          <target uri="sip:alice@pc33.example.com">
            <param pname="isfocus" pval="true"/><param pname="class" pval="personal"/></target></local>
        <remote><identity display="Bob">sip:bob@example.org</identity>
          <target uri="sip:bobster@phone21.example.org"/></remote>
     </dialog></dialog-info>"#,
    );
    let dialog = &sample.dialogs[0];
    assert_eq!((sample.version, dialog.state, dialog.duration), (1, State::Confirmed, Some(274)));
    assert_eq!(dialog.local.target.as_ref().unwrap().params[1].1, "personal");
    assert_eq!(dialog.remote.identities[0].display.as_deref(), Some("Bob"));

    let ended = info(
        r#"<dialog-info xmlns="urn:ietf:params:xml:ns:dialog-info" version="0" state="partial"
             entity="sip:alice@example.com">
           <dialog id="as7d900as8" call-id="a84b4c76e66710" local-tag="1928301774"
              remote-tag="456887766" direction="initiator">
              <state event="rejected" code="486">terminated</state>
              <replaces call-id="hg287s98s89" local-tag="6762h7" remote-tag="09278hsb"/>
              <referred-by display="Bob">sip:bob@example.com</referred-by>
              <route-set><hop>&lt;sip:p1;lr&gt;</hop></route-set>
           </dialog></dialog-info>"#,
    );
    let dialog = &ended.dialogs[0];
    assert_eq!((dialog.event.as_deref(), dialog.code), (Some("rejected"), Some(486)));
    assert_eq!(dialog.direction, Some(Direction::Initiator));
    assert_eq!(dialog.replaces.as_ref().unwrap().remote_tag, "09278hsb");
    assert_eq!(dialog.route_set, ["<sip:p1;lr>"]);
}

// RFC 4235 §4.3.
#[test]
fn partial_dialog_information_builds_up_a_table() {
    let mut table = Dialogs::default();
    let step = |version, extent, rows: &[(&str, State)]| DialogInfo {
        version,
        extent,
        entity: "sip:a@b".into(),
        dialogs: rows
            .iter()
            .map(|(id, state)| Dialog { id: (*id).into(), state: *state, ..Dialog::default() })
            .collect(),
    };
    let ids = |table: &Dialogs| table.iter().map(|d| d.id.clone()).collect::<Vec<_>>();
    let mut first = step(7, Extent::Full, &[("a", State::Early), ("b", State::Trying)]);
    first.dialogs[0].call_id = Some("c1".into());
    assert_eq!(table.merge(&first, &LIMITS), Ok(Merged::Applied));
    assert_eq!(table.state(), Some(State::Early));
    // A change, keeping what is not repeated.
    let next = step(8, Extent::Partial, &[("a", State::Confirmed)]);
    assert_eq!(table.merge(&next, &LIMITS), Ok(Merged::Applied));
    assert_eq!(table.iter().next().unwrap().call_id.as_deref(), Some("c1"));
    assert_eq!(table.state(), Some(State::Confirmed));
    // Repetitions and what was overtaken change nothing.
    assert_eq!(table.merge(&next, &LIMITS), Ok(Merged::Stale));
    assert_eq!(table.merge(&first, &LIMITS), Ok(Merged::Stale));
    // One is missing: used, and a refresh is asked for.
    let late = step(10, Extent::Partial, &[("b", State::Terminated), ("c", State::Trying)]);
    assert_eq!(table.merge(&late, &LIMITS), Ok(Merged::Gap));
    assert_eq!(ids(&table), ["a", "c"]);
    let all = step(11, Extent::Full, &[]);
    assert_eq!(table.merge(&all, &LIMITS), Ok(Merged::Applied));
    assert_eq!((table.iter().count(), table.state()), (0, None));
    // The table is bounded however the rows come.
    let small = Limits { max_rows: 2, ..LIMITS };
    let many = step(12, Extent::Partial, &[("a", State::Early), ("b", State::Early)]);
    assert_eq!(table.merge(&many, &small), Ok(Merged::Applied));
    let more = step(13, Extent::Partial, &[("c", State::Early)]);
    assert_eq!(table.merge(&more, &small), Err(BodyError::Limit("max_rows")));
    assert_eq!(ids(&table), ["a", "b"]);
    // A subscription that begins with a partial document lacks the rest.
    assert_eq!(Dialogs::default().merge(&more, &LIMITS), Ok(Merged::Gap));
}

fn refused(text: &str) -> BodyError {
    Presence::parse(text.as_bytes(), &LIMITS).unwrap_err()
}

#[test]
fn document_types_and_entities_are_refused() {
    let laughs = r#"<?xml version="1.0"?><!DOCTYPE lolz [<!ENTITY lol "lol">
        <!ENTITY lol2 "&lol;&lol;&lol;&lol;&lol;&lol;&lol;&lol;&lol;&lol;">]>
        <presence xmlns="urn:ietf:params:xml:ns:pidf" entity="&lol2;"/>"#;
    assert_eq!(refused(laughs), BodyError::DocumentType);
    let outside = r#"<!DOCTYPE p SYSTEM "file:///etc/passwd"><presence entity="a"/>"#;
    assert_eq!(refused(outside), BodyError::DocumentType);
    assert_eq!(refused(r#"<presence entity="&lol;"/>"#), BodyError::NotWellFormed);
    assert_eq!(refused(r#"<presence entity="a">&xxe;</presence>"#), BodyError::NotWellFormed);
    // Where it is text it is no declaration.
    let text =
        "<presence entity='a'><note><![CDATA[<!DOCTYPE x>]]></note><!-- <!DOCTYPE --></presence>";
    assert_eq!(presence(text).note(), Some("<!DOCTYPE x>"));
}

#[test]
fn depth_nodes_attributes_and_size_are_bounded() {
    let deep = format!("<presence entity='a'>{}", "<a>".repeat(20_000));
    assert_eq!(refused(&deep), BodyError::Limit("max_depth"));
    let closed =
        format!("<presence entity='a'>{0}{1}</presence>", "<a>".repeat(16), "</a>".repeat(16));
    assert_eq!(refused(&closed), BodyError::Limit("max_depth"));
    let wide = format!("<presence entity='a'>{}</presence>", "<a/>".repeat(10_000));
    assert_eq!(refused(&wide), BodyError::Limit("max_nodes"));
    let attributes: String = (0..9_000).map(|n| format!(" a{n}=''")).collect();
    let many = format!("<presence entity='a'{}/>", &attributes[..60_000]);
    assert_eq!(refused(&many), BodyError::Limit("max_attributes"));
    let long = format!("<presence entity='{}'/>", "a".repeat(1 << 20));
    assert_eq!(refused(&long), BodyError::Limit("max_bytes"));
    let rows =
        format!("<presence entity='a'>{}</presence>", "<tuple><status/></tuple>".repeat(1_025));
    assert_eq!(refused(&rows), BodyError::Limit("max_rows"));
}

#[test]
fn what_is_no_document_of_the_kind_is_refused_with_its_reason() {
    assert_eq!(Presence::parse(b"<a>\xff</a>", &LIMITS).unwrap_err(), BodyError::NotUtf8);
    for bad in
        ["", "x", "<", "<presence", "<presence entity='a'>", "<presence entity='a'></b>", "<!--"]
    {
        assert_eq!(refused(bad), BodyError::NotWellFormed, "{bad}");
    }
    assert_eq!(refused("<dialog-info/>"), BodyError::Root("presence"));
    assert_eq!(refused("<presence xmlns='urn:x' entity='a'/>"), BodyError::Root("presence"));
    assert_eq!(refused("<presence/>"), BodyError::Missing("entity"));
    let bad = "<presence entity='a'><tuple id='1'><status><basic>maybe</basic></status></tuple></presence>";
    assert_eq!(refused(bad), BodyError::Invalid("basic"));
    assert_eq!(
        DialogInfo::parse(b"<dialog-info version='-1' state='full'/>", &LIMITS).unwrap_err(),
        BodyError::Invalid("version")
    );
}
