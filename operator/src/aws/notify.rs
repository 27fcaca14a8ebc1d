//! Thresholds that are reached and whom they concern in; messages to SNS topics, each sent once a window and threshold, out.
//!
//! # Why status is the record
//! A topic that took a message is written to `status.thresholds[].notified`; a leader that begins reads it there and does not repeat
//! it. Between the publication and that write a message can be repeated if the operator dies: better twice than never.

use super::Pace;
use super::error::AwsError;
use super::topics::{Message, Topics};
use crate::ledger::Key;
use serde_json::json;
use std::sync::Arc;
use tollway_core::status::Trouble;
use tollway_crds::{CostBudgetSpec, CostBudgetStatus};

/// One message that is due: of one threshold, in one window, to one topic.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Notice {
    /// First moment of the window (RFC 3339).
    pub window: String,
    /// Percent of the limit.
    pub percent: u32,
    /// The topic.
    pub topic: String,
}

/// The messages that a status has due: thresholds reached, topics not told.
pub fn due(key: &Key, spec: &CostBudgetSpec, status: &CostBudgetStatus) -> Vec<(Notice, Message)> {
    let Some(window) = status.window.as_ref().and_then(|window| window.start.clone()) else { return Vec::new() };
    let percent_now = status.percent_used.unwrap_or(0);
    let mut out = Vec::new();
    for threshold in spec.thresholds.iter().filter(|threshold| i64::from(threshold.percent) <= percent_now) {
        let reached = status.thresholds.iter().find(|reached| reached.percent == i64::from(threshold.percent));
        let Some(reached) = reached else { continue };
        for notify in threshold.actions.iter().filter_map(|action| action.notify.as_ref()) {
            let topic = notify.sns_topic_arn.0.clone();
            if !reached.notified.contains(&topic) {
                let notice = Notice { window: window.clone(), percent: threshold.percent, topic };
                let message = message(key, spec, threshold.percent, reached.reached_at.as_deref(), status);
                out.push((notice, message));
            }
        }
    }
    out
}

fn message(
    key: &Key,
    spec: &CostBudgetSpec,
    percent: u32,
    reached_at: Option<&str>,
    status: &CostBudgetStatus,
) -> Message {
    let Key { namespace, name } = key;
    let CostBudgetStatus { window, spent_usd, remaining_usd, percent_used, .. } = status;
    let body = json!({
        "budget": name,
        "namespace": namespace,
        "percent": percent,
        "percentUsed": percent_used,
        "spentUsd": spent_usd,
        "limitUsd": spec.limit.amount,
        "remainingUsd": remaining_usd,
        "window": window,
        "reachedAt": reached_at,
    });
    Message { subject: format!("Tollway: {percent} % of budget {name}"), body: body.to_string() }
}

/// Publishes until it succeeds; `tell` hears what stands in the way.
pub(super) async fn send<T: Topics>(
    topics: Arc<T>,
    topic: String,
    message: Message,
    pace: Pace,
    tell: impl Fn(Trouble) + Send,
) {
    let mut failures = 0;
    while let Err(error) = topics.publish(&topic, &message).await {
        failures += 1;
        let AwsError { action, message, .. } = &error;
        tracing::warn!(topic, action, failures, "message not sent: {message}");
        let trouble = error.trouble();
        tell(Trouble { message: format!("{topic}: {}", trouble.message), ..trouble });
        tokio::time::sleep(pace.after(failures)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aws::error::AwsErrorKind;
    use serde_json::Value;
    use std::sync::Mutex;
    use std::time::Duration;

    fn key() -> Key {
        Key { namespace: "team".to_owned(), name: "b".repeat(63) }
    }

    fn spec() -> CostBudgetSpec {
        serde_json::from_value(json!({"limit": {"amount": "10"}, "period": "Daily", "thresholds": [
            {"percent": 50},
            {"percent": 80, "actions": [{"notify": {"snsTopicArn": "one"}}, {"notify": {"snsTopicArn": "two"}}]},
            {"percent": 90, "actions": [{"notify": {"snsTopicArn": "one"}}]}]}))
        .unwrap()
    }

    fn status(percent: i64, notified: &[&str]) -> CostBudgetStatus {
        serde_json::from_value(json!({"conditions": [], "percentUsed": percent, "spentUsd": "8.50",
            "window": {"start": "2026-11-26T00:00:00Z"},
            "thresholds": [{"percent": 50}, {"percent": 80, "reachedAt": "2026-11-26T09:00:00Z", "notified": notified}]}))
        .unwrap()
    }

    #[test]
    fn each_topic_is_told_once_of_what_is_reached() {
        let topics = |status: &CostBudgetStatus| {
            due(&key(), &spec(), status).into_iter().map(|(n, _)| (n.percent, n.topic)).collect::<Vec<_>>()
        };
        let expected = |topics: &[&str]| topics.iter().map(|topic| (80, (*topic).to_owned())).collect::<Vec<_>>();
        assert_eq!(topics(&status(85, &[])), expected(&["one", "two"]));
        assert_eq!(topics(&status(85, &["one"])), expected(&["two"]));
        assert_eq!(topics(&status(85, &["one", "two"])), []);
        assert_eq!(topics(&status(60, &["one"])), [], "a credit took it below; nothing is due");
    }

    #[test]
    fn a_message_has_a_short_subject_and_json() {
        let (_, message) = due(&key(), &spec(), &status(85, &[])).remove(0);
        assert!(message.subject.len() <= 100 && message.subject.contains("80 %"), "{}", message.subject);
        let body: Value = serde_json::from_str(&message.body).unwrap();
        assert_eq!(
            (&body["spentUsd"], &body["limitUsd"], &body["percent"]),
            (&json!("8.50"), &json!("10"), &json!(80))
        );
        assert_eq!(body["window"]["start"], "2026-11-26T00:00:00Z");
    }

    struct Flaky(Mutex<u32>);

    impl Topics for Flaky {
        async fn publish(&self, _: &str, _: &Message) -> Result<(), AwsError> {
            let mut left = self.0.lock().unwrap();
            *left = left.saturating_sub(1);
            let error = AwsError { action: "sns:Publish", kind: AwsErrorKind::AccessDenied, message: "no".to_owned() };
            if *left > 0 { Err(error) } else { Ok(()) }
        }
    }

    #[tokio::test]
    async fn a_message_is_tried_again_until_it_is_sent() {
        let told = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::clone(&told);
        let message = Message { subject: String::new(), body: String::new() };
        let pace = Pace { first: Duration::from_millis(1), longest: Duration::from_millis(2) };
        send(Arc::new(Flaky(Mutex::new(4))), "t".to_owned(), message, pace, move |trouble| {
            heard.lock().unwrap().push(trouble)
        })
        .await;
        let told = told.lock().unwrap();
        assert_eq!(told.len(), 3);
        assert!(told[0].reason == "AccessDenied" && told[0].message.contains("sns:Publish"), "{told:?}");
    }
}
