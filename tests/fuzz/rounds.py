"""One round of libFuzzer on one target, and what is remembered from round to round."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path

import attrs

from .blind import blind_round
from .targets import seeds
from .warm import WarmProcesses

__all__ = ["MOST_BYTES", "Progress", "fuzz", "fuzz_blindly", "inputs_in"]

#: A frame is 1 MiB at most; shorter inputs reach the same code sooner, and are tried several times as fast.
MOST_BYTES = 4096
MEMORY_MB = 1024
_SAID = 3000


@attrs.define
class Progress:
    """What one target has come to, over all rounds; starts of processes are counted in `seconds`."""

    target: str
    executions: int = 0
    seconds: float = 0.0
    edges: int = 0
    features: int = 0
    findings: list[str] = attrs.field(factory=list)
    blind: int = 0
    """Executions without coverage, on mutations of what the others found."""
    blind_seconds: float = 0.0

    @property
    def rate(self) -> float:
        """Executions a second, with coverage."""
        return self.executions / self.seconds if self.seconds else 0.0

    @property
    def blind_rate(self) -> float:
        """Executions a second, without."""
        return self.blind / self.blind_seconds if self.blind_seconds else 0.0

    def report(self) -> dict[str, object]:
        """It as JSON."""
        times = {"seconds": round(self.seconds, 1), "blind_seconds": round(self.blind_seconds, 1)}
        rates = {"rate": round(self.rate, 1), "blind_rate": round(self.blind_rate, 1)}
        return {**attrs.asdict(self), **times, **rates}

    def save(self, folder: Path) -> None:
        """Write it down whole or not at all."""
        new = folder / f"{self.target}.json.new"
        new.write_text(json.dumps(self.report(), indent=1))
        new.replace(folder / f"{self.target}.json")

    @classmethod
    def load(cls, target: str, folder: Path) -> Progress:
        """What was written down; nothing where no round has ended yet."""
        path = folder / f"{target}.json"
        if not path.exists():
            return cls(target)
        known = json.loads(path.read_text())
        return cls(**{field.name: known[field.name] for field in attrs.fields(cls) if field.name in known})


def fuzz(
    processes: WarmProcesses,
    progress: Progress,
    corpus: Path,
    findings: Path,
    *,
    seconds: int,
    executions: int = 0,
    most_bytes: int = MOST_BYTES,
) -> str:
    """Run one round and count it; returns the end of what the fuzzer said if it broke, else "".

    It ends after `seconds`, or after so many executions where that is not 0. New inputs stay in `corpus`.
    """
    _plant(progress.target, corpus)
    before = set(findings.iterdir())
    # It looks at whole seconds, and ends when they are more than these.
    limits = [f"-max_total_time={max(1, seconds - 1)}", *([f"-runs={executions}"] if executions else [])]
    started = time.monotonic()
    options = [
        str(corpus),
        *limits,
        f"-max_len={most_bytes}",
        f"-rss_limit_mb={MEMORY_MB}",
        "-timeout=10",
        "-print_final_stats=1",
        f"-artifact_prefix={findings}/{progress.target}-",
    ]
    code, said = processes.run(progress.target, options)
    progress.seconds += time.monotonic() - started
    runs = re.search(r"number_of_executed_units:\s*(\d+)", said)
    reached = re.findall(r"cov: (\d+) ft: (\d+)", said)
    if reached:
        progress.edges = max(progress.edges, int(reached[-1][0]))
        progress.features = max(progress.features, int(reached[-1][1]))
    if runs is not None:
        progress.executions += int(runs[1])
    new = {path.name for path in set(findings.iterdir()) - before}
    progress.findings += sorted(name for name in new if name.startswith(f"{progress.target}-"))
    held = code == 0 and runs is not None
    return "" if held else said[-_SAID:] or f"exit code {code}"


def fuzz_blindly(
    progress: Progress, corpus: Path, findings: Path, *, seconds: int, executions: int, most_bytes: int
) -> str:
    """Run one round without coverage and count it; returns what was said if the target broke, else ""."""
    _plant(progress.target, corpus)
    started = time.monotonic()
    count, broke = blind_round(
        progress.target,
        corpus,
        findings,
        seed=progress.blind,
        executions=executions,
        seconds=seconds,
        most_bytes=most_bytes,
    )
    progress.blind_seconds += time.monotonic() - started
    progress.blind += count
    if broke:
        progress.findings.append(broke.partition(":")[0])
    return broke


def inputs_in(folder: Path) -> Iterator[bytes]:
    """The inputs in a folder."""
    return (path.read_bytes() for path in sorted(folder.iterdir()))


def _plant(target: str, corpus: Path) -> None:
    corpus.mkdir(parents=True, exist_ok=True)
    if not any(corpus.iterdir()):
        for number, seed in enumerate(seeds(target)):
            (corpus / f"{number:05}").write_bytes(seed)
