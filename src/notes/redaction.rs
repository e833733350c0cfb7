//! Keeps names and contact data of the record out of what a language model reads.
//!
//! Every part of a name, every address and number is replaced by a placeholder before, and put back after. A name
//! that is also an everyday word ("May", "Will") is only replaced where it is written with a capital.

use crate::ai::{DraftItem, DraftRisk, NoteDraft, TranscriptLine};

/// Names that are everyday words in lower case.
const EVERYDAY: [&str; 24] = [
    "will", "may", "hope", "grace", "mark", "rose", "joy", "art", "bill", "rich", "faith", "summer", "dawn",
    "sky", "rob", "drew", "sue", "pat", "jack", "frank", "grant", "chase", "young", "long",
];

/// What to take out, and what to put in its place.
#[derive(Clone, Debug, Default)]
pub struct Redaction {
    replacements: Vec<Replacement>,
}

#[derive(Clone, Debug)]
struct Replacement {
    original: String,
    placeholder: String,
    exact_case: bool,
}

impl Redaction {
    /// Adds the parts of a name; `role` is what stands for it, `patient`.
    #[must_use]
    pub fn name(mut self, role: &str, name: &str) -> Self {
        let parts =
            name.split(|c: char| !c.is_alphanumeric() && c != '\'').filter(|part| part.chars().count() > 1);
        for (at, part) in (1..).zip(parts) {
            let exact_case = EVERYDAY.contains(&part.to_lowercase().as_str());
            self.replacements.push(Replacement {
                original: part.to_owned(),
                placeholder: format!("[{role}-name-{at}]"),
                exact_case,
            });
        }
        self
    }

    /// Adds an e-mail address or a phone number.
    #[must_use]
    pub fn contact(mut self, role: &str, kind: &str, contact: Option<&str>) -> Self {
        if let Some(contact) = contact {
            let placeholder = format!("[{role}-{kind}]");
            // Before the names: an address is taken out whole.
            self.replacements
                .insert(0, Replacement { original: contact.to_owned(), placeholder, exact_case: false });
        }
        self
    }

    /// The lines without names and contact data.
    #[must_use]
    pub fn redact_lines(&self, lines: &[TranscriptLine]) -> Vec<TranscriptLine> {
        lines.iter().map(|line| TranscriptLine { text: self.redact(&line.text), ..line.clone() }).collect()
    }

    /// The draft with names and contact data back in their places.
    #[must_use]
    pub fn restore_draft(&self, draft: NoteDraft) -> NoteDraft {
        let text = |text: String| self.restore(&text);
        let item = |item: DraftItem| DraftItem { text: text(item.text), quote: text(item.quote), ..item };
        NoteDraft {
            key_topics: draft.key_topics.into_iter().map(text).collect(),
            topic_summary: text(draft.topic_summary),
            strategies: draft.strategies.into_iter().map(item).collect(),
            action_items: draft.action_items.into_iter().map(item).collect(),
            therapist_notes: text(draft.therapist_notes),
            patient_summary: text(draft.patient_summary),
            risk_flags: draft
                .risk_flags
                .into_iter()
                .map(|risk| DraftRisk { text: text(risk.text), quote: text(risk.quote), ..risk })
                .collect(),
            ..draft
        }
    }

    fn redact(&self, text: &str) -> String {
        self.replacements.iter().fold(text.to_owned(), |text, replacement| replacement.apply(&text))
    }

    fn restore(&self, text: &str) -> String {
        self.replacements
            .iter()
            .rev()
            .fold(text.to_owned(), |text, r| text.replace(&r.placeholder, &r.original))
    }
}

impl Replacement {
    /// Replaces whole words only: "Ann" is not in "annoyed".
    fn apply(&self, text: &str) -> String {
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(at) = self.find(rest) {
            let end = at + self.matched_len(&rest[at..]);
            out.push_str(&rest[..at]);
            out.push_str(&self.placeholder);
            rest = &rest[end..];
        }
        out.push_str(rest);
        out
    }

    fn find(&self, text: &str) -> Option<usize> {
        text.char_indices().map(|(at, _)| at).find(|at| {
            let length = self.matched_len(&text[*at..]);
            let before = text[..*at].chars().next_back();
            let after = text[at + length..].chars().next();
            length > 0
                && !before.is_some_and(char::is_alphanumeric)
                && !after.is_some_and(char::is_alphanumeric)
        })
    }

    /// Bytes of the match at the start of `text`; 0 when there is none.
    fn matched_len(&self, text: &str) -> usize {
        let mut chars = text.chars();
        let mut length = 0;
        for wanted in self.original.chars() {
            match chars.next() {
                Some(c)
                    if c == wanted || (!self.exact_case && c.to_lowercase().eq(wanted.to_lowercase())) =>
                {
                    length += c.len_utf8();
                }
                _ => return 0,
            }
        }
        length
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn redaction() -> Redaction {
        Redaction::default()
            .name("patient", "Maria O'Neill")
            .name("therapist", "Will Ann")
            .contact("patient", "email", Some("maria@example.com"))
            .contact("patient", "phone", Some("+49 30 1234"))
    }

    #[test]
    fn names_and_contacts_are_taken_out_whatever_their_case() {
        let text = redaction().redact("MARIA, mail maria@example.com or +49 30 1234. Maria O'Neill's sister");
        for secret in ["maria", "neill", "example.com", "1234"] {
            assert!(!text.to_lowercase().contains(secret), "{text}");
        }
    }

    #[test]
    fn words_that_contain_a_name_stay_and_everyday_words_stay() {
        assert_eq!(redaction().redact("I will be annoyed."), "I will be annoyed.");
        assert_eq!(redaction().redact("Will said so."), "[therapist-name-1] said so.");
    }

    proptest! {
        #[test]
        fn what_was_taken_out_comes_back(text in "[a-z .]{0,20}(Maria |Neill )?[a-zß ]{0,10}( Will)?[ .!]{0,3}") {
            let redaction = redaction();
            let restored = redaction.restore(&redaction.redact(&text));
            prop_assert_eq!(restored.to_lowercase(), text.to_lowercase());
        }
    }
}
