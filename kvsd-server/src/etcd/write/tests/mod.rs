//! The writer, on an etcd in memory and against a real member.

mod member;
mod model;
