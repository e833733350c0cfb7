//! A document as a DOCX.
//!
//! docx-rs makes the parts: styles, numbering, head and foot once, then each block by itself, which goes straight into the
//! compressed file, so that memory hardly grows with the document.

use self::body::Body;
use self::package::Package;
use super::document::{Block, Document, List};
use super::{Fonts, RenderError, Rendered, Warning};

mod body;
mod order;
mod package;
mod shell;

/// Makes a DOCX of a document. Tells `progress` how much is done, from 0 to 1.
///
/// # Errors
/// [`RenderError`] where the file cannot be put together; no document is at fault for that.
pub fn render(
    document: &Document,
    fonts: &Fonts,
    progress: &mut dyn FnMut(f32),
) -> Result<Rendered, RenderError> {
    let mut package = Package::new(document, shell::parts(document, numbered(document))?)?;
    let mut body = Body::new(fonts, &document.language);
    package.write(&body.title(document)?)?;
    for (number, block) in document.blocks.iter().enumerate() {
        package.write(&body.block(block)?)?;
        progress(super::share(number + 1, document.blocks.len()));
    }
    let missing = body.missing();
    let bytes = package.finish(body.into_pictures())?;
    progress(1.0);
    // Letters of the text are for whoever opens the file to find; only charts are drawn here.
    let warnings = if missing.is_empty() { Vec::new() } else { vec![Warning::MissingCharacters(missing)] };
    Ok(Rendered { bytes, pages: None, warnings })
}

/// How many lists begin to count anew.
fn numbered(document: &Document) -> usize {
    document.blocks.iter().filter(|block| matches!(block, Block::List(List { numbered: true, .. }))).count()
}

fn assembly(error: impl std::fmt::Display) -> RenderError {
    RenderError::Assembly(error.to_string())
}
