//! The JSON schema of a note draft in the subset that strict structured output accepts, and the check against it.

use std::sync::LazyLock;

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use crate::ai::{DraftTexts, NoteDraft};

/// More problems than these make a repair round no better.
const MAX_PROBLEMS: usize = 20;

/// Schema of [`NoteDraft`]: every property required, no others allowed, nothing but plain keywords.
pub(super) static NOTES: LazyLock<Value> = LazyLock::new(strict::<NoteDraft>);

/// Schema of [`DraftTexts`], by the same rules.
pub(super) static TEXTS: LazyLock<Value> = LazyLock::new(strict::<DraftTexts>);

fn strict<T: JsonSchema>() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| settings.inline_subschemas = true);
    let mut schema = settings.into_generator().into_root_schema_for::<T>().to_value();
    make_strict(&mut schema);
    schema
}

fn make_strict(schema: &mut Value) {
    let Some(schema) = schema.as_object_mut() else {
        return;
    };
    schema.retain(|keyword, _| !matches!(keyword.as_str(), "$schema" | "title" | "format"));
    if let Some(Value::Array(variants)) = schema.remove("oneOf") {
        join_variants(schema, &variants);
    }
    if let Some(Value::Object(properties)) = schema.get_mut("properties") {
        let names: Vec<_> = properties.keys().cloned().collect();
        properties.values_mut().for_each(make_strict);
        schema.insert("required".to_owned(), json!(names));
        schema.insert("additionalProperties".to_owned(), json!(false));
    }
    if let Some(items) = schema.get_mut("items") {
        make_strict(items);
    }
}

/// A documented enum comes as `oneOf` constants, which strict output does not know: makes it one `enum` and
/// moves the meanings into the description, where the model reads them.
fn join_variants(schema: &mut Map<String, Value>, variants: &[Value]) {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let names: Vec<_> = variants.iter().map(|variant| text(&variant["const"])).collect();
    let meanings = variants
        .iter()
        .zip(&names)
        .map(|(variant, name)| format!("{name}: {}", text(&variant["description"])));
    let description: Vec<_> = schema.get("description").map(text).into_iter().chain(meanings).collect();
    schema.insert("type".to_owned(), json!("string"));
    schema.insert("enum".to_owned(), json!(names));
    schema.insert("description".to_owned(), json!(description.join("\n")));
}

/// In what way `value` is not of the schema's shape, one sentence a problem; none of them repeats a value.
pub(super) fn problems(value: &Value, schema: &Value) -> Vec<String> {
    let mut found = Vec::new();
    check("The answer", value, schema, &mut found);
    found.truncate(MAX_PROBLEMS);
    found
}

fn check(at: &str, value: &Value, schema: &Value, found: &mut Vec<String>) {
    match (schema["type"].as_str().unwrap_or_default(), value) {
        ("object", Value::Object(fields)) => check_fields(at, fields, schema, found),
        ("array", Value::Array(items)) => {
            for (index, item) in items.iter().enumerate() {
                check(&format!("{at}[{index}]"), item, &schema["items"], found);
            }
        }
        ("string", Value::String(_)) => check_enum(at, value, schema, found),
        ("integer", Value::Number(number)) if number.as_i64().is_some_and(|n| i32::try_from(n).is_ok()) => {}
        (expected, _) => found.push(format!("{at} must be of type {expected}.")),
    }
}

fn check_fields(at: &str, fields: &Map<String, Value>, schema: &Value, found: &mut Vec<String>) {
    let empty = Map::new();
    let properties = schema["properties"].as_object().unwrap_or(&empty);
    for (name, schema) in properties {
        let path = if at.starts_with("The ") { name.clone() } else { format!("{at}.{name}") };
        match fields.get(name) {
            Some(value) => check(&path, value, schema, found),
            None => found.push(format!("{path} is missing.")),
        }
    }
    if fields.keys().any(|name| !properties.contains_key(name)) {
        found.push(format!("{at} has a field that the schema does not name."));
    }
}

fn check_enum(at: &str, value: &Value, schema: &Value, found: &mut Vec<String>) {
    if let Some(allowed) = schema["enum"].as_array()
        && !allowed.contains(value)
    {
        let names: Vec<_> = allowed.iter().filter_map(Value::as_str).collect();
        found.push(format!("{at} must be one of {}.", names.join(", ")));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn notes() -> Value {
        json!({
            "keyTopics": ["sleep"], "topicSummary": "s", "strategies": [], "sessionMood": "LOW",
            "actionItems": [{"text": "t", "quote": "q", "segment": 3}], "moodTrajectory": "STABLE",
            "therapistNotes": "n", "patientSummary": "p", "riskFlags": [],
        })
    }

    fn every_object(schema: &Value, claim: &impl Fn(&Map<String, Value>)) {
        match schema {
            Value::Object(map) => {
                claim(map);
                map.values().for_each(|value| every_object(value, claim));
            }
            Value::Array(items) => items.iter().for_each(|value| every_object(value, claim)),
            _ => {}
        }
    }

    #[test]
    fn the_schema_keeps_to_the_strict_subset() {
        let schemas = json!([*NOTES, *TEXTS]);
        every_object(&schemas, &|map| {
            for keyword in
                ["$ref", "$defs", "$schema", "oneOf", "allOf", "const", "format", "title", "default"]
            {
                assert!(!map.contains_key(keyword), "{keyword} in {map:?}");
            }
            if map.get("type") == Some(&json!("object")) {
                let names: Vec<_> = map["properties"].as_object().unwrap().keys().collect();
                assert_eq!(map["required"], json!(names));
                assert_eq!(map["additionalProperties"], json!(false));
            }
        });
        assert_eq!(NOTES["properties"].as_object().unwrap().len(), 9);
        assert_eq!(TEXTS["properties"].as_object().unwrap().len(), 6);
    }

    #[test]
    fn enums_are_inline_and_explain_their_values() {
        let kind = &NOTES["properties"]["riskFlags"]["items"]["properties"]["kind"];
        assert!(kind["enum"].as_array().unwrap().contains(&json!("SUICIDAL_IDEATION")));
        assert!(kind["description"].as_str().unwrap().contains("PAST_ATTEMPT: A suicide attempt"));
    }

    #[test]
    fn well_formed_notes_have_no_problems_and_parse() {
        assert_eq!(problems(&notes(), &NOTES), Vec::<String>::new());
        assert!(serde_json::from_value::<NoteDraft>(notes()).is_ok());
    }

    #[test]
    fn every_problem_is_named_by_its_place_and_without_its_value() {
        let mut notes = notes();
        notes["sessionMood"] = json!("a secret");
        notes["actionItems"][0]["segment"] = json!(1.5);
        notes["riskFlags"] = json!("a secret");
        notes["a secret"] = json!(1);
        notes.as_object_mut().unwrap().remove("keyTopics");
        let found = problems(&notes, &NOTES).join(" ");
        for expected in [
            "sessionMood must be one of VERY_LOW, LOW,",
            "actionItems[0].segment must be of type integer.",
            "riskFlags must be of type array.",
            "The answer has a field that the schema does not name.",
            "keyTopics is missing.",
        ] {
            assert!(found.contains(expected), "{expected} in {found}");
        }
        assert!(!found.contains("secret"));
    }

    #[test]
    fn whatever_passes_the_check_parses() {
        let mut notes = notes();
        notes["actionItems"][0]["segment"] = json!(i64::from(i32::MAX) + 1);
        assert!(!problems(&notes, &NOTES).is_empty());
    }
}
