//! The words of the dialect: field names, keys as they come off the wire, messages counted in passing.

use crate::error::ApiError;
use serde::de::{Deserialize, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt;

/// A top-level field of a request. The first ones may be spliced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Field {
    Model,
    MaxTokens,
    MaxCompletionTokens,
    StreamOptions,
    Temperature,
    TopP,
    Stop,
    Messages,
    Stream,
    N,
    BestOf,
    User,
    Tools,
    ToolChoice,
    ParallelToolCalls,
    ResponseFormat,
    ReasoningEffort,
    FrequencyPenalty,
    PresencePenalty,
    Seed,
    TopK,
    Metadata,
    LogitBias,
    Logprobs,
    TopLogprobs,
    Modalities,
    Verbosity,
    Store,
    ServiceTier,
    SafetyIdentifier,
    PromptCacheKey,
    PromptCacheRetention,
    Prediction,
}

impl Field {
    /// How many fields may be spliced.
    pub(super) const SPLICED: usize = 7;

    const NAMES: [(Self, &'static str); 33] = [
        (Self::Model, "model"),
        (Self::MaxTokens, "max_tokens"),
        (Self::MaxCompletionTokens, "max_completion_tokens"),
        (Self::StreamOptions, "stream_options"),
        (Self::Temperature, "temperature"),
        (Self::TopP, "top_p"),
        (Self::Stop, "stop"),
        (Self::Messages, "messages"),
        (Self::Stream, "stream"),
        (Self::N, "n"),
        (Self::BestOf, "best_of"),
        (Self::User, "user"),
        (Self::Tools, "tools"),
        (Self::ToolChoice, "tool_choice"),
        (Self::ParallelToolCalls, "parallel_tool_calls"),
        (Self::ResponseFormat, "response_format"),
        (Self::ReasoningEffort, "reasoning_effort"),
        (Self::FrequencyPenalty, "frequency_penalty"),
        (Self::PresencePenalty, "presence_penalty"),
        (Self::Seed, "seed"),
        (Self::TopK, "top_k"),
        (Self::Metadata, "metadata"),
        (Self::LogitBias, "logit_bias"),
        (Self::Logprobs, "logprobs"),
        (Self::TopLogprobs, "top_logprobs"),
        (Self::Modalities, "modalities"),
        (Self::Verbosity, "verbosity"),
        (Self::Store, "store"),
        (Self::ServiceTier, "service_tier"),
        (Self::SafetyIdentifier, "safety_identifier"),
        (Self::PromptCacheKey, "prompt_cache_key"),
        (Self::PromptCacheRetention, "prompt_cache_retention"),
        (Self::Prediction, "prediction"),
    ];

    pub(super) const COUNT: usize = Self::NAMES.len();

    /// Numbers and the range each must lie in.
    pub(super) const RANGES: [(Self, f64, f64); 4] = [
        (Self::Temperature, 0.0, 2.0),
        (Self::TopP, 0.0, 1.0),
        (Self::FrequencyPenalty, -2.0, 2.0),
        (Self::PresencePenalty, -2.0, 2.0),
    ];

    pub(super) const fn name(self) -> &'static str {
        Self::NAMES[self as usize].1
    }
}

/// A top-level key.
pub(super) enum Key {
    Known(Field),
    Unknown(String),
}

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct KeyVisitor;
        impl Visitor<'_> for KeyVisitor {
            type Value = Key;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a field name")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Key, E> {
                match Field::NAMES.iter().find(|(_, name)| name.eq_ignore_ascii_case(text)) {
                    Some((field, name)) if *name == text => Ok(Key::Known(*field)),
                    // Some servers match keys without regard to case; what they would read must be what we read.
                    Some((_, name)) => Err(E::custom(format_args!("unknown field {text:?}: write {name:?}"))),
                    None => Ok(Key::Unknown(text.to_owned())),
                }
            }
        }
        deserializer.deserialize_str(KeyVisitor)
    }
}

/// Turns a reader's error into the client's: where the JSON breaks, or which field has the wrong type.
pub(super) fn malformed(error: &serde_json::Error, field: Option<&'static str>) -> ApiError {
    match (error.classify(), field) {
        (serde_json::error::Category::Data, Some(field)) => ApiError::invalid(format!("{field}: {error}")).param(field),
        (serde_json::error::Category::Data, None) => ApiError::invalid(format!("the body: {error}")),
        _ => ApiError::invalid(format!("the body is not well-formed JSON: {error}")),
    }
}

