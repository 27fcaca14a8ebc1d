//! In: the built programs. Out: images of them, of a client with curl and of what holds a Pod's network, in containerd's store.

use std::path::{Path, PathBuf};

use super::parts::SOCKET;
use super::room::Room;
use crate::process::{Program, workspace};

/// Holds the network of a Pod.
pub(super) const PAUSE: &str = "tollway-pause:test";

/// The archives, made in a folder.
pub(super) fn make(folder: &Path) -> Vec<PathBuf> {
    let script = Program::at(workspace().join("tests/node/images.sh")).arg(folder);
    let output = script.arg(Program::operator().path()).arg(Program::proxy().path()).output();
    assert!(output.status.success(), "tests/node/images.sh: {}", String::from_utf8_lossy(&output.stderr));
    ["operator", "proxy", "pause", "client"].map(|name| folder.join(format!("{name}.tar"))).to_vec()
}

/// Takes them into the store that kubelet uses.
pub(super) fn import(room: &Room, archives: &[PathBuf]) {
    for archive in archives {
        let ctr = Program::at("ctr").args(["--address", SOCKET, "--namespace", "k8s.io", "images", "import"]);
        let output = room.enter(ctr.arg(archive)).output();
        assert!(output.status.success(), "{}: {}", archive.display(), String::from_utf8_lossy(&output.stderr));
    }
}

/// The image with curl and a shell, as docs/install.md names it.
pub fn image_of_client() -> String {
    let path = workspace().join("docs/install.md");
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let image = text.split_whitespace().find_map(|word| word.strip_prefix("--image="));
    image.expect("docs/install.md runs an image").to_owned()
}
