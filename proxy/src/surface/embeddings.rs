//! OpenAI's embeddings dialect: request bytes in, `Peek` and the texts out; vectors in, the bytes of an embedding list out.

use super::node::{Node, Object};
use super::{Form, Peek};
use crate::chat::Size;
use crate::error::ApiError;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tollway_core::spend::Usage;

/// Most texts of one request to a route's target, as OpenAI has it.
pub const MOST_TEXTS: usize = 2048;
/// Most texts of one request to an embedding endpoint, which sends them in batches; the limit on bodies comes first for most.
const MOST_BATCHED: usize = 100_000;

/// A request that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// What to embed, in order.
    pub texts: Vec<String>,
    /// Numbers of a vector.
    pub dimensions: Option<u32>,
    /// The client wants vectors as base64 of little-endian floats.
    pub base64: bool,
    /// What the vectors are for, in Cohere's words.
    pub input_type: Option<String>,
    /// The first field that only some server of this dialect understands.
    pub unknown: Option<String>,
}

/// Reads a whole request.
///
/// # Errors
/// What is wrong with it, and which field.
pub fn peek(body: &[u8]) -> Result<Peek, ApiError> {
    let raw: &RawValue = serde_json::from_slice(body)
        .map_err(|error| ApiError::invalid(format!("the body is not well-formed JSON: {error}")))?;
    if !raw.get().starts_with('{') {
        return Err(ApiError::invalid("the body is not a JSON object; it must begin with { and name model and input"));
    }
    let mut fields = Node::new(raw, "").object()?;
    let model = fields.need("model")?.non_empty_string()?;
    let user = fields.take("user").map(|node| node.string()).transpose()?;
    let request = request(&mut fields)?;
    let size = Size { text_bytes: body.len() as u64, ..Size::default() };
    Ok(Peek {
        model,
        stream: false,
        include_usage: false,
        // Nothing is generated, so nothing of it is reserved, counted or charged.
        max_tokens: Some(0),
        n: 1,
        user,
        size,
        form: Form::Embeddings(Request {
            unknown: fields.into_nodes().find(|(_, node)| !node.is_null()).map(|(name, _)| name),
            ..request
        }),
    })
}

/// A text or texts.
///
/// # Errors
/// It is something else, or nothing.
pub(super) fn texts_of(input: &Node<'_>) -> Result<Vec<String>, ApiError> {
    if input.is_string() {
        return Ok(vec![input.non_empty_string()?]);
    }
    let items = input.array().map_err(|_| input.wrong("a string or an array of strings"))?;
    if items.is_empty() || items.len() > MOST_BATCHED {
        return Err(input.invalid(format!("{} texts: send 1 to {MOST_BATCHED}", items.len())));
    }
    let text = |item: &Node<'_>| match item.is_string() {
        true => item.non_empty_string(),
        false => Err(item.invalid("must be a string: token arrays are of one vendor's models; send text")),
    };
    items.iter().map(text).collect()
}

/// Refuses more texts than a route's targets take.
///
/// # Errors
/// There are more.
pub fn check_count(request: &Request) -> Result<(), ApiError> {
    match request.texts.len() {
        0..=MOST_TEXTS => Ok(()),
        more => Err(ApiError::invalid(format!("{more} texts: send 1 to {MOST_TEXTS}")).param("input")),
    }
}

fn request(fields: &mut Object<'_>) -> Result<Request, ApiError> {
    let input = fields.need("input")?;
    let texts = texts_of(&input)?;
    let dimensions = fields.take("dimensions").map(|node| node.whole(1, 65_536)).transpose()?;
    let base64 = match fields.take("encoding_format") {
        None => false,
        Some(node) => match node.string()?.as_str() {
            "float" => false,
            "base64" => true,
            other => return Err(node.invalid(format!("{other:?} is unknown: use \"float\" or \"base64\""))),
        },
    };
    let input_type = fields.take("input_type").map(|node| node.non_empty_string()).transpose()?;
    Ok(Request { texts, dimensions, base64, input_type, unknown: None })
}

#[derive(Serialize)]
struct List<'a> {
    object: &'static str,
    data: Vec<Embedding<'a>>,
    model: &'a str,
    usage: WireUsage,
}

