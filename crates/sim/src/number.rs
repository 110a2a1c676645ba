//! Text of numbers and times exactly as venues print them: integers in, digits out, no float on the way.

/// Appends `mantissa × 10^−scale` with exactly `places` decimals. `places` below `scale` cuts digits, which
/// callers do only for figures that venues round too (percentages, averages).
pub fn push_fixed(out: &mut String, mantissa: i128, scale: u8, places: u8) {
    let mut digits = [0u8; 48];
    let mut at = digits.len();
    let mut rest = mantissa.unsigned_abs();
    let mut count = 0u8;
    // The hot numbers fit 64 bits, where division is several times faster than on 128.
    if let Ok(mut small) = u64::try_from(rest) {
        while small > 0 {
            at -= 1;
            digits[at] = b'0' + (small % 10) as u8;
            small /= 10;
            count += 1;
        }
    } else {
        while rest > 0 {
            at -= 1;
            digits[at] = b'0' + (rest % 10) as u8;
            rest /= 10;
            count += 1;
        }
    }
    while count <= scale {
        at -= 1;
        digits[at] = b'0';
        count += 1;
    }
    if mantissa < 0 {
        out.push('-');
    }
    let whole = usize::from(count - scale);
    let text = &digits[at..];
    push_ascii(out, &text[..whole]);
    if places > 0 {
        out.push('.');
        let fraction = &text[whole..];
        let shown = fraction.len().min(usize::from(places));
        push_ascii(out, &fraction[..shown]);
        for _ in shown..usize::from(places) {
            out.push('0');
        }
    }
}

/// Appends the number without trailing zeros (and without a point, if nothing follows it).
pub fn push_trimmed(out: &mut String, mut mantissa: i128, mut scale: u8) {
    if mantissa == 0 {
        out.push('0');
        return;
    }
    while scale > 0 && mantissa % 10 == 0 {
        mantissa /= 10;
        scale -= 1;
    }
    push_fixed(out, mantissa, scale, scale);
}

fn push_ascii(out: &mut String, digits: &[u8]) {
    for digit in digits {
        out.push(char::from(*digit));
    }
}

/// Appends `100 × part / whole` with `places` decimals.
pub fn push_percent(out: &mut String, part: i64, whole: i64, places: u8) {
    let scaled = i128::from(part) * 100 * 10i128.pow(u32::from(places));
    push_fixed(out, scaled / i128::from(whole.max(1)), places, places);
}

/// Appends an integer.
pub fn push_int(out: &mut String, value: i64) {
    push_fixed(out, i128::from(value), 0, 0);
}

/// Appends an unsigned integer.
pub fn push_uint(out: &mut String, value: u64) {
    push_fixed(out, i128::from(value), 0, 0);
}

/// Year, month, day of a number of days since 1970-01-01 (Howard Hinnant's civil calendar algorithm).
pub fn civil(days: i64) -> (i64, u32, u32) {
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let day_of_era = z.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = (day_of_year - (153 * shifted_month + 2) / 5 + 1) as u32;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    } as u32;
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

/// Days since 1970-01-01 of a date.
pub fn days_of(year: i64, month: u32, day: u32) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let shifted_month = i64::from(if month > 2 { month - 3 } else { month + 9 });
    let day_of_year = (153 * shifted_month + 2) / 5 + i64::from(day) - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

fn push_padded(out: &mut String, value: u32, width: usize) {
    let mut divisor = 10u32.pow(width as u32 - 1);
    while divisor > 0 {
        out.push(char::from(b'0' + (value / divisor % 10) as u8));
        divisor /= 10;
    }
}

/// Appends `2026-08-09T21:05:48.483587` of nanoseconds since the epoch, without a zone, with `digits`
/// decimals of the second (cut, not rounded).
pub fn push_time_bare(out: &mut String, ns: i64, digits: u8, separator: char) {
    let seconds = ns.div_euclid(1_000_000_000);
    let (year, month, day) = civil(seconds.div_euclid(86_400));
    let second_of_day = seconds.rem_euclid(86_400) as u32;
    push_padded(out, year as u32, 4);
    out.push('-');
    push_padded(out, month, 2);
    out.push('-');
    push_padded(out, day, 2);
    out.push(separator);
    push_padded(out, second_of_day / 3600, 2);
    out.push(':');
    push_padded(out, second_of_day / 60 % 60, 2);
    out.push(':');
    push_padded(out, second_of_day % 60, 2);
    if digits > 0 {
        out.push('.');
        let fraction = ns.rem_euclid(1_000_000_000) as u32 / 10u32.pow(9 - u32::from(digits.min(9)));
        push_padded(out, fraction, usize::from(digits.min(9)));
    }
}

/// Appends an RFC 3339 time in UTC (`…Z`).
pub fn push_time(out: &mut String, ns: i64, digits: u8) {
    push_time_bare(out, ns, digits, 'T');
    out.push('Z');
}

/// Appends an RFC 3339 time in UTC whose fraction has no trailing zeros, as Coinbase prints event times.
pub fn push_time_trimmed(out: &mut String, ns: i64) {
    push_time_bare(out, ns, 6, 'T');
    while out.ends_with('0') {
        out.pop();
    }
    if out.ends_with('.') {
        out.pop();
    }
    out.push('Z');
}

