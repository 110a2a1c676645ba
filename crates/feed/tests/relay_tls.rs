//! The relay under TLS: the same bytes, and every way in which a connection must not come about.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a test that cannot go on fails

mod support;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use feed::relay::client::{Address, Client, Event, Start, Subscribe};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, date_time_ymd};
use serde_json::json;
use support::{Home, PATIENCE, Running, Venue, relay_options, start_relay, start_relay_with};
use wire::Record;
use wire::frame::kind;

const TOKEN: &str = "correct horse battery staple";

fn private(path: PathBuf, text: &str) -> PathBuf {
    use std::os::unix::fs::PermissionsExt;
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    path
}

/// Files of a certificate for `host` until `year`, its key, and the authority that signed it.
struct Shown {
    certificate: PathBuf,
    key: PathBuf,
    ca: PathBuf,
}

fn show(folder: &Path, name: &str, host: &str, year: i32) -> Shown {
    let authority_key = KeyPair::generate().unwrap();
    let mut authority = CertificateParams::new(Vec::<String>::new()).unwrap();
    authority.distinguished_name.push(rcgen::DnType::CommonName, name);
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let root = authority.self_signed(&authority_key).unwrap();
    let issuer = Issuer::from_params(&authority, &authority_key);
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec![host.to_owned()]).unwrap();
    params.not_after = date_time_ymd(year, 1, 1);
    let leaf = params.signed_by(&key, &issuer).unwrap();
    Shown {
        certificate: private(folder.join(format!("{name}.crt")), &leaf.pem()),
        key: private(folder.join(format!("{name}.key")), &key.serialize_pem()),
        ca: private(folder.join(format!("{name}.ca")), &root.pem()),
    }
}

fn options(home: &Home, shown: &Shown) -> feed::relay::Options {
    let mut options = relay_options(home);
    options.listen = Some("127.0.0.1:0".into());
    options.token_file = Some(private(home.path().join("relay-token"), TOKEN));
    options.tls_cert = Some(shown.certificate.clone());
    options.tls_key = Some(shown.key.clone());
    options
}

fn port(relay: &Running) -> u16 {
    let listen = relay.status()["listen"].as_str().unwrap().to_owned();
    listen.rsplit_once(':').unwrap().1.parse().unwrap()
}

fn at(relay: &Running, host: &str, ca: &Path) -> Address {
    let address: Address = format!("tls:{host}:{}", port(relay)).parse().unwrap();
    address.trusting(Some(ca))
}

fn start(home: &Home) -> (Running, Address) {
    let shown = show(home.path(), "good", "localhost", 2900);
    let relay = start_relay_with(options(home, &shown));
    let address = at(&relay, "localhost", &shown.ca);
    (relay, address)
}

fn from_oldest(address: &Address, token: Option<&str>) -> Client {
    let mut client = Client::connect(address, token, PATIENCE).unwrap();
    let wanted = Subscribe {
        from: Start::Oldest,
        ..Subscribe::default()
    };
    client.subscribe(&wanted).unwrap();
    client
}

/// Records up to the one numbered `last`; their numbers must be dense.
fn read_to(client: &mut Client, last: u64) -> Vec<Record> {
    let (mut records, mut next) = (Vec::new(), 1);
    let deadline = Instant::now() + PATIENCE;
    while next <= last {
        assert!(Instant::now() < deadline, "stands at {next} of {last}");
        match client.next(Some(Duration::from_secs(1))).unwrap() {
            Some(Event::Frame(found)) if found.header.kind == kind::RECORDS => {
                assert_eq!(found.header.sequence, next);
                next = found.header.next_sequence();
                records.extend_from_slice(found.records());
            }
            Some(Event::Lapped(_)) => panic!("lapped"),
            _ => {}
        }
    }
    records
}

fn failures(relay: &Running) -> u64 {
    relay.status()["metrics"]["handshakes_failed"].as_u64().unwrap()
}

fn filled(home: &Home, trades: u64) -> Venue {
    let mut venue = home.venue("sim-kraken", &["BTC-USD"]);
    venue.trades(0, trades);
    venue
}

