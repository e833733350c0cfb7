//! Tickets: what a signed address carries instead of an access token, so that a browser can fetch a file by a plain link.
//!
//! A ticket opens one path, for one user in one log-in, for some minutes. It says so itself and is signed; nothing is
//! stored. Whoever presents it is checked as the bearer of an access token is: the account is active, the log-in not ended.

use chrono::{DateTime, TimeDelta, Utc};
use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;
use uuid::Uuid;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;

/// Keeps this key apart from whatever else the server's secret is used for.
const LABEL: &[u8] = b"therapybridge: tickets for files, v1";
/// Life of a ticket.
pub const TTL: TimeDelta = TimeDelta::minutes(15);
/// Bytes of a signature, which stands behind what it signs.
const SIGNATURE: usize = 32;

/// Signs tickets, and reads them.
#[derive(Clone)]
pub struct Tickets {
    /// The one that signs, then those that only verify.
    keys: Vec<Hmac<Sha256>>,
}

/// What a ticket says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket {
    /// Whom it lets in.
    pub user_id: Uuid,
    /// As long as this log-in has not ended.
    pub auth_session: Uuid,
    /// And this is not past.
    pub expires_at: DateTime<Utc>,
}

impl Tickets {
    /// Signs with `current`; takes what `current` or one of `previous` has signed.
    pub(super) fn new(current: &SecretString, previous: &[SecretString]) -> Self {
        Self { keys: std::iter::once(current).chain(previous).map(key).collect() }
    }

    /// A ticket for `path`.
    #[must_use]
    pub fn sign(&self, path: &str, ticket: Ticket) -> String {
        let said = ticket.spelled();
        let signature = signing(&self.keys[0], path, &said).finalize().into_bytes();
        BASE64.encode([said.as_slice(), &signature].concat())
    }

    /// What a ticket for `path` says, if it is one of ours; it may have run out.
    #[must_use]
    pub fn read(&self, path: &str, ticket: &str) -> Option<Ticket> {
        let bytes = BASE64.decode(ticket).ok()?;
        let (said, signature) = bytes.split_last_chunk::<SIGNATURE>()?;
        let is_ours = |key: &Hmac<Sha256>| signing(key, path, said).verify_slice(signature).is_ok();
        self.keys.iter().any(is_ours).then(|| Ticket::spelled_as(said))?
    }
}

impl Ticket {
    fn spelled(&self) -> Vec<u8> {
        let until = self.expires_at.timestamp().to_be_bytes();
        [until.as_slice(), self.user_id.as_bytes(), self.auth_session.as_bytes()].concat()
    }

    fn spelled_as(said: &[u8]) -> Option<Self> {
        let (until, ids) = said.split_first_chunk::<8>()?;
        let (user, auth_session) = ids.split_first_chunk::<16>()?;
        Some(Self {
            user_id: Uuid::from_bytes(*user),
            auth_session: Uuid::from_slice(auth_session).ok()?,
            expires_at: DateTime::from_timestamp(i64::from_be_bytes(*until), 0)?,
        })
    }
}

/// The path comes last and what stands before it has a fixed length: no two pairs are signed alike.
fn signing(key: &Hmac<Sha256>, path: &str, said: &[u8]) -> Hmac<Sha256> {
    let mut signing = key.clone();
    signing.update(said);
    signing.update(path.as_bytes());
    signing
}

fn key(secret: &SecretString) -> Hmac<Sha256> {
    // The server's secret is random and long: one HMAC is derivation enough, as in the second half of HKDF.
    let mut derived = mac(secret.expose_secret().as_bytes());
    derived.update(LABEL);
    mac(&derived.finalize().into_bytes())
}

fn mac(key: &[u8]) -> Hmac<Sha256> {
    Hmac::new_from_slice(key).expect("HMAC takes keys of any length")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tickets(current: &str, previous: &[&str]) -> Tickets {
        let previous: Vec<SecretString> = previous.iter().map(|secret| (*secret).into()).collect();
        Tickets::new(&current.into(), &previous)
    }

    fn ticket() -> Ticket {
        let expires_at = DateTime::UNIX_EPOCH + TTL;
        Ticket { user_id: Uuid::now_v7(), auth_session: Uuid::now_v7(), expires_at }
    }

    #[test]
    fn a_ticket_says_what_was_signed_for_its_path_only() {
        let (tickets, ticket) = (tickets("k", &[]), ticket());
        let signed = tickets.sign("/exports/1/download", ticket);
        assert_eq!(tickets.read("/exports/1/download", &signed), Some(ticket));
        for path in ["/exports/2/download", "/exports/1/downloa", "", "/exports/1/download/"] {
            assert_eq!(tickets.read(path, &signed), None, "{path}");
        }
    }

    #[test]
    fn a_ticket_that_was_tampered_with_is_none() {
        let (tickets, path) = (tickets("k", &[]), "/x");
        let signed = BASE64.decode(tickets.sign(path, ticket())).expect("ours");
        for at in 0..signed.len() {
            let mut tampered = signed.clone();
            tampered[at] ^= 1;
            assert_eq!(tickets.read(path, &BASE64.encode(&tampered)), None, "byte {at}");
            assert_eq!(tickets.read(path, &BASE64.encode(&signed[..at])), None, "{at} bytes");
        }
        for nonsense in ["", "a", "%%%", "AAAA", &"A".repeat(96), &"A".repeat(100_000)] {
            assert_eq!(tickets.read(path, nonsense), None);
        }
    }

    #[test]
    fn a_ticket_outlives_the_rotation_of_the_key_until_it_is_dropped() {
        let (ticket, path) = (ticket(), "/x");
        let signed = tickets("old", &[]).sign(path, ticket);
        assert!(tickets("new", &["older", "old"]).read(path, &signed).is_some());
        assert!(tickets("new", &["older"]).read(path, &signed).is_none());
        assert_ne!(tickets("new", &["old"]).sign(path, ticket), signed, "only the present key signs");
    }
}
