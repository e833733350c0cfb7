//! What clients were promised: the schema of the last release is committed beside the present one, and nothing that a client
//! may rest on goes or changes without a decision that is written down.

use std::collections::{BTreeMap, BTreeSet};

use async_graphql::parser::parse_schema;
use async_graphql::parser::types::{
    BaseType, FieldDefinition, InputValueDefinition, Type, TypeDefinition, TypeKind, TypeSystemDefinition,
};
use async_graphql::{Name, Positioned};
use therapybridge::graphql;

use super::support::root;

const BASELINE: &str = "tests/data/schema.baseline.graphql";
/// Lines `Type.field — why it had to be`.
const DECISIONS: &str = "tests/data/breaking_changes.txt";

/// Something a client can rest on.
enum Element {
    /// It is there.
    Present,
    /// It is read, as this type.
    Read(Type),
    /// It is written, as this type; it may be left out where it has a default.
    Written(Type, bool),
}

/// What a client can rest on, by its path: `Type`, `Type.field`, `Type.field.argument`, `Type implements Interface`.
fn elements(sdl: &str) -> BTreeMap<String, Element> {
    let document = parse_schema(sdl).unwrap();
    let types = document.definitions.into_iter().filter_map(|definition| match definition {
        TypeSystemDefinition::Type(ty) => Some(ty.node),
        TypeSystemDefinition::Schema(_) | TypeSystemDefinition::Directive(_) => None,
    });
    types.flat_map(of_type).collect()
}

fn of_type(definition: TypeDefinition) -> Vec<(String, Element)> {
    let name = definition.name.node.to_string();
    let mut found = vec![(name.clone(), Element::Present)];
    let present = |path: String| (path, Element::Present);
    let implements = |names: Vec<Positioned<Name>>| {
        names.into_iter().map(|other| format!("{name} implements {}", other.node))
    };
    match definition.kind {
        TypeKind::Scalar => {}
        TypeKind::Object(object) => {
            found.extend(implements(object.implements).map(present));
            found.extend(object.fields.into_iter().flat_map(|field| of_field(&name, field.node)));
        }
        TypeKind::Interface(interface) => {
            found.extend(implements(interface.implements).map(present));
            found.extend(interface.fields.into_iter().flat_map(|field| of_field(&name, field.node)));
        }
        TypeKind::Union(union) => {
            found.extend(union.members.iter().map(|member| present(format!("{name} | {}", member.node))));
        }
        TypeKind::Enum(values) => {
            found.extend(
                values.values.iter().map(|value| present(format!("{name}.{}", value.node.value.node))),
            );
        }
        TypeKind::InputObject(input) => {
            found.extend(input.fields.into_iter().map(|field| of_input(&name, field.node)));
        }
    }
    found
}

fn of_field(owner: &str, field: FieldDefinition) -> Vec<(String, Element)> {
    let path = format!("{owner}.{}", field.name.node);
    let mut found: Vec<_> = field.arguments.into_iter().map(|arg| of_input(&path, arg.node)).collect();
    found.push((path, Element::Read(field.ty.node)));
    found
}

fn of_input(owner: &str, input: InputValueDefinition) -> (String, Element) {
    let path = format!("{owner}.{}", input.name.node);
    (path, Element::Written(input.ty.node, input.default_value.is_some()))
}

/// What breaks clients of the first schema when they meet the second, by its path.
fn breaking(old: &str, new: &str) -> BTreeMap<String, String> {
    let (old, new) = (elements(old), elements(new));
    let mut found = BTreeMap::new();
    for (path, before) in &old {
        if let Some(problem) = change(before, new.get(path)) {
            found.insert(path.clone(), problem);
        }
    }
    for (path, element) in &new {
        let owner = path.rsplit_once('.').map_or("", |(owner, _)| owner);
        if let Element::Written(ty, has_default) = element
            && !old.contains_key(path)
            && old.contains_key(owner)
            && !ty.nullable
            && !has_default
        {
            found.insert(path.clone(), format!("is new, and has to be given: {ty}"));
        }
    }
    found
}

fn change(before: &Element, after: Option<&Element>) -> Option<String> {
    match (before, after) {
        (Element::Present, Some(Element::Present)) => None,
        (Element::Read(before), Some(Element::Read(after))) => {
            (!fits(after, before)).then(|| format!("was {before}, is {after}"))
        }
        (Element::Written(before, was_optional), Some(Element::Written(after, has_default))) => {
            let has_to_be_given = *was_optional && !after.nullable && !has_default;
            (has_to_be_given || !fits(before, after)).then(|| format!("was {before}, is {after}"))
        }
        (_, Some(_)) => Some("is something else now".to_owned()),
        (_, None) => Some("is gone".to_owned()),
    }
}

