//! Analytics, held against figures that are worked out from raw rows by plain, slow, obviously right functions.

mod oracle;
mod plan;

use std::collections::BTreeSet;
use std::time::Duration;

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use proptest::test_runner::{Config, TestCaseError, TestRunner};
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use therapybridge::analytics::runs::{Change, Wanted, request_refresh};
use therapybridge::analytics::timetable::Scheduled;
use therapybridge::clock::Clock;
use therapybridge::database;
use therapybridge::worker;
use uuid::Uuid;

use self::oracle::same;
use self::plan::{Attendance, Notes, Patient, Plan, Session};
use crate::support::client::Client;
use crate::support::provider::{Behaviour, Endpoint};
use crate::support::socket::{News, Watch};
use crate::support::{PASSWORD, TestApp, recording, variables};

pub(crate) const OVERVIEW: &str =
    "{ practiceOverview { totalPatients activePatients sessionsThisWeek sessionsThisMonth
    upcomingSessions completionRate } }";
const PROGRESS: &str = "query ($id: ID!, $weeks: Int!, $limit: Int!) {
    patientProgress(patientId: $id, weeks: $weeks, limit: $limit) {
        patientId patientName from to totalSessions attendanceRate
        recentSessions { sessionId date mood keyTopics progressNotes }
        moodTrend { current trajectory changePercent dataPoints { date moodScore } }
        commonTopics { topic frequency }
        dataPoints { weekStart sessionsCount avgMoodScore moodTrajectory attendanceRate commonTopics { topic frequency } } } }";
const TRENDS: &str = "query ($period: TrendPeriod!, $granularity: TrendGranularity!) {
    sessionTrends(period: $period, granularity: $granularity) {
        period granularity from to
        dataPoints { date sessionsCompleted sessionsCancelled sessionsNoShow avgSessionDurationMin completionRate }
        summary { totalSessions avgPerDay peakDay completionRate } } }";
const TOPICS: &str = "query ($limit: Int!, $weeks: Int!) { commonTopics(limit: $limit, weeks: $weeks) {
    timePeriodWeeks topics { topic frequency patientsAffected trend } } }";

/// A therapist in a time zone, logged in at the present time of the clock; and the user's id.
async fn therapist(app: &TestApp, zone: &str) -> (Client, Uuid) {
    let email = format!("{}@example.com", Uuid::now_v7().simple());
    let input = json!({ "email": email, "password": PASSWORD, "fullName": "Dr. Oracle", "role": "THERAPIST",
        "timezone": zone });
    let signed = app.anonymous().sign_up(input).await;
    let id = signed["user"]["id"].as_str().unwrap().parse().unwrap();
    (app.anonymous().with_token(signed["accessToken"].as_str().unwrap()), id)
}

fn set_clock(app: &TestApp, now: DateTime<Utc>) {
    app.clock.advance(now - app.clock.now());
}

/// How the figures come to be right.
#[derive(Clone, Copy, Debug)]
enum Way {
    /// Asked for by hand.
    Manual,
    /// By the nightly and the weekly run.
    Scheduled,
    /// At each change, twice, the newest first, by two workers at once.
    Refresh,
}

async fn work_out(app: &TestApp, way: Way, (therapist_id, plan): (Uuid, &Plan)) {
    match way {
        Way::Manual => {
            let wanted = Wanted { therapist_id: Some(therapist_id), ..Wanted::default() };
            app.app.analytics.request(wanted).await.unwrap();
        }
        Way::Scheduled => {
            for run in [Scheduled::Daily, Scheduled::Weekly] {
                // A due time of its own: one that was asked for before is not asked for again.
                let due = app.clock.now() + TimeDelta::seconds(rand::random_range(0..1_000_000_000));
                app.app.analytics.request_scheduled(run, due).await.unwrap();
            }
        }
        Way::Refresh => {
            for _ in 0..2 {
                for session in plan.sessions.iter().rev() {
                    refresh(app, therapist_id, plan.patients[session.patient].id, &[session.date]).await;
                }
            }
        }
    }
    let (one, other) = tokio::join!(worker::run_until_idle(&app.app), worker::run_until_idle(&app.app));
    assert!(one.is_ok() && other.is_ok());
}

