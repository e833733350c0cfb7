//! Who recognises speech and writes notes, in order of preference, and what that may cost.

use std::collections::BTreeSet;
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::{Path, PathBuf};
use std::time::Duration;

use secrecy::SecretString;
use url::Url;

use super::{ConfigError, Vars};

/// The provider inside the process.
const LOCAL: &str = "local";
/// The provider that has defaults.
const OPENAI: &str = "openai";
/// The value that leaves a job to the others.
const NONE: &str = "none";

/// Speech recognition and note extraction.
#[derive(Clone, Debug)]
pub struct AiConfig {
    /// `AI_PROVIDERS`, comma separated, in order of preference. If not set: `openai` where `OPENAI_API_KEY` or
    /// `OPENAI_BASE_URL` is, else `local`.
    pub providers: Vec<ProviderConfig>,
    /// `WHISPER_MODEL`: name of the local model.
    pub whisper_model: String,
    /// `WHISPER_THREADS` a transcription.
    pub whisper_threads: NonZeroUsize,
    /// `MODELS_DIR`: where local models lie.
    pub models_dir: PathBuf,
    /// `MONTHLY_BUDGET_USD` of each therapist; `None` is no limit.
    pub monthly_budget_usd: Option<f64>,
}

/// Somebody on the list.
#[derive(Clone, Debug)]
pub enum ProviderConfig {
    /// `local`: inside the process.
    Local {
        /// Recognises speech, unless `LOCAL_TRANSCRIBE_MODEL` is `none`.
        speech: bool,
        /// Writes notes, unless `LOCAL_NOTES_MODEL` is `none`.
        notes: bool,
    },
    /// Any other name.
    OpenAi(Box<OpenAiConfig>),
}

/// A server that speaks OpenAI's API. Its variables begin with its name in capitals, `BACKUP_BASE_URL`.
#[derive(Clone, Debug)]
pub struct OpenAiConfig {
    /// The name, as listed.
    pub name: String,
    /// `…_API_KEY`; local servers often need none.
    pub api_key: Option<SecretString>,
    /// `…_BASE_URL`.
    pub base_url: Url,
    /// `…_TRANSCRIBE_MODEL`; `None` if it is `none`.
    pub transcribe_model: Option<String>,
    /// `…_NOTES_MODEL`; `None` if it is `none`.
    pub notes_model: Option<String>,
    /// `…_TIMEOUT_SECONDS` for one call as a whole.
    pub timeout: Duration,
    /// `…_CONNECT_TIMEOUT_SECONDS`.
    pub connect_timeout: Duration,
    /// `…_IDLE_TIMEOUT_SECONDS`: for silence within a call.
    pub idle_timeout: Duration,
    /// `…_MAX_RETRIES` within one attempt of a job.
    pub max_retries: u32,
    /// `…_CONCURRENCY`: calls at a time, of each kind.
    pub concurrency: NonZeroUsize,
    /// `…_MAX_REQUEST_MB`: recordings are cut into pieces that fit.
    pub max_request_bytes: u64,
    /// `…_NOTES_CONTEXT_TOKENS` that its model for notes holds.
    pub notes_context_tokens: usize,
    /// What it charges.
    pub prices: PricesConfig,
}

/// Prices in dollars.
#[derive(Clone, Copy, Debug)]
pub struct PricesConfig {
    /// `…_PRICE_PER_AUDIO_MINUTE`.
    pub audio_minute: f64,
    /// `…_PRICE_PER_MILLION_PROMPT_TOKENS`.
    pub million_prompt_tokens: f64,
    /// `…_PRICE_PER_MILLION_COMPLETION_TOKENS`.
    pub million_completion_tokens: f64,
}

impl AiConfig {
    pub(super) fn from_vars(vars: &Vars, data_dir: &Path) -> Result<Self, ConfigError> {
        refuse_old_prices(vars)?;
        let monthly_budget_usd = vars.get("MONTHLY_BUDGET_USD").map(|_| budget(vars)).transpose()?;
        // Its threads wait in busy loops: on a machine that does anything else, one processor is left to the others.
        let threads = std::thread::available_parallelism()
            .map_or(1, |all| all.get().saturating_sub(1).max(1))
            .to_string();
        Ok(Self {
            providers: providers(vars, monthly_budget_usd.is_some())?,
            whisper_model: vars.text("WHISPER_MODEL", "tiny.en"),
            whisper_threads: vars.parse("WHISPER_THREADS", &threads, "a whole number of at least 1")?,
            models_dir: vars.get("MODELS_DIR").map_or_else(|| data_dir.join("models"), PathBuf::from),
            monthly_budget_usd,
        })
    }

