//! Tells two voices apart, where neither provider nor channels do, while recognition is still going on: a thread listens
//! through the recording, as far behind as the transcript is settled. What fails here costs the labels, never the
//! transcript.

use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};

use tokio::task::JoinHandle;
use uuid::Uuid;

use crate::audio::voices::{self, Speakers};
use crate::audio::{self, AudioError, Track};
use crate::entity::session::Model;
use crate::storage::Fetched;
use crate::transcript::Utterance;

/// Who listens to the voices of a recording; `None` where there is no need.
pub(super) struct Listener(Option<Listening>);

struct Listening {
    session_id: Uuid,
    /// Where utterances begin and end, in order.
    spans: Sender<(i64, i64)>,
    /// How many were sent.
    sent: usize,
    listening: JoinHandle<Result<Speakers, AudioError>>,
}

impl Listener {
    /// Begins to listen, unless each channel holds one speaker. Ends with its [`Listener`], whatever happens.
    pub(super) fn start(session: &Model, recording: &Arc<Fetched>) -> Self {
        if session.audio_tracks > 1 {
            return Self(None);
        }
        let (spans, heard) = channel();
        let recording = recording.clone();
        let listen = move || {
            let sound = audio::decode(recording.path(), Track::Mix)?;
            voices::tell_apart(sound, heard)
        };
        let listening = tokio::task::spawn_blocking(listen);
        Self(Some(Listening { session_id: session.id, spans, sent: 0, listening }))
    }

    /// Listens to these utterances, too: all that are settled, of which some may have been heard before.
    pub(super) fn hear(&mut self, settled: &[Utterance]) {
        let Some(listening) = &mut self.0 else { return };
        if settled.iter().any(|utterance| utterance.speaker.is_some()) {
            // The provider tells.
            self.0 = None;
            return;
        }
        for utterance in settled.iter().skip(listening.sent) {
            // Whoever no longer listens says why at the end.
            let _ = listening.spans.send((utterance.start_ms, utterance.end_ms));
            listening.sent += 1;
        }
    }

    /// Whose voice each utterance of a complete transcript is; empty where that is not heard.
    pub(super) async fn finish(mut self, utterances: &[Utterance]) -> Vec<Option<u8>> {
        self.hear(utterances);
        let Some(Listening { session_id, spans, listening, .. }) = self.0 else { return Vec::new() };
        drop(spans);
        match listening.await {
            Ok(Ok(speakers)) => return speakers.voices,
            Ok(Err(error)) => tracing::warn!(session = %session_id, %error, "voices were not told apart"),
            Err(error) => tracing::error!(session = %session_id, %error, "voices were not told apart"),
        }
        Vec::new()
    }
}
