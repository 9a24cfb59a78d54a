"""The samples of a long run as an SVG: one small chart below the other over the same time."""

from __future__ import annotations

from collections.abc import Sequence
from xml.sax.saxutils import escape

from .watching import Sample

__all__ = ["chart_of"]

WIDTH, HEIGHT, LEFT, TOP, GAP = 820, 96, 64, 34, 26
_ROWS: tuple[tuple[str, tuple[tuple[str, str, str], ...]], ...] = (
    ("Resident memory, MiB", (("resident_mib", "#1f6f8b", ""),)),
    ("Open files and sockets", (("descriptors", "#1f6f8b", ""),)),
    ("Write-ahead log and database, MiB", (("wal_mib", "#b3541e", "log"), ("database_mib", "#1f6f8b", "db"))),
    ("Latency, ms", (("p50_ms", "#1f6f8b", "p50"), ("p99_ms", "#b3541e", "p99"))),
    ("Messages that arrived, a second", (("arrived_per_s", "#1f6f8b", ""),)),
)


def chart_of(samples: Sequence[Sample], title: str) -> str:
    """The picture, for any background that is light."""
    tall = TOP + len(_ROWS) * (HEIGHT + GAP) + 24
    end = max((sample.at_s for sample in samples), default=1.0) or 1.0
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{tall}"'
        f' viewBox="0 0 {WIDTH} {tall}"'
        ' font-family="system-ui, sans-serif" font-size="12">',
        f'<rect width="{WIDTH}" height="{tall}" fill="#ffffff"/>',
        f'<text x="{LEFT}" y="18" font-size="14" fill="#222">{escape(title)}</text>',
    ]
    for number, (name, lines) in enumerate(_ROWS):
        top = TOP + number * (HEIGHT + GAP) + 14
        most = max((getattr(s, field) for s in samples for field, _, _ in lines), default=1.0) or 1.0
        parts.append(f'<text x="{LEFT}" y="{top - 4}" fill="#444">{escape(name)}</text>')
        for share in (0.0, 0.5, 1.0):
            y = top + HEIGHT * (1 - share)
            parts.append(f'<path d="M{LEFT} {y:.1f}H{WIDTH - 16}" stroke="#ddd"/>')
            at = f'x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end"'
            parts.append(f'<text {at} fill="#666">{most * share:,.4g}</text>')
        for index, (field, colour, label) in enumerate(lines):
            wide = (WIDTH - 16 - LEFT) / end
            points = " ".join(
                f"{LEFT + wide * s.at_s:.1f},{top + HEIGHT * (1 - getattr(s, field) / most):.1f}"
                for s in samples
            )
            parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.5"/>')
            if label:
                x = WIDTH - 16 - 44 * (len(lines) - index)
                parts.append(f'<text x="{x}" y="{top - 4}" fill="{colour}">{label}</text>')
    bottom = TOP + len(_ROWS) * (HEIGHT + GAP) + 12
    parts.append(f'<text x="{LEFT}" y="{bottom}" fill="#666">0</text>')
    parts.append(
        f'<text x="{WIDTH - 16}" y="{bottom}" text-anchor="end" fill="#666">{end / 60:.0f} minutes</text>'
    )
    return "\n".join([*parts, "</svg>", ""])
