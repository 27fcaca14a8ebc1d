//! In: arguments of kubectl. Out: what it prints, against this cluster, as its administrator.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::Output;

use crate::cluster::Cluster;
use crate::process::{Program, workspace};

impl Cluster {
    /// Where kubectl is.
    pub fn kubectl_path(&self) -> PathBuf {
        self.binaries.join("kubectl")
    }

    /// kubectl with this cluster's kubeconfig, ready for more arguments: `output()` runs it, `start()` leaves it running.
    pub fn kubectl_program(&self) -> Program {
        Program::at(self.kubectl_path()).env("KUBECONFIG", self.kubeconfig()).env("HOME", &self.folder)
    }

    /// Runs kubectl and gives its status and output, whatever they are.
    pub fn try_kubectl<A: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = A>) -> Output {
        self.kubectl_program().args(args).output()
    }

    /// Runs kubectl and gives its stdout; fails with its stderr when it fails.
    pub fn kubectl<A: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = A>) -> String {
        let output = self.try_kubectl(args);
        assert!(output.status.success(), "kubectl: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// `kubectl apply -f` of a file or folder, given from the workspace's root, into a namespace.
    pub fn apply(&self, namespace: &str, path: &str) -> String {
        let path = workspace().join(path);
        self.kubectl([OsStr::new("apply"), "-n".as_ref(), namespace.as_ref(), "-f".as_ref(), path.as_os_str()])
    }

    /// `kubectl apply -f -` of manifests given as text.
    pub fn apply_text(&self, namespace: &str, manifests: &str) -> String {
        let output = self.try_apply_text(namespace, manifests);
        assert!(output.status.success(), "kubectl apply: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// As `apply_text`, with status and output whatever they are: for what must be refused.
    pub fn try_apply_text(&self, namespace: &str, manifests: &str) -> Output {
        let path: PathBuf = crate::scratch::folder("manifests").join("manifests.yaml");
        std::fs::write(&path, manifests).expect("a file for the manifests");
        self.try_kubectl([OsStr::new("apply"), "-n".as_ref(), namespace.as_ref(), "-f".as_ref(), path.as_os_str()])
    }
}
