//! What the guard lets through, given to the real parser and to the validation against the real schema: nothing of it may
//! panic, or take 50 ms. Near-GraphQL of many sizes, from a seed: the same seed, the same documents.
//!
//! 20,000 documents among the other tests; `make fuzz` makes it a million.

#![expect(clippy::format_collect, clippy::format_push_string, reason = "a test may allocate")]
#![expect(clippy::disallowed_methods, reason = "told by `make fuzz`")]

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_graphql::extensions::{Extension, ExtensionContext, ExtensionFactory, NextValidation};
use async_graphql::{Request, Schema, ServerError, ValidationResult, Variables, async_trait};
use futures::FutureExt;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use serde_json::json;

use super::cost::PriceList;
use super::{DocumentLimits, admit, root_fields, weigh};
use crate::graphql::{ApiSchema, Mutation, Query, Subscription, sdl};
use crate::server::tariff::TARIFF;

const CASES: u64 = 20_000;
const TIME: Duration = Duration::from_millis(50);
/// The time between two of the kernel's looks at what a thread has worked, at most.
const TICK: Duration = Duration::from_millis(10);
/// A machine with other things to do may be slow once, and not every time.
const TRIES: usize = 4;

/// Ends every request when it has been validated: nothing is executed.
struct ValidatesOnly;

impl ExtensionFactory for ValidatesOnly {
    fn create(&self) -> Arc<dyn Extension> {
        Arc::new(Self)
    }
}

#[async_trait::async_trait]
impl Extension for ValidatesOnly {
    async fn validation(
        &self,
        ctx: &ExtensionContext<'_>,
        next: NextValidation<'_>,
    ) -> Result<ValidationResult, Vec<ServerError>> {
        next.run(ctx).await?;
        Err(vec![ServerError::new(VALID, None)])
    }
}

const VALID: &str = "valid, and that is all";

struct Target {
    schema: ApiSchema,
    prices: PriceList,
    limits: DocumentLimits,
}

/// How far a document got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Refused,
    Invalid,
    Valid,
}

impl Target {
    fn new() -> Self {
        let schema = Schema::build(Query::default(), Mutation::default(), Subscription::default());
        Self {
            schema: schema.limit_recursive_depth(64).extension(ValidatesOnly).finish(),
            prices: PriceList::new(&sdl(), &TARIFF),
            limits: DocumentLimits::default(),
        }
    }

    /// What every transport does with a document, up to its execution.
    fn take(&self, document: &str) -> Outcome {
        let variables = Variables::from_json(json!({ "a": 1, "b": null, "c": ["x", { "y": [true] }] }));
        let mut request = Request::new(document).variables(variables);
        let weighed = admit(&mut request, &self.limits)
            .and_then(|_| weigh(&mut request, &self.prices, &self.limits))
            .and_then(|_| root_fields(&mut request));
        if weighed.is_err() {
            return Outcome::Refused;
        }
        let response = self.schema.execute(request).now_or_never().expect("validation waits for nothing");
        if response.errors[0].message == VALID { Outcome::Valid } else { Outcome::Invalid }
    }
}

#[test]
#[expect(clippy::print_stdout, reason = "it tells what it has done")]
fn what_the_guard_lets_through_neither_panics_nor_takes_fifty_milliseconds() {
    let cases = std::env::var("FUZZ_CASES").map_or(CASES, |cases| cases.parse().unwrap());
    let first = std::env::var("FUZZ_SEED").map_or(1, |seed| seed.parse().unwrap());
    let target = Target::new();
    let (mut counts, mut slowest) = ([0_u64; 3], (Duration::ZERO, 0));
    for seed in first..first + cases {
        let document = Author::new(seed).document();
        let mut took = Duration::MAX;
        for _ in 0..TRIES {
            let watch = Watch::start();
            let outcome = std::panic::catch_unwind(AssertUnwindSafe(|| target.take(&document)));
            let outcome =
                outcome.unwrap_or_else(|_| panic!("FUZZ_SEED={seed} FUZZ_CASES=1 panics:\n{document}"));
            took = took.min(watch.elapsed());
            if took < TIME {
                counts[outcome as usize] += 1;
                break;
            }
        }
        assert!(took < TIME, "FUZZ_SEED={seed} FUZZ_CASES=1 takes {took:?}:\n{document:.2000}");
        slowest = slowest.max((took, seed));
    }
    let [refused, invalid, valid] = counts;
    println!(
        "{cases} documents: {refused} refused, {invalid} not valid, {valid} valid; at most {:?} (seed {})",
        slowest.0, slowest.1
    );
    // A generator that the guard, the parser or the schema stops too early would prove nothing.
    assert!(cases < CASES || [refused, invalid, valid].iter().all(|count| cases / 50 < *count), "{counts:?}");
}

