//! All of a DOCX but its text: styles, numbering, head and foot.

use docx_rs::{
    AbstractNumbering, AlignmentType, BorderType, Docx, Footer, Header, IndentLevel, Level, LevelJc,
    LevelOverride, LevelText, LineSpacing, LineSpacingType, NumPages, NumberFormat, Numbering, NumberingId,
    PageMargin, PageNum, Paragraph, ParagraphBorder, ParagraphBorderPosition, ParagraphBorders,
    ParagraphProperty, Run, RunFonts, Shading, ShdType, SpecialIndentType, Start, Style, StyleType, Tab,
    TabValueType, TableProperty,
};

use super::assembly;
use super::body::run;
use crate::exports::RenderError;
use crate::exports::clean::clean_line;
use crate::exports::document::{Document, Review, Style as Look, day};
use crate::exports::ink::Ink;

const HEAD_ID: &str = "7F000001";
const FOOT_ID: &str = "7F000002";
const REVIEW_ID: &str = "7F000003";
/// Widths and lengths are in twentieths of a point.
pub(super) const TWIPS: f32 = 20.0;
/// A4.
const PAGE: (u32, u32) = (11_906, 16_838);
const SIDE: i32 = 1_360;
/// How wide lines are.
pub(super) const WIDTH: u32 = 11_906 - 2 * 1_360;
/// From a list's edge to its items.
pub(super) const INDENT: i32 = 360;

/// Numbering of bullets; lists with numbers have one each, from [`FIRST_LIST`] on.
/// docx-rs keeps the first one for itself.
pub(super) const BULLETS: usize = 2;
pub(super) const FIRST_LIST: usize = 3;
/// What they are made of.
const KINDS: (usize, usize) = (2, 3);

/// The font of every text: it has the scripts we write, and every office program knows it or one as wide.
const FONT: &str = "Arial";

/// A packed DOCX without text. Its numbering has so many lists with numbers.
pub(super) fn parts(document: &Document, lists: usize) -> Result<Vec<u8>, RenderError> {
    let line = LineSpacing::new().line_rule(LineSpacingType::Auto).line(276).after(0);
    let mut docx = Docx::new()
        .page_size(PAGE.0, PAGE.1)
        .page_margin(margins())
        .default_size(20)
        .default_fonts(RunFonts::new().ascii(FONT).hi_ansi(FONT).east_asia(FONT).cs(FONT))
        .default_line_spacing(line)
        .header(head(document))
        .footer(foot(document));
    for style in styles() {
        docx = docx.add_style(style);
    }
    docx = docx
        .add_abstract_numbering(levels(KINDS.0, "bullet", "•"))
        .add_abstract_numbering(levels(KINDS.1, "decimal", "%1."))
        .add_numbering(Numbering::new(BULLETS, KINDS.0));
    for list in 0..lists {
        let anew = vec![LevelOverride::new(0).start(1)];
        docx = docx.add_numbering(Numbering::new(FIRST_LIST + list, KINDS.1).overrides(anew));
    }
    // Only where a paragraph has a number does docx-rs write the numbering down; the text is put in its place later.
    docx = docx.add_paragraph(Paragraph::new().numbering(NumberingId::new(BULLETS), IndentLevel::new(0)));
    let mut packed = std::io::Cursor::new(Vec::new());
    docx.build().pack(&mut packed).map_err(assembly)?;
    Ok(packed.into_inner())
}

fn margins() -> PageMargin {
    PageMargin::new().top(1_560).bottom(1_400).left(SIDE).right(SIDE).header(720).footer(700)
}

fn head(document: &Document) -> Header {
    let paragraph = numbered(HEAD_ID, "Header").add_tab(right());
    let paragraph = paragraph.add_run(run(&clean_line(&document.practice), Look::Bold));
    let paragraph = paragraph.add_run(Run::new().add_tab());
    Header::new().add_paragraph(paragraph.add_run(run(&clean_line(&document.subject), Look::Plain)))
}

fn foot(document: &Document) -> Footer {
    let paragraph = numbered(FOOT_ID, "Footer")
        .add_tab(right())
        .add_run(Run::new().add_text(format!("Issued {}", day(document.issued))))
        .add_run(Run::new().add_tab().add_text("Page "))
        .add_page_num(PageNum::new())
        .add_run(Run::new().add_text(" of "))
        .add_num_pages(NumPages::new());
    let review = run(&clean_line(&document.review.line()), Look::Plain);
    let review =
        if document.review == Review::Draft { review.bold().color(Ink::Alert.hex()) } else { review };
    Footer::new().add_paragraph(paragraph).add_paragraph(numbered(REVIEW_ID, "Footer").add_run(review))
}

/// Paragraphs have numbers in a file; docx-rs would give these those of the text's first ones.
fn numbered(id: &str, style: &str) -> Paragraph {
    styled(style).id(id)
}

fn right() -> Tab {
    Tab::new().val(TabValueType::Right).pos(WIDTH as usize)
}

fn levels(id: usize, format: &str, text: &str) -> AbstractNumbering {
    let level =
        Level::new(0, Start::new(1), NumberFormat::new(format), LevelText::new(text), LevelJc::new("start"));
    let hanging = Some(SpecialIndentType::Hanging(INDENT));
    AbstractNumbering::new(id)
        .add_level(level.indent(Some(INDENT), hanging, None, None).color(Ink::Accent.hex()))
}

