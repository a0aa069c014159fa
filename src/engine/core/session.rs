//! Between session descriptions and media: what we offer, what was agreed, and the stream that
//! follows from it.

use super::Core;
use super::dtls::{Certified, DtlsSide};
use super::entry::CallEntry;
use super::lines::Lines;
use super::negotiation::{Negotiation, sdp_error};
use crate::command::Content;
use crate::event::{CallEvent, CodecInfo};
use crate::ice::Terms;
use crate::media::{MediaCommand, MediaId, MediaPlane, MediaPorts, Secured};
use crate::{Error, SipMessage, Srtp};
use bytes::Bytes;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use tiny_media::{EventPayload, Fmtp, StreamCodec, StreamConfig};
use tiny_sdp::{
    Direction, LocalCodec, LocalMedia, LocalSession, NegotiatedMedia, NegotiatedSession,
    Negotiator, RemoteAddress, Text,
};
use tiny_sip::{Body, CallKey, Limits, multipart};

const DTMF_RELAY: &str = "application/dtmf-relay";

/// The body of a request as the endpoint wants it.
pub(super) fn body(content: Content) -> Body {
    Body::new(content.content_type, content.data)
}

/// The session description in a message: its body, or the first such part of a multipart body.
pub(super) fn sdp_of(message: &SipMessage) -> Option<Bytes> {
    if message.body().is_empty() {
        return None;
    }
    let kind = message.content_type()?.ok()?;
    if kind.is("application", "sdp") {
        return Some(message.body_bytes());
    }
    let parts = multipart::parse(&kind, &message.body_bytes(), &Limits::default()).ok()?;
    let sdp = |p: &multipart::Part| p.content_type().is_some_and(|t| t.is("application", "sdp"));
    parts.into_iter().find(sdp).map(|p| p.body)
}

/// The first active stream of sound.
pub(super) fn audio_of(session: &NegotiatedSession) -> Option<&NegotiatedMedia> {
    session.audio()
}

/// A key as an INFO body.
pub(super) fn dtmf_relay(digit: char) -> Body {
    Body::new(DTMF_RELAY, format!("Signal={digit}\r\nDuration=160\r\n"))
}

/// The key in an INFO body: `application/dtmf-relay`, or the bare digit of `application/dtmf`.
pub(super) fn parse_dtmf(request: &SipMessage) -> Option<(char, u32)> {
    let kind = request.content_type()?.ok()?;
    let text = std::str::from_utf8(request.body()).ok()?;
    let key = |s: &str| {
        let c = s.trim().chars().next()?.to_ascii_uppercase();
        "0123456789*#ABCD".contains(c).then_some(c)
    };
    if kind.is("application", "dtmf") {
        return Some((key(text)?, 160));
    }
    if !kind.is("application", "dtmf-relay") {
        return None;
    }
    let value = |name: &str| {
        text.lines().find_map(|line| {
            let (k, v) = line.split_once('=')?;
            k.trim().eq_ignore_ascii_case(name).then(|| v.trim())
        })
    };
    let ms = value("Duration").and_then(|d| d.parse().ok()).unwrap_or(160);
    Some((key(value("Signal")?)?, ms))
}

impl<P: MediaPlane> Core<P> {
    /// A session of our own: `o=` id and version drawn at random.
    pub(super) fn negotiator(&mut self, terms: Terms) -> Negotiation {
        let policy = terms.srtp;
        let sdp = Negotiator::new(self.sdp.clone(), self.rng.u64() >> 2, self.rng.u64() >> 34);
        let dtls = self.dtls_side(policy);
        let data = self.local_data().filter(|_| dtls.is_some());
        let (suites, lines) = (self.config.srtp_suites.clone(), Lines::new(&mut self.rng));
        let mut negotiation = Negotiation::new(sdp, self.sdp.clone(), policy, suites, dtls, lines);
        negotiation.set_webrtc(terms.webrtc);
        negotiation.take_data(data);
        negotiation.offer_data(terms.data);
        self.limit_channels(&mut negotiation);
        negotiation
    }

    /// Our side of DTLS, for the policies that may need it. The certificate is made for the first.
    fn dtls_side(&mut self, policy: Srtp) -> Option<Box<DtlsSide>> {
        if !matches!(policy, Srtp::Optional | Srtp::Dtls) {
            return None;
        }
        if self.certified.is_none() {
            match Certified::new(&self.config) {
                Ok(certified) => self.certified = Some(certified),
                Err(e) => tracing::debug!("no certificate: {e}"),
            }
        }
        self.certified.clone().map(|certified| Box::new(DtlsSide::new(certified)))
    }

