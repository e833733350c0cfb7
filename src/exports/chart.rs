//! Drawings of figures: what a chart shows, in figures and words.

use chrono::NaiveDate;
use serde::Serialize;

/// A chart.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Chart {
    /// Stands above it.
    pub title: String,
    /// What it shows, in words, for those who cannot see it.
    pub alt: String,
    /// What is drawn.
    pub plot: Plot,
}

/// What a chart draws.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub enum Plot {
    /// A figure over time: the mood.
    Line(LinePlot),
    /// Parts of a whole, side by side over time: what became of each week's sessions.
    Stacked(StackedPlot),
    /// Bars that lie: how often what was mentioned.
    Bars(BarPlot),
}

/// A figure over time, with days as far apart as they are.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LinePlot {
    /// The lowest and the highest value there can be.
    pub range: (f64, f64),
    /// Names of values on the axis, where they are more than numbers: `(1.0, "Very low")`.
    pub ticks: Vec<(f64, String)>,
    /// Each day's value, in order; `None` breaks the line.
    pub points: Vec<(NaiveDate, Option<f64>)>,
    /// Whether a straight line through the points is drawn, fitted by least squares.
    pub trend: bool,
    /// What the values are, for the legend.
    pub name: String,
}

/// Parts of a whole, side by side.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StackedPlot {
    /// What stands under each bar.
    pub labels: Vec<String>,
    /// The parts, bottom to top.
    pub series: Vec<Series>,
}

/// One part of each bar.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Series {
    /// Its name, for the legend.
    pub name: String,
    /// Its size in each bar; what is missing counts as nothing.
    pub values: Vec<u32>,
    /// Its colour.
    pub hue: Hue,
}

/// A colour with a meaning. In print without colours they differ in brightness.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Hue {
    /// What is as it should be.
    Main,
    /// What is less so.
    Second,
    /// What stands out.
    Third,
}

/// Bars that lie.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct BarPlot {
    /// Name and size of each, from the top.
    pub bars: Vec<(String, u32)>,
}

impl Chart {
    /// A line over time.
    pub fn line(title: impl Into<String>, alt: impl Into<String>, plot: LinePlot) -> Self {
        Self { title: title.into(), alt: alt.into(), plot: Plot::Line(plot) }
    }

    /// Stacked bars.
    pub fn stacked(title: impl Into<String>, alt: impl Into<String>, plot: StackedPlot) -> Self {
        Self { title: title.into(), alt: alt.into(), plot: Plot::Stacked(plot) }
    }

    /// Lying bars.
    pub fn bars(
        title: impl Into<String>,
        alt: impl Into<String>,
        bars: impl IntoIterator<Item = (String, u32)>,
    ) -> Self {
        let bars = BarPlot { bars: bars.into_iter().collect() };
        Self { title: title.into(), alt: alt.into(), plot: Plot::Bars(bars) }
    }
}
