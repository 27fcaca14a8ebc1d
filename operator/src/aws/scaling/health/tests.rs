//! Endpoints that answer as they are told in; when they are called and what is said of it out.

use super::*;
use crate::aws::{AwsError, AwsErrorKind};
use std::sync::Mutex;
use tokio::sync::mpsc;

/// Answers every call with the last word it was given.
struct Told(Mutex<Result<&'static str, AwsErrorKind>>);

impl Runtime for Told {
    async fn invoke(&self, _: &Invocation) -> Result<Vec<u8>, AwsError> {
        let said = *self.0.lock().unwrap();
        let failed = |kind| AwsError { action: "sagemaker:InvokeEndpoint", kind, message: "no".to_owned() };
        said.map(|text| text.as_bytes().to_vec()).map_err(failed)
    }
}

fn order(interval: &str) -> Order {
    let spec: EmbeddingEndpointSpec = serde_json::from_value(json!({"model": "m", "dimensions": 2,
        "sagemaker": {"endpointName": "e"}, "healthCheck": {"interval": interval}}))
    .unwrap();
    let endpoint = Some(Asker::of(&spec));
    Order { uid: "u".to_owned(), endpoint, ..Order::default() }
}

fn whereabouts(runs: bool) -> Option<Whereabouts> {
    Some(Whereabouts { region: "us-east-1".to_owned(), runs })
}

fn reason(seen: HealthSeen) -> &'static str {
    match seen {
        HealthSeen::Failed(trouble) => trouble.reason,
        HealthSeen::Answered => "Answered",
        HealthSeen::NoInstances => "NoInstances",
        HealthSeen::NotChecked => "NotChecked",
    }
}

#[tokio::test]
async fn an_endpoint_is_called_now_and_then_and_at_once_when_something_of_it_changed() {
    let told = Arc::new(Told(Mutex::new(Ok("[[1, 0]]"))));
    let (orders, of) = watch::channel(order("1ms"));
    let (stands, seen) = watch::channel(None);
    let (sender, mut heard) = mpsc::unbounded_channel();
    let key = Key { namespace: "ns".to_owned(), name: "e".to_owned() };
    let answer = |said| *told.0.lock().unwrap() = said;
    tokio::spawn(watch(key, told.clone(), of, seen, move |seen| sender.send(reason(seen)).unwrap()));

    stands.send_replace(whereabouts(true));
    assert_eq!((heard.recv().await, heard.recv().await), (Some("Answered"), Some("Answered")));
    orders.send_replace(order("0s"));
    while heard.recv().await != Some("NotChecked") {}

    answer(Ok("[[1, 0, 0]]"));
    orders.send_replace(order("24h"));
    assert_eq!(heard.recv().await, Some("WrongDimensions"));
    // What changes nothing of the call makes none.
    orders.send_modify(|order| order.held_by = Some(vec![]));
    stands.send_replace(whereabouts(true));
    tokio::task::yield_now().await;
    stands.send_replace(whereabouts(false));
    assert_eq!(heard.recv().await, Some("NoInstances"));
    answer(Err(AwsErrorKind::AccessDenied));
    stands.send_replace(whereabouts(true));
    assert_eq!(heard.recv().await, Some("AccessDenied"));
}

#[test]
fn after_a_failure_the_next_call_is_soon() {
    let hour = Duration::from_secs(3600);
    assert!(pause(hour, 0) > hour / 2 && pause(hour, 0) <= hour);
    assert!(pause(hour, 1) <= SOON && pause(hour, 2) > SOON && pause(hour, 30) > hour / 2);
    assert!(pause(Duration::from_secs(10), 1) <= Duration::from_secs(10));
}

#[test]
fn a_vector_is_found_in_every_form_of_answer() {
    let found = |text: &str| width(&serde_json::from_str(text).unwrap());
    for text in [
        "[[1.5, 2]]",
        "[[[1, 2], [3, 4]]]",
        "{\"embeddings\": [[1, 2]]}",
        "{\"object\": \"list\", \"data\": [{\"index\": 0, \"embedding\": [1, 2]}]}",
        "[1, 2]",
    ] {
        assert_eq!(found(text), Some(2), "{text}");
    }
    for text in ["[]", "[[]]", "{}", "\"no\"", "[[null, 1]]", "{\"data\": {\"embedding\": \"base64\"}}"] {
        assert_eq!(found(text), None, "{text}");
    }
}
