//! Starts the server, attaches to one that runs, and stops it.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use secrecy::SecretString;
use sqlx::{ConnectOptions, Connection};
use tokio::process::Child;
use tokio::time::{Instant, sleep, timeout};

use super::ClusterSettings;
use super::binaries::Binaries;
use super::endpoint::Endpoint;
use super::error::{ClusterError, Result, io_error, run_error};
use super::pid_file::{PidFile, Process};
use super::site::Site;

/// Long enough to recover from a crash: at most a gigabyte of write-ahead log.
pub(super) const START_LIMIT: Duration = Duration::from_mins(3);

/// Long enough to write everything that is still in memory.
pub(super) const STOP_LIMIT: Duration = Duration::from_mins(2);

const POLL: Duration = Duration::from_millis(25);
const CONNECT_LIMIT: Duration = Duration::from_secs(5);
const LOG_LINES: usize = 20;
const LOG_BYTES: u64 = 8192;

/// Given on the command line, where neither `ALTER SYSTEM` nor a file can undo them.
const SETTINGS: [&str; 20] = [
    "cluster_name=therapybridge",
    "unix_socket_permissions=0700",
    "password_encryption=scram-sha-256",
    "max_connections=200",
    "shared_buffers=128MB",
    // Parallel queries share memory in /dev/shm, of which containers have little.
    "max_parallel_workers_per_gather=0",
    "max_parallel_maintenance_workers=0",
    "TimeZone=UTC",
    "log_timezone=UTC",
    // One file per day of the week.
    "logging_collector=on",
    "log_directory=log",
    "log_filename=postgresql-%a.log",
    "log_rotation_age=1d",
    "log_rotation_size=0",
    "log_truncate_on_rotation=on",
    "log_file_mode=0600",
    // What a failing statement says may quote a patient's data: the application hears it, the log does not.
    "log_min_messages=log",
    "log_min_error_statement=panic",
    "log_error_verbosity=terse",
    "log_line_prefix=%m [%p] ",
];

/// What a committed transaction is worth.
const DURABILITY: [&str; 3] = ["fsync", "full_page_writes", "synchronous_commit"];

enum State {
    Ready(Endpoint),
    /// Starting, recovering or shutting down.
    Busy,
    Down,
}

/// Waits until the server takes connections, starting it if it does not run: at the `usual` endpoint, if there
/// is one. The caller holds the lock that serialises starts and stops.
pub(super) async fn ensure_running(
    site: &Site,
    password: &SecretString,
    settings: &ClusterSettings,
    usual: Option<&Endpoint>,
) -> Result<Endpoint> {
    let deadline = Instant::now() + START_LIMIT;
    let mut child: Option<Child> = None;
    while Instant::now() < deadline {
        match state(site, password).await? {
            State::Ready(endpoint) => return Ok(endpoint),
            State::Down if must_launch(site, child.as_mut())? => child = Some(launch(site, settings, usual)?),
            State::Down | State::Busy => {}
        }
        sleep(POLL).await;
    }
    Err(ClusterError::StartTimeout { seconds: START_LIMIT.as_secs(), log: log_tail(site) })
}

/// Shuts the server down, disconnecting its clients, and waits until it has ended.
pub(super) async fn stop(site: &Site) -> Result<()> {
    let Some(pid) = interrupt(site)? else {
        return Ok(());
    };
    let deadline = Instant::now() + STOP_LIMIT;
    while Process::of(pid, &site.folder) == Process::Ours {
        if Instant::now() > deadline {
            return Err(ClusterError::StopTimeout { pid, seconds: STOP_LIMIT.as_secs() });
        }
        sleep(POLL).await;
    }
    Ok(())
}

/// Asks the server for a fast shutdown, and says which process that is; `None` if it does not run.
pub(super) fn interrupt(site: &Site) -> Result<Option<i32>> {
    let Some(PidFile { pid, .. }) = PidFile::read(&site.folder)? else {
        return Ok(None);
    };
    if Process::of(pid, &site.folder) != Process::Ours {
        return Ok(None);
    }
    let Some(process) = Pid::from_raw(pid) else {
        return Ok(None);
    };
    match kill_process(process, Signal::INT) {
        Ok(()) => Ok(Some(pid)),
        Err(rustix::io::Errno::SRCH) => Ok(None),
        Err(error) => Err(ClusterError::Signal { pid, source: error.into() }),
    }
}

