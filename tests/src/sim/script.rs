//! Which request gets which fault, pace and answer: rules in, a [`Decision`] for each request out.

use super::reply::Reply;
use serde::{Deserialize, Serialize};

/// What happens to some of the requests. Rules are asked in order; each that fires gives what no earlier one gave.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Rule {
    /// Only requests for this model; absent: any.
    pub model: Option<String>,
    /// Only streams (true) or only plain requests (false); absent: both.
    pub stream: Option<bool>,
    /// Which of the matching requests.
    pub when: When,
    /// What goes wrong.
    pub fault: Option<Fault>,
    /// How fast the answer comes.
    pub pace: Option<Pace>,
    /// The answer.
    pub reply: Option<Reply>,
}

/// Which of the requests a rule matches it acts upon.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum When {
    /// All of them.
    #[default]
    Always,
    /// The next so many; then the rule is gone.
    Times(u64),
    /// The n-th, 2n-th, 3n-th and so on.
    Every(u64),
    /// Each with this probability, drawn from a generator seeded so that a run can be repeated.
    Probability {
        /// Between 0 and 1.
        of: f64,
        /// Start of the sequence.
        seed: u64,
    },
}

/// How fast an answer comes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Pace {
    /// Milliseconds before the first token.
    pub first_token_ms: u64,
    /// Then so many tokens a second; 0: as fast as the client reads.
    pub tokens_per_second: u32,
}

/// What goes wrong with one request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum Fault {
    /// An error answer before the model starts.
    #[serde(rename_all = "camelCase")]
    Error {
        /// Which.
        name: Exception,
        /// `Retry-After` in seconds.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        retry_after: Option<u64>,
    },
    /// Any status with any body, as a load balancer in front would send.
    Status {
        /// HTTP status.
        status: u16,
        /// Body, sent as text/html.
        body: String,
    },
    /// An error inside the stream after so many events; for a plain request the same error before the model starts.
    #[serde(rename_all = "camelCase")]
    StreamError {
        /// Which.
        name: Exception,
        /// Events that still arrive.
        after_events: usize,
    },
    /// Silence.
    Stall {
        /// Where.
        at: Point,
        /// How long; absent: until the client leaves, and inside a stream until `Sim::release` at the latest.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        ms: Option<u64>,
    },
    /// The connection is cut; inside a stream in the middle of the next event.
    Cut {
        /// Where.
        at: Point,
    },
    /// Bytes that are not what they should be.
    #[serde(rename_all = "camelCase")]
    Corrupt {
        /// In what way.
        kind: Corruption,
        /// Events that still arrive whole.
        after_events: usize,
    },
    /// The connection is cut and connects are refused for a while.
    Refuse {
        /// How long.
        ms: u64,
    },
}

/// A place in an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum Point {
    /// Before the status line.
    Headers,
    /// After the headers, before any event; in a plain answer before any of the body.
    FirstToken,
    /// After so many events; in a plain answer half-way through the body.
    Events(usize),
    /// Half-way through the body.
    Body,
}

/// How bytes go bad.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Corruption {
    /// A frame whose checksum is wrong; on the OpenAI surface a line of broken JSON.
    Checksum,
    /// Bytes that never were a frame.
    Garbage,
    /// Vectors that are one number too long; what is none is as with `Garbage`.
    Dimensions,
}

/// The errors of the Converse operations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Exception {
    #[serde(rename = "AccessDeniedException")]
    AccessDenied,
    #[serde(rename = "ResourceNotFoundException")]
    ResourceNotFound,
    #[serde(rename = "ThrottlingException")]
    Throttling,
    #[serde(rename = "ModelTimeoutException")]
    ModelTimeout,
    #[serde(rename = "InternalServerException")]
    InternalServer,
    #[serde(rename = "ServiceUnavailableException")]
    ServiceUnavailable,
    #[serde(rename = "ValidationException")]
    Validation,
    #[serde(rename = "ModelNotReadyException")]
    ModelNotReady,
    #[serde(rename = "ModelErrorException")]
    ModelError,
    #[serde(rename = "ModelStreamErrorException")]
    ModelStreamError,
    #[serde(rename = "ServiceQuotaExceededException")]
    ServiceQuotaExceeded,
}

