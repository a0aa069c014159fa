//! Mixers on the media workers: each is a task that is asleep while nobody takes part. Between it and
//! a stream there are two rings; sound of the host's own is read and written by the mixer itself.

use super::MediaId;
use super::streams::ToStream;
use super::worker::Workers;
use crate::audio::OpenAudio;
use crate::command::Reply;
use crate::{Error, Member};
use std::collections::HashMap;
use std::time::{Duration, Instant};
use tiny_media::mixer::leg;
use tiny_media::{AudioFormat, Mixer, MixerConfig, Sink, Source};
use tokio::sync::mpsc;

/// Sound kept between a mixer and a stream, whose timers do not go off together: 20 ms of the stream's
/// packets in either direction.
const CUSHION: Duration = Duration::from_millis(20);

/// Names one mixer of the media plane.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct MixerId(pub(crate) u64);

/// Somebody at a mixer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Seat {
    /// Whoever hosts the conference.
    Host,
    Stream(MediaId),
}

impl Seat {
    fn number(self) -> u64 {
        match self {
            Self::Host => 0,
            // Streams are counted from one.
            Self::Stream(id) => id.0,
        }
    }
}

/// What signalling says to a mixer.
#[derive(Debug)]
pub(crate) enum MixCommand {
    Open(MixerConfig),
    /// The host's own sound.
    Host(OpenAudio),
    Join(MediaId),
    /// A stream's own sound becomes the host's.
    Borrow(MediaId),
    /// A stream goes on alone; `lender`: with the sound that it had lent.
    Leave {
        stream: MediaId,
        lender: bool,
    },
    /// A stream has ended. What it has lent stays.
    Gone(MediaId),
    Mute(Seat, bool),
    Gain(Seat, f32),
    /// Fills in how loud everybody is.
    Levels {
        members: Vec<(Seat, Member)>,
        reply: Reply<Vec<Member>>,
    },
    Close,
}

/// A source and a sink.
pub(super) struct Sound {
    pub(super) source: Box<dyn Source>,
    pub(super) sink: Box<dyn Sink>,
}

type Queue = mpsc::UnboundedSender<ToMixer>;

/// The mixers of an agent.
#[derive(Default)]
pub(super) struct Mixers(HashMap<MixerId, (Queue, AudioFormat)>);

enum ToMixer {
    Add(Seat, Sound),
    Remove(Seat),
    /// The host's sound goes back to the stream that it came from.
    GiveBack(mpsc::UnboundedSender<ToStream>),
    Mute(Seat, bool),
    Gain(Seat, f32),
    Levels(Vec<(Seat, Member)>, Reply<Vec<Member>>),
}

impl Workers {
    pub(super) fn obey_mix(&mut self, id: MixerId, command: MixCommand) {
        if let MixCommand::Open(config) = command {
            return self.open_mixer(id, config);
        }
        let Some((queue, format)) = self.mixers.0.get(&id) else { return };
        let tell = |what| drop(queue.send(what));
        match command {
            MixCommand::Open(_) => {}
            MixCommand::Host(OpenAudio { source, sink, .. }) => {
                tell(ToMixer::Add(Seat::Host, Sound { source, sink }));
            }
            MixCommand::Join(stream) => {
                let Some(to_stream) = self.stream(stream) else { return };
                let (to_mixer, from_stream) = leg(*format, CUSHION);
                let (to_peer, from_mixer) = leg(*format, CUSHION);
                let sound = Sound { source: Box::new(from_mixer), sink: Box::new(to_mixer) };
                let _ = to_stream.send(ToStream::Connect(sound));
                let sound = Sound { source: Box::new(from_stream), sink: Box::new(to_peer) };
                tell(ToMixer::Add(Seat::Stream(stream), sound));
            }
            MixCommand::Borrow(stream) => {
                let queue = queue.clone();
                let give = move |sound| drop(queue.send(ToMixer::Add(Seat::Host, sound)));
                if let Some(stream) = self.stream(stream) {
                    let _ = stream.send(ToStream::Lend(Box::new(give)));
                }
            }
            MixCommand::Leave { stream, lender } => {
                tell(ToMixer::Remove(Seat::Stream(stream)));
                let Some(to_stream) = self.stream(stream) else { return };
                match lender {
                    true => tell(ToMixer::GiveBack(to_stream.clone())),
                    false => drop(to_stream.send(ToStream::Disconnect(None))),
                }
            }
            MixCommand::Gone(stream) => tell(ToMixer::Remove(Seat::Stream(stream))),
            MixCommand::Mute(seat, on) => tell(ToMixer::Mute(seat, on)),
            MixCommand::Gain(seat, db) => tell(ToMixer::Gain(seat, db)),
            MixCommand::Levels { members, reply } => tell(ToMixer::Levels(members, reply)),
            // Its task ends with its queue, when all that was said is done.
            MixCommand::Close => drop(self.mixers.0.remove(&id)),
        }
    }

    fn open_mixer(&mut self, id: MixerId, config: MixerConfig) {
        // The rate was checked by whoever asked.
        let Ok(mixer) = Mixer::new(config) else { return };
        let (queue, inbox) = mpsc::unbounded_channel();
        self.mixers.0.insert(id, (queue, mixer.format()));
        self.next_worker().spawn(run(mixer, inbox));
    }
}

async fn run(mut mixer: Mixer, mut inbox: mpsc::UnboundedReceiver<ToMixer>) {
    let far = Duration::from_secs(3600);
    let sleep = tokio::time::sleep(far);
    tokio::pin!(sleep);
    let mut host = (false, 0.0);
    loop {
        let deadline = mixer.poll(Instant::now());
        sleep.as_mut().reset(deadline.unwrap_or_else(|| Instant::now() + far).into());
        tokio::select! {
            () = &mut sleep => {}
            told = inbox.recv() => match told {
                Some(told) => obey(&mut mixer, &mut host, told),
                None => return,
            },
        }
    }
}

/// `host`: whether the host is muted, and its gain, whoever's sound it has.
fn obey(mixer: &mut Mixer, host: &mut (bool, f32), told: ToMixer) {
    match told {
        ToMixer::Mute(Seat::Host, on) => host.0 = on,
        ToMixer::Gain(Seat::Host, db) => host.1 = db,
        _ => {}
    }
    match told {
        ToMixer::Add(seat, sound) => {
            if let Err(e) = mixer.add(seat.number(), sound.source, sound.sink) {
                tracing::error!("not mixed: {e}");
            }
            if seat == Seat::Host {
                mixer.set_muted(seat.number(), host.0);
                mixer.set_gain_db(seat.number(), host.1);
            }
        }
        ToMixer::Remove(seat) => drop(mixer.remove(seat.number())),
        ToMixer::GiveBack(stream) => {
            let host = mixer.remove(Seat::Host.number());
            let sound = host.map(|(source, sink)| Sound { source, sink });
            let _ = stream.send(ToStream::Disconnect(sound));
        }
        ToMixer::Mute(seat, on) => mixer.set_muted(seat.number(), on),
        ToMixer::Gain(seat, db) => mixer.set_gain_db(seat.number(), db),
        ToMixer::Levels(mut members, reply) => {
            for (seat, member) in &mut members {
                member.level_db = mixer.level_db(seat.number());
            }
            let _ = reply.send(Ok(members.into_iter().map(|(_, member)| member).collect()));
        }
    }
}

/// Whether a mixer can have this rate.
pub(crate) fn check_rate(rate: u32) -> Result<(), Error> {
    let config = MixerConfig { rate, ..MixerConfig::default() };
    Mixer::new(config).map(drop).map_err(|e| Error::config("conference rate", e))
}
