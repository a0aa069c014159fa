//! A changed network: our old addresses are dead, whatever was sent from them has no answer, and
//! whoever knows us by them is told the new ones. Calls are `usage::moving`'s.
//!
//! RFC 3261 says nothing of it; what is kept to is §12.2 (target refresh), §10.2.2 (removal of
//! bindings), §17.1.3 and §17.2.3 (what a transaction is known by). See `docs/adr`.

use super::{ClientKey, Endpoint, Owner, Target};
use crate::message::Message;
use crate::uri::Uri;
use bytes::Bytes;
use std::net::{IpAddr, SocketAddr};
use std::time::Instant;
use tiny_sak::{Flow, Transport};

/// The addresses of ours after a change of network.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Network {
    /// What is listened on, as [`Endpoint::bind`] takes it.
    pub bound: Vec<(Transport, SocketAddr)>,
    /// What we send from, for each transport and family of addresses: none is unspecified. For a
    /// transport without a listener the port is that of our own connections, or 0.
    pub local: Vec<(Transport, SocketAddr)>,
    /// Hosts that are reached from one of these addresses, and from which: ours last. Others are
    /// reached from the first of their family.
    pub routes: Vec<(IpAddr, IpAddr)>,
}

impl Network {
    /// Our end of a way, now: as it was where that address is still ours.
    fn home(&self, flow: &Flow) -> Option<SocketAddr> {
        let ours = |(transport, addr): &(Transport, SocketAddr)| {
            (*transport == flow.transport).then_some(*addr)
        };
        let remote = flow.remote.ip();
        let route = self.routes.iter().find(|(host, _)| *host == remote).map(|route| route.1);
        let own = route.unwrap_or(flow.local.ip());
        let here = || self.local.iter().filter_map(ours).filter(|a| a.ip() == own);
        let stays = own == flow.local.ip();
        if stays && here().any(|a| flow.transport.is_reliable() || a.port() == flow.local.port()) {
            return Some(flow.local);
        }
        let family = |a: &SocketAddr| a.is_ipv4() == flow.remote.is_ipv4();
        let near = |a: &SocketAddr| a.ip().is_loopback() == flow.remote.ip().is_loopback();
        let all = || self.local.iter().filter_map(ours).filter(family);
        here().find(family).or_else(|| all().find(near)).or_else(|| all().next())
    }
}

impl Endpoint {
    /// There is no network for a while: nothing of ours that waits for an answer is held against
    /// anybody until [`network_changed`](Self::network_changed) tells of the next one. INVITEs
    /// without a final response wait as [`awaits_restart`](Self::awaits_restart) tells; changes of
    /// running calls come back as `ReinviteRejected` with 491.
    pub fn network_lost(&mut self, now: Instant) {
        self.offline = true;
        self.leave(now, |_| true);
        // Connections do not outlive it.
        let streams: Vec<Flow> = self.streams.keys().copied().collect();
        streams.into_iter().for_each(|flow| self.forget_stream(flow));
        for dialog in self.dialogs.values_mut() {
            if dialog.back && dialog.hop.is_some_and(|hop| hop.transport.is_reliable()) {
                (dialog.hop, dialog.back) = (None, false);
            }
        }
    }

    /// Our addresses have changed. Ways that began at an address that is gone now begin at a new one;
    /// what had to be answered there is asked again; registrations, subscriptions and publications
    /// are refreshed at once. Of calls, those that we place wait for [`restart`](Self::restart), and
    /// the owner offers running ones their new media address with [`reinvite`](Self::reinvite).
    pub fn network_changed(&mut self, now: Instant, network: Network) {
        let offline = std::mem::take(&mut self.offline);
        self.network = network;
        self.moved_at = Some(now);
        let dead: Vec<Flow> =
            self.streams.keys().copied().filter(|flow| self.is_gone(flow)).collect();
        let network = self.network.clone();
        self.leave(now, |flow| network.home(flow) != Some(flow.local));
        self.bound = network.bound;
        self.resting.clear();
        dead.into_iter().for_each(|flow| self.forget_stream(flow));
        self.rehome_dialogs();
        self.rehome_servers();
        self.rehome_clients(now, offline);
        self.answers_anew(now);
        let accounts: Vec<_> = self.accounts.keys().collect();
        accounts.into_iter().for_each(|account| self.register_anew(now, account));
        let subscriptions: Vec<_> = self.subscriptions.keys().collect();
        subscriptions.into_iter().for_each(|key| self.subscribe_anew(now, key));
        let publications: Vec<_> = self.publications.keys().collect();
        publications.into_iter().for_each(|key| self.publish_anew(now, key));
        let watchers: Vec<_> = self.watchers.keys().collect();
        watchers.into_iter().for_each(|key| self.notify_anew(now, key));
    }

    /// Our end of a way, after the latest change of network.
    pub(crate) fn home(&self, flow: &Flow) -> Option<SocketAddr> {
        self.network.home(flow)
    }

    fn is_gone(&self, flow: &Flow) -> bool {
        self.home(flow) != Some(flow.local)
    }

    /// The same way from our address of now; as it was where none reaches it.
    pub(crate) fn rehomed(&self, flow: Flow) -> Flow {
        Flow { local: self.home(&flow).unwrap_or(flow.local), ..flow }
    }

