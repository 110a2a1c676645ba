//! When US stocks trade: the zone of New York, sessions, and the days without one, all by rule.
//!
//! Sources: the Energy Policy Act of 2005 (daylight saving time) and NYSE Rule 7.2 (holidays). Days that were
//! closed for one occasion only are not known here.

use crate::number::{civil, days_of};

pub const SECOND_NS: i64 = 1_000_000_000;
pub const MINUTE_NS: i64 = 60 * SECOND_NS;
pub const HOUR_NS: i64 = 60 * MINUTE_NS;
pub const DAY_NS: i64 = 24 * HOUR_NS;

/// 0 = Sunday … 6 = Saturday of a number of days since 1970-01-01, a Thursday.
pub fn weekday(day: i64) -> i64 {
    (day + 4).rem_euclid(7)
}

/// The `nth` (from 1) of a weekday in a month.
fn nth(year: i64, month: u32, wanted: i64, nth: i64) -> i64 {
    let first = days_of(year, month, 1);
    first + (wanted - weekday(first)).rem_euclid(7) + 7 * (nth - 1)
}

/// The last of a weekday in a month of 31 days.
fn last(year: i64, month: u32, wanted: i64) -> i64 {
    let end = days_of(year, month, 31);
    end - (weekday(end) - wanted).rem_euclid(7)
}

/// What New York's clocks are ahead of UTC (a negative number), ns.
pub fn offset_ns(utc_ns: i64) -> i64 {
    let (year, ..) = civil(utc_ns.div_euclid(DAY_NS));
    let (begin, end) = if year >= 2007 {
        (nth(year, 3, 0, 2), nth(year, 11, 0, 1))
    } else {
        (nth(year, 4, 0, 1), last(year, 10, 0))
    };
    // 02:00 by the clock of the time before.
    let is_summer = (begin * DAY_NS + 7 * HOUR_NS..end * DAY_NS + 6 * HOUR_NS).contains(&utc_ns);
    if is_summer { -4 * HOUR_NS } else { -5 * HOUR_NS }
}

/// Days since 1970-01-01 by the calendar on a wall in New York.
pub fn local_day(utc_ns: i64) -> i64 {
    (utc_ns + offset_ns(utc_ns)).div_euclid(DAY_NS)
}

/// The moment at which a clock in New York shows that time of that day; not asked for the hour that clocks skip.
pub fn utc_ns(day: i64, clock_ns: i64) -> i64 {
    let local = day * DAY_NS + clock_ns;
    // The offset changes by night, hours away from any session: the second guess is right.
    let guess = local - offset_ns(local);
    local - offset_ns(guess)
}

/// A day's trading, UTC ns: from `pre` to `end`, the regular part from `open` to `close`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Session {
    pub day: i64,
    pub pre: i64,
    pub open: i64,
    pub close: i64,
    pub end: i64,
}

impl Session {
    pub fn is_regular(&self, ns: i64) -> bool {
        (self.open..self.close).contains(&ns)
    }
}

/// The session of a day; `None` on weekends and holidays.
pub fn session(day: i64) -> Option<Session> {
    if matches!(weekday(day), 0 | 6) || is_holiday(day) {
        return None;
    }
    let short = is_short(day);
    Some(Session {
        day,
        pre: utc_ns(day, 4 * HOUR_NS),
        open: utc_ns(day, 9 * HOUR_NS + HOUR_NS / 2),
        close: utc_ns(day, if short { 13 } else { 16 } * HOUR_NS),
        end: utc_ns(day, if short { 17 } else { 20 } * HOUR_NS),
    })
}

/// The day a holiday of a fixed date is kept: Friday for Saturday, Monday for Sunday.
fn observed(day: i64) -> i64 {
    match weekday(day) {
        6 => day - 1,
        0 => day + 1,
        _ => day,
    }
}

/// Easter Sunday (the anonymous Gregorian algorithm).
fn easter(year: i64) -> i64 {
    let (a, b, c) = (year % 19, year / 100, year % 100);
    let d = (19 * a + b - b / 4 - (b - (b + 8) / 25 + 1) / 3 + 15) % 30;
    let e = (32 + 2 * (b % 4) + 2 * (c / 4) - d - c % 4) % 7;
    let f = d + e - 7 * ((a + 11 * d + 22 * e) / 451) + 114;
    days_of(year, (f / 31) as u32, (f % 31 + 1) as u32)
}

