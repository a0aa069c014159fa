//! The poll contract: stated here once, the same in every sans-IO core.

use std::time::Instant;

/// What a sans-IO core wants next.
///
/// Every core of tiny-ua is driven in the same way:
///
/// 1. Call `handle(now, input)` with something that happened, or a command method that takes
///    `now`. Passing the time of a due timeout counts as something that happened.
/// 2. Call `poll(now)` until it returns [`Output::Timeout`]: send each [`Output::Transmit`] in the
///    order given, and act on each [`Output::Event`].
/// 3. Sleep until the deadline or the next input, whichever comes first; then begin again.
///
/// A core never reads a clock: `now` must not go backwards between calls. Between steps 1 and 2 the
/// core holds what it wants to send, so a caller that stops polling loses nothing and blocks only
/// this core. After `Timeout` has been returned, polling again at the same `now` without input
/// returns the same `Timeout`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output<T, E> {
    /// Bytes to send, with their addresses.
    Transmit(T),
    /// Something the owner of the core should know or decide.
    Event(E),
    /// Everything is drained. Call `handle` again at this time at the latest; `None` means that
    /// the core waits for input alone.
    Timeout(Option<Instant>),
}
