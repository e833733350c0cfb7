//! Webhooks: addresses that therapists want to be told at of what happens, and every delivery to one. A delivery and the job
//! that makes its next attempt are written together, in the transaction of what is told. Secrets are sealed; what is told
//! holds ids and names of fields, nothing else.
migration!(
    "m29_webhooks",
    up: r"
CREATE TABLE webhooks (
    id                         uuid PRIMARY KEY,
    therapist_id               uuid NOT NULL REFERENCES users (id),
    -- It may hold a secret of the receiver's, and is wiped when the webhook is deleted.
    url                        text NOT NULL CHECK (octet_length(url) <= 2048),
    description                text CHECK (char_length(description) <= 200),
    events                     text[] NOT NULL CHECK (cardinality(events) BETWEEN 1 AND 50),
    secret                     bytea NOT NULL,
    previous_secret            bytea,
    previous_secret_expires_at timestamptz,
    -- Since when nothing has arrived; null after each success.
    failing_since              timestamptz,
    disabled_at                timestamptz,
    disabled_reason            text CHECK (disabled_reason IN ('FAILING', 'GONE')),
    deleted_at                 timestamptz,
    created_at                 timestamptz NOT NULL,
    updated_at                 timestamptz NOT NULL,
    CHECK ((previous_secret IS NULL) = (previous_secret_expires_at IS NULL)),
    CHECK ((disabled_at IS NULL) = (disabled_reason IS NULL)),
    CHECK ((deleted_at IS NULL) = (octet_length(secret) > 0))
);
CREATE INDEX webhooks_therapist ON webhooks (therapist_id, id) WHERE deleted_at IS NULL;
CREATE INDEX webhooks_deleted ON webhooks (deleted_at) WHERE deleted_at IS NOT NULL;

CREATE TABLE webhook_deliveries (
    id              uuid PRIMARY KEY,
    webhook_id      uuid NOT NULL REFERENCES webhooks (id),
    therapist_id    uuid NOT NULL REFERENCES users (id),
    -- The same for every webhook that is told of one event, and at every attempt.
    event_id        uuid NOT NULL,
    event           text NOT NULL,
    body            text NOT NULL CHECK (octet_length(body) <= 4096),
    state           text NOT NULL CHECK (state IN ('PENDING', 'DELIVERED', 'FAILED')),
    -- Which time it was asked for: raised when it is delivered again.
    series          integer NOT NULL DEFAULT 1 CHECK (series >= 1),
    -- When the first attempt of this time failed.
    first_failed_at timestamptz,
    attempts        integer NOT NULL DEFAULT 0 CHECK (attempts >= 0),
    -- The job of the next attempt, or of the one that is being made.
    job_id          text,
    -- Which claim of that job is on its way.
    claim           integer,
    -- It waits for others of its webhook to come back.
    parked          boolean NOT NULL DEFAULT false,
    last_status     integer,
    last_error      text,
    last_attempt_at timestamptz,
    next_attempt_at timestamptz,
    delivered_at    timestamptz,
    created_at      timestamptz NOT NULL,
    updated_at      timestamptz NOT NULL,
    UNIQUE (webhook_id, event_id),
    CHECK ((state = 'PENDING') = (job_id IS NOT NULL)),
    CHECK ((state = 'PENDING') = (next_attempt_at IS NOT NULL)),
    CHECK (state = 'PENDING' OR (claim IS NULL AND NOT parked)),
    CHECK (state <> 'DELIVERED' OR delivered_at IS NOT NULL)
);
CREATE INDEX webhook_deliveries_webhook ON webhook_deliveries (webhook_id, id);
CREATE INDEX webhook_deliveries_pending ON webhook_deliveries (webhook_id) WHERE state = 'PENDING';
CREATE INDEX webhook_deliveries_under_way ON webhook_deliveries (therapist_id) WHERE claim IS NOT NULL;
CREATE INDEX webhook_deliveries_parked ON webhook_deliveries (webhook_id, id) WHERE parked;
CREATE INDEX webhook_deliveries_ended ON webhook_deliveries (updated_at) WHERE state <> 'PENDING';
",
    down: "DROP TABLE webhook_deliveries; DROP TABLE webhooks"
);
