//! Makes the document that a therapist asked for.

use async_trait::async_trait;

use super::{Handler, JobError};
use crate::app::App;
use crate::error::{Error, Result};
use crate::queue::Lease;
use crate::queue::jobs::ExportDocument;

/// What a job says when its file could not be stored, again and again.
const NO_STORE: &str = "The document could not be stored, because the file store is full or does not answer. Ask for it again \
                        later; if it fails again, tell whoever runs this server.";
#[async_trait]
impl Handler for ExportDocument {
    async fn run(&self, app: &App, lease: &Lease) -> Result<(), JobError> {
        app.exports.produce(lease, self.job_id).await.map_err(|error| match error {
            Error::Storage(cause) => {
                tracing::error!(error = ?cause, "the file store failed");
                JobError::Retry { message: NO_STORE.into(), after: None }
            }
            other => other.into(),
        })
    }

    async fn give_up(&self, app: &App, lease: &Lease, message: &str) -> Result<()> {
        app.exports.fail(lease, self.job_id, message).await
    }
}
