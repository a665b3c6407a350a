"""The page of a search: one HTML file with the pictures of the clips that were found. It runs no script."""

import math
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from html import escape
from string import Template
from typing import Any

from curator_dagster.printable_text import printable
from curator_dagster.report.page import csp_hash, read_resource
from curator_dagster.report.pictures import EmbeddedPicture, pick_pictures
from stages.search import Found, Query, Scope
from stages.storage import Storage

MAX_PICTURE_BYTES = 40_000_000
"""Of all pictures of a page; clips without room for one are told so."""
_MAX_CHARS = 2000
Row = dict[str, Any]


def search_page(storage: Storage, query: Query, scope: Scope, found: Found, max_bytes: int = MAX_PICTURE_BYTES) -> str:
    """The HTML of the page. Every text of a row, and of the query, is escaped.

    Raises:
        StorageError: the store does not answer.
    """
    rows: list[Row] = [{**row, "id": row["clip_id"]} for row in found.table.to_pylist()]
    pictures = pick_pictures(storage, rows, max_bytes)
    style = read_resource("page.css") + read_resource("search.css")
    policy = {
        "default-src": "'none'",
        "img-src": "data:",
        "style-src": csp_hash(style),
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    made_at = datetime.now(UTC).isoformat(sep=" ", timespec="seconds").removesuffix("+00:00")
    return Template(read_resource("search.html")).substitute(
        policy="; ".join(f"{name} {value}" for name, value in policy.items()),
        style=style,
        about=f"{_text(storage.root)}, {made_at} UTC",
        asked=_asked(query, scope, found),
        cards="\n".join(_card(row, pictures.get(row["id"])) for row in rows),
    )


def _asked(query: Query, scope: Scope, found: Found) -> str:
    """What was searched for, and how, as a list of terms."""
    version = None if scope.version is None else str(scope.version)
    searched = (
        f"{len(found.table):,} of {found.num_searched:,} clips of {scope.asset.replace('_', ' ')}, {scope.status}"
    )
    entries = [("Text", query.text), ("Like the clip", query.like), ("Like the picture", query.image)]
    entries += [("Where", scope.where), ("Version", version), ("Shown", searched)]
    entries += [("", note) for note in found.notes]
    terms = (f"<dt>{name}</dt><dd><bdi>{_text(value)}</bdi></dd>" for name, value in entries if value is not None)
    return f'<dl class="asked">{"".join(terms)}</dl>'


def _card(row: Row, pictures: Sequence[EmbeddedPicture] | None) -> str:
    similarity = row["query_similarity"]
    name = _text((row["uri"] or "").rpartition("/")[2])
    caption = row["matched_text"] or row["caption"] or ""
    parts = [
        _pictures(pictures, alt=caption or name),
        "" if similarity is None or math.isnan(similarity) else f'<span class="like">{similarity:.3f}</span>',
        "" if row["status"] == "kept" else _badge(row),
        f'<span class="caption" dir="auto">{_text(caption) or "no caption"}</span>',
        f'<span class="where"><bdi>{name}</bdi> {_clock(row["start_s"])} &ndash; {_clock(row["end_s"])}</span>',
        f"<code>{_text(row['clip_id'])}</code>",
    ]
    return f'<li><div class="card">{"".join(parts)}</div></li>'


def _badge(row: Row) -> str:
    reason = f": {_text(row['reason'])}" if row["reason"] else ""
    return f'<span class="badge {_text(row["status"])}">{_text(row["status"])}{reason}</span>'


def _pictures(pictures: Sequence[EmbeddedPicture] | None, alt: str) -> str:
    """The preview, or stills that take turns."""
    if not pictures:
        word = "no room for its picture" if pictures is None else "no frames stored"
        return f'<span class="picture empty">{word}</span>'
    kind = "picture flip plays" if len(pictures) > 1 else "picture"
    return f'<span class="{kind}">{"".join(_images(pictures, alt))}</span>'


def _images(pictures: Sequence[EmbeddedPicture], alt: str) -> Iterator[str]:
    for number, picture in enumerate(pictures):
        text = "" if number else _text(alt)
        yield f'<img src="data:{picture.media_type};base64,{picture.data}" alt="{text}">'


def _clock(seconds: float | None) -> str:
    """Seconds as 1:02.5."""
    if seconds is None:
        return "?"
    tenths = round(seconds * 10)
    return f"{tenths // 600}:{tenths // 10 % 60:02d}.{tenths % 10}"


def _text(value: str) -> str:
    """Untrusted text, to stand in an element or in an attribute in double quotes."""
    return escape(printable(value, _MAX_CHARS), quote=True)
