//! A media plane for tests that only takes notes, with silence for a source and a sink: what signalling
//! asks for can be looked at, no packet is ever sent.

use super::made_up::Agents;
#[cfg(feature = "dtls")]
use super::{DataCommand, DataSetup};
use super::{
    IceSetup, MediaCommand, MediaId, MediaPlane, MediaPorts, MixCommand, MixerId, Security,
};
use crate::audio::OpenAudio;
use crate::{CallStats, Error};
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};
use tiny_media::{AudioFormat, Sink, Source, StreamConfig};

/// A source and sink of silence.
pub(crate) struct Quiet;

impl Source for Quiet {
    fn format(&self) -> AudioFormat {
        AudioFormat::new(8000, 1)
    }
    fn read(&mut self, out: &mut [i16]) -> usize {
        out.fill(0);
        out.len()
    }
}

impl Sink for Quiet {
    fn format(&self) -> AudioFormat {
        AudioFormat::new(8000, 1)
    }
    fn write(&mut self, _: &[i16]) {}
}

#[derive(Default)]
pub(crate) struct Notes {
    pub(crate) running: HashMap<MediaId, StreamConfig>,
    /// The keys that streams were told, the last ones last.
    pub(crate) secured: Vec<(MediaId, Security)>,
    /// Where streams listen.
    pub(crate) bound: HashMap<MediaId, SocketAddr>,
    pub(crate) closed: Vec<MediaId>,
    /// What was said last of the data channels of a stream.
    #[cfg(feature = "dtls")]
    #[cfg_attr(not(feature = "testkit"), allow(dead_code))]
    pub(crate) channels: HashMap<MediaId, DataSetup>,
    pub(crate) agents: Agents,
    /// How many pairs of ports there are; none stands for enough.
    pub(crate) pairs: Option<usize>,
    next: u64,
}

impl Notes {
    /// The keys of a stream now.
    #[cfg_attr(not(feature = "testkit"), allow(dead_code))]
    pub(crate) fn keys_of(&self, id: MediaId) -> Option<&Security> {
        self.secured.iter().rfind(|(of, _)| *of == id).map(|(_, keys)| keys)
    }

    fn open(&mut self, address: IpAddr) -> MediaPorts {
        self.next += 1;
        let at = |n| SocketAddr::new(address, 20_000 + 2 * (self.next % 20_000) as u16 + n);
        MediaPorts { id: MediaId(self.next), rtp: at(0), rtcp: at(1) }
    }
}

pub(crate) struct Plane {
    /// Our addresses.
    pub(crate) ips: Arc<Mutex<Vec<IpAddr>>>,
    pub(crate) notes: Arc<Mutex<Notes>>,
}

impl MediaPlane for Plane {
    fn local_address_for(&mut self, remote: IpAddr) -> Option<IpAddr> {
        let ips = self.ips.lock().unwrap();
        let same = ips.iter().find(|ip| ip.is_ipv4() == remote.is_ipv4());
        same.or(ips.first()).copied()
    }
    fn open(&mut self, address: IpAddr) -> Result<MediaPorts, Error> {
        let mut notes = self.notes.lock().unwrap();
        if notes.pairs.is_some_and(|pairs| notes.bound.len() >= pairs) {
            return Err(Error::Limit("rtp_ports".into()));
        }
        let ports = notes.open(address);
        notes.bound.insert(ports.id, ports.rtp);
        Ok(ports)
    }
    fn open_ice(&mut self, address: IpAddr, setup: IceSetup) -> Result<MediaPorts, Error> {
        let ports = self.open(address)?;
        self.notes.lock().unwrap().agents.open(ports.id, ports.rtp, setup);
        Ok(ports)
    }
    fn has_address(&mut self, ip: IpAddr) -> bool {
        self.ips.lock().unwrap().contains(&ip)
    }
    fn rebind(&mut self, id: MediaId, address: IpAddr) -> Result<MediaPorts, Error> {
        let mut notes = self.notes.lock().unwrap();
        let opened = notes.open(address);
        notes.bound.insert(id, opened.rtp);
        notes.agents.rebind(id, opened.rtp);
        Ok(MediaPorts { id, ..opened })
    }
    fn start(&mut self, id: MediaId, config: StreamConfig, keys: Security, _: OpenAudio) {
        let mut notes = self.notes.lock().unwrap();
        notes.running.insert(id, config);
        notes.secured.push((id, keys));
    }
    fn tell(&mut self, id: MediaId, command: MediaCommand) {
        match command {
            MediaCommand::Reconfigure(config, keys) => {
                let mut notes = self.notes.lock().unwrap();
                notes.running.insert(id, *config);
                notes.secured.push((id, keys));
            }
            MediaCommand::Stats(reply) => drop(reply.send(Ok(CallStats::default()))),
            MediaCommand::Dtmf { reply, .. } => drop(reply.send(Ok(()))),
            MediaCommand::Ice(command) => self.notes.lock().unwrap().agents.obey(id, command),
            #[cfg(feature = "dtls")]
            MediaCommand::Data(DataCommand::Agreed(Some(setup))) => {
                self.notes.lock().unwrap().channels.insert(id, *setup);
            }
            MediaCommand::Audio(_) | MediaCommand::Mute(_) | MediaCommand::Data(_) => {}
        }
    }
    fn mix(&mut self, _: MixerId, command: MixCommand) {
        if let MixCommand::Levels { members, reply } = command {
            let _ = reply.send(Ok(members.into_iter().map(|(_, member)| member).collect()));
        }
    }
    fn close(&mut self, id: MediaId) {
        let mut notes = self.notes.lock().unwrap();
        notes.running.remove(&id);
        notes.bound.remove(&id);
        notes.agents.all.remove(&id);
        notes.closed.push(id);
    }
}
