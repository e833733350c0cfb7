//! Bars that lie, each with its name at the left and its size at the right.

use super::{Anchor, LETTERS, Pen, size};
use crate::exports::chart::BarPlot;
use crate::exports::ink::Ink;

/// From one bar to the next, in points.
const STEP: f32 = 17.0;
const THICK: f32 = 9.0;

pub(super) fn draw(pen: &mut Pen<'_, '_>, plot: &BarPlot) {
    let most = plot.bars.iter().map(|(_, value)| *value).max().unwrap_or(0).max(1);
    let names = plot.bars.iter().map(|(name, _)| pen.measure(name)).fold(0.0, f32::max);
    let left = names.min(pen.width() * 0.4) + 8.0;
    let numbers = plot.bars.iter().map(|(_, value)| pen.measure(&value.to_string())).fold(0.0, f32::max);
    let room = (pen.width() - left - numbers - 8.0).max(0.0);
    for (number, (name, value)) in plot.bars.iter().enumerate() {
        let middle = STEP * (super::float(number) + 0.5) + 2.0;
        let base = middle + LETTERS * 0.35;
        pen.label(name, (left - 8.0, base), Anchor::End, left - 8.0, Ink::Text);
        let length = size(*value) / size(most) * room;
        if length > 0.0 {
            pen.rectangle((left, middle - THICK / 2.0), (length, THICK), Ink::Main);
        }
        pen.label(&value.to_string(), (left + length + 5.0, base), Anchor::Start, numbers + 1.0, Ink::Muted);
    }
    let height = STEP * super::float(plot.bars.len()) + 4.0;
    pen.stroke(vec![(left, 0.0), (left, height)], 0.7, Ink::Muted);
    pen.drawing.height = height;
}
