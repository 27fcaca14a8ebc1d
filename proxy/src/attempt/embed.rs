//! The calls that embed one request's texts in; all of their vectors as one answer, or how it failed and what that costs, out.

use super::call::{Began, Calling, Failed};
use super::failure::Failure;
use crate::chat::{ErrorKind, UpstreamError};
use crate::meter::Money;
use crate::provider::bedrock;
use crate::surface::bedrock::Api;
use crate::surface::embeddings;
use bytes::Bytes;
use futures_util::future::join_all;
use http::HeaderMap;
use serde_json::value::RawValue;
use std::time::Duration;
use tokio::time::Instant;
use tollway_core::spend::Usage;

/// Calls of one request at a time.
const AT_ONCE: usize = 8;

impl Calling<'_> {
    /// A Bedrock target that embeds: a few calls at a time, all or none.
    pub(super) async fn embed(&mut self, bodies: Vec<Bytes>, texts: usize, base64: bool) -> Result<Began, Failed> {
        let (mut vectors, mut tokens, mut complete) = (Vec::with_capacity(texts), 0_u64, true);
        self.metered.sent();
        for wave in bodies.chunks(AT_ONCE) {
            // Every wave may take as long as the first answer of a chat.
            let patience = Duration::from_millis(self.place.route.timeouts.first_token_ms);
            self.deadline = (Instant::now() + patience).min(self.job.ends);
            let this = &*self;
            let answers = join_all(wave.iter().map(|body| this.embed_one(body.clone()))).await;
            let mut failed: Option<Failed> = None;
            for answer in answers {
                match answer {
                    Ok((read, counted)) => {
                        vectors.extend(read);
                        tokens = tokens.saturating_add(counted.unwrap_or(0));
                        complete &= counted.is_some();
                    }
                    // The dearer failure decides what is charged.
                    Err(error) => {
                        let dearer = failed.as_ref().is_none_or(|held| held.money == Money::Nothing);
                        failed = if dearer { Some(error) } else { failed };
                    }
                }
            }
            if let Some(Failed { failure, money }) = failed {
                // What was embedded before is charged although the client gets nothing of it.
                let money = match money {
                    Money::Nothing if vectors.is_empty() => Money::Nothing,
                    Money::Nothing if complete => Money::Used(Usage { input: tokens, ..Usage::default() }),
                    _ => Money::InFull,
                };
                return Err(Failed { failure, money });
            }
        }
        let usage = complete.then(|| Usage { input: tokens, ..Usage::default() });
        let rendered = match vectors.len() == texts {
            true => embeddings::render(&vectors, &self.job.peek.model, tokens, base64),
            false => Err(vectors.len()),
        };
        rendered.map(|body| Began::Whole(body, usage)).map_err(|index| {
            let message = format!("embedding {index} of {texts} is missing or no list of numbers");
            let (kind, status, name) = (ErrorKind::Malformed, 502, "MalformedResponse".to_owned());
            let failure = Failure::inside(self.place.name, &UpstreamError { kind, status, name, message });
            Failed { failure, money: usage.map_or(Money::InFull, Money::Used) }
        })
    }

    async fn embed_one(&self, body: Bytes) -> Result<(Vec<Box<RawValue>>, Option<u64>), Failed> {
        let request = self.sign(Api::Invoke, HeaderMap::new(), body).await?;
        let (head, body) = self.answer(request).await?.into_parts();
        let body = self.read_answer(body).await?;
        bedrock::decode_embeddings(&head.headers, &body)
            .map_err(|error| Failed { failure: Failure::inside(self.place.name, &error), money: Money::InFull })
    }
}
