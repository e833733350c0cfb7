//! A practice as it might be: what is written into the database, and what the oracle reckons with.

use std::fmt;

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use chrono_tz::Tz;
use proptest::prelude::*;
use serde_json::json;
use therapybridge::ai::{Mood, MoodTrajectory};
use uuid::Uuid;

use crate::support::TestApp;

/// Topics as people write them; what they are compared by, and how they are shown.
pub(super) const TOPICS: [(&str, &str, &str); 13] = [
    ("anxiety", "anxiety", "anxiety"),
    (" Anxiety\t", "anxiety", "anxiety"),
    ("ANXIETY", "anxiety", "anxiety"),
    ("Work stress", "work stress", "work stress"),
    ("Résumé", "résumé", "résumé"),
    ("RE\u{301}SUME\u{301}", "résumé", "résumé"),
    ("resume", "resume", "resume"),
    ("Straße", "strasse", "straße"),
    ("STRASSE", "strasse", "strasse"),
    ("ΆΓΧΟΣ", "άγχοσ", "άγχος"),
    ("sleep", "sleep", "sleep"),
    ("", "", ""),
    ("  ", "", ""),
];

pub(super) const MOODS: [(Mood, &str); 5] = [
    (Mood::VeryLow, "VERY_LOW"),
    (Mood::Low, "LOW"),
    (Mood::Neutral, "NEUTRAL"),
    (Mood::Positive, "POSITIVE"),
    (Mood::VeryPositive, "VERY_POSITIVE"),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Attendance {
    Scheduled,
    Completed,
    Cancelled,
    NoShow,
}

impl fmt::Display for Attendance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Scheduled => "SCHEDULED",
            Self::Completed => "COMPLETED",
            Self::Cancelled => "CANCELLED",
            Self::NoShow => "NO_SHOW",
        })
    }
}

#[derive(Clone, Debug)]
pub(super) struct Patient {
    pub(super) id: Uuid,
    pub(super) name: String,
    pub(super) archived: bool,
}

#[derive(Clone, Debug)]
pub(super) struct Session {
    pub(super) id: Uuid,
    /// Which of the patients.
    pub(super) patient: usize,
    /// The therapist's day.
    pub(super) date: NaiveDate,
    pub(super) start: Option<DateTime<Utc>>,
    pub(super) minutes: Option<i32>,
    pub(super) attendance: Attendance,
    pub(super) notes: Option<Notes>,
}

#[derive(Clone, Debug)]
pub(super) struct Notes {
    /// Which of the moods.
    pub(super) mood: usize,
    pub(super) topics: Vec<String>,
    pub(super) summary: String,
}

#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) zone: Tz,
    pub(super) now: DateTime<Utc>,
    pub(super) patients: Vec<Patient>,
    pub(super) sessions: Vec<Session>,
}

/// Any practice.
pub(super) fn practice() -> impl Strategy<Value = Plan> {
    let zones = prop::sample::select(vec![
        Tz::UTC,
        Tz::Pacific__Kiritimati,
        Tz::Pacific__Pago_Pago,
        Tz::America__New_York,
        Tz::Europe__Berlin,
        Tz::Asia__Kolkata,
        Tz::Australia__Lord_Howe,
    ]);
    // A leap day, both changes of clocks, week 53, ends of years; or any time.
    let special = prop::sample::select(vec![
        "2028-02-29T12:00:00Z",
        "2028-03-01T00:30:00Z",
        "2026-03-29T00:59:00Z",
        "2026-10-25T01:30:00Z",
        "2026-03-08T06:59:59Z",
        "2027-01-03T23:59:59Z",
        "2026-12-31T10:30:00Z",
        "2027-01-01T00:00:00Z",
    ])
    .prop_map(|now| now.parse().unwrap());
    let ordinary =
        (1_700_000_000_i64..1_850_000_000).prop_map(|now| DateTime::from_timestamp(now, 0).unwrap());
    let now = prop_oneof![special, ordinary];
    let patients = prop::collection::vec(any::<bool>(), 0..6);
    let sessions = prop_oneof![1 => Just(0), 1 => Just(1), 6 => 2_usize..70];
    let sessions = sessions.prop_flat_map(|count| prop::collection::vec(session(), count));
    (zones, now, patients, sessions, any::<bool>()).prop_map(|(zone, now, archived, sessions, cancelled)| {
        let patient =
            |(number, archived)| Patient { id: Uuid::nil(), name: format!("Patient {number}"), archived };
        let patients: Vec<Patient> = archived.into_iter().enumerate().map(patient).collect();
        let sessions = if patients.is_empty() { Vec::new() } else { sessions };
        let today = now.with_timezone(&zone).date_naive();
        let sessions = sessions.into_iter().map(|draft| draft.session(patients.len(), (now, zone, today)));
        let mut sessions: Vec<Session> = sessions.collect();
        if cancelled && sessions.len().is_multiple_of(5) {
            for session in &mut sessions {
                (session.attendance, session.notes) = (Attendance::Cancelled, None);
            }
        }
        Plan { zone, now, patients, sessions }
    })
}

#[derive(Clone, Debug)]
struct Draft {
    patient: prop::sample::Index,
    days_ago: i64,
    minutes: Option<i32>,
    attendance: Attendance,
    notes: Option<(usize, Vec<usize>)>,
    starts_in: i64,
}

