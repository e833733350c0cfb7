//! From characters to glyphs: which font has them, which glyphs they become, and where those stand.
//!
//! Words come back again and again in notes, so each is shaped once a document.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::rc::Rc;
use std::sync::Arc;

use harfrust::font::glyph::outline::OutlineSource;
use harfrust::{
    Buffer, BufferFlags, ClusterLevel, Direction, Script, ShapeOptions, ShapePlan, ShaperFont, shape,
};
use printpdf::cff_charset_gid_to_cid_map;
use unicode_normalization::char::is_combining_mark;

use super::MISSING;
use super::fonts::{Face, Fonts, Weight};

/// Longer words are shaped anew each time.
const LONGEST_KEPT: usize = 64;
/// With so many words kept, they are forgotten and kept anew.
const KEPT: usize = 20_000;

/// Shapes the words of one document, and remembers what it needed for them.
pub(super) struct Shaper<'a> {
    fonts: &'a Fonts,
    language: &'a str,
    used: Vec<Used>,
    faces: HashMap<(char, Weight), Option<u16>>,
    words: HashMap<(Weight, bool), HashMap<Box<str>, Rc<Word>>>,
    kept: usize,
    plans: HashMap<(u16, Option<Script>, bool), ShapePlan>,
    buffer: Buffer,
    missing: BTreeSet<char>,
}

/// A font that a document needs, and what it needs of it.
pub(super) struct Used {
    pub(super) face: Arc<Face>,
    /// Glyph and text of each code, in the order they were first needed; code 0 is the missing glyph.
    pub(super) codes: Vec<Code>,
    pub(super) numbers: Numbers,
    by_glyph: HashMap<(u16, bool), Vec<u16>>,
}

/// How a file numbers the glyphs of a font.
pub(super) enum Numbers {
    /// By code, so that a glyph can have several numbers, one for each text it stands for.
    Own,
    /// By place in the file's part of the font.
    Place,
    /// By the font's own numbering of characters, which such a font keeps when it is cut down.
    Characters(BTreeMap<u16, u16>),
}

/// What a number in a file stands for: a glyph, and what is copied where it is.
pub(super) struct Code {
    pub(super) glyph: u16,
    pub(super) number: u16,
    pub(super) text: Box<str>,
    /// Its width, in thousandths of an em.
    pub(super) width: i16,
}

/// A shaped stretch of text without a break in it.
#[derive(Debug, Default)]
pub(super) struct Word {
    /// From left to right, whichever way it is read.
    pub(super) strips: Vec<Strip>,
    /// In thousandths of an em.
    pub(super) width: f32,
}

/// Glyphs of one font.
#[derive(Debug)]
pub(super) struct Strip {
    /// Its place among the fonts used.
    pub(super) face: u16,
    pub(super) glyphs: Box<[Glyph]>,
    /// In thousandths of an em.
    pub(super) width: f32,
}

/// A glyph; lengths are in thousandths of an em.
#[derive(Clone, Copy, Debug)]
pub(super) struct Glyph {
    pub(super) code: u16,
    pub(super) advance: f32,
    pub(super) dx: f32,
    pub(super) dy: f32,
}

impl<'a> Shaper<'a> {
    pub(super) fn new(fonts: &'a Fonts, language: &'a str) -> Self {
        Self {
            fonts,
            language,
            used: Vec::new(),
            faces: HashMap::new(),
            words: HashMap::new(),
            kept: 0,
            plans: HashMap::new(),
            buffer: Buffer::new(),
            missing: BTreeSet::new(),
        }
    }

    /// The fonts that were needed so far.
    pub(super) fn used(&self) -> &[Used] {
        &self.used
    }

    /// The characters that no font has.
    pub(super) fn missing(&self) -> Vec<char> {
        self.missing.iter().copied().collect()
    }

    /// A word's glyphs. It must be of one direction, and clean.
    pub(super) fn word(&mut self, text: &str, weight: Weight, right_to_left: bool) -> Rc<Word> {
        let kept = self.words.get(&(weight, right_to_left)).and_then(|words| words.get(text));
        if let Some(word) = kept {
            return word.clone();
        }
        let word = Rc::new(self.shaped(text, weight, right_to_left));
        if text.len() <= LONGEST_KEPT {
            if self.kept == KEPT {
                (self.words, self.kept) = (HashMap::new(), 0);
            }
            self.words.entry((weight, right_to_left)).or_default().insert(text.into(), word.clone());
            self.kept += 1;
        }
        word
    }

