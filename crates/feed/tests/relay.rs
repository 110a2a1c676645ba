//! The relay over real sockets: its own client, peers that misbehave, and many cursors on one journal.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a test that cannot go on fails

mod support;

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use feed::relay::client::{Address, Client, Event, Start, Subscribe};
use serde_json::{Value, json};
use support::{Browser, Home, PATIENCE, Running, Venue, start_relay, start_relay_with};
use wire::frame::{self, Decoder, kind};
use wire::{Record, Side, flag};

fn socket(home: &Home) -> Address {
    Address::Unix(home.path().join("run/relay.sock"))
}

fn connect(home: &Home) -> Client {
    Client::connect(&socket(home), None, PATIENCE).unwrap()
}

fn subscribe(home: &Home, subscribe: Subscribe) -> Client {
    let mut client = connect(home);
    client.subscribe(&subscribe).unwrap();
    client
}

/// What came, one entry a frame: kind, epoch, first sequence, count.
type Seen = (u8, u32, u64, u32);

/// Reads until the next record of a venue has this sequence. Heartbeats and control frames are left out;
/// sequences must be dense.
fn read_to(client: &mut Client, last: u64) -> (Vec<Seen>, Vec<Record>) {
    let (mut seen, mut records) = (Vec::new(), Vec::new());
    let mut next = None;
    let deadline = Instant::now() + PATIENCE;
    while next != Some(last + 1) {
        assert!(Instant::now() < deadline, "stands at {next:?} of {last}");
        let Some(event) = client.next(Some(Duration::from_secs(1))).unwrap() else {
            continue;
        };
        let Event::Frame(found) = event else {
            panic!("lapped")
        };
        let header = found.header;
        if !matches!(header.kind, kind::RECORDS | kind::SKIP) {
            continue;
        }
        assert!(
            next.is_none_or(|next| next == header.sequence),
            "dense: {next:?}, then {header:?}"
        );
        next = Some(header.next_sequence());
        seen.push((header.kind, header.epoch, header.sequence, header.count));
        records.extend_from_slice(found.records());
    }
    (seen, records)
}

/// Three kinds of records on two instruments.
fn write_mix(venue: &mut Venue, looks: usize) {
    for look in 0..looks {
        let mut records = vec![venue.trade(look % 2, "1.5", "1")];
        if look % 3 == 0 {
            records.extend(venue.quote(0, "1.4", "1.6"));
        }
        if look % 5 == 0 {
            records = vec![venue.level(1, Side::Buy, "1.1", "2").with(flag::LAST)];
        }
        venue.writer.append(&records).unwrap();
    }
}

#[test]
fn hello_names_everything_and_frames_come_byte_for_byte() {
    let home = Home::new();
    let mut venue = home.venue("sim-kraken", &["BTC-USD", "ETH-USD"]);
    write_mix(&mut venue, 50);
    let relay = start_relay(&home);
    let mut client = connect(&home);
    let hello = client.hello().clone();
    assert_eq!((hello.version, hello.token, hello.venues.len()), (1, false, 1));
    let entry = &hello.venues[0];
    let newest = venue.position().1;
    assert_eq!(
        (entry.name.as_str(), entry.venue, entry.oldest),
        ("sim-kraken", 1, (1, 1))
    );
    assert_eq!(entry.newest, (1, newest + 1));
    assert_eq!(entry.instruments[1].name, "ETH-USD.sim-kraken");
    client
        .subscribe(&Subscribe {
            from: Start::Oldest,
            ..Subscribe::default()
        })
        .unwrap();
    let (_, records) = read_to(&mut client, newest);

    let mut reader = journal::Reader::open(home.path(), "sim-kraken").unwrap();
    let mut expect = Vec::new();
    while let Some(found) = reader.next().unwrap() {
        expect.extend_from_slice(found.records());
    }
    assert!(records == expect);

    // Live, and the heartbeat that names the next sequence.
    write_mix(&mut venue, 1);
    read_to(&mut client, venue.position().1);
    let deadline = Instant::now() + PATIENCE;
    loop {
        assert!(Instant::now() < deadline);
        if let Some(Event::Frame(found)) = client.next(Some(Duration::from_secs(2))).unwrap()
            && found.header.kind == kind::HEARTBEAT
            && found.header.sequence == venue.writer.next_sequence()
        {
            assert_eq!((found.header.epoch, found.header.venue), (1, 1));
            break;
        }
    }
    let status = relay.status();
    assert_eq!(status["subscribers"].as_array().unwrap().len(), 1);
    assert!(
        relay.ask("metrics")["text"]
            .as_str()
            .unwrap()
            .contains("tidemill_relay_frames_total")
    );
    assert_eq!(relay.stop(), 0);
    assert!(client.next(Some(PATIENCE)).is_err() || client.next(Some(PATIENCE)).is_err());
}

