//! Answering challenges (RFC 3261 §22, RFC 7616, RFC 8760, RFC 8898, RFC 3310): which of several is
//! answered, with what, and what the server proves in return. Passwords that the owner keeps come by
//! `Event::CredentialsWanted`; the request waits for them, nothing else does.

use super::clients::ClientKey;
use super::outgoing::Request;
use super::secagree::Agreement;
use super::{AccountKey, AccountState, Cause, Due, Endpoint, Error, Event, QueryKey, Target};
use crate::aka::{AkaChallenge, AkaOutcome, AkaResult};
use crate::digest::{Algorithm, Answer, Ha1, QopPolicy, ServerProof, Session, check_rspauth};
use crate::header::{AuthParams, Challenge, Credentials, HeaderName, unquote};
use crate::message::Message;
use crate::method::Method;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Instant;
use tiny_sak::{Secret, TimerKey, Transport, id};

/// How an account answers challenges.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct AuthPolicy {
    /// The algorithms that are answered; a challenge with another one is as good as none, so that
    /// nobody can lure out a weaker hash. Default `None`: all.
    pub algorithms: Option<Vec<Algorithm>>,
    /// Which of several challenges of one realm is answered.
    pub order: ChallengeOrder,
    /// `auth` or `auth-int`.
    pub qop: QopPolicy,
    /// Whether a token goes over a flow without TLS. RFC 8898 §3 forbids it. Default no.
    pub bearer_in_the_clear: bool,
    /// Whether the owner gives what is missing when asked (`Event::CredentialsWanted`). Default no.
    pub ask: bool,
}

/// Which of several challenges of one realm is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ChallengeOrder {
    /// The topmost that is understood: the server's preference (RFC 8760 §2.4).
    #[default]
    Topmost,
    /// The strongest hash: SHA-512-256, SHA-256, AKA, MD5; a token last.
    Strongest,
}

/// What is asked of the owner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CredentialsRequest {
    /// The protection space.
    pub realm: String,
    /// Whether a proxy asks (407), not the server (401).
    pub proxy: bool,
    /// The method of the request that waits.
    pub method: Method,
    /// Its Request-URI.
    pub uri: String,
    /// What it travels over.
    pub transport: Transport,
    /// What was given for this realm has been refused.
    pub refused: bool,
    /// What will do.
    pub scheme: AuthScheme,
}

/// What kind of proof a challenge asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum AuthScheme {
    /// A user name and a password.
    Digest {
        /// How they are hashed.
        algorithm: Algorithm,
    },
    /// What a USIM makes of this.
    Aka {
        /// `AKAv1-MD5` or `AKAv2-MD5`.
        algorithm: Algorithm,
        /// To be given to the USIM.
        challenge: AkaChallenge,
    },
    /// A token (RFC 8898).
    Bearer {
        /// Where to get one: an https URI.
        authz_server: Option<String>,
        /// What it must be good for.
        scope: Option<String>,
        /// Why the last one was refused: `invalid_token` …
        error: Option<String>,
    },
}

/// The owner's answer.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum CredentialsReply {
    /// For [`AuthScheme::Digest`].
    Password {
        /// The user name.
        username: String,
        /// The password.
        password: Secret,
    },
    /// For [`AuthScheme::Aka`].
    Aka {
        /// The private identity.
        username: String,
        /// What the USIM gave.
        outcome: AkaOutcome,
    },
    /// For [`AuthScheme::Bearer`].
    Bearer(Secret),
    /// There is nothing: the request fails with the response that asked.
    Refuse,
}

/// A proof for the kind of header field and the hop that asked. It is used unasked only towards that
/// hop, so that no stranger is shown credentials.
#[derive(Debug)]
pub(super) struct AuthSession {
    header: HeaderName,
    hop: SocketAddr,
    realm: String,
    proof: Proof,
}

