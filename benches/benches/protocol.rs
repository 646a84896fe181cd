//! What a message costs: encoding and parsing the requests and replies of version 2, without a
//! network.
//!
//! A message is parsed as both sides do it, from a buffer that a read has filled with many.

use bytes::BytesMut;
use divan::counter::ItemsCount;
use divan::{AllocProfiler, Bencher, black_box};
use kvsd::Version;
use kvsd::protocol::frame::Decoder;
use kvsd::protocol::v2::{
    self, Before, Condition, Freshness, Previous, Record, Reply, Request, RequestId,
};

/// Allocations are shown beside the times.
#[global_allocator]
static ALLOCATOR: AllocProfiler = AllocProfiler::system();

fn main() {
    divan::main();
}

#[divan::bench(args = Kind::ALL, sample_count = 200, sample_size = 50)]
fn encode(bencher: Bencher, kind: Kind) {
    let mut out = BytesMut::with_capacity(ROOM);
    bencher.counter(ItemsCount::new(MESSAGES)).bench_local(|| {
        out.clear();
        (0..MESSAGES).for_each(|number| kind.encode(id(number), &mut out));
        black_box(&out);
    });
}

#[divan::bench(args = Kind::ALL, sample_count = 200, sample_size = 50)]
fn parse(bencher: Bencher, kind: Kind) {
    let mut wire = BytesMut::with_capacity(ROOM);
    (0..MESSAGES).for_each(|number| kind.encode(id(number), &mut wire));
    let mut decoder = Decoder::new(v2::limits(MAX_VALUE_BYTES));
    bencher.counter(ItemsCount::new(MESSAGES)).bench_local(|| {
        let (mut at, mut count) = (0, 0);
        while let Some(message) = decoder.decode(&wire[at..]).expect("it was encoded above") {
            match kind {
                Kind::GetRequest | Kind::SetRequest => {
                    black_box(Request::parse(&message).expect("it was encoded above"));
                }
                Kind::ValueReply | Kind::WrittenReply => {
                    black_box(Reply::parse(&message).expect("it was encoded above"));
                }
            }
            at += message.byte_len();
            count += 1;
        }
        assert_eq!(count, MESSAGES);
    });
}

/// The messages that make up most of a load.
#[derive(Debug, Clone, Copy)]
enum Kind {
    GetRequest,
    SetRequest,
    ValueReply,
    WrittenReply,
}

impl Kind {
    const ALL: [Self; 4] =
        [Self::GetRequest, Self::SetRequest, Self::ValueReply, Self::WrittenReply];

    fn encode(self, id: RequestId, out: &mut BytesMut) {
        let (table, key, value) = ("default", b"profile/00004711".as_slice(), [b'v'; 100]);
        let version = Version::new(4711).expect("it is positive");
        match self {
            Self::GetRequest => {
                Request::Get { table, key, freshness: Freshness::Latest }.encode(id, out)
            }
            Self::SetRequest => {
                let (condition, previous) = (Condition::Any, Previous::Omit);
                Request::Set { table, key, value: &value, condition, expiry: None, previous }
                    .encode(id, out);
            }
            Self::ValueReply => {
                let record = Record { version, expires_at: None, value: &value };
                Reply::Value(Some(record)).encode(id, out);
            }
            Self::WrittenReply => {
                let before = Before::Present;
                Reply::Written { version: Some(version), before }.encode(id, out);
            }
        }
    }
}

fn id(number: usize) -> RequestId {
    RequestId::new(number as u64).expect("it is small")
}

/// As many as a read brings under load.
const MESSAGES: usize = 64;
const ROOM: usize = 64 << 10;
const MAX_VALUE_BYTES: usize = 10 << 20;
