"""Would the tests notice? `python -m tests.mutants [--only NAME ...] [--layer LAYER] [--json]`.

Each fault of the table is put into a copy of `src` and the tests run until one fails. The exit code is 1
where one survives that the table does not explain, and 2 where an entry of the table is stale.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from .mutant import Mutant, Stale, mutated
from .table import MUTANTS, WIDER
from .trial import Verdict, copied_source, try_out


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.mutants")
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME")
    parser.add_argument("--layer", choices=sorted(WIDER))
    parser.add_argument("--seconds", type=float, default=600.0, help="for one run of tests")
    parser.add_argument("--narrow", action="store_true", help="ask a mutant's own tests alone")
    parser.add_argument("--at-once", type=int, default=1)
    parser.add_argument("--json", action="store_true", help="print one JSON document at the end")
    return parser.parse_args()


def _chosen(options: argparse.Namespace) -> list[Mutant]:
    unknown = set(options.only) - {mutant.name for mutant in MUTANTS}
    if unknown:
        raise SystemExit(f"no such mutant: {sorted(unknown)[0]}")
    return [
        mutant
        for mutant in MUTANTS
        if (not options.only or mutant.name in options.only) and options.layer in (None, mutant.layer)
    ]


def _line(verdict: Verdict) -> str:
    mutant = verdict.mutant
    word = "killed  " if verdict.killed else "explained" if mutant.survives else "SURVIVED"
    return f"{word:<9} {mutant.name:<28} {verdict.seconds:>5.0f} s  {verdict.by or mutant.survives}"


def main() -> int:
    """Try the mutants, and print a line for each."""
    options = _arguments()
    out = sys.stderr if options.json else sys.stdout
    chosen = _chosen(options)
    try:
        for mutant in chosen:
            mutated(mutant)
    except Stale as error:
        print(error, file=sys.stderr)
        return 2

    def run(mutant: Mutant) -> Verdict:
        with tempfile.TemporaryDirectory() as folder, copied_source(Path(folder)) as copy:
            verdict = try_out(mutant, copy, seconds=options.seconds, wider=not options.narrow)
        print(_line(verdict), file=out, flush=True)
        return verdict

    with ThreadPoolExecutor(options.at_once) as pool:
        verdicts = list(pool.map(run, chosen))
    killed = sum(verdict.killed for verdict in verdicts)
    explained = sum(not verdict.killed and bool(verdict.mutant.survives) for verdict in verdicts)
    silent = len(verdicts) - killed - explained
    print(f"{killed} of {len(verdicts)} killed, {explained} explained, {silent} survived", file=out)
    if options.json:
        print(json.dumps([verdict.report() for verdict in verdicts], indent=1))
    return 1 if silent else 0


if __name__ == "__main__":
    sys.exit(main())
