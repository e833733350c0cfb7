//! What sessions are about.

use async_graphql::Enum;
use sea_orm::FromQueryResult;

use super::window::Days;
use super::{Analytics, checked_limit, checked_weeks, sql};
use crate::actor::Actor;
use crate::error::Result;

/// Whether a topic comes up more often than before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(name = "TopicTrend")]
pub enum Trend {
    /// In the later half of the window in at least 1.2 times as many sessions as in the earlier half; or only there.
    Increasing,
    /// In at most 0.8 times as many.
    Decreasing,
    /// Neither.
    Stable,
}

impl Trend {
    /// By the sessions of both halves. Whole numbers: what lies on a threshold lies on it.
    #[must_use]
    pub fn of(earlier: i64, later: i64) -> Self {
        if later * 10 >= earlier * 12 && later > 0 {
            Self::Increasing
        } else if later * 10 <= earlier * 8 {
            Self::Decreasing
        } else {
            Self::Stable
        }
    }
}

/// A topic of the practice.
#[derive(Clone, Debug, PartialEq, Eq, FromQueryResult)]
pub struct Topic {
    /// The topic, in lower case.
    pub label: String,
    /// Sessions that mention it.
    pub frequency: i64,
    /// Different patients in these.
    pub patients: i64,
    /// Of these sessions, those of the later half of the window.
    later: i64,
}

impl Topic {
    /// Whether it comes up more often than before.
    #[must_use]
    pub fn trend(&self) -> Trend {
        Trend::of(self.frequency - self.later, self.later)
    }
}

/// The one statement of the topics: ranges of one index, which holds all that is needed.
pub const QUERY: &str =
    "SELECT min(label) AS label, count(*) AS frequency, count(DISTINCT patient_id) AS patients,
        count(*) FILTER (WHERE session_date >= $4) AS later
    FROM session_topics WHERE therapist_id = $1 AND session_date BETWEEN $2 AND $3
    GROUP BY topic ORDER BY frequency DESC, min(label) COLLATE \"C\" LIMIT $5";

impl Analytics {
    /// What the therapist's sessions of the last weeks were about, the most frequent first.
    ///
    /// # Errors
    /// [`Error::Forbidden`](crate::error::Error::Forbidden) for others than therapists;
    /// [`Error::BadRequest`](crate::error::Error::BadRequest) for a `limit` that is not 1 to 100, or `weeks` not 1 to 104.
    pub async fn topics(&self, actor: &Actor, limit: i32, weeks: i32) -> Result<Vec<Topic>> {
        let asking = self.asking(actor)?;
        let (limit, weeks) = (checked_limit(limit)?, checked_weeks(weeks)?);
        let days = Days::ending(asking.today, weeks * 7);
        let values = [
            asking.therapist_id.into(),
            days.first.into(),
            days.last.into(),
            days.middle().into(),
            i64::from(limit).into(),
        ];
        Ok(Topic::find_by_statement(sql(QUERY, values)).all(&self.db).await?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fifth_more_or_less_is_a_trend() {
        assert_eq!(Trend::of(10, 12), Trend::Increasing);
        assert_eq!(Trend::of(10, 11), Trend::Stable);
        assert_eq!(Trend::of(10, 9), Trend::Stable);
        assert_eq!(Trend::of(10, 8), Trend::Decreasing);
    }

    #[test]
    fn what_is_new_increases_and_what_is_gone_decreases() {
        assert_eq!(Trend::of(0, 1), Trend::Increasing);
        assert_eq!(Trend::of(1, 0), Trend::Decreasing);
    }
}
