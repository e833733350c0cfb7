//! A chart as shapes. Whoever has a pen can draw them: the PDF as they are, the DOCX as dots.

use super::chart::{Chart, Hue, Plot};
use super::ink::Ink;
use super::lines::{Look, Placed, Span, one_line};
use super::shape::Shaper;

mod bars;
mod line;
mod stacked;

/// Letters in charts, in points.
const LETTERS: f32 = 8.0;
/// Room for one line of them.
const ROW: f32 = 13.0;

/// Shapes in points, from the upper left corner.
#[derive(Debug)]
pub(super) struct Drawing {
    pub(super) width: f32,
    pub(super) height: f32,
    pub(super) shapes: Vec<Shape>,
}

/// A shape.
#[derive(Debug)]
pub(super) enum Shape {
    /// A filled rectangle.
    Box { x: f32, y: f32, width: f32, height: f32, ink: Ink },
    /// A line through points.
    Stroke { points: Vec<(f32, f32)>, width: f32, dashed: bool, ink: Ink },
    /// A filled circle.
    Dot { x: f32, y: f32, radius: f32, ink: Ink },
    /// A word, `y` being its base line.
    Word { x: f32, y: f32, placed: Placed },
}

/// Where a label stands from its point.
#[derive(Clone, Copy)]
enum Anchor {
    Start,
    Middle,
    End,
}

/// Draws.
struct Pen<'p, 's> {
    shaper: &'p mut Shaper<'s>,
    drawing: Drawing,
}

/// Draws a chart, `width` points wide. Its title is not in it: that is the document's to set.
pub(super) fn draw(shaper: &mut Shaper<'_>, chart: &Chart, width: f32) -> Drawing {
    let mut pen = Pen { shaper, drawing: Drawing { width, height: 0.0, shapes: Vec::new() } };
    match &chart.plot {
        Plot::Line(plot) => line::draw(&mut pen, plot),
        Plot::Stacked(plot) => stacked::draw(&mut pen, plot),
        Plot::Bars(plot) => bars::draw(&mut pen, plot),
    }
    pen.drawing
}

impl Pen<'_, '_> {
    fn width(&self) -> f32 {
        self.drawing.width
    }

    fn rectangle(&mut self, (x, y): (f32, f32), (width, height): (f32, f32), ink: Ink) {
        self.drawing.shapes.push(Shape::Box { x, y, width, height, ink });
    }

    fn stroke(&mut self, points: Vec<(f32, f32)>, width: f32, ink: Ink) {
        self.drawing.shapes.push(Shape::Stroke { points, width, dashed: false, ink });
    }

    fn dashes(&mut self, points: Vec<(f32, f32)>, width: f32, ink: Ink) {
        self.drawing.shapes.push(Shape::Stroke { points, width, dashed: true, ink });
    }

    fn dot(&mut self, (x, y): (f32, f32), radius: f32, ink: Ink) {
        self.drawing.shapes.push(Shape::Dot { x, y, radius, ink });
    }

    /// Writes a label of at most `room` points, its base line at `y`; gives its width.
    fn label(&mut self, text: &str, (x, y): (f32, f32), anchor: Anchor, room: f32, ink: Ink) -> f32 {
        let line = one_line(self.shaper, &Span::new(text, Look::new(LETTERS).ink(ink)), room, false);
        let left = match anchor {
            Anchor::Start => x,
            Anchor::Middle => x - line.width / 2.0,
            Anchor::End => x - line.width,
        };
        for placed in line.words {
            self.drawing.shapes.push(Shape::Word { x: left + placed.x, y, placed });
        }
        line.width
    }

    /// The width of a label.
    fn measure(&mut self, text: &str) -> f32 {
        one_line(self.shaper, &Span::new(text, Look::new(LETTERS)), f32::MAX, false).width
    }

