//! Speech recognition and notes from any server that speaks OpenAI's HTTP interface: OpenAI itself, gateways in
//! front of it, vLLM, Ollama, llama.cpp, speaches.
//!
//! Requests are built with `async-openai`'s types but sent with plain `reqwest`. The crate's own client reads
//! answers of any size into memory and writes answers it cannot parse, and the text of server errors, to the log:
//! here both may hold a patient's words. It also waits as long as `Retry-After` says, however long that is.

mod client;
mod extractor;
mod failure;
mod notes_answer;
mod schema;
mod speech_answer;
mod transcriber;
mod wav;

use std::time::Duration;

use secrecy::SecretString;
use url::Url;

use super::Prices;
use super::fallback::Patience;
pub use extractor::OpenAiExtractor;
pub use transcriber::OpenAiTranscriber;

/// How to reach and use one OpenAI-compatible provider.
#[derive(Clone, Debug)]
pub struct OpenAiSettings {
    /// Name stored with every run, `openai`.
    pub name: String,
    /// Where the interface starts, `https://api.openai.com/v1`; a query (`?api-version=…`) is kept.
    pub base_url: Url,
    /// Sent as a bearer token; `None` sends no `Authorization` header, as local servers want it.
    pub api_key: Option<SecretString>,
    /// Model for speech, `whisper-1`.
    pub transcribe_model: String,
    /// Model for notes, `gpt-4o`.
    pub notes_model: String,
    /// Sampling temperature for notes, 0 to 2; `None` leaves it to the model (some accept no other value).
    pub temperature: Option<f32>,
    /// Limit for establishing a connection.
    pub connect_timeout: Duration,
    /// Limit for silence, before the first byte of an answer and between any two. A server without a GPU is
    /// silent for minutes while it works.
    pub read_timeout: Duration,
    /// Limit for one call as a whole; a retry starts anew.
    pub request_timeout: Duration,
    /// How a call is tried again. Calls at a time and tries are held to by [`Member`](super::fallback::Member).
    pub patience: Patience,
    /// Calls under way at the same time, of each kind (speech, notes).
    pub concurrency: usize,
    /// Largest answer accepted, in bytes.
    pub max_answer_bytes: usize,
    /// Largest request the provider accepts, in bytes; OpenAI says 25 MB.
    pub max_request_bytes: u64,
    /// Tokens of prompt and answer together that the notes model can hold.
    pub notes_context_tokens: usize,
    /// What it charges.
    pub prices: Prices,
}

impl Default for OpenAiSettings {
    /// OpenAI itself, without a key.
    fn default() -> Self {
        Self {
            name: "openai".to_owned(),
            base_url: Url::parse("https://api.openai.com/v1").expect("a well-formed URL"),
            api_key: None,
            transcribe_model: "whisper-1".to_owned(),
            notes_model: "gpt-4o".to_owned(),
            temperature: None,
            connect_timeout: Duration::from_secs(10),
            read_timeout: Duration::from_mins(5),
            request_timeout: Duration::from_mins(10),
            patience: Patience {
                max_retries: 3,
                first_backoff: Duration::from_millis(500),
                longest_backoff: Duration::from_secs(30),
            },
            concurrency: 4,
            max_answer_bytes: 8 << 20,
            max_request_bytes: 25_000_000,
            notes_context_tokens: 128_000,
            prices: Prices {
                audio_minute: 0.006,
                million_prompt_tokens: 2.5,
                million_completion_tokens: 10.0,
            },
        }
    }
}
