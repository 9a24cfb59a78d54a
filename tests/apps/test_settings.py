"""Settings come from flags, environment, file and defaults, in that order."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import attrs
import pytest

from taskferry_apps.breaker_settings import read_limits, written_limits
from taskferry_apps.daemon.bounds import BOUNDS
from taskferry_apps.settings import SettingsError, load_daemon, load_relay
from taskferry_protocol.breakers import BreakerLimits
from taskferry_protocol.ids import sha256


def test_flag_outranks_environment_outranks_file(tmp_path: Path) -> None:
    """Each value comes from the strongest place that names it, and says from where."""
    file = tmp_path / "taskferry.toml"
    file.write_text(
        '[relay]\naddr = "127.0.0.1:1"\nsignup = "closed"\norigins = ["wss://a.example", "https://a.example"]\n'
    )
    environment = {"TASKFERRY_RELAY_ADDR": "127.0.0.1:2", "TASKFERRY_RELAY_DB": "/srv/relay.db"}
    settings = load_relay({"addr": "[::1]:3"}, environment, file)
    assert settings.addr == ("::1", 3)
    assert settings.db == Path("/srv/relay.db")
    assert settings.signup == "closed"
    assert settings.origins == ("wss://a.example", "https://a.example")
    assert settings.sources["addr"] == "flag"
    assert settings.sources["db"] == "environment TASKFERRY_RELAY_DB"
    assert settings.sources["signup"] == f"file {file}"
    assert settings.sources["log"] == "default"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("addr", "4318"),
        ("addr", "127.0.0.1:99999"),
        ("addr", "0.0.0.0:4318"),
        ("addr", "192.0.2.1:4318"),
        ("addr", "[::]:4318"),
        ("addr", "host.example:4318"),
        ("addr", "127.0.0.1:٤"),
        ("relay", "ftp://relay.example"),
        ("relay", "https://user:secret@relay.example"),
        ("log", "loud"),
    ],
)
def test_bad_value_is_refused_by_name(name: str, value: str) -> None:
    """A value that cannot be used is named with its origin and what would do."""
    with pytest.raises(SettingsError, match=name):
        load_daemon({name: value}, {})


@pytest.mark.parametrize(
    ("load", "name", "value", "sentence"),
    [
        (load_daemon, "addr", "foo", "an address of this machine alone, such as 127.0.0.1:4318."),
        (load_daemon, "addr", "foo:1", "an address of this machine alone, such as 127.0.0.1:4318."),
        (load_daemon, "addr", "192.0.2.1:1", "an address of this machine alone, such as 127.0.0.1:4318."),
        (load_relay, "addr", "foo", "an address with a port, such as 127.0.0.1:8080."),
        (load_relay, "addr", "a b:1", "an address with a port, such as 127.0.0.1:8080."),
        (
            load_daemon,
            "relay",
            "http://[::1",
            "a URL such as https://relay.example (http://, https://, ws:// or wss://), "
            "without user, query or fragment.",
        ),
        (load_daemon, "log", "loud", "one of debug, info, warning."),
        (load_relay, "trusted_proxies", "foo", "IP addresses, comma-separated."),
    ],
)
def test_a_refusal_is_a_sentence(
    load: Callable[[dict[str, str | None], dict[str, str]], object], name: str, value: str, sentence: str
) -> None:
    """It says what was given, from where, and what would do, without the words of a library."""
    with pytest.raises(SettingsError) as refused:
        load({name: value}, {})
    assert str(refused.value) == f"{name} (flag) is {value!r}; it must be {sentence}"


@pytest.mark.parametrize("url", ["http://a:99999", "http://a:0", "http://a b", "http://\udcff", "http://@a"])
def test_a_url_that_nobody_can_dial_is_refused(url: str) -> None:
    """At the start, and not by each attempt to reach it."""
    with pytest.raises(SettingsError, match="a URL such as"):
        load_daemon({"relay": url}, {})


def test_a_secret_that_cannot_be_used_is_not_shown() -> None:
    """The sentence names the setting alone."""
    with pytest.raises(SettingsError) as refused:
        load_daemon({}, {"TASKFERRY_LOCAL_API_TOKEN": "tfo_secret\n"})
    assert "secret" not in str(refused.value)
    assert "TASKFERRY_LOCAL_API_TOKEN" in str(refused.value)


def test_relay_and_daemon_keep_their_files_in_one_data_directory() -> None:
    """Where it is named; each file can still be named by itself."""
    environment = {"TASKFERRY_DATA": "/srv/ferry"}
    assert load_relay({}, environment).database == Path("/srv/ferry/relay.db")
    assert load_relay({"data": "/other"}, environment).database == Path("/other/relay.db")
    assert load_relay({"db": "/a.db"}, environment).database == Path("/a.db")
    assert load_daemon({}, environment).database == Path("/srv/ferry/daemon.db")
    assert load_relay({}, {}).database.name == "relay.db"


def test_unknown_setting_is_refused(tmp_path: Path) -> None:
    """A misspelt key in the file is an error, not silence."""
    file = tmp_path / "taskferry.toml"
    file.write_text('[daemon]\nadress = "127.0.0.1:1"\n')
    with pytest.raises(SettingsError, match="adress"):
        load_daemon({}, {}, file)


@pytest.mark.parametrize("line", ["[rely]", "[Relay]", 'addr = "127.0.0.1:1"', "[[daemons]]"])
def test_what_stands_in_no_known_table_is_refused(tmp_path: Path, line: str) -> None:
    """A misspelt table is an error for both programs, not a program with the defaults."""
    file = tmp_path / "taskferry.toml"
    file.write_text(line + "\n")
    for load in (load_relay, load_daemon):
        with pytest.raises(SettingsError, match=r"\[relay\] and \[daemon\]"):
            load({}, {}, file)


def test_missing_and_broken_files_are_named(tmp_path: Path) -> None:
    """A file that is not there, or not TOML, is said so in one sentence."""
    with pytest.raises(SettingsError, match="cannot be read"):
        load_daemon({}, {}, tmp_path / "none.toml")
    (tmp_path / "broken.toml").write_text("[daemon")
    with pytest.raises(SettingsError, match="is not TOML"):
        load_daemon({}, {}, tmp_path / "broken.toml")


def test_relay_address_may_come_by_either_old_name() -> None:
    """The WebSocket address outranks the HTTP one when both are set."""
    environment = {
        "TASKFERRY_RELAY_HTTP": "http://127.0.0.1:8080",
        "TASKFERRY_RELAY_WS": "ws://127.0.0.1:8080",
    }
    assert load_daemon({}, environment).relay == "ws://127.0.0.1:8080"


def test_the_address_of_a_relays_websocket_names_the_relay() -> None:
    """Published programs name the WebSocket itself, with its path; a path before it stays."""
    for given, meant in (
        ("ws://127.0.0.1:8080/v1/ws", "ws://127.0.0.1:8080"),
        ("wss://relay.example/v1/ws/", "wss://relay.example"),
        ("wss://host.example/relay/v1/ws", "wss://host.example/relay"),
        ("https://relay.example/v1", "https://relay.example/v1"),
    ):
        assert load_daemon({}, {"TASKFERRY_RELAY_WS": given}).relay == meant


def test_the_published_examples_environment_is_read() -> None:
    """What the published example sets for a client means the same here, or nothing where it cannot."""
    environment = {
        "TASKFERRY_CLIENT_ADDR": "127.0.0.1:4318",
        "TASKFERRY_CLIENT_ID": "client_alice",
        "TASKFERRY_DEVICE_ID": "device_alice",
        "TASKFERRY_OWNER_ID": "owner_alice",
        "TASKFERRY_CLIENT_DB": ".taskferry/alice.db",
        "TASKFERRY_RELAY_HTTP": "http://127.0.0.1:8080",
        "TASKFERRY_RELAY_WS": "ws://127.0.0.1:8080/v1/ws",
        "TASKFERRY_RELAY_TOKEN": "alice-relay-token",
        "TASKFERRY_LOCAL_API_TOKEN": "alice-local-token",
    }
    read = load_daemon({}, environment)
    assert (read.addr, read.db, read.relay) == (
        ("127.0.0.1", 4318),
        Path(".taskferry/alice.db"),
        "ws://127.0.0.1:8080",
    )
    assert (read.relay_token, read.local_api_token) == ("alice-relay-token", "alice-local-token")


def test_a_relay_reads_its_bounds_on_strangers(tmp_path: Path) -> None:
    """Sign-ups and trusted proxies come from the environment or the file, and are checked."""
    file = tmp_path / "taskferry.toml"
    file.write_text('[relay]\nsignups_per_hour = "5"\n')
    read = load_relay({}, {"TASKFERRY_RELAY_TRUSTED_PROXIES": "10.0.0.1, 2001:DB8::1"}, file)
    assert (read.signups_per_hour, read.trusted_proxies) == (5, frozenset({"10.0.0.1", "2001:db8::1"}))
    assert load_relay({}, {}).trusted_proxies == frozenset()
    wider = {"TASKFERRY_RELAY_SIGNUPS_PER_SITE": "7", "TASKFERRY_RELAY_SIGNUPS_PER_PROVIDER": "9"}
    read = load_relay({}, wider)
    assert (read.signups_per_site, read.signups_per_provider) == (7, 9)
    assert load_relay({}, {}).signups_per_site is None
    for name, value in (("signups_per_hour", "-1"), ("signups_per_hour", "1" * 10), ("trusted_proxies", "a")):
        with pytest.raises(SettingsError, match=name):
            load_relay({name: value}, {})


def test_client_tokens_are_kept_as_digests() -> None:
    """Names with SHA-256 beside them: neither the settings nor a complaint about them repeats a token."""
    good = "client_alice=alice-relay-token, client_bob=bob-relay-token"
    read = load_relay({}, {"TASKFERRY_RELAY_CLIENT_TOKENS": good})
    assert read.client_tokens == {
        "client_alice": sha256(b"alice-relay-token"),
        "client_bob": sha256(b"bob-relay-token"),
    }
    assert "relay-token" not in repr(read)
    for bad in ("alice-relay-token", "=alice-relay-token", "a=secret", "a=b-relay-token,a=c-relay-token"):
        with pytest.raises(SettingsError) as refused:
            load_relay({}, {"TASKFERRY_RELAY_CLIENT_TOKENS": bad})
        assert "client_tokens" in str(refused.value)
        assert "relay-token" not in str(refused.value)
        assert "secret" not in str(refused.value)
    with pytest.raises(SettingsError) as refused:
        load_daemon({}, {"TASKFERRY_RELAY_TOKEN": "two words"})
    assert "two words" not in str(refused.value)


def test_where_pages_and_mail_are_is_checked() -> None:
    """A public URL is http or https, a mail server HOST:PORT, its sender an address."""
    environment = {
        "TASKFERRY_RELAY_PUBLIC_URL": "https://relay.example/",
        "TASKFERRY_RELAY_SMTP": "mail.example:587",
        "TASKFERRY_RELAY_SMTP_FROM": "relay@relay.example",
    }
    read = load_relay({}, environment)
    assert (read.public_url, read.smtp, read.smtp_from) == (
        "https://relay.example",
        ("mail.example", 587),
        "relay@relay.example",
    )
    for name, value in (
        ("public_url", "wss://relay.example"),
        ("public_url", "https://relay.example/?a=b"),
        ("smtp", "mail.example"),
        ("smtp_from", "relay"),
        ("smtp_from", "relay@relay.example\nBcc: x@y.z"),
        ("smtp_security", "maybe"),
    ):
        with pytest.raises(SettingsError, match=name):
            load_relay({name: value}, {})


def test_limits_of_breakers_are_set_by_name_and_the_others_stay():
    """What is written is read back as it was set."""
    settings = load_daemon({}, {"TASKFERRY_BREAKERS": "messages=300, repeats=9,task-messages=50,hops=4"})
    usual = BreakerLimits()
    assert settings.breakers == BreakerLimits(hops=4, talk=300, repeats=9, budget=50)
    assert settings.breakers.events == usual.events
    assert read_limits(written_limits(settings.breakers)) == settings.breakers
    assert load_daemon({}, {}).breakers == usual


NO_LIMITS = ["talk=3", "messages", "messages=", "messages=0", "hops=17", "messages=٣", "events=9999999"]


@pytest.mark.parametrize("text", [*NO_LIMITS, "repeats=1,repeats=2"])
def test_limits_of_breakers_that_mean_nothing_are_refused(text):
    """No breaker can be set to nothing, and hops only to what an envelope can say."""
    with pytest.raises(SettingsError, match=r"breakers .* must be"):
        load_daemon({}, {"TASKFERRY_BREAKERS": text})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("otel_endpoint", "http://collector.example:4318"),
        ("otel_endpoint", "https://user:canary@collector.example"),
        ("otel_endpoint", "https://collector.example/?key=canary"),
        ("otel_headers", "authorization"),
        ("otel_headers", "authorization=canary\r\nx: y"),
        ("otel_headers", "authorization=canary%0Ax"),
        ("otel_headers", "host=canary.example"),
        ("otel_headers", "Content-Length=1"),
        ("otel_headers", "x-key=canary,x-key=2"),
        ("otel_headers", "x-key=%ff"),
        ("otel_one_in", "0"),
    ],
)
@pytest.mark.parametrize("load", [load_relay, load_daemon])
def test_telemetry_goes_nowhere_unprotected_and_no_header_breaks_the_request(
    load: Callable[..., object], name: str, value: str
) -> None:
    """Refused by name at the start, the secret ones without their value."""
    with pytest.raises(SettingsError, match=name) as refused:
        load({name: value}, {})
    assert name != "otel_headers" or "canary" not in str(refused.value)


def test_headers_for_a_collector_are_written_as_other_programs_do() -> None:
    """Commas between them, percent for what is none."""
    settings = load_relay(
        {}, {"TASKFERRY_RELAY_OTEL_HEADERS": "Authorization=Bearer%20a%2Cb, x-scope=one,"}, None
    )
    assert settings.otel_headers == {"authorization": "Bearer a,b", "x-scope": "one"}
    assert "Bearer" not in repr(settings)


def test_how_much_a_daemon_keeps_is_set_by_name():
    """What is left out is as usual, and each has a span; what is fixed may not be set."""
    settings = load_daemon({}, {"TASKFERRY_CLIENT_LIMITS": "audit-entries=20000, traffic-days=30"})
    assert settings.limits == attrs.evolve(BOUNDS, audit_entries=20_000, traffic_days=30)
    for text in ("audit-entries=9999", "audit-days=1", "feed-lines=1", "audit-days"):
        with pytest.raises(SettingsError, match="limits"):
            load_daemon({}, {"TASKFERRY_CLIENT_LIMITS": text})
