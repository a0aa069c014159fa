//! Arbitrary datagrams as STUN: no panic, nothing behind the end, and what is written anew from the
//! attributes that count reads alike.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tiny_net::stun::{Builder, Challenge, Key, LongTerm, Message, attr};

fuzz_target!(|data: &[u8]| {
    let Ok(message) = Message::parse(data) else { return };
    let key = Key::short_term(&"password".into());
    let _ = (message.verify(&key), message.mapped(), message.error(), message.unknown_attributes());
    let _ = message.not_understood(&[attr::USERNAME]);
    if let Ok(challenge) = Challenge::read(&message) {
        let mut user = LongTerm::new("user", "password".into());
        user.challenged(challenge);
        let signed = user.sign(Builder::new(message.class(), message.method(), [0; 12])).finish();
        let signed = Message::parse(&signed).expect("what we write is STUN");
        assert!(user.verify(&signed).is_valid());
    }
    let mut again = Builder::new(message.class(), message.method(), message.id());
    for (kind, value) in message.attributes().filter(|a| a.0 != attr::FINGERPRINT) {
        again = again.attribute(kind, value);
    }
    let again = again.finish();
    let again = Message::parse(&again).expect("what we write is STUN");
    assert_eq!((again.class(), again.method(), again.id()), (message.class(), message.method(), message.id()));
    assert!(message.attributes().filter(|a| a.0 != attr::FINGERPRINT).eq(again.attributes()));
});
