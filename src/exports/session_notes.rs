//! The notes of one or many sessions as a document: everything the therapist sees of them, and what they rest on.

use std::collections::HashMap;

use chrono::{NaiveDate, Timelike};
use sea_orm::{ColumnTrait, DatabaseConnection, EntityTrait, QueryFilter, QueryOrder, QuerySelect};
use uuid::Uuid;

use super::document::{Document, Heading, Item, Text, Tone, day};
use super::letterhead::Letterhead;
use super::wording::{
    capital, count, days, minutes, moment, mood_and_score, risk, severity, source, trajectory, with_evidence,
};
use super::work::{Teller, between, gone, system};
use crate::entity::export_job::Model;
use crate::entity::extraction_run::{self, Kind};
use crate::entity::session::{self, Column};
use crate::error::Result;
use crate::notes::{self, Notes, RiskFlag, RiskScreen};

/// Sessions that are read at a time: of each the notes are in memory twice for a moment.
const BATCH: usize = 25;

/// A session with its notes.
pub struct Noted {
    /// The session.
    pub session: session::Model,
    /// The run that wrote the notes.
    pub run: extraction_run::Model,
    /// The notes.
    pub notes: Notes,
    /// What the screen of the transcript, as it reads now, found.
    pub screen: Option<RiskScreen>,
}

/// What is known of all sessions of a document before the first one is read.
pub struct Outline {
    /// How many there are.
    pub sessions: usize,
    /// The day of the first.
    pub first: NaiveDate,
    /// The day of the last.
    pub last: NaiveDate,
}

/// Reads the sessions of a job, batch by batch, into a document; tells how far it is, up to `percent`.
///
/// # Errors
/// [`Error::User`](crate::error::Error::User) when one of them, or its notes, is not there any more.
pub(super) async fn read(
    db: &DatabaseConnection,
    job: &Model,
    letterhead: &Letterhead,
    teller: &mut Teller<'_>,
    percent: i32,
) -> Result<Document> {
    let order = in_order(db, job).await?;
    let (Some(first), Some(last)) = (order.first(), order.last()) else {
        return Err(gone("What was to be exported"));
    };
    if order.len() < job.session_ids.len() {
        return Err(gone("A session that was to be exported"));
    }
    let outline = Outline { sessions: order.len(), first: first.1, last: last.1 };
    let mut document = begun(letterhead, &outline);
    for (number, batch) in order.chunks(BATCH).enumerate() {
        let ids: Vec<Uuid> = batch.iter().map(|(id, _)| *id).collect();
        for (place, noted) in load(db, &ids).await?.into_iter().enumerate() {
            let number = number * BATCH + place + 1;
            add(&mut document, letterhead, &noted, (number, outline.sessions));
        }
        #[expect(clippy::cast_precision_loss, reason = "500 at most")]
        let share = ((number + 1) * BATCH) as f32 / order.len() as f32;
        teller.tell_sometimes(between(0, percent, share)).await?;
    }
    Ok(document)
}

/// The sessions by their days, and of one day by creation.
async fn in_order(db: &DatabaseConnection, job: &Model) -> Result<Vec<(Uuid, NaiveDate)>> {
    let of_job = session::visible_to(&system())
        .filter(Column::Id.is_in(job.session_ids.iter().copied()))
        .filter(Column::TherapistId.eq(job.therapist_id))
        .filter(Column::PatientId.eq(job.patient_id));
    let columns = of_job.select_only().columns([Column::Id, Column::SessionDate]);
    Ok(columns.order_by_asc(Column::SessionDate).order_by_asc(Column::Id).into_tuple().all(db).await?)
}

