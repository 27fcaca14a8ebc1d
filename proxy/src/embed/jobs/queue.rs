//! Items that failed for good in; one message each in the dead-letter queue out.

use super::bucket::{Trouble, refused, send};
use crate::provider::bedrock::{Destination, SQS};
use crate::stack::Proxy;
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, Method};
use serde::Serialize;
use serde_json::{Value, json};
use tollway_core::table::Queue;

/// Messages of one call.
const MOST: usize = 10;
/// Bytes of a text that goes along; a longer one is found in S3.
const MOST_TEXT: usize = 4096;

/// One item that failed.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Letter<'a> {
    pub job: &'a str,
    /// Its number in the request.
    pub index: u32,
    pub model: &'a str,
    pub endpoint: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<&'a str>,
    pub error: &'a str,
    /// Absent: it is long.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<&'a str>,
    /// The batch that was sent, and its place therein.
    pub input_location: &'a str,
    pub position: u32,
}

/// A text that goes along.
#[must_use]
pub fn short(text: &str) -> Option<&str> {
    Some(text).filter(|text| text.len() <= MOST_TEXT)
}

/// Sends them; `nearby` is the region of a queue that names none.
///
/// # Errors
/// Not every one is in the queue; those that are will come a second time.
pub async fn tell(proxy: &Proxy, queue: &Queue, nearby: Option<&str>, letters: &[Letter<'_>]) -> Result<(), Trouble> {
    for some in letters.chunks(MOST) {
        let what = format!("SQS SendMessageBatch {}", queue.url);
        let to = Destination { service: SQS, region: queue.region.as_deref().or(nearby), role: None, path: "/" };
        let headers = [
            (CONTENT_TYPE, "application/x-amz-json-1.0"),
            (http::HeaderName::from_static("x-amz-target"), "AmazonSQS.SendMessageBatch"),
        ];
        let headers = headers.into_iter().map(|(name, value)| (name, HeaderValue::from_static(value)));
        let body = Bytes::from(body(queue, some).to_string());
        let (head, body) = send(proxy, Method::POST, to, HeaderMap::from_iter(headers), body, &what).await?;
        let said: Value = serde_json::from_slice(&body).unwrap_or_default();
        let all = said["Failed"].as_array().is_none_or(Vec::is_empty);
        if !head.status.is_success() || !all {
            return Err(refused(&what, &head, &body));
        }
    }
    Ok(())
}

fn body(queue: &Queue, letters: &[Letter<'_>]) -> Value {
    let entry = |letter: &Letter<'_>| {
        let mut entry = json!({
            "Id": letter.index.to_string(),
            "MessageBody": serde_json::to_string(letter).unwrap_or_default(),
        });
        if queue.url.ends_with(".fifo") {
            entry["MessageGroupId"] = letter.job.into();
            entry["MessageDeduplicationId"] = format!("{}/{}", letter.job, letter.index).into();
        }
        entry
    };
    json!({"QueueUrl": queue.url, "Entries": letters.iter().map(entry).collect::<Vec<_>>()})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_letter_says_which_item_of_which_job_failed_and_a_fifo_queue_keeps_it_once() {
        let letter = Letter {
            job: "embjob-1-e",
            index: 7,
            model: "m",
            endpoint: "e",
            user: None,
            error: "too long",
            text: short("hello"),
            input_location: "s3://b/in/4-4.json",
            position: 3,
        };
        let queue = |url: &str| Queue { url: url.to_owned(), region: None };
        let plain = body(&queue("https://h/1/q"), std::slice::from_ref(&letter));
        let said: Value = serde_json::from_str(plain["Entries"][0]["MessageBody"].as_str().unwrap()).unwrap();
        assert_eq!((&said["index"], &said["text"], &said["position"]), (&7.into(), &"hello".into(), &3.into()));
        assert!(plain["Entries"][0].get("MessageGroupId").is_none());
        let fifo = body(&queue("https://h/1/q.fifo"), &[letter]);
        assert_eq!(fifo["Entries"][0]["MessageDeduplicationId"], "embjob-1-e/7");
        assert_eq!(short(&"x".repeat(MOST_TEXT + 1)), None);
    }
}
