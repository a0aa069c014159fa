//! An account's whole list of contacts at its registrar (RFC 3261 §10.2.1.1, §10.2.2, §10.2.3): asked
//! for, added to, and removed. Our own binding is `register`'s.

use crate::endpoint::{AccountKey, Endpoint, Error, Event, Headers, Owner, RequestKey, check};
use crate::method::Method;
use std::time::Instant;

impl Endpoint {
    /// Sends one REGISTER with this value of Contact: an address to add or (with `expires=0`) to
    /// remove, `*` with `Expires: 0` for all of them, or none, which only asks for the list. `Response`
    /// gives the registrar's answer, whose Contacts are the list.
    ///
    /// # Errors
    /// A stale account, a URI or header field that cannot be used, or a limit.
    pub fn register_contacts(
        &mut self,
        now: Instant,
        account: AccountKey,
        registrar: &str,
        contact: Option<&str>,
    ) -> Result<RequestKey, Error> {
        let mut headers = Headers::new();
        if let Some(contact) = contact {
            headers.push(("Contact".to_owned(), contact.to_owned()));
        }
        if contact == Some("*") {
            // "the Expires header field … MUST be … 0" (§10.2.2)
            headers.push(("Expires".to_owned(), "0".to_owned()));
        }
        check(&headers, None)?;
        self.room()?;
        let key = self.requests.insert(None);
        let owner = Owner::Plain(key);
        let mut request = match self.out_of_dialog(account, owner, Method::Register, registrar) {
            Ok(request) => request,
            Err(error) => {
                self.requests.remove(key);
                return Err(error);
            }
        };
        let attempts = u32::from(self.config.max_auth_attempts) + 1;
        if let Some(state) = self.accounts.get_mut(account) {
            request.to = format!("<{}>", state.account.aor).into();
            // "All registrations from a UAC SHOULD use the same Call-ID", and rising numbers (§10.2).
            // Ours goes on above what answers to challenges may take.
            if let Some(own) = state.binding.as_mut().and_then(|b| b.flows.first_mut()) {
                (request.call_id, request.cseq) = own.numbers(attempts);
            }
        }
        request.headers = headers;
        self.start(now, request);
        Ok(key)
    }

    /// The registrar has no binding of the account any more: nothing is refreshed. `Unregistered`
    /// follows where there was one.
    pub fn forget_registration(&mut self, account: AccountKey) {
        let registered = self.accounts.get(account).is_some_and(|state| state.binding.is_some());
        self.forget_binding(account);
        if registered {
            self.event(Event::Unregistered { account });
        }
    }
}
