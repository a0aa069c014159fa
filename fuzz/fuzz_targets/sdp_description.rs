//! Any bytes as a description, and as a fragment with candidates: parsed, printed, parsed again
//! alike, every typed attribute read.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tiny_sdp::{AttributeList, DataChannel, Description, Fragment, Limits, attribute, fmtp};

fuzz_target!(|data: &[u8]| {
    let limits = Limits::default();
    if let Ok(fragment) = Fragment::parse(data, &limits) {
        let printed = fragment.to_string();
        assert_eq!(Fragment::parse(printed.as_bytes(), &limits), Ok(fragment), "{printed}");
    }
    let Ok(description) = Description::parse(data, &limits) else { return };
    let printed = description.to_string();
    // Printing may only shorten what was said twice over; it stays readable.
    let again = Description::parse(printed.as_bytes(), &Limits { max_bytes: usize::MAX, ..limits });
    assert!(again.is_ok(), "{again:?}\n{printed}");
    for media in description.all_media() {
        media.candidates().for_each(drop);
        media.cryptos().for_each(drop);
        media.ssrcs().for_each(drop);
        media.extmaps().for_each(drop);
        media.rtcp_feedbacks().for_each(drop);
        for channel in media.values("dcmap").filter_map(|v| DataChannel::parse(v).ok()) {
            assert_eq!(DataChannel::parse(&channel.to_string()), Ok(channel));
        }
        media.typed::<attribute::RtpMap>().for_each(drop);
        media.typed::<attribute::Fmtp>().for_each(drop);
        let _ = (media.rtcp(), media.setup(), media.fingerprints(), media.direction());
        for format in media.formats() {
            let parameters = media.fmtp(format).unwrap_or_default();
            let opus = fmtp::OpusParams::parse(parameters);
            assert_eq!(fmtp::OpusParams::parse(&opus.to_string()), opus);
            if let Some(events) = fmtp::EventSet::from_fmtp(parameters).filter(|e| !e.is_empty()) {
                assert_eq!(fmtp::EventSet::parse(&events.to_string()), Some(events));
            }
            let _ = fmtp::H264Params::parse(parameters).map(|p| (p.profile(), p.level()));
        }
    }
});
