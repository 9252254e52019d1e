"""No connection is ever opened to an address inside."""

import asyncio
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st
from web import Web
from yarl import URL

from catalog.settings.collect import Collect
from curation.collect.addresses import AddressGuard
from curation.collect.budget import ByteBudget
from curation.collect.http import Http
from curation.collect.outcome import FetchError


def _get(url: str, settings: Collect) -> int:
    async def run() -> int:
        async with Http(settings, ByteBudget(settings.bytes_in_flight)) as http:
            return (await http.get(URL(url, encoded=True))).status

    return asyncio.run(run())


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "127.255.255.254", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254",
        "100.64.0.1", "0.0.0.0", "224.0.0.1", "240.0.0.1", "255.255.255.255", "192.0.2.1",
        "198.18.0.1", "::1", "::", "fe80::1", "fe80::1%eth0", "fc00::1", "fec0::1", "ff02::1",
        "2001:db8::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::127.0.0.1", "64:ff9b::7f00:1",
        "64:ff9b:1::1", "2002:7f00:1::", "2002:a00:1::1", "2001:0:0:0:0:0:80ff:fffe",
        "192.0.0.192", "192.88.99.1", "3fff::1", "5f00::1", "::ffff:192.0.0.192", "nonsense",
    ],
)  # fmt: skip
def test_addresses_that_are_not_public_are_refused(address: str) -> None:
    assert AddressGuard().refusal(address) is not None


@pytest.mark.parametrize("address", ["1.1.1.1", "8.8.8.8", "2606:4700::1111", "::ffff:1.1.1.1"])
def test_public_addresses_are_not(address: str) -> None:
    assert AddressGuard().refusal(address) is None


@given(st.integers(0, 2**32 - 1))
def test_an_ipv4_address_is_judged_the_same_in_every_ipv6_guise(number: int) -> None:
    import ipaddress

    guard = AddressGuard()
    plain = guard.refusal(str(ipaddress.IPv4Address(number))) is None
    for prefix in ("::ffff:0:0", "64:ff9b::"):
        dressed = ipaddress.IPv6Address(int(ipaddress.IPv6Address(prefix)) + number)
        assert (guard.refusal(str(dressed)) is None) == plain
    assert (
        guard.refusal(str(ipaddress.IPv6Address((0x2002 << 112) + (number << 80)))) is None
    ) == (plain)


def test_the_allow_list_lets_its_networks_through_and_nothing_else() -> None:
    guard = AddressGuard(["10.1.0.0/16", "::1/128"])
    assert guard.refusal("10.1.2.3") is None
    assert guard.refusal("::ffff:10.1.2.3") is None
    assert guard.refusal("::1") is None
    assert guard.refusal("10.2.0.1") is not None


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.1", "2130706433", "0x7f.0.0.1", "0177.0.0.1", "[::ffff:127.0.0.1]",
             "localhost", "localhost."],
)  # fmt: skip
def test_no_spelling_of_loopback_reaches_a_server(web: Web, host: str) -> None:
    web.serve("/", b"secret")
    with pytest.raises(FetchError) as caught:
        _get(f"http://{host}:{web.port}/", Collect())
    assert caught.value.slug in ("address-refused", "invalid-url", "dns")
    assert not web.seen


def test_a_name_that_changes_its_address_after_the_check_is_refused(
    web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each look-up gives another answer, as a rebinding name server does."""
    web.serve("/", b"secret")
    answers = iter(["192.0.2.7", "127.0.0.1", "127.0.0.1", "127.0.0.1"])
    system = socket.getaddrinfo

    def rebinding(host: str, port: int, *rest: object, **named: object) -> object:
        if host == "rebind.test":
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (next(answers), port))]
        return system(host, port, *rest, **named)

    monkeypatch.setattr(socket, "getaddrinfo", rebinding)
    for _ in range(3):
        with pytest.raises(FetchError) as caught:
            _get(f"http://rebind.test:{web.port}/", Collect())
        assert caught.value.slug == "address-refused"
    assert not web.seen
    assert _get(f"http://rebind.test:{web.port}/", Collect(allow_addresses=("127.0.0.0/8",))) == 200
