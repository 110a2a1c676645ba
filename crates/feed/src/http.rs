//! A small HTTP/1.1 client, and the connector it shares with the WebSocket client: names, proxies, TLS.
//!
//! GET only, one request a connection, bounded in bytes and in time. Proxies come from `HTTP_PROXY`,
//! `HTTPS_PROXY` and `NO_PROXY` (upper or lower case), trusted certificates from the system or from
//! `SSL_CERT_FILE` and `SSL_CERT_DIR`. A certificate that does not hold is refused; nothing turns that off.

use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use base64::Engine;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Bytes;
use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::{Request, Uri};
use hyper_util::rt::TokioIo;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// What every request says of itself; Coinbase refuses requests without.
pub const USER_AGENT: &str = concat!("tidemill/", env!("CARGO_PKG_VERSION"));

/// For one address of a host; a host with a dead IPv6 address is still reached in time.
const ADDRESS_LIMIT: Duration = Duration::from_secs(4);
/// Header of a proxy's answer to CONNECT.
const MAX_CONNECT_ANSWER_BYTES: usize = 16 << 10;

/// Why there is no connection or no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The address cannot be used as it is written.
    Url,
    /// The name has no address, or nobody listens.
    Connect,
    /// The proxy refused.
    Proxy,
    /// The certificate does not hold, or TLS failed otherwise.
    Tls,
    Timeout,
    /// The answer has more bytes than allowed.
    TooLarge,
    /// The peer does not speak the protocol, or hung up.
    Protocol,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetError {
    pub kind: Kind,
    pub message: String,
}

impl NetError {
    pub(crate) fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
        }
    }
}

impl fmt::Display for NetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for NetError {}

/// An http, https, ws, wss or tcp address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url {
    pub secure: bool,
    scheme: &'static str,
    /// Without the brackets of an IPv6 address.
    pub host: String,
    pub port: u16,
    /// Path and query; empty when there is none.
    path: String,
}

impl Url {
    pub fn parse(text: &str) -> Result<Self, NetError> {
        let wrong = |why: &str| NetError::new(Kind::Url, format!("'{text}' is not a usable address: {why}"));
        let uri: Uri = text.parse().map_err(|_| wrong("it cannot be read"))?;
        let (scheme, secure) = match uri.scheme_str() {
            Some("http") => ("http", false),
            Some("https") => ("https", true),
            Some("ws") => ("ws", false),
            Some("wss") => ("wss", true),
            Some("tcp") => ("tcp", false),
            _ => {
                return Err(wrong(
                    "it must begin with ws://, wss://, tcp://, http:// or https://",
                ));
            }
        };
        let authority = uri.authority().ok_or_else(|| wrong("it names no host"))?;
        if authority.as_str().contains('@') {
            // Not repeated in the message: it may hold a password.
            return Err(NetError::new(
                Kind::Url,
                "an address must not hold a user name or a password",
            ));
        }
        let host = authority
            .host()
            .trim_start_matches('[')
            .trim_end_matches(']')
            .to_owned();
        if host.is_empty() {
            return Err(wrong("it names no host"));
        }
        if scheme == "tcp" && authority.port_u16().is_none() {
            return Err(wrong("it names no port"));
        }
        let path = uri.path_and_query().map_or("", |path| path.as_str());
        Ok(Self {
            secure,
            scheme,
            host,
            port: authority.port_u16().unwrap_or(if secure { 443 } else { 80 }),
            path: if path == "/" {
                String::new()
            } else {
                path.trim_end_matches('/').to_owned()
            },
        })
    }

    /// Lines over plain TCP are spoken there.
    pub fn is_line(&self) -> bool {
        self.scheme == "tcp"
    }

    /// This address with more path (and query) behind it.
    pub fn join(&self, path: &str) -> Self {
        Self {
            path: format!("{}{path}", self.path),
            ..self.clone()
        }
    }

    /// Host and port as in a Host header: the default port is left out.
    pub fn authority(&self) -> String {
        let host = if self.host.contains(':') {
            format!("[{}]", self.host)
        } else {
            self.host.clone()
        };
        let default = if self.secure { 443 } else { 80 };
        if self.port == default {
            host
        } else {
            format!("{host}:{}", self.port)
        }
    }

