//! What documents say, held against what the API says: to the word.

use std::collections::HashMap;
use std::io::Write;
use std::process::{Command, Stdio};

use sea_orm::EntityTrait;
use serde_json::{Value, json};
use therapybridge::analytics::window::{Days, monday};
use therapybridge::entity::{extraction_run, patient, session};
use therapybridge::exports::letterhead::Letterhead;
use therapybridge::exports::progress_report::{Findings, report};
use therapybridge::exports::session_notes::{Noted, Outline, add, begun};

use super::{export_notes, export_report, fetch, finished, id_of, job, path_of, practice, processed};
use crate::support::TestApp;
use crate::support::client::Client;

/// Notes with everything that notes can hold, in several scripts.
fn rich_notes() -> Value {
    let found = |quote: &str, how: &str, start: i64| {
        json!({ "quote": quote, "segment_id": null, "segment_ids": [], "start_ms": start, "end_ms": start + 4200,
            "verdict": "SUPPORTED", "match": how })
    };
    let nowhere = |quote: &str| {
        json!({ "quote": quote, "segment_id": null, "segment_ids": [], "start_ms": null, "end_ms": null,
            "verdict": "UNSUPPORTED", "match": null })
    };
    let risk = |kind: &str, severity: &str, source: &str, text: &str, evidence: Value| json!({ "kind": kind, "severity": severity, "source": source, "text": text, "evidence": evidence });
    json!({
        "key_topics": ["Schlaf und Träume", "работа", "σχέσεις"],
        "topic_summary": "She spoke of nights without sleep & of <work>. =SUM(A1:A9) was on the whiteboard.",
        "strategies": [
            { "text": "Breathing, four seconds in and six out.", "evidence": found("four seconds in and six seconds out", "FUZZY", 65_000) },
            { "text": "I count to ten.", "evidence": found("I count to ten.", "EXACT", 125_000) },
        ],
        "action_items": [
            { "text": "Writes worries down every evening.", "evidence": found("I WILL write them down", "NORMALISED", 3_725_000) },
            { "text": "Calls her brother.", "evidence": nowhere("I am going to call my brother") },
        ],
        "session_mood": "VERY_LOW",
        "mood_trajectory": "FLUCTUATING",
        "therapist_notes": "The first paragraph says what was said.\n\nThe second one says what was not.",
        "patient_summary": "This is for the patient, and not for the insurer.",
        "risk_flags": [
            risk("SUICIDAL_IDEATION", "HIGH", "LEXICAL", "A phrase of the list was said.", found("I do not want to be here any more", "EXACT", 240_000)),
            risk("HOPELESSNESS", "MODERATE", "MODEL", "She sees no way out.", nowhere("there is no way out")),
        ],
        "risk_screens": ["rules-1", "openai gpt"],
    })
}

/// Puts other notes in the place of a session's.
async fn write_notes(app: &TestApp, session: &str, notes: &Value) {
    let update = "UPDATE extraction_runs SET notes = $2, warnings = '[\"Too few strategies.\"]' WHERE session_id = $1::uuid";
    let updated = sqlx::query(update).bind(session).bind(notes).execute(app.app.pool()).await.unwrap();
    assert_eq!(updated.rows_affected(), 1);
}

/// The words of a PDF in order, without the heads and feet of its pages; and what other readers say of it.
fn words(pdf: &[u8]) -> String {
    assert!(pdf.starts_with(b"%PDF-"));
    let file = tempfile::NamedTempFile::new().unwrap();
    file.as_file().write_all(pdf).unwrap();
    let mut command = Command::new("pdftotext");
    // The part of an A4 page between head and foot.
    command
        .args(["-enc", "UTF-8", "-x", "0", "-y", "66", "-W", "596", "-H", "716"])
        .arg(file.path())
        .arg("-");
    let output = command.stderr(Stdio::piped()).output().expect("pdftotext, of poppler-utils");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Without white space, which a page puts where its lines end, and without signs of direction.
fn dense(text: &str) -> String {
    text.chars()
        .filter(|c| {
            !c.is_whitespace()
                && !matches!(c, '\u{200E}'..='\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
        })
        .collect()
}

struct Page(String);

impl Page {
    fn says(&self, text: &str) {
        assert!(self.0.contains(&dense(text)), "the document does not say {text:?}:\n{}", self.0);
    }

    fn does_not_say(&self, text: &str) {
        assert!(!self.0.contains(&dense(text)), "the document says {text:?}");
    }
}

async fn page(client: &Client, id: &str) -> Page {
    Page(dense(&words(&fetch(client, &path_of(id)).await.bytes().await.unwrap())))
}

fn texts(value: &Value) -> Vec<String> {
    value.as_array().unwrap().iter().map(|text| text.as_str().unwrap().to_owned()).collect()
}

const NOTES: &str = "query ($id: ID!) { session(id: $id) { durationMinutes notes {
    keyTopics topicSummary therapistNotes patientSummary moodScore riskScreens
    strategies { text evidence { quote verdict } } actionItems { text evidence { quote verdict } }
    riskFlags { text evidence { quote verdict } } run { provider model promptVersion warnings } } } }";