#[test]
fn a_filter_leaves_out_and_accounts_for_everything() {
    let home = Home::new();
    let mut venue = home.venue("sim-kraken", &["BTC-USD", "ETH-USD"]);
    let mut second = home.venue("sim-coinbase", &["BTC-USD"]);
    write_mix(&mut venue, 200);
    second.trades(0, 5);
    let _relay = start_relay(&home);
    let last = venue.position().1;
    for (instruments, kinds) in [
        (vec!["ETH-USD.sim-kraken".to_owned()], vec![1u8]),
        (vec![], vec![2]),
        (vec!["BTC-USD.sim-kraken".to_owned()], vec![]),
        (vec![], vec![200]),
    ] {
        let mut client = subscribe(
            &home,
            Subscribe {
                venues: vec!["sim-kraken".into()],
                instruments: instruments.clone(),
                kinds: kinds.clone(),
                from: Start::Oldest,
                ..Subscribe::default()
            },
        );
        let (seen, records) = read_to(&mut client, last);
        let wants = |record: &&Record| {
            (kinds.is_empty() || kinds.contains(&record.kind))
                && (instruments.is_empty()
                    || record.instrument == venue.numbers[usize::from(instruments[0].starts_with("ETH"))])
        };
        let mut reader = journal::Reader::open(home.path(), "sim-kraken").unwrap();
        let mut expect = Vec::new();
        while let Some(found) = reader.next().unwrap() {
            expect.extend(found.records().iter().filter(wants).copied());
        }
        let found: Vec<Record> = records.iter().filter(wants).copied().collect();
        assert!(found == expect, "{instruments:?} {kinds:?}");
        assert!(
            seen.windows(2)
                .all(|pair| pair[0].0 == kind::RECORDS || pair[1].0 == kind::RECORDS),
            "adjacent skips are one"
        );
    }
}

#[test]
fn positions_are_exact_and_lapped_ones_are_told() {
    let home = Home::new();
    let mut venue = home.venue_with("sim-kraken", &["BTC-USD"], 16 << 10, 64 << 10);
    venue.trades(0, 5_000);
    drop(venue); // and with it the thread that deletes
    let _relay = start_relay(&home);
    let oldest = journal::Reader::open(home.path(), "sim-kraken").unwrap().oldest();
    let at = |epoch, sequence| Subscribe {
        from: Start::At([("sim-kraken".to_owned(), (epoch, sequence))].into()),
        ..Subscribe::default()
    };
    for sequence in [
        oldest.sequence,
        oldest.sequence + 1,
        (oldest.sequence + 5_000) / 2,
        5_000,
    ] {
        let mut client = subscribe(&home, at(1, sequence));
        let (seen, _) = read_to(&mut client, 5_000);
        assert_eq!(seen[0].2, sequence);
    }
    let mut client = subscribe(&home, at(1, 1));
    loop {
        match client.next(Some(PATIENCE)).unwrap().unwrap() {
            Event::Lapped(lapped) => {
                assert_eq!((lapped.wanted, lapped.oldest), ((1, 1), (1, oldest.sequence)));
                break;
            }
            Event::Frame(found) => assert_ne!(found.header.kind, kind::RECORDS, "before it was told"),
        }
    }
    let (seen, _) = read_to(&mut client, 5_000);
    assert_eq!(seen[0].2, oldest.sequence);
}

