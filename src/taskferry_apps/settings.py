"""Settings of the relay and the daemon: read once, from flags, environment and a file, into a frozen value.

A flag outranks an environment variable, which outranks the file, which outranks the default. The file has the
tables `[relay]` and `[daemon]`, with the field names below as keys.
"""

from __future__ import annotations

import ipaddress
import re
import tomllib
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

import attrs
import platformdirs

from taskferry_protocol.ids import Hash, sha256
from taskferry_protocol.tickets import is_ticket
from taskferry_transports.port import is_loopback

from .credentials import WANTED, is_credential

__all__ = [
    "DaemonSettings",
    "RelaySettings",
    "SettingsError",
    "load_daemon",
    "load_relay",
    "owner_token_path",
]

S = TypeVar("S", "RelaySettings", "DaemonSettings")

Source = str
"""`flag`, `environment NAME`, `file PATH` or `default`."""


class SettingsError(Exception):
    """A setting cannot be used; the text names it, where it came from, and what would do."""


def _default_data() -> Path:
    return Path(platformdirs.user_data_dir("taskferry", appauthor=False))


# Each reader's ValueError completes the sentence "it must be …".


def _address(text: str) -> tuple[str, int] | None:
    """`HOST:PORT` or `[v6]:PORT`; None if it is neither."""
    host, colon, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not colon or not _HOST.fullmatch(host) or not _PORT.fullmatch(port) or int(port) > _LAST_PORT:
        return None
    return host, int(port)


_HOST: Final = re.compile(r"[0-9A-Za-z.:%_-]{1,255}", re.ASCII)
_PORT: Final = re.compile(r"[0-9]{1,5}", re.ASCII)
_LAST_PORT: Final = 65535


def _relay_address(text: str) -> tuple[str, int]:
    address = _address(text)
    if address is None:
        raise ValueError("an address with a port, such as 127.0.0.1:8080")
    return address


def _mail_server(text: str) -> tuple[str, int]:
    address = _address(text)
    if address is None:
        raise ValueError("HOST:PORT, such as mail.example:587")
    return address


def _local_address(text: str) -> tuple[str, int]:
    """Of this machine alone: the local API is not made to face a network."""
    address = _address(text)
    if address is None or not is_loopback(address[0]):
        raise ValueError("an address of this machine alone, such as 127.0.0.1:4318")
    return address


def _url(*schemes: str) -> Callable[[str], str]:
    def read(text: str) -> str:
        if not _is_plain_url(text, schemes):
            *others, last = (f"{scheme}://" for scheme in schemes)
            raise ValueError(
                f"a URL such as https://relay.example ({', '.join(others)} or {last}), "
                "without user, query or fragment"
            )
        return text.rstrip("/")

    return read


def _relay_url(text: str) -> str:
    """A relay's URL; the address of its WebSocket, as other programs name it, means the same relay."""
    return _url("http", "https", "ws", "wss")(text).removesuffix("/v1/ws")


def _is_plain_url(text: str, schemes: Collection[str]) -> bool:
    """Whether it is a URL of one of these schemes that names a host, perhaps a port and a path."""
    try:
        parts = urlsplit(text)
        host, port = parts.hostname, parts.port
    except ValueError:
        return False
    plain = text.isascii() and text.isprintable() and " " not in text
    more = parts.query or parts.fragment or "@" in parts.netloc
    return parts.scheme in schemes and bool(host) and port != 0 and plain and not more


def _origins(text: str) -> tuple[str, ...]:
    return tuple(_url("ws", "wss", "http", "https")(item.strip()) for item in text.split(",") if item.strip())


def _choice(*words: str) -> Callable[[str], str]:
    def read(text: str) -> str:
        if text not in words:
            raise ValueError(f"one of {', '.join(words)}")
        return text

    return read


def _addresses(text: str) -> frozenset[str]:
    try:
        return frozenset(str(ipaddress.ip_address(item.strip())) for item in text.split(",") if item.strip())
    except ValueError as error:
        raise ValueError("IP addresses, comma-separated") from error


