//! Everything about Tollway that is true without a socket, a cluster, a clock or a disk.
#![warn(missing_docs)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::panic))]

pub mod compile;
pub mod control;
pub mod manifest;
pub mod snapshot;
pub mod spend;
pub mod status;
pub mod table;
pub mod validate;
pub mod wire;
