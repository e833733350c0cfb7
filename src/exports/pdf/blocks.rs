//! From blocks to slabs: type, indents and the room between things.

use std::rc::Rc;

use super::WIDTH;
use super::flow::{Flow, ROOM, Slab};
use crate::exports::chart::Chart;
use crate::exports::clean::{clean_line, is_right_to_left};
use crate::exports::document::{
    Align, Block, Document, Heading, Item, List, Notice, Style, Table, Text, Tone,
};
use crate::exports::drawing::draw;
use crate::exports::ink::Ink;
use crate::exports::lines::{Line, Look, Span, break_lines};
use crate::exports::shape::Shaper;

/// Letters of the text, in points.
const BODY: f32 = 10.0;
/// Letters of what is beside the point.
const SMALL: f32 = 8.5;
/// From base line to base line, times the letters.
const LEADING: f32 = 1.45;
/// Where the base line lies in a line, times its height.
const BASE: f32 = 0.74;
/// Between blocks.
const GAP: f32 = 8.0;
/// From a list's edge to its items.
const INDENT: f32 = 18.0;
/// From a frame to what is in it.
const PADDING: f32 = 9.0;
/// From a cell's edge to what is in it: at its sides, above and below.
const CELL: (f32, f32) = (6.0, 4.0);
/// The edge of a notice.
const EDGE: f32 = 3.0;

/// Sets blocks into a flow.
pub(super) struct Setter<'f, 's> {
    shaper: &'f mut Shaper<'s>,
    flow: &'f mut Flow,
}

impl<'f, 's> Setter<'f, 's> {
    pub(super) fn new(shaper: &'f mut Shaper<'s>, flow: &'f mut Flow) -> Self {
        Self { shaper, flow }
    }

    /// The title, what stands under it, and who vouches for it all.
    pub(super) fn title(&mut self, document: &Document) {
        let title = Look::new(21.0).bold().ink(Ink::Accent);
        let slabs = self.lines(&[Span::new(&clean_line(&document.title), title)], 0.0, WIDTH);
        let subtitle = Span::new(&clean_line(&document.subtitle), Look::new(12.0).ink(Ink::Muted));
        self.add_all(slabs, true);
        if !subtitle.text.is_empty() {
            let slabs = self.lines(&[subtitle], 0.0, WIDTH);
            self.add_all(slabs, true);
        }
        let mut rule = Slab::new(6.0);
        rule.rectangle((0.0, 4.0), (WIDTH, 1.4), Ink::Accent);
        self.flow.add(rule);
        if let Some(notice) = document.review.notice() {
            self.notice(&notice);
        }
    }

    pub(super) fn block(&mut self, block: &Block) {
        match block {
            Block::Heading(level, text) => self.heading(*level, text),
            Block::Paragraph(text) => self.paragraph(text),
            Block::List(list) => self.list(list),
            Block::Facts(facts) => self.facts(facts),
            Block::Table(table) => self.table(table),
            Block::Chart(chart) => self.chart(chart),
            Block::Notice(notice) => self.notice(notice),
            Block::PageBreak => self.flow.break_page(),
        }
    }

    fn heading(&mut self, level: Heading, text: &str) {
        let (size, before, after, ink) = match level {
            Heading::Section => (15.0, 22.0, 2.0, Ink::Accent),
            Heading::Part => (11.5, 15.0, 0.0, Ink::Accent),
            Heading::Detail => (10.0, 11.0, 0.0, Ink::Text),
        };
        let mut slabs = self.lines(&[Span::new(text, Look::new(size).bold().ink(ink))], 0.0, WIDTH);
        let title = clean_line(text);
        let bookmark = (level < Heading::Detail && !title.is_empty()).then_some((level as usize, title));
        if let Some(first) = slabs.first_mut() {
            (first.before, first.mark) = (before, bookmark);
        }
        if let Some(last) = slabs.last_mut() {
            last.height += after;
            if level == Heading::Section {
                last.rectangle((0.0, last.height), (WIDTH, 0.6), Ink::Rule);
                last.height += 2.0;
            }
        }
        self.add_all(slabs, true);
    }

