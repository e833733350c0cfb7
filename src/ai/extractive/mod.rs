//! Clinical notes without a language model: rules that anybody can read pick sentences of the transcript, and fixed
//! sentences hold them together. Every strategy, action item and risk flag is a quote; the same transcript always gives
//! the same notes. A draft, not a judgement.
//!
//! The rules read English, and need no roles: a recogniser does not say who spoke.
//!
//! * [`risk`]: phrases that say a danger, with negation, questions, stories and other people taken into account.
//! * [`mood`]: a published lexicon of word valences.
//! * topics, strategies, action items: lexicons and sentence forms.
//! * summaries: the most central sentences (`LexRank`) between fixed ones.
//!
//! # Measured
//!
//! On labelled text that the rules were not written or tuned on, read without roles (`tests/api/extractive.rs` prints
//! and guards it; sets and matching: `tests/data/notes/README.md`). One annotator's labels, few of each: a few points
//! mean nothing.
//!
//! | 221 single sentences | precision | recall | F1 |
//! | --- | --- | --- | --- |
//! | all risks (3 of 141 sentences without risk are flagged) | 0.94 (63/67) | 0.79 (63/80) | 0.86 |
//! | suicidal ideation | 0.91 (10/11) | 0.71 (10/14) | 0.80 |
//! | means or plan | 1.00 (5/5) | 0.71 (5/7) | 0.83 |
//! | past attempt | 0.83 (5/6) | 1.00 (5/5) | 0.91 |
//! | self-harm | 0.86 (6/7) | 1.00 (6/6) | 0.92 |
//! | hopelessness | 0.86 (6/7) | 0.86 (6/7) | 0.86 |
//! | loss of control | 1.00 (5/5) | 1.00 (5/5) | 1.00 |
//! | harm to others | 1.00 (1/1) | 0.20 (1/5) | 0.33 |
//! | abuse or neglect | 1.00 (6/6) | 0.75 (6/8) | 0.86 |
//! | substance use | 1.00 (7/7) | 0.88 (7/8) | 0.93 |
//! | psychosis | 1.00 (5/5) | 1.00 (5/5) | 1.00 |
//! | safety plan | 1.00 (4/4) | 0.67 (4/6) | 0.80 |
//! | other | 1.00 (3/3) | 0.75 (3/4) | 0.86 |
//! | action items | 0.83 (15/18) | 0.75 (15/20) | 0.79 |
//! | strategies | 0.68 (13/19) | 0.68 (13/19) | 0.68 |
//! | polarity −1 (right in 71 of 108) | 0.28 (8/29) | 0.62 (8/13) | 0.38 |
//! | polarity 0 | 0.89 (50/56) | 0.63 (50/79) | 0.74 |
//! | polarity +1 | 0.57 (13/23) | 0.81 (13/16) | 0.67 |
//!
//! | three dialogues (177 turns) | precision | recall | F1 |
//! | --- | --- | --- | --- |
//! | risks (all in one dialogue; none flagged in the others) | 0.69 (9/13) | 0.47 (9/19) | 0.56 |
//! | action items | 0.76 (13/17) | 0.68 (13/19) | 0.72 |
//! | strategies | 0.89 (8/9) | 0.47 (8/17) | 0.62 |
//! | topics | 0.52 (11/21) | 0.61 (11/18) | 0.56 |
//!
//! Mood was right in 1 of the 3 dialogues, its course in 2. So the screen misses about half of what a reader marks in a
//! dense conversation, and the mood is a rough guess: both are a second pair of eyes, never the first.
//!
//! On the three recorded sessions, which the rules *were* written on, every risk is found and nothing else is flagged,
//! however the lines are cut; strategies, action items and topics have F1 0.92, 1.00 and 0.88.

mod actions;
mod centrality;
mod compose;
pub mod mood;
mod pattern;
pub mod risk;
#[cfg(test)]
mod samples;
mod sentences;
mod strategies;
mod subjects;
mod techniques;
mod topics;
mod wording;
mod words;

use async_trait::async_trait;

use self::compose::Findings;
use super::{
    AiError, Cause, Extraction, ExtractorKind, LOCAL, NoteDraft, NoteExtractor, NotesTask, Prices, Provider,
    Repair, TranscriptLine, Usage,
};

/// Makes notes out of quotes by rules.
#[derive(Clone, Copy, Debug, Default)]
pub struct ExtractiveExtractor;

fn provider() -> Provider {
    Provider {
        name: LOCAL.into(),
        model: "extractive".into(),
        prompt_version: risk::VERSION.into(),
        prices: Prices::FREE,
    }
}

#[async_trait]
impl NoteExtractor for ExtractiveExtractor {
    fn providers(&self) -> Vec<Provider> {
        vec![provider()]
    }

    fn context_tokens(&self) -> Option<usize> {
        None
    }

    fn kind(&self) -> ExtractorKind {
        ExtractorKind::Extractive
    }

