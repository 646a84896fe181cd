//! What a caller sees of the connections under its operations, against a server that the test
//! plays.
//!
//! Time stands still and jumps when nothing else can happen, so that no test waits.

#![allow(clippy::unwrap_used, reason = "a test's helpers unwrap as its functions do")]

mod addresses;
mod alive;
mod ends;
mod hostile;
mod parts;
mod pool;
mod reentrant;
mod requests;
mod several;
mod streams;
#[path = "../support/mod.rs"]
mod support;
