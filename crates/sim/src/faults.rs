//! Faults on command: what can go wrong at a venue, bounded in time and number, and what each one did.
//!
//! A fault changes what clients see, never what the venue did: the truth log goes on as if nothing had happened
//! (`clock_skew` apart, which is a venue that prints wrong times).

use crate::hub::{Channel, Class};
use serde::Deserialize;
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use tokio_tungstenite::tungstenite::Utf8Bytes;

/// What can be broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Mute,
    Silent,
    HalfOpen,
    Cut,
    Drop,
    Duplicate,
    Reorder,
    BadChecksum,
    StaleSnapshot,
    Malformed,
    Truncated,
    Oversize,
    Rest429,
    Rest418,
    Refuse,
    ClockSkew,
    SlowDrip,
    End,
}

/// One line of the catalogue: `GET /faults` prints it, and requests are checked against it.
pub struct Entry {
    pub kind: Kind,
    pub name: &'static str,
    pub does: &'static str,
    pub parameters: &'static [Parameter],
}

/// A parameter of a fault with its bounds (numbers) or its choices (text).
pub struct Parameter {
    pub name: &'static str,
    pub meaning: &'static str,
    /// Lowest, default and highest value of a number; `None` for text.
    pub range: Option<(f64, f64, f64)>,
}

const INSTRUMENT: Parameter = Parameter {
    name: "instrument",
    meaning: "only this instrument (name, id or the venue's symbol); default all",
    range: None,
};
const CHANNEL: Parameter = Parameter {
    name: "channel",
    meaning: "only this channel: trades, book, quotes, bars, heartbeat or control; default trades, book, quotes and bars",
    range: None,
};
const STYLE: Parameter = Parameter {
    name: "style",
    meaning: "syntax (default), nan, infinity, exponent, negative_zero, empty, type, nesting or bom",
    range: None,
};

const fn number(name: &'static str, meaning: &'static str, low: f64, default: f64, high: f64) -> Parameter {
    Parameter {
        name,
        meaning,
        range: Some((low, default, high)),
    }
}

const fn seconds(default: f64) -> Parameter {
    number("seconds", "how long it lasts", 0.01, default, 3600.0)
}

const fn count(default: f64) -> Parameter {
    number(
        "count",
        "how many messages (or answers) it hits",
        1.0,
        default,
        1e6,
    )
}

/// Faults of one venue at a time.
pub const ACTIVE_MAX: usize = 64;
/// A counted fault that finds nothing to hit ends after this time anyway.
const LONGEST: Duration = Duration::from_secs(3600);

