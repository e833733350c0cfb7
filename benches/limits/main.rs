//! What the dearest operations cost that the limits let pass, over a practice of long transcripts and full notes (120 patients of 100
//! sessions, a transcript of 90 minutes for those of one patient).
//!
//! Candidates are made of the schema as the server tells it: every way through its pages, with everything that can be selected
//! at its end, grown until the limits say no ([`candidates`]). Each is asked once. The slowest, and those that took the most
//! memory, are then asked again, each of a server that has just begun, so that it finds no memory that others left. It fails where
//! something that passes takes more than a second or 50 MB.
//!
//! `cargo bench --bench limits [-- some words of a name]`

#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a benchmark prints its figures, and may panic"
)]

mod candidates;
mod rest;
mod schema;
#[path = "../support/mod.rs"]
mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use candidates::Candidate;
use schema::Schema;
use serde_json::{Value, json};
use sqlx::AssertSqlSafe;
use support::practice::Practice;
use support::{Program, Therapist};
use therapybridge::config::Config;
use therapybridge::database::Database;
use uuid::Uuid;

/// Answers of each of those that are asked again; the median counts for time, the first for memory.
const ANSWERS: usize = 5;
/// How many are asked again: the slowest, and as many of those that took the most memory.
const DEAREST: usize = 12;
const TIME: Duration = Duration::from_secs(1);
const MEMORY_KIB: u64 = 50_000_000 / 1024;

#[tokio::main]
async fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let folder = support::data_dir();
    let settings = [("DATA_DIR", folder.path().to_str().unwrap())];
    let vars = settings.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let database = Database::open(&Config::from_vars(vars.into()).unwrap().database).await.unwrap();
    let start = || Program::start(&["serve", "--no-worker"], &settings);
    let program = start();
    let askers = Askers::sign_up(&program, &database).await;
    let ids = fill(&database, &askers).await;

    let answer = askers.jane.call(schema::QUERY, json!({})).await;
    let patient = ids["patient.id"].clone();
    let mut all = candidates::generated(&Schema::new(&answer, ids));
    all.extend(candidates::thought_of(&patient));
    all.retain(|candidate| words.iter().all(|word| candidate.name.contains(word.as_str())));
    println!("{} candidates", all.len());
    let mut asked = Vec::new();
    for candidate in &all {
        asked.extend(scan(&program, &askers, candidate).await);
    }
    drop(program);
    let mut beyond = Vec::new();
    for one in dearest(&asked) {
        beyond.extend(measure(&start(), &askers, one).await);
    }
    database.close().await;
    assert!(beyond.is_empty(), "beyond a second or 50 MB: {beyond:?}");
}

/// A therapist whose practice it is, and an admin.
struct Askers {
    jane: Therapist,
    root: Therapist,
}

impl Askers {
    async fn sign_up(program: &Program, database: &Database) -> Self {
        let jane = Therapist::sign_up(program.address, "jane").await;
        let root = Therapist::sign_up(program.address, "root").await;
        run(database, "UPDATE users SET role = 'ADMIN' WHERE email LIKE 'root@%'").await;
        Self { jane, root }
    }

    fn of(&self, is_admin: bool, program: &Program) -> Therapist {
        let asker = if is_admin { &self.root } else { &self.jane };
        asker.at(program.address)
    }
}

async fn run(database: &Database, statement: &str) {
    let ran = sqlx::raw_sql(AssertSqlSafe(statement.to_owned())).execute(database.pool()).await;
    ran.unwrap_or_else(|error| panic!("{error}: {statement:.200}"));
}

/// Fills the practice; what single things can be asked for by.
async fn fill(database: &Database, askers: &Askers) -> BTreeMap<String, String> {
    let viewer = askers.jane.call("{ viewer { id } }", json!({})).await;
    let jane: Uuid = viewer["viewer"]["id"].as_str().unwrap().parse().unwrap();
    Practice { patients: 120, sessions: 100, utterances: 1_080, events: 2 }
        .write(database.pool(), jane)
        .await;
    let webhook = "createWebhook(input: { url: \"https://example.com/hook\", events: [EXPORT_READY] }) { userErrors { code } }";
    askers.jane.call(&format!("mutation {{ {} }}", candidates::aliases(20, webhook)), json!({})).await;
    for statement in rest::statements(jane) {
        run(database, &statement).await;
    }
    let query = "SELECT session_id, patient_id FROM transcript_segments JOIN sessions ON sessions.id = session_id LIMIT 1";
    let (session, patient): (Uuid, Uuid) = sqlx::query_as(query).fetch_one(database.pool()).await.unwrap();
    [
        ("session.id", session),
        ("patient.id", patient),
        ("patientProgress.patientId", patient),
        ("user.id", jane),
    ]
    .map(|(name, id)| (name.to_owned(), id.to_string()))
    .into()
}