    /// Path and query, at least "/".
    pub fn target(&self) -> String {
        match self.path.as_bytes().first() {
            None => "/".into(),
            Some(b'?') => format!("/{}", self.path),
            Some(_) => self.path.clone(),
        }
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}{}", self.scheme, self.authority(), self.path)
    }
}

/// Which proxy, if any, leads to a host.
#[derive(Clone, Debug, Default)]
pub struct Proxies {
    plain: Option<Proxy>,
    secure: Option<Proxy>,
    except: Vec<String>,
}

#[derive(Clone)]
struct Proxy {
    host: String,
    port: u16,
    /// Ready for a Proxy-Authorization header.
    authorization: Option<String>,
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Proxy({}:{})", self.host, self.port) // never the password
    }
}

impl Proxies {
    pub fn from_env() -> Result<Self, NetError> {
        Self::read(|name| std::env::var(name).ok())
    }

    /// From any source of variables.
    pub fn read(variable: impl Fn(&str) -> Option<String>) -> Result<Self, NetError> {
        let either = |name: &str| {
            variable(name)
                .or_else(|| variable(&name.to_lowercase()))
                .filter(|value| !value.trim().is_empty())
        };
        let proxy = |name: &str| {
            either(name)
                .map(|text| Proxy::parse(name, text.trim()))
                .transpose()
        };
        Ok(Self {
            plain: proxy("HTTP_PROXY")?,
            secure: proxy("HTTPS_PROXY")?,
            except: either("NO_PROXY")
                .map(|list| list.split(',').map(|item| item.trim().to_lowercase()).collect())
                .unwrap_or_default(),
        })
    }

    fn lead_to(&self, url: &Url) -> Option<&Proxy> {
        let proxy = if url.secure { &self.secure } else { &self.plain };
        // what speaks plain TCP stands on this machine or beside it
        proxy.as_ref().filter(|_| !url.is_line() && !self.direct(url))
    }

    /// Hosts of `NO_PROXY`, and this machine, are reached without a proxy.
    fn direct(&self, url: &Url) -> bool {
        let host = url.host.to_lowercase();
        let address: Option<IpAddr> = host.parse().ok();
        if host == "localhost" || address.is_some_and(|ip| ip.is_loopback()) {
            return true;
        }
        self.except.iter().any(|item| {
            let (item, port) = match item.rsplit_once(':') {
                Some((name, port)) if !name.contains(':') && port.parse::<u16>().is_ok() => {
                    (name, port.parse::<u16>().ok())
                }
                _ => (item.as_str(), None),
            };
            if port.is_some_and(|port| port != url.port) {
                return false;
            }
            if let (Some((network, bits)), Some(ip)) = (item.split_once('/'), address) {
                return in_network(ip, network, bits);
            }
            let suffix = item.trim_start_matches("*.").trim_start_matches('.');
            item == "*" || (!suffix.is_empty() && (host == suffix || host.ends_with(&format!(".{suffix}"))))
        })
    }
}

fn in_network(ip: IpAddr, network: &str, bits: &str) -> bool {
    let (Ok(network), Ok(bits)) = (network.parse::<IpAddr>(), bits.parse::<u32>()) else {
        return false;
    };
    match (ip, network) {
        (IpAddr::V4(ip), IpAddr::V4(network)) if bits <= 32 => {
            let mask = u32::MAX.checked_shl(32 - bits).unwrap_or(0);
            ip.to_bits() & mask == network.to_bits() & mask
        }
        (IpAddr::V6(ip), IpAddr::V6(network)) if bits <= 128 => {
            let mask = u128::MAX.checked_shl(128 - bits).unwrap_or(0);
            ip.to_bits() & mask == network.to_bits() & mask
        }
        _ => false,
    }
}

