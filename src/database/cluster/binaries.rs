//! Finds Postgres's server programs on this machine.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::error::{ClusterError, Result, run_error};

/// The oldest major version we support.
const OLDEST: u32 = 14;

/// Where packagers put one folder per version: the parent, what comes before the version, what comes after.
const VERSIONED: [(&str, &str, &str); 6] = [
    ("/usr/lib/postgresql", "", "bin"),
    ("/usr", "pgsql-", "bin"),
    ("/usr/libexec", "postgresql", ""),
    ("/opt/homebrew/opt", "postgresql@", "bin"),
    ("/usr/local/opt", "postgresql@", "bin"),
    ("/Applications/Postgres.app/Contents/Versions", "", "bin"),
];

/// One installation of Postgres.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Binaries {
    folder: PathBuf,
    version: String,
    major: u32,
}

impl Binaries {
    /// The first installation that can create a cluster (`made_by` is `None`) or run the one that
    /// `made_by.1`, a major version, made in the folder `made_by.0`.
    pub(super) fn find(pg_bin: Option<&Path>, made_by: Option<(&Path, u32)>) -> Result<Self> {
        if let Some(folder) = pg_bin {
            complete(folder).ok_or_else(|| ClusterError::BadPgBin(folder.to_owned()))?;
        }
        let folders = match (pg_bin, made_by) {
            (Some(folder), None) => vec![folder.to_owned()],
            (pg_bin, _) => pg_bin.map(Path::to_owned).into_iter().chain(usual_folders()).collect(),
        };
        Self::choose(installations(&folders)?, made_by)
    }

    /// The program that creates a cluster.
    pub(super) fn initdb(&self) -> PathBuf {
        self.folder.join("initdb")
    }

    /// The server.
    pub(super) fn postgres(&self) -> PathBuf {
        self.folder.join("postgres")
    }

    fn choose(found: Vec<Self>, made_by: Option<(&Path, u32)>) -> Result<Self> {
        let Some(first) = found.first().cloned() else {
            return Err(ClusterError::NoBinaries);
        };
        let versions = found.iter().map(|one| one.version.as_str()).collect::<Vec<_>>().join(", ");
        let fits = |one: &Self| made_by.map_or(one.major >= OLDEST, |(_, major)| one.major == major);
        found.into_iter().find(fits).ok_or_else(|| match made_by {
            Some((folder, major)) => {
                ClusterError::WrongMajor { folder: folder.to_owned(), major, found: versions }
            }
            None => ClusterError::TooOld { version: first.version, folder: first.folder },
        })
    }

    /// Asks the server program in a complete folder for its version.
    fn ask(folder: PathBuf) -> Result<Self> {
        let program = folder.join("postgres");
        let output = Command::new(&program).arg("--version").output().map_err(run_error(&program))?;
        let (version, major) = version(&String::from_utf8_lossy(&output.stdout))
            .ok_or_else(|| ClusterError::UnknownVersion(program))?;
        Ok(Self { folder, version, major })
    }
}

/// `postgres (PostgreSQL) 15.18 (Debian …)` → `("15.18", 15)`.
fn version(text: &str) -> Option<(String, u32)> {
    let version = text.split("(PostgreSQL)").nth(1)?.split_whitespace().next()?;
    Some((version.to_owned(), leading_number(version)?))
}

