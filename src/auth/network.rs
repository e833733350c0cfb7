//! Whose address is whose: what is counted together when addresses are counted.

use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// One customer: an IPv4 address, or an IPv6 /64, of which everybody has 2^64 addresses to come from.
#[must_use]
pub fn host(ip: IpAddr) -> IpNet {
    around(ip, 32)
}

/// The customer and those next to them: a /24, or an IPv6 /64. An account's owner mostly comes from the same few.
#[must_use]
pub fn neighbourhood(ip: IpAddr) -> IpNet {
    around(ip, 24)
}

fn around(ip: IpAddr, v4_bits: u8) -> IpNet {
    match ip.to_canonical() {
        IpAddr::V4(ip) => Ipv4Net::new_assert(ip, v4_bits).trunc().into(),
        IpAddr::V6(ip) => Ipv6Net::new_assert(ip, 64).trunc().into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ipv6_customer_is_a_64_and_an_ipv4_customer_an_address() {
        let host = |ip: &str| host(ip.parse().expect("an address")).to_string();
        assert_eq!(host("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::/64");
        assert_eq!(host("192.0.2.77"), "192.0.2.77/32");
        assert_eq!(host("::ffff:192.0.2.77"), "192.0.2.77/32");
    }

    #[test]
    fn neighbours_share_a_24_or_a_64() {
        let neighbourhood = |ip: &str| neighbourhood(ip.parse().expect("an address")).to_string();
        assert_eq!(neighbourhood("192.0.2.77"), "192.0.2.0/24");
        assert_eq!(neighbourhood("2001:db8:1:2:3::"), "2001:db8:1:2::/64");
    }
}