    /// A word's glyphs, without a look at those that were kept, and without keeping them.
    pub(super) fn shaped(&mut self, text: &str, weight: Weight, right_to_left: bool) -> Word {
        let mut word = Word::default();
        for (face, missing, part) in self.parts(text, weight) {
            let strip = self.strip(face, part, missing, right_to_left);
            word.width += strip.width;
            word.strips.push(strip);
        }
        if right_to_left {
            word.strips.reverse();
        }
        word
    }

    /// Cuts a text where another font has to step in. What no font has is cut out apart.
    fn parts<'t>(&mut self, text: &'t str, weight: Weight) -> Vec<(u16, bool, &'t str)> {
        let mut parts: Vec<(u16, bool, usize)> = Vec::new();
        for (at, character) in text.char_indices() {
            let face = match self.face(character, weight) {
                Some(face) => (face, false),
                // Marks and joiners go with what stands before them.
                None if is_invisible(character) && !parts.is_empty() => continue,
                None if is_invisible(character) => match self.face(' ', weight) {
                    Some(face) => (face, false),
                    None => continue,
                },
                None => {
                    self.missing.insert(character);
                    match self.face(MISSING, weight) {
                        Some(face) => (face, true),
                        None => continue,
                    }
                }
            };
            let attached = is_combining_mark(character) && self.has_all(&parts, character);
            let same = parts.last().is_some_and(|(last, missing, _)| (*last, *missing) == face);
            if !same && !attached {
                parts.push((face.0, face.1, at));
            }
        }
        let ends = parts.iter().skip(1).map(|part| part.2).chain([text.len()]).collect::<Vec<_>>();
        parts
            .into_iter()
            .zip(ends)
            .map(|((face, missing, start), end)| (face, missing, &text[start..end]))
            .collect()
    }

    /// Whether the font of the last part has a mark itself, so that it need not be drawn by another one.
    fn has_all(&self, parts: &[(u16, bool, usize)], mark: char) -> bool {
        parts.last().is_some_and(|(face, missing, _)| {
            !missing && self.used[usize::from(*face)].face.font.charmap().map_unicode(mark).is_some()
        })
    }

    fn face(&mut self, character: char, weight: Weight) -> Option<u16> {
        if let Some(known) = self.faces.get(&(character, weight)) {
            return *known;
        }
        let found =
            if is_invisible(character) { None } else { self.fonts.face(character, weight, self.language) };
        let place = found.and_then(|face| self.place(face));
        self.faces.insert((character, weight), place);
        place
    }

    /// A face's place among those used.
    fn place(&mut self, face: Arc<Face>) -> Option<u16> {
        let known = self.used.iter().position(|used| Arc::ptr_eq(&used.face, &face));
        let place = known.unwrap_or_else(|| {
            self.used.push(Used::new(face));
            self.used.len() - 1
        });
        u16::try_from(place).ok()
    }

    fn strip(&mut self, face: u16, text: &str, missing: bool, right_to_left: bool) -> Strip {
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.reset();
        for (at, character) in text.char_indices() {
            let shown = if missing { MISSING } else { character };
            buffer.push(u32::from(shown), u32::try_from(at).unwrap_or(u32::MAX));
        }
        buffer.set_flags(BufferFlags::REMOVE_DEFAULT_IGNORABLES | BufferFlags::DO_NOT_INSERT_DOTTED_CIRCLE);
        buffer.set_cluster_level(ClusterLevel::MonotoneGraphemes);
        buffer.set_direction(if right_to_left { Direction::RightToLeft } else { Direction::LeftToRight });
        buffer.guess_segment_properties();

        let used = &mut self.used[usize::from(face)];
        let font = &used.face.font;
        let plan = self
            .plans
            .entry((face, buffer.script(), right_to_left))
            .or_insert_with(|| ShapePlan::new(font, buffer.direction(), buffer.script(), None, &[]));
        let shaped = shape(&ShaperFont::new(font), &mut buffer, ShapeOptions::new().plan(Some(plan)));
        let glyphs = if shaped.is_ok() { used.glyphs(&buffer, text) } else { Box::default() };
        self.buffer = buffer;
        Strip { face, width: glyphs.iter().map(|glyph| glyph.advance).sum(), glyphs }
    }
}

