//! What a request asks for at its root, and about which thing, as far as its text tells.

use std::collections::HashSet;

use async_graphql::parser::types::{
    ExecutableDocument, Field, OperationDefinition, OperationType, Selection, SelectionSet,
};
use async_graphql::registry::Registry;
use async_graphql::{Name, Request, Value, Variables};
use uuid::Uuid;

use crate::audit::Refusal;

/// A field at the root of an operation.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Root {
    /// Its key in the answer.
    pub(super) key: String,
    /// Whether it asks for a thing by its id.
    pub(super) is_by_id: bool,
    field: String,
    subject_type: String,
    subject_id: Option<Uuid>,
}

impl Root {
    /// The field.
    pub(super) fn field(&self) -> &str {
        &self.field
    }

    /// The field, refused.
    pub(super) fn refusal(&self) -> Refusal {
        Refusal {
            operation: self.field.clone(),
            subject_type: self.subject_type.clone(),
            subject_id: self.subject_id,
        }
    }
}

/// The root fields of the operation that a request wants to run; `None` if it has none that can be read.
pub(super) fn roots(request: &mut Request, registry: &Registry) -> Option<(OperationType, Vec<Root>)> {
    let (name, variables) = (request.operation_name.clone(), std::mem::take(&mut request.variables));
    let roots = request.parsed_query().ok().and_then(|document| {
        let wanted =
            |(found, _): &(Option<&Name>, _)| name.is_none() || found.map(Name::as_str) == name.as_deref();
        let (_, operation) = document.operations.iter().find(wanted)?;
        let mut reader = Reader {
            document,
            operation: &operation.node,
            variables: &variables,
            registry,
            roots: Vec::new(),
        };
        reader.select(&operation.node.selection_set.node, &mut HashSet::new());
        Some((operation.node.ty, reader.roots))
    });
    request.variables = variables;
    roots
}

struct Reader<'a> {
    document: &'a ExecutableDocument,
    operation: &'a OperationDefinition,
    variables: &'a Variables,
    registry: &'a Registry,
    roots: Vec<Root>,
}

impl<'a> Reader<'a> {
    /// Each fragment once: a second time it has nothing new, and the document may not have been checked for circles yet.
    fn select(&mut self, set: &'a SelectionSet, fragments: &mut HashSet<&'a Name>) {
        for selection in &set.items {
            match &selection.node {
                Selection::Field(field) => self.add(&field.node),
                Selection::InlineFragment(inline) => self.select(&inline.node.selection_set.node, fragments),
                Selection::FragmentSpread(spread) => {
                    let name = &spread.node.fragment_name.node;
                    if let Some(fragment) = self.document.fragments.get(name)
                        && fragments.insert(name)
                    {
                        self.select(&fragment.node.selection_set.node, fragments);
                    }
                }
            }
        }
    }

    fn add(&mut self, field: &Field) {
        let name = field.name.node.as_str();
        let asked = self.id_asked(field);
        let subject_type = match &asked {
            Some((argument, _)) if argument != "id" => snake_case(argument.trim_end_matches("Id")),
            _ => self.subject_type(name),
        };
        self.roots.push(Root {
            key: field.response_key().node.to_string(),
            is_by_id: asked.is_some(),
            field: name.to_owned(),
            subject_type,
            subject_id: asked.and_then(|(_, id)| id),
        });
    }

    /// The first argument, or field of an input, that names a thing; the id, if it is one of ours.
    fn id_asked(&self, field: &Field) -> Option<(String, Option<Uuid>)> {
        field.arguments.iter().find_map(|(name, value)| {
            let name = name.node.as_str();
            if !is_id(name) && name != "input" {
                return None;
            }
            let value = value.node.clone().into_const_with(|name| self.variable(&name).ok_or(())).ok()?;
            match value {
                Value::Object(input) => {
                    input.iter().find(|(name, _)| is_id(name)).map(|(name, id)| (name.to_string(), uuid(id)))
                }
                id => is_id(name).then(|| (name.to_owned(), uuid(&id))),
            }
        })
    }

