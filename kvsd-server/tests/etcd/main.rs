//! The etcd engine under faults: members of etcd and front ends are killed, paused and cut off
//! while clients read and write, and what they saw is checked against what a store may do.
//!
//! Next: [`cluster`], the members; [`front_end`]; [`history`], the checker; [`faults`], the suite;
//! [`outages`]; [`reach`], TLS and access control; [`users`], whom all front ends let in.

#![allow(clippy::unwrap_used, reason = "a test's helpers unwrap as its functions do")]

mod cluster;
mod faults;
mod front_end;
mod harness;
mod history;
mod migration;
mod outages;
mod random;
mod reach;
mod several;
#[path = "../support/mod.rs"]
mod support;
mod unchanged;
mod users;
