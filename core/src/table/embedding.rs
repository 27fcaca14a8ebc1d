//! One compiled EmbeddingEndpoint: where vectors of one model come from, what they must be, how texts share calls.

use super::{Bounds, Cache, CircuitBreaker, OpenAi, Retry, Timeouts};
use crate::spend::Price;
use serde::{Deserialize, Serialize};

/// What leads to an EmbeddingEndpoint in [`super::Table::models`], before its name; route names never hold a slash.
const PREFIX: &str = "EmbeddingEndpoint/";

/// One compiled EmbeddingEndpoint.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Embedding {
    /// Features a proxy must have to serve it; one that lacks any serves 503 for it and Nacks it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub requires: Vec<String>,
    /// The name clients send.
    pub model: String,
    /// Length of every vector.
    pub dimensions: u32,
    /// Whether vectors are scaled to length 1; absent: they are not, and a container that is told such things is told nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub normalize: Option<bool>,
    /// How token embeddings become one vector.
    pub pooling: Pooling,
    /// Tokens kept of each text; absent: too long is an error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_tokens: Option<u32>,
    /// What is done to every text before anything else.
    #[serde(default, skip_serializing_if = "Preprocess::is_nothing")]
    pub preprocess: Preprocess,
    /// Where vectors come from: the endpoint, then its fallbacks in order. Never empty.
    pub sources: Vec<Source>,
    /// How texts share calls.
    pub batching: Batching,
    /// How long texts wait while no copy of an inference component runs, milliseconds.
    #[serde(default)]
    pub cold_wait_ms: u64,
    /// How long vectors are kept by text; absent: not at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache: Option<Cache>,
    /// What a request charges, whoever answers it.
    pub price: Price,
    /// How the tokens of a request are bounded.
    pub bounds: Bounds,
    /// How often and how fast a batch is repeated.
    pub retry: Retry,
    /// When a failing source is left alone.
    pub circuit_breaker: CircuitBreaker,
    /// Limits on waiting.
    pub timeouts: Timeouts,
    /// How very large jobs are done; absent: not at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jobs: Option<Jobs>,
    /// Names of the budgets that bind it, sorted; every one must admit a request.
    pub budgets: Vec<String>,
}

/// One source of vectors.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Source {
    /// `sagemaker`, then `fallback-0` and so on.
    pub name: String,
    /// Where and what it is.
    pub embedder: Embedder,
}

/// What gives vectors.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Embedder {
    /// A SageMaker endpoint.
    SageMaker(SageMaker),
    /// Any server that speaks OpenAI embeddings.
    OpenAi(OpenAi),
}

/// A SageMaker endpoint that returns embeddings.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SageMaker {
    /// Its name.
    pub endpoint_name: String,
    /// The variant called; absent: SageMaker chooses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
    /// The inference component called; absent: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inference_component: Option<String>,
    /// Absent: the proxy's own default region.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// What the container speaks.
    pub payload: Payload,
}

/// What an embedding container speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Payload {
    /// `{"inputs": [...]}`, answered in several forms.
    Inputs,
    /// Text Embeddings Inference's own.
    Tei,
    /// OpenAI's.
    OpenAi,
}

/// How token embeddings become one vector.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Pooling {
    /// The container returns one vector.
    None,
    /// The first token's.
    Cls,
    /// The mean of all tokens'.
    Mean,
}

/// How very large jobs are done.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Jobs {
    /// The bucket of everything about them.
    pub bucket: String,
    /// What all of their keys begin with, without a slash at either end.
    pub prefix: String,
    /// The endpoint that takes the batches; its region and payload are the first source's.
    pub endpoint_name: String,
    /// Where failed items go.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dead_letter: Option<Queue>,
}

/// A queue of SQS.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Queue {
    /// Its name for SQS.
    pub url: String,
    /// Absent: the endpoint's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
}

/// What is done to every text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Preprocess {
    /// Canonical composition of Unicode.
    pub nfc: bool,
    /// Runs of white space become one space, and none is left at the ends.
    pub whitespace: bool,
}

impl Preprocess {
    /// Whether texts go as they come.
    #[must_use]
    pub const fn is_nothing(&self) -> bool {
        !self.nfc && !self.whitespace
    }
}

/// How texts share calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Batching {
    /// Texts in one call at most.
    pub max_items: u32,
    /// How long a text waits for others, milliseconds; longer at a busy endpoint that takes calls in turn.
    pub max_wait_ms: u64,
    /// Calls in flight at once from one proxy.
    pub max_concurrent: u32,
}

impl Embedding {
    /// What stands in [`super::Table::models`] for the endpoint of that name.
    #[must_use]
    pub fn place(name: &str) -> String {
        format!("{PREFIX}{name}")
    }

    /// The endpoint's name, when that is what a place leads to.
    #[must_use]
    pub fn named(place: &str) -> Option<&str> {
        place.strip_prefix(PREFIX)
    }
}
