//! Documents and variables that will not do, over every transport. Those of the first list end the process of a server that is
//! nothing but async-graphql, or keep it busy for seconds, or make it answer with megabytes.

use std::time::Duration;

use reqwest::multipart::{Form, Part};
use serde_json::{Value, json};

use super::{Bystander, code};
use crate::support::TestApp;
use crate::support::client::Client;
use crate::support::socket::{News, Watch};

/// A refusal takes none of it; executing one of these would.
const IN_TIME: Duration = Duration::from_secs(5);
/// More than any refusal has to say.
const SHORT: usize = 20_000;

/// What is longer does not fit into an address, escaped.
const LONGEST_ADDRESS: usize = 15_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Transport {
    Http,
    Get,
    Events,
    Multipart,
    Socket,
}

const TRANSPORTS: [Transport; 5] =
    [Transport::Http, Transport::Get, Transport::Events, Transport::Multipart, Transport::Socket];

impl Transport {
    /// The status, where there is one, and the answer.
    async fn ask(self, client: &Client, payload: &Value) -> (u16, Value) {
        if self == Self::Socket {
            return match Watch::ask_for(client, payload.clone()).await.next().await {
                News::Refused(errors) => (200, json!({ "errors": errors })),
                News::Data(data) => (200, json!({ "data": data })),
                other => panic!("{other:?}"),
            };
        }
        let answer = self.request(client, payload).send().await.unwrap();
        let status = answer.status().as_u16();
        let text = answer.text().await.unwrap();
        assert!(text.len() < SHORT, "{self:?}: {} bytes: {text:.200}", text.len());
        let body = match self {
            Self::Events => text.lines().find_map(|line| line.strip_prefix("data: ")).unwrap_or(&text),
            _ => &text,
        };
        (status, serde_json::from_str(body).unwrap_or(Value::Null))
    }