    fn paragraph(&mut self, text: &Text) {
        let mut slabs = self.lines(&spans(text, Look::new(BODY)), 0.0, WIDTH);
        open(&mut slabs, GAP);
        self.add_paragraph(slabs);
    }

    fn list(&mut self, list: &List) {
        for (number, item) in list.items.iter().enumerate() {
            let marker = if list.numbered { format!("{}.", number + 1) } else { "•".into() };
            self.item(item, &marker, if number == 0 { GAP } else { 3.5 });
        }
    }

    fn item(&mut self, item: &Item, marker: &str, before: f32) {
        let right_to_left = is_right_to_left(&item.text.words()).unwrap_or(false);
        let (x, room) = (if right_to_left { 0.0 } else { INDENT }, WIDTH - INDENT);
        let mut slabs = self.lines(&spans(&item.text, Look::new(BODY)), x, room);
        let marker = Span::new(marker, Look::new(BODY).ink(Ink::Accent));
        let marker = break_lines(self.shaper, &[marker], INDENT, right_to_left).pop().unwrap_or_default();
        if let Some(first) = slabs.first_mut() {
            let x = if right_to_left { WIDTH - INDENT + 8.0 } else { INDENT - 6.0 - marker.width };
            first.words(&marker, x, BODY * LEADING * BASE);
        }
        open(&mut slabs, before);
        for detail in &item.details {
            let look = Look::new(SMALL).ink(Ink::Muted);
            let mut lines = self.lines(&spans(detail, look), x, room);
            open(&mut lines, 1.0);
            slabs.extend(lines);
        }
        self.add_paragraph(slabs);
    }

    fn facts(&mut self, facts: &[(String, Text)]) {
        let look = Look::new(BODY);
        let label_look = Look::new(BODY).ink(Ink::Muted);
        let labels: Vec<Vec<Line>> = facts
            .iter()
            .map(|(label, _)| break_lines(self.shaper, &[Span::new(label, label_look)], WIDTH / 3.0, false))
            .collect();
        let widest = labels.iter().flatten().map(|line| line.width).fold(0.0, f32::max);
        let (x, height) = (widest + 16.0, BODY * LEADING);
        for (number, ((_, text), label)) in facts.iter().zip(&labels).enumerate() {
            let mut slabs = self.lines_at_start(&spans(text, look), x, WIDTH - x);
            while slabs.len() < label.len() {
                slabs.push(Slab::new(height));
            }
            for (slab, line) in slabs.iter_mut().zip(label) {
                slab.words(line, 0.0, height * BASE);
            }
            open(&mut slabs, if number == 0 { GAP } else { 1.5 });
            self.add_paragraph(slabs);
        }
    }

    fn notice(&mut self, notice: &Notice) {
        let (ground, edge, ink) = match notice.tone {
            Tone::Info => (Ink::InfoGround, Ink::Main, Ink::Accent),
            Tone::Warning => (Ink::WarningGround, Ink::WarningEdge, Ink::Alert),
        };
        let (x, room) = (EDGE + PADDING, WIDTH - EDGE - 2.0 * PADDING);
        let mut slabs = Vec::new();
        if !notice.title.is_empty() {
            slabs.extend(self.lines(&[Span::new(&notice.title, Look::new(BODY).bold().ink(ink))], x, room));
        }
        if !notice.text.words().is_empty() {
            slabs.extend(self.lines(&spans(&notice.text, Look::new(SMALL + 0.5)), x, room));
        }
        let Some(last) = slabs.len().checked_sub(1) else { return };
        for (number, slab) in slabs.iter_mut().enumerate() {
            if number == 0 {
                *slab = lowered(slab, PADDING - 2.0);
                slab.before = GAP + 2.0;
            }
            if number == last {
                slab.height += PADDING - 2.0;
            }
            // Grounds reach a little under the next line's, so that no light shines through.
            let height = slab.height + if number == last { 0.0 } else { 0.4 };
            let words = std::mem::take(&mut slab.shapes);
            slab.rectangle((0.0, 0.0), (WIDTH, height), ground);
            slab.rectangle((0.0, 0.0), (EDGE, height), edge);
            slab.shapes.extend(words);
        }
        self.add_paragraph(slabs);
        self.flow.add(Slab::new(2.0));
    }

