//! In: a machine that permits it. Out: a whole Kubernetes node on it: control plane, scheduler, kubelet with containerd, kube-proxy,
//! cluster DNS, and our images in its store.
//!
//! ```no_run
//! # async fn example() {
//! use tollway_tests::node::{Node, obstacle};
//! if let Some(why) = obstacle() {
//!     return println!("cannot run here: {why}");
//! }
//! let node = Node::start().await;
//! node.cluster.helm(&["install", "tollway", "charts/tollway", "--create-namespace"]);
//! println!("{}", node.cluster.kubectl(["get", "pods", "-A"]));
//! # }
//! ```
//!
//! # Why namespaces of its own
//! Everything runs in one network, mount and process namespace ([`Room`]): when its first process ends, so does every other one, and
//! with the last of them go all mounts, addresses and packet rules, however the test ended.

mod images;
mod kubelet;
mod obstacle;
mod parts;
mod room;

pub use images::image_of_client;
pub use obstacle::obstacle;
pub use room::Room;

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::cluster::{Cluster, Options};
use crate::process::{Process, Program, workspace};
use crate::{scratch, wait};

const BUILD: &str = "tests/node/build.sh";

/// A running node. Dropped: nothing of it is left.
#[derive(Debug)]
pub struct Node {
    pub cluster: Cluster,
    room: Room,
    folder: PathBuf,
    _parts: Vec<Process>,
}

impl Node {
    /// Ready for Pods, with the images imported. Nothing is installed in it.
    pub async fn start() -> Node {
        let binaries = binaries();
        let folder = scratch::folder("node");
        let images = std::thread::spawn({
            let folder = folder.join("images");
            move || images::make(&folder)
        });
        let room = Room::open(&folder.join("room")).await;
        let containerd = parts::containerd(&room, &folder).await;
        let options =
            Options { crds: false, controller_manager: true, address: room.inside().into(), ..Options::default() };
        let cluster = Cluster::start_in(options, |program| room.enter(program)).await;
        let images = images.join().expect("the images");
        images::import(&room, &images);
        let mut parts = parts::start(&room, &folder, &binaries, &cluster).await;
        parts.push(containerd);
        let node = Node { cluster, room, folder, _parts: parts };
        node.ready().await;
        node
    }

    /// The address of this machine that Pods reach: where a simulator is to listen.
    pub fn outside(&self) -> std::net::Ipv4Addr {
        self.room.outside()
    }

    /// Where this machine sees a file of the node.
    pub fn path(&self, inside: &str) -> PathBuf {
        self.room.path(inside)
    }

    /// A shell's line as a person at this cluster types it: kubectl and helm in the PATH, in the workspace's folder.
    pub fn shell(&self, line: &str) -> Program {
        let path = format!("{}:{}", self.tools().display(), std::env::var("PATH").unwrap_or_default());
        // What hangs ends, and says so by its status.
        Program::at("timeout")
            .args(["180", "bash", "-euo", "pipefail", "-c", line])
            .env("PATH", path)
            .env("KUBECONFIG", self.cluster.kubeconfig())
            .env("HOME", &self.folder)
            .current_dir(workspace())
    }

    /// The folder of the programs that come first in such a line's PATH.
    pub fn tools(&self) -> PathBuf {
        let tools = self.folder.join("tools");
        if !tools.exists() {
            std::fs::create_dir(&tools).expect("a folder for tools");
            self.tool("kubectl", &self.cluster.kubectl_path());
            self.tool("helm", &crate::helm::path());
        }
        tools
    }

    /// Adds one.
    pub fn tool(&self, name: &str, program: &Path) {
        std::os::unix::fs::symlink(program, self.tools().join(name)).expect("a link to the tool");
    }

    /// Runs such a line and gives its stdout; fails with what it said when it fails.
    pub fn run(&self, line: &str) -> String {
        let output = self.shell(line).output();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        assert!(output.status.success(), "{line}: {}\n{}{}", output.status, text(&output.stdout), text(&output.stderr));
        text(&output.stdout)
    }

    async fn ready(&self) {
        wait::until("the node to be Ready, and a service account to run Pods as", async || {
            let ready = "jsonpath={.items[*].status.conditions[?(@.type=='Ready')].status}";
            let node = self.cluster.kubectl(["get", "nodes", "-o", ready]);
            let account = self.cluster.try_kubectl(["get", "serviceaccount", "default", "-n", "default"]);
            (node == "True" && account.status.success()).then_some(())
        })
        .await;
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for line in [
                "kubectl get pods -A -o wide",
                "kubectl get events -A --sort-by=.lastTimestamp | tail -n 40",
                "kubectl -n tollway-system logs -l app.kubernetes.io/component=operator --prefix --tail=30",
            ] {
                let output = self.shell(line).output();
                eprintln!("--- {line}\n{}", String::from_utf8_lossy(&output.stdout));
            }
        }
    }
}

fn binaries() -> PathBuf {
    let script = workspace().join(BUILD);
    let output = Command::new(&script).arg("--where").output().unwrap_or_else(|e| panic!("{}: {e}", script.display()));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let folder = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
    for program in ["kube-scheduler", "kube-proxy", "kubelet", "coredns"] {
        assert!(
            folder.join(program).is_file(),
            "{} has no {program}: run {BUILD} (about 6 minutes, once)",
            folder.display()
        );
    }
    folder
}
