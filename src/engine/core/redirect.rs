//! Redirected calls (RFC 3261 §8.1.3.4): the Contacts of a 3xx in the order of their `q`, none of
//! them twice, so many at most as the account's policy says.

use super::{Core, sip_error};
use crate::event::CallEvent;
use crate::media::MediaPlane;
use crate::policy::RedirectPolicy;
use crate::{Error, SipMessage};
use std::time::Instant;
use tiny_sip::{CallKey, Scheme, Uri};

/// Where a redirected call has been and may go.
#[derive(Debug, Default)]
pub(super) struct Redirects {
    been: Vec<String>,
    next: Vec<String>,
    followed: u8,
}

impl<P: MediaPlane> Core<P> {
    pub(super) fn redirected(&mut self, now: Instant, key: CallKey, response: SipMessage) {
        let account = self.endpoint.account_of(key).and_then(|key| self.accounts.get(&key));
        let policy = account.map_or(RedirectPolicy::Report, |a| a.spec.policy.redirects);
        let Some(entry) = self.calls.get_mut(&key) else {
            let result = self.endpoint.end_redirected(now, key);
            return self.tolerate("end", result);
        };
        let most = self.config.max_redirect_targets;
        let status = response.status().map_or(0, |s| s.code());
        let first = entry.placed_to.clone();
        let redirects = entry.redirects.get_or_insert_default();
        if redirects.been.is_empty() {
            redirects.been.extend(first);
        }
        // 305 asks for a proxy; what 380 and 485 name may be called if somebody has chosen it.
        let chosen = policy == RedirectPolicy::Ask && matches!(status, 380 | 485);
        if matches!(status, 300..=302) || chosen {
            let found = targets(&response, most);
            let known = |redirects: &Redirects, uri: &str| {
                let same = |other: &String| equivalent(other, uri);
                redirects.been.iter().chain(&redirects.next).any(same)
            };
            for uri in found {
                if redirects.next.len() + redirects.been.len() < most && !known(redirects, &uri) {
                    redirects.next.push(uri);
                }
            }
        }
        match policy {
            RedirectPolicy::Ask if matches!(status, 300..400 | 485) => {
                let targets = redirects.next.clone();
                return entry.tell(CallEvent::Redirected { response, targets });
            }
            RedirectPolicy::Follow(most) => {
                while redirects.followed < most && !redirects.next.is_empty() {
                    let uri = redirects.next.remove(0);
                    redirects.followed += 1;
                    redirects.been.push(uri.clone());
                    // Each place answers the same offer anew.
                    if let Some(offered) = entry.offered.clone() {
                        entry.negotiator = offered;
                    }
                    entry.session = None;
                    match self.endpoint.retarget(now, key, &uri, Vec::new()) {
                        Ok(()) => return,
                        Err(e) => tracing::info!("redirected to {uri}: {e}"),
                    }
                }
            }
            _ => {}
        }
        let result = self.endpoint.end_redirected(now, key);
        self.tolerate("end", result);
    }

    /// The application has chosen.
    pub(super) fn follow_redirect(
        &mut self,
        now: Instant,
        key: CallKey,
        uri: &str,
    ) -> Result<(), Error> {
        let entry = self.calls.get_mut(&key).filter(|e| e.end.is_none());
        let entry = entry.ok_or(Error::Ended("the call"))?;
        self.endpoint.retarget(now, key, uri, Vec::new()).map_err(sip_error)?;
        if let Some(offered) = entry.offered.clone() {
            entry.negotiator = offered;
        }
        entry.session = None;
        let redirects = entry.redirects.get_or_insert_default();
        redirects.next.clear();
        redirects.been.push(uri.to_owned());
        Ok(())
    }
}

/// The Contacts that can be called, best first: "ordered by q" (§8.1.3.4); equals as they came.
fn targets(response: &SipMessage, most: usize) -> Vec<String> {
    let contacts = response.contacts().flatten().take(most);
    let mut all: Vec<(u32, String)> = contacts
        .filter(|c| matches!(c.uri.scheme(), Scheme::Sip | Scheme::Sips | Scheme::Tel))
        .map(|c| {
            let q = c.params.get("q").and_then(|q| q.parse::<f32>().ok()).unwrap_or(1.0);
            ((q.clamp(0.0, 1.0) * 1000.0) as u32, c.uri.without_headers().to_owned())
        })
        .collect();
    all.sort_by_key(|(q, _)| std::cmp::Reverse(*q));
    all.into_iter().map(|(_, uri)| uri).collect()
}

fn equivalent(a: &str, b: &str) -> bool {
    match (Uri::parse(a), Uri::parse(b)) {
        (Ok(a), Ok(b)) => a.is_equivalent(&b),
        _ => a == b,
    }
}
