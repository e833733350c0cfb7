//! What an operation costs, told from its text and variables before anything is executed.
//!
//! A point is about a field of the answer. What takes more than that (a statement, a long text, argon2) has a price of its
//! own; lists cost their length: a page's is its argument, any other's an assumption. Fragments are weighed once, and sums
//! saturate, so that weighing takes no longer than reading.

use std::collections::HashMap;

use async_graphql::parser::parse_schema;
use async_graphql::parser::types::{
    BaseType, ExecutableDocument, Field, FieldDefinition, FragmentDefinition, OperationDefinition,
    OperationType, SchemaDefinition, Selection, SelectionSet, Type, TypeKind, TypeSystemDefinition,
};
use async_graphql::{Name, Value, Variables};

/// Prices and lengths that differ from what the schema alone tells.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tariff {
    /// Points of a field beside 1: `("Session.notes", 20)`.
    pub points: &'static [(&'static str, u64)],
    /// Lengths of lists that are no pages: `("SessionTrends.dataPoints", 366)`.
    pub lengths: &'static [(&'static str, u64)],
    /// Lists whose length an argument of the field above them tells: `("CommonTopics.topics", "limit")`.
    pub paged: &'static [(&'static str, &'static str)],
}

/// What an operation costs, and what it may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cost {
    /// Points it asks for.
    pub requested: u64,
    /// Points at most.
    pub limit: u64,
}

impl Cost {
    /// As it stands in `extensions.cost`.
    #[must_use]
    pub fn value(self) -> Value {
        let members = [
            ("requested", self.requested),
            ("limit", self.limit),
            ("remaining", self.limit.saturating_sub(self.requested)),
        ];
        Value::Object(members.into_iter().map(|(name, points)| (Name::new(name), points.into())).collect())
    }
}

/// Elements of a list that nothing is known of.
const SOME: u64 = 5;
/// Rows of a page where nothing is asked.
const PAGE: u64 = 25;
/// Rows of a page at most: whoever asks for more gets an error and no row.
const FULL_PAGE: u64 = 100;
/// The argument that tells the length of a connection's lists.
const FIRST: &str = "first";
/// The argument that names what a list is to hold.
const IDS: &str = "ids";
/// Points of a page's statement, and of one that counts.
const STATEMENT: u64 = 10;
/// Points of a row that is read for a page.
const ROW: u64 = 5;
/// Points of a mutation.
const MUTATION: u64 = 50;

/// What every field of a schema costs.
#[derive(Debug)]
pub struct PriceList {
    types: HashMap<String, HashMap<String, Price>>,
    /// The types of queries, mutations and subscriptions.
    roots: [String; 3],
}

#[derive(Clone, Debug)]
struct Price {
    points: u64,
    /// The type of what it gives.
    of: String,
    length: Length,
    /// The argument that tells the length of lists below, and what it is when nobody says.
    page: Option<(&'static str, u64)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Length {
    /// No list.
    One,
    /// So many elements.
    Some(u64),
    /// As the field above is asked for.
    Page,
    /// As many as are named.
    Named,
}

impl PriceList {
    /// Reads a schema in GraphQL's own language.
    ///
    /// # Panics
    /// When it is none: it comes from the schema that is served.
    #[must_use]
    pub fn new(sdl: &str, tariff: &Tariff) -> Self {
        let document = parse_schema(sdl).expect("the schema's own text");
        let (mut types, mut roots) = (HashMap::new(), <[String; 3]>::default());
        for definition in &document.definitions {
            let definition = match definition {
                TypeSystemDefinition::Type(definition) => definition,
                TypeSystemDefinition::Schema(schema) => {
                    let SchemaDefinition { query, mutation, subscription, .. } = &schema.node;
                    roots = [query, mutation, subscription]
                        .map(|root| root.as_ref().map(|name| name.node.to_string()).unwrap_or_default());
                    continue;
                }
                TypeSystemDefinition::Directive(_) => continue,
            };
            let fields = match &definition.node.kind {
                TypeKind::Object(object) => &object.fields,
                TypeKind::Interface(interface) => &interface.fields,
                _ => continue,
            };
            let name = definition.node.name.node.to_string();
            let price =
                |field: &FieldDefinition| (field.name.node.to_string(), Price::new(&name, field, tariff));
            let prices = fields.iter().map(|field| price(&field.node)).collect();
            types.insert(name, prices);
        }
        introspection(&mut types, &roots[0]);
        Self { types, roots }
    }

    /// What an operation of a document costs. Its fragments hold no cycle, and nest within bounds.
    #[must_use]
    pub fn weigh(
        &self,
        document: &ExecutableDocument,
        operation: &OperationDefinition,
        variables: &Variables,
    ) -> u64 {
        let [query, mutation, subscription] = &self.roots;
        let root = match operation.ty {
            OperationType::Query => query,
            OperationType::Mutation => mutation,
            OperationType::Subscription => subscription,
        };
        let mut scale = Scale { prices: self, document, operation, variables, known: HashMap::new() };
        scale.selection_set(&operation.selection_set.node, root).at(PAGE)
    }