    fn variable(&self, name: &Name) -> Option<Value> {
        let default = || {
            let defined =
                self.operation.variable_definitions.iter().find(|defined| defined.node.name.node == *name)?;
            defined.node.default_value()
        };
        self.variables.get(name).or_else(default).cloned()
    }

    /// The noun of what a field gives: of `Patient`, `PatientPayload` and `PatientConnection` it is `patient`.
    fn subject_type(&self, field: &str) -> String {
        let root = match self.operation.ty {
            OperationType::Query => Some(&self.registry.query_type),
            OperationType::Mutation => self.registry.mutation_type.as_ref(),
            OperationType::Subscription => self.registry.subscription_type.as_ref(),
        };
        let meta = root.and_then(|root| self.registry.types.get(root)?.field_by_name(field));
        let given = meta.map_or("", |meta| meta.ty.trim_matches(['[', ']', '!']));
        snake_case(given.trim_end_matches("Payload").trim_end_matches("Connection"))
    }
}

fn is_id(name: &str) -> bool {
    name == "id" || name.ends_with("Id")
}

fn uuid(value: &Value) -> Option<Uuid> {
    match value {
        Value::String(id) => Uuid::try_parse(id).ok(),
        _ => None,
    }
}

fn snake_case(name: &str) -> String {
    let mut snake = String::new();
    for (at, character) in name.char_indices() {
        if character.is_ascii_uppercase() && at > 0 {
            snake.push('_');
        }
        snake.push(character.to_ascii_lowercase());
    }
    snake
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::graphql::registry;

    fn asked(query: &str, variables: serde_json::Value) -> Vec<String> {
        let mut request = Request::new(query).variables(Variables::from_json(variables));
        let (_, roots) = roots(&mut request, &registry()).expect("roots");
        let told = |root: &Root| {
            let id = root.subject_id.map(|id| id.as_u128().to_string()).unwrap_or_default();
            format!("{} {} {} {id} {}", root.key, root.field, root.subject_type, root.is_by_id)
        };
        roots.iter().map(told).collect()
    }

    const ONE: &str = "00000000-0000-0000-0000-000000000001";

    #[test]
    fn the_thing_asked_for_is_found_wherever_its_id_stands() {
        for query in [
            format!("{{ a: session(id: \"{ONE}\") {{ id }} }}"),
            "query ($id: ID!) { a: session(id: $id) { id } }".to_owned(),
            format!("query ($other: ID! = \"{ONE}\") {{ a: session(id: $other) {{ id }} }}"),
            "query ($id: ID!) { ... on Query { ...F } } fragment F on Query { a: session(id: $id) { id } ...F }".to_owned(),
        ] {
            assert_eq!(asked(&query, json!({ "id": ONE })), ["a session session 1 true"], "{query}");
        }
        for query in [
            "mutation ($id: ID!) { updatePatient(input: { name: \"x\", patientId: $id }) { patient { id } } }",
            "mutation ($input: UpdatePatientInput!) { updatePatient(input: $input) { patient { id } } }",
        ] {
            let variables = json!({ "id": ONE, "input": { "patientId": ONE } });
            assert_eq!(asked(query, variables), ["updatePatient updatePatient patient 1 true"], "{query}");
        }
    }

    #[test]
    fn what_names_no_thing_is_told_by_what_it_gives() {
        let query = "{ viewer { id } patients { totalCount } node(id: \"none of ours\") { id } }";
        let expected =
            ["viewer viewer user  false", "patients patients patient  false", "node node node  true"];
        assert_eq!(asked(query, json!({})), expected);
    }

    #[test]
    fn only_the_named_operation_counts_and_the_variables_stay() {
        let mut request =
            Request::new("query A { viewer { id } } query B($x: Int) { patients { totalCount } }")
                .operation_name("B")
                .variables(Variables::from_json(json!({ "x": 1 })));
        let (operation, roots) = roots(&mut request, &registry()).expect("roots");
        assert_eq!((operation, roots[0].field.as_str(), roots.len()), (OperationType::Query, "patients", 1));
        assert_eq!(request.variables, Variables::from_json(json!({ "x": 1 })));
        assert!(super::roots(&mut Request::new("{ viewer"), &registry()).is_none());
    }
}
