//! Where pages end.

use std::rc::Rc;

use super::{BOTTOM, LEFT, PAGE, TOP};
use crate::exports::drawing::Shape;
use crate::exports::ink::Ink;
use crate::exports::lines::{Line, Placed};

/// How much may stand on a page, in points.
pub(super) const ROOM: f32 = PAGE.1 - TOP - BOTTOM;

/// A page's shapes, in points from the upper left corner of the paper.
#[derive(Debug, Default)]
pub(super) struct Page {
    pub(super) shapes: Vec<Shape>,
    pub(super) marks: Vec<Mark>,
}

/// A place that a bookmark leads to.
#[derive(Clone, Debug)]
pub(super) struct Mark {
    pub(super) title: String,
    /// 0 for sections, 1 for their parts.
    pub(super) level: usize,
    /// From the paper's upper edge.
    pub(super) y: f32,
}

/// What is never divided between pages: a line, a row, a chart. Its shapes are in points from its upper left corner.
#[derive(Debug, Default)]
pub(super) struct Slab {
    pub(super) height: f32,
    /// Room above it, except at the top of a page.
    pub(super) before: f32,
    pub(super) shapes: Vec<Shape>,
    /// Stays on one page with what follows.
    pub(super) keep: bool,
    pub(super) mark: Option<(usize, String)>,
    /// What is repeated above it where it begins a page.
    pub(super) head: Option<Rc<Slab>>,
}

/// Puts slabs onto pages.
pub(super) struct Flow {
    page: Page,
    y: f32,
    full: Vec<Page>,
    /// Slabs that stay together, as long as more may come.
    chain: Vec<Slab>,
}

impl Flow {
    pub(super) fn new() -> Self {
        Self { page: Page::default(), y: 0.0, full: Vec::new(), chain: Vec::new() }
    }

    /// Pages that are complete.
    pub(super) fn full(&mut self) -> &mut Vec<Page> {
        &mut self.full
    }

    /// Adds what comes next.
    pub(super) fn add(&mut self, slab: Slab) {
        let last = !slab.keep;
        self.chain.push(slab);
        if last {
            self.place_chain();
        }
    }

    /// Lets what comes next begin a page.
    pub(super) fn break_page(&mut self) {
        self.place_chain();
        if self.y > 0.0 {
            self.turn();
        }
    }

    /// Ends the last page. There is always one.
    pub(super) fn finish(&mut self) {
        self.place_chain();
        if self.y > 0.0 || self.full.is_empty() {
            self.turn();
        }
    }

    fn place_chain(&mut self) {
        let chain = std::mem::take(&mut self.chain);
        let height: f32 = chain.iter().map(|slab| slab.before + slab.height).sum();
        let head = chain.first().and_then(|slab| slab.head.as_ref()).map_or(0.0, |head| head.height);
        if self.y > 0.0 && self.y + height > ROOM && height + head <= ROOM {
            self.turn();
        }
        for slab in chain {
            self.place(slab);
        }
    }

    fn place(&mut self, slab: Slab) {
        if self.y > 0.0 && self.y + slab.before + slab.height > ROOM {
            self.turn();
        }
        if self.y > 0.0 {
            self.y += slab.before;
        } else if let Some(head) = &slab.head {
            self.draw(head.shapes.iter().map(|shape| shape.moved(0.0, 0.0)));
            self.y += head.height;
        }
        if let Some((level, title)) = slab.mark {
            self.page.marks.push(Mark { title, level, y: TOP + self.y });
        }
        self.draw(slab.shapes.into_iter());
        self.y += slab.height;
    }

    fn draw(&mut self, shapes: impl Iterator<Item = Shape>) {
        let y = TOP + self.y;
        self.page.shapes.extend(shapes.map(|shape| shape.moved(LEFT, y)));
    }

    fn turn(&mut self) {
        self.full.push(std::mem::take(&mut self.page));
        self.y = 0.0;
    }
}

impl Slab {
    /// Room for something.
    pub(super) fn new(height: f32) -> Self {
        Self { height, ..Self::default() }
    }

