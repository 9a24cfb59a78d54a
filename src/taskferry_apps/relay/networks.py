"""Whose a network address is, as far as its prefix tells: a customer's, a site's, a provider's.

Strangers are counted by all three. Whoever has one address of IPv6 has 2^64 of them, whoever rents a machine
may have a /48, and a provider's /32 costs little more; of IPv4 a /24 is the least that is sold and routed.
"""

from __future__ import annotations

import ipaddress
from typing import Final

import attrs

__all__ = ["Networks", "networks_of"]

#: IPv6: the network of one customer; of one site (RFC 6177); the least that a registry gives to a provider.
_V6_BITS: Final = (64, 48, 32)
#: IPv4: one address; the smallest network that is routed by itself; what one provider holds of neighbours.
_V4_BITS: Final = (32, 24, 16)


@attrs.frozen
class Networks:
    """The three networks that an address is in, each as a text to count by."""

    customer: str
    site: str
    provider: str


def networks_of(peer: str) -> Networks:
    """The networks of an address. What is no IP address is one network of its own."""
    try:
        address = ipaddress.ip_address(peer)
    except ValueError:
        return Networks(peer, peer, peer)
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    # The zone of a link-local address (`%eth0`) is this machine's own and no part of it.
    bits = _V4_BITS if isinstance(address, ipaddress.IPv4Address) else _V6_BITS
    return Networks(*(str(ipaddress.ip_network((address.packed, size), strict=False)) for size in bits))