    /// A handshake is done: users are told what with.
    pub(super) fn media_secured(&mut self, id: MediaId, secured: Secured) {
        let Some(entry) = self.media.get(&id).and_then(|key| self.calls.get_mut(key)) else {
            return;
        };
        let Secured { srtp, cipher, fingerprint } = secured;
        if let Some(codec) = &mut entry.codec {
            codec.srtp = Some(srtp.clone());
        }
        entry.publish();
        entry.tell(CallEvent::Secured { srtp, cipher, fingerprint });
    }

    /// RFC 4568 §8.3: only what encrypts the signalling protects the keys in it. Said once.
    pub(super) fn note_keys(&mut self, policy: Srtp, protected: bool) {
        let sends_keys = matches!(policy, Srtp::Optional | Srtp::Sdes);
        if sends_keys && !protected && !std::mem::replace(&mut self.keys_noted, true) {
            tracing::warn!("media keys travel readable in session descriptions: SIP without TLS");
        }
    }

    fn local_session(&self, address: IpAddr, ports: (u16, u16), way: Direction) -> LocalSession {
        let codecs = self.registry.codecs().iter().map(|codec| {
            let d = codec.description();
            let mut local = LocalCodec::new(Text::fixed(d.name), d.clock_rate)
                .channels(d.rtpmap_channels.min(255) as u8)
                .fmtp(Text::copy(&d.fmtp.0));
            if d.payload_type.is_some() {
                local.payload_type = d.payload_type;
            }
            local
        });
        let mut media = LocalMedia::audio(ports.0, codecs.collect()).with_telephone_events();
        // Many peers know events at 8000 Hz only, whatever the codec beside them.
        if !media.codecs.iter().any(|c| c.is_telephone_event() && c.clock_rate == 8000) {
            media.codecs.push(LocalCodec::telephone_event(8000));
        }
        media.rtcp_port = (ports.1 != ports.0.wrapping_add(1)).then_some(ports.1);
        media.direction = way;
        media.ptime = self.config.ptime_ms;
        media.rtcp_mux = self.config.rtcp_mux;
        let mut session = LocalSession::new(address, vec![media]);
        // RFC 8839 §5.5: what is not said is 50.
        let pace = self.config.ice_limits.pace.as_millis() as u32;
        session.ice_pacing = (pace != 50).then_some(pace);
        session
    }

    fn session_at(&self, ports: &MediaPorts, way: Direction) -> LocalSession {
        self.local_session(ports.rtp.ip(), (ports.rtp.port(), ports.rtcp.port()), way)
    }

    /// A session that is only good for trying an offer on: its port is the discard port.
    pub(super) fn trial_session(&self, address: IpAddr) -> LocalSession {
        self.local_session(address, (9, 10), Direction::SendRecv)
    }

    /// Writes an offer.
    pub(super) fn offer(
        &mut self,
        negotiator: &mut Negotiation,
        ports: &MediaPorts,
        way: Direction,
    ) -> Result<Body, Error> {
        let mut local = self.session_at(ports, way);
        let offer = negotiator.offer(&mut local, &mut self.rng)?;
        Ok(Body::sdp(offer))
    }

    /// Answers an offer.
    pub(super) fn answer_offer(
        &mut self,
        negotiator: &mut Negotiation,
        offer: &Bytes,
        ports: &MediaPorts,
        way: Direction,
    ) -> Result<(Body, Option<NegotiatedSession>), Error> {
        self.try_answer(negotiator, offer, ports, way).map_err(sdp_error)
    }

    /// The same, with the negotiator's own word on why not.
    pub(super) fn try_answer(
        &mut self,
        negotiator: &mut Negotiation,
        offer: &Bytes,
        ports: &MediaPorts,
        way: Direction,
    ) -> Result<(Body, Option<NegotiatedSession>), tiny_sdp::Error> {
        let mut local = self.session_at(ports, way);
        let answer = negotiator.answer(offer, &mut local, &mut self.rng)?;
        Ok((Body::sdp(answer.sdp), Some(answer.session)))
    }

    /// Takes the peer's answer to our offer.
    pub(super) fn apply_answer(&mut self, key: CallKey, answer: &Bytes) -> Result<(), Error> {
        let entry = self.calls.get_mut(&key).ok_or(Error::Ended("the call"))?;
        entry.session = Some(entry.negotiator.accept_answer(answer)?);
        Ok(())
    }

    /// The 2xx to an INVITE without a body carries an offer: the answer goes into the ACK.
    pub(super) fn answer_late_offer(
        &mut self,
        now: std::time::Instant,
        key: CallKey,
        offer: &Bytes,
    ) -> Result<(), Error> {
        let entry = self.calls.get(&key).ok_or(Error::Ended("the call"))?;
        let ports = entry.ports.ok_or_else(|| Error::state("the call has no media"))?;
        let way = entry.wished;
        // Not the one of an early dialog that has lost.
        let mut negotiator = entry.offered.as_ref().unwrap_or(&entry.negotiator).clone();
        let (body, session) = self.answer_offer(&mut negotiator, offer, &ports, way)?;
        self.endpoint.acknowledge(now, key, Some(body)).map_err(super::sip_error)?;
        if let Some(entry) = self.calls.get_mut(&key) {
            entry.negotiator = negotiator;
            entry.session = session;
        }
        Ok(())
    }

