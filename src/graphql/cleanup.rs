//! Cleaning up, for therapists and admins.

use async_graphql::{Context, Object, SimpleObject};
use chrono::{DateTime, Utc};

use super::context::ContextExt;
use super::error::{ApiResult, UserErrorView, payload};
use crate::analytics::timetable::{Scheduled, Timetable};
use crate::cleanup::{Outlook, Parts, Report};
use crate::config::Config;
use crate::error::Error;

/// What a clean-up removed, or would remove.
#[derive(SimpleObject)]
#[graphql(name = "Cleanup")]
pub(super) struct CleanupView {
    /// Whether nothing was touched, and this is what would be removed.
    dry_run: bool,
    /// Files that were removed.
    files_deleted: u64,
    /// Sessions whose recording was removed. The sessions stay.
    sessions_cleaned: u64,
    /// What the files took, in bytes.
    bytes_freed: u64,
    /// The same in MiB, to two places.
    mb_freed: f64,
    /// What could not be removed, and why: the key of a file, or a session's id, and a reason. A hundred at most. Whatever is
    /// left is tried again by itself.
    errors: Vec<String>,
    /// How many errors there were.
    error_count: u64,
    /// Files that nobody known to this server owns, left alone. They may be another server's; if they are not, whoever runs this
    /// one removes them by hand.
    unknown_files: u64,
    /// Whether everything was looked at. A clean-up that takes longer than a request may is gone on with by a job.
    is_complete: bool,
}

impl From<Report> for CleanupView {
    fn from(report: Report) -> Self {
        Self {
            mb_freed: report.mb_freed(),
            dry_run: report.dry_run,
            files_deleted: report.files_deleted,
            sessions_cleaned: report.sessions_cleaned,
            bytes_freed: report.bytes_freed,
            errors: report.errors,
            error_count: report.error_count,
            unknown_files: report.unknown_files,
            is_complete: report.is_complete,
        }
    }
}

/// What there is to clean up now: of a therapist's own files, or of everybody's. Nothing is touched by asking.
#[derive(SimpleObject)]
pub(super) struct CleanupStatus {
    /// Files without a session, an upload or anything else that needs them, older than ORPHANED_FILE_RETENTION_HOURS.
    orphaned_files: u64,
    /// What they take, in bytes.
    orphaned_bytes: u64,
    /// FAILED sessions with a recording that have not changed for FAILED_SESSION_RETENTION_DAYS.
    failed_sessions: u64,
    /// What their recordings take, in bytes.
    failed_session_bytes: u64,
    /// PROCESSED sessions with a recording that have not changed for AUDIO_RETENTION_DAYS.
    expired_recordings: u64,
    /// What these recordings take, in bytes.
    expired_recording_bytes: u64,
    /// What a clean-up would free, in bytes.
    reclaimable_bytes: u64,
    /// The same in MiB, to two places.
    reclaimable_mb: f64,
    /// All of it together: what `cleanUpAll(dryRun: true)` would answer.
    preview: CleanupView,
}

impl From<Outlook> for CleanupStatus {
    fn from(outlook: Outlook) -> Self {
        let all = outlook.all();
        let Outlook { orphaned_files: files, failed_sessions: failed, expired_recordings: expired } = outlook;
        Self {
            orphaned_files: files.files_deleted,
            orphaned_bytes: files.bytes_freed,
            failed_sessions: failed.sessions_cleaned,
            failed_session_bytes: failed.bytes_freed,
            expired_recordings: expired.sessions_cleaned,
            expired_recording_bytes: expired.bytes_freed,
            reclaimable_bytes: all.bytes_freed,
            reclaimable_mb: all.mb_freed(),
            preview: all.into(),
        }
    }
}

/// How this server is set to clean up.
#[derive(SimpleObject)]
#[graphql(name = "CleanupConfig")]
pub(super) struct CleanupConfigView {
    /// Files that nothing needs are removed when they are older (ORPHANED_FILE_RETENTION_HOURS).
    orphaned_file_retention_hours: u64,
    /// Recordings of FAILED sessions are removed when the session has not changed for longer (FAILED_SESSION_RETENTION_DAYS).
    failed_session_retention_days: u64,
    /// Recordings of PROCESSED sessions are removed when the session has not changed for longer (AUDIO_RETENTION_DAYS); null
    /// if they are kept.
    audio_retention_days: Option<u64>,
    /// Whether a worker that starts cleans up (AUTO_CLEANUP_ON_STARTUP).
    auto_cleanup_on_startup: bool,
    /// Whether there is a clean-up every day (ENABLE_CLEANUP_SCHEDULER); as the process is set that answers.
    is_scheduled: bool,
    /// When the next one is due (DAILY_CLEANUP_HOUR of SCHEDULER_TIMEZONE); null if none is.
    next_run_at: Option<DateTime<Utc>>,
}

