//! Reads for many sessions at a time: the answer to one request takes as many statements for a hundred as for one.
//! Whoever calls has been shown the sessions or patients that are named, and may read what is asked of them.

use std::collections::HashMap;
use std::hash::Hash;

use sea_orm::prelude::Json;
use sea_orm::sea_query::{
    Alias, Asterisk, Condition, Expr, ExprTrait, IntoCondition, JoinType, Query, SelectStatement,
};
use sea_orm::{
    ColumnTrait, ConnectionTrait, DatabaseBackend, EntityTrait, FromQueryResult, Iterable, Order,
    QueryFilter, QueryOrder, QuerySelect, QueryTrait, Statement,
};
use uuid::Uuid;

use super::correction::{Line, overlay};
use super::{Sessions, filtered, without_screen};
use crate::actor::Actor;
use crate::entity::session::{self, Column, Model};
use crate::entity::{extraction_run, transcript_piece, transcript_segment};
use crate::error::Result;
use crate::page::{Page, PageArgs};

/// The rows of a list of ids, and the one column of it.
const ASKED: &str = "asked";
const ID: &str = "column1";
/// What is found for each of them.
const FOUND: &str = "found";

impl Sessions {
    /// The same page of the sessions of each of these patients, as [`list`](Self::list) gives it of one.
    ///
    /// # Errors
    /// Only faults.
    pub async fn pages_of(
        &self,
        actor: &Actor,
        page: PageArgs,
        patients: &[Uuid],
    ) -> Result<HashMap<Uuid, Page<Model>>> {
        let all = without_screen(filtered(actor, &super::SessionFilter::default()));
        let mut of_one = page.ordered(all, Column::Id).into_query();
        of_one.and_where(
            Expr::col((session::Entity, Column::PatientId))
                .eq(Expr::col((Alias::new(ASKED), Alias::new(ID)))),
        );
        let rows = Model::find_by_statement(statement(&for_each(patients, of_one))).all(&self.db).await?;
        let mut pages = grouped(rows, |row| row.patient_id);
        Ok(patients.iter().map(|id| (*id, page.cut(pages.remove(id).unwrap_or_default()))).collect())
    }

    /// How many sessions each of these patients has.
    ///
    /// # Errors
    /// Only faults.
    pub async fn counts_of(&self, actor: &Actor, patients: &[Uuid]) -> Result<HashMap<Uuid, u64>> {
        let all = filtered(actor, &super::SessionFilter::default());
        let theirs = all.filter(Column::PatientId.is_in(patients.iter().copied()));
        let counts = theirs.select_only().column(Column::PatientId).column_as(Column::Id.count(), "count");
        counted(counts.group_by(Column::PatientId), &self.db, patients).await
    }

    /// What the risk screens of these sessions' transcripts found; of those that have one.
    ///
    /// # Errors
    /// Only faults.
    pub async fn risk_screens(&self, session_ids: &[Uuid]) -> Result<HashMap<Uuid, Json>> {
        let theirs = session::Entity::find().filter(Column::Id.is_in(session_ids.iter().copied()));
        let screened = theirs.filter(Column::RiskScreen.is_not_null());
        let screens = screened.select_only().columns([Column::Id, Column::RiskScreen]).into_tuple();
        Ok(screens.all(&self.db).await?.into_iter().collect())
    }

    /// The transcripts of these sessions as text, a line an utterance, as corrected; of those that have one.
    ///
    /// # Errors
    /// Only faults.
    pub async fn transcript_texts(&self, session_ids: &[Uuid]) -> Result<HashMap<Uuid, String>> {
        #[derive(FromQueryResult)]
        struct Text {
            session_id: Uuid,
            text: String,
        }
        let query = "SELECT segment.session_id, string_agg(coalesce(correction.text, segment.text), E'\\n' ORDER BY segment_index) AS text
            FROM transcript_segments AS segment LEFT JOIN (
                SELECT DISTINCT ON (segment_id) segment_id, text FROM segment_corrections
                WHERE session_id = ANY($1) ORDER BY segment_id, revision DESC) AS correction
            ON correction.segment_id = segment.id WHERE segment.session_id = ANY($1) GROUP BY segment.session_id";
        let statement =
            Statement::from_sql_and_values(DatabaseBackend::Postgres, query, [session_ids.to_vec().into()]);
        let texts = Text::find_by_statement(statement).all(&self.db).await?;
        Ok(texts.into_iter().map(|row| (row.session_id, row.text)).collect())
    }

