//! What was let through lately, one row a limit and whom it counts: every hit of the window, so that limits are exact
//! however many processes count. `outcome` is what became of the last attempt; keys hold no e-mail, only hashes.
migration!(
    "m14_rate_limits",
    up: r"
CREATE TABLE rate_limits (
    key        text PRIMARY KEY CHECK (length(key) BETWEEN 1 AND 200),
    hits       timestamptz[] NOT NULL,
    outcome    text NOT NULL CHECK (outcome IN ('ADMITTED', 'REFUSED', 'REFUSED_AGAIN')),
    refused_at timestamptz,
    expires_at timestamptz NOT NULL
);
CREATE INDEX rate_limits_expires ON rate_limits (expires_at);
",
    down: "DROP TABLE rate_limits"
);
