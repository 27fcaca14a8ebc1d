//! Keys of a bucket and bytes in; what S3 keeps there out: objects with their versions, written only where nobody else wrote meanwhile.

use crate::attempt::read::{ANSWER_LIMIT, ERROR_LIMIT, whole};
use crate::provider::bedrock::{Destination, S3, segment};
use crate::stack::Proxy;
use crate::upstream::Policy;
use bytes::Bytes;
use http::header::{CONTENT_TYPE, ETAG, IF_MATCH, IF_NONE_MATCH};
use http::response::Parts;
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// One call, its answer's head included.
const PATIENCE: Duration = Duration::from_secs(10);
/// Silence inside an answer.
const IDLE: Duration = Duration::from_secs(5);
const CONNECT: Duration = Duration::from_secs(2);

/// A call to AWS that gave nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what}: {why}")]
pub struct Trouble {
    what: String,
    why: String,
    /// It was answered with a complete error.
    pub answered: bool,
}

impl Trouble {
    /// Trouble of which nobody knows what it came to.
    #[must_use]
    pub fn new(what: &str, why: &str) -> Self {
        Self { what: what.to_owned(), why: why.to_owned(), answered: false }
    }
}

/// A bucket in a region; absent: the proxy's own.
#[derive(Clone, Copy, Debug)]
pub struct Bucket<'a> {
    pub proxy: &'a Proxy,
    pub region: Option<&'a str>,
    pub name: &'a str,
}

/// An object and its version.
#[derive(Clone, Debug)]
pub struct Object {
    pub body: Bytes,
    pub version: String,
}

/// When an object is written.
#[derive(Clone, Copy, Debug)]
pub enum When<'a> {
    Always,
    /// It is still of this version.
    Is(&'a str),
}

/// Names below a prefix.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listed {
    pub names: Vec<String>,
    pub more: bool,
}

/// Sends a signed request of `service` and reads its answer.
pub async fn send(
    proxy: &Proxy,
    method: Method,
    to: Destination<'_>,
    headers: HeaderMap,
    body: Bytes,
    what: &str,
) -> Result<(Parts, Bytes), Trouble> {
    let trouble = |why: String, answered| Trouble { what: what.to_owned(), why, answered };
    let deadline = Instant::now() + PATIENCE;
    let late = |_| trouble(format!("no answer within {} s", PATIENCE.as_secs()), false);
    let unsigned = |_| trouble("no AWS credentials came in time".to_owned(), true);
    let signed = timeout_at(deadline, proxy.aws.request(method, to, headers, body)).await.map_err(unsigned)?;
    // Never sent: as good as an answer that says no.
    let request = signed.map_err(|error| trouble(error.to_string(), true))?;
    // The address comes from AWS or from the proxy's own environment, never from a manifest or a client.
    let sent = timeout_at(deadline, proxy.upstream.send(request, Policy::Loopback, CONNECT)).await.map_err(late)?;
    let (head, body) = sent
        .map_err(|error| {
            let unsent = matches!(error, crate::upstream::SendError::Connect(_));
            trouble(error.to_string(), unsent)
        })?
        .into_parts();
    let limit = if head.status.is_success() { ANSWER_LIMIT } else { ERROR_LIMIT };
    let read = whole(body, limit, IDLE, Instant::now() + 2 * PATIENCE).await;
    let body = read.map_err(|unread| trouble(format!("its answer broke off: {unread:?}"), false))?;
    Ok((head, body))
}

/// A complete error of a service.
pub fn refused(what: &str, head: &Parts, body: &[u8]) -> Trouble {
    let text = String::from_utf8_lossy(body);
    let said = between(&text, "<Message>", "</Message>").unwrap_or_else(|| text.trim());
    let code = between(&text, "<Code>", "</Code>").unwrap_or_default();
    let said: String = said.chars().take(300).collect();
    let why = [head.status.as_str(), code, &said].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>();
    Trouble { what: what.to_owned(), why: why.join(" "), answered: true }
}

fn between<'t>(text: &'t str, before: &str, after: &str) -> Option<&'t str> {
    let from = text.find(before)? + before.len();
    Some(&text[from..from + text[from..].find(after)?])
}

