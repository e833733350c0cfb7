//! The most central sentences of a session: `LexRank` (Erkan, G. & Radev, D.R. 2004, `LexRank`: Graph-based Lexical
//! Centrality as Salience in Text Summarization, JAIR 22) with continuous weights: a random walk over the graph of
//! sentences, whose edges are the cosines of their tf-idf vectors.

use std::collections::{BTreeMap, HashSet};

use super::sentences::Sentence;
use super::subjects::STOPWORDS;

/// Probability of following an edge rather than jumping anywhere.
const DAMPING: f32 = 0.85;
const ROUNDS: usize = 20;
/// Sentences more alike than this say the same; only the first of them is taken.
const SAME: f32 = 0.5;
/// Length of a sentence that can stand alone, in words.
const LENGTH: std::ops::RangeInclusive<usize> = 6..=34;
/// No more sentences than this are compared; in longer texts every second, third, … is left out.
const COMPARED: usize = 1_000;

/// A sentence as the terms it holds and their weights; the vector has length 1.
type Vector = BTreeMap<usize, f32>;

/// Indices of the statements that stand for the session, most central first, none like another.
pub(super) fn central(sentences: &[Sentence]) -> Vec<usize> {
    let candidates = candidates(sentences);
    let vectors = vectors(sentences, &candidates);
    let ranks = ranks(&vectors);
    let mut order: Vec<usize> = (0..candidates.len()).collect();
    order.sort_by(|a, b| ranks[*b].total_cmp(&ranks[*a]).then(a.cmp(b)));
    distinct(order, &vectors).into_iter().map(|at| candidates[at]).collect()
}

fn candidates(sentences: &[Sentence]) -> Vec<usize> {
    let mut seen = HashSet::new();
    let fit = |sentence: &Sentence| !sentence.question && LENGTH.contains(&sentence.quote.split(' ').count());
    let fit = sentences.iter().enumerate().filter(|(_, sentence)| fit(sentence));
    let all: Vec<usize> =
        fit.filter(|(_, sentence)| seen.insert(&sentence.quote)).map(|(at, _)| at).collect();
    let step = all.len().div_ceil(COMPARED).max(1);
    all.into_iter().step_by(step).collect()
}

#[expect(clippy::cast_precision_loss, reason = "counts of sentences are small")]
fn vectors(sentences: &[Sentence], candidates: &[usize]) -> Vec<Vector> {
    let mut terms: BTreeMap<&str, usize> = BTreeMap::new();
    let mut holders: Vec<f32> = Vec::new();
    let mut vectors: Vec<Vector> = Vec::new();
    for at in candidates {
        let mut vector = Vector::new();
        for word in sentences[*at].words.iter().filter(|word| !STOPWORDS.contains(word.text.as_str())) {
            let fresh = terms.len();
            *vector.entry(*terms.entry(&word.text).or_insert(fresh)).or_default() += 1.0;
        }
        holders.resize(terms.len(), 0.0);
        for term in vector.keys() {
            holders[*term] += 1.0;
        }
        vectors.push(vector);
    }
    let all = candidates.len() as f32;
    for vector in &mut vectors {
        for (term, weight) in vector.iter_mut() {
            *weight *= (1.0 + all / holders[*term]).ln();
        }
        normalise(vector);
    }
    vectors
}

fn normalise(vector: &mut Vector) {
    let length = vector.values().map(|weight| weight * weight).sum::<f32>().sqrt();
    if length > 0.0 {
        for weight in vector.values_mut() {
            *weight /= length;
        }
    }
}

/// Edges of each sentence: the other one and their cosine. Found by way of the terms they share.
fn edges(vectors: &[Vector]) -> Vec<Vec<(usize, f32)>> {
    let mut holders: BTreeMap<usize, Vec<(usize, f32)>> = BTreeMap::new();
    for (at, vector) in vectors.iter().enumerate() {
        for (term, weight) in vector {
            holders.entry(*term).or_default().push((at, *weight));
        }
    }
    let mut cosines = vec![0.0; vectors.len()];
    let edges_of = |vector: &Vector| {
        cosines.fill(0.0);
        for (term, weight) in vector {
            holders[term].iter().for_each(|(other, theirs)| cosines[*other] += weight * theirs);
        }
        cosines.iter().copied().enumerate().filter(|(_, cosine)| *cosine > 0.0).collect()
    };
    vectors.iter().map(edges_of).collect()
}

#[expect(clippy::cast_precision_loss, reason = "counts of sentences are small")]
fn ranks(vectors: &[Vector]) -> Vec<f32> {
    let edges = edges(vectors);
    let sums: Vec<f32> = edges.iter().map(|edges| edges.iter().map(|(_, cosine)| cosine).sum()).collect();
    let even = 1.0 / vectors.len().max(1) as f32;
    let mut ranks = vec![even; vectors.len()];
    for _ in 0..ROUNDS {
        let followed = |edges: &Vec<(usize, f32)>| -> f32 {
            edges.iter().map(|(other, cosine)| ranks[*other] * cosine / sums[*other]).sum()
        };
        ranks = edges.iter().map(|edges| (1.0 - DAMPING) * even + DAMPING * followed(edges)).collect();
    }
    ranks
}

/// The first so many sentences, each unlike those taken before it.
fn distinct(order: Vec<usize>, vectors: &[Vector]) -> Vec<usize> {
    const MOST: usize = 40;
    let mut taken: Vec<usize> = Vec::new();
    for at in order {
        if taken.len() < MOST && taken.iter().all(|other| cosine(&vectors[at], &vectors[*other]) < SAME) {
            taken.push(at);
        }
    }
    taken
}

fn cosine(a: &Vector, b: &Vector) -> f32 {
    a.iter().filter_map(|(term, weight)| Some(weight * b.get(term)?)).sum()
}

#[cfg(test)]
mod tests {
    use super::super::samples::lines;
    use super::super::sentences::sentences;
    use super::*;

    #[test]
    fn what_is_said_again_and_again_is_central() {
        let text = "My sister and I argued about the house again.\nThe bus to town was very late this noon.\n\
                    I argued with my sister because of the house.\nThe house belongs to my sister and me.\n\
                    Do you and your sister talk about the house?";
        let sentences = sentences(&lines(text));
        let central = central(&sentences);
        assert!(central[0] != 1 && sentences[central[0]].quote.contains("sister"));
        assert!(!central.contains(&4), "a question is no statement");
    }

    #[test]
    fn nothing_to_rank_is_no_trouble() {
        assert!(central(&[]).is_empty());
        assert!(central(&sentences(&lines("Yes."))).is_empty());
    }
}