const HOUR: u64 = 3600;
const DAY: u64 = 24 * HOUR;

impl CleanupConfigView {
    fn new(config: &Config, now: DateTime<Utc>) -> Self {
        let cleanup = &config.cleanup;
        let timetable = Timetable { zone: config.analytics.zone, daily_hour: cleanup.daily_hour };
        Self {
            orphaned_file_retention_hours: cleanup.orphaned_files.as_secs() / HOUR,
            failed_session_retention_days: cleanup.failed_sessions.as_secs() / DAY,
            audio_retention_days: cleanup.recordings.map(|kept| kept.as_secs() / DAY),
            auto_cleanup_on_startup: cleanup.on_startup,
            is_scheduled: cleanup.scheduled,
            next_run_at: cleanup.scheduled.then(|| timetable.next(Scheduled::Daily, now)),
        }
    }
}

#[derive(Default)]
pub(super) struct CleanupQuery;

#[Object]
impl CleanupQuery {
    /// What there is to clean up: for therapists of their own files, for admins of everybody's.
    async fn cleanup_status(&self, ctx: &Context<'_>) -> ApiResult<CleanupStatus> {
        Ok(ctx.app().cleanup.outlook(ctx.actor(), ctx.origin()).await?.into())
    }

    /// How this server is set to clean up. For therapists and admins.
    async fn cleanup_config(&self, ctx: &Context<'_>) -> ApiResult<CleanupConfigView> {
        ctx.actor().cleans_up_files_of()?;
        Ok(CleanupConfigView::new(&ctx.app().config, ctx.app().clock.now()))
    }
}

/// Result of a clean-up.
#[derive(SimpleObject)]
pub(super) struct CleanupPayload {
    /// What was removed, or would be; null when nothing was done.
    cleanup: Option<CleanupView>,
    /// Why nothing was done; empty when it was.
    user_errors: Vec<UserErrorView>,
}

impl CleanupPayload {
    fn new(result: Result<Report, Error>) -> ApiResult<Self> {
        let (cleanup, user_errors) = payload(result.map(CleanupView::from))?;
        Ok(Self { cleanup, user_errors })
    }
}

#[derive(Default)]
pub(super) struct CleanupMutation;

#[Object]
impl CleanupMutation {
    /// Removes files of the store that nothing needs: no session, no export, no upload under way, nothing just put; and that
    /// are older than ORPHANED_FILE_RETENTION_HOURS. Doing it twice is fine. For therapists (their own files) and admins
    /// (everybody's). Gives no codes.
    async fn clean_up_orphaned_files(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Touch nothing, and say what would be removed.", default)] dry_run: bool,
    ) -> ApiResult<CleanupPayload> {
        clean_up(ctx, Parts { orphaned_files: true, ..Parts::NONE }, dry_run).await
    }

    /// Removes the recordings of FAILED sessions that have not changed for FAILED_SESSION_RETENTION_DAYS. The sessions stay, with
    /// what was made of them; those without a complete transcript cannot be retried any more. For therapists (their own
    /// sessions) and admins (everybody's). Gives no codes.
    async fn clean_up_failed_sessions(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Touch nothing, and say what would be removed.", default)] dry_run: bool,
    ) -> ApiResult<CleanupPayload> {
        clean_up(ctx, Parts { failed_sessions: true, ..Parts::NONE }, dry_run).await
    }

    /// Removes whatever the daily clean-up would remove: files that nothing needs, recordings of FAILED sessions, and, where
    /// AUDIO_RETENTION_DAYS is set, those of PROCESSED sessions. For therapists (their own) and admins (everybody's). Gives no codes.
    async fn clean_up_all(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Touch nothing, and say what would be removed.", default)] dry_run: bool,
    ) -> ApiResult<CleanupPayload> {
        clean_up(ctx, Parts::ALL, dry_run).await
    }
}

async fn clean_up(ctx: &Context<'_>, parts: Parts, dry_run: bool) -> ApiResult<CleanupPayload> {
    CleanupPayload::new(ctx.app().cleanup.ask(ctx.actor(), ctx.origin(), parts, dry_run).await)
}
