//! Randomness from the operating system.

use rand::TryRngCore;
use rand::rngs::OsRng;

/// Random bytes.
///
/// # Panics
/// When the operating system has no randomness: then nothing is safe.
pub(super) fn bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0_u8; N];
    OsRng.try_fill_bytes(&mut bytes).expect("the operating system gives random bytes");
    bytes
}
