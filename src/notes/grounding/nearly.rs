//! Finds a quote that stands in the transcript nearly as it is written.
//!
//! A dynamic programme aligns the quote with every stretch of the transcript at once: equal words cost nothing, the few
//! differences that `meaning` allows cost a half or a whole word, and all others are impossible.

use std::collections::HashMap;

use super::meaning::{self, Role};

/// So alike, from 0 to 1, a quote and a stretch of the transcript must be.
pub const THRESHOLD: f64 = 0.85;
/// Shorter quotes must stand there to the word: too little would be left of them.
pub const FEWEST_WORDS: usize = 5;
/// Longer ones are no quotes but copies, and would only cost time.
const MOST_WORDS: usize = 120;

/// Cost of a word that came, went or was exchanged for another filler; a half for one that is spelled otherwise.
const WHOLE: u16 = 2;
const HALF: u16 = 1;
const IMPOSSIBLE: u16 = u16::MAX;

/// A transcript in tokens: its words in full.
#[derive(Clone, Debug, Default)]
pub(super) struct Tokens {
    ids: Vec<u32>,
    /// The word each token belongs to.
    words: Vec<usize>,
    /// The line each token belongs to.
    lines: Vec<usize>,
    vocabulary: Vec<String>,
    roles: Vec<Role>,
    known: HashMap<String, u32>,
}

/// A stretch of words, and how far it is from the quote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Near {
    pub(super) from_word: usize,
    /// Last word.
    pub(super) to_word: usize,
    cost: u16,
}

/// The best way to reach a point of the alignment: its cost, and the token it started at.
#[derive(Clone, Copy)]
struct Reached {
    cost: u16,
    start: u32,
}

const NOWHERE: Reached = Reached { cost: IMPOSSIBLE, start: 0 };

impl Reached {
    fn plus(self, cost: u16) -> Self {
        Self { cost: self.cost.saturating_add(cost), ..self }
    }

    fn or(self, other: Self) -> Self {
        if other.cost < self.cost { other } else { self }
    }
}

