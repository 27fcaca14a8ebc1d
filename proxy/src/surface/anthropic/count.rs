//! Counting tokens: a request's size in, an estimate as the dialect's answer out.

use crate::chat::Size;
use bytes::Bytes;

/// Bytes of text that are taken for one token.
const BYTES: u64 = 4;
/// Tokens taken for a picture or a document.
const PICTURE: u64 = 1_600;
/// Tokens taken for the framing of a message.
const MESSAGE: u64 = 4;

/// The answer of a target that cannot count.
#[must_use]
pub fn estimate(size: &Size) -> Bytes {
    let Size { text_bytes, messages, tools: _, images, unbounded } = *size;
    let pictures = u64::from(images) + u64::from(unbounded);
    let tokens = text_bytes.div_ceil(BYTES) + u64::from(messages) * MESSAGE + pictures * PICTURE;
    Bytes::from(format!("{{\"input_tokens\":{tokens},\"estimated\":true}}"))
}