    /// Draws a line of words, its left edge at `x`, its base line at `y`.
    pub(super) fn words(&mut self, line: &Line, x: f32, y: f32) {
        self.shapes.extend(words(line, x, y));
    }

    /// Draws a filled rectangle.
    pub(super) fn rectangle(&mut self, (x, y): (f32, f32), (width, height): (f32, f32), ink: Ink) {
        self.shapes.push(Shape::Box { x, y, width, height, ink });
    }
}

/// A line's words as shapes.
pub(super) fn words(line: &Line, x: f32, y: f32) -> impl Iterator<Item = Shape> {
    line.words.iter().map(move |placed| Shape::Word { x: x + placed.x, y, placed: placed.clone() })
}

impl Shape {
    /// The same shape elsewhere.
    pub(super) fn moved(&self, right: f32, down: f32) -> Self {
        match self {
            Self::Box { x, y, width, height, ink } => {
                Self::Box { x: x + right, y: y + down, width: *width, height: *height, ink: *ink }
            }
            Self::Stroke { points, width, dashed, ink } => Self::Stroke {
                points: points.iter().map(|(x, y)| (x + right, y + down)).collect(),
                width: *width,
                dashed: *dashed,
                ink: *ink,
            },
            Self::Dot { x, y, radius, ink } => {
                Self::Dot { x: x + right, y: y + down, radius: *radius, ink: *ink }
            }
            Self::Word { x, y, placed } => Self::Word {
                x: x + right,
                y: y + down,
                placed: Placed { word: placed.word.clone(), ..*placed },
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slab(height: f32, keep: bool) -> Slab {
        let mut slab = Slab { keep, ..Slab::new(height) };
        slab.rectangle((0.0, 0.0), (10.0, height), Ink::Rule);
        slab
    }

    /// Upper edges of what stands on each page.
    fn pages(slabs: Vec<Slab>) -> Vec<Vec<f32>> {
        let mut flow = Flow::new();
        for slab in slabs {
            flow.add(slab);
        }
        flow.finish();
        let edges = |page: &Page| {
            let edges = page.shapes.iter().filter_map(|shape| match shape {
                Shape::Box { y, .. } => Some(y - TOP),
                _ => None,
            });
            edges.collect()
        };
        flow.full().iter().map(edges).collect()
    }

    #[test]
    fn what_does_not_fit_goes_to_the_next_page() {
        assert_eq!(
            pages(vec![slab(400.0, false), slab(290.0, false), slab(10.0, false)]),
            [vec![0.0, 400.0], vec![0.0]]
        );
    }

    #[test]
    fn what_stays_together_goes_together() {
        assert_eq!(
            pages(vec![slab(600.0, false), slab(20.0, true), slab(100.0, false)]),
            [vec![0.0], vec![0.0, 20.0]]
        );
    }

    #[test]
    fn what_is_longer_than_a_page_is_divided_after_all() {
        let chain = (0..4).map(|number| slab(300.0, number < 3)).collect();
        assert_eq!(pages(chain), [vec![0.0, 300.0], vec![0.0, 300.0]]);
    }

    #[test]
    fn room_above_is_left_out_at_the_top_of_a_page() {
        let below = Slab { before: 30.0, ..slab(100.0, false) };
        assert_eq!(pages(vec![slab(100.0, false), below]), [[0.0, 130.0]]);
        let below = Slab { before: 30.0, ..slab(100.0, false) };
        assert_eq!(pages(vec![slab(650.0, false), below]), [[0.0], [0.0]]);
    }

    #[test]
    fn the_head_of_a_table_is_repeated() {
        let head = Rc::new(slab(20.0, false));
        let rows = (0..3).map(|_| Slab { head: Some(head.clone()), ..slab(300.0, false) });
        let first = std::iter::once(slab(20.0, true));
        assert_eq!(pages(first.chain(rows).collect()), [vec![0.0, 20.0, 320.0], vec![0.0, 20.0]]);
    }

    #[test]
    fn there_is_always_a_page() {
        assert_eq!(pages(Vec::new()).len(), 1);
    }
}
