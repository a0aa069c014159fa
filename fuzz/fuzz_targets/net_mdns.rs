//! Arbitrary datagrams as multicast DNS: no panic, few addresses, and our answers can be read.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tiny_net::mdns::{HiddenName, MdnsConfig, Registry, read_answer};
use tiny_sak::Rng;

fuzz_target!(|data: &[u8]| {
    let name = HiddenName::parse("1f4712db-ea17-4bcf-a596-105139dfd8bf.local").expect("a UUID");
    let config = MdnsConfig::default();
    if let Ok(read) = read_answer(data, &name, &config) {
        assert!(read.addresses.len() <= config.max_addresses);
    }
    let mut registry = Registry::new(MdnsConfig { max_names: 1, ..config.clone() });
    let mut rng = Rng::from_seed(1);
    let ours = registry.register([192, 0, 2, 1].into(), &mut rng).expect("room for one");
    if let Ok(Some(reply)) = registry.answer(data, 5353) {
        read_answer(&reply.data, &ours, &config).expect("what we write is an answer");
    }
    let text = String::from_utf8_lossy(data);
    if let Ok(name) = HiddenName::parse(&text) {
        assert_eq!(HiddenName::parse(name.as_str()), Ok(name));
    }
});
