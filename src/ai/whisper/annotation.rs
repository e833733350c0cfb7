//! What Whisper writes where it hears something else than words.

/// Words that an annotation such as `[BLANK_AUDIO]` or `(people talking in background)` has at most. What is longer
/// may be whispered speech, and is kept.
const LONGEST_ANNOTATION: usize = 5;

/// Whether there is a word that is not part of an annotation such as `[BLANK_AUDIO]`, `(music)` or `*sighs*`.
pub(super) fn is_speech(text: &str) -> bool {
    let Some(first) = text.chars().next() else {
        return false;
    };
    let rest = &text[first.len_utf8()..];
    first.is_alphanumeric() || is_speech(after_annotation(first, rest).unwrap_or(rest))
}

/// What follows the annotation that `open` begins, if it begins one.
fn after_annotation(open: char, rest: &str) -> Option<&str> {
    let close = match open {
        '[' => ']',
        '(' => ')',
        '*' | '♪' => open,
        _ => return None,
    };
    let (inside, after) = rest.split_once(close)?;
    (inside.split_whitespace().count() <= LONGEST_ANNOTATION).then_some(after)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn annotations_are_no_speech() {
        for text in
            ["", " ", "...", "[BLANK_AUDIO]", "(music)", "*sighs*", "♪ la la ♪", "[MUSIC] (door closes)."]
        {
            assert!(!is_speech(text), "{text}");
        }
    }

    #[test]
    fn words_beside_or_instead_of_annotations_are_speech() {
        let whispered = "(I do not want to wake up any more)";
        for text in ["Yes.", "(laughs) I know.", "[unclear", "♪", whispered, "5 * 3", "Ü"] {
            assert_eq!(is_speech(text), text != "♪", "{text}");
        }
    }
}
