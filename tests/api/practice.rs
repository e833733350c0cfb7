//! The made-up practice: the same every time, rows like all others, and figures that come to what was made up.

use std::collections::BTreeMap;

use chrono_tz::Tz;
use serde_json::{Value, json};
use therapybridge::clock::Clock;
use therapybridge::entity::session::Attendance;
use therapybridge::practice::{self, Plan, Wanted};
use uuid::Uuid;

use crate::support::TestApp;
use crate::support::client::Client;

fn year(app: &TestApp, seed: u64) -> Wanted {
    Wanted { seed, now: app.clock.now(), zone: Tz::Europe__Berlin, weeks: 52, hours: 22, regulars: 2 }
}

async fn therapist(app: &TestApp) -> (Client, Uuid) {
    let input = json!({ "email": "made-up@example.com", "password": crate::support::PASSWORD, "fullName": "Made Up",
        "role": "THERAPIST", "timezone": "Europe/Berlin" });
    let signed = app.anonymous().sign_up(input).await;
    let id = signed["user"]["id"].as_str().unwrap().parse().unwrap();
    (app.anonymous().with_token(signed["accessToken"].as_str().unwrap()), id)
}

fn count(plan: &Plan, attendance: Attendance) -> usize {
    plan.sessions.iter().filter(|session| session.attendance == attendance).count()
}

#[tokio::test]
async fn a_seed_makes_one_practice_and_another_seed_another() {
    let app = TestApp::new().await;
    assert_eq!(year(&app, 1).plan(), year(&app, 1).plan());
    assert_ne!(year(&app, 1).plan(), year(&app, 2).plan());
}

#[tokio::test]
async fn a_year_has_everything_that_a_practice_meets_with() {
    let app = TestApp::new().await;
    for seed in 0..20 {
        let plan = year(&app, seed).plan();
        let now = app.clock.now();
        assert!((900..1300).contains(&plan.sessions.len()), "{} sessions", plan.sessions.len());
        for attendance in
            [Attendance::Scheduled, Attendance::Completed, Attendance::Cancelled, Attendance::NoShow]
        {
            assert!(count(&plan, attendance) >= 10, "seed {seed}: {attendance:?}");
        }
        assert!(plan.patients.iter().any(|patient| patient.archived_at.is_some()));
        for session in &plan.sessions {
            assert_eq!(session.notes.is_some(), session.attendance == Attendance::Completed);
            assert!(
                session.attendance != Attendance::Completed || session.start < now,
                "held before it began"
            );
            assert!(session.attendance != Attendance::Scheduled || session.settled_at <= now);
        }
        let mut slots: Vec<_> = plan.sessions.iter().map(|session| (session.date, session.start)).collect();
        let all = slots.len();
        slots.dedup();
        assert_eq!(slots.len(), all, "nobody is seen twice at a time");
    }
}

#[tokio::test]
async fn its_figures_are_what_was_made_up_and_it_is_known_again() {
    let app = TestApp::new().await;
    let (jane, id) = therapist(&app).await;
    assert!(!practice::is_there(app.app.pool(), id).await.unwrap());
    let plan = year(&app, 3).plan();
    plan.write(app.app.pool(), id).await.unwrap();
    assert!(practice::is_there(app.app.pool(), id).await.unwrap());
    let wanted = therapybridge::analytics::runs::Wanted { therapist_id: Some(id), ..Default::default() };
    app.app.analytics.request(wanted).await.unwrap();
    app.run_jobs().await;

    let query = "{ practiceOverview { totalPatients upcomingSessions } sessionTrends(period: Y1, granularity: MONTH) { from
        summary { totalSessions } } commonTopics(weeks: 104, limit: 100) { topics { topic frequency } } }";
    let said = jane.call(query, Value::Null).await;
    let open = plan.patients.iter().filter(|patient| patient.archived_at.is_none()).count();
    assert_eq!(said["practiceOverview"]["totalPatients"], open);
    let upcoming = plan
        .sessions
        .iter()
        .filter(|session| session.attendance == Attendance::Scheduled && session.start > app.clock.now());
    assert_eq!(said["practiceOverview"]["upcomingSessions"], upcoming.count());
    let from = said["sessionTrends"]["from"].as_str().unwrap();
    let held = plan.sessions.iter().filter(|session| session.notes.is_some());
    let of_year = held.clone().filter(|session| session.date.to_string().as_str() >= from).count();
    assert_eq!(said["sessionTrends"]["summary"]["totalSessions"], of_year);
    let mut topics: BTreeMap<String, usize> = BTreeMap::new();
    for topic in held.flat_map(|session| &session.notes.as_ref().unwrap().key_topics) {
        *topics.entry(topic.to_lowercase()).or_default() += 1;
    }
    let told: BTreeMap<String, usize> = said["commonTopics"]["topics"]
        .as_array()
        .unwrap()
        .iter()
        .map(|topic| {
            (
                topic["topic"].as_str().unwrap().to_owned(),
                usize::try_from(topic["frequency"].as_u64().unwrap()).unwrap(),
            )
        })
        .collect();
    assert_eq!(told, topics);
    // Nobody recorded any of it, and no file is missed.
    assert_eq!(
        app.count("SELECT count(*) FROM sessions WHERE status IS NOT NULL OR audio_key IS NOT NULL").await,
        0
    );
}

#[tokio::test]
async fn its_notes_say_that_they_are_made_up() {
    let app = TestApp::new().await;
    let (jane, id) = therapist(&app).await;
    year(&app, 4).plan().write(app.app.pool(), id).await.unwrap();
    let query = "{ sessions(first: 1, filter: { attendance: COMPLETED }) { nodes { status notes { keyTopics riskScreens strategies { evidence { verdict } }
        run { kind provider warnings } } } } }";
    let session = jane.call(query, Value::Null).await["sessions"]["nodes"][0].clone();
    let notes = &session["notes"];
    assert_eq!(
        (&session["status"], &notes["run"]["provider"], &notes["run"]["kind"]),
        (&Value::Null, &json!("demo"), &json!("EXTRACTIVE"))
    );
    assert!(notes["run"]["warnings"][0].as_str().unwrap().contains("Made up"), "{notes}");
    assert_eq!(notes["strategies"][0]["evidence"]["verdict"], "UNSUPPORTED");
    assert_eq!(notes["riskScreens"], json!([]));
}
