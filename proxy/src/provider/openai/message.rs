//! Messages of the internal form in, messages of the chat completions dialect out.
//!
//! # What has no place of its own
//! A tool message holds only text: pictures of a result follow in a user message that names the call. A failed call's
//! text begins with `Error:`. Thoughts and cache points belong to another provider and stay behind.

use crate::chat::{Audio, Block, Document, Image, Role, Size, Source};
use crate::error::ApiError;
use crate::provider::names::{ToolNames, call_id};
use serde_json::{Value, json};

/// Translates a conversation and counts what it costs to read.
pub(super) struct Translator<'n> {
    names: &'n mut ToolNames,
    pub(super) size: Size,
    /// Base64 bytes of pictures in the body: no text.
    pub(super) picture_bytes: u64,
}

impl<'n> Translator<'n> {
    pub(super) fn new(names: &'n mut ToolNames) -> Self {
        Self { names, size: Size::default(), picture_bytes: 0 }
    }

    pub(super) fn conversation(
        &mut self,
        system: &[Block],
        messages: &[crate::chat::Message],
    ) -> Result<Vec<Value>, ApiError> {
        let mut all = Vec::with_capacity(messages.len() + 1);
        if !system.is_empty() {
            self.said("system", system, None, "system", &mut all)?;
        }
        for (i, message) in messages.iter().enumerate() {
            let path = format!("messages[{i}].content");
            let name = message.name.as_deref();
            match message.role {
                Role::System => self.said("system", &message.content, name, &path, &mut all)?,
                Role::User => self.user(&message.content, name, &path, &mut all)?,
                Role::Assistant => self.assistant(&message.content, name, &path, &mut all)?,
            }
        }
        self.size.messages = u32::try_from(all.len()).unwrap_or(u32::MAX);
        Ok(all)
    }

    /// A message of nothing but content.
    fn said(
        &mut self,
        role: &str,
        blocks: &[Block],
        name: Option<&str>,
        path: &str,
        all: &mut Vec<Value>,
    ) -> Result<(), ApiError> {
        let mut parts = Vec::with_capacity(blocks.len());
        for (j, block) in blocks.iter().enumerate() {
            parts.extend(self.part(block, &format!("{path}[{j}]"))?);
        }
        if !parts.is_empty() {
            let mut message = json!({"role": role, "content": plain(parts)});
            if let Some(name) = name {
                message["name"] = json!(name);
            }
            all.push(message);
        }
        Ok(())
    }

    /// Results first, each in a message of its own right after the calls; then what else the user says.
    fn user(&mut self, blocks: &[Block], name: Option<&str>, path: &str, all: &mut Vec<Value>) -> Result<(), ApiError> {
        let mut parts = Vec::new();
        for (j, block) in blocks.iter().enumerate() {
            let at = format!("{path}[{j}]");
            let Block::ToolResult { id, content, is_error } = block else {
                parts.extend(self.part(block, &at)?);
                continue;
            };
            let (mut texts, mut pictures) = (Vec::new(), Vec::new());
            for block in content {
                match block {
                    Block::Text(text) => texts.push(text.as_str()),
                    Block::Image(_) | Block::Document(_) => pictures.extend(self.part(block, &at)?),
                    Block::CachePoint(_) => {}
                    _ => return Err(unsupported(&at, "a tool result can only hold text, images and documents")),
                }
            }
            let mut text = texts.join("\n");
            if *is_error && !text.get(..5).is_some_and(|start| start.eq_ignore_ascii_case("error")) {
                text = format!("Error: {text}");
            }
            let id = call_id(id);
            if !pictures.is_empty() {
                parts.push(json!({"type": "text", "text": format!("Result of call {id}:")}));
                parts.append(&mut pictures);
            }
            all.push(json!({"role": "tool", "tool_call_id": id, "content": text}));
        }
        if !parts.is_empty() {
            let mut message = json!({"role": "user", "content": plain(parts)});
            if let Some(name) = name {
                message["name"] = json!(name);
            }
            all.push(message);
        }
        Ok(())
    }