    /// Whether a tariff speaks of this field: `Session.notes`.
    #[must_use]
    pub fn has(&self, path: &str) -> bool {
        let Some((parent, field)) = path.split_once('.') else { return false };
        self.types.get(parent).is_some_and(|fields| fields.contains_key(field))
    }
}

impl Price {
    fn new(parent: &str, field: &FieldDefinition, tariff: &Tariff) -> Self {
        let path = format!("{parent}.{}", field.name.node);
        let named = |(name, _): &&(&str, _)| *name == path;
        let (of, is_list) = unwrapped(&field.ty.node);
        let argument = |name: &str| field.arguments.iter().any(|argument| argument.node.name.node == name);
        let page = if argument(FIRST) {
            Some((FIRST, PAGE))
        } else {
            // Which list it is for is told by the tariff.
            let below =
                |(list, _): &&(&str, &str)| list.split_once('.').is_some_and(|(parent, _)| parent == of);
            tariff.paged.iter().find(below).filter(|(_, name)| argument(name)).map(|(_, name)| (*name, PAGE))
        };
        let is_page = parent.ends_with("Connection") && matches!(field.name.node.as_str(), "edges" | "nodes");
        let length = match tariff.lengths.iter().find(named) {
            Some((_, length)) => Length::Some(*length),
            None if is_page || tariff.paged.iter().any(|(list, _)| *list == path) => Length::Page,
            None if is_list && argument(IDS) => Length::Named,
            None if is_list => Length::Some(SOME),
            None => Length::One,
        };
        let usual = match (parent, field.name.node.as_str()) {
            ("Mutation", _) => MUTATION,
            (_, "totalCount") => STATEMENT,
            _ if page.is_some() => STATEMENT,
            _ => 0,
        };
        let own = tariff.points.iter().find(named).map_or(usual, |(_, points)| *points);
        Self { points: 1 + own, of, length, page }
    }
}

/// A type's name, and whether it is in a list.
fn unwrapped(ty: &Type) -> (String, bool) {
    match &ty.base {
        BaseType::Named(name) => (name.to_string(), false),
        BaseType::List(inner) => (unwrapped(inner).0, true),
    }
}

/// A type, and its lists: field, what it holds, how many.
type Lists<'a> = (&'a str, &'a [(&'a str, &'a str, u64)]);

/// The schema about itself: lists as long as they are here, on average.
fn introspection(types: &mut HashMap<String, HashMap<String, Price>>, query: &str) {
    let count = types.len() as u64;
    let fields = types.values().map(|fields| fields.len() as u64).sum::<u64>().div_ceil(count.max(1));
    // Inputs and enums are as many again; see the test that holds this against the schema.
    let lists: [Lists<'_>; 5] = [
        ("__Schema", &[("types", "__Type", count * 2), ("directives", "__Directive", 5)]),
        (
            "__Type",
            &[
                ("fields", "__Field", fields.div_ceil(2)),
                ("inputFields", "__InputValue", 2),
                ("enumValues", "__EnumValue", 2),
                ("interfaces", "__Type", 1),
                ("possibleTypes", "__Type", 1),
            ],
        ),
        ("__Field", &[("args", "__InputValue", 1)]),
        ("__Directive", &[("args", "__InputValue", 1), ("locations", "__DirectiveLocation", 3)]),
        ("__EnumValue", &[]),
    ];
    for (name, lists) in lists {
        let list = |(field, of, length): &(&str, &str, u64)| {
            let price = Price { points: 1, of: (*of).to_owned(), length: Length::Some(*length), page: None };
            ((*field).to_owned(), price)
        };
        types.insert(name.to_owned(), lists.iter().map(list).collect());
    }
    let ones = [
        ("__Schema", "queryType"),
        ("__Schema", "mutationType"),
        ("__Schema", "subscriptionType"),
        ("__Field", "type"),
        ("__InputValue", "type"),
    ];
    for (parent, field) in ones.into_iter().chain([(query, "__type")]) {
        one(types, parent, field, "__Type");
    }
    one(types, query, "__schema", "__Schema");
    // `[T!]!` is three times wrapped, and nothing is more often: clients ask for more, and get null.
    for level in ["__Type", "__Type of", "__Type of of"] {
        let (wrapped, plain) = (format!("{level} of"), types["__Type"].clone());
        types.insert(wrapped.clone(), plain);
        one(types, level, "ofType", &wrapped);
    }
    let nothing = Price { points: 1, of: String::new(), length: Length::Some(0), page: None };
    types.entry("__Type of of of".to_owned()).or_default().insert("ofType".to_owned(), nothing);
}

fn one(types: &mut HashMap<String, HashMap<String, Price>>, parent: &str, field: &str, of: &str) {
    let price = Price { points: 1, of: of.to_owned(), length: Length::One, page: None };
    types.entry(parent.to_owned()).or_default().insert(field.to_owned(), price);
}

/// What selections cost: so much, and so much for each row of the page they are in.
#[derive(Clone, Copy, Debug, Default)]
struct Weight {
    fixed: u64,
    a_row: u64,
}

impl Weight {
    fn at(self, rows: u64) -> u64 {
        self.fixed.saturating_add(self.a_row.saturating_mul(rows))
    }

