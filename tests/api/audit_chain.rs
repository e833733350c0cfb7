//! The chain of the audit trail: what is linked, by whom, and that nothing can be tampered with unseen.

use std::path::PathBuf;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use sea_orm::{DatabaseConnection, SqlxPostgresConnector};
use sqlx::{AssertSqlSafe, PgPool};
use therapybridge::actor::{Actor, Origin};
use therapybridge::audit::chain::{Chain, Tail, tail};
use therapybridge::audit::head::Head;
use therapybridge::audit::leader::{Leader, Office};
use therapybridge::audit::link::{COLUMNS, Key};
use therapybridge::audit::verify::{Kind, Report, verify};
use therapybridge::audit::{self, Event, Witness};
use therapybridge::clock::FixedClock;
use therapybridge::database;

use super::support::cluster::fresh_database;
use super::support::today;

/// A database with an audit trail, and nobody who links it.
struct Trail {
    pool: PgPool,
    chain: Chain,
    key: Key,
    folder: tempfile::TempDir,
}

impl Trail {
    async fn new() -> Self {
        let pool = PgPool::connect(&fresh_database().await).await.unwrap();
        Self { pool, chain: Chain::new(key()), key: key(), folder: tempfile::tempdir().unwrap() }
    }

    /// A trail of so many linked events, with its head.
    async fn of(events: usize) -> Self {
        let mut trail = Self::new().await;
        trail.record(events).await;
        trail.link().await;
        trail.write_head().await;
        assert!(trail.verify().await.is_intact());
        trail
    }

    fn db(&self) -> DatabaseConnection {
        SqlxPostgresConnector::from_sqlx_postgres_pool(self.pool.clone())
    }

    fn head_file(&self) -> PathBuf {
        self.folder.path().join("audit_head")
    }

    async fn record(&self, events: usize) {
        for _ in 0..events {
            record(&self.db()).await;
        }
    }

    async fn link(&mut self) -> usize {
        self.chain.run_once(&mut self.pool.acquire().await.unwrap()).await.unwrap()
    }

    async fn tail(&self) -> Tail {
        tail(&self.pool).await.unwrap()
    }

    async fn write_head(&self) {
        let Tail { position, hmac } = self.tail().await;
        Head::new(&self.key, position, &hmac, today()).write(&self.head_file()).await.unwrap();
    }

    async fn verify(&self) -> Report {
        self.verify_at(today()).await
    }

    async fn verify_at(&self, now: DateTime<Utc>) -> Report {
        verify(&self.pool, &self.key, &self.head_file(), now).await.unwrap()
    }

    /// What is found: kinds and places.
    async fn findings(&self) -> Vec<(Kind, Option<i64>)> {
        self.verify().await.findings.iter().map(|finding| (finding.kind, finding.position)).collect()
    }

    /// Does what only the database's owner can do: past triggers.
    async fn tamper(&self, statements: &str) {
        let script =
            format!("SET session_replication_role = replica; {statements}; RESET session_replication_role");
        sqlx::raw_sql(AssertSqlSafe(script)).execute(&self.pool).await.unwrap();
    }

    /// The sequence numbers of the events, in the order of their links.
    async fn order(&self) -> Vec<i64> {
        let query = "SELECT seq FROM audit_chain JOIN audit_events ON id = event_id ORDER BY position";
        sqlx::query_scalar(query).fetch_all(&self.pool).await.unwrap()
    }

    fn office(&self) -> Office {
        Office {
            pool: self.pool.clone(),
            key: self.key.clone(),
            head_file: self.head_file(),
            clock: std::sync::Arc::new(FixedClock::new(today())),
        }
    }

