"""Under which name connections of a network address are counted."""

from __future__ import annotations

import ipaddress

__all__ = ["counted_as"]


def counted_as(host: str) -> str:
    """The address itself, or, since an IPv6 customer holds a whole /64, that network."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
        return str(ipaddress.ip_network((address, 64), strict=False))
    return host
