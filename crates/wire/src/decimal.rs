//! A decimal number exactly as printed: mantissa × 10^−scale, never through a float.

use std::cmp::Ordering;
use std::fmt;

/// A number as a venue printed it. `1.10` and `1.1` are equal in value ([`Decimal::value_cmp`]) and
/// differ as values of this type, because what was printed is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct Decimal {
    pub mantissa: i64,
    /// Decimal places, at most [`Decimal::MAX_SCALE`].
    pub scale: u8,
}

/// Why text is not a number that can be stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecimalError {
    /// Not a JSON number: empty, NaN, Infinity, a stray sign or letter, a leading zero, …
    Syntax,
    /// The digits do not fit 64 bits at a scale of 0–18, even without trailing zeros.
    Range,
}

impl fmt::Display for DecimalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Syntax => "not a decimal number",
            Self::Range => "does not fit 18 digits",
        })
    }
}

impl std::error::Error for DecimalError {}

const POWERS: [i64; 19] = {
    let mut powers = [1i64; 19];
    let mut i = 1;
    while i < 19 {
        powers[i] = powers[i - 1] * 10;
        i += 1;
    }
    powers
};

impl Decimal {
    /// 10^18 is the largest power of ten that fits the mantissa.
    pub const MAX_SCALE: u8 = 18;
    pub const ZERO: Decimal = Decimal {
        mantissa: 0,
        scale: 0,
    };

    pub const fn new(mantissa: i64, scale: u8) -> Self {
        Self { mantissa, scale }
    }

    /// Reads a number by the grammar of JSON (RFC 8259), exponents included. Scale and digits are
    /// kept as printed; when the printed digits do not fit, trailing zeros go first. `-0` is refused
    /// because no venue means it and equality would differ from `0`.
    pub fn parse(text: &[u8]) -> Result<Self, DecimalError> {
        let (negative, digits) = match text {
            [b'-', rest @ ..] => (true, rest),
            _ => (false, text),
        };
        let mut mantissa: u64 = 0;
        let mut fraction: i32 = 0; // digits read after the point
        let mut spare: i32 = 0; // trailing zeros held back because the mantissa is near its bound
        let mut seen_point = false;
        let mut whole_digits = 0usize;
        let mut fraction_digits = 0usize;
        let mut at = 0;
        while at < digits.len() {
            let byte = digits[at];
            match byte {
                b'0'..=b'9' => {
                    if seen_point {
                        fraction_digits += 1;
                        fraction += 1;
                    } else {
                        whole_digits += 1;
                        if whole_digits == 2 && digits[0] == b'0' {
                            return Err(DecimalError::Syntax);
                        }
                    }
                    let digit = u64::from(byte - b'0');
                    let widened =
                        u128::from(mantissa) * 10u128.pow(spare.min(20) as u32 + 1) + u128::from(digit);
                    if digit == 0 && (spare > 0 || widened > i64::MAX as u128) {
                        spare += 1; // kept only if a later digit needs it
                    } else if widened > i64::MAX as u128 {
                        return Err(DecimalError::Range);
                    } else {
                        mantissa = widened as u64;
                        spare = 0;
                    }
                }
                b'.' if !seen_point && whole_digits > 0 => seen_point = true,
                b'e' | b'E' => break,
                _ => return Err(DecimalError::Syntax),
            }
            at += 1;
        }
        if whole_digits == 0 || (seen_point && fraction_digits == 0) {
            return Err(DecimalError::Syntax);
        }
        let exponent = if at < digits.len() {
            parse_exponent(&digits[at + 1..])?
        } else {
            0
        };
        if negative && mantissa == 0 {
            return Err(DecimalError::Syntax);
        }
        let mut value = mantissa as i64;
        if value == 0 {
            let scale = (fraction - exponent).clamp(0, Self::MAX_SCALE as i32);
            return Ok(Self {
                mantissa: 0,
                scale: scale as u8,
            });
        }
        // value × 10^spare × 10^(exponent − fraction)
        let mut scale = fraction - exponent - spare;
        while scale < 0 {
            value = value.checked_mul(10).ok_or(DecimalError::Range)?;
            scale += 1;
        }
        while scale > Self::MAX_SCALE as i32 && value % 10 == 0 {
            value /= 10;
            scale -= 1;
        }
        if scale > Self::MAX_SCALE as i32 {
            return Err(DecimalError::Range);
        }
        Ok(Self {
            mantissa: if negative { -value } else { value },
            scale: scale as u8,
        })
    }

