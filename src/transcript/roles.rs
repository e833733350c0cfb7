//! Which of two speakers is the therapist, told by how they speak.
//!
//! A therapist asks, speaks of "you", and moves the session along; a client speaks of "I". The difference of two speakers
//! on these counts says who is who, and its size how sure that is. What is not clear stays open: a wrong role is worse
//! than none. English only; other languages have too few of the words that are looked for.

use std::collections::BTreeMap;

use crate::entity::transcript_segment::SpeakerRole;

const FIRST_PERSON: [&str; 9] = ["i", "i'm", "i've", "i'd", "i'll", "me", "my", "mine", "myself"];
const SECOND_PERSON: [&str; 8] = ["you", "you're", "you've", "you'd", "you'll", "your", "yours", "yourself"];
/// How a session is opened, moved along and closed.
const MOVES: [&str; 24] = [
    "how did",
    "how do you",
    "how does",
    "how have you",
    "what comes",
    "what did you",
    "what do you",
    "what goes",
    "what would",
    "let us",
    "let's",
    "tell me",
    "it sounds",
    "sounds like",
    "i hear",
    "last time",
    "next session",
    "next week",
    "would you",
    "could you",
    "are you willing",
    "on a scale",
    "good to see you",
    "homework",
];

/// What each sign weighs, so that a typical therapist and a typical client are 3 apart (measured on the dialogues of
/// `tests/data/notes`: 3.3 to 3.9 over whole sessions, 2.2 at least over any eight turns each).
const QUESTIONS: f32 = 2.0;
const PRONOUNS: f32 = 12.0;
const WORD_OF_A_MOVE: f32 = 10.0;
/// Closer together than this the two stay open.
const CLEAR: f32 = 1.2;
/// Who says less than this may be anybody.
const FEWEST_WORDS: usize = 40;
/// Less of both pronouns than this is another language.
const LEAST_PRONOUNS: f32 = 0.04;

/// Role and confidence (0 to 1) of every speaker; none unless exactly two speak, and they differ clearly.
#[must_use]
pub fn assign<'a>(
    lines: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> BTreeMap<&'a str, (SpeakerRole, f32)> {
    let mut speakers: BTreeMap<&str, Manner> = BTreeMap::new();
    for (speaker, text) in lines {
        speakers.entry(speaker).or_default().hear(text);
    }
    let [(first, one), (second, other)] = &speakers.into_iter().collect::<Vec<_>>()[..] else {
        return BTreeMap::new();
    };
    let difference = one.score() - other.score();
    if difference.abs() < CLEAR || !one.is_telling() || !other.is_telling() {
        return BTreeMap::new();
    }
    let confidence = 1.0 - (-difference.abs()).exp();
    let (therapist, patient) = if difference > 0.0 { (*first, *second) } else { (*second, *first) };
    BTreeMap::from([
        (therapist, (SpeakerRole::Therapist, confidence)),
        (patient, (SpeakerRole::Patient, confidence)),
    ])
}

/// How somebody speaks, in counts.
#[derive(Default)]
struct Manner {
    words: usize,
    sentences: usize,
    questions: usize,
    first_person: usize,
    second_person: usize,
    moves: usize,
}

impl Manner {
    fn hear(&mut self, text: &str) {
        let text = text.to_lowercase().replace('\u{2019}', "'");
        for word in text.split(|c: char| !c.is_alphanumeric() && c != '\'').filter(|word| !word.is_empty()) {
            self.words += 1;
            self.first_person += usize::from(FIRST_PERSON.contains(&word));
            self.second_person += usize::from(SECOND_PERSON.contains(&word));
        }
        self.moves += MOVES.iter().map(|phrase| text.matches(phrase).count()).sum::<usize>();
        self.questions += text.matches('?').count();
        self.sentences += text.split(['.', '!', '?']).filter(|rest| !rest.trim().is_empty()).count();
    }

    fn score(&self) -> f32 {
        QUESTIONS * share(self.questions, self.sentences)
            + PRONOUNS * (share(self.second_person, self.words) - share(self.first_person, self.words))
            + WORD_OF_A_MOVE * share(self.moves, self.words)
    }

    fn is_telling(&self) -> bool {
        let pronouns = share(self.first_person + self.second_person, self.words);
        self.words >= FEWEST_WORDS && pronouns >= LEAST_PRONOUNS
    }
}

#[expect(clippy::cast_precision_loss, reason = "a session has far fewer than 2^23 words")]
fn share(part: usize, whole: usize) -> f32 {
    part as f32 / whole.max(1) as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    const SESSIONS: [(&str, &str); 6] = [
        ("boundaries", include_str!("../../tests/data/notes/dialogues/boundaries_followup.txt")),
        ("grief", include_str!("../../tests/data/notes/dialogues/grief_panic.txt")),
        ("relapse", include_str!("../../tests/data/notes/dialogues/safety_relapse.txt")),
        ("anxiety", include_str!("../../tests/data/notes/sessions/session_anxiety.txt")),
        ("long", include_str!("../../tests/data/notes/sessions/session_long.txt")),
        ("risk", include_str!("../../tests/data/notes/sessions/session_risk.txt")),
    ];

    fn lines(session: &str) -> Vec<(&str, &str)> {
        session.lines().filter_map(|line| line.split_once(": ")).collect()
    }

    #[test]
    fn every_session_tells_who_is_who() {
        for (name, session) in SESSIONS {
            let roles = assign(lines(session));
            assert_eq!(roles.get("T").map(|role| role.0), Some(SpeakerRole::Therapist), "{name}");
            assert_eq!(roles.get("C").map(|role| role.0), Some(SpeakerRole::Patient), "{name}");
            assert!(roles["T"].1 > 0.9, "{name}: {}", roles["T"].1);
        }
    }

    /// The figures that docs/pipeline.md states.
    #[test]
    fn stretches_of_a_session_are_right_or_open_never_wrong() {
        let (mut right, mut wrong, mut open) = (0, 0, 0);
        for (_, session) in SESSIONS {
            for stretch in lines(session).windows(12).step_by(3) {
                match assign(stretch.iter().copied()).get("T") {
                    Some((SpeakerRole::Therapist, _)) => right += 1,
                    Some(_) => wrong += 1,
                    None => open += 1,
                }
            }
        }
        assert_eq!(wrong, 0, "{right} right, {open} open");
        assert!(right > 7 * open, "{right} right, {open} open");
    }

    #[test]
    fn who_cannot_be_told_stays_open() {
        let chat = [(
            "A",
            "I think I would rather stay at home with my sister today, because I am so tired of it all, \
            and I wish my brother called me now and then, but I know that I can't make my family do what I want.",
        )];
        let both = [chat[0], ("B", chat[0].1)];
        let german = [
            ("A", "Wie geht es Ihnen heute? Was haben Sie in der letzten Woche erlebt? Wie war der Schlaf? Was hilft? ".repeat(4)),
            ("B", "Mir geht es nicht gut, weil der Chef immer mehr verlangt und die Nächte kurz sind. ".repeat(4)),
        ];
        assert_eq!(assign(chat), BTreeMap::new(), "one voice");
        assert_eq!(assign(both), BTreeMap::new(), "two of a kind");
        assert_eq!(assign(german.iter().map(|(who, text)| (*who, text.as_str()))), BTreeMap::new(), "German");
        let three = [("A", "Why?"), ("B", "I don't know."), ("C", "Me neither.")];
        assert_eq!(assign(three), BTreeMap::new(), "three voices");
    }
}
