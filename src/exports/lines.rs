//! From shaped words to lines: where a line may end, and in which order its words stand.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::ops::Range;
use std::rc::Rc;

use unicode_bidi::{BidiInfo, Level};
use unicode_linebreak::{BreakOpportunity, linebreaks};
use unicode_normalization::char::is_combining_mark;

use super::clean::{clean, is_right_to_left};
use super::fonts::Weight;
use super::ink::Ink;
use super::shape::{Shaper, Word};

/// No line holds more characters; where one has to be cut, no more are looked at.
const LONGEST_LINE: usize = 400;
/// More characters than that are not one letter, whatever joins them.
const LONGEST_LETTER: usize = 12;
/// Lengths that differ by less are the same, in points.
const NOTHING: f32 = 0.01;
const SOFT_HYPHEN: char = '\u{AD}';

/// How letters look.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Look {
    pub(super) weight: Weight,
    /// In points.
    pub(super) size: f32,
    pub(super) ink: Ink,
}

/// Text in one look.
#[derive(Clone, Debug)]
pub(super) struct Span {
    pub(super) text: String,
    pub(super) look: Look,
}

/// A line, its words from left to right.
#[derive(Debug, Default)]
pub(super) struct Line {
    pub(super) words: Vec<Placed>,
    /// In points.
    pub(super) width: f32,
    /// Whether it begins at the right.
    pub(super) right_to_left: bool,
}

/// A word in its line.
#[derive(Clone, Debug)]
pub(super) struct Placed {
    /// From the line's left edge, in points.
    pub(super) x: f32,
    pub(super) look: Look,
    pub(super) word: Rc<Word>,
}

impl Look {
    pub(super) fn new(size: f32) -> Self {
        Self { weight: Weight::default(), size, ink: Ink::Text }
    }

    pub(super) fn bold(self) -> Self {
        Self { weight: Weight { bold: true, ..self.weight }, ..self }
    }

    pub(super) fn italic(self) -> Self {
        Self { weight: Weight { italic: true, ..self.weight }, ..self }
    }

    pub(super) fn ink(self, ink: Ink) -> Self {
        Self { ink, ..self }
    }
}

impl Span {
    pub(super) fn new(text: &str, look: Look) -> Self {
        Self { text: clean(text), look }
    }
}

/// Breaks text into lines of at most `width` points. Text that says nothing of its direction is written from right to left
/// where `right_to_left` is set.
pub(super) fn break_lines(
    shaper: &mut Shaper<'_>,
    spans: &[Span],
    width: f32,
    right_to_left: bool,
) -> Vec<Line> {
    let text: String = spans.iter().map(|span| span.text.as_str()).collect();
    let mut looks = Vec::new();
    for span in spans {
        let start = looks.last().map_or(0, |(range, _): &(Range<usize>, Look)| range.end);
        looks.push((start..start + span.text.len(), span.look));
    }
    // One direction for the whole: a list of names does not jump from side to side.
    let right_to_left = is_right_to_left(&text).unwrap_or(right_to_left);
    let mut lines = Vec::new();
    let mut start = 0;
    for paragraph in text.split('\n') {
        let range = start..start + paragraph.len();
        start = range.end + 1;
        let atoms = atoms(shaper, &text, &looks, range, right_to_left);
        lines.extend(Filler { shaper, text: &text, width, right_to_left, lines: Vec::new() }.fill(atoms));
    }
    lines
}

/// One line, cut short with an ellipsis where it would be wider than `width`.
pub(super) fn one_line(shaper: &mut Shaper<'_>, span: &Span, width: f32, right_to_left: bool) -> Line {
    let mut text = span.text.replace('\n', " ");
    loop {
        let whole = [Span { text: text.clone(), look: span.look }];
        let mut lines = break_lines(shaper, &whole, f32::MAX, right_to_left);
        let line = lines.pop().unwrap_or_default();
        let kept = text.trim_end_matches('…').chars().count();
        if line.width <= width + NOTHING || kept == 0 {
            return line;
        }
        // Cut in proportion, and at least one character.
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "a share of a count"
        )]
        let fits = ((kept as f32 * (width / line.width).max(0.0)) as usize).min(kept - 1);
        text = text.chars().take(fits).collect::<String>().trim_end().to_owned() + "…";
    }
}

