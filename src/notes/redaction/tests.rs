//! What is taken out, however it is spelled, and that it comes back.

use proptest::prelude::*;

use super::*;

fn redaction() -> Redaction {
    Redaction::default()
        .name("patient", "Zo\u{eb} O'Neill-Stra\u{df}er")
        .name("therapist", "Dr. Will Ann de Santos")
        .email("patient", Some("zoe.oneill92@mail.example.com"))
        .phone("patient", Some("+49 (170) 555-0199"))
        .email("therapist", Some("w_santos@praxis.example"))
}

fn redact(text: &str) -> String {
    redaction().redact_lines(&[line(0, text)]).0.remove(0).text
}

fn line(index: i32, text: &str) -> TranscriptLine {
    TranscriptLine { index, start_ms: 0, end_ms: 1, role: None, text: text.to_owned() }
}

#[test]
fn a_name_is_taken_out_however_it_is_spelled() {
    for (said, left) in [
        ("Zo\u{eb} is here.", "[patient-name-1] is here."),
        ("ZOE, zoe; Zoe\u{308}!", "[patient-name-1], [patient-name-1]; [patient-name-1]!"),
        (
            "Zoe's mother, Zo\u{eb}\u{2019}s mother",
            "[patient-name-1]'s mother, [patient-name-1]\u{2019}s mother",
        ),
        ("the O Neills and O'Neill's", "the [patient-name-2] and [patient-name-2]'s"),
        ("Oneill Strasser", "[patient-name-2] [patient-name-3]"),
        ("Stra\u{df}ers Haus", "[patient-name-3] Haus"),
        ("Mrs. Santos", "Mrs. [therapist-name-4]"),
        ("Santos de Santos", "[therapist-name-4] [therapist-name-3] [therapist-name-4]"),
    ] {
        assert_eq!(redact(said), left);
    }
}

#[test]
fn other_words_stay() {
    for said in
        ["I will be annoyed.", "Zoetrope, de facto, strass", "Dr. No", "antisantos", "170 people, 0199 times"]
    {
        assert_eq!(redact(said), said);
    }
    assert_eq!(redact("Will said so."), "[therapist-name-1] said so.");
}

#[test]
fn a_name_that_texts_are_full_of_is_taken_out_beside_another_part_only() {
    let redaction = Redaction::default().name("patient", "My Nguyen");
    let redact = |text: &str| redaction.redact_lines(&[line(0, text)]).0.remove(0).text;
    assert_eq!(
        redact("My mother calls me Nguyen My."),
        "My mother calls me [patient-name-2] [patient-name-1]."
    );
    assert_eq!(redact("I am My Nguyen"), "I am [patient-name-1] [patient-name-2]");
    assert_eq!(redact("Ms. My is here, my dear."), "Ms. [patient-name-1] is here, my dear.");
}

#[test]
fn a_name_in_a_script_without_spaces_is_taken_out() {
    let redaction = Redaction::default().name("patient", "\u{5f20}\u{4f1f}");
    let (lines, _) =
        redaction.redact_lines(&[line(0, "\u{6211}\u{53eb}\u{5f20}\u{4f1f}\u{5f88}\u{9ad8}\u{5174}")]);
    assert_eq!(lines[0].text, "\u{6211}\u{53eb}[patient-name-1]\u{5f88}\u{9ad8}\u{5174}");
}

#[test]
fn a_number_is_taken_out_however_it_is_read_out() {
    for said in [
        "+49 (170) 555-0199",
        "0049 170 5550199",
        "0170/555 01 99",
        "0 1 7 0, 5 5 5, 0 1 9 9",
        "plus four nine, one seven zero, five five five, oh one nine nine",
        "zero one seven zero triple five zero one double nine",
        "null eins sieben null f\u{fc}nf f\u{fc}nf f\u{fc}nf null eins neun neun",
        "0170 five fifty five zero one ninety nine",
    ] {
        let left = redact(&format!("It is {said}. Call me!"));
        assert_eq!(left, "It is [patient-phone]. Call me!", "{said}");
    }
    assert_eq!(redact("It is 0170 555 0200."), "It is 0170 555 0200.", "another number");
}

#[test]
fn a_number_that_was_cut_in_two_is_taken_out_of_both_lines() {
    let lines = [line(0, "My number is 0170 555"), line(1, "0199, call me")];
    let (redacted, swaps) = redaction().redact_lines(&lines);
    assert_eq!(redacted[0].text, "My number is [patient-phone]");
    assert_eq!(redacted[1].text, "[patient-phone], call me");
    assert_eq!(swaps[1], [Swap { at: 0, original: "0199".into() }]);
}

#[test]
fn an_address_is_taken_out_however_it_is_read_out() {
    for said in [
        "zoe.oneill92@mail.example.com",
        "ZOE.ONEILL92@Mail.Example.com",
        "zoe dot oneill 92 at mail dot example dot com",
        "Zoe dot O'Neill ninety two at mail, dot, example dot com",
        "zoe o neill nine two at mail example com",
        "zoe (dot) oneill92 [at] mail.example.com",
    ] {
        assert_eq!(redact(&format!("Write to {said}.")), "Write to [patient-email].", "{said}");
    }
    assert_eq!(redact("w underscore santos at praxis dot example"), "[therapist-email]");
}

#[test]
fn what_a_placeholder_stands_for_is_known_by_its_place() {
    let (lines, swaps) = redaction().redact_lines(&[line(0, "ZOE and Zo\u{eb}'s aunt Ann.")]);
    for swap in &swaps[0] {
        assert!(lines[0].text[swap.at..].starts_with('['), "{swap:?}");
    }
    let originals: Vec<_> = swaps[0].iter().map(|swap| swap.original.as_str()).collect();
    assert_eq!(originals, ["ZOE", "Zo\u{eb}", "Ann"]);
    assert_eq!(redaction().restore_quote(&lines[0].text, &originals), "ZOE and Zo\u{eb}'s aunt Ann.");
}

#[test]
fn placeholders_are_put_back_however_a_model_writes_them() {
    let text = "[Patient-Name-1]'s plan: call patient-phone, not [patient-name-10] or impatient-name-1.";
    let restored = redaction().restore(text);
    assert_eq!(
        restored,
        "Zo\u{eb}'s plan: call +49 (170) 555-0199, not [patient-name-10] or impatient-name-1."
    );
}

proptest! {
    #[test]
    fn what_was_taken_out_comes_back(text in "[a-z .]{0,20}(Zoë |ZOE's |O Neill |0170 5550199 )?[a-zß' ]{0,10}( Will)?[ .!]{0,3}") {
        let (lines, swaps) = redaction().redact_lines(&[line(0, &text)]);
        let originals: Vec<_> = swaps[0].iter().map(|swap| swap.original.as_str()).collect();
        prop_assert_eq!(redaction().restore_quote(&lines[0].text, &originals), text);
    }

    #[test]
    fn no_text_breaks_it(text in ".{0,80}", more in "[0-9 +a-z@.'-]{0,60}") {
        let lines = [line(0, &text), line(1, &more)];
        let (redacted, swaps) = redaction().redact_lines(&lines);
        for (at, line) in redacted.iter().enumerate() {
            let originals: Vec<_> = swaps[at].iter().map(|swap| swap.original.as_str()).collect();
            prop_assert_eq!(redaction().restore_quote(&line.text, &originals), lines[at].text.clone());
        }
    }
}
