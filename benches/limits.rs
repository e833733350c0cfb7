//! What the dearest operations cost that the limits let pass: families of them, each as large as passes, over a practice of
//! long transcripts and full notes (120 patients of 100 sessions, a transcript of 90 minutes for those of one patient).
//!
//! Of each: points, time of the answer, processor time of the server, and what it takes in memory beyond what was held
//! before; then time and memory a thousand points, by which the tariff (`src/server/tariff.rs`) is set. It fails where
//! something that passes takes more than a second or 50 MB.
//!
//! `cargo bench --bench limits`

#![expect(
    clippy::format_collect,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a benchmark prints its figures, and may panic"
)]

mod support;

use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sqlx::AssertSqlSafe;
use support::{Program, Therapist};
use therapybridge::app::App;
use therapybridge::clock::SystemClock;
use therapybridge::config::Config;

const PATIENTS: usize = 120;
/// Of each patient.
const SESSIONS: usize = 100;
/// Of a transcript of 90 minutes, twelve words each.
const UTTERANCES: usize = 1_080;
/// Answers of each operation; the median counts for time, the most for memory.
const ANSWERS: usize = 5;
const TIME: Duration = Duration::from_secs(1);
const MEMORY_KIB: u64 = 50 * 1024;

#[tokio::main]
async fn main() {
    let folder = tempfile::Builder::new().prefix("therapybridge-bench-").tempdir().unwrap();
    // When this runs as root, PostgreSQL runs as its own user.
    std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o755)).unwrap();
    let vars = [("DATA_DIR", folder.path().to_str().unwrap()), ("OPENAI_BASE_URL", "http://127.0.0.1:9/v1")];
    let config =
        Config::from_vars(vars.map(|(name, value)| (name.to_owned(), value.to_owned())).into()).unwrap();
    let app = App::start(config, Arc::new(SystemClock)).await.unwrap();
    let program = Program::start(&["serve", "--no-worker"], &vars);
    let jane = Therapist::sign_up(program.address, "jane").await;
    fill(&app).await;
    let watched: String = sqlx::query_scalar(
        "SELECT patient_id::text FROM transcript_segments JOIN sessions
        ON sessions.id = session_id LIMIT 1",
    )
    .fetch_one(app.pool())
    .await
    .unwrap();
    println!(
        "{:<34} {:>6} {:>8} {:>8} {:>8} {:>9} {:>8} | per 1,000 points",
        "", "n", "points", "ms", "cpu ms", "KiB more", "KiB sent"
    );
    let mut beyond = Vec::new();
    for family in families(&watched) {
        beyond.extend(measure(&program, &jane, &family).await);
    }
    app.stop.cancel();
    app.close().await;
    assert!(beyond.is_empty(), "beyond a second or 50 MB: {beyond:?}");
}

