//! In: a binary's name. Out: where cargo put it, sure to be no older than its sources.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// The root of the source tree.
pub fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("this crate lies inside the workspace").to_owned()
}

/// `TOLLWAY_BIN/<name>` when that is set, else the binary beside this test's own. One that is missing or older than a source it was
/// made from fails the test: `cargo test -p tollway-tests` alone does not build it.
pub fn path(name: &str) -> PathBuf {
    if let Some(folder) = std::env::var_os("TOLLWAY_BIN") {
        let path = PathBuf::from(folder).join(name);
        assert!(path.is_file(), "{} does not exist: TOLLWAY_BIN must hold {name}", path.display());
        return path;
    }
    let this = std::env::current_exe().expect("the path of the running test");
    let profile = this.ancestors().find(|p| p.file_name().is_none_or(|f| f != "deps") && p.join("deps").is_dir());
    let path = profile.expect("a folder of cargo's above the running test").join(name);
    assert!(path.is_file(), "{} does not exist: {}", path.display(), how_to_build());
    if let Some(source) = newer_source(&path) {
        panic!("{name} is older than {}: {}", source.display(), how_to_build());
    }
    path
}

fn how_to_build() -> &'static str {
    if cfg!(debug_assertions) {
        "run `cargo build --workspace --bins`"
    } else {
        "run `cargo build --workspace --bins --release`"
    }
}

/// Cargo writes the sources of a binary beside it, in make's syntax: `target: source source ...`, spaces escaped.
fn newer_source(binary: &Path) -> Option<PathBuf> {
    let built = modified(binary)?;
    let sources = std::fs::read_to_string(binary.with_extension("d")).ok()?;
    let (_, sources) = sources.lines().next()?.split_once(": ")?;
    let sources = sources.replace("\\ ", "\0");
    sources.split(' ').map(|s| PathBuf::from(s.replace('\0', " "))).find(|s| modified(s).is_some_and(|m| m > built))
}

fn modified(path: &Path) -> Option<SystemTime> {
    path.metadata().ok()?.modified().ok()
}
