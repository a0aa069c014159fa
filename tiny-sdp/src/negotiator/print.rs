//! Writes our descriptions straight into one string, in the order of RFC 8866 §5. Text that the
//! application gave is checked: it can never start a line of its own.

use crate::attribute::RemoteCandidates;
use crate::dtls::WrittenDtls;
use crate::{
    DataChannel, Direction, Error, Host, IceCredentials, LocalAttribute, LocalCodec, LocalDtls,
    LocalIce, LocalMedia, LocalSession, Text,
};
use std::fmt::Write as _;

/// What a section says of RTCP.
#[derive(Debug, Clone, Copy)]
pub(super) struct RtcpLines<'a> {
    /// `a=rtcp-mux`
    pub(super) mux: bool,
    /// Whether its port may be said: it is not that of another line.
    pub(super) own: bool,
    /// To be said with the port.
    pub(super) address: Option<&'a Host>,
}

/// A description being written, from the `s=` line on; what comes before is known last.
pub(super) struct Printer {
    out: String,
}

impl Printer {
    /// Starts with the session's lines. `times` is what `t=` says, `0 0` when empty.
    pub(super) fn session(
        local: &LocalSession,
        host: &Host,
        ipv6: bool,
        times: &[(u64, u64)],
        ice: bool,
    ) -> Result<Self, Error> {
        let mut p = Self { out: String::with_capacity(640) };
        p.push("s=").checked("session name", &local.name)?.end();
        if !local.media_connections {
            p.connection(host, ipv6)?;
        }
        if times.is_empty() {
            p.push("t=0 0\r\n");
        }
        for (start, stop) in times {
            p.push("t=").number(*start).push(" ").number(*stop).end();
        }
        if ice && local.ice_lite {
            p.flag("ice-lite");
        }
        if let Some(pacing) = local.ice_pacing.filter(|_| ice) {
            p.push("a=ice-pacing:").number(pacing.into()).end();
        }
        if ice && !local.ice_options.is_empty() {
            p.text("ice-options", &local.ice_options)?;
        }
        p.attributes(&local.attributes)?;
        Ok(p)
    }

    pub(super) fn connection(&mut self, host: &Host, ipv6: bool) -> Result<(), Error> {
        self.push(if ipv6 { "c=IN IP6 " } else { "c=IN IP4 " }).host(host)?.end();
        Ok(())
    }

    /// `m=kind port protocol`; formats follow.
    pub(super) fn media(
        &mut self,
        kind: &str,
        port: u16,
        protocol: &str,
    ) -> Result<&mut Self, Error> {
        self.push("m=").word("media kind", kind)?.push(" ").number(port.into()).push(" ");
        self.word("protocol", protocol)
    }

    pub(super) fn payload_type(&mut self, pt: u8) -> &mut Self {
        self.push(" ").number(pt.into())
    }

    pub(super) fn format(&mut self, format: &str) -> Result<&mut Self, Error> {
        self.push(" ").word("format", format)
    }

    /// The lines of one format. §6.6: the number of channels is left out when it is 1.
    pub(super) fn codec(&mut self, pt: u8, codec: &LocalCodec, fmtp: &str) -> Result<(), Error> {
        self.push("a=rtpmap:").number(pt.into()).push(" ").word("codec name", &codec.name)?;
        self.push("/").number(codec.clock_rate.into());
        if codec.channels > 1 {
            self.push("/").number(codec.channels.into());
        }
        self.end();
        if !fmtp.is_empty() {
            self.push("a=fmtp:").number(pt.into()).push(" ").checked("fmtp", fmtp)?.end();
        }
        Ok(())
    }

    pub(super) fn bandwidth(&mut self, kbps: Option<u32>) {
        if let Some(kbps) = kbps {
            self.push("b=AS:").number(kbps.into()).end();
        }
    }

