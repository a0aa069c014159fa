//! Watchers, registrations, conferences and lists: the documents of the RFCs and their tables.

use crate::body::conference_info::{Change, Conference, ConferenceInfo};
use crate::body::reginfo::{RegInfo, Registrations, State as RegState};
use crate::body::resource_lists::{Item, ResourceLists};
use crate::body::rlmi::{Aggregate, ResourceList, Resources, State as ListState};
use crate::body::watcherinfo::{Status, WatcherInfo, Watchers};
use crate::body::*;
use bytes::Bytes;

fn limits() -> Limits {
    Limits::default()
}

// RFC 3858 §5 and §4.
#[test]
fn watchers_of_the_rfc_and_their_table() {
    let info = WatcherInfo::parse(
        br#"<?xml version="1.0"?>
<watcherinfo xmlns="urn:ietf:params:xml:ns:watcherinfo" version="0" state="full">
  <watcher-list resource="sip:professor@example.net" package="presence">
    <watcher status="active" id="8ajksjda7s" duration-subscribed="509"
             event="approved" >sip:userA@example.net</watcher>
    <watcher status="pending" id="hh8juja87s997-ass7" display-name="Mr. Subscriber"
             event="subscribe">sip:userB@example.org</watcher>
  </watcher-list>
</watcherinfo>"#,
        &limits(),
    )
    .unwrap();
    let list = &info.lists[0];
    assert_eq!((list.watchers[0].status, list.watchers[0].duration), (Status::Active, Some(509)));
    assert_eq!(list.watchers[1].display_name.as_deref(), Some("Mr. Subscriber"));
    assert_eq!(WatcherInfo::parse(info.to_body().as_bytes(), &limits()).unwrap(), info);

    let mut table = Watchers::default();
    assert_eq!(table.merge(&info, &limits()), Ok(Merged::Applied));
    let mut next = info.clone();
    (next.version, next.extent) = (1, Extent::Partial);
    next.lists[0].watchers.remove(0);
    next.lists[0].watchers[0].status = Status::Active;
    assert_eq!(table.merge(&next, &limits()), Ok(Merged::Applied));
    assert_eq!(table.lists()[0].watchers.len(), 2);
    next.version = 3;
    next.lists[0].watchers[0].status = Status::Terminated;
    assert_eq!(table.merge(&next, &limits()), Ok(Merged::Gap));
    assert_eq!(table.lists()[0].watchers.len(), 1);
    assert_eq!(table.merge(&info, &limits()), Ok(Merged::Stale));
}

// RFC 3680 §5.3 and §6.
#[test]
fn registrations_of_the_rfc_and_their_table() {
    let info = RegInfo::parse(
        br#"<?xml version="1.0"?>
       <reginfo xmlns="urn:ietf:params:xml:ns:reginfo" version="0" state="full">
         <registration aor="sip:user@example.com" id="as9" state="active">
           <contact id="76" state="active" event="registered" duration-registered="7322" q="0.8">
             <uri>sip:user@pc887.example.com</uri>
             <unknown-param name="+sip.instance">"&lt;urn:uuid:1&gt;"</unknown-param></contact>
           <contact id="77" state="terminated" event="expired" duration-registered="3600" q="0.5">
             <uri>sip:user@university.edu</uri></contact>
         </registration></reginfo>"#,
        &limits(),
    )
    .unwrap();
    let contact = &info.registrations[0].contacts[0];
    assert_eq!((contact.duration, contact.q.as_deref()), (Some(7322), Some("0.8")));
    assert_eq!(contact.params[0].1, "\"<urn:uuid:1>\"");
    assert_eq!(RegInfo::parse(info.to_body().as_bytes(), &limits()).unwrap(), info);

    let mut table = Registrations::default();
    assert_eq!(table.merge(&info, &limits()), Ok(Merged::Applied));
    let row = table.iter().next().unwrap();
    assert_eq!((row.contacts.len(), row.state), (1, RegState::Active));
    let gone = RegInfo::parse(
        br#"<reginfo xmlns="urn:ietf:params:xml:ns:reginfo" version="1" state="partial">
         <registration aor="sip:user@example.com" id="as9" state="terminated">
           <contact id="76" state="terminated" event="rejected"><uri>sip:user@pc887.example.com</uri>
           </contact></registration></reginfo>"#,
        &limits(),
    )
    .unwrap();
    assert_eq!(table.merge(&gone, &limits()), Ok(Merged::Applied));
    let row = table.iter().next().unwrap();
    assert_eq!((row.contacts.len(), row.state), (0, RegState::Terminated));
}

fn conference(text: &str) -> ConferenceInfo {
    let info = ConferenceInfo::parse(text.as_bytes(), &limits()).unwrap();
    let printed = info.to_body();
    assert_eq!(ConferenceInfo::parse(printed.as_bytes(), &limits()).unwrap(), info, "{printed}");
    info
}