    /// The ends of all ways in use: what a driver needs to know the routes to.
    pub fn remotes(&self) -> Vec<IpAddr> {
        let dialogs = self.dialogs.values().filter_map(|dialog| Some(dialog.hop?.addr.ip()));
        let clients = self.clients.values().map(|client| client.flow.remote.ip());
        let servers = self.servers.values().map(|server| server.flow.remote.ip());
        let mut all: Vec<IpAddr> = dialogs.chain(clients).chain(servers).collect();
        all.sort_unstable();
        all.dedup();
        all
    }

    fn rehome_dialogs(&mut self) {
        let network = &self.network;
        for dialog in self.dialogs.values_mut() {
            let Some(hop) = dialog.hop.as_mut() else { continue };
            match network.home(&hop.flow()) {
                Some(local) if local == hop.local => {}
                // The connection that the peer opened is no more.
                Some(local) if !(dialog.back && hop.transport.is_reliable()) => hop.local = local,
                _ => (dialog.hop, dialog.back) = (None, false),
            }
        }
    }

    /// Answers leave from the new address: where they go, the Via says (RFC 3261 §18.2.2).
    fn rehome_servers(&mut self) {
        let lost: Vec<_> = self.servers.iter().filter(|(_, s)| self.is_gone(&s.flow)).collect();
        let moves: Vec<_> = lost
            .into_iter()
            .map(|(key, server)| {
                let flow = self.rehomed(server.flow);
                let flow = match &server.request {
                    Some(request) if flow.transport.is_reliable() => {
                        self.way_back_without_connection(request, flow)
                    }
                    _ => flow,
                };
                (key, flow)
            })
            .collect();
        for (key, flow) in moves {
            if let Some(server) = self.servers.get_mut(key) {
                server.flow = flow;
                (server.moved, server.lost) = (true, false);
            }
        }
    }

    fn rehome_clients(&mut self, now: Instant, offline: bool) {
        let gone = |flow: &Flow| self.is_gone(flow) || offline && flow.transport.is_reliable();
        let lost = self.clients.iter().filter(|(_, client)| gone(&client.flow));
        let lost: Vec<ClientKey> = lost.map(|(key, _)| key).collect();
        for key in lost {
            let Some(client) = self.clients.get(key) else { continue };
            let waits = client.is_waiting();
            match (client.owner, self.home(&client.flow)) {
                (owner, _) if waits && self.is_begun_anew(owner) => {}
                (Owner::Stale(_), _) => self.remove_client(key),
                (_, None) if waits => {
                    let why = "the network has changed, and no address of ours leads there";
                    self.client_lost(now, key, why);
                }
                (_, None) => {}
                _ => self.move_client(now, key),
            }
        }
    }

    /// What carries our address and is still wanted.
    fn is_begun_anew(&self, owner: Owner) -> bool {
        match owner {
            Owner::Register(account, _) => self.wants_binding(account),
            Owner::Subscribe(key) => self.wants_subscription(key),
            Owner::Publish(key) => self.wants_publication(key),
            Owner::Notify(key) => self.has_watcher(key),
            _ => false,
        }
    }

    /// A transaction goes on from the new address. Over datagrams it stays what it was: branch and
    /// sent-by, by which the server knows it (§17.2.3), are those of before, and the `received` and
    /// `rport` that it adds lead to us (§18.2.1, RFC 3581 §4), so that nothing is done twice. A
    /// connection is gone with what was on it: there it is another attempt, as at another server.
    fn move_client(&mut self, now: Instant, key: ClientKey) {
        let Some(client) = self.clients.get(key) else { return };
        let flow = self.rehomed(client.flow);
        let ack = client.ack_flow.as_ref().map(|ack| self.rehomed(ack.0));
        let strays: Vec<Flow> = client.strays.iter().map(|stray| self.rehomed(stray.2)).collect();
        let (waits, owner) = (client.is_waiting(), client.owner);
        let Some(client) = self.clients.get_mut(key) else { return };
        client.flow = flow;
        if let (Some(ack), Some(moved)) = (client.ack_flow.as_mut(), ack) {
            ack.0 = moved;
        }
        for (stray, moved) in client.strays.iter_mut().zip(strays) {
            stray.2 = moved;
        }
        if !waits {
            // The ACK may have been lost with the old network, and with it the peer's repeated 2xx.
            return self.repeat_ack(key);
        }
        if !flow.transport.is_reliable() || matches!(owner, Owner::Cancel(_)) {
            let (bytes, name) = (client.bytes.clone(), client.name.clone());
            return self.transmit_to(flow, name, bytes);
        }
        let Some(mut request) = client.request.take() else { return };
        self.remove_client(key);
        for target in &mut request.targets {
            let Target { transport, addr, local } = *target;
            let moved = self.rehomed(Flow { transport, local, remote: addr });
            target.local = moved.local;
        }
        self.attempt(now, request);
    }
}

/// A response of ours whose Contact shows another address. What stands there for us wherever we are,
/// a GRUU or a name, stays.
pub(crate) fn with_contact_at(bytes: &Bytes, sent_by: &str) -> Option<Bytes> {
    let message = Message::parse(bytes.clone(), &crate::message::Limits::default()).ok()?;
    let contact = message.contact().ok()?;
    let uri: &Uri<'_> = &contact.uri;
    if uri.param("gr").is_some() || uri.host().ends_with(".invalid") {
        return None;
    }
    let text = std::str::from_utf8(bytes).ok()?;
    let line = text.find("\r\nContact: ")?;
    let at = line + text.get(line..)?.find(uri.as_str())?;
    let at = at + uri.as_str().find(uri.host_port())?;
    let (before, rest) = (text.get(..at)?, text.get(at + uri.host_port().len()..)?);
    Some(Bytes::from(format!("{before}{sent_by}{rest}")))
}
