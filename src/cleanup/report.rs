//! What a clean-up did, or would do.

use crate::error::Error;

/// Errors that are listed; the number is exact all the same.
const MOST_ERRORS: usize = 100;

/// What was removed, or would be.
#[derive(Clone, Debug)]
pub struct Report {
    /// Nothing was touched.
    pub dry_run: bool,
    /// Files that are gone.
    pub files_deleted: u64,
    /// Sessions that were let go of their recording.
    pub sessions_cleaned: u64,
    /// What the files took.
    pub bytes_freed: u64,
    /// What could not be removed, and why, in words for people; a hundred at most.
    pub errors: Vec<String>,
    /// How many there were.
    pub error_count: u64,
    /// Files of nobody this server knows. They are left alone.
    pub unknown_files: u64,
    /// Everything was looked at. Else the time was up, or the store could not be listed.
    pub is_complete: bool,
}

impl Report {
    pub(super) fn new(dry_run: bool) -> Self {
        Self {
            dry_run,
            files_deleted: 0,
            sessions_cleaned: 0,
            bytes_freed: 0,
            errors: Vec::new(),
            error_count: 0,
            unknown_files: 0,
            is_complete: true,
        }
    }

    /// A file is gone, or would be.
    pub(super) fn count_file(&mut self, bytes: u64, kind: &'static str) {
        self.files_deleted += 1;
        self.bytes_freed += bytes;
        if !self.dry_run {
            metrics::counter!("cleanup_files_total", "kind" => kind).increment(1);
            metrics::counter!("cleanup_bytes_total", "kind" => kind).increment(bytes);
        }
    }

    /// Something did not go. Keys hold ids and nothing else; what the store said stands in the log.
    pub(super) fn count_error(&mut self, what: &str, error: &Error) {
        tracing::warn!(what, ?error, "a clean-up met an error");
        let reason = match error {
            Error::Storage(_) => "the file store does not answer, or does not let go of it",
            Error::Unavailable => "the database does not answer",
            _ => "something went wrong on the server; its log says what",
        };
        self.error_count += 1;
        if self.errors.len() < MOST_ERRORS {
            self.errors.push(format!("{what}: {reason}"));
        }
    }

    /// Both together.
    pub(super) fn and(mut self, other: &Self) -> Self {
        self.files_deleted += other.files_deleted;
        self.sessions_cleaned += other.sessions_cleaned;
        self.bytes_freed += other.bytes_freed;
        self.error_count += other.error_count;
        self.unknown_files += other.unknown_files;
        self.is_complete &= other.is_complete;
        self.errors.extend(other.errors.iter().cloned());
        self.errors.truncate(MOST_ERRORS);
        self
    }

    /// In MiB, to two places.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "shown to people, and exact to petabytes")]
    pub fn mb_freed(&self) -> f64 {
        (self.bytes_freed as f64 / 1024.0 / 1024.0 * 100.0).round() / 100.0
    }

    pub(super) fn log(&self) {
        tracing::info!(
            dry_run = self.dry_run,
            files = self.files_deleted,
            sessions = self.sessions_cleaned,
            bytes = self.bytes_freed,
            errors = self.error_count,
            unknown_files = self.unknown_files,
            complete = self.is_complete,
            "cleaned up"
        );
    }
}

#[cfg(test)]
mod tests {
    use metrics_exporter_prometheus::PrometheusBuilder;

    use super::*;

    #[test]
    fn metrics_count_what_is_gone_and_not_what_would_be() {
        let recorder = PrometheusBuilder::new().build_recorder();
        metrics::with_local_recorder(&recorder, || {
            for (dry_run, bytes, kind) in
                [(true, 1, "orphan"), (false, 20, "orphan"), (false, 300, "recording")]
            {
                Report::new(dry_run).count_file(bytes, kind);
            }
        });
        let text = recorder.handle().render();
        for line in [
            r#"cleanup_files_total{kind="orphan"} 1"#,
            r#"cleanup_bytes_total{kind="orphan"} 20"#,
            r#"cleanup_bytes_total{kind="recording"} 300"#,
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
    }
}
