//! Operations that may be dear: of every way through the schema's pages, three deep, everything that can be selected at its
//! end, each grown in several ways until the limits say no; and some that only people think of.

use super::schema::{Field, Schema};

/// Pages within pages.
const HOPS: usize = 3;
/// Levels of what is selected at the end of a way.
const LEVELS: usize = 3;
/// Root fields of an operation: the budget of `RATE_LIMIT_REQUESTS` holds no more. And as many aliases pass.
const ROOTS: usize = 100;
const FULL: usize = 100;
/// Selections that pass, fragments expanded.
const SELECTIONS: usize = 5_000;

/// An operation that grows.
pub(crate) struct Candidate {
    pub(crate) name: String,
    /// How far it grows at most.
    pub(crate) most: usize,
    pub(crate) query: Box<dyn Fn(usize) -> String>,
}

impl Candidate {
    fn new(name: impl Into<String>, most: usize, query: impl Fn(usize) -> String + 'static) -> Self {
        Self { name: name.into(), most, query: Box::new(query) }
    }
}

/// All that the schema's text suggests.
pub(crate) fn generated(schema: &Schema) -> Vec<Candidate> {
    let mut found = Vec::new();
    for field in schema.fields("Query") {
        if field.is_connection() {
            walk(schema, &Way::start().through(schema, field), &mut found);
        } else if let Some(whole) = schema.whole(field, LEVELS) {
            found.push(again_and_again(&field.name, whole));
            if let Some(called) = field.called(&schema.ids).filter(|_| field.has_fields) {
                let way = Way::start().enter(called);
                onwards(schema, &way, &field.of, &mut found);
            }
        }
    }
    found
}

/// The same root field under other names.
fn again_and_again(name: &str, whole: String) -> Candidate {
    Candidate::new(format!("{name} × n"), ROOTS, move |n| format!("{{ {} }}", aliases(n, &whole)))
}

/// The same field under other names.
pub(crate) fn aliases(count: usize, field: &str) -> String {
    let named: Vec<String> = (0..count).map(|n| format!("a{n}: {field} ")).collect();
    named.concat()
}

/// A way from the root through pages.
#[derive(Clone)]
struct Way {
    name: String,
    hops: Vec<Hop>,
    /// Single things on the way to the next page.
    open: Vec<String>,
    of: String,
}

#[derive(Clone)]
struct Hop {
    open: Vec<String>,
    /// With the length of the page as `$`.
    page: String,
}

impl Way {
    fn start() -> Self {
        Self { name: String::new(), hops: Vec::new(), open: Vec::new(), of: String::new() }
    }

    /// Into a page; on to its rows.
    fn through(&self, schema: &Schema, field: &Field) -> Self {
        let mut way = self.clone();
        let page =
            field.page(&schema.ids, FULL).expect("pages need no arguments").replace("first: 100", "first: $");
        way.hops.push(Hop { open: std::mem::take(&mut way.open), page });
        way.name = format!("{}/{}", way.name, field.name);
        way.of.clone_from(&schema.field(&field.of, "nodes").expect("a connection has nodes").of);
        way
    }

    /// Into a single thing.
    fn enter(&self, called: String) -> Self {
        let mut way = self.clone();
        way.name = format!("{}/{}", way.name, called.split('(').next().unwrap_or_default());
        way.open.push(called);
        way
    }

    /// With pages of these lengths, around what is selected of the last one (or in its stead).
    fn around(&self, lengths: &[usize], selected: &Selected) -> String {
        let mut inner = String::new();
        for (at, hop) in self.hops.iter().enumerate().rev() {
            let page = hop.page.replace('$', &lengths[at].to_string());
            let rows = match selected {
                _ if at + 1 < self.hops.len() => format!("nodes {{ {inner} }}"),
                Selected::Rows(fields) => format!("nodes {{ {fields} }}"),
                Selected::Edges(fields) => {
                    format!("edges {{ cursor node {{ {fields} }} }} pageInfo {{ endCursor }}")
                }
                Selected::Count => "totalCount".to_owned(),
                Selected::Nothing => "pageInfo { hasNextPage }".to_owned(),
            };
            inner = format!("{page} {{ {rows} }}");
            for single in hop.open.iter().rev() {
                inner = format!("{single} {{ {inner} }}");
            }
        }
        inner
    }
}