    /// Rules answer a second time as they did the first: a repair changes nothing.
    async fn read(&self, task: &NotesTask<'_>, _repair: Option<&Repair>) -> Result<Extraction, AiError> {
        let transcript = task.transcript.to_vec();
        let draft = tokio::task::spawn_blocking(move || draft(&transcript)).await;
        let draft =
            draft.map_err(|_| AiError::permanent(Cause::Request, "The notes could not be put together."))?;
        Ok(Extraction {
            draft: Ok(draft),
            raw: String::new(),
            usage: Usage::default(),
            provider: provider(),
            kind: ExtractorKind::Extractive,
        })
    }
}

/// The notes of a transcript.
pub fn draft(transcript: &[TranscriptLine]) -> NoteDraft {
    let sentences = sentences::sentences(transcript);
    let risks = risk::flags(&sentences);
    let topics = topics::topics(&sentences);
    let strategies = strategies::strategies(&sentences);
    let actions = actions::action_items(&sentences);
    let (mood, trajectory) = mood::session(&sentences, &risks);
    let findings = Findings {
        sentences: &sentences,
        topics: &topics,
        strategies: &strategies,
        actions: &actions,
        risks: &risks,
        mood,
        trajectory,
        central: &centrality::central(&sentences),
    };
    let topic_summary = findings.topic_summary();
    let therapist_notes = findings.therapist_notes();
    let patient_summary = findings.patient_summary();
    NoteDraft {
        key_topics: topics,
        topic_summary,
        strategies,
        action_items: actions,
        session_mood: mood,
        mood_trajectory: trajectory,
        therapist_notes,
        patient_summary,
        risk_flags: risks,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::samples::{lines, recut, session};
    use super::*;

    fn joined(transcript: &[TranscriptLine]) -> String {
        transcript.iter().flat_map(|line| line.text.split_whitespace()).collect::<Vec<_>>().join(" ")
    }

    /// Every quote stands in the transcript, and starts in the line it names.
    fn assert_grounded(transcript: &[TranscriptLine]) {
        let notes = draft(transcript);
        assert_eq!(notes, draft(transcript), "the same transcript gives the same notes");
        let items =
            notes.strategies.iter().chain(&notes.action_items).map(|item| (&item.quote, item.segment));
        for (quote, segment) in items.chain(notes.risk_flags.iter().map(|risk| (&risk.quote, risk.segment))) {
            let from =
                transcript.iter().position(|line| line.index == segment).expect("a line of the transcript");
            assert!(joined(transcript).contains(quote.as_str()), "{quote:?}");
            let start = quote.split(' ').next().unwrap();
            assert!(transcript[from].text.contains(start), "{quote:?} does not start in {segment}");
        }
    }

    #[test]
    fn quotes_of_the_recorded_sessions_are_grounded() {
        for name in ["session_risk", "session_anxiety", "session_long"] {
            assert_grounded(&session(name));
            assert_grounded(&recut(&session(name), 7));
        }
    }

    #[test]
    fn poor_transcripts_are_no_trouble() {
        for text in [
            "",
            "\n\n",
            "Yes",
            "…",
            "Ich möchte nicht mehr leben. Meine Schwester weiß es.",
            "你好。我很累！再见？",
            "\u{0}\u{202e}’’ '' 'll n't",
        ] {
            assert_grounded(&lines(text));
        }
    }

    #[test]
    fn what_stands_between_two_sentences_is_not_left_out_of_a_quote() {
        assert_grounded(&lines("the crisis line\ndie.  ...  I'll call  the crisis line"));
        assert_grounded(&lines("I want to die！！I want to die。I want to die."));
    }

    #[test]
    fn a_long_session_is_read() {
        let text = format!("{}\n", joined(&session("session_long"))).repeat(3);
        let transcript = recut(&lines(&text), 8);
        assert!(transcript.len() > 2_000);
        assert_eq!(draft(&transcript).risk_flags, []);
    }

    #[tokio::test]
    async fn the_extractor_says_who_it_is() {
        let extraction = ExtractiveExtractor.extract(&session("session_risk"), None).await.unwrap();
        assert_eq!(extraction.draft.unwrap(), draft(&session("session_risk")));
        assert_eq!(ExtractiveExtractor.providers()[0].model, "extractive");
        assert_eq!(ExtractiveExtractor.kind(), ExtractorKind::Extractive);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn any_text_gives_grounded_notes(texts in prop::collection::vec(fragment(), 0..12)) {
            assert_grounded(&lines(&texts.join("\n")));
        }
    }

    /// Arbitrary characters, and pieces that set the rules off.
    fn fragment() -> impl Strategy<Value = String> {
        let pieces = prop::sample::select(vec![
            "I want to",
            "die.",
            "kill myself",
            "I'll call",
            "the crisis line",
            "Are you",
            "no",
            "breathing exercise?",
            "a bottle every night",
            "don't trust myself",
            "...",
            "hits me",
            "For homework,",
            "write it down",
        ]);
        prop_oneof![
            "\\PC{0,40}".prop_map(|text| text),
            prop::collection::vec(pieces, 0..8).prop_map(|pieces| pieces.join("  ")),
        ]
    }
}
