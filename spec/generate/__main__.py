"""`python -m spec.generate` writes the vectors; with `--check` it fails if any committed file differs."""

from __future__ import annotations

import sys
from pathlib import Path

from spec.generate.cases import all_vectors

VECTORS = Path(__file__).resolve().parents[1] / "vectors"


def wanted() -> dict[str, str]:
    """Every file by its path below `spec/vectors/`; two of one name are a mistake in the cases."""
    files: dict[str, str] = {}
    for case in all_vectors():
        assert case.path not in files, f"two vectors are named {case.path}"
        files[case.path] = case.text()
    return files


def present() -> dict[str, str]:
    """Every vector that is there."""
    return {str(path.relative_to(VECTORS)): path.read_text("utf-8") for path in VECTORS.rglob("*.json")}


def check() -> int:
    """Name what differs; 0 if nothing does."""
    made, found = wanted(), present()
    differing = sorted(path for path in made.keys() | found.keys() if made.get(path) != found.get(path))
    for path in differing:
        print(f"spec/vectors/{path} is not what the generator makes")
    return 1 if differing else 0


def write() -> int:
    """Write what is missing or differs, and remove what no case makes."""
    made, found = wanted(), present()
    for path in found.keys() - made.keys():
        (VECTORS / path).unlink()
    for path, text in made.items():
        if found.get(path) != text:
            (VECTORS / path).parent.mkdir(parents=True, exist_ok=True)
            (VECTORS / path).write_text(text, "utf-8")
    print(f"{len(made)} vectors")
    return 0


if __name__ == "__main__":
    match sys.argv[1:]:
        case []:
            sys.exit(write())
        case ["--check"]:
            sys.exit(check())
        case _:
            sys.exit("usage: python -m spec.generate [--check]")
