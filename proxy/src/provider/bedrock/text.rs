//! Bedrock models that read one prompt through InvokeModel: a chat in, their body out; their answers in, text, finish and usage out.

mod jurassic;
mod llama;
mod titan;

use super::error::malformed;
use crate::chat::{ChatRequest, ChatResponse, FinishReason, Size, UpstreamError, Usage};
use crate::error::ApiError;
use crate::provider::prompt::Turns;
use crate::provider::text::{self, Piece};
use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tollway_core::table::Defaults;

/// Families with a body of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TextFamily {
    /// Titan Text Lite, Express and Premier.
    Titan,
    /// Jurassic-2.
    Jurassic,
    /// Llama 2.
    Llama,
}

/// What a family makes of a chat.
#[derive(Clone, Debug)]
pub struct TextRequest {
    /// The JSON body.
    pub body: Bytes,
    /// How large it is, for the bound on what it can cost.
    pub size: Size,
}

impl TextFamily {
    /// The family of a model id, inference profile id or ARN; none: Converse reaches it.
    #[must_use]
    pub fn of(model_id: &str) -> Option<Self> {
        let name = model_id.rsplit('/').next().unwrap_or(model_id);
        let known = [("amazon.titan-text-", Self::Titan), ("ai21.j2-", Self::Jurassic), ("meta.llama2-", Self::Llama)];
        known.iter().find(|(part, _)| name.contains(part)).map(|(_, family)| *family)
    }

    /// Whether the service streams its answers.
    #[must_use]
    pub const fn streams(self) -> bool {
        !matches!(self, Self::Jurassic)
    }

    /// Translates `request`; `max_tokens` is the output bound that money was reserved for.
    ///
    /// # Errors
    /// The first field that the family cannot say.
    pub fn build(self, request: &ChatRequest, defaults: &Defaults, max_tokens: u32) -> Result<TextRequest, ApiError> {
        let turns = Turns::of(request)?;
        let body: Value = match self {
            Self::Titan => titan::body(request, &turns, defaults, max_tokens)?,
            Self::Jurassic => jurassic::body(request, &turns, defaults, max_tokens)?,
            Self::Llama => llama::body(request, &turns, defaults, max_tokens)?,
        };
        let body = Bytes::from(body.to_string());
        let messages = u32::try_from(turns.turns.len() + 1).unwrap_or(u32::MAX);
        let size = Size { text_bytes: body.len() as u64, messages, ..Size::default() };
        Ok(TextRequest { body, size })
    }

    /// Reads a complete answer; `counted` is what the service counted, which is what it charges.
    ///
    /// # Errors
    /// It is none.
    pub fn decode(self, body: &[u8], counted: Option<Usage>) -> Result<ChatResponse, UpstreamError> {
        let Piece { text, finish, usage } = match self {
            Self::Titan => titan::whole(read(body)?)?,
            Self::Jurassic => jurassic::whole(read(body)?)?,
            Self::Llama => llama::piece(read(body)?),
        };
        Ok(text::whole(text, finish.unwrap_or(FinishReason::Stop), counted.or(usage)))
    }

    /// Reads one chunk of a stream.
    ///
    /// # Errors
    /// It is none.
    pub fn chunk(self, json: &[u8]) -> Result<Piece, UpstreamError> {
        match self {
            Self::Titan => Ok(titan::chunk(read(json)?)),
            Self::Jurassic => Err(malformed("this model does not stream")),
            Self::Llama => Ok(llama::piece(read(json)?)),
        }
    }
}

fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, UpstreamError> {
    serde_json::from_slice(body).map_err(|e| malformed(format!("the answer is not one of this model's family: {e}")))
}

/// Input and output tokens, where both are known.
fn counts(input: Option<u64>, output: Option<u64>) -> Option<Usage> {
    let tokens = tollway_core::spend::Usage { input: input?, output: output?, ..Default::default() };
    Some(Usage { tokens, reasoning: 0 })
}

#[cfg(test)]
mod tests {
    use super::TextFamily;

    #[test]
    fn only_models_that_converse_does_not_reach_have_a_body_of_their_own() {
        for (id, family) in [
            ("amazon.titan-text-express-v1", Some(TextFamily::Titan)),
            ("arn:aws:bedrock:us-east-1::foundation-model/amazon.titan-text-lite-v1", Some(TextFamily::Titan)),
            ("ai21.j2-ultra-v1", Some(TextFamily::Jurassic)),
            ("meta.llama2-70b-chat-v1", Some(TextFamily::Llama)),
            ("ai21.jamba-1-5-large-v1:0", None),
            ("us.meta.llama3-1-70b-instruct-v1:0", None),
            ("amazon.titan-embed-text-v2:0", None),
        ] {
            assert_eq!(TextFamily::of(id), family, "{id}");
        }
    }
}
