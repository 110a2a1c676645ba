//! The HTTP request that opens a stream: what is asked, by which page, with which credentials.
//!
//! Without I/O: the bytes of a request head in, a decision out. Everything that is not a WebSocket upgrade
//! of `/stream` gets an answer in JSON.

use std::net::IpAddr;

use serde_json::Value;

use crate::failure::{Category, Failure};
use crate::ticket::{Key, Pass, Purpose, same_secret};

/// A request head may have this many bytes; cookies of a dozen local programs fit.
pub const HEAD_BYTES_MAX: usize = 16 * 1024;
const HEADERS_MAX: usize = 64;
pub const PATH: &str = "/stream";

/// Which pages and names may reach this bridge.
#[derive(Clone, Debug, Default)]
pub struct Policy {
    /// From `TIDEMILL_ALLOWED_HOSTS`, beside loopback: `name` (any port) or `name:port`.
    pub hosts: Vec<String>,
    /// From `TIDEMILL_ALLOWED_ORIGINS`, beside the request's own: `https://name[:port]`.
    pub origins: Vec<String>,
}

impl Policy {
    pub fn from_environment() -> Self {
        let list = |name: &str| {
            std::env::var(name)
                .unwrap_or_default()
                .split(',')
                .map(|item| item.trim().trim_end_matches('/').to_ascii_lowercase())
                .filter(|item| !item.is_empty())
                .collect()
        };
        Self {
            hosts: list("TIDEMILL_ALLOWED_HOSTS"),
            origins: list("TIDEMILL_ALLOWED_ORIGINS"),
        }
    }
}

/// What checks credentials.
#[derive(Clone, Debug)]
pub struct Keeper {
    pub key: Key,
    /// The owner's bearer token.
    pub token: String,
}

/// An upgrade that may go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upgrade {
    /// For `Sec-WebSocket-Accept`.
    pub accept: String,
    /// The request itself proved who asks (session cookie or bearer); else the first message must.
    pub pass: Option<Pass>,
}

/// An HTTP answer that is not an upgrade.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub status: u16,
    pub failure: Failure,
}

fn refuse(
    status: u16,
    category: Category,
    code: &'static str,
    message: impl Into<String>,
    hint: impl Into<String>,
) -> Refusal {
    Refusal {
        status,
        failure: Failure::new(category, code, message, hint),
    }
}

impl Refusal {
    pub fn timeout() -> Self {
        refuse(
            408,
            Category::Timeout,
            "request_slow",
            "the request head did not come whole within 10 s",
            "send it in one piece",
        )
    }

    pub fn crowded(connections_max: usize) -> Self {
        refuse(
            503,
            Category::RateLimit,
            "connections_full",
            format!("this bridge already serves its {connections_max} connections"),
            "close others, or start it with a larger --connections-max",
        )
    }

    pub fn too_large() -> Self {
        refuse(
            431,
            Category::Resource,
            "request_head_large",
            format!("a request head has at most {HEAD_BYTES_MAX} bytes and {HEADERS_MAX} headers"),
            "remove cookies that other programs left on this host",
        )
    }

    /// The whole HTTP response.
    pub fn response(&self) -> Vec<u8> {
        let reason = match self.status {
            400 => "Bad Request",
            401 => "Unauthorized",
            403 => "Forbidden",
            404 => "Not Found",
            405 => "Method Not Allowed",
            408 => "Request Timeout",
            421 => "Misdirected Request",
            426 => "Upgrade Required",
            431 => "Request Header Fields Too Large",
            _ => "Service Unavailable",
        };
        let extra = match self.status {
            401 => "WWW-Authenticate: Bearer\r\n",
            405 => "Allow: GET\r\n",
            426 => "Upgrade: websocket\r\n",
            503 => "Retry-After: 1\r\n",
            _ => "",
        };
        let body: Value = self.failure.to_json();
        let body = body.to_string();
        format!(
            "HTTP/1.1 {} {reason}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n{extra}\
             Cache-Control: no-store\r\nConnection: close\r\n\r\n{body}",
            self.status,
            body.len()
        )
        .into_bytes()
    }
}

impl Upgrade {
    /// The whole HTTP response.
    pub fn response(&self) -> Vec<u8> {
        format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Accept: {}\r\n\r\n",
            self.accept
        )
        .into_bytes()
    }
}

