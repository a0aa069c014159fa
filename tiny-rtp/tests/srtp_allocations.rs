//! A packet allocates nothing, in neither direction, with any profile; a new source does, once.

use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use std::alloc::System;
use tiny_rtp::srtp::{MasterKey, Policy, Profile, Protector, Unprotector};
use tiny_sak::Rng;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// The only thread of its process (`harness = false`): a test runner's own would be counted too.
fn main() {
    packets_allocate_nothing_once_their_source_is_known();
    eprintln!("test packets_allocate_nothing_once_their_source_is_known ... ok");
}

fn packets_allocate_nothing_once_their_source_is_known() {
    for profile in Profile::ALL {
        let policy = Policy::new(profile);
        let key = MasterKey::generate(profile, &mut Rng::from_seed(1));
        let mut sender = Protector::new(policy, vec![key.clone()]).unwrap();
        let mut receiver = Unprotector::new(policy, vec![key]).unwrap();
        let mut buffer = Vec::with_capacity(1500);
        let mut exchange = |sequence: u16| {
            buffer.clear();
            buffer.extend_from_slice(&[0x80, 96]);
            buffer.extend_from_slice(&sequence.to_be_bytes());
            buffer.extend_from_slice(&[0, 0, 0, 0, 0, 0, 0, 7]);
            buffer.resize(12 + 160, 1);
            sender.protect_rtp(&mut buffer).unwrap();
            let mut forged = [0u8; 200];
            forged[..buffer.len()].copy_from_slice(&buffer);
            forged[20] ^= 1;
            assert!(receiver.unprotect_rtp(&mut forged[..buffer.len()]).is_err());
            assert_eq!(receiver.unprotect_rtp(&mut buffer), Ok(172));
            buffer.clear();
            buffer.extend_from_slice(&[0x80, 201, 0, 1, 0, 0, 0, 7]);
            sender.protect_rtcp(&mut buffer).unwrap();
            assert_eq!(receiver.unprotect_rtcp(&mut buffer), Ok(8));
        };
        exchange(0);
        assert!(ALLOCATOR.stats().allocations > 0, "the counting allocator is not in use");
        let region = Region::new(ALLOCATOR);
        (1..3000).for_each(&mut exchange);
        let change = region.change();
        assert_eq!((change.allocations, change.reallocations), (0, 0), "{profile:?} {change:?}");
    }
}
