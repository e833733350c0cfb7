//! How often the voices said are right, on recordings made by `tests/data/voices/make` and on the shipped
//! ones. The figures of docs/pipeline.md are printed by the ignored test; the others hold a part of them.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::*;
use crate::audio::{AudioError, Track, decode};

/// An utterance as it is known to be.
#[derive(Clone, Debug, PartialEq)]
struct Truth {
    span: (i64, i64),
    /// Who speaks most, numbered in the order of their coming.
    voice: usize,
    /// Whether somebody else has more than a quarter of the speech.
    is_mixed: bool,
}

/// Utterances: all, those with a voice, those of which it is the right one, and those with a voice and two
/// people in them.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Score {
    all: usize,
    labelled: usize,
    right: usize,
    mixed: usize,
}

impl Score {
    fn of(truth: &[Truth], voices: &[Option<u8>]) -> Self {
        let labelled: Vec<(&Truth, usize)> = truth
            .iter()
            .zip(voices)
            .filter_map(|(truth, voice)| Some((truth, usize::from((*voice)?))))
            .collect();
        // Which number a voice has is of no matter; with one true voice, nothing that is said is right.
        let people = truth.iter().map(|truth| truth.voice).max().map_or(0, |last| last + 1);
        let right = |one: usize, other: usize| {
            labelled.iter().filter(|(truth, voice)| truth.voice == [one, other][*voice]).count()
        };
        let pairs = (0..people).flat_map(|one| (0..people).map(move |other| (one, other)));
        Self {
            all: truth.len(),
            labelled: labelled.len(),
            right: pairs
                .filter(|(one, other)| one != other)
                .map(|(one, other)| right(one, other))
                .max()
                .unwrap_or(0),
            mixed: labelled.iter().filter(|(truth, _)| truth.is_mixed).count(),
        }
    }

    fn plus(self, other: Self) -> Self {
        Self {
            all: self.all + other.all,
            labelled: self.labelled + other.labelled,
            right: self.right + other.right,
            mixed: self.mixed + other.mixed,
        }
    }

    fn percent(part: usize, whole: usize) -> String {
        if whole == 0 { "–".into() } else { format!("{:.1}", part as f64 * 100.0 / whole as f64) }
    }
}

fn data() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data")
}

/// The points of a recording's windows, a byte a coordinate, and who speaks: small enough to keep.
fn pack(truth: &[Truth], heard: &[Heard]) -> Vec<u8> {
    let mut packed = Vec::new();
    for (utterance, truth) in truth.iter().enumerate() {
        let own: Vec<&Heard> = heard.iter().filter(|window| window.utterance == utterance).collect();
        packed.extend([truth.voice as u8, u8::from(truth.is_mixed), own.len() as u8]);
        packed.extend(
            own.iter().flat_map(|window| &window.point).map(|x| (x * 400.0).round().min(255.0) as u8),
        );
    }
    packed
}

fn unpack(mut packed: &[u8]) -> (Vec<Truth>, Vec<Heard>) {
    let (mut truth, mut heard) = (Vec::new(), Vec::new());
    while let [voice, mixed, windows, rest @ ..] = packed {
        let (points, rest) = rest.split_at(usize::from(*windows) * encoder::SIZE);
        let points = points
            .chunks(encoder::SIZE)
            .map(|point| encoder::normal(point.iter().map(|x| f32::from(*x)).collect()));
        heard.extend(points.map(|point| Heard { utterance: truth.len(), point }));
        truth.push(Truth { span: (0, 0), voice: usize::from(*voice), is_mixed: *mixed == 1 });
        packed = rest;
    }
    (truth, heard)
}

/// The kept recordings of each kind: `KIND.NUMBER.points`.
fn kept() -> BTreeMap<String, Score> {
    let mut scores = BTreeMap::new();
    for entry in fs::read_dir(data().join("voices/points")).unwrap() {
        let path = entry.unwrap().path();
        let kind = path.file_name().unwrap().to_str().unwrap().split('.').next().unwrap().to_owned();
        let (truth, heard) = unpack(&fs::read(&path).unwrap());
        let score = Score::of(&truth, &cluster::tell_apart(truth.len(), &heard).voices);
        let sum: &mut Score = scores.entry(kind).or_default();
        *sum = sum.plus(score);
    }
    scores
}

#[test]
fn what_is_said_of_two_voices_is_right_whatever_their_sex_the_room_and_the_noise() {
    let scores = kept();
    for kind in [
        "man-woman",
        "two-men",
        "two-women",
        "people-one-sex",
        "one-synthesiser",
        "telephone",
        "room",
        "far-and-near",
        "overlap",
        "pink-noise-20dB",
        "pink-noise-10dB",
    ] {
        let score = scores[kind];
        assert!(score.right * 100 >= score.labelled * 97, "{kind}: {score:?}");
        // Those that are kept are among the hardest of their kind.
        assert!(score.labelled * 100 >= score.all * 75, "{kind}: {score:?}");
        assert!(score.mixed * 100 <= score.labelled * 10, "{kind}: {score:?}");
    }
}

