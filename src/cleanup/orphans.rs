//! Files without a row. The store is listed page by page, and each page compared with the database in one statement, so
//! that memory does not grow with the store.

use std::collections::HashMap;

use futures::TryStreamExt;

use super::needs::{self, File};
use super::{Cleanup, Errand, Report, Wanted, is_over, within};
use crate::error::{Error, Result};
use crate::failpoint;
use crate::storage::Stored;

/// What is written down and removed in one go.
const BATCH: usize = 100;
/// Removals that fail in a row, with none that succeeds: the store is away, or does not let us remove anything.
const PATIENCE: u64 = 500;
/// What the listing is called among errors.
const LISTING: &str = "the listing of the file store";

impl Cleanup {
    /// Removes the files that nobody needs, or counts them.
    pub(super) async fn remove_orphans(
        &self,
        errand: Errand<'_>,
        wanted: Wanted,
        report: &mut Report,
    ) -> Result<()> {
        let folder = wanted.therapist_id.map(|id| id.to_string());
        let mut pages = self.storage.list(folder.as_deref())?;
        let mut failed_in_a_row = 0;
        while let Some(page) = within(errand.until, pages.try_next()).await {
            let page = match page {
                Ok(Some(page)) => page,
                Ok(None) => return Ok(()),
                Err(error @ Error::Storage(_)) => {
                    report.count_error(LISTING, &error);
                    break;
                }
                Err(error) => return Err(error),
            };
            let unneeded = needs::unneeded_of(&self.db, &self.files(page)).await?;
            report.unknown_files += unneeded.unknown;
            for batch in unneeded.files.chunks(BATCH) {
                if is_over(errand.until) || failed_in_a_row >= PATIENCE {
                    report.is_complete = false;
                    return Ok(());
                }
                let (gone, failed) = self.remove_batch(batch, report).await?;
                failed_in_a_row = if gone == 0 { failed_in_a_row + failed } else { 0 };
            }
        }
        report.is_complete = false;
        Ok(())
    }

    fn files(&self, page: Vec<Stored>) -> Vec<File> {
        let old = self.before(self.config.orphaned_files);
        let file = |stored: Stored| {
            let is_old = stored.modified < old;
            File::new(stored, is_old)
        };
        page.into_iter().map(file).collect()
    }

    /// Removes a batch, or counts it; says how many files are gone, and how many are not.
    async fn remove_batch(&self, batch: &[File], report: &mut Report) -> Result<(u64, u64)> {
        if report.dry_run {
            for file in batch {
                report.count_file(file.stored.bytes, "orphan");
            }
            return Ok((batch.len() as u64, 0));
        }
        let condemned = needs::condemn(&self.db, batch).await?;
        failpoint::reach("orphans.condemned");
        let sizes: HashMap<&str, u64> =
            batch.iter().map(|file| (file.stored.key.as_str(), file.stored.bytes)).collect();
        let (mut gone, mut failed) = (0, 0);
        let discarded = self.storage.intake(&self.db).clear_away(&condemned).await?;
        for (file, discarded) in condemned.iter().zip(discarded) {
            match discarded {
                Ok(()) => {
                    gone += 1;
                    report.count_file(sizes.get(file.key.as_str()).copied().unwrap_or(0), "orphan");
                }
                Err(error) => {
                    failed += 1;
                    report.count_error(&file.key, &error);
                }
            }
        }
        Ok((gone, failed))
    }
}
