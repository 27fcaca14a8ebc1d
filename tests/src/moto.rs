//! In: nothing but the Python environment. Out: moto's server on a free port, and what scripts do and see there.

use crate::process::{Process, Program, free_port};
use crate::{http, python, scratch, wait};
use serde_json::Value;
use std::path::PathBuf;

/// Somebody's signature: moto's S3 gives private objects to whoever shows one, and looks at none.
pub const SIGNED: (&str, &str) = (
    "authorization",
    "AWS4-HMAC-SHA256 Credential=AKIASIMULATED0000001/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0",
);

/// A running moto server: accounts of AWS in memory.
pub struct Moto {
    /// Where it answers, for any service.
    pub url: String,
    record: PathBuf,
    _process: Process,
}

impl Moto {
    /// Starts one and waits until it answers.
    pub async fn start() -> Moto {
        let port = free_port();
        let url = format!("http://127.0.0.1:{port}");
        let record = scratch::folder("moto").join("requests");
        let server = python::program("moto_server").args(["-H", "127.0.0.1", "-p", &port.to_string()]);
        let server = server.env("MOTO_ENABLE_RECORDING", "1").env("MOTO_RECORDER_FILEPATH", &record);
        let process = server.start();
        wait::until("moto to answer", async || http::try_get(&format!("{url}/moto-api/")).await.is_ok().then_some(()))
            .await;
        Moto { url, record, _process: process }
    }

    /// An object of S3, by bucket and key.
    pub async fn object(&self, path: &str) -> http::Reply {
        http::get_as(&format!("{}/{path}", self.url), &[SIGNED]).await
    }

    /// The operations that Tollway called, in order: scripts call as boto3.
    pub fn calls(&self) -> Vec<String> {
        let record = std::fs::read_to_string(&self.record).unwrap_or_default();
        let lines = record.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let ours = lines.filter(|call| !call["headers"]["User-Agent"].to_string().contains("Boto3"));
        // The header is `service.Operation`.
        let operation = |call: Value| Some(call["headers"]["X-Amz-Target"].as_str()?.rsplit('.').next()?.to_owned());
        ours.filter_map(operation).collect()
    }

    /// What a script of `tests/python` prints, as JSON.
    pub async fn run(&self, script: &str, arguments: &[&str]) -> Value {
        let program = identified(python::script(script).args(arguments).env("AWS_ENDPOINT_URL", &self.url));
        let output = tokio::task::spawn_blocking(move || program.output()).await.expect("the script ran");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).expect("the script prints JSON")
    }
}

/// An identity that is no one's, and nothing of the machine's own.
pub fn identified(program: Program) -> Program {
    program
        .env("AWS_ACCESS_KEY_ID", "AKIASIMULATED0000001")
        .env("AWS_SECRET_ACCESS_KEY", "simulated/secret/access/key/number+00001")
        .env("AWS_REGION", "us-east-1")
        .env("AWS_DEFAULT_REGION", "us-east-1")
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .env("AWS_CONFIG_FILE", "/dev/null")
        .env("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
}
