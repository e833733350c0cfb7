//! Everything that is tested through the public API, against real parts: PostgreSQL, HTTP, `WebSockets`, speech
//! recognition. One binary: it links once.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod accounts;
mod analytics;
mod api_keys;
mod appointments;
mod attacks;
mod audit;
mod audit_chain;
mod bad_input;
mod cancel;
mod cleanup;
mod contract;
mod costs;
mod database;
mod docs;
mod exports;
mod exports_render;
mod extractive;
mod hardening;
mod health;
mod invitations;
mod layers;
mod limits;
mod live_transcript;
mod log_ins;
mod matrix;
mod nodes;
mod notes;
mod patients;
mod persisted_queries;
mod pipeline;
mod practice;
mod presence;
mod processes;
mod providers;
mod queue;
mod quick_start;
mod real_models;
mod releases;
mod retention;
mod schema;
mod second_factor;
mod sessions;
mod statements;
mod storage;
mod subscriptions;
mod support;
mod timing;
mod transcripts;
mod uploads;
mod users;
mod webhooks;