/// A practice. Texts are as long as in a full session.
async fn fill(app: &App) {
    let words = |count: usize| "therapy ".repeat(count);
    let evidence = json!({ "quote": words(20), "segmentId": null, "segmentIds": [], "startMs": 1, "endMs": 2, "verdict": "SUPPORTED", "match": "EXACT" });
    let item = json!({ "text": words(15), "evidence": evidence });
    let flag = json!({ "kind": "HOPELESSNESS", "severity": "LOW", "source": "LEXICAL", "text": words(15), "evidence": evidence });
    let notes = json!({ "keyTopics": ["sleep", "work", "rest", "family", "anger"], "topicSummary": words(40),
        "strategies": [item, item, item, item], "actionItems": [item, item, item], "sessionMood": "LOW", "moodScore": 2,
        "moodTrajectory": "STABLE", "therapistNotes": words(180), "patientSummary": words(130),
        "riskFlags": [flag, flag], "riskScreens": ["lexical 1"] });
    let screen = json!({ "version": "1", "flags": [flag, flag] });
    let jane = "(SELECT id FROM users LIMIT 1)";
    for statement in [
        format!("INSERT INTO patients (id, therapist_id, name, email, created_at, updated_at)
            SELECT gen_random_uuid(), {jane}, 'Patient ' || n, 'p' || n || '@example.com', now(), now() FROM generate_series(1, {PATIENTS}) n"),
        format!("INSERT INTO sessions (id, patient_id, therapist_id, attendance, session_date, duration_minutes, status, progress,
                audio_filename, audio_ms, audio_removed_at, risk_screen, created_at, updated_at)
            SELECT gen_random_uuid(), patients.id, therapist_id, 'COMPLETED', current_date - n, 90, 'PROCESSED', 100,
                'session.mp3', 5400000, now(), '{screen}', now(), now()
            FROM patients, generate_series(1, {SESSIONS}) n WHERE name LIKE 'Patient %'"),
        format!("INSERT INTO extraction_runs (id, session_id, kind, provider, model, prompt_version, transcript_sha256, cost_usd,
                work_ms, warnings, notes, created_at, updated_at)
            SELECT gen_random_uuid(), id, 'MODEL', 'bench', 'bench', '1', repeat('0', 64), 0.1, 1, '[]', '{notes}', now(), now()
            FROM sessions"),
        "INSERT INTO costs (id, therapist_id, session_id, work, provider, model, audio_ms, cost_usd, created_at)
            SELECT gen_random_uuid(), therapist_id, id, 'SPEECH', 'bench', 'bench', 5400000, 0.5, now() FROM sessions".to_owned(),
        format!("INSERT INTO transcript_segments (id, session_id, segment_index, start_ms, end_ms, speaker, role, text, created_at, updated_at)
            SELECT gen_random_uuid(), id, n - 1, n * 5000, n * 5000 + 4900, 'voice 1', 'PATIENT', '{}', now(), now()
            FROM (SELECT id FROM sessions WHERE patient_id = (SELECT max(id::text)::uuid FROM patients)) AS sessions, generate_series(1, {UTTERANCES}) n",
            words(12)),
        "INSERT INTO audit_events (id, at, actor_id, actor_role, request_id, action, subject_type, subject_id, outcome, changed_fields)
            SELECT gen_random_uuid(), now(), therapist_id, 'THERAPIST', 'bench', 'session.read_notes', 'session', id, 'OK', '{}' FROM sessions".to_owned(),
        "VACUUM ANALYZE".to_owned(),
    ] {
        sqlx::raw_sql(AssertSqlSafe(statement)).execute(app.pool()).await.unwrap();
    }
}

/// Operations of one kind, larger and larger.
struct Family {
    name: &'static str,
    most: usize,
    query: Box<dyn Fn(usize) -> String>,
}

fn family(name: &'static str, most: usize, query: impl Fn(usize) -> String + 'static) -> Family {
    Family { name, most, query: Box::new(query) }
}

const PLAIN: &str = "id status attendance scheduledStart sessionDate durationMinutes progress version errorMessage audioFilename
    audioRemovedAt recordingIsPartial createdAt updatedAt";
const NOTES: &str = "notes { keyTopics topicSummary sessionMood moodScore moodTrajectory therapistNotes patientSummary riskScreens isStale
    strategies { text evidence { quote segmentId segmentIds startMs endMs verdict match } }
    actionItems { text evidence { quote segmentId segmentIds startMs endMs verdict match } }
    riskFlags { kind severity source text evidence { quote segmentId segmentIds startMs endMs verdict match } }
    run { id kind provider model promptVersion promptTokens completionTokens costUsd durationMs warnings createdAt } }";

/// The same field again and again, under other names.
fn aliases(count: usize, field: &str) -> String {
    (0..count).map(|n| format!("a{n}: {field} ")).collect()
}

/// The same selections again and again: what is selected twice is resolved twice.
fn again(count: usize, on: &str, selections: &str) -> (String, String) {
    // Fragments of 10 in fragments of 10: a short document.
    let (tens, ones) = (count / 10, count % 10);
    let spreads = format!("{}{}", "...ten ".repeat(tens), "...one ".repeat(ones));
    (
        spreads,
        format!(
            "fragment ten on {on} {{ {} }} fragment one on {on} {{ {selections} }}",
            "...one ".repeat(10)
        ),
    )
}

