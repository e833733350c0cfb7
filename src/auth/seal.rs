//! Secrets that must be read again, and so cannot be hashed: sealed, so that the database alone gives none away.

use chacha20poly1305::aead::{Aead, Payload};
use chacha20poly1305::{ChaCha20Poly1305, Nonce};
use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;
use uuid::Uuid;

use super::access_token::server_secret;
use crate::config::AuthConfig;
use crate::error::Result;
use crate::random;

/// What is sealed. Each has a key of its own, apart from whatever else the server's secret is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Secrets of authenticator apps, bound to their users.
    SecondFactors,
    /// Secrets that sign webhooks, bound to their webhooks.
    Webhooks,
}

impl Purpose {
    fn label(self) -> &'static [u8] {
        match self {
            Self::SecondFactors => b"therapybridge: second factors at rest, v1",
            Self::Webhooks => b"therapybridge: webhooks at rest, v1",
        }
    }
}

/// Bytes of a nonce, which stands before what was sealed.
const NONCE: usize = 12;

/// Seals and opens with ChaCha20-Poly1305, under keys made from the server's secrets.
#[derive(Clone)]
pub struct Seal {
    /// The one that seals, then those that only open.
    ciphers: Vec<ChaCha20Poly1305>,
}

impl Seal {
    /// Seals with `current`; opens what `current` or one of `previous` has sealed.
    pub(super) fn new(purpose: Purpose, current: &SecretString, previous: &[SecretString]) -> Self {
        let secrets = std::iter::once(current).chain(previous);
        Self { ciphers: secrets.map(|secret| cipher(purpose, secret)).collect() }
    }

    /// Seals with a key made from `JWT_SECRET`; opens what that, or one of those before it, has sealed.
    ///
    /// # Errors
    /// When the key can be neither read nor kept.
    pub fn for_purpose(purpose: Purpose, config: &AuthConfig) -> anyhow::Result<Self> {
        Ok(Self::new(purpose, &server_secret(config)?, &config.jwt_previous_secrets))
    }

    /// Seals a secret of somebody, or of something: for another it does not open.
    ///
    /// # Errors
    /// Only faults.
    pub fn seal(&self, owner: Uuid, secret: &[u8]) -> Result<Vec<u8>> {
        let nonce = random::bytes::<NONCE>();
        let payload = Payload { msg: secret, aad: owner.as_bytes() };
        let sealed = self.ciphers[0].encrypt(&Nonce::from(nonce), payload);
        let sealed =
            sealed.map_err(|_| anyhow::anyhow!("a secret of {} bytes is not sealed", secret.len()))?;
        Ok([nonce.as_slice(), &sealed].concat())
    }

    /// Whether this was sealed under the present key.
    #[must_use]
    pub fn is_current(&self, owner: Uuid, sealed: &[u8]) -> bool {
        open(&self.ciphers[..1], owner, sealed).is_some()
    }

    /// Opens; `None` for what was tampered with, belongs to another or was sealed under an unknown key.
    #[must_use]
    pub fn open(&self, owner: Uuid, sealed: &[u8]) -> Option<Vec<u8>> {
        open(&self.ciphers, owner, sealed)
    }
}

fn open(ciphers: &[ChaCha20Poly1305], owner: Uuid, sealed: &[u8]) -> Option<Vec<u8>> {
    let (nonce, sealed) = sealed.split_first_chunk::<NONCE>()?;
    let open = |cipher: &ChaCha20Poly1305| {
        cipher.decrypt(&Nonce::from(*nonce), Payload { msg: sealed, aad: owner.as_bytes() }).ok()
    };
    ciphers.iter().find_map(open)
}

fn cipher(purpose: Purpose, secret: &SecretString) -> ChaCha20Poly1305 {
    // The server's secret is random and long: one HMAC is derivation enough, as in the second half of HKDF.
    let mut hmac = Hmac::<Sha256>::new_from_slice(secret.expose_secret().as_bytes())
        .expect("HMAC takes keys of any length");
    hmac.update(purpose.label());
    ChaCha20Poly1305::new(&hmac.finalize().into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seal(current: &str, previous: &[&str]) -> Seal {
        let previous: Vec<SecretString> = previous.iter().map(|secret| (*secret).into()).collect();
        Seal::new(Purpose::SecondFactors, &current.into(), &previous)
    }

    #[test]
    fn what_was_sealed_for_one_purpose_does_not_open_for_another() {
        let owner = Uuid::now_v7();
        let sealed = seal("k", &[]).seal(owner, b"a secret").expect("seals");
        assert_eq!(Seal::new(Purpose::Webhooks, &"k".into(), &[]).open(owner, &sealed), None);
    }

    #[test]
    fn what_was_sealed_opens_for_its_user_only() {
        let (seal, user) = (seal("k", &[]), Uuid::now_v7());
        let sealed = seal.seal(user, b"a secret").expect("seals");
        assert!(!sealed.windows(8).any(|bytes| bytes == b"a secret"));
        assert_eq!(seal.open(user, &sealed).as_deref(), Some(b"a secret".as_slice()));
        assert_eq!(seal.open(Uuid::now_v7(), &sealed), None);
    }

    #[test]
    fn the_same_secret_is_never_sealed_alike() {
        let (seal, user) = (seal("k", &[]), Uuid::now_v7());
        assert_ne!(seal.seal(user, b"s").expect("seals"), seal.seal(user, b"s").expect("seals"));
    }

    #[test]
    fn what_was_tampered_with_does_not_open() {
        let (seal, user) = (seal("k", &[]), Uuid::now_v7());
        let sealed = seal.seal(user, b"a secret").expect("seals");
        for at in 0..sealed.len() {
            let mut tampered = sealed.clone();
            tampered[at] ^= 1;
            assert_eq!(seal.open(user, &tampered), None, "byte {at}");
            assert_eq!(seal.open(user, &sealed[..at]), None, "{at} bytes");
        }
    }

    #[test]
    fn a_previous_key_opens_and_an_unknown_one_does_not() {
        let user = Uuid::now_v7();
        let sealed = seal("old", &[]).seal(user, b"s").expect("seals");
        assert!(seal("new", &["older", "old"]).open(user, &sealed).is_some());
        assert!(seal("new", &["older"]).open(user, &sealed).is_none());
    }
}