pub const CATALOGUE: [Entry; 18] = [
    Entry {
        kind: Kind::Mute,
        name: "mute",
        does: "says nothing of the stream, without a hole in numbers that count messages; heartbeats, pings and other streams go on",
        parameters: &[INSTRUMENT, CHANNEL, seconds(5.0)],
    },
    Entry {
        kind: Kind::Silent,
        name: "silent",
        does: "sends nothing at all on any connection, pings, heartbeats and REST answers included, and reads nothing; goes on afterwards",
        parameters: &[seconds(5.0)],
    },
    Entry {
        kind: Kind::HalfOpen,
        name: "half_open",
        does: "keeps every socket of the venue open, neither reading nor writing; drops them afterwards",
        parameters: &[seconds(30.0)],
    },
    Entry {
        kind: Kind::Cut,
        name: "cut",
        does: "closes every connection of the venue now, without a closing handshake",
        parameters: &[],
    },
    Entry {
        kind: Kind::Drop,
        name: "drop",
        does: "loses messages; numbers in them go on, so that the hole shows",
        parameters: &[INSTRUMENT, CHANNEL, count(1.0)],
    },
    Entry {
        kind: Kind::Duplicate,
        name: "duplicate",
        does: "sends messages twice",
        parameters: &[INSTRUMENT, CHANNEL, count(1.0)],
    },
    Entry {
        kind: Kind::Reorder,
        name: "reorder",
        does: "swaps a message with the next one of the same kind",
        parameters: &[INSTRUMENT, CHANNEL, count(1.0)],
    },
    Entry {
        kind: Kind::BadChecksum,
        name: "bad_checksum",
        does: "prints a wrong checksum in book messages (Kraken only)",
        parameters: &[INSTRUMENT, count(1.0)],
    },
    Entry {
        kind: Kind::StaleSnapshot,
        name: "stale_snapshot",
        does: "serves the book as it is now for later snapshots, on REST and WebSocket",
        parameters: &[INSTRUMENT, seconds(5.0)],
    },
    Entry {
        kind: Kind::Malformed,
        name: "malformed",
        does: "sends text that is not valid in place of a message",
        parameters: &[INSTRUMENT, CHANNEL, STYLE, count(1.0)],
    },
    Entry {
        kind: Kind::Truncated,
        name: "truncated",
        does: "sends the first half of a message",
        parameters: &[INSTRUMENT, CHANNEL, count(1.0)],
    },
    Entry {
        kind: Kind::Oversize,
        name: "oversize",
        does: "sends one huge text message to every connection",
        parameters: &[number(
            "bytes",
            "length of the message",
            1.0,
            67_108_864.0,
            268_435_456.0,
        )],
    },
    Entry {
        kind: Kind::Rest429,
        name: "rest_429",
        does: "answers REST requests with status 429 and Retry-After",
        parameters: &[
            count(1e6),
            seconds(5.0),
            number("retry_after_s", "value of Retry-After", 0.0, 1.0, 86_400.0),
        ],
    },
    Entry {
        kind: Kind::Rest418,
        name: "rest_418",
        does: "answers REST requests with status 418 (Binance's ban) and Retry-After",
        parameters: &[
            count(1e6),
            seconds(5.0),
            number("retry_after_s", "value of Retry-After", 0.0, 120.0, 259_200.0),
        ],
    },
    Entry {
        kind: Kind::Refuse,
        name: "refuse",
        does: "resets every new connection, WebSocket and REST, as soon as it is made",
        parameters: &[seconds(5.0)],
    },
    Entry {
        kind: Kind::ClockSkew,
        name: "clock_skew",
        does: "prints times that are off; the truth log holds the printed times",
        parameters: &[
            seconds(5.0),
            number(
                "offset_ms",
                "added to every printed time",
                -86_400_000.0,
                1_000.0,
                86_400_000.0,
            ),
        ],
    },
    Entry {
        kind: Kind::SlowDrip,
        name: "slow_drip",
        does: "writes to every connection at this pace only",
        parameters: &[seconds(5.0), number("bytes_per_s", "pace", 1.0, 1_000.0, 1e9)],
    },
    Entry {
        kind: Kind::End,
        name: "end",
        does: "ends every connection as after 24 hours: Binance announces serverShutdown first, then all close",
        parameters: &[number(
            "seconds",
            "from the announcement to the close",
            0.0,
            1.0,
            3600.0,
        )],
    },
];

/// What a client asks for, already checked.
#[derive(Clone, Debug)]
pub struct Request {
    pub kind: Kind,
    pub instrument: Option<usize>,
    pub channel: Option<Channel>,
    pub count: Option<u64>,
    pub seconds: Option<f64>,
    /// The parameter that only this kind has: bytes, offset_ms, bytes_per_s or retry_after_s.
    pub amount: f64,
    pub style: Style,
}

/// How a malformed message is wrong.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Style {
    #[default]
    Syntax,
    Nan,
    Infinity,
    Exponent,
    NegativeZero,
    Empty,
    Type,
    Nesting,
    Bom,
}

/// Channel of that name.
fn channel(name: &str) -> Option<Channel> {
    Some(match name {
        "trades" => Channel::Trades,
        "book" => Channel::Book,
        "quotes" => Channel::Quotes,
        "bars" => Channel::Bars,
        "heartbeat" => Channel::Heartbeat,
        "control" => Channel::Control,
        _ => return None,
    })
}

fn style(name: &str) -> Option<Style> {
    Some(match name {
        "syntax" => Style::Syntax,
        "nan" => Style::Nan,
        "infinity" => Style::Infinity,
        "exponent" => Style::Exponent,
        "negative_zero" => Style::NegativeZero,
        "empty" => Style::Empty,
        "type" => Style::Type,
        "nesting" => Style::Nesting,
        "bom" => Style::Bom,
        _ => return None,
    })
}