#[test]
fn snapshot_starts_each_instrument_at_its_newest_book() {
    let home = Home::new();
    let mut venue = home.venue("sim-kraken", &["BTC-USD", "ETH-USD"]);
    let book = |venue: &Venue, i: usize| {
        let now = support::now_ns();
        vec![
            Record::clear(venue.numbers[i]).with(flag::SNAPSHOT).at(now, now),
            venue
                .level(i, Side::Buy, "1.5", "2")
                .with(flag::SNAPSHOT | flag::LAST),
        ]
    };
    for i in [0, 1, 0] {
        venue.trades(0, 3);
        let records = book(&venue, i);
        venue.writer.append(&records).unwrap();
    }
    venue.trades(1, 2);
    // sequences: 1-3 trades, 4-5 book BTC, 6-8, 9-10 book ETH, 11-13, 14-15 book BTC, 16-17 trades of ETH
    let _relay = start_relay(&home);
    let mut client = subscribe(
        &home,
        Subscribe {
            from: Start::Snapshot,
            ..Subscribe::default()
        },
    );
    let (seen, _) = read_to(&mut client, 17);
    assert_eq!(
        seen,
        [
            (kind::RECORDS, 1, 9, 2),
            (kind::SKIP, 1, 11, 3),
            (kind::RECORDS, 1, 14, 2),
            (kind::RECORDS, 1, 16, 1),
            (kind::RECORDS, 1, 17, 1)
        ]
    );
}

#[test]
fn later_venues_instruments_and_epochs_are_passed_on() {
    let home = Home::new();
    let mut venue = home.venue("sim-kraken", &["BTC-USD"]);
    venue.trades(0, 1);
    let _relay = start_relay(&home);
    let mut client = subscribe(&home, Subscribe::default());
    let wait = |client: &mut Client, venue: u16, sequence: u64| {
        let deadline = Instant::now() + PATIENCE;
        loop {
            assert!(Instant::now() < deadline, "no {venue}:{sequence}");
            if let Some(Event::Frame(found)) = client.next(Some(Duration::from_secs(1))).unwrap()
                && found.header.kind == kind::RECORDS
                && (found.header.venue, found.header.sequence) == (venue, sequence)
            {
                return found.header.epoch;
            }
        }
    };
    // The first heartbeat says that the subscription is live.
    while !matches!(client.next(Some(PATIENCE)).unwrap(), Some(Event::Frame(found)) if found.header.kind == kind::HEARTBEAT)
    {
    }
    let mut second = home.venue("sim-coinbase", &["BTC-USD"]);
    second.trades(0, 1);
    assert_eq!(wait(&mut client, 2, 1), 1);
    assert_eq!(client.hello().venues[1].name, "sim-coinbase");
    let numbers = support::add_instruments(&mut venue.writer, "sim-kraken", &["SOL-USD"]);
    venue.numbers.extend(numbers);
    venue.trades(1, 1);
    wait(&mut client, 1, 2);
    assert_eq!(client.hello().venues[0].instruments[1].name, "SOL-USD.sim-kraken");
    drop(venue);
    let mut venue = home.venue("sim-kraken", &["BTC-USD"]);
    venue.trades(0, 1);
    assert_eq!(wait(&mut client, 1, 3), 2);
}

#[test]
fn one_relay_per_home_and_a_dead_ones_socket_is_replaced() {
    let home = Home::new();
    std::fs::create_dir_all(home.path().join("run")).unwrap();
    drop(std::os::unix::net::UnixListener::bind(home.path().join("run/relay.sock")).unwrap());
    let relay = start_relay(&home);
    assert_eq!(feed::relay::run(support::relay_options(&home)), 6);
    let held = std::fs::read_to_string(home.path().join("run/relay.lock")).unwrap();
    assert_eq!(held.trim(), std::process::id().to_string());
    let mode = std::os::unix::fs::PermissionsExt::mode(
        &std::fs::metadata(home.path().join("run/relay.sock"))
            .unwrap()
            .permissions(),
    );
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(relay.stop(), 0);
    let again = start_relay(&home);
    assert_eq!(again.stop(), 0);
}

