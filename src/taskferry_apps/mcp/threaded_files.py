"""The files of this process's user, for tools that run in this process."""

from __future__ import annotations

from collections.abc import Sequence

from anyio import to_thread

from ..client.attachments import Attachment
from .local_files import LocalFiles

__all__ = ["ThreadedFiles"]


class ThreadedFiles:
    """`LocalFiles`, read and written in a thread."""

    def __init__(self, files: LocalFiles) -> None:
        self._files = files

    async def read(self, paths: Sequence[str]) -> list[Attachment]:
        """Files to send. Raises FileTrouble."""
        found = await to_thread.run_sync(self._files.read, paths)
        return [Attachment(name, content) for name, content in found]

    async def save(self, directory: str, label: str, files: Sequence[tuple[str, bytes]]) -> list[str]:
        """Write files, and give their paths. Raises FileTrouble."""
        return await to_thread.run_sync(self._files.save, directory, label, files)
