//! A redirected request that is no INVITE (RFC 3261 §8.1.3.4): MESSAGE, OPTIONS, SUBSCRIBE, PUBLISH, REGISTER
//! and whatever the owner sends outside dialogs go to the Contacts of a 3xx by themselves, best first, none
//! twice, and so many at most. What the last of them says is the answer. Inside a dialog nothing is redirected,
//! and nothing leaves `sips:` for `sip:`.

use super::clients::Owner;
use super::outgoing::Request;
use super::{Cause, Endpoint};
use crate::dialog;
use crate::message::Message;
use crate::method::Method;
use crate::uri::Uri;
use std::time::Instant;

/// Where a redirected request has been, and where it may go yet, the best last.
#[derive(Debug, Clone, Default)]
pub(crate) struct Elsewhere {
    been: Vec<Box<str>>,
    next: Vec<Box<str>>,
}

impl Endpoint {
    /// Sends a refused request to the next Contact; gives it back when there is none, or it may not.
    pub(super) fn redirect(
        &mut self,
        now: Instant,
        mut request: Box<Request>,
        status: u16,
        message: &Message,
    ) -> Result<(), Box<Request>> {
        if !self.is_free_to_go(&request) {
            return Err(request);
        }
        let most = usize::from(self.config.max_request_redirects);
        if (300..400).contains(&status) {
            let elsewhere = request.elsewhere.get_or_insert_default();
            let mut found: Vec<(u32, Box<str>)> = message
                .contacts()
                .flatten()
                .take(most)
                .map(|contact| {
                    let q = contact.params.get("q").and_then(|q| q.parse::<f32>().ok());
                    let q = (q.unwrap_or(1.0).clamp(0.0, 1.0) * 1000.0) as u32;
                    (q, contact.uri.without_headers().into())
                })
                .collect();
            // The first of equals comes first, and the end of the list is the next.
            found.sort_by_key(|(q, _)| std::cmp::Reverse(*q));
            elsewhere.next.extend(found.into_iter().rev().map(|(_, uri)| uri));
        } else if !matches!(status, 404 | 408 | 410 | 480 | 500..600) {
            // Whoever is there has spoken.
            return Err(request);
        }
        self.next_place(now, request)
    }

    /// The same of a request that nobody has answered where it was sent.
    pub(super) fn redirect_unanswered(
        &mut self,
        now: Instant,
        request: Box<Request>,
        cause: Cause,
    ) -> Result<(), Box<Request>> {
        let missed = matches!(cause, Cause::Timeout | Cause::Network);
        match request.elsewhere.is_some() && missed && self.is_free_to_go(&request) {
            true => self.next_place(now, request),
            false => Err(request),
        }
    }

    fn is_free_to_go(&self, request: &Request) -> bool {
        let owned = matches!(
            request.owner,
            Owner::Plain(_) | Owner::Subscribe(_) | Owner::Publish(_) | Owner::Register(..)
        );
        owned && request.dialog.is_none() && self.config.max_request_redirects > 0
    }

    fn next_place(&mut self, now: Instant, mut request: Box<Request>) -> Result<(), Box<Request>> {
        let most = usize::from(self.config.max_request_redirects);
        let Some(mut elsewhere) = request.elsewhere.take() else { return Err(request) };
        let secure = Uri::parse(&request.uri).is_ok_and(|uri| uri.is_sips());
        if elsewhere.been.is_empty() {
            elsewhere.been.push(request.uri.clone());
        }
        let next = loop {
            // The first place was nobody's redirection.
            let Some(next) = elsewhere.next.pop().filter(|_| elsewhere.been.len() <= most) else {
                return Err(request);
            };
            let Ok(uri) = Uri::parse(&next) else { continue };
            let known = elsewhere
                .been
                .iter()
                .any(|been| Uri::parse(been).is_ok_and(|been| been.is_equivalent(&uri)));
            if uri.is_sip() && (uri.is_sips() || !secure) && !known {
                break next;
            }
        };
        elsewhere.been.push(next.clone());
        if request.method != Method::Register {
            let account = request.account.and_then(|key| self.accounts.get(key));
            let way = account.and_then(|account| account.binding.as_deref()?.way_out());
            let own = account.map_or("", |account| account.routes.as_str());
            let path = dialog::path(&next, way.map_or(own, |way| way.0));
            (request.uri, request.routes) = (path.uri, path.routes);
            request.targets = way.and_then(|way| way.1).into_iter().collect();
        } else {
            request.uri = next;
            request.targets.clear();
        }
        // To, From and Call-ID stay; "a new request" has the next CSeq.
        request.cseq = request.cseq.wrapping_add(1) & 0x7fff_ffff;
        (request.branch, request.fallback, request.trouble) = (None, None, None);
        (request.next, request.no_switch, request.auth_attempts) = (0, false, 0);
        request.auth.clear();
        request.challenged.clear();
        request.elsewhere = Some(elsewhere);
        self.start(now, request);
        Ok(())
    }
}
