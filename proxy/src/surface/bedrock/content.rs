//! System blocks and messages of the dialect in, messages of the internal form out.

use crate::chat::{Audio, Block, CacheTtl, Document, Image, Json, Message, Role, Source};
use crate::error::ApiError;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde::de::IgnoredAny;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Turn {
    role: WireRole,
    content: Vec<WireBlock>,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum WireRole {
    User,
    Assistant,
    System,
}

/// A system prompt comes in the same blocks.
pub(super) type System = WireBlock;

/// One content block: exactly one of its kinds.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct WireBlock {
    #[serde(default)]
    text: Option<String>,
    #[serde(default)]
    image: Option<WireImage>,
    #[serde(default)]
    document: Option<WireDocument>,
    #[serde(default)]
    audio: Option<WireAudio>,
    #[serde(default)]
    tool_use: Option<ToolUse>,
    #[serde(default)]
    tool_result: Option<ToolResult>,
    #[serde(default)]
    reasoning_content: Option<Reasoning>,
    #[serde(default)]
    cache_point: Option<CachePoint>,
    #[serde(default)]
    citations_content: Option<Citations>,
    /// A tool's result may be JSON.
    #[serde(default)]
    json: Option<Json>,
}

#[derive(Deserialize)]
struct WireImage {
    format: String,
    source: WireSource,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WireDocument {
    #[serde(default)]
    format: Option<String>,
    #[serde(default)]
    name: Option<String>,
    source: WireSource,
    #[serde(default)]
    context: Option<String>,
    #[serde(default)]
    citations: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct WireAudio {
    format: String,
    source: WireSource,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct WireSource {
    #[serde(default)]
    bytes: Option<String>,
    #[serde(default)]
    text: Option<String>,
    #[serde(default)]
    s3_location: Option<Location>,
    #[serde(default)]
    content: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct Location {
    uri: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ToolUse {
    tool_use_id: String,
    name: String,
    input: Json,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ToolResult {
    tool_use_id: String,
    content: Vec<WireBlock>,
    #[serde(default)]
    status: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Reasoning {
    #[serde(default)]
    reasoning_text: Option<ReasoningText>,
    #[serde(default)]
    redacted_content: Option<String>,
}

#[derive(Deserialize)]
struct ReasoningText {
    text: String,
    #[serde(default)]
    signature: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct CachePoint {
    #[serde(default)]
    ttl: Option<String>,
}

impl CachePoint {
    pub(super) fn lives(&self) -> CacheTtl {
        if self.ttl.as_deref() == Some("1h") { CacheTtl::OneHour } else { CacheTtl::FiveMinutes }
    }
}

/// An earlier answer with its sources: the text is what was said.
#[derive(Deserialize)]
struct Citations {
    #[serde(default)]
    content: Vec<Cited>,
}

#[derive(Deserialize)]
struct Cited {
    #[serde(default)]
    text: Option<String>,
}

/// The whole conversation: system prompts first.
pub(super) fn messages(system: Vec<System>, turns: Vec<Turn>) -> Result<Vec<Message>, ApiError> {
    let mut all = Vec::with_capacity(turns.len() + 1);
    if !system.is_empty() {
        all.push(Message { role: Role::System, content: blocks(system, "system")?, name: None });
    }
    for (at, Turn { role, content }) in turns.into_iter().enumerate() {
        let role = match role {
            WireRole::User => Role::User,
            WireRole::Assistant => Role::Assistant,
            WireRole::System => Role::System,
        };
        all.push(Message { role, content: blocks(content, &format!("messages[{at}].content"))?, name: None });
    }
    Ok(all)
}

fn blocks(wire: Vec<WireBlock>, place: &str) -> Result<Vec<Block>, ApiError> {
    wire.into_iter().enumerate().map(|(at, wire)| block(wire, &format!("{place}[{at}]"))).collect()
}

fn block(wire: WireBlock, place: &str) -> Result<Block, ApiError> {
    if let Some(text) = wire.text {
        return Ok(Block::Text(text));
    }
    if let Some(WireImage { format, source }) = wire.image {
        let media_type = format!("image/{format}");
        return Ok(Block::Image(Image { media_type, source: found(source, place)?, detail: None }));
    }
    if let Some(wire) = wire.document {
        return document(wire, place);
    }
    if let Some(WireAudio { format, source }) = wire.audio {
        return Ok(Block::Audio(Audio { format, source: found(source, place)? }));
    }
    if let Some(ToolUse { tool_use_id: id, name, input }) = wire.tool_use {
        return Ok(Block::ToolUse { id, name, input });
    }
    if let Some(ToolResult { tool_use_id: id, content, status }) = wire.tool_result {
        let is_error = status.as_deref() == Some("error");
        return Ok(Block::ToolResult {
            id,
            content: blocks(content, &format!("{place}.toolResult.content"))?,
            is_error,
        });
    }
    if let Some(Reasoning { reasoning_text, redacted_content }) = wire.reasoning_content {
        let text = reasoning_text.map(|ReasoningText { text, signature }| Block::Reasoning { text, signature });
        let thought = text.or(redacted_content.map(Block::RedactedReasoning));
        return thought
            .ok_or_else(|| unsupported(place, "a reasoningContent block must hold reasoningText or redactedContent"));
    }
    if let Some(point) = wire.cache_point {
        return Ok(Block::CachePoint(point.lives()));
    }
    if let Some(Citations { content }) = wire.citations_content {
        return Ok(Block::Text(content.into_iter().filter_map(|cited| cited.text).collect()));
    }
    if let Some(json) = wire.json {
        return Ok(Block::Text(json.get().to_owned()));
    }
    Err(unsupported(place, "this kind of content cannot be translated for this model"))
}

fn document(wire: WireDocument, place: &str) -> Result<Block, ApiError> {
    let WireDocument { format, name, source, context, citations } = wire;
    if context.is_some() || citations.is_some() {
        return Err(unsupported(place, "context and citations of a document cannot be translated for this model"));
    }
    let media_type = match format.as_deref() {
        Some("pdf") => "application/pdf",
        Some("csv") => "text/csv",
        Some("doc") => "application/msword",
        Some("docx") => "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
        Some("xls") => "application/vnd.ms-excel",
        Some("xlsx") => "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
        Some("html") => "text/html",
        Some("md") => "text/markdown",
        Some("txt") | None => "text/plain",
        Some(other) => return Err(unsupported(place, &format!("documents of the format {other:?} are not known"))),
    };
    Ok(Block::Document(Document { name, media_type: media_type.to_owned(), source: found(source, place)? }))
}

fn found(source: WireSource, place: &str) -> Result<Source, ApiError> {
    let WireSource { bytes, text, s3_location, content } = source;
    match (bytes, text, s3_location, content) {
        (Some(bytes), None, None, None) => Source::from_base64(bytes)
            .ok_or_else(|| ApiError::invalid(format!("{place}: source.bytes is not base64")).param(place)),
        (None, Some(text), None, None) => Ok(Source::Base64(STANDARD.encode(text))),
        (None, None, Some(Location { uri }), None) => Ok(Source::Stored(uri)),
        _ => Err(unsupported(place, "a source must be bytes, text or s3Location")),
    }
}

fn unsupported(place: &str, why: &str) -> ApiError {
    ApiError::unsupported(place, format!("{place}: {why}"))
}
