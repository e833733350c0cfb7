//! From shapes to printpdf's operations.

use printpdf::{
    Color, FontId, Line, LineDashPattern, LinePoint, Op, PaintMode, PdfFontHandle, Point, Polygon,
    PolygonRing, Pt, Rect, Rgb, TextItem, TextMatrix, WindingOrder,
};

use super::PAGE;
use crate::exports::drawing::Shape;
use crate::exports::ink::Ink;
use crate::exports::lines::Placed;
use crate::exports::shape::{Shaper, Strip};

/// How far a circle's handles are from its points, times its radius.
const HANDLE: f32 = 0.552_284_8;
/// Shifts of less are not written, in thousandths of an em.
const NOTHING: f32 = 0.5;
/// Numbers of glyphs are handed to printpdf as characters of this plane, which is for private use.
const PRIVATE: u32 = 0x10_0000;

/// The operations that draw shapes.
pub(super) fn operations(drawn: &[Shape], shaper: &Shaper<'_>) -> Vec<Op> {
    let mut painter = Painter { shaper, ops: Vec::new(), fill: None, text: None };
    for shape in drawn {
        painter.shape(shape);
    }
    painter.close();
    painter.ops
}

/// The name of a font in the file.
pub(super) fn font_id(face: usize) -> FontId {
    FontId(format!("T{face}"))
}

/// The character that stands for the number of a glyph.
pub(super) fn character(number: u16) -> char {
    char::from_u32(PRIVATE + u32::from(number)).unwrap_or_default()
}

struct Painter<'p, 's> {
    shaper: &'p Shaper<'s>,
    ops: Vec<Op>,
    fill: Option<Ink>,
    text: Option<Open>,
}

/// Text that is being written.
struct Open {
    face: u16,
    size: f32,
    /// Where the next glyph would stand.
    at: (f32, f32),
    items: Vec<TextItem>,
    /// How far the pen is from where it should be, in thousandths of an em.
    debt: f32,
}

impl Painter<'_, '_> {
    fn shape(&mut self, shape: &Shape) {
        match shape {
            Shape::Word { x, y, placed } => self.word((*x, *y), placed),
            Shape::Box { x, y, width, height, ink } => {
                self.close();
                self.fill(*ink);
                let mut rect = Rect::from_wh(Pt(*width), Pt(*height));
                (rect.x, rect.y) = (Pt(*x), Pt(PAGE.1 - y - height));
                (rect.mode, rect.winding_order) = (Some(PaintMode::Fill), Some(WindingOrder::NonZero));
                self.ops.push(Op::DrawRectangle { rectangle: rect });
            }
            Shape::Stroke { points, width, dashed, ink } => self.stroke(points, *width, *dashed, *ink),
            Shape::Dot { x, y, radius, ink } => {
                self.close();
                self.fill(*ink);
                let rings = vec![PolygonRing { points: circle(*x, *y, *radius) }];
                let polygon = Polygon { rings, mode: PaintMode::Fill, winding_order: WindingOrder::NonZero };
                self.ops.push(Op::DrawPolygon { polygon });
            }
        }
    }

    fn stroke(&mut self, points: &[(f32, f32)], width: f32, dashed: bool, ink: Ink) {
        self.close();
        let dash = LineDashPattern::new(0.0, if dashed { &[4.0, 3.0] } else { &[] });
        let points = points.iter().map(|(x, y)| LinePoint { p: point(*x, *y), bezier: false }).collect();
        self.ops.extend([
            Op::SetOutlineColor { col: color(ink) },
            Op::SetOutlineThickness { pt: Pt(width) },
            Op::SetLineDashPattern { dash },
            Op::DrawLine { line: Line { points, is_closed: false } },
        ]);
    }

    fn fill(&mut self, ink: Ink) {
        if self.fill != Some(ink) {
            self.fill = Some(ink);
            self.ops.push(Op::SetFillColor { col: color(ink) });
        }
    }

