//! What a document is called where it is downloaded. The patient's name is in it, for a folder of files that differ by a
//! number is a folder of mistakes; nothing else is: not what the sessions were about. In the store it has ids only.

use chrono::NaiveDate;
use unicode_normalization::UnicodeNormalization;

use crate::entity::export_job::{Format, Kind};

/// Characters of a patient's name that are kept: systems take 255 bytes, and mail programs far less.
const LONGEST_NAME: usize = 60;

/// The name of a document's file: `Session notes Zoë Müller 2026-11-28.pdf`.
pub(super) fn file_name(kind: Kind, patient: &str, issued: NaiveDate, format: Format) -> String {
    let what = match kind {
        Kind::SessionNotes => "Session notes",
        Kind::ProgressReport => "Progress report",
    };
    let parts = [what.to_owned(), harmless(patient), issued.to_string()];
    let words: Vec<String> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    format!("{}.{}", words.join(" "), format.extension())
}

/// The name without what a file system, or its reader, would take for something else: separators, wildcards, control
/// characters, and those that turn the direction of writing, by which an ending can be made to look like another.
fn harmless(name: &str) -> String {
    let kept: String = name.nfc().map(|c| if is_harmful(c) { ' ' } else { c }).take(LONGEST_NAME).collect();
    let words: Vec<&str> = kept.split_whitespace().collect();
    words.join(" ").trim_matches(['.', '-', ' ']).to_owned()
}

fn is_harmful(c: char) -> bool {
    c.is_control()
        || r#"/\:*?"<>|"#.contains(c)
        || matches!(c, '\u{200B}' | '\u{200E}' | '\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2060}'..='\u{206F}')
        || matches!(c, '\u{061C}' | '\u{FEFF}' | '\u{FFF0}'..='\u{FFFF}' | '\u{E000}'..='\u{F8FF}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name_of(patient: &str) -> String {
        let day = NaiveDate::from_ymd_opt(2026, 11, 28).expect("a day");
        file_name(Kind::SessionNotes, patient, day, Format::Pdf)
    }

    #[test]
    fn names_of_any_script_stay_as_they_are() {
        for name in ["Zoë Müller", "李小龍", "محمد", "Ольга", "می\u{200C}خواهم"] {
            assert_eq!(name_of(name), format!("Session notes {name} 2026-11-28.pdf"));
        }
    }

    #[test]
    fn nothing_in_a_name_is_taken_for_a_path_or_another_ending() {
        assert_eq!(name_of("../../etc/passwd"), "Session notes etc passwd 2026-11-28.pdf");
        assert_eq!(name_of("a\u{202E}fdp.exe"), "Session notes a fdp.exe 2026-11-28.pdf");
        assert_eq!(name_of("C:\\x\"y\r\n\tz"), "Session notes C x y z 2026-11-28.pdf");
        assert_eq!(name_of("\u{202E}"), "Session notes 2026-11-28.pdf");
    }

    #[test]
    fn a_long_name_is_cut() {
        assert!(name_of(&"ß".repeat(200)).len() < 255);
    }
}
