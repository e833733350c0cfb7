//! Where the cluster lives, and as whom its programs run.

use std::fs::{self, DirBuilder, Metadata};
use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use sha2::{Digest, Sha256};
use tokio::process::Command;

use super::error::{ClusterError, Result, io_error, run_error};

/// What the programs may see of our environment; it holds secrets.
const INHERITED: [&str; 3] = ["PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH"];

/// The user that runs the programs when we are root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Account {
    uid: u32,
    gid: u32,
}

/// The cluster's folder and the user that owns it.
#[derive(Clone, Debug)]
pub(super) struct Site {
    /// Postgres's data directory: absolute, links resolved.
    pub(super) folder: PathBuf,
    /// `None`: ourselves.
    account: Option<Account>,
    /// The link that leads to a folder outside the data directory.
    link: Option<PathBuf>,
}

impl Site {
    /// The cluster of `data_dir`, which exists and is absolute. A server that may not reach it gets a folder under `refuge`.
    pub(super) async fn locate(data_dir: &Path, refuge: &Path) -> Result<Self> {
        let entry = data_dir.join("postgres");
        match fs::symlink_metadata(&entry) {
            Ok(_) => Self::existing(&entry).await,
            Err(error) if error.kind() == ErrorKind::NotFound => Self::fresh(data_dir, entry, refuge).await,
            Err(error) => Err(io_error("look at", &entry)(error)),
        }
    }

    async fn existing(entry: &Path) -> Result<Self> {
        let folder = fs::canonicalize(entry).map_err(|_| ClusterError::Dangling(entry.to_owned()))?;
        let metadata = fs::metadata(&folder).map_err(io_error("look at", &folder))?;
        let account = owner(&folder, &metadata)?;
        if let Some(account) = account
            && metadata.uid() == account.uid
            && !account.reaches(&folder).await?
        {
            return Err(ClusterError::Unreachable { folder, uid: account.uid });
        }
        Ok(Self { folder, account, link: None })
    }

    async fn fresh(data_dir: &Path, entry: PathBuf, refuge: &Path) -> Result<Self> {
        let Some(account) = server_account()? else {
            return Ok(Self { folder: entry, account: None, link: None });
        };
        if account.reaches(data_dir).await? {
            return Ok(Self { folder: entry, account: Some(account), link: None });
        }
        let home = refuge.join(short_hash(data_dir));
        let mut builder = DirBuilder::new();
        builder.recursive(true).mode(0o755).create(&home).map_err(io_error("create", &home))?;
        let folder = home.join("postgres");
        tracing::info!(
            data_dir = %data_dir.display(), folder = %folder.display(),
            "the postgres user cannot reach the data directory: the database lives elsewhere"
        );
        Ok(Self { folder, account: Some(account), link: Some(entry) })
    }

    /// The folder that holds the cluster's.
    pub(super) fn home(&self) -> &Path {
        self.folder.parent().unwrap_or(Path::new("/"))
    }

    /// Where the superuser's password is kept.
    pub(super) fn password_file(&self) -> PathBuf {
        self.folder.with_extension("password")
    }

    /// What the server says before it opens its own log.
    pub(super) fn start_log(&self) -> PathBuf {
        self.folder.with_extension("start.log")
    }

