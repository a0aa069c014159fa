//! Whatever bytes come, in whatever order, between whatever commands: no panic, and in the end
//! nothing but what was asked for is left.

mod endpoint_net;

use endpoint_net::{Net, addr, sdp};
use proptest::prelude::*;
use tiny_sak::{Flow, Transport};
use tiny_sip::{Config, Event, Input, Method};

const SAMPLES: [&str; 8] = [
    "INVITE sip:bob@10.0.0.2 SIP/2.0\r\nVia: SIP/2.0/UDP 10.0.0.9;branch=z9hG4bK1;rport\r\n\
     From: <sip:a@x>;tag=1\r\nTo: <sip:bob@x>\r\nCall-ID: c\r\nCSeq: 1 INVITE\r\nMax-Forwards: 70\r\n\
     Contact: <sip:a@10.0.0.9>\r\nContent-Length: 0\r\n\r\n",
    "ACK sip:bob@10.0.0.2 SIP/2.0\r\nVia: SIP/2.0/UDP 10.0.0.9;branch=z9hG4bK1\r\n\
     From: <sip:a@x>;tag=1\r\nTo: <sip:bob@x>;tag=2\r\nCall-ID: c\r\nCSeq: 1 ACK\r\n\r\n",
    "CANCEL sip:bob@10.0.0.2 SIP/2.0\r\nVia: SIP/2.0/UDP 10.0.0.9;branch=z9hG4bK1\r\n\
     From: <sip:a@x>;tag=1\r\nTo: <sip:bob@x>\r\nCall-ID: c\r\nCSeq: 1 CANCEL\r\n\r\n",
    "BYE sip:bob@10.0.0.2 SIP/2.0\r\nv: SIP/2.0/TCP h.example:99;branch=z9hG4bK3\r\n\
     f: <sip:a@x>;tag=1\r\nt: <sip:bob@x>;tag=2\r\ni: c\r\nCSeq: 2 BYE\r\nl: 0\r\n\r\n",
    "OPTIONS sip:bob@10.0.0.2 SIP/2.0\r\nVia: SIP/2.0/UDP 10.0.0.9\r\nFrom: sip:a@x\r\nTo: sip:b@x\r\n\
     Call-ID: d\r\nCSeq: 1 OPTIONS\r\nRequire: a, b\r\nAccept: */*;q=0.1\r\n\r\n",
    "SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 10.0.0.1:5060;branch=z9hG4bK9\r\nFrom: <sip:a@x>;tag=1\r\n\
     To: <sip:b@x>;tag=2\r\nCall-ID: c\r\nCSeq: 1 INVITE\r\nContact: *\r\n\r\n",
    "SIP/2.0 401 No\r\nVia: SIP/2.0/UDP 10.0.0.1\r\nFrom: <sip:a@x>\r\nTo: <sip:b@x>\r\nCall-ID: c\r\n\
     CSeq: 1 INVITE\r\nWWW-Authenticate: Digest realm=\"r\", nonce=\"n\"\r\n\r\n",
    "\r\n\r\n",
];

