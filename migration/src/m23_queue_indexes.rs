//! Fewer indexes on the job table: every job that is added, claimed and ended writes them all, in the transaction that
//! needs the job. Two stood there twice, and one held every job although only held ones have a holder.
migration!(
    "m23_queue_indexes",
    up: r"
-- The primary key says the same.
DROP INDEX IF EXISTS apalis.unique_job_id;
DROP INDEX IF EXISTS apalis.lidx;
DROP INDEX IF EXISTS apalis.idx_apalis_jobs_lock_by;
DROP INDEX apalis.jobs_held;
-- What a worker holds, and what dead ones held; also for the foreign key, when a worker is removed.
CREATE INDEX jobs_held ON apalis.jobs (lock_by) WHERE lock_by IS NOT NULL;
",
    down: r"
DROP INDEX apalis.jobs_held;
CREATE INDEX jobs_held ON apalis.jobs (lock_by) WHERE status IN ('Queued', 'Running');
CREATE INDEX idx_apalis_jobs_lock_by ON apalis.jobs (lock_by);
CREATE INDEX lidx ON apalis.jobs (lock_by);
CREATE UNIQUE INDEX unique_job_id ON apalis.jobs (id);
"
);
