//! Bars of one second for screens: the open one as it grows, then once closed.
//!
//! Made by the same kernel as the stored ones, so that both end the same; these only let a chart move
//! between two requests.

use std::collections::BTreeSet;

use kernels::bar::{Bar, BarBuilder, Closed, Pushed};
use wire::{Decimal, Record};

use super::json;

/// Length of a bar.
pub const INTERVAL_NS: i64 = 1_000_000_000;
/// Closed bars are kept this long for trades that come late; what is later still is left to the store.
const KEPT_NS: i64 = 10 * INTERVAL_NS;
/// An open bar is shown at most this often.
const PACE_NS: i64 = 100_000_000;

/// The newest bars of one instrument.
#[derive(Clone, Debug)]
pub struct Bars {
    builder: BarBuilder,
    /// Seconds that began before we listened are not whole and are not shown.
    whole_from_ns: Option<i64>,
    /// Starts of the open bars that changed since they were shown. A venue whose clock is ahead of ours keeps many open.
    changed: BTreeSet<i64>,
    shown_ns: i64,
    closed: Vec<Closed>,
}

impl Default for Bars {
    fn default() -> Self {
        Self {
            builder: BarBuilder::new(INTERVAL_NS),
            whole_from_ns: None,
            changed: BTreeSet::new(),
            shown_ns: 0,
            closed: Vec::new(),
        }
    }
}

impl Bars {
    /// Takes in a trade, in the order of the journal.
    pub fn trade(&mut self, trade: &Record, sequence: u64) {
        let start_ns = trade.ts_event - trade.ts_event.rem_euclid(INTERVAL_NS);
        if start_ns < *self.whole_from_ns.get_or_insert(start_ns + INTERVAL_NS) {
            return;
        }
        // A trade that does not fit its bar's digits is in no bar; the store says so, a screen cannot.
        if let Ok(Pushed::Counted) = self.builder.push(trade, sequence) {
            self.changed.insert(start_ns);
        }
    }

    /// Hands over what is to be shown at `now_ns`, wall clock: bars that closed at once, open ones at
    /// their pace. Nothing when nobody wants them: a new subscription is shown those that are open.
    pub fn show(&mut self, now_ns: i64, is_wanted: bool, mut each: impl FnMut(&Bar, Option<u32>)) {
        self.builder.advance(now_ns, &mut self.closed);
        for closed in self.closed.drain(..).filter(|_| is_wanted) {
            each(&closed.bar, Some(closed.revision));
        }
        if !self.changed.is_empty() && now_ns - self.shown_ns >= PACE_NS {
            self.shown_ns = now_ns;
            let changed = std::mem::take(&mut self.changed);
            if is_wanted {
                // Bars stay open for late trades: only one that changed is shown again.
                for bar in self.builder.open().filter(|bar| changed.contains(&bar.start_ns)) {
                    each(bar, None);
                }
            }
            self.builder.forget(now_ns - KEPT_NS);
        }
    }

    /// Bars that are not closed yet, oldest first.
    pub fn open(&self) -> impl Iterator<Item = &Bar> {
        self.builder.open()
    }
}

