//! In: chat requests. Out: the same asked of a Bedrock runtime through a pooled hyper client with SigV4, and its JSON as it comes: the
//! least that anything in Rust does which reads OpenAI's JSON, sends and signs Converse's, and reads the answer.

use std::net::SocketAddr;
use std::time::SystemTime;

use anyhow::ensure;
use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use aws_smithy_eventstream::frame::{DecodedFrame, MessageFrameDecoder};
use bytes::{Bytes, BytesMut};
use futures_util::stream;
use http::{Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::{Value, json};
use tokio::net::TcpListener;

type Body = UnsyncBoxBody<Bytes, anyhow::Error>;
type Pool = Client<HttpConnector, Full<Bytes>>;

/// Serves until the process ends.
pub async fn signing(listen: SocketAddr, upstream: SocketAddr) -> anyhow::Result<()> {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    let client: Pool = Client::builder(TokioExecutor::new()).build(connector);
    let credentials = Credentials::new("AKIDEXAMPLE", "secret", None, None, "bench");
    let listener = TcpListener::bind(listen).await?;
    loop {
        let (socket, _) = listener.accept().await?;
        socket.set_nodelay(true)?;
        let (client, credentials) = (client.clone(), credentials.clone());
        let service = service_fn(move |request| answer(request, client.clone(), credentials.clone(), upstream));
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(socket), service));
    }
}

async fn answer(
    request: Request<Incoming>,
    client: Pool,
    credentials: Credentials,
    upstream: SocketAddr,
) -> anyhow::Result<Response<Body>> {
    let asked: Value = serde_json::from_slice(&request.into_body().collect().await?.to_bytes())?;
    let action = if asked["stream"] == true { "converse-stream" } else { "converse" };
    let body = json!({
        "system": [{"text": asked["messages"][0]["content"]}],
        "messages": [{"role": "user", "content": [{"text": asked["messages"][1]["content"]}]}],
        "inferenceConfig": {"maxTokens": asked["max_tokens"]},
    });
    let body = Bytes::from(body.to_string());
    let mut request = Request::post(format!("http://{upstream}/model/amazon.nova-lite-v1%3A0/{action}"))
        .header("content-type", "application/json")
        .body(Full::new(body.clone()))?;
    sign_request(&mut request, &body, credentials)?;
    let response = client.request(request).await?;
    ensure!(response.status().is_success(), "the upstream answered {}", response.status());
    if action == "converse" {
        let said: Value = serde_json::from_slice(&response.into_body().collect().await?.to_bytes())?;
        return Ok(Response::new(Full::new(Bytes::from(said.to_string())).map_err(anyhow::Error::from).boxed_unsync()));
    }
    let reading = Reading { body: response.into_body(), decoder: MessageFrameDecoder::new(), buffer: BytesMut::new() };
    let events = stream::try_unfold(Some(reading), async |reading| match reading {
        None => Ok(None),
        Some(mut reading) => anyhow::Ok(Some(match reading.next().await? {
            Some(events) => (Frame::data(events), Some(reading)),
            None => (Frame::data(Bytes::from_static(b"data: [DONE]\n\n")), None),
        })),
    });
    Ok(Response::new(StreamBody::new(events).boxed_unsync()))
}

fn sign_request(request: &mut Request<Full<Bytes>>, body: &[u8], credentials: Credentials) -> anyhow::Result<()> {
    let identity = credentials.into();
    let params = v4::SigningParams::builder()
        .identity(&identity)
        .region("us-east-1")
        .name("bedrock")
        .time(SystemTime::now())
        .settings(SigningSettings::default())
        .build()?
        .into();
    let headers = request.headers().iter().filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)));
    let signable = SignableRequest::new("POST", request.uri().to_string(), headers, SignableBody::Bytes(body))?;
    sign(signable, &params)?.into_parts().0.apply_to_request_http1x(request);
    Ok(())
}

/// Event-stream frames as they come.
struct Reading {
    body: Incoming,
    decoder: MessageFrameDecoder,
    buffer: BytesMut,
}

impl Reading {
    /// The JSON of the next frames, each as an event; none at the end.
    async fn next(&mut self) -> anyhow::Result<Option<Bytes>> {
        loop {
            let mut events = Vec::new();
            while let DecodedFrame::Complete(message) = self.decoder.decode_frame(&mut self.buffer)? {
                let payload: Value = serde_json::from_slice(message.payload())?;
                events.extend_from_slice(format!("data: {payload}\n\n").as_bytes());
            }
            if !events.is_empty() {
                return Ok(Some(events.into()));
            }
            match self.body.frame().await {
                Some(frame) => self.buffer.extend_from_slice(&frame?.into_data().unwrap_or_default()),
                None => return Ok(None),
            }
        }
    }
}
