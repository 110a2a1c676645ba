//! Level 1 and streaming bars: what one client watches, and what is new of it. Without I/O.

use super::text;
use crate::providers::bar::{Bar, Bars, Interval, Unit};
use crate::providers::calendar::{DAY_NS, SECOND_NS};
use crate::providers::world::{AMENDED_AFTER_NS, Asset, BEGIN_NS, Mark, Quote, Trade, World};

/// As many symbols as an account may watch.
const SYMBOLS_MAX: usize = 500;
/// What is shown where the client has chosen nothing.
const USUAL: [&str; 17] = [
    "Most Recent Trade",
    "Most Recent Trade Size",
    "Most Recent Trade Time",
    "Most Recent Trade Market Center",
    "Total Volume",
    "Bid",
    "Bid Size",
    "Ask",
    "Ask Size",
    "Open",
    "High",
    "Low",
    "Close",
    "Message Contents",
    "Most Recent Trade Conditions",
    "Most Recent Trade Aggressor",
    "Most Recent Trade Day Code",
];
const FURTHER: [&str; 3] = ["Most Recent Trade Date", "TickID", "VWAP"];

/// A symbol as one client has seen it last.
struct Watching {
    asset: &'static Asset,
    with_quotes: bool,
    /// Everything up to here has been told.
    seen: i64,
    trade: Option<Trade>,
    quote: Option<Quote>,
    volume: i64,
}

/// One client of the Level 1 port.
pub struct Level1 {
    world: World,
    fields: Vec<String>,
    watching: Vec<Watching>,
}

impl Level1 {
    pub fn new(world: World) -> Self {
        Self {
            world,
            fields: USUAL.map(str::to_owned).to_vec(),
            watching: Vec::new(),
        }
    }

    pub fn symbols(&self) -> usize {
        self.watching.len()
    }

    /// What a line of the client is answered with; `None` if it is none of this port's.
    pub fn command(&mut self, line: &str, now: i64) -> Option<Vec<String>> {
        if let Some(list) = line.strip_prefix("S,SELECT UPDATE FIELDS,") {
            let known = |name: &&str| USUAL.contains(name) || FURTHER.contains(name);
            self.fields = list.split(',').filter(known).map(str::to_owned).collect();
            return Some(vec![self.current_fields()]);
        }
        match line {
            "S,REQUEST CURRENT UPDATE FIELDNAMES" => return Some(vec![self.current_fields()]),
            "S,REQUEST ALL UPDATE FIELDNAMES" => {
                let all: Vec<&str> = USUAL.iter().chain(&FURTHER).copied().collect();
                return Some(vec![format!("S,UPDATE FIELDNAMES,Symbol,{}", all.join(","))]);
            }
            "S,REQUEST WATCHES" => {
                let all: Vec<String> = self.watching.iter().map(|w| text::symbol(w.asset)).collect();
                return Some(vec![format!("S,WATCHES,{}", all.join(","))]);
            }
            "S,UNWATCH ALL" => {
                self.watching.clear();
                return Some(Vec::new());
            }
            "T" => return Some(vec![clock(now)]),
            _ => {}
        }
        let (kind, name) = (line.chars().next()?, line.get(1..)?);
        let known = Asset::find_spelled(name);
        match (kind, known) {
            ('w' | 't', Some(asset)) => Some(self.watch(asset, kind == 'w', now)),
            ('f', Some(asset)) => {
                let place = self.watching.iter().position(|w| std::ptr::eq(w.asset, asset))?;
                Some(vec![self.shown('P', &self.watching[place], "Cbav")])
            }
            ('r', _) => {
                self.watching.retain(|w| text::symbol(w.asset) != name);
                Some(Vec::new())
            }
            ('w' | 't' | 'f', None) => Some(vec![format!("n,{name}")]),
            _ => None,
        }
    }

    fn current_fields(&self) -> String {
        format!("S,CURRENT UPDATE FIELDNAMES,Symbol,{}", self.fields.join(","))
    }

    fn watch(&mut self, asset: &'static Asset, with_quotes: bool, now: i64) -> Vec<String> {
        let name = text::symbol(asset);
        self.watching.retain(|w| !std::ptr::eq(w.asset, asset));
        if self.watching.len() >= SYMBOLS_MAX {
            return vec![format!("S,SYMBOL LIMIT REACHED,{name}")];
        }
        let midnight = asset.midnight(asset.day(now));
        let today = self.world.trades(asset, midnight, now + 1, now).filter(valid);
        let before = now - 7 * DAY_NS;
        let watching = Watching {
            asset,
            with_quotes,
            seen: now,
            trade: self.world.trades(asset, before, now + 1, now).rev().find(valid),
            quote: self.world.quotes(asset, before, now + 1, now).next_back(),
            volume: today.map(|trade| trade.size).sum(),
        };
        let lines = vec![fundamental(asset), self.shown('P', &watching, "Cbav")];
        self.watching.push(watching);
        lines
    }

