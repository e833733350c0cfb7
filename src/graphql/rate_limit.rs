//! What an asker may still have executed.

use async_graphql::{Context, Object, SimpleObject};
use chrono::{DateTime, Utc};

/// Your budget of root fields, which fills up evenly. What one operation may cost is another matter: every answer tells that
/// in `extensions.cost`.
#[derive(Clone, Copy, Debug, SimpleObject)]
pub struct RateLimit {
    /// Root fields of a full budget.
    pub limit: u32,
    /// Root fields that are left, this operation taken off.
    pub remaining: u32,
    /// When the budget is full again, if nothing more is asked for.
    pub reset_at: DateTime<Utc>,
    /// Root fields of this operation, each alias counted.
    pub cost: u32,
}

#[derive(Default)]
pub(super) struct RateLimitQuery;

#[Object]
impl RateLimitQuery {
    /// What is left of your budget of root fields (RATE_LIMIT_REQUESTS) in the process that answers: of your own, or of your
    /// address where you are not logged in. Null where there is no limit. For everybody.
    async fn rate_limit(&self, ctx: &Context<'_>) -> Option<RateLimit> {
        ctx.data_opt::<RateLimit>().copied()
    }
}
