//! The jobs there are: arguments only; how they are done stands in `worker`, under the same names.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::Job;

/// Every kind of job there is.
pub const KINDS: [&str; 8] = [
    TranscribeSession::KIND,
    ExtractNotes::KIND,
    RefreshAnalytics::KIND,
    Aggregate::KIND,
    ExportDocument::KIND,
    DeliverWebhook::KIND,
    PurgeExpired::KIND,
    CleanUp::KIND,
];

/// Recognise the speech of a session's recording.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TranscribeSession {
    /// Which session.
    pub session_id: Uuid,
    /// Which time it was asked for.
    pub generation: i32,
}

impl Job for TranscribeSession {
    const KIND: &'static str = "transcribe_session";
    const MAX_ATTEMPTS: i32 = 5;
    const TIMEOUT: Duration = Duration::from_secs(4 * 3600);

    fn key(&self) -> String {
        format!("{}:{}", self.session_id, self.generation)
    }
}

/// Write the notes of a session from its transcript.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExtractNotes {
    /// Which session.
    pub session_id: Uuid,
    /// Which time it was asked for.
    pub generation: i32,
    /// Pay again, even if this transcript was read by this extractor before.
    pub force: bool,
}

impl Job for ExtractNotes {
    const KIND: &'static str = "extract_notes";
    const MAX_ATTEMPTS: i32 = 5;
    const TIMEOUT: Duration = Duration::from_secs(1800);

    fn key(&self) -> String {
        format!("{}:{}", self.session_id, self.generation)
    }
}

/// Work out the figures that a change concerns.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefreshAnalytics {
    /// The aggregation run that says which.
    pub run_id: Uuid,
}

impl Job for RefreshAnalytics {
    const KIND: &'static str = "refresh_analytics";
    const MAX_ATTEMPTS: i32 = 5;
    const TIMEOUT: Duration = Duration::from_secs(600);

    fn key(&self) -> String {
        self.run_id.to_string()
    }
}

/// Work out the figures of many days, of one therapist or of everybody.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Aggregate {
    /// The aggregation run that says which.
    pub run_id: Uuid,
}

impl Job for Aggregate {
    const KIND: &'static str = "aggregate";
    const MAX_ATTEMPTS: i32 = 5;
    const TIMEOUT: Duration = Duration::from_secs(4 * 3600);

    fn key(&self) -> String {
        self.run_id.to_string()
    }
}

/// Make the document that a therapist asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExportDocument {
    /// The export job that says which.
    pub job_id: Uuid,
}

impl Job for ExportDocument {
    const KIND: &'static str = "export_document";
    const MAX_ATTEMPTS: i32 = 5;
    const TIMEOUT: Duration = Duration::from_secs(1800);

    fn key(&self) -> String {
        self.job_id.to_string()
    }
}

/// Tell a webhook of what happened: one attempt. What follows a failure is a job of its own, so that the days between two
/// attempts are kept in the queue, and a worker that dies in one is no attempt that failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeliverWebhook {
    /// Which delivery.
    pub delivery_id: Uuid,
    /// Which time it was asked for.
    pub series: i32,
    /// Which attempt of that time, from 1.
    pub attempt: i32,
}

impl Job for DeliverWebhook {
    const KIND: &'static str = "deliver_webhook";
    const MAX_ATTEMPTS: i32 = 5;
    const TIMEOUT: Duration = Duration::from_secs(300);

    fn key(&self) -> String {
        format!("{}:{}:{}", self.delivery_id, self.series, self.attempt)
    }
}

/// Remove what has outlived its purpose: spent keys, old events, finished jobs, uploads that were given up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PurgeExpired {
    /// The hour it is due, as a Unix time: once an hour, however many processes ask.
    pub due: i64,
}

impl Job for PurgeExpired {
    const KIND: &'static str = "purge_expired";
    const MAX_ATTEMPTS: i32 = 3;
    const TIMEOUT: Duration = Duration::from_secs(600);

    fn key(&self) -> String {
        self.due.to_string()
    }
}

/// Remove the files that nothing needs any more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CleanUp {
    /// What makes those who ask for the same one ask for one: its due time, or an id.
    pub key: String,
    /// Which kinds of files.
    pub parts: Parts,
    /// Whose; everybody's if `None`.
    pub therapist_id: Option<Uuid>,
}

/// What can be cleaned up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parts {
    /// Files without a row.
    pub orphaned_files: bool,
    /// Recordings of sessions that FAILED, and were not retried.
    pub failed_sessions: bool,
    /// Recordings that were kept for their time.
    pub expired_recordings: bool,
}

impl Parts {
    /// Nothing.
    pub const NONE: Self = Self { orphaned_files: false, failed_sessions: false, expired_recordings: false };
    /// Everything.
    pub const ALL: Self = Self { orphaned_files: true, failed_sessions: true, expired_recordings: true };

    /// What it is, by name.
    #[must_use]
    pub fn names(self) -> Vec<&'static str> {
        let named = [
            (self.orphaned_files, "orphanedFiles"),
            (self.failed_sessions, "failedSessions"),
            (self.expired_recordings, "expiredRecordings"),
        ];
        named.into_iter().filter(|(wanted, _)| *wanted).map(|(_, name)| name).collect()
    }
}

impl Job for CleanUp {
    const KIND: &'static str = "clean_up";
    const MAX_ATTEMPTS: i32 = 3;
    const TIMEOUT: Duration = Duration::from_secs(6 * 3600);

    fn key(&self) -> String {
        self.key.clone()
    }
}
