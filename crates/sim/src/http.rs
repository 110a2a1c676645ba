//! As much of HTTP/1.1 as a venue's REST needs: requests in, answers out, with limits on everything.

use std::io;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

/// Longest request line plus headers, and longest body.
const HEAD_BYTES: usize = 16 * 1024;
const BODY_BYTES: usize = 1024 * 1024;
/// For one request, from its first byte; and for the next request on a kept connection.
const REQUEST_TIME: Duration = Duration::from_secs(10);
const IDLE_TIME: Duration = Duration::from_secs(75);

/// One request, percent-decoded.
#[derive(Debug, Default, Clone)]
pub struct Request {
    pub method: String,
    pub path: String,
    pub query: Vec<(String, String)>,
    /// Names in lower case.
    headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Request {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(n, _)| n == name)
            .map(|(_, v)| v.as_str())
    }

    pub fn param(&self, name: &str) -> Option<&str> {
        self.query
            .iter()
            .find(|(n, _)| n == name)
            .map(|(_, v)| v.as_str())
            .filter(|v| !v.is_empty())
    }

    /// A number within bounds; `default` when it is not given, `None` when it is wrong.
    pub fn number(&self, name: &str, low: i64, default: i64, high: i64) -> Option<i64> {
        match self.param(name) {
            None => Some(default),
            Some(text) => text.parse().ok().filter(|n| (low..=high).contains(n)),
        }
    }

    pub fn is_websocket(&self) -> bool {
        self.header("upgrade")
            .is_some_and(|u| u.eq_ignore_ascii_case("websocket"))
    }

    fn keeps_alive(&self) -> bool {
        !self
            .header("connection")
            .is_some_and(|c| c.to_ascii_lowercase().contains("close"))
    }
}

/// One answer.
#[derive(Debug, Clone)]
pub struct Response {
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    pub body: String,
}

impl Response {
    pub fn json(status: u16, body: impl Into<String>) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: body.into(),
        }
    }

    pub fn ok(body: impl Into<String>) -> Self {
        Self::json(200, body)
    }

    pub fn with(mut self, name: &'static str, value: impl ToString) -> Self {
        self.headers.push((name, value.to_string()));
        self
    }
}

/// A request that cannot be served: the status to answer it with.
#[derive(Debug)]
pub struct Bad(pub u16, pub &'static str);

/// What came of waiting for a request.
pub enum Incoming {
    Request(Box<Request>),
    /// The other side is gone, or silent for too long.
    Gone,
    Bad(Bad),
}

/// Reads the next request. `buffer` holds bytes read beyond the last one, before and after.
pub async fn read(stream: &mut (impl AsyncRead + Unpin), buffer: &mut Vec<u8>) -> Incoming {
    if buffer.is_empty() {
        match timeout(IDLE_TIME, stream.read_buf(buffer)).await {
            Ok(Ok(n)) if n > 0 => {}
            _ => return Incoming::Gone,
        }
    }
    match timeout(REQUEST_TIME, read_started(stream, buffer)).await {
        Ok(Ok(incoming)) => incoming,
        Ok(Err(_)) => Incoming::Gone,
        Err(_) => Incoming::Bad(Bad(408, "request not complete within 10 s")),
    }
}

async fn read_started(stream: &mut (impl AsyncRead + Unpin), buffer: &mut Vec<u8>) -> io::Result<Incoming> {
    let end = loop {
        if let Some(at) = buffer.windows(4).position(|w| w == b"\r\n\r\n") {
            break at;
        }
        if buffer.len() > HEAD_BYTES {
            return Ok(Incoming::Bad(Bad(431, "headers longer than 16 KiB")));
        }
        if stream.read_buf(buffer).await? == 0 {
            return Ok(Incoming::Gone);
        }
    };
    let mut request = match parse_head(&buffer[..end]) {
        Ok(request) => request,
        Err(bad) => return Ok(Incoming::Bad(bad)),
    };
    buffer.drain(..end + 4);
    if request.header("transfer-encoding").is_some() {
        return Ok(Incoming::Bad(Bad(411, "send the body with Content-Length")));
    }
    let length: usize = match request.header("content-length").map_or(Ok(0), str::parse) {
        Ok(length) if length <= BODY_BYTES => length,
        Ok(_) => return Ok(Incoming::Bad(Bad(413, "body longer than 1 MiB"))),
        Err(_) => return Ok(Incoming::Bad(Bad(400, "Content-Length is not a number"))),
    };
    while buffer.len() < length {
        if stream.read_buf(buffer).await? == 0 {
            return Ok(Incoming::Gone);
        }
    }
    request.body = buffer.drain(..length).collect();
    Ok(Incoming::Request(Box::new(request)))
}

fn parse_head(head: &[u8]) -> Result<Request, Bad> {
    let text = std::str::from_utf8(head).map_err(|_| Bad(400, "headers are not text"))?;
    let mut lines = text.split("\r\n");
    let mut first = lines.next().unwrap_or_default().split(' ');
    let (Some(method), Some(target), Some(version)) = (first.next(), first.next(), first.next()) else {
        return Err(Bad(400, "request line is not 'METHOD target HTTP/1.1'"));
    };
    if !version.starts_with("HTTP/1.") {
        return Err(Bad(505, "only HTTP/1.1 is spoken here"));
    }
    // An absolute target (as sent to a proxy) is cut to its path.
    let target = target
        .strip_prefix("http://")
        .map_or(target, |rest| rest.find('/').map_or("/", |at| &rest[at..]));
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let query = query.split('&').filter(|p| !p.is_empty()).map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        (decode(name, true), decode(value, true))
    });
    let headers = lines.filter_map(|line| {
        let (name, value) = line.split_once(':')?;
        Some((name.trim().to_ascii_lowercase(), value.trim().to_owned()))
    });
    Ok(Request {
        method: method.to_owned(),
        path: decode(path, false),
        query: query.collect(),
        headers: headers.collect(),
        body: Vec::new(),
    })
}

