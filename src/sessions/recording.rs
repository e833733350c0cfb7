//! How long recordings are kept. One that is due is let go of under the row lock of its session, so that no retry ever
//! finds a session without what it needs: either the retry is first, and the session is no longer due, or it is told that
//! the recording is gone. The file is condemned in the same transaction, and removed after it (`storage::Intake`).

use std::sync::Arc;

use chrono::{DateTime, Utc};
use sea_orm::sea_query::Expr;
use sea_orm::{
    ActiveEnum, ColumnTrait, ConnectionTrait, DatabaseBackend, DatabaseConnection, DatabaseTransaction,
    EntityTrait, FromQueryResult, QueryFilter, QuerySelect, Statement, Value,
};
use uuid::Uuid;

use super::pipeline::Pipeline;
use crate::actor::{Actor, Origin};
use crate::audit::{self, Witness};
use crate::clock::Clock;
use crate::database;
use crate::entity::session::{Column, Entity, Model, Status};
use crate::error::Result;
use crate::events;
use crate::failpoint;
use crate::queue::Job;
use crate::queue::jobs::TranscribeSession;
use crate::storage::{Condemned, Intake};

/// Sessions whose recordings are due: `$1` their status, `$2` since when, `$3` the kind of job that reads recordings.
const DUE: &str = "FROM sessions WHERE audio_key IS NOT NULL AND status = $1 AND updated_at < $2
    AND NOT EXISTS (SELECT 1 FROM apalis.jobs WHERE job_type = $3 AND status IN ('Queued', 'Running')
        AND idempotency_key = sessions.id || ':' || generation)";

/// Which recordings are kept no longer: those of sessions in a status that have not changed since.
#[derive(Clone, Copy, Debug)]
pub struct Due {
    /// Of sessions in this status; one that a worker leaves alone.
    pub status: Status,
    /// Which have not changed since.
    pub unchanged_since: DateTime<Utc>,
}

/// A recording that is due.
#[derive(Clone, Debug, FromQueryResult)]
pub struct Recording {
    /// Whose.
    pub session_id: Uuid,
    /// Where it lies.
    pub key: String,
    /// When the session was last changed.
    pub updated_at: DateTime<Utc>,
}

/// Lets go of recordings.
#[derive(Clone)]
pub struct Recordings {
    db: DatabaseConnection,
    clock: Arc<dyn Clock>,
    pipeline: Pipeline,
}

impl Recordings {
    /// Recordings of the sessions in this database; the pipeline tells everybody what is new.
    #[must_use]
    pub fn new(db: DatabaseConnection, clock: Arc<dyn Clock>, pipeline: Pipeline) -> Self {
        Self { db, clock, pipeline }
    }

    /// At most `most` recordings that are due, of one therapist or of all, after a given one, in order.
    ///
    /// # Errors
    /// Only faults.
    pub async fn due(
        &self,
        due: Due,
        therapist_id: Option<Uuid>,
        after: Option<&Recording>,
        most: i64,
    ) -> Result<Vec<Recording>> {
        let query = format!(
            "SELECT id AS session_id, audio_key AS key, updated_at {DUE} AND ($4::uuid IS NULL OR therapist_id = $4)
                AND ($5::timestamptz IS NULL OR (updated_at, id) > ($5, $6)) ORDER BY updated_at, id LIMIT $7"
        );
        let (since, id) = after.map(|last| (last.updated_at, last.session_id)).unzip();
        let values = [therapist_id.into(), since.into(), id.into(), most.into()];
        let values = due.values().into_iter().chain(values);
        let statement = Statement::from_sql_and_values(DatabaseBackend::Postgres, query, values);
        Ok(Recording::find_by_statement(statement).all(&self.db).await?)
    }

    /// Lets go of a session's recording, if it is still due now that the session is locked. Gives the file, condemned.
    ///
    /// # Errors
    /// Only faults.
    pub async fn let_go(
        &self,
        actor: &Actor,
        origin: &Origin,
        due: Due,
        session_id: Uuid,
    ) -> Result<Option<Condemned>> {
        let txn = database::begin(&self.db).await?;
        let session = Entity::find_by_id(session_id).lock_exclusive().one(&txn).await?;
        let Some(session) = session.filter(|session| session.audio_key.is_some()) else { return Ok(None) };
        // Asked again, for whoever held the lock before may have changed the session.
        if !is_due(&txn, due, session_id).await? {
            return Ok(None);
        }
        let key = session.audio_key.clone().unwrap_or_default();
        let condemned = Intake::condemn(&txn, session.therapist_id, &key).await?;
        let session = self.write(&txn, session).await?;
        let event = audit::Event {
            action: "session.remove_recording",
            subject_type: "session",
            subject_id: Some(session.id),
            patient_id: Some(session.patient_id),
            changed_fields: vec!["audioRemovedAt"],
            refused: false,
        };
        audit::record(&txn, Witness { actor, origin, at: self.clock.now() }, event).await?;
        failpoint::reach("recording.commit");
        txn.commit().await?;
        failpoint::reach("recording.committed");
        self.pipeline.committed();
        Ok(Some(condemned))
    }

    /// Tells everybody that a transaction with jobs or events has committed.
    pub fn committed(&self) {
        self.pipeline.committed();
    }

    /// The next version of a locked session: without a recording.
    async fn write(&self, txn: &DatabaseTransaction, session: Model) -> Result<Model> {
        let now = self.clock.now();
        let next = Model {
            audio_key: None,
            audio_removed_at: Some(now),
            version: session.version + 1,
            updated_at: now,
            ..session
        };
        Entity::update_many()
            .col_expr(Column::AudioKey, Expr::value(None::<String>))
            .col_expr(Column::AudioRemovedAt, Expr::value(now))
            .col_expr(Column::Version, Expr::value(next.version))
            .col_expr(Column::UpdatedAt, Expr::value(now))
            .filter(Column::Id.eq(next.id))
            .exec(txn)
            .await?;
        events::record(txn, &next, now).await?;
        Ok(next)
    }
}

impl Due {
    /// The values of [`DUE`].
    fn values(self) -> [Value; 3] {
        [self.status.to_value().into(), self.unchanged_since.into(), TranscribeSession::KIND.into()]
    }
}

async fn is_due(txn: &DatabaseTransaction, due: Due, session_id: Uuid) -> Result<bool> {
    let values = due.values().into_iter().chain([session_id.into()]);
    let statement = Statement::from_sql_and_values(
        DatabaseBackend::Postgres,
        format!("SELECT 1 {DUE} AND id = $4"),
        values,
    );
    Ok(txn.query_one_raw(statement).await?.is_some())
}
