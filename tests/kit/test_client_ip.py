"""From which address somebody is said to call, whatever they write into their headers."""

import ipaddress

import pytest
from starlette.requests import Request

from kit.client_ip import client_ip

PROXY, OUTER_PROXY, CALLER, LIE = "10.0.0.1", "10.0.0.2", "203.0.113.7", "198.51.100.1"
TRUSTED = [ipaddress.ip_network("10.0.0.0/8"), ipaddress.ip_network("fd00::/8")]


def a_request(*headers: tuple[str, str], peer: str | None = PROXY) -> Request:
    """Make a request that comes from a peer, or by a socket that has no address."""
    raw = [(name.lower().encode(), value.encode()) for name, value in headers]
    client = (peer, 1) if peer else None
    return Request({"type": "http", "client": client, "headers": raw})


@pytest.mark.parametrize("header", ["X-Forwarded-For", "Forwarded"])
@pytest.mark.parametrize(
    ("told", "address"),
    [
        ([CALLER], CALLER),
        ([LIE, CALLER], CALLER),
        ([LIE, PROXY, CALLER], CALLER),
        ([LIE, CALLER, OUTER_PROXY], CALLER),
        (["nonsense", CALLER], CALLER),
        ([CALLER, "nonsense"], "nonsense"),
        ([LIE, f"{CALLER}:4711"], CALLER),
        (["[2001:db8::1]:4711"], "2001:db8::1"),
        ([OUTER_PROXY], OUTER_PROXY),
        ([], PROXY),
    ],
)
def test_the_nearest_hop_that_is_not_ours_is_the_caller(
    header: str, told: list[str], address: str
) -> None:
    """S11, W-57: what stands to the left of it, the caller may have written."""
    form = "for={}" if header == "Forwarded" else "{}"
    hops = [form.format(hop) for hop in told]
    assert client_ip(a_request((header, ", ".join(hops))), TRUSTED) == address
    assert client_ip(a_request(*[(header, hop) for hop in hops]), TRUSTED) == address


def test_who_is_no_proxy_of_ours_is_the_caller_whatever_it_says() -> None:
    """S11, W-57."""
    told = ("X-Forwarded-For", LIE)
    assert client_ip(a_request(told, peer=CALLER), TRUSTED) == CALLER
    assert client_ip(a_request(told), []) == PROXY
    assert client_ip(a_request(told, peer=None), TRUSTED) == "unknown"


@pytest.mark.parametrize(
    ("told", "address"),
    [
        (f"for={CALLER}:4711;proto=https", CALLER),
        (f'proto=https; FOR="{CALLER}:4711"', CALLER),
        ('for="[2001:db8::1]:4711"', "2001:db8::1"),
        ('for="[2001:db8::1]", for="[fd00::1]"', "2001:db8::1"),
        ("for=2001:db8::1", "2001:db8::1"),
        (f"for={LIE}, for=_hidden", "_hidden"),
        (f"for={CALLER}, by={PROXY}", CALLER),
    ],
)
def test_addresses_are_read_in_every_form_of_the_standard(told: str, address: str) -> None:
    assert client_ip(a_request(("Forwarded", told)), TRUSTED) == address


def test_a_header_that_the_proxy_has_not_written_is_not_believed() -> None:
    """S11, W-57: a proxy may pass on, as the caller wrote it, the header that it does not know."""
    for truth, lie in (
        (("X-Forwarded-For", CALLER), ("Forwarded", f"for={LIE}")),
        (("Forwarded", f"for={CALLER}"), ("X-Forwarded-For", LIE)),
    ):
        assert client_ip(a_request(truth, lie), TRUSTED) == PROXY
    both = [("X-Forwarded-For", CALLER), ("Forwarded", f"for={LIE}, for={CALLER}")]
    assert client_ip(a_request(*both), TRUSTED) == CALLER
    assert client_ip(a_request(both[0], ("Forwarded", "proto=https")), TRUSTED) == CALLER
