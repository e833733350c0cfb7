//! What stands on every page: who, about whom, since when, and how far.

use super::flow::{Page, words};
use super::{BOTTOM, LEFT, PAGE, WIDTH};
use crate::exports::clean::clean_line;
use crate::exports::document::{Document, Review, day};
use crate::exports::drawing::Shape;
use crate::exports::ink::Ink;
use crate::exports::lines::{Look, Span, one_line};
use crate::exports::shape::Shaper;

/// Letters of heads and feet, in points.
const LETTERS: f32 = 8.0;
/// Base line of the head.
const HEAD: f32 = 46.0;
/// Base line of the foot.
const FOOT: f32 = PAGE.1 - BOTTOM + 32.0;

/// The head and the foot of a page.
pub(super) fn page(shaper: &mut Shaper<'_>, document: &Document, number: usize, of: usize) -> Page {
    let mut page = Page::default();
    let muted = Look::new(LETTERS).ink(Ink::Muted);
    let half = WIDTH / 2.0 - 8.0;
    let mut put = |text: &str, look: Look, y: f32, room: f32, at_end: bool| {
        let line = one_line(shaper, &Span::new(&clean_line(text), look), room, false);
        let x = if at_end { LEFT + WIDTH - line.width } else { LEFT };
        page.shapes.extend(words(&line, x, y));
        line.width
    };
    put(&document.practice, muted.bold(), HEAD, half, false);
    put(&document.subject, muted, HEAD, half, true);

    let pages = put(&format!("Page {number} of {of}"), muted, FOOT, half, true);
    let issued = put(&format!("Issued {}", day(document.issued)), muted, FOOT, half, false);
    let review = document.review.line();
    if !review.is_empty() {
        let look = if document.review == Review::Draft { muted.bold().ink(Ink::Alert) } else { muted };
        let room = WIDTH - pages - issued - 40.0;
        let line = one_line(shaper, &Span::new(&clean_line(&review), look), room, false);
        let x = LEFT + issued + 20.0 + (room - line.width) / 2.0;
        page.shapes.extend(words(&line, x, FOOT));
    }
    for y in [HEAD + 8.0, FOOT - 16.0] {
        page.shapes.push(Shape::Box { x: LEFT, y, width: WIDTH, height: 0.6, ink: Ink::Rule });
    }
    page
}
