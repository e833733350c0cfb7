//! The only writer of a session's status after the first, which comes with the recording (`upload`). Every
//! step is one transaction: status, version, what was made, audit row, next job and event; afterwards one
//! hint goes out that there is news.

use std::collections::BTreeSet;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use sea_orm::sea_query::Expr;
use sea_orm::{
    ColumnTrait, ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbErr, EntityTrait, QueryFilter,
    QuerySelect,
};
use uuid::Uuid;

use crate::actor::{Actor, Origin};
use crate::ai::{Provider, Usage};
use crate::analytics::runs::{Change, request_refresh};
use crate::audit::{self, Witness};
use crate::clock::Clock;
use crate::costs::{self, Costs, Spent, Work as Paid};
use crate::database;
use crate::entity::session::{Column, Entity, Model, Status};
use crate::entity::webhook_delivery::Event;
use crate::entity::{extraction_part, extraction_run};
use crate::error::{Error, Result};
use crate::events::{self, Notifier};
use crate::failpoint;
use crate::idempotency;
use crate::queue::jobs::{ExtractNotes, TranscribeSession};
use crate::queue::{self, Lease};
use crate::transcript::Utterance;
use crate::webhooks::{self, News};

use super::answers;
use super::pieces::{self, Finished, RecognisedPiece, SoFar};
use super::risk;
use super::wish::{Grant, Granted, Wish, invalid_state};

/// Moves sessions from stage to stage.
#[derive(Clone)]
pub struct Pipeline {
    db: DatabaseConnection,
    clock: Arc<dyn Clock>,
    notifier: Notifier,
    costs: Costs,
}

/// What a session says whose processing was cancelled.
const CANCELLED: &str = "Processing was cancelled. Retry it to go on; what was done so far is kept.";

/// A worker at work on a session, in one attempt of one job.
#[derive(Clone, Copy, Debug)]
pub struct Work<'a> {
    /// Proof that the job is ours.
    pub lease: &'a Lease,
    /// Kind of the job.
    pub job: &'static str,
    /// Which session.
    pub session_id: Uuid,
    /// Which time processing was asked for; an older one has nothing to write any more.
    pub generation: i32,
}

impl Pipeline {
    /// A pipeline over this database.
    #[must_use]
    pub fn new(db: DatabaseConnection, clock: Arc<dyn Clock>, notifier: Notifier, costs: Costs) -> Self {
        Self { db, clock, notifier, costs }
    }

    /// Puts a session that has just got its recording on its way, in the caller's transaction; `before` is how it was
    /// without, if it was there. Call [`committed`](Self::committed) after the commit.
    ///
    /// # Errors
    /// When the database does not take it.
    pub async fn start(
        &self,
        txn: &DatabaseTransaction,
        before: Option<&Model>,
        session: &Model,
    ) -> Result<()> {
        super::changed(txn, before, session, self.clock.now()).await?;
        let job = TranscribeSession { session_id: session.id, generation: session.generation };
        Ok(queue::enqueue(txn, &job).await?)
    }

    /// Tells everybody that a transaction with jobs or events has committed.
    pub fn committed(&self) {
        self.notifier.nudge();
    }

    /// UPLOADING → TRANSCRIBING. A session that is being transcribed already (by an attempt that died) stays so.
    ///
    /// # Errors
    /// [`Error::MovedOn`] when the lease is lost or the session has moved on; else only faults.
    pub async fn begin_transcription(&self, work: Work<'_>) -> Result<Option<Model>> {
        self.begin(work, Status::Uploading, Status::Transcribing).await
    }

    /// `TRANSCRIBED` → `EXTRACTING_NOTES`. A session whose notes are being written already stays so.
    ///
    /// # Errors
    /// [`Error::MovedOn`] when the lease is lost or the session has moved on; else only faults.
    pub async fn begin_extraction(&self, work: Work<'_>) -> Result<Option<Model>> {
        self.begin(work, Status::Transcribed, Status::ExtractingNotes).await
    }

    /// Tells how far the present stage is, in percent.
    ///
    /// # Errors
    /// [`Error::MovedOn`] when the lease is lost or the session has moved on; else only faults.
    pub async fn report(&self, work: Work<'_>, stage: Status, percent: i32) -> Result<()> {
        let txn = database::begin(&self.db).await?;
        let session = self.locked(&txn, work, &[stage]).await?;
        if session.progress < percent {
            self.write(&txn, session, |session| session.progress = percent).await?;
        }
        self.commit(txn).await
    }

