"""Exhibits as Markdown with the pictures inside. Text of any content shows as text: no link, picture or markup of it.

Dagster renders GitHub's Markdown without HTML. A table holds one row of pictures, below each its lines:

    | ![](data:image/webp;base64,...) | ![](data:...) |
    | --- | --- |
    | motion                          | black         |
    | bikes.mp4 00:03.2-00:06.4       | ...           |
"""

import base64
import re
from collections.abc import Iterable, Iterator
from itertools import zip_longest

from curator_dagster.text import visible
from stages.pictures import Budget, Exhibit, Picture

MAX_BYTES = 64 * 1024
"""Of all Markdown of one materialization. Dagster on SQLite stores it twice, on PostgreSQL once."""
SHOWN_AT_ONCE = 1000
"""Dagster's page shows shorter Markdown in place, and longer behind a click."""
BUDGET = Budget(total_bytes=32 * 1024, small_bytes=520)
"""Base64 makes four bytes of three; the rest is left to text."""

_PUNCTUATION = re.compile(r"([!-/:-@\[-`{-~])")
_LINK_JOINTS = re.compile(r"(?<=:)(?=/)|(?<=[wW])(?=\.)|(?<=@)")
"""Where GitHub's Markdown sees a bare address: in http://, www. and name@. A word joiner there keeps it text."""
_WORD_JOINER = "\u2060"
_NO_PICTURE = "*no picture*"


def escape(text: str) -> str:
    """Markdown that shows this text on one line, as `visible` writes it, and does nothing else."""
    return _PUNCTUATION.sub(r"\\\1", _LINK_JOINTS.sub(_WORD_JOINER, visible(text)))


def markdown_of(exhibits: Iterable[Exhibit], max_bytes: int = MAX_BYTES) -> Iterator[tuple[str, str]]:
    """Name and Markdown of each exhibit and of its previews, `max_bytes` together at most.

    Where there is no room left an exhibit goes without previews, then without pictures.
    """
    for exhibit in exhibits:
        whole = [(exhibit.name, _sheet(exhibit))]
        bare = [(exhibit.name, escape(f"{exhibit.note} There is no room for pictures."))]
        for entries in ([*whole, *_previews(exhibit)], whole, bare):
            size = sum(len(markdown.encode()) for _, markdown in entries)
            if size <= max_bytes:
                max_bytes -= size
                yield from entries
                break


def _sheet(exhibit: Exhibit) -> str:
    """The note and the pictures: in a table with their lines below, or beside where each stands in a row of its own."""
    return "\n\n".join(part for part in (escape(exhibit.note), _table(list(_table_rows(exhibit)))) if part)


def _table_rows(exhibit: Exhibit) -> Iterator[list[str]]:
    if _is_list(exhibit):
        for (picture,) in exhibit.rows:
            yield [_image(picture.media_type, picture.data), *map(escape, picture.lines)]
        return
    for pictures in exhibit.rows:
        yield [_image(picture.media_type, picture.data) for picture in pictures]
        yield from map(list, zip_longest(*(map(escape, picture.lines) for picture in pictures), fillvalue=""))


def _previews(exhibit: Exhibit) -> Iterator[tuple[str, str]]:
    """Short Markdown of the first pictures one by one: of the first row, or of all that stand alone."""
    shown = [row[0] for row in exhibit.rows] if _is_list(exhibit) else exhibit.rows[0]
    for number, picture in enumerate(shown, start=1):
        if picture.lines:
            yield f"{exhibit.name}_{number}", _preview(picture)


def _preview(picture: Picture) -> str:
    """The small picture and as much of each line as is shown at once."""
    for max_chars in (300, 200, 120, 60, 20):
        lines = [escape(line[:max_chars]) for line in picture.lines]
        markdown = "\\\n".join([_image(picture.media_type, picture.small), *filter(None, lines)])
        if len(markdown.encode("utf-16-le")) // 2 < SHOWN_AT_ONCE:  # JavaScript counts so
            return markdown
    return _image(picture.media_type, picture.small)


def _is_list(exhibit: Exhibit) -> bool:
    return all(len(row) == 1 for row in exhibit.rows)


def _table(rows: list[list[str]]) -> str:
    """A table without headings; a single cell needs none around it."""
    if len(rows) == 1 and len(rows[0]) == 1:
        return rows[0][0]
    columns = max(map(len, rows), default=0)
    heading = [[""] * columns, ["---"] * columns] if rows else []
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (*heading, *rows))


def _image(media_type: str, data: bytes) -> str:
    return f"![](data:{media_type};base64,{base64.b64encode(data).decode()})" if data else _NO_PICTURE