fn raw(home: &Home) -> UnixStream {
    let stream = UnixStream::connect(home.path().join("run/relay.sock")).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// The control messages that come until the server closes.
fn controls_until_end(stream: &mut UnixStream) -> Vec<Value> {
    let (mut bytes, mut buffer) = (Vec::new(), [0; 4096]);
    let deadline = Instant::now() + PATIENCE;
    while let Ok(read @ 1..) = stream.read(&mut buffer) {
        bytes.extend_from_slice(&buffer[..read]);
        assert!(Instant::now() < deadline, "it was not closed");
    }
    let mut decoder = Decoder::new();
    decoder.push(&bytes);
    let mut values = Vec::new();
    while let Ok(Some(found)) = decoder.next_frame() {
        if let Some(text) = found.control() {
            values.push(serde_json::from_str(text).unwrap());
        }
    }
    values
}

fn control(value: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    frame::encode(&mut out, kind::CONTROL, 0, 0, 0, 0, value.to_string().as_bytes());
    out
}

#[test]
fn peers_that_misbehave_are_told_why_and_cut_and_the_others_go_on() {
    let home = Home::new();
    let mut venue = home.venue("sim-kraken", &["BTC-USD"]);
    venue.trades(0, 1);
    let relay = start_relay(&home);
    let mut good = subscribe(&home, Subscribe::default());
    while !matches!(good.next(Some(PATIENCE)).unwrap(), Some(Event::Frame(found)) if found.header.kind == kind::HEARTBEAT)
    {
    }

    let mut flipped = control(&json!({"type": "subscribe"}));
    flipped[40] ^= 1;
    let mut foreign = control(&json!({"type": "subscribe"}));
    foreign[4] = 9; // version of the frame
    let table = [
        (
            b"GET / HTTP/1.1\r\n\r\n------------------------".to_vec(),
            "frame_malformed",
        ),
        (vec![0; 64], "frame_malformed"),
        (flipped, "frame_malformed"),
        (foreign, "frame_malformed"),
        (control(&json!("subscribe")), ""),
        (
            control(&json!({"type": "subscribe", "version": 2})),
            "version_refused",
        ),
        (
            control(&json!({"type": "subscribe", "speed": 2})),
            "subscription_malformed",
        ),
        (
            control(&json!({"type": "subscribe", "kinds": [999]})),
            "subscription_malformed",
        ),
        (
            control(&json!({"type": "subscribe", "venues": ["sim-krakn"]})),
            "venue_unknown",
        ),
        (
            control(&json!({"type": "subscribe", "instruments": ["BTC-USX.sim-kraken"]})),
            "instrument_unknown",
        ),
        (
            control(&json!({"type": "subscribe", "from": {"kraken": [1, 1]}})),
            "venue_unknown",
        ),
        (control(&json!({"type": "weather"})), ""),
        (
            [
                control(&json!({"type": "subscribe"})),
                control(&json!({"type": "subscribe"})),
            ]
            .concat(),
            "subscribed_already",
        ),
    ];
    for (bytes, code) in table {
        let mut stream = raw(&home);
        stream.write_all(&bytes).unwrap();
        if code.is_empty() {
            // Unknown control types are ignored: the subscription after them is taken.
            stream
                .write_all(&control(&json!({"type": "subscribe", "version": 3})))
                .unwrap();
        }
        let values = controls_until_end(&mut stream);
        assert_eq!(values[0]["type"], "hello");
        let last = values.last().unwrap();
        let code = if code.is_empty() { "version_refused" } else { code };
        assert_eq!(
            (&last["type"], &last["code"]),
            (&json!("error"), &json!(code)),
            "{values:?}"
        );
    }
    // One that sends a byte at a time is understood all the same.
    let mut stream = raw(&home);
    for byte in control(&json!({"type": "subscribe", "from": "oldest"})) {
        stream.write_all(&[byte]).unwrap();
    }
    let mut decoder = Decoder::new();
    let mut buffer = [0; 4096];
    let found = 'read: loop {
        let read = stream.read(&mut buffer).unwrap();
        decoder.push(&buffer[..read]);
        while let Some(found) = decoder.next_frame().unwrap() {
            if found.header.kind == kind::RECORDS {
                break 'read found.header.sequence;
            }
        }
    };
    assert_eq!(found, 1);
    drop(stream);
    venue.trades(0, 1);
    read_to(&mut good, 2);
    relay.wait_for("the others to be gone", |status| {
        status["metrics"]["subscribers"] == 1
    });
}

