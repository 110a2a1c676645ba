//! Lines over plain TCP: the other transport beside WebSockets, of `tcp://HOST:PORT`. A line ends in CR LF or
//! LF and is one message; what was read at once is handed out line by line without asking the socket again.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Bytes;

use crate::http::{Kind, NetError, Network, Stream, Url};

/// Room for one read.
const READ_BYTES: usize = 64 << 10;

/// A line without an end within the bound; its bytes so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Oversize(pub usize);

/// Bytes in, lines out, wherever the bytes were split. Without I/O.
#[derive(Debug)]
pub struct Lines {
    data: Vec<u8>,
    /// Where the next line begins, and how far it was looked through for its end.
    start: usize,
    looked: usize,
    max_bytes: usize,
}

impl Lines {
    pub fn new(max_bytes: usize) -> Self {
        Self {
            data: Vec::new(),
            start: 0,
            looked: 0,
            max_bytes,
        }
    }

    /// Where the next bytes go: at the end. Lines that were handed out make room.
    pub fn room(&mut self) -> &mut Vec<u8> {
        self.data.drain(..self.start);
        self.looked -= self.start;
        self.start = 0;
        self.data.reserve(READ_BYTES);
        &mut self.data
    }

    /// The next line, without its end; `None` until more bytes come. Empty lines are left out.
    pub fn take(&mut self) -> Result<Option<Bytes>, Oversize> {
        while let Some(at) = self.data[self.looked..].iter().position(|byte| *byte == b'\n') {
            let end = self.looked + at;
            let line = &self.data[self.start..end];
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            (self.start, self.looked) = (end + 1, end + 1);
            if line.len() > self.max_bytes {
                return Err(Oversize(line.len()));
            }
            if !line.is_empty() {
                return Ok(Some(Bytes::copy_from_slice(line)));
            }
        }
        self.looked = self.data.len();
        let unfinished = self.looked - self.start;
        // its CR may be the byte that is one too many
        if unfinished > self.max_bytes + 1 {
            return Err(Oversize(unfinished));
        }
        Ok(None)
    }
}

/// Why nothing more comes.
#[derive(Debug)]
pub enum Broken {
    HungUp,
    Io(io::Error),
    Oversize(usize),
}

pub struct Socket {
    stream: Box<dyn Stream>,
    lines: Lines,
    received: u64,
}

impl Socket {
    /// Bytes that came so far.
    pub fn received(&self) -> u64 {
        self.received
    }

    /// The next line. Nothing is lost when it is given up while it waits. A line that breaks off with the
    /// connection is none.
    pub async fn next(&mut self) -> Result<Bytes, Broken> {
        loop {
            match self.lines.take() {
                Ok(Some(line)) => return Ok(line),
                Ok(None) => {}
                Err(Oversize(bytes)) => return Err(Broken::Oversize(bytes)),
            }
            match self.stream.read_buf(self.lines.room()).await {
                Ok(0) => return Err(Broken::HungUp),
                Ok(count) => self.received += count as u64,
                Err(error) => return Err(Broken::Io(error)),
            }
        }
    }

    /// Sends a line; its end is added.
    pub async fn send(&mut self, line: &str) -> io::Result<()> {
        self.stream.write_all(format!("{line}\r\n").as_bytes()).await?;
        self.stream.flush().await
    }
}

/// Connects; lines over `max_line_bytes` end it.
pub async fn open(
    network: &Network,
    url: &Url,
    max_line_bytes: usize,
    limit: Duration,
) -> Result<Socket, NetError> {
    let stream = timeout(limit, network.connect(url, true))
        .await
        .unwrap_or_else(|_| {
            Err(NetError::new(
                Kind::Timeout,
                format!("no connection to {url} within {} s", limit.as_secs_f32()),
            ))
        })?;
    Ok(Socket {
        stream,
        lines: Lines::new(max_line_bytes),
        received: 0,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn all(lines: &mut Lines) -> Result<Vec<Vec<u8>>, Oversize> {
        let mut found = Vec::new();
        while let Some(line) = lines.take()? {
            found.push(line.to_vec());
        }
        Ok(found)
    }

    #[test]
    fn both_ends_at_every_split() {
        let bytes = b"S,KEY,1\r\nT,20180709 14:18:31\n\r\n\nQ,AAPL,1.5,\r\n";
        let wanted: [&[u8]; 3] = [b"S,KEY,1", b"T,20180709 14:18:31", b"Q,AAPL,1.5,"];
        for first in 0..=bytes.len() {
            for second in first..=bytes.len() {
                let mut lines = Lines::new(64);
                let mut found = Vec::new();
                for piece in [&bytes[..first], &bytes[first..second], &bytes[second..]] {
                    lines.room().extend_from_slice(piece);
                    found.extend(all(&mut lines).unwrap());
                }
                assert_eq!(found, wanted, "split at {first} and {second}");
            }
        }
    }

    #[test]
    fn a_line_that_does_not_end_is_given_up_at_the_bound() {
        let mut lines = Lines::new(10);
        lines.room().extend_from_slice(b"0123456789\r");
        assert_eq!(lines.take(), Ok(None));
        lines.room().extend_from_slice(b"\n0123456789x");
        assert_eq!(lines.take().unwrap().unwrap(), b"0123456789"[..]);
        assert_eq!(lines.take(), Ok(None));
        lines.room().extend_from_slice(b"y");
        assert_eq!(lines.take(), Err(Oversize(12)));
        let mut lines = Lines::new(10);
        lines.room().extend_from_slice(b"0123456789x\n");
        assert_eq!(lines.take(), Err(Oversize(11)));
    }

    proptest! {
        /// Whatever comes, in whatever pieces: the lines are those of the whole, and memory is bounded.
        #[test]
        fn pieces_are_as_the_whole(
            bytes in proptest::collection::vec(prop_oneof![Just(b'\n'), Just(b'\r'), any::<u8>()], 0..300),
            pieces in proptest::collection::vec(1usize..20, 1..20),
        ) {
            let mut whole = Lines::new(1_000);
            whole.room().extend_from_slice(&bytes);
            let wanted = all(&mut whole).unwrap();
            let (mut lines, mut found, mut at) = (Lines::new(1_000), Vec::new(), 0);
            for piece in pieces.iter().cycle() {
                if at == bytes.len() {
                    break;
                }
                let end = (at + piece).min(bytes.len());
                lines.room().extend_from_slice(&bytes[at..end]);
                found.extend(all(&mut lines).unwrap());
                at = end;
            }
            prop_assert_eq!(found, wanted);
        }
    }
}