    /// The same page of the transcript of each of these sessions: at most `first` utterances after the one with index
    /// `after`.
    ///
    /// # Errors
    /// Only faults.
    pub async fn transcript_pages(
        &self,
        session_ids: &[Uuid],
        (first, after): (u64, Option<i32>),
    ) -> Result<HashMap<Uuid, Vec<Line>>> {
        use transcript_segment::{Column, Entity};
        let mut of_one = Entity::find()
            .filter(Column::SegmentIndex.gt(after.unwrap_or(-1)))
            .order_by_asc(Column::SegmentIndex)
            .limit(first)
            .into_query();
        of_one.and_where(
            Expr::col((Entity, Column::SessionId)).eq(Expr::col((Alias::new(ASKED), Alias::new(ID)))),
        );
        let mut select = for_each(session_ids, of_one);
        select.order_by((Alias::new(FOUND), Column::SegmentIndex), Order::Asc);
        let segments = transcript_segment::Model::find_by_statement(statement(&select)).all(&self.db).await?;
        let lines = overlay(&self.db, session_ids, segments).await?;
        Ok(grouped(lines, |line| line.segment.session_id))
    }

    /// How many utterances each of these transcripts has so far.
    ///
    /// # Errors
    /// Only faults.
    pub async fn transcript_lens(&self, session_ids: &[Uuid]) -> Result<HashMap<Uuid, u64>> {
        use transcript_segment::{Column, Entity};
        let theirs = Entity::find().filter(Column::SessionId.is_in(session_ids.iter().copied()));
        let counts = theirs.select_only().column(Column::SessionId).column_as(Column::Id.count(), "count");
        counted(counts.group_by(Column::SessionId), &self.db, session_ids).await
    }

    /// The runs with these ids.
    ///
    /// # Errors
    /// Only faults.
    pub async fn runs(&self, ids: &[Uuid]) -> Result<HashMap<Uuid, extraction_run::Model>> {
        let theirs = extraction_run::Column::Id.is_in(ids.iter().copied());
        let rows = extraction_run::Entity::find().filter(theirs).all(&self.db).await?;
        Ok(rows.into_iter().map(|row| (row.id, row)).collect())
    }

    /// The pieces of these sessions' recordings that have been recognised, in order; without what was heard in them, which
    /// is long and in the transcript.
    ///
    /// # Errors
    /// Only faults.
    pub async fn pieces(&self, session_ids: &[Uuid]) -> Result<HashMap<Uuid, Vec<transcript_piece::Model>>> {
        use transcript_piece::{Column, Entity};
        let figures = Column::iter().filter(|column| !matches!(column, Column::Segments));
        let rows = Entity::find()
            .filter(Column::SessionId.is_in(session_ids.iter().copied()))
            .select_only()
            .columns(figures)
            .expr_as(Expr::cust("'[]'::jsonb"), "segments")
            .order_by_asc(Column::StartMs)
            .all(&self.db)
            .await?;
        Ok(grouped(rows, |piece| piece.session_id))
    }
}

/// `of_one`, which speaks of the [`ASKED`] id, for each of these.
fn for_each(ids: &[Uuid], of_one: SelectStatement) -> SelectStatement {
    let always: Condition = Expr::val(true).into_condition();
    let mut select = Query::select();
    select
        .column((Alias::new(FOUND), Asterisk))
        .from_values(ids.iter().copied(), Alias::new(ASKED))
        .join_lateral(JoinType::InnerJoin, of_one, Alias::new(FOUND), always);
    select
}

fn statement(select: &SelectStatement) -> Statement {
    DatabaseBackend::Postgres.build(select)
}

fn grouped<K: Eq + Hash, T>(rows: Vec<T>, key: impl Fn(&T) -> K) -> HashMap<K, Vec<T>> {
    let mut groups: HashMap<K, Vec<T>> = HashMap::new();
    for row in rows {
        groups.entry(key(&row)).or_default().push(row);
    }
    groups
}

/// Counts by id; 0 where there is no row.
async fn counted<E: EntityTrait>(
    counts: sea_orm::Select<E>,
    db: &impl ConnectionTrait,
    ids: &[Uuid],
) -> Result<HashMap<Uuid, u64>> {
    let counts: Vec<(Uuid, i64)> = counts.into_tuple().all(db).await?;
    let counts: HashMap<_, _> = counts.into_iter().collect();
    let count = |id: &Uuid| u64::try_from(counts.get(id).copied().unwrap_or(0)).unwrap_or(0);
    Ok(ids.iter().map(|id| (*id, count(id))).collect())
}
