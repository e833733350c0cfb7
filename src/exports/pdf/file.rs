//! Pages put together to a file. printpdf writes the operations and the fonts; what it has no words for (a language,
//! bookmarks within bookmarks, what letters joined into one glyph stand for) is added to what it made.

use std::io::Write;

use chrono::NaiveDate;
use flate2::Compression;
use flate2::write::ZlibEncoder;
use lopdf::{Dictionary, Object, ObjectId, Stream, StringFormat, dictionary};
use printpdf::{
    CustomPdfConformance, FontMetrics, FontType, Mm, Op, ParsedFont, PdfConformance, PdfDocument, PdfFont,
    PdfFontHandle, PdfFontMetricsStub, PdfPage, PdfSaveOptions, Pt, TextItem,
};
use sha2::{Digest, Sha256};

use super::PAGE;
use super::flow::{Flow, Mark, Page};
use super::paint::{character, font_id, operations};
use super::subset;
use crate::exports::RenderError;
use crate::exports::clean::clean_line;
use crate::exports::document::Document;
use crate::exports::shape::{Shaper, Used};

/// What was made so far.
#[derive(Default)]
pub(super) struct File {
    /// What each page shows, compressed.
    bodies: Vec<Vec<u8>>,
    /// Each page's head and foot, compressed.
    dresses: Vec<Vec<u8>>,
    /// Bookmarks, each with its page.
    marks: Vec<(usize, Mark)>,
}

impl File {
    /// Takes the pages that are complete.
    pub(super) fn add(&mut self, flow: &mut Flow, shaper: &Shaper<'_>) {
        let pages = std::mem::take(flow.full());
        for (page, number) in pages.iter().zip(self.bodies.len()..) {
            self.marks.extend(page.marks.iter().map(|mark| (number, mark.clone())));
        }
        self.bodies.extend(contents(&pages, shaper));
    }

    pub(super) fn pages(&self) -> usize {
        self.bodies.len()
    }

    /// Takes every page's head and foot.
    pub(super) fn dress(&mut self, pages: &[Page], shaper: &Shaper<'_>) {
        for pages in pages.chunks(super::BATCH) {
            self.dresses.extend(contents(pages, shaper));
        }
    }

    /// The file.
    pub(super) fn write(self, document: &Document, shaper: &Shaper<'_>) -> Result<Vec<u8>, RenderError> {
        let mut pdf = empty();
        for (place, used) in shaper.used().iter().enumerate() {
            pdf.resources.fonts.map.insert(font_id(place), PdfFont::new(font(used, place, true)?));
        }
        pdf.pages = (0..self.pages()).map(|_| page(Vec::new())).collect();
        if let Some(first) = pdf.pages.first_mut() {
            // printpdf embeds what it sees used. What is shown here is replaced below.
            first.ops = every_glyph(shaper);
        }
        let mut file = pdf.to_lopdf_document(&options(), &mut Vec::new());
        file.version = "1.7".into();
        let id = self.digest();
        let pages: Vec<ObjectId> = file.get_pages().into_values().collect();
        for ((page, body), dress) in pages.iter().zip(self.bodies).zip(self.dresses) {
            let parts = [body, dress].map(|part| Object::Reference(file.add_object(compressed(part))));
            let page = file.get_object_mut(*page).and_then(Object::as_dict_mut).map_err(assembly)?;
            let old = page.get(b"Contents").and_then(Object::as_reference).ok();
            page.set("Contents", Object::Array(parts.into()));
            page.remove(b"Annots");
            old.map(|old| file.objects.remove(&old));
        }
        complete_fonts(&mut file, shaper, pages.first())?;
        describe(&mut file, document, &id)?;
        outline(&mut file, &self.marks, &pages)?;
        let mut bytes = Vec::new();
        file.save_to(&mut bytes).map_err(assembly)?;
        Ok(bytes)
    }

    /// Tells this file from others: the same document is the same file, byte by byte.
    fn digest(&self) -> Vec<u8> {
        let mut digest = Sha256::new();
        self.bodies.iter().chain(&self.dresses).for_each(|part| digest.update(part));
        digest.finalize()[..16].to_vec()
    }
}

fn assembly(error: impl std::fmt::Display) -> RenderError {
    RenderError::Assembly(error.to_string())
}

/// What pages show, as the file has it.
fn contents(pages: &[Page], shaper: &Shaper<'_>) -> Vec<Vec<u8>> {
    let mut pdf = empty();
    for (place, used) in shaper.used().iter().enumerate() {
        // The font itself is embedded once, at the end.
        if let Ok(font) = font(used, place, false) {
            pdf.resources.fonts.map.insert(font_id(place), PdfFont::new(font));
        }
    }
    pdf.pages = pages.iter().map(|each| page(operations(&each.shapes, shaper))).collect();
    let file = pdf.to_lopdf_document(&options(), &mut Vec::new());
    let content = |page: ObjectId| {
        let content = file.get_dictionary(page).and_then(|page| page.get(b"Contents"));
        let content = content.and_then(Object::as_reference).and_then(|id| file.get_object(id));
        content.and_then(Object::as_stream).map(|stream| deflate(&stream.content)).unwrap_or_default()
    };
    file.get_pages().into_values().map(content).collect()
}

