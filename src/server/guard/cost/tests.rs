#![expect(clippy::format_collect, reason = "a test may allocate")]

use async_graphql::Request;

use super::super::{DocumentLimits, admit, weigh};
use super::*;

const SCHEMA: &str = "
    type Query { me: Person people(first: Int, after: String): PersonConnection! top(limit: Int! = 20): Top! tags: [String!]! dear: Int }
    type Mutation { rename: Person }
    type Person { name: String friends(first: Int): PersonConnection! }
    type PersonConnection { nodes: [Person!]! edges: [PersonEdge!]! totalCount: Int! }
    type PersonEdge { cursor: String! node: Person! }
    type Top { people: [Person!]! all: [Person!]! }
    schema { query: Query mutation: Mutation }";

const TARIFF: Tariff = Tariff {
    points: &[("Query.dear", 1_000)],
    lengths: &[("Top.all", 50)],
    paged: &[("Top.people", "limit")],
};

fn cost_with(query: &str, variables: serde_json::Value) -> u64 {
    let mut request = Request::new(query).variables(Variables::from_json(variables));
    let limits =
        DocumentLimits { cost: u64::MAX, selections: usize::MAX, depth: 64, ..DocumentLimits::default() };
    admit(&mut request, &limits).unwrap();
    weigh(&mut request, &PriceList::new(SCHEMA, &TARIFF), &limits).unwrap().requested
}

fn cost(query: &str) -> u64 {
    cost_with(query, serde_json::json!({}))
}

#[test]
fn a_field_is_a_point_and_a_list_its_length() {
    assert_eq!(cost("{me{name}}"), 2);
    assert_eq!(cost("{me{name a:name} __typename}"), 4);
    assert_eq!(cost("{tags}"), 1 + SOME);
    assert_eq!(cost("{dear}"), 1_001);
    assert_eq!(cost("mutation{rename{name}}"), 1 + MUTATION + 1);
}

#[test]
fn a_page_costs_what_it_is_asked_for() {
    // The connection with its statement and its rows, `nodes`, and of each row itself and its name.
    let of = |rows: u64| 1 + STATEMENT + rows * ROW + 1 + rows * 2;
    assert_eq!(cost("{people{nodes{name}}}"), of(25));
    assert_eq!(cost("{people(first:null){nodes{name}}}"), of(25));
    assert_eq!(cost("{people(first:3){nodes{name}}}"), of(3));
    assert_eq!(cost("{people(first:0){nodes{name}}}"), of(0));
    assert_eq!(cost("{people(first:3){edges{node{name}}}}"), 1 + STATEMENT + 3 * ROW + 1 + 3 * 3);
    assert_eq!(cost("{people(first:3){totalCount}}"), 1 + STATEMENT + 3 * ROW + 1 + STATEMENT);
    // Whoever asks for more than a page gets an error and no row.
    assert_eq!(cost("{people(first:1000000){nodes{name}}}"), of(100));
    assert_eq!(cost("{people(first:-1){nodes{name}}}"), of(0));
}

#[test]
fn variables_count_with_their_value_or_default() {
    let query = "query($n: Int = 7){people(first:$n){nodes{name}}}";
    let of = |rows: u64| 1 + STATEMENT + rows * ROW + 1 + rows * 2;
    assert_eq!(cost(query), of(7));
    assert_eq!(cost_with(query, serde_json::json!({ "n": 9 })), of(9));
    assert_eq!(cost_with(query, serde_json::json!({ "n": null })), of(25));
    assert_eq!(cost("query($n: Int){people(first:$n){nodes{name}}}"), of(25));
}

#[test]
fn pages_within_pages_multiply() {
    let inner = 1 + STATEMENT + 20 * ROW + 1 + 20 * 2;
    assert_eq!(
        cost("{people(first:10){nodes{friends(first:20){nodes{name}}}}}"),
        1 + STATEMENT + 10 * ROW + 1 + 10 * (1 + inner)
    );
    let deep = format!(
        "{{people{}{}}}",
        "(first:100){nodes{friends".repeat(8),
        "(first:100){nodes{name}}".to_owned() + &"}}".repeat(8)
    );
    assert!(cost(&deep) > 10_u64.pow(17));
}

