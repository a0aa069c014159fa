//! The handshake messages (RFC 5246 §7.4, RFC 6347 §4.2, RFC 8422 §5) and their extensions: `use_srtp`
//! (RFC 5764 §4.1.1), the extended master secret (RFC 7627), curves, signatures, renegotiation_info.

use super::Error;
use super::certificate::SCHEMES;
use super::crypto::{GROUPS, Suite};
use super::record::VERSION;
use super::session::SrtpProfile;
use super::wire::{Reader, Write};

pub(super) const CLIENT_HELLO: u8 = 1;
pub(super) const SERVER_HELLO: u8 = 2;
pub(super) const HELLO_VERIFY_REQUEST: u8 = 3;
pub(super) const CERTIFICATE: u8 = 11;
pub(super) const SERVER_KEY_EXCHANGE: u8 = 12;
pub(super) const CERTIFICATE_REQUEST: u8 = 13;
pub(super) const SERVER_HELLO_DONE: u8 = 14;
pub(super) const CERTIFICATE_VERIFY: u8 = 15;
pub(super) const CLIENT_KEY_EXCHANGE: u8 = 16;
pub(super) const FINISHED: u8 = 20;

const SUPPORTED_GROUPS: u16 = 10;
const POINT_FORMATS: u16 = 11;
const SIGNATURES: u16 = 13;
const USE_SRTP: u16 = 14;
const EXTENDED_MASTER_SECRET: u16 = 23;
const RENEGOTIATION_INFO: u16 = 0xff01;
/// Says the same as an empty renegotiation_info (RFC 5746 §3.3).
const RENEGOTIATION_SCSV: u16 = 0x00ff;

/// Certificate types: ECDSA and RSA signatures.
const ECDSA_SIGN: u8 = 64;
const RSA_SIGN: u8 = 1;

fn malformed<T>(name: &'static str, read: Option<T>) -> Result<T, Error> {
    read.ok_or(Error::Malformed(name))
}

#[derive(Default)]
pub(super) struct Extensions {
    pub(super) srtp: Option<Vec<u16>>,
    pub(super) extended_master_secret: bool,
    pub(super) groups: Option<Vec<u16>>,
    pub(super) signatures: Option<Vec<u16>>,
    pub(super) renegotiation: bool,
}

impl Extensions {
    fn read(from: &mut Reader<'_>) -> Option<Self> {
        let mut read = Self::default();
        // RFC 5246 §7.4.1.2: there may be none at all.
        let mut all = if from.0.is_empty() { Reader(&[]) } else { Reader(from.vector(2)?) };
        while !all.0.is_empty() {
            let (kind, data) = (all.u16()?, all.vector(2)?);
            let mut data = Reader(data);
            match kind {
                USE_SRTP if read.srtp.is_none() => {
                    read.srtp = Some(data.numbers()?);
                    // No identifiers of master keys here: they are offered none, and none offered
                    // is taken up (RFC 5764 §4.1.3).
                    data.vector(1)?;
                    data.end()?;
                }
                SUPPORTED_GROUPS if read.groups.is_none() => read.groups = Some(data.numbers()?),
                SIGNATURES if read.signatures.is_none() => read.signatures = Some(data.numbers()?),
                USE_SRTP | SUPPORTED_GROUPS | SIGNATURES => return None,
                EXTENDED_MASTER_SECRET => {
                    data.end()?;
                    read.extended_master_secret = true;
                }
                RENEGOTIATION_INFO => {
                    // RFC 5746 §3.4, §3.6: empty, for this is no renegotiation.
                    if !data.vector(1)?.is_empty() {
                        return None;
                    }
                    read.renegotiation = true;
                }
                _ => {}
            }
        }
        Some(read)
    }
}

fn extension(out: &mut Vec<u8>, kind: u16, with: impl FnOnce(&mut Vec<u8>)) {
    out.u16(kind);
    out.vector(2, with);
}

fn srtp(out: &mut Vec<u8>, profiles: &[SrtpProfile]) {
    extension(out, USE_SRTP, |out| {
        out.vector(2, |out| profiles.iter().for_each(|p| out.u16(p.id())));
        out.push(0);
    });
}

