//! Pieces of a recording as they were heard: stored at once, in whatever order they finish, and merged into the transcript
//! as far as they follow each other without a hole. A recording of one speaker a channel has a track for each.
//!
//! What stood in the old table is kept: its segments become the answers they came from.
migration!(
    "m17_heard_pieces",
    up: r"
ALTER TABLE transcript_segments DROP CONSTRAINT transcript_segments_session_id_piece_index_fkey;
ALTER TABLE transcript_pieces DROP CONSTRAINT transcript_pieces_pkey;
ALTER TABLE transcript_pieces
    ADD COLUMN track smallint NOT NULL DEFAULT 0 CHECK (track >= 0),
    ADD COLUMN lead_ms bigint NOT NULL DEFAULT 0 CHECK (lead_ms >= 0),
    ADD COLUMN segments jsonb NOT NULL DEFAULT '[]',
    ADD COLUMN dropped integer NOT NULL DEFAULT 0 CHECK (dropped >= 0),
    ADD COLUMN reused boolean NOT NULL DEFAULT false;
UPDATE transcript_pieces SET segments = heard.segments
FROM (SELECT session_id, piece_index,
             jsonb_agg(jsonb_build_object('start_ms', start_ms, 'end_ms', end_ms, 'text', text,
                                          'confidence', confidence, 'speaker', speaker) ORDER BY segment_index) AS segments
      FROM transcript_segments GROUP BY session_id, piece_index) AS heard
WHERE heard.session_id = transcript_pieces.session_id AND heard.piece_index = transcript_pieces.piece_index;
ALTER TABLE transcript_pieces
    DROP COLUMN piece_index,
    ALTER COLUMN track DROP DEFAULT, ALTER COLUMN lead_ms DROP DEFAULT, ALTER COLUMN segments DROP DEFAULT,
    ADD PRIMARY KEY (session_id, track, start_ms);

ALTER TABLE transcript_segments
    DROP COLUMN piece_index,
    ADD FOREIGN KEY (session_id) REFERENCES sessions (id),
    ADD COLUMN role_confidence real CHECK (role_confidence BETWEEN 0 AND 1);

ALTER TABLE sessions
    ADD COLUMN audio_tracks smallint NOT NULL DEFAULT 1 CHECK (audio_tracks BETWEEN 1 AND 2),
    ADD COLUMN transcript_sha256 text CHECK (length(transcript_sha256) = 64);
-- The same recording, sent again by the same therapist, is not transcribed again.
CREATE INDEX sessions_audio_sha256 ON sessions (therapist_id, audio_sha256) WHERE risk_screen IS NOT NULL;
",
    down: r"
DROP INDEX sessions_audio_sha256;
ALTER TABLE sessions DROP COLUMN transcript_sha256, DROP COLUMN audio_tracks;
ALTER TABLE transcript_segments DROP COLUMN role_confidence, DROP CONSTRAINT transcript_segments_session_id_fkey,
    ADD COLUMN piece_index integer NOT NULL DEFAULT 0;
ALTER TABLE transcript_pieces DROP CONSTRAINT transcript_pieces_pkey, ADD COLUMN piece_index integer;
UPDATE transcript_pieces SET piece_index = placed.at
FROM (SELECT session_id, track, start_ms,
             row_number() OVER (PARTITION BY session_id ORDER BY start_ms, track) - 1 AS at FROM transcript_pieces) AS placed
WHERE placed.session_id = transcript_pieces.session_id AND placed.track = transcript_pieces.track
  AND placed.start_ms = transcript_pieces.start_ms;
UPDATE transcript_segments SET piece_index = (
    SELECT piece_index FROM transcript_pieces AS piece WHERE piece.session_id = transcript_segments.session_id
    ORDER BY piece.start_ms <= transcript_segments.start_ms DESC, abs(piece.start_ms - transcript_segments.start_ms) LIMIT 1);
ALTER TABLE transcript_pieces
    ALTER COLUMN piece_index SET NOT NULL, ADD PRIMARY KEY (session_id, piece_index), ADD CHECK (piece_index >= 0),
    DROP COLUMN reused, DROP COLUMN dropped, DROP COLUMN segments, DROP COLUMN lead_ms, DROP COLUMN track;
ALTER TABLE transcript_segments ALTER COLUMN piece_index DROP DEFAULT,
    ADD FOREIGN KEY (session_id, piece_index) REFERENCES transcript_pieces (session_id, piece_index);
"
);
