//! Removes files that nothing needs any more: those without a row (`orphans`), the recordings of sessions that FAILED and
//! were not retried, and recordings that were kept for their time (`recordings`).
//!
//! What is needed is decided in the database, in one statement or under the lock of the session, and written down there
//! before a file is touched (`needs`, `storage::Intake`); so a clean-up may be killed anywhere, and any number may run at
//! once, beside uploads and retries. A dry run looks the same way and stops before the writing.

mod needs;
mod orphans;
mod recordings;
mod report;

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use sea_orm::DatabaseConnection;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use uuid::Uuid;

pub use self::report::Report;
use crate::actor::{Actor, Origin};
use crate::audit::{self, Witness};
use crate::clock::Clock;
use crate::config::CleanupConfig;
use crate::entity::session::Status;
use crate::error::Result;
use crate::queue;
use crate::queue::jobs::CleanUp;
pub use crate::queue::jobs::Parts;
use crate::sessions::recording::{Due, Recordings};
use crate::storage::Storage;

/// Clean-ups under way in this process: each walks the store, and those beyond wait.
const AT_A_TIME: usize = 4;

/// Cleans up.
#[derive(Clone)]
pub struct Cleanup {
    db: DatabaseConnection,
    storage: Storage,
    clock: Arc<dyn Clock>,
    recordings: Recordings,
    config: CleanupConfig,
    places: Arc<Semaphore>,
}

/// What is to be cleaned up.
#[derive(Clone, Copy, Debug)]
pub struct Wanted {
    /// Which kinds of files.
    pub parts: Parts,
    /// Whose; everybody's if `None`.
    pub therapist_id: Option<Uuid>,
    /// Only say what would be removed.
    pub dry_run: bool,
}

/// What a clean-up of each part would remove now.
#[derive(Clone, Debug)]
pub struct Outlook {
    /// Files without a row.
    pub orphaned_files: Report,
    /// Recordings of sessions that FAILED.
    pub failed_sessions: Report,
    /// Recordings that were kept for their time.
    pub expired_recordings: Report,
}

impl Outlook {
    /// All parts together.
    #[must_use]
    pub fn all(&self) -> Report {
        let Self { orphaned_files, failed_sessions, expired_recordings } = self;
        orphaned_files.clone().and(failed_sessions).and(expired_recordings)
    }
}

/// Who asks for a clean-up, and how long it may take.
#[derive(Clone, Copy, Debug)]
pub struct Errand<'a> {
    /// Who.
    pub actor: &'a Actor,
    /// From where.
    pub origin: &'a Origin,
    /// What is not done by then is left; without it everything is done.
    pub until: Option<Instant>,
}

impl Cleanup {
    /// Cleans these files up, by these periods.
    #[must_use]
    pub fn new(
        db: DatabaseConnection,
        storage: Storage,
        clock: Arc<dyn Clock>,
        recordings: Recordings,
        config: CleanupConfig,
    ) -> Self {
        Self { db, storage, clock, recordings, config, places: Arc::new(Semaphore::new(AT_A_TIME)) }
    }

    /// Cleans up as somebody asks who waits for the answer: their own files, or everybody's, for a bounded time. What is left
    /// then is done by a job.
    ///
    /// # Errors
    /// [`Error::Forbidden`](crate::error::Error::Forbidden) for others than therapists and admins.
    pub async fn ask(&self, actor: &Actor, origin: &Origin, parts: Parts, dry_run: bool) -> Result<Report> {
        let wanted = Wanted { parts, therapist_id: actor.cleans_up_files_of()?, dry_run };
        let errand = Errand { actor, origin, until: Some(Instant::now() + self.config.patience) };
        let report = self.run(errand, wanted).await?;
        if !report.is_complete && !dry_run {
            self.request(Uuid::now_v7().to_string(), wanted).await?;
        }
        Ok(report)
    }

    /// What a clean-up of the asker's files would remove, as far as can be told in a bounded time.
    ///
    /// # Errors
    /// [`Error::Forbidden`](crate::error::Error::Forbidden) for others than therapists and admins.
    pub async fn outlook(&self, actor: &Actor, origin: &Origin) -> Result<Outlook> {
        let therapist_id = actor.cleans_up_files_of()?;
        let errand = Errand { actor, origin, until: Some(Instant::now() + self.config.patience) };
        let look = |parts| self.run(errand, Wanted { parts, therapist_id, dry_run: true });
        Ok(Outlook {
            failed_sessions: look(Parts { failed_sessions: true, ..Parts::NONE }).await?,
            expired_recordings: look(Parts { expired_recordings: true, ..Parts::NONE }).await?,
            orphaned_files: look(Parts { orphaned_files: true, ..Parts::NONE }).await?,
        })
    }

    /// Cleans up. Files that cannot be removed are told of in the report, and do not stop the others.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn run(&self, errand: Errand<'_>, wanted: Wanted) -> Result<Report> {
        let mut report = Report::new(wanted.dry_run);
        let Some(Ok(_place)) = within(errand.until, self.places.acquire()).await else {
            report.is_complete = false;
            return Ok(report);
        };
        if !wanted.dry_run {
            self.witness(errand, wanted.parts).await?;
        }
        if wanted.parts.orphaned_files {
            self.remove_orphans(errand, wanted, &mut report).await?;
        }
        for due in self.due(wanted.parts) {
            self.remove_recordings(errand, (wanted, due), &mut report).await?;
        }
        report.log();
        Ok(report)
    }

    /// Asks for a clean-up by a job; two with the same key are one.
    ///
    /// # Errors
    /// When the database does not take it.
    pub async fn request(&self, key: String, wanted: Wanted) -> Result<()> {
        let job = CleanUp { key, parts: wanted.parts, therapist_id: wanted.therapist_id };
        queue::enqueue(&self.db, &job).await?;
        self.recordings.committed();
        Ok(())
    }

    /// The recordings that are due now.
    fn due(&self, parts: Parts) -> impl Iterator<Item = Due> + use<> {
        let before = |kept: Duration| self.before(kept);
        let failed = parts.failed_sessions.then_some(self.config.failed_sessions).map(before);
        let processed = self.config.recordings.filter(|_| parts.expired_recordings).map(before);
        let due = |status| move |unchanged_since| Due { status, unchanged_since };
        failed.map(due(Status::Failed)).into_iter().chain(processed.map(due(Status::Processed)))
    }

    /// The end of a period that reaches until now.
    fn before(&self, kept: Duration) -> DateTime<Utc> {
        self.clock.now() - kept
    }

    /// Before anything is removed, so that the trail tells of a run that was killed, too.
    async fn witness(&self, errand: Errand<'_>, parts: Parts) -> Result<()> {
        let Errand { actor, origin, .. } = errand;
        let event = audit::Event {
            action: "cleanup.run",
            subject_type: "cleanup",
            changed_fields: parts.names(),
            ..audit::Event::default()
        };
        Ok(audit::record(&self.db, Witness { actor, origin, at: self.clock.now() }, event).await?)
    }
}

/// Whether the time is up.
fn is_over(until: Option<Instant>) -> bool {
    until.is_some_and(|until| Instant::now() >= until)
}

/// Waits until the time is up, at the longest.
async fn within<T>(until: Option<Instant>, work: impl Future<Output = T>) -> Option<T> {
    match until {
        Some(until) => tokio::time::timeout_at(until, work).await.ok(),
        None => Some(work.await),
    }
}
