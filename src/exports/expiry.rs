//! The end of a file's time: it is removed, and its job says so.

use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect};
use uuid::Uuid;

use super::jobs::Exports;
use crate::database;
use crate::entity::export_job::{Column, Entity, Status};
use crate::error::Result;

/// Jobs looked for at a time.
const BATCH: u64 = 100;

impl Exports {
    /// Removes the files whose time is over, each in a transaction of its own, and tells whoever follows their jobs. Says how many.
    ///
    /// # Errors
    /// When the database does not answer; the rest goes next time.
    pub async fn expire(&self) -> Result<u64> {
        let mut expired = 0;
        loop {
            let over = self.over().await?;
            for id in &over {
                expired += u64::from(self.expire_one(*id).await?);
            }
            if (over.len() as u64) < BATCH {
                return Ok(expired);
            }
        }
    }

    async fn over(&self) -> Result<Vec<Uuid>> {
        let over = Entity::find()
            .select_only()
            .column(Column::Id)
            .filter(Column::FileKey.is_not_null())
            .filter(Column::ExpiresAt.lte(self.clock.now()))
            .order_by_asc(Column::ExpiresAt)
            .limit(BATCH);
        Ok(over.into_tuple().all(&self.db).await?)
    }

    /// One that was deleted, or expired by another process, meanwhile is left alone.
    async fn expire_one(&self, id: Uuid) -> Result<bool> {
        let txn = database::begin(&self.db).await?;
        let held = Entity::find_by_id(id).filter(Column::FileKey.is_not_null()).lock_exclusive();
        let Some(job) = held.one(&txn).await? else { return Ok(false) };
        let key = job.file_key.clone();
        let job = self
            .write(&txn, job, |job| {
                job.status = Status::Expired;
                job.file_key = None;
            })
            .await?;
        self.let_go(txn, (job.therapist_id, key)).await?;
        Ok(true)
    }
}
