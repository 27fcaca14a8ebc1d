//! The corpus of translations in; AWS's service model judges every Converse request in it.

use serde_json::Value;
use std::fs;
use std::path::Path;
use tollway_tests::sim::Shapes;

/// Case folders and the JSON of the file `name` in each that has it.
fn corpus(name: &str) -> Vec<(String, Value)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus/openai-to-bedrock");
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
    let requests = corpus("upstream-request.json");
    assert!(requests.len() >= 40, "only {} requests: the corpus is not there", requests.len());
    for (case, request) in requests {
        let faults = Shapes::table().faults("ConverseRequest", &request);
        assert!(faults.is_empty(), "{case}: {faults:?}");
    }
}