async fn refresh(app: &TestApp, therapist_id: Uuid, patient_id: Uuid, days: &[NaiveDate]) {
    let change = Change { patient_id, therapist_id, days: days.iter().copied().collect() };
    let txn = database::begin(&app.app.db).await.unwrap();
    request_refresh(&txn, change, app.clock.now()).await.unwrap();
    txn.commit().await.unwrap();
}

/// Everything that the four queries say, held against the oracle.
async fn compare(client: &Client, plan: &Plan, (weeks, limit): (i32, i32)) -> Result<(), TestCaseError> {
    let mut answers =
        vec![(client.call(OVERVIEW, json!({})).await["practiceOverview"].clone(), oracle::overview(plan))];
    for period in ["D7", "D30", "D90", "Y1"] {
        for granularity in ["DAY", "WEEK", "MONTH"] {
            let variables = json!({ "period": period, "granularity": granularity });
            let said = client.call(TRENDS, variables).await["sessionTrends"].clone();
            answers.push((said, oracle::trends(plan, period, granularity)));
        }
    }
    let said = client.call(TOPICS, json!({ "limit": limit, "weeks": weeks })).await["commonTopics"].clone();
    answers.push((said, oracle::topics(plan, weeks, limit)));
    for patient in 0..plan.patients.len() {
        let variables = json!({ "id": plan.patients[patient].id, "weeks": weeks, "limit": limit });
        let said = client.call(PROGRESS, variables).await["patientProgress"].clone();
        answers.push((said, oracle::progress(plan, patient, (weeks, limit))));
    }
    for (said, expected) in answers {
        if !same(&said, &expected) {
            return Err(TestCaseError::fail(format!("said     {said}\nexpected {expected}\nof {plan:#?}")));
        }
    }
    Ok(())
}

#[test]
fn every_figure_is_what_raw_rows_come_to_whatever_the_practice_and_however_they_were_worked_out() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let app = runtime.block_on(TestApp::new());
    let mut runner = TestRunner::new(Config { cases: 48, failure_persistence: None, ..Config::default() });
    let ways = [Way::Manual, Way::Scheduled, Way::Refresh];
    let case = std::cell::Cell::new(0);
    let ended = runner.run(&(plan::practice(), 1..=104, 1..=100), |(plan, weeks, limit)| {
        let way = ways[case.replace(case.get() + 1) % ways.len()];
        runtime.block_on(async {
            set_clock(&app, plan.now);
            let (client, id) = therapist(&app, &plan.zone.to_string()).await;
            let mut plan = plan;
            plan.write(&app, id).await;
            work_out(&app, way, (id, &plan)).await;
            compare(&client, &plan, (weeks, limit)).await?;
            // Then things change, and are put right by exactly the days that changed.
            for (patient, days) in plan.change(&app).await {
                refresh(&app, id, patient, &days).await;
            }
            work_out(&app, Way::Refresh, (id, &Plan { sessions: Vec::new(), ..plan.clone() })).await;
            compare(&client, &plan, (weeks, limit)).await
        })
    });
    ended.unwrap();
}

/// A practice in UTC on the tests' day.
fn small(patients: usize, sessions: Vec<Session>) -> Plan {
    let now = crate::support::today();
    let patient = |number| Patient { id: Uuid::now_v7(), name: format!("Patient {number}"), archived: false };
    Plan { zone: chrono_tz::Tz::UTC, now, patients: (0..patients).map(patient).collect(), sessions }
}

fn session(patient: usize, days_ago: i64, attendance: Attendance) -> Session {
    let date = crate::support::today().date_naive() - TimeDelta::days(days_ago);
    Session { id: Uuid::now_v7(), patient, date, start: None, minutes: None, attendance, notes: None }
}

