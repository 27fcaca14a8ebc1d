//! Vectors as they come in; the answer in the client's shape, in the order of its texts, out.

use super::endpoint::Endpoint;
use super::read::numbers;
use super::tab::Tab;
use super::vectors::Key;
use crate::stack::respond::Reply;
use crate::surface::sagemaker;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::{BufMut, Bytes, BytesMut};
use http::HeaderMap;
use std::sync::Arc;
use tollway_core::spend::{Nano, Usage};
use tollway_core::table::Payload;

/// Bytes of a token where nobody counts them, for the usage that a client is shown; money goes by the bound.
const BYTES_PER_TOKEN: u64 = 4;

/// A vector's text of so many bytes is handed on as it is; copying a shorter one costs less than a piece of its own.
const LARGE: usize = 2048;

/// The shape a client wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// OpenAI's list.
    List { base64: bool },
    /// A line for each vector, as soon as it is there and all before it are.
    Lines { base64: bool },
    /// What the endpoint's own container answers.
    Native(Payload),
}

impl Form {
    /// Whether the answer is a stream of lines.
    #[must_use]
    pub const fn is_lines(self) -> bool {
        matches!(self, Self::Lines { .. })
    }
}

/// A complete answer.
#[derive(Debug)]
pub struct Answered {
    /// In pieces, one after the other.
    pub body: Vec<Bytes>,
    pub head: Head,
    /// What else clients of this shape read.
    pub headers: HeaderMap,
    pub usage: Option<Usage>,
    pub cost: Nano,
}

/// What the head of an answer says.
#[derive(Clone, Copy, Debug)]
pub struct Head {
    /// `hit`, `partial`, `miss` or `off`.
    pub cache: &'static str,
    pub content_type: &'static str,
}

/// An answer that is being put together.
#[derive(Debug)]
pub struct Assembly {
    form: Form,
    /// By place in the request.
    vectors: Vec<Option<Bytes>>,
    missing: usize,
    kept: usize,
    /// Of each text that is asked for, by its number: its name, and its places in the request.
    asked: Vec<(Key, Vec<usize>)>,
    caches: bool,
}

impl Assembly {
    #[must_use]
    pub fn new(texts: usize, form: Form, caches: bool) -> Self {
        let vectors = vec![None; texts];
        Self { form, vectors, missing: texts, kept: 0, asked: Vec::new(), caches }
    }

    /// A vector was at hand.
    pub fn put(&mut self, place: usize, vector: Bytes) {
        self.kept += 1;
        self.fill(place, vector);
    }

    /// The next text that is asked for belongs here.
    pub fn awaits(&mut self, place: usize, key: Key) {
        self.asked.push((key, vec![place]));
    }

    /// The text of that number stands here too.
    pub fn same(&mut self, number: usize, place: usize) {
        if let Some((_, places)) = self.asked.get_mut(number) {
            places.push(place);
        }
    }

    /// The text of that number is embedded.
    pub fn arrived(&mut self, number: usize, vector: &Bytes) {
        let places = self.asked.get_mut(number).map(|(_, places)| std::mem::take(places)).unwrap_or_default();
        for place in places {
            self.fill(place, vector.clone());
        }
    }

    fn fill(&mut self, place: usize, vector: Bytes) {
        if let Some(free @ None) = self.vectors.get_mut(place) {
            self.missing -= 1;
            *free = Some(vector);
        }
    }

    pub const fn form(&self) -> Form {
        self.form
    }

    pub const fn kept(&self) -> usize {
        self.kept
    }

    pub const fn is_complete(&self) -> bool {
        self.missing == 0
    }

    /// The name of the text of that number.
    pub fn key(&self, number: usize) -> Option<Key> {
        self.asked.get(number).map(|(key, _)| *key)
    }

    /// Takes the vector of a place, when it is there.
    pub fn take(&mut self, place: usize) -> Option<Bytes> {
        self.vectors.get_mut(place)?.take()
    }

    pub const fn texts(&self) -> usize {
        self.vectors.len()
    }

    pub const fn head(&self) -> Head {
        let cache = match (self.caches, self.kept, self.asked.len()) {
            (false, ..) => "off",
            (true, 0, _) => "miss",
            (true, _, 0) => "hit",
            (true, ..) => "partial",
        };
        let content_type = if self.form.is_lines() { "application/x-ndjson" } else { "application/json" };
        Head { cache, content_type }
    }

