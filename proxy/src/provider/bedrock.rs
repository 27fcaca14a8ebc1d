//! Amazon Bedrock: the internal form in, Converse and ConverseStream requests out, signed; their answers in, the internal form out.
//!
//! # What Converse cannot say
//! Such a request is `unsupported_field`, by name, so that the target is skipped or the client told. Left out, because
//! they never change what an answer may say: `seed` (best effort by contract), speakers' names, an image's `detail`,
//! a tool's `strict`, cache points for models without a prompt cache, and thoughts without a provider's signature.
//!
//! # Structured output
//! Converse has no JSON mode that every model knows, so a JSON answer is the input of a tool that the model must call;
//! the tool's input comes back as the text of the answer.

mod content;
mod credentials;
mod embed;
mod endpoint;
mod error;
mod family;
mod frame;
mod inference;
mod native;
mod request;
mod response;
mod sign;
mod stream;
mod text;
mod tools;
mod wire;

pub use super::names::ToolNames;
pub use credentials::{Aws, AwsError, Destination};
pub use embed::{Embedder, chats, decode_embeddings, embed};
pub use endpoint::{AGENT_CORE, BEDROCK, S3, SAGEMAKER, SQS, Service, path, segment};
pub use error::{decode_error, decode_exception, malformed, transport_error};
pub use family::Family;
pub use frame::{Frame, Frames};
pub use native::{Passed, counted, guardrail, prepare, usage_of};
pub use request::{ConverseRequest, build};
pub use response::decode;
pub use stream::Decoder;
pub use text::{TextFamily, TextRequest};

#[cfg(test)]
mod tests;
