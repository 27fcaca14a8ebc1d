//! `ChatRequest`: what a client asks for, in no vendor's dialect.

use super::content::{Block, CacheTtl, Role};
use super::json::Json;
use std::collections::BTreeMap;

/// One chat request.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ChatRequest {
    /// Model name as the client sent it.
    pub model: String,
    /// Instructions that the client gave apart from the conversation.
    pub system: Vec<Block>,
    /// The conversation, oldest first; system messages stand where the client put them.
    pub messages: Vec<Message>,
    /// Tools the model may call.
    pub tools: Vec<Tool>,
    /// Which of them it may or must call.
    pub tool_choice: Option<ToolChoice>,
    /// Whether several calls may come in one turn; absent: the provider's default.
    pub parallel_tool_calls: Option<bool>,
    /// How tokens are drawn.
    pub sampling: Sampling,
    /// Most output tokens; reasoning counts.
    pub max_tokens: Option<u32>,
    /// Completions wanted; at least 1.
    pub n: u32,
    /// Texts that end the answer.
    pub stop: Vec<String>,
    /// Form of the answer.
    pub response_format: ResponseFormat,
    /// How long the model may think before it answers.
    pub effort: Option<Effort>,
    /// The answer comes as a stream.
    pub stream: bool,
    /// What the stream carries besides.
    pub stream_options: StreamOptions,
    /// End user as the client named them.
    pub user: Option<String>,
    /// Labels of the client.
    pub metadata: BTreeMap<String, String>,
    /// Fields that only the client's own dialect has and that would change the answer, by name. A provider of another
    /// dialect refuses the first one.
    pub dialect_only: BTreeMap<String, Json>,
}

/// One turn.
#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    /// Who speaks.
    pub role: Role,
    /// What is said.
    pub content: Vec<Block>,
    /// Name of the speaker, to tell several of one role apart.
    pub name: Option<String>,
}

/// A function the model may call.
#[derive(Clone, Debug, PartialEq)]
pub struct Tool {
    /// Name the model calls it by.
    pub name: String,
    /// What it does.
    pub description: Option<String>,
    /// JSON Schema of the arguments; an object.
    pub schema: Json,
    /// Arguments must follow the schema exactly.
    pub strict: Option<bool>,
    /// The definitions up to here may be cached.
    pub cache_point: Option<CacheTtl>,
}

/// Which tools the model may or must call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ToolChoice {
    /// The model decides.
    Auto,
    /// None.
    Never,
    /// At least one, whichever.
    Required,
    /// This one.
    Named(String),
}

/// How tokens are drawn. Absent: the route's default, else the provider's.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sampling {
    /// 0 to 2.
    pub temperature: Option<f64>,
    /// 0 to 1.
    pub top_p: Option<f64>,
    /// Only the k likeliest tokens.
    pub top_k: Option<u32>,
    /// -2 to 2.
    pub frequency_penalty: Option<f64>,
    /// -2 to 2.
    pub presence_penalty: Option<f64>,
    /// Asks for a repeatable draw; best effort everywhere.
    pub seed: Option<i64>,
}

/// Form of the answer.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum ResponseFormat {
    /// Free text.
    #[default]
    Text,
    /// Any JSON object.
    JsonObject,
    /// JSON that follows a schema.
    JsonSchema {
        /// Name of the schema.
        name: String,
        /// What it is for.
        description: Option<String>,
        /// JSON Schema; an object.
        schema: Json,
        /// The answer must follow it exactly.
        strict: bool,
    },
}

/// How long the model may think.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effort {
    /// Not at all.
    Off,
    /// As little as possible.
    Minimal,
    /// A little.
    Low,
    /// Somewhat.
    Medium,
    /// Long.
    High,
    /// This many tokens.
    Tokens(u32),
}

/// What a stream carries besides content.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StreamOptions {
    /// A last chunk with the usage.
    pub include_usage: bool,
}

impl ChatRequest {
    /// The text of the user's last turn.
    #[must_use]
    pub fn asked(&self) -> String {
        let text = |block: &Block| match block {
            Block::Text(text) => Some(text.clone()),
            _ => None,
        };
        let texts = |message: &Message| {
            let texts: Vec<String> = message.content.iter().filter_map(text).collect();
            (message.role == Role::User && !texts.is_empty()).then(|| texts.join("\n"))
        };
        self.messages.iter().rev().find_map(texts).unwrap_or_default()
    }

    /// Puts `name` on the list of fields that only the client's own dialect has.
    pub fn keep_dialect_only(&mut self, name: &str, value: Json) {
        self.dialect_only.insert(name.to_owned(), value);
    }
}
