//! Secrets that must be read again, and so cannot be hashed: sealed, so that the database alone gives none away.

use chacha20poly1305::aead::{Aead, Payload};
use chacha20poly1305::{ChaCha20Poly1305, Nonce};
use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;
use uuid::Uuid;

use crate::error::Result;
use crate::random;

/// Keeps this key apart from whatever else the server's secret is used for.
const LABEL: &[u8] = b"therapybridge: second factors at rest, v1";
/// Bytes of a nonce, which stands before what was sealed.
const NONCE: usize = 12;

/// Seals and opens with ChaCha20-Poly1305, under keys made from the server's secrets.
#[derive(Clone)]
pub(super) struct Seal {
    /// The one that seals, then those that only open.
    ciphers: Vec<ChaCha20Poly1305>,
}

impl Seal {
    /// Seals with `current`; opens what `current` or one of `previous` has sealed.
    pub(super) fn new(current: &SecretString, previous: &[SecretString]) -> Self {
        Self { ciphers: std::iter::once(current).chain(previous).map(cipher).collect() }
    }

    /// Seals a secret of a user: for another user it does not open.
    pub(super) fn seal(&self, user_id: Uuid, secret: &[u8]) -> Result<Vec<u8>> {
        let nonce = random::bytes::<NONCE>();
        let payload = Payload { msg: secret, aad: user_id.as_bytes() };
        let sealed = self.ciphers[0].encrypt(&Nonce::from(nonce), payload);
        let sealed =
            sealed.map_err(|_| anyhow::anyhow!("a secret of {} bytes is not sealed", secret.len()))?;
        Ok([nonce.as_slice(), &sealed].concat())
    }

    /// Whether this was sealed under the present key.
    pub(super) fn is_current(&self, user_id: Uuid, sealed: &[u8]) -> bool {
        open(&self.ciphers[..1], user_id, sealed).is_some()
    }

    /// Opens; `None` for what was tampered with, belongs to another user or was sealed under an unknown key.
    pub(super) fn open(&self, user_id: Uuid, sealed: &[u8]) -> Option<Vec<u8>> {
        open(&self.ciphers, user_id, sealed)
    }
}

fn open(ciphers: &[ChaCha20Poly1305], user_id: Uuid, sealed: &[u8]) -> Option<Vec<u8>> {
    let (nonce, sealed) = sealed.split_first_chunk::<NONCE>()?;
    let open = |cipher: &ChaCha20Poly1305| {
        cipher.decrypt(&Nonce::from(*nonce), Payload { msg: sealed, aad: user_id.as_bytes() }).ok()
    };
    ciphers.iter().find_map(open)
}

fn cipher(secret: &SecretString) -> ChaCha20Poly1305 {
    // The server's secret is random and long: one HMAC is derivation enough, as in the second half of HKDF.
    let mut hmac = Hmac::<Sha256>::new_from_slice(secret.expose_secret().as_bytes())
        .expect("HMAC takes keys of any length");
    hmac.update(LABEL);
    ChaCha20Poly1305::new(&hmac.finalize().into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seal(current: &str, previous: &[&str]) -> Seal {
        let previous: Vec<SecretString> = previous.iter().map(|secret| (*secret).into()).collect();
        Seal::new(&current.into(), &previous)
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
