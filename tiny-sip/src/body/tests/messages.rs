//! CPIM, delivery reports and "is typing": the RFCs' examples; and text that is none of anything.

use crate::body::composing::{Composer, IsComposing, Observer, Timing};
use crate::body::cpim::{Cpim, escape, unescape};
use crate::body::imdn::{Kind, Report, Request, Status};
use crate::body::*;
use std::time::{Duration, Instant};

fn limits() -> Limits {
    Limits::default()
}

// RFC 3862 §5.1.
#[test]
fn a_message_of_the_rfc_in_its_envelope() {
    let text = "From: MR SANDERS <im:piglet@100akerwood.com>\r\n\
        To: Depressed Donkey <im:eeyore@100akerwood.com>\r\n\
        DateTime: 2000-12-13T13:40:00-08:00\r\n\
        Subject: the weather will be fine today\r\n\
        Subject:;lang=fr beau temps prevu pour aujourd'hui\r\n\
        NS: MyFeatures <mid:MessageFeatures@id.foo.com>\r\n\
        Require: MyFeatures.VitalMessageOption\r\n\
        MyFeatures.VitalMessageOption: Confirmation-requested\r\n\
        MyFeatures.WackyMessageOption: Use-silly-font\r\n\r\n\
        Content-type: text/xml; charset=utf-8\r\nContent-ID: <1234567890@foo.com>\r\n\r\n\
        <body>\r\nHere is the text of my message.\r\n</body>";
    let message = Cpim::parse(text.as_bytes(), &limits()).unwrap();
    assert_eq!(message.from().as_deref(), Some("MR SANDERS <im:piglet@100akerwood.com>"));
    assert_eq!(message.content_type(), "text/xml; charset=utf-8");
    assert_eq!(message.headers[4].lang.as_deref(), Some("fr"));
    let own: Vec<_> = message.of_namespace("mid:MessageFeatures@id.foo.com").collect();
    assert_eq!(own[1], ("WackyMessageOption", "Use-silly-font".to_owned()));
    assert_eq!(String::from_utf8(message.to_body()).unwrap(), text);
    // With the outer header that the RFC's figure has.
    let outer = format!("Content-type: Message/CPIM\r\n\r\n{text}");
    assert_eq!(Cpim::parse(outer.as_bytes(), &limits()).unwrap(), message);
    for bad in ["", "From: a", "From: a\r\n\r\n", "\r\n\r\nx", "no colon\r\n\r\n\r\n"] {
        assert!(Cpim::parse(bad.as_bytes(), &limits()).is_err(), "{bad}");
    }
}

// RFC 3862 §2.3.
#[test]
fn escapes_are_those_of_the_rfc() {
    assert_eq!(unescape("a\\u0041\\\\\\n\\\"\\ud83d\\ude00"), "aA\\\n\"😀");
    assert_eq!(unescape("\\u00e\\x\\ud800\\"), "\\u00e\\x\\ud800\\");
    assert_eq!(escape("a\r\nb\\\u{1}\u{7f}"), "a\\r\\nb\\\\\\u0001\\u007f");
}

