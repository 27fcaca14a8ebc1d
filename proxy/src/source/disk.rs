//! The last good table on disk: an accepted table in, the same table back after a restart. No Secret is ever written.

use crate::durable::{self, DurableError};
use crate::source::Serving;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use tollway_core::wire::{self, Decoded};

const FILE: &str = "table";
const FORMAT: &str = "tollway-table/1";

/// Why a kept table is not used; the proxy starts as if there were none.
#[derive(Debug, thiserror::Error)]
pub enum DiskError {
    #[error(transparent)]
    Disk(#[from] DurableError),
    #[error("{path} is damaged ({what}) and is left alone; the next table that arrives replaces it")]
    Damaged { path: PathBuf, what: String },
}

/// Keeps the table as it came, so that a crash leaves either the old one or the new one, whole.
///
/// # Errors
/// The folder cannot be written.
pub fn keep(dir: &Path, revision: u64, digest: &str, bytes: &[u8]) -> Result<(), DurableError> {
    let head = format!("{FORMAT} {revision} {digest}\n");
    durable::write(&dir.join(FILE), &[head.as_bytes(), bytes])
}

/// The table kept last; `None` on a first start.
///
/// # Errors
/// A file that cannot be read, or whose content is not what was written.
pub fn load(dir: &Path) -> Result<Option<Serving>, DiskError> {
    let path = dir.join(FILE);
    let all = match fs::read(&path) {
        Ok(all) => all,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(DurableError { path, error }.into()),
    };
    read(&all).map(Some).map_err(|what| DiskError::Damaged { path, what })
}

fn read(all: &[u8]) -> Result<Serving, String> {
    let end = memchr::memchr(b'\n', all).ok_or("its first line is not whole")?;
    let head = std::str::from_utf8(&all[..end]).map_err(|_| "its first line is not text")?;
    let bytes = &all[end + 1..];
    let mut words = head.split(' ');
    let (format, revision, digest) = (words.next(), words.next(), words.next());
    if format != Some(FORMAT) {
        return Err(format!("its format is not {FORMAT}"));
    }
    let revision = revision.and_then(|r| r.parse().ok()).ok_or("it has no revision")?;
    let digest = digest.ok_or("it has no digest")?.to_owned();
    let Decoded { table, unserved } =
        wire::decode(bytes, &digest, wire::FEATURES).map_err(|error| error.to_string())?;
    Ok(Serving { revision, digest, table, unserved, ..Serving::default() })
}

#[cfg(test)]
mod tests {
    use super::*;

    use tollway_core::table::Table;

    fn keep_table(dir: &Path, revision: u64) -> Result<Table, DurableError> {
        let models = [("assistant".to_owned(), "chat".to_owned())].into();
        let table = Table { namespace: "team".to_owned(), models, ..Table::default() };
        let wire::Encoded { bytes, digest } = wire::encode(&table);
        keep(dir, revision, &digest, &bytes).map(|()| table)
    }

    #[test]
    fn what_was_kept_comes_back() {
        let dir = tempfile::tempdir().unwrap();
        assert!(load(dir.path()).unwrap().is_none());
        for revision in [7, 8] {
            let table = keep_table(dir.path(), revision).unwrap();
            let kept = load(dir.path()).unwrap().unwrap();
            assert_eq!((kept.revision, kept.table), (revision, table));
        }
        let files: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|f| f.unwrap().file_name()).collect();
        assert_eq!(files, [FILE]);
    }

    #[test]
    fn a_damaged_file_is_named_and_not_used() {
        let dir = tempfile::tempdir().unwrap();
        keep_table(dir.path(), 7).unwrap();
        let whole = fs::read(dir.path().join(FILE)).unwrap();
        let mut flipped = whole.clone();
        *flipped.last_mut().unwrap() ^= 1;
        let cuts = (0..whole.len()).map(|most| whole[..most].to_vec());
        for bytes in cuts.chain([flipped, b"something else\n{}".to_vec()]) {
            fs::write(dir.path().join(FILE), &bytes).unwrap();
            let error = load(dir.path()).unwrap_err();
            assert!(matches!(error, DiskError::Damaged { .. }), "{error}");
        }
    }

    #[test]
    fn a_folder_that_cannot_be_written_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        assert!(keep_table(&dir.path().join("gone"), 1).is_err());
    }
}
