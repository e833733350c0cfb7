//! The lexical risk screen: phrases that say a danger, looked for in every sentence.
//!
//! A phrase counts when it is said, by the person it is about, of the present world: not when it is negated, asked,
//! merely imagined, retold or somebody else's. Each flag is a quote. A screen like this misses whatever is said in
//! other words; no flag is no assessment.

mod answers;
mod harm;
mod other;
mod rules;
mod scope;
mod suicide;

use std::sync::LazyLock;

use self::rules::{Rule, Subject};
use super::pattern::{Pattern, any};
use super::sentences::{Sentence, Speaker, sentences};
use super::words::{Word, among, answered};
use crate::ai::{DraftRisk, TranscriptLine};

/// Version of the phrases; part of what a result is stored under.
pub const VERSION: &str = "rules-1";

/// A merged quote grows no longer than this, in words.
const LONGEST_QUOTE: usize = 60;

/// Flags every sentence of the transcript that says a danger, in order; at most one flag a kind and sentence, and
/// neighbouring sentences of one kind as one quote.
pub fn screen(transcript: &[TranscriptLine]) -> Vec<DraftRisk> {
    flags(&sentences(transcript))
}

/// A rule with its phrases read.
struct Ready {
    rule: &'static Rule,
    says: Vec<Pattern>,
    unless: Vec<Pattern>,
}

static RULES: LazyLock<Vec<Ready>> = LazyLock::new(|| {
    let all = suicide::RULES.iter().chain(harm::RULES).chain(other::RULES);
    all.map(|rule| Ready { rule, says: Pattern::all(rule.says), unless: Pattern::all(rule.unless) }).collect()
});

/// The screen over sentences that are already cut.
pub(super) fn flags(sentences: &[Sentence]) -> Vec<DraftRisk> {
    let mut said: Vec<Vec<&Rule>> = sentences.iter().map(concerns).collect();
    let affirmed = affirmed(sentences, &said);
    for (at, rule) in affirmed {
        said[at].push(rule);
    }
    merged(sentences, &said)
}

/// What a sentence says by itself, at most one rule a kind.
fn concerns(sentence: &Sentence) -> Vec<&'static Rule> {
    if recaps(sentence) {
        return found(sentence, &answered(&sentence.words));
    }
    found(sentence, &sentence.words)
}

fn found(sentence: &Sentence, words: &[Word]) -> Vec<&'static Rule> {
    if scope::retold(words) {
        return Vec::new();
    }
    let ready = RULES.iter().filter(|ready| applies(ready.rule, sentence));
    distinct(ready.map(|ready| (ready.rule, ready.places(words))))
}

