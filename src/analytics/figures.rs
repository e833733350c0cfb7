//! The stored figures, worked out anew from sessions and their notes. Whatever was there before, whoever does it, and however
//! often: the rows are right afterwards. All of it happens in the caller's transaction, which holds [`lock`].

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, NaiveDate, Utc};
use sea_orm::{ConnectionTrait, DbErr, FromQueryResult, Statement};
use serde::Serialize;
use serde_json::json;
use uuid::Uuid;

use super::metrics::Metrics;
use super::mood::{self, Score};
use super::sql;
use super::window::{Days, monday};
use crate::error::Result;
use crate::notes::Notes;

/// Sessions whose notes are in memory at a time.
const BATCH: i64 = 200;
/// Topics that are kept of a week.
const WEEKLY_TOPICS: usize = 20;

/// Which figures of a therapist.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scope {
    /// Whose.
    pub(super) therapist_id: Uuid,
    /// Of which days.
    pub(super) days: Days,
    /// Of one patient's sessions and weeks only; days are always those of all patients.
    pub(super) patient_id: Option<Uuid>,
}

/// What was worked out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Done {
    /// Days, or weeks of patients, that have figures.
    pub(super) periods: i64,
    /// Rows that were not as they should be.
    pub(super) changes: i64,
}

impl std::ops::AddAssign for Done {
    fn add_assign(&mut self, other: Self) {
        self.periods += other.periods;
        self.changes += other.changes;
    }
}

/// Lets nobody else work out figures of this therapist until the transaction ends. What is read afterwards is newer than
/// whatever the one before has written: of two runs the later one has seen more.
pub(super) async fn lock(txn: &impl ConnectionTrait, therapist_id: Uuid) -> Result<(), DbErr> {
    let query = "SELECT pg_advisory_xact_lock(hashtextextended('analytics ' || $1::text, 0))";
    txn.execute_raw(sql(query, [therapist_id.into()])).await.map(drop)
}

/// A session whose figures are not there, or not of its present notes.
#[derive(Debug, FromQueryResult)]
struct Outdated {
    id: Uuid,
    patient_id: Uuid,
    extraction_run_id: Uuid,
    session_date: NaiveDate,
    duration_minutes: Option<i32>,
    notes: serde_json::Value,
}

/// Figures of sessions: removes those of sessions that did not take place or have no notes, and makes those that are missing or
/// out of date. With `anew` every one is made again: notes never change, but the way of counting may.
pub(super) async fn sessions(
    txn: &impl ConnectionTrait,
    scope: Scope,
    anew: bool,
    now: DateTime<Utc>,
) -> Result<i64> {
    let mut changes = forget_sessions(txn, scope).await?;
    let mut after = Uuid::nil();
    loop {
        let query = "SELECT s.id, s.patient_id, s.extraction_run_id, s.session_date, s.duration_minutes, run.notes
            FROM sessions AS s JOIN extraction_runs AS run ON run.id = s.extraction_run_id
            LEFT JOIN session_metrics AS m ON m.session_id = s.id
            WHERE s.therapist_id = $1 AND s.session_date BETWEEN $2 AND $3 AND ($4::uuid IS NULL OR s.patient_id = $4)
              AND s.attendance = 'COMPLETED' AND s.id > $5
              AND ($6 OR (m.extraction_run_id, m.session_date, m.duration_minutes, m.patient_id)
                  IS DISTINCT FROM (s.extraction_run_id, s.session_date, s.duration_minutes, s.patient_id))
            ORDER BY s.id LIMIT $7";
        let values = [
            scope.therapist_id.into(),
            scope.days.first.into(),
            scope.days.last.into(),
            scope.patient_id.into(),
            after.into(),
            anew.into(),
            BATCH.into(),
        ];
        let outdated = Outdated::find_by_statement(sql(query, values)).all(txn).await?;
        let Some(last) = outdated.last() else { return Ok(changes) };
        after = last.id;
        changes += write_sessions(txn, scope.therapist_id, outdated, now).await?;
    }
}

