//! What providers were paid, and the monthly budget that holds it in.
//!
//! A cost is written with the result it was paid for, in the same transaction and by the prices of that moment: a price
//! list that changes later leaves it alone. Months are those of the therapist's time zone.

mod month;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use async_graphql::Enum;
use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use sea_orm::{
    ActiveValue::Set, ConnectionTrait, DatabaseBackend, DatabaseConnection, DbErr, EntityTrait,
    FromQueryResult, Statement,
};
use uuid::Uuid;

pub use self::month::Month;
use crate::actor::Actor;
use crate::ai::{Provider, Usage};
use crate::clock::Clock;
pub use crate::entity::cost::Work;
use crate::entity::user::Role;
use crate::entity::{cost, session, user};
use crate::error::{Code, Error, Result, UserError};

/// Share of the budget from which there is a warning.
const WARNING: f64 = 0.8;

/// What one stored result cost.
#[derive(Clone, Debug)]
pub struct Spent {
    work: Work,
    provider: String,
    model: String,
    usage: Usage,
    cost_usd: Option<f64>,
}

impl Spent {
    /// What a provider charges now for what it has just done.
    #[must_use]
    pub fn now(work: Work, provider: &Provider, usage: Usage) -> Self {
        Self::of(work, (&provider.name, &provider.model), usage, provider.cost_of(usage))
    }

    /// What is known to have been paid.
    #[must_use]
    pub fn of(work: Work, (provider, model): (&str, &str), usage: Usage, cost_usd: Option<f64>) -> Self {
        Self { work, provider: provider.to_owned(), model: model.to_owned(), usage, cost_usd }
    }
}

/// Writes a cost down, in the transaction that stores what was paid for.
///
/// # Errors
/// When the database does not take it.
pub async fn record(
    txn: &impl ConnectionTrait,
    session: &session::Model,
    spent: Spent,
    now: DateTime<Utc>,
) -> Result<(), DbErr> {
    let Spent { work, provider, model, usage, cost_usd } = spent;
    let row = cost::ActiveModel {
        id: Set(Uuid::now_v7()),
        therapist_id: Set(session.therapist_id),
        session_id: Set(session.id),
        work: Set(work),
        provider: Set(provider),
        model: Set(model),
        audio_ms: Set(usage.audio_ms),
        prompt_tokens: Set(usage.prompt_tokens),
        completion_tokens: Set(usage.completion_tokens),
        cost_usd: Set(cost_usd),
        created_at: Set(now),
    };
    cost::Entity::insert(row).exec_without_returning(txn).await?;
    Ok(())
}

/// What one provider was paid for one kind of work.
#[derive(Clone, Debug, PartialEq, FromQueryResult)]
pub struct Line {
    /// What it did.
    pub work: Work,
    /// Who.
    pub provider: String,
    /// With which model.
    pub model: String,
    /// Audio listened to.
    pub audio_ms: i64,
    /// Tokens sent.
    pub prompt_tokens: i64,
    /// Tokens received.
    pub completion_tokens: i64,
    /// Money, as far as it is known.
    pub usd: f64,
    /// Results of which nobody knows what they cost.
    pub unpriced: i64,
}

/// How much of the budget is used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
pub enum BudgetState {
    /// Less than 80 %, or there is no budget.
    Ok,
    /// 80 % or more.
    Warning,
    /// All of it: nothing that costs money is begun until the month or the budget changes.
    Exceeded,
}

/// A month's costs.
#[derive(Clone, Debug)]
pub struct Summary {
    /// Which month.
    pub month: Month,
    /// By provider, model and work.
    pub lines: Vec<Line>,
    /// How many sessions anything was paid for.
    pub sessions: i64,
    /// The budget of a therapist; `None` where there is none.
    pub budget_usd: Option<f64>,
}

impl Summary {
    /// Money, as far as it is known.
    #[must_use]
    pub fn usd(&self) -> f64 {
        self.lines.iter().map(|line| line.usd).sum()
    }
}

