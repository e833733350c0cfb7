//! How jobs are done: apalis workers, one for each kind of job, over our own leases (`queue::lease`).

mod aggregate;
mod clean_up;
mod deliver_webhook;
mod export_document;
mod extract_notes;
mod keeper;
mod purge_expired;
mod refresh_analytics;
mod schedule;
mod sweep;
mod transcribe_session;

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use apalis::layers::WorkerBuilderExt;
use apalis::prelude::{BoxDynError, WorkerBuilder, WorkerError};
use async_trait::async_trait;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use futures::{FutureExt, StreamExt};
use uuid::Uuid;

use self::keeper::{CLAIM_PATIENCE, Held, Keeper};
use crate::ai::AiError;
use crate::app::App;
use crate::error::{Error, Result};
use crate::failpoint;
use crate::notes;
use crate::queue::Job;
use crate::queue::jobs::{
    Aggregate, CleanUp, DeliverWebhook, ExportDocument, ExtractNotes, PurgeExpired, RefreshAnalytics,
    TranscribeSession,
};
use crate::queue::lease::{self, Lease, Outcome};

/// Workers look for due jobs this often even when no hint comes.
const POLL: Duration = Duration::from_millis(500);
/// No provider's wish keeps a therapist waiting for longer.
const LONGEST_WAIT: Duration = Duration::from_secs(3600);
/// What a session, or a document, says when something went wrong, again and again.
const TROUBLE: &str = "Something went wrong on the server. Try it again later; if it fails again, ask whoever runs this server to \
                       look at its log.";
/// What a session says when a job ended again and again without any answer.
const NO_ANSWER: &str = "Processing was interrupted several times and has been stopped. Retry it; if it fails again, \
                         ask whoever runs this server to look at its log.";
/// What a session says when its recording could not be fetched, again and again.
const NO_STORE: &str = "The stored recording could not be read, because the file store does not answer. Retry the \
                        session later; if it fails again, tell whoever runs this server.";

/// How a job is done.
#[async_trait]
trait Handler: Job {
    /// Does it. Twice is fine: the second time finds what the first one left.
    async fn run(&self, app: &App, lease: &Lease) -> Result<(), JobError>;

    /// Tells those concerned that it will not be done; `message` is for them.
    async fn give_up(&self, app: &App, lease: &Lease, message: &str) -> Result<()>;

    /// How many are done at a time, in this process.
    fn at_a_time(app: &App) -> usize {
        app.config.worker.concurrency.get()
    }
}

/// Why a job was not done. `?` means that it is tried again; what is permanent is written out.
#[derive(Debug)]
enum JobError {
    /// Another attempt may succeed, after the asked delay.
    Retry { message: String, after: Option<Duration> },
    /// Another attempt would end the same way; the message is for the therapist.
    Fail(String),
    /// Nobody wants it any more, or somebody else does it.
    MovedOn,
    /// It was claimed too early, and has been put off.
    PutOff,
    /// The database went away: whoever has it back first goes on at once, and nothing was attempted.
    Interrupted,
}

impl From<Error> for JobError {
    fn from(error: Error) -> Self {
        match error {
            Error::MovedOn => return Self::MovedOn,
            // Expected, and the same again at once: the budget.
            Error::User(error) => return Self::Fail(error.message),
            Error::Unavailable => {
                tracing::warn!("a job lost the database");
                return Self::Interrupted;
            }
            Error::Storage(error) => {
                tracing::error!(?error, "the file store failed");
                return Self::Retry { message: NO_STORE.into(), after: None };
            }
            Error::Internal(error) => tracing::error!(error = ?error, "a job met an internal error"),
            other => tracing::warn!(error = %other, "a job met an error"),
        }
        Self::Retry { message: TROUBLE.into(), after: None }
    }
}

impl From<AiError> for JobError {
    fn from(error: AiError) -> Self {
        match error {
            AiError::Transient { message, retry_after, .. } => Self::Retry { message, after: retry_after },
            AiError::Permanent { message, .. } => Self::Fail(message),
            AiError::Cancelled => Self::Retry { message: "Processing was stopped.".into(), after: None },
        }
    }
}

impl From<notes::Failure> for JobError {
    fn from(failure: notes::Failure) -> Self {
        match failure {
            notes::Failure::Ai(error) => error.into(),
            notes::Failure::Other(error) => error.into(),
        }
    }
}

/// Runs the workers until the app stops; jobs in progress are given back then.
///
/// # Errors
/// When the worker cannot register.
pub async fn run(app: Arc<App>) -> anyhow::Result<()> {
    let sweeping = tokio::spawn(sweep::run(app.clone()));
    let worked = at_desk(app.clone(), |desk| {
        vec![
            work::<TranscribeSession>(desk.clone()),
            work::<ExtractNotes>(desk.clone()),
            work::<RefreshAnalytics>(desk.clone()),
            work::<Aggregate>(desk.clone()),
            work::<ExportDocument>(desk.clone()),
            work::<DeliverWebhook>(desk.clone()),
            work::<PurgeExpired>(desk.clone()),
            work::<CleanUp>(desk),
            schedule::run(app),
        ]
    });
    let worked = worked.await;
    sweeping.abort();
    worked
}

