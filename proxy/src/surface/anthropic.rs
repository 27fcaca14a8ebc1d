//! The Anthropic Messages dialect: request bytes in, `Peek` or `ChatRequest` out; answers, streams and errors in, bytes out.
//!
//! # What happens to each field on translation
//! `metadata.user_id` is the user. `service_tier` and the citations of earlier answers never change what an answer may
//! say, so a provider without them leaves them out. `thinking` is an effort in tokens; adaptive thinking takes its
//! effort from `output_config.effort`, `high` when that is absent, as at Anthropic. Everything else that a provider
//! cannot express, server tools and unknown fields included, is `unsupported_field`, by name.
//!
//! # Counting tokens
//! An Anthropic target counts itself. For any other target the answer is an estimate: a token for every four bytes of
//! text, four for each message, and 1,600 for each picture or document; it is marked `"estimated": true`.

mod count;
mod error;
mod message;
mod meter;
mod parse;
mod peek;
mod prepend;
mod render;
mod splice;
mod sse;
mod stream;
mod usage;

pub use count::estimate;
pub use error::{render_error, render_stream_error};
pub use meter::{Meter, usage_of};
pub use parse::parse;
pub use peek::{Spans, peek};
pub use prepend::prepend;
pub use render::render;
pub use splice::{Splice, splice};
pub use sse::{SseEvent, SseReader};
pub use stream::StreamRenderer;
pub(crate) use usage::WireUsage;

#[cfg(test)]
mod tests;
