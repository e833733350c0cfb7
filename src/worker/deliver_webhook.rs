//! Tells a webhook of what happened.

use async_trait::async_trait;

use super::{Handler, JobError};
use crate::app::App;
use crate::error::Result;
use crate::queue::Lease;
use crate::queue::jobs::DeliverWebhook;
use crate::webhooks::dispatch::Attempted;

#[async_trait]
impl Handler for DeliverWebhook {
    async fn run(&self, app: &App, lease: &Lease) -> Result<(), JobError> {
        match app.webhooks.attempt(lease, self).await? {
            Attempted::Ended => Ok(()),
            Attempted::PutOff => Err(JobError::PutOff),
        }
    }

    /// Faults of ours, again and again: an attempt that failed, which others follow.
    async fn give_up(&self, app: &App, lease: &Lease, _: &str) -> Result<()> {
        app.webhooks.give_up_attempt(lease, self).await
    }

    /// Requests wait for others, and hold nothing meanwhile.
    fn at_a_time(app: &App) -> usize {
        app.config.webhooks.concurrency.get()
    }
}
