//! Large messages in parts, so that small ones pass between them.
//!
//! A message of more than [`MAX_PART_BYTES`] bytes, request or reply, travels as several messages
//! of type `K` (from the client) or `k` (from the server):
//!
//! ```text
//! *4\r\n  #K    :7\r\n        :40000\r\n                       $65536\r\n ... \r\n
//!         type  request's id  bytes of the whole still to come  1 to 65,536 bytes of it
//! ```
//!
//! Joined, their bytes are the one message as it would have gone whole, with the same id. The first
//! part announces the total: its own length and what is still to come. The last says 0. Parts of
//! several messages and small messages may alternate; at most [`MAX_IN_PARTS`] messages of one
//! direction are under way in parts.
//!
//! Whatever breaks these rules is a [`PartError`] and ends the connection: a total above the limit
//! for a message, or so small that it had to go whole; an empty part, or one that does not continue
//! what was announced; a fifth message; a whole message with the id of one that is under way, or
//! too large to go whole; parts whose join is not exactly one message, is a part itself, or has
//! another id.
//!
//! [`Cutter`] sends, [`Assembler`] receives. Neither knows a stream. Next file to read:
//! [`super::request`].

use std::collections::VecDeque;

use bytes::buf::Chain;
use bytes::{Buf, Bytes, BytesMut};
use thiserror::Error;

use super::RequestId;
use crate::protocol::frame::{Decoder, FieldError, FrameError, FrameLimits, FrameWriter, Message};

/// The most bytes of a message that one part carries, and the longest message that goes whole.
///
/// ```
/// use kvsd::protocol::v2;
/// use kvsd::protocol::v2::part::{MAX_PART_BYTES, stream_limits};
///
/// // A part and all that is around it may stand on the stream.
/// assert!(stream_limits(v2::limits(1024)).message_bytes > MAX_PART_BYTES);
/// ```
pub const MAX_PART_BYTES: usize = 64 * 1024;
/// How many messages may be under way in parts on one connection, in each direction.
///
/// ```
/// # use bytes::BytesMut;
/// # use kvsd::protocol::frame::Decoder;
/// # use kvsd::protocol::v2::{self, RequestId};
/// use kvsd::protocol::v2::part::{Assembler, MAX_IN_PARTS, Part, PartError, Sender};
///
/// # let mut wire = BytesMut::new();
/// # let mut decoder = Decoder::new(v2::limits(1024));
/// let mut assembler = Assembler::new(Sender::Client, v2::limits(1_000_000));
/// for number in 0..=MAX_IN_PARTS as u64 {
///     let part = Part { remaining: 100_000, bytes: b"the first part" };
///     let mut wire = BytesMut::new();
///     part.encode(Sender::Client, RequestId::new(number).ok_or("too large")?, &mut wire);
///     let mut decoder = Decoder::new(v2::limits(1024));
///     let taken = assembler.take(&decoder.decode(&wire)?.ok_or("not whole")?);
///     let is_one_too_many = number == MAX_IN_PARTS as u64;
///     assert_eq!(taken.err(), is_one_too_many.then_some(PartError::TooMany));
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub const MAX_IN_PARTS: usize = 4;

/// How much is reserved at a time, as a multiple of what has arrived.
const GROWTH: usize = 15;
const PART_FRAMES: usize = 4;
/// A bytes frame without bytes.
const EMPTY: &[u8] = b"$0\r\n\r\n";
const LINE_END: &[u8] = b"\r\n";
/// What a part has beside its bytes, generously.
const BESIDE_PART_BYTES: usize = 2 * 1024;

/// What a message on the stream may cost where the whole one, its parts joined, may cost `whole`.
///
/// ```
/// use kvsd::protocol::v2;
/// use kvsd::protocol::v2::part::stream_limits;
///
/// // However large the values are, the read buffer stays small.
/// let small = stream_limits(v2::limits(1024 * 1024));
/// assert_eq!(small, stream_limits(v2::limits(64 * 1024 * 1024)));
/// ```
#[must_use]
pub fn stream_limits(whole: FrameLimits) -> FrameLimits {
    FrameLimits { message_bytes: MAX_PART_BYTES + BESIDE_PART_BYTES, ..whole }
}

/// Whose messages are in parts.
///
/// ```
/// use kvsd::protocol::v2::part::Sender;
///
/// assert_ne!(Sender::Client.kind(), Sender::Server.kind());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sender {
    /// Requests, as `K`.
    Client,
    /// Replies, as `k`.
    Server,
}

impl Sender {
    /// The type byte of a part.
    ///
    /// ```
    /// use kvsd::protocol::v2::part::Sender;
    ///
    /// assert_eq!((Sender::Client.kind(), Sender::Server.kind()), (b'K', b'k'));
    /// ```
    #[must_use]
    pub fn kind(self) -> u8 {
        match self {
            Sender::Client => b'K',
            Sender::Server => b'k',
        }
    }
}

