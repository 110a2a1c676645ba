use std::sync::Mutex;

use tokio::net::TcpListener;

use super::*;

const BOUNDS: Bounds = Bounds {
    bytes: 1 << 20,
    time: Duration::from_secs(10),
};

/// A server that notes the first bytes it is sent and answers each connection with the next script.
async fn server(script: Vec<Vec<u8>>) -> (Url, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = Url::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let notes = seen.clone();
    tokio::spawn(async move {
        for answer in script {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                request.push(stream.read_u8().await.unwrap());
            }
            notes.lock().unwrap().push(String::from_utf8(request).unwrap());
            stream.write_all(&answer).await.unwrap();
        }
    });
    (url, seen)
}

fn network() -> Network {
    Network::new(Proxies::default())
}

#[tokio::test]
async fn a_plain_and_a_chunked_answer() {
    let chunked =
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\n{\"a\"\r\n3\r\n:1}\r\n0\r\n\r\n";
    let (url, seen) = server(vec![
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]".to_vec(),
        chunked.to_vec(),
        b"HTTP/1.1 404 Not Found\r\n\r\nuntil the end".to_vec(),
    ])
    .await;
    let answer = network().get(&url.join("/products?x=1"), BOUNDS).await.unwrap();
    assert_eq!((answer.status, &answer.body[..]), (200, b"[]".as_slice()));
    let answer = network().get(&url, BOUNDS).await.unwrap();
    assert_eq!(&answer.body[..], b"{\"a\":1}");
    let answer = network().get(&url, BOUNDS).await.unwrap();
    assert_eq!(
        (answer.status, &answer.body[..]),
        (404, b"until the end".as_slice())
    );
    let requests = seen.lock().unwrap();
    assert!(requests[0].starts_with("GET /products?x=1 HTTP/1.1\r\n"));
    assert!(
        requests[0]
            .to_lowercase()
            .contains(&format!("user-agent: {USER_AGENT}\r\n"))
    );
    assert!(
        requests[0]
            .to_lowercase()
            .contains(&format!("host: {}\r\n", url.authority()))
    );
}

#[tokio::test]
async fn a_refusal_says_when_to_come_back() {
    let (url, _) = server(vec![
        b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n".to_vec(),
        b"HTTP/1.1 418 I'm a teapot\r\nRetry-After: 0.25\r\nContent-Length: 0\r\n\r\n".to_vec(),
    ])
    .await;
    let answer = network().get(&url, BOUNDS).await.unwrap();
    assert_eq!(
        (answer.status, answer.retry_after),
        (429, Some(Duration::from_secs(7)))
    );
    let answer = network().get(&url, BOUNDS).await.unwrap();
    assert_eq!(
        (answer.status, answer.retry_after),
        (418, Some(Duration::from_millis(250)))
    );
}

#[test]
fn retry_after_is_seconds_or_a_date() {
    let read = |text: &'static str, now_s: i64| {
        let mut headers = HeaderMap::new();
        headers.insert(header::RETRY_AFTER, HeaderValue::from_static(text));
        retry_after(&headers, now_s).map(|wait| wait.as_secs())
    };
    assert_eq!(read("120", 0), Some(120));
    assert_eq!(read("Sun, 06 Nov 1994 08:49:37 GMT", 784_111_777 - 30), Some(30));
    assert_eq!(read("Thu, 29 Feb 2024 23:59:59 GMT", 1_709_251_199), Some(0));
    assert_eq!(read("Wed, 21 Oct 2015 07:28:00 GMT", 2_000_000_000), Some(0));
    assert_eq!(read("99999999", 0), Some(7 * 86_400));
    for junk in ["-5", "soon", "", "Sun, 06 Nov", "Sun, 06 Foo 1994 08:49:37 GMT"] {
        assert_eq!(read(junk, 0), None, "{junk}");
    }
}

