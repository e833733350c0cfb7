//! Every operation and every field of the schema, asked for by everybody, held against the table in [`rules`].
//!
//! The schema is walked by its own introspection: what is added to it without a rule fails here, by name. Whoever is
//! refused, or shown nothing, must leave the database as it was; and no answer may hold a secret of the practice that
//! is not for its reader, whatever it is an answer to.

mod introspection;
mod keys;
mod rules;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use self::introspection::Schema;
use self::rules::{DATA, NOTHING, OPERATIONS, Operation, TYPES, Type};
use super::support::client::Client;
use super::support::practice::{ACTORS, Practice, secrets_from};
use super::support::recording;
use super::support::socket::{News, Watch};

/// A subscription that says nothing for so long was accepted: an answer that no rule expects.
const SILENCE: Duration = Duration::from_secs(30);

#[tokio::test]
async fn every_operation_has_a_rule() {
    let ruled: BTreeSet<String> = OPERATIONS.iter().map(|operation| operation.name.to_owned()).collect();
    let present: BTreeSet<String> = Schema::load().await.operations().into_iter().collect();
    let missing: Vec<_> = present.difference(&ruled).collect();
    assert!(
        missing.is_empty(),
        "who may ask for these? Add lines to OPERATIONS in matrix/rules.rs: {missing:?}"
    );
    let gone: Vec<_> = ruled.difference(&present).collect();
    assert!(gone.is_empty(), "not in the schema any more: {gone:?}");
}

#[tokio::test]
async fn every_field_has_a_rule() {
    let schema = Schema::load().await;
    let mut present = BTreeSet::new();
    for ty in schema.content_types() {
        present.extend(schema.field_names(ty).iter().map(|field| format!("{ty}.{field}")));
    }
    let lines = TYPES.iter().flat_map(|ty| ty.fields().map(|(_, field)| format!("{}.{field}", ty.name)));
    let ruled: BTreeSet<String> = lines.collect();
    let missing: Vec<_> = present.difference(&ruled).collect();
    assert!(missing.is_empty(), "who may see these? Add lines to TYPES in matrix/rules.rs: {missing:?}");
    let gone: Vec<_> = ruled.difference(&present).collect();
    assert!(gone.is_empty(), "not in the schema any more: {gone:?}");
}

