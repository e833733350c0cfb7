//! How long things are kept. Every period stands here: its name in docs/operations.md, its default, and its variable where an
//! operator may want another one.

use std::time::Duration;

use super::{ConfigError, Vars};

/// What a period is counted in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Seconds.
    Seconds,
    /// Hours.
    Hours,
    /// Days.
    Days,
}

/// Something that is removed after a while.
#[derive(Clone, Copy, Debug)]
pub struct Retention {
    /// What, in the words of the documentation.
    pub what: &'static str,
    /// How many units it is kept if nothing is set; for ever if `None`.
    pub default: Option<u32>,
    /// What they are.
    pub unit: Unit,
    /// What sets another number; `None` where the number is a promise of the API, or nobody's business.
    pub variable: Option<&'static str>,
}

const fn set(what: &'static str, default: u32, unit: Unit, variable: &'static str) -> Retention {
    Retention { what, default: Some(default), unit, variable: Some(variable) }
}

const fn fixed(what: &'static str, default: u32, unit: Unit) -> Retention {
    Retention { what, default: Some(default), unit, variable: None }
}

pub(super) const UPLOADS_BEFORE_COMMIT: Retention =
    set("complete recordings whose session never came to be", 600, Unit::Seconds, "UPLOAD_COMMIT_SECONDS");
pub(super) const UNFINISHED_UPLOADS: Retention =
    set("resumable uploads that get nothing more", 24, Unit::Hours, "UPLOAD_EXPIRES_HOURS");
/// For how long the row of an upload outlives it.
pub const ENDED_UPLOADS: Retention = fixed("resumable uploads that have ended", 1, Unit::Hours);
pub(super) const ORPHANED_FILES: Retention =
    set("files that nothing needs", 24, Unit::Hours, "ORPHANED_FILE_RETENTION_HOURS");
pub(super) const FAILED_SESSIONS: Retention =
    set("recordings of FAILED sessions", 7, Unit::Days, "FAILED_SESSION_RETENTION_DAYS");
pub(super) const RECORDINGS: Retention = Retention {
    what: "recordings of PROCESSED sessions",
    default: None,
    unit: Unit::Days,
    variable: Some("AUDIO_RETENTION_DAYS"),
};
pub(super) const EXPORTS: Retention = set("exported files", 7, Unit::Days, "EXPORT_RETENTION_DAYS");
pub(super) const EXPORT_JOBS: Retention =
    set("exports whose file is gone, or never came", 90, Unit::Days, "EXPORT_JOB_RETENTION_DAYS");
pub(super) const REFRESH_TOKENS: Retention = set("refresh tokens", 7, Unit::Days, "REFRESH_TOKEN_DAYS");
pub(super) const LOG_INS: Retention =
    set("log-ins that have ended", 30, Unit::Days, "ENDED_LOG_IN_RETENTION_DAYS");
/// Challenges of second factors, after they have expired.
pub const CHALLENGES: Retention = fixed("challenges of second factors that have expired", 1, Unit::Days);
pub(super) const INVITATIONS: Retention =
    set("invitations that were not accepted", 30, Unit::Days, "INVITATION_RETENTION_DAYS");
pub(super) const API_KEYS: Retention =
    set("API keys that have ended", 90, Unit::Days, "ENDED_API_KEY_RETENTION_DAYS");
/// Keys that make mutations repeatable.
pub const IDEMPOTENCY_KEYS: Retention = fixed("idempotency keys", 24, Unit::Hours);
/// Windows of rate limits, after they have passed.
pub const RATE_LIMITS: Retention = fixed("windows of rate limits that have passed", 0, Unit::Seconds);
pub(super) const EVENTS: Retention = set("events of subscriptions", 7, Unit::Days, "EVENT_RETENTION_DAYS");
pub(super) const FINISHED_JOBS: Retention =
    set("jobs that are done or were given up", 7, Unit::Days, "FINISHED_JOB_RETENTION_DAYS");
/// Workers that have gone without a word.
pub const WORKERS: Retention = fixed("workers that gave no sign of life", 1, Unit::Days);
pub(super) const WEBHOOK_DELIVERIES: Retention =
    set("webhook deliveries that have ended", 30, Unit::Days, "WEBHOOK_DELIVERY_RETENTION_DAYS");
pub(super) const AGGREGATION_RUNS: Retention = set(
    "aggregation runs by the clock or by hand that have ended",
    90,
    Unit::Days,
    "AGGREGATION_RUN_RETENTION_DAYS",
);

/// Everything that is removed after a while.
pub const RETENTIONS: [Retention; 20] = [
    UPLOADS_BEFORE_COMMIT,
    UNFINISHED_UPLOADS,
    ENDED_UPLOADS,
    ORPHANED_FILES,
    FAILED_SESSIONS,
    RECORDINGS,
    EXPORTS,
    EXPORT_JOBS,
    REFRESH_TOKENS,
    LOG_INS,
    CHALLENGES,
    INVITATIONS,
    API_KEYS,
    IDEMPOTENCY_KEYS,
    RATE_LIMITS,
    EVENTS,
    FINISHED_JOBS,
    WORKERS,
    AGGREGATION_RUNS,
    WEBHOOK_DELIVERIES,
];