#[derive(Serialize)]
struct Embedding<'a> {
    object: &'static str,
    index: usize,
    embedding: Vector<'a>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Vector<'a> {
    /// The model's own spelling of its numbers.
    Float(&'a RawValue),
    Base64(String),
}

#[derive(Serialize)]
struct WireUsage {
    prompt_tokens: u64,
    total_tokens: u64,
}

/// The body of an answer. A vector is the text of a JSON array of numbers.
///
/// # Errors
/// The position of a vector that is none.
pub fn render(vectors: &[Box<RawValue>], model: &str, tokens: u64, base64: bool) -> Result<Bytes, usize> {
    let mut data = Vec::with_capacity(vectors.len());
    for (index, raw) in vectors.iter().enumerate() {
        let embedding = if base64 {
            let numbers: Vec<f32> = serde_json::from_str(raw.get()).map_err(|_| index)?;
            Vector::Base64(STANDARD.encode(numbers.iter().flat_map(|number| number.to_le_bytes()).collect::<Vec<u8>>()))
        } else {
            Vector::Float(raw)
        };
        data.push(Embedding { object: "embedding", index, embedding });
    }
    let usage = WireUsage { prompt_tokens: tokens, total_tokens: tokens };
    Ok(Bytes::from(serde_json::to_vec(&List { object: "list", data, model, usage }).unwrap_or_default()))
}

/// The usage of a complete answer of the dialect, if it says any.
#[must_use]
pub fn usage_of(body: &[u8]) -> Option<Usage> {
    #[derive(Deserialize)]
    struct Answer {
        usage: Option<Said>,
    }
    #[derive(Deserialize)]
    struct Said {
        prompt_tokens: u64,
    }
    let said = serde_json::from_slice::<Answer>(body).ok()?.usage?;
    Some(Usage { input: said.prompt_tokens, ..Usage::default() })
}

/// The same request under the name that the upstream knows the model by; every other byte stays as it was.
#[must_use]
pub fn rename(body: &Bytes, model: &str) -> Bytes {
    let text = std::str::from_utf8(body).unwrap_or_default();
    let Some(raw) = super::members::members(text).get("model").copied() else { return body.clone() };
    let from = raw.as_ptr() as usize - text.as_ptr() as usize;
    let name = super::edits::json_string(model);
    [&body[..from], name.as_bytes(), &body[from + raw.len()..]].concat().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn read(body: &Value) -> Result<Request, ApiError> {
        match peek(body.to_string().as_bytes())?.form {
            Form::Embeddings(request) => Ok(request),
            form => panic!("{form:?}"),
        }
    }

    #[test]
    fn a_text_or_texts_and_never_tokens() {
        assert_eq!(read(&json!({"model": "m", "input": "a"})).unwrap().texts, ["a"]);
        assert_eq!(read(&json!({"model": "m", "input": ["a", "b"]})).unwrap().texts, ["a", "b"]);
        for (input, param) in [
            (json!([1, 2]), "input[0]"),
            (json!([[1, 2]]), "input[0]"),
            (json!([]), "input"),
            (json!(""), "input"),
            (json!({}), "input"),
            (json!(vec!["x"; MOST_BATCHED + 1]), "input"),
        ] {
            let error = read(&json!({"model": "m", "input": input})).unwrap_err();
            assert_eq!((error.status.as_u16(), error.param.as_deref()), (400, Some(param)), "{error}");
        }
    }

    #[test]
    fn vectors_are_numbers_as_they_came_or_floats_in_base64() {
        let vectors = [RawValue::from_string("[0.10, -2e0]".to_owned()).unwrap()];
        let float = String::from_utf8(render(&vectors, "m", 7, false).unwrap().to_vec()).unwrap();
        assert!(float.contains(r#""embedding":[0.10, -2e0]"#) && float.contains(r#""prompt_tokens":7"#), "{float}");
        let answer: Value = serde_json::from_slice(&render(&vectors, "m", 7, true).unwrap()).unwrap();
        let bytes = STANDARD.decode(answer["data"][0]["embedding"].as_str().unwrap()).unwrap();
        let numbers: Vec<f32> = bytes.chunks(4).map(|four| f32::from_le_bytes(four.try_into().unwrap())).collect();
        assert_eq!(numbers, [0.1, -2.0]);
        assert_eq!(render(&[RawValue::from_string("[true]".to_owned()).unwrap()], "m", 7, true), Err(0));
    }

    #[test]
    fn a_model_is_renamed_and_nothing_else_moves() {
        let body = Bytes::from_static(br#"{ "input": "model", "model":"a" , "x":1}"#);
        assert_eq!(&rename(&body, "b")[..], br#"{ "input": "model", "model":"b" , "x":1}"#);
    }
}
