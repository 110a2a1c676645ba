//! A WebSocket and HTTP client for tests, written without anything of the simulator's.
#![allow(clippy::unwrap_used, clippy::expect_used)] // clippy does not see that this is a test
#![allow(dead_code)] // each test file uses its own part

pub mod book;

use futures_util::{SinkExt, StreamExt};
use serde_json::Value;
use sim::{Options, Protocol, Simulator};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

/// No test waits longer than this for one message.
pub const PATIENCE: Duration = Duration::from_secs(10);

pub async fn simulator(protocol: Protocol, rate: f64) -> Simulator {
    sim::start(Options {
        venues: vec![protocol],
        rate,
        ..Options::default()
    })
    .await
    .unwrap()
}

pub struct Client {
    socket: WebSocketStream<TcpStream>,
    pub pings: usize,
}

impl Client {
    pub async fn connect(url: &str) -> Self {
        Self::try_connect(url).await.unwrap()
    }

    pub async fn try_connect(url: &str) -> Result<Self, String> {
        let host = url.strip_prefix("ws://").unwrap().split('/').next().unwrap();
        let stream = TcpStream::connect(host).await.map_err(|e| e.to_string())?;
        let config = WebSocketConfig::default()
            .max_message_size(Some(1 << 28))
            .max_frame_size(Some(1 << 28));
        let (socket, _) = client_async_with_config(url, stream, Some(config))
            .await
            .map_err(|e| e.to_string())?;
        Ok(Self { socket, pings: 0 })
    }

    /// The same with more header lines.
    pub async fn connect_with(url: &str, headers: &[(&'static str, &'static str)]) -> Self {
        use tokio_tungstenite::tungstenite::client::IntoClientRequest;
        let host = url.strip_prefix("ws://").unwrap().split('/').next().unwrap();
        let stream = TcpStream::connect(host).await.unwrap();
        let mut request = url.into_client_request().unwrap();
        for (name, value) in headers {
            request.headers_mut().insert(*name, value.parse().unwrap());
        }
        let (socket, _) = client_async_with_config(request, stream, None).await.unwrap();
        Self { socket, pings: 0 }
    }

    /// The next binary message.
    pub async fn binary(&mut self) -> Vec<u8> {
        loop {
            match tokio::time::timeout(PATIENCE, self.socket.next())
                .await
                .expect("no message in time")
            {
                Some(Ok(Message::Binary(bytes))) => return bytes.to_vec(),
                Some(Ok(_)) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    pub async fn send_binary(&mut self, bytes: Vec<u8>) {
        self.socket.send(Message::binary(bytes)).await.unwrap();
    }

    pub async fn send(&mut self, text: &str) {
        self.socket.send(Message::text(text)).await.unwrap();
    }

    pub async fn ping(&mut self) {
        self.socket.send(Message::Ping("x".into())).await.unwrap();
    }

    /// The next text; `None` when the connection is over.
    pub async fn text(&mut self) -> Option<String> {
        self.text_within(PATIENCE).await.expect("no message in time")
    }

    /// `Err` when nothing came in time.
    pub async fn text_within(
        &mut self,
        patience: Duration,
    ) -> Result<Option<String>, tokio::time::error::Elapsed> {
        tokio::time::timeout(patience, async {
            loop {
                match self.socket.next().await {
                    Some(Ok(Message::Text(text))) => return Some(text.as_str().to_owned()),
                    Some(Ok(Message::Ping(_))) => self.pings += 1,
                    Some(Ok(Message::Pong(_))) => {}
                    _ => return None,
                }
            }
        })
        .await
    }

    pub async fn json(&mut self) -> Value {
        let text = self.text().await.expect("connection ended");
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
    }

    /// The next message for which `wanted` is true; others are passed over.
    pub async fn find(&mut self, wanted: impl Fn(&Value) -> bool) -> Value {
        loop {
            let message = self.json().await;
            if wanted(&message) {
                return message;
            }
        }
    }
}

pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|l| {
            l.split_once(": ")
                .filter(|(n, _)| n.eq_ignore_ascii_case(name))
                .map(|(_, v)| v)
        })
    }
}

/// One HTTP request on its own connection.
pub async fn http(method: &str, base: &str, target: &str, body: &str) -> Result<Answer, String> {
    http_with(method, base, target, body, "").await
}

/// The same with more header lines, each with its line end.
pub async fn http_with(
    method: &str,
    base: &str,
    target: &str,
    body: &str,
    more: &str,
) -> Result<Answer, String> {
    let host = base.strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(host).await.map_err(|e| e.to_string())?;
    let request = format!(
        "{method} {target} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n{more}content-length: {}\r\n\r\n{body}",
        body.len()
    );
    stream
        .write_all(request.as_bytes())
        .await
        .map_err(|e| e.to_string())?;
    let mut text = String::new();
    let read = tokio::time::timeout(PATIENCE, stream.read_to_string(&mut text))
        .await
        .expect("no answer in time");
    read.map_err(|e| e.to_string())?;
    let (head, body) = text.split_once("\r\n\r\n").ok_or("no answer")?;
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Ok(Answer {
        status,
        head: head.to_owned(),
        body: body.to_owned(),
    })
}

pub async fn get(base: &str, target: &str) -> Value {
    let answer = http("GET", base, target, "").await.unwrap();
    assert_eq!(answer.status, 200, "{target}: {}", answer.body);
    answer.json()
}

/// Starts a fault and expects that it is accepted.
pub fn fault(simulator: &Simulator, body: Value) -> Value {
    let (status, answer) = simulator.fault(&body);
    assert_eq!(status, 200, "{answer}");
    answer
}
