//! Recognises the speech of a recording, piece by piece and track by track. Each finished piece is stored at once, whatever
//! its place: an attempt that follows a crash pays only for what is missing. Voices are told apart meanwhile (`listener`).

mod listener;

use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use futures::StreamExt;
use futures::stream::{BoxStream, select_all};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use self::listener::Listener;
use super::{Handler, JobError};
use crate::ai::{self, AiError, Provider, SpokenSegment, Transcription};
use crate::app::App;
use crate::audio::{self, AudioError, Piece, PieceLengths, Pieces, Track};
use crate::entity::session::{Model, Status};
use crate::error::{Error, Result};
use crate::failpoint;
use crate::queue::jobs::TranscribeSession;
use crate::queue::{Job, Lease};
use crate::sessions::pieces::{self, RecognisedPiece, SILENCE};
use crate::sessions::pipeline::Work;
use crate::storage::Fetched;
use crate::transcript::Heard;
use crate::transcript::invented::SILENCE_DBFS;

/// Progress within a piece is told in steps of at least this many percent, and no faster than [`REPORT_EVERY`].
const REPORT_STEP: i32 = 2;
const REPORT_EVERY: Duration = Duration::from_millis(400);
/// What may be missing at the end of a transcribed recording.
const UNHEARD_MS: i64 = 1000;
/// How far off a recogniser's times may be when the level of a segment is looked up.
const MARGIN_MS: i64 = 500;
/// The stretch whose level counts, in samples: a tenth of a second, a syllable.
const SYLLABLE: usize = ai::SAMPLE_RATE as usize / 10;
const DAMAGED: &str = "The stored recording cannot be read any more. Upload it again.";