#[tokio::test]
async fn every_operation_answers_everybody_as_ruled() {
    let schema = Schema::load().await;
    let shared = Practice::new().await;
    let mut wrong = Vec::new();
    for operation in OPERATIONS {
        let own = if operation.alone { Some(Practice::new().await) } else { None };
        let practice = own.as_ref().unwrap_or(&shared);
        // Those who are refused come first: what they ask for is untouched then.
        let (welcome, refused): (Vec<_>, _) =
            ACTORS.into_iter().partition(|actor| operation.expected_by(actor) == DATA);
        for actor in refused.into_iter().chain(welcome) {
            wrong.extend(try_operation(&schema, practice, operation, actor).await);
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn every_field_is_shown_to_those_it_is_for_and_to_nobody_else() {
    let schema = Schema::load().await;
    let practice = Practice::new().await;
    practice.fill().await;
    let before = practice.fingerprint().await;
    let mut wrong = Vec::new();
    for ty in TYPES {
        for (audience, field) in ty.fields() {
            for actor in ACTORS {
                let expected = audience.split(' ').any(|member| member == actor);
                wrong.extend(try_field(&schema, &practice, (ty, field), (actor, expected)).await);
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(practice.fingerprint().await, before, "reading changes nothing");
}

/// What is wrong with the way an operation answers somebody.
async fn try_operation(
    schema: &Schema,
    practice: &Practice,
    operation: &Operation,
    actor: &str,
) -> Vec<String> {
    let before = practice.fingerprint().await;
    let document = operation.document(schema, practice);
    let answer = ask(practice.actor(actor), operation, &document).await;
    let (outcome, expected) = (outcome(&answer), operation.expected_by(actor));
    let asked = format!("{}({}) as {actor}", operation.name, operation.arguments);
    let mut wrong = leaks(actor, &asked, &answer);
    if outcome != expected {
        wrong.push(format!("{asked}: expected {expected}, got {outcome}: {:.300}", answer.to_string()));
    }
    if !(operation.name.starts_with("Mutation.") && expected == DATA) {
        let after = practice.fingerprint().await;
        let changed = after.iter().filter(|(table, rows)| before.get(*table) != Some(rows));
        wrong.extend(changed.map(|(table, _)| format!("{asked}: {table} was changed")));
    }
    wrong
}

/// What is wrong with what somebody sees of a field.
async fn try_field(
    schema: &Schema,
    practice: &Practice,
    (ty, field): (&Type, &str),
    (actor, expected): (&str, bool),
) -> Vec<String> {
    let below = schema.everything_of(&format!("{}.{field}", ty.name));
    let document = ty.door.replace('%', &format!("probe: {field} {below}"));
    let document = format!("{{ {} }}", with_ids(&document, practice));
    let answer = practice.actor(actor).answer(&document, json!({})).await;
    let asked = format!("{}.{field} as {actor}", ty.name);
    let mut wrong = leaks(actor, &asked, &answer);
    let code = answer["errors"][0]["extensions"]["code"].as_str();
    let expected_code = must_log_in(actor).then_some("UNAUTHENTICATED");
    // Where the whole way to it is not for the role, that says so.
    let refused = !expected && code == Some("FORBIDDEN");
    if code != expected_code && !refused {
        wrong.push(format!("{asked}: expected {expected_code:?}, got {code:?}"));
    }
    if shows(&answer, "probe") != expected {
        let sees = if expected { "should be shown" } else { "should be hidden" };
        wrong.push(format!("{asked}: {sees}: {:.300}", answer.to_string()));
    }
    wrong
}

impl Operation {
    fn expected_by(&self, actor: &str) -> &'static str {
        let column = ACTORS.iter().position(|candidate| *candidate == actor).unwrap();
        self.expected.get(column).unwrap_or(&"UNAUTHENTICATED")
    }

    /// The operation with all that can be selected below it.
    fn document(&self, schema: &Schema, practice: &Practice) -> String {
        static FRESH: AtomicUsize = AtomicUsize::new(0);
        let (root, field) = self.name.split_once('.').unwrap();
        let number = FRESH.fetch_add(1, Ordering::Relaxed).to_string();
        let arguments = with_ids(&self.arguments.replace("#n", &number), practice);
        let arguments = if arguments.is_empty() { arguments } else { format!("({arguments})") };
        let variables = if self.takes_file() { "($file: Upload!)" } else { "" };
        let below = schema.everything_of(self.name);
        format!("{} {variables} {{ {field}{arguments} {below} }}", root.to_lowercase())
    }

    fn takes_file(&self) -> bool {
        self.arguments.contains("$file")
    }
}

impl Type {
    /// Who sees it, and the field.
    fn fields(&self) -> impl Iterator<Item = (&'static str, &'static str)> {
        self.shown
            .iter()
            .flat_map(|(audience, fields)| fields.split(' ').map(move |field| (*audience, field)))
    }
}

/// The ids of the practice in the place of their names.
fn with_ids(text: &str, practice: &Practice) -> String {
    practice
        .ids
        .iter()
        .fold(text.to_owned(), |text, (name, id)| text.replace(&format!("${name}"), &format!("{id:?}")))
}

async fn ask(client: &Client, operation: &Operation, document: &str) -> Value {
    if operation.name.starts_with("Subscription.") {
        return first_news(client, document).await;
    }
    if operation.takes_file() {
        return client
            .send_file(document, json!({ "file": null }), "variables.file", recording("cbr.mp3"))
            .await;
    }
    client.answer(document, json!({})).await
}

/// The first thing a subscription says, as an answer over HTTP would say it.
async fn first_news(client: &Client, document: &str) -> Value {
    let mut watch = Watch::start(client, document, json!({})).await;
    let Ok(news) = tokio::time::timeout(SILENCE, watch.next()).await else {
        return json!({ "errors": [{ "extensions": { "code": "silence" } }] });
    };
    match news {
        News::Data(data) => json!({ "data": data }),
        News::Refused(errors) => json!({ "errors": errors }),
        News::Closed(Some(4401 | 4403)) => {
            json!({ "errors": [{ "extensions": { "code": "UNAUTHENTICATED" } }] })
        }
        other => json!({ "errors": [{ "extensions": { "code": format!("{other:?}") } }] }),
    }
}

/// `data`, `nothing`, or the code of an error.
fn outcome(answer: &Value) -> &str {
    if let Some(error) = answer["errors"].get(0) {
        return error["extensions"]["code"].as_str().unwrap_or("an error without a code");
    }
    let result = answer["data"].as_object().and_then(|data| data.values().next()).unwrap_or(&Value::Null);
    if let Some(error) = result["userErrors"].get(0) {
        return error["code"].as_str().unwrap();
    }
    if is_nothing(result) { NOTHING } else { DATA }
}

/// Whether there is anything under this name, at any depth.
fn shows(answer: &Value, name: &str) -> bool {
    match answer {
        Value::Object(members) => members
            .iter()
            .any(|(key, value)| if key == name { !is_nothing(value) } else { shows(value, name) }),
        Value::Array(items) => items.iter().any(|item| shows(item, name)),
        _ => false,
    }
}

/// Null, a list without anything, or a page of one.
fn is_nothing(value: &Value) -> bool {
    let list = value.get("nodes").unwrap_or(value);
    list.is_null() || list.as_array().is_some_and(|items| items.iter().all(Value::is_null))
}

fn must_log_in(actor: &str) -> bool {
    ["anonymous", "deactivated", "expired", "revoked"].contains(&actor)
}

fn leaks(actor: &str, asked: &str, answer: &Value) -> Vec<String> {
    let text = answer.to_string();
    let told = secrets_from(actor).into_iter().filter(|secret| text.contains(secret));
    told.map(|secret| format!("{asked}: tells {secret:?}")).collect()
}
