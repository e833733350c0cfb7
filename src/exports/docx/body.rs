//! From blocks to the elements of a DOCX.

use docx_rs::{
    BreakType, BuildXML, IndentLevel, NumberingId, Paragraph, Pic, Run, Shading, ShdType, Table as DocxTable,
    TableBorder, TableBorderPosition, TableBorders, TableCell, TableCellMargins, TableLayoutType, TableRow,
    VAlignType, WidthType,
};

use super::order::in_order;
use super::package::{Picture, escape};
use super::shell::{BULLETS, FIRST_LIST, TWIPS, WIDTH, alignment, styled};
use crate::exports::chart::Chart;
use crate::exports::clean::{clean, clean_line, is_right_to_left};
use crate::exports::document::{
    Align, Block, Document, Heading, Item, List, Notice, Style, Table, Text, Tone,
};
use crate::exports::drawing::draw;
use crate::exports::ink::Ink;
use crate::exports::picture::png;
use crate::exports::shape::Shaper;
use crate::exports::{Fonts, RenderError};

/// English metric units of a point: lengths of pictures.
const EMU: f32 = 12_700.0;

/// Writes a document's text.
pub(super) struct Body<'a> {
    shaper: Shaper<'a>,
    pictures: Vec<Picture>,
    lists: usize,
}

impl<'a> Body<'a> {
    pub(super) fn new(fonts: &'a Fonts, language: &'a str) -> Self {
        Self { shaper: Shaper::new(fonts, language), pictures: Vec::new(), lists: 0 }
    }

    /// The charts' pictures.
    pub(super) fn into_pictures(self) -> Vec<Picture> {
        self.pictures
    }

    /// Characters of charts that no font has.
    pub(super) fn missing(&self) -> Vec<char> {
        self.shaper.missing()
    }

    /// The title, what stands under it, and who vouches for it all.
    pub(super) fn title(&mut self, document: &Document) -> Result<String, RenderError> {
        let mut xml = text(styled("Title"), &Text::from(clean_line(&document.title)));
        xml += &text(styled("Subtitle"), &Text::from(clean_line(&document.subtitle)));
        if let Some(notice) = document.review.notice() {
            xml += &self.block(&notice.into())?;
        }
        Ok(xml)
    }

    /// A block's elements.
    pub(super) fn block(&mut self, block: &Block) -> Result<String, RenderError> {
        Ok(match block {
            Block::Heading(level, words) => heading(*level, words),
            Block::Paragraph(words) => text(styled("BodyText"), words),
            Block::List(list) => self.list(list),
            Block::Facts(facts) => facts_table(facts),
            Block::Table(table) => report_table(table),
            Block::Chart(chart) => self.chart(chart)?,
            Block::Notice(words) => notice(words),
            Block::PageBreak => xml(&Paragraph::new().add_run(Run::new().add_break(BreakType::Page))),
        })
    }

    fn list(&mut self, list: &List) -> String {
        let (style, id) = if list.numbered {
            self.lists += 1;
            ("ListNumber", FIRST_LIST + self.lists - 1)
        } else {
            ("ListBullet", BULLETS)
        };
        list.items.iter().map(|each| item(each, style, id)).collect()
    }

    fn chart(&mut self, chart: &Chart) -> Result<String, RenderError> {
        #[expect(clippy::cast_precision_loss, reason = "the width of a page")]
        let drawing = draw(&mut self.shaper, chart, WIDTH as f32 / TWIPS);
        let (bytes, width, height) = png(&self.shaper, &drawing)?;
        let number = self.pictures.len() + 1;
        let id = format!("rIdChart{number}");
        let pic = Pic::new_with_dimensions(Vec::new(), width, height)
            .id(id.clone())
            .size(emu(drawing.width), emu(drawing.height));
        self.pictures.push(Picture { id, bytes });
        let title = clean_line(&chart.title);
        let mut drawn = xml(&styled("Figure").add_run(Run::new().add_image(pic)));
        // docx-rs gives every picture the same number and name, and none a description.
        let description = escape(&format!("{title}. {}", clean_line(&chart.alt)));
        let properties =
            format!("<wp:docPr id=\"{number}\" name=\"Chart {number}\" descr=\"{description}\" />");
        drawn = drawn.replacen("<wp:docPr id=\"1\" name=\"Figure\" />", &properties, 1);
        Ok(text(styled("Caption"), &Text::from(title)) + &drawn)
    }
}