#[async_trait]
impl Handler for TranscribeSession {
    async fn run(&self, app: &App, lease: &Lease) -> Result<(), JobError> {
        let work = self.work(lease);
        let Some(session) = app.pipeline.begin_transcription(work).await? else { return Ok(()) };
        app.pipeline.reuse_pieces(work, &app.transcriber.providers()).await?;
        let recording = recording(app, &session).await?;
        let mut listener = Listener::start(&session, &recording);
        recognise(app, work, (&session, &recording), &mut listener).await?;
        check_coverage(app, &session).await?;
        let voices = listener.finish(&pieces::utterances(&app.db, &session).await?).await;
        Ok(app.pipeline.finish_transcription(work, voices).await?)
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

/// Pieces are recognised side by side, and kept as they come. After a failure no new ones begin, but those under way are
/// waited for and kept: they are paid for.
async fn recognise(
    app: &App,
    work: Work<'_>,
    (session, recording): (&Model, &Arc<Fetched>),
    listener: &mut Listener,
) -> Result<(), JobError> {
    let kept = kept(app, session).await?;
    let recogniser = Recogniser::new(app, work, session, &kept);
    let failed = AtomicBool::new(false);
    let mut results = cut(app, session, recording, kept)
        .take_while(|_| std::future::ready(!failed.load(Ordering::Relaxed)))
        .map(|(track, piece)| recogniser.recognise(track, piece))
        .buffer_unordered(app.pieces_at_a_time);
    let mut first_failure = None;
    while let Some(result) = results.next().await {
        match result {
            Ok(piece) => {
                listener.hear(&app.pipeline.keep_piece(work, piece).await?);
            }
            Err(failure) => {
                failed.store(true, Ordering::Relaxed);
                first_failure.get_or_insert(failure);
            }
        }
    }
    first_failure.map_or(Ok(()), Err)
}

/// What of each track is recognised already.
async fn kept(app: &App, session: &Model) -> Result<Vec<Vec<Range<i64>>>> {
    let mut kept = Vec::new();
    for track in 0..session.audio_tracks {
        kept.push(pieces::recognised(&app.db, session.id, track).await?);
    }
    Ok(kept)
}

/// A transcript of a part must never pass for the whole: neither its notes nor its risk screen would say so.
async fn check_coverage(app: &App, session: &Model) -> Result<(), JobError> {
    for track in kept(app, session).await? {
        let end = track.iter().fold(0, |end, piece| if piece.start == end { piece.end } else { end });
        if end + UNHEARD_MS < session.audio_ms.unwrap_or(0) {
            return Err(JobError::Fail(DAMAGED.into()));
        }
    }
    Ok(())
}

/// The recording, as long as it is needed.
async fn recording(app: &App, session: &Model) -> Result<Arc<Fetched>, JobError> {
    let key = session.audio_key.as_deref().ok_or_else(|| JobError::Fail(DAMAGED.into()))?;
    let recording = app.storage.fetch(key).await.map_err(|error| match error {
        Error::NotFound(_) => JobError::Fail(DAMAGED.into()),
        other => other.into(),
    })?;
    Ok(Arc::new(recording))
}

/// The pieces of all tracks that are not recognised yet, each with its track.
fn cut(
    app: &App,
    session: &Model,
    recording: &Arc<Fetched>,
    kept: Vec<Vec<Range<i64>>>,
) -> BoxStream<'static, (i16, Result<Piece, AudioError>)> {
    let is_mixed = session.audio_tracks == 1;
    let tracks = (0_i16..).zip(kept).map(|(track, kept)| {
        let sound = if is_mixed { Track::Mix } else { Track::Channel(track.unsigned_abs()) };
        ReceiverStream::new(decode(recording.clone(), sound, lengths(app), kept))
            .map(move |piece| (track, piece))
            .boxed()
    });
    select_all(tracks.collect::<Vec<_>>()).boxed()
}

fn lengths(app: &App) -> PieceLengths {
    PieceLengths { longest: app.piece, search: app.piece / 4, overlap: app.overlap }
}

/// Decodes on a thread of its own, no further ahead than recognition can follow.
fn decode(
    recording: Arc<Fetched>,
    track: Track,
    lengths: PieceLengths,
    kept: Vec<Range<i64>>,
) -> mpsc::Receiver<Result<Piece, AudioError>> {
    let (sender, receiver) = mpsc::channel(1);
    tokio::task::spawn_blocking(move || {
        let pieces = match audio::decode(recording.path(), track) {
            Ok(samples) => Pieces::new(samples, lengths, kept),
            Err(error) => return drop(sender.blocking_send(Err(error))),
        };
        for piece in pieces {
            if sender.blocking_send(piece).is_err() {
                return;
            }
        }
    });
    receiver
}

/// Has pieces recognised, and tells subscribers how far it is.
struct Recogniser<'a> {
    app: &'a App,
    work: Work<'a>,
    session: &'a Model,
    /// Sound that is recognised, over all tracks; of pieces under way as much as is heard of.
    done_ms: AtomicI64,
    told: Mutex<(i32, Instant)>,
}

impl<'a> Recogniser<'a> {
    fn new(app: &'a App, work: Work<'a>, session: &'a Model, kept: &[Vec<Range<i64>>]) -> Self {
        let done = kept.iter().flatten().map(|piece| piece.end - piece.start).sum();
        let told = Mutex::new((session.percent_recognised(done), Instant::now()));
        Self { app, work, session, done_ms: AtomicI64::new(done), told }
    }

    async fn recognise(
        &self,
        track: i16,
        piece: Result<Piece, AudioError>,
    ) -> Result<RecognisedPiece, JobError> {
        let piece = piece.map_err(|error| match error {
            AudioError::Io(_) => Error::Internal(anyhow::Error::new(error)).into(),
            _ => JobError::Fail(DAMAGED.into()),
        })?;
        let recognised = |segments, provider, audio_ms, work_ms| RecognisedPiece {
            track,
            start_ms: piece.start_ms,
            end_ms: piece.end_ms,
            lead_ms: piece.lead_ms,
            segments,
            provider,
            audio_ms,
            work_ms,
        };
        if loudest_dbfs(&piece.samples) < SILENCE_DBFS {
            // Nobody is paid for listening to nothing, and nothing is made up on it.
            return Ok(recognised(Vec::new(), nobody(), 0, 0));
        }
        let started = Instant::now();
        let transcription = self.listen(&piece).await?;
        failpoint::reach("speech.answered");
        let work_ms = i64::try_from(started.elapsed().as_millis()).unwrap_or(i64::MAX);
        let audio_ms = transcription.usage.audio_ms.unwrap_or(piece.lead_ms + piece.end_ms - piece.start_ms);
        Ok(recognised(heard(transcription.segments, &piece), transcription.provider, audio_ms, work_ms))
    }

