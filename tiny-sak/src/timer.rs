//! Many deadlines, one `next_deadline`: an indexed binary heap with O(log n) insert, cancel and pop.
//! A cancelled timer leaves nothing behind.

use std::time::Instant;

/// Names one pending timer. A key that has fired or been cancelled is inert.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TimerKey {
    slot: u32,
    generation: u32,
}

#[derive(Debug)]
struct Slot<T> {
    generation: u32,
    // Position in the heap; meaningless in a free slot.
    position: u32,
    value: Option<T>,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    at: Instant,
    // Equal deadlines fire in the order they were set.
    order: u64,
    slot: u32,
}

/// A queue of deadlines that carry a value each.
///
/// ```
/// use std::time::{Duration, Instant};
/// let start = Instant::now();
/// let mut timers = tiny_sak::TimerQueue::new();
/// let early = timers.insert(start + Duration::from_millis(500), "A");
/// timers.insert(start + Duration::from_secs(32), "B");
/// assert_eq!(timers.cancel(early), Some("A"));
/// assert_eq!(timers.pop_due(start), None);
/// assert_eq!(timers.pop_due(start + Duration::from_secs(32)), Some("B"));
/// assert!(timers.is_empty());
/// ```
#[derive(Debug)]
pub struct TimerQueue<T> {
    heap: Vec<Entry>,
    slots: Vec<Slot<T>>,
    free: Vec<u32>,
    order: u64,
}

impl<T> Default for TimerQueue<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> TimerQueue<T> {
    /// An empty queue.
    pub const fn new() -> Self {
        Self { heap: Vec::new(), slots: Vec::new(), free: Vec::new(), order: 0 }
    }

    /// How many timers are pending.
    pub fn len(&self) -> usize {
        self.heap.len()
    }

    /// True when no timer is pending.
    pub fn is_empty(&self) -> bool {
        self.heap.is_empty()
    }

    /// Sets a timer.
    pub fn insert(&mut self, at: Instant, value: T) -> TimerKey {
        let position = self.heap.len() as u32;
        let slot = match self.free.pop() {
            Some(slot) => {
                let s = &mut self.slots[slot as usize];
                s.position = position;
                s.value = Some(value);
                slot
            }
            None => {
                self.slots.push(Slot { generation: 0, position, value: Some(value) });
                (self.slots.len() - 1) as u32
            }
        };
        self.order += 1;
        self.heap.push(Entry { at, order: self.order, slot });
        self.sift_up(position as usize);
        TimerKey { slot, generation: self.slots[slot as usize].generation }
    }

    /// Ends a timer early and returns its value; `None` when it has fired or was cancelled.
    pub fn cancel(&mut self, key: TimerKey) -> Option<T> {
        let slot = self.slots.get(key.slot as usize)?;
        if slot.generation != key.generation || slot.value.is_none() {
            return None;
        }
        Some(self.remove(slot.position as usize))
    }

    /// The earliest deadline.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.heap.first().map(|e| e.at)
    }

    /// The value of one timer that is due at `now`, earliest first.
    pub fn pop_due(&mut self, now: Instant) -> Option<T> {
        if self.next_deadline()? > now {
            return None;
        }
        Some(self.remove(0))
    }

    fn remove(&mut self, position: usize) -> T {
        let entry = self.heap.swap_remove(position);
        if position < self.heap.len() {
            self.slots[self.heap[position].slot as usize].position = position as u32;
            self.sift_down(position);
            self.sift_up(position);
        }
        let slot = &mut self.slots[entry.slot as usize];
        slot.generation = slot.generation.wrapping_add(1);
        self.free.push(entry.slot);
        slot.value.take().expect("a slot in the heap holds a value")
    }

    fn before(&self, a: usize, b: usize) -> bool {
        let (a, b) = (&self.heap[a], &self.heap[b]);
        (a.at, a.order) < (b.at, b.order)
    }

    fn swap(&mut self, a: usize, b: usize) {
        self.heap.swap(a, b);
        self.slots[self.heap[a].slot as usize].position = a as u32;
        self.slots[self.heap[b].slot as usize].position = b as u32;
    }

    fn sift_up(&mut self, mut i: usize) {
        while i > 0 && self.before(i, (i - 1) / 2) {
            self.swap(i, (i - 1) / 2);
            i = (i - 1) / 2;
        }
    }

    fn sift_down(&mut self, mut i: usize) {
        loop {
            let mut least = i;
            for child in [2 * i + 1, 2 * i + 2] {
                if child < self.heap.len() && self.before(child, least) {
                    least = child;
                }
            }
            if least == i {
                return;
            }
            self.swap(i, least);
            i = least;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Rng;
    use std::time::Duration;

    #[test]
    fn equal_deadlines_fire_in_the_order_they_were_set() {
        let t = Instant::now();
        let mut q = TimerQueue::new();
        (0..100).for_each(|i| {
            q.insert(t, i);
        });
        let fired: Vec<_> = std::iter::from_fn(|| q.pop_due(t)).collect();
        assert_eq!(fired, (0..100).collect::<Vec<_>>());
    }

    #[test]
    fn a_stale_key_cancels_nothing() {
        let t = Instant::now();
        let mut q = TimerQueue::new();
        let old = q.insert(t, 1);
        assert_eq!(q.pop_due(t), Some(1));
        let new = q.insert(t, 2);
        assert_eq!(q.cancel(old), None);
        assert_eq!(q.cancel(new), Some(2));
        assert_eq!(q.cancel(new), None);
    }

    #[test]
    fn agrees_with_a_sorted_list_under_random_use() {
        let start = Instant::now();
        let mut rng = Rng::from_seed(11);
        let mut q = TimerQueue::new();
        let mut model: Vec<(Instant, u64, TimerKey)> = Vec::new();
        for n in 0..20_000u64 {
            match rng.below(4) {
                0 | 1 => {
                    let at = start + Duration::from_millis(rng.below(1000));
                    model.push((at, n, q.insert(at, n)));
                }
                2 if !model.is_empty() => {
                    let (_, v, key) = model.swap_remove(rng.below(model.len() as u64) as usize);
                    assert_eq!(q.cancel(key), Some(v));
                }
                _ => {
                    model.sort_by_key(|e| (e.0, e.1));
                    let now = start + Duration::from_millis(rng.below(500));
                    let due = model.first().is_some_and(|e| e.0 <= now);
                    let expected = due.then(|| model.remove(0).1);
                    assert_eq!(q.pop_due(now), expected);
                }
            }
            assert_eq!(q.len(), model.len());
            assert_eq!(q.next_deadline(), model.iter().map(|e| e.0).min());
        }
    }
}
