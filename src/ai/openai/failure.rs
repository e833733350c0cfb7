//! From what went wrong on the wire to what the pipeline should do and what a therapist can be told.
//!
//! Providers echo parts of the request in their errors. So nothing they wrote is passed on or logged, except
//! error codes that look like identifiers.

use std::time::Duration;

use chrono::DateTime;
use reqwest::StatusCode;
use reqwest::header::{DATE, HeaderMap, RETRY_AFTER};
use serde_json::Value;

use crate::ai::{AiError, Cause};

/// Why a call gave no answer.
#[derive(Debug)]
pub(super) enum Failure {
    /// The server does not know the `response_format` asked for: ask for a simpler one.
    FormatRefused,
    /// Anything else.
    Ai(AiError),
}

impl From<Failure> for AiError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::FormatRefused => {
                AiError::permanent(Cause::Request, "The AI provider refused the request as invalid.")
            }
            Failure::Ai(error) => error,
        }
    }
}

/// The answer is not what the interface promises: cut off on the way, or somebody else answered.
pub(super) fn unreadable() -> AiError {
    AiError::trouble("The AI provider gave an answer that cannot be read.", None)
}

/// No answer, or a broken one. The error itself names the URL, which may hold a key: only its class is used.
pub(super) fn from_transport(error: &reqwest::Error) -> AiError {
    tracing::debug!(
        timeout = error.is_timeout(),
        connect = error.is_connect(),
        "the AI provider gave no answer"
    );
    if error.is_builder() {
        let message = "The AI provider's address is not usable. Ask your administrator to check it.";
        AiError::permanent(Cause::Setup, message)
    } else if error.is_timeout() {
        AiError::trouble("The AI provider did not answer in time.", None)
    } else if error.is_connect() {
        AiError::trouble("The AI provider cannot be reached.", None)
    } else {
        AiError::trouble("The connection to the AI provider broke off.", None)
    }
}

/// An answer that is not a success. `body` may be cut off.
pub(super) fn from_status(status: StatusCode, headers: &HeaderMap, body: &[u8], model: &str) -> Failure {
    let complaint = Complaint::read(body);
    tracing::debug!(
        status = status.as_u16(),
        code = complaint.code,
        kind = complaint.kind,
        "the AI provider answered with an error"
    );
    if complaint.refuses_format(status) {
        return Failure::FormatRefused;
    }
    Failure::Ai(match status.as_u16() {
        408 | 409 | 425 | 500.. => {
            AiError::trouble("The AI provider is not available at the moment.", retry_after(headers))
        }
        429 if !complaint.is_out_of_quota() => {
            AiError::trouble("The AI provider is overloaded or limits our rate.", retry_after(headers))
        }
        code => AiError::permanent(complaint.cause(code), complaint.sentence(code, model)),
    })
}

/// What a provider's error says, as far as it is safe to keep.
#[derive(Debug, Default)]
struct Complaint {
    code: String,
    kind: String,
    text: String,
}

impl Complaint {
    fn read(body: &[u8]) -> Self {
        let json: Value = serde_json::from_slice(body).unwrap_or_default();
        let error = json.get("error").unwrap_or(&json);
        Self {
            code: identifier(&error["code"]),
            kind: identifier(&error["type"]),
            text: String::from_utf8_lossy(body).to_ascii_lowercase(),
        }
    }

    fn is(&self, name: &str) -> bool {
        self.code == name || self.kind == name
    }

    fn mentions(&self, words: &[&str]) -> bool {
        words.iter().any(|word| self.text.contains(word))
    }

    fn refuses_format(&self, status: StatusCode) -> bool {
        matches!(status.as_u16(), 400 | 422 | 501)
            && self.mentions(&["response_format", "response format", "json_schema", "verbose_json"])
            && !self.is_filtered()
            && !self.is_too_long()
    }

    fn is_filtered(&self) -> bool {
        self.is("content_filter") || self.is("content_policy_violation")
    }

    fn is_out_of_quota(&self) -> bool {
        self.is("insufficient_quota") || self.is("billing_hard_limit_reached")
    }

    fn is_too_long(&self) -> bool {
        self.mentions(&["context_length", "context length", "context_size", "context size"])
    }

    /// Whose fault a refusal is; agrees with [`Self::sentence`].
    fn cause(&self, status: u16) -> Cause {
        match status {
            401 | 403 => Cause::Key,
            402 | 429 => Cause::Quota,
            404 | 300..400 => Cause::Setup,
            413 => Cause::TooLong,
            400 if self.is_filtered() => Cause::Content,
            400 | 422 if self.is_too_long() => Cause::TooLong,
            _ => Cause::Request,
        }
    }

