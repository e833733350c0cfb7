//! What is found, what is not, and how fast.

use chrono::DateTime;
use proptest::prelude::*;

use super::*;

fn transcript(lines: &[&str]) -> Transcript {
    let segments: Vec<_> = (0..).zip(lines).map(|(at, text)| segment(at, text)).collect();
    Transcript::new(&segments)
}

pub(in super::super) fn segment(index: i32, text: &str) -> transcript_segment::Model {
    transcript_segment::Model {
        id: Uuid::from_u128(u128::from(index.unsigned_abs())),
        session_id: Uuid::nil(),
        segment_index: index,
        start_ms: i64::from(index) * 1000,
        end_ms: i64::from(index) * 1000 + 900,
        speaker: None,
        role: None,
        role_confidence: None,
        text: text.into(),
        confidence: None,
        created_at: DateTime::UNIX_EPOCH,
        updated_at: DateTime::UNIX_EPOCH,
    }
}

/// How a quote is found in a transcript of one line.
fn how(said: &str, quote: &str) -> Option<Match> {
    transcript(&["Hello there.", said, "Goodbye for now."]).find(quote, 1).found
}

#[test]
fn a_quote_is_exact_to_the_letter_and_normalised_by_its_words() {
    let said = "I don\u{2019}t sleep; well\u{2026} not much.";
    for (quote, expected) in [
        ("I don\u{2019}t sleep; well", Match::Exact),
        ("\u{201c}I don\u{2019}t sleep;  well\u{2026}\u{201d}", Match::Exact),
        ("I don't sleep; well", Match::Normalised),
        ("i dont sleep WELL not much", Match::Normalised),
    ] {
        assert_eq!(how(said, quote), Some(expected), "{quote}");
    }
}

#[test]
fn a_quote_may_cross_lines_and_names_them_all() {
    let found =
        transcript(&["I think", "about", "killing myself.", "Often."]).find("think about killing myself", 0);
    assert_eq!((found.start_ms, found.end_ms), (Some(0), Some(2900)));
    assert_eq!(found.segment_ids, [0, 1, 2].map(Uuid::from_u128));
    assert_eq!(found.segment_id, Some(Uuid::from_u128(0)));
}

#[test]
fn what_was_not_said_is_unsupported() {
    let transcript = transcript(&["I feel fine.", "I feel great."]);
    for quote in ["I feel awful", "fine feel", "", "\u{2026}", "'", "I feel fine I feel great today"] {
        let found = transcript.find(quote, 0);
        assert_eq!(
            (found.verdict, found.found, found.segment_id),
            (Verdict::Unsupported, None, None),
            "{quote:?}"
        );
        assert!(found.segment_ids.is_empty());
    }
}

#[test]
fn of_several_places_the_one_nearest_to_the_cited_line_counts() {
    let transcript = transcript(&["Yes.", "No.", "Yes.", "Yes."]);
    assert_eq!(transcript.find("yes", 2).segment_id, Some(Uuid::from_u128(2)));
    let near = "so I lie awake at night and think about it";
    let twice =
        ["I lie awake at night and think about it", "No.", "and I lie awake at night and think about it"];
    let far =
        super::Transcript::new(&(0..).zip(twice).map(|(at, text)| segment(at, text)).collect::<Vec<_>>());
    assert_eq!(far.find(near, 2).segment_id, Some(Uuid::from_u128(2)));
}

#[test]
fn a_quote_that_says_the_same_in_nearly_the_same_words_is_fuzzy() {
    for (said, quote) in [
        (
            "So um I lie awake and worry about work until two in the morning",
            "I lie awake and worry about work until 2 in the morning",
        ),
        (
            "I lie awake and, uh, worry about work until two in the morning",
            "I lie awake and worry about work until two in the morning",
        ),
        (
            "I don't want want to go back there after what happened",
            "I don't want to go back there after what happened",
        ),
        (
            "I'm gonna write my worries down before going to bed",
            "I am going to write my worries down before going to bed",
        ),
        (
            "we talked about the behaviour of my sister at dinner",
            "we talked about the behavior of my sister at dinner",
        ),
        (
            "he keeps shouting at me in front of the neighbours",
            "he keeps shouting at me in front of neighbours",
        ),
        ("I do not want to die, I want this to stop", "I don't want to die I want this to stop"),
        (
            "I was really exhausted after the night shift last week",
            "I was exhausted after the night shift last week",
        ),
    ] {
        assert_eq!(how(said, quote), Some(Match::Fuzzy), "{quote}");
    }
}