fn heading(level: Heading, words: &str) -> String {
    let style = match level {
        Heading::Section => "Heading1",
        Heading::Part => "Heading2",
        Heading::Detail => "Heading3",
    };
    text(styled(style), &Text::from(words))
}

fn item(item: &Item, style: &str, list: usize) -> String {
    let numbered = styled(style).numbering(NumberingId::new(list), IndentLevel::new(0));
    let details = item.details.iter().map(|detail| text(styled("ListContinue"), detail));
    text(numbered, &item.text) + &details.collect::<String>()
}

fn notice(notice: &Notice) -> String {
    let (style, ink) = match notice.tone {
        Tone::Info => ("NoticeInfo", Ink::Accent),
        Tone::Warning => ("NoticeWarning", Ink::Alert),
    };
    let mut written = gap();
    if !notice.title.is_empty() {
        let title = run(&clean(&notice.title), Style::Bold).color(ink.hex());
        written += &xml(&styled(style).keep_next(true).add_run(title));
    }
    if !notice.text.words().is_empty() {
        written += &text(styled(style), &notice.text);
    }
    written + &gap()
}

/// Keeps frames apart, and tables: one after the other they would become one.
fn gap() -> String {
    xml(&styled("Gap"))
}

fn facts_table(facts: &[(String, Text)]) -> String {
    let longest = facts.iter().map(|(label, _)| label.chars().count()).max().unwrap_or(0).clamp(8, 30);
    let label_width = u32::try_from(longest).unwrap_or(30) * 115 + 240;
    let widths = [label_width, WIDTH - label_width];
    let rows = facts.iter().map(|(label, words)| {
        let label = Text::new().muted(label.clone());
        // Beside its label, whichever way it is read.
        let align = if is_rtl(words) { Align::End } else { Align::Start };
        let cells =
            [cell(&label, widths[0], "TableText", Align::Start), cell(words, widths[1], "TableText", align)];
        TableRow::new(cells.into()).cant_split()
    });
    table(rows.collect(), &widths, TableBorders::with_empty())
}

fn report_table(report: &Table) -> String {
    if report.columns.is_empty() {
        return String::new();
    }
    let widths = widths(report);
    let columns = || report.columns.iter().zip(&widths);
    let ground = Shading::new().shd_type(ShdType::Clear).color("auto").fill(Ink::Shade.hex());
    let head = columns().map(|(column, width)| {
        cell(&Text::from(column.title.clone()), *width, "TableHead", column.align).shading(ground.clone())
    });
    let mut rows = vec![TableRow::new(head.collect()).cant_split()];
    for cells in &report.rows {
        let cells = columns().enumerate().map(|(number, (column, width))| {
            cell(cells.get(number).unwrap_or(&Text::new()), *width, "TableText", column.align)
        });
        rows.push(TableRow::new(cells.collect()).cant_split());
    }
    let line = |position| TableBorder::new(position).size(4).color(Ink::Rule.hex());
    let borders = TableBorders::with_empty()
        .set(line(TableBorderPosition::InsideH))
        .set(line(TableBorderPosition::Bottom));
    // docx-rs has no word for rows that are repeated on every page.
    table(rows, &widths, borders).replacen("<w:trPr>", "<w:trPr><w:tblHeader />", 1)
}