#[derive(Debug)]
enum Proof {
    Digest {
        session: Box<Session>,
        username: String,
        ha1: Ha1,
        /// The USIM is out of step: the next challenge is the first of its kind.
        auts: Option<[u8; 14]>,
    },
    Bearer(Secret),
}

/// A challenge that can be answered.
#[derive(Debug, Clone)]
enum Offer {
    Digest(Box<Session>),
    Aka(Box<Session>, AkaChallenge),
    Bearer { authz_server: Option<String>, scope: Option<String>, error: Option<String> },
}

/// A realm of a header field, the best of its challenges, and whether it was answered before.
#[derive(Debug, Clone)]
struct Asked {
    header: HeaderName,
    realm: String,
    offer: Offer,
    refused: bool,
}

/// What a request waits for.
#[derive(Debug, Clone)]
pub(crate) struct Waiting {
    todo: VecDeque<Asked>,
    taken: Vec<(HeaderName, String)>,
    response: Message,
    hop: SocketAddr,
    transport: Transport,
    pub(super) timer: TimerKey,
}

/// What becomes of a challenged request.
pub(crate) enum Challenged {
    /// Send it again.
    Again(Box<Request>),
    /// It waits for the owner.
    Waits,
    /// It cannot be answered.
    Refused(Box<Request>),
}

impl AccountState {
    /// The password for a realm: one of its own, or one for any realm.
    fn credentials(&self, realm: &str) -> Option<(&str, &Secret)> {
        let all = &self.account.credentials;
        all.iter()
            .find(|c| c.realm.as_deref() == Some(realm))
            .or_else(|| all.iter().find(|c| c.realm.is_none()))
            .map(|c| (c.username.as_str(), &c.password))
    }

    /// Reads a challenge as something that the policy lets us answer.
    fn offer(&self, challenge: &Challenge<'_>, transport: Transport) -> Option<(String, Offer)> {
        let policy = &self.account.auth;
        if challenge.scheme.eq_ignore_ascii_case("Bearer") {
            if !policy.ask || !(transport.is_secure() || policy.bearer_in_the_clear) {
                return None;
            }
            let params = AuthParams::parse(challenge.params.as_str()).ok()?;
            let text = |name| params.get(name).map(|value| unquote(value).into_owned());
            let (authz_server, scope) = (text("authz_server"), text("scope"));
            let offer = Offer::Bearer { authz_server, scope, error: text("error") };
            return Some((text("realm").unwrap_or_default(), offer));
        }
        let session = Session::with_qop(challenge, policy.qop)?;
        let algorithm = session.algorithm();
        if policy.algorithms.as_ref().is_some_and(|known| !known.contains(&algorithm)) {
            return None;
        }
        let agreed = |a: &Agreement| a.allows(algorithm, session.qop());
        if !self.agreement.as_ref().is_none_or(agreed) {
            return None;
        }
        let realm = session.realm().to_owned();
        let offer = if algorithm.is_aka() {
            let aka = AkaChallenge::from_nonce(&unquote(session.nonce()))?;
            (self.account.usim.is_some() || policy.ask)
                .then(|| Offer::Aka(Box::new(session), aka))?
        } else {
            (self.credentials(&realm).is_some() || policy.ask)
                .then(|| Offer::Digest(Box::new(session)))?
        };
        Some((realm, offer))
    }

    /// The best challenge of each realm.
    fn offers(&self, message: &Message, transport: Transport) -> Vec<Asked> {
        let strength = |offer: &Offer| match offer {
            Offer::Digest(session) | Offer::Aka(session, _) => 1 + session.algorithm().strength(),
            Offer::Bearer { .. } => 0,
        };
        let mut best: Vec<Asked> = Vec::new();
        for (asking, header) in [
            (HeaderName::WwwAuthenticate, HeaderName::Authorization),
            (HeaderName::ProxyAuthenticate, HeaderName::ProxyAuthorization),
        ] {
            for challenge in message.challenges(asking).flatten() {
                let Some((realm, offer)) = self.offer(&challenge, transport) else { continue };
                let same = best.iter().position(|a| a.header == header && a.realm == realm);
                match same {
                    Some(known) => {
                        let known = &mut best[known];
                        if self.account.auth.order == ChallengeOrder::Strongest
                            && strength(&offer) > strength(&known.offer)
                        {
                            known.offer = offer;
                        }
                    }
                    None if best.len() < self.max_challenges => {
                        best.push(Asked { header, realm, offer, refused: false });
                    }
                    None => {}
                }
            }
        }
        best
    }

