//! Queries by GET, where they are switched on (`GRAPHQL_GET`): they may be linked to and kept in bookmarks.
//!
//! Queries only. A link that a stranger put before somebody must not change anything; nor could it read what is theirs, for
//! no browser adds their token to it by itself.

use async_graphql::Executor;
use async_graphql::parser::types::OperationType;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use url::form_urlencoded;

use super::{Call, MediaType, only_post, respond};
use crate::server::guard;
use crate::server::operation::{Operation, Payload};
use crate::server::reply::Refusal;
use crate::server::seam::{GraphqlState, Limits, RequestMeta};

/// Answers `GET /graphql?query=…`.
pub(in crate::server) async fn answer<E: Executor>(
    state: GraphqlState<E>,
    meta: RequestMeta,
    headers: HeaderMap,
    parameters: Option<String>,
) -> Response {
    if !state.limits.queries_by_get {
        return only_post(&meta);
    }
    let call = match Call::new(state, meta, headers) {
        Ok(call) => call,
        Err(response) => return response,
    };
    match run(&call, parameters.as_deref().unwrap_or_default()).await {
        Ok(Some(response)) => call.conclude(Ok(response)),
        Ok(None) => call.conclude(Ok(only_post(&call.meta))),
        Err(refusal) => call.conclude(Err(refusal)),
    }
}

/// `None` for what is no query.
async fn run<E: Executor>(call: &Call<E>, parameters: &str) -> Result<Option<Response>, Refusal> {
    if call.media == MediaType::EventStream {
        let message = "Event streams need POST.";
        return Err(Refusal::http(StatusCode::NOT_ACCEPTABLE, message));
    }
    let asker = call.authenticate().await?;
    let mut operation = Operation::admit(parse(parameters, &call.state.limits)?, &call.state)?;
    if operation.kind != OperationType::Query {
        return Ok(None);
    }
    call.charge(&asker, &mut operation).await?;
    let response = operation.attached(&asker).execute(&call.state.schema).await?;
    Ok(Some(respond(response, call.media, &call.meta.request_id)))
}

/// The members of a GraphQL request, and whether their values are JSON.
const MEMBERS: [(&str, bool); 4] =
    [("query", false), ("operationName", false), ("variables", true), ("extensions", true)];

/// Parses the parameters of a GraphQL request; what stands beside them in the address is not ours. An empty one counts as
/// not there, as a form sends it.
fn parse(parameters: &str, limits: &Limits) -> Result<Payload, Refusal> {
    let mut members = serde_json::Map::new();
    for (name, value) in form_urlencoded::parse(parameters.as_bytes()).filter(|(_, value)| !value.is_empty())
    {
        let Some((_, is_json)) = MEMBERS.iter().find(|(known, _)| *known == name) else { continue };
        let value = if *is_json { json(&name, &value, limits)? } else { value.into_owned().into() };
        if members.insert(name.to_string(), value).is_some() {
            return Err(Refusal::malformed(format!("The parameter `{name}` is there twice.")));
        }
    }
    serde_json::from_value(members.into())
        .map_err(|error| Refusal::malformed(format!("Malformed request: {error}")))
}

fn json(name: &str, value: &str, limits: &Limits) -> Result<serde_json::Value, Refusal> {
    guard::check_json(value.as_bytes(), &limits.document)
        .map_err(|refusal| Refusal { status: Some(StatusCode::BAD_REQUEST), ..refusal })?;
    serde_json::from_str(value)
        .map_err(|_| Refusal::malformed(format!("The parameter `{name}` must be a JSON object.")))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::server::seam::Limits;
    use crate::server::test_server::TestServer;

    async fn switched_on() -> TestServer {
        TestServer::with_limits(Limits { queries_by_get: true, ..Limits::default() }).await
    }

    async fn get(server: &TestServer, parameters: &[(&str, &str)]) -> (u16, Value) {
        let mut url = url::Url::parse(&server.url()).unwrap();
        url.query_pairs_mut().extend_pairs(parameters);
        let request = reqwest::Client::new().get(url).header("accept", "application/graphql-response+json");
        let response = request.send().await.unwrap();
        assert_eq!(response.headers()["cache-control"], "no-store");
        (response.status().as_u16(), response.json().await.unwrap())
    }

    #[tokio::test]
    async fn a_query_by_get_is_answered_where_that_is_switched_on() {
        let query = [
            ("query", "query A($n: String) {hello(name: $n)} query B {who}"),
            ("operationName", "A"),
            ("variables", r#"{"n": "Ä & Ö"}"#),
            ("extensions", ""),
            ("unknown", "1"),
        ];
        let (status, body) = get(&switched_on().await, &query).await;
        assert_eq!((status, &body["data"]), (200, &json!({"hello": "Hello, Ä & Ö!"})));
        let (status, body) = get(&TestServer::start().await, &query).await;
        assert_eq!((status, &body["errors"][0]["extensions"]["code"]), (405, &json!("BAD_REQUEST")));
    }

    #[tokio::test]
    async fn nothing_but_queries_runs_by_get() {
        let server = switched_on().await;
        for query in ["mutation{bump}", "query A{who} mutation B{bump}", "subscription{count(to: 1)}"] {
            let (status, body) = get(&server, &[("query", query), ("operationName", "B")]).await;
            assert!(matches!(status, 400 | 405), "{query}: {status}");
            assert!(body.get("data").is_none(), "{query}");
        }
        assert_eq!(get(&server, &[("query", "mutation{bump}")]).await.0, 405);
        assert_eq!(get(&server, &[("query", "subscription{count(to: 1)}")]).await.0, 405);
        assert_eq!(get(&server, &[("query", "{bumps}")]).await.1["data"], json!({"bumps": 0}));
    }

    #[tokio::test]
    async fn malformed_parameters_are_400() {
        let server = switched_on().await;
        let deep = format!("{{\"n\": {}1{}}}", "[".repeat(100), "]".repeat(100));
        for parameters in [
            vec![],
            vec![("query", "{who}"), ("query", "{who}")],
            vec![("query", "{")],
            vec![("query", "{who}"), ("variables", "[1]")],
            vec![("query", "{who}"), ("variables", "1"), ("variables", "{}")],
            vec![("query", "{who}"), ("variables", "{")],
            vec![("query", "{who}"), ("variables", deep.as_str())],
            vec![("query", "{who}"), ("extensions", "1")],
            vec![("query", "{who}"), ("operationName", "Nobody")],
        ] {
            let (status, body) = get(&server, &parameters).await;
            assert_eq!((status, body.get("data")), (400, None), "{parameters:?}: {body}");
        }
    }

    #[tokio::test]
    async fn the_guard_looks_at_queries_by_get_too() {
        let server = switched_on().await;
        let killer = format!("{{__typename(x:{}", "[".repeat(2_000));
        let (status, body) = get(&server, &[("query", &killer)]).await;
        assert_eq!((status, &body["errors"][0]["extensions"]["code"]), (400, &json!("LIMIT_EXCEEDED")));
    }
}