def _tokens(text: str) -> Mapping[str, Hash]:
    """`name=token,...` as digests by name: the tokens are not kept."""
    found: dict[str, Hash] = {}
    for item in text.split(","):
        name, equals, token = item.strip().partition("=")
        if not item.strip():
            continue
        if not equals or not _TOKEN_NAME.fullmatch(name) or len(token) < _TOKEN_CHARS or not is_ticket(token):
            raise ValueError(f"name=token, comma-separated, each token of {_TOKEN_CHARS} to 128 characters")
        if name in found:
            raise ValueError(f"one token for each name; {name} has two")
        found[name] = sha256(token.encode())
    return found


def _mailbox(text: str) -> str:
    if not text.isascii() or not _MAILBOX.fullmatch(text):
        raise ValueError("an e-mail address such as relay@relay.example")
    return text


def _token(text: str) -> str:
    if not is_ticket(text):
        raise ValueError("a token of at most 128 visible characters")
    return text


def _number(text: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > _DIGITS:
        raise ValueError(f"a number of at most {_DIGITS} digits")
    return int(text)


def _yes(text: str) -> bool:
    if text not in ("yes", "no"):
        raise ValueError("yes or no")
    return text == "yes"


_DIGITS: Final = 9
_MAILBOX: Final = re.compile(r"[!-?A-~]{1,64}@[A-Za-z0-9.-]{1,253}", re.ASCII)
_TOKEN_NAME: Final = re.compile(r"[A-Za-z0-9_.@/-]{1,64}", re.ASCII)
#: Shorter ones are guessed.
_TOKEN_CHARS: Final = 12
_LEVEL: Final = _choice("debug", "info", "warning")


def _path(text: str) -> Path:
    return Path(text).expanduser()


def _credential(text: str) -> str:
    if not is_credential(text):
        raise ValueError(WANTED)
    return text


def _from(read: Callable[[str], object], *environment: str) -> dict[str, object]:
    """A field's metadata: how to read its text, and the environment variables that may set it."""
    return {"read": read, "environment": environment, "secret": False}


def _secret(read: Callable[[str], object], *environment: str) -> dict[str, object]:
    """As `_from`, for a value that no message may repeat."""
    return {"read": read, "environment": environment, "secret": True}


@attrs.frozen(kw_only=True)
class RelaySettings:
    """How one relay runs."""

    addr: tuple[str, int] = attrs.field(
        default=("127.0.0.1", 8080), metadata=_from(_relay_address, "TASKFERRY_RELAY_ADDR")
    )
    """Where to listen; port 0 lets the system choose."""
    data: Path = attrs.field(factory=_default_data, metadata=_from(_path, "TASKFERRY_DATA"))
    """The data directory: where the database is kept, unless `db` says otherwise."""
    db: Path | None = attrs.field(default=None, metadata=_from(_path, "TASKFERRY_RELAY_DB"))
    """The SQLite file; None: `relay.db` in the data directory."""
    origins: tuple[str, ...] = attrs.field(default=(), metadata=_from(_origins, "TASKFERRY_RELAY_ORIGINS"))
    """The origins that daemons may have dialled, such as wss://relay.example; none: the bound address's."""
    public_url: str | None = attrs.field(
        default=None, metadata=_from(_url("http", "https"), "TASKFERRY_RELAY_PUBLIC_URL")
    )
    """Where people reach the relay's pages; links are made from it alone. None: from the first origin."""
    signup: str = attrs.field(
        default="open", metadata=_from(_choice("open", "ticket", "closed"), "TASKFERRY_RELAY_SIGNUP")
    )
    """Whether accounts that the relay does not know may join: all, those with a ticket or token, or none."""
    client_tokens: Mapping[str, Hash] = attrs.field(
        factory=dict, metadata=_secret(_tokens, "TASKFERRY_RELAY_CLIENT_TOKENS"), repr=False
    )
    """SHA-256, by a name for each, of what lets any number of new accounts in."""
    signups_per_hour: int = attrs.field(
        default=60, metadata=_from(_number, "TASKFERRY_RELAY_SIGNUPS_PER_HOUR")
    )
    """New accounts that may begin from one network address in an hour; this machine's are not counted."""
    trusted_proxies: frozenset[str] = attrs.field(
        default=frozenset(), metadata=_from(_addresses, "TASKFERRY_RELAY_TRUSTED_PROXIES")
    )
    """Addresses of reverse proxies whose X-Forwarded-For says where a connection comes from; none."""
    smtp: tuple[str, int] | None = attrs.field(
        default=None, metadata=_from(_mail_server, "TASKFERRY_RELAY_SMTP")
    )
    """The mail server that takes the relay's mail; None: tickets are not sent by e-mail."""
    smtp_security: str = attrs.field(
        default="starttls",
        metadata=_from(_choice("starttls", "tls", "none"), "TASKFERRY_RELAY_SMTP_SECURITY"),
    )
    """How the connection there is protected; `none` is for this machine alone."""
    smtp_from: str | None = attrs.field(default=None, metadata=_from(_mailbox, "TASKFERRY_RELAY_SMTP_FROM"))
    """The address that the relay's mail is from."""
    smtp_user: str | None = attrs.field(default=None, metadata=_from(str, "TASKFERRY_RELAY_SMTP_USER"))
    """As whom to sign in at the mail server; None: not at all."""
    smtp_password_file: Path | None = attrs.field(
        default=None, metadata=_from(_path, "TASKFERRY_RELAY_SMTP_PASSWORD_FILE")
    )
    """Where the password of `smtp_user` stands, in the first line."""
    smtp_ca: Path | None = attrs.field(default=None, metadata=_from(_path, "TASKFERRY_RELAY_SMTP_CA"))
    """Certificates (PEM) of the authorities to trust for the mail server, instead of the system's."""
    log: str = attrs.field(default="info", metadata=_from(_LEVEL, "TASKFERRY_LOG"))
    """The least level that is logged."""
    sources: Mapping[str, Source] = attrs.field(factory=dict, repr=False, eq=False)

    @property
    def database(self) -> Path:
        """Where the database stands."""
        return self.db or self.data / "relay.db"


@attrs.frozen(kw_only=True)
class DaemonSettings:
    """How one daemon runs."""

    addr: tuple[str, int] = attrs.field(
        default=("127.0.0.1", 4318), metadata=_from(_local_address, "TASKFERRY_CLIENT_ADDR")
    )
    """Where the local API listens; a loopback address."""
    data: Path = attrs.field(factory=_default_data, metadata=_from(_path, "TASKFERRY_DATA"))
    """The data directory: keys, credentials and, unless `db` says otherwise, the database."""
    db: Path | None = attrs.field(default=None, metadata=_from(_path, "TASKFERRY_CLIENT_DB"))
    """The SQLite file; None: `daemon.db` in the data directory."""
    relay: str | None = attrs.field(
        default=None,
        metadata=_from(_relay_url, "TASKFERRY_RELAY_WS", "TASKFERRY_RELAY_HTTP"),
    )
    """The relay to use; None: the one that set-up named."""
    relay_token: str | None = attrs.field(
        default=None, metadata=_secret(_token, "TASKFERRY_RELAY_TOKEN"), repr=False
    )
    """What lets a new account in at the relay, if its operator has given one out."""
    relay_ca: Path | None = attrs.field(default=None, metadata=_from(_path, "TASKFERRY_RELAY_CA"))
    """Certificates (PEM) of the authorities to trust for the relay, instead of the system's."""
    request_pause_days: int = attrs.field(default=7, metadata=_from(_number, "TASKFERRY_REQUEST_PAUSE_DAYS"))
    """Days that one whose request was declined waits before asking again, unless the owner says otherwise."""
    local_api_token: str | None = attrs.field(
        default=None, metadata=_secret(_credential, "TASKFERRY_LOCAL_API_TOKEN"), repr=False
    )
    """The owner's credential; None: made at first start and kept in the data directory."""
    secrets: str = attrs.field(
        default="auto", metadata=_from(_choice("auto", "keyring", "files"), "TASKFERRY_SECRETS")
    )
    """Where keys are kept; auto: in the system's secret store if it is there and open at the first start."""
    mcp: bool = attrs.field(default=True, metadata=_from(_yes, "TASKFERRY_MCP"))
    """Whether agents are served over MCP, which takes some 50 MB of memory."""
    take_over: bool = attrs.field(default=False, metadata=_from(_yes))
    """The owner's word that no other copy of this data directory counts any more; a flag alone."""
    log: str = attrs.field(default="info", metadata=_from(_LEVEL, "TASKFERRY_LOG"))
    """The least level that is logged."""
    sources: Mapping[str, Source] = attrs.field(factory=dict, repr=False, eq=False)

    @property
    def database(self) -> Path:
        """Where the database stands."""
        return self.db or self.data / "daemon.db"


def owner_token_path(data: Path) -> Path:
    """Where the owner's credential stands in a data directory."""
    return data / "owner.token"


def load_relay(
    flags: Mapping[str, str | None], environment: Mapping[str, str], file: Path | None = None
) -> RelaySettings:
    """The relay's settings. Raises SettingsError."""
    return _load(RelaySettings, "relay", flags, environment, file)


def load_daemon(
    flags: Mapping[str, str | None], environment: Mapping[str, str], file: Path | None = None
) -> DaemonSettings:
    """The daemon's settings. Raises SettingsError."""
    return _load(DaemonSettings, "daemon", flags, environment, file)


_NOT_FROM_OUTSIDE: Final = frozenset({"sources"})


def _load(
    kind: type[S],
    table: str,
    flags: Mapping[str, str | None],
    environment: Mapping[str, str],
    file: Path | None,
) -> S:
    written = _read_file(file, table)
    fields = {field.name: field for field in attrs.fields(kind) if field.name not in _NOT_FROM_OUTSIDE}
    unknown = (set(written) | set(flags)) - set(fields)
    if unknown:
        raise SettingsError(f"{file or 'the command line'}: there is no setting {sorted(unknown)[0]!r}.")
    # Each value has the type that its own field's reader gives.
    values: dict[str, Any] = {}
    sources: dict[str, Source] = {}
    for name, field in fields.items():
        found = _find(name, field.metadata["environment"], flags, environment, written, file)
        if found is None:
            sources[name] = "default"
            continue
        text, sources[name] = found
        try:
            values[name] = field.metadata["read"](text)
        except ValueError as error:
            shown = "not as it must be" if field.metadata["secret"] else repr(text)
            raise SettingsError(f"{name} ({sources[name]}) is {shown}; it must be {error}.") from None
    return kind(**values, sources=sources)


def _find(
    name: str,
    variables: tuple[str, ...],
    flags: Mapping[str, str | None],
    environment: Mapping[str, str],
    written: Mapping[str, str],
    file: Path | None,
) -> tuple[str, Source] | None:
    flag = flags.get(name)
    if flag is not None:
        return flag, "flag"
    for variable in variables:
        if environment.get(variable):
            return environment[variable], f"environment {variable}"
    return (written[name], f"file {file}") if name in written else None


def _read_file(file: Path | None, table: str) -> dict[str, str]:
    if file is None:
        return {}
    try:
        with file.open("rb") as stream:
            content = tomllib.load(stream)
    except OSError as error:
        raise SettingsError(f"{file} cannot be read: {error.strerror}.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{file} is not TOML: {error}.") from error
    values = content.get(table, {})
    if not isinstance(values, dict):
        raise SettingsError(f"{file}: [{table}] is not a table.")
    return {
        key: ",".join(map(str, value)) if isinstance(value, list) else str(value)
        for key, value in values.items()
    }
