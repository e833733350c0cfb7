//! The file of files that a DOCX is.

use std::io::{Cursor, Read, Write};

use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipArchive, ZipWriter};

use super::assembly;
use super::order::in_order;
use crate::exports::RenderError;
use crate::exports::clean::clean_line;
use crate::exports::document::Document;

const TEXT: &str = "word/document.xml";
const RELATIONS: &str = "word/_rels/document.xml.rels";
/// What stands before and after the text.
const OPEN: &str = "<w:body>";
const CLOSE: &str = "<w:sectPr";
const PICTURE: &str = "http://schemas.openxmlformats.org/officeDocument/2006/relationships/image";

/// A DOCX on its way.
pub(super) struct Package {
    file: ZipWriter<Cursor<Vec<u8>>>,
    /// What follows the text.
    close: String,
    relations: String,
}

/// A picture, and what the text calls it.
pub(super) struct Picture {
    pub(super) id: String,
    pub(super) bytes: Vec<u8>,
}

impl Package {
    /// Takes over what a packed DOCX has, and opens its text.
    pub(super) fn new(document: &Document, shell: Vec<u8>) -> Result<Self, RenderError> {
        let mut shell = ZipArchive::new(Cursor::new(shell)).map_err(assembly)?;
        let mut file = ZipWriter::new(Cursor::new(Vec::new()));
        let (mut text, mut relations) = (String::new(), String::new());
        for number in 0..shell.len() {
            let mut part = shell.by_index(number).map_err(assembly)?;
            let name = part.name().to_owned();
            let mut content = String::new();
            if part.is_dir() {
                continue;
            }
            part.read_to_string(&mut content).map_err(assembly)?;
            match name.as_str() {
                TEXT => text = content,
                RELATIONS => relations = content,
                "docProps/core.xml" => add(&mut file, &name, core(document).as_bytes())?,
                "word/styles.xml" => add(&mut file, &name, styles(&content, &document.language).as_bytes())?,
                _ => add(&mut file, &name, in_order(&content).as_bytes())?,
            }
        }
        let whole = || assembly("the shell has no body");
        let (open, rest) = text.split_once(OPEN).ok_or_else(whole)?;
        let close = rest.rfind(CLOSE).map(|at| rest[at..].to_owned()).ok_or_else(whole)?;
        file.start_file(TEXT, options()).map_err(assembly)?;
        file.write_all(open.as_bytes()).and_then(|()| file.write_all(OPEN.as_bytes())).map_err(assembly)?;
        Ok(Self { file, close, relations })
    }

    /// Goes on with the text.
    pub(super) fn write(&mut self, xml: &str) -> Result<(), RenderError> {
        self.file.write_all(xml.as_bytes()).map_err(assembly)
    }

    /// The file.
    pub(super) fn finish(mut self, pictures: Vec<Picture>) -> Result<Vec<u8>, RenderError> {
        let close = std::mem::take(&mut self.close);
        self.write(&close)?;
        let known = pictures.iter().map(|picture| {
            let id = &picture.id;
            format!("<Relationship Id=\"{id}\" Type=\"{PICTURE}\" Target=\"media/{id}.png\" />")
        });
        let known = known.collect::<String>() + "</Relationships>";
        let relations = self.relations.replacen("</Relationships>", &known, 1);
        add(&mut self.file, RELATIONS, relations.as_bytes())?;
        for picture in pictures {
            add(&mut self.file, &format!("word/media/{}.png", picture.id), &picture.bytes)?;
        }
        Ok(self.file.finish().map_err(assembly)?.into_inner())
    }
}

/// The same document is the same file, byte by byte: nothing has a time of its own.
fn options() -> SimpleFileOptions {
    SimpleFileOptions::default()
        .compression_method(CompressionMethod::Deflated)
        .last_modified_time(zip::DateTime::default())
}

fn add(file: &mut ZipWriter<Cursor<Vec<u8>>>, name: &str, content: &[u8]) -> Result<(), RenderError> {
    file.start_file(name, options()).map_err(assembly)?;
    file.write_all(content).map_err(assembly)
}

/// Styles with the document's language, and with that of runs from right to left, for which docx-rs has no word.
fn styles(xml: &str, language: &str) -> String {
    let language = escape(&clean_line(language));
    // The first one is for letters such as these: with a language of another script, words would be torn apart.
    let latin = match language.split('-').next() {
        Some("ar" | "fa" | "he" | "ja" | "ko" | "ur" | "yi" | "zh") => "en",
        _ => &language,
    };
    let language = format!("<w:lang w:val=\"{latin}\" w:eastAsia=\"{language}\" w:bidi=\"{language}\" />");
    let mut styles = in_order(xml);
    if let Some(end) = styles.find("</w:rPr></w:rPrDefault>") {
        styles.insert_str(end, &language);
    }
    let right_to_left = "w:styleId=\"RightToLeft\">";
    if let Some(start) = styles.find(right_to_left) {
        let rest = &styles[start..];
        if let Some(properties) = rest.find("<w:rPr />") {
            let at = start + properties;
            styles.replace_range(at..at + "<w:rPr />".len(), "<w:rPr><w:rtl /></w:rPr>");
        }
    }
    in_order(&styles)
}

/// Title, author, subject, language, date.
fn core(document: &Document) -> String {
    let [title, author, subject, language] =
        [&document.title, &document.practice, &document.subject, &document.language]
            .map(|text| escape(&clean_line(text)));
    let date = document.issued.format("%Y-%m-%dT00:00:00Z");
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\" standalone=\"yes\"?>\
         <cp:coreProperties xmlns:cp=\"http://schemas.openxmlformats.org/package/2006/metadata/core-properties\" \
         xmlns:dc=\"http://purl.org/dc/elements/1.1/\" xmlns:dcterms=\"http://purl.org/dc/terms/\" \
         xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\">\
         <dc:title>{title}</dc:title><dc:subject>{subject}</dc:subject><dc:creator>{author}</dc:creator>\
         <dc:language>{language}</dc:language>\
         <dcterms:created xsi:type=\"dcterms:W3CDTF\">{date}</dcterms:created>\
         <dcterms:modified xsi:type=\"dcterms:W3CDTF\">{date}</dcterms:modified>\
         </cp:coreProperties>"
    )
}

/// A text that means itself, also between quotes.
pub(super) fn escape(text: &str) -> String {
    let escaped = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    escaped.replace('"', "&quot;").replace('\n', " ")
}
