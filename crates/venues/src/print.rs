//! The quick way through messages printed exactly as a venue always prints them.
//!
//! A venue's program prints the same keys in the same order millions of times, so its hottest messages are
//! first compared with that print; what stands between the literals is read in place. Any deviation gives
//! `None`, nothing has happened, and the general scanner decides: the quick way is never the only one, and
//! never reads what the general one would refuse.

use wire::Decimal;

use crate::json::{rfc3339_ns, string_stops};

/// Position in a message.
pub(crate) struct Print<'a> {
    text: &'a [u8],
    at: usize,
}

impl<'a> Print<'a> {
    #[inline]
    pub fn new(text: &'a [u8]) -> Self {
        Self { text, at: 0 }
    }

    /// These bytes come next.
    #[inline(always)]
    pub fn literal(&mut self, literal: &[u8]) -> Option<()> {
        let end = self.at + literal.len();
        if self.text.get(self.at..end)? == literal {
            self.at = end;
            Some(())
        } else {
            None
        }
    }

    /// Plain characters up to a quote, which is taken too. None of them needs an escape.
    #[inline(always)]
    pub fn word(&mut self) -> Option<&'a [u8]> {
        let start = self.at;
        while let Some(chunk) = self.text.get(self.at..self.at + 8) {
            let mut bytes = [0u8; 8];
            bytes.copy_from_slice(chunk);
            let stops = stops(u64::from_le_bytes(bytes));
            if stops == 0 {
                self.at += 8;
            } else {
                self.at += (stops.trailing_zeros() / 8) as usize;
                break;
            }
        }
        // the stop itself, or the last bytes of the message
        loop {
            match *self.text.get(self.at)? {
                b'"' => break,
                b'\\' | 0..b' ' | 0x80.. => return None,
                _ => self.at += 1,
            }
        }
        let word = &self.text[start..self.at];
        self.at += 1;
        Some(word)
    }

    /// Up to eight digits as a number, and how many there are.
    #[inline(always)]
    fn run(&mut self) -> Option<(u64, usize)> {
        let Some(chunk) = self.text.get(self.at..self.at + 8) else {
            return self.short_run();
        };
        let mut bytes = [0u8; 8];
        bytes.copy_from_slice(chunk);
        let digits = u64::from_le_bytes(bytes) ^ 0x3030_3030_3030_3030;
        // 0x80 in each byte that is above nine
        let other =
            (((digits & 0x7f7f_7f7f_7f7f_7f7f) + 0x7676_7676_7676_7676) | digits) & 0x8080_8080_8080_8080;
        let count = (other.trailing_zeros() / 8) as usize;
        if count == 0 {
            return Some((0, 0));
        }
        // zeros before the digits, then pairs, fours, eights
        let digits = digits << (64 - 8 * count);
        let pairs = digits * 10 + (digits >> 8);
        let value = ((pairs & 0x0000_00ff_0000_00ff).wrapping_mul(0x000f_4240_0000_0064))
            .wrapping_add(((pairs >> 16) & 0x0000_00ff_0000_00ff).wrapping_mul(0x0000_2710_0000_0001))
            >> 32;
        self.at += count;
        Some((value, count))
    }

    /// The same within the last bytes of a message.
    #[cold]
    fn short_run(&mut self) -> Option<(u64, usize)> {
        let (mut value, mut count) = (0, 0);
        while let Some(digit) = self
            .text
            .get(self.at)
            .map(|byte| byte.wrapping_sub(b'0'))
            .filter(|digit| *digit <= 9)
        {
            value = value * 10 + u64::from(digit);
            count += 1;
            self.at += 1;
        }
        Some((value, count))
    }

    /// Digits of at most 18 places as one number after `value`: the number and how many there were.
    #[inline(always)]
    fn digits(&mut self, mut value: u64, taken: usize) -> Option<(u64, usize)> {
        const POWERS: [u64; 9] = [
            1,
            10,
            100,
            1_000,
            10_000,
            100_000,
            1_000_000,
            10_000_000,
            100_000_000,
        ];
        let mut count = 0;
        loop {
            let (part, places) = self.run()?;
            count += places;
            if taken + count > 18 {
                return None;
            }
            value = value * POWERS.get(places)? + part;
            if places < 8 {
                return Some((value, count));
            }
        }
    }

    /// An unsigned whole number without leading zeros.
    #[inline(always)]
    pub fn whole(&mut self) -> Option<u64> {
        let first = *self.text.get(self.at)?;
        let (value, count) = self.digits(0, 0)?;
        (count > 0 && (count == 1 || first != b'0')).then_some(value)
    }

    /// A number above zero as venues print it.
    #[inline(always)]
    pub fn positive(&mut self) -> Option<Decimal> {
        self.number().filter(|value| value.mantissa > 0)
    }

    /// A number without sign as venues print it: digits, perhaps a point and digits.
    #[inline(always)]
    pub fn number(&mut self) -> Option<Decimal> {
        let first = *self.text.get(self.at)?;
        let (mut value, whole) = self.digits(0, 0)?;
        if whole == 0 || (whole > 1 && first == b'0') {
            return None;
        }
        let mut scale = 0;
        if self.text.get(self.at) == Some(&b'.') {
            self.at += 1;
            (value, scale) = self.digits(value, whole)?;
            if scale == 0 {
                return None;
            }
        }
        Some(Decimal {
            mantissa: value as i64, // at most 18 digits
            scale: scale as u8,
        })
    }

    /// A time up to its closing quote, which is taken too; nanoseconds.
    #[inline(always)]
    pub fn time(&mut self) -> Option<i64> {
        let rest = &self.text[self.at..];
        // microseconds nearly always, so the quote stands at byte 27
        let length = match rest.get(27) {
            Some(b'"') => 27,
            _ => rest.iter().take(40).position(|byte| *byte == b'"')?,
        };
        self.at += length + 1;
        rfc3339_ns(&rest[..length])
    }

    /// Nothing is left.
    #[inline(always)]
    pub fn end(&self) -> Option<()> {
        (self.at == self.text.len()).then_some(())
    }
}

/// A bit 0x80 in the first byte of eight (and perhaps in later ones) that is not plain ASCII text.
#[inline(always)]
fn stops(word: u64) -> u64 {
    string_stops(word) | word & 0x8080_8080_8080_8080
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn numbers_are_those_of_wire(text in "[0-9]{0,12}[.]?[0-9]{0,10}", tail in "[\",}]{0,12}") {
            let all = format!("{text}{tail}");
            let mut print = Print::new(all.as_bytes());
            let taken = print.positive();
            match (Decimal::parse(text.as_bytes()), taken) {
                (Ok(value), Some(taken)) => {
                    prop_assert_eq!(value, taken);
                    prop_assert_eq!(print.at, text.len());
                }
                (Ok(value), None) => prop_assert!(value.mantissa <= 0 || text.len() > 18, "{text}"),
                // `5.` then a comma: the digits before were a number, the point is left for the literal to refuse
                (Err(_), Some(_)) => prop_assert!(print.at < text.len(), "{text}"),
                (Err(_), None) => {}
            }
        }

        #[test]
        fn whole_numbers(value in 0u64..999_999_999_999_999_999, tail in "[,}]{0,9}") {
            let text = format!("{value}{tail}");
            let mut print = Print::new(text.as_bytes());
            prop_assert_eq!(print.whole(), Some(value));
            prop_assert!(print.literal(tail.as_bytes()).is_some());
            prop_assert!(print.end().is_some());
        }
    }
}
