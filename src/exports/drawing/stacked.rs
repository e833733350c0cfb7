//! Parts of a whole, side by side.

use super::{Anchor, LETTERS, Pen, ROW, Sign, every, float, scale, size};
use crate::exports::chart::StackedPlot;
use crate::exports::ink::Ink;

/// Height of the field, in points.
const HEIGHT: f32 = 110.0;
/// The widest a bar gets.
const WIDEST: f32 = 26.0;

pub(super) fn draw(pen: &mut Pen<'_, '_>, plot: &StackedPlot) {
    let legend: Vec<_> =
        plot.series.iter().map(|series| (Sign::Box(series.hue.into()), series.name.as_str())).collect();
    pen.legend(&legend);

    let value = |series: usize, bar: usize| plot.series[series].values.get(bar).copied().unwrap_or(0);
    let total = |bar| (0..plot.series.len()).map(|series| value(series, bar)).fold(0, u32::saturating_add);
    let numbers = scale((0..plot.labels.len()).map(total).max().unwrap_or(0));
    let most = size(numbers.last().copied().unwrap_or(1).max(1));
    let left = numbers.iter().map(|number| pen.measure(&number.to_string())).fold(0.0, f32::max) + 8.0;
    let (right, top) = (pen.width(), ROW + 10.0);
    let bottom = top + HEIGHT;
    for number in &numbers {
        let y = bottom - size(*number) / most * HEIGHT;
        pen.stroke(vec![(left, y), (right, y)], 0.5, Ink::Rule);
        pen.label(&number.to_string(), (left - 5.0, y + LETTERS * 0.35), Anchor::End, left, Ink::Muted);
    }

    let step = (right - left) / float(plot.labels.len().max(1));
    let bar_width = (step * 0.62).min(WIDEST);
    let widest = plot.labels.iter().map(|label| pen.measure(label)).fold(0.0, f32::max) + 8.0;
    let shown = every(plot.labels.len(), widest, right - left);
    for (bar, label) in plot.labels.iter().enumerate() {
        let middle = left + step * (float(bar) + 0.5);
        let mut y = bottom;
        for series in 0..plot.series.len() {
            let height = size(value(series, bar)) / most * HEIGHT;
            if height > 0.0 {
                y -= height;
                pen.rectangle(
                    (middle - bar_width / 2.0, y),
                    (bar_width, height),
                    plot.series[series].hue.into(),
                );
            }
        }
        if bar % shown == 0 {
            let half = pen.measure(label).min(widest) / 2.0;
            let x = middle.clamp(half, (right - half).max(half));
            pen.label(label, (x, bottom + ROW), Anchor::Middle, step * float(shown), Ink::Muted);
        }
    }
    pen.stroke(vec![(left, bottom), (right, bottom)], 0.7, Ink::Muted);
    pen.drawing.height = bottom + ROW + 4.0;
}
