"""Renders the page: one HTML file that runs only its own scripts and makes no network requests."""

import base64
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib import resources
from string import Template
from typing import Any

from curator_dagster.report.pictures import EmbeddedPicture

_CLIP_COLUMNS = (
    "id", "is_clip", "partition", "source", "start_s", "end_s", "width", "height", "asset", "status",
    "reason", "error", "caption", "path", "group_id", "similarity", "similar",
)  # fmt: skip


@dataclass(frozen=True)
class PageContents:
    """Contents of one page.

    Attributes:
        facts: statistics of the whole root, as JSON values.
        clips: rows of the gallery, see `gallery_rows`.
        pictures: by clip id; empty where none is stored, missing where the page had no room.
    """

    facts: Mapping[str, Any]
    clips: list[dict[str, Any]]
    pictures: Mapping[str, list[EmbeddedPicture]]


def render_page(contents: PageContents) -> str:
    """The HTML of the page. Text of rows is embedded as JSON only, and the script shows it as text, never as HTML."""
    style, *scripts = (read_resource(name) for name in ("page.css", "selection.js", "charts.js", "page.js"))
    script = "\n".join(scripts)
    policy = {
        "default-src": "'none'",
        "img-src": "data:",
        "style-src": csp_hash(style),
        "script-src": csp_hash(script),
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    names = [clip["id"] for clip in contents.clips]
    return Template(read_resource("page.html")).substitute(
        policy="; ".join(f"{name} {value}" for name, value in policy.items()),
        style=style,
        script=script,
        data=script_json({**contents.facts, "gallery": _gallery(contents)}),
        pictures="\n".join(_picture_elements(contents.pictures, names)),
    )


def clip_json(clip: Mapping[str, Any], scores: Iterable[str]) -> list[Any]:
    """A row of the gallery as a list of values in the order of columns."""
    return [*(clip[name] for name in _CLIP_COLUMNS), [clip["scores"].get(name) for name in scores]]


def script_json(value: object) -> str:
    """JSON that is safe inside a script element: it cannot end the element or begin a comment."""
    text = json.dumps(value, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _gallery(contents: PageContents) -> dict[str, Any]:
    scores = [histogram["name"] for histogram in contents.facts["scores"]]
    counts = (
        len(contents.pictures[clip["id"]]) if clip["id"] in contents.pictures else None for clip in contents.clips
    )
    rows = [[*clip_json(clip, scores), count] for clip, count in zip(contents.clips, counts, strict=True)]
    return {"columns": [*_CLIP_COLUMNS, "scores", "pictures"], "rows": rows}


def _picture_elements(pictures: Mapping[str, list[EmbeddedPicture]], names: Iterable[str]) -> Iterator[str]:
    """Pictures as data elements, whose ids hold the index of the clip and of the picture."""
    for position, name in enumerate(names):
        for number, picture in enumerate(pictures.get(name, ())):
            yield f'<script type="{picture.media_type}" id="picture-{position}-{number}">{picture.data}</script>'


def csp_hash(text: str) -> str:
    """What a Content-Security-Policy calls this style or script."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def read_resource(name: str) -> str:
    """A file of this package."""
    return (resources.files(__package__ or "") / name).read_text(encoding="utf-8")
