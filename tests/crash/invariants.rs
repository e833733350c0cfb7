//! What must be true when everything has ended, whatever went wrong before.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use sqlx::PgPool;
use therapybridge::entity::session::Status;
use tokio::process::Command;

use super::client::{Heard, Seen};
use super::journal::{Journal, Strike};
use super::provider::{Call, Kind};
use super::recording::Sentence;

/// Within so many seconds of the last repair there is news of every session that has not ended.
const RECOVERY: f64 = 5.0;
/// What a clock that is read a moment before its transaction may be off by, in seconds.
const TIGHT: f64 = 0.001;
/// A call that left a process before its end is heard of a little later, in seconds.
const ON_THE_WAY: f64 = 0.5;
/// Until what killed processes left is swept away.
const SWEPT: Duration = Duration::from_secs(8);

/// What a run has left.
pub(crate) struct Evidence {
    /// By number: the session's id, and what its subscriptions heard.
    pub(crate) sessions: Vec<(usize, (String, Vec<Heard>))>,
    /// By number: length of the recording.
    pub(crate) sentences: Vec<u32>,
    /// What the patient's subscriptions heard.
    pub(crate) by_patient: Vec<Heard>,
    /// What was paid for.
    pub(crate) calls: Vec<Call>,
    pub(crate) strikes: Vec<Strike>,
    /// `DATA_DIR`.
    pub(crate) data: PathBuf,
    /// When everything was whole again, in seconds since 1970.
    pub(crate) repaired: f64,
    /// How late this machine was at most, in seconds.
    pub(crate) late: f64,
}

