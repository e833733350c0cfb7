//! Every long-lived service, built once from the configuration; known only to the edges: worker, API, command line.

mod providers;

use std::sync::{Arc, Weak};
use std::time::Duration;

use sea_orm::DatabaseConnection;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use self::providers::Providers;
use crate::ai::{NoteExtractor, PieceLimits, Transcriber};
use crate::analytics::Analytics;
use crate::analytics::timetable::Timetable;
use crate::audit::leader::{Leader, Office};
use crate::audit::trail::Trail;
use crate::auth::Auth;
use crate::auth::invitation::Invitations;
use crate::auth::rate_limit::RateLimits;
use crate::auth::seal::{Purpose, Seal};
use crate::cleanup::Cleanup;
use crate::clock::Clock;
use crate::config::Config;
use crate::costs::{Costs, Work};
use crate::database::Database;
use crate::error::{Error, Result};
use crate::events::{self, Feed, Notifier, WakeUps};
use crate::exports::Fonts;
use crate::exports::jobs::{Exports, Means};
use crate::patients::Patients;
use crate::sessions::Sessions;
use crate::sessions::appointments::Appointments;
use crate::sessions::correction::Corrections;
use crate::sessions::pipeline::Pipeline;
use crate::sessions::recording::Recordings;
use crate::sessions::release::Releases;
use crate::sessions::upload::Uploads;
use crate::storage::Storage;
use crate::uploads::Unfinished;
use crate::webhooks::resolver::SystemLookup;
use crate::webhooks::target::Policy;
use crate::webhooks::{Sender, Webhooks};

/// Long enough for a few words, by which two pieces are joined, and short enough to cost little.
const OVERLAP: Duration = Duration::from_secs(2);
/// Time between two looks at the private database.
const TEND_EVERY: Duration = Duration::from_secs(3);

/// The services of one process.
pub struct App {
    /// What they were built from.
    pub config: Config,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// Rows.
    pub db: DatabaseConnection,
    /// Files.
    pub storage: Storage,
    /// Accounts.
    pub auth: Auth,
    /// Ties between patients' accounts and records.
    pub invitations: Invitations,
    /// How often may be tried, across processes.
    pub limits: RateLimits,
    /// The audit trail, for reading.
    pub trail: Trail,
    /// Patient records.
    pub patients: Patients,
    /// Sessions, for reading.
    pub sessions: Sessions,
    /// Sessions that are planned, and what became of them.
    pub appointments: Appointments,
    /// What therapists put right in transcripts.
    pub corrections: Corrections,
    /// What patients may read of sessions.
    pub releases: Releases,
    /// Sessions, from stage to stage.
    pub pipeline: Pipeline,
    /// Recordings coming in.
    pub uploads: Uploads,
    /// Recordings coming in part by part.
    pub unfinished: Unfinished,
    /// Files that are kept no longer.
    pub cleanup: Cleanup,
    /// Figures of the practice.
    pub analytics: Analytics,
    /// When they are put right by the clock.
    pub timetable: Timetable,
    /// Documents for download.
    pub exports: Exports,
    /// Who wants to be told of what happens.
    pub webhooks: Webhooks,
    /// News of sessions, aggregation runs and exports.
    pub feed: Feed,
    /// Hints that there is something new.
    pub wake_ups: WakeUps,
    /// What was paid, and the budget.
    pub costs: Costs,
    /// Who recognises speech and writes notes.
    pub providers: Providers,
    /// Speech recognition; to work for somebody, ask [`App::transcriber_for`].
    pub transcriber: Arc<dyn Transcriber>,
    /// Longest piece given to it.
    pub piece: Duration,
    /// Sound from before a piece that is listened to, too, so that no word is cut.
    pub overlap: Duration,
    /// Pieces given to it at a time.
    pub pieces_at_a_time: usize,
    /// Note extraction; to work for somebody, ask [`App::extractor_for`].
    pub extractor: Arc<dyn NoteExtractor>,
    /// Cancelled when the process is to stop.
    pub stop: CancellationToken,
    /// Links audit events, if no other process does.
    chaining: Leader,
    database: Database,
}

