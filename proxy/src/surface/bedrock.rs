//! The Bedrock runtime's dialect: Converse requests in, `Peek` or `ChatRequest` out; InvokeModel bodies in, `Peek` out; answers, streams and errors in, bytes out.
//!
//! # Two ways through
//! A Bedrock target gets the client's own bytes: `peek` reads them, `splice` writes the output bound (always), the
//! target's guardrail and the route's defaults into them. Any other target gets a translation: `parse`, then `render`
//! and `StreamRenderer`. InvokeModel bodies are in the model's own words, so they only pass through, to a model of the
//! same family.
//!
//! # What could escape the cap
//! Fields that make an answer dearer than its target's price (faster or preferred service, tools that the service runs) and fields of the model that
//! bound the output under another name are refused: the bound that money was reserved for must be the only one.

mod call;
mod content;
mod edit;
mod error;
mod invoke;
mod parse;
mod peek;
mod prepend;
mod render;
mod splice;
mod stream;

pub use call::{Api, Call, call, decoded};
pub use error::{explain, introduce, render_error, render_stream_error, status};
pub use invoke::{Invoke, splice_invoke};
pub use parse::parse;
pub use peek::{Spans, peek};
pub use prepend::prepend;
pub use render::render;
pub use splice::{Splice, splice};
pub use stream::StreamRenderer;

#[cfg(test)]
mod tests;
