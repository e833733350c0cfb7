//! One run: a fleet, its clients, what goes wrong, and what must be true in the end.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::json;
use sqlx::postgres::PgPoolOptions;

use super::client::{Client, Heard};
use super::fleet::Fleet;
use super::invariants::{self, Evidence};
use super::journal::Journal;
use super::plan::{Fault, Plan, Seat};
use super::provider::Provider;
use super::proxy::Proxy;
use super::recording::{self, Sentence};
use super::site::{Site, process_state};
use super::{lateness, now};

/// Until everything has ended, whatever happened.
const LIMIT: Duration = Duration::from_secs(60);

/// What became of a run.
pub(crate) struct Outcome {
    pub(crate) plan: Plan,
    pub(crate) violations: Vec<String>,
    pub(crate) notes: Vec<String>,
    pub(crate) seconds: f64,
    /// From the last repair to the first news of the session that took longest, in seconds.
    pub(crate) recovery: f64,
    pub(crate) folder: PathBuf,
}

struct Run<'a> {
    site: &'a Site,
    plan: &'a Plan,
    fleet: Arc<Fleet>,
    journal: Arc<Journal>,
    proxy: Arc<Proxy>,
    client: Client,
    patient: String,
}

/// Does what the plan says.
pub(crate) async fn run(site: &Site, plan: Plan) -> Outcome {
    let (started, journal) = (Instant::now(), Arc::new(Journal::new()));
    let folder = site.folder.join(format!("run-{}", plan.seed));
    let data = folder.join("data");
    std::fs::create_dir_all(&data).unwrap();
    let database = format!("run_{}", plan.seed);
    site.create(&database).await;
    let proxy = Arc::new(Proxy::start(site.socket()).await);
    let provider = Provider::start(sentences(&plan), plan.refusals()).await;
    let vars = variables(&site.url(&database, proxy.port), &provider.base_url, &data);
    let fleet = Fleet::start(&plan, &folder, vars.clone(), Arc::clone(&journal)).await;
    let client = Client::therapist(&fleet).await;
    let patient = client.patient(&fleet).await;
    let journal_of_run = Arc::clone(&journal);
    let run = Run { site, plan: &plan, fleet, journal, proxy, client, patient };
    let pool = PgPoolOptions::new().max_connections(2).connect_lazy_with(site.options(&database));
    let evidence = run.perform(&pool, &provider, &data).await;
    let recovery = evidence.recovery(&pool).await;
    evidence.verify(&pool, &run.journal).await;
    for complaint in run.fleet.stop().await {
        run.journal.violation(complaint);
    }
    invariants::verify_audit(&vars, &folder, &run.journal).await;
    pool.close().await;
    drop(run);
    site.drop(&database).await;
    Outcome {
        violations: journal_of_run.violations(),
        notes: journal_of_run.notes(),
        seconds: started.elapsed().as_secs_f64(),
        plan,
        recovery,
        folder,
    }
}