/// The body of `POST /faults` apart from its parameters.
#[derive(Deserialize)]
pub struct Body {
    pub venue: Option<String>,
    pub fault: Option<String>,
    #[serde(flatten)]
    pub parameters: serde_json::Map<String, Value>,
}

impl Request {
    /// Checks a request against the catalogue. `find` resolves an instrument's name. The error says what was
    /// asked and what there is.
    pub fn check(body: &Body, find: impl Fn(&str) -> Result<usize, String>) -> Result<Self, String> {
        let names = || CATALOGUE.iter().map(|e| e.name).collect::<Vec<_>>().join(", ");
        let name = body
            .fault
            .as_deref()
            .ok_or_else(|| format!("no fault named; have: {}", names()))?;
        let entry = CATALOGUE
            .iter()
            .find(|e| e.name == name)
            .ok_or_else(|| format!("no fault named '{name}'; have: {}", names()))?;
        let mut request = Self {
            kind: entry.kind,
            instrument: None,
            channel: None,
            count: None,
            seconds: None,
            amount: 0.0,
            style: Style::default(),
        };
        for key in body.parameters.keys() {
            if !entry.parameters.iter().any(|p| p.name == key) {
                let known: Vec<_> = entry.parameters.iter().map(|p| p.name).collect();
                let known = if known.is_empty() {
                    "none".to_owned()
                } else {
                    known.join(", ")
                };
                return Err(format!(
                    "fault '{name}' has no parameter '{key}'; it takes: {known}"
                ));
            }
        }
        for parameter in entry.parameters {
            let given = body.parameters.get(parameter.name).filter(|v| !v.is_null());
            let Some((low, default, high)) = parameter.range else {
                let Some(given) = given else { continue };
                let text = given
                    .as_str()
                    .ok_or_else(|| format!("{} must be text, found {given}", parameter.name))?;
                let wrong = || format!("{} '{text}' is not known: {}", parameter.name, parameter.meaning);
                match parameter.name {
                    "instrument" => request.instrument = Some(find(text)?),
                    "channel" => request.channel = Some(channel(text).ok_or_else(wrong)?),
                    _ => request.style = style(text).ok_or_else(wrong)?,
                }
                continue;
            };
            let value = match given {
                None => default,
                Some(given) => given
                    .as_f64()
                    .filter(|v| (low..=high).contains(v))
                    .ok_or_else(|| {
                        format!(
                            "{} must be a number from {low} to {high}, found {given}",
                            parameter.name
                        )
                    })?,
            };
            match parameter.name {
                "count" => request.count = Some(value as u64),
                "seconds" => request.seconds = Some(value),
                _ => request.amount = value,
            }
        }
        Ok(request)
    }

    /// Whether a message is one of those asked for.
    fn means(&self, class: Class) -> bool {
        let is_data = matches!(
            class.channel,
            Channel::Trades | Channel::Book | Channel::Quotes | Channel::Bars
        );
        self.channel.map_or(is_data, |c| c == class.channel)
            && (self.instrument.is_none() || self.instrument == class.instrument)
    }

    pub fn duration(&self) -> Duration {
        self.seconds.map_or(LONGEST, Duration::from_secs_f64)
    }
}

/// The catalogue as JSON.
pub fn catalogue() -> Value {
    let entries = CATALOGUE.iter().map(|entry| {
        let parameters: serde_json::Map<String, Value> = entry
            .parameters
            .iter()
            .map(|p| {
                let mut about = json!({"meaning": p.meaning});
                if let Some((low, default, high)) = p.range {
                    about["default"] = json!(default);
                    about["from"] = json!(low);
                    about["to"] = json!(high);
                }
                (p.name.to_owned(), about)
            })
            .collect();
        json!({"fault": entry.name, "does": entry.does, "parameters": parameters})
    });
    Value::Array(entries.collect())
}

fn name_of(kind: Kind) -> &'static str {
    CATALOGUE.iter().find(|e| e.kind == kind).map_or("?", |e| e.name)
}

