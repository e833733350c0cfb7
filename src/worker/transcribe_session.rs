//! Recognises the speech of a recording, piece by piece. Each finished piece is stored at once: an attempt that
//! follows a crash pays only for what is missing.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use futures::{StreamExt, TryStreamExt};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::{Handler, JobError};
use crate::ai::{AiError, Heard, SpokenSegment, Transcriber, Transcription};
use crate::app::App;
use crate::audio::{self, AudioError, Piece, Pieces};
use crate::entity::session::{Model, Status};
use crate::error::{Error, Result};
use crate::failpoint;
use crate::notes;
use crate::notes::grounding::Transcript;
use crate::queue::jobs::TranscribeSession;
use crate::queue::{Job, Lease};
use crate::sessions::pipeline::{RecognisedPiece, Work};

/// Progress within a piece is told in steps of at least this many percent, and no faster than [`REPORT_EVERY`].
const REPORT_STEP: i32 = 2;
const REPORT_EVERY: Duration = Duration::from_millis(400);
/// What may be missing at the end of a transcribed recording.
const UNHEARD_MS: i64 = 1000;
const DAMAGED: &str = "The stored recording cannot be read any more. Upload it again.";

#[async_trait]
impl Handler for TranscribeSession {
    async fn run(&self, app: &App, lease: &Lease) -> Result<(), JobError> {
        let work = self.work(lease);
        let Some(session) = app.pipeline.begin_transcription(work).await? else { return Ok(()) };
        recognise(app, work, &session).await?;
        check_coverage(app, &session).await?;
        let segments = app.sessions.transcript(&session).await?;
        let screen = notes::screen(&Transcript::new(&segments));
        let screen = serde_json::to_value(screen).map_err(|error| Error::Internal(error.into()))?;
        Ok(app.pipeline.finish_transcription(work, screen).await?)
    }

    async fn give_up(&self, app: &App, lease: &Lease, message: &str) -> Result<()> {
        app.pipeline.fail(self.work(lease), message).await
    }
}

impl TranscribeSession {
    fn work<'a>(&self, lease: &'a Lease) -> Work<'a> {
        Work { lease, job: Self::KIND, session_id: self.session_id, generation: self.generation }
    }
}

async fn recognise(app: &App, work: Work<'_>, session: &Model) -> Result<(), JobError> {
    let stored = app.sessions.pieces(session).await?;
    let next = stored.last().map_or((0, 0), |last| (last.piece_index + 1, last.end_ms));
    let total_ms = session.audio_ms.unwrap_or(0).max(1);
    let pieces = pieces(app, session, next).await?;
    let reporter = Reporter { app, work, total_ms };
    // Pieces are recognised side by side, and kept in order.
    let recognised = ReceiverStream::new(pieces)
        .map(|piece| recognise_piece(&reporter, piece))
        .buffered(app.pieces_at_a_time);
    recognised
        .try_for_each(|piece| async {
            let percent = percent(piece.end_ms, total_ms);
            Ok(app.pipeline.keep_piece(work, piece, percent).await?)
        })
        .await
}

/// A transcript of a part must never pass for the whole: neither its notes nor its risk screen would say so.
async fn check_coverage(app: &App, session: &Model) -> Result<(), JobError> {
    let reached = app.sessions.pieces(session).await?.last().map_or(0, |last| last.end_ms);
    if reached + UNHEARD_MS < session.audio_ms.unwrap_or(0) {
        return Err(JobError::Fail(DAMAGED.into()));
    }
    Ok(())
}

/// Decodes on a thread of its own, no further ahead than recognition can follow; skips what is stored.
async fn pieces(
    app: &App,
    session: &Model,
    (index, from_ms): (i32, i64),
) -> Result<mpsc::Receiver<Result<Piece, AudioError>>, JobError> {
    let key = session.audio_key.as_deref().ok_or_else(|| JobError::Fail(DAMAGED.into()))?;
    let recording = app.storage.fetch(key).await.map_err(|error| match error {
        Error::NotFound(_) => JobError::Fail(DAMAGED.into()),
        other => other.into(),
    })?;
    let (sender, receiver) = mpsc::channel(1);
    let longest = app.piece;
    tokio::task::spawn_blocking(move || {
        let pieces = match audio::decode(recording.path()) {
            Ok(samples) => Pieces::with_lengths(samples, longest, longest / 4).resume(index, from_ms),
            Err(error) => return drop(sender.blocking_send(Err(error))),
        };
        for piece in pieces {
            if sender.blocking_send(piece).is_err() {
                return;
            }
        }
    });
    Ok(receiver)
}