fn table(rows: Vec<TableRow>, widths: &[u32], borders: TableBorders) -> String {
    let table = DocxTable::new(rows)
        .style("TableReport")
        .layout(TableLayoutType::Fixed)
        .width(WIDTH as usize, WidthType::Dxa)
        .set_grid(widths.iter().map(|width| *width as usize).collect())
        .margins(TableCellMargins::new().margin(0, 110, 0, 110))
        .set_borders(borders);
    xml(&table) + &gap()
}

fn widths(table: &Table) -> Vec<u32> {
    let weight = |weight: f32| if weight.is_finite() { weight.clamp(0.05, 100.0) } else { 1.0 };
    let all: f32 = table.columns.iter().map(|column| weight(column.weight)).sum();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "shares of a page"
    )]
    let width = |share: f32| (WIDTH as f32 * share / all) as u32;
    table.columns.iter().map(|column| width(weight(column.weight))).collect()
}

fn cell(words: &Text, width: u32, style: &str, align: Align) -> TableCell {
    let mut paragraph = filled(styled(style), words);
    if align != Align::Start {
        paragraph = paragraph.align(alignment(align));
    }
    TableCell::new()
        .width(width as usize, WidthType::Dxa)
        .vertical_align(VAlignType::Top)
        .add_paragraph(paragraph)
}

/// A paragraph with a text in it.
fn text(paragraph: Paragraph, words: &Text) -> String {
    xml(&filled(paragraph, words))
}

fn filled(mut paragraph: Paragraph, words: &Text) -> Paragraph {
    if is_rtl(words) {
        paragraph.property = paragraph.property.bidi(true);
    }
    for part in &words.runs {
        for piece in directions(&clean(&part.text)) {
            paragraph = paragraph.add_run(run(piece, part.style));
        }
    }
    paragraph
}

fn is_rtl(words: &Text) -> bool {
    is_right_to_left(&clean(&words.words())) == Some(true)
}

/// A run in a look. Line feeds break its line.
pub(super) fn run(words: &str, style: Style) -> Run {
    let mut run = Run::new();
    if is_right_to_left(words) == Some(true) {
        run = run.style("RightToLeft");
    }
    for (number, line) in words.split('\n').enumerate() {
        if number > 0 {
            run = run.add_break(BreakType::TextWrapping);
        }
        run = run.add_text(line);
    }
    match style {
        Style::Plain => run,
        Style::Bold => run.bold(),
        Style::Italic => run.italic(),
        Style::Muted => run.color(Ink::Muted.hex()),
    }
}

/// Cuts a text into parts that begin with a letter of another direction than the part before.
fn directions(text: &str) -> Vec<&str> {
    let mut starts = vec![0];
    let mut current = None;
    for (at, character) in text.char_indices() {
        let direction = is_right_to_left(character.encode_utf8(&mut [0; 4]));
        if direction.is_some() {
            if current.is_some() && current != direction {
                starts.push(at);
            }
            current = direction;
        }
    }
    let ends = starts.iter().skip(1).copied().chain([text.len()]).collect::<Vec<_>>();
    starts
        .into_iter()
        .zip(ends)
        .map(|(start, end)| &text[start..end])
        .filter(|part| !part.is_empty())
        .collect()
}

fn xml(element: &impl BuildXML) -> String {
    in_order(&String::from_utf8_lossy(&element.build()))
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a length on paper")]
fn emu(points: f32) -> u32 {
    (points * EMU) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_change_where_the_direction_does() {
        assert_eq!(directions("abc שלום 12 def"), ["abc ", "שלום 12 ", "def"]);
        assert_eq!(directions("12 – 13"), ["12 – 13"]);
        assert_eq!(directions(""), Vec::<&str>::new());
    }

    #[test]
    fn what_people_write_is_no_markup() {
        let written = text(styled("BodyText"), &Text::from("</w:t><w:p/> & \"x\" =cmd|' /C calc'!A0\nnext"));
        assert!(written.contains("&lt;/w:t&gt;&lt;w:p/&gt; &amp; "), "{written}");
        assert_eq!(written.matches("<w:br ").count(), 1);
    }
}
