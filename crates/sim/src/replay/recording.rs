//! Recordings of venues' messages as others and we keep them, read line by line.
//!
//! - cryptofeed: `*.jsonl.zst`, objects with `t` = header, http, connect, send or recv.
//! - hftbacktest: `*.gz`, lines `recv_ns json`; a REST depth snapshot stands among the messages.
//! - python-kraken-sdk: `orderbook-v2.json`, an object with `init` and `updates`.
//! - Tidemill's raw files: zstd of lines `{"ts":ns,"connection":n,"data":"text"}`.

use crate::number::parse_time;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

/// One recorded thing.
#[derive(Clone, Debug, PartialEq)]
pub enum Item {
    Message(Message),
    Rest(Rest),
}

/// A message that the venue sent.
#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    /// When it was received, ns.
    pub ts_ns: i64,
    /// Which connection it came on.
    pub connection: u64,
    pub text: String,
}

/// An answer of the venue's REST.
#[derive(Clone, Debug, PartialEq)]
pub struct Rest {
    pub ts_ns: i64,
    pub path: String,
    /// Value of `symbol` in the query, if the recording has it.
    pub symbol: Option<String>,
    pub body: String,
}

pub type Items = Box<dyn Iterator<Item = Result<Item, String>> + Send>;

/// Opens a recording; its format is seen from its first bytes.
pub fn open(path: &Path) -> Result<Items, String> {
    let while_reading = |error: io::Error| format!("cannot read recording {}: {error}", path.display());
    let mut file = File::open(path).map_err(while_reading)?;
    let mut magic = [0u8; 4];
    let count = file.read(&mut magic).map_err(while_reading)?;
    let file = File::open(path).map_err(while_reading)?;
    let reader: Box<dyn Read + Send> = match &magic[..count] {
        [0x28, 0xB5, 0x2F, 0xFD] => Box::new(zstd::stream::read::Decoder::new(file).map_err(while_reading)?),
        [0x1F, 0x8B, ..] => Box::new(flate2::read::MultiGzDecoder::new(file)),
        _ => Box::new(file),
    };
    let mut reader = BufReader::with_capacity(1 << 18, reader);
    let first = first_byte(&mut reader).map_err(while_reading)?;
    let name = path.display().to_string();
    match first {
        Some(b'0'..=b'9') => Ok(Box::new(Lines::new(reader, name, stamped))),
        Some(b'{') => {
            // An object over several lines is python-kraken-sdk's; the others have one per line.
            let line = String::from_utf8_lossy(reader.fill_buf().map_err(while_reading)?).into_owned();
            let line = line.lines().next().unwrap_or_default();
            if serde_json::from_str::<&RawValue>(line).is_err() && line.len() < 1 << 17 {
                return whole(reader, &name);
            }
            let is_cryptofeed = line.contains("\"t\":");
            Ok(Box::new(Lines::new(
                reader,
                name,
                if is_cryptofeed { cryptofeed } else { raw },
            )))
        }
        _ => Err(format!(
            "{name} is no recording: neither JSON lines, nor 'ns json' lines, nor an object (plain, zstd or gzip)"
        )),
    }
}

fn first_byte(reader: &mut impl BufRead) -> io::Result<Option<u8>> {
    loop {
        let buffer = reader.fill_buf()?;
        match buffer.first() {
            Some(byte) if byte.is_ascii_whitespace() => reader.consume(1),
            other => return Ok(other.copied()),
        }
    }
}

type Parse = fn(&str, &mut u64) -> Result<Option<Item>, String>;

/// Lines of a file, each parsed by its format.
struct Lines {
    reader: Box<dyn BufRead + Send>,
    name: String,
    parse: Parse,
    line: Vec<u8>,
    number: u64,
    /// Connections seen (cryptofeed names them; they are numbered here).
    connections: u64,
    ended: bool,
}

impl Lines {
    fn new(reader: impl BufRead + Send + 'static, name: String, parse: Parse) -> Self {
        Self {
            reader: Box::new(reader),
            name,
            parse,
            line: Vec::new(),
            number: 0,
            connections: 0,
            ended: false,
        }
    }
}

