//! Recordings that arrive in parts, over as many requests as it takes. A row stays for a while after its end, so that
//! whatever was still on its way into the store is found and removed (see `uploads`).
migration!(
    "m18_unfinished_uploads",
    up: r"
CREATE TABLE unfinished_uploads (
    id           uuid PRIMARY KEY,
    therapist_id uuid NOT NULL REFERENCES users (id),
    length       bigint,
    reserved     bigint NOT NULL,
    received     bigint NOT NULL DEFAULT 0 CHECK (received >= 0),
    metadata     text CHECK (octet_length(metadata) <= 4096),
    expires_at   timestamptz NOT NULL,
    outcome      text CHECK (outcome IN ('USED', 'TERMINATED', 'REFUSED')),
    created_at   timestamptz NOT NULL,
    updated_at   timestamptz NOT NULL,
    CHECK (received <= reserved),
    CHECK (length IS NULL OR length = reserved)
);
CREATE INDEX unfinished_uploads_open ON unfinished_uploads (therapist_id) WHERE outcome IS NULL;
CREATE INDEX unfinished_uploads_expires ON unfinished_uploads (expires_at);

CREATE TABLE unfinished_parts (
    upload_id  uuid NOT NULL REFERENCES unfinished_uploads (id),
    start      bigint NOT NULL CHECK (start >= 0),
    bytes      bigint NOT NULL CHECK (bytes > 0),
    object     uuid NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    PRIMARY KEY (upload_id, start)
);
",
    down: "DROP TABLE unfinished_parts; DROP TABLE unfinished_uploads"
);
