//! Messages of the dialect in, messages of the internal form out.

use super::wire::ROLES;
use crate::chat::{Audio, Block, CacheTtl, Document, Image, Json, Message, Role, Source};
use crate::error::ApiError;
use crate::surface::node::{Node, Object};

/// Every message of the conversation.
pub(super) fn messages(node: &Node<'_>) -> Result<Vec<Message>, ApiError> {
    let nodes = node.array()?;
    if nodes.is_empty() {
        return Err(node.invalid("is empty: send at least one message"));
    }
    nodes.iter().map(message).collect()
}

fn message(node: &Node<'_>) -> Result<Message, ApiError> {
    let mut fields = node.object()?;
    let role = fields.need("role")?;
    let name = fields.take("name").map(|node| node.string()).transpose()?;
    let (role, content) = match role.string()?.as_str() {
        "system" | "developer" => (Role::System, content(&fields.need("content")?)?),
        "user" => (Role::User, content(&fields.need("content")?)?),
        "assistant" => (Role::Assistant, assistant(node, &mut fields)?),
        "tool" => {
            let id = fields.need("tool_call_id")?.non_empty_string()?;
            let content = content(&fields.need("content")?)?;
            (Role::User, vec![Block::ToolResult { id, content, is_error: false }])
        }
        "function" => {
            return Err(ApiError::unsupported(
                role.path.as_str(),
                format!(
                    "{}: \"function\" is deprecated and has no translation; use tools and the role \"tool\"",
                    role.path
                ),
            ));
        }
        other => return Err(role.invalid(format!("unknown role {other:?}: use one of {}", ROLES.join(", ")))),
    };
    fields.finish()?;
    Ok(Message { role, content, name })
}

/// What the model said before: thoughts, text, calls, in that order.
fn assistant(node: &Node<'_>, fields: &mut Object<'_>) -> Result<Vec<Block>, ApiError> {
    let mut blocks = Vec::new();
    let thought = fields.take("reasoning_content");
    match fields.take("thinking_blocks") {
        Some(signed) => {
            for block in signed.array()? {
                blocks.push(thinking_block(&block)?);
            }
        }
        None => {
            if let Some(thought) = thought {
                blocks.push(Block::Reasoning { text: thought.string()?, signature: None });
            }
        }
    }
    let said = fields.take("content");
    let has_content = said.is_some();
    if let Some(said) = said {
        blocks.extend(content(&said)?);
    }
    if let Some(refusal) = fields.take("refusal") {
        blocks.push(Block::Refusal(refusal.string()?));
    }
    // Answers carry these back in the history; they say nothing that the model reads.
    let _ = fields.take("annotations");
    match fields.take("tool_calls") {
        Some(calls) => {
            for call in calls.array()? {
                blocks.push(tool_call(&call)?);
            }
        }
        None if !has_content && blocks.is_empty() => {
            return Err(node.invalid("an assistant message needs content or tool_calls"));
        }
        None => {}
    }
    Ok(blocks)
}

fn thinking_block(node: &Node<'_>) -> Result<Block, ApiError> {
    let mut fields = node.object()?;
    let kind = fields.need("type")?;
    match kind.string()?.as_str() {
        "thinking" => Ok(Block::Reasoning {
            text: fields.need("thinking")?.string()?,
            signature: fields.take("signature").map(|node| node.string()).transpose()?,
        }),
        "redacted_thinking" => Ok(Block::RedactedReasoning(fields.need("data")?.string()?)),
        other => Err(kind.invalid(format!("{other:?} is unknown: use \"thinking\" or \"redacted_thinking\""))),
    }
}

fn tool_call(node: &Node<'_>) -> Result<Block, ApiError> {
    let mut call = node.object()?;
    let id = call.need("id")?.non_empty_string()?;
    if let Some(kind) = call.take("type")
        && kind.string()? != "function"
    {
        return Err(ApiError::unsupported(
            kind.path.as_str(),
            format!("{}: only \"function\" can be translated", kind.path),
        ));
    }
    let mut function = call.need("function")?.object()?;
    let name = function.need("name")?.non_empty_string()?;
    let arguments = function.need("arguments")?;
    let text = arguments.string()?;
    let input = match text.trim() {
        "" => Json::empty_object(),
        text => Json::parse(text)
            .ok()
            .filter(Json::is_object)
            .ok_or_else(|| arguments.invalid("must be the text of a JSON object"))?,
    };
    Ok(Block::ToolUse { id, name, input })
}

