//! Arbitrary datagrams as multicast DNS: no panic, few addresses, and our answers can be read.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tiny_net::mdns::{HiddenName, Registry, read_answer};
use tiny_sak::Rng;

fuzz_target!(|data: &[u8]| {
    let name = HiddenName::parse("1f4712db-ea17-4bcf-a596-105139dfd8bf.local").expect("a UUID");
    if let Ok(read) = read_answer(data, &name) {
        assert!(read.addresses.len() <= 8);
    }
    let mut registry = Registry::new(1);
    let mut rng = Rng::from_seed(1);
    let ours = registry.register([192, 0, 2, 1].into(), &mut rng).expect("room for one");
    if let Ok(Some(reply)) = registry.answer(data, 5353) {
        read_answer(&reply.data, &ours).expect("what we write is an answer");
    }
    let text = String::from_utf8_lossy(data);
    if let Ok(name) = HiddenName::parse(&text) {
        assert_eq!(HiddenName::parse(name.as_str()), Ok(name));
    }
});
