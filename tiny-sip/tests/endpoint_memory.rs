//! What a flood of half-open calls costs, in octets of the allocator.

mod endpoint_net;

use endpoint_net::{Net, SDP};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use std::alloc::System;
use tiny_sip::Config;

#[global_allocator]
static GLOBAL: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

fn flood(net: &mut Net, calls: std::ops::Range<usize>) {
    for n in calls {
        let text = format!(
            "INVITE sip:bob@10.0.0.2 SIP/2.0\r\nVia: SIP/2.0/UDP 10.0.0.9;branch=z9hG4bK{n}\r\n\
             Max-Forwards: 70\r\nFrom: <sip:evil@10.0.0.9>;tag={n}\r\nTo: <sip:bob@10.0.0.2>\r\n\
             Call-ID: c{n}\r\nCSeq: 1 INVITE\r\nContact: <sip:evil@10.0.0.9>\r\n\
             Content-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{SDP}",
            SDP.len()
        );
        net.inject("10.0.0.9:5060", "10.0.0.2:5060", &text);
        net.run(1);
        net.peers[0].events.clear();
        net.inbox.clear();
    }
    net.run(200);
    net.inbox.clear();
}

/// The only thread of its process (`harness = false`): a test runner's own would be counted too.
fn main() {
    ten_thousand_half_open_invites_cost_no_more_than_those_within_the_limit();
    eprintln!(
        "test ten_thousand_half_open_invites_cost_no_more_than_those_within_the_limit ... ok"
    );
}

fn ten_thousand_half_open_invites_cost_no_more_than_those_within_the_limit() {
    let mut net = Net::new(1);
    net.add("10.0.0.2:5060", "bob", Config::default());
    net.logging = false;
    let region = Region::new(GLOBAL);
    let held = |region: &Region<'_, System>| {
        let change = region.change();
        change.bytes_allocated.saturating_sub(change.bytes_deallocated)
    };
    flood(&mut net, 0..1_500);
    let within = held(&region);
    assert_eq!(net.endpoint(0).stats().ringing, 1_500);
    assert!(within < 8_000_000, "{within} octets for 1,500 calls");
    flood(&mut net, 1_500..10_000);
    let after = held(&region);
    assert_eq!(net.endpoint(0).stats().ringing, 1_500);
    // Beside them no more than what queues and tables keep for later.
    assert!(after < within + 200_000, "{within} octets grew to {after}");
}
