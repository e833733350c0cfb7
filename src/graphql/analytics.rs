//! Figures of the practice.

use async_graphql::{Context, Description, ID, Object, SimpleObject};
use async_stream::try_stream;
use chrono::{DateTime, Utc};
use futures::Stream;
use tokio::time::Instant;

use super::context::{Asker, ContextExt, asker, uuid};
use super::date::Date;
use super::error::{ApiError, ApiResult};
use crate::actor::scope::Scope;
use crate::ai::{Mood, MoodTrajectory};
use crate::analytics::TopicCount;
use crate::analytics::overview::Overview;
use crate::analytics::progress::{MoodTrend, Progress, RecentSession, Week};
use crate::analytics::topics::{Topic, Trend};
use crate::analytics::trends::{Point, Trends};
use crate::analytics::window::{Granularity, Period};
use crate::audit;
use crate::entity::aggregation_run::Status;
use crate::events::{EVERYBODY, Subscription};

/// The practice at a glance. A day, a week and a month are those of the therapist's time zone.
#[derive(Clone, PartialEq, SimpleObject)]
pub(super) struct PracticeOverview {
    /// Patients whose record is not archived.
    total_patients: i64,
    /// Of those, the ones with at least one COMPLETED session in the last 30 days, today included.
    active_patients: i64,
    /// COMPLETED sessions of the present week, Monday to Sunday.
    sessions_this_week: i64,
    /// COMPLETED sessions of the present calendar month.
    sessions_this_month: i64,
    /// SCHEDULED sessions that begin in the future.
    upcoming_sessions: i64,
    /// COMPLETED ÷ (COMPLETED + CANCELLED + NO_SHOW) of the last 30 days, 0 to 1; null when there are none.
    completion_rate: Option<f64>,
}

impl From<Overview> for PracticeOverview {
    fn from(overview: Overview) -> Self {
        Self {
            completion_rate: overview.completion_rate(),
            total_patients: overview.total_patients,
            active_patients: overview.active_patients,
            sessions_this_week: overview.sessions_this_week,
            sessions_this_month: overview.sessions_this_month,
            upcoming_sessions: overview.upcoming_sessions,
        }
    }
}

/// How a patient fared over a number of weeks of 7 days, of which the last ends today.
#[derive(Description)]
pub(super) struct PatientProgress(Progress);

#[Object(use_type_description)]
impl PatientProgress {
    /// Id of the patient's record.
    async fn patient_id(&self) -> ID {
        self.0.patient.id.into()
    }

    /// The patient's name.
    async fn patient_name(&self) -> &str {
        &self.0.patient.name
    }

    /// First day looked at.
    async fn from(&self) -> Date {
        Date(self.0.days.first)
    }

    /// Last day looked at: today.
    async fn to(&self) -> Date {
        Date(self.0.days.last)
    }

    /// COMPLETED sessions.
    async fn total_sessions(&self) -> i64 {
        self.0.attendance.completed
    }

    /// The newest 10 COMPLETED sessions, newest first.
    async fn recent_sessions(&self) -> Vec<ProgressSession> {
        self.0.recent.iter().cloned().map(ProgressSession::from).collect()
    }

    /// Where the mood goes.
    async fn mood_trend(&self) -> ProgressMood {
        self.0.mood.clone().into()
    }

    /// What the sessions were about, the most frequent first.
    async fn common_topics(&self) -> Vec<TopicFrequency> {
        frequencies(&self.0.topics)
    }

    /// COMPLETED ÷ (COMPLETED + CANCELLED + NO_SHOW), 0 to 1; null when there are none.
    async fn attendance_rate(&self) -> Option<f64> {
        self.0.attendance.rate()
    }

    /// A point a week for a chart, oldest first, without gaps: every week, Monday to Sunday, that the days looked at touch. The
    /// first one counts whole, also where it begins before these days.
    async fn data_points(&self) -> Vec<ProgressWeek> {
        self.0.weeks.iter().cloned().map(ProgressWeek::from).collect()
    }
}