fn leading_number(text: &str) -> Option<u32> {
    text.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

fn installations(folders: &[PathBuf]) -> Result<Vec<Binaries>> {
    let mut distinct: Vec<PathBuf> = Vec::new();
    for folder in folders.iter().filter_map(|folder| complete(folder)) {
        if !distinct.contains(&folder) {
            distinct.push(folder);
        }
    }
    distinct.into_iter().map(Binaries::ask).collect()
}

/// The folder that really holds the server, links resolved, if `initdb` and `pg_ctl` are there too.
fn complete(folder: &Path) -> Option<PathBuf> {
    let server = fs::canonicalize(folder.join("postgres")).ok()?;
    let folder = server.parent()?;
    let all = ["postgres", "initdb", "pg_ctl"].iter().all(|name| is_program(&folder.join(name)));
    all.then(|| folder.to_owned())
}

fn is_program(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
}

fn usual_folders() -> Vec<PathBuf> {
    let search_path = std::env::var_os("PATH").unwrap_or_default();
    let versioned = VERSIONED.iter().flat_map(|(parent, before, after)| newest_first(parent, before, after));
    pg_config().into_iter().chain(std::env::split_paths(&search_path)).chain(versioned).collect()
}

fn pg_config() -> Option<PathBuf> {
    let output = Command::new("pg_config").arg("--bindir").output().ok()?;
    let folder = String::from_utf8(output.stdout).ok()?;
    Some(PathBuf::from(folder.trim())).filter(|folder| folder.is_absolute())
}

fn newest_first(parent: &str, before: &str, after: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(parent).into_iter().flatten().flatten();
    let mut found: Vec<(u32, PathBuf)> = entries
        .filter_map(|entry| {
            let major = leading_number(entry.file_name().to_str()?.strip_prefix(before)?)?;
            Some((major, entry.path().join(after)))
        })
        .collect();
    found.sort_by(|left, right| right.cmp(left));
    found.into_iter().map(|(_, folder)| folder).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fake(version: &str) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for name in ["postgres", "initdb", "pg_ctl"] {
            let program = folder.path().join(name);
            fs::write(&program, format!("#!/bin/sh\necho '{name} (PostgreSQL) {version}'\n")).unwrap();
            fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        }
        folder
    }

    fn installed(version: &str, major: u32) -> Binaries {
        Binaries { folder: PathBuf::from("/opt").join(version), version: version.to_owned(), major }
    }

    #[test]
    fn a_version_is_read_from_what_the_server_prints() {
        let debian = "postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n";
        assert_eq!(version(debian), Some(("15.18".to_owned(), 15)));
        assert_eq!(version("postgres (PostgreSQL) 19devel"), Some(("19devel".to_owned(), 19)));
        assert_eq!(version("sh: not found"), None);
    }

    #[test]
    fn an_old_version_is_refused_by_name() {
        let folder = fake("13.4");
        let message = Binaries::find(Some(folder.path()), None).unwrap_err().to_string();
        assert!(message.contains("PostgreSQL 13.4") && message.contains("14 or newer"), "{message}");
    }

    #[test]
    fn pg_bin_comes_first() {
        let folder = fake("16.1");
        assert_eq!(Binaries::find(Some(folder.path()), None).unwrap().version, "16.1");
    }

    #[test]
    fn a_pg_bin_without_the_programs_is_an_error() {
        let folder = fake("16.1");
        fs::remove_file(folder.path().join("pg_ctl")).unwrap();
        let error = Binaries::find(Some(folder.path()), None).unwrap_err();
        assert!(matches!(error, ClusterError::BadPgBin(_)), "{error}");
    }

    #[test]
    fn links_lead_to_the_folder_that_holds_the_programs() {
        let (real, links) = (fake("16.1"), tempfile::tempdir().unwrap());
        std::os::unix::fs::symlink(real.path().join("postgres"), links.path().join("postgres")).unwrap();
        assert_eq!(complete(links.path()), Some(fs::canonicalize(real.path()).unwrap()));
    }

    #[test]
    fn without_postgresql_the_message_says_what_to_install() {
        let message = Binaries::choose(Vec::new(), None).unwrap_err().to_string();
        for hint in ["apt-get install postgresql", "dnf install postgresql-server", "brew install", "PG_BIN"]
        {
            assert!(message.contains(hint), "{message}");
        }
    }

    #[test]
    fn an_existing_cluster_is_run_by_the_version_that_made_it() {
        let found = vec![installed("17.2", 17), installed("15.18", 15)];
        let chosen = Binaries::choose(found, Some((Path::new("/d"), 15))).unwrap();
        assert_eq!(chosen.major, 15);
    }

    #[test]
    fn a_cluster_of_a_version_that_is_not_installed_names_both() {
        let found = vec![installed("17.2", 17)];
        let message = Binaries::choose(found, Some((Path::new("/d"), 15))).unwrap_err().to_string();
        assert!(message.contains("made by PostgreSQL 15") && message.contains("only 17.2"), "{message}");
        assert!(message.contains("pg_dumpall"), "{message}");
    }
}