#[tokio::test]
async fn too_much_and_too_slow_are_cut() {
    let mut endless = b"HTTP/1.1 200 OK\r\n\r\n".to_vec();
    endless.resize(200_000, b'x');
    let (url, _) = server(vec![endless.clone(), endless]).await;
    let tight = Bounds {
        bytes: 100_000,
        time: Duration::from_secs(10),
    };
    assert_eq!(network().get(&url, tight).await.unwrap_err().kind, Kind::TooLarge);
    assert!(network().get(&url, BOUNDS).await.is_ok());

    // a slow drip: a byte now and then is not progress enough
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = Url::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
    let drip = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
        let mut sent = 0;
        while stream.write_all(b"x").await.is_ok() {
            sent += 1;
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        sent
    });
    let hasty = Bounds {
        bytes: 1 << 20,
        time: Duration::from_millis(200),
    };
    assert_eq!(network().get(&url, hasty).await.unwrap_err().kind, Kind::Timeout);
    assert!(drip.await.unwrap() > 1);
}

#[tokio::test]
async fn what_is_not_http_and_who_is_not_there() {
    let (url, _) = server(vec![
        b"SSH-2.0-OpenSSH_9.6\r\n".to_vec(),
        b"HTTP/1.1 200 OK\r\nContent-Le".to_vec(),
    ])
    .await;
    assert_eq!(
        network().get(&url, BOUNDS).await.unwrap_err().kind,
        Kind::Protocol
    );
    assert_eq!(
        network().get(&url, BOUNDS).await.unwrap_err().kind,
        Kind::Protocol
    );
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = Url::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
    drop(listener);
    assert_eq!(network().get(&url, BOUNDS).await.unwrap_err().kind, Kind::Connect);
}

#[test]
fn addresses() {
    let url = Url::parse("wss://ws.kraken.com/v2").unwrap();
    assert_eq!((url.secure, url.port, url.target().as_str()), (true, 443, "/v2"));
    assert_eq!(
        url.join("/stream?streams=a@b").to_string(),
        "wss://ws.kraken.com/v2/stream?streams=a@b"
    );
    let url = Url::parse("ws://[::1]:9000/").unwrap();
    assert_eq!(
        (url.host.as_str(), url.authority(), url.target()),
        ("::1", "[::1]:9000".into(), "/".into())
    );
    assert_eq!(url.join("?a=1").target(), "/?a=1");
    for wrong in ["ftp://x", "kraken.com", "", "ws://", "http://user:secret@host/"] {
        let error = Url::parse(wrong).unwrap_err();
        assert!(
            error.kind == Kind::Url && !error.message.contains("secret"),
            "{wrong}: {error}"
        );
    }
}

fn proxies(http: &str, none: &str) -> Proxies {
    Proxies::read(|name| match name {
        "http_proxy" | "https_proxy" => Some(http.into()),
        "NO_PROXY" => Some(none.into()),
        _ => None,
    })
    .unwrap()
}

#[test]
fn no_proxy_lists() {
    let some = proxies(
        "proxy:3128",
        "example.com, .corp.local,10.0.0.0/8,fd00::/8,other.net:8443,*.wild.org",
    );
    for (url, direct) in [
        ("https://example.com", true),
        ("https://api.example.com", true),
        ("https://badexample.com", false),
        ("https://x.corp.local", true),
        ("https://10.20.30.40", true),
        ("https://11.20.30.40", false),
        ("https://[fd12::1]", true),
        ("https://other.net:8443", true),
        ("https://other.net", false),
        ("https://a.wild.org", true),
        ("http://127.0.0.1:9", true),
        ("wss://localhost:1", true),
        ("wss://ws.kraken.com/v2", false),
    ] {
        assert_eq!(some.direct(&Url::parse(url).unwrap()), direct, "{url}");
    }
    assert!(proxies("proxy:1", "*").direct(&Url::parse("https://kraken.com").unwrap()));
    assert!(Proxies::read(|_| Some("socks5://x".into())).is_err());
}

