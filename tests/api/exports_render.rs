//! Rendered documents, read by programs that had no part in writing them.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output};

use therapybridge::exports::document::{Document, Heading, Item, Table, Text, Tone};
use therapybridge::exports::{Fonts, Rendered, docx, pdf};

mod docx_files;
mod pdf_files;
pub(crate) mod sample;

/// Texts in the scripts that every export has letters for, with what is hard in each.
const SCRIPTS: [(&str, &str); 9] = [
    ("en", "An efficient office: “first-rate” fluff – naïve café, 4 °C, 3 ≥ 2 → ✓"),
    ("de", "Straße, Größe und Verhaltenstherapie für Jürgen Groß-Österreicher"),
    ("vi", "Tiếng Việt: giấc ngủ đã tốt hơn nhiều"),
    ("pl", "Zażółć gęślą jaźń w Łodzi"),
    ("el", "Η ασθενής κοιμάται καλύτερα, ἐν ἀρχῇ ἦν ὁ λόγος"),
    ("ru", "Пациентка спит лучше, ранние пробуждения продолжаются"),
    ("uk", "Ґудзик, їжак і єнот сплять спокійно"),
    ("he", "המטופלת מדווחת ששנתה השתפרה, שָׁלוֹם"),
    ("ar", "تحسّن نوم المريضة ولا تزال تستيقظ مبكرًا، الأمين ليلى"),
];

/// The fonts of the program alone: the same on every machine.
fn fonts() -> Fonts {
    Fonts::without_the_machines(None)
}

fn as_pdf(document: &Document) -> Rendered {
    pdf::render(document, &fonts(), &mut |_| ()).unwrap()
}

fn as_docx(document: &Document) -> Rendered {
    docx::render(document, &fonts(), &mut |_| ()).unwrap()
}

/// A document with a text in every place that takes one.
fn everywhere(text: &str) -> Document {
    let mut document = Document::new(text, sample::date(11, 28));
    document.subtitle = text.into();
    document.practice = text.into();
    document.subject = text.into();
    document.facts([(text, text)]).notice(Tone::Info, text, text);
    for level in [Heading::Section, Heading::Part, Heading::Detail] {
        document.heading(level, text);
    }
    document.paragraph(Text::new().plain(text).bold(text).italic(text).muted(text));
    document.bullets([Item::new(text).detail(text)]).numbers([text]).page_break();
    document
        .push(Table::new().left(text, 1.0).center(text, 1.0).right(text, f32::NAN).row([text, text, text]));
    let bars = therapybridge::exports::chart::Chart::bars(text, text, [(text.to_owned(), 3)]);
    document.push(bars);
    document
}

/// Runs a program on a file; its output where it succeeds.
fn read_by(program: &str, arguments: &[&str], file: &Path) -> String {
    let output = run(program, arguments, file);
    let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{program}: {complaint}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn run(program: &str, arguments: &[&str], file: &Path) -> Output {
    let output = Command::new(program).args(arguments).arg(file).output();
    output.unwrap_or_else(|error| panic!("{program}: {error}; `make setup` installs it"))
}

fn file(bytes: &[u8], ending: &str) -> tempfile::NamedTempFile {
    let mut file = tempfile::Builder::new().suffix(ending).tempfile().unwrap();
    file.write_all(bytes).unwrap();
    file
}

/// The words of a text, without what programs put between them to say how it is read.
fn words(text: &str) -> Vec<String> {
    let marks =
        |c: &char| !matches!(c, '\u{200E}' | '\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}');
    let plain: String = text.chars().filter(marks).collect();
    // A comma between two directions is moved about.
    let words = plain.split_whitespace().map(|word| word.trim_matches([',', '،']));
    words.filter(|word| !word.is_empty()).map(Into::into).collect()
}

#[test]
fn the_model_of_a_document_is_as_it_was() {
    let mut document = sample::notes(1);
    document.push(Table::new().left("Date", 1.0).right("Minutes", 0.5).row(["28 November 2026", "50"]));
    insta::assert_json_snapshot!(document);
}

#[test]
fn progress_grows_to_one() {
    for render in [pdf::render, docx::render] {
        let mut told = Vec::new();
        render(&sample::notes(3), &fonts(), &mut |share| told.push(share)).unwrap();
        assert!(told.windows(2).all(|pair| pair[0] <= pair[1]), "{told:?}");
        assert!(told.len() > 3 && told.last() == Some(&1.0), "{told:?}");
    }
}

#[test]
fn the_same_document_is_the_same_file() {
    assert_eq!(as_pdf(&sample::report()).bytes, as_pdf(&sample::report()).bytes);
    assert_eq!(as_docx(&sample::report()).bytes, as_docx(&sample::report()).bytes);
}

#[test]
fn an_empty_document_is_a_page() {
    let mut document = Document::new("", sample::date(1, 1));
    document.language = String::new();
    let rendered = as_pdf(&document);
    assert_eq!(rendered.pages, Some(1));
    read_by("qpdf", &["--check"], file(&rendered.bytes, ".pdf").path());
    docx_files::assert_sound(&as_docx(&document).bytes);
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(48))]

    #[test]
    fn any_text_can_be_rendered(text in proptest::prelude::any::<String>(), marks in "[\u{300}-\u{36F}a\u{5D0}-\u{5EA}\u{600}-\u{6FF}]{0,40}") {
        let document = everywhere(&(text + &marks));
        as_pdf(&document);
        docx_files::assert_sound(&as_docx(&document).bytes);
    }
}
