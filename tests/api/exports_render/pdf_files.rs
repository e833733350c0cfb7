//! PDFs, read by poppler and qpdf.

use std::fs;
use std::process::Command;

use serde_json::Value;
use therapybridge::exports::Warning;
use therapybridge::exports::document::{Document, Heading, Review, Table};

use super::{SCRIPTS, as_pdf, file, read_by, sample, words};

/// The paper's rim, in parts of its width, that nothing may reach into.
const RIM: usize = 20;

/// The text of each page.
fn pages(bytes: &[u8]) -> Vec<String> {
    let (file, text) = (file(bytes, ".pdf"), tempfile::NamedTempFile::new().unwrap());
    let done =
        Command::new("pdftotext").args(["-enc", "UTF-8"]).args([file.path(), text.path()]).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let text = fs::read_to_string(text.path()).unwrap();
    // A form feed ends each page.
    text.split_terminator('\u{C}').map(Into::into).collect()
}

fn contains(pages: &[String], text: &str) -> bool {
    let all = words(&pages.join(" "));
    words(text).iter().all(|word| all.contains(word))
}

/// Width and height of each page as a picture, and its dots from black to white.
fn pictures(bytes: &[u8]) -> Vec<(usize, usize, Vec<u8>)> {
    let (file, folder) = (file(bytes, ".pdf"), tempfile::tempdir().unwrap());
    let root = folder.path().join("page");
    let done =
        Command::new("pdftoppm").args(["-r", "50", "-gray"]).args([file.path(), &root]).output().unwrap();
    assert!(done.status.success() && done.stderr.is_empty(), "{}", String::from_utf8_lossy(&done.stderr));
    let mut paths: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.iter().map(|path| gray(&fs::read(path).unwrap())).collect()
}

/// A picture in the format PGM: `P5`, width, height, the brightest value, then a byte a dot.
fn gray(picture: &[u8]) -> (usize, usize, Vec<u8>) {
    let head: Vec<&[u8]> = picture.splitn(4, u8::is_ascii_whitespace).collect();
    let number = |bytes: &[u8]| String::from_utf8_lossy(bytes).parse::<usize>().unwrap();
    let (width, height) = (number(head[1]), number(head[2]));
    (width, height, picture[picture.len() - width * height..].to_vec())
}

fn titles(entries: &Value) -> Vec<(String, Vec<String>)> {
    let title = |entry: &Value| entry["title"].as_str().unwrap().to_owned();
    let entries = entries.as_array().unwrap().iter();
    entries
        .map(|entry| (title(entry), titles(&entry["kids"]).into_iter().map(|kid| kid.0).collect()))
        .collect()
}

#[test]
fn every_file_is_sound_and_its_fonts_are_in_it() {
    for document in [sample::notes(4), sample::report()] {
        let rendered = as_pdf(&document);
        let file = file(&rendered.bytes, ".pdf");
        let verdict = read_by("qpdf", &["--check"], file.path());
        assert!(verdict.contains("No syntax or stream encoding errors"), "{verdict}");
        let fonts = read_by("pdffonts", &[], file.path());
        let fonts: Vec<&str> = fonts.lines().skip(2).collect();
        assert!(fonts.len() >= 2, "{fonts:?}");
        for font in fonts {
            let columns: Vec<&str> = font.split_whitespace().rev().skip(2).take(3).collect();
            assert_eq!(columns, ["yes", "yes", "yes"], "embedded, cut down, with a map to text: {font}");
        }
        assert_eq!(rendered.warnings, []);
    }
}

#[test]
fn text_can_be_copied_out_in_every_script() {
    for (language, text) in SCRIPTS {
        let mut document = Document::new(text, sample::date(11, 28));
        document.language = language.into();
        document.heading(Heading::Section, text).paragraph(text).bullets([text]);
        document.push(Table::new().left(text, 1.0).row([text]));
        let rendered = as_pdf(&document);
        assert!(contains(&pages(&rendered.bytes), text), "{language}: {:?}", pages(&rendered.bytes));
        assert_eq!(rendered.warnings, [], "{language}");
    }
}

