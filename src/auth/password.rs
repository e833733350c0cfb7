//! Passwords: argon2id with OWASP's parameters, hashed off the runtime and never many at a time.

use std::sync::Arc;

use anyhow::anyhow;
use argon2::password_hash::phc::PasswordHash;
use argon2::{Algorithm, Argon2, Params, PasswordHasher, PasswordVerifier, Version};
use tokio::sync::Semaphore;

use crate::error::{Code, Error, Result, UserError};

/// Memory in KiB, passes and lanes: OWASP Password Storage Cheat Sheet, first choice for argon2id.
const COST: (u32, u32, u32) = (19_456, 2, 1);
/// Hashes at a time: bounds memory at 4 × 19 MiB, and leaves processors to others.
const CONCURRENCY: usize = 4;
/// Hashes that may wait for their turn: some seconds of work. Whoever comes then is told to come back.
const WAITING: usize = 256;
/// Fewer characters are guessed, more are refused: the work is bounded.
const LENGTH: std::ops::RangeInclusive<usize> = 8..=128;
/// The commonest passwords of 8 and more characters, as they turn up in leaks, in lower case; one a line.
const COMMON: &str = include_str!("common_passwords.txt");

/// Hashes and verifies.
#[derive(Clone)]
pub struct Passwords {
    argon2: Argon2<'static>,
    permits: Arc<Semaphore>,
    /// Held while hashing or waiting for a permit.
    places: Arc<Semaphore>,
    /// Verified when there is no user, so that it takes as long.
    decoy: Arc<str>,
}

/// Holds a new password against the rules; an account's own e-mail, the part of it before the @ and the name are known
/// to everybody.
///
/// # Errors
/// `WEAK_PASSWORD`, on the field `password`.
pub fn check(password: &str, email: &str, full_name: &str) -> Result<(), UserError> {
    let weak = |message: &str| Err(UserError::new(Code::WeakPassword, message).on("password"));
    if !LENGTH.contains(&password.chars().count()) {
        return weak("A password has 8 to 128 characters.");
    }
    let lower = password.to_lowercase();
    if COMMON.lines().any(|common| common == lower) {
        return weak("This password is one of the commonest. Choose another.");
    }
    let local_part = email.split('@').next().unwrap_or_default();
    if [email, local_part, full_name].iter().any(|own| own.to_lowercase() == lower) {
        return weak("A password must not be your e-mail or name.");
    }
    Ok(())
}

impl Passwords {
    /// Ready to hash.
    ///
    /// # Panics
    /// Never: the parameters are constants within argon2's limits.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "hashes a decoy, which is too much for a Default")]
    pub fn new() -> Self {
        let (memory, passes, lanes) = COST;
        let params =
            Params::new(memory, passes, lanes, None).expect("the parameters are within argon2's limits");
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        let decoy = hash(&argon2, "nobody has this password").expect("argon2 hashes any text").into();
        let places = Arc::new(Semaphore::new(CONCURRENCY + WAITING));
        Self { argon2, permits: Arc::new(Semaphore::new(CONCURRENCY)), places, decoy }
    }

    /// Hashes a password, into PHC format.
    ///
    /// # Errors
    /// Only faults.
    pub async fn hash(&self, password: String) -> Result<String> {
        self.off_the_runtime(move |argon2| hash(argon2, &password)).await
    }

    /// Whether the password belongs to the hash; without a hash, and for a password that is too long to be anybody's, the
    /// same work is done for nothing.
    ///
    /// # Errors
    /// Only faults.
    pub async fn verify(&self, password: &str, hash: Option<String>) -> Result<bool> {
        let possible = hash.is_some() && password.chars().count() <= *LENGTH.end();
        let password = if possible { password.to_owned() } else { String::new() };
        let hash = hash.unwrap_or_else(|| self.decoy.to_string());
        let matches = self.off_the_runtime(move |argon2| {
            let hash =
                PasswordHash::new(&hash).map_err(|error| anyhow!("a stored hash is malformed: {error}"))?;
            Ok(argon2.verify_password(password.as_bytes(), &hash).is_ok())
        });
        Ok(matches.await? && possible)
    }

    /// The hash to keep from now on, of a password that has just matched `hash`: `None` while that one was made as hashes
    /// are made today.
    ///
    /// # Errors
    /// Only faults.
    pub async fn rehash(&self, password: &str, hash: &str) -> Result<Option<String>> {
        if recipe(hash) == recipe(&self.decoy) {
            return Ok(None);
        }
        self.hash(password.to_owned()).await.map(Some)
    }

