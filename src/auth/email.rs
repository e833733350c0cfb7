//! E-mail addresses that name an account. Two spellings of one address must be one account, and two accounts must not
//! look alike; so an address is kept in plain ASCII. That is also what browsers send from a field of type `email`.

use url::Host;

use crate::error::UserError;

/// RFC 5321's limit of an address.
const MAX_BYTES: usize = 254;
/// What may stand before the @ beside letters and digits: the "atoms" of RFC 5322, with dots, unquoted.
const SYMBOLS: &str = ".!#$%&'*+/=?^_`{|}~-";

/// The address as it is stored: trimmed, in lower case, an international domain in its ASCII form (`xn--…`).
///
/// Before the @ there are ASCII letters, digits and a few symbols only. Other scripts are refused, not folded: cases
/// (`İ`, the Kelvin sign), look-alikes and invisible characters would make strangers' addresses equal, or equal ones
/// different; and nothing is left for the database's `lower()` to see otherwise.
///
/// # Errors
/// `INVALID_INPUT` on `email`.
pub fn normal(email: &str) -> Result<String, UserError> {
    let invalid = || UserError::invalid("email", "This is not an e-mail address.");
    let email = email.trim();
    if email.len() > MAX_BYTES {
        return Err(UserError::invalid("email", "An e-mail address has at most 254 characters."));
    }
    let (name, host) = email.split_once('@').ok_or_else(invalid)?;
    if !name.is_ascii() {
        let message =
            "Before the @ an e-mail address has plain letters, digits and signs such as . _ + - only.";
        return Err(UserError::invalid("email", message));
    }
    let host =
        if host.is_ascii() { host.to_ascii_lowercase() } else { international(host).ok_or_else(invalid)? };
    let email = format!("{}@{host}", name.to_ascii_lowercase());
    if is_name(name) && is_host(&host) && email.len() <= MAX_BYTES { Ok(email) } else { Err(invalid()) }
}

/// A domain of other scripts in ASCII, the way browsers write it (UTS 46).
fn international(host: &str) -> Option<String> {
    match Host::parse(host).ok()? {
        Host::Domain(domain) => Some(domain),
        Host::Ipv4(_) | Host::Ipv6(_) => None,
    }
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || SYMBOLS.contains(c))
}

fn is_host(host: &str) -> bool {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    host.contains('.') && host.split('.').all(is_label)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_and_blanks_around_do_not_matter() {
        assert_eq!(normal(" Jane.O'Neil+x@Example.COM ").as_deref(), Ok("jane.o'neil+x@example.com"));
    }

    #[test]
    fn a_domain_of_another_script_is_kept_in_ascii_however_it_was_typed() {
        for typed in ["jane@Praxis-Müller.de", "jane@praxis-mu\u{308}ller.de", "jane@xn--praxis-mller-klb.de"]
        {
            assert_eq!(normal(typed).as_deref(), Ok("jane@xn--praxis-mller-klb.de"), "{typed}");
        }
        assert_eq!(
            normal("jane@ｅｘａｍｐｌｅ。com").as_deref(),
            Ok("jane@example.com"),
            "as a browser reads it"
        );
    }

    #[test]
    fn what_is_no_email_is_refused() {
        let long = format!("{}@example.com", "x".repeat(250));
        let label = format!("jane@{}.com", "x".repeat(64));
        for email in [
            "",
            "jane",
            "@example.com",
            "jane@",
            "jane@com",
            "a b@example.com",
            "a@b@c.de",
            "a\0@example.com",
            "jane@.com",
            "jane@example.",
            "jane@-x.com",
            "jane@exa\0mple.com",
            "jane@[127.0.0.1]",
            "jane@例\0.com",
            &long,
            &label,
        ] {
            assert!(normal(email).is_err(), "{email:?}");
        }
    }

    #[test]
    fn unicode_tricks_before_the_at_are_refused() {
        for name in [
            "İpek",
            "straẞe",
            "\u{212a}ate",
            "jаne",
            "j\u{200b}ane",
            "\u{202e}enaj",
            "ja\u{ad}ne",
            "\u{feff}jane",
            "ｊａｎｅ",
            "ﬁona",
            "ﬀ",
        ] {
            assert!(normal(&format!("{name}@example.com")).is_err(), "{name:?}");
        }
    }
}