    fn assistant(
        &mut self,
        blocks: &[Block],
        name: Option<&str>,
        path: &str,
        all: &mut Vec<Value>,
    ) -> Result<(), ApiError> {
        let (mut parts, mut calls) = (Vec::new(), Vec::new());
        let mut refusal = None;
        for (j, block) in blocks.iter().enumerate() {
            match block {
                Block::ToolUse { id, name, input } => calls.push(json!({
                    "id": call_id(id), "type": "function",
                    "function": {"name": self.names.upstream(name), "arguments": input.get()},
                })),
                Block::Refusal(text) => refusal = Some(text),
                _ => parts.extend(self.part(block, &format!("{path}[{j}]"))?),
            }
        }
        if parts.is_empty() && calls.is_empty() && refusal.is_none() {
            return Ok(());
        }
        let content = if parts.is_empty() { Value::Null } else { plain(parts) };
        let mut message = json!({"role": "assistant", "content": content});
        if let Some(name) = name {
            message["name"] = json!(name);
        }
        if let Some(refusal) = refusal {
            message["refusal"] = json!(refusal);
        }
        if !calls.is_empty() {
            message["tool_calls"] = Value::Array(calls);
        }
        all.push(message);
        Ok(())
    }

    /// One part of content; none when it says nothing here.
    fn part(&mut self, block: &Block, at: &str) -> Result<Option<Value>, ApiError> {
        Ok(match block {
            Block::Text(text) => (!text.is_empty()).then(|| json!({"type": "text", "text": text})),
            Block::Refusal(text) => Some(json!({"type": "text", "text": text})),
            Block::Image(image) => Some(self.image(image, at)?),
            Block::Document(document) => Some(self.document(document, at)?),
            Block::Audio(audio) => Some(self.audio(audio, at)?),
            Block::Reasoning { .. } | Block::RedactedReasoning(_) | Block::CachePoint(_) => None,
            Block::ToolUse { .. } | Block::ToolResult { .. } => {
                return Err(unsupported(at, "a tool call has no place here"));
            }
        })
    }

    fn image(&mut self, image: &Image, at: &str) -> Result<Value, ApiError> {
        self.size.images = self.size.images.saturating_add(1);
        let url = match &image.source {
            Source::Url(url) => url.clone(),
            Source::Base64(data) => {
                self.picture_bytes += data.len() as u64;
                format!("data:{};base64,{data}", image.media_type)
            }
            Source::Stored(_) => {
                return Err(unsupported(at, "this model takes images as base64 or by address, not by file id"));
            }
        };
        let mut inner = json!({"url": url});
        if let Some(detail) = &image.detail {
            inner["detail"] = json!(detail);
        }
        Ok(json!({"type": "image_url", "image_url": inner}))
    }

    fn document(&mut self, document: &Document, at: &str) -> Result<Value, ApiError> {
        let Source::Base64(data) = &document.source else {
            return Err(unsupported(at, "this model takes documents only as base64, not by address or file id"));
        };
        let name = document.name.as_deref();
        if document.media_type == "text/plain" {
            let bytes = aws_smithy_types::base64::decode(data).ok();
            let text = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
            let text = text.ok_or_else(|| unsupported(at, "the document is not text in UTF-8"))?;
            let text = name.map_or_else(|| text.clone(), |name| format!("{name}\n\n{text}"));
            return Ok(json!({"type": "text", "text": text}));
        }
        self.size.unbounded = self.size.unbounded.saturating_add(1);
        let file_data = format!("data:{};base64,{data}", document.media_type);
        let filename = name.unwrap_or("document.pdf");
        Ok(json!({"type": "file", "file": {"filename": filename, "file_data": file_data}}))
    }

    fn audio(&mut self, audio: &Audio, at: &str) -> Result<Value, ApiError> {
        let Source::Base64(data) = &audio.source else {
            return Err(unsupported(at, "this model takes recordings only as base64"));
        };
        self.size.unbounded = self.size.unbounded.saturating_add(1);
        Ok(json!({"type": "input_audio", "input_audio": {"data": data, "format": audio.format}}))
    }
}

/// One text is text: many servers of the dialect read nothing else.
fn plain(mut parts: Vec<Value>) -> Value {
    match parts.as_mut_slice() {
        [part] if part["type"] == "text" => part["text"].take(),
        _ => Value::Array(parts),
    }
}

fn unsupported(at: &str, what: &str) -> ApiError {
    ApiError::unsupported(at, format!("{at}: {what}"))
}