fn with_notes(mut session: Session, mood: usize, topics: &[&str]) -> Session {
    let topics = topics.iter().map(|topic| (*topic).to_owned()).collect();
    let summary = "Improved coping skills".to_owned();
    session.notes = Some(Notes { mood, topics, summary });
    session
}

async fn written(plan: &mut Plan) -> (TestApp, Client, Uuid) {
    let app = TestApp::new().await;
    let (client, id) = therapist(&app, "UTC").await;
    plan.write(&app, id).await;
    work_out(&app, Way::Manual, (id, plan)).await;
    (app, client, id)
}

#[tokio::test]
async fn the_four_answers_have_the_shape_that_was_promised() {
    let mut sessions: Vec<Session> =
        (0..46).map(|n| session(n % 18, i64::try_from(n % 9).unwrap(), Attendance::Completed)).collect();
    sessions.extend((0..4).map(|n| session(n, 3, Attendance::Cancelled)));
    for (n, session) in sessions.iter_mut().enumerate().take(4) {
        let topics = if n % 2 == 0 { vec!["anxiety", "work stress"] } else { vec!["Anxiety "] };
        *session = with_notes(session.clone(), [2, 2, 3, 3][n], &topics);
        session.minutes = Some(50 + i32::try_from(n).unwrap());
        session.patient = 0;
    }
    let mut plan = small(24, sessions);
    plan.sessions.extend((1..=5).map(|hours| Session {
        start: Some(plan.now + TimeDelta::hours(hours)),
        ..session(1, 0, Attendance::Scheduled)
    }));
    let (_app, client, _) = written(&mut plan).await;
    let overview = client.call(OVERVIEW, json!({})).await;
    let variables = json!({ "id": plan.patients[0].id, "weeks": 1, "limit": 10 });
    let progress = client.call(PROGRESS, variables).await;
    let trends = client.call(TRENDS, json!({ "period": "D7", "granularity": "WEEK" })).await;
    let topics = client.call(TOPICS, json!({ "limit": 10, "weeks": 8 })).await;
    insta::assert_json_snapshot!("the_four_answers", json!([overview, progress, trends, topics]), {
        ".**.patientId" => "[id]", ".**.sessionId" => "[id]",
    });
}

#[tokio::test]
async fn arguments_out_of_range_are_an_error_that_names_them() {
    let app = TestApp::new().await;
    let (client, _) = therapist(&app, "UTC").await;
    let patient = client.patient("Maria").await;
    for (weeks, limit, named) in
        [(0, 10, "weeks"), (105, 10, "weeks"), (12, 0, "limit"), (12, 101, "limit"), (-1, 1, "weeks")]
    {
        let progress = json!({ "id": patient, "weeks": weeks, "limit": limit });
        let topics = json!({ "weeks": weeks, "limit": limit });
        for answer in [client.answer(PROGRESS, progress).await, client.answer(TOPICS, topics).await] {
            assert_eq!(answer["errors"][0]["extensions"]["code"], "BAD_REQUEST", "{answer}");
            assert!(answer["errors"][0]["message"].as_str().unwrap().contains(named), "{answer}");
        }
    }
    for (weeks, limit) in [(1, 1), (104, 100)] {
        client.call(PROGRESS, json!({ "id": patient, "weeks": weeks, "limit": limit })).await;
        client.call(TOPICS, json!({ "weeks": weeks, "limit": limit })).await;
    }
}

#[tokio::test]
async fn ten_thousand_topics_are_counted_and_the_first_hundred_told() {
    let topics: Vec<String> = (0..10_000).map(|n| format!("topic {n:05}")).collect();
    let sessions = topics.chunks(50).enumerate().map(|(n, chunk)| {
        let chunk: Vec<&str> = chunk.iter().map(String::as_str).chain(["every session"]).collect();
        with_notes(session(0, i64::try_from(n % 80).unwrap(), Attendance::Completed), 2, &chunk)
    });
    let mut plan = small(1, sessions.collect());
    let (_app, client, _) = written(&mut plan).await;
    compare(&client, &plan, (12, 100)).await.unwrap();
    let said = client.call(TOPICS, json!({ "limit": 100, "weeks": 12 })).await;
    let said = said["commonTopics"]["topics"].as_array().unwrap();
    assert_eq!(
        (said.len(), &said[0]["topic"], &said[0]["frequency"]),
        (100, &json!("every session"), &json!(200))
    );
}

