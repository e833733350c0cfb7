//! One HTTP call to a provider: bounded in time, size, number and repetition.

use std::time::Duration;

use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use reqwest::{RequestBuilder, Response};
use secrecy::ExposeSecret;
use serde::de::DeserializeOwned;
use tokio::sync::Semaphore;
use url::{Host, Url};

use super::OpenAiSettings;
use super::failure::{Failure, from_status, from_transport, unreadable};
use crate::ai::{AiError, Cause};

/// More of an error's body is not needed to tell what it is.
const MAX_ERROR_BYTES: usize = 64 << 10;

/// Sends requests to one endpoint for one model.
pub(super) struct Client {
    http: reqwest::Client,
    url: Url,
    model: String,
    slots: Semaphore,
    retries: Retries,
    max_answer_bytes: usize,
}

impl Client {
    /// A client for `base_url` plus `path`.
    pub(super) fn new(settings: &OpenAiSettings, path: [&str; 2], model: &str) -> anyhow::Result<Self> {
        Ok(Self {
            http: http_client(settings)?,
            url: endpoint(&settings.base_url, path)?,
            model: model.to_owned(),
            slots: Semaphore::new(settings.concurrency.max(1)),
            retries: Retries::new(settings),
            max_answer_bytes: settings.max_answer_bytes,
        })
    }

    /// Model this client asks for.
    pub(super) fn model(&self) -> &str {
        &self.model
    }

    /// Posts what `fill` makes of the request, again after transient failures, and parses the answer.
    pub(super) async fn post<T: DeserializeOwned>(
        &self,
        fill: impl Fn(RequestBuilder) -> RequestBuilder + Send + Sync,
    ) -> Result<T, Failure> {
        let mut tries = 0;
        loop {
            let failure = match self.post_once(fill(self.http.post(self.url.clone()))).await {
                Ok(answer) => return Ok(answer),
                Err(failure) => failure,
            };
            let Some(wait) = self.retries.wait_after(&failure, tries) else {
                return Err(failure);
            };
            tokio::time::sleep(wait).await;
            tries += 1;
        }
    }

    async fn post_once<T: DeserializeOwned>(&self, request: RequestBuilder) -> Result<T, Failure> {
        let _slot = self.slots.acquire().await.map_err(|_| Failure::Ai(AiError::Cancelled))?;
        let response = request.send().await.map_err(|error| Failure::Ai(from_transport(&error)))?;
        let status = response.status();
        if !status.is_success() {
            let headers = response.headers().clone();
            let body = read_capped(response, MAX_ERROR_BYTES).await.unwrap_or_default();
            return Err(from_status(status, &headers, &body, &self.model));
        }
        let body = read_capped(response, self.max_answer_bytes).await.map_err(Failure::Ai)?;
        serde_json::from_slice(&body).map_err(|_| Failure::Ai(unreadable()))
    }
}

