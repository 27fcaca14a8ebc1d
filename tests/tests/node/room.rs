//! A room that is left in disorder leaves nothing on this machine.

use tollway_tests::node::Room;
use tollway_tests::process::Program;
use tollway_tests::{scratch, wait};

use super::cannot_run;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_room_leaves_nothing() {
    if cannot_run() {
        return;
    }
    let values = || {
        ["vm/overcommit_memory", "kernel/panic", "kernel/panic_on_oops"]
            .map(|name| std::fs::read_to_string(format!("/proc/sys/{name}")).expect("a sysctl"))
    };
    let mounts = || std::fs::read_to_string("/proc/mounts").expect("the mounts");
    let (values_before, mounts_before) = (values(), mounts());

    let room = Room::open(&scratch::folder("room")).await;
    let (pid, group) = (room.pid(), room.group().to_owned());
    // A process that outlives its parent, in a group below the room's, with a mount and a sysctl of its own.
    let script = format!(
        "mount -t tmpfs tmpfs /run/netns
for h in /sys/fs/cgroup /sys/fs/cgroup/*; do
  [ -d $h/{group} ] || continue
  mkdir $h/{group}/below
  cat $h/{group}/cpuset.cpus >$h/{group}/below/cpuset.cpus 2>/dev/null || :
  cat $h/{group}/cpuset.mems >$h/{group}/below/cpuset.mems 2>/dev/null || :
done
for h in /sys/fs/cgroup /sys/fs/cgroup/*; do
  [ -d $h/{group}/below ] || continue
  setsid sh -c 'echo 0 >'$h/{group}/below/cgroup.procs'; exec sleep 1000' >/dev/null 2>&1 &
done
cat /proc/sys/kernel/panic; echo 77 >/proc/sys/kernel/panic; ip route get {outside}",
        outside = room.outside()
    );
    let output = room.enter(Program::at("/bin/sh").args(["-c", &script])).output();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(String::from_utf8_lossy(&output.stdout).starts_with("10\n"), "kubelet finds what it wants");
    let address = format!("{}/30", room.outside());
    let all = || String::from_utf8_lossy(&Program::at("ip").args(["-brief", "address"]).output().stdout).into_owned();
    // The kernel may leave out one when another is made at that moment, and takes a link away some moments after its end.
    wait::until("the link", async || all().contains(&address).then_some(())).await;

    drop(room);
    assert_eq!(values(), values_before);
    assert_eq!(mounts(), mounts_before);
    assert!(!std::path::Path::new(&format!("/proc/{pid}/exe")).exists(), "its first process");
    wait::until("the link to go", async || (!all().contains(&address)).then_some(())).await;
    let found = Program::at("find").args(["/sys/fs/cgroup", "-name", &group]).output();
    assert_eq!(String::from_utf8_lossy(&found.stdout), "", "a control group");
}
