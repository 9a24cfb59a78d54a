"""What the programs are told that people run their agents in: plugins, and edits of their configuration.

`trees` and `edits` are pure: the files of a plugin, and a configuration with our entry. `runtimes` says for
each program what is to be done, `steps` does it and keeps a record, by which it is undone.
"""

from __future__ import annotations

__all__: list[str] = []
