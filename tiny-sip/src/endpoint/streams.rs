//! Streams: bytes to messages (RFC 3261 §18.3), keep-alives (RFC 5626 §3.5.1), and the end of those
//! that cannot be framed or are fed too slowly. It opens and closes nothing: the driver is told.

use super::{Due, Endpoint, Event};
use crate::framing::{FrameError, Framed, StreamFramer};
use crate::message::{Limits, Message, ParseError};
use bytes::Bytes;
use std::time::Instant;
use tiny_sak::{Flow, TimerKey};

slotmap::new_key_type! {
    /// Names a stream within a message.
    pub(crate) struct SlowKey;
}

/// The receiving side of a stream.
#[derive(Debug)]
pub(crate) struct Stream {
    pub(crate) framer: StreamFramer,
    /// Runs while a message is incomplete.
    patience: Option<(SlowKey, TimerKey)>,
}

impl Stream {
    fn new(limits: &Limits) -> Self {
        Self { framer: StreamFramer::new(limits), patience: None }
    }
}

impl Endpoint {
    pub(crate) fn on_stream(&mut self, now: Instant, flow: Flow, data: Bytes) {
        if !self.streams.contains_key(&flow) {
            if self.streams.len() >= self.config.max_streams {
                self.counters.dropped_streams += 1;
                return;
            }
            self.streams.insert(flow, Stream::new(&self.config.limits));
        }
        let mut data = Some(data);
        loop {
            let Some(stream) = self.streams.get_mut(&flow) else { return };
            if let Some(data) = data.take() {
                stream.framer.push(data);
            }
            match stream.framer.next() {
                Ok(None) => return self.watch_stream(now, flow),
                Ok(Some(Framed::Message(message))) => {
                    self.unwatch_stream(flow);
                    self.on_message(now, flow, message);
                }
                // RFC 5626 §3.5.1
                Ok(Some(Framed::Ping)) => self.transmit(flow, Bytes::from_static(b"\r\n")),
                Ok(Some(Framed::Pong)) => self.on_pong(now, flow),
                Err(error) => {
                    // The framer stays broken, so that the rest of the stream is dropped until the
                    // driver closes it. The fault is told once where there is a head to answer to.
                    self.counters.dropped_streams += 1;
                    self.unwatch_stream(flow);
                    if self.broken_streams.insert(flow) {
                        self.answer_frame_error(flow, error);
                        self.event(Event::StreamBroken { flow });
                    }
                    return;
                }
            }
        }
    }

    fn answer_frame_error(&mut self, flow: Flow, error: FrameError) {
        let (head, status) = match error {
            FrameError::TooLarge { head } => (head, 513),
            FrameError::ContentLength { head } => (head, 400),
            _ => return,
        };
        let reason = if status == 400 { "Bad Request - Content-Length" } else { "" };
        let partial = match Message::parse(head, &self.config.limits) {
            Ok(message) => Some(Box::new(message)),
            Err(ParseError::Request { partial, .. }) => partial,
            Err(_) => None,
        };
        if let Some(request) = partial.filter(|request| request.is_request()) {
            self.counters.rejected_malformed += 1;
            self.answer_statelessly(flow, &request, status, reason, &[]);
        }
    }

    /// A message has begun: it is to end in time, however many octets come in between.
    fn watch_stream(&mut self, now: Instant, flow: Flow) {
        let Some(stream) = self.streams.get_mut(&flow) else { return };
        if stream.patience.is_none() && stream.framer.is_within_message() {
            let slow = self.slow.insert(flow);
            let timer = self.timers.insert(now + self.config.stream_patience, Due::Slow(slow));
            stream.patience = Some((slow, timer));
        }
    }

    fn unwatch_stream(&mut self, flow: Flow) {
        let stream = self.streams.get_mut(&flow);
        if let Some((slow, timer)) = stream.and_then(|stream| stream.patience.take()) {
            self.slow.remove(slow);
            self.timers.cancel(timer);
        }
    }

    /// Nobody who means it needs that long: the stream is given up like one that cannot be framed.
    pub(crate) fn stream_too_slow(&mut self, now: Instant, slow: SlowKey) {
        let Some(flow) = self.slow.get(slow).copied() else { return };
        self.counters.dropped_streams += 1;
        self.event(Event::StreamBroken { flow });
        self.on_closed(now, flow, Some("a message took too long to arrive"));
    }

    /// Nothing is kept of a stream that is closed.
    pub(crate) fn forget_stream(&mut self, flow: Flow) {
        self.unwatch_stream(flow);
        self.streams.remove(&flow);
        self.broken_streams.remove(&flow);
    }
}