#[tokio::test]
async fn progress_is_audited_as_a_read_of_the_record_and_nobody_elses_is_told_of() {
    let app = TestApp::new().await;
    let (jane, eve) = (app.therapist("jane").await, app.therapist("eve").await);
    let patient = jane.patient("Maria").await;
    let variables = json!({ "id": patient, "weeks": 12, "limit": 10 });
    assert!(eve.call(PROGRESS, variables.clone()).await["patientProgress"].is_null());
    let nobody = json!({ "id": "none of ours", "weeks": 12, "limit": 10 });
    assert!(jane.call(PROGRESS, nobody).await["patientProgress"].is_null());
    let reads = "SELECT count(*) FROM audit_events WHERE action = 'patient.read_progress' AND patient_id = subject_id";
    assert_eq!(app.count(reads).await, 0);
    jane.call(PROGRESS, variables).await;
    assert_eq!(app.count(reads).await, 1);
}

#[tokio::test]
async fn a_processed_session_is_in_all_figures_as_soon_as_its_jobs_are_done() {
    let app = TestApp::new().await;
    let jane = app.therapist("jane").await;
    let patient = jane.patient("Maria").await;
    jane.session(&patient, recording("cbr.mp3")).await;
    app.run_jobs().await;
    let overview = jane.call(OVERVIEW, json!({})).await["practiceOverview"].clone();
    assert_eq!((&overview["activePatients"], &overview["sessionsThisWeek"]), (&json!(1), &json!(1)));
    let progress = jane.call(PROGRESS, json!({ "id": patient, "weeks": 1, "limit": 10 })).await;
    let progress = &progress["patientProgress"];
    assert_eq!(progress["totalSessions"], 1);
    assert!(progress["moodTrend"]["current"].is_string(), "{progress}");
    assert!(!progress["commonTopics"].as_array().unwrap().is_empty());
    let week = progress["dataPoints"].as_array().unwrap().iter().find(|week| week["sessionsCount"] == 1);
    assert!(week.unwrap()["avgMoodScore"].is_number());
    assert_eq!(app.count("SELECT count(*) FROM aggregation_runs WHERE status <> 'COMPLETED'").await, 0);
}

#[tokio::test]
async fn notes_that_are_written_again_count_once_and_as_they_read_now() {
    let app = TestApp::new().await;
    let jane = app.therapist("jane").await;
    let patient = jane.patient("Maria").await;
    let id = jane.session(&patient, recording("cbr.mp3")).await;
    app.run_jobs().await;
    let before = jane.call(TOPICS, json!({ "limit": 100, "weeks": 1 })).await;
    let words = |count: usize| "word ".repeat(count);
    let anew = json!({ "keyTopics": ["Entirely New", "and another", "third one "], "topicSummary": "One. Two.", "strategies": [],
        "actionItems": [], "sessionMood": "LOW", "moodTrajectory": "STABLE", "therapistNotes": words(170),
        "patientSummary": words(120), "riskFlags": [] });
    app.provider.always(Endpoint::Chat, Behaviour::Content(anew.to_string()));
    let again = "mutation ($id: ID!) { extractNotes(sessionId: $id, force: true) { userErrors { code } } }";
    jane.call(again, json!({ "id": id })).await;
    app.run_jobs().await;
    let after = jane.call(TOPICS, json!({ "limit": 100, "weeks": 1 })).await;
    assert_ne!(before, after);
    let after = after["commonTopics"]["topics"].as_array().unwrap();
    assert_eq!(
        after.iter().map(|topic| topic["topic"].as_str().unwrap()).collect::<Vec<_>>(),
        ["and another", "entirely new", "third one"]
    );
    assert_eq!(app.count("SELECT count(*) FROM session_metrics").await, 1);
}