async fn state(site: &Site, password: &SecretString) -> Result<State> {
    let Some(PidFile { pid, endpoint }) = PidFile::read(&site.folder)? else {
        return Ok(State::Down);
    };
    let process = Process::of(pid, &site.folder);
    // Whoever listens on a private socket is ours, even from a container whose processes we cannot see.
    let ours = |endpoint: &Endpoint| process == Process::Ours || matches!(endpoint, Endpoint::Socket(..));
    if let Some(endpoint) = endpoint.filter(ours)
        && let Some(state) = probe(site, endpoint, password).await?
    {
        return Ok(state);
    }
    match process {
        Process::Ours => return Ok(State::Busy),
        Process::Stranger => PidFile::remove(&site.folder)?,
        Process::Unknown | Process::Gone => {}
    }
    Ok(State::Down)
}

/// Connects; `None` if nobody answers.
async fn probe(site: &Site, endpoint: Endpoint, password: &SecretString) -> Result<Option<State>> {
    let options = endpoint.options("postgres", password);
    let error = match timeout(CONNECT_LIMIT, options.connect()).await {
        Err(_) => return Ok(Some(State::Busy)),
        Ok(Ok(connection)) => {
            // It has answered; how the farewell goes does not matter.
            let _ = connection.close().await;
            return Ok(Some(State::Ready(endpoint)));
        }
        Ok(Err(error)) => error,
    };
    match error.as_database_error().map(|error| error.code().unwrap_or_default()) {
        None if matches!(error, sqlx::Error::Io(_)) => Ok(None),
        None => Err(error.into()),
        Some(code) if code.starts_with("28") => Err(ClusterError::WrongPassword(site.password_file())),
        Some(code) if code.starts_with("57") => Ok(Some(State::Busy)),
        // It is up, only not for us just now: too many connections, say.
        Some(_) => Ok(Some(State::Ready(endpoint))),
    }
}

/// Whether to start the server (again), or an error if it ended on its own and would again.
fn must_launch(site: &Site, child: Option<&mut Child>) -> Result<bool> {
    let Some(child) = child else { return Ok(true) };
    if child.try_wait().map_err(io_error("wait for", &site.folder))?.is_none() {
        return Ok(false);
    }
    let log = log_tail(site);
    // A killed server's own processes end a moment after it, and must.
    if log.contains("is still in use") { Ok(true) } else { Err(ClusterError::Start(log)) }
}

fn launch(site: &Site, settings: &ClusterSettings, usual: Option<&Endpoint>) -> Result<Child> {
    let made_by = site.major()?.map(|major| (site.folder.as_path(), major));
    let program = Binaries::find(settings.pg_bin.as_deref(), made_by)?.postgres();
    let log_path = site.start_log();
    let log = File::create(&log_path).map_err(io_error("write", &log_path))?;
    let errors = log.try_clone().map_err(io_error("write", &log_path))?;
    let endpoint = usual.cloned().map_or_else(|| Endpoint::choose(site), Ok)?;
    let mut command = site.command(&program);
    command.arg("-D").arg(&site.folder);
    for setting in arguments(&endpoint, settings.durable) {
        command.args(["-c", &setting]);
    }
    tracing::info!(folder = %site.folder.display(), "starting the private PostgreSQL server");
    command.stdout(Stdio::from(log)).stderr(Stdio::from(errors)).spawn().map_err(run_error(&program))
}

fn arguments(endpoint: &Endpoint, durable: bool) -> impl Iterator<Item = String> {
    let value = if durable { "on" } else { "off" };
    let durability = DURABILITY.map(|name| format!("{name}={value}"));
    SETTINGS.map(str::to_owned).into_iter().chain(endpoint.settings()).chain(durability)
}

/// The end of what the server said when it started, and of its newest log.
fn log_tail(site: &Site) -> String {
    let files = [Some(site.start_log()), newest(&site.folder.join("log"))];
    let tails = files.into_iter().flatten().filter_map(|path| tail(&path));
    tails.collect::<Vec<_>>().join("\n")
}

fn newest(folder: &Path) -> Option<PathBuf> {
    let entries = fs::read_dir(folder).ok()?.flatten();
    entries
        .max_by_key(|entry| entry.metadata().and_then(|file| file.modified()).ok())
        .map(|entry| entry.path())
}

fn tail(path: &Path) -> Option<String> {
    let mut file = File::open(path).ok()?;
    let length = file.metadata().ok()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(LOG_BYTES))).ok()?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).ok()?;
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().collect();
    let tail = lines[lines.len().saturating_sub(LOG_LINES)..].join(
        "
",
    );
    (!tail.is_empty()).then_some(tail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_durable_cluster_syncs_everything_and_a_throw_away_one_nothing() {
        let given = |durable| arguments(&Endpoint::Loopback(1), durable).collect::<Vec<_>>();
        for name in ["fsync", "full_page_writes", "synchronous_commit"] {
            assert!(given(true).contains(&format!("{name}=on")));
            assert!(given(false).contains(&format!("{name}=off")));
        }
    }
}
