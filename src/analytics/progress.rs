//! How one patient fares.

use std::collections::HashMap;

use chrono::NaiveDate;
use sea_orm::{ColumnTrait, ConnectionTrait, FromQueryResult, QueryFilter};
use uuid::Uuid;

use super::figures::{TopicCount, most_frequent};
use super::mood::{self, Score};
use super::window::{Days, Granularity};
use super::{Analytics, checked_limit, checked_weeks, sql, trends};
use crate::actor::Actor;
use crate::ai::{Mood, MoodTrajectory};
use crate::entity::patient::{self, Model};
use crate::error::Result;

/// Sessions that are told of one by one.
const RECENT_SESSIONS: i64 = 10;

/// How a patient fared in a window of weeks.
#[derive(Clone, Debug)]
pub struct Progress {
    /// Who.
    pub patient: Model,
    /// The days looked at.
    pub days: Days,
    /// Sessions of these days.
    pub attendance: Attendance,
    /// The newest completed ones.
    pub recent: Vec<RecentSession>,
    /// The mood.
    pub mood: MoodTrend,
    /// The topics, the most frequent first.
    pub topics: Vec<TopicCount>,
    /// A week each, also where nothing was.
    pub weeks: Vec<Week>,
}

/// How many sessions became what.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromQueryResult)]
pub struct Attendance {
    /// Took place.
    pub completed: i64,
    /// Were called off, or missed by the patient.
    pub missed: i64,
}

impl Attendance {
    /// Completed ÷ (completed + cancelled + missed); `None` without any.
    #[must_use]
    pub fn rate(self) -> Option<f64> {
        trends::rate(self.completed, self.completed + self.missed)
    }
}

/// What became of a day's sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromQueryResult)]
pub struct Outcomes {
    /// The day.
    pub day: NaiveDate,
    /// Took place.
    pub completed: i64,
    /// Were called off.
    pub cancelled: i64,
    /// Were missed by the patient.
    pub no_show: i64,
}

/// A session that took place.
#[derive(Clone, Debug, PartialEq)]
pub struct RecentSession {
    /// Which.
    pub session_id: Uuid,
    /// The run that wrote its notes, if it has any.
    pub run_id: Option<Uuid>,
    /// When.
    pub date: NaiveDate,
    /// The mood; `None` without notes, as all that follows.
    pub mood: Option<Mood>,
    /// What it was about.
    pub key_topics: Vec<String>,
    /// The session in two or three sentences.
    pub summary: Option<String>,
}

/// Where the mood goes.
#[derive(Clone, Debug, PartialEq)]
pub struct MoodTrend {
    /// Of the latest session of which it is known.
    pub current: Option<Mood>,
    /// Over all of them.
    pub trajectory: Option<MoodTrajectory>,
    /// Later half of the window against the earlier half, in percent.
    pub change_percent: Option<f64>,
    /// Each session's, oldest first.
    pub scores: Vec<Score>,
}

/// A week of a patient.
#[derive(Clone, Debug, PartialEq)]
pub struct Week {
    /// Its Monday.
    pub week_start: NaiveDate,
    /// Completed sessions.
    pub sessions: i32,
    /// Mean mood score, 1 to 5.
    pub average_mood: Option<f64>,
    /// Where the mood went within the week.
    pub trajectory: Option<MoodTrajectory>,
    /// What the sessions were about.
    pub topics: Vec<TopicCount>,
    /// Completed ÷ (completed + cancelled + missed).
    pub attendance_rate: Option<f64>,
}

/// What became of a patient's sessions.
pub const ATTENDANCE: &str = "SELECT count(*) FILTER (WHERE attendance = 'COMPLETED') AS completed,
        count(*) FILTER (WHERE attendance IN ('CANCELLED', 'NO_SHOW')) AS missed
    FROM sessions WHERE patient_id = $1 AND session_date BETWEEN $2 AND $3";
/// What became of a patient's sessions, day by day.
pub const OUTCOMES: &str =
    "SELECT session_date AS day, count(*) FILTER (WHERE attendance = 'COMPLETED') AS completed,
        count(*) FILTER (WHERE attendance = 'CANCELLED') AS cancelled,
        count(*) FILTER (WHERE attendance = 'NO_SHOW') AS no_show
    FROM sessions WHERE patient_id = $1 AND session_date BETWEEN $2 AND $3 AND attendance <> 'SCHEDULED'
    GROUP BY session_date ORDER BY session_date";
