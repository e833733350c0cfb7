//! The answer of a chat model: what came over the wire, and the notes in it.
//!
//! Own types, because `async-openai`'s insist on fields that local servers leave out.

use serde::Deserialize;
use serde_json::Value;

use super::failure::{FILTERED, unreadable};
use super::schema;
use crate::ai::{AiError, Cause, DraftTexts, Extraction, ExtractorKind, NoteDraft, Provider, Usage};

/// A chat completion, as far as it is used.
#[derive(Deserialize)]
pub(super) struct ChatAnswer {
    choices: Vec<Choice>,
    usage: Option<Tokens>,
}

#[derive(Deserialize)]
struct Choice {
    message: Message,
    finish_reason: Option<String>,
}

#[derive(Deserialize)]
struct Message {
    content: Option<String>,
    refusal: Option<String>,
}

#[derive(Deserialize)]
struct Tokens {
    prompt_tokens: Option<i64>,
    completion_tokens: Option<i64>,
}

impl ChatAnswer {
    /// The notes, or in what way they are not of the asked shape.
    pub(super) fn into_extraction(self, shape: Shape, provider: Provider) -> Result<Extraction, AiError> {
        let usage = self.usage.map(Tokens::into_usage).unwrap_or_default();
        let choice = self.choices.into_iter().next().ok_or_else(unreadable)?;
        if choice.message.refusal.is_some_and(|refusal| !refusal.is_empty()) {
            let message = "The AI model refused to write notes for this session.";
            return Err(AiError::permanent(Cause::Content, message));
        }
        if choice.finish_reason.as_deref() == Some("content_filter") {
            return Err(AiError::permanent(Cause::Content, FILTERED));
        }
        let raw = choice.message.content.unwrap_or_default();
        let was_cut = choice.finish_reason.as_deref() == Some("length");
        let draft =
            shape.read(&raw).map_err(|problems| if was_cut { vec![CUT.to_owned()] } else { problems });
        Ok(Extraction { draft, raw, usage, provider, kind: ExtractorKind::Model })
    }
}

const CUT: &str = "The answer was cut off at the length limit: write fewer items and shorter texts.";

impl Tokens {
    fn into_usage(self) -> Usage {
        Usage { prompt_tokens: self.prompt_tokens, completion_tokens: self.completion_tokens, audio_ms: None }
    }
}

/// What an answer should hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// [`NoteDraft`]
    Notes,
    /// [`DraftTexts`]
    Texts,
}

impl Shape {
    /// What the shape is called where the server enforces it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Notes => "clinical_notes",
            Self::Texts => "clinical_texts",
        }
    }

    pub(super) fn schema(self) -> &'static Value {
        match self {
            Self::Notes => &schema::NOTES,
            Self::Texts => &schema::TEXTS,
        }
    }

    fn read(self, answer: &str) -> Result<NoteDraft, Vec<String>> {
        let not_json = || vec!["The answer must be one complete JSON object and nothing else.".to_owned()];
        let value: Value = serde_json::from_str(json_part(answer)).map_err(|_| not_json())?;
        let problems = schema::problems(&value, self.schema());
        if !problems.is_empty() {
            return Err(problems);
        }
        let draft = match self {
            Self::Notes => serde_json::from_value(value),
            Self::Texts => serde_json::from_value::<DraftTexts>(value).map(NoteDraft::from),
        };
        draft.map_err(|_| vec!["The answer does not fit the JSON schema.".to_owned()])
    }
}

/// The object in an answer that may be wrapped in a code fence, or follow a model's thoughts, where the server
/// does not hold the model to JSON.
fn json_part(answer: &str) -> &str {
    let answer = answer.rsplit_once("</think>").map_or(answer, |(_, rest)| rest);
    match (answer.find('{'), answer.rfind('}')) {
        (Some(start), Some(end)) if start < end => &answer[start..=end],
        _ => answer,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::ai::Prices;

    fn notes() -> String {
        json!({
            "keyTopics": [], "topicSummary": "", "strategies": [], "actionItems": [], "sessionMood": "NEUTRAL",
            "moodTrajectory": "STABLE", "therapistNotes": "", "patientSummary": "", "riskFlags": [],
        })
        .to_string()
    }

    fn provider() -> Provider {
        let (name, model) = ("openai".to_owned(), "gpt-4o".to_owned());
        Provider { name, model, prompt_version: "v1".to_owned(), prices: Prices::FREE }
    }

    fn answer(message: &Value, finish_reason: &str) -> Result<Extraction, AiError> {
        let answer = json!({"choices": [{"message": message, "finish_reason": finish_reason}]});
        serde_json::from_value::<ChatAnswer>(answer).unwrap().into_extraction(Shape::Notes, provider())
    }

    #[test]
    fn notes_are_found_in_fences_and_after_thoughts() {
        let notes = notes();
        for text in [
            notes.clone(),
            format!("```json\n{notes}\n```"),
            format!("<think>maybe {{}}?</think>\nHere you are: {notes}"),
        ] {
            assert!(Shape::Notes.read(&text).is_ok(), "{text}");
        }
    }

    #[test]
    fn texts_have_a_shape_of_their_own_and_empty_lists() {
        let texts = json!({
            "keyTopics": ["sleep"], "topicSummary": "s", "sessionMood": "LOW", "moodTrajectory": "STABLE",
            "therapistNotes": "t", "patientSummary": "p",
        })
        .to_string();
        let draft = Shape::Texts.read(&texts).unwrap();
        assert_eq!((draft.key_topics.len(), draft.risk_flags.len()), (1, 0));
        assert!(Shape::Notes.read(&texts).is_err() && Shape::Texts.read(&notes()).is_err());
    }

    #[test]
    fn an_answer_that_was_cut_off_asks_for_a_shorter_one() {
        let extraction = answer(&json!({"content": r#"{"keyTopics": ["#}), "length").unwrap();
        assert_eq!(extraction.draft, Err(vec![CUT.to_owned()]));
    }

    #[test]
    fn a_complete_answer_counts_even_at_the_length_limit() {
        assert!(answer(&json!({"content": notes()}), "length").unwrap().draft.is_ok());
    }

    #[test]
    fn an_empty_answer_is_a_problem_to_repair() {
        assert!(answer(&json!({"content": null}), "stop").unwrap().draft.is_err());
    }

    #[test]
    fn a_refusal_is_permanent_and_does_not_repeat_its_words() {
        let error = answer(&json!({"content": null, "refusal": "You said knives"}), "stop").unwrap_err();
        assert!(matches!(error, AiError::Permanent { .. }) && !error.to_string().contains("knives"));
    }
}
