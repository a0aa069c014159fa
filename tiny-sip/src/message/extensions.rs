//! The typed header fields of the extensions, read when asked for. Those that are plain addresses,
//! words or numbers come by the accessors of RFC 3261's fields.

use super::Message;
use super::fields::{Fallible, malformed};
use crate::header::{
    AnswerMode, Diversion, FeatureSet, HeaderName, HistoryEntry, InfoUri, Item, NameAddr, Privacy,
    Reason, RequestDisposition, SessionId, SubscriptionState, UserToUser, parse_seconds,
};
use HeaderName as H;

impl Message {
    /// P-Asserted-Identity (RFC 3325 §9.1): to be believed only from a trusted network.
    pub fn asserted_identities(&self) -> impl Iterator<Item = Fallible<NameAddr<'_>>> {
        self.addresses(H::PAssertedIdentity)
    }

    /// P-Preferred-Identity (RFC 3325 §9.2).
    pub fn preferred_identities(&self) -> impl Iterator<Item = Fallible<NameAddr<'_>>> {
        self.addresses(H::PPreferredIdentity)
    }

    /// P-Associated-URI (RFC 7315 §4.1): what else the registered user is called.
    pub fn associated_uris(&self) -> impl Iterator<Item = Fallible<NameAddr<'_>>> {
        self.addresses(H::PAssociatedUri)
    }

    /// P-Called-Party-ID (RFC 7315 §4.2): the number that was dialled.
    pub fn called_party_id(&self) -> Option<Fallible<NameAddr<'_>>> {
        self.address(H::PCalledPartyId)
    }

    /// P-Access-Network-Info (RFC 7315 §4.4): access types with their parameters.
    pub fn access_network_info(&self) -> impl Iterator<Item = Fallible<Item<'_>>> {
        self.items(H::PAccessNetworkInfo)
    }

    /// Service-Route (RFC 3608): the route of later requests, in a response to REGISTER.
    pub fn service_routes(&self) -> impl Iterator<Item = Fallible<NameAddr<'_>>> {
        self.addresses(H::ServiceRoute)
    }

    /// Path (RFC 3327).
    pub fn paths(&self) -> impl Iterator<Item = Fallible<NameAddr<'_>>> {
        self.addresses(H::Path)
    }

    /// Privacy (RFC 3323).
    pub fn privacy(&self) -> Option<Fallible<Privacy>> {
        self.optional(H::Privacy, Privacy::parse)
    }

    /// Session-ID (RFC 7989).
    pub fn session_id(&self) -> Option<Fallible<SessionId>> {
        self.optional(H::SessionId, SessionId::parse)
    }

    /// User-to-User (RFC 7433).
    pub fn user_to_user(&self) -> impl Iterator<Item = Fallible<UserToUser<'_>>> {
        self.list(H::UserToUser)
            .map(|text| UserToUser::parse(text).map_err(malformed(H::UserToUser)))
    }

    /// History-Info (RFC 7044), oldest first.
    pub fn history(&self) -> impl Iterator<Item = Fallible<HistoryEntry<'_>>> {
        self.addresses(H::HistoryInfo)
            .map(|address| HistoryEntry::of(address?).map_err(malformed(H::HistoryInfo)))
    }

    /// Diversion (RFC 5806), the last diversion first.
    pub fn diversions(&self) -> impl Iterator<Item = Fallible<Diversion<'_>>> {
        self.addresses(H::Diversion).map(|address| Ok(Diversion { address: address? }))
    }

    /// Reason (RFC 3326), one for each protocol.
    pub fn reasons(&self) -> impl Iterator<Item = Fallible<Reason<'_>>> {
        self.list(H::Reason).map(|text| Reason::parse(text).map_err(malformed(H::Reason)))
    }

    /// Accept-Contact, Reject-Contact (RFC 3841) or Feature-Caps (RFC 6809).
    pub fn feature_sets(&self, name: HeaderName) -> impl Iterator<Item = Fallible<FeatureSet<'_>>> {
        self.list(name).map(move |text| FeatureSet::parse(text).map_err(malformed(name)))
    }

    /// Request-Disposition (RFC 3841), the first line of it.
    pub fn request_disposition(&self) -> Option<Fallible<RequestDisposition>> {
        self.optional(H::RequestDisposition, RequestDisposition::parse)
    }

    /// Answer-Mode (RFC 5373).
    pub fn answer_mode(&self) -> Option<Fallible<AnswerMode>> {
        self.optional(H::AnswerMode, AnswerMode::parse)
    }

    /// Geolocation (RFC 6442): URIs, `cid:` ones among them.
    pub fn geolocations(&self) -> impl Iterator<Item = Fallible<InfoUri<'_>>> {
        self.info_uris(H::Geolocation)
    }

    /// Event (RFC 6665 §8.2.1): the package and its parameters, `id` among them.
    pub fn event(&self) -> Option<Fallible<Item<'_>>> {
        self.item(H::Event)
    }

    /// Subscription-State (RFC 6665 §8.2.2).
    pub fn subscription_state(&self) -> Option<Fallible<SubscriptionState<'_>>> {
        self.optional(H::SubscriptionState, SubscriptionState::parse)
    }

    /// SIP-ETag (RFC 3903 §11.3.1).
    pub fn entity_tag(&self) -> Option<Fallible<&str>> {
        self.item(H::SipEtag).map(|item| item.map(|item| item.value))
    }

    /// SIP-If-Match (RFC 3903 §11.3.2).
    pub fn if_match(&self) -> Option<Fallible<&str>> {
        self.item(H::SipIfMatch).map(|item| item.map(|item| item.value))
    }

    /// Security-Client, Security-Server or Security-Verify (RFC 3329 §2.2): mechanisms with their
    /// parameters; [`Item::quality`] orders them.
    pub fn security(&self, name: HeaderName) -> impl Iterator<Item = Fallible<Item<'_>>> {
        self.items(name)
    }

    /// Flow-Timer (RFC 5626 §10), in seconds.
    pub fn flow_timer(&self) -> Option<Fallible<u32>> {
        self.optional(H::FlowTimer, parse_seconds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Limits;

    #[test]
    fn every_extension_of_an_invite_is_read_when_asked_for() {
        let text = "INVITE sip:bob@b SIP/2.0\r\n\
            Via: SIP/2.0/UDP a;branch=z9hG4bK1\r\nFrom: <sip:anonymous@anonymous.invalid>;tag=1\r\n\
            To: <sip:bob@b>\r\nCall-ID: 1\r\nCSeq: 1 INVITE\r\nMax-Forwards: 70\r\n\
            P-Asserted-Identity: \"Cullen Jennings\" <sip:fluffy@cisco.com>\r\n\
            P-Asserted-Identity: tel:+14085264000\r\n\
            P-Preferred-Identity: <sip:f@c>\r\nP-Associated-URI: <sip:a@b>, <tel:+1>\r\n\
            P-Called-Party-ID: sip:user1-business@example.com\r\n\
            P-Access-Network-Info: 3GPP-UTRAN-TDD;utran-cell-id-3gpp=234151D0FCE11\r\n\
            Privacy: id\r\nSession-ID: ab30317f1a784dc48ff824d0d3715d86;remote=\
            00000000000000000000000000000000\r\n\
            User-to-User: 56a3;encoding=hex, \"x\";encoding=text\r\n\
            History-Info: <sip:a@b>;index=1, <sip:c@d?Reason=SIP%3Bcause%3D486>;index=1.1;mp=1\r\n\
            Diversion: <sip:a@b>;reason=unconditional\r\nReason: SIP;cause=200;text=\"ok, so\"\r\n\
            Accept-Contact: *;audio, *;video;require\r\nRequest-Disposition: no-fork\r\n\
            Answer-Mode: Auto\r\nGeolocation: <cid:target123@atlanta.example.com>\r\n\
            Event: presence;id=7\r\nSubscription-State: active;expires=60\r\nSIP-ETag: dx200xyz\r\n\
            SIP-If-Match: 8sd\r\nSecurity-Server: ipsec-ike;q=0.1, tls;q=0.2\r\nFlow-Timer: 120\r\n\
            Service-Route: <sip:p1;lr>, <sip:p2;lr>\r\nPath: <sip:p3;lr>\r\n\
            Content-Length: 0\r\n\r\n";
        let m = Message::parse(text.into(), &Limits::default()).unwrap();
        let asserted: Vec<_> = m.asserted_identities().map(|a| a.unwrap().uri.as_str()).collect();
        assert_eq!(asserted, ["sip:fluffy@cisco.com", "tel:+14085264000"]);
        assert_eq!(m.preferred_identities().count(), 1);
        assert_eq!(m.associated_uris().flatten().count(), 2);
        let called = m.called_party_id().unwrap().unwrap();
        assert_eq!(called.uri.user(), Some("user1-business"));
        let access = m.access_network_info().next().unwrap().unwrap();
        assert_eq!(access.value, "3GPP-UTRAN-TDD");
        assert_eq!(access.param("utran-cell-id-3gpp"), Some("234151D0FCE11"));
        assert!(m.privacy().unwrap().unwrap().id);
        assert_eq!(m.session_id().unwrap().unwrap().remote, 0);
        let octets: Vec<_> = m.user_to_user().map(|u| u.unwrap().octets().unwrap()).collect();
        assert_eq!(octets, [vec![0x56, 0xa3], b"x".to_vec()]);
        let history: Vec<_> = m.history().map(|entry| entry.unwrap().index).collect();
        assert_eq!(history, ["1", "1.1"]);
        assert_eq!(m.diversions().next().unwrap().unwrap().reason(), Some("unconditional"));
        assert_eq!(m.reasons().next().unwrap().unwrap().text.as_deref(), Some("ok, so"));
        assert_eq!(
            m.feature_sets(H::AcceptContact).flatten().filter(|s| s.is_required()).count(),
            1
        );
        assert_eq!(m.request_disposition().unwrap().unwrap().fork, Some(false));
        assert!(m.answer_mode().unwrap().unwrap().auto);
        assert_eq!(
            m.geolocations().next().unwrap().unwrap().uri,
            "cid:target123@atlanta.example.com"
        );
        assert_eq!(m.event().unwrap().unwrap().param("id"), Some("7"));
        assert_eq!(m.subscription_state().unwrap().unwrap().expires, Some(60));
        assert_eq!(m.entity_tag(), Some(Ok("dx200xyz")));
        assert_eq!(m.if_match(), Some(Ok("8sd")));
        let best = m.security(H::SecurityServer).flatten().max_by_key(Item::quality);
        assert_eq!(best.unwrap().value, "tls");
        assert_eq!(m.flow_timer(), Some(Ok(120)));
        assert_eq!((m.service_routes().count(), m.paths().count()), (2, 1));
    }
}
