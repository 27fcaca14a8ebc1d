//! The OpenAI responses dialect: request bytes in, `Peek` and the internal form out; answers, streams and errors in, bytes out.
//!
//! # Stateless
//! Nothing is stored, and `store: true` is answered with `store: false`; what names an earlier answer or a stored
//! conversation is `unsupported_field`. A client keeps a conversation by sending the output items back.
//!
//! # Thoughts
//! A thought's proof of origin travels as `encrypted_content`, asked for or not: without it a tool loop with a thinking
//! model would end in a refusal.

mod item;
mod object;
mod parse;
mod prepend;
mod stream;

pub use object::{Echo, render};
pub use parse::{Request, peek};
pub use prepend::prepend;
pub use stream::{StreamRenderer, render_stream_error};

#[cfg(test)]
mod tests;