    /// What has happened since the last call, up to and including `now`.
    pub fn news(&mut self, now: i64) -> Vec<String> {
        let mut lines = Vec::new();
        for place in 0..self.watching.len() {
            let (asset, seen) = (self.watching[place].asset, self.watching[place].seen);
            let (from, to) = (seen + 1, now + 1);
            if from >= to {
                continue;
            }
            let mut events: Vec<(i64, Result<Trade, Quote>)> = Vec::new();
            if self.watching[place].with_quotes {
                events.extend(
                    self.world
                        .quotes(asset, from, to, now)
                        .map(|quote| (quote.ts, Err(quote))),
                );
            }
            // What is put right later is first told as it was.
            let trades = self.world.trades(asset, from, to, now);
            events.extend(
                trades
                    .filter(|t| t.mark != Mark::Correction)
                    .map(|trade| (trade.ts, Ok(trade))),
            );
            events.sort_by_key(|(ts, _)| *ts);
            for (_, event) in events {
                let watching = &mut self.watching[place];
                let contents = match event {
                    Ok(trade) => {
                        watching.volume += trade.size;
                        watching.trade = Some(trade);
                        // At that moment nobody knew that it would be taken back.
                        let told = Trade {
                            mark: Mark::Valid,
                            ..trade
                        };
                        format!("{}v", text::basis(&told))
                    }
                    Err(quote) => {
                        watching.quote = Some(quote);
                        "ba".to_owned()
                    }
                };
                lines.push(self.shown('Q', &self.watching[place], &contents));
            }
            let amended = (from - AMENDED_AFTER_NS, to - AMENDED_AFTER_NS);
            for trade in self.world.trades(asset, amended.0, amended.1, now) {
                match trade.mark {
                    Mark::Valid => {}
                    Mark::Correction => lines.push(correction(asset, &trade, 'I')),
                    Mark::Cancelled | Mark::Incorrect => lines.push(correction(asset, &trade, 'D')),
                }
            }
            self.watching[place].seen = now;
        }
        lines
    }

    fn shown(&self, kind: char, watching: &Watching, contents: &str) -> String {
        let asset = watching.asset;
        let mut line = format!("{kind},{}", text::symbol(asset));
        let of_trade = |value: fn(&Asset, &Trade) -> String| {
            watching
                .trade
                .as_ref()
                .map_or_else(String::new, |trade| value(asset, trade))
        };
        let of_quote = |value: fn(&Asset, &Quote) -> String| {
            watching
                .quote
                .as_ref()
                .map_or_else(String::new, |quote| value(asset, quote))
        };
        for name in &self.fields {
            line.push(',');
            line.push_str(&match name.as_str() {
                "Most Recent Trade" => of_trade(|asset, trade| text::price(asset, trade.price)),
                "Most Recent Trade Size" => of_trade(|asset, trade| text::size(asset, trade.size)),
                "Most Recent Trade Time" => of_trade(|_, trade| text::stamp(trade.ts, 6)[11..].to_owned()),
                "Most Recent Trade Date" => of_trade(|_, trade| text::slashed(trade.ts)),
                "Most Recent Trade Day Code" => {
                    of_trade(|_, trade| text::stamp(trade.ts, 0)[8..10].to_owned())
                }
                "Most Recent Trade Market Center" => {
                    of_trade(|_, trade| text::center(trade.exchange).to_string())
                }
                "Most Recent Trade Conditions" => of_trade(|_, trade| text::conditions(trade)),
                "Most Recent Trade Aggressor" => of_trade(|_, trade| text::aggressor(trade).to_string()),
                "TickID" => of_trade(|_, trade| trade.number.to_string()),
                "Total Volume" => text::size(asset, watching.volume),
                "Bid" => of_quote(|asset, quote| text::price(asset, quote.bid)),
                "Bid Size" => of_quote(|asset, quote| text::size(asset, quote.bid_size)),
                "Ask" => of_quote(|asset, quote| text::price(asset, quote.ask)),
                "Ask Size" => of_quote(|asset, quote| text::size(asset, quote.ask_size)),
                "Message Contents" => contents.to_owned(),
                _ => String::new(),
            });
        }
        line.push(',');
        line
    }
}

fn valid(trade: &Trade) -> bool {
    matches!(trade.mark, Mark::Valid | Mark::Correction)
}

/// The servers' clock.
pub fn clock(now: i64) -> String {
    format!("T,{}", text::compact(now))
}

fn fundamental(asset: &Asset) -> String {
    format!("F,{},5,,,,,,,,,,,,,,,{},", text::symbol(asset), asset.name)
}