    /// Whether nothing leaves this machine.
    #[must_use]
    pub fn is_local(&self) -> bool {
        self.providers.iter().all(|provider| matches!(provider, ProviderConfig::Local { .. }))
    }

    /// Whether the local speech model may be needed.
    #[must_use]
    pub fn needs_whisper(&self) -> bool {
        self.providers.iter().any(|provider| matches!(provider, ProviderConfig::Local { speech: true, .. }))
    }
}

impl ProviderConfig {
    fn recognises_speech(&self) -> bool {
        match self {
            Self::Local { speech, .. } => *speech,
            Self::OpenAi(openai) => openai.transcribe_model.is_some(),
        }
    }

    fn writes_notes(&self) -> bool {
        match self {
            Self::Local { notes, .. } => *notes,
            Self::OpenAi(openai) => openai.notes_model.is_some(),
        }
    }
}

fn budget(vars: &Vars) -> Result<f64, ConfigError> {
    let budget = amount(vars, "MONTHLY_BUDGET_USD", "")?;
    if budget > 0.0 { Ok(budget) } else { Err(problem("MONTHLY_BUDGET_USD", "expected an amount above 0")) }
}

fn providers(vars: &Vars, has_budget: bool) -> Result<Vec<ProviderConfig>, ConfigError> {
    const LIST: &str = "AI_PROVIDERS";
    let is_set = |variable| vars.get(variable).is_some();
    let default = if is_set("OPENAI_API_KEY") || is_set("OPENAI_BASE_URL") { OPENAI } else { LOCAL };
    let list = vars.text(LIST, default);
    let names: Vec<_> = list.split(',').map(str::trim).filter(|name| !name.is_empty()).collect();
    if let Some(odd) = names.iter().find(|name| !is_name(name)) {
        let text = format!("expected names of small letters, digits and -, comma separated; found {odd:?}");
        return Err(problem(LIST, text));
    }
    if names.iter().collect::<BTreeSet<_>>().len() < names.len() {
        return Err(problem(LIST, "a provider can stand in the list only once"));
    }
    let providers: Vec<_> =
        names.iter().map(|name| Named { vars, name }.read(has_budget)).collect::<Result<_, _>>()?;
    if !providers.iter().any(ProviderConfig::recognises_speech) {
        return Err(problem(LIST, "nobody in the list recognises speech"));
    }
    if !providers.iter().any(ProviderConfig::writes_notes) {
        return Err(problem(LIST, "nobody in the list writes notes"));
    }
    Ok(providers)
}

fn is_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
}

/// The variables of one provider.
struct Named<'a> {
    vars: &'a Vars,
    name: &'a str,
}

