//! In: KUBEBUILDER_ASSETS, or the cache that `tests/cluster/build.sh` fills. Out: the folder with kube-apiserver, etcd and kubectl.

use std::path::PathBuf;
use std::process::Command;

use crate::process::workspace;

/// The command that makes what is missing.
pub const BUILD: &str = "tests/cluster/build.sh";

/// The folder; fails with the command that fills it.
pub fn find() -> PathBuf {
    let script = workspace().join(BUILD);
    let output = Command::new(&script).arg("--where").output().unwrap_or_else(|e| panic!("{}: {e}", script.display()));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let folder = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
    for program in ["kube-apiserver", "etcd", "kubectl"] {
        assert!(
            folder.join(program).is_file(),
            "{} has no {program}: run {BUILD} (about 10 minutes, once)",
            folder.display()
        );
    }
    folder
}