fn deflate(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    // Writing to memory cannot fail.
    encoder.write_all(bytes).and_then(|()| encoder.finish()).unwrap_or_default()
}

fn compressed(bytes: Vec<u8>) -> Stream {
    Stream::new(dictionary! { "Filter" => "FlateDecode" }, bytes)
}

/// A printpdf document that promises no standard, and so carries no profile of colours.
fn empty() -> PdfDocument {
    let mut pdf = PdfDocument::new("");
    pdf.metadata.info.conformance = PdfConformance::Custom(CustomPdfConformance {
        requires_icc_profile: false,
        requires_xmp_metadata: false,
        ..CustomPdfConformance::default()
    });
    pdf
}

fn page(ops: Vec<Op>) -> PdfPage {
    PdfPage::new(Mm::from(Pt(PAGE.0)), Mm::from(Pt(PAGE.1)), ops)
}

fn options() -> PdfSaveOptions {
    PdfSaveOptions { optimize: false, subset_fonts: false, secure: true, image_optimization: None }
}

/// A font as printpdf knows it. Its characters are our codes.
fn font(used: &Used, place: usize, embedded: bool) -> Result<ParsedFont, RenderError> {
    let metrics = used.face.font.metrics();
    let scaled = |length: f64| {
        #[expect(clippy::cast_possible_truncation, reason = "a float saturates")]
        let length = (length * 1000.0 / f64::from(used.face.units())).round() as i16;
        length
    };
    let line = metrics.hhea_line.or(metrics.typo_line).unwrap_or_default();
    let bounds = metrics.bounds;
    Ok(ParsedFont {
        original_bytes: if embedded { subset::program(used)? } else { Vec::new() },
        font_index: 0,
        font_name: Some(format!("{}+{}", subset::tag(used, place), used.face.name)),
        codepoint_to_glyph: used
            .codes
            .iter()
            .map(|code| (u32::from(character(code.number)), code.number))
            .collect(),
        glyph_widths: used
            .codes
            .iter()
            .map(|code| (code.number, u16::try_from(code.width).unwrap_or_default()))
            .collect(),
        units_per_em: 1000,
        font_metrics: FontMetrics {
            ascent: scaled(line.ascender.to_f64()),
            descent: scaled(line.descender.to_f64()),
        },
        font_type: FontType::TrueType,
        pdf_font_metrics: PdfFontMetricsStub {
            units_per_em: 1000,
            x_min: scaled(bounds.x_min.to_f64()),
            y_min: scaled(bounds.y_min.to_f64()),
            x_max: scaled(bounds.x_max.to_f64()),
            y_max: scaled(bounds.y_max.to_f64()),
            us_weight_class: if used.face.name.contains("Bold") { 700 } else { 400 },
            ..PdfFontMetricsStub::default()
        },
    })
}

fn every_glyph(shaper: &Shaper<'_>) -> Vec<Op> {
    let mut ops = vec![Op::StartTextSection];
    for (place, used) in shaper.used().iter().enumerate() {
        let all = used.codes.iter().map(|code| character(code.number)).collect();
        ops.push(Op::SetFont { font: PdfFontHandle::External(font_id(place)), size: Pt(1.0) });
        ops.push(Op::ShowText { items: vec![TextItem::Text(all)] });
    }
    ops.push(Op::EndTextSection);
    ops
}

/// Tells what glyphs stand for, and which glyph a code is.
fn complete_fonts(
    file: &mut lopdf::Document,
    shaper: &Shaper<'_>,
    page: Option<&ObjectId>,
) -> Result<(), RenderError> {
    let Some(page) = page else { return Ok(()) };
    let resources = file.get_dictionary(*page).and_then(|page| page.get(b"Resources")).map_err(assembly)?;
    let (_, resources) = file.dereference(resources).map_err(assembly)?;
    let fonts = resources.as_dict().and_then(|resources| resources.get(b"Font")).map_err(assembly)?;
    let (_, fonts) = file.dereference(fonts).map_err(assembly)?;
    let fonts = fonts.as_dict().map_err(assembly)?.clone();
    for (place, used) in shaper.used().iter().enumerate() {
        let Ok(id) = fonts.get(font_id(place).0.as_bytes()).and_then(Object::as_reference) else { continue };
        let unicode = file.add_object(compressed(deflate(&subset::to_unicode(used))));
        let glyphs = subset::glyph_map(used).map(|map| file.add_object(compressed(deflate(&map))));
        let font = file.get_object_mut(id).and_then(Object::as_dict_mut).map_err(assembly)?;
        let old = font.get(b"ToUnicode").and_then(Object::as_reference).ok();
        font.set("ToUnicode", unicode);
        let descendants =
            font.get_mut(b"DescendantFonts").and_then(Object::as_array_mut).map_err(assembly)?;
        let descendant = descendants.first_mut().map(Object::as_dict_mut).transpose().map_err(assembly)?;
        if let (Some(descendant), Some(glyphs)) = (descendant, glyphs) {
            descendant.set("CIDToGIDMap", glyphs);
        }
        old.map(|old| file.objects.remove(&old));
    }
    Ok(())
}

