//! When to try again: full-jitter exponential backoff and a budget of connects. Pure: time (monotonic
//! nanoseconds) and randomness come from outside.

use std::collections::VecDeque;

const S: i64 = 1_000_000_000;
/// First ceiling of the delay.
pub const BASE_NS: i64 = S;
/// Last ceiling of the delay.
pub const CAP_NS: i64 = 30 * S;
/// A connection that held for so long was good: the next failure starts at the base again.
pub const STABLE_NS: i64 = 30 * S;

/// Delay between attempts of one connection: random between 0 and a ceiling that doubles from 1 s to 30 s.
/// It never gives up.
#[derive(Clone, Debug, Default)]
pub struct Backoff {
    attempt: u32,
    live_since: Option<i64>,
}

impl Backoff {
    /// Attempts since the last stable connection.
    pub fn attempt(&self) -> u32 {
        self.attempt
    }

    /// The connection delivers.
    pub fn live(&mut self, now: i64) {
        self.live_since.get_or_insert(now);
    }

    /// The attempt failed or the connection ended. Returns how long to wait, nanoseconds; `random` is any
    /// evenly spread number.
    pub fn failed(&mut self, now: i64, random: u64) -> i64 {
        if self
            .live_since
            .take()
            .is_some_and(|since| now - since >= STABLE_NS)
        {
            self.attempt = 0;
        }
        let ceiling = CAP_NS.min(BASE_NS << self.attempt.min(6));
        self.attempt = self.attempt.saturating_add(1);
        (random % (ceiling as u64 + 1)) as i64
    }
}

/// At most so many connects in a window, over all connections of a venue.
#[derive(Clone, Debug)]
pub struct Budget {
    most: usize,
    window_ns: i64,
    spent: VecDeque<i64>,
}

impl Budget {
    /// A fifth of what the venue allows is left to other programs behind the same address.
    pub fn new(connects: u32, window_s: u32) -> Self {
        Self {
            most: (connects as usize * 4 / 5).max(1),
            window_ns: i64::from(window_s.max(1)) * S,
            spent: VecDeque::new(),
        }
    }

    /// Takes one connect if there is one; else says how long to wait for it, nanoseconds.
    pub fn take(&mut self, now: i64) -> Result<(), i64> {
        while self.spent.front().is_some_and(|&at| now - at >= self.window_ns) {
            self.spent.pop_front();
        }
        match self.spent.front() {
            Some(&oldest) if self.spent.len() >= self.most => Err(oldest + self.window_ns - now),
            _ => {
                self.spent.push_back(now);
                Ok(())
            }
        }
    }
}

/// Evenly spread numbers for jitter (xorshift64*): not for secrets.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed | 1)
    }

    pub fn draw(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ceilings_double_to_thirty_seconds_and_a_stable_connection_resets_them() {
        let mut backoff = Backoff::default();
        let ceilings: Vec<i64> = (0..8).map(|_| backoff.failed(0, i64::MAX as u64)).collect();
        assert!(ceilings.iter().all(|&delay| delay <= CAP_NS));
        assert_eq!(backoff.attempt(), 8);
        let mut backoff = Backoff::default();
        for (n, ceiling) in [1, 2, 4, 8, 16, 30, 30, 30].into_iter().enumerate() {
            let delay = backoff.clone().failed(0, (ceiling * S) as u64);
            assert_eq!(delay, ceiling * S, "attempt {n}");
            assert_eq!(backoff.failed(0, (ceiling * S) as u64 + 1), 0);
        }
        backoff.live(100 * S);
        backoff.failed(129 * S, 0);
        assert_eq!(backoff.attempt(), 9); // 29 s were not stable
        backoff.live(200 * S);
        backoff.failed(230 * S, 0);
        assert_eq!(backoff.attempt(), 1);
    }

    /// A18: a venue that refuses for half an hour sees at most 60 connects in any five minutes, and is
    /// tried at most 35 s after it heals.
    #[test]
    fn a_refusing_venue_is_not_stormed() {
        for seed in 1..200 {
            let mut random = Random::new(seed * 7919);
            let (mut backoff, mut budget) = (Backoff::default(), Budget::new(300, 300));
            let (mut now, mut tries) = (0, Vec::new());
            while now < 1_800 * S {
                match budget.take(now) {
                    Ok(()) => {
                        tries.push(now);
                        now += backoff.failed(now, random.draw());
                    }
                    Err(wait) => now += wait,
                }
            }
            let most = tries
                .iter()
                .map(|&at| tries.iter().filter(|&&t| t >= at && t < at + 300 * S).count());
            assert!(most.max().unwrap() <= 60);
            assert!(tries.windows(2).all(|pair| pair[1] - pair[0] <= 35 * S));
        }
    }

    #[test]
    fn the_budget_holds_in_every_window() {
        let mut budget = Budget::new(10, 60);
        let taken = (0..100).filter(|_| budget.take(5 * S).is_ok()).count();
        assert_eq!(taken, 8);
        assert_eq!(budget.take(35 * S), Err(30 * S));
        assert_eq!(budget.take(65 * S), Ok(()));
    }
}
