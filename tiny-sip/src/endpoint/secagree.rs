//! Security agreement with the next hop (RFC 3329): Security-Client is announced, the best mechanism
//! of Security-Server that both have is turned on, and Security-Verify says the server's list back.
//! `tls` and `digest`; the IPsec mechanisms are never announced and never taken.

use super::outgoing::Request;
use super::{Endpoint, Target};
use crate::digest::{Algorithm, Ha1, Inputs, Qop, parse_nonce_count, response};
use crate::header::{Credentials, HeaderName, split_commas, unquote};
use crate::message::Message;
use crate::method::Method;
use std::net::SocketAddr;

/// A mechanism of RFC 3329 that this build has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SecurityMechanism {
    /// TLS to the next hop.
    Tls,
    /// Digest authentication that protects the server's list.
    Digest,
}

/// What was agreed on.
#[derive(Debug)]
pub(super) struct Agreement {
    pub(super) mechanism: SecurityMechanism,
    /// Who said so; over TLS it answers at another port.
    hop: SocketAddr,
    /// The server's list as it is said back.
    list: String,
    algorithm: Option<String>,
    qop: Option<String>,
}

/// What a Security-Server header field leads to.
pub(super) enum Security {
    /// Nothing new: none was asked for, or it is in force.
    Unchanged,
    /// The challenge beside it is to be answered.
    Challenge,
    /// The request goes again, over TLS.
    OverTls,
    /// There is nothing in common, or what is offered contradicts itself.
    Refused,
}

impl Agreement {
    /// Reads the lines of Security-Server; `None` when nothing is in common.
    fn of(message: &Message, known: &[SecurityMechanism], hop: SocketAddr) -> Option<Self> {
        let lines: Vec<_> = message.headers(HeaderName::SecurityServer).collect();
        // "All linear white spaces … MUST be replaced by a single SP" (§2.2).
        let list = lines.join(", ").split_whitespace().collect::<Vec<_>>().join(" ");
        let param = |item: &str, name: &str| {
            item.split(';').skip(1).find_map(|p| {
                let (n, value) = p.split_once('=')?;
                let value = value.trim().trim_matches('"').to_owned();
                n.trim().eq_ignore_ascii_case(name).then_some(value)
            })
        };
        let mut best: Option<(f32, SecurityMechanism, String)> = None;
        for item in split_commas(&list).take(32) {
            let name = item.split(';').next().unwrap_or_default().trim();
            let mechanism = match name.to_ascii_lowercase().as_str() {
                "tls" => SecurityMechanism::Tls,
                "digest" => SecurityMechanism::Digest,
                _ => continue,
            };
            let q = param(item, "q").and_then(|q| q.parse().ok()).unwrap_or(1.0);
            let better = best.as_ref().is_none_or(|(other, ..)| q > *other);
            if known.contains(&mechanism) && better {
                best = Some((q, mechanism, item.to_owned()));
            }
        }
        let (_, mechanism, item) = best?;
        let (algorithm, qop) = (param(&item, "d-alg"), param(&item, "d-qop"));
        Some(Self { mechanism, hop, list, algorithm, qop })
    }

    /// Whether a challenge is of the algorithm and protection that the list names (§2.4): others are
    /// a bid to weaken them.
    pub(super) fn allows(&self, algorithm: Algorithm, qop: Option<Qop>) -> bool {
        let algorithm = self
            .algorithm
            .as_deref()
            .is_none_or(|named| named.eq_ignore_ascii_case(algorithm.as_str()));
        let qop = self
            .qop
            .as_deref()
            .is_none_or(|named| qop.is_some_and(|q| q.as_str().eq_ignore_ascii_case(named)));
        self.mechanism != SecurityMechanism::Digest || (algorithm && qop)
    }

