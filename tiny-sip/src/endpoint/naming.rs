//! Names on the way: the SIP domain that a server must prove to be (RFC 5922 §7.3), and what stands
//! in Via and Contact (RFC 3261 §18.1.1; RFC 7118 §5 where we have no address that others reach).
//!
//! Nothing here looks a name up, and none is made from what a look-up led to.

use super::outgoing::Request;
use super::{AccountKey, Endpoint, Target};
use crate::dialog::{self, DialogKey};
use crate::header::HeaderName;
use crate::message::Message;
use crate::uri::{Uri, host_ip};
use crate::writer::Value;
use std::net::SocketAddr;
use std::sync::Arc;
use tiny_sak::{Flow, Transport};

/// Host and port as others are told.
#[derive(Debug, Clone, Copy)]
pub(crate) enum SentBy<'a> {
    Addr(SocketAddr),
    /// A name that nobody can look up: answers come over the connection itself.
    Nowhere(&'a str),
}

impl Value for SentBy<'_> {
    fn write(&self, out: &mut String) {
        match self {
            // A connection whose port is not known yet.
            Self::Addr(SocketAddr::V6(v6)) if v6.port() == 0 => {
                format_args!("[{}]", v6.ip()).write(out);
            }
            Self::Addr(addr) if addr.port() == 0 => addr.ip().write(out),
            Self::Addr(addr) => addr.write(out),
            Self::Nowhere(name) => name.write(out),
        }
    }
}

/// What follows the transport in a Via of ours.
pub(crate) struct ViaHost<'a> {
    sent_by: SentBy<'a>,
    alias: bool,
}

impl Value for ViaHost<'_> {
    fn write(&self, out: &mut String) {
        self.sent_by.write(out);
        if self.alias {
            out.push_str(";alias");
        }
    }
}

impl Endpoint {
    /// Host and port of Contact, and of Via.
    pub(crate) fn sent_by(&self, transport: Transport, local: SocketAddr) -> SentBy<'_> {
        match self.listening(transport, local) {
            Some(addr) => SentBy::Addr(addr),
            None if matches!(transport, Transport::Ws | Transport::Wss) => {
                SentBy::Nowhere(&self.nowhere)
            }
            None => SentBy::Addr(local),
        }
    }

    /// Via of a request: over TLS, where the peer could connect to us too, it is told that it need
    /// not (RFC 5923 §6).
    pub(crate) fn via_host(&self, transport: Transport, local: SocketAddr) -> ViaHost<'_> {
        let alias = transport == Transport::Tls && self.listening(transport, local).is_some();
        ViaHost { sent_by: self.sent_by(transport, local), alias }
    }

    /// Our listening address for a flow: a connection's own port takes no calls.
    pub(crate) fn listening(&self, transport: Transport, local: SocketAddr) -> Option<SocketAddr> {
        let mut same = self.bound.iter().filter(|(t, bound)| {
            *t == transport
                && bound.is_ipv4() == local.is_ipv4()
                && (bound.ip() == local.ip() || bound.ip().is_unspecified())
        });
        let (_, first) = same.next()?;
        // Several ports on one address: the flow's own, if it is one of them.
        if first.port() == local.port() || same.any(|(_, bound)| bound.port() == local.port()) {
            return Some(local);
        }
        Some((local.ip(), first.port()).into())
    }

    /// The domain that the next hop of a request must prove to be (RFC 5922 §7.3): the host of its
    /// URI. Where that is an address, what leads there decides: a dialog was set up with a domain,
    /// and a route or registrar of ours speaks for the account's.
    pub(crate) fn server_name(&self, request: &Request) -> Option<Arc<str>> {
        let uri = Uri::parse(dialog::next_hop(&request.uri, &request.routes)).ok()?;
        let host = uri.host();
        let dialog = request.dialog.and_then(|key| self.dialogs.get(key));
        if host.ends_with(".invalid") || dialog.is_some_and(|d| d.back && d.hop.is_some()) {
            // Only the connection that the dialog came by leads there.
            return None;
        }
        if host_ip(host).is_none() {
            return Some(host.into());
        }
        if let Some(name) = dialog.and_then(|dialog| dialog.name.clone()) {
            return Some(name);
        }
        let ours = !request.routes.is_empty() || request.method == crate::method::Method::Register;
        let account = request.account.filter(|_| ours).and_then(|key| self.accounts.get(key));
        let domain = account.and_then(|account| account.domain());
        Some(domain.unwrap_or_else(|| host.trim_matches(['[', ']'])).into())
    }

    /// The same for what a transaction sends; datagrams and plain TCP have no names.
    pub(crate) fn name_for(&self, request: &Request, transport: Transport) -> Option<Arc<str>> {
        match transport {
            Transport::Udp | Transport::Tcp => None,
            _ => self.server_name(request),
        }
    }

    /// Who called over a flow: the domain of the account that is registered over it.
    pub(crate) fn caller_name(&self, account: Option<AccountKey>, flow: Flow) -> Option<Arc<str>> {
        if matches!(flow.transport, Transport::Udp | Transport::Tcp) {
            return None;
        }
        let account = account?;
        if !self.is_registered_over(account, &flow) {
            return None;
        }
        Some(self.accounts.get(account)?.domain()?.into())
    }

    /// What a dialog keeps of the way that set it up.
    pub(crate) fn note_way(
        &mut self,
        key: DialogKey,
        transport: Transport,
        name: Option<Arc<str>>,
    ) {
        if let Some(dialog) = self.dialogs.get_mut(key) {
            dialog.name = name;
            dialog.wss = transport == Transport::Wss;
        }
    }

    /// A client takes no connections: what we send inside the dialog goes over the one that it opened,
    /// where its Contact is that very address, or none at all (RFC 7118 §5, RFC 5626 §5.3). A new
    /// connection there would have to prove who it is.
    pub(crate) fn note_flow(&mut self, key: DialogKey, flow: Flow) {
        let Some(dialog) = self.dialogs.get_mut(key) else { return };
        if matches!(flow.transport, Transport::Udp | Transport::Tcp) {
            return;
        }
        let path = dialog.path();
        let Ok(uri) = Uri::parse(dialog::next_hop(&path.uri, &path.routes)) else { return };
        let port = uri.port().unwrap_or(flow.transport.default_port());
        let itself = host_ip(uri.host()).map(|ip| SocketAddr::new(ip, port)) == Some(flow.remote);
        if itself || uri.host().ends_with(".invalid") {
            let Flow { transport, local, remote } = flow;
            dialog.hop = Some(Target { transport, addr: remote, local });
            dialog.back = true;
        }
    }

    /// RFC 5923 §8.1: the peer offers its connection for our requests too. The address is that of
    /// the connection with the port of the Via. Only under TLS, where the driver can tell who it is.
    pub(crate) fn offered_alias(&self, request: &Message, flow: Flow) -> Option<SocketAddr> {
        if flow.transport != Transport::Tls || request.header(HeaderName::Via).is_none() {
            return None;
        }
        let via = request.top_via().ok()?;
        via.param("alias")?;
        let port = via.port.unwrap_or(flow.transport.default_port());
        (port != flow.remote.port()).then_some((flow.remote.ip(), port).into())
    }
}