impl Named<'_> {
    fn read(&self, has_budget: bool) -> Result<ProviderConfig, ConfigError> {
        if self.name == LOCAL {
            let (speech, notes) = (self.is_local_on("TRANSCRIBE_MODEL")?, self.is_local_on("NOTES_MODEL")?);
            return Ok(ProviderConfig::Local { speech, notes });
        }
        let whole = "a whole number of at least 1";
        Ok(ProviderConfig::OpenAi(Box::new(OpenAiConfig {
            name: self.name.to_owned(),
            api_key: self.vars.secret(&self.variable("API_KEY")),
            base_url: self.base_url()?,
            transcribe_model: self.model("TRANSCRIBE_MODEL", "whisper-1")?,
            notes_model: self.model("NOTES_MODEL", "gpt-4o")?,
            timeout: self.seconds("TIMEOUT_SECONDS", "300")?,
            connect_timeout: self.seconds("CONNECT_TIMEOUT_SECONDS", "10")?,
            idle_timeout: self.seconds("IDLE_TIMEOUT_SECONDS", "300")?,
            max_retries: self.vars.parse(&self.variable("MAX_RETRIES"), "3", "a whole number")?,
            concurrency: self.vars.parse(&self.variable("CONCURRENCY"), "4", whole)?,
            max_request_bytes: self.megabytes("MAX_REQUEST_MB", "25")?,
            notes_context_tokens: self.context_tokens()?,
            prices: self.prices(has_budget)?,
        })))
    }

    fn variable(&self, what: &str) -> String {
        format!("{}_{what}", self.name.to_ascii_uppercase().replace('-', "_"))
    }

    fn is_local_on(&self, what: &str) -> Result<bool, ConfigError> {
        let variable = self.variable(what);
        match self.vars.get(&variable) {
            None => Ok(true),
            Some(NONE) => Ok(false),
            Some(_) => Err(problem(&variable, "expected none, or nothing; the local model is WHISPER_MODEL")),
        }
    }

    fn base_url(&self) -> Result<Url, ConfigError> {
        let variable = self.variable("BASE_URL");
        let keyed = self.vars.get(&self.variable("API_KEY")).is_some();
        let default = (self.name == OPENAI && keyed).then_some("https://api.openai.com/v1");
        let Some(url) = self.vars.get(&variable).or(default) else {
            let text = format!("has to be set for the provider {:?} of AI_PROVIDERS", self.name);
            let missing = if self.name == OPENAI { self.variable("API_KEY") } else { variable };
            return Err(problem(&missing, text));
        };
        let url = Url::parse(url).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
        url.ok_or_else(|| problem(&variable, "expected a URL such as https://api.openai.com/v1"))
    }

    /// `openai` has a default; of others nobody knows.
    fn model(&self, what: &str, default: &str) -> Result<Option<String>, ConfigError> {
        let variable = self.variable(what);
        match self.vars.get(&variable) {
            Some(NONE) => Ok(None),
            Some(model) => Ok(Some(model.to_owned())),
            None if self.name == OPENAI => Ok(Some(default.to_owned())),
            None => {
                Err(problem(&variable, "has to be set: a model, or none to leave this job to the others"))
            }
        }
    }

    fn seconds(&self, what: &str, default: &str) -> Result<Duration, ConfigError> {
        self.vars.seconds(&self.variable(what), default)
    }

    fn megabytes(&self, what: &str, default: &str) -> Result<u64, ConfigError> {
        let wanted = "a whole number of at least 1";
        let megabytes: NonZeroU32 = self.vars.parse(&self.variable(what), default, wanted)?;
        Ok(u64::from(megabytes.get()) * 1_000_000)
    }

    fn context_tokens(&self) -> Result<usize, ConfigError> {
        const LEAST: usize = 4096;
        let variable = self.variable("NOTES_CONTEXT_TOKENS");
        let tokens = self.vars.parse(&variable, "128000", "a whole number of at least 4096")?;
        if tokens < LEAST {
            return Err(problem(&variable, "expected at least 4096: notes of less make no sense"));
        }
        Ok(tokens)
    }

    fn prices(&self, has_budget: bool) -> Result<PricesConfig, ConfigError> {
        Ok(PricesConfig {
            audio_minute: self.price("PRICE_PER_AUDIO_MINUTE", "0.006", has_budget)?,
            million_prompt_tokens: self.price("PRICE_PER_MILLION_PROMPT_TOKENS", "2.50", has_budget)?,
            million_completion_tokens: self.price(
                "PRICE_PER_MILLION_COMPLETION_TOKENS",
                "10.00",
                has_budget,
            )?,
        })
    }

    /// `openai` has OpenAI's prices of its default models, others cost nothing; but a budget wants to be told.
    fn price(&self, what: &str, default: &str, has_budget: bool) -> Result<f64, ConfigError> {
        let variable = self.variable(what);
        let is_openai = self.name == OPENAI;
        if has_budget && !is_openai && self.vars.get(&variable).is_none() {
            let text = "has to be set where MONTHLY_BUDGET_USD is; 0 for what costs nothing";
            return Err(problem(&variable, text));
        }
        amount(self.vars, &variable, if is_openai { default } else { "0" })
    }
}

/// Prices that nobody reads would be worse than none.
fn refuse_old_prices(vars: &Vars) -> Result<(), ConfigError> {
    let old =
        ["PRICE_PER_AUDIO_MINUTE", "PRICE_PER_MILLION_PROMPT_TOKENS", "PRICE_PER_MILLION_COMPLETION_TOKENS"];
    match old.into_iter().find(|old| vars.get(old).is_some()) {
        Some(old) => {
            Err(problem(old, format!("is called OPENAI_{old} now: every provider has prices of its own")))
        }
        None => Ok(()),
    }
}

fn amount(vars: &Vars, variable: &str, default: &str) -> Result<f64, ConfigError> {
    let amount: f64 = vars.parse(variable, default, "an amount in dollars, such as 0.006")?;
    if amount.is_finite() && amount >= 0.0 {
        return Ok(amount);
    }
    Err(problem(variable, "expected an amount of at least 0"))
}

