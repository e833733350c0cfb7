//! Works out the figures that a change concerns.

use async_trait::async_trait;

use super::{Handler, JobError};
use crate::app::App;
use crate::error::Result;
use crate::queue::Lease;
use crate::queue::jobs::RefreshAnalytics;

#[async_trait]
impl Handler for RefreshAnalytics {
    async fn run(&self, app: &App, lease: &Lease) -> Result<(), JobError> {
        Ok(app.analytics.refresh(lease, self.run_id).await?)
    }

    async fn give_up(&self, app: &App, lease: &Lease, message: &str) -> Result<()> {
        app.analytics.fail(lease, self.run_id, message).await
    }
}