struct Answer {
    cost: Option<u64>,
    errors: Value,
    bytes: usize,
    took: Duration,
}

impl Answer {
    fn code(&self) -> Option<&str> {
        self.errors[0]["extensions"]["code"].as_str()
    }
}

async fn ask(asker: &Therapist, query: &str) -> Answer {
    let started = Instant::now();
    let text = asker.post(&json!({ "query": query })).send().await.unwrap().text().await.unwrap();
    let took = started.elapsed();
    let mut answer: Value = serde_json::from_str(&text).unwrap();
    let cost = answer["extensions"]["cost"]["requested"].as_u64();
    Answer { cost, errors: answer["errors"].take(), bytes: text.len(), took }
}

/// Whether the limits let it pass. It is not executed: it asks for a field that there is none of, too.
async fn passes(asker: &Therapist, query: &str) -> bool {
    let start = query.find('{').unwrap() + 1;
    let answer = ask(asker, &format!("{} zzz {}", &query[..start], &query[start..])).await;
    match answer.code() {
        Some("LIMIT_EXCEEDED") => false,
        Some("VALIDATION_FAILED") => true,
        _ => panic!("{}: {query:.300}", answer.errors),
    }
}

/// The largest that passes.
async fn largest(asker: &Therapist, candidate: &Candidate) -> Option<String> {
    let (mut passing, mut failing) = (0, candidate.most + 1);
    while passing + 1 < failing {
        let middle = usize::midpoint(passing, failing);
        if passes(asker, &(candidate.query)(middle)).await {
            passing = middle;
        } else {
            failing = middle;
        }
    }
    (passing > 0).then(|| (candidate.query)(passing))
}

struct Asked<'a> {
    name: &'a str,
    query: String,
    is_admin: bool,
    took: Duration,
    memory: u64,
}

/// Asks for the largest of a candidate once; as an admin where it is not for therapists.
async fn scan<'a>(program: &Program, askers: &Askers, candidate: &'a Candidate) -> Option<Asked<'a>> {
    let Some(query) = largest(&askers.jane, candidate).await else {
        println!("{}: nothing of it passes", candidate.name);
        return None;
    };
    for is_admin in [false, true] {
        program.forget_peak();
        let (_, held) = program.memory_kib();
        let answer = ask(&askers.of(is_admin, program), &query).await;
        match answer.code() {
            None => {
                let memory = program.memory_kib().0.saturating_sub(held);
                return Some(Asked { name: &candidate.name, query, is_admin, took: answer.took, memory });
            }
            Some("FORBIDDEN") if !is_admin => {}
            _ => println!("{}: {:.300}", candidate.name, answer.errors[0].to_string()),
        }
    }
    None
}

fn dearest<'a>(asked: &'a [Asked<'a>]) -> impl Iterator<Item = &'a Asked<'a>> {
    let first = |key: &dyn Fn(&Asked<'a>) -> u128| {
        let mut order: Vec<usize> = (0..asked.len()).collect();
        order.sort_by_key(|at| std::cmp::Reverse(key(&asked[*at])));
        order.truncate(DEAREST);
        order
    };
    let slowest = first(&|one| one.took.as_micros());
    let largest = first(&|one| one.memory.into());
    slowest.into_iter().chain(largest).collect::<BTreeSet<_>>().into_iter().map(|at| &asked[at])
}

/// Asks a server that has just begun, again and again; the name where it takes too much.
async fn measure<'a>(program: &Program, askers: &Askers, one: &Asked<'a>) -> Option<&'a str> {
    let asker = askers.of(one.is_admin, program);
    // What a server holds once it has answered anything is not this one's.
    ask(&asker, "{ viewer { id } sessions(first: 1) { nodes { id patient { id } } } }").await;
    program.forget_peak();
    let (_, held) = program.memory_kib();
    let first = ask(&asker, &one.query).await;
    let memory = program.memory_kib().0.saturating_sub(held);
    let (before, mut times) = (program.processor_time(), vec![first.took]);
    for _ in 1..ANSWERS {
        times.push(ask(&asker, &one.query).await.took);
    }
    let processor = program.processor_time().saturating_sub(before) / u32::try_from(ANSWERS - 1).unwrap();
    times.sort_unstable();
    let took = times[ANSWERS / 2];
    println!(
        "{:<90} {:>6} points {:>5} ms {:>5} ms of the processor {:>6.1} MiB more {:>6} KiB sent",
        one.name,
        first.cost.unwrap_or_default(),
        took.as_millis(),
        processor.as_millis(),
        Duration::from_secs(memory).as_secs_f64() / 1024.0,
        first.bytes / 1024
    );
    (TIME < took || MEMORY_KIB < memory).then_some(one.name)
}
