//! Three agents on real sockets of the loopback, one of which hosts a conference: what each of them
//! hears.

mod common;

use common::{connect, incoming, on_loopback, soon, uri};
use std::time::Duration;
use tiny_media::PcmReader;
use tiny_media::tone::tone_level_db;
use tiny_ua::{Account, Audio, Config, Event, JoinPolicy, Policy, UserAgent};
use tokio::time::sleep;

const RATE: u32 = 16_000;
const ALICE: f64 = 400.0;
const BOB: f64 = 1100.0;
const CAROL: f64 = 700.0;

struct Person {
    ua: UserAgent,
    account: Account,
    uri: String,
}

async fn person(name: &str, codecs: &[&str], change: impl FnOnce(&mut Config)) -> Person {
    let builder = on_loopback().codecs(codecs.iter().copied()).configure(change);
    let ua = builder.build().await.unwrap();
    let uri = uri(name, &ua);
    let account = ua.account(&uri).build().await.unwrap();
    Person { ua, account, uri }
}

/// Says a tone; what is heard can be read.
fn voice(hz: f64) -> (Audio, PcmReader) {
    common::voice(hz, RATE)
}

/// Waits until these tones are heard, and none of the others, for half a second.
async fn hears(reader: &mut PcmReader, wanted: &[f64]) {
    let mut last = Vec::new();
    let mut block = vec![0; RATE as usize / 2];
    reader.read(&mut vec![0; reader.available()]);
    for _ in 0..30 {
        while reader.available() < block.len() {
            sleep(Duration::from_millis(20)).await;
        }
        reader.read(&mut block);
        last = [ALICE, BOB, CAROL].map(|hz| (hz, tone_level_db(&block, RATE, hz))).to_vec();
        let right = |(hz, level): &(f64, f64)| match wanted.contains(hz) {
            true => *level > -35.0,
            false => *level < -50.0,
        };
        if last.iter().all(right) {
            return;
        }
    }
    panic!("{wanted:?} wanted, heard {last:?}");
}

#[tokio::test]
async fn three_agents_hear_the_two_others_and_not_themselves() {
    let alice = person("alice", &["pcmu"], |_| {}).await;
    let bob = person("bob", &["pcmu", "opus"], |_| {}).await;
    let carol = person("carol", &["opus"], |_| {}).await;
    let (at_alice, mut alice_hears) = voice(ALICE);
    let (at_bob, mut bob_hears) = voice(BOB);
    let (at_carol, mut carol_hears) = voice(CAROL);
    let (_alice_bob, bob_alice) =
        connect(alice.account.call(&bob.uri).audio(at_alice), &bob.ua, at_bob).await;
    hears(&mut alice_hears, &[BOB]).await;
    hears(&mut bob_hears, &[ALICE]).await;
    // Bob adds Carol (RFC 5359 §2.10).
    let conference = bob.ua.conference().await.unwrap();
    conference.add(&bob_alice).await.unwrap();
    let bob_carol = bob.account.call(&carol.uri).conference(&conference).await.unwrap();
    let _carol_bob = incoming(&carol.ua).await.answer(at_carol).await.unwrap();
    soon(bob_carol.answered()).await.unwrap();
    hears(&mut alice_hears, &[BOB, CAROL]).await;
    hears(&mut bob_hears, &[ALICE, CAROL]).await;
    hears(&mut carol_hears, &[ALICE, BOB]).await;
    let members = conference.members().await.unwrap();
    assert_eq!(members.len(), 3);
    assert!(members.iter().all(|m| m.connected && m.level_db.is_some_and(|db| db > -35.0)));
    // Muted: heard by nobody, and hears all the same.
    conference.mute(&bob_carol, true);
    conference.mute_host(true);
    hears(&mut alice_hears, &[]).await;
    hears(&mut carol_hears, &[ALICE]).await;
    hears(&mut bob_hears, &[ALICE]).await;
    conference.mute(&bob_carol, false);
    conference.mute_host(false);
    hears(&mut alice_hears, &[BOB, CAROL]).await;
    // Carol leaves; the others talk on.
    conference.remove(&bob_carol).await.unwrap();
    hears(&mut alice_hears, &[BOB]).await;
    hears(&mut carol_hears, &[]).await;
    // And without the conference, as before it.
    drop(conference);
    hears(&mut alice_hears, &[BOB]).await;
    hears(&mut bob_hears, &[ALICE]).await;
    assert!(bob_alice.hangup().await.stats.is_some_and(|stats| stats.lost == 0));
}

#[tokio::test]
async fn a_call_that_joins_is_mixed_in() {
    let alice = person("alice", &["pcmu"], |_| {}).await;
    let bob = person("bob", &["pcmu", "G722"], |config| {
        config.dialog_watchers = vec!["*".into()];
        config.sip.event_packages = vec!["dialog".into()];
    })
    .await;
    bob.account
        .set_policy({
            let mut policy = Policy::default();
            policy.joins = JoinPolicy::Mix;
            policy
        })
        .unwrap();
    let carol = person("carol", &["G722"], |_| {}).await;
    let (at_alice, mut alice_hears) = voice(ALICE);
    let (at_bob, mut bob_hears) = voice(BOB);
    let (at_carol, mut carol_hears) = voice(CAROL);
    let (_alice_bob, _bob_alice) =
        connect(alice.account.call(&bob.uri).audio(at_alice), &bob.ua, at_bob).await;
    let watched = carol.account.subscribe("dialog", &bob.uri).await.unwrap();
    let dialog = loop {
        let Some(tiny_ua::SubscriptionUpdate::Notify(n)) = soon(watched.next_event()).await else {
            panic!("no dialogs")
        };
        if let Ok(Some(tiny_ua::Document::Dialogs(info))) = n.document() {
            break info.dialogs[0].clone();
        }
    };
    let id = |part: &Option<String>| part.clone().unwrap();
    let (call_id, bobs, alices) =
        (id(&dialog.call_id), id(&dialog.local_tag), id(&dialog.remote_tag));
    let call = carol.account.call(&bob.uri).joins(&call_id, &bobs, &alices).audio(at_carol);
    let call = call.await.unwrap();
    let joins = async {
        loop {
            if let Some(Event::CallJoins { conference, call, .. }) = bob.ua.next_event().await {
                return (conference, call);
            }
        }
    };
    let (conference, _joined) = soon(joins).await;
    soon(call.answered()).await.unwrap();
    hears(&mut alice_hears, &[BOB, CAROL]).await;
    hears(&mut bob_hears, &[ALICE, CAROL]).await;
    hears(&mut carol_hears, &[ALICE, BOB]).await;
    conference.end();
    soon(call.ended()).await;
}
