//! The one internal form of a chat: every surface parses into it and renders from it, every provider translates from it and back.
//!
//! # Why one form
//! Surfaces and providers never know each other, so n dialects cost 2n translations. Same-dialect traffic does not
//! come through here at all: it is passed through with a splice.

mod content;
mod json;
mod request;
mod response;
mod size;
mod stream;

pub use content::{Audio, Block, CacheTtl, Document, Image, Role, Source};
pub use json::Json;
pub use request::{ChatRequest, Effort, Message, ResponseFormat, Sampling, StreamOptions, Tool, ToolChoice};
pub use response::{ChatResponse, FinishReason, Usage};
pub use size::Size;
pub use stream::{BlockStart, Delta, ErrorKind, StreamEvent, UpstreamError};
