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
