//! The truth log: what every simulated venue did, one JSON object per line, whether or not anybody was
//! connected and whatever a fault hid.
//!
//! ```text
//! {"kind":"reset","venue":"sim-kraken","instrument":"BTC-USD.sim-kraken","symbol":"BTC/USD","ts":…,"update":n,"bids":[["64231.4","0.50000000"],…],"asks":[…]}
//! {"kind":"trade","venue":…,"instrument":…,"symbol":…,"id":431,"price":"64231.5","size":"0.01140000","aggressor":"buy","ts":…}
//! {"kind":"level","venue":…,"instrument":…,"symbol":…,"side":"bid","price":"64231.4","size":"0.00000000","ts":…,"update":n}
//! ```
//!
//! - Prices and sizes are the decimal text that the venue's messages print. `size` 0 removes the level.
//! - `ts` is the time printed in the message, in nanoseconds since the epoch.
//! - A `reset` replaces the whole book of an instrument; one stands at the beginning of each run. `level` lines set
//!   absolute sizes; all lines with the same `update` belong to one message, and after the last of them the book is
//!   exactly what the venue had published. `update` is Binance's `u` (so a REST snapshot's `lastUpdateId` names a line
//!   too); elsewhere it counts book messages, +1 each.
//! - Kraken publishes the top of the book: a client with depth 10 holds the first ten levels of each side of this book.
//! - Venues that batch (Coinbase each 50 ms, Binance each 100 ms) log what they published, not what the engine did between.
//! - The log goes before the socket: what a client has seen is in the file, even after a `kill -9`, which may leave
//!   the beginning of a line that no client has seen.
//! - A file that exists is continued, without such a line. Trades of an earlier life that snapshots and REST still show are logged again only
//!   where the file is new.

use crate::market::{Instrument, Market, Trade};
use crate::number::{push_int, push_uint};
use crate::spec::{Protocol, Spec};
use kernels::matching::{Change, Side};
use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::Path;

/// Writer of the truth log, or nothing where none was asked for.
pub struct Truth {
    out: Option<BufWriter<File>>,
    line: String,
    lines: u64,
    failed: Option<io::Error>,
    /// The file had lines before this run.
    continued: bool,
}

impl Truth {
    pub fn none() -> Self {
        Self {
            out: None,
            line: String::new(),
            lines: 0,
            failed: None,
            continued: false,
        }
    }

    pub fn open(path: &Path) -> io::Result<Self> {
        let mut file = OpenOptions::new()
            .create(true)
            .read(true)
            .append(true)
            .open(path)?;
        let whole = whole_lines(&mut file)?;
        file.set_len(whole)?;
        let continued = whole > 0;
        Ok(Self {
            out: Some(BufWriter::with_capacity(1 << 18, file)),
            line: String::with_capacity(512),
            lines: 0,
            failed: None,
            continued,
        })
    }

    pub fn lines(&self) -> u64 {
        self.lines
    }

    /// Whether an earlier run wrote to this file.
    pub fn is_continued(&self) -> bool {
        self.continued
    }

    pub fn trade(&mut self, market: &Market, instrument: &Instrument, trade: &Trade) {
        if self.out.is_none() {
            return;
        }
        self.begin("trade", market, &instrument.spec);
        let line = &mut self.line;
        line.push_str(",\"id\":");
        push_uint(line, trade.id);
        line.push_str(",\"price\":\"");
        push_trade_price(line, market.protocol, &instrument.spec, trade.price);
        line.push_str("\",\"size\":\"");
        push_trade_size(line, market.protocol, &instrument.spec, trade.size);
        line.push_str(if trade.aggressor == Side::Bid {
            "\",\"aggressor\":\"buy\""
        } else {
            "\",\"aggressor\":\"sell\""
        });
        line.push_str(",\"ts\":");
        push_int(line, trade.ts);
        self.end();
    }

    pub fn level(&mut self, market: &Market, instrument: &Instrument, change: Change) {
        if self.out.is_none() {
            return;
        }
        self.begin("level", market, &instrument.spec);
        let line = &mut self.line;
        line.push_str(if change.side == Side::Bid {
            ",\"side\":\"bid\""
        } else {
            ",\"side\":\"ask\""
        });
        line.push_str(",\"price\":\"");
        push_level_price(line, market.protocol, &instrument.spec, change.price);
        line.push_str("\",\"size\":\"");
        push_level_size(line, market.protocol, &instrument.spec, change.size);
        line.push_str("\",\"ts\":");
        push_int(line, instrument.book_ts);
        line.push_str(",\"update\":");
        push_uint(line, instrument.published_update);
        self.end();
    }

