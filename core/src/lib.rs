//! Everything about Tollway that is true without a socket, a cluster, a clock or a disk. Manifests come in; a routing table, budgets that
//! keep their promise, and status come out.
//!
//! Read in the order things happen:
//!
//! | module | what comes in, what goes out |
//! | --- | --- |
//! | [`manifest`] | the text of a file, or an object of a cluster; a typed spec, and every mistake of form with its line |
//! | [`snapshot`] | all resources of a namespace with their last accepted specs, and the facts around them; a folder and a cluster fill it alike |
//! | [`validate`] | one spec; checked values with defaults filled in, or every mistake in it and what to do |
//! | [`compile`] | a snapshot; the table, and a verdict on each resource. Total: a bad resource costs only itself |
//! | [`table`] | the table: routes, targets, prices, budgets; nothing left to check |
//! | [`wire`] | a table; bytes with a digest, and back, route by route |
//! | [`control`] | the messages between operator and proxy |
//! | [`spend`] | usage and prices; costs, grants and settlements, as pure state machines |
//! | [`rate`] | a limit on a rate, its state and a moment; whether so much may go out |
//! | [`classify`] | the text of a prompt; the class that rules go by |
//! | [`jobs`] | an embedding job and what its calls came to; the calls that are made next |
//! | [`status`] | verdicts and what proxies saw; conditions with reasons, on the resources |
//! | [`html`] | words and amounts; what the status pages have in common |
//!
//! The operator runs the first five for every namespace and serves the result; a standalone proxy runs them over a folder. `proxy/src/stack.rs`
//! is where the table meets requests.
#![warn(missing_docs)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::panic))]

pub mod classify;
pub mod compile;
pub mod control;
pub mod html;
pub mod jobs;
pub mod manifest;
pub mod rate;
pub mod snapshot;
pub mod spend;
pub mod status;
pub mod table;
pub mod validate;
pub mod wire;