/// Measures what a thread works, and not what it waits for a processor that others have.
struct Watch {
    started: Instant,
    worked: Option<Duration>,
}

impl Watch {
    fn start() -> Self {
        Self { started: Instant::now(), worked: worked() }
    }

    fn elapsed(&self) -> Duration {
        let worked = self
            .worked
            .zip(worked())
            .map_or(Duration::MAX, |(before, now)| now.saturating_sub(before) + TICK);
        self.started.elapsed().min(worked)
    }
}

/// What this thread has had of a processor, as of the last tick; `None` where the system does not tell.
fn worked() -> Option<Duration> {
    let told = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    Some(Duration::from_nanos(told.split(' ').next()?.parse().ok()?))
}

/// Writes near-GraphQL.
struct Author {
    dice: StdRng,
    text: String,
    /// Pieces that may still be written.
    left: usize,
    fragments: usize,
}

const FIELDS: [&str; 40] = [
    "id",
    "name",
    "viewer",
    "patients",
    "sessions",
    "nodes",
    "edges",
    "node",
    "cursor",
    "pageInfo",
    "totalCount",
    "patient",
    "therapist",
    "notes",
    "strategies",
    "evidence",
    "quote",
    "transcriptText",
    "transcriptSegments",
    "text",
    "status",
    "createdAt",
    "userErrors",
    "code",
    "message",
    "sessionTrends",
    "dataPoints",
    "practiceOverview",
    "commonTopics",
    "topics",
    "rateLimit",
    "logIn",
    "createPatient",
    "__typename",
    "__schema",
    "types",
    "fields",
    "type",
    "ofType",
    "sessionUpdated",
];
const TYPES: [&str; 8] =
    ["Query", "Mutation", "Session", "Patient", "Node", "SessionConnection", "__Type", "Nothing"];
const ARGUMENTS: [&str; 10] =
    ["first", "after", "filter", "id", "input", "limit", "weeks", "if", "search", "period"];
const JUNK: [&str; 24] = [
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
    "\"",
    "\"\"\"",
    "\\",
    "#",
    "\n",
    "ä",
    "\u{feff}",
    "\0",
    "&",
    "|",
    "-0.5e9",
    "99999999999999999999",
];
/// Queries that are good as they are, and get worse here.
const GOOD: [&str; 6] = [
    "{ viewer { id email role } }",
    "query ($a: Int) { patients(first: $a) { nodes { id name sessions(first: 3) { totalCount nodes { id status } } } } }",
    "{ sessions(first: 10, filter: { status: PROCESSED }) { edges { cursor node { ...s } } } } fragment s on Session { id notes { keyTopics } }",
    "mutation { createPatient(input: { name: \"x\" }) { patient { id } userErrors { code message } } }",
    "subscription { sessionUpdated(id: \"1\") { id status progress } }",
    "{ __schema { types { name fields { name type { name ofType { name } } } } } node(id: \"1\") { id ... on Session { status } } }",
];

impl Author {
    fn new(seed: u64) -> Self {
        Self { dice: StdRng::seed_from_u64(seed), text: String::new(), left: 0, fragments: 0 }
    }

    fn document(mut self) -> String {
        match self.dice.random_range(0..100) {
            0..30 => self.text.push_str(GOOD.choose(&mut self.dice).unwrap()),
            // Now and then as much as the limits let pass.
            30 => self.repeated(),
            size => {
                self.left = if size < 33 { 4_000 } else { self.dice.random_range(2..120) };
                self.operations();
            }
        }
        if self.dice.random_bool(0.4) {
            self.spoil();
        }
        self.text
    }

    fn operations(&mut self) {
        for _ in 0..self.dice.random_range(1..3) {
            let kind =
                ["", "query ", "query A", "mutation ", "subscription "].choose(&mut self.dice).unwrap();
            self.text.push_str(kind);
            if !kind.is_empty() && self.dice.random_bool(0.3) {
                self.text.push_str("($a: Int = 3, $b: [ID!], $c: SessionFilterInput)");
            }
            self.selections(0);
        }
        while self.fragments > 0 && self.dice.random_bool(0.9) {
            self.fragments -= 1;
            let on = TYPES.choose(&mut self.dice).unwrap();
            self.text.push_str(&format!(" fragment f{} on {on}", self.fragments % 12));
            self.selections(0);
        }
    }

