//! A drawing as dots.

use harfrust::font::glyph::outline::{DrawMemory, DrawOptions, PathSink};
use tiny_skia::{
    Color, FillRule, LineCap, LineJoin, Paint, PathBuilder, Pixmap, Rect, Stroke, StrokeDash, Transform,
};

use super::RenderError;
use super::drawing::{Drawing, Shape};
use super::ink::Ink;
use super::lines::Placed;
use super::shape::{Shaper, Strip};

/// Dots an inch: crisp in print.
pub(super) const RESOLUTION: f32 = 220.0;

/// Draws on white paper; the file is a PNG. Gives its width and height in dots, too.
pub(super) fn png(shaper: &Shaper<'_>, drawing: &Drawing) -> Result<(Vec<u8>, u32, u32), RenderError> {
    let scale = RESOLUTION / 72.0;
    let (width, height) = (dots(drawing.width * scale), dots(drawing.height * scale));
    let problem = |what: &str| RenderError::Assembly(format!("a chart of {width} x {height} dots {what}"));
    let mut paper = Pixmap::new(width, height).ok_or_else(|| problem("cannot be drawn"))?;
    paper.fill(Color::WHITE);
    for shape in &drawing.shapes {
        draw(&mut paper, shaper, shape, Transform::from_scale(scale, scale));
    }
    let png = paper.encode_png().map_err(|_| problem("cannot be written"))?;
    Ok((png, width, height))
}

fn draw(paper: &mut Pixmap, shaper: &Shaper<'_>, shape: &Shape, scale: Transform) {
    match shape {
        Shape::Box { x, y, width, height, ink } => {
            if let Some(rect) = Rect::from_xywh(*x, *y, *width, *height) {
                paper.fill_rect(rect, &paint(*ink), scale, None);
            }
        }
        Shape::Stroke { points, width, dashed, ink } => {
            let dash = if *dashed { StrokeDash::new(vec![4.0, 3.0], 0.0) } else { None };
            let (line_cap, line_join) = (LineCap::Butt, LineJoin::Round);
            let stroke = Stroke { width: *width, line_cap, line_join, dash, ..Stroke::default() };
            if let Some(path) = polyline(points) {
                paper.stroke_path(&path, &paint(*ink), &stroke, scale, None);
            }
        }
        Shape::Dot { x, y, radius, ink } => {
            if let Some(path) = PathBuilder::from_circle(*x, *y, *radius) {
                paper.fill_path(&path, &paint(*ink), FillRule::Winding, scale, None);
            }
        }
        Shape::Word { x, y, placed } => word(paper, shaper, placed, scale.pre_translate(*x, *y)),
    }
}

fn polyline(points: &[(f32, f32)]) -> Option<tiny_skia::Path> {
    let mut path = PathBuilder::new();
    for (number, (x, y)) in points.iter().enumerate() {
        if number == 0 { path.move_to(*x, *y) } else { path.line_to(*x, *y) }
    }
    path.finish()
}

fn word(paper: &mut Pixmap, shaper: &Shaper<'_>, placed: &Placed, at: Transform) {
    let mut x = 0.0;
    for strip in &placed.word.strips {
        if let Some(path) = outlines(shaper, strip, x, placed.look.size) {
            paper.fill_path(&path, &paint(placed.look.ink), FillRule::Winding, at, None);
        }
        x += strip.width * placed.look.size / 1000.0;
    }
}

/// The outlines of glyphs, side by side.
fn outlines(shaper: &Shaper<'_>, strip: &Strip, mut x: f32, size: f32) -> Option<tiny_skia::Path> {
    let used = &shaper.used()[usize::from(strip.face)];
    let face = &used.face;
    let outlines = face.font.outline_glyphs();
    let mut path = PathBuilder::new();
    for glyph in &strip.glyphs {
        let (left, base) = (x + glyph.dx * size / 1000.0, -glyph.dy * size / 1000.0);
        let mut sink = Sink { path: &mut path, x: left, y: base, scale: size / face.units() };
        if let Some(outline) = outlines.get(used.codes[usize::from(glyph.code)].glyph.into()) {
            // A glyph that cannot be drawn leaves its place empty.
            let _drawn = outline.draw(&DrawOptions::new(), DrawMemory::Scratch, &mut sink);
        }
        x += glyph.advance * size / 1000.0;
    }
    path.finish()
}

/// Turns outlines over: fonts count upwards, paper downwards.
struct Sink<'p> {
    path: &'p mut PathBuilder,
    x: f32,
    y: f32,
    scale: f32,
}

impl Sink<'_> {
    fn at(&self, x: f32, y: f32) -> (f32, f32) {
        (self.x + x * self.scale, self.y - y * self.scale)
    }
}

impl PathSink for Sink<'_> {
    fn move_to(&mut self, x: f32, y: f32) {
        let (x, y) = self.at(x, y);
        self.path.move_to(x, y);
    }

    fn line_to(&mut self, x: f32, y: f32) {
        let (x, y) = self.at(x, y);
        self.path.line_to(x, y);
    }

    fn quad_to(&mut self, cx0: f32, cy0: f32, x: f32, y: f32) {
        let ((cx, cy), (x, y)) = (self.at(cx0, cy0), self.at(x, y));
        self.path.quad_to(cx, cy, x, y);
    }

    fn curve_to(&mut self, cx0: f32, cy0: f32, cx1: f32, cy1: f32, x: f32, y: f32) {
        let ((ax, ay), (bx, by), (x, y)) = (self.at(cx0, cy0), self.at(cx1, cy1), self.at(x, y));
        self.path.cubic_to(ax, ay, bx, by, x, y);
    }

    fn close(&mut self) {
        self.path.close();
    }
}

fn paint(ink: Ink) -> Paint<'static> {
    let mut paint = Paint { anti_alias: true, ..Paint::default() };
    let [red, green, blue] = ink.rgb();
    paint.set_color_rgba8(red, green, blue, 255);
    paint
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a size on paper; floats saturate"
)]
fn dots(length: f32) -> u32 {
    (length.ceil() as u32).max(1)
}