/// Work that somebody does who charges nothing, and which no budget stops.
#[derive(Clone, Copy, Debug, Default)]
pub struct Free {
    /// Speech recognition.
    pub speech: bool,
    /// Note extraction.
    pub notes: bool,
}

impl Free {
    fn is(self, work: Work) -> bool {
        match work {
            Work::Speech => self.speech,
            Work::Notes => self.notes,
        }
    }
}

/// The ledger, and the budget.
#[derive(Clone)]
pub struct Costs {
    db: DatabaseConnection,
    clock: Arc<dyn Clock>,
    budget_usd: Option<f64>,
    free: Free,
    /// Who was warned of which month, by this process.
    warned: Arc<Mutex<HashMap<Uuid, Month>>>,
}

impl Costs {
    /// Costs in this database, held to a budget of each therapist.
    #[must_use]
    pub fn new(db: DatabaseConnection, clock: Arc<dyn Clock>, budget_usd: Option<f64>, free: Free) -> Self {
        Self { db, clock, budget_usd, free, warned: Arc::default() }
    }

    /// Whether what costs money may be begun for a therapist: asked before every call that is paid for.
    ///
    /// # Errors
    /// `BUDGET_EXCEEDED`, with a message for the therapist.
    pub async fn check(&self, therapist_id: Uuid) -> Result<()> {
        let Some(budget) = self.budget_usd else { return Ok(()) };
        let (zone, now) = (user::zone(&self.db, therapist_id).await?, self.clock.now());
        let month = Month::of(now, zone);
        let used = self.spent(therapist_id, month, zone).await? / budget;
        match state(used) {
            BudgetState::Ok => Ok(()),
            BudgetState::Warning => {
                self.warn(therapist_id, month);
                Ok(())
            }
            BudgetState::Exceeded => {
                metrics::counter!("budget_refusals_total").increment(1);
                Err(exceeded(budget).into())
            }
        }
    }

    /// Whether these kinds of work may be begun: each of them is free, or the budget has room.
    ///
    /// # Errors
    /// `BUDGET_EXCEEDED`, with a message for the therapist.
    pub async fn admit(&self, therapist_id: Uuid, works: &[Work]) -> Result<()> {
        if works.iter().all(|work| self.free.is(*work)) { Ok(()) } else { self.check(therapist_id).await }
    }

    /// What these sessions have cost so far, every result counted; of those that have cost anything. Whoever asks has been
    /// shown them.
    ///
    /// # Errors
    /// Only faults.
    pub async fn of_sessions(&self, session_ids: &[Uuid]) -> Result<HashMap<Uuid, Vec<Line>>> {
        #[derive(FromQueryResult)]
        struct Of {
            session_id: Uuid,
            #[sea_orm(nested)]
            line: Line,
        }
        let query = lines_by("session_id, ", "session_id = ANY($1)");
        let rows =
            Of::find_by_statement(statement(query, [session_ids.to_vec().into()])).all(&self.db).await?;
        let mut lines: HashMap<Uuid, Vec<Line>> = HashMap::new();
        for Of { session_id, line } in rows {
            lines.entry(session_id).or_default().push(line);
        }
        Ok(lines)
    }

    /// A month's costs, the present one if none is named: a therapist's own, an admin's of everybody.
    ///
    /// # Errors
    /// `FORBIDDEN`.
    pub async fn summary(&self, actor: &Actor, month: Option<Month>) -> Result<Summary> {
        let id = actor.user_id()?;
        let therapist = match actor {
            Actor::User { role: Role::Therapist, .. } => Some(id),
            Actor::User { role: Role::Admin, .. } => None,
            _ => return Err(Error::Forbidden),
        };
        let zone = user::zone(&self.db, id).await?;
        let month = month.unwrap_or_else(|| Month::of(self.clock.now(), zone));
        let (from, to) = month.bounds(zone);
        let whose = "created_at >= $1 AND created_at < $2 AND ($3::uuid IS NULL OR therapist_id = $3)";
        let own = "therapist_id = $3 AND created_at >= $1 AND created_at < $2";
        let filter = if therapist.is_some() { own } else { whose };
        let values = [from.into(), to.into(), therapist.into()];
        let lines =
            Line::find_by_statement(statement(lines_where(filter), values.clone())).all(&self.db).await?;
        let count = format!("SELECT count(DISTINCT session_id) AS sum FROM costs WHERE {filter}");
        let sessions = Sum::<i64>::of(&self.db, statement(count, values)).await?;
        Ok(Summary { month, lines, sessions, budget_usd: self.budget_usd.filter(|_| therapist.is_some()) })
    }