/// What is selected of a page.
#[derive(Clone)]
enum Selected {
    Rows(String),
    Edges(String),
    Count,
    /// Rows are read nevertheless.
    Nothing,
}

/// Everything at the end of a way, and the ways on from there.
fn walk(schema: &Schema, way: &Way, found: &mut Vec<Candidate>) {
    for (label, selected) in selections(schema, way) {
        let name = format!("{} {label}", way.name);
        grow(way, &name, &selected, found);
        if way.hops.len() == 1
            && let Selected::Rows(fields) = &selected
        {
            found.push(repeated(way, &name, fields.clone()));
        }
    }
    if way.hops.len() < HOPS {
        onwards(schema, way, &way.of, found);
    }
}

/// The pages of a thing, and of those that it has one of.
fn onwards(schema: &Schema, way: &Way, of: &str, found: &mut Vec<Candidate>) {
    for field in schema.fields(of) {
        if field.is_connection() {
            walk(schema, &way.through(schema, field), found);
        } else if let Some(called) = field.called(&schema.ids).filter(|_| field.has_fields) {
            let way = way.enter(called);
            for page in schema.fields(&field.of).iter().filter(|field| field.is_connection()) {
                walk(schema, &way.through(schema, page), found);
            }
        }
    }
}

fn selections(schema: &Schema, way: &Way) -> Vec<(String, Selected)> {
    let of = &way.of;
    let mut all = vec![
        ("plain".to_owned(), Selected::Rows(schema.plain(of))),
        ("all".to_owned(), Selected::Rows(schema.all(of, LEVELS))),
        ("edges".to_owned(), Selected::Edges("__typename".to_owned())),
        ("count".to_owned(), Selected::Count),
        ("nothing".to_owned(), Selected::Nothing),
    ];
    if way.hops.len() < HOPS {
        // At the end of long ways only what leads elsewhere: the rest is measured on short ones.
        let fields = schema.fields(of).iter().filter(|field| !field.is_connection());
        let fields = fields.filter(|field| field.has_fields || way.hops.len() == 1);
        let whole = |field: &Field| Some((field.name.clone(), Selected::Rows(schema.whole(field, LEVELS)?)));
        all.extend(fields.filter_map(whole));
    }
    all
}

/// The lengths of pages that are tried, by how many there are: `None` is what grows.
fn lengths(hops: usize) -> &'static [&'static [Option<usize>]] {
    match hops {
        1 => &[&[None]],
        2 => &[&[Some(FULL), None], &[None, Some(FULL)], &[None, None]],
        _ => &[
            &[None, None, None],
            &[Some(FULL), None, Some(1)],
            &[Some(1), None, Some(FULL)],
            &[Some(1), Some(FULL), None],
        ],
    }
}

fn grow(way: &Way, name: &str, selected: &Selected, found: &mut Vec<Candidate>) {
    let is_single = |lengths: &[Option<usize>]| lengths.len() == 1;
    for tried in lengths(way.hops.len()).iter().filter(|tried| !is_single(tried)) {
        let (way, selected) = (way.clone(), selected.clone());
        let shown: Vec<_> =
            tried.iter().map(|length| length.map_or("n".to_owned(), |length| length.to_string())).collect();
        found.push(Candidate::new(format!("{name}, pages of {}", shown.join("/")), FULL, move |n| {
            let lengths: Vec<_> = tried.iter().map(|length| length.unwrap_or(n)).collect();
            format!("{{ {} }}", way.around(&lengths, &selected))
        }));
    }
    let many: &[usize] = match (selected, way.hops.len()) {
        (Selected::Count, _) => &[1],
        (_, 1) => &[1, FULL],
        (_, 2) => &[10],
        _ => &[4],
    };
    for length in many {
        let whole = way.around(&vec![*length; way.hops.len()], selected);
        found.push(again_and_again(&format!("{name}, pages of {length},"), whole));
    }
}

