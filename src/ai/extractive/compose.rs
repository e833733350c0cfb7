//! Summaries made of fixed sentences and verbatim quotes. Nothing is said in them that a rule did not read.

use super::risk::VERSION;
use super::sentences::{Sentence, Speaker};
use super::wording::{count, kind_name, listed, quoted, tone};
use super::{mood, strategies, topics};
use crate::ai::{DraftItem, DraftRisk, Mood, MoodTrajectory};

/// From so many words of transcript on, the summaries keep their minimal lengths.
const FULL: usize = 400;
/// Words of the therapist's notes: quotes are added up to the first, none beyond the second.
const NOTES: (usize, usize) = (170, 195);
/// Words of the patient's summary, likewise.
const SUMMARY: (usize, usize) = (112, 145);

/// Topics that a patient reads from a person, not from a draft.
const DELICATE: &[&str] = &[
    "suicidal thoughts",
    "self-harm",
    "safety planning",
    "domestic violence and abuse",
    "alcohol",
    "drug use",
    "unusual experiences",
    "trauma",
];

/// What the rules read in a session.
pub(super) struct Findings<'a> {
    pub(super) sentences: &'a [Sentence],
    pub(super) topics: &'a [String],
    pub(super) strategies: &'a [DraftItem],
    pub(super) actions: &'a [DraftItem],
    pub(super) risks: &'a [DraftRisk],
    pub(super) mood: Mood,
    pub(super) trajectory: MoodTrajectory,
    /// Indices of the most central sentences, best first.
    pub(super) central: &'a [usize],
}

impl Findings<'_> {
    /// Two or three sentences on what the session was about.
    pub(super) fn topic_summary(&self) -> String {
        let about = match self.topics {
            [] => "The rules found no topic in this transcript.".to_owned(),
            topics => format!("The topics that stood out were {}.", listed(topics)),
        };
        let quotes = self.central.iter().take(2).map(|at| quoted(&self.sentences[*at].quote));
        let leads = ["A central statement was:", "Another was:"];
        let statements = leads.iter().zip(quotes).map(|(lead, quote)| format!("{lead} {quote}."));
        let statements: Vec<String> = statements.collect();
        match (statements.is_empty(), self.sentences.is_empty()) {
            (true, true) => format!("{about} It holds no words."),
            (true, false) => format!("{about} It holds no statement long enough to stand for the session."),
            _ => format!("{about} {}", statements.join(" ")),
        }
    }

    /// The notes for the therapist.
    pub(super) fn therapist_notes(&self) -> String {
        let mut parts = vec![
            "Automatic draft made of quotes, not reviewed, made by fixed rules without a language model."
                .to_owned(),
            self.screened(),
            tone(self.mood, self.trajectory),
        ];
        if !self.topics.is_empty() {
            parts.push(format!("Topics: {}.", listed(self.topics)));
        }
        let techniques = self.techniques();
        if !techniques.is_empty() {
            parts.push(format!("Strategies named: {}.", listed(&techniques).to_lowercase()));
        }
        if let Some(step) = self.actions.first() {
            parts.push(format!(
                "Steps voiced: {}, the first being {}.",
                self.actions.len(),
                quoted(&step.quote)
            ));
        }
        parts.extend(self.caveats());
        let used = self.actions.first().map(|step| step.quote.as_str());
        let pool = self.central.iter().copied().chain(0..self.sentences.len());
        let quotes =
            self.fill(&parts, NOTES, pool.filter(|at| Some(self.sentences[*at].quote.as_str()) != used));
        if !quotes.is_empty() {
            parts.insert(3, format!("Central statements: {}.", quotes.join("; ")));
        }
        parts.join(" ")
    }

    /// The summary for the patient: warm, and silent about flags.
    pub(super) fn patient_summary(&self) -> String {
        let mut parts = vec![
            "This is an automatic draft made of quotes from your session; it is not reviewed yet and was \
             made without a \
             language model."
                .to_owned(),
            "Thank you for taking the time to talk, and for the trust that it takes.".to_owned(),
        ];
        let open = self.topics.iter().filter(|topic| !DELICATE.contains(&topic.as_str()));
        let open: Vec<String> = open.take(4).cloned().collect();
        if !open.is_empty() {
            parts.push(format!("You spoke about {}.", listed(&open)));
        }
        let techniques = self.techniques();
        if !techniques.is_empty() {
            let first = &techniques[..techniques.len().min(3)];
            parts.push(format!("You also touched on what can help: {}.", listed(first).to_lowercase()));
        }
        let support = "If things feel heavy before you meet again, please reach out to your therapist or to \
         somebody you \
                       trust: you do not have to carry it alone.";
        parts.push(support.to_owned());
        self.insert_quotes(&mut parts);
        parts.join(" ")
    }

    /// Agreed steps, and words of the session as far as there is room, before the closing sentence.
    fn insert_quotes(&self, parts: &mut Vec<String>) {
        let steps =
            self.actions.iter().filter_map(|step| self.sentences.iter().position(|s| s.quote == step.quote));
        let steps = steps.filter(|at| self.is_gentle(*at)).take(2);
        let steps = self.fill(parts, (SUMMARY.1 - 10, SUMMARY.1), steps);
        if !steps.is_empty() {
            parts.insert(parts.len() - 1, format!("Next steps that came up: {}.", steps.join("; ")));
        }
        let said = self.central.iter().copied().chain(0..self.sentences.len());
        let said =
            said.filter(|at| self.is_gentle(*at) && !steps.contains(&quoted(&self.sentences[*at].quote)));
        let quotes = self.fill(parts, SUMMARY, said);
        if !quotes.is_empty() {
            parts.insert(parts.len() - 1, format!("Some words from your session: {}.", quotes.join("; ")));
        }
    }

    /// Neither flagged nor next to a flag, nor in a dark tone.
    fn is_gentle(&self, at: usize) -> bool {
        let near = &self.sentences[at.saturating_sub(1)..self.sentences.len().min(at + 2)];
        let flagged =
            near.iter().any(|sentence| self.risks.iter().any(|risk| risk.quote.contains(&sentence.quote)));
        !flagged && mood::score(&self.sentences[at].words) > -0.2
    }

    /// Quotes for as many words as the text still lacks, in the order of the session. A short session gets three.
    fn fill(
        &self,
        parts: &[String],
        (enough, most): (usize, usize),
        pool: impl Iterator<Item = usize>,
    ) -> Vec<String> {
        let mut words = parts.iter().map(|part| count(part)).sum::<usize>() + 5;
        let many = if self.spoken() >= FULL { usize::MAX } else { 3 };
        let mut taken: Vec<(usize, String)> = Vec::new();
        for at in pool {
            let quote = quoted(&self.sentences[at].quote);
            let fresh = taken.iter().all(|(_, other)| *other != quote);
            if words >= enough || taken.len() >= many {
                break;
            }
            if fresh && self.sentences[at].words.len() > 3 && words + count(&quote) <= most {
                words += count(&quote);
                taken.push((at, quote));
            }
        }
        taken.sort_unstable();
        taken.into_iter().map(|(_, quote)| quote).collect()
    }

    fn spoken(&self) -> usize {
        self.sentences.iter().map(|sentence| count(&sentence.quote)).sum()
    }

    /// Which screen was made and what it found; finding nothing proves nothing.
    fn screened(&self) -> String {
        let mut kinds: Vec<String> = Vec::new();
        for name in self.risks.iter().map(|risk| kind_name(risk.kind)) {
            if !kinds.iter().any(|kind| kind == name) {
                kinds.push(name.to_owned());
            }
        }
        match self.risks.len() {
            0 => format!(
                "Lexical risk screen {VERSION} found no phrase on its list; that is not an assessment of \
                 risk."
            ),
            1 => format!("Lexical risk screen {VERSION}: 1 flag ({}); see its quote.", kinds[0]),
            n => format!("Lexical risk screen {VERSION}: {n} flags ({}); see their quotes.", listed(&kinds)),
        }
    }

    fn caveats(&self) -> Vec<String> {
        let mut caveats = Vec::new();
        if !self.sentences.is_empty() && !topics::is_english(self.sentences) {
            caveats.push(
                "The transcript does not look like English, and the rules know only English.".to_owned(),
            );
        }
        if self.sentences.iter().any(|sentence| sentence.speaker == Speaker::Unknown) {
            caveats.push("The transcript does not say who spoke.".to_owned());
        }
        caveats.push("Please check every quote against the transcript before relying on it.".to_owned());
        caveats
    }

    fn techniques(&self) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        for name in self.strategies.iter().map(|item| strategies::technique_of(item).to_owned()) {
            if names.len() < 5 && !names.contains(&name) {
                names.push(name);
            }
        }
        names
    }
}