    fn selections(&mut self, depth: usize) {
        self.text.push('{');
        for _ in 0..self.dice.random_range(1..8) {
            if self.left == 0 {
                break;
            }
            self.left -= 1;
            match self.dice.random_range(0..20) {
                0 => {
                    let spread = format!("...f{} ", self.dice.random_range(0..12));
                    self.text.push_str(&spread);
                    self.fragments += 1;
                }
                1 => {
                    let on = TYPES.choose(&mut self.dice).unwrap();
                    self.text.push_str(&format!("... on {on}"));
                    self.selections(depth + 1);
                }
                _ => self.field(depth),
            }
        }
        self.text.push_str("__typename}");
    }

    fn field(&mut self, depth: usize) {
        if self.dice.random_bool(0.1) {
            let alias = format!("a{}:", self.dice.random_range(0..99));
            self.text.push_str(&alias);
        }
        self.text.push_str(FIELDS.choose(&mut self.dice).unwrap());
        if self.dice.random_bool(0.2) {
            self.text.push('(');
            self.text.push_str(ARGUMENTS.choose(&mut self.dice).unwrap());
            self.text.push(':');
            self.value(0);
            self.text.push(')');
        }
        if self.dice.random_bool(0.05) {
            self.text
                .push_str(["@skip(if:true)", "@include(if:$a)", "@none"].choose(&mut self.dice).unwrap());
        }
        if depth < 22 && self.dice.random_bool(0.35) {
            self.selections(depth + 1);
        } else {
            self.text.push(' ');
        }
    }

    fn value(&mut self, depth: usize) {
        match self.dice.random_range(0..10) {
            0 if depth < 70 => {
                self.text.push('[');
                for _ in 0..self.dice.random_range(0..3) {
                    self.value(depth + 1);
                    self.text.push(' ');
                }
                self.text.push(']');
            }
            1 if depth < 70 => {
                self.text.push_str("{patientId:");
                self.value(depth + 1);
                self.text.push('}');
            }
            _ => self.text.push_str(
                [
                    "1",
                    "-1",
                    "100",
                    "1e99",
                    "\"x\"",
                    "\"\\u00e4\"",
                    "\"\"\"\n a\n\"\"\"",
                    "true",
                    "null",
                    "PROCESSED",
                    "$a",
                    "$b",
                    "$none",
                ]
                .choose(&mut self.dice)
                .unwrap(),
            ),
        }
    }

    /// The same again and again: what walks that are not linear would be slow at.
    fn repeated(&mut self) {
        let count = self.dice.random_range(1..5_000);
        let text = match self.dice.random_range(0..9) {
            0 => format!("{{{}}}", "viewer{id}".repeat(count.min(2_000))),
            1 => format!(
                "{{{}}}",
                (0..count.min(99)).map(|n| format!("a{n}:viewer{{id}}")).collect::<String>()
            ),
            2 => format!("{{viewer{{{}}}}}", "...on User{id}".repeat(count.min(1_500))),
            3 => format!("{{node(id:{}1{}){{id}}}}", "[".repeat(count % 70), "]".repeat(count % 70)),
            4 => format!(
                "query({}){{__typename}}",
                (0..count.min(2_000)).map(|n| format!("$v{n}:Int ")).collect::<String>()
            ),
            5 => (0..count.min(700)).map(|n| format!("query q{n}{{viewer{{id}}}}")).collect(),
            6 => {
                let depth = count % 14;
                let links: String = (0..depth)
                    .map(|n| format!("fragment f{n} on Query{{...f{m} ...f{m}}}", m = n + 1))
                    .collect();
                format!("{{...f0}}{links}fragment f{depth} on Query{{__typename}}")
            }
            7 => format!(
                "{{__typename({})}}",
                (0..count.min(3_000)).map(|n| format!("a{n}:$v{n} ")).collect::<String>()
            ),
            _ => {
                let used: String = (0..count.min(900)).map(|n| format!("...f{n} ")).collect();
                let fragments: String =
                    (0..count.min(900)).map(|n| format!("fragment f{n} on Query{{viewer{{id}}}}")).collect();
                format!("{{{used}}}{fragments}")
            }
        };
        self.text.push_str(&text);
    }

    /// Leaves something out, writes something twice, or puts something where it does not belong.
    fn spoil(&mut self) {
        for _ in 0..self.dice.random_range(1..4) {
            let characters: Vec<char> = self.text.chars().collect();
            let at = self.dice.random_range(0..=characters.len());
            let to = (at + self.dice.random_range(0..12)).min(characters.len());
            let (before, within, after) = (&characters[..at], &characters[at..to], &characters[to..]);
            let within: String = match self.dice.random_range(0..3) {
                0 => String::new(),
                1 => within.iter().collect::<String>().repeat(2),
                _ => format!("{}{}", within.iter().collect::<String>(), JUNK.choose(&mut self.dice).unwrap()),
            };
            self.text = before.iter().collect::<String>() + &within + &after.iter().collect::<String>();
        }
    }
}
