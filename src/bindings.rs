//! Where an account is registered besides here (RFC 3261 §10.2.1 to §10.2.3, RFC 3665 §2.2 to §2.4).

use crate::command::Command;
use crate::{Account, Error, SipMessage};
use std::time::Duration;
use tiny_sip::Uri;

/// One contact of an address of record, as the registrar has it.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Binding {
    /// Where requests go.
    pub uri: String,
    /// For how long still, as far as the registrar says.
    pub expires: Option<Duration>,
    /// Its preference among others, from 0 to 1.
    pub q: Option<f32>,
    /// The device (`+sip.instance`, RFC 5626 §4.1).
    pub instance: Option<String>,
    /// Which of the device's flows (RFC 5626 §4.2).
    pub reg_id: Option<u32>,
}

/// The Contacts of a registrar's answer. What cannot be read is left out.
fn list(response: &SipMessage) -> Vec<Binding> {
    let contacts = response.contacts().flatten();
    contacts
        .map(|contact| {
            let param = |name: &str| contact.param(name);
            let seconds = param("expires").and_then(|text| text.parse().ok());
            Binding {
                uri: contact.uri.as_str().to_owned(),
                expires: seconds.map(Duration::from_secs),
                q: param("q").and_then(|q| q.parse().ok()).filter(|q| (0.0..=1.0).contains(q)),
                instance: param("+sip.instance")
                    .map(|urn| urn.trim_matches(['"', '<', '>']).to_owned()),
                reg_id: param("reg-id").and_then(|id| id.parse().ok()),
            }
        })
        .collect()
}

/// The value of Contact for an address, with its `q`.
pub(crate) fn contact(field: &str, uri: &str, q: Option<f32>) -> Result<String, Error> {
    // Of any scheme: mailto and http are contacts, too (RFC 3665 §2.2).
    Uri::parse(uri).map_err(|e| Error::config(field, format!("'{uri}' is not a URI ({e})")))?;
    let q = match q {
        Some(q) if !(0.0..=1.0).contains(&q) => {
            return Err(Error::config("q", format!("{q} is not between 0 and 1")));
        }
        Some(q) => format!(";q={q:.3}"),
        None => String::new(),
    };
    Ok(format!("<{uri}>{q}"))
}

impl Account {
    /// Asks the registrar where the account is registered now: here and elsewhere.
    ///
    /// # Errors
    /// As [`register`](Self::register).
    pub async fn bindings(&self) -> Result<Vec<Binding>, Error> {
        self.change(None).await
    }

    /// Registers another contact of the account, once: for as long as the registrar grants of
    /// `expires`, and not refreshed ([`AccountBuilder::also_at`](crate::AccountBuilder::also_at) is).
    /// `None` leaves the span to the registrar. Returns the list as it is now.
    ///
    /// # Errors
    /// [`Error::Config`] for what is no URI or a `q` outside 0 to 1, or as
    /// [`register`](Self::register).
    pub async fn add_binding(
        &self,
        uri: &str,
        q: Option<f32>,
        expires: Option<Duration>,
    ) -> Result<Vec<Binding>, Error> {
        let span = expires.map(|span| format!(";expires={}", span.as_secs().min(u32::MAX.into())));
        let contact = contact("contact", uri, q)? + &span.unwrap_or_default();
        self.change(Some(contact)).await
    }

    /// Removes a contact of the account, wherever it was registered from. Returns the list as it is
    /// now. (For this one's own, [`unregister`](Self::unregister).)
    ///
    /// # Errors
    /// As [`add_binding`](Self::add_binding).
    pub async fn remove_binding(&self, uri: &str) -> Result<Vec<Binding>, Error> {
        let contact = contact("contact", uri, None)? + ";expires=0";
        self.change(Some(contact)).await
    }

    /// Removes every contact of the account (`Contact: *`), this one's and those of its other devices,
    /// which may register anew by themselves. This one is not registered any more.
    ///
    /// # Errors
    /// As [`register`](Self::register).
    pub async fn remove_all_bindings(&self) -> Result<(), Error> {
        self.change(Some("*".to_owned())).await?;
        let account = self.key();
        self.shared().commands.tell(Command::ForgetRegistration { account });
        Ok(())
    }

    async fn change(&self, contact: Option<String>) -> Result<Vec<Binding>, Error> {
        let (account, commands) = (self.key(), &self.shared().commands);
        let ask = |reply| Command::Contacts { account, contact, reply };
        Ok(list(&commands.ask(ask).await?))
    }
}
