//! One HTTP call to a provider: bounded in time and size. Number and repetition are [`Fallback`](crate::ai::fallback)'s.

use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use reqwest::{RequestBuilder, Response};
use secrecy::ExposeSecret;
use serde::de::DeserializeOwned;
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
    max_answer_bytes: usize,
}

impl Client {
    /// A client for `base_url` plus `path`.
    pub(super) fn new(settings: &OpenAiSettings, path: [&str; 2], model: &str) -> anyhow::Result<Self> {
        Ok(Self {
            http: http_client(settings)?,
            url: endpoint(&settings.base_url, path)?,
            model: model.to_owned(),
            max_answer_bytes: settings.max_answer_bytes,
        })
    }

    /// Model this client asks for.
    pub(super) fn model(&self) -> &str {
        &self.model
    }

    /// Posts what `fill` makes of the request, and parses the answer.
    pub(super) async fn post<T: DeserializeOwned>(
        &self,
        fill: impl FnOnce(RequestBuilder) -> RequestBuilder + Send,
    ) -> Result<T, Failure> {
        let request = fill(self.http.post(self.url.clone()));
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
    fn a_key_that_cannot_be_a_header_is_an_error_without_the_key() {
        let settings =
            OpenAiSettings { api_key: Some("sk-secret\n".to_owned().into()), ..OpenAiSettings::default() };
        let error = authorization(&settings).unwrap_err();
        assert!(!format!("{error:?}").contains("secret"));
    }
}
