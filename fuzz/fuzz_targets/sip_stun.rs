//! Arbitrary datagrams as STUN: no panic, and what is read is written and read again alike.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tiny_sip::stun::{Binding, is_stun};

fuzz_target!(|data: &[u8]| {
    let Some(message) = Binding::parse(data) else { return };
    assert!(is_stun(data));
    assert_eq!(Binding::parse(&message.to_bytes()), Some(message));
});
