//! Writes the notes of a session from its transcript.

mod answers;

use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use sea_orm::{ActiveValue::Set, EntityTrait};
use uuid::Uuid;

use self::answers::Stored;
use super::{Handler, JobError};
use crate::ai::{ExtractorKind, Provider};
use crate::app::App;
use crate::costs::Work as Paid;
use crate::entity::extraction_run::{self, Kind};
use crate::entity::session::Model;
use crate::entity::{patient, user};
use crate::error::{Error, Result};
use crate::notes::grounding::Transcript;
use crate::notes::redaction::Redaction;
use crate::notes::{self, Extracted, Reading, RiskScreen};
use crate::queue::jobs::ExtractNotes;
use crate::queue::{Job, Lease};
use crate::sessions::pipeline::{NotesRun, Work};

#[async_trait]
impl Handler for ExtractNotes {
    async fn run(&self, app: &App, lease: &Lease) -> Result<(), JobError> {
        let work = self.work(lease);
        let Some(session) = app.pipeline.begin_extraction(work).await? else { return Ok(()) };
        let transcript = Transcript::new(&app.sessions.transcript(&session).await?);
        let hash = notes::transcript_hash(&transcript);
        let run = match self.known_run(app, &session, &hash).await? {
            Some(id) => NotesRun::Known(id),
            None => NotesRun::Made(Box::new(self.extract(app, work, &session, &transcript).await?)),
        };
        Ok(app.pipeline.finish_extraction(work, run).await?)
    }

    async fn give_up(&self, app: &App, lease: &Lease, message: &str) -> Result<()> {
        app.pipeline.fail(self.work(lease), message).await
    }
}

impl ExtractNotes {
    fn work<'a>(&self, lease: &'a Lease) -> Work<'a> {
        Work { lease, job: Self::KIND, session_id: self.session_id, generation: self.generation }
    }

    /// What the same extractor made of the same transcript before: it is not paid for twice. Of several the one that is
    /// preferred; rules stood in for a model then, and cost nothing: they never keep a model from being asked.
    async fn known_run(&self, app: &App, session: &Model, hash: &str) -> Result<Option<Uuid>> {
        if self.force {
            return Ok(None);
        }
        let runs = app.sessions.extraction_runs(session).await?;
        let counts = |run: &&extraction_run::Model| run.kind == kind_of(app.extractor.kind());
        let same = |provider: &Provider| {
            let mut latest = runs.iter().rev().filter(counts);
            latest.find(|run| run.transcript_sha256 == hash && is_by(run, provider)).map(|run| run.id)
        };
        Ok(app.extractor.providers().iter().find_map(same))
    }

    async fn extract(
        &self,
        app: &App,
        work: Work<'_>,
        session: &Model,
        transcript: &Transcript,
    ) -> Result<extraction_run::ActiveModel, JobError> {
        let hash = notes::transcript_hash(transcript);
        let extractor = app.extractor_for(session.therapist_id).await?;
        let charges = app.providers.charges(Paid::Notes)
            && std::ptr::addr_eq(Arc::as_ptr(&extractor), Arc::as_ptr(&app.extractor));
        let since = if self.force { self.generation } else { 0 };
        let reading = Reading {
            extractor: extractor.as_ref(),
            transcript,
            screen: &screen_of(session, transcript)?,
            redaction: &redaction_for(app, session).await?,
            answers: &Stored {
                app,
                work,
                therapist_id: session.therapist_id,
                charges,
                transcript_sha256: &hash,
                since,
            },
        };
        let started = Instant::now();
        let extracted = notes::extract(reading).await?;
        let work_ms = i64::try_from(started.elapsed().as_millis()).unwrap_or(i64::MAX);
        Ok(run_row(app, session, hash, extracted, work_ms)?)
    }
}

fn is_by(run: &extraction_run::Model, provider: &Provider) -> bool {
    run.provider == provider.name
        && run.model == provider.model
        && run.prompt_version == provider.prompt_version
}

fn kind_of(kind: ExtractorKind) -> Kind {
    match kind {
        ExtractorKind::Model => Kind::Model,
        ExtractorKind::Extractive => Kind::Extractive,
    }
}

fn screen_of(session: &Model, transcript: &Transcript) -> Result<RiskScreen> {
    match &session.risk_screen {
        Some(screen) => Ok(serde_json::from_value(screen.clone()).map_err(anyhow::Error::new)?),
        None => Ok(notes::screen(transcript)),
    }
}

async fn redaction_for(app: &App, session: &Model) -> Result<Redaction> {
    let patient = patient::Entity::find_by_id(session.patient_id).one(&app.db).await?;
    let therapist = user::Entity::find_by_id(session.therapist_id).one(&app.db).await?;
    let (Some(patient), Some(therapist)) = (patient, therapist) else {
        return Err(Error::Internal(anyhow::anyhow!("session {} has lost its people", session.id)));
    };
    Ok(Redaction::default()
        .name("patient", &patient.name)
        .name("therapist", &therapist.full_name)
        .email("patient", patient.email.as_deref())
        .phone("patient", patient.phone.as_deref())
        .email("therapist", Some(&therapist.email)))
}

fn run_row(
    app: &App,
    session: &Model,
    transcript_sha256: String,
    extracted: Extracted,
    work_ms: i64,
) -> Result<extraction_run::ActiveModel> {
    let Extracted { notes, warnings, spent, provider, kind } = extracted;
    let now = app.clock.now();
    Ok(extraction_run::ActiveModel {
        id: Set(Uuid::now_v7()),
        session_id: Set(session.id),
        kind: Set(kind_of(kind)),
        provider: Set(provider.name),
        model: Set(provider.model),
        prompt_version: Set(provider.prompt_version),
        transcript_sha256: Set(transcript_sha256),
        prompt_tokens: Set(spent.usage.prompt_tokens),
        completion_tokens: Set(spent.usage.completion_tokens),
        cost_usd: Set(spent.cost_usd),
        work_ms: Set(work_ms),
        warnings: Set(serde_json::to_value(warnings).map_err(anyhow::Error::new)?),
        notes: Set(serde_json::to_value(notes).map_err(anyhow::Error::new)?),
        created_at: Set(now),
        updated_at: Set(now),
    })
}