    /// What the account can prove by itself; `Err` when its owner is to be asked, or nobody can.
    fn prove(&mut self, asked: &Asked) -> Result<Proof, bool> {
        let ask = self.account.auth.ask;
        match &asked.offer {
            Offer::Digest(session) => match self.credentials(&asked.realm) {
                // What was refused once is not offered again, if somebody may know better.
                Some((username, password)) if !asked.refused => {
                    let ha1 = Ha1::new(session.algorithm(), username, &asked.realm, password);
                    let (session, username) = (session.clone(), username.to_owned());
                    Ok(Proof::Digest { session, username, ha1, auts: None })
                }
                _ => Err(ask),
            },
            Offer::Aka(session, challenge) => {
                let username = self.credentials(&asked.realm).map(|(user, _)| user.to_owned());
                let Some(usim) = &mut self.account.usim else { return Err(ask) };
                let username = username.unwrap_or_else(|| private_identity(&self.account.aor));
                aka_proof(session, username, usim.answer(challenge)).ok_or(false)
            }
            Offer::Bearer { .. } => Err(ask),
        }
    }

    fn keep(&mut self, asked: &Asked, hop: SocketAddr, proof: Proof) {
        let (header, realm) = (asked.header, asked.realm.clone());
        self.sessions.retain(|s| s.header != header || s.realm != realm || s.hop != hop);
        if self.sessions.len() >= self.max_challenges.max(1) {
            self.sessions.remove(0);
        }
        self.sessions.push(AuthSession { header, hop, realm, proof });
    }

    fn forget(&mut self, header: HeaderName, realm: &str) {
        self.sessions.retain(|s| s.header != header || s.realm != realm);
    }

    /// Whether the last thing this realm was sent was a call for synchronisation.
    fn out_of_step(&self, header: HeaderName, realm: &str) -> bool {
        self.sessions.iter().any(|s| {
            s.header == header
                && s.realm == realm
                && matches!(s.proof, Proof::Digest { auts: Some(_), .. })
        })
    }
}

/// TS 33.203: without a private identity of its own, an account's is its address without a scheme.
fn private_identity(aor: &str) -> String {
    aor.split_once(':').map_or(aor, |(_, rest)| rest).to_owned()
}

fn aka_proof(session: &Session, username: String, outcome: AkaOutcome) -> Option<Proof> {
    let algorithm = session.algorithm();
    let key = |password: &[u8]| Ha1::of_bytes(algorithm, &username, session.realm(), password);
    let (ha1, auts) = match &outcome {
        AkaOutcome::Done(result) => (key(&AkaResult::password(result, algorithm)), None),
        // "the password … is an empty string" (RFC 3310 §3.4).
        AkaOutcome::Resync { auts } => (key(b""), Some(*auts)),
        AkaOutcome::NotTheNetwork => return None,
    };
    Some(Proof::Digest { session: Box::new(session.clone()), username, ha1, auts })
}

impl Endpoint {
    /// Adds what is known to be asked for at this hop, and what was asked of this request.
    pub(crate) fn authorize(&mut self, request: &mut Request, target: &Target) {
        if matches!(request.method, Method::Ack | Method::Cancel) {
            return;
        }
        request.auth.clear();
        let verifier = self.add_credentials(request, target);
        self.secure(request, target, verifier);
    }

