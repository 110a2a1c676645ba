//! The transport of a connection, as its address says: WebSocket messages (`ws://`, `wss://`) or lines
//! (`tcp://`). Whoever holds it does not know which.

use std::time::Duration;

use futures_util::{FutureExt, SinkExt, StreamExt};
use tokio_tungstenite::tungstenite::error::{Error as WsError, ProtocolError};
use tokio_tungstenite::tungstenite::{Bytes, Message};

use super::line;
use crate::http::{Network, Url};
use crate::ws::{self, Refused};

pub(super) enum Socket {
    Web(Box<ws::Socket>),
    Line(line::Socket),
}

/// What is said to the peer.
pub(super) enum Said {
    Text(String),
    Bytes(Vec<u8>),
}

impl From<Said> for Message {
    fn from(said: Said) -> Self {
        match said {
            Said::Text(text) => Self::text(text),
            Said::Bytes(bytes) => Self::binary(bytes),
        }
    }
}

/// Why a transport is of no more use.
#[derive(Debug)]
pub(super) enum Broken {
    /// It ended; how, in words.
    Ended(String),
    /// A message of so many bytes is over the limit.
    Oversize(usize),
    /// A message that is not UTF-8, which the transport does not hand out.
    Utf8(String),
    /// The peer does not keep to the transport's rules.
    Protocol(String),
}

impl Socket {
    /// A WebSocket is asked for with these `headers`. Messages over `max_message_bytes` end it with [`Broken::Oversize`].
    pub async fn open(
        network: &Network,
        url: &Url,
        headers: &[(&'static str, &'static str)],
        max_message_bytes: usize,
        limit: Duration,
    ) -> Result<Self, Refused> {
        if url.is_line() {
            let socket = line::open(network, url, max_message_bytes, limit).await?;
            return Ok(Self::Line(socket));
        }
        let socket = ws::open(network, url, headers, max_message_bytes, limit).await?;
        Ok(Self::Web(Box::new(socket)))
    }

    /// Bytes that came so far.
    #[inline]
    pub fn received(&self) -> u64 {
        match self {
            Self::Web(socket) => socket.get_ref().received(),
            Self::Line(socket) => socket.received(),
        }
    }

    /// What comes next; `None` for what the transport itself has dealt with. Nothing is lost when it is given
    /// up while it waits.
    #[inline]
    pub async fn next(&mut self) -> Result<Option<Bytes>, Broken> {
        match self {
            Self::Web(socket) => match socket.next().await {
                Some(Ok(Message::Text(text))) => Ok(Some(text.into())),
                Some(Ok(Message::Binary(data))) => Ok(Some(data)),
                Some(Ok(Message::Close(frame))) => {
                    let text = frame.map_or_else(String::new, |f| format!(": {} {}", f.code, f.reason));
                    Err(Broken::Ended(format!("closed by the venue{text}")))
                }
                Some(Ok(_)) => Ok(None), // pings are answered by the library
                Some(Err(error)) => Err(error.into()),
                None => Err(Broken::Ended("the venue hung up".into())),
            },
            Self::Line(socket) => Ok(Some(socket.next().await?)),
        }
    }

    /// Sends one message. A line is text: bytes are none.
    pub async fn send(&mut self, said: Said) -> Result<(), Broken> {
        let (socket, said) = match (self, said) {
            (Self::Web(socket), said) => (socket, said.into()),
            (Self::Line(socket), Said::Text(text)) => {
                let sent = socket.send(&text).await;
                return sent.map_err(|error| line::Broken::Io(error).into());
            }
            (Self::Line(_), Said::Bytes(_)) => return Ok(()),
        };
        Ok(socket.send(said).await?)
    }

    /// Asks whether the peer is still there; a peer of lines is not asked.
    pub async fn ping(&mut self) -> Result<(), Broken> {
        match self {
            Self::Web(socket) => Ok(socket.send(Message::Ping(Bytes::new())).await?),
            Self::Line(_) => Ok(()),
        }
    }

    /// A polite goodbye if the socket takes it at once; the process does not wait for it here.
    pub fn goodbye(&mut self) {
        match self {
            Self::Web(socket) => {
                let _ = socket.close(None).now_or_never();
            }
            Self::Line(_) => {} // closing says it
        }
    }
}

impl From<WsError> for Broken {
    fn from(error: WsError) -> Self {
        match error {
            WsError::Protocol(ProtocolError::ResetWithoutClosingHandshake) => {
                Self::Ended("the connection broke off".into())
            }
            WsError::Utf8(_) => Self::Utf8(error.to_string()),
            WsError::Protocol(_) => Self::Protocol(error.to_string()),
            _ => match ws::oversize(&error) {
                Some(bytes) => Self::Oversize(bytes),
                None => Self::Ended(error.to_string()),
            },
        }
    }
}

impl From<line::Broken> for Broken {
    fn from(error: line::Broken) -> Self {
        match error {
            line::Broken::HungUp => Self::Ended("the venue hung up".into()),
            line::Broken::Io(error) => Self::Ended(error.to_string()),
            line::Broken::Oversize(bytes) => Self::Oversize(bytes),
        }
    }
}