/// Content as text or as parts.
fn content(node: &Node<'_>) -> Result<Vec<Block>, ApiError> {
    if node.is_string() {
        return Ok(vec![Block::Text(node.string()?)]);
    }
    let parts = node.array().map_err(|_| node.wrong("a string or an array of parts"))?;
    let mut blocks = Vec::with_capacity(parts.len());
    for part in &parts {
        content_part(part, &mut blocks)?;
    }
    Ok(blocks)
}

fn content_part(node: &Node<'_>, blocks: &mut Vec<Block>) -> Result<(), ApiError> {
    let mut part = node.object()?;
    let kind = part.need("type")?;
    let block = match kind.string()?.as_str() {
        "text" => Block::Text(part.need("text")?.string()?),
        "refusal" => Block::Refusal(part.need("refusal")?.string()?),
        "image_url" => Block::Image(image(&part.need("image_url")?)?),
        "file" => Block::Document(file(&part.need("file")?)?),
        "input_audio" => {
            let mut audio = part.need("input_audio")?.object()?;
            let data = audio.need("data")?;
            Block::Audio(Audio {
                format: audio.need("format")?.non_empty_string()?,
                source: base64(&data, data.string()?)?,
            })
        }
        other => {
            return Err(ApiError::unsupported(
                kind.path.as_str(),
                format!("{}: parts of type {other:?} have no translation; use text, image_url or file", kind.path),
            ));
        }
    };
    let cache = part.take("cache_control").map(|node| cache_ttl(&node)).transpose()?;
    part.finish()?;
    blocks.push(block);
    blocks.extend(cache.map(Block::CachePoint));
    Ok(())
}

pub(super) fn cache_ttl(node: &Node<'_>) -> Result<CacheTtl, ApiError> {
    let Some(ttl) = node.object()?.take("ttl") else { return Ok(CacheTtl::FiveMinutes) };
    match ttl.string()?.as_str() {
        "5m" => Ok(CacheTtl::FiveMinutes),
        "1h" => Ok(CacheTtl::OneHour),
        other => Err(ttl.invalid(format!("{other:?} is unknown: use \"5m\" or \"1h\""))),
    }
}

fn image(node: &Node<'_>) -> Result<Image, ApiError> {
    let mut image = node.object()?;
    let url = image.need("url")?;
    let detail = image.take("detail").map(|node| node.string()).transpose()?;
    image.finish()?;
    let (media_type, source) = located(&url, url.non_empty_string()?)?;
    Ok(Image { media_type, source, detail })
}

fn file(node: &Node<'_>) -> Result<Document, ApiError> {
    let mut file = node.object()?;
    let name = file.take("filename").map(|node| node.string()).transpose()?;
    let data = file.take("file_data");
    let id = file.take("file_id");
    file.finish()?;
    match (data, id) {
        (Some(data), _) => {
            let (media_type, source) = located(&data, data.non_empty_string()?)?;
            Ok(Document { name, media_type, source })
        }
        (None, Some(id)) => {
            Ok(Document { name, media_type: String::new(), source: Source::Stored(id.non_empty_string()?) })
        }
        (None, None) => Err(node.invalid("needs file_data or file_id")),
    }
}

/// A data URL's media type and bytes, or an address.
pub(in crate::surface) fn located(node: &Node<'_>, text: String) -> Result<(String, Source), ApiError> {
    let Some(rest) = text.get(..5).filter(|scheme| scheme.eq_ignore_ascii_case("data:")).map(|_| &text[5..]) else {
        return if text.starts_with("https://") || text.starts_with("http://") {
            Ok((String::new(), Source::Url(text)))
        } else {
            Err(node.invalid("must be a data: URL with base64, or an http(s) URL"))
        };
    };
    let (head, data) =
        rest.split_once(',').ok_or_else(|| node.invalid("the data: URL has no comma before its data"))?;
    let media = head.strip_suffix(";base64").ok_or_else(|| node.invalid("the data: URL must be base64"))?;
    let media_type = media.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    Ok((media_type, base64(node, data.to_owned())?))
}

/// Checked base64 of at least one byte.
fn base64(node: &Node<'_>, text: String) -> Result<Source, ApiError> {
    Source::from_base64(text).ok_or_else(|| node.invalid("is not base64 with padding"))
}
