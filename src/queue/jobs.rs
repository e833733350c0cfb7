//! The jobs there are: arguments only; how they are done stands in `worker`, under the same names.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::Job;

/// Every kind of job there is.
pub const KINDS: [&str; 6] = [
    TranscribeSession::KIND,
    ExtractNotes::KIND,
    RefreshAnalytics::KIND,
    Aggregate::KIND,
    ExportDocument::KIND,
    PurgeExpired::KIND,
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