#[tokio::test]
async fn a_pdf_of_session_notes_says_everything_that_the_api_says_to_the_therapist() {
    let app = TestApp::new().await;
    let (jane, _, session) = practice(&app).await;
    write_notes(&app, &session, &rich_notes()).await;
    let id = finished(&app, &jane, &session, "PDF").await;
    assert_eq!(job(&jane, &id).await["warnings"], json!([]), "these letters are all there");
    let page = page(&jane, &id).await;
    let told = jane.call(NOTES, json!({ "id": session })).await["session"].clone();
    let notes = &told["notes"];
    for text in [
        "Session notes",
        "Patient",
        "Zoë Müller",
        "Therapist",
        "jane",
        "10 March 2026",
        "Draft, not reviewed",
    ] {
        page.says(text);
    }
    page.says(&format!("Duration {} minute", told["durationMinutes"]));
    page.says(notes["topicSummary"].as_str().unwrap());
    for topic in texts(&notes["keyTopics"]) {
        page.says(&topic);
    }
    for paragraph in notes["therapistNotes"].as_str().unwrap().split("\n\n") {
        page.says(paragraph);
    }
    let mut verdicts = HashMap::new();
    for item in
        ["strategies", "actionItems", "riskFlags"].iter().flat_map(|list| notes[list].as_array().unwrap())
    {
        page.says(item["text"].as_str().unwrap());
        page.says(item["evidence"]["quote"].as_str().unwrap());
        *verdicts.entry(item["evidence"]["verdict"].as_str().unwrap().to_owned()).or_insert(0) += 1;
    }
    let count = |word: &str| page.0.matches(word).count();
    assert_eq!(count("UNSUPPORTED:"), verdicts["UNSUPPORTED"], "nothing is hidden");
    assert_eq!(count("SUPPORTED:") - count("UNSUPPORTED:"), verdicts["SUPPORTED"]);
    for text in [
        "Very low (1 of 5); fluctuating in the course of the session.",
        "found in the transcript to the letter, at 2:05–2:09",
        "found in the transcript, written otherwise, at 1:02:05–1:02:09",
        "found in the transcript, nearly in these words, at 1:05–1:09",
        "these words were not found in the transcript",
        "Suicidal ideation, high severity: A phrase of the list was said.",
        "Raised by the phrase screen of the transcript",
        "Hopelessness, moderate severity: She sees no way out.",
        "Raised by the language model",
        "Screened by: rules-1, openai gpt.",
        "that it raises nothing does not mean that there is no risk",
        "Written by a language model:",
        "Made on 10 March 2026, 09:00 (UTC).",
    ] {
        page.says(text);
    }
    let run = &notes["run"];
    for field in ["provider", "model", "promptVersion"] {
        page.says(run[field].as_str().unwrap());
    }
    for warning in texts(&run["warnings"]) {
        page.says(&warning);
    }
    page.does_not_say(notes["patientSummary"].as_str().unwrap());
    page.does_not_say("Out of date");
}

