//! Data channels as an application sees them: two agents on real sockets of the loopback.
#![cfg(feature = "dtls")]

mod common;

use common::{account, connect, on_loopback, soon, told, uri};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tiny_ua::data::Reliability;
use tiny_ua::{
    Audio, Call, CallEvent, Config, DataChannel, DataChannelState, DataMessage, Error, Srtp,
    UserAgent,
};
use tokio::time::{sleep, timeout};

async fn agent(change: impl FnOnce(&mut Config)) -> UserAgent {
    let builder = on_loopback().codecs(["pcmu"]).srtp(Srtp::Dtls);
    builder.configure(change).build().await.unwrap()
}

/// A call whose first offer has data channels, or has not.
async fn call(from: &UserAgent, to: &UserAgent, data: bool) -> (Call, Call) {
    let call = account(from, "alice").await.call(uri("bob", to));
    connect(call.audio(Audio::silent()).data(data), to, Audio::silent()).await
}

/// The channel that the peer opens.
async fn opened(call: &Call) -> DataChannel {
    told(call, |event| match event {
        CallEvent::DataChannel(channel) => Some(channel),
        _ => None,
    })
    .await
}

async fn pair(placed: &Call, taken: &Call, label: &str) -> (DataChannel, DataChannel) {
    let opening = async { placed.data_channel(label).await.unwrap() };
    soon(async { tokio::join!(opening, opened(taken)) }).await
}

async fn recv(channel: &DataChannel) -> DataMessage {
    soon(channel.recv()).await.expect("a message")
}

fn text(text: &str) -> DataMessage {
    DataMessage::Text(text.into())
}

/// FNV-1a: enough to see that nothing was lost, doubled or turned around.
fn checksum(sum: u64, data: &[u8]) -> u64 {
    data.iter().fold(sum, |sum, byte| (sum ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3))
}

const TOTAL: usize = 10_000_000;

async fn send_all(channel: DataChannel, seed: u64) -> u64 {
    let mut sum = seed;
    let mut state = seed | 1;
    for at in (0..TOTAL).step_by(50_000) {
        let length = 50_000.min(TOTAL - at);
        let piece: Vec<u8> = (0..length)
            .map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                (state >> 56) as u8
            })
            .collect();
        sum = checksum(sum, &piece);
        channel.send_binary(piece).await.unwrap();
        assert!(channel.buffered_amount() <= 1 << 20);
    }
    sum
}

