//! A small language for phrases, so that a rule reads like what it finds.
//!
//! `kill|killing myself` is a word out of two and then another; `(want to|ready to) die` alternatives of several
//! words; `the?` and `(the old)?` may be missing; `hurt*` is any word that starts so; `..3` skips up to three words;
//! `^` and `$` stand for the edge of a clause; `@name` is a list of [`LISTS`].

use super::words::Word;

/// Named lists of alternatives.
const LISTS: &[(&str, &str)] = &[
    (
        "@pills",
        "(pills|pill|tablets|tablet|medication|medications|meds|medicine|insulin|painkillers|paracetamol|\
         tylenol|\
         ibuprofen|aspirin|oxycodone|opioids|xanax|valium|ambien|benzos|antidepressants|sedatives|sertraline|lithium)",
    ),
    ("@gun", "(gun|guns|rifle|pistol|shotgun|firearm|firearms|revolver|handgun)"),
    (
        "@adult",
        "(he|she|they|who|someone|somebody|husband|wife|partner|boyfriend|girlfriend|father|dad|mother|mom|\
         mum|\
         stepfather|stepdad|stepmother|uncle|aunt|cousin|grandfather|grandmother|brother|ex|fiance|man|guy|coach|\
         teacher|priest|parents|neighbor|roommate|boss|caregiver|carer|stranger)",
    ),
    (
        "@household",
        "(husband|wife|partner|boyfriend|girlfriend|father|dad|mother|mom|mum|stepfather|stepdad|stepmother|\
         ex)",
    ),
    (
        "@child",
        "(kids|kid|children|child|son|daughter|baby|boys|girls|boy|girl|toddler|grandson|granddaughter)",
    ),
    (
        "@relative",
        "(mother|mom|mum|brother|sister|father|dad|wife|husband|girlfriend|boyfriend|partner|dog|cat)",
    ),
    ("@drink", "(wine|vodka|whiskey|whisky|gin|rum|beer|beers|alcohol|booze|liquor|bourbon|tequila|cider)"),
    (
        "@many",
        "(three|four|five|six|seven|eight|nine|ten|twelve|fifteen|twenty|thirty|forty|fifty|several|3|4|5|6|\
         7|8|9|10|\
         12|15|20|30|40|50)",
    ),
    ("@day", "(day|days|night|nights|evening|evenings|morning|mornings|weekend|weekends)"),
    (
        "@when",
        "(monday|tuesday|wednesday|thursday|friday|saturday|sunday|tomorrow|tonight|today|morning|evening|\
         week|\
         weekend|month|day|night|mondays|tuesdays|wednesdays|thursdays|fridays|saturdays|sundays)",
    ),
];

/// A phrase ready to be looked for.
#[derive(Debug)]
pub(super) struct Pattern(Vec<Part>);

#[derive(Debug)]
enum Part {
    /// One word out of these.
    Word(Vec<Stem>),
    /// One sequence out of these.
    Group(Vec<Vec<Part>>),
    /// Up to so many words.
    Gap(usize),
    /// The edge of a clause.
    Edge,
}

#[derive(Debug)]
struct Stem {
    text: String,
    open: bool,
}

impl Stem {
    fn new(text: &str) -> Self {
        let stem = text.strip_suffix('*');
        Self { text: stem.unwrap_or(text).to_owned(), open: stem.is_some() }
    }

    fn fits(&self, word: &str) -> bool {
        if self.open { word.starts_with(&self.text) } else { word == self.text }
    }
}

impl Pattern {
    /// Reads a phrase.
    pub(super) fn new(source: &str) -> Self {
        let written = LISTS.iter().fold(source.to_owned(), |text, (name, list)| text.replace(name, list));
        Self(sequence(&written))
    }

    /// Reads several phrases.
    pub(super) fn all(sources: &[&str]) -> Vec<Self> {
        sources.iter().map(|source| Self::new(source)).collect()
    }

    /// The first place it stands at, as the indices of its first word and of the word after its last.
    pub(super) fn find(&self, words: &[Word]) -> Option<(usize, usize)> {
        self.places(words).next()
    }

    /// Every place it starts at.
    pub(super) fn places<'a>(&'a self, words: &'a [Word]) -> impl Iterator<Item = (usize, usize)> + 'a {
        (0..words.len()).filter_map(|at| Some((at, run(&self.0, words, at, &Some)?)))
    }
}

