//! Messages of the internal form in, Converse system blocks and messages out.

use super::family::Family;
use super::wire::{Block as Wire, Bytes, CachePoint, Message, Reasoning, Role as WireRole};
use crate::chat::{Audio, Block, CacheTtl, Document, Image, Role, Size, Source};
use crate::error::ApiError;
use crate::provider::names::{ToolNames, call_id};

/// Translates a conversation and counts what it costs to read.
pub(super) struct Translator<'n> {
    family: Family,
    names: &'n mut ToolNames,
    pub(super) size: Size,
    /// Base64 bytes of pictures in the body: no text.
    pub(super) picture_bytes: u64,
    /// Tools that the conversation calls, in order of their first call.
    pub(super) called: Vec<String>,
    documents: u32,
}

/// A conversation as Converse takes it.
pub(super) struct Conversation<'a> {
    pub(super) system: Vec<Wire<'a>>,
    pub(super) messages: Vec<Message<'a>>,
}

impl<'n> Translator<'n> {
    pub(super) fn new(family: Family, names: &'n mut ToolNames) -> Self {
        Self { family, names, size: Size::default(), picture_bytes: 0, called: Vec::new(), documents: 0 }
    }

    /// System messages go to the front, consecutive messages of one role become one: Converse takes only turns.
    pub(super) fn conversation<'a>(
        &mut self,
        system: &'a [Block],
        messages: &'a [crate::chat::Message],
    ) -> Result<Conversation<'a>, ApiError> {
        let mut all = Conversation { system: Vec::new(), messages: Vec::<Message<'a>>::new() };
        self.size.messages = u32::from(!system.is_empty());
        for (j, block) in system.iter().enumerate() {
            all.system.extend(self.block(block, Role::System, Place { message: None, block: j })?);
        }
        for (i, message) in messages.iter().enumerate() {
            let mut blocks = Vec::with_capacity(message.content.len());
            for (j, block) in message.content.iter().enumerate() {
                blocks.extend(self.block(block, message.role, Place { message: Some(i), block: j })?);
            }
            self.size.messages = self.size.messages.saturating_add(1);
            let role = match message.role {
                Role::System => {
                    all.system.append(&mut blocks);
                    continue;
                }
                Role::User => WireRole::User,
                Role::Assistant => WireRole::Assistant,
            };
            match all.messages.last_mut() {
                // A cache point needs something before it; in a turn that goes on, it has it.
                Some(last) if last.role == role => last.content.append(&mut blocks),
                _ if only_cache_points(&blocks) => {}
                _ => all.messages.push(Message { role, content: blocks }),
            }
        }
        if only_cache_points(&all.system) {
            all.system.clear();
        }
        let wrong = |why| Err(ApiError::unsupported("messages", why));
        match all.messages.first() {
            Some(Message { role: WireRole::User, .. }) => Ok(all),
            Some(_) => {
                wrong("messages: a conversation with this model must begin with a user message that is not blank")
            }
            None => wrong("messages: this model needs a user message that is not blank"),
        }
    }

    /// One block; none when it says nothing that this upstream takes.
    fn block<'a>(&mut self, block: &'a Block, role: Role, at: Place) -> Result<Option<Wire<'a>>, ApiError> {
        if role == Role::System && !matches!(block, Block::Text(_) | Block::CachePoint(_)) {
            return Err(at.unsupported("system messages for this model can only be text"));
        }
        Ok(match block {
            // Converse refuses blank text wherever it stands.
            Block::Text(text) | Block::Refusal(text) => (!text.trim().is_empty()).then_some(Wire::Text(text)),
            Block::Image(image) => Some(self.image(image, at)?),
            Block::Document(document) => Some(self.document(document, at)?),
            Block::Audio(audio) => Some(self.audio(audio, at)?),
            Block::ToolUse { id, name, input } => {
                if !self.called.contains(name) {
                    self.called.push(name.clone());
                }
                Some(Wire::ToolUse { tool_use_id: call_id(id), name: self.names.upstream(name), input })
            }
            Block::ToolResult { id, content, is_error } => {
                let mut inner = Vec::with_capacity(content.len());
                for block in content {
                    match block {
                        Block::Text(_) | Block::Image(_) | Block::Document(_) => {
                            inner.extend(self.block(block, role, at)?);
                        }
                        Block::CachePoint(_) => {}
                        _ => {
                            return Err(
                                at.unsupported("a tool result for this model can only hold text, images and documents")
                            );
                        }
                    }
                }
                let status = is_error.then_some("error");
                Some(Wire::ToolResult { tool_use_id: call_id(id), content: inner, status })
            }
            Block::Reasoning { text, signature } => signature
                .as_deref()
                .map(|signature| Wire::ReasoningContent(Reasoning::ReasoningText { text, signature })),
            Block::RedactedReasoning(data) => Some(Wire::ReasoningContent(Reasoning::RedactedContent(data))),
            Block::CachePoint(ttl) => self.family.takes_cache_points().then(|| Wire::CachePoint(cache_point(*ttl))),
        })
    }

    fn image<'a>(&mut self, image: &'a Image, at: Place) -> Result<Wire<'a>, ApiError> {
        let bytes = at.bytes(&image.source, "images")?;
        let format = match image.media_type.as_str() {
            "image/png" => "png",
            "image/jpeg" | "image/jpg" => "jpeg",
            "image/gif" => "gif",
            "image/webp" => "webp",
            other => {
                return Err(at.unsupported(&format!("this model takes png, jpeg, gif and webp images, not {other:?}")));
            }
        };
        self.size.images = self.size.images.saturating_add(1);
        self.picture_bytes += bytes.len() as u64;
        Ok(Wire::Image { format, source: Bytes { bytes } })
    }

    fn document<'a>(&mut self, document: &'a Document, at: Place) -> Result<Wire<'a>, ApiError> {
        let bytes = at.bytes(&document.source, "documents")?;
        let format = document_format(document).ok_or_else(|| {
            at.unsupported(
                "this model takes pdf, csv, doc, docx, xls, xlsx, html, txt and md documents; say which one by the data: URL's media type",
            )
        })?;
        self.size.unbounded = self.size.unbounded.saturating_add(1);
        self.documents += 1;
        let name = document_name(document.name.as_deref(), self.documents);
        Ok(Wire::Document { format, name, source: Bytes { bytes } })
    }

    fn audio<'a>(&mut self, audio: &'a Audio, at: Place) -> Result<Wire<'a>, ApiError> {
        let bytes = at.bytes(&audio.source, "recordings")?;
        self.size.unbounded = self.size.unbounded.saturating_add(1);
        Ok(Wire::Audio { format: &audio.format, source: Bytes { bytes } })
    }
}

