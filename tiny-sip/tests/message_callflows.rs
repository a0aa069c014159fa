//! The complete messages of RFC 3665: all parse and are valid, and printing them anew changes nothing.

mod reprint;

use std::path::PathBuf;
use tiny_sip::{HeaderName, Limits, Message};

#[test]
fn every_complete_message_of_rfc_3665_parses_prints_and_parses_again() {
    let folder =
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/vectors/callflows/rfc3665");
    let index = std::fs::read_to_string(folder.join("index.jsonl")).unwrap();
    let field = |line: &str, key: &str| -> String {
        let rest = line.split(&format!("\"{key}\": ")).nth(1).unwrap();
        rest.trim_start_matches('"').split(['"', ',', '}']).next().unwrap().to_owned()
    };
    let (mut count, mut typed) = (0, 0);
    for line in index.lines().filter(|line| line.contains("\"cl_ok\": true")) {
        let file = field(line, "file");
        let name = file.rsplit('/').next().unwrap();
        let raw = std::fs::read(folder.join(name)).unwrap();
        let message = Message::parse(raw.into(), &Limits::default())
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        message.validate().unwrap_or_else(|defect| panic!("{name}: {defect}"));
        assert_eq!(message.body().len().to_string(), field(line, "body_len"), "{name}");
        assert!(message.top_via().unwrap().has_unique_branch(), "{name}");
        for name in [HeaderName::Route, HeaderName::RecordRoute, HeaderName::Contact] {
            typed += message.addresses(name).map(Result::unwrap).count();
        }
        for name in [HeaderName::WwwAuthenticate, HeaderName::ProxyAuthenticate] {
            typed += message.challenges(name).map(Result::unwrap).count();
        }
        for header in [HeaderName::Authorization, HeaderName::ProxyAuthorization] {
            for credentials in message.credentials(header) {
                // The RFC's §2.1 F3 lacks the comma after the realm.
                assert_eq!(credentials.is_err(), name == "003-REGISTER.sip", "{name}");
                typed += 1;
            }
        }
        let printed = reprint::reprint(&message);
        let again = Message::parse(printed.clone(), &Limits::default()).unwrap();
        reprint::assert_same(&message, &again, name);
        assert_eq!(reprint::reprint(&again), printed, "{name}");
        count += 1;
    }
    assert_eq!(count, 175);
    assert!(typed > 200, "{typed}");
}
