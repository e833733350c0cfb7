//! How a patient fared, as a document: the figures of `patientProgress`, drawn and in tables, and what was agreed.

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, NaiveDate, Utc};
use sea_orm::{ColumnTrait, DatabaseConnection, EntityTrait, FromQueryResult, QueryFilter, QuerySelect};
use uuid::Uuid;

use super::chart::{Chart, Hue, LinePlot, Series, StackedPlot};
use super::document::{Document, Heading, Item, Review, Table, Text, Tone, day};
use super::letterhead::Letterhead;
use super::wording::{
    UNKNOWN, capital, count, days, mood, mood_and_score, percent, trajectory, with_evidence,
};
use crate::ai::Mood;
use crate::analytics::Analytics;
use crate::analytics::progress::{Outcomes, Progress, RecentSession};
use crate::analytics::window::{Days, monday, today};
use crate::entity::extraction_run::{self, Kind};
use crate::error::Result;
use crate::notes::Notes;

/// Topics of the chart.
const TOPICS: i32 = 10;
/// Every step of the mood, lowest first.
const MOODS: [Mood; 5] = [Mood::VeryLow, Mood::Low, Mood::Neutral, Mood::Positive, Mood::VeryPositive];

/// Everything a report is made of.
pub struct Findings {
    /// The figures.
    pub progress: Progress,
    /// What became of the sessions, day by day, from the Monday of the first week on.
    pub outcomes: Vec<Outcomes>,
    /// What the notes of the newest sessions say, by session.
    pub notes: HashMap<Uuid, (Kind, Notes)>,
}

/// Reads the figures, and makes the document: of so many weeks that ended at that moment.
///
/// # Errors
/// Only faults.
pub(super) async fn read(
    db: &DatabaseConnection,
    analytics: &Analytics,
    letterhead: &Letterhead,
    (weeks, until): (i32, DateTime<Utc>),
) -> Result<Document> {
    let patient = letterhead.record.clone();
    let progress = analytics.progress_until(patient, today(until, letterhead.zone), (weeks, TOPICS)).await?;
    let touched = Days { first: monday(progress.days.first), ..progress.days };
    let outcomes = analytics.outcomes(progress.patient.id, touched).await?;
    let notes = notes_of(db, &progress.recent).await?;
    Ok(report(letterhead, &Findings { progress, outcomes, notes }, weeks))
}

/// The notes of these sessions, of those that have any.
async fn notes_of(
    db: &DatabaseConnection,
    sessions: &[RecentSession],
) -> Result<HashMap<Uuid, (Kind, Notes)>> {
    #[derive(FromQueryResult)]
    struct Row {
        session_id: Uuid,
        kind: Kind,
        notes: serde_json::Value,
    }
    let columns =
        [extraction_run::Column::SessionId, extraction_run::Column::Kind, extraction_run::Column::Notes];
    let runs = sessions.iter().filter_map(|session| session.run_id);
    let rows: Vec<Row> = extraction_run::Entity::find()
        .select_only()
        .columns(columns)
        .filter(extraction_run::Column::Id.is_in(runs))
        .into_model()
        .all(db)
        .await?;
    let read = |row: Row| {
        // What serde has to say quotes the value, and would stand in the log.
        let notes = serde_json::from_value(row.notes);
        let notes = notes.map_err(|_| anyhow::anyhow!("stored notes cannot be read"))?;
        Ok((row.session_id, (row.kind, notes)))
    };
    rows.into_iter().map(read).collect()
}

/// The document of these findings.
#[must_use]
pub fn report(letterhead: &Letterhead, findings: &Findings, weeks: i32) -> Document {
    let Findings { progress, notes, .. } = findings;
    let mut document = letterhead.document("Progress report");
    let period = days(progress.days.first, progress.days.last);
    document.subtitle = format!("{}, {}: {period}", letterhead.patient, count(i64::from(weeks), "week"));
    // Without notes there are only figures and what people entered.
    if notes.is_empty() && progress.mood.scores.is_empty() {
        document.review = Review::NotNeeded;
    }
    document.facts([
        ("Patient", letterhead.patient.clone()),
        ("Therapist", letterhead.therapist.clone()),
        ("Period", format!("{period} ({})", count(i64::from(weeks), "week"))),
        ("Date of issue", day(letterhead.issued)),
        ("Time zone", letterhead.zone.to_string()),
    ]);
    attendance(&mut document, findings);
    moods(&mut document, progress);
    topics(&mut document, progress);
    sessions(&mut document, progress);
    agreed(&mut document, findings);
    sources(&mut document, findings);
    document
}

