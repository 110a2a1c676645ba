//! What a collector tells of itself: the status object and Prometheus text.

use std::fmt::Write;

use serde_json::{Map, Value, json};

use super::process::Process;
use crate::clock::wall_ns;
use crate::failure::{Category, Failure};

/// One word for how it goes.
pub fn state(process: &Process) -> &'static str {
    let shared = &process.shared;
    if shared.draining.get() {
        return "draining";
    }
    if shared.engine.borrow().fatal.is_some() {
        return "failed";
    }
    if process.instruments.is_empty() {
        return if process.without_table() {
            "starting"
        } else if process.unknown.is_empty() {
            "idle"
        } else {
            "failed"
        };
    }
    let slots = || process.slots().filter(|slot| slot.instruments.get() > 0);
    if slots().next().is_none() || slots().any(|slot| slot.live.get() == 0) {
        return if slots().any(|slot| slot.was_live.get() || slot.attempt.get() > 0) {
            "reconnecting"
        } else {
            "starting"
        };
    }
    match refused(process).len() {
        0 => {}
        all if all == process.instruments.len() => return "failed",
        _ => return "stale",
    }
    if shared.engine.borrow().core.stale() {
        return "stale";
    }
    let silent = shared.mono() - shared.engine.borrow().figures.heard;
    let patience = (shared.limits.silence_ns / 2).max(2_000_000_000);
    if silent > patience { "stale" } else { "live" }
}

/// Names of the instruments of which the venue gives nothing.
fn refused(process: &Process) -> Vec<&str> {
    let engine = process.shared.engine.borrow();
    let named = |number| process.instruments.iter().find(move |known| known.0 == number);
    engine
        .core
        .refused()
        .filter_map(|number| named(number).map(|known| known.1.as_str()))
        .collect()
}

/// The instruments that the venue refused, as an error.
fn refusal(process: &Process) -> Option<Failure> {
    let names = refused(process);
    (!names.is_empty()).then(|| {
        Failure::new(
            Category::Upstream,
            "instrument_refused",
            format!("the venue gives nothing of {}", names.join(", ")),
            "see whether it is still listed; the log has the venue's own words",
        )
    })
}

/// The venue said that it lost its own source, as an error.
fn sourceless(process: &Process) -> Option<Failure> {
    process.shared.engine.borrow().core.stale().then(|| {
        Failure::new(
            Category::Upstream,
            "venue_stale",
            "the venue says that it is cut off from its own source",
            "it goes on by itself once the venue is back; the log has the venue's own words",
        )
    })
}

/// Figures by name: counters end in `_total`.
fn figures(process: &Process) -> Vec<(&'static str, f64)> {
    let engine = process.shared.engine.borrow();
    let (figures, counts) = (&engine.figures, engine.core.counts());
    let quantile =
        |histogram: &super::metric::Histogram, share| histogram.quantile(share).unwrap_or(0) as f64;
    vec![
        ("messages_total", figures.messages as f64),
        ("bytes_total", figures.bytes as f64),
        ("records_total", counts.records as f64),
        ("duplicates_total", counts.duplicates as f64),
        ("snapshots_total", counts.snapshots as f64),
        ("gaps_total", counts.gaps as f64),
        ("gap_records_missing_total", counts.missing as f64),
        ("gaps_open", engine.core.open_gaps() as f64),
        ("reconnects_total", figures.reconnects as f64),
        ("rotations_total", figures.rotations as f64),
        ("quarantined_total", figures.quarantined as f64),
        ("kept_lost_total", engine.keeper.lost() as f64),
        ("messages_per_s", figures.rate.per_s()),
        ("lag_p50_ns", quantile(&figures.lag, 0.5)),
        ("lag_p99_ns", quantile(&figures.lag, 0.99)),
        ("append_p50_ns", quantile(&figures.append, 0.5)),
        ("append_p99_ns", quantile(&figures.append, 0.99)),
        ("epoch", f64::from(engine.epoch())),
        ("sequence", (engine.next_sequence() - 1) as f64),
        ("durable", engine.durable() as f64),
        ("instruments", process.instruments.len() as f64),
    ]
}

