//! How IQFeed prints: Eastern wall time without a zone, prices with four decimals or more, fields by commas.

use crate::number::{civil, days_of, push_fixed, push_time_bare};
use crate::providers::calendar::{HOUR_NS, MINUTE_NS, SECOND_NS, offset_ns, utc_ns};
use crate::providers::world::{Asset, Class, Trade};

/// As IQFeed spells it: no slash.
pub fn symbol(asset: &Asset) -> String {
    asset.symbol.replace('/', "")
}

pub fn price(asset: &Asset, mantissa: i64) -> String {
    let mut text = String::new();
    push_fixed(&mut text, mantissa.into(), asset.price_scale, asset.price_scale);
    text
}

/// Shares are whole numbers; sizes of crypto have decimals.
pub fn size(asset: &Asset, mantissa: i64) -> String {
    let mut text = String::new();
    push_fixed(&mut text, mantissa.into(), asset.size_scale, asset.size_scale);
    text
}

/// `2018-04-17 17:51:22.123456`; the rest of the microsecond is cut.
pub fn stamp(ns: i64, digits: u8) -> String {
    let mut text = String::new();
    push_time_bare(&mut text, ns + offset_ns(ns), digits, ' ');
    text
}

/// `20180709 14:18:31`.
pub fn compact(ns: i64) -> String {
    let text = stamp(ns, 0);
    format!("{}{}{}", &text[..4], &text[5..7], &text[8..])
}

/// `04/17/2018`.
pub fn slashed(ns: i64) -> String {
    let text = stamp(ns, 0);
    format!("{}/{}/{}", &text[5..7], &text[8..10], &text[..4])
}

/// `2018-04-27` of a number of days.
pub fn date(day: i64) -> String {
    let (year, month, date) = civil(day);
    format!("{year:04}-{month:02}-{date:02}")
}

/// `Nov 20 09:31AM`.
pub fn month_day(ns: i64) -> String {
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let text = stamp(ns, 0);
    let number = |from: usize| text[from..from + 2].parse::<usize>().unwrap_or(1);
    let (hour, half) = (number(11), if number(11) < 12 { "AM" } else { "PM" });
    let hour = if hour % 12 == 0 { 12 } else { hour % 12 };
    format!(
        "{} {} {hour:02}:{}{half}",
        MONTHS[(number(5) - 1) % 12],
        &text[8..10],
        &text[14..16]
    )
}

/// Days since 1970-01-01 of `YYYYMMDD`.
pub fn parse_date(text: &str) -> Option<i64> {
    let is_date = text.len() == 8 && text.bytes().all(|byte| byte.is_ascii_digit());
    let (year, month, date) = (text.get(..4)?, text.get(4..6)?, text.get(6..)?);
    let (year, month, date) = (year.parse().ok()?, month.parse().ok()?, date.parse().ok()?);
    let day = is_date.then(|| days_of(year, month, date))?;
    ((1..=12).contains(&month) && civil(day) == (year, month, date)).then_some(day)
}

/// ns since midnight of `HHMMSS`.
pub fn parse_clock(text: &str) -> Option<i64> {
    let is_clock = text.len() == 6 && text.bytes().all(|byte| byte.is_ascii_digit());
    let number = |from: usize| text.get(from..from + 2)?.parse::<i64>().ok();
    let (hour, minute, second) = (number(0)?, number(2)?, number(4)?);
    (is_clock && hour < 24 && minute < 60 && second < 60)
        .then_some(hour * HOUR_NS + minute * MINUTE_NS + second * SECOND_NS)
}

/// UTC ns of `YYYYMMDD HHMMSS`, or of the begin of `YYYYMMDD`.
pub fn parse_moment(text: &str) -> Option<i64> {
    let (date, clock) = text.split_once(' ').unwrap_or((text, "000000"));
    Some(utc_ns(parse_date(date)?, parse_clock(clock)?))
}

/// C where the trade counts in the last price, E where it does so in extended hours only, O where not.
pub fn basis(trade: &Trade) -> char {
    match (trade.counts(), trade.conditions.extended) {
        (false, _) => 'O',
        (true, true) => 'E',
        (true, false) => 'C',
    }
}

/// Pairs of hexadecimal digits: odd lot 87, sweep 3D, out of sequence 14, average 0B, extended hours 17.
pub fn conditions(trade: &Trade) -> String {
    let said = trade.conditions;
    let codes: String = [
        (said.odd_lot, "87"),
        (said.sweep, "3D"),
        (said.late, "14"),
        (said.average, "0B"),
        (said.extended, "17"),
    ]
    .iter()
    .filter(|(is_so, _)| *is_so)
    .map(|(_, code)| *code)
    .collect();
    // 01 is a regular trade.
    if codes.is_empty() { "01".to_owned() } else { codes }
}

/// The number of the place where it was made.
pub fn center(exchange: char) -> u8 {
    match exchange {
        'N' => 7,
        'P' => 11,
        'Q' => 5,
        'V' => 25,
        'Z' => 19,
        _ => 38,
    }
}

/// 1 buy, 2 sell.
pub fn aggressor(trade: &Trade) -> char {
    if trade.is_buy { '1' } else { '2' }
}

/// IQFeed's number for the kind of thing, and the market where it is listed.
pub fn kind(asset: &Asset) -> (u8, u8) {
    match asset.class {
        Class::Stock | Class::Test => (1, if asset.tape == 'C' { 5 } else { 7 }),
        Class::Crypto => (16, 74),
    }
}
