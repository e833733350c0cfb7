//! Puts the pieces of a recording together.
//!
//! A piece is listened to with a little sound from before its start (its lead), so that no word is cut at its edge. What
//! both pieces heard there is found by text and time: the longest run of the same words at about the same time. The
//! first piece speaks up to the end of that run, the second one from there: the last words of a piece may be cut, the first
//! of the next have all their sound before them. Where nothing is shared, both stay, but for what lies whole in the lead:
//! a repetition is a nuisance, a lost word is a fault.

use super::invented::fold;
use super::{Heard, Piece, Utterance};

/// How far off a recogniser's times are at the edges of a segment; Whisper's are off by half a second at most, words in
/// between are placed evenly.
const SLACK_MS: i64 = 1500;
/// Nothing further than this from the end of the last piece can still change: the longest lead, and the slack.
const OPEN_MS: i64 = 8000;
/// The longest lead that is allowed for.
pub const LONGEST_LEAD_MS: i64 = OPEN_MS - 2 * SLACK_MS;
/// So many shared words are no coincidence.
const SHARED_WORDS: usize = 2;
/// … and one is none if both heard it within this.
const SAME_WORD_MS: i64 = 400;

/// The transcript as far as these pieces (their invented words left out, in any order) settle it, in order of time. With
/// `complete` they are all there are; without, what later pieces may still change is held back, so that the transcript
/// only grows. `tracks` are merged by time.
#[must_use]
pub fn merge(pieces: &[Piece], tracks: i16, complete: bool) -> Vec<Utterance> {
    let mut merged = Vec::new();
    let mut settled = i64::MAX;
    for track in 0..tracks {
        let mut of_track: Vec<&Piece> = pieces.iter().filter(|piece| piece.track == track).collect();
        of_track.sort_by_key(|piece| piece.start_ms);
        let (utterances, until) = merge_track(&of_track, complete);
        merged.extend(utterances);
        settled = settled.min(until);
    }
    merged.sort_by_key(|utterance| (utterance.start_ms, utterance.track));
    merged.retain(|utterance| utterance.start_ms < settled);
    merged
}

/// The utterances of a track, and up to where they are settled.
fn merge_track(pieces: &[&Piece], complete: bool) -> (Vec<Utterance>, i64) {
    let (mut done, mut open, mut end) = (Vec::new(), Vec::new(), 0);
    for piece in pieces {
        // What lies behind a hole waits for what is missing.
        if piece.start_ms != end && !complete {
            break;
        }
        let heard = tamed(piece);
        if piece.lead_ms == 0 || open.is_empty() {
            done.append(&mut open);
            open = heard;
        } else {
            let (left, right) = join(std::mem::take(&mut open), heard, piece);
            done.extend(left);
            open = right;
        }
        end = piece.end_ms;
    }
    let settled = if complete { i64::MAX } else { end - OPEN_MS };
    done.extend(open);
    let until = done.iter().filter(|s| s.end_ms > settled).map(|s| s.start_ms).min();
    let until = until.unwrap_or(i64::MAX).min(settled);
    (done.into_iter().map(|segment| utterance(segment, pieces)).collect(), until)
}

/// Times that stay within what was listened to, in order.
fn tamed(piece: &Piece) -> Vec<Heard> {
    let (from, to) = (piece.start_ms - piece.lead_ms, piece.end_ms);
    let mut segments: Vec<Heard> = piece
        .segments
        .iter()
        .map(|segment| {
            let start_ms = segment.start_ms.clamp(from, to);
            Heard { start_ms, end_ms: segment.end_ms.clamp(start_ms, to), ..segment.clone() }
        })
        .collect();
    segments.sort_by_key(|segment| segment.start_ms);
    segments
}

/// A word at its place.
struct Word {
    /// Which segment, and which word of it.
    segment: usize,
    word: usize,
    folded: String,
    at_ms: i64,
}

/// What is kept of two pieces that overlap; `piece` is the second one.
fn join(mut left: Vec<Heard>, mut right: Vec<Heard>, piece: &Piece) -> (Vec<Heard>, Vec<Heard>) {
    let (from, to) = (piece.start_ms - piece.lead_ms - SLACK_MS, piece.start_ms + SLACK_MS);
    let ours: Vec<Word> = words(&left).into_iter().filter(|word| word.at_ms >= from).collect();
    let theirs: Vec<Word> = words(&right).into_iter().filter(|word| word.at_ms <= to).collect();
    let labels = |left: &[Heard], right: &[Heard], run: Option<&Run>| {
        let shared = run.map(|run| (&ours[run.ours], &theirs[run.theirs]));
        shared.map(|(a, b)| (left[a.segment].speaker.clone(), right[b.segment].speaker.clone()))
    };
    let run = shared_run(&ours, &theirs);
    let link = labels(&left, &right, run.as_ref());
    relabel(&left, &mut right, link);
    match run {
        Some(run) => {
            keep_up_to(&mut left, &ours[run.ours + run.length - 1]);
            keep_after(&mut right, &theirs[run.theirs + run.length - 1], piece);
        }
        None => right.retain(|segment| segment.end_ms > piece.start_ms),
    }
    let seam = left.last().map_or(i64::MIN, |last| last.end_ms);
    for segment in &mut right {
        segment.start_ms = segment.start_ms.max(seam.min(segment.end_ms));
    }
    (left, right)
}

