//! DOCX files, taken apart, and opened by `LibreOffice` where it is installed.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{Cursor, Read};
use std::process::Command;

use quick_xml::Reader;
use quick_xml::events::Event;
use therapybridge::exports::document::{Document, Heading, Table};

use super::{SCRIPTS, as_docx, as_pdf, everywhere, file, sample, words};

/// An element: its name, its attributes, its depth.
type Element = (String, BTreeMap<String, String>, usize);

/// The parts of a file by name.
fn parts(bytes: &[u8]) -> BTreeMap<String, Vec<u8>> {
    let mut archive = zip::ZipArchive::new(Cursor::new(bytes)).unwrap();
    let mut parts = BTreeMap::new();
    for number in 0..archive.len() {
        let mut part = archive.by_index(number).unwrap();
        let mut content = Vec::new();
        part.read_to_end(&mut content).unwrap();
        assert!(parts.insert(part.name().to_owned(), content).is_none(), "twice: {}", part.name());
    }
    parts
}

/// A part's elements and the text in it.
fn read(part: &[u8]) -> (Vec<Element>, String) {
    let xml = std::str::from_utf8(part).unwrap();
    let stray = xml.chars().find(|c| (c.is_control() && *c != '\n') || matches!(c, '\u{FFFE}' | '\u{FFFF}'));
    assert_eq!(stray, None, "no character of XML");
    let mut reader = Reader::from_str(xml);
    reader.config_mut().check_end_names = true;
    let (mut elements, mut text, mut open) = (Vec::new(), String::new(), Vec::<String>::new());
    let mut element = |tag: &quick_xml::events::BytesStart<'_>, depth| {
        let attributes = tag.attributes().map(|attribute| {
            let attribute = attribute.unwrap();
            let value = quick_xml::escape::unescape(std::str::from_utf8(&attribute.value).unwrap())
                .unwrap()
                .into_owned();
            (String::from_utf8(attribute.key.as_ref().to_vec()).unwrap(), value)
        });
        let name = String::from_utf8(tag.name().as_ref().to_vec()).unwrap();
        elements.push((name.clone(), attributes.collect(), depth));
        name
    };
    loop {
        match reader.read_event().unwrap() {
            Event::Start(tag) => open.push(element(&tag, open.len())),
            Event::Empty(tag) => {
                let name = element(&tag, open.len());
                if name == "w:br" || name == "w:tab" {
                    text.push('\n');
                }
            }
            Event::End(_) => text.push_str(if open.pop().as_deref() == Some("w:p") { "\n" } else { "" }),
            Event::Text(words) if open.last().is_some_and(|name| name == "w:t") => {
                text.push_str(&words.decode().unwrap());
            }
            Event::GeneralRef(reference) => {
                let name = reference.decode().unwrap().into_owned();
                text.push_str(&quick_xml::escape::unescape(&format!("&{name};")).unwrap());
            }
            Event::Eof => break,
            _ => {}
        }
    }
    assert_eq!(open, Vec::<String>::new());
    (elements, text)
}

fn values<'e>(elements: &'e [Element], name: &str, attribute: &str) -> Vec<&'e str> {
    let named = elements.iter().filter(|element| element.0 == name);
    named.filter_map(|element| element.1.get(attribute).map(String::as_str)).collect()
}

fn count(elements: &[Element], name: &str) -> usize {
    elements.iter().filter(|element| element.0 == name).count()
}