    fn plus(self, other: Self) -> Self {
        Self { fixed: self.fixed.saturating_add(other.fixed), a_row: self.a_row.saturating_add(other.a_row) }
    }
}

struct Scale<'a> {
    prices: &'a PriceList,
    document: &'a ExecutableDocument,
    operation: &'a OperationDefinition,
    variables: &'a Variables,
    /// Fragments that were weighed.
    known: HashMap<&'a str, Weight>,
}

impl<'a> Scale<'a> {
    fn selection_set(&mut self, set: &'a SelectionSet, of: &'a str) -> Weight {
        set.items.iter().fold(Weight::default(), |sum, selection| {
            sum.plus(match &selection.node {
                Selection::Field(field) => self.field(&field.node, of),
                Selection::InlineFragment(fragment) => {
                    let condition = fragment.node.type_condition.as_ref();
                    let of = condition.map_or(of, |condition| condition.node.on.node.as_str());
                    self.selection_set(&fragment.node.selection_set.node, of)
                }
                Selection::FragmentSpread(spread) => self.fragment(&spread.node.fragment_name.node),
            })
        })
    }

    fn fragment(&mut self, name: &'a str) -> Weight {
        if let Some(weight) = self.known.get(name) {
            return *weight;
        }
        // One that is missing is the validation's to report.
        let Some(fragment) = self.document.fragments.get(name) else { return Weight::default() };
        let FragmentDefinition { type_condition, selection_set, .. } = &fragment.node;
        let weight = self.selection_set(&selection_set.node, &type_condition.node.on.node);
        self.known.insert(name, weight);
        weight
    }

    fn field(&mut self, field: &'a Field, parent: &str) -> Weight {
        let price = self.prices.types.get(parent).and_then(|fields| fields.get(field.name.node.as_str()));
        let Some(price) = price else {
            // `__typename`, and what the validation will refuse.
            return Weight { fixed: 1, a_row: 0 }.plus(self.selection_set(&field.selection_set.node, ""));
        };
        let below = self.selection_set(&field.selection_set.node, &price.of);
        let below = match price.page {
            // Rows are read whether anything is asked of them or not.
            Some((argument, usual)) => {
                let rows = self.rows(field, argument, usual);
                below.at(rows).saturating_add(rows * ROW)
            }
            None => below.at(PAGE),
        };
        let each = below.saturating_add(1);
        match price.length {
            Length::One => Weight { fixed: price.points.saturating_add(below), a_row: 0 },
            Length::Some(count) => {
                Weight { fixed: price.points.saturating_add(each.saturating_mul(count)), a_row: 0 }
            }
            Length::Page => Weight { fixed: price.points, a_row: each },
            Length::Named => {
                let rows = each.saturating_add(ROW).saturating_mul(self.named(field));
                Weight { fixed: price.points.saturating_add(rows), a_row: 0 }
            }
        }
    }

    /// How many rows a page has, as far as text and variables tell.
    fn rows(&self, field: &Field, argument: &str, usual: u64) -> u64 {
        match self.given(field, argument) {
            None | Some(Value::Null) => usual,
            // What is no size gives an error and no row.
            Some(Value::Number(size)) => size.as_u64().unwrap_or_default().min(FULL_PAGE),
            Some(_) => 0,
        }
    }

    /// How many things a list is to hold.
    fn named(&self, field: &Field) -> u64 {
        match self.given(field, IDS) {
            // More than there may be give an error and no row.
            Some(Value::List(ids)) => (ids.len() as u64).min(FULL_PAGE),
            _ => 1,
        }
    }

    fn given(&self, field: &Field, argument: &str) -> Option<Value> {
        let given = field.get_argument(argument)?.node.clone();
        given.into_const_with(|name| self.variable(&name).ok_or(())).ok()
    }

    fn variable(&self, name: &Name) -> Option<Value> {
        let definition = || {
            let mut definitions = self.operation.variable_definitions.iter();
            let definition = definitions.find(|definition| definition.node.name.node == *name)?;
            definition.node.default_value.as_ref().map(|value| value.node.clone())
        };
        self.variables.get(name).cloned().or_else(definition)
    }
}

#[cfg(test)]
mod tests;
