//! The recogniser on the real model `tiny.en`.

use std::path::Path;

use tokio::sync::mpsc::unbounded_channel;

use super::*;

fn tiny() -> WhisperTranscriber {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(".cache/models/ggml-tiny.en.bin");
    assert!(path.is_file(), "run `make test`, which fetches the model");
    WhisperTranscriber::new(path, "tiny.en", 1, 1)
}

/// White noise, the same every time.
fn noise(seconds: usize) -> Arc<[f32]> {
    let mut state = 1_u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        f32::from(u8::try_from(state >> 24).unwrap()) / 2550.0 - 0.05
    };
    (0..seconds * SAMPLE_RATE as usize).map(|_| next()).collect()
}

#[tokio::test]
async fn a_missing_model_names_the_command_that_gets_it() {
    let whisper = WhisperTranscriber::new("no/such/model.bin".into(), "tiny.en", 1, 1);
    let error = whisper.transcribe(noise(1), unbounded_channel().0).await.unwrap_err();
    assert!(matches!(&error, AiError::Permanent { .. }));
    assert!(error.to_string().ends_with("therapybridge models fetch tiny.en"), "{error}");
}

#[tokio::test]
async fn a_damaged_model_is_a_permanent_failure() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(&file, b"no model").unwrap();
    let whisper = WhisperTranscriber::new(file.path().to_owned(), "tiny.en", 1, 1);
    let error = whisper.transcribe(noise(1), unbounded_channel().0).await.unwrap_err();
    assert!(matches!(error, AiError::Permanent { .. }));
}

#[tokio::test]
async fn silence_holds_no_words() {
    let whisper = tiny();
    for samples in [0, 1, 3 * 16_000] {
        let (heard, mut listener) = unbounded_channel();
        let silence = Arc::from(vec![0.0; samples]);
        let result = whisper.transcribe(silence, heard).await.unwrap();
        assert_eq!(result.segments, []);
        assert_eq!(result.usage.audio_ms, Some(i64::try_from(samples).unwrap() / 16));
        let mut last = None;
        while let Some(message) = listener.recv().await {
            last = Some(message);
        }
        assert_eq!(last, Some(Heard::Progress(1.0)));
    }
}

#[tokio::test]
async fn a_dropped_future_ends_the_run_and_frees_its_slot() {
    let whisper = tiny();
    let (heard, mut listener) = unbounded_channel();
    tokio::select! {
        _ = whisper.transcribe(noise(120), heard) => panic!("two minutes are not heard before the first message"),
        _ = listener.recv() => {}
    }
    while let Some(message) = listener.recv().await {
        assert_ne!(message, Heard::Progress(1.0));
    }
    assert!(whisper.slots.acquire().await.is_ok());
}

#[tokio::test]
async fn a_closed_channel_cancels_the_run() {
    let (heard, mut listener) = unbounded_channel();
    let close_after_a_message = async {
        listener.recv().await;
        listener.close();
    };
    let whisper = tiny();
    let (result, ()) = tokio::join!(whisper.transcribe(noise(120), heard), close_after_a_message);
    assert!(matches!(result, Err(AiError::Cancelled)));
}