    /// Gives what protects a security agreement (RFC 3329 §2.2), if there is one.
    fn add_credentials(&mut self, request: &mut Request, target: &Target) -> Option<String> {
        let account = request.account.and_then(|key| self.accounts.get_mut(key))?;
        let mut verifier = None;
        let clear = account.account.auth.bearer_in_the_clear || target.transport.is_secure();
        let mut sessions = std::mem::take(&mut account.sessions);
        for i in (0..sessions.len()).rev() {
            let (header, here) = (sessions[i].header, sessions[i].hop == target.addr);
            let realm = sessions[i].realm.as_str();
            let asked = request.challenged.iter().any(|(h, r)| *h == header && r == realm);
            // One proof a realm: this hop's own, else the latest.
            let better = sessions.iter().enumerate().any(|(j, other)| {
                other.header == header
                    && other.realm == realm
                    && (other.hop == target.addr || (!here && j > i))
                    && j != i
            });
            if better || !(asked || here) {
                continue;
            }
            let value = match &mut sessions[i].proof {
                // A call for synchronisation answers one challenge and no other.
                Proof::Digest { auts: Some(_), .. } if !asked => continue,
                Proof::Digest { session, username, ha1, auts } => {
                    let method = request.method.as_str();
                    let answer = Answer {
                        username,
                        password: &Secret::default(),
                        method,
                        uri: &request.uri,
                        body: request.body.as_ref().map_or(&[], |body| &body.data),
                        cnonce: &id::cnonce(&mut self.rng),
                    };
                    let value = session.authorize_with(ha1, &answer, auts.as_ref());
                    if let Some(agreement) = &account.agreement {
                        let algorithm = session.algorithm();
                        verifier = agreement.verifier(&value, ha1, algorithm, method).or(verifier);
                    }
                    value
                }
                Proof::Bearer(token) if clear => format!("Bearer {}", token.expose()),
                Proof::Bearer(_) => continue,
            };
            request.auth.insert(0, (header, value));
        }
        account.sessions = sessions;
        verifier
    }

    /// Takes up the challenges of a 401 or 407 (§22.2, §22.3).
    pub(crate) fn answer_challenge(
        &mut self,
        now: Instant,
        key: ClientKey,
        request: Box<Request>,
        message: &Message,
    ) -> Challenged {
        let Some((hop, transport)) =
            self.clients.get(key).map(|client| (client.flow.remote, client.flow.transport))
        else {
            return Challenged::Refused(request);
        };
        if request.auth_attempts >= self.config.max_auth_attempts {
            return Challenged::Refused(request);
        }
        let Some(account) = request.account.and_then(|key| self.accounts.get_mut(key)) else {
            return Challenged::Refused(request);
        };
        let mut todo = account.offers(message, transport);
        for asked in &mut todo {
            let before =
                request.challenged.iter().any(|(h, r)| (*h, r) == (asked.header, &asked.realm));
            let stale = match &asked.offer {
                Offer::Digest(session) => session.is_stale(),
                Offer::Aka(session, _) => {
                    session.is_stale() || account.out_of_step(asked.header, &asked.realm)
                }
                Offer::Bearer { .. } => false,
            };
            // Asked again for what this very request has answered: the password is wrong, unless
            // the nonce was stale.
            asked.refused = before && !stale;
            if asked.refused {
                account.forget(asked.header, &asked.realm);
            }
        }
        if todo.is_empty() || (todo.iter().any(|a| a.refused) && !account.account.auth.ask) {
            return Challenged::Refused(request);
        }
        let mut taken = Vec::new();
        let mut left = VecDeque::new();
        for asked in todo {
            match account.prove(&asked) {
                Ok(proof) => {
                    account.keep(&asked, hop, proof);
                    taken.push((asked.header, asked.realm));
                }
                Err(true) => left.push_back(asked),
                Err(false) => {}
            }
        }
        if !left.is_empty() {
            let response = message.clone();
            self.ask(now, request, left, taken, response, (hop, transport));
            return Challenged::Waits;
        }
        if taken.is_empty() {
            return Challenged::Refused(request);
        }
        Challenged::Again(self.answered_challenge(request, taken))
    }

