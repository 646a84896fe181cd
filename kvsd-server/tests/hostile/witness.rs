//! A well-behaved client, who is served whatever others do.

use std::io::{Read, Write};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;

use super::target::{PATIENCE, Target};
use super::wire::{Client, get, set};

/// Sets and gets in a thread of its own, on one connection that nothing may cut.
pub(crate) struct Witness {
    shared: Arc<Shared>,
    thread: JoinHandle<()>,
}

type Shared = (Mutex<State>, Condvar);

#[derive(Default)]
struct State {
    rounds: u64,
    leaves: bool,
    /// It has ended, content or not.
    gone: bool,
}

/// Says that the thread has ended, however it did.
struct Gone(Arc<Shared>);

impl Drop for Gone {
    fn drop(&mut self) {
        self.0.0.lock().unwrap().gone = true;
        self.0.1.notify_all();
    }
}

impl Witness {
    /// One who has come in without a name.
    pub(crate) fn of(target: &Target) -> Self {
        Self::with(target.client())
    }

    /// One who is in.
    pub(crate) fn with<S: Read + Write + Send + 'static>(mut client: Client<S>) -> Self {
        let shared: Arc<Shared> = Arc::default();
        let own = Arc::clone(&shared);
        let thread = std::thread::spawn(move || {
            let _gone = Gone(Arc::clone(&own));
            loop {
                let round = {
                    let mut state = own.0.lock().unwrap();
                    if state.leaves {
                        return;
                    }
                    state.rounds += 1;
                    state.rounds
                };
                own.1.notify_all();
                let value = round.to_string();
                let written = client.ask(&set("witness", b"round", value.as_bytes()));
                assert!(written.starts_with("Written"), "{written}");
                let found = client.ask(&get("witness", b"round"));
                assert!(found.starts_with("Value(Some"), "{found}");
            }
        });
        let witness = Self { shared, thread };
        witness.is_served();
        witness
    }

    /// Waits until it was served some more.
    pub(crate) fn is_served(&self) {
        let (state, changed) = &*self.shared;
        let state = state.lock().unwrap();
        let wanted = state.rounds + ROUNDS;
        let is_behind = |state: &mut State| state.rounds < wanted && !state.gone;
        let (state, waited) = changed.wait_timeout_while(state, PATIENCE, is_behind).unwrap();
        assert!(!waited.timed_out(), "nobody else was served after round {}", state.rounds);
        assert!(state.rounds >= wanted, "the well-behaved client was not served as it should be");
    }

    /// Ends it; it must have been content all along.
    pub(crate) fn leave(self) {
        self.is_served();
        self.shared.0.lock().unwrap().leaves = true;
        self.thread.join().expect("the well-behaved client was content");
    }
}

/// How much is enough to say that somebody is served.
const ROUNDS: u64 = 10;
