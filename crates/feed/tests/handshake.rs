//! Who may open a stream: every combination of Host, Origin and credentials, over real sockets.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a test that cannot go on fails

mod support;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use feed::bridge::handshake::{HEAD_BYTES_MAX, Keeper, Policy, decide};
use feed::ticket::{self, Key, Purpose};
use serde_json::Value;
use support::{Home, PATIENCE, now_ns, start_bridge};

const TOKEN: &str = "a-token-of-the-owner";

fn keeper() -> Keeper {
    Keeper {
        key: Key::from_hex(&"ab".repeat(32)).unwrap(),
        token: TOKEN.into(),
    }
}

fn policy() -> Policy {
    Policy {
        hosts: vec!["desk.example".into(), "other.example:8443".into()],
        origins: vec!["https://app.example".into()],
    }
}

fn head(lines: &[&str]) -> String {
    let mut text = "GET /stream HTTP/1.1\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
        .to_owned();
    for line in lines {
        text.push_str(line);
        text.push_str("\r\n");
    }
    text + "\r\n"
}

/// 101 and who, or the status of the refusal and its code.
fn judged(text: &str) -> (u16, String) {
    let (decision, length) = decide(text.as_bytes(), &policy(), &keeper(), 1_000).expect("a whole head");
    match decision {
        Ok(upgrade) => {
            assert_eq!(length, text.len());
            assert_eq!(upgrade.accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="); // RFC 6455, 1.3
            (101, upgrade.pass.map(|pass| pass.subject).unwrap_or_default())
        }
        Err(refusal) => (refusal.status, refusal.failure.code.to_owned()),
    }
}

#[test]
fn hosts() {
    let table = [
        ("127.0.0.1:8484", 101),
        ("127.8.7.6", 101),
        ("localhost", 101),
        ("LOCALHOST:1", 101),
        ("[::1]:8484", 101),
        ("desk.example", 101),
        ("desk.example:9999", 101),
        ("other.example:8443", 101),
        ("other.example", 421),
        ("other.example:8444", 421),
        ("evil.example", 421),
        ("desk.example.evil.example", 421),
        ("localhost.evil.example", 421),
        ("127.0.0.1.evil.example", 421),
        ("evil.example:127", 421),
        ("128.0.0.1", 421),
        ("[::2]", 421),
        ("[::1].evil.example", 421),
        ("localhost:", 421),
        ("localhost:99999", 421),
        ("localhost@evil.example", 421),
        ("local host", 421),
        ("", 421),
    ];
    for (host, status) in table {
        let found = judged(&head(&[&format!("Host: {host}")]));
        assert_eq!(found.0, status, "{host}: {found:?}");
    }
    assert_eq!(judged(&head(&[])).0, 421, "no host at all");
    assert_eq!(judged(&head(&["Host: localhost", "Host: localhost"])).0, 400);
}

#[test]
fn origins() {
    let table = [
        ("127.0.0.1:8484", "http://127.0.0.1:8484", 101),
        ("localhost", "http://localhost", 101),
        ("localhost", "http://localhost:80", 101),
        ("localhost:80", "http://localhost", 101),
        ("desk.example", "https://app.example", 101),
        ("localhost:8484", "https://app.example", 101),
        ("127.0.0.1:8484", "https://127.0.0.1:8484", 403),
        ("127.0.0.1:8484", "http://127.0.0.1:8485", 403),
        ("127.0.0.1:8484", "http://localhost:8484", 403),
        ("127.0.0.1:8484", "http://127.0.0.1", 403),
        ("127.0.0.1:8484", "null", 403),
        ("127.0.0.1:8484", "", 403),
        ("127.0.0.1:8484", "https://evil.example", 403),
        ("desk.example", "http://desk.example.evil.example", 403),
        ("desk.example", "http://evildesk.example", 403),
        ("desk.example", "http://desk.example@evil.example", 403),
        ("desk.example", "http://evil.example/desk.example", 403),
        ("desk.example", "file://", 403),
        ("desk.example", "http://desk.example/", 403),
        ("desk.example", "https://app.example.evil.example", 403),
        ("desk.example", "https://app.example:444", 403),
        ("desk.example", "http://app.example", 403),
    ];
    for (host, origin, status) in table {
        let found = judged(&head(&[&format!("Host: {host}"), &format!("Origin: {origin}")]));
        assert_eq!(found.0, status, "{origin} at {host}: {found:?}");
    }
    let (decision, _) = decide(
        head(&["Host: localhost", "Origin: https://evil.example"]).as_bytes(),
        &policy(),
        &keeper(),
        0,
    )
    .unwrap();
    assert!(
        decision
            .unwrap_err()
            .failure
            .hint
            .contains("TIDEMILL_ALLOWED_ORIGINS")
    );
    let over_tls = head(&[
        "Host: desk.example",
        "Origin: https://desk.example",
        "X-Forwarded-Proto: https",
    ]);
    assert_eq!(judged(&over_tls).0, 101);
}

#[test]
fn credentials() {
    let key = keeper().key;
    let session = key.sign("alice", Purpose::Session, 1_001);
    let expired = key.sign("alice", Purpose::Session, 1_000);
    let ticket = key.sign("alice", Purpose::Ticket, 1_001);
    let own = ["Host: localhost:8484", "Origin: http://localhost:8484"];
    let with = |more: &[String]| {
        let lines: Vec<&str> = own
            .iter()
            .copied()
            .chain(more.iter().map(String::as_str))
            .collect();
        judged(&head(&lines))
    };
    let alice = (101, "alice".to_owned());
    let nobody = (101, String::new());
    assert_eq!(with(&[format!("Cookie: tidemill_8484={session}")]), alice);
    assert_eq!(
        with(&[format!(
            "Cookie: a=b; tidemill_9=junk; tidemill_8484={session}; c"
        )]),
        alice
    );
    assert_eq!(
        with(&[
            "Cookie: theme=dark".into(),
            format!("Cookie: tidemill_1={session}")
        ]),
        alice
    );
    assert_eq!(with(&[format!("Cookie: tidemill_8484={expired}")]), nobody);
    assert_eq!(with(&[format!("Cookie: tidemill_8484={ticket}")]), nobody);
    assert_eq!(with(&[format!("Cookie: session={session}")]), nobody);
    let cookie = format!("Cookie: tidemill_8484={session}");
    assert_eq!(
        judged(&head(&["Host: localhost:8484", &cookie])),
        nobody,
        "no page says it is ours"
    );
    assert_eq!(
        with(&[format!("Authorization: Bearer {TOKEN}")]),
        (101, "owner".into())
    );
    assert_eq!(
        judged(&head(&[
            "Host: localhost",
            &format!("authorization: bearer {TOKEN}")
        ])),
        (101, "owner".into())
    );
    for wrong in [
        "Bearer nonsense",
        "Bearer",
        "Basic abc",
        &format!("Bearer {TOKEN}x"),
        &format!("Bearer {session}"),
    ] {
        assert_eq!(
            with(&[format!("Authorization: {wrong}")]),
            (401, "bearer_refused".into())
        );
    }
}

#[test]
fn what_is_no_upgrade_is_told_so() {
    let good = head(&["Host: localhost"]);
    let table = [
        (good.replace("/stream", "/"), 404),
        (good.replace("/stream", "/stream/"), 404),
        (good.replace("/stream", "/stream?token=secret"), 400),
        (good.replace("GET", "POST"), 405),
        (good.replace("Upgrade: websocket", "Upgrade: h2c"), 426),
        (good.replace("keep-alive, Upgrade", "keep-alive"), 426),
        (good.replace("Version: 13", "Version: 8"), 426),
        (good.replace("dGhlIHNhbXBsZSBub25jZQ==", "short"), 426),
        (good.replace("HTTP/1.1", "HTTP/1.0"), 426),
        ("\0\0\0\0 /stream\r\n\r\n".into(), 400),
        ("GET /stream HTTP/9.9\r\n\r\n".into(), 400),
        ("\x16\x03\x01\x02\x00\x01\x00".into(), 400),
    ];
    for (text, status) in table {
        let found = judged(&text);
        assert_eq!(found.0, status, "{text:?}: {found:?}");
    }
    let many = vec!["X: y"; 100];
    let mut lines = vec!["Host: localhost"];
    lines.extend(many);
    assert_eq!(judged(&head(&lines)).0, 431);
    let endless = format!("GET /stream HTTP/1.1\r\nX: {}", "y".repeat(HEAD_BYTES_MAX));
    assert_eq!(judged(&endless).0, 431);
    for cut in 0..good.len() {
        assert!(
            decide(&good.as_bytes()[..cut], &policy(), &keeper(), 0).is_none(),
            "cut at {cut}"
        );
    }
}

fn talk(mut stream: impl Read + Write, text: &str) -> (String, Value) {
    stream.write_all(text.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.to_owned(), serde_json::from_str(body).unwrap_or_default())
}

#[test]
fn the_sockets_answer_in_json_and_close() {
    let home = Home::new();
    let bridge = start_bridge(&home);
    let port = bridge.status()["port"].as_u64().unwrap() as u16;
    let tcp = || {
        let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    };
    let (head, body) = talk(tcp(), "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n");
    assert!(head.starts_with("HTTP/1.1 404 "), "{head}");
    assert!(head.contains("Content-Type: application/json"));
    assert_eq!(body["code"], "path_unknown");
    let (head, body) = talk(tcp(), &self::head(&["Host: evil.example"]));
    assert!(head.starts_with("HTTP/1.1 421 "), "{head}");
    assert!(body["hint"].as_str().unwrap().contains("TIDEMILL_ALLOWED_HOSTS"));
    let unix = UnixStream::connect(home.path().join("run/bridge.sock")).unwrap();
    let (head, _) = talk(unix, &self::head(&["Host: localhost", "Origin: null"]));
    assert!(head.starts_with("HTTP/1.1 403 "), "{head}");
    bridge.wait_for("the refusals", |status| status["metrics"]["refused"] == 3);
}

#[test]
fn over_the_unix_socket_a_ticket_opens_the_stream_and_a_wrong_one_closes_it() {
    let home = Home::new();
    let mut venue = home.venue("sim-kraken", &["BTC-USD"]);
    venue.trades(0, 1);
    let bridge = start_bridge(&home);
    let key = ticket::key(home.path()).unwrap();
    let now_s = now_ns() as u64 / 1_000_000_000;
    let open = |first: &str| {
        let mut stream = UnixStream::connect(home.path().join("run/bridge.sock")).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
        let mut bytes = head(&["Host: 127.0.0.1:8484", "Origin: http://127.0.0.1:8484"]).into_bytes();
        let payload = first.as_bytes();
        bytes.extend_from_slice(&[0x81, 0x80 | 126]);
        bytes.extend_from_slice(&(payload.len() as u16).to_be_bytes());
        bytes.extend_from_slice(&[0; 4]); // a mask of zeros is a mask
        bytes.extend_from_slice(payload);
        // The first message may come with the request in one piece.
        stream.write_all(&bytes).unwrap();
        let mut answer = Vec::new();
        let mut buffer = [0; 4096];
        while !contains(&answer, b"hello")
            && !contains(&answer, b"_refused")
            && !contains(&answer, b"unauthorized")
        {
            let read = stream.read(&mut buffer).unwrap();
            assert!(read > 0);
            answer.extend_from_slice(&buffer[..read]);
        }
        String::from_utf8_lossy(&answer).into_owned()
    };
    let auth = |text: &str| format!(r#"{{"op":"auth","ticket":"{text}"}}{}"#, " ".repeat(130));
    assert!(open(&auth(&key.sign("owner", Purpose::Ticket, now_s + 30))).contains(r#""type":"hello""#));
    for bad in [
        key.sign("owner", Purpose::Ticket, now_s - 1),
        key.sign("owner", Purpose::Session, now_s + 30),
        Key::from_hex(&"00".repeat(32))
            .unwrap()
            .sign("owner", Purpose::Ticket, now_s + 30),
        "v1.9999999999.owner.ticket.".into(),
    ] {
        let answer = open(&auth(&bad));
        assert!(
            answer.contains("ticket_refused") && !answer.contains("hello"),
            "{bad}"
        );
    }
    let unasked = format!(
        r#"{{"op":"subscribe","id":1,"venues":["sim-kraken"],"channels":["trades"]}}{}"#,
        " ".repeat(100)
    );
    assert!(open(&unasked).contains("unauthorized"));
    bridge.wait_for("the refusals", |status| status["metrics"]["refused"] == 5);
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

#[test]
fn one_bridge_per_home() {
    let home = Home::new();
    let bridge = start_bridge(&home);
    assert_eq!(feed::bridge::run(support::bridge_options(&home)), 6);
    assert_eq!(bridge.stop(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_ends_takes_its_streams_along() {
    let home = Home::new();
    let mut venue = home.venue("sim-kraken", &["BTC-USD"]);
    venue.trades(0, 1);
    let bridge = start_bridge(&home);
    let key = ticket::key(home.path()).unwrap();
    let now_s = now_ns() as u64 / 1_000_000_000;
    let open = |subject: &str, expiry_s: u64| {
        let port = bridge.status()["port"].as_u64().unwrap();
        let cookie = format!("tidemill_8484={}", key.sign(subject, Purpose::Session, expiry_s));
        support::Browser::with_headers(
            port as u16,
            [("Origin", format!("http://127.0.0.1:{port}")), ("Cookie", cookie)],
        )
    };
    let mut leaver = open("owner-1", now_s + 600).await;
    let mut stayer = open("owner-2", now_s + 600).await;
    let mut expiring = open("owner-3", now_s + 2).await;
    for browser in [&mut leaver, &mut stayer, &mut expiring] {
        assert_eq!(browser.next().await["type"], "hello");
    }
    let request = serde_json::json!({"op": "revoke", "subject": "owner-1"});
    let answer = feed::control::ask(&bridge.control, &request, PATIENCE).unwrap();
    assert_eq!(answer["ended"], 1);
    assert_eq!(leaver.rest().await.1, 4001);
    assert_eq!(expiring.rest().await.1, 4001);
    venue.trades(0, 1);
    stayer.send(serde_json::json!({"op": "ping", "id": 1})).await;
    assert_eq!(stayer.next().await["type"], "pong");
    // Neither the cookie nor a ticket of that session opens another one.
    let mut again = open("owner-1", now_s + 600).await;
    let ticket = key.sign("owner-1", Purpose::Ticket, now_s + 30);
    again
        .send(serde_json::json!({"op": "auth", "ticket": ticket}))
        .await;
    let (values, code) = again.rest().await;
    assert_eq!((values[0]["code"].as_str(), code), (Some("ticket_refused"), 4001));
    // A stream that a ticket opened ends with the session that asked for the ticket.
    let mut guest =
        support::Browser::with_headers(bridge.status()["port"].as_u64().unwrap() as u16, []).await;
    let ticket = key.session_ticket("owner-4", now_s + 30, now_ns() as u64 / 1_000_000_000 + 2);
    guest
        .send(serde_json::json!({"op": "auth", "ticket": ticket}))
        .await;
    assert_eq!(guest.next().await["type"], "hello");
    assert_eq!(guest.rest().await.1, 4001);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_ended_while_no_bridge_ran_stays_out() {
    let home = Home::new();
    let key = ticket::key(home.path()).unwrap();
    let now_s = now_ns() as u64 / 1_000_000_000;
    std::fs::create_dir(home.path().join("run")).unwrap();
    std::fs::write(
        home.path().join("run/revoked"),
        format!("{} owner-1\n", now_s + 600),
    )
    .unwrap();
    let bridge = start_bridge(&home);
    let port = bridge.status()["port"].as_u64().unwrap() as u16;
    let cookie = format!(
        "tidemill_8484={}",
        key.sign("owner-1", Purpose::Session, now_s + 600)
    );
    let origin = ("Origin", format!("http://127.0.0.1:{port}"));
    let mut browser = support::Browser::with_headers(port, [origin, ("Cookie", cookie)]).await;
    browser.send(serde_json::json!({"op": "ping", "id": 1})).await;
    assert_eq!(
        browser.next_any().await["type"],
        "pong",
        "no hello: it may still show a ticket"
    );
    // A stranger is not told how the venues stand either: with the time for a ticket over, nothing but that has come.
    let (values, code) = browser.rest().await;
    assert_eq!(
        (values.len(), values[0]["code"].as_str(), code),
        (1, Some("unauthorized"), 4001)
    );
}