    /// The major version that made the cluster, or `None` if there is none yet.
    pub(super) fn major(&self) -> Result<Option<u32>> {
        let path = self.folder.join("PG_VERSION");
        match fs::read_to_string(&path) {
            Ok(text) => {
                let major = text.trim().parse().map_err(|_| ClusterError::Damaged(self.folder.clone()))?;
                Ok(Some(major))
            }
            Err(error) if error.kind() == ErrorKind::NotFound && self.is_vacant() => Ok(None),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                Err(ClusterError::NotACluster(self.folder.clone()))
            }
            Err(error) => Err(io_error("read", &path)(error)),
        }
    }

    fn is_vacant(&self) -> bool {
        match fs::read_dir(&self.folder) {
            Ok(mut entries) => entries.next().is_none(),
            Err(error) => error.kind() == ErrorKind::NotFound,
        }
    }

    /// Leaves the way to a folder outside the data directory, so that it is found whoever looks.
    pub(super) fn leave_link(&self) -> Result<()> {
        let Some(link) = &self.link else { return Ok(()) };
        std::os::unix::fs::symlink(&self.folder, link).map_err(io_error("create", link))
    }

    /// Hands a file or folder to the user that runs the server.
    pub(super) fn give(&self, path: &Path) -> Result<()> {
        let Some(Account { uid, gid }) = self.account else {
            return Ok(());
        };
        std::os::unix::fs::lchown(path, Some(uid), Some(gid)).map_err(io_error("give away", path))
    }

    /// Whether a folder is the server's user's alone.
    pub(super) fn is_private(&self, metadata: &Metadata) -> bool {
        let uid = self.account.map_or_else(|| rustix::process::geteuid().as_raw(), |account| account.uid);
        metadata.uid() == uid && metadata.mode() & 0o777 == 0o700
    }

    /// A name of its own for this cluster, wherever names are shared.
    pub(super) fn name(&self) -> String {
        short_hash(&self.folder)
    }

    /// A command run as the server's user: without our secrets, our folder or our Ctrl-C.
    pub(super) fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        let inherited = std::env::vars_os().filter(|(name, _)| INHERITED.iter().any(|kept| name == kept));
        command.env_clear().envs(inherited).env("LC_ALL", "C");
        command.current_dir("/").process_group(0).stdin(Stdio::null());
        if let Some(Account { uid, gid }) = self.account {
            command.uid(uid).gid(gid);
        }
        command
    }
}

impl Account {
    async fn reaches(self, folder: &Path) -> Result<bool> {
        let shell = Path::new("/bin/sh");
        let mut command = Command::new(shell);
        command.args(["-c", "cd \"$1\" 2>/dev/null", "sh"]).arg(folder);
        command.current_dir("/").uid(self.uid).gid(self.gid);
        Ok(command.status().await.map_err(run_error(shell))?.success())
    }

    fn postgres(passwd: &str) -> Option<Self> {
        let line = passwd.lines().find(|line| line.starts_with("postgres:"))?;
        let mut ids = line.split(':').skip(2).map(str::parse);
        Some(Self { uid: ids.next()?.ok()?, gid: ids.next()?.ok()? })
    }
}

/// Who runs the server of an existing folder: its owner, unless root made the folder and left it empty.
fn owner(folder: &Path, metadata: &Metadata) -> Result<Option<Account>> {
    let (me, uid) = (rustix::process::geteuid(), metadata.uid());
    match (me.is_root(), uid) {
        (true, 0) => server_account(),
        (true, uid) => Ok(Some(Account { uid, gid: metadata.gid() })),
        (false, uid) if uid == me.as_raw() => Ok(None),
        (false, uid) => Err(ClusterError::ForeignOwner { folder: folder.to_owned(), uid }),
    }
}

/// Who runs a new server: ourselves, or the `postgres` user if we are root.
fn server_account() -> Result<Option<Account>> {
    if !rustix::process::geteuid().is_root() {
        return Ok(None);
    }
    let passwd = Path::new("/etc/passwd");
    let users = fs::read_to_string(passwd).map_err(io_error("read", passwd))?;
    Account::postgres(&users).map(Some).ok_or(ClusterError::NoAccount)
}

fn short_hash(path: &Path) -> String {
    let digest = Sha256::digest(path.as_os_str().as_bytes());
    hex::encode(&digest[..8])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_postgres_user_is_found_by_name() {
        let users =
            "root:x:0:0:root:/root:/bin/bash\npostgres:x:101:104:admin:/var/lib/postgresql:/bin/bash\n";
        assert_eq!(Account::postgres(users), Some(Account { uid: 101, gid: 104 }));
        assert_eq!(Account::postgres("postgresql:x:1:1::/:/bin/sh\n"), None);
    }

    #[tokio::test]
    async fn a_dangling_link_is_not_taken_for_an_empty_database() {
        let dir = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("/nowhere/postgres", dir.path().join("postgres")).unwrap();
        let error = Site::locate(dir.path(), Path::new("/nowhere")).await.unwrap_err();
        assert!(matches!(error, ClusterError::Dangling(_)), "{error}");
    }

    #[test]
    fn a_folder_with_other_things_in_it_is_not_a_cluster() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("letter.txt"), "hello").unwrap();
        let site = Site { folder: dir.path().to_owned(), account: None, link: None };
        assert!(matches!(site.major(), Err(ClusterError::NotACluster(_))));
    }
}