#[test]
fn the_same_records_come_under_tls_and_through_a_second_relay() {
    let (home, far) = (Home::new(), Home::new());
    let mut venue = filled(&home, 20_000);
    let (relay, address) = start(&home);
    let clear = read_to(
        &mut from_oldest(&Address::Unix(home.path().join("run/relay.sock")), None),
        20_000,
    );
    let mut client = from_oldest(&address, Some(TOKEN));
    assert_eq!(client.hello().venues[0].name, "sim-kraken");
    assert!(read_to(&mut client, 20_000) == clear);

    let mut options = relay_options(&far);
    options.from = vec![format!("tls://localhost:{}", port(&relay)).parse().unwrap()];
    options.tls_ca = Some(home.path().join("good.ca"));
    options.token_file = Some(private(far.path().join("relay-token"), TOKEN));
    let _second = start_relay_with(options);
    let mut passed = from_oldest(&Address::Unix(far.path().join("run/relay.sock")), None);
    assert!(read_to(&mut passed, 20_000) == clear);

    venue.trades(0, 5); // live
    let deadline = Instant::now() + PATIENCE;
    while client
        .next(Some(PATIENCE))
        .unwrap()
        .is_none_or(|event| match event {
            Event::Frame(found) => found.header.kind != kind::RECORDS,
            Event::Lapped(_) => panic!("lapped"),
        })
    {
        assert!(Instant::now() < deadline);
    }
    assert_eq!(failures(&relay), 0);
    assert_eq!(relay.stop(), 0);
}

#[test]
fn the_token_is_wanted_under_tls_too() {
    let home = Home::new();
    let _venue = filled(&home, 3);
    let (_relay, address) = start(&home);
    for token in [None, Some("wrong"), Some("correct horse battery stapl")] {
        let mut client = Client::connect(&address, token, PATIENCE).unwrap();
        assert!(client.hello().token && client.hello().venues.is_empty());
        let refused = client.subscribe(&Subscribe::default()).unwrap_err();
        assert!(refused.message.contains("token_refused"), "{refused}");
    }
}

#[test]
fn a_certificate_that_does_not_hold_is_refused_with_the_reason() {
    let home = Home::new();
    let _venue = filled(&home, 3);
    let other = show(home.path(), "other", "localhost", 2900);
    let cases = [
        (
            "localhost",
            2900,
            &other.ca,
            "nobody this machine trusts",
            "--tls-ca",
        ),
        (
            "evil.test",
            2900,
            &home.path().join("shown.ca"),
            "for another host",
            "by a name",
        ),
        (
            "localhost",
            2020,
            &home.path().join("shown.ca"),
            "has expired",
            "another certificate",
        ),
    ];
    for (host, year, ca, reason, hint) in cases {
        let shown = show(home.path(), "shown", host, year);
        let relay = start_relay_with(options(&home, &shown));
        let failure = Client::connect(&at(&relay, "localhost", ca), Some(TOKEN), PATIENCE).unwrap_err();
        assert_eq!(failure.code, "relay_untrusted");
        let told = failure.to_string();
        assert!(told.contains(reason) && told.contains(hint), "{told}");
        assert_eq!(relay.stop(), 0);
    }
    let (relay, address) = start(&home);
    let nowhere = address.trusting(Some(Path::new("/nowhere.pem")));
    let failure = Client::connect(&nowhere, Some(TOKEN), PATIENCE).unwrap_err();
    assert!(failure.to_string().contains("/nowhere.pem"), "{failure}");
    assert_eq!(relay.stop(), 0);
}

#[test]
fn who_does_not_speak_tls_is_told_and_who_expects_it_too() {
    let home = Home::new();
    let _venue = filled(&home, 3);
    let (relay, address) = start(&home);
    let clear: Address = format!("localhost:{}", port(&relay)).parse().unwrap();
    let failure = Client::connect(&clear, Some(TOKEN), Duration::from_secs(10)).unwrap_err();
    assert!(failure.to_string().contains("tls_required"), "{failure}");
    let failure = Client::connect(&clear, Some(TOKEN), Duration::from_millis(300)).unwrap_err();
    assert!(failure.to_string().contains("read as tls:localhost"), "{failure}");
    assert!(failures(&relay) >= 1);
    drop(relay);

    let mut options = relay_options(&home);
    options.listen = Some("127.0.0.1:0".into());
    options.token_file = Some(home.path().join("relay-token"));
    let relay = start_relay_with(options);
    let Address::Tls { host, ca, .. } = address else {
        panic!()
    };
    let failure = Client::connect(&at(&relay, &host, &ca.unwrap()), Some(TOKEN), PATIENCE).unwrap_err();
    assert!(failure.to_string().contains("does not speak TLS"), "{failure}");
}