#[derive(Debug)]
struct Active {
    id: u64,
    request: Request,
    left: u64,
    hits: u64,
    until: Instant,
    /// Messages that `reorder` holds back, one per connection at most.
    held: Vec<(u64, Utf8Bytes)>,
}

/// What to do with a message.
#[derive(Debug, PartialEq)]
pub enum Verdict {
    Pass(Utf8Bytes),
    Drop,
    Twice(Utf8Bytes),
    Both(Utf8Bytes, Utf8Bytes),
}

/// The faults of one venue that are going on.
#[derive(Debug, Default)]
pub struct Faults {
    active: Vec<Active>,
    next: u64,
    /// Faults started since the beginning.
    pub started: u64,
    /// The fault `end` has run out: the connections close now.
    ended: bool,
}

impl Faults {
    /// Whether no more may be started: every message is held against each of them.
    pub fn is_full(&self) -> bool {
        self.active.len() >= ACTIVE_MAX
    }

    pub fn is_idle(&self) -> bool {
        self.active.is_empty()
    }

    /// Starts a fault that lasts; returns its id.
    pub fn start(&mut self, request: Request, now: Instant) -> u64 {
        self.next += 1;
        let until = now + request.duration();
        let left = request.count.unwrap_or(u64::MAX);
        self.active.push(Active {
            id: self.next,
            request,
            left,
            hits: 0,
            until,
            held: Vec::new(),
        });
        self.next
    }

    pub fn is_refusing(&self) -> bool {
        self.active.iter().any(|a| a.request.kind == Kind::Refuse)
    }

    pub fn drip(&self) -> Option<u64> {
        self.active
            .iter()
            .find(|a| a.request.kind == Kind::SlowDrip)
            .map(|a| a.request.amount as u64)
    }

    pub fn is_on(&self, kind: Kind) -> bool {
        self.active.iter().any(|a| a.request.kind == kind)
    }

    /// Milliseconds added to every printed time.
    pub fn skew_ms(&self) -> i64 {
        self.active
            .iter()
            .filter(|a| a.request.kind == Kind::ClockSkew)
            .map(|a| a.request.amount as i64)
            .sum()
    }

    /// Whether snapshots of this instrument are stale.
    pub fn is_stale(&self, instrument: usize) -> bool {
        self.active.iter().any(|a| {
            a.request.kind == Kind::StaleSnapshot && a.request.instrument.is_none_or(|i| i == instrument)
        })
    }

    /// Status and Retry-After (s) with which to refuse a REST request.
    pub fn refusal(&mut self) -> Option<(u16, u64)> {
        let fault = self
            .active
            .iter_mut()
            .find(|a| matches!(a.request.kind, Kind::Rest429 | Kind::Rest418) && a.left > 0)?;
        fault.left -= 1;
        fault.hits += 1;
        let status = if fault.request.kind == Kind::Rest429 {
            429
        } else {
            418
        };
        Some((status, fault.request.amount as u64))
    }

    /// Whether the stream of a message is mute: the venue does not say it at all, so that it takes no number.
    pub fn is_mute(&mut self, class: Class) -> bool {
        let mute = self
            .active
            .iter_mut()
            .find(|a| a.request.kind == Kind::Mute && a.request.means(class));
        mute.map(|fault| fault.hits += 1).is_some()
    }

    /// What happens to a message.
    pub fn judge(&mut self, connection: u64, class: Class, text: Utf8Bytes, now: Instant) -> Verdict {
        for fault in &mut self.active {
            let request = &fault.request;
            let owes = fault.held.iter().any(|(c, _)| *c == connection);
            if !request.means(class) || (fault.left == 0 && !owes) || now >= fault.until {
                continue;
            }
            let verdict = match request.kind {
                Kind::Drop => Verdict::Drop,
                Kind::Duplicate => Verdict::Twice(text.clone()),
                Kind::Reorder => match fault.held.iter().position(|(c, _)| *c == connection) {
                    Some(at) => Verdict::Both(text.clone(), fault.held.swap_remove(at).1),
                    None => {
                        fault.held.push((connection, text));
                        return Verdict::Drop;
                    }
                },
                Kind::BadChecksum => match wrong_checksum(&text) {
                    Some(text) => Verdict::Pass(text.into()),
                    None => continue,
                },
                Kind::Malformed => Verdict::Pass(malformed(&text, request.style).into()),
                Kind::Truncated => {
                    let half = (0..=text.len() / 2)
                        .rev()
                        .find(|at| text.is_char_boundary(*at))
                        .unwrap_or(0);
                    Verdict::Pass(text[..half].into())
                }
                _ => continue,
            };
            fault.left = fault.left.saturating_sub(1);
            fault.hits += 1;
            return verdict;
        }
        Verdict::Pass(text)
    }

