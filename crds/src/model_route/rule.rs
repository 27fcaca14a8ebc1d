//! Rules: which requests go to which targets.

use crate::scalar::Name;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One routing rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("self.split.exists(s, s.weight > 0)").message("at least one weight of a split must be above 0").field_path(".split")
)]
pub struct Rule {
    /// Name for logs and status, unique in the route. Default: the rule's position, from 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<Name>,
    /// Every condition given must hold. Absent: always.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when: Option<When>,
    /// First choice, drawn by weight for each request.
    #[schemars(length(min = 1, max = 32))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["target".into()]))]
    pub split: Vec<Weighted>,
    /// Names of targets tried in order after the first choice. Default: none. Once a byte has reached the client there is no fallback.
    #[schemars(length(max = 32))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fallback: Vec<Name>,
}

/// A target and its share.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Weighted {
    /// Name of a target of this route.
    pub target: Name,
    /// Share relative to the other weights; 0 takes the target out of the draw.
    #[schemars(range(max = 1_000_000))]
    pub weight: u32,
}

/// Conditions of a rule; at least one is given, and all given must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.prompt) || has(self.headers) || has(self.user) || has(self.inputTokens)").message("a when needs at least one of prompt, headers, user and inputTokens; leave when out to match everything")
)]
pub struct When {
    /// What the prompt is about, by a scorer over its text. What is judged is the client's last message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt: Option<PromptMatch>,
    /// Request headers, each with exactly this value.
    #[schemars(length(max = 16))]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<HeaderMatch>,
    /// The request's user is one of these.
    #[schemars(length(max = 256), inner(length(min = 1, max = 256)))]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub user: Vec<String>,
    /// Estimated input tokens (UTF-8 bytes / 4).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input_tokens: Option<InputTokens>,
}

/// What the prompt is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PromptMatch {
    /// The class the scorer must give.
    pub class: PromptClass,
}

/// Classes of prompts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum PromptClass {
    /// Source code is asked for or about.
    Code,
    /// Several steps of thought are needed.
    Reasoning,
    /// A short question with a short answer.
    Simple,
    /// Anything else.
    General,
}

/// A header with one value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HeaderMatch {
    /// Header name; case does not matter.
    #[schemars(length(min = 1, max = 256), regex(pattern = "^[-!#$%&'*+.^_`|~0-9A-Za-z]+$"))]
    pub name: String,
    /// Exact value.
    #[schemars(length(max = 4096))]
    pub value: String,
}

/// A range of input tokens; at least one end is given.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.min) || has(self.max)").message("give min, max or both"),
    validation = Rule::new("!has(self.min) || !has(self.max) || self.min <= self.max").message("min must not be above max")
)]
pub struct InputTokens {
    /// At least so many. Default 0.
    #[schemars(range(max = 1_000_000_000))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min: Option<u32>,
    /// At most so many. Default: no limit.
    #[schemars(range(max = 1_000_000_000))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<u32>,
}