#[test]
fn handshakes_that_hang_or_are_garbage_hold_up_nobody() {
    let home = Home::new();
    let _venue = filled(&home, 3);
    let (relay, address) = start(&home);
    let connect = || TcpStream::connect(("127.0.0.1", port(&relay))).unwrap();
    // The head of a hello that never goes on.
    let hanging: Vec<TcpStream> = std::iter::repeat_with(|| {
        let mut stream = connect();
        stream.write_all(&[0x16, 3, 1, 2, 0, 1, 0]).unwrap();
        stream
    })
    .take(40)
    .collect();
    let began = Instant::now();
    read_to(&mut from_oldest(&address, Some(TOKEN)), 3);
    assert!(began.elapsed() < Duration::from_secs(4), "waited for others");

    for garbage in [
        &b"GET / HTTP/1.1\r\n\r\n"[..],
        &[0xff; 4096],
        &[0x16, 3, 1, 0, 0, 9, 9, 9],
    ] {
        let mut stream = connect();
        stream.write_all(garbage).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest); // reset, or an alert and the end
        assert!(!rest.windows(4).any(|bytes| bytes == b"TDML"), "told in clear");
    }
    relay.wait_for("garbage is counted", |status| {
        status["metrics"]["handshakes_failed"].as_u64() >= Some(3)
    });

    // Beyond the bound they are dropped at once, and those that hang within seconds.
    let more: Vec<TcpStream> = std::iter::repeat_with(connect).take(60).collect();
    relay.wait_for("the hanging ones are dropped", |status| {
        status["metrics"]["handshakes_failed"].as_u64() >= Some(3 + 40 + 60)
            && status["metrics"]["subscribers"] == json!(0)
    });
    assert!(
        began.elapsed() > Duration::from_secs(4),
        "dropped before their time"
    );
    drop((hanging, more));
    read_to(&mut from_oldest(&address, Some(TOKEN)), 3);
}

#[test]
fn a_subscriber_that_takes_nothing_is_cut_and_one_that_goes_is_forgotten() {
    let home = Home::new();
    let mut venue = filled(&home, 1);
    let shown = show(home.path(), "good", "localhost", 2900);
    let mut wanted = options(&home, &shown);
    wanted.stall_s = 1;
    let relay = start_relay_with(wanted);
    let address = at(&relay, "localhost", &shown.ca);
    let lazy = from_oldest(&address, Some(TOKEN));
    let mut quick = from_oldest(&address, Some(TOKEN));
    venue.trades(0, 250_000); // 12 MB: more than the sockets hold
    read_to(&mut quick, 250_001);
    relay.wait_for("the lazy one is cut", |status| {
        status["metrics"]["cut"] == json!(1)
    });
    drop((lazy, quick));
    relay.wait_for("all are forgotten", |status| {
        status["subscribers"].as_array().unwrap().is_empty()
    });
}

#[test]
fn other_machines_are_served_in_clear_only_where_that_was_asked_for() {
    let home = Home::new();
    let mut open = relay_options(&home);
    open.listen = Some("0.0.0.0:0".into());
    open.token_file = Some(private(home.path().join("relay-token"), TOKEN));
    assert_eq!(feed::relay::run(open.clone()), 3, "in clear for everyone");
    open.insecure = true;
    let relay = start_relay_with(open);
    assert_ne!(port(&relay), 0);
    assert_eq!(relay.stop(), 0);
    assert_eq!(start_relay(&home).stop(), 0);
}

#[test]
fn a_key_that_others_can_read_or_of_another_certificate_is_refused() {
    use std::os::unix::fs::PermissionsExt;
    let home = Home::new();
    let (good, other) = (
        show(home.path(), "good", "localhost", 2900),
        show(home.path(), "other", "localhost", 2900),
    );
    let mut mixed = options(&home, &good);
    mixed.tls_key = Some(other.key);
    assert_eq!(feed::relay::run(mixed), 3, "of another certificate");
    let mut swapped = options(&home, &good);
    swapped.tls_cert = Some(good.key.clone());
    assert_eq!(feed::relay::run(swapped), 3, "no certificate");
    std::fs::set_permissions(&good.key, std::fs::Permissions::from_mode(0o640)).unwrap();
    assert_eq!(feed::relay::run(options(&home, &good)), 3, "readable by others");
}
