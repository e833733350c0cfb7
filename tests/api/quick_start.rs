//! The client in Rust that docs/api.md begins with: what stands there is what runs here.

use reqwest::Client;
use serde_json::{Value, json};

type Failure = Box<dyn std::error::Error>;

/// Runs an operation; its data.
async fn call(api: &str, token: &str, query: &str, variables: Value) -> Result<Value, Failure> {
    let body = json!({ "query": query, "variables": variables });
    let answer: Value = Client::new().post(api).bearer_auth(token).json(&body).send().await?.json().await?;
    match answer["errors"].get(0) {
        Some(error) => Err(error["message"].to_string().into()),
        None => Ok(answer["data"].clone()),
    }
}

/// The names of all patients, page by page.
async fn patients(api: &str, token: &str) -> Result<Vec<String>, Failure> {
    let query = "query ($after: String) { patients(first: 50, after: $after) {
        nodes { name } pageInfo { hasNextPage endCursor } } }";
    let (mut names, mut after) = (Vec::new(), Value::Null);
    loop {
        let page = call(api, token, query, json!({ "after": after })).await?["patients"].take();
        let nodes = page["nodes"].as_array().into_iter().flatten();
        names.extend(nodes.filter_map(|node| Some(node["name"].as_str()?.to_owned())));
        if page["pageInfo"]["hasNextPage"] != true {
            return Ok(names);
        }
        after = page["pageInfo"]["endCursor"].clone();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::support::{TestApp, root};

    #[tokio::test]
    async fn the_client_of_the_page_reads_every_patient() {
        let app = TestApp::new().await;
        let jane = app.therapist("jane").await;
        for name in ["Daniel Weber", "Maria Lind"] {
            jane.patient(name).await;
        }
        let api = format!("http://{}/graphql", app.address);
        let mut names = patients(&api, jane.token.as_deref().unwrap()).await.unwrap();
        names.sort();
        assert_eq!(names, ["Daniel Weber", "Maria Lind"]);
        assert!(patients(&api, "no.good.token").await.is_err());
    }

    #[test]
    fn the_page_shows_the_client_that_runs() {
        let here = include_str!("quick_start.rs");
        let client = here.split_once("\n\n").unwrap().1.split_once("\n\n#[cfg(test)]").unwrap().0;
        let page = std::fs::read_to_string(root().join("docs/api.md")).unwrap();
        assert!(
            page.contains(&format!("```rust\n{client}\n```")),
            "docs/api.md has another client than:\n{client}"
        );
    }
}
