//! Hundreds of thousands of sessions with sense and nonsense mixed at random, from seeds: none
//! panics, none holds more than its client sent would explain, and whatever the server answers is
//! whole messages.
//!
//! `KVSD_TEST_NONSENSE_SEED` chooses other choices.

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use super::nonsense::{MESSAGES, Random, first_seed, script};
use super::*;

/// How many sessions a run has.
const SESSIONS: u64 = 200_000;
/// How many of them share an engine, so that what the engine keeps stays small.
const SESSIONS_OF_AN_ENGINE: u64 = 500;
/// The most that server, engine and client may hold for one session, in bytes, its task included. A
/// script has a few KiB at most, and so has what stands in the table.
const MOST_HELD_BYTES: u64 = 64 * 1024;

#[test]
fn the_nonsense_is_made_of_whole_messages() {
    for message in MESSAGES {
        let length = Decoder::new(ANY).decode(message).unwrap().map(|whole| whole.byte_len());
        assert_eq!(length, Some(message.len()), "{}", message.escape_ascii());
    }
}

#[test]
fn nonsense_never_breaks_a_session_nor_makes_it_hold_much() {
    let (next, answers, most) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
    let start = first_seed();
    let threads = thread::available_parallelism().map_or(1, |count| count.get());
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let first = next.fetch_add(SESSIONS_OF_AN_ENGINE, Ordering::Relaxed);
                    if first >= SESSIONS {
                        return;
                    }
                    let (said, held) = run_sessions(start.wrapping_add(first));
                    answers.fetch_add(said, Ordering::Relaxed);
                    most.fetch_max(held, Ordering::Relaxed);
                }
            });
        }
    });
    let (answers, most) = (answers.into_inner(), most.into_inner());
    println!("{SESSIONS} sessions had {answers} answers; one held {most} bytes");
    assert!(answers > SESSIONS, "the storm was a breeze: {answers} answers");
}

/// Runs the sessions of one engine; how many answers there were, and the most that one has held.
fn run_sessions(first: u64) -> (u64, u64) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let bench = Bench::with_limit(4096);
    let (mut answers, mut most) = (0, 0);
    for seed in first..first + SESSIONS_OF_AN_ENGINE {
        let held = allocation_counter::measure(|| {
            answers += runtime.block_on(run_session(&bench, seed));
        });
        most = most.max(held.bytes_max);
        assert!(held.bytes_max <= MOST_HELD_BYTES, "seed {seed} held {} bytes", held.bytes_max);
    }
    (answers, most)
}

async fn run_session(bench: &Bench, seed: u64) -> u64 {
    let mut random = Random::new(seed);
    let bytes = script(&mut random);
    let Peer { stream, session, .. } = bench.connect_by(1 + random.below(300));
    let (mut reader, mut writer) = tokio::io::split(stream);
    let write = async {
        for piece in bytes.chunks(1 + random.below(40)) {
            // The server may have closed long ago.
            if writer.write_all(piece).await.is_err() {
                return;
            }
        }
        let _ = writer.shutdown().await;
    };
    let mut said = BytesMut::new();
    let read = async { while reader.read_buf(&mut said).await.unwrap() != 0 {} };
    let ((), (), ended) = tokio::join!(write, read, session);
    let ended = ended.unwrap_or_else(|panic| panic!("seed {seed}: {panic}"));
    assert!(!matches!(ended, Ended::TimedOut | Ended::Unencrypted(_)), "seed {seed}: {ended}");

    let mut answers = 0;
    let mut decoder = Decoder::new(ANY);
    while let Some(message) = decoder.decode(&said).unwrap() {
        let length = message.byte_len();
        said.advance(length);
        answers += 1;
    }
    assert!(said.is_empty(), "seed {seed}: half an answer: {said:?}");
    answers
}
