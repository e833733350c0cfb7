//! Files whose rows are still to come, so that after any crash there is no file without a row, and no row without its
//! file.
//!
//! Before a file goes under its key, an intent is committed (a row of `stored_files`); the transaction that makes the
//! file's own row takes the intent away. An intent that nobody took away in time belongs to a process that died, or to a
//! commit that never happened: a sweep removes its file. A sweep condemns an intent first, in a transaction of its own,
//! and only then touches the file; a condemned intent cannot be taken away any more. So whichever of the two commits first
//! wins, the other one learns of it, and a sweep that is killed halfway is finished by the next.
//!
//! The same the other way round: a file that is to be removed is condemned in the transaction that takes it from its row
//! ([`Intake::condemn`]), and removed after the commit ([`Intake::clear_away`], [`Intake::abandon`]), or by a sweep.

use std::time::Duration;

use futures::{StreamExt, stream};
use sea_orm::{
    ConnectionTrait, DatabaseBackend, DatabaseConnection, DbErr, FromQueryResult, Statement, Value,
};
use tempfile::NamedTempFile;
use uuid::Uuid;

use super::Storage;
use crate::error::{Error, Result};
use crate::failpoint;

const INTEND: &str = "INSERT INTO stored_files (key, therapist_id, created_at, expires_at)
    VALUES ($1, $2, now(), now() + make_interval(secs => $3))";
const NOTE: &str = "UPDATE stored_files SET multipart_id = $2 WHERE key = $1 AND condemned_at IS NULL";
const TAKE: &str = "DELETE FROM stored_files WHERE key = $1 AND condemned_at IS NULL";
const CONDEMN: &str =
    "UPDATE stored_files SET condemned_at = now() WHERE key = $1 RETURNING key, multipart_id";
/// Rows whose transaction is under way are locked, and passed over.
const CONDEMN_EXPIRED: &str = "UPDATE stored_files SET condemned_at = now() WHERE key IN (
    SELECT key FROM stored_files WHERE condemned_at IS NULL AND expires_at < now()
    ORDER BY expires_at LIMIT 1000 FOR UPDATE SKIP LOCKED)";
const CONDEMNED: &str = "SELECT key, multipart_id FROM stored_files WHERE condemned_at IS NOT NULL
    ORDER BY condemned_at LIMIT 1000";
const FORGET: &str = "DELETE FROM stored_files WHERE key = $1 AND condemned_at IS NOT NULL";
/// To the end of the line, so that one file that does not go is not in the way of the others.
const POSTPONE: &str =
    "UPDATE stored_files SET condemned_at = now() WHERE key = $1 AND condemned_at IS NOT NULL";
const CONDEMN_FILE: &str =
    "INSERT INTO stored_files (key, therapist_id, created_at, expires_at, condemned_at)
    VALUES ($1, $2, now(), now() + interval '1 second', now())";
const FORGET_ALL: &str = "DELETE FROM stored_files WHERE key = ANY ($1) AND condemned_at IS NOT NULL";
/// Files that are removed at a time.
const REMOVALS_AT_A_TIME: usize = 8;
/// A store that fails so often in a sweep is away: the next sweep asks again.
const PATIENCE: usize = 3;
/// Somebody waits for the answer; the sweep does not.
const ABANDON_WITHIN: Duration = Duration::from_secs(10);

/// Takes files in.
#[derive(Clone, Copy, Debug)]
pub struct Intake<'a> {
    db: &'a DatabaseConnection,
    storage: &'a Storage,
}

/// What a sweep did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Intents whose files are gone now, if there ever were any.
    pub files: usize,
    /// Intents that are left to the next sweep, because the store did not let go.
    pub left: usize,
}

/// A file that is to be removed: from now on no row can name it any more.
#[derive(Clone, Debug, FromQueryResult)]
pub struct Condemned {
    /// What names it.
    pub key: String,
    /// An upload in parts that an object store may still keep for it.
    pub multipart_id: Option<String>,
}

impl<'a> Intake<'a> {
    pub(super) fn new(db: &'a DatabaseConnection, storage: &'a Storage) -> Self {
        Self { db, storage }
    }

    /// Brings a spool file under `key`, for a row that is to be made by a transaction which calls [`confirm`](Self::confirm).
    /// If it is not, call [`abandon`](Self::abandon); without either the file is swept in time.
    ///
    /// # Errors
    /// [`Error::Storage`] when the store is full, not writable or does not answer; nothing is left then, or it is swept
    /// when the store is back.
    pub async fn put(&self, therapist_id: Uuid, key: &str, spooled: NamedTempFile) -> Result<()> {
        let seconds = self.storage.commit_window.as_secs_f64();
        let values = [key.into(), therapist_id.into(), seconds.into()];
        run(self.db, INTEND, values).await?;
        failpoint::reach("upload.intended");
        let note = |id: String| async move {
            match run(self.db, NOTE, [key.into(), id.into()]).await? {
                1 => Ok(()),
                _ => Err(too_late()),
            }
        };
        let put = self.storage.put_noting(key, spooled, note).await;
        if put.is_err() {
            self.abandon(key).await;
        }
        put
    }

