//! The proxy: a table source and a ledger behind one request stack, with an admin port beside it.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::panic))]

pub mod chat;
pub mod error;
pub mod ledger;
pub mod metrics;
pub mod source;
pub mod surface;
