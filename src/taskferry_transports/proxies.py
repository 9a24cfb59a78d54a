"""Which proxy of the environment, or of the system's settings, stands between this machine and an address.

Only the one that is meant for the address is looked at: what else is set may be for other programs.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from ipaddress import ip_address, ip_network
from typing import Final
from urllib.parse import urlsplit
from urllib.request import getproxies

import httpx

from taskferry_transports.loopback import is_loopback
from taskferry_transports.port import ProxyUnusable
from taskferry_transports.whole_answer import UNREADABLE

__all__ = ["proxy_for"]

_SOCKS: Final = frozenset({"socks5", "socks5h"})
_PORTS: Final = {"http": 80, "https": 443}


def proxy_for(url: str, named: Mapping[str, str] | None = None) -> str | None:
    """The proxy by which an http or https address is asked; None where it is asked directly.

    `named` are proxies by scheme, `all` and `no`, as `urllib.request.getproxies` gives them.
    Raises ProxyUnusable.
    """
    parts = urlsplit(url)
    host = parts.hostname or ""
    if is_loopback(host):
        # A proxy is never meant for this machine.
        return None
    if named is None:
        named = getproxies()
    proxy = named.get(parts.scheme) or named.get("all")
    if not proxy or _is_spared(host, parts.port or _PORTS.get(parts.scheme), named.get("no", "")):
        return None
    if "://" not in proxy:
        proxy = f"http://{proxy}"
    try:
        scheme = httpx.Proxy(proxy).url.scheme
    except UNREADABLE:
        scheme = ""
    if not scheme or (scheme in _SOCKS and find_spec("socksio") is None):
        # Not a word of it: it may hold a password.
        raise ProxyUnusable(
            f"the proxy that is set for {host} cannot be used: it has to begin with http:// or https:// "
            f"({parts.scheme.upper()}_PROXY, which comes before ALL_PROXY; NO_PROXY spares hosts)"
        )
    return proxy


def _is_spared(host: str, port: int | None, spared: str) -> bool:
    """Whether NO_PROXY names the host, alone or with this port, or a domain or network that it is in."""
    for word in spared.lower().split(","):
        name = word.strip().rpartition("://")[2].removeprefix("*.").lstrip(".")
        names = {name, name.strip("[]"), name.removesuffix(f":{port}").strip("[]")} - {""}
        if "*" in names or host in names or any(host.endswith(f".{one}") for one in names):
            return True
        if any(_is_within(host, one) for one in names):
            return True
    return False


def _is_within(host: str, network: str) -> bool:
    try:
        return ip_address(host) in ip_network(network, strict=False)
    except ValueError:
        return False
