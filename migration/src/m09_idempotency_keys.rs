//! Requests that may be repeated: what they were (hashed) and the id of what they made.
migration!(
    "m09_idempotency_keys",
    up: r"
CREATE TABLE idempotency_keys (
    user_id    uuid NOT NULL REFERENCES users (id),
    key        text NOT NULL CHECK (length(key) BETWEEN 1 AND 200),
    operation  text NOT NULL,
    claim      uuid NOT NULL,
    input_hash text CHECK (length(input_hash) = 64),
    result_id  uuid,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    PRIMARY KEY (user_id, key),
    CHECK ((result_id IS NULL) = (input_hash IS NULL))
);
CREATE INDEX idempotency_keys_created ON idempotency_keys (created_at);
",
    down: "DROP TABLE idempotency_keys"
);
