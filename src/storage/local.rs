//! A folder of this machine as the store: temporary name, fsync, rename, fsync of the folder.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt, future};
use object_store::ObjectStore;
use object_store::local::LocalFileSystem;
use object_store::path::Path as Key;
use tempfile::NamedTempFile;
use uuid::Uuid;

use super::Stored;
use crate::error::{Error, Result};
use crate::secret_file;

/// Inside the store, where the spool folder lies on another disk: a rename does not cross disks.
const OWN_SPOOL: &str = ".spool";
/// Another removal may take an empty folder away that a new file is about to go into.
const TRIES: usize = 10;

/// The folder.
#[derive(Clone, Debug)]
pub(super) struct Local {
    root: PathBuf,
    store: Arc<LocalFileSystem>,
}

impl Local {
    pub(super) fn open(root: &Path) -> anyhow::Result<Self> {
        // Without symbolic links, as the store names its files.
        let root = root.canonicalize()?;
        let store = LocalFileSystem::new_with_prefix(&root)?;
        Ok(Self { root, store: Arc::new(store) })
    }

    /// Where to spool: `wanted`, if a file can be renamed from there into the store. Asked by doing it, for two mounts of
    /// one disk look the same.
    pub(super) fn spool_dir(&self, wanted: &Path) -> anyhow::Result<PathBuf> {
        let probe = format!(".probe-{}", Uuid::now_v7());
        let moved = File::create(wanted.join(&probe))
            .and_then(|_| fs::rename(wanted.join(&probe), self.root.join(&probe)));
        for dir in [wanted, &self.root] {
            // At one of the two it never was.
            let _ = fs::remove_file(dir.join(&probe));
        }
        if !moved.is_err_and(|error| error.kind() == io::ErrorKind::CrossesDevices) {
            return Ok(wanted.to_owned());
        }
        let own = self.root.join(OWN_SPOOL);
        secret_file::private_dir(&own).with_context(|| format!("cannot use the folder {}", own.display()))?;
        Ok(own)
    }

    pub(super) async fn put(&self, key: &Key, spooled: NamedTempFile) -> anyhow::Result<()> {
        let target = self.store.path_to_filesystem(key)?;
        Ok(tokio::task::spawn_blocking(move || persist(spooled, &target)).await??)
    }

    /// Where the file under `key` is.
    pub(super) async fn existing(&self, key: &Key) -> Result<PathBuf> {
        let path = self.store.path_to_filesystem(key).map_err(anyhow::Error::new)?;
        match tokio::fs::metadata(&path).await {
            Ok(_) => Ok(path),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(Error::NotFound("file")),
            Err(error) => Err(Error::Storage(error.into())),
        }
    }

    /// The size of the file under `key`, if there is one.
    pub(super) async fn size(&self, key: &Key) -> anyhow::Result<Option<u64>> {
        match tokio::fs::metadata(self.store.path_to_filesystem(key)?).await {
            Ok(file) => Ok(Some(file.len())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    pub(super) async fn delete(&self, key: &Key) -> anyhow::Result<()> {
        let (path, root) = (self.store.path_to_filesystem(key)?, self.root.clone());
        Ok(tokio::task::spawn_blocking(move || remove(&path, &root)).await??)
    }

    pub(super) fn list(&self, prefix: Option<&Key>) -> BoxStream<'static, object_store::Result<Stored>> {
        let files = self.store.list(prefix);
        let stored = |file: object_store::ObjectMeta| Stored {
            key: file.location.to_string(),
            bytes: file.size,
            modified: file.last_modified,
        };
        let is_ours = |file: &Stored| future::ready(!file.key.starts_with('.'));
        files.map_ok(stored).try_filter(is_ours).boxed()
    }

    /// Whether the folder takes files.
    pub(super) async fn check(&self) -> anyhow::Result<()> {
        let root = self.root.clone();
        let probe = move || tempfile::Builder::new().prefix(".probe-").tempfile_in(root).map(drop);
        Ok(tokio::task::spawn_blocking(probe).await??)
    }
}

fn persist(mut spooled: NamedTempFile, target: &Path) -> io::Result<()> {
    let folder = target.parent().ok_or_else(|| io::Error::other("a key names a file in a folder"))?;
    spooled.as_file().sync_all()?;
    for _ in 0..TRIES {
        match fs::create_dir_all(folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            made => made?,
        }
        match spooled.persist(target) {
            Ok(_) => return sync_folders(folder),
            Err(failed) if failed.error.kind() == io::ErrorKind::NotFound => spooled = failed.file,
            Err(failed) => return Err(failed.error),
        }
    }
    Err(io::Error::other("the folder is removed all the time"))
}

/// A rename is lost with the folder's entry unless the folder is synced, and so is a new folder with its parent's.
fn sync_folders(folder: &Path) -> io::Result<()> {
    for dir in folder.ancestors().take(3) {
        match File::open(dir) {
            // Emptied and removed again meanwhile: there is nothing to lose.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            dir => dir?.sync_all()?,
        }
    }
    Ok(())
}

/// Removes a file and the folders it leaves empty, so that a power cut does not bring it back.
fn remove(path: &Path, root: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        removed => removed?,
    }
    let folders = path.ancestors().skip(1).take_while(|folder| *folder != root && folder.starts_with(root));
    let mut last = path.parent().unwrap_or(root);
    for folder in folders {
        if fs::remove_dir(folder).is_err() {
            // Not empty: others' files lie there.
            break;
        }
        last = folder.parent().unwrap_or(root);
    }
    match File::open(last) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        dir => dir?.sync_all(),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn files_go_in_while_others_of_the_same_folder_are_removed() {
        let root = tempfile::tempdir().expect("a folder");
        std::thread::scope(|scope| {
            for writer in 0..4 {
                let root = root.path();
                scope.spawn(move || {
                    for _ in 0..50 {
                        let mut spooled = NamedTempFile::new_in(root).expect("a file");
                        spooled.write_all(b"x").expect("written");
                        let target =
                            root.join("therapist").join(format!("session-{writer}")).join("audio.wav");
                        persist(spooled, &target).expect("kept");
                        remove(&target, root).expect("removed");
                    }
                });
            }
        });
        assert_eq!(fs::read_dir(root.path()).expect("a folder").count(), 0, "empty folders go, too");
    }
}