    pub fn reset(&mut self, market: &Market, instrument: &Instrument) {
        if self.out.is_none() {
            return;
        }
        self.begin("reset", market, &instrument.spec);
        let line = &mut self.line;
        line.push_str(",\"ts\":");
        push_int(line, instrument.book_ts);
        line.push_str(",\"update\":");
        push_uint(line, instrument.published_update);
        for (side, name) in [(Side::Bid, ",\"bids\":["), (Side::Ask, ",\"asks\":[")] {
            line.push_str(name);
            for (n, (price, size)) in instrument.ladder.levels(side).enumerate() {
                line.push_str(if n == 0 { "[\"" } else { ",[\"" });
                push_level_price(line, market.protocol, &instrument.spec, price);
                line.push_str("\",\"");
                push_level_size(line, market.protocol, &instrument.spec, size);
                line.push_str("\"]");
            }
            line.push(']');
        }
        self.end();
    }

    fn begin(&mut self, kind: &str, market: &Market, spec: &Spec) {
        self.line.clear();
        for part in [
            "{\"kind\":\"",
            kind,
            "\",\"venue\":\"",
            &market.venue,
            "\",\"instrument\":\"",
            &spec.id,
            "\",\"symbol\":\"",
            &spec.symbol,
            "\"",
        ] {
            self.line.push_str(part);
        }
    }

    fn end(&mut self) {
        self.line.push_str("}\n");
        self.lines += 1;
        if let Some(out) = &mut self.out
            && let Err(error) = out.write_all(self.line.as_bytes())
        {
            self.failed.get_or_insert(error);
        }
    }

    /// Hands everything to the operating system. An error of any earlier write is reported here, once.
    pub fn flush(&mut self) -> io::Result<()> {
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
        self.out.as_mut().map_or(Ok(()), Write::flush)
    }
}

/// Length of the file up to the end of its last whole line.
fn whole_lines(file: &mut File) -> io::Result<u64> {
    let mut block = [0; 4096];
    let mut end = file.metadata()?.len();
    while end > 0 {
        let length = end.min(block.len() as u64);
        file.seek(SeekFrom::Start(end - length))?;
        let tail = &mut block[..length as usize];
        file.read_exact(tail)?;
        if let Some(at) = tail.iter().rposition(|byte| *byte == b'\n') {
            return Ok(end - length + at as u64 + 1);
        }
        end -= length;
    }
    Ok(0)
}

/// Price of a trade as the venue prints it.
pub fn push_trade_price(out: &mut String, protocol: Protocol, spec: &Spec, ticks: i64) {
    match protocol {
        Protocol::Coinbase | Protocol::CoinbaseAdvanced => spec.push_price_trimmed(out, ticks),
        _ => spec.push_price(out, ticks),
    }
}

/// Size of a trade as the venue prints it.
pub fn push_trade_size(out: &mut String, protocol: Protocol, spec: &Spec, lots: i64) {
    match protocol {
        Protocol::Coinbase | Protocol::CoinbaseAdvanced => spec.push_size_trimmed(out, lots),
        _ => spec.push_size(out, lots),
    }
}

/// Price of a book level as the venue prints it.
pub fn push_level_price(out: &mut String, protocol: Protocol, spec: &Spec, ticks: i64) {
    match protocol {
        Protocol::CoinbaseAdvanced => spec.push_price_trimmed(out, ticks),
        _ => spec.push_price(out, ticks),
    }
}

/// Size of a book level as the venue prints it.
pub fn push_level_size(out: &mut String, protocol: Protocol, spec: &Spec, lots: i64) {
    match protocol {
        Protocol::CoinbaseAdvanced => spec.push_size_trimmed(out, lots),
        _ => spec.push_size(out, lots),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_torn_last_line_is_cut_off_and_whole_ones_stay() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("truth");
        let long = "x".repeat(10_000);
        for (before, kept) in [
            ("", ""),
            ("{}\n", "{}\n"),
            ("{}\n{\"kind\":\"tra", "{}\n"),
            ("{\"kind", ""),
            (&format!("{{}}\n{long}\n{long}"), &format!("{{}}\n{long}\n")),
        ] {
            std::fs::write(&path, before).unwrap();
            let truth = Truth::open(&path).unwrap();
            assert_eq!(truth.is_continued(), !kept.is_empty());
            drop(truth);
            assert_eq!(std::fs::read_to_string(&path).unwrap(), kept);
        }
    }
}
