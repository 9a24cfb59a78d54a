"""Which proxy of the environment, or of the system's settings, stands between this machine and an address.

Only the one that is meant for the address is looked at: what else is set may be for other programs.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Mapping
from fnmatch import fnmatchcase
from importlib import import_module
from importlib.util import find_spec
from ipaddress import ip_address, ip_network
from typing import Final
from urllib.parse import urlsplit
from urllib.request import getproxies, getproxies_environment

import httpx

from taskferry_transports.loopback import is_loopback
from taskferry_transports.port import ProxyUnusable
from taskferry_transports.whole_answer import UNREADABLE

__all__ = ["for_httpx", "proxy_for", "refusal_by", "refused_with"]

_SOCKS: Final = frozenset({"socks5", "socks5h"})
_PORTS: Final = {"http": 80, "https": 443}
_CREDENTIALS_WANTED: Final = 407
_STATUS: Final = re.compile(r"[1-5][0-9]{2}(?![0-9])", re.ASCII)


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
        if not getproxies_environment() and _is_spared_by_system(host):
            return None
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


def for_httpx(proxy: str | None) -> httpx.Proxy | None:
    """A proxy as httpx takes it: one that speaks TLS proves itself by the system's authorities."""
    if proxy is None:
        return None
    taken = httpx.Proxy(proxy)
    if taken.url.scheme == "https":
        # httpx would read, and trust, those of a file of its own besides.
        taken.ssl_context = ssl.create_default_context()
    return taken


def refused_with(place: str, status: int, *, named: bool) -> str:
    """What a proxy's refusal means, of which only the number is told; `named`: with credentials of ours."""
    said = f"{place} answered with HTTP status {status}"
    if status != _CREDENTIALS_WANTED:
        return said
    if named:
        return f"{said}: it does not take the user and password that are set with it"
    return f"{said}: it wants a user and a password (http://USER:PASSWORD@PROXY, as the proxy that is set)"


def refusal_by(place: str, error: httpx.ProxyError, *, named: bool) -> str:
    """The same of a refusal that httpx was given: it tells the proxy's own words, which may be any."""
    status = _STATUS.match(str(error))
    return refused_with(place, int(status[0]), named=named) if status else f"{place} does not connect to it"


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


def _is_spared_by_system(host: str) -> bool:
    """Whether the settings of macOS, which `getproxies` falls back to, except the host from their proxies."""
    try:
        # What urllib offers resolves the name, and who dials may not wait for that.
        settings = import_module("_scproxy")._get_proxy_settings()
    except (ImportError, AttributeError):
        return False
    if settings.get("exclude_simple") and not {".", ":"} & {*host}:
        return True
    excepted = [one.lower() for one in settings.get("exceptions", ()) if isinstance(one, str)]
    return any(fnmatchcase(host, one) or _is_within(host, _whole(one)) for one in excepted)


def _whole(network: str) -> str:
    """A network that macOS writes short, such as `169.254/16`, or `10.1`, as others write it."""
    parts, slash, prefix = network.partition("/")
    octets = parts.split(".")
    missing = 4 - len(octets)
    if missing <= 0 or not all(octet.isdecimal() for octet in octets):
        return network
    return f"{'.'.join([*octets, *('0' * missing)])}/{prefix if slash else 8 * len(octets)}"


def _is_within(host: str, network: str) -> bool:
    try:
        return ip_address(host) in ip_network(network, strict=False)
    except ValueError:
        return False
