//! In: this machine. Out: why a node cannot run on it, when its kernel or its user does not permit one; a missing package is a failure.

use std::path::Path;
use std::process::Command;

/// Debian's programs that a node needs, each with its package.
const PROGRAMS: [(&str, &str); 8] = [
    ("containerd", "containerd"),
    ("ctr", "containerd"),
    ("runc", "runc"),
    ("iptables", "iptables"),
    ("ip", "iproute2"),
    ("busybox", "busybox-static"),
    ("curl", "curl"),
    ("strip", "binutils"),
];

/// Where Debian puts the plugins that connect Pods.
pub(super) const PLUGINS: &str = "/usr/lib/cni";

/// Why no node can run here; none when one can. Fails with the command that installs it when a package is missing.
pub fn obstacle() -> Option<String> {
    if !rustix::process::geteuid().is_root() {
        return Some("a node needs root (namespaces, mounts and control groups)".to_owned());
    }
    let apart = Command::new("unshare").args(["--net", "--mount", "--pid", "--fork", "--mount-proc", "true"]).output();
    match apart {
        Ok(output) if output.status.success() => {}
        Ok(output) => {
            return Some(format!(
                "the kernel permits no namespaces of one's own: {}",
                String::from_utf8_lossy(&output.stderr).trim()
            ));
        }
        Err(error) => return Some(format!("there is no unshare: {error}")),
    }
    let overlay = std::fs::read_to_string("/proc/filesystems").unwrap_or_default();
    if !overlay.split_whitespace().any(|name| name == "overlay") {
        return Some("the kernel has no overlay file system".to_owned());
    }
    let hierarchies = super::room::hierarchies();
    let probe = format!("tollway-probe-{}-{:08x}", std::process::id(), fastrand::u32(..));
    for hierarchy in &hierarchies {
        let folder = hierarchy.join(&probe);
        if let Err(error) = std::fs::create_dir(&folder) {
            return Some(format!("no control group can be made in {}: {error}", hierarchy.display()));
        }
        let _ = std::fs::remove_dir(&folder);
    }
    if hierarchies.is_empty() {
        return Some("there are no control groups in /sys/fs/cgroup".to_owned());
    }
    missing();
    None
}

fn missing() {
    let path = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default());
    let there = |program: &str| std::env::split_paths(&path).any(|folder| folder.join(program).is_file());
    let mut packages: Vec<&str> =
        PROGRAMS.iter().filter(|(program, _)| !there(program)).map(|(_, package)| *package).collect();
    if !Path::new(PLUGINS).join("ptp").is_file() {
        packages.push("containernetworking-plugins");
    }
    packages.dedup();
    assert!(packages.is_empty(), "a node needs these packages: sudo apt-get install {}", packages.join(" "));
}