    /// Takes over what was recognised of the same recording before, where there is something; else does nothing.
    ///
    /// # Errors
    /// [`Error::MovedOn`] when the lease is lost or the session has moved on; else only faults.
    pub async fn reuse_pieces(&self, work: Work<'_>, providers: &[Provider]) -> Result<()> {
        let txn = database::begin(&self.db).await?;
        let session = self.locked(&txn, work, &[Status::Transcribing]).await?;
        if pieces::reuse(&txn, &session, providers, self.clock.now()).await? {
            tracing::info!(session = %session.id, "the same recording was recognised before");
        }
        self.commit(txn).await
    }

    /// Keeps a recognised piece, and adds to the transcript what it settles. Gives all that is settled.
    ///
    /// # Errors
    /// [`Error::MovedOn`] when the lease is lost or the session has moved on; else only faults.
    pub async fn keep_piece(&self, work: Work<'_>, piece: RecognisedPiece) -> Result<Vec<Utterance>> {
        let txn = database::begin(&self.db).await?;
        let session = self.locked(&txn, work, &[Status::Transcribing]).await?;
        let SoFar { recognised_ms, settled } = pieces::keep(&txn, &session, piece, self.clock.now()).await?;
        let percent = session.percent_recognised(recognised_ms);
        self.write(&txn, session, |session| session.progress = session.progress.max(percent)).await?;
        self.commit(txn).await?;
        Ok(settled)
    }

    /// TRANSCRIBING → TRANSCRIBED: the transcript is complete; `voices` says whose voice each utterance is, as far as that was
    /// heard. It is screened for phrases of risk, and the extraction enqueued.
    ///
    /// # Errors
    /// [`Error::MovedOn`] when the lease is lost or the session has moved on; else only faults.
    pub async fn finish_transcription(&self, work: Work<'_>, voices: Vec<Option<u8>>) -> Result<()> {
        let session = Entity::find_by_id(work.session_id).one(&self.db).await?.ok_or(Error::MovedOn)?;
        // Only who holds the job adds pieces: what is read here still holds in the transaction, or that comes to nothing.
        let Finished { segments, reading } =
            pieces::finished(&self.db, &session, voices, self.clock.now()).await?;
        let txn = database::begin(&self.db).await?;
        let session = self.locked(&txn, work, &[Status::Transcribing]).await?;
        pieces::complete(&txn, session.id, segments).await?;
        let session = self
            .write(&txn, session, |session| {
                session.status = Some(Status::Transcribed);
                session.progress = 100;
                reading.note_on(session);
            })
            .await?;
        let next = ExtractNotes { session_id: session.id, generation: session.generation, force: false };
        queue::enqueue(&txn, &next).await?;
        self.tell(&txn, Event::SessionTranscribed, &session, "status").await?;
        if risk::screen_found(session.risk_screen.as_ref()) {
            self.tell(&txn, Event::RiskFlagOpened, &session, "riskScreen").await?;
        }
        self.witness_work(&txn, work, &session, "session.transcribed").await?;
        self.commit(txn).await
    }

    /// Keeps an answer on the way to notes, with what it cost, whether it leads to notes or not; an older one to the same request
    /// no longer counts.
    ///
    /// # Errors
    /// Only faults; a lost lease is one.
    pub async fn keep_answer(
        &self,
        work: Work<'_>,
        (answer, spent): (extraction_part::ActiveModel, Spent),
        percent: i32,
    ) -> Result<()> {
        let txn = database::begin(&self.db).await?;
        let session = self.locked(&txn, work, &[Status::ExtractingNotes]).await?;
        costs::record(&txn, &session, spent, self.clock.now()).await?;
        answers::void(&txn, session.id, answer.request_sha256.as_ref()).await?;
        extraction_part::Entity::insert(answer).exec_without_returning(&txn).await?;
        if session.progress < percent {
            self.write(&txn, session, |session| session.progress = percent).await?;
        }
        self.commit(txn).await
    }

    /// Answers that led nowhere are not given again. What they cost stays.
    ///
    /// # Errors
    /// Only faults; a lost lease is one.
    pub async fn forget_answers(&self, work: Work<'_>, requests: &[String]) -> Result<()> {
        let txn = database::begin(&self.db).await?;
        let session = self.locked(&txn, work, &[Status::ExtractingNotes]).await?;
        for request in requests {
            answers::void(&txn, session.id, request).await?;
        }
        self.commit(txn).await
    }