fn styles() -> Vec<Style> {
    let mut styles = vec![
        heading("Title", "Title", 42, (0, 40)),
        paragraph("Subtitle", "Subtitle", (0, 160)).size(24).color(Ink::Muted.hex()),
        heading("Heading1", "heading 1", 30, (440, 80)).outline_lvl(0),
        heading("Heading2", "heading 2", 23, (300, 60)).outline_lvl(1),
        heading("Heading3", "heading 3", 20, (220, 40)).outline_lvl(2).color(Ink::Text.hex()),
        paragraph("BodyText", "Body Text", (80, 80)),
        paragraph("ListBullet", "List Bullet", (30, 30)),
        paragraph("ListNumber", "List Number", (30, 30)),
        paragraph("ListContinue", "List Continue", (0, 40)).size(17).color(Ink::Muted.hex()).indent(
            Some(INDENT),
            None,
            None,
            None,
        ),
        kept(paragraph("Caption", "caption", (240, 80)).bold()),
        paragraph("Figure", "Figure", (0, 160)),
        paragraph("TableText", "Table Text", (40, 40)).size(18),
        kept(paragraph("TableHead", "Table Head", (60, 60)).size(18).bold()),
        gap(),
        paragraph("Header", "header", (0, 0)).size(16).color(Ink::Muted.hex()),
        paragraph("Footer", "footer", (0, 0)).size(16).color(Ink::Muted.hex()),
        notice("NoticeInfo", "Notice Info", Ink::InfoGround, Ink::Main),
        notice("NoticeWarning", "Notice Warning", Ink::WarningGround, Ink::WarningEdge),
        Style::new("TableReport", StyleType::Table)
            .name("Table Report")
            .table_property(TableProperty::without_borders()),
        Style::new("RightToLeft", StyleType::Character).name("Right To Left"),
    ];
    let under = |style: &mut Style, position, space, ink: Ink, size| {
        let border =
            ParagraphBorder::new(position).val(BorderType::Single).size(size).space(space).color(ink.hex());
        style.paragraph_property = std::mem::take(&mut style.paragraph_property)
            .set_borders(ParagraphBorders::with_empty().set(border));
    };
    under(&mut styles[1], ParagraphBorderPosition::Bottom, 4, Ink::Accent, 12);
    under(&mut styles[2], ParagraphBorderPosition::Bottom, 3, Ink::Rule, 4);
    styles
}

fn paragraph(id: &str, name: &str, (before, after): (u32, u32)) -> Style {
    let spacing = LineSpacing::new().line_rule(LineSpacingType::Auto).line(276).before(before).after(after);
    Style::new(id, StyleType::Paragraph).name(name).based_on("Normal").line_spacing(spacing)
}

/// A line of hardly any height, which keeps frames and tables apart.
fn gap() -> Style {
    let spacing = LineSpacing::new().line_rule(LineSpacingType::Exact).line(120).before(0).after(0);
    Style::new("Gap", StyleType::Paragraph).name("Gap").based_on("Normal").line_spacing(spacing).size(4)
}

fn heading(id: &str, name: &str, size: usize, room: (u32, u32)) -> Style {
    kept(paragraph(id, name, room).size(size).bold().color(Ink::Accent.hex()).next("BodyText"))
}

/// A style whose paragraphs stay with what follows.
fn kept(mut style: Style) -> Style {
    style.paragraph_property = style.paragraph_property.keep_next(true).keep_lines(true);
    style
}

fn notice(id: &str, name: &str, ground: Ink, edge: Ink) -> Style {
    let mut style = paragraph(id, name, (0, 0)).size(19).indent(Some(170), None, Some(170), None);
    let border = |position, ink: Ink, size, space| {
        ParagraphBorder::new(position).val(BorderType::Single).size(size).space(space).color(ink.hex())
    };
    // Grounds of paragraphs one after the other are one, as long as their borders are the same.
    let borders = ParagraphBorders::with_empty()
        .set(border(ParagraphBorderPosition::Left, edge, 24, 6))
        .set(border(ParagraphBorderPosition::Top, ground, 4, 5))
        .set(border(ParagraphBorderPosition::Bottom, ground, 4, 5))
        .set(border(ParagraphBorderPosition::Right, ground, 4, 6));
    let shading = Shading::new().shd_type(ShdType::Clear).color("auto").fill(ground.hex());
    style.paragraph_property =
        style.paragraph_property.set_borders(borders).shading(shading).keep_lines(true);
    style
}

/// The alignment of a column.
pub(super) fn alignment(align: crate::exports::document::Align) -> AlignmentType {
    match align {
        crate::exports::document::Align::Start => AlignmentType::Start,
        crate::exports::document::Align::Center => AlignmentType::Center,
        crate::exports::document::Align::End => AlignmentType::End,
    }
}

/// A paragraph's properties, in a style of which there is a definition here.
pub(super) fn styled(style: &str) -> Paragraph {
    let mut paragraph = Paragraph::new();
    paragraph.property = ParagraphProperty::new().style(style);
    paragraph
}
