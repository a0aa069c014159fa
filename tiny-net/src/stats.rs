//! Figures of the drivers.

/// Counts since the drivers were made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Datagrams received.
    pub datagrams_in: u64,
    /// Datagrams given to the system.
    pub datagrams_out: u64,
    /// Datagrams dropped because they were longer than
    /// [`Config::max_datagram`](crate::Config::max_datagram).
    pub datagrams_too_long: u64,
    /// Calls that received datagrams; `datagrams_in` over this is the mean batch.
    pub receive_batches: u64,
    /// Sends that failed, on datagram sockets and streams.
    pub send_failures: u64,
    /// Connections that peers opened to us.
    pub accepted: u64,
    /// Connections that we opened.
    pub connected: u64,
    /// Connections turned away at [`Config::max_connections`](crate::Config::max_connections).
    pub refused: u64,
    /// Connections opened to us that failed in the TLS or WebSocket handshake.
    pub failed_handshakes: u64,
    /// Connections open or opening now.
    pub connections: usize,
}
