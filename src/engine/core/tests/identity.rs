//! Who is who: credentials asked of the application, calls signed and verified.

use super::*;
use crate::credentials::AuthSpec;
use crate::identity::{CallerIdentity, CertificateRequest, IdentityConfig, IdentityRule};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, CustomExtension, IsCa, KeyPair,
    KeyUsagePurpose,
};
use tiny_sak::Secret;
use tiny_sip::AuthScheme;
use tiny_sip::identity::{Attestation, IdentityError, Signer, TrustAnchors};

const X5U: &str = "https://cert.example.org/sp.pem";
const NOON: i64 = 1_700_000_000;

/// A root in PEM, a chain for provider 1234 in PEM, and the leaf's key.
fn provider() -> (String, String, Secret) {
    let mut ca = CertificateParams::default();
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    ca.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let root = CertifiedIssuer::self_signed(ca, KeyPair::generate().unwrap()).unwrap();
    let mut leaf = CertificateParams::default();
    let list = vec![0x30, 8, 0xa0, 6, 0x16, 4, b'1', b'2', b'3', b'4'];
    let oid = &[1, 3, 6, 1, 5, 5, 7, 1, 26];
    leaf.custom_extensions = vec![CustomExtension::from_oid_content(oid, list)];
    let key = KeyPair::generate().unwrap();
    let leaf = leaf.signed_by(&key, &root).unwrap();
    (root.pem(), leaf.pem(), Secret::from(key.serialize_pem()))
}

/// A pair whose Alice signs and whose Bob verifies by this rule; and the certificate.
fn signing(rule: IdentityRule) -> (Pair, String) {
    let (root, leaf, key) = provider();
    let mut config = IdentityConfig::new(TrustAnchors::from_pem(root.as_bytes()).unwrap());
    config.rule = rule;
    let bob = Config { identity: Some(config), ..Config::default() };
    let mut pair = Pair::with(Config::default(), bob);
    let signer = Signer::new(&key, X5U).unwrap().shaken(Attestation::Full, "lab").unwrap();
    let auth = AuthSpec { signer: Some(signer), ..AuthSpec::default() };
    let spec = AccountSpec { auth, ..AccountSpec::new("sip:+12155551212@192.0.2.1:5060".into()) };
    let add = |reply| Command::AddAccount { spec: Box::new(spec), reply };
    pair.alice.account = pair.alice.command(pair.now, add).now().unwrap();
    pair.alice.core.set_clock(pair.now, NOON);
    pair.bob.core.set_clock(pair.now, NOON);
    (pair, leaf)
}

fn place(pair: &mut Pair) -> Call {
    let to = format!("sip:+12125551213@{}", pair.bob.address);
    let (account, headers) = (pair.alice.account, Vec::new());
    let call = Box::new(PlaceCall::new(account, to, headers, quiet()));
    let call = pair.alice.command(pair.now, |reply| Command::Call { call, reply }).now().unwrap();
    pair.settle();
    call
}

fn wanted(pair: &mut Pair) -> CertificateRequest {
    match pair.bob.events.try_recv() {
        Ok(Event::CertificateWanted(request)) => request,
        other => panic!("{other:?}"),
    }
}

