//! Who is asking: challenges, nonces and the check of credentials (RFC 3261 §22, RFC 7616).

use super::config::ServerConfig;
use std::collections::{HashMap, VecDeque};
use std::time::Instant;
use tiny_sak::{Rng, id};
use tiny_sip::digest::{self, Algorithm, Ha1, Verdict};
use tiny_sip::{HeaderName, Message};

/// The outcome of a look at a request's credentials.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Identity {
    /// The user has proved to be this.
    Proven(String),
    /// To be challenged; `stale` when only the nonce is at fault.
    Unproven { stale: bool },
    /// Credentials of someone who does not exist.
    Unknown,
    /// Credentials that cannot be read.
    Malformed,
}

#[derive(Debug)]
struct Nonce {
    made: Instant,
    last_count: u32,
}

/// The nonces given out.
#[derive(Debug, Default)]
pub(super) struct Nonces {
    all: HashMap<String, Nonce>,
    by_age: VecDeque<String>,
}

impl Nonces {
    fn make(&mut self, now: Instant, config: &ServerConfig, rng: &mut Rng) -> String {
        while self.by_age.len() >= config.max_nonces.max(1) {
            if let Some(oldest) = self.by_age.pop_front() {
                self.all.remove(&oldest);
            }
        }
        let nonce = id::call_id(rng).to_string();
        self.all.insert(nonce.clone(), Nonce { made: now, last_count: 0 });
        self.by_age.push_back(nonce.clone());
        nonce
    }

    /// The values of WWW-Authenticate or Proxy-Authenticate, one for each algorithm.
    pub(super) fn challenges(
        &mut self,
        now: Instant,
        config: &ServerConfig,
        rng: &mut Rng,
        stale: bool,
    ) -> Vec<String> {
        let nonce = self.make(now, config, rng);
        let one = |algorithm: &Algorithm| {
            digest::challenge(*algorithm, &config.domain, &nonce, &config.qops, None, stale)
        };
        config.algorithms.iter().map(one).collect()
    }

    /// Looks at the credentials in one header field of a request.
    pub(super) fn identify(
        &mut self,
        now: Instant,
        config: &ServerConfig,
        request: &Message,
        header: HeaderName,
    ) -> Identity {
        let ours = request
            .credentials(header)
            .filter_map(Result::ok)
            .find(|c| c.is_digest() && c.realm() == Some(config.domain.as_str()));
        let Some(credentials) = ours else {
            let broken = request.credentials(header).any(|c| c.is_err());
            return if broken { Identity::Malformed } else { Identity::Unproven { stale: false } };
        };
        let Some(user) = credentials.username() else { return Identity::Malformed };
        let Some(password) = config.password(user) else { return Identity::Unknown };
        let algorithm = credentials.algorithm().map_or(Some(Algorithm::Md5), Algorithm::parse);
        let Some(algorithm) = algorithm.filter(|a| config.algorithms.contains(a)) else {
            return Identity::Unproven { stale: false };
        };
        let ha1 = Ha1::new(algorithm, user, &config.domain, password);
        let method = request.method().map_or("", |m| m.as_str());
        // Protection that was not offered is none.
        let qop = credentials.qop().and_then(digest::Qop::parse);
        if qop.is_some_and(|qop| !config.qops.contains(&qop)) {
            return Identity::Unproven { stale: false };
        }
        match digest::verify(&credentials, algorithm, &ha1, method, request.body()) {
            Verdict::Right => {}
            Verdict::Wrong => return Identity::Unproven { stale: false },
            _ => return Identity::Malformed,
        }
        // The password is right: whatever is wrong now is the nonce's fault (RFC 7616 §3.3).
        let nonce = credentials.nonce().and_then(|nonce| self.all.get_mut(nonce));
        let Some(nonce) = nonce else { return Identity::Unproven { stale: true } };
        if now.duration_since(nonce.made) > config.nonce_lifetime {
            return Identity::Unproven { stale: true };
        }
        if let Some(count) = credentials.nc().and_then(digest::parse_nonce_count) {
            // A count seen before is a replay.
            if count <= nonce.last_count {
                return Identity::Unproven { stale: true };
            }
            nonce.last_count = count;
        }
        Identity::Proven(user.to_owned())
    }
}
