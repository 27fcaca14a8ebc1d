//! The proxy: a table source and a ledger behind one request stack, with an admin port beside it.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::panic))]

pub mod access;
pub mod admin;
pub mod attempt;
pub mod auth;
pub mod body;
pub mod cache;
pub mod chat;
pub mod circuit;
pub mod cli;
pub mod dialect;
pub mod durable;
pub mod embed;
pub mod error;
pub mod kubectl;
pub mod ledger;
pub mod limit;
pub mod meter;
pub mod metrics;
pub mod observe;
pub mod operator;
pub mod provider;
pub mod retry;
pub mod run;
pub mod select;
pub mod server;
pub mod source;
pub mod stack;
pub mod status;
pub mod store;
pub mod surface;
pub mod targets;
pub mod trace;
pub mod upstream;

#[cfg(test)]
mod fixture;
