//! Second factors: the sealed secret of an authenticator app, recovery codes and half-finished log-ins, both hashed.
migration!(
    "m12_second_factors",
    up: r"
CREATE TABLE second_factors (
    user_id      uuid PRIMARY KEY REFERENCES users (id),
    secret       bytea NOT NULL,
    last_step    bigint CHECK (last_step >= 0),
    confirmed_at timestamptz,
    created_at   timestamptz NOT NULL,
    updated_at   timestamptz NOT NULL,
    CHECK ((confirmed_at IS NULL) = (last_step IS NULL))
);

CREATE TABLE recovery_codes (
    id         uuid PRIMARY KEY,
    user_id    uuid NOT NULL REFERENCES users (id),
    code       text NOT NULL CHECK (length(code) = 64),
    used_at    timestamptz,
    created_at timestamptz NOT NULL
);
CREATE UNIQUE INDEX recovery_codes_user_code_key ON recovery_codes (user_id, code);

CREATE TABLE log_in_challenges (
    id            uuid PRIMARY KEY,
    user_id       uuid NOT NULL REFERENCES users (id),
    token         text NOT NULL CHECK (length(token) = 64),
    password_mark text NOT NULL CHECK (length(password_mark) = 64),
    tries         integer NOT NULL DEFAULT 0 CHECK (tries BETWEEN 0 AND 5),
    expires_at    timestamptz NOT NULL,
    used_at       timestamptz,
    created_at    timestamptz NOT NULL
);
CREATE UNIQUE INDEX log_in_challenges_token_key ON log_in_challenges (token);
CREATE INDEX log_in_challenges_user ON log_in_challenges (user_id);
CREATE INDEX log_in_challenges_expires ON log_in_challenges (expires_at);
",
    down: "DROP TABLE log_in_challenges; DROP TABLE recovery_codes; DROP TABLE second_factors"
);