/// The decision on a request head, and how many bytes it took; `None` while it is not whole.
pub fn decide(
    bytes: &[u8],
    policy: &Policy,
    keeper: &Keeper,
    now_s: u64,
) -> Option<(Result<Upgrade, Refusal>, usize)> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut request = httparse::Request::new(&mut headers);
    match request.parse(bytes) {
        Ok(httparse::Status::Complete(length)) => Some((judge(&request, policy, keeper, now_s), length)),
        Ok(httparse::Status::Partial) if bytes.len() < HEAD_BYTES_MAX => None,
        Ok(httparse::Status::Partial) | Err(httparse::Error::TooManyHeaders) => {
            Some((Err(Refusal::too_large()), bytes.len()))
        }
        Err(error) => Some((
            Err(refuse(
                400,
                Category::Usage,
                "request_malformed",
                format!("this is not an HTTP/1.1 request: {error}"),
                "open a WebSocket on /stream",
            )),
            bytes.len(),
        )),
    }
}

fn judge(
    request: &httparse::Request<'_, '_>,
    policy: &Policy,
    keeper: &Keeper,
    now_s: u64,
) -> Result<Upgrade, Refusal> {
    let host = host(request, policy)?;
    let target = request.path.unwrap_or_default();
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    if path != PATH {
        return Err(refuse(
            404,
            Category::NotFound,
            "path_unknown",
            format!("nothing is at '{}'", shown(path)),
            "have: /stream (WebSocket)",
        ));
    }
    if !query.is_empty() {
        return Err(refuse(
            400,
            Category::Usage,
            "query_refused",
            "/stream takes no query",
            "subscriptions and credentials go into messages, where no log keeps them",
        ));
    }
    if request.method != Some("GET") {
        return Err(refuse(
            405,
            Category::Usage,
            "method_refused",
            format!("{} /stream", shown(request.method.unwrap_or_default())),
            "a WebSocket opens with GET",
        ));
    }
    let accept = websocket_key(request)?;
    let has_own_origin = origin(request, policy, &host)?;
    Ok(Upgrade {
        accept,
        pass: pass(request, keeper, has_own_origin, now_s)?,
    })
}

/// Only once, or the parts of a chain might read different ones.
fn single<'a>(request: &httparse::Request<'_, 'a>, name: &str) -> Result<Option<&'a str>, Refusal> {
    let mut found = None;
    for header in request
        .headers
        .iter()
        .filter(|h| h.name.eq_ignore_ascii_case(name))
    {
        let value = std::str::from_utf8(header.value).ok();
        if found.is_some() || value.is_none() {
            return Err(refuse(
                400,
                Category::Usage,
                "header_malformed",
                format!("the header {name} must come once, as plain text"),
                "",
            ));
        }
        found = value.map(str::trim);
    }
    Ok(found)
}

fn shown(text: &str) -> String {
    text.chars().take(80).collect()
}

/// Name and port of a `host[:port]`, in lower case, brackets of IPv6 kept.
fn split_host(text: &str) -> Option<(String, Option<u16>)> {
    let text = text.to_ascii_lowercase();
    let (name, port) = match text.rfind(':') {
        Some(colon) if !text[colon..].contains(']') => {
            let port = &text[colon + 1..];
            if port.is_empty() || !port.bytes().all(|byte| byte.is_ascii_digit()) {
                return None;
            }
            (text[..colon].to_owned(), Some(port.parse().ok()?))
        }
        _ => (text, None),
    };
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
    let good = match name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => !name.is_empty() && name.bytes().all(plain),
    };
    good.then_some((name, port))
}