    fn request(self, client: &Client, payload: &Value) -> reqwest::RequestBuilder {
        match self {
            Self::Get => {
                let mut url = url::Url::parse("http://a/graphql").unwrap();
                for (name, value) in payload.as_object().unwrap() {
                    let value = value.as_str().map_or_else(|| value.to_string(), Into::into);
                    url.query_pairs_mut().append_pair(name, &value);
                }
                let path = format!("/graphql?{}", url.query().unwrap());
                client.request(reqwest::Method::GET, &path)
            }
            Self::Multipart => {
                let mut operations = payload.clone();
                operations["variables"]["file"] = Value::Null;
                let parts = Form::new()
                    .text("operations", operations.to_string())
                    .text("map", r#"{"0": ["variables.file"]}"#)
                    .part("0", Part::bytes(vec![0; 9]));
                client.post("/graphql").header("apollo-require-preflight", "1").multipart(parts)
            }
            Self::Events => client.post("/graphql").header("accept", "text/event-stream").json(payload),
            _ => client.post("/graphql").json(payload),
        }
    }
}

fn brackets(before: &str, open: &str, close: &str, after: &str) -> String {
    format!("{before}{}{}{after}", open.repeat(2_000), close.repeat(2_000))
}

/// Each fragment spreads the next one twice: 2^25 fields.
fn doubling(of: &str) -> String {
    let fragments: Vec<String> =
        (0..25).map(|n| format!("fragment f{n} on Query{{...f{} ...f{}}}", n + 1, n + 1)).collect();
    let fragments = fragments.concat();
    format!("{{{of}}}{fragments}fragment f25 on Query{{__typename}}")
}

fn many(count: usize, one: impl Fn(usize) -> String) -> String {
    (0..count).map(one).collect()
}

/// What it is, and the document.
fn killers() -> Vec<(&'static str, String)> {
    vec![
        ("lists in lists as a value", brackets("{__typename(x:", "[", "]", ")}")),
        ("objects in objects as a value", brackets("{__typename(x:", "{a:", "}", ")}")),
        ("lists in lists as a type", brackets("query($a:", "[", "]", "){__typename}").replace("[]", "[Int]")),
        ("fields in fields", brackets("", "{a", "}", "")),
        ("inline fragments in each other", brackets("", "{...", "}", "")),
        ("brackets that nobody closes", format!("{{__typename(x:{}", "[".repeat(2_000))),
        ("fragments that double", doubling("...f0")),
        ("fragments that double, and nobody uses", doubling("__typename")),
        ("ten thousand aliases", format!("{{{}}}", many(10_000, |n| format!("a{n}:__typename ")))),
        (
            "ten thousand aliases of a dear field",
            format!("{{{}}}", many(2_000, |n| format!("a{n}:practiceOverview{{totalPatients}}"))),
        ),
        (
            "twenty thousand undeclared variables",
            format!("{{__typename({})}}", many(20_000, |n| format!("a{n}:$v{n} "))),
        ),
        ("two thousand directives", format!("{{__typename {}}}", "@skip(if:false)".repeat(2_000))),
        ("a hundred thousand tokens", format!("{{{}}}", "a ".repeat(100_000))),
        ("a long comment", format!("#{}\n{{__typename}}", "a".repeat(70_000))),
        (
            "a schema within itself",
            "{__schema{types{fields{type{fields{type{fields{type{fields{name}}}}}}}}}}".into(),
        ),
        (
            "a chain of fragments",
            format!(
                "{{...f0}}{}fragment f500 on Query{{__typename}}",
                many(500, |n| format!("fragment f{n} on Query{{...f{}}}", n + 1))
            ),
        ),
        (
            "pages of pages of long texts",
            "{patients(first:100){nodes{sessions(first:100){nodes{transcriptText}}}}}".into(),
        ),
    ]
}

async fn site() -> TestApp {
    TestApp::with(&[("GRAPHQL_GET", "true"), ("MAX_SOCKETS_PER_USER", "1000")]).await
}

#[tokio::test]
async fn what_ends_a_bare_server_is_refused_on_every_transport() {
    let app = site().await;
    let (jane, bystander) = (app.therapist("jane").await, Bystander::new(&app).await);
    let mut wrong = Vec::new();
    for (what, document) in killers() {
        for transport in TRANSPORTS {
            if transport == Transport::Get && document.len() > LONGEST_ADDRESS {
                continue;
            }
            let payload = json!({ "query": document });
            let (status, answer) = tokio::time::timeout(IN_TIME, transport.ask(&jane, &payload))
                .await
                .unwrap_or_else(|_| panic!("{what}, {transport:?}: no answer in time"));
            if code(&answer) != "LIMIT_EXCEEDED" {
                wrong.push(format!("{what}, {transport:?}: {status} {answer}"));
            }
            assert!(answer.to_string().len() < SHORT, "{what}, {transport:?}");
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    bystander.goes_on(&app).await;
}

/// What it is, the request, and its code.
fn mistakes() -> Vec<(&'static str, Value, &'static str)> {
    let first = "query A($first: Int!) { patients(first: $first) { totalCount } }";
    vec![
        (
            "fragments in a circle",
            json!({ "query": "{...a} fragment a on Query{...b} fragment b on Query{...a}" }),
            "VALIDATION_FAILED",
        ),
        (
            "a fragment within itself",
            json!({ "query": "{...a} fragment a on Query{...a}" }),
            "VALIDATION_FAILED",
        ),
        ("an unknown fragment", json!({ "query": "{...a}" }), "VALIDATION_FAILED"),
        ("an unknown field", json!({ "query": "{ nothing }" }), "VALIDATION_FAILED"),
        (
            "brackets behind a block string that nobody ends",
            json!({ "query": format!("{{a(x:\"\"\"{}", "[".repeat(2_000)) }),
            "BAD_REQUEST",
        ),
        ("no document", json!({ "query": "" }), "BAD_REQUEST"),
        ("an open bracket", json!({ "query": "{" }), "BAD_REQUEST"),
        (
            "an unknown operation",
            json!({ "query": first, "operationName": "B", "variables": { "first": 1 } }),
            "BAD_REQUEST",
        ),
        (
            "two operations and no name",
            json!({ "query": format!("{first} query B {{ __typename }}") }),
            "BAD_REQUEST",
        ),
        (
            "a variable of another type",
            json!({ "query": first, "variables": { "first": "ten" } }),
            "VALIDATION_FAILED",
        ),
        (
            "a list for a variable that is none",
            json!({ "query": first, "variables": { "first": [[1]] } }),
            "VALIDATION_FAILED",
        ),
        ("a variable that is missing", json!({ "query": first, "variables": {} }), "VALIDATION_FAILED"),
        (
            "a variable that is null",
            json!({ "query": first, "variables": { "first": null } }),
            "VALIDATION_FAILED",
        ),
        (
            "a number beyond its type",
            json!({ "query": first, "variables": { "first": 3_000_000_000_u32 } }),
            "BAD_REQUEST",
        ),
        ("a page that is too long", json!({ "query": first, "variables": { "first": 101 } }), "BAD_REQUEST"),
    ]
}

#[tokio::test]
async fn mistakes_have_their_code_on_every_transport() {
    let app = site().await;
    let (jane, bystander) = (app.therapist("jane").await, Bystander::new(&app).await);
    let mut wrong = Vec::new();
    for (what, payload, expected) in mistakes() {
        for transport in TRANSPORTS {
            let (_, answer) = transport.ask(&jane, &payload).await;
            if code(&answer) != expected {
                wrong.push(format!("{what}, {transport:?}: {answer}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    bystander.goes_on(&app).await;
}

#[tokio::test]
async fn an_answer_names_twenty_faults_and_counts_the_others_on_every_transport() {
    let app = site().await;
    let jane = app.therapist("jane").await;
    let payload = json!({ "query": format!("{{{}}}", many(4_000, |n| format!("nothing{n} "))) });
    for transport in [Transport::Http, Transport::Get, Transport::Events, Transport::Socket] {
        let (_, answer) = transport.ask(&jane, &payload).await;
        assert_eq!(answer["errors"].as_array().unwrap().len(), 20, "{transport:?}");
        assert!(answer.to_string().len() < SHORT, "{transport:?}");
    }
}
