//! One call to one source: texts in; their vectors, or how it failed and whether anybody knows what it came to, out.

use super::endpoint::Endpoint;
use super::payload;
use super::queue::Part;
use super::read::{self, Expected, Read, Wrong};
use super::sagemaker;
use crate::attempt::failure::{self, Failure};
use crate::attempt::read::{ANSWER_LIMIT, ERROR_LIMIT, ERROR_WITHIN, Unread, whole};
use crate::chat::{ErrorKind, UpstreamError};
use crate::provider::openai;
use crate::stack::Proxy;
use crate::upstream::{Policy, SendError};
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderValue, Request};
use http_body_util::Full;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};
use tollway_core::table::{Embedder, OpenAi, Source};

/// A call that gave no vectors.
#[derive(Debug)]
pub struct Miss {
    pub failure: Failure,
    /// It was sent, and nobody knows what it came to.
    pub is_lost: bool,
}

impl Miss {
    const fn free(failure: Failure) -> Self {
        Self { failure, is_lost: false }
    }

    const fn lost(failure: Failure) -> Self {
        Self { failure, is_lost: true }
    }
}

/// Whether the source's key is at hand.
#[must_use]
pub fn has_secret(proxy: &Proxy, source: &Source) -> bool {
    match &source.embedder {
        Embedder::OpenAi(OpenAi { api_key: Some(key), .. }) => {
            proxy.live.load().as_ref().is_some_and(|serving| serving.secrets.get(&key.name, &key.key).is_some())
        }
        Embedder::OpenAi(_) | Embedder::SageMaker(_) => true,
    }
}

/// Makes the call. The head of the answer must be here by the first moment, all of it by the second.
pub async fn call(
    proxy: &Proxy,
    endpoint: &Endpoint,
    source: &Source,
    parts: &[Part],
    (deadline, ends): (Instant, Instant),
) -> Result<Read, Miss> {
    let config = &endpoint.config;
    let name = source.name.as_str();
    let texts: Vec<&str> = parts.iter().flat_map(|part| &part.items).map(|item| item.text.as_str()).collect();
    let body = Bytes::from(payload::body(config, &source.embedder, &texts));
    let unsent = |reason: &str| Miss::free(Failure::unreachable(name, reason));
    let (request, policy) = match &source.embedder {
        Embedder::SageMaker(target) => {
            let signed = timeout_at(deadline, proxy.aws.sagemaker_request(target, body)).await;
            let signed = signed.map_err(|_| unsent("no AWS credentials came in time"))?;
            // The address comes from AWS or from the proxy's own environment, never from a manifest: loopback was chosen there.
            (signed.map_err(|error| unsent(&error.to_string()))?, Policy::Loopback)
        }
        Embedder::OpenAi(target) => {
            let request = openai_request(proxy, target, body).map_err(|reason| unsent(&reason))?;
            (request, if target.loopback { Policy::Loopback } else { proxy.options.policy })
        }
    };
    let connect = Duration::from_millis(config.timeouts.connect_ms);
    let sent = timeout_at(deadline, proxy.upstream.send(request, policy, connect)).await;
    let response = sent.map_err(|_| Miss::lost(Failure::late(name)))?.map_err(|error| match error {
        SendError::Connect(reason) => Miss::free(Failure::unreachable(name, &reason)),
        SendError::Broken(error) => Miss::lost(Failure::broken(name, &error.to_string())),
    })?;
    let (head, body) = response.into_parts();
    if !head.status.is_success() {
        let until = (Instant::now() + ERROR_WITHIN).min(ends);
        let said = whole(body, ERROR_LIMIT, ERROR_WITHIN, until).await;
        let said = said.map_err(|_| Miss::lost(Failure::broken(name, "its error message never ended")))?;
        let failure = match &source.embedder {
            Embedder::SageMaker(_) => match sagemaker::no_capacity(head.status.as_u16(), &said) {
                Some(words) => Failure::no_capacity(name, &words),
                None => {
                    let error = sagemaker::decode_error(head.status.as_u16(), &head.headers, &said);
                    Failure::inside(name, &error).after(failure::retry_after(&head.headers))
                }
            },
            Embedder::OpenAi(_) => Failure::status(name, &head, &openai::read_error(&said)),
        };
        return Err(Miss::free(failure));
    }
    let idle = Duration::from_millis(config.timeouts.idle_ms);
    let answer = whole(body, ANSWER_LIMIT, idle, ends).await.map_err(|unread| match unread {
        Unread::Late => Miss::lost(Failure::late(name)),
        Unread::Broken(why) => Miss::lost(Failure::broken(name, &why)),
    })?;
    let expected = Expected {
        texts: texts.len(),
        dimensions: usize::try_from(config.dimensions).unwrap_or(usize::MAX),
        normalize: config.normalize == Some(true),
        pooling: config.pooling,
    };
    read::read(&answer, expected).map_err(|wrong| {
        if matches!(wrong, Wrong::Dimensions { .. }) {
            endpoint.meter.wrong_dimensions();
            tracing::warn!(endpoint = endpoint.name, source = name, %wrong, "vectors of another size were turned away");
        }
        let (kind, name_of_error) = (ErrorKind::Malformed, "MalformedResponse".to_owned());
        let error = UpstreamError { kind, status: 502, name: name_of_error, message: wrong.to_string() };
        // It answered, so it worked, and nobody says how much.
        Miss::lost(Failure::inside(name, &error))
    })
}

fn openai_request(proxy: &Proxy, target: &OpenAi, body: Bytes) -> Result<Request<Full<Bytes>>, String> {
    let request = Request::post(format!("{}/embeddings", target.base_url)).header(CONTENT_TYPE, "application/json");
    let mut request = request.body(Full::new(body)).map_err(|error| error.to_string())?;
    if let Some(key) = &target.api_key {
        let serving = proxy.live.load_full();
        let secret = serving.as_ref().and_then(|serving| serving.secrets.get(&key.name, &key.key));
        let secret = secret.ok_or("its Secret is missing")?;
        let mut value = HeaderValue::from_str(&format!("Bearer {secret}")).map_err(|_| "its key is no header text")?;
        value.set_sensitive(true);
        request.headers_mut().insert(AUTHORIZATION, value);
    }
    Ok(request)
}
