//! WebSocket (RFC 6455), the server's half of the framing, without I/O: bytes in, messages out.
//!
//! Written here because the bridge forms many frames into one write and shares their bodies between
//! clients, which a library that owns the socket does not allow. No extensions are spoken.

/// A message may have this many bytes; subscriptions of a thousand names fit.
pub const MESSAGE_BYTES_MAX: usize = 64 * 1024;
/// Control frames are short by the protocol.
const CONTROL_BYTES_MAX: usize = 125;

/// Close codes that a client may see. 4000–4999 are ours; docs/stream.md explains each.
pub mod close {
    pub const NORMAL: u16 = 1000;
    pub const PROTOCOL: u16 = 1002;
    /// A binary message: this stream is text.
    pub const UNSUPPORTED: u16 = 1003;
    pub const NOT_UTF8: u16 = 1007;
    pub const TOO_BIG: u16 = 1009;
    /// The bridge is ending: connect again, resume from the positions it named.
    pub const RESTART: u16 = 1012;
    /// No valid ticket within the time allowed.
    pub const UNAUTHORIZED: u16 = 4001;
    /// Took too little for too long; the positions in the `cut` message say where to resume.
    pub const SLOW: u16 = 4008;
    /// More operations than the limit.
    pub const FLOOD: u16 = 4009;
}

/// Frame types that servers send.
mod opcode {
    pub const CONTINUATION: u8 = 0;
    pub const TEXT: u8 = 1;
    pub const BINARY: u8 = 2;
    pub const CLOSE: u8 = 8;
    pub const PING: u8 = 9;
    pub const PONG: u8 = 10;
}

const FINAL: u8 = 0x80;
const MASKED: u8 = 0x80;

/// Something the client sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    Text(String),
    Ping(Vec<u8>),
    Pong,
    /// The code it gave, if any.
    Close(Option<u16>),
}

/// Why the connection must be closed: code and reason for the close frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Violation {
    pub code: u16,
    pub reason: &'static str,
}

const fn violation(code: u16, reason: &'static str) -> Violation {
    Violation { code, reason }
}

/// Cuts what a client sends into messages, however the bytes are split.
#[derive(Debug, Default)]
pub struct Decoder {
    buffer: Vec<u8>,
    start: usize,
    /// The text message whose last fragment has not come yet.
    fragments: Option<Vec<u8>>,
}

impl Decoder {
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds bytes read from the socket.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.start > 0 {
            self.buffer.drain(..self.start);
            self.start = 0;
        }
        self.buffer.extend_from_slice(bytes);
    }

    /// The next message; `Ok(None)` when more bytes are needed.
    pub fn next_message(&mut self) -> Result<Option<Message>, Violation> {
        loop {
            let Some((first, payload)) = self.next_frame()? else {
                return Ok(None);
            };
            let (is_final, code) = (first & FINAL != 0, first & 0x0F);
            match code {
                opcode::TEXT | opcode::CONTINUATION => {
                    let mut text = match (code, self.fragments.take()) {
                        (opcode::TEXT, None) => Vec::new(),
                        (opcode::CONTINUATION, Some(text)) => text,
                        _ => return Err(violation(close::PROTOCOL, "fragments out of order")),
                    };
                    if text.len() + payload.len() > MESSAGE_BYTES_MAX {
                        return Err(violation(close::TOO_BIG, "a message has at most 65536 bytes"));
                    }
                    text.extend_from_slice(&payload);
                    if !is_final {
                        self.fragments = Some(text);
                        continue;
                    }
                    return String::from_utf8(text)
                        .map(|text| Some(Message::Text(text)))
                        .map_err(|_| violation(close::NOT_UTF8, "text that is not UTF-8"));
                }
                opcode::BINARY => {
                    return Err(violation(close::UNSUPPORTED, "this stream takes text"));
                }
                opcode::PING => return Ok(Some(Message::Ping(payload))),
                opcode::PONG => return Ok(Some(Message::Pong)),
                opcode::CLOSE => {
                    let code = match payload.as_slice() {
                        [] => None,
                        [_] => return Err(violation(close::PROTOCOL, "close code cut in half")),
                        [high, low, ..] => Some(u16::from_be_bytes([*high, *low])),
                    };
                    return Ok(Some(Message::Close(code)));
                }
                _ => return Err(violation(close::PROTOCOL, "unknown frame type")),
            }
        }
    }

    /// First byte and unmasked payload of the next frame.
    fn next_frame(&mut self) -> Result<Option<(u8, Vec<u8>)>, Violation> {
        let bytes = &self.buffer[self.start..];
        let &[first, second, ..] = bytes else {
            return Ok(None);
        };
        if first & 0x70 != 0 {
            return Err(violation(
                close::PROTOCOL,
                "reserved bits: no extension was agreed",
            ));
        }
        if second & MASKED == 0 {
            return Err(violation(close::PROTOCOL, "a client's frames are masked"));
        }
        let (length, header) = match second & 0x7F {
            126 => match bytes {
                [_, _, a, b, ..] => (u64::from(u16::from_be_bytes([*a, *b])), 4),
                _ => return Ok(None),
            },
            127 => match bytes {
                [_, _, a, b, c, d, e, f, g, h, ..] => {
                    (u64::from_be_bytes([*a, *b, *c, *d, *e, *f, *g, *h]), 10)
                }
                _ => return Ok(None),
            },
            length => (u64::from(length), 2),
        };
        let is_control = first & 0x08 != 0;
        if is_control && (length > CONTROL_BYTES_MAX as u64 || first & FINAL == 0) {
            return Err(violation(close::PROTOCOL, "control frames are short and whole"));
        }
        // Refused before its bytes have come: a length costs nothing to claim.
        if length > MESSAGE_BYTES_MAX as u64 {
            return Err(violation(close::TOO_BIG, "a message has at most 65536 bytes"));
        }
        let (from, end) = (header + 4, header + 4 + length as usize);
        if bytes.len() < end {
            return Ok(None);
        }
        let mask = &bytes[header..from];
        let payload = bytes[from..end]
            .iter()
            .enumerate()
            .map(|(i, byte)| byte ^ mask[i & 3])
            .collect();
        self.start += end;
        Ok(Some((first, payload)))
    }
}

