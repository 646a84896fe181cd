//! A client that says what it likes, byte by byte, and reads whole messages.
//!
//! Blocks. Next file to read: `witness`.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};

use bytes::{Buf, BytesMut};
use kvsd::protocol::frame::{Decoder, FrameLimits};
use kvsd::protocol::v2::hello::Credentials;
use kvsd::protocol::v2::{Condition, Freshness, Hello, Previous, Reply, Request, RequestId};

/// Limits for what the server says: it is trusted here.
const ANY: FrameLimits = FrameLimits { message_bytes: 1 << 30, frames: 1 << 20, line_bytes: 1024 };

pub(crate) struct Client<S = TcpStream> {
    pub(crate) stream: S,
    buffer: BytesMut,
    decoder: Decoder,
}

impl<S: Read + Write> Client<S> {
    pub(crate) fn new(stream: S) -> Self {
        Self { stream, buffer: BytesMut::new(), decoder: Decoder::new(ANY) }
    }

    /// Says who it is, and is let in.
    pub(crate) fn enter(&mut self, user: Option<(&str, &str)>) {
        self.say(&hello(user));
        let welcome = self.next().expect("a welcome");
        assert!(welcome.windows(4).any(|part| part == b"#h:0"), "{}", welcome.escape_ascii());
    }

    pub(crate) fn say(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
        self.stream.flush().unwrap();
    }

    /// The bytes of the next message; none once the server has closed.
    pub(crate) fn next(&mut self) -> Option<Vec<u8>> {
        self.try_next().unwrap_or_else(|error| panic!("no answer: {error}"))
    }

    pub(crate) fn try_next(&mut self) -> io::Result<Option<Vec<u8>>> {
        loop {
            let whole = self.decoder.decode(&self.buffer).expect("the server's grammar");
            if let Some(length) = whole.map(|message| message.byte_len()) {
                let bytes = self.buffer[..length].to_vec();
                self.buffer.advance(length);
                return Ok(Some(bytes));
            }
            let mut read = [0; 16 * 1024];
            match self.stream.read(&mut read) {
                Ok(0) => {
                    assert!(self.buffer.is_empty(), "half an answer: {:?}", self.buffer);
                    return Ok(None);
                }
                Ok(count) => self.buffer.extend_from_slice(&read[..count]),
                Err(error) if is_end(&error) => return Ok(None),
                Err(error) => return Err(error),
            }
        }
    }

    /// The next message, as text.
    pub(crate) fn heard(&mut self) -> String {
        self.next().map_or_else(String::new, |message| shown(&message))
    }

    /// Asks, and has the answer as it shows itself.
    pub(crate) fn ask(&mut self, request: &Request<'_>) -> String {
        self.say(&message(7, request));
        self.reply()
    }

    /// The next answer as it shows itself.
    pub(crate) fn reply(&mut self) -> String {
        let bytes = self.next().expect("an answer");
        let mut decoder = Decoder::new(ANY);
        let message = decoder.decode(&bytes).unwrap().unwrap();
        format!("{:?}", Reply::parse(&message).unwrap().1.unwrap())
    }

    /// All messages up to the close, as text.
    pub(crate) fn rest(&mut self) -> String {
        let mut rest = String::new();
        while let Some(message) = self.next() {
            rest.push_str(&shown(&message));
        }
        rest
    }
}

impl Client<TcpStream> {
    /// Says no more.
    pub(crate) fn finish(&mut self) {
        // The server may have closed already.
        let _ = self.stream.shutdown(Shutdown::Write);
    }
}

/// Whether the other side has closed, if rudely: it need not read what it does not want.
pub(crate) fn is_end(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    matches!(error.kind(), BrokenPipe | ConnectionAborted | ConnectionReset | UnexpectedEof)
}

/// What was said, on one line.
fn shown(message: &[u8]) -> String {
    message.escape_ascii().to_string().replace("\\'", "'")
}

pub(crate) fn hello(user: Option<(&str, &str)>) -> BytesMut {
    let credentials = user.map(|(user, password)| Credentials {
        user: user.as_bytes(),
        password: password.as_bytes(),
    });
    let mut hello = BytesMut::new();
    Hello { lowest: 2, highest: 2, credentials }.encode(RequestId::ZERO, &mut hello);
    hello
}

pub(crate) fn message(id: u64, request: &Request<'_>) -> BytesMut {
    let mut bytes = BytesMut::new();
    request.encode(RequestId::new(id).unwrap(), &mut bytes);
    bytes
}

pub(crate) fn get<'a>(table: &'a str, key: &'a [u8]) -> Request<'a> {
    Request::Get { table, key, freshness: Freshness::Latest }
}

pub(crate) fn set<'a>(table: &'a str, key: &'a [u8], value: &'a [u8]) -> Request<'a> {
    let (condition, previous) = (Condition::Any, Previous::Omit);
    Request::Set { table, key, value, condition, expiry: None, previous }
}