// RFC 5438 §7.1.1 and §7.2.1.1.
#[test]
fn a_delivery_report_is_asked_for_and_given() {
    let mut message = Cpim::new(
        "Alice <im:alice@example.com>",
        "Bob <im:bob@example.com>",
        "text/plain",
        b"Hello",
    );
    message.add("DateTime", "2008-04-04T12:16:49-05:00");
    let request = Request {
        message_id: "34jk324j".into(),
        positive_delivery: true,
        display: true,
        ..Request::default()
    };
    request.add_to(&mut message);
    message.add("imdn.IMDN-Record-Route", "<im:relay@example.com>");
    let text = String::from_utf8(message.to_body()).unwrap();
    assert!(
        text.contains("imdn.Disposition-Notification: positive-delivery, display\r\n"),
        "{text}"
    );

    let received = Cpim::parse(text.as_bytes(), &limits()).unwrap();
    let asked = Request::of(&received).unwrap();
    assert_eq!(asked.record_route, ["<im:relay@example.com>"]);
    assert_eq!(asked.answer(&received, Kind::Delivery, Status::Failed, "x"), None);
    let answer =
        asked.answer(&received, Kind::Delivery, Status::Delivered, "d834jied93rf").unwrap();
    let text = String::from_utf8(answer.to_body()).unwrap();
    for line in [
        "From: Bob <im:bob@example.com>\r\n",
        "To: Alice <im:alice@example.com>\r\n",
        "NS: imdn <urn:ietf:params:imdn>\r\n",
        "imdn.Message-ID: d834jied93rf\r\n",
        "imdn.IMDN-Route: <im:relay@example.com>\r\n",
        "Content-Disposition: notification\r\n",
    ] {
        assert!(text.contains(line), "{text}");
    }
    let report = Report::parse(&answer.body, &limits()).unwrap();
    assert_eq!((report.message_id.as_str(), report.status), ("34jk324j", Status::Delivered));
    assert_eq!(report.recipient.as_deref(), Some("im:bob@example.com"));
    assert_eq!(report.datetime, "2008-04-04T12:16:49-05:00");
    assert_eq!(Report::parse(report.to_body().as_bytes(), &limits()).unwrap(), report);
    // No report on a report.
    let mut loud = answer.clone();
    loud.add("imdn.Disposition-Notification", "positive-delivery");
    assert_eq!(Request::of(&loud), None);
}

// RFC 5438 §7.2.1.2.
#[test]
fn the_display_report_of_the_rfc() {
    let report = Report::parse(
        br#"<?xml version="1.0" encoding="UTF-8"?>
   <imdn xmlns="urn:ietf:params:xml:ns:imdn">
         <message-id>34jk324j</message-id><datetime>2008-04-04T12:16:49-05:00</datetime>
        <recipient-uri>im:bob@example.com</recipient-uri>
         <original-recipient-uri
            >im:bob@example.com</original-recipient-uri>
         <display-notification><status><displayed/></status></display-notification>
       </imdn>"#,
        &limits(),
    )
    .unwrap();
    assert_eq!((report.kind, report.status), (Kind::Display, Status::Displayed));
}

// RFC 3994 §5.
#[test]
fn typing_documents_of_the_rfc() {
    let active = IsComposing::parse(
        br#"<?xml version="1.0" encoding="UTF-8"?>
   <isComposing xmlns="urn:ietf:params:xml:ns:im-iscomposing"
   xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"
   xsi:schemaLocation="urn:ietf:params:xml:ns:im-composing iscomposing.xsd">
     <state>active</state><contenttype>text/plain</contenttype><refresh>90</refresh>
   </isComposing>"#,
        &limits(),
    )
    .unwrap();
    assert_eq!((active.active, active.refresh), (true, Some(90)));
    assert_eq!(IsComposing::parse(active.to_body().as_bytes(), &limits()).unwrap(), active);
    let other = b"<isComposing><state>pondering</state></isComposing>";
    assert!(!IsComposing::parse(other, &limits()).unwrap().active);
}

// RFC 3994 Figure 1.
#[test]
fn a_writer_tells_once_refreshes_and_falls_idle() {
    let start = Instant::now();
    let at = |seconds| start + Duration::from_secs(seconds);
    let mut writer = Composer::new(Timing::default());
    assert_eq!(writer.next_timeout(), None);
    let told = writer.typed(at(0)).unwrap();
    // Longer than what it keeps to, for the next one has a way to go.
    assert_eq!((told.active, told.refresh), (true, Some(105)));
    for second in 1..=100 {
        assert_eq!(writer.typed(at(second)), None);
        let refresh = writer.poll(at(second));
        assert_eq!(refresh.is_some(), second == 90, "{second}");
    }
    assert_eq!(writer.next_timeout(), Some(at(115)));
    assert_eq!(writer.poll(at(114)), None);
    assert!(!writer.poll(at(115)).unwrap().active);
    assert_eq!((writer.poll(at(116)), writer.next_timeout()), (None, None));
    // The message itself says that it is over.
    assert!(writer.typed(at(120)).is_some());
    writer.sent();
    assert_eq!((writer.poll(at(400)), writer.next_timeout()), (None, None));
    // Refreshes come at most once a minute.
    let mut eager = Composer::new(Timing { refresh: Duration::from_secs(1), ..Timing::default() });
    assert_eq!(eager.typed(at(0)).unwrap().refresh, Some(75));
}

