//! Lines as ICE attributes: what is read, printed and read again is the same; and an agent that is given
//! the candidates keeps its limits.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::time::Instant;
use tiny_net::ice::{Agent, Candidate, Config, IceAttribute};
use tiny_sak::Rng;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let now = Instant::now();
    let mut agent = Agent::new(Config::default(), true, Rng::from_seed(1));
    for line in text.lines() {
        if let Ok(candidate) = line.parse::<Candidate>() {
            assert_eq!(candidate.to_string().parse(), Ok(candidate.clone()));
            let _ = agent.add_remote(now, candidate);
        }
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        if let Ok(Some(attribute)) = IceAttribute::parse(name, Some(value)) {
            let again = IceAttribute::parse(attribute.name(), attribute.value().as_deref());
            let again = again.expect("what we write is read").expect("it is ICE's");
            assert_eq!(again.value(), attribute.value());
        }
    }
    assert!(agent.report().remote.len() <= Config::default().max_remote);
});
