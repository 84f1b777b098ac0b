"""The IP address of a client, which forged headers cannot change."""

import ipaddress

import pytest
from starlette.requests import Request

from core.http.client_address import get_client_ip

PROXY, OUTER_PROXY, CLIENT, FORGED = "10.0.0.1", "10.0.0.2", "203.0.113.7", "198.51.100.1"
TRUSTED = [ipaddress.ip_network("10.0.0.0/8"), ipaddress.ip_network("fd00::/8")]


def make_request(*headers: tuple[str, str], peer: str | None = PROXY) -> Request:
    """Create a request from a peer, or from a socket without address."""
    raw = [(name.lower().encode(), value.encode()) for name, value in headers]
    client = (peer, 1) if peer else None
    return Request({"type": "http", "client": client, "headers": raw})


@pytest.mark.parametrize("header", ["X-Forwarded-For", "Forwarded"])
@pytest.mark.parametrize(
    ("header_values", "address"),
    [
        ([CLIENT], CLIENT),
        ([FORGED, CLIENT], CLIENT),
        ([FORGED, PROXY, CLIENT], CLIENT),
        ([FORGED, CLIENT, OUTER_PROXY], CLIENT),
        (["nonsense", CLIENT], CLIENT),
        ([CLIENT, "nonsense"], "nonsense"),
        ([FORGED, f"{CLIENT}:4711"], CLIENT),
        (["[2001:db8::1]:4711"], "2001:db8::1"),
        ([OUTER_PROXY], OUTER_PROXY),
        ([], PROXY),
    ],
)
def test_the_nearest_untrusted_hop_is_the_client(
    header: str, header_values: list[str], address: str
) -> None:
    """S11, W-57: the client may have written the values to the left of it."""
    pattern = "for={}" if header == "Forwarded" else "{}"
    hops = [pattern.format(hop) for hop in header_values]
    assert get_client_ip(make_request((header, ", ".join(hops))), TRUSTED) == address
    assert get_client_ip(make_request(*[(header, hop) for hop in hops]), TRUSTED) == address


def test_headers_of_an_untrusted_peer_are_ignored() -> None:
    """S11, W-57."""
    header = ("X-Forwarded-For", FORGED)
    assert get_client_ip(make_request(header, peer=CLIENT), TRUSTED) == CLIENT
    assert get_client_ip(make_request(header), []) == PROXY
    assert get_client_ip(make_request(header, peer=None), TRUSTED) == "unknown"


@pytest.mark.parametrize(
    ("header_value", "address"),
    [
        (f"for={CLIENT}:4711;proto=https", CLIENT),
        (f'proto=https; FOR="{CLIENT}:4711"', CLIENT),
        ('for="[2001:db8::1]:4711"', "2001:db8::1"),
        ('for="[2001:db8::1]", for="[fd00::1]"', "2001:db8::1"),
        ("for=2001:db8::1", "2001:db8::1"),
        (f"for={FORGED}, for=_hidden", "_hidden"),
        (f"for={CLIENT}, by={PROXY}", CLIENT),
    ],
)
def test_all_notations_of_the_forwarded_header_are_parsed(header_value: str, address: str) -> None:
    assert get_client_ip(make_request(("Forwarded", header_value)), TRUSTED) == address


def test_two_headers_that_disagree_are_not_trusted() -> None:
    """S11, W-57: a proxy may forward a header that it does not know as the client wrote it."""
    for genuine, forged in (
        (("X-Forwarded-For", CLIENT), ("Forwarded", f"for={FORGED}")),
        (("Forwarded", f"for={CLIENT}"), ("X-Forwarded-For", FORGED)),
    ):
        assert get_client_ip(make_request(genuine, forged), TRUSTED) == PROXY
    both = [("X-Forwarded-For", CLIENT), ("Forwarded", f"for={FORGED}, for={CLIENT}")]
    assert get_client_ip(make_request(*both), TRUSTED) == CLIENT
    assert get_client_ip(make_request(both[0], ("Forwarded", "proto=https")), TRUSTED) == CLIENT
