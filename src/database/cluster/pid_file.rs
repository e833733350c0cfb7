//! `postmaster.pid`: what a running server says about itself, and whether that is still true.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::endpoint::Endpoint;
use super::error::{Result, io_error};

/// The server that wrote the file.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct PidFile {
    /// The postmaster's process.
    pub(super) pid: i32,
    /// Where it listens, if it does already.
    pub(super) endpoint: Option<Endpoint>,
}

/// What runs under a process id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Process {
    /// This cluster's postmaster.
    Ours,
    /// Perhaps a server, but not known to be ours.
    Unknown,
    /// Certainly no Postgres: the system gave the id away again.
    Stranger,
    /// Nothing.
    Gone,
}

impl PidFile {
    /// Reads the file of the cluster in `folder`; `None` if there is none, or nothing of use in it.
    pub(super) fn read(folder: &Path) -> Result<Option<Self>> {
        let path = path(folder);
        match fs::read_to_string(&path) {
            Ok(text) => Ok(Self::parse(&text)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(io_error("read", &path)(error)),
        }
    }

    /// Removes the file. Postgres does so itself, unless it takes a stranger for a server.
    pub(super) fn remove(folder: &Path) -> Result<()> {
        let path = path(folder);
        fs::remove_file(&path).map_err(io_error("remove", &path))
    }

    /// Lines: process, folder, start time, port, socket's folder, address, …; the last ones come later.
    fn parse(text: &str) -> Option<Self> {
        let lines: Vec<&str> = text.lines().map(str::trim).collect();
        let line = |index: usize| lines.get(index).copied().filter(|line| !line.is_empty());
        let pid = line(0)?.parse().ok().filter(|pid| *pid > 0)?;
        let port = line(3).and_then(|port| port.parse().ok());
        let endpoint = port.and_then(|port| match (line(4), line(5)) {
            (Some(folder), _) => Some(Endpoint::Socket(PathBuf::from(folder), port)),
            (None, Some(_)) => Some(Endpoint::Loopback(port)),
            (None, None) => None,
        });
        Some(Self { pid, endpoint })
    }
}

impl Process {
    /// Looks at the process `pid` with the cluster in `folder` in mind.
    pub(super) fn of(pid: i32, folder: &Path) -> Self {
        command_line(pid).map_or(Self::Gone, |line| Self::judge(&line, folder))
    }

    fn judge(line: &str, folder: &Path) -> Self {
        if line.contains(&format!(" -D {} ", folder.display())) {
            Self::Ours
        } else if line.contains("postgres") || line.contains("postmaster") {
            Self::Unknown
        } else {
            Self::Stranger
        }
    }
}

fn path(folder: &Path) -> PathBuf {
    folder.join("postmaster.pid")
}

/// The command line with a space after each argument; empty for a process that has ended but is still listed.
fn command_line(pid: i32) -> Option<String> {
    if Path::new("/proc/self/cmdline").exists() {
        let bytes = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        return Some(String::from_utf8_lossy(&bytes).replace('\0', " "));
    }
    let output = Command::new("ps").args(["-ww", "-o", "command=", "-p", &pid.to_string()]).output().ok()?;
    let line = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    (!line.is_empty()).then(|| line + " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_is_ready_says_where_it_listens() {
        let text = "4711\n/d/postgres\n1700000000\n5432\n/d/postgres\n\n 1 2\nready   \n";
        let endpoint = Some(Endpoint::Socket(PathBuf::from("/d/postgres"), 5432));
        assert_eq!(PidFile::parse(text), Some(PidFile { pid: 4711, endpoint }));
        let text = "4711\n/d/postgres\n1700000000\n40001\n\n127.0.0.1\n 1 2\nready   \n";
        let endpoint = Some(Endpoint::Loopback(40001));
        assert_eq!(PidFile::parse(text), Some(PidFile { pid: 4711, endpoint }));
    }

    #[test]
    fn a_server_that_has_just_begun_listens_nowhere_yet() {
        let text = "4711\n/d/postgres\n1700000000\n5432\n\n";
        assert_eq!(PidFile::parse(text), Some(PidFile { pid: 4711, endpoint: None }));
        assert_eq!(PidFile::parse(""), None);
        assert_eq!(PidFile::parse("-12\n/d\n"), None);
    }

    #[test]
    fn only_the_server_of_this_very_folder_is_ours() {
        let folder = Path::new("/d/postgres");
        let judge = |line| Process::judge(line, folder);
        assert_eq!(judge("/usr/bin/postgres -D /d/postgres -c fsync=on "), Process::Ours);
        assert_eq!(judge("/usr/bin/postgres -D /d/postgres2 -c fsync=on "), Process::Unknown);
        assert_eq!(judge("postgres: checkpointer "), Process::Unknown);
        assert_eq!(judge("therapybridge serve "), Process::Stranger);
    }

    #[test]
    fn a_process_that_runs_has_a_command_line() {
        let me = i32::try_from(std::process::id()).unwrap();
        assert!(command_line(me).is_some_and(|line| !line.is_empty()));
        assert_eq!(command_line(i32::MAX), None);
    }
}