/// Every part is well-formed, and everything that is named is there.
pub(super) fn assert_sound(bytes: &[u8]) {
    let parts = parts(bytes);
    for (name, part) in &parts {
        if !name.starts_with("word/media/") {
            read(part);
        }
    }
    let (text, _) = read(&parts["word/document.xml"]);
    let (styles, _) = read(&parts["word/styles.xml"]);
    let defined: BTreeSet<&str> = values(&styles, "w:style", "w:styleId").into_iter().collect();
    for kind in ["w:pStyle", "w:rStyle", "w:tblStyle"] {
        let used: BTreeSet<&str> = values(&text, kind, "w:val").into_iter().collect();
        assert!(used.is_subset(&defined), "{used:?}");
    }
    let (numbering, _) = read(&parts["word/numbering.xml"]);
    let lists: BTreeSet<&str> = values(&numbering, "w:num", "w:numId").into_iter().collect();
    let used: BTreeSet<&str> = values(&text, "w:numId", "w:val").into_iter().collect();
    assert!(used.is_subset(&lists), "{used:?}");
    let (relations, _) = read(&parts["word/_rels/document.xml.rels"]);
    let known: BTreeSet<&str> = values(&relations, "Relationship", "Id").into_iter().collect();
    let used: BTreeSet<&str> = values(&text, "a:blip", "r:embed").into_iter().collect();
    assert!(used.is_subset(&known), "{used:?}");
    for target in values(&relations, "Relationship", "Target") {
        assert!(parts.contains_key(&format!("word/{target}")), "{target}");
    }
    let ids = values(&text, "w:p", "w14:paraId");
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len(), "numbers of paragraphs are not unique");
}

#[test]
fn the_samples_are_sound() {
    for document in
        [sample::notes(3), sample::report(), everywhere("<w:p/> & \"=cmd\" ' \u{1F600} \u{202E}x")]
    {
        assert_sound(&as_docx(&document).bytes);
    }
}

#[test]
fn it_says_what_the_pdf_says() {
    for document in [sample::notes(2), sample::report()] {
        let docx = parts(&as_docx(&document).bytes);
        let (_, mut text) = read(&docx["word/document.xml"]);
        for part in ["word/header1.xml", "word/footer1.xml"] {
            text += &read(&docx[part]).1;
        }
        let said: BTreeSet<String> = words(&text).into_iter().collect();
        let written = serde_json::to_string(&document.blocks).unwrap();
        let pdf = tempfile::NamedTempFile::new().unwrap();
        let source = file(&as_pdf(&document).bytes, ".pdf");
        let done = Command::new("pdftotext").args([source.path(), pdf.path()]).output().unwrap();
        assert!(done.status.success());
        let shown = fs::read_to_string(pdf.path()).unwrap();
        // What the charts say is a picture here; bullets and numbers are the reader's.
        let missing: Vec<String> = words(&shown)
            .into_iter()
            .filter(|word| word.len() > 3 && written.contains(word.as_str()) && !said.contains(word))
            .filter(|word| !in_charts(&document).contains(word))
            .collect();
        assert_eq!(missing, Vec::<String>::new());
    }
}

fn in_charts(document: &Document) -> BTreeSet<String> {
    use therapybridge::exports::document::Block;
    let charts = document.blocks.iter().filter(|block| matches!(block, Block::Chart(_)));
    let text: String = charts.map(|chart| serde_json::to_string(chart).unwrap()).collect();
    text.split(|c: char| !c.is_alphanumeric() && c != '-').map(Into::into).collect()
}

#[test]
fn headings_lists_and_tables_are_real_ones() {
    let parts = parts(&as_docx(&sample::report()).bytes);
    let (text, _) = read(&parts["word/document.xml"]);
    let (styles, _) = read(&parts["word/styles.xml"]);
    let used = values(&text, "w:pStyle", "w:val");
    for style in ["Title", "Subtitle", "Heading1", "Caption", "TableHead", "TableText", "NoticeInfo"] {
        assert!(used.contains(&style), "{style}");
    }
    let names = values(&styles, "w:name", "w:val");
    for name in ["heading 1", "heading 2", "heading 3", "Title", "List Bullet", "List Number"] {
        assert!(names.contains(&name), "{name}");
    }
    assert!(count(&styles, "w:keepNext") >= 4, "headings stay with what follows");
    assert_eq!(count(&text, "w:tblHeader"), 1);
    assert_eq!(count(&text, "w:cantSplit"), count(&text, "w:tr"));
    let drawn = text.iter().filter(|element| element.0 == "wp:docPr");
    let described: Vec<&str> = drawn.map(|element| element.1["descr"].as_str()).collect();
    assert_eq!(described[0], "Mood over time. The mood rose from low to positive.");
    assert_eq!(values(&text, "wp:docPr", "id"), ["1", "2", "3"]);
}

