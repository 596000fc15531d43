"""Addresses as inet_pton reads them, and sets of networks."""

import ipaddress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from syslogauth.core.address import UNUSABLE, Networks, canonical, pack

IPV4 = ["0.0.0.0", "192.0.2.25", "255.255.255.255"]
NO_ADDRESS = [
    *("", " ", ".", ":", "192.0.2", "192.0.2.", ".192.0.2.1", "192.0.2.1.1", "192.0.2.256", "192.0.2.-1", "192.0.2.1 ", " 192.0.2.1"),
    *("0x7f.1", "0x7f.0.0.1", "010.0.0.1", "192.168.123", "3221226009", "192.0.2.1/32", "192.0.2.1\n", "192.0.2.1\0", "192.0.2.\u0661"),
    *(
        "2001:db8",
        "2001:db8:::1",
        "::1%lo0",
        "fe80::1%1",
        "[::1]",
        "::g",
        "2001:db8::10/128",
        "12345::",
        "::192.0.2.256",
        ":1",
        "localhost",
    ),
]


@pytest.mark.parametrize("text", IPV4)
def test_a_dotted_quad_is_four_bytes(text: str) -> None:
    assert ipaddress.ip_address(text).packed == pack(text)


@pytest.mark.parametrize("text", ["::", "::1", "2001:db8::10", "2001:DB8:0:0:0:0:0:10", "::192.0.2.25", "64:ff9b::192.0.2.25"])
def test_an_ipv6_address_is_sixteen_bytes(text: str) -> None:
    assert ipaddress.ip_address(text).packed == pack(text)


@pytest.mark.parametrize("text", ["::ffff:192.0.2.25", "::FFFF:c000:219", "0:0:0:0:0:ffff:192.0.2.25"])
def test_a_mapped_address_is_folded_to_ipv4(text: str) -> None:
    assert pack("192.0.2.25") == pack(text)


@pytest.mark.parametrize("text", NO_ADDRESS)
def test_what_is_no_address_is_none(text: str) -> None:
    assert pack(text) is None


@given(st.ip_addresses())
@settings(deadline=None)
def test_the_canonical_text_is_read_back(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
    packed = pack(str(address))
    assert packed is not None
    assert packed == pack(canonical(packed))


NETWORKS = Networks(
    ("192.0.2.0/24", "192.0.2.128/25", "10.0.0.0/8", "198.51.100.7", "2001:db8::/32", "2001:db8::1/128", "::ffff:203.0.113.0/120")
)


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("192.0.2.1", "192.0.2.0/24"),
        ("192.0.2.127", "192.0.2.0/24"),
        ("192.0.2.128", "192.0.2.128/25"),
        ("192.0.3.1", None),
        ("10.255.255.255", "10.0.0.0/8"),
        ("11.0.0.0", None),
        ("198.51.100.7", "198.51.100.7"),
        ("198.51.100.8", None),
        ("2001:db8::1", "2001:db8::1/128"),
        ("2001:db8::2", "2001:db8::/32"),
        ("2001:db9::", None),
        ("203.0.113.9", "::ffff:203.0.113.0/120"),
        ("::ffff:203.0.113.9", "::ffff:203.0.113.0/120"),
        ("::ffff:192.0.2.1", "192.0.2.0/24"),
    ],
)
def test_the_narrowest_network_that_holds_an_address_is_found(address: str, expected: str | None) -> None:
    packed = pack(address)
    assert packed is not None
    assert expected == NETWORKS.find(packed)
    assert (expected is not None) == (packed in NETWORKS)


def test_the_whole_of_ipv6_holds_no_ipv4() -> None:
    assert Networks(("::/0",)).find(b"\xc0\x00\x02\x01") is None
    assert Networks(("0.0.0.0/0",)).find(bytes(16)) is None


def test_the_mapped_network_is_the_whole_of_ipv4() -> None:
    expected = "::ffff:0:0/96"
    assert expected == Networks((expected,)).find(b"\xc0\x00\x02\x01")


def test_no_networks_hold_nothing() -> None:
    assert b"\xc0\x00\x02\x01" not in Networks()


@pytest.mark.parametrize("text", ["192.0.2.1/24", "192.0.2.0/33", "2001:db8::1/32", "localhost", "", "1.2.3"])
def test_what_is_no_network_is_a_value_error(text: str) -> None:
    with pytest.raises(ValueError):
        Networks((text,))


@given(networks=st.lists(st.tuples(st.ip_addresses(v=4), st.integers(0, 32)), max_size=6), address=st.ip_addresses(v=4))
@settings(deadline=None)
def test_the_networks_agree_with_ipaddress(networks: list[tuple[ipaddress.IPv4Address, int]], address: ipaddress.IPv4Address) -> None:
    known = [ipaddress.ip_network((int(base), length), strict=False) for base, length in networks]
    expected = max((network.prefixlen for network in known if address in network), default=None)
    found = Networks(map(str, known)).find(address.packed)
    assert expected == (None if found is None else ipaddress.ip_network(found).prefixlen)


@pytest.mark.parametrize(
    "text", ["0.0.0.0", "0.1.2.3", "169.254.1.1", "224.0.0.1", "240.0.0.1", "255.255.255.255", "::", "fe80::1", "ff02::1"]
)
def test_no_mail_client_has_an_unusable_address(text: str) -> None:
    assert pack(text) in UNUSABLE


@pytest.mark.parametrize("text", ["127.0.0.1", "::1", "10.0.0.1", "192.0.2.25", "2001:db8::10"])
def test_others_are_left_to_the_policy(text: str) -> None:
    assert pack(text) not in UNUSABLE
