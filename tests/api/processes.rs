//! The program as it is run: several processes on one database, and what happens when one of them dies.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use therapybridge::clock::{Clock, SystemClock};

use crate::support::client::Client;
use crate::support::cluster::{fresh_database, world_readable_dir};
use crate::support::provider::{Behaviour, Endpoint, ScriptedProvider};
use crate::support::socket::{News, Watch, statuses};
use crate::support::{PASSWORD, recording, variables};

const HISTORY: [&str; 5] = ["UPLOADING", "TRANSCRIBING", "TRANSCRIBED", "EXTRACTING_NOTES", "PROCESSED"];

/// The practice of these tests: a provider, a data folder, a database, and processes on them.
pub(crate) struct Fleet {
    provider: ScriptedProvider,
    data: tempfile::TempDir,
    pub(crate) database: String,
}

/// A running process; killed when dropped.
pub(crate) struct Process {
    child: Child,
    address: Option<SocketAddr>,
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Fleet {
    pub(crate) async fn new() -> Self {
        Self {
            provider: ScriptedProvider::start().await,
            data: tempfile::tempdir().unwrap(),
            database: fresh_database().await,
        }
    }

    /// Starts a process, and waits until it says that it is ready.
    async fn start(&self, args: &[&str]) -> Process {
        self.start_with(args, &[("DATABASE_URL", &self.database)]).await
    }

    /// What `audit verify` says, and whether it found nothing.
    async fn verify_audit(&self) -> (bool, String) {
        let vars = variables(&self.provider, self.data.path(), &[("DATABASE_URL", &self.database)]).await;
        let mut command = Command::new(env!("CARGO_BIN_EXE_therapybridge"));
        command.args(["audit", "verify"]).env_clear().envs(vars).current_dir(self.data.path());
        let output = command.output().unwrap();
        (output.status.success(), String::from_utf8(output.stdout).unwrap())
    }

    pub(crate) async fn start_with(&self, args: &[&str], settings: &[(&str, &str)]) -> Process {
        self.start_program(Command::new(env!("CARGO_BIN_EXE_therapybridge")), args, settings).await
    }

    /// A server that may write no file of a megabyte; the system refuses it as a full disk does.
    async fn start_without_room(&self) -> Process {
        let mut shell = Command::new("sh");
        let limited = "trap '' XFSZ; ulimit -f 1000; exec \"$0\" \"$@\"";
        shell.args(["-c", limited, env!("CARGO_BIN_EXE_therapybridge")]);
        self.start_program(shell, &["serve", "--no-worker"], &[("DATABASE_URL", &self.database)]).await
    }

    async fn start_program(&self, mut command: Command, args: &[&str], settings: &[(&str, &str)]) -> Process {
        let mut vars = variables(&self.provider, self.data.path(), settings).await;
        vars.insert("LOG_FORMAT".into(), "json".into());
        command.args(args).env_clear().envs(vars).current_dir(self.data.path());
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let log = BufReader::new(child.stderr.take().unwrap());
        let serves = args[0] == "serve";
        let ready = tokio::task::spawn_blocking(move || wait_until_ready(log, serves)).await.unwrap();
        Process { child, address: ready }
    }
}

/// Reads the log up to the line that tells the address (or, for a worker, that it has started); goes on reading after
/// that, so that the pipe never fills.
fn wait_until_ready(log: BufReader<std::process::ChildStderr>, serves: bool) -> Option<SocketAddr> {
    let mut lines = log.lines();
    for line in lines.by_ref().map_while(Result::ok) {
        let fields = &serde_json::from_str::<serde_json::Value>(&line).unwrap_or_default()["fields"];
        let ready = if serves { "listening" } else { "worker started" };
        if fields["message"] == ready {
            let address = fields["address"].as_str().map(|address| address.parse().unwrap());
            std::thread::spawn(move || lines.for_each(drop));
            return address;
        }
    }
    panic!("the process ended before it was ready");
}

impl Process {
    fn client(&self) -> Client {
        Client::new(self.address.unwrap())
    }

