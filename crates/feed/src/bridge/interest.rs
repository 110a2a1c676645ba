//! What a subscription wants of one venue: instruments, channels, depth.

/// What a subscription wants of one venue.
#[derive(Clone, Debug)]
pub struct Interest {
    pub instruments: Instruments,
    /// Bits of [`channel_bit`].
    pub channels: u8,
    /// Levels of each side that a book shows.
    pub depth: u16,
}

/// Which instruments of a venue, by their numbers inside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Instruments {
    /// Those to come as well.
    All,
    Some(Vec<u64>),
}

impl Instruments {
    pub fn some(numbers: impl IntoIterator<Item = u32>) -> Self {
        let mut words = Vec::new();
        for number in numbers {
            let at = number as usize / 64;
            if words.len() <= at {
                words.resize(at + 1, 0);
            }
            words[at] |= 1 << (number % 64);
        }
        Self::Some(words)
    }

    /// 0 is the whole venue, and concerns everyone.
    #[inline]
    pub fn has(&self, number: u32) -> bool {
        match self {
            Self::All => true,
            Self::Some(words) => {
                number == 0
                    || words
                        .get(number as usize / 64)
                        .is_some_and(|word| word >> (number % 64) & 1 == 1)
            }
        }
    }
}
