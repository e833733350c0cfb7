//! Checks of short texts that people type.

use crate::error::UserError;

/// A trimmed, non-empty line of at most `max` characters, without control characters (PostgreSQL takes no NUL, and a
/// line break in a name is a mistake).
///
/// # Errors
/// `INVALID_INPUT` on `field`.
pub fn line(field: &'static str, text: &str, max: usize) -> Result<String, UserError> {
    let text = text.trim();
    if text.is_empty() {
        return Err(UserError::invalid(field, format!("`{field}` must not be empty.")));
    }
    if text.chars().count() > max {
        return Err(UserError::invalid(field, format!("`{field}` is longer than {max} characters.")));
    }
    if text.chars().any(char::is_control) {
        return Err(UserError::invalid(field, format!("`{field}` must not contain control characters.")));
    }
    Ok(text.to_owned())
}

/// The pattern of SQL's LIKE for texts that contain `words`: a typed % or _ means itself.
#[must_use]
pub fn pattern(words: &str) -> String {
    let escaped = words.replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_").replace('\0', "");
    format!("%{escaped}%")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_typed_means_itself_in_a_pattern() {
        assert_eq!(pattern("50%_\\\0"), "%50\\%\\_\\\\%");
    }

    #[test]
    fn a_line_is_trimmed_bounded_and_printable() {
        assert_eq!(line("name", "  Zoë 李 ", 200).as_deref(), Ok("Zoë 李"));
        for bad in ["", "   ", "a\0b", "a\nb", &"x".repeat(201)] {
            assert!(line("name", bad, 200).is_err(), "{bad:?}");
        }
    }
}
