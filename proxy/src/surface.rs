//! Client dialects: bytes of one vendor's API in, the internal form out, and back.

pub mod openai;