impl Unit {
    const fn seconds(self) -> u64 {
        match self {
            Self::Seconds => 1,
            Self::Hours => 3600,
            Self::Days => 86_400,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Seconds => "seconds",
            Self::Hours => "hours",
            Self::Days => "days",
        }
    }
}

impl Retention {
    /// The period if nothing is set; `None` is for ever.
    #[must_use]
    pub fn by_default(&self) -> Option<Duration> {
        self.default.map(|number| Duration::from_secs(u64::from(number) * self.unit.seconds()))
    }

    /// The default as the documentation spells it.
    #[must_use]
    pub fn shown(&self) -> String {
        match self.default {
            None => "for ever".to_owned(),
            Some(0) => "not at all".to_owned(),
            Some(1) => format!("1 {}", self.unit.name().trim_end_matches('s')),
            Some(number) => format!("{number} {}", self.unit.name()),
        }
    }

    /// The period that is set, or the default; `None` is for ever.
    pub(super) fn read(&self, vars: &Vars) -> Result<Option<Duration>, ConfigError> {
        let Some(variable) = self.variable else { return Ok(self.by_default()) };
        match vars.get(variable) {
            None => Ok(self.by_default()),
            Some("off") if self.default.is_none() => Ok(None),
            Some(_) => vars.duration(variable, "", self.unit.seconds()).map(Some),
        }
    }

    /// The period of something that is not kept for ever.
    pub(super) fn period(&self, vars: &Vars) -> Result<Duration, ConfigError> {
        Ok(self.read(vars)?.unwrap_or_default())
    }
}

/// How long files and rows are kept, and when they are removed.
#[derive(Clone, Debug)]
pub struct CleanupConfig {
    /// `ORPHANED_FILE_RETENTION_HOURS`: files that nothing needs, by the store's clock.
    pub orphaned_files: Duration,
    /// `FAILED_SESSION_RETENTION_DAYS`: recordings of sessions that FAILED and have not changed since.
    pub failed_sessions: Duration,
    /// `AUDIO_RETENTION_DAYS`: recordings of PROCESSED sessions that have not changed since; for ever if `None`.
    pub recordings: Option<Duration>,
    /// `AUTO_CLEANUP_ON_STARTUP`: whether a worker that starts asks for a clean-up.
    pub on_startup: bool,
    /// `ENABLE_CLEANUP_SCHEDULER`: whether a worker asks for the daily clean-up.
    pub scheduled: bool,
    /// `DAILY_CLEANUP_HOUR`, 0 to 23, of `SCHEDULER_TIMEZONE`.
    pub daily_hour: u32,
    /// How long somebody waits for a clean-up. Not a variable: tests shorten it.
    pub patience: Duration,
}

/// How long rows are kept that have done what they were for.
#[derive(Clone, Copy, Debug)]
pub struct PurgeConfig {
    /// `ENDED_LOG_IN_RETENTION_DAYS`: log-ins, after their refresh tokens have expired.
    pub log_ins: Duration,
    /// `INVITATION_RETENTION_DAYS`: invitations that nobody accepted, after they have expired.
    pub invitations: Duration,
    /// `ENDED_API_KEY_RETENTION_DAYS`: API keys, after they were revoked or have expired.
    pub api_keys: Duration,
    /// `EVENT_RETENTION_DAYS`: events of subscriptions.
    pub events: Duration,
    /// `FINISHED_JOB_RETENTION_DAYS`: jobs that are done or were given up.
    pub finished_jobs: Duration,
    /// `EXPORT_JOB_RETENTION_DAYS`: exports whose file is gone, or never came.
    pub export_jobs: Duration,
    /// `AGGREGATION_RUN_RETENTION_DAYS`: runs by the clock or by hand that have ended.
    pub aggregation_runs: Duration,
    /// `WEBHOOK_DELIVERY_RETENTION_DAYS`: deliveries of webhooks that arrived, or were given up.
    pub webhook_deliveries: Duration,
}

impl CleanupConfig {
    pub(super) fn from_vars(vars: &Vars) -> Result<Self, ConfigError> {
        Ok(Self {
            orphaned_files: ORPHANED_FILES.period(vars)?,
            failed_sessions: FAILED_SESSIONS.period(vars)?,
            recordings: RECORDINGS.read(vars)?,
            on_startup: vars.parse("AUTO_CLEANUP_ON_STARTUP", "false", "true or false")?,
            scheduled: vars.parse("ENABLE_CLEANUP_SCHEDULER", "true", "true or false")?,
            daily_hour: vars.parse::<super::Hour>("DAILY_CLEANUP_HOUR", "3", "an hour, 0 to 23")?.0,
            patience: Duration::from_secs(20),
        })
    }
}

impl PurgeConfig {
    pub(super) fn from_vars(vars: &Vars) -> Result<Self, ConfigError> {
        Ok(Self {
            log_ins: LOG_INS.period(vars)?,
            invitations: INVITATIONS.period(vars)?,
            api_keys: API_KEYS.period(vars)?,
            events: EVENTS.period(vars)?,
            finished_jobs: FINISHED_JOBS.period(vars)?,
            export_jobs: EXPORT_JOBS.period(vars)?,
            aggregation_runs: AGGREGATION_RUNS.period(vars)?,
            webhook_deliveries: WEBHOOK_DELIVERIES.period(vars)?,
        })
    }
}
