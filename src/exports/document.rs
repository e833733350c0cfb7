//! What a document says, without a word on how a file says it.
//!
//! ```
//! use chrono::NaiveDate;
//! use therapybridge::exports::document::{Document, Heading, Review, Table, Text};
//!
//! let mut document = Document::new("Session notes", NaiveDate::from_ymd_opt(2026, 11, 28).unwrap());
//! document.practice = "Practice Dr. Weber".into();
//! document.subject = "Zoë Müller".into();
//! document.facts([("Patient", "Zoë Müller"), ("Sessions", "2")]);
//! document.heading(Heading::Section, "28 November 2026");
//! document.paragraph(Text::new().bold("Mood ").plain("rather low").muted(" (2 of 5)"));
//! document.bullets(["Sleep", "Work"]);
//! document.push(
//!     Table::new().left("Week", 2.0).right("Sessions", 1.0).row(["23 November", "1"]).row(["30 November", "0"]),
//! );
//! assert_eq!(document.review, Review::Draft);
//! ```

use chrono::NaiveDate;
use serde::Serialize;

use super::chart::Chart;

/// A document, ready to be rendered. Texts may hold anything: renderers drop control characters and take nothing for markup.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Document {
    /// Stands at its top, in its properties and in the bar of the window that shows it.
    pub title: String,
    /// Stands under the title, smaller; empty is none.
    pub subtitle: String,
    /// Language of its words, as BCP 47 writes it.
    pub language: String,
    /// Who issues it: at the left of every page's head.
    pub practice: String,
    /// Whom it is about: at the right of every page's head.
    pub subject: String,
    /// Day of issue, in every page's foot.
    pub issued: NaiveDate,
    /// Who vouches for it, under the title and in every page's foot.
    pub review: Review,
    /// What it says, top to bottom.
    pub blocks: Vec<Block>,
}

/// Who vouches for what a model wrote.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub enum Review {
    /// Nobody yet.
    #[default]
    Draft,
    /// A therapist.
    Signed {
        /// Who.
        by: String,
        /// When.
        on: NaiveDate,
        /// SHA-256 of what was signed, in hexadecimal.
        content_hash: String,
    },
    /// Nothing of it is a model's: figures, dates, what people entered.
    NotNeeded,
}

/// A part of a document.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub enum Block {
    /// A heading, which stays with what follows it; the first two levels are bookmarks.
    Heading(Heading, String),
    /// A paragraph.
    Paragraph(Text),
    /// A list.
    List(List),
    /// Labels and what they stand for, in two columns: who, when, where.
    Facts(Vec<(String, Text)>),
    /// A table.
    Table(Table),
    /// A drawing of figures.
    Chart(Chart),
    /// A framed notice.
    Notice(Notice),
    /// What follows begins a page.
    PageBreak,
}

/// The level of a heading.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum Heading {
    /// Divides the document: a session, a chapter.
    Section,
    /// Divides a section.
    Part,
    /// Divides a part.
    Detail,
}

/// A stretch of text in several styles.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Text {
    /// Its runs, first to last. A line feed in one breaks the line.
    pub runs: Vec<Run>,
}

/// Text in one style.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Run {
    /// The words.
    pub text: String,
    /// How they look.
    pub style: Style,
}

/// How a run looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize)]
pub enum Style {
    /// As its paragraph.
    #[default]
    Plain,
    /// Heavier.
    Bold,
    /// Slanted.
    Italic,
    /// Greyer: what is beside the point.
    Muted,
}

/// A list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct List {
    /// Whether its items have numbers, from 1, or bullets.
    pub numbered: bool,
    /// Its items.
    pub items: Vec<Item>,
}

/// An item of a list.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Item {
    /// What it says.
    pub text: Text,
    /// Lines under it, smaller and muted: the quote it rests on.
    pub details: Vec<Text>,
}

/// A table. Its head is repeated on every page it reaches; a row stands on one page unless it is longer than that.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Table {
    /// Its columns.
    pub columns: Vec<Column>,
    /// Its rows. One with too few cells is filled up with empty ones, and what is too many is left out.
    pub rows: Vec<Vec<Text>>,
}

/// A column of a table.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Column {
    /// Its head.
    pub title: String,
    /// Where its cells stand.
    pub align: Align,
    /// Its share of the width, beside the other columns' weights.
    pub weight: f32,
}

/// Where text stands between its edges.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub enum Align {
    /// Where its lines begin: at the left for most scripts, at the right for Hebrew and Arabic.
    #[default]
    Start,
    /// In the middle.
    Center,
    /// Where its lines end: figures.
    End,
}

/// A framed notice.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Notice {
    /// What kind it is.
    pub tone: Tone,
    /// Its first words; empty is none.
    pub title: String,
    /// What it says.
    pub text: Text,
}

/// What a notice is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Tone {
    /// Good to know.
    Info,
    /// Not to be passed over.
    Warning,
}

impl Document {
    /// An English draft that says nothing yet.
    pub fn new(title: impl Into<String>, issued: NaiveDate) -> Self {
        Self {
            title: title.into(),
            subtitle: String::new(),
            language: "en".into(),
            practice: String::new(),
            subject: String::new(),
            issued,
            review: Review::Draft,
            blocks: Vec::new(),
        }
    }

    /// Adds a block.
    pub fn push(&mut self, block: impl Into<Block>) -> &mut Self {
        self.blocks.push(block.into());
        self
    }

    /// Adds a heading.
    pub fn heading(&mut self, level: Heading, text: impl Into<String>) -> &mut Self {
        self.push(Block::Heading(level, text.into()))
    }

    /// Adds a paragraph.
    pub fn paragraph(&mut self, text: impl Into<Text>) -> &mut Self {
        self.push(Block::Paragraph(text.into()))
    }

