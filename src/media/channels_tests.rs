//! What descriptions agree on (RFC 8864), carried out by the channels of a stream: over SCTP, without DTLS.

use super::*;
use tiny_sdp::DataChannel as Line;
use tokio::sync::oneshot::{self, Receiver};

struct Ends {
    now: Instant,
    ours: Sctp,
    peer: Channels,
    closed: Vec<u16>,
}

fn ends() -> Ends {
    let (now, config) = (Instant::now(), Arc::new(Config::default()));
    let side = |active, seed| {
        let rng = Rng::from_seed(seed);
        Channels::new(now, active, Peer::default(), config.clone(), rng).unwrap()
    };
    let mut ours = Sctp::new(Rng::from_seed(1));
    ours.channels = Some(side(true, 2));
    Ends { now, ours, peer: side(false, 3), closed: Vec::new() }
}

impl Ends {
    /// Until neither has anything to say.
    fn talk(&mut self) {
        let mut still = true;
        while std::mem::replace(&mut still, false) {
            loop {
                match self.ours.channels.as_mut().unwrap().poll(self.now) {
                    Output::Transmit(packet) => self.peer.handle(self.now, &packet),
                    Output::Event(event) => self.ours.event(self.now, event),
                    Output::Timeout(_) => break,
                }
                still = true;
            }
            loop {
                match self.peer.poll(self.now) {
                    Output::Transmit(packet) => self.ours.handle(self.now, &packet),
                    Output::Event(Event::Closed { channel, .. }) => {
                        self.closed.push(channel.stream());
                    }
                    Output::Event(_) => {}
                    Output::Timeout(_) => break,
                }
                still = true;
            }
        }
    }

    /// The descriptions have these channels; the peer opens those that are new, too.
    fn agreed(&mut self, streams: &[u16], declined: &[u16]) {
        let line = |stream: &u16| Line { stream: *stream, ..Line::default() };
        let agreement = DataAgreement {
            local_port: 5000,
            remote_port: 5000,
            local_max_message_size: 0,
            remote_max_message_size: 0,
            channels: streams.iter().map(line).collect(),
            ours: Vec::new(),
        };
        let (declined, config) = (declined.to_vec(), Config::default());
        let setup = DataSetup { agreement, declined, config, buffer: 1000, queue: 64, ready: 8 };
        for channel in setup.agreement.channels.iter().map(data::options_of) {
            let _ = self.peer.open(self.now, channel);
        }
        self.ours.obey(self.now, DataCommand::Agreed(Some(Box::new(setup))));
        self.talk();
    }

    fn describe(&mut self) -> (Line, Receiver<Result<DataChannel, Error>>) {
        let (reply, answer) = oneshot::channel();
        let spec = crate::DescribedChannel::new("").0;
        self.ours.obey(self.now, DataCommand::Open(Box::new(spec), reply));
        match self.ours.take_word() {
            Some(DataWord::Describe(line)) => (*line, answer),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_channel_that_the_description_leaves_out_is_closed_and_one_it_brings_is_opened() {
    let mut ends = ends();
    ends.agreed(&[1, 3], &[]);
    let (one, three) = (ends.ours.take_news().unwrap(), ends.ours.take_news().unwrap());
    let mut ids = [one.id(), three.id()];
    ids.sort_unstable();
    assert_eq!(ids, [1, 3]);
    // Once more the same: nothing happens.
    ends.agreed(&[1, 3], &[]);
    assert!(ends.ours.take_news().is_none() && ends.closed.is_empty());
    ends.agreed(&[3], &[]);
    assert_eq!(ends.closed, [1]);
    let (gone, stays) = if one.id() == 1 { (one, three) } else { (three, one) };
    assert_eq!(gone.state(), crate::DataChannelState::Closed);
    assert_eq!(stays.state(), crate::DataChannelState::Open);
    // The description knows.
    assert!(ends.ours.take_word().is_none());
}

#[test]
fn a_channel_that_is_closed_does_not_come_back_by_a_description_that_does_not_know() {
    let mut ends = ends();
    ends.agreed(&[1], &[]);
    let channel = ends.ours.take_news().unwrap();
    channel.close();
    ends.ours.act(ends.now, Woken::Look);
    ends.talk();
    assert_eq!(ends.closed, [1]);
    assert!(matches!(ends.ours.take_word(), Some(DataWord::Gone(1))));
    ends.ours.setup.as_mut().unwrap().declined.clear();
    ends.ours.follow(ends.now);
    ends.talk();
    assert!(ends.ours.take_news().is_none());
    // When both have left it out, its stream is free.
    ends.agreed(&[], &[]);
    ends.agreed(&[1], &[]);
    assert_eq!(ends.ours.take_news().unwrap().id(), 1);
}

#[test]
fn who_sets_up_a_channel_gets_it_when_it_is_agreed_on_and_a_word_when_it_is_not() {
    let mut ends = ends();
    ends.agreed(&[], &[]);
    let ((taken, mut first), (declined, mut second)) = (ends.describe(), ends.describe());
    assert_eq!((taken.stream, declined.stream), (0, 2));
    assert!(first.try_recv().is_err());
    ends.agreed(&[0], &[2]);
    assert_eq!(first.try_recv().unwrap().unwrap().id(), 0);
    let refused = second.try_recv().unwrap().unwrap_err().to_string();
    assert_eq!(refused, "the peer does not take the data channel");
    assert!(ends.ours.take_news().is_none());
    // The number is free again.
    let (again, mut waits) = ends.describe();
    assert_eq!(again.stream, 2);
    ends.ours.obey(ends.now, DataCommand::Agreed(None));
    assert!(waits.try_recv().unwrap().is_err());
}

#[test]
fn a_queue_is_made_however_long_it_is_wished() {
    assert_eq!((places(0), places(64)), (1, 64));
    let (_sender, queue) = mpsc::channel::<u8>(places(usize::MAX));
    assert_eq!(queue.max_capacity(), Semaphore::MAX_PERMITS);
}
