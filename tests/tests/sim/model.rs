//! Shapes and error statuses against botocore's model of the service.

use serde_json::Value;
use std::collections::BTreeSet;
use tollway_tests::python;
use tollway_tests::sim::Exception;
use tollway_tests::sim::shapes::{Kind, Shapes};

fn service() -> Value {
    let output = python::script("service_model.py").arg("bedrock-runtime").output();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// How the service model's shape `name` is written in the simulator's table.
fn written(service: &Value, name: &str) -> Kind {
    let shape = &service["shapes"][name];
    match shape["type"].as_str().unwrap() {
        "structure" if shape["document"] == true => Kind::Document,
        "structure" => Kind::Shape(name.to_owned()),
        "list" => Kind::List(Box::new(written(service, shape["member"]["shape"].as_str().unwrap()))),
        "map" => Kind::Map,
        "string" if shape["enum"].is_array() => {
            Kind::Words(shape["enum"].as_array().unwrap().iter().map(|w| w.as_str().unwrap().to_owned()).collect())
        }
        simple => Kind::Simple(simple.to_owned(), shape["min"].as_f64(), shape["max"].as_f64()),
    }
}

#[test]
fn every_shape_is_the_service_models() {
    let service = service();
    let table = &Shapes::table().0;
    assert!(table.len() > 60, "{} shapes", table.len());
    for (name, ours) in table {
        let theirs = &service["shapes"][name];
        let members = theirs["members"].as_object().unwrap_or_else(|| panic!("the service has no shape {name}"));
        let in_body: BTreeSet<&String> =
            members.iter().filter(|(_, m)| m["location"].is_null()).map(|(n, _)| n).collect();
        assert_eq!(ours.members.iter().map(|m| &m.name).collect::<BTreeSet<_>>(), in_body, "members of {name}");
        // botocore calls the stream an event stream; on the wire it is a union.
        assert_eq!(ours.union, theirs["union"] == true || theirs["eventstream"] == true, "{name} as a union");
        for member in &ours.members {
            let at = format!("{name}.{}", member.name);
            let required = theirs["required"].as_array().is_some_and(|list| list.contains(&member.name.clone().into()));
            assert_eq!(member.required, required, "whether {at} is required");
            // What guardrails trace is passed on as it is.
            if member.name != "trace" || !name.starts_with("Converse") {
                let target = members[&member.name]["shape"].as_str().unwrap();
                assert_eq!(member.kind, written(&service, target), "{at}");
            }
        }
    }
}

#[test]
fn every_exception_has_the_service_models_status() {
    let service = service();
    for exception in Exception::ALL {
        let (name, status, message) = exception.wire();
        assert_eq!(service["shapes"][name]["error"]["httpStatusCode"], status, "{name}");
        assert!(!message.is_empty());
    }
    for operation in ["Converse", "ConverseStream"] {
        let names: BTreeSet<&str> = Exception::ALL.iter().map(|e| e.wire().0).collect();
        for error in service["operations"][operation]["errors"].as_array().unwrap() {
            assert!(names.contains(error["shape"].as_str().unwrap()), "{operation} can answer {error}");
        }
    }
    let stream = service["shapes"]["ConverseStreamOutput"]["members"].as_object().unwrap();
    let theirs: BTreeSet<&str> =
        stream.values().filter_map(|m| m["shape"].as_str()).filter(|s| s.ends_with("Exception")).collect();
    assert_eq!(Exception::IN_STREAM.iter().map(|e| e.wire().0).collect::<BTreeSet<_>>(), theirs);
}