#[tokio::test]
async fn a_dashboard_moves_by_itself_when_a_session_is_processed_and_when_a_patient_comes_or_goes() {
    let app = TestApp::new().await.with_worker();
    let jane = app.therapist("jane").await;
    let mut watch = Watch::start(
        &jane,
        &OVERVIEW.replace("practiceOverview", "practiceOverviewUpdated").replacen('{', "subscription {", 1),
        json!({}),
    )
    .await;
    assert_eq!(watch.value().await["totalPatients"], 0);
    let patient = jane.patient("Maria").await;
    assert_eq!(watch.value().await["totalPatients"], 1);
    jane.session(&patient, recording("cbr.mp3")).await;
    let mut moved = watch.value().await;
    while moved["sessionsThisWeek"] != 1 || moved["activePatients"] != 1 {
        moved = watch.value().await;
    }
    let archive = "mutation ($id: ID!) { archivePatient(patientId: $id) { userErrors { code } } }";
    jane.call(archive, json!({ "id": patient })).await;
    let archived = watch.value().await;
    assert_eq!(
        (&archived["totalPatients"], &archived["activePatients"], &archived["sessionsThisWeek"]),
        (&json!(0), &json!(0), &json!(1))
    );
}

const RUNS: &str =
    "subscription { aggregationUpdated { id kind status progress version from to therapists } }";

#[tokio::test]
async fn runs_are_told_of_from_queued_to_completed_to_their_therapist_and_to_admins() {
    let app = TestApp::new().await;
    let (jane, eve, admin) =
        (app.therapist("jane").await, app.therapist("eve").await, app.admin("root").await);
    let patient = jane.patient("Maria").await;
    let hold = app.provider.hold(Endpoint::Speech);
    let id = jane.session(&patient, recording("cbr.mp3")).await;
    drop(hold);
    let (mut own, mut all) =
        (Watch::start(&jane, RUNS, json!({})).await, Watch::start(&admin, RUNS, json!({})).await);
    for watch in [&mut own, &mut all] {
        let first = watch.value().await;
        assert_eq!(
            (&first["kind"], &first["status"], &first["from"]),
            (&json!("REFRESH"), &json!("QUEUED"), &json!("2026-03-10"))
        );
    }
    let mut foreign = Watch::start(&eve, RUNS, json!({})).await;
    app.run_jobs().await;
    for watch in [&mut own, &mut all] {
        let mut heard = Vec::new();
        while heard.iter().filter(|status| *status == "COMPLETED").count() < 2 {
            heard.push(watch.value().await["status"].as_str().unwrap().to_owned());
        }
        assert_eq!(heard.iter().filter(|status| *status == "RUNNING").count(), 2, "{heard:?}");
    }
    // The first thing the other therapist hears is of a run of her own.
    eve.patient("Noah").await;
    assert_eq!(foreign.value().await["from"], Value::Null);
    let runs = "{ aggregationRuns(first: 100) { totalCount nodes { kind status therapists startedAt finishedAt } } }";
    let (hers, everybodys) = (jane.call(runs, json!({})).await, admin.call(runs, json!({})).await);
    assert_eq!(hers["aggregationRuns"]["totalCount"], 3, "{hers} of {id}");
    assert_eq!(everybodys["aggregationRuns"]["totalCount"], 4);
    assert_eq!(eve.call(runs, json!({})).await["aggregationRuns"]["totalCount"], 1);
}

#[tokio::test]
async fn a_due_time_has_one_run_however_many_processes_ask_for_it() {
    let app = TestApp::new().await;
    let sibling = app.sibling(&[]).await;
    let due = app.clock.now();
    let ask = |app: &TestApp| {
        let analytics = app.app.analytics.clone();
        async move { analytics.request_scheduled(Scheduled::Daily, due).await.unwrap() }
    };
    futures::future::join_all((0..8).flat_map(|_| [ask(&app), ask(&sibling)])).await;
    assert_eq!(app.count("SELECT count(*) FROM aggregation_runs WHERE kind = 'DAILY'").await, 1);
    assert_eq!(app.count("SELECT count(*) FROM apalis.jobs WHERE job_type = 'aggregate'").await, 1);
}