    /// `d-ver` (§2.2): the digest over the server's list, with the numbers of the credentials.
    pub(super) fn verifier(
        &self,
        sent: &str,
        ha1: &Ha1,
        algorithm: Algorithm,
        method: &str,
    ) -> Option<String> {
        let sent = Credentials::parse(sent).ok()?;
        let qop = sent.qop().and_then(Qop::parse);
        let uri = unquote(sent.uri()?);
        // With auth-int the body's hash stands before the list; such an agreement goes without.
        if qop == Some(Qop::AuthInt) {
            return None;
        }
        // A2 = Method ":" digest-uri-value ":" security-server
        let uri = format!("{uri}:{}", self.list);
        let inputs = Inputs {
            method,
            uri: &uri,
            nonce: sent.nonce()?,
            cnonce: sent.cnonce().unwrap_or_default(),
            nc: sent.nc().and_then(parse_nonce_count).unwrap_or_default(),
            qop,
            body: &[],
        };
        Some(response(algorithm, ha1, &inputs))
    }
}

impl Endpoint {
    /// Adds the header fields of an agreement, or of the wish for one, to a request outside of ACK and
    /// CANCEL. `proof` is the `d-ver` of its credentials.
    pub(super) fn secure(&self, request: &mut Request, target: &Target, proof: Option<String>) {
        let Some(account) = request.account.and_then(|key| self.accounts.get(key)) else { return };
        let known = &account.account.security;
        if known.is_empty() || matches!(request.method, Method::Ack | Method::Cancel) {
            return;
        }
        let ours = account.agreement.as_ref().filter(|a| {
            a.hop == target.addr
                || (a.mechanism == SecurityMechanism::Tls && target.transport.is_secure())
        });
        let field = match ours {
            None => {
                let list: Vec<_> = known
                    .iter()
                    .enumerate()
                    .map(|(i, mechanism)| {
                        let name = match mechanism {
                            SecurityMechanism::Tls => "tls",
                            SecurityMechanism::Digest => "digest",
                        };
                        format!("{name};q=0.{}", 9 - i.min(8))
                    })
                    .collect();
                (HeaderName::SecurityClient, list.join(", "))
            }
            Some(agreement) => {
                let verify = match proof {
                    // The mechanism that is verified gets the parameter; its copy stays as it was.
                    Some(proof) => split_commas(&agreement.list)
                        .map(|item| {
                            let name = item.split(';').next().unwrap_or_default().trim();
                            if name.eq_ignore_ascii_case("digest") {
                                format!("{item};d-ver=\"{proof}\"")
                            } else {
                                item.to_owned()
                            }
                        })
                        .collect::<Vec<_>>()
                        .join(", "),
                    None => agreement.list.clone(),
                };
                (HeaderName::SecurityVerify, verify)
            }
        };
        request.auth.push(field);
        for name in [HeaderName::Require, HeaderName::ProxyRequire] {
            request.auth.push((name, "sec-agree".to_owned()));
        }
    }

    /// Takes up the Security-Server of a 494, 401 or 407.
    pub(super) fn take_security(
        &mut self,
        request: &mut Request,
        message: &Message,
        hop: SocketAddr,
        secure: bool,
    ) -> Security {
        let account = request.account.and_then(|key| self.accounts.get_mut(key));
        let Some(account) = account.filter(|a| !a.account.security.is_empty()) else {
            return Security::Unchanged;
        };
        if message.header(HeaderName::SecurityServer).is_none() {
            return Security::Unchanged;
        }
        let Some(new) = Agreement::of(message, &account.account.security, hop) else {
            return Security::Refused;
        };
        // The same list again after it was said back: it does not lead anywhere.
        let again = account.agreement.as_ref().is_some_and(|old| old.list == new.list);
        let mechanism = new.mechanism;
        account.agreement = Some(new);
        match mechanism {
            SecurityMechanism::Tls if secure && again => Security::Unchanged,
            SecurityMechanism::Tls if secure => Security::Challenge,
            SecurityMechanism::Tls if again => Security::Refused,
            SecurityMechanism::Tls => {
                request.targets.clear();
                request.next = 0;
                Security::OverTls
            }
            SecurityMechanism::Digest => Security::Challenge,
        }
    }
}