#[test]
fn sums_saturate() {
    let deep = format!(
        "{{people{}{}}}",
        "(first:100){nodes{friends".repeat(9),
        "(first:100){nodes{name}}".to_owned() + &"}}".repeat(9)
    );
    let many = (0..60).map(|n| format!("a{n}:{} ", &deep[1..deep.len() - 1])).collect::<String>();
    assert_eq!(cost(&format!("{{{many}}}")), u64::MAX);
}

#[test]
fn fragments_cost_what_they_stand_for() {
    let plain = cost("{people(first:10){nodes{name friends(first:2){nodes{name}}}}}");
    assert_eq!(
        cost(
            "{people(first:10){...p}} fragment p on PersonConnection{nodes{...f}} fragment f on Person{name friends(first:2){nodes{name}}}"
        ),
        plain
    );
    assert_eq!(
        cost("{people(first:10){...on PersonConnection{nodes{...{name}friends(first:2){nodes{name}}}}}}"),
        plain
    );
    // The same fragment in pages of different lengths.
    let of = |rows: u64| 1 + STATEMENT + rows * ROW + 1 + rows * 2;
    let both =
        "{a:people(first:3){...p} b:people(first:9){...p}} fragment p on PersonConnection{nodes{name}}";
    assert_eq!(cost(both), of(3) + of(9));
}

#[test]
fn the_length_of_other_lists_is_told_by_an_argument_or_by_the_tariff() {
    assert_eq!(cost("{top(limit:4){people{name}}}"), 1 + STATEMENT + 4 * ROW + 1 + 4 * 2);
    assert_eq!(cost("{top(limit:4){all{name}}}"), 1 + STATEMENT + 4 * ROW + 1 + 50 * 2);
}

#[test]
fn only_the_chosen_operation_is_weighed() {
    let mut request = Request::new("query A{me{name}} query B{dear}").operation_name("A");
    let limits = DocumentLimits::default();
    admit(&mut request, &limits).unwrap();
    assert_eq!(weigh(&mut request, &PriceList::new(SCHEMA, &TARIFF), &limits).unwrap().requested, 2);
}

#[test]
fn what_is_too_dear_is_refused_with_both_numbers() {
    let limits = DocumentLimits { cost: 10, ..DocumentLimits::default() };
    let mut request = Request::new("{tags a:tags}");
    admit(&mut request, &limits).unwrap();
    let refusal = weigh(&mut request, &PriceList::new(SCHEMA, &TARIFF), &limits).unwrap_err();
    assert_eq!(refusal.cost, Some(Cost { requested: 12, limit: 10 }));
    assert!(refusal.message.contains("costs 12 points, and may cost 10"), "{}", refusal.message);
}

/// What the standard query is said to cost is about what it gives.
#[tokio::test]
async fn the_schema_about_itself_costs_about_its_fields() {
    let schema = crate::graphql::schema(true);
    let prices = PriceList::new(&schema.sdl(), &Tariff::default());
    let limits = DocumentLimits::default();
    let mut request = Request::new(INTROSPECTION);
    admit(&mut request, &limits).unwrap();
    let told = weigh(&mut request, &prices, &limits).unwrap().requested;
    let data = schema.execute(INTROSPECTION).await.into_result().unwrap().data;
    let given = values(&data);
    assert!(told * 2 > given && told < given * 4, "{told} points for {given} values");
}

fn values(value: &Value) -> u64 {
    match value {
        Value::List(items) => items.iter().map(values).sum(),
        Value::Object(members) => members.values().map(|member| 1 + values(member)).sum(),
        _ => 0,
    }
}

const INTROSPECTION: &str = "query I{__schema{queryType{name}mutationType{name}subscriptionType{name}
    types{...T}directives{name description locations args{...V}}}}
    fragment T on __Type{kind name description
        fields(includeDeprecated:true){name description args{...V}type{...R}isDeprecated deprecationReason}
        inputFields{...V}interfaces{...R}enumValues(includeDeprecated:true){name description isDeprecated deprecationReason}
        possibleTypes{...R}}
    fragment V on __InputValue{name description type{...R}defaultValue}
    fragment R on __Type{kind name ofType{kind name ofType{kind name ofType{kind name ofType{kind name ofType{kind name
        ofType{kind name ofType{kind name}}}}}}}}";