#[test]
fn every_split_of_the_stream_decodes_alike() {
    let home = Home::new();
    let mut venue = home.venue("sim-kraken", &["BTC-USD"]);
    write_some(&mut venue);
    let _relay = start_relay(&home);
    let mut stream = raw(&home);
    stream
        .write_all(&control(
            &json!({"type": "subscribe", "kinds": [1], "from": "oldest"}),
        ))
        .unwrap();
    let (mut bytes, mut buffer) = (Vec::new(), [0; 4096]);
    let all = |bytes: &[u8], split: Option<usize>| {
        let mut decoder = Decoder::new();
        let mut headers = Vec::new();
        let cut = split.unwrap_or(bytes.len());
        for piece in [&bytes[..cut], &bytes[cut..]] {
            decoder.push(piece);
            while let Some(found) = decoder.next_frame().unwrap() {
                headers.push(found.header);
            }
        }
        headers
    };
    while !all(&bytes, None)
        .iter()
        .any(|header| header.kind == kind::HEARTBEAT)
    {
        let read = stream.read(&mut buffer).unwrap();
        bytes.extend_from_slice(&buffer[..read]);
    }
    let expect = all(&bytes, None);
    assert!(expect.iter().any(|header| header.kind == kind::SKIP));
    for cut in 0..bytes.len() {
        assert_eq!(all(&bytes, Some(cut)), expect, "cut at {cut}");
    }
}

fn write_some(venue: &mut Venue) {
    let quote = venue.quote(0, "1.4", "1.6");
    venue.trades(0, 2);
    venue.writer.append(&quote).unwrap();
    venue.trades(0, 1);
}

#[test]
fn a_subscriber_that_reads_nothing_is_cut_and_costs_the_others_nothing() {
    let home = Home::new();
    let mut venue = home.venue("sim-kraken", &["BTC-USD"]);
    venue.trades(0, 1);
    let mut options = support::relay_options(&home);
    options.stall_s = 1;
    let relay = start_relay_with(options);
    let mut asleep = raw(&home);
    asleep.write_all(&control(&json!({"type": "subscribe"}))).unwrap();
    let mut good = subscribe(&home, Subscribe::default());
    while !matches!(good.next(Some(PATIENCE)).unwrap(), Some(Event::Frame(found)) if found.header.kind == kind::HEARTBEAT)
    {
    }
    relay.wait_for("both", |status| status["metrics"]["subscribers"] == 2);
    let batch: Vec<Record> = (0..100).map(|_| venue.trade(0, "1.5", "2")).collect();
    for _ in 0..400 {
        venue.writer.append(&batch).unwrap();
    }
    read_to(&mut good, 40_001);
    let status = relay.wait_for("the cut", |status| status["metrics"]["cut"] == 1);
    assert_eq!(status["metrics"]["subscribers"], 1);
    // What it had been sent is whole frames, and it can resume behind the last of them.
    let mut bytes = Vec::new();
    let _ = asleep.read_to_end(&mut bytes);
    let mut decoder = Decoder::new();
    decoder.push(&bytes);
    let mut next = (1, 0);
    while let Some(found) = decoder.next_frame().unwrap() {
        if found.header.kind == kind::RECORDS {
            next = (found.header.epoch, found.header.next_sequence());
        }
    }
    assert!(next.1 > 100 && next.1 < 40_000, "{next:?}");
    let mut again = subscribe(
        &home,
        Subscribe {
            from: Start::At([("sim-kraken".to_owned(), next)].into()),
            ..Subscribe::default()
        },
    );
    let (seen, _) = read_to(&mut again, 40_001);
    assert_eq!(seen[0].2, next.1);
}

