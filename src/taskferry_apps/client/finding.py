"""Where this machine's daemon is, and the credential to show it: for programs and the command line alike.

What is named outranks the environment, which outranks what the daemon wrote into its data directory.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ..credentials import WANTED, is_credential
from .address import Address, Holder
from .errors import NoCredential

__all__ = ["agent_credential", "data_directory", "find_address", "owner_credential"]


def data_directory(named: Path | None, environment: Mapping[str, str]) -> Path:
    """The data directory that is named, the one in TASKFERRY_DATA, or the default one."""
    if named is not None:
        return named.expanduser()
    if environment.get("TASKFERRY_DATA"):
        return Path(environment["TASKFERRY_DATA"]).expanduser()
    import platformdirs

    return Path(platformdirs.user_data_dir("taskferry", appauthor=False))


def find_address(data: Path, environment: Mapping[str, str]) -> Address:
    """TASKFERRY_LOCAL_URL, which is the caller's own word; else whoever holds `data`, and nobody else."""
    return environment.get("TASKFERRY_LOCAL_URL") or Holder(data)


def agent_credential(named: str | None, environment: Mapping[str, str]) -> str:
    """The credential that is named, or in TASKFERRY_LOCAL_API_TOKEN. Raises NoCredential."""
    found = named if named is not None else environment.get("TASKFERRY_LOCAL_API_TOKEN", "")
    if not found:
        raise NoCredential(
            "There is no credential to act by.",
            "Make one with: taskferry token create AGENT; then set TASKFERRY_LOCAL_API_TOKEN to it.",
        )
    if not is_credential(found):
        raise NoCredential(f"That is no credential: one is {WANTED}.", "Check TASKFERRY_LOCAL_API_TOKEN.")
    return found


def owner_credential(data: Path) -> str:
    """The owner's credential in a data directory; empty if there is none. Raises NoCredential."""
    try:
        found = (data / "owner.token").read_text().strip()
    except FileNotFoundError:
        return _kept_credential(data)
    except UnicodeDecodeError:
        found = "\n"
    except OSError as error:
        raise NoCredential(f"The owner's credential in {data} cannot be read: {error.strerror}.") from error
    if found and not is_credential(found):
        raise NoCredential(
            f"The owner's credential in {data} is damaged.",
            "Remove owner.token there and start the daemon again, which makes a new one.",
        )
    return found


def _kept_credential(data: Path) -> str:
    """The owner's credential in the system's secret store, if this directory's secrets are there; else ""."""
    if not (data / "secrets.json").exists():
        return ""
    from ..daemon.private_files import UnsafeFile
    from ..daemon.secret_choice import SecretsMisplaced, find_secrets
    from ..daemon.secret_port import OWNER, SecretsUnavailable

    try:
        kept = find_secrets(data).read(OWNER)
    except (SecretsUnavailable, SecretsMisplaced, UnsafeFile, OSError) as error:
        raise NoCredential(f"{error}") from error
    return kept.decode().strip() if kept is not None else ""