/// The smallest part of a line: one look, one direction, no break inside.
#[derive(Clone, Debug)]
struct Atom {
    range: Range<usize>,
    look: Look,
    level: Level,
    word: Rc<Word>,
    is_space: bool,
    may_break_after: bool,
}

impl Atom {
    fn width(&self) -> f32 {
        self.word.width * self.look.size / 1000.0
    }
}

/// Cuts a paragraph into atoms.
fn atoms(
    shaper: &mut Shaper<'_>,
    text: &str,
    looks: &[(Range<usize>, Look)],
    paragraph: Range<usize>,
    right_to_left: bool,
) -> Vec<Atom> {
    let words = &text[paragraph.clone()];
    if words.is_empty() {
        return Vec::new();
    }
    let base = if right_to_left { Level::rtl() } else { Level::ltr() };
    let levels = BidiInfo::new(words, Some(base)).levels;
    let allowed = linebreaks(words).filter(|(_, kind)| *kind == BreakOpportunity::Allowed).map(|(at, _)| at);
    // An address is not torn from its scheme.
    let breaks: BTreeSet<usize> = allowed.filter(|at| !words[..*at].ends_with("://")).collect();
    let look_at = |at: usize| looks.partition_point(|(range, _)| range.end <= paragraph.start + at);

    let mut atoms = Vec::new();
    let mut start = 0;
    let mut previous: Option<(usize, Level, bool)> = None;
    let ends = words.char_indices().map(|(at, character)| (at, Some(character))).chain([(words.len(), None)]);
    for (at, character) in ends {
        let traits = character.map(|character| (look_at(at), levels[at], is_space(character)));
        // What never ends is cut beforehand, so that no line is shaped together with all that follows it.
        let endless = at - start >= LONGEST_LINE && !character.is_some_and(is_combining_mark);
        let cut = at > start && (traits != previous || breaks.contains(&at) || endless);
        if let (true, Some((look, level, is_space))) = (cut, previous) {
            let look = looks.get(look).map_or_else(|| looks[looks.len() - 1].1, |(_, look)| *look);
            let word = shaper.word(&shown(&words[start..at]), look.weight, level.is_rtl());
            let range = paragraph.start + start..paragraph.start + at;
            atoms.push(Atom { range, look, level, word, is_space, may_break_after: breaks.contains(&at) });
            start = at;
        }
        previous = traits;
    }
    atoms
}

/// Spaces that may end a line, and are not drawn there.
fn is_space(character: char) -> bool {
    character.is_whitespace() && !matches!(character, '\u{A0}' | '\u{202F}' | '\u{2007}')
}

/// Puts atoms into lines.
struct Filler<'f, 's> {
    shaper: &'f mut Shaper<'s>,
    text: &'f str,
    width: f32,
    right_to_left: bool,
    lines: Vec<Line>,
}

impl Filler<'_, '_> {
    fn fill(mut self, atoms: Vec<Atom>) -> Vec<Line> {
        let mut line: Vec<Atom> = Vec::new();
        let mut unit: Vec<Atom> = Vec::new();
        for atom in atoms {
            let ends = atom.may_break_after;
            unit.push(atom);
            if ends {
                self.add(&mut line, std::mem::take(&mut unit));
            }
        }
        self.add(&mut line, unit);
        self.finish(line, true);
        self.lines
    }

    /// Adds what may not be broken to the line, or to the next one.
    fn add(&mut self, line: &mut Vec<Atom>, unit: Vec<Atom>) {
        if width(line) + self.inked(&unit) > self.width + NOTHING && !line.is_empty() {
            let full = std::mem::take(line);
            self.finish(full, false);
        }
        if self.inked(&unit) <= self.width + NOTHING {
            line.extend(unit);
        } else {
            for atom in unit {
                self.add_in_pieces(line, atom);
            }
        }
    }

    /// Adds an atom to the line, cut wherever the line is full.
    fn add_in_pieces(&mut self, line: &mut Vec<Atom>, mut atom: Atom) {
        while width(line) + atom.width() > self.width + NOTHING && !atom.is_space {
            let room = self.width - width(line);
            let cut = self.cut(&atom, room);
            if cut == 0 && !line.is_empty() {
                let full = std::mem::take(line);
                self.finish(full, false);
                continue;
            }
            let Some((head, tail)) = self.split(&atom, cut) else { break };
            line.push(head);
            let full = std::mem::take(line);
            self.finish(full, false);
            atom = tail;
        }
        line.push(atom);
    }