impl Bucket<'_> {
    /// The `s3://` address of a key.
    #[must_use]
    pub fn uri(&self, key: &str) -> String {
        format!("s3://{}/{key}", self.name)
    }

    async fn call(
        &self,
        method: Method,
        path: &str,
        headers: HeaderMap,
        body: Bytes,
        what: &str,
    ) -> Result<(Parts, Bytes), Trouble> {
        let to = Destination { service: S3, region: self.region, role: None, path };
        send(self.proxy, method, to, headers, body, what).await
    }

    fn path(&self, key: &str) -> String {
        let key: Vec<String> = key.split('/').map(segment).collect();
        format!("/{}/{}", segment(self.name), key.join("/"))
    }

    /// An object, unless there is none.
    ///
    /// # Errors
    /// Nobody knows.
    pub async fn get(&self, key: &str) -> Result<Option<Object>, Trouble> {
        let what = format!("S3 GetObject {}", self.uri(key));
        let (head, body) = self.call(Method::GET, &self.path(key), HeaderMap::new(), Bytes::new(), &what).await?;
        match head.status {
            StatusCode::OK => Ok(Some(Object { body, version: version(&head) })),
            // A bucket that is not there is no answer about the object.
            StatusCode::NOT_FOUND if !String::from_utf8_lossy(&body).contains("NoSuchBucket") => Ok(None),
            _ => Err(refused(&what, &head, &body)),
        }
    }

    /// Writes an object; its new version, or none when it is of another version than it should be.
    ///
    /// # Errors
    /// Nobody knows whether it was written, unless the trouble was answered.
    pub async fn put(&self, key: &str, body: Bytes, when: When<'_>) -> Result<Option<String>, Trouble> {
        let what = format!("S3 PutObject {}", self.uri(key));
        let mut headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static("application/json"))]);
        if let When::Is(version) = when {
            let (name, value) = if version.is_empty() { (IF_NONE_MATCH, "*") } else { (IF_MATCH, version) };
            headers.insert(name, HeaderValue::from_str(value).unwrap_or(HeaderValue::from_static("\"\"")));
        }
        let (head, body) = self.call(Method::PUT, &self.path(key), headers, body, &what).await?;
        match head.status {
            status if status.is_success() => Ok(Some(version(&head))),
            // 409: another conditional write of the same object is under way.
            StatusCode::PRECONDITION_FAILED | StatusCode::CONFLICT => Ok(None),
            _ => Err(refused(&what, &head, &body)),
        }
    }

    /// Removes an object, or finds none.
    ///
    /// # Errors
    /// Nobody knows.
    pub async fn delete(&self, key: &str) -> Result<(), Trouble> {
        let what = format!("S3 DeleteObject {}", self.uri(key));
        let (head, body) = self.call(Method::DELETE, &self.path(key), HeaderMap::new(), Bytes::new(), &what).await?;
        if head.status.is_success() { Ok(()) } else { Err(refused(&what, &head, &body)) }
    }

    /// What stands directly below `folder`, folders by their names alone, from `after` on in the order of names.
    ///
    /// # Errors
    /// Nobody knows.
    pub async fn list(&self, folder: &str, after: Option<&str>, most: usize) -> Result<Listed, Trouble> {
        let what = format!("S3 ListObjectsV2 {}", self.uri(folder));
        // In the order of a signature's query.
        let mut query = format!("delimiter=%2F&list-type=2&max-keys={most}&prefix={}", segment(folder));
        if let Some(after) = after {
            // Behind everything inside that folder.
            query.push_str(&format!("&start-after={}", segment(&format!("{folder}{after}/~"))));
        }
        let path = format!("/{}?{query}", segment(self.name));
        let (head, body) = self.call(Method::GET, &path, HeaderMap::new(), Bytes::new(), &what).await?;
        if !head.status.is_success() {
            return Err(refused(&what, &head, &body));
        }
        Ok(listed(&String::from_utf8_lossy(&body)))
    }
}

fn version(head: &Parts) -> String {
    head.headers.get(ETAG).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
}

/// The last parts of every key and common prefix of a listing. What Tollway calls its objects needs no escapes.
fn listed(xml: &str) -> Listed {
    let mut names = Vec::new();
    for tag in ["Key", "Prefix"] {
        let (open, close) = (format!("<{tag}>"), format!("</{tag}>"));
        // The listing's own prefix stands outside of the common ones.
        let scope =
            if tag == "Prefix" { xml.split("<CommonPrefixes>").skip(1).collect::<String>() } else { xml.to_owned() };
        let mut rest = scope.as_str();
        while let Some(found) = between(rest, &open, &close) {
            let name = found.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
            names.push(name.to_owned());
            rest = &rest[rest.find(&close).unwrap_or(rest.len() - close.len()) + close.len()..];
        }
    }
    Listed { names, more: between(xml, "<IsTruncated>", "</IsTruncated>") == Some("true") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listing_gives_the_last_part_of_every_name() {
        let xml = "<ListBucketResult><Prefix>a/</Prefix><IsTruncated>true</IsTruncated><Contents><Key>a/x.1</Key></Contents>\
                   <Contents><Key>a/y.2</Key></Contents><CommonPrefixes><Prefix>a/z/</Prefix></CommonPrefixes>\
                   <CommonPrefixes><Prefix>a/w/</Prefix></CommonPrefixes></ListBucketResult>";
        let names = ["x.1", "y.2", "z", "w"].map(str::to_owned).to_vec();
        assert_eq!(listed(xml), Listed { names, more: true });
        assert_eq!(listed("<ListBucketResult><Prefix>a/</Prefix></ListBucketResult>"), Listed::default());
    }
}