fn attendance(document: &mut Document, findings: &Findings) {
    let Progress { attendance, days, .. } = &findings.progress;
    let within = || findings.outcomes.iter().filter(|outcome| outcome.day >= days.first);
    let sum = |of: fn(&Outcomes) -> i64| within().map(of).sum::<i64>();
    document.heading(Heading::Section, "Attendance");
    let table = Table::new()
        .left("Sessions", 3.0)
        .right("Number", 1.0)
        .row(["Completed".to_owned(), attendance.completed.to_string()])
        .row(["Cancelled".to_owned(), sum(|outcome| outcome.cancelled).to_string()])
        .row(["Not attended (no-show)".to_owned(), sum(|outcome| outcome.no_show).to_string()])
        .row(["Attendance rate".to_owned(), percent(attendance.rate())]);
    document.push(table);
    let weeks = by_week(findings);
    if weeks.iter().all(|(_, [completed, cancelled, no_show])| completed + cancelled + no_show == 0) {
        document.paragraph(Text::new().muted("No session was held, cancelled or missed in this period."));
        return;
    }
    document.push(sessions_chart(&weeks));
}

/// Completed, cancelled and missed sessions of each week, also where there was nothing.
fn by_week(findings: &Findings) -> Vec<(NaiveDate, [i64; 3])> {
    let mut weeks: BTreeMap<NaiveDate, [i64; 3]> =
        findings.progress.weeks.iter().map(|week| (week.week_start, [0; 3])).collect();
    for Outcomes { day, completed, cancelled, no_show } in &findings.outcomes {
        if let Some(counts) = weeks.get_mut(&monday(*day)) {
            for (sum, more) in counts.iter_mut().zip([completed, cancelled, no_show]) {
                *sum += more;
            }
        }
    }
    weeks.into_iter().collect()
}

fn sessions_chart(weeks: &[(NaiveDate, [i64; 3])]) -> Chart {
    let values = |at: usize| weeks.iter().map(|(_, counts)| u32::try_from(counts[at]).unwrap_or(0)).collect();
    let series = [("Completed", Hue::Main), ("Cancelled", Hue::Second), ("Not attended", Hue::Third)];
    let series = series.into_iter().enumerate();
    let series = series.map(|(at, (name, hue))| Series { name: name.into(), values: values(at), hue });
    let [completed, cancelled, no_show] =
        [0, 1, 2].map(|at| weeks.iter().map(|(_, counts)| counts[at]).sum::<i64>());
    let alt = format!(
        "Sessions in each of {} weeks: {completed} completed, {cancelled} cancelled, {no_show} not attended in all.",
        weeks.len()
    );
    let labels = weeks.iter().map(|(week, _)| week.format("%-d %b %y").to_string()).collect();
    Chart::stacked(
        "Sessions per week (weeks from Monday)",
        alt,
        StackedPlot { labels, series: series.collect() },
    )
}

fn moods(document: &mut Document, progress: &Progress) {
    let trend = &progress.mood;
    document.heading(Heading::Section, "Mood");
    let course = match trend.trajectory {
        Some(of) => capital(trajectory(of)),
        None => format!("{} (fewer than two sessions with a known mood)", capital(UNKNOWN)),
    };
    let change = trend.change_percent.map_or_else(
        || UNKNOWN.to_owned(),
        |change| format!("{change:+.0} %, mean of the later half of the period against the earlier half"),
    );
    document.facts([
        ("Latest mood", trend.current.map_or_else(|| UNKNOWN.to_owned(), |of| capital(&mood_and_score(of)))),
        ("Course over the period", course),
        ("Change", change),
        ("Sessions with a known mood", trend.scores.len().to_string()),
    ]);
    if !trend.scores.is_empty() {
        document.push(mood_chart(progress));
    }
}