impl Iterator for Lines {
    type Item = Result<Item, String>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.ended {
            self.line.clear();
            self.number += 1;
            match self.reader.read_until(b'\n', &mut self.line) {
                Ok(0) => self.ended = true,
                Ok(_) => {
                    let Ok(text) = std::str::from_utf8(&self.line) else {
                        return Some(Err(format!("{} line {}: not text", self.name, self.number)));
                    };
                    match (self.parse)(text.trim_end(), &mut self.connections) {
                        Ok(None) => {}
                        Ok(Some(item)) => return Some(Ok(item)),
                        Err(why) => return Some(Err(format!("{} line {}: {why}", self.name, self.number))),
                    }
                }
                // A recorder that was killed leaves the last block unfinished: what is whole is played.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => self.ended = true,
                Err(error) => {
                    self.ended = true;
                    return Some(Err(format!("cannot read {}: {error}", self.name)));
                }
            }
        }
        None
    }
}

#[derive(Deserialize)]
struct CryptofeedLine<'a> {
    t: &'a str,
    ts: Option<f64>,
    url: Option<String>,
    #[serde(borrow)]
    conn: Option<Cow<'a, str>>,
    data: Option<String>,
}

fn cryptofeed(line: &str, _: &mut u64) -> Result<Option<Item>, String> {
    if line.is_empty() {
        return Ok(None);
    }
    let line: CryptofeedLine<'_> = serde_json::from_str(line).map_err(|e| e.to_string())?;
    let ts_ns = (line.ts.unwrap_or(0.0) * 1e6).round() as i64 * 1_000;
    match (line.t, line.data) {
        ("recv", Some(text)) => {
            // `BINANCE.ws.1`: the number at the end names the connection
            let number = line
                .conn
                .as_deref()
                .and_then(|c| c.rsplit('.').next()?.parse().ok());
            Ok(Some(Item::Message(Message {
                ts_ns,
                connection: number.unwrap_or(0),
                text,
            })))
        }
        ("http", Some(body)) => {
            let url = line.url.unwrap_or_default();
            let (path, query) = url.split_once('?').unwrap_or((&url, ""));
            let path = path
                .split_once("://")
                .map_or(path, |(_, rest)| rest.find('/').map_or("/", |at| &rest[at..]));
            let symbol = query
                .split('&')
                .find_map(|p| p.strip_prefix("symbol="))
                .map(str::to_owned);
            Ok(Some(Item::Rest(Rest {
                ts_ns,
                path: path.to_owned(),
                symbol,
                body,
            })))
        }
        _ => Ok(None),
    }
}

const DEPTH: &str = "/api/v3/depth";

/// A depth snapshot of Binance's REST has no envelope: it begins with `lastUpdateId`.
fn message_or_depth(ts_ns: i64, connection: u64, text: String) -> Item {
    if text.starts_with("{\"lastUpdateId\":") {
        Item::Rest(Rest {
            ts_ns,
            path: DEPTH.to_owned(),
            symbol: None,
            body: text,
        })
    } else {
        Item::Message(Message {
            ts_ns,
            connection,
            text,
        })
    }
}

fn stamped(line: &str, _: &mut u64) -> Result<Option<Item>, String> {
    if line.is_empty() {
        return Ok(None);
    }
    let (ns, text) = line.split_once(' ').ok_or("no blank after the time")?;
    let ts_ns = ns
        .parse()
        .map_err(|_| format!("'{ns}' is not a time in nanoseconds"))?;
    Ok(Some(message_or_depth(ts_ns, 0, text.to_owned())))
}

#[derive(Deserialize)]
struct RawLine {
    ts: i64,
    #[serde(default)]
    connection: u64,
    data: String,
    /// Only of REST answers.
    path: Option<String>,
    symbol: Option<String>,
}

