//! The GraphQL schema: one file a noun, merged into the roots. A resolver authorises, calls one feature, and wraps
//! what it gives; doc comments are the API's documentation.

#![expect(
    clippy::doc_markdown,
    reason = "these comments are the API's documentation, and spell codes as it does"
)]

mod admin;
mod aggregation;
mod analytics;
mod api;
mod api_key;
mod appointment;
mod audit;
mod auth;
mod batching;
mod cleanup;
mod connection;
pub mod context;
mod cost;
mod date;
mod error;
mod export;
mod invitation;
mod loaders;
mod log_ins;
mod node;
mod notes;
mod patient;
mod queue;
pub mod rate_limit;
mod release;
mod roots;
mod scopes;
mod second_factor;
mod session;
mod session_loader;
mod subscription;
pub mod telling;
mod trail;
mod transcript;
pub mod upload;
mod user;
mod webhook;

use async_graphql::registry::Registry;
use async_graphql::{MergedObject, MergedSubscription, OutputType, Schema, SchemaBuilder};

pub use self::api::Api;

/// What can be asked.
#[derive(MergedObject, Default)]
pub struct Query(
    node::NodeQuery,
    user::ViewerQuery,
    admin::AdminQuery,
    patient::PatientQuery,
    session::SessionQuery,
    audit::AuditQuery,
    queue::QueueQuery,
    cost::CostQuery,
    cleanup::CleanupQuery,
    analytics::AnalyticsQuery,
    aggregation::AggregationQuery,
    export::ExportQuery,
    rate_limit::RateLimitQuery,
    api_key::ApiKeyQuery,
    webhook::WebhookQuery,
);

/// What can be done. Every mutation answers with the changed thing under its own noun, or with `userErrors`.
#[derive(MergedObject, Default)]
pub struct Mutation(
    auth::AuthMutation,
    log_ins::LogInsMutation,
    second_factor::SecondFactorMutation,
    api_key::ApiKeyMutation,
    admin::AdminMutation,
    invitation::InvitationMutation,
    patient::PatientMutation,
    session::SessionMutation,
    appointment::AppointmentMutation,
    transcript::TranscriptMutation,
    release::ReleaseMutation,
    export::ExportMutation,
    webhook::WebhookMutation,
    cleanup::CleanupMutation,
);

/// What can be watched. Streams come over WebSocket (`graphql-transport-ws`) and SSE.
#[derive(MergedSubscription, Default)]
pub struct Subscription(
    subscription::SessionSubscription,
    analytics::AnalyticsSubscription,
    aggregation::AggregationSubscription,
    export::ExportSubscription,
);

/// The schema with its three roots.
pub type ApiSchema = Schema<Query, Mutation, Subscription>;

/// Builds the schema, which looks at every field; [`Api`] does so only where it must.
#[must_use]
pub fn schema(introspection: bool) -> ApiSchema {
    built(builder().extension(trail::Trail), introspection)
}

type ApiBuilder = SchemaBuilder<Query, Mutation, Subscription>;

fn builder() -> ApiBuilder {
    Schema::build(Query::default(), Mutation::default(), Subscription::default()).limit_recursive_depth(64)
}

fn built(builder: ApiBuilder, introspection: bool) -> ApiSchema {
    if introspection { builder.finish() } else { builder.disable_introspection().finish() }
}

/// What queries and mutations give, for whoever has no schema at hand.
fn registry() -> Registry {
    let mut registry = Registry {
        query_type: "Query".into(),
        mutation_type: Some("Mutation".into()),
        ..Registry::default()
    };
    Query::create_type_info(&mut registry);
    Mutation::create_type_info(&mut registry);
    registry
}

/// The schema in GraphQL's own language: `schema.graphql`.
#[must_use]
pub fn sdl() -> String {
    let options =
        async_graphql::SDLExportOptions::new().sorted_fields().sorted_arguments().sorted_enum_items();
    schema(true).sdl_with_options(options)
}
