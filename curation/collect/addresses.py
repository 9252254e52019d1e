"""Which network addresses the collector may connect to.

A URL from the web can name, redirect to, or resolve to an address inside our own network. Names
and spellings prove nothing (a DNS answer can change between check and use), so the check is on the
address itself at the two places through which every connection goes: the resolver, which drops
forbidden answers, and the socket factory, which is called with the very address that is connected
to, also for IP literals.
"""

import socket
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any

from aiohttp import ThreadedResolver
from aiohttp.abc import AbstractResolver, ResolveResult

Address = IPv4Address | IPv6Address

_NAT64 = IPv6Network("64:ff9b::/96")  # RFC 6052: the IPv4 address is in the last 32 bits
_NOT_PUBLIC = tuple(
    # Of the IANA special-purpose registries, what some versions of `ipaddress` call global:
    # protocol assignments (a cloud's metadata service is in them), the 6to4 relay, documentation
    # (RFC 9637), SRv6 SIDs (RFC 9602).
    map(ip_network, ("192.0.0.0/24", "192.88.99.0/24", "3fff::/20", "5f00::/16"))
)


class AddressRefused(OSError):
    """A connection to an address that is not public and not on the allow-list."""


def embedded_ipv4(address: Address) -> Address:
    """The IPv4 address that an IPv6 address stands for (mapped, 6to4, Teredo, NAT64), or itself."""
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            return address.ipv4_mapped
        if address.sixtofour is not None:
            return address.sixtofour
        if address.teredo is not None:
            return address.teredo[1]
        if address in _NAT64:
            return IPv4Address(int(address) & 0xFFFFFFFF)
    return address


class AddressGuard:
    """Decides by address; `allow` lists networks (CIDR) that are let through although private."""

    def __init__(self, allow: Sequence[str] = ()) -> None:
        self._allow = [ip_network(text) for text in allow]

    def refusal(self, text: str) -> str | None:
        """Why `text`, an IP address as the system writes it, is refused; None when allowed."""
        try:
            address = embedded_ipv4(ip_address(text.partition("%")[0]))
        except ValueError:
            return f"{text} is not an IP address"
        if any(address.version == net.version and address in net for net in self._allow):
            return None
        named = any(address.version == net.version and address in net for net in _NOT_PUBLIC)
        if (
            address.is_global
            and not named
            and not address.is_multicast
            and not address.is_reserved
            and not address.is_unspecified
            and not getattr(address, "is_site_local", False)
        ):
            return None
        return f"{text} is not a public address"

    def check(self, text: str) -> None:
        """Raise `AddressRefused` when `text` may not be connected to."""
        reason = self.refusal(text)
        if reason is not None:
            raise AddressRefused(reason)

    def make_socket(self, info: tuple[Any, ...]) -> socket.socket:
        """aiohttp's socket factory: the last word before a connection is opened."""
        family, kind, protocol, _, address = info
        self.check(str(address[0]))
        return socket.socket(family=family, type=kind, proto=protocol)


class GuardedResolver(AbstractResolver):
    """Resolves names by the system and keeps only the answers that the guard allows."""

    def __init__(self, guard: AddressGuard) -> None:
        self._guard = guard
        self._system = ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Addresses of `host`; raises `AddressRefused` when none of them is allowed."""
        answers = await self._system.resolve(host, port, family)
        allowed = [answer for answer in answers if self._guard.refusal(answer["host"]) is None]
        if answers and not allowed:
            raise AddressRefused(
                f"{host} resolves to {answers[0]['host']}, which is not a public address"
            )
        return allowed

    async def close(self) -> None:
        """Close the system's resolver."""
        await self._system.close()