#[tokio::test]
async fn a_worker_that_starts_after_days_asks_for_what_was_due_meanwhile_and_the_figures_are_repaired() {
    let app = TestApp::new().await;
    let (_, id) = therapist(&app, "UTC").await;
    let mut plan =
        small(1, vec![session(0, 40, Attendance::Completed), session(0, 2, Attendance::Cancelled)]);
    // Rows that came by other means: nobody asked for their figures.
    plan.write(&app, id).await;
    let admin = app.admin("root").await;
    let mut watch = Watch::start(&admin, RUNS, json!({})).await;
    let app = app.with_worker();
    let mut completed = BTreeSet::new();
    while completed.len() < 2 {
        let run = watch.value().await;
        if run["status"] == "COMPLETED" {
            completed.insert(run["kind"].as_str().unwrap().to_owned());
        }
    }
    assert_eq!(completed, BTreeSet::from(["DAILY".to_owned(), "WEEKLY".to_owned()]));
    assert_eq!(app.count("SELECT count(*) FROM daily_stats").await, 2);
    assert_eq!(app.count("SELECT count(*) FROM patient_progress").await, 2);
    let due = "SELECT count(*) FROM aggregation_runs WHERE kind = 'DAILY' AND due_at = '2026-03-10T00:00:00Z'
        OR kind = 'WEEKLY' AND due_at = '2026-03-08T01:00:00Z'";
    assert_eq!(app.count(due).await, 2);
}

#[tokio::test]
async fn without_the_scheduler_nothing_is_asked_for() {
    let app = TestApp::with(&[("ENABLE_ANALYTICS_SCHEDULER", "false")]).await.with_worker();
    let jane = app.therapist("jane").await;
    let patient = jane.patient("Maria").await;
    let id = jane.session(&patient, recording("cbr.mp3")).await;
    // When a session has gone all the way, the worker has been there for a while.
    Watch::session(&jane, &id).await.until_end().await;
    assert_eq!(app.count("SELECT count(*) FROM aggregation_runs WHERE kind <> 'REFRESH'").await, 0);
}

#[tokio::test]
async fn a_run_that_broke_off_goes_on_where_it_stopped() {
    let app = TestApp::new().await;
    let mut ids = Vec::new();
    for _ in 0..3 {
        let (_, id) = therapist(&app, "UTC").await;
        small(1, vec![session(0, 1, Attendance::Completed)]).write(&app, id).await;
        ids.push(id);
    }
    let run = app.app.analytics.request(Wanted::default()).await.unwrap();
    // As an attempt leaves it that was killed after the first therapist.
    app.run(&format!(
        "UPDATE aggregation_runs SET status = 'RUNNING', started_at = now(), therapists = 1, done_up_to = '{}' WHERE id = '{}'",
        ids[0], run.id
    ))
    .await;
    app.run_jobs().await;
    let done = "SELECT count(*) FROM aggregation_runs WHERE status = 'COMPLETED' AND kind = 'MANUAL' AND therapists = 3";
    assert_eq!(app.count(done).await, 1);
    assert_eq!(app.count("SELECT count(*) FROM daily_stats").await, 2, "the first one is not done again");
}