    fn chart(&mut self, chart: &Chart) {
        let title = Span::new(&clean_line(&chart.title), Look::new(BODY).bold());
        if !title.text.is_empty() {
            let mut slabs = self.lines(&[title], 0.0, WIDTH);
            open(&mut slabs, GAP + 4.0);
            self.add_all(slabs, true);
        }
        let drawing = draw(self.shaper, chart, WIDTH);
        self.flow.add(Slab { before: 4.0, shapes: drawing.shapes, ..Slab::new(drawing.height + 4.0) });
    }

    fn table(&mut self, table: &Table) {
        if table.columns.is_empty() {
            return;
        }
        let columns = columns(table);
        let titles = table.columns.iter().map(|column| {
            let look = Look::new(SMALL + 0.5).bold();
            vec![Span::new(&column.title, look)]
        });
        let mut head = self.row(&titles.collect::<Vec<_>>(), table, &columns, 0..usize::MAX).0;
        let shapes = std::mem::take(&mut head.shapes);
        head.rectangle((0.0, 0.0), (WIDTH, head.height), Ink::Shade);
        head.rectangle((0.0, head.height - 0.9), (WIDTH, 0.9), Ink::Muted);
        head.shapes.extend(shapes);
        let head = Rc::new(head);
        let first = Slab { before: GAP + 2.0, keep: true, ..copy(&head) };
        self.flow.add(first);
        if table.rows.is_empty() {
            self.flow.add(Slab::new(2.0));
        }
        for cells in &table.rows {
            let cells = (0..table.columns.len()).map(|column| {
                cells.get(column).map(|text| spans(text, Look::new(SMALL + 0.5))).unwrap_or_default()
            });
            self.table_row(&cells.collect::<Vec<_>>(), table, &columns, &head);
        }
    }