fn mutate(mut bytes: Vec<u8>, edits: &[(u16, u8, u8)]) -> Vec<u8> {
    for (at, kind, with) in edits {
        let at = usize::from(*at) % (bytes.len() + 1);
        match kind % 4 {
            0 => bytes.insert(at, *with),
            1 if at < bytes.len() => bytes[at] = *with,
            2 if at < bytes.len() => {
                bytes.remove(at);
            }
            _ => bytes.truncate(at),
        }
    }
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..Default::default() })]

    #[test]
    fn mutated_messages_never_panic(
        steps in prop::collection::vec(
            (0usize..12, prop::collection::vec((any::<u16>(), any::<u8>(), any::<u8>()), 0..2), any::<bool>()),
            1..24,
        ),
        seed in any::<u64>(),
    ) {
        let mut net = Net::new(seed);
        net.add("10.0.0.2:5060", "bob", Config::default());
        net.endpoint(0).bind(Transport::Tcp, addr("10.0.0.2:5060"));
        let mut calls = Vec::new();
        for (which, edits, stream) in steps {
            let now = net.now;
            let bytes = match SAMPLES.get(which) {
                Some(sample) => mutate(sample.as_bytes().to_vec(), &edits),
                // What we have sent ourselves comes back, changed.
                None => match net.log.last() {
                    Some((.., sent)) => mutate(sent.to_vec(), &edits),
                    None => continue,
                },
            };
            let transport = if stream { Transport::Tcp } else { Transport::Udp };
            let flow = Flow { transport, local: addr("10.0.0.2:5060"), remote: addr("10.0.0.9:5060") };
            let data = bytes.into();
            let input = if stream { Input::Stream { flow, data } } else { Input::Datagram { flow, data } };
            net.endpoint(0).handle(now, input);
            net.drain();
            while let Some(event) = net.peers[0].events.pop_front() {
                match event {
                    Event::Incoming { call, .. } => {
                        calls.push(call);
                        if stream {
                            let _ = net.endpoint(0).accept(now, call, vec![], sdp());
                        }
                    }
                    Event::Request { key, .. } => {
                        let _ = net.endpoint(0).respond(now, key, 200, None, vec![], None);
                    }
                    Event::Reinvite { call, .. } => {
                        let _ = net.endpoint(0).accept_reinvite(now, call, vec![], sdp());
                    }
                    _ => {}
                }
            }
            net.run(u64::from(edits.len() as u32) * 300);
        }
        for call in calls {
            let now = net.now;
            let _ = net.endpoint(0).request_in_call(now, call, Method::Info, vec![], None);
            let _ = net.endpoint(0).reinvite(now, call, vec![], None);
            let _ = net.endpoint(0).hangup(now, call, vec![]);
        }
        // Names in Contacts and Vias would be asked for; nobody answers here.
        for _ in 0..4 {
            net.settle();
            for event in std::mem::take(&mut net.peers[0].events) {
                if let Event::Resolve { query, .. } = event {
                    let now = net.now;
                    net.endpoint(0).handle(now, Input::Resolved { query, targets: vec![] });
                }
            }
        }
        net.settle();
        net.assert_empty();
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..400), stream: bool) {
        let mut net = Net::new(1);
        net.add("10.0.0.2:5060", "bob", Config::default());
        let transport = if stream { Transport::Tcp } else { Transport::Udp };
        let flow = Flow { transport, local: addr("10.0.0.2:5060"), remote: addr("10.0.0.9:5060") };
        let (now, data) = (net.now, bytes.into());
        let input = if stream { Input::Stream { flow, data } } else { Input::Datagram { flow, data } };
        net.endpoint(0).handle(now, input);
        net.settle();
        net.assert_empty();
    }
}

/// Found by fuzzing: the 420 could not be written, and its transaction had no timer to end it.
#[test]
fn a_request_whose_answer_cannot_be_written_leaves_nothing_behind() {
    let options = SAMPLES[4];
    let nul = options.replace("Require: a, b", "Require: a\0b");
    let mut unwritable = Config::default();
    unwritable.user_agent = Some("two\r\nlines".into());
    for (config, text) in [(Config::default(), &*nul), (unwritable, options)] {
        let mut net = Net::new(1);
        net.add("10.0.0.2:5060", "bob", config);
        net.inject("10.0.0.9:5060", "10.0.0.2:5060", text);
        net.settle();
        net.assert_empty();
    }
}

/// Found by fuzzing: an empty Call-ID in a 2xx came back in our ACK.
#[test]
fn a_response_with_another_call_id_or_from_tag_is_dropped() {
    for (from, to) in
        [("Call-ID: ", "Call-ID: x"), ("Call-ID: ", "Call-ID:  \r\nX: "), (";tag=", ";tag=x")]
    {
        let mut net = Net::new(1);
        net.add("10.0.0.1:5060", "alice", Config::default());
        net.invite(0, "sip:bob@10.0.0.9");
        let invite = net.caught();
        let ok = endpoint_net::answer(&invite, "200 OK", "b", "Contact: <sip:b@10.0.0.9>\r\n");
        net.inject("10.0.0.9:5060", "10.0.0.1:5060", &ok.replacen(from, to, 1));
        assert_eq!((net.count("ACK"), net.endpoint(0).stats().dropped_responses), (0, 1), "{ok}");
        net.inject("10.0.0.9:5060", "10.0.0.1:5060", &ok);
        assert_eq!(net.count("ACK"), 1);
    }
}
