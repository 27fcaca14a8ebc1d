//! The images without an image builder: the root file system runs the program with nothing else in it, and the archive is what it says.

use std::path::Path;
use std::process::Command;

use tollway_tests::process::{Program, workspace};
use tollway_tests::scratch;

fn run(program: &Path, args: &[&Path]) -> String {
    let output = Command::new(program).args(args).current_dir(workspace()).output().expect("a program that starts");
    assert!(output.status.success(), "{}: {}", program.display(), String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn each_image_runs_its_program_and_holds_nothing_else() {
    for binary in [Program::operator(), Program::proxy()] {
        let folder = scratch::folder("image");
        let (root, archive) = (folder.join("root"), folder.join("image.tar"));
        run(Path::new("images/rootfs.sh"), &[binary.path(), &root]);
        let name = binary.path().file_name().expect("a name").to_string_lossy().into_owned();
        // Neither root nor a user of this machine: nothing of it can be leaned on.
        let inside = format!("/{name}");
        let said = run(
            Path::new("unshare"),
            &["--map-root-user", "chroot"]
                .map(Path::new)
                .into_iter()
                .chain([root.as_path(), Path::new(&inside), Path::new("--version")])
                .collect::<Vec<_>>(),
        );
        assert!(said.starts_with(&name), "{said}");
        let shells =
            run(Path::new("find"), &[&root, Path::new("-name"), Path::new("*sh"), Path::new("-type"), Path::new("f")]);
        assert_eq!(shells, "", "a shell");

        run(Path::new("images/archive.sh"), &[&root, Path::new("tollway:test"), &archive]);
        let unpacked = folder.join("unpacked");
        std::fs::create_dir(&unpacked).expect("a folder");
        run(Path::new("tar"), &[Path::new("-xf"), &archive, Path::new("-C"), &unpacked]);
        let config = std::fs::read_to_string(unpacked.join("config.json")).expect("the image's configuration");
        let layer = run(Path::new("sha256sum"), &[&unpacked.join("layer.tar")]);
        let digest = layer.split_whitespace().next().expect("a digest");
        assert!(config.contains(&format!("sha256:{digest}")) && config.contains("65532"), "{config}");
    }
}
