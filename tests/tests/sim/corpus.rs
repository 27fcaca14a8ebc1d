//! The corpus of translations in; AWS's service model judges every Converse request and answer in it.

use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use tollway_tests::sim::Shapes;

/// Case folders and the JSON of the file `name` in each that has it.
fn corpus(pair: &str, name: &str) -> Vec<(String, Value)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(pair);
    let cases = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    cases
        .filter_map(|case| {
            let json = serde_json::from_str(&fs::read_to_string(case.join(name)).ok()?).unwrap();
            Some((case.file_name()?.to_string_lossy().into_owned(), json))
        })
        .collect()
}

#[test]
fn every_translated_request_is_one_that_converse_takes() {
    let requests = corpus("openai-to-bedrock", "upstream-request.json");
    assert!(requests.len() >= 40, "only {} requests: the corpus is not there", requests.len());
    for (case, request) in requests {
        let faults = Shapes::table().faults("ConverseRequest", &request);
        assert!(faults.is_empty(), "{case}: {faults:?}");
    }
}

#[test]
fn every_answer_to_a_client_of_bedrock_is_one_that_converse_gives() {
    let answers = corpus("bedrock-to-openai", "response.json");
    assert!(answers.len() >= 10, "only {} answers: the corpus is not there", answers.len());
    for (case, answer) in answers {
        let faults = Shapes::table().faults("ConverseResponse", &answer);
        assert!(faults.is_empty(), "{case}: {faults:?}");
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus/bedrock-to-openai");
    let mut frames = 0;
    for case in fs::read_dir(folder).unwrap() {
        let Ok(lines) = fs::read_to_string(case.unwrap().path().join("response.jsonl")) else { continue };
        for line in lines.lines() {
            let line: Value = serde_json::from_str(line).unwrap();
            let name = line["event"].as_str().or_else(|| line["exception"].as_str()).unwrap();
            let faults = Shapes::table().faults("ConverseStreamOutput", &json!({ name: line["payload"] }));
            assert!(faults.is_empty(), "{line}: {faults:?}");
            frames += 1;
        }
    }
    assert!(frames > 20, "only {frames} frames: the corpus is not there");
}
