//! The value of one header field, read as each type there is.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tiny_sip::header::{
    AnswerMode, AuthParams, Challenge, Credentials, Date, Diversion, FeatureSet, HistoryEntry,
    InfoUri, Item, MediaType, NameAddrs, Privacy, Reason, Replaces, RequestDisposition, RetryAfter, StatusLine,
    SessionId, SubscriptionState, Timestamp, UserToUser, Vias, Warning, quote, split_commas,
    unquote,
};
use tiny_sip::{CSeq, NameAddr, Params, Via};

fuzz_target!(|text: &str| {
    if let Ok(a) = NameAddr::parse(text) {
        let again = NameAddr::parse(a.as_str()).expect("its own text parses");
        assert_eq!((again.tag(), again.uri.as_str()), (a.tag(), a.uri.as_str()));
        let _ = (a.display_name(), a.params.iter().count());
    }
    if let Ok(a) = Via::parse(text) {
        let again = Via::parse(a.as_str()).expect("its own text parses");
        assert_eq!((again.host, again.branch()), (a.host, a.branch()));
        let _ = (a.received(), a.rport(), a.maddr(), a.ip());
    }
    let quoted = quote(text);
    assert_eq!(unquote(&quoted[1..quoted.len() - 1]).len(), {
        text.chars().filter(|c| !c.is_ascii_control()).map(char::len_utf8).sum::<usize>()
    });
    macro_rules! again {
        ($($type:ty),*) => {$(
            if let Ok(value) = <$type>::parse(text) {
                let printed = value.to_string();
                assert_eq!(<$type>::parse(&printed).expect("its own text parses").to_string(), printed);
            }
        )*};
    }
    again!(
        AnswerMode,
        Diversion,
        FeatureSet,
        HistoryEntry<'_>,
        Reason<'_>,
        SessionId,
        SubscriptionState<'_>,
        UserToUser<'_>
    );
    if let Ok(privacy) = Privacy::parse(text) {
        let again = Privacy::parse(&privacy.to_string()).unwrap_or_default();
        assert!(again.hides_caller() == privacy.hides_caller());
    }
    let _ = RequestDisposition::parse(text).map(|wish| wish.to_string());
    if let Ok(entry) = HistoryEntry::parse(text) {
        let _ = (entry.reason(), entry.privacy(), entry.previous());
    }
    let _ = UserToUser::parse(text).map(|uui| uui.octets());
    if let Ok(date) = Date::parse(text) {
        let _ = (date.unix(), date.to_string());
    }
    if let Ok(a) = Replaces::parse(text) {
        let printed = a.to_string();
        assert_eq!(Replaces::parse(&printed).expect("its own text parses"), a);
    }
    if let Some(frag) = StatusLine::parse(text.as_bytes()) {
        assert!((100..700).contains(&frag.status) && frag.reason.len() <= 128);
    }
    let _ = (CSeq::parse(text), RetryAfter::parse(text), Timestamp::parse(text));
    let _ = (Warning::parse(text), InfoUri::parse(text), Item::parse(text).map(|i| i.quality()));
    let _ = (MediaType::parse(text), Challenge::parse(text), Credentials::parse(text));
    let _ = AuthParams::parse(text).map(|params| params.iter().count());
    let _ = Params::parse(text).map(|params| params.iter().count());
    let _ = (NameAddrs::new(text).count(), Vias::new(text).count(), split_commas(text).count());
});
