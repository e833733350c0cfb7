//! Anything by its id, and many at a time.

use serde_json::{Value, json};

use super::support::client::Client;
use super::support::{TestApp, recording};

const NODES: &str = "query ($ids: [ID!]!) { nodes(ids: $ids) { __typename id } }";

async fn nodes(client: &Client, ids: &[&str]) -> Value {
    client.call(NODES, json!({ "ids": ids })).await["nodes"].clone()
}

#[tokio::test]
async fn nodes_come_in_the_order_of_their_ids_of_whatever_kind_and_null_where_there_is_none_for_the_asker() {
    let app = TestApp::new().await;
    let (jane, eve) = (app.therapist("jane").await, app.therapist("eve").await);
    let patient = jane.patient("Daniel").await;
    let session = jane.session(&patient, recording("cbr.mp3")).await;
    let theirs = eve.patient("Maria").await;
    let me = jane.call("{ viewer { id } }", json!({})).await["viewer"]["id"].as_str().unwrap().to_owned();
    let (key, _) = jane.api_key(&["SESSIONS_READ"]).await;
    let unknown = "0199e0b2-5d0c-7c51-a5b5-0d6f6a7b9e11";
    let ids = [&session, &theirs, &patient, unknown, "nothing", &me, &session, &key, ""];
    let node = |kind: &str, id: &str| json!({ "__typename": kind, "id": id });
    let expected = json!([
        node("Session", &session),
        null,
        node("Patient", &patient),
        null,
        null,
        node("User", &me),
        node("Session", &session),
        node("ApiKey", &key),
        null
    ]);
    assert_eq!(nodes(&jane, &ids).await, expected);
    assert_eq!(nodes(&jane, &[]).await, json!([]));
    // As `node` has it, one by one.
    for (id, found) in ids.iter().zip(expected.as_array().unwrap()) {
        let one = "query ($id: ID!) { node(id: $id) { __typename id } }";
        assert_eq!(&jane.call(one, json!({ "id": id })).await["node"], found, "{id}");
    }
}

#[tokio::test]
async fn a_hundred_nodes_are_the_most_and_cost_as_many_as_are_named() {
    let app = TestApp::new().await;
    let jane = app.therapist("jane").await;
    let patient = jane.patient("Daniel").await;
    let cost = async |count: usize| {
        let answer = jane.answer(NODES, json!({ "ids": vec![&patient; count] })).await;
        answer["extensions"]["cost"]["requested"].as_u64().unwrap_or_else(|| panic!("{answer}"))
    };
    assert_eq!(nodes(&jane, &[patient.as_str(); 100]).await.as_array().unwrap().len(), 100);
    let (one, two, hundred) = (cost(1).await, cost(2).await, cost(100).await);
    assert_eq!(hundred - one, 99 * (two - one));
    let too_many = json!({ "ids": vec![&patient; 101] });
    assert_eq!(jane.refusal(NODES, too_many).await, "BAD_REQUEST");
    let dear = "query ($ids: [ID!]!) { nodes(ids: $ids) { ... on Session { transcriptText } } }";
    assert_eq!(jane.refusal(dear, json!({ "ids": vec![&patient; 100] })).await, "LIMIT_EXCEEDED");
    assert_eq!(app.anonymous().refusal(NODES, json!({ "ids": [patient] })).await, "UNAUTHENTICATED");
}