impl Evidence {
    /// From the last repair to the first news of the session that took longest.
    pub(crate) async fn recovery(&self, pool: &PgPool) -> f64 {
        let query = "SELECT coalesce(max(first), 0)::float8 FROM (
            SELECT min(extract(epoch FROM created_at)) FILTER (WHERE extract(epoch FROM created_at) > $1) - $1 AS first
            FROM outbox_events WHERE session_id IS NOT NULL GROUP BY session_id HAVING min(extract(epoch FROM created_at)) <= $1) AS news";
        sqlx::query_scalar(query).bind(self.repaired).fetch_one(pool).await.unwrap()
    }

    /// Looks at everything, and says what is wrong.
    pub(crate) async fn verify(&self, pool: &PgPool, journal: &Journal) {
        let mut wrong = Vec::new();
        let recovery = self.recovery(pool).await;
        if recovery > RECOVERY + 3.0 * self.late {
            wrong.push(format!("recovery took {recovery:.1} s (this machine was {:.2} s late)", self.late));
        }
        wrong.extend(self.sessions_once(pool).await);
        for (number, (id, heard)) in &self.sessions {
            let found = [
                self.ended_well(pool, id).await,
                self.one_transcript(pool, *number, id).await,
                one_set_of_notes(pool, id).await,
                events_in_order(pool, id).await,
                self.paid_once(pool, *number, id).await,
                monotone(heard, true),
                monotone(&only(&self.by_patient, id), false),
            ];
            wrong.extend(found.into_iter().flatten().map(|what| format!("session {number}: {what}")));
        }
        wrong.extend(self.no_job_left(pool).await);
        wrong.extend(self.files_are_rows(pool).await);
        wrong.extend(figures_are_right(pool).await);
        for what in wrong {
            journal.violation(what);
        }
    }

    /// An upload that was repeated makes one session, and none is lost.
    async fn sessions_once(&self, pool: &PgPool) -> Vec<String> {
        let rows: Vec<String> =
            sqlx::query_scalar("SELECT id::text FROM sessions ORDER BY id").fetch_all(pool).await.unwrap();
        let mut told: Vec<String> = self.sessions.iter().map(|(_, (id, _))| id.clone()).collect();
        told.sort();
        if rows == told {
            vec![]
        } else {
            vec![format!("clients were told of {told:?}, the rows are {rows:?}")]
        }
    }

    async fn ended_well(&self, pool: &PgPool, id: &str) -> Vec<String> {
        let query = "SELECT status, progress, coalesce(error_message, '') FROM sessions WHERE id = $1::uuid";
        let (status, progress, message): (String, i32, String) =
            sqlx::query_as(query).bind(id).fetch_one(pool).await.unwrap();
        if (status.as_str(), progress) == ("PROCESSED", 100) {
            return vec![];
        }
        vec![format!("it is {status} at {progress} %: {message}")]
    }

    /// Every sentence stands once, in order, where it belongs.
    async fn one_transcript(&self, pool: &PgPool, number: usize, id: &str) -> Vec<String> {
        let query = "SELECT segment_index, text FROM transcript_segments WHERE session_id = $1::uuid
            ORDER BY segment_index";
        let rows: Vec<(i32, String)> = sqlx::query_as(query).bind(id).fetch_all(pool).await.unwrap();
        let mut wrong = Vec::new();
        if !rows.iter().map(|row| row.0).eq(0..i32::try_from(rows.len()).unwrap()) {
            wrong.push(format!(
                "segments are numbered {:?}",
                rows.iter().map(|row| row.0).collect::<Vec<_>>()
            ));
        }
        let session = u32::try_from(number).unwrap();
        let said: Vec<String> =
            (0..self.sentences[number]).map(|number| Sentence { session, number }.words()).collect();
        let written: Vec<String> = rows.into_iter().map(|row| row.1).collect();
        if said.join(" ") != written.join(" ") {
            let missing: Vec<_> = said.iter().filter(|said| !written.contains(said)).collect();
            let foreign: Vec<_> = written.iter().filter(|text| !said.contains(text)).collect();
            wrong.push(format!(
                "the transcript has {} segments for {} sentences; missing: {missing:?}; foreign: {foreign:?}",
                written.len(),
                said.len()
            ));
        }
        wrong
    }

    /// No call for what was stored, and no call twice unless something struck in between.
    async fn paid_once(&self, pool: &PgPool, number: usize, id: &str) -> Vec<String> {
        let stored: Vec<(i64, i64, f64)> = sqlx::query_as(
            "SELECT start_ms, end_ms, extract(epoch FROM created_at)::float8 FROM transcript_pieces
             WHERE session_id = $1::uuid ORDER BY start_ms",
        )
        .bind(id)
        .fetch_all(pool)
        .await
        .unwrap();
        let written: Option<f64> = sqlx::query_scalar(
            "SELECT min(extract(epoch FROM created_at))::float8 FROM extraction_runs WHERE session_id = $1::uuid",
        )
        .bind(id)
        .fetch_one(pool)
        .await
        .unwrap();
        let mut wrong = Vec::new();
        let mut same: BTreeMap<&str, Vec<&Call>> = BTreeMap::new();
        let paid = |call: &&Call| usize::try_from(call.session) == Ok(number) && !call.refused;
        for call in self.calls.iter().filter(paid) {
            let kept = match call.kind {
                Kind::Notes => written,
                Kind::Speech => stored
                    .iter()
                    .find(|(from, to, _)| (*from..*to).contains(&call.middle_ms))
                    .map(|row| row.2),
            };
            if kept.is_some_and(|kept| call.from > kept + TIGHT) {
                wrong.push(format!("paid for what was stored: {call:?}, stored at {kept:?}"));
            }
            let key = if call.kind == Kind::Notes { "notes" } else { call.key.as_str() };
            same.entry(key).or_default().push(call);
        }
        // A piece that is refused takes those that are under way with it.
        let refusals = self.calls.iter().filter(|call| call.refused).map(|call| Strike {
            from: call.from,
            to: call.to.unwrap_or(f64::MAX),
            hits_work: true,
            shook_database: false,
        });
        let strikes: Vec<Strike> = self.strikes.iter().cloned().chain(refusals).collect();
        for calls in same.values() {
            for pair in calls.windows(2) {
                let struck = |strike: &&Strike| {
                    strike.hits_work && strike.to + ON_THE_WAY >= pair[0].from && strike.from <= pair[1].from
                };
                if strikes.iter().find(struck).is_none() {
                    wrong.push(format!("paid twice, and nothing had happened in between: {pair:?}"));
                }
            }
        }
        if stored.windows(2).any(|pair| pair[0].0 == pair[1].0) {
            wrong.push(format!("pieces are stored twice: {stored:?}"));
        }
        wrong
    }

    /// Every job is done, but for those whose call was refused for good.
    async fn no_job_left(&self, pool: &PgPool) -> Vec<String> {
        let query = "SELECT job_type, status, attempts FROM apalis.jobs
            WHERE job_type IN ('transcribe_session', 'extract_notes') AND status <> 'Done'";
        let left: Vec<(String, String, i32)> = sqlx::query_as(query).fetch_all(pool).await.unwrap();
        let given_up = left.iter().filter(|job| job.1 == "Killed").count();
        let refused = self.calls.iter().filter(|call| call.refused).count();
        if given_up == left.len() && given_up <= refused {
            return vec![];
        }
        vec![format!("{refused} calls were refused for good, and these jobs are left: {left:?}")]
    }

    /// No file without a row, no row without its file, nothing on its way.
    async fn files_are_rows(&self, pool: &PgPool) -> Vec<String> {
        let keys: Vec<String> =
            sqlx::query_scalar("SELECT audio_key FROM sessions").fetch_all(pool).await.unwrap();
        let rows: BTreeSet<PathBuf> = keys.iter().map(|key| self.data.join("files").join(key)).collect();
        let deadline = Instant::now() + SWEPT;
        loop {
            // What is left of an upload in parts goes when that expires.
            let is_part = |path: &PathBuf| {
                path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("part-"))
            };
            let files: BTreeSet<PathBuf> =
                files_in(&self.data.join("files")).into_iter().filter(|path| !is_part(path)).collect();
            let on_the_way = files_in(&self.data.join("spool"));
            let on_the_way = on_the_way.iter().filter(|path| !path.ends_with("lock")).count();
            if files == rows && on_the_way == 0 {
                return vec![];
            }
            if Instant::now() > deadline {
                let orphans: Vec<_> = files.difference(&rows).collect();
                let lost: Vec<_> = rows.difference(&files).collect();
                return vec![format!(
                    "files without a row: {orphans:?}; rows without a file: {lost:?}; {on_the_way} files left on their way"
                )];
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

/// One run, and the session points at it.
async fn one_set_of_notes(pool: &PgPool, id: &str) -> Vec<String> {
    let query = "SELECT runs.id::text, sessions.extraction_run_id = runs.id FROM extraction_runs AS runs
        JOIN sessions ON sessions.id = runs.session_id WHERE runs.session_id = $1::uuid";
    let runs: Vec<(String, Option<bool>)> = sqlx::query_as(query).bind(id).fetch_all(pool).await.unwrap();
    match runs.as_slice() {
        [(_, Some(true))] => vec![],
        other => vec![format!("its runs, and which of them is its notes: {other:?}")],
    }
}

/// Every version once, in order, and each status one that may follow the one before.
/// Every day and every session is in the figures as it is in the rows, and every run has ended well, each version told
/// of once.
async fn figures_are_right(pool: &PgPool) -> Vec<String> {
    let mut wrong = Vec::new();
    for (what, query) in [
        (
            "days are wrong",
            "SELECT count(*) FROM (
                 SELECT therapist_id, session_date, count(*), count(*) FILTER (WHERE attendance = 'COMPLETED') AS completed,
                     count(DISTINCT patient_id) AS patients, sum(duration_minutes) AS minutes
                 FROM sessions GROUP BY 1, 2) AS days
             FULL JOIN daily_stats ON (days.therapist_id, session_date) = (daily_stats.therapist_id, stat_date)
             WHERE (count, completed, patients, minutes)
                 IS DISTINCT FROM (total_sessions, completed_sessions, active_patients, timed_minutes)",
        ),
        (
            "sessions have other figures than their notes",
            "SELECT count(*) FROM sessions FULL JOIN session_metrics ON session_id = sessions.id
             WHERE sessions.extraction_run_id IS DISTINCT FROM session_metrics.extraction_run_id",
        ),
        (
            "weeks are missing or too many",
            "SELECT count(*) FROM (SELECT DISTINCT patient_id, date_trunc('week', session_date)::date AS week FROM sessions) AS weeks
             FULL JOIN patient_progress AS progress
                 ON (weeks.patient_id, week) = (progress.patient_id, week_start_date)
             WHERE week IS NULL OR week_start_date IS NULL",
        ),
        ("runs have not ended well", "SELECT count(*) FROM aggregation_runs WHERE status <> 'COMPLETED'"),
        (
            "runs were told of otherwise than they went",
            "SELECT count(*) FROM (
                 SELECT run.version, array_agg(event.version ORDER BY event.seq) AS told
                 FROM aggregation_runs AS run LEFT JOIN outbox_events AS event ON aggregation_run_id = run.id
                 GROUP BY run.id) AS runs
             WHERE told <> ARRAY(SELECT generate_series(1, version))",
        ),
    ] {
        let count: i64 = sqlx::query_scalar(query).fetch_one(pool).await.unwrap();
        if count > 0 {
            wrong.push(format!("{count} {what}"));
        }
    }
    wrong
}

