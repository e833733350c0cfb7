//! Who needs a file: the one place that knows. A new kind of file joins by a line of [`NEEDED_BY`].

use std::sync::LazyLock;

use sea_orm::{ConnectionTrait, DatabaseBackend, DbErr, FromQueryResult, Statement, Value};
use uuid::Uuid;

use crate::storage::{Condemned, Stored};

/// A file is needed as long as one of these finds a row. `file.key` is its key, `file.place` the id of its folder, the second
/// part of the key, where it is one. Each must find its row by an index, and from before the file is put until nobody
/// reads it any more: a file that is needed by nobody once must never be needed again.
const NEEDED_BY: [&str; 4] = [
    // The recording of a session. A job that reads it has its session, and nobody takes a file from a session at work.
    "sessions WHERE audio_key = file.key",
    // The parts of an upload. Its row outlives it, and goes together with them.
    "unfinished_uploads WHERE id = file.place",
    // An exported document. Its job has no key any more when it has expired or was deleted.
    "export_jobs WHERE file_key = file.key",
    // Just put, or being put: the row it belongs to is still to come.
    "stored_files WHERE key = file.key AND condemned_at IS NULL",
];

/// The files that nobody needs, by their place in the list, and whether their owner is known. Of those that are young only
/// what is condemned already: it was decided before, and the store did not let go.
static UNNEEDED: LazyLock<String> = LazyLock::new(|| {
    format!(
        "SELECT nth, EXISTS (SELECT 1 FROM users WHERE id = file.owner) AS is_known
        FROM unnest($1::text[], $2::uuid[], $3::uuid[], $4::boolean[]) WITH ORDINALITY AS file (key, owner, place, is_old, nth)
        WHERE (file.is_old OR EXISTS (SELECT 1 FROM stored_files WHERE key = file.key)) AND {}",
        unneeded()
    )
});

/// Condemns those of the files that nobody needs now.
static CONDEMN: LazyLock<String> = LazyLock::new(|| {
    format!(
        "INSERT INTO stored_files (key, therapist_id, created_at, expires_at, condemned_at)
        SELECT key, owner, now(), now() + interval '1 second', now()
        FROM unnest($1::text[], $2::uuid[], $3::uuid[]) AS file (key, owner, place) WHERE {}
        ON CONFLICT (key) DO UPDATE SET condemned_at = now() WHERE stored_files.condemned_at IS NOT NULL
        RETURNING key, multipart_id",
        unneeded()
    )
});

fn unneeded() -> String {
    NEEDED_BY.map(|row| format!("NOT EXISTS (SELECT 1 FROM {row})")).join(" AND ")
}

/// A file of the store, and what its key tells of it.
#[derive(Clone, Debug)]
pub(super) struct File {
    pub(super) stored: Stored,
    /// Whose it is: the first part of its key; nobody's (nil) where that is no id.
    owner: Uuid,
    /// The session or upload it lies in: the second part.
    place: Uuid,
    /// Kept for long enough to be removed, if nobody needs it.
    is_old: bool,
}

#[derive(FromQueryResult)]
struct Found {
    nth: i64,
    is_known: bool,
}

/// What nobody needs.
pub(super) struct Unneeded {
    /// Of somebody we know.
    pub(super) files: Vec<File>,
    /// How many there are of others: another server's, perhaps.
    pub(super) unknown: u64,
}

impl File {
    pub(super) fn new(stored: Stored, is_old: bool) -> Self {
        let mut parts = stored.key.split('/').map(|part| Uuid::try_parse(part).unwrap_or_default());
        let (owner, place) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        Self { stored, owner, place, is_old }
    }
}

/// Of these files, those that nobody needs.
pub(super) async fn unneeded_of(db: &impl ConnectionTrait, files: &[File]) -> Result<Unneeded, DbErr> {
    let is_old: Vec<bool> = files.iter().map(|file| file.is_old).collect();
    let values = values(files).into_iter().chain([is_old.into()]);
    let statement = Statement::from_sql_and_values(DatabaseBackend::Postgres, &*UNNEEDED, values);
    let found = Found::find_by_statement(statement).all(db).await?;
    let (known, unknown): (Vec<_>, Vec<_>) = found.into_iter().partition(|found| found.is_known);
    let file = |found: Found| files.get(usize::try_from(found.nth).ok()?.checked_sub(1)?).cloned();
    Ok(Unneeded { files: known.into_iter().filter_map(file).collect(), unknown: unknown.len() as u64 })
}

/// Writes down that these files are to be removed, as far as nobody needs them at this moment; gives those.
pub(super) async fn condemn(db: &impl ConnectionTrait, files: &[File]) -> Result<Vec<Condemned>, DbErr> {
    let statement = Statement::from_sql_and_values(DatabaseBackend::Postgres, &*CONDEMN, values(files));
    Condemned::find_by_statement(statement).all(db).await
}

fn values(files: &[File]) -> [Value; 3] {
    let keys: Vec<String> = files.iter().map(|file| file.stored.key.clone()).collect();
    let owners: Vec<Uuid> = files.iter().map(|file| file.owner).collect();
    let places: Vec<Uuid> = files.iter().map(|file| file.place).collect();
    [keys.into(), owners.into(), places.into()]
}
