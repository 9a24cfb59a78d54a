"""A real Secret Service under a D-Bus of its own: GNOME's keyring daemon, with a folder of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import attrs
import pytest

TOOL = Path(__file__).parents[2] / "tools" / "secret-service"
IN_CI = os.environ.get("CI", "") not in {"", "0", "false"}
PASSWORD = "the login password"


def require_programs() -> None:
    """Install what is needed; skip with the reason where that cannot be done, but never in CI as root."""
    done = subprocess.run([TOOL], capture_output=True, text=True, check=False, timeout=170)
    if done.returncode:
        reason = done.stderr.strip() or "the Secret Service could not be installed"
        if IN_CI and os.geteuid() == 0:
            pytest.fail(reason)
        pytest.skip(reason)


@attrs.define
class Desktop:
    """A session of one user: the bus, and the keyring daemon, which can be locked, ended and started."""

    home: Path
    bus: str
    keyring: subprocess.Popen[bytes] | None = None

    @property
    def environment(self) -> dict[str, str]:
        """What a program of this session has in its environment."""
        inherited = {key: value for key, value in os.environ.items() if not key.startswith("TASKFERRY_")}
        return {
            **inherited,
            "HOME": str(self.home),
            "XDG_DATA_HOME": str(self.home / "share"),
            "XDG_RUNTIME_DIR": str(self.home / "run"),
            "DBUS_SESSION_BUS_ADDRESS": self.bus,
        }

    def unlock(self, password: str = PASSWORD) -> None:
        """Start the keyring daemon as a login does, with the password that opens the login keyring."""
        self.end()
        self.keyring = subprocess.Popen(
            ["gnome-keyring-daemon", "--foreground", "--unlock", "--components=secrets"],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=self.environment,
        )
        assert self.keyring.stdin is not None
        self.keyring.stdin.write(password.encode())
        self.keyring.stdin.close()

    def start_locked(self) -> None:
        """Start the keyring daemon without a password: what it keeps stays locked."""
        self.end()
        self.keyring = subprocess.Popen(
            ["gnome-keyring-daemon", "--foreground", "--components=secrets"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=self.environment,
        )

    def end(self) -> None:
        """End the keyring daemon."""
        if self.keyring is not None:
            self.keyring.terminate()
            self.keyring.wait(10)
            self.keyring = None


@contextmanager
def a_desktop(home: Path) -> Iterator[Desktop]:
    """A bus without a keyring daemon yet. Everything ends with the block."""
    require_programs()
    for name in ("share", "run"):
        (home / name).mkdir(mode=0o700, parents=True)
    daemon = shutil.which("dbus-daemon")
    assert daemon is not None
    # The session's own configuration, but without services that would start by themselves.
    configuration = home / "bus.conf"
    configuration.write_text(
        '<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN" '
        '"http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">'
        f"<busconfig><type>session</type><listen>unix:dir={home / 'run'}</listen>"
        '<policy context="default"><allow send_destination="*" eavesdrop="true"/>'
        '<allow eavesdrop="true"/><allow own="*"/></policy></busconfig>'
    )
    bus = subprocess.Popen(
        [daemon, f"--config-file={configuration}", "--nofork", "--print-address=1"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    try:
        assert bus.stdout is not None
        desktop = Desktop(home, bus.stdout.readline().decode().strip())
        assert desktop.bus
        try:
            yield desktop
        finally:
            desktop.end()
    finally:
        bus.terminate()
        bus.wait(10)
        if bus.stdout is not None:
            bus.stdout.close()