    /// Starts the stream of a call, or changes the running one, to what was agreed.
    pub(super) fn run_media(&mut self, key: CallKey) {
        self.follow_ice(key);
        let Some(entry) = self.calls.get(&key) else { return };
        let Some((config, info)) = self.stream_config(entry) else { return };
        let Some(entry) = self.calls.get_mut(&key) else { return };
        let Some(ports) = entry.ports else { return };
        let security = entry.negotiator.security();
        // The suite that a handshake brought is still the one.
        let before = entry.codec.as_ref().and_then(|codec| codec.srtp.clone());
        let by_dtls = info.srtp.as_deref() == Some("dtls");
        let info = match before.filter(|srtp| by_dtls && srtp.starts_with("dtls:")) {
            Some(srtp) => CodecInfo { srtp: Some(srtp), ..info },
            None => info,
        };
        if entry.codec.as_ref() != Some(&info) {
            entry.codec = Some(info);
            entry.publish();
        }
        if entry.started {
            self.plane.tell(ports.id, MediaCommand::Reconfigure(Box::new(config), security));
        } else if let Some(audio) = entry.audio.take() {
            entry.started = true;
            self.plane.start(ports.id, config, security, audio);
        }
        self.tell_data(key);
        self.take_seat(key);
    }

    fn stream_config(&self, entry: &CallEntry) -> Option<(StreamConfig, CodecInfo)> {
        let media = audio_of(entry.session.as_ref()?)?;
        let first = media.codecs.first()?;
        let codec = self.registry.codec(&first.name, first.clock_rate)?.clone();
        let remote = media.remote_rtp.as_ref().and_then(socket_address);
        let format = codec.description().format;
        let info = CodecInfo {
            name: codec.description().name.to_owned(),
            sample_rate: format.rate,
            channels: format.channels,
            remote: remote.map(|r| r.to_string()).unwrap_or_default(),
            srtp: entry.negotiator.security().name(),
            ice: entry.has_ice(),
        };
        let send = StreamCodec::new(codec, first.send_pt, Fmtp(first.remote_fmtp.to_string()));
        let mut config = StreamConfig::new(send, entry.ssrc, entry.cname.as_str());
        config.receive = media
            .codecs
            .iter()
            .filter_map(|agreed| {
                let codec = self.registry.codec(&agreed.name, agreed.clock_rate)?.clone();
                let fmtp = Fmtp(agreed.local_fmtp.to_string());
                Some(StreamCodec::new(codec, agreed.recv_pt, fmtp))
            })
            .collect();
        let event = |payload_type, clock_rate| EventPayload { payload_type, clock_rate };
        config.event_send =
            media.telephone_event(first.clock_rate).map(|e| event(e.send_pt, e.clock_rate));
        config.event_receive =
            media.telephone_events.iter().map(|e| event(e.recv_pt, e.clock_rate)).collect();
        let preferred = self.config.ptime_ms.or(media.ptime);
        config.ptime = ptime(preferred, media.maxptime, config.ptime);
        config.direction = stream_direction(media.direction, entry.held);
        config.remote_rtp = remote;
        config.remote_rtcp = media.remote_rtcp.as_ref().and_then(socket_address);
        config.rtcp_mux = media.rtcp_mux;
        config.rtcp_reduced = super::lines::rsize_of(media);
        config.mid = super::lines::mid_of(media);
        config.jitter = self.config.jitter;
        config.media_timeout = Some(self.config.media_timeout);
        Some((config, info))
    }
}

/// The packet time to send: what the peer asks for, in the steps and bounds that codecs have.
fn ptime(asked: Option<u32>, max: Option<u32>, preferred: Duration) -> Duration {
    let preferred = preferred.as_millis() as u32;
    let wanted = asked.unwrap_or(preferred).min(max.unwrap_or(u32::MAX)).clamp(10, 60);
    Duration::from_millis(u64::from(wanted / 10 * 10))
}

/// While we hold the peer nothing is sent and nothing is played, whatever the descriptions allow.
fn stream_direction(agreed: Direction, held: bool) -> Direction {
    let flows = !held;
    Direction::new(agreed.sends() && flows, agreed.receives() && flows)
}

// A host name in a session description is not looked up: no peer of today sends one.
fn socket_address(address: &RemoteAddress) -> Option<SocketAddr> {
    address.host.ip().map(|ip| SocketAddr::new(ip, address.port))
}
