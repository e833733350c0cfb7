//! Two groups of points, or one: whether two people speak, and who where.

use std::collections::BTreeSet;

use ndarray::{Array1, Array2, Axis};

use super::encoder::{SIZE, normal};
use super::{Heard, Speakers};

/// Two people's mean points are not nearer than this (as cosine). The halves into which one person's points
/// can be parted were 0.92 and nearer in everything that was measured, also through noise.
const NEAREST: f32 = 0.9;
/// Two people's points stand apart by this many times their spread along the line between them; one person's
/// by 4.2 at most.
const CLEAREST: f32 = 5.0;
/// Fewer windows than this say nothing about a voice.
const FEWEST: usize = 4;
/// A voice with less than this share of the windows may as well be a cough or a closing door.
const SMALLEST_SHARE: f32 = 0.05;
/// A third voice with less than this share is left without a label; with more, everything is: it is not a
/// talk of two.
const THIRD_SHARE: f32 = 0.15;
/// In a talk of two the quieter voice takes turns: for this many windows of it, at least one change. What
/// changes only once or twice is the room, or where the microphone stands.
const WINDOWS_A_CHANGE: usize = 5;
const FEWEST_CHANGES: usize = 3;
/// Where an utterance must lie at least, and each window of it, if 0 is the middle between the voices and 1
/// the mean of its own.
const SURE: f32 = 0.6;
const SURE_WINDOW: f32 = 0.4;
/// Where a window must lie to be looked at for a third voice: what lies between two voices often is both.
const PURE: f32 = 0.5;
/// Mean points so near are a voice's distance from itself; so far, that of man and woman.
const SAME: f32 = 0.95;
const DIFFERENT: f32 = 0.65;
/// Rounds until the groups stand still: a handful in practice.
const ROUNDS: usize = 50;
/// Times that a small third voice is taken out.
const THIRDS: usize = 3;

/// Who spoke in each of so many utterances.
pub(super) fn tell_apart(utterances: usize, heard: &[Heard]) -> Speakers {
    let nobody = Speakers { voices: vec![None; utterances], confidence: 0.0 };
    let points = Array2::from_shape_fn((heard.len(), SIZE), |(window, n)| heard[window].point[n]);
    let Some((two, kept)) = two_of_all(&points) else { return nobody };
    if !two.takes_turns(&kept) {
        return nobody;
    }
    // What belongs to a third voice lies in the middle, as if it were both.
    let mut places = vec![Vec::new(); utterances];
    for (window, heard) in heard.iter().enumerate() {
        places[heard.utterance].push(if kept.contains(&window) { two.places[window] } else { 0.0 });
    }
    let sides: Vec<Option<bool>> = places.iter().map(|places| side(places)).collect();
    let first = sides.iter().flatten().next().copied();
    let voices = sides.iter().map(|side| side.map(|side| u8::from(Some(side) != first))).collect();
    let confidence = ((SAME - two.nearness) / (SAME - DIFFERENT)).clamp(0.0, 1.0);
    Speakers { voices, confidence }
}

/// On which side an utterance lies with these windows; nothing where they disagree or lie near the middle.
fn side(places: &[f32]) -> Option<bool> {
    let mean = places.iter().sum::<f32>() / count(places.len());
    let side = mean > 0.0;
    let towards = |place: &f32| if side { *place } else { -*place };
    let is_sure = mean.abs() >= SURE && places.iter().all(|place| towards(place) >= SURE_WINDOW);
    is_sure.then_some(side)
}

/// The two voices, and the windows that are neither's nor a third voice's. Nothing if there are not just two.
fn two_of_all(points: &Array2<f32>) -> Option<(Two, BTreeSet<usize>)> {
    let mut kept: BTreeSet<usize> = (0..points.nrows()).collect();
    for _ in 0..=THIRDS {
        let two = part(points, &kept)?;
        let third = [1.0, -1.0].into_iter().find_map(|sign| third(points, &two, &kept, sign));
        let Some(third) = third else { return Some((two, kept)) };
        if count(third.len()) >= THIRD_SHARE * count(points.nrows()) {
            return None;
        }
        kept.retain(|window| !third.contains(window));
    }
    None
}

