//! What a simulator knows before the first request: models with prices, keys, the usual answer. In: JSON or a literal; out: [`Config`].

use super::bedrock::signature::Credential;
use super::reply::Reply;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};

/// Settings of one simulator.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Config {
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Models by id. A Bedrock ARN names the model whose id is its last segment.
    pub models: BTreeMap<String, Model>,
    /// AWS keys whose signatures are accepted.
    pub credentials: Vec<Credential>,
    /// Bearer tokens accepted on the Bedrock surface (`AWS_BEARER_TOKEN_BEDROCK`).
    pub bearer_tokens: Vec<String>,
    /// API keys of the OpenAI and Anthropic surfaces; empty: any client may call.
    pub api_keys: Vec<String>,
    /// Where S3 answers, for InvokeEndpointAsync: inputs are read and results written there.
    pub s3: Option<String>,
    /// False: requests on the Bedrock surface need no signature, as for a benchmark.
    pub authenticate: bool,
    /// How far a signature's date may be from now, in seconds.
    pub max_skew_seconds: u64,
    /// The answer when no rule of the script gives one.
    pub reply: Reply,
    /// How many ended requests the log keeps.
    pub keep_requests: usize,
}

/// One model.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Model {
    /// What it charges.
    pub price: Price,
    /// Bytes of UTF-8 a token stands for.
    pub bytes_per_token: u64,
    /// Tokens added for each message.
    pub per_message: u64,
    /// Tokens counted for each image, document or other attachment.
    pub per_attachment: u64,
    /// Most tokens it reads.
    pub context_window: u64,
    /// Most tokens a request may ask for; also the limit when it asks for none.
    pub max_output: u64,
    /// A SageMaker endpoint, or a server at `/v1/embeddings`, that embeds with it.
    pub embeds: Option<Embeds>,
}

/// A container that embeds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Embeds {
    /// What it speaks at SageMaker.
    pub answers: Answers,
    /// Length of its vectors.
    pub dimensions: usize,
    /// Most texts of a call.
    pub most_texts: usize,
    /// Most bytes of a text; longer ones are refused by the container.
    pub most_bytes: usize,
}

/// Forms of an answer with vectors.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answers {
    /// `{"inputs": [...]}` gives `{"embeddings": [[...]]}`.
    #[default]
    Object,
    /// `{"inputs": [...]}` gives `[[...]]`.
    Bare,
    /// `{"inputs": [...]}` gives `[[[...]]]`: three tokens a text, whose mean is its vector.
    Tokens,
    /// `{"input": [...]}` gives `{"data": [{"index", "embedding"}]}`.
    OpenAi,
}

impl Embeds {
    /// A container like Text Embeddings Inference.
    #[must_use]
    pub fn bare(dimensions: usize) -> Self {
        Self { answers: Answers::Bare, dimensions, ..Self::default() }
    }
}

impl Default for Embeds {
    fn default() -> Self {
        Self { answers: Answers::default(), dimensions: 8, most_texts: 64, most_bytes: 4_096 }
    }
}

/// Prices in nano-dollars per million tokens, and per request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Price {
    /// Input tokens neither read from nor written to a cache.
    pub input: u64,
    /// Output tokens.
    pub output: u64,
    /// Input tokens read from the prompt cache.
    pub cache_read: u64,
    /// Input tokens written to the prompt cache.
    pub cache_write: u64,
    /// Each request the model starts on.
    pub per_request: u64,
}

impl Price {
    /// A price in micro-dollars per million tokens: `Price::micro(800_000, 3_200_000)` is 0.80 and 3.20 dollars.
    #[must_use]
    pub const fn micro(input: u64, output: u64) -> Self {
        Self { input: input * 1_000, output: output * 1_000, cache_read: 0, cache_write: 0, per_request: 0 }
    }
}

impl Default for Model {
    fn default() -> Self {
        Self {
            price: Price::default(),
            bytes_per_token: 4,
            per_message: 4,
            per_attachment: 1_600,
            context_window: 128_000,
            max_output: 10_000,
            embeds: None,
        }
    }
}

impl Model {
    /// A model with this price and the usual limits.
    #[must_use]
    pub fn priced(price: Price) -> Self {
        Self { price, ..Self::default() }
    }
}

impl Default for Config {
    fn default() -> Self {
        let on_bedrock =
            |input, output, context_window| Model { context_window, ..Model::priced(Price::micro(input, output)) };
        let models = [
            ("amazon.nova-micro-v1:0", on_bedrock(35_000, 140_000, 128_000)),
            ("amazon.nova-lite-v1:0", on_bedrock(60_000, 240_000, 300_000)),
            ("amazon.nova-pro-v1:0", on_bedrock(800_000, 3_200_000, 300_000)),
            ("us.amazon.nova-micro-v1:0", on_bedrock(35_000, 140_000, 128_000)),
            ("us.amazon.nova-lite-v1:0", on_bedrock(60_000, 240_000, 300_000)),
            ("us.amazon.nova-pro-v1:0", on_bedrock(800_000, 3_200_000, 300_000)),
            ("anthropic.claude-sonnet-4-5-20250929-v1:0", on_bedrock(3_000_000, 15_000_000, 200_000)),
            ("amazon.titan-embed-text-v2:0", on_bedrock(20_000, 0, 8_192)),
            ("cohere.embed-english-v3", on_bedrock(100_000, 0, 49_152)),
            ("amazon.titan-text-express-v1", on_bedrock(200_000, 600_000, 8_000)),
            ("ai21.j2-ultra-v1", on_bedrock(18_800_000, 18_800_000, 8_191)),
            ("meta.llama2-70b-chat-v1", on_bedrock(1_950_000, 2_560_000, 4_096)),
            ("codellama-70b", Model::default()),
            ("vllm-chat", Model::default()),
            ("helper", Model::default()),
            ("us.meta.llama3-3-70b-instruct-v1:0", on_bedrock(720_000, 720_000, 128_000)),
            ("mistral.mistral-large-2402-v1:0", on_bedrock(4_000_000, 12_000_000, 32_000)),
            ("claude-sonnet-4-5", on_bedrock(3_000_000, 15_000_000, 200_000)),
            ("llama3:8b", Model::default()),
            ("bge-m3-embeddings", Model { embeds: Some(Embeds::bare(1024)), ..Model::default() }),
        ];
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            models: models.into_iter().map(|(id, model)| (id.to_owned(), model)).collect(),
            credentials: vec![Credential::example()],
            bearer_tokens: vec!["bedrock-api-key-simulated".to_owned()],
            api_keys: Vec::new(),
            s3: None,
            authenticate: true,
            max_skew_seconds: 300,
            reply: Reply::text("The toll is paid and the road is open."),
            keep_requests: 10_000,
        }
    }
}

impl Config {
    /// The model `id` names, directly or as the last segment of an ARN.
    pub(super) fn model(&self, id: &str) -> Option<(&str, &Model)> {
        let last = if id.starts_with("arn:") { id.rsplit('/').next() } else { None };
        [Some(id), last]
            .into_iter()
            .flatten()
            .find_map(|id| self.models.get_key_value(id))
            .map(|(id, model)| (id.as_str(), model))
    }
}