    pub(super) fn answered_challenge(
        &mut self,
        mut request: Box<Request>,
        taken: Vec<(HeaderName, String)>,
    ) -> Box<Request> {
        for id in taken {
            if !request.challenged.contains(&id) {
                request.challenged.push(id);
            }
        }
        request.auth_attempts += 1;
        // "it MUST increment the CSeq header field value" (§22.2)
        request.cseq = match request.dialog.and_then(|key| self.dialogs.get_mut(key)) {
            Some(dialog) => dialog.next_cseq(),
            None => request.cseq.wrapping_add(1) & 0x7fff_ffff,
        };
        request
    }

    /// Asks the owner for the first of what is left.
    fn ask(
        &mut self,
        now: Instant,
        mut request: Box<Request>,
        todo: VecDeque<Asked>,
        taken: Vec<(HeaderName, String)>,
        response: Message,
        (hop, transport): (SocketAddr, Transport),
    ) {
        let (Some(asked), Some(account)) = (todo.front(), request.account) else { return };
        let wanted = CredentialsRequest {
            realm: asked.realm.clone(),
            proxy: asked.header == HeaderName::ProxyAuthorization,
            method: request.method.clone(),
            uri: request.uri.to_string(),
            transport,
            refused: asked.refused,
            scheme: match &asked.offer {
                Offer::Digest(session) => AuthScheme::Digest { algorithm: session.algorithm() },
                Offer::Aka(session, challenge) => {
                    AuthScheme::Aka { algorithm: session.algorithm(), challenge: *challenge }
                }
                Offer::Bearer { authz_server, scope, error } => AuthScheme::Bearer {
                    authz_server: authz_server.clone(),
                    scope: scope.clone(),
                    error: error.clone(),
                },
            },
        };
        let owner = request.owner;
        let wait = self.config.credentials_timeout;
        let query = self.pending.insert_with_key(|query| {
            let timer = self.timers.insert(now + wait, Due::Credentials(query));
            request.waiting =
                Some(Box::new(Waiting { todo, taken, response, hop, transport, timer }));
            request
        });
        self.set_leg(owner, super::Leg::Pending(query));
        self.event(Event::CredentialsWanted { query, account, wanted: Box::new(wanted) });
    }

    /// The owner's answer to [`Event::CredentialsWanted`]. What does not fit the question (a token
    /// where a password was asked for, text that cannot stand in a header field) counts as
    /// [`CredentialsReply::Refuse`].
    ///
    /// # Errors
    /// The question is over: answered, timed out, or the call was given up.
    pub fn give_credentials(
        &mut self,
        now: Instant,
        query: QueryKey,
        reply: CredentialsReply,
    ) -> Result<(), Error> {
        if self.pending.get(query).is_none_or(|request| request.waiting.is_none()) {
            return Err(Error::Stale("question for credentials"));
        }
        let Some(mut request) = self.pending.remove(query) else { return Ok(()) };
        let Some(waiting) = request.waiting.take() else { return Ok(()) };
        let Waiting { mut todo, mut taken, response, hop, transport, timer } = *waiting;
        self.timers.cancel(timer);
        let account = request.account.and_then(|key| self.accounts.get_mut(key));
        let (Some(asked), Some(account)) = (todo.pop_front(), account) else {
            self.credentials_refused(now, request, &response);
            return Ok(());
        };
        let proof = match (&asked.offer, reply) {
            (Offer::Digest(session), CredentialsReply::Password { username, password }) => {
                let ha1 = Ha1::new(session.algorithm(), &username, &asked.realm, &password);
                Some(Proof::Digest { session: session.clone(), username, ha1, auts: None })
            }
            (Offer::Aka(session, _), CredentialsReply::Aka { username, outcome }) => {
                aka_proof(session, username, outcome)
            }
            (Offer::Bearer { .. }, CredentialsReply::Bearer(token)) => {
                is_token68(token.expose()).then_some(Proof::Bearer(token))
            }
            _ => None,
        };
        let Some(proof) = proof else {
            self.credentials_refused(now, request, &response);
            return Ok(());
        };
        account.keep(&asked, hop, proof);
        taken.push((asked.header, asked.realm));
        if todo.is_empty() {
            let request = self.answered_challenge(request, taken);
            self.attempt(now, request);
        } else {
            self.ask(now, request, todo, taken, response, (hop, transport));
        }
        Ok(())
    }