    fn word(&mut self, (mut x, y): (f32, f32), placed: &Placed) {
        if self.fill != Some(placed.look.ink) {
            self.close();
            self.fill(placed.look.ink);
        }
        for strip in &placed.word.strips {
            self.open(strip.face, placed.look.size, (x, y));
            self.strip(strip);
            x += strip.width * placed.look.size / 1000.0;
            if let Some(open) = &mut self.text {
                open.at = (x, y);
            }
        }
    }

    /// Goes on with the open text where it is of the same font, size and place; else opens another.
    fn open(&mut self, face: u16, size: f32, at: (f32, f32)) {
        let goes_on = self.text.as_ref().is_some_and(|open| {
            open.face == face
                && (open.size - size).abs() < 0.001
                && (open.at.0 - at.0).abs() < 0.02
                && (open.at.1 - at.1).abs() < 0.001
        });
        if !goes_on {
            self.close();
            self.ops.extend([
                Op::StartTextSection,
                Op::SetFont { font: PdfFontHandle::External(font_id(face.into())), size: Pt(size) },
                Op::SetTextMatrix { matrix: TextMatrix::Translate(Pt(at.0), Pt(PAGE.1 - at.1)) },
            ]);
            self.text = Some(Open { face, size, at, items: Vec::new(), debt: 0.0 });
        }
    }

    fn strip(&mut self, strip: &Strip) {
        let (Some(open), Some(used)) = (&mut self.text, self.shaper.used().get(usize::from(strip.face)))
        else {
            return;
        };
        for glyph in &strip.glyphs {
            open.debt += glyph.dx;
            let raised = glyph.dy.abs() >= NOTHING;
            if raised {
                self.ops.extend(open.show());
                self.ops.push(Op::SetLineOffset { multiplier: glyph.dy * open.size / 1000.0 });
            }
            let Some(code) = used.codes.get(usize::from(glyph.code)) else { continue };
            open.push(code.number);
            open.debt += glyph.advance - glyph.dx - f32::from(code.width.max(0));
            if raised {
                self.ops.extend(open.show());
                self.ops.push(Op::SetLineOffset { multiplier: 0.0 });
            }
        }
    }

    fn close(&mut self) {
        if let Some(mut open) = self.text.take() {
            self.ops.extend(open.show());
            self.ops.push(Op::EndTextSection);
        }
    }
}

impl Open {
    fn push(&mut self, number: u16) {
        if self.debt.abs() >= NOTHING {
            // The file takes shifts off the pen's place.
            self.items.push(TextItem::Offset(-self.debt));
            self.debt = 0.0;
        }
        match self.items.last_mut() {
            Some(TextItem::Text(text)) => text.push(character(number)),
            _ => self.items.push(TextItem::Text(character(number).to_string())),
        }
    }

    fn show(&mut self) -> Option<Op> {
        let items = std::mem::take(&mut self.items);
        (!items.is_empty()).then_some(Op::ShowText { items })
    }
}

fn point(x: f32, y: f32) -> Point {
    Point { x: Pt(x), y: Pt(PAGE.1 - y) }
}

fn circle(x: f32, y: f32, radius: f32) -> Vec<LinePoint> {
    let handle = HANDLE * radius;
    let on = |dx, dy| LinePoint { p: point(x + dx, y + dy), bezier: false };
    let off = |dx, dy| LinePoint { p: point(x + dx, y + dy), bezier: true };
    vec![
        on(radius, 0.0),
        off(radius, handle),
        off(handle, radius),
        on(0.0, radius),
        off(-handle, radius),
        off(-radius, handle),
        on(-radius, 0.0),
        off(-radius, -handle),
        off(-handle, -radius),
        on(0.0, -radius),
        off(handle, -radius),
        off(radius, -handle),
        on(radius, 0.0),
    ]
}

fn color(ink: Ink) -> Color {
    let [r, g, b] = ink.rgb().map(|part| f32::from(part) / 255.0);
    Color::Rgb(Rgb { r, g, b, icc_profile: None })
}