/// A part of a message.
///
/// ```
/// # use bytes::BytesMut;
/// # use kvsd::protocol::frame::Decoder;
/// # use kvsd::protocol::v2::{self, RequestId};
/// use kvsd::protocol::v2::part::{Part, Sender};
///
/// # let mut wire = BytesMut::new();
/// # let mut decoder = Decoder::new(v2::limits(1024));
/// let part = Part { remaining: 40_000, bytes: b"some" };
/// part.encode(Sender::Client, RequestId::ZERO, &mut wire);
/// assert_eq!(&wire[..], b"*4\r\n#K:0\r\n:40000\r\n$4\r\nsome\r\n");
/// let message = decoder.decode(&wire)?.ok_or("not whole")?;
/// assert_eq!(Part::parse(&message)?, (RequestId::ZERO, part));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Part<'a> {
    /// The bytes of the whole message that are still to come behind this part.
    pub remaining: u64,
    /// The message's next bytes, 1 to [`MAX_PART_BYTES`].
    pub bytes: &'a [u8],
}

impl<'a> Part<'a> {
    /// Reads a message as a part; its type is the caller's to check.
    ///
    /// # Errors
    ///
    /// [`FieldError`] if the frames are not those of a part.
    ///
    /// ```
    /// # use bytes::BytesMut;
    /// # use kvsd::protocol::frame::Decoder;
    /// # use kvsd::protocol::v2::{self, RequestId};
    /// use kvsd::protocol::v2::part::Part;
    ///
    /// # let mut wire = BytesMut::new();
    /// # let mut decoder = Decoder::new(v2::limits(1024));
    /// let message = decoder.decode(b"*4\r\n#K:7\r\n:0\r\n$4\r\nlast\r\n")?.ok_or("not whole")?;
    /// let (id, part) = Part::parse(&message)?;
    /// assert_eq!((id.get(), part), (7, Part { remaining: 0, bytes: b"last" }));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn parse(message: &Message<'a>) -> Result<(RequestId, Self), FieldError> {
        let (id, mut fields) = RequestId::split(message)?;
        let remaining = u64::try_from(fields.integer()?)
            .map_err(|_| FieldError::OutOfRange { field: "what remains of a message" })?;
        let bytes = fields.bytes()?;
        if bytes.is_empty() || bytes.len() > MAX_PART_BYTES {
            return Err(FieldError::OutOfRange { field: "a part's length" });
        }
        fields.finish()?;
        Ok((id, Self { remaining, bytes }))
    }

    /// Writes the message behind what `out` holds.
    ///
    /// ```
    /// # use bytes::BytesMut;
    /// # use kvsd::protocol::frame::Decoder;
    /// # use kvsd::protocol::v2::{self, RequestId};
    /// use kvsd::protocol::v2::part::{Part, Sender};
    ///
    /// # let mut wire = BytesMut::new();
    /// # let mut decoder = Decoder::new(v2::limits(1024));
    /// Part { remaining: 9, bytes: b"some" }.encode(Sender::Server, RequestId::ZERO, &mut wire);
    /// assert_eq!(&wire[..], b"*4\r\n#k:0\r\n:9\r\n$4\r\nsome\r\n");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn encode(&self, sender: Sender, id: RequestId, out: &mut BytesMut) {
        FrameWriter::new(out)
            .message(PART_FRAMES, sender.kind())
            .integer(id.to_wire())
            .integer(i64::try_from(self.remaining).unwrap_or(i64::MAX))
            .bytes(self.bytes);
    }
}

/// Why parts are no message. The connection ends.
///
/// ```
/// # use bytes::BytesMut;
/// # use kvsd::protocol::frame::Decoder;
/// # use kvsd::protocol::v2::{self, RequestId};
/// use kvsd::protocol::v2::part::{Assembler, Part, PartError, Sender};
///
/// # let mut wire = BytesMut::new();
/// # let mut decoder = Decoder::new(v2::limits(1024));
/// // So small that it had to go whole.
/// Part { remaining: 0, bytes: b"small" }.encode(Sender::Client, RequestId::ZERO, &mut wire);
/// let message = decoder.decode(&wire)?.ok_or("not whole")?;
/// let mut assembler = Assembler::new(Sender::Client, v2::limits(1024));
/// assert_eq!(assembler.take(&message).err(), Some(PartError::TooSmall));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PartError {
    /// The frames are not those of a part.
    #[error("malformed part: {0}")]
    Form(FieldError),
    /// The announced total is above the limit.
    #[error("a message has at most {limit} bytes in all its parts here")]
    TooLarge {
        /// The limit.
        limit: usize,
    },
    /// The announced total is so small that the message had to go whole.
    #[error("a message of at most {MAX_PART_BYTES} bytes must not come in parts")]
    TooSmall,
    /// The message had to go in parts.
    #[error("a message of more than {MAX_PART_BYTES} bytes must come in parts")]
    Whole,
    /// The part is not the next one of the message that was announced.
    #[error("a part does not continue the message that was announced")]
    Discontinuous,
    /// Too many messages in parts.
    #[error("at most {MAX_IN_PARTS} messages may be under way in parts")]
    TooMany,
    /// A whole message has the id of one whose parts are still coming.
    #[error("the id of a message in parts was used for another one")]
    IdInUse,
    /// The joined bytes are off the grammar.
    #[error("the parts of a message are none: {0}")]
    Frame(FrameError),
    /// The joined bytes are less or more than one message.
    #[error("the parts of a message are not exactly one message")]
    NotOneMessage,
    /// The joined bytes are a part.
    #[error("a part in parts")]
    Nested,
    /// The joined bytes are a message with another id.
    #[error("a message in parts has another id than its parts")]
    OtherId,
}

