//! What is done to a text before any renderer sees it.

use unicode_bidi::{Direction, get_base_direction};
use unicode_normalization::char::is_combining_mark;

/// More marks on one letter than any language writes would run over the lines above and below.
const MARKS: usize = 8;

/// A text without what could spoil a page or a file: control characters, overrides of the direction of writing, and towers
/// of marks are gone; every kind of line break is a line feed.
#[must_use]
pub(super) fn clean(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    let (mut marks, mut returned) = (0, false);
    for character in text.chars() {
        let after_return = std::mem::replace(&mut returned, character == '\r');
        let kept = match character {
            '\n' if after_return => continue,
            '\n' | '\r' | '\u{B}' | '\u{C}' | '\u{85}' | '\u{2028}' | '\u{2029}' => '\n',
            '\t' => ' ',
            _ if is_harmful(character) => continue,
            _ => character,
        };
        marks = if is_combining_mark(kept) { marks + 1 } else { 0 };
        if marks <= MARKS {
            clean.push(kept);
        }
    }
    clean
}

/// A text for a place of one line: heads, cells of properties, bookmarks.
#[must_use]
pub(super) fn clean_line(text: &str) -> String {
    clean(text).split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Whether a text is written from right to left; `None` where nothing in it says so.
#[must_use]
pub(super) fn is_right_to_left(text: &str) -> Option<bool> {
    match get_base_direction(text) {
        Direction::Ltr => Some(false),
        Direction::Rtl => Some(true),
        Direction::Mixed => None,
    }
}

fn is_harmful(character: char) -> bool {
    let code = u32::from(character);
    let overrides = matches!(character, '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}');
    let annotations = matches!(character, '\u{FFF9}'..='\u{FFFB}');
    let no_character = code & 0xFFFE == 0xFFFE || matches!(code, 0xFDD0..=0xFDEF);
    character.is_control() || overrides || annotations || no_character
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn controls_and_overrides_are_gone_and_words_are_not() {
        assert_eq!(clean("a\0b\u{1b}[31m\u{202E}evil\u{2066}\u{7}\u{FFFE}\u{FDD0}"), "ab[31mevil");
        assert_eq!(clean("Zoë 李明 مرحبا שלום \u{200F}x\u{200D}y"), "Zoë 李明 مرحبا שלום \u{200F}x\u{200D}y");
    }

    #[test]
    fn every_line_break_is_a_line_feed() {
        assert_eq!(clean("a\r\nb\rc\u{2028}d\u{85}e\n\nf\tg"), "a\nb\nc\nd\ne\n\nf g");
        assert_eq!(clean_line(" a\r\n b \u{A0} c "), "a b c");
    }

    #[test]
    fn a_tower_of_marks_is_cut_and_ordinary_marks_are_kept() {
        let tower = format!("a{}b", "\u{301}".repeat(50));
        assert_eq!(clean(&tower), format!("a{}b", "\u{301}".repeat(MARKS)));
        assert_eq!(clean("שָׁלוֹם ệ"), "שָׁלוֹם ệ");
    }

    #[test]
    fn the_first_letter_tells_the_direction() {
        assert_eq!(is_right_to_left("12 שלום hello"), Some(true));
        assert_eq!(is_right_to_left("hello שלום"), Some(false));
        assert_eq!(is_right_to_left("12 – 13"), None);
    }
}
