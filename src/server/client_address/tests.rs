use axum::http::HeaderValue;
use proptest::prelude::*;

use super::*;

const PROXY: &str = "10.0.0.1";

fn trusted() -> Vec<IpNet> {
    ["10.0.0.0/8", "127.0.0.0/8", "fd00::/8"].map(|network| network.parse().expect("a network")).to_vec()
}

fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
    let line = |(name, value): &(&'static str, &str)| {
        (HeaderName::from_static(name), HeaderValue::from_bytes(value.as_bytes()).expect("a value"))
    };
    lines.iter().map(line).collect()
}

fn of(peer: &str, lines: &[(&'static str, &str)]) -> ClientAddress {
    ClientAddress::of(peer.parse().expect("an address"), &headers(lines), &trusted())
}

fn ip(peer: &str, lines: &[(&'static str, &str)]) -> String {
    of(peer, lines).ip.to_string()
}

#[test]
fn a_stranger_is_who_connects_whatever_they_say() {
    let said =
        [("x-forwarded-for", "192.0.2.1"), ("forwarded", "for=192.0.2.2"), ("x-forwarded-proto", "https")];
    let stranger = of("203.0.113.9", &said);
    assert_eq!((stranger.ip.to_string().as_str(), stranger.https), ("203.0.113.9", false));
}

#[test]
fn behind_trusted_proxies_the_client_is_the_last_who_is_none() {
    for (said, client) in [
        ("192.0.2.1", "192.0.2.1"),
        ("192.0.2.1, 10.1.1.1, 10.2.2.2", "192.0.2.1"),
        ("127.0.0.1, 192.0.2.1", "192.0.2.1"),
        ("198.51.100.7, 192.0.2.1, 10.1.1.1", "192.0.2.1"),
        ("10.3.3.3, 10.1.1.1", "10.3.3.3"),
        ("192.0.2.1:4711", "192.0.2.1"),
        ("[2001:db8::1]:4711", "2001:db8::1"),
        ("[2001:db8::1]", "2001:db8::1"),
        ("2001:db8::1,fd00::1", "2001:db8::1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
    ] {
        assert_eq!(ip(PROXY, &[("x-forwarded-for", said)]), client, "{said}");
    }
}

#[test]
fn what_cannot_be_read_ends_the_walk_at_the_last_good_address() {
    for (said, client) in [
        ("", PROXY),
        ("unknown", PROXY),
        ("192.0.2.1, nonsense", PROXY),
        ("192.0.2.1, nonsense, 10.1.1.1", "10.1.1.1"),
        ("192.0.2.1,", PROXY),
        ("192.0.2.256", PROXY),
        ("192.0.2.1:port", PROXY),
        ("[192.0.2.1]", PROXY),
        ("192.0.2.1 10.1.1.1", PROXY),
        ("\u{e4}", PROXY),
    ] {
        assert_eq!(ip(PROXY, &[("x-forwarded-for", said)]), client, "{said:?}");
    }
}

#[test]
fn the_lines_of_a_header_are_one_list() {
    let lines = [("x-forwarded-for", "198.51.100.7"), ("x-forwarded-for", "192.0.2.1")];
    assert_eq!(ip(PROXY, &lines), "192.0.2.1");
}

#[test]
fn forwarded_is_read_as_the_standard_spells_it() {
    for (said, client) in [
        ("for=192.0.2.1", "192.0.2.1"),
        ("For=\"[2001:db8:cafe::17]:4711\"", "2001:db8:cafe::17"),
        ("for=192.0.2.43, for=198.51.100.17", "198.51.100.17"),
        ("for=192.0.2.60;proto=http;by=203.0.113.43, For=10.1.1.1;proto=https", "192.0.2.60"),
        ("proto=https; for = \"192.0.2.1:80\" ; by=\"a,for=198.51.100.1;b\"", "192.0.2.1"),
        ("for=unknown", PROXY),
        ("for=_hidden, for=10.1.1.1", "10.1.1.1"),
        ("by=192.0.2.1", PROXY),
        ("for=\"192.0.2.1", PROXY),
    ] {
        assert_eq!(ip(PROXY, &[("forwarded", said)]), client, "{said}");
    }
}

#[test]
fn of_both_headers_x_forwarded_for_counts() {
    let both = [("forwarded", "for=198.51.100.1"), ("x-forwarded-for", "192.0.2.1")];
    assert_eq!(ip(PROXY, &both), "192.0.2.1");
}

#[test]
fn tls_is_believed_of_trusted_proxies_only() {
    for (lines, https) in [
        (&[("x-forwarded-proto", "https")][..], true),
        (&[("x-forwarded-proto", "HTTPS, http")], true),
        (&[("x-forwarded-proto", "http")], false),
        (&[("forwarded", "for=192.0.2.1;proto=https")], true),
        (&[("forwarded", "for=192.0.2.1;proto=https"), ("x-forwarded-proto", "http")], false),
        (&[], false),
    ] {
        assert_eq!(of(PROXY, lines).https, https, "{lines:?}");
        assert!(!of("203.0.113.9", lines).https, "{lines:?}");
    }
}

#[test]
fn local_is_who_connects_from_this_machine_and_was_not_forwarded() {
    for peer in ["127.0.0.1", "::1", "::ffff:127.0.0.1"] {
        assert!(of(peer, &[]).local, "{peer}");
        for name in ["x-forwarded-for", "forwarded"] {
            assert!(!of(peer, &[(name, "for=127.0.0.1")]).local, "{peer}");
            assert!(!of(peer, &[(name, "127.0.0.1")]).local, "{peer}");
        }
    }
    assert!(!of(PROXY, &[]).local);
}

proptest! {
    #[test]
    fn whatever_a_client_says_the_proxys_own_word_counts(
        said in "[ -~]{0,80}",
        client in any::<std::net::Ipv4Addr>(),
    ) {
        let line = format!("{said},{client}");
        let expected = IpAddr::from(client);
        prop_assume!(!is_trusted(expected, &trusted()));
        prop_assert_eq!(of(PROXY, &[("x-forwarded-for", &line)]).ip, expected);
        let line = format!("{said}, by=\"[fd00::7]\";for={client}");
        prop_assert_eq!(of(PROXY, &[("forwarded", &line)]).ip, expected);
    }

    #[test]
    fn a_stranger_stays_who_they_are(said in "[ -~]{0,80}", peer in any::<IpAddr>()) {
        prop_assume!(!is_trusted(peer.to_canonical(), &trusted()));
        for name in ["x-forwarded-for", "forwarded", "x-forwarded-proto"] {
            let client = ClientAddress::of(peer, &headers(&[(name, &said)]), &trusted());
            prop_assert_eq!(client.ip, peer.to_canonical());
            prop_assert!(!client.https);
        }
    }
}
