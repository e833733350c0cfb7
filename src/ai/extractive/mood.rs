//! Mood by a published lexicon of word valences (VADER).
//!
//! Hutto, C.J. & Gilbert, E.E. (2014). VADER: A Parsimonious Rule-based Model for Sentiment Analysis of Social Media
//! Text. ICWSM-14. The constants of negation, intensity and contrast are theirs; thresholds of the session's mood and
//! `THERAPY` are ours, and not validated.

use std::collections::HashMap;
use std::sync::LazyLock;

use super::pattern::{Pattern, any};
use super::sentences::{Sentence, Speaker};
use super::words::{Word, among, words};
use crate::ai::{DraftRisk, Mood, MoodTrajectory, RiskSeverity};

/// What a negation within three words leaves of a valence.
const NEGATION: f32 = -0.74;
/// What an intensifier adds.
const BOOST: f32 = 0.293;
/// An intensifier one, two, three words before.
const DISTANCE: [f32; 3] = [1.0, 0.95, 0.9];
/// Weight of what stands before and after a "but".
const BEFORE_BUT: f32 = 0.5;
const AFTER_BUT: f32 = 1.5;
/// Brings a sum of valences to −1 … 1.
const ALPHA: f32 = 15.0;

/// A sentence's score from here on is a feeling. VADER's own 0.05 counts every courtesy.
const POLAR: f32 = 0.2;
/// Mean score of a session's statements up to which its mood is very low, low, neutral, positive.
const MOODS: [(f32, Mood); 4] =
    [(-0.30, Mood::VeryLow), (-0.06, Mood::Low), (0.12, Mood::Neutral), (0.35, Mood::Positive)];
/// Difference of the means of two stretches that is a change.
const CHANGE: f32 = 0.10;
/// Swing between neighbouring stretches that is one up or down of a fluctuating session.
const SWING: f32 = 0.22;

/// Words that the lexicon rates for what they are elsewhere: courtesies, and "lying" in bed or a "heart" that races.
const COURTESIES: &str = "\
    no yes yeah ok okay please thank thanks like well sure want number alert share feeling play clear care \
    kind important interest interesting matter matters certain agree welcome hello dear god help certainly \
    honestly true pretty stop stopped heart lying alarm comic novel deal drop dropped warning safety \
    protect";

/// Words of the consulting room that the lexicon misses or reads otherwise.
const THERAPY: &[(&str, f32)] = &[
    ("overwhelmed", -1.5),
    ("overwhelming", -1.5),
    ("rough", -1.3),
    ("flat", -1.0),
    ("spiral", -1.3),
    ("spirals", -1.3),
    ("spiraling", -1.3),
    ("lighter", 1.5),
    ("stable", 1.0),
    ("pointless", -2.0),
    ("unbearable", -2.5),
    ("heavier", -1.3),
    ("rested", 1.5),
];

const BOOSTERS: &str = "\
    absolutely awfully completely considerably decidedly deeply enormously entirely especially \
    exceptionally extremely fully greatly highly hugely incredibly intensely majorly more most \
    particularly purely quite really remarkably so substantially thoroughly total totally tremendously \
    unbelievably unusually utterly very";
const DAMPENERS: &str = "\
    almost barely hardly less little marginally occasionally partly scarcely slightly somewhat sorta kinda \
    bit";
const NEGATORS: &str = "not never none nobody nor nothing nowhere without rarely seldom neither no";

static LEXICON: LazyLock<HashMap<&'static str, f32>> = LazyLock::new(|| {
    let lines = include_str!("vader_lexicon.txt").lines().filter(|line| !line.starts_with('#'));
    let published = lines
        .filter_map(|line| line.split_once(' '))
        .filter_map(|(word, value)| Some((word, value.parse().ok()?)));
    let mut lexicon: HashMap<_, _> = published.collect();
    lexicon.extend(THERAPY.iter().copied());
    lexicon.retain(|word, _| !among(COURTESIES, word));
    lexicon
});

/// Whether a sentence states a good feeling (1), a bad one (−1) or none (0).
pub fn polarity(text: &str) -> i8 {
    match score(&words(text)) {
        score if score >= POLAR => 1,
        score if score <= -POLAR => -1,
        _ => 0,
    }
}

/// The valence of a sentence, −1 to 1.
pub(super) fn score(words: &[Word]) -> f32 {
    let contrast = words.iter().position(|word| word.text == "but");
    let weight = |at: usize| contrast.map_or(1.0, |but| if at < but { BEFORE_BUT } else { AFTER_BUT });
    let sum: f32 = (0..words.len()).map(|at| valence(words, at) * weight(at)).sum();
    sum / (sum * sum + ALPHA).sqrt()
}

/// The valence of a word under what stands in the three words before it.
fn valence(words: &[Word], at: usize) -> f32 {
    let Some(&bare) = LEXICON.get(words[at].text.as_str()) else {
        return 0.0;
    };
    let before = || {
        DISTANCE
            .iter()
            .enumerate()
            .filter_map(|(back, factor)| Some((&words[at.checked_sub(back + 1)?], factor)))
    };
    let intensity: f32 = before().map(|(word, factor)| boost(&word.text) * factor).sum();
    let negated = before().any(|(word, _)| among(NEGATORS, &word.text));
    (bare + intensity * bare.signum()) * if negated { NEGATION } else { 1.0 }
}

fn boost(word: &str) -> f32 {
    if among(BOOSTERS, word) {
        BOOST
    } else if among(DAMPENERS, word) {
        -BOOST
    } else {
        0.0
    }
}

