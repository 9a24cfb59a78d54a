"""Settings of the relay and the daemon: read once, from flags, environment and a file, into a frozen value.

A flag outranks an environment variable, which outranks the file, which outranks the default. The file has the
tables `[relay]` and `[daemon]`, with the field names below as keys.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, TypeVar

import attrs
import platformdirs

from taskferry_protocol.breakers import DEFAULT_LIMITS, BreakerLimits
from taskferry_protocol.ids import Hash
from taskferry_transports.loopback import is_loopback

from . import setting_values as values
from . import telemetry_settings as telemetry
from .breaker_settings import read_limits as read_breakers
from .daemon.bounds import BOUNDS, DaemonBounds, read_bounds
from .relay.limits import USUAL, RelayLimits, read_limits

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
        default=("127.0.0.1", 8080), metadata=_from(values.relay_address, "TASKFERRY_RELAY_ADDR")
    )
    """Where to listen; port 0 lets the system choose."""
    data: Path = attrs.field(factory=_default_data, metadata=_from(values.path, "TASKFERRY_DATA"))
    """The data directory: where the database is kept, unless `db` says otherwise."""
    db: Path | None = attrs.field(default=None, metadata=_from(values.path, "TASKFERRY_RELAY_DB"))
    """The SQLite file; None: `relay.db` in the data directory."""
    origins: tuple[str, ...] = attrs.field(
        default=(), metadata=_from(values.origins, "TASKFERRY_RELAY_ORIGINS")
    )
    """The origins that daemons may have dialled, such as wss://relay.example; none: the bound address's."""
    public_url: str | None = attrs.field(
        default=None, metadata=_from(values.url("http", "https"), "TASKFERRY_RELAY_PUBLIC_URL")
    )
    """Where people reach the relay's pages; links are made from it alone. None: from the first origin."""
    signup: str = attrs.field(
        default="open", metadata=_from(values.choice("open", "ticket", "closed"), "TASKFERRY_RELAY_SIGNUP")
    )
    """Whether accounts that the relay does not know may join: all, those with a ticket or token, or none."""
    client_tokens: Mapping[str, Hash] = attrs.field(
        factory=dict, metadata=_secret(values.tokens, "TASKFERRY_RELAY_CLIENT_TOKENS"), repr=False
    )
    """SHA-256, by a name for each, of what lets any number of new accounts in."""
    signups_per_hour: int = attrs.field(
        default=60, metadata=_from(values.number, "TASKFERRY_RELAY_SIGNUPS_PER_HOUR")
    )
    """New accounts that may begin from one network address in an hour; this machine's are not counted."""
    signups_per_site: int | None = attrs.field(
        default=None, metadata=_from(values.number, "TASKFERRY_RELAY_SIGNUPS_PER_SITE")
    )
    """From one /24 of IPv4 or /48 of IPv6; None: twice as many as from one address."""
    signups_per_provider: int | None = attrs.field(
        default=None, metadata=_from(values.number, "TASKFERRY_RELAY_SIGNUPS_PER_PROVIDER")
    )
    """From one /16 of IPv4 or /32 of IPv6; None: five times as many."""
    trusted_proxies: frozenset[str] = attrs.field(
        default=frozenset(), metadata=_from(values.addresses, "TASKFERRY_RELAY_TRUSTED_PROXIES")
    )
    """Addresses of reverse proxies whose X-Forwarded-For says where a connection comes from; none."""
    smtp: tuple[str, int] | None = attrs.field(
        default=None, metadata=_from(values.mail_server, "TASKFERRY_RELAY_SMTP")
    )
    """The mail server that takes the relay's mail; None: tickets are not sent by e-mail."""
    smtp_security: str = attrs.field(
        default="starttls",
        metadata=_from(values.choice("starttls", "tls", "none"), "TASKFERRY_RELAY_SMTP_SECURITY"),
    )
    """How the connection there is protected; `none` is for this machine alone."""
    smtp_from: str | None = attrs.field(
        default=None, metadata=_from(values.mailbox, "TASKFERRY_RELAY_SMTP_FROM")
    )
    """The address that the relay's mail is from."""
    smtp_user: str | None = attrs.field(default=None, metadata=_from(str, "TASKFERRY_RELAY_SMTP_USER"))
    """As whom to sign in at the mail server; None: not at all."""
    smtp_password_file: Path | None = attrs.field(
        default=None, metadata=_from(values.path, "TASKFERRY_RELAY_SMTP_PASSWORD_FILE")
    )
    """Where the password of `smtp_user` stands, in the first line."""
    smtp_ca: Path | None = attrs.field(default=None, metadata=_from(values.path, "TASKFERRY_RELAY_SMTP_CA"))
    """Certificates (PEM) of the authorities to trust for the mail server, instead of the system's."""
    community: bool = attrs.field(default=True, metadata=_from(values.yes, "TASKFERRY_RELAY_COMMUNITY"))
    """Whether anybody may look through the agents whose owners have made them public."""
    ops_origin: str | None = attrs.field(
        default=None, metadata=_from(values.origin, "TASKFERRY_RELAY_OPS_ORIGIN")
    )
    """Where the operator's pages are shown beside this machine's own addresses; None: nowhere else."""
    ops_token: Hash | None = attrs.field(
        default=None, metadata=_secret(values.ops_token, "TASKFERRY_OPS_TOKEN"), repr=False
    )
    """SHA-256 of what reads /metrics and /v1/ops/status; None: programs of this machine read them."""
    limits: RelayLimits = attrs.field(
        default=USUAL, metadata=_from(read_limits, "TASKFERRY_RELAY_LIMITS"), repr=False
    )
    """Limits that are not as usual, `name=number` each (docs/limits.md)."""
    otel_endpoint: str | None = attrs.field(
        default=None, metadata=_from(telemetry.collector, "TASKFERRY_RELAY_OTEL_ENDPOINT")
    )
    """The collector that spans and numbers are sent to by OTLP over HTTP; None: nothing is sent."""
    otel_headers: Mapping[str, str] | None = attrs.field(
        default=None, metadata=_secret(telemetry.headers, "TASKFERRY_RELAY_OTEL_HEADERS"), repr=False
    )
    """What is sent along to the collector, such as its credential."""
    otel_ca: Path | None = attrs.field(default=None, metadata=_from(values.path, "TASKFERRY_RELAY_OTEL_CA"))
    """Certificates (PEM) of the authorities to trust for the collector, instead of the system's."""
    otel_one_in: int = attrs.field(default=1, metadata=_from(telemetry.one_in, "TASKFERRY_RELAY_OTEL_ONE_IN"))
    """Of how many messages and requests one is traced."""
    log: str = attrs.field(default="info", metadata=_from(values.level, "TASKFERRY_LOG"))
    """The least level that is logged."""
    log_format: str = attrs.field(
        default="auto", metadata=_from(values.choice("auto", "json", "text"), "TASKFERRY_LOG_FORMAT")
    )
    """How a line of the log is written; auto: as text on a terminal, as JSON elsewhere."""
    sources: Mapping[str, Source] = attrs.field(factory=dict, repr=False, eq=False)

    @property
    def database(self) -> Path:
        """Where the database stands."""
        return self.db or self.data / "relay.db"

    @property
    def lets_in(self) -> str:
        """`signup` as set; unless it is: for tokens if there are some, else open on this machine alone."""
        if self.sources.get("signup") == "default":
            if self.client_tokens:
                return "ticket"
            if not is_loopback(self.addr[0]):
                return "closed"
        return self.signup