async fn recognise_piece(
    reporter: &Reporter<'_>,
    piece: Result<Piece, AudioError>,
) -> Result<RecognisedPiece, JobError> {
    let piece = piece.map_err(|error| match error {
        AudioError::Io(_) => Error::Internal(anyhow::Error::new(error)).into(),
        _ => JobError::Fail(DAMAGED.into()),
    })?;
    let (transcriber, started) = (&reporter.app.transcriber, Instant::now());
    let transcription = reporter.listen(transcriber, &piece).await?;
    failpoint::reach("speech.answered");
    let work_ms = i64::try_from(started.elapsed().as_millis()).unwrap_or(i64::MAX);
    Ok(RecognisedPiece {
        index: piece.index,
        start_ms: piece.start_ms,
        end_ms: piece.end_ms,
        segments: placed(transcription.segments, &piece),
        provider: transcription.provider,
        audio_ms: transcription.usage.audio_ms.unwrap_or(piece.end_ms - piece.start_ms),
        work_ms,
    })
}

/// Moves times from the piece's clock to the recording's; a recogniser may overshoot the end, its words do not.
fn placed(segments: Vec<SpokenSegment>, piece: &Piece) -> Vec<SpokenSegment> {
    let place = |ms: i64| (piece.start_ms + ms.max(0)).min(piece.end_ms);
    segments
        .into_iter()
        .filter(|segment| !segment.text.trim().is_empty())
        .map(|segment| SpokenSegment {
            start_ms: place(segment.start_ms),
            end_ms: place(segment.end_ms.max(segment.start_ms)),
            confidence: segment.confidence.map(|confidence| confidence.clamp(0.0, 1.0)),
            ..segment
        })
        .collect()
}

/// Tells subscribers how far the recognition is.
struct Reporter<'a> {
    app: &'a App,
    work: Work<'a>,
    total_ms: i64,
}

impl Reporter<'_> {
    /// Has a piece recognised, and tells of its progress meanwhile.
    async fn listen(
        &self,
        transcriber: &Arc<dyn Transcriber>,
        piece: &Piece,
    ) -> Result<Transcription, JobError> {
        let (sender, mut heard) = mpsc::unbounded_channel();
        let recognition = transcriber.transcribe(piece.samples.clone(), sender);
        tokio::pin!(recognition);
        let (mut told, mut told_at) = (percent(piece.start_ms, self.total_ms), Instant::now());
        loop {
            tokio::select! {
                result = &mut recognition => return result.map_err(AiError::into),
                Some(news) = heard.recv() => {
                    let percent = self.percent_of(piece, &news);
                    if percent >= told + REPORT_STEP && told_at.elapsed() >= REPORT_EVERY {
                        // A courtesy: `keep_piece` is where a lost lease ends the work.
                        if let Err(error) = self.app.pipeline.report(self.work, Status::Transcribing, percent).await {
                            tracing::warn!(%error, "progress was not reported");
                        }
                        (told, told_at) = (percent, Instant::now());
                    }
                }
            }
        }
    }

    fn percent_of(&self, piece: &Piece, news: &Heard) -> i32 {
        let length = piece.end_ms - piece.start_ms;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_precision_loss,
            reason = "a share of a few minutes"
        )]
        let done = match news {
            Heard::Segment(segment) => segment.end_ms.clamp(0, length),
            Heard::Progress(share) => (f64::from(share.clamp(0.0, 1.0)) * length as f64) as i64,
        };
        percent(piece.start_ms + done, self.total_ms)
    }
}

/// Percent of the recording; 100 is left to the end of the stage.
fn percent(done_ms: i64, total_ms: i64) -> i32 {
    i32::try_from(done_ms.saturating_mul(100) / total_ms).unwrap_or(99).clamp(0, 99)
}
