//! Makes a file of a document, of whichever format was asked for.

use super::document::Document;
use super::{Fonts, RenderError, Rendered, docx, pdf};
use crate::entity::export_job::Format;

/// Makes the file. Tells how much is done, from 0 to 1.
///
/// # Errors
/// [`RenderError`]; no document is at fault for that.
pub(super) fn render(
    document: &Document,
    format: Format,
    fonts: &Fonts,
    progress: &mut dyn FnMut(f32),
) -> Result<Rendered, RenderError> {
    match format {
        Format::Pdf => pdf::render(document, fonts, progress),
        Format::Docx => docx::render(document, fonts, progress),
    }
}
