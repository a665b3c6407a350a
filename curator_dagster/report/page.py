"""The page: one file that runs no script but its own, and asks nothing of any network."""

import base64
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib import resources
from string import Template
from typing import Any

from curator_dagster.report.pictures import Picture

_CLIP_COLUMNS = (
    "id", "is_clip", "partition", "source", "start_s", "end_s", "width", "height", "asset", "status",
    "reason", "error", "caption", "path", "group_id", "similarity",
)  # fmt: skip


@dataclass(frozen=True)
class Contents:
    """What one page shows.

    Attributes:
        facts: figures about the whole root, as JSON holds them.
        clips: rows of `clip_rows` that are in the gallery.
        pictures: by clip id; empty where none is stored, missing where the page had no room.
    """

    facts: Mapping[str, Any]
    clips: list[dict[str, Any]]
    pictures: Mapping[str, list[Picture]]


def page(contents: Contents) -> str:
    """The page's text. Texts of rows enter it as JSON alone, and the script shows them as text, never as HTML."""
    style, *scripts = (_read(name) for name in ("page.css", "selection.js", "charts.js", "page.js"))
    script = "\n".join(scripts)
    policy = {
        "default-src": "'none'",
        "img-src": "data:",
        "style-src": _hash(style),
        "script-src": _hash(script),
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    names = [clip["id"] for clip in contents.clips]
    return Template(_read("page.html")).substitute(
        policy="; ".join(f"{name} {value}" for name, value in policy.items()),
        style=style,
        script=script,
        data=script_json({**contents.facts, "gallery": _gallery(contents)}),
        pictures="\n".join(_blocks(contents.pictures, names)),
    )


def clip_json(clip: Mapping[str, Any], scores: Iterable[str]) -> list[Any]:
    """A clip as the page holds it: values without their names."""
    return [*(clip[name] for name in _CLIP_COLUMNS), [clip["scores"].get(name) for name in scores]]


def script_json(value: object) -> str:
    """JSON that may stand inside a script element: it cannot end it, nor begin a comment."""
    text = json.dumps(value, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _gallery(contents: Contents) -> dict[str, Any]:
    scores = [histogram["name"] for histogram in contents.facts["scores"]]
    counts = (
        len(contents.pictures[clip["id"]]) if clip["id"] in contents.pictures else None for clip in contents.clips
    )
    rows = [[*clip_json(clip, scores), count] for clip, count in zip(contents.clips, counts, strict=True)]
    return {"columns": [*_CLIP_COLUMNS, "scores", "pictures"], "rows": rows}


def _blocks(pictures: Mapping[str, list[Picture]], names: Iterable[str]) -> Iterator[str]:
    """Pictures as blocks of data, which the script finds by the place of the clip and of the picture."""
    for place, name in enumerate(names):
        for number, picture in enumerate(pictures.get(name, ())):
            yield f'<script type="{picture.kind}" id="picture-{place}-{number}">{picture.data}</script>'


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _read(name: str) -> str:
    return (resources.files(__package__ or "") / name).read_text(encoding="utf-8")
