//! From where a key may be used.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::error::UserError;

/// Entries of a list.
const MOST: usize = 50;

/// The networks somebody typed, spelled alike, each once; a single address is a network of its own.
///
/// # Errors
/// `INVALID_INPUT`.
pub(super) fn read(typed: &[String]) -> Result<Vec<String>, UserError> {
    if typed.len() > MOST {
        return Err(invalid(format!(
            "`allowedIps` has more than {MOST} entries. Write networks in CIDR notation."
        )));
    }
    let mut networks = Vec::new();
    for entry in typed {
        let network = network(entry.trim()).ok_or_else(|| {
            invalid("`allowedIps` takes addresses and networks such as 192.0.2.7, 198.51.100.0/24 and 2001:db8::/48.")
        })?;
        let network = network.to_string();
        if !networks.contains(&network) {
            networks.push(network);
        }
    }
    Ok(networks)
}

/// Whether the list lets an address in; an empty one lets in all.
pub(super) fn admit(networks: &[String], ip: IpAddr) -> bool {
    let ip = ip.to_canonical();
    let holds = |network: &String| network.parse::<IpNet>().is_ok_and(|network| network.contains(&ip));
    networks.is_empty() || networks.iter().any(holds)
}

fn network(typed: &str) -> Option<IpNet> {
    let network = match typed.parse::<IpAddr>() {
        Ok(ip) => IpNet::from(ip.to_canonical()),
        Err(_) => typed.parse::<IpNet>().ok()?.trunc(),
    };
    // Clients with an IPv4 address are known by that: such a network would let in nobody.
    let is_mapped = matches!(network, IpNet::V6(network) if network.addr().to_ipv4_mapped().is_some());
    (!is_mapped).then_some(network)
}

fn invalid(message: impl Into<String>) -> UserError {
    UserError::invalid("allowedIps", message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(typed: &[&str]) -> Result<Vec<String>, UserError> {
        read(&typed.iter().map(|entry| (*entry).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn networks_are_spelled_alike_and_kept_once() {
        let typed = [" 192.0.2.7", "192.0.2.7/32", "198.51.100.9/24", "2001:DB8::1", "::ffff:192.0.2.7"];
        assert_eq!(list(&typed).expect("good"), ["192.0.2.7/32", "198.51.100.0/24", "2001:db8::1/128"]);
        for bad in ["", "example.com", "192.0.2.7/33", "192.0.2", "*", "::ffff:192.0.2.0/120"] {
            assert_eq!(list(&[bad]).expect_err(bad).field, Some("allowedIps"));
        }
        assert!(list(&["192.0.2.7"; MOST + 1]).is_err());
    }

    #[test]
    fn a_list_lets_in_what_it_names_and_an_empty_one_all() {
        let networks = list(&["198.51.100.0/24", "2001:db8::/48"]).expect("good");
        let admits = |ip: &str| admit(&networks, ip.parse().expect("an address"));
        for ip in ["198.51.100.1", "::ffff:198.51.100.1", "2001:db8:0:1::1"] {
            assert!(admits(ip), "{ip}");
        }
        for ip in ["198.51.101.1", "2001:db8:1::1", "::1", "127.0.0.1"] {
            assert!(!admits(ip), "{ip}");
        }
        assert!(admit(&[], "127.0.0.1".parse().expect("an address")));
    }
}