#[expect(clippy::too_many_lines, reason = "a table")]
fn families(watched: &str) -> Vec<Family> {
    let of = |selections: String| {
        move |n: usize| {
            format!("{{ {} }}", aliases(n, &format!("sessions(first: 100) {{ nodes {{ {selections} }} }}")))
        }
    };
    let long = watched.to_owned();
    let of_long = move |selections: &'static str| {
        let patient = long.clone();
        move |n: usize| {
            format!(
                "{{ sessions(first: {n}, filter: {{ patientId: {patient:?} }}) {{ nodes {{ {selections} }} }} }}"
            )
        }
    };
    let long = watched.to_owned();
    let many_long = move |selections: &'static str| {
        let patient = long.clone();
        move |n: usize| {
            format!(
                "{{ {} }}",
                aliases(
                    n,
                    &format!(
                        "sessions(first: 100, filter: {{ patientId: {patient:?} }}) {{ nodes {{ {selections} }} }}"
                    )
                )
            )
        }
    };
    vec![
        family("pages of plain fields", 100, of(PLAIN.to_owned())),
        family("the same fields again and again", 4_000, |n| {
            let (spreads, fragments) = again(n, "Session", "id status createdAt");
            format!("{{ sessions(first: 100) {{ nodes {{ {spreads} }} }} }} {fragments}")
        }),
        family("aliased fields of a hundred rows", 100, |n| {
            format!("{{ sessions(first: 100) {{ nodes {{ {} }} }} }}", aliases(n, "createdAt"))
        }),
        family(
            "patients, treated by",
            100,
            of("patient { id name email phone therapist { id fullName email timezone } }".into()),
        ),
        family("sessions of a hundred patients", 100, |n| {
            format!(
                "{{ patients(first: 100) {{ nodes {{ sessions(first: {n}) {{ nodes {{ {PLAIN} }} }} }} }} }}"
            )
        }),
        family("pages three deep", 100, |n| {
            format!(
                "{{ patients(first: {n}) {{ nodes {{ sessions(first: {n}) {{ nodes {{ patient {{ sessions(first: {n}) {{ nodes {{ id status }} }} }} }} }} }} }} }}"
            )
        }),
        family("edges with cursors", 100, |n| {
            format!(
                "{{ patients(first: 100) {{ edges {{ cursor node {{ sessions(first: {n}) {{ edges {{ cursor node {{ id }} }} pageInfo {{ endCursor }} }} }} }} }} }}"
            )
        }),
        family("counts", 99, |n| format!("{{ {} }}", aliases(n, "sessions(first: 1) { totalCount }"))),
        family("counts of a hundred patients", 99, |n| {
            format!(
                "{{ patients(first: 100) {{ nodes {{ {} }} }} }}",
                aliases(n, "sessions(first: 1) { totalCount }")
            )
        }),
        family("notes of a hundred sessions", 100, of(NOTES.to_owned())),
        family(
            "notes, their texts alone",
            100,
            of("notes { therapistNotes patientSummary topicSummary }".into()),
        ),
        family(
            "risk screens",
            100,
            of("riskScreen { flags { kind severity source text evidence { quote verdict } } }".into()),
        ),
        family("costs", 100, of("cost { usd byProvider { usd provider model } }".into())),
        family("long transcripts as text", 100, of_long("transcriptText")),
        family("long transcripts, pages of text", 100, many_long("transcriptText")),
        family(
            "long transcripts by segment",
            100,
            of_long(
                "transcriptSegments(first: 100) { nodes { id index startMs endMs speaker role text confidence } }",
            ),
        ),
        family(
            "long transcripts, the words alone",
            100,
            many_long("transcriptSegments(first: 100) { nodes { text } }"),
        ),
        family("counts of long transcripts", 100, many_long("transcriptSegments(first: 1) { totalCount }")),
        family("overviews", 100, |n| {
            format!(
                "{{ {} }}",
                aliases(
                    n,
                    "practiceOverview { totalPatients activePatients upcomingSessions completionRate }"
                )
            )
        }),
        family("trends of a year of days", 100, |n| {
            format!(
                "{{ {} }}",
                aliases(
                    n,
                    "sessionTrends(period: Y1) { dataPoints { date sessionsCompleted sessionsCancelled completionRate } }"
                )
            )
        }),
        family("topics of two years", 100, |n| {
            format!(
                "{{ {} }}",
                aliases(n, "commonTopics(limit: 100, weeks: 104) { topics { topic frequency trend } }")
            )
        }),
        family("months of costs", 100, |n| {
            format!("{{ {} }}", aliases(n, "costSummary { usd sessions byProvider { usd } }"))
        }),
        family("the trail", 100, |n| {
            format!(
                "{{ {} }}",
                aliases(
                    n,
                    "auditEvents(first: 100) { totalCount nodes { id at action actorName actor { id fullName } } }"
                )
            )
        }),
        family("the schema", 100, |n| {
            format!(
                "{{ {} }}",
                aliases(
                    n,
                    "__schema { types { name description fields(includeDeprecated: true) { name description type { name kind } args { name description } } } }"
                )
            )
        }),
        family("the schema's types' types", 100, |n| {
            format!(
                "{{ __schema {{ types {{ fields {{ type {{ {} }} }} }} }} }}",
                aliases(n, "fields { name }")
            )
        }),
        family("a long document", 3_000, |n| {
            let (spreads, fragments) = again(n, "Query", "__typename");
            format!("{{ {spreads} }} {fragments}")
        }),
    ]
}

