//! One MESSAGE at a time to each correspondent (RFC 3428 §8): the next one waits for the final response
//! to the one before, so that a congested path is not filled further.

use crate::endpoint::{
    AccountKey, Body, CallKey, Cause, Endpoint, Error, Event, Headers, RequestKey,
};
use crate::method::Method;
use std::collections::{HashMap, VecDeque};
use std::time::Instant;

/// Whom messages go to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Correspondent {
    /// A URI, on behalf of an account.
    Uri(AccountKey, String),
    /// The peer of a call.
    Call(CallKey),
}

#[derive(Debug)]
struct Waiting {
    key: RequestKey,
    headers: Headers,
    body: Option<Body>,
}

/// Messages under way, and those behind them.
#[derive(Debug, Default)]
pub(crate) struct Pager {
    under_way: HashMap<RequestKey, Correspondent>,
    /// An entry for each correspondent who has not answered yet.
    waiting: HashMap<Correspondent, VecDeque<Waiting>>,
}

impl Endpoint {
    /// Sends a message, now or when its turn comes.
    pub(crate) fn page(
        &mut self,
        now: Instant,
        whom: Correspondent,
        headers: Headers,
        body: Option<Body>,
    ) -> Result<RequestKey, Error> {
        let key = self.requests.insert(match whom {
            Correspondent::Call(call) => Some(call),
            Correspondent::Uri(..) => None,
        });
        if let Some(queue) = self.pager.waiting.get_mut(&whom) {
            if queue.len() >= self.config.max_waiting_messages {
                self.requests.remove(key);
                return Err(Error::Limit("max_waiting_messages"));
            }
            queue.push_back(Waiting { key, headers, body });
            return Ok(key);
        }
        self.pager.under_way.insert(key, whom.clone());
        self.pager.waiting.insert(whom.clone(), VecDeque::new());
        match self.send_page(now, &whom, Waiting { key, headers, body }) {
            Ok(()) => Ok(key),
            Err(error) => {
                self.requests.remove(key);
                self.page_over(now, key);
                Err(error)
            }
        }
    }

    fn send_page(
        &mut self,
        now: Instant,
        whom: &Correspondent,
        page: Waiting,
    ) -> Result<(), Error> {
        let Waiting { key, headers, body } = page;
        match whom {
            Correspondent::Uri(account, to) => {
                self.send_outside(now, key, *account, Method::Message, to, headers, body)
            }
            Correspondent::Call(call) => {
                self.send_inside(now, key, *call, Method::Message, headers, body)
            }
        }
    }

    /// A request has its final response, or will have none: if it was a message, the next one goes.
    pub(crate) fn page_over(&mut self, now: Instant, key: RequestKey) {
        let Some(whom) = self.pager.under_way.remove(&key) else { return };
        while let Some(next) = self.pager.waiting.get_mut(&whom).and_then(VecDeque::pop_front) {
            let key = next.key;
            self.pager.under_way.insert(key, whom.clone());
            let Err(error) = self.send_page(now, &whom, next) else { return };
            self.pager.under_way.remove(&key);
            self.requests.remove(key);
            let (reason, cause) = (error.to_string(), Cause::Network);
            self.event(Event::RequestFailed { key, reason, cause });
        }
        self.pager.waiting.remove(&whom);
    }
}
