//! Which addresses a webhook may have. A server that sends requests wherever it is told to is a way into its own network:
//! whoever sets an address must not reach by it what only this machine reaches.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Who can be reached at an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    /// Somebody on the internet.
    Public,
    /// Somebody in a private network.
    Private,
    /// This machine.
    Loopback,
    /// Nobody that a webhook may name, in development neither: the metadata services of clouds, many at once, what is reserved.
    Nobody,
}

/// Networks of IPv4 that are not the internet; the first that fits counts.
const V4: [(Ipv4Addr, u8, Reach); 18] = [
    (Ipv4Addr::UNSPECIFIED, 8, Reach::Nobody),
    (Ipv4Addr::new(10, 0, 0, 0), 8, Reach::Private),
    // Alibaba's metadata service stands among those of carriers.
    (Ipv4Addr::new(100, 100, 100, 200), 32, Reach::Nobody),
    (Ipv4Addr::new(100, 64, 0, 0), 10, Reach::Private),
    (Ipv4Addr::new(127, 0, 0, 0), 8, Reach::Loopback),
    // Azure's own services stand among public addresses.
    (Ipv4Addr::new(168, 63, 129, 16), 32, Reach::Nobody),
    (Ipv4Addr::new(169, 254, 0, 0), 16, Reach::Nobody),
    (Ipv4Addr::new(172, 16, 0, 0), 12, Reach::Private),
    (Ipv4Addr::new(192, 0, 0, 0), 24, Reach::Nobody),
    (Ipv4Addr::new(192, 0, 2, 0), 24, Reach::Nobody),
    (Ipv4Addr::new(192, 88, 99, 0), 24, Reach::Nobody),
    (Ipv4Addr::new(192, 168, 0, 0), 16, Reach::Private),
    (Ipv4Addr::new(198, 18, 0, 0), 15, Reach::Nobody),
    (Ipv4Addr::new(198, 51, 100, 0), 24, Reach::Nobody),
    (Ipv4Addr::new(203, 0, 113, 0), 24, Reach::Nobody),
    (Ipv4Addr::new(224, 0, 0, 0), 4, Reach::Nobody),
    (Ipv4Addr::new(240, 0, 0, 0), 4, Reach::Nobody),
    (Ipv4Addr::BROADCAST, 32, Reach::Nobody),
];

/// Networks of IPv6 that are not the internet, or hold addresses of IPv4; the first that fits counts.
const V6: [(Ipv6Addr, u8, Reach); 7] = [
    (Ipv6Addr::LOCALHOST, 128, Reach::Loopback),
    // Amazon's metadata service stands among private addresses.
    (Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0), 32, Reach::Nobody),
    (Ipv6Addr::new(0xfc00, 0, 0, 0, 0, 0, 0, 0), 7, Reach::Private),
    // Protocols, Teredo among them, which holds an address of IPv4.
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23, Reach::Nobody),
    (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32, Reach::Nobody),
    // 6to4, which holds one, too.
    (Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16, Reach::Nobody),
    (Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20, Reach::Nobody),
];

/// Where NAT64 puts the internet of IPv4.
const NAT64: (Ipv6Addr, u8) = (Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, 0, 0), 96);
/// What was given out of IPv6 so far; everything else is special, or not in use.
const GLOBAL: (Ipv6Addr, u8) = (Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0), 3);

/// Who can be reached at an address.
pub(super) fn reach(address: IpAddr) -> Reach {
    match address {
        IpAddr::V4(address) => reach_v4(address),
        IpAddr::V6(address) => reach_v6(address),
    }
}

fn reach_v4(address: Ipv4Addr) -> Reach {
    let network =
        V4.iter().find(|(network, bits, _)| same(u32::from(*network), u32::from(address), 32 - bits));
    network.map_or(Reach::Public, |(_, _, reach)| *reach)
}

fn reach_v6(address: Ipv6Addr) -> Reach {
    let within = |network: Ipv6Addr, bits: u8| same_wide(network.to_bits(), address.to_bits(), 128 - bits);
    if within(NAT64.0, NAT64.1) {
        let [.., a, b, c, d] = address.octets();
        // A network without IPv4 of its own reaches public hosts by it, and nothing else may be.
        let inner = reach_v4(Ipv4Addr::new(a, b, c, d));
        return if inner == Reach::Public { Reach::Public } else { Reach::Nobody };
    }
    let network = V6.iter().find(|(network, bits, _)| within(*network, *bits));
    match network {
        Some((_, _, reach)) => *reach,
        None if within(GLOBAL.0, GLOBAL.1) => Reach::Public,
        None => Reach::Nobody,
    }
}

fn same(one: u32, other: u32, host_bits: u8) -> bool {
    (one ^ other).checked_shr(host_bits.into()).unwrap_or(0) == 0
}

