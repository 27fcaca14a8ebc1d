//! Bytes in, a file that holds either all of them or what it held before, even after a power failure.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// What the file system said.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {error}")]
pub struct DurableError {
    pub path: PathBuf,
    pub error: io::Error,
}

/// Writes beside the file, syncs, renames, syncs the folder. Once it returns, the bytes are there to stay.
///
/// # Errors
/// The folder is gone, full or read-only; the file is then as it was.
pub fn write(path: &Path, parts: &[&[u8]]) -> Result<(), DurableError> {
    let beside = path.with_extension("new");
    let written = (|| {
        let mut file = File::create(&beside)?;
        parts.iter().try_for_each(|part| file.write_all(part))?;
        file.sync_all()?;
        fs::rename(&beside, path)?;
        File::open(path.parent().unwrap_or_else(|| Path::new(".")))?.sync_all()
    })();
    written.map_err(|error| DurableError { path: path.to_owned(), error })
}
