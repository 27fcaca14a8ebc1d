//! In: a program with its arguments and environment. Out: a running child process with its output on file, stopped when dropped.
//!
//! ```no_run
//! # async fn example() {
//! use tollway_tests::process::Program;
//! let mut proxy = Program::proxy().args(["standalone", "examples/quickstart"]).env("TOLLWAY_LOG", "debug").start();
//! proxy.wait_for_log("listening").await;
//! proxy.kill(); // -9
//! proxy.start_again();
//! println!("{} bytes resident", proxy.resident_bytes());
//! # }
//! ```

mod binary;
mod operator;
mod proxy;
mod redis;

pub use self::redis::{PASSWORD, Redis};
pub use binary::{path, workspace};
pub use operator::Operator;
pub use proxy::Proxy;

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Mutex, PoisonError};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};

use crate::{scratch, wait};

/// A port of the loopback that nothing listens on, and that this test run was not given before. Below the range from which the
/// system takes local ports for outgoing connections, so that none of those takes it before the program asked for it.
pub fn free_port() -> u16 {
    static GIVEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());
    loop {
        let port = fastrand::u16(20_000..32_000);
        let mut given = GIVEN.lock().unwrap_or_else(PoisonError::into_inner);
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() && given.insert(port) {
            return port;
        }
    }
}

/// What to run; `start` runs it.
#[derive(Clone, Debug)]
pub struct Program {
    path: PathBuf,
    args: Vec<OsString>,
    envs: Vec<(OsString, OsString)>,
    folder: PathBuf,
    through: Vec<OsString>,
}

impl Program {
    /// Any program; `args` and `env` add to it. It runs in the workspace's folder, so `examples/quickstart` is a valid argument.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Program { path: path.into(), args: Vec::new(), envs: Vec::new(), folder: workspace(), through: Vec::new() }
    }

    /// `tollway-proxy` as cargo built it.
    pub fn proxy() -> Self {
        Program::at(path("tollway-proxy"))
    }

    /// `tollway-operator` as cargo built it.
    pub fn operator() -> Self {
        Program::at(path("tollway-operator"))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.args.push(arg.as_ref().to_owned());
        self
    }

    pub fn args<A: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.args.extend(args.into_iter().map(|a| a.as_ref().to_owned()));
        self
    }

    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.envs.push((name.as_ref().to_owned(), value.as_ref().to_owned()));
        self
    }

    pub fn current_dir(mut self, folder: impl Into<PathBuf>) -> Self {
        self.folder = folder.into();
        self
    }

    /// Started by another program, whose last arguments it becomes: `nsenter --target 1 --net`.
    pub fn through<A: AsRef<OsStr>>(mut self, command: impl IntoIterator<Item = A>) -> Self {
        self.through = command.into_iter().map(|a| a.as_ref().to_owned()).collect();
        self
    }

    fn name(&self) -> String {
        self.path.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    fn command(&self) -> Command {
        let mut line = self.through.iter().map(OsString::as_os_str).chain([self.path.as_os_str()]);
        let mut command = Command::new(line.next().unwrap_or(self.path.as_os_str()));
        command
            .args(line)
            .args(&self.args)
            .envs(self.envs.iter().map(|(k, v)| (k, v)))
            .current_dir(&self.folder)
            .stdin(Stdio::null());
        command
    }

    /// Runs it to its end and gives status and output.
    pub fn output(&self) -> std::process::Output {
        self.command().output().unwrap_or_else(|e| panic!("cannot run {}: {e}", self.path.display()))
    }

    /// Runs it as a child; stdout and stderr go to one file.
    pub fn start(self) -> Process {
        let log = scratch::folder(&self.name()).join("log");
        let child = spawn(&self, &log);
        Process { program: self, child: Some(child), log, quiet: false }
    }
}

fn spawn(program: &Program, log: &Path) -> Child {
    let out = File::options().create(true).append(true).open(log).expect("a log file in the test run's folder");
    let err = out.try_clone().expect("a second handle of the log file");
    let child = program
        .command()
        .stdout(out)
        .stderr(err)
        .spawn()
        .unwrap_or_else(|e| panic!("cannot start {}: {e}", program.path.display()));
    scratch::started(child.id());
    child
}

/// CPU time that a process has used so far, by the scheduler's account of its threads (what `stat` tells is in hundredths of a second).
pub fn cpu_nanos_of(pid: u32) -> u64 {
    let folder = format!("/proc/{pid}/task");
    let threads = std::fs::read_dir(&folder).unwrap_or_else(|e| panic!("{folder}: {e}"));
    let accounts = threads.flatten().filter_map(|thread| std::fs::read_to_string(thread.path().join("schedstat")).ok());
    accounts.filter_map(|account| account.split_whitespace().next()?.parse::<u64>().ok()).sum()
}