    /// Adds a list with bullets.
    pub fn bullets<I: Into<Item>>(&mut self, items: impl IntoIterator<Item = I>) -> &mut Self {
        self.push(List { numbered: false, items: items.into_iter().map(Into::into).collect() })
    }

    /// Adds a list with numbers.
    pub fn numbers<I: Into<Item>>(&mut self, items: impl IntoIterator<Item = I>) -> &mut Self {
        self.push(List { numbered: true, items: items.into_iter().map(Into::into).collect() })
    }

    /// Adds labels and what they stand for.
    pub fn facts<L: Into<String>, T: Into<Text>>(
        &mut self,
        facts: impl IntoIterator<Item = (L, T)>,
    ) -> &mut Self {
        let facts = facts.into_iter().map(|(label, text)| (label.into(), text.into())).collect();
        self.push(Block::Facts(facts))
    }

    /// Adds a notice.
    pub fn notice(&mut self, tone: Tone, title: impl Into<String>, text: impl Into<Text>) -> &mut Self {
        self.push(Notice { tone, title: title.into(), text: text.into() })
    }

    /// Lets what follows begin a page.
    pub fn page_break(&mut self) -> &mut Self {
        self.push(Block::PageBreak)
    }
}

impl Review {
    /// What a page's foot says of it; empty where there is nothing to say. For a part of a document that was reviewed apart
    /// from the rest, a paragraph can say the same.
    #[must_use]
    pub fn line(&self) -> String {
        match self {
            Self::Draft => "Draft, not reviewed".into(),
            Self::Signed { by, on, .. } => {
                format!("AI-assisted, reviewed and signed by {by} on {}", day(*on))
            }
            Self::NotNeeded => String::new(),
        }
    }

    /// What stands under the title; `None` where there is nothing to say.
    #[must_use]
    pub fn notice(&self) -> Option<Notice> {
        let (tone, title, text) = match self {
            Self::Draft => {
                let text = "Written with the help of AI, and not yet reviewed or signed by the therapist.";
                (Tone::Warning, self.line(), Text::from(text))
            }
            Self::Signed { content_hash, .. } => (
                Tone::Info,
                self.line(),
                Text::new().muted(format!("Content hash (SHA-256): {content_hash}")),
            ),
            Self::NotNeeded => return None,
        };
        Some(Notice { tone, title, text })
    }
}

/// A day as a document writes it.
#[must_use]
pub fn day(day: NaiveDate) -> String {
    day.format("%-d %B %Y").to_string()
}

impl Text {
    /// An empty text.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Goes on as its paragraph does.
    #[must_use]
    pub fn plain(self, text: impl Into<String>) -> Self {
        self.run(text, Style::Plain)
    }

    /// Goes on heavier.
    #[must_use]
    pub fn bold(self, text: impl Into<String>) -> Self {
        self.run(text, Style::Bold)
    }

    /// Goes on slanted.
    #[must_use]
    pub fn italic(self, text: impl Into<String>) -> Self {
        self.run(text, Style::Italic)
    }

    /// Goes on greyer.
    #[must_use]
    pub fn muted(self, text: impl Into<String>) -> Self {
        self.run(text, Style::Muted)
    }

    /// Its words, without their styles.
    #[must_use]
    pub fn words(&self) -> String {
        self.runs.iter().map(|run| run.text.as_str()).collect()
    }

    fn run(mut self, text: impl Into<String>, style: Style) -> Self {
        self.runs.push(Run { text: text.into(), style });
        self
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Self::new().plain(text)
    }
}

impl From<String> for Text {
    fn from(text: String) -> Self {
        Self::new().plain(text)
    }
}

impl Item {
    /// An item.
    pub fn new(text: impl Into<Text>) -> Self {
        Self { text: text.into(), details: Vec::new() }
    }

    /// Adds a line under it.
    #[must_use]
    pub fn detail(mut self, text: impl Into<Text>) -> Self {
        self.details.push(text.into());
        self
    }
}

impl<T: Into<Text>> From<T> for Item {
    fn from(text: T) -> Self {
        Self::new(text)
    }
}

impl Table {
    /// A table without columns.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a column of text.
    #[must_use]
    pub fn left(self, title: impl Into<String>, weight: f32) -> Self {
        self.column(title, Align::Start, weight)
    }

    /// Adds a column whose cells stand in the middle.
    #[must_use]
    pub fn center(self, title: impl Into<String>, weight: f32) -> Self {
        self.column(title, Align::Center, weight)
    }

    /// Adds a column of figures.
    #[must_use]
    pub fn right(self, title: impl Into<String>, weight: f32) -> Self {
        self.column(title, Align::End, weight)
    }

    /// Adds a row.
    #[must_use]
    pub fn row<T: Into<Text>>(mut self, cells: impl IntoIterator<Item = T>) -> Self {
        self.add(cells);
        self
    }

    /// Adds a row.
    pub fn add<T: Into<Text>>(&mut self, cells: impl IntoIterator<Item = T>) {
        self.rows.push(cells.into_iter().map(Into::into).collect());
    }

    fn column(mut self, title: impl Into<String>, align: Align, weight: f32) -> Self {
        self.columns.push(Column { title: title.into(), align, weight });
        self
    }
}

impl From<List> for Block {
    fn from(list: List) -> Self {
        Self::List(list)
    }
}

impl From<Table> for Block {
    fn from(table: Table) -> Self {
        Self::Table(table)
    }
}

impl From<Chart> for Block {
    fn from(chart: Chart) -> Self {
        Self::Chart(chart)
    }
}

impl From<Notice> for Block {
    fn from(notice: Notice) -> Self {
        Self::Notice(notice)
    }
}