/// Roles a message can have.
pub(super) const ROLES: [&str; 6] = ["system", "developer", "user", "assistant", "tool", "function"];

/// What the messages of a request hold, counted in passing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct MessageCount {
    pub(super) messages: u32,
    pub(super) images: u32,
    pub(super) unbounded: u32,
    /// Bytes that no model reads as text.
    pub(super) not_text: u64,
}

impl<'de> Deserialize<'de> for MessageCount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Messages;
        impl<'de> Visitor<'de> for Messages {
            type Value = MessageCount;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an array of messages")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<MessageCount, A::Error> {
                let mut count = MessageCount::default();
                while let Some(Parts { images, unbounded, not_text }) = seq.next_element::<Message>()?.map(|m| m.0) {
                    count.messages = count.messages.saturating_add(1);
                    count.images = count.images.saturating_add(images);
                    count.unbounded = count.unbounded.saturating_add(unbounded);
                    count.not_text += not_text;
                }
                if count.messages == 0 {
                    return Err(A::Error::custom("is empty: send at least one message"));
                }
                Ok(count)
            }
        }
        deserializer.deserialize_seq(Messages)
    }
}

/// Tool definitions, counted in passing; null counts as none.
pub(super) struct ToolCount(pub(super) u32);

impl<'de> Deserialize<'de> for ToolCount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let tools = Option::<Vec<IgnoredAny>>::deserialize(deserializer)?;
        Ok(Self(tools.map_or(0, |tools| u32::try_from(tools.len()).unwrap_or(u32::MAX))))
    }
}

struct Message(Parts);

impl<'de> Deserialize<'de> for Message {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OneMessage;
        impl<'de> Visitor<'de> for OneMessage {
            type Value = Message;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a message object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Message, A::Error> {
                let (mut role, mut parts) = (false, Parts::default());
                while let Some(key) = map.next_key::<Name>()? {
                    match key.0.as_ref() {
                        "role" => {
                            let name = map.next_value::<Name>()?;
                            if !ROLES.contains(&name.0.as_ref()) {
                                return Err(A::Error::custom(format_args!(
                                    "unknown role {:?}: use one of {}",
                                    name.0,
                                    ROLES.join(", ")
                                )));
                            }
                            role = true;
                        }
                        "content" => parts = map.next_value::<Parts>()?,
                        "audio" => {
                            if map.next_value::<Option<IgnoredAny>>()?.is_some() {
                                parts.unbounded += 1;
                            }
                        }
                        _ => {
                            map.next_value::<IgnoredAny>()?;
                        }
                    }
                }
                if role { Ok(Message(parts)) } else { Err(A::Error::custom("a message has no role")) }
            }
        }
        deserializer.deserialize_map(OneMessage)
    }
}

/// A string that is borrowed unless it has escapes.
#[derive(serde::Deserialize)]
#[serde(transparent)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

/// The content of one message: text, or parts.
#[derive(Clone, Copy, Default)]
struct Parts {
    images: u32,
    unbounded: u32,
    not_text: u64,
}

impl<'de> Deserialize<'de> for Parts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Content;
        impl<'de> Visitor<'de> for Content {
            type Value = Parts;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("content as a string or an array of parts")
            }

            fn visit_str<E>(self, _: &str) -> Result<Parts, E> {
                Ok(Parts::default())
            }

            fn visit_unit<E>(self) -> Result<Parts, E> {
                Ok(Parts::default())
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Parts, A::Error> {
                let mut parts = Parts::default();
                while let Some(part) = seq.next_element::<Part>()? {
                    match part.kind.as_ref().map(|kind| kind.0.as_ref()) {
                        Some("text" | "refusal") => {}
                        Some("image_url") => {
                            parts.images += 1;
                            parts.not_text +=
                                part.image_url.and_then(|i| i.url).map_or(0, |url| url.get().len() as u64);
                        }
                        _ => parts.unbounded += 1,
                    }
                }
                Ok(parts)
            }
        }
        deserializer.deserialize_any(Content)
    }
}

#[derive(serde::Deserialize)]
struct Part<'a> {
    #[serde(rename = "type", borrow, default)]
    kind: Option<Name<'a>>,
    #[serde(borrow, default)]
    image_url: Option<ImageUrl<'a>>,
}

#[derive(serde::Deserialize)]
struct ImageUrl<'a> {
    #[serde(borrow, default)]
    url: Option<&'a RawValue>,
}