struct Answer {
    cost: Option<u64>,
    refusal: Option<String>,
    bytes: usize,
    took: Duration,
}

async fn ask(jane: &Therapist, query: &str) -> Answer {
    let started = Instant::now();
    let text = jane.post(&json!({ "query": query })).send().await.unwrap().text().await.unwrap();
    let took = started.elapsed();
    let answer: Value = serde_json::from_str(&text).unwrap();
    let error = &answer["errors"][0];
    Answer {
        cost: answer["extensions"]["cost"]["requested"].as_u64(),
        refusal: error["message"].as_str().map(str::to_owned),
        bytes: text.len(),
        took,
    }
}

/// The largest of a family that passes, and whether it takes too much.
async fn measure(program: &Program, jane: &Therapist, family: &Family) -> Option<&'static str> {
    let (mut passes, mut fails) = (0, family.most + 1);
    while passes + 1 < fails {
        let middle = usize::midpoint(passes, fails);
        let answer = ask(jane, &(family.query)(middle)).await;
        match answer.refusal {
            None => passes = middle,
            Some(message) if message.contains("points") || message.contains("more than") => fails = middle,
            Some(message) => panic!("{}: {message}", family.name),
        }
    }
    let query = (family.query)(passes.max(1));
    let mut times = Vec::new();
    let (mut more, mut last, before) = (0, None, program.processor_time());
    for _ in 0..ANSWERS {
        program.forget_peak();
        let (_, held) = program.memory_kib();
        let answer = ask(jane, &query).await;
        let (peak, _) = program.memory_kib();
        more = more.max(peak.saturating_sub(held));
        times.push(answer.took);
        last = Some(answer);
    }
    times.sort_unstable();
    let processor = program.processor_time().saturating_sub(before) / u32::try_from(ANSWERS).unwrap();
    let (took, last) = (times[ANSWERS / 2], last.unwrap());
    let Some(points) = last.cost else {
        println!("{:<34} {passes:>6} nothing of it passes: {:?}", family.name, last.refusal);
        return None;
    };
    let thousands = Duration::from_secs(points).as_secs_f64() / 1000.0;
    println!(
        "{:<34} {passes:>6} {points:>8} {:>8.1} {:>8} {more:>9} {:>8} | {:>6.2} ms {:>6.0} KiB",
        family.name,
        took.as_secs_f64() * 1000.0,
        processor.as_millis(),
        last.bytes / 1024,
        took.as_secs_f64() * 1000.0 / thousands,
        Duration::from_secs(more).as_secs_f64() / thousands,
    );
    (TIME < took || MEMORY_KIB < more).then_some(family.name)
}
