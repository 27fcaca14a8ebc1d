//! Messages of the internal form in, the dialect's system blocks and messages out.

use super::wire::{Block as Wire, CacheControl, Content, Message, Role as WireRole, Source as WireSource};
use crate::chat::{Block, CacheTtl, Document, Image, Role, Size, Source};
use crate::error::ApiError;
use crate::provider::names::{ToolNames, call_id};

/// Translates a conversation and counts what it costs to read.
pub(super) struct Translator<'n> {
    pub(super) names: &'n mut ToolNames,
    pub(super) size: Size,
    /// Base64 bytes of pictures in the body: no text.
    pub(super) picture_bytes: u64,
    /// Tools that the conversation calls, in order of their first call.
    pub(super) called: Vec<String>,
}

/// A conversation as the dialect takes it.
pub(super) struct Conversation<'a> {
    pub(super) system: Vec<Wire<'a>>,
    pub(super) messages: Vec<Message<'a>>,
}

impl<'n> Translator<'n> {
    pub(super) fn new(names: &'n mut ToolNames) -> Self {
        Self { names, size: Size::default(), picture_bytes: 0, called: Vec::new() }
    }

    /// System messages go to the front, consecutive messages of one role become one: all results of a turn must stand in
    /// the message after it.
    pub(super) fn conversation<'a>(
        &mut self,
        system: &'a [Block],
        messages: &'a [crate::chat::Message],
    ) -> Result<Conversation<'a>, ApiError> {
        let mut all = Conversation { system: Vec::new(), messages: Vec::<Message<'a>>::new() };
        self.size.messages = u32::from(!system.is_empty());
        self.blocks(system, Role::System, "system", &mut all.system)?;
        for (i, message) in messages.iter().enumerate() {
            self.size.messages = self.size.messages.saturating_add(1);
            let path = format!("messages[{i}].content");
            let role = match message.role {
                Role::System => {
                    self.blocks(&message.content, Role::System, &path, &mut all.system)?;
                    continue;
                }
                Role::User => WireRole::User,
                Role::Assistant => WireRole::Assistant,
            };
            if let Some(last) = all.messages.last_mut().filter(|last| last.role == role) {
                self.blocks(&message.content, message.role, &path, &mut last.content)?;
                continue;
            }
            let mut content = Vec::with_capacity(message.content.len());
            self.blocks(&message.content, message.role, &path, &mut content)?;
            if !content.is_empty() {
                all.messages.push(Message { role, content });
            }
        }
        // What the model goes on from must not end in white space.
        if let Some(Message { role: WireRole::Assistant, content }) = all.messages.last_mut()
            && let Some(Wire { content: Content::Text { text }, .. }) = content.last_mut()
        {
            *text = text.trim_end();
        }
        if all.messages.is_empty() {
            let message = "messages: this model needs a user message that is not blank";
            return Err(ApiError::unsupported("messages", message));
        }
        Ok(all)
    }

    fn blocks<'a>(
        &mut self,
        blocks: &'a [Block],
        role: Role,
        path: &str,
        out: &mut Vec<Wire<'a>>,
    ) -> Result<(), ApiError> {
        for (j, block) in blocks.iter().enumerate() {
            if let Block::CachePoint(ttl) = block {
                // A blank text that was left out takes its cache point along: what stands before ends the prefix.
                if let Some(last) = out.last_mut() {
                    last.cache_control = Some(cache_control(*ttl));
                }
                continue;
            }
            let content = self.block(block, role, &At { path, block: j })?;
            out.extend(content.map(|content| Wire { content, cache_control: None }));
        }
        Ok(())
    }

    /// One block; none when it says nothing that this upstream takes.
    fn block<'a>(&mut self, block: &'a Block, role: Role, at: &At<'_>) -> Result<Option<Content<'a>>, ApiError> {
        if role == Role::System && !matches!(block, Block::Text(_)) {
            return Err(at.unsupported("system messages for this model can only be text"));
        }
        Ok(match block {
            Block::Text(text) | Block::Refusal(text) => (!text.trim().is_empty()).then_some(Content::Text { text }),
            Block::Image(image) => Some(self.image(image, at)?),
            Block::Document(document) => Some(self.document(document, at)?),
            Block::Audio(_) => return Err(at.unsupported("this model takes no audio")),
            Block::ToolUse { id, name, input } => {
                if !self.called.contains(name) {
                    self.called.push(name.clone());
                }
                Some(Content::ToolUse { id: call_id(id), name: self.names.upstream(name), input })
            }
            Block::ToolResult { id, content, is_error } => {
                let mut inner = Vec::with_capacity(content.len());
                for block in content {
                    match block {
                        Block::Text(_) | Block::Image(_) | Block::Document(_) => {
                            let content = self.block(block, role, at)?;
                            inner.extend(content.map(|content| Wire { content, cache_control: None }));
                        }
                        Block::CachePoint(_) => {}
                        _ => return Err(at.unsupported("a tool result can only hold text, images and documents")),
                    }
                }
                Some(Content::ToolResult { tool_use_id: call_id(id), content: inner, is_error: *is_error })
            }
            Block::Reasoning { text, signature } => {
                signature.as_deref().map(|signature| Content::Thinking { thinking: text, signature })
            }
            Block::RedactedReasoning(data) => Some(Content::RedactedThinking { data }),
            Block::CachePoint(_) => None,
        })
    }

    fn image<'a>(&mut self, image: &'a Image, at: &At<'_>) -> Result<Content<'a>, ApiError> {
        self.size.images = self.size.images.saturating_add(1);
        let source = match &image.source {
            Source::Url(url) => WireSource::Url { url },
            Source::Stored(_) => {
                return Err(at.unsupported("this model takes images as base64 or by address, not by file id"));
            }
            Source::Base64(data) => {
                let media_type = match image.media_type.as_str() {
                    "image/jpg" => "image/jpeg",
                    known @ ("image/png" | "image/jpeg" | "image/gif" | "image/webp") => known,
                    other => {
                        let message = format!("this model takes png, jpeg, gif and webp images, not {other:?}");
                        return Err(at.unsupported(&message));
                    }
                };
                self.picture_bytes += data.len() as u64;
                WireSource::Base64 { media_type, data }
            }
        };
        Ok(Content::Image { source })
    }

    fn document<'a>(&mut self, document: &'a Document, at: &At<'_>) -> Result<Content<'a>, ApiError> {
        let title = document.name.as_deref();
        let source = match (&document.source, document.media_type.as_str()) {
            (Source::Url(url), _) => WireSource::Url { url },
            (Source::Base64(data), "application/pdf") => WireSource::Base64 { media_type: "application/pdf", data },
            (Source::Base64(data), "text/plain" | "text/markdown" | "text/csv" | "text/html") => {
                let bytes = aws_smithy_types::base64::decode(data).ok();
                let text = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
                let data = text.ok_or_else(|| at.unsupported("the document is not text in UTF-8"))?;
                return Ok(Content::Document { source: WireSource::Text { media_type: "text/plain", data }, title });
            }
            (Source::Base64(_), other) => {
                return Err(at.unsupported(&format!("this model takes pdf and text documents, not {other:?}")));
            }
            (Source::Stored(_), _) => {
                return Err(at.unsupported("this model takes documents as base64 or by address, not by file id"));
            }
        };
        self.size.unbounded = self.size.unbounded.saturating_add(1);
        Ok(Content::Document { source, title })
    }
}

pub(super) const fn cache_control(ttl: CacheTtl) -> CacheControl {
    let ttl = match ttl {
        CacheTtl::FiveMinutes => None,
        CacheTtl::OneHour => Some("1h"),
    };
    CacheControl { r#type: "ephemeral", ttl }
}

/// Where a block stands, for errors.
struct At<'p> {
    path: &'p str,
    block: usize,
}

impl At<'_> {
    fn unsupported(&self, what: &str) -> ApiError {
        let path = format!("{}[{}]", self.path, self.block);
        ApiError::unsupported(path.as_str(), format!("{path}: {what}"))
    }
}