    /// Ends what is over; returns messages still held back.
    pub fn expire(&mut self, now: Instant) -> Vec<(u64, Utf8Bytes)> {
        self.end(|fault| now >= fault.until || (fault.left == 0 && fault.held.is_empty()))
    }

    /// Ends everything; returns how many faults that were and the messages still held back.
    pub fn clear(&mut self) -> (usize, Vec<(u64, Utf8Bytes)>) {
        let count = self.active.len();
        (count, self.end(|_| true))
    }

    fn end(&mut self, over: impl Fn(&Active) -> bool) -> Vec<(u64, Utf8Bytes)> {
        let mut held = Vec::new();
        let mut ended = false;
        self.active.retain_mut(|fault| {
            let is_over = over(fault);
            if is_over {
                held.append(&mut fault.held);
                ended |= fault.request.kind == Kind::End;
            }
            !is_over
        });
        self.ended |= ended;
        held
    }

    /// Whether the fault `end` ran out since this was asked last.
    pub fn take_ended(&mut self) -> bool {
        std::mem::take(&mut self.ended)
    }

    /// What goes on, as JSON.
    pub fn list(&self, now: Instant) -> Vec<Value> {
        self.active
            .iter()
            .map(|a| {
                let left = a.until.saturating_duration_since(now).as_secs_f64();
                let mut about = json!({"id": a.id, "fault": name_of(a.request.kind), "hits": a.hits, "seconds_left": left});
                if a.left != u64::MAX {
                    about["left"] = json!(a.left);
                }
                about
            })
            .collect()
    }
}

/// The text with another checksum; `None` if it has none.
fn wrong_checksum(text: &str) -> Option<String> {
    const KEY: &str = "\"checksum\":";
    let at = text.find(KEY)? + KEY.len();
    let digits = text[at..].bytes().take_while(u8::is_ascii_digit).count();
    let value: u32 = text[at..at + digits].parse().ok()?;
    Some(format!(
        "{}{}{}",
        &text[..at],
        value ^ 0x5A5A_5A5A,
        &text[at + digits..]
    ))
}

fn malformed(text: &str, style: Style) -> String {
    let literal = match style {
        Style::Syntax => return format!("{},}}", text.strip_suffix('}').unwrap_or(text)),
        Style::Nesting => return "[".repeat(100_000),
        Style::Bom => return format!("\u{feff}{text}"),
        Style::Nan => "NaN",
        Style::Infinity => "-Infinity",
        Style::Exponent => "1e400",
        Style::NegativeZero => "-0",
        Style::Empty => "",
        Style::Type => "true",
    };
    match first_decimal(text) {
        Some((from, to)) => format!("{}{literal}{}", &text[..from], &text[to..]),
        None => format!("{{\"value\":{literal}}}"),
    }
}

