//! What survives a restart: `DIR/sim/state.json`, so that prices go on and no id is ever used twice.
//!
//! The numbers in the file are always safe to go on from. While the simulator runs they lie ahead of those in
//! use by [`RESERVE`] (and are moved on before they are reached), so a kill at any moment skips ids, never
//! repeats one; a clean exit writes the exact next ones, with the newest trades and bars. A file is on the disk
//! before it takes its name, and the one before it stays as `state.old`, for a disk that loses the newest.

use crate::log;
use crate::market::{Instrument, Market, Minute, Trade};
use kernels::matching::Side;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Ids claimed ahead of use. One action of the flow takes a few hundred at the very most.
pub const RESERVE: u64 = 100_000;
/// The reserve is renewed when less than this is left of it.
const LOW: u64 = 10_000;
/// Trades and minutes kept over a clean restart, per instrument.
const TRADES_SAVED: usize = 1_000;
const MINUTES_SAVED: usize = 1_440;

/// The content of the file; the default is a home that never ran.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Saved {
    pub version: u32,
    /// How many times this home was started before.
    pub life: u64,
    /// When it was started first: history ends there.
    pub born_ns: Option<i64>,
    /// Venue time when the file was written.
    pub saved_ns: i64,
    pub clean: bool,
    /// Where each asset's price path stands, relative to its beginning.
    pub levels: BTreeMap<String, f64>,
    pub instruments: BTreeMap<String, SavedInstrument>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct SavedInstrument {
    pub next_trade: u64,
    pub next_aggregate: u64,
    pub update: u64,
    pub sequence: u64,
    pub next_order: u64,
    pub last_ts: i64,
    #[serde(default, with = "trade_rows")]
    pub trades: Vec<Trade>,
    #[serde(default, with = "minute_rows")]
    pub minutes: Vec<Minute>,
}

impl Saved {
    /// The state to go on from; a home that has none is new. Where the newest is damaged, it is the one before it,
    /// beyond all ids that were claimed since. A file that cannot be read is an error if there is no other, because
    /// going on without it would repeat ids.
    pub fn load(path: &Path) -> Result<Self, String> {
        match (Self::read(path), Self::read(&before(path))) {
            (Ok(Some(saved)), _) => Ok(saved),
            (newest, Ok(Some(mut older))) => {
                let why = newest
                    .err()
                    .unwrap_or_else(|| format!("{} is empty or gone", path.display()));
                log::warn(
                    "the newest state is lost; ids go on far ahead of the one before it",
                    &[("error", why.into())],
                );
                // No newer state reached further than this beyond the older one, of which this is the end now.
                older.skip(RESERVE);
                older
                    .encode()
                    .and_then(|content| write_atomically(path, &content))
                    .map_err(|error| format!("cannot write {}: {error}", path.display()))?;
                Ok(older)
            }
            (Ok(None), Ok(None)) => Ok(Self::default()),
            (Err(why), _) | (_, Err(why)) => Err(format!(
                "{why}; take another --home, or remove the states together with the journals of this home's \
                 simulated venues (ids and prices start over)"
            )),
        }
    }

    /// Reads one file; `None` where there is none, or an empty one, as a power cut may leave it.
    fn read(path: &Path) -> Result<Option<Self>, String> {
        let text = match fs::read(path) {
            Ok(text) if text.is_empty() => return Ok(None),
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(format!("cannot read {}: {error}", path.display())),
        };
        let saved: Self = serde_json::from_slice(&text)
            .map_err(|error| format!("{} is not a simulator state: {error}", path.display()))?;
        if saved.version != VERSION {
            return Err(format!(
                "{} has version {}, this program reads {VERSION}",
                path.display(),
                saved.version
            ));
        }
        Ok(Some(saved))
    }

    /// Sets all ids forward.
    fn skip(&mut self, ids: u64) {
        for instrument in self.instruments.values_mut() {
            for id in [
                &mut instrument.next_trade,
                &mut instrument.next_aggregate,
                &mut instrument.update,
                &mut instrument.sequence,
                &mut instrument.next_order,
            ] {
                *id += ids;
            }
        }
    }

    pub fn level(&self, asset: &str) -> f64 {
        self.levels
            .get(asset)
            .copied()
            .filter(|l| (0.5..2.0).contains(l))
            .unwrap_or(1.0)
    }