/// A session that took place.
#[derive(SimpleObject)]
struct ProgressSession {
    /// Id of the session.
    session_id: ID,
    /// The therapist's day.
    date: Date,
    /// Overall emotional tone; null without notes.
    mood: Option<Mood>,
    /// Main subjects, as the notes have them; empty without notes.
    key_topics: Vec<String>,
    /// The session in 2 or 3 sentences, `topicSummary` of the notes; null without notes.
    progress_notes: Option<String>,
}

impl From<RecentSession> for ProgressSession {
    fn from(session: RecentSession) -> Self {
        Self {
            session_id: session.session_id.into(),
            date: Date(session.date),
            mood: session.mood,
            key_topics: session.key_topics,
            progress_notes: session.summary,
        }
    }
}

/// Where a patient's mood goes over several sessions.
#[derive(SimpleObject)]
#[graphql(name = "MoodTrend")]
struct ProgressMood {
    /// Mood of the latest session of which it is known; null without any.
    current: Option<Mood>,
    /// A line is fitted to the scores by date (least squares). FLUCTUATING where the residuals have a population standard deviation of
    /// more than 1.0; else IMPROVING where the line rises by 0.5 or more from the first to the last of the sessions, DECLINING where
    /// it falls by as much, STABLE otherwise. Null with fewer than 2 scores.
    trajectory: Option<MoodTrajectory>,
    /// By how many percent the mean score of the later half of the days is above that of the earlier half; null where a half has
    /// no score. The day in the middle of an odd number of days belongs to the later half.
    change_percent: Option<f64>,
    /// The score of every session of which the mood is known, oldest first.
    data_points: Vec<MoodPoint>,
}

/// The mood of one session.
#[derive(SimpleObject)]
struct MoodPoint {
    /// The therapist's day.
    date: Date,
    /// 1 (VERY_LOW) to 5 (VERY_POSITIVE).
    mood_score: i32,
}

impl From<MoodTrend> for ProgressMood {
    fn from(mood: MoodTrend) -> Self {
        let MoodTrend { current, trajectory, change_percent, scores } = mood;
        let point = |(date, mood_score)| MoodPoint { date: Date(date), mood_score };
        Self { current, trajectory, change_percent, data_points: scores.into_iter().map(point).collect() }
    }
}

/// A topic, and how often it came up.
#[derive(SimpleObject)]
struct TopicFrequency {
    /// The topic, in lower case: spellings that differ by case or blanks around them are one topic.
    topic: String,
    /// Sessions that mention it.
    frequency: i64,
}

fn frequencies(topics: &[TopicCount]) -> Vec<TopicFrequency> {
    let entry =
        |count: &TopicCount| TopicFrequency { topic: count.topic.clone(), frequency: count.frequency };
    topics.iter().map(entry).collect()
}

/// A week of a patient.
#[derive(SimpleObject)]
struct ProgressWeek {
    /// The week's Monday.
    week_start: Date,
    /// COMPLETED sessions.
    sessions_count: i32,
    /// Mean mood score, 1 to 5; null without any.
    avg_mood_score: Option<f64>,
    /// Where the mood went within the week, as in `moodTrend`; null with fewer than 2 scores.
    mood_trajectory: Option<MoodTrajectory>,
    /// What its sessions were about, the most frequent first; 20 at most.
    common_topics: Vec<TopicFrequency>,
    /// COMPLETED ÷ (COMPLETED + CANCELLED + NO_SHOW), 0 to 1; null when there are none.
    attendance_rate: Option<f64>,
}

impl From<Week> for ProgressWeek {
    fn from(week: Week) -> Self {
        Self {
            week_start: Date(week.week_start),
            sessions_count: week.sessions,
            avg_mood_score: week.average_mood,
            mood_trajectory: week.trajectory,
            common_topics: frequencies(&week.topics),
            attendance_rate: week.attendance_rate,
        }
    }
}