fn correction(asset: &Asset, trade: &Trade, kind: char) -> String {
    format!(
        "C,{},{kind},{},{},{},{},{},{},{}",
        text::symbol(asset),
        text::slashed(trade.ts),
        &text::stamp(trade.ts, 6)[11..],
        text::price(asset, trade.price),
        text::size(asset, trade.size),
        trade.number,
        text::conditions(trade),
        text::center(trade.exchange),
    )
}

/// Bars that a client of the derivative port watches.
struct Following {
    id: String,
    bars: Bars,
    /// The next bar begins here or later.
    next: i64,
    /// ns between two looks at the running bar.
    every: Option<i64>,
    shown: i64,
}

/// One client of the derivative port.
pub struct Derivative {
    world: World,
    following: Vec<Following>,
}

impl Derivative {
    pub fn new(world: World) -> Self {
        Self {
            world,
            following: Vec::new(),
        }
    }

    pub fn symbols(&self) -> usize {
        self.following.len()
    }

    /// As [`Level1::command`].
    pub fn command(&mut self, line: &str, now: i64) -> Option<Vec<String>> {
        let fields: Vec<&str> = line.split(',').collect();
        let at = |place: usize| fields.get(place).copied().unwrap_or_default();
        match at(0) {
            "BW" => Some(
                self.watch(&fields, now)
                    .unwrap_or_else(|| vec!["E,!SYNTAX_ERROR!,,".to_owned()]),
            ),
            "BR" => {
                self.following
                    .retain(|f| text::symbol(f.bars.asset) != at(1) || f.id != at(2));
                Some(Vec::new())
            }
            "S" if line == "S,UNWATCH ALL" => {
                self.following.clear();
                Some(Vec::new())
            }
            "S" if line == "S,REQUEST WATCHES" => {
                let watches = self.following.iter();
                Some(
                    watches
                        .map(|f| format!("S,WATCHES,{},{}", text::symbol(f.bars.asset), f.id))
                        .collect(),
                )
            }
            _ => None,
        }
    }

    fn watch(&mut self, fields: &[&str], now: i64) -> Option<Vec<String>> {
        let at = |place: usize| fields.get(place).copied().unwrap_or_default();
        let Some(asset) = Asset::find_spelled(at(1)) else {
            return Some(vec![format!("n,{}", at(1))]);
        };
        let seconds: i64 = at(2)
            .parse()
            .ok()
            .filter(|length| (1..=86_400).contains(length))?;
        let bars = Bars {
            world: self.world,
            asset,
            interval: Interval {
                count: seconds,
                unit: Unit::Second,
            },
            adjusted: false,
            only: None,
            now,
        };
        let (running, _) = bars.interval.window(asset, now);
        let mut past: Vec<Bar> = match (at(3), at(4), at(5)) {
            ("", "", "") => Vec::new(),
            ("", "", count) => {
                let count: usize = count.parse().ok()?;
                let mut newest: Vec<Bar> = bars.starting(BEGIN_NS, running).rev().take(count).collect();
                newest.reverse();
                newest
            }
            ("", days, _) => {
                let days: i64 = days.parse().ok()?;
                bars.starting(asset.midnight(asset.day(now) - days + 1), running)
                    .collect()
            }
            (begin, ..) => bars.starting(text::parse_moment(begin)?, running).collect(),
        };
        past.truncate(100_000);
        let id = at(8).to_owned();
        let replaced = self
            .following
            .iter()
            .any(|f| f.id == id && std::ptr::eq(f.bars.asset, asset));
        self.following
            .retain(|f| f.id != id || !std::ptr::eq(f.bars.asset, asset));
        let mut lines = Vec::new();
        if replaced {
            lines.push(format!("S,REPLACED PREVIOUS WATCH,{}", at(1)));
        }
        lines.extend(past.iter().map(|bar| printed(&id, "BH", asset, bar)));
        let every = at(11).parse::<i64>().ok().map(|seconds| seconds * SECOND_NS);
        self.following.push(Following {
            id,
            bars,
            next: running,
            every,
            shown: now,
        });
        Some(lines)
    }

    /// Bars that are complete now, and looks at those that run.
    pub fn news(&mut self, now: i64) -> Vec<String> {
        let mut lines = Vec::new();
        for following in &mut self.following {
            following.bars.now = now;
            let (asset, bars) = (following.bars.asset, following.bars);
            let (running, _) = bars.interval.window(asset, now);
            let complete = bars.starting(following.next, running);
            lines.extend(complete.map(|bar| printed(&following.id, "BC", asset, &bar)));
            following.next = following.next.max(running);
            if following
                .every
                .is_some_and(|every| now >= following.shown + every)
            {
                following.shown = now;
                let now_running = bars.starting(running, now + 1);
                lines.extend(now_running.map(|bar| printed(&following.id, "BU", asset, &bar)));
            }
        }
        lines
    }
}

