//! In: manifests as text. Out: a folder of them and a proxy on it that calls a simulator with its AWS keys.

use std::path::PathBuf;

use tollway_tests::process::{Program, Proxy};
use tollway_tests::scratch;
use tollway_tests::sim::Sim;

pub(crate) fn folder(manifests: &str) -> PathBuf {
    let folder = scratch::folder("manifests");
    std::fs::write(folder.join("tollway.yaml"), manifests).expect("a manifest in the test run's folder");
    folder
}

pub(crate) fn with_aws(sim: &Sim, program: Program) -> Program {
    program
        .env("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", sim.url())
        .env("AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME", sim.url())
        .env("AWS_ACCESS_KEY_ID", "AKIASIMULATED0000001")
        .env("AWS_SECRET_ACCESS_KEY", "simulated/secret/access/key/number+00001")
        .env("AWS_EC2_METADATA_DISABLED", "true")
}

pub(crate) async fn proxy(sim: &Sim, manifests: &str) -> Proxy {
    Proxy::standalone_with(folder(manifests), |program| with_aws(sim, program)).await
}
