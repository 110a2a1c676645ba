//! US Eastern wall time as UTC nanoseconds: pure, by the rule in force since 2007 (clocks go forward on the second
//! Sunday of March at 02:00 and back on the first of November at 02:00).

const S: i64 = 1_000_000_000;
const HOUR: i64 = 3_600 * S;
const DAY: i64 = 24 * HOUR;
/// Clocks of two machines differ: a time of the day so little ahead of ours is still today's.
const AHEAD: i64 = 60 * S;

/// Days since 1970-01-01; `None` where there is no such date between 1970 and 2200.
pub(crate) fn days(year: i64, month: i64, day: i64) -> Option<i64> {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let most = match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    if !(1970..=2200).contains(&year) || !(1..=most).contains(&day) {
        return None;
    }
    let years = if month <= 2 { year - 1 } else { year };
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    Some(years * 365 + years / 4 - years / 100 + years / 400 + of_year - 719_468)
}

/// Year of a day since 1970-01-01.
fn year_of(day: i64) -> i64 {
    let guess = 1970 + day.div_euclid(366);
    // at most a year short for each 366 years
    (guess..)
        .find(|year| days(year + 1, 1, 1).is_none_or(|next| next > day))
        .unwrap_or(guess)
}

/// The `n`th Sunday of a month, from 1, days since 1970-01-01.
fn sunday(year: i64, month: i64, n: i64) -> Option<i64> {
    let first = days(year, month, 1)?;
    // 1970-01-01 was a Thursday
    let weekday = (first + 4).rem_euclid(7);
    Some(first + (7 - weekday) % 7 + 7 * (n - 1))
}

/// UTC nanoseconds of a wall time: a day and nanoseconds within it. The hour that comes twice in November is the
/// one nearer to `now`; the hour that March leaves out is read as if the clock had not yet gone forward.
pub(crate) fn utc_ns(day: i64, within: i64, now: i64) -> Option<i64> {
    let year = year_of(day);
    let wall = day * DAY + within;
    let forward = sunday(year, 3, 2)? * DAY + 3 * HOUR;
    let back = sunday(year, 11, 1)? * DAY + HOUR;
    let (summer, winter) = (wall + 4 * HOUR, wall + 5 * HOUR);
    Some(if wall < forward || wall >= back + HOUR {
        winter
    } else if wall < back || (summer - now).abs() <= (winter - now).abs() {
        summer
    } else {
        winter
    })
}

/// UTC nanoseconds of a time of the day that came without its date: the newest one that is not ahead of `now`.
pub(crate) fn utc_ns_of_today(within: i64, now: i64) -> Option<i64> {
    let today = (now - 4 * HOUR).div_euclid(DAY);
    (today - 1..=today + 1)
        .rev()
        .filter_map(|day| utc_ns(day, within, now))
        .find(|&ns| ns <= now + AHEAD)
}

fn number(text: &[u8]) -> Option<i64> {
    let digits = !text.is_empty() && text.len() <= 9 && text.iter().all(u8::is_ascii_digit);
    digits.then(|| {
        text.iter()
            .fold(0, |value, digit| value * 10 + i64::from(digit - b'0'))
    })
}

/// `04/17/2018` as days since 1970-01-01.
pub(crate) fn slashed(text: &[u8]) -> Option<i64> {
    match text {
        [month @ .., b'/', d1, d2, b'/', y1, y2, y3, y4] => days(
            number(&[*y1, *y2, *y3, *y4])?,
            number(month)?,
            number(&[*d1, *d2])?,
        ),
        _ => None,
    }
}

