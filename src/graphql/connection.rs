//! Relay connections over pages of rows.

use async_graphql::connection::{Connection, Edge, EmptyFields, EnableNodesField};
use async_graphql::{Context, OutputType, SimpleObject};
use uuid::Uuid;

use crate::page::{Page, cursor};

/// What a connection has besides its edges.
#[derive(SimpleObject)]
pub(super) struct TotalCount {
    /// How many there are on all pages.
    pub(super) total_count: u64,
}

/// A connection of nodes of one type, with `nodes` and `totalCount`.
pub(super) type ConnectionOf<T> = Connection<
    String,
    T,
    TotalCount,
    EmptyFields,
    async_graphql::connection::DefaultConnectionName,
    async_graphql::connection::DefaultEdgeName,
    EnableNodesField,
>;

/// Wraps a page; `total` is only worked out when it was asked for (see [`wants_total`]).
pub(super) fn connection<M, T: OutputType + async_graphql::ObjectType>(
    page: Page<M>,
    has_previous: bool,
    total_count: u64,
    id: impl Fn(&M) -> Uuid,
    wrap: impl Fn(M) -> T,
) -> ConnectionOf<T> {
    let mut connection =
        ConnectionOf::with_additional_fields(has_previous, page.has_next, TotalCount { total_count });
    connection.edges.extend(page.rows.into_iter().map(|row| Edge::new(cursor(id(&row)), wrap(row))));
    connection
}

/// Whether the query asks for `totalCount`: counting costs a query of its own.
pub(super) fn wants_total(ctx: &Context<'_>) -> bool {
    ctx.look_ahead().field("totalCount").exists()
}