    async fn off_the_runtime<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Argon2<'static>) -> anyhow::Result<T> + Send + 'static,
    ) -> Result<T> {
        let _place = self.places.try_acquire().map_err(|_| Error::Unavailable)?;
        let permit = self.permits.clone().acquire_owned().await.map_err(anyhow::Error::new)?;
        let argon2 = self.argon2.clone();
        let work = tokio::task::spawn_blocking(move || {
            let result = work(&argon2);
            drop(permit);
            result
        });
        Ok(work.await.map_err(anyhow::Error::new)??)
    }
}

fn hash(argon2: &Argon2<'_>, password: &str) -> anyhow::Result<String> {
    let hash = argon2.hash_password(password.as_bytes()).map_err(|error| anyhow!("argon2: {error}"))?;
    Ok(hash.to_string())
}

/// What stands before salt and digest in the PHC format: algorithm, version, parameters.
fn recipe(hash: &str) -> Option<&str> {
    hash.rsplitn(3, '$').nth(2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_the_right_password_matches() {
        let passwords = Passwords::new();
        let hash = passwords.hash("correct horse ☂".into()).await.expect("hashes");
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
        assert!(passwords.verify("correct horse ☂", Some(hash.clone())).await.expect("verifies"));
        assert!(!passwords.verify("correct horse", Some(hash)).await.expect("verifies"));
    }

    #[tokio::test]
    async fn a_hash_of_another_time_matches_and_is_made_anew() {
        let passwords = Passwords::new();
        let now = passwords.hash("correct horse".into()).await.expect("hashes");
        assert_eq!(passwords.rehash("correct horse", &now).await.expect("looks"), None);
        let params = Params::new(8_192, 1, 1, None).expect("within limits");
        for algorithm in [Algorithm::Argon2id, Algorithm::Argon2i] {
            let argon2 = Argon2::new(algorithm, Version::V0x13, params.clone());
            let old = hash(&argon2, "correct horse").expect("hashes");
            assert!(passwords.verify("correct horse", Some(old.clone())).await.expect("verifies"), "{old}");
            assert!(!passwords.verify("wrong horse", Some(old.clone())).await.expect("verifies"), "{old}");
            let new = passwords.rehash("correct horse", &old).await.expect("hashes").expect("is made anew");
            assert_eq!(recipe(&new), recipe(&now));
        }
    }

    #[tokio::test]
    async fn a_password_longer_than_any_matches_nothing() {
        let passwords = Passwords::new();
        let (long, empty) = ("x".repeat(129), passwords.hash(String::new()).await.expect("hashes"));
        let of_long = passwords.hash(long.clone()).await.expect("hashes");
        for hash in [of_long, empty] {
            assert!(!passwords.verify(&long, Some(hash)).await.expect("verifies"));
        }
    }

    #[tokio::test]
    async fn a_queue_that_is_full_takes_nobody_more() {
        let passwords = Passwords::new();
        let all = u32::try_from(CONCURRENCY + WAITING).expect("few");
        let full = passwords.places.acquire_many(all).await.expect("open");
        let refused = passwords.verify("correct horse ☂", None).await;
        assert!(matches!(refused, Err(Error::Unavailable)), "{refused:?}");
        drop(full);
        assert!(passwords.verify("correct horse ☂", None).await.is_ok());
    }

    #[tokio::test]
    async fn nobody_has_the_decoy_password() {
        let passwords = Passwords::new();
        assert!(!passwords.verify("nobody has this password", None).await.expect("verifies"));
    }

    #[test]
    fn weak_passwords_are_refused() {
        let long = "x".repeat(129);
        for password in
            ["short", "password", "QWERTY123", "Jane.Smith@Example.com", "JANE.SMITH", "Jane Smith", &long]
        {
            assert!(check(password, "jane.smith@example.com", "Jane Smith").is_err(), "{password}");
        }
        assert!(check("Grüße aus Köln", "jane.smith@example.com", "Jane Smith").is_ok());
    }

    #[test]
    fn the_list_of_common_passwords_holds_what_the_rule_of_length_lets_through() {
        assert!(COMMON.lines().count() >= 100);
        for common in COMMON.lines() {
            assert!(LENGTH.contains(&common.chars().count()) && common == common.to_lowercase(), "{common}");
        }
    }
}
