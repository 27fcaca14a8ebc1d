//! What tests that cross crates stand on: a real Kubernetes API server, the built programs as processes, simulators of what cannot run
//! here, clients of vendors. Nothing skips: what is missing fails with the command that installs it.
#![expect(clippy::panic, reason = "a test that cannot go on says what to do and stops")]

pub mod bench;
pub mod cluster;
pub mod collector;
pub mod documents;
pub mod helm;
pub mod http;
pub mod manifests;
pub mod moto;
pub mod node;
pub mod process;
pub mod prometheus;
pub mod python;
pub mod scratch;
pub mod sim;
pub mod wait;
