//! A context and a namespace in; what `kubectl` reads and writes there out.

use super::Common;
use anyhow::{Context, bail};
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::process::Command;
use tollway_core::compile::{Verdicts, compile};
use tollway_core::snapshot::{Facts, Snapshot};
use tollway_core::table::Table;

const KINDS: &str = "modelroutes.tollway.dev,embeddingendpoints.tollway.dev,costbudgets.tollway.dev";

/// A namespace, through kubectl.
#[derive(Debug)]
pub struct Cluster {
    chosen: Vec<String>,
}

/// A table and what was said of each resource on the way to it.
#[derive(Debug)]
pub struct Compiled {
    pub table: Table,
    pub verdicts: Verdicts,
}

impl Cluster {
    pub fn new(common: &Common) -> Self {
        let of = |flag: &str, value: &Option<String>| value.as_ref().map(|value| format!("--{flag}={value}"));
        let chosen = [of("namespace", &common.namespace), of("context", &common.context)];
        Self { chosen: chosen.into_iter().flatten().collect() }
    }

    /// Every resource of the namespace, as the API server has it.
    pub fn resources(&self) -> anyhow::Result<Vec<Value>> {
        self.list(KINDS)
    }

    /// What the resources of the namespace compile to.
    pub fn compiled(&self) -> anyhow::Result<Compiled> {
        let (snapshot, facts) = self.known(&[])?;
        Ok(compiled(&snapshot, &facts))
    }

    /// The table as it is, and as it would be with these manifests.
    pub fn with_and_without(&self, manifests: &[String]) -> anyhow::Result<(Compiled, Compiled)> {
        let (snapshot, facts) = self.known(&[])?;
        let mut given = Vec::new();
        for document in manifests.iter().flat_map(|text| serde_yaml::Deserializer::from_str(text)) {
            let object = Value::deserialize(document).context("a manifest cannot be read")?;
            if !object.is_null() {
                given.push(object);
            }
        }
        let (changed, changed_facts) = self.known(&given)?;
        Ok((compiled(&snapshot, &facts), compiled(&changed, &changed_facts)))
    }

    /// Adds an entry to a list in the spec of an object.
    pub fn append(&self, kind: &str, name: &str, list: &str, entry: &Value) -> anyhow::Result<String> {
        let object: Value = serde_json::from_slice(&self.kubectl(["get", kind, name, "-o", "json"])?)?;
        // Tested before: what somebody else changes meanwhile is never lost.
        let version =
            json!({"op": "test", "path": "/metadata/resourceVersion", "value": object["metadata"]["resourceVersion"]});
        let path = format!("/spec/{list}");
        let change = if object["spec"][list].is_array() {
            json!({"op": "add", "path": format!("{path}/-"), "value": entry})
        } else {
            json!({"op": "add", "path": path, "value": [entry]})
        };
        let patch = json!([version, change]).to_string();
        let said = self.kubectl(["patch", kind, name, "--type=json", "-p", &patch])?;
        Ok(String::from_utf8_lossy(&said).into_owned())
    }