impl Run<'_> {
    /// Uploads, watches and breaks, all at once, until everything has ended and is whole again.
    async fn perform(&self, pool: &sqlx::PgPool, provider: &Provider, data: &Path) -> Evidence {
        self.journal.note(format!("start: {}", self.plan));
        let by_patient = Mutex::new(Vec::new());
        let watching = self.client.follow_patient(&self.fleet, &self.patient, &by_patient);
        let uploads = futures::future::join_all((0..self.plan.uploads.len()).map(|n| self.session(n)));
        let all = async {
            let ((sessions, repaired), late) =
                lateness(async { tokio::join!(uploads, self.break_things()) }).await;
            self.settle(pool).await;
            (sessions, repaired, late)
        };
        let (sessions, repaired, late) = tokio::select! {
            done = all => done,
            () = watching => unreachable!("a patient is followed until the end"),
            () = self.wake_sleepers() => unreachable!("it waits until the end"),
        };
        for seat in Seat::ALL {
            self.fleet.signal(seat, Signal::CONT);
        }
        let strikes = self.journal.strikes();
        // Who still stands still holds nothing up any more.
        let ends = strikes.iter().map(|strike| strike.to).filter(|end| *end < f64::MAX);
        let repaired = ends.fold(repaired, f64::max);
        self.journal.note("everything has ended");
        self.sweep().await;
        Evidence {
            sessions: sessions
                .into_iter()
                .enumerate()
                .filter_map(|(n, session)| Some((n, session?)))
                .collect(),
            sentences: self.plan.uploads.iter().map(|upload| upload.sentences).collect(),
            by_patient: by_patient.into_inner().unwrap(),
            calls: provider.calls(),
            strikes,
            data: data.to_owned(),
            repaired,
            late,
        }
    }

    /// A client's way: upload, and watch.
    async fn session(&self, number: usize) -> Option<(String, Vec<Heard>)> {
        let upload = &self.plan.uploads[number];
        tokio::time::sleep(Duration::from_millis(upload.at)).await;
        let (session, sentences) = (u32::try_from(number).unwrap(), upload.sentences);
        let audio = tokio::task::spawn_blocking(move || recording::wav(session, sentences)).await.unwrap();
        let input = json!({ "patientId": self.patient, "idempotencyKey": format!("upload-{number}") });
        let id = self.client.upload((&self.fleet, &self.journal), upload, &input, &audio).await?;
        self.journal.note(format!("session {number} is {id}"));
        let heard = self.client.follow(&self.fleet, &self.journal, upload.api + 1, &id).await;
        self.journal.note(format!("session {number} was followed to its end"));
        Some((id, heard))
    }

    /// Does the plan's faults; says when everything was whole again.
    async fn break_things(&self) -> f64 {
        futures::future::join_all(self.plan.faults.iter().map(|fault| self.commit(fault))).await;
        self.fleet.all_ready().await;
        now()
    }

    async fn commit(&self, fault: &Fault) {
        if let Some(at) = fault.at() {
            tokio::time::sleep(at).await;
            self.journal.note(format!("now: {fault}"));
        }
        match *fault {
            Fault::Kill { seat, down, .. } => self.end(seat, Signal::KILL, down).await,
            Fault::Terminate { seat, down, .. } => self.end(seat, Signal::TERM, down).await,
            Fault::Stop { seat, lasts, .. } => {
                if self.fleet.signal(seat, Signal::STOP) {
                    self.wake(seat, lasts).await;
                }
            }
            // It strikes by itself, or not at all: the code may not come there so often.
            Fault::KillAt { .. } | Fault::StopAt { .. } => {}
            Fault::Database { down, .. } => {
                let strike = self.journal.shaking();
                self.site.crash().await;
                tokio::time::sleep(Duration::from_millis(down)).await;
                self.site.revive().await;
                self.journal.shaken("the database is back", strike);
            }
            Fault::Cut { refused, .. } => {
                let strike = self.journal.shaking();
                self.proxy.cut();
                tokio::time::sleep(Duration::from_millis(refused)).await;
                self.proxy.open();
                self.journal.shaken("the way to the database is open again", strike);
            }
            Fault::Mute { lasts, .. } => {
                let strike = self.journal.shaking();
                self.proxy.mute();
                tokio::time::sleep(Duration::from_millis(lasts)).await;
                self.proxy.cut();
                tokio::time::sleep(Duration::from_millis(20)).await;
                self.proxy.open();
                self.journal.shaken("the way to the database is open again", strike);
            }
        }
    }

    async fn end(&self, seat: Seat, signal: Signal, down: u64) {
        let before = self.fleet.running(seat);
        self.fleet.stays_down(seat, down);
        if signal == Signal::TERM {
            self.fleet.terminate(seat);
        } else {
            self.fleet.signal(seat, signal);
        }
        if before.pid.is_some() {
            self.fleet.ready(seat, before.restarts + 1).await;
        }
    }

    async fn wake(&self, seat: Seat, lasts: u64) {
        let strike = self.journal.pausing(seat.is_worker());
        tokio::time::sleep(Duration::from_millis(lasts)).await;
        self.fleet.signal(seat, Signal::CONT);
        self.journal.shaken(format!("{seat} goes on"), strike);
    }

    /// Wakes those that have come to a failpoint and stand still there, some time later; never ends.
    async fn wake_sleepers(&self) {
        futures::future::join_all(self.plan.faults.iter().map(|fault| async {
            if let Fault::StopAt { seat, lasts, .. } = *fault {
                while self.fleet.running(seat).pid.and_then(process_state) != Some('T') {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
                self.journal.note(format!("{seat} stands still"));
                self.wake(seat, lasts).await;
            }
        }))
        .await;
        std::future::pending::<()>().await;
    }

    /// Waits until no session and no job is under way.
    async fn settle(&self, pool: &sqlx::PgPool) {
        let query = "SELECT (SELECT count(*) FROM sessions WHERE status NOT IN ('PROCESSED', 'FAILED'))
            + (SELECT count(*) FROM apalis.jobs WHERE status NOT IN ('Done', 'Killed')
               AND job_type IN ('transcribe_session', 'extract_notes', 'refresh_analytics', 'aggregate'))";
        let deadline = Instant::now() + LIMIT;
        while Instant::now() < deadline {
            if let Ok(0) = sqlx::query_scalar::<_, i64>(query).fetch_one(pool).await {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        self.journal.violation(format!("something is still under way {} s later", LIMIT.as_secs()));
    }

    /// A worker's start sweeps away what killed processes have left.
    async fn sweep(&self) {
        let seat = Seat::Worker(0);
        self.end(seat, Signal::TERM, 0).await;
    }
}

fn sentences(plan: &Plan) -> Vec<Sentence> {
    let of = |(session, count): (u32, u32)| (0..count).map(move |number| Sentence { session, number });
    (0..).zip(plan.uploads.iter().map(|upload| upload.sentences)).flat_map(of).collect()
}

fn variables(database: &str, provider: &str, data: &Path) -> HashMap<String, String> {
    [
        ("DATABASE_URL", database),
        ("DATA_DIR", data.to_str().unwrap()),
        ("DATABASE_MAX_CONNECTIONS", "8"),
        ("PORT", "0"),
        ("JWT_SECRET", "a secret of the tests, and of nobody else"),
        ("AUDIT_KEY", "another secret of the tests, and of nobody else"),
        ("OPENAI_BASE_URL", provider),
        ("OPENAI_API_KEY", "sk-test"),
        ("OPENAI_MAX_RETRIES", "0"),
        ("OPENAI_CONCURRENCY", "2"),
        ("PIECE_SECONDS", "10"),
        ("UPLOAD_COMMIT_SECONDS", "1"),
        ("RATE_LIMIT_LOGIN", "off"),
        ("RATE_LIMIT_SIGNUP", "off"),
        ("RATE_LIMIT_REQUESTS", "off"),
        ("LOG_FORMAT", "json"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into()
}
