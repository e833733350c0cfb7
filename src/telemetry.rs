//! Logs and metrics. Ids only: nothing about a patient stands in a log line.

use std::time::Duration;

use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, fmt};

use crate::config::LogConfig;

/// Time between two sweeps of the collected samples.
const UPKEEP: Duration = Duration::from_secs(5);
/// At `debug` this library tells which addresses are connected to: those of webhooks are nobody's business.
const DISCREET: &str = "hyper_util::client=info";

/// Starts logging to standard error, as text for people or as JSON for machines.
///
/// # Errors
/// When `LOG_LEVEL` is no filter, or logging has started before.
pub fn init_logs(config: &LogConfig) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(&config.filter).map_err(|error| anyhow::anyhow!("LOG_LEVEL: {error}"))?;
    let filter = filter.add_directive(DISCREET.parse()?);
    let writer = fmt::layer().with_writer(std::io::stderr);
    let layer = if config.json { writer.json().boxed() } else { writer.boxed() };
    tracing_subscriber::registry().with(filter).with(layer).try_init()?;
    Ok(())
}

/// Starts collecting metrics, inside the runtime; the handle renders them for Prometheus.
///
/// # Errors
/// When another recorder is installed.
pub fn init_metrics() -> anyhow::Result<PrometheusHandle> {
    let handle = PrometheusBuilder::new().install_recorder()?;
    let upkeep = handle.clone();
    // Samples pile up until they are rendered, or swept together here.
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(UPKEEP).await;
            upkeep.run_upkeep();
        }
    });
    Ok(handle)
}
