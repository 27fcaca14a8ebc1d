//! In: the chart and values. Out: what Helm makes of them, alone or in a cluster.

use std::path::PathBuf;
use std::process::{Command, Output};

use serde_json::Value;

use crate::cluster::Cluster;
use crate::process::{Program, workspace};
use crate::scratch;

const BUILD: &str = "tests/helm/build.sh";

/// Values with everything switched on, from the workspace's root.
pub const FULL: &str = "charts/tollway/ci/full-values.yaml";

/// Where Helm is. Fails with the command that builds it.
pub fn path() -> PathBuf {
    let script = workspace().join(BUILD);
    let output = Command::new(&script).arg("--where").output().unwrap_or_else(|e| panic!("{}: {e}", script.display()));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let path = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
    assert!(path.is_file(), "{} does not exist: run {BUILD} (about 6 minutes, once)", path.display());
    path
}

/// Helm with folders of its own.
fn helm() -> Program {
    let home = scratch::folder("helm");
    ["HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME"]
        .iter()
        .fold(Program::at(path()), |program, name| program.env(name, &home))
}

/// `helm <command> tollway <chart>` in `tollway-system` with these values, against nothing.
fn alone(command: &[&str], values: &str) -> Output {
    let file = scratch::folder("values").join("values.yaml");
    std::fs::write(&file, values).expect("a file for the values");
    helm().args(command).arg(workspace().join("charts/tollway")).args(["-n", "tollway-system", "-f"]).arg(file).output()
}

/// The objects that the chart makes of these values, in their order.
pub fn template(values: &str) -> Vec<Value> {
    let output = alone(&["template", "tollway"], values);
    assert!(output.status.success(), "helm template: {}", String::from_utf8_lossy(&output.stderr));
    serde_yaml::Deserializer::from_slice(&output.stdout)
        .map(|document| serde::Deserialize::deserialize(document).expect("YAML"))
        .filter(|object: &Value| !object.is_null())
        .collect()
}

/// What Helm says of values that it must refuse.
pub fn refusal(values: &str) -> String {
    let output = alone(&["template", "tollway"], values);
    assert!(!output.status.success(), "helm took these values:\n{values}");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// What `helm lint --strict` says, when it is content.
pub fn lint(values: &str) -> String {
    let output = alone(&["lint", "--strict"], values);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

impl Cluster {
    /// Helm against this cluster, in `tollway-system`; fails when it fails.
    pub fn helm(&self, args: &[&str]) -> String {
        let program = helm().env("KUBECONFIG", self.kubeconfig()).current_dir(workspace());
        let output = program.args(args).args(["-n", "tollway-system"]).output();
        assert!(output.status.success(), "helm {}: {}", args.join(" "), String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }
}