/// Appends the header of a text frame with a payload of `length` bytes.
#[inline]
pub fn text_header(out: &mut Vec<u8>, length: usize) {
    out.push(FINAL | opcode::TEXT);
    if length < 126 {
        out.push(length as u8);
    } else if let Ok(short) = u16::try_from(length) {
        out.push(126);
        out.extend_from_slice(&short.to_be_bytes());
    } else {
        out.push(127);
        out.extend_from_slice(&(length as u64).to_be_bytes());
    }
}

/// Appends a whole text frame.
pub fn text(out: &mut Vec<u8>, payload: &str) {
    text_header(out, payload.len());
    out.extend_from_slice(payload.as_bytes());
}

/// Appends the answer to a ping.
pub fn pong(out: &mut Vec<u8>, payload: &[u8]) {
    control(out, opcode::PONG, payload);
}

/// Appends a close frame. `reason` is cut to what fits.
pub fn closing(out: &mut Vec<u8>, code: u16, reason: &str) {
    let mut end = reason.len().min(CONTROL_BYTES_MAX - 2);
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    let mut payload = code.to_be_bytes().to_vec();
    payload.extend_from_slice(&reason.as_bytes()[..end]);
    control(out, opcode::CLOSE, &payload);
}

fn control(out: &mut Vec<u8>, opcode: u8, payload: &[u8]) {
    let length = payload.len().min(CONTROL_BYTES_MAX);
    out.extend_from_slice(&[FINAL | opcode, length as u8]);
    out.extend_from_slice(&payload[..length]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn client_frame(first: u8, payload: &[u8], mask: [u8; 4]) -> Vec<u8> {
        let mut frame = vec![first];
        match payload.len() {
            length @ 0..126 => frame.push(MASKED | length as u8),
            length @ 126..65_536 => {
                frame.push(MASKED | 126);
                frame.extend_from_slice(&(length as u16).to_be_bytes());
            }
            length => {
                frame.push(MASKED | 127);
                frame.extend_from_slice(&(length as u64).to_be_bytes());
            }
        }
        frame.extend_from_slice(&mask);
        frame.extend(payload.iter().enumerate().map(|(i, byte)| byte ^ mask[i % 4]));
        frame
    }

    fn all(decoder: &mut Decoder) -> Result<Vec<Message>, Violation> {
        let mut messages = Vec::new();
        while let Some(message) = decoder.next_message()? {
            messages.push(message);
        }
        Ok(messages)
    }

    #[test]
    fn the_example_of_the_rfc() {
        // RFC 6455, 5.7: a single-frame masked text message, "Hello".
        let mut decoder = Decoder::new();
        decoder.push(&[0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58]);
        assert_eq!(all(&mut decoder), Ok(vec![Message::Text("Hello".into())]));
        let mut out = Vec::new();
        text(&mut out, "Hello");
        assert_eq!(out, [0x81, 0x05, 0x48, 0x65, 0x6c, 0x6c, 0x6f]);
        out.clear();
        text_header(&mut out, 256);
        assert_eq!(out, [0x81, 126, 1, 0]);
        out.clear();
        text_header(&mut out, 65_536);
        assert_eq!(out, [0x81, 127, 0, 0, 0, 0, 0, 1, 0, 0]);
    }

    #[test]
    fn every_split_reads_the_same() {
        let mut stream = client_frame(0x81, b"{\"op\":\"ping\"}", [1, 2, 3, 4]);
        stream.extend(client_frame(0x01, "half a ü".as_bytes(), [9, 8, 7, 6]));
        stream.extend(client_frame(0x89, b"alive?", [5, 5, 5, 5]));
        stream.extend(client_frame(0x80, " and the rest".as_bytes(), [0, 0, 0, 1]));
        stream.extend(client_frame(0x81, &[b'x'; 300], [1, 1, 1, 1]));
        stream.extend(client_frame(0x88, &[0x03, 0xE8], [4, 4, 4, 4]));
        let expect = vec![
            Message::Text("{\"op\":\"ping\"}".into()),
            Message::Ping(b"alive?".to_vec()),
            Message::Text("half a ü and the rest".into()),
            Message::Text("x".repeat(300)),
            Message::Close(Some(1000)),
        ];
        for cut in 0..=stream.len() {
            let mut decoder = Decoder::new();
            decoder.push(&stream[..cut]);
            let mut found = all(&mut decoder).unwrap();
            decoder.push(&stream[cut..]);
            found.extend(all(&mut decoder).unwrap());
            assert_eq!(found, expect, "cut at {cut}");
        }
        let mut decoder = Decoder::new();
        let mut found = Vec::new();
        for byte in stream {
            decoder.push(&[byte]);
            found.extend(all(&mut decoder).unwrap());
        }
        assert_eq!(found, expect);
    }

    #[test]
    fn breaches_close_with_their_code() {
        let huge = [&[0x81, MASKED | 127][..], &(u64::MAX).to_be_bytes()].concat();
        let table: [(Vec<u8>, u16); 10] = [
            (vec![0x81, 0x01, b'x'], close::PROTOCOL),
            (client_frame(0xC1, b"x", [0; 4]), close::PROTOCOL),
            (client_frame(0x83, b"x", [0; 4]), close::PROTOCOL),
            (client_frame(0x80, b"x", [0; 4]), close::PROTOCOL),
            (client_frame(0x09, b"x", [0; 4]), close::PROTOCOL),
            (client_frame(0x89, &[0; 126], [0; 4]), close::PROTOCOL),
            (client_frame(0x82, b"x", [0; 4]), close::UNSUPPORTED),
            (client_frame(0x81, b"\xff\xfe", [7; 4]), close::NOT_UTF8),
            (client_frame(0x88, b"x", [0; 4]), close::PROTOCOL),
            (huge, close::TOO_BIG),
        ];
        for (bytes, code) in table {
            let mut decoder = Decoder::new();
            decoder.push(&bytes);
            assert_eq!(all(&mut decoder).unwrap_err().code, code, "{bytes:02x?}");
        }
        let mut decoder = Decoder::new();
        for _ in 0..3 {
            decoder.push(&client_frame(0x01, &[b'x'; 30_000], [0; 4]));
            decoder.push(&client_frame(0x00, &[b'x'; 30_000], [0; 4]));
        }
        assert_eq!(all(&mut decoder).unwrap_err().code, close::PROTOCOL); // text inside text
        let mut decoder = Decoder::new();
        decoder.push(&client_frame(0x01, &[b'x'; 60_000], [0; 4]));
        decoder.push(&client_frame(0x80, &[b'x'; 6_000], [0; 4]));
        assert_eq!(all(&mut decoder).unwrap_err().code, close::TOO_BIG);
    }

    #[test]
    fn close_reasons_are_cut_at_a_character() {
        let mut out = Vec::new();
        closing(&mut out, close::SLOW, &"ü".repeat(100));
        assert_eq!(out.len(), 2 + 2 + 122);
        assert!(std::str::from_utf8(&out[4..]).is_ok());
    }

    proptest! {
        #[test]
        fn garbage_never_fails(chunks in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..40), 0..20)) {
            let mut decoder = Decoder::new();
            for chunk in chunks {
                decoder.push(&chunk);
                if all(&mut decoder).is_err() {
                    break;
                }
            }
        }

        #[test]
        fn text_of_any_length_comes_back(text in "\\PC{0,400}", mask in any::<[u8; 4]>()) {
            let mut decoder = Decoder::new();
            decoder.push(&client_frame(0x81, text.as_bytes(), mask));
            prop_assert_eq!(all(&mut decoder), Ok(vec![Message::Text(text)]));
        }
    }
}
