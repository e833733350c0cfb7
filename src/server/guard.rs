//! What a document may be, before it is parsed and before it is validated.
//!
//! async-graphql's parser recurses without a depth count, and its validation walks fragments once per use: a
//! few kilobytes end the process or burn seconds. So every transport asks this guard first. It looks at the
//! text in one iterative pass, then at the parsed document with every fragment measured once.

pub mod cost;

use std::collections::HashMap;
use std::num::NonZeroU32;

use async_graphql::Positioned;
use async_graphql::Request;
use async_graphql::parser::types::{
    DocumentOperations, ExecutableDocument, OperationDefinition, OperationType, Selection, SelectionSet,
    VariableDefinition,
};
use async_graphql::{Value, Variables};

use self::cost::{Cost, PriceList};
use super::reply::{Refusal, code};

/// What a document may be.
#[derive(Clone, Debug)]
pub struct DocumentLimits {
    /// Length of the document's text, in bytes.
    pub bytes: usize,
    /// Names, numbers, strings and punctuation marks.
    pub tokens: usize,
    /// Brackets within brackets, in the document and in the JSON around it; also fragments within fragments.
    pub nesting: usize,
    /// Aliases, as written.
    pub aliases: usize,
    /// Directives, as written.
    pub directives: usize,
    /// Fields within fields, fragments expanded.
    pub depth: usize,
    /// Fields, spreads and inline fragments of all operations, fragments expanded.
    pub selections: usize,
    /// Lists of the schema within each other (`fields`, `inputFields`, …), where it is asked about itself: they multiply.
    pub introspection: usize,
    /// Points of the chosen operation, see [`cost`].
    pub cost: u64,
}

impl Default for DocumentLimits {
    fn default() -> Self {
        Self {
            bytes: 64 << 10,
            tokens: 10_000,
            nesting: 64,
            aliases: 100,
            directives: 100,
            depth: 20,
            selections: 5_000,
            introspection: 2,
            cost: 50_000,
        }
    }
}

/// Lets a request pass: parses it, leaves the parsed document in it and tells the chosen operation's type.
///
/// # Errors
/// `LIMIT_EXCEEDED`, `BAD_REQUEST` (syntax, operation name) or `VALIDATION_FAILED` (fragment cycles).
pub fn admit(request: &mut Request, limits: &DocumentLimits) -> Result<OperationType, Refusal> {
    check_source(&request.query, limits)?;
    let name = request.operation_name.clone();
    let document = request.parsed_query().map_err(|error| syntax(&error.message))?;
    check_document(document, limits)?;
    Ok(chosen(document, name.as_deref())?.node.ty)
}

/// Whether an admitted request has every variable that may not be null. async-graphql takes those that are missing for null,
/// and null for nothing said.
///
/// # Errors
/// `VALIDATION_FAILED`, and as [`admit`].
pub fn check_variables(request: &mut Request) -> Result<(), Refusal> {
    let (name, variables) = (request.operation_name.clone(), std::mem::take(&mut request.variables));
    let checked = request
        .parsed_query()
        .map_err(|error| syntax(&error.message))
        .and_then(|document| all_given(&chosen(document, name.as_deref())?.node, &variables));
    request.variables = variables;
    checked
}

/// A file is still to come where its variable is null.
fn all_given(operation: &OperationDefinition, variables: &Variables) -> Result<(), Refusal> {
    for definition in &operation.variable_definitions {
        let VariableDefinition { name, var_type, default_value, .. } = &definition.node;
        let is_null = match variables.get(&name.node) {
            None => default_value.is_none(),
            Some(value) => *value == Value::Null,
        };
        if is_null && !var_type.node.nullable && var_type.node.to_string() != "Upload!" {
            let message =
                format!("The variable `${}` must be given: its type is `{}`.", name.node, var_type.node);
            return Err(Refusal::document(code::VALIDATION_FAILED, message));
        }
    }
    Ok(())
}

