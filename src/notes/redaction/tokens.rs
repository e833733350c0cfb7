//! The text of a transcript in tokens, and what each of them may stand for when somebody spells something out.

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

/// A word, a run of digits or a single mark, with its place.
#[derive(Clone, Debug)]
pub(super) struct Token {
    pub(super) line: usize,
    pub(super) from: usize,
    pub(super) to: usize,
    /// Lower case, without diacritics and apostrophes.
    pub(super) folded: String,
    /// Bytes of a possessive ending, `'s` or `'`.
    pub(super) possessive: usize,
    pub(super) is_word: bool,
    pub(super) has_capital: bool,
}

/// The tokens of a line.
pub(super) fn tokens(line: usize, text: &str) -> Vec<Token> {
    let mut found = Vec::new();
    let mut start: Option<usize> = None;
    for (at, c) in text.char_indices().chain([(text.len(), ' ')]) {
        let of_a_run = (is_letter(c) || is_apostrophe(c) && start.is_some()) && !stands_alone(c);
        if let (false, Some(from)) = (of_a_run, start) {
            found.push(word(line, text, from, at));
            start = None;
        }
        if of_a_run {
            start = start.or(Some(at));
        } else if !c.is_whitespace() && at < text.len() {
            found.push(single(line, at, c));
        }
    }
    found
}

fn is_letter(c: char) -> bool {
    c.is_alphanumeric() || is_combining_mark(c)
}

fn is_apostrophe(c: char) -> bool {
    matches!(c, '\'' | '\u{2019}' | '\u{02bc}')
}

/// A character of a script without spaces between words: a name may stand in the midst of others.
fn stands_alone(c: char) -> bool {
    matches!(u32::from(c), 0x0e00..=0x0eff | 0x3040..=0x30ff | 0x3400..=0x9fff | 0xac00..=0xd7af | 0xf900..=0xfaff)
}

fn word(line: usize, text: &str, from: usize, to: usize) -> Token {
    let raw = text[from..to].trim_end_matches(is_apostrophe);
    let inner = raw.strip_suffix(['s', 'S']).map(|stem| (stem, stem.trim_end_matches(is_apostrophe)));
    let stem = inner.filter(|(with_apostrophe, bare)| with_apostrophe != bare).map_or(raw, |(_, bare)| bare);
    Token {
        line,
        from,
        to,
        folded: folded(stem),
        possessive: to - from - stem.len(),
        is_word: true,
        has_capital: raw.chars().next().is_some_and(char::is_uppercase),
    }
}

fn single(line: usize, at: usize, c: char) -> Token {
    let folded = if is_letter(c) { folded(c.encode_utf8(&mut [0; 4])) } else { c.to_string() };
    Token {
        line,
        from: at,
        to: at + c.len_utf8(),
        folded,
        possessive: 0,
        is_word: is_letter(c),
        has_capital: true,
    }
}

/// Lower case, without diacritics and apostrophes: "Zoë" is "zoe", "O'Neill" is "oneill", "Łukasz" is "lukasz".
pub(super) fn folded(text: &str) -> String {
    let plain = text.nfkd().filter(|c| !is_combining_mark(*c) && !is_apostrophe(*c));
    let mut folded = String::with_capacity(text.len());
    for c in plain.flat_map(char::to_lowercase) {
        match c {
            'ß' => folded.push_str("ss"),
            'æ' => folded.push_str("ae"),
            'œ' => folded.push_str("oe"),
            'ø' => folded.push('o'),
            'ł' => folded.push('l'),
            'đ' | 'ð' => folded.push('d'),
            'ı' => folded.push('i'),
            'þ' => folded.push_str("th"),
            c if is_combining_mark(c) => {}
            c => folded.push(c),
        }
    }
    folded
}

/// The mark that a word names when an address is read out, in English and German.
pub(super) fn mark(word: &str) -> Option<&'static str> {
    Some(match word {
        "at" => "@",
        "dot" | "point" | "period" | "punkt" => ".",
        "underscore" | "unterstrich" => "_",
        "dash" | "hyphen" | "minus" | "bindestrich" => "-",
        "plus" => "+",
        _ => return None,
    })
}

/// The digits that a word stands for when a number is read out, in English and German; "o" is a zero.
pub(super) fn digits(word: &str) -> Option<String> {
    const UNITS: [&[&str]; 10] = [
        &["zero", "oh", "o", "nought", "null"],
        &["one", "eins"],
        &["two", "zwei", "zwo"],
        &["three", "drei"],
        &["four", "vier"],
        &["five", "funf"],
        &["six", "sechs"],
        &["seven", "sieben"],
        &["eight", "acht"],
        &["nine", "neun"],
    ];
    const TEENS: [&str; 10] = [
        "ten",
        "eleven",
        "twelve",
        "thirteen",
        "fourteen",
        "fifteen",
        "sixteen",
        "seventeen",
        "eighteen",
        "nineteen",
    ];
    if word.chars().all(|c| c.is_ascii_digit()) && !word.is_empty() {
        return Some(word.to_owned());
    }
    let unit = UNITS.iter().position(|names| names.contains(&word));
    let teen = || TEENS.iter().position(|name| *name == word).map(|at| at + 10);
    unit.or_else(teen).map(|number| number.to_string())
}

/// The tens that a word stands for: what follows may be a part of it ("fifty five").
pub(super) fn tens(word: &str) -> Option<usize> {
    const TENS: [&str; 8] = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"];
    TENS.iter().position(|name| *name == word).map(|at| at + 2)
}