/// Another voice on one side of the two: the smaller part of it, if it has two.
fn third(points: &Array2<f32>, two: &Two, kept: &BTreeSet<usize>, sign: f32) -> Option<BTreeSet<usize>> {
    let side: BTreeSet<usize> =
        kept.iter().copied().filter(|window| two.places[*window] * sign > PURE).collect();
    let parts = part(points, &side)?;
    let (one, other): (BTreeSet<_>, BTreeSet<_>) = side.into_iter().partition(|w| parts.places[*w] > 0.0);
    Some(if one.len() < other.len() { one } else { other })
}

/// Two groups that are two voices.
struct Two {
    /// Where every window lies: at 1 and -1 on average if it belongs to a group, at 0 right between them.
    places: Vec<f32>,
    /// Cosine between the means of the groups.
    nearness: f32,
}

impl Two {
    /// Whether these windows change from side to side as often as people in a talk do.
    fn takes_turns(&self, windows: &BTreeSet<usize>) -> bool {
        let sides: Vec<bool> = windows.iter().map(|window| self.places[*window] > 0.0).collect();
        let changes = sides.windows(2).filter(|pair| pair[0] != pair[1]).count();
        let ones = sides.iter().filter(|side| **side).count();
        let smaller = ones.min(sides.len() - ones);
        changes >= FEWEST_CHANGES.max(smaller / WINDOWS_A_CHANGE)
    }
}

/// Parts some of the points in two by k-means on the sphere, beginning at the direction in which they differ
/// most. Nothing if the groups are not two voices.
fn part(points: &Array2<f32>, of: &BTreeSet<usize>) -> Option<Two> {
    let indices: Vec<usize> = of.iter().copied().collect();
    let own = points.select(Axis(0), &indices);
    let mut axis = widest(&own)?;
    let mut middle = own.mean_axis(Axis(0))?.dot(&axis);
    let mut sides = Vec::new();
    let mut means = None;
    for _ in 0..ROUNDS {
        let next: Vec<bool> = own.dot(&axis).iter().map(|place| *place > middle).collect();
        if next == sides {
            break;
        }
        sides = next;
        let [one, other] = [true, false].map(|side| mean(&own, &sides, side));
        axis = &one - &other;
        middle = 0.0;
        means = Some((one, other));
    }
    let (one, other) = means?;
    let ones = sides.iter().filter(|side| **side).count();
    let smaller = ones.min(sides.len() - ones);
    if smaller < FEWEST || count(smaller) < SMALLEST_SHARE * count(sides.len()) {
        return None;
    }
    let nearness = one.dot(&other);
    let along = points.dot(&axis);
    let ends = [true, false].map(|side| mean_along(&along, &indices, &sides, side));
    let (centre, half) = (f32::midpoint(ends[0], ends[1]), (ends[0] - ends[1]) / 2.0);
    let places: Vec<f32> = along.iter().map(|place| (place - centre) / half).collect();
    let off = |(window, side): (&usize, &bool)| (places[*window] - if *side { 1.0 } else { -1.0 }).powi(2);
    let spread = (indices.iter().zip(&sides).map(off).sum::<f32>() / count(indices.len())).sqrt();
    let are_two = nearness <= NEAREST && 2.0 >= CLEAREST * spread;
    are_two.then_some(Two { places, nearness })
}

/// The direction in which points differ most: the first principal component, by iteration from the first
/// point.
fn widest(points: &Array2<f32>) -> Option<Array1<f32>> {
    const ITERATIONS: usize = 40;
    let centred = points - &points.mean_axis(Axis(0))?;
    let farthest = centred.rows().into_iter().map(|row| row.dot(&row)).enumerate();
    let (farthest, _) = farthest.max_by(|(_, a), (_, b)| a.total_cmp(b))?;
    let mut axis = centred.row(farthest).to_owned();
    for _ in 0..ITERATIONS {
        axis = Array1::from(normal(centred.t().dot(&centred.dot(&axis)).to_vec()));
    }
    Some(axis)
}

