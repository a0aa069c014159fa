//! Arbitrary payloads into every decoder: no panic, bounded output, agreement of `ticks` and `decode`.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tiny_media::Fmtp;

fuzz_target!(|data: &[u8]| {
    let Some((&which, data)) = data.split_first() else { return };
    let registry = tiny_dav::builtin_registry();
    let codec = &registry.codecs()[usize::from(which) % registry.codecs().len()];
    let description = codec.description();
    let Ok(mut decoder) = codec.decoder(&Fmtp::default()) else { return };
    let mut out = Vec::new();
    // A length octet before each payload; every fifth packet is lost.
    let mut rest = data;
    for n in 0.. {
        let Some((&length, after)) = rest.split_first() else { return };
        let (payload, after) = after.split_at(usize::from(length).min(after.len()));
        rest = after;
        out.clear();
        if n % 5 == 4 {
            if decoder.recover(payload, 960, &mut out) || decoder.conceal(960, &mut out) {
                assert_eq!(out.len(), 960);
            }
            out.clear();
        }
        let ticks = decoder.ticks(payload);
        if decoder.decode(payload, &mut out).is_ok() {
            let ticks = ticks.expect("what decodes has a length") as usize;
            let rate = description.format.rate as usize;
            assert_eq!(out.len() * description.clock_rate as usize, ticks * rate);
            assert!(out.len() <= 9_600, "200 ms at 48 kHz");
        } else {
            assert!(out.is_empty(), "an error appends nothing");
        }
    }
});