/// The newest sessions of a patient, with what their notes say.
pub const RECENT: &str =
    "SELECT s.id, run.id AS run_id, s.session_date, run.notes->>'session_mood' AS mood, run.notes->'key_topics' AS topics,
        run.notes->>'topic_summary' AS summary
    FROM sessions AS s LEFT JOIN extraction_runs AS run ON run.id = s.extraction_run_id
    WHERE s.patient_id = $1 AND s.session_date BETWEEN $2 AND $3 AND s.attendance = 'COMPLETED'
    ORDER BY s.session_date DESC, s.id DESC LIMIT $4";
/// The moods of a patient's sessions.
pub const MOODS: &str = "SELECT session_date, mood_score, mood_label FROM session_metrics
    WHERE patient_id = $1 AND session_date BETWEEN $2 AND $3 AND mood_score IS NOT NULL
    ORDER BY session_date, session_id";
/// The topics of a patient's sessions.
pub const TOPICS: &str = "SELECT min(label) AS topic, count(*) AS frequency FROM session_topics
    WHERE patient_id = $1 AND session_date BETWEEN $2 AND $3
    GROUP BY topic ORDER BY frequency DESC, min(label) COLLATE \"C\" LIMIT $4";
/// The weeks of a patient.
pub const WEEKS: &str =
    "SELECT week_start_date, sessions_count, avg_mood_score, mood_trajectory, common_topics, attendance_rate
    FROM patient_progress WHERE patient_id = $1 AND week_start_date BETWEEN $2 AND $3";

impl Analytics {
    /// How a patient of the therapist's fared in the last weeks; `None` for somebody else's. At most `limit` topics.
    ///
    /// # Errors
    /// [`Error::Forbidden`](crate::error::Error::Forbidden) for others than therapists;
    /// [`Error::BadRequest`](crate::error::Error::BadRequest) for a `limit` that is not 1 to 100, or `weeks` not 1 to 104.
    pub async fn progress(
        &self,
        actor: &Actor,
        patient_id: Uuid,
        (weeks, limit): (i32, i32),
    ) -> Result<Option<Progress>> {
        let asking = self.asking(actor)?;
        let (weeks, limit) = (checked_weeks(weeks)?, checked_limit(limit)?);
        let own = patient::visible_to(actor).filter(patient::Column::Id.eq(patient_id));
        let Some(patient) = own.one(&self.db).await? else { return Ok(None) };
        self.progress_of(patient, Days::ending(asking.today, weeks * 7), limit).await.map(Some)
    }

    /// How a patient fared in the weeks that end with a day of the therapist's, for a document about them: the same figures.
    ///
    /// # Errors
    /// As [`progress`](Self::progress).
    pub async fn progress_until(
        &self,
        patient: Model,
        last: NaiveDate,
        (weeks, limit): (i32, i32),
    ) -> Result<Progress> {
        let (weeks, limit) = (checked_weeks(weeks)?, checked_limit(limit)?);
        self.progress_of(patient, Days::ending(last, weeks * 7), limit).await
    }

    /// What became of a patient's sessions, on each of these days that had one.
    ///
    /// # Errors
    /// Only faults.
    pub async fn outcomes(&self, patient_id: Uuid, days: Days) -> Result<Vec<Outcomes>> {
        let statement = sql(OUTCOMES, values((patient_id, days)));
        Ok(Outcomes::find_by_statement(statement).all(&self.db).await?)
    }

    async fn progress_of(&self, patient: Model, days: Days, limit: u32) -> Result<Progress> {
        let (db, window) = (&self.db, (patient.id, days));
        // At once: none of them waits for what another finds.
        let (attendance, recent, mood, topics, weeks) = tokio::try_join!(
            attendance(db, window),
            recent(db, window),
            mood_trend(db, window),
            topics(db, window, limit),
            weeks_of(db, window),
        )?;
        Ok(Progress { patient, days, attendance, recent, mood, topics, weeks })
    }
}

/// A patient, and the days looked at.
type Window = (Uuid, Days);

fn values((patient_id, days): Window) -> [sea_orm::Value; 3] {
    [patient_id.into(), days.first.into(), days.last.into()]
}

async fn attendance(db: &impl ConnectionTrait, window: Window) -> Result<Attendance> {
    let found = Attendance::find_by_statement(sql(ATTENDANCE, values(window))).one(db).await?;
    Ok(found.unwrap_or(Attendance { completed: 0, missed: 0 }))
}