impl Proxy {
    fn parse(name: &str, text: &str) -> Result<Self, NetError> {
        let wrong = || {
            NetError::new(
                Kind::Url,
                format!("{name} is not a proxy address; for example http://proxy.local:3128"),
            )
        };
        let text = if text.contains("://") {
            text.to_owned()
        } else {
            format!("http://{text}")
        };
        let uri: Uri = text.parse().map_err(|_| wrong())?;
        if uri.scheme_str() != Some("http") {
            return Err(NetError::new(
                Kind::Url,
                format!("{name}: only http:// proxies can be used"),
            ));
        }
        let authority = uri.authority().ok_or_else(wrong)?;
        let authorization = authority.as_str().rsplit_once('@').map(|(user, _)| {
            format!(
                "Basic {}",
                base64::engine::general_purpose::STANDARD.encode(percent_decoded(user))
            )
        });
        Ok(Self {
            host: authority.host().trim_matches(['[', ']']).to_owned(),
            port: authority.port_u16().unwrap_or(80),
            authorization,
        })
    }
}

fn percent_decoded(text: &str) -> Vec<u8> {
    let bytes = text.as_bytes();
    let digit = |at: usize| bytes.get(at).and_then(|b| (*b as char).to_digit(16));
    let (mut out, mut at) = (Vec::with_capacity(bytes.len()), 0);
    while at < bytes.len() {
        match (bytes[at], digit(at + 1), digit(at + 2)) {
            (b'%', Some(high), Some(low)) => {
                out.push((high * 16 + low) as u8);
                at += 3;
            }
            (byte, _, _) => {
                out.push(byte);
                at += 1;
            }
        }
    }
    out
}

/// A byte stream to a peer, with or without TLS.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// Proxies and trust: how this process reaches others. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Network {
    proxies: Arc<Proxies>,
    tls: Arc<OnceLock<Result<Arc<rustls::ClientConfig>, NetError>>>,
}

impl Network {
    /// As the environment says.
    pub fn from_env() -> Result<Self, NetError> {
        Ok(Self::new(Proxies::from_env()?))
    }

    pub fn new(proxies: Proxies) -> Self {
        Self {
            proxies: Arc::new(proxies),
            tls: Arc::default(),
        }
    }

    /// Trusts these certificates and no others.
    #[cfg(test)]
    pub fn trusting(proxies: Proxies, roots: impl IntoIterator<Item = CertificateDer<'static>>) -> Self {
        let network = Self::new(proxies);
        let _ = network.tls.set(client_config(roots)); // it is empty: it was just made
        network
    }

    /// Certificates are read when they are first needed: reading them takes longer than a start should.
    fn tls(&self) -> Result<Arc<rustls::ClientConfig>, NetError> {
        self.tls
            .get_or_init(|| {
                let found = rustls_native_certs::load_native_certs();
                if found.certs.is_empty() {
                    let why = found
                        .errors
                        .first()
                        .map_or("none found".into(), ToString::to_string);
                    return Err(NetError::new(
                        Kind::Tls,
                        format!("no trusted certificates ({why}); name a file with SSL_CERT_FILE"),
                    ));
                }
                client_config(found.certs)
            })
            .clone()
    }

    /// Connects. `tunnel` asks a proxy for a tunnel even where TLS does not need one (ws://).
    /// The time is the caller's to bound.
    pub async fn connect(&self, url: &Url, tunnel: bool) -> Result<Box<dyn Stream>, NetError> {
        let tcp = match self.proxies.lead_to(url) {
            None => dial(&url.host, url.port).await?,
            Some(proxy) => {
                let mut tcp = dial(&proxy.host, proxy.port).await?;
                if url.secure || tunnel {
                    ask_for_tunnel(&mut tcp, proxy, url).await?;
                }
                tcp
            }
        };
        if !url.secure {
            return Ok(Box::new(tcp));
        }
        let name = ServerName::try_from(url.host.clone())
            .map_err(|_| NetError::new(Kind::Url, format!("'{}' is not a host name", url.host)))?;
        let stream = tokio_rustls::TlsConnector::from(self.tls()?)
            .connect(name, tcp)
            .await
            .map_err(|error| {
                let why = distrust(&error).unwrap_or_else(|| error.to_string());
                NetError::new(Kind::Tls, format!("no safe connection to {}: {why}", url.host))
            })?;
        Ok(Box::new(stream))
    }