/// Open, high, low, close: another order than history's.
fn printed(id: &str, kind: &str, asset: &Asset, bar: &Bar) -> String {
    let id = if id.is_empty() {
        String::new()
    } else {
        format!("{id},")
    };
    format!(
        "{id}{kind},{},{},{},{},{},{},{},{},{}",
        text::symbol(asset),
        text::stamp(bar.start, 0),
        text::price(asset, bar.open),
        text::price(asset, bar.high),
        text::price(asset, bar.low),
        text::price(asset, bar.close),
        text::size(asset, bar.volume),
        text::size(asset, bar.volume),
        bar.trades,
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    const WORLD: World = World {
        seed: 7,
        density: 1.0,
    };
    // Tuesday, 2 July 2024, 10:00 in New York.
    const OPEN: i64 = 1_719_928_800 * SECOND_NS;

    fn field(line: &str, place: usize) -> String {
        line.split(',').nth(place).unwrap_or_default().to_owned()
    }

    #[test]
    fn what_is_watched_ends_in_the_valid_trades_of_history() {
        let mut client = Level1::new(WORLD);
        client.command(
            "S,SELECT UPDATE FIELDS,Symbol,Most Recent Trade,TickID,Message Contents",
            OPEN,
        );
        let begun = client.command("wAAPL", OPEN).unwrap();
        assert!(
            begun[0].starts_with("F,AAPL,") && begun[1].starts_with("P,AAPL,"),
            "{begun:?}"
        );
        let mut kept: BTreeMap<String, String> = BTreeMap::new();
        let until = OPEN + 1_800 * SECOND_NS;
        for second in (OPEN..=until + AMENDED_AFTER_NS).step_by(SECOND_NS as usize) {
            for line in client.news(second) {
                match (line.as_bytes()[0], field(&line, 4).as_str()) {
                    (b'Q', "ba") => {}
                    (b'Q', _) => drop(kept.insert(field(&line, 3), field(&line, 2))),
                    (b'C', _) if field(&line, 2) == "D" => {
                        kept.remove(&field(&line, 7)).unwrap();
                    }
                    _ => drop(kept.insert(field(&line, 7), field(&line, 5))),
                }
            }
        }
        let asset = Asset::find("AAPL").unwrap();
        let history: BTreeMap<String, String> = WORLD
            .trades(
                asset,
                OPEN + 1,
                until + AMENDED_AFTER_NS + 1,
                until + AMENDED_AFTER_NS,
            )
            .filter(valid)
            .map(|trade| (trade.number.to_string(), text::price(asset, trade.price)))
            .collect();
        assert!(history.len() > 80);
        assert_eq!(kept, history);
    }

    #[test]
    fn streamed_bars_are_those_of_history() {
        let mut client = Derivative::new(WORLD);
        let past = client
            .command("BW,AAPL,60,20240702 093000,,,,,X1,s,,5", OPEN)
            .unwrap();
        assert!(
            past[0].starts_with("X1,BH,AAPL,2024-07-02 09:30:00,"),
            "{}",
            past[0]
        );
        let mut told = past;
        let (mut updates, until) = (0, OPEN + 600 * SECOND_NS);
        for second in (OPEN..=until).step_by(SECOND_NS as usize) {
            let (running, complete): (Vec<_>, Vec<_>) = client
                .news(second)
                .into_iter()
                .partition(|line| line.starts_with("X1,BU"));
            updates += running.len();
            told.extend(complete);
        }
        assert!(updates > 60, "{updates}");
        assert_eq!(told.len(), 40);
        assert!(
            told[39].starts_with("X1,BC,AAPL,2024-07-02 10:09:00,"),
            "{}",
            told[39]
        );
        assert_eq!(
            client.command("BW,NONE,60,,,,,,X1,s,,", OPEN).unwrap(),
            ["n,NONE"]
        );
        assert_eq!(client.command("hello", OPEN), None);
    }

    #[test]
    fn other_commands() {
        let mut client = Level1::new(WORLD);
        assert_eq!(client.command("wNONE", OPEN).unwrap(), ["n,NONE"]);
        client.command("tSPY", OPEN);
        assert_eq!(
            client.command("S,REQUEST WATCHES", OPEN).unwrap(),
            ["S,WATCHES,SPY"]
        );
        client.command("rSPY", OPEN);
        assert_eq!(client.symbols(), 0);
        assert_eq!(client.command("T", OPEN).unwrap(), ["T,20240702 10:00:00"]);
        assert_eq!(client.command("hello", OPEN), None);
    }
}