/// What a message on the stream has come to.
///
/// ```
/// # use bytes::BytesMut;
/// # use kvsd::protocol::frame::Decoder;
/// # use kvsd::protocol::v2::{self, RequestId};
/// use kvsd::protocol::v2::Request;
/// use kvsd::protocol::v2::part::{Arrival, Assembler, Sender};
///
/// # let mut wire = BytesMut::new();
/// # let mut decoder = Decoder::new(v2::limits(1024));
/// Request::Ping.encode(RequestId::ZERO, &mut wire);
/// let message = decoder.decode(&wire)?.ok_or("not whole")?;
/// let mut assembler = Assembler::new(Sender::Client, v2::limits(1024));
/// assert!(matches!(assembler.take(&message)?, Arrival::Whole), "it is small");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub enum Arrival {
    /// It is whole as it stands.
    Whole,
    /// It is a part, and more are to come.
    Part,
    /// It is the last part of this one.
    Assembled(Assembled),
}

/// Joins the parts that one side sends. Holds at most [`MAX_IN_PARTS`] messages, and for each
/// reserves no more than sixteen times what has arrived, and never more than was announced.
///
/// ```
/// # use bytes::BytesMut;
/// # use kvsd::protocol::frame::Decoder;
/// # use kvsd::protocol::v2::{self, RequestId};
/// use bytes::{Buf, Bytes};
/// use kvsd::protocol::v2::part::{Arrival, Assembler, Cut, Cutter, Sender};
/// use kvsd::protocol::v2::{Record, Reply};
///
/// # let mut wire = BytesMut::new();
/// # let mut decoder = Decoder::new(v2::limits(1024));
/// let limits = v2::limits(1_000_000);
/// let (version, value) = (kvsd::Version::new(1).ok_or("none")?, &[7; 200_000][..]);
/// let reply = Reply::Value(Some(Record { version, expires_at: None, value }));
/// reply.encode(RequestId::ZERO, &mut wire);
/// let mut cutter = Cutter::new(Sender::Server);
/// cutter.push(RequestId::ZERO, Bytes::from(wire));
///
/// let mut assembler = Assembler::new(Sender::Server, limits);
/// let mut decoder = Decoder::new(limits);
/// let mut stream = BytesMut::new();
/// while cutter.cut(&mut stream) != Cut::Nothing {
///     let message = decoder.decode(&stream)?.ok_or("not whole")?;
///     if let Arrival::Assembled(mut whole) = assembler.take(&message)? {
///         let (message, _) = whole.open()?;
///         assert_eq!(Reply::parse(&message)?.1.as_ref(), Some(&reply));
///     }
///     let taken = message.byte_len();
///     stream.advance(taken);
/// }
/// assert!(assembler.is_empty());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Assembler {
    sender: Sender,
    whole: FrameLimits,
    underway: Vec<Assembly>,
}

impl Assembler {
    /// For what `sender` sends, where a message may cost `whole`.
    ///
    /// ```
    /// use kvsd::protocol::v2;
    /// use kvsd::protocol::v2::part::{Assembler, Sender};
    ///
    /// // A client's, for what the server sends.
    /// let assembler = Assembler::new(Sender::Server, v2::limits(1_000_000));
    /// assert!(assembler.is_empty());
    /// ```
    #[must_use]
    pub fn new(sender: Sender, whole: FrameLimits) -> Self {
        Self { sender, whole, underway: Vec::new() }
    }