#[derive(FromQueryResult)]
struct RecentRow {
    id: Uuid,
    run_id: Option<Uuid>,
    session_date: NaiveDate,
    mood: Option<String>,
    topics: Option<serde_json::Value>,
    summary: Option<String>,
}

async fn recent(db: &impl ConnectionTrait, window: Window) -> Result<Vec<RecentSession>> {
    let [patient, first, last] = values(window);
    let statement = sql(RECENT, [patient, first, last, RECENT_SESSIONS.into()]);
    let rows = RecentRow::find_by_statement(statement).all(db).await?;
    let session = |row: RecentRow| {
        Ok(RecentSession {
            session_id: row.id,
            run_id: row.run_id,
            date: row.session_date,
            mood: named(row.mood)?,
            key_topics: row.topics.map(read).transpose()?.unwrap_or_default(),
            summary: row.summary,
        })
    };
    rows.into_iter().map(session).collect()
}

#[derive(FromQueryResult)]
struct MoodRow {
    session_date: NaiveDate,
    mood_score: i32,
    mood_label: String,
}

async fn mood_trend(db: &impl ConnectionTrait, window: Window) -> Result<MoodTrend> {
    let rows = MoodRow::find_by_statement(sql(MOODS, values(window))).all(db).await?;
    let scores: Vec<Score> = rows.iter().map(|row| (row.session_date, row.mood_score)).collect();
    Ok(MoodTrend {
        current: named(rows.into_iter().next_back().map(|row| row.mood_label))?,
        trajectory: mood::trajectory(&scores),
        change_percent: mood::change_percent(&scores, window.1),
        scores,
    })
}

async fn topics(db: &impl ConnectionTrait, window: Window, limit: u32) -> Result<Vec<TopicCount>> {
    #[derive(FromQueryResult)]
    struct Row {
        topic: String,
        frequency: i64,
    }
    let [patient, first, last] = values(window);
    let statement = sql(TOPICS, [patient, first, last, i64::from(limit).into()]);
    let rows = Row::find_by_statement(statement).all(db).await?;
    Ok(rows.into_iter().map(|Row { topic, frequency }| TopicCount { topic, frequency }).collect())
}

#[derive(FromQueryResult)]
struct WeekRow {
    week_start_date: NaiveDate,
    sessions_count: i32,
    avg_mood_score: Option<f64>,
    mood_trajectory: Option<String>,
    common_topics: serde_json::Value,
    attendance_rate: Option<f64>,
}

async fn weeks_of(db: &impl ConnectionTrait, (patient_id, days): Window) -> Result<Vec<Week>> {
    let mondays = Granularity::Week.points(days);
    let first = mondays.first().copied().unwrap_or(days.first);
    let statement = sql(WEEKS, values((patient_id, Days { first, ..days })));
    let rows = WeekRow::find_by_statement(statement).all(db).await?;
    let mut rows: HashMap<NaiveDate, WeekRow> =
        rows.into_iter().map(|row| (row.week_start_date, row)).collect();
    mondays.into_iter().map(|monday| week(monday, rows.remove(&monday))).collect()
}

fn week(week_start: NaiveDate, row: Option<WeekRow>) -> Result<Week> {
    let Some(row) = row else {
        return Ok(Week {
            week_start,
            sessions: 0,
            average_mood: None,
            trajectory: None,
            topics: Vec::new(),
            attendance_rate: None,
        });
    };
    let topics: Vec<TopicCount> = read(row.common_topics)?;
    Ok(Week {
        week_start,
        sessions: row.sessions_count,
        average_mood: row.avg_mood_score,
        trajectory: named(row.mood_trajectory)?,
        topics: most_frequent(topics, usize::MAX),
        attendance_rate: row.attendance_rate,
    })
}

/// One of a closed set, as it is stored.
fn named<T: serde::de::DeserializeOwned>(name: Option<String>) -> Result<Option<T>> {
    name.map(|name| read(serde_json::Value::String(name))).transpose()
}

fn read<T: serde::de::DeserializeOwned>(value: serde_json::Value) -> Result<T> {
    // What serde has to say quotes the value, and would stand in the log.
    Ok(serde_json::from_value(value).map_err(|_| anyhow::anyhow!("a stored figure cannot be read"))?)
}
