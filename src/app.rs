//! Every long-lived service, built once from the configuration; known only to the edges: worker, API, command line.

use std::sync::{Arc, Weak};
use std::time::Duration;

use sea_orm::DatabaseConnection;
use tokio_util::sync::CancellationToken;

use crate::ai::extractive::ExtractiveExtractor;
use crate::ai::openai::{OpenAiExtractor, OpenAiSettings, OpenAiTranscriber};
use crate::ai::{NoteExtractor, PieceLimits, Prices, Transcriber};
use crate::audit::leader::{Leader, Office};
use crate::audit::trail::Trail;
use crate::auth::Auth;
use crate::auth::invitation::Invitations;
use crate::auth::rate_limit::RateLimits;
use crate::clock::Clock;
use crate::config::{AiConfig, Config, OpenAiConfig};
use crate::database::Database;
use crate::events::{self, Feed, Notifier, WakeUps};
use crate::patients::Patients;
use crate::sessions::Sessions;
use crate::sessions::correction::Corrections;
use crate::sessions::pipeline::Pipeline;
use crate::sessions::release::Releases;
use crate::sessions::upload::Uploads;
use crate::storage::Storage;
use crate::uploads::Unfinished;

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
    /// News of sessions.
    pub feed: Feed,
    /// Hints that there is something new.
    pub wake_ups: WakeUps,
    /// Speech recognition.
    pub transcriber: Arc<dyn Transcriber>,
    /// Longest piece given to it.
    pub piece: Duration,
    /// Sound from before a piece that is listened to, too, so that no word is cut.
    pub overlap: Duration,
    /// Pieces given to it at a time.
    pub pieces_at_a_time: usize,
    /// Note extraction.
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
        let wake_ups = notifier.start(database.pool(), &stop);
        let feed = Feed::start(db.clone(), wake_ups.clone(), &stop).await?;
        let storage = Storage::open(&config.storage)?;
        let pipeline = Pipeline::new(db.clone(), clock.clone(), notifier);
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
            limits: config.upload.clone(),
        };
        let limits = RateLimits::new(db.clone(), clock.clone(), config.limits);
        let providers = Providers::new(&config.ai)?;
        let piece = piece_limits(&config, providers.transcriber.limits());
        let trail = Trail::new(db.clone(), &config.audit)?;
        let chaining = Leader::start(Office {
            pool: database.pool().clone(),
            key: trail.key().clone(),
            head_file: config.audit.head_file.clone(),
            clock: clock.clone(),
        });
        let app = Arc::new(Self {
            auth: Auth::new(db.clone(), clock.clone(), limits.clone(), &config.auth)?,
            invitations: Invitations::new(db.clone(), clock.clone()),
            limits,
            trail,
            patients: Patients::new(db.clone(), clock.clone()),
            sessions: Sessions::new(db.clone()),
            corrections: Corrections::new(db.clone(), clock.clone()),
            releases: Releases::new(db.clone(), clock.clone()),
            transcriber: providers.transcriber,
            piece: piece.preferred,
            overlap: OVERLAP,
            pieces_at_a_time: piece.at_a_time,
            extractor: providers.extractor,
            config,
            clock,
            db,
            storage,
            pipeline,
            uploads,
            unfinished,
            feed,
            wake_ups,
            stop,
            chaining,
            database,
        });
        app.auth.reseal_second_factors().await?;
        app.auth.presence.start(app.pool(), &app.stop);
        tokio::spawn(app.stop.clone().run_until_cancelled_owned(tend_database(Arc::downgrade(&app))));
        Ok(app)
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

/// Who recognises speech and writes notes.
struct Providers {
    transcriber: Arc<dyn Transcriber>,
    extractor: Arc<dyn NoteExtractor>,
}

/// Pieces of the asked length, as far as every provider takes them.
fn piece_limits(config: &Config, limits: PieceLimits) -> PieceLimits {
    let preferred = config.worker.piece.unwrap_or(limits.preferred).min(limits.longest);
    PieceLimits { preferred, ..limits }
}

impl Providers {
    fn new(config: &AiConfig) -> anyhow::Result<Self> {
        match &config.openai {
            Some(openai) => Self::openai(openai, config),
            None => Self::local(config),
        }
    }

    fn openai(config: &OpenAiConfig, ai: &AiConfig) -> anyhow::Result<Self> {
        let prices = Prices {
            audio_minute: ai.price_per_audio_minute,
            million_prompt_tokens: ai.price_per_million_prompt_tokens,
            million_completion_tokens: ai.price_per_million_completion_tokens,
        };
        let settings = OpenAiSettings {
            base_url: config.base_url.parse()?,
            api_key: config.api_key.clone(),
            transcribe_model: config.transcribe_model.clone(),
            notes_model: config.notes_model.clone(),
            request_timeout: config.timeout,
            max_retries: config.max_retries,
            concurrency: config.concurrency.get(),
            prices,
            ..OpenAiSettings::default()
        };
        Ok(Self {
            transcriber: Arc::new(OpenAiTranscriber::new(&settings)?),
            extractor: Arc::new(OpenAiExtractor::new(&settings)?),
        })
    }

    #[cfg(feature = "local-whisper")]
    #[expect(clippy::unnecessary_wraps, reason = "without the feature it fails")]
    fn local(config: &AiConfig) -> anyhow::Result<Self> {
        use crate::ai::models::Models;
        use crate::ai::whisper::WhisperTranscriber;
        let model = Models::new(config.models_dir.clone()).path(&config.whisper_model);
        let threads = config.whisper_threads.get();
        let transcriber = WhisperTranscriber::new(model, config.whisper_model.clone(), threads, 1);
        Ok(Self { transcriber: Arc::new(transcriber), extractor: Arc::new(ExtractiveExtractor) })
    }

    #[cfg(not(feature = "local-whisper"))]
    fn local(_: &AiConfig) -> anyhow::Result<Self> {
        anyhow::bail!(
            "this binary was built without local-whisper: set OPENAI_API_KEY or OPENAI_BASE_URL, or build with it"
        )
    }
}
