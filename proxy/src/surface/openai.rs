//! The OpenAI chat completions dialect: request bytes in, `Peek` or `ChatRequest` out; answers, streams and errors in, bytes out.
//!
//! # Two ways through
//! A target that speaks the same dialect gets the client's own bytes: `peek` reads them in one pass, `splice` changes
//! only what must change, `Meter` reads the usage off what comes back. Any other target gets a translation: `parse`,
//! then `render` and `StreamRenderer`.
//!
//! # What happens to each field on translation
//! `store`, `service_tier`, `user`, `metadata`, `safety_identifier`, `prompt_cache_key`, `prompt_cache_retention`,
//! `prediction` and `seed` never change what an answer may say (a seed is best effort by its own contract), so a
//! provider without them leaves them out. Everything else that a provider cannot express, unknown fields included, is
//! `unsupported_field`, by name.

mod error;
mod message;
mod meter;
mod models;
mod parse;
mod peek;
mod prepend;
mod render;
mod splice;
mod stream;
mod wire;

pub use error::{render_error, render_stream_error};
pub(super) use message::located;
pub use meter::{Meter, usage_of};
pub use models::{render_model, render_models};
pub use parse::parse;
pub(super) use parse::{effort, metadata, schema};
pub use peek::{Spans, peek};
pub use prepend::prepend;
pub use render::render;
pub use splice::{Splice, splice};
pub use stream::StreamRenderer;

#[cfg(test)]
mod tests;
