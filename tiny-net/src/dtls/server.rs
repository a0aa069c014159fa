//! The passive side of the handshake (RFC 5246 §7.3, RFC 6347 §4.2): one state for each message that
//! may come next. It always demands a certificate (RFC 5763 §5).

use super::association::{Association, Outgoing};
use super::certificate::{OUR_SCHEME, PublicKey};
use super::crypto::{self, Exchange, GROUPS, Suite};
use super::inbox::Message;
use super::message::{
    self, CERTIFICATE, CERTIFICATE_REQUEST, CERTIFICATE_VERIFY, CLIENT_HELLO, CLIENT_KEY_EXCHANGE,
    ClientHello, FINISHED, HELLO_VERIFY_REQUEST, SERVER_HELLO, SERVER_HELLO_DONE,
    SERVER_KEY_EXCHANGE, ServerHello, Signed,
};
use super::session::SrtpProfile;
use super::{Config, Error};
use std::net::SocketAddr;
use std::time::Instant;
use tiny_sak::Rng;
use zeroize::Zeroizing;

enum Awaits {
    /// A ClientHello; with a cookie, if we want one.
    Hello,
    Certificate,
    KeyExchange,
    Verify,
    Finished,
}

/// Where the passive side is.
pub(super) struct Server {
    awaits: Awaits,
    cookie_key: Zeroizing<[u8; 32]>,
    // The random of the ClientHello that was answered by a cookie last.
    asked: Option<[u8; 32]>,
}

impl Server {
    pub(super) fn new(rng: &mut Rng) -> Self {
        let mut cookie_key = Zeroizing::new([0; 32]);
        rng.fill(&mut *cookie_key);
        Self { awaits: Awaits::Hello, cookie_key, asked: None }
    }

    /// Cookies of this key, in place of one of its own.
    pub(super) fn set_cookie_key(&mut self, key: &[u8; 32]) {
        self.cookie_key.copy_from_slice(key);
    }

    /// A first ClientHello came again: it gets the same answer.
    pub(super) fn request_again(&self, from: SocketAddr) -> Option<(u8, Vec<u8>)> {
        let asked = self.asked.filter(|_| matches!(self.awaits, Awaits::Hello))?;
        let cookie = crypto::cookie(&self.cookie_key, from, &asked);
        Some((HELLO_VERIFY_REQUEST, message::hello_verify_request(&cookie)))
    }

    /// What follows from a message; `None` when the handshake is done.
    pub(super) fn message(
        mut self,
        at: &mut Association,
        now: Instant,
        from: SocketAddr,
        message: &Message,
    ) -> Result<Option<Self>, Error> {
        let body = message.body();
        let kind = message.kind;
        let hash = |at: &mut Association| at.progress.transcript.extend_from_slice(message.raw());
        match (&self.awaits, kind) {
            (Awaits::Hello, CLIENT_HELLO) => {
                let hello = ClientHello::read(body)?;
                let cookie = crypto::cookie(&self.cookie_key, from, &hello.random);
                if at.config.cookies && !crypto::same(&cookie, hello.cookie) {
                    self.asked = Some(hello.random);
                    let request = message::hello_verify_request(&cookie);
                    at.put_handshake_to(from, 0, (HELLO_VERIFY_REQUEST, request));
                    // Whatever its number was: the one with the cookie has number 1.
                    at.inbox.restart(1);
                    return Ok(Some(self));
                }
                at.peer = Some(from);
                // The numbers go on from the HelloVerifyRequest (RFC 6347 §4.2.2).
                at.set_next_sequence(message.sequence);
                hash(at);
                client_hello(at, now, &hello)?;
                self.awaits = Awaits::Certificate;
            }
            (Awaits::Certificate, CERTIFICATE) => {
                at.check_certificate(message::first_certificate(body)?)?;
                hash(at);
                self.awaits = Awaits::KeyExchange;
            }
            (Awaits::KeyExchange, CLIENT_KEY_EXCHANGE) => {
                hash(at);
                at.derive(message::exchanged(body)?)?;
                self.awaits = Awaits::Verify;
            }
            (Awaits::Verify, CERTIFICATE_VERIFY) => {
                let signed = Signed::read(body)?;
                let key = PublicKey::of(&at.progress.peer_certificate)?;
                key.verify(signed.scheme, &at.progress.transcript, signed.signature)?;
                hash(at);
                self.awaits = Awaits::Finished;
            }
            (Awaits::Finished, FINISHED) => {
                if !crypto::same(&at.verify_data(true)?, body) {
                    return Err(Error::Finished);
                }
                hash(at);
                let mut flight = vec![Outgoing::ChangeCipherSpec];
                let finished = at.verify_data(false)?.to_vec();
                at.add(&mut flight, FINISHED, finished);
                at.start_flight(now, flight);
                return Ok(None);
            }
            _ => return Err(Error::Unexpected(kind)),
        }
        Ok(Some(self))
    }
}