    /// Whether no message is under way.
    ///
    /// ```
    /// # use bytes::BytesMut;
    /// # use kvsd::protocol::frame::Decoder;
    /// # use kvsd::protocol::v2::{self, RequestId};
    /// use kvsd::protocol::v2::part::{Assembler, Part, Sender};
    ///
    /// # let mut wire = BytesMut::new();
    /// # let mut decoder = Decoder::new(v2::limits(1024));
    /// let mut assembler = Assembler::new(Sender::Client, v2::limits(1_000_000));
    /// let part = Part { remaining: 100_000, bytes: b"the first part" };
    /// part.encode(Sender::Client, RequestId::ZERO, &mut wire);
    /// assembler.take(&decoder.decode(&wire)?.ok_or("not whole")?)?;
    /// assert!(!assembler.is_empty());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.underway.is_empty()
    }

    /// Takes note of a message on the stream, and keeps its bytes if it is a part.
    ///
    /// # Errors
    ///
    /// [`PartError`], behind which the stream must not be followed any more.
    ///
    /// ```
    /// # use bytes::BytesMut;
    /// # use kvsd::protocol::frame::Decoder;
    /// # use kvsd::protocol::v2::{self, RequestId};
    /// use kvsd::protocol::v2::part::{Arrival, Assembler, Part, Sender};
    ///
    /// # let mut wire = BytesMut::new();
    /// # let mut decoder = Decoder::new(v2::limits(1024));
    /// let mut assembler = Assembler::new(Sender::Client, v2::limits(1_000_000));
    /// let part = Part { remaining: 100_000, bytes: b"the first part" };
    /// part.encode(Sender::Client, RequestId::ZERO, &mut wire);
    /// let message = decoder.decode(&wire)?.ok_or("not whole")?;
    /// assert!(matches!(assembler.take(&message)?, Arrival::Part), "more are to come");
    /// assert!(assembler.take(&message).is_err(), "this one continues nothing");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn take(&mut self, message: &Message<'_>) -> Result<Arrival, PartError> {
        if message.kind() != self.sender.kind() {
            self.check_whole(message)?;
            return Ok(Arrival::Whole);
        }
        let (id, part) = Part::parse(message).map_err(PartError::Form)?;
        let Some(at) = self.underway.iter().position(|assembly| assembly.id == id) else {
            if self.underway.len() >= MAX_IN_PARTS {
                return Err(PartError::TooMany);
            }
            self.underway.push(Assembly::begin(id, part, self.whole.message_bytes)?);
            return Ok(Arrival::Part);
        };
        if let Some(assembly) = self.underway.get_mut(at) {
            assembly.go_on(part)?;
        }
        if part.remaining > 0 {
            return Ok(Arrival::Part);
        }
        let Assembly { id, bytes, .. } = self.underway.swap_remove(at);
        let (sender, decoder) = (self.sender, Decoder::new(self.whole));
        Ok(Arrival::Assembled(Assembled { id, bytes: bytes.into(), sender, decoder }))
    }

    /// What has come of the messages that are under way, in bytes.
    ///
    /// ```
    /// # use bytes::BytesMut;
    /// # use kvsd::protocol::frame::Decoder;
    /// # use kvsd::protocol::v2::{self, RequestId};
    /// use kvsd::protocol::v2::part::{Assembler, Part, Sender};
    ///
    /// # let mut wire = BytesMut::new();
    /// # let mut decoder = Decoder::new(v2::limits(1024));
    /// let mut assembler = Assembler::new(Sender::Client, v2::limits(1_000_000));
    /// let part = Part { remaining: 100_000, bytes: b"the first part" };
    /// part.encode(Sender::Client, RequestId::ZERO, &mut wire);
    /// assembler.take(&decoder.decode(&wire)?.ok_or("not whole")?)?;
    /// assert_eq!(assembler.held_bytes(), 14);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        self.underway.iter().map(|assembly| assembly.bytes.len()).sum()
    }

    /// What is held, in bytes.
    #[cfg(test)]
    pub(in crate::protocol) fn capacity(&self) -> usize {
        self.underway.iter().map(|assembly| assembly.bytes.capacity()).sum()
    }

    fn check_whole(&self, message: &Message<'_>) -> Result<(), PartError> {
        if message.byte_len() > MAX_PART_BYTES {
            return Err(PartError::Whole);
        }
        if self.underway.is_empty() {
            return Ok(());
        }
        match RequestId::split(message) {
            Ok((id, _)) if self.underway.iter().any(|assembly| assembly.id == id) => {
                Err(PartError::IdInUse)
            }
            // Without an id it is not for us to judge.
            Ok(_) | Err(_) => Ok(()),
        }
    }
}

/// A message of which parts are still to come.
struct Assembly {
    id: RequestId,
    bytes: Vec<u8>,
    remaining: usize,
}

impl Assembly {
    fn begin(id: RequestId, part: Part<'_>, limit: usize) -> Result<Self, PartError> {
        let remaining = usize::try_from(part.remaining).ok();
        let total = remaining.and_then(|remaining| remaining.checked_add(part.bytes.len()));
        match (remaining, total) {
            (Some(remaining), Some(total)) if total <= limit => {
                if total <= MAX_PART_BYTES {
                    return Err(PartError::TooSmall);
                }
                Ok(Self { id, bytes: part.bytes.to_vec(), remaining })
            }
            _ => Err(PartError::TooLarge { limit }),
        }
    }