/// What the chosen operation of an admitted request costs.
///
/// # Errors
/// `LIMIT_EXCEEDED`, and as [`admit`].
pub fn weigh(request: &mut Request, prices: &PriceList, limits: &DocumentLimits) -> Result<Cost, Refusal> {
    let (name, variables) = (request.operation_name.clone(), std::mem::take(&mut request.variables));
    let weighed = request.parsed_query().map_err(|error| syntax(&error.message)).and_then(|document| {
        Ok(prices.weigh(document, &chosen(document, name.as_deref())?.node, &variables))
    });
    request.variables = variables;
    let cost = Cost { requested: weighed?, limit: limits.cost };
    if cost.requested <= cost.limit { Ok(cost) } else { Err(Refusal::too_dear(cost)) }
}

/// How many fields the chosen operation of an admitted request asks of its root: each alias counts, and so does what a
/// directive may skip.
///
/// # Errors
/// As [`admit`].
pub fn root_fields(request: &mut Request) -> Result<NonZeroU32, Refusal> {
    let name = request.operation_name.clone();
    let document = request.parsed_query().map_err(|error| syntax(&error.message))?;
    let operation = chosen(document, name.as_deref())?;
    let mut roots = Roots { document, known: HashMap::new() };
    let fields = roots.selection_set(&operation.node.selection_set.node);
    Ok(NonZeroU32::new(fields).unwrap_or(NonZeroU32::MIN))
}

/// Counts fields at the root. Fragments are known to hold no cycle, and to nest within bounds.
struct Roots<'a> {
    document: &'a ExecutableDocument,
    known: HashMap<&'a str, u32>,
}

impl<'a> Roots<'a> {
    fn selection_set(&mut self, set: &'a SelectionSet) -> u32 {
        set.items.iter().fold(0, |sum, selection| {
            let fields = match &selection.node {
                Selection::Field(_) => 1,
                Selection::InlineFragment(fragment) => self.selection_set(&fragment.node.selection_set.node),
                Selection::FragmentSpread(spread) => self.fragment(&spread.node.fragment_name.node),
            };
            sum.saturating_add(fields)
        })
    }

    fn fragment(&mut self, name: &'a str) -> u32 {
        if let Some(fields) = self.known.get(name) {
            return *fields;
        }
        let fragment = self.document.fragments.get(name);
        let fields = fragment.map_or(0, |fragment| self.selection_set(&fragment.node.selection_set.node));
        self.known.insert(name, fields);
        fields
    }
}

/// Checks the text of a document, before anything recursive sees it.
///
/// # Errors
/// `LIMIT_EXCEEDED`, or `BAD_REQUEST` for a string without an end.
pub fn check_source(source: &str, limits: &DocumentLimits) -> Result<(), Refusal> {
    within(source.len(), limits.bytes, "bytes")?;
    let (mut tokens, mut nesting, mut parens, mut aliases, mut directives) = (0, 0_usize, 0_usize, 0, 0);
    let mut rest = source.as_bytes();
    while let Some((token, after)) = next_token(rest)? {
        rest = after;
        tokens += 1;
        match token {
            b'(' | b'[' | b'{' => nesting += 1,
            b')' | b']' | b'}' => nesting = nesting.saturating_sub(1),
            // Outside of parentheses nothing but an alias has a colon.
            b':' if parens == 0 => aliases += 1,
            b'@' => directives += 1,
            _ => {}
        }
        match token {
            b'(' => parens += 1,
            b')' => parens = parens.saturating_sub(1),
            _ => {}
        }
        within(nesting, limits.nesting, "levels of brackets")?;
    }
    within(tokens, limits.tokens, "tokens")?;
    within(aliases, limits.aliases, "aliases")?;
    within(directives, limits.directives, "directives")
}

