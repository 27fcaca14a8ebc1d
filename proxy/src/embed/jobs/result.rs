//! A job that is over in; its vectors in the order of its texts out, a batch at a time, so that no proxy holds all of them.

use super::bucket::{Bucket, Trouble};
use super::calls::region;
use super::place::Shelf;
use crate::embed::answer;
use crate::embed::endpoint::Endpoint;
use crate::stack::Proxy;
use bytes::{BufMut, Bytes, BytesMut};
use serde_json::value::RawValue;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::sync::mpsc;
use tollway_core::jobs::{Batch, Job, State};

/// Batches that are read ahead of a client.
const AHEAD: usize = 2;

/// The pieces of a result.
#[derive(Debug)]
pub struct Pages {
    pieces: mpsc::Receiver<Bytes>,
    pub content_type: &'static str,
}

impl Pages {
    pub(super) fn new(
        proxy: Arc<Proxy>,
        endpoint: Arc<Endpoint>,
        bucket: String,
        shelf: Shelf,
        job: Job,
        lines: bool,
    ) -> Self {
        let (sender, pieces) = mpsc::channel(AHEAD);
        tokio::spawn(async move {
            let bucket = Bucket { proxy: &proxy, region: region(&endpoint), name: &bucket };
            if let Err(trouble) = write(&bucket, &shelf, &job, lines, &sender).await {
                tracing::warn!(job = job.id, %trouble, "a result broke off");
                // A list that breaks off is no JSON; lines say it themselves.
                if lines {
                    let error =
                        serde_json::json!({"error": {"message": trouble.to_string(), "code": "upstream_unavailable"}});
                    drop(sender.send(Bytes::from(format!("{error}\n"))).await);
                }
            }
        });
        Self { pieces, content_type: if lines { "application/x-ndjson" } else { "application/json" } }
    }

    /// The next bytes; none at the end.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        self.pieces.poll_recv(cx)
    }
}

/// The sender fails when the client has left.
async fn write(
    bucket: &Bucket<'_>,
    shelf: &Shelf,
    job: &Job,
    lines: bool,
    out: &mpsc::Sender<Bytes>,
) -> Result<(), Trouble> {
    let mut is_first = true;
    if !lines && out.send(Bytes::from_static(br#"{"object":"list","data":["#)).await.is_err() {
        return Ok(());
    }
    let mut failed: Vec<serde_json::Value> = Vec::new();
    for (first, batch) in &job.batches {
        let piece = match &batch.state {
            State::Done { .. } => {
                let key = shelf.vectors(*first);
                let gone = || Trouble::new(&format!("S3 GetObject {}", bucket.uri(&key)), "it is gone");
                let kept = bucket.get(&key).await?.ok_or_else(gone)?;
                let vectors: Vec<&RawValue> = serde_json::from_slice(&kept.body)
                    .map_err(|error| Trouble::new(&format!("S3 GetObject {}", bucket.uri(&key)), &error.to_string()))?;
                done(*first, &vectors, job.base64, lines, &mut is_first)
            }
            _ => missing(*first, batch, lines, &mut failed),
        };
        if !piece.is_empty() && out.send(piece).await.is_err() {
            return Ok(());
        }
    }
    let tokens = job.tokens();
    let usage = serde_json::json!({"prompt_tokens": tokens, "total_tokens": tokens});
    let end = match lines {
        true => format!("{}\n", serde_json::json!({"model": job.model, "usage": usage})),
        false => {
            let (model, failed) = (serde_json::Value::from(job.model.as_str()), serde_json::Value::from(failed));
            format!("],\"model\":{model},\"usage\":{usage},\"failed\":{failed}}}")
        }
    };
    // Whoever has left needs no end.
    drop(out.send(Bytes::from(end)).await);
    Ok(())
}

fn done(first: u32, vectors: &[&RawValue], base64: bool, lines: bool, is_first: &mut bool) -> Bytes {
    let mut out = BytesMut::with_capacity(vectors.iter().map(|vector| vector.get().len() + 64).sum());
    for (index, vector) in (first as usize..).zip(vectors) {
        let vector = vector.get().as_bytes();
        if lines {
            answer::line(&mut out, index, vector, base64);
        } else {
            if !std::mem::take(is_first) {
                out.put_u8(b',');
            }
            answer::item(&mut out, index, vector, base64);
        }
    }
    out.freeze()
}

/// Items that have no vector: a line each, or a place in the list of those that failed.
fn missing(first: u32, batch: &Batch, lines: bool, failed: &mut Vec<serde_json::Value>) -> Bytes {
    let error = match &batch.state {
        State::Failed { error, .. } => error.as_str(),
        _ => "cancelled",
    };
    let mut out = Vec::new();
    for index in first..first + batch.items {
        let item = serde_json::json!({"index": index, "error": {"message": error}});
        if lines {
            out.extend_from_slice(format!("{item}\n").as_bytes());
        } else {
            failed.push(item);
        }
    }
    out.into()
}