/// Where the first number with a decimal point stands that is not part of a time.
fn first_decimal(text: &str) -> Option<(usize, usize)> {
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        if !bytes[at].is_ascii_digit() {
            at += 1;
            continue;
        }
        let from = at;
        while at < bytes.len() && (bytes[at].is_ascii_digit() || bytes[at] == b'.') {
            at += 1;
        }
        // `2026-08-09T21:05:48.48Z`: the seconds are preceded by a colon and two digits
        let in_time = bytes.get(at) == Some(&b'Z');
        if bytes[from..at].contains(&b'.') && !in_time {
            return Some((from, at));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(json: &str) -> Result<Request, String> {
        let body: Body = serde_json::from_str(json).unwrap();
        Request::check(&body, |name| {
            if name == "BTC-USD" {
                Ok(0)
            } else {
                Err(format!("no instrument named '{name}'; have: BTC-USD"))
            }
        })
    }

    #[test]
    fn catalogue_and_checks_agree() {
        for entry in &CATALOGUE {
            let request = request(&format!("{{\"fault\":\"{}\"}}", entry.name)).unwrap();
            assert_eq!(request.kind, entry.kind);
            assert!(request.duration() <= LONGEST);
        }
    }

    #[test]
    fn bad_requests_say_what_there_is() {
        for (body, part) in [
            ("{}", "no fault named; have: mute"),
            (
                r#"{"fault":"explode"}"#,
                "no fault named 'explode'; have: mute, silent",
            ),
            (
                r#"{"fault":"cut","count":3}"#,
                "fault 'cut' has no parameter 'count'; it takes: none",
            ),
            (
                r#"{"fault":"mute","channel":"candles"}"#,
                "channel 'candles' is not known",
            ),
            (
                r#"{"fault":"mute","instrument":"X-Y"}"#,
                "no instrument named 'X-Y'; have: BTC-USD",
            ),
            (
                r#"{"fault":"mute","seconds":-1}"#,
                "seconds must be a number from 0.01 to 3600, found -1",
            ),
            (
                r#"{"fault":"drop","count":"many"}"#,
                "count must be a number from 1 to 1000000, found \"many\"",
            ),
        ] {
            let error = request(body).unwrap_err();
            assert!(error.contains(part), "{error}");
        }
    }

    fn judge(faults: &mut Faults, channel: Channel, text: &str) -> Verdict {
        faults.judge(1, Class::of(channel, 0), text.into(), Instant::now())
    }

    #[test]
    fn counted_faults_hit_their_channel_and_end() {
        let mut faults = Faults::default();
        let drop = request(r#"{"fault":"drop","channel":"trades","count":2}"#).unwrap();
        faults.start(drop, Instant::now());
        assert_eq!(judge(&mut faults, Channel::Book, "a"), Verdict::Pass("a".into()));
        assert_eq!(judge(&mut faults, Channel::Trades, "b"), Verdict::Drop);
        assert_eq!(judge(&mut faults, Channel::Trades, "c"), Verdict::Drop);
        assert_eq!(
            judge(&mut faults, Channel::Trades, "d"),
            Verdict::Pass("d".into())
        );
        assert!(faults.expire(Instant::now()).is_empty() && faults.is_idle());
    }

    #[test]
    fn reorder_swaps_neighbours_and_loses_nothing() {
        let mut faults = Faults::default();
        faults.start(request(r#"{"fault":"reorder"}"#).unwrap(), Instant::now());
        assert_eq!(
            judge(&mut faults, Channel::Heartbeat, "h"),
            Verdict::Pass("h".into())
        );
        assert_eq!(judge(&mut faults, Channel::Trades, "a"), Verdict::Drop);
        assert_eq!(
            judge(&mut faults, Channel::Trades, "b"),
            Verdict::Both("b".into(), "a".into())
        );
        assert_eq!(
            judge(&mut faults, Channel::Trades, "c"),
            Verdict::Pass("c".into())
        );
        faults.start(request(r#"{"fault":"reorder"}"#).unwrap(), Instant::now());
        assert_eq!(judge(&mut faults, Channel::Trades, "d"), Verdict::Drop);
        assert_eq!(faults.clear().1, [(1, "d".into())]);
    }

    #[test]
    fn broken_text_is_broken_as_asked() {
        let text = r#"{"time":"2026-08-09T21:05:48.48Z","price":64231.5,"checksum":7}"#;
        assert_eq!(malformed(text, Style::Nan), text.replace("64231.5", "NaN"));
        assert_eq!(malformed(text, Style::Empty), text.replace("64231.5", ""));
        assert!(serde_json::from_str::<Value>(&malformed(text, Style::Syntax)).is_err());
        assert_eq!(
            wrong_checksum(text).unwrap(),
            text.replace(":7}", &format!(":{}}}", 7u32 ^ 0x5A5A_5A5A))
        );
    }
}