impl Tokens {
    /// From folded words, each with its line.
    pub(super) fn new<'a>(words: impl Iterator<Item = (&'a str, usize)>) -> Self {
        let mut tokens = Self::default();
        for (word, (folded, line)) in words.enumerate() {
            for token in meaning::in_full(folded) {
                let id = tokens.intern(token);
                tokens.ids.push(id);
                tokens.words.push(word);
                tokens.lines.push(line);
            }
        }
        tokens
    }

    fn intern(&mut self, token: String) -> u32 {
        if let Some(id) = self.known.get(&token) {
            return *id;
        }
        let id = u32::try_from(self.vocabulary.len()).unwrap_or(u32::MAX);
        self.roles.push(meaning::role(&token));
        self.vocabulary.push(token.clone());
        self.known.insert(token, id);
        id
    }

    /// The stretches that are near enough to a quote of these folded words; `apart` says of two lines that nobody spoke
    /// across them.
    pub(super) fn find(&self, quote: &[&str], apart: impl Fn(usize, usize) -> bool) -> Vec<Near> {
        if !(FEWEST_WORDS..=MOST_WORDS).contains(&quote.len()) {
            return Vec::new();
        }
        let quote: Vec<String> = quote.iter().flat_map(|word| meaning::in_full(word)).collect();
        let ends = self.align(&quote);
        let near = ends.into_iter().filter_map(|(end, reached)| self.near(&quote, reached, end));
        near.filter(|near| !self.crosses(*near, &apart)).collect()
    }

    /// The alignments of the whole quote, each with the token it ends before. Only what can still be reached is carried on:
    /// after the first word that is a few places of thousands.
    fn align(&self, quote: &[String]) -> Vec<(usize, Reached)> {
        let negated = quote.iter().any(|token| meaning::role(token) == Role::Negation);
        let light = |role: Role| role == Role::Filler || role == Role::Degree && !negated;
        let most = affordable(quote.len() * 2);
        let anywhere = |at: usize| (at, Reached { cost: 0, start: u32::try_from(at).unwrap_or(u32::MAX) });
        let mut reached: Vec<_> = (0..=self.ids.len()).map(anywhere).collect();
        for token in quote {
            let leaves_out = if light(meaning::role(token)) { WHOLE } else { IMPOSSIBLE };
            let exchange = self.exchanges(token, &light);
            let steps = reached.into_iter().flat_map(|(at, before)| {
                let exchanged = self.ids.get(at).map(|id| (at + 1, before.plus(exchange[*id as usize])));
                [Some((at, before.plus(leaves_out))), exchanged].into_iter().flatten()
            });
            let possible: Vec<_> = steps.filter(|(_, reached)| reached.cost <= most).collect();
            reached = self.with_additions(&possible, &light, most);
        }
        reached
    }

    /// The best of each place, and the places that are reached by words of the transcript that the quote left out.
    fn with_additions(
        &self,
        steps: &[(usize, Reached)],
        light: &impl Fn(Role) -> bool,
        most: u16,
    ) -> Vec<(usize, Reached)> {
        let mut best: Vec<(usize, Reached)> = Vec::with_capacity(steps.len());
        let mut steps = steps.iter().copied().peekable();
        let mut added: Option<(usize, Reached)> = None;
        while let Some(at) =
            [added.map(|(at, _)| at), steps.peek().map(|(at, _)| *at)].into_iter().flatten().min()
        {
            let mut here = added.filter(|(place, _)| *place == at).map_or(NOWHERE, |(_, reached)| reached);
            while let Some((_, step)) = steps.next_if(|(place, _)| *place == at) {
                here = here.or(step);
            }
            best.push((at, here));
            let next = here.plus(self.addition(at, light));
            added = (next.cost <= most).then_some((at + 1, next));
        }
        best
    }

    /// What it costs that the quote leaves out the token at a place: a light one, or one that was said twice.
    fn addition(&self, at: usize, light: &impl Fn(Role) -> bool) -> u16 {
        let Some(id) = self.ids.get(at) else { return IMPOSSIBLE };
        let repeated = at > 0 && self.ids[at - 1] == *id;
        if light(self.roles[*id as usize]) || repeated { WHOLE } else { IMPOSSIBLE }
    }

    /// What each word of the vocabulary costs in the place of this one.
    fn exchanges(&self, token: &str, light: &impl Fn(Role) -> bool) -> Vec<u16> {
        let own = meaning::role(token);
        let may_differ =
            |word: &str, role: Role| own == Role::Plain && role == Role::Plain && meaning::alike(word, token);
        let cost = |(word, role): (&String, &Role)| {
            if word == token {
                0
            } else if light(own) && light(*role) {
                WHOLE
            } else if may_differ(word, *role) {
                HALF
            } else {
                IMPOSSIBLE
            }
        };
        self.vocabulary.iter().zip(&self.roles).map(cost).collect()
    }

    fn near(&self, quote: &[String], reached: Reached, end: usize) -> Option<Near> {
        let start = reached.start as usize;
        let length = end.saturating_sub(start);
        if length == 0 || reached.cost > affordable(quote.len().max(length)) || self.is_negated(start) {
            return None;
        }
        Some(Near { from_word: self.words[start], to_word: self.words[end - 1], cost: reached.cost })
    }

    /// A negation right before the stretch, in its line: the quote would cut it off.
    fn is_negated(&self, start: usize) -> bool {
        start > 0
            && self.lines[start - 1] == self.lines[start]
            && self.roles[self.ids[start - 1] as usize] == Role::Negation
    }

    fn crosses(&self, near: Near, apart: &impl Fn(usize, usize) -> bool) -> bool {
        let line = |word: usize| self.lines[self.words.partition_point(|at| *at < word)];
        (line(near.from_word)..line(near.to_word)).any(|at| apart(at, at + 1))
    }
}

impl Near {
    /// The less, the nearer to the quote.
    pub(super) fn distance(self) -> u16 {
        self.cost
    }
}

/// The largest cost, in half words, that leaves so many words alike enough.
fn affordable(words: usize) -> u16 {
    #[expect(clippy::cast_precision_loss, reason = "a quote has few words")]
    let halves = (1.0 - THRESHOLD) * 2.0 * words as f64 + 1e-9;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and a few dozen")]
    let halves = halves as u16;
    halves
}
