//! Randomness from the operating system.

use rand::TryRngCore;
use rand::rngs::OsRng;

/// Random bytes.
///
/// # Panics
/// When the operating system has no randomness: then nothing is safe.
#[must_use]
pub fn bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0_u8; N];
    OsRng.try_fill_bytes(&mut bytes).expect("the operating system gives random bytes");
    bytes
}

/// 256 random bits in hex.
///
/// # Panics
/// When the operating system has no randomness.
#[must_use]
pub fn hex() -> String {
    hex::encode(bytes::<32>())
}
