//! The schema as a server tells it, and what can be selected of its types.

use std::collections::BTreeMap;

use serde_json::Value;

/// What asks a server for its schema.
pub(crate) const QUERY: &str = "{ __schema { types { kind name fields { name args { name type { kind } }
    type { kind name ofType { kind name ofType { kind name ofType { kind name } } } } } } } }";

pub(crate) struct Field {
    pub(crate) name: String,
    /// The type of what it gives, without lists.
    pub(crate) of: String,
    pub(crate) has_fields: bool,
    arguments: Vec<String>,
    required: Vec<String>,
}

impl Field {
    pub(crate) fn is_connection(&self) -> bool {
        self.of.ends_with("Connection")
    }

    /// It with arguments that make it large, but for the length of a page; `None` where one is missing that it needs.
    pub(crate) fn called(&self, ids: &BTreeMap<String, String>) -> Option<String> {
        let mut arguments = Vec::new();
        for name in &self.arguments {
            let value = match name.as_str() {
                "weeks" => Some("104".to_owned()),
                "limit" => Some("100".to_owned()),
                "period" => Some("Y1".to_owned()),
                "granularity" => Some("DAY".to_owned()),
                _ => ids.get(&format!("{}.{name}", self.name)).map(|id| format!("{id:?}")),
            };
            match value {
                Some(value) => arguments.push(format!("{name}: {value}")),
                None if self.required.contains(name) => return None,
                None => {}
            }
        }
        Some(if arguments.is_empty() {
            self.name.clone()
        } else {
            format!("{}({})", self.name, arguments.join(", "))
        })
    }

    /// As [`called`](Self::called), a page of so many.
    pub(crate) fn page(&self, ids: &BTreeMap<String, String>, first: usize) -> Option<String> {
        let called = self.called(ids)?;
        Some(match called.strip_suffix(')') {
            Some(called) => format!("{called}, first: {first})"),
            None => format!("{called}(first: {first})"),
        })
    }
}

pub(crate) struct Schema {
    types: BTreeMap<String, Vec<Field>>,
    pub(crate) ids: BTreeMap<String, String>,
}

impl Schema {
    /// Reads the answer to [`QUERY`]; `ids` are those that fields may be asked with: `session.id`.
    pub(crate) fn new(answer: &Value, ids: BTreeMap<String, String>) -> Self {
        let objects = answer["__schema"]["types"].as_array().unwrap().iter();
        let fields = |ty: &Value| ty["fields"].as_array().unwrap().iter().map(field).collect();
        let objects = objects.filter(|ty| ty["kind"] == "OBJECT");
        Self { types: objects.map(|ty| (text(&ty["name"]), fields(ty))).collect(), ids }
    }

    pub(crate) fn fields(&self, ty: &str) -> &[Field] {
        self.types.get(ty).map_or(&[], Vec::as_slice)
    }

    pub(crate) fn field(&self, ty: &str, name: &str) -> Option<&Field> {
        self.fields(ty).iter().find(|field| field.name == name)
    }

    /// All of a type that has no fields of its own.
    pub(crate) fn plain(&self, ty: &str) -> String {
        let plain = self.fields(ty).iter().filter(|field| !field.has_fields);
        plain.filter_map(|field| field.called(&self.ids)).collect::<Vec<_>>().join(" ")
    }

    /// All of a type, and all of what it leads to, so many levels deep, but for pages.
    pub(crate) fn all(&self, ty: &str, levels: usize) -> String {
        let below = self.fields(ty).iter().filter(|field| field.has_fields && !field.is_connection());
        let below = below.filter_map(|field| self.whole(field, levels));
        std::iter::once(self.plain(ty)).chain(below).collect::<Vec<_>>().join(" ")
    }

    /// A field with all of what it gives.
    pub(crate) fn whole(&self, field: &Field, levels: usize) -> Option<String> {
        let called = field.called(&self.ids)?;
        if !field.has_fields {
            return Some(called);
        }
        let selections = self.all(&field.of, levels.checked_sub(1)?);
        (!selections.is_empty()).then(|| format!("{called} {{ {selections} }}"))
    }
}

fn field(value: &Value) -> Field {
    let mut ty = &value["type"];
    while !ty["ofType"].is_null() {
        ty = &ty["ofType"];
    }
    let arguments = || value["args"].as_array().unwrap().iter();
    let required = arguments().filter(|argument| argument["type"]["kind"] == "NON_NULL");
    Field {
        name: text(&value["name"]),
        of: text(&ty["name"]),
        has_fields: matches!(ty["kind"].as_str(), Some("OBJECT" | "INTERFACE" | "UNION")),
        arguments: arguments().map(|argument| text(&argument["name"])).collect(),
        required: required.map(|argument| text(&argument["name"])).collect(),
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