    /// Explains colours and dashes, at the top: each with its sign, side by side.
    fn legend(&mut self, entries: &[(Sign, &str)]) {
        let mut x = 0.0;
        let y = LETTERS + 1.0;
        for (sign, name) in entries {
            let middle = y - LETTERS * 0.35;
            match sign {
                Sign::Box(ink) => self.rectangle((x + 4.0, middle - 3.5), (7.0, 7.0), *ink),
                Sign::Line => {
                    self.stroke(vec![(x, middle), (x + 14.0, middle)], 1.4, Ink::Main);
                    self.dot((x + 7.0, middle), 2.2, Ink::Main);
                }
                Sign::Dashes => self.dashes(vec![(x, middle), (x + 14.0, middle)], 1.2, Ink::Third),
            }
            x += 18.0;
            x += self.label(name, (x, y), Anchor::Start, (self.width() - x).max(0.0), Ink::Muted) + 16.0;
        }
    }
}

/// What a legend explains.
enum Sign {
    Box(Ink),
    Line,
    Dashes,
}

impl From<Hue> for Ink {
    fn from(hue: Hue) -> Self {
        match hue {
            Hue::Main => Self::Main,
            Hue::Second => Self::Second,
            Hue::Third => Self::Third,
        }
    }
}

/// Whole numbers from 0 to at least `highest`, about five of them, evenly apart; the last one is the end of the axis.
fn scale(highest: u32) -> Vec<u32> {
    let highest = u64::from(highest.max(1));
    let power = 10_u64.pow(highest.ilog10());
    let steps = [1, 2, 5].into_iter().flat_map(|unit| [power / 10 * unit, power * unit]);
    let step = steps.filter(|step| *step > 0 && highest.div_ceil(*step) <= 5).min().unwrap_or(highest);
    (0..=highest.div_ceil(step)).map(|number| u32::try_from(number * step).unwrap_or(u32::MAX)).collect()
}

/// Every how many of `count` labels one can stand, where each needs `wanted` points of `room`.
fn every(count: usize, wanted: f32, room: f32) -> usize {
    let fitting = (room / wanted.max(1.0)).max(1.0);
    let doubled = std::iter::successors(Some(1), |step| Some(step * 2)).take_while(|step| *step < count);
    doubled.into_iter().find(|step| float(count) / float(*step) <= fitting).unwrap_or(count).max(1)
}

#[expect(clippy::cast_precision_loss, reason = "counts of a chart are small")]
fn float(count: usize) -> f32 {
    count as f32
}

#[expect(clippy::cast_precision_loss, reason = "what is drawn need not be exact beyond seven digits")]
fn size(value: u32) -> f32 {
    value as f32
}

#[cfg(test)]
mod tests {
    use chrono::NaiveDate;

    use super::super::chart::{LinePlot, Series, StackedPlot};
    use super::super::fonts::Fonts;
    use super::*;

    fn drawn(chart: &Chart) -> Drawing {
        let fonts = Fonts::without_the_machines(None);
        draw(&mut Shaper::new(&fonts, "en"), chart, 400.0)
    }

    fn mood(points: &[(u32, Option<f64>)], trend: bool) -> Chart {
        let day = |day| NaiveDate::from_ymd_opt(2026, 3, day).expect("a day");
        let points = points.iter().map(|(number, value)| (day(*number), *value)).collect();
        let ticks = vec![(1.0, "Very low".into()), (5.0, "Very good".into())];
        Chart::line("Mood", "", LinePlot { range: (1.0, 5.0), ticks, points, trend, name: "Mood".into() })
    }

    fn strokes(drawing: &Drawing, drawn: bool, of: Ink) -> Vec<usize> {
        let strokes = drawing.shapes.iter().filter_map(|shape| match shape {
            Shape::Stroke { points, dashed, ink, .. } if *dashed != drawn && *ink == of => Some(points.len()),
            _ => None,
        });
        strokes.collect()
    }

