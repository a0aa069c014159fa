//! The active side of the handshake (RFC 5246 §7.3, RFC 6347 §4.2): one state for each message that
//! may come next.

use super::association::{Association, Outgoing};
use super::certificate::{OUR_SCHEME, PublicKey};
use super::crypto::{self, Exchange, GROUPS, Suite};
use super::inbox::Message;
use super::message::{
    self, CERTIFICATE, CERTIFICATE_REQUEST, CERTIFICATE_VERIFY, CLIENT_HELLO, CLIENT_KEY_EXCHANGE,
    ClientHello, FINISHED, HELLO_VERIFY_REQUEST, SERVER_HELLO, SERVER_HELLO_DONE,
    SERVER_KEY_EXCHANGE, ServerHello, ServerKeyExchange,
};
use super::session::SrtpProfile;
use super::{Config, Error};
use std::time::Instant;

/// How many cookies we return in one handshake.
const MAX_COOKIES: u8 = 3;

#[derive(Default)]
enum Awaits {
    /// A ServerHello, or a cookie before it.
    #[default]
    Hello,
    Certificate,
    KeyExchange,
    RequestOrDone,
    Done,
    Finished,
}

/// Where the active side is.
#[derive(Default)]
pub(super) struct Client {
    awaits: Awaits,
    cookies: u8,
    certificate_wanted: bool,
    // The server's half of the key agreement.
    theirs: Vec<u8>,
}

impl Association {
    pub(super) fn client_hello(&mut self, now: Instant, cookie: &[u8]) {
        let body = ClientHello::write(&self.progress.client_random, cookie, &self.config.profiles);
        let mut flight = Vec::new();
        self.add(&mut flight, CLIENT_HELLO, body);
        self.start_flight(now, flight);
    }
}

impl Client {
    /// What follows from a message; `None` when the handshake is done.
    pub(super) fn message(
        mut self,
        at: &mut Association,
        now: Instant,
        message: &Message,
    ) -> Result<Option<Self>, Error> {
        let body = message.body();
        let kind = message.kind;
        let hash = |at: &mut Association| at.progress.transcript.extend_from_slice(message.raw());
        match (&self.awaits, kind) {
            (Awaits::Hello, HELLO_VERIFY_REQUEST) if self.cookies < MAX_COOKIES => {
                self.cookies += 1;
                let cookie = message::cookie(body)?;
                // Neither it nor the first ClientHello are part of the hash (RFC 6347 §4.2.1).
                at.progress.transcript.clear();
                at.client_hello(now, cookie);
            }
            (Awaits::Hello, SERVER_HELLO) => {
                server_hello(at, ServerHello::read(body)?)?;
                hash(at);
                self.awaits = Awaits::Certificate;
            }
            (Awaits::Certificate, CERTIFICATE) => {
                at.check_certificate(message::first_certificate(body)?)?;
                hash(at);
                self.awaits = Awaits::KeyExchange;
            }
            (Awaits::KeyExchange, SERVER_KEY_EXCHANGE) => {
                self.theirs = key_exchange(at, &ServerKeyExchange::read(body)?)?;
                hash(at);
                self.awaits = Awaits::RequestOrDone;
            }
            (Awaits::RequestOrDone, CERTIFICATE_REQUEST) => {
                if !message::requested_schemes(body)?.contains(&OUR_SCHEME) {
                    return Err(Error::NothingInCommon("signature scheme"));
                }
                hash(at);
                self.certificate_wanted = true;
                self.awaits = Awaits::Done;
            }
            (Awaits::RequestOrDone | Awaits::Done, SERVER_HELLO_DONE) => {
                hash(at);
                self.answer(at, now)?;
                self.awaits = Awaits::Finished;
            }
            (Awaits::Finished, FINISHED) => {
                return match crypto::same(&at.verify_data(false)?, body) {
                    true => Ok(None),
                    false => Err(Error::Finished),
                };
            }
            _ => return Err(Error::Unexpected(kind)),
        }
        Ok(Some(self))
    }

    /// Our certificate, our half of the key agreement, the proof that the key is ours, Finished.
    fn answer(&self, at: &mut Association, now: Instant) -> Result<(), Error> {
        let mut flight = Vec::new();
        if self.certificate_wanted {
            let body = message::certificate(at.identity.certificate());
            at.add(&mut flight, CERTIFICATE, body);
        }
        let public = match &at.progress.exchange {
            Some(exchange) => message::client_key_exchange(&exchange.public),
            None => return Err(Error::State("no key exchange")),
        };
        at.add(&mut flight, CLIENT_KEY_EXCHANGE, public);
        at.derive(&self.theirs)?;
        if self.certificate_wanted {
            let signature = at.identity.sign(&at.progress.transcript)?;
            let mut body = Vec::with_capacity(signature.len() + 4);
            message::write_signed(&mut body, OUR_SCHEME, &signature);
            at.add(&mut flight, CERTIFICATE_VERIFY, body);
        }
        flight.push(Outgoing::ChangeCipherSpec);
        let finished = at.verify_data(true)?.to_vec();
        at.add(&mut flight, FINISHED, finished);
        at.start_flight(now, flight);
        Ok(())
    }
}

fn server_hello(at: &mut Association, hello: ServerHello) -> Result<(), Error> {
    let suite = Suite::ALL.into_iter().find(|s| s.id() == hello.suite);
    // One that was not offered.
    let suite = suite.ok_or(Error::Malformed("ServerHello"))?;
    let extensions = &hello.extensions;
    at.progress.profile = agreed_profile(&at.config, extensions.srtp.as_deref())?;
    if at.config.require_extended_master_secret && !extensions.extended_master_secret {
        return Err(Error::NoExtendedMasterSecret);
    }
    at.progress.extended_master_secret = extensions.extended_master_secret;
    at.progress.server_random = hello.random;
    at.progress.suite = Some(suite);
    Ok(())
}

/// RFC 5764 §4.1.1: one of those that were offered.
fn agreed_profile(config: &Config, chosen: Option<&[u16]>) -> Result<Option<SrtpProfile>, Error> {
    match (config.profiles.as_slice(), chosen) {
        ([], None) => Ok(None),
        ([], Some(_)) => Err(Error::Malformed("ServerHello")),
        (_, None) => Err(Error::NoSrtp),
        (offered, Some([id])) => {
            let profile = offered.iter().find(|p| p.id() == *id);
            profile.map(|p| Some(*p)).ok_or(Error::NoSrtp)
        }
        (_, Some(_)) => Err(Error::Malformed("ServerHello")),
    }
}

fn key_exchange(at: &mut Association, exchange: &ServerKeyExchange<'_>) -> Result<Vec<u8>, Error> {
    let progress = &at.progress;
    let key = PublicKey::of(&progress.peer_certificate)?;
    let rsa = matches!(key, PublicKey::Rsa(_));
    if progress.suite.is_none_or(|suite| suite.is_rsa() != rsa) {
        return Err(Error::Certificate);
    }
    let signed =
        [&progress.client_random[..], &progress.server_random, exchange.parameters].concat();
    key.verify(exchange.signed.scheme, &signed, exchange.signed.signature)?;
    if !GROUPS.contains(&exchange.group) {
        return Err(Error::NothingInCommon("curve"));
    }
    at.progress.exchange = Some(Exchange::new(exchange.group)?);
    Ok(exchange.public.to_vec())
}
