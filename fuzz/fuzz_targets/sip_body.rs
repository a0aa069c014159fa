//! Bodies of events and messages: read as each kind there is, printed, read again, merged.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tiny_sip::body::{
    Limits, composing::IsComposing, conference_info, cpim, dialog_info, imdn::Report,
    imdn::Request, message_summary::MessageSummary, pidf::Presence, reginfo,
    resource_lists::ResourceLists, rlmi, sipfrag::SipFrag, watcherinfo,
};

macro_rules! again {
    ($type:ty, $body:expr, $limits:expr) => {
        match <$type>::parse($body, $limits) {
            Ok(value) => {
                let printed = value.to_body();
                let printed: &[u8] = printed.as_ref();
                // What escaping makes longer than the limits may be refused.
                if let Ok(again) = <$type>::parse(printed, $limits) {
                    let second = again.to_body();
                    let second: &[u8] = second.as_ref();
                    assert_eq!(second, printed);
                }
                Some(value)
            }
            Err(_) => None,
        }
    };
}

fuzz_target!(|body: &[u8]| {
    let limits = Limits::default();
    let _ = again!(Presence, body, &limits);
    if let Some(info) = again!(dialog_info::DialogInfo, body, &limits) {
        let mut table = dialog_info::Dialogs::default();
        let _ = (table.merge(&info, &limits), table.merge(&info, &limits), table.state());
    }
    if let Some(info) = again!(watcherinfo::WatcherInfo, body, &limits) {
        let mut table = watcherinfo::Watchers::default();
        let _ = (table.merge(&info, &limits), table.merge(&info, &limits));
    }
    if let Some(info) = again!(reginfo::RegInfo, body, &limits) {
        let mut table = reginfo::Registrations::default();
        let _ = (table.merge(&info, &limits), table.merge(&info, &limits));
    }
    if let Some(mut info) = again!(conference_info::ConferenceInfo, body, &limits) {
        let mut table = conference_info::Conference::default();
        let _ = table.merge(&info, &limits);
        info.version = info.version.saturating_add(1);
        info.change = conference_info::Change::Partial;
        let _ = table.merge(&info, &limits);
    }
    if let Some(list) = again!(rlmi::ResourceList, body, &limits) {
        let mut table = rlmi::Resources::default();
        let _ = (table.merge(&list, &limits), table.merge(&list, &limits));
    }
    let kind = "multipart/related;boundary=b;start=\"<a>\"";
    if let Ok(whole) = rlmi::Aggregate::parse(kind, &body.to_vec().into(), &limits) {
        let _ =
            whole.list.resources.iter().flat_map(|r| &r.instances).map(|i| whole.part(i)).count();
    }
    if let Some(lists) = again!(ResourceLists, body, &limits) {
        let _ = lists.uris();
    }
    let _ = again!(MessageSummary, body, &limits);
    let _ = again!(SipFrag, body, &limits);
    let _ = again!(Report, body, &limits);
    let _ = again!(IsComposing, body, &limits);
    if let Some(message) = again!(cpim::Cpim, body, &limits)
        && let Some(request) = Request::of(&message)
    {
        use tiny_sip::body::imdn::{Kind, Status};
        let _ = request.answer(&message, Kind::Delivery, Status::Delivered, "1");
    }
    if let Ok(text) = std::str::from_utf8(body) {
        assert_eq!(cpim::unescape(&cpim::escape(text)), text);
    }
});