fn same_wide(one: u128, other: u128, host_bits: u8) -> bool {
    (one ^ other).checked_shr(host_bits.into()).unwrap_or(0) == 0
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(address: &str) -> Reach {
        reach(address.parse().expect(address))
    }

    #[test]
    fn the_internet_is_public() {
        for address in
            ["1.1.1.1", "8.8.8.8", "93.184.216.34", "172.15.255.255", "172.32.0.0", "100.63.255.255"]
        {
            assert_eq!(of(address), Reach::Public, "{address}");
        }
        for address in ["2606:4700::1111", "2a00:1450:4001::1", "2001:4860:4860::8888", "64:ff9b::808:808"] {
            assert_eq!(of(address), Reach::Public, "{address}");
        }
    }

    #[test]
    fn this_machine_and_private_networks_are_told_apart() {
        for address in ["127.0.0.1", "127.255.255.254", "::1"] {
            assert_eq!(of(address), Reach::Loopback, "{address}");
        }
        for address in [
            "10.0.0.1",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "100.64.0.1",
            "100.127.255.255",
            "fd12::1",
        ] {
            assert_eq!(of(address), Reach::Private, "{address}");
        }
    }

    #[test]
    fn what_no_webhook_may_name_is_nobodys() {
        for address in [
            "0.0.0.0",
            "0.1.2.3",
            "169.254.169.254",
            "168.63.129.16",
            "100.100.100.200",
            "192.0.0.192",
            "192.0.2.1",
            "192.88.99.1",
            "198.18.0.1",
            "198.19.255.255",
            "198.51.100.1",
            "203.0.113.1",
            "224.0.0.1",
            "239.255.255.255",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::127.0.0.1",
            "::ffff:127.0.0.1",
            "::ffff:8.8.8.8",
            "::ffff:0:127.0.0.1",
            "64:ff9b::7f00:1",
            "64:ff9b::a9fe:a9fe",
            "64:ff9b:1::1",
            "100::1",
            "2001::1",
            "2001:2::1",
            "2001:10::1",
            "2001:db8::1",
            "2002:7f00:1::",
            "2002:808:808::",
            "3fff::1",
            "5f00::1",
            "fe80::1",
            "fec0::1",
            "fd00:ec2::254",
            "ff02::1",
        ] {
            assert_eq!(of(address), Reach::Nobody, "{address}");
        }
    }

    /// The ways to write an address of IPv4 as one of IPv6.
    fn embedded(address: Ipv4Addr) -> Vec<Ipv6Addr> {
        let [a, b, c, d] = address.octets();
        let (high, low) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
        vec![
            address.to_ipv6_mapped(),
            address.to_ipv6_compatible(),
            Ipv6Addr::new(0, 0, 0, 0, 0xffff, 0, high, low),
            Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, high, low),
            Ipv6Addr::new(0x64, 0xff9b, 1, 0, 0, 0, high, low),
            Ipv6Addr::new(0x2002, high, low, 0, 0, 0, 0, 1),
            Ipv6Addr::new(0x2001, 0, high, low, 0, 0, 0, 1),
            Ipv6Addr::new(0x2001, 0, 1, 1, 0, 0, !high, !low),
        ]
    }

    /// An independent list, as the standard library has it.
    fn is_special(address: Ipv4Addr) -> bool {
        let [a, b, ..] = address.octets();
        address.is_private()
            || address.is_loopback()
            || address.is_link_local()
            || address.is_multicast()
            || address.is_broadcast()
            || address.is_documentation()
            || address.is_unspecified()
            || (a == 100 && (64..128).contains(&b))
            || (a == 198 && (18..20).contains(&b))
            || a == 0
            || a >= 240
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20_000))]

        #[test]
        fn no_special_address_is_public(bits: u32) {
            let address = Ipv4Addr::from(bits);
            if is_special(address) {
                prop_assert_ne!(reach(address.into()), Reach::Public);
            }
        }

        #[test]
        fn no_address_is_public_by_being_written_as_one_of_ipv6(bits: u32) {
            let address = Ipv4Addr::from(bits);
            for hidden in embedded(address) {
                if reach(hidden.into()) == Reach::Public {
                    prop_assert_eq!(reach(address.into()), Reach::Public, "{}", hidden);
                }
            }
        }

        #[test]
        fn private_networks_hidden_in_ipv6_are_nobodys(network in 0..5_usize, host: u32) {
            let (base, bits): (u32, u32) = [
                (0x0a00_0000, 8), (0x7f00_0000, 8), (0xac10_0000, 12), (0xc0a8_0000, 16), (0xa9fe_0000, 16),
            ][network];
            let address = Ipv4Addr::from(base | (host & (u32::MAX >> bits)));
            for hidden in embedded(address) {
                prop_assert_eq!(reach(hidden.into()), Reach::Nobody, "{}", hidden);
            }
        }

        #[test]
        fn only_what_was_given_out_of_ipv6_is_public(bits: u128) {
            let address = Ipv6Addr::from(bits);
            if reach(address.into()) == Reach::Public {
                prop_assert!(address.segments()[0] >> 13 == 1 || address.segments()[..2] == [0x64, 0xff9b]);
            }
        }
    }
}