#[test]
fn nothing_is_said_of_one_voice_nor_of_three() {
    let scores = kept();
    let silent: Vec<_> =
        scores.iter().filter(|(kind, _)| kind.starts_with("one-voice") || *kind == "three-voices").collect();
    assert!(silent.len() >= 5, "{silent:?}");
    assert!(silent.iter().all(|(_, score)| score.labelled == 0), "{silent:?}");
}

#[test]
fn the_voices_of_a_shipped_recording_are_told_apart_from_its_sound() {
    let (truth, file) = (turns("session_risk"), data().join("audio/session_risk.mp3"));
    let spans: Vec<_> = truth.iter().map(|truth| truth.span).collect();
    let found = tell_apart(sound(&file), spans).unwrap();
    let score = Score::of(&truth, &found.voices);
    assert_eq!((score.all, score.right), (38, score.labelled));
    assert!(score.labelled >= 36, "{score:?}");
    assert!(found.confidence > 0.9, "{}", found.confidence);
}

fn turns(session: &str) -> Vec<Truth> {
    let json = fs::read(data().join(format!("notes/sessions/{session}.turns.json"))).unwrap();
    let json: serde_json::Value = serde_json::from_slice(&json).unwrap();
    let ms = |seconds: &serde_json::Value| (seconds.as_f64().unwrap() * 1000.0).round() as i64;
    let truth = |turn: &serde_json::Value| Truth {
        span: (ms(&turn["start"]), ms(&turn["end"])),
        voice: usize::from(turn["speaker"] == "client"),
        is_mixed: false,
    };
    json["turns"].as_array().unwrap().iter().map(truth).collect()
}

fn sound(file: &Path) -> impl Iterator<Item = Result<Vec<f32>, AudioError>> {
    decode(file, Track::Mix).unwrap()
}

fn table(file: &Path) -> Vec<Truth> {
    let mut people: Vec<String> = Vec::new();
    let text = fs::read_to_string(file).unwrap();
    let row = |line: &str| {
        let [start, end, who, purity] = line.split('\t').collect::<Vec<_>>().try_into().unwrap();
        let voice = people.iter().position(|person| person == who).unwrap_or_else(|| {
            people.push(who.to_owned());
            people.len() - 1
        });
        Truth { span: (start.parse().unwrap(), end.parse().unwrap()), voice, is_mixed: purity == "mixed" }
    };
    text.lines().map(row).collect()
}

/// Prints the table of docs/pipeline.md for the recordings in the folder `VOICES`; writes their points to the
/// folder `POINTS`, if that is set.
#[test]
#[ignore = "needs the recordings of tests/data/voices/make"]
#[expect(clippy::print_stdout, reason = "the table is what it is for")]
#[expect(
    clippy::disallowed_methods,
    reason = "a measurement by hand, no part of the product's configuration"
)]
fn figures() {
    let folder = PathBuf::from(std::env::var("VOICES").unwrap());
    let mut files: Vec<PathBuf> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let mut scores: BTreeMap<String, (usize, Score)> = BTreeMap::new();
    for file in files.iter().filter(|file| file.extension().is_some_and(|extension| extension == "tsv")) {
        let name = file.file_stem().unwrap().to_str().unwrap();
        let (truth, samples) = (table(file), wav(&file.with_extension("wav")));
        let start = std::time::Instant::now();
        let mut voices = Voices::default();
        for truth in &truth {
            voices.add(&samples[self::samples(truth.span.0)..self::samples(truth.span.1).min(samples.len())]);
        }
        voices.encode(voices.waiting.len());
        if let Ok(points) = std::env::var("POINTS") {
            fs::write(Path::new(&points).join(format!("{name}.points")), pack(&truth, &voices.heard))
                .unwrap();
        }
        let windows = voices.heard.len();
        let found = voices.decide();
        let score = Score::of(&truth, &found.voices);
        let took = start.elapsed();
        println!("{name}: {score:?}, confidence {:.2}, {windows} windows, {took:?}", found.confidence);
        let (count, sum) = scores.entry(name.split('.').next().unwrap().to_owned()).or_default();
        (*count, *sum) = (*count + 1, sum.plus(score));
    }
    println!(
        "| recordings | segments | labelled % | right % of labelled | labelled with two voices in it % |"
    );
    println!("| --- | --- | --- | --- | --- |");
    for (kind, (count, score)) in scores {
        let [labelled, right, mixed] =
            [(score.labelled, score.all), (score.right, score.labelled), (score.mixed, score.labelled)]
                .map(|(part, whole)| Score::percent(part, whole));
        println!("| {kind} ({count}) | {} | {labelled} | {right} | {mixed} |", score.all);
    }
}

fn wav(file: &Path) -> Vec<f32> {
    let samples = hound::WavReader::open(file).unwrap().into_samples::<i16>();
    samples.map(|sample| f32::from(sample.unwrap()) / 32_768.0).collect()
}
