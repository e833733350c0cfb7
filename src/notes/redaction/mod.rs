//! Keeps names and contact data of the record out of what a language model reads.
//!
//! Every part of a name, every address and number is replaced by role words in brackets, `[patient-name-1]`, before,
//! and put back after. It is found however it is spelled: without diacritics, as a possessive, cut in two, a number with other
//! separators or read out digit by digit, an address read out ("maria at example dot com"). A name that is also an
//! everyday word ("May", "Will") is replaced only where it is written with a capital; one that every text is full of ("An",
//! "My") only beside another part of the name.

mod finders;
#[cfg(test)]
mod tests;
mod tokens;

use self::finders::{Care, Span};
use self::tokens::{Token, folded, tokens};
use crate::ai::{DraftItem, DraftRisk, NoteDraft, TranscriptLine};

/// Says nothing about anybody.
const TITLES: &str = "dr dres prof professor mr mrs ms mx miss sir madam herr frau phd md msc bsc psyd lcsw lmft lpc dipl psych";

/// What to take out, and what to put in its place.
#[derive(Clone, Debug, Default)]
pub struct Redaction {
    contacts: Vec<Entry>,
    names: Vec<Entry>,
}

#[derive(Clone, Debug)]
struct Entry {
    /// As the record has it.
    original: String,
    /// Without its brackets: `patient-name-1`.
    word: String,
    what: What,
}

#[derive(Clone, Debug)]
enum What {
    Name { person: String, folded: String, care: Care },
    Email(String),
    Phone(String),
}

/// What a placeholder stands for at its place in a text, in bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Swap {
    /// Where the placeholder starts.
    pub at: usize,
    /// What stood there.
    pub original: String,
}

/// Something of the record, found.
struct Found<'a> {
    span: Span,
    entry: &'a Entry,
}

impl Redaction {
    /// Adds the parts of a name; `role` is what stands for it, `patient`.
    #[must_use]
    pub fn name(mut self, role: &str, name: &str) -> Self {
        let parts =
            name.split(|c: char| c.is_whitespace() || matches!(c, ',' | '.' | '(' | ')' | '-' | '\u{2010}'));
        let parts = parts.filter(|part| !TITLES.split(' ').any(|title| title == folded(part)));
        let named = parts.filter_map(|part| {
            let part = part.trim_matches(|c: char| !c.is_alphanumeric());
            let folded: String = folded(part).chars().filter(|c| c.is_alphanumeric()).collect();
            (folded.chars().count() > 1).then_some((part, folded))
        });
        for (at, (part, folded)) in (1..).zip(named) {
            let care = Care::of(&folded);
            let what = What::Name { person: role.to_owned(), folded, care };
            self.names.push(Entry { original: part.to_owned(), word: format!("{role}-name-{at}"), what });
        }
        self
    }

    /// Adds an e-mail address.
    #[must_use]
    pub fn email(mut self, role: &str, address: Option<&str>) -> Self {
        if let Some(address) = address.filter(|address| address.contains('@')) {
            let what = What::Email(folded(address));
            self.contacts.push(Entry { original: address.to_owned(), word: format!("{role}-email"), what });
        }
        self
    }

    /// Adds a phone number.
    #[must_use]
    pub fn phone(mut self, role: &str, number: Option<&str>) -> Self {
        let digits: String = number.unwrap_or_default().chars().filter(char::is_ascii_digit).collect();
        if let Some(number) = number.filter(|_| digits.len() >= 3) {
            let what = What::Phone(digits);
            self.contacts.push(Entry { original: number.to_owned(), word: format!("{role}-phone"), what });
        }
        self
    }

    /// The lines without names and contact data, and what was taken out of each.
    #[must_use]
    pub fn redact_lines(&self, lines: &[TranscriptLine]) -> (Vec<TranscriptLine>, Vec<Vec<Swap>>) {
        let tokens: Vec<Token> =
            lines.iter().enumerate().flat_map(|(at, line)| tokens(at, &line.text)).collect();
        let mut redacted = lines.to_vec();
        let mut swaps = vec![Vec::new(); lines.len()];
        let found = self.find(&tokens);
        // From the back, so that what was found before stays where it is.
        for found in found.iter().rev() {
            for (line, range) in ranges(&tokens, found) {
                let original = lines[line].text[range.clone()].to_owned();
                let at = range.start;
                redacted[line].text.replace_range(range, &found.entry.placeholder());
                swaps[line].push((at, original));
            }
        }
        let swaps = swaps.into_iter().zip(&redacted).map(|(swaps, line)| placed(swaps, &line.text)).collect();
        (redacted, swaps)
    }

