//! Who calls and what is told of it: from the builder of one agent to the incoming call of another.

use super::village::{Phone, Village};
use crate::header::{AnswerMode, Privacy};
use crate::{AccountBuilder, Call, CallBuilder, Config, Diverted, IncomingCall, Named};

const ALICE: &str = "sip:alice@192.0.2.1";
const BOB: &str = "sip:bob@192.0.2.2";

fn two(describe: impl FnOnce(AccountBuilder) -> AccountBuilder) -> (Village, Phone, Phone) {
    let mut village = Village::new(1);
    let alice = village.phone("alice", "192.0.2.1", ALICE, Config::default(), |account| {
        describe(account.display_name("Alice"))
    });
    let bob = village.phone("bob", "192.0.2.2", BOB, Config::default(), |account| account);
    (village, alice, bob)
}

fn place(
    village: &mut Village,
    alice: &Phone,
    bob: &mut Phone,
    builder: CallBuilder,
) -> (Call, IncomingCall) {
    let call = village.place(alice, builder);
    village.run(200);
    (call, bob.incoming())
}

fn header<'a>(call: &'a IncomingCall, name: &str) -> &'a str {
    call.request().header_named(name).unwrap_or_default()
}

// RFC 3323 §4.1, RFC 3325 §9.3: From, Contact, later requests.
#[test]
fn an_anonymous_call_tells_neither_name_nor_number() {
    let (mut village, alice, mut bob) = two(|account| account);
    let builder = alice.account.call(BOB).anonymous();
    let (call, incoming) = place(&mut village, &alice, &mut bob, builder);
    let from = header(&incoming, "From");
    assert!(from.starts_with("\"Anonymous\" <sip:anonymous@anonymous.invalid>;tag="), "{from}");
    assert_eq!(header(&incoming, "Privacy"), "user;id");
    assert!(incoming.is_anonymous());
    let text = String::from_utf8_lossy(incoming.request().as_bytes()).to_lowercase();
    let head = text.split("\r\n\r\n").next().unwrap();
    assert!(!head.contains("alice"), "{head}");
    // The call lives as any other, and its end is as anonymous.
    let answered = village.answer(&bob, &incoming);
    village.drive(call.answered()).unwrap();
    village.drive(call.hold()).unwrap();
    village.drive(call.hangup());
    village.run(500);
    let end = super::village::end_of(&answered);
    let bye = end.message.unwrap();
    assert!(bye.header_named("From").unwrap().contains("anonymous.invalid"));
    drop((call, answered, incoming));
    village.run(40_000);
    village.assert_idle();
}

#[test]
fn an_account_s_privacy_holds_until_a_call_says_otherwise() {
    let (mut village, alice, mut bob) =
        two(|account| account.privacy(Privacy::ANONYMOUS).preferred_identity("tel:+15551234"));
    let builder = alice.account.call(BOB);
    let (_first, incoming) = place(&mut village, &alice, &mut bob, builder);
    assert!(incoming.is_anonymous());
    assert_eq!(header(&incoming, "P-Preferred-Identity"), "<tel:+15551234>");
    let builder = alice.account.call(BOB).privacy(Privacy::NONE).preferred_identity(ALICE);
    let (_second, incoming) = place(&mut village, &alice, &mut bob, builder);
    assert!(!incoming.is_anonymous());
    assert_eq!(header(&incoming, "Privacy"), "none");
    assert!(header(&incoming, "From").contains("Alice"));
    assert_eq!(incoming.request().preferred_identities().count(), 1);
    assert_eq!(header(&incoming, "P-Preferred-Identity"), "<sip:alice@192.0.2.1>");
}

// RFC 5806, RFC 7044, RFC 7433, RFC 3841, RFC 5373, RFC 6442, RFC 3325, RFC 7315, RFC 7989.
#[test]
fn what_an_invite_tells_of_its_way_reaches_the_application() {
    let (mut village, alice, mut bob) = two(|account| account);
    let mode = AnswerMode { auto: true, require: false };
    let builder = alice
        .account
        .call(BOB)
        .user_to_user(b"\x04order", "isdn-uui")
        .diverted_by("sip:carol@example.com", "user-busy")
        .history(["sip:carol@example.com", BOB])
        .accept_contact("audio;require")
        .reject_contact("automata")
        .answer_mode(mode)
        .geolocation("https://lis.example.com/1")
        .header("P-Asserted-Identity", "\"Alice A.\" <sip:alice@example.com>, <tel:+1555>")
        .header("P-Called-Party-ID", "<sip:sales@example.com>")
        .header(
            "Session-ID",
            "ab30317f1a784dc48ff824d0d3715d86;remote=00000000000000000000000000000000",
        );
    let (_call, incoming) = place(&mut village, &alice, &mut bob, builder);
    let named = |uri: &str, name: &str| Named { uri: uri.into(), display_name: name.into() };
    assert_eq!(incoming.asserted_identity(), Some(named("sip:alice@example.com", "Alice A.")));
    assert_eq!(incoming.asserted_identities().len(), 2);
    assert_eq!(incoming.called_party(), Some(named("sip:sales@example.com", "")));
    assert_eq!(incoming.user_to_user(), [(b"\x04order".to_vec(), Some("isdn-uui".into()))]);
    let by = named("sip:carol@example.com", "");
    assert_eq!(incoming.diverted_by(), [Diverted { by, reason: Some("user-busy".into()) }]);
    let history = incoming.history();
    assert_eq!(history[0], ("1".into(), "sip:carol@example.com".into()));
    assert_eq!(history[1], ("1.1".into(), BOB.into()));
    assert_eq!(incoming.session_id().unwrap().local, 0xab30317f1a784dc48ff824d0d3715d86);
    assert!(!incoming.is_anonymous() && incoming.reasons().next().is_none());
    let wishes: Vec<_> =
        incoming.request().feature_sets(crate::HeaderName::AcceptContact).collect();
    assert!(wishes[0].unwrap().is_required());
    assert_eq!(header(&incoming, "Reject-Contact"), "*;automata");
    assert_eq!(incoming.request().answer_mode(), Some(Ok(mode)));
    assert_eq!(header(&incoming, "Geolocation"), "<https://lis.example.com/1>");
}

// RFC 7044 §10.3: a change of user in the history is a diversion.
#[test]
fn diversions_are_found_in_the_history() {
    let (mut village, alice, mut bob) = two(|account| account);
    let builder = alice.account.call(BOB).header(
        "History-Info",
        "<sip:sales@example.com?Reason=SIP%3Bcause%3D486>;index=1, <sip:bob@example.com>;index=1.1;mp=1, \
         <sip:bob@192.0.2.2>;index=1.1.1;rc=1.1",
    );
    let (_call, incoming) = place(&mut village, &alice, &mut bob, builder);
    let by = Named { uri: "sip:sales@example.com".into(), display_name: String::new() };
    assert_eq!(incoming.diverted_by(), [Diverted { by, reason: Some("SIP;cause=486".into()) }]);
}