    pub(crate) async fn therapist(&self) -> Client {
        let input = json!({ "email": "jane@example.com", "password": PASSWORD, "fullName": "Jane", "role": "THERAPIST" });
        let tokens = self.client().sign_up(input).await;
        self.client().with_token(tokens["accessToken"].as_str().unwrap())
    }

    /// The most memory that it has had, in bytes.
    #[cfg(target_os = "linux")]
    pub(crate) fn peak(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
    }

    /// Asks it to stop, and waits until it has.
    async fn stop(mut self) -> std::process::ExitStatus {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        kill_process(pid, Signal::TERM).unwrap();
        let deadline = Instant::now() + Duration::from_mins(1);
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < deadline, "it does not stop");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

#[tokio::test]
async fn a_server_without_room_for_a_recording_says_so_and_keeps_nothing_of_it() {
    let fleet = Fleet::new().await;
    let server = fleet.start_without_room().await;
    let jane = server.therapist().await;
    let patient = jane.patient("Daniel").await;
    let large = recording("session_risk.mp3");
    let answer = jane.upload_answer(json!({ "patientId": patient }), "session.mp3", large).await;
    let error = &answer["errors"][0];
    assert_eq!(error["extensions"]["code"], "UNAVAILABLE", "{answer}");
    assert!(error["message"].as_str().unwrap().contains("Try again"), "{answer}");
    jane.session(&patient, recording("cbr.mp3")).await;
    let files = walk(fleet.data.path());
    let recordings: Vec<_> =
        files.iter().filter(|path| path.starts_with("files") || path.starts_with("spool")).collect();
    assert_eq!(recordings.len(), 2, "the small one, and the lock of the process: {recordings:?}");
}

/// Files in a folder, by their paths in it.
fn walk(folder: &Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(&next).unwrap().flatten() {
            match entry.path() {
                path if path.is_dir() => folders.push(path),
                path => found.push(path.strip_prefix(folder).unwrap().to_owned()),
            }
        }
    }
    found
}

#[tokio::test]
async fn a_server_and_a_worker_in_two_processes_do_the_job_and_every_state_is_seen() {
    let fleet = Fleet::new().await;
    let (server, _worker) = (fleet.start(&["serve", "--no-worker"]).await, fleet.start(&["worker"]).await);
    let jane = server.therapist().await;
    let patient = jane.patient("Daniel").await;
    let hold = fleet.provider.hold(Endpoint::Speech);
    let before = jane.session(&patient, recording("cbr.mp3")).await;
    let mut watch = Watch::patient(&jane, &patient).await;
    assert_eq!(watch.value().await["id"], json!(before), "from here on nothing is missed");
    let id = jane.session(&patient, recording("cbr.mp3")).await;
    drop(hold);
    let mut history = Vec::new();
    while history.last().is_none_or(|value: &serde_json::Value| value["status"] != "PROCESSED") {
        let value = watch.value().await;
        if value["id"] == json!(id) {
            history.push(value);
        }
    }
    assert_eq!(statuses(&history), HISTORY);
    assert_eq!(statuses(&Watch::session(&jane, &id).await.until_end().await), ["PROCESSED"]);
}

#[tokio::test]
async fn a_killed_workers_job_is_taken_over_and_seen_to_its_end() {
    let fleet = Fleet::new().await;
    let (server, mut doomed) = (fleet.start(&["serve", "--no-worker"]).await, fleet.start(&["worker"]).await);
    let jane = server.therapist().await;
    let patient = jane.patient("Daniel").await;
    let hold = fleet.provider.hold(Endpoint::Speech);
    let id = jane.session(&patient, recording("cbr.mp3")).await;
    let mut watch = Watch::session(&jane, &id).await;
    hold.reached(1).await;
    let first = watch.value().await;
    doomed.child.kill().unwrap();
    doomed.child.wait().unwrap();
    drop(hold);
    let _heir = fleet.start(&["worker"]).await;
    let history = statuses(&[vec![first], watch.until_end().await].concat());
    assert_eq!(history.last().unwrap(), "PROCESSED");
    assert_eq!(history.iter().filter(|status| *status == "TRANSCRIBING").count(), 1, "{history:?}");
}

impl Process {
    /// The end nobody can prepare for.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

/// With the default lease: it runs out 3 s after the last sign of life, and every living process looks twice a second.
#[tokio::test]
#[expect(clippy::print_stdout, reason = "it tells how long it took")]
async fn a_killed_workers_job_runs_elsewhere_within_five_seconds() {
    let fleet = Fleet::new().await;
    let (server, mut doomed) = (fleet.start(&["serve", "--no-worker"]).await, fleet.start(&["worker"]).await);
    let jane = server.therapist().await;
    let patient = jane.patient("Daniel").await;
    let hold = fleet.provider.hold(Endpoint::Speech);
    let id = jane.session(&patient, recording("cbr.mp3")).await;
    hold.reached(1).await;
    let _heir = fleet.start(&["worker"]).await;
    doomed.kill();
    let killed = Instant::now();
    hold.reached(2).await;
    let taken_over = killed.elapsed();
    println!("taken over {taken_over:.2?} after the kill");
    // Twice the promise: other tests share this machine.
    assert!(taken_over < Duration::from_secs(10), "{taken_over:?}");
    drop(hold);
    let history = Watch::session(&jane, &id).await.until_end().await;
    assert_eq!(history.last().unwrap()["status"], "PROCESSED");
}

#[tokio::test]
async fn a_job_that_kills_its_worker_every_time_ends_failed() {
    let fleet = Fleet::new().await;
    let settings = [("DATABASE_URL", fleet.database.as_str()), ("JOB_LEASE_SECONDS", "1")];
    let server = fleet.start_with(&["serve", "--no-worker"], &settings).await;
    let jane = server.therapist().await;
    let patient = jane.patient("Daniel").await;
    let hold = fleet.provider.hold(Endpoint::Speech);
    let id = jane.session(&patient, recording("cbr.mp3")).await;
    for attempt in 1..=5 {
        let mut doomed = fleet.start_with(&["worker"], &settings).await;
        hold.reached(attempt).await;
        doomed.kill();
    }
    let _last = fleet.start_with(&["worker"], &settings).await;
    let history = Watch::session(&jane, &id).await.until_end().await;
    assert_eq!(history.last().unwrap()["status"], "FAILED");
    let query = "query ($id: ID!) { session(id: $id) { errorMessage } }";
    let session = jane.call(query, json!({ "id": id })).await["session"].clone();
    assert!(session["errorMessage"].as_str().unwrap().contains("interrupted"), "{session}");
    assert_eq!(fleet.provider.calls(Endpoint::Speech).len(), 5, "there is no sixth attempt");
}

#[tokio::test]
async fn a_delay_outlives_the_worker_that_met_the_failure() {
    let fleet = Fleet::new().await;
    let (server, worker) = (fleet.start(&["serve", "--no-worker"]).await, fleet.start(&["worker"]).await);
    let jane = server.therapist().await;
    let patient = jane.patient("Daniel").await;
    fleet.provider.script(Endpoint::Speech, [Behaviour::status(503)]);
    let id = jane.session(&patient, recording("cbr.mp3")).await;
    let pool = sqlx::PgPool::connect(&fleet.database).await.unwrap();
    let holds = async |condition: &str| {
        let query = format!("SELECT count(*) FROM apalis.jobs WHERE {condition}");
        let jobs: i64 = sqlx::query_scalar(sqlx::AssertSqlSafe(query)).fetch_one(&pool).await.unwrap();
        jobs == 1
    };
    let deadline = Instant::now() + Duration::from_mins(1);
    while !holds("status = 'Pending' AND attempts = 1 AND run_at > now()").await {
        assert!(Instant::now() < deadline, "the failure is not put down");
        tokio::task::yield_now().await;
    }
    worker.stop().await;
    let hold = fleet.provider.hold(Endpoint::Speech);
    let _next = fleet.start(&["worker"]).await;
    hold.reached(1).await;
    assert!(holds("status = 'Running' AND attempts = 2 AND lock_at >= run_at").await, "not before its time");
    drop(hold);
    assert_eq!(statuses(&Watch::session(&jane, &id).await.until_end().await).last().unwrap(), "PROCESSED");
}

#[tokio::test]
#[expect(clippy::print_stdout, reason = "it tells how long it took")]
async fn cancelling_stops_a_worker_in_another_process_and_frees_it_for_others() {
    let fleet = Fleet::new().await;
    let settings = [("DATABASE_URL", fleet.database.as_str()), ("WORKER_CONCURRENCY", "1")];
    let server = fleet.start(&["serve", "--no-worker"]).await;
    let _worker = fleet.start_with(&["worker"], &settings).await;
    let jane = server.therapist().await;
    let patient = jane.patient("Daniel").await;
    let hold = fleet.provider.hold(Endpoint::Speech);
    let id = jane.session(&patient, recording("cbr.mp3")).await;
    hold.reached(1).await;
    let asked = Instant::now();
    let cancel =
        "mutation ($id: ID!) { cancelProcessing(sessionId: $id) { session { status } userErrors { code } } }";
    let payload = jane.call(cancel, json!({ "id": id })).await["cancelProcessing"].clone();
    assert_eq!(payload["session"]["status"], "FAILED", "{payload}");
    fleet.provider.left(1).await;
    println!("its call ended {:.2?} after the request", asked.elapsed());
    let next = jane.session(&patient, recording("cbr.mp3")).await;
    hold.reached(2).await;
    drop(hold);
    assert_eq!(statuses(&Watch::session(&jane, &next).await.until_end().await).last().unwrap(), "PROCESSED");
    assert_eq!(statuses(&Watch::session(&jane, &id).await.until_end().await), ["FAILED"]);
}

#[tokio::test]
async fn a_worker_that_is_asked_to_stop_gives_its_job_back_at_once() {
    let fleet = Fleet::new().await;
    let (server, worker) = (fleet.start(&["serve", "--no-worker"]).await, fleet.start(&["worker"]).await);
    let jane = server.therapist().await;
    let patient = jane.patient("Daniel").await;
    let hold = fleet.provider.hold(Endpoint::Speech);
    let id = jane.session(&patient, recording("cbr.mp3")).await;
    hold.reached(1).await;
    assert!(worker.stop().await.success());
    drop(hold);
    let _next = fleet.start(&["worker"]).await;
    let history = Watch::session(&jane, &id).await.until_end().await;
    assert_eq!(history.last().unwrap()["status"], "PROCESSED");
}

const EXPORT: &str = "mutation ($id: ID!) { exportSessionNotes(input: { sessionIds: [$id], format: PDF }) {
    exportJob { id } userErrors { code } } }";