    /// Writes the file whole or not at all, and keeps the one before it.
    pub fn store(&self, path: &Path) -> io::Result<()> {
        let beside = write_beside(path, &self.encode()?)?;
        match fs::rename(path, before(path)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        move_into_place(&beside, path)
    }

    fn encode(&self) -> io::Result<Vec<u8>> {
        Ok(serde_json::to_vec(self)?)
    }
}

pub const VERSION: u32 = 1;

/// Where the state before the newest one is.
fn before(path: &Path) -> PathBuf {
    path.with_extension("old")
}

/// Writes beside the file and renames: a reader sees the old content or the new, and so does one after a power cut.
pub fn write_atomically(path: &Path, content: &[u8]) -> io::Result<()> {
    move_into_place(&write_beside(path, content)?, path)
}

/// The content in a file of its own, on the disk: a name must not get there before what it names.
fn write_beside(path: &Path, content: &[u8]) -> io::Result<PathBuf> {
    let beside = path.with_extension("tmp");
    let mut file = File::create(&beside)?;
    file.write_all(content)?;
    file.sync_all()?;
    Ok(beside)
}

fn move_into_place(beside: &Path, path: &Path) -> io::Result<()> {
    fs::rename(beside, path)?;
    match path.parent() {
        Some(folder) => File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}

/// Ids that the file on disk already covers.
#[derive(Clone, Copy, Debug)]
pub struct Reserved {
    trade: u64,
    aggregate: u64,
    update: u64,
    sequence: u64,
    order: u64,
}

impl Reserved {
    /// Where nothing is kept, nothing runs out.
    pub const UNBOUNDED: Self = Self {
        trade: u64::MAX,
        aggregate: u64::MAX,
        update: u64::MAX,
        sequence: u64::MAX,
        order: u64::MAX,
    };

    pub fn is_low(&self, i: &Instrument) -> bool {
        i.next_trade + LOW > self.trade
            || i.next_aggregate + LOW > self.aggregate
            || i.update.max(i.published_update) + LOW > self.update
            || i.sequence + LOW > self.sequence
            || i.next_order() + LOW > self.order
    }
}

/// Puts one market into the state; with `clean` exactly, else with ids ahead. Returns what is reserved, in the
/// order of the market's instruments.
pub fn save_market(saved: &mut Saved, market: &Market, clean: bool) -> Vec<Reserved> {
    let ahead = if clean { 0 } else { RESERVE };
    let mut reserved = Vec::with_capacity(market.instruments.len());
    for i in &market.instruments {
        let entry = SavedInstrument {
            next_trade: i.next_trade + ahead,
            next_aggregate: i.next_aggregate + ahead,
            update: i.update.max(i.published_update) + ahead,
            sequence: i.sequence + ahead,
            next_order: i.next_order() + ahead,
            last_ts: i.last_ts,
            trades: if clean {
                last(&i.trades, TRADES_SAVED)
            } else {
                Vec::new()
            },
            minutes: if clean {
                i.live_minutes(MINUTES_SAVED)
            } else {
                Vec::new()
            },
        };
        reserved.push(Reserved {
            trade: entry.next_trade,
            aggregate: entry.next_aggregate,
            update: entry.update,
            sequence: entry.sequence,
            order: entry.next_order,
        });
        saved.instruments.insert(i.spec.id.clone(), entry);
    }
    reserved
}

fn last(trades: &std::collections::VecDeque<Trade>, count: usize) -> Vec<Trade> {
    trades
        .range(trades.len().saturating_sub(count)..)
        .copied()
        .collect()
}

/// Trades as arrays: a state of a few hundred kilobytes instead of megabytes.
mod trade_rows {
    use super::{Side, Trade};
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    type Row = (u64, u64, i64, i64, i64, bool, u64, u64);

    pub fn serialize<S: Serializer>(trades: &[Trade], serializer: S) -> Result<S::Ok, S::Error> {
        let rows: Vec<Row> = trades
            .iter()
            .map(|t| {
                (
                    t.id,
                    t.aggregate,
                    t.ts,
                    t.price,
                    t.size,
                    t.aggressor == Side::Bid,
                    t.maker,
                    t.taker,
                )
            })
            .collect();
        rows.serialize(serializer)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Trade>, D::Error> {
        let rows = Vec::<Row>::deserialize(deserializer)?;
        Ok(rows
            .into_iter()
            .map(|(id, aggregate, ts, price, size, buy, maker, taker)| Trade {
                id,
                aggregate,
                ts,
                price,
                size,
                aggressor: if buy { Side::Bid } else { Side::Ask },
                maker,
                taker,
            })
            .collect())
    }
}

/// Minutes as arrays; sums beyond 64 bits travel as text.
mod minute_rows {
    use super::Minute;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    type Row = (i64, [i64; 4], [String; 4], u64, u64, u64);

    pub fn serialize<S: Serializer>(minutes: &[Minute], serializer: S) -> Result<S::Ok, S::Error> {
        let rows: Vec<Row> = minutes
            .iter()
            .map(|m| {
                let sums = [m.volume, m.notional, m.buy_volume, m.buy_notional].map(|sum| sum.to_string());
                (
                    m.start_ns,
                    [m.open, m.high, m.low, m.close],
                    sums,
                    m.trades,
                    m.first_id,
                    m.last_id,
                )
            })
            .collect();
        rows.serialize(serializer)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Minute>, D::Error> {
        let rows = Vec::<Row>::deserialize(deserializer)?;
        rows.into_iter()
            .map(
                |(start_ns, [open, high, low, close], sums, trades, first_id, last_id)| {
                    let sum = |n: usize| sums[n].parse::<i128>().map_err(serde::de::Error::custom);
                    Ok(Minute {
                        start_ns,
                        open,
                        high,
                        low,
                        close,
                        volume: sum(0)?,
                        notional: sum(1)?,
                        buy_volume: sum(2)?,
                        buy_notional: sum(3)?,
                        trades,
                        first_id,
                        last_id,
                    })
                },
            )
            .collect()
    }
}