fn is_loopback(name: &str) -> bool {
    let bare = name.trim_start_matches('[').trim_end_matches(']');
    name == "localhost" || bare.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// A page on another site can make its own name resolve to this machine; it cannot choose the Host header.
fn host(request: &httparse::Request<'_, '_>, policy: &Policy) -> Result<(String, Option<u16>), Refusal> {
    let text = single(request, "Host")?.unwrap_or_default();
    if let Some((name, port)) = split_host(text) {
        let listed = policy.hosts.iter().any(|allowed| match split_host(allowed) {
            Some((allowed, None)) => allowed == name,
            Some((allowed, Some(wanted))) => allowed == name && port == Some(wanted),
            None => false,
        });
        if listed || is_loopback(&name) {
            return Ok((name, port));
        }
    }
    Err(refuse(
        421,
        Category::Auth,
        "host_refused",
        format!(
            "the host '{}' is neither loopback nor in TIDEMILL_ALLOWED_HOSTS",
            shown(text)
        ),
        "set TIDEMILL_ALLOWED_HOSTS to the names this platform is reached by",
    ))
}

fn default_port(scheme: &str) -> u16 {
    if scheme == "https" { 443 } else { 80 }
}

/// Whether an Origin came at all; one that is neither the request's own nor listed is refused.
fn origin(
    request: &httparse::Request<'_, '_>,
    policy: &Policy,
    host: &(String, Option<u16>),
) -> Result<bool, Refusal> {
    let Some(origin) = single(request, "Origin")? else {
        return Ok(false);
    };
    let origin = origin.to_ascii_lowercase();
    if policy.origins.contains(&origin) {
        return Ok(true);
    }
    // A proxy that ends TLS says so; a browser cannot set this header on a WebSocket.
    let own_scheme = single(request, "X-Forwarded-Proto")?.map_or("http", |scheme| {
        if scheme.eq_ignore_ascii_case("https") {
            "https"
        } else {
            "http"
        }
    });
    let own = origin
        .split_once("://")
        .filter(|(scheme, _)| *scheme == own_scheme)
        .and_then(|(scheme, rest)| Some((scheme, split_host(rest)?)))
        .is_some_and(|(scheme, (name, port))| {
            name == host.0 && port.unwrap_or(default_port(scheme)) == host.1.unwrap_or(default_port(scheme))
        });
    if own {
        return Ok(true);
    }
    Err(refuse(
        403,
        Category::Auth,
        "origin_refused",
        format!(
            "a page of '{}' may not open this stream: it is neither the address it was asked at nor in \
             TIDEMILL_ALLOWED_ORIGINS",
            shown(&origin)
        ),
        "set TIDEMILL_ALLOWED_ORIGINS to the origins whose pages may, such as https://desk.example",
    ))
}

fn websocket_key(request: &httparse::Request<'_, '_>) -> Result<String, Refusal> {
    let upgrade_wanted = |hint: &str| {
        refuse(
            426,
            Category::Usage,
            "upgrade_required",
            "/stream is a WebSocket (version 13); this request asks for something else",
            hint,
        )
    };
    let has_token = |name: &str, wanted: &str| {
        request
            .headers
            .iter()
            .filter(|header| header.name.eq_ignore_ascii_case(name))
            .filter_map(|header| std::str::from_utf8(header.value).ok())
            .flat_map(|value| value.split(','))
            .any(|item| item.trim().eq_ignore_ascii_case(wanted))
    };
    if request.version != Some(1) || !has_token("Upgrade", "websocket") || !has_token("Connection", "upgrade")
    {
        return Err(upgrade_wanted("use a WebSocket client"));
    }
    if single(request, "Sec-WebSocket-Version")? != Some("13") {
        return Err(upgrade_wanted("send Sec-WebSocket-Version: 13"));
    }
    match single(request, "Sec-WebSocket-Key")? {
        Some(key) if key.len() == 24 => Ok(tokio_tungstenite::tungstenite::handshake::derive_accept_key(
            key.as_bytes(),
        )),
        _ => Err(upgrade_wanted("send Sec-WebSocket-Key: 16 bytes in base64")),
    }
}

/// Who asks, if the head proves it. A cookie counts only beside an Origin that was accepted: browsers
/// send cookies whichever page opens the stream, and always say which page that is.
fn pass(
    request: &httparse::Request<'_, '_>,
    keeper: &Keeper,
    has_own_origin: bool,
    now_s: u64,
) -> Result<Option<Pass>, Refusal> {
    if let Some(authorization) = single(request, "Authorization")? {
        let bearer = authorization
            .split_once(' ')
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
            .is_some_and(|(_, token)| same_secret(token.trim(), &keeper.token));
        return if bearer {
            Ok(Some(Pass {
                subject: "owner".into(),
                until_s: u64::MAX,
            }))
        } else {
            Err(refuse(
                401,
                Category::Auth,
                "bearer_refused",
                "the Authorization header holds no token of this platform",
                "send `Authorization: Bearer` with the text of DIR/token, or a ticket as first message",
            ))
        };
    }
    if !has_own_origin {
        return Ok(None);
    }
    let cookies = request
        .headers
        .iter()
        .filter(|header| header.name.eq_ignore_ascii_case("Cookie"))
        .filter_map(|header| std::str::from_utf8(header.value).ok())
        .flat_map(|value| value.split(';'))
        .filter_map(|cookie| cookie.trim().split_once('='))
        .filter(|(name, _)| name.starts_with("tidemill_"));
    // Cookies do not know ports: other platforms on this host send theirs too, and those do not verify.
    for (_, value) in cookies {
        if let Ok(pass) = keeper
            .key
            .verify(value.trim_matches('"'), Purpose::Session, now_s)
        {
            return Ok(Some(pass));
        }
    }
    Ok(None)
}