async fn forget_sessions(txn: &impl ConnectionTrait, scope: Scope) -> Result<i64, DbErr> {
    // By the days that the figures stand at: a session may have moved to another one.
    let query = "WITH gone AS (
            DELETE FROM session_metrics AS m USING sessions AS s
            WHERE m.therapist_id = $1 AND m.session_date BETWEEN $2 AND $3 AND ($4::uuid IS NULL OR m.patient_id = $4)
              AND s.id = m.session_id AND (s.attendance <> 'COMPLETED' OR s.extraction_run_id IS NULL)
            RETURNING m.session_id),
        topics AS (DELETE FROM session_topics WHERE session_id IN (SELECT session_id FROM gone))
        SELECT count(*) AS gone FROM gone";
    let values =
        [scope.therapist_id.into(), scope.days.first.into(), scope.days.last.into(), scope.patient_id.into()];
    let row = txn.query_one_raw(sql(query, values)).await?;
    row.map_or(Ok(0), |row| row.try_get("", "gone"))
}

async fn write_sessions(
    txn: &impl ConnectionTrait,
    therapist_id: Uuid,
    outdated: Vec<Outdated>,
    now: DateTime<Utc>,
) -> Result<i64> {
    let (mut rows, mut topics) = (Vec::new(), Vec::new());
    for Outdated { id, patient_id, extraction_run_id, session_date, duration_minutes, notes } in outdated {
        // What serde has to say quotes the notes, and would stand in the log.
        let notes: Notes = serde_json::from_value(notes)
            .map_err(|_| anyhow::anyhow!("the notes of run {extraction_run_id} cannot be read"))?;
        let Metrics { mood, topics: its, strategies, action_items, has_risk_flags } = Metrics::of(&notes);
        topics.extend(its.iter().map(|(topic, label)| {
            json!({ "session_id": id, "topic": topic, "label": label, "patient_id": patient_id, "session_date": session_date })
        }));
        rows.push(json!({
            "id": Uuid::now_v7(), "session_id": id, "patient_id": patient_id, "extraction_run_id": extraction_run_id,
            "session_date": session_date, "duration_minutes": duration_minutes, "mood_score": mood.score(),
            "mood_label": mood, "topic_count": its.len(), "topics": its.values().collect::<Vec<_>>(),
            "strategies_count": strategies, "action_items_count": action_items, "has_risk_flags": has_risk_flags,
        }));
    }
    let query = "INSERT INTO session_metrics (id, session_id, therapist_id, patient_id, extraction_run_id, session_date,
            duration_minutes, mood_score, mood_label, topic_count, topics, strategies_count, action_items_count,
            has_risk_flags, created_at, updated_at)
        SELECT id, session_id, $1, patient_id, extraction_run_id, session_date, duration_minutes, mood_score, mood_label,
            topic_count, topics, strategies_count, action_items_count, has_risk_flags, $3, $3
        FROM jsonb_to_recordset($2) AS new (id uuid, session_id uuid, patient_id uuid, extraction_run_id uuid,
            session_date date, duration_minutes integer, mood_score integer, mood_label text, topic_count integer,
            topics jsonb, strategies_count integer, action_items_count integer, has_risk_flags boolean)
        ON CONFLICT (session_id) DO UPDATE SET
            patient_id = EXCLUDED.patient_id, extraction_run_id = EXCLUDED.extraction_run_id,
            session_date = EXCLUDED.session_date, duration_minutes = EXCLUDED.duration_minutes,
            mood_score = EXCLUDED.mood_score, mood_label = EXCLUDED.mood_label, topic_count = EXCLUDED.topic_count,
            topics = EXCLUDED.topics, strategies_count = EXCLUDED.strategies_count,
            action_items_count = EXCLUDED.action_items_count, has_risk_flags = EXCLUDED.has_risk_flags,
            updated_at = EXCLUDED.updated_at";
    let sessions: Vec<Uuid> =
        rows.iter().filter_map(|row| serde_json::from_value(row["session_id"].clone()).ok()).collect();
    let written = txn
        .execute_raw(sql(query, [therapist_id.into(), serde_json::Value::from(rows).into(), now.into()]))
        .await?;
    let old = "DELETE FROM session_topics WHERE session_id = ANY ($1)";
    txn.execute_raw(sql(old, [sessions.into()])).await?;
    let new = "INSERT INTO session_topics (session_id, topic, label, therapist_id, patient_id, session_date)
        SELECT session_id, topic, label, $1, patient_id, session_date
        FROM jsonb_to_recordset($2) AS new (session_id uuid, topic text, label text, patient_id uuid, session_date date)";
    txn.execute_raw(sql(new, [therapist_id.into(), serde_json::Value::from(topics).into()])).await?;
    Ok(i64::try_from(written.rows_affected()).unwrap_or(i64::MAX))
}