    /// The same value at another scale; `None` when digits would be lost or do not fit.
    #[inline]
    pub fn rescale(self, scale: u8) -> Option<Self> {
        let mantissa = match scale.cmp(&self.scale) {
            Ordering::Equal => self.mantissa,
            Ordering::Greater => {
                let power = *POWERS.get((scale - self.scale) as usize)?;
                self.mantissa.checked_mul(power)?
            }
            Ordering::Less => {
                let Some(&power) = POWERS.get((self.scale - scale) as usize) else {
                    return (self.mantissa == 0).then_some(Self { mantissa: 0, scale });
                };
                if self.mantissa % power != 0 {
                    return None;
                }
                self.mantissa / power
            }
        };
        Some(Self { mantissa, scale })
    }

    /// The same value without trailing zeros: equal values have one normal form.
    #[inline]
    pub fn normal(self) -> Self {
        let Self {
            mut mantissa,
            mut scale,
        } = self;
        if mantissa == 0 {
            return Self::ZERO;
        }
        while scale > 0 && mantissa % 10 == 0 {
            mantissa /= 10;
            scale -= 1;
        }
        Self { mantissa, scale }
    }

    /// Order by value, exact whatever the scales.
    #[inline]
    pub fn value_cmp(self, other: Self) -> Ordering {
        if self.scale == other.scale {
            return self.mantissa.cmp(&other.mantissa);
        }
        let widest = self.scale.max(other.scale);
        wide(self, widest).cmp(&wide(other, widest))
    }

    #[inline]
    pub fn is_zero(self) -> bool {
        self.mantissa == 0
    }

    /// Nearest float: for statistics and drawing only, never for comparing or storing.
    pub fn to_f64(self) -> f64 {
        self.mantissa as f64 / 10f64.powi(i32::from(self.scale))
    }

    /// Appends the decimal text, exactly `scale` places.
    pub fn write(self, out: &mut Vec<u8>) {
        let mut buffer = [0u8; 48];
        let mut at = buffer.len();
        let mut rest = self.mantissa.unsigned_abs();
        let mut places = 0;
        // A scale above MAX_SCALE can only come from corrupt bytes; it is printed, not trusted.
        while rest > 0 || places <= usize::from(self.scale.min(40)) {
            if places == usize::from(self.scale.min(40)) && places > 0 {
                at -= 1;
                buffer[at] = b'.';
            }
            at -= 1;
            buffer[at] = b'0' + (rest % 10) as u8;
            rest /= 10;
            places += 1;
        }
        if self.mantissa < 0 {
            at -= 1;
            buffer[at] = b'-';
        }
        out.extend_from_slice(&buffer[at..]);
    }
}

fn wide(value: Decimal, scale: u8) -> i128 {
    // scale differences are at most 255 for corrupt input; saturate instead of overflowing
    let power = 10i128
        .checked_pow(u32::from(scale - value.scale))
        .unwrap_or(i128::MAX);
    i128::from(value.mantissa).saturating_mul(power)
}

fn parse_exponent(text: &[u8]) -> Result<i32, DecimalError> {
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, text),
    };
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return Err(DecimalError::Syntax);
    }
    let value = digits
        .iter()
        .fold(0i32, |sum, d| (sum * 10 + i32::from(d - b'0')).min(100_000));
    Ok(if negative { -value } else { value })
}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = Vec::with_capacity(24);
        self.write(&mut text);
        f.write_str(std::str::from_utf8(&text).unwrap_or("?"))
    }
}

impl std::str::FromStr for Decimal {
    type Err = DecimalError;

    fn from_str(text: &str) -> Result<Self, DecimalError> {
        Self::parse(text.as_bytes())
    }
}