async fn receive_all(channel: DataChannel, seed: u64) -> u64 {
    let (mut sum, mut got) = (seed, 0);
    while got < TOTAL {
        let DataMessage::Binary(data) = recv(&channel).await else { panic!("text") };
        got += data.len();
        sum = checksum(sum, &data);
    }
    assert_eq!(got, TOTAL);
    sum
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_megabytes_go_each_way_at_once_beside_the_sound() {
    let (left, right) = (agent(|_| {}).await, agent(|_| {}).await);
    let (placed, taken) = call(&left, &right, true).await;
    let (ours, theirs) = pair(&placed, &taken, "bulk").await;
    let begun = std::time::Instant::now();
    let sums = tokio::join!(
        tokio::spawn(send_all(ours.clone(), 1)),
        tokio::spawn(receive_all(theirs.clone(), 1)),
        tokio::spawn(send_all(theirs.clone(), 2)),
        tokio::spawn(receive_all(ours.clone(), 2)),
    );
    let took = begun.elapsed();
    assert_eq!(sums.0.unwrap(), sums.1.unwrap());
    assert_eq!(sums.2.unwrap(), sums.3.unwrap());
    assert!(took < Duration::from_secs(20), "20 MB took {took:?}");
    // The sound has gone on meanwhile.
    let stats = placed.stats().await.unwrap();
    assert!(stats.rx_packets > 0 && stats.srtp_auth_failed == 0, "{stats:?}");
    placed.hangup().await;
}

#[tokio::test]
async fn text_and_bytes_arrive_whole_and_both_sides_know_what_the_channel_is() {
    let (left, right) = (agent(|_| {}).await, agent(|_| {}).await);
    let (placed, taken) = call(&left, &right, true).await;
    let builder = placed.data_channel("chat").protocol("v1.chat").ordered(false);
    let opening = async { builder.max_retransmits(3).priority(512).await.unwrap() };
    let (ours, theirs) = soon(async { tokio::join!(opening, opened(&taken)) }).await;
    for channel in [&ours, &theirs] {
        assert_eq!((channel.label(), channel.protocol()), ("chat", "v1.chat"));
        assert_eq!(channel.reliability(), Reliability::Retransmits(3));
        assert_eq!((channel.is_ordered(), channel.state()), (false, DataChannelState::Open));
    }
    assert_eq!(ours.id(), theirs.id());
    assert_eq!((ours.is_incoming(), theirs.is_incoming()), (false, true));
    ours.send_text("grüß dich").await.unwrap();
    assert_eq!(recv(&theirs).await, text("grüß dich"));
    theirs.send_binary(vec![0, 255]).await.unwrap();
    assert_eq!(recv(&ours).await, DataMessage::Binary(vec![0, 255].into()));
    theirs.send_text("").await.unwrap();
    assert_eq!(recv(&ours).await, text(""));
    // The callee opens one, too: of the other parity.
    let (from_callee, at_caller) = pair(&taken, &placed, "back").await;
    assert_ne!(from_callee.id() % 2, ours.id() % 2);
    from_callee.try_send(text("now")).unwrap();
    assert_eq!(recv(&at_caller).await, text("now"));
    placed.hangup().await;
    // With the call they end.
    soon(ours.closed()).await;
    assert_eq!(soon(theirs.recv()).await, None);
    assert!(matches!(ours.send_text("late").await, Err(Error::Ended(_))));
}

#[tokio::test]
async fn the_first_channel_of_a_call_without_any_has_the_peer_asked() {
    let (left, right) = (agent(|_| {}).await, agent(|_| {}).await);
    let (placed, taken) = call(&left, &right, false).await;
    let (ours, theirs) = pair(&placed, &taken, "late").await;
    ours.send_text("hello").await.unwrap();
    assert_eq!(recv(&theirs).await, text("hello"));
    // They live on over hold and resume.
    placed.hold().await.unwrap();
    placed.resume().await.unwrap();
    taken.hold().await.unwrap();
    theirs.send_text("still here").await.unwrap();
    assert_eq!(recv(&ours).await, text("still here"));
    placed.hangup().await;
}

#[tokio::test]
async fn two_channels_that_are_wanted_at_once_from_both_sides_share_one_change() {
    let (left, right) = (agent(|_| {}).await, agent(|_| {}).await);
    let (placed, taken) = call(&left, &right, false).await;
    let (one, two, three) = soon(async {
        tokio::join!(placed.data_channel("1"), placed.data_channel("2"), taken.data_channel("3"))
    })
    .await;
    let labels = [opened(&taken).await, opened(&taken).await].map(|c| c.label().to_owned());
    assert_eq!(labels, ["1", "2"]);
    assert_eq!(opened(&placed).await.label(), "3");
    assert!(one.is_ok() && two.is_ok() && three.is_ok());
    placed.hangup().await;
}

#[tokio::test]
async fn negotiated_channels_need_no_word_between_the_peers() {
    let (left, right) = (agent(|_| {}).await, agent(|_| {}).await);
    let (placed, taken) = call(&left, &right, true).await;
    let (ours, theirs) = soon(async {
        tokio::join!(
            placed.data_channel("fixed").negotiated(77),
            taken.data_channel("fixed").negotiated(77)
        )
    })
    .await;
    let (ours, theirs) = (ours.unwrap(), theirs.unwrap());
    assert_eq!((ours.id(), theirs.id()), (77, 77));
    theirs.send_text("hi").await.unwrap();
    assert_eq!(recv(&ours).await, text("hi"));
    let again = soon(placed.data_channel("fixed").negotiated(77)).await;
    assert!(matches!(again, Err(Error::Config { .. })), "{again:?}");
    placed.hangup().await;
}

#[tokio::test]
async fn a_channel_that_is_closed_delivers_what_it_had_and_ends_on_both_sides() {
    let (left, right) = (agent(|_| {}).await, agent(|_| {}).await);
    let (placed, taken) = call(&left, &right, true).await;
    let (ours, theirs) = pair(&placed, &taken, "short").await;
    for n in 0..20 {
        ours.send_binary(vec![n; 60_000]).await.unwrap();
    }
    ours.close();
    assert_eq!(ours.state(), DataChannelState::Closing);
    assert!(matches!(ours.send_text("late").await, Err(Error::Ended(_))));
    for n in 0..20 {
        assert_eq!(recv(&theirs).await, DataMessage::Binary(vec![n; 60_000].into()));
    }
    assert_eq!(soon(theirs.recv()).await, None);
    assert_eq!(theirs.state(), DataChannelState::Closed);
    soon(ours.closed()).await;
    // To drop the last handle closes, too, and the call goes on.
    let (ours, theirs) = pair(&placed, &taken, "dropped").await;
    drop(theirs);
    soon(ours.closed()).await;
    pair(&placed, &taken, "again").await;
    placed.hangup().await;
}

#[tokio::test]
async fn a_reader_that_pauses_holds_the_writer_back() {
    let (left, right) = (agent(|c| c.data_buffer = 200_000).await, agent(|_| {}).await);
    let (placed, taken) = call(&left, &right, true).await;
    let (ours, theirs) = pair(&placed, &taken, "slow").await;
    let piece = || DataMessage::Binary(vec![7; 50_000].into());
    // It waits sooner or later: what is on its way, at the reader, and in our own buffer is bounded.
    let mut taken_in = 0;
    while let Ok(sent) = timeout(Duration::from_secs(1), ours.send(piece())).await {
        sent.unwrap();
        taken_in += 1;
        assert!(taken_in < 100, "nothing holds it");
    }
    assert!(ours.buffered_amount() <= 200_000 && ours.buffered_amount() > 100_000);
    assert!(matches!(ours.try_send(piece()), Err(Error::Limit(_))));
    for _ in 0..taken_in {
        assert_eq!(recv(&theirs).await, piece());
    }
    soon(ours.send_text("on we go")).await.unwrap();
    assert_eq!(recv(&theirs).await, text("on we go"));
    placed.hangup().await;
}

#[tokio::test]
async fn what_nobody_reads_on_many_channels_is_bounded_by_the_receive_buffer() {
    let small = |config: &mut Config| {
        (config.data.receive_buffer, config.data.max_message_size) = (200_000, 50_000);
        config.data.max_flight = 50_000;
        config.data_buffer = 50_000;
    };
    let (left, right) = (agent(small).await, agent(small).await);
    let (placed, taken) = call(&left, &right, true).await;
    let mut pairs = Vec::new();
    for n in 0..16 {
        pairs.push(pair(&placed, &taken, &n.to_string()).await);
    }
    // Eight places at each reader are room for 6.4 million bytes; it is the buffer that counts.
    let piece = || DataMessage::Binary(vec![7; 50_000].into());
    let mut taken_in = 0;
    let mut waits = false;
    while !waits {
        for (ours, _) in &pairs {
            let sent = timeout(Duration::from_millis(300), ours.send(piece())).await;
            taken_in += usize::from(sent.is_ok());
            waits |= sent.is_err();
        }
        assert!(taken_in < 100, "nothing holds it");
    }
    // Three in the buffer, one on its way, and one of each channel that waits at the sender.
    assert!(taken_in <= 30, "{taken_in}");
    // What is read makes room, and the rest comes.
    let got = Arc::new(AtomicUsize::new(0));
    for (_, theirs) in &pairs {
        let (theirs, got) = (theirs.clone(), got.clone());
        tokio::spawn(async move {
            while theirs.recv().await.is_some() {
                got.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    let all = async {
        while got.load(Ordering::Relaxed) < taken_in {
            sleep(Duration::from_millis(20)).await;
        }
    };
    soon(all).await;
    placed.hangup().await;
}

#[tokio::test]
async fn messages_with_a_lifetime_come_over_a_good_path() {
    let (left, right) = (agent(|_| {}).await, agent(|_| {}).await);
    let (placed, taken) = call(&left, &right, true).await;
    let lifetime = Duration::from_millis(500);
    let opening = async { placed.data_channel("live").max_lifetime(lifetime).await.unwrap() };
    let (ours, theirs) = soon(async { tokio::join!(opening, opened(&taken)) }).await;
    assert_eq!(theirs.reliability(), Reliability::Lifetime(lifetime));
    for n in 0..50 {
        ours.send_text(n.to_string()).await.unwrap();
        assert_eq!(recv(&theirs).await, text(&n.to_string()));
    }
    let both = placed.data_channel("x").max_lifetime(lifetime).max_retransmits(1).await;
    assert!(matches!(both, Err(Error::Config { .. })), "{both:?}");
    placed.hangup().await;
}

#[tokio::test]
async fn what_cannot_be_is_refused_in_words() {
    let (left, right) =
        (agent(|c| c.srtp = Srtp::Sdes).await, agent(|c| c.srtp = Srtp::Sdes).await);
    let (placed, _taken) = call(&left, &right, false).await;
    let refused = soon(placed.data_channel("x")).await.unwrap_err().to_string();
    assert_eq!(refused, "data channels need DTLS, which this call does not have (srtp: dtls)");
    placed.hangup().await;
    let refused = soon(placed.data_channel("x")).await;
    assert!(matches!(refused, Err(Error::Ended(_))), "{refused:?}");
    let small = agent(|c| c.data.max_message_size = 1000).await;
    let left = agent(|_| {}).await;
    let (placed, taken) = call(&left, &small, true).await;
    let (ours, theirs) = pair(&placed, &taken, "small").await;
    let refused = ours.send_binary(vec![0; 1001]).await.unwrap_err().to_string();
    assert_eq!(refused, "limit reached: a message of 1001 bytes; the peer takes 1000");
    ours.send_binary(vec![0; 1000]).await.unwrap();
    assert_eq!(recv(&theirs).await.len(), 1000);
    placed.hangup().await;
}

#[tokio::test]
async fn the_figures_of_a_call_have_those_of_its_data_channels() {
    let (left, right) = (agent(|_| {}).await, agent(|_| {}).await);
    let (placed, taken) = call(&left, &right, false).await;
    assert_eq!(placed.stats().await.unwrap().data, None, "before there are any");
    let (ours, theirs) = pair(&placed, &taken, "counted").await;
    for n in 0..40 {
        ours.send_binary(vec![n; 10_000]).await.unwrap();
    }
    for n in 0..40 {
        assert_eq!(recv(&theirs).await, DataMessage::Binary(vec![n; 10_000].into()));
    }
    theirs.send_text("thanks").await.unwrap();
    assert_eq!(recv(&ours).await, text("thanks"));
    let sent = placed.stats().await.unwrap().data.unwrap();
    let got = taken.stats().await.unwrap().data.unwrap();
    assert_eq!((sent.channels, got.channels), (1, 1));
    assert_eq!((sent.messages_sent, sent.bytes_sent), (40, 400_000));
    assert_eq!((got.messages_received, got.bytes_received), (40, 400_000));
    assert_eq!((got.messages_sent, got.bytes_sent), (1, 6));
    assert_eq!((sent.messages_received, sent.bytes_received), (1, 6));
    // 400,000 bytes in packets of at most 1,160.
    assert!(sent.packets_sent > 344 && got.packets_received > 344, "{sent:?} {got:?}");
    assert!(sent.rtt_ms.is_some_and(|ms| ms < 1000.0), "{sent:?}");
    assert!(sent.congestion_window > 4380, "it has grown: {sent:?}");
    assert_eq!((sent.buffered, sent.abandoned, sent.over_limit), (0, 0, 0), "{sent:?}");
    let end = placed.hangup().await;
    let last = end.stats.unwrap().data.unwrap();
    assert_eq!((last.messages_sent, last.bytes_received), (40, 6), "{last:?}");
}