/// Checks how deep brackets nest in JSON, before anything recursive sees it.
///
/// # Errors
/// `LIMIT_EXCEEDED`.
pub fn check_json(json: &[u8], limits: &DocumentLimits) -> Result<(), Refusal> {
    let (mut nesting, mut in_string, mut escaped) = (0_usize, false, false);
    for byte in json {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'[' | b'{' if !in_string => nesting += 1,
            b']' | b'}' if !in_string => nesting = nesting.saturating_sub(1),
            _ => {}
        }
        within(nesting, limits.nesting, "levels of brackets")?;
    }
    Ok(())
}

fn within(count: usize, limit: usize, what: &str) -> Result<(), Refusal> {
    if count <= limit {
        return Ok(());
    }
    Err(Refusal::document(code::LIMIT_EXCEEDED, format!("The request has more than {limit} {what}.")))
}

/// The first byte of the next token and the text after that token; `None` at the end.
fn next_token(text: &[u8]) -> Result<Option<(u8, &[u8])>, Refusal> {
    let text = skip_ignored(text);
    let Some(&first) = text.first() else {
        return Ok(None);
    };
    let length = match first {
        b'"' => string_length(text)
            .ok_or_else(|| Refusal::document(code::BAD_REQUEST, "Syntax error: a string has no end."))?,
        _ if is_word(first) => text.iter().take_while(|byte| is_word(**byte)).count(),
        _ => 1,
    };
    Ok(Some((first, &text[length..])))
}

fn skip_ignored(mut text: &[u8]) -> &[u8] {
    loop {
        match text.first() {
            Some(b' ' | b',' | b'\t' | b'\r' | b'\n') => text = &text[1..],
            Some(b'#') => {
                let end = text.iter().position(|byte| matches!(byte, b'\r' | b'\n'));
                text = &text[end.unwrap_or(text.len())..];
            }
            _ => return text,
        }
    }
}

/// Bytes of names, of numbers and of the dots of a spread, which thus counts as one with its name.
fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'+' | b'.')
}

/// The length of the string that `text` starts with. One without an end must be refused: the parser would
/// go back and read `"""` as an empty string, and what looks quoted here would be brackets there.
fn string_length(text: &[u8]) -> Option<usize> {
    if let Some(block) = text.strip_prefix(b"\"\"\"") {
        let mut at = 0;
        loop {
            match &block[at..] {
                [b'"', b'"', b'"', ..] => return Some(at + 6),
                [b'\\', b'"', b'"', b'"', ..] => at += 4,
                [] => return None,
                _ => at += 1,
            }
        }
    }
    let mut at = 1;
    loop {
        match text.get(at)? {
            b'"' => return Some(at + 1),
            b'\\' => at += 2,
            b'\r' | b'\n' => return None,
            _ => at += 1,
        }
    }
}

/// The parser draws the line it stumbled over; only what it expected is passed on.
fn syntax(message: &str) -> Refusal {
    let expected = message.rsplit_once("= ").map_or(message, |(_, expected)| expected);
    Refusal::document(code::BAD_REQUEST, format!("Syntax error: {}", expected.trim()))
}

/// Checks what a parsed document costs with its fragments expanded, without expanding them.
///
/// # Errors
/// `LIMIT_EXCEEDED`, or `VALIDATION_FAILED` when fragments form a cycle.
pub fn check_document(document: &ExecutableDocument, limits: &DocumentLimits) -> Result<(), Refusal> {
    let mut expansion = Expansion { document, limits, known: HashMap::new() };
    let mut all = Measure::default();
    for (_, operation) in document.operations.iter() {
        all = all.beside(expansion.selection_set(&operation.node.selection_set.node, 0)?);
    }
    for name in document.fragments.keys() {
        // Also those nobody uses: validation walks them too.
        let fragment = expansion.fragment(name, 0)?;
        within(fragment.selections, limits.selections, "selections")?;
        all.levels = all.levels.max(fragment.levels);
    }
    within(all.levels, limits.nesting, "levels of fragments")?;
    within(all.depth, limits.depth, "levels of fields")?;
    within(all.selections, limits.selections, "selections")
}

