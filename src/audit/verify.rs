//! Looks for everything that is not as it was: walks the chain from its first link, in bounded memory.

use std::path::Path;

use async_graphql::Enum;
use chrono::{DateTime, TimeDelta, Utc};
use futures::TryStreamExt;
use sqlx::{AssertSqlSafe, PgExecutor, PgPool};
use uuid::Uuid;

use super::chain::proof_at;
use super::head::{Head, Kept};
use super::link::{Content, Key, START, content_of};

/// Findings that are listed; all are counted.
const LISTED: usize = 100;
/// An event is linked within a second or two; one that is not after this time was kept from it.
const LINKED_WITHIN: TimeDelta = TimeDelta::seconds(60);
/// A head is written every minute; a chain that is ahead of it for so long has lost it.
const HEAD_WITHIN: TimeDelta = TimeDelta::minutes(5);

/// What is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Enum)]
#[graphql(name = "AuditFindingKind")]
pub enum Kind {
    /// The event or its proof was changed after it was chained, or the key is not the chain's.
    Edited,
    /// The link is not where it was made, or does not follow the one it was made for.
    Reordered,
    /// Links are missing.
    Gap,
    /// A link's event is missing.
    Missing,
    /// An event was not chained for more than a minute.
    Unchained,
    /// The chain was longer once, or went on otherwise: its end was cut off.
    CutTail,
    /// The head of the chain was not written by us, or not with this key.
    BadHead,
    /// The head of the chain is missing, so that a cut tail would not be seen.
    NoHead,
    /// The head of the chain was not written for minutes, so that a cut after its place would not be seen.
    StaleHead,
}

impl Kind {
    /// The name of the kind in the API.
    #[must_use]
    pub fn name(self) -> &'static str {
        <Self as async_graphql::resolver_utils::EnumType>::items()
            .iter()
            .find(|item| item.value == self)
            .map_or("", |item| item.name)
    }
}

/// Something that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What.
    pub kind: Kind,
    /// At which place of the chain.
    pub position: Option<i64>,
    /// With which event.
    pub event_id: Option<Uuid>,
    /// The same in words.
    pub message: String,
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// How many events were held against the chain.
    pub events_checked: u64,
    /// Place of the last link; 0 if there is none.
    pub chained_up_to: i64,
    /// Place of the signed head, if there is a good one.
    pub head_position: Option<i64>,
    /// The first hundred findings.
    pub findings: Vec<Finding>,
    /// How many there are.
    pub finding_count: u64,
}

impl Report {
    /// Whether everything is as it was.
    #[must_use]
    pub fn is_intact(&self) -> bool {
        self.finding_count == 0
    }

    fn add(&mut self, finding: Finding) {
        self.finding_count += 1;
        if self.findings.len() < LISTED {
            self.findings.push(finding);
        }
    }
}

impl Finding {
    fn new(kind: Kind, position: Option<i64>, event_id: Option<Uuid>, message: impl Into<String>) -> Self {
        Self { kind, position, event_id, message: message.into() }
    }
}

/// Verifies chain, events and head.
///
/// # Errors
/// When the database does not answer, or the head cannot be read.
pub async fn verify(
    pool: &PgPool,
    key: &Key,
    head_file: &Path,
    now: DateTime<Utc>,
) -> anyhow::Result<Report> {
    // First, so that the chain is at least as long as the head says, however fast it grows meanwhile.
    let kept = Head::read(key, head_file).await?;
    let mut report = walk(pool, key).await?;
    if let Kept::Head(head) = &kept {
        report.head_position = Some(head.position);
    }
    if let Some(finding) = contradiction(&kept, pool).await? {
        report.add(finding);
    }
    let headed = report.head_position.unwrap_or(0);
    if kept != Kept::Forged && is_behind(pool, headed, now - HEAD_WITHIN).await? {
        report.add(behind(headed));
    }
    add_unchained(&mut report, pool, now - LINKED_WITHIN).await?;
    Ok(report)
}

/// What is wrong between the head and the chain, if anything is.
///
/// # Errors
/// When the database does not answer.
pub async fn contradiction(kept: &Kept, db: impl PgExecutor<'_>) -> sqlx::Result<Option<Finding>> {
    let (kind, position, message) = match kept {
        Kept::Nothing => return Ok(None),
        Kept::Forged => {
            (Kind::BadHead, None, "The head of the chain was not written by us, or not with this key.")
        }
        Kept::Head(head) => match proof_at(db, head.position).await? {
            proof if head.stands_on(proof.as_deref()) => return Ok(None),
            None => {
                (Kind::CutTail, Some(head.position), "The chain reached this place once, and ends before it.")
            }
            Some(_) => (Kind::CutTail, Some(head.position), "The chain went on otherwise from here once."),
        },
    };
    Ok(Some(Finding::new(kind, position, None, message)))
}

/// Whether an event from before `time` is linked after a place. Its own time counts, for that is proven.
async fn is_behind(pool: &PgPool, position: i64, time: DateTime<Utc>) -> sqlx::Result<bool> {
    let query = "SELECT EXISTS (SELECT FROM audit_chain AS link JOIN audit_events AS event ON event.id = link.event_id
        WHERE link.position > $1 AND event.at < $2)";
    sqlx::query_scalar(query).bind(position).bind(time).fetch_one(pool).await
}

