//! Messages that stand ready for a reader. Until they are read, or thrown away with their handle, they
//! count in the receive buffer of the association, so that its window tells the peer the truth
//! (RFC 9260 §6): memory is bounded by `receive_buffer`, however many channels nobody reads.

use bytes::Bytes;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tiny_net::data::Message;
use tokio::sync::Notify;

/// What readers of one association have read.
#[derive(Debug)]
pub(crate) struct Credit {
    read: AtomicUsize,
    /// So much is told at once; less, when the task has other work.
    enough: usize,
    wake: Arc<Notify>,
}

impl Credit {
    pub(crate) fn new(receive_buffer: usize, wake: Arc<Notify>) -> Arc<Self> {
        Arc::new(Self { read: AtomicUsize::new(0), enough: receive_buffer / 4, wake })
    }

    /// What has been read since the last time.
    pub(crate) fn take(&self) -> usize {
        self.read.swap(0, Ordering::AcqRel)
    }
}

/// One message, and what it counts.
#[derive(Debug)]
pub(crate) struct Ready {
    message: Message,
    cost: usize,
    credit: Arc<Credit>,
}

impl Ready {
    pub(crate) fn new(message: Message, cost: usize, credit: Arc<Credit>) -> Self {
        Self { message, cost, credit }
    }

    pub(crate) fn into_message(mut self) -> Message {
        std::mem::replace(&mut self.message, Message::Binary(Bytes::new()))
    }
}

impl Drop for Ready {
    fn drop(&mut self) {
        let had = self.credit.read.fetch_add(self.cost, Ordering::AcqRel);
        if had < self.credit.enough && had + self.cost >= self.credit.enough {
            self.credit.wake.notify_one();
        }
    }
}