    fn go_on(&mut self, part: Part<'_>) -> Result<(), PartError> {
        let remaining = self.remaining.checked_sub(part.bytes.len());
        let Some(remaining) = remaining.filter(|left| *left as u64 == part.remaining) else {
            return Err(PartError::Discontinuous);
        };
        if self.bytes.capacity() - self.bytes.len() < part.bytes.len() {
            // Each step moves what is there, while small messages wait: so the steps are few. What
            // is reserved and not yet written costs addresses, not memory.
            let more = self.bytes.len().max(part.bytes.len()).saturating_mul(GROWTH);
            self.bytes.reserve_exact(self.remaining.min(more));
        }
        self.bytes.extend_from_slice(part.bytes);
        self.remaining = remaining;
        Ok(())
    }
}

/// A message whose parts have all come.
///
/// ```
/// # use bytes::BytesMut;
/// # use kvsd::protocol::frame::Decoder;
/// # use kvsd::protocol::v2::{self, RequestId};
/// use bytes::Bytes;
/// use kvsd::protocol::v2::part::{Arrival, Assembler, Cutter, PartError, Sender};
///
/// # let mut wire = BytesMut::new();
/// # let mut decoder = Decoder::new(v2::limits(1024));
/// let mut cutter = Cutter::new(Sender::Client);
/// cutter.push(RequestId::ZERO, Bytes::from(vec![b'x'; 70_000])); // no message at all
/// let mut assembler = Assembler::new(Sender::Client, v2::limits(1024));
/// let mut arrival = Arrival::Part;
/// while let Arrival::Part = arrival {
///     wire.clear();
///     cutter.cut(&mut wire);
///     arrival = assembler.take(&decoder.decode(&wire)?.ok_or("not whole")?)?;
/// }
/// let Arrival::Assembled(mut whole) = arrival else { panic!("it came in parts") };
/// assert!(matches!(whole.open(), Err(PartError::Frame(_))));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Assembled {
    id: RequestId,
    bytes: Bytes,
    sender: Sender,
    decoder: Decoder,
}

impl Assembled {
    /// The message, and where its fields lie.
    ///
    /// # Errors
    ///
    /// [`PartError`] if the parts are not one message with their own id.
    ///
    /// ```
    /// # use bytes::BytesMut;
    /// # use kvsd::protocol::frame::Decoder;
    /// # use kvsd::protocol::v2::{self, RequestId};
    /// use bytes::Bytes;
    /// use kvsd::protocol::v2::part::{Arrival, Assembler, Cutter, Sender};
    /// use kvsd::protocol::v2::{Action, Change, Condition, Request};
    ///
    /// # let mut wire = BytesMut::new();
    /// # let mut decoder = Decoder::new(v2::limits(1024));
    /// let change = |key| Change { key, condition: Condition::Any, action: Action::Delete };
    /// let names: Vec<_> = (0..1000).map(|number| format!("{number:0>100}")).collect();
    /// let changes: Vec<_> = names.iter().map(|name| change(name.as_bytes())).collect();
    /// Request::Batch { table: "t", changes }.encode(RequestId::ZERO, &mut wire);
    /// let mut cutter = Cutter::new(Sender::Client);
    /// cutter.push(RequestId::ZERO, Bytes::from(wire));
    ///
    /// # let mut assembler = Assembler::new(Sender::Client, v2::limits(1024));
    /// # let mut arrival = Arrival::Part;
    /// # while let Arrival::Part = arrival {
    /// #     let mut wire = BytesMut::new();
    /// #     cutter.cut(&mut wire);
    /// #     let mut decoder = Decoder::new(v2::limits(1024));
    /// #     arrival = assembler.take(&decoder.decode(&wire)?.ok_or("not whole")?)?;
    /// # }
    /// // .. cut and joined as `Assembled` shows ..
    /// let Arrival::Assembled(mut whole) = arrival else { panic!("it came in parts") };
    /// let (message, _) = whole.open()?;
    /// let (_, Some(Request::Batch { changes, .. })) = Request::parse(&message)? else { panic!() };
    /// assert_eq!(changes.len(), 1000);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn open(&mut self) -> Result<(Message<'_>, Backing<'_>), PartError> {
        let message = self.decoder.decode(&self.bytes).map_err(PartError::Frame)?;
        let Some(message) = message.filter(|message| message.byte_len() == self.bytes.len()) else {
            return Err(PartError::NotOneMessage);
        };
        if message.kind() == self.sender.kind() {
            return Err(PartError::Nested);
        }
        match RequestId::split(&message) {
            Ok((id, _)) if id == self.id => Ok((message, Backing::Own(&self.bytes))),
            Ok(_) | Err(_) => Err(PartError::OtherId),
        }
    }
}

