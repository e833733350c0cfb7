//! Batched reads of what belongs to sessions: however many an answer has, each kind of thing takes one statement.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

use async_graphql::dataloader::Loader;
use serde_json::Value as Json;
use uuid::Uuid;

use crate::actor::Actor;
use crate::app::App;
use crate::costs;
use crate::entity::{extraction_run, session, transcript_piece};
use crate::error::Error;
use crate::page::{Page, PageArgs};
use crate::sessions::correction::Line;

/// Loads what belongs to sessions, and to patients, that the asker has been shown: one statement for all of them.
pub(super) struct SessionLoader {
    app: Arc<App>,
    actor: Actor,
}

impl SessionLoader {
    pub(super) fn new(app: Arc<App>, actor: Actor) -> Self {
        Self { app, actor }
    }
}

/// A page of a patient's sessions.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct SessionsOf(pub(super) Uuid, pub(super) PageArgs);

/// How many sessions a patient has.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct SessionCountOf(pub(super) Uuid);

/// What the risk screen of a session found.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct RiskScreenOf(pub(super) Uuid);

/// The transcript of a session as text.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct TranscriptOf(pub(super) Uuid);

/// So many utterances of a session after one.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct SegmentsOf(pub(super) Uuid, pub(super) (u64, Option<i32>));

/// How many utterances a transcript has.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct SegmentCountOf(pub(super) Uuid);

/// The recognised pieces of a session.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct PiecesOf(pub(super) Uuid);

/// What a session has cost.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct CostOf(pub(super) Uuid);

/// An extraction run.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct Run(pub(super) Uuid);

/// Values are shared: a loader copies them.
type Loaded<K, V> = Result<HashMap<K, Arc<V>>, Arc<Error>>;

fn ids<K>(keys: &[K], id: impl Fn(&K) -> Uuid) -> Vec<Uuid> {
    keys.iter().map(id).collect()
}

fn loaded<K: Eq + Hash, V>(found: HashMap<Uuid, V>, key: impl Fn(Uuid) -> K) -> HashMap<K, Arc<V>> {
    found.into_iter().map(|(id, value)| (key(id), Arc::new(value))).collect()
}

/// Keys by what is asked of them: aliases may ask for several pages.
fn by_page<K, P: Clone + Eq + Hash>(keys: &[K], split: impl Fn(&K) -> (Uuid, P)) -> HashMap<P, Vec<Uuid>> {
    let mut pages: HashMap<P, Vec<Uuid>> = HashMap::new();
    for key in keys {
        let (id, page) = split(key);
        pages.entry(page).or_default().push(id);
    }
    pages
}

impl Loader<SessionsOf> for SessionLoader {
    type Value = Arc<Page<session::Model>>;
    type Error = Arc<Error>;

    async fn load(&self, keys: &[SessionsOf]) -> Loaded<SessionsOf, Page<session::Model>> {
        let mut all = HashMap::new();
        for (page, patients) in by_page(keys, |SessionsOf(id, page)| (*id, *page)) {
            let found = self.app.sessions.pages_of(&self.actor, page, &patients).await.map_err(Arc::new)?;
            all.extend(loaded(found, |id| SessionsOf(id, page)));
        }
        Ok(all)
    }
}

impl Loader<SessionCountOf> for SessionLoader {
    type Value = Arc<u64>;
    type Error = Arc<Error>;

    async fn load(&self, keys: &[SessionCountOf]) -> Loaded<SessionCountOf, u64> {
        let found = self.app.sessions.counts_of(&self.actor, &ids(keys, |key| key.0)).await;
        Ok(loaded(found.map_err(Arc::new)?, SessionCountOf))
    }
}

impl Loader<RiskScreenOf> for SessionLoader {
    type Value = Arc<Json>;
    type Error = Arc<Error>;

    async fn load(&self, keys: &[RiskScreenOf]) -> Loaded<RiskScreenOf, Json> {
        let found = self.app.sessions.risk_screens(&ids(keys, |key| key.0)).await;
        Ok(loaded(found.map_err(Arc::new)?, RiskScreenOf))
    }
}

impl Loader<TranscriptOf> for SessionLoader {
    type Value = Arc<String>;
    type Error = Arc<Error>;

    async fn load(&self, keys: &[TranscriptOf]) -> Loaded<TranscriptOf, String> {
        let found = self.app.sessions.transcript_texts(&ids(keys, |key| key.0)).await;
        Ok(loaded(found.map_err(Arc::new)?, TranscriptOf))
    }
}

impl Loader<SegmentsOf> for SessionLoader {
    type Value = Arc<Vec<Line>>;
    type Error = Arc<Error>;

    async fn load(&self, keys: &[SegmentsOf]) -> Loaded<SegmentsOf, Vec<Line>> {
        let mut all = HashMap::new();
        for (page, sessions) in by_page(keys, |SegmentsOf(id, page)| (*id, *page)) {
            let found = self.app.sessions.transcript_pages(&sessions, page).await.map_err(Arc::new)?;
            all.extend(loaded(found, |id| SegmentsOf(id, page)));
        }
        Ok(all)
    }
}

impl Loader<SegmentCountOf> for SessionLoader {
    type Value = Arc<u64>;
    type Error = Arc<Error>;

    async fn load(&self, keys: &[SegmentCountOf]) -> Loaded<SegmentCountOf, u64> {
        let found = self.app.sessions.transcript_lens(&ids(keys, |key| key.0)).await;
        Ok(loaded(found.map_err(Arc::new)?, SegmentCountOf))
    }
}

impl Loader<PiecesOf> for SessionLoader {
    type Value = Arc<Vec<transcript_piece::Model>>;
    type Error = Arc<Error>;

    async fn load(&self, keys: &[PiecesOf]) -> Loaded<PiecesOf, Vec<transcript_piece::Model>> {
        let found = self.app.sessions.pieces(&ids(keys, |key| key.0)).await;
        Ok(loaded(found.map_err(Arc::new)?, PiecesOf))
    }
}

impl Loader<CostOf> for SessionLoader {
    type Value = Arc<Vec<costs::Line>>;
    type Error = Arc<Error>;

    async fn load(&self, keys: &[CostOf]) -> Loaded<CostOf, Vec<costs::Line>> {
        let found = self.app.costs.of_sessions(&ids(keys, |key| key.0)).await;
        Ok(loaded(found.map_err(Arc::new)?, CostOf))
    }
}

impl Loader<Run> for SessionLoader {
    type Value = Arc<extraction_run::Model>;
    type Error = Arc<Error>;

    async fn load(&self, keys: &[Run]) -> Loaded<Run, extraction_run::Model> {
        let found = self.app.sessions.runs(&ids(keys, |key| key.0)).await;
        Ok(loaded(found.map_err(Arc::new)?, Run))
    }
}