    /// GETs `url`. An answer of any status is an answer.
    pub async fn get(&self, url: &Url, bounds: Bounds) -> Result<Response, NetError> {
        timeout(bounds.time, self.get_unbounded(url, bounds.bytes))
            .await
            .unwrap_or_else(|_| {
                Err(NetError::new(
                    Kind::Timeout,
                    format!(
                        "no whole answer from {} within {} s",
                        url.host,
                        bounds.time.as_secs_f32()
                    ),
                ))
            })
    }

    async fn get_unbounded(&self, url: &Url, max_bytes: usize) -> Result<Response, NetError> {
        let broken = |error: &dyn fmt::Display| {
            NetError::new(Kind::Protocol, format!("{} broke off: {error}", url.host))
        };
        let proxy = if url.secure {
            None
        } else {
            self.proxies.lead_to(url)
        };
        let stream = self.connect(url, false).await?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| broken(&error))?;
        let _connection = AbortOnDrop(tokio::spawn(async move { connection.await.is_ok() }));
        // A proxy without a tunnel wants the whole address.
        let target = if proxy.is_some() {
            format!("http://{}{}", url.authority(), url.target())
        } else {
            url.target()
        };
        let mut request = Request::get(target)
            .header(header::HOST, url.authority())
            .header(header::USER_AGENT, USER_AGENT)
            .header(header::ACCEPT, "application/json")
            .header(header::CONNECTION, "close");
        if let Some(authorization) = proxy.and_then(|proxy| proxy.authorization.as_deref()) {
            request = request.header(header::PROXY_AUTHORIZATION, authorization);
        }
        let request = request
            .body(Empty::<Bytes>::new())
            .map_err(|error| NetError::new(Kind::Url, format!("{url} cannot be asked for: {error}")))?;
        let answer = sender
            .send_request(request)
            .await
            .map_err(|error| broken(&error))?;
        let (head, body) = answer.into_parts();
        let body = Limited::new(body, max_bytes).collect().await.map_err(|error| {
            if error.is::<http_body_util::LengthLimitError>() {
                NetError::new(
                    Kind::TooLarge,
                    format!("{} sent more than {max_bytes} bytes", url.host),
                )
            } else {
                broken(&error)
            }
        })?;
        Ok(Response {
            status: head.status.as_u16(),
            retry_after: retry_after(&head.headers, crate::clock::wall_ns() / 1_000_000_000),
            body: body.to_bytes(),
        })
    }
}

/// What is wrong with a server, in words that say what to do; `None` where the error itself is as clear.
pub(crate) fn distrust(error: &std::io::Error) -> Option<String> {
    use rustls::{CertificateError, Error};
    let of_certificate = match error.get_ref()?.downcast_ref::<Error>()? {
        Error::InvalidMessage(_) => return Some("it does not speak TLS on this port".into()),
        Error::InvalidCertificate(why) => why,
        _ => return None,
    };
    Some(match of_certificate {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "its certificate has expired, or this machine's clock is wrong".into()
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "its certificate is not valid yet, or this machine's clock is wrong".into()
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "its certificate is for another host".into()
        }
        CertificateError::UnknownIssuer => {
            "nobody this machine trusts has signed its certificate; SSL_CERT_FILE names more".into()
        }
        // webpki's own word for a certificate that signed itself
        CertificateError::Other(other) if other.to_string() == "CaUsedAsEndEntity" => {
            "its certificate is signed by itself alone".into()
        }
        other => format!("its certificate does not hold: {other}"),
    })
}

fn client_config(
    roots: impl IntoIterator<Item = CertificateDer<'static>>,
) -> Result<Arc<rustls::ClientConfig>, NetError> {
    let mut store = rustls::RootCertStore::empty();
    store.add_parsable_certificates(roots);
    let config =
        rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| NetError::new(Kind::Tls, format!("no TLS: {error}")))?
            .with_root_certificates(store)
            .with_no_client_auth();
    Ok(Arc::new(config))
}