    /// Waits until so many links are made.
    async fn reaches(&self, position: i64) {
        let reached = async {
            while self.tail().await.position < position {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(Duration::from_mins(1), reached).await.expect("linked in time");
    }
}

fn key() -> Key {
    Key::new("a key of the tests, and of nobody else".into())
}

async fn record(db: &impl sea_orm::ConnectionTrait) {
    let origin =
        Origin { request_id: "r".into(), ip: Some("127.0.0.1".into()), user_agent: Some("test".into()) };
    let witness = Witness { actor: &Actor::System { job: "test" }, origin: &origin, at: today() };
    let event =
        Event { action: "test.write", subject_type: "test", changed_fields: vec!["a"], ..Event::default() };
    audit::record(db, witness, event).await.unwrap();
}

#[tokio::test]
async fn events_and_links_are_added_and_never_changed_or_removed() {
    let trail = Trail::of(1).await;
    for table in ["audit_events", "audit_chain"] {
        let column = if table == "audit_events" { "action = 'x'" } else { "position = 2" };
        for statement in [
            format!("UPDATE {table} SET {column}"),
            format!("DELETE FROM {table}"),
            format!("TRUNCATE {table} CASCADE"),
        ] {
            let refused = sqlx::query(AssertSqlSafe(statement.clone())).execute(&trail.pool).await;
            assert!(refused.unwrap_err().to_string().contains("never changed or removed"), "{statement}");
        }
    }
    assert!(trail.verify().await.is_intact());
}

#[tokio::test]
async fn every_event_is_linked_once_in_order_and_without_gaps() {
    let mut trail = Trail::new().await;
    assert_eq!(trail.link().await, 0);
    trail.record(3).await;
    assert_eq!((trail.link().await, trail.link().await), (3, 0));
    trail.record(2).await;
    assert_eq!(trail.link().await, 2);
    assert_eq!(trail.order().await, [1, 2, 3, 4, 5]);
    let report = trail.verify().await;
    assert_eq!((report.events_checked, report.chained_up_to, report.finding_count), (5, 5, 0));
}

#[tokio::test]
async fn an_event_that_commits_late_gets_a_later_place_and_a_rolled_back_one_none() {
    let mut trail = Trail::new().await;
    let (late, gone) =
        (database::begin(&trail.db()).await.unwrap(), database::begin(&trail.db()).await.unwrap());
    record(&late).await;
    record(&gone).await;
    trail.record(1).await;
    assert_eq!(trail.link().await, 1);
    gone.rollback().await.unwrap();
    trail.record(1).await;
    assert_eq!(trail.link().await, 1);
    late.commit().await.unwrap();
    assert_eq!((trail.link().await, trail.link().await), (1, 0));
    assert_eq!(trail.order().await, [3, 4, 1]);
    assert!(trail.verify().await.is_intact());
}

#[tokio::test]
async fn a_backlog_of_several_batches_is_linked_in_one_pass() {
    let mut trail = Trail::new().await;
    let many = "INSERT INTO audit_events (id, at, actor_role, action, subject_type, outcome)
        SELECT gen_random_uuid(), now(), 'SYSTEM', 'test.write', 'test', 'OK' FROM generate_series(1, 2500)";
    sqlx::query(many).execute(&trail.pool).await.unwrap();
    assert_eq!((trail.link().await, trail.link().await), (2500, 0));
    assert_eq!(trail.order().await, (1..=2500).collect::<Vec<_>>());
    assert!(trail.verify().await.is_intact());
}

#[tokio::test]
async fn a_new_leader_goes_on_where_the_old_one_was_killed() {
    let mut trail = Trail::new().await;
    trail.record(3).await;
    trail.link().await;
    trail.record(2).await;
    trail.chain = Chain::new(key());
    assert_eq!(trail.link().await, 2);
    assert!(trail.verify().await.is_intact());
}

#[tokio::test]
async fn an_edit_of_any_column_is_found() {
    let query = "SELECT column_name::text FROM information_schema.columns WHERE table_name = 'audit_events'";
    let trail = Trail::of(3).await;
    let mut columns: Vec<String> = sqlx::query_scalar(query).fetch_all(&trail.pool).await.unwrap();
    columns.sort();
    let mut proven = COLUMNS.to_vec();
    proven.sort_unstable();
    assert_eq!(columns, proven, "a column that is not proven can be changed unseen");
    trail
        .tamper(
            "ALTER TABLE audit_events ALTER seq DROP IDENTITY, DROP CONSTRAINT audit_events_outcome_check",
        )
        .await;
    for column in proven.into_iter().filter(|column| *column != "id") {
        let value = match column {
            "seq" | "txid" => "'77'",
            "at" => "'infinity'",
            "changed_fields" => "'{{a},{b}}'",
            column if column.ends_with("_id") && column != "request_id" => "gen_random_uuid()",
            _ => "'x'",
        };
        let before = format!(
            "CREATE TABLE before AS SELECT * FROM audit_events; UPDATE audit_events SET {column} = {value} WHERE seq = 2"
        );
        trail.tamper(&before).await;
        assert_eq!(trail.findings().await, [(Kind::Edited, Some(2))], "{column}");
        trail
            .tamper(
                "DELETE FROM audit_events; INSERT INTO audit_events SELECT * FROM before; DROP TABLE before",
            )
            .await;
        assert!(trail.verify().await.is_intact(), "{column}");
    }
}

#[tokio::test]
async fn an_edited_proof_is_found() {
    let trail = Trail::of(3).await;
    trail.tamper("UPDATE audit_chain SET hmac = sha256('x') WHERE position = 2").await;
    assert_eq!(trail.findings().await, [(Kind::Edited, Some(2)), (Kind::Edited, Some(3))]);
}

#[tokio::test]
async fn removed_links_and_events_are_found() {
    let trail = Trail::of(6).await;
    trail.tamper("DELETE FROM audit_chain WHERE position IN (2, 3)").await;
    trail.tamper("DELETE FROM audit_events WHERE seq = 5").await;
    let found = trail.verify_at(today() + TimeDelta::seconds(61)).await;
    let found: Vec<_> = found.findings.iter().map(|finding| (finding.kind, finding.position)).collect();
    let expected =
        [(Kind::Gap, Some(2)), (Kind::Missing, Some(5)), (Kind::Unchained, None), (Kind::Unchained, None)];
    assert_eq!(found, expected);
}

#[tokio::test]
async fn a_removed_start_is_found() {
    let trail = Trail::of(3).await;
    trail.tamper("DELETE FROM audit_chain WHERE position = 1; DELETE FROM audit_events WHERE seq = 1").await;
    assert_eq!(trail.findings().await, [(Kind::Gap, Some(1))]);
}

#[tokio::test]
async fn swapped_links_are_found() {
    let trail = Trail::of(5).await;
    trail
        .tamper(
            "UPDATE audit_chain SET position = 1000 WHERE position = 2;
             UPDATE audit_chain SET position = 2 WHERE position = 3;
             UPDATE audit_chain SET position = 3 WHERE position = 1000",
        )
        .await;
    let reordered = |position| (Kind::Reordered, Some(position));
    assert_eq!(trail.findings().await, [reordered(2), reordered(3), reordered(4)]);
}

#[tokio::test]
async fn events_that_changed_places_are_found() {
    let trail = Trail::of(5).await;
    trail
        .tamper(
            "ALTER TABLE audit_chain DROP CONSTRAINT audit_chain_event_id_key;
             UPDATE audit_chain SET event_id = (SELECT event_id FROM audit_chain AS other
                 WHERE other.position = CASE audit_chain.position WHEN 2 THEN 3 ELSE 2 END)
             WHERE position IN (2, 3)",
        )
        .await;
    assert_eq!(trail.findings().await, [(Kind::Reordered, Some(2)), (Kind::Reordered, Some(3))]);
}

#[tokio::test]
async fn a_cut_tail_is_found_also_when_the_chain_has_grown_again() {
    let mut trail = Trail::of(5).await;
    trail.tamper("DELETE FROM audit_chain WHERE position > 3; DELETE FROM audit_events WHERE seq > 3").await;
    assert_eq!(trail.findings().await, [(Kind::CutTail, Some(5))]);
    trail.record(4).await;
    assert_eq!(trail.link().await, 4);
    assert_eq!(trail.findings().await, [(Kind::CutTail, Some(5))]);
}

#[tokio::test]
async fn a_forged_a_foreign_and_a_missing_head_are_found() {
    let mut trail = Trail::of(3).await;
    let head = std::fs::read_to_string(trail.head_file()).unwrap();
    std::fs::write(trail.head_file(), head.replace(":3,", ":2,")).unwrap();
    assert_eq!(trail.findings().await, [(Kind::BadHead, None)]);
    std::fs::write(trail.head_file(), "not a head").unwrap();
    assert_eq!(trail.findings().await, [(Kind::BadHead, None)]);
    std::fs::remove_file(trail.head_file()).unwrap();
    assert_eq!(trail.findings().await, [], "a young chain has no head yet");
    let found = trail.verify_at(today() + TimeDelta::minutes(6)).await;
    assert_eq!((found.findings[0].kind, found.finding_count), (Kind::NoHead, 1));
    trail.write_head().await;
    trail.key = Key::new("another key, which the chain was not made with".into());
    let edited = |position| (Kind::Edited, Some(position));
    assert_eq!(trail.findings().await, [edited(1), edited(2), edited(3), (Kind::BadHead, None)]);
}

#[tokio::test]
async fn a_head_that_is_no_longer_written_is_found() {
    let mut trail = Trail::of(2).await;
    let soon = today() + TimeDelta::minutes(5);
    trail.record(1).await;
    trail.link().await;
    assert!(trail.verify_at(soon).await.is_intact(), "the head may be some minutes behind");
    let found = trail.verify_at(soon + TimeDelta::seconds(1)).await;
    assert_eq!((found.findings[0].kind, found.findings[0].position), (Kind::StaleHead, Some(2)));
    trail.write_head().await;
    assert!(trail.verify_at(soon + TimeDelta::hours(1)).await.is_intact(), "nothing new needs no new head");
}

#[tokio::test]
async fn an_event_is_found_when_nobody_has_linked_it_for_a_minute() {
    let trail = Trail::of(2).await;
    trail.record(1).await;
    assert!(trail.verify_at(today() + TimeDelta::seconds(60)).await.is_intact());
    let found = trail.verify_at(today() + TimeDelta::seconds(61)).await;
    assert_eq!((found.findings[0].kind, found.finding_count), (Kind::Unchained, 1));
    assert!(found.findings[0].event_id.is_some());
}

#[tokio::test]
async fn findings_are_listed_up_to_a_hundred_and_all_counted() {
    let mut trail = Trail::new().await;
    trail.record(130).await;
    trail.link().await;
    trail.tamper("UPDATE audit_events SET action = 'x'").await;
    let report = trail.verify().await;
    assert_eq!((report.findings.len(), report.finding_count), (100, 130));
}

#[tokio::test]
async fn one_process_leads_and_another_takes_over_when_it_dies() {
    let trail = Trail::new().await;
    let (first, _second) = (Leader::start(trail.office()), Leader::start(trail.office()));
    trail.record(3).await;
    trail.reaches(3).await;
    let leaders = "SELECT array_agg(pid) FROM pg_locks WHERE locktype = 'advisory' AND granted
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
    let holders: Vec<i32> = sqlx::query_scalar(leaders).fetch_one(&trail.pool).await.unwrap();
    assert_eq!(holders.len(), 1);
    sqlx::query("SELECT pg_terminate_backend($1)").bind(holders[0]).execute(&trail.pool).await.unwrap();
    drop(first);
    trail.record(3).await;
    trail.reaches(6).await;
    assert!(trail.verify().await.is_intact());
}

#[tokio::test]
async fn two_that_link_at_the_same_time_leave_one_valid_chain() {
    let trail = Trail::new().await;
    trail.record(50).await;
    let (mut one, mut other) = (trail.pool.acquire().await.unwrap(), trail.pool.acquire().await.unwrap());
    let (mut first, mut second) = (Chain::new(key()), Chain::new(key()));
    // The office forbids this; should it ever happen, the keys of the table do.
    let (a, b) = tokio::join!(first.run_once(&mut one), second.run_once(&mut other));
    assert!(a.is_ok() || b.is_ok());
    assert_eq!(trail.order().await, (1..=50).collect::<Vec<_>>());
    assert!(trail.verify().await.is_intact());
}

#[tokio::test]
async fn a_leader_that_stops_links_the_rest_and_writes_the_head() {
    let trail = Trail::new().await;
    let leader = Leader::start(trail.office());
    trail.record(1).await;
    trail.reaches(1).await;
    trail.record(2).await;
    leader.stop().await;
    let report = trail.verify().await;
    assert_eq!((report.head_position, report.chained_up_to, report.is_intact()), (Some(3), 3, true));
}

#[tokio::test]
async fn a_leader_never_replaces_a_head_that_tells_of_a_cut_or_that_it_did_not_write() {
    let trail = Trail::of(5).await;
    let evidence = std::fs::read(trail.head_file()).unwrap();
    trail.tamper("DELETE FROM audit_chain WHERE position > 3; DELETE FROM audit_events WHERE seq > 3").await;
    for events in [0, 4] {
        trail.record(events).await;
        let leader = Leader::start(trail.office());
        trail.reaches(3 + i64::try_from(events).unwrap()).await;
        leader.stop().await;
        assert_eq!(std::fs::read(trail.head_file()).unwrap(), evidence);
    }
    std::fs::write(trail.head_file(), "not a head").unwrap();
    Leader::start(trail.office()).stop().await;
    assert_eq!(std::fs::read(trail.head_file()).unwrap(), b"not a head");
}

#[tokio::test]
async fn a_process_with_another_key_links_nothing() {
    let mut trail = Trail::of(2).await;
    trail.record(1).await;
    trail.key = Key::new("another key, which the chain was not made with".into());
    let stranger = Leader::start(trail.office());
    trail.key = key();
    let leader = Leader::start(trail.office());
    trail.reaches(3).await;
    stranger.stop().await;
    leader.stop().await;
    assert!(trail.verify().await.is_intact());
}