impl App {
    /// Opens database and store, and builds the services. The schema is brought up to date.
    ///
    /// # Errors
    /// When something named by the configuration cannot be used; the message says what.
    pub async fn start(config: Config, clock: Arc<dyn Clock>) -> anyhow::Result<Arc<Self>> {
        config.check_keys()?;
        let database = Database::open(&config.database).await?;
        database.migrate().await?;
        let stop = CancellationToken::new();
        let (db, notifier) = (database.connection(), Notifier::on(events::CHANNEL));
        let limits = RateLimits::new(db.clone(), clock.clone(), config.limits);
        let auth = Auth::new(db.clone(), clock.clone(), limits.clone(), &config.auth)?;
        let wake_ups = notifier.wake_ups();
        auth.presence.start(database.pool(), &stop);
        events::connect(vec![notifier.clone(), auth.presence.notifier().clone()], database.pool(), &stop);
        let feed = Feed::start(db.clone(), wake_ups.clone(), &stop).await?;
        let storage = Storage::open(&config.storage)?;
        let providers = Providers::new(&config.ai, &clock)?;
        let piece = piece_limits(&config, providers.speech.limits());
        let costs = Costs::new(db.clone(), clock.clone(), config.ai.monthly_budget_usd, providers.free());
        let analytics = Analytics::new(db.clone(), clock.clone(), notifier.clone());
        let timetable = Timetable { zone: config.analytics.zone, daily_hour: config.analytics.daily_hour };
        let patients = Patients::new(db.clone(), clock.clone(), notifier.clone());
        let pipeline = Pipeline::new(db.clone(), clock.clone(), notifier.clone(), costs.clone());
        let unfinished = Unfinished {
            db: db.clone(),
            storage: storage.clone(),
            clock: clock.clone(),
            limits: config.upload.clone(),
        };
        let uploads = Uploads {
            unfinished: unfinished.clone(),
            db: db.clone(),
            storage: storage.clone(),
            pipeline: pipeline.clone(),
            clock: clock.clone(),
            costs: costs.clone(),
            limits: config.upload.clone(),
        };
        let recordings = Recordings::new(db.clone(), clock.clone(), pipeline.clone());
        let cleanup =
            Cleanup::new(db.clone(), storage.clone(), clock.clone(), recordings, config.cleanup.clone());
        let webhooks = webhooks((&db, &clock, &notifier), &limits, &config)?;
        let means = Means {
            db: db.clone(),
            storage: storage.clone(),
            clock: clock.clone(),
            notifier,
            analytics: analytics.clone(),
            limits: limits.clone(),
            fonts: Fonts::new(config.fonts.folder.as_deref()),
        };
        let exports = Exports::new(means, config.exports);
        let trail = Trail::new(db.clone(), &config.audit)?;
        let chaining = Leader::start(Office {
            pool: database.pool().clone(),
            key: trail.key().clone(),
            head_file: config.audit.head_file.clone(),
            clock: clock.clone(),
        });
        let app = Arc::new(Self {
            auth,
            invitations: Invitations::new(db.clone(), clock.clone()),
            limits,
            trail,
            patients,
            sessions: Sessions::new(db.clone()),
            appointments: Appointments::new(db.clone(), clock.clone(), pipeline.clone()),
            corrections: Corrections::new(db.clone(), clock.clone()),
            releases: Releases::new(db.clone(), clock.clone()),
            costs,
            transcriber: providers.speech.clone(),
            piece: piece.preferred,
            overlap: OVERLAP,
            pieces_at_a_time: piece.at_a_time,
            extractor: providers.notes.clone(),
            providers,
            config,
            clock,
            db,
            storage,
            pipeline,
            uploads,
            unfinished,
            cleanup,
            analytics,
            timetable,
            exports,
            webhooks,
            feed,
            wake_ups,
            stop,
            chaining,
            database,
        });
        app.auth.reseal_second_factors().await?;
        app.webhooks.reseal().await?;
        tokio::spawn(app.stop.clone().run_until_cancelled_owned(tend_database(Arc::downgrade(&app))));
        Ok(app)
    }

