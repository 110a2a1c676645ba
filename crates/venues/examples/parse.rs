//! Nanoseconds from a message to its records, through the real sessions.
//!
//! ```text
//! cargo run --release -p venues --example parse                                  messages of its own
//! cargo run --release -p venues --example parse -- binance BTCUSDT 2 FILE        those of a file, one a line
//! ```
//!
//! Each figure is the median of many runs, each with a fresh session.

use std::fmt::Write;
use std::hint::black_box;
use std::time::Instant;

use venues::{Channels, Listing, Output, Session, Subscription};
use wire::Decimal;

const START: i64 = 1_700_000_000_000_000_000;
const MESSAGES: usize = 2_000;
const RUNS: usize = 101;

/// Name, protocol, symbol, price scale, messages before and messages measured.
type Case = (
    &'static str,
    &'static str,
    &'static str,
    u8,
    Vec<String>,
    Vec<String>,
);

fn session(protocol: &str, symbol: &str, price_scale: u8) -> Option<Box<dyn Session>> {
    let listing = Listing {
        symbol: symbol.into(),
        rest_symbol: symbol.into(),
        base: String::new(),
        quote: String::new(),
        tick: Decimal::new(1, price_scale),
        lot: Decimal::new(1, 8),
        price_scale,
        size_scale: 8,
        status: String::new(),
    };
    let channels = Channels {
        depth: 10,
        ..Channels::default()
    };
    Some(venues::by_name(protocol)?.session(
        &[Subscription {
            instrument: 1,
            listing,
        }],
        channels,
    ))
}

/// Median nanoseconds per message over the runs, each with a fresh session that first hears `before`.
fn measure(
    protocol: &str,
    symbol: &str,
    price_scale: u8,
    before: &[String],
    messages: &[String],
) -> Option<(f64, usize)> {
    let mut times = Vec::with_capacity(RUNS);
    let mut records = 0;
    for _ in 0..RUNS {
        let mut session = session(protocol, symbol, price_scale)?;
        let mut out = Output::default();
        session.open(START, &mut out);
        for text in before {
            session.message(text.as_bytes(), START, &mut out);
        }
        records = 0;
        let began = Instant::now();
        for (text, now) in messages.iter().zip(START..) {
            out.clear();
            session.message(black_box(text.as_bytes()), now, &mut out);
            records += black_box(&out).records.len();
        }
        times.push(began.elapsed().as_nanos() as f64 / messages.len() as f64);
        if !out.quarantined.is_empty() {
            return None;
        }
    }
    times.sort_by(f64::total_cmp);
    Some((times[RUNS / 2], records))
}

fn report(name: &str, result: Option<(f64, usize)>, bytes: usize) {
    match result {
        Some((ns, records)) => {
            println!("{name:28} {ns:8.1} ns a message of {bytes} bytes, {records} records")
        }
        None => println!("{name:28} failed"),
    }
}