/// Figures of days, from sessions.
pub(super) async fn days(txn: &impl ConnectionTrait, scope: Scope, now: DateTime<Utc>) -> Result<Done> {
    let query = "WITH fresh AS (
            SELECT session_date AS stat_date, count(*) AS total,
                count(*) FILTER (WHERE attendance = 'COMPLETED') AS completed,
                count(*) FILTER (WHERE attendance = 'CANCELLED') AS cancelled,
                count(*) FILTER (WHERE attendance = 'NO_SHOW') AS no_show,
                count(DISTINCT patient_id) FILTER (WHERE attendance = 'COMPLETED') AS patients,
                count(duration_minutes) FILTER (WHERE attendance = 'COMPLETED') AS timed,
                coalesce(sum(duration_minutes) FILTER (WHERE attendance = 'COMPLETED'), 0) AS minutes
            FROM sessions WHERE therapist_id = $1 AND session_date BETWEEN $2 AND $3 GROUP BY session_date),
        gone AS (
            DELETE FROM daily_stats WHERE therapist_id = $1 AND stat_date BETWEEN $2 AND $3
              AND NOT EXISTS (SELECT 1 FROM fresh WHERE fresh.stat_date = daily_stats.stat_date) RETURNING 1),
        written AS (
            INSERT INTO daily_stats AS old (id, therapist_id, stat_date, total_sessions, completed_sessions,
                cancelled_sessions, no_show_sessions, active_patients, timed_sessions, timed_minutes, created_at, updated_at)
            SELECT gen_random_uuid(), $1, stat_date, total, completed, cancelled, no_show, patients, timed, minutes, $4, $4
            FROM fresh
            ON CONFLICT (therapist_id, stat_date) DO UPDATE SET
                total_sessions = EXCLUDED.total_sessions, completed_sessions = EXCLUDED.completed_sessions,
                cancelled_sessions = EXCLUDED.cancelled_sessions, no_show_sessions = EXCLUDED.no_show_sessions,
                active_patients = EXCLUDED.active_patients, timed_sessions = EXCLUDED.timed_sessions,
                timed_minutes = EXCLUDED.timed_minutes, updated_at = EXCLUDED.updated_at
            WHERE (old.total_sessions, old.completed_sessions, old.cancelled_sessions, old.no_show_sessions,
                   old.active_patients, old.timed_sessions, old.timed_minutes)
                IS DISTINCT FROM (EXCLUDED.total_sessions, EXCLUDED.completed_sessions, EXCLUDED.cancelled_sessions,
                   EXCLUDED.no_show_sessions, EXCLUDED.active_patients, EXCLUDED.timed_sessions, EXCLUDED.timed_minutes)
            RETURNING 1)
        SELECT (SELECT count(*) FROM fresh) AS periods,
               (SELECT count(*) FROM gone) + (SELECT count(*) FROM written) AS changes";
    let values = [scope.therapist_id.into(), scope.days.first.into(), scope.days.last.into(), now.into()];
    counted(txn, sql(query, values)).await
}