impl Used {
    fn new(face: Arc<Face>) -> Self {
        let numbers = if face.font.outline_glyphs().source() == Some(OutlineSource::Cff) {
            let index = usize::try_from(face.index).unwrap_or_default();
            cff_charset_gid_to_cid_map(&face.data, index).map_or(Numbers::Place, Numbers::Characters)
        } else {
            Numbers::Own
        };
        let mut used = Self { face, codes: Vec::new(), numbers, by_glyph: HashMap::new() };
        used.code((0, false), "");
        used
    }

    /// A buffer's glyphs, each with the text it stands for.
    ///
    /// One glyph of a cluster stands for all of its letters. Readers turn right-to-left text around letter by letter, though,
    /// so that "lam, alef" in one glyph would be read "alef, lam": there the glyph stands for the first letter, and the
    /// others stand at its left, blank and without width.
    fn glyphs(&mut self, buffer: &Buffer, text: &str) -> Box<[Glyph]> {
        let (infos, positions) = (buffer.glyph_infos(), buffer.glyph_positions());
        let blank = match (&self.numbers, buffer.direction()) {
            (Numbers::Own, Direction::RightToLeft) => self.blank(),
            _ => None,
        };
        let scale = 1000.0 / self.face.units();
        let mut starts: Vec<u32> = infos.iter().map(|info| info.cluster).collect();
        starts.sort_unstable();
        starts.dedup();
        let mut glyphs = Vec::with_capacity(infos.len());
        for (at, (info, position)) in infos.iter().zip(positions).enumerate() {
            let mut text =
                if leads(infos, positions, at) { cluster(text, &starts, info.cluster) } else { "" };
            let first = text.chars().next().map_or(0, char::len_utf8);
            if let Some(blank) = blank.filter(|_| first < text.len()) {
                for (start, letter) in text[first..].char_indices().rev() {
                    let letter = &text[first + start..][..letter.len_utf8()];
                    let code = self.code((blank, true), letter);
                    glyphs.push(Glyph { code, advance: 0.0, dx: 0.0, dy: 0.0 });
                }
                text = &text[..first];
            }
            let id = u16::try_from(info.glyph_id).unwrap_or_default();
            glyphs.push(Glyph {
                code: self.code((id, false), text),
                advance: units(position.x_advance) * scale,
                dx: units(position.x_offset) * scale,
                dy: units(position.y_offset) * scale,
            });
        }
        glyphs.into()
    }

    /// A glyph that shows nothing.
    fn blank(&self) -> Option<u16> {
        self.face.font.charmap().map_unicode(' ').and_then(|glyph| u16::try_from(glyph.to_u32()).ok())
    }

    /// The code of a glyph, or of one without width, that stands for a text.
    fn code(&mut self, (glyph, narrow): (u16, bool), text: &str) -> u16 {
        let known = self.by_glyph.entry((glyph, narrow)).or_default();
        if let Some(code) = known.iter().find(|code| &*self.codes[usize::from(**code)].text == text) {
            return *code;
        }
        let place = u16::try_from(self.codes.len()).ok();
        let number = match (&self.numbers, place) {
            (Numbers::Own, place) => place,
            (Numbers::Place, place) => place.filter(|_| known.is_empty()),
            (Numbers::Characters(numbers), _) => numbers.get(&glyph).copied().filter(|_| known.is_empty()),
        };
        let (Some(number), Some(code)) = (number, place) else {
            // It has its number, or there is none left: the glyph is right, what is copied is what it stood for first.
            let code = known.first().copied().unwrap_or_default();
            let known = &mut self.codes[usize::from(code)];
            if known.glyph == glyph && known.text.is_empty() {
                known.text = text.into();
            }
            return code;
        };
        let width = self.face.font.glyph_metrics().h_advance(glyph.into()) * 1000.0 / self.face.units();
        #[expect(clippy::cast_possible_truncation, reason = "a float saturates")]
        let width = if narrow { 0 } else { width.round() as i16 };
        self.codes.push(Code { glyph, number, text: text.into(), width });
        known.push(code);
        code
    }
}

