//! How long a bar lasts, and where one begins and ends: text such as `1m` in, nanoseconds out.

use std::fmt;
use std::str::FromStr;

const SECOND: i64 = 1_000_000_000;
const DAY: i64 = 86_400 * SECOND;
/// Monday 5 January 1970, 00:00 UTC: weeks are counted from here.
const MONDAY: i64 = 4 * DAY;

/// How long a bar lasts: `<n><unit>` with unit s, m, h, d, w or mo, all UTC. Weeks start on Monday
/// 00:00, months follow the calendar (3mo are quarters), everything else counts from the epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Interval {
    /// Multiples of `length_ns` from `anchor_ns`.
    Fixed { length_ns: i64, anchor_ns: i64 },
    /// This many calendar months, counted from January of year 0.
    Months(u32),
}

/// Text that is not an interval.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IntervalError {
    pub text: String,
}

impl fmt::Display for IntervalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:?} is not an interval; write a number and a unit (s, m, h, d, w, mo), such as 1m",
            self.text
        )
    }
}

impl std::error::Error for IntervalError {}

impl Interval {
    /// A fixed length counted from the epoch; lengths below 1 ns read as 1 ns.
    pub const fn from_ns(length_ns: i64) -> Self {
        let length_ns = if length_ns < 1 { 1 } else { length_ns };
        Self::Fixed {
            length_ns,
            anchor_ns: 0,
        }
    }

    /// Start of the interval that holds `ts`. At the ends of the range of i64 it saturates.
    pub fn start(self, ts: i64) -> i64 {
        match self {
            Self::Fixed { length_ns, anchor_ns } => {
                let past = match ts.checked_sub(anchor_ns) {
                    Some(from_anchor) => from_anchor.rem_euclid(length_ns),
                    // 128 bits take ten times as long; only the ends of the range need them.
                    None => (i128::from(ts) - i128::from(anchor_ns)).rem_euclid(i128::from(length_ns)) as i64,
                };
                ts.saturating_sub(past)
            }
            Self::Months(months) => {
                let (year, month) = civil_month(ts.div_euclid(DAY));
                let index = (year * 12 + month).div_euclid(i64::from(months)) * i64::from(months);
                month_start(index)
            }
        }
    }

    /// First nanosecond after the interval that starts at `start`.
    pub fn end(self, start: i64) -> i64 {
        match self {
            Self::Fixed { length_ns, .. } => start.saturating_add(length_ns),
            Self::Months(months) => {
                let (year, month) = civil_month(start.div_euclid(DAY));
                month_start(year * 12 + month + i64::from(months))
            }
        }
    }
}

impl FromStr for Interval {
    type Err = IntervalError;

    fn from_str(text: &str) -> Result<Self, IntervalError> {
        let error = || IntervalError {
            text: text.chars().take(40).collect(),
        };
        let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let count: u32 = text[..digits].parse().map_err(|_| error())?;
        let (unit_ns, anchor_ns) = match &text[digits..] {
            "s" => (SECOND, 0),
            "m" => (60 * SECOND, 0),
            "h" => (3_600 * SECOND, 0),
            "d" => (DAY, 0),
            "w" => (7 * DAY, MONDAY),
            "mo" if (1..=1_200).contains(&count) => return Ok(Self::Months(count)),
            _ => return Err(error()),
        };
        match unit_ns.checked_mul(i64::from(count)) {
            Some(length_ns) if count > 0 => Ok(Self::Fixed { length_ns, anchor_ns }),
            _ => Err(error()),
        }
    }
}

impl fmt::Display for Interval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Months(months) => write!(f, "{months}mo"),
            Self::Fixed { length_ns, anchor_ns } if anchor_ns != 0 => write!(f, "{}w", length_ns / (7 * DAY)),
            Self::Fixed { length_ns, .. } => {
                for (unit, ns) in [
                    ("d", DAY),
                    ("h", 3_600 * SECOND),
                    ("m", 60 * SECOND),
                    ("s", SECOND),
                ] {
                    if length_ns % ns == 0 {
                        return write!(f, "{}{unit}", length_ns / ns);
                    }
                }
                write!(f, "{length_ns}ns")
            }
        }
    }
}

fn clamp(value: i128) -> i64 {
    value.clamp(i128::from(i64::MIN), i128::from(i64::MAX)) as i64
}

/// Year and month (0 to 11) of a day counted from 1 January 1970 (Gregorian, proleptic).
fn civil_month(day: i64) -> (i64, i64) {
    // Years run from March so that the leap day comes last: 146,097 days are 400 years exactly.
    let day = day + 719_468;
    let era = day.div_euclid(146_097);
    let of_era = day.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * of_year + 2) / 153;
    let month = (from_march + 2) % 12;
    let year = era * 400 + year_of_era + i64::from(month < 2);
    (year, month)
}

/// First nanosecond of a month counted from January of year 0.
fn month_start(index: i64) -> i64 {
    let (year, month) = (index.div_euclid(12), index.rem_euclid(12));
    let from_march = (month + 10) % 12;
    let year = year - i64::from(month < 2);
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let of_era =
        year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + (153 * from_march + 2).div_euclid(5);
    let day = era * 146_097 + of_era - 719_468;
    clamp(i128::from(day) * i128::from(DAY))
}
