//! Recordings that say where they are: a tone a sentence, with silence around it, whose pitch tells the session and
//! the sentence. So a provider that gets any piece of any recording knows what is said in it, and when.

use std::f64::consts::TAU;

use super::rng::Rng;

const RATE: usize = 16_000;
const MS: usize = RATE / 1000;
const LEAD_MS: i64 = 250;
const TONE_MS: i64 = 600;
/// From one sentence to the next.
const SLOT_MS: i64 = 1100;
/// Sessions in one run at most.
const SESSIONS: u32 = 6;
const LOWEST_HZ: f64 = 300.0;
const STEP_HZ: f64 = 12.0;

/// A sentence of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Sentence {
    pub(crate) session: u32,
    pub(crate) number: u32,
}

/// A sentence in a piece; milliseconds from the piece's start.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spoken {
    pub(crate) sentence: Sentence,
    pub(crate) start_ms: i64,
    pub(crate) end_ms: i64,
}

impl Sentence {
    fn pitch(self) -> f64 {
        LOWEST_HZ + STEP_HZ * f64::from(self.number * SESSIONS + self.session)
    }

    fn of_pitch(hz: f64) -> Self {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a few hundred at most")]
        let code = ((hz - LOWEST_HZ) / STEP_HZ).round().max(0.0) as u32;
        Self { session: code % SESSIONS, number: code / SESSIONS }
    }

    /// When it begins in its recording.
    pub(crate) fn start_ms(self) -> i64 {
        i64::from(self.number) * SLOT_MS + LEAD_MS
    }

    /// Its words: other ones for each sentence of each session.
    pub(crate) fn words(self) -> String {
        let mut rng = Rng::new(u64::from(self.session) * 1000 + u64::from(self.number));
        let words: Vec<&str> = (0..6).map(|_| rng.pick(&WORDS)).collect();
        format!("{}.", words.join(" "))
    }
}

/// The recording of a session, as WAV.
pub(crate) fn wav(session: u32, sentences: u32) -> Vec<u8> {
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: 16_000,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut file = std::io::Cursor::new(Vec::new());
    let mut writer = hound::WavWriter::new(&mut file, spec).unwrap();
    for number in 0..sentences {
        let pitch = Sentence { session, number }.pitch();
        for at in 0..SLOT_MS * 16 {
            let within = at - LEAD_MS * 16;
            let sounds = (0..TONE_MS * 16).contains(&within);
            writer.write_sample(if sounds { tone(pitch, within) } else { 0 }).unwrap();
        }
    }
    writer.finalize().unwrap();
    file.into_inner()
}

#[expect(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "16 bits, a few thousand")]
fn tone(pitch: f64, at: i64) -> i16 {
    ((at as f64 * pitch * TAU / RATE as f64).sin() * 9000.0) as i16
}

/// The sentences that stand whole in a piece.
pub(crate) fn listen(wav: &[u8]) -> Vec<Spoken> {
    let mut reader = hound::WavReader::new(std::io::Cursor::new(wav)).unwrap();
    assert_eq!(reader.spec().sample_rate, 16_000, "what providers get is 16 kHz");
    let samples: Vec<i16> = reader.samples::<i16>().map(Result::unwrap).collect();
    let loud: Vec<bool> = samples
        .chunks(10 * MS)
        .map(|block| block.iter().any(|sample| sample.unsigned_abs() > 1500))
        .chain([false])
        .collect();
    let (mut spoken, mut since) = (Vec::new(), None);
    for (block, loud) in loud.into_iter().enumerate() {
        match (since, loud) {
            (None, true) => since = Some(block),
            (Some(start), false) => {
                spoken.extend(sentence(&samples, start, block));
                since = None;
            }
            _ => {}
        }
    }
    spoken
}

/// What is said between two blocks of 10 ms, unless only a part of it is heard.
fn sentence(samples: &[i16], from: usize, to: usize) -> Option<Spoken> {
    let (start_ms, end_ms) = (i64::try_from(from * 10).unwrap(), i64::try_from(to * 10).unwrap());
    if end_ms - start_ms < TONE_MS - 20 {
        return None;
    }
    // Without the first and last block: they are silent in part.
    let inner = &samples[(from + 1) * 10 * MS..(to - 1) * 10 * MS];
    let crossings = inner.windows(2).filter(|pair| (pair[0] < 0) != (pair[1] < 0)).count();
    #[expect(clippy::cast_precision_loss, reason = "a few thousand")]
    let hz = crossings as f64 * RATE as f64 / (2.0 * inner.len() as f64);
    Some(Spoken { sentence: Sentence::of_pitch(hz), start_ms, end_ms })
}

const WORDS: [&str; 48] = [
    "morning",
    "garden",
    "letter",
    "window",
    "river",
    "mountain",
    "kitchen",
    "Sunday",
    "walking",
    "reading",
    "sleeping",
    "cooking",
    "train",
    "bicycle",
    "music",
    "painting",
    "colleague",
    "neighbour",
    "meeting",
    "holiday",
    "weather",
    "autumn",
    "breathing",
    "counting",
    "calmer",
    "restless",
    "curious",
    "tired",
    "better",
    "slower",
    "yesterday",
    "tomorrow",
    "always",
    "seldom",
    "together",
    "outside",
    "upstairs",
    "behind",
    "listening",
    "waiting",
    "evening",
    "blanket",
    "coffee",
    "notebook",
    "station",
    "library",
    "orchard",
    "lantern",
];
