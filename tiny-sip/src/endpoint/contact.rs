//! Where we can be reached: the Contact URI of registrations and dialogs (RFC 3261 §8.1.1.8), with
//! the address that the registrar sees (RFC 3581 §4), a GRUU (RFC 5627 §4.4), the `ob` flag (RFC
//! 5626 §4.3) and push parameters (RFC 8599 §4.1). It prints; it keeps and sends nothing.

use super::accounts::AccountState;
use super::naming::SentBy;
use super::{AccountKey, Endpoint, Target};
use crate::message::Message;
use crate::writer::Value;
use std::net::{IpAddr, SocketAddr};
use tiny_sak::{Flow, Transport};

/// A Contact URI: printed where it is needed, kept nowhere.
pub(crate) struct ContactUri<'a> {
    /// Stands for everything else.
    gruu: Option<&'a str>,
    scheme: &'static str,
    user: &'a str,
    addr: SentBy<'a>,
    transport: Transport,
    params: &'a str,
}

impl<'a> ContactUri<'a> {
    /// The same address as that of a conference (RFC 4579 §5.2).
    pub(crate) fn of_focus(self, name: Option<&'a str>) -> Self {
        match name {
            Some(user) => ContactUri { gruu: None, user, ..self },
            None => self,
        }
    }

    /// The same address with nothing in it that names us (RFC 3323 §4.1.1.2).
    pub(crate) fn withheld(self) -> Self {
        Self { gruu: None, user: "anonymous", params: "", ..self }
    }

    /// The value of Contact: the URI and what follows it.
    pub(crate) fn then(self, after: [&'a str; 2]) -> impl Value {
        struct Enclosed<'a>(ContactUri<'a>, [&'a str; 2]);
        impl Value for Enclosed<'_> {
            fn write(&self, out: &mut String) {
                out.push('<');
                self.0.write(out);
                out.push('>');
                self.1.write(out);
            }
        }
        Enclosed(self, after)
    }
}

impl Value for ContactUri<'_> {
    fn write(&self, out: &mut String) {
        if let Some(gruu) = self.gruu {
            return out.push_str(gruu);
        }
        let at = if self.user.is_empty() { "" } else { "@" };
        [self.scheme, ":", self.user, at].write(out);
        if matches!(self.addr, SentBy::Addr(addr) if addr.ip().is_unspecified()) {
            // An address that nobody knows is not given away as one (RFC 7118 §5.2.1 has the same
            // for clients that cannot learn theirs).
            out.push_str("unknown.invalid");
        } else {
            self.addr.write(out);
        }
        // `sips:` implies TLS; UDP is what a numeric address means anyway.
        match self.transport {
            Transport::Udp => {}
            Transport::Tls if self.scheme == "sips" => {}
            other => [";transport=", other.uri_name()].write(out),
        }
        out.push_str(self.params);
    }
}

/// How the registrar sees us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Learned {
    transport: Transport,
    local: SocketAddr,
    hop: SocketAddr,
    public: SocketAddr,
}

impl Learned {
    /// The public address for what goes over this flow. It means nothing to a neighbour on our own
    /// side of the NAT.
    fn towards(&self, flow: &Flow) -> Option<SocketAddr> {
        let same = self.transport == flow.transport
            && self.local.ip() == flow.local.ip()
            // A connection has a port of its own at our end.
            && (self.transport.is_reliable() || self.local.port() == flow.local.port());
        let outside = flow.remote == self.hop || !is_private(flow.remote.ip());
        (same && outside).then_some(self.public)
    }
}

fn is_private(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => {
            let [a, b, ..] = ip.octets();
            let shared = a == 100 && (64..128).contains(&b); // RFC 6598
            ip.is_private() || ip.is_loopback() || ip.is_link_local() || shared
        }
        IpAddr::V6(ip) => ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local(),
    }
}

impl Target {
    /// The way to this target.
    pub(crate) fn flow(&self) -> Flow {
        Flow { transport: self.transport, local: self.local, remote: self.addr }
    }

    /// The same way again.
    pub(crate) fn of(flow: &Flow) -> Self {
        Self { transport: flow.transport, local: flow.local, addr: flow.remote }
    }
}

impl Endpoint {
    /// Where an account can be reached for the sake of a dialog or a request (§8.1.1.8).
    pub(crate) fn contact_uri<'a>(
        &'a self,
        account: Option<&'a AccountState>,
        user: Option<&'a str>,
        flow: Flow,
    ) -> ContactUri<'a> {
        let uri = self.plain_contact(account, user, flow);
        let Some(binding) = account.and_then(|account| account.binding.as_deref()) else {
            return uri;
        };
        if let Some(gruu) = binding.gruu() {
            return ContactUri { gruu: Some(gruu), ..uri };
        }
        let params = if binding.has_outbound_flow(&flow) { ";ob" } else { "" };
        ContactUri { params, ..uri }
    }

    /// What a REGISTER binds.
    pub(crate) fn binding_uri<'a>(
        &'a self,
        account: &'a AccountState,
        flow: Flow,
    ) -> ContactUri<'a> {
        let uri = self.plain_contact(Some(account), None, flow);
        ContactUri { params: &account.push_params, ..uri }
    }

    fn plain_contact<'a>(
        &'a self,
        account: Option<&'a AccountState>,
        user: Option<&'a str>,
        flow: Flow,
    ) -> ContactUri<'a> {
        let Flow { transport, local, .. } = flow;
        let secure = account.is_some_and(|account| account.secure);
        let learned = account.and_then(|account| account.learned.as_ref()?.towards(&flow));
        ContactUri {
            gruu: None,
            scheme: if secure && transport.is_secure() { "sips" } else { "sip" },
            user: account.map(|account| account.user.as_str()).or(user).unwrap_or_default(),
            addr: learned.map_or_else(|| self.sent_by(transport, local), SentBy::Addr),
            transport,
            params: "",
        }
    }

    /// Takes our address from the Via of a registrar's response (RFC 3581 §4; RFC 3261 §18.2.1).
    pub(crate) fn learn_address(&mut self, account: AccountKey, flow: Flow, message: &Message) {
        if !self.config.rewrite_contact {
            return;
        }
        let Ok(via) = message.top_via() else { return };
        let Some(ip) = via.received().and_then(crate::uri::host_ip) else { return };
        let sent_by = self.listening(flow.transport, flow.local).unwrap_or(flow.local);
        let port = via.rport().flatten().unwrap_or(sent_by.port());
        if ip.is_unspecified() || port == 0 || ip.is_ipv4() != flow.local.is_ipv4() {
            return;
        }
        // A connection's own port says nothing as long as no NAT stands between: we listen elsewhere.
        let translated = match flow.transport.is_reliable() {
            true => ip != flow.local.ip(),
            false => (ip, port) != (sent_by.ip(), sent_by.port()),
        };
        let public = SocketAddr::new(ip, port);
        let (transport, local, hop) = (flow.transport, flow.local, flow.remote);
        let Some(account) = self.accounts.get_mut(account) else { return };
        account.learned = translated.then_some(Learned { transport, local, hop, public });
    }
}
