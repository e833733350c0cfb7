//! Intents to store a file: a file whose own row does not exist yet can be found, and removed, after a crash.
migration!(
    "m19_stored_files",
    up: r"
CREATE TABLE stored_files (
    key          text PRIMARY KEY,
    therapist_id uuid NOT NULL REFERENCES users (id),
    multipart_id text,
    created_at   timestamptz NOT NULL,
    expires_at   timestamptz NOT NULL CHECK (expires_at > created_at),
    -- Set before the file is touched; from then on the intent cannot be fulfilled any more.
    condemned_at timestamptz
);
",
    down: "DROP TABLE stored_files"
);