/// The answer to `{"op":"status"}`.
pub fn status(process: &Process) -> Value {
    process.note_state();
    let (state, since_ns) = process.state.get();
    let metrics: Map<String, Value> = figures(process)
        .into_iter()
        .map(|(name, value)| (name.to_owned(), number(value)))
        .collect();
    let shared = &process.shared;
    let mono = shared.mono();
    let next_try = process
        .slots()
        .map(|slot| slot.next_try.get())
        .filter(|&at| at > mono)
        .min();
    let error = shared
        .engine
        .borrow()
        .fatal
        .clone()
        .or_else(|| shared.trouble.borrow().clone().filter(|_| state != "live"))
        .or_else(|| {
            process
                .rest
                .trouble
                .borrow()
                .clone()
                .filter(|_| process.without_table())
        })
        .or_else(|| sourceless(process))
        .or_else(|| refusal(process))
        .or_else(|| process.unknown.first().cloned());
    let trouble = shared.engine.borrow().trouble();
    let error = error.or_else(|| {
        trouble.map(|text| {
            Failure::new(
                Category::Resource,
                "journal_short",
                text,
                "free disk space or let the recorder catch up",
            )
        })
    });
    let engine = shared.engine.borrow();
    let (figures, counts) = (&engine.figures, engine.core.counts());
    json!({
        "part": format!("collector-{}", process.name),
        "pid": std::process::id(),
        "state": state,
        "since_ns": since_ns,
        "version": env!("CARGO_PKG_VERSION"),
        "metrics": metrics,
        "venue": process.name,
        "protocol": shared.protocol.name(),
        "url": shared.ws_url.to_string(),
        "instruments": process.instruments.iter().map(|(_, name)| name).collect::<Vec<_>>(),
        "unknown": process.unknown.iter().map(|failure| failure.to_json()).collect::<Vec<_>>(),
        "connections": process.slots().filter(|slot| slot.instruments.get() > 0).count(),
        "epoch": engine.epoch(),
        "sequence": engine.next_sequence() - 1,
        "durable": engine.durable(),
        "messages": figures.messages,
        "records": counts.records,
        "messages_per_s": number(figures.rate.per_s()),
        "lag_p50_ns": figures.lag.quantile(0.5),
        "lag_p99_ns": figures.lag.quantile(0.99),
        "append_p50_ns": figures.append.quantile(0.5),
        "append_p99_ns": figures.append.quantile(0.99),
        "reconnects": figures.reconnects,
        "attempt": process.slots().map(|slot| slot.attempt.get()).max().unwrap_or(0),
        "next_try_ns": next_try.map(|at| wall_ns() + at - mono),
        "gaps_open": engine.core.open_gaps(),
        "gaps": counts.gaps,
        "missing": counts.missing,
        "last_message_ns": (figures.last_message_ns != 0).then_some(figures.last_message_ns),
        "quarantined": figures.quarantined,
        "error": error.map(|failure| failure.to_json()),
    })
}

/// Whole numbers without a point.
fn number(value: f64) -> Value {
    if value.fract() == 0.0 && value.abs() < 9e15 {
        json!(value as i64)
    } else {
        json!(value)
    }
}

/// The answer to `{"op":"metrics"}`.
pub fn metrics(process: &Process) -> String {
    let mut text = String::new();
    for (name, value) in figures(process) {
        let kind = if name.ends_with("_total") {
            "counter"
        } else {
            "gauge"
        };
        // Writing to a string cannot fail.
        let _ = writeln!(text, "# TYPE tidemill_collector_{name} {kind}");
        let _ = writeln!(
            text,
            "tidemill_collector_{name}{{venue=\"{}\"}} {value}",
            process.name
        );
    }
    let up = f64::from(u8::from(state(process) == "live"));
    let _ = writeln!(text, "# TYPE tidemill_collector_live gauge");
    let _ = writeln!(text, "tidemill_collector_live{{venue=\"{}\"}} {up}", process.name);
    text
}
