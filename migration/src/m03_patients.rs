//! Patient records, each of one therapist; `user_id` once the patient has accepted an invitation.
migration!(
    "m03_patients",
    up: r"
CREATE TABLE patients (
    id           uuid PRIMARY KEY,
    therapist_id uuid NOT NULL REFERENCES users (id),
    user_id      uuid REFERENCES users (id),
    name         text NOT NULL CHECK (length(name) BETWEEN 1 AND 200),
    email        text CHECK (length(email) BETWEEN 3 AND 254),
    phone        text CHECK (length(phone) BETWEEN 3 AND 40),
    archived_at  timestamptz,
    created_at   timestamptz NOT NULL,
    updated_at   timestamptz NOT NULL
);
CREATE INDEX patients_therapist ON patients (therapist_id, id);
CREATE UNIQUE INDEX patients_user_key ON patients (user_id);
-- Lets sessions prove in a foreign key that patient and therapist belong together.
CREATE UNIQUE INDEX patients_id_therapist_key ON patients (id, therapist_id);
",
    down: "DROP TABLE patients"
);
