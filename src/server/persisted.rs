//! Documents that are known by their hash: Apollo's automatic persisted queries. A client sends the hash of its document
//! alone; where nobody knows it, the document once along with it.
//!
//! Each process remembers for itself, and forgets what was not used for the longest time: a client that is not understood
//! sends the document again. What is remembered was let in by the guard, and is looked at again every time.

use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};

use lru::LruCache;
use sha2::{Digest, Sha256};

/// Documents at most.
const DOCUMENTS: usize = 1_000;
/// Bytes of all of them.
const BYTES: usize = 8 << 20;

/// The SHA-256 of a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Hash([u8; 32]);

impl Hash {
    /// Of a document.
    #[must_use]
    pub fn of(document: &str) -> Self {
        Self(Sha256::digest(document).into())
    }
}

impl FromStr for Hash {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let mut hash = [0; 32];
        hex::decode_to_slice(text, &mut hash).map_err(drop)?;
        Ok(Self(hash))
    }
}

/// The documents that this process knows by their hash.
pub struct Documents(Mutex<Memory>);

struct Memory {
    documents: LruCache<Hash, Arc<str>>,
    bytes: usize,
    limit: (usize, usize),
}

impl Default for Documents {
    fn default() -> Self {
        Self::bounded(DOCUMENTS, BYTES)
    }
}

impl Documents {
    fn bounded(documents: usize, bytes: usize) -> Self {
        let memory = Memory { documents: LruCache::unbounded(), bytes: 0, limit: (documents, bytes) };
        Self(Mutex::new(memory))
    }

    /// The document with this hash, if it is known here.
    #[must_use]
    pub fn get(&self, hash: Hash) -> Option<Arc<str>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).documents.get(&hash).cloned()
    }

    /// Knows a document from now on.
    pub fn remember(&self, hash: Hash, document: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remember(hash, document);
    }
}

impl Memory {
    fn remember(&mut self, hash: Hash, document: &str) {
        // The same hash is the same document.
        if self.documents.get(&hash).is_some() {
            return;
        }
        self.bytes += document.len();
        self.documents.put(hash, document.into());
        let (documents, bytes) = self.limit;
        while documents < self.documents.len() || bytes < self.bytes {
            let Some((_, forgotten)) = self.documents.pop_lru() else { return };
            self.bytes -= forgotten.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(documents: &Documents, text: &str) -> bool {
        documents.get(Hash::of(text)).as_deref() == Some(text)
    }

    fn remember(documents: &Documents, text: &str) {
        documents.remember(Hash::of(text), text);
    }

    #[test]
    fn what_was_not_used_for_the_longest_time_is_forgotten_first() {
        let documents = Documents::bounded(2, 100);
        remember(&documents, "a");
        remember(&documents, "b");
        assert!(known(&documents, "a"));
        remember(&documents, "c");
        assert!(known(&documents, "a") && known(&documents, "c") && !known(&documents, "b"));
    }

    #[test]
    fn documents_are_bounded_by_their_bytes_too() {
        let documents = Documents::bounded(100, 10);
        for text in ["aaaa", "aaaa", "bbbb", "cc"] {
            remember(&documents, text);
        }
        assert!(["aaaa", "bbbb", "cc"].iter().all(|text| known(&documents, text)));
        remember(&documents, "dddddd");
        assert!(!known(&documents, "aaaa") && !known(&documents, "bbbb") && known(&documents, "dddddd"));
        remember(&documents, "what is larger than all of it");
        assert!(!known(&documents, "what is larger than all of it") && !known(&documents, "cc"));
    }

    #[test]
    fn a_hash_is_sixty_four_hexadecimal_digits() {
        let digits = "ecf4edb46db40b5132295c0291d62fb65d6759a9eedfa4d5d612dd5ec54a6b38";
        assert_eq!(digits.parse(), Ok(Hash::of("{__typename}")));
        assert_eq!(digits.to_uppercase().parse(), Ok(Hash::of("{__typename}")));
        for text in ["", &digits[1..], "xx", &format!("{digits}00")] {
            assert_eq!(text.parse::<Hash>(), Err(()), "{text}");
        }
    }
}
