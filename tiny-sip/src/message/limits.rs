//! How much a peer may ask of the parser.

/// Limits on messages, all of them applied to what comes from the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Octets of a whole message, head and body. Default 65,535: what every element must be able
    /// to receive over UDP (RFC 3261 §18.1.1), kept as the bound for streams too.
    pub max_message: usize,
    /// Octets of the head: start line and header fields. Default 49,152.
    pub max_head: usize,
    /// Header lines. Default 256.
    pub max_headers: usize,
    /// Octets of one header line, folds included. Default 16,384: room for signed identities.
    pub max_line: usize,
    /// Parts of one multipart body. Default 32.
    pub max_parts: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_message: 65_535,
            max_head: 49_152,
            max_headers: 256,
            max_line: 16_384,
            max_parts: 32,
        }
    }
}