/// Title, author, date, language; and that the title is shown in the window's bar.
fn describe(file: &mut lopdf::Document, document: &Document, id: &[u8]) -> Result<(), RenderError> {
    let date = pdf_date(document.issued);
    let info = file.add_object(dictionary! {
        "Title" => text(&clean_line(&document.title)),
        "Author" => text(&clean_line(&document.practice)),
        "Subject" => text(&clean_line(&document.subject)),
        "Creator" => text("TherapyBridge"),
        "Producer" => text("TherapyBridge, printpdf"),
        "CreationDate" => date.clone(),
        "ModDate" => date,
    });
    let old = file.trailer.get(b"Info").and_then(Object::as_reference).ok();
    old.map(|old| file.objects.remove(&old));
    file.trailer.set("Info", info);
    let id = Object::String(id.to_vec(), StringFormat::Hexadecimal);
    file.trailer.set("ID", Object::Array(vec![id.clone(), id]));
    let catalog = file.catalog_mut().map_err(assembly)?;
    catalog.set("Lang", Object::string_literal(clean_line(&document.language)));
    catalog.set("ViewerPreferences", dictionary! { "DisplayDocTitle" => true });
    Ok(())
}

fn pdf_date(day: NaiveDate) -> Object {
    Object::string_literal(day.format("D:%Y%m%d000000Z").to_string())
}

/// A text outside of pages.
fn text(text: &str) -> Object {
    let mut bytes = vec![0xFE, 0xFF];
    bytes.extend(text.encode_utf16().flat_map(u16::to_be_bytes));
    Object::String(bytes, StringFormat::Hexadecimal)
}

/// Bookmarks: sections, and their parts under them.
fn outline(
    file: &mut lopdf::Document,
    marks: &[(usize, Mark)],
    pages: &[ObjectId],
) -> Result<(), RenderError> {
    if marks.is_empty() {
        return Ok(());
    }
    let root = file.new_object_id();
    let mut items: Vec<Entry<'_>> = Vec::new();
    let mut open: Option<usize> = None;
    for (page, mark) in marks {
        let at = items.len();
        let parent = if mark.level == 0 { None } else { open };
        if mark.level == 0 {
            open = Some(at);
        }
        items.push(Entry { id: file.new_object_id(), parent, page: *page, mark });
    }
    for (at, item) in items.iter().enumerate() {
        let parent = item.parent.map_or(root, |parent| items[parent].id);
        let mut entry = dictionary! { "Title" => text(&item.mark.title), "Parent" => parent };
        if let Some(page) = pages.get(item.page) {
            let top = PAGE.1 - (item.mark.y - 12.0).max(0.0);
            entry.set("Dest", vec![(*page).into(), "XYZ".into(), Object::Null, top.into(), Object::Null]);
        }
        let siblings = |other: &&Entry<'_>| other.parent == item.parent;
        if let Some(previous) = items[..at].iter().rev().find(siblings) {
            entry.set("Prev", previous.id);
        }
        if let Some(next) = items[at + 1..].iter().find(siblings) {
            entry.set("Next", next.id);
        }
        // Closed: a document of hundreds of sessions shows its sessions first.
        family(&mut entry, items.iter().filter(|other| other.parent == Some(at)), -1);
        file.set_object(item.id, entry);
    }
    let mut entry = dictionary! { "Type" => "Outlines" };
    family(&mut entry, items.iter().filter(|item| item.parent.is_none()), 1);
    file.set_object(root, entry);
    let catalog = file.catalog_mut().map_err(assembly)?;
    catalog.set("Outlines", root);
    catalog.set("PageMode", "UseOutlines");
    Ok(())
}

struct Entry<'m> {
    id: ObjectId,
    parent: Option<usize>,
    page: usize,
    mark: &'m Mark,
}

/// Writes down an entry's children; `sign` is negative where they are not shown at first.
fn family<'e, 'm: 'e>(entry: &mut Dictionary, mut children: impl Iterator<Item = &'e Entry<'m>>, sign: i64) {
    let Some(first) = children.next() else { return };
    let (count, last) = children.fold((1, first), |(count, _), child| (count + 1, child));
    entry.set("First", first.id);
    entry.set("Last", last.id);
    entry.set("Count", sign * count);
}
