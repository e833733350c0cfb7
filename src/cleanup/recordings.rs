//! Recordings that are kept no longer. The session stays, and says when its recording was removed.

use futures::{StreamExt, stream};
use uuid::Uuid;

use super::{Cleanup, Errand, Report, Wanted, is_over};
use crate::error::{Error, Result};
use crate::sessions::recording::{Due, Recording};

/// Recordings that are looked up at a time.
const PAGE: i64 = 100;
/// Sessions that are looked at, side by side.
const AT_A_TIME: usize = 4;

/// What became of a recording.
enum Fate {
    /// Somebody has changed the session meanwhile.
    Kept,
    /// The session is without it. Bytes of the file that is gone, if there was one.
    LetGo(Option<u64>),
    /// The session is without it, and the file is left to the sweep.
    Left(Error),
}

impl Cleanup {
    /// Lets sessions go of their recordings, and removes those; or counts them.
    pub(super) async fn remove_recordings(
        &self,
        errand: Errand<'_>,
        (wanted, due): (Wanted, Due),
        report: &mut Report,
    ) -> Result<()> {
        let mut last: Option<Recording> = None;
        loop {
            let page = self.recordings.due(due, wanted.therapist_id, last.as_ref(), PAGE).await?;
            let Some(end) = page.last().cloned() else { return Ok(()) };
            let fate = |recording| self.fate(errand, (wanted, due), recording);
            let mut fates = stream::iter(page.into_iter().map(fate).collect::<Vec<_>>()).buffered(AT_A_TIME);
            while let Some((session_id, fate)) = fates.next().await {
                let Some(fate) = fate else {
                    report.is_complete = false;
                    return Ok(());
                };
                count(report, session_id, fate)?;
            }
            last = Some(end);
        }
    }

    /// Decides on a recording, unless the time is up.
    async fn fate(
        &self,
        errand: Errand<'_>,
        wanted: (Wanted, Due),
        recording: Recording,
    ) -> (Uuid, Option<Result<Fate>>) {
        if is_over(errand.until) {
            return (recording.session_id, None);
        }
        (recording.session_id, Some(self.let_go(errand, wanted, &recording).await))
    }

    async fn let_go(
        &self,
        errand: Errand<'_>,
        (wanted, due): (Wanted, Due),
        recording: &Recording,
    ) -> Result<Fate> {
        let bytes = self.storage.size(&recording.key).await?;
        if wanted.dry_run {
            return Ok(Fate::LetGo(bytes));
        }
        let Errand { actor, origin, .. } = errand;
        let condemned = self.recordings.let_go(actor, origin, due, recording.session_id).await?;
        let Some(file) = condemned else { return Ok(Fate::Kept) };
        let gone = self.storage.intake(&self.db).clear_away(&[file]).await?.pop();
        Ok(gone.unwrap_or(Ok(())).map_or_else(Fate::Left, |()| Fate::LetGo(bytes)))
    }
}

fn count(report: &mut Report, session_id: Uuid, fate: Result<Fate>) -> Result<()> {
    let session = format!("session {session_id}");
    match fate {
        Ok(Fate::Kept) => {}
        Ok(Fate::LetGo(bytes)) => {
            report.sessions_cleaned += 1;
            if let Some(bytes) = bytes {
                report.count_file(bytes, "recording");
            }
        }
        Ok(Fate::Left(error)) => {
            report.sessions_cleaned += 1;
            report.count_error(&session, &error);
        }
        Err(error @ (Error::Storage(_) | Error::Internal(_))) => report.count_error(&session, &error),
        Err(error) => return Err(error),
    }
    Ok(())
}
