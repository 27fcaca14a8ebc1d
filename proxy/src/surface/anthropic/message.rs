//! System prompt and messages of the dialect in, content of the internal form out.

use crate::chat::{Block, CacheTtl, Document, Image, Json, Message, Role, Source};
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

/// The system prompt: text, or blocks of text.
pub(super) fn system(node: &Node<'_>) -> Result<Vec<Block>, ApiError> {
    if node.is_string() {
        return Ok(vec![Block::Text(node.string()?)]);
    }
    let nodes = node.array().map_err(|_| node.wrong("a string or an array of text blocks"))?;
    let mut blocks = Vec::with_capacity(nodes.len());
    for node in &nodes {
        block(node, None, &mut blocks)?;
    }
    Ok(blocks)
}

fn message(node: &Node<'_>) -> Result<Message, ApiError> {
    let mut fields = node.object()?;
    let role = fields.need("role")?;
    let role = match role.string()?.as_str() {
        "user" => Role::User,
        "assistant" => Role::Assistant,
        other => return Err(role.invalid(format!("unknown role {other:?}: use \"user\" or \"assistant\""))),
    };
    let said = fields.need("content")?;
    fields.finish()?;
    Ok(Message { role, content: content(&said, Some(role))?, name: None })
}

/// Content as text or as blocks.
fn content(node: &Node<'_>, role: Option<Role>) -> Result<Vec<Block>, ApiError> {
    if node.is_string() {
        return Ok(vec![Block::Text(node.string()?)]);
    }
    let nodes = node.array().map_err(|_| node.wrong("a string or an array of blocks"))?;
    let mut blocks = Vec::with_capacity(nodes.len());
    for node in &nodes {
        block(node, role, &mut blocks)?;
    }
    Ok(blocks)
}

/// One block; `role` is absent where only plain content may stand: in a system prompt or a tool's result.
fn block(node: &Node<'_>, role: Option<Role>, blocks: &mut Vec<Block>) -> Result<(), ApiError> {
    let mut fields = node.object()?;
    let kind = fields.need("type")?;
    let block = match (kind.string()?.as_str(), role) {
        ("text", _) => {
            // Where an earlier answer took its words from: nothing that the model reads again.
            let _ = fields.take("citations");
            Block::Text(fields.need("text")?.string()?)
        }
        ("image", _) => Block::Image(image(&fields.need("source")?)?),
        ("document", _) => Block::Document(document(&mut fields)?),
        ("tool_result", Some(Role::User)) => Block::ToolResult {
            id: fields.need("tool_use_id")?.non_empty_string()?,
            content: fields.take("content").map_or(Ok(Vec::new()), |node| content(&node, None))?,
            is_error: fields.take("is_error").map(|node| node.boolean()).transpose()?.unwrap_or(false),
        },
        ("tool_use", Some(Role::Assistant)) => {
            let input = fields.need("input")?;
            // Who called: always the model itself for tools that the client runs.
            let _ = fields.take("caller");
            Block::ToolUse {
                id: fields.need("id")?.non_empty_string()?,
                name: fields.need("name")?.non_empty_string()?,
                input: if input.json().is_object() { input.json() } else { return Err(input.wrong("an object")) },
            }
        }
        ("thinking", Some(Role::Assistant)) => Block::Reasoning {
            text: fields.need("thinking")?.string()?,
            signature: fields
                .take("signature")
                .map(|node| node.string())
                .transpose()?
                .filter(|signature| !signature.is_empty()),
        },
        ("redacted_thinking", Some(Role::Assistant)) => {
            Block::RedactedReasoning(fields.need("data")?.non_empty_string()?)
        }
        ("tool_result" | "tool_use" | "thinking" | "redacted_thinking", _) => {
            return Err(kind.invalid(format!("blocks of type {:?} have no place here", kind.string()?)));
        }
        (other, _) => {
            return Err(ApiError::unsupported(
                kind.path.as_str(),
                format!("{}: blocks of type {other:?} have no translation for this model", kind.path),
            ));
        }
    };
    let cache = fields.take("cache_control").map(|node| cache_ttl(&node)).transpose()?;
    fields.finish()?;
    blocks.push(block);
    blocks.extend(cache.map(Block::CachePoint));
    Ok(())
}

/// How long a prompt prefix stays cached.
pub(super) fn cache_ttl(node: &Node<'_>) -> Result<CacheTtl, ApiError> {
    let mut control = node.object()?;
    let kind = control.need("type")?;
    if kind.string()? != "ephemeral" {
        return Err(kind.invalid("must be \"ephemeral\""));
    }
    let Some(ttl) = control.take("ttl") else { return Ok(CacheTtl::FiveMinutes) };
    match ttl.string()?.as_str() {
        "5m" => Ok(CacheTtl::FiveMinutes),
        "1h" => Ok(CacheTtl::OneHour),
        other => Err(ttl.invalid(format!("{other:?} is unknown: use \"5m\" or \"1h\""))),
    }
}

fn image(node: &Node<'_>) -> Result<Image, ApiError> {
    let mut source = node.object()?;
    let (media_type, source) = located(node, &mut source)?;
    Ok(Image { media_type, source, detail: None })
}

fn document(fields: &mut Object<'_>) -> Result<Document, ApiError> {
    if let Some(node) = fields.take("citations")
        && node.object()?.take("enabled").map_or(Ok(false), |node| node.boolean())?
    {
        return Err(ApiError::unsupported(
            node.path.as_str(),
            format!("{}: citations have no translation for this model; disable them", node.path),
        ));
    }
    let name = fields.take("title").map(|node| node.string()).transpose()?;
    let node = fields.need("source")?;
    let mut source = node.object()?;
    let (media_type, source) = located(&node, &mut source)?;
    Ok(Document { name, media_type, source })
}

/// A media type and where the bytes are.
fn located(node: &Node<'_>, source: &mut Object<'_>) -> Result<(String, Source), ApiError> {
    let kind = source.need("type")?;
    match kind.string()?.as_str() {
        "base64" => {
            let media_type = source.need("media_type")?.non_empty_string()?;
            let data = source.need("data")?;
            let bytes =
                Source::from_base64(data.string()?).ok_or_else(|| data.invalid("is not base64 with padding"))?;
            Ok((media_type, bytes))
        }
        "text" => {
            let text = source.need("data")?.non_empty_string()?;
            Ok(("text/plain".to_owned(), Source::Base64(aws_smithy_types::base64::encode(text))))
        }
        "url" => {
            let url = source.need("url")?;
            let text = url.non_empty_string()?;
            if !text.starts_with("https://") && !text.starts_with("http://") {
                return Err(url.invalid("must be an http(s) URL"));
            }
            Ok((String::new(), Source::Url(text)))
        }
        "file" => Ok((String::new(), Source::Stored(source.need("file_id")?.non_empty_string()?))),
        other => Err(ApiError::unsupported(
            kind.path.as_str(),
            format!("{}: sources of type {other:?} have no translation for this model", node.path),
        )),
    }
}

/// A JSON Schema, which is an object.
pub(super) fn schema(node: &Node<'_>) -> Result<Json, ApiError> {
    let json = node.json();
    if json.is_object() { Ok(json) } else { Err(node.wrong("a JSON Schema object")) }
}
