//! The answers that were paid for on the way to notes, in the database.

use async_trait::async_trait;
use sea_orm::{ActiveValue::Set, ColumnTrait, EntityTrait, QueryFilter};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::ai::{Extraction, ExtractorKind, NoteDraft, Provider, Usage};
use crate::app::App;
use crate::costs::{self, Work as Paid};
use crate::entity::extraction_part::{ActiveModel, Column, Entity, Model};
use crate::error::Result;
use crate::failpoint;
use crate::notes::{Answers, Failure, Spent};
use crate::sessions::pipeline::Work;

/// The answers of one session's extraction.
pub(super) struct Stored<'a> {
    pub(super) app: &'a App,
    pub(super) work: Work<'a>,
    /// Whose budget.
    pub(super) therapist_id: Uuid,
    /// Whether it is used: where it was used up before, somebody reads who charges nothing.
    pub(super) charges: bool,
    pub(super) transcript_sha256: &'a str,
    /// Answers of before this generation do not count: notes that are forced are written anew.
    pub(super) since: i32,
}

/// An answer as stored.
#[derive(Serialize, Deserialize)]
struct Answer {
    draft: Result<NoteDraft, Vec<String>>,
    raw: String,
}

#[async_trait]
impl Answers for Stored<'_> {
    async fn known(&self, request: &str) -> Result<Option<Extraction>> {
        let row = Entity::find()
            .filter(Column::SessionId.eq(self.work.session_id))
            .filter(Column::RequestSha256.eq(request))
            .filter(Column::Generation.gte(self.since))
            .filter(Column::Answer.is_not_null())
            .one(&self.app.db)
            .await?;
        let Some(row) = row else { return Ok(None) };
        let provider = self.app.extractor.providers().into_iter().find(|provider| is_by(&row, provider));
        Ok(provider.map(|provider| extraction(row, provider)).transpose()?)
    }

    async fn allow(&self) -> Result<(), Failure> {
        if self.charges {
            self.app.costs.check(self.therapist_id).await?;
        }
        Ok(self.work.lease.check(&self.app.db).await?)
    }

    async fn keep(&self, request: &str, answer: &Extraction, percent: i32) -> Result<()> {
        failpoint::reach("notes.answered");
        let (row, spent) =
            (self.row(request, answer)?, costs::Spent::now(Paid::Notes, &answer.provider, answer.usage));
        self.app.pipeline.keep_answer(self.work, (row, spent), percent).await
    }

    async fn forget(&self, requests: &[String]) -> Result<()> {
        self.app.pipeline.forget_answers(self.work, requests).await
    }

    async fn spent(&self) -> Result<Spent> {
        let rows =
            Entity::find().filter(Column::SessionId.eq(self.work.session_id)).all(&self.app.db).await?;
        let add = |spent: Spent, row: &Model| spent.and(usage(row), row.cost_usd);
        Ok(rows.iter().fold(Spent::NOTHING, add))
    }
}

impl Stored<'_> {
    fn row(&self, request: &str, answer: &Extraction) -> Result<ActiveModel> {
        let now = self.app.clock.now();
        let Provider { name, model, prompt_version, .. } = answer.provider.clone();
        let stored = Answer { draft: answer.draft.clone(), raw: answer.raw.clone() };
        Ok(ActiveModel {
            id: Set(Uuid::now_v7()),
            session_id: Set(self.work.session_id),
            generation: Set(self.work.generation),
            transcript_sha256: Set(self.transcript_sha256.to_owned()),
            request_sha256: Set(request.to_owned()),
            provider: Set(name),
            model: Set(model),
            prompt_version: Set(prompt_version),
            answer: Set(Some(serde_json::to_value(stored).map_err(anyhow::Error::new)?)),
            prompt_tokens: Set(answer.usage.prompt_tokens),
            completion_tokens: Set(answer.usage.completion_tokens),
            cost_usd: Set(answer.provider.cost_of(answer.usage)),
            created_at: Set(now),
            updated_at: Set(now),
        })
    }
}

fn is_by(row: &Model, provider: &Provider) -> bool {
    row.provider == provider.name
        && row.model == provider.model
        && row.prompt_version == provider.prompt_version
}

fn usage(row: &Model) -> Usage {
    Usage { prompt_tokens: row.prompt_tokens, completion_tokens: row.completion_tokens, audio_ms: None }
}

fn extraction(row: Model, provider: Provider) -> anyhow::Result<Extraction> {
    let usage = usage(&row);
    let Answer { draft, raw } = serde_json::from_value(row.answer.unwrap_or_default())?;
    Ok(Extraction { draft, raw, usage, provider, kind: ExtractorKind::Model })
}
