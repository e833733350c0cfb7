//! Links committed events, each once, in the order of their sequence.
//!
//! Sequence numbers are given out before transactions commit, so an event may appear after younger ones were linked; it
//! gets the next free place then. To find what is new without looking at the history, each pass remembers the snapshot it
//! began with: whatever is not in it belongs to a transaction that was running then, or has begun since.

use sqlx::{AssertSqlSafe, Connection, PgConnection, PgExecutor};
use uuid::Uuid;

use super::link::{Content, Key, START, content_of};

/// Links a transaction makes at most.
const BATCH: u16 = 2000;

/// Every event without a link.
const ALL: &str = "SELECT id, false AS is_linked FROM audit_events AS event
    WHERE seq > $1 AND NOT EXISTS (SELECT FROM audit_chain WHERE event_id = event.id)
    ORDER BY seq LIMIT $2";

/// Those that are not in the snapshot `$3`; a few of them are linked, because they were committed while the last pass ran.
/// Rows of transactions yet to come are those of another server, out of a backup: they were looked at in the first pass.
/// Written so that the planner has no way to look at the history: what is new is picked out by its transaction before it
/// is sorted, and links are looked up one by one.
const SINCE: &str = "WITH fresh AS MATERIALIZED (
        SELECT id, seq FROM audit_events
        WHERE txid >= pg_snapshot_xmax($3::pg_snapshot) AND txid < pg_snapshot_xmax(pg_current_snapshot())
        UNION ALL
        SELECT id, seq FROM pg_snapshot_xip($3::pg_snapshot) AS running (txid),
            LATERAL (SELECT id, seq FROM audit_events WHERE txid = running.txid OFFSET 0) AS event),
    batch AS MATERIALIZED (SELECT id FROM fresh WHERE seq > $1 ORDER BY seq LIMIT $2)
    SELECT id, (SELECT position FROM audit_chain WHERE event_id = batch.id) IS NOT NULL AS is_linked FROM batch";

/// Links events. Only one at a time may do so: see [`super::leader`].
#[derive(Debug)]
pub struct Chain {
    key: Key,
    /// Everything in this snapshot is linked; at first nothing is known.
    seen: Option<String>,
}

#[derive(sqlx::FromRow)]
struct Fresh {
    id: Uuid,
    seq: i64,
    is_linked: bool,
    content: Content,
}

/// The last link: its place, 0 if there is none, and its proof.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct Tail {
    /// Its place.
    pub position: i64,
    /// Its proof.
    pub hmac: Vec<u8>,
}

impl Chain {
    /// Links with this key. The first pass looks at every event there is.
    #[must_use]
    pub fn new(key: Key) -> Self {
        Self { key, seen: None }
    }

    /// Links everything that has been committed; says how many events.
    ///
    /// # Errors
    /// When the database does not answer. What was linked until then stays linked, and is a valid chain.
    pub async fn run_once(&mut self, db: &mut PgConnection) -> sqlx::Result<usize> {
        let snapshot: String =
            sqlx::query_scalar("SELECT pg_current_snapshot()::text").fetch_one(&mut *db).await?;
        if self.seen.as_ref() == Some(&snapshot) {
            // Nobody has written anything since.
            return Ok(0);
        }
        let (mut linked, mut after) = (0, i64::MIN);
        loop {
            let mut batch = self.fresh(db, after).await?;
            let next = batch.last().filter(|_| batch.len() == usize::from(BATCH)).map(|last| last.seq);
            batch.retain(|event| !event.is_linked);
            self.link(db, &batch).await?;
            linked += batch.len();
            match next {
                Some(seq) => after = seq,
                None => break,
            }
        }
        self.seen = Some(snapshot);
        Ok(linked)
    }

    /// The next events, after a sequence number.
    async fn fresh(&self, db: &mut PgConnection, after: i64) -> sqlx::Result<Vec<Fresh>> {
        let query = format!(
            "SELECT event.id, event.seq, is_linked, {} AS content
             FROM ({}) AS batch JOIN audit_events AS event USING (id) ORDER BY event.seq",
            content_of("event"),
            if self.seen.is_some() { SINCE } else { ALL },
        );
        // Planned anew each time, for the numbers it is asked with.
        let query = sqlx::query_as(AssertSqlSafe(query)).persistent(false).bind(after).bind(i64::from(BATCH));
        match &self.seen {
            Some(snapshot) => query.bind(snapshot).fetch_all(db).await,
            None => query.fetch_all(db).await,
        }
    }

    async fn link(&self, db: &mut PgConnection, events: &[Fresh]) -> sqlx::Result<()> {
        if events.is_empty() {
            return Ok(());
        }
        #[expect(clippy::disallowed_methods, reason = "a connection of its own ends with the leader")]
        let mut txn = db.begin().await?;
        let Tail { mut position, mut hmac } = tail(&mut *txn).await?;
        let (mut positions, mut proofs) = (Vec::new(), Vec::new());
        for event in events {
            position += 1;
            hmac = self.key.link(&hmac, position, &event.content).to_vec();
            positions.push(position);
            proofs.push(hmac.clone());
        }
        let ids: Vec<Uuid> = events.iter().map(|event| event.id).collect();
        sqlx::query(
            "INSERT INTO audit_chain (position, event_id, hmac)
             SELECT position, event_id, hmac
             FROM unnest($1::bigint[], $2::uuid[], $3::bytea[]) AS link (position, event_id, hmac)",
        )
        .bind(&positions)
        .bind(&ids)
        .bind(&proofs)
        .execute(&mut *txn)
        .await?;
        txn.commit().await
    }
}

/// The last link.
///
/// # Errors
/// When the database does not answer.
pub async fn tail(db: impl PgExecutor<'_>) -> sqlx::Result<Tail> {
    let query = "SELECT position, hmac FROM audit_chain ORDER BY position DESC LIMIT 1";
    let tail = sqlx::query_as(query).fetch_optional(db).await?;
    Ok(tail.unwrap_or_else(|| Tail { position: 0, hmac: START.to_vec() }))
}

/// The proof at a place, if there is a link.
///
/// # Errors
/// When the database does not answer.
pub async fn proof_at(db: impl PgExecutor<'_>, position: i64) -> sqlx::Result<Option<Vec<u8>>> {
    let query = "SELECT hmac FROM audit_chain WHERE position = $1";
    sqlx::query_scalar(query).bind(position).fetch_optional(db).await
}

/// A link, the proof before it, and its event.
type End = (i64, Vec<u8>, Option<Vec<u8>>, Content);

/// Whether a chain was made with this key: an empty one, or one whose first or last link it proves. Two links, so that one
/// that was tampered with does not stop the others from being linked.
///
/// # Errors
/// When the database does not answer.
pub async fn is_of(key: &Key, db: impl PgExecutor<'_>) -> sqlx::Result<bool> {
    let query = format!(
        "SELECT link.position, link.hmac, before.hmac AS previous, {} AS content
         FROM audit_chain AS link JOIN audit_events AS event ON event.id = link.event_id
         LEFT JOIN audit_chain AS before ON before.position = link.position - 1
         WHERE link.position IN (1, (SELECT max(position) FROM audit_chain))",
        content_of("event")
    );
    let ends: Vec<End> = sqlx::query_as(AssertSqlSafe(query)).fetch_all(db).await?;
    let proven = |(position, proof, previous, content): &End| {
        key.proves_link(proof, previous.as_deref().unwrap_or(&START), *position, content)
    };
    Ok(ends.is_empty() || ends.iter().any(proven))
}