/// Where the fields of a message lie, for who wants to keep one.
///
/// ```
/// use kvsd::protocol::v2::part::{Backing, Chunk};
///
/// let field = &b"a field of a message"[..];
/// let kept = Backing::ReadBuffer.keep(field, &mut Chunk::default());
/// assert_ne!(kept.as_ptr(), field.as_ptr(), "a copy: the read buffer is wanted for more");
/// ```
#[derive(Clone, Copy)]
pub enum Backing<'a> {
    /// In a read buffer, which is wanted for more.
    ReadBuffer,
    /// In a buffer that holds nothing but this message.
    Own(&'a Bytes),
}

/// Shows where the message is; never what it holds.
impl std::fmt::Debug for Backing<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Backing::ReadBuffer => f.write_str("ReadBuffer"),
            Backing::Own(bytes) => write!(f, "Own({} bytes)", bytes.len()),
        }
    }
}

impl Backing<'_> {
    /// The field, to be kept: without a copy if it is most of a large message, else as a copy, so
    /// that what is small does not keep much memory. Small copies stand side by side in the chunk.
    ///
    /// # Panics
    ///
    /// If the field is not one of the message's.
    ///
    /// ```
    /// use bytes::Bytes;
    /// use kvsd::protocol::v2::part::{Backing, Chunk};
    ///
    /// let message = Bytes::from(vec![7; 1000]);
    /// let (large, small) = message.split_at(900);
    /// let (backing, mut chunk) = (Backing::Own(&message), Chunk::default());
    /// assert_eq!(backing.keep(large, &mut chunk).as_ptr(), large.as_ptr());
    /// assert_ne!(backing.keep(small, &mut chunk).as_ptr(), small.as_ptr(), "a copy");
    /// ```
    #[must_use]
    pub fn keep(self, field: &[u8], chunk: &mut Chunk) -> Bytes {
        match self {
            Backing::Own(bytes) if field.len() > bytes.len() / 2 => bytes.slice_ref(field),
            Backing::Own(_) | Backing::ReadBuffer => chunk.keep(field),
        }
    }
}

/// Memory that small fields share which leave their messages together and are kept for a short
/// time: an allocation for each would be made by one thread, many in a row, and given back by
/// another. Each allocation is twice as long as the one before it, up to [`Chunk::BYTES`]: that is
/// what who keeps one field keeps at most, and all fields of a chunk have little more than twice
/// their length.
///
/// ```
/// use kvsd::protocol::v2::part::Chunk;
///
/// let mut chunk = Chunk::default();
/// let (one, two) = (chunk.keep(b"one"), chunk.keep(b"two"));
/// assert_eq!((&one[..], &two[..]), (&b"one"[..], &b"two"[..]));
/// assert_eq!(one.as_ptr().addr() + one.len(), two.as_ptr().addr());
/// ```
#[derive(Default)]
pub struct Chunk {
    free: BytesMut,
    /// How many bytes were allocated last.
    allocated: usize,
}

/// Never shows what it holds.
impl std::fmt::Debug for Chunk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Chunk({} bytes free)", self.free.capacity())
    }
}

impl Chunk {
    /// How many bytes are allocated at once, after a few smaller allocations.
    ///
    /// ```
    /// use kvsd::protocol::v2::part::Chunk;
    ///
    /// assert!(Chunk::BYTES > Chunk::MAX_FIELD_BYTES);
    /// ```
    pub const BYTES: usize = 4 * 1024;
    /// What is longer has an allocation of its own.
    ///
    /// ```
    /// use kvsd::protocol::v2::part::Chunk;
    ///
    /// let (mut chunk, large) = (Chunk::default(), [7; Chunk::MAX_FIELD_BYTES + 1]);
    /// let [one, apart, two] = [b"one", &large[..], b"two"].map(|field| chunk.keep(field));
    /// assert_eq!(one.as_ptr().addr() + one.len(), two.as_ptr().addr());
    /// assert_eq!(&apart[..], large);
    /// ```
    pub const MAX_FIELD_BYTES: usize = Self::BYTES / 4;
    const FIRST_BYTES: usize = Self::BYTES / 16;

    /// A copy of a field.
    ///
    /// ```
    /// use kvsd::protocol::v2::part::Chunk;
    ///
    /// let mut chunk = Chunk::default();
    /// let kept: Vec<_> = (0..=u8::MAX).map(|n| chunk.keep(&[n; 100])).collect();
    /// assert!((0..=u8::MAX).zip(&kept).all(|(n, field)| field[..] == [n; 100]));
    /// ```
    #[must_use]
    pub fn keep(&mut self, field: &[u8]) -> Bytes {
        if field.len() > Self::MAX_FIELD_BYTES {
            return Bytes::copy_from_slice(field);
        }
        if self.free.capacity() < field.len() {
            let bytes = (2 * self.allocated).clamp(Self::FIRST_BYTES, Self::BYTES);
            self.allocated = bytes.max(field.len());
            self.free = BytesMut::with_capacity(self.allocated);
        }
        self.free.extend_from_slice(field);
        self.free.split().freeze()
    }
}

