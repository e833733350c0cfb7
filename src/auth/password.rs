//! Passwords: argon2id with OWASP's parameters, hashed off the runtime and never many at a time.

use std::sync::Arc;

use anyhow::anyhow;
use argon2::password_hash::phc::PasswordHash;
use argon2::{Algorithm, Argon2, Params, PasswordHasher, PasswordVerifier, Version};
use tokio::sync::Semaphore;

use crate::error::{Code, Result, UserError};

/// Memory in KiB, passes and lanes: OWASP Password Storage Cheat Sheet, first choice for argon2id.
const COST: (u32, u32, u32) = (19_456, 2, 1);
/// Hashes at a time: bounds memory at 4 × 19 MiB, and leaves processors to others.
const CONCURRENCY: usize = 4;
/// The commonest passwords of 8 and more characters in published leaks.
const COMMON: [&str; 20] = [
    "123456789",
    "12345678",
    "password",
    "qwerty123",
    "1234567890",
    "password1",
    "iloveyou",
    "11111111",
    "123123123",
    "qwertyuiop",
    "1q2w3e4r",
    "password123",
    "00000000",
    "sunshine",
    "princess",
    "football",
    "baseball",
    "trustno1",
    "superman",
    "letmein1",
];

/// Hashes and verifies.
#[derive(Clone)]
pub struct Passwords {
    argon2: Argon2<'static>,
    permits: Arc<Semaphore>,
    /// Verified when there is no user, so that it takes as long.
    decoy: Arc<str>,
}

/// Holds a new password against the rules; `personal` are the account's own e-mail and name.
///
/// # Errors
/// `WEAK_PASSWORD`, on the field `password`.
pub fn check(password: &str, personal: &[&str]) -> Result<(), UserError> {
    let weak = |message: &str| Err(UserError::new(Code::WeakPassword, message).on("password"));
    if !(8..=128).contains(&password.chars().count()) {
        return weak("A password has 8 to 128 characters.");
    }
    let lower = password.to_lowercase();
    if COMMON.contains(&lower.as_str()) {
        return weak("This password is one of the commonest. Choose another.");
    }
    if personal.iter().any(|own| own.to_lowercase() == lower) {
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
        Self { argon2, permits: Arc::new(Semaphore::new(CONCURRENCY)), decoy }
    }

    /// Hashes a password, into PHC format.
    ///
    /// # Errors
    /// Only faults.
    pub async fn hash(&self, password: String) -> Result<String> {
        self.off_the_runtime(move |argon2| hash(argon2, &password)).await
    }

    /// Whether the password belongs to the hash; without a hash the same work is done for nothing.
    ///
    /// # Errors
    /// Only faults.
    pub async fn verify(&self, password: String, hash: Option<String>) -> Result<bool> {
        let known = hash.is_some();
        let hash = hash.unwrap_or_else(|| self.decoy.to_string());
        let matches = self.off_the_runtime(move |argon2| {
            let hash =
                PasswordHash::new(&hash).map_err(|error| anyhow!("a stored hash is malformed: {error}"))?;
            Ok(argon2.verify_password(password.as_bytes(), &hash).is_ok())
        });
        Ok(matches.await? && known)
    }

    async fn off_the_runtime<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Argon2<'static>) -> anyhow::Result<T> + Send + 'static,
    ) -> Result<T> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_the_right_password_matches() {
        let passwords = Passwords::new();
        let hash = passwords.hash("correct horse ☂".into()).await.expect("hashes");
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
        assert!(passwords.verify("correct horse ☂".into(), Some(hash.clone())).await.expect("verifies"));
        assert!(!passwords.verify("correct horse".into(), Some(hash)).await.expect("verifies"));
    }

    #[tokio::test]
    async fn nobody_has_the_decoy_password() {
        let passwords = Passwords::new();
        assert!(!passwords.verify("nobody has this password".into(), None).await.expect("verifies"));
    }

    #[test]
    fn weak_passwords_are_refused() {
        for password in ["short", "password", "QWERTY123", "jane@example.com", "Jane Smith", &"x".repeat(129)]
        {
            assert!(check(password, &["jane@example.com", "Jane Smith"]).is_err(), "{password}");
        }
        assert!(check("Grüße aus Köln", &["jane@example.com"]).is_ok());
    }
}
