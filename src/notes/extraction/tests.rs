//! How often a model is asked, what it gets to read, and what becomes of its answers.

use std::collections::HashMap;
use std::sync::Mutex;

use super::*;
use crate::ai::{DraftRisk, Mood, MoodTrajectory, Prices, RiskKind, RiskSeverity};
use crate::notes::grounding::tests::segment;
use crate::notes::{Verdict, screen};

/// What one call was asked.
#[derive(Clone, Debug, PartialEq)]
enum Asked {
    Whole,
    Part(usize, usize),
    Merge(usize),
    Repair,
}

/// A model that answers what a test says, and notes what it was asked.
struct Model {
    window: usize,
    /// Refuses to read more lines than this.
    most_lines: usize,
    asked: Mutex<Vec<Asked>>,
    answer: fn(&NotesTask<'_>, &[Asked]) -> Result<Extraction, AiError>,
}

impl Model {
    fn new(window: usize, answer: fn(&NotesTask<'_>, &[Asked]) -> Result<Extraction, AiError>) -> Self {
        Self { window, most_lines: usize::MAX, asked: Mutex::default(), answer }
    }

    fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }
}

fn provider() -> Provider {
    let prices = Prices { million_prompt_tokens: 1e6, ..Prices::FREE };
    Provider { name: "test".into(), model: "m".into(), prompt_version: "v".into(), prices }
}

#[async_trait]
impl NoteExtractor for Model {
    fn providers(&self) -> Vec<Provider> {
        vec![provider()]
    }

    fn kind(&self) -> ExtractorKind {
        ExtractorKind::Model
    }

    fn context_tokens(&self) -> Option<usize> {
        Some(self.window)
    }

    async fn read(&self, task: &NotesTask<'_>, repair: Option<&Repair>) -> Result<Extraction, AiError> {
        let asked = match (&task.step, repair) {
            (_, Some(_)) => Asked::Repair,
            (Step::Whole, None) => Asked::Whole,
            (Step::Part { number, of, .. }, None) => Asked::Part(*number, *of),
            (Step::Merge(drafts), None) => Asked::Merge(drafts.len()),
        };
        let asked = {
            let mut all = self.asked.lock().unwrap();
            all.push(asked);
            all.clone()
        };
        if task.lines().len() > self.most_lines {
            return Err(AiError::permanent(Cause::TooLong, "too long"));
        }
        (self.answer)(task, &asked)
    }
}

/// Answers in memory.
#[derive(Default)]
struct Kept {
    answers: Mutex<HashMap<String, Extraction>>,
    spent: Mutex<Vec<Usage>>,
    percents: Mutex<Vec<i32>>,
}

#[async_trait]
impl Answers for Kept {
    async fn known(&self, request: &str) -> Result<Option<Extraction>> {
        Ok(self.answers.lock().unwrap().get(request).cloned())
    }

    async fn allow(&self) -> Result<(), Failure> {
        Ok(())
    }

    async fn keep(&self, request: &str, answer: &Extraction, percent: i32) -> Result<()> {
        self.answers.lock().unwrap().insert(request.to_owned(), answer.clone());
        self.spent.lock().unwrap().push(answer.usage);
        self.percents.lock().unwrap().push(percent);
        Ok(())
    }

    async fn forget(&self, requests: &[String]) -> Result<()> {
        self.answers.lock().unwrap().retain(|request, _| !requests.contains(request));
        Ok(())
    }

