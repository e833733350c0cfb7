//! Removes the files that nothing needs any more. An attempt that follows a crash looks at everything again: what is gone is
//! no longer there to be found.

use async_trait::async_trait;

use super::{Handler, JobError};
use crate::actor::{Actor, Origin};
use crate::app::App;
use crate::cleanup::{Errand, Wanted};
use crate::error::Result;
use crate::queue::jobs::CleanUp;
use crate::queue::{Job, Lease};

#[async_trait]
impl Handler for CleanUp {
    async fn run(&self, app: &App, lease: &Lease) -> Result<(), JobError> {
        let origin = Origin { request_id: lease.id.clone(), ..Origin::default() };
        let errand = Errand { actor: &Actor::System { job: Self::KIND }, origin: &origin, until: None };
        let wanted = Wanted { parts: self.parts, therapist_id: self.therapist_id, dry_run: false };
        if app.cleanup.run(errand, wanted).await?.is_complete {
            return Ok(());
        }
        Err(JobError::Retry { message: "The file store could not be looked through.".into(), after: None })
    }

    async fn give_up(&self, _: &App, _: &Lease, message: &str) -> Result<()> {
        // The next day tries again.
        tracing::error!(message, "files that nothing needs were not removed");
        Ok(())
    }
}