/// Works on aggregation runs only, until the app stops: for the command line.
///
/// # Errors
/// When the worker cannot register.
pub async fn aggregate(app: Arc<App>) -> anyhow::Result<()> {
    at_desk(app, |desk| vec![work::<Aggregate>(desk)]).await
}

/// Registers a worker, and signs it off when its work has ended.
async fn at_desk(
    app: Arc<App>,
    work: impl FnOnce(Desk) -> Vec<BoxFuture<'static, Result<(), WorkerError>>>,
) -> anyhow::Result<()> {
    let (name, registered) = (worker_name(), tokio::time::Instant::now());
    lease::register(app.pool(), &name).await?;
    let held = Arc::new(Held::new(app.config.worker.lease, registered));
    let keeper = tokio::spawn(Keeper::new(app.clone(), held.clone(), name.clone()).run());
    tracing::info!(worker = name, "worker started");
    let desk = Desk { app: app.clone(), name: name.clone(), held };
    let ended = futures::future::join_all(work(desk)).await;
    keeper.abort();
    lease::sign_off(app.pool(), &name).await?;
    tracing::info!(worker = name, "worker stopped");
    ended.into_iter().try_for_each(|ended| ended.map_err(|error| anyhow::anyhow!("a worker ended: {error}")))
}

/// Does every job that is due, one after the other, and those that follow from them: for tests and scripts.
/// Says how many attempts it made.
///
/// # Errors
/// When the database does not answer.
pub async fn run_until_idle(app: &App) -> Result<usize> {
    let name = worker_name();
    lease::register(app.pool(), &name).await.map_err(anyhow::Error::new)?;
    let mut attempts = 0;
    loop {
        let done = drain::<TranscribeSession>(app, &name).await?
            + drain::<ExtractNotes>(app, &name).await?
            + drain::<RefreshAnalytics>(app, &name).await?
            + drain::<Aggregate>(app, &name).await?
            + drain::<ExportDocument>(app, &name).await?
            + drain::<DeliverWebhook>(app, &name).await?
            + drain::<PurgeExpired>(app, &name).await?
            + drain::<CleanUp>(app, &name).await?;
        attempts += done;
        if done == 0 {
            lease::sign_off(app.pool(), &name).await.map_err(anyhow::Error::new)?;
            return Ok(attempts);
        }
    }
}

async fn drain<J: Handler>(app: &App, worker: &str) -> Result<usize> {
    let mut done = 0;
    while let Some(lease) = lease::claim(app.pool(), worker, J::KIND).await.map_err(anyhow::Error::new)? {
        execute::<J>(app, &lease, None).await;
        done += 1;
    }
    Ok(done)
}

/// Unique to this start of this process: a worker that was thought dead never shares a name with a new one.
fn worker_name() -> String {
    format!("worker-{}-{}", std::process::id(), Uuid::now_v7())
}

/// Where a process works: what the workers of all kinds share.
#[derive(Clone)]
struct Desk {
    app: Arc<App>,
    name: String,
    held: Arc<Held>,
}

/// Boxed, because the compiler cannot see through apalis's error types that the future is `Send`.
fn work<J: Handler>(desk: Desk) -> BoxFuture<'static, Result<(), WorkerError>> {
    let concurrency = J::at_a_time(&desk.app);
    let stop = desk.app.stop.clone();
    let name = format!("{}/{}", desk.name, J::KIND);
    let handle = {
        let desk = desk.clone();
        move |lease: Lease| {
            let desk = desk.clone();
            async move {
                execute::<J>(&desk.app, &lease, Some(&desk.held)).await;
                desk.held.remove(&lease);
                Ok::<_, BoxDynError>(())
            }
        }
    };
    WorkerBuilder::new(name)
        .backend(claims::<J>(desk))
        .concurrency(concurrency)
        .build(handle)
        .run_until(async move {
            stop.cancelled().await;
            Ok::<_, WorkerError>(())
        })
        .boxed()
}

/// Claims job after job, when there is room for one. Never ends in an error: a database that is away comes back.
fn claims<J: Job>(desk: Desk) -> BoxStream<'static, Result<Lease, std::convert::Infallible>> {
    let wake_ups = desk.app.wake_ups.clone();
    futures::stream::unfold((desk, wake_ups), |(desk, mut wake_ups)| async move {
        loop {
            // What comes in from here on makes us look again.
            wake_ups.mark_unchanged();
            if let Some(lease) = claim::<J>(&desk).await {
                return Some((Ok(lease), (desk, wake_ups)));
            }
            let _ = tokio::time::timeout(POLL, wake_ups.changed()).await;
        }
    })
    .boxed()
}

