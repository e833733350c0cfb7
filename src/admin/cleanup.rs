//! `therapybridge cleanup`: what a worker does every day, now, and to the end.

use std::io::Write;

use anyhow::{bail, ensure};

use crate::actor::{Actor, Origin};
use crate::app::App;
use crate::cleanup::{Errand, Parts, Report, Wanted};

/// What is to be done.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct Cleanup {
    /// Touches nothing, and says what would be removed.
    #[arg(long)]
    dry_run: bool,
}

/// Cleans up everybody's files, and says what was removed; a signal ends it, and whatever was begun is finished by a worker.
///
/// # Errors
/// When something could not be removed, or looked at; the message says what.
pub async fn run(app: &App, wanted: Cleanup) -> anyhow::Result<()> {
    let (actor, origin) = (Actor::System { job: "cleanup" }, Origin::default());
    let errand = Errand { actor: &actor, origin: &origin, until: None };
    let wanted = Wanted { parts: Parts::ALL, therapist_id: None, dry_run: wanted.dry_run };
    let done = app.stop.run_until_cancelled(app.cleanup.run(errand, wanted)).await;
    let Some(report) = done else { bail!("stopped; what was left is removed by the next clean-up") };
    tell(&report?)
}

fn tell(report: &Report) -> anyhow::Result<()> {
    let Report { files_deleted: files, sessions_cleaned: sessions, bytes_freed: bytes, .. } = *report;
    let (mb, mut out) = (report.mb_freed(), std::io::stdout());
    if report.dry_run {
        writeln!(out, "dry run: nothing was removed")?;
    }
    writeln!(out, "{files} files, {mb} MB ({bytes} bytes); recordings of {sessions} sessions among them")?;
    if report.unknown_files > 0 {
        writeln!(out, "{} files of nobody this server knows were left alone", report.unknown_files)?;
    }
    for error in &report.errors {
        writeln!(out, "{error}")?;
    }
    ensure!(report.error_count == 0, "{} errors; what was left is tried again by itself", report.error_count);
    ensure!(report.is_complete, "the file store could not be looked through");
    Ok(())
}