/// The mean direction of the points on a side.
fn mean(points: &Array2<f32>, sides: &[bool], side: bool) -> Array1<f32> {
    let weights: Array1<f32> = sides.iter().map(|own| f32::from(*own == side)).collect();
    Array1::from(normal(points.t().dot(&weights).to_vec()))
}

/// Where the points of a side lie on average along the axis.
fn mean_along(along: &Array1<f32>, indices: &[usize], sides: &[bool], side: bool) -> f32 {
    let own: Vec<f32> =
        indices.iter().zip(sides).filter(|(_, own)| **own == side).map(|(i, _)| along[*i]).collect();
    own.iter().sum::<f32>() / count(own.len())
}

#[expect(clippy::cast_precision_loss, reason = "there are thousands of windows, not millions")]
fn count(n: usize) -> f32 {
    n.max(1) as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Utterances of two windows each by voices that lie in these directions, with some spread of their own.
    fn talk(voices: &[usize]) -> Speakers {
        let mut state = 7_u32;
        let mut random = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            f32::from(u16::try_from(state >> 16).unwrap()) / 65_535.0
        };
        let mut point = |voice: usize| {
            let common = (0..SIZE).map(|n| if n % 2 == 0 { 0.5 } else { 0.0 } + 0.35 * random());
            let own = |n: usize| if n % 8 == voice * 2 + 1 { 1.0 } else { 0.0 };
            normal(common.enumerate().map(|(n, x)| x + own(n)).collect())
        };
        let heard = voices.iter().enumerate().flat_map(|(utterance, voice)| [(utterance, *voice); 2]);
        let heard: Vec<Heard> =
            heard.map(|(utterance, voice)| Heard { utterance, point: point(voice) }).collect();
        tell_apart(voices.len(), &heard)
    }

    #[test]
    fn two_voices_that_take_turns_are_told_apart() {
        let turns = [2, 0, 2, 2, 0, 2, 0, 0, 2, 0];
        let expected: Vec<_> = turns.iter().map(|voice| Some(u8::from(*voice == 0))).collect();
        assert_eq!(talk(&turns).voices, expected);
        assert!(talk(&turns).confidence > 0.5);
    }

    #[test]
    fn one_voice_is_not_parted() {
        assert_eq!(talk(&[1; 30]), Speakers { voices: vec![None; 30], confidence: 0.0 });
    }

    #[test]
    fn what_changes_once_is_not_a_talk() {
        let voices = [[0; 15], [1; 15]].concat();
        assert_eq!(talk(&voices).voices, vec![None; 30]);
    }

    #[test]
    fn a_talk_of_three_stays_without_voices() {
        let voices: Vec<usize> = (0..30).map(|n| n % 3).collect();
        assert_eq!(talk(&voices).voices, vec![None; 30]);
    }

    #[test]
    fn somebody_who_looks_in_has_no_voice_and_takes_none_away() {
        let mut voices: Vec<usize> = (0..40).map(|n| n % 2).collect();
        voices[20..24].fill(2);
        let found = talk(&voices).voices;
        let expected = |n: usize| (!(20..24).contains(&n)).then(|| u8::from(n % 2 == 1));
        assert_eq!(found, (0..40).map(expected).collect::<Vec<_>>());
    }

    #[test]
    fn an_utterance_of_both_voices_has_none() {
        assert_eq!(side(&[0.9, 0.8, 1.1]), Some(true));
        assert_eq!(side(&[-0.9, -1.2]), Some(false));
        assert_eq!(side(&[1.0, 1.0, 0.1]), None);
        assert_eq!(side(&[1.0, -1.0]), None);
        assert_eq!(side(&[0.5]), None);
        assert_eq!(side(&[]), None);
    }
}