/// The same of each row, again and again: what is selected twice is resolved twice.
fn repeated(way: &Way, name: &str, fields: String) -> Candidate {
    let way = way.clone();
    Candidate::new(format!("{name}, n times of each row"), SELECTIONS, move |n| {
        let (spreads, fragments) = spreads(n, &way.of, &fields);
        format!("{{ {} }} {fragments}", way.around(&[FULL], &Selected::Rows(spreads)))
    })
}

/// Selections, so many times: fragments of ten in fragments of ten make a short document.
fn spreads(count: usize, of: &str, fields: &str) -> (String, String) {
    let spreads = format!("{}{}", "...ten ".repeat(count / 10), "...one ".repeat(count % 10));
    let one = format!("fragment one on {of} {{ {fields} }}");
    // One that nobody uses is not valid.
    let ten = format!("fragment ten on {of} {{ {} }}", "...one ".repeat(10));
    (spreads, if count < 10 { one } else { format!("{ten} {one}") })
}

/// What the schema's text does not suggest.
pub(crate) fn thought_of(patient: &str) -> Vec<Candidate> {
    let of_schema = |name: &str, field: &'static str| {
        Candidate::new(name, ROOTS, move |n| format!("{{ {} }}", aliases(n, field)))
    };
    let mutations = |name: &str, field: String| {
        Candidate::new(name, ROOTS, move |n| format!("mutation {{ {} }}", aliases(n, &field)))
    };
    let of_one = format!("sessions(first: 100, filter: {{ patientId: {patient:?} }})");
    let (texts, words, notes) = (of_one.clone(), of_one.clone(), of_one);
    vec![
        Candidate::new("long transcripts as text", FULL, move |n| {
            format!("{{ {} {{ nodes {{ transcriptText }} }} }}", texts.replace("100", &n.to_string()))
        }),
        Candidate::new("long transcripts by utterance", ROOTS, move |n| {
            format!(
                "{{ {} }}",
                aliases(
                    n,
                    &format!(
                        "{words} {{ nodes {{ transcriptSegments(first: 100) {{ nodes {{ text }} }} }} }}"
                    )
                )
            )
        }),
        Candidate::new("notes of the same hundred sessions", ROOTS, move |n| {
            let item = "text evidence { quote segmentId segmentIds startMs endMs verdict match }";
            format!(
                "{{ {} }}",
                aliases(
                    n,
                    &format!(
                        "{notes} {{ nodes {{ notes {{ keyTopics therapistNotes strategies {{ {item} }} actionItems {{ {item} }} }} }} }}"
                    )
                )
            )
        }),
        of_schema(
            "the schema",
            "__schema { types { name description fields(includeDeprecated: true) { name description type { name kind } args { name description } } } }",
        ),
        of_schema(
            "all that the schema says of values",
            "__schema { types { enumValues { name description } inputFields { name description defaultValue } } }",
        ),
        Candidate::new("types of the schema's fields", ROOTS, |n| {
            format!(
                "{{ __schema {{ types {{ fields {{ type {{ {} }} }} }} }} }}",
                aliases(n, "fields { name }")
            )
        }),
        Candidate::new("nothing, again and again", SELECTIONS, |n| {
            let (spreads, fragments) = spreads(n, "Query", "__typename");
            format!("{{ {spreads} }} {fragments}")
        }),
        mutations(
            "new patients",
            "createPatient(input: { name: \"Somebody\" }) { patient { id } userErrors { code } }".to_owned(),
        ),
        mutations(
            "new appointments",
            format!(
                "scheduleSession(input: {{ patientId: {patient:?}, scheduledStart: \"2099-01-01T10:00:00Z\", durationMinutes: 50 }}) {{ session {{ id }} userErrors {{ code }} }}"
            ),
        ),
        mutations(
            "the same patient, changed",
            format!(
                "updatePatient(input: {{ patientId: {patient:?}, phone: \"1\" }}) {{ patient {{ id }} userErrors {{ code }} }}"
            ),
        ),
        mutations(
            "clean-ups",
            "cleanUpAll(dryRun: true) { cleanup { filesDeleted } userErrors { code } }".to_owned(),
        ),
    ]
}
