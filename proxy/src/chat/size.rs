//! `Size`: how large an upstream request is, for the bound on what it can cost.

/// What the input bound is computed from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Size {
    /// UTF-8 bytes the model may read as text: at least the text of the final upstream request.
    pub text_bytes: u64,
    /// Messages, system prompts included.
    pub messages: u32,
    /// Tool definitions.
    pub tools: u32,
    /// Pictures.
    pub images: u32,
    /// Parts whose tokens no byte count bounds: documents, audio, fetched files. With any, only the context window bounds the input.
    pub unbounded: u32,
}