impl Exception {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::AccessDenied,
        Self::ResourceNotFound,
        Self::Throttling,
        Self::ModelTimeout,
        Self::InternalServer,
        Self::ServiceUnavailable,
        Self::Validation,
        Self::ModelNotReady,
        Self::ModelError,
        Self::ModelStreamError,
        Self::ServiceQuotaExceeded,
    ];

    /// Those that a stream can carry.
    pub const IN_STREAM: [Self; 5] =
        [Self::InternalServer, Self::ModelStreamError, Self::Validation, Self::Throttling, Self::ServiceUnavailable];

    /// Its name on the wire, its HTTP status and the words that come with it.
    #[must_use]
    pub fn wire(self) -> (&'static str, u16, &'static str) {
        match self {
            Self::AccessDenied => {
                ("AccessDeniedException", 403, "You don't have access to the model with the specified model ID.")
            }
            Self::ResourceNotFound => (
                "ResourceNotFoundException",
                404,
                "Could not resolve the foundation model from the provided model identifier.",
            ),
            Self::Throttling => ("ThrottlingException", 429, "Too many requests, please wait before trying again."),
            Self::ModelTimeout => {
                ("ModelTimeoutException", 408, "Model has timed out in processing the request. Try your request again.")
            }
            Self::InternalServer => (
                "InternalServerException",
                500,
                "The system encountered an unexpected error during processing. Try your request again.",
            ),
            Self::ServiceUnavailable => {
                ("ServiceUnavailableException", 503, "Bedrock is unable to process your request.")
            }
            Self::Validation => {
                ("ValidationException", 400, "The request does not satisfy the constraints of the model.")
            }
            Self::ModelNotReady => {
                ("ModelNotReadyException", 429, "Model is not ready for inference. Wait and try your request again.")
            }
            Self::ModelError => ("ModelErrorException", 424, "The model failed to process the request."),
            Self::ModelStreamError => {
                ("ModelStreamErrorException", 424, "The model encountered an error while streaming the response.")
            }
            Self::ServiceQuotaExceeded => {
                ("ServiceQuotaExceededException", 400, "Your request exceeds the service quota for your account.")
            }
        }
    }
}

impl Rule {
    fn of(fault: Fault) -> Self {
        Self { fault: Some(fault), ..Self::default() }
    }

    /// Answer with `reply`.
    #[must_use]
    pub fn reply(reply: Reply) -> Self {
        Self { reply: Some(reply), ..Self::default() }
    }

    /// Answer at this pace.
    #[must_use]
    pub fn pace(first_token_ms: u64, tokens_per_second: u32) -> Self {
        Self { pace: Some(Pace { first_token_ms, tokens_per_second }), ..Self::default() }
    }

    /// Answer with an error before the model starts.
    #[must_use]
    pub fn error(name: Exception) -> Self {
        Self::of(Fault::Error { name, retry_after: None })
    }

    /// The same, with `Retry-After`.
    #[must_use]
    pub fn error_retry_after(name: Exception, seconds: u64) -> Self {
        Self::of(Fault::Error { name, retry_after: Some(seconds) })
    }

    /// Answer with this status and body.
    #[must_use]
    pub fn status(status: u16, body: impl Into<String>) -> Self {
        Self::of(Fault::Status { status, body: body.into() })
    }

    /// What SageMaker's runtime says while no copy of an inference component runs.
    #[must_use]
    pub fn no_capacity() -> Self {
        let message = "Inference Component has no capacity to process this request. ApplicationAutoScaling may be in-progress (if \
            configured) or try to increase the capacity by invoking UpdateInferenceComponentRuntimeConfig API.";
        Self::status(400, serde_json::json!({ "Message": message }).to_string())
    }

    /// Fail inside the stream after so many events.
    #[must_use]
    pub fn stream_error(name: Exception, after_events: usize) -> Self {
        Self::of(Fault::StreamError { name, after_events })
    }

    /// Say nothing more from here until the client leaves.
    #[must_use]
    pub fn stall(at: Point) -> Self {
        Self::of(Fault::Stall { at, ms: None })
    }

    /// Say nothing for so long, then go on.
    #[must_use]
    pub fn pause(at: Point, ms: u64) -> Self {
        Self::of(Fault::Stall { at, ms: Some(ms) })
    }

    /// Cut the connection here.
    #[must_use]
    pub fn cut(at: Point) -> Self {
        Self::of(Fault::Cut { at })
    }

    /// Send bad bytes after so many events.
    #[must_use]
    pub fn corrupt(kind: Corruption, after_events: usize) -> Self {
        Self::of(Fault::Corrupt { kind, after_events })
    }

    /// Cut the connection and refuse connects for so long.
    #[must_use]
    pub fn refuse(ms: u64) -> Self {
        Self::of(Fault::Refuse { ms })
    }

    /// Only for this model.
    #[must_use]
    pub fn model(mut self, model: impl Into<String>) -> Self {
        self.model = Some(model.into());
        self
    }

    /// Only for streams, or only for plain requests.
    #[must_use]
    pub fn stream(mut self, stream: bool) -> Self {
        self.stream = Some(stream);
        self
    }

    /// Only the next `n`.
    #[must_use]
    pub fn times(mut self, n: u64) -> Self {
        self.when = When::Times(n);
        self
    }

