//! Any text as a script of the softphone: read in the order of time, or refused with a line's number.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../examples/softphone/script.rs"]
#[allow(dead_code)]
mod script;

fuzz_target!(|text: &str| {
    match script::parse(text) {
        Ok(script) => assert!(script.0.is_sorted_by_key(|(at, _)| *at)),
        Err(error) => assert!(error.starts_with("line "), "{error}"),
    }
});
