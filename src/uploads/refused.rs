//! Why something of an upload was refused, in words for whoever sends it.

use crate::entity::unfinished_upload::Model;
use crate::error::{Code, Error, UserError};

/// Why a request of an upload was not served.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// Missing or not the asker's: both read the same.
    #[error("There is no such upload.")]
    NotFound,
    /// It was there.
    #[error("This upload has ended. Begin a new one.")]
    Gone,
    /// The upload ends elsewhere.
    #[error("The upload ends elsewhere. Ask where (HEAD), and go on there.")]
    Moved,
    /// Larger than any recording may be.
    #[error("A recording may have {} MB at most.", .max >> 20)]
    TooLarge {
        /// Bytes that are allowed.
        max: u64,
    },
    /// Too many uploads of this therapist are open.
    #[error("You have {max} unfinished uploads. Finish or delete one first.")]
    TooMany {
        /// How many are allowed.
        max: u32,
    },
    /// The open uploads of this therapist are too large together.
    #[error("Your unfinished uploads may have {} MB together. Finish or delete one first.", .max >> 20)]
    TooMuch {
        /// Bytes that are allowed.
        max: u64,
    },
    /// The upload came in too many parts.
    #[error("This upload came in too many small parts. Begin a new one, and send more at a time.")]
    TooManyParts,
    /// The length was said before.
    #[error("The length of an upload cannot be changed, nor be less than what has arrived.")]
    LengthChanged,
    /// Anything else.
    #[error(transparent)]
    Other(#[from] Error),
}

impl From<sea_orm::DbErr> for Refused {
    fn from(error: sea_orm::DbErr) -> Self {
        Self::Other(error.into())
    }
}

pub(super) fn no_such_upload() -> Error {
    UserError::not_found("upload").on("uploadId").into()
}

pub(super) fn used() -> Error {
    let message = "This upload was used for a session already.";
    UserError::new(Code::InvalidState, message).on("uploadId").into()
}

pub(super) fn incomplete(upload: &Model, missing: Option<i64>) -> Error {
    let message = match (missing, upload.length) {
        (Some(missing), Some(length)) => {
            format!("The upload is not complete: {missing} of {length} bytes are missing. Send them first.")
        }
        _ => "The upload is not complete: how long it is has not been said yet. Send the rest first."
            .to_owned(),
    };
    UserError::new(Code::InvalidState, message).on("uploadId").into()
}
