use proptest::prelude::*;

use super::*;

fn code_for(query: &str) -> &'static str {
    admit(&mut Request::new(query), &DocumentLimits::default()).map_or_else(|refusal| refusal.code, |_| "OK")
}

#[test]
fn deep_values_are_refused() {
    let killer = format!("{{__typename(x:{}1{})}}", "[".repeat(2_000), "]".repeat(2_000));
    assert_eq!(code_for(&killer), code::LIMIT_EXCEEDED);
    let killer = format!("{{__typename(x:{}1{})}}", "{a:".repeat(2_000), "}".repeat(2_000));
    assert_eq!(code_for(&killer), code::LIMIT_EXCEEDED);
}

#[test]
fn deep_selections_are_refused() {
    let killer = format!("{}{}", "{a".repeat(2_000), "}".repeat(2_000));
    assert_eq!(code_for(&killer), code::LIMIT_EXCEEDED);
}

#[test]
fn deep_types_are_refused() {
    let killer = format!("query($a:{}Int{}){{a}}", "[".repeat(2_000), "]".repeat(2_000));
    assert_eq!(code_for(&killer), code::LIMIT_EXCEEDED);
}

#[test]
fn brackets_behind_an_unterminated_block_string_are_refused() {
    let killer = format!("{{a(x:[\"\"\" \" {}1{}])}}", "[".repeat(2_000), "]".repeat(2_000));
    assert_eq!(code_for(&killer), code::BAD_REQUEST);
}

#[test]
fn brackets_in_strings_and_comments_do_not_count() {
    let brackets = "[".repeat(2_000);
    let query =
        format!("{{a(x:\"{brackets}\\\"{brackets}\", y:\"\"\"{brackets}\\\"\"\"\"\"\") # {brackets}\n}}");
    assert_eq!(code_for(&query), "OK");
}

#[test]
fn fragments_that_double_are_refused() {
    let doubling = query_of_doubling_fragments(25);
    assert_eq!(code_for(&format!("{{...f0}}{doubling}")), code::LIMIT_EXCEEDED);
}

#[test]
fn fragments_that_double_are_refused_also_when_unused() {
    let doubling = query_of_doubling_fragments(40);
    assert_eq!(code_for(&format!("{{__typename}}{doubling}")), code::LIMIT_EXCEEDED);
}

#[test]
fn fragments_that_double_around_nothing_are_refused() {
    let doubling = query_of_doubling_fragments(25).replace("__typename", "...missing");
    assert_eq!(code_for(&format!("{{...f0}}{doubling}")), code::LIMIT_EXCEEDED);
}

fn query_of_doubling_fragments(count: usize) -> String {
    let fragments = (0..count).map(|n| format!("fragment f{n} on Query{{...f{m} ...f{m}}}", m = n + 1));
    fragments.collect::<Vec<_>>().concat() + &format!("fragment f{count} on Query{{__typename}}")
}

#[test]
fn a_chain_of_fragments_is_refused_in_any_order() {
    let link = |n: usize| format!("fragment f{n} on Query{{...f{m}}}", m = n + 1);
    let forward: String = (0..1_000).map(link).collect();
    let backward: String = (0..1_000).rev().map(link).collect();
    for chain in [forward, backward] {
        assert_eq!(code_for(&format!("{{...f0}}{chain}")), code::LIMIT_EXCEEDED);
    }
}

#[test]
fn fragment_cycles_are_refused() {
    let cycle = "{...a} fragment a on Query{b{...b}} fragment b on Query{c{...a}}";
    assert_eq!(code_for(cycle), code::VALIDATION_FAILED);
}

#[test]
fn twenty_thousand_undeclared_variables_are_refused() {
    let arguments = (0..20_000).map(|n| format!("a{n}:$v{n} ")).collect::<Vec<_>>().concat();
    assert_eq!(code_for(&format!("{{__typename({arguments})}}")), code::LIMIT_EXCEEDED);
    assert_eq!(code_for(&format!("{{__typename({})}}", "a:$a".repeat(4_000))), code::LIMIT_EXCEEDED);
}

#[test]
fn ten_thousand_aliases_are_refused() {
    let aliases = (0..10_000).map(|n| format!("a{n}:a ")).collect::<Vec<_>>().concat();
    assert_eq!(code_for(&format!("{{{aliases}}}")), code::LIMIT_EXCEEDED);
    let aliases = (0..101).map(|n| format!("a{n}:a ")).collect::<Vec<_>>().concat();
    assert_eq!(code_for(&format!("{{{aliases}}}")), code::LIMIT_EXCEEDED);
}

#[test]
fn arguments_are_no_aliases() {
    let arguments = (0..200).map(|n| format!("a{n}:{{b:1}} ")).collect::<Vec<_>>().concat();
    assert_eq!(code_for(&format!("query($a:Int){{a({arguments})}}")), "OK");
}

#[test]
fn fields_deeper_than_the_limit_are_refused_through_fragments() {
    let deep = format!("{}{}", "{a".repeat(15), "}".repeat(15));
    assert_eq!(code_for(&deep), "OK");
    let twice = format!("{}...f{} fragment f on A{deep}", "{a".repeat(10), "}".repeat(10));
    assert_eq!(code_for(&twice.replacen("a...f", "a{...f}", 1)), code::LIMIT_EXCEEDED);
}

#[test]
fn the_standard_introspection_query_passes() {
    let of_type = "{kind name ofType".repeat(9) + "{kind name}" + &"}".repeat(9);
    let query = format!(
        "query I{{__schema{{types{{fields(includeDeprecated:true){{args{{type{of_type}}}type{of_type}}}}}}}}}"
    );
    assert_eq!(code_for(&query), "OK");
}