fn incoming(pair: &mut Pair) -> IncomingCall {
    match pair.bob.events.try_recv() {
        Ok(Event::IncomingCall(call)) => call,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_signed_call_rings_as_verified_once_its_certificate_came() {
    let (mut pair, leaf) = signing(IdentityRule::Require);
    let _call = place(&mut pair);
    let request = wanted(&mut pair);
    assert_eq!(request.uri(), X5U);
    assert!(pair.bob.events.try_recv().is_err(), "it does not ring before");
    request.found(leaf);
    pair.settle();
    let call = incoming(&mut pair);
    assert_eq!(call.caller_identity().attestation(), Some(Attestation::Full));
    assert!(call.request().header_named("Date").is_some());
    // The next call of that provider rings at once.
    let _second = place(&mut pair);
    assert!(incoming(&mut pair).caller_identity().is_verified());
}

#[test]
fn without_a_certificate_a_call_is_reported_or_refused_as_the_rule_says() {
    for (rule, status) in [(IdentityRule::Report, None), (IdentityRule::RefuseInvalid, Some(436))] {
        for waits in [true, false] {
            let (mut pair, _) = signing(rule);
            let call = place(&mut pair);
            let request = wanted(&mut pair);
            if waits {
                pair.pass(Duration::from_secs(6));
            }
            drop(request);
            pair.settle();
            match status {
                None => {
                    let failed = CallerIdentity::Failed(IdentityError::NoCertificate);
                    assert_eq!(*incoming(&mut pair).caller_identity(), failed);
                }
                Some(_) => {
                    assert_eq!(end_of(&call).status, status);
                    assert!(pair.bob.core.verifications.deadline().is_none());
                }
            }
        }
    }
}

#[test]
fn a_call_without_identity_is_refused_only_where_one_is_required() {
    for (rule, status) in [(IdentityRule::RefuseInvalid, None), (IdentityRule::Require, Some(428))]
    {
        let (mut pair, _) = signing(rule);
        let add = |reply| Command::AddAccount {
            spec: Box::new(AccountSpec::new("sip:user1@192.0.2.1:5060".into())),
            reply,
        };
        pair.alice.account = pair.alice.command(pair.now, add).now().unwrap();
        let call = place(&mut pair);
        match status {
            None => {
                let failed = CallerIdentity::Failed(IdentityError::Missing);
                assert_eq!(*incoming(&mut pair).caller_identity(), failed);
            }
            Some(_) => assert_eq!(end_of(&call).status, status),
        }
    }
}

#[test]
fn a_caller_who_gives_up_while_the_certificate_is_fetched_never_rings() {
    let (mut pair, leaf) = signing(IdentityRule::Report);
    let call = place(&mut pair);
    let request = wanted(&mut pair);
    // A proceeding INVITE can be cancelled: the 100 comes after 200 ms.
    pair.pass(Duration::from_millis(500));
    drop(call);
    pair.settle();
    pair.pass(Duration::from_secs(1));
    request.found(leaf);
    pair.settle();
    assert!(!matches!(pair.bob.events.try_recv(), Ok(Event::IncomingCall(_))));
    assert!(pair.bob.core.calls.is_empty());
}

#[test]
fn without_verification_nobody_is_asked_for_anything() {
    let mut pair = Pair::new();
    let (_, incoming) = pair.ring();
    assert_eq!(*incoming.caller_identity(), CallerIdentity::NotChecked);
}

/// A 401 to what an agent has sent.
fn challenge(agent: &mut Agent, now: Instant, sent: &Transmit, rest: &str) {
    let text = String::from_utf8(sent.data.to_vec()).unwrap();
    let line = |name: &str| {
        let found = text.lines().find(|l| l.starts_with(name)).unwrap();
        format!("{found}\r\n")
    };
    let response = format!(
        "SIP/2.0 401 Unauthorized\r\n{}{}{};tag=x\r\n{}{}WWW-Authenticate: {rest}\r\n\
         Content-Length: 0\r\n\r\n",
        line("Via:"),
        line("From:"),
        line("To:").trim_end(),
        line("Call-ID:"),
        line("CSeq:"),
    );
    let flow = tiny_sak::Flow {
        local: sent.flow.local,
        remote: sent.flow.remote,
        transport: sent.flow.transport,
    };
    let input = tiny_sip::Input::Datagram { flow, data: response.into() };
    agent.core.handle(now, Input::Sip(input));
}

#[test]
fn the_application_is_asked_for_a_password_and_silence_is_a_refusal() {
    for answers in [true, false] {
        let mut pair = Pair::new();
        let mut spec = AccountSpec::new("sip:carol@192.0.2.1:5060".into());
        spec.auth.policy.ask = true;
        let add = |reply| Command::AddAccount { spec: Box::new(spec), reply };
        let now = pair.now;
        let account = pair.alice.command(now, add).now().unwrap();
        let to = format!("sip:bob@{}", pair.bob.address);
        let call = Box::new(PlaceCall::new(account, to, Vec::new(), quiet()));
        let call = pair.alice.command(now, |reply| Command::Call { call, reply }).now().unwrap();
        let sent = pair.alice.turn(now);
        challenge(&mut pair.alice, now, &sent[0], "Digest realm=\"r\", nonce=\"n\", qop=\"auth\"");
        pair.alice.turn(now);
        let request = match pair.alice.events.try_recv() {
            Ok(Event::CredentialsWanted(request)) => request,
            other => panic!("{other:?}"),
        };
        assert_eq!((request.realm(), request.was_refused()), ("r", false));
        assert!(matches!(request.scheme(), AuthScheme::Digest { .. }));
        if answers {
            request.password("carol", "secret");
            let again = pair.alice.turn(now);
            let text = String::from_utf8(again[0].data.to_vec()).unwrap();
            assert!(
                text.contains("Authorization: Digest username=\"carol\", realm=\"r\""),
                "{text}"
            );
            assert!(text.contains("CSeq: 2 INVITE"));
        } else {
            drop(request);
            pair.alice.turn(now);
            assert_eq!(end_of(&call).status, Some(401));
        }
    }
}