#[tokio::test]
async fn notes_that_were_not_written_from_the_corrected_transcript_say_so_and_what_it_raises_is_shown() {
    let app = TestApp::new().await;
    let (jane, _, session) = practice(&app).await;
    let segment = "query ($id: ID!) { session(id: $id) { transcriptSegments(first: 1) { nodes { id } } } }";
    let segment =
        jane.call(segment, json!({ "id": session })).await["session"]["transcriptSegments"]["nodes"][0]["id"]
            .clone();
    let correct = "mutation ($input: CorrectSegmentInput!) { correctSegment(input: $input) { userErrors { code message } } }";
    let input = json!({ "segmentId": segment, "text": "I want to kill myself.", "role": "PATIENT" });
    let corrected = jane.call(correct, json!({ "input": input })).await;
    assert_eq!(corrected["correctSegment"]["userErrors"], json!([]), "{corrected}");
    let id = finished(&app, &jane, &session, "PDF").await;
    let page = page(&jane, &id).await;
    page.says("Out of date");
    page.says("The transcript was corrected after these notes were written.");
    page.says("Suicidal ideation, high severity:");
    page.says("I want to kill myself.");
    page.says("found in the transcript as it was corrected, after these notes were written");
    page.does_not_say("No concern was raised.");
}

#[tokio::test]
async fn many_sessions_stand_in_the_order_of_their_days() {
    let app = TestApp::new().await;
    let (jane, patient, first) = practice(&app).await;
    let second = processed(&app, &jane, &patient).await;
    let third = processed(&app, &jane, &patient).await;
    for (session, date) in [(&first, "2026-03-09"), (&second, "2026-02-20"), (&third, "2026-03-09")] {
        app.run(&format!("UPDATE sessions SET session_date = '{date}' WHERE id = '{session}'")).await;
    }
    let input = json!({ "sessionIds": [third, first, second], "format": "PDF" });
    let id = id_of(&export_notes(&jane, input).await);
    app.run_jobs().await;
    let page = page(&jane, &id).await;
    page.says("3 sessions");
    page.says("20 February 2026 – 9 March 2026");
    let places: Vec<usize> =
        ["Session 1 of 3: 20 February 2026", "Session 2 of 3: 9 March 2026", "Session 3 of 3: 9 March 2026"]
            .iter()
            .map(|heading| {
                page.0.find(&dense(heading)).unwrap_or_else(|| panic!("{heading} is missing:\n{}", page.0))
            })
            .collect();
    assert!(places.is_sorted(), "{places:?}");
}

#[tokio::test]
async fn letters_that_no_font_has_are_named_and_everything_else_is_there() {
    let app = TestApp::new().await;
    let (jane, _, session) = practice(&app).await;
    let mut notes = rich_notes();
    // Of a plane for private use: no font has it.
    notes["topic_summary"] = json!("Shalom שלום, marhaba مرحبا, and \u{F0000} that nobody can draw.");
    write_notes(&app, &session, &notes).await;
    let id = finished(&app, &jane, &session, "PDF").await;
    let warnings = texts(&job(&jane, &id).await["warnings"]);
    assert!(warnings.len() == 1 && warnings[0].contains("U+F0000"), "{warnings:?}");
    let page = page(&jane, &id).await;
    page.says("Shalom");
    page.says("that nobody can draw.");
    page.says("שלום");
    page.says("مرحبا");
}

/// The words of a Word document in order, read as a package of XML.
fn words_of_docx(docx: &[u8]) -> String {
    let mut package = zip::ZipArchive::new(std::io::Cursor::new(docx)).unwrap();
    let mut xml = String::new();
    std::io::Read::read_to_string(&mut package.by_name("word/document.xml").unwrap(), &mut xml).unwrap();
    // What stands between the tags of a run's text.
    let texts = xml.split("<w:t").skip(1).filter(|rest| rest.starts_with('>') || rest.starts_with(' '));
    let texts = texts.filter_map(|rest| rest.split_once('>')?.1.split_once("</w:t>").map(|(text, _)| text));
    let text: String = texts.collect();
    text.replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&quot;", "\"")
        .replace("&apos;", "'")
        .replace("&amp;", "&")
}

