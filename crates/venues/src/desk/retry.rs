//! When to ask a venue again for what it did not give.

const S: i64 = 1_000_000_000;
/// Longest pause between two attempts.
const PAUSE_MAX_NS: i64 = 30 * S;

/// Attempts in a row: the first failure is followed at once, later ones after 1, 2, 4 … 30 s.
#[derive(Default)]
pub(super) struct Retry {
    pub attempts: u32,
    /// When to ask next; 0 when nothing is planned.
    pub at_ns: i64,
}

impl Retry {
    pub fn failed(&mut self, now_ns: i64) {
        self.attempts += 1;
        let pause_ns = match self.attempts {
            0 | 1 => 0,
            attempts => (S << (attempts - 2).min(6)).min(PAUSE_MAX_NS),
        };
        self.at_ns = now_ns + pause_ns;
    }

    /// Is it time for the attempt that was planned? It is planned no more then.
    pub fn due(&mut self, now_ns: i64) -> bool {
        let due = self.at_ns != 0 && now_ns >= self.at_ns;
        if due {
            self.at_ns = 0;
        }
        due
    }
}
