//! Files on their way. Each process has a folder of its own, held by a lock that ends with the process, so that what a
//! killed one leaves behind can be told from what is in use, and removed.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use tempfile::NamedTempFile;
use uuid::Uuid;

/// How the folders of processes are named.
const FOLDER: &str = "process-";
/// Inside each of them: whoever holds it lives.
const LOCK: &str = "lock";

/// Where files are spooled.
#[derive(Clone, Debug)]
pub(super) struct Spool {
    root: PathBuf,
    /// Claimed when it is first needed, and again when somebody removed it.
    held: Arc<Mutex<Option<Held>>>,
}

impl Spool {
    pub(super) fn new(root: PathBuf) -> Self {
        Self { root, held: Arc::default() }
    }

    /// A new file, which vanishes when it is dropped.
    pub(super) fn file(&self) -> io::Result<NamedTempFile> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let folder = match held.as_ref().filter(|held| held.folder.is_dir()) {
            Some(held) => &held.folder,
            None => &held.insert(Held::claim(&self.root)?).folder,
        };
        tempfile::Builder::new().prefix("upload-").tempfile_in(folder)
    }

    /// Removes the folders that nobody holds; says how many.
    pub(super) fn sweep(&self) -> io::Result<usize> {
        let mut swept = 0;
        for entry in fs::read_dir(&self.root)? {
            let entry = entry?;
            let is_folder = entry.file_type()?.is_dir();
            if is_folder && entry.file_name().to_string_lossy().starts_with(FOLDER) {
                swept += usize::from(remove_unheld(&entry.path()));
            }
        }
        Ok(swept)
    }
}

/// A folder that is this process's.
#[derive(Debug)]
struct Held {
    folder: PathBuf,
    _lock: File,
}

impl Held {
    /// A sweep may come between making a folder and holding it: then another one is made.
    fn claim(root: &Path) -> io::Result<Self> {
        for _ in 0..10 {
            let folder = root.join(format!("{FOLDER}{}", Uuid::now_v7()));
            fs::DirBuilder::new().mode(0o700).create(&folder)?;
            if let Some(lock) = hold(&folder)? {
                return Ok(Self { folder, _lock: lock });
            }
        }
        Err(io::Error::other("the spool folder is swept all the time"))
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // What cannot be removed now is removed by the next sweep.
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn hold(folder: &Path) -> io::Result<Option<File>> {
    let path = folder.join(LOCK);
    let Some(lock) = lock(&path)? else { return Ok(None) };
    // Whoever swept it between the two steps left us a lock on nothing.
    let is_there =
        fs::metadata(&path).is_ok_and(|there| lock.metadata().is_ok_and(|held| same(&there, &held)));
    Ok(is_there.then_some(lock))
}

fn same(one: &fs::Metadata, other: &fs::Metadata) -> bool {
    (one.dev(), one.ino()) == (other.dev(), other.ino())
}

fn lock(path: &Path) -> io::Result<Option<File>> {
    let file = match OpenOptions::new().create(true).truncate(false).write(true).open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file?,
    };
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(fs::TryLockError::WouldBlock) => Ok(None),
        Err(fs::TryLockError::Error(error)) => Err(error),
    }
}

/// Where locks cannot be had nothing is known, and nothing is removed.
fn remove_unheld(folder: &Path) -> bool {
    match lock(&folder.join(LOCK)) {
        Ok(Some(_held)) => fs::remove_dir_all(folder).is_ok(),
        Ok(None) | Err(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folders(root: &Path) -> usize {
        fs::read_dir(root).expect("a folder").count()
    }

    #[test]
    fn a_folder_in_use_is_not_swept_and_one_left_behind_is() {
        let root = tempfile::tempdir().expect("a folder");
        let (living, sweeper) = (Spool::new(root.path().into()), Spool::new(root.path().into()));
        let file = living.file().expect("a file");
        // What a killed process leaves: a folder, its files, and a lock that nobody holds.
        let left = root.path().join(format!("{FOLDER}{}", Uuid::now_v7()));
        fs::create_dir(&left).expect("made");
        fs::write(left.join("upload-x"), "half a recording").expect("written");
        assert_eq!(sweeper.sweep().expect("swept"), 1);
        assert!(file.path().exists() && !left.exists());
        assert_eq!(sweeper.sweep().expect("swept"), 0);
    }

    #[test]
    fn a_process_that_ends_takes_its_folder_along() {
        let root = tempfile::tempdir().expect("a folder");
        let spool = Spool::new(root.path().into());
        drop(spool.file().expect("a file"));
        assert_eq!(folders(root.path()), 1);
        drop(spool);
        assert_eq!(folders(root.path()), 0);
    }

    #[test]
    fn a_folder_that_was_removed_is_made_again() {
        let root = tempfile::tempdir().expect("a folder");
        let spool = Spool::new(root.path().into());
        let first = spool.file().expect("a file").path().parent().expect("a folder").to_owned();
        fs::remove_dir_all(first).expect("removed");
        assert!(spool.file().expect("a file").path().exists());
    }

    #[test]
    fn processes_that_start_while_others_sweep_keep_what_they_claim() {
        let root = tempfile::tempdir().expect("a folder");
        std::thread::scope(|scope| {
            let sweeping =
                scope.spawn(|| (0..2000).for_each(|_| drop(Spool::new(root.path().into()).sweep())));
            let starters: Vec<_> = (0..4)
                .map(|_| {
                    scope.spawn(|| {
                        for _ in 0..200 {
                            let file = Spool::new(root.path().into()).file();
                            // The spool is dropped, and its folder with it; while it lived the file was made.
                            file.expect("a folder of its own");
                        }
                    })
                })
                .collect();
            for starter in starters {
                starter.join().expect("no panic");
            }
            sweeping.join().expect("no panic");
        });
    }
}