    fn find(&self, tokens: &[Token]) -> Vec<Found<'_>> {
        let mut found: Vec<Found<'_>> = Vec::new();
        let mut at = 0;
        while at < tokens.len() {
            match self.find_at(tokens, at, found.last()) {
                Some(next) => {
                    at = next.span.end;
                    found.push(next);
                }
                None => at += 1,
            }
        }
        found
    }

    fn find_at(&self, tokens: &[Token], at: usize, before: Option<&Found<'_>>) -> Option<Found<'_>> {
        let all = self.contacts.iter().chain(&self.names);
        let mut spans = all.filter_map(|entry| {
            let span = match &entry.what {
                What::Email(address) => finders::email(tokens, at, address),
                What::Phone(number) => finders::phone(tokens, at, number),
                What::Name { folded, care, .. } => finders::name(tokens, at, folded, *care)
                    .filter(|span| *care != Care::Neighbour || self.is_beside(tokens, span, entry, before)),
            }?;
            Some(Found { span, entry })
        });
        spans.next()
    }

    /// Whether a title stands directly before, or another part of the same name directly before or after.
    fn is_beside(&self, tokens: &[Token], span: &Span, entry: &Entry, before: Option<&Found<'_>>) -> bool {
        let is_kin = |other: &Entry| match (&entry.what, &other.what) {
            (What::Name { person, .. }, What::Name { person: other, .. }) => person == other,
            _ => false,
        };
        let follows = before.is_some_and(|before| before.span.end == span.start && is_kin(before.entry));
        let precedes =
            self.names.iter().filter(|other| other.word != entry.word && is_kin(other)).any(|other| {
                let What::Name { folded, care, .. } = &other.what else { return false };
                *care != Care::Neighbour && finders::name(tokens, span.end, folded, *care).is_some()
            });
        follows || precedes || is_titled(tokens, span.start)
    }

    /// The draft with names and contact data back in the texts. Quotes are left to [`Redaction::restore_quote`].
    #[must_use]
    pub fn restore_draft(&self, draft: NoteDraft) -> NoteDraft {
        let text = |text: String| self.restore(&text);
        let item = |item: DraftItem| DraftItem { text: text(item.text), ..item };
        NoteDraft {
            key_topics: draft.key_topics.into_iter().map(text).collect(),
            topic_summary: text(draft.topic_summary),
            strategies: draft.strategies.into_iter().map(item).collect(),
            action_items: draft.action_items.into_iter().map(item).collect(),
            therapist_notes: text(draft.therapist_notes),
            patient_summary: text(draft.patient_summary),
            risk_flags: draft
                .risk_flags
                .into_iter()
                .map(|risk| DraftRisk { text: text(risk.text), ..risk })
                .collect(),
            ..draft
        }
    }

    /// Puts back what the record has, wherever a placeholder stands; also where the model dropped its brackets.
    #[must_use]
    pub fn restore(&self, text: &str) -> String {
        self.restored(text, |entry, _| entry.original.clone())
    }

    /// Puts back what stood at the place where the quote was found, in order; what the record has where that is not known.
    #[must_use]
    pub fn restore_quote(&self, quote: &str, originals: &[&str]) -> String {
        let placeholders = self.placeholders(quote).len();
        if placeholders != originals.len() {
            return self.restore(quote);
        }
        self.restored(quote, |_, at| originals[at].to_owned())
    }

    fn restored(&self, text: &str, original: impl Fn(&Entry, usize) -> String) -> String {
        let mut restored = String::with_capacity(text.len());
        let mut end = 0;
        for (at, (range, entry)) in self.placeholders(text).into_iter().enumerate() {
            restored.push_str(&text[end..range.start]);
            restored.push_str(&original(entry, at));
            end = range.end;
        }
        restored.push_str(&text[end..]);
        restored
    }

    /// The placeholders in a text, in order.
    fn placeholders(&self, text: &str) -> Vec<(std::ops::Range<usize>, &Entry)> {
        let lower = text.to_ascii_lowercase();
        let mut found: Vec<_> = self
            .contacts
            .iter()
            .chain(&self.names)
            .flat_map(|entry| {
                lower.match_indices(&entry.word).map(move |(at, word)| (at..at + word.len(), entry))
            })
            .filter(|(range, _)| stands_alone(&lower, range))
            .map(|(range, entry)| (with_brackets(&lower, range), entry))
            .collect();
        found.sort_by_key(|(range, _)| range.start);
        found
    }
}

impl Entry {
    fn placeholder(&self) -> String {
        format!("[{}]", self.word)
    }
}

/// "Mrs. An" is a person, whatever "an" is elsewhere.
fn is_titled(tokens: &[Token], at: usize) -> bool {
    let before = tokens[..at].iter().rev().find(|token| token.folded != ".");
    let is_title = |token: &Token| TITLES.split(' ').any(|title| title == token.folded);
    tokens[at].has_capital && before.is_some_and(|before| before.line == tokens[at].line && is_title(before))
}

/// Places in the text as it was become places in the text as it is.
fn placed(mut swaps: Vec<(usize, String)>, redacted: &str) -> Vec<Swap> {
    swaps.reverse();
    let (mut taken, mut given) = (0, 0);
    let place = |(at, original): (usize, String)| {
        let at = at - taken + given;
        let length = redacted[at..].find(']').map_or(0, |end| end + 1);
        taken += original.len();
        given += length;
        Swap { at, original }
    };
    swaps.into_iter().map(place).collect()
}

/// The stretch of each line that is taken out. The ending of a possessive stays.
fn ranges(tokens: &[Token], found: &Found<'_>) -> Vec<(usize, std::ops::Range<usize>)> {
    let mut ranges: Vec<(usize, std::ops::Range<usize>)> = Vec::new();
    let taken = &tokens[found.span.clone()];
    for token in taken {
        match ranges.last_mut() {
            Some((line, range)) if *line == token.line => range.end = token.to,
            _ => ranges.push((token.line, token.from..token.to)),
        }
    }
    if let (Some((_, range)), Some(last)) = (ranges.last_mut(), taken.last()) {
        range.end -= last.possessive;
    }
    ranges
}

/// Not a part of a longer word: `patient-name-1` is not in `patient-name-10`.
fn stands_alone(text: &str, range: &std::ops::Range<usize>) -> bool {
    let before = text[..range.start].chars().next_back();
    let after = text[range.end..].chars().next();
    !before.is_some_and(|c| c.is_alphanumeric() || c == '-') && !after.is_some_and(char::is_alphanumeric)
}

fn with_brackets(text: &str, range: std::ops::Range<usize>) -> std::ops::Range<usize> {
    if text[..range.start].ends_with('[') && text[range.end..].starts_with(']') {
        range.start - 1..range.end + 1
    } else {
        range
    }
}