fn is_holiday(day: i64) -> bool {
    let (year, month, _) = civil(day);
    let new_year = days_of(year, 1, 1);
    match month {
        // A New Year's Day on a Saturday is not made up for on the Friday, which ends a year's books.
        1 => day == nth(year, 1, 1, 3) || (weekday(new_year) != 6 && day == observed(new_year)),
        2 => day == nth(year, 2, 1, 3),
        3 | 4 => day == easter(year) - 2,
        5 => day == last(year, 5, 1),
        6 => year >= 2022 && day == observed(days_of(year, 6, 19)),
        7 => day == observed(days_of(year, 7, 4)),
        9 => day == nth(year, 9, 1, 1),
        11 => day == nth(year, 11, 4, 4),
        12 => day == observed(days_of(year, 12, 25)),
        _ => false,
    }
}

/// Days that end at 13:00: before Independence Day and Christmas, after Thanksgiving.
fn is_short(day: i64) -> bool {
    let (year, month, date) = civil(day);
    match month {
        7 => date == 3 && weekday(day) != 5,
        11 => day == nth(year, 11, 4, 4) + 1,
        12 => date == 24,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holidays(year: i64) -> Vec<(u32, u32)> {
        (days_of(year, 1, 1)..days_of(year + 1, 1, 1))
            .filter(|day| !matches!(weekday(*day), 0 | 6) && session(*day).is_none())
            .map(|day| (civil(day).1, civil(day).2))
            .collect()
    }

    #[test]
    fn holidays_are_those_of_the_exchange() {
        let of_2021 = [
            (1, 1),
            (1, 18),
            (2, 15),
            (4, 2),
            (5, 31),
            (7, 5),
            (9, 6),
            (11, 25),
            (12, 24),
        ];
        assert_eq!(holidays(2021), of_2021);
        // 1 January 2022 was a Saturday: no holiday at all.
        let of_2022 = [
            (1, 17),
            (2, 21),
            (4, 15),
            (5, 30),
            (6, 20),
            (7, 4),
            (9, 5),
            (11, 24),
            (12, 26),
        ];
        assert_eq!(holidays(2022), of_2022);
        let of_2024 = [
            (1, 1),
            (1, 15),
            (2, 19),
            (3, 29),
            (5, 27),
            (6, 19),
            (7, 4),
            (9, 2),
            (11, 28),
            (12, 25),
        ];
        assert_eq!(holidays(2024), of_2024);
    }

    #[test]
    fn clocks_change_as_the_law_says() {
        // 2024-03-10 07:00 UTC and 2024-11-03 06:00 UTC
        for (at, before, after) in [(1_710_054_000, -5, -4), (1_730_613_600, -4, -5)] {
            assert_eq!(offset_ns((at - 1) * SECOND_NS), before * HOUR_NS);
            assert_eq!(offset_ns(at * SECOND_NS), after * HOUR_NS);
        }
        let length = |day| utc_ns(day + 1, 0) - utc_ns(day, 0);
        assert_eq!(length(days_of(2024, 3, 10)), 23 * HOUR_NS);
        assert_eq!(length(days_of(2024, 11, 3)), 25 * HOUR_NS);
        assert_eq!(length(days_of(2024, 11, 4)), 24 * HOUR_NS);
        assert_eq!(length(days_of(2006, 4, 2)), 23 * HOUR_NS);
        assert_eq!(length(days_of(2006, 10, 29)), 25 * HOUR_NS);
    }

    #[test]
    fn sessions_follow_the_clock_of_new_york() {
        let winter = session(days_of(2024, 1, 2)).unwrap();
        assert_eq!(winter.open, 1_704_205_800 * SECOND_NS); // 14:30 UTC
        let summer = session(days_of(2024, 7, 2)).unwrap();
        assert_eq!(summer.open, 1_719_927_000 * SECOND_NS); // 13:30 UTC
        assert_eq!(summer.end - summer.pre, 16 * HOUR_NS);
        let short = session(days_of(2024, 7, 3)).unwrap();
        assert_eq!(short.close - short.open, 3 * HOUR_NS + HOUR_NS / 2);
        assert_eq!(local_day(summer.pre), days_of(2024, 7, 2));
        assert_eq!(local_day(summer.end - 1), days_of(2024, 7, 2));
    }
}