const EXPORTED: &str =
    "subscription ($id: ID!) { exportJobUpdated(id: $id) { version status sizeBytes sha256 } }";

/// Waits until a process has died of its failpoint.
async fn died(process: &mut Process) {
    let deadline = Instant::now() + Duration::from_mins(1);
    while process.child.try_wait().unwrap().is_none() {
        assert!(Instant::now() < deadline, "it lives on");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_document_whose_worker_is_killed_half_way_is_made_again_and_never_half_given() {
    let fleet = Fleet::new().await;
    let settings = [
        ("DATABASE_URL", fleet.database.as_str()),
        ("JOB_LEASE_SECONDS", "1"),
        ("UPLOAD_COMMIT_SECONDS", "5"),
    ];
    let server = fleet.start_with(&["serve", "--no-worker"], &settings).await;
    let jane = server.therapist().await;
    let patient = jane.patient("Daniel").await;
    let session = jane.session(&patient, recording("cbr.mp3")).await;
    let worker = fleet.start_with(&["worker"], &settings).await;
    Watch::session(&jane, &session).await.until_end().await;
    worker.stop().await;
    for place in ["job.claimed", "export.rendered", "upload.intended", "export.put"] {
        let asked = jane.call(EXPORT, json!({ "id": session })).await["exportSessionNotes"].clone();
        let id = asked["exportJob"]["id"].as_str().unwrap().to_owned();
        let mut watch = Watch::start(&jane, EXPORTED, json!({ "id": id })).await;
        let first = watch.value().await;
        // Other kinds of jobs reach the first place, too: a worker that dies of one of them makes no difference here.
        let mut doomed =
            fleet.start_with(&["worker"], &[&settings[..], &[("FAILPOINT", place)]].concat()).await;
        died(&mut doomed).await;
        let path = format!("/exports/{id}/download");
        let early = jane.request(reqwest::Method::GET, &path).send().await.unwrap();
        assert_eq!(early.status(), 409, "{place}: there is no file before the job says so");
        let heir = fleet.start_with(&["worker"], &settings).await;
        let history = [vec![first], watch.until_end().await].concat();
        assert_eq!(statuses(&history), ["QUEUED", "RUNNING", "COMPLETED"], "{place}");
        let told = history.last().unwrap();
        let bytes = jane.request(reqwest::Method::GET, &path).send().await.unwrap().bytes().await.unwrap();
        assert_eq!(told["sizeBytes"], json!(bytes.len()), "{place}");
        assert!(bytes.starts_with(b"%PDF-") && bytes.trim_ascii_end().ends_with(b"%%EOF"), "{place}");
        heir.stop().await;
    }
    // What the killed ones had put is swept, and what they had spooled.
    let _last = fleet.start_with(&["worker"], &settings).await;
    let deadline = Instant::now() + Duration::from_mins(1);
    loop {
        let files = walk(fleet.data.path());
        let exported = files.iter().filter(|path| path.to_string_lossy().contains("/exports/")).count();
        let spooled =
            files.iter().filter(|path| path.starts_with("spool") && !path.ends_with("lock")).count();
        if (exported, spooled) == (4, 0) {
            break;
        }
        assert!(Instant::now() < deadline, "{files:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[cfg(target_os = "linux")]
#[tokio::test]
#[expect(clippy::print_stdout, reason = "it tells how much it took")]
async fn documents_of_five_hundred_sessions_take_a_worker_less_than_256_megabytes() {
    let fleet = Fleet::new().await;
    let (server, worker) = (fleet.start(&["serve", "--no-worker"]).await, fleet.start(&["worker"]).await);
    let jane = server.therapist().await;
    let patient = jane.patient("Daniel").await;
    let session = jane.session(&patient, recording("cbr.mp3")).await;
    Watch::session(&jane, &session).await.until_end().await;
    worker.stop().await;
    let pool = sqlx::PgPool::connect(&fleet.database).await.unwrap();
    sqlx::raw_sql(sqlx::AssertSqlSafe(crate::exports::copies(&session, 499))).execute(&pool).await.unwrap();
    let ids: Vec<String> =
        sqlx::query_scalar("SELECT id::text FROM sessions").fetch_all(&pool).await.unwrap();
    let ask = "mutation ($input: ExportSessionNotesInput!) {
        exportSessionNotes(input: $input) { exportJob { id } userErrors { message } } }";
    for format in ["PDF", "DOCX"] {
        let worker = fleet.start(&["worker"]).await;
        let before = worker.peak();
        let input = json!({ "sessionIds": ids, "format": format });
        let asked = jane.call(ask, json!({ "input": input })).await["exportSessionNotes"].clone();
        let id = asked["exportJob"]["id"].as_str().unwrap_or_else(|| panic!("{asked}")).to_owned();
        let began = Instant::now();
        let watch =
            "subscription ($id: ID!) { exportJobUpdated(id: $id) { version status progress sizeBytes } }";
        let history = Watch::start(&jane, watch, json!({ "id": id })).await.until_end().await;
        let took = began.elapsed();
        assert_eq!(history.last().unwrap()["status"], "COMPLETED", "{history:?}");
        assert!(
            history.iter().any(|value| (1..100).contains(&value["progress"].as_i64().unwrap())),
            "{history:?}"
        );
        let (after, bytes) = (worker.peak(), &history.last().unwrap()["sizeBytes"]);
        println!(
            "{format}: {bytes} bytes in {took:.1?}; peak {} MB, {} MB before",
            after >> 20,
            before >> 20
        );
        assert!(after < 256 << 20, "{format}: {after} bytes");
        worker.stop().await;
    }
}

/// With everything in the log that can be there.
#[tokio::test]
async fn links_names_and_words_of_documents_stand_in_no_log() {
    let fleet = Fleet::new().await;
    let vars =
        [("DATABASE_URL", fleet.database.as_str()), ("LOG_LEVEL", "debug,h2=info,hyper=info,sqlx=debug")];
    let log = fleet.data.path().join("log");
    let settings = variables(&fleet.provider, fleet.data.path(), &vars).await;
    let mut command = Command::new(env!("CARGO_BIN_EXE_therapybridge"));
    command.arg("serve").env_clear().envs(settings).env("LOG_FORMAT", "json").current_dir(fleet.data.path());
    let child = command.stdout(Stdio::null()).stderr(std::fs::File::create(&log).unwrap()).spawn().unwrap();
    let mut server = Process { child, address: None };
    let deadline = Instant::now() + Duration::from_mins(1);
    while server.address.is_none() {
        assert!(Instant::now() < deadline, "it does not start");
        tokio::time::sleep(Duration::from_millis(20)).await;
        let lines = std::fs::read_to_string(&log).unwrap();
        let lines = lines.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
        let mut listening = lines.filter(|line| line["fields"]["message"] == "listening");
        server.address =
            listening.next().map(|line| line["fields"]["address"].as_str().unwrap().parse().unwrap());
    }
    let jane = server.therapist().await;
    let patient = jane.patient("Zauberfluss").await;
    let session = jane.session(&patient, recording("cbr.mp3")).await;
    Watch::session(&jane, &session).await.until_end().await;
    let asked = jane.call(EXPORT, json!({ "id": session })).await["exportSessionNotes"].clone();
    let id = asked["exportJob"]["id"].clone();
    Watch::start(&jane, EXPORTED, json!({ "id": id })).await.until_end().await;
    let query = "query ($id: ID!) { exportJob(id: $id) { downloadUrl } }";
    let link =
        jane.call(query, json!({ "id": id })).await["exportJob"]["downloadUrl"].as_str().unwrap().to_owned();
    let ticket = link.split_once("ticket=").unwrap().1.to_owned();
    let answer = server.client().request(reqwest::Method::GET, &link).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    answer.bytes().await.unwrap();
    let bad = format!("{link}x");
    assert_eq!(server.client().request(reqwest::Method::GET, &bad).send().await.unwrap().status(), 401);
    assert!(server.stop().await.success());
    let log = std::fs::read_to_string(&log).unwrap();
    assert!(log.contains("/download"), "requests are logged at this level");
    for secret in [&ticket[..40], "ticket=", "Zauberfluss", "poor sleep"] {
        assert!(!log.contains(secret), "{secret} stands in the log");
    }
}

#[tokio::test]
async fn a_server_that_is_asked_to_stop_stops_well() {
    let fleet = Fleet::new().await;
    let server = fleet.start(&["serve"]).await;
    let jane = server.therapist().await;
    let patient = jane.patient("Daniel").await;
    let mut watch = Watch::patient(&jane, &patient).await;
    let (status, closed) = tokio::join!(server.stop(), watch.next());
    assert!(status.success(), "{status}");
    assert_eq!(closed, News::Closed(Some(1001)), "clients are told to connect again, elsewhere");
}

#[tokio::test]
async fn the_audit_trail_is_chained_by_whoever_lives_and_verified_on_the_command_line() {
    let fleet = Fleet::new().await;
    let (mut doomed, heir) = (fleet.start(&["serve", "--no-worker"]).await, fleet.start(&["worker"]).await);
    doomed.therapist().await.patient("Daniel").await;
    doomed.child.kill().unwrap();
    doomed.child.wait().unwrap();
    let second = fleet.start(&["serve", "--no-worker"]).await;
    second.client().log_in("jane@example.com", PASSWORD).await;
    assert!(second.stop().await.success());
    // The last one to stop links what is left, and writes the head.
    assert!(heir.stop().await.success());
    let (intact, said) = fleet.verify_audit().await;
    assert!(intact && said.contains("3 events checked, chained up to position 3, 0 findings"), "{said}");

    let pool = sqlx::PgPool::connect(&fleet.database).await.unwrap();
    let tamper = "SET session_replication_role = replica; UPDATE audit_events SET ip = '::1' WHERE seq = 2;
        DELETE FROM audit_chain WHERE position = 3";
    sqlx::raw_sql(tamper).execute(&pool).await.unwrap();
    let (intact, said) = fleet.verify_audit().await;
    assert!(
        !intact && said.contains("EDITED position 2 event ") && said.contains("CUT_TAIL position 3:"),
        "{said}"
    );
}

/// The process id of the private database's server, if one runs.
fn postmaster(data: &Path) -> Option<Pid> {
    let file = std::fs::read_to_string(data.join("postgres/postmaster.pid")).ok()?;
    Pid::from_raw(file.lines().next()?.parse().ok()?)
}

#[tokio::test]
async fn the_private_database_serves_two_processes_survives_a_kill_and_stops_with_the_last() {
    let fleet = Fleet::new().await;
    let data = world_readable_dir();
    let private = [("DATABASE_URL", ""), ("DATA_DIR", data.to_str().unwrap())];
    let server = fleet.start_with(&["serve", "--no-worker"], &private).await;
    let worker = fleet.start_with(&["worker"], &private).await;
    let jane = server.therapist().await;
    let patient = jane.patient("Daniel").await;

    let killed = postmaster(&data).unwrap();
    kill_process(killed, Signal::KILL).unwrap();
    // The killed server's backends answer for a moment more: not before there is another one is it back.
    let is_back = async || {
        let asked = jane.post("/graphql").json(&json!({ "query": "{ viewer { id } }" })).send();
        postmaster(&data).is_some_and(|pid| pid != killed) && asked.await.unwrap().status().is_success()
    };
    let deadline = Instant::now() + Duration::from_secs(90);
    while !is_back().await {
        assert!(Instant::now() < deadline, "the database does not come back");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let mut watch = Watch::patient(&jane, &patient).await;
    jane.session(&patient, recording("cbr.mp3")).await;
    while watch.value().await["status"] != "PROCESSED" {}

    assert!(worker.stop().await.success());
    assert!(postmaster(&data).is_some(), "the server still uses it");
    assert!(server.stop().await.success());
    assert!(postmaster(&data).is_none(), "the last one out stops it");
    std::fs::remove_dir_all(data).unwrap();
}

#[tokio::test]
async fn a_line_of_the_env_file_that_cannot_be_read_stops_the_start_and_is_not_shown() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join(".env"), "JWT_SECRET=a secret, with spaces\nPORT=0\n").unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_therapybridge"));
    let output = command.args(["migrate", "status"]).env_clear().current_dir(&folder).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains(".env") && !said.contains("secret"), "{said}");
}

#[tokio::test]
async fn a_bad_setting_stops_the_start_and_is_named() {
    let output = Command::new(env!("CARGO_BIN_EXE_therapybridge"))
        .arg("serve")
        .env("PORT", "eighty")
        .current_dir(std::env::temp_dir())
        .output()
        .unwrap();
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("PORT"), "{output:?}");
}

/// Follows a session over SSE to its end: the values that came.
async fn events_until_end(client: Client, id: String) -> Vec<serde_json::Value> {
    let query = "subscription ($id: ID!) { sessionUpdated(id: $id) { id version status progress } }";
    let body = json!({ "query": query, "variables": { "id": id } });
    let request = client.post("/graphql").header("accept", "text/event-stream").json(&body);
    let text = tokio::time::timeout(Duration::from_mins(3), async { request.send().await?.text().await });
    let text = text.await.expect("it ends").unwrap();
    assert!(text.ends_with("event: complete\ndata:\n\n"), "it completes: {text}");
    let values = text.lines().filter_map(|line| line.strip_prefix("data: "));
    values
        .map(|line| {
            let next: serde_json::Value = serde_json::from_str(line).unwrap();
            assert!(next["errors"].is_null(), "{next}");
            next["data"]["sessionUpdated"].clone()
        })
        .collect()
}

/// Two servers and two workers on one database; of every session a socket and an event stream at each server. Then a worker is
/// killed, and every process loses the connection by which it hears of news.
#[tokio::test]
async fn subscribers_of_every_process_see_every_status_once_and_in_order_whatever_is_cut_or_killed() {
    let fleet = Fleet::new().await;
    let servers =
        [fleet.start(&["serve", "--no-worker"]).await, fleet.start(&["serve", "--no-worker"]).await];
    let (mut doomed, _other) = (fleet.start(&["worker"]).await, fleet.start(&["worker"]).await);
    let jane = servers[0].therapist().await;
    let clients = servers.each_ref().map(|server| server.client().with_token(jane.token.as_ref().unwrap()));
    let patient = jane.patient("Daniel").await;
    let hold = fleet.provider.hold(Endpoint::Speech);
    let (mut ids, mut histories) = (Vec::new(), Vec::new());
    for number in 0..4 {
        let id = clients[number % 2].session(&patient, recording("cbr.mp3")).await;
        for client in &clients {
            let mut watch = Watch::session(client, &id).await;
            // Only its first value says that the server has begun to tell.
            let first = watch.value().await;
            histories.push(tokio::spawn(async move { [vec![first], watch.until_end().await].concat() }));
            histories.push(tokio::spawn(events_until_end(client.clone(), id.clone())));
        }
        ids.push(id);
    }
    hold.reached(2).await;
    doomed.kill();
    let pool = sqlx::PgPool::connect(&fleet.database).await.unwrap();
    let cut = "SELECT count(*) FROM (SELECT pg_terminate_backend(pid) FROM pg_stat_activity
        WHERE datname = current_database() AND application_name = 'therapybridge listener') AS cut";
    let listeners: i64 = sqlx::query_scalar(cut).fetch_one(&pool).await.unwrap();
    assert!(listeners >= 3, "two servers and a worker listen: {listeners}");
    drop(hold);
    for history in histories {
        let history = statuses(&history.await.unwrap());
        let seen: Vec<&str> = history.iter().map(String::as_str).collect();
        assert!(HISTORY.ends_with(&seen) && seen.len() > 1, "{seen:?}");
    }
    // Whoever comes late, and to the other server, sees the end.
    for id in ids {
        assert_eq!(statuses(&Watch::session(&clients[1], &id).await.until_end().await), ["PROCESSED"]);
    }
}