#[tokio::test]
async fn a_word_document_says_what_the_pdf_says() {
    let app = TestApp::new().await;
    let (jane, patient, session) = practice(&app).await;
    write_notes(&app, &session, &rich_notes()).await;
    let mut said = Vec::new();
    for format in ["PDF", "DOCX"] {
        let notes = finished(&app, &jane, &session, format).await;
        let input = json!({ "patientId": patient, "weeks": 4, "format": format });
        let report = id_of(&export_report(&jane, input).await);
        app.run_jobs().await;
        let mut words = Vec::new();
        for id in [notes, report] {
            let bytes = fetch(&jane, &path_of(&id)).await.bytes().await.unwrap();
            words.push(if format == "PDF" {
                dense(&self::words(&bytes))
            } else {
                dense(&words_of_docx(&bytes))
            });
        }
        said.push(words);
    }
    let notes = rich_notes();
    let lists =
        ["strategies", "action_items", "risk_flags"].iter().flat_map(|list| notes[list].as_array().unwrap());
    let mut expected: Vec<String> = lists
        .flat_map(|item| {
            [&item["text"], &item["evidence"]["quote"]].map(|text| text.as_str().unwrap().to_owned())
        })
        .collect();
    expected.extend(texts(&notes["key_topics"]));
    expected.push(notes["topic_summary"].as_str().unwrap().to_owned());
    for text in expected {
        for words in [&said[0][0], &said[1][0]] {
            assert!(words.contains(&dense(&text)), "{text} is missing:\n{words}");
        }
    }
    for at in [0, 1] {
        let verdicts = |words: &String| words.matches("UNSUPPORTED:").count();
        assert_eq!(verdicts(&said[0][at]), verdicts(&said[1][at]));
        assert!(verdicts(&said[0][at]) > 0);
    }
    for text in ["Attendance rate100 %", "Calls her brother.", "About these figures", "Draft, not reviewed"] {
        for words in [&said[0][1], &said[1][1]] {
            assert!(words.contains(&dense(text)), "{text} is missing:\n{words}");
        }
    }
}

const PROGRESS: &str = "query ($id: ID!, $weeks: Int!) { patientProgress(patientId: $id, weeks: $weeks) {
    patientName from to totalSessions attendanceRate
    recentSessions { date mood keyTopics progressNotes }
    moodTrend { current trajectory changePercent dataPoints { date moodScore } }
    commonTopics { topic frequency } dataPoints { weekStart sessionsCount } } }";

/// A patient with three sessions that were held, one that was called off and one that was missed, over four weeks.
async fn course(app: &TestApp) -> (Client, String) {
    let (jane, patient, first) = practice(app).await;
    let mut sessions = vec![first];
    for _ in 0..2 {
        sessions.push(processed(app, &jane, &patient).await);
    }
    let move_to =
        "mutation ($input: UpdateSessionInput!) { updateSession(input: $input) { userErrors { code } } }";
    for ((session, date), mood) in sessions
        .iter()
        .zip(["2026-02-12", "2026-02-26", "2026-03-10"])
        .zip(["VERY_LOW", "NEUTRAL", "POSITIVE"])
    {
        let mut notes = rich_notes();
        notes["session_mood"] = json!(mood);
        write_notes(app, session, &notes).await;
        jane.call(
            move_to,
            json!({ "input": { "sessionId": session, "sessionDate": date, "durationMinutes": 50 } }),
        )
        .await;
    }
    let schedule =
        "mutation ($input: ScheduleSessionInput!) { scheduleSession(input: $input) { session { id } } }";
    for (start, outcome) in
        [("2026-02-19T09:00:00Z", "cancelSession"), ("2026-03-05T09:00:00Z", "markNoShow")]
    {
        let input = json!({ "patientId": patient, "scheduledStart": start, "durationMinutes": 50 });
        let id =
            jane.call(schedule, json!({ "input": input })).await["scheduleSession"]["session"]["id"].clone();
        jane.call(
            &format!("mutation ($id: ID!) {{ {outcome}(sessionId: $id) {{ userErrors {{ code }} }} }}"),
            json!({ "id": id }),
        )
        .await;
    }
    let wanted = therapybridge::analytics::runs::Wanted::default();
    app.app.analytics.request(wanted).await.unwrap();
    app.run_jobs().await;
    (jane, patient)
}