    /// Has a piece recognised, and tells of its progress meanwhile.
    async fn listen(&self, piece: &Piece) -> Result<Transcription, JobError> {
        let (sender, mut news) = mpsc::unbounded_channel();
        let transcriber = self.app.transcriber_for(self.session.therapist_id).await?;
        self.work.lease.check(&self.app.db).await?;
        let recognition = transcriber.transcribe(piece.samples.clone(), sender);
        tokio::pin!(recognition);
        let length = piece.end_ms - piece.start_ms;
        let mut counted = 0;
        let result = loop {
            tokio::select! {
                result = &mut recognition => break result,
                Some(news) = news.recv() => {
                    let done = heard_of(&news, piece).max(counted);
                    self.done_ms.fetch_add(done - counted, Ordering::Relaxed);
                    counted = done;
                    self.tell().await;
                }
            }
        };
        let rest = if result.is_ok() { length - counted } else { -counted };
        self.done_ms.fetch_add(rest, Ordering::Relaxed);
        result.map_err(AiError::into)
    }

    /// A courtesy: `keep_piece` is where a lost lease ends the work.
    async fn tell(&self) {
        let percent = self.session.percent_recognised(self.done_ms.load(Ordering::Relaxed));
        {
            let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
            if percent < told.0 + REPORT_STEP || told.1.elapsed() < REPORT_EVERY {
                return;
            }
            *told = (percent, Instant::now());
        }
        if let Err(error) = self.app.pipeline.report(self.work, Status::Transcribing, percent).await {
            tracing::warn!(%error, "progress was not reported");
        }
    }
}

/// Who recognises silence.
fn nobody() -> Provider {
    Provider { name: SILENCE.into(), ..Provider::default() }
}

/// How much of a piece was heard, in milliseconds.
fn heard_of(news: &ai::Heard, piece: &Piece) -> i64 {
    let length = piece.end_ms - piece.start_ms;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_precision_loss,
        reason = "a share of a few minutes"
    )]
    let done = match news {
        ai::Heard::Segment(segment) => segment.end_ms - piece.lead_ms,
        ai::Heard::Progress(share) => (f64::from(share.clamp(0.0, 1.0)) * length as f64) as i64,
    };
    done.clamp(0, length)
}

/// Moves times from the piece's clock to the recording's, and adds what only the sound tells.
fn heard(segments: Vec<SpokenSegment>, piece: &Piece) -> Vec<Heard> {
    let from = piece.start_ms - piece.lead_ms;
    // A recogniser may overshoot the end, its words do not.
    let place = |ms: i64| (from + ms.max(0)).min(piece.end_ms);
    segments
        .into_iter()
        .filter(|segment| !segment.text.trim().is_empty())
        .map(|segment| Heard {
            start_ms: place(segment.start_ms),
            end_ms: place(segment.end_ms.max(segment.start_ms)),
            confidence: segment.confidence.map(|confidence| confidence.clamp(0.0, 1.0)),
            no_speech: segment.no_speech,
            level_dbfs: Some(loudest_dbfs(around(&piece.samples, segment.start_ms, segment.end_ms))),
            speaker: segment.speaker,
            text: segment.text,
        })
        .collect()
}

/// The sound of a stretch with a margin on both sides; the whole where the stretch lies outside.
fn around(samples: &[f32], start_ms: i64, end_ms: i64) -> &[f32] {
    let sample = |ms: i64| {
        let sample = ms.max(0).saturating_mul(i64::from(ai::SAMPLE_RATE)) / 1000;
        usize::try_from(sample).unwrap_or(usize::MAX).min(samples.len())
    };
    let (from, to) = (sample(start_ms - MARGIN_MS), sample(end_ms.max(start_ms) + MARGIN_MS));
    if from < to { &samples[from..to] } else { samples }
}

/// Level of the loudest syllable.
fn loudest_dbfs(samples: &[f32]) -> f32 {
    samples.chunks(SYLLABLE).map(audio::level_dbfs).fold(f32::MIN, f32::max)
}
