//! The packets that wait, in order of sequence number. Bounded; payload buffers are used again.

use std::collections::VecDeque;

/// A packet that waits.
#[derive(Debug)]
pub(super) struct Packet {
    pub(super) sequence: i64,
    /// Media time of its first sample, in ns.
    pub(super) time: i64,
    /// Its sound, in ns.
    pub(super) length: i64,
    /// When it came, in ns.
    pub(super) arrival: i64,
    pub(super) payload_type: u8,
    /// False for a packet that only fills its place in the sequence.
    pub(super) sound: bool,
    pub(super) payload: Vec<u8>,
}

#[derive(Debug, Default)]
pub(super) struct Store {
    packets: VecDeque<Packet>,
    // Buffers that are free.
    spare: Vec<Vec<u8>>,
    limit: usize,
}

impl Store {
    pub(super) fn new(limit: usize) -> Self {
        Self { limit: limit.max(2), ..Self::default() }
    }

    pub(super) fn len(&self) -> usize {
        self.packets.len()
    }

    pub(super) fn front(&self) -> Option<&Packet> {
        self.packets.front()
    }

    pub(super) fn is_full(&self) -> bool {
        self.packets.len() >= self.limit
    }

    /// Puts a packet in its place; false when one of that number is there already. The caller has
    /// made sure that there is room.
    pub(super) fn insert(&mut self, mut packet: Packet, payload: &[u8]) -> bool {
        let behind = |p: &Packet| p.sequence > packet.sequence;
        let mut at = self.packets.len();
        while at > 0 && behind(&self.packets[at - 1]) {
            at -= 1;
        }
        if at > 0 && self.packets[at - 1].sequence == packet.sequence {
            return false;
        }
        packet.payload = self.spare.pop().unwrap_or_default();
        packet.payload.clear();
        packet.payload.extend_from_slice(payload);
        self.packets.insert(at, packet);
        true
    }

    pub(super) fn pop(&mut self) -> Option<Packet> {
        self.packets.pop_front()
    }

    /// Takes a buffer back.
    pub(super) fn recycle(&mut self, payload: Vec<u8>) {
        if self.spare.len() < self.limit {
            self.spare.push(payload);
        }
    }

    pub(super) fn clear(&mut self) {
        while let Some(p) = self.pop() {
            self.recycle(p.payload);
        }
    }
}
