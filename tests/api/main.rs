//! Everything that is tested through the public API, against real parts: PostgreSQL, HTTP, `WebSockets`, speech
//! recognition. One binary: it links once.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod accounts;
mod database;
mod docs;
mod extractive;
mod health;
mod layers;
mod log_ins;
mod patients;
mod pipeline;
mod presence;
mod processes;
mod providers;
mod queue;
mod schema;
mod sessions;
mod subscriptions;
mod support;
mod users;