fn words(segments: &[Heard]) -> Vec<Word> {
    let mut all = Vec::new();
    for (at, segment) in segments.iter().enumerate() {
        let count = i64::try_from(segment.text.split_whitespace().count().max(1)).unwrap_or(i64::MAX);
        let length = segment.end_ms - segment.start_ms;
        all.extend((0..).zip(segment.text.split_whitespace()).map(|(place, text)| Word {
            segment: at,
            word: usize::try_from(place).unwrap_or(0),
            folded: fold(text),
            at_ms: segment.start_ms + length * (2 * place + 1) / (2 * count),
        }));
    }
    all.retain(|word| !word.folded.is_empty());
    all
}

/// Where both heard the same, and how many words of it.
struct Run {
    ours: usize,
    theirs: usize,
    length: usize,
    distance: i64,
}

/// The longest run; of equal ones that which is nearest in time.
fn shared_run(ours: &[Word], theirs: &[Word]) -> Option<Run> {
    let mut best: Option<Run> = None;
    for (a, first) in ours.iter().enumerate() {
        for (b, second) in theirs.iter().enumerate() {
            let length = ours[a..]
                .iter()
                .zip(&theirs[b..])
                .take_while(|(ours, theirs)| ours.folded == theirs.folded)
                .count();
            let distance = (first.at_ms - second.at_ms).abs();
            let is_same_place = length > 0 && distance <= 2 * SLACK_MS;
            let is_better =
                best.as_ref().is_none_or(|best| (length, -distance) > (best.length, -best.distance));
            if is_same_place && is_better {
                best = Some(Run { ours: a, theirs: b, length, distance });
            }
        }
    }
    best.filter(|run| run.length >= SHARED_WORDS || run.distance <= SAME_WORD_MS)
}

/// The second piece's labels in the terms of the first. With two voices in each, one link tells both; what is not linked
/// is nobody's: a label of the second piece says nothing about the first.
fn relabel(left: &[Heard], right: &mut [Heard], link: Option<(Option<String>, Option<String>)>) {
    let known = labels(left);
    let new = labels(right);
    let Some((Some(ours), Some(theirs))) = link else {
        return right.iter_mut().for_each(|segment| segment.speaker = None);
    };
    let other = |labels: &[String], one: &str| {
        let mut others = labels.iter().filter(|label| *label != one);
        others.next().filter(|_| labels.len() == 2).cloned()
    };
    let second = other(&new, &theirs).zip(other(&known, &ours));
    for segment in right {
        segment.speaker = match segment.speaker.take() {
            Some(label) if label == theirs => Some(ours.clone()),
            Some(label) => second.as_ref().filter(|(new, _)| *new == label).map(|(_, known)| known.clone()),
            None => None,
        };
    }
}

fn labels(segments: &[Heard]) -> Vec<String> {
    let mut labels: Vec<String> = segments.iter().filter_map(|segment| segment.speaker.clone()).collect();
    labels.sort();
    labels.dedup();
    labels
}

fn keep_up_to(left: &mut Vec<Heard>, last: &Word) {
    left.truncate(last.segment + 1);
    if let Some(segment) = left.last_mut() {
        let kept: Vec<&str> = segment.text.split_whitespace().take(last.word + 1).collect();
        if kept.len() < segment.text.split_whitespace().count() {
            segment.end_ms = last.at_ms.max(segment.start_ms);
        }
        segment.text = kept.join(" ");
    }
}

fn keep_after(right: &mut Vec<Heard>, last: &Word, piece: &Piece) {
    right.drain(..last.segment);
    let Some(segment) = right.first_mut() else { return };
    let rest: Vec<&str> = segment.text.split_whitespace().skip(last.word + 1).collect();
    if rest.iter().all(|word| fold(word).is_empty()) {
        right.remove(0);
    } else {
        segment.text = rest.join(" ");
        segment.start_ms = last.at_ms.clamp(piece.start_ms - piece.lead_ms, segment.end_ms);
    }
}

