//! Recordings that are kept no longer: a session says when its own was removed. What has to be found to be removed is found
//! by an index.
migration!(
    "m27_cleanup",
    up: r"
ALTER TABLE sessions
    ADD COLUMN audio_removed_at timestamptz,
    DROP CONSTRAINT sessions_check,
    ADD CONSTRAINT sessions_recording CHECK (status IS NULL OR num_nonnulls(audio_key, audio_removed_at) = 1);
CREATE INDEX sessions_recorded ON sessions (status, updated_at, id) WHERE audio_key IS NOT NULL;
CREATE INDEX stored_files_condemned ON stored_files (condemned_at) WHERE condemned_at IS NOT NULL;
CREATE INDEX auth_sessions_expires ON auth_sessions (expires_at);
CREATE INDEX patient_invitations_expires ON patient_invitations (expires_at);
",
    down: r"
DROP INDEX patient_invitations_expires;
DROP INDEX auth_sessions_expires;
DROP INDEX stored_files_condemned;
DROP INDEX sessions_recorded;
-- What is gone does not come back: the key names nothing.
UPDATE sessions SET audio_key = 'removed/' || id WHERE audio_removed_at IS NOT NULL;
ALTER TABLE sessions
    DROP CONSTRAINT sessions_recording,
    ADD CONSTRAINT sessions_check CHECK (status IS NULL OR audio_key IS NOT NULL),
    DROP COLUMN audio_removed_at;
"
);