    /// Only every n-th.
    #[must_use]
    pub fn every(mut self, n: u64) -> Self {
        self.when = When::Every(n);
        self
    }

    /// Each with this probability.
    #[must_use]
    pub fn probability(mut self, of: f64, seed: u64) -> Self {
        self.when = When::Probability { of, seed };
        self
    }
}

/// What the script wants for one request.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Decision {
    pub fault: Option<Fault>,
    pub pace: Option<Pace>,
    pub reply: Option<Reply>,
}

/// The rules in force and how far each has come.
#[derive(Default)]
pub(super) struct Script {
    rules: Vec<(Rule, Progress)>,
}

struct Progress {
    matched: u64,
    random: fastrand::Rng,
}

impl Script {
    pub(super) fn push(&mut self, rule: Rule) {
        let seed = if let When::Probability { seed, .. } = rule.when { seed } else { 0 };
        self.rules.push((rule, Progress { matched: 0, random: fastrand::Rng::with_seed(seed) }));
    }

    pub(super) fn clear(&mut self) {
        self.rules.clear();
    }

    pub(super) fn rules(&self) -> Vec<Rule> {
        self.rules.iter().map(|(rule, _)| rule.clone()).collect()
    }

    /// What the request for `model` gets. `asked` is the id as the client wrote it.
    pub(super) fn decide(&mut self, asked: &str, model: &str, stream: bool) -> Decision {
        let mut decision = Decision::default();
        self.rules.retain_mut(|(rule, progress)| {
            let matches = rule.model.as_deref().is_none_or(|m| m == model || m == asked)
                && rule.stream.is_none_or(|s| s == stream);
            let wanted = (rule.fault.is_some() && decision.fault.is_none())
                || (rule.pace.is_some() && decision.pace.is_none())
                || (rule.reply.is_some() && decision.reply.is_none());
            if !matches || !wanted {
                return true;
            }
            progress.matched += 1;
            let (fires, keep) = match rule.when {
                When::Always => (true, true),
                When::Times(n) => (progress.matched <= n, progress.matched < n),
                When::Every(n) => (n > 0 && progress.matched.is_multiple_of(n), true),
                When::Probability { of, .. } => (progress.random.f64() < of, true),
            };
            if fires {
                decision.fault = decision.fault.take().or_else(|| rule.fault.clone());
                decision.pace = decision.pace.or(rule.pace);
                decision.reply = decision.reply.take().or_else(|| rule.reply.clone());
            }
            keep
        });
        decision
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(script: &mut Script, n: usize) -> String {
        (0..n).map(|_| if script.decide("m", "m", true).fault.is_some() { 'x' } else { '.' }).collect()
    }

    #[test]
    fn times_every_and_probability() {
        let mut script = Script::default();
        script.push(Rule::error(Exception::Throttling).times(2));
        script.push(Rule::error(Exception::InternalServer).every(3));
        // The second rule is asked only once the first no longer gives a fault.
        assert_eq!(faults(&mut script, 8), "xx..x..x");
        assert_eq!(script.rules().len(), 1);

        let draw = |seed| {
            let mut script = Script::default();
            script.push(Rule::error(Exception::Throttling).probability(0.3, seed));
            faults(&mut script, 1000)
        };
        assert_eq!(draw(7), draw(7));
        let hits = draw(7).matches('x').count();
        assert!((240..360).contains(&hits), "{hits} of 1000 at 0.3");
    }

    #[test]
    fn rules_choose_by_model_and_kind_and_complete_each_other() {
        let mut script = Script::default();
        script.push(Rule::error(Exception::Throttling).model("a").stream(false));
        script.push(Rule::pace(5, 0));
        script.push(Rule::reply(Reply::echo()));
        let other = script.decide("b", "b", false);
        assert_eq!(
            (other.fault, other.pace.map(|p| p.first_token_ms), other.reply),
            (None, Some(5), Some(Reply::echo()))
        );
        assert!(script.decide("a", "a", true).fault.is_none());
        let hit = script.decide("arn:x/a", "a", false);
        assert!(hit.fault.is_some() && hit.pace.is_some());
    }

    #[test]
    fn json_form() {
        let text = r#"{"model":"m","when":{"times":2},"fault":{"stall":{"at":{"events":3}}}}"#;
        assert_eq!(serde_json::from_str::<Rule>(text).unwrap(), Rule::stall(Point::Events(3)).model("m").times(2));
        let text = r#"{"fault":{"error":{"name":"ThrottlingException","retryAfter":2}}}"#;
        assert_eq!(serde_json::from_str::<Rule>(text).unwrap(), Rule::error_retry_after(Exception::Throttling, 2));
        assert!(serde_json::from_str::<Rule>(r#"{"falut":1}"#).unwrap_err().to_string().contains("falut"));
    }
}
