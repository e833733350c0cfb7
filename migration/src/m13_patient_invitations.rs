//! Invitations: one-time codes, hashed, that tie a patient's account to the record; at most one is open a record.
migration!(
    "m13_patient_invitations",
    up: r"
CREATE TABLE patient_invitations (
    id           uuid PRIMARY KEY,
    patient_id   uuid NOT NULL,
    therapist_id uuid NOT NULL,
    code         text NOT NULL CHECK (length(code) = 64),
    expires_at   timestamptz NOT NULL,
    accepted_at  timestamptz,
    accepted_by  uuid REFERENCES users (id),
    revoked_at   timestamptz,
    created_at   timestamptz NOT NULL,
    updated_at   timestamptz NOT NULL,
    FOREIGN KEY (patient_id, therapist_id) REFERENCES patients (id, therapist_id),
    CHECK ((accepted_at IS NULL) = (accepted_by IS NULL)),
    CHECK (accepted_at IS NULL OR revoked_at IS NULL)
);
CREATE UNIQUE INDEX patient_invitations_code_key ON patient_invitations (code);
CREATE UNIQUE INDEX patient_invitations_open_key ON patient_invitations (patient_id)
    WHERE accepted_at IS NULL AND revoked_at IS NULL;
CREATE INDEX patient_invitations_patient ON patient_invitations (patient_id, id);
",
    down: "DROP TABLE patient_invitations"
);