    /// Resources and what they refer to; `given` stands in for what has the same kind and name.
    fn known(&self, given: &[Value]) -> anyhow::Result<(Snapshot, Facts)> {
        let mut snapshot = Snapshot::new(self.namespace()?);
        let mut facts = Facts::default();
        let objects = self.resources()?;
        for object in &objects {
            snapshot.read(object)?;
        }
        let mut maps = self.list("configmaps")?;
        for object in given {
            match object["kind"].as_str() {
                Some("ConfigMap") => maps.push(object.clone()),
                Some("Secret") => {}
                _ => {
                    let before = object["metadata"]["name"].as_str().and_then(|name| {
                        objects.iter().find(|o| o["kind"] == object["kind"] && o["metadata"]["name"] == name)
                    });
                    snapshot.read(&succeeding(object, before)).map_err(|error| anyhow::anyhow!("{error}"))?;
                }
            }
        }
        for map in &maps {
            let name = map["metadata"]["name"].as_str().unwrap_or_default().to_owned();
            let data = map["data"].as_object().into_iter().flatten();
            let data = data.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())));
            facts.config_maps.insert(name, data.collect());
        }
        facts.secrets = self.secrets(objects.iter().chain(given))?;
        Ok((snapshot, facts))
    }

    /// The keys of the Secrets that are referred to; what may not be read counts as there, for the operator may read it.
    fn secrets<'o>(
        &self,
        objects: impl Iterator<Item = &'o Value>,
    ) -> anyhow::Result<BTreeMap<String, BTreeSet<String>>> {
        let mut wanted = BTreeMap::new();
        objects.for_each(|object| refer(&object["spec"], &mut wanted));
        let mut found = BTreeMap::new();
        for (name, keys) in wanted {
            let keys_there = "go-template={{range $key, $value := .data}}{{$key}}{{\"\\n\"}}{{end}}";
            let output = self.output(["get", "secret", &name, "-o", keys_there])?;
            if output.status.success() {
                let text = String::from_utf8_lossy(&output.stdout).into_owned();
                found.insert(name, text.lines().map(str::to_owned).collect());
            } else if String::from_utf8_lossy(&output.stderr).contains("Forbidden") {
                found.insert(name, keys);
            }
        }
        Ok(found)
    }

    fn namespace(&self) -> anyhow::Result<String> {
        if let Some(named) = self.chosen.iter().find_map(|flag| flag.strip_prefix("--namespace=")) {
            return Ok(named.to_owned());
        }
        let said = self.kubectl(["config", "view", "--minify", "-o", "jsonpath={..namespace}"])?;
        let said = String::from_utf8_lossy(&said).trim().to_owned();
        Ok(if said.is_empty() { "default".to_owned() } else { said })
    }

    fn list(&self, kinds: &str) -> anyhow::Result<Vec<Value>> {
        let mut list: Value = serde_json::from_slice(&self.kubectl(["get", kinds, "-o", "json"])?)
            .context("kubectl printed something else than JSON")?;
        Ok(list["items"].as_array_mut().map(std::mem::take).unwrap_or_default())
    }

    fn kubectl<const N: usize>(&self, args: [&str; N]) -> anyhow::Result<Vec<u8>> {
        let output = self.output(args)?;
        if !output.status.success() {
            bail!("{}", String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(output.stdout)
    }

    fn output<const N: usize>(&self, args: [&str; N]) -> anyhow::Result<std::process::Output> {
        // kubectl tells its plugins nothing of where it is itself.
        let program = std::env::var_os("KUBECTL").unwrap_or_else(|| OsString::from("kubectl"));
        Command::new(&program).args(args).args(&self.chosen).output().with_context(|| {
            format!("{} did not start: put kubectl into the PATH, or name it in KUBECTL", program.display())
        })
    }
}

fn compiled(snapshot: &Snapshot, facts: &Facts) -> Compiled {
    let (table, verdicts) = compile(snapshot, facts);
    Compiled { table, verdicts }
}

/// What the API server would have after `kubectl apply`: a new spec under the same identity.
fn succeeding(object: &Value, before: Option<&Value>) -> Value {
    let Some(before) = before else { return object.clone() };
    let mut after = before.clone();
    after["spec"] = object["spec"].clone();
    if let Some(labels) = object["metadata"].get("labels") {
        after["metadata"]["labels"] = labels.clone();
    }
    after
}

/// Every `secretRef` with the key it names.
fn refer(value: &Value, wanted: &mut BTreeMap<String, BTreeSet<String>>) {
    match value {
        Value::Object(fields) => {
            for (field, value) in fields {
                if let (true, Some(name)) = (field == "secretRef", value["name"].as_str()) {
                    let key = value["key"].as_str().unwrap_or("apiKey").to_owned();
                    wanted.entry(name.to_owned()).or_default().insert(key);
                }
                refer(value, wanted);
            }
        }
        Value::Array(values) => values.iter().for_each(|value| refer(value, wanted)),
        _ => {}
    }
}
