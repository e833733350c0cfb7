//! Recordings that were damaged or cut off, and taken for what can be read of them.
migration!(
    "m24_partial_recordings",
    up: "ALTER TABLE sessions ADD COLUMN recording_is_partial boolean NOT NULL DEFAULT false",
    down: "ALTER TABLE sessions DROP COLUMN recording_is_partial"
);