struct AbortOnDrop(tokio::task::JoinHandle<bool>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Connects to the first address of a host that answers.
async fn dial(host: &str, port: u16) -> Result<TcpStream, NetError> {
    let addresses = tokio::net::lookup_host((host, port))
        .await
        .map_err(|error| NetError::new(Kind::Connect, format!("no address for {host}: {error}")))?;
    let mut why = "it has no address".to_owned();
    for address in addresses {
        match timeout(ADDRESS_LIMIT, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                stream
                    .set_nodelay(true)
                    .map_err(|error| NetError::new(Kind::Connect, format!("{host}:{port}: {error}")))?;
                return Ok(stream);
            }
            Ok(Err(error)) => why = error.to_string(),
            Err(_) => why = format!("{address} did not answer within {} s", ADDRESS_LIMIT.as_secs()),
        }
    }
    Err(NetError::new(
        Kind::Connect,
        format!("cannot connect to {host}:{port}: {why}"),
    ))
}

async fn ask_for_tunnel(tcp: &mut TcpStream, proxy: &Proxy, url: &Url) -> Result<(), NetError> {
    let refused = |why: &dyn fmt::Display| {
        NetError::new(
            Kind::Proxy,
            format!(
                "proxy {}:{} gave no tunnel to {}: {why}",
                proxy.host, proxy.port, url.host
            ),
        )
    };
    let host = if url.host.contains(':') {
        format!("[{}]", url.host)
    } else {
        url.host.clone()
    };
    let mut request = format!("CONNECT {host}:{0} HTTP/1.1\r\nHost: {host}:{0}\r\n", url.port);
    if let Some(authorization) = &proxy.authorization {
        request += &format!("Proxy-Authorization: {authorization}\r\n");
    }
    request += "\r\n";
    tcp.write_all(request.as_bytes())
        .await
        .map_err(|error| refused(&error))?;
    // Byte by byte, so that nothing of what follows the header is taken from the tunnel.
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        if answer.len() == MAX_CONNECT_ANSWER_BYTES {
            return Err(refused(&"its answer is too long"));
        }
        answer.push(tcp.read_u8().await.map_err(|error| refused(&error))?);
    }
    let line = String::from_utf8_lossy(&answer);
    let line = line.lines().next().unwrap_or("");
    match line.split(' ').nth(1) {
        Some(code) if line.starts_with("HTTP/1.") && code.len() == 3 && code.starts_with('2') => Ok(()),
        _ => Err(refused(&line)),
    }
}

/// What an answer may cost.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    pub bytes: usize,
    /// For everything, from the name to the last byte.
    pub time: Duration,
}

#[derive(Clone, Debug)]
pub struct Response {
    pub status: u16,
    /// How long the server asks to be left alone.
    pub retry_after: Option<Duration>,
    pub body: Bytes,
}

/// The Retry-After header: seconds, or a date, at `now_s` seconds since the epoch.
pub fn retry_after(headers: &HeaderMap<HeaderValue>, now_s: i64) -> Option<Duration> {
    let text = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse::<f64>() {
        return (seconds >= 0.0).then(|| Duration::from_secs_f64(seconds.min(7.0 * 86_400.0)));
    }
    let wait = http_date_s(text)? - now_s;
    Some(Duration::from_secs(wait.clamp(0, 7 * 86_400) as u64))
}

/// Seconds since the epoch of `Sun, 06 Nov 1994 08:49:37 GMT` (RFC 9110, 5.6.7).
fn http_date_s(text: &str) -> Option<i64> {
    let mut words = text.split_once(", ")?.1.split(' ');
    let day: i64 = words.next()?.parse().ok()?;
    let month = words.next()?;
    let months = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let month = months.iter().position(|name| *name == month)? as i64 + 1;
    let year: i64 = words.next()?.parse().ok()?;
    let mut clock = words.next()?.split(':').map(str::parse::<i64>);
    let (hour, minute, second) = (clock.next()?.ok()?, clock.next()?.ok()?, clock.next()?.ok()?);
    // days from civil (proleptic Gregorian), with March as the first month
    let (y, m) = if month <= 2 {
        (year - 1, month + 9)
    } else {
        (year, month - 3)
    };
    let era = y.div_euclid(400);
    let of_era = y.rem_euclid(400);
    let days =
        era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + (153 * m + 2) / 5 + day - 1 - 719_468;
    Some(days * 86_400 + hour * 3_600 + minute * 60 + second)
}

#[cfg(test)]
#[path = "http_test.rs"]
mod tests;
