//! Fonts that are not part of the program: those of a folder, and the machine's.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use allsorts::binary::read::ReadScope;
use allsorts::font::read_cmap_subtable;
use allsorts::font_data::FontData;
use allsorts::tables::FontTableProvider;
use allsorts::tables::cmap::Cmap;
use allsorts::tag;
use fontdb::{Database, FaceInfo, ID, Source, Stretch, Style};
use harfrust::font::Blob;

use super::{Face, Weight};

/// Embedding is forbidden by bit 1 of a font's `fsType`, unless a bit above it allows some of it.
const EMBEDDING: u16 = 0b1110;
const FORBIDDEN: u16 = 0b0010;

/// Fonts that draw the same box, or nothing, for every character.
const PLACEHOLDERS: [&str; 3] = ["lastresort", "adobeblank", "unifont"];

/// What was found, once: which characters each font has. The fonts themselves are read when a character needs them.
pub(super) struct Library {
    database: Database,
    candidates: Vec<Candidate>,
    read: Mutex<Read>,
}

#[derive(Default)]
struct Read {
    faces: HashMap<ID, Option<Arc<Face>>>,
    /// A file may hold several faces.
    files: HashMap<PathBuf, Blob>,
}

struct Candidate {
    id: ID,
    /// Its PostScript name, in lower case.
    name: String,
    weight: u16,
    italic: bool,
    narrow: bool,
    /// Of the folder that was named, not the machine's.
    chosen: bool,
    /// First and last character of each range, ascending.
    has: Vec<(u32, u32)>,
}

impl Library {
    pub(super) fn open(folder: Option<&Path>, system: bool) -> Self {
        let mut database = Database::new();
        if let Some(folder) = folder {
            database.load_fonts_dir(folder);
        }
        let chosen: Vec<ID> = database.faces().map(|face| face.id).collect();
        if system {
            database.load_system_fonts();
        }
        let candidates =
            database.faces().filter_map(|face| candidate(&database, face, chosen.contains(&face.id)));
        Self { candidates: candidates.collect(), database, read: Mutex::default() }
    }

    /// The best font that has a character and can be read.
    pub(super) fn face(&self, character: char, weight: Weight, language: &str) -> Option<Arc<Face>> {
        let mut able: Vec<&Candidate> = self.candidates.iter().filter(|each| each.has(character)).collect();
        able.sort_by_cached_key(|each| each.rank(weight, language));
        able.into_iter().find_map(|each| self.read(each.id))
    }

    fn read(&self, id: ID) -> Option<Arc<Face>> {
        let Read { faces, files } = &mut *self.read.lock().unwrap_or_else(PoisonError::into_inner);
        let load = || {
            let info = self.database.face(id)?;
            Face::new(&info.post_script_name, bytes(&info.source, files)?, info.index).map(Arc::new)
        };
        faces.entry(id).or_insert_with(load).clone()
    }
}

fn bytes(source: &Source, files: &mut HashMap<PathBuf, Blob>) -> Option<Blob> {
    let path = match source {
        Source::Binary(data) | Source::SharedFile(_, data) => return Some(Blob::Shared(data.clone())),
        Source::File(path) => path,
    };
    if !files.contains_key(path) {
        files.insert(path.clone(), Blob::from(std::fs::read(path).ok()?));
    }
    files.get(path).cloned()
}

impl Candidate {
    fn has(&self, character: char) -> bool {
        let code = u32::from(character);
        let after = self.has.partition_point(|(first, _)| *first <= code);
        after > 0 && code <= self.has[after - 1].1
    }

    /// Less is better.
    fn rank(&self, weight: Weight, language: &str) -> impl Ord + use<> {
        let wanted = if weight.bold { 700 } else { 400 };
        // Where nothing speaks for another one, the forms of most readers.
        let family = self.name.split('-').next().unwrap_or_default();
        let other_language = !family.ends_with(region(language).unwrap_or("sc"));
        let serif = !self.name.contains("sans");
        let shape = (self.italic, self.narrow, serif);
        (!self.chosen, other_language, shape, self.weight.abs_diff(wanted), self.name.clone())
    }
}