/// Whether a value of one type is one of the other.
fn fits(value: &Type, wanted: &Type) -> bool {
    if value.nullable && !wanted.nullable {
        return false;
    }
    match (&value.base, &wanted.base) {
        (BaseType::Named(value), BaseType::Named(wanted)) => value == wanted,
        (BaseType::List(value), BaseType::List(wanted)) => fits(value, wanted),
        _ => false,
    }
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Paths of changes that were decided upon.
fn decided() -> BTreeSet<String> {
    let decisions = read(DECISIONS);
    let lines = decisions.lines().filter(|line| !line.trim().is_empty());
    lines
        .map(|line| {
            let (path, reason) =
                line.split_once(" — ").unwrap_or_else(|| panic!("{DECISIONS}: no reason: {line}"));
            assert!(reason.len() > 10, "{DECISIONS}: no reason: {line}");
            path.to_owned()
        })
        .collect()
}

#[test]
fn nothing_breaks_clients_but_what_was_decided_upon() {
    let mut broken = breaking(&read(BASELINE), &graphql::sdl());
    let decided = decided();
    let idle: Vec<&String> = decided.iter().filter(|path| !broken.contains_key(*path)).collect();
    assert!(idle.is_empty(), "{DECISIONS} names what breaks nobody: {idle:#?}");
    broken.retain(|path, _| !decided.contains(path));
    assert!(
        broken.is_empty(),
        "These changes break clients. Deprecate instead (docs/api.md, Changes), or name each in {DECISIONS}: {broken:#?}"
    );
}

#[test]
fn what_breaks_clients_is_named() {
    let old = "
        type Query implements A { kept: Int gone: Int stricter: [Int] looser: Int! list: [Int!]! other: Int
            args(gone: Int, stricter: Int, looser: Int!, defaulted: Int): Int }
        interface A { kept: Int }
        type Gone { a: Int }
        enum E { KEPT GONE }
        union U = Query | Gone
        input I { kept: Int stricter: Int looser: Int! }";
    let new = "
        type Query { kept: Int stricter: [Int!]! looser: Int list: [Int]! other: String added: Int
            args(stricter: Int!, looser: Int, defaulted: Int! = 1, added: Int, needed: Int!, given: Int! = 1): Int }
        interface A { kept: Int }
        enum E { KEPT ADDED }
        union U = Query
        input I { kept: Int stricter: Int! looser: Int added: Int needed: Int! }
        input New { needed: Int! }
        type More { more(needed: Int!): Int }";
    let named: Vec<String> = breaking(old, new).into_keys().collect();
    let expected = [
        "E.GONE",
        "Gone",
        "Gone.a",
        "I.needed",
        "I.stricter",
        "Query implements A",
        "Query.args.defaulted",
        "Query.args.gone",
        "Query.args.needed",
        "Query.args.stricter",
        "Query.gone",
        "Query.list",
        "Query.looser",
        "Query.other",
        "U | Gone",
    ];
    assert_eq!(named, expected);
    assert!(breaking(old, old).is_empty());
}

#[test]
fn lists_of_nodes_come_in_pages() {
    let sdl = graphql::sdl();
    let elements = elements(&sdl);
    let nodes: BTreeSet<&str> =
        elements.keys().filter_map(|path| path.strip_suffix(" implements Node")).collect();
    assert!(nodes.contains("Session") && nodes.len() >= 4, "{nodes:?}");
    let unbounded = elements.iter().filter(|(path, element)| {
        let of_connection = path.split('.').next().is_some_and(|owner| owner.ends_with("Connection"));
        matches!(element, Element::Read(ty) if !of_connection && list_of(ty).is_some_and(|name| nodes.contains(name)))
    });
    // What is asked for by ids is bounded by them.
    let unbounded: Vec<&String> =
        unbounded.map(|(path, _)| path).filter(|path| *path != "Query.nodes").collect();
    assert!(unbounded.is_empty(), "make these connections: {unbounded:?}");
}

fn list_of(ty: &Type) -> Option<&str> {
    match &ty.base {
        BaseType::List(inner) => match &inner.base {
            BaseType::Named(name) => Some(name),
            BaseType::List(_) => list_of(inner),
        },
        BaseType::Named(_) => None,
    }
}

#[test]
fn every_mutation_answers_with_a_payload() {
    let elements = elements(&graphql::sdl());
    let mutations: Vec<_> = elements
        .iter()
        .filter_map(|(path, element)| match (path.strip_prefix("Mutation."), element) {
            (Some(name), Element::Read(ty)) => Some((name, ty.to_string())),
            _ => None,
        })
        .collect();
    assert!(mutations.len() > 30, "{mutations:?}");
    for (name, ty) in mutations {
        assert!(ty.ends_with("Payload!"), "{name} answers with {ty}");
    }
}