    fn sentence(&self, status: u16, model: &str) -> String {
        match status {
            401 | 403 => {
                "The AI provider refused the API key. Ask your administrator to check it.".to_owned()
            }
            402 | 429 => {
                "The AI provider's quota is used up. Ask your administrator to top it up.".to_owned()
            }
            404 => format!("The AI provider does not know the model \"{model}\", or its address is wrong."),
            413 => "The AI provider refused the request as too large.".to_owned(),
            300..400 => {
                "The AI provider's address has moved. Ask your administrator to correct it.".to_owned()
            }
            400 if self.is_filtered() => FILTERED.to_owned(),
            400 | 422 if self.is_too_long() => {
                format!("The transcript is too long for the model \"{model}\".")
            }
            _ => format!("The AI provider refused the request (status {status})."),
        }
    }
}

/// What a content filter's refusal reads like, wherever it shows up.
pub(super) const FILTERED: &str = "The AI provider's content filter refused this session.";

/// The value when it looks like a name out of a documented list, else nothing: free text may echo a transcript.
fn identifier(value: &Value) -> String {
    let text = value.as_str().unwrap_or_default();
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    if text.len() <= 64 && text.chars().all(is_plain) { text.to_owned() } else { String::new() }
}

/// How long the provider asks to wait: `retry-after-ms`, or `Retry-After` in seconds or as a date. A date is
/// held against the answer's own `Date`, so that the two machines' clocks need not agree.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = |name: &str| headers.get(name)?.to_str().ok();
    let date = |name: &str| DateTime::parse_from_rfc2822(text(name)?).ok();
    let seconds =
        |text: &str, unit: f64| Duration::try_from_secs_f64(text.trim().parse::<f64>().ok()? * unit).ok();
    text("retry-after-ms")
        .and_then(|millis| seconds(millis, 0.001))
        .or_else(|| seconds(text(RETRY_AFTER.as_str())?, 1.0))
        .or_else(|| (date(RETRY_AFTER.as_str())? - date(DATE.as_str())?).to_std().ok())
}

#[cfg(test)]
mod tests {
    use reqwest::header::HeaderValue;
    use serde_json::json;

    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|&(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value))).collect()
    }

    fn failure(status: u16, body: &Value) -> Failure {
        let status = StatusCode::from_u16(status).unwrap();
        from_status(status, &HeaderMap::new(), body.to_string().as_bytes(), "some-model")
    }

    fn is_permanent(status: u16, code: &str) -> bool {
        let body = json!({"error": {"message": "no", "code": code, "type": null}});
        matches!(failure(status, &body), Failure::Ai(AiError::Permanent { .. }))
    }

    #[test]
    fn retry_after_is_read_in_seconds_milliseconds_and_as_a_date() {
        assert_eq!(retry_after(&headers(&[("retry-after", "7")])), Some(Duration::from_secs(7)));
        assert_eq!(retry_after(&headers(&[("retry-after-ms", "250")])), Some(Duration::from_millis(250)));
        let dates =
            [("date", "Wed, 21 Oct 2015 07:28:00 GMT"), ("retry-after", "Wed, 21 Oct 2015 07:28:30 GMT")];
        assert_eq!(retry_after(&headers(&dates)), Some(Duration::from_secs(30)));
    }

    #[test]
    fn nonsense_in_retry_after_is_no_wish() {
        for nonsense in ["-3", "soon", "NaN", "1e400", ""] {
            assert_eq!(retry_after(&headers(&[("retry-after", nonsense)])), None, "{nonsense}");
        }
    }

    #[test]
    fn overload_is_transient_and_refusal_is_permanent() {
        for status in [408, 409, 429, 500, 502, 503, 529] {
            assert!(!is_permanent(status, "rate_limit_exceeded"), "{status}");
        }
        for status in [307, 400, 401, 402, 403, 404, 413, 415] {
            assert!(is_permanent(status, "some_code"), "{status}");
        }
        assert!(is_permanent(429, "insufficient_quota"));
    }

    #[test]
    fn a_refused_response_format_is_told_apart() {
        let body = json!({"error": {"message": "unsupported value", "param": "response_format"}});
        let too_long =
            json!({"error": {"message": "response_format and 9000 tokens exceed the context length"}});
        assert!(matches!(failure(400, &body), Failure::FormatRefused));
        assert!(!matches!(failure(401, &body), Failure::FormatRefused));
        assert!(!matches!(failure(400, &too_long), Failure::FormatRefused));
    }

    #[test]
    fn a_message_never_repeats_the_providers_words() {
        for status in [400, 401, 404, 413, 422, 429, 500] {
            let secret = "I dreamt of my father";
            let body = json!({"error": {"message": secret, "code": secret, "type": secret}});
            assert!(!AiError::from(failure(status, &body)).to_string().contains(secret), "{status}");
        }
    }
}
