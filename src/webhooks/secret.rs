//! What signs: 32 random bytes, shown once as `whsec_…`, and sealed at rest, because they must be read again.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, TimeDelta, Utc};
use standardwebhooks::Webhook as Signer;
use uuid::Uuid;

use crate::auth::seal::Seal;
use crate::entity::webhook::Model;
use crate::error::Result;
use crate::random;

/// How long the secret of before signs beside a new one.
pub const OVERLAP: TimeDelta = TimeDelta::hours(24);
/// What secrets begin with, by Standard Webhooks.
const PREFIX: &str = "whsec_";
const BYTES: usize = 32;

/// A new secret.
pub(super) struct Secret([u8; BYTES]);

impl Secret {
    pub(super) fn new() -> Self {
        Self(random::bytes())
    }

    /// As it is shown, once.
    pub(super) fn shown(&self) -> String {
        format!("{PREFIX}{}", STANDARD.encode(self.0))
    }

    pub(super) fn sealed(&self, seal: &Seal, webhook_id: Uuid) -> Result<Vec<u8>> {
        seal.seal(webhook_id, &self.0)
    }
}

/// The header `webhook-signature`: a signature by each secret that is good at that time.
pub(super) fn signatures(
    seal: &Seal,
    webhook: &Model,
    (message_id, at, body): (&str, DateTime<Utc>, &str),
) -> Result<String> {
    let previous = webhook.previous_secret.as_ref().zip(webhook.previous_secret_expires_at);
    let previous = previous.filter(|(_, until)| at < *until).map(|(secret, _)| secret);
    let signatures = std::iter::once(&webhook.secret).chain(previous).map(|sealed| {
        let secret = seal.open(webhook.id, sealed).ok_or_else(|| {
            anyhow::anyhow!("the secret of webhook {} cannot be opened: was JWT_SECRET replaced?", webhook.id)
        })?;
        let signer = Signer::from_bytes(secret).map_err(anyhow::Error::new)?;
        Ok(signer.sign(message_id, at.timestamp(), body.as_bytes()).map_err(anyhow::Error::new)?)
    });
    Ok(signatures.collect::<Result<Vec<_>>>()?.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_shown_as_standard_webhooks_spells_it_and_no_two_are_alike() {
        let (one, other) = (Secret::new(), Secret::new());
        let bytes = STANDARD.decode(one.shown().strip_prefix("whsec_").unwrap()).unwrap();
        assert_eq!(bytes, one.0);
        assert_ne!(one.0, other.0);
    }
}