    /// Whoever may recognise speech for a therapist: everybody, or where the budget is used up those who charge nothing.
    /// Asked before every call.
    ///
    /// # Errors
    /// `BUDGET_EXCEEDED`.
    pub async fn transcriber_for(&self, therapist_id: Uuid) -> Result<Arc<dyn Transcriber>> {
        if !self.providers.charges(Work::Speech) {
            return Ok(self.transcriber.clone());
        }
        match (self.costs.check(therapist_id).await, &self.providers.free_speech) {
            (Ok(()), _) => Ok(self.transcriber.clone()),
            (Err(Error::User(_)), Some(free)) => Ok(free.clone()),
            (Err(error), _) => Err(error),
        }
    }

    /// Whoever may write notes for a therapist: everybody, or where the budget is used up those who charge nothing.
    /// Asked before every call.
    ///
    /// # Errors
    /// `BUDGET_EXCEEDED`.
    pub async fn extractor_for(&self, therapist_id: Uuid) -> Result<Arc<dyn NoteExtractor>> {
        if !self.providers.charges(Work::Notes) {
            return Ok(self.extractor.clone());
        }
        match (self.costs.check(therapist_id).await, &self.providers.free_notes) {
            (Ok(()), _) => Ok(self.extractor.clone()),
            (Err(Error::User(_)), Some(free)) => Ok(free.clone()),
            (Err(error), _) => Err(error),
        }
    }

    /// The connections, as sqlx has them.
    #[must_use]
    pub fn pool(&self) -> &sqlx::PgPool {
        self.database.pool()
    }

    /// Stops the services, and leaves the private database, where there is one; the last one out stops it.
    pub async fn close(self: Arc<Self>) {
        self.stop.cancel();
        // After everything that writes events has ended.
        self.chaining.stop().await;
        match Arc::try_unwrap(self) {
            Ok(app) => app.database.close().await,
            Err(app) => {
                // Something still holds on to the services: its connections end with the process.
                tracing::debug!("services are still in use at shutdown");
                app.database.pool().close().await;
            }
        }
    }
}

fn webhooks(
    (db, clock, notifier): (&DatabaseConnection, &Arc<dyn Clock>, &Notifier),
    limits: &RateLimits,
    config: &Config,
) -> anyhow::Result<Webhooks> {
    let policy = Policy { allow_private: config.webhooks.allow_private };
    Ok(Webhooks {
        db: db.clone(),
        clock: clock.clone(),
        notifier: notifier.clone(),
        limits: limits.clone(),
        seal: Seal::for_purpose(Purpose::Webhooks, &config.auth)?,
        sender: Sender::new(policy, Arc::new(SystemLookup), config.webhooks.timeout),
        waits: config.webhooks.waits.clone().into(),
    })
}

/// Looks after the private database, as long as there is an app: a server that was killed is started again.
async fn tend_database(app: Weak<App>) {
    loop {
        tokio::time::sleep(TEND_EVERY).await;
        let Some(app) = app.upgrade() else { return };
        if let Err(error) = app.database.revive().await {
            tracing::error!(%error, "the private database is down, and does not start again");
        }
    }
}

/// Pieces of the asked length, as far as every provider takes them.
fn piece_limits(config: &Config, limits: PieceLimits) -> PieceLimits {
    let preferred = config.worker.piece.unwrap_or(limits.preferred).min(limits.longest);
    PieceLimits { preferred, ..limits }
}
