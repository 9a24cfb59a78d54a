"""What a client is made with: the daemon's address, the credential to show there, and for whom it acts."""

from __future__ import annotations

import os
from pathlib import Path

import attrs

from .address import Address
from .errors import NoCredential
from .finding import agent_credential, data_directory, find_address, owner_credential

__all__ = ["Standing", "agent_standing", "owner_standing"]


@attrs.frozen
class Standing:
    """Where to call, and as whom."""

    address: Address
    token: str = attrs.field(repr=False)


def agent_standing(url: Address | None, token: str | None, data: str | os.PathLike[str] | None) -> Standing:
    """As an agent: by the credential that is named, or in the environment. Raises NoCredential."""
    address = url or find_address(_folder(data), os.environ)
    return Standing(address, agent_credential(token, os.environ))


def owner_standing(url: Address | None, data: str | os.PathLike[str] | None) -> Standing:
    """As the owner, by the credential in the data directory. Raises NoCredential."""
    folder = _folder(data)
    token = owner_credential(folder)
    if not token:
        raise NoCredential(
            f"There is no owner's credential in {folder}.",
            "Start the daemon: taskferry up; or name its data directory in TASKFERRY_DATA.",
        )
    return Standing(url or find_address(folder, os.environ), token)


def _folder(data: str | os.PathLike[str] | None) -> Path:
    return data_directory(None if data is None else Path(data), os.environ)
