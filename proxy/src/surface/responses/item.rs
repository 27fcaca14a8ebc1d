//! Input items of the dialect in, messages of the internal form out.

use super::object::REDACTED;
use crate::chat::{Block, Document, Image, Json, Message, Role, Source};
use crate::error::ApiError;
use crate::surface::node::{Node, Object};
use crate::surface::openai::located;

/// The whole input: a user's text, or items.
pub(super) fn input(node: &Node<'_>, messages: &mut Vec<Message>) -> Result<(), ApiError> {
    if node.is_string() {
        messages.push(Message { role: Role::User, content: vec![Block::Text(node.string()?)], name: None });
        return Ok(());
    }
    let items = node.array().map_err(|_| node.wrong("a string or an array of items"))?;
    if items.is_empty() {
        return Err(node.invalid("is empty: send at least one item"));
    }
    for item in &items {
        let (role, content) = self::item(item)?;
        match messages.last_mut() {
            // The model's thoughts, words and calls are items of their own here, and one turn everywhere else.
            Some(last) if role == Role::Assistant && last.role == role => last.content.extend(content),
            _ => messages.push(Message { role, content, name: None }),
        }
    }
    Ok(())
}

fn item(node: &Node<'_>) -> Result<(Role, Vec<Block>), ApiError> {
    let mut item = node.object()?;
    // Items of earlier answers come back with these; they say nothing that a model reads.
    for name in ["id", "status", "phase"] {
        item.take(name).map(|node| node.string()).transpose()?;
    }
    let kind = item.take("type");
    let name = kind.as_ref().map_or(Ok("message".to_owned()), Node::string)?;
    let read = match name.as_str() {
        "message" => message(&mut item)?,
        "function_call" => (Role::Assistant, vec![call(&mut item)?]),
        "function_call_output" => {
            let id = item.need("call_id")?.non_empty_string()?;
            let content = parts(&item.need("output")?)?;
            (Role::User, vec![Block::ToolResult { id, content, is_error: false }])
        }
        "reasoning" => (Role::Assistant, reasoning(&mut item)?),
        other => {
            let path = kind.map_or_else(|| node.path.clone(), |kind| kind.path);
            let why = format!(
                "{path}: items of type {other:?} have no translation; use message, function_call, function_call_output or reasoning"
            );
            return Err(ApiError::unsupported(path, why));
        }
    };
    item.finish()?;
    Ok(read)
}

fn message(item: &mut Object<'_>) -> Result<(Role, Vec<Block>), ApiError> {
    let role = item.need("role")?;
    let role = match role.string()?.as_str() {
        "system" | "developer" => Role::System,
        "user" => Role::User,
        "assistant" => Role::Assistant,
        other => {
            return Err(role.invalid(format!("unknown role {other:?}: use system, developer, user or assistant")));
        }
    };
    Ok((role, parts(&item.need("content")?)?))
}

fn call(item: &mut Object<'_>) -> Result<Block, ApiError> {
    let id = item.need("call_id")?.non_empty_string()?;
    let name = item.need("name")?.non_empty_string()?;
    let arguments = item.need("arguments")?;
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

fn reasoning(item: &mut Object<'_>) -> Result<Vec<Block>, ApiError> {
    let mut text = String::new();
    for (list, wanted) in [("summary", "summary_text"), ("content", "reasoning_text")] {
        let Some(parts) = item.take(list) else { continue };
        for part in parts.array()? {
            let mut part = part.object()?;
            let kind = part.need("type")?;
            if kind.string()? != wanted {
                return Err(kind.invalid(format!("must be {wanted:?}")));
            }
            let said = part.need("text")?.string()?;
            part.finish()?;
            // The whole thought stands beside its summary where a provider gives both.
            if list == "summary" || text.is_empty() {
                text.push_str(&said);
            }
        }
    }
    let proof = item.take("encrypted_content").map(|node| node.string()).transpose()?.filter(|proof| !proof.is_empty());
    Ok(match proof {
        Some(proof) => vec![match proof.strip_prefix(REDACTED) {
            Some(data) => Block::RedactedReasoning(data.to_owned()),
            None => Block::Reasoning { text, signature: Some(proof) },
        }],
        None if text.is_empty() => Vec::new(),
        None => vec![Block::Reasoning { text, signature: None }],
    })
}

/// Content as text or as parts.
fn parts(node: &Node<'_>) -> Result<Vec<Block>, ApiError> {
    if node.is_string() {
        return Ok(vec![Block::Text(node.string()?)]);
    }
    let parts = node.array().map_err(|_| node.wrong("a string or an array of parts"))?;
    parts.iter().map(part).collect()
}

fn part(node: &Node<'_>) -> Result<Block, ApiError> {
    let mut part = node.object()?;
    let kind = part.need("type")?;
    let block = match kind.string()?.as_str() {
        "input_text" => Block::Text(part.need("text")?.string()?),
        "output_text" => {
            // Answers carry these back in the history; they say nothing that the model reads.
            for name in ["annotations", "logprobs"] {
                part.take(name).map(|node| node.array()).transpose()?;
            }
            Block::Text(part.need("text")?.string()?)
        }
        "refusal" => Block::Refusal(part.need("refusal")?.string()?),
        "input_image" => Block::Image(image(node, &mut part)?),
        "input_file" => Block::Document(file(node, &mut part)?),
        other => {
            let why = format!(
                "{}: parts of type {other:?} have no translation; use input_text, input_image or input_file",
                kind.path
            );
            return Err(ApiError::unsupported(kind.path.as_str(), why));
        }
    };
    part.finish()?;
    Ok(block)
}

fn image(node: &Node<'_>, part: &mut Object<'_>) -> Result<Image, ApiError> {
    let detail = part.take("detail").map(|node| node.string()).transpose()?;
    let (url, id) = (part.take("image_url"), part.take("file_id"));
    let (media_type, source) = match (url, id) {
        (Some(url), _) => located(&url, url.non_empty_string()?)?,
        (None, Some(id)) => (String::new(), Source::Stored(id.non_empty_string()?)),
        (None, None) => return Err(node.invalid("needs image_url or file_id")),
    };
    Ok(Image { media_type, source, detail })
}

fn file(node: &Node<'_>, part: &mut Object<'_>) -> Result<Document, ApiError> {
    let name = part.take("filename").map(|node| node.string()).transpose()?;
    let (data, url, id) = (part.take("file_data"), part.take("file_url"), part.take("file_id"));
    let (media_type, source) = match (data.or(url), id) {
        (Some(data), _) => located(&data, data.non_empty_string()?)?,
        (None, Some(id)) => (String::new(), Source::Stored(id.non_empty_string()?)),
        (None, None) => return Err(node.invalid("needs file_data, file_url or file_id")),
    };
    Ok(Document { name, media_type, source })
}
