//! One file for each budget and window: a ledger's state in, the same state back; a lock that keeps a second process out.

use crate::durable::{self, DurableError};
use serde::{Deserialize, Serialize};
use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use tollway_core::spend::LedgerState;

const LOCK: &str = "lock";

/// Why a ledger cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    #[error("{path}: {error}; give a folder this user can write with --state-dir")]
    Folder { path: PathBuf, error: io::Error },
    #[error(
        "{path} is in use by another tollway-proxy: two of them would spend the same budget twice; stop the other, or give this one its own --state-dir"
    )]
    Locked { path: PathBuf },
    #[error(transparent)]
    Disk(#[from] DurableError),
    #[error("{name} cannot be written as text: {error}")]
    Text { name: String, error: serde_json::Error },
}

/// A ledger as its file has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    pub namespace: String,
    pub budget: String,
    pub state: LedgerState,
}

/// One file of the folder.
#[derive(Debug)]
pub struct Found {
    pub name: String,
    /// An error when the file is not what was written.
    pub read: Result<Record, String>,
}

/// The folder, locked for as long as this lives.
#[derive(Debug)]
pub struct Files {
    dir: PathBuf,
    _lock: File,
}

impl Files {
    /// # Errors
    /// The folder cannot be made or written, or another process holds it.
    pub fn open(dir: &Path) -> Result<Self, FileError> {
        let at = |path: PathBuf| move |error| FileError::Folder { path, error };
        fs::create_dir_all(dir).map_err(at(dir.to_owned()))?;
        let path = dir.join(LOCK);
        let lock = File::create(&path).map_err(at(path.clone()))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { dir: dir.to_owned(), _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(FileError::Locked { path: dir.to_owned() }),
            Err(TryLockError::Error(error)) => Err(at(path)(error)),
        }
    }

    /// Every ledger's file.
    ///
    /// # Errors
    /// The folder cannot be listed.
    pub fn all(&self) -> Result<Vec<Found>, FileError> {
        let failed = |error| FileError::Folder { path: self.dir.clone(), error };
        let mut found = Vec::new();
        for entry in fs::read_dir(&self.dir).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            if path.extension().is_some_and(|end| end == "json") {
                let read = fs::read(&path).map_err(|error| error.to_string());
                let read = read.and_then(|bytes| serde_json::from_slice(&bytes).map_err(|e| e.to_string()));
                found.push(Found { name, read });
            }
        }
        Ok(found)
    }

    /// The ledger is on record once this returns.
    ///
    /// # Errors
    /// Whatever kept it from being so.
    pub fn write(&self, name: &str, record: &Record) -> Result<(), FileError> {
        let text =
            serde_json::to_vec_pretty(record).map_err(|error| FileError::Text { name: name.to_owned(), error })?;
        Ok(durable::write(&self.path(name), &[&text])?)
    }

    /// Keeps a copy of a damaged file, for a person to look into. The file itself stays until a frozen ledger replaces
    /// it, so that no crash in between makes it look like a fresh start.
    pub fn set_aside(&self, name: &str) {
        let path = self.path(name);
        if let Err(error) = fs::copy(&path, path.with_extension("damaged")) {
            tracing::warn!(path = %path.display(), %error, "the damaged ledger could not be copied aside");
        }
    }

    pub fn remove(&self, name: &str) {
        if let Err(error) = fs::remove_file(self.path(name)) {
            tracing::debug!(%name, %error, "an old ledger could not be removed");
        }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name).with_extension("json")
    }
}