/// Chooses, and sends all that the client needs to know.
fn client_hello(at: &mut Association, now: Instant, hello: &ClientHello<'_>) -> Result<(), Error> {
    let asked = &hello.extensions;
    // Ours is an EC key.
    let ours = Suite::ALL.into_iter().filter(|suite| !suite.is_rsa());
    let suite = ours.into_iter().find(|suite| hello.suites.contains(&suite.id()));
    let suite = suite.ok_or(Error::NothingInCommon("cipher suite"))?;
    // Without the extension a client takes any; P-256 is what all have.
    let group = match &asked.groups {
        Some(theirs) => GROUPS.into_iter().find(|group| theirs.contains(group)),
        None => Some(23),
    };
    let group = group.ok_or(Error::NothingInCommon("curve"))?;
    if asked.signatures.as_ref().is_none_or(|theirs| !theirs.contains(&OUR_SCHEME)) {
        return Err(Error::NothingInCommon("signature scheme"));
    }
    if at.config.require_extended_master_secret && !asked.extended_master_secret {
        return Err(Error::NoExtendedMasterSecret);
    }
    let profile = chosen_profile(&at.config, asked.srtp.as_deref())?;
    let mut random = [0; 32];
    at.rng.fill(&mut random);
    let exchange = Exchange::new(group)?;

    let parameters = message::exchange_parameters(group, &exchange.public);
    let signature = at.identity.sign(&[&hello.random[..], &random, &parameters].concat())?;
    let mut key_exchange = parameters;
    message::write_signed(&mut key_exchange, OUR_SCHEME, &signature);

    at.progress.client_random = hello.random;
    at.progress.server_random = random;
    at.progress.suite = Some(suite);
    at.progress.profile = profile;
    at.progress.extended_master_secret = asked.extended_master_secret;
    at.progress.exchange = Some(exchange);

    let mut flight = Vec::new();
    at.add(&mut flight, SERVER_HELLO, ServerHello::write(&random, suite, asked, profile));
    let certificate = message::certificate(at.identity.certificate());
    at.add(&mut flight, CERTIFICATE, certificate);
    at.add(&mut flight, SERVER_KEY_EXCHANGE, key_exchange);
    at.add(&mut flight, CERTIFICATE_REQUEST, message::certificate_request());
    at.add(&mut flight, SERVER_HELLO_DONE, Vec::new());
    at.start_flight(now, flight);
    Ok(())
}

/// RFC 5764 §4.1.1: the first of ours that the client offers.
fn chosen_profile(config: &Config, offered: Option<&[u16]>) -> Result<Option<SrtpProfile>, Error> {
    match (config.profiles.as_slice(), offered) {
        ([], _) => Ok(None),
        (_, None) => Err(Error::NoSrtp),
        (ours, Some(theirs)) => {
            let profile = ours.iter().find(|p| theirs.contains(&p.id()));
            profile.map(|p| Some(*p)).ok_or(Error::NothingInCommon("SRTP profile"))
        }
    }
}
