//! Where a webhook may point, as far as its address tells: the names in it are resolved, and looked at again, at each attempt
//! (`resolver`).

use std::net::IpAddr;

use url::{Host, Url};

use super::address::{Reach, reach};

/// The longest address.
const LONGEST: usize = 2048;
/// Ports below this belong to services that are not the web's; 443 does.
const FIRST_FREE_PORT: u16 = 1024;
const HTTPS: u16 = 443;

/// What may be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Also this machine and private networks: for development and tests.
    pub allow_private: bool,
}

/// What is wrong with an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It is none.
    #[error("This is no address of a web server. Send one such as https://example.com/webhooks.")]
    NoAddress,
    /// It is longer than anybody needs.
    #[error("The address is longer than 2048 characters.")]
    TooLong,
    /// It is not encrypted.
    #[error("The address must begin with https://.")]
    NotHttps,
    /// It holds a user name or a password.
    #[error("Leave user name and password out of the address: requests are signed instead.")]
    Credentials,
    /// It names a place within a page.
    #[error("Leave out what follows the # in the address.")]
    Fragment,
    /// It names a port of something else.
    #[error("The port must be 443, or one from 1024 up.")]
    Port,
    /// It leads into a private network.
    #[error(
        "This address does not lead to the public internet. Name a server that can be reached from anywhere."
    )]
    NotPublic,
    /// Its name is nobody's.
    #[error("The name in this address cannot be resolved. Is it spelled right, and known to the public DNS?")]
    Unresolved,
}

impl Policy {
    /// Reads an address.
    ///
    /// # Errors
    /// When it may not be one of a webhook's.
    pub fn read(self, address: &str) -> Result<Url, Refusal> {
        let address = address.trim();
        if address.len() > LONGEST {
            return Err(Refusal::TooLong);
        }
        let url = Url::parse(address).map_err(|_| Refusal::NoAddress)?;
        self.check(&url)?;
        // What it was read as may be longer.
        if url.as_str().len() > LONGEST { Err(Refusal::TooLong) } else { Ok(url) }
    }

    /// Looks at an address again, before it is used: what was allowed once may not be any more.
    ///
    /// # Errors
    /// When it may not be one of a webhook's.
    pub fn check(self, url: &Url) -> Result<(), Refusal> {
        let is_http = match url.scheme() {
            "https" => false,
            "http" if self.allow_private => true,
            "http" => return Err(Refusal::NotHttps),
            _ => return Err(Refusal::NoAddress),
        };
        if !url.username().is_empty() || url.password().is_some() {
            return Err(Refusal::Credentials);
        }
        if url.fragment().is_some() {
            return Err(Refusal::Fragment);
        }
        let port = url.port_or_known_default().unwrap_or(0);
        if !self.allow_private && port != HTTPS && port < FIRST_FREE_PORT {
            return Err(Refusal::Port);
        }
        match url.host() {
            None => Err(Refusal::NoAddress),
            Some(Host::Domain(_)) => Ok(()),
            Some(Host::Ipv4(address)) => self.admit(address.into(), is_http),
            Some(Host::Ipv6(address)) => self.admit(address.into(), is_http),
        }
    }

    /// Whether a webhook may be told at this address; without encryption only on this machine.
    pub(super) fn allows(self, address: IpAddr, is_http: bool) -> bool {
        match reach(address) {
            Reach::Public => !is_http,
            Reach::Private => self.allow_private && !is_http,
            Reach::Loopback => self.allow_private,
            Reach::Nobody => false,
        }
    }

    fn admit(self, address: IpAddr, is_http: bool) -> Result<(), Refusal> {
        match (self.allows(address, is_http), reach(address)) {
            (true, _) => Ok(()),
            (false, Reach::Public | Reach::Private) if is_http => Err(Refusal::NotHttps),
            (false, _) => Err(Refusal::NotPublic),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STRICT: Policy = Policy { allow_private: false };
    const LENIENT: Policy = Policy { allow_private: true };

    #[test]
    fn an_address_on_the_internet_is_taken() {
        for address in [
            "https://example.com",
            " https://example.com/a/b?token=c ",
            "https://example.com:8443/x",
            "https://bücher.example/x",
            "https://93.184.216.34/x",
            "https://[2606:4700::1111]:4433/x",
        ] {
            assert!(STRICT.read(address).is_ok(), "{address}");
        }
    }

    #[test]
    fn everything_else_is_refused_and_told_why() {
        let long = format!("https://example.com/{}", "a".repeat(2048));
        let grows = format!("https://example.com/{}", "ä".repeat(900));
        for (address, refusal) in [
            ("", Refusal::NoAddress),
            ("example.com", Refusal::NoAddress),
            ("ftp://example.com", Refusal::NoAddress),
            ("file:///etc/passwd", Refusal::NoAddress),
            ("gopher://127.0.0.1:6379/_x", Refusal::NoAddress),
            ("https://", Refusal::NoAddress),
            ("http://example.com", Refusal::NotHttps),
            ("http://127.0.0.1", Refusal::NotHttps),
            ("https://user@example.com", Refusal::Credentials),
            ("https://user:word@example.com", Refusal::Credentials),
            ("https://:word@example.com", Refusal::Credentials),
            ("https://example.com/#there", Refusal::Fragment),
            ("https://example.com:22/", Refusal::Port),
            ("https://example.com:25/", Refusal::Port),
            ("https://example.com:80/", Refusal::Port),
            ("https://example.com:0/", Refusal::Port),
            (long.as_str(), Refusal::TooLong),
            (grows.as_str(), Refusal::TooLong),
        ] {
            assert_eq!(STRICT.read(address), Err(refusal), "{address:.60}");
        }
    }

    #[test]
    fn no_way_of_writing_a_private_address_gets_through() {
        for host in [
            "127.0.0.1",
            "127.1",
            "2130706433",
            "0x7f000001",
            "0177.0.0.1",
            "0x7f.1",
            "127.0.0.1.",
            "[::1]",
            "[::ffff:127.0.0.1]",
            "[::ffff:7f00:1]",
            "10.1.2.3",
            "192.168.0.1",
            "172.20.0.1",
            "100.64.0.1",
            "169.254.169.254",
            "[fd00::1]",
            "[fe80::1]",
            "[64:ff9b::a00:1]",
            "[2002:a00:1::]",
            "0.0.0.0",
            "0",
            "１２７.0.0.1",
            "224.0.0.1",
            "255.255.255.255",
        ] {
            let address = format!("https://{host}/");
            assert_eq!(STRICT.read(&address), Err(Refusal::NotPublic), "{address}");
        }
    }

    #[test]
    fn in_development_this_machine_may_be_told_also_in_the_clear_and_the_metadata_service_never() {
        for address in ["http://127.0.0.1:5000/x", "http://localhost:5000/x", "https://10.0.0.1:444/x"] {
            assert!(LENIENT.read(address).is_ok(), "{address}");
        }
        for address in ["http://10.0.0.1/x", "http://93.184.216.34/x"] {
            assert_eq!(LENIENT.read(address), Err(Refusal::NotHttps), "{address}");
        }
        for address in ["https://169.254.169.254/x", "http://169.254.169.254/x", "https://[fd00:ec2::254]/x"]
        {
            assert_eq!(LENIENT.read(address), Err(Refusal::NotPublic), "{address}");
        }
    }
}