/// Appends `"interval":…,"start":…,…,"closed":…`; a closed bar has a revision, 0 the first time.
pub fn write(out: &mut Vec<u8>, bar: &Bar, revision: Option<u32>) {
    out.extend_from_slice(b"\"interval\":\"1s\",\"start\":");
    json::quoted(out, bar.start_ns);
    for (name, mantissa) in [
        (&b",\"open\":"[..], bar.open),
        (b",\"high\":", bar.high),
        (b",\"low\":", bar.low),
        (b",\"close\":", bar.close),
    ] {
        out.extend_from_slice(name);
        json::decimal(out, Decimal::new(mantissa, bar.price_scale));
    }
    out.extend_from_slice(b",\"volume\":");
    json::wide_decimal(out, bar.volume, bar.size_scale);
    out.extend_from_slice(b",\"trades\":");
    json::integer(out, bar.trades);
    match revision {
        None => out.extend_from_slice(b",\"closed\":false"),
        Some(revision) => {
            out.extend_from_slice(b",\"closed\":true,\"revision\":");
            json::integer(out, u64::from(revision));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kernels::bar::GRACE_NS;
    use wire::Side;

    fn trade(at_ms: i64, price: &str, size: &str) -> Record {
        let mut record = Record::trade(1, Side::Buy, price.parse().unwrap(), size.parse().unwrap(), 0)
            .at(at_ms * 1_000_000, at_ms * 1_000_000);
        record.flags &= !wire::flag::HAS_ID;
        record
    }

    fn shown(bars: &mut Bars, now_ms: i64) -> Vec<String> {
        let mut texts = Vec::new();
        bars.show(now_ms * 1_000_000, true, |bar, revision| {
            let mut out = b"{".to_vec();
            write(&mut out, bar, revision);
            out.push(b'}');
            let v: serde_json::Value = serde_json::from_slice(&out).unwrap();
            let text = |name: &str| v[name].as_str().unwrap().to_owned();
            texts.push(format!(
                "{}s o{} h{} l{} c{} v{} n{} {}",
                text("start").parse::<i64>().unwrap() / INTERVAL_NS,
                text("open"),
                text("high"),
                text("low"),
                text("close"),
                text("volume"),
                v["trades"],
                v["closed"]
            ));
        });
        texts
    }

    #[test]
    fn a_bar_grows_at_its_pace_and_closes_once() {
        let mut bars = Bars::default();
        bars.trade(&trade(500, "1", "1"), 1); // its second began before we listened
        bars.trade(&trade(1_100, "10.5", "1"), 2);
        bars.trade(&trade(1_200, "10.25", "0.25"), 3);
        assert_eq!(
            shown(&mut bars, 1_200),
            ["1s o10.50 h10.50 l10.25 c10.25 v1.25 n2 false"]
        );
        bars.trade(&trade(1_250, "11", "2"), 4);
        assert_eq!(
            shown(&mut bars, 1_250),
            Vec::<String>::new(),
            "not before its pace"
        );
        assert_eq!(
            shown(&mut bars, 1_310),
            ["1s o10.50 h11.00 l10.25 c11.00 v3.25 n3 false"]
        );
        let end_ms = 2_000 + GRACE_NS / 1_000_000;
        assert_eq!(shown(&mut bars, end_ms - 1), Vec::<String>::new());
        assert_eq!(
            shown(&mut bars, end_ms),
            ["1s o10.50 h11.00 l10.25 c11.00 v3.25 n3 true"]
        );
        assert_eq!(shown(&mut bars, end_ms + 1_000), Vec::<String>::new());
    }

    #[test]
    fn of_several_open_bars_the_one_that_changed_is_shown() {
        let mut bars = Bars::default();
        for at_ms in [0, 1_000, 2_000] {
            bars.trade(&trade(at_ms, "1", "1"), at_ms as u64);
        }
        assert_eq!(shown(&mut bars, 2_000).len(), 2);
        bars.trade(&trade(2_100, "2", "1"), 2_100);
        assert_eq!(shown(&mut bars, 2_200), ["2s o1 h2 l1 c2 v2 n2 false"]);
        bars.trade(&trade(1_100, "3", "1"), 2_101);
        assert_eq!(shown(&mut bars, 2_300), ["1s o1 h3 l1 c3 v2 n2 false"]);
    }
    #[test]
    fn an_hour_of_bars_that_stay_open_costs_no_more_than_the_one_that_changed() {
        let mut bars = Bars::default();
        for second in 0..3_600 {
            bars.trade(&trade(second * 1_000, "1", "1"), second as u64);
        }
        assert_eq!(shown(&mut bars, 200).len(), 3_599);
        bars.trade(&trade(3_599_500, "2", "1"), 3_600);
        assert_eq!(bars.changed.len(), 1);
        assert_eq!(shown(&mut bars, 400), ["3599s o1 h2 l1 c2 v2 n2 false"]);
        // Nobody looks: nothing is handed over, and nothing piles up.
        bars.trade(&trade(3_599_600, "3", "1"), 3_601);
        bars.show(600_000_000, false, |_, _| panic!("nobody wants it"));
        assert!(bars.changed.is_empty());
    }
}
