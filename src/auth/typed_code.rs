//! Secrets that people type: 80 random bits in Crockford's base32, in groups, `7ZK3-0QWM-4D9T-XB2H`. Case, hyphens and
//! spaces do not matter, and letters that look like digits are read as those.

use sha2::{Digest, Sha256};

use crate::random;

/// No I, L, O and U.
const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
/// Of 5 bits each.
const CHARACTERS: usize = 16;
const GROUP: usize = 4;
/// No code has more characters, however it is typed.
const MAX_TYPED: usize = 64;

/// A new code, from the operating system's randomness.
///
/// # Panics
/// When the operating system has no randomness: then nothing is safe.
pub(super) fn generate() -> String {
    let bytes = random::bytes::<CHARACTERS>();
    // 256 is a multiple of 32: every character is as likely as any other.
    let characters: Vec<char> =
        bytes.iter().map(|byte| char::from(ALPHABET[usize::from(byte % 32)])).collect();
    let groups: Vec<String> = characters.chunks(GROUP).map(|group| group.iter().collect()).collect();
    groups.join("-")
}

/// What is kept of a code. A plain SHA-256 does: 80 random bits cannot be guessed from a hash, so that a slow or salted
/// one, as passwords need, would only keep the database from looking a code up.
pub(super) fn hash(typed: &str) -> String {
    hex::encode(Sha256::digest(normal(typed).as_bytes()))
}

/// The one spelling of a code.
fn normal(typed: &str) -> String {
    let significant = typed.chars().take(MAX_TYPED).filter(|c| *c != '-' && !c.is_whitespace());
    significant
        .map(|c| match c.to_ascii_uppercase() {
            'O' => '0',
            'I' | 'L' => '1',
            other => other,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_four_groups_of_unmistakable_characters() {
        let code = generate();
        let groups: Vec<&str> = code.split('-').collect();
        assert_eq!(groups.iter().map(|group| group.len()).collect::<Vec<_>>(), [4; 4], "{code}");
        assert!(code.bytes().all(|byte| byte == b'-' || ALPHABET.contains(&byte)), "{code}");
        assert_ne!(code, generate());
    }

    #[test]
    fn a_code_may_be_typed_as_people_type() {
        let code = "7ZK3-0QWM-4D1T-XB2H";
        for typed in
            ["7zk3-0qwm-4d1t-xb2h", "7ZK30QWM4D1TXB2H", " 7zk3 oqwm 4dlt xb2h\n", "7ZK3-OQWM-4DIT-XB2H"]
        {
            assert_eq!(hash(typed), hash(code), "{typed}");
        }
        assert_ne!(hash("7ZK3-0QWM-4D1T-XB2J"), hash(code));
    }
}
