//! Words as the rules see them: lower case, contractions written out, punctuation reduced to clause breaks.

/// A normalised word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Word {
    /// Lower case, without apostrophes.
    pub(super) text: String,
    /// A comma, colon, dash or bracket stands before it, or it is the first.
    pub(super) starts_clause: bool,
}

/// Stems whose `'s` is "is" rather than a possessive.
const IS: &[&str] = &[
    "it",
    "that",
    "what",
    "he",
    "she",
    "there",
    "here",
    "who",
    "how",
    "where",
    "everything",
    "nothing",
    "life",
    "something",
    "this",
];

/// Spellings that mean several words; recognisers and typists often leave the apostrophe out.
const SPELLED_OUT: &[(&str, &str)] = &[
    ("can't", "can not"),
    ("cannot", "can not"),
    ("cant", "can not"),
    ("won't", "will not"),
    ("wont", "will not"),
    ("shan't", "shall not"),
    ("ain't", "is not"),
    ("let's", "let us"),
    ("lets", "let us"),
    ("gonna", "going to"),
    ("wanna", "want to"),
    ("gotta", "got to"),
    ("dunno", "do not know"),
    ("im", "i am"),
    ("ive", "i have"),
    ("dont", "do not"),
    ("didnt", "did not"),
    ("doesnt", "does not"),
    ("isnt", "is not"),
    ("wasnt", "was not"),
    ("havent", "have not"),
    ("couldnt", "could not"),
    ("wouldnt", "would not"),
    ("o'clock", "oclock"),
    ("yourselves", "yourself"),
];

/// Pairs that recognisers write apart.
const ONE_WORD: &[(&str, &str, &str)] = &[
    ("any", "more", "anymore"),
    ("my", "self", "myself"),
    ("your", "self", "yourself"),
    ("no", "one", "nobody"),
    ("some", "one", "someone"),
];

/// The words of a text.
pub(super) fn words(text: &str) -> Vec<Word> {
    let mut found = Vec::new();
    let mut breaks = true;
    for raw in text.split_inclusive(|c: char| !is_inner(c)) {
        let inner = raw.trim_end_matches(|c| !is_inner(c));
        push(&inner.to_lowercase().replace(['’', '‘', 'ʼ'], "'"), &mut breaks, &mut found);
        breaks |= raw.ends_with([',', ';', ':', '—', '–', '(', ')', '"', '“', '”', '.', '?', '!', '…']);
    }
    found
}

/// Whether the character is part of a word.
fn is_inner(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '\'' | '’' | '‘' | 'ʼ')
}

fn push(raw: &str, breaks: &mut bool, found: &mut Vec<Word>) {
    for text in expand(raw.trim_matches('\'')).split(' ').filter(|text| !text.is_empty()) {
        let joined = found.last().and_then(|last| join(&last.text, text)).filter(|_| !*breaks);
        if let (Some(joined), Some(last)) = (joined, found.last_mut()) {
            joined.clone_into(&mut last.text);
        } else {
            found.push(Word { text: text.to_owned(), starts_clause: std::mem::take(breaks) });
        }
    }
}

fn join(first: &str, second: &str) -> Option<&'static str> {
    ONE_WORD.iter().find(|(a, b, _)| *a == first && *b == second).map(|(_, _, joined)| *joined)
}

fn expand(raw: &str) -> String {
    if let Some((_, written)) = SPELLED_OUT.iter().find(|(short, _)| *short == raw) {
        return (*written).to_owned();
    }
    let Some((stem, ending)) = raw.rsplit_once('\'') else {
        return raw.to_owned();
    };
    let plain = stem.replace('\'', "");
    match ending {
        "t" if plain.ends_with('n') => format!("{} not", &plain[..plain.len() - 1]),
        "m" => format!("{plain} am"),
        "re" => format!("{plain} are"),
        "ve" => format!("{plain} have"),
        "ll" => format!("{plain} will"),
        "d" => format!("{plain} would"),
        "s" if IS.contains(&plain.as_str()) => format!("{plain} is"),
        "s" => plain,
        _ => format!("{plain}{ending}"),
    }
}

/// Whether a list of words, written as one text, holds the word.
pub(super) fn among(list: &str, word: &str) -> bool {
    list.split(' ').any(|listed| listed == word)
}

/// The sentence turned to its hearer: what is asked of "you" becomes what "I" would say.
pub(super) fn answered(words: &[Word]) -> Vec<Word> {
    let turn = |word: &Word| {
        let text = match word.text.as_str() {
            "you" => "i",
            "your" => "my",
            "yourself" => "myself",
            other => other,
        };
        Word { text: text.to_owned(), starts_clause: word.starts_clause }
    };
    words.iter().map(turn).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(text: &str) -> String {
        words(text).into_iter().map(|word| word.text).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn contractions_are_written_out() {
        assert_eq!(
            plain("I can’t; it's Anna's. We'll see, won't we?"),
            "i can not it is anna we will see will not we"
        );
        assert_eq!(
            plain("Dont want to be here any more, im done"),
            "do not want to be here anymore i am done"
        );
        assert_eq!(plain("self-harm, my self"), "self harm myself");
    }

    #[test]
    fn punctuation_becomes_clause_breaks() {
        let starts: Vec<bool> = words("No, I am fine").iter().map(|word| word.starts_clause).collect();
        assert_eq!(starts, [true, true, false, false]);
    }

    #[test]
    fn odd_text_is_no_trouble() {
        assert_eq!(plain("' '' '' n't 't ’ \u{0} 。 𝒳 İ"), plain("' '' '' n't 't ’ \u{0} 。 𝒳 İ"));
        assert!(words("").is_empty());
    }
}