async fn counted(txn: &impl ConnectionTrait, statement: Statement) -> Result<Done> {
    let Some(row) = txn.query_one_raw(statement).await? else { return Ok(Done::default()) };
    Ok(Done { periods: row.try_get("", "periods")?, changes: row.try_get("", "changes")? })
}

/// How often a patient came in a week.
#[derive(Debug, FromQueryResult)]
struct Came {
    patient_id: Uuid,
    week: NaiveDate,
    completed: i32,
    missed: i32,
}

#[derive(Debug, FromQueryResult)]
struct Scored {
    patient_id: Uuid,
    session_date: NaiveDate,
    mood_score: i32,
}

#[derive(Debug, FromQueryResult)]
struct Mentioned {
    patient_id: Uuid,
    week: NaiveDate,
    label: String,
    frequency: i64,
}

/// A topic, and the number of sessions that mention it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, serde::Deserialize)]
pub struct TopicCount {
    /// The topic.
    pub topic: String,
    /// Sessions.
    pub frequency: i64,
}

/// Figures of the weeks that these days lie in, from sessions and [their figures](sessions).
pub(super) async fn weeks(txn: &impl ConnectionTrait, scope: Scope, now: DateTime<Utc>) -> Result<Done> {
    let scope = Scope {
        days: Days { first: monday(scope.days.first), last: Days::week_of(scope.days.last).last },
        ..scope
    };
    let rows = week_rows(txn, scope).await?;
    let query = "WITH fresh AS (
            SELECT * FROM jsonb_to_recordset($5) AS new (patient_id uuid, week_start_date date, sessions_count integer,
                avg_mood_score double precision, mood_trajectory text, common_topics jsonb, attendance_rate double precision)),
        gone AS (
            DELETE FROM patient_progress AS old WHERE therapist_id = $1 AND week_start_date BETWEEN $2 AND $3
              AND ($4::uuid IS NULL OR patient_id = $4)
              AND NOT EXISTS (SELECT 1 FROM fresh WHERE (fresh.patient_id, fresh.week_start_date)
                                                      = (old.patient_id, old.week_start_date)) RETURNING 1),
        written AS (
            INSERT INTO patient_progress AS old (id, patient_id, therapist_id, week_start_date, sessions_count,
                avg_mood_score, mood_trajectory, common_topics, attendance_rate, created_at, updated_at)
            SELECT gen_random_uuid(), patient_id, $1, week_start_date, sessions_count, avg_mood_score, mood_trajectory,
                common_topics, attendance_rate, $6, $6 FROM fresh
            ON CONFLICT (patient_id, week_start_date) DO UPDATE SET
                sessions_count = EXCLUDED.sessions_count, avg_mood_score = EXCLUDED.avg_mood_score,
                mood_trajectory = EXCLUDED.mood_trajectory, common_topics = EXCLUDED.common_topics,
                attendance_rate = EXCLUDED.attendance_rate, updated_at = EXCLUDED.updated_at
            WHERE (old.sessions_count, old.avg_mood_score, old.mood_trajectory, old.common_topics, old.attendance_rate)
                IS DISTINCT FROM (EXCLUDED.sessions_count, EXCLUDED.avg_mood_score, EXCLUDED.mood_trajectory,
                   EXCLUDED.common_topics, EXCLUDED.attendance_rate)
            RETURNING 1)
        SELECT (SELECT count(*) FROM fresh) AS periods,
               (SELECT count(*) FROM gone) + (SELECT count(*) FROM written) AS changes";
    let values = [
        scope.therapist_id.into(),
        scope.days.first.into(),
        scope.days.last.into(),
        scope.patient_id.into(),
        serde_json::Value::from(rows).into(),
        now.into(),
    ];
    counted(txn, sql(query, values)).await
}

type PatientWeek = (Uuid, NaiveDate);