    /// How many bytes of an atom fit.
    fn cut(&mut self, atom: &Atom, room: f32) -> usize {
        let text = &self.text[atom.range.clone()];
        let places: Vec<usize> = graphemes(text).take(LONGEST_LINE).collect();
        let fit = places.partition_point(|end| {
            let word = self.shaper.shaped(&shown(&text[..*end]), atom.look.weight, atom.level.is_rtl());
            word.width * atom.look.size / 1000.0 <= room + NOTHING
        });
        fit.checked_sub(1).map_or(0, |last| places[last])
    }

    /// An atom's first bytes, at least one letter, and its rest; `None` where it has no two letters.
    fn split(&mut self, atom: &Atom, cut: usize) -> Option<(Atom, Atom)> {
        let text = &self.text[atom.range.clone()];
        let cut = if cut == 0 { graphemes(text).next()? } else { cut };
        if cut >= text.len() {
            return None;
        }
        let mut part = |range: Range<usize>, may_break_after| {
            let word = self.shaper.word(&shown(&text[range.clone()]), atom.look.weight, atom.level.is_rtl());
            let range = atom.range.start + range.start..atom.range.start + range.end;
            Atom { range, word, may_break_after, ..atom.clone() }
        };
        Some((part(0..cut, true), part(cut..text.len(), atom.may_break_after)))
    }

    /// The width of what would be seen of a unit at the end of a line.
    fn inked(&mut self, unit: &[Atom]) -> f32 {
        let seen = unit.len() - unit.iter().rev().take_while(|atom| atom.is_space).count();
        let hyphen = unit[..seen].last().filter(|atom| self.text[atom.range.clone()].ends_with(SOFT_HYPHEN));
        let hyphen = hyphen.map(|atom| (atom.look, self.shaper.word("-", atom.look.weight, false)));
        width(&unit[..seen]) + hyphen.map_or(0.0, |(look, word)| word.width * look.size / 1000.0)
    }

    /// Puts a line's words where they stand. Spaces at its end are not drawn, a soft hyphen there is.
    fn finish(&mut self, mut atoms: Vec<Atom>, is_last: bool) {
        while atoms.last().is_some_and(|atom| atom.is_space) {
            atoms.pop();
        }
        if let Some(last) = atoms.last_mut().filter(|_| !is_last) {
            let text = &self.text[last.range.clone()];
            if let Some(word) = text.strip_suffix(SOFT_HYPHEN) {
                last.word =
                    self.shaper.word(&format!("{}-", shown(word)), last.look.weight, last.level.is_rtl());
            }
        }
        let levels: Vec<Level> = atoms.iter().map(|atom| atom.level).collect();
        let mut line = Line { right_to_left: self.right_to_left, ..Line::default() };
        for at in BidiInfo::reorder_visual(&levels) {
            let atom = &atoms[at];
            line.words.push(Placed { x: line.width, look: atom.look, word: atom.word.clone() });
            line.width += atom.width();
        }
        self.lines.push(line);
    }
}

/// A text without its soft hyphens: they would get between a reader and the words that are looked for.
fn shown(text: &str) -> Cow<'_, str> {
    if text.contains(SOFT_HYPHEN) { text.replace(SOFT_HYPHEN, "").into() } else { text.into() }
}

fn width(atoms: &[Atom]) -> f32 {
    atoms.iter().map(Atom::width).sum()
}

