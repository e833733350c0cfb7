//! Time-based one-time passwords, RFC 6238: SHA-1, 6 digits, 30 seconds, one step of skew to either side.
//! These are what every authenticator app takes; other choices are silently ignored by some.

use chrono::{DateTime, Utc};
use totp_rs::{Builder, Secret, Totp};

use crate::error::Result;
use crate::random;

const ISSUER: &str = "TherapyBridge";
/// Bytes of a secret: as many as SHA-1 puts out, as RFC 4226 recommends.
const SECRET: usize = 20;

/// A new secret.
pub(super) fn new_secret() -> [u8; SECRET] {
    random::bytes()
}

/// The secret as people type it into an app.
pub(super) fn base32(secret: &[u8]) -> String {
    Secret::from(secret).to_base32()
}

/// The secret as an app reads it from a QR code.
///
/// # Errors
/// Only faults.
pub(super) fn uri(secret: &[u8], email: &str) -> Result<String> {
    // A colon parts issuer and account in such a label; an e-mail may have one, and is only shown here.
    let account = email.replace(':', ".");
    let totp = builder(secret).with_account_name(account).with_issuer(Some(ISSUER)).build();
    Ok(totp.map_err(anyhow::Error::new)?.to_url().map_err(anyhow::Error::new)?)
}

/// The number of the 30 seconds a code belongs to, if it is good now. Whoever takes a code must take each step once.
///
/// # Errors
/// Only faults.
pub(super) fn step(secret: &[u8], typed: &str, now: DateTime<Utc>) -> Result<Option<i64>> {
    let totp: Totp = builder(secret).build().map_err(anyhow::Error::new)?;
    let code: String = typed.chars().filter(|c| !c.is_whitespace()).take(7).collect();
    let Ok(seconds) = u64::try_from(now.timestamp()) else { return Ok(None) };
    Ok(totp.check(&code, seconds).and_then(|step| i64::try_from(step).ok()))
}

fn builder(secret: &[u8]) -> Builder {
    Builder::new().with_secret(secret)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 6238, appendix B; its codes have eight digits, ours are the last six of them.
    const RFC_SECRET: &[u8] = b"12345678901234567890";

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(seconds, 0).expect("a time")
    }

    #[test]
    fn codes_are_those_of_the_rfc() {
        for (seconds, code) in [
            (59, "287082"),
            (1_111_111_109, "081804"),
            (1_111_111_111, "050471"),
            (1_234_567_890, "005924"),
            (2_000_000_000, "279037"),
            (20_000_000_000, "353130"),
        ] {
            assert_eq!(step(RFC_SECRET, code, at(seconds)).expect("checks"), Some(seconds / 30), "{code}");
        }
    }

    #[test]
    fn a_code_is_good_one_step_early_or_late() {
        let good = |seconds| step(RFC_SECRET, "050 471", at(seconds)).expect("checks").is_some();
        let start = 1_111_111_111 / 30 * 30;
        assert!(good(start - 30) && good(start) && good(start + 59));
        assert!(!good(start - 31) && !good(start + 60));
    }

    #[test]
    fn what_is_no_code_is_not_good() {
        for typed in ["", "05047", "0504710", "+50471", "abcdef", "０５０４７１", &"9".repeat(1_000_000)]
        {
            assert_eq!(step(RFC_SECRET, typed, at(1_111_111_111)).expect("checks"), None, "{typed:.20}");
        }
    }

    #[test]
    fn apps_read_secret_issuer_and_account() {
        let uri = uri(RFC_SECRET, "ja:ne+x@example.com").expect("a URI");
        assert!(uri.starts_with("otpauth://totp/TherapyBridge:ja.ne"), "{uri}");
        assert!(uri.contains(&format!("secret={}", base32(RFC_SECRET))), "{uri}");
        assert!(uri.contains("issuer=TherapyBridge"), "{uri}");
    }
}