async fn load(db: &DatabaseConnection, ids: &[Uuid]) -> Result<Vec<Noted>> {
    let found = session::visible_to(&system()).filter(Column::Id.is_in(ids.iter().copied())).all(db).await?;
    let run_ids: Vec<Uuid> = found.iter().filter_map(|session| session.extraction_run_id).collect();
    let runs =
        extraction_run::Entity::find().filter(extraction_run::Column::Id.is_in(run_ids)).all(db).await?;
    let mut runs: HashMap<Uuid, extraction_run::Model> = runs.into_iter().map(|run| (run.id, run)).collect();
    let mut found: HashMap<Uuid, session::Model> =
        found.into_iter().map(|session| (session.id, session)).collect();
    let noted = |id: &Uuid| {
        let session = found.remove(id).ok_or_else(|| gone("A session that was to be exported"))?;
        let run = session.extraction_run_id.and_then(|id| runs.remove(&id));
        noted(session, run.ok_or_else(|| gone("The notes of a session that was to be exported"))?)
    };
    ids.iter().map(noted).collect()
}

fn noted(mut session: session::Model, mut run: extraction_run::Model) -> Result<Noted> {
    let notes = stored(std::mem::take(&mut run.notes))?;
    let screen = session.risk_screen.take().map(stored).transpose()?;
    Ok(Noted { session, run, notes, screen })
}

/// What serde has to say quotes the value, and would stand in the log.
fn stored<T: serde::de::DeserializeOwned>(value: serde_json::Value) -> Result<T> {
    Ok(serde_json::from_value(value).map_err(|_| anyhow::anyhow!("stored notes cannot be read"))?)
}

/// The document up to its first session.
#[must_use]
pub fn begun(letterhead: &Letterhead, outline: &Outline) -> Document {
    let mut document = letterhead.document("Session notes");
    document.subtitle = format!("{}, {}", letterhead.patient, days(outline.first, outline.last));
    let sessions = i64::try_from(outline.sessions).unwrap_or(i64::MAX);
    document.facts([
        ("Patient", letterhead.patient.clone()),
        ("Therapist", letterhead.therapist.clone()),
        ("Sessions", count(sessions, "session")),
        (if outline.first == outline.last { "Date" } else { "Period" }, days(outline.first, outline.last)),
        ("Date of issue", day(letterhead.issued)),
        ("Time zone", letterhead.zone.to_string()),
    ]);
    document
}

/// Adds a session: which of how many.
pub fn add(document: &mut Document, letterhead: &Letterhead, noted: &Noted, (number, of): (usize, usize)) {
    let Noted { session, run, notes, .. } = noted;
    let date = day(session.session_date);
    let title =
        if of == 1 { format!("Session of {date}") } else { format!("Session {number} of {of}: {date}") };
    document.heading(Heading::Section, title);
    document.facts(facts(letterhead, session, notes));
    cautions(document, noted);
    document.heading(Heading::Part, "Summary");
    document.paragraph(notes.topic_summary.as_str());
    document.heading(Heading::Part, "Key topics");
    list(document, notes.key_topics.iter().map(|topic| Item::from(topic.as_str())).collect());
    document.heading(Heading::Part, "Mood");
    document.paragraph(mood(notes));
    document.heading(Heading::Part, "Strategies");
    list(document, notes.strategies.iter().map(item).collect());
    document.heading(Heading::Part, "Action items");
    list(document, notes.action_items.iter().map(item).collect());
    document.heading(Heading::Part, "Therapist notes");
    for paragraph in notes.therapist_notes.split("\n\n").filter(|text| !text.trim().is_empty()) {
        document.paragraph(paragraph.trim());
    }
    risks(document, noted);
    document.heading(Heading::Part, "How these notes came about");
    document.paragraph(provenance(letterhead, run));
    let warnings: Vec<String> = serde_json::from_value(run.warnings.clone()).unwrap_or_default();
    if !warnings.is_empty() {
        document.bullets(warnings);
    }
}

fn facts(letterhead: &Letterhead, session: &session::Model, notes: &Notes) -> Vec<(&'static str, String)> {
    let start = session.scheduled_start.map(|start| start.with_timezone(&letterhead.zone));
    let start = start.map(|start| format!("{}:{:02} ({})", start.hour(), start.minute(), letterhead.zone));
    let mut facts: Vec<_> = start.map(|start| ("Scheduled start", start)).into_iter().collect();
    facts.push(("Duration", minutes(session.duration_minutes)));
    facts.push(("Mood", capital(&mood_and_score(notes.session_mood))));
    facts
}

