//! In: a folder of manifests, or an operator and a Pod's token. Out: a `tollway-proxy` that serves, and what its pages say.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::http::{self, EventStream, Reply};
use crate::process::{Process, Program, free_port};
use crate::{scratch, wait};

/// A running proxy with ports and a state folder of its own.
#[derive(Debug)]
pub struct Proxy {
    pub process: Process,
    /// Where clients connect, `http://127.0.0.1:port`; OpenAI clients add `/v1`.
    pub url: String,
    /// The admin port, `http://127.0.0.1:port`.
    pub admin: String,
    /// `--state-dir`.
    pub state_dir: PathBuf,
}

impl Proxy {
    /// `tollway-proxy standalone <folder>`, ready to serve.
    pub async fn standalone(folder: impl AsRef<Path>) -> Proxy {
        Proxy::standalone_with(folder, |program| program).await
    }

    /// As `standalone`, with more arguments or environment: `|p| p.env("AWS_ENDPOINT_URL", url)`.
    pub async fn standalone_with(folder: impl AsRef<Path>, change: impl FnOnce(Program) -> Program) -> Proxy {
        let program = Program::proxy().arg("standalone").arg(folder.as_ref());
        let mut proxy = Proxy::start(change(program));
        proxy.ready().await;
        proxy
    }

    /// Starts a proxy program with ports and a state folder added, and does not wait.
    pub fn start(program: Program) -> Proxy {
        let (port, admin_port) = (free_port(), free_port());
        let state_dir = scratch::folder("state");
        let process = program
            .arg(format!("--listen=127.0.0.1:{port}"))
            .arg(format!("--admin=127.0.0.1:{admin_port}"))
            .arg("--state-dir")
            .arg(&state_dir)
            .start();
        let (url, admin) = (format!("http://127.0.0.1:{port}"), format!("http://127.0.0.1:{admin_port}"));
        Proxy { process, url, admin, state_dir }
    }

    /// Waits until `/readyz` says so; fails at once when the process ends before.
    pub async fn ready(&mut self) {
        let url = format!("{}/readyz", self.admin);
        wait::until("tollway-proxy to be ready", async || {
            assert!(self.process.is_running(), "tollway-proxy ended:\n{}", self.process.log_tail(30));
            http::try_get(&url).await.is_ok_and(|r| r.status.is_success()).then_some(())
        })
        .await;
    }

    /// kill -9 and the same command again, ready to serve.
    pub async fn restart(&mut self) {
        self.process.start_again();
        self.ready().await;
    }

    /// A chat completion: one user message.
    pub async fn chat(&self, model: &str, text: &str) -> Reply {
        http::post(&self.chat_url(), &chat_body(model, text, false)).await
    }

    /// A streamed chat completion, with the usage at its end.
    pub async fn chat_stream(&self, model: &str, text: &str) -> EventStream {
        let stream = http::post_stream(&self.chat_url(), &chat_body(model, text, true)).await;
        stream.unwrap_or_else(|e| panic!("POST {}: {e:?}", self.chat_url()))
    }

    /// `<url>/v1/chat/completions`.
    pub fn chat_url(&self) -> String {
        format!("{}/v1/chat/completions", self.url)
    }

    /// The admin page `/status`.
    pub async fn status(&self) -> Value {
        http::get(&format!("{}/status", self.admin)).await.ok().json()
    }

    /// The admin page `/table`.
    pub async fn table(&self) -> Value {
        http::get(&format!("{}/table", self.admin)).await.ok().json()
    }

    /// The admin page `/metrics`.
    pub async fn metrics(&self) -> String {
        http::get(&format!("{}/metrics", self.admin)).await.ok().text()
    }
}

fn chat_body(model: &str, text: &str, stream: bool) -> Value {
    let mut body = json!({"model": model, "messages": [{"role": "user", "content": text}]});
    if stream {
        body["stream"] = json!(true);
        body["stream_options"] = json!({"include_usage": true});
    }
    body
}