#[test]
fn what_is_in_the_document_is_on_the_pages() {
    let pages = pages(&as_pdf(&sample::notes(2)).bytes);
    for text in [
        "Session notes",
        "Session 2 · 12 January 2026",
        "Zoë Müller",
        "Rather low (2 of 5)",
        "the pattern of withdrawal that was discussed in the first sessions",
        "• Keep the sleep diary every day",
        "2. The visit to the family went better than feared.",
        "no sign of risk was found.",
    ] {
        assert!(contains(&pages, text), "{text}: {pages:?}");
    }
}

#[test]
fn every_page_says_whose_it_is_and_how_far_it_goes() {
    let rendered = as_pdf(&sample::notes(5));
    let pages = pages(&rendered.bytes);
    assert_eq!(Some(pages.len()), rendered.pages);
    assert!(pages.len() > 3);
    for (number, page) in pages.iter().enumerate() {
        let numbers = format!("Page {} of {}", number + 1, pages.len());
        for line in [
            "Practice Dr. Jana Weber",
            "Zoë Müller",
            &numbers,
            "Issued 28 November 2026",
            "Draft, not reviewed",
        ] {
            assert!(page.contains(line), "{line}: {page}");
        }
    }
}

#[test]
fn a_signed_document_says_by_whom_and_shows_its_hash() {
    let mut document = sample::notes(1);
    let hash = "0123456789abcdef".repeat(4);
    document.review =
        Review::Signed { by: "Dr. Weber".into(), on: sample::date(11, 27), content_hash: hash.clone() };
    let pages = pages(&as_pdf(&document).bytes);
    assert!(pages[0].contains("AI-assisted, reviewed and signed by Dr. Weber on 27 November 2026"));
    assert!(pages[0].contains(&hash));
    assert!(pages.iter().all(|page| !page.contains("Draft")));
}

#[test]
fn nothing_reaches_the_rim_of_the_paper_and_no_page_is_empty() {
    for document in [sample::notes(3), sample::report(), super::everywhere(&"W".repeat(300))] {
        for (width, height, dots) in pictures(&as_pdf(&document).bytes) {
            let rim = width / RIM;
            let dark = |(at, _): &(usize, &u8)| {
                let (x, y) = (at % width, at / width);
                x < rim || y < rim || x >= width - rim || y >= height - rim
            };
            let inked = || dots.iter().enumerate().filter(|(_, dot)| **dot < 160);
            assert_eq!(inked().filter(dark).count(), 0);
            assert!(inked().count() > width * height / 500, "hardly anything on a page");
        }
    }
}

#[test]
fn the_head_of_a_table_is_on_each_of_its_pages_and_no_row_is_divided() {
    let mut document = Document::new("Table", sample::date(1, 1));
    let mut table = Table::new().left("Number", 1.0).left("Words", 4.0);
    for row in 0..90 {
        table.add([format!("row{row}"), format!("begin{row} {} end{row}", "and so on ".repeat(20))]);
    }
    document.push(table);
    let pages = pages(&as_pdf(&document).bytes);
    assert!(pages.len() > 3);
    for page in &pages {
        assert!(page.contains("Number") && page.contains("Words"), "{page}");
    }
    for row in 0..90 {
        let whole = |page: &&String| {
            [format!("row{row}"), format!("begin{row}"), format!("end{row}")]
                .iter()
                .all(|word| words(page).contains(word))
        };
        assert_eq!(pages.iter().filter(whole).count(), 1, "row {row}");
    }
}

#[test]
fn a_row_longer_than_a_page_is_divided_and_complete() {
    let mut document = Document::new("Table", sample::date(1, 1));
    let long = (0..2000).map(|number| format!("word{number}")).collect::<Vec<_>>().join(" ");
    document.push(Table::new().left("A", 1.0).left("B", 1.0).row(["short", &long]).row(["after", "it"]));
    let pages = pages(&as_pdf(&document).bytes);
    assert!(pages.len() > 2);
    assert!(contains(&pages, &long) && contains(&pages, "after"));
}

