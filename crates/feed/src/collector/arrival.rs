//! What the socket itself says of the venue's life: frames that came whole, and bytes of one that has not yet.
//! A large message over a slow line is no silence. Pure: session time comes from outside.

/// A message that is not whole after so long is given up, nanoseconds.
pub const WHOLE_NS: i64 = 60_000_000_000;

#[derive(Debug)]
pub struct Arrival {
    /// Bytes received, and when the last of them were seen.
    received: u64,
    moved: i64,
    /// When bytes of an unfinished message were first seen.
    begun: Option<i64>,
}

impl Arrival {
    pub fn new(received: u64, now: i64) -> Self {
        Self {
            received,
            moved: now,
            begun: None,
        }
    }

    /// A frame came whole; so many bytes have been received in all.
    #[inline]
    pub fn whole(&mut self, received: u64, now: i64) {
        *self = Self::new(received, now);
    }

    /// So many bytes have been received in all. Says since how long a message is on its way, nanoseconds;
    /// `None`: none is.
    pub fn coming(&mut self, received: u64, now: i64) -> Option<i64> {
        if received != self.received {
            self.received = received;
            self.moved = now;
            self.begun.get_or_insert(now);
        }
        self.begun.map(|begun| now - begun)
    }

    /// For how long nothing has come, nanoseconds.
    pub fn silent(&self, now: i64) -> i64 {
        now - self.moved
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: i64 = 1_000_000_000;

    #[test]
    fn bytes_of_an_unfinished_message_are_life() {
        let mut arrival = Arrival::new(100, 0);
        assert_eq!(arrival.coming(100, 4 * S), None);
        assert_eq!(arrival.silent(4 * S), 4 * S);
        for second in 5..20 {
            let received = 100 + second as u64;
            assert_eq!(arrival.coming(received, second * S), Some((second - 5) * S));
            assert_eq!(arrival.silent(second * S), 0);
        }
        assert_eq!(arrival.coming(119, 22 * S), Some(17 * S)); // it stands still, and is not whole
        assert_eq!(arrival.silent(22 * S), 3 * S);
        arrival.whole(200, 23 * S);
        assert_eq!(arrival.coming(200, 24 * S), None);
        assert_eq!(arrival.silent(24 * S), S);
    }
}