/// Revoked in one program, a key is good for nothing in another from then on, and what was open with it ends.
#[tokio::test]
async fn a_key_that_is_revoked_at_one_server_ends_at_the_other_at_once() {
    let fleet = Fleet::new().await;
    let servers =
        [fleet.start(&["serve", "--no-worker"]).await, fleet.start(&["serve", "--no-worker"]).await];
    let jane = servers[0].therapist().await;
    let input = json!({ "name": "Dashboard", "scopes": ["SESSIONS_READ"], "password": PASSWORD,
        "expiresAt": SystemClock.now() + chrono::TimeDelta::days(30) });
    let made = jane.create_api_key(input).await;
    let secret = made["secret"].as_str().unwrap_or_else(|| panic!("{made}"));
    let session = jane.session(&jane.patient("Daniel").await, recording("cbr.mp3")).await;
    let there = servers[1].client().with_token(secret);
    let mut watch = Watch::session(&there, &session).await;
    watch.value().await;
    let events = tokio::spawn({
        let query = "subscription ($id: ID!) { sessionUpdated(id: $id) { version } }";
        let body = json!({ "query": query, "variables": { "id": session } });
        let request = there.post("/graphql").header("accept", "text/event-stream").json(&body);
        let mut answer = request.send().await.unwrap();
        assert!(answer.chunk().await.unwrap().unwrap().starts_with(b"event: next"));
        async move { answer.text().await.unwrap() }
    });
    let query = "{ sessions { totalCount } }";
    assert_eq!(there.call(query, json!({})).await["sessions"]["totalCount"], 1);

    jane.revoke_api_key(made["apiKey"]["id"].as_str().unwrap()).await;
    assert_eq!(there.refusal(query, json!({})).await, "UNAUTHENTICATED", "at once");
    assert_eq!(watch.next().await, News::Closed(Some(4403)));
    let rest = tokio::time::timeout(Duration::from_mins(1), events).await.expect("it ends").unwrap();
    assert!(rest.contains("UNAUTHENTICATED") && rest.ends_with("event: complete\ndata:\n\n"), "{rest}");
    let owner = servers[1].client().with_token(jane.token.as_ref().unwrap());
    assert_eq!(owner.call(query, json!({})).await["sessions"]["totalCount"], 1, "the owner goes on");
}