    /// `EXTRACTING_NOTES` → `PROCESSED`, with the run the notes come from; `run` may be an earlier one that is read again.
    ///
    /// # Errors
    /// [`Error::MovedOn`] when the lease is lost or the session has moved on; else only faults.
    pub async fn finish_extraction(&self, work: Work<'_>, run: NotesRun) -> Result<()> {
        let txn = database::begin(&self.db).await?;
        let session = self.locked(&txn, work, &[Status::ExtractingNotes]).await?;
        let mut opens_risks = false;
        let run_id = match run {
            NotesRun::Made(run) => {
                answers::delete(&txn, session.id).await?;
                let run = extraction_run::Entity::insert(*run).exec_with_returning(&txn).await?;
                opens_risks = risk::opens(&txn, &session, &run).await?;
                if run.kind == extraction_run::Kind::Extractive {
                    // Of no answers: rules, who charge nothing.
                    costs::record(&txn, &session, spent_on(&run), self.clock.now()).await?;
                }
                run.id
            }
            NotesRun::Known(id) => id,
        };
        let session = self
            .write(&txn, session, |session| {
                session.status = Some(Status::Processed);
                session.progress = 100;
                session.extraction_run_id = Some(run_id);
            })
            .await?;
        request_refresh(&txn, change_of(&session), self.clock.now()).await?;
        if opens_risks {
            self.tell(&txn, Event::RiskFlagOpened, &session, "notes").await?;
        }
        self.witness_work(&txn, work, &session, "session.processed").await?;
        self.commit(txn).await?;
        failpoint::reach("session.processed");
        Ok(())
    }

    /// Any running stage → FAILED, with a message for the therapist. A session that has ended meanwhile is left alone.
    ///
    /// # Errors
    /// [`Error::MovedOn`] when the lease is lost or the session has moved on; else only faults.
    pub async fn fail(&self, work: Work<'_>, message: &str) -> Result<()> {
        let txn = database::begin(&self.db).await?;
        let Some(session) = find_locked(&txn, work.session_id).await? else { return Ok(()) };
        work.lease.hold(&txn).await?;
        let running = session.status.is_some_and(|status| status.may_become(Status::Failed).is_ok());
        if !running || session.generation != work.generation {
            return Ok(());
        }
        let session = self
            .write(&txn, session, |session| {
                session.status = Some(Status::Failed);
                session.error_message = Some(message.to_owned());
            })
            .await?;
        self.witness_work(&txn, work, &session, "session.failed").await?;
        self.commit(txn).await
    }

    /// FAILED → UPLOADING, or → TRANSCRIBED when the transcript is complete: what was paid for is kept.
    ///
    /// # Errors
    /// `NOT_FOUND`, `INVALID_STATE`, `IDEMPOTENCY_KEY_REUSED`, `IDEMPOTENCY_IN_PROGRESS`,
    /// `BUDGET_EXCEEDED`.
    pub async fn retry(&self, wish: Wish<'_>) -> Result<Model> {
        let Grant { txn, session, claim } =
            match wish.grant(&self.db, self.clock.now(), "retrySession", "").await? {
                Granted::Before(session) => return Ok(session),
                Granted::Now(grant) => grant,
            };
        if session.status != Some(Status::Failed) {
            return Err(invalid_state("Only a session whose processing FAILED can be retried."));
        }
        let transcribed = session.risk_screen.is_some();
        if let (false, Some(removed_at)) = (transcribed, session.audio_removed_at) {
            return Err(recording_removed(removed_at));
        }
        let ahead: &[Paid] = if transcribed { &[Paid::Notes] } else { &[Paid::Speech, Paid::Notes] };
        self.costs.admit(session.therapist_id, ahead).await?;
        let to = if transcribed { Status::Transcribed } else { Status::Uploading };
        let session = self.restart(&txn, session, to, false).await?;
        self.fulfil(Grant { txn, session, claim }, wish, "session.retry").await
    }

    /// PROCESSED → TRANSCRIBED: the notes are written again. Without `force`, an unchanged transcript read by an
    /// unchanged extractor gives the run there is.
    ///
    /// # Errors
    /// `NOT_FOUND`, `INVALID_STATE`, `IDEMPOTENCY_KEY_REUSED`, `IDEMPOTENCY_IN_PROGRESS`,
    /// `BUDGET_EXCEEDED`.
    pub async fn extract_again(&self, wish: Wish<'_>, force: bool) -> Result<Model> {
        let input = if force { "force" } else { "" };
        let Grant { txn, session, claim } =
            match wish.grant(&self.db, self.clock.now(), "extractNotes", input).await? {
                Granted::Before(session) => return Ok(session),
                Granted::Now(grant) => grant,
            };
        if session.risk_screen.is_none() || !session.status.is_some_and(Status::is_terminal) {
            return Err(invalid_state(
                "Notes can be extracted again once the transcript is complete and nothing is running.",
            ));
        }
        self.costs.admit(session.therapist_id, &[Paid::Notes]).await?;
        let session = self.restart(&txn, session, Status::Transcribed, force).await?;
        self.fulfil(Grant { txn, session, claim }, wish, "session.extract_notes").await
    }