    /// Takes the intent away, in the transaction that makes the file's row.
    ///
    /// # Errors
    /// [`Error::Storage`] when it took so long that a sweep has, or will have, removed the file: roll back.
    pub async fn confirm(txn: &impl ConnectionTrait, key: &str) -> Result<()> {
        match run(txn, TAKE, [key.into()]).await? {
            1 => Ok(()),
            _ => Err(too_late()),
        }
    }

    /// Removes the file of a transaction that was rolled back, or that gave it up. What cannot be removed now is swept later.
    pub async fn abandon(&self, key: &str) {
        match tokio::time::timeout(ABANDON_WITHIN, self.remove(key)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(?error, key, "a file that nobody wants is left to the sweep"),
            Err(_) => tracing::warn!(key, "a file that nobody wants is left to the sweep: no answer"),
        }
    }

    async fn remove(&self, key: &str) -> Result<()> {
        let statement = Statement::from_sql_and_values(DatabaseBackend::Postgres, CONDEMN, [key.into()]);
        let condemned = Condemned::find_by_statement(statement).one(self.db).await?;
        // Without an intent a sweep was faster; the file may have come after it.
        self.clear(&condemned.unwrap_or_else(|| Condemned { key: key.to_owned(), multipart_id: None })).await
    }

    async fn clear(&self, condemned: &Condemned) -> Result<()> {
        self.storage.clear(&condemned.key, condemned.multipart_id.as_deref()).await?;
        run(self.db, FORGET, [condemned.key.as_str().into()]).await?;
        Ok(())
    }

    /// Writes down that a file is to be removed, in the transaction that takes it from its row.
    ///
    /// # Errors
    /// When the database does not take it.
    pub async fn condemn(txn: &impl ConnectionTrait, therapist_id: Uuid, key: &str) -> Result<Condemned> {
        run(txn, CONDEMN_FILE, [key.into(), therapist_id.into()]).await?;
        Ok(Condemned { key: key.to_owned(), multipart_id: None })
    }

    /// Removes condemned files, a few at a time; says of each, in order, whether it is gone. One that is not is in nobody's way:
    /// a sweep removes it when the store lets go.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn clear_away(&self, condemned: &[Condemned]) -> Result<Vec<Result<()>>> {
        let clear = |file: &Condemned| {
            let (storage, file) = (self.storage.clone(), file.clone());
            async move { storage.clear(&file.key, file.multipart_id.as_deref()).await }
        };
        let cleared: Vec<Result<()>> = stream::iter(condemned.iter().map(clear).collect::<Vec<_>>())
            .buffered(REMOVALS_AT_A_TIME)
            .collect()
            .await;
        let gone = condemned.iter().zip(&cleared).filter(|(_, cleared)| cleared.is_ok());
        let gone: Vec<String> = gone.map(|(file, _)| file.key.clone()).collect();
        run(self.db, FORGET_ALL, [gone.into()]).await?;
        Ok(cleared)
    }

    /// Removes the files of intents that have expired. Any number of processes may do so at once.
    ///
    /// # Errors
    /// When the database does not answer. A store that does not is [`Swept::left`].
    pub async fn sweep(&self) -> Result<Swept> {
        run(self.db, CONDEMN_EXPIRED, []).await?;
        let statement = Statement::from_string(DatabaseBackend::Postgres, CONDEMNED);
        let condemned = Condemned::find_by_statement(statement).all(self.db).await?;
        let (mut swept, mut failed, total) = (Swept::default(), 0, condemned.len());
        for intent in condemned {
            match self.clear(&intent).await {
                Ok(()) => swept.files += 1,
                Err(error) => {
                    tracing::warn!(
                        ?error,
                        key = intent.key,
                        "a file that nobody wants cannot be removed yet"
                    );
                    run(self.db, POSTPONE, [intent.key.into()]).await?;
                    failed += 1;
                }
            }
            if failed == PATIENCE {
                break;
            }
        }
        swept.left = total - swept.files;
        Ok(swept)
    }
}

async fn run<const N: usize>(
    db: &impl ConnectionTrait,
    query: &str,
    values: [Value; N],
) -> Result<u64, DbErr> {
    let statement = Statement::from_sql_and_values(DatabaseBackend::Postgres, query, values);
    Ok(db.execute_raw(statement).await?.rows_affected())
}

fn too_late() -> Error {
    Error::Storage(anyhow::anyhow!("the file was not stored within UPLOAD_COMMIT_SECONDS, and is swept"))
}
