//! TherapyBridge: an open server for therapy practices. A therapist uploads the recording of a session and watches
//! it live become a transcript and clinical notes.
//!
//! ```text
//!  client ──upload──▶ graphql ──▶ sessions::upload ──put──▶ storage (audio bytes)
//!                                    │ BEGIN  session row · audit row · job · event (outbox)  COMMIT
//!                                    │                            └─▶ events::Notifier: one hint for many commits
//!                                    ▼                                   ├─▶ worker: claims a job   (polls anyway)
//!                                                                        └─▶ events::Feed: reads the outbox
//!  worker ── ai::Transcriber, ai::NoteExtractor ── sessions::pipeline
//!                       (status · version · audit · next job · event, in ONE transaction) ─▶ …
//!  events::Feed ─▶ graphql::Subscription: re-reads the row, authorises, sends ─▶ client
//! ```
//!
//! Who may use whom stands in `docs/architecture.md`, and is held to by a test.

pub mod actor;
pub mod admin;
pub mod ai;
pub mod analytics;
pub mod app;
pub mod audio;
pub mod audit;
pub mod auth;
pub mod cleanup;
pub mod clock;
pub mod config;
pub mod costs;
pub mod database;
pub mod demo;
pub mod entity;
pub mod error;
pub mod events;
pub mod exports;
pub mod failpoint;
pub mod graphql;
pub mod idempotency;
pub mod notes;
pub mod page;
pub mod patients;
pub mod practice;
pub mod queue;
pub mod random;
pub mod secret_file;
pub mod server;
pub mod sessions;
pub mod storage;
pub mod telemetry;
pub mod text;
pub mod transcript;
pub mod uploads;
pub mod webhooks;
pub mod worker;
