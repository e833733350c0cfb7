//! What the documentation says must be there: variables, commands, files.

use std::collections::BTreeSet;
use std::path::Path;

use super::support::root;

const PAGES: [&str; 7] = [
    "README.md",
    "docs/analytics.md",
    "docs/architecture.md",
    "docs/api.md",
    "docs/operations.md",
    "docs/pipeline.md",
    "docs/security.md",
];
/// Variables that open an object store: its library names them, the configuration passes them on.
const PASSED_ON: [&str; 3] = ["AWS_", "GOOGLE_", "AZURE_"];

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn is_variable(text: &str) -> bool {
    text.contains(|c: char| c.is_ascii_uppercase())
        && text.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_')
}

/// The names of variables among the string literals of the configuration's code. Those of a provider begin with its
/// name; the example shows them with that of `openai`.
fn variables_of_the_code() -> BTreeSet<String> {
    let ai = read("src/config/ai.rs");
    let (whole, of_a_provider) = ai.split_once("impl Named").unwrap();
    let named = variables_in(of_a_provider).into_iter().map(|name| format!("OPENAI_{name}"));
    let own = ["src/config.rs", "src/config/retention.rs"].map(|file| variables_in(&read(file)));
    own.into_iter().flatten().chain(variables_in(whole)).chain(named).collect()
}

/// Tests and comments left out.
fn variables_in(code: &str) -> BTreeSet<String> {
    let code = code.split("#[cfg(test)]").next().unwrap();
    let code =
        code.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n");
    // The pieces at odd places stand between quotes.
    code.split('"').skip(1).step_by(2).filter(|text| is_variable(text)).map(Into::into).collect()
}

fn variables_of_the_example() -> BTreeSet<String> {
    let example = read(".env.example");
    let names =
        example.lines().filter_map(|line| line.strip_prefix('#')?.split_once('=')).map(|(name, _)| name);
    let own = names.filter(|name| !PASSED_ON.iter().any(|prefix| name.starts_with(prefix)));
    own.filter(|name| is_variable(name)).map(Into::into).collect()
}

/// Targets of Markdown links that are files of this project, without their anchors.
fn linked_files(page: &str) -> Vec<String> {
    let targets = page.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    let files = targets.filter(|target| !target.contains("://") && !target.starts_with('#'));
    files.map(|target| target.split('#').next().unwrap().to_owned()).collect()
}

/// What follows `make ` in code, at the start of a line or of an inline snippet.
fn make_targets(page: &str) -> BTreeSet<String> {
    let snippets = page.split('`').chain(page.lines());
    let named = snippets.filter_map(|snippet| snippet.strip_prefix("make ")?.split_whitespace().next());
    named.map(Into::into).collect()
}

#[test]
fn every_variable_is_in_the_example_and_nothing_else() {
    let code = variables_of_the_code();
    assert!(code.contains("DATABASE_URL") && code.len() > 20, "{code:?}");
    assert_eq!(variables_of_the_example(), code);
}

#[test]
fn links_lead_to_files_that_are_there() {
    for page in PAGES {
        let folder = Path::new(page).parent().unwrap();
        for file in linked_files(&read(page)) {
            assert!(root().join(folder).join(&file).exists(), "{page} links to {file}");
        }
    }
}

#[test]
fn commands_of_make_that_are_told_of_exist() {
    let makefile = read("Makefile");
    for page in PAGES {
        for target in make_targets(&read(page)) {
            assert!(
                makefile.lines().any(|line| line.starts_with(&format!("{target}:"))),
                "{page}: make {target}"
            );
        }
    }
    assert!(make_targets(&read("README.md")).contains("demo"));
}

#[test]
fn tests_that_the_security_page_names_exist() {
    let page = read("docs/security.md");
    // The pieces at odd places stand between backticks.
    let named: Vec<_> = page.split('`').skip(1).step_by(2).filter_map(|code| code.split_once("::")).collect();
    assert!(named.len() > 20, "{named:?}");
    for (module, test) in named.into_iter().filter(|(_, test)| !test.is_empty()) {
        let source = read(&format!("tests/api/{module}.rs"));
        assert!(source.contains(&format!("fn {test}(")), "there is no test {module}::{test}");
    }
}

#[test]
fn one_table_lists_everything_that_is_removed_after_a_while() {
    use therapybridge::config::retention::RETENTIONS;
    let line = |retention: &therapybridge::config::retention::Retention| {
        let variable = retention.variable.map_or_else(|| "—".to_owned(), |variable| format!("`{variable}`"));
        format!("| {} | {} | {variable} |", retention.what, retention.shown())
    };
    let expected: Vec<String> = RETENTIONS.iter().map(line).collect();
    let page = read("docs/operations.md");
    let table = page.lines().skip_while(|line| !line.starts_with("| what ")).skip(2);
    // What follows the third column says when a period begins.
    let shown = table.take_while(|line| line.starts_with('|')).map(|line| {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).take(3).collect();
        format!("| {} |", cells.join(" | "))
    });
    assert_eq!(shown.collect::<Vec<_>>(), expected);
}

/// What stands in backticks in the first cells of the table that begins so.
fn table(page: &str, heading: &str) -> BTreeSet<String> {
    let rows = page.lines().skip_while(|line| !line.starts_with(heading)).skip(2);
    let rows = rows.take_while(|line| line.starts_with('|')).filter_map(|line| line.split('|').nth(1));
    let cells: BTreeSet<String> =
        rows.flat_map(|cell| cell.split('`').skip(1).step_by(2)).map(Into::into).collect();
    assert!(!cells.is_empty(), "no table begins with {heading}");
    cells
}