async fn claim<J: Job>(desk: &Desk) -> Option<Lease> {
    let _claiming = desk.held.claiming()?;
    let claim = lease::claim(desk.app.pool(), &desk.name, J::KIND);
    match tokio::time::timeout(CLAIM_PATIENCE, claim).await {
        Ok(Ok(lease)) => lease.inspect(|lease| desk.held.add(lease)),
        Ok(Err(error)) => {
            tracing::warn!(%error, "jobs cannot be claimed; trying again");
            None
        }
        Err(_) => {
            tracing::warn!("a claim was not answered in time; trying again");
            None
        }
    }
}

/// One attempt at a job, and what becomes of it. Where somebody keeps the lease, it is dropped where it stands when the job is
/// no longer ours: no further call to a provider leaves then.
async fn execute<J: Handler>(app: &App, lease: &Lease, held: Option<&Held>) {
    failpoint::reach("job.claimed");
    let started = std::time::Instant::now();
    tracing::debug!(job = lease.id, kind = J::KIND, "job started");
    let attempt = attempt::<J>(app, lease);
    let outcome = match held {
        Some(held) => held.while_ours(lease, attempt).await.unwrap_or(Outcome::GivenBack),
        None => attempt.await,
    };
    let seconds = started.elapsed().as_secs_f64();
    metrics::histogram!("job_seconds", "kind" => J::KIND).record(seconds);
    metrics::counter!("jobs_total", "kind" => J::KIND, "outcome" => label(&outcome)).increment(1);
    tracing::info!(
        job = lease.id,
        kind = J::KIND,
        attempt = lease.attempts,
        outcome = label(&outcome),
        seconds,
        "job"
    );
    failpoint::reach("job.acknowledge");
    acknowledge(app, lease, &outcome).await;
}

/// Puts the outcome down. Tries until it is, or the process stops: a job held by a live worker goes to nobody else.
async fn acknowledge(app: &App, lease: &Lease, outcome: &Outcome) {
    loop {
        match lease.finish(app.pool(), outcome).await {
            Ok(true) => return,
            Ok(false) => {
                tracing::info!(
                    job = lease.id,
                    "a job was ended or went to another worker; this attempt does not count"
                );
                return;
            }
            Err(error) => tracing::warn!(job = lease.id, %error, "a job was not acknowledged; trying again"),
        }
        if app.stop.run_until_cancelled(tokio::time::sleep(POLL)).await.is_none() {
            return;
        }
    }
}

async fn attempt<J: Handler>(app: &App, lease: &Lease) -> Outcome {
    let job: J = match serde_json::from_slice(&lease.job) {
        Ok(job) => job,
        Err(error) => return Outcome::Dead(format!("the arguments cannot be read: {error}")),
    };
    if lease.is_exhausted() {
        return give_up(&job, app, lease, NO_ANSWER).await;
    }
    let run = AssertUnwindSafe(tokio::time::timeout(J::TIMEOUT, job.run(app, lease))).catch_unwind();
    let Some(ended) = app.stop.run_until_cancelled(run).await else { return Outcome::GivenBack };
    match ended {
        Ok(Ok(Ok(()))) => Outcome::Done,
        Ok(Ok(Err(JobError::MovedOn))) => Outcome::MovedOn,
        Ok(Ok(Err(JobError::PutOff))) => Outcome::PutOff,
        Ok(Ok(Err(JobError::Interrupted))) => Outcome::GivenBack,
        Ok(Ok(Err(JobError::Fail(message)))) => give_up(&job, app, lease, &message).await,
        Ok(Ok(Err(JobError::Retry { message, after }))) => retry(&job, app, lease, &message, after).await,
        Ok(Err(_)) => retry(&job, app, lease, "Processing took too long and was stopped.", None).await,
        // The panic itself is logged by the panic hook.
        Err(_) => retry(&job, app, lease, TROUBLE, None).await,
    }
}

async fn retry<J: Handler>(
    job: &J,
    app: &App,
    lease: &Lease,
    message: &str,
    after: Option<Duration>,
) -> Outcome {
    if lease.is_last_attempt() {
        return give_up(job, app, lease, message).await;
    }
    let doublings = u32::try_from(lease.attempts - 1).unwrap_or(0).min(10);
    let backoff = app.config.worker.backoff * 2_u32.pow(doublings);
    Outcome::Retry(after.unwrap_or_default().max(backoff).min(LONGEST_WAIT))
}

async fn give_up<J: Handler>(job: &J, app: &App, lease: &Lease, message: &str) -> Outcome {
    match job.give_up(app, lease, message).await {
        Ok(()) => Outcome::Dead(message.to_owned()),
        Err(Error::MovedOn) => Outcome::MovedOn,
        Err(Error::Unavailable) => Outcome::GivenBack,
        Err(error) => {
            tracing::error!(job = lease.id, ?error, "a job could not be given up; trying again");
            Outcome::Retry(app.config.worker.backoff)
        }
    }
}

fn label(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Done => "done",
        Outcome::Retry(_) => "retry",
        Outcome::Dead(_) => "dead",
        Outcome::GivenBack => "given_back",
        Outcome::MovedOn => "moved_on",
        Outcome::PutOff => "put_off",
    }
}