fn problem(variable: &str, problem: impl Into<String>) -> ConfigError {
    ConfigError { variable: variable.to_owned(), problem: problem.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ai(vars: &[(&str, &str)]) -> Result<AiConfig, ConfigError> {
        let vars = vars.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        AiConfig::from_vars(&Vars(vars), Path::new("data"))
    }

    fn names(config: &AiConfig) -> Vec<&str> {
        config
            .providers
            .iter()
            .map(|provider| match provider {
                ProviderConfig::Local { .. } => LOCAL,
                ProviderConfig::OpenAi(openai) => openai.name.as_str(),
            })
            .collect()
    }

    const BACKUP: [(&str, &str); 3] = [
        ("BACK_UP_BASE_URL", "http://127.0.0.1:8089/v1"),
        ("BACK_UP_TRANSCRIBE_MODEL", "whisper"),
        ("BACK_UP_NOTES_MODEL", "none"),
    ];

    #[test]
    fn a_key_or_a_base_url_alone_switches_to_that_provider() {
        assert_eq!(names(&ai(&[]).expect("good")), ["local"]);
        assert_eq!(names(&ai(&[("OPENAI_API_KEY", "sk")]).expect("good")), ["openai"]);
        let config = ai(&[("OPENAI_BASE_URL", "http://127.0.0.1:8089/v1")]).expect("good");
        assert_eq!(names(&config), ["openai"]);
        assert!(!config.is_local() && !config.needs_whisper());
    }

    #[test]
    fn a_list_is_kept_in_order_and_each_name_reads_variables_of_its_own() {
        let vars =
            [&BACKUP[..], &[("AI_PROVIDERS", "back-up, openai,local"), ("OPENAI_API_KEY", "sk")]].concat();
        let config = ai(&vars).expect("good");
        assert_eq!(names(&config), ["back-up", "openai", "local"]);
        let ProviderConfig::OpenAi(backup) = &config.providers[0] else { panic!("a server") };
        assert_eq!(
            (backup.transcribe_model.as_deref(), backup.notes_model.as_deref()),
            (Some("whisper"), None)
        );
        assert!(backup.prices.audio_minute.abs() < f64::EPSILON, "nobody said that it costs anything");
        assert!(config.needs_whisper());
    }

    #[test]
    fn what_cannot_be_used_is_refused_by_the_name_of_its_variable() {
        let list = |list: &'static str| ("AI_PROVIDERS", list);
        for (vars, variable) in [
            (vec![list("OpenAI")], "AI_PROVIDERS"),
            (vec![list("local,local")], "AI_PROVIDERS"),
            (vec![list("a b")], "AI_PROVIDERS"),
            (vec![list(",")], "AI_PROVIDERS"),
            (vec![list("openai")], "OPENAI_API_KEY"),
            (vec![list("backup")], "BACKUP_BASE_URL"),
            (vec![list("backup"), ("BACKUP_BASE_URL", "http://h")], "BACKUP_TRANSCRIBE_MODEL"),
            (vec![("LOCAL_TRANSCRIBE_MODEL", "none")], "AI_PROVIDERS"),
            (vec![("LOCAL_NOTES_MODEL", "none")], "AI_PROVIDERS"),
            (vec![("LOCAL_NOTES_MODEL", "gpt")], "LOCAL_NOTES_MODEL"),
            (vec![("OPENAI_BASE_URL", "not a url")], "OPENAI_BASE_URL"),
            (vec![("OPENAI_BASE_URL", "localhost:8089/v1")], "OPENAI_BASE_URL"),
            (
                vec![("OPENAI_API_KEY", "sk"), ("OPENAI_PRICE_PER_AUDIO_MINUTE", "-1")],
                "OPENAI_PRICE_PER_AUDIO_MINUTE",
            ),
            (
                vec![("OPENAI_API_KEY", "sk"), ("OPENAI_NOTES_CONTEXT_TOKENS", "9")],
                "OPENAI_NOTES_CONTEXT_TOKENS",
            ),
            (vec![("OPENAI_API_KEY", "sk"), ("OPENAI_MAX_REQUEST_MB", "0")], "OPENAI_MAX_REQUEST_MB"),
            (vec![("PRICE_PER_AUDIO_MINUTE", "0.006")], "PRICE_PER_AUDIO_MINUTE"),
            (vec![("MONTHLY_BUDGET_USD", "0")], "MONTHLY_BUDGET_USD"),
            (vec![("MONTHLY_BUDGET_USD", "inf")], "MONTHLY_BUDGET_USD"),
        ] {
            let error = ai(&vars).expect_err(variable).to_string();
            assert!(error.starts_with(&format!("{variable}: ")), "{error}");
        }
    }

    #[test]
    fn a_budget_wants_the_prices_of_everybody_but_openai() {
        let vars = [&BACKUP[..], &[("AI_PROVIDERS", "back-up,local"), ("MONTHLY_BUDGET_USD", "20")]].concat();
        let error = ai(&vars).expect_err("no prices").to_string();
        assert!(error.starts_with("BACK_UP_PRICE_PER_AUDIO_MINUTE: "), "{error}");
        assert!(ai(&[("OPENAI_API_KEY", "sk"), ("MONTHLY_BUDGET_USD", "20")]).is_ok());
    }
}