/// A child process. Dropped: killed; and if the test is failing, the end of its log is shown.
#[derive(Debug)]
pub struct Process {
    program: Program,
    child: Option<Child>,
    log: PathBuf,
    quiet: bool,
}

impl Process {
    /// The process id; fails when the process was stopped and not started again.
    pub fn pid(&self) -> u32 {
        self.child.as_ref().unwrap_or_else(|| panic!("{} is not running", self.program.name())).id()
    }

    /// True until it ended, by itself or by us.
    pub fn is_running(&mut self) -> bool {
        match self.child.as_mut().map(Child::try_wait) {
            Some(Ok(None)) => true,
            Some(_) => {
                self.reap();
                false
            }
            None => false,
        }
    }

    /// SIGTERM, without waiting: `exited` does.
    pub fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// SIGSTOP, and stopped when this returns: the process keeps its sockets and answers nothing.
    pub fn pause(&self) {
        self.signal(Signal::STOP);
        // The signal alone returns while a thread on another core may still be answering.
        let either = WaitIdOptions::STOPPED | WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        waitid(WaitId::Pid(self.process_id()), either).unwrap_or_else(|e| panic!("{}: {e}", self.program.name()));
    }

    /// SIGCONT.
    pub fn resume(&self) {
        self.signal(Signal::CONT);
    }

    /// SIGKILL, and gone when this returns.
    pub fn kill(&mut self) {
        if let Some(child) = self.child.as_mut() {
            // The one way it fails is that the process already ended.
            let _ = child.kill();
            self.reap();
        }
    }

    /// The exit status, as soon as the process ended by itself.
    pub async fn exited(&mut self) -> ExitStatus {
        let name = self.program.name();
        let status = wait::until(&format!("{name} to end"), async || {
            self.child.as_mut().unwrap_or_else(|| panic!("{name} is not running")).try_wait().ok().flatten()
        })
        .await;
        self.reap();
        status
    }

    /// The same command once more, the same log file; what still runs is killed first.
    pub fn start_again(&mut self) {
        self.kill();
        self.child = Some(spawn(&self.program, &self.log));
    }

    /// As `start_again`, with changes to the command: `start_again_with(|p| p.env("TOLLWAY_LOG", "debug"))`.
    pub fn start_again_with(&mut self, change: impl FnOnce(Program) -> Program) {
        self.program = change(self.program.clone());
        self.start_again();
    }

    /// All that it has written so far.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// The first line with `text` in it, as soon as there is one; fails at once when the process ends without it.
    pub async fn wait_for_log(&mut self, text: &str) -> String {
        let name = self.program.name();
        wait::until(&format!("{name} to log '{text}'"), async || {
            let running = self.is_running();
            let line = self.log().lines().find(|l| l.contains(text)).map(str::to_owned);
            assert!(running || line.is_some(), "{name} ended before it logged '{text}'");
            line
        })
        .await
    }

    /// Resident memory, from /proc.
    pub fn resident_bytes(&self) -> u64 {
        let status = self.proc("status");
        let kib = status.lines().find_map(|l| l.strip_prefix("VmRSS:")).and_then(|v| v.split_whitespace().next());
        kib.and_then(|v| v.parse::<u64>().ok()).expect("VmRSS in /proc/PID/status") * 1024
    }

    /// CPU time used so far, user and system.
    pub fn cpu_nanos(&self) -> u64 {
        cpu_nanos_of(self.pid())
    }

    /// Do not show the log when a test fails.
    pub fn quiet(mut self) -> Self {
        self.quiet = true;
        self
    }

    /// The last lines of the log.
    pub fn log_tail(&self, lines: usize) -> String {
        let log = self.log();
        let all: Vec<&str> = log.lines().collect();
        all[all.len().saturating_sub(lines)..].join("\n")
    }

    fn proc(&self, file: &str) -> String {
        let path = format!("/proc/{}/{file}", self.pid());
        std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{path}: {e}"))
    }

    fn signal(&self, signal: Signal) {
        kill_process(self.process_id(), signal)
            .unwrap_or_else(|e| panic!("cannot signal {}: {e}", self.program.name()));
    }

    fn process_id(&self) -> Pid {
        i32::try_from(self.pid()).ok().and_then(Pid::from_raw).expect("a process id")
    }

    fn reap(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.wait();
            scratch::ended(child.id());
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if std::thread::panicking() && !self.quiet {
            eprintln!("--- the end of {}'s log\n{}\n---", self.program.name(), self.log_tail(60));
        }
        self.kill();
    }
}
