//! The letters of exports: fonts that are part of the program, and others for what those do not have.

use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, OnceLock};

use harfrust::Font;
use harfrust::font::Blob;

use self::found::Library;

mod found;

/// Where letters come from. Cheap to clone: clones share what was found.
#[derive(Clone, Default)]
pub struct Fonts(Arc<Sources>);

#[derive(Default)]
struct Sources {
    folder: Option<PathBuf>,
    system: bool,
    library: OnceLock<Library>,
}

/// A font in one weight and slant.
pub(super) struct Face {
    /// Its PostScript name.
    pub(super) name: String,
    pub(super) font: Font,
    pub(super) data: Blob,
    /// Its place in a file of several.
    pub(super) index: u32,
}

/// Weight and slant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Weight {
    pub(super) bold: bool,
    pub(super) italic: bool,
}

impl Fonts {
    /// The fonts of the program, then those in `folder` and below, then the machine's. Looks for none of the latter before
    /// a character needs it.
    #[must_use]
    pub fn new(folder: Option<&Path>) -> Self {
        Self(Arc::new(Sources { folder: folder.map(Into::into), system: true, library: OnceLock::new() }))
    }

    /// The fonts of the program and those in `folder`: the same on every machine.
    #[must_use]
    pub fn without_the_machines(folder: Option<&Path>) -> Self {
        Self(Arc::new(Sources { folder: folder.map(Into::into), ..Sources::default() }))
    }

    /// The font for a character: of the wanted weight, if there is one.
    pub(super) fn face(&self, character: char, weight: Weight, language: &str) -> Option<Arc<Face>> {
        EMBEDDED
            .iter()
            .filter(|embedded| {
                embedded
                    .weight
                    .is_none_or(|own| own == weight || !embedded.has_italic && own.bold == weight.bold)
            })
            .find(|embedded| has(&embedded.face, character))
            .map(|embedded| embedded.face.clone())
            .or_else(|| self.library().face(character, weight, language))
    }

    fn library(&self) -> &Library {
        self.0.library.get_or_init(|| Library::open(self.0.folder.as_deref(), self.0.system))
    }
}

impl std::fmt::Debug for Fonts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Fonts").field("folder", &self.0.folder).field("system", &self.0.system).finish()
    }
}

impl Face {
    fn new(name: &str, data: Blob, index: u32) -> Option<Self> {
        let font = Font::new(data.clone(), index)?;
        Some(Self { name: name.to_owned(), font, data, index })
    }

    /// Font units of an em.
    pub(super) fn units(&self) -> f32 {
        f32::from(self.font.units_per_em().max(1))
    }
}

fn has(face: &Face, character: char) -> bool {
    face.font.charmap().map_unicode(character).is_some()
}

/// A font that is part of the program.
struct Embedded {
    face: Arc<Face>,
    /// `None` stands in for every weight.
    weight: Option<Weight>,
    /// Whether its family has slanted faces. Hebrew and Arabic are not slanted.
    has_italic: bool,
}

static EMBEDDED: LazyLock<Vec<Embedded>> = LazyLock::new(|| {
    let weight = |bold, italic| Some(Weight { bold, italic });
    macro_rules! embedded {
        ($name:literal, $weight:expr, $has_italic:literal) => {{
            let data = Blob::Static(include_bytes!(concat!("../../assets/fonts/", $name, ".ttf")));
            Face::new($name, data, 0).map(|face| Embedded {
                face: Arc::new(face),
                weight: $weight,
                has_italic: $has_italic,
            })
        }};
    }
    let all = [
        embedded!("NotoSans-Regular", weight(false, false), true),
        embedded!("NotoSans-Bold", weight(true, false), true),
        embedded!("NotoSans-Italic", weight(false, true), true),
        embedded!("NotoSans-BoldItalic", weight(true, true), true),
        embedded!("NotoSansHebrew-Regular", weight(false, false), false),
        embedded!("NotoSansHebrew-Bold", weight(true, false), false),
        embedded!("NotoSansArabic-Regular", weight(false, false), false),
        embedded!("NotoSansArabic-Bold", weight(true, false), false),
        embedded!("NotoSansMath-Regular", None, false),
        embedded!("NotoSansSymbols2-Regular", None, false),
    ];
    all.into_iter().flatten().collect()
});

#[cfg(test)]
mod tests {
    use super::*;

    fn named(character: char, bold: bool, italic: bool) -> Option<String> {
        let fonts = Fonts::without_the_machines(None);
        fonts.face(character, Weight { bold, italic }, "en").map(|face| face.name.clone())
    }

    #[test]
    fn every_font_of_the_program_can_be_read() {
        assert_eq!(EMBEDDED.len(), 10);
    }

    #[test]
    fn a_character_has_a_font_of_its_script_and_weight() {
        for (character, bold, italic, font) in [
            ('a', false, false, "NotoSans-Regular"),
            ('Ω', true, false, "NotoSans-Bold"),
            ('ж', false, true, "NotoSans-Italic"),
            ('ệ', true, true, "NotoSans-BoldItalic"),
            ('ש', false, true, "NotoSansHebrew-Regular"),
            ('م', true, true, "NotoSansArabic-Bold"),
            ('→', true, false, "NotoSansMath-Regular"),
            ('✓', false, true, "NotoSansSymbols2-Regular"),
            (super::super::MISSING, true, false, "NotoSans-Bold"),
        ] {
            assert_eq!(named(character, bold, italic).as_deref(), Some(font), "{character}");
        }
    }

    #[test]
    fn what_no_font_has_has_none() {
        assert_eq!(named('李', false, false), None);
    }
}
