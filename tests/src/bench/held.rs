//! In: a number of streams. Out: what each costs in resident memory while it is open, in the proxy under a budget and in a bare hyper
//! reverse proxy.

use std::net::SocketAddr;

use anyhow::{Context, ensure};
use futures_util::{StreamExt, stream};
use http::Uri;
use http_body_util::BodyExt;
use hyper::body::Incoming;

use super::contender::{self, Contender};
use super::{load, manifests};

/// Handshakes under way at the same time.
const OPENING: usize = 64;

/// Bytes of resident memory for each open stream.
#[derive(Clone, Copy, Debug)]
pub struct Held {
    pub streams: usize,
    pub ours: f64,
    pub bare: f64,
}

/// Opens `streams` streams through each, reads the first event of each, and weighs.
pub async fn weigh(upstream: SocketAddr, streams: usize) -> anyhow::Result<Held> {
    let manifests = [manifests::held(), manifests::BUDGET.to_owned()];
    let proxy = contender::tollway("tollway+budget", upstream, &manifests, &[]).await;
    let ours = hold(&proxy, "/v1/chat/completions", streams).await?;
    drop(proxy);
    let bare = hold(&contender::start_bare(upstream).await, "/hold/chat/completions", streams).await?;
    Ok(Held { streams, ours, bare })
}

async fn hold(contender: &Contender, path: &'static str, streams: usize) -> anyhow::Result<f64> {
    // What the first request of a process brings in is not a stream's.
    let first = open(contender.address, path).await?;
    let before = contender.process.resident_bytes();
    let opened: Vec<_> =
        stream::iter(0..streams).map(|_| open(contender.address, path)).buffer_unordered(OPENING).collect().await;
    let opened: Vec<Incoming> = opened.into_iter().collect::<anyhow::Result<_>>()?;
    let after = contender.process.resident_bytes();
    drop((first, opened));
    Ok(after.saturating_sub(before) as f64 / streams as f64)
}

/// A stream whose first event has come.
async fn open(address: SocketAddr, path: &'static str) -> anyhow::Result<Incoming> {
    let mut sender = load::connect(address).await?;
    let mut request = load::request(load::Shape::Stream)?;
    *request.uri_mut() = Uri::from_static(path);
    let response = sender.send_request(request).await.context("a stream was not opened")?;
    ensure!(response.status().is_success(), "{address} answered {}", response.status());
    let mut body = response.into_body();
    body.frame().await.context("a stream ended at once")??;
    Ok(body)
}
