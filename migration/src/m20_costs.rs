//! What was paid, to whom, for what, by the prices of that moment: a row with every stored result, never changed, so that
//! another price list leaves old costs as they were.
//!
//! `costs_month` holds whatever a month's sum of one therapist needs; `costs_at` is for the sums over all of them.
migration!(
    "m20_costs",
    up: r"
CREATE TABLE costs (
    id                uuid PRIMARY KEY,
    therapist_id      uuid NOT NULL REFERENCES users (id),
    session_id        uuid NOT NULL REFERENCES sessions (id),
    work              text NOT NULL CHECK (work IN ('SPEECH', 'NOTES')),
    provider          text NOT NULL,
    model             text NOT NULL,
    audio_ms          bigint CHECK (audio_ms >= 0),
    prompt_tokens     bigint CHECK (prompt_tokens >= 0),
    completion_tokens bigint CHECK (completion_tokens >= 0),
    cost_usd          double precision CHECK (cost_usd >= 0),
    created_at        timestamptz NOT NULL
);
CREATE INDEX costs_month ON costs (therapist_id, created_at) INCLUDE (cost_usd);
CREATE INDEX costs_session ON costs (session_id);
CREATE INDEX costs_at ON costs USING brin (created_at);

-- What recognition was paid for before, nobody wrote down: only that what runs here costs nothing is known.
INSERT INTO costs (id, therapist_id, session_id, work, provider, model, audio_ms, cost_usd, created_at)
SELECT gen_random_uuid(), sessions.therapist_id, session_id, 'SPEECH', provider, model, piece.audio_ms,
       CASE WHEN provider = 'local' THEN 0 END, piece.created_at
FROM transcript_pieces AS piece JOIN sessions ON sessions.id = session_id
WHERE NOT piece.reused AND provider <> 'silence';
INSERT INTO costs (id, therapist_id, session_id, work, provider, model, prompt_tokens, completion_tokens, cost_usd,
                   created_at)
SELECT run.id, sessions.therapist_id, session_id, 'NOTES', provider, model, prompt_tokens, completion_tokens, cost_usd,
       run.created_at
FROM extraction_runs AS run JOIN sessions ON sessions.id = session_id;
",
    down: "DROP TABLE costs"
);
