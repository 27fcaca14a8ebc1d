//! boto3 as a client: what an application in Python sees.

use super::{PRO, start};
use serde_json::{Value, json};
use tollway_tests::python;
use tollway_tests::sim::{Block, Credential, Exception, Reply, Rule, Sim};

async fn client(sim: &Sim, failures: usize, in_stream: usize) -> Value {
    let credential = Credential::example();
    let program = python::script("bedrock_client.py")
        .args([PRO, &failures.to_string(), &in_stream.to_string()])
        .env("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", sim.url())
        .env("AWS_ACCESS_KEY_ID", credential.access_key_id)
        .env("AWS_SECRET_ACCESS_KEY", credential.secret_access_key);
    let output = tokio::task::spawn_blocking(move || program.output()).await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[tokio::test]
async fn an_application_in_python_sees_bedrock() {
    let sim = start().await;
    let reply = Reply::blocks([
        Block::Text("It is noon.".to_owned()),
        Block::ToolUse { id: "t1".to_owned(), name: "clock".to_owned(), input: json!({ "zone": "UTC" }) },
    ]);
    sim.script(Rule::reply(reply));
    for exception in Exception::ALL {
        sim.script(Rule::error(exception).stream(false).times(1));
    }
    for exception in Exception::IN_STREAM {
        sim.script(Rule::stream_error(exception, 2).stream(true).times(1));
    }
    let seen = client(&sim, Exception::ALL.len(), Exception::IN_STREAM.len()).await;

    for (failure, exception) in seen["failures"].as_array().unwrap().iter().zip(Exception::ALL) {
        let (name, status, _) = exception.wire();
        // boto3 makes a class of its own for every exception its service model has.
        assert_eq!(failure, &json!({ "code": name, "status": status, "type": name }));
    }
    let in_stream = Exception::IN_STREAM.map(|e| {
        let name = e.wire().0;
        name[..1].to_lowercase() + &name[1..]
    });
    assert_eq!(seen["inStream"], json!(in_stream));

    let call = json!({ "toolUse": { "toolUseId": "t1", "name": "clock", "input": { "zone": "UTC" } } });
    assert_eq!(seen["plain"]["output"]["message"]["content"], json!([{ "text": "It is noon." }, call]));
    assert_eq!(seen["plain"]["stopReason"], "tool_use");
    let events = seen["events"].as_array().unwrap();
    let text: String = events.iter().filter_map(|e| e["contentBlockDelta"]["delta"]["text"].as_str()).collect();
    assert_eq!(text, "It is noon.");
    assert_eq!(events.last().unwrap()["metadata"]["usage"], seen["plain"]["usage"]);
    assert_eq!(seen["plain"]["usage"]["inputTokens"], 8);
    assert!(sim.requests().iter().all(|seen| seen.client.as_deref() == Some("AKIASIMULATED0000001")));
}