async fn events_in_order(pool: &PgPool, id: &str) -> Vec<String> {
    let query = "SELECT events.version, events.status, sessions.version FROM outbox_events AS events
        JOIN sessions ON sessions.id = events.session_id WHERE sessions.id = $1::uuid ORDER BY events.seq";
    let events: Vec<(i64, String, i64)> = sqlx::query_as(query).bind(id).fetch_all(pool).await.unwrap();
    let last = events.last().map_or(0, |event| event.2);
    let mut wrong = Vec::new();
    if !events.iter().map(|event| event.0).eq(1..=last) {
        wrong.push(format!("its events are {events:?}"));
    }
    for pair in events.windows(2) {
        if !may_follow(&pair[0].1, &pair[1].1) {
            wrong.push(format!("{} follows {}", pair[1].1, pair[0].1));
        }
    }
    wrong
}

/// What several connections heard, one after the other: versions only grow, statuses follow each other, nothing goes
/// back; and a subscription to one session ends with its end.
fn monotone(connections: &[Heard], ends: bool) -> Vec<String> {
    let mut wrong = Vec::new();
    for heard in connections {
        for pair in heard.windows(2) {
            if pair[1].version <= pair[0].version {
                wrong.push(format!("a subscription heard {:?} after {:?}", pair[1], pair[0]));
            }
            // Progress may be left out, a status may not.
            if !may_follow(&pair[0].status, &pair[1].status) {
                wrong.push(format!("a subscription missed what is between {:?} and {:?}", pair[0], pair[1]));
            }
            if pair[0].status == pair[1].status && pair[1].progress < pair[0].progress {
                wrong.push(format!("progress went back from {:?} to {:?}", pair[0], pair[1]));
            }
        }
    }
    let all: Vec<&Seen> = connections.iter().flatten().collect();
    for pair in all.windows(2).filter(|pair| pair[1].version < pair[0].version) {
        wrong.push(format!("a new connection heard {:?} after {:?}", pair[1], pair[0]));
    }
    if ends && all.last().is_none_or(|seen| seen.status != "PROCESSED" && seen.status != "FAILED") {
        wrong.push(format!("a subscription ended at {:?}", all.last()));
    }
    wrong
}

fn may_follow(from: &str, to: &str) -> bool {
    from == to || status(from).may_become(status(to)).is_ok()
}

fn status(name: &str) -> Status {
    sea_orm::ActiveEnum::try_from_value(&name.to_owned()).unwrap()
}

/// What was heard of one session.
fn only(connections: &[Heard], id: &str) -> Vec<Heard> {
    let of = |heard: &Heard| heard.iter().filter(|seen| seen.session == id).cloned().collect();
    connections.iter().map(of).collect()
}

fn files_in(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.path().is_dir() { files.extend(files_in(&entry.path())) } else { files.push(entry.path()) }
    }
    files
}

/// The audit trail is whole.
pub(crate) async fn verify_audit(vars: &HashMap<String, String>, folder: &Path, journal: &Journal) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_therapybridge"));
    command.args(["audit", "verify"]).env_clear().envs(vars).current_dir(folder);
    let output = command.output().await.unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() || !said.contains(" 0 findings") {
        journal.violation(format!("the audit trail: {said}{}", String::from_utf8_lossy(&output.stderr)));
    }
}
