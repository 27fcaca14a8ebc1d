//! A model id in, the family whose habits it shares out.

use serde_json::{Value, json};

/// Models that take the same additional fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    Claude,
    Nova,
    Nova2,
    Mistral,
    Cohere,
    GptOss,
    /// Another known vendor, without a prompt cache and without the extras above.
    Other,
    /// An ARN that does not say what is behind it.
    Unknown,
}

impl Family {
    /// The family of a model id, inference profile id or ARN.
    #[must_use]
    pub fn of(model_id: &str) -> Self {
        // Of an ARN, the resource says the model; of an application inference profile, nothing does.
        let name = model_id.rsplit('/').next().unwrap_or(model_id);
        let vendors = [
            ("anthropic.", Self::Claude),
            ("amazon.nova-2", Self::Nova2),
            ("amazon.nova", Self::Nova),
            ("mistral.", Self::Mistral),
            ("cohere.", Self::Cohere),
            ("openai.", Self::GptOss),
        ];
        match vendors.iter().find(|(prefix, _)| name.contains(prefix)) {
            Some((_, family)) => *family,
            None if model_id.starts_with("arn:") && !name.contains('.') => Self::Unknown,
            None => Self::Other,
        }
    }

    /// The additional field that says top-k, where the family has it.
    pub(crate) fn top_k(self, k: u32) -> Option<(&'static str, Value)> {
        match self {
            Self::Claude | Self::Mistral => Some(("top_k", json!(k))),
            Self::Nova | Self::Nova2 => Some(("inferenceConfig", json!({"topK": k}))),
            Self::Cohere => Some(("k", json!(k))),
            Self::GptOss | Self::Other | Self::Unknown => None,
        }
    }

    /// Whether a cache point may be sent. Elsewhere it would be refused, and it only concerns cost.
    pub(super) const fn takes_cache_points(self) -> bool {
        matches!(self, Self::Claude | Self::Nova | Self::Nova2 | Self::Unknown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_profiles_and_arns_say_their_family() {
        for (id, family) in [
            ("us.anthropic.claude-sonnet-4-5-20250929-v1:0", Family::Claude),
            ("amazon.nova-pro-v1:0", Family::Nova),
            ("global.amazon.nova-2-lite-v1:0", Family::Nova2),
            ("arn:aws:bedrock:us-east-1::foundation-model/mistral.mistral-large-2407-v1:0", Family::Mistral),
            ("arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc123", Family::Unknown),
            ("meta.llama3-1-70b-instruct-v1:0", Family::Other),
            ("openai.gpt-oss-120b-1:0", Family::GptOss),
        ] {
            assert_eq!(Family::of(id), family, "{id}");
        }
    }
}