/// The pairs that must never pass: what was said, and a quote that says something else in nearly the same words.
#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn a_difference_that_matters_is_never_overlooked() {
    for (said, quote) in [
        // Negation.
        ("I don't want to die any more since the summer", "I want to die any more since the summer"),
        (
            "I want to go on with the treatment we have started",
            "I don't want to go on with the treatment we have started",
        ),
        (
            "I never thought about hurting anybody in my whole life",
            "I thought about hurting anybody in my whole life",
        ),
        (
            "No I have thought about it a great deal this week",
            "I have never thought about it a great deal this week",
        ),
        (
            "I can't keep myself safe when I am alone at home",
            "I can keep myself safe when I am alone at home",
        ),
        (
            "I would sleep without the pills if you let me try",
            "I would sleep with the pills if you let me try",
        ),
        ("I hardly ever leave the house on my own these days", "I ever leave the house on my own these days"),
        (
            "I wasn't really happy about the move to the new city",
            "I wasn't happy about the move to the new city",
        ),
        // Numbers.
        (
            "I took twelve of the tablets on Sunday evening at home",
            "I took two of the tablets on Sunday evening at home",
        ),
        (
            "I drink 2 bottles of wine on an ordinary evening now",
            "I drink 3 bottles of wine on an ordinary evening now",
        ),
        ("it was the second time that it happened at work", "it was the third time that it happened at work"),
        // Persons.
        (
            "he wants to leave the flat before the end of May",
            "she wants to leave the flat before the end of May",
        ),
        (
            "I think you should talk to your mother about the money",
            "I think I should talk to your mother about the money",
        ),
        (
            "my brother shouted at me all through the evening meal",
            "my father shouted at me all through the evening meal",
        ),
        ("they told me that I am to blame for all of it", "they told him that I am to blame for all of it"),
        (
            "I said it to [patient-name-1] on the way back home",
            "I said it to [therapist-name-1] on the way back home",
        ),
        // Risk.
        (
            "I want to cut down on sugar before the summer comes",
            "I want to cut on sugar before the summer comes",
        ),
        (
            "I have a plan for the weekend with my sister at home",
            "I have plans for the weekend with my sister at home",
        ),
        (
            "I thought about the bridge again on the way to work",
            "I thought about the train again on the way to work",
        ),
        (
            "I have been drinking again since the funeral in March",
            "I have been working again since the funeral in March",
        ),
        // Meaning that is on no list.
        (
            "I really love my new job in the city library now",
            "I really hate my new job in the city library now",
        ),
        (
            "I feel better about all of it since we last talked",
            "I feel worse about all of it since we last talked",
        ),
        (
            "I feel bitter about all of it since we last talked",
            "I feel better about all of it since we last talked",
        ),
        (
            "I almost stopped taking the medication last week at home",
            "I stopped taking the medication last week at home",
        ),
        (
            "I wanted to leave my husband during the first year",
            "I want to leave my husband during the first year",
        ),
        (
            "I will maybe call the crisis line when it gets bad",
            "I will call the crisis line when it gets bad",
        ),
        (
            "I used to lie awake and worry about work every night",
            "I lie awake and worry about work every night",
        ),
        (
            "I tried to tell her what happened in the summer house",
            "I told her what happened in the summer house",
        ),
        (
            "I feel hopeful about the time after the operation now",
            "I feel hopeless about the time after the operation now",
        ),
        ("it was an unhappy time for all of us back then", "it was a happy time for all of us back then"),
        // Too short to differ in anything, and too different.
        ("I want the dog", "I want a dog"),
        ("um the uh and so I like just really went to the shop", "I went shop"),
    ] {
        assert_eq!(how(said, quote), None, "{quote}");
    }
}

#[test]
fn nobody_said_what_two_people_said() {
    let lines = ["I think it would be a good thing", "and to leave him now"];
    let quote = "I think it would be a good thing to leave him now";
    let mut segments: Vec<_> = (0..).zip(lines).map(|(at, text)| segment(at, text)).collect();
    assert_eq!(Transcript::new(&segments).find(quote, 0).found, Some(Match::Fuzzy));
    segments[0].role = Some(SpeakerRole::Therapist);
    segments[1].role = Some(SpeakerRole::Patient);
    assert_eq!(Transcript::new(&segments).find(quote, 0).found, None);
}

