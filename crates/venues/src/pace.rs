//! Never more to a venue than it bears: a queue behind a token bucket.

use std::collections::VecDeque;

/// Things to send, each with a weight. The queue is bounded by its users: an instrument never has more than
/// one request of a kind in it.
#[derive(Debug)]
pub(crate) struct Paced<T> {
    queue: VecDeque<(u32, T)>,
    /// Weight that may be sent at once after a rest.
    burst: u32,
    /// Weight regained in a second.
    per_s: u32,
    /// Weight available, in nano-units of weight.
    available: i64,
    refilled_ns: i64,
    /// Nothing goes out before.
    not_before_ns: i64,
}

const NANO: i64 = 1_000_000_000;

impl<T> Paced<T> {
    pub fn new(burst: u32, per_s: u32) -> Self {
        Self {
            queue: VecDeque::new(),
            burst,
            per_s,
            available: i64::from(burst) * NANO,
            refilled_ns: 0,
            not_before_ns: 0,
        }
    }

    pub fn push(&mut self, weight: u32, item: T) {
        self.queue.push_back((weight.min(self.burst), item));
    }

    /// The venue asks for quiet.
    pub fn hold_until(&mut self, ns: i64) {
        self.not_before_ns = self.not_before_ns.max(ns);
    }

    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// The next thing that may go out now.
    pub fn take(&mut self, now_ns: i64) -> Option<T> {
        let weight = self.queue.front()?.0;
        if now_ns < self.not_before_ns {
            return None;
        }
        if self.refilled_ns == 0 {
            self.refilled_ns = now_ns;
        }
        // a rest longer than a minute fills any bucket; the bound keeps the product inside 64 bits
        let rest_ns = (now_ns - self.refilled_ns).clamp(0, 60 * NANO);
        let full = i64::from(self.burst) * NANO;
        self.available = (self.available + rest_ns * i64::from(self.per_s)).min(full);
        self.refilled_ns = self.refilled_ns.max(now_ns);
        let cost = i64::from(weight) * NANO;
        if self.available < cost {
            return None;
        }
        self.available -= cost;
        self.queue.pop_front().map(|(_, item)| item)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn burst_then_rate() {
        let mut paced = Paced::new(3, 2);
        for item in 0..10 {
            paced.push(1, item);
        }
        let mut sent = Vec::new();
        let mut now = 5 * NANO;
        while !paced.is_empty() {
            while let Some(item) = paced.take(now) {
                sent.push((item, (now - 5 * NANO) / 1_000_000));
            }
            now += NANO / 10;
        }
        assert_eq!(
            sent.iter().map(|s| s.1).collect::<Vec<_>>(),
            [0, 0, 0, 500, 1000, 1500, 2000, 2500, 3000, 3500]
        );
        assert!(sent.iter().enumerate().all(|(index, s)| s.0 == index));
    }

    #[test]
    fn holds_when_told() {
        let mut paced = Paced::new(3, 2);
        paced.push(1, ());
        paced.hold_until(10 * NANO);
        assert!(paced.take(9 * NANO).is_none());
        assert!(paced.take(10 * NANO).is_some());
    }

    #[test]
    fn a_thing_heavier_than_the_bucket_still_goes() {
        let mut paced = Paced::new(3, 2);
        paced.push(100, ());
        assert!(paced.take(NANO).is_some());
    }
}