#[tokio::test]
async fn a_pdf_of_a_progress_report_has_the_figures_of_the_api() {
    let app = TestApp::new().await;
    let (jane, patient) = course(&app).await;
    let told = jane.call(PROGRESS, json!({ "id": patient, "weeks": 6 })).await["patientProgress"].clone();
    assert_eq!((&told["totalSessions"], &told["attendanceRate"]), (&json!(3), &json!(0.6)), "{told}");
    assert_eq!(told["moodTrend"]["trajectory"], "IMPROVING");
    let id = id_of(&export_report(&jane, json!({ "patientId": patient, "weeks": 6, "format": "PDF" })).await);
    app.run_jobs().await;
    let page = page(&jane, &id).await;
    for text in [
        "Progress report",
        "Zoë Müller",
        "6 weeks",
        "28 January 2026 – 10 March 2026",
        "Completed 3",
        "Cancelled 1",
        "Not attended (no-show) 1",
        "Attendance rate 60 %",
        "Latest mood Positive (4 of 5)",
        "Course over the period Improving",
        "Sessions with a known mood 3",
        "Sessions per week",
        "Mood over time",
        "Sessions that mention a topic",
        "12 February 2026",
        "Action items agreed",
        "Calls her brother.",
        "Strategies worked with",
        "I count to ten.",
        "UNSUPPORTED:",
        "Of the notes of the sessions above 3 were written by a language model and 0 put together",
        "Draft, not reviewed",
    ] {
        page.says(text);
    }
    let change = told["moodTrend"]["changePercent"].as_f64().unwrap();
    page.says(&format!("{change:+.0} %"));
    for topic in told["commonTopics"].as_array().unwrap() {
        page.says(topic["topic"].as_str().unwrap());
    }
    for session in told["recentSessions"].as_array().unwrap() {
        page.says(session["progressNotes"].as_str().unwrap());
    }
}

#[tokio::test]
async fn a_report_of_a_patient_who_never_came_says_that_nothing_is_known() {
    let app = TestApp::new().await;
    let jane = app.therapist("jane").await;
    let patient = jane.patient("Noah").await;
    let id =
        id_of(&export_report(&jane, json!({ "patientId": patient, "weeks": 104, "format": "PDF" })).await);
    app.run_jobs().await;
    let page = page(&jane, &id).await;
    for text in [
        "Completed 0",
        "Attendance rate not known",
        "Latest mood not known",
        "No topics are known of this period.",
        "No session was completed in this period.",
        "No session was held, cancelled or missed in this period.",
    ] {
        page.says(text);
    }
    page.does_not_say("Draft, not reviewed");
    page.does_not_say("NaN");
}

async fn letterhead(app: &TestApp) -> Letterhead {
    let mut record = patient::Entity::find().one(&app.app.db).await.unwrap().unwrap();
    record.id = uuid::Uuid::nil();
    let issued = "2026-03-10".parse().unwrap();
    let zone = chrono_tz::Tz::Europe__Berlin;
    Letterhead { therapist: "Dr. Jane Smith".into(), zone, patient: record.name.clone(), record, issued }
}

#[tokio::test]
async fn the_model_of_session_notes_is_as_it_was_looked_at() {
    let app = TestApp::new().await;
    let (_, _, session) = practice(&app).await;
    write_notes(&app, &session, &rich_notes()).await;
    app.run("UPDATE sessions SET scheduled_start = '2026-03-10T07:30:00Z', recording_is_partial = true")
        .await;
    let letterhead = letterhead(&app).await;
    let session = session::Entity::find().one(&app.app.db).await.unwrap().unwrap();
    let run = extraction_run::Entity::find().one(&app.app.db).await.unwrap().unwrap();
    let notes = serde_json::from_value(run.notes.clone()).unwrap();
    let day = session.session_date;
    let mut document = begun(&letterhead, &Outline { sessions: 2, first: day, last: day });
    add(&mut document, &letterhead, &Noted { session, run, notes, screen: None }, (1, 2));
    insta::assert_json_snapshot!(document);
}

#[tokio::test]
async fn the_model_of_a_progress_report_is_as_it_was_looked_at() {
    let app = TestApp::new().await;
    course(&app).await;
    let letterhead = letterhead(&app).await;
    let record = patient::Entity::find().one(&app.app.db).await.unwrap().unwrap();
    let last = crate::support::today().with_timezone(&letterhead.zone).date_naive();
    let progress = app.app.analytics.progress_until(record, last, (4, 10)).await.unwrap();
    let days = Days { first: monday(progress.days.first), ..progress.days };
    let outcomes = app.app.analytics.outcomes(progress.patient.id, days).await.unwrap();
    let runs = extraction_run::Entity::find().all(&app.app.db).await.unwrap();
    let notes =
        runs.into_iter().map(|run| (run.session_id, (run.kind, serde_json::from_value(run.notes).unwrap())));
    let findings = Findings { progress, outcomes, notes: notes.collect() };
    insta::assert_json_snapshot!(report(&letterhead, &findings, 4));
}