fn session() -> impl Strategy<Value = Draft> {
    let attendance = prop_oneof![
        6 => Just(Attendance::Completed),
        1 => Just(Attendance::Cancelled),
        1 => Just(Attendance::NoShow),
        1 => Just(Attendance::Scheduled),
    ];
    // Mostly near, for that is where windows begin and end.
    let days_ago = prop_oneof![4 => -8_i64..40, 2 => 0_i64..120, 1 => 300_i64..800];
    let notes = prop::option::weighted(0.8, (0..MOODS.len(), prop::collection::vec(0..TOPICS.len(), 0..6)));
    let minutes = prop::option::weighted(0.8, 1..=180);
    let drafts = (any::<prop::sample::Index>(), days_ago, minutes, attendance, notes, -3000_i64..3000);
    drafts.prop_map(|(patient, days_ago, minutes, attendance, notes, starts_in)| Draft {
        patient,
        days_ago,
        minutes,
        attendance,
        notes,
        starts_in,
    })
}

impl Draft {
    fn session(self, patients: usize, (now, zone, today): (DateTime<Utc>, Tz, NaiveDate)) -> Session {
        let start =
            (self.attendance == Attendance::Scheduled).then(|| now + TimeDelta::minutes(self.starts_in));
        let notes = self.notes.filter(|_| self.attendance == Attendance::Completed);
        Session {
            id: Uuid::nil(),
            patient: self.patient.index(patients),
            date: start.map_or(today - TimeDelta::days(self.days_ago), |start| {
                start.with_timezone(&zone).date_naive()
            }),
            start,
            minutes: self.minutes,
            attendance: self.attendance,
            notes: notes.map(|(mood, topics)| Notes {
                mood,
                topics: topics.into_iter().map(|topic| TOPICS[topic].0.to_owned()).collect(),
                summary: format!("About {} days. Nothing else.", self.days_ago),
            }),
        }
    }
}

impl Plan {
    /// Writes it all into the database, under new ids, as raw rows: nobody works figures out.
    pub(super) async fn write(&mut self, app: &TestApp, therapist_id: Uuid) {
        for patient in &mut self.patients {
            patient.id = Uuid::now_v7();
            sqlx::query(
                "INSERT INTO patients (id, therapist_id, name, archived_at, created_at, updated_at)
                 VALUES ($1, $2, $3, CASE WHEN $4 THEN now() END, now(), now())",
            )
            .bind(patient.id)
            .bind(therapist_id)
            .bind(&patient.name)
            .bind(patient.archived)
            .execute(app.app.pool())
            .await
            .unwrap();
        }
        for session in &mut self.sessions {
            session.id = Uuid::now_v7();
            sqlx::query(
                "INSERT INTO sessions (id, patient_id, therapist_id, attendance, scheduled_start, session_date,
                     duration_minutes, created_at, updated_at)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, now(), now())",
            )
            .bind(session.id)
            .bind(self.patients[session.patient].id)
            .bind(therapist_id)
            .bind(session.attendance.to_string())
            .bind(session.start)
            .bind(session.date)
            .bind(session.minutes)
            .execute(app.app.pool())
            .await
            .unwrap();
            write_notes(app, session).await;
        }
    }

    /// Cancels, moves and rewrites some of it; gives whose days have changed.
    pub(super) async fn change(&mut self, app: &TestApp) -> Vec<(Uuid, Vec<NaiveDate>)> {
        let mut changed = Vec::new();
        for (number, session) in self.sessions.iter_mut().enumerate() {
            let before = session.date;
            match (number % 5, session.attendance) {
                (0, Attendance::Completed | Attendance::Scheduled) => {
                    session.attendance = Attendance::Cancelled;
                }
                (1, Attendance::Cancelled) => session.attendance = Attendance::NoShow,
                (2, Attendance::Completed) => session.date += TimeDelta::days(3),
                (3, Attendance::Completed) => {
                    let topics = vec!["sleep".to_owned(), "Work stress".to_owned()];
                    session.notes = Some(Notes { mood: number % 5, topics, summary: "Anew.".into() });
                    session.minutes = Some(45);
                }
                _ => continue,
            }
            sqlx::query(
                "UPDATE sessions SET attendance = $2, session_date = $3, duration_minutes = $4 WHERE id = $1",
            )
            .bind(session.id)
            .bind(session.attendance.to_string())
            .bind(session.date)
            .bind(session.minutes)
            .execute(app.app.pool())
            .await
            .unwrap();
            write_notes(app, session).await;
            changed.push((self.patients[session.patient].id, vec![before, session.date]));
        }
        changed
    }
}

async fn write_notes(app: &TestApp, session: &Session) {
    let Some(notes) = &session.notes else { return };
    let row = therapybridge::notes::Notes {
        key_topics: notes.topics.clone(),
        topic_summary: notes.summary.clone(),
        strategies: Vec::new(),
        action_items: Vec::new(),
        session_mood: MOODS[notes.mood].0,
        mood_trajectory: MoodTrajectory::Stable,
        therapist_notes: String::new(),
        patient_summary: String::new(),
        risk_flags: Vec::new(),
        risk_screens: Vec::new(),
    };
    let run = Uuid::now_v7();
    sqlx::query(
        "INSERT INTO extraction_runs (id, session_id, kind, provider, model, prompt_version, transcript_sha256, work_ms,
             warnings, notes, created_at, updated_at)
         VALUES ($1, $2, 'EXTRACTIVE', 'test', 'test', '1', repeat('0', 64), 0, '[]', $3, now(), now())",
    )
    .bind(run)
    .bind(session.id)
    .bind(json!(row))
    .execute(app.app.pool())
    .await
    .unwrap();
    sqlx::query("UPDATE sessions SET extraction_run_id = $2 WHERE id = $1")
        .bind(session.id)
        .bind(run)
        .execute(app.app.pool())
        .await
        .unwrap();
}
