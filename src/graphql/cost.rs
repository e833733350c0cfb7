//! What providers were paid, the budget, and how the providers fare.

use async_graphql::{Context, Enum, Object, SimpleObject};
use chrono::{DateTime, Utc};

use super::context::ContextExt;
use super::error::ApiResult;
use crate::ai::breaker::{CircuitPhase, CircuitState};
use crate::costs::{self, BudgetState, Line, Month, Summary, Work};
use crate::error::Error;

/// What a session has consumed.
#[derive(SimpleObject)]
#[graphql(name = "SessionCost")]
pub(super) struct Cost {
    /// Audio given to speech recognition, in seconds.
    audio_seconds: f64,
    /// Tokens sent to note extraction.
    prompt_tokens: i64,
    /// Tokens received from note extraction.
    completion_tokens: i64,
    /// Money, in US dollars, by the prices of the day it was spent; what runs on this machine costs nothing.
    usd: f64,
    /// Results whose price nobody knows, because a provider that charges did not count; they are not in `usd`.
    unpriced: i64,
    /// The same by provider, model and work.
    by_provider: Vec<CostLine>,
}

/// What one provider has consumed with one model.
#[derive(SimpleObject)]
pub(super) struct CostLine {
    /// What it did.
    work: Work,
    /// The provider's name, as the server's configuration has it.
    provider: String,
    /// The model.
    model: String,
    /// Audio listened to, in seconds.
    audio_seconds: f64,
    /// Tokens sent.
    prompt_tokens: i64,
    /// Tokens received.
    completion_tokens: i64,
    /// Money, in US dollars, as far as it is known.
    usd: f64,
}

/// A month's costs, and what is left of the budget.
#[derive(SimpleObject)]
pub(super) struct CostSummary {
    /// The month, `YYYY-MM`, in your time zone.
    month: String,
    /// Money, in US dollars, by the prices of the day it was spent.
    usd: f64,
    /// Audio given to speech recognition, in seconds.
    audio_seconds: f64,
    /// Tokens sent to note extraction.
    prompt_tokens: i64,
    /// Tokens received from note extraction.
    completion_tokens: i64,
    /// Sessions that anything was consumed for.
    sessions: i64,
    /// Results whose price nobody knows, because a provider that charges did not count; they are not in `usd`.
    unpriced: i64,
    /// The same by provider, model and work.
    by_provider: Vec<CostLine>,
    /// What a therapist may spend in a month, in US dollars; null where there is no limit, and for admins.
    budget_usd: Option<f64>,
    /// Share of the budget that is used up: 1 is all of it. Null where there is none.
    budget_used: Option<f64>,
    /// From 80 % there is a warning; at 100 % nothing that costs money is begun. Null where there is no budget.
    budget_state: Option<BudgetState>,
}

/// Whether a provider is asked.
#[derive(Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(name = "CircuitPhase", remote = "CircuitPhase")]
pub(super) enum Phase {
    /// It is.
    Closed,
    /// It has rested; one call tries whether it works again.
    HalfOpen,
    /// It is not, for now.
    Open,
}

/// How a provider fares at one kind of work, in the process that answers.
#[derive(SimpleObject)]
pub(super) struct ProviderCircuit {
    /// The provider's name, as the server's configuration has it.
    provider: String,
    /// What it is asked for.
    work: Work,
    /// Whether it is asked.
    phase: Phase,
    /// Since when.
    since: DateTime<Utc>,
    /// Why it is not asked; null where it is.
    reason: Option<String>,
    /// When it may be asked again; null where it may be now.
    until: Option<DateTime<Utc>>,
}

impl From<Vec<Line>> for Cost {
    fn from(lines: Vec<Line>) -> Self {
        Self {
            audio_seconds: audio_seconds(&lines),
            prompt_tokens: lines.iter().map(|line| line.prompt_tokens).sum(),
            completion_tokens: lines.iter().map(|line| line.completion_tokens).sum(),
            usd: lines.iter().map(|line| line.usd).sum(),
            unpriced: lines.iter().map(|line| line.unpriced).sum(),
            by_provider: lines.into_iter().map(CostLine::from).collect(),
        }
    }
}

impl From<Line> for CostLine {
    fn from(line: Line) -> Self {
        Self {
            audio_seconds: audio_seconds(std::slice::from_ref(&line)),
            work: line.work,
            provider: line.provider,
            model: line.model,
            prompt_tokens: line.prompt_tokens,
            completion_tokens: line.completion_tokens,
            usd: line.usd,
        }
    }
}

impl From<Summary> for CostSummary {
    fn from(summary: Summary) -> Self {
        let budget_used = summary.budget_usd.map(|budget| summary.usd() / budget);
        let Summary { month, lines, sessions, budget_usd } = summary;
        let Cost { audio_seconds, prompt_tokens, completion_tokens, usd, unpriced, by_provider } =
            lines.into();
        Self {
            month: month.to_string(),
            usd,
            audio_seconds,
            prompt_tokens,
            completion_tokens,
            sessions,
            unpriced,
            by_provider,
            budget_usd,
            budget_used,
            budget_state: budget_used.map(costs::state),
        }
    }
}

impl From<CircuitState> for ProviderCircuit {
    fn from(state: CircuitState) -> Self {
        let CircuitState { provider, work, phase, since, reason, until } = state;
        Self { provider, work, phase: phase.into(), since, reason, until }
    }
}

#[expect(clippy::cast_precision_loss, reason = "recordings have far fewer than 2^52 milliseconds")]
fn audio_seconds(lines: &[Line]) -> f64 {
    lines.iter().map(|line| line.audio_ms).sum::<i64>() as f64 / 1000.0
}

#[derive(Default)]
pub(super) struct CostQuery;

#[Object]
impl CostQuery {
    /// What recognition and extraction have cost in a month, and what is left of the budget. For therapists, their own;
    /// for admins, the sum of all.
    async fn cost_summary(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The month, `YYYY-MM`; the present one, in your time zone, if missing.")]
        month: Option<String>,
    ) -> ApiResult<CostSummary> {
        let month = month.map(|month| month.parse::<Month>()).transpose();
        let month = month.map_err(|error| Error::BadRequest(error.to_string()))?;
        Ok(ctx.app().costs.summary(ctx.actor(), month).await?.into())
    }

    /// How the AI providers fare in the process that answers, in the order they are asked: one that keeps failing, has no
    /// quota left or refuses the key is left alone for a while, and the next one is asked. For admins.
    async fn provider_circuits(&self, ctx: &Context<'_>) -> ApiResult<Vec<ProviderCircuit>> {
        ctx.actor().admin_id()?;
        let (providers, works) = (&ctx.app().providers, [Work::Speech, Work::Notes]);
        Ok(works.into_iter().flat_map(|work| providers.states(work)).map(ProviderCircuit::from).collect())
    }
}