    /// What follows the formats of an active stream.
    pub(super) fn stream(
        &mut self,
        media: &LocalMedia,
        direction: Direction,
        explicit_sendrecv: bool,
        rtcp: RtcpLines<'_>,
        mid: Option<&Text>,
    ) -> Result<(), Error> {
        for (name, value) in [("a=ptime:", media.ptime), ("a=maxptime:", media.maxptime)] {
            if let Some(value) = value {
                self.push(name).number(value.into()).end();
            }
        }
        match (media.rtcp_port, rtcp.address) {
            // RFC 8839 §4.2.2: with ICE the default of the second component is always said.
            (Some(port), Some(host)) if rtcp.own => {
                let host = media.rtcp_address.as_ref().unwrap_or(host);
                self.push("a=rtcp:").number(port.into());
                self.push(" IN ").push(host.address_type()).push(" ").host(host)?.end();
            }
            // RFC 3605: else only when it is not the port after RTP's.
            (Some(port), None) if rtcp.own && port.checked_sub(1) != Some(media.port) => {
                self.push("a=rtcp:").number(port.into()).end();
            }
            _ => {}
        }
        if rtcp.mux {
            self.push("a=rtcp-mux\r\n");
        }
        // Where no media flows the default need not be said.
        let explicit = explicit_sendrecv && media.protocol.is_rtp();
        if explicit || direction != Direction::SendRecv {
            self.push("a=").push(direction.as_str()).end();
        }
        if let Some(mid) = mid.filter(|_| !media.attributes.iter().any(|a| a.name == "mid")) {
            self.push("a=mid:").word("mid", mid)?.end();
        }
        Ok(())
    }

    /// What the application has to say of a stream, after all else.
    pub(super) fn others(&mut self, media: &LocalMedia) -> Result<(), Error> {
        self.attributes(&media.attributes)
    }

    /// `a=name`
    pub(super) fn flag(&mut self, name: &str) {
        self.push("a=").push(name).end();
    }

    /// `a=name:text`
    pub(super) fn text(&mut self, name: &'static str, text: &str) -> Result<(), Error> {
        self.push("a=").push(name).push(":").checked(name, text)?.end();
        Ok(())
    }

