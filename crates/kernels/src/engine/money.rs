//! Amounts of the quote currency: 128 bits at 18 decimal digits, never through a float.

use std::cmp::Ordering;

/// Decimal digits of every amount.
pub const DIGITS: u32 = 18;

/// One unit of the currency.
pub const ONE: i128 = 10i128.pow(DIGITS);

/// A plain decimal number such as `-12.5` as an integer at `digits` decimal digits; `None` for anything else,
/// and for digits beyond those that are not zeros.
pub fn parse(text: &str, digits: u32) -> Option<i128> {
    let (negative, text) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let plain = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if !plain(whole) || !plain(fraction) || whole.is_empty() || text.ends_with('.') {
        return None;
    }
    let (kept, beyond) = fraction.split_at(fraction.len().min(digits as usize));
    if beyond.bytes().any(|byte| byte != b'0') {
        return None;
    }
    let whole: i128 = whole.parse().ok()?;
    let missing = digits - kept.len() as u32;
    let fraction: i128 = if kept.is_empty() { 0 } else { kept.parse().ok()? };
    let value = whole
        .checked_mul(10i128.pow(digits))?
        .checked_add(fraction * 10i128.pow(missing))?;
    Some(if negative { -value } else { value })
}

/// The shortest decimal text of an amount.
pub fn text(amount: i128) -> String {
    let magnitude = amount.unsigned_abs();
    let (whole, fraction) = (magnitude / ONE as u128, magnitude % ONE as u128);
    let sign = if amount < 0 { "-" } else { "" };
    let digits = format!("{fraction:018}");
    match digits.trim_end_matches('0') {
        "" => format!("{sign}{whole}"),
        fraction => format!("{sign}{whole}.{fraction}"),
    }
}

/// The float next to an amount, to one unit in its last place.
pub fn float(amount: i128) -> f64 {
    amount as f64 / ONE as f64
}

/// The largest integer not above `value` × `numerator` / `denominator` (above 0); `None` where it does not fit.
/// The product may be wider than 128 bits as long as `numerator` × `denominator` is not.
pub fn part(value: i128, numerator: i128, denominator: i128) -> Option<i128> {
    let whole = value.div_euclid(denominator).checked_mul(numerator)?;
    let rest = value.rem_euclid(denominator).checked_mul(numerator)?;
    whole.checked_add(rest.div_euclid(denominator))
}

/// The smallest integer not below it.
pub fn part_up(value: i128, numerator: i128, denominator: i128) -> Option<i128> {
    part(value, -numerator, denominator).map(|down| -down)
}

/// `price` × `size` × `unit`, an amount.
#[inline]
pub fn product(price: i64, size: i64, unit: i64) -> Option<i128> {
    let bare = i128::from(price) * i128::from(size);
    // Nearly always: two multiplications of 64 bits instead of a checked one of 128.
    match i64::try_from(bare) {
        Ok(bare) => Some(i128::from(bare) * i128::from(unit)),
        Err(_) => bare.checked_mul(i128::from(unit)),
    }
}

/// +1, 0 or −1.
pub fn sign(value: i64) -> i64 {
    match value.cmp(&0) {
        Ordering::Less => -1,
        Ordering::Equal => 0,
        Ordering::Greater => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_read_and_written_digit_for_digit() {
        for (given, value, back) in [
            ("0", 0, "0"),
            ("1", ONE, "1"),
            ("-0.5", -ONE / 2, "-0.5"),
            ("0.000000000000000001", 1, "0.000000000000000001"),
            ("100000.10", 100_000 * ONE + ONE / 10, "100000.1"),
            ("0.1000000000000000000000", ONE / 10, "0.1"),
        ] {
            assert_eq!(parse(given, DIGITS), Some(value), "{given}");
            assert_eq!(text(value), back);
        }
        for wrong in [
            "",
            "-",
            ".",
            "1.",
            ".5",
            "1e3",
            "+1",
            "1,0",
            "--1",
            "nan",
            "0.0000000000000000001",
        ] {
            assert_eq!(parse(wrong, DIGITS), None, "{wrong}");
        }
        assert_eq!(parse("999999999999999999999999", DIGITS), None);
    }

    #[test]
    fn a_part_is_rounded_down_or_up_whatever_its_sign() {
        assert_eq!(part(7, 1, 2), Some(3));
        assert_eq!(part(-7, 1, 2), Some(-4));
        assert_eq!(part(7, -1, 2), Some(-4));
        assert_eq!(part_up(7, 1, 2), Some(4));
        assert_eq!(part_up(-7, 1, 2), Some(-3));
        assert_eq!(part_up(8, 1, 2), Some(4));
        // The product of these is wider than 128 bits.
        assert_eq!(
            part(10i128.pow(36), 10i128.pow(12), 10i128.pow(21)),
            Some(10i128.pow(27))
        );
        assert_eq!(part(i128::MAX, 3, 2), None);
    }

    #[test]
    fn a_product_never_wraps() {
        assert_eq!(product(3, -4, 10), Some(-120));
        assert_eq!(product(i64::MAX, i64::MAX, 1), Some(i128::from(i64::MAX).pow(2)));
        assert_eq!(product(i64::MAX, i64::MAX, 10), None);
    }
}
