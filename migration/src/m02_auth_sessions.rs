//! Refresh tokens, hashed, one row a token; the rows of one log-in share a family.
migration!(
    "m02_auth_sessions",
    up: r"
CREATE TABLE auth_sessions (
    id            uuid PRIMARY KEY,
    user_id       uuid NOT NULL REFERENCES users (id),
    family_id     uuid NOT NULL,
    logged_in_at  timestamptz NOT NULL,
    refresh_token text NOT NULL CHECK (length(refresh_token) = 64),
    expires_at    timestamptz NOT NULL,
    spent_at      timestamptz,
    is_revoked    boolean NOT NULL DEFAULT false,
    ip            text,
    user_agent    text CHECK (length(user_agent) <= 400),
    created_at    timestamptz NOT NULL,
    updated_at    timestamptz NOT NULL
);
CREATE UNIQUE INDEX auth_sessions_refresh_token_key ON auth_sessions (refresh_token);
CREATE INDEX auth_sessions_user ON auth_sessions (user_id, created_at);
CREATE INDEX auth_sessions_family ON auth_sessions (family_id);
",
    down: "DROP TABLE auth_sessions"
);
