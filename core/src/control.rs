//! The messages of the control channel, generated from `proto/control.proto`; the operator serves them, the proxy speaks them.
#![allow(missing_docs, clippy::all, clippy::pedantic)]

include!(concat!(env!("OUT_DIR"), "/tollway.control.v1.rs"));
