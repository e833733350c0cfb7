//! One request to a webhook. Nothing of what comes back is kept but its status: what a receiver says is nobody's business here,
//! and must not come back to whoever set the address.

use std::error::Error as StdError;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use reqwest::header::{CONTENT_TYPE, RETRY_AFTER};
use reqwest::redirect::Policy as Redirects;
use reqwest::{Client, Response};
use tokio::time::{Instant, timeout_at};
use url::Url;

use super::resolver::{Guarded, Lookup, Unresolved};
use super::target::{Policy, Refusal};
use crate::error::Result;

/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(5);
/// So much of an answer is read, so that the connection ends in order.
const MOST_READ: usize = 64 << 10;
/// And for so long: whoever has said that it arrived need not be waited for.
const LONGEST_READ: Duration = Duration::from_secs(1);
const USER_AGENT: &str = concat!("TherapyBridge/", env!("CARGO_PKG_VERSION"), " (webhooks)");

/// Sends requests, and only to where they may go.
#[derive(Clone)]
pub struct Sender {
    policy: Policy,
    lookup: Arc<dyn Lookup>,
    timeout: Duration,
    clients: Arc<Clients>,
}

/// Made when they are first needed: a process that delivers nothing needs none.
#[derive(Default)]
struct Clients {
    https: OnceLock<Client>,
    http: OnceLock<Client>,
}

/// What is sent.
#[derive(Clone, Debug)]
pub(super) struct Message<'a> {
    pub(super) url: &'a str,
    pub(super) id: String,
    pub(super) timestamp: i64,
    pub(super) signatures: String,
    pub(super) body: String,
}

/// What comes of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// The webhook has answered, and may have said when to come back.
    Status(u16, Option<String>),
    /// It has not.
    None(Trouble),
}

/// Why there was no answer; in our own words, never in the receiver's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Trouble {
    #[error("The name in the address cannot be resolved.")]
    Unresolved,
    #[error("The address does not lead to the public internet any more.")]
    Forbidden,
    #[error("No connection could be made.")]
    Unreachable,
    #[error("No secure connection could be made: is its certificate valid, and signed by a known authority?")]
    Insecure,
    #[error("It did not answer in time.")]
    Slow,
    #[error("The connection ended without an answer.")]
    Broken,
}

impl Sender {
    /// Sends to where this policy allows.
    #[must_use]
    pub fn new(policy: Policy, lookup: Arc<dyn Lookup>, timeout: Duration) -> Self {
        Self { policy, lookup, timeout, clients: Arc::default() }
    }

    /// Reads an address that somebody wants to set, and looks where it leads.
    ///
    /// # Errors
    /// When it may not be one of a webhook's.
    pub(super) async fn admit(&self, address: &str) -> Result<Url, Refusal> {
        let url = self.policy.read(address)?;
        self.guarded(url.scheme() == "http").check(&url).await?;
        Ok(url)
    }

    /// Sends a message.
    ///
    /// # Errors
    /// When no client can be made.
    pub(super) async fn send(&self, message: Message<'_>) -> Result<Answer> {
        let Some(url) = Url::parse(message.url).ok().filter(|url| self.policy.check(url).is_ok()) else {
            return Ok(Answer::None(Trouble::Forbidden));
        };
        let until = Instant::now() + self.timeout;
        let request = self
            .client(url.scheme() == "http")?
            .post(url)
            .header(CONTENT_TYPE, "application/json")
            .header(standardwebhooks::HEADER_WEBHOOK_ID, message.id)
            .header(standardwebhooks::HEADER_WEBHOOK_TIMESTAMP, message.timestamp)
            .header(standardwebhooks::HEADER_WEBHOOK_SIGNATURE, message.signatures)
            .body(message.body);
        Ok(match timeout_at(until, request.send()).await {
            Err(_) => Answer::None(Trouble::Slow),
            Ok(Err(error)) => Answer::None(trouble(&error)),
            Ok(Ok(response)) => answer(response, until).await,
        })
    }

    fn client(&self, is_http: bool) -> Result<Client> {
        let place = if is_http { &self.clients.http } else { &self.clients.https };
        if let Some(client) = place.get() {
            return Ok(client.clone());
        }
        let client = Client::builder()
            .user_agent(USER_AGENT)
            .redirect(Redirects::none())
            .referer(false)
            // A proxy would resolve names itself.
            .no_proxy()
            .dns_resolver(self.guarded(is_http))
            .connect_timeout(CONNECT.min(self.timeout))
            .timeout(self.timeout)
            // Each attempt looks anew where its name leads.
            .pool_max_idle_per_host(0)
            .https_only(!is_http)
            .build()
            .map_err(anyhow::Error::new)?;
        Ok(place.get_or_init(|| client).clone())
    }

    fn guarded(&self, is_http: bool) -> Guarded {
        Guarded { lookup: self.lookup.clone(), policy: self.policy, is_http }
    }
}

/// The status is the answer: what follows it is read a little, so that the receiver can end in order, and dropped.
async fn answer(mut response: Response, until: Instant) -> Answer {
    let status = response.status().as_u16();
    let retry_after = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
    let retry_after = retry_after.map(ToOwned::to_owned);
    let drain = async {
        let mut read = 0;
        while let Ok(Some(bytes)) = response.chunk().await {
            read += bytes.len();
            if read >= MOST_READ {
                return;
            }
        }
    };
    let _ = timeout_at(until.min(Instant::now() + LONGEST_READ), drain).await;
    Answer::Status(status, retry_after)
}

fn trouble(error: &reqwest::Error) -> Trouble {
    if let Some(unresolved) = causes(error).find_map(|cause| cause.downcast_ref::<Unresolved>()) {
        return match unresolved {
            Unresolved::Unknown => Trouble::Unresolved,
            Unresolved::Forbidden => Trouble::Forbidden,
        };
    }
    if error.is_timeout() {
        return Trouble::Slow;
    }
    if !error.is_connect() {
        return Trouble::Broken;
    }
    // What the network refuses has a number of the system's; what the library of TLS does not like has none.
    let is_refused = causes(error)
        .filter_map(|cause| cause.downcast_ref::<std::io::Error>())
        .any(|cause| cause.raw_os_error().is_some());
    if is_refused { Trouble::Unreachable } else { Trouble::Insecure }
}

fn causes(error: &reqwest::Error) -> impl Iterator<Item = &(dyn StdError + 'static)> {
    let mut next = error.source();
    std::iter::from_fn(move || {
        let cause = next?;
        next = cause.source();
        Some(cause)
    })
}

#[cfg(test)]
mod tests;