#[cfg(test)]
mod tests {
    use super::super::{draft, samples};
    use super::*;

    #[test]
    fn summaries_of_the_recorded_sessions_keep_their_lengths() {
        for name in ["session_risk", "session_anxiety", "session_long"] {
            let notes = draft(&samples::session(name));
            let lengths = (count(&notes.therapist_notes), count(&notes.patient_summary));
            assert!((150..=200).contains(&lengths.0), "{name}: {lengths:?} {}", notes.therapist_notes);
            assert!((100..=150).contains(&lengths.1), "{name}: {lengths:?} {}", notes.patient_summary);
        }
    }

    #[test]
    fn the_notes_say_what_they_are_and_which_screen_was_made() {
        let calm = draft(&samples::session("session_anxiety")).therapist_notes;
        assert!(calm.starts_with("Automatic draft made of quotes, not reviewed"), "{calm}");
        assert!(calm.contains("found no phrase on its list; that is not an assessment of risk"), "{calm}");
        let grave = draft(&samples::session("session_risk")).therapist_notes;
        assert!(
            grave.contains("Lexical risk screen rules-1: ") && grave.contains("suicidal ideation"),
            "{grave}"
        );
    }

    #[test]
    fn the_patient_summary_names_steps_and_no_risk() {
        let notes = draft(&samples::session("session_risk"));
        for word in ["suicid", "kill", "pills", "wine", "alcohol", "crisis", "risk", "flag"] {
            assert!(
                !notes.patient_summary.to_lowercase().contains(word),
                "{word}: {}",
                notes.patient_summary
            );
        }
        assert!(notes.patient_summary.contains("Next steps that came up"), "{}", notes.patient_summary);
    }

    #[test]
    fn an_empty_transcript_is_said_to_be_empty() {
        let notes = draft(&[]);
        assert!(notes.topic_summary.contains("no words"));
        assert!(notes.key_topics.is_empty() && notes.risk_flags.is_empty());
    }
}