// RFC 3994 Figure 2.
#[test]
fn a_reader_falls_idle_by_status_content_or_time() {
    let start = Instant::now();
    let at = |seconds| start + Duration::from_secs(seconds);
    let status = |active, refresh| IsComposing { active, refresh, ..IsComposing::default() };
    let mut reader = Observer::default();
    assert!(reader.received(at(0), &status(true, None)));
    assert!(!reader.received(at(1), &status(true, Some(90))));
    assert_eq!(reader.next_timeout(), Some(at(91)));
    assert!(!reader.poll(at(90)) && reader.is_active());
    assert!(reader.poll(at(91)) && !reader.is_active());
    assert!(reader.received(at(100), &status(true, None)));
    assert_eq!(reader.next_timeout(), Some(at(220)));
    assert!(reader.content() && !reader.content());
    assert!(reader.received(at(300), &status(true, Some(u32::MAX))));
    assert!(reader.received(at(301), &status(false, None)));
    assert!(!reader.received(at(302), &status(false, None)));
}

/// Reads the octets as everything there is; what can be read is printed and read again the same.
fn read_all(body: &[u8]) {
    let limits = limits();
    macro_rules! same {
        ($($type:ty),*) => {$(
            if let Ok(value) = <$type>::parse(body, &limits) {
                let printed = value.to_body();
                let printed: &[u8] = printed.as_ref();
                if let Ok(again) = <$type>::parse(printed, &limits) {
                    let second = again.to_body();
                    let second: &[u8] = second.as_ref();
                    assert_eq!(second, printed);
                }
            }
        )*};
    }
    same!(
        crate::body::pidf::Presence,
        crate::body::dialog_info::DialogInfo,
        crate::body::watcherinfo::WatcherInfo,
        crate::body::reginfo::RegInfo,
        crate::body::conference_info::ConferenceInfo,
        crate::body::rlmi::ResourceList,
        crate::body::resource_lists::ResourceLists,
        crate::body::message_summary::MessageSummary,
        crate::body::sipfrag::SipFrag,
        Cpim,
        Report,
        IsComposing
    );
}

const WORDS: &[&str] = &[
    "<presence entity='a'>",
    "</presence>",
    "<tuple id='1'>",
    "</tuple>",
    "<status>",
    "</status>",
    "<basic>open</basic>",
    "<dialog-info version='1' state='full'>",
    "</dialog-info>",
    "<dialog id='1'>",
    "</dialog>",
    "<state>early</state>",
    "<note>",
    "</note>",
    "<![CDATA[",
    "]]>",
    "<!--",
    "-->",
    "<?x ?>",
    "&#65;",
    "&amp;",
    "&x;",
    "<!DOCTYPE a>",
    "<a ",
    "b=\"",
    "'",
    "\"",
    "/>",
    ">",
    "<",
    "Messages-Waiting: yes\r\n",
    "Voice-Message: 1/2 (0/1)\r\n",
    "SIP/2.0 200 OK\r\n",
    "\r\n",
    "From: a\r\n",
    "NS: a <b>\r\n",
    "\\u0041",
    "x",
    "é",
    "\u{fffe}",
    " ",
    "xmlns='urn:x' ",
    "<list uri='a' version='1' fullState='1'>",
    "</list>",
    "<isComposing>",
    "</isComposing>",
];

proptest::proptest! {
    #[test]
    fn octets_never_panic(body in proptest::collection::vec(proptest::num::u8::ANY, 0..300)) {
        read_all(&body);
    }

    #[test]
    fn pieces_of_documents_never_panic(pieces in proptest::collection::vec(0..WORDS.len(), 0..40)) {
        let text: String = pieces.into_iter().map(|at| WORDS[at]).collect();
        read_all(text.as_bytes());
    }

    #[test]
    fn cpim_escapes_come_back(text in ".{0,60}") {
        proptest::prop_assert_eq!(unescape(&escape(&text)), text);
    }
}
