//! Two API processes and two workers, each in a seat: what ends is started again.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::{oneshot, watch};

use super::journal::Journal;
use super::now;
use super::plan::{Plan, Seat};

/// Until a process is ready, or has stopped.
const PATIENCE: Duration = Duration::from_secs(30);

/// What runs in a seat.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Running {
    /// The process, once it is ready.
    pub(crate) pid: Option<Pid>,
    /// Where it listens, if it does.
    pub(crate) address: Option<SocketAddr>,
    /// How many were started before.
    pub(crate) restarts: u32,
}

/// The processes of one run.
pub(crate) struct Fleet {
    folder: PathBuf,
    vars: HashMap<String, String>,
    journal: Arc<Journal>,
    seats: [watch::Sender<Running>; 4],
    /// How long a seat stays empty when its process ends, in milliseconds.
    down: [Mutex<u64>; 4],
    /// What a seat's first process has in `FAILPOINT`.
    failpoints: [Mutex<Option<String>>; 4],
    /// Which seats were asked to stop, and when.
    terminated: [Mutex<Option<f64>>; 4],
    ending: watch::Sender<bool>,
}

impl Fleet {
    /// Starts all processes, and waits until they are ready.
    pub(crate) async fn start(
        plan: &Plan,
        folder: &Path,
        vars: HashMap<String, String>,
        journal: Arc<Journal>,
    ) -> Arc<Self> {
        let fleet = Arc::new(Self {
            folder: folder.to_owned(),
            vars,
            journal,
            seats: std::array::from_fn(|_| watch::Sender::new(Running::default())),
            down: plan.down().map(Mutex::new),
            failpoints: Seat::ALL.map(|seat| Mutex::new(plan.failpoint(seat))),
            terminated: std::array::from_fn(|_| Mutex::new(None)),
            ending: watch::Sender::new(false),
        });
        for seat in Seat::ALL {
            tokio::spawn(Arc::clone(&fleet).keep(seat));
        }
        fleet.all_ready().await;
        fleet
    }

    /// Waits until a process is ready in every seat.
    pub(crate) async fn all_ready(&self) {
        for seat in Seat::ALL {
            self.ready(seat, 0).await;
        }
    }

    /// Waits until a process is ready in a seat that has been started again so often.
    pub(crate) async fn ready(&self, seat: Seat, restarts: u32) -> Running {
        let mut running = self.seats[seat.index()].subscribe();
        let ready = running.wait_for(|running| running.pid.is_some() && running.restarts >= restarts);
        *tokio::time::timeout(PATIENCE, ready)
            .await
            .unwrap_or_else(|_| panic!("{seat} is not ready"))
            .unwrap()
    }

    pub(crate) fn running(&self, seat: Seat) -> Running {
        *self.seats[seat.index()].borrow()
    }

    /// The address of the given API process, or of the other one.
    pub(crate) fn address(&self, api: usize) -> Option<SocketAddr> {
        let address = |api: usize| self.running(Seat::Api(api % 2)).address;
        address(api).or_else(|| address(api + 1))
    }

    /// Sends a signal to whatever is in a seat; says whether there was something.
    pub(crate) fn signal(&self, seat: Seat, signal: Signal) -> bool {
        self.running(seat).pid.is_some_and(|pid| kill_process(pid, signal).is_ok())
    }

    /// Asks whatever is in a seat to stop.
    pub(crate) fn terminate(&self, seat: Seat) {
        *self.terminated[seat.index()].lock().unwrap() = Some(now());
        self.signal(seat, Signal::TERM);
    }

    /// How long a seat is to stay empty when its process ends.
    pub(crate) fn stays_down(&self, seat: Seat, millis: u64) {
        *self.down[seat.index()].lock().unwrap() = millis;
    }

