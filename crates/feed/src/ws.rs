//! The WebSocket client of the collector: tokio-tungstenite over the connector of [`crate::http`].

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::error::{CapacityError, Error};
use tokio_tungstenite::tungstenite::http::{HeaderValue, header};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

use crate::http::{Kind, NetError, Network, Stream, USER_AGENT, Url, retry_after};

pub type Socket = WebSocketStream<Counted>;

/// A stream that knows how much came: bytes of a message that is not whole yet are a sign of life too.
pub struct Counted {
    stream: Box<dyn Stream>,
    received: u64,
}

impl Counted {
    /// Bytes that came so far.
    pub fn received(&self) -> u64 {
        self.received
    }
}

impl AsyncRead for Counted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        self.received += (buffer.filled().len() - before) as u64;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Counted {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// Why there is no WebSocket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    pub error: NetError,
    /// The status of an answer that was no WebSocket.
    pub status: Option<u16>,
    /// How long the server asks to be left alone.
    pub retry_after: Option<Duration>,
}

impl From<NetError> for Refused {
    fn from(error: NetError) -> Self {
        Self {
            error,
            status: None,
            retry_after: None,
        }
    }
}

/// Opens a WebSocket, with these fields in its request; messages over `max_message_bytes` end it with an error that [`oversize`] knows.
pub async fn open(
    network: &Network,
    url: &Url,
    headers: &[(&'static str, &'static str)],
    max_message_bytes: usize,
    limit: Duration,
) -> Result<Socket, Refused> {
    timeout(limit, open_unbounded(network, url, headers, max_message_bytes))
        .await
        .unwrap_or_else(|_| {
            Err(NetError::new(
                Kind::Timeout,
                format!("no WebSocket at {url} within {} s", limit.as_secs_f32()),
            )
            .into())
        })
}

async fn open_unbounded(
    network: &Network,
    url: &Url,
    headers: &[(&'static str, &'static str)],
    max_message_bytes: usize,
) -> Result<Socket, Refused> {
    let stream = Counted {
        stream: network.connect(url, true).await?,
        received: 0,
    };
    let address = format!(
        "{}://{}{}",
        if url.secure { "wss" } else { "ws" },
        url.authority(),
        url.target()
    );
    let mut request = address
        .into_client_request()
        .map_err(|error| NetError::new(Kind::Url, format!("{url} is no WebSocket address: {error}")))?;
    request
        .headers_mut()
        .insert(header::USER_AGENT, HeaderValue::from_static(USER_AGENT));
    for (name, value) in headers {
        request
            .headers_mut()
            .insert(*name, HeaderValue::from_static(value));
    }
    let config = WebSocketConfig::default()
        .max_message_size(Some(max_message_bytes))
        .max_frame_size(Some(max_message_bytes));
    match client_async_with_config(request, stream, Some(config)).await {
        Ok((socket, _)) => Ok(socket),
        Err(Error::Http(answer)) => {
            let text = answer
                .body()
                .as_deref()
                .map(String::from_utf8_lossy)
                .unwrap_or_default();
            let text: String = text.chars().filter(|c| !c.is_control()).take(200).collect();
            Err(Refused {
                error: NetError::new(
                    Kind::Protocol,
                    format!(
                        "{} answered {} instead of a WebSocket: {text}",
                        url.host,
                        answer.status()
                    ),
                ),
                status: Some(answer.status().as_u16()),
                retry_after: retry_after(answer.headers(), crate::clock::wall_ns() / 1_000_000_000),
            })
        }
        Err(error) => {
            Err(NetError::new(Kind::Protocol, format!("no WebSocket at {}: {error}", url.host)).into())
        }
    }
}

/// The size of a message that was over the limit, if that is what this error is.
pub fn oversize(error: &Error) -> Option<usize> {
    match error {
        Error::Capacity(CapacityError::MessageTooLong { size, .. }) => Some(*size),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use futures_util::{SinkExt, StreamExt};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;
    use tokio_tungstenite::tungstenite::Message;

    use super::*;
    use crate::http::Proxies;

    const LIMIT: Duration = Duration::from_secs(10);

    async fn listen() -> (TcpListener, Url) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = Url::parse(&format!("ws://{}", listener.local_addr().unwrap())).unwrap();
        (listener, url)
    }

    #[tokio::test]
    async fn messages_pass_and_large_ones_end_it() {
        let (listener, url) = listen().await;
        tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            let mut socket = tokio_tungstenite::accept_async(stream).await.unwrap();
            socket.send(Message::text("x".repeat(1_000))).await.unwrap();
            socket.send(Message::text("y".repeat(1_001))).await.unwrap();
            let _ = socket.next().await;
        });
        let network = Network::new(Proxies::default());
        let mut socket = open(
            &network,
            &url.join("/v2"),
            &[("Content-Type", "application/msgpack")],
            1_000,
            LIMIT,
        )
        .await
        .unwrap();
        assert_eq!(socket.next().await.unwrap().unwrap().len(), 1_000);
        let error = socket.next().await.unwrap().unwrap_err();
        assert_eq!(oversize(&error), Some(1_001));
    }

    #[tokio::test]
    async fn a_refusal_keeps_its_status_and_its_wait() {
        let (listener, url) = listen().await;
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 2048];
            let _ = stream.read(&mut request).await.unwrap();
            stream
                .write_all(b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 3\r\nContent-Length: 0\r\n\r\n")
                .await
                .unwrap();
        });
        let refused = open(&Network::new(Proxies::default()), &url, &[], 1_000, LIMIT)
            .await
            .err()
            .unwrap();
        assert_eq!(
            (refused.status, refused.retry_after),
            (Some(429), Some(Duration::from_secs(3)))
        );
    }

    #[tokio::test]
    async fn a_silent_peer_costs_no_more_than_the_limit() {
        let (listener, url) = listen().await;
        let hasty = Duration::from_millis(50);
        let refused = open(&Network::new(Proxies::default()), &url, &[], 1_000, hasty)
            .await
            .err()
            .unwrap();
        assert_eq!(refused.error.kind, Kind::Timeout);
        drop(listener);
    }
}
