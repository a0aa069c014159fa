//! Every limit of a DTLS association, with its default.

use super::session::SrtpProfile;
use std::time::Duration;

/// Limits and timers of DTLS associations.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Config {
    /// The SRTP profiles that are offered and taken, the favourite first; empty for an association
    /// that carries application data alone. Default: AES-128-GCM, AES-256-GCM, and AES-128 in
    /// counter mode with 80 bits of tag, which every peer has (RFC 5764 §4.1.2, RFC 7714 §14.2).
    pub profiles: Vec<SrtpProfile>,
    /// The largest datagram that is sent, in bytes: at least 256. Default 1,200.
    pub mtu: usize,
    /// How long an answer may take before a flight is sent again; doubled each time. Default
    /// 400 ms, which RFC 9147 §5.8.2 recommends for DTLS-SRTP.
    pub initial_timeout: Duration,
    /// Where the doubling ends. Default 5 s, so that a path that comes back is found soon.
    pub max_timeout: Duration,
    /// How long the whole handshake may take, from the making of the association on. Default 30 s.
    pub handshake_timeout: Duration,
    /// The longest handshake message that is put together, in bytes; a peer with a longer one is
    /// refused. Default 16 KiB.
    pub max_message: usize,
    /// Handshake messages that may wait because an earlier one is missing; further ones are dropped
    /// until the peer repeats them. Default 8, which holds the longest flight.
    pub max_ahead: usize,
    /// Pieces of one handshake message that are kept apart; further ones are dropped. Default 32.
    pub max_pieces: usize,
    /// Encrypted records that may wait for their keys; further ones are dropped. Default 8.
    pub max_early: usize,
    /// Callers at the port of a passive side that are heard at once, beside the one at the address that
    /// signalling named; another one takes the place of the oldest. Default 8.
    pub max_attempts: usize,
    /// Refuses peers without the extended master secret of RFC 7627. Default: no. Nothing is
    /// resumed here, which is what that extension makes safe.
    pub require_extended_master_secret: bool,
    /// The passive side has the other return a cookie, so that nobody can have it send certificates
    /// to a third party (RFC 6347 §4.2.1). Default: yes; without need where ICE checked the path.
    pub cookies: bool,
}

impl Config {
    /// The most application data that one record takes.
    pub(super) fn max_data(&self) -> usize {
        self.mtu - super::record::HEADER - super::crypto::OVERHEAD
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            profiles: vec![
                SrtpProfile::AeadAes128Gcm,
                SrtpProfile::AeadAes256Gcm,
                SrtpProfile::Aes128CmSha1_80,
            ],
            mtu: 1200,
            initial_timeout: Duration::from_millis(400),
            max_timeout: Duration::from_secs(5),
            handshake_timeout: Duration::from_secs(30),
            max_message: 16 * 1024,
            max_ahead: 8,
            max_pieces: 32,
            max_early: 8,
            max_attempts: 8,
            require_extended_master_secret: false,
            cookies: true,
        }
    }
}