    async fn spent(&self, therapist_id: Uuid, month: Month, zone: Tz) -> Result<f64> {
        let (from, to) = month.bounds(zone);
        let query = "SELECT coalesce(sum(cost_usd), 0)::float8 AS sum FROM costs
                     WHERE therapist_id = $1 AND created_at >= $2 AND created_at < $3";
        let values = [therapist_id.into(), from.into(), to.into()];
        Ok(Sum::<f64>::of(&self.db, statement(query.to_owned(), values)).await?)
    }

    /// Once a month for each therapist, in each process.
    fn warn(&self, therapist_id: Uuid, month: Month) {
        let mut warned = self.warned.lock().unwrap_or_else(PoisonError::into_inner);
        if warned.insert(therapist_id, month) != Some(month) {
            metrics::counter!("budget_warnings_total").increment(1);
            tracing::warn!(therapist = %therapist_id, "four fifths of the monthly budget are used up");
        }
    }
}

/// How a used share of the budget is called.
#[must_use]
pub fn state(used: f64) -> BudgetState {
    match used {
        used if used >= 1.0 => BudgetState::Exceeded,
        used if used >= WARNING => BudgetState::Warning,
        _ => BudgetState::Ok,
    }
}

fn exceeded(budget: f64) -> UserError {
    let message = format!(
        "Your budget of ${budget:.2} for this month is used up. Processing goes on next month, or when your \
         administrator raises the budget; then retry the session."
    );
    UserError::new(Code::BudgetExceeded, message)
}

fn lines_where(filter: &str) -> String {
    lines_by("", filter)
}

/// Lines for each of what `columns` name, with a comma behind.
fn lines_by(columns: &str, filter: &str) -> String {
    format!(
        "SELECT {columns}work, provider, model, coalesce(sum(audio_ms), 0)::bigint AS audio_ms,
                coalesce(sum(prompt_tokens), 0)::bigint AS prompt_tokens,
                coalesce(sum(completion_tokens), 0)::bigint AS completion_tokens,
                coalesce(sum(cost_usd), 0)::float8 AS usd, count(*) FILTER (WHERE cost_usd IS NULL) AS unpriced
         FROM costs WHERE {filter} GROUP BY {columns}work, provider, model ORDER BY work DESC, provider, model"
    )
}

fn statement(query: String, values: impl IntoIterator<Item = sea_orm::Value>) -> Statement {
    Statement::from_sql_and_values(DatabaseBackend::Postgres, query, values)
}

/// The one number of a row.
#[derive(FromQueryResult)]
struct Sum<T: sea_orm::TryGetable> {
    sum: T,
}

impl<T: sea_orm::TryGetable> Sum<T> {
    async fn of(db: &DatabaseConnection, statement: Statement) -> Result<T, DbErr> {
        let row = Self::find_by_statement(statement).one(db).await?;
        Ok(row.ok_or_else(|| DbErr::RecordNotFound("a sum".to_owned()))?.sum)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_a_warning_from_four_fifths_and_a_stop_at_the_whole() {
        use BudgetState::{Exceeded, Ok, Warning};
        let states = [0.0, 0.79, 0.80, 0.99, 1.0, 7.0].map(state);
        assert_eq!(states, [Ok, Ok, Warning, Warning, Exceeded, Exceeded]);
    }
}