/// Messages of a file instead of those below; says what it found as JSON.
fn read(arguments: &[String]) -> Option<()> {
    let [protocol, symbol, scale, path] = arguments else {
        return None;
    };
    let text = std::fs::read_to_string(path).ok()?;
    let messages: Vec<String> = text.lines().map(str::to_owned).collect();
    let (ns, records) = measure(protocol, symbol, scale.parse().ok()?, &[], &messages)?;
    println!("{{\"ns\": {ns:.1}, \"records\": {records}}}");
    Some(())
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if !arguments.is_empty() {
        if read(&arguments).is_none() {
            eprintln!(
                "wanted PROTOCOL SYMBOL PRICE_SCALE FILE with messages of that protocol; found {arguments:?}"
            );
            std::process::exit(2);
        }
        return;
    }
    let each = |make: &dyn Fn(usize) -> String| -> Vec<String> { (0..MESSAGES).map(make).collect() };
    let cases: Vec<Case> = vec![
        (
            "binance trade",
            "binance",
            "BTCUSDT",
            2,
            vec![],
            each(&|n| {
                format!(
                    "{{\"stream\":\"btcusdt@trade\",\"data\":{{\"e\":\"trade\",\"E\":1723161255343123,\"s\":\"BTCUSDT\",\"t\":{},\"p\":\"61837.63000000\",\"q\":\"0.02000000\",\"T\":1723161255342456,\"m\":true,\"M\":true}}}}",
                    3_735_683_259 + n
                )
            }),
        ),
        (
            "binance bookTicker",
            "binance",
            "BTCUSDT",
            2,
            vec![],
            each(&|n| {
                format!(
                    "{{\"stream\":\"btcusdt@bookTicker\",\"data\":{{\"u\":{},\"s\":\"BTCUSDT\",\"b\":\"61837.63000000\",\"B\":\"3.78826000\",\"a\":\"61837.64000000\",\"A\":\"1.54698000\"}}}}",
                    50_093_239_212u64 + n as u64
                )
            }),
        ),
        (
            "kraken trade",
            "kraken",
            "BTC/USD",
            1,
            vec![],
            each(&|n| {
                format!(
                    "{{\"channel\":\"trade\",\"type\":\"update\",\"data\":[{{\"symbol\":\"BTC/USD\",\"side\":\"buy\",\"price\":105944.2,\"qty\":0.00027625,\"ord_type\":\"limit\",\"trade_id\":{},\"timestamp\":\"2023-10-06T17:35:55.440295Z\"}}]}}",
                    10_218_208 + n
                )
            }),
        ),
        (
            "kraken ticker",
            "kraken",
            "BTC/USD",
            1,
            vec![],
            each(&|_| {
                "{\"channel\":\"ticker\",\"type\":\"update\",\"data\":[{\"symbol\":\"BTC/USD\",\"bid\":105944.2,\"bid_qty\":2.50000000,\"ask\":105944.3,\"ask_qty\":3.20000000,\"last\":105899.4,\"volume\":163.28908096,\"vwap\":105904.4,\"low\":104711.0,\"high\":106613.1,\"change\":250.0,\"change_pct\":0.24,\"timestamp\":\"2022-12-25T09:30:59.123456Z\"}]}".into()
            }),
        ),
        (
            "coinbase match",
            "coinbase",
            "BTC-USD",
            2,
            vec![],
            each(&|n| {
                format!(
                    "{{\"type\":\"match\",\"trade_id\":{},\"maker_order_id\":\"0f358725-2134-435e-be11-753912a326e0\",\"taker_order_id\":\"252b7002-87a3-425c-ac73-f5b9e23f3caf\",\"side\":\"sell\",\"size\":\"0.00513192\",\"price\":\"9314.78\",\"product_id\":\"BTC-USD\",\"sequence\":12038915443,\"time\":\"2020-01-31T20:03:41.158814Z\"}}",
                    82_047_307 + n
                )
            }),
        ),
        (
            "coinbase-advanced trade",
            "coinbase-advanced",
            "BTC-USD",
            2,
            vec![],
            each(&|n| {
                format!(
                    "{{\"channel\":\"market_trades\",\"timestamp\":\"2026-08-09T21:05:48.251397169Z\",\"sequence_num\":{n},\"events\":[{{\"type\":\"update\",\"trades\":[{{\"product_id\":\"BTC-USD\",\"trade_id\":\"{}\",\"price\":\"65083.67\",\"size\":\"0.01034361\",\"time\":\"2026-08-09T21:05:48.167634Z\",\"side\":\"SELL\"}}]}}]}}",
                    1_068_572_091 + n
                )
            }),
        ),
        (
            "coinbase l2update",
            "coinbase",
            "BTC-USD",
            2,
            vec![format!(
                "{{\"type\":\"snapshot\",\"product_id\":\"BTC-USD\",\"bids\":{},\"asks\":{}}}",
                rows(60_000, -1),
                rows(60_001, 1)
            )],
            each(&|n| {
                format!(
                    "{{\"type\":\"l2update\",\"product_id\":\"BTC-USD\",\"time\":\"2019-08-14T20:42:27.265000Z\",\"changes\":[[\"buy\",\"{}.00\",\"0.16256700\"]]}}",
                    59_990 - n % 20
                )
            }),
        ),
        kraken_book(),
    ];
    for (name, protocol, symbol, scale, before, messages) in &cases {
        report(
            name,
            measure(protocol, symbol, *scale, before, messages),
            messages[0].len(),
        );
    }
}

/// Ten thousand levels from a price on.
fn rows(from: i64, step: i64) -> String {
    let rows: Vec<String> = (0..10_000)
        .map(|n| format!("[\"{}.00\",\"1.5\"]", from + step * n))
        .collect();
    format!("[{}]", rows.join(","))
}

/// One level of ten changes, back and forth, under the right checksum.
fn kraken_book() -> (
    &'static str,
    &'static str,
    &'static str,
    u8,
    Vec<String>,
    Vec<String>,
) {
    let (mut bids, mut asks) = (String::new(), String::new());
    let mut text = String::new();
    for n in 0..10 {
        let _ = write!(text, "{}{}", 294_303 + n, 825_215_653);
        let _ = write!(
            asks,
            "{}{{\"price\":{}.{},\"qty\":8.25215653}}",
            if n == 0 { "" } else { "," },
            29_430,
            3 + n
        );
        if n >= 7 {
            asks.truncate(asks.rfind(",{").unwrap_or(0));
            let _ = write!(asks, ",{{\"price\":29431.{},\"qty\":8.25215653}}", n - 7);
        }
    }
    for n in 0..10 {
        let _ = write!(
            bids,
            "{}{{\"price\":2942{}.5,\"qty\":1.00000000}}",
            if n == 0 { "" } else { "," },
            9 - n
        );
    }
    let crc = |best: &str| {
        let mut all = text.clone();
        for n in 0..10 {
            let size = if n == 0 { best } else { "100000000" };
            let _ = write!(all, "2942{}5{size}", 9 - n);
        }
        crc32fast::hash(all.as_bytes())
    };
    let before = format!(
        "{{\"channel\":\"book\",\"type\":\"snapshot\",\"data\":[{{\"symbol\":\"BTC/USD\",\"bids\":[{bids}],\"asks\":[{asks}],\"checksum\":{},\"timestamp\":\"2023-10-06T17:35:55.440295Z\"}}]}}",
        crc("100000000")
    );
    let (one, two) = (crc("200000000"), crc("300000000"));
    let messages = (0..MESSAGES)
        .map(|n| {
            let (size, sum) = if n % 2 == 0 { ("2.00000000", one) } else { ("3.00000000", two) };
            format!("{{\"channel\":\"book\",\"type\":\"update\",\"data\":[{{\"symbol\":\"BTC/USD\",\"bids\":[{{\"price\":29429.5,\"qty\":{size}}}],\"asks\":[],\"checksum\":{sum},\"timestamp\":\"2023-10-06T17:35:55.440295Z\"}}]}}")
        })
        .collect();
    (
        "kraken book, checksum",
        "kraken",
        "BTC/USD",
        1,
        vec![before],
        messages,
    )
}
