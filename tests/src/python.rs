//! In: the virtual environment that `tests/python/setup.sh` makes. Out: Python programs with boto3, openai, anthropic and moto.

use std::path::PathBuf;
use std::process::Command;

use crate::process::{Program, workspace};

const SETUP: &str = "tests/python/setup.sh";

/// A program of the virtual environment: `python`, `moto_server`. Fails with the command that makes the environment.
pub fn program(name: &str) -> Program {
    let path = folder().join("bin").join(name);
    assert!(path.is_file(), "{} does not exist: run {SETUP} (about a minute, once)", path.display());
    // Nothing of the caller's own Python, credentials or proxies may leak into a test.
    Program::at(path)
        .env("PYTHONNOUSERSITE", "1")
        .env("PYTHONPATH", workspace().join("tests/python"))
        .env("PYTHONUNBUFFERED", "1")
        .env("NO_PROXY", "127.0.0.1,localhost")
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .env("AWS_CONFIG_FILE", "/dev/null")
        .env("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
}

/// A script from tests/python, by its file name; arguments and environment can be added before it is run.
pub fn script(name: &str) -> Program {
    let path = workspace().join("tests/python").join(name);
    assert!(path.is_file(), "{} does not exist", path.display());
    program("python").arg(path)
}

fn folder() -> PathBuf {
    let script = workspace().join(SETUP);
    let output = Command::new(&script).arg("--where").output().unwrap_or_else(|e| panic!("{}: {e}", script.display()));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    PathBuf::from(String::from_utf8_lossy(&output.stdout).trim())
}
