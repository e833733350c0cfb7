//! A document as a PDF.
//!
//! Pages are laid out one by one, turned into printpdf's operations a few at a time, and kept compressed, so that memory
//! hardly grows with the document. What goes into every page's head and foot ("3 of 7") is written when the last one stands.

use self::blocks::Setter;
use self::file::File;
use self::flow::{Flow, Page};
use super::document::Document;
use super::shape::Shaper;
use super::{Fonts, RenderError, Rendered, Warning, share};

mod blocks;
mod file;
mod flow;
mod furniture;
mod paint;
mod subset;

/// A4, in points.
const PAGE: (f32, f32) = (595.28, 841.89);
/// From the paper's edges to the text, in points.
const LEFT: f32 = 68.0;
const TOP: f32 = 78.0;
const BOTTOM: f32 = 70.0;
/// How wide lines may be.
const WIDTH: f32 = PAGE.0 - 2.0 * LEFT;

/// So many pages are turned into operations in one go.
const BATCH: usize = 16;
/// The share of the work that is done when the last block is laid out.
const LAID_OUT: f32 = 0.95;

/// Makes a PDF of a document. Tells `progress` how much is done, from 0 to 1.
///
/// # Errors
/// [`RenderError`] where a font or the file cannot be put together; no document is at fault for that.
pub fn render(
    document: &Document,
    fonts: &Fonts,
    progress: &mut dyn FnMut(f32),
) -> Result<Rendered, RenderError> {
    let mut shaper = Shaper::new(fonts, &document.language);
    let mut file = File::default();
    let mut flow = Flow::new();
    for (number, block) in document.blocks.iter().enumerate() {
        if number == 0 {
            Setter::new(&mut shaper, &mut flow).title(document);
        }
        Setter::new(&mut shaper, &mut flow).block(block);
        if flow.full().len() >= BATCH {
            file.add(&mut flow, &shaper);
        }
        progress(LAID_OUT * share(number + 1, document.blocks.len()));
    }
    if document.blocks.is_empty() {
        Setter::new(&mut shaper, &mut flow).title(document);
    }
    flow.finish();
    file.add(&mut flow, &shaper);

    let count = file.pages();
    let furniture: Vec<Page> =
        (1..=count).map(|number| furniture::page(&mut shaper, document, number, count)).collect();
    file.dress(&furniture, &shaper);
    let missing = shaper.missing();
    let bytes = file.write(document, &shaper)?;
    progress(1.0);
    let warnings = if missing.is_empty() { Vec::new() } else { vec![Warning::MissingCharacters(missing)] };
    Ok(Rendered { bytes, pages: Some(count), warnings })
}