/// Nanoseconds of a time from 1970 on, given as unix seconds (with or without decimals) or as RFC 3339 in UTC.
/// `None` for other text, other zones, and times that 64 bits do not reach.
pub fn parse_time(text: &str) -> Option<i64> {
    let ns = parse_seconds(text).or_else(|| parse_calendar(text))?;
    (ns >= 0).then_some(ns)
}

fn parse_seconds(text: &str) -> Option<i64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let whole: i64 = whole.parse().ok()?;
    whole
        .checked_mul(1_000_000_000)?
        .checked_add(parse_fraction(fraction)?)
}

fn parse_calendar(text: &str) -> Option<i64> {
    let (date, rest) = (text.get(..10)?, text.get(10..)?);
    let mut parts = date.split('-');
    let year: i64 = parts.next()?.parse().ok()?;
    let month: u32 = parts.next()?.parse().ok().filter(|m| (1..=12).contains(m))?;
    let day: u32 = parts.next()?.parse().ok().filter(|d| (1..=31).contains(d))?;
    let mut ns = days_of(year, month, day).checked_mul(86_400_000_000_000)?;
    let clock = rest.strip_prefix(['T', 't', ' ']).unwrap_or(rest);
    let clock = clock
        .strip_suffix(['Z', 'z'])
        .or_else(|| clock.strip_suffix("+00:00"))
        .unwrap_or(clock);
    if clock.is_empty() {
        return Some(ns);
    }
    let (clock, fraction) = clock.split_once('.').unwrap_or((clock, "0"));
    let mut units = [
        (3_600_000_000_000i64, 24),
        (60_000_000_000, 60),
        (1_000_000_000, 61),
    ]
    .into_iter();
    for part in clock.split(':') {
        let (unit, below) = units.next()?;
        let value = part.parse::<u32>().ok().filter(|value| *value < below)?;
        ns = ns.checked_add(i64::from(value) * unit)?;
    }
    ns.checked_add(parse_fraction(fraction)?)
}

/// Nanoseconds of the digits after a second's point; those beyond the ninth are cut.
fn parse_fraction(digits: &str) -> Option<i64> {
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let nine = digits.bytes().chain(std::iter::repeat(b'0')).take(9);
    Some(nine.fold(0, |ns, digit| ns * 10 + i64::from(digit - b'0')))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fixed(mantissa: i128, scale: u8, places: u8) -> String {
        let mut out = String::new();
        push_fixed(&mut out, mantissa, scale, places);
        out
    }

    #[test]
    fn prints_every_digit() {
        assert_eq!(fixed(100_000, 8, 8), "0.00100000");
        assert_eq!(fixed(452_852, 1, 1), "45285.2");
        assert_eq!(fixed(123, 10, 10), "0.0000000123");
        assert_eq!(fixed(1_000_000_000_000, 0, 8), "1000000000000.00000000");
        assert_eq!(fixed(-25, 2, 2), "-0.25");
        assert_eq!(fixed(0, 2, 2), "0.00");
        assert_eq!(fixed(12_345, 3, 1), "12.3");
        assert_eq!(
            fixed(170_141_183_460_469_231_731_687_303_715, 8, 8),
            "1701411834604692317316.87303715"
        );
    }

    #[test]
    fn trims() {
        for (mantissa, scale, expected) in [
            (2186i128, 6u8, "0.002186"),
            (650_625, 1, "65062.5"),
            (100, 2, "1"),
            (0, 8, "0"),
        ] {
            let mut out = String::new();
            push_trimmed(&mut out, mantissa * 100, scale + 2);
            assert_eq!(out, expected);
        }
    }

    #[test]
    fn what_is_no_time_is_none() {
        for text in [
            "yesterday",
            "",
            "9999-12-31T00:00:00Z",
            "99999999999",
            "-1",
            "1969-12-31T23:59:59Z",
            "2026-08-09T21:05:48+05:30",
            "2026-08-09T25:05:48Z",
            "2026-08-09T21:05:48.x",
            "2026-08-09T9999999999999:05:48Z",
            "2026-08-09T21:05:48:00Z",
            "2026-08-0\u{e9}T",
        ] {
            assert_eq!(parse_time(text), None, "{text}");
        }
    }

    #[test]
    fn times_round_trip() {
        let mut out = String::new();
        push_time(&mut out, 1_786_309_548_483_587_501, 9);
        assert_eq!(out, "2026-08-09T21:05:48.483587501Z");
        assert_eq!(parse_time(&out), Some(1_786_309_548_483_587_501));
        assert_eq!(
            parse_time("2026-08-09T21:05:48Z"),
            Some(1_786_309_548_000_000_000)
        );
        assert_eq!(
            parse_time("2026-08-09T21:05:48+00:00"),
            Some(1_786_309_548_000_000_000)
        );
        assert_eq!(parse_time("1786309548"), Some(1_786_309_548_000_000_000));
        assert_eq!(parse_time("1786309548.25"), Some(1_786_309_548_250_000_000));
        assert_eq!(parse_time("2026-08-09"), Some(1_786_233_600_000_000_000));
        out.clear();
        push_time_trimmed(&mut out, 1_786_309_548_278_410_000);
        assert_eq!(out, "2026-08-09T21:05:48.27841Z");
        for days in (-800_000..800_000).step_by(97) {
            let (year, month, day) = civil(days);
            assert_eq!(days_of(year, month, day), days);
        }
    }
}