#[test]
fn every_numbered_list_begins_with_one() {
    let parts = parts(&as_docx(&sample::notes(3)).bytes);
    let (text, _) = read(&parts["word/document.xml"]);
    let (numbering, _) = read(&parts["word/numbering.xml"]);
    let lists: BTreeSet<&str> = values(&text, "w:numId", "w:val").into_iter().collect();
    assert_eq!(lists.len(), 1 + 3, "one for all bullets, one a list with numbers");
    assert_eq!(values(&numbering, "w:startOverride", "w:val"), ["1", "1", "1"]);
}

#[test]
fn pages_count_themselves_and_the_file_says_what_it_is() {
    let mut document = sample::notes(1);
    document.title = "Notes <of> \"Zoë\" & co".into();
    document.language = "de-AT".into();
    let parts = parts(&as_docx(&document).bytes);
    let (foot, text) = read(&parts["word/footer1.xml"]);
    let fields = String::from_utf8(parts["word/footer1.xml"].clone()).unwrap();
    assert!(fields.contains(">PAGE<") && fields.contains(">NUMPAGES<"), "{fields}");
    assert_eq!(values(&foot, "w:fldChar", "w:fldCharType").len(), 6);
    assert!(text.contains("Issued 28 November 2026") && text.contains("Draft, not reviewed"), "{text}");
    let (_, head) = read(&parts["word/header1.xml"]);
    assert!(head.contains("Practice Dr. Jana Weber") && head.contains("Zoë Müller"), "{head}");
    let core = String::from_utf8(parts["docProps/core.xml"].clone()).unwrap();
    assert!(core.contains("<dc:title>Notes &lt;of&gt; &quot;Zoë&quot; &amp; co</dc:title>"), "{core}");
    assert!(core.contains("<dc:language>de-AT</dc:language>"), "{core}");
    let (styles, _) = read(&parts["word/styles.xml"]);
    assert_eq!(values(&styles, "w:lang", "w:val"), ["de-AT"]);
}

#[test]
fn text_from_right_to_left_is_marked_as_such() {
    for (language, text) in SCRIPTS {
        let mut document = Document::new("Title", sample::date(1, 1));
        document
            .heading(Heading::Section, text)
            .paragraph(text)
            .push(Table::new().left("A", 1.0).row([text]));
        let parts = parts(&as_docx(&document).bytes);
        let (elements, said) = read(&parts["word/document.xml"]);
        assert!(said.contains(text), "{language}");
        let right_to_left = matches!(language, "he" | "ar");
        assert_eq!(count(&elements, "w:bidi"), if right_to_left { 3 } else { 0 }, "{language}");
        assert_eq!(
            values(&elements, "w:rStyle", "w:val").len(),
            if right_to_left { 3 } else { 0 },
            "{language}"
        );
    }
}

#[test]
fn libreoffice_opens_it() {
    let known = ["soffice", "libreoffice"]
        .into_iter()
        .find(|name| Command::new(name).arg("--version").output().is_ok());
    let Some(program) = known else {
        eprintln!("skipped: LibreOffice is not installed");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let mut document = sample::report();
    for (_, text) in SCRIPTS {
        document.paragraph(text);
    }
    let source = folder.path().join("report.docx");
    fs::write(&source, as_docx(&document).bytes).unwrap();
    let profile = format!("-env:UserInstallation=file://{}/profile", folder.path().display());
    let convert = [profile.as_str(), "--headless", "--convert-to", "pdf", "--outdir"];
    let done = Command::new(program).args(convert).args([folder.path(), &source]).output().unwrap();
    let pdf = folder.path().join("report.pdf");
    assert!(pdf.exists(), "{}", String::from_utf8_lossy(&done.stderr));
    let text = folder.path().join("report.txt");
    assert!(Command::new("pdftotext").args([&pdf, &text]).status().unwrap().success());
    let text = words(&fs::read_to_string(&text).unwrap()).join(" ");
    for said in ["Progress report", "Page 1 of", "Mood over time", "10 October 2026", "Пациентка спит лучше"]
    {
        assert!(text.contains(said), "{said}: {text}");
    }
    let images = super::read_by("pdfimages", &["-list"], &pdf);
    // Each comes with a mask.
    let kinds = images.lines().skip(2).filter_map(|line| line.split_whitespace().nth(2));
    assert_eq!(kinds.filter(|kind| *kind == "image").count(), 3, "{images}");
}