/// Undoes percent-encoding; bytes that make no UTF-8 become replacement characters.
fn decode(text: &str, plus_is_space: bool) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let hex = |n: usize| bytes.get(n).and_then(|b| char::from(*b).to_digit(16));
        match (bytes[at], hex(at + 1), hex(at + 2)) {
            (b'%', Some(high), Some(low)) => {
                out.push((high * 16 + low) as u8);
                at += 3;
                continue;
            }
            (b'+', ..) if plus_is_space => out.push(b' '),
            (byte, ..) => out.push(byte),
        }
        at += 1;
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// Writes an answer. Returns whether the connection may take another request.
pub async fn write(
    stream: &mut (impl AsyncWrite + Unpin),
    request: Option<&Request>,
    response: &Response,
) -> io::Result<bool> {
    let (text, keep) = render(request, response);
    stream.write_all(text.as_bytes()).await?;
    stream.flush().await?;
    Ok(keep)
}

/// The text of an answer, and whether the connection may take another request after it.
pub fn render(request: Option<&Request>, response: &Response) -> (String, bool) {
    let keep = request.is_some_and(Request::keeps_alive);
    let mut text = format!(
        "HTTP/1.1 {} {}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n",
        response.status,
        reason(response.status),
        response.body.len()
    );
    for (name, value) in &response.headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    text.push_str(if keep {
        "connection: keep-alive\r\n\r\n"
    } else {
        "connection: close\r\n\r\n"
    });
    if request.is_none_or(|r| r.method != "HEAD") {
        text.push_str(&response.body);
    }
    (text, keep)
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        202 => "Accepted",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        411 => "Length Required",
        413 => "Content Too Large",
        418 => "I'm a teapot",
        422 => "Unprocessable Content",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        _ => "Error",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_are_decoded() {
        let request =
            parse_head(b"GET /0/public/AssetPairs?pair=BTC%2FUSD&x=a+b&flag HTTP/1.1\r\nHost: a\r\nX-Y:  z ")
                .unwrap();
        assert_eq!(request.path, "/0/public/AssetPairs");
        assert_eq!(request.param("pair"), Some("BTC/USD"));
        assert_eq!(request.param("x"), Some("a b"));
        assert_eq!(request.param("flag"), None);
        assert_eq!(request.header("x-y"), Some("z"));
        assert_eq!(parse_head(b"nonsense").unwrap_err().0, 400);
        assert_eq!(parse_head(b"GET / HTTP/2").unwrap_err().0, 505);
    }

    #[tokio::test]
    async fn bodies_and_the_next_request_are_kept_apart() {
        let mut stream: &[u8] =
            b"POST /faults HTTP/1.1\r\ncontent-length: 2\r\n\r\n{}GET /b HTTP/1.1\r\n\r\n";
        let mut buffer = Vec::new();
        let Incoming::Request(first) = read(&mut stream, &mut buffer).await else {
            panic!("no request")
        };
        assert_eq!(
            (first.method.as_str(), first.body.as_slice()),
            ("POST", b"{}".as_slice())
        );
        let Incoming::Request(second) = read(&mut stream, &mut buffer).await else {
            panic!("no request")
        };
        assert_eq!(second.path, "/b");
        assert!(matches!(read(&mut stream, &mut buffer).await, Incoming::Gone));
    }

    #[tokio::test]
    async fn too_much_is_refused() {
        let long = format!("GET /{} HTTP/1.1\r\n", "a".repeat(20_000));
        let mut buffer = Vec::new();
        assert!(matches!(
            read(&mut long.as_bytes(), &mut buffer).await,
            Incoming::Bad(Bad(431, _))
        ));
        let mut stream: &[u8] = b"POST / HTTP/1.1\r\ncontent-length: 99999999\r\n\r\n";
        let mut buffer = Vec::new();
        assert!(matches!(
            read(&mut stream, &mut buffer).await,
            Incoming::Bad(Bad(413, _))
        ));
    }
}
