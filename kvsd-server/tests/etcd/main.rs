//! The etcd engine under faults: members of etcd and front ends are killed, paused and cut off
//! while clients read and write, and what they saw is checked against what a store may do.
//!
//! Next: [`cluster`], the members; [`history`], the checker.

#![allow(clippy::unwrap_used, reason = "a test's helpers unwrap as its functions do")]

mod cluster;
mod harness;
mod history;
mod random;
mod reach;
mod users;
