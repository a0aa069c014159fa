//! The media plane, as signalling sees it. Media runs apart from the engine: it is told what to do
//! and reports what happened.

#[cfg(feature = "dtls")]
mod channels;
#[cfg(not(feature = "dtls"))]
#[path = "channels_off.rs"]
mod channels;
mod data;
#[cfg(feature = "dtls")]
mod dtls;
#[cfg(not(feature = "dtls"))]
#[path = "dtls_off.rs"]
mod dtls;
mod hidden;
mod ice;
mod ice_path;
#[cfg(test)]
mod ice_tests;
#[cfg(test)]
pub(crate) mod made_up;
mod mixing;
#[cfg(test)]
pub(crate) mod notes;
mod path;
mod pinhole;
mod shield;
mod streams;
pub(crate) mod worker;

#[allow(unused_imports)]
pub(crate) use channels::DataCommand;
#[cfg(feature = "dtls")]
pub(crate) use channels::DataSetup;
pub(crate) use data::DataAgreement;
#[cfg(feature = "dtls")]
pub(crate) use data::DataWord;
pub(crate) use dtls::{DtlsAgreement, DtlsEvent, DtlsKeys, Handshakes, Keyed, Secured};
pub(crate) use ice::{IceCommand, IceNotice, IcePeer, IceSetup, LocalIce};
pub(crate) use mixing::{MixCommand, MixerId, Seat, check_rate};
pub(crate) use shield::{SdesKeys, Security, Shield};

use crate::audio::OpenAudio;
use crate::command::Reply;
use crate::{CallStats, Error};
use std::net::{IpAddr, SocketAddr};
use tiny_media::{Component, StreamConfig, StreamEvent};

/// Names one stream of the media plane.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct MediaId(pub(crate) u64);

/// A stream that has its ports and waits to be started.
#[derive(Debug, Clone, Copy)]
pub(crate) struct MediaPorts {
    pub(crate) id: MediaId,
    pub(crate) rtp: SocketAddr,
    pub(crate) rtcp: SocketAddr,
}

/// What signalling asks of media. The real one has sockets and threads; a simulated one has neither.
pub(crate) trait MediaPlane {
    /// Our address as a peer at `remote` sees it.
    fn local_address_for(&mut self, remote: IpAddr) -> Option<IpAddr>;

    /// Takes a pair of ports at `address`.
    fn open(&mut self, address: IpAddr) -> Result<MediaPorts, Error>;

    /// Takes ports as [`open`](Self::open) does, and gathers candidates with them:
    /// [`IceNotice::Gathered`] follows, before any stream is started there.
    fn open_ice(&mut self, address: IpAddr, setup: IceSetup) -> Result<MediaPorts, Error> {
        let _ = setup;
        self.open(address)
    }

    /// Starts a stream on ports that are open.
    fn start(&mut self, id: MediaId, config: StreamConfig, security: Security, audio: OpenAudio);

    /// Whether this address is ours.
    fn has_address(&mut self, ip: IpAddr) -> bool;

    /// Takes a pair of ports at another address for a stream, which goes on there as it is: its
    /// SSRC, its numbers and its keys stay. After an error it is where it was.
    fn rebind(&mut self, id: MediaId, address: IpAddr) -> Result<MediaPorts, Error>;

    /// Changes or asks something.
    fn tell(&mut self, id: MediaId, command: MediaCommand);

    /// Opens, changes or closes a mixer of streams.
    fn mix(&mut self, mixer: MixerId, command: MixCommand);

    /// Ends a stream and frees its ports. A [`MediaReport::Closed`] follows.
    fn close(&mut self, id: MediaId);
}

#[derive(Debug)]
pub(crate) enum MediaCommand {
    Reconfigure(Box<StreamConfig>, Security),
    /// Other sound for a stream that runs.
    Audio(Box<OpenAudio>),
    Mute(bool),
    Dtmf {
        digits: String,
        inband: bool,
        reply: Reply<()>,
    },
    Stats(Reply<CallStats>),
    /// For the data channels that share the stream's transport.
    #[cfg_attr(not(feature = "dtls"), allow(dead_code))]
    Data(DataCommand),
    /// For the agent of ports that were opened with [`MediaPlane::open_ice`], started or not.
    Ice(IceCommand),
}

/// What media tells the engine.
#[derive(Debug)]
pub(crate) struct MediaNotice {
    pub(crate) id: MediaId,
    pub(crate) report: MediaReport,
}

#[derive(Debug)]
pub(crate) enum MediaReport {
    Event(StreamEvent),
    /// Our key nears the end of its lifetime.
    RekeyDue,
    /// DTLS has brought keys.
    Secured(Secured),
    /// The peer has opened a data channel.
    #[cfg(feature = "dtls")]
    Channel(crate::DataChannel),
    /// What descriptions are to say of channels.
    #[cfg(feature = "dtls")]
    Data(DataWord),
    /// How ICE goes.
    Ice(IceNotice),
    /// The keys cannot be used: no packet passes.
    NoKeys(String),
    Closed(Option<Box<CallStats>>),
}