#[test]
fn control_frames_name_the_place_they_stand_at() {
    let home = Home::new();
    let mut venue = home.venue("sim-kraken", &["BTC-USD"]);
    let _relay = start_relay(&home);
    let mut client = connect(&home); // its hello knows nothing of what follows
    for _ in 0..3 {
        let quote = venue.quote(0, "1.4", "1.6");
        venue.writer.append(&quote).unwrap();
    }
    let numbers = support::add_instruments(&mut venue.writer, "sim-kraken", &["SOL-USD"]);
    venue.numbers.extend(numbers);
    venue.trades(1, 1);
    client
        .subscribe(&Subscribe {
            kinds: vec![1],
            from: Start::Oldest,
            ..Subscribe::default()
        })
        .unwrap();
    let mut next = 1;
    let mut seen = Vec::new();
    while next < 8 {
        if let Some(Event::Frame(found)) = client.next(Some(PATIENCE)).unwrap() {
            seen.push((found.header.kind, found.header.sequence));
            assert_eq!(found.header.sequence, next, "{seen:?}");
            next = found.header.next_sequence();
        }
    }
    assert_eq!(client.hello().venues[0].instruments[1].name, "SOL-USD.sim-kraken");
}

#[test]
fn a_relay_that_ends_lets_its_subscribers_have_what_is_in_the_journal() {
    let home = Home::new();
    let mut venue = home.venue("sim-kraken", &["BTC-USD"]);
    venue.trades(0, 10_000); // more than a socket holds
    let relay = start_relay(&home);
    let mut client = subscribe(
        &home,
        Subscribe {
            from: Start::Oldest,
            ..Subscribe::default()
        },
    );
    let mut next = 1;
    while let Ok(event) = client.next(Some(PATIENCE)) {
        if let Some(Event::Frame(found)) = event
            && found.header.kind == kind::RECORDS
        {
            if next == 1 {
                relay.ask("drain"); // not before: a relay that ends takes no subscription any more
            }
            assert_eq!(found.header.sequence, next);
            next = found.header.next_sequence();
        }
    }
    assert_eq!(next, 10_001);
}

fn token_file(home: &Home) -> PathBuf {
    use std::os::unix::fs::PermissionsExt;
    let path = home.path().join("relay-token");
    std::fs::write(&path, "correct horse battery staple\n").unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    path
}

fn start_remote(home: &Home) -> (Running, Address) {
    let mut options = support::relay_options(home);
    options.listen = Some("127.0.0.1:0".into());
    options.token_file = Some(token_file(home));
    let relay = start_relay_with(options);
    let address = relay.status()["listen"].as_str().unwrap().parse().unwrap();
    (relay, address)
}

#[test]
fn tcp_needs_the_token_and_tells_strangers_nothing() {
    let home = Home::new();
    let mut venue = home.venue("sim-kraken", &["BTC-USD"]);
    venue.trades(0, 3);
    let mut options = support::relay_options(&home);
    options.listen = Some("127.0.0.1:0".into());
    assert_eq!(feed::relay::run(options), 3, "no token, no port");
    let (_relay, address) = start_remote(&home);
    for token in [None, Some("wrong"), Some("correct horse battery stapl")] {
        let mut client = Client::connect(&address, token, PATIENCE).unwrap();
        assert!(client.hello().token && client.hello().venues.is_empty());
        let refused = client.subscribe(&Subscribe::default()).unwrap_err();
        assert!(refused.message.contains("token_refused"), "{refused}");
    }
    let mut client = Client::connect(&address, Some("correct horse battery staple"), PATIENCE).unwrap();
    client
        .subscribe(&Subscribe {
            from: Start::Oldest,
            ..Subscribe::default()
        })
        .unwrap();
    assert_eq!(client.hello().venues[0].name, "sim-kraken");
    read_to(&mut client, 3);
}

