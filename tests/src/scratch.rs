//! In: the process ids, folders and control groups that a test run makes. Out: none of them is left when the test process is gone, however it ended.
//!
//! # Why
//! `Drop` does not run for statics (the shared cluster is one), nor after kill -9 or a time-out of the runner. So one small shell stands
//! beside every test process and reads a pipe from it: at the pipe's end it kills what is still on its list and removes the folder.

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{LazyLock, Mutex, PoisonError};

const SWEEPER: &str = r#"
pids=
groups=
while read -r verb pid; do
  case $verb in
    group) groups="$groups $pid" ;;
    started) pids="$pids $pid" ;;
    ended) left=; for p in $pids; do [ "$p" = "$pid" ] || left="$left $p"; done; pids=$left ;;
  esac
done
for p in $pids; do kill -9 "$p" 2>/dev/null; done
for g in $groups; do
  tries=0
  # What was killed above leaves its groups a moment later.
  while find /sys/fs/cgroup -mindepth 1 -maxdepth 2 -name "$g" 2>/dev/null | grep -q . && [ $tries -lt 100 ]; do
    find /sys/fs/cgroup -depth -type d -path "*/$g*" -exec rmdir {} \; 2>/dev/null
    tries=$((tries + 1))
    sleep 0.1
  done
done
[ -n "$TOLLWAY_KEEP" ] || rm -rf -- "$1"
"#;

struct Scratch {
    root: PathBuf,
    sweeper: Mutex<ChildStdin>,
    next: AtomicU32,
    // Never waited for: it outlives this process on purpose.
    _shell: Child,
}

static SCRATCH: LazyLock<Scratch> = LazyLock::new(|| {
    let root = std::env::temp_dir().join(format!("tollway-tests-{}-{:08x}", std::process::id(), fastrand::u32(..)));
    std::fs::create_dir_all(&root).expect("a folder for this test run in the temporary directory");
    let mut shell = Command::new("/bin/sh")
        .args(["-c", SWEEPER, "sweeper"])
        .arg(&root)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .current_dir("/")
        // Its own group, so that an interrupt at the terminal does not end it before its work.
        .process_group(0)
        .spawn()
        .expect("/bin/sh, to clean up after the tests");
    let pipe = shell.stdin.take().expect("the pipe asked for above");
    Scratch { root, sweeper: Mutex::new(pipe), next: AtomicU32::new(0), _shell: shell }
});

/// A new empty folder, gone when the test process is gone. With `TOLLWAY_KEEP=1` it stays, for a look at logs.
pub fn folder(name: &str) -> PathBuf {
    let path = SCRATCH.root.join(format!("{:03}-{name}", SCRATCH.next.fetch_add(1, Ordering::Relaxed)));
    std::fs::create_dir_all(&path).expect("a folder inside this test run's own");
    path
}

/// The process will be killed when this test process ends, unless [`ended`] is said first.
pub(crate) fn started(pid: u32) {
    tell("started", pid);
}

/// The process was waited for: its id may belong to another one from now on.
pub(crate) fn ended(pid: u32) {
    tell("ended", pid);
}

/// The control group of this name, in whatever hierarchies, goes when this test process ends, with all below it.
pub(crate) fn group(name: &str) {
    tell("group", name);
}

fn tell(verb: &str, what: impl std::fmt::Display) {
    let mut pipe = SCRATCH.sweeper.lock().unwrap_or_else(PoisonError::into_inner);
    writeln!(pipe, "{verb} {what}").expect("the shell that cleans up after the tests is running");
}