/// The mood of a session and where it went.
pub(super) fn session(sentences: &[Sentence], risks: &[DraftRisk]) -> (Mood, MoodTrajectory) {
    let told: Vec<f32> = sentences.iter().filter(|sentence| tells(sentence)).map(weighed).collect();
    (mood(&told, risks), trajectory(&told))
}

/// A statement about oneself: no question, nothing said to the other. Where roles are known, the patient's.
fn tells(sentence: &Sentence) -> bool {
    let addressed =
        sentence.words.iter().any(|word| matches!(word.text.as_str(), "you" | "your" | "yourself"));
    let own = match sentence.speaker {
        Speaker::Patient => true,
        Speaker::Therapist => false,
        Speaker::Unknown => !addressed,
    };
    own && !sentence.question && sentence.words.len() > 2
}

/// An explicit comparison says more about the course than any adjective.
fn weighed(sentence: &Sentence) -> f32 {
    static BETTER: LazyLock<Vec<Pattern>> = LazyLock::new(|| {
        Pattern::all(&[
            "(better|calmer|lighter|easier|stronger|happier|hopeful|relaxed|settled) ..3 (than (when|before|\
             last|at the)|now|actually|compared|since|already)",
            "more (hopeful|relaxed|settled|confident|like myself)",
            "less (anxious|afraid|scared|alone|tense|stressed|sad|overwhelmed)",
        ])
    });
    static WORSE: LazyLock<Vec<Pattern>> = LazyLock::new(|| {
        Pattern::all(&[
            "(worse|lower|sadder|heavier) ..3 (than (when|before|last|at the)|now|compared|since)",
            "worse and worse",
            "more (hopeless|anxious|afraid|alone|tired|scared)",
        ])
    });
    let words = &sentence.words;
    score(words) + f32::from(u8::from(any(&BETTER, words))) * 0.5
        - f32::from(u8::from(any(&WORSE, words))) * 0.5
}

fn mood(told: &[f32], risks: &[DraftRisk]) -> Mood {
    let mean = mean(told);
    let bare = MOODS.iter().find(|(limit, _)| mean <= *limit).map_or(Mood::VeryPositive, |(_, mood)| *mood);
    let urgent = risks.iter().any(|risk| risk.severity == RiskSeverity::High);
    if urgent { bare.min(Mood::Low) } else { bare }
}

/// Means of five stretches, each smoothed with its neighbours.
fn trajectory(told: &[f32]) -> MoodTrajectory {
    if told.len() < 6 {
        return MoodTrajectory::Stable;
    }
    let stretches: Vec<f32> =
        (0..5).map(|fifth| mean(&told[fifth * told.len() / 5..(fifth + 1) * told.len() / 5])).collect();
    let early = stretches[0] * 0.6 + stretches[1] * 0.4;
    let late = stretches[3] * 0.4 + stretches[4] * 0.6;
    match late - early {
        change if change >= CHANGE => MoodTrajectory::Improving,
        change if change <= -CHANGE => MoodTrajectory::Declining,
        _ if swings(&stretches) >= 3 => MoodTrajectory::Fluctuating,
        _ => MoodTrajectory::Stable,
    }
}

fn swings(stretches: &[f32]) -> usize {
    stretches.windows(2).filter(|pair| (pair[0] - pair[1]).abs() >= SWING).count()
}

#[expect(clippy::cast_precision_loss, reason = "counts of sentences are small")]
fn mean(values: &[f32]) -> f32 {
    if values.is_empty() { 0.0 } else { values.iter().sum::<f32>() / values.len() as f32 }
}

#[cfg(test)]
mod tests {
    use super::super::samples::{lines, session as recorded};
    use super::super::{risk, sentences::sentences};
    use super::*;

    fn judged(text: &str) -> (Mood, MoodTrajectory) {
        let transcript = lines(text);
        session(&sentences(&transcript), &risk::screen(&transcript))
    }

    #[test]
    fn feelings_have_a_sign_and_facts_have_none() {
        assert_eq!(polarity("I feel terrible and alone."), -1);
        assert_eq!(polarity("I'm really proud of that."), 1);
        assert_eq!(polarity("We drove to the lake on Sunday."), 0);
        assert_eq!(polarity("Yes, okay, thank you."), 0);
    }

    #[test]
    fn negation_and_contrast_turn_a_sentence() {
        assert_eq!(polarity("I am not happy."), -1);
        assert_eq!(polarity("It was terrible, but now I feel happy and calm."), 1);
        assert!(score(&words("very sad")) < score(&words("sad")));
    }

    #[test]
    fn a_session_gets_a_mood_and_a_direction() {
        let sad = "I feel sad and tired. ".repeat(6);
        let glad = "I feel happy and calm. ".repeat(6);
        assert_eq!(judged(&format!("{sad}{glad}")).1, MoodTrajectory::Improving);
        assert_eq!(judged(&format!("{glad}{sad}")).1, MoodTrajectory::Declining);
        assert_eq!(judged(&sad), (Mood::VeryLow, MoodTrajectory::Stable));
        assert_eq!(judged(""), (Mood::Neutral, MoodTrajectory::Stable));
    }

    #[test]
    fn a_high_risk_caps_the_mood() {
        assert_eq!(judged("I am happy today. I love this. I think about killing myself.").0, Mood::Low);
    }

    #[test]
    fn the_recorded_sessions_are_judged_as_they_sound() {
        for (name, moods) in [
            ("session_risk", [Mood::VeryLow, Mood::Low]),
            ("session_anxiety", [Mood::Neutral, Mood::Positive]),
            ("session_long", [Mood::Neutral, Mood::Positive]),
        ] {
            let transcript = recorded(name);
            let (mood, _) = session(&sentences(&transcript), &risk::screen(&transcript));
            assert!(moods.contains(&mood), "{name}: {mood:?}");
        }
    }
}