/// What [`Cutter::cut`] has written.
///
/// ```
/// # use bytes::BytesMut;
/// # use kvsd::protocol::frame::Decoder;
/// # use kvsd::protocol::v2::{self, RequestId};
/// use kvsd::protocol::v2::part::{Cut, Cutter, Sender};
///
/// # let mut wire = BytesMut::new();
/// # let mut decoder = Decoder::new(v2::limits(1024));
/// let mut cutter = Cutter::new(Sender::Client);
/// assert_eq!(cutter.cut(&mut wire), Cut::Nothing);
/// assert!(wire.is_empty());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// Nothing: no large message waits.
    Nothing,
    /// A part, not the last of its message.
    Part,
    /// The last part of the message with this id.
    Last(RequestId),
}

/// Large messages that wait to be sent, cut into parts: one part of each of the first
/// [`MAX_IN_PARTS`] in turn.
///
/// ```
/// # use bytes::BytesMut;
/// # use kvsd::protocol::frame::Decoder;
/// # use kvsd::protocol::v2::{self, RequestId};
/// use bytes::Bytes;
/// use kvsd::protocol::v2::part::{Cut, Cutter, MAX_PART_BYTES, Sender};
///
/// # let mut wire = BytesMut::new();
/// # let mut decoder = Decoder::new(v2::limits(1024));
/// let mut cutter = Cutter::new(Sender::Client);
/// cutter.push(RequestId::ZERO, Bytes::from(vec![0; MAX_PART_BYTES + 1]));
/// assert_eq!(cutter.cut(&mut wire), Cut::Part);
/// // Here any small message may pass.
/// assert_eq!(cutter.cut(&mut wire), Cut::Last(RequestId::ZERO));
/// assert_eq!(cutter.cut(&mut wire), Cut::Nothing);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Cutter {
    sender: Sender,
    queue: VecDeque<Outgoing>,
    bytes: usize,
}

struct Outgoing {
    id: RequestId,
    rest: Pieces,
}

type Pieces = Chain<Bytes, Chain<Bytes, Bytes>>;

impl Cutter {
    /// For what `sender` sends.
    ///
    /// ```
    /// use kvsd::protocol::v2::part::{Cutter, Sender};
    ///
    /// assert!(Cutter::new(Sender::Server).is_empty());
    /// ```
    #[must_use]
    pub fn new(sender: Sender) -> Self {
        Self { sender, queue: VecDeque::new(), bytes: 0 }
    }