/// The ends of what is seen as one letter. Not all of Unicode's rules: enough that no mark is torn from its letter.
fn graphemes(text: &str) -> impl Iterator<Item = usize> {
    let next = text.char_indices().skip(1).map(|(at, character)| (at, Some(character)));
    let ends = next.chain((!text.is_empty()).then_some((text.len(), None)));
    let (mut joined, mut length) = (false, 0);
    ends.filter_map(move |(at, character)| {
        length += 1;
        let goes_on = character.is_some_and(|c| {
            is_combining_mark(c)
                || matches!(c, '\u{200D}' | '\u{FE00}'..='\u{FE0F}' | '\u{1F3FB}'..='\u{1F3FF}')
        });
        let after_joiner = std::mem::replace(&mut joined, character == Some('\u{200D}'));
        let ends = !goes_on && !after_joiner || length >= LONGEST_LETTER;
        length = if ends { 0 } else { length };
        ends.then_some(at)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::fonts::Fonts;
    use super::*;

    const WIDTH: f32 = 120.0;

    /// The lines' words, as they are read, joined by what stands between.
    fn lines(text: &str) -> Vec<String> {
        with(|shaper| {
            let lines = break_lines(shaper, &[Span::new(text, Look::new(10.0))], WIDTH, false);
            lines.iter().map(|line| read(shaper, line)).collect()
        })
    }

    fn with<T>(does: impl FnOnce(&mut Shaper<'_>) -> T) -> T {
        let fonts = Fonts::without_the_machines(None);
        does(&mut Shaper::new(&fonts, "en"))
    }

    /// What would be copied, from left to right.
    fn read(shaper: &Shaper<'_>, line: &Line) -> String {
        let strips = line.words.iter().flat_map(|placed| placed.word.strips.iter());
        let glyphs = strips.flat_map(|strip| strip.glyphs.iter().map(|glyph| (strip.face, glyph.code)));
        glyphs.map(|(face, code)| &*shaper.used()[usize::from(face)].codes[usize::from(code)].text).collect()
    }

    #[test]
    fn lines_break_at_spaces_and_keep_every_word() {
        let text = "Sleep has been better since the exercises began again";
        let lines = lines(text);
        assert!(lines.len() > 2, "{lines:?}");
        assert_eq!(lines.join(" "), text);
    }

    #[test]
    fn long_words_and_addresses_are_broken() {
        for text in [
            "Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft",
            "https://example.org/a/very/long/path/that/goes/on?and=on&and=on#and-on",
        ] {
            let lines = lines(text);
            assert!(lines.len() > 2, "{lines:?}");
            assert_eq!(lines.concat(), text);
        }
    }

    #[test]
    fn what_never_ends_is_broken_all_the_same() {
        for letter in ["x", "\u{1F469}\u{200D}", "م"] {
            let lines = lines(&letter.repeat(30_000 / letter.len()));
            assert!(lines.len() > 100, "{letter}: {}", lines.len());
        }
    }

    #[test]
    fn a_soft_hyphen_is_seen_only_at_the_end_of_a_line() {
        let lines = lines("Sie braucht Verhaltens\u{AD}therapie\u{AD}maßnahmen und Schlaf\u{AD}hygiene");
        assert!(lines.iter().any(|line| line.ends_with("Verhaltens-")), "{lines:?}");
        let whole = lines.join("").replace('-', "");
        assert!(whole.contains("Verhaltenstherapiemaßnahmen"), "{lines:?}");
        assert!(whole.ends_with("Schlafhygiene"), "{lines:?}");
    }

    #[test]
    fn a_line_feed_breaks_and_an_empty_line_stays() {
        assert_eq!(lines("a\n\nb"), ["a", "", "b"]);
    }

    #[test]
    fn hebrew_stands_from_right_to_left_and_numbers_in_it_do_not() {
        let line = &lines("שלום 123 עולם")[0];
        assert_eq!(line, "םלוע 123 םולש");
        assert_eq!(lines("Zoë (שלום עולם) 5")[0], "Zoë (םלוע םולש) 5");
    }

    #[test]
    fn one_line_ends_with_an_ellipsis_where_it_must() {
        with(|shaper| {
            let span = Span::new("Practice for Psychotherapy and Counselling Dr. Weber", Look::new(10.0));
            let line = one_line(shaper, &span, WIDTH, false);
            assert!(line.width <= WIDTH && read(shaper, &line).ends_with('…'));
            let short = one_line(shaper, &Span::new("Weber", Look::new(10.0)), WIDTH, false);
            assert_eq!(read(shaper, &short), "Weber");
        });
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn no_line_is_wider_than_the_page(text in "\\PC{0,200}") {
            let widest = with(|shaper| {
                let lines = break_lines(shaper, &[Span::new(&text, Look::new(10.0))], WIDTH, false);
                lines.iter().map(|line| line.width).fold(0.0, f32::max)
            });
            prop_assert!(widest <= WIDTH + 1.0, "{widest}");
        }
    }
}