fn only_cache_points(blocks: &[Wire<'_>]) -> bool {
    blocks.iter().all(|block| matches!(block, Wire::CachePoint(_)))
}

pub(super) fn cache_point(ttl: CacheTtl) -> CachePoint {
    let ttl = match ttl {
        CacheTtl::FiveMinutes => None,
        CacheTtl::OneHour => Some("1h"),
    };
    CachePoint { r#type: "default", ttl }
}

/// Where a block stands, for errors.
#[derive(Clone, Copy)]
struct Place {
    /// The message; none in the system prompt.
    message: Option<usize>,
    block: usize,
}

impl Place {
    fn unsupported(self, what: &str) -> ApiError {
        let path = match self.message {
            Some(message) => format!("messages[{message}].content[{}]", self.block),
            None => format!("system[{}]", self.block),
        };
        ApiError::unsupported(path.as_str(), format!("{path}: {what}"))
    }

    fn bytes<'a>(self, source: &'a Source, what: &str) -> Result<&'a str, ApiError> {
        match source {
            Source::Base64(text) => Ok(text),
            Source::Url(_) => {
                Err(self.unsupported(&format!("this model takes {what} only as base64 data: URLs, not as addresses")))
            }
            Source::Stored(_) => {
                Err(self.unsupported(&format!("this model takes {what} only as base64, not by file id")))
            }
        }
    }
}

fn document_format(document: &Document) -> Option<&'static str> {
    const FORMATS: [(&str, &str); 10] = [
        ("application/pdf", "pdf"),
        ("text/csv", "csv"),
        ("application/msword", "doc"),
        ("application/vnd.openxmlformats-officedocument.wordprocessingml.document", "docx"),
        ("application/vnd.ms-excel", "xls"),
        ("application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", "xlsx"),
        ("text/html", "html"),
        ("text/plain", "txt"),
        ("text/markdown", "md"),
        ("text/x-markdown", "md"),
    ];
    let by_type = FORMATS.iter().find(|(media, _)| *media == document.media_type);
    let extension = document.name.as_deref().and_then(|name| name.rsplit_once('.')).map(|(_, end)| end);
    by_type.or_else(|| FORMATS.iter().find(|(_, format)| Some(*format) == extension)).map(|(_, format)| *format)
}

/// A name in the characters that Converse takes, and one of its own in the request.
fn document_name(name: Option<&str>, number: u32) -> String {
    let stem = name.map_or("", |name| name.rsplit_once('.').map_or(name, |(stem, _)| stem));
    let fits = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '-' | '(' | ')' | '[' | ']') { c } else { ' ' };
    let clean: String = stem.chars().take(100).map(fits).collect();
    let words = clean.split_ascii_whitespace().collect::<Vec<_>>().join(" ");
    if words.is_empty() { format!("document {number}") } else { format!("{words} {number}") }
}