    /// Whether no message waits.
    ///
    /// ```
    /// # use bytes::Bytes;
    /// # use kvsd::protocol::v2::{RequestId, part::{Cutter, Sender}};
    /// let mut cutter = Cutter::new(Sender::Client);
    /// cutter.push(RequestId::ZERO, Bytes::from(vec![0; 100_000]));
    /// assert!(!cutter.is_empty());
    /// ```
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// The bytes that wait to be cut.
    ///
    /// ```
    /// # use bytes::BytesMut;
    /// # use kvsd::protocol::frame::Decoder;
    /// # use kvsd::protocol::v2::{self, RequestId};
    /// use bytes::Bytes;
    /// use kvsd::protocol::v2::part::{Cutter, MAX_PART_BYTES, Sender};
    ///
    /// # let mut wire = BytesMut::new();
    /// # let mut decoder = Decoder::new(v2::limits(1024));
    /// let mut cutter = Cutter::new(Sender::Client);
    /// cutter.push(RequestId::ZERO, Bytes::from(vec![0; 100_000]));
    /// cutter.cut(&mut wire);
    /// assert_eq!(cutter.len(), 100_000 - MAX_PART_BYTES);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn len(&self) -> usize {
        self.bytes
    }

    /// Takes an encoded message of more than [`MAX_PART_BYTES`].
    ///
    /// ```
    /// # use bytes::BytesMut;
    /// # use kvsd::protocol::frame::Decoder;
    /// # use kvsd::protocol::v2::{self, RequestId};
    /// use bytes::Bytes;
    /// use kvsd::protocol::v2::part::{Cut, Cutter, Sender};
    ///
    /// # let mut wire = BytesMut::new();
    /// # let mut decoder = Decoder::new(v2::limits(1024));
    /// let (one, other) = (RequestId::ZERO, RequestId::new(1).ok_or("too large")?);
    /// let mut cutter = Cutter::new(Sender::Client);
    /// cutter.push(one, Bytes::from(vec![0; 190_000]));
    /// cutter.push(other, Bytes::from(vec![0; 70_000]));
    /// // In turn, so that the large one does not hold up the other.
    /// assert_eq!(cutter.cut(&mut wire), Cut::Part);
    /// assert_eq!(cutter.cut(&mut wire), Cut::Part);
    /// assert_eq!(cutter.cut(&mut wire), Cut::Part);
    /// assert_eq!(cutter.cut(&mut wire), Cut::Last(other));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn push(&mut self, id: RequestId, message: Bytes) {
        self.push_pieces(id, message.chain(Bytes::new().chain(Bytes::new())));
    }

    /// Takes a message with `value` of more than [`MAX_PART_BYTES`] as its last bytes frame, without
    /// copying it. `message` is the message as it is with an empty one.
    ///
    /// ```
    /// # use bytes::BytesMut;
    /// # use kvsd::protocol::frame::Decoder;
    /// # use kvsd::protocol::v2::{self, RequestId};
    /// use bytes::Bytes;
    /// use kvsd::protocol::v2::part::{Cutter, Sender};
    /// use kvsd::protocol::v2::{Condition, Previous, Request};
    ///
    /// # let mut wire = BytesMut::new();
    /// # let mut decoder = Decoder::new(v2::limits(1024));
    /// let (table, key, value) = ("t", &b"k"[..], &b""[..]);
    /// let (condition, previous, expiry) = (Condition::Any, Previous::Omit, None);
    /// Request::Set { table, key, value, condition, expiry, previous }
    ///     .encode(RequestId::ZERO, &mut wire);
    /// let without_value = wire.len();
    /// let mut cutter = Cutter::new(Sender::Client);
    /// cutter.push_with_value(RequestId::ZERO, wire, Bytes::from(vec![0; 100_000]));
    /// // The value, and its length in six digits instead of one.
    /// assert_eq!(cutter.len(), without_value + 100_000 + 5);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn push_with_value(&mut self, id: RequestId, mut message: BytesMut, value: Bytes) {
        // Nothing behind the value can look like this: strings and numbers hold no line end.
        let at = message.windows(EMPTY.len()).rposition(|window| window == EMPTY);
        debug_assert!(at.is_some(), "the message has an empty value");
        let behind = message.split_off(at.map_or(message.len(), |at| at + EMPTY.len()));
        message.truncate(at.unwrap_or(message.len()));
        message.extend_from_slice(format!("${}\r\n", value.len()).as_bytes());
        let mut tail = BytesMut::from(LINE_END);
        tail.extend_from_slice(&behind);
        self.push_pieces(id, message.freeze().chain(value.chain(tail.freeze())));
    }

    fn push_pieces(&mut self, id: RequestId, rest: Pieces) {
        debug_assert!(rest.remaining() > MAX_PART_BYTES, "a small message goes whole");
        self.bytes += rest.remaining();
        self.queue.push_back(Outgoing { id, rest });
    }

    /// Writes the next part behind what `out` holds.
    ///
    /// ```
    /// # use bytes::BytesMut;
    /// # use kvsd::protocol::frame::Decoder;
    /// # use kvsd::protocol::v2::{self, RequestId};
    /// use bytes::Bytes;
    /// use kvsd::protocol::v2::part::{Cutter, Part, Sender};
    ///
    /// # let mut wire = BytesMut::new();
    /// # let mut decoder = Decoder::new(v2::limits(1024));
    /// let mut cutter = Cutter::new(Sender::Client);
    /// cutter.push(RequestId::ZERO, Bytes::from(vec![0; 100_000]));
    /// cutter.cut(&mut wire);
    /// let mut decoder = Decoder::new(v2::part::stream_limits(v2::limits(1024)));
    /// let (_, part) = Part::parse(&decoder.decode(&wire)?.ok_or("not whole")?)?;
    /// assert_eq!((part.bytes.len(), part.remaining), (65_536, 34_464));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn cut(&mut self, out: &mut BytesMut) -> Cut {
        let Some(mut message) = self.queue.pop_front() else {
            return Cut::Nothing;
        };
        let length = message.rest.remaining().min(MAX_PART_BYTES);
        let remaining = message.rest.remaining() - length;
        FrameWriter::new(out)
            .message(PART_FRAMES, self.sender.kind())
            .integer(message.id.to_wire())
            .integer(i64::try_from(remaining).unwrap_or(i64::MAX))
            .bytes_of(&mut message.rest, length);
        self.bytes -= length;
        if remaining == 0 {
            return Cut::Last(message.id);
        }
        // Behind the others that have begun, before those that have not.
        let turn = self.queue.len().min(MAX_IN_PARTS - 1);
        self.queue.insert(turn, message);
        Cut::Part
    }
}

/// Shows how much, never what.
impl std::fmt::Debug for Part<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Part({} bytes, {} to come)", self.bytes.len(), self.remaining)
    }
}

impl std::fmt::Debug for Assembly {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Assembly({:?}, {} to come)", self.id, self.remaining)
    }
}

impl std::fmt::Debug for Assembled {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Assembled({:?}, {} bytes)", self.id, self.bytes.len())
    }
}

impl std::fmt::Debug for Outgoing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Outgoing({:?}, {} bytes)", self.id, self.rest.remaining())
    }
}