    /// Any running stage → FAILED. Its job ends in the same transaction, and the generation is raised, so that whoever
    /// works on it has nothing to write any more, and stops.
    ///
    /// # Errors
    /// `NOT_FOUND`, `INVALID_STATE`, `IDEMPOTENCY_KEY_REUSED`, `IDEMPOTENCY_IN_PROGRESS`.
    pub async fn cancel(&self, wish: Wish<'_>) -> Result<Model> {
        let Grant { txn, session, claim } =
            match wish.grant(&self.db, self.clock.now(), "cancelProcessing", "").await? {
                Granted::Before(session) => return Ok(session),
                Granted::Now(grant) => grant,
            };
        if session.status.is_none_or(Status::is_terminal) {
            return Err(invalid_state("Only a session that is being processed can be cancelled."));
        }
        let (session_id, generation) = (session.id, session.generation);
        queue::withdraw(&txn, &TranscribeSession { session_id, generation }).await?;
        queue::withdraw(&txn, &ExtractNotes { session_id, generation, force: false }).await?;
        let session = self
            .write(&txn, session, |session| {
                session.status = Some(Status::Failed);
                session.generation += 1;
                session.error_message = Some(CANCELLED.to_owned());
            })
            .await?;
        self.fulfil(Grant { txn, session, claim }, wish, "session.cancel_processing").await
    }

    async fn fulfil(&self, grant: Grant, wish: Wish<'_>, action: &'static str) -> Result<Model> {
        let Grant { txn, session, claim } = grant;
        self.witness(&txn, (wish.actor, wish.origin), &session, action).await?;
        if let Some((claim, hash)) = claim {
            idempotency::complete(&txn, &claim, &hash, session.id, self.clock.now()).await?;
        }
        self.commit(txn).await?;
        Ok(session)
    }

    async fn restart(
        &self,
        txn: &DatabaseTransaction,
        session: Model,
        to: Status,
        force: bool,
    ) -> Result<Model> {
        let session = self
            .write(txn, session, |session| {
                session.status = Some(to);
                session.progress = 0;
                session.generation += 1;
                session.error_message = None;
            })
            .await?;
        let (session_id, generation) = (session.id, session.generation);
        if to == Status::Uploading {
            queue::enqueue(txn, &TranscribeSession { session_id, generation }).await?;
        } else {
            queue::enqueue(txn, &ExtractNotes { session_id, generation, force }).await?;
        }
        Ok(session)
    }

    async fn begin(&self, work: Work<'_>, from: Status, to: Status) -> Result<Option<Model>> {
        let txn = database::begin(&self.db).await?;
        let session = find_locked(&txn, work.session_id).await?.filter(|s| s.generation == work.generation);
        work.lease.hold(&txn).await?;
        let session = match session {
            Some(session) if session.status == Some(from) => {
                let begun = self.write(&txn, session, |session| {
                    session.status = Some(to);
                    session.progress = 0;
                });
                Some(begun.await?)
            }
            // An attempt that died came so far. There is news all the same: somebody is at work again.
            Some(session) if session.status == Some(to) => Some(self.write(&txn, session, |_| {}).await?),
            _ => None,
        };
        self.commit(txn).await?;
        Ok(session)
    }

    /// The session, locked, if the job is still ours and the session is where the job left it.
    async fn locked(&self, txn: &DatabaseTransaction, work: Work<'_>, stages: &[Status]) -> Result<Model> {
        let session = find_locked(txn, work.session_id).await?;
        work.lease.hold(txn).await?;
        let expected = session.filter(|session| {
            session.generation == work.generation
                && session.status.is_some_and(|status| stages.contains(&status))
        });
        expected.ok_or(Error::MovedOn)
    }