#[test]
fn a_stranger_makes_a_relay_ask_nobody() {
    let home = Home::new();
    let upstream = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut options = support::relay_options(&home);
    options.listen = Some("127.0.0.1:0".into());
    options.token_file = Some(token_file(&home));
    options.from = vec![Address::Tcp(upstream.local_addr().unwrap().to_string())];
    let relay = start_relay_with(options);
    let address: Address = relay.status()["listen"].as_str().unwrap().parse().unwrap();
    let client = Client::connect(&address, None, PATIENCE).unwrap();
    assert!(client.hello().token);
    upstream.set_nonblocking(true).unwrap();
    let asked = upstream.accept().map(|_| ()).map_err(|error| error.kind());
    assert_eq!(asked, Err(std::io::ErrorKind::WouldBlock));
}

#[test]
fn a_relay_of_a_relay_passes_the_same_bytes_on() {
    let (home, far) = (Home::new(), Home::new());
    let mut venue = home.venue("sim-kraken", &["BTC-USD", "ETH-USD"]);
    write_mix(&mut venue, 100);
    let (near_relay, address) = start_remote(&home);
    let mut options = support::relay_options(&far);
    options.from = vec![address];
    options.token_file = Some(token_file(&far));
    let _far_relay = start_relay_with(options);
    let wish = Subscribe {
        instruments: vec!["ETH-USD.sim-kraken".into()],
        kinds: vec![1],
        from: Start::Oldest,
        ..Subscribe::default()
    };
    let last = venue.position().1;
    let near = read_to(&mut subscribe(&home, wish.clone()), last);
    let through = read_to(&mut subscribe(&far, wish.clone()), last);
    assert!(near.1 == through.1);
    assert_eq!(near.0.len(), through.0.len());
    let mut client = subscribe(&far, Subscribe::default());
    while !matches!(client.next(Some(PATIENCE)).unwrap(), Some(Event::Frame(found)) if found.header.kind == kind::HEARTBEAT)
    {
    }
    venue.trades(0, 1);
    read_to(&mut client, last + 1);
    // An instrument that appears is introduced to whoever reads through the other relay too.
    let numbers = support::add_instruments(&mut venue.writer, "sim-kraken", &["SOL-USD"]);
    venue.numbers.extend(numbers);
    venue.trades(2, 1);
    read_to(&mut client, last + 2);
    assert_eq!(client.hello().venues[0].instruments[2].name, "SOL-USD.sim-kraken");
    // Without its source it says so, and does not pretend.
    drop(near_relay);
    let end = loop {
        match client.next(Some(PATIENCE)) {
            Ok(_) => {}
            Err(end) => break end,
        }
    };
    assert!(
        end.message.contains("relay_closed") || end.message.contains("closed"),
        "{end}"
    );
}

/// A relay's options, and the homes it takes venues from: its own with sim-coinbase, another's with sim-kraken.
fn chained() -> (Home, Home, feed::relay::Options) {
    let (far, home) = (Home::new(), Home::new());
    far.venue("sim-coinbase", &["BTC-USD"]).trades(0, 3);
    home.venue("sim-binance", &["BTC-USD"]); // takes the number that sim-coinbase has
    home.venue("sim-kraken", &["BTC-USD"]).trades(0, 3);
    let mut options = support::relay_options(&far);
    options.from = vec![socket(&home)];
    (far, home, options)
}

/// Sequences of records by venue, until there are this many.
fn sequences(client: &mut Client, count: usize) -> BTreeMap<String, Vec<u64>> {
    let deadline = Instant::now() + PATIENCE;
    let mut found: BTreeMap<u16, Vec<u64>> = BTreeMap::new();
    while found.values().map(Vec::len).sum::<usize>() < count {
        assert!(Instant::now() < deadline, "only {found:?}");
        if let Some(Event::Frame(frame)) = client.next(Some(Duration::from_secs(1))).unwrap()
            && frame.header.kind == kind::RECORDS
        {
            let sequences = found.entry(frame.header.venue).or_default();
            sequences.extend(frame.header.sequence..frame.header.next_sequence());
        }
    }
    let venues = &client.hello().venues;
    found
        .into_iter()
        .map(|(number, sequences)| {
            let venue = venues.iter().find(|venue| venue.venue == number).unwrap();
            (venue.name.clone(), sequences)
        })
        .collect()
}