/// What names of fonts say of the country whose forms of shared characters they have.
fn region(language: &str) -> Option<&'static str> {
    let language = language.to_lowercase();
    match language.split('-').next()? {
        "ja" => Some("jp"),
        "ko" => Some("kr"),
        "zh" if ["hant", "tw", "hk"].iter().any(|sign| language.contains(sign)) => Some("tc"),
        "zh" => Some("sc"),
        _ => None,
    }
}

fn candidate(database: &Database, info: &FaceInfo, chosen: bool) -> Option<Candidate> {
    let name = info.post_script_name.to_lowercase();
    if PLACEHOLDERS.iter().any(|placeholder| name.contains(placeholder)) {
        return None;
    }
    let has = database.with_face_data(info.id, characters)??;
    Some(Candidate {
        id: info.id,
        name,
        weight: info.weight.0,
        italic: info.style != Style::Normal,
        narrow: info.stretch != Stretch::Normal,
        chosen,
        has,
    })
}

/// The characters that a font has, and may give to a file; `None` where it has no outlines we can embed.
fn characters(data: &[u8], index: u32) -> Option<Vec<(u32, u32)>> {
    let file = ReadScope::new(data).read::<FontData<'_>>().ok()?;
    let provider = file.table_provider(usize::try_from(index).ok()?).ok()?;
    let outlines = provider.has_table(tag::GLYF) || provider.has_table(tag::CFF);
    if !outlines || !may_be_embedded(&provider) {
        return None;
    }
    let table = provider.read_table_data(tag::CMAP).ok()?;
    let cmap = ReadScope::new(&table).read::<Cmap<'_>>().ok()?;
    let (_, subtable) = read_cmap_subtable(&cmap).ok()??;
    let mut codes = Vec::new();
    subtable
        .mappings_fn(|code, glyph| {
            if glyph != 0 {
                codes.push(code);
            }
        })
        .ok()?;
    codes.sort_unstable();
    Some(ranges(&codes))
}

fn may_be_embedded(provider: &impl FontTableProvider) -> bool {
    let rights = provider.read_table_data(tag::OS_2).ok();
    let rights =
        rights.as_ref().and_then(|table| Some(u16::from_be_bytes(table.get(8..10)?.try_into().ok()?)));
    rights.is_none_or(|rights| rights & EMBEDDING != FORBIDDEN)
}

fn ranges(codes: &[u32]) -> Vec<(u32, u32)> {
    let mut ranges: Vec<(u32, u32)> = Vec::new();
    for &code in codes {
        match ranges.last_mut() {
            Some((_, last)) if code <= *last + 1 => *last = code,
            _ => ranges.push((code, code)),
        }
    }
    ranges
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_hold_what_they_were_made_of_and_nothing_else() {
        let candidate = Candidate {
            id: ID::dummy(),
            name: String::new(),
            weight: 400,
            italic: false,
            narrow: false,
            chosen: false,
            has: ranges(&[65, 66, 66, 67, 100]),
        };
        let has: String = (0..200).filter_map(char::from_u32).filter(|c| candidate.has(*c)).collect();
        assert_eq!(has, "ABCd");
    }

    #[test]
    fn a_font_in_a_folder_is_found_and_read() {
        let folder = tempfile::tempdir().expect("a folder");
        let font = concat!(env!("CARGO_MANIFEST_DIR"), "/assets/fonts/NotoSansHebrew-Bold.ttf");
        std::fs::copy(font, folder.path().join("own.ttf")).expect("a copy");
        std::fs::write(folder.path().join("broken.ttf"), b"no font at all").expect("a file");
        let library = Library::open(Some(folder.path()), false);
        let face = library.face('ש', Weight::default(), "he").expect("a face");
        assert_eq!(face.name, "NotoSansHebrew-Bold");
        assert!(library.face('ж', Weight::default(), "ru").is_none());
    }
}
