"""Renders exhibits as Markdown with embedded pictures. Untrusted text is escaped: it gives no link, picture or markup.

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

from curator_dagster.printable_text import printable
from stages.pictures import Budget, Exhibit, Picture

MAX_BYTES = 64 * 1024
"""Limit for all Markdown of one materialization. Dagster on SQLite stores it twice, on PostgreSQL once."""
MAX_INLINE_CHARS = 1000
"""Dagster's UI shows shorter Markdown inline, and longer behind a click."""
BUDGET = Budget(total_bytes=32 * 1024, small_bytes=520)
"""Base64 takes four bytes for three; the rest of `MAX_BYTES` is for text."""

_PUNCTUATION = re.compile(r"([!-/:-@\[-`{-~])")
_AUTOLINK_POSITIONS = re.compile(r"(?<=:)(?=/)|(?<=[wW])(?=\.)|(?<=@)")
"""Where GitHub's Markdown would begin an autolink: in http://, www. and name@. A word joiner there prevents it."""
_WORD_JOINER = "\u2060"
_NO_PICTURE = "*no picture*"


def escape_markdown(text: str) -> str:
    """Markdown that shows the text on one line, as `printable` returns it, without any markup."""
    return _PUNCTUATION.sub(r"\\\1", _AUTOLINK_POSITIONS.sub(_WORD_JOINER, printable(text)))


def render_markdown(exhibits: Iterable[Exhibit], max_bytes: int = MAX_BYTES) -> Iterator[tuple[str, str]]:
    """Name and Markdown of each exhibit and of its inline previews, at most `max_bytes` in all.

    Where room runs out, an exhibit has no previews, then no pictures.
    """
    for exhibit in exhibits:
        whole = [(exhibit.name, _render_exhibit(exhibit))]
        without_pictures = [(exhibit.name, escape_markdown(f"{exhibit.note} There is no room for pictures."))]
        for entries in ([*whole, *_inline_previews(exhibit)], whole, without_pictures):
            size = sum(len(markdown.encode()) for _, markdown in entries)
            if size <= max_bytes:
                max_bytes -= size
                yield from entries
                break


def _render_exhibit(exhibit: Exhibit) -> str:
    """The note and a table of the pictures, with their lines below them, or beside where a row has one picture."""
    return "\n\n".join(part for part in (escape_markdown(exhibit.note), _table(list(_table_rows(exhibit)))) if part)


def _table_rows(exhibit: Exhibit) -> Iterator[list[str]]:
    if _has_one_picture_per_row(exhibit):
        for (picture,) in exhibit.rows:
            yield [_image(picture.media_type, picture.data), *map(escape_markdown, picture.lines)]
        return
    for pictures in exhibit.rows:
        yield [_image(picture.media_type, picture.data) for picture in pictures]
        yield from map(list, zip_longest(*(map(escape_markdown, picture.lines) for picture in pictures), fillvalue=""))


def _inline_previews(exhibit: Exhibit) -> Iterator[tuple[str, str]]:
    """Short Markdown of single pictures: of the first row, or of all where each row has one picture."""
    shown = [row[0] for row in exhibit.rows] if _has_one_picture_per_row(exhibit) else exhibit.rows[0]
    for number, picture in enumerate(shown, start=1):
        if picture.lines:
            yield f"{exhibit.name}_{number}", _inline_preview(picture)


def _inline_preview(picture: Picture) -> str:
    """The small picture and as much of each line as fits into inline Markdown."""
    for max_chars in (300, 200, 120, 60, 20):
        lines = [escape_markdown(line[:max_chars]) for line in picture.lines]
        markdown = "\\\n".join([_image(picture.media_type, picture.small), *filter(None, lines)])
        if len(markdown.encode("utf-16-le")) // 2 < MAX_INLINE_CHARS:  # JavaScript counts so
            return markdown
    return _image(picture.media_type, picture.small)


def _has_one_picture_per_row(exhibit: Exhibit) -> bool:
    return all(len(row) == 1 for row in exhibit.rows)


def _table(rows: list[list[str]]) -> str:
    """A table without headings; a single cell is returned without a table."""
    if len(rows) == 1 and len(rows[0]) == 1:
        return rows[0][0]
    columns = max(map(len, rows), default=0)
    heading = [[""] * columns, ["---"] * columns] if rows else []
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (*heading, *rows))


def _image(media_type: str, data: bytes) -> str:
    return f"![](data:{media_type};base64,{base64.b64encode(data).decode()})" if data else _NO_PICTURE