/// What a reader must know before reading on.
fn cautions(document: &mut Document, Noted { session, run, .. }: &Noted) {
    if session.transcript_sha256.as_ref().is_some_and(|sha256| *sha256 != run.transcript_sha256) {
        let text = "The transcript was corrected after these notes were written. They do not take the corrections into account.";
        document.notice(Tone::Warning, "Out of date", text);
    }
    if session.recording_is_partial {
        let text =
            "The recording is damaged or was cut off. These notes rest on the part of it that could be read.";
        document.notice(Tone::Warning, "Incomplete recording", text);
    }
}

fn mood(notes: &Notes) -> Text {
    Text::new()
        .plain(format!("{}; ", capital(&mood_and_score(notes.session_mood))))
        .plain(format!("{} in the course of the session.", trajectory(notes.mood_trajectory)))
}

fn item(item: &notes::Item) -> Item {
    with_evidence(item.text.as_str().into(), &item.text, &item.evidence)
}

/// A list, or that it is empty.
fn list(document: &mut Document, items: Vec<Item>) {
    if items.is_empty() {
        document.paragraph(Text::new().muted("None found."));
    } else {
        document.bullets(items);
    }
}

/// The concerns for somebody's safety; and what their absence does not mean.
fn risks(document: &mut Document, noted: &Noted) {
    let Noted { notes, screen, .. } = noted;
    document.heading(Heading::Part, "Risk");
    let since: Vec<&RiskFlag> =
        screen.iter().flat_map(|screen| &screen.flags).filter(|flag| is_new(flag, notes)).collect();
    let items: Vec<Item> = notes.risk_flags.iter().chain(since.iter().copied()).map(flag).collect();
    if !items.is_empty() {
        document.bullets(items);
    }
    if !since.is_empty() {
        let text = Text::new().plain(format!(
            "{} found in the transcript as it was corrected, after these notes were written.",
            if since.len() == 1 {
                "The last of these was".to_owned()
            } else {
                format!("The last {} of these were", since.len())
            }
        ));
        document.paragraph(text);
    }
    document.paragraph(Text::new().muted(screens(notes, notes.risk_flags.is_empty() && since.is_empty())));
}

/// Whether a flag of the present screen is none of the notes'.
fn is_new(flag: &RiskFlag, notes: &Notes) -> bool {
    let same = |other: &RiskFlag| other.kind == flag.kind && other.evidence.quote == flag.evidence.quote;
    !notes.risk_flags.iter().any(same)
}

fn flag(flag: &RiskFlag) -> Item {
    let head = Text::new().bold(risk(flag.kind)).plain(format!(", {}: ", severity(flag.severity)));
    let statement = Text { runs: head.runs.into_iter().chain(Text::from(flag.text.as_str()).runs).collect() };
    with_evidence(statement, &flag.text, &flag.evidence).detail(capital(source(flag.source)))
}

fn screens(notes: &Notes, is_empty: bool) -> String {
    let made = match notes.risk_screens.as_slice() {
        [] => "No screen for risk was made.".to_owned(),
        screens => format!("Screened by: {}.", screens.join(", ")),
    };
    let found = if is_empty { " No concern was raised." } else { "" };
    format!(
        "{made}{found} A screen is no assessment: that it raises nothing does not mean that there is no risk."
    )
}

fn provenance(letterhead: &Letterhead, run: &extraction_run::Model) -> Text {
    let who = [run.provider.as_str(), run.model.as_str()].join(" ");
    let (how, version) = match run.kind {
        Kind::Model => ("Written by a language model", "prompt"),
        Kind::Extractive => ("Put together from quotes by rules, without a language model", "rules"),
    };
    let version = match run.prompt_version.as_str() {
        "" => String::new(),
        of => format!(", {version} {of}"),
    };
    Text::new()
        .plain(format!("{how}: {who}{version}. Made on {}. ", moment(run.created_at, letterhead.zone)))
        .plain("Quotes were looked up in the transcript by code; positions are those in the recording.")
}
