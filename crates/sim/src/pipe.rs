//! A TCP stream that a fault can freeze or slow down.

use crate::hub::Line;
use futures_util::task::AtomicWaker;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep};

/// How often a slowed stream writes.
const SLICE: Duration = Duration::from_millis(50);

pub struct Pipe {
    stream: TcpStream,
    line: Arc<Line>,
    /// Runs while a slowed stream waits for its next slice.
    pause: Option<Pin<Box<Sleep>>>,
}

impl Pipe {
    pub fn new(stream: TcpStream, line: Arc<Line>) -> Self {
        Self {
            stream,
            line,
            pause: None,
        }
    }

    /// Ends the connection with a reset instead of a farewell.
    pub fn reset(&self) {
        // A socket that cannot be set closes in the ordinary way, which is a cut too.
        let _ = self.stream.set_zero_linger();
    }
}

/// Whether a fault holds the line; the end of a silence wakes who asked.
fn is_held(line: &Line, waker: &AtomicWaker, cx: &Context<'_>) -> bool {
    if !line.is_held() {
        return false;
    }
    waker.register(cx.waker());
    line.is_held() // it may have ended before the waker was there
}

impl AsyncRead for Pipe {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if is_held(&this.line, &this.line.reader, cx) {
            return Poll::Pending;
        }
        Pin::new(&mut this.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Pipe {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if is_held(&this.line, &this.line.writer, cx) {
            return Poll::Pending;
        }
        if let Some(pause) = &mut this.pause {
            if pause.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            this.pause = None;
        }
        let rate = this.line.drip.load(Ordering::Relaxed);
        if rate == 0 {
            return Pin::new(&mut this.stream).poll_write(cx, data);
        }
        let slice = ((rate / 20).max(1) as usize).min(data.len());
        let written = Pin::new(&mut this.stream).poll_write(cx, &data[..slice]);
        if let Poll::Ready(Ok(count)) = written {
            // Below 20 bytes per second a single byte takes longer than a slice.
            let pause = SLICE.max(Duration::from_secs_f64(count as f64 / rate as f64));
            this.pause = Some(Box::pin(sleep(pause)));
        }
        written
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}
