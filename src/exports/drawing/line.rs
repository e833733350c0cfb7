//! A figure over time.

use chrono::{Datelike, NaiveDate};

use super::{Anchor, LETTERS, Pen, ROW, Sign};
use crate::exports::chart::LinePlot;
use crate::exports::ink::Ink;

/// Height of the field, in points.
const HEIGHT: f32 = 120.0;
/// Dots on the line.
const DOT: f32 = 2.4;

/// The field that is drawn into, and what its edges stand for.
struct Field {
    left: f32,
    right: f32,
    top: f32,
    first: NaiveDate,
    last: NaiveDate,
    range: (f64, f64),
}

pub(super) fn draw(pen: &mut Pen<'_, '_>, plot: &LinePlot) {
    let known: Vec<(NaiveDate, f64)> =
        plot.points.iter().filter_map(|(day, value)| Some((*day, (*value)?))).collect();
    let trend = if plot.trend { fit(&known) } else { None };
    let legend = [(Sign::Line, plot.name.as_str()), (Sign::Dashes, "Trend")];
    pen.legend(&legend[..if trend.is_some() { 2 } else { 1 }]);

    let widest = plot.ticks.iter().map(|(_, name)| pen.measure(name)).fold(0.0, f32::max);
    let left = (widest + 8.0).min(pen.width() / 3.0);
    let days = plot.points.iter().map(|(day, _)| *day);
    let first = days.clone().min().unwrap_or_default();
    let field = Field {
        left,
        right: pen.width() - 6.0,
        top: ROW + 10.0,
        first,
        last: days.max().unwrap_or(first),
        range: plot.range,
    };
    grid(pen, &field, &plot.ticks);
    for run in plot.points.split(|(_, value)| value.is_none()) {
        let points: Vec<_> = run.iter().filter_map(|(day, value)| Some(field.at(*day, (*value)?))).collect();
        if points.len() > 1 {
            pen.stroke(points, 1.4, Ink::Main);
        }
    }
    if let Some((start, end)) = trend {
        pen.dashes(vec![field.at(field.first, start), field.at(field.last, end)], 1.2, Ink::Third);
    }
    for (day, value) in &known {
        pen.dot(field.at(*day, *value), DOT, Ink::Main);
    }
    labels(pen, &field);
    pen.drawing.height = field.top + HEIGHT + ROW + 4.0;
}

impl Field {
    fn at(&self, day: NaiveDate, value: f64) -> (f32, f32) {
        let span = share((self.last - self.first).num_days(), 1);
        let along = if span > 0.0 { share((day - self.first).num_days(), 1) / span } else { 0.5 };
        let (low, high) = self.range;
        #[expect(clippy::cast_possible_truncation, reason = "a share of a field")]
        let up = if high > low { ((value.clamp(low, high) - low) / (high - low)) as f32 } else { 0.5 };
        let inset = 6.0;
        let width = self.right - self.left - 2.0 * inset;
        (self.left + inset + along * width, self.top + HEIGHT - up * HEIGHT)
    }
}

fn grid(pen: &mut Pen<'_, '_>, field: &Field, ticks: &[(f64, String)]) {
    for (value, name) in ticks {
        let (_, y) = field.at(field.first, *value);
        pen.stroke(vec![(field.left, y), (field.right, y)], 0.5, Ink::Rule);
        let at = (field.left - 5.0, y + LETTERS * 0.35);
        pen.label(name, at, Anchor::End, field.left - 5.0, Ink::Muted);
    }
    let bottom = field.top + HEIGHT;
    pen.stroke(vec![(field.left, bottom), (field.right, bottom)], 0.7, Ink::Muted);
}

/// Days under the axis: so many as fit, evenly apart, the first and the last among them.
fn labels(pen: &mut Pen<'_, '_>, field: &Field) {
    let span = (field.last - field.first).num_days();
    let year = if field.first.year() == field.last.year() { "%-d %b" } else { "%-d %b %Y" };
    let wanted = pen.measure("28 Sep 2026") + 14.0;
    let fits =
        |parts: &u16| i64::from(*parts) <= span && f32::from(*parts) * wanted <= field.right - field.left;
    let parts = [8, 6, 4, 3, 2].into_iter().find(fits).map_or(i64::from(span > 0), i64::from);
    for part in 0..=parts {
        let day = field.first + chrono::TimeDelta::days(if parts == 0 { 0 } else { span * part / parts });
        let (x, _) = field.at(day, field.range.0);
        let text = day.format(year).to_string();
        let half = pen.measure(&text) / 2.0;
        let x = x.clamp(half, pen.width() - half);
        pen.label(&text, (x, field.top + HEIGHT + ROW), Anchor::Middle, wanted, Ink::Muted);
    }
}

/// A straight line by least squares: its value on the first and on the last day. `None` with fewer than two days.
fn fit(points: &[(NaiveDate, f64)]) -> Option<(f64, f64)> {
    let first = points.iter().map(|(day, _)| *day).min()?;
    let x = |day: NaiveDate| f64::from(i32::try_from((day - first).num_days()).unwrap_or(i32::MAX));
    let count = points.iter().map(|_| 1.0).sum::<f64>();
    let mean_x = points.iter().map(|(day, _)| x(*day)).sum::<f64>() / count;
    let mean_y = points.iter().map(|(_, value)| value).sum::<f64>() / count;
    let spread = points.iter().map(|(day, _)| (x(*day) - mean_x).powi(2)).sum::<f64>();
    let together = points.iter().map(|(day, value)| (x(*day) - mean_x) * (value - mean_y)).sum::<f64>();
    let last = points.iter().map(|(day, _)| x(*day)).fold(0.0, f64::max);
    (spread > 0.0).then(|| {
        let slope = together / spread;
        (mean_y - slope * mean_x, mean_y + slope * (last - mean_x))
    })
}

#[expect(clippy::cast_precision_loss, reason = "days of a life")]
fn share(days: i64, of: i64) -> f32 {
    days as f32 / of as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fitted_line_is_that_of_least_squares() {
        let day = |number| NaiveDate::from_ymd_opt(2026, 3, number).expect("a day");
        assert_eq!(fit(&[(day(1), 1.0), (day(3), 3.0)]), Some((1.0, 3.0)));
        let (start, end) = fit(&[(day(1), 2.0), (day(2), 4.0), (day(3), 3.0)]).expect("a line");
        assert!((start - 2.5).abs() < 1e-9 && (end - 3.5).abs() < 1e-9);
        assert_eq!(fit(&[(day(1), 1.0), (day(1), 3.0)]), None);
    }
}