/// One rule a kind; words that a rule has taken are not read again by the next.
fn distinct<P>(rules: impl Iterator<Item = (&'static Rule, P)>) -> Vec<&'static Rule>
where
    P: Iterator<Item = (usize, usize)>,
{
    let mut taken: Vec<(usize, usize)> = Vec::new();
    let mut kept: Vec<&'static Rule> = Vec::new();
    for (rule, mut places) in rules {
        if kept.iter().any(|other| other.kind == rule.kind) {
            continue;
        }
        let free =
            |place: &(usize, usize)| taken.iter().all(|other| place.1 <= other.0 || other.1 <= place.0);
        if let Some(place) = places.find(free) {
            taken.push(place);
            kept.push(rule);
        }
    }
    kept
}

/// Arrangements count from anybody. Beyond them a question only asks, a therapist's "I" is not the patient's, and what
/// is said to a "you" or of people in general is no report.
fn applies(rule: &Rule, sentence: &Sentence) -> bool {
    let therapist = sentence.speaker == Speaker::Therapist && !recaps(sentence);
    let asked = sentence.question && !rhetorical(sentence);
    let own = rule.subject == Subject::Own;
    rule.subject == Subject::Anybody || !(asked || therapist || own && addressed(sentence))
}

/// "Why do I even bother?" asks nobody.
fn rhetorical(sentence: &Sentence) -> bool {
    static POINT: LazyLock<Pattern> =
        LazyLock::new(|| Pattern::new("(what is the (point|use|purpose)|what is there|why bother)"));
    let own = sentence.words.iter().any(|word| word.text == "i");
    !speaks(sentence, YOU) && (own || POINT.find(&sentence.words).is_some())
}

const YOU: &str = "you your yourself";
const ANYBODY: &str =
    "people patients everybody everyone teenagers adults men women clients veterans students persons";

/// Said to the hearer or of everybody, and nothing of oneself.
fn addressed(sentence: &Sentence) -> bool {
    !recaps(sentence)
        && !speaks(sentence, "i my me myself we")
        && (speaks(sentence, YOU) || speaks(sentence, ANYBODY))
}

fn speaks(sentence: &Sentence, list: &str) -> bool {
    sentence.words.iter().any(|word| among(list, &word.text))
}

impl Ready {
    /// Where the rule's phrases are said and meant.
    fn places<'a>(&'a self, words: &'a [Word]) -> impl Iterator<Item = (usize, usize)> + 'a {
        let own = self.rule.subject == Subject::Own;
        let all = self.says.iter().flat_map(|says| says.places(words));
        all.filter(move |&(start, end)| {
            !scope::negated(words, start)
                && !scope::refused(words, end)
                && (!own || !scope::of_another(words, start, end) && !scope::hypothetical(words, start))
                && !any(&self.unless, words)
        })
    }
}

/// A therapist saying back what the patient reported: "So you have been thinking about ending your life."
fn recaps(sentence: &Sentence) -> bool {
    static RECAP: LazyLock<Pattern> = LazyLock::new(|| {
        Pattern::new(
            "you (said|told|mentioned|shared|described|have|are|were|had|took|tried|wrote|feel|felt|think|\
             thought|want|wanted)",
        )
    });
    static OPEN: LazyLock<Pattern> =
        LazyLock::new(|| Pattern::new("if|whether|any|ever|might|may|could|can|would|should|called"));
    let words = &sentence.words;
    !sentence.question
        && sentence.speaker != Speaker::Patient
        && RECAP.find(words).is_some_and(|(start, _)| start < 5)
        && OPEN.find(words).is_none()
}

/// Plain answers to questions about a danger, unless a sentence nearby says it in words.
fn affirmed(sentences: &[Sentence], said: &[Vec<&Rule>]) -> Vec<(usize, &'static Rule)> {
    let pairs = sentences.windows(2).enumerate().filter(|(_, pair)| pair[0].question);
    let answers = pairs.flat_map(|(at, pair)| asked(pair).into_iter().map(move |rule| (at + 1, rule)));
    let silent = |answer: &(usize, &'static Rule)| {
        let nearby = &said[answer.0..said.len().min(answer.0 + 3)];
        nearby.iter().flatten().all(|rule| rule.kind != answer.1.kind)
    };
    answers.filter(silent).collect()
}

/// The rules that the answer (the second sentence) makes true of the question (the first).
fn asked(pair: &[Sentence]) -> Vec<&'static Rule> {
    if answers::denies(&pair[1]) {
        let worry = answers::worrying_no(&pair[0]);
        let rule = RULES.iter().map(|ready| ready.rule).find(|rule| Some(rule.kind) == worry);
        return rule.into_iter().collect();
    }
    if !answers::affirms(&pair[1]) || pair[0].speaker == Speaker::Patient {
        return Vec::new();
    }
    let turned = answered(&pair[0].words);
    let own = RULES.iter().filter(|ready| ready.rule.subject != Subject::Anybody);
    distinct(own.map(|ready| (ready.rule, ready.says.iter().flat_map(|says| says.places(&turned)))))
}

/// Flags in order of the sentences; a kind said again in the next sentence lengthens the quote.
fn merged(sentences: &[Sentence], said: &[Vec<&Rule>]) -> Vec<DraftRisk> {
    let mut flags: Vec<(usize, DraftRisk)> = Vec::new();
    for (at, (sentence, rules)) in sentences.iter().zip(said).enumerate() {
        for rule in rules {
            let neighbour = flags.iter_mut().rev().find(|(last, flag)| {
                last + 1 == at
                    && sentence.adjoins
                    && flag.kind == rule.kind
                    && sentences[*last].speaker == sentence.speaker
            });
            match neighbour.filter(|(_, flag)| length(&flag.quote) + sentence.words.len() <= LONGEST_QUOTE) {
                Some((last, flag)) => {
                    *last = at;
                    extend(flag, rule, &sentence.quote);
                }
                None => flags.push((at, flag(rule, sentence))),
            }
        }
    }
    flags.into_iter().map(|(_, flag)| flag).collect()
}

fn length(quote: &str) -> usize {
    quote.split(' ').count()
}

fn extend(flag: &mut DraftRisk, rule: &Rule, quote: &str) {
    flag.quote = format!("{} {quote}", flag.quote);
    if rule.severity > flag.severity {
        flag.severity = rule.severity;
        rule.text.clone_into(&mut flag.text);
    }
}

fn flag(rule: &Rule, sentence: &Sentence) -> DraftRisk {
    DraftRisk {
        kind: rule.kind,
        severity: rule.severity,
        text: rule.text.to_owned(),
        quote: sentence.quote.clone(),
        segment: sentence.segment,
    }
}

#[cfg(test)]
mod tests;
