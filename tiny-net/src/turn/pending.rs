//! Requests under way to a TURN server.

use crate::stun::{Transaction, TransactionId};
use bytes::Bytes;
use std::net::IpAddr;
use std::time::Instant;

/// What a request asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ask {
    Allocate,
    Refresh,
    // A refresh with no lifetime: the end (RFC 8656 §8); `true` clears the way for a new allocation.
    Release(bool),
    Permission(IpAddr),
    Channel(u16),
}

#[derive(Debug)]
pub(super) struct Pending {
    pub(super) ask: Ask,
    pub(super) id: TransactionId,
    pub(super) message: Bytes,
    pub(super) transaction: Transaction,
    pub(super) started: Instant,
    pub(super) challenges: u8,
    // It carries credentials, so that its response has to be authentic.
    pub(super) signed: bool,
    // A response came whose integrity was wrong.
    pub(super) violated: bool,
}
