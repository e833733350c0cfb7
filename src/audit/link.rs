//! The proofs of the chain: HMAC-SHA256, with a key that the database does not know.

use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;

/// A proof.
pub type Proof = [u8; 32];

/// What the first link stands on.
pub const START: Proof = [0; 32];

/// Keeps proofs of one purpose from passing for another's.
const LINK: &[u8] = b"therapybridge audit link 1";
const HEAD: &[u8] = b"therapybridge audit head 1";

/// Every column of `audit_events`, in the order they are proven in. A column that is added later goes to the end, and
/// is null in older events: their proofs stay good, because nulls are left out.
pub const COLUMNS: [&str; 17] = [
    "id",
    "seq",
    "txid",
    "at",
    "actor_id",
    "actor_role",
    "auth_session_id",
    "request_id",
    "action",
    "subject_type",
    "subject_id",
    "patient_id",
    "outcome",
    "ip",
    "user_agent",
    "changed_fields",
    "api_key_id",
];

/// An event as it is proven: the text of each of [`COLUMNS`]. Text, because whoever tampers with a row may put things
/// into it that no other type of ours can hold, an infinite time for one.
pub type Content = Vec<Option<String>>;

/// An SQL expression that gives the [`Content`] of the row `event`.
pub fn content_of(event: &str) -> String {
    let texts = COLUMNS.map(|column| match column {
        "at" => format!("({event}.at AT TIME ZONE 'UTC')::text"),
        other => format!("{event}.{other}::text"),
    });
    format!("ARRAY[{}]", texts.join(", "))
}

/// The key of the chain.
#[derive(Clone, Debug)]
pub struct Key(SecretString);

impl Key {
    /// A key of at least 32 bytes.
    #[must_use]
    pub fn new(secret: SecretString) -> Self {
        Self(secret)
    }

    /// The proof of a link: over the one before, its place, and the event.
    #[must_use]
    pub fn link(&self, previous: &[u8], position: i64, content: &Content) -> Proof {
        self.link_mac(previous, position, content).finalize().into_bytes().into()
    }

    /// Whether a link's proof is what it should be.
    #[must_use]
    pub fn proves_link(&self, proof: &[u8], previous: &[u8], position: i64, content: &Content) -> bool {
        self.link_mac(previous, position, content).verify_slice(proof).is_ok()
    }

    /// The proof of a head.
    #[must_use]
    pub fn head(&self, position: i64, link: &str, written_at: &str) -> Proof {
        self.head_mac(position, link, written_at).finalize().into_bytes().into()
    }

    /// Whether a head's proof is what it should be.
    #[must_use]
    pub fn proves_head(&self, proof: &[u8], position: i64, link: &str, written_at: &str) -> bool {
        self.head_mac(position, link, written_at).verify_slice(proof).is_ok()
    }

    fn link_mac(&self, previous: &[u8], position: i64, content: &Content) -> Hmac<Sha256> {
        let mut mac = self.mac(LINK);
        put(&mut mac, previous);
        mac.update(&position.to_be_bytes());
        for (column, value) in COLUMNS.iter().zip(content) {
            if let Some(value) = value {
                put(&mut mac, column.as_bytes());
                put(&mut mac, value.as_bytes());
            }
        }
        mac
    }

    fn head_mac(&self, position: i64, link: &str, written_at: &str) -> Hmac<Sha256> {
        let mut mac = self.mac(HEAD);
        mac.update(&position.to_be_bytes());
        put(&mut mac, link.as_bytes());
        put(&mut mac, written_at.as_bytes());
        mac
    }

    fn mac(&self, purpose: &[u8]) -> Hmac<Sha256> {
        let mut mac = Hmac::new_from_slice(self.0.expose_secret().as_bytes()).expect("any length will do");
        put(&mut mac, purpose);
        mac
    }
}

/// With its length before it, so that no two lists of values read the same.
fn put(mac: &mut Hmac<Sha256>, bytes: &[u8]) {
    mac.update(&(bytes.len() as u64).to_be_bytes());
    mac.update(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> Key {
        Key::new("k".repeat(32).into())
    }

    fn content(values: &[(&str, &str)]) -> Content {
        let value = |column: &&str| values.iter().find(|(name, _)| name == column).map(|(_, v)| (*v).into());
        COLUMNS.iter().map(value).collect()
    }

    #[test]
    fn a_link_is_bound_to_key_predecessor_place_and_content() {
        let event = content(&[("action", "user.log_in")]);
        let proof = key().link(&START, 1, &event);
        assert!(key().proves_link(&proof, &START, 1, &event));
        assert!(!Key::new("x".repeat(32).into()).proves_link(&proof, &START, 1, &event));
        assert!(!key().proves_link(&proof, &[1; 32], 1, &event));
        assert!(!key().proves_link(&proof, &START, 2, &event));
        assert!(!key().proves_link(&proof, &START, 1, &content(&[("action", "user.log_out")])));
        assert!(!key().proves_link(&proof[..31], &START, 1, &event));
    }

    #[test]
    fn values_cannot_move_between_columns_and_null_is_not_empty() {
        let proof = |values: &[(&str, &str)]| key().link(&START, 1, &content(values));
        let proofs = [
            proof(&[("ip", "ab")]),
            proof(&[("user_agent", "ab")]),
            proof(&[("ip", "a"), ("user_agent", "b")]),
            proof(&[("ip", "ab"), ("user_agent", "")]),
        ];
        for (place, one) in proofs.iter().enumerate() {
            assert!(!proofs[place + 1..].contains(one));
        }
    }

    #[test]
    fn the_proof_of_a_link_is_none_of_a_head() {
        let empty = content(&[]);
        assert_ne!(key().link(&START, 1, &empty), key().head(1, "", ""));
    }
}