#[test]
fn syntax_errors_say_what_was_expected_and_echo_nothing() {
    let refusal = admit(&mut Request::new("{ secret( }"), &DocumentLimits::default()).expect_err("malformed");
    assert_eq!(refusal.code, code::BAD_REQUEST);
    assert!(refusal.message.starts_with("Syntax error: expected"), "{}", refusal.message);
    assert!(!refusal.message.contains("secret"));
}

#[test]
fn the_operation_is_chosen_as_the_specification_says() {
    let chosen = |query: &str, name: Option<&str>| {
        let mut request = Request::new(query);
        request.operation_name = name.map(str::to_owned);
        admit(&mut request, &DocumentLimits::default()).map_err(|refusal| refusal.code)
    };
    let two = "query a{x} mutation b{x}";
    assert_eq!(chosen(two, Some("b")), Ok(OperationType::Mutation));
    assert_eq!(chosen("subscription a{x}", None), Ok(OperationType::Subscription));
    assert_eq!(chosen(two, None), Err(code::BAD_REQUEST));
    assert_eq!(chosen(two, Some("c")), Err(code::BAD_REQUEST));
}

#[test]
fn json_nesting_is_bounded_and_strings_do_not_count() {
    let limits = DocumentLimits::default();
    assert!(check_json("[".repeat(65).as_bytes(), &limits).is_err());
    assert!(
        check_json(
            br#"{"a":"\"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[["}"#,
            &limits
        )
        .is_ok()
    );
}

fn fragment_of_graphql() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "{",
        "}",
        "(",
        ")",
        "[",
        "]",
        ":",
        "$",
        "@",
        "!",
        "=",
        "...",
        " on ",
        "\"",
        "\"\"\"",
        "\\",
        "#",
        "\n",
        "query ",
        "mutation ",
        "fragment ",
        "a",
        "Int",
        "1",
        "-0.5e9",
        "9999999999999999999999",
        "true",
        "null",
        "ä",
        "\u{feff}",
        "\\u00e4",
        ",",
        "a:",
        "f on Q{",
        "\"\"\"\n  ä\n\"\"\"",
    ])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn what_passes_the_source_check_does_not_panic_the_parser(parts in prop::collection::vec(fragment_of_graphql(), 0..60)) {
        let _ = admit(&mut Request::new(parts.concat()), &DocumentLimits::default());
    }

    #[test]
    fn no_text_panics_the_guard(text in ".{0,200}") {
        let _ = admit(&mut Request::new(text), &DocumentLimits::default());
    }

    #[test]
    fn the_deepest_document_that_passes_is_parsed(open in prop::collection::vec(prop::sample::select(vec!["[", "{a:"]), 61)) {
        let close: String = open.iter().rev().map(|open| if *open == "[" { "]" } else { "}" }).collect();
        prop_assert_eq!(code_for(&format!("{{a(x:{}1{})}}", open.concat(), close)), "OK");
    }
}

fn root_fields_of(query: &str, operation_name: Option<&str>) -> u32 {
    let mut request = Request::new(query);
    request.operation_name = operation_name.map(Into::into);
    admit(&mut request, &DocumentLimits::default()).unwrap();
    root_fields(&mut request).unwrap().get()
}

#[test]
fn every_alias_at_the_root_counts_and_nothing_below_it() {
    for (query, fields) in [
        ("{a}", 1),
        ("{a b:a c:a}", 3),
        ("{a{b c d{e}}}", 1),
        ("{a a a}", 3),
        ("{a @skip(if:true) b @include(if:false)}", 2),
        ("{...{a b} ... on Query{c ...{d}}}", 4),
        ("{...f ...f} fragment f on Query{a b ...g} fragment g on Query{c d{e f}}", 8),
        ("{a{...f}} fragment f on A{b c d}", 1),
        ("{...missing}", 1),
        ("mutation{a b}", 2),
    ] {
        assert_eq!(root_fields_of(query, None), fields, "{query}");
    }
}

#[test]
fn only_the_chosen_operation_is_counted() {
    let query = "query A{a} query B{a b c}";
    assert_eq!(root_fields_of(query, Some("A")), 1);
    assert_eq!(root_fields_of(query, Some("B")), 3);
}

#[test]
fn counting_takes_no_time_where_fragments_double() {
    let doubling =
        (0..40).map(|level| format!("fragment f{level} on Query{{...f{next} ...f{next}}}", next = level + 1));
    let doubling: Vec<String> = doubling.collect();
    let mut request = Request::new(format!("{{...f0}} {} fragment f40 on Query{{a}}", doubling.join(" ")));
    // The guard refuses it; the count would saturate all the same.
    assert_eq!(root_fields(&mut request).unwrap().get(), u32::MAX);
}

#[test]
fn a_schema_that_is_asked_for_lists_in_lists_in_lists_is_refused() {
    let nested = |levels: usize| {
        format!(
            "{{__schema{{types{}{}}}}}",
            "{fields{type".repeat(levels),
            "{name}".to_owned() + &"}}".repeat(levels)
        )
    };
    assert_eq!(code_for(&nested(2)), "OK");
    assert_eq!(code_for(&nested(3)), code::LIMIT_EXCEEDED);
    let through_fragments = "{__type(name:\"A\"){...a}} fragment a on __Type{fields{type{...b}}}
        fragment b on __Type{interfaces{...c}} fragment c on __Type{possibleTypes{name}}";
    assert_eq!(code_for(through_fragments), code::LIMIT_EXCEEDED);
    // Fields of these names elsewhere are just fields.
    assert_eq!(code_for("{a{fields{fields{fields{fields}}}}}"), "OK");
}