pub(super) struct ClientHello<'a> {
    pub(super) random: [u8; 32],
    pub(super) cookie: &'a [u8],
    pub(super) suites: Vec<u16>,
    pub(super) extensions: Extensions,
}

impl<'a> ClientHello<'a> {
    pub(super) fn read(body: &'a [u8]) -> Result<Self, Error> {
        let mut reader = Reader(body);
        // A newer peer says so in an extension that we do not know.
        if reader.u16().is_none_or(|version| version > VERSION) {
            return Err(Error::Version);
        }
        malformed("ClientHello", Self::rest(reader))
    }

    fn rest(mut reader: Reader<'a>) -> Option<Self> {
        let random = *reader.take(32)?.first_chunk()?;
        reader.vector(1)?;
        let cookie = reader.vector(1)?;
        let suites = reader.numbers()?;
        if !reader.vector(1)?.contains(&0) {
            return None;
        }
        let mut extensions = Extensions::read(&mut reader)?;
        reader.end()?;
        extensions.renegotiation |= suites.contains(&RENEGOTIATION_SCSV);
        Some(Self { random, cookie, suites, extensions })
    }

    pub(super) fn write(random: &[u8; 32], cookie: &[u8], profiles: &[SrtpProfile]) -> Vec<u8> {
        let mut out = Vec::with_capacity(192);
        out.u16(VERSION);
        out.extend_from_slice(random);
        out.push(0);
        out.vector(1, |out| out.extend_from_slice(cookie));
        out.vector(2, |out| Suite::ALL.iter().for_each(|s| out.u16(s.id())));
        out.extend_from_slice(&[1, 0]);
        out.vector(2, |out| {
            extension(out, RENEGOTIATION_INFO, |out| out.push(0));
            extension(out, EXTENDED_MASTER_SECRET, |_| {});
            extension(out, SUPPORTED_GROUPS, |out| {
                out.vector(2, |out| GROUPS.iter().for_each(|g| out.u16(*g)));
            });
            extension(out, POINT_FORMATS, |out| out.extend_from_slice(&[1, 0]));
            extension(out, SIGNATURES, |out| {
                out.vector(2, |out| SCHEMES.iter().for_each(|s| out.u16(*s)));
            });
            if !profiles.is_empty() {
                srtp(out, profiles);
            }
        });
        out
    }
}

/// The cookie in a HelloVerifyRequest, whatever its version says (RFC 6347 §4.2.1).
pub(super) fn cookie(body: &[u8]) -> Result<&[u8], Error> {
    let mut reader = Reader(body);
    let mut read = || {
        reader.u16()?;
        reader.vector(1)
    };
    malformed("HelloVerifyRequest", read())
}

pub(super) fn hello_verify_request(cookie: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(24);
    // That of DTLS 1.0, which is no word on the version (RFC 6347 §4.2.1).
    out.u16(0xfeff);
    out.vector(1, |out| out.extend_from_slice(cookie));
    out
}

pub(super) struct ServerHello {
    pub(super) random: [u8; 32],
    pub(super) suite: u16,
    pub(super) extensions: Extensions,
}

impl ServerHello {
    pub(super) fn read(body: &[u8]) -> Result<Self, Error> {
        let mut reader = Reader(body);
        if reader.u16() != Some(VERSION) {
            return Err(Error::Version);
        }
        let mut rest = || {
            let random = *reader.take(32)?.first_chunk()?;
            reader.vector(1)?;
            let suite = reader.u16()?;
            if reader.u8()? != 0 {
                return None;
            }
            let extensions = Extensions::read(&mut reader)?;
            reader.end()?;
            Some(Self { random, suite, extensions })
        };
        malformed("ServerHello", rest())
    }

