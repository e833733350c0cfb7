//! The tables, one file each: columns, relations and the scoped finders through which everything is read.
//!
//! A finder `visible_to(actor)` returns only the rows that the actor may know to exist; there is no other way
//! to look for a row on somebody's behalf. Entities live in a module named like their table.

pub mod aggregation_run;
pub mod api_key;
pub mod audit_event;
pub mod auth_session;
pub mod cost;
pub mod export_job;
pub mod extraction_part;
pub mod extraction_run;
pub mod idempotency_key;
pub mod log_in_challenge;
pub mod outbox_event;
pub mod patient;
pub mod patient_invitation;
pub mod recovery_code;
pub mod second_factor;
pub mod segment_correction;
pub mod session;
pub mod speaker_assignment;
pub mod summary_release;
pub mod transcript_piece;
pub mod transcript_segment;
pub mod unfinished_part;
pub mod unfinished_upload;
pub mod user;
pub mod webhook;
pub mod webhook_delivery;

/// A condition no row meets, for actors who see nothing of a table.
pub(crate) fn nothing() -> sea_orm::Condition {
    sea_orm::Condition::all().add(sea_orm::sea_query::Expr::value(false))
}
