"""Draws kept and rejected clips of each class as a very small SVG, since Dagster shows only short Markdown inline.

static 500/3120      ▇▇▇▇▁▁▁▁▁▁▁▁▁▁▁▁▁▁    a class: how many are kept of how many; the same as bars
pan 211/211          ▇▇▇▇▇▇
"""

from collections.abc import Mapping
from dataclasses import dataclass

from stages.pictures.histogram import KEPT_COLOUR, REJECTED_COLOUR, TEXT_COLOUR

MAX_BARS = 7
ROW_PX, BAR_PX, LABEL_PX, BARS_PX = 14, 9, 130, 130
MAX_NAME_CHARS = 10


@dataclass(frozen=True, slots=True)
class BarChart:
    """Counts of kept and rejected rows by class.

    Attributes:
        name: in the form of a column name.
        counts: kept and rejected rows of each class.
        note: plain text, which stands above it.
    """

    name: str
    counts: Mapping[str, tuple[int, int]]
    note: str = ""


def draw_bars(chart: BarChart) -> bytes:
    """The chart as SVG, largest class first; classes beyond `MAX_BARS` are one bar. Empty where there are no rows."""
    rows = _rows(chart.counts)
    if not rows:
        return b""
    px_per_row = BARS_PX / max(kept + rejected for _, kept, rejected in rows)
    labels = "".join(
        f'<text y="{number * ROW_PX + 10}">{_escaped(name)} {kept}/{kept + rejected}</text>'
        for number, (name, kept, rejected) in enumerate(rows)
    )
    whole = _bars(REJECTED_COLOUR, [round((kept + rejected) * px_per_row) for _, kept, rejected in rows])
    after = _bars(KEPT_COLOUR, [round(kept * px_per_row) for _, kept, _ in rows])
    size = f'width="{LABEL_PX + BARS_PX}" height="{len(rows) * ROW_PX}"'
    style = f'style="font:11px sans-serif" fill="{TEXT_COLOUR}"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size} {style}>{labels}{whole}{after}</svg>'.encode()


def _rows(counts: Mapping[str, tuple[int, int]]) -> list[tuple[str, int, int]]:
    """Name, kept and rejected rows of each bar."""
    ordered = sorted(counts.items(), key=lambda entry: (-sum(entry[1]), entry[0]))
    shown = ordered if len(ordered) <= MAX_BARS else ordered[: MAX_BARS - 1]
    rows = [(name, *count) for name, count in shown]
    if rest := [count for _, count in ordered[len(shown) :]]:
        rows.append((f"{len(rest)} others", sum(kept for kept, _ in rest), sum(gone for _, gone in rest)))
    return rows


def _bars(fill: str, lengths: list[int]) -> str:
    bars = "".join(f"M{LABEL_PX} {number * ROW_PX + 2}h{px}v{BAR_PX}h-{px}z" for number, px in enumerate(lengths))
    return f'<path fill="{fill}" d="{bars}"/>'


def _escaped(name: str) -> str:
    """The name, shortened, as text of XML; of a uri the file, since uris begin alike."""
    name = name.rstrip("/").rpartition("/")[2] or name
    short = name if len(name) <= MAX_NAME_CHARS else name[: MAX_NAME_CHARS - 1] + "…"
    printable = "".join(character for character in short if character.isprintable())
    return printable.replace("&", "&amp;").replace("<", "&lt;")