#[test]
fn a_relay_of_a_relay_resumes_its_own_venues_and_the_others() {
    let (far, home, options) = chained();
    let _near = start_relay(&home);
    let _far = start_relay_with(options);
    let places = [
        ("sim-coinbase".to_owned(), (1, 2)),
        ("sim-kraken".to_owned(), (1, 3)),
    ];
    let wish = Subscribe {
        from: Start::At(places.into_iter().collect()),
        ..Subscribe::default()
    };
    let found = sequences(&mut subscribe(&far, wish), 3);
    assert_eq!(
        found,
        BTreeMap::from([
            ("sim-coinbase".to_owned(), vec![2, 3]),
            ("sim-kraken".to_owned(), vec![3])
        ])
    );
}

#[test]
fn who_wants_everything_gets_the_venues_of_a_relay_that_comes_back() {
    let (far, home, options) = chained();
    let _far = start_relay_with(options);
    let wish = Subscribe {
        from: Start::Oldest,
        ..Subscribe::default()
    };
    let mut client = subscribe(&far, wish);
    assert_eq!(sequences(&mut client, 3)["sim-coinbase"], [1, 2, 3]);
    let _near = start_relay(&home);
    assert_eq!(sequences(&mut client, 3)["sim-kraken"], [1, 2, 3]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bridge_reads_from_a_relay_what_it_reads_from_the_journal() {
    let (home, far) = (Home::new(), Home::new());
    let mut venue = home.venue("sim-kraken", &["BTC-USD", "ETH-USD"]);
    venue.trades(0, 500);
    let _relay = start_relay(&home);
    let mut options = support::bridge_options(&far);
    options.source = feed::relay::client::SourceOption::Relay(socket(&home));
    let bridge = support::start_bridge_with(options);
    bridge.wait_for("the venue", |status| !status["venues"]["sim-kraken"].is_null());
    let mut browser = Browser::open(&far, &bridge).await;
    browser
        .subscribe(json!({"id": 1, "venues": ["sim-kraken"], "channels": ["trades"], "from": {"sim-kraken": [1, 123]}}))
        .await;
    let mut chain = None;
    assert!(
        browser
            .trades_until(500, &mut chain)
            .await
            .into_iter()
            .eq(124..=500)
    );
    venue.trades(1, 100);
    assert!(
        browser
            .trades_until(600, &mut chain)
            .await
            .into_iter()
            .eq(501..=600)
    );
}

/// Needs root, which alone can be somebody else.
#[test]
fn another_user_is_refused_even_where_the_files_would_let_him() {
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::process::CommandExt;
    // SAFETY: cannot fail and touches no memory of ours.
    if unsafe { libc::geteuid() } != 0 {
        skip::because("only root can be somebody else");
        return;
    }
    let home = Home::new();
    home.venue("sim-kraken", &["BTC-USD"]);
    let relay = start_relay(&home);
    for path in ["", "run", "run/relay.sock"] {
        std::fs::set_permissions(home.path().join(path), std::fs::Permissions::from_mode(0o777)).unwrap();
    }
    let ask = |uid: u32| {
        let script = "import socket, sys; s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); print(len(s.recv(9)))";
        let output = std::process::Command::new("python3")
            .args(["-c", script])
            .arg(home.path().join("run/relay.sock"))
            .current_dir("/")
            .uid(uid)
            .output();
        output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let Ok(own) = ask(0) else {
        skip::because("there is no python3");
        return;
    };
    assert_eq!((own.as_str(), ask(65_534).unwrap().as_str()), ("9", "0"));
    assert_eq!(relay.status()["metrics"]["refused"], 1);
}