#[tokio::test]
async fn a_run_that_cannot_be_done_says_so_and_the_next_one_repairs() {
    let app = TestApp::new().await;
    let (_, id) = therapist(&app, "UTC").await;
    let mut plan = small(1, vec![with_notes(session(0, 1, Attendance::Completed), 2, &["sleep"])]);
    plan.write(&app, id).await;
    app.run("UPDATE extraction_runs SET notes = '{\"no\": \"notes\"}'").await;
    // Whoever comes after waits for nobody.
    let (_, other) = therapist(&app, "UTC").await;
    small(1, vec![session(0, 1, Attendance::Completed)]).write(&app, other).await;
    app.app.analytics.request(Wanted::default()).await.unwrap();
    let until_given_up = async {
        while app.count("SELECT count(*) FROM aggregation_runs WHERE status = 'FAILED'").await == 0 {
            app.run_jobs().await;
        }
    };
    tokio::time::timeout(Duration::from_mins(1), until_given_up).await.expect("it is given up");
    let admin = app.admin("root").await;
    let runs = "{ aggregationRuns { nodes { kind status errorMessage finishedAt } } }";
    let run = admin.call(runs, json!({})).await["aggregationRuns"]["nodes"][0].clone();
    assert_eq!((&run["status"], run["finishedAt"].is_string()), (&json!("FAILED"), true));
    let message = run["errorMessage"].as_str().unwrap();
    assert_eq!(
        app.count(&format!("SELECT count(*) FROM daily_stats WHERE therapist_id = '{other}'")).await,
        1
    );
    assert!(
        !message.is_empty() && !message.contains("notes") && !message.contains("missing field"),
        "{message}"
    );
}

/// Runs `therapybridge aggregate` on the database of `app`: whether it succeeded, and what it said.
async fn aggregate(app: &TestApp, args: &[&str]) -> (bool, String) {
    let url = app.app.config.database.url.as_ref().unwrap().expose_secret().to_owned();
    let vars = variables(&app.provider, &app.app.config.database.data_dir, &[("DATABASE_URL", &url)]).await;
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_therapybridge"));
    command.arg("aggregate").args(args).env_clear().envs(vars).current_dir(&app.app.config.database.data_dir);
    let output = command.output().await.unwrap();
    let text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    (output.status.success(), text)
}

#[tokio::test]
async fn figures_are_worked_out_by_hand_of_some_days_of_one_therapist_or_of_everything() {
    let app = TestApp::new().await;
    let mut ids = Vec::new();
    for _ in 0..2 {
        let (_, id) = therapist(&app, "UTC").await;
        let sessions = vec![session(0, 1, Attendance::Completed), session(0, 40, Attendance::Completed)];
        small(1, sessions).write(&app, id).await;
        ids.push(id);
    }
    let days = "SELECT count(*) FROM daily_stats";
    let (done, said) =
        aggregate(&app, &["--from", "2026-03-01", "--to", "2026-03-10", "--therapist", &ids[0].to_string()])
            .await;
    assert!(done && said.contains("1 therapists, 1 days"), "{said}");
    assert_eq!(app.count(days).await, 1);
    let email: String = sqlx::query_scalar("SELECT email FROM users WHERE id = $1")
        .bind(ids[1])
        .fetch_one(app.app.pool())
        .await
        .unwrap();
    let (done, said) = aggregate(&app, &["--therapist", &email]).await;
    assert!(done && said.contains("1 therapists, 2 days"), "{said}");
    let (done, said) = aggregate(&app, &[]).await;
    assert!(done && said.contains("2 therapists, 4 days with sessions"), "{said}");
    assert_eq!(app.count(days).await, 4);
}

#[tokio::test]
async fn what_cannot_be_worked_out_by_hand_is_refused_in_words() {
    let app = TestApp::new().await;
    for (args, reason) in [
        (["--from", "2026-03-10", "--to", "2026-03-01"], "must not be after"),
        (
            ["--therapist", "nobody@example.com", "--to", "2026-03-01"],
            "there is no therapist nobody@example.com",
        ),
        (["--from", "10.3.2026", "--to", "2026-03-01"], "10.3.2026"),
    ] {
        let (done, said) = aggregate(&app, &args).await;
        assert!(!done && said.contains(reason), "{said}");
    }
    assert_eq!(app.count("SELECT count(*) FROM aggregation_runs").await, 0);
}