fn mood_chart(progress: &Progress) -> Chart {
    let scores = &progress.mood.scores;
    let points: Vec<(NaiveDate, Option<f64>)> =
        scores.iter().map(|(day, score)| (*day, Some(f64::from(*score)))).collect();
    let (lowest, highest) =
        scores.iter().fold((5, 1), |(low, high), (_, score)| (low.min(*score), high.max(*score)));
    let alt = format!(
        "Mood scores of {}, between {lowest} and {highest} on a scale of 1 (very low) to 5 (very positive), from {}.",
        count(i64::try_from(scores.len()).unwrap_or(0), "session"),
        scores.first().zip(scores.last()).map_or_else(String::new, |(first, last)| days(first.0, last.0)),
    );
    let ticks = MOODS.map(|step| (f64::from(step.score()), capital(mood(step))));
    let plot = LinePlot {
        range: (1.0, 5.0),
        ticks: ticks.into(),
        trend: points.len() > 1,
        points,
        name: "Mood of the session".into(),
    };
    Chart::line("Mood over time", alt, plot)
}

fn topics(document: &mut Document, progress: &Progress) {
    document.heading(Heading::Section, "Most frequent topics");
    if progress.topics.is_empty() {
        document.paragraph(Text::new().muted("No topics are known of this period."));
        return;
    }
    let bars: Vec<(String, u32)> = progress
        .topics
        .iter()
        .map(|count| (count.topic.clone(), u32::try_from(count.frequency).unwrap_or(0)))
        .collect();
    let alt = bars.iter().map(|(topic, number)| format!("{topic}: {number}")).collect::<Vec<_>>().join("; ");
    document.push(Chart::bars("Sessions that mention a topic", alt, bars));
}

fn sessions(document: &mut Document, progress: &Progress) {
    document.heading(Heading::Section, "Sessions");
    if progress.recent.is_empty() {
        document.paragraph(Text::new().muted("No session was completed in this period."));
        return;
    }
    let shown = progress.recent.len();
    let all = progress.attendance.completed;
    if i64::try_from(shown).is_ok_and(|shown| shown < all) {
        document.paragraph(format!("The newest {shown} of {all} completed sessions, newest first."));
    }
    let mut table =
        Table::new().left("Date", 1.5).left("Mood", 1.9).left("Key topics", 2.2).left("Summary", 4.8);
    for session in &progress.recent {
        table.add([
            session.date.format("%-d %b %Y").to_string(),
            session.mood.map_or_else(|| UNKNOWN.to_owned(), |of| capital(&mood_and_score(of))),
            session.key_topics.join(", "),
            session.summary.clone().unwrap_or_else(|| "No notes.".into()),
        ]);
    }
    document.push(table);
}

/// What was agreed and tried in the newest sessions.
fn agreed(document: &mut Document, findings: &Findings) {
    type Part = fn(&Notes) -> &[crate::notes::Item];
    let parts: [(&str, Part); 2] = [
        ("Action items agreed", |notes| &notes.action_items),
        ("Strategies worked with", |notes| &notes.strategies),
    ];
    for (title, of) in parts {
        document.heading(Heading::Section, title);
        let mut items: Vec<Item> = Vec::new();
        for session in &findings.progress.recent {
            let found = findings.notes.get(&session.session_id).map_or(&[][..], |(_, notes)| of(notes));
            items.extend(found.iter().map(|item| {
                let statement =
                    Text::new().plain(item.text.as_str()).muted(format!(" ({})", day(session.date)));
                with_evidence(statement, &item.text, &item.evidence)
            }));
        }
        if items.is_empty() {
            document.paragraph(Text::new().muted("None found in the notes of the sessions above."));
        } else {
            document.bullets(items);
        }
    }
}

/// What the figures mean, and what they rest on.
fn sources(document: &mut Document, findings: &Findings) {
    document.heading(Heading::Section, "About these figures");
    document.bullets([
        "Attendance rate: completed sessions in relation to those completed, cancelled or not attended.",
        "Mood: the overall tone of each session, 1 (very low) to 5 (very positive), as its notes state it.",
        "Course: a straight line is fitted to the scores by date (least squares). Improving or declining where it rises or \
         falls by half a step or more over the period, fluctuating where the scores lie far from it (standard deviation of \
         more than one step), else stable.",
        "Weeks begin on Monday. The first week is counted whole, also where it begins before the period.",
    ]);
    let by = |kind: Kind| findings.notes.values().filter(|(of, _)| *of == kind).count();
    let (model, rules) = (by(Kind::Model), by(Kind::Extractive));
    if model + rules == 0 {
        return;
    }
    let text = format!(
        "Of the notes of the sessions above {model} were written by a language model and {rules} put together from quotes by \
         rules. Moods, topics, summaries, action items and strategies are taken from such notes, and were not reviewed."
    );
    document.notice(Tone::Info, "Where moods and topics come from", text);
}
