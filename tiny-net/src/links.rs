//! The connections of one ICE agent: to relays over TCP and TLS (RFC 8656 §3.1), and to the peer
//! (RFC 6544). Each is known by its whole flow, as the agent names it: two relays at one server are two
//! connections, which SIP would never want. Opening and writing never make the owner wait.

use crate::streams::Streams;
use crate::{BindError, Config, NetEvent, Stats};
use bytes::Bytes;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll};
use tiny_sak::{Flow, Transport};

/// Connections by their flows. Limits and times are those of [`Config`].
pub struct Links {
    streams: Streams,
    stats: Stats,
}

impl Links {
    /// No connection yet.
    pub fn new(config: Arc<Config>) -> Self {
        Self { streams: Streams::with_exact_flows(config), stats: Stats::default() }
    }

    /// Which name a server at this address has to prove under TLS. Without one it is the address.
    pub fn expect_name(&mut self, remote: SocketAddr, name: &str) {
        self.streams.expect_name(Transport::Tls, remote, name);
    }

    /// Listens for the peer's connections over TCP; port 0 picks a free one.
    ///
    /// # Errors
    /// [`BindError`] names the address.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn listen(&mut self, addr: SocketAddr) -> Result<SocketAddr, BindError> {
        self.streams.bind(Transport::Tcp, addr)
    }

    /// Sends over the connection of a flow, which is opened where there is none. What cannot be sent
    /// comes back as [`NetEvent::SendFailed`].
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn send(&mut self, flow: Flow, data: Bytes) {
        self.streams.send(flow, None, data, &mut self.stats);
    }

    /// Ends a connection once what waits is written.
    pub fn close(&mut self, flow: Flow) {
        self.streams.close(flow);
    }

    /// Ends what comes from addresses that are not ours any more, listeners too.
    pub fn drop_address(&mut self, gone: std::net::IpAddr) {
        let listening: Vec<_> = self.streams.listeners().filter(|l| l.1.ip() == gone).collect();
        for (transport, addr) in listening {
            self.streams.unbind(transport, addr);
        }
        self.streams.drop_connections(|ip| ip == gone);
    }

    /// What happened.
    pub fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<NetEvent> {
        self.streams.poll_recv(cx, &mut self.stats)
    }
}

impl std::fmt::Debug for Links {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Links").field("open", &self.streams.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    async fn next(links: &mut Links) -> NetEvent {
        poll_fn(|cx| links.poll_recv(cx)).await
    }

    #[tokio::test]
    async fn two_flows_to_one_server_are_two_connections_that_keep_their_names() {
        let server = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let remote = server.local_addr().unwrap();
        let flows = [4000, 4001].map(|port| Flow {
            transport: Transport::Tcp,
            local: SocketAddr::from(([127, 0, 0, 1], port)),
            remote,
        });
        let mut links = Links::new(Arc::new(Config::default()));
        let mut far = Vec::new();
        for flow in flows {
            links.send(flow, Bytes::from(flow.local.port().to_string()));
            let (mut stream, _) = server.accept().await.unwrap();
            assert_eq!(next(&mut links).await, NetEvent::Opened { flow });
            let mut data = [0; 4];
            stream.read_exact(&mut data).await.unwrap();
            assert_eq!(data, flow.local.port().to_string().as_bytes());
            far.push(stream);
        }
        far[1].write_all(b"second").await.unwrap();
        let data = Bytes::from_static(b"second");
        assert_eq!(next(&mut links).await, NetEvent::Stream { flow: flows[1], data });
        links.close(flows[0]);
        assert_eq!(far[0].read(&mut [0; 4]).await.unwrap(), 0);
        links.send(flows[1], Bytes::from_static(b"more"));
        let mut data = [0; 4];
        far[1].read_exact(&mut data).await.unwrap();
        assert_eq!(&data, b"more");
    }
}