/// Whether one of the phrases stands in the words.
pub(super) fn any(patterns: &[Pattern], words: &[Word]) -> bool {
    patterns.iter().any(|pattern| pattern.find(words).is_some())
}

/// The end of a match that starts at `at`.
fn run(parts: &[Part], words: &[Word], at: usize, then: &dyn Fn(usize) -> Option<usize>) -> Option<usize> {
    let Some((first, rest)) = parts.split_first() else {
        return then(at);
    };
    match first {
        Part::Word(stems) => {
            let word = &words.get(at)?.text;
            stems.iter().any(|stem| stem.fits(word)).then(|| run(rest, words, at + 1, then))?
        }
        Part::Group(ways) => {
            ways.iter().find_map(|way| run(way, words, at, &|next| run(rest, words, next, then)))
        }
        Part::Gap(most) => reach(words, at, *most).find_map(|next| run(rest, words, next, then)),
        Part::Edge => words.get(at).is_none_or(is_edge).then(|| run(rest, words, at, then))?,
    }
}

/// Where the words after a gap may begin. A gap skips no "not": with it the phrase would mean the opposite.
fn reach(words: &[Word], at: usize, most: usize) -> impl Iterator<Item = usize> {
    let end = (at + most).min(words.len());
    let barrier = (at..end).find(|skipped| turns_around(words, *skipped));
    at..=barrier.unwrap_or(end)
}

fn turns_around(words: &[Word], at: usize) -> bool {
    let next = words.get(at + 1).map(|word| word.text.as_str());
    matches!(words[at].text.as_str(), "not" | "never" | "nobody" | "without")
        && !next.is_some_and(|next| matches!(next, "stop" | "only" | "just" | "even" | "help"))
}

fn is_edge(word: &Word) -> bool {
    word.starts_clause || matches!(word.text.as_str(), "and" | "but" | "because" | "so" | "or")
}

/// Splits at spaces outside of brackets, and reads each piece.
fn sequence(source: &str) -> Vec<Part> {
    split(source, ' ').into_iter().filter(|piece| !piece.is_empty()).map(part).collect()
}

fn part(piece: &str) -> Part {
    if let Some(length) = piece.strip_prefix("..") {
        return Part::Gap(length.parse().unwrap_or(1));
    }
    if piece == "$" || piece == "^" {
        return Part::Edge;
    }
    let (body, optional) = piece.strip_suffix('?').map_or((piece, false), |body| (body, true));
    let inner = body.strip_prefix('(').and_then(|rest| rest.strip_suffix(')')).unwrap_or(body);
    let ways = split(inner, '|');
    if !optional && !ways.iter().any(|way| way.contains([' ', '(', '.', '?', '$', '^'])) {
        return Part::Word(ways.into_iter().map(Stem::new).collect());
    }
    let empty = optional.then(Vec::new);
    Part::Group(ways.into_iter().map(sequence).chain(empty).collect())
}

/// Splits at a character that stands outside of brackets.
fn split(source: &str, at: char) -> Vec<&str> {
    let mut depth = 0_usize;
    let outside = |c: char| {
        depth = match c {
            '(' => depth + 1,
            ')' => depth.saturating_sub(1),
            _ => depth,
        };
        depth == 0 && c == at
    };
    source.split(outside).collect()
}

#[cfg(test)]
mod tests {
    use super::super::words::words;
    use super::*;

    fn found(pattern: &str, text: &str) -> bool {
        Pattern::new(pattern).find(&words(text)).is_some()
    }

    #[test]
    fn alternatives_gaps_and_stems_are_found() {
        assert!(found("kill|killing myself", "I think about killing myself."));
        assert!(found("(want to|ready to) die", "I am ready to die"));
        assert!(found("see the? point", "I can't see point"));
        assert!(found("hurt* ..2 myself", "hurting only myself"));
        assert!(!found("hurt* ..2 myself", "hurting one two three myself"));
        assert!(found("took ..2 (@pills|the (whole|full) box)", "I took the full box"));
    }

    #[test]
    fn edges_are_clauses() {
        assert!(found("no point $", "There is no point, he said"));
        assert!(!found("no point $", "There is no point in waiting"));
        assert!(found("^ please", "First, please call"));
    }
}