    /// A group (RFC 5888 §5) of lines with these names.
    pub(super) fn group<'a>(
        &mut self,
        semantics: &str,
        mids: impl Iterator<Item = &'a Text>,
    ) -> Result<(), Error> {
        self.push("a=group:").push(semantics);
        for mid in mids {
            self.push(" ").word("mid", mid)?;
        }
        self.end();
        Ok(())
    }

    /// RFC 8285 §5.
    pub(super) fn extension(&mut self, id: u8, way: Direction, uri: &str) -> Result<(), Error> {
        self.push("a=extmap:").number(id.into());
        if way != Direction::SendRecv {
            self.push("/").push(way.as_str());
        }
        self.push(" ").word("header extension", uri)?.end();
        Ok(())
    }

    /// RFC 4585 §4.2.
    pub(super) fn feedback(&mut self, pt: u8, messages: &[Text]) -> Result<(), Error> {
        for message in messages {
            self.push("a=rtcp-fb:").number(pt.into()).push(" ");
            self.checked("feedback", message)?.end();
        }
        Ok(())
    }

    /// RFC 8839 §5.4.
    pub(super) fn credentials(&mut self, ice: &IceCredentials) -> Result<(), Error> {
        if !ice.are_valid() {
            let what = "the credentials have a wrong length or character";
            return Err(Error::Local { field: "ice", what });
        }
        self.push("a=ice-ufrag:").push(&ice.ufrag).end();
        self.push("a=ice-pwd:").push(&ice.pwd).end();
        Ok(())
    }

    /// RFC 8839 §5.1, §5.2, RFC 8840 §4. With `mux` the first component is the only one (RFC 5761
    /// §5.1.3).
    pub(super) fn candidates(&mut self, ice: &LocalIce, mux: bool) -> Result<(), Error> {
        for candidate in ice.candidates.iter().filter(|c| !mux || c.component_id == 1) {
            self.text("candidate", &candidate.to_string())?;
        }
        if !ice.remote_candidates.is_empty() {
            let chosen = RemoteCandidates(ice.remote_candidates.clone());
            self.text("remote-candidates", &chosen.to_string())?;
        }
        if ice.end_of_candidates {
            self.flag("end-of-candidates");
        }
        Ok(())
    }

    /// RFC 8841 §5, §6, RFC 8864 §5.
    pub(super) fn data(
        &mut self,
        port: u16,
        max_message_size: Option<u64>,
        channels: &[DataChannel],
    ) -> Result<(), Error> {
        self.push("a=sctp-port:").number(port.into()).end();
        if let Some(size) = max_message_size {
            self.push("a=max-message-size:").number(size).end();
        }
        for channel in channels {
            self.text("dcmap", &channel.to_string())?;
            for attribute in &channel.attributes {
                self.push("a=dcsa:").number(channel.stream.into()).push(" ");
                self.checked("dcsa", attribute)?.end();
            }
        }
        Ok(())
    }

    /// RFC 8842 §5.1. A name of an association is 20 to 255 characters (§4).
    pub(super) fn dtls(&mut self, local: &LocalDtls, written: &WrittenDtls) -> Result<(), Error> {
        if local.fingerprints.is_empty() {
            return Err(Error::Local { field: "dtls", what: "it has no fingerprint" });
        }
        for fingerprint in &local.fingerprints {
            let _ = write!(self.out, "a=fingerprint:{fingerprint}\r\n");
        }
        let _ = write!(self.out, "a=setup:{}\r\n", written.setup);
        if let Some(tls_id) = &written.tls_id {
            let known = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/' | b'-' | b'_');
            if !(20..=255).contains(&tls_id.len()) || !tls_id.bytes().all(known) {
                let what = "it is not 20 to 255 letters, digits and +/-_";
                return Err(Error::Local { field: "tls-id", what });
            }
            self.push("a=tls-id:").push(tls_id).end();
        }
        Ok(())
    }

    fn attributes(&mut self, attributes: &[LocalAttribute]) -> Result<(), Error> {
        for a in attributes {
            self.push("a=").word("attribute name", &a.name)?;
            if let Some(value) = &a.value {
                self.push(":").checked("attribute value", value)?;
            }
            self.end();
        }
        Ok(())
    }

    /// The text from `s=` on: what decides whether the version must grow.
    pub(super) fn body(&self) -> &str {
        &self.out
    }

    /// The whole description.
    pub(super) fn finish(self, origin: &str, id: u64, version: u64) -> String {
        // `origin` is "user IN IP4 host": id and version go behind the user.
        let (user, rest) = origin.split_once(' ').unwrap_or(("-", origin));
        let mut p = Self { out: String::with_capacity(self.out.len() + origin.len() + 64) };
        p.push("v=0\r\no=").push(user).push(" ").number(id).push(" ").number(version);
        p.push(" ").push(rest).end();
        p.out.push_str(&self.out);
        p.out
    }

    fn push(&mut self, s: &str) -> &mut Self {
        self.out.push_str(s);
        self
    }

    pub(super) fn end(&mut self) {
        self.out.push_str("\r\n");
    }

    fn number(&mut self, n: u64) -> &mut Self {
        if n > 9 {
            self.number(n / 10);
        }
        self.out.push(char::from(b'0' + (n % 10) as u8));
        self
    }

    fn host(&mut self, host: &Host) -> Result<&mut Self, Error> {
        match host {
            Host::Name(name) => self.word("address", name),
            Host::Ip(std::net::IpAddr::V4(ip)) => {
                let [a, b, c, d] = ip.octets();
                for (octet, dot) in [(a, "."), (b, "."), (c, "."), (d, "")] {
                    self.number(octet.into()).push(dot);
                }
                Ok(self)
            }
            Host::Ip(ip) => {
                let _ = write!(self.out, "{ip}");
                Ok(self)
            }
        }
    }

    /// Text that may have spaces but no line end.
    fn checked(&mut self, field: &'static str, s: &str) -> Result<&mut Self, Error> {
        if s.bytes().any(|b| matches!(b, b'\r' | b'\n' | 0)) {
            return Err(Error::Local { field, what: "it contains a line end or NUL" });
        }
        Ok(self.push(s))
    }

    /// Text that must be one word.
    fn word(&mut self, field: &'static str, s: &str) -> Result<&mut Self, Error> {
        if s.is_empty() || s.bytes().any(|b| b <= b' ' || b == 0x7f) {
            return Err(Error::Local {
                field,
                what: "it is empty or contains a space or control character",
            });
        }
        Ok(self.push(s))
    }
}

/// The part of the `o=` line that stays over the session's life: `user IN IP4 host`.
pub(super) fn origin(local: &LocalSession) -> Result<Text, Error> {
    let host = local.origin_address.as_ref().unwrap_or(&local.address);
    let mut p = Printer { out: String::with_capacity(48) };
    let user = if local.username.is_empty() { "-" } else { local.username.as_str() };
    p.word("user name", user)?.push(" IN ").push(host.address_type()).push(" ").host(host)?;
    Ok(Text::from(p.out))
}