    /// The complete answer.
    pub fn reply(self, endpoint: &Endpoint, tab: Option<&Arc<Tab>>) -> Reply {
        let (usage, cost) = super::bill(tab);
        let tokens = usage.map_or_else(|| tab.map_or(0, |tab| tab.bytes() / BYTES_PER_TOKEN), |usage| usage.input);
        let (head, mut headers) = (self.head(), HeaderMap::new());
        if matches!(self.form, Form::Native(_)) {
            sagemaker::introduce(&mut headers, &endpoint.config);
        }
        let body = self.render(&endpoint.config.model, tokens);
        Reply::Vectors(Answered { body, head, headers, usage, cost })
    }

    fn render(self, model: &str, tokens: u64) -> Vec<Bytes> {
        let copied = |vector: &Bytes| if vector.len() < LARGE { vector.len() } else { 0 };
        let size: usize = self.vectors.iter().flatten().map(copied).sum();
        let mut out = BytesMut::with_capacity(size + self.vectors.len() * 64 + 256);
        let mut pieces = Vec::new();
        let (before, base64) = match self.form {
            Form::Lines { base64 } => {
                self.vectors.iter().flatten().enumerate().for_each(|(at, vector)| line(&mut out, at, vector, base64));
                out.put_slice(usage_line(model, tokens).as_bytes());
                return vec![out.freeze()];
            }
            Form::List { base64 } => (r#"{"object":"list","data":["#, base64),
            Form::Native(Payload::OpenAi) => (r#"{"object":"list","data":["#, false),
            Form::Native(Payload::Inputs) => (r#"{"embeddings":["#, false),
            Form::Native(Payload::Tei) => ("[", false),
        };
        let is_list = before.contains("data");
        out.put_slice(before.as_bytes());
        for (index, vector) in self.vectors.into_iter().flatten().enumerate() {
            if index > 0 {
                out.put_u8(b',');
            }
            if is_list {
                begin(&mut out, index);
            }
            if base64 || vector.len() < LARGE {
                value(&mut out, &vector, base64);
            } else {
                pieces.extend([out.split().freeze(), vector]);
            }
            if is_list {
                out.put_u8(b'}');
            }
        }
        match self.form {
            Form::Native(Payload::Inputs) => out.put_slice(b"]}"),
            Form::Native(Payload::Tei) => out.put_slice(b"]"),
            Form::List { .. } | Form::Lines { .. } | Form::Native(Payload::OpenAi) => {
                let model = serde_json::Value::from(model);
                let end =
                    format!("],\"model\":{model},\"usage\":{{\"prompt_tokens\":{tokens},\"total_tokens\":{tokens}}}}}");
                out.put_slice(end.as_bytes());
            }
        }
        pieces.push(out.freeze());
        pieces
    }
}

/// One item of OpenAI's list.
pub fn item(out: &mut BytesMut, index: usize, vector: &[u8], base64: bool) {
    begin(out, index);
    value(out, vector, base64);
    out.put_u8(b'}');
}

/// What stands before an item's vector.
fn begin(out: &mut BytesMut, index: usize) {
    out.put_slice(format!("{{\"object\":\"embedding\",\"index\":{index},\"embedding\":").as_bytes());
}

/// One line of a stream.
pub fn line(out: &mut BytesMut, index: usize, vector: &[u8], base64: bool) {
    out.put_slice(format!("{{\"index\":{index},\"embedding\":").as_bytes());
    value(out, vector, base64);
    out.put_slice(b"}\n");
}

/// The line that ends a stream.
pub fn last_line(model: &str, tab: &Arc<Tab>) -> (Bytes, Option<Usage>, Nano) {
    let (usage, cost) = super::bill(Some(tab));
    let tokens = usage.map_or_else(|| tab.bytes() / BYTES_PER_TOKEN, |usage| usage.input);
    (Bytes::from(usage_line(model, tokens)), usage, cost)
}

fn usage_line(model: &str, tokens: u64) -> String {
    let line = serde_json::json!({"model": model, "usage": {"prompt_tokens": tokens, "total_tokens": tokens}});
    format!("{line}\n")
}

fn value(out: &mut BytesMut, vector: &[u8], base64: bool) {
    if base64 {
        let bytes: Vec<u8> = numbers(vector).iter().flat_map(|number| number.to_le_bytes()).collect();
        out.put_u8(b'"');
        out.put_slice(STANDARD.encode(bytes).as_bytes());
        out.put_u8(b'"');
    } else {
        out.put_slice(vector);
    }
}
