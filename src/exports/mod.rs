//! Files that leave the practice: who asked for which ([`jobs`]), what they say ([`session_notes`], [`progress_report`]), one
//! model of a document ([`document`], [`chart`]), and renderers that make a file of it.
//!
//! Model and renderers know no database and wait for nothing: a [`document::Document`] goes in, bytes come out. Rendering takes
//! the processor for as long as it takes, so it is done off the async runtime ([`work`]).

use std::fmt;

pub use self::fonts::Fonts;

pub mod chart;
mod clean;
pub mod document;
pub mod docx;
mod drawing;
mod expiry;
mod file_name;
mod fonts;
mod ink;
pub mod jobs;
pub mod letterhead;
mod lines;
pub mod pdf;
mod picture;
pub mod progress_report;
mod render;
pub mod session_notes;
mod shape;
mod wording;
pub mod work;

/// A finished file.
#[derive(Clone, Debug)]
pub struct Rendered {
    /// The file.
    pub bytes: Vec<u8>,
    /// How many pages it has; `None` where whoever opens it lays the pages out.
    pub pages: Option<usize>,
    /// What could not be shown as it was given.
    pub warnings: Vec<Warning>,
}

/// Something could not be shown as it was given. The file is complete all the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Warning {
    /// No font has these; [`MISSING`] stands in their place. What is copied out of the file still has them.
    MissingCharacters(Vec<char>),
}

/// What is shown where no font has a character.
pub const MISSING: char = '\u{FFFD}';

/// How many characters a warning names one by one.
const NAMED: usize = 20;

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::MissingCharacters(characters) = self;
        let named: Vec<String> = characters.iter().take(NAMED).map(|c| named(*c)).collect();
        write!(f, "No font here has {}", named.join(", "))?;
        if characters.len() > NAMED {
            write!(f, " and {} more characters", characters.len() - NAMED)?;
        }
        write!(f, ": {MISSING} is shown instead. A font that has them can be put into FONT_DIR.")
    }
}

/// A character as people can look it up: itself where it can stand alone, and its number.
fn named(character: char) -> String {
    let number = format!("U+{:04X}", u32::from(character));
    if character.is_alphanumeric() { format!("{character} ({number})") } else { number }
}

/// Why there is no file. None of it is the document's fault: whatever a document says can be rendered.
#[derive(Debug, thiserror::Error)]
pub enum RenderError {
    /// A font cannot be used.
    #[error("font {font}: {problem}")]
    Font {
        /// Its name.
        font: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The file could not be put together.
    #[error("the file could not be put together: {0}")]
    Assembly(String),
}

#[expect(clippy::cast_precision_loss, reason = "a share need not be exact")]
fn share(done: usize, of: usize) -> f32 {
    done as f32 / of.max(1) as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_warning_names_characters_and_says_what_to_do() {
        let warning = Warning::MissingCharacters(vec!['李', '\u{1F600}']).to_string();
        assert_eq!(
            warning,
            "No font here has 李 (U+674E), U+1F600: \u{FFFD} is shown instead. A font that has them can be put into FONT_DIR."
        );
        let many = Warning::MissingCharacters(('一'..).take(25).collect()).to_string();
        assert!(many.contains("and 5 more characters"), "{many}");
    }
}
