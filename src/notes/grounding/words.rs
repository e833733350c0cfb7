//! The words of a text, folded so that they can be compared.

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

/// A word, and where it stands in its text, in bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Word {
    pub(super) folded: String,
    pub(super) from: usize,
    pub(super) to: usize,
}

/// Contractions that are written without their apostrophe, by recognisers and by models. Only those that are no
/// other word: "were" and "we're" stay two words.
const WITHOUT_APOSTROPHE: [(&str, &str); 31] = [
    ("aint", "ain't"),
    ("arent", "aren't"),
    ("cant", "can't"),
    ("couldnt", "couldn't"),
    ("didnt", "didn't"),
    ("doesnt", "doesn't"),
    ("dont", "don't"),
    ("hadnt", "hadn't"),
    ("hasnt", "hasn't"),
    ("havent", "haven't"),
    ("im", "i'm"),
    ("isnt", "isn't"),
    ("ive", "i've"),
    ("mustnt", "mustn't"),
    ("neednt", "needn't"),
    ("shouldnt", "shouldn't"),
    ("thats", "that's"),
    ("theres", "there's"),
    ("theyll", "they'll"),
    ("theyre", "they're"),
    ("theyve", "they've"),
    ("wasnt", "wasn't"),
    ("werent", "weren't"),
    ("weve", "we've"),
    ("whats", "what's"),
    ("wont", "won't"),
    ("wouldnt", "wouldn't"),
    ("youd", "you'd"),
    ("youll", "you'll"),
    ("youre", "you're"),
    ("youve", "you've"),
];

/// The words of a text in order.
pub(super) fn words(text: &str) -> Vec<Word> {
    let mut found = Vec::new();
    let mut start = None;
    for (at, c) in text.char_indices().chain([(text.len(), ' ')]) {
        match (is_of_a_word(c), start) {
            (true, None) => start = Some(at),
            (false, Some(from)) => {
                found.extend(word(text, from, at));
                start = None;
            }
            _ => {}
        }
    }
    found
}

fn is_of_a_word(c: char) -> bool {
    c.is_alphanumeric() || is_apostrophe(c) || is_combining_mark(c)
}

fn is_apostrophe(c: char) -> bool {
    matches!(c, '\'' | '\u{2019}' | '\u{2018}' | '\u{02bc}' | '\u{ff07}')
}

/// Lower case, one form of each character and of the apostrophe, none of the quotation marks around it.
fn word(text: &str, from: usize, to: usize) -> Option<Word> {
    let raw = &text[from..to];
    let inner = raw.trim_matches(is_apostrophe);
    if !inner.contains(char::is_alphanumeric) {
        return None;
    }
    let from = from + raw.find(inner).unwrap_or_default();
    let plain = inner.chars().map(|c| if is_apostrophe(c) { '\'' } else { c });
    let folded: String = plain.nfkc().flat_map(char::to_lowercase).collect();
    let known = WITHOUT_APOSTROPHE.binary_search_by_key(&folded.as_str(), |pair| pair.0);
    let folded = known.map_or(folded, |at| WITHOUT_APOSTROPHE[at].1.to_owned());
    Some(Word { folded, from, to: from + inner.len() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folded(text: &str) -> Vec<String> {
        words(text).into_iter().map(|word| word.folded).collect()
    }

    #[test]
    fn words_are_told_from_punctuation_and_keep_their_place() {
        let text = "\u{2018}Well\u{2019}, I don\u{2019}t\u{2026} sleep-walk!";
        assert_eq!(folded(text), ["well", "i", "don't", "sleep", "walk"]);
        assert_eq!(
            words(text).iter().map(|w| &text[w.from..w.to]).collect::<String>(),
            "WellIdon\u{2019}tsleepwalk"
        );
    }

    #[test]
    fn a_missing_apostrophe_makes_no_other_word_unless_it_is_one() {
        assert_eq!(folded("Im sure you dont"), folded("I'm sure you don't"));
        assert_ne!(folded("we were fine"), folded("we we're fine"));
    }

    #[test]
    fn two_ways_of_writing_a_letter_are_one() {
        assert_eq!(folded("cafe\u{301}"), folded("caf\u{e9}"));
    }

    #[test]
    fn the_table_is_in_order() {
        assert!(WITHOUT_APOSTROPHE.is_sorted_by_key(|pair| pair.0));
    }
}