/// The head is too far behind the chain; at place 0 there is none.
fn behind(position: i64) -> Finding {
    if position == 0 {
        let message = "The file with the head of the chain is missing: a cut tail would not be seen.";
        return Finding::new(Kind::NoHead, None, None, message);
    }
    let message = "The head of the chain was not written for minutes: a cut after this place would not be seen. \
        Is AUDIT_HEAD_FILE the one the servers write to, and is there room on its disk?";
    Finding::new(Kind::StaleHead, Some(position), None, message)
}

async fn add_unchained(report: &mut Report, pool: &PgPool, before: DateTime<Utc>) -> sqlx::Result<()> {
    let query = "SELECT id FROM audit_events AS event WHERE at < $1
        AND NOT EXISTS (SELECT FROM audit_chain WHERE event_id = event.id) ORDER BY seq";
    let mut unchained = sqlx::query_scalar(query).bind(before).fetch(pool);
    while let Some(id) = unchained.try_next().await? {
        let message = "The event is older than a minute, and was not chained.";
        report.add(Finding::new(Kind::Unchained, None, Some(id), message));
    }
    Ok(())
}

#[derive(sqlx::FromRow)]
struct Link {
    position: i64,
    event_id: Uuid,
    hmac: Vec<u8>,
    seq: Option<i64>,
    content: Option<Content>,
}

async fn walk(pool: &PgPool, key: &Key) -> sqlx::Result<Report> {
    let query = format!(
        "SELECT link.position, link.event_id, link.hmac, event.seq,
                CASE WHEN event.id IS NOT NULL THEN {} END AS content
         FROM audit_chain AS link LEFT JOIN audit_events AS event ON event.id = link.event_id
         ORDER BY link.position",
        content_of("event")
    );
    let mut links = sqlx::query_as(AssertSqlSafe(query)).fetch(pool);
    let mut walk = Walk::new(key);
    while let Some(link) = links.try_next().await? {
        walk.step(link);
    }
    Ok(walk.finish())
}

/// How far a walk has come.
struct Walk<'a> {
    key: &'a Key,
    report: Report,
    /// The link before; `None` where it is missing.
    before: Option<Before>,
    /// A link that does not fit; what is wrong with it shows with the next one.
    misfit: Option<Misfit>,
}

struct Before {
    hmac: Vec<u8>,
    seq: Option<i64>,
}

struct Misfit {
    position: i64,
    event_id: Uuid,
    seq: Option<i64>,
    /// Its event is older than the one before, or that one is out of place.
    is_displaced: bool,
}

impl<'a> Walk<'a> {
    fn new(key: &'a Key) -> Self {
        let before = Some(Before { hmac: START.to_vec(), seq: None });
        Self { key, report: Report::default(), before, misfit: None }
    }

    fn step(&mut self, link: Link) {
        let expected = self.report.chained_up_to + 1;
        if link.position != expected {
            let message = format!("The links from {expected} to {} are missing.", link.position - 1);
            self.report.add(Finding::new(Kind::Gap, Some(expected), None, message));
            self.before = None;
        }
        self.report.chained_up_to = link.position;
        let fits = self.fits(&link);
        let follows_displaced = self.settle(if fits { None } else { link.seq });
        if !fits {
            let is_older = self.before.as_ref().is_some_and(|before| before.seq > link.seq);
            self.misfit = Some(Misfit {
                position: link.position,
                event_id: link.event_id,
                seq: link.seq,
                is_displaced: is_older || follows_displaced,
            });
        }
        self.before = Some(Before { hmac: link.hmac, seq: link.seq });
    }

    /// Whether the link proves its event, as far as can be said: without the event, or the link before, it cannot.
    fn fits(&mut self, link: &Link) -> bool {
        let Some(content) = &link.content else {
            let message = "The event of this link is missing.";
            self.report.add(Finding::new(Kind::Missing, Some(link.position), Some(link.event_id), message));
            return true;
        };
        self.report.events_checked += 1;
        let Some(before) = &self.before else { return true };
        self.key.proves_link(&link.hmac, &before.hmac, link.position, content)
    }

    /// Says what is wrong with the link before, if it did not fit; `next` is the event after it, if that does not fit
    /// either. Says whether it was out of place.
    fn settle(&mut self, next: Option<i64>) -> bool {
        let Some(misfit) = self.misfit.take() else { return false };
        let is_displaced = misfit.is_displaced || next.is_some_and(|next| misfit.seq > Some(next));
        let (kind, message) = if is_displaced {
            (
                Kind::Reordered,
                "The link is not where it was made, or does not follow the one it was made for.",
            )
        } else {
            (Kind::Edited, "The event or its proof was changed, or the key is not the chain's.")
        };
        self.report.add(Finding::new(kind, Some(misfit.position), Some(misfit.event_id), message));
        is_displaced
    }

    fn finish(mut self) -> Report {
        self.settle(None);
        self.report
    }
}
