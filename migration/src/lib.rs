//! The database schema of TherapyBridge: an ordered list of changes, one table or one change a file.
//!
//! Each change is plain SQL, forwards and backwards: CHECKs, foreign keys and indexes stand where the table
//! stands. Foreign keys never cascade: nothing that is evidence may vanish because something else did.
//! The schema `apalis` (job queue) belongs to apalis-postgres, which brings its own migrations; they run first.

#![expect(elided_lifetimes_in_paths, reason = "async_trait compares lifetimes as the trait spells them")]

use sea_orm_migration::MigrationTrait;
pub use sea_orm_migration::MigratorTrait;

/// Declares a migration whose two directions are SQL scripts.
macro_rules! migration {
    ($name:literal, up: $up:literal, down: $down:literal) => {
        pub(crate) struct Change;

        impl sea_orm_migration::MigrationName for Change {
            fn name(&self) -> &str {
                $name
            }
        }

        #[sea_orm_migration::async_trait::async_trait]
        impl sea_orm_migration::MigrationTrait for Change {
            async fn up(
                &self,
                manager: &sea_orm_migration::SchemaManager,
            ) -> Result<(), sea_orm_migration::DbErr> {
                use sea_orm_migration::sea_orm::ConnectionTrait;
                manager.get_connection().execute_unprepared($up).await.map(drop)
            }

            async fn down(
                &self,
                manager: &sea_orm_migration::SchemaManager,
            ) -> Result<(), sea_orm_migration::DbErr> {
                use sea_orm_migration::sea_orm::ConnectionTrait;
                manager.get_connection().execute_unprepared($down).await.map(drop)
            }
        }
    };
}

mod m01_users;
mod m02_auth_sessions;
mod m03_patients;
mod m04_sessions;
mod m05_transcript_pieces;
mod m06_transcript_segments;
mod m07_extraction_runs;
mod m08_outbox_events;
mod m09_idempotency_keys;
mod m10_audit_events;
mod m11_queue_wake_up;
mod m12_second_factors;
mod m13_patient_invitations;
mod m14_rate_limits;
mod m15_audit_chain;
mod m16_summary_releases;
mod m17_heard_pieces;
mod m18_unfinished_uploads;
mod m19_stored_files;
mod m20_costs;
mod m21_corrections;
mod m22_extraction_parts;
mod m23_queue_indexes;
mod m24_partial_recordings;
mod m25_analytics;
mod m26_export_jobs;
mod m27_cleanup;
mod m28_api_keys;
mod m29_webhooks;

/// Applies and reverts the changes, in order.
pub struct Migrator;

#[sea_orm_migration::async_trait::async_trait]
impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![
            Box::new(m01_users::Change),
            Box::new(m02_auth_sessions::Change),
            Box::new(m03_patients::Change),
            Box::new(m04_sessions::Change),
            Box::new(m05_transcript_pieces::Change),
            Box::new(m06_transcript_segments::Change),
            Box::new(m07_extraction_runs::Change),
            Box::new(m08_outbox_events::Change),
            Box::new(m09_idempotency_keys::Change),
            Box::new(m10_audit_events::Change),
            Box::new(m11_queue_wake_up::Change),
            Box::new(m12_second_factors::Change),
            Box::new(m13_patient_invitations::Change),
            Box::new(m14_rate_limits::Change),
            Box::new(m15_audit_chain::Change),
            Box::new(m16_summary_releases::Change),
            Box::new(m17_heard_pieces::Change),
            Box::new(m18_unfinished_uploads::Change),
            Box::new(m19_stored_files::Change),
            Box::new(m20_costs::Change),
            Box::new(m21_corrections::Change),
            Box::new(m22_extraction_parts::Change),
            Box::new(m23_queue_indexes::Change),
            Box::new(m24_partial_recordings::Change),
            Box::new(m25_analytics::Change),
            Box::new(m26_export_jobs::Change),
            Box::new(m27_cleanup::Change),
            Box::new(m28_api_keys::Change),
            Box::new(m29_webhooks::Change),
        ]
    }
}
