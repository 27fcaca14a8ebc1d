//! In: a folder. Out: a network, mount and process namespace of its own, a link between it and this machine, and a control group; all of it gone when dropped.
//!
//! # Why files over sysctls
//! kubelet sets six parameters of the whole machine. Inside of the room, files with the values that it wants lie over them: it finds
//! nothing to change, and there is nothing to restore.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::process::{Process, Program};
use crate::{scratch, wait};

/// The first process of the room. `$1`: a folder on disk, for what is too large for memory.
const FIRST: &str = r#"
set -e
export PATH=$PATH:/usr/sbin:/sbin
mount -t tmpfs tmpfs /run
mkdir -p /run/netns /run/lock /run/upper /run/work
# Mount points that this machine may not have: nothing is made on it.
mount -t overlay -o lowerdir=/var/lib,upperdir=/run/upper,workdir=/run/work overlay /var/lib
for folder in /var/lib/kubelet /var/lib/containerd /var/lib/cni /var/log; do
  mkdir -p "$folder" "$1$folder"
  mount --bind "$1$folder" "$folder"
done
while read -r name value; do
  echo "$value" >"$1/sysctl-$(basename "$name")"
  [ ! -e "/proc/sys/$name" ] || mount --bind "$1/sysctl-$(basename "$name")" "/proc/sys/$name"
done <<'VALUES'
vm/overcommit_memory 1
vm/panic_on_oom 0
kernel/panic 10
kernel/panic_on_oops 1
kernel/keys/root_maxkeys 1000000
kernel/keys/root_maxbytes 25000000
VALUES
echo 1 >/proc/sys/net/ipv4/ip_forward
ip link set lo up
mount --make-rshared /
echo open
while :; do sleep 1000 & wait; done
"#;

/// The namespaces, alive.
#[derive(Debug)]
pub struct Room {
    /// Of the control group.
    name: String,
    first: Process,
    pid: u32,
    outside: Ipv4Addr,
}

impl Room {
    /// Opens one and connects it.
    pub async fn open(folder: &Path) -> Room {
        sweep();
        std::fs::create_dir_all(folder).expect("a folder for the room");
        let name = format!("tollway-node-{}-{:04x}", std::process::id(), fastrand::u16(..));
        scratch::group(&name);
        control_group(&name);
        let mut first = Program::at("unshare")
            .args(["--net", "--mount", "--pid", "--uts", "--fork", "--mount-proc", "--kill-child=KILL", "--"])
            .args(["/bin/sh", "-c", FIRST, "room"])
            .arg(folder)
            .start();
        first.wait_for_log("open").await;
        let unshare = first.pid();
        let children = std::fs::read_to_string(format!("/proc/{unshare}/task/{unshare}/children"));
        let pid = children.ok().and_then(|text| text.trim().parse().ok()).expect("the first process of the room");
        let outside = connect(pid);
        Room { name, first, pid, outside }
    }

    /// The address of this machine on the link.
    pub fn outside(&self) -> Ipv4Addr {
        self.outside
    }

    /// The address of the room on the link.
    pub fn inside(&self) -> Ipv4Addr {
        Ipv4Addr::from(u32::from(self.outside) + 1)
    }

    /// The control group below which Pods live.
    pub fn group(&self) -> &str {
        &self.name
    }

    /// The process id, on this machine, of the first process in the room.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Where this machine sees a file of the room.
    pub fn path(&self, inside: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root{inside}", self.pid))
    }

    /// The program, to be run in the room. Killing its process alone may leave it: the room ends it.
    pub fn enter(&self, program: Program) -> Program {
        let path = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default());
        program.env("PATH", path).through([
            "nsenter",
            "--target",
            &self.pid.to_string(),
            "--net",
            "--mount",
            "--pid",
            "--uts",
            "--",
        ])
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.first.kill();
        for _ in 0..200 {
            remove_group(&self.name);
            if !group_exists(&self.name) {
                break;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

/// Addresses for tests of equipment (RFC 2544): four of them, chosen so that two runs do not meet.
fn connect(pid: u32) -> Ipv4Addr {
    let link = format!("tw{:08x}", fastrand::u32(..));
    let outside = Ipv4Addr::from(u32::from(Ipv4Addr::new(198, 18, 0, 1)) + 4 * fastrand::u32(..1 << 15));
    let inside = Ipv4Addr::from(u32::from(outside) + 1);
    let pid = pid.to_string();
    run(&["ip", "link", "add", &link, "type", "veth", "peer", "name", "eth0", "netns", &pid]);
    run(&["ip", "address", "add", &format!("{outside}/30"), "dev", &link]);
    run(&["ip", "link", "set", &link, "up"]);
    for line in [
        format!("address add {inside}/30 dev eth0"),
        "link set eth0 up".to_owned(),
        format!("route add default via {outside}"),
    ] {
        let mut command = vec!["nsenter", "--target", &pid, "--net", "ip"];
        command.extend(line.split(' '));
        run(&command);
    }
    outside
}

fn run(command: &[&str]) {
    let output = Program::at(command[0]).args(&command[1..]).output();
    assert!(output.status.success(), "{}: {}", command.join(" "), String::from_utf8_lossy(&output.stderr));
}

/// Where control groups are made: one folder, or with the first version one for each controller.
pub(super) fn hierarchies() -> Vec<PathBuf> {
    let root = PathBuf::from("/sys/fs/cgroup");
    if root.join("cgroup.controllers").exists() {
        return vec![root];
    }
    let entries = std::fs::read_dir(&root).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).filter(|path| path.join("cgroup.procs").exists() && !path.is_symlink()).collect()
}

fn control_group(name: &str) {
    for hierarchy in hierarchies() {
        let folder = hierarchy.join(name);
        std::fs::create_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
        // Of the first version, which gives a new group no core and no memory.
        for file in ["cpuset.cpus", "cpuset.mems"] {
            if let Ok(value) = std::fs::read_to_string(hierarchy.join(file)) {
                let _ = std::fs::write(folder.join(file), value);
            }
        }
    }
}

fn group_exists(name: &str) -> bool {
    hierarchies().iter().any(|hierarchy| hierarchy.join(name).exists())
}

fn remove_group(name: &str) {
    fn remove(folder: &Path) {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                remove(&entry.path());
            }
        }
        // Busy while a process is still leaving; the caller tries again.
        let _ = std::fs::remove_dir(folder);
    }
    hierarchies().iter().for_each(|hierarchy| remove(&hierarchy.join(name)));
}

/// Control groups of runs whose process is gone: their sweeper was killed too.
fn sweep() {
    for hierarchy in hierarchies() {
        for entry in std::fs::read_dir(hierarchy).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let owner = name.strip_prefix("tollway-node-").and_then(|rest| rest.split('-').next());
            if owner.is_some_and(|pid| !Path::new("/proc").join(pid).exists()) {
                remove_group(&name);
            }
        }
    }
}

/// Waits until a file, a socket say, is there inside of the room.
pub(super) async fn exists(room: &Room, path: &str) {
    let path = room.path(path);
    wait::until(&format!("{}", path.display()), async || path.exists().then_some(())).await;
}
