//! The answer of a speech model: what came over the wire, and what was said.

use serde::Deserialize;

use crate::ai::{Provider, SpokenSegment, Transcription, Usage};

/// A transcription in any of the formats; servers differ in what they leave out.
#[derive(Deserialize)]
pub(super) struct SpeechAnswer {
    text: Option<String>,
    duration: Option<f64>,
    #[serde(default)]
    segments: Vec<Segment>,
}

#[derive(Deserialize)]
struct Segment {
    start: f64,
    end: f64,
    text: String,
    avg_logprob: Option<f64>,
    no_speech_prob: Option<f64>,
    compression_ratio: Option<f64>,
    speaker: Option<String>,
}

impl SpeechAnswer {
    /// What was said in a piece of this length.
    pub(super) fn into_transcription(self, length_ms: i64, provider: Provider) -> Transcription {
        let audio_ms = self.duration.map_or(length_ms, to_ms);
        let mut segments: Vec<_> = if self.segments.is_empty() {
            whole(&self.text.unwrap_or_default(), length_ms).into_iter().collect()
        } else {
            self.segments.into_iter().filter_map(|segment| segment.spoken(length_ms)).collect()
        };
        segments.sort_by_key(|segment| segment.start_ms);
        Transcription { segments, usage: Usage { audio_ms: Some(audio_ms), ..Usage::default() }, provider }
    }
}

/// The one segment of an answer without times.
fn whole(text: &str, length_ms: i64) -> Option<SpokenSegment> {
    let text = text.trim().to_owned();
    (!text.is_empty()).then_some(SpokenSegment {
        start_ms: 0,
        end_ms: length_ms,
        text,
        ..SpokenSegment::default()
    })
}

impl Segment {
    /// `None` where nothing was said.
    fn spoken(self, length_ms: i64) -> Option<SpokenSegment> {
        let text = self.text.trim().to_owned();
        if text.is_empty() {
            return None;
        }
        let start_ms = to_ms(self.start).clamp(0, length_ms);
        Some(SpokenSegment {
            start_ms,
            end_ms: to_ms(self.end).clamp(start_ms, length_ms),
            text,
            confidence: self.avg_logprob.map(to_probability),
            speaker: self.speaker,
            no_speech: self.no_speech_prob.map(to_f32),
            avg_logprob: self.avg_logprob.map(to_f32),
            compression_ratio: self.compression_ratio.map(to_f32),
        })
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the cast saturates, and the caller clamps")]
fn to_ms(seconds: f64) -> i64 {
    (seconds * 1000.0).round() as i64
}

fn to_probability(logprob: f64) -> f32 {
    to_f32(logprob.exp().clamp(0.0, 1.0))
}

#[expect(clippy::cast_possible_truncation, reason = "a probability needs no more digits")]
fn to_f32(value: f64) -> f32 {
    value as f32
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::ai::Prices;

    fn provider() -> Provider {
        let (name, model) = ("openai".to_owned(), "whisper-1".to_owned());
        Provider { name, model, prompt_version: String::new(), prices: Prices::FREE }
    }

    fn transcription(answer: serde_json::Value) -> Transcription {
        serde_json::from_value::<SpeechAnswer>(answer).unwrap().into_transcription(10_000, provider())
    }

    #[test]
    fn segments_become_milliseconds_and_log_probabilities_become_confidence() {
        let heard = transcription(json!({"duration": 9.5, "segments": [
            {"start": 1.234, "end": 2.5, "text": " Hello. ", "avg_logprob": 0.0, "no_speech_prob": 0.1},
        ]}));
        let expected = SpokenSegment {
            start_ms: 1234,
            end_ms: 2500,
            text: "Hello.".to_owned(),
            confidence: Some(1.0),
            no_speech: Some(0.1),
            avg_logprob: Some(0.0),
            ..SpokenSegment::default()
        };
        assert_eq!(heard.segments, [expected]);
        assert_eq!(heard.usage.audio_ms, Some(9500));
    }

    #[test]
    fn times_stay_within_the_piece_and_in_order() {
        let heard = transcription(json!({"segments": [
            {"start": 9.0, "end": 31.0, "text": "late", "speaker": "B"},
            {"start": -1.0, "end": -2.0, "text": "early", "speaker": "A"},
        ]}));
        let times: Vec<_> = heard.segments.iter().map(|s| (s.start_ms, s.end_ms)).collect();
        assert_eq!(times, [(0, 0), (9_000, 10_000)]);
        assert_eq!(heard.segments[1].speaker.as_deref(), Some("B"));
    }

    #[test]
    fn text_without_segments_spans_the_piece() {
        let heard = transcription(json!({"text": " All of it. "}));
        assert_eq!((heard.segments[0].start_ms, heard.segments[0].end_ms), (0, 10_000));
        assert_eq!(heard.segments[0].confidence, None);
        assert_eq!(heard.usage.audio_ms, Some(10_000));
        assert!(transcription(json!({"text": "  "})).segments.is_empty());
    }
}
