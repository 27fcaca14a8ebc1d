//! A folder in, its manifest files by name with their text out, and a fingerprint that says cheaply whether any of it changed.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Larger files are not manifests.
const MOST_BYTES: u64 = 4 << 20;

/// What `stat` says of every manifest file. Symbolic links are followed, so that a swap of `..data` in a mounted
/// ConfigMap shows as other inodes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fingerprint(BTreeMap<PathBuf, [i64; 6]>);

/// Text by file name, and what could not be read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Files {
    pub texts: BTreeMap<String, String>,
    pub unreadable: BTreeMap<String, String>,
}

/// # Errors
/// The folder itself cannot be listed.
pub fn fingerprint(dir: &Path) -> io::Result<Fingerprint> {
    let mut found = BTreeMap::new();
    for path in manifests(dir)? {
        // A file that vanished since the listing, or a dangling link, is not there.
        let Ok(meta) = fs::metadata(&path) else { continue };
        if meta.is_file() {
            let inode = meta.ino().cast_signed();
            let size = meta.size().cast_signed();
            found.insert(path, [inode, size, meta.mtime(), meta.mtime_nsec(), meta.ctime(), meta.ctime_nsec()]);
        }
    }
    Ok(Fingerprint(found))
}

/// # Errors
/// The folder itself cannot be listed.
pub fn read(dir: &Path) -> io::Result<Files> {
    let mut files = Files::default();
    for path in fingerprint(dir)?.0.into_keys() {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let text = match fs::metadata(&path) {
            Ok(meta) if meta.len() > MOST_BYTES => {
                Err(format!("larger than {MOST_BYTES} bytes: a manifest is smaller; move it away"))
            }
            Ok(_) => fs::read(&path).map_err(|error| error.to_string()).and_then(|bytes| {
                String::from_utf8(bytes).map_err(|_| "is not UTF-8 text: save it as UTF-8, or move it away".to_owned())
            }),
            Err(error) => Err(error.to_string()),
        };
        match text {
            Ok(text) => files.texts.insert(name, text),
            Err(problem) => files.unreadable.insert(name, problem),
        };
    }
    Ok(files)
}

/// Manifest files by name; hidden ones are an editor's or a mount's own.
fn manifests(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        let hidden = path.file_name().is_none_or(|name| name.as_encoded_bytes().starts_with(b"."));
        let kind = path.extension().and_then(|end| end.to_str());
        if !hidden && matches!(kind, Some("yaml" | "yml" | "json")) {
            found.push(path);
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn only_manifests_are_read() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["a.yaml", "b.yml", "c.json", "README.md", ".hidden.yaml", "d.yaml~"] {
            fs::write(dir.path().join(name), name).unwrap();
        }
        fs::create_dir(dir.path().join("sub.yaml")).unwrap();
        fs::write(dir.path().join("binary.yaml"), [0xff, 0xfe]).unwrap();
        let files = read(dir.path()).unwrap();
        assert_eq!(files.texts.into_keys().collect::<Vec<_>>(), ["a.yaml", "b.yml", "c.json"]);
        assert_eq!(files.unreadable.into_keys().collect::<Vec<_>>(), ["binary.yaml"]);
    }

    #[test]
    fn a_swapped_link_is_a_change_though_every_time_is_the_same() {
        let dir = tempfile::tempdir().unwrap();
        for (version, text) in [("..v1", "one"), ("..v2", "two")] {
            fs::create_dir(dir.path().join(version)).unwrap();
            fs::write(dir.path().join(version).join("a.yaml"), text).unwrap();
        }
        symlink("..v1", dir.path().join("..data")).unwrap();
        symlink("..data/a.yaml", dir.path().join("a.yaml")).unwrap();
        let before = fingerprint(dir.path()).unwrap();
        assert_eq!(fingerprint(dir.path()).unwrap(), before);

        symlink("..v2", dir.path().join("..new")).unwrap();
        fs::rename(dir.path().join("..new"), dir.path().join("..data")).unwrap();
        assert_ne!(fingerprint(dir.path()).unwrap(), before);
        assert_eq!(read(dir.path()).unwrap().texts["a.yaml"], "two");
    }
}
