//! Who may use whom inside the program: held against the sources.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use super::support::root;

/// A module uses only modules of lines above its own. The modules of the first line may use each other; no others do.
const LINES: [&[&str]; 11] = [
    &["error", "clock", "config", "actor", "entity", "text", "page", "random", "secret_file", "failpoint"],
    &["database", "storage", "audio", "ai", "audit", "events", "queue", "idempotency", "telemetry"],
    &["auth", "notes", "transcript", "uploads", "costs"],
    &["analytics", "webhooks"],
    &["patients"],
    &["sessions", "practice"],
    &["exports", "cleanup"],
    &["app"],
    // The worker and the API never know of each other: they meet in the database.
    &["worker", "graphql"],
    // The demo is an ordinary client; only the year that it makes up is written as it is.
    &["server", "demo", "admin"],
    // Puts the parts together.
    &["main"],
];

#[test]
fn modules_use_only_what_stands_above_them() {
    let violations: Vec<String> =
        sources(&root().join("src")).iter().flat_map(|(path, source)| violations(path, source)).collect();
    assert!(violations.is_empty(), "see LINES:\n{}", violations.join("\n"));
}

#[test]
fn every_module_has_its_line() {
    let present: BTreeSet<String> =
        sources(&root().join("src")).keys().map(|path| module(path).to_owned()).collect();
    let placed: BTreeSet<String> = LINES.concat().into_iter().map(Into::into).collect();
    let present: BTreeSet<String> = present.into_iter().filter(|module| module != "lib").collect();
    assert_eq!(present, placed);
}

#[test]
fn the_architecture_page_shows_the_lines() {
    let page = fs::read_to_string(root().join("docs/architecture.md")).unwrap();
    let shown = LINES.iter().enumerate().map(|(number, line)| format!("{number}  {}\n", line.join(" · ")));
    let shown: String = shown.collect();
    assert!(page.contains(&format!("```\n{shown}```")), "docs/architecture.md should show:\n{shown}");
}

#[test]
fn the_checker_sees_every_way_of_naming_a_module() {
    for source in [
        "use crate::graphql::schema;",
        "use crate::{error::Error, graphql};",
        "use crate::{\n    error::{Code, Error},\n    graphql::{schema, upload},\n};",
        "fn f() { crate::graphql::schema(true) }",
        "use super::super::graphql;",
        "use crate :: graphql;",
    ] {
        let found = violations("sessions/status.rs", source);
        assert_eq!(found, ["sessions/status.rs uses graphql"], "{source}");
    }
}

#[test]
fn the_checker_lets_pass_what_stands_above_what_is_said_and_what_tests_do() {
    for source in [
        "use crate::entity::session;",
        "use crate::sessions::upload;",
        "use super::upload;",
        "/// What [`crate::graphql`] shows.\nfn f() {} // not crate::graphql",
        "#[cfg(test)]\nmod tests {\n    use crate::graphql;\n}",
    ] {
        assert_eq!(violations("sessions/status.rs", source), Vec::<String>::new(), "{source}");
    }
    assert_eq!(violations("entity/patient.rs", "use crate::actor::Actor;"), Vec::<String>::new());
    assert_eq!(violations("actor.rs", "use crate::entity::user;"), Vec::<String>::new());
}

#[test]
fn the_checker_lets_no_two_modules_of_a_line_use_each_other() {
    assert_eq!(violations("worker/mod.rs", "use crate::graphql;"), ["worker/mod.rs uses graphql"]);
    assert_eq!(violations("events/mod.rs", "use crate::queue;"), ["events/mod.rs uses queue"]);
}

/// Every Rust file under `dir`, by its path there.
fn sources(dir: &Path) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if path.is_dir() {
            found.extend(
                sources(&path).into_iter().map(|(inside, source)| (format!("{name}/{inside}"), source)),
            );
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.insert(name, fs::read_to_string(&path).unwrap());
        }
    }
    found
}

fn violations(path: &str, source: &str) -> Vec<String> {
    let others = named(path, source);
    others
        .iter()
        .filter(|other| !may_use(module(path), other))
        .map(|other| format!("{path} uses {other}"))
        .collect()
}

fn may_use(module: &str, other: &str) -> bool {
    let (own, above) = (line(module), line(other));
    module == other || above < own || (own == Some(0) && above == Some(0))
}

fn line(module: &str) -> Option<usize> {
    LINES.iter().position(|line| line.contains(&module))
}

/// The top-level module a file belongs to.
fn module(path: &str) -> &str {
    path.split('/').next().unwrap().trim_end_matches(".rs")
}

/// How many modules down from the crate's root a file is.
fn depth(path: &str) -> usize {
    path.trim_end_matches(".rs").trim_end_matches("/mod").split('/').count()
}

/// The top-level modules that a file names.
fn named(path: &str, source: &str) -> BTreeSet<String> {
    let code = spoken(source);
    let to_the_root = format!("{}::", vec!["super"; depth(path)].join("::"));
    let roots = ["crate::", &to_the_root];
    let places =
        roots.iter().flat_map(|root| code.match_indices(root).map(|(at, _)| &code[at + root.len()..]));
    places.flat_map(names).filter(|name| line(name).is_some()).map(Into::into).collect()
}

/// The code without comments, spaces and the tests at the end of the file.
fn spoken(source: &str) -> String {
    let product = source.split("#[cfg(test)]\nmod tests {").next().unwrap();
    let code: String = product.lines().map(|line| line.split("//").next().unwrap()).collect();
    code.split_whitespace().collect()
}

/// The names at the start of a path: one, or those of a group in braces.
fn names(rest: &str) -> Vec<&str> {
    let Some(group) = rest.strip_prefix('{') else { return vec![identifier(rest)] };
    let (mut nesting, mut start, mut names) = (1, 0, Vec::new());
    for (at, character) in group.char_indices() {
        match character {
            '{' => nesting += 1,
            '}' => nesting -= 1,
            ',' if nesting == 1 => {
                names.push(identifier(&group[start..]));
                start = at + 1;
            }
            _ => {}
        }
        if nesting == 0 {
            break;
        }
    }
    names.push(identifier(&group[start..]));
    names
}

fn identifier(text: &str) -> &str {
    text.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap()
}