    /// A row, in as many parts as it takes where it is longer than a page.
    fn table_row(&mut self, cells: &[Vec<Span>], table: &Table, columns: &[(f32, f32)], head: &Rc<Slab>) {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "lines of a page")]
        let most = ((ROOM - head.height - 2.0 * CELL.1) / ((SMALL + 0.5) * LEADING)) as usize;
        let (mut start, mut more) = (0, true);
        while more {
            let (mut slab, lines) = self.row(cells, table, columns, start..start + most.max(1));
            start += most.max(1);
            more = lines > start;
            slab.rectangle((0.0, slab.height - 0.5), (WIDTH, 0.5), Ink::Rule);
            slab.head = Some(head.clone());
            self.flow.add(slab);
        }
    }

    /// Some lines of a row, and how many its longest cell has.
    fn row(
        &mut self,
        cells: &[Vec<Span>],
        table: &Table,
        columns: &[(f32, f32)],
        shown: std::ops::Range<usize>,
    ) -> (Slab, usize) {
        let height = (SMALL + 0.5) * LEADING;
        let mut slab = Slab::default();
        let (mut most, mut longest) = (1, 0);
        for ((spans, column), (x, width)) in cells.iter().zip(&table.columns).zip(columns) {
            let room = width - 2.0 * CELL.0;
            let lines = break_lines(self.shaper, spans, room, false);
            longest = longest.max(lines.len());
            let lines = lines.iter().skip(shown.start).take(shown.len());
            for (number, line) in lines.enumerate() {
                most = most.max(number + 1);
                let free = room - line.width;
                let indent = match (column.align, line.right_to_left) {
                    (Align::Start, false) | (Align::End, true) => 0.0,
                    (Align::Center, _) => free / 2.0,
                    (Align::End, false) | (Align::Start, true) => free,
                };
                slab.words(line, x + CELL.0 + indent, CELL.1 + height * (float(number) + BASE));
            }
        }
        slab.height = height * float(most) + 2.0 * CELL.1;
        (slab, longest)
    }

    /// Lines of text, from right to left at the right edge, each a slab.
    fn lines(&mut self, spans: &[Span], x: f32, width: f32) -> Vec<Slab> {
        self.set(spans, x, width, true)
    }

    /// The same, at the left edge whatever their direction.
    fn lines_at_start(&mut self, spans: &[Span], x: f32, width: f32) -> Vec<Slab> {
        self.set(spans, x, width, false)
    }

    fn set(&mut self, spans: &[Span], x: f32, width: f32, to_the_right: bool) -> Vec<Slab> {
        let size = spans.iter().map(|span| span.look.size).fold(0.0, f32::max);
        let height = size * LEADING;
        let lines = break_lines(self.shaper, spans, width, false);
        let slab = |line: &Line| {
            let mut slab = Slab::new(height);
            let indent = if line.right_to_left && to_the_right { width - line.width } else { 0.0 };
            slab.words(line, x + indent, height * BASE);
            slab
        };
        lines.iter().map(slab).collect()
    }

    /// Adds a paragraph's lines. Neither its first nor its last stands alone on a page.
    fn add_paragraph(&mut self, mut slabs: Vec<Slab>) {
        let count = slabs.len();
        for (number, slab) in slabs.iter_mut().enumerate() {
            slab.keep = number + 1 < count && (number == 0 || number + 2 == count);
        }
        for slab in slabs {
            self.flow.add(slab);
        }
    }

    /// Adds slabs that stay together, and with what follows them where `keep` is set.
    fn add_all(&mut self, slabs: Vec<Slab>, keep: bool) {
        let count = slabs.len();
        for (number, mut slab) in slabs.into_iter().enumerate() {
            slab.keep = keep || number + 1 < count;
            self.flow.add(slab);
        }
    }
}

/// A text's runs, each in its look.
fn spans(text: &Text, look: Look) -> Vec<Span> {
    let styled = |style| match style {
        Style::Plain => look,
        Style::Bold => look.bold(),
        Style::Italic => look.italic(),
        Style::Muted => look.ink(Ink::Muted),
    };
    text.runs.iter().map(|run| Span::new(&run.text, styled(run.style))).collect()
}

/// Each column's left edge and width.
fn columns(table: &Table) -> Vec<(f32, f32)> {
    let weight = |weight: f32| if weight.is_finite() { weight.clamp(0.05, 100.0) } else { 1.0 };
    let all: f32 = table.columns.iter().map(|column| weight(column.weight)).sum();
    let mut x = 0.0;
    let place = |column: &crate::exports::document::Column| {
        let (left, width) = (x, WIDTH * weight(column.weight) / all);
        x += width;
        (left, width)
    };
    table.columns.iter().map(place).collect()
}

fn open(slabs: &mut [Slab], before: f32) {
    if let Some(first) = slabs.first_mut() {
        first.before = before;
    }
}

/// A slab with room above what it shows.
fn lowered(slab: &Slab, down: f32) -> Slab {
    let shapes = slab.shapes.iter().map(|shape| shape.moved(0.0, down)).collect();
    Slab { shapes, ..Slab::new(slab.height + down) }
}

fn copy(slab: &Slab) -> Slab {
    lowered(slab, 0.0)
}

#[expect(clippy::cast_precision_loss, reason = "lines of a page")]
fn float(count: usize) -> f32 {
    count as f32
}