    /// Ends the processes as an operator does; says which did not end well.
    pub(crate) async fn stop(&self) -> Vec<String> {
        self.ending.send_replace(true);
        let mut complaints = Vec::new();
        for seat in Seat::ALL {
            self.terminate(seat);
        }
        for seat in Seat::ALL {
            let mut running = self.seats[seat.index()].subscribe();
            let gone = running.wait_for(|running| running.pid.is_none());
            let gone = async {
                tokio::pin!(gone);
                // It may have come to its failpoint only now, and stand still there.
                while tokio::time::timeout(Duration::from_secs(1), &mut gone).await.is_err() {
                    self.signal(seat, Signal::CONT);
                }
            };
            if tokio::time::timeout(PATIENCE, gone).await.is_err() {
                self.signal(seat, Signal::KILL);
                complaints.push(format!("{seat} did not stop within {} s of SIGTERM", PATIENCE.as_secs()));
            }
        }
        complaints
    }

    /// Starts a process in a seat, again and again, until the run ends.
    async fn keep(self: Arc<Self>, seat: Seat) {
        while !*self.ending.borrow() {
            let failpoint = self.failpoints[seat.index()].lock().unwrap().take();
            let (mut child, ready) = self.spawn(seat, failpoint.as_deref());
            // A process that ends before it is ready met a database that is away: that is not its fault.
            if let Ok(Ok(address)) = tokio::time::timeout(PATIENCE, ready).await {
                let pid = child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
                self.journal.note(format!("{seat} is ready"));
                self.seats[seat.index()]
                    .send_modify(|running| (running.pid, running.address) = (pid, address));
                let status = child.wait().await.unwrap();
                self.seats[seat.index()].send_modify(|running| {
                    *running = Running { restarts: running.restarts + 1, ..Running::default() };
                });
                self.judge_end(seat, status);
            } else {
                let _ = child.kill().await;
                self.journal.note(format!("{seat} ended before it was ready"));
            }
            let down = *self.down[seat.index()].lock().unwrap();
            tokio::time::sleep(Duration::from_millis(down.max(50))).await;
        }
    }

    fn judge_end(&self, seat: Seat, status: ExitStatus) {
        let asked = self.terminated[seat.index()].lock().unwrap().take();
        // Its farewell may have met a database that was away.
        let excused = self.journal.strikes().iter().any(|strike| strike.shook_database);
        match status.signal() {
            Some(9) => self.journal.struck(format!("{seat} was killed"), seat.is_worker()),
            _ => match asked {
                // It gives its jobs back as soon as it is asked.
                Some(since) if status.success() || excused => {
                    self.journal.paused(format!("{seat} stopped"), since, seat.is_worker());
                }
                _ => self.journal.violation(format!("{seat} ended by itself: {status}")),
            },
        }
    }

    fn spawn(&self, seat: Seat, failpoint: Option<&str>) -> (Child, oneshot::Receiver<Option<SocketAddr>>) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_therapybridge"));
        let args: &[&str] = if seat.is_worker() { &["worker"] } else { &["serve", "--no-worker"] };
        command.args(args).env_clear().envs(&self.vars).current_dir(&self.folder);
        if let Some(failpoint) = failpoint {
            command.env("FAILPOINT", failpoint);
        }
        let mut child =
            command.stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true).spawn().unwrap();
        let (ready, when_ready) = oneshot::channel();
        let log = self.folder.join(format!("{seat}.log").replace(' ', "-"));
        tokio::spawn(follow(child.stderr.take().unwrap(), log, ready));
        (child, when_ready)
    }
}

/// Writes a process's log to a file, and tells when it says that it is ready, and where it listens.
async fn follow(
    stderr: tokio::process::ChildStderr,
    log: PathBuf,
    ready: oneshot::Sender<Option<SocketAddr>>,
) {
    let mut file = tokio::fs::File::options().create(true).append(true).open(log).await.unwrap();
    let mut lines = BufReader::new(stderr).lines();
    let mut ready = Some(ready);
    while let Ok(Some(line)) = lines.next_line().await {
        // The folder may be gone before the last line.
        let _ = file.write_all(format!("{line}\n").as_bytes()).await;
        let fields = &serde_json::from_str::<serde_json::Value>(&line).unwrap_or_default()["fields"];
        if matches!(fields["message"].as_str(), Some("listening" | "worker started"))
            && let Some(ready) = ready.take()
        {
            let _ = ready.send(fields["address"].as_str().map(|address| address.parse().unwrap()));
        }
    }
    let _ = file.flush().await;
}