    async fn spent(&self) -> Result<Spent> {
        let add = |spent: Spent, usage: &Usage| spent.and(*usage, provider().cost_of(*usage));
        Ok(self.spent.lock().unwrap().iter().fold(Spent::NOTHING, add))
    }
}

async fn run(model: &Model, kept: &Kept, transcript: &Transcript) -> Result<Extracted, Failure> {
    let redaction = Redaction::default().name("patient", "Maria");
    let screen = screen(transcript);
    extract(Reading { extractor: model, transcript, screen: &screen, redaction: &redaction, answers: kept })
        .await
}

/// So many lines of ten words each, all different.
fn transcript(lines: usize) -> Transcript {
    let text = |at: usize| format!("Line {at}: Maria and I talked about the garden.");
    let segments: Vec<_> = (0..lines).map(|at| segment(i32::try_from(at).unwrap(), &text(at))).collect();
    Transcript::new(&segments)
}

fn words(count: usize) -> String {
    "word ".repeat(count)
}

/// Good notes that quote the first and the last line read, and flag a risk on the last.
fn good(task: &NotesTask<'_>, _: &[Asked]) -> Result<Extraction, AiError> {
    let lines = task.lines();
    let item = |line: &TranscriptLine| DraftItem {
        text: format!("Something of line {}.", line.index),
        quote: line.text.clone(),
        segment: line.index,
    };
    let risk = |line: &TranscriptLine| DraftRisk {
        kind: RiskKind::Other,
        severity: RiskSeverity::Low,
        text: format!("A worry about line {}.", line.index),
        quote: line.text.clone(),
        segment: line.index,
    };
    answered(NoteDraft {
        key_topics: ["sleep", "work", "garden"].map(str::to_owned).to_vec(),
        topic_summary: "They talked. They parted.".into(),
        strategies: lines.first().into_iter().chain(lines.last()).map(item).collect(),
        action_items: vec![],
        session_mood: Mood::Low,
        mood_trajectory: MoodTrajectory::Stable,
        therapist_notes: words(160),
        patient_summary: words(120),
        risk_flags: lines.last().into_iter().map(risk).collect(),
    })
}

fn answered(draft: NoteDraft) -> Result<Extraction, AiError> {
    answer_of(Ok(draft))
}

#[expect(clippy::unnecessary_wraps, reason = "it is what a model gives")]
fn answer_of(draft: Result<NoteDraft, Vec<String>>) -> Result<Extraction, AiError> {
    let usage = Usage { prompt_tokens: Some(10), completion_tokens: Some(1), audio_ms: None };
    Ok(Extraction { draft, raw: "raw".into(), usage, provider: provider(), kind: ExtractorKind::Model })
}

fn shapeless(_: &NotesTask<'_>, _: &[Asked]) -> Result<Extraction, AiError> {
    answer_of(Err(vec!["keyTopics is missing.".into()]))
}

#[tokio::test]
async fn a_transcript_that_fits_is_read_at_once() {
    let (model, kept) = (Model::new(128_000, good), Kept::default());
    let extracted = run(&model, &kept, &transcript(50)).await.unwrap();
    assert_eq!(model.asked(), [Asked::Whole]);
    assert_eq!(extracted.warnings, Vec::<String>::new());
    assert_eq!((extracted.spent.usage.prompt_tokens, extracted.spent.cost_usd), (Some(10), Some(10.0)));
    let strategies = &extracted.notes.strategies;
    assert_eq!(strategies[1].evidence.quote, "Line 49: Maria and I talked about the garden.");
    assert!(strategies.iter().all(|item| item.evidence.verdict == Verdict::Supported));
}

#[tokio::test]
async fn a_long_transcript_is_read_in_parts_and_merged_and_no_item_is_lost() {
    let (model, kept) = (Model::new(16_000, good), Kept::default());
    let extracted = run(&model, &kept, &transcript(800)).await.unwrap();
    let asked = model.asked();
    let parts = asked.len() - 1;
    assert!(parts > 2, "{asked:?}");
    let of_parts: Vec<_> = (1..=parts).map(|number| Asked::Part(number, parts)).collect();
    assert_eq!(asked[..parts], of_parts);
    assert_eq!(asked[parts], Asked::Merge(parts));
    let notes = &extracted.notes;
    let quotes: Vec<_> = notes.strategies.iter().map(|item| item.evidence.start_ms.unwrap()).collect();
    assert!(quotes.len() >= parts * 2 - 1, "{quotes:?}");
    assert_eq!(notes.risk_flags.len(), parts);
    assert!(notes.risk_flags.iter().all(|flag| flag.evidence.verdict == Verdict::Supported));
    assert_eq!(extracted.spent.usage.prompt_tokens, Some(10 * i64::try_from(parts + 1).unwrap()));
    let percents = kept.percents.lock().unwrap().clone();
    assert!(percents.is_sorted() && percents[0] > 0 && percents[parts] < 100, "{percents:?}");
}

#[tokio::test]
async fn very_many_parts_are_merged_in_rounds() {
    let (model, kept) = (Model::new(800, good), Kept::default());
    run(&model, &kept, &transcript(80)).await.unwrap();
    let merges = model.asked().iter().filter(|asked| matches!(asked, Asked::Merge(_))).count();
    assert!(merges > 1, "{:?}", model.asked());
}

#[tokio::test]
async fn whoever_does_it_again_pays_only_for_what_is_missing() {
    fn third_part_fails(task: &NotesTask<'_>, asked: &[Asked]) -> Result<Extraction, AiError> {
        let third = asked.iter().filter(|asked| matches!(asked, Asked::Part(3, _))).count();
        let is_third = matches!(task.step, Step::Part { number: 3, .. });
        if is_third && third == 1 { Err(AiError::trouble("busy", None)) } else { good(task, asked) }
    }
    let (model, kept) = (Model::new(2000, third_part_fails), Kept::default());
    assert!(run(&model, &kept, &transcript(80)).await.is_err());
    let before = model.asked().len();
    let extracted = run(&model, &kept, &transcript(80)).await.unwrap();
    let again = model.asked().split_off(before);
    let parts = extracted.notes.risk_flags.len();
    assert_eq!(
        again.iter().filter(|asked| matches!(asked, Asked::Part(..))).count(),
        parts - before.min(parts) + 1
    );
    assert_eq!(again[0], Asked::Part(3, parts));
    run(&model, &kept, &transcript(80)).await.unwrap();
    assert_eq!(model.asked().len(), before + again.len(), "everything is known by now");
}

#[tokio::test]
async fn a_model_that_takes_less_than_it_is_configured_for_gets_smaller_parts() {
    let (mut model, kept) = (Model::new(128_000, good), Kept::default());
    model.most_lines = 40;
    let extracted = run(&model, &kept, &transcript(100)).await.unwrap();
    assert_eq!(model.asked()[0], Asked::Whole);
    assert!(extracted.notes.risk_flags.len() > 2);
    assert_eq!(extracted.warnings, Vec::<String>::new());
}

#[tokio::test]
async fn a_model_that_takes_nothing_is_given_up() {
    let (mut model, kept) = (Model::new(128_000, good), Kept::default());
    model.most_lines = 0;
    let failure = run(&model, &kept, &transcript(100)).await.unwrap_err();
    assert!(matches!(&failure, Failure::Ai(error) if error.cause() == Some(Cause::TooLong)));
    assert!(model.asked().len() < 20, "{:?}", model.asked());
}

#[tokio::test]
async fn what_is_too_short_gets_one_repair_round_and_is_kept_with_warnings() {
    fn short(task: &NotesTask<'_>, asked: &[Asked]) -> Result<Extraction, AiError> {
        let mut extraction = good(task, asked)?;
        let draft = extraction.draft.as_mut().unwrap();
        draft.therapist_notes = words(20);
        Ok(extraction)
    }
    for (window, length) in [(128_000, 50), (2000, 80)] {
        let (model, kept) = (Model::new(window, short), Kept::default());
        let extracted = run(&model, &kept, &transcript(length)).await.unwrap();
        assert_eq!(extracted.warnings, ["therapistNotes has 20 words; it should have 150 to 200."]);
        let asked = model.asked();
        assert_eq!(asked.last(), Some(&Asked::Repair));
        assert_eq!(
            asked.iter().filter(|asked| **asked == Asked::Repair).count(),
            1,
            "parts are not held to lengths"
        );
    }
}

#[tokio::test]
async fn a_repair_that_makes_it_worse_or_fails_for_good_leaves_the_first_answer() {
    fn worse(task: &NotesTask<'_>, asked: &[Asked]) -> Result<Extraction, AiError> {
        let mut extraction = good(task, asked)?;
        let draft = extraction.draft.as_mut().unwrap();
        draft.therapist_notes = words(149);
        if asked.len() > 1 {
            draft.patient_summary = words(3);
        }
        Ok(extraction)
    }
    fn refused(task: &NotesTask<'_>, asked: &[Asked]) -> Result<Extraction, AiError> {
        if asked.len() > 1 { Err(AiError::permanent(Cause::Content, "no")) } else { worse(task, asked) }
    }
    for answer in [worse, refused] {
        let (model, kept) = (Model::new(128_000, answer), Kept::default());
        let extracted = run(&model, &kept, &transcript(50)).await.unwrap();
        assert_eq!(extracted.warnings, ["therapistNotes has 149 words; it should have 150 to 200."]);
    }
}

#[tokio::test]
async fn the_wrong_shape_fails_after_one_repair_round_and_is_asked_for_anew_by_a_retry() {
    let (model, kept) = (Model::new(128_000, shapeless), Kept::default());
    let failure = run(&model, &kept, &transcript(50)).await.unwrap_err();
    assert!(failure.to_string().contains("twice"), "{failure}");
    assert_eq!(model.asked(), [Asked::Whole, Asked::Repair]);
    let model = Model::new(128_000, good);
    let extracted = run(&model, &kept, &transcript(50)).await.unwrap();
    assert_eq!(model.asked(), [Asked::Whole]);
    assert_eq!(extracted.spent.usage.prompt_tokens, Some(30), "what led nowhere was paid for, too");
}

#[tokio::test]
async fn a_part_of_the_wrong_shape_is_repaired_like_a_whole() {
    fn once(task: &NotesTask<'_>, asked: &[Asked]) -> Result<Extraction, AiError> {
        let second = |asked: &Asked| matches!(asked, Asked::Part(2, _));
        let first_time = matches!(task.step, Step::Part { number: 2, .. }) && !asked.contains(&Asked::Repair);
        if first_time && asked.iter().any(second) { shapeless(task, asked) } else { good(task, asked) }
    }
    let (model, kept) = (Model::new(2000, once), Kept::default());
    run(&model, &kept, &transcript(80)).await.unwrap();
    assert_eq!(model.asked().iter().filter(|asked| **asked == Asked::Repair).count(), 1);
}

#[tokio::test]
async fn rules_that_stand_in_for_a_model_read_the_whole_transcript() {
    fn rules(task: &NotesTask<'_>, asked: &[Asked]) -> Result<Extraction, AiError> {
        if matches!(task.step, Step::Merge(_)) {
            let whole = NotesTask::whole(task.transcript);
            return Ok(Extraction { kind: ExtractorKind::Extractive, ..good(&whole, asked)? });
        }
        good(task, asked)
    }
    let (model, kept) = (Model::new(2000, rules), Kept::default());
    let extracted = run(&model, &kept, &transcript(80)).await.unwrap();
    assert_eq!(extracted.kind, ExtractorKind::Extractive);
    assert_eq!(extracted.notes.strategies.len(), 2, "those of the whole, not of the parts");
    assert_eq!(extracted.notes.strategies[0].evidence.quote, "Line 0: Maria and I talked about the garden.");
    assert!(!extracted.notes.risk_screens.contains(&"language model".to_owned()));
    assert!(extracted.spent.usage.prompt_tokens > Some(0), "the parts were paid for");
}

#[tokio::test]
async fn flags_of_the_lexical_screen_come_through_the_merge_beside_the_models() {
    let mut segments: Vec<_> =
        (0..80).map(|at| segment(at, "We talked about the garden behind the house.")).collect();
    segments[60].text = "I want to kill myself.".into();
    let (model, kept) = (Model::new(2000, good), Kept::default());
    let notes = run(&model, &kept, &Transcript::new(&segments)).await.unwrap().notes;
    let lexical: Vec<_> = notes.risk_flags.iter().filter(|flag| flag.source == RiskSource::Lexical).collect();
    assert_eq!(lexical.len(), 1);
    assert_eq!(lexical[0].evidence.start_ms, Some(60_000));
    assert!(notes.risk_flags.iter().any(|flag| flag.source == RiskSource::Model));
    assert_eq!(notes.risk_screens.len(), 2);
}