/// Sessions over time.
#[derive(SimpleObject)]
pub(super) struct SessionTrends {
    /// What was asked for.
    period: Period,
    /// What was asked for.
    granularity: Granularity,
    /// First day of the period.
    from: Date,
    /// Last day of the period: today.
    to: Date,
    /// A point a day, week or month, oldest first, without gaps.
    data_points: Vec<TrendPoint>,
    /// The whole period.
    summary: TrendSummary,
}

/// A day, week or month of a chart.
#[derive(SimpleObject)]
struct TrendPoint {
    /// The day itself, the week's Monday, or the first of the month. That of the first point may lie before the period; sessions
    /// are counted of the period only.
    date: Date,
    /// COMPLETED sessions.
    sessions_completed: i64,
    /// CANCELLED sessions.
    sessions_cancelled: i64,
    /// NO_SHOW sessions.
    sessions_no_show: i64,
    /// Mean length, in minutes, of the COMPLETED sessions of which it is known; null without any.
    avg_session_duration_min: Option<f64>,
    /// COMPLETED ÷ (COMPLETED + CANCELLED + NO_SHOW), 0 to 1; null when there are none.
    completion_rate: Option<f64>,
}

/// A whole period.
#[derive(SimpleObject)]
struct TrendSummary {
    /// COMPLETED sessions.
    total_sessions: i64,
    /// COMPLETED sessions a calendar day of the period.
    avg_per_day: f64,
    /// The day with the most COMPLETED sessions, the earliest of equals; null without any.
    peak_day: Option<Date>,
    /// COMPLETED ÷ (COMPLETED + CANCELLED + NO_SHOW), 0 to 1; null when there are none.
    completion_rate: Option<f64>,
}

impl From<Point> for TrendPoint {
    fn from(point: Point) -> Self {
        Self {
            date: Date(point.date),
            sessions_completed: point.completed,
            sessions_cancelled: point.cancelled,
            sessions_no_show: point.no_show,
            avg_session_duration_min: point.average_minutes(),
            completion_rate: point.completion_rate(),
        }
    }
}

impl SessionTrends {
    fn new(period: Period, granularity: Granularity, trends: Trends) -> Self {
        let summary = TrendSummary {
            total_sessions: trends.total.completed,
            avg_per_day: trends.average_per_day(),
            peak_day: trends.peak_day.map(Date),
            completion_rate: trends.total.completion_rate(),
        };
        let Trends { days, points, .. } = trends;
        let data_points = points.into_iter().map(TrendPoint::from).collect();
        Self { period, granularity, from: Date(days.first), to: Date(days.last), data_points, summary }
    }
}

/// What the sessions of a practice are about.
#[derive(SimpleObject)]
pub(super) struct CommonTopics {
    /// The number of weeks of 7 days looked at, of which the last ends today.
    time_period_weeks: i32,
    /// The most frequent first; of equally frequent ones by name.
    topics: Vec<CommonTopic>,
}

/// A topic of a practice.
#[derive(SimpleObject)]
struct CommonTopic {
    /// The topic, in lower case: spellings that differ by case or blanks around them are one topic.
    topic: String,
    /// Sessions that mention it.
    frequency: i64,
    /// Different patients whose sessions mention it.
    patients_affected: i64,
    /// The later half of the days against the earlier half, by sessions that mention it.
    trend: Trend,
}

impl From<Topic> for CommonTopic {
    fn from(topic: Topic) -> Self {
        let trend = topic.trend();
        Self { topic: topic.label, frequency: topic.frequency, patients_affected: topic.patients, trend }
    }
}

#[derive(Default)]
pub(super) struct AnalyticsQuery;

#[Object]
impl AnalyticsQuery {
    /// Your practice at a glance. Follow it with `practiceOverviewUpdated`. For therapists.
    async fn practice_overview(&self, ctx: &Context<'_>) -> ApiResult<PracticeOverview> {
        Ok(ctx.app().analytics.overview(ctx.actor()).await?.into())
    }

