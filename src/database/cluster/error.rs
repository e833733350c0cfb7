//! What can go wrong with the private cluster. Every message tells the operator what to do.

use std::io;
use std::path::{Path, PathBuf};

/// Why the private cluster cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// Postgres is not installed, or not where we look.
    #[error(
        "PostgreSQL's server programs (initdb, postgres, pg_ctl) were not found. Install PostgreSQL 14 or newer:\n  \
         Debian, Ubuntu: sudo apt-get install postgresql\n  \
         Fedora:         sudo dnf install postgresql-server postgresql-contrib\n  \
         macOS:          brew install postgresql@17\n\
         or set PG_BIN to the folder that holds them, or DATABASE_URL to use a server of your own."
    )]
    NoBinaries,
    /// `PG_BIN` is set to a folder without the programs.
    #[error(
        "PG_BIN is {0}, but initdb, postgres and pg_ctl are not all there. Set it to the folder that holds \
         them (`pg_config --bindir` prints it), or unset it."
    )]
    BadPgBin(PathBuf),
    /// Every Postgres found is older than we support.
    #[error("PostgreSQL {version} in {folder} is too old. Install PostgreSQL 14 or newer.")]
    TooOld {
        /// As the program says it.
        version: String,
        /// Where it was found.
        folder: PathBuf,
    },
    /// The programs that made the cluster are not on this machine.
    #[error(
        "The database in {folder} was made by PostgreSQL {major}, and only {found} was found. Install \
         PostgreSQL {major}, or move the data to the new version: `pg_upgrade`, or with {major}'s programs \
         `pg_dumpall` into a file, move {folder} away, start again and load the file with `psql`."
    )]
    WrongMajor {
        /// The cluster's folder.
        folder: PathBuf,
        /// Its `PG_VERSION`.
        major: u32,
        /// The versions on this machine.
        found: String,
    },
    /// A program did not say which version it is.
    #[error("`{0} --version` did not name a version. Reinstall PostgreSQL, or set PG_BIN to a working one.")]
    UnknownVersion(PathBuf),
    /// We run as root and there is nobody to run the server as.
    #[error(
        "PostgreSQL refuses to run as root, and this machine has no `postgres` user to run it as. Create one \
         (useradd --system postgres), or run therapybridge as an ordinary user."
    )]
    NoAccount,
    /// The cluster belongs to another user of this machine.
    #[error("{folder} belongs to user {uid}. Run therapybridge as that user, or choose another DATA_DIR.")]
    ForeignOwner {
        /// The cluster's folder.
        folder: PathBuf,
        /// Who owns it.
        uid: u32,
    },
    /// The cluster's owner may not pass through a folder above it.
    #[error(
        "User {uid}, who owns the database in {folder}, cannot reach it. Allow it to pass through every \
         folder above (chmod o+x), or move the database to where it can."
    )]
    Unreachable {
        /// The cluster's folder.
        folder: PathBuf,
        /// Who owns it.
        uid: u32,
    },
    /// The link to the cluster leads nowhere.
    #[error(
        "{0} links to a database that is gone. Put it back, or remove the link to start with an empty database."
    )]
    Dangling(PathBuf),
    /// There is something, but not a cluster.
    #[error("{0} exists but holds no PostgreSQL database. Move it away, or choose another DATA_DIR.")]
    NotACluster(PathBuf),
    /// `PG_VERSION` is not a number.
    #[error("{0}/PG_VERSION is damaged. Restore the database from its backup.")]
    Damaged(PathBuf),
    /// The cluster is there, its password file is not.
    #[error(
        "The database's password file {0} is missing or empty. Restore it from the backup, or set a new password \
         with `postgres --single` (ALTER ROLE therapybridge PASSWORD '…') and write it there with mode 0600."
    )]
    NoPassword(PathBuf),
    /// The server does not accept the password we keep.
    #[error(
        "The database refuses the password in {0}. Restore that file from the backup, or set the database's \
         password to what it says."
    )]
    WrongPassword(PathBuf),
    /// `initdb` failed.
    #[error(
        "initdb could not create the database. Free some disk space or fix what it says, then start again:\n{0}"
    )]
    Create(String),
    /// The server ended before it took connections.
    #[error("The private PostgreSQL server did not start. Fix what its log says, then start again:\n{0}")]
    Start(String),
    /// The server is there but takes no connections.
    #[error(
        "The private PostgreSQL server is not ready after {seconds} s. If its log shows that it is recovering, \
         wait and start again; otherwise fix what it says:\n{log}"
    )]
    StartTimeout {
        /// How long we waited.
        seconds: u64,
        /// The end of the server's log.
        log: String,
    },
    /// The server does not end.
    #[error(
        "The private PostgreSQL server (process {pid}) is still shutting down after {seconds} s. Let it finish; \
         the next start waits for it."
    )]
    StopTimeout {
        /// The postmaster.
        pid: i32,
        /// How long we waited.
        seconds: u64,
    },
    /// Another process starts or stops the server, and does not come to an end.
    #[error(
        "Another therapybridge process has been starting or stopping the database for {seconds} s (it holds \
         {path}). Wait for it or end it, then start again."
    )]
    LockTimeout {
        /// The lock file.
        path: PathBuf,
        /// How long we waited.
        seconds: u64,
    },
    /// A program could not be run.
    #[error("Cannot run {program}: {source}. Check that it exists and that the database's user may run it.")]
    Run {
        /// The program.
        program: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The system refused something.
    #[error("Cannot {action} {path}: {source}. Check the owner, the permissions and the free space there.")]
    Io {
        /// What we wanted to do.
        action: &'static str,
        /// With what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The system refused a signal to the server.
    #[error("Cannot stop the database (process {pid}): {source}. Stop it with `pg_ctl stop` as its user.")]
    Signal {
        /// The postmaster.
        pid: i32,
        /// What the system said.
        source: io::Error,
    },
    /// The server answered with an error.
    #[error(
        "The private PostgreSQL server refused: {0}. Look into its log, in the `log` folder of the database."
    )]
    Database(#[from] sqlx::Error),
}

/// The result of everything here.
pub(super) type Result<T, E = ClusterError> = std::result::Result<T, E>;

/// Says what we were doing, and with what, when the system refused.
pub(super) fn io_error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> ClusterError {
    move |source| ClusterError::Io { action, path: path.to_owned(), source }
}

/// Says which program could not be run.
pub(super) fn run_error(program: &Path) -> impl FnOnce(io::Error) -> ClusterError {
    move |source| ClusterError::Run { program: program.to_owned(), source }
}
