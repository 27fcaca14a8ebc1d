//! Upstream dialects: the internal form in, one vendor's request out; that vendor's answer in, the internal form out.

pub mod bedrock;