/// What a selection set amounts to, fragments expanded.
#[derive(Clone, Copy, Default)]
struct Measure {
    /// Fragments count too: they can double over and over around no field at all.
    selections: usize,
    depth: usize,
    /// Selection sets and fragments within each other: what a recursive walk needs.
    levels: usize,
    /// Lists of the schema about itself, within each other.
    lists: usize,
}

/// Fields of `__Type` that lead to other types: whoever asks for them in each other asks for products.
const SCHEMA_LISTS: [&str; 4] = ["fields", "inputFields", "interfaces", "possibleTypes"];

impl Measure {
    fn beside(self, other: Self) -> Self {
        Self {
            selections: self.selections.saturating_add(other.selections),
            depth: self.depth.max(other.depth),
            levels: self.levels.max(other.levels),
            lists: self.lists.max(other.lists),
        }
    }

    fn inside_field(self, name: &str) -> Self {
        let lists = self.lists + usize::from(SCHEMA_LISTS.contains(&name));
        Self { depth: self.depth + 1, lists, ..self.inside_fragment() }
    }

    fn inside_fragment(self) -> Self {
        Self { selections: self.selections.saturating_add(1), levels: self.levels + 1, ..self }
    }
}

struct Expansion<'a> {
    document: &'a ExecutableDocument,
    limits: &'a DocumentLimits,
    /// Fragments measured so far; `None` while one is being measured.
    known: HashMap<&'a str, Option<Measure>>,
}

impl<'a> Expansion<'a> {
    /// `level` bounds this function's own recursion; what was measured before is bounded by `levels`.
    fn selection_set(&mut self, set: &'a SelectionSet, level: usize) -> Result<Measure, Refusal> {
        within(level, self.limits.nesting, "levels of fragments")?;
        let mut total = Measure::default();
        for selection in &set.items {
            total = total.beside(match &selection.node {
                Selection::Field(field) => {
                    let name = field.node.name.node.as_str();
                    let below = self.selection_set(&field.node.selection_set.node, level + 1)?;
                    if matches!(name, "__schema" | "__type") {
                        within(below.lists, self.limits.introspection, "levels of the schema's lists")?;
                    }
                    below.inside_field(name)
                }
                Selection::InlineFragment(fragment) => {
                    self.selection_set(&fragment.node.selection_set.node, level + 1)?.inside_fragment()
                }
                Selection::FragmentSpread(spread) => {
                    self.fragment(&spread.node.fragment_name.node, level + 1)?.inside_fragment()
                }
            });
        }
        Ok(total)
    }

    fn fragment(&mut self, name: &'a str, level: usize) -> Result<Measure, Refusal> {
        match self.known.get(name) {
            Some(Some(measure)) => return Ok(*measure),
            Some(None) => {
                let message = "Fragments must not contain themselves.";
                return Err(Refusal::document(code::VALIDATION_FAILED, message));
            }
            None => {}
        }
        // A fragment that does not exist is the validation's to report.
        let Some(fragment) = self.document.fragments.get(name) else {
            return Ok(Measure::default());
        };
        self.known.insert(name, None);
        let measure = self.selection_set(&fragment.node.selection_set.node, level)?;
        self.known.insert(name, Some(measure));
        Ok(measure)
    }
}

/// The operation that `name` chooses, by the specification's rules.
fn chosen<'a>(
    document: &'a ExecutableDocument,
    name: Option<&str>,
) -> Result<&'a Positioned<OperationDefinition>, Refusal> {
    let chosen = match (&document.operations, name) {
        (DocumentOperations::Single(operation), None) => Some(operation),
        (DocumentOperations::Multiple(operations), Some(name)) => operations.get(name),
        (DocumentOperations::Multiple(operations), None) if operations.len() == 1 => {
            operations.values().next()
        }
        _ => None,
    };
    let message = "`operationName` must name one of the document's operations.";
    chosen.ok_or_else(|| Refusal::document(code::BAD_REQUEST, message))
}

#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod tests;