    #[test]
    fn scales_are_round_and_reach_the_highest() {
        assert_eq!(scale(0), [0, 1]);
        assert_eq!(scale(3), [0, 1, 2, 3]);
        assert_eq!(scale(7), [0, 2, 4, 6, 8]);
        assert_eq!(scale(23), [0, 5, 10, 15, 20, 25]);
        assert_eq!(scale(1000), [0, 200, 400, 600, 800, 1000]);
        assert_eq!(scale(u32::MAX).last(), Some(&u32::MAX));
    }

    #[test]
    fn a_gap_breaks_the_line_and_no_point_is_lost() {
        let drawing = drawn(&mood(
            &[(1, Some(2.0)), (5, Some(3.0)), (9, None), (12, Some(4.0)), (15, Some(4.0))],
            false,
        ));
        // The first stroke stands in the legend.
        assert_eq!(strokes(&drawing, true, Ink::Main), [2, 2, 2]);
        let dots = drawing.shapes.iter().filter(|shape| matches!(shape, Shape::Dot { .. })).count();
        assert_eq!(dots, 1 + 4);
    }

    #[test]
    fn a_trend_needs_two_days() {
        assert_eq!(
            strokes(&drawn(&mood(&[(1, Some(2.0)), (8, Some(4.0))], true)), false, Ink::Third),
            [2, 2]
        );
        assert_eq!(strokes(&drawn(&mood(&[(1, Some(2.0))], true)), false, Ink::Third), [0; 0]);
        assert_eq!(strokes(&drawn(&mood(&[], true)), false, Ink::Third), [0; 0]);
    }

    #[test]
    fn boxes_are_as_high_as_what_they_stand_for() {
        let series =
            |name: &str, values: &[u32], hue| Series { name: name.into(), values: values.into(), hue };
        let series = vec![series("Completed", &[2, 4], Hue::Main), series("Cancelled", &[1], Hue::Second)];
        let plot = StackedPlot { labels: vec!["1 June".into(), "8 June".into()], series };
        let drawing = drawn(&Chart::stacked("Sessions", "", plot));
        let heights = |of| {
            let boxes = drawing.shapes.iter().filter_map(move |shape| match shape {
                Shape::Box { height, ink, .. } if *ink == of => Some(*height),
                _ => None,
            });
            // The first one stands in the legend.
            boxes.skip(1).collect::<Vec<_>>()
        };
        let (main, second) = (heights(Ink::Main), heights(Ink::Second));
        assert!((main[1] - 2.0 * main[0]).abs() < 0.01 && (main[0] - 2.0 * second[0]).abs() < 0.01);
        assert_eq!(second.len(), 1);
    }

    #[test]
    fn nothing_stands_outside_the_drawing() {
        let bars =
            (0..8).map(|number| (format!("{number} {}", "a long name of a topic ".repeat(9)), number * 7));
        for chart in [mood(&[(1, Some(1.0)), (30, Some(5.0))], true), Chart::bars("Topics", "", bars)] {
            let drawing = drawn(&chart);
            for shape in &drawing.shapes {
                let (left, right, top, bottom) = match shape {
                    Shape::Box { x, y, width, height, .. } => (*x, x + width, *y, y + height),
                    Shape::Dot { x, y, radius, .. } => (x - radius, x + radius, y - radius, y + radius),
                    Shape::Word { x, y, placed } => {
                        (*x, x + placed.word.width * placed.look.size / 1000.0, y - LETTERS, y + 2.0)
                    }
                    Shape::Stroke { points, .. } => {
                        let xs = points.iter().map(|point| point.0);
                        let ys = points.iter().map(|point| point.1);
                        (
                            xs.clone().fold(f32::MAX, f32::min),
                            xs.fold(0.0, f32::max),
                            ys.clone().fold(f32::MAX, f32::min),
                            ys.fold(0.0, f32::max),
                        )
                    }
                };
                assert!(left >= -0.1 && right <= drawing.width + 0.1, "{shape:?}");
                assert!(top >= -0.1 && bottom <= drawing.height + 0.1, "{shape:?}");
            }
        }
    }
}
