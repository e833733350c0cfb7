//! People who log in.
migration!(
    "m01_users",
    up: r"
CREATE TABLE users (
    id              uuid PRIMARY KEY,
    email           text NOT NULL CHECK (email = lower(email) AND length(email) BETWEEN 3 AND 254),
    hashed_password text NOT NULL,
    full_name       text NOT NULL CHECK (length(full_name) BETWEEN 1 AND 200),
    role            text NOT NULL CHECK (role IN ('THERAPIST', 'PATIENT', 'ADMIN')),
    timezone        text NOT NULL DEFAULT 'UTC',
    is_active       boolean NOT NULL DEFAULT true,
    last_login_at   timestamptz,
    created_at      timestamptz NOT NULL,
    updated_at      timestamptz NOT NULL
);
CREATE UNIQUE INDEX users_email_key ON users (email);
",
    down: "DROP TABLE users"
);