#[test]
fn a_heading_is_never_the_last_thing_on_a_page() {
    for lines in 1..60 {
        let mut document = Document::new("Title", sample::date(1, 1));
        document.review = Review::NotNeeded;
        for _ in 0..lines {
            document.paragraph("A line.");
        }
        document
            .heading(Heading::Section, "Heading")
            .heading(Heading::Part, "Below")
            .paragraph("What follows it.");
        let pages = pages(&as_pdf(&document).bytes);
        let with = |text: &str| pages.iter().position(|page| page.contains(text));
        assert_eq!(with("Heading"), with("What follows it."), "{lines} lines before");
        assert_eq!(with("Below"), with("What follows it."), "{lines} lines before");
    }
}

#[test]
fn bookmarks_title_and_language_are_in_the_file() {
    let mut document = sample::notes(2);
    document.language = "en-GB".into();
    document.title = "Notes of Zoë (李明)".into();
    let rendered = as_pdf(&document);
    let file = file(&rendered.bytes, ".pdf");
    let outline = read_by("qpdf", &["--json", "--json-key=outlines"], file.path());
    let outline: Value = serde_json::from_str(&outline).unwrap();
    let parts: Vec<String> = ["Summary", "Action items", "Strategies"].map(Into::into).into();
    let sections = ["Session 1 · 5 January 2026", "Session 2 · 12 January 2026"];
    assert_eq!(titles(&outline["outlines"]), sections.map(|title| (title.to_owned(), parts.clone())));
    assert_eq!(outline["outlines"][0]["destpageposfrom1"], 1);
    let info = read_by("pdfinfo", &[], file.path());
    assert!(info.contains("Title:           Notes of Zoë (李明)"), "{info}");
    assert!(
        info.contains("Author:          Practice Dr. Jana Weber") && info.contains("Page size:       595.28"),
        "{info}"
    );
    let objects = read_by("qpdf", &["--json", "--json-key=qpdf"], file.path());
    assert!(objects.contains("\"/Lang\": \"u:en-GB\""), "no language");
}

#[test]
fn what_no_font_has_is_seen_and_named_and_can_be_copied() {
    let mut document = sample::notes(1);
    document.subject = "李明".into();
    document.paragraph("สวัสดี and 李明");
    let rendered = as_pdf(&document);
    let [Warning::MissingCharacters(missing)] = &rendered.warnings[..] else {
        panic!("{:?}", rendered.warnings)
    };
    assert!(missing.contains(&'李') && missing.contains(&'明') && missing.contains(&'ส'), "{missing:?}");
    assert!(contains(&pages(&rendered.bytes), "李明"));
}

#[test]
fn overrides_and_controls_in_names_do_not_spoil_the_page() {
    let mut document = sample::notes(1);
    document.subject = "Zoë\u{202E} Müller\0\u{7}\u{1B}[31m".into();
    document.practice = "Practice\nDr. Weber".into();
    let pages = pages(&as_pdf(&document).bytes);
    assert!(pages[0].contains("Zoë Müller[31m") && pages[0].contains("Practice Dr. Weber"), "{}", pages[0]);
    assert!(contains(&pages, "Page 1 of"));
}

#[test]
fn charts_are_drawn_as_vectors_and_their_words_can_be_found() {
    let rendered = as_pdf(&sample::report());
    let images = read_by("pdfimages", &["-list"], file(&rendered.bytes, ".pdf").path());
    assert_eq!(images.lines().count(), 2, "{images}");
    let pages = pages(&rendered.bytes);
    for word in ["Mood over time", "Very positive", "Trend", "Cancelled", "conflict at work", "7 Sep"] {
        assert!(contains(&pages, word), "{word}");
    }
}
