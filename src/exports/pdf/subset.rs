//! The part of a font that a document needs, and how its glyphs are numbered there.

use std::fmt::Write;

use allsorts::binary::read::ReadScope;
use allsorts::font_data::FontData;
use allsorts::subset::{CmapTarget, SubsetProfile, subset};

use crate::exports::RenderError;
use crate::exports::shape::{Numbers, Used};

/// Entries of one section of a map to Unicode, at most.
const SECTION: usize = 100;

/// The font as it goes into the file: no glyph that is not used.
pub(super) fn program(used: &Used) -> Result<Vec<u8>, RenderError> {
    let problem = |problem: String| RenderError::Font { font: used.face.name.clone(), problem };
    let file =
        ReadScope::new(&used.face.data).read::<FontData<'_>>().map_err(|error| problem(error.to_string()))?;
    let index = usize::try_from(used.face.index).unwrap_or_default();
    let provider = file.table_provider(index).map_err(|error| problem(error.to_string()))?;
    subset(&provider, &glyphs(used), &SubsetProfile::Pdf, CmapTarget::default())
        .map_err(|error| problem(error.to_string()))
}

/// The glyphs used, in the order of the subset.
fn glyphs(used: &Used) -> Vec<u16> {
    let mut seen = std::collections::HashSet::new();
    used.codes.iter().map(|code| code.glyph).filter(|glyph| seen.insert(*glyph)).collect()
}

/// The glyph of each number, as two bytes each; `None` where numbers are glyphs already.
pub(super) fn glyph_map(used: &Used) -> Option<Vec<u8>> {
    if !matches!(used.numbers, Numbers::Own) {
        return None;
    }
    let places: std::collections::HashMap<u16, u16> = glyphs(used).into_iter().zip(0..).collect();
    Some(used.codes.iter().flat_map(|code| places[&code.glyph].to_be_bytes()).collect())
}

/// What is copied where a glyph stands.
pub(super) fn to_unicode(used: &Used) -> Vec<u8> {
    let mut map = String::from(
        "/CIDInit /ProcSet findresource begin\n12 dict begin\nbegincmap\n\
         /CIDSystemInfo << /Registry (Adobe) /Ordering (UCS) /Supplement 0 >> def\n\
         /CMapName /Adobe-Identity-UCS def\n/CMapType 2 def\n\
         1 begincodespacerange\n<0000> <FFFF>\nendcodespacerange\n",
    );
    let mut known: Vec<_> = used.codes.iter().filter(|code| !code.text.is_empty()).collect();
    known.sort_by_key(|code| code.number);
    for section in known.chunks(SECTION) {
        // Writing to a string cannot fail.
        let _ = writeln!(map, "{} beginbfchar", section.len());
        for code in section {
            let text: String = code.text.encode_utf16().fold(String::new(), |mut text, unit| {
                let _ = write!(text, "{unit:04X}");
                text
            });
            let _ = writeln!(map, "<{:04X}> <{text}>", code.number);
        }
        map.push_str("endbfchar\n");
    }
    map.push_str("endcmap\nCMapName currentdict /CMap defineresource pop\nend\nend\n");
    map.into_bytes()
}

/// Six letters before a font's name say that it is a part of it, and tell parts apart.
pub(super) fn tag(used: &Used, place: usize) -> String {
    let mut sum = u32::try_from(place).unwrap_or_default();
    for code in &used.codes {
        sum = sum.wrapping_mul(31).wrapping_add(u32::from(code.glyph));
    }
    let letters = (0..6).map(|number| {
        let letter = u8::try_from(sum / 26_u32.pow(number) % 26).unwrap_or_default();
        char::from(b'A' + letter)
    });
    letters.collect()
}
