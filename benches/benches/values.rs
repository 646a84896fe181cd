//! What a typed value costs on its way in and out: its envelope, its codec, and both.
//!
//! The value is like that of the suite `wire`: some 100 bytes of bincode.

use bytes::Bytes;
use divan::{AllocProfiler, Bencher, black_box};
use kvsd::value::{Envelope, encode_to_bytes};
use kvsd::{Bincode, Decode};
use serde::{Deserialize, Serialize};

/// Allocations are shown beside the times.
#[global_allocator]
static ALLOCATOR: AllocProfiler = AllocProfiler::system();

fn main() {
    divan::main();
}

/// Envelope and codec, as a set does it.
#[divan::bench(sample_count = 200, sample_size = 1000)]
fn encode(bencher: Bencher) {
    let profile = profile();
    bencher.bench_local(|| encode_to_bytes(black_box(&profile), LIMIT));
}

/// Envelope and codec, as a get does it.
#[divan::bench(sample_count = 200, sample_size = 1000)]
fn decode(bencher: Bencher) {
    let stored = stored();
    bencher.bench_local(|| Profile::decode(black_box(&stored)));
}

/// The same without a copy of the texts.
#[divan::bench(sample_count = 200, sample_size = 1000)]
fn decode_borrowed(bencher: Bencher) {
    let stored = stored();
    bencher.bench_local(|| {
        black_box(ProfileView::decode(black_box(&stored)).expect("it was encoded"));
    });
}

/// The envelope alone.
#[divan::bench(sample_count = 200, sample_size = 1000)]
fn parse_envelope(bencher: Bencher) {
    let stored = stored();
    bencher.bench_local(|| {
        black_box(Envelope::parse(black_box(&stored)).expect("it was encoded"));
    });
}

/// The codec alone.
#[divan::bench(sample_count = 200, sample_size = 1000)]
fn encode_bare(bencher: Bencher) {
    let profile = Bincode(profile());
    bencher.bench_local(|| encode_to_bytes(black_box(&profile), LIMIT));
}

/// The codec alone.
#[divan::bench(sample_count = 200, sample_size = 1000)]
fn decode_bare(bencher: Bencher) {
    let stored = encode_to_bytes(&Bincode(profile()), LIMIT).expect("it is small");
    bencher.bench_local(|| Bincode::<Profile>::decode(black_box(&stored)));
}

#[derive(Serialize, Deserialize, kvsd::Value)]
struct Profile {
    id: u64,
    revision: u32,
    name: String,
    mail: String,
    city: String,
    tags: Vec<String>,
    score: f64,
}

#[derive(Serialize, Deserialize, kvsd::Value)]
#[kvsd(name = "Profile")]
struct ProfileView<'a> {
    id: u64,
    revision: u32,
    name: &'a str,
    mail: &'a str,
    city: &'a str,
    #[serde(borrow)]
    tags: Vec<&'a str>,
    score: f64,
}

fn profile() -> Profile {
    Profile {
        id: 4711,
        revision: 1,
        name: "Augusta Ada King, Countess Lovelace".to_owned(),
        mail: "ada@analytical.example".to_owned(),
        city: "London".to_owned(),
        tags: ["analyst", "engine", "notes"].map(String::from).into(),
        score: 0.5,
    }
}

fn stored() -> Bytes {
    encode_to_bytes(&profile(), LIMIT).expect("it is small")
}

const LIMIT: usize = 1 << 20;
