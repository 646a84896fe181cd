//! How many wrong passwords a user may be given from one address: some at once, then one every few
//! seconds.
//!
//! Counts failures only, and by address and user together: whoever fails locks out nobody else.
//! Never asks what time it is. Next file to read: `turns`.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::network::Network;

/// The failures that count still.
#[derive(Debug)]
pub(super) struct Attempts {
    hasher: RandomState,
    /// When the last failure of each is forgotten. Each failure adds [`PERIOD`].
    forgotten: Mutex<HashMap<Who, Instant>>,
    most: usize,
}

/// An address and a user, as one number that nobody outside can choose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Who(u64);

impl Attempts {
    pub(super) fn new() -> Self {
        Self { hasher: RandomState::new(), forgotten: Mutex::default(), most: MOST }
    }

    /// Who tries: a user from a host, or from a network where a host has many addresses.
    pub(super) fn who(&self, from: Option<IpAddr>, user: &[u8]) -> Who {
        Who(self.hasher.hash_one((from.map(Network::of), user)))
    }

    /// Whether this one may try now.
    pub(super) fn allows(&self, who: Who, now: Instant) -> bool {
        let forgotten = self.forgotten.lock().unwrap_or_else(PoisonError::into_inner);
        forgotten.get(&who).is_none_or(|at| *at <= now + PERIOD * (AT_ONCE - 1))
    }

    /// Notes that this one has failed.
    pub(super) fn failed(&self, who: Who, now: Instant) {
        let mut forgotten = self.forgotten.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(at) = forgotten.get_mut(&who) {
            *at = (*at).max(now) + PERIOD;
            return;
        }
        if forgotten.len() >= self.most {
            forgotten.retain(|_, at| *at > now);
        }
        // Whoever has failed least gives way: names made up to fill the table push out each other,
        // and never the one who has used up its attempts.
        if forgotten.len() >= self.most
            && let Some(least) = forgotten.iter().min_by_key(|(_, at)| **at).map(|(who, _)| *who)
        {
            forgotten.remove(&least);
        }
        forgotten.insert(who, now + PERIOD);
    }
}

/// How many failures are taken at once.
const AT_ONCE: u32 = 8;
/// How long it takes until one more is.
const PERIOD: Duration = Duration::from_secs(4);
/// How many are remembered, in 1 MiB or less. Failures cost a check each, so that fewer fit into the
/// half minute after which they are forgotten: four at a time, of 10 ms, make 12,800.
const MOST: usize = 32 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    const A: Option<IpAddr> = Some(IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1)));
    const B: Option<IpAddr> = Some(IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 2)));

    fn used_up(attempts: &Attempts, who: Who, now: Instant) {
        for _ in 0..AT_ONCE {
            assert!(attempts.allows(who, now));
            attempts.failed(who, now);
        }
        assert!(!attempts.allows(who, now));
    }

    #[test]
    fn some_failures_are_taken_at_once_and_then_one_every_period() {
        let (attempts, now) = (Attempts::new(), Instant::now());
        let who = attempts.who(A, b"app");
        used_up(&attempts, who, now);
        let short = Duration::from_millis(1);
        for turn in 1..4 {
            let then = now + PERIOD * turn;
            assert!(!attempts.allows(who, then - short));
            assert!(attempts.allows(who, then));
            attempts.failed(who, then);
            assert!(!attempts.allows(who, then));
        }
        used_up(&attempts, who, now + PERIOD * 100);
    }

    #[test]
    fn another_address_and_another_user_are_not_concerned() {
        let (attempts, now) = (Attempts::new(), Instant::now());
        used_up(&attempts, attempts.who(A, b"app"), now);
        assert!(attempts.allows(attempts.who(B, b"app"), now));
        assert!(attempts.allows(attempts.who(A, b"ops"), now));
        assert!(attempts.allows(attempts.who(None, b"app"), now));
    }

    #[test]
    fn a_host_has_one_count_however_many_addresses_it_takes() {
        let attempts = Attempts::new();
        let who = |address: &str| attempts.who(Some(address.parse().unwrap()), b"app");
        assert_eq!(who("2001:db8::1"), who("2001:db8::ffff:1"));
        assert_ne!(who("2001:db8::1"), who("2001:db8:0:1::1"));
        assert_eq!(who("::ffff:192.0.2.1"), who("192.0.2.1"));
        assert_ne!(who("::ffff:192.0.2.1"), who("::ffff:192.0.2.2"));
    }

    #[test]
    fn made_up_names_fill_no_more_than_the_table_and_reset_nobody() {
        let (attempts, now) = (Attempts { most: 64, ..Attempts::new() }, Instant::now());
        let who = attempts.who(A, b"app");
        used_up(&attempts, who, now);
        for name in 0..1000_u32 {
            attempts.failed(attempts.who(A, &name.to_be_bytes()), now);
            assert!(!attempts.allows(who, now));
        }
        assert_eq!(attempts.forgotten.lock().unwrap().len(), 64);
        // What is forgotten makes room.
        attempts.failed(attempts.who(A, b"late"), now + PERIOD * 2);
        assert_eq!(attempts.forgotten.lock().unwrap().len(), 2);
    }
}
