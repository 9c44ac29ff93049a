"""Which network addresses may be sent to: public ones, and those that the operator allows."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Self

from handlers.errors import AddressPolicyError

Address = IPv4Address | IPv6Address
_MOST_NETWORKS = 100
# RFC 6052 §2.1: an IPv4 address within one of IPv6, which a translator on the way unpacks.
_NAT64 = ip_network("64:ff9b::/96")


@dataclass(frozen=True, slots=True)
class AddressPolicy:
    """``networks`` in CIDR notation are allowed beside the public addresses; ``is_any`` allows all.

    What an outsider may name as a target must not reach what only this machine can reach.
    """

    networks: tuple[str, ...] = ()
    is_any: bool = False

    @classmethod
    def parse(cls, text: str) -> Self:
        """``10.1.0.0/16, ::1`` or ``*``. Raises AddressPolicyError."""
        if text.strip() == "*":
            return cls(is_any=True)
        parts = [part.strip() for part in text.split(",") if part.strip()]
        try:
            networks = tuple(str(ip_network(part)) for part in parts)
        except ValueError as error:
            raise AddressPolicyError(f"{text[:80]!r} names no network: {error}") from None
        if not 1 <= len(networks) <= _MOST_NETWORKS:
            raise AddressPolicyError(f"there must be 1 to {_MOST_NETWORKS} networks")
        return cls(networks)

    def allows(self, text: str) -> bool:
        """Whether this address, as a socket has it, may be connected to."""
        if self.is_any:
            return True
        try:
            address = ip_address(text.partition("%")[0])  # without the zone of a link-local one
        except ValueError:
            return False
        address = _unpacked(address)
        if any(
            address in network
            for network in map(ip_network, self.networks)
            if network.version == address.version
        ):
            return True
        # Multicast counts as global, and answers nobody who sends HTTP.
        return address.is_global and not address.is_multicast

    def refused(self, host: str) -> str | None:
        """The address that a host says itself, without being looked up, if that is not allowed.

        ``127.0.0.1``, ``127.1`` and ``::1`` do, and names of this machine (RFC 6761 §6.3).
        """
        own = host.rstrip(".").lower()
        if own == "localhost" or own.endswith(".localhost"):
            address = "127.0.0.1"
        else:
            try:
                found = socket.getaddrinfo(host, None, flags=socket.AI_NUMERICHOST)
            except (OSError, ValueError):
                return None  # a name
            address = str(found[0][4][0])
        return None if self.allows(address) else address


def _unpacked(address: Address) -> Address:
    """The IPv4 address that an IPv6 one stands for, as what it leads to is what matters."""
    if isinstance(address, IPv4Address):
        return address
    inner = address.ipv4_mapped or address.sixtofour
    if inner is None and address.teredo is not None:
        inner = address.teredo[1]
    if inner is None and address in _NAT64:
        inner = IPv4Address(int(address) & 0xFFFF_FFFF)
    return address if inner is None else inner
