//! What the secret of an API key looks like: `tbk_`, 256 random bits in hex, and eight digits that follow from these, so that
//! what is no key of ours, or was mistyped, is told without a look into the database, and by scanners for leaked secrets.

use sha2::{Digest, Sha256};

use crate::random;

/// Lets people and scanners recognise a leaked key.
const PREFIX: &str = "tbk_";
/// Hex digits that are random.
const RANDOM: usize = 64;
/// Hex digits that check them.
const CHECK: usize = 8;
/// Of these that much is shown, so that owners know their keys apart.
const SHOWN: usize = 8;

/// A secret that has just been made.
pub(super) fn generate() -> String {
    let random = random::hex();
    format!("{PREFIX}{random}{}", check(&random))
}

/// Whether a token means to be the secret of a key.
pub(super) fn is_meant(token: &str) -> bool {
    token.starts_with(PREFIX)
}

/// The hash of a secret; `None` for what we cannot have made.
pub(super) fn hash(token: &str) -> Option<[u8; 32]> {
    let (random, given) = token.strip_prefix(PREFIX)?.split_at_checked(RANDOM)?;
    let is_hex = token[PREFIX.len()..].bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'));
    (is_hex && given == check(random)).then(|| Sha256::digest(token.as_bytes()).into())
}

/// What of a secret is shown.
pub(super) fn prefix(secret: &str) -> String {
    secret.chars().take(PREFIX.len() + SHOWN).collect()
}

fn check(random: &str) -> String {
    let mut digits = hex::encode(Sha256::digest(format!("{PREFIX}{random}").as_bytes()));
    digits.truncate(CHECK);
    digits
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_recognised_and_all_different() {
        let (one, other) = (generate(), generate());
        assert_ne!(one, other);
        assert!(is_meant(&one) && hash(&one).is_some() && hash(&one) != hash(&other));
        assert_eq!(one.len(), PREFIX.len() + RANDOM + CHECK);
        assert!(one.starts_with(&prefix(&one)) && prefix(&one).len() == 12);
    }

    #[test]
    fn a_single_wrong_digit_is_noticed() {
        let secret = generate();
        for at in PREFIX.len()..secret.len() {
            let digit = if secret.as_bytes()[at] == b'0' { "1" } else { "0" };
            let mistyped = format!("{}{digit}{}", &secret[..at], &secret[at + 1..]);
            assert_eq!(hash(&mistyped), None, "at {at}");
        }
    }

    #[test]
    fn nothing_else_is_a_secret() {
        let secret = generate();
        let multibyte = format!("{PREFIX}{}", "ü".repeat(36));
        for nonsense in [
            "",
            "tbk_",
            &secret[1..],
            &secret[..secret.len() - 1],
            &format!("{secret}0"),
            &secret.to_uppercase(),
            &format!(" {secret}"),
            &multibyte,
            &format!("tbk_{}", "0".repeat(72)),
            "tbr_0123",
        ] {
            assert_eq!(hash(nonsense), None, "{nonsense}");
        }
    }
}