/// `17:51:22.123456`, with up to nine decimals or none, as nanoseconds since midnight.
pub(crate) fn clock(text: &[u8]) -> Option<i64> {
    let (whole, decimals) = text.split_at_checked(8)?;
    let [h1, h2, b':', m1, m2, b':', s1, s2] = whole else {
        return None;
    };
    let (hour, minute, second) = (number(&[*h1, *h2])?, number(&[*m1, *m2])?, number(&[*s1, *s2])?);
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let nanos = match decimals {
        [] => 0,
        [b'.', digits @ ..] => number(digits)? * 10i64.pow(9 - digits.len() as u32),
        _ => return None,
    };
    Some(hour * HOUR + minute * 60 * S + second * S + nanos)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(date: &str, time: &str, now: i64) -> Option<i64> {
        utc_ns(slashed(date.as_bytes())?, clock(time.as_bytes())?, now)
    }

    /// UTC of `2024-07-02 14:00:00` and so on.
    fn utc(year: i64, month: i64, day: i64, hour: i64, minute: i64) -> i64 {
        days(year, month, day).unwrap() * DAY + hour * HOUR + minute * 60 * S
    }

    #[test]
    fn golden() {
        // Tuesday, 2 July 2024, 10:00 in New York.
        assert_eq!(at("07/02/2024", "10:00:00", 0), Some(1_719_928_800 * S));
        assert_eq!(
            at("03/30/2021", "19:59:14.503633", 0),
            Some(utc(2021, 3, 30, 23, 59) + 14_503_633_000)
        );
        assert_eq!(
            at("11/30/2026", "09:30:00.000001", 0),
            Some(utc(2026, 11, 30, 14, 30) + 1_000)
        );
        // clocks go forward on 10 March 2024 …
        assert_eq!(
            at("03/10/2024", "01:59:59", 0),
            Some(utc(2024, 3, 10, 6, 59) + 59 * S)
        );
        assert_eq!(at("03/10/2024", "03:00:00", 0), Some(utc(2024, 3, 10, 7, 0)));
        assert_eq!(at("03/10/2024", "02:30:00", 0), Some(utc(2024, 3, 10, 7, 30))); // nobody's time
        // … and back on 3 November 2024
        assert_eq!(
            at("11/03/2024", "00:59:59", 0),
            Some(utc(2024, 11, 3, 4, 59) + 59 * S)
        );
        let (first, second) = (utc(2024, 11, 3, 5, 30), utc(2024, 11, 3, 6, 30));
        assert_eq!(at("11/03/2024", "01:30:00", first + S), Some(first));
        assert_eq!(at("11/03/2024", "01:30:00", second + S), Some(second));
        assert_eq!(at("11/03/2024", "02:00:00", first), Some(utc(2024, 11, 3, 7, 0)));
        assert_eq!(
            at("12/31/2024", "23:59:59", 0),
            Some(utc(2025, 1, 1, 4, 59) + 59 * S)
        );
    }

    #[test]
    fn a_time_without_its_date_is_the_newest_that_was() {
        let now = utc(2026, 11, 30, 2, 30); // 21:30 of the 29th in New York
        let of = |time: &str, now| utc_ns_of_today(clock(time.as_bytes()).unwrap(), now).unwrap();
        assert_eq!(of("21:29:59.5", now), now - S / 2);
        assert_eq!(of("21:30:30", now), now + 30 * S); // their clock is ahead of ours
        assert_eq!(of("21:45:00", now), now - DAY + 15 * 60 * S);
        let midnight = utc(2026, 11, 30, 5, 0);
        assert_eq!(of("23:59:59", midnight + S), midnight - S);
        assert_eq!(of("00:00:00", midnight + S), midnight);
    }

    #[test]
    fn what_is_no_time() {
        for date in [
            "",
            "2/3",
            "02/30/2024",
            "13/01/2024",
            "02-03-2024",
            "00/10/2024",
            "02/03/1969",
        ] {
            assert_eq!(slashed(date.as_bytes()), None, "{date}");
        }
        for time in [
            "",
            "9:30:00",
            "24:00:00",
            "09:60:00",
            "09:30:60",
            "09:30:00.",
            "09:30:00,5",
            "09:30:00.1234567890",
        ] {
            assert_eq!(clock(time.as_bytes()), None, "{time}");
        }
    }

    proptest! {
        /// Wall time never jumps but where clocks are set, and a day's length is 23, 24 or 25 hours.
        #[test]
        fn days_are_whole(day in 13_514i64..84_000) {
            let begin = utc_ns(day, 0, 0).unwrap();
            let length = utc_ns(day + 1, 0, 0).unwrap() - begin;
            let year = year_of(day);
            let wanted = if Some(day) == sunday(year, 3, 2) {
                23
            } else if Some(day) == sunday(year, 11, 1) {
                25
            } else {
                24
            };
            prop_assert_eq!(length, wanted * HOUR);
        }

        #[test]
        fn dates_rise(year in 1970i64..2200, month in 1i64..=12, day in 1i64..=31) {
            if let Some(found) = days(year, month, day) {
                prop_assert_eq!(year_of(found), year);
                let text = format!("{month:02}/{day:02}/{year}");
                prop_assert_eq!(slashed(text.as_bytes()), Some(found));
            }
        }

        #[test]
        fn never_panics(text in proptest::collection::vec(any::<u8>(), 0..20), now: i64) {
            let _ = (slashed(&text), clock(&text), utc_ns_of_today(0, now / 4));
        }
    }
}