    /// Nobody has answered in `Config::credentials_timeout`.
    pub(crate) fn credentials_timeout(&mut self, now: Instant, query: QueryKey) {
        let Some(mut request) = self.pending.remove(query) else { return };
        if let Some(waiting) = request.waiting.take() {
            self.credentials_refused(now, request, &waiting.response);
        }
    }

    fn credentials_refused(&mut self, now: Instant, request: Box<Request>, response: &Message) {
        let status = response.status().map_or(0, |status| status.code());
        self.tell_refused(now, request, status, response, Cause::Unauthorized);
    }

    /// Reads Authentication-Info and Proxy-Authentication-Info of a 2xx (RFC 7616 §3.5, RFC 7615).
    pub(crate) fn authentication_info(&mut self, key: ClientKey, message: &Message) {
        for (name, header) in [
            ("Authentication-Info", HeaderName::Authorization),
            ("Proxy-Authentication-Info", HeaderName::ProxyAuthorization),
        ] {
            let Some(value) = message.header_named(name) else { continue };
            let Some(client) = self.clients.get(key) else { return };
            let (Some(request), Ok(info)) = (&client.request, AuthParams::parse(value)) else {
                continue;
            };
            let hop = client.flow.remote;
            let Some(owner) = request.account else { continue };
            let Some(account) = self.accounts.get_mut(owner) else { continue };
            // It names no realm: one proof of this kind was sent, or it cannot be told whose it is.
            let mut sent = request.auth.iter().filter(|(h, _)| *h == header);
            let (Some((_, sent)), None) = (sent.next(), sent.next()) else { continue };
            let Ok(sent) = Credentials::parse(sent) else { continue };
            let Some(realm) = sent.realm().map(|realm| unquote(realm).into_owned()) else {
                continue;
            };
            let found = account
                .sessions
                .iter_mut()
                .filter(|s| s.header == header && s.realm == realm)
                .max_by_key(|s| s.hop == hop);
            let Some(AuthSession { proof: Proof::Digest { session, ha1, .. }, .. }) = found else {
                continue;
            };
            match check_rspauth(&info, &sent, session.algorithm(), ha1, message.body()) {
                ServerProof::Wrong => {
                    account.forget(header, &realm);
                    self.counters.rejected_rspauth += 1;
                    self.event(Event::ServerUnproven { account: owner, realm });
                }
                _ => {
                    if let Some(next) = info.get("nextnonce").filter(|next| !next.is_empty()) {
                        session.set_next_nonce(next);
                    }
                }
            }
        }
    }

    /// The USIM's highest sequence number, to be kept over a restart; `None` without a USIM.
    ///
    /// # Errors
    /// A stale key.
    pub fn usim_sqn(&self, account: AccountKey) -> Result<Option<u64>, Error> {
        let state = self.accounts.get(account).ok_or(Error::Stale("account"))?;
        Ok(state.account.usim.as_ref().map(crate::aka::Usim::sqn))
    }
}

/// RFC 7235 §2.1: what a token may be made of.
fn is_token68(text: &str) -> bool {
    let bare = text.trim_end_matches('=');
    let good = |b: u8| b.is_ascii_alphanumeric() || b"-._~+/".contains(&b);
    !bare.is_empty() && text.len() <= 16_384 && bare.bytes().all(good)
}