    /// How a patient fared in the last weeks; null for one that is not yours. For the patient's therapist. Audited.
    async fn patient_progress(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which patient.")] patient_id: ID,
        #[graphql(desc = "How many weeks of 7 days, ending today: 1 to 104.", default = 12)] weeks: i32,
        #[graphql(desc = "How many common topics at most, 1 to 100.", default = 10)] limit: i32,
    ) -> ApiResult<Option<PatientProgress>> {
        ctx.actor().therapist_or(Scope::AnalyticsRead)?;
        let Some(id) = uuid(&patient_id) else { return Ok(None) };
        let progress = ctx.app().analytics.progress(ctx.actor(), id, (weeks, limit)).await?;
        if progress.is_some() {
            ctx.witness_view(audit::Event {
                action: "patient.read_progress",
                subject_type: "patient",
                subject_id: Some(id),
                patient_id: Some(id),
                ..Default::default()
            })?;
        }
        Ok(progress.map(PatientProgress))
    }

    /// Your sessions over a period that ends today, as points for a chart and in one. For therapists.
    async fn session_trends(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "How far back.", default_with = "Period::D30")] period: Period,
        #[graphql(desc = "How much time a point stands for.", default_with = "Granularity::Day")]
        granularity: Granularity,
    ) -> ApiResult<SessionTrends> {
        let trends = ctx.app().analytics.trends(ctx.actor(), period, granularity).await?;
        Ok(SessionTrends::new(period, granularity, trends))
    }

    /// What your sessions of the last weeks were about, over all patients. For therapists.
    async fn common_topics(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "How many topics at most, 1 to 100.", default = 20)] limit: i32,
        #[graphql(desc = "How many weeks of 7 days, ending today: 1 to 104.", default = 12)] weeks: i32,
    ) -> ApiResult<CommonTopics> {
        let topics = ctx.app().analytics.topics(ctx.actor(), limit, weeks).await?;
        let topics = topics.into_iter().map(CommonTopic::from).collect();
        Ok(CommonTopics { time_period_weeks: weeks, topics })
    }
}

/// What of analytics can be watched.
#[derive(Default)]
pub(super) struct AnalyticsSubscription;

#[async_graphql::Subscription]
impl AnalyticsSubscription {
    /// Your practice at a glance: first as it is, then whenever it is another one, because something happened, an
    /// appointment began or a day. Never ends by itself. For therapists.
    async fn practice_overview_updated(
        &self,
        ctx: &Context<'_>,
    ) -> Result<impl Stream<Item = ApiResult<PracticeOverview>>, ApiError> {
        let asker = asker(ctx).clone();
        let therapist_id = asker.actor().therapist_or(Scope::AnalyticsRead)?;
        let feed = &asker.app().feed;
        let (mut own, mut everybody) = (feed.join(therapist_id), feed.join(EVERYBODY));
        Ok(try_stream! {
            let mut sent = None;
            loop {
                asker.app().auth.still_welcome(asker.actor()).await?;
                let (overview, until) = asker.app().analytics.overview_for_now(asker.actor()).await?;
                let overview = PracticeOverview::from(overview);
                if sent.as_ref() != Some(&overview) {
                    sent = Some(overview.clone());
                    yield overview;
                }
                let news = tokio::select! {
                    news = next_end(&mut own) => news,
                    news = next_end(&mut everybody) => news,
                    () = tokio::time::sleep_until(wait_for(&asker, until)) => Ok(true),
                };
                if !news? {
                    return;
                }
            }
        })
    }
}

/// Waits until a run has ended: before, figures are as they were. False when the server stops.
async fn next_end(runs: &mut Subscription) -> Result<bool, ApiError> {
    while let Some(event) = runs.next().await? {
        if event.status::<Status>()?.is_some_and(Status::is_terminal) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// A moment, on the clock that waiting goes by.
fn wait_for(asker: &Asker, until: DateTime<Utc>) -> Instant {
    Instant::now() + (until - asker.app().clock.now()).to_std().unwrap_or_default()
}
