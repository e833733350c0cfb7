//! Keys for integrations: what they may do, and hashes of their secrets. Events of the audit trail name the key that acted.
//! Keys are removed some time after their end, and events stay: there is no foreign key.
migration!(
    "m28_api_keys",
    up: r"
CREATE TABLE api_keys (
    id           uuid PRIMARY KEY,
    owner_id     uuid NOT NULL REFERENCES users (id),
    name         text NOT NULL,
    prefix       text NOT NULL,
    secret_hash  text NOT NULL UNIQUE,
    scopes       text[] NOT NULL CHECK (cardinality(scopes) > 0),
    allowed_ips  text[] NOT NULL,
    expires_at   timestamptz NOT NULL CHECK (expires_at > created_at),
    last_used_at timestamptz,
    revoked_at   timestamptz,
    created_at   timestamptz NOT NULL,
    updated_at   timestamptz NOT NULL
);
CREATE INDEX api_keys_owner ON api_keys (owner_id, id);
CREATE INDEX api_keys_end ON api_keys (least(revoked_at, expires_at));
ALTER TABLE audit_events ADD COLUMN api_key_id uuid;
",
    down: r"
ALTER TABLE audit_events DROP COLUMN api_key_id;
DROP TABLE api_keys;
"
);