#[tokio::test]
async fn whoever_is_logged_out_hears_no_more_of_the_practice() {
    let app = TestApp::new().await;
    let jane = app.therapist("jane").await;
    let mut watch =
        Watch::start(&jane, "subscription { practiceOverviewUpdated { totalPatients } }", json!({})).await;
    watch.value().await;
    jane.call("mutation { logOutEverywhere { userErrors { code } } }", json!({})).await;
    loop {
        match watch.next().await {
            News::Closed(code) => break assert_eq!(code, Some(4403)),
            News::Data(_) => panic!("heard after the end"),
            _ => {}
        }
    }
}

#[tokio::test]
async fn what_becomes_of_appointments_is_in_the_figures_of_their_days_at_once() {
    let app = TestApp::new().await;
    let jane = app.therapist("jane").await;
    let patient = jane.patient("Maria").await;
    let mut ids = Vec::new();
    for start in
        ["2026-03-10T15:00:00Z", "2026-03-10T16:00:00Z", "2026-03-10T17:00:00Z", "2026-03-11T15:00:00Z"]
    {
        let query = "mutation ($input: ScheduleSessionInput!) { scheduleSession(input: $input) { session { id } userErrors { message } } }";
        let input = json!({ "patientId": patient, "scheduledStart": start, "durationMinutes": 50 });
        let made = jane.call(query, json!({ "input": input })).await;
        ids.push(
            made["scheduleSession"]["session"]["id"].as_str().unwrap_or_else(|| panic!("{made}")).to_owned(),
        );
    }
    app.run_jobs().await;
    assert_eq!(jane.call(OVERVIEW, json!({})).await["practiceOverview"]["upcomingSessions"], 4);
    let asked = |field: &str, id: &str| {
        format!("mutation {{ {field}(sessionId: \"{id}\") {{ userErrors {{ message }} }} }}")
    };
    for (field, id) in [("completeSession", &ids[0]), ("cancelSession", &ids[1]), ("markNoShow", &ids[2])] {
        let done = jane.call(&asked(field, id), json!({})).await;
        assert_eq!(done[field]["userErrors"], json!([]));
    }
    app.run_jobs().await;
    let trends = json!({ "period": "D7", "granularity": "DAY" });
    let today = jane.call(TRENDS, trends.clone()).await["sessionTrends"]["dataPoints"][6].clone();
    let expected = json!({ "date": "2026-03-10", "sessionsCompleted": 1, "sessionsCancelled": 1, "sessionsNoShow": 1,
        "avgSessionDurationMin": 50.0, "completionRate": 1.0 / 3.0 });
    assert_eq!(today, expected);
    let overview = jane.call(OVERVIEW, json!({})).await["practiceOverview"].clone();
    assert_eq!((&overview["upcomingSessions"], &overview["sessionsThisWeek"]), (&json!(1), &json!(1)));

    // Another day, and another length: both days are put right.
    let moved =
        "mutation ($input: UpdateSessionInput!) { updateSession(input: $input) { userErrors { message } } }";
    let input = json!({ "sessionId": ids[0], "sessionDate": "2026-03-08", "durationMinutes": 40 });
    assert_eq!(jane.call(moved, json!({ "input": input })).await["updateSession"]["userErrors"], json!([]));
    app.run_jobs().await;
    let points = jane.call(TRENDS, trends).await["sessionTrends"]["dataPoints"].clone();
    assert_eq!((&points[6]["sessionsCompleted"], &points[6]["completionRate"]), (&json!(0), &json!(0.0)));
    assert_eq!(
        (&points[4]["sessionsCompleted"], &points[4]["avgSessionDurationMin"]),
        (&json!(1), &json!(40.0))
    );
    let progress =
        jane.call(PROGRESS, json!({ "id": patient, "weeks": 1, "limit": 10 })).await["patientProgress"]
            .clone();
    let weeks: Vec<_> =
        progress["dataPoints"].as_array().unwrap().iter().map(|week| week["sessionsCount"].clone()).collect();
    assert_eq!(weeks, [json!(1), json!(0)], "Sunday belongs to the week before");
}