#[test]
fn a_quote_gets_back_what_stood_behind_its_placeholders_where_it_was_found() {
    let redaction = Redaction::default().name("patient", "Zo\u{eb} Klein");
    let whole = transcript(&["Well, ZOE'S here.", "I told Zoe Klein that Zo\u{eb} may stay."]);
    let redacted = whole.redacted(&redaction);
    assert_eq!(redacted.lines()[0].text, "Well, [patient-name-1]'S here.");
    for (quote, expected) in [
        ("[patient-name-1]'S here", "ZOE'S here"),
        ("I told [patient-name-1] [patient-name-2] that", "I told Zoe Klein that"),
        ("that [patient-name-1] may stay", "that Zo\u{eb} may stay"),
    ] {
        let found = redacted.find_restored(quote, 1, &redaction);
        assert_eq!((found.quote.as_str(), found.verdict), (expected, Verdict::Supported));
        assert_eq!(
            whole.find(&found.quote, 1).found,
            Some(Match::Exact),
            "it stands in the transcript to the letter"
        );
    }
    let invented = redacted.find_restored("[patient-name-1] went away", 1, &redaction);
    assert_eq!((invented.quote.as_str(), invented.verdict), ("Zo\u{eb} went away", Verdict::Unsupported));
}

#[test]
fn labels_of_voices_are_numbered_because_they_may_be_names() {
    let mut segments = vec![segment(0, "Hi."), segment(1, "Hi."), segment(2, "Bye.")];
    for (segment, label) in segments.iter_mut().zip(["Maria", "B", "Maria"]) {
        segment.speaker = Some(label.into());
    }
    let roles: Vec<_> =
        Transcript::new(&segments).lines().iter().map(|line| line.role.clone().unwrap()).collect();
    assert_eq!(roles, ["speaker 1", "speaker 2", "speaker 1"]);
}

/// 10,000 words and 50 quotes that are nowhere: the longest search there is.
#[test]
fn ninety_minutes_are_searched_in_no_time() {
    let line = |at: usize| {
        let words = (0..10).map(|word| format!("w{}", (at * 7919 + word * 104_729) % 1500));
        words.collect::<Vec<_>>().join(" ")
    };
    let lines: Vec<String> = (0..1000).map(line).collect();
    let transcript = transcript(&lines.iter().map(String::as_str).collect::<Vec<_>>());
    let started = std::time::Instant::now();
    for at in 0..50 {
        let quote = format!("{} nowhere {}", line(at), line(at + 500));
        assert_eq!(transcript.find(&quote, 0).verdict, Verdict::Unsupported);
    }
    let seconds = started.elapsed().as_secs_f64();
    eprintln!("50 quotes in 10,000 words: {:.0} ms", seconds * 1000.0);
    // Generous: without optimisation, on a machine that has other work to do.
    assert!(seconds < 20.0, "{seconds} s");
}

proptest! {
    #[test]
    fn every_line_is_found_in_its_own_transcript(lines in proptest::collection::vec("[a-zA-Zäöü' ]{0,20}", 1..12)) {
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        let transcript = transcript(&lines);
        for (at, line) in (0..).zip(&lines) {
            let has_words = !folded(line).is_empty();
            let found = transcript.find(line, at);
            prop_assert_eq!(found.verdict == Verdict::Supported, has_words);
            prop_assert_eq!(found.found, has_words.then_some(Match::Exact));
        }
    }

    #[test]
    fn no_quote_breaks_the_search(said in ".{0,60}", quote in ".{0,60}", cited in any::<i32>()) {
        let found = transcript(&[&said, "One two three four five six."]).find(&quote, cited);
        prop_assert_eq!(found.quote, quote);
    }

    /// Whatever a quote of words is compared with: where it is found, each of its words that means something stands.
    #[test]
    fn no_word_that_means_something_is_made_up(
        said in proptest::collection::vec("(i|he|not|never|um|the|and|die|sleep|two|work|really|bridge)", 8..40),
        quote in proptest::collection::vec("(i|he|not|never|um|the|and|die|sleep|two|work|really|bridge)", 5..14),
    ) {
        let (said, quote) = (said.join(" "), quote.join(" "));
        if transcript(&[&said]).find(&quote, 0).verdict == Verdict::Supported {
            let weighty = |text: &str| {
                let light = ["um", "the", "and", "really"];
                let words = text.split(' ').filter(|word| !light.contains(word)).map(str::to_owned);
                words.collect::<Vec<_>>()
            };
            let mut said = weighty(&said);
            said.dedup();
            let mut quote = weighty(&quote);
            quote.dedup();
            let stands = quote.is_empty() || said.windows(quote.len()).any(|window| window == quote);
            prop_assert!(stands, "{:?} in {:?}", quote, said);
        }
    }
}