/// The values of an enum of the schema.
fn values(of: &str) -> BTreeSet<String> {
    let schema = read("schema.graphql");
    let body = schema.split_once(&format!("\nenum {of} {{")).unwrap().1.split_once("\n}").unwrap().0;
    // The pieces at even places stand outside of descriptions.
    let names = body.split("\"\"\"").step_by(2).flat_map(str::split_whitespace);
    names.filter(|name| is_variable(name)).map(Into::into).collect()
}

#[test]
fn every_error_code_every_event_and_every_scope_is_in_its_table_and_nothing_else() {
    let page = read("docs/api.md");
    assert_eq!(table(&page, "| `userErrors` code |"), values("UserErrorCode"));
    assert_eq!(table(&page, "| `WebhookEvent` |"), values("WebhookEvent"));
    let scopes = table(&page, "| scope | opens |").into_iter().filter(|scope| scope.contains(':'));
    let scopes: BTreeSet<String> = scopes.map(|scope| scope.to_uppercase().replace(':', "_")).collect();
    assert_eq!(scopes, values("ApiKeyScope"));
    let given = ["src/graphql/error.rs", "src/server/reply.rs"].map(|file| variables_in(&read(file)));
    assert_eq!(table(&page, "| `extensions.code` | meaning |"), given.into_iter().flatten().collect());
}

#[test]
fn every_code_that_a_socket_is_closed_with_is_in_the_table_and_nothing_else() {
    let page = read("docs/api.md");
    let rows = page.lines().skip_while(|line| *line != "| closed with | because |").skip(2);
    let rows = rows.take_while(|line| line.starts_with('|')).filter_map(|line| line.split('|').nth(1));
    let told: BTreeSet<&str> = rows.flat_map(|cell| cell.split(',')).map(str::trim).collect();
    let source = read("src/server/ws.rs");
    let codes = source.split("End::Close(").skip(1).filter_map(|rest| rest.split(',').next());
    let given: BTreeSet<&str> = codes.filter(|code| code.parse::<u16>().is_ok()).collect();
    assert_eq!(told, given);
}

#[test]
fn the_mutations_that_take_an_idempotency_key_are_named() {
    let page = read("docs/api.md");
    let told = page.split("\n* `idempotencyKey`,").nth(1).unwrap().split("for 24 hours").next().unwrap();
    let told: BTreeSet<&str> = told.split('`').skip(1).step_by(2).collect();
    let schema = read("schema.graphql");
    let takes = |text: &str| text.contains("idempotencyKey: String");
    let mutations = schema.split_once("\ntype Mutation {").unwrap().1.split_once("\n}").unwrap().0;
    let input =
        |name: &str| schema.split_once(&format!("\ninput {name} {{")).unwrap().1.split_once("\n}").unwrap().0;
    // The pieces at even places stand outside of descriptions: names, arguments, types.
    let plain: String = mutations.split("\"\"\"").step_by(2).collect();
    let mut given = BTreeSet::new();
    for field in plain.split("Payload!") {
        let Some((name, arguments)) = field.split_once('(') else { continue };
        let by_input = arguments.split(|c: char| !c.is_alphanumeric()).find(|word| word.ends_with("Input"));
        if takes(arguments) || by_input.is_some_and(|name| takes(input(name))) {
            given.insert(name.trim());
        }
    }
    assert_eq!(told, given);
}

/// With thousands apart, as people write them.
fn spelled(number: u64) -> String {
    match (number / 1_000, number % 1_000) {
        (0, rest) => rest.to_string(),
        (thousands, rest) => format!("{},{rest:03}", spelled(thousands)),
    }
}

#[test]
fn the_limits_that_are_told_are_those_that_hold() {
    use therapybridge::server::connections::Patience;
    use therapybridge::server::guard::DocumentLimits;
    use therapybridge::server::seam::Limits;
    let Limits {
        json_bytes, json_time, idle_time, init_time, keep_alive, socket_operations, document, ..
    } = Limits::default();
    let DocumentLimits {
        bytes,
        tokens,
        nesting,
        aliases,
        directives,
        depth,
        selections,
        introspection,
        cost,
    } = document;
    let Patience { first, head, taking } = Patience::default();
    let (tokens, selections, cost) = (spelled(tokens as u64), spelled(selections as u64), spelled(cost));
    let page = read("docs/api.md");
    for row in [
        format!("{} MiB; a body must arrive within {} s |", json_bytes >> 20, json_time.as_secs()),
        format!("the next bytes must arrive within {} s |", idle_time.as_secs()),
        format!(
            "| document | {} KiB, {tokens} tokens, {aliases} aliases, {directives} directives |",
            bytes >> 10
        ),
        format!("| brackets within brackets, in document and JSON | {nesting} |"),
        format!("| fields within fields, fragments expanded | {depth} |"),
        format!("| selections, fragments expanded | {selections} |"),
        format!("| `QUERY_COST_LIMIT`, {cost} points |"),
        format!("in each other | {introspection} |"),
        format!("| operations at a time on one socket | {socket_operations} |"),
        format!("ten times as many of an address, for {} seconds |", init_time.as_secs()),
        format!(
            "| {} s for the first byte of a request; {} s until the head",
            first.as_secs(),
            head.as_secs()
        ),
        format!(
            "a message of a socket {} s, anything else {} minutes",
            idle_time.as_secs(),
            taking.as_secs() / 60
        ),
        format!("| a ping every {} s;", keep_alive.as_secs()),
    ] {
        assert!(page.contains(&row), "docs/api.md does not say: {row}");
    }
}
