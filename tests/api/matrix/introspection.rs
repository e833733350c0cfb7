//! The schema as it tells of itself.

use std::collections::BTreeMap;

use serde_json::Value;
use therapybridge::graphql;

/// Types by name.
pub(super) struct Schema(BTreeMap<String, Value>);

impl Schema {
    pub(super) async fn load() -> Self {
        let answer = graphql::schema(true).execute(INTROSPECTION).await;
        let data = serde_json::to_value(answer.into_result().unwrap().data).unwrap();
        let types = data["__schema"]["types"].as_array().unwrap().iter();
        Self(types.map(|ty| (text(ty, "name").to_owned(), ty.clone())).collect())
    }

    /// `Query.patient` and its like.
    pub(super) fn operations(&self) -> Vec<String> {
        let roots = ["Query", "Mutation", "Subscription"];
        let of =
            |root: &&str| self.fields(root).map(|field| format!("{root}.{}", text(field, "name"))).collect();
        roots.iter().flat_map::<Vec<String>, _>(of).collect()
    }

    /// The types whose fields need rules: objects that are no roots, no pages and no answers of mutations (what these
    /// carry has a type of its own).
    pub(super) fn content_types(&self) -> Vec<&str> {
        let wrapper = |name: &str| {
            name.starts_with("__")
                || ["Connection", "Edge", "Payload"].iter().any(|end| name.ends_with(end))
                || ["Query", "Mutation", "Subscription", "PageInfo", "UserError"].contains(&name)
        };
        let objects = self.0.iter().filter(|(_, ty)| ty["kind"] == "OBJECT").map(|(name, _)| name.as_str());
        objects.filter(|name| !wrapper(name)).collect()
    }

    pub(super) fn field_names(&self, ty: &str) -> Vec<&str> {
        self.fields(ty).map(|field| text(field, "name")).collect()
    }

    /// Everything below an operation (`Query.patient`) or field (`Patient.sessions`), as a selection; empty for a plain
    /// value.
    pub(super) fn everything_of(&self, field: &str) -> String {
        let (parent, name) = field.split_once('.').unwrap();
        let field = self.fields(parent).find(|field| text(field, "name") == name);
        let field = field.unwrap_or_else(|| panic!("the schema has no {parent}.{name}"));
        self.below(inner(&field["type"]), &[])
    }

    /// A selection of all fields without arguments that must be given, down to where a type returns.
    fn below<'a>(&'a self, ty: &'a str, path: &[&'a str]) -> String {
        if !["OBJECT", "INTERFACE"].contains(&text(&self.0[ty], "kind")) {
            return String::new();
        }
        let path = [path, &[ty]].concat();
        let mut selected = vec!["__typename".to_owned()];
        for field in self.fields(ty).filter(|field| is_optional(field)) {
            let (name, inside) = (text(field, "name"), inner(&field["type"]));
            // A page's edges carry its nodes once more.
            if path.contains(&inside) || inside.ends_with("Edge") {
                continue;
            }
            selected.push(format!("{name} {}", self.below(inside, &path)));
        }
        for possible in self.0[ty]["possibleTypes"].as_array().into_iter().flatten() {
            let possible = text(possible, "name");
            selected.push(format!("... on {possible} {}", self.below(possible, &path)));
        }
        format!("{{ {} }}", selected.join(" "))
    }

    fn fields(&self, ty: &str) -> impl Iterator<Item = &Value> {
        self.0[ty]["fields"].as_array().into_iter().flatten()
    }
}

fn is_optional(field: &Value) -> bool {
    let arguments = field["args"].as_array().into_iter().flatten();
    arguments
        .into_iter()
        .all(|argument| argument["type"]["kind"] != "NON_NULL" || !argument["defaultValue"].is_null())
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}

/// The name inside lists and non-nulls.
fn inner(ty: &Value) -> &str {
    if ty["ofType"].is_null() { text(ty, "name") } else { inner(&ty["ofType"]) }
}

const INTROSPECTION: &str = "{ __schema { types {
    name kind possibleTypes { name }
    fields(includeDeprecated: true) { name args { defaultValue type { kind } } type { ...Ref } }
} } }
fragment Ref on __Type { kind name ofType { kind name ofType { kind name ofType { kind name } } } }";
