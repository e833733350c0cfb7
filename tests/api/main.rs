//! Everything that is tested through the public API, against real parts: PostgreSQL, HTTP, `WebSockets`, speech
//! recognition. One binary: it links once.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod accounts;
mod audit;
mod audit_chain;
mod database;
mod docs;
mod extractive;
mod health;
mod layers;
mod patients;
mod pipeline;
mod processes;
mod providers;
mod queue;
mod schema;
mod sessions;
mod subscriptions;
mod support;