    /// Writes a locked session as its next version, and the event that tells of it.
    async fn write(
        &self,
        txn: &DatabaseTransaction,
        session: Model,
        change: impl FnOnce(&mut Model),
    ) -> Result<Model> {
        let (from, version, now) = (session.status, session.version, self.clock.now());
        let mut next = session;
        change(&mut next);
        if let (Some(from), Some(to)) = (from, next.status)
            && from != to
        {
            from.may_become(to).map_err(anyhow::Error::new)?;
        }
        next.version = version + 1;
        next.updated_at = now;
        let updated = Entity::update_many()
            .col_expr(Column::Status, Expr::value(next.status))
            .col_expr(Column::Progress, Expr::value(next.progress))
            .col_expr(Column::Version, Expr::value(next.version))
            .col_expr(Column::Generation, Expr::value(next.generation))
            .col_expr(Column::ErrorMessage, Expr::value(next.error_message.clone()))
            .col_expr(Column::ExtractionRunId, Expr::value(next.extraction_run_id))
            .col_expr(Column::RiskScreen, Expr::value(next.risk_screen.clone()))
            .col_expr(Column::TranscriptSha256, Expr::value(next.transcript_sha256.clone()))
            .col_expr(Column::UpdatedAt, Expr::value(now))
            .filter(Column::Id.eq(next.id))
            .filter(Column::Version.eq(version))
            .filter(Column::Status.eq(from))
            .exec(txn)
            .await?;
        if updated.rows_affected != 1 {
            return Err(anyhow::anyhow!("session {} was changed without its lock", next.id).into());
        }
        events::record(txn, &next, now).await?;
        let ended = next.status.filter(|to| Some(*to) != from).and_then(end_of);
        if let Some(event) = ended {
            self.tell(txn, event, &next, "status").await?;
        }
        Ok(next)
    }

    /// Webhooks hear of it, once it is committed.
    async fn tell(
        &self,
        txn: &DatabaseTransaction,
        event: Event,
        session: &Model,
        changed: &'static str,
    ) -> Result<()> {
        webhooks::tell(txn, News::of_session(event, session, &[changed]), self.clock.now()).await
    }

    async fn commit(&self, txn: DatabaseTransaction) -> Result<()> {
        failpoint::reach("step.commit");
        txn.commit().await?;
        failpoint::reach("step.committed");
        self.committed();
        Ok(())
    }

    async fn witness_work(
        &self,
        txn: &DatabaseTransaction,
        work: Work<'_>,
        session: &Model,
        action: &'static str,
    ) -> Result<()> {
        let origin = Origin { request_id: work.lease.id.clone(), ..Origin::default() };
        self.witness(txn, (&Actor::System { job: work.job }, &origin), session, action).await
    }

    async fn witness(
        &self,
        txn: &impl ConnectionTrait,
        (actor, origin): (&Actor, &Origin),
        session: &Model,
        action: &'static str,
    ) -> Result<()> {
        let event = audit::Event {
            action,
            subject_type: "session",
            subject_id: Some(session.id),
            patient_id: Some(session.patient_id),
            changed_fields: vec!["status"],
            refused: false,
        };
        Ok(audit::record(txn, Witness { actor, origin, at: self.clock.now() }, event).await?)
    }
}

/// What webhooks are told at the end of processing.
fn end_of(status: Status) -> Option<Event> {
    match status {
        Status::Processed => Some(Event::SessionProcessed),
        Status::Failed => Some(Event::SessionFailed),
        _ => None,
    }
}

fn recording_removed(at: DateTime<Utc>) -> Error {
    let day = at.date_naive();
    invalid_state(format!(
        "The recording of this session was removed on {day}, for it is not kept longer after a failure. Upload it again, as a \
         new session."
    ))
}

fn spent_on(run: &extraction_run::Model) -> Spent {
    let usage =
        Usage { prompt_tokens: run.prompt_tokens, completion_tokens: run.completion_tokens, audio_ms: None };
    Spent::of(Paid::Notes, (&run.provider, &run.model), usage, run.cost_usd)
}

/// The day of a session, for analytics.
fn change_of(session: &Model) -> Change {
    let Model { patient_id, therapist_id, session_date, .. } = *session;
    Change { patient_id, therapist_id, days: BTreeSet::from([session_date]) }
}

/// The run that notes come from.
#[derive(Debug)]
pub enum NotesRun {
    /// It was made just now.
    Made(Box<extraction_run::ActiveModel>),
    /// It was made before, by the same extractor from the same transcript.
    Known(Uuid),
}

async fn find_locked(txn: &DatabaseTransaction, id: Uuid) -> Result<Option<Model>, DbErr> {
    Entity::find_by_id(id).lock_exclusive().one(txn).await
}