// RFC 4575 §7.1, §4.6.
#[test]
fn a_conference_of_the_rfc_and_its_partial_updates() {
    let full = conference(
        r#"<?xml version="1.0" encoding="UTF-8"?>
   <conference-info xmlns="urn:ietf:params:xml:ns:conference-info"
    entity="sips:conf233@example.com" state="full" version="1">
   <!-- CONFERENCE INFO -->
    <conference-description><subject>Agenda: This month's goals</subject>
      <service-uris><entry><uri>http://sharepoint/salesgroup/</uri><purpose>web-page</purpose></entry>
      </service-uris></conference-description>
    <conference-state><user-count>33</user-count></conference-state>
    <users>
     <user entity="sip:bob@example.com" state="full"><display-text>Bob Hoskins</display-text>
      <endpoint entity="sip:bob@pc33.example.com"><display-text>Bob's Laptop</display-text>
       <status>disconnected</status><disconnection-method>departed</disconnection-method>
       <media id="1"><display-text>main audio</display-text><type>audio</type><label>34567</label>
        <src-id>432424</src-id><status>sendrecv</status></media></endpoint></user>
     <user entity="sip:alice@example.com" state="full"><display-text>Alice</display-text>
      <endpoint entity="sip:4kfk4j392jsu@example.com;grid=433kj4j3u"><status>connected</status>
       <joining-method>dialed-out</joining-method>
       <media id="1"><type>audio</type><src-id>534232</src-id><status>sendrecv</status></media>
      </endpoint></user>
    </users></conference-info>"#,
    );
    assert_eq!(full.users[0].endpoints[0].media[0].src_id.as_deref(), Some("432424"));
    assert_eq!(
        full.description.as_ref().unwrap().service_uris[0].purpose.as_deref(),
        Some("web-page")
    );
    let mut table = Conference::default();
    assert_eq!(table.merge(&full, &limits()), Ok(Merged::Applied));
    assert_eq!((table.users.len(), table.state.user_count), (2, Some(33)));

    let partial = |version, users: &str| {
        conference(&format!(
            r#"<conference-info xmlns="urn:ietf:params:xml:ns:conference-info" entity="sips:c@e"
               state="partial" version="{version}"><users state="partial">{users}</users>
               </conference-info>"#
        ))
    };
    let update = partial(
        2,
        r#"<user entity="sip:bob@example.com" state="deleted"/>
           <user entity="sip:alice@example.com" state="partial">
             <endpoint entity="sip:4kfk4j392jsu@example.com;grid=433kj4j3u" state="partial">
               <status>on-hold</status>
               <media id="1" state="partial"><status>recvonly</status></media>
               <media id="2"><type>video</type></media></endpoint></user>
           <user entity="sip:carol@example.com"/>"#,
    );
    assert_eq!(table.merge(&update, &limits()), Ok(Merged::Applied));
    let names: Vec<_> = table.users.iter().map(|user| user.entity.as_str()).collect();
    assert_eq!(names, ["sip:alice@example.com", "sip:carol@example.com"]);
    let endpoint = &table.users[0].endpoints[0];
    assert_eq!(endpoint.status.as_deref(), Some("on-hold"));
    assert_eq!(endpoint.joining_method.as_deref(), Some("dialed-out"));
    assert_eq!(endpoint.media[0].status.as_deref(), Some("recvonly"));
    assert_eq!(endpoint.media[0].src_id.as_deref(), Some("534232"));
    assert_eq!(endpoint.media.len(), 2);
    assert_eq!(table.users[0].display_text.as_deref(), Some("Alice"));
    assert_eq!(table.description.subject.as_deref(), Some("Agenda: This month's goals"));

    // One is missing: nothing changes until the full state comes.
    let late = partial(4, r#"<user entity="sip:dave@example.com"/>"#);
    assert_eq!(table.merge(&late, &limits()), Ok(Merged::Gap));
    assert_eq!(table.users.len(), 2);
    assert_eq!(table.merge(&full, &limits()), Ok(Merged::Stale));
    let many: String = (0..3).map(|n| format!(r#"<user entity="sip:{n}@e"/>"#)).collect();
    let small = Limits { max_rows: 4, ..limits() };
    assert_eq!(table.merge(&partial(3, &many), &small), Err(BodyError::Limit("max_rows")));
    assert_eq!(table.users.len(), 2);
    let mut over = full.clone();
    (over.version, over.change) = (9, Change::Deleted);
    assert_eq!(table.merge(&over, &limits()), Ok(Merged::Applied));
    assert!(table.has_ended() && table.users.is_empty());
}

const LIST: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
   <list xmlns="urn:ietf:params:xml:ns:rlmi" uri="sip:adam-friends@lists.vancouver.example.com"
         version="7" fullState="true">
     <name xml:lang="en">Buddy List</name><name xml:lang="fr">Liste d'amis</name>
     <resource uri="sip:bob@vancouver.example.com"><name>Bob Smith</name>
       <instance id="juwigmtboe" state="active" cid="12345.aaa@vancouver.example.com"/></resource>
     <resource uri="sip:jim@vancouver.example.com"><name>Jim</name>
       <instance id="oflzxqzuvg" state="terminated" reason="rejected" /></resource>
     <resource uri="sip:ed@vancouver.example.com"><instance id="grqhzsppxb" state="pending"/></resource>
   </list>"#;

// RFC 4662 §5.1, §5.5, §5.6.
#[test]
fn a_list_of_the_rfc_with_its_parts() {
    let body = format!(
        "--50UBfW7LSCVLtggUPe5z\r\nContent-Transfer-Encoding: binary\r\n\
         Content-ID: <nXYxAE@pres.vancouver.example.com>\r\n\
         Content-Type: application/rlmi+xml;charset=\"UTF-8\"\r\n\r\n{LIST}\r\n\
         --50UBfW7LSCVLtggUPe5z\r\nContent-Transfer-Encoding: binary\r\n\
         Content-ID: <12345.aaa@vancouver.example.com>\r\n\
         Content-Type: application/pidf+xml;charset=\"UTF-8\"\r\n\r\n\
         <presence xmlns=\"urn:ietf:params:xml:ns:pidf\" entity=\"sip:bob@vancouver.example.com\">\
         <tuple id=\"sg89ae\"><status><basic>open</basic></status></tuple></presence>\r\n\
         --50UBfW7LSCVLtggUPe5z--\r\n"
    );
    let kind = "multipart/related;type=\"application/rlmi+xml\";\
                start=\"<nXYxAE@pres.vancouver.example.com>\";boundary=\"50UBfW7LSCVLtggUPe5z\"";
    let whole = Aggregate::parse(kind, &Bytes::from(body.clone()), &limits()).unwrap();
    assert_eq!(whole.list.names[1].text, "Liste d'amis");
    let bob = &whole.list.resources[0].instances[0];
    let part = whole.part(bob).unwrap();
    let presence = crate::body::pidf::Presence::parse(&part.body, &limits()).unwrap();
    assert!(presence.is_open());
    let jim = &whole.list.resources[1].instances[0];
    assert_eq!((jim.state, jim.reason.as_deref()), (ListState::Terminated, Some("rejected")));
    assert_eq!(whole.part(jim), None);
    let (kind, printed) = whole.to_body("x");
    assert_eq!(Aggregate::parse(&kind, &printed, &limits()).unwrap(), whole);

    assert!(Aggregate::parse("multipart/mixed;boundary=b", &Bytes::new(), &limits()).is_err());
    let encoded = Bytes::from(body.replace("binary", "base64"));
    let kind = "multipart/related;boundary=50UBfW7LSCVLtggUPe5z";
    assert_eq!(
        Aggregate::parse(kind, &encoded, &limits()),
        Err(BodyError::Invalid("Content-Transfer-Encoding"))
    );
    let small = Limits { max_parts: 1, ..limits() };
    let body = Bytes::from(body);
    assert_eq!(Aggregate::parse(kind, &body, &small), Err(BodyError::Limit("max_parts")));
}

#[test]
fn partial_lists_change_what_they_name() {
    let mut list = ResourceList::parse(LIST.as_bytes(), &limits()).unwrap();
    assert_eq!(ResourceList::parse(list.to_body().as_bytes(), &limits()).unwrap(), list);
    let mut table = Resources::default();
    assert_eq!(table.merge(&list, &limits()), Ok(Merged::Applied));
    (list.version, list.extent) = (8, Extent::Partial);
    list.resources.truncate(1);
    list.resources[0].instances.clear();
    assert_eq!(table.merge(&list, &limits()), Ok(Merged::Applied));
    let counts: Vec<_> = table.iter().map(|resource| resource.instances.len()).collect();
    assert_eq!(counts, [0, 1, 1]);
}

// RFC 4826 §3.3.
#[test]
fn resource_lists_of_the_rfc() {
    let lists = ResourceLists::parse(
        br#"<resource-lists xmlns="urn:ietf:params:xml:ns:resource-lists"><list name="friends">
     <entry uri="sip:bill@example.com"><display-name>Bill Doe</display-name></entry>
     <entry-ref ref="resource-lists/users/sip:bill@example.com/index/~~/resource-lists/list"/>
     <list name="close-friends"><display-name>Close Friends</display-name>
      <entry uri="sip:joe@example.com"><display-name>Joe Smith</display-name></entry>
      <external anchor="http://xcap.example.org/resource-lists"><display-name>Marketing</display-name>
      </external></list></list></resource-lists>"#,
        &limits(),
    )
    .unwrap();
    assert_eq!(lists.uris(), ["sip:bill@example.com", "sip:joe@example.com"]);
    let Item::List(inner) = &lists.lists[0].items[2] else { panic!("a list was expected") };
    assert_eq!(inner.display_name.as_deref(), Some("Close Friends"));
    assert_eq!(ResourceLists::parse(lists.to_body().as_bytes(), &limits()).unwrap(), lists);
    let own = ResourceLists::of(["sip:a@b", "sip:c@d"]);
    assert_eq!(ResourceLists::parse(own.to_body().as_bytes(), &limits()).unwrap(), own);
}