fn raw(line: &str, _: &mut u64) -> Result<Option<Item>, String> {
    if line.is_empty() {
        return Ok(None);
    }
    let line: RawLine = serde_json::from_str(line).map_err(|e| e.to_string())?;
    Ok(Some(match line.path {
        Some(path) => Item::Rest(Rest {
            ts_ns: line.ts,
            path,
            symbol: line.symbol,
            body: line.data,
        }),
        None => message_or_depth(line.ts, line.connection, line.data),
    }))
}

#[derive(Deserialize)]
struct Whole<'a> {
    #[serde(borrow)]
    init: &'a RawValue,
    #[serde(borrow)]
    updates: Vec<&'a RawValue>,
}

fn whole(mut reader: impl Read, name: &str) -> Result<Items, String> {
    let mut text = String::new();
    reader
        .read_to_string(&mut text)
        .map_err(|error| format!("cannot read {name}: {error}"))?;
    let whole: Whole<'_> = serde_json::from_str(&text).map_err(|error| {
        format!("{name} has no 'init' and 'updates' as python-kraken-sdk writes them: {error}")
    })?;
    let mut ts_ns = 0;
    let items: Vec<_> = std::iter::once(whole.init)
        .chain(whole.updates)
        .map(|message| {
            let text = compact(message.get());
            ts_ns = time_in(&text).unwrap_or(ts_ns);
            Ok(Item::Message(Message {
                ts_ns,
                connection: 0,
                text,
            }))
        })
        .collect();
    Ok(Box::new(items.into_iter()))
}

/// The venue's own time in a Kraken message.
fn time_in(text: &str) -> Option<i64> {
    let at = text.find("\"timestamp\":\"")? + "\"timestamp\":\"".len();
    parse_time(text[at..].split('"').next()?)
}

/// JSON without the blanks between its tokens; the tokens stay as they are, digit for digit.
fn compact(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let (mut in_string, mut escaped) = (false, false);
    for c in text.chars() {
        if in_string {
            in_string = escaped || c != '"';
            escaped = !escaped && c == '\\';
        } else {
            if c.is_ascii_whitespace() {
                continue;
            }
            in_string = c == '"';
        }
        out.push(c);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_every_format() {
        let mut n = 0;
        let http = r#"{"t":"http","conn":"BINANCE.http.0","ts":1.5,"url":"https://api.binance.com/api/v3/depth?symbol=NKNUSDT&limit=1000","data":"{}"}"#;
        let Some(Item::Rest(rest)) = cryptofeed(http, &mut n).unwrap() else {
            panic!()
        };
        assert_eq!(
            (rest.path.as_str(), rest.symbol.as_deref(), rest.ts_ns),
            (DEPTH, Some("NKNUSDT"), 1_500_000_000)
        );
        let recv = r#"{"t":"recv","conn":"COINBASE.ws.2","ts":2.25,"data":"{\"a\":1}"}"#;
        let Some(Item::Message(message)) = cryptofeed(recv, &mut n).unwrap() else {
            panic!()
        };
        assert_eq!((message.connection, message.text.as_str()), (2, "{\"a\":1}"));
        assert_eq!(
            cryptofeed(r#"{"t":"connect","conn":"X.ws.1","ts":1.0}"#, &mut n),
            Ok(None)
        );
        let Some(Item::Rest(rest)) = stamped("17 {\"lastUpdateId\":5}", &mut n).unwrap() else {
            panic!()
        };
        assert_eq!((rest.ts_ns, rest.symbol), (17, None));
        assert!(stamped("nonsense", &mut n).is_err());
        let Some(Item::Message(message)) =
            raw(r#"{"ts":9,"connection":3,"data":"{\"x\":\"\\u00e9\"}"}"#, &mut n).unwrap()
        else {
            panic!()
        };
        assert_eq!(
            message,
            Message {
                ts_ns: 9,
                connection: 3,
                text: "{\"x\":\"\\u00e9\"}".to_owned()
            }
        );
    }

    #[test]
    fn compacting_touches_no_token() {
        assert_eq!(
            compact("{ \"a b\" : [ 1e-05 , 0.10 ],\n\"q\\\" \":1 }"),
            "{\"a b\":[1e-05,0.10],\"q\\\" \":1}"
        );
    }
}
