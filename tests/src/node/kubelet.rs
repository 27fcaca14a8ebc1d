//! In: the room and its control plane. Out: kubelet's configuration and arguments.

use std::path::Path;

use serde_json::json;

use super::parts::SOCKET;
use super::room::Room;
use crate::cluster::{Cluster, NODE};

/// Writes the files and gives the arguments that name them.
pub(super) fn arguments(room: &Room, folder: &Path, cluster: &Cluster) -> [String; 5] {
    let (config, kubeconfig) = (folder.join("kubelet.json"), folder.join("kubelet.kubeconfig"));
    std::fs::write(&kubeconfig, cluster.kubeconfig_of_node()).expect("kubelet's kubeconfig");
    let text = json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "authentication": {
            "anonymous": {"enabled": false},
            "webhook": {"enabled": false},
            "x509": {"clientCAFile": cluster.ca()},
        },
        "authorization": {"mode": "AlwaysAllow"},
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": format!("/{}", room.group()),
        "failCgroupV1": false,
        "failSwapOn": false,
        "clusterDNS": [room.inside()],
        "clusterDomain": "cluster.local",
        "resolvConf": "",
        "containerRuntimeEndpoint": format!("unix://{SOCKET}"),
        // A test machine's disk may be as full as it likes.
        "evictionHard": {"memory.available": "10Mi", "nodefs.available": "1%", "imagefs.available": "1%", "nodefs.inodesFree": "1%", "imagefs.inodesFree": "1%"},
        "imageGCHighThresholdPercent": 100,
        "imageGCLowThresholdPercent": 99,
    });
    std::fs::write(&config, text.to_string()).expect("kubelet's configuration");
    [
        format!("--config={}", config.display()),
        format!("--kubeconfig={}", kubeconfig.display()),
        format!("--hostname-override={NODE}"),
        format!("--node-ip={}", room.inside()),
        format!("--cert-dir={}", folder.join("kubelet-pki").display()),
    ]
}
