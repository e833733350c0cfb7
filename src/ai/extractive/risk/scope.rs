//! What a phrase stands under: a negation, an "if", somebody else, a story.

use std::sync::LazyLock;

use super::super::pattern::{Pattern, any};
use super::super::words::{Word, among};

/// How many words back a negation reaches.
const REACH: usize = 10;

const NEGATORS: &str = "\
    not never no nobody nothing none without neither nor deny denies denied denying stopped quit";

/// Words that open a clause of its own, out of the reach of what stands before.
const CONTRASTS: &str = "\
    but however although though because since when whenever while until yet so then unless after before \
    except if where";

const PRONOUNS: &str = "i you he she they we it there";

/// After these a pronoun goes on with the same thought: "I do not think *I* want to die".
const RAISING: &str = "\
    think thought believe feel felt say saying said mean that imagine suppose expect whether like";

/// A negation of these says nothing against what follows: "I can't stop thinking about", "I never told anyone that".
const NOT_NEGATED: &str = "\
    stop help shake escape only just sure know tell told say said admitted admit mentioned talked lie hide \
    deny remember understand realize explain anymore avoid resist get matter good okay ok well great proud";

const OTHERS: &str = "\
    he she they who husband wife partner boyfriend girlfriend father dad mother mom mum parents stepfather \
    stepdad stepmother uncle aunt cousin grandfather grandmother grandpa grandma brother sister son \
    daughter kids child children ex friend friends boss coworker colleague colleagues neighbor neighbors \
    people person man woman guy guys someone somebody everyone everybody others patients students \
    teenagers roommate doctor landlord you nephew niece teacher coach client veterans";

/// Before these a noun is no subject: "I went out *with* my brother and drank".
const PREPOSITIONS: &str = "with for to from of about without by at on told tell see like near";

const OWN: &str = "i we";

fn is(words: &[Word], at: usize, list: &str) -> bool {
    words.get(at).is_some_and(|word| among(list, &word.text))
}

/// Whether a negation reaches the phrase that starts at `start`.
pub(super) fn negated(words: &[Word], start: usize) -> bool {
    for at in (start.saturating_sub(REACH)..start).rev() {
        if is(words, at, NEGATORS) {
            return negates(words, at, start);
        }
        if is(words, at, CONTRASTS) || opens_clause(words, at) {
            return false;
        }
    }
    false
}

/// A pronoun with a clause of its own: after punctuation, or not after a word like "think".
fn opens_clause(words: &[Word], at: usize) -> bool {
    is(words, at, PRONOUNS) && (words[at].starts_clause || at == 0 || !is(words, at - 1, RAISING))
}

fn negates(words: &[Word], at: usize, start: usize) -> bool {
    let reply = words[at].text == "no" && words.get(at + 1).is_some_and(|next| next.starts_clause);
    let ended = matches!(words[at].text.as_str(), "stopped" | "quit") && at + 3 < start;
    let excused = (at + 1..start.min(at + 3)).any(|next| is(words, next, NOT_NEGATED));
    !(reply || ended || excused || doubled(words, at))
}

/// "There is no day when I do not", "not a night goes by without".
fn doubled(words: &[Word], at: usize) -> bool {
    const TIMES: &str = "day night hour moment week morning minute";
    let from = at.saturating_sub(REACH);
    let first = (from..at).find(|earlier| is(words, *earlier, "no not never"));
    first.is_some_and(|first| (first..at).any(|between| is(words, between, TIMES)))
}

/// Whether what follows the phrase takes it back: "killing myself is not an option".
pub(super) fn refused(words: &[Word], end: usize) -> bool {
    static REFUSALS: LazyLock<Vec<Pattern>> = LazyLock::new(|| {
        Pattern::all(&[
            "(is|was|has|would|are|were|will) (not|never) ..2 (option|something|crossed|cross|on my mind|\
             what i want|me|an issue|a thing)",
            "(never|not) (even)? (crossed|entered) my mind",
            "is out of the question",
        ])
    });
    let rest = &words[end..words.len().min(end + 8)];
    let clause = rest.iter().position(|word| word.text == "but").unwrap_or(rest.len());
    any(&REFUSALS, &rest[..clause])
}

/// Whether the phrase is somebody else's: the nearest subject before it is a third person.
pub(super) fn of_another(words: &[Word], start: usize, end: usize) -> bool {
    if (start..end).any(|at| is(words, at, "i my myself me")) {
        return false;
    }
    for at in (0..start).rev() {
        if is(words, at, OWN) {
            return false;
        }
        if is(words, at, OTHERS) && !follows_preposition(words, at) {
            return true;
        }
        if words[at].starts_clause || is(words, at, CONTRASTS) {
            return false;
        }
    }
    false
}

fn follows_preposition(words: &[Word], at: usize) -> bool {
    let before = at.checked_sub(1);
    let possessed = before.is_some_and(|before| is(words, before, "my the our a his her some"));
    let preposition = if possessed { at.checked_sub(2) } else { before };
    preposition.is_some_and(|at| is(words, at, PREPOSITIONS))
}

/// Whether the sentence only imagines it, or makes a promise for the case: "if I ever wanted to die, I would call".
pub(super) fn hypothetical(words: &[Word], start: usize) -> bool {
    static PROMISES: LazyLock<Vec<Pattern>> = LazyLock::new(|| {
        Pattern::all(&[
            "(would|will|can|promise|going to|know to) ..3 (tell|call|let you|reach out|talk to|ask|go to|\
             come to|say so|phone)",
        ])
    });
    let imagined = is(words, 0, "imagine suppose pretend");
    imagined || if_clause(words, start).is_some_and(|clause| is_ever(clause) || any(&PROMISES, words))
}

/// The words from an "if" to the phrase, where they are one clause; "if she left, I would" is two.
fn if_clause(words: &[Word], start: usize) -> Option<&[Word]> {
    let from = (start.saturating_sub(REACH)..start).rev().find(|at| is(words, *at, "if unless case"))?;
    let clause = &words[from..start];
    let subjects = (from..=start).filter(|at| is(words, *at, OWN)).count();
    let whole = words[from + 1..=start].iter().all(|word| !word.starts_clause);
    (whole && subjects <= 1).then_some(clause)
}

fn is_ever(clause: &[Word]) -> bool {
    clause.iter().any(|word| word.text == "ever")
}

/// Whether the sentence retells a film, a book, a lesson or the news.
pub(super) fn retold(words: &[Word]) -> bool {
    static STORIES: LazyLock<Vec<Pattern>> = LazyLock::new(|| {
        Pattern::all(&[
            "(in|from) (the|a|this|that|my) ..1 (movie|film|book|novel|show|series|song|game|podcast|play|\
             story|episode|documentary|article|lyrics|comic)",
            "(movie|film|book|novel|show|series|song|podcast|play|story|episode|documentary|article|lecture|\
             news) ..2 (about|where|in which|called|on|said|says|that)",
            "(the|a) (main)? (character|actor|hero|detective|villain|singer|protagonist)",
        ])
    });
    any(&STORIES, words)
}