    pub(super) fn write(
        random: &[u8; 32],
        suite: Suite,
        asked: &Extensions,
        profile: Option<SrtpProfile>,
    ) -> Vec<u8> {
        let mut out = Vec::with_capacity(96);
        out.u16(VERSION);
        out.extend_from_slice(random);
        out.push(0);
        out.u16(suite.id());
        out.push(0);
        out.vector(2, |out| {
            if asked.renegotiation {
                extension(out, RENEGOTIATION_INFO, |out| out.push(0));
            }
            if asked.extended_master_secret {
                extension(out, EXTENDED_MASTER_SECRET, |_| {});
            }
            extension(out, POINT_FORMATS, |out| out.extend_from_slice(&[1, 0]));
            if let Some(profile) = profile {
                srtp(out, &[profile]);
            }
        });
        out
    }
}

pub(super) fn certificate(ours: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(ours.len() + 6);
    out.vector(3, |out| out.vector(3, |out| out.extend_from_slice(ours)));
    out
}

/// The peer's own certificate, the first of its list.
pub(super) fn first_certificate(body: &[u8]) -> Result<&[u8], Error> {
    let mut reader = Reader(body);
    let list = malformed("Certificate", reader.vector(3))?;
    if list.is_empty() {
        return Err(Error::NoCertificate);
    }
    malformed("Certificate", Reader(list).vector(3))
}

/// What is signed with the two randoms: a named curve and the point on it.
pub(super) fn exchange_parameters(group: u16, public: &[u8]) -> Vec<u8> {
    let mut out = vec![3];
    out.u16(group);
    out.vector(1, |out| out.extend_from_slice(public));
    out
}

pub(super) struct ServerKeyExchange<'a> {
    pub(super) group: u16,
    pub(super) public: &'a [u8],
    pub(super) parameters: &'a [u8],
    pub(super) signed: Signed<'a>,
}

impl<'a> ServerKeyExchange<'a> {
    pub(super) fn read(body: &'a [u8]) -> Result<Self, Error> {
        let mut reader = Reader(body);
        let mut read = || {
            if reader.u8()? != 3 {
                return None;
            }
            let (group, public) = (reader.u16()?, reader.vector(1)?);
            let parameters = &body[..body.len() - reader.0.len()];
            Some(Self { group, public, parameters, signed: Signed::take(reader)? })
        };
        malformed("ServerKeyExchange", read())
    }
}

/// A signature and its scheme.
pub(super) struct Signed<'a> {
    pub(super) scheme: u16,
    pub(super) signature: &'a [u8],
}

impl<'a> Signed<'a> {
    fn take(mut reader: Reader<'a>) -> Option<Self> {
        let (scheme, signature) = (reader.u16()?, reader.vector(2)?);
        reader.end()?;
        Some(Self { scheme, signature })
    }

    pub(super) fn read(body: &'a [u8]) -> Result<Self, Error> {
        malformed("CertificateVerify", Self::take(Reader(body)))
    }
}

pub(super) fn write_signed(out: &mut Vec<u8>, scheme: u16, signature: &[u8]) {
    out.u16(scheme);
    out.vector(2, |out| out.extend_from_slice(signature));
}

pub(super) fn certificate_request() -> Vec<u8> {
    let mut out = vec![2, ECDSA_SIGN, RSA_SIGN];
    out.vector(2, |out| SCHEMES.iter().for_each(|s| out.u16(*s)));
    out.u16(0);
    out
}

/// The signature schemes that a server takes, if it takes certificates like ours.
pub(super) fn requested_schemes(body: &[u8]) -> Result<Vec<u16>, Error> {
    let mut reader = Reader(body);
    let mut read = || {
        let kinds = reader.vector(1)?;
        let schemes = reader.numbers()?;
        reader.vector(2)?;
        Some((kinds.contains(&ECDSA_SIGN), schemes))
    };
    match malformed("CertificateRequest", read())? {
        (true, schemes) => Ok(schemes),
        (false, _) => Err(Error::NothingInCommon("kind of certificate")),
    }
}

/// The client's half of the key agreement.
pub(super) fn exchanged(body: &[u8]) -> Result<&[u8], Error> {
    let mut reader = Reader(body);
    let mut read = || {
        let public = reader.vector(1)?;
        reader.end()?;
        Some(public)
    };
    malformed("ClientKeyExchange", read())
}

pub(super) fn client_key_exchange(public: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(public.len() + 1);
    out.vector(1, |out| out.extend_from_slice(public));
    out
}