async fn week_rows(txn: &impl ConnectionTrait, scope: Scope) -> Result<Vec<serde_json::Value>> {
    let values = || {
        [scope.therapist_id.into(), scope.days.first.into(), scope.days.last.into(), scope.patient_id.into()]
    };
    // Weeks begin on Monday, in PostgreSQL too (ISO 8601).
    let came = "SELECT patient_id, date_trunc('week', session_date::timestamp)::date AS week,
            (count(*) FILTER (WHERE attendance = 'COMPLETED'))::integer AS completed,
            (count(*) FILTER (WHERE attendance IN ('CANCELLED', 'NO_SHOW')))::integer AS missed
        FROM sessions WHERE therapist_id = $1 AND session_date BETWEEN $2 AND $3
          AND ($4::uuid IS NULL OR patient_id = $4) AND attendance <> 'SCHEDULED' GROUP BY 1, 2";
    let came = Came::find_by_statement(sql(came, values())).all(txn).await?;
    let moods = "SELECT patient_id, session_date, mood_score FROM session_metrics
        WHERE therapist_id = $1 AND session_date BETWEEN $2 AND $3 AND ($4::uuid IS NULL OR patient_id = $4)
          AND mood_score IS NOT NULL";
    let mut by_week: BTreeMap<PatientWeek, Vec<Score>> = BTreeMap::new();
    for row in Scored::find_by_statement(sql(moods, values())).all(txn).await? {
        let week = (row.patient_id, monday(row.session_date));
        by_week.entry(week).or_default().push((row.session_date, row.mood_score));
    }
    let mentioned =
        "SELECT patient_id, date_trunc('week', session_date::timestamp)::date AS week, min(label) AS label,
            count(*) AS frequency
        FROM session_topics WHERE therapist_id = $1 AND session_date BETWEEN $2 AND $3
          AND ($4::uuid IS NULL OR patient_id = $4) GROUP BY 1, 2, topic";
    let mut topics: BTreeMap<PatientWeek, Vec<TopicCount>> = BTreeMap::new();
    for row in Mentioned::find_by_statement(sql(mentioned, values())).all(txn).await? {
        let topic = TopicCount { topic: row.label, frequency: row.frequency };
        topics.entry((row.patient_id, row.week)).or_default().push(topic);
    }
    let row = |came: Came| {
        let week = (came.patient_id, came.week);
        let scores = by_week.get(&week).map_or(&[][..], Vec::as_slice);
        let kept = came.completed + came.missed;
        json!({
            "patient_id": came.patient_id, "week_start_date": came.week, "sessions_count": came.completed,
            "avg_mood_score": mood::mean(scores), "mood_trajectory": mood::trajectory(scores),
            "common_topics": most_frequent(topics.remove(&week).unwrap_or_default(), WEEKLY_TOPICS),
            "attendance_rate": (kept > 0).then(|| f64::from(came.completed) / f64::from(kept)),
        })
    };
    Ok(came.into_iter().map(row).collect())
}

/// The most frequent topics, first by frequency, then by name.
pub(super) fn most_frequent(mut topics: Vec<TopicCount>, limit: usize) -> Vec<TopicCount> {
    topics.sort_by(|a, b| b.frequency.cmp(&a.frequency).then_with(|| a.topic.cmp(&b.topic)));
    topics.truncate(limit);
    topics
}

/// The figures that a change of some days of one patient's sessions concerns.
pub(super) async fn refresh(
    txn: &impl ConnectionTrait,
    (therapist_id, patient_id): (Uuid, Uuid),
    days_changed: &BTreeSet<NaiveDate>,
    now: DateTime<Utc>,
) -> Result<Done> {
    let mut done = Done::default();
    let of_day =
        |day| Scope { therapist_id, days: Days { first: day, last: day }, patient_id: Some(patient_id) };
    for day in days_changed {
        done.changes += sessions(txn, of_day(*day), false, now).await?;
    }
    for day in days_changed {
        done += days(txn, of_day(*day), now).await?;
    }
    let weeks_changed: BTreeSet<NaiveDate> = days_changed.iter().map(|day| monday(*day)).collect();
    for week in weeks_changed {
        done.changes += weeks(txn, of_day(week), now).await?.changes;
    }
    Ok(done)
}