fn utterance(segment: Heard, pieces: &[&Piece]) -> Utterance {
    let Heard { start_ms, end_ms, text, confidence, speaker, .. } = segment;
    Utterance {
        track: pieces.first().map_or(0, |piece| piece.track),
        start_ms,
        end_ms,
        text,
        confidence,
        speaker,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn heard(start_ms: i64, end_ms: i64, text: &str) -> Heard {
        Heard { start_ms, end_ms, text: text.into(), ..Heard::default() }
    }

    fn piece(start_ms: i64, end_ms: i64, lead_ms: i64, segments: Vec<Heard>) -> Piece {
        Piece { track: 0, start_ms, end_ms, lead_ms, segments }
    }

    fn text(utterances: &[Utterance]) -> String {
        utterances.iter().map(|utterance| utterance.text.as_str()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn a_word_cut_at_the_edge_is_taken_from_the_piece_that_heard_all_of_it() {
        let pieces = [
            piece(0, 10_000, 0, vec![heard(5000, 10_000, "and that was very inter")]),
            piece(10_000, 20_000, 2000, vec![heard(8000, 13_000, "Was very interesting, I must say.")]),
        ];
        let merged = merge(&pieces, 1, true);
        assert_eq!(text(&merged), "and that was very interesting, I must say.");
        assert!(merged.windows(2).all(|w| w[0].end_ms <= w[1].start_ms), "{merged:?}");
    }

    #[test]
    fn what_both_heard_is_said_once_and_what_one_heard_stays() {
        let first = vec![heard(1000, 4000, "Good morning."), heard(6000, 9500, "How did you sleep?")];
        let again = vec![heard(8200, 9600, "you sleep?"), heard(10_300, 12_000, "Not well.")];
        let merged =
            merge(&[piece(0, 10_000, 0, first.clone()), piece(10_000, 20_000, 2000, again)], 1, true);
        assert_eq!(text(&merged), "Good morning. How did you sleep? Not well.");
        let other = vec![heard(10_300, 12_000, "Not well.")];
        let merged = merge(&[piece(0, 10_000, 0, first), piece(10_000, 20_000, 2000, other)], 1, true);
        assert_eq!(text(&merged), "Good morning. How did you sleep? Not well.");
    }

    #[test]
    fn a_phrase_said_twice_is_not_taken_for_one_said_once() {
        let first = vec![heard(6000, 9800, "I don't know. I don't know.")];
        let second = vec![heard(8200, 12_000, "I don't know, because it hurts.")];
        let merged = merge(&[piece(0, 10_000, 0, first), piece(10_000, 20_000, 2000, second)], 1, true);
        assert_eq!(text(&merged), "I don't know. I don't know. because it hurts.");
    }

    #[test]
    fn what_lies_behind_a_hole_waits() {
        let (a, b, c) = (
            piece(0, 30_000, 0, vec![heard(0, 2000, "one")]),
            piece(30_000, 60_000, 2000, vec![heard(31_000, 33_000, "two")]),
            piece(60_000, 90_000, 2000, vec![heard(61_000, 63_000, "three")]),
        );
        assert_eq!(text(&merge(&[c.clone(), a.clone()], 1, false)), "one");
        assert_eq!(text(&merge(&[c.clone(), a.clone(), b.clone()], 1, false)), "one two three");
        assert_eq!(merge(&[b, c], 1, false), []);
        assert_eq!(text(&merge(&[a], 1, true)), "one");
    }

    #[test]
    fn labels_are_carried_from_piece_to_piece_by_what_both_heard() {
        let say = |start, end, text: &str, who: &str| Heard {
            speaker: Some(who.into()),
            ..heard(start, end, text)
        };
        let pieces = [
            piece(
                0,
                10_000,
                0,
                vec![say(0, 4000, "Hello there.", "A"), say(5000, 9900, "I am so tired.", "B")],
            ),
            piece(
                10_000,
                20_000,
                2000,
                vec![say(8000, 9900, "so tired.", "A"), say(11_000, 13_000, "Since when?", "B")],
            ),
        ];
        let speakers: Vec<_> = merge(&pieces, 1, true).into_iter().map(|u| u.speaker.unwrap()).collect();
        assert_eq!(speakers, ["A", "B", "A"]);
        let mut unlinked = pieces;
        unlinked[1].segments.remove(0);
        assert_eq!(merge(&unlinked, 1, true).last().unwrap().speaker, None, "nobody knows who that is");
    }

    #[test]
    fn two_tracks_are_merged_by_time_and_wait_for_each_other() {
        let track = |track, start, end, segments| Piece { track, ..piece(start, end, 0, segments) };
        let left =
            track(0, 0, 60_000, vec![heard(1000, 2000, "How are you?"), heard(20_000, 21_000, "I see.")]);
        let right = track(1, 0, 60_000, vec![heard(1500, 19_000, "Tired.")]);
        assert_eq!(merge(std::slice::from_ref(&left), 2, false), []);
        let both = merge(&[left, right], 2, false);
        assert_eq!(text(&both), "How are you? Tired. I see.");
        assert_eq!(both.iter().map(|utterance| utterance.track).collect::<Vec<_>>(), [0, 1, 0]);
    }

    /// A recording of these words, 400 ms each, cut and heard by a perfect recogniser in segments of so many words.
    fn recognised(words: &[String], cuts: &[i64], lead_ms: i64, segment_words: usize) -> Vec<Piece> {
        let total = i64::try_from(words.len()).unwrap() * 400;
        let mut edges: Vec<i64> = cuts.iter().map(|cut| cut % total).filter(|cut| *cut > 0).collect();
        edges.extend([0, total]);
        edges.sort_unstable();
        // Shorter pieces than this are never cut.
        edges.dedup_by(|later, earlier| *later - *earlier < LONGEST_LEAD_MS);
        if let Some(last) = edges.last_mut() {
            *last = total;
        }
        let spans = edges.windows(2).filter(|edge| edge[0] < edge[1]);
        let hear = |edge: &[i64]| {
            let lead_ms = lead_ms.min(edge[0]);
            let first = (edge[0] - lead_ms + 399) / 400;
            let whole: Vec<(i64, &String)> =
                (0_i64..).zip(words).filter(|(at, _)| *at >= first && (at + 1) * 400 <= edge[1]).collect();
            let segments = whole.chunks(segment_words).map(|chunk| {
                let text: Vec<&str> = chunk.iter().map(|(_, word)| word.as_str()).collect();
                heard(chunk[0].0 * 400, (chunk[chunk.len() - 1].0 + 1) * 400, &text.join(" "))
            });
            piece(edge[0], edge[1], lead_ms, segments.collect())
        };
        spans.map(hear).collect()
    }

    proptest! {
        #[test]
        fn wherever_a_recording_is_cut_nothing_is_lost_or_said_twice(
            words in proptest::collection::vec("[a-z]{1,6}", 30..200),
            cuts in proptest::collection::vec(0_i64..80_000, 0..6),
            lead_ms in 1000_i64..=LONGEST_LEAD_MS, segment_words in 1_usize..12,
        ) {
            // Words that are all different: what is said twice then shows.
            let words: Vec<String> = words.iter().enumerate().map(|(at, word)| format!("{word}{at}")).collect();
            let pieces = recognised(&words, &cuts, lead_ms, segment_words);
            prop_assert_eq!(text(&merge(&pieces, 1, true)), words.join(" "));
        }

        #[test]
        fn the_transcript_only_grows(
            words in proptest::collection::vec("[a-c]{1,2}", 30..200),
            cuts in proptest::collection::vec(0_i64..80_000, 0..6),
            lead_ms in 0_i64..=LONGEST_LEAD_MS, segment_words in 1_usize..12, order in any::<u64>(),
        ) {
            let pieces = recognised(&words, &cuts, lead_ms, segment_words);
            let complete = merge(&pieces, 1, true);
            let mut shuffled = pieces.clone();
            let by = usize::try_from(order % 7).unwrap() % shuffled.len();
            shuffled.rotate_left(by);
            let mut before: Vec<Utterance> = Vec::new();
            for count in 1..=shuffled.len() {
                let now = merge(&shuffled[..count], 1, false);
                prop_assert!(now.starts_with(&before), "{:?} after {:?}", now, before);
                before = now;
            }
            prop_assert!(complete.starts_with(&before), "{:?} after {:?}", complete, before);
        }

        #[test]
        fn nothing_a_recogniser_says_breaks_the_merge(
            segments in proptest::collection::vec((any::<i32>(), any::<i32>(), ".{0,20}"), 0..12), lead in 0_i64..5000,
        ) {
            let all: Vec<Heard> =
                segments.iter().map(|(start, end, text)| heard(i64::from(*start), i64::from(*end), text)).collect();
            let pieces = [piece(0, 10_000, 0, all.clone()), piece(10_000, 20_000, lead, all)];
            for utterance in merge(&pieces, 1, true) {
                prop_assert!(0 <= utterance.start_ms && utterance.start_ms <= utterance.end_ms);
                prop_assert!(utterance.end_ms <= 20_000);
            }
        }
    }
}