/// Reads the body, and hangs up as soon as it is larger than `limit`.
async fn read_capped(mut response: Response, limit: usize) -> Result<Vec<u8>, AiError> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| from_transport(&error))? {
        if body.len() + chunk.len() > limit {
            let message = "The AI provider's answer is larger than any transcript or note can be.";
            return Err(AiError::permanent(Cause::Setup, message));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// When to try again.
struct Retries {
    max: u32,
    first: Duration,
    longest: Duration,
}

impl Retries {
    fn new(settings: &OpenAiSettings) -> Self {
        Self { max: settings.max_retries, first: settings.first_backoff, longest: settings.longest_backoff }
    }

    /// How long to wait after this failure; `None` when to give up.
    fn wait_after(&self, failure: &Failure, tries: u32) -> Option<Duration> {
        let Failure::Ai(AiError::Transient { retry_after, .. }) = failure else {
            return None;
        };
        let wish = retry_after.unwrap_or_default();
        (tries < self.max && wish <= self.longest).then(|| self.backoff(tries).max(wish))
    }

    fn backoff(&self, tries: u32) -> Duration {
        let doubled = self.first.saturating_mul(2_u32.saturating_pow(tries));
        // At random, so that pieces refused together do not come back together.
        doubled.min(self.longest).mul_f64(rand::random_range(0.5..1.5)).min(self.longest)
    }
}

fn http_client(settings: &OpenAiSettings) -> anyhow::Result<reqwest::Client> {
    let builder = reqwest::Client::builder()
        .user_agent(concat!("therapybridge/", env!("CARGO_PKG_VERSION")))
        .default_headers(authorization(settings)?)
        .connect_timeout(settings.connect_timeout)
        .read_timeout(settings.read_timeout)
        .timeout(settings.request_timeout)
        // What was said goes to the address that was configured and to no other.
        .redirect(reqwest::redirect::Policy::none());
    // What runs on this machine is not behind a proxy.
    let builder = if is_loopback(&settings.base_url) { builder.no_proxy() } else { builder };
    Ok(builder.build()?)
}

fn authorization(settings: &OpenAiSettings) -> anyhow::Result<HeaderMap> {
    let mut headers = HeaderMap::new();
    if let Some(key) = &settings.api_key {
        let mut bearer = HeaderValue::try_from(format!("Bearer {}", key.expose_secret()))
            .map_err(|_| anyhow::anyhow!("the API key holds characters that cannot be sent"))?;
        bearer.set_sensitive(true);
        headers.insert(AUTHORIZATION, bearer);
    }
    Ok(headers)
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

fn endpoint(base: &Url, path: [&str; 2]) -> anyhow::Result<Url> {
    let mut url = base.clone();
    url.path_segments_mut()
        .map_err(|()| anyhow::anyhow!("the provider's base URL must start with http:// or https://"))?
        .pop_if_empty()
        .extend(path);
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn retries() -> Retries {
        Retries { max: 2, first: Duration::from_secs(1), longest: Duration::from_secs(10) }
    }

    fn failure(retry_after: Option<u64>) -> Failure {
        Failure::Ai(AiError::trouble("busy", retry_after.map(Duration::from_secs)))
    }

    #[test]
    fn endpoints_keep_the_query_and_ignore_a_trailing_slash() {
        for (base, expected) in [
            ("http://h/v1", "http://h/v1/chat/completions"),
            ("http://h/v1/", "http://h/v1/chat/completions"),
            ("http://h/d?api-version=1", "http://h/d/chat/completions?api-version=1"),
        ] {
            let url = endpoint(&Url::parse(base).unwrap(), ["chat", "completions"]).unwrap();
            assert_eq!(url.as_str(), expected);
        }
    }

    #[test]
    fn backoff_grows_and_stays_under_the_longest_wait() {
        for tries in 0..40 {
            let wait = retries().backoff(tries);
            assert!(wait >= Duration::from_millis(500) && wait <= Duration::from_secs(10), "{wait:?}");
        }
    }

    #[test]
    fn a_short_wish_is_waited_for_and_a_long_one_is_handed_on() {
        assert!(retries().wait_after(&failure(Some(9)), 0) >= Some(Duration::from_secs(9)));
        assert_eq!(retries().wait_after(&failure(Some(11)), 0), None);
    }

    #[test]
    fn tries_come_to_an_end() {
        assert!(retries().wait_after(&failure(None), 1).is_some());
        assert_eq!(retries().wait_after(&failure(None), 2), None);
        assert_eq!(retries().wait_after(&Failure::Ai(AiError::permanent(Cause::Request, "no")), 0), None);
    }

    #[test]
    fn a_key_that_cannot_be_a_header_is_an_error_without_the_key() {
        let settings =
            OpenAiSettings { api_key: Some("sk-secret\n".to_owned().into()), ..OpenAiSettings::default() };
        let error = authorization(&settings).unwrap_err();
        assert!(!format!("{error:?}").contains("secret"));
    }
}