@attrs.frozen(kw_only=True)
class DaemonSettings:
    """How one daemon runs."""

    addr: tuple[str, int] = attrs.field(
        default=("127.0.0.1", 4318), metadata=_from(values.local_address, "TASKFERRY_CLIENT_ADDR")
    )
    """Where the local API listens; a loopback address."""
    data: Path = attrs.field(factory=_default_data, metadata=_from(values.path, "TASKFERRY_DATA"))
    """The data directory: keys, credentials and, unless `db` says otherwise, the database."""
    db: Path | None = attrs.field(default=None, metadata=_from(values.path, "TASKFERRY_CLIENT_DB"))
    """The SQLite file; None: `daemon.db` in the data directory."""
    relay: str | None = attrs.field(
        default=None,
        metadata=_from(values.relay_url, "TASKFERRY_RELAY_WS", "TASKFERRY_RELAY_HTTP"),
    )
    """The relay to use; None: the one that set-up named."""
    relay_token: str | None = attrs.field(
        default=None, metadata=_secret(values.token, "TASKFERRY_RELAY_TOKEN"), repr=False
    )
    """What lets a new account in at the relay, if its operator has given one out."""
    relay_ca: Path | None = attrs.field(default=None, metadata=_from(values.path, "TASKFERRY_RELAY_CA"))
    """Certificates (PEM) of the authorities to trust for the relay, instead of the system's."""
    request_pause_days: int = attrs.field(
        default=7, metadata=_from(values.number, "TASKFERRY_REQUEST_PAUSE_DAYS")
    )
    """Days that one whose request was declined waits before asking again, unless the owner says otherwise."""
    breakers: BreakerLimits = attrs.field(
        default=DEFAULT_LIMITS, metadata=_from(read_breakers, "TASKFERRY_BREAKERS")
    )
    """When breakers trip."""
    limits: DaemonBounds = attrs.field(
        default=BOUNDS, metadata=_from(read_bounds, "TASKFERRY_CLIENT_LIMITS"), repr=False
    )
    """Limits that are not as usual, `name=number` each (docs/limits.md)."""
    local_api_token: str | None = attrs.field(
        default=None, metadata=_secret(values.credential, "TASKFERRY_LOCAL_API_TOKEN"), repr=False
    )
    """The owner's credential; None: made at first start and kept in the data directory."""
    metrics_token: Hash | None = attrs.field(
        default=None, metadata=_secret(values.ops_token, "TASKFERRY_METRICS_TOKEN"), repr=False
    )
    """SHA-256 of what reads the daemon's /metrics and nothing else; None: the owner's credential does."""
    secrets: str = attrs.field(
        default="auto", metadata=_from(values.choice("auto", "keyring", "files"), "TASKFERRY_SECRETS")
    )
    """Where keys are kept; auto: in the system's secret store if it is there and open at the first start."""
    mcp: bool = attrs.field(default=True, metadata=_from(values.yes, "TASKFERRY_MCP"))
    """Whether agents are served over MCP, which takes some 50 MB of memory."""
    take_over: bool = attrs.field(default=False, metadata=_from(values.yes))
    """The owner's word that no other copy of this data directory counts any more; a flag alone."""
    otel_endpoint: str | None = attrs.field(
        default=None, metadata=_from(telemetry.collector, "TASKFERRY_CLIENT_OTEL_ENDPOINT")
    )
    """The collector that spans and numbers are sent to by OTLP over HTTP; None: nothing is sent."""
    otel_headers: Mapping[str, str] | None = attrs.field(
        default=None, metadata=_secret(telemetry.headers, "TASKFERRY_CLIENT_OTEL_HEADERS"), repr=False
    )
    """What is sent along to the collector, such as its credential."""
    otel_ca: Path | None = attrs.field(default=None, metadata=_from(values.path, "TASKFERRY_CLIENT_OTEL_CA"))
    """Certificates (PEM) of the authorities to trust for the collector, instead of the system's."""
    otel_one_in: int = attrs.field(
        default=1, metadata=_from(telemetry.one_in, "TASKFERRY_CLIENT_OTEL_ONE_IN")
    )
    """Of how many messages and requests one is traced."""
    log: str = attrs.field(default="info", metadata=_from(values.level, "TASKFERRY_LOG"))
    """The least level that is logged."""
    log_format: str = attrs.field(
        default="auto", metadata=_from(values.choice("auto", "json", "text"), "TASKFERRY_LOG_FORMAT")
    )
    """How a line of the log is written; auto: as text on a terminal, as JSON elsewhere."""
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
_TABLES: Final = frozenset({"relay", "daemon"})


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
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise SettingsError(f"{file} is not TOML: {error}.") from error
    stray = sorted(set(content) - _TABLES)
    if stray:
        raise SettingsError(
            f"{file}: {stray[0]!r} belongs to no program; settings stand in the tables [relay] and [daemon]."
        )
    values = content.get(table, {})
    if not isinstance(values, dict):
        raise SettingsError(f"{file}: [{table}] is not a table.")
    return {
        key: ",".join(map(str, value)) if isinstance(value, list) else str(value)
        for key, value in values.items()
    }
