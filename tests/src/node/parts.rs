//! In: the room and the control plane in it. Out: the other programs of a node, running: containerd, kubelet, kube-proxy, scheduler, DNS.

use std::path::{Path, PathBuf};

use serde_json::json;

use super::obstacle::PLUGINS;
use super::room::{self, Room};
use super::{images, kubelet};
use crate::cluster::{Cluster, NODE};
use crate::process::{Process, Program, free_port};
use crate::wait;

pub(super) const SOCKET: &str = "/run/containerd/containerd.sock";
const PODS: &str = "10.244.0.0/24";

/// containerd, ready to take images.
pub(super) async fn containerd(room: &Room, folder: &Path) -> Process {
    let config = folder.join("containerd.toml");
    let networks = network(folder);
    let text = format!(
        r#"version = 2
root = "/var/lib/containerd"
state = "/run/containerd"
disabled_plugins = ["io.containerd.internal.v1.opt"]
[grpc]
address = "{SOCKET}"
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "docker.io/library/{pause}"
# Containers may not be made less killable than this test is allowed to make them.
restrict_oom_score_adj = true
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "{PLUGINS}"
conf_dir = "{networks}"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
"#,
        pause = images::PAUSE,
        networks = networks.display(),
    );
    std::fs::write(&config, text).expect("containerd's configuration");
    let process = room.enter(Program::at("containerd")).arg("--config").arg(&config).start().quiet();
    room::exists(room, SOCKET).await;
    process
}

/// Each Pod on a link of its own, routed: nothing depends on how the kernel filters bridges.
fn network(folder: &Path) -> PathBuf {
    let config = json!({"cniVersion": "0.4.0", "name": "node", "plugins": [{
        "type": "ptp", "ipMasq": true,
        "ipam": {"type": "host-local", "ranges": [[{"subnet": PODS}]], "routes": [{"dst": "0.0.0.0/0"}]},
    }]});
    let folder = folder.join("networks");
    std::fs::create_dir_all(&folder).expect("a folder for the Pods' network");
    std::fs::write(folder.join("node.conflist"), config.to_string()).expect("the Pods' network");
    folder
}

/// All others.
pub(super) async fn start(room: &Room, folder: &Path, binaries: &Path, cluster: &Cluster) -> Vec<Process> {
    let at = |name: &str| room.enter(Program::at(binaries.join(name)));
    let kubeconfig = format!("--kubeconfig={}", cluster.kubeconfig().display());
    let mut dns = at("coredns").arg("-conf").arg(names(folder, cluster)).start().quiet();
    let kubelet =
        kubelet::arguments(room, folder, cluster).into_iter().fold(at("kubelet"), Program::arg).start().quiet();
    let scheduler = at("kube-scheduler")
        .args([&kubeconfig, "--leader-elect=false", "--bind-address=127.0.0.1"])
        .arg(format!("--secure-port={}", free_port()))
        .start()
        .quiet();
    let proxy = at("kube-proxy")
        .args([&kubeconfig, "--proxy-mode=iptables", "--conntrack-max-per-core=0", "--conntrack-min=0"])
        .args(["--conntrack-tcp-timeout-established=0s", "--conntrack-tcp-timeout-close-wait=0s"])
        .args([format!("--hostname-override={NODE}"), format!("--cluster-cidr={PODS}")])
        .start()
        .quiet();
    wait::until("CoreDNS to listen", async || {
        assert!(dns.is_running(), "CoreDNS ended:\n{}", dns.log_tail(20));
        std::net::TcpStream::connect((room.inside(), 53)).ok()
    })
    .await;
    vec![dns, kubelet, scheduler, proxy]
}

fn names(folder: &Path, cluster: &Cluster) -> PathBuf {
    let path = folder.join("Corefile");
    let text = format!(
        "cluster.local:53 {{\n  errors\n  kubernetes cluster.local {{\n    kubeconfig {config} test\n    ttl 1\n  }}\n}}\n",
        config = cluster.kubeconfig().display(),
    );
    std::fs::write(&path, text).expect("CoreDNS's configuration");
    path
}