/// Whether a glyph is the one of its cluster that carries the text: the widest, and the first of those.
fn leads(infos: &[harfrust::GlyphInfo], positions: &[harfrust::GlyphPosition], at: usize) -> bool {
    let same = |other: &usize| infos[*other].cluster == infos[at].cluster;
    let before =
        (0..at).rev().take_while(same).all(|other| positions[other].x_advance < positions[at].x_advance);
    before
        && (at + 1..infos.len())
            .take_while(same)
            .all(|other| positions[other].x_advance <= positions[at].x_advance)
}

fn cluster<'t>(text: &'t str, starts: &[u32], start: u32) -> &'t str {
    let next = starts.partition_point(|other| *other <= start);
    let end = starts.get(next).map_or(text.len(), |next| usize::try_from(*next).unwrap_or(text.len()));
    usize::try_from(start).ok().and_then(|start| text.get(start..end)).unwrap_or_default()
}

/// What is never drawn, so that no font need have it: joiners, marks of direction, selectors of variants.
fn is_invisible(character: char) -> bool {
    matches!(
        character,
        '\u{AD}' | '\u{34F}' | '\u{61C}' | '\u{180B}'..='\u{180E}' | '\u{200B}'..='\u{200F}' | '\u{2060}'..='\u{206F}'
            | '\u{FE00}'..='\u{FE0F}' | '\u{FEFF}' | '\u{E0000}'..='\u{E0FFF}'
    )
}

#[expect(clippy::cast_precision_loss, reason = "font units are small")]
fn units(units: i32) -> f32 {
    units as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What would be copied, in the order the glyphs stand.
    fn copied(text: &str, right_to_left: bool) -> Vec<String> {
        let fonts = Fonts::without_the_machines(None);
        let mut shaper = Shaper::new(&fonts, "en");
        let word = shaper.word(text, Weight::default(), right_to_left);
        let glyphs =
            word.strips.iter().flat_map(|strip| strip.glyphs.iter().map(|glyph| (strip.face, glyph.code)));
        glyphs
            .map(|(face, code)| shaper.used[usize::from(face)].codes[usize::from(code)].text.to_string())
            .collect()
    }

    #[test]
    fn every_glyph_knows_its_text() {
        assert_eq!(copied("Zoë", false), ["Z", "o", "ë"]);
        assert_eq!(copied("e\u{301}", false), ["e\u{301}"]);
        assert_eq!(copied("m\u{304}", false), ["m\u{304}", ""]);
        assert_eq!(copied("שלום", true), ["ם", "ו", "ל", "ש"]);
    }

    #[test]
    fn joined_letters_and_marks_are_read_in_their_order_when_turned_around() {
        for text in ["لا", "الأمين", "ليلى", "تحسّن", "مبكرًا", "שָׁלוֹם", "عَلَيْكُم"]
        {
            let copied: String = copied(text, true).into_iter().rev().collect();
            assert_eq!(copied, text);
        }
    }

    #[test]
    fn what_no_font_has_is_shown_as_missing_and_copied_as_it_was() {
        let fonts = Fonts::without_the_machines(None);
        let mut shaper = Shaper::new(&fonts, "en");
        let word = shaper.word("a李b", Weight::default(), false);
        assert_eq!(shaper.missing(), ['李']);
        assert_eq!(copied("a李b", false), ["a", "李", "b"]);
        let shown = &word.strips[1].glyphs[0];
        let glyph = shaper.used[0].codes[usize::from(shown.code)].glyph;
        let font = &shaper.used[0].face.font;
        assert_eq!(
            font.charmap().map_unicode(MISSING).map(harfrust::GlyphId::to_u32),
            Some(u32::from(glyph))
        );
        assert!(shown.advance > 0.0);
    }

    #[test]
    fn fonts_change_where_scripts_do() {
        let fonts = Fonts::without_the_machines(None);
        let mut shaper = Shaper::new(&fonts, "en");
        let word = shaper.word("aשb", Weight::default(), false);
        let names: Vec<&str> =
            word.strips.iter().map(|strip| shaper.used[usize::from(strip.face)].face.name.as_str()).collect();
        assert_eq!(names, ["NotoSans-Regular", "NotoSansHebrew-Regular", "NotoSans-Regular"]);
    }

    #[test]
    fn joiners_need_no_font() {
        let fonts = Fonts::without_the_machines(None);
        let mut shaper = Shaper::new(&fonts, "en");
        shaper.word("\u{200D}a\u{FE0F}\u{200E}b\u{AD}", Weight::default(), false);
        assert_eq!(shaper.missing(), Vec::<char>::new());
    }
}