#[tokio::test]
async fn a_proxy_is_asked_for_a_tunnel_or_for_the_whole_address() {
    let (proxy, seen) = server(vec![
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}".to_vec(),
        b"HTTP/1.1 200 Connection established\r\n\r\nrest".to_vec(),
        b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n".to_vec(),
    ])
    .await;
    let network = Network::new(proxies(&format!("http://me:p%40ss@{}", proxy.authority()), ""));
    network
        .get(&Url::parse("http://venue.test/time").unwrap(), BOUNDS)
        .await
        .unwrap();
    let mut tunnel = network
        .connect(&Url::parse("ws://venue.test:81/x").unwrap(), true)
        .await
        .unwrap();
    let mut rest = [0; 4];
    tunnel.read_exact(&mut rest).await.unwrap();
    assert_eq!(&rest, b"rest"); // nothing behind the header was swallowed
    let refused = network
        .connect(&Url::parse("https://venue.test").unwrap(), true)
        .await
        .err()
        .unwrap();
    assert_eq!(refused.kind, Kind::Proxy);
    assert!(refused.message.contains("407") && !refused.message.contains("p@ss"));
    let seen = seen.lock().unwrap();
    assert!(
        seen[0].starts_with("GET http://venue.test/time HTTP/1.1\r\n"),
        "{}",
        seen[0]
    );
    assert!(seen[1].starts_with("CONNECT venue.test:81 HTTP/1.1\r\n"));
    assert!(seen[2].starts_with("CONNECT venue.test:443 HTTP/1.1\r\n"));
    let basic = base64::engine::general_purpose::STANDARD.encode("me:p@ss");
    assert!(
        seen.iter()
            .all(|request| request.contains(&format!("Basic {basic}")))
    );
}

/// A23: what an attacker or a mistake can show instead of the venue's certificate is refused.
#[tokio::test]
async fn bad_certificates_are_refused() {
    use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, date_time_ymd};

    let authority_key = KeyPair::generate().unwrap();
    let mut authority = CertificateParams::new(Vec::<String>::new()).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let root = authority.self_signed(&authority_key).unwrap();
    let issuer = Issuer::from_params(&authority, &authority_key);

    let stranger_key = KeyPair::generate().unwrap();
    let stranger = Issuer::from_params(&authority, &stranger_key);

    let leaf = |host: &str, until: Option<i32>, from: Option<i32>| {
        let mut params = CertificateParams::new(vec![host.to_owned()]).unwrap();
        if let Some(year) = until {
            params.not_after = date_time_ymd(year, 1, 1);
        }
        if let Some(year) = from {
            params.not_before = date_time_ymd(year, 1, 1);
        }
        params
    };
    let key = KeyPair::generate().unwrap();
    let good = leaf("localhost", None, None).signed_by(&key, &issuer).unwrap();
    let cases = [
        ("good", good.der().clone(), true),
        (
            "expired",
            leaf("localhost", Some(2020), None)
                .signed_by(&key, &issuer)
                .unwrap()
                .der()
                .clone(),
            false,
        ),
        (
            "not yet",
            leaf("localhost", None, Some(2900))
                .signed_by(&key, &issuer)
                .unwrap()
                .der()
                .clone(),
            false,
        ),
        (
            "wrong host",
            leaf("evil.test", None, None)
                .signed_by(&key, &issuer)
                .unwrap()
                .der()
                .clone(),
            false,
        ),
        (
            "self-signed",
            leaf("localhost", None, None)
                .self_signed(&key)
                .unwrap()
                .der()
                .clone(),
            false,
        ),
        (
            "unknown issuer",
            leaf("localhost", None, None)
                .signed_by(&key, &stranger)
                .unwrap()
                .der()
                .clone(),
            false,
        ),
    ];
    for (name, certificate, accepted) in cases {
        let config =
            rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
                .with_safe_default_protocol_versions()
                .unwrap()
                .with_no_client_auth()
                .with_single_cert(
                    vec![certificate],
                    rustls::pki_types::PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
                )
                .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = Url::parse(&format!(
            "https://localhost:{}",
            listener.local_addr().unwrap().port()
        ))
        .unwrap();
        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
        tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            if let Ok(mut stream) = acceptor.accept(stream).await {
                let _ = stream
                    .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
                    .await;
                let _ = stream.read_u8().await;
            }
        });
        let network = Network::trusting(Proxies::default(), [root.der().clone()]);
        match network.get(&url, BOUNDS).await {
            Ok(answer) => assert!(accepted && answer.status == 200, "{name} was accepted"),
            Err(error) => assert!(!accepted && error.kind == Kind::Tls, "{name}: {error}"),
        }
    }
}
