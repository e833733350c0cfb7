//! Takes the per-row NOTIFY off the job table: a NOTIFY inside a transaction takes a lock over the whole
//! database at commit. The process notifies once for many jobs, after the commit (see `events::notifier`).
migration!(
    "m11_queue_wake_up",
    up: r"
DROP TRIGGER IF EXISTS notify_workers ON apalis.jobs;
-- The sweep for jobs of dead workers looks at these only.
CREATE INDEX jobs_held ON apalis.jobs (lock_by) WHERE status IN ('Queued', 'Running');
-- Finished jobs are purged by age.
CREATE INDEX jobs_finished ON apalis.jobs (done_at) WHERE status IN ('Done', 'Killed');
",
    down: r"
DROP INDEX apalis.jobs_finished;
DROP INDEX apalis.jobs_held;
CREATE TRIGGER notify_workers AFTER INSERT ON apalis.jobs
    FOR EACH ROW EXECUTE FUNCTION apalis.notify_new_jobs();
"
);
