//! The simulator as a process: flags, address line, script and configuration files.

use super::PRO;
use serde_json::json;
use tollway_tests::http::{get, post};
use tollway_tests::process::Program;
use tollway_tests::scratch;

#[tokio::test]
async fn it_prints_its_address_and_follows_its_files() {
    let folder = scratch::folder("sim");
    let (script, config) = (folder.join("script.json"), folder.join("config.json"));
    std::fs::write(&script, r#"{"when": {"times": 1}, "fault": {"status": {"status": 502, "body": "no"}}}"#).unwrap();
    let model = json!({ "models": { PRO: { "price": { "input": 1_000_000 } } } });
    std::fs::write(&config, model.to_string()).unwrap();
    let program = Program::at(env!("CARGO_BIN_EXE_tollway-sim")).arg("--no-auth");
    let mut process = program.arg("--script").arg(&script).arg("--config").arg(&config).start();
    let url = process.wait_for_log("http://").await;
    let ask = json!({ "messages": [{ "role": "user", "content": [{ "text": "hello" }] }] });
    let converse = format!("{url}/model/{PRO}/converse");
    assert_eq!(post(&converse, &ask).await.status.as_u16(), 502);
    post(&converse, &ask).await.ok();
    // 2 tokens of text and 4 for the message, a nano-dollar each.
    assert_eq!(get(&format!("{url}/_sim/bill")).await.json()["nano"], 6);
    process.terminate();
    assert!(process.exited().await.success());
}
