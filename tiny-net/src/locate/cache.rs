//! Answers kept for as long as they are good, within a bound. Failures are never kept: the next
//! search asks again.

use super::{Known, Outcome, Question};
use crate::Config;
use std::collections::HashMap;
use std::time::{Duration, Instant};

pub(super) struct Cache {
    entries: HashMap<Question, (Instant, Known)>,
    most: usize,
    longest: Duration,
    longest_negative: Duration,
}

impl Cache {
    pub(super) fn new(config: &Config) -> Self {
        Self {
            entries: HashMap::new(),
            most: config.dns_cache_entries,
            longest: config.dns_max_ttl,
            longest_negative: config.dns_negative_ttl,
        }
    }

    pub(super) fn get(&mut self, now: Instant, question: &Question) -> Option<Known> {
        let (until, known) = self.entries.get(question)?;
        if *until <= now {
            self.entries.remove(question);
            return None;
        }
        Some(known.clone())
    }

    pub(super) fn store(&mut self, now: Instant, question: &Question, outcome: &Outcome) {
        let life = match outcome {
            Outcome::Found { ttl, .. } => (*ttl).min(self.longest),
            // RFC 2308 §5: without a SOA record it should not be kept, so only briefly.
            Outcome::Absent { ttl } => {
                ttl.unwrap_or(Duration::from_secs(5)).min(self.longest_negative)
            }
            Outcome::Failed => return,
        };
        if life.is_zero() || self.most == 0 {
            return;
        }
        if self.entries.len() >= self.most && !self.entries.contains_key(question) {
            self.make_room(now);
        }
        self.entries.insert(question.clone(), (now + life, Known::from(outcome.clone())));
    }

    fn make_room(&mut self, now: Instant) {
        self.entries.retain(|_, (until, _)| *until > now);
        if self.entries.len() >= self.most {
            let soonest = self.entries.iter().min_by_key(|(_, (until, _))| *until);
            if let Some(question) = soonest.map(|(question, _)| question.clone()) {
                self.entries.remove(&question);
            }
        }
    }

    pub(super) fn clear(&mut self) {
        self.entries.clear();
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }
}
